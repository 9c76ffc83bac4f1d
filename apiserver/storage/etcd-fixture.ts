// For integration tests and soak runs: real etcd clusters (one member alone: testing-etcd.ts), on loopback or each member in a network namespace of its own on a
// bridge, where links can be cut. Everything is in the caller's folder and is stopped by process id.
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '#machinery/base/abort.ts';

const run = promisify(execFile);

export interface EtcdBinary {
  version: string;
  path: string;
}

/** The machine's own: `$ETCD`, or `etcd` on PATH. */
export function installedEtcd(): EtcdBinary | undefined {
  return binaryAt(process.env.ETCD ?? 'etcd');
}

function binaryAt(path: string): EtcdBinary | undefined {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  const version = status === 0 ? /etcd Version: (\S+)/.exec(stdout)?.[1] : undefined;
  return version === undefined ? undefined : { version, path };
}

const newerSuite = 'trixie';
const newerFolder = join(tmpdir(), `proa-etcd-${newerSuite}-${process.getuid?.() ?? 0}`);

/**
 * etcd 3.5 from a newer Debian suite, unpacked once into the temporary folder; nothing is installed. A text says why it cannot
 * be had here.
 */
export async function newerEtcd(): Promise<EtcdBinary | string> {
  const path = join(newerFolder, 'usr/bin/etcd');
  if (!existsSync(path)) {
    const folder = mkdtempSync(join(tmpdir(), 'proa-etcd-fetch-'));
    try {
      await fetchNewer(folder);
      if (!existsSync(newerFolder)) renameSync(join(folder, 'root'), newerFolder);
    } catch (error) {
      return `etcd 3.5 cannot be fetched with apt: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}`;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return binaryAt(path) ?? `${path} does not run`;
}

/** From the mirror that the machine's own apt uses, with lists and cache of its own. */
async function fetchNewer(folder: string): Promise<void> {
  const options = { cwd: folder, timeout: 60_000 };
  const { stdout } = await run('apt-get', ['indextargets', '--format', '$(ORIGIN) $(LABEL) $(REPO_URI)', 'Created-By: Packages'], options);
  const mirror = stdout.split('\n').map((line) => line.split(' ')).find(([origin, label]) => origin === 'Debian' && label === 'Debian')?.[2];
  if (mirror === undefined) throw new Error('apt knows no Debian mirror');
  for (const name of ['state/lists/partial', 'cache/archives/partial', 'root']) mkdirSync(join(folder, name), { recursive: true });
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  writeFileSync(join(folder, 'sources.list'), `deb ${existsSync(keyring) ? `[signed-by=${keyring}] ` : ''}${mirror} ${newerSuite} main\n`);
  const own = ['-qq', '-o', `Dir::Etc::sourcelist=${folder}/sources.list`, '-o', 'Dir::Etc::sourceparts=-', '-o', `Dir::State=${folder}/state`, '-o', `Dir::Cache=${folder}/cache`,
    '-o', 'Acquire::Languages=none', '-o', 'Acquire::Retries=0', '-o', 'Acquire::http::Timeout=10', '-o', 'APT::Sandbox::User=root'];
  await run('apt-get', [...own, 'update'], options);
  await run('apt-get', [...own, 'download', 'etcd-server'], options);
  await run('sh', ['-c', 'dpkg-deb -x etcd-server_*.deb root'], options);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has one
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class EtcdMember {
  readonly name: string;
  readonly url: string;
  readonly peerUrl: string;
  readonly #command: string[];
  #child: ChildProcess | undefined;

  constructor(about: { name: string; url: string; peerUrl: string; command: string[] }) {
    this.name = about.name;
    this.url = about.url;
    this.peerUrl = about.peerUrl;
    this.#command = about.command;
  }

  start(): void {
    const [file = '', ...args] = this.#command;
    // Ends with this process, however that ends: a killed run leaves no etcd behind.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', file, ...args], { stdio: 'ignore' });
  }
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }
  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await gone;
  }
}

export interface ClusterOptions {
  binary: EtcdBinary;
  members?: number;
  /** More flags of etcd; TLS is the caller's to set up with them. */
  flags?: readonly string[];
  scheme?: 'http' | 'https';
}

export class EtcdCluster {
  readonly folder: string;
  readonly members: readonly EtcdMember[];
  readonly #network: Network | undefined;

  private constructor(folder: string, members: readonly EtcdMember[], network?: Network) {
    this.folder = folder;
    this.members = members;
    this.#network = network;
  }

  get urls(): string[] {
    return this.members.map(({ url }) => url);
  }

  static async onLoopback({ binary, members = 1, flags = [], scheme = 'http' }: ClusterOptions): Promise<EtcdCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'proa-etcd-'));
    const places = await Promise.all(Array.from({ length: members }, async (_, index) => ({ name: `m${index}`, url: `${scheme}://127.0.0.1:${await freePort()}`, peerUrl: `http://127.0.0.1:${await freePort()}`, prefix: [] as string[] })));
    const cluster = new EtcdCluster(folder, commands(binary, folder, places, flags));
    for (const member of cluster.members) member.start();
    return cluster;
  }

  /** Needs root. Clients have to run inside `namespace`. */
  static async onNetwork({ binary, members = 3, flags = [] }: ClusterOptions): Promise<EtcdCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'proa-etcd-'));
    const network = await Network.create(members);
    const places = Array.from({ length: members }, (_, index) => {
      const address = network.addressOf(index);
      return { name: `m${index}`, url: `http://${address}:2379`, peerUrl: `http://${address}:2380`, prefix: ['nsenter', `--net=/run/netns/${network.namespaceOf(index)}`] };
    });
    const cluster = new EtcdCluster(folder, commands(binary, folder, places, flags), network);
    for (const member of cluster.members) member.start();
    return cluster;
  }

  /** Where the members can be reached from. */
  get namespace(): string {
    return this.network.namespace;
  }
  get network(): Network {
    if (!this.#network) throw new Error('the cluster is on loopback');
    return this.#network;
  }

  /** Every member that this process can reach answers and knows a leader. */
  async waitHealthy(ms = 30_000): Promise<void> {
    const signal = AbortSignal.timeout(ms);
    await Promise.all(this.members.map(({ url }) => eventually(signal, async () => {
      try {
        const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1000) });
        return answer.ok && (await answer.text()).includes('true');
      } catch {
        return false; // not yet
      }
    })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await this.#network?.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function commands(binary: EtcdBinary, folder: string, places: readonly { name: string; url: string; peerUrl: string; prefix: string[] }[], flags: readonly string[]): EtcdMember[] {
  const initial = places.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
  return places.map(({ name, url, peerUrl, prefix }) => new EtcdMember({
    name, url, peerUrl,
    command: [...prefix, binary.path, `--name=${name}`, `--data-dir=${join(folder, name)}`, `--listen-client-urls=${url}`, `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`, `--initial-cluster=${initial}`, '--heartbeat-interval=50', '--election-timeout=500', '--log-level=error', ...flags],
  }));
}

/** Why this machine cannot have networks of its own, if so. */
export function networkMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'root is needed';
  for (const program of ['ip', 'nsenter', 'setpriv']) if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return `${program} is not installed`;
  return undefined;
}

/** One namespace with a bridge, where the clients are, and one for each member, joined by a link. */
export class Network {
  readonly namespace: string;
  readonly #size: number;

  private constructor(namespace: string, size: number) {
    this.namespace = namespace;
    this.#size = size;
  }

  static async create(size: number): Promise<Network> {
    const network = new Network(`proa-test-${process.pid}-${Date.now() % 100_000}`, size);
    try {
      await ip('netns', 'add', network.namespace);
      await network.#inHub('link', 'set', 'lo', 'up');
      await network.#inHub('link', 'add', 'br0', 'type', 'bridge');
      await network.#inHub('addr', 'add', '10.250.0.254/24', 'dev', 'br0');
      await network.#inHub('link', 'set', 'br0', 'up');
      for (let index = 0; index < size; index++) {
        const member = network.namespaceOf(index);
        await ip('netns', 'add', member);
        await network.#inHub('link', 'add', `m${index}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', member);
        await network.#inHub('link', 'set', `m${index}`, 'master', 'br0', 'up');
        await ip('-n', member, 'link', 'set', 'lo', 'up');
        await ip('-n', member, 'addr', 'add', `${network.addressOf(index)}/24`, 'dev', 'eth0');
        await ip('-n', member, 'link', 'set', 'eth0', 'up');
      }
    } catch (error) {
      await network.remove();
      throw error;
    }
    return network;
  }

  addressOf(index: number): string {
    return `10.250.0.${index + 1}`;
  }
  namespaceOf(index: number): string {
    return `${this.namespace}-${index}`;
  }
  #inHub(...args: string[]): Promise<void> {
    return ip('-n', this.namespace, ...args);
  }

  /** Nobody reaches the member, nor it anybody. */
  cut(index: number): Promise<void> {
    return this.#inHub('link', 'set', `m${index}`, 'down');
  }
  join(index: number): Promise<void> {
    return this.#inHub('link', 'set', `m${index}`, 'up');
  }
  /** The member loses the other members; clients still reach it. */
  async cutFromPeers(index: number): Promise<void> {
    for (const other of this.#others(index)) await ip('-n', this.namespaceOf(index), 'route', 'add', 'blackhole', `${this.addressOf(other)}/32`);
  }
  async joinPeers(index: number): Promise<void> {
    for (const other of this.#others(index)) await ip('-n', this.namespaceOf(index), 'route', 'delete', 'blackhole', `${this.addressOf(other)}/32`);
  }
  #others(index: number): number[] {
    return Array.from({ length: this.#size }, (_, other) => other).filter((other) => other !== index);
  }

  async remove(): Promise<void> {
    for (const name of [...Array.from({ length: this.#size }, (_, index) => this.namespaceOf(index)), this.namespace]) {
      await ip('netns', 'delete', name).catch(() => undefined); // it was not made
    }
  }
}

async function ip(...args: string[]): Promise<void> {
  await run('ip', args);
}
