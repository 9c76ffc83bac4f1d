// The embedded engine: the common contract, and what only it promises: refusals, group commit, kill -9, disk space.
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect } from 'chai';
import fc from 'fast-check';
import { eventually } from '#machinery/base/abort.ts';
import { openSqlite } from './sqlite.ts';
import { StorageUnavailableError, type Storage } from './storage.ts';
import { describeStorage, rejection } from './suite.ts';

const folders: string[] = [];
function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'proa-sqlite-'));
  folders.push(folder);
  return join(folder, 'state.db');
}
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describeStorage('sqlite', async () => ({ storage: await openSqlite({ path: temporaryFile() }), prefix: '/registry/suite/' }));

async function refused(path: string): Promise<string> {
  const error = await rejection(openSqlite({ path }));
  expect(error).to.be.instanceOf(StorageUnavailableError);
  const { message } = error as StorageUnavailableError; // checked above
  expect(message).to.not.contain('\n');
  return message;
}

async function write(storage: Storage, key: string, text: string, expected = 0n): Promise<bigint> {
  const result = await storage.put(key, Buffer.from(text), { expected });
  if (!result.ok) throw new Error(`put ${key}: not as expected`);
  return result.revision;
}

describe('openSqlite()', () => {
  it('makes file and folder, for the owner only', async () => {
    const path = join(temporaryFile(), 'deeper', 'state.db');
    const storage = await openSqlite({ path });
    await write(storage, '/registry/a', 'x');
    for (const suffix of ['', '-wal']) expect(statSync(path + suffix).mode & 0o077).to.equal(0);
    await storage.close();
  });

  it('keeps values and never takes a revision back across restarts, even when the newest row was compacted away', async () => {
    const path = temporaryFile();
    let storage = await openSqlite({ path });
    const first = await write(storage, '/registry/a', 'one');
    const second = await write(storage, '/registry/b', 'two');
    const deleted = await storage.delete('/registry/b', { expected: second });
    if (!deleted.ok) throw new Error('not deleted');
    await storage.compact(deleted.revision);
    await storage.close();
    storage = await openSqlite({ path });
    expect(await storage.revision()).to.equal(deleted.revision);
    expect(await storage.compactedRevision()).to.equal(deleted.revision);
    expect((await storage.get('/registry/a')).value?.modRevision).to.equal(first);
    expect((await write(storage, '/registry/c', 'x')) > deleted.revision).to.equal(true);
    await storage.close();
  });

  it('refuses a file in use, from this process and from another, and leaves the first one working', async () => {
    const path = temporaryFile();
    const storage = await openSqlite({ path });
    await write(storage, '/registry/a', 'x');
    expect(await refused(path)).to.contain('in use');
    const code = `import { openSqlite } from ${JSON.stringify(import.meta.resolve('./sqlite.ts'))};
      try { await openSqlite({ path: process.argv[1] }); } catch (error) { process.stdout.write(error.message); }`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    for await (const chunk of child.stdout) said += String(chunk);
    expect(said).to.contain('in use');
    await write(storage, '/registry/b', 'x');
    await storage.close();
  });

  describe('refuses in one line, and leaves as they are,', () => {
    const otherDatabase = (path: string, sql: string): void => {
      const other = new DatabaseSync(path);
      other.exec(sql);
      other.close();
    };
    /** A store of some pages with a log, as kill -9 leaves it: copied while it is in use. */
    const killed = async (path: string): Promise<void> => {
      const source = temporaryFile();
      const storage = await openSqlite({ path: source });
      for (let i = 0; i < 50; i += 1) await write(storage, `/registry/${i}`, 'x'.repeat(4000));
      for (const suffix of ['', '-wal', '-shm']) copyFileSync(source + suffix, path + suffix);
      await storage.close();
    };
    const stopped = async (path: string): Promise<void> => {
      const storage = await openSqlite({ path });
      for (let i = 0; i < 50; i += 1) await write(storage, `/registry/${i}`, 'x'.repeat(4000));
      await storage.close();
    };
    const overwrite = (path: string, at: number, length: number): void => {
      const bytes = readFileSync(path);
      randomFillSync(bytes, at, length);
      writeFileSync(path, bytes);
    };
    const cases: { title: string; make: (path: string) => Promise<void> | void; says: string }[] = [
      { title: 'text', make: (path) => writeFileSync(path, 'not a database at all\n'.repeat(200)), says: 'not a database' },
      { title: 'a file of a few bytes', make: (path) => writeFileSync(path, 'x'), says: 'not a database' },
      { title: 'a folder in its place', make: (path) => mkdirSync(path), says: 'not a file' },
      { title: "another program's database", make: (path) => otherDatabase(path, 'CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)'), says: 'another program' },
      { title: "another program's database with a log", async make(path) {
        const source = temporaryFile();
        const other = new DatabaseSync(source);
        other.exec('PRAGMA journal_mode = WAL; CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)');
        for (const suffix of ['', '-wal']) copyFileSync(source + suffix, path + suffix);
        other.close();
      }, says: 'another program' },
      { title: 'a newer schema', async make(path) {
        await stopped(path);
        otherDatabase(path, 'PRAGMA user_version = 99');
      }, says: 'newer proa' },
      { title: 'a truncated file', async make(path) {
        await stopped(path);
        truncateSync(path, 8192);
      }, says: 'is damaged' },
      { title: 'a file cut in the middle of a page', async make(path) {
        await stopped(path);
        truncateSync(path, statSync(path).size - 5000);
      }, says: 'is damaged' },
      { title: 'a garbled header', async make(path) {
        await stopped(path);
        overwrite(path, 0, 100);
      }, says: 'not a database' },
      ...[1, 2, 5, 20].map((page) => ({ title: `random bytes in page ${page + 1}`, async make(path: string) {
        await stopped(path);
        overwrite(path, page * 4096, 4096);
      }, says: 'is damaged' })),
      { title: 'random bytes in the middle of the log', async make(path) {
        await killed(path);
        overwrite(`${path}-wal`, 60_000, 500);
      }, says: '-wal is damaged' },
      { title: 'random bytes in the middle of the log, without its index', async make(path) {
        await killed(path);
        rmSync(`${path}-shm`);
        overwrite(`${path}-wal`, 60_000, 500);
      }, says: '-wal is damaged' },
      { title: 'a garbled header of the log', async make(path) {
        await killed(path);
        overwrite(`${path}-wal`, 0, 32);
      }, says: '-wal is damaged' },
      { title: 'a truncated log', async make(path) {
        await killed(path);
        truncateSync(`${path}-wal`, 100_000);
      }, says: '-wal is damaged' },
      { title: 'an emptied log', async make(path) {
        await killed(path);
        truncateSync(`${path}-wal`, 0);
      }, says: '-wal is damaged' },
    ];
    for (const { title, make, says } of cases) {
      it(title, async () => {
        const path = temporaryFile();
        await make(path);
        const contents = (): (Buffer | undefined)[] => ['', '-wal'].map((suffix) => (existsSync(path + suffix) && statSync(path + suffix).isFile() ? readFileSync(path + suffix) : undefined));
        const before = contents();
        for (let attempt = 0; attempt < 2; attempt += 1) expect(await refused(path)).to.contain(says);
        const after = contents();
        expect(after[0]?.equals(before[0] ?? Buffer.alloc(0))).to.equal(before[0] && true);
        expect(after[1]?.length ?? 0).to.equal(before[1]?.length ?? 0);
        if (before[1]) expect(after[1]?.equals(before[1])).to.equal(true);
      });
    }

    it('any damage to the log that would lose an acknowledged write', async () => {
      const source = temporaryFile();
      await killed(source);
      const { size } = statSync(`${source}-wal`);
      const damage = fc.record({ at: fc.integer({ min: 0, max: size - 1 }), length: fc.integer({ min: 1, max: 9000 }), isCut: fc.boolean() });
      const path = temporaryFile();
      await fc.assert(fc.asyncProperty(damage, async ({ at, length, isCut }) => {
        for (const suffix of ['', '-wal', '-shm']) copyFileSync(source + suffix, path + suffix);
        if (isCut) truncateSync(`${path}-wal`, at);
        else overwrite(`${path}-wal`, at, Math.min(length, size - at));
        const storage = await openSqlite({ path }).catch((error: unknown) => {
          expect(String(error)).to.contain('-wal is damaged');
        });
        if (!storage) return;
        expect((await storage.range({ prefix: '/registry/' })).items).to.have.length(50);
        await storage.close();
      }), { numRuns: 60 });
    }).timeout(20_000);

    it('but not a log whose last, unacknowledged write is torn, nor one that is untouched', async () => {
      for (const tear of [0, 1, 3000]) {
        const path = temporaryFile();
        await killed(path);
        if (tear > 0) {
          // One more commit than the index knows of, torn.
          const wal = readFileSync(`${path}-wal`);
          writeFileSync(`${path}-wal`, Buffer.concat([wal, wal.subarray(wal.length - 4120, wal.length - tear)]));
        }
        const storage = await openSqlite({ path });
        expect((await storage.range({ prefix: '/registry/' })).items).to.have.length(50);
        await storage.close();
      }
    });

    it('a large file that is damaged where the start does not look: service ends with the line', async () => {
      const path = temporaryFile();
      const storage = await openSqlite({ path });
      await Promise.all(Array.from({ length: 4500 }, (_, i) => write(storage, `/registry/${i}`, 'x'.repeat(8000))));
      await storage.close();
      overwrite(path, 4000 * 4096, 4096);
      const opened = await openSqlite({ path });
      await eventually(AbortSignal.timeout(4000), async () => opened.get('/registry/1').then(() => false, () => true), 20);
      expect(String(await rejection(opened.get('/registry/1')))).to.contain('is damaged');
      await opened.close();
    });
  });

  it('refuses a folder that cannot be made or written', async () => {
    expect(await refused('/proc/proa/state.db')).to.contain('/proc/proa/state.db');
    expect(await refused('/dev/null/state.db')).to.contain('/dev/null/state.db');
    expect(await refused('/sys/kernel/state.db')).to.contain('/sys/kernel/state.db');
  });

  it('refuses calls after close() with the same error', async () => {
    const path = temporaryFile();
    const storage = await openSqlite({ path });
    const pending = storage.put('/registry/a', Buffer.from('x'), { expected: 0n });
    await storage.close();
    expect((await pending).ok).to.equal(true);
    for (const call of [storage.get('/a'), storage.revision(), storage.ping(AbortSignal.timeout(1000)), storage.put('/a', Buffer.alloc(0), { expected: 0n }), storage.compact(1n)]) {
      expect(await rejection(call)).to.be.instanceOf(StorageUnavailableError);
    }
    await storage.close();
  });

  it('ends a waiting watch with StorageUnavailableError on close()', async () => {
    const storage = await openSqlite({ path: temporaryFile() });
    const watch = storage.watch('/', await storage.revision(), new AbortController().signal)[Symbol.asyncIterator]();
    await watch.next();
    const waiting = watch.next();
    await storage.close();
    expect(await rejection(Promise.resolve(waiting))).to.be.instanceOf(StorageUnavailableError);
  });

  it('commits writes that come together in one transaction', async () => {
    const storage = await openSqlite({ path: temporaryFile() });
    const batches: number[] = [];
    const controller = new AbortController();
    const start = await storage.revision();
    const watching = (async () => {
      for await (const { events } of storage.watch('/', start, controller.signal)) if (events.length > 0) batches.push(events.length);
    })();
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all(Array.from({ length: 60 }, (_, i) => write(storage, `/registry/${i}`, 'x')));
    await eventually(AbortSignal.timeout(2000), () => batches.length > 0, 5);
    expect(batches).to.deep.equal([60]);
    controller.abort();
    await watching;
    await storage.close();
  });

  it('gives the space of compacted history back', async () => {
    const path = temporaryFile();
    const storage = await openSqlite({ path });
    let revision = 0n;
    for (let i = 0; i < 1500; i += 1) {
      const result = await storage.put('/registry/hot', Buffer.alloc(8000, i % 255), { expected: revision });
      if (!result.ok) throw new Error('lost');
      revision = result.revision;
    }
    await storage.compact(revision);
    expect((await storage.range({ prefix: '/registry/' })).items).to.have.length(1);
    await storage.close();
    expect(statSync(path).size).to.be.lessThan(3_000_000);
  }).timeout(20_000);

  it('finishes a compaction that a crash cut short', async () => {
    const path = temporaryFile();
    let storage = await openSqlite({ path });
    let revision = 0n;
    for (let i = 0; i < 20; i += 1) revision = await write(storage, '/registry/hot', String(i), revision);
    await storage.close();
    const raw = new DatabaseSync(path);
    raw.exec(`UPDATE meta SET value = ${revision} WHERE name = 'compacted'`);
    raw.close();
    storage = await openSqlite({ path });
    const last = await write(storage, '/registry/other', 'x');
    await storage.compact(last);
    await storage.close();
    const after = new DatabaseSync(path);
    expect(after.prepare('SELECT count(*) AS n FROM log').get()?.n).to.equal(2);
    after.close();
  });

  it('every acknowledged write survives kill -9, and nothing is written twice', async () => {
    const path = temporaryFile();
    const code = `import { openSqlite } from ${JSON.stringify(import.meta.resolve('./sqlite.ts'))};
      import { writeSync } from 'node:fs';
      const storage = await openSqlite({ path: process.argv[1] });
      for (let i = 0; ; i += 8) {
        await Promise.all(Array.from({ length: 8 }, async (_, n) => {
          const result = await storage.put('/registry/' + (i + n), Buffer.from('value ' + (i + n)), { expected: 0n });
          if (!result.ok) throw new Error('not created');
          writeSync(1, (i + n) + ' ' + result.revision + '\\n');
        }));
      }`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    const exited = new Promise((resolve) => child.once('close', resolve));
    child.stdout.on('data', (chunk) => {
      said += String(chunk);
      if (said.length > 3000) child.kill('SIGKILL');
    });
    await exited;
    const acknowledged = said.split('\n').slice(0, -1).map((line) => line.split(' '));
    expect(acknowledged.length).to.be.greaterThan(100);
    const storage = await openSqlite({ path });
    for (const [name, revision] of acknowledged) {
      const { value } = await storage.get(`/registry/${name}`);
      expect(value?.value.toString()).to.equal(`value ${name}`);
      expect(String(value?.modRevision)).to.equal(revision);
    }
    const { items } = await storage.range({ prefix: '/registry/' });
    const revisions = items.map(({ modRevision }) => modRevision).sort((a, b) => Number(a - b));
    expect(new Set(revisions).size).to.equal(items.length);
    expect((await storage.revision()) >= (revisions.at(-1) ?? 0n)).to.equal(true);
    await storage.close();
  }).timeout(20_000);

  it('takes no revision back and loses nothing when the clock jumps, in either direction, with a restart or without', async () => {
    const path = temporaryFile();
    let now = Date.UTC(2026, 0, 1);
    const clock = { now: () => now, sleep: () => Promise.reject(new Error('not used')) };
    let storage = await openSqlite({ path, clock });
    let last = 0n;
    for (const jump of [0, -86_400_000 * 365, 86_400_000 * 3650, -86_400_000 * 3000]) {
      now += jump;
      for (let i = 0; i < 2; i += 1) {
        const revision = await write(storage, '/registry/a', String(now), last);
        expect(revision > last).to.equal(true);
        last = revision;
        await storage.close();
        storage = await openSqlite({ path, clock });
        expect(await storage.revision()).to.equal(last);
      }
    }
    expect((await storage.get('/registry/a')).value?.modRevision).to.equal(last);
    await storage.close();
  });

  it('after an I/O error refuses everything until it is opened again, and then has what was acknowledged', async () => {
    const path = temporaryFile();
    const code = `import { openSqlite } from ${JSON.stringify(import.meta.resolve('./sqlite.ts'))};
      const storage = await openSqlite({ path: process.argv[1] });
      const acknowledged = [];
      let [said, after] = ['', ''];
      for (let i = 0; i < 2000 && said === ''; i += 1) {
        await storage.put('/registry/' + i, Buffer.alloc(5000), { expected: 0n }).then(() => acknowledged.push(i), (error) => { said = error.message; });
      }
      await storage.get('/registry/0').catch((error) => { after = error.message; });
      await storage.close();
      process.stdout.write(JSON.stringify({ acknowledged, said, after }));`;
    // Blocks of 512 bytes: no file may grow past 2 MB.
    const child = spawn('sh', ['-c', 'ulimit -f 4096; exec "$@"', 'sh', process.execPath, '--input-type=module-typescript', '-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    for await (const chunk of child.stdout) text += String(chunk);
    const { acknowledged, said, after: later } = JSON.parse(text) as { acknowledged: number[]; said: string; after: string };
    expect(said).to.contain('cannot be read or written').and.to.contain('start proa again');
    expect(later).to.equal(said);
    expect(acknowledged.length).to.be.greaterThan(50);
    const storage = await openSqlite({ path });
    const keys = new Set((await storage.range({ prefix: '/registry/' })).items.map(({ key }) => key));
    expect(acknowledged.filter((i) => !keys.has(`/registry/${i}`))).to.deep.equal([]);
    await storage.close();
  }).timeout(20_000);

  it('keys whose time ran out while the server was down go at the next start', async () => {
    const path = temporaryFile();
    let now = 1_000_000;
    const clock = { now: () => now, sleep: () => Promise.reject(new Error('not used')) };
    let storage = await openSqlite({ path, clock });
    await storage.put('/registry/a', Buffer.from('x'), { expected: 0n, ttlSeconds: 3600 });
    await storage.put('/registry/b', Buffer.from('x'), { expected: 0n, ttlSeconds: 7200 });
    await storage.close();
    now += 3_600_000;
    storage = await openSqlite({ path, clock });
    await eventually(AbortSignal.timeout(2000), async () => (await storage.get('/registry/a')).value === undefined, 5);
    expect((await storage.get('/registry/b')).value).to.not.equal(undefined);
    await storage.close();
  });
});
