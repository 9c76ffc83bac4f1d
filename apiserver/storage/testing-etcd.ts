// For integration tests: a real etcd of one member in a temporary folder, that can be killed, stopped and started again.
import { EtcdCluster, installedEtcd, type EtcdMember } from './etcd-fixture.ts';

const binary = installedEtcd();
export const etcdBinary = process.env.ETCD ?? 'etcd';
export const isEtcdInstalled = binary !== undefined;

export class Etcd {
  #cluster: EtcdCluster | undefined;

  get url(): string {
    return this.#member.url;
  }
  get #member(): EtcdMember {
    const [member] = this.#cluster?.members ?? [];
    if (!member) throw new Error('etcd was not started');
    return member;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    if (this.#cluster) this.#member.start();
    else if (binary) this.#cluster = await EtcdCluster.onLoopback({ binary });
    await this.#cluster?.waitHealthy();
  }

  signal(name: NodeJS.Signals): void {
    this.#member.signal(name);
  }
  async kill(): Promise<void> {
    await this.#member.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster?.[Symbol.asyncDispose]();
  }
}
