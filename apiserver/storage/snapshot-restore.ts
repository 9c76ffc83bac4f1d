// Puts a snapshot into an engine. The revision then goes on far above the snapshot's: whatever version a client got after the
// snapshot was taken is then unknown (410) and never names another state.
import { existsSync, linkSync, renameSync, rmSync, statSync } from 'node:fs';
import { StartError } from '#machinery/base/start-error.ts';
import { registryPrefix } from './keys.ts';
import { checkSnapshot, openSnapshot, syncFolder, type Snapshot } from './snapshot.ts';
import { createDatabase, lockDatabase, makePlace } from './sqlite-file.ts';
import { readSqlite } from './sqlite.ts';
import type { Storage, StoredValue } from './storage.ts';

/** How many writes may have happened after the snapshot. In sqlite the gap costs nothing, in etcd a write each. */
export const sqliteRevisionGap = 1_000_000_000n;
export const etcdRevisionGap = 20_000n;
/** More empty writes than this would take too long. */
const longestClimb = 2_000_000n;
const parallelWrites = 128;

export interface RestoreOptions {
  /** Replace what is there. */
  force?: boolean;
  revisionGap?: bigint;
  now?: number;
}
export interface Restored {
  keys: number;
  revision: bigint;
  /** Where the database that was replaced has been moved. */
  kept?: string;
}

/** Nothing is touched before the snapshot is known to be whole; the database is then replaced in one step. */
export async function restoreSqlite(file: string, path: string, { force = false, revisionGap = sqliteRevisionGap, now = Date.now() }: RestoreOptions = {}): Promise<Restored> {
  await checkSnapshot(file);
  const snapshot = openSnapshot(file);
  makePlace(path);
  using _lock = await lockDatabase(path);
  const existing = await describe(path);
  if (existing.holds !== undefined && !force) throw new StartError(`${path} ${existing.holds}; --force replaces it (it is kept beside), or choose another data directory`);
  const revision = max(snapshot.revision, existing.revision) + revisionGap;
  const fresh = `${path}.restoring`;
  rmSync(fresh, { force: true }); // of a restore that was killed
  try {
    const keys = await createDatabase(fresh, revision, alive(snapshot, now));
    const kept = existing.holds === undefined ? undefined : freeName(`${path}.before-restore`);
    // The log first: it must never stand beside a database that it does not belong to.
    for (const suffix of ['-wal', '-shm']) {
      if (!existsSync(path + suffix)) continue;
      if (kept === undefined) rmSync(path + suffix);
      else renameSync(path + suffix, kept + suffix);
    }
    if (kept !== undefined) linkSync(path, kept);
    renameSync(fresh, path);
    syncFolder(path);
    return { keys, revision, ...(kept === undefined ? {} : { kept }) };
  } finally {
    rmSync(fresh, { force: true });
  }
}

/** Not in one step: when it is cut short, it has to be done again with `force`. `say` tells how far it is. */
export async function restoreEtcd(file: string, storage: Storage, { force = false, revisionGap = etcdRevisionGap, now = Date.now() }: RestoreOptions, say: (line: string) => void): Promise<Restored> {
  await checkSnapshot(file);
  const snapshot = openSnapshot(file);
  const servers = await storage.range({ prefix: `${registryPrefix}masterleases/`, limit: 1 });
  if (servers.count > 0) throw new StartError('an API server runs on this etcd, or did a moment ago; stop it and wait 15 s');
  const { count } = await storage.range({ prefix: registryPrefix, limit: 1 });
  if (count > 0 && !force) throw new StartError(`this etcd holds ${count} keys under its prefix; --force deletes them first, or choose another --etcd-prefix`);
  const climb = snapshot.revision + revisionGap - (await storage.revision());
  if (climb > longestClimb) {
    throw new StartError(`the snapshot's revision is ${climb} writes ahead of this etcd's; start etcd with a higher one (etcdutl snapshot restore --bump-revision) or give a smaller --revision-gap`);
  }
  if (count > 0) {
    say(`deleting ${count} keys`);
    await clear(storage);
  }
  if (climb > 0n) {
    say(`raising etcd's revision by ${climb}`);
    await raise(storage, snapshot.revision + revisionGap);
  }
  say('writing the keys');
  let keys = 0;
  await inParallel(alive(snapshot, now), async ({ key, value, expiresAt }) => {
    const result = await storage.put(key, value, { expected: 0n, ...(expiresAt === undefined ? {} : { ttlSeconds: Math.max(1, Math.ceil((expiresAt - now) / 1000)) }) });
    if (!result.ok) throw new StartError(`somebody else writes to this etcd (${key}); stop every API server on it and restore again with --force`);
    keys += 1;
  });
  const revision = await storage.revision();
  await storage.compact(revision);
  return { keys, revision };
}

/** What stands at `path`: nothing worth keeping when `holds` is undefined. */
async function describe(path: string): Promise<{ holds?: string; revision: bigint }> {
  if (!existsSync(path) || (statSync(path).size === 0 && !existsSync(`${path}-wal`))) return { revision: 0n };
  try {
    const view = await readSqlite(path);
    try {
      const { count } = await view.range({ prefix: registryPrefix, limit: 1 });
      return { ...(count > 0 ? { holds: `holds ${count} keys` } : {}), revision: await view.revision() };
    } finally {
      await view.close();
    }
  } catch (error) {
    if (!statSync(path).isFile()) throw error;
    return { holds: `cannot be read (${error instanceof Error ? error.message : String(error)})`, revision: 0n };
  }
}

async function* alive(snapshot: Snapshot, now: number): AsyncIterable<StoredValue> {
  for await (const item of snapshot.keys()) if (item.expiresAt === undefined || item.expiresAt > now) yield item;
}

async function clear(storage: Storage): Promise<void> {
  for (;;) {
    const { items, more } = await storage.range({ prefix: registryPrefix, limit: 1000 });
    await inParallel(items, async ({ key, modRevision }) => {
      const result = await storage.delete(key, { expected: modRevision });
      if (!result.ok && result.current) throw new StartError(`somebody else writes to this etcd (${key}); stop every API server on it and restore again with --force`);
    });
    if (!more) return;
  }
}

/** etcd's revision can only be raised by writing. Every writer has a key of its own and takes it away at the end. */
async function raise(storage: Storage, to: bigint): Promise<void> {
  let reached = await storage.revision();
  await Promise.all(Array.from({ length: parallelWrites }, async (_, writer) => {
    const key = `${registryPrefix}proa-restore/${writer}`;
    let expected = 0n;
    do {
      const result = await storage.put(key, Buffer.alloc(0), { expected });
      if (!result.ok) throw new StartError('somebody else restores into this etcd');
      expected = result.revision;
      reached = max(reached, expected);
    } while (reached < to);
    await storage.delete(key, { expected });
  }));
}

async function inParallel<T>(items: AsyncIterable<T> | Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const running = new Set<Promise<void>>();
  for await (const item of items) {
    const one = work(item).then(() => void running.delete(one));
    one.catch(() => undefined); // stays in the set: the next await reports it
    running.add(one);
    if (running.size >= parallelWrites) await Promise.race(running);
  }
  await Promise.all(running);
}

function freeName(path: string): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? path : `${path}-${number}`;
    if (['', '-wal', '-shm'].every((suffix) => !existsSync(name + suffix))) return name;
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
