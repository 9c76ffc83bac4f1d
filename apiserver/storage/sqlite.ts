// The embedded engine: one log-structured table in a SQLite file (the layout is kine's idea), group commit, watches fed in
// process. One process owns the file (sqlite-file.ts); a second one is refused. The contract is storage.ts, the tests are suite.ts.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { systemClock, type Clock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { damaged, isFull, isSqliteError, openFile, openFileForReading, pragma, refusal, type SqliteFile } from './sqlite-file.ts';
import {
  CompactedError,
  FutureRevisionError,
  StorageUnavailableError,
  type RangeOptions,
  type RangeResult,
  type Storage,
  type StorageBatch,
  type StorageEvent,
  type StorageView,
  type StoredValue,
  type WriteOptions,
  type WriteResult,
} from './storage.ts';

export interface SqliteOptions {
  /** The database file; it and its folder are made when missing, readable by the owner only. */
  path: string;
  clock?: Clock;
}

/** A store that was never written to is at 1, as etcd's is: 0 means "any" on the wire. */
const firstRevision = 1n;
/** Writes in one transaction: bounds how long a commit keeps the event loop, and how far the log grows. */
const batchWrites = 256;
const batchBytes = 8 << 20;
/** Revisions cleaned and pages given back in one step of a compaction, for the same reason. */
const cleanStep = 100n;
const vacuumStep = 128;
/** Free pages a compaction leaves in the file for the next writes. */
const freePagesKept = 256;
/** Events a slow watch may hold in memory; past that it reads them from the table again. */
const watchQueueEvents = 4096;
const catchUpEvents = 1000;

/** Opens the file or refuses it with a StorageUnavailableError; a refused file is left as it was. */
export async function openSqlite({ path, clock = systemClock }: SqliteOptions): Promise<Storage> {
  const file = await openFile(path);
  try {
    return new SqliteStorage(file, path, clock);
  } catch (cause) {
    file.close();
    throw refusal(cause, path);
  }
}

/** The file as it is now, also while its owner writes. The view stays the same until it is closed, and can only be read. */
export async function readSqlite(path: string): Promise<StorageView> {
  const database = await openFileForReading(path);
  return new SqliteStorage({ database, isUnchecked: false, close: () => database.close() }, path, undefined);
}

interface Row {
  revision: bigint;
  key: string;
  create_revision: bigint;
  deleted: bigint;
  expires_at: bigint | null;
  value: Uint8Array | null;
}

interface PendingWrite {
  key: string;
  /** undefined deletes. */
  value: Buffer | undefined;
  expected: bigint;
  ttlSeconds: number | undefined;
  resolve(result: WriteResult): void;
  reject(error: Error): void;
}

class SqliteStorage implements Storage {
  readonly engine = 'sqlite';
  readonly #file: SqliteFile;
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #watches = new Set<Watch>();
  #pending: PendingWrite[] = [];
  #scheduled = false;
  #revision: bigint;
  #compacted: bigint;
  #compacting: Promise<void> = Promise.resolve();
  #checking: Promise<void> = Promise.resolve();
  #expiryTimer: NodeJS.Timeout | undefined;
  #expiryAt = Infinity;
  /** Set when the file can no longer be trusted or was closed: every later call gets it. */
  #failed: StorageUnavailableError | undefined;

  /** Without a clock nothing runs out: for a file that is only read. */
  constructor(file: SqliteFile, path: string, clock: Clock | undefined) {
    this.#file = file;
    this.#database = file.database;
    this.#path = path;
    this.#clock = clock ?? systemClock;
    this.#statements = prepare(file.database);
    this.#compacted = this.#meta('compacted');
    const newest = bigintOf(this.#statements.newest.get()?.revision);
    // The newest row may be a tombstone that compaction took; the mark it left keeps the counter from going back.
    this.#revision = max(firstRevision, max(newest, this.#compacted));
    if (file.isUnchecked) this.#checking = this.#check();
    if (clock) this.#armExpiry();
  }

  async get(key: string): Promise<{ value: StoredValue | undefined; revision: bigint }> {
    return this.#read(() => {
      const row = this.#statements.current.get(key) as Row | undefined; // columns as selected
      return { value: row && row.deleted === 0n ? stored(row) : undefined, revision: this.#revision };
    });
  }

  async range({ prefix, startKey, limit, revision, withExpiry }: RangeOptions): Promise<RangeResult> {
    return this.#read(() => {
      const at = revision ?? this.#revision;
      if (at > this.#revision) throw new FutureRevisionError(this.#revision);
      if (at < this.#compacted) throw new CompactedError(this.#compacted);
      const from = startKey !== undefined && startKey > prefix ? startKey : prefix;
      const end = `${prefix}\u{10ffff}`;
      const rows = this.#statements.range.all(from, end, at, limit ? BigInt(limit) + 1n : -1n) as unknown as Row[]; // columns as selected
      const more = limit !== undefined && limit > 0 && rows.length > limit;
      if (more) rows.pop();
      const count = more ? Number(this.#statements.count.get(from, end, at)?.n ?? 0) : rows.length;
      return { items: rows.map((row) => stored(row, withExpiry)), revision: at, more, count };
    });
  }

  put(key: string, value: Buffer, { expected, ttlSeconds }: WriteOptions): Promise<WriteResult> {
    return this.#write(key, value, expected, ttlSeconds);
  }

  delete(key: string, { expected }: { expected: bigint }): Promise<WriteResult> {
    return this.#write(key, undefined, expected, undefined);
  }

  async revision(): Promise<bigint> {
    return this.#read(() => this.#revision);
  }

  async *watch(prefix: string, afterRevision: bigint, signal: AbortSignal): AsyncIterable<StorageBatch> {
    if (signal.aborted) return;
    if (this.#failed) throw this.#failed;
    if (afterRevision > this.#revision) throw new FutureRevisionError(this.#revision);
    const watch = new Watch(prefix, afterRevision);
    const stop = (): void => watch.wake();
    signal.addEventListener('abort', stop, { once: true });
    this.#watches.add(watch);
    try {
      while (!signal.aborted) {
        if (this.#failed) throw this.#failed;
        const batch = watch.behind ? this.#catchUp(watch) : watch.take();
        if (batch) yield batch;
        else await watch.wait();
      }
    } finally {
      this.#watches.delete(watch);
      signal.removeEventListener('abort', stop);
    }
  }

  async compact(revision: bigint): Promise<void> {
    if (this.#failed) throw this.#failed;
    if (revision > this.#revision) throw new FutureRevisionError(this.#revision);
    if (revision > this.#compacted) {
      // The mark goes first: what is half cleaned must not be read, and a crash in between is finished next time.
      this.#read(() => this.#statements.setMeta.run(revision, 'compacted'));
      this.#compacted = revision;
    }
    const before = this.#compacting;
    this.#compacting = (async () => {
      await before.catch(() => undefined); // its own caller has the error
      await this.#clean();
    })();
    return this.#compacting;
  }

  async compactedRevision(): Promise<bigint> {
    return this.#read(() => this.#compacted);
  }

  async ping(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#read(() => this.#statements.newest.get());
  }

  async close(): Promise<void> {
    if (!this.#database.isOpen) return;
    while (this.#pending.length > 0) this.#flush();
    this.#failed ??= new StorageUnavailableError(`${this.#path} is closed`);
    clearTimeout(this.#expiryTimer);
    for (const watch of this.#watches) watch.wake();
    await this.#compacting.catch(() => undefined); // its own caller has the error
    await this.#checking;
    // A second call may have closed it meanwhile.
    if (this.#database.isOpen) this.#file.close();
  }

  #write(key: string, value: Buffer | undefined, expected: bigint, ttlSeconds: number | undefined): Promise<WriteResult> {
    if (this.#failed) return Promise.reject(this.#failed);
    const { promise, resolve, reject } = Promise.withResolvers<WriteResult>();
    this.#pending.push({ key, value, expected, ttlSeconds, resolve, reject });
    this.#schedule();
    return promise;
  }

  /** After the input that this turn of the event loop brought: all its writes share the commit. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** One transaction; the next one follows in a turn of its own. */
  #flush(): void {
    if (this.#failed) {
      for (const write of this.#pending.splice(0)) write.reject(this.#failed);
      return;
    }
    const writes = this.#pending.splice(0, batchLength(this.#pending));
    if (writes.length === 0) return;
    if (this.#pending.length > 0) this.#schedule();

    const results: WriteResult[] = [];
    const events: StorageEvent[] = [];
    const before = this.#revision;
    const now = this.#clock.now();
    let expiryAt = this.#expiryAt;
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      for (const write of writes) {
        const result = this.#apply(write, now, events);
        results.push(result);
        if (result.ok && write.ttlSeconds !== undefined) expiryAt = Math.min(expiryAt, now + write.ttlSeconds * 1000);
      }
      this.#database.exec('COMMIT');
    } catch (cause) {
      this.#revision = before;
      const error = this.#giveUpWrite(cause);
      for (const write of writes) write.reject(error);
      return;
    }
    // Watches first: who waited for the write then finds the cache at or near its revision.
    if (events.length > 0) for (const watch of this.#watches) watch.push(events, this.#revision);
    writes.forEach((write, index) => write.resolve(results[index] as WriteResult)); // one each, see above
    if (expiryAt < this.#expiryAt) this.#armExpiry(expiryAt);
  }

  #apply(write: PendingWrite, now: number, events: StorageEvent[]): WriteResult {
    const { key, value, expected } = write;
    const statements = this.#statements;
    const row = statements.currentMark.get(key) as Omit<Row, 'value'> | undefined; // columns as selected
    const current = row && row.deleted === 0n ? row : undefined;
    if ((current?.revision ?? 0n) !== expected) {
      return { ok: false, current: current && stored(statements.current.get(key) as unknown as Row) };
    }
    // Deleting what must not exist is fulfilled already.
    if (value === undefined && !current) return { ok: true, revision: this.#revision };
    const revision = this.#revision + 1n;
    if (current && current.expires_at !== null) statements.clearExpiry.run(current.revision);
    if (value === undefined) {
      statements.insert.run(revision, key, current?.create_revision ?? 0n, current?.revision ?? 0n, 1n, null, null);
      events.push({ type: 'delete', key, modRevision: revision });
    } else {
      const createRevision = current?.create_revision ?? revision;
      const expiresAt = write.ttlSeconds === undefined ? null : BigInt(Math.round(now + write.ttlSeconds * 1000));
      statements.insert.run(revision, key, createRevision, current?.revision ?? 0n, 0n, expiresAt, value);
      events.push({ type: 'put', key, value, createRevision, modRevision: revision });
    }
    this.#revision = revision;
    return { ok: true, revision };
  }

  /** A full disk passes once there is room; after anything else nobody knows what the file holds until it is opened anew. */
  #giveUpWrite(cause: unknown): StorageUnavailableError {
    let rolledBack = true;
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch {
      rolledBack = false; // reported below with the first cause
    }
    const error = refusal(cause, this.#path);
    if (!rolledBack || !isFull(cause)) this.#fail(error);
    return error;
  }

  #fail(error: StorageUnavailableError): void {
    this.#failed ??= error;
    for (const watch of this.#watches) watch.wake();
  }

  /** What was too large to be checked at the start: damage that is found late ends the service before more is built on it. */
  async #check(): Promise<void> {
    const { Worker } = await import('node:worker_threads');
    const worker = new Worker(new URL('./sqlite-check.ts', import.meta.url), { workerData: this.#path });
    const found = await new Promise<unknown>((resolve) => worker.once('message', resolve).once('error', resolve));
    if (found === 'ok' || this.#failed) return;
    const error = new StorageUnavailableError(damaged(this.#path, String(found)));
    createLogger('storage').error('the database is damaged', { error });
    this.#fail(error);
  }

  #read<T>(work: () => T): T {
    if (this.#failed) throw this.#failed;
    try {
      return work();
    } catch (cause) {
      if (!isSqliteError(cause)) throw cause;
      throw refusal(cause, this.#path);
    }
  }

  #meta(name: string): bigint {
    return bigintOf(this.#statements.meta.get(name)?.value);
  }

  /** The next slice of what a watch missed, from the table. */
  #catchUp(watch: Watch): StorageBatch | undefined {
    const after = watch.position;
    if (after < this.#compacted) throw new CompactedError(this.#compacted);
    const rows = this.#read(() => this.#statements.after.all(after, BigInt(catchUpEvents))) as unknown as Row[]; // columns as selected
    const complete = rows.length < catchUpEvents;
    const revision = complete ? this.#revision : (rows.at(-1) as Row).revision; // full, so there is a last one
    watch.caughtUp(revision, complete);
    const events = rows.filter((row) => row.key.startsWith(watch.prefix)).map(eventOf);
    return { events, revision };
  }

  async #clean(): Promise<void> {
    for (let cleaned = this.#meta('cleaned'); cleaned < this.#compacted; ) {
      const to = min(cleaned + cleanStep, this.#compacted);
      this.#read(() => {
        this.#database.exec('BEGIN IMMEDIATE');
        try {
          this.#statements.dropSuperseded.run(cleaned, to);
          this.#statements.dropTombstones.run(cleaned, to);
          this.#statements.setMeta.run(to, 'cleaned');
          this.#database.exec('COMMIT');
        } catch (cause) {
          this.#giveUpWrite(cause);
          throw cause;
        }
      });
      cleaned = to;
      await turn();
      if (this.#failed) return;
    }
    while (pragma(this.#database, 'freelist_count') > freePagesKept) {
      this.#read(() => this.#database.exec(`PRAGMA incremental_vacuum(${vacuumStep})`));
      await turn();
      if (this.#failed) return;
    }
  }

  #armExpiry(at?: number): void {
    if (at === undefined) {
      const next = this.#read(() => this.#statements.nextExpiry.get())?.at;
      at = next === null || next === undefined ? Infinity : Number(next);
    }
    this.#expiryAt = at;
    clearTimeout(this.#expiryTimer);
    if (at === Infinity) return;
    // Timers take 31 bits; a long wait just looks again in a day.
    this.#expiryTimer = setTimeout(() => this.#expire(), Math.min(Math.max(0, at - this.#clock.now()), 86_400_000));
    this.#expiryTimer.unref();
  }

  #expire(): void {
    if (this.#failed) return;
    const due = this.#read(() => this.#statements.due.all(BigInt(this.#clock.now()), BigInt(batchWrites))) as unknown as Pick<Row, 'key' | 'revision'>[]; // columns as selected
    if (due.length === 0) return this.#armExpiry();
    let open = due.length;
    const done = (): void => {
      open -= 1;
      if (open === 0 && !this.#failed) this.#armExpiry();
    };
    for (const { key, revision } of due) {
      // Not as expected means written again meanwhile: then it is not due any more. A failed write is tried again by the next arming.
      this.#pending.push({ key, value: undefined, expected: revision, ttlSeconds: undefined, resolve: done, reject: () => this.#retryExpiry() });
    }
    this.#schedule();
  }

  #retryExpiry(): void {
    if (!this.#failed) this.#armExpiry(this.#clock.now() + 1000);
  }
}

/** One subscriber: events come in after each commit, bounded; `behind` sends it to the table instead. */
class Watch {
  readonly prefix: string;
  /** Everything up to here was handed out. */
  position: bigint;
  behind = true;
  #events: StorageEvent[] = [];
  #revision: bigint;
  #wake: (() => void) | undefined;

  constructor(prefix: string, position: bigint) {
    this.prefix = prefix;
    this.position = position;
    this.#revision = position;
  }

  push(events: StorageEvent[], revision: bigint): void {
    if (!this.behind) {
      if (this.#events.length + events.length > watchQueueEvents) {
        this.#events = [];
        this.behind = true;
      } else {
        for (const event of events) if (event.key.startsWith(this.prefix)) this.#events.push(event);
        this.#revision = revision;
      }
    }
    this.wake();
  }

  take(): StorageBatch | undefined {
    if (this.#revision === this.position) return undefined;
    const events = this.#events;
    this.#events = [];
    this.position = this.#revision;
    return { events, revision: this.position };
  }

  caughtUp(revision: bigint, complete: boolean): void {
    this.position = revision;
    this.#revision = revision;
    this.behind = !complete;
  }

  wake(): void {
    this.#wake?.();
  }

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

function prepare(database: DatabaseSync) {
  const columns = 'revision, key, create_revision, deleted, expires_at';
  const make = (sql: string): StatementSync => {
    const statement = database.prepare(sql);
    statement.setReadBigInts(true);
    return statement;
  };
  // The newest row of each key as of a revision; the inner query reads the index only.
  const newestPerKey = 'SELECT max(revision) AS newest, deleted AS gone FROM log WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key HAVING gone = 0';
  return {
    newest: make('SELECT max(revision) AS revision FROM log'),
    current: make(`SELECT ${columns}, value FROM log WHERE key = ? ORDER BY revision DESC LIMIT 1`),
    currentMark: make(`SELECT ${columns} FROM log WHERE key = ? ORDER BY revision DESC LIMIT 1`),
    // CROSS JOIN keeps the inner query as the outer loop, and with it the order; an ORDER BY out here would sort all values.
    range: make(`SELECT ${columns}, value FROM (${newestPerKey} ORDER BY key LIMIT ?) CROSS JOIN log ON log.revision = newest`),
    count: make(`SELECT count(*) AS n FROM (${newestPerKey})`),
    after: make(`SELECT ${columns}, value FROM log WHERE revision > ? ORDER BY revision LIMIT ?`),
    insert: make('INSERT INTO log (revision, key, create_revision, previous_revision, deleted, expires_at, value) VALUES (?, ?, ?, ?, ?, ?, ?)'),
    clearExpiry: make('UPDATE log SET expires_at = NULL WHERE revision = ?'),
    nextExpiry: make('SELECT min(expires_at) AS at FROM log WHERE expires_at IS NOT NULL'),
    due: make('SELECT key, revision FROM log WHERE expires_at <= ? ORDER BY expires_at LIMIT ?'),
    meta: make('SELECT value FROM meta WHERE name = ?'),
    setMeta: make('UPDATE meta SET value = ? WHERE name = ?'),
    dropSuperseded: make('DELETE FROM log WHERE revision IN (SELECT previous_revision FROM log WHERE revision > ? AND revision <= ?)'),
    dropTombstones: make('DELETE FROM log WHERE revision > ? AND revision <= ? AND deleted = 1'),
  };
}

/** How many of the waiting writes go together: one at least. */
function batchLength(pending: readonly PendingWrite[]): number {
  let bytes = 0;
  const end = pending.findIndex(({ value }, index) => index > 0 && (index >= batchWrites || (bytes += value?.length ?? 0) > batchBytes));
  return end === -1 ? pending.length : end;
}

function stored(row: Row, withExpiry = false): StoredValue {
  const value = { key: row.key, value: bufferOf(row.value), createRevision: row.create_revision, modRevision: row.revision };
  return withExpiry && row.expires_at !== null ? { ...value, expiresAt: Number(row.expires_at) } : value;
}

function eventOf(row: Row): StorageEvent {
  return row.deleted === 0n
    ? { type: 'put', key: row.key, value: bufferOf(row.value), createRevision: row.create_revision, modRevision: row.revision }
    : { type: 'delete', key: row.key, modRevision: row.revision };
}

function bufferOf(bytes: Uint8Array | null): Buffer {
  return bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.alloc(0);
}

function bigintOf(value: unknown): bigint {
  return typeof value === 'bigint' ? value : 0n;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
