// The file behind the embedded engine: who may open it, what it has to be, and the one line that is said otherwise. A file that
// is refused stays as it was, byte for byte.
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { walDamage } from './sqlite-wal.ts';
import { StorageUnavailableError, type StoredValue } from './storage.ts';

/** "proa" in ASCII: tells our file from any other SQLite file. */
const applicationId = 0x70726f61;
const schemaVersion = 1;
/** Where the file format keeps the two (sqlite.org/fileformat.html). */
const userVersionAt = 60;
const applicationIdAt = 68;
/** Files up to this size are checked in full before they are used (15 ms at most), larger ones by a worker while they are. */
export const checkAtStartBytes = 16 << 20;
/** The log is cut back to this after a checkpoint; one large transaction, or a snapshot being saved, lets it grow past it. */
const walKeptBytes = 16 << 20;

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

export interface SqliteFile {
  database: DatabaseSync;
  /** Too large to be checked before it was opened. */
  isUnchecked: boolean;
  close(): void;
}

/** Opens for the one owner, making file and folder when missing, or throws a StorageUnavailableError. */
export async function openFile(path: string): Promise<SqliteFile> {
  const sqlite = await import('node:sqlite');
  makePlace(path);
  makeFile(path);
  checkPlace(path);
  const lock = await lockDatabase(path);
  let database: DatabaseSync | undefined;
  try {
    const { size } = statSync(path);
    const isUnchecked = size > checkAtStartBytes;
    inspect(sqlite, path, !isUnchecked);
    const opened = database = new sqlite.DatabaseSync(path, { timeout: 1000 });
    prepareFile(opened, path);
    return { database: opened, isUnchecked, close: () => closeAll(opened, lock) };
  } catch (cause) {
    closeAll(database, lock);
    throw refusal(cause, path);
  }
}

/** A view of the file as it is now that stays the same until it is closed, while the owner goes on writing. Checked in full. */
export async function openFileForReading(path: string): Promise<DatabaseSync> {
  const sqlite = await import('node:sqlite');
  if (!existsSync(path)) throw new StorageUnavailableError(`${path} does not exist; name the data directory of a cluster`);
  checkPlace(path);
  let database: DatabaseSync | undefined;
  try {
    await checkUnusedLog(path);
    database = new sqlite.DatabaseSync(path, { readOnly: true, timeout: 1000 });
    database.exec('BEGIN');
    if (identify(database, path).isNew) throw new StorageUnavailableError(`${path} is empty; name the data directory of a cluster`);
    checkIntegrity(database, path);
    return database;
  } catch (cause) {
    database?.close();
    throw refusal(cause, path);
  }
}

/** Makes a database that stands at `revision`, with nothing older to be read; returns how many keys went in. Synced, and without a log. */
export async function createDatabase(path: string, revision: bigint, keys: AsyncIterable<StoredValue>): Promise<number> {
  const { DatabaseSync } = await import('node:sqlite');
  makeFile(path);
  const database = new DatabaseSync(path);
  try {
    // Nobody needs a half-made one: no journal, one sync at the end.
    database.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL; BEGIN; ${schema}`);
    const insert = database.prepare('INSERT INTO log (revision, key, create_revision, previous_revision, deleted, expires_at, value) VALUES (?, ?, ?, 0, 0, ?, ?)');
    let count = 0;
    for await (const { key, value, createRevision, modRevision, expiresAt } of keys) {
      insert.run(modRevision, key, createRevision, expiresAt ?? null, value);
      count += 1;
    }
    database.prepare('UPDATE meta SET value = ?').run(revision);
    database.exec('COMMIT');
    return count;
  } catch (cause) {
    throw cause instanceof Error && 'errcode' in cause ? refusal(cause, path) : cause;
  } finally {
    database.close();
  }
}

/** The log of a database that nobody has open; one that is being written cannot be judged. */
async function checkUnusedLog(path: string): Promise<void> {
  let lock: Disposable;
  try {
    lock = await lockDatabase(path, 0);
  } catch {
    return; // somebody has it open
  }
  try {
    checkLog(path);
  } finally {
    lock[Symbol.dispose]();
  }
}

function checkLog(path: string): void {
  const damage = walDamage(path);
  if (damage) throw new StorageUnavailableError(`${path}-wal is damaged (${damage}); restore a snapshot (proa snapshot restore --force), or move the file away to go on without its writes`);
}

/** Held by whoever owns the database; throws when somebody else does. */
export async function lockDatabase(path: string, patienceMs?: number): Promise<Disposable> {
  const { lockFile } = await import('#machinery/base/file-lock.ts');
  let lock: { release(): void } | undefined;
  try {
    // Whatever name it goes by, it is one file.
    lock = lockFile(`${existsSync(path) ? realpathSync(path) : resolve(path)}-lock`, patienceMs);
  } catch (cause) {
    throw new StorageUnavailableError(`cannot lock ${path}: ${reason(cause)}; check the owner and mode of its folder`, { cause });
  }
  if (!lock) throw new StorageUnavailableError(`${path} is in use by another proa; stop it or choose another data directory`);
  return { [Symbol.dispose]: () => lock.release() };
}

function closeAll(database: DatabaseSync | undefined, lock: Disposable): void {
  try {
    database?.close();
  } finally {
    lock[Symbol.dispose]();
  }
}

/** The folder that the file goes into. */
export function makePlace(path: string): void {
  try {
    makeFolder(dirname(resolve(path)));
  } catch (cause) {
    throw new StorageUnavailableError(`cannot create the folder of ${path}: ${reason(cause)}`, { cause });
  }
}

function makeFile(path: string): void {
  try {
    // Secrets live in it. SQLite's side files take their mode from it.
    closeSync(openSync(path, 'wx', 0o600));
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw new StorageUnavailableError(`cannot create ${path}: ${reason(cause)}`, { cause });
  }
}

function checkPlace(path: string): void {
  if (!statSync(path).isFile()) throw new StorageUnavailableError(`${path} is not a file; move it away or choose another data directory`);
  try {
    // SQLite would say "disk I/O error" on a read-only file system.
    for (const place of [dirname(resolve(path)), path]) accessSync(place, constants.W_OK);
  } catch (cause) {
    throw new StorageUnavailableError(`${path} cannot be written: ${reason(cause)}; check the owner and mode of the file and its folder, and the mount`, { cause });
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

/** Refuses before anything is opened for writing: even closing such a connection would move the log into the file. */
function inspect({ DatabaseSync }: typeof import('node:sqlite'), path: string, inFull: boolean): void {
  if (statSync(path).size === 0) return;
  const header = Buffer.alloc(100);
  const file = openSync(path, 'r');
  try {
    readSync(file, header, 0, header.length, 0);
  } finally {
    closeSync(file);
  }
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') throw new StorageUnavailableError(notADatabase(path));
  const id = header.readUInt32BE(applicationIdAt);
  // Zero is also ours, from a start that was cut short: then the rest is in the log, or nowhere.
  if (id !== 0) checkIdentity(path, id, header.readUInt32BE(userVersionAt));
  checkLog(path);
  // Left by a creation that was cut short; SQLite undoes it, which takes a connection that writes.
  if (existsSync(`${path}-journal`)) return;
  const database = new DatabaseSync(path, { readOnly: true, timeout: 1000 });
  try {
    const { isNew } = identify(database, path);
    if (inFull && !isNew) checkIntegrity(database, path);
  } finally {
    database.close();
  }
}

function identify(database: DatabaseSync, path: string): { isNew: boolean } {
  const id = pragma(database, 'application_id');
  const version = pragma(database, 'user_version');
  const tables = Number(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n ?? 0);
  const isNew = tables === 0 && id === 0 && version === 0;
  if (!isNew) checkIdentity(path, id, version);
  return { isNew };
}

function checkIdentity(path: string, id: number, version: number): void {
  if (id !== applicationId) throw new StorageUnavailableError(`${path} is a database of another program; give proa a data directory of its own`);
  if (version > schemaVersion) {
    throw new StorageUnavailableError(`${path} was written by a newer proa (schema ${version}, this one knows ${schemaVersion}); start that version`);
  }
}

function checkIntegrity(database: DatabaseSync, path: string): void {
  const found = database.prepare('PRAGMA integrity_check(1)').get()?.integrity_check;
  if (found !== 'ok') throw new StorageUnavailableError(damaged(path, String(found)));
}

/** The first statement that writes; the file is known to be ours or empty. */
function prepareFile(database: DatabaseSync, path: string): void {
  database.exec(`PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000; PRAGMA journal_size_limit = ${walKeptBytes}`);
  const { isNew } = identify(database, path);
  if (isNew) database.exec('PRAGMA auto_vacuum = INCREMENTAL');
  const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.journal_mode;
  if (mode !== 'wal') throw new StorageUnavailableError(`${path} cannot use a write-ahead log on this file system; choose another data directory`);
  // Proves that the file can be written.
  database.exec('BEGIN IMMEDIATE');
  if (isNew) database.exec(schema);
  else database.exec("UPDATE meta SET value = value WHERE name = 'compacted'");
  database.exec('COMMIT');
}

export function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}

/** SQLite's result codes that have an answer of their own (sqlite3.h). */
const sqliteBusy = 5;
const sqliteReadonly = 8;
const sqliteIo = 10;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteCantOpen = 14;
const sqliteNotADatabase = 26;
/** The index of the log could not grow: the disk is full. */
const sqliteIoShmSize = sqliteIo | (19 << 8);

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode === sqliteIoShmSize ? sqliteFull : error.errcode & 0xff;
}

export function isSqliteError(error: unknown): boolean {
  return sqliteCode(error) !== undefined;
}

/** It passes once there is room. */
export function isFull(error: unknown): boolean {
  return sqliteCode(error) === sqliteFull;
}

/** The one line for an error; one that is a line already stays. */
export function refusal(cause: unknown, path: string): StorageUnavailableError {
  if (cause instanceof StorageUnavailableError) return cause;
  const texts: Record<number, string> = {
    [sqliteBusy]: `${path} is in use by another program; stop it or choose another data directory`,
    [sqliteReadonly]: `${path} cannot be written; check the owner and mode of the file and its folder`,
    [sqliteIo]: `${path} cannot be read or written (${reason(cause)}); look at the disk and its limits, then start proa again`,
    [sqliteCorrupt]: damaged(path, reason(cause)),
    [sqliteFull]: `${path} cannot grow: the disk is full; make room`,
    [sqliteCantOpen]: `${path} cannot be opened; check the owner and mode of the file and its folder`,
    [sqliteNotADatabase]: notADatabase(path),
  };
  const code = sqliteCode(cause);
  const text = code === undefined ? undefined : texts[code];
  return new StorageUnavailableError(text ?? `${path} cannot be used: ${reason(cause)}`, { cause });
}

export function damaged(path: string, found: string): string {
  return `${path} is damaged (${found.replaceAll(/\s+/g, ' ').replace(/^\*\*\* in database main \*\*\* /, '')}); restore a snapshot (proa snapshot restore --force) or move the file away to start empty`;
}

function notADatabase(path: string): string {
  return `${path} is not a database; move it away or choose another data directory`;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
