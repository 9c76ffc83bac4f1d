// The clients of the run etcd-faults, as a process of their own inside the network of the etcd members: writers that race for a few
// keys, watchers, and a watch cache. Reads commands on stdin, one a line, and answers each with a line of JSON.
import { createInterface } from 'node:readline';
import { sleep } from '#machinery/base/clock.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { openEtcd } from '../apiserver/storage/etcd.ts';
import { CompactedError, StorageUnavailableError, type Storage, type StoredValue } from '../apiserver/storage/storage.ts';
import { createWatchCache } from '../apiserver/storage/watch-cache.ts';

export interface ClientsReport {
  writes: number;
  refused: number;
  unknown: number;
  /** Of those whose answer was lost. */
  happened: number;
  events: number;
  relists: number;
  reads: number;
  longestCallMs: number;
}

const prefix = '/registry/soak/';
const keys = Array.from({ length: 12 }, (_, index) => `${prefix}a/k${index}`);
const never = new AbortController().signal;

type Outcome = { kind: 'ok'; revision: bigint } | { kind: 'refused' } | { kind: 'unknown' };

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}
/** What a fault may cause; anything else ends the run. */
async function tolerate<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof StorageUnavailableError) return undefined;
    throw error;
  }
}

class Clients {
  readonly #storages: readonly Storage[];
  readonly #outcomes = new Map<string, Outcome>();
  readonly #deleted = new Set<bigint>();
  readonly #watchers: Watcher[];
  readonly #stop = new AbortController();
  #writing: Promise<unknown> = Promise.resolve();
  acknowledged = 0;
  #reads = 0;
  #longestCallMs = 0;

  constructor(storages: readonly Storage[]) {
    this.#storages = storages;
    this.#watchers = storages.map((storage) => new Watcher(storage));
  }

  async start(fail: (error: unknown) => void): Promise<void> {
    for (const watcher of this.#watchers) {
      await watcher.list();
      watcher.run().catch(fail);
    }
    this.#writing = Promise.all(this.#storages.flatMap((storage, index) => [0, 1].map((half) => this.#write(`w${index}${half}`, storage))));
    this.#writing.catch(fail);
  }

  async #write(name: string, storage: Storage): Promise<void> {
    const known = new Map<string, bigint>();
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      const key = keys[Math.floor(Math.random() * keys.length)] ?? prefix;
      const startedAt = Date.now();
      if (Math.random() < 0.7) {
        const read = await tolerate(storage.get(key));
        if (read) known.set(key, read.value?.modRevision ?? 0n);
      }
      const expected = known.get(key) ?? 0n;
      const readAt = Date.now();
      if (expected !== 0n && Math.random() < 0.25) {
        const result = await tolerate(storage.delete(key, { expected }));
        if (result?.ok) {
          this.#deleted.add(result.revision);
          await this.#confirm(key, result.revision);
        }
      } else {
        const id = `${name}/${turn}`;
        const result = await tolerate(storage.put(key, Buffer.from(JSON.stringify({ id })), { expected }));
        this.#outcomes.set(id, !result ? { kind: 'unknown' } : result.ok ? { kind: 'ok', revision: result.revision } : { kind: 'refused' });
        if (result?.ok) {
          this.acknowledged += 1;
          known.set(key, result.revision);
          await this.#confirm(key, result.revision);
        }
      }
      this.#longestCallMs = Math.max(this.#longestCallMs, readAt - startedAt, Date.now() - readAt);
      await sleep(2, never);
    }
  }

  /** What one client was told to be done, another one finds, at once. */
  async #confirm(key: string, revision: bigint): Promise<void> {
    const other = this.#storages[Math.floor(Math.random() * this.#storages.length)];
    const read = other && await tolerate(other.get(key));
    if (!read) return;
    this.#reads += 1;
    must(read.revision >= revision && (read.value === undefined || read.value.modRevision >= revision), `a read after revision ${revision} answered as of ${read.revision}`);
  }

  /** Everything is healed: compares what everybody saw with what is stored. */
  async finish(): Promise<ClientsReport> {
    this.#stop.abort();
    await this.#writing;
    const [storage] = this.#storages;
    must(storage !== undefined, 'no client');
    const { items, revision } = await storage.range({ prefix });
    const wanted = describeItems(items);
    for (const watcher of this.#watchers) {
      await watcher.reach(revision);
      must(describeItems([...watcher.state.values()]) === wanted, 'a replay of list and events differs from the final list');
    }
    return this.#report();
  }

  #report(): ClientsReport {
    const seen = new Map<string, bigint>();
    const complete = this.#watchers.filter(({ relists }) => relists === 0);
    for (const { log } of this.#watchers) for (const [id, revision] of log.puts) {
      must((seen.get(id) ?? revision) === revision, `${id} was seen at two revisions`);
      seen.set(id, revision);
    }
    const sequences = new Set(complete.map(({ log }) => log.revisions.join()));
    must(sequences.size <= 1, 'watchers without a gap saw different sequences');
    let [refused, unknown, happened, writes] = [0, 0, 0, 0];
    for (const [id, outcome] of this.#outcomes) {
      const at = seen.get(id);
      if (outcome.kind === 'refused') {
        refused += 1;
        must(at === undefined, `${id} was refused, and is in the history at ${at}`);
      } else if (outcome.kind === 'unknown') {
        unknown += 1;
        if (at !== undefined) happened += 1;
      } else {
        writes += 1;
        if (complete.length > 0) must(at === outcome.revision, `${id} was acknowledged at ${outcome.revision} and seen at ${at}`);
      }
    }
    for (const { log } of complete) for (const revision of this.#deleted) must(log.deletes.has(revision), `the deletion at ${revision} was acknowledged and never seen`);
    const events = Math.max(...this.#watchers.map(({ log }) => log.revisions.length));
    return { writes, refused, unknown, happened, events, relists: this.#watchers.reduce((sum, { relists }) => sum + relists, 0), reads: this.#reads, longestCallMs: this.#longestCallMs };
  }
}

/** Lists, then applies events; asserts order. As a client would: goes on at its position, lists again when that is compacted. */
class Watcher {
  readonly state = new Map<string, StoredValue>();
  readonly log = { revisions: [] as bigint[], puts: new Map<string, bigint>(), deletes: new Set<bigint>() };
  relists = 0;
  #position = 0n;
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  async list(): Promise<void> {
    const { items, revision } = await this.#storage.range({ prefix });
    this.state.clear();
    for (const item of items) this.state.set(item.key, item);
    this.#position = revision;
  }

  async run(): Promise<void> {
    for (;;) {
      try {
        for await (const { events, revision } of this.#storage.watch(prefix, this.#position, never)) {
          for (const event of events) {
            must(event.modRevision > (this.log.revisions.at(-1) ?? 0n) && event.modRevision > this.#position, `event ${event.modRevision} came after ${this.log.revisions.at(-1)}`);
            this.log.revisions.push(event.modRevision);
            if (event.type === 'put') {
              const { key, value, createRevision, modRevision } = event;
              this.state.set(key, { key, value, createRevision, modRevision });
              this.log.puts.set((JSON.parse(value.toString()) as { id: string }).id, modRevision);
            } else {
              must(this.state.delete(event.key), `the deletion of ${event.key} at ${event.modRevision} came without the key`);
              this.log.deletes.add(event.modRevision);
            }
          }
          must(revision >= this.#position, 'progress went back');
          this.#position = revision;
        }
      } catch (error) {
        if (error instanceof CompactedError) {
          this.relists += 1;
          while (!await tolerate(this.list().then(() => true))) await sleep(100, never);
        } else if (error instanceof StorageUnavailableError) await sleep(100, never);
        else throw error;
      }
    }
  }

  async reach(revision: bigint): Promise<void> {
    for (const until = Date.now() + 20_000; this.#position < revision; await sleep(20, never)) must(Date.now() < until, `a watcher stays at ${this.#position}, the store is at ${revision}`);
  }
}

function describeItems(items: readonly StoredValue[]): string {
  return items.map(({ key, value, createRevision, modRevision }) => `${key} ${createRevision} ${modRevision} ${value.toString()}`).sort().join('\n');
}

interface MemberStatus { leader?: string; header?: { member_id?: string } }

/** The index of the member that leads, as most of those that answer say. */
async function leader(servers: readonly string[]): Promise<number | undefined> {
  const found = await Promise.all(servers.map(async (url): Promise<MemberStatus> => {
    try {
      return await (await fetch(`${url}/v3/maintenance/status`, { method: 'POST', body: '{}', signal: AbortSignal.timeout(800) })).json() as MemberStatus;
    } catch {
      return {}; // away
    }
  }));
  const index = found.findIndex(({ leader: id, header }) => id !== undefined && id !== '0' && id === header?.member_id);
  return index < 0 ? undefined : index;
}

async function serve(servers: readonly string[]): Promise<void> {
  const storages = await Promise.all(servers.map(() => openEtcd({ servers, livenessMs: 500 })));
  const fail = (error: unknown): void => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  };
  const clients = new Clients(storages);
  await clients.start(fail);
  const [storage] = storages;
  if (!storage) throw new Error('no servers');
  const cache = createWatchCache(storage);
  cache.run(never).catch(fail);
  const decode = (value: Buffer, revision: bigint): KubeObject => ({ ...(JSON.parse(value.toString()) as KubeObject), metadata: { resourceVersion: String(revision) } });
  const cached = await cache.add({ id: 'soak', prefix, decode });
  const commands: Record<string, (argument: string) => Promise<unknown>> = {
    acknowledged: async () => clients.acknowledged,
    leader: async () => await leader(servers) ?? null,
    /** All but so many of the newest revisions. */
    compact: async (keep) => tolerate(storage.revision().then((revision) => storage.compact(revision - BigInt(keep)))).then(() => null),
    async finish() {
      const report = await clients.finish();
      await cache.waitForLatest(AbortSignal.timeout(20_000));
      const { items } = await storage.range({ prefix });
      const inCache = cached.list().map(({ namespace, name, object }) => `${prefix}${namespace}/${name} ${object.metadata?.resourceVersion}`).sort();
      must(inCache.join() === items.map(({ key, modRevision }) => `${key} ${modRevision}`).sort().join(), 'the watch cache differs from the store');
      return report;
    },
  };
  process.stdout.write('"started"\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const [command = '', argument = ''] = line.split(' ');
    const answer = await commands[command]?.(argument);
    process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
    if (command === 'finish') break;
  }
  process.exit(0);
}

if (import.meta.main) await serve(process.argv.slice(2));
