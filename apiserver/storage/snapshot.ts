// A snapshot: every key as of one revision, in a file that either engine can be restored from (snapshot-restore.ts). Lines of
// JSON: a header, one line a key in key order, and an end with the number of keys and the SHA-256 of all lines before it.
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { StartError } from '#machinery/base/start-error.ts';
import { compareKeys, registryPrefix } from './keys.ts';
import { CompactedError, type StorageView, type StoredValue } from './storage.ts';

const formatVersion = 1;
/** Keys read in one call; the values of one call are in memory. */
const pageKeys = 500;
const chunkBytes = 1 << 20;
/** No object comes near: a file without line ends is not read into memory. */
const longestLine = 64 << 20;

export interface SnapshotSummary {
  revision: bigint;
  keys: number;
  bytes: number;
  /** The engine it was taken from. */
  engine: string;
  /** RFC 3339. */
  createdAt: string;
}

/** Takes what `view` holds at its newest revision. The file appears whole or not at all, for the owner only; an older snapshot is replaced. */
export async function saveSnapshot(view: StorageView, file: string, createdAt: Date = new Date()): Promise<SnapshotSummary> {
  checkTarget(file);
  const partial = `${file}.partial`;
  let handle: number;
  try {
    rmSync(partial, { force: true }); // of a save that was killed
    handle = openSync(partial, 'wx', 0o600);
  } catch (cause) {
    throw new StartError(`cannot write ${file}: ${reason(cause)}`, { cause });
  }
  try {
    try {
      const revision = await view.revision();
      const writer = new LineWriter(handle);
      writer.write({ proaSnapshot: formatVersion, revision: String(revision), prefix: registryPrefix, engine: view.engine, createdAt: createdAt.toISOString() });
      let keys = 0;
      for (let startKey: string | undefined = registryPrefix; startKey !== undefined;) {
        const { items, more } = await view.range({ prefix: registryPrefix, startKey, limit: pageKeys, revision, withExpiry: true });
        for (const item of items) writer.write(toLine(item));
        keys += items.length;
        await turn(); // the view may be that of a running server
        startKey = more ? `${items.at(-1)?.key ?? ''}\0` : undefined;
      }
      writer.end(keys);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    // Read back before it takes the place of an older one.
    const summary = await checkSnapshot(partial);
    renameSync(partial, file);
    syncFolder(file);
    return summary;
  } catch (cause) {
    rmSync(partial, { force: true });
    if (cause instanceof CompactedError) throw new StartError('the history was compacted meanwhile; take the snapshot again', { cause });
    throw cause instanceof Error && 'syscall' in cause ? new StartError(`cannot write ${file}: ${cause.message}`, { cause }) : cause;
  }
}

/** Reads all of it and holds it against its checksum; throws StartError at the first thing that is wrong. */
export async function checkSnapshot(file: string): Promise<SnapshotSummary> {
  const snapshot = openSnapshot(file);
  let keys = 0;
  for await (const _ of snapshot.keys()) keys += 1;
  return { revision: snapshot.revision, engine: snapshot.engine, createdAt: snapshot.createdAt, keys, bytes: statSync(file).size };
}

export interface Snapshot {
  revision: bigint;
  engine: string;
  createdAt: string;
  /** In key order. Throws StartError where the file is not as it was written: checkSnapshot() first, then act. */
  keys(): AsyncIterable<StoredValue>;
}

export function openSnapshot(file: string): Snapshot {
  const lines = readLines(file);
  const first = lines.next();
  lines.return(); // closes it
  const header = first.done ? undefined : parse(first.value.line);
  if (!header || typeof header.proaSnapshot !== 'number') throw new StartError(`${file} is not a snapshot of proa`);
  if (header.proaSnapshot !== formatVersion) throw new StartError(`${file} was written by a newer proa (format ${header.proaSnapshot}, this one knows ${formatVersion}); restore it with that version`);
  const revision = toRevision(header.revision);
  if (revision === undefined || header.prefix !== registryPrefix) throw damage(file, 1, 'its header is not right');
  return { revision, engine: String(header.engine), createdAt: String(header.createdAt), keys: () => readKeys(file, revision) };
}

async function* readKeys(file: string, revision: bigint): AsyncIterable<StoredValue> {
  const hash = createHash('sha256');
  let number = 0;
  let previous = '';
  for (const { line, isComplete } of readLines(file)) {
    number += 1;
    if (!isComplete) throw damage(file, number, 'the end is missing');
    const data = parse(line);
    if (!data) throw damage(file, number, 'it is not JSON');
    if ('sha256' in data) {
      if (data.keys !== number - 2) throw damage(file, number, `it should have ${String(data.keys)} keys and has ${number - 2}`);
      if (data.sha256 !== hash.digest('hex')) throw damage(file, number, 'the checksum is not right');
      if (statSync(file).size !== Number(data.bytes) + line.length + 1) throw damage(file, number, 'something follows its end');
      return;
    }
    hash.update(line).update('\n');
    if (number === 1) continue;
    const item = fromLine(data);
    if (!item || item.modRevision > revision || item.createRevision > item.modRevision) throw damage(file, number, 'it is not a key with its value');
    if (compareKeys(previous, item.key) >= 0) throw damage(file, number, 'the keys are out of order');
    previous = item.key;
    yield item;
  }
  throw damage(file, number, 'the end is missing');
}

function toLine({ key, value, createRevision, modRevision, expiresAt }: StoredValue): Record<string, unknown> {
  return {
    key, create: String(createRevision), mod: String(modRevision), ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(isUtf8(value) ? { value: value.toString() } : { base64: value.toString('base64') }),
  };
}

function fromLine({ key, create, mod, expiresAt, value, base64 }: Record<string, unknown>): StoredValue | undefined {
  const createRevision = toRevision(create);
  const modRevision = toRevision(mod);
  const bytes = typeof value === 'string' ? Buffer.from(value) : typeof base64 === 'string' ? Buffer.from(base64, 'base64') : undefined;
  if (typeof key !== 'string' || !key.startsWith(registryPrefix) || createRevision === undefined || modRevision === undefined || !bytes) return undefined;
  if (expiresAt === undefined) return { key, value: bytes, createRevision, modRevision };
  return typeof expiresAt === 'number' && Number.isSafeInteger(expiresAt) ? { key, value: bytes, createRevision, modRevision, expiresAt } : undefined;
}

function toRevision(value: unknown): bigint | undefined {
  return typeof value === 'string' && /^[1-9]\d{0,17}$/.test(value) ? BigInt(value) : undefined;
}

class LineWriter {
  readonly #handle: number;
  readonly #hash = createHash('sha256');
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #bytes = 0;

  constructor(handle: number) {
    this.#handle = handle;
  }

  write(line: Record<string, unknown>): void {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= chunkBytes) this.#flush();
  }

  end(keys: number): void {
    this.#waiting.push(Buffer.from(`${JSON.stringify({ keys, bytes: this.#bytes, sha256: this.#hash.digest('hex') })}\n`));
    this.#flush();
  }

  #flush(): void {
    let rest: Buffer = Buffer.concat(this.#waiting);
    while (rest.length > 0) rest = rest.subarray(writeSync(this.#handle, rest));
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}

/** Lines without their ends; the last one may lack it. */
function* readLines(file: string): Generator<{ line: Buffer; isComplete: boolean }, void> {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (cause) {
    throw new StartError(`cannot read ${file}: ${reason(cause)}`, { cause });
  }
  try {
    let parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const buffer = Buffer.allocUnsafe(chunkBytes);
      let chunk = buffer.subarray(0, readSync(handle, buffer));
      if (chunk.length === 0) break;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10)) {
        yield { line: Buffer.concat([...parts, chunk.subarray(0, end)]), isComplete: true };
        parts = [];
        length = 0;
        chunk = chunk.subarray(end + 1);
      }
      parts.push(chunk);
      length += chunk.length;
      if (length > longestLine) throw new StartError(`${file} is not a snapshot of proa, or damaged: a line without an end`);
    }
    if (length > 0) yield { line: Buffer.concat(parts), isComplete: false };
  } catch (cause) {
    throw cause instanceof Error && 'syscall' in cause ? new StartError(`cannot read ${file}: ${cause.message}`, { cause }) : cause;
  } finally {
    closeSync(handle);
  }
}

function parse(line: Buffer): Record<string, unknown> | undefined {
  if (!isUtf8(line)) return undefined;
  try {
    const data: unknown = JSON.parse(line.toString());
    return typeof data === 'object' && data !== null && !Array.isArray(data) ? { ...data } : undefined;
  } catch {
    return undefined; // the caller says which line
  }
}

function checkTarget(file: string): void {
  if (!existsSync(dirname(resolve(file)))) throw new StartError(`cannot write ${file}: its folder does not exist`);
  if (!existsSync(file)) return;
  if (!statSync(file).isFile()) throw new StartError(`cannot write ${file}: it is not a file`);
  if (statSync(file).size === 0) return;
  try {
    openSnapshot(file);
  } catch (cause) {
    throw new StartError(`${file} exists and is not a snapshot; choose another name`, { cause });
  }
}

export function syncFolder(file: string): void {
  const folder = openSync(dirname(resolve(file)), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function damage(file: string, line: number, what: string): StartError {
  return new StartError(`${file} is damaged: line ${line}: ${what}; take another snapshot`);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
