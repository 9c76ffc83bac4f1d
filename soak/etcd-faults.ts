// A real etcd cluster of three members, each in a network namespace of its own, and clients that race and watch while members are
// killed, cut off and compacted. Nothing may be lost, doubled or answered falsely; the clients (etcd-clients.ts) check that.
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { sleep } from '#machinery/base/clock.ts';
import { EtcdCluster, installedEtcd, networkMissing, newerEtcd, type EtcdBinary } from '../apiserver/storage/etcd-fixture.ts';
import type { ClientsReport } from './etcd-clients.ts';
import type { Soak } from './soak.ts';

const longMs = 100_000;
/** An election, a call that waited for its deadline at a dead member, and another try elsewhere. */
const recoveryMs = 12_000;

export const etcdFaults: Soak = {
  name: 'etcd-faults',
  summary: 'three etcd members killed, cut off and compacted under racing clients: nothing lost, doubled or answered falsely',
  missing: () => networkMissing() ?? (installedEtcd() ? undefined : 'etcd is not installed'),
  async run({ short, signal, say }) {
    const checked: string[] = [];
    const newer = short ? undefined : await newerEtcd();
    if (typeof newer === 'string') checked.push(`skipped: ${newer}`);
    for (const binary of [installedEtcd(), newer]) {
      if (binary === undefined || typeof binary === 'string') continue;
      say(`etcd ${binary.version}`);
      checked.push(await runWith(binary, short, signal, say));
    }
    return checked;
  },
};

async function runWith(binary: EtcdBinary, short: boolean, signal: AbortSignal, say: (line: string) => void): Promise<string> {
  await using cluster = await EtcdCluster.onNetwork({ binary });
  await using clients = await Clients.start(cluster);
  const faults = faultsOf(cluster, clients);
  const names = Object.keys(faults);
  const endAt = Date.now() + longMs;
  const done: string[] = [];
  let slowestMs = 0;
  for (let round = 0; short ? round < names.length : Date.now() < endAt; round++) {
    signal.throwIfAborted();
    const name = names[short ? round : Math.floor(Math.random() * names.length)] ?? 'kill the leader';
    await faults[name]?.(short ? 1200 : 1000 + Math.random() * 6000);
    const tookMs = await clients.recovered(signal);
    slowestMs = Math.max(slowestMs, tookMs);
    done.push(name);
    say(`${name}: writes again after ${tookMs} ms`);
  }
  const report = await clients.ask<ClientsReport>('finish');
  return `etcd ${binary.version}: ${done.length} faults, writes again within ${slowestMs} ms; ${report.writes} writes acknowledged, ${report.refused} refused, ${report.unknown} with a lost answer `
    + `(${report.happened} had happened), longest call ${report.longestCallMs} ms; ${report.events} events to each watcher, ${report.relists} lists anew, ${report.reads} reads through other clients`;
}

function faultsOf(cluster: EtcdCluster, clients: Clients): Record<string, (ms: number) => Promise<void>> {
  const any = (): number => Math.floor(Math.random() * cluster.members.length);
  const leader = async (): Promise<number> => await clients.ask<number | null>('leader') ?? any();
  const wait = (ms: number): Promise<void> => sleep(ms, new AbortController().signal);
  async function kill(indexes: readonly number[], ms: number): Promise<void> {
    const members = cluster.members.filter((_, index) => indexes.includes(index));
    await Promise.all(members.map((member) => member.kill()));
    await wait(ms);
    for (const member of members) member.start();
  }
  return {
    'kill the leader': async (ms) => kill([await leader()], ms),
    'cut the leader off': async (ms) => {
      const index = await leader();
      await cluster.network.cut(index);
      await wait(ms);
      await cluster.network.join(index);
    },
    'compact all': async () => clients.ask('compact 0'),
    'cut the leader off from the other members only': async (ms) => {
      const index = await leader();
      await cluster.network.cutFromPeers(index);
      await wait(ms);
      await cluster.network.joinPeers(index);
    },
    'kill all': (ms) => kill(cluster.members.map((_, index) => index), ms / 2),
    'stop a member, compact, let it go on': async (ms) => {
      const member = cluster.members[any()];
      member?.signal('SIGSTOP');
      await clients.ask('compact 20');
      await wait(ms / 2);
      member?.signal('SIGCONT');
    },
  };
}

class Clients implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (!child.stdout || !child.stderr) throw new Error('no pipes');
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (chunk: Buffer) => { this.#errors = (this.#errors + chunk.toString()).slice(-4000); });
    child.stdin?.on('error', () => undefined); // its end is reported by #next()
  }

  static async start(cluster: EtcdCluster): Promise<Clients> {
    const args = [`--net=/run/netns/${cluster.namespace}`, process.execPath, fileURLToPath(new URL('etcd-clients.ts', import.meta.url)), ...cluster.urls];
    const clients = new Clients(spawn('setpriv', ['--pdeathsig', 'KILL', 'nsenter', ...args], { stdio: 'pipe', env: { ...process.env, LOG: 'error' } }));
    try {
      await clients.#next();
    } catch (error) {
      await clients[Symbol.asyncDispose]();
      throw error;
    }
    return clients;
  }

  async ask<T>(command: string): Promise<T> {
    this.#child.stdin?.write(`${command}\n`);
    return await this.#next() as T; // what the command answers
  }

  async #next(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the clients ended: ${this.#errors}`);
    return JSON.parse(value);
  }

  /** Until ten more writes are acknowledged. */
  async recovered(signal: AbortSignal): Promise<number> {
    const startedAt = Date.now();
    const wanted = await this.ask<number>('acknowledged') + 10;
    while (await this.ask<number>('acknowledged') < wanted) {
      if (Date.now() - startedAt > recoveryMs) throw new Error(`no writes within ${recoveryMs} ms after a fault; ${this.#errors}`);
      await sleep(50, signal);
    }
    return Date.now() - startedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}
