// The embedded engine: one log-structured table in a SQLite file (the layout is kine's idea), group commit, watches fed in
// process. One process owns the file; a second one is refused. The contract is storage.ts, the tests are suite.ts.
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { systemClock, type Clock } from '#machinery/base/clock.ts';
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

export interface SqliteOptions {
  /** The database file; it and its folder are made when missing, readable by the owner only. */
  path: string;
  clock?: Clock;
}

/** "proa" in ASCII: tells our file from any other SQLite file. */
const applicationId = 0x70726f61;
const schemaVersion = 1;
/** A store that was never written to is at 1, as etcd's is: 0 means "any" on the wire. */
const firstRevision = 1n;
/** Writes in one transaction: bounds how long a commit keeps the event loop. */
const batchWrites = 256;
/** Revisions cleaned and pages given back in one step of a compaction, for the same reason. */
const cleanStep = 500n;
const vacuumStep = 256;
/** Free pages a compaction leaves in the file for the next writes. */
const freePagesKept = 256;
/** Events a slow watch may hold in memory; past that it reads them from the table again. */
const watchQueueEvents = 4096;
const catchUpEvents = 1000;

const schema = `
  CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    previous_revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    expires_at INTEGER,
    value BLOB
  ) STRICT;
  CREATE UNIQUE INDEX log_key ON log (key, revision, deleted);
  CREATE INDEX log_expiry ON log (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO meta VALUES ('compacted', 0), ('cleaned', 0);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${schemaVersion};
`;

/** Opens the file or refuses it with a StorageUnavailableError; a refused file is left as it was. */
export async function openSqlite(options: SqliteOptions): Promise<Storage> {
  const { DatabaseSync } = await import('node:sqlite');
  const { path } = options;
  try {
    makeFolder(dirname(resolve(path)));
  } catch (cause) {
    throw new StorageUnavailableError(`cannot create the folder of ${path}: ${reason(cause)}`, { cause });
  }
  try {
    // Secrets live in it. SQLite's side files take their mode from it.
    closeSync(openSync(path, 'wx', 0o600));
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw new StorageUnavailableError(`cannot create ${path}: ${reason(cause)}`, { cause });
  }
  try {
    // SQLite would say "disk I/O error" on a read-only file system.
    for (const place of [dirname(resolve(path)), path]) accessSync(place, constants.W_OK);
  } catch (cause) {
    throw new StorageUnavailableError(`${path} cannot be written: ${reason(cause)}`, { cause });
  }
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    prepareFile(database, path);
    return new SqliteStorage(database, path, options.clock ?? systemClock);
  } catch (cause) {
    database?.close();
    throw cause instanceof StorageUnavailableError ? cause : refusal(cause, path);
  }
}

/** As mkdir -p; Node's recursive mkdir never returns where the system answers ENOENT for good, as /proc does. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** Checks before it changes: the first statement that writes runs after the file is known to be ours or empty. */
function prepareFile(database: DatabaseSync, path: string): void {
  // Exclusive before the first read: the lock is the kernel's (gone with the process), and WAL needs no shared memory.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000');
  const id = pragma(database, 'application_id');
  const version = pragma(database, 'user_version');
  const tables = Number(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n ?? 0);
  const isNew = tables === 0 && id === 0 && version === 0;
  if (!isNew && id !== applicationId) {
    throw new StorageUnavailableError(`${path} is a database of another program; give proa a data directory of its own`);
  }
  if (version > schemaVersion) {
    throw new StorageUnavailableError(`${path} was written by a newer proa (schema ${version}, this one knows ${schemaVersion}); start that version`);
  }
  if (isNew) database.exec('PRAGMA auto_vacuum = INCREMENTAL');
  const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.journal_mode;
  if (mode !== 'wal') throw new StorageUnavailableError(`${path} cannot use a write-ahead log on this file system; choose another data directory`);
  // Takes the exclusive lock now and proves that the file can be written.
  database.exec('BEGIN IMMEDIATE');
  if (isNew) database.exec(schema);
  else database.exec("UPDATE meta SET value = value WHERE name = 'compacted'");
  database.exec('COMMIT');
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
  #expiryTimer: NodeJS.Timeout | undefined;
  #expiryAt = Infinity;
  /** Set when the file can no longer be trusted or was closed: every later call gets it. */
  #failed: StorageUnavailableError | undefined;

  constructor(database: DatabaseSync, path: string, clock: Clock) {
    this.#database = database;
    this.#path = path;
    this.#clock = clock;
    this.#statements = prepare(database);
    this.#compacted = this.#meta('compacted');
    const newest = bigintOf(this.#statements.newest.get()?.revision);
    // The newest row may be a tombstone that compaction took; the mark it left keeps the counter from going back.
    this.#revision = max(firstRevision, max(newest, this.#compacted));
    this.#armExpiry();
  }

  async get(key: string): Promise<{ value: StoredValue | undefined; revision: bigint }> {
    return this.#read(() => {
      const row = this.#statements.current.get(key) as Row | undefined; // columns as selected
      return { value: row && row.deleted === 0n ? stored(row) : undefined, revision: this.#revision };
    });
  }

  async range({ prefix, startKey, limit, revision }: RangeOptions): Promise<RangeResult> {
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
      return { items: rows.map(stored), revision: at, more, count };
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
    this.#flush();
    this.#failed ??= new StorageUnavailableError(`${this.#path} is closed`);
    clearTimeout(this.#expiryTimer);
    for (const watch of this.#watches) watch.wake();
    await this.#compacting.catch(() => undefined); // its own caller has the error
    // A second call may have closed it meanwhile.
    if (this.#database.isOpen) this.#database.close();
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
      this.#flush(batchWrites);
    });
  }

  #flush(limit = Infinity): void {
    if (this.#failed) {
      for (const write of this.#pending.splice(0)) write.reject(this.#failed);
      return;
    }
    const writes = this.#pending.length <= limit ? this.#pending : this.#pending.slice(0, limit);
    this.#pending = writes === this.#pending ? [] : this.#pending.slice(limit);
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
    if (!rolledBack || sqliteCode(cause) !== sqliteFull) {
      this.#failed = error;
      for (const watch of this.#watches) watch.wake();
    }
    return error;
  }

  #read<T>(work: () => T): T {
    if (this.#failed) throw this.#failed;
    try {
      return work();
    } catch (cause) {
      if (sqliteCode(cause) === undefined) throw cause;
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

function stored(row: Row): StoredValue {
  return { key: row.key, value: bufferOf(row.value), createRevision: row.create_revision, modRevision: row.revision };
}

function eventOf(row: Row): StorageEvent {
  return row.deleted === 0n
    ? { type: 'put', key: row.key, value: bufferOf(row.value), createRevision: row.create_revision, modRevision: row.revision }
    : { type: 'delete', key: row.key, modRevision: row.revision };
}

function bufferOf(bytes: Uint8Array | null): Buffer {
  return bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.alloc(0);
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}

/** SQLite's primary result codes that have an answer of their own (sqlite3.h). */
const sqliteBusy = 5;
const sqliteReadonly = 8;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteCantOpen = 14;
const sqliteNotADatabase = 26;

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

function refusal(cause: unknown, path: string): StorageUnavailableError {
  const texts: Record<number, string> = {
    [sqliteBusy]: `${path} is in use by another proa; stop it or choose another data directory`,
    [sqliteReadonly]: `${path} cannot be written; check the owner and mode of the file and its folder`,
    [sqliteCorrupt]: `${path} is damaged; restore it from a backup or move it away to start empty`,
    [sqliteFull]: `${path} cannot grow: the disk is full; make room`,
    [sqliteCantOpen]: `${path} cannot be opened; check the owner and mode of the file and its folder`,
    [sqliteNotADatabase]: `${path} is not a database; move it away or choose another data directory`,
  };
  const code = sqliteCode(cause);
  const text = code === undefined ? undefined : texts[code];
  return new StorageUnavailableError(text ?? `${path} cannot be used: ${reason(cause)}`, { cause });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
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
