// For integration tests: a real etcd of one member in a temporary folder, that can be killed and stopped.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '#machinery/base/abort.ts';

export const etcdBinary = process.env.ETCD ?? 'etcd';
export const isEtcdInstalled = spawnSync(etcdBinary, ['--version']).status === 0;

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has one
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Etcd {
  readonly folder = mkdtempSync(join(tmpdir(), 'proa-etcd-'));
  url = '';
  #peer = '';
  #child: ChildProcess | undefined;

  async start(): Promise<void> {
    if (this.url === '') {
      this.url = `http://127.0.0.1:${await freePort()}`;
      this.#peer = `http://127.0.0.1:${await freePort()}`;
    }
    this.#child = spawn(
      etcdBinary,
      ['--name=t', `--data-dir=${this.folder}`, `--listen-client-urls=${this.url}`, `--advertise-client-urls=${this.url}`, `--listen-peer-urls=${this.#peer}`, `--initial-advertise-peer-urls=${this.#peer}`, `--initial-cluster=t=${this.#peer}`, '--log-level=error'],
      { stdio: 'ignore' },
    );
    await eventually(AbortSignal.timeout(20_000), async () => {
      try {
        const answer = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(500) });
        return answer.ok && (await answer.text()).includes('true');
      } catch {
        return false; // not yet
      }
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
