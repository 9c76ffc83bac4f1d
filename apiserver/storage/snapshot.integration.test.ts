// Snapshots of a real etcd, and from each engine into the other.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { StartError } from '#machinery/base/start-error.ts';
import { openEtcd } from './etcd.ts';
import { restoreEtcd, restoreSqlite } from './snapshot-restore.ts';
import { checkSnapshot, openSnapshot, saveSnapshot } from './snapshot.ts';
import { openSqlite } from './sqlite.ts';
import { CompactedError, type Storage } from './storage.ts';
import { rejection } from './suite.ts';
import { Etcd, etcdBinary, isEtcdInstalled } from './testing-etcd.ts';

async function write(storage: Storage, key: string, value: string | Buffer, expected = 0n): Promise<bigint> {
  const result = await storage.put(key, Buffer.from(value), { expected });
  if (!result.ok) throw new Error(`put ${key}: not as expected`);
  return result.revision;
}
/** Keys, values and whether they run out: what survives a change of engine. */
async function contents(storage: Storage): Promise<unknown[]> {
  const { items } = await storage.range({ prefix: '/registry/', withExpiry: true });
  return items.map(({ key, value, expiresAt }) => [key, value.toString('base64'), expiresAt !== undefined]);
}
async function refused(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  expect(error).to.be.instanceOf(StartError);
  return (error as StartError).message; // checked above
}
const quiet = (): void => undefined;

(isEtcdInstalled ? describe : describe.skip)(`snapshots with etcd (${isEtcdInstalled ? etcdBinary : `skipped: no ${etcdBinary} on PATH`})`, function () {
  this.timeout(60_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'proa-snapshot-etcd-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function fill(storage: Storage): Promise<void> {
    for (let i = 0; i < 1200; i += 100) await Promise.all(Array.from({ length: 100 }, (_, n) => write(storage, `/registry/pods/default/${i + n}`, `pod ${i + n}`)));
    await write(storage, '/registry/binary', Buffer.from([0, 0xff]));
    await storage.put('/registry/events/e', Buffer.from('{}'), { expected: 0n, ttlSeconds: 3600 });
  }

  it('saveSnapshot() of etcd is of one revision while others write; restored into the same etcd, a fresh one and sqlite', async () => {
    await using etcd = new Etcd();
    await etcd.start();
    const file = join(folder, 'etcd.snapshot');
    const storage = await openEtcd({ servers: [etcd.url] });
    await fill(storage);
    const expected = await contents(storage);
    const at = await storage.revision();
    // It ends up late in key order: pages read later must not show it.
    const writing = (async () => {
      for (let i = 0; i < 50; i += 1) await write(storage, `/registry/z${i}`, 'x');
    })();
    const summary = await saveSnapshot(storage, file);
    await writing;
    expect(summary.engine).to.equal('etcd');
    const late = Number(summary.revision - at);
    expect(summary.keys).to.equal(expected.length + late);

    // The same etcd: refused, then replaced; the revision just goes on.
    expect(await refused(restoreEtcd(file, storage, {}, quiet))).to.contain('--force');
    expect((await storage.range({ prefix: '/registry/', limit: 1 })).count).to.equal(expected.length + 50);
    const before = await storage.revision();
    const again = await restoreEtcd(file, storage, { force: true, revisionGap: 10n }, quiet);
    expect(again.revision > before).to.equal(true);
    expect((await contents(storage)).length).to.equal(expected.length + late);
    expect(await rejection(storage.range({ prefix: '/registry/', revision: before }))).to.be.instanceOf(CompactedError);
    await storage.close();

    // A fresh etcd starts at revision 1: it is raised above all that clients may have seen.
    await using other = new Etcd();
    await other.start();
    const fresh = await openEtcd({ servers: [other.url], prefix: '/elsewhere' });
    const restored = await restoreEtcd(file, fresh, { revisionGap: 500n }, quiet);
    expect(restored.keys).to.equal(summary.keys);
    expect(restored.revision > summary.revision + 500n).to.equal(true);
    expect(await rejection(fresh.range({ prefix: '/registry/', revision: summary.revision + 400n }))).to.be.instanceOf(CompactedError);
    expect((await contents(fresh)).slice(0, expected.length)).to.deep.equal(expected);
    await fresh.close();

    const path = join(folder, 'from-etcd.db');
    await restoreSqlite(file, path);
    const sqlite = await openSqlite({ path });
    expect((await contents(sqlite)).slice(0, expected.length)).to.deep.equal(expected);
    expect((await sqlite.revision()) > summary.revision).to.equal(true);
    await sqlite.close();
  });

  it('saveSnapshot() of sqlite, restored into etcd', async () => {
    const path = join(folder, 'to-etcd.db');
    const file = join(folder, 'sqlite.snapshot');
    const sqlite = await openSqlite({ path });
    await fill(sqlite);
    const expected = await contents(sqlite);
    await saveSnapshot(sqlite, file);
    await sqlite.close();
    await using etcd = new Etcd();
    await etcd.start();
    const storage = await openEtcd({ servers: [etcd.url] });
    const { revision } = await restoreEtcd(file, storage, { revisionGap: 300n }, quiet);
    expect(revision > openSnapshot(file).revision + 300n).to.equal(true);
    expect(await contents(storage)).to.deep.equal(expected);
    await storage.close();
  });

  it('restoreEtcd() refuses while an API server runs, a damaged snapshot and a climb without end, and touches nothing', async () => {
    await using etcd = new Etcd();
    await etcd.start();
    const file = join(folder, 'bad.snapshot');
    const storage = await openEtcd({ servers: [etcd.url] });
    await write(storage, '/registry/a', 'x');
    await saveSnapshot(storage, file);
    const before = await storage.revision();
    expect(await refused(restoreEtcd(file, storage, { force: true, revisionGap: 1_000_000_000n }, quiet))).to.contain('--revision-gap');
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.subarray(0, bytes.length - 3));
    expect(await refused(restoreEtcd(file, storage, { force: true }, quiet))).to.contain('the end is missing');
    writeFileSync(file, bytes);
    expect(await storage.revision()).to.equal(before);
    const lease = await storage.put('/registry/masterleases/192.0.2.1', Buffer.from('x'), { expected: 0n, ttlSeconds: 15 });
    expect(lease.ok).to.equal(true);
    expect(await refused(restoreEtcd(file, storage, { force: true }, quiet))).to.contain('an API server runs on this etcd');
    expect((await storage.get('/registry/a')).value?.modRevision).to.equal(before);
    expect((await checkSnapshot(file)).keys).to.equal(1);
    await storage.close();
  });
});
