// The storage interface: keys, bytes, one revision counter, watch. Two engines stand behind it (sqlite.ts, etcd.ts)
// and one behaviour suite (suite.ts) holds both to the same contract. Only the API server sees it.

/** One stored key. `value` is the object's JSON without resourceVersion, or protobuf behind `k8s\0` from another server. */
export interface StoredValue {
  key: string;
  value: Buffer;
  /** Revision of the first write since the key last did not exist. */
  createRevision: bigint;
  /** Revision of the last write: the object's resourceVersion. */
  modRevision: bigint;
  /** Milliseconds since 1970 at which the key goes by itself; only when asked for (`withExpiry`). */
  expiresAt?: number;
}

export interface RangeOptions {
  /** Every key that starts with this. */
  prefix: string;
  /** First key to return, inclusive; for the next page pass `lastKey + '\0'`. */
  startKey?: string;
  limit?: number;
  /** Read as of this revision; throws `CompactedError` when it is gone, `FutureRevisionError` when it is ahead. */
  revision?: bigint;
  /** Tell when keys run out; costs etcd a call for each lease. */
  withExpiry?: boolean;
}
export interface RangeResult {
  /** In key order (bytewise). */
  items: StoredValue[];
  /** The store's revision that the answer reflects. */
  revision: bigint;
  more: boolean;
  /** Keys from `startKey` on in this prefix, the returned ones included. */
  count: number;
}

/** Expected state of the key: a modRevision, or 0n for "must not exist". */
export interface WriteOptions {
  expected: bigint;
  /** The key is deleted (with an event) this long after the write; each write sets it anew, absent means for ever. */
  ttlSeconds?: number;
}
export type WriteResult =
  | { ok: true; revision: bigint }
  /** The key was not as expected; `current` is what stands there now, if anything. Nothing was written. */
  | { ok: false; current: StoredValue | undefined };

export type StorageEvent =
  | { type: 'put'; key: string; value: Buffer; createRevision: bigint; modRevision: bigint }
  | { type: 'delete'; key: string; modRevision: bigint };
export interface StorageBatch {
  /** In revision order; may be empty (progress only). */
  events: StorageEvent[];
  /** Everything up to and including this revision has been delivered. */
  revision: bigint;
}

/** The asked revision is older than what is kept. */
export class CompactedError extends Error {
  override name = 'CompactedError';
  readonly compacted: bigint;
  constructor(compacted: bigint) {
    super(`required revision has been compacted (oldest kept: ${compacted})`);
    this.compacted = compacted;
  }
}
/** The asked revision has not happened yet. */
export class FutureRevisionError extends Error {
  override name = 'FutureRevisionError';
  readonly current: bigint;
  constructor(current: bigint) {
    super(`required revision is a future revision (current: ${current})`);
    this.current = current;
  }
}
/** The engine cannot be reached or used; the message is one line that says what to do. */
export class StorageUnavailableError extends Error {
  override name = 'StorageUnavailableError';
}

export interface Storage {
  readonly engine: 'sqlite' | 'etcd';
  get(key: string): Promise<{ value: StoredValue | undefined; revision: bigint }>;
  range(options: RangeOptions): Promise<RangeResult>;
  /** Durable when it resolves: it survives kill -9 and power loss. */
  put(key: string, value: Buffer, options: WriteOptions): Promise<WriteResult>;
  delete(key: string, options: { expected: bigint }): Promise<WriteResult>;
  /** What stands there should be written again even if it does not change: it is encrypted in another way than writes are now. */
  isStale?(key: string): Promise<boolean>;
  /** The newest revision, linearizable. Never goes back, not even across restarts. */
  revision(): Promise<bigint>;
  /**
   * Every change under `prefix` after `afterRevision`, in order, nothing lost or doubled, until the signal aborts (then
   * the iteration ends without an error). Throws CompactedError when the start is gone, and StorageUnavailableError when the
   * engine stays away; the caller then reads again.
   */
  watch(prefix: string, afterRevision: bigint, signal: AbortSignal): AsyncIterable<StorageBatch>;
  /** Forgets history up to `revision`; current values stay. */
  compact(revision: bigint): Promise<void>;
  /** Oldest revision that can still be read or watched from (0n: everything). */
  compactedRevision(): Promise<bigint>;
  /** Rejects with StorageUnavailableError when the engine does not answer. */
  ping(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Enough to read everything as of one revision. */
export type StorageView = Pick<Storage, 'engine' | 'range' | 'revision' | 'close'>;
