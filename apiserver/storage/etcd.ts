// The external engine: etcd 3.4 or later through the etcd3 package, of which only the calls are used. Its own watcher stalls
// after reconnects (microsoft/etcd3 issues 31, 72, 78, 114) and its retries would repeat a compare-and-set, so watching and
// retrying are done here. This is the only file that loads etcd3; import it only when etcd was asked for.
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { Etcd3, type IKeyValue, type IWatchRequest, type IWatchResponse } from 'etcd3';
import { aborted } from '#machinery/base/abort.ts';
import { createBackoff } from '#machinery/base/backoff.ts';
import { sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import {
  CompactedError,
  FutureRevisionError,
  StorageUnavailableError,
  type RangeOptions,
  type RangeResult,
  type Storage,
  type StorageBatch,
  type StorageEvent,
  type StoredValue,
  type WriteOptions,
  type WriteResult,
} from './storage.ts';

export interface EtcdOptions {
  /** `http://host:port` each; all of one cluster. */
  servers: readonly string[];
  /** Stands in for `/registry` in every key; upstream's --etcd-prefix. */
  prefix?: string;
  caFile?: string;
  certFile?: string;
  keyFile?: string;
  /** How often a silent watch is compared with the store's revision. Default 5 s. */
  livenessMs?: number;
}

const callTimeoutMs = 4000;
/** Reads, and writes that never left, are tried again this long: a leader election takes about a second. */
const retryForMs = 3000;
/** A watch that finds no server for this long gives up; the caller decides. */
const watchAwayMs = 10_000;
/** Ranges go in pages: an answer is held in memory whole on both sides. */
const rangePage = 1000;
/** Keys per shared lease, as upstream's etcd3 lease manager bounds it. */
const leaseKeys = 1000;

const defaultPrefix = '/registry';
const wholeKeyspace = { key: Buffer.from([0]), range_end: Buffer.from([0]) };

type CallOptions = { deadline: Date };

/** Connects and asks for the version; rejects with StorageUnavailableError within a few seconds. */
export async function openEtcd(options: EtcdOptions): Promise<Storage> {
  const storage = new EtcdStorage(options);
  try {
    await storage.checkVersion();
    return storage;
  } catch (error) {
    await storage.close();
    throw error;
  }
}

interface LeaseBucket {
  id: Promise<string>;
  /** Writes after this take a new lease, so that none lives much longer than asked. */
  usableUntil: number;
  keys: number;
}

class EtcdStorage implements Storage {
  readonly engine = 'etcd';
  readonly #servers: readonly string[];
  readonly #clients: Etcd3[];
  readonly #prefix: string;
  readonly #livenessMs: number;
  readonly #closing = new AbortController();
  readonly #leases = new Map<number, LeaseBucket>();
  readonly #log = createLogger('storage');
  /** One server at a time: the watch and the calls then see the same member's progress. */
  #active = 0;
  #knownCompacted = 0n;

  constructor({ servers, prefix = defaultPrefix, caFile, certFile, keyFile, livenessMs = 5000 }: EtcdOptions) {
    if (servers.length === 0) throw new StorageUnavailableError('no etcd server is named; give --etcd-servers http://HOST:PORT');
    for (const server of servers) {
      if (!/^https?:\/\/[^/]+$/.test(server.replace(/\/$/, ''))) throw new StorageUnavailableError(`"${server}" is not an etcd server; write http://HOST:PORT`);
    }
    this.#servers = servers.map((server) => server.replace(/\/$/, ''));
    this.#prefix = `/${prefix.replace(/^\/+|\/+$/g, '')}`;
    this.#livenessMs = livenessMs;
    const credentials = caFile || certFile || keyFile ? readCredentials({ caFile, certFile, keyFile }) : undefined;
    this.#clients = this.#servers.map(
      (host) =>
        new Etcd3({
          hosts: host,
          ...(credentials && host.startsWith('https:') ? { credentials } : {}),
          grpcOptions: {
            'grpc.max_receive_message_length': -1,
            'grpc.keepalive_time_ms': 10_000,
            'grpc.keepalive_timeout_ms': 5000,
            // A channel that is made anew must connect anew, not find the connection that hung.
            'grpc.use_local_subchannel_pool': 1,
            // grpc waits up to two minutes between attempts to connect by default.
            'grpc.initial_reconnect_backoff_ms': 100,
            'grpc.max_reconnect_backoff_ms': 1000,
          },
          faultHandling: { host: () => passThrough, global: passThrough },
        }),
    );
  }

  async checkVersion(): Promise<void> {
    const { version } = await this.#call('connect', true, (client, options) => client.maintenance.status(options));
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major < 3 || (major === 3 && minor < 4)) {
      throw new StorageUnavailableError(`etcd at ${this.#servers.join(', ')} is version ${version}; 3.4 or later is needed`);
    }
  }

  async get(key: string): Promise<{ value: StoredValue | undefined; revision: bigint }> {
    const { kvs, header } = await this.#call('get', true, (client, options) => client.kv.range({ key: this.#out(key) }, options));
    return { value: kvs[0] && this.#stored(kvs[0]), revision: BigInt(header.revision) };
  }

  async range({ prefix, startKey, limit, revision, withExpiry }: RangeOptions): Promise<RangeResult> {
    const end = endOfPrefix(this.#out(prefix));
    const items: StoredValue[] = [];
    let from = this.#out(startKey ?? prefix);
    let at = revision;
    let total: number | undefined;
    const expiry = withExpiry ? new Map<string, Promise<number>>() : undefined;
    for (;;) {
      const page = limit ? Math.min(rangePage, limit - items.length) : rangePage;
      const response = await this.#call('range', true, (client, options) =>
        client.kv.range({ key: from, range_end: end, limit: page, ...(at === undefined ? {} : { revision: String(at) }) }, options),
      );
      at ??= BigInt(response.header.revision);
      total ??= Number(response.count);
      for (const kv of response.kvs) items.push(expiry && kv.lease !== '0' ? await this.#storedWithExpiry(kv, expiry) : this.#stored(kv));
      const last = response.kvs.at(-1);
      const full = limit !== undefined && limit > 0 && items.length >= limit;
      if (full || !response.more || !last) return { items, revision: at, more: response.more, count: total };
      from = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  async put(key: string, value: Buffer, { expected, ttlSeconds }: WriteOptions): Promise<WriteResult> {
    const target = this.#out(key);
    for (let attempt = 0; ; attempt += 1) {
      const lease = ttlSeconds === undefined ? undefined : await this.#lease(ttlSeconds);
      try {
        return await this.#write('put', target, expected, { request_put: { key: target, value, ...(lease === undefined ? {} : { lease }) } });
      } catch (error) {
        // The lease ran out while etcd was away; nothing was written.
        if (ttlSeconds === undefined || attempt > 0 || !(error instanceof StorageUnavailableError) || !/lease .*(expired|not found)/i.test(error.message)) throw error;
        this.#leases.delete(ttlSeconds);
      }
    }
  }

  async delete(key: string, { expected }: { expected: bigint }): Promise<WriteResult> {
    const target = this.#out(key);
    return this.#write('delete', target, expected, { request_delete_range: { key: target } });
  }

  async revision(): Promise<bigint> {
    // Any key will do: the header of a linearizable read tells it.
    const { header } = await this.#call('read the revision', true, (client, options) => client.kv.range({ key: Buffer.from(this.#prefix), count_only: true }, options));
    return BigInt(header.revision);
  }

  async *watch(prefix: string, afterRevision: bigint, signal: AbortSignal): AsyncIterable<StorageBatch> {
    if (signal.aborted) return;
    const newest = await this.revision();
    if (afterRevision > newest) throw new FutureRevisionError(newest);
    const backoff = createBackoff({ baseMs: 50, maxMs: 1000, jitter: 0.2 });
    let position = afterRevision;
    let awaySince: number | undefined;
    yield { events: [], revision: position };
    while (!signal.aborted) {
      const watched = this.#active;
      try {
        for await (const batch of this.#watchOnce(prefix, position, signal)) {
          if (batch.revision > position) backoff.reset();
          position = batch.revision;
          awaySince = undefined;
          yield batch;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (this.#closing.signal.aborted) throw this.#closed();
        const known = this.#translate('watch', error);
        if (!(known instanceof StorageUnavailableError)) throw known;
        if (awaySince === undefined) this.#log.warn('watch of etcd was interrupted; going on', { position, reason: known.message });
        awaySince ??= Date.now();
        if (Date.now() - awaySince > watchAwayMs || error instanceof WatchRefusedError) throw known;
        this.#leave(watched);
        await sleep(backoff.nextMs(), signal).catch(() => undefined); // the loop looks at the signal
      }
    }
  }

  async compact(revision: bigint): Promise<void> {
    try {
      await this.#call('compact', true, (client, options) => client.kv.compact({ revision: String(revision) }, options));
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
    }
  }

  /** etcd does not tell it, but it refuses reads below it: the boundary is found by halving. */
  async compactedRevision(): Promise<bigint> {
    const isReadable = async (revision: bigint): Promise<boolean> => {
      try {
        await this.#call('read', true, (client, options) => client.kv.range({ key: Buffer.from(this.#prefix), count_only: true, revision: String(revision) }, options));
        return true;
      } catch (error) {
        if (error instanceof CompactedError) return false;
        throw error;
      }
    };
    let low = this.#knownCompacted;
    if (await isReadable(low > 0n ? low : 1n)) return low;
    let high = await this.revision();
    while (low + 1n < high) {
      const middle = (low + high) / 2n;
      if (await isReadable(middle)) high = middle;
      else low = middle;
    }
    this.#knownCompacted = high;
    return high;
  }

  async ping(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await Promise.race([
      this.revision(),
      aborted(signal).then(() => {
        throw new StorageUnavailableError(`etcd at ${this.#servers.join(', ')} does not answer in time`);
      }),
    ]);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const client of this.#clients) client.close();
  }

  async #write(what: string, key: Buffer, expected: bigint, success: { request_put: object } | { request_delete_range: object }): Promise<WriteResult> {
    const response = await this.#call(what, false, (client, options) =>
      client.kv.txn(
        {
          compare: [{ key, target: 'Mod', result: 'Equal', mod_revision: String(expected) }],
          success: [success],
          failure: [{ request_range: { key } }],
        },
        options,
      ),
    );
    if (response.succeeded) return { ok: true, revision: BigInt(response.header.revision) };
    const current = response.responses[0]?.response_range?.kvs[0];
    return { ok: false, current: current && this.#stored(current) };
  }

  /** `repeatable`: doing it twice is as good as once. Other calls are tried again only when they cannot have arrived. */
  async #call<T>(what: string, repeatable: boolean, work: (client: Etcd3, options: CallOptions) => Promise<T>): Promise<T> {
    const startedAt = Date.now();
    const backoff = createBackoff({ baseMs: 50, maxMs: 500, jitter: 0.2 });
    for (;;) {
      if (this.#closing.signal.aborted) throw this.#closed();
      const asked = this.#active;
      try {
        return await work(this.#clients[asked] as Etcd3, { deadline: new Date(Date.now() + callTimeoutMs) }); // always in range
      } catch (cause) {
        const error = this.#translate(what, cause);
        if (error instanceof FutureRevisionError && what !== 'read the revision') throw new FutureRevisionError(await this.revision());
        if (!isAway(cause)) throw error;
        this.#leave(asked);
        if (Date.now() - startedAt > retryForMs || !(repeatable || neverLeft(cause))) throw error;
        try {
          await sleep(backoff.nextMs(), this.#closing.signal);
        } catch {
          throw this.#closed();
        }
      }
    }
  }

  /** One stream until it breaks; throws when it does. */
  async *#watchOnce(prefix: string, after: bigint, signal: AbortSignal): AsyncIterable<StorageBatch> {
    const client = this.#clients[this.#active] as Etcd3; // always in range
    // The package types the stream by its own narrow interface; it is a Node duplex stream with grpc's cancel().
    const stream = (await client.watchClient.watch()) as unknown as Duplex & { cancel(): void };
    // The package's listener would, on a late error of a stream given up long ago, close the channels in use by then.
    stream.removeAllListeners('error');
    stream.on('error', () => undefined); // the iteration below reports it
    const state = { position: after, isHandedOut: false, heardAt: Date.now() };
    const own = new AbortController();
    const stop = AbortSignal.any([signal, this.#closing.signal, own.signal]);
    const cancel = (): void => {
      stream.destroy();
    };
    stop.addEventListener('abort', cancel, { once: true });
    const supervision = this.#supervise(stream, state, stop);
    try {
      // The whole keyspace, filtered here: then every revision shows, and progress needs no progress requests, which are
      // unsafe before 3.4.31 and 3.5.13 (etcd issues 15220, 17507).
      const request: IWatchRequest = { create_request: { ...wholeKeyspace, start_revision: String(after + 1n), fragment: true } };
      stream.write(request);
      const start = this.#out(prefix);
      let events: StorageEvent[] = [];
      for await (const response of stream as AsyncIterable<IWatchResponse>) {
        state.heardAt = Date.now();
        if (response.canceled) {
          const compacted = BigInt(response.compact_revision);
          if (compacted > 0n) throw new CompactedError(compacted);
          throw new WatchRefusedError(response.cancel_reason || 'canceled by etcd');
        }
        // It runs again, also when nothing happens for a while.
        if (response.created) yield { events: [], revision: state.position };
        for (const { type, kv } of response.events) {
          state.position = BigInt(kv.mod_revision);
          if (!startsWith(kv.key, start)) continue;
          if (type === 'Delete' || String(type).toUpperCase() === 'DELETE') events.push({ type: 'delete', key: this.#in(kv.key), modRevision: state.position });
          else events.push({ type: 'put', ...this.#stored(kv) });
        }
        // A fragment may end in the middle of a revision.
        if (response.fragment || response.events.length === 0) continue;
        const batch = { events, revision: state.position };
        events = [];
        state.isHandedOut = true;
        yield batch;
        state.isHandedOut = false;
        state.heardAt = Date.now();
      }
      if (!signal.aborted) throw new Error('etcd ended the watch stream');
    } finally {
      stop.removeEventListener('abort', cancel);
      own.abort();
      stream.cancel();
      stream.destroy();
      await supervision;
    }
  }

  /** Breaks a stream that stays silent although the store has moved on, or whose server no longer answers. */
  async #supervise(stream: Duplex, state: { position: bigint; isHandedOut: boolean; heardAt: number }, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#livenessMs, signal).catch(() => undefined); // the loop looks at the signal
      if (signal.aborted) return;
      if (state.isHandedOut || Date.now() - state.heardAt < this.#livenessMs) continue;
      try {
        const newest = await this.revision();
        if (newest <= state.position) continue;
        await sleep(Math.min(2000, this.#livenessMs), signal).catch(() => undefined); // as above
        if (!signal.aborted && !state.isHandedOut && state.position < newest) stream.destroy(new StalledWatchError(`the watch is silent at ${state.position}, the store is at ${newest}`));
      } catch (error) {
        if (!signal.aborted) stream.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  /** Keys with the same time to live that are written close together share a lease: at most 5% (60 s) longer than asked. */
  async #lease(ttlSeconds: number): Promise<string> {
    const now = Date.now();
    const known = this.#leases.get(ttlSeconds);
    if (known && known.usableUntil > now && known.keys < leaseKeys) {
      known.keys += 1;
      return known.id;
    }
    const slackSeconds = Math.min(60, Math.floor(ttlSeconds * 0.05));
    const granted = this.#call('grant a lease', true, (client, options) => client.leaseClient.leaseGrant({ TTL: Math.ceil(ttlSeconds) + slackSeconds, ID: 0 }, options));
    const bucket: LeaseBucket = { id: granted.then(({ ID }) => ID), usableUntil: now + slackSeconds * 1000, keys: 1 };
    this.#leases.set(ttlSeconds, bucket);
    try {
      return await bucket.id;
    } catch (error) {
      if (this.#leases.get(ttlSeconds) === bucket) this.#leases.delete(ttlSeconds);
      throw error;
    }
  }

  /** On to the next server, unless another call that failed at this one has gone on already. */
  #leave(server: number): void {
    if (this.#active === server) this.#active = (server + 1) % this.#clients.length;
  }

  #translate(what: string, error: unknown): Error {
    if (error instanceof CompactedError || error instanceof FutureRevisionError || error instanceof StorageUnavailableError) return error;
    const text = error instanceof Error ? error.message : String(error);
    if (text.includes('required revision has been compacted')) return new CompactedError(this.#knownCompacted);
    if (text.includes('required revision is a future revision')) return new FutureRevisionError(0n);
    const where = this.#servers.join(', ');
    const advice = isAway(error) ? `etcd at ${where} cannot be reached; check that it runs and --etcd-servers` : `etcd at ${where} refused to ${what}`;
    return new StorageUnavailableError(`${advice} (${text.split('\n')[0]})`, { cause: error });
  }

  #closed(): StorageUnavailableError {
    return new StorageUnavailableError('the connection to etcd was closed');
  }

  #stored(kv: IKeyValue): StoredValue {
    return { key: this.#in(kv.key), value: kv.value, createRevision: BigInt(kv.create_revision), modRevision: BigInt(kv.mod_revision) };
  }

  /** One call for each lease; `known` is what this range has asked already. */
  async #storedWithExpiry(kv: IKeyValue, known: Map<string, Promise<number>>): Promise<StoredValue> {
    let expiry = known.get(kv.lease);
    if (!expiry) {
      expiry = this.#call('read a lease', true, (client, options) => client.leaseClient.leaseTimeToLive({ ID: kv.lease, keys: false }, options))
        // Less than zero: it is over, and with it the key.
        .then(({ TTL }) => Date.now() + Math.max(0, Number(TTL)) * 1000);
      known.set(kv.lease, expiry);
    }
    return { ...this.#stored(kv), expiresAt: await expiry };
  }

  #out(key: string): Buffer {
    return Buffer.from(this.#prefix !== defaultPrefix && key.startsWith(`${defaultPrefix}/`) ? this.#prefix + key.slice(defaultPrefix.length) : key);
  }

  #in(key: Buffer): string {
    const text = key.toString();
    return this.#prefix !== defaultPrefix && text.startsWith(`${this.#prefix}/`) ? defaultPrefix + text.slice(this.#prefix.length) : text;
  }
}

class StalledWatchError extends Error {
  override name = 'StalledWatchError';
}
/** etcd does not want this watch at all (permissions); trying again does not help. */
class WatchRefusedError extends Error {
  override name = 'WatchRefusedError';
}

/** The package retries calls and opens circuit breakers by default; both are decided here. */
const passThrough = {
  _altReturn: undefined as never, // exists for the type checker only
  onSuccess: () => ({ dispose: () => undefined }),
  onFailure: () => ({ dispose: () => undefined }),
  execute: async <T>(work: (context: { signal: AbortSignal }) => PromiseLike<T> | T): Promise<T> => work({ signal: new AbortController().signal }),
};

/** The server or the way to it is gone, as opposed to an answer that says no. The package names classes after grpc's codes. */
function isAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof StalledWatchError) return true;
  return (
    /^(GRPCUnavailable|GRPCDeadlineExceeded|GRPCCancelled|GRPCInternal|GRPCUnknown|GRPCAborted|ClientClosed)/.test(error.constructor.name) ||
    /UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED|ECONN|Channel has been shut down|Channel closed/.test(error.message) ||
    error.message === 'etcd ended the watch stream'
  );
}

function neverLeft(error: unknown): boolean {
  return error instanceof Error && /ECONNREFUSED|No connection established|Name resolution failed|Channel closed before call started/.test(error.message);
}

function readCredentials(files: { caFile?: string | undefined; certFile?: string | undefined; keyFile?: string | undefined }): { rootCertificate: Buffer; privateKey?: Buffer; certChain?: Buffer } {
  const read = (name: string, path: string | undefined): Buffer | undefined => {
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new StorageUnavailableError(`${name} ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  };
  const rootCertificate = read('--etcd-cafile', files.caFile);
  if (!rootCertificate) throw new StorageUnavailableError('etcd over TLS needs --etcd-cafile');
  const privateKey = read('--etcd-keyfile', files.keyFile);
  const certChain = read('--etcd-certfile', files.certFile);
  if (!privateKey !== !certChain) throw new StorageUnavailableError('--etcd-certfile and --etcd-keyfile go together');
  return { rootCertificate, ...(privateKey && certChain ? { privateKey, certChain } : {}) };
}

function startsWith(key: Buffer, prefix: Buffer): boolean {
  return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}

/** The first key past everything that starts with `prefix`. */
function endOfPrefix(prefix: Buffer): Buffer {
  for (let i = prefix.length - 1; i >= 0; i -= 1) {
    const byte = prefix[i] as number; // below length
    if (byte < 0xff) return Buffer.concat([prefix.subarray(0, i), Buffer.from([byte + 1])]);
  }
  return Buffer.from([0]);
}
