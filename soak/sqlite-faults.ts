// The embedded engine when the disk is full, read-only or short, and what compaction gives back: all in a file system of its own,
// a tmpfs in a mount namespace that ends with the child.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { saveSnapshot } from '../apiserver/storage/snapshot.ts';
import { openSqlite, readSqlite } from '../apiserver/storage/sqlite.ts';
import { StorageUnavailableError } from '../apiserver/storage/storage.ts';
import type { Soak, SoakRun } from './soak.ts';

export const sqliteFaults: Soak = {
  name: 'sqlite-faults',
  summary: 'the embedded store on a full and on a read-only disk, and the space that compaction gives back',
  missing() {
    return spawnSync('unshare', ['--mount', 'true']).status === 0 ? undefined : 'mounting in a namespace of its own is not allowed here (run as root)';
  },
  run,
};

const prefix = '/registry/soak/';

async function run({ short, folder, signal, say }: SoakRun): Promise<string[]> {
  const place = join(folder, 'disk');
  mkdirSync(place);
  const checked: string[] = [];
  // The shell mounts; whatever happens, the mount goes with the namespace.
  const script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"';
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', '24m', place, process.execPath, import.meta.filename, place, short ? '2' : '20'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });
  try {
    let errors = '';
    child.stderr.on('data', (chunk) => { errors += String(chunk); });
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      checked.push(line);
      say(line);
    });
    const ended = once(lines, 'close');
    const [code] = await once(child, 'exit') as [number | null]; // as Node has it
    await ended;
    signal.throwIfAborted();
    if (code !== 0) throw new Error(`the child ended with ${code}: ${errors.trim()}`);
  } finally {
    signal.removeEventListener('abort', stop);
    child.kill('SIGKILL');
  }
  checked.push(...await giveBack(join(folder, 'large'), short ? 20e6 : 200e6, signal));
  return checked;
}

async function fail(promise: Promise<unknown>, what: string, says: RegExp): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof Error) || !says.test(error.message) || error.message.includes('\n')) throw new Error(`${what} should fail with one line like ${says}`, { cause: error });
    return error.message;
  }
  throw new Error(`${what} should fail with ${says}`);
}

/** Writes history and compacts while others go on writing; what the file, its log and the writers' waits are. */
async function giveBack(folder: string, bytes: number, signal: AbortSignal): Promise<string[]> {
  mkdirSync(folder);
  const path = join(folder, 'state.db');
  const storage = await openSqlite({ path });
  try {
    const keys = 500;
    const size = 8000;
    const revisions = new Array<bigint>(keys).fill(0n);
    let wal = 0;
    const round = async (): Promise<void> => {
      await Promise.all(revisions.map(async (expected, key) => {
        const result = await storage.put(`${prefix}${key}`, Buffer.alloc(size, key % 251), { expected });
        if (!result.ok) throw new Error(`${key} is not at ${expected}`);
        revisions[key] = result.revision;
      }));
      wal = Math.max(wal, statSync(`${path}-wal`).size);
      signal.throwIfAborted();
    };
    for (let written = 0; written < bytes; written += keys * size) await round();
    const full = statSync(path).size + statSync(`${path}-wal`).size;

    const latencies = { quiet: [] as number[], compacting: [] as number[] };
    const probe = async (into: number[], until: () => boolean): Promise<void> => {
      let expected = 0n;
      const key = `${prefix}probe-${into === latencies.quiet ? 'quiet' : 'busy'}`;
      do {
        const startedAt = performance.now();
        const result = await storage.put(key, Buffer.alloc(1000), { expected });
        if (!result.ok) throw new Error('the probe lost its key');
        expected = result.revision;
        into.push(performance.now() - startedAt);
        wal = Math.max(wal, statSync(`${path}-wal`).size);
        await new Promise((resolve) => setTimeout(resolve, 2));
      } while (!until());
    };
    await probe(latencies.quiet, () => latencies.quiet.length >= 200);
    let isDone = false;
    const startedAt = performance.now();
    const compacting = storage.compact(await storage.revision()).finally(() => { isDone = true; });
    await Promise.all([compacting, probe(latencies.compacting, () => isDone)]);
    const tookMs = performance.now() - startedAt;
    // The log moves into the file bit by bit; a few writes later the file has its new size.
    await round();
    await round();
    const after = statSync(path).size;
    const used = keys * size;
    const items = (await storage.range({ prefix })).items.length;
    if (items !== keys + 2) throw new Error(`${items} keys are left of ${keys + 2}`);
    if (after > used * 3 + 8e6) throw new Error(`${used} bytes in use, and the file still has ${after} of ${full}`);
    if (wal > 40e6) throw new Error(`the log grew to ${wal}`);
    const at = (list: number[], part: number): string => ([...list].sort((a, b) => a - b)[Math.floor((list.length - 1) * part)] ?? NaN).toFixed(1);
    return [
      `history of ${mb(bytes)}: ${mb(full)} on disk, ${mb(after)} after compaction (${mb(used)} in use), in ${Math.round(tookMs)} ms; log at most ${mb(wal)}`,
      `a write took ${at(latencies.quiet, 0.5)} ms, p99 ${at(latencies.quiet, 0.99)} ms; during compaction and vacuum ${at(latencies.compacting, 0.5)} ms, p99 ${at(latencies.compacting, 0.99)} ms, at most ${at(latencies.compacting, 1)} ms (${latencies.compacting.length} writes)`,
    ];
  } finally {
    await storage.close();
  }
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function integrity(path: string): string {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return String(database.prepare('PRAGMA integrity_check(1)').get()?.integrity_check);
  } finally {
    database.close();
  }
}

/** In the namespace, on a disk of 24 MB. */
async function onSmallDisk(place: string, rounds: number): Promise<void> {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const path = join(place, 'state.db');
  const filler = join(place, 'filler');
  let storage = await openSqlite({ path });
  const acknowledged = new Map<string, bigint>();
  const lines = new Set<string>();
  let failures = 0;
  const put = async (key: string, bytes: number): Promise<boolean> => {
    try {
      const result = await storage.put(prefix + key, Buffer.alloc(bytes, 1), { expected: acknowledged.get(key) ?? 0n });
      if (!result.ok) throw new Error(`${key} is not as it was acknowledged: ${String(result.current?.modRevision)}`);
      acknowledged.set(key, result.revision);
      return true;
    } catch (error) {
      if (!(error instanceof StorageUnavailableError)) throw error;
      lines.add(error.message);
      failures += 1;
      return false;
    }
  };
  const verify = async (what: string): Promise<void> => {
    const { items } = await storage.range({ prefix });
    const found = new Map(items.map(({ key, modRevision }) => [key.slice(prefix.length), modRevision]));
    for (const [key, revision] of acknowledged) if (found.get(key) !== revision) throw new Error(`${what}: ${key} was acknowledged at ${revision}, there is ${String(found.get(key))}`);
    if (found.size !== acknowledged.size) throw new Error(`${what}: ${found.size} keys, ${acknowledged.size} acknowledged`);
  };
  const fill = (): void => {
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'ignore' });
  };

  for (let round = 0; round < rounds; round += 1) {
    for (let i = 0; i < 20; i += 1) if (!await put(`a${i}`, 3000)) throw new Error('the disk is full too early');
    fill();
    const before = failures;
    // Small and large, alone and together: the log has some room of its own, so go on until it fails.
    for (let i = 0; i < 3000 && failures < before + 40; i += 1) await Promise.all([put(`b${i % 50}`, 20_000), put(`c${i % 50}`, 10), put(`d${i % 8}`, 200_000)]);
    if (failures === before) throw new Error('no write failed on the full disk');
    await verify('on the full disk');
    await storage.get(`${prefix}a1`);
    await storage.ping(AbortSignal.timeout(1000));
    await fail(storage.put(`${prefix}huge`, Buffer.alloc(30_000_000), { expected: 0n }), 'a write larger than the disk', /the disk is full; make room/);
    if (round % 2 === 1) {
      // Found full at the next start: it starts, or says why.
      await storage.close();
      try {
        storage = await openSqlite({ path });
      } catch (error) {
        if (!(error instanceof StorageUnavailableError) || !/disk is full|cannot/.test(error.message)) throw error;
        lines.add(error.message);
        rmSync(filler);
        storage = await openSqlite({ path });
      }
      await verify('after a start on the full disk');
    }
    if (round === 0) {
      await fail(saveTo(path, join(place, 'full.snapshot')), 'a snapshot on the full disk', /cannot write .*ENOSPC/);
      if (existsSync(join(place, 'full.snapshot')) || existsSync(join(place, 'full.snapshot.partial'))) throw new Error('half a snapshot was left');
    }
    rmSync(filler, { force: true });
    if (!await put('a0', 3000)) throw new Error('there is room again, and the write failed');
    for (const letter of ['b', 'c', 'd']) {
      for (let i = 0; i < 50; i += 1) {
        const expected = acknowledged.get(`${letter}${i}`);
        if (expected === undefined) continue;
        const result = await storage.delete(`${prefix}${letter}${i}`, { expected });
        if (!result.ok) throw new Error('not as acknowledged');
        acknowledged.delete(`${letter}${i}`);
      }
    }
    await storage.compact(await storage.revision());
    await verify('after the disk had room again');
  }
  await storage.close();
  if (integrity(path) !== 'ok') throw new Error(`integrity_check: ${integrity(path)}`);
  say(`full disk, ${rounds} times: ${failures} writes failed, reads went on, all ${acknowledged.size} acknowledged keys there, writes worked again with room; it says: ${[...lines].map((line) => line.replace(`${place}/`, '')).join(' | ')}`);
  await readOnly(place, path, say);
}

async function readOnly(place: string, path: string, say: (line: string) => void): Promise<void> {
  const before = readFileSync(path);
  remount(place, 'ro');
  const line = await fail(openSqlite({ path }), 'a start on a read-only disk', /cannot be written: EROFS/);
  const fresh = await fail(openSqlite({ path: join(place, 'new', 'state.db') }), 'a start in a new folder of a read-only disk', /EROFS/);
  remount(place, 'rw');
  if (!readFileSync(path).equals(before)) throw new Error('the file on the read-only disk changed');
  spawnSync('mount', ['--bind', path, path]);
  spawnSync('mount', ['-o', 'remount,ro,bind', path]);
  await fail(openSqlite({ path }), 'a start on a read-only file', /cannot be written: EROFS/);
  spawnSync('umount', [path]);
  say(`read-only disk, folder and file: refused, byte for byte as before (${line.replace(`${place}/`, '')} | ${fresh.replace(`${place}/`, '')})`);
}

function remount(place: string, mode: 'ro' | 'rw'): void {
  const { status, stderr } = spawnSync('mount', ['-o', `remount,${mode}`, place], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot mount ${mode}: ${stderr}`);
}

async function saveTo(path: string, file: string): Promise<void> {
  const view = await readSqlite(path);
  try {
    await saveSnapshot(view, file);
  } finally {
    await view.close();
  }
}

if (import.meta.main) {
  const [place = '', rounds = '1'] = process.argv.slice(2);
  await onSmallDisk(place, Number(rounds));
}
