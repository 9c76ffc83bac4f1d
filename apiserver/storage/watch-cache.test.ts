// The watch cache over the embedded engine, and over an engine that fails on demand.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { aborted, eventually } from '#machinery/base/abort.ts';
import { systemClock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { CachedResource, CacheEvent, CacheWatch, ResourceCache, WatchCache } from './cache.ts';
import { SlowWatchError } from './cache-watch.ts';
import { compareKeys } from './keys.ts';
import { openSqlite } from './sqlite.ts';
import { CompactedError, StorageUnavailableError, type Storage } from './storage.ts';
import { rejection } from './suite.ts';
import { createWatchCache, type WatchCacheOptions } from './watch-cache.ts';

function decode(value: Buffer, revision: bigint): KubeObject {
  const object = JSON.parse(value.toString()) as KubeObject; // the test wrote it
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}
const pods: CachedResource = {
  id: 'pods',
  prefix: '/registry/pods/',
  decode,
  indexes: { node: (object) => (typeof object.node === 'string' ? [object.node] : []) },
};
const nodes: CachedResource = { id: 'nodes', prefix: '/registry/minions/', decode };
const services: CachedResource = { id: 'services', prefix: '/registry/services/specs/', decode };

const quiet = createLogger('test', {}, () => undefined);

describe('createWatchCache()', () => {
  let folder: string;
  let storage: Storage;
  let controller: AbortController;
  let running: Promise<void>[];
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'proa-cache-'));
    storage = await openSqlite({ path: join(folder, 'state.db') });
    controller = new AbortController();
    running = [];
  });
  afterEach(async () => {
    controller.abort();
    await Promise.all(running);
    await storage.close();
    rmSync(folder, { recursive: true });
  });

  function start(options: WatchCacheOptions = {}, over = storage): WatchCache {
    const cache = createWatchCache(over, { log: quiet, ...options });
    running.push(cache.run(controller.signal));
    return cache;
  }
  async function put(key: string, fields: Record<string, unknown> = {}): Promise<bigint> {
    const { value } = await storage.get(key);
    const result = await storage.put(key, Buffer.from(JSON.stringify({ metadata: { name: key.split('/').at(-1) }, ...fields })), { expected: value?.modRevision ?? 0n });
    if (!result.ok) throw new Error('lost');
    return result.revision;
  }
  async function remove(key: string): Promise<bigint> {
    const { value } = await storage.get(key);
    const result = await storage.delete(key, { expected: value?.modRevision ?? 0n });
    if (!result.ok) throw new Error('lost');
    return result.revision;
  }
  async function take(watch: CacheWatch, count: number): Promise<CacheEvent[]> {
    const events: CacheEvent[] = [];
    const iterator = watch[Symbol.asyncIterator]();
    while (events.length < count) {
      const { done, value } = await iterator.next();
      if (done) throw new Error(`the watch ended after ${events.length} of ${count}`);
      events.push(...value);
    }
    return events;
  }
  const names = (events: CacheEvent[]): string[] => events.map(({ type, current, previous }) => `${type} ${(current ?? previous)?.name}`);
  const latest = (cache: WatchCache): Promise<void> => cache.waitForLatest(AbortSignal.timeout(3000));

  it('fills from the store, serves bytes with the resourceVersion, and follows writes', async () => {
    const revision = await put('/registry/pods/a/one', { node: 'n1' });
    await put('/registry/minions/n1');
    await put('/registry/services/specs/a/s');
    const cache = start();
    const [podCache, nodeCache, serviceCache] = await Promise.all([cache.add(pods), cache.add(nodes), cache.add(services)]);
    expect(podCache.get('a', 'one')?.object.metadata?.resourceVersion).to.equal(String(revision));
    expect(JSON.parse(podCache.get('a', 'one')?.bytes.toString() ?? '')).to.deep.equal(podCache.get('a', 'one')?.object);
    expect(nodeCache.get('', 'n1')?.name).to.equal('n1');
    expect(serviceCache.get('a', 's')?.key).to.equal('/registry/services/specs/a/s');
    await put('/registry/pods/a/two');
    await remove('/registry/pods/a/one');
    await latest(cache);
    expect(podCache.list().map(({ name }) => name)).to.deep.equal(['two']);
    expect(podCache.count()).to.equal(1);
    expect(podCache.count('b')).to.equal(0);
    expect(cache.for('pods')).to.equal(podCache);
    expect(cache.for('unknown')).to.equal(undefined);
    expect(await cache.add(pods)).to.equal(podCache);
  });

  it('add() works before run(), while writes go on, and refuses a second resource on the same prefix', async () => {
    const cache = createWatchCache(storage, { log: quiet });
    for (let i = 0; i < 1200; i += 100) await Promise.all(Array.from({ length: 100 }, (_, n) => put(`/registry/pods/a/p${i + n}`)));
    const adding = cache.add(pods);
    running.push(cache.run(controller.signal));
    const writes = Array.from({ length: 50 }, (_, i) => put(`/registry/pods/a/p${i}`, { changed: true }));
    const podCache = await adding;
    await Promise.all(writes);
    await remove('/registry/pods/a/p1199');
    await latest(cache);
    expect(podCache.count()).to.equal(1199);
    expect(podCache.list().filter(({ object }) => object.changed)).to.have.length(50);
    expect(await rejection(cache.add({ ...pods, id: 'pods.other' }))).to.be.instanceOf(Error);
  });

  it('list() is in key order, by namespace, in pages and by index', async () => {
    const keys = ['a/x', 'a-b/x', 'a/y', 'b/x', 'b/z', 'a/w'];
    const cache = start();
    const podCache = await cache.add(pods);
    for (const key of keys) await put(`/registry/pods/${key}`, { node: key.endsWith('x') ? 'n1' : 'n2' });
    await latest(cache);
    const short = (options?: Parameters<ResourceCache['list']>[0]): string[] => podCache.list(options).map(({ key }) => key.slice(pods.prefix.length));
    const sorted = [...keys].sort(compareKeys);
    expect(short()).to.deep.equal(sorted);
    expect(short({ namespace: 'a' })).to.deep.equal(['a/w', 'a/x', 'a/y']);
    expect(short({ namespace: 'none' })).to.deep.equal([]);
    expect(short({ index: { name: 'node', value: 'n1' } })).to.deep.equal(['a-b/x', 'a/x', 'b/x']);
    expect(short({ index: { name: 'node', value: 'n1' }, namespace: 'a' })).to.deep.equal(['a/x']);
    expect(short({ index: { name: 'node', value: 'n3' } })).to.deep.equal([]);
    expect(() => short({ index: { name: 'typo', value: '' } })).to.throw('no index');
    for (const limit of [1, 2, 4, 6, 7]) {
      const pages: string[] = [];
      for (let after: string | undefined; ; ) {
        const page = short({ limit, ...(after === undefined ? {} : { after }) });
        pages.push(...page);
        if (page.length < limit) break;
        after = pods.prefix + page.at(-1);
      }
      expect(pages).to.deep.equal(sorted);
    }
    expect(short({ after: '/registry/pods/a/gone' })).to.deep.equal(['a/w', 'a/x', 'a/y', 'b/x', 'b/z']);
    expect(short({ after: '/registry/pods/a/x', namespace: 'a' })).to.deep.equal(['a/y']);
    expect(short({ after: '/registry/pods/b/x', namespace: 'a' })).to.deep.equal([]);
    await put('/registry/pods/a/x', { node: 'n2' });
    await latest(cache);
    expect(short({ index: { name: 'node', value: 'n1' } })).to.deep.equal(['a-b/x', 'b/x']);
  });

  it('watch() replays history and goes on live; a deletion carries the last state with its revision', async () => {
    const cache = start();
    const podCache = await cache.add(pods);
    const from = cache.revision();
    await put('/registry/pods/a/one', { step: 1 });
    await put('/registry/minions/n1');
    await latest(cache);
    const watch = podCache.watch({ afterRevision: from }, controller.signal);
    await put('/registry/pods/a/one', { step: 2 });
    const deleted = await remove('/registry/pods/a/one');
    const events = await take(watch, 3);
    expect(names(events)).to.deep.equal(['put one', 'put one', 'delete one']);
    expect(events.map(({ previous }) => previous?.object.step)).to.deep.equal([undefined, 1, 2]);
    expect(events[2]?.deleted?.object).to.deep.include({ step: 2 });
    expect(events[2]?.deleted?.object.metadata?.resourceVersion).to.equal(String(deleted));
    expect(events[2]?.deleted?.revision).to.equal(deleted);
    expect(JSON.parse(events[2]?.deleted?.bytes.toString() ?? '')).to.deep.equal(events[2]?.deleted?.object);
  });

  it('watch() by namespace, by name and by index gets its own events only', async () => {
    const cache = start();
    const podCache = await cache.add(pods);
    const from = cache.revision();
    const live = {
      all: podCache.watch({ afterRevision: from }, controller.signal),
      namespace: podCache.watch({ afterRevision: from, namespace: 'a' }, controller.signal),
      name: podCache.watch({ afterRevision: from, namespace: 'a', name: 'y' }, controller.signal),
      index: podCache.watch({ afterRevision: from, index: { name: 'node', value: 'n1' } }, controller.signal),
    };
    await put('/registry/pods/a/x');
    await put('/registry/pods/a/y');
    await put('/registry/pods/b/y');
    await put('/registry/pods/b/y', { node: 'n1' });
    await put('/registry/pods/b/y', { node: 'n1', more: 1 });
    await put('/registry/pods/b/y', { node: 'n2' });
    await put('/registry/pods/b/y', { node: 'n3' });
    await latest(cache);
    const replayed = {
      namespace: podCache.watch({ afterRevision: from, namespace: 'a' }, controller.signal),
      name: podCache.watch({ afterRevision: from, namespace: 'a', name: 'y' }, controller.signal),
      index: podCache.watch({ afterRevision: from, index: { name: 'node', value: 'n1' } }, controller.signal),
    };
    expect(await take(live.all, 7)).to.have.length(7);
    for (const watches of [live, replayed]) {
      expect(names(await take(watches.namespace, 2))).to.deep.equal(['put x', 'put y']);
      expect(names(await take(watches.name, 1))).to.deep.equal(['put y']);
      // Comes to the node, changes there, leaves it.
      expect(names(await take(watches.index, 3))).to.deep.equal(['put y', 'put y', 'put y']);
    }
  });

  it('watch().revision waits for the consumer, then moves with the store', async () => {
    const cache = start();
    const podCache = await cache.add(pods);
    const from = cache.revision();
    const watch = podCache.watch({ afterRevision: from }, controller.signal);
    const iterator = watch[Symbol.asyncIterator]();
    const revision = await put('/registry/pods/a/one');
    await latest(cache);
    expect(watch.revision).to.equal(from);
    await iterator.next();
    expect(watch.revision).to.equal(from);
    const next = iterator.next();
    expect(watch.revision).to.equal(revision);
    const other = await put('/registry/minions/n1');
    await latest(cache);
    expect(watch.revision).to.equal(other);
    watch.close();
    expect((await next).done).to.equal(true);
  });

  it('watch() that is not read is ended with an error, and others go on', async () => {
    const cache = start({ queue: { events: 10, bytes: 1e9 } });
    const podCache = await cache.add(pods);
    const from = cache.revision();
    const slow = podCache.watch({ afterRevision: from }, controller.signal)[Symbol.asyncIterator]();
    const fast = take(podCache.watch({ afterRevision: from }, controller.signal), 12);
    for (let i = 0; i < 12; i += 1) await put(`/registry/pods/a/${i}`);
    expect(await fast).to.have.length(12);
    expect(await rejection(Promise.resolve(slow.next()))).to.be.instanceOf(SlowWatchError);
    expect((await slow.next()).done).to.equal(true);
  });

  it('watch() ends on its signal, on close() and when its resource is removed', async () => {
    const cache = start();
    const podCache = await cache.add(pods);
    const own = new AbortController();
    const ends = [own.signal, controller.signal, controller.signal].map((signal) => podCache.watch({ afterRevision: cache.revision() }, signal));
    const waiting = ends.map((watch) => watch[Symbol.asyncIterator]().next());
    own.abort();
    ends[1]?.close();
    cache.remove('pods');
    for (const one of waiting) expect((await one).done).to.equal(true);
    expect(cache.for('pods')).to.equal(undefined);
    const again = await cache.add(pods);
    await put('/registry/pods/a/new');
    await latest(cache);
    expect(again.count()).to.equal(1);
    const late = podCache.watch({ afterRevision: cache.revision() }, AbortSignal.abort())[Symbol.asyncIterator]();
    expect((await late.next()).done).to.equal(true);
  });

  it('history is bounded in bytes but keeps its floor, and what is gone throws CompactedError', async () => {
    let now = 0;
    const cache = start({ historyBytes: 1, historyFloorMs: 75_000, clock: { ...systemClock, now: () => now } });
    const podCache = await cache.add(pods);
    const from = cache.revision();
    const first = await put('/registry/pods/a/1');
    await put('/registry/pods/a/2');
    await latest(cache);
    expect(cache.oldestRevision('pods')).to.equal(from);
    now += 75_001;
    await put('/registry/pods/a/3');
    await latest(cache);
    expect(cache.oldestRevision('pods') > first).to.equal(true);
    expect(() => podCache.watch({ afterRevision: first }, controller.signal)).to.throw(CompactedError);
    expect(names(await take(podCache.watch({ afterRevision: cache.oldestRevision('pods') }, controller.signal), 1))).to.deep.equal(['put 3']);
  });

  it('history goes after ten minutes although there is room', async () => {
    let now = 0;
    const cache = start({ clock: { ...systemClock, now: () => now } });
    const podCache = await cache.add(pods);
    const first = await put('/registry/pods/a/1');
    await latest(cache);
    now += 600_001;
    await put('/registry/minions/n'); // another resource: nothing is looked at
    await put('/registry/pods/a/2');
    await latest(cache);
    expect(cache.oldestRevision('pods')).to.equal(first);
    expect(podCache.count()).to.equal(2);
  });

  it('past states are still readable after they went cold', async () => {
    const cache = start();
    const podCache = await cache.add(pods);
    const from = cache.revision();
    for (let i = 0; i < 700; i += 1) await put('/registry/pods/a/hot', { step: i });
    await latest(cache);
    const events = await take(podCache.watch({ afterRevision: from }, controller.signal), 700);
    expect(events.map(({ current }) => current?.object.step)).to.deep.equal(Array.from({ length: 700 }, (_, i) => i));
    expect(events.slice(1).map(({ previous }) => previous?.object.step)).to.deep.equal(Array.from({ length: 699 }, (_, i) => i));
  });

  it('waitFor() rejects on its signal; waitForLatest() counts keys outside the registry', async () => {
    const cache = start();
    await cache.add(pods);
    expect(await rejection(cache.waitFor(10_000n, AbortSignal.timeout(20)))).to.be.instanceOf(Error);
    expect(await rejection(cache.waitFor(10_000n, AbortSignal.abort()))).to.be.instanceOf(Error);
    await put('/elsewhere/key');
    await latest(cache);
    expect(cache.revision()).to.equal(await storage.revision());
  });

  it('a stored value that cannot be read is left out, the others stay', async () => {
    await put('/registry/pods/a/good');
    await storage.put('/registry/pods/a/bad', Buffer.from('{nonsense'), { expected: 0n });
    const lines: string[] = [];
    const cache = start({ log: createLogger('test', {}, (line) => lines.push(line)) });
    const podCache = await cache.add(pods);
    expect(podCache.list().map(({ name }) => name)).to.deep.equal(['good']);
    expect(lines.join('')).to.contain('/registry/pods/a/bad');
    await put('/registry/pods/a/bad', { mended: true });
    await latest(cache);
    expect(podCache.count()).to.equal(2);
  });

  it('add() rejects when the store cannot be read, and can be called again', async () => {
    const faulty = faultyStorage(storage);
    const cache = start({}, faulty);
    await cache.add(nodes);
    faulty.fail = new StorageUnavailableError('gone');
    expect(await rejection(cache.add(pods))).to.be.instanceOf(StorageUnavailableError);
    faulty.fail = undefined;
    await cache.add(pods);
  });

  it('an interrupted watch goes on where it was', async () => {
    const faulty = faultyStorage(storage);
    const cache = start({}, faulty);
    const podCache = await cache.add(pods);
    const watch = podCache.watch({ afterRevision: cache.revision() }, controller.signal);
    await put('/registry/pods/a/1');
    await latest(cache);
    faulty.interrupt(new StorageUnavailableError('connection lost'));
    await put('/registry/pods/a/2');
    await remove('/registry/pods/a/1');
    await latest(cache);
    expect(names(await take(watch, 3))).to.deep.equal(['put 1', 'put 2', 'delete 1']);
  });

  it('after history was compacted away, running watches get the differences and none is lost', async () => {
    const faulty = faultyStorage(storage);
    const cache = start({}, faulty);
    const podCache = await cache.add(pods);
    for (const name of ['same', 'changed', 'gone', 'replaced']) await put(`/registry/pods/a/${name}`);
    await latest(cache);
    const before = cache.revision();
    const watch = podCache.watch({ afterRevision: before }, controller.signal);
    faulty.interrupt(new StorageUnavailableError('connection lost'));
    await put('/registry/pods/a/changed', { step: 2 });
    await remove('/registry/pods/a/gone');
    await remove('/registry/pods/a/replaced');
    await put('/registry/pods/a/replaced', { step: 2 });
    await put('/registry/pods/a/new');
    await put('/registry/pods/a/later');
    await storage.compact(await storage.revision());
    await latest(cache);
    const events = await take(watch, 6);
    expect(names(events)).to.have.members(['put changed', 'delete gone', 'delete replaced', 'put replaced', 'put new', 'put later']);
    expect(names(events).indexOf('delete replaced')).to.be.lessThan(names(events).indexOf('put replaced'));
    const revisions = events.map(({ revision }) => revision);
    expect(revisions).to.deep.equal([...revisions].sort((a, b) => Number(a - b)));
    expect(podCache.list().map(({ name }) => name)).to.deep.equal(['changed', 'later', 'new', 'replaced', 'same']);
    expect(() => podCache.watch({ afterRevision: before }, controller.signal)).to.throw(CompactedError);
    await put('/registry/pods/a/after');
    expect(names(await take(watch, 1))).to.deep.equal(['put after']);
  });

  it('add() while history is gone waits for the reading anew and is right after it', async () => {
    const faulty = faultyStorage(storage);
    const cache = start({}, faulty);
    await cache.add(nodes);
    await put('/registry/pods/a/old');
    await latest(cache);
    faulty.interrupt(new StorageUnavailableError('connection lost'));
    await put('/registry/pods/a/new');
    await remove('/registry/pods/a/old');
    await storage.compact(await storage.revision());
    const podCache = await cache.add(pods);
    await put('/registry/pods/a/later');
    await latest(cache);
    expect(podCache.list().map(({ name }) => name)).to.deep.equal(['later', 'new']);
  });

  it('a store that went back in time ends the watches, and the cache shows the store again', async () => {
    const faulty = faultyStorage(storage);
    const cache = start({}, faulty);
    const podCache = await cache.add(pods);
    await put('/registry/pods/a/kept');
    await put('/registry/pods/a/lost');
    await latest(cache);
    const next = podCache.watch({ afterRevision: cache.revision() }, controller.signal)[Symbol.asyncIterator]().next();
    next.catch(() => undefined); // looked at below
    const restored = await openSqlite({ path: join(folder, 'restored.db') });
    await restored.put('/registry/pods/a/kept', Buffer.from('{"metadata":{}}'), { expected: 0n });
    faulty.replace(restored);
    faulty.interrupt(new StorageUnavailableError('connection lost'));
    expect(await rejection(Promise.resolve(next))).to.be.instanceOf(StorageUnavailableError);
    await eventually(AbortSignal.timeout(2000), () => cache.revision() === 2n, 5);
    expect(podCache.list().map(({ name, revision }) => `${name} ${revision}`)).to.deep.equal(['kept 2']);
    await restored.put('/registry/pods/a/more', Buffer.from('{"metadata":{}}'), { expected: 0n });
    await latest(cache);
    expect(podCache.count()).to.equal(2);
    controller.abort();
    await Promise.all(running);
    await restored.close();
  });

  it('reachBack() brings changes from before the start, with the states before them, and joins them to what follows', async () => {
    await put('/registry/pods/a/kept', { step: 0 });
    await put('/registry/pods/a/gone', { step: 0 });
    const from = await put('/registry/minions/n');
    await put('/registry/pods/a/kept', { step: 1 });
    await put('/registry/pods/a/new', { step: 1 });
    await remove('/registry/pods/a/gone');
    const cache = start();
    const store = await cache.add(pods);
    expect(() => store.watch({ afterRevision: from }, controller.signal), 'without it').to.throw(CompactedError);
    // Many come back at once, not all with the same revision.
    await Promise.all([from, from + 1n, from].map((revision) => store.reachBack(revision, controller.signal)));
    const watch = store.watch({ afterRevision: from }, controller.signal);
    const later = store.watch({ afterRevision: from + 1n }, controller.signal);
    await put('/registry/pods/a/kept', { step: 2 });
    const events = await take(watch, 4);
    expect(names(events)).to.deep.equal(['put kept', 'put new', 'delete gone', 'put kept']);
    expect(events.map(({ revision }) => revision)).to.deep.equal([1n, 2n, 3n, 4n].map((step) => from + step));
    expect(events.map(({ previous }) => previous?.object.step)).to.deep.equal([0, undefined, 0, 1]);
    expect(events[2]?.deleted?.object.metadata?.resourceVersion).to.equal(String(from + 3n));
    expect(names(await take(later, 3))).to.deep.equal(['put new', 'delete gone', 'put kept']);
  });

  it('reachBack() refuses what the store has forgotten, and what the history had to let go', async () => {
    const first = await put('/registry/pods/a/x', { step: 0 });
    for (let step = 1; step < 6; step += 1) await put('/registry/pods/a/x', { step });
    await storage.compact(first + 3n);
    const cache = start();
    const store = await cache.add(pods);
    expect(await rejection(store.reachBack(first + 2n, controller.signal))).to.be.instanceOf(CompactedError);
    await store.reachBack(first + 3n, controller.signal);
    expect(names(await take(store.watch({ afterRevision: first + 3n }, controller.signal), 2))).to.deep.equal(['put x', 'put x']);

    let now = 0;
    const clock = { ...systemClock, now: () => now };
    const tight = await start({ historyBytes: 2000, clock }).add(pods);
    const mark = await put('/registry/pods/a/x', { step: 6 });
    await eventually(controller.signal, () => tight.get('a', 'x')?.revision === mark);
    for (let step = 0; step < 20; step += 1) {
      now += 80_000;
      await put('/registry/pods/a/x', { step, padding: 'x'.repeat(200) });
    }
    const newest = await storage.revision();
    await eventually(controller.signal, () => tight.get('a', 'x')?.revision === newest);
    expect(await rejection(tight.reachBack(mark, controller.signal)), 'read again and again it would only be dropped again').to.be.instanceOf(CompactedError);
  });

  it('reachBack() brings no more than the history has room for', async () => {
    const first = await put('/registry/pods/a/x', { step: 0 });
    for (let step = 1; step < 30; step += 1) await put('/registry/pods/a/x', { step, padding: 'x'.repeat(200) });
    const store = await start({ historyBytes: 5000 }).add(pods);
    expect(await rejection(store.reachBack(first, controller.signal))).to.be.instanceOf(CompactedError);
    const newest = await storage.revision();
    await store.reachBack(newest - 3n, controller.signal);
    expect(await take(store.watch({ afterRevision: newest - 3n }, controller.signal), 3)).to.have.length(3);
  });

  it('many watchers get events together when they come faster than they can be told, none of them lost or early', async () => {
    const cache = start();
    const store = await cache.add(pods);
    const after = cache.revision();
    const writes = 40;
    const seen = await Promise.all(Array.from({ length: 50 }, async (_, n) => {
      const watch = store.watch({ afterRevision: after }, controller.signal);
      const revisions: bigint[] = [];
      let batches = 0;
      for await (const batch of watch) {
        batches += 1;
        for (const { revision } of batch) revisions.push(revision);
        if (n === 0) {
          for (const until = performance.now() + 5; performance.now() < until;); // the time that the writes to clients take
          if (revisions.length === 1) for (let step = 0; step < writes - 1; step += 1) setTimeout(() => void put(`/registry/pods/a/${step}`).catch(() => undefined), step * 2);
        }
        expect(watch.revision <= (revisions.at(-1) ?? 0n), 'a bookmark must not overtake what waits').to.equal(true);
        if (revisions.length === writes) break;
      }
      return { revisions, batches };
    }).concat(put('/registry/pods/a/first').then(() => ({ revisions: [], batches: 0 }))));
    const [one] = seen;
    expect(one?.revisions).to.deep.equal(Array.from({ length: writes }, (_, at) => after + 1n + BigInt(at)));
    for (const { revisions } of seen.slice(0, 50)) expect(revisions).to.deep.equal(one?.revisions);
    expect(one?.batches).to.be.lessThan(writes - 5);
  });

  it('run() settles after the signal and ends the watches', async () => {
    const cache = createWatchCache(storage, { log: quiet });
    const own = new AbortController();
    const run = cache.run(own.signal);
    const podCache = await cache.add(pods);
    const next = podCache.watch({ afterRevision: cache.revision() }, controller.signal)[Symbol.asyncIterator]().next();
    next.catch(() => undefined); // looked at below
    own.abort();
    await run;
    expect(await rejection(Promise.resolve(next))).to.be.instanceOf(StorageUnavailableError);
  });

  it('a watch replayed over a snapshot equals the list, whatever the operations', async () => {
    const cache = start();
    const podCache = await cache.add(pods);
    const operation = fc.tuple(fc.constantFrom('a/1', 'a/2', 'b/1', 'a-b/1'), fc.boolean(), fc.nat(3));
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 30 }), fc.nat(30), async (operations, from) => {
        let state = new Map<string, string | undefined>();
        let watch: CacheWatch | undefined;
        const own = new AbortController();
        for (const [at, [key, isPut, node]] of operations.entries()) {
          if (at === from) {
            await latest(cache);
            state = new Map(podCache.list().map((object) => [object.key, object.object.metadata?.resourceVersion]));
            watch = podCache.watch({ afterRevision: cache.revision() }, own.signal);
          }
          const full = `/registry/pods/${key}`;
          if (isPut) await put(full, { node: `n${node}` });
          else if ((await storage.get(full)).value) await remove(full);
        }
        if (!watch) return;
        await put('/registry/pods/zz/end');
        let ended = false;
        for await (const events of watch) {
          for (const { type, current, previous } of events) {
            if (type === 'put' && current) state.set(current.key, current.object.metadata?.resourceVersion);
            else if (previous) state.delete(previous.key);
            ended ||= current?.name === 'end';
          }
          if (ended) break;
        }
        const end = podCache.list().map((object) => [object.key, object.object.metadata?.resourceVersion]);
        expect([...state].sort(([a], [b]) => compareKeys(a, b))).to.deep.equal(end);
        await remove('/registry/pods/zz/end');
        own.abort();
      }),
      { numRuns: 25 },
    );
  });

});

interface FaultyStorage extends Storage {
  fail: Error | undefined;
  /** Running watches throw this; the next ones work. */
  interrupt(error: Error): void;
  /** Calls from now on go to this one. */
  replace(other: Storage): void;
}

function faultyStorage(real: Storage): FaultyStorage {
  let interruption = Promise.withResolvers<never>();
  interruption.promise.catch(() => undefined); // only watches look at it
  const check = <T>(work: () => Promise<T>): Promise<T> => (faulty.fail ? Promise.reject(faulty.fail) : work());
  const faulty: FaultyStorage = {
    engine: real.engine,
    fail: undefined,
    interrupt(error) {
      interruption.reject(error);
      interruption = Promise.withResolvers();
      interruption.promise.catch(() => undefined); // as above
    },
    replace(other) {
      real = other;
    },
    get: (key) => check(() => real.get(key)),
    range: (options) => check(() => real.range(options)),
    put: (key, value, options) => check(() => real.put(key, value, options)),
    delete: (key, options) => check(() => real.delete(key, options)),
    revision: () => check(() => real.revision()),
    async *watch(prefix, afterRevision, signal) {
      const interrupted = interruption.promise;
      const own = new AbortController();
      const iterator = real.watch(prefix, afterRevision, AbortSignal.any([signal, own.signal]))[Symbol.asyncIterator]();
      try {
        for (;;) {
          const result = await Promise.race([iterator.next(), interrupted]);
          if (result.done) return;
          yield result.value;
        }
      } finally {
        own.abort();
        await aborted(own.signal);
      }
    },
    compact: (revision) => check(() => real.compact(revision)),
    compactedRevision: () => check(() => real.compactedRevision()),
    ping: (signal) => check(() => real.ping(signal)),
    close: () => real.close(),
  };
  return faulty;
}
