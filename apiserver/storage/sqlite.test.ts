// The embedded engine: the common contract, and what only it promises: refusals, group commit, kill -9, disk space.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect } from 'chai';
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

  it('refuses what is not a database and leaves it untouched', async () => {
    const path = temporaryFile();
    const text = 'not a database at all\n'.repeat(200);
    writeFileSync(path, text);
    expect(await refused(path)).to.contain('not a database');
    expect(readFileSync(path, 'utf8')).to.equal(text);
  });

  it('refuses another program\'s database and leaves it untouched', async () => {
    const path = temporaryFile();
    const other = new DatabaseSync(path);
    other.exec('CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)');
    other.close();
    const before = readFileSync(path);
    expect(await refused(path)).to.contain('another program');
    expect(readFileSync(path).equals(before)).to.equal(true);
  });

  it('refuses a newer schema and leaves it untouched', async () => {
    const path = temporaryFile();
    await (await openSqlite({ path })).close();
    const other = new DatabaseSync(path);
    other.exec('PRAGMA user_version = 99');
    other.close();
    const before = readFileSync(path);
    expect(await refused(path)).to.contain('newer proa');
    expect(readFileSync(path).equals(before)).to.equal(true);
  });

  it('refuses a torn file', async () => {
    const path = temporaryFile();
    const storage = await openSqlite({ path });
    for (let i = 0; i < 50; i += 1) await write(storage, `/registry/${i}`, 'x'.repeat(4000));
    await storage.close();
    truncateSync(path, 8192);
    expect(await refused(path)).to.contain('damaged');
    expect(statSync(path).size).to.equal(8192);
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
