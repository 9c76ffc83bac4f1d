// The behaviour that both engines must show, as mocha tests; sqlite.test.ts and etcd.integration.test.ts run it.
import { expect } from 'chai';
import fc from 'fast-check';
import { eventually } from '#machinery/base/abort.ts';
import { compareKeys } from './keys.ts';
import {
  CompactedError,
  FutureRevisionError,
  type Storage,
  type StorageBatch,
  type StorageEvent,
  type StoredValue,
} from './storage.ts';

export interface SuiteSubject {
  storage: Storage;
  /** Ends in a slash; keys under it belong to the test alone. */
  prefix: string;
}

/** `open` is called before each test; the storage it returns is closed after it. */
export function describeStorage(name: string, open: () => Promise<SuiteSubject>): void {
  describe(`${name}: storage contract`, () => {
    let storage: Storage;
    let prefix: string;
    let controller: AbortController;
    beforeEach(async () => {
      ({ storage, prefix } = await open());
      controller = new AbortController();
    });
    afterEach(async () => {
      controller.abort();
      await storage.close();
    });

    const put = async (key: string, text: string, expected = 0n): Promise<bigint> => {
      const result = await storage.put(prefix + key, Buffer.from(text), { expected });
      if (!result.ok) throw new Error(`put ${key}: not as expected`);
      return result.revision;
    };
    const remove = async (key: string, expected: bigint): Promise<bigint> => {
      const result = await storage.delete(prefix + key, { expected });
      if (!result.ok) throw new Error(`delete ${key}: not as expected`);
      return result.revision;
    };

    it('put() creates, get() reads back bytes and revisions', async () => {
      const before = await storage.revision();
      const bytes = Buffer.from([0, 255, 10, 0x7b]);
      const result = await storage.put(`${prefix}a`, bytes, { expected: 0n });
      if (!result.ok) throw new Error('not created');
      expect(result.revision > before).to.equal(true);
      const { value, revision } = await storage.get(`${prefix}a`);
      expect(value).to.deep.equal({ key: `${prefix}a`, value: bytes, createRevision: result.revision, modRevision: result.revision });
      expect(revision >= result.revision).to.equal(true);
    });

    it('get() of a missing key is undefined and still tells the revision', async () => {
      const { value, revision } = await storage.get(`${prefix}missing`);
      expect(value).to.equal(undefined);
      expect(revision > 0n).to.equal(true);
    });

    it('put() of an existing key that must not exist returns what is there and writes nothing', async () => {
      const revision = await put('a', 'one');
      const result = await storage.put(`${prefix}a`, Buffer.from('two'), { expected: 0n });
      expect(result.ok).to.equal(false);
      expect(!result.ok && result.current?.value.toString()).to.equal('one');
      expect(!result.ok && result.current?.modRevision).to.equal(revision);
      expect((await storage.get(`${prefix}a`)).value?.value.toString()).to.equal('one');
    });

    it('put() keeps createRevision, and a key that was deleted starts anew', async () => {
      const created = await put('a', 'one');
      const updated = await put('a', 'two', created);
      expect((await storage.get(`${prefix}a`)).value).to.include({ createRevision: created, modRevision: updated });
      const deleted = await remove('a', updated);
      expect(deleted > updated).to.equal(true);
      expect((await storage.get(`${prefix}a`)).value).to.equal(undefined);
      const again = await put('a', 'three');
      expect((await storage.get(`${prefix}a`)).value).to.include({ createRevision: again, modRevision: again });
    });

    it('put() and delete() with a stale or missing expectation tell the current state', async () => {
      const first = await put('a', 'one');
      const second = await put('a', 'two', first);
      for (const result of [
        await storage.put(`${prefix}a`, Buffer.from('x'), { expected: first }),
        await storage.delete(`${prefix}a`, { expected: first }),
      ]) {
        expect(result.ok).to.equal(false);
        expect(!result.ok && result.current?.modRevision).to.equal(second);
      }
      const gone = await storage.put(`${prefix}nothing`, Buffer.from('x'), { expected: first });
      expect(gone).to.deep.equal({ ok: false, current: undefined });
      expect(await storage.delete(`${prefix}nothing`, { expected: first })).to.deep.equal({ ok: false, current: undefined });
    });

    it('put() from several clients at once: exactly one wins each round', async () => {
      let revision = await put('counter', '0');
      for (let round = 0; round < 5; round += 1) {
        const results = await Promise.all(
          Array.from({ length: 8 }, (_, client) => storage.put(`${prefix}counter`, Buffer.from(`${round}/${client}`), { expected: revision })),
        );
        const winners = results.filter((result) => result.ok);
        expect(winners).to.have.length(1);
        const [winner] = winners;
        if (winner?.ok) revision = winner.revision;
      }
      expect((await storage.get(`${prefix}counter`)).value?.modRevision).to.equal(revision);
    });

    it('put() many at once: every write gets a revision of its own', async () => {
      const revisions = await Promise.all(Array.from({ length: 100 }, (_, i) => put(`k${i}`, String(i))));
      expect(new Set(revisions).size).to.equal(100);
      expect((await storage.range({ prefix })).items).to.have.length(100);
    });

    it('put() stores an empty and a large value', async () => {
      await put('empty', '');
      const large = 'x'.repeat(1_000_000);
      await put('large', large);
      expect((await storage.get(`${prefix}empty`)).value?.value.length).to.equal(0);
      expect((await storage.get(`${prefix}large`)).value?.value.toString()).to.equal(large);
    });

    it('range() is in byte order and keeps to its prefix', async () => {
      for (const key of ['b/1', 'a-b/1', 'a/2', 'a/1', 'é', '\u{1f6a3}', '\uffee', 'a']) await put(key, key);
      const keys = (await storage.range({ prefix })).items.map(({ key }) => key.slice(prefix.length));
      expect(keys).to.deep.equal(['a', 'a-b/1', 'a/1', 'a/2', 'b/1', 'é', '\uffee', '\u{1f6a3}']);
      expect((await storage.range({ prefix: `${prefix}a/` })).items).to.have.length(2);
      expect((await storage.range({ prefix: `${prefix}none/` })).items).to.deep.equal([]);
    });

    it('range() in pages at one revision: later writes do not show', async () => {
      for (let i = 0; i < 10; i += 1) await put(`k${i}`, 'old');
      const first = await storage.range({ prefix, limit: 4 });
      expect(first).to.include({ more: true, count: 10 });
      const last = first.items.at(-1) as StoredValue;
      await put('k4', 'new', (await storage.get(`${prefix}k4`)).value?.modRevision);
      await remove('k5', (await storage.get(`${prefix}k5`)).value?.modRevision ?? 0n);
      await put('k45', 'new');
      const second = await storage.range({ prefix, startKey: `${last.key}\0`, limit: 4, revision: first.revision });
      expect(second).to.include({ more: true, count: 6, revision: first.revision });
      expect(second.items.map(({ key, value }) => key.slice(prefix.length) + value.toString())).to.deep.equal(['k4old', 'k5old', 'k6old', 'k7old']);
      const third = await storage.range({ prefix, startKey: `${prefix}k7\0`, limit: 4, revision: first.revision });
      expect(third).to.include({ more: false, count: 2 });
      const now = await storage.range({ prefix });
      expect(now.items.map(({ key }) => key.slice(prefix.length))).to.deep.equal(['k0', 'k1', 'k2', 'k3', 'k4', 'k45', 'k6', 'k7', 'k8', 'k9']);
    });

    it('range() of a revision that has not happened throws FutureRevisionError', async () => {
      const error = await rejection(storage.range({ prefix, revision: (await storage.revision()) + 1000n }));
      expect(error).to.be.instanceOf(FutureRevisionError);
    });

    it('compact() forgets history and keeps current values', async () => {
      const first = await put('a', 'one');
      const second = await put('a', 'two', first);
      const other = await put('b', 'here');
      const deleted = await remove('b', other);
      const last = await put('c', 'last');
      await storage.compact(deleted);
      expect(await storage.compactedRevision()).to.equal(deleted);
      expect(await rejection(storage.range({ prefix, revision: first }))).to.be.instanceOf(CompactedError);
      expect((await storage.range({ prefix, revision: deleted })).items.map(({ modRevision }) => modRevision)).to.deep.equal([second]);
      expect((await storage.range({ prefix })).items.map(({ modRevision }) => modRevision)).to.deep.equal([second, last]);
      const watched = await rejection(collect(storage.watch(prefix, first, controller.signal), 1));
      expect(watched).to.be.instanceOf(CompactedError);
      // Again, and further back: nothing to do.
      await storage.compact(deleted);
      await storage.compact(first);
      expect(await storage.compactedRevision()).to.equal(deleted);
      expect(await rejection(storage.compact(last + 1000n))).to.be.instanceOf(FutureRevisionError);
    });

    it('watch() replays from a revision, then goes on live, without loss or doubles', async () => {
      const start = await storage.revision();
      const first = await put('a', 'one');
      const second = await put('a', 'two', first);
      const watching = collect(storage.watch(prefix, start, controller.signal), 5);
      const third = await remove('a', second);
      const fourth = await put('a', 'again');
      const fifth = await put('b', 'more');
      const events = await watching;
      expect(events.map(({ type, key, modRevision }) => [type, key.slice(prefix.length), modRevision])).to.deep.equal([
        ['put', 'a', first],
        ['put', 'a', second],
        ['delete', 'a', third],
        ['put', 'a', fourth],
        ['put', 'b', fifth],
      ]);
      expect(events.map((event) => (event.type === 'put' ? event.createRevision : 0n))).to.deep.equal([first, first, 0n, fourth, fifth]);
      expect(events[1]?.type === 'put' && events[1].value.toString()).to.equal('two');
    });

    it('watch() keeps to its prefix, and its progress counts writes elsewhere', async () => {
      const start = await storage.revision();
      const inside = `${prefix}in/`;
      let reached = 0n;
      const seen: StorageEvent[] = [];
      const watching = (async () => {
        for await (const batch of storage.watch(inside, start, controller.signal)) {
          seen.push(...batch.events);
          reached = batch.revision;
        }
      })();
      const hit = await put('in/a', 'x');
      const elsewhere = await put('out/a', 'y');
      await eventually(AbortSignal.timeout(4000), () => reached >= elsewhere, 10);
      expect(seen.map(({ modRevision }) => modRevision)).to.deep.equal([hit]);
      controller.abort();
      await watching;
    });

    it('watch() ends without an error when its signal aborts, waiting or not', async () => {
      const watching = collect(storage.watch(prefix, await storage.revision(), controller.signal), 99);
      setTimeout(() => controller.abort(), 50);
      expect(await watching).to.deep.equal([]);
      expect(await collect(storage.watch(prefix, await storage.revision(), controller.signal), 99)).to.deep.equal([]);
    });

    it('watch() from a revision that has not happened throws FutureRevisionError', async () => {
      const error = await rejection(collect(storage.watch(prefix, (await storage.revision()) + 1000n, controller.signal), 1));
      expect(error).to.be.instanceOf(FutureRevisionError);
    });

    it('watch() read slowly loses nothing', async () => {
      const start = await storage.revision();
      const watch = storage.watch(prefix, start, controller.signal)[Symbol.asyncIterator]();
      await watch.next();
      const count = 6000;
      for (let i = 0; i < count; i += 500) {
        await Promise.all(Array.from({ length: 500 }, (_, n) => put(`k${i + n}`, 'x')));
      }
      const events: StorageEvent[] = [];
      while (events.length < count) events.push(...((await watch.next()).value as StorageBatch).events); // ends only by abort
      expect(events).to.have.length(count);
      const revisions = events.map(({ modRevision }) => modRevision);
      expect(revisions).to.deep.equal([...revisions].sort((a, b) => Number(a - b)));
      expect(new Set(events.map(({ key }) => key)).size).to.equal(count);
      controller.abort();
      expect((await watch.next()).done).to.equal(true);
    }).timeout(30_000);

    it('put() with ttlSeconds deletes the key by itself, with an event; a later write without one keeps it', async () => {
      const start = await storage.revision();
      await storage.put(`${prefix}short`, Buffer.from('x'), { expected: 0n, ttlSeconds: 1 });
      const kept = await storage.put(`${prefix}kept`, Buffer.from('x'), { expected: 0n, ttlSeconds: 1 });
      if (!kept.ok) throw new Error('not created');
      await put('kept', 'for ever', kept.revision);
      const events = await collect(storage.watch(prefix, start, controller.signal), 4);
      expect(events.map(({ type, key }) => `${type} ${key.slice(prefix.length)}`)).to.deep.equal(['put short', 'put kept', 'put kept', 'delete short']);
      expect((await storage.get(`${prefix}short`)).value).to.equal(undefined);
      expect((await storage.get(`${prefix}kept`)).value?.value.toString()).to.equal('for ever');
    }).timeout(15_000);

    it('delete() of a key with ttlSeconds, then a new one of the same name without: it stays', async () => {
      const first = await storage.put(`${prefix}a`, Buffer.from('x'), { expected: 0n, ttlSeconds: 1 });
      if (!first.ok) throw new Error('not created');
      await remove('a', first.revision);
      const second = await put('a', 'again');
      const probe = await storage.put(`${prefix}probe`, Buffer.from('x'), { expected: 0n, ttlSeconds: 1 });
      expect(probe.ok).to.equal(true);
      await eventually(AbortSignal.timeout(12_000), async () => (await storage.get(`${prefix}probe`)).value === undefined);
      expect((await storage.get(`${prefix}a`)).value?.modRevision).to.equal(second);
    }).timeout(15_000);

    it('range() tells when keys run out, if asked', async () => {
      await storage.put(`${prefix}short`, Buffer.from('x'), { expected: 0n, ttlSeconds: 100 });
      await put('kept', 'x');
      const before = Date.now();
      const { items } = await storage.range({ prefix, withExpiry: true });
      expect(items.map(({ expiresAt }) => expiresAt === undefined)).to.deep.equal([true, false]);
      expect(items[1]?.expiresAt).to.be.within(before + 95_000, before + 110_000);
      expect((await storage.range({ prefix })).items.every((item) => !('expiresAt' in item))).to.equal(true);
    });

    it('range() as of a past revision shows overwritten values and deleted keys, in pages too', async () => {
      const first = await put('a', 'old');
      const second = await put('b', 'old');
      const at = await put('c', 'old');
      await put('a', 'new', first);
      await remove('b', second);
      await put('a0', 'new');
      const texts = ({ items }: { items: StoredValue[] }): string[] => items.map(({ key, value }) => `${key.slice(prefix.length)} ${value.toString()}`);
      expect(texts(await storage.range({ prefix, revision: at }))).to.deep.equal(['a old', 'b old', 'c old']);
      const page = await storage.range({ prefix, revision: at, limit: 2 });
      expect([texts(page), page.more, page.count]).to.deep.equal([['a old', 'b old'], true, 3]);
      expect(texts(await storage.range({ prefix, startKey: `${prefix}b\0`, revision: at, limit: 2 }))).to.deep.equal(['c old']);
      expect(texts(await storage.range({ prefix }))).to.deep.equal(['a new', 'a0 new', 'c old']);
    });

    it('ping() resolves, and rejects on an aborted signal', async () => {
      await storage.ping(AbortSignal.timeout(3000));
      expect(await rejection(storage.ping(AbortSignal.abort()))).to.be.instanceOf(Error);
    });

    it('watch() replay equals the final range, whatever the operations', async () => {
      const operation = fc.record({ key: fc.constantFrom('a', 'b', 'c/d', 'c-d'), kind: fc.constantFrom('put', 'put', 'delete'), text: fc.string({ maxLength: 8 }) });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 25 }), fc.boolean(), async (operations, together) => {
          const home = `${prefix}run${(run += 1)}/`;
          const start = await storage.revision();
          const apply = async ({ key, kind, text }: (typeof operations)[number]): Promise<void> => {
            const expected = (await storage.get(home + key)).value?.modRevision ?? 0n;
            // Lost races are fine: the result of each is what the watch must agree with.
            if (kind === 'put') await storage.put(home + key, Buffer.from(text), { expected });
            else if (expected !== 0n) await storage.delete(home + key, { expected });
          };
          if (together) await Promise.all(operations.map(apply));
          else for (const one of operations) await apply(one);
          const end = await storage.revision();
          const state = new Map<string, string>();
          const own = new AbortController();
          for await (const batch of storage.watch(home, start, own.signal)) {
            for (const event of batch.events) {
              if (event.type === 'put') state.set(event.key, `${event.createRevision} ${event.modRevision} ${event.value.toString()}`);
              else expect(state.delete(event.key)).to.equal(true);
            }
            if (batch.revision >= end) own.abort();
          }
          const { items } = await storage.range({ prefix: home });
          const replayed = [...state].sort(([a], [b]) => compareKeys(a, b));
          expect(replayed).to.deep.equal(items.map((item) => [item.key, `${item.createRevision} ${item.modRevision} ${item.value.toString()}`]));
        }),
        { numRuns: 20 },
      );
    }).timeout(30_000);
  });
}

/** The first `count` events, or all until the watch ends. */
export async function collect(watch: AsyncIterable<StorageBatch>, count: number): Promise<StorageEvent[]> {
  const events: StorageEvent[] = [];
  for await (const batch of watch) {
    events.push(...batch.events);
    if (events.length >= count) break;
  }
  return events;
}

export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('expected a rejection, but it resolved');
}
