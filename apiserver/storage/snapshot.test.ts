// Snapshots of the embedded engine: consistent while it writes, whole or refused, and what clients see after a restore.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { StartError } from '#machinery/base/start-error.ts';
import { restoreSqlite, sqliteRevisionGap } from './snapshot-restore.ts';
import { checkSnapshot, openSnapshot, saveSnapshot } from './snapshot.ts';
import { openSqlite, readSqlite } from './sqlite.ts';
import { CompactedError, FutureRevisionError, StorageUnavailableError, type Storage, type StorageView, type StoredValue } from './storage.ts';
import { collect, rejection } from './suite.ts';

const folders: string[] = [];
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'proa-snapshot-'));
  folders.push(folder);
  return folder;
}
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function write(storage: Storage, key: string, value: string | Buffer, expected = 0n): Promise<bigint> {
  const result = await storage.put(key, Buffer.from(value), { expected });
  if (!result.ok) throw new Error(`put ${key}: not as expected`);
  return result.revision;
}
async function refused(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  expect(error).to.be.instanceOf(Error);
  expect(error instanceof StartError || error instanceof StorageUnavailableError, String(error)).to.equal(true);
  const { message } = error as Error; // checked above
  expect(message).to.not.contain('\n');
  return message;
}
async function save(path: string, file: string): ReturnType<typeof saveSnapshot> {
  const view = await readSqlite(path);
  try {
    return await saveSnapshot(view, file);
  } finally {
    await view.close();
  }
}
const everything = async (storage: Storage): Promise<StoredValue[]> => (await storage.range({ prefix: '/registry/', withExpiry: true })).items;

/** A store of some keys that is closed, and its snapshot. */
async function sample(): Promise<{ folder: string; path: string; file: string; items: StoredValue[]; revision: bigint }> {
  const folder = temporaryFolder();
  const [path, file] = [join(folder, 'state.db'), join(folder, 'a.snapshot')];
  const storage = await openSqlite({ path });
  const first = await write(storage, '/registry/pods/default/a', '{"kind":"Pod"}');
  await write(storage, '/registry/pods/default/a', '{"kind":"Pod","metadata":{"name":"a\\n"}}', first);
  await write(storage, '/registry/secrets/default/binary', Buffer.from([0x6b, 0x38, 0x73, 0, 0xff, 0xfe]));
  await write(storage, '/registry/empty', '');
  await write(storage, '/registry/é/\u{1f6a3}', 'ü');
  await storage.put('/registry/events/default/e', Buffer.from('{}'), { expected: 0n, ttlSeconds: 3600 });
  const gone = await write(storage, '/registry/gone', 'x');
  await storage.delete('/registry/gone', { expected: gone });
  const items = await everything(storage);
  const revision = await storage.revision();
  await storage.close();
  await save(path, file);
  return { folder, path, file, items, revision };
}

describe('saveSnapshot()', () => {
  it('takes every key with its revisions and its time, and restores them', async () => {
    const { folder, file, items, revision } = await sample();
    expect(await checkSnapshot(file)).to.include({ keys: 5, revision, engine: 'sqlite', bytes: statSync(file).size });
    const path = join(folder, 'other', 'state.db');
    const restored = await restoreSqlite(file, path);
    expect(restored).to.deep.equal({ keys: 5, revision: revision + sqliteRevisionGap });
    const storage = await openSqlite({ path });
    expect(await everything(storage)).to.deep.equal(items);
    await storage.close();
    expect(statSync(path).mode & 0o077).to.equal(0);
  });

  it('is for the owner only, and leaves nothing else behind', async () => {
    const { folder, file } = await sample();
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    expect(readdirSync(folder).filter((name) => !name.startsWith('state.db'))).to.deep.equal(['a.snapshot']);
  });

  it('is of one moment while the owner of the file goes on writing and compacting', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'state.db');
    const storage = await openSqlite({ path });
    // Pairs are written in one transaction each: a snapshot that has one half has the other.
    const pair = async (n: number, round: number, expected: [bigint, bigint]): Promise<[bigint, bigint]> =>
      Promise.all([write(storage, `/registry/a/${n}`, String(round), expected[0]), write(storage, `/registry/z/${n}`, String(round), expected[1])]);
    let revisions = await Promise.all(Array.from({ length: 300 }, (_, n) => pair(n, 0, [0n, 0n])));
    let isOver = false;
    let round = 0;
    const writing = (async () => {
      for (; !isOver; round += 1) {
        revisions = await Promise.all(revisions.map((expected, n) => pair(n, round, expected)));
        await storage.compact(await storage.revision());
      }
    })();
    try {
      for (let i = 0; i < 3 || round < 3; i += 1) {
        const file = join(folder, `${i % 2}.snapshot`);
        const { keys } = await save(path, file);
        expect(keys).to.equal(600);
        const values = new Map<string, string>();
        for await (const { key, value } of openSnapshot(file).keys()) values.set(key.slice('/registry/'.length), value.toString());
        for (let n = 0; n < 300; n += 1) expect(values.get(`a/${n}`)).to.equal(values.get(`z/${n}`));
      }
    } finally {
      isOver = true;
      await writing;
      await storage.close();
    }
  }).timeout(30_000);

  it('replaces an older snapshot, and nothing else', async () => {
    const { folder, path, file } = await sample();
    await save(path, file);
    const other = join(folder, 'notes.txt');
    writeFileSync(other, 'mine\n');
    expect(await refused(save(path, other))).to.contain('not a snapshot');
    expect(readFileSync(other, 'utf8')).to.equal('mine\n');
    mkdirSync(join(folder, 'd'));
    expect(await refused(save(path, join(folder, 'd')))).to.contain('not a file');
    expect(await refused(save(path, join(folder, 'no', 'where')))).to.contain('its folder does not exist');
    expect(await refused(save(path, '/proc/a.snapshot'))).to.contain('cannot write /proc/a.snapshot');
  });

  it('leaves the older snapshot when the store fails in the middle, and no half of a new one', async () => {
    const { path, file } = await sample();
    const before = readFileSync(file);
    const view = await readSqlite(path);
    const broken: StorageView = { engine: 'sqlite', revision: () => view.revision(), close: () => view.close(), range: () => Promise.reject(new CompactedError(7n)) };
    expect(await refused(saveSnapshot(broken, file))).to.contain('take the snapshot again');
    await view.close();
    expect(readFileSync(file).equals(before)).to.equal(true);
    expect(existsSync(`${file}.partial`)).to.equal(false);
  });

  it('refuses a store that is not there or not whole', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'a.snapshot');
    expect(await refused(save(join(folder, 'state.db'), file))).to.contain('does not exist');
    expect(existsSync(join(folder, 'state.db'))).to.equal(false);
    const { path } = await sample();
    writeFileSync(path, readFileSync(path).fill(0xa5, 4096, 8192));
    expect(await refused(save(path, file))).to.contain('is damaged');
    expect(existsSync(file)).to.equal(false);
  });
});

describe('restoreSqlite()', () => {
  it('goes on above every version that clients may have: old ones are gone, none is ahead for long', async () => {
    const { path, file, items, revision } = await sample();
    // After the snapshot the cluster went on; clients know those versions.
    let storage = await openSqlite({ path });
    const lost = await write(storage, '/registry/lost', 'x');
    await storage.close();
    const { revision: now, kept } = await restoreSqlite(file, path, { force: true });
    expect(now > lost).to.equal(true);
    expect(kept).to.equal(`${path}.before-restore`);
    storage = await openSqlite({ path });
    expect(await everything(storage)).to.deep.equal(items);
    for (const version of [revision, lost, now - 1n]) {
      expect(await rejection(storage.range({ prefix: '/registry/', revision: version }))).to.be.instanceOf(CompactedError);
      expect(await rejection(collect(storage.watch('/registry/', version, new AbortController().signal), 1))).to.be.instanceOf(CompactedError);
    }
    expect(await rejection(storage.range({ prefix: '/registry/', revision: now + 1n }))).to.be.instanceOf(FutureRevisionError);
    expect((await storage.put('/registry/lost', Buffer.from('y'), { expected: lost })).ok).to.equal(false);
    const next = await write(storage, '/registry/lost', 'y');
    expect(next).to.equal(now + 1n);
    // Restored values can be replaced, deleted and cleaned up as ever.
    const [pod] = items.filter(({ key }) => key.endsWith('/a'));
    const replaced = await write(storage, pod?.key ?? '', 'new', pod?.modRevision);
    await storage.compact(replaced);
    expect((await everything(storage)).length).to.equal(items.length + 1);
    await storage.close();
    const old = await openSqlite({ path: `${path}.before-restore` });
    expect((await old.get('/registry/lost')).value?.modRevision).to.equal(lost);
    await old.close();
  });

  it('never takes the revision back, however often and from however old a snapshot', async () => {
    const { path, file } = await sample();
    let last = 0n;
    for (let i = 0; i < 3; i += 1) {
      const { revision } = await restoreSqlite(file, path, { force: true, revisionGap: 10n });
      expect(revision > last).to.equal(true);
      const storage = await openSqlite({ path });
      last = await write(storage, '/registry/more', 'x');
      expect(last).to.equal(revision + 1n);
      await storage.close();
    }
  });

  it('refuses a store that holds keys or cannot be read, unless forced, and one in use always', async () => {
    const { folder, path, file } = await sample();
    const before = readFileSync(path);
    expect(await refused(restoreSqlite(file, path))).to.contain('holds 5 keys; --force');
    expect(readFileSync(path).equals(before)).to.equal(true);
    const foreign = join(folder, 'foreign.db');
    writeFileSync(foreign, 'not a database at all');
    expect(await refused(restoreSqlite(file, foreign))).to.contain('not a database').and.to.contain('--force');
    expect(readFileSync(foreign, 'utf8')).to.equal('not a database at all');
    await restoreSqlite(file, foreign, { force: true });
    expect(readFileSync(`${foreign}.before-restore`, 'utf8')).to.equal('not a database at all');
    const storage = await openSqlite({ path });
    expect(await refused(restoreSqlite(file, path, { force: true }))).to.contain('in use');
    await write(storage, '/registry/still', 'here');
    await storage.close();
  });

  it('takes a store without keys and leaves out what ran out meanwhile', async () => {
    const { folder, file } = await sample();
    const path = join(folder, 'empty.db');
    await (await openSqlite({ path })).close();
    const { keys, kept } = await restoreSqlite(file, path, { now: Date.now() + 3_700_000 });
    expect([keys, kept]).to.deep.equal([4, undefined]);
  });

  describe('refuses and touches nothing:', () => {
    const edit = (change: (lines: string[]) => void) => (file: string): void => {
      const lines = readFileSync(file, 'utf8').split('\n');
      change(lines);
      writeFileSync(file, lines.join('\n'));
    };
    const cases: { title: string; spoil: (file: string) => void; says: string }[] = [
      { title: 'a truncated file', spoil: (file) => truncateSync(file, statSync(file).size - 40), says: 'the end is missing' },
      { title: 'a file that lacks its last line end', spoil: (file) => truncateSync(file, statSync(file).size - 1), says: 'the end is missing' },
      { title: 'a file cut at a line end', spoil: edit((lines) => lines.splice(4)), says: 'the end is missing' },
      { title: 'an empty file', spoil: (file) => truncateSync(file, 0), says: 'is not a snapshot' },
      { title: 'a file that is not there', spoil: (file) => rmSync(file), says: 'cannot read' },
      { title: 'a folder', spoil(file) {
        rmSync(file);
        mkdirSync(file);
      }, says: 'cannot read' },
      { title: 'something else', spoil: (file) => writeFileSync(file, 'kind: Pod\n'), says: 'is not a snapshot' },
      { title: 'random bytes', spoil: (file) => writeFileSync(file, Buffer.alloc(3_000_000, 0xfe)), says: 'is not a snapshot' },
      { title: 'a newer format', spoil: edit((lines) => { lines[0] = (lines[0] ?? '').replace('"proaSnapshot":1', '"proaSnapshot":2'); }), says: 'newer proa' },
      { title: 'a changed value', spoil: edit((lines) => { lines[5] = (lines[5] ?? '').replace('{', '['); }), says: 'line 6' },
      { title: 'a changed letter', spoil: edit((lines) => { lines[3] = (lines[3] ?? '').replace('Pod', 'Bod'); }), says: 'checksum' },
      { title: 'a changed header', spoil: edit((lines) => { lines[0] = (lines[0] ?? '').replace(/"revision":"\d+"/, '"revision":"999"'); }), says: 'checksum' },
      { title: 'a missing key', spoil: edit((lines) => lines.splice(2, 1)), says: 'should have 5 keys and has 4' },
      { title: 'a doubled key', spoil: edit((lines) => lines.splice(2, 0, lines[2] ?? '')), says: 'out of order' },
      { title: 'something after the end', spoil: (file) => writeFileSync(file, `${readFileSync(file, 'utf8')}more\n`), says: 'follows its end' },
    ];
    for (const { title, spoil, says } of cases) {
      it(title, async () => {
        const { path, file } = await sample();
        const before = readFileSync(path);
        spoil(file);
        expect(await refused(restoreSqlite(file, path, { force: true }))).to.contain(says);
        expect(readFileSync(path).equals(before)).to.equal(true);
        const fresh = join(temporaryFolder(), 'deeper', 'state.db');
        await refused(restoreSqlite(file, fresh));
        expect(existsSync(join(fresh, '..'))).to.equal(false);
      });
    }
  });

  it('a restore that was killed is no hindrance', async () => {
    const { path, file } = await sample();
    writeFileSync(`${path}.restoring`, 'half');
    writeFileSync(`${file}.partial`, 'half');
    chmodSync(`${file}.partial`, 0o400);
    await restoreSqlite(file, path, { force: true });
    await save(path, file);
    expect(existsSync(`${path}.restoring`)).to.equal(false);
    expect(existsSync(`${file}.partial`)).to.equal(false);
  });
});
