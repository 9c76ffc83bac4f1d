// Keeps every registered resource in memory, fed by one storage-wide watch: current objects (sorted-objects.ts), ready-made
// bytes, a bounded history of events, and the watchers (cache-watch.ts). What handlers may count on is in cache.ts.
import { createBackoff } from '#machinery/base/backoff.ts';
import { systemClock, type Clock } from '#machinery/base/clock.ts';
import { createLogger, type Logger } from '#machinery/base/log.ts';
import type { CachedObject, CachedResource, CacheEvent, CacheWatch, ResourceCache, WatchCache, WatchOptions } from './cache.ts';
import { bytesOf, QueuedWatch, type QueueBounds } from './cache-watch.ts';
import { registryPrefix } from './keys.ts';
import { readPast } from './past.ts';
import { SortedObjects, splitKey, type ListOptions } from './sorted-objects.ts';
import { decodeState, deletionOf, type State, type StateEvent } from './state.ts';
import { CompactedError, FutureRevisionError, StorageUnavailableError, type Storage, type StorageBatch, type StorageEvent, type StoredValue } from './storage.ts';

export interface WatchCacheOptions {
  /** History over all resources, counted as JSON bytes. Default 64 MB. */
  historyBytes?: number;
  /** Events older than this go. Default 10 minutes. */
  historyMs?: number;
  /** Events younger than this stay whatever the bytes: clients come back after up to a minute. Default 75 s. */
  historyFloorMs?: number;
  /** A watcher with more than this waiting is ended. Default 8192 events, 32 MB. */
  queue?: QueueBounds;
  clock?: Clock;
  log?: Logger;
}

const fillPage = 500;
/** Past states of the newest events keep their objects, for selectors of live watchers; older ones are parsed when asked. */
const warmEvents = 512;
/** A fan-out to so many watchers is followed by a rest, in which events gather: they then share a write to each. */
const manyWatchers = 16;
const longestRestMs = 50;
/** Counted per event beside its bytes. */
const eventOverheadBytes = 256;

interface HistoryEntry {
  store: ResourceStore;
  /** Of the store when the event was kept: a store that was loaded anew has dropped it already. */
  generation: number;
  bytes: number;
  time: number;
  cold: (State | undefined)[];
}

type Synthesized = { revision: bigint; event: StorageEvent };

export function createWatchCache(storage: Storage, options: WatchCacheOptions = {}): WatchCache {
  return new StorageWatchCache(storage, options);
}

class StorageWatchCache implements WatchCache {
  readonly #storage: Storage;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #options: { historyBytes: number; historyMs: number; historyFloorMs: number; queue: QueueBounds };
  readonly #stores = new Map<string, { store: ResourceStore; filled: Promise<ResourceCache> }>();
  readonly #byPrefix = new Map<string, ResourceStore>();
  /** Undefined until the store's revision was asked for the first time. */
  #position: bigint | undefined;
  #starting: Promise<bigint> | undefined;
  readonly #stopped = new AbortController();
  #resyncing: Promise<void> | undefined;
  /** Raised when the position jumped without events: a fill that was under way starts over. */
  #jumps = 0;
  #waiters: { revision: bigint; resolve: () => void }[] = [];
  #latest: { running?: Promise<bigint> | undefined; next?: Promise<bigint> | undefined } = {};
  readonly #history = new Deque<HistoryEntry>();
  #historyBytes = 0;

  constructor(storage: Storage, options: WatchCacheOptions) {
    this.#storage = storage;
    this.#log = options.log ?? createLogger('storage');
    this.#clock = options.clock ?? systemClock;
    this.#options = {
      historyBytes: options.historyBytes ?? 64 * 1024 * 1024,
      historyMs: options.historyMs ?? 600_000,
      historyFloorMs: options.historyFloorMs ?? 75_000,
      queue: options.queue ?? { events: 8192, bytes: 32 * 1024 * 1024 },
    };
  }

  add(resource: CachedResource): Promise<ResourceCache> {
    const known = this.#stores.get(resource.id);
    if (known) return known.filled;
    const other = this.#byPrefix.get(resource.prefix);
    if (other) return Promise.reject(new Error(`${resource.id} and ${other.resource.id} share ${resource.prefix}; cache one of them`));
    const store: ResourceStore = new ResourceStore(resource, { queue: this.#options.queue, newest: () => this.revision(), reachBack: (revision, signal) => this.#reachBack(store, revision, signal), log: this.#log });
    const filled = this.#fill(store).then(
      () => store,
      (error: unknown) => {
        if (this.#stores.get(resource.id)?.store === store) this.remove(resource.id);
        throw error;
      },
    );
    this.#stores.set(resource.id, { store, filled });
    this.#byPrefix.set(resource.prefix, store);
    return filled;
  }

  remove(id: string): void {
    const store = this.#stores.get(id)?.store;
    if (!store) return;
    this.#stores.delete(id);
    this.#byPrefix.delete(store.resource.prefix);
    store.retire();
  }

  for(id: string): ResourceCache | undefined {
    const store = this.#stores.get(id)?.store;
    return store?.ready ? store : undefined;
  }

  revision(): bigint {
    return this.#position ?? 0n;
  }

  oldestRevision(id: string): bigint {
    return this.#stores.get(id)?.store.floor ?? this.revision();
  }

  waitFor(revision: bigint, signal: AbortSignal): Promise<void> {
    if (this.#position !== undefined && this.#position >= revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason }));
      };
      const waiter = {
        revision,
        resolve: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  async waitForLatest(signal: AbortSignal): Promise<void> {
    await this.waitFor(await this.#latestRevision(), signal);
  }

  async run(signal: AbortSignal): Promise<void> {
    const backoff = createBackoff({ baseMs: 100, maxMs: 5000, jitter: 0.2 });
    try {
      while (!signal.aborted) {
        try {
          const from = await this.#start();
          for await (const batch of this.#storage.watch(registryPrefix, from, signal)) {
            this.#apply(batch);
            backoff.reset();
          }
        } catch (error) {
          if (signal.aborted) break;
          await this.#recover(error, signal, backoff.nextMs());
        }
      }
    } finally {
      this.#stopped.abort(new StorageUnavailableError('the watch cache has stopped'));
      for (const { store } of this.#stores.values()) store.endWatches(new StorageUnavailableError('the watch cache has stopped'));
    }
  }

  /** The position to watch from; asks the store the first time. */
  #start(): Promise<bigint> {
    if (this.#position !== undefined) return Promise.resolve(this.#position);
    this.#starting ??= this.#storage.revision().then(
      (revision) => (this.#position ??= revision),
      (error: unknown) => {
        this.#starting = undefined;
        throw error;
      },
    );
    return this.#starting;
  }

  async #recover(error: unknown, signal: AbortSignal, delayMs: number): Promise<void> {
    const lost = error instanceof CompactedError || error instanceof FutureRevisionError;
    if (!lost && !(error instanceof StorageUnavailableError)) this.#log.error('watch of the store failed', { error });
    else this.#log.warn('watch of the store was interrupted', { reason: error.message });
    try {
      if (lost) return await (this.#resyncing = this.#resync(signal));
    } catch (cause) {
      if (signal.aborted) return;
      this.#log.warn('reading the store anew failed', { error: cause });
    } finally {
      this.#resyncing = undefined;
    }
    try {
      await this.#clock.sleep(delayMs, signal);
    } catch (cause) {
      if (!signal.aborted) throw cause;
    }
  }

  /** Reads at the position, collects the events after it meanwhile, and joins the two. */
  async #fill(store: ResourceStore): Promise<void> {
    for (;;) {
      const at = await this.#start();
      const jumps = this.#jumps;
      // The position may have moved while that promise resolved; from here to the first await nothing can.
      const revision = this.#position ?? at;
      store.begin(revision);
      try {
        for await (const items of this.#pages(store.resource.prefix, revision)) {
          if (jumps !== this.#jumps) break;
          for (const item of items) store.load(item);
        }
      } catch (error) {
        if (!(error instanceof CompactedError) && jumps === this.#jumps) throw error;
        // The position is too old to read at; it moves on when the watch or the reading anew does.
        await this.#clock.sleep(100, this.#stopped.signal);
        continue;
      }
      // One that became ready in the middle of a reading anew would miss what that finds.
      await this.#resyncing?.catch(() => undefined); // reported by who started it
      if (jumps !== this.#jumps) continue;
      // In one turn with becoming ready: events from now on come in order.
      const missed = store.finish();
      this.#deliver(missed.map((event) => ({ store, event })));
      return;
    }
  }

  async *#pages(prefix: string, revision: bigint): AsyncIterable<StoredValue[]> {
    let startKey: string | undefined;
    for (;;) {
      const page = await this.#storage.range({ prefix, revision, limit: fillPage, ...(startKey === undefined ? {} : { startKey }) });
      yield page.items;
      const last = page.items.at(-1);
      if (!page.more || !last) return;
      startKey = `${last.key}\0`;
      await new Promise((resolve) => setImmediate(resolve)); // requests go on meanwhile
    }
  }

  #apply(batch: StorageBatch): void {
    const ready: { store: ResourceStore; event: StorageEvent }[] = [];
    for (const event of batch.events) {
      const store = this.#storeOf(event.key);
      if (!store) continue;
      if (store.ready) ready.push({ store, event });
      else store.defer(event);
    }
    this.#deliver(ready);
    this.#moveTo(batch.revision);
  }

  #deliver(changes: { store: ResourceStore; event: StorageEvent }[]): void {
    if (changes.length === 0) return;
    const time = this.#clock.now();
    const fresh = new Map<ResourceStore, CacheEvent[]>();
    for (const { store, event } of changes) {
      const made = store.apply(event);
      if (!made) continue;
      const events = fresh.get(store);
      if (events) events.push(made);
      else fresh.set(store, [made]);
      this.#remember(store, made, time);
    }
    for (const [store, events] of fresh) store.fanOut(events);
    this.#forget(time);
  }

  #moveTo(revision: bigint): void {
    this.#position = revision;
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter((waiter) => waiter.revision <= revision);
    if (due.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > revision);
    for (const waiter of due) waiter.resolve();
  }

  #remember(store: ResourceStore, event: StateEvent, time: number): void {
    store.history.push(event);
    const bytes = bytesOf(event) + eventOverheadBytes;
    this.#historyBytes += bytes;
    this.#history.push({ store, generation: store.generation, bytes, time, cold: [event.previous, event.deleted] });
    const cooling = this.#history.at(this.#history.length - 1 - warmEvents);
    if (cooling) {
      for (const state of cooling.cold) state?.cool();
      cooling.cold = [];
    }
  }

  #forget(now: number): void {
    const { historyBytes, historyMs, historyFloorMs } = this.#options;
    for (;;) {
      const oldest = this.#history.at(0);
      if (!oldest) return;
      const age = now - oldest.time;
      if (age <= historyMs && (this.#historyBytes <= historyBytes || age <= historyFloorMs)) return;
      this.#history.shift();
      this.#historyBytes -= oldest.bytes;
      for (const state of oldest.cold) state?.cool();
      if (oldest.generation === oldest.store.generation) oldest.store.forgetOldest();
    }
  }

  async #reachBack(store: ResourceStore, revision: bigint, signal: AbortSignal): Promise<void> {
    while (revision < store.floor) {
      // What was in the history and had to go does not come back: it would only have to go again.
      if (store.trimmed || store.retired) throw new CompactedError(store.floor);
      const running = store.reaching;
      if (!running) await (store.reaching = this.#prepend(store, revision).finally(() => {
        store.reaching = undefined;
      }));
      else await running.catch(() => undefined); // who started it has the error; it may have asked for more than is kept
      signal.throwIfAborted();
    }
  }

  /** Reads what comes before the history, twice as far as is asked for: after a restart many come back, one a little later than the other. */
  async #prepend(store: ResourceStore, revision: bigint): Promise<void> {
    const { floor } = store;
    const further = revision - (floor - revision);
    try {
      if (further > 0n) return await this.#prependFrom(store, further);
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
    }
    await this.#prependFrom(store, revision);
  }

  async #prependFrom(store: ResourceStore, from: bigint): Promise<void> {
    const { floor, generation } = store;
    let events: StateEvent[] = [];
    let bytes = 0;
    for await (const batch of readPast(this.#storage, store.resource, from, floor, (item, error) => store.unreadable(item, error), this.#stopped.signal)) {
      for (const event of batch) {
        for (const state of [event.current, event.previous, event.deleted]) state?.cool();
        bytes += bytesOf(event) + eventOverheadBytes;
      }
      events.push(...batch);
      let excess = 0;
      for (; this.#historyBytes + bytes > this.#options.historyBytes && excess < events.length; excess += 1) bytes -= bytesOf(events[excess] as StateEvent) + eventOverheadBytes; // below length
      if (excess === 0) continue;
      from = (events[excess - 1] as StateEvent).revision; // excess is not 0
      events = events.slice(excess);
      store.trimmed = true;
    }
    // Meanwhile the history may have lost what these join.
    if (store.floor !== floor || store.generation !== generation) return;
    store.history.prepend(events);
    store.floor = from;
    this.#historyBytes += bytes;
    // Nobody knows when they happened: they are the first to go when room is needed.
    const time = Math.min(this.#clock.now() - this.#options.historyFloorMs - 1, this.#history.at(0)?.time ?? Infinity);
    this.#history.prepend(events.map((event) => ({ store, generation, bytes: bytesOf(event) + eventOverheadBytes, time, cold: [] })));
  }

  /** History was lost: reads all anew at one revision and hands the differences to the running watchers as events. */
  async #resync(signal: AbortSignal): Promise<void> {
    const revision = await this.#storage.revision();
    const before = this.revision();
    const stores = [...this.#stores.values()].map(({ store }) => store).filter(({ ready }) => ready);
    const found = new Map<ResourceStore, Map<string, StoredValue>>();
    for (const store of stores) {
      const items = new Map<string, StoredValue>();
      for await (const page of this.#pages(store.resource.prefix, revision)) {
        signal.throwIfAborted();
        for (const item of page) items.set(item.key, item);
      }
      found.set(store, items);
    }
    this.#jumps += 1;
    const wentBack = revision < before;
    for (const [store, items] of found) {
      if (store.retired) continue;
      // Clients hold versions of a history that does not exist: nothing can be told to them as a change.
      if (wentBack) store.endWatches(new StorageUnavailableError('the store went back in time'));
      this.#deliver(store.differences(items, before, revision).map((event) => ({ store, event })));
      store.restartHistory(revision);
    }
    this.#log.warn('read the store anew', { revision });
    if (wentBack) this.#position = revision;
    else this.#moveTo(revision);
  }

  #storeOf(key: string): ResourceStore | undefined {
    const first = key.indexOf('/', registryPrefix.length);
    if (first < 0) return undefined;
    const store = this.#byPrefix.get(key.slice(0, first + 1));
    if (store) return store;
    const second = key.indexOf('/', first + 1);
    return second < 0 ? undefined : this.#byPrefix.get(key.slice(0, second + 1));
  }

  /** One question under way and one behind it, however many ask: an answer that began earlier may miss a write. */
  #latestRevision(): Promise<bigint> {
    if (this.#storage.engine === 'sqlite') return this.#storage.revision();
    if (!this.#latest.running) return this.#askLatest();
    const { running } = this.#latest;
    this.#latest.next ??= running.then(
      () => this.#askLatest(),
      () => this.#askLatest(),
    );
    return this.#latest.next;
  }

  #askLatest(): Promise<bigint> {
    this.#latest.next = undefined;
    const running = this.#storage.revision().finally(() => {
      if (this.#latest.running === running) this.#latest.running = undefined;
    });
    this.#latest.running = running;
    return running;
  }
}

/** What a store needs of the cache that it belongs to. */
interface StoreContext {
  queue: QueueBounds;
  newest(): bigint;
  reachBack(revision: bigint, signal: AbortSignal): Promise<void>;
  log: Logger;
}

class ResourceStore implements ResourceCache {
  readonly resource: CachedResource;
  readonly #cache: StoreContext;
  #objects: SortedObjects<State>;
  /** Events after this are in `history`. */
  floor = 0n;
  /** The history has lost events for want of room or for their age. */
  trimmed = false;
  /** A reading of what comes before the history. */
  reaching: Promise<void> | undefined;
  generation = 0;
  ready = false;
  retired = false;
  history = new Deque<CacheEvent>();
  /** Events that wait for their fan-out: after one to many watchers others get as much time as it took. */
  #pending: CacheEvent[] | undefined;
  #restsUntil = 0;
  #deferred: StorageEvent[] = [];
  /** Watchers by what they watch: '' all, `n/NAMESPACE`, `o/NAMESPACE/NAME`, `i/INDEX/VALUE`. */
  readonly #watches = new Map<string, Set<QueuedWatch>>();

  constructor(resource: CachedResource, cache: StoreContext) {
    this.resource = resource;
    this.#cache = cache;
    this.#objects = new SortedObjects(resource);
  }

  get(namespace: string, name: string): CachedObject | undefined {
    return this.#objects.get(namespace, name);
  }
  list(options?: ListOptions): CachedObject[] {
    return this.#objects.list(options);
  }
  count(namespace?: string): number {
    return this.#objects.count(namespace);
  }

  reachBack(revision: bigint, signal: AbortSignal): Promise<void> {
    return revision >= this.floor ? Promise.resolve() : this.#cache.reachBack(revision, signal);
  }

  watch({ afterRevision, namespace = '', name = '', index, onSlow }: WatchOptions, signal: AbortSignal): CacheWatch {
    if (afterRevision < this.floor) throw new CompactedError(this.floor);
    if (index && !this.resource.indexes?.[index.name]) throw new Error(`${this.resource.id} has no index ${index.name}`);
    const topic = name !== '' ? `o/${namespace}/${name}` : index ? `i/${index.name}/${index.value}` : namespace !== '' ? `n/${namespace}` : '';
    const replay = this.history.slice(this.#firstAfter(afterRevision)).filter((event) => topic === '' || this.#topicsOf(event).includes(topic));
    const abort = (): void => watch.close();
    const newest = this.history.at(this.history.length - 1)?.revision ?? afterRevision;
    const watch = new QueuedWatch({
      afterRevision,
      replayed: newest > afterRevision ? newest : afterRevision,
      replay,
      bounds: this.#cache.queue,
      newest: () => this.#handedOut(),
      ...(onSlow ? { onSlow } : {}),
      onClose: (closed) => {
        signal.removeEventListener('abort', abort);
        const set = this.#watches.get(topic);
        set?.delete(closed);
        if (set?.size === 0) this.#watches.delete(topic);
      },
    });
    if (signal.aborted || this.retired) {
      watch.close();
      return watch;
    }
    signal.addEventListener('abort', abort, { once: true });
    const set = this.#watches.get(topic);
    if (set) set.add(watch);
    else this.#watches.set(topic, new Set([watch]));
    return watch;
  }

  begin(revision: bigint): void {
    this.ready = false;
    this.#objects = new SortedObjects(this.resource);
    this.#deferred = [];
    this.restartHistory(revision);
  }

  load(item: StoredValue): void {
    const state = this.#decode(item);
    if (state) this.#objects.set(state);
  }

  defer(event: StorageEvent): void {
    this.#deferred.push(event);
  }

  /** Makes it ready and returns what came meanwhile. */
  finish(): StorageEvent[] {
    this.ready = true;
    return this.#deferred.splice(0);
  }

  restartHistory(revision: bigint): void {
    this.floor = revision;
    this.trimmed = false;
    this.generation += 1;
    this.history = new Deque();
  }

  forgetOldest(): void {
    const event = this.history.shift();
    if (event) this.floor = event.revision;
    this.trimmed = true;
  }

  /** Changes the current state; undefined when nothing changed for a reader. */
  apply(event: StorageEvent): StateEvent | undefined {
    const revision = event.modRevision;
    const current = event.type === 'put' ? this.#decode(event) : undefined;
    if (current) return { type: 'put', revision, current, previous: this.#objects.set(current) };
    const { namespace, name } = splitKey(this.resource.prefix, event.key);
    const previous = this.#objects.delete(namespace, name);
    return previous && deletionOf(previous, revision);
  }

  /** What turns the current objects into `items`, in the order of revisions, all after `before` and up to `revision`. */
  differences(items: ReadonlyMap<string, StoredValue>, before: bigint, revision: bigint): StorageEvent[] {
    const events: Synthesized[] = [];
    const remove = (key: string, at: bigint): void => {
      events.push({ revision: at, event: { type: 'delete', key, modRevision: at } });
    };
    for (const state of this.#objects.list()) {
      const item = items.get(state.key);
      // When it went is not known any more; the end of the gap is the one revision that is surely after it.
      if (!item) remove(state.key, revision);
      else if (item.createRevision !== state.createRevision) remove(state.key, item.createRevision - 1n > before ? item.createRevision - 1n : item.createRevision);
    }
    for (const item of items.values()) {
      const { namespace, name } = splitKey(this.resource.prefix, item.key);
      if (this.#objects.get(namespace, name)?.revision === item.modRevision) continue;
      events.push({ revision: item.modRevision, event: { type: 'put', ...item } });
    }
    // Stable: a removal comes before the put of the same revision.
    return events.sort((a, b) => (a.revision < b.revision ? -1 : a.revision > b.revision ? 1 : 0)).map(({ event }) => event);
  }

  /** Tells the watchers, at once or a little later together with what comes meanwhile. */
  fanOut(events: CacheEvent[]): void {
    if (this.#pending) {
      for (const event of events) this.#pending.push(event);
      return;
    }
    const rest = this.#restsUntil - performance.now();
    if (rest < 1) return this.#handOut(events);
    this.#pending = [...events];
    setTimeout(() => {
      const pending = this.#pending ?? [];
      this.#pending = undefined;
      this.#handOut(pending);
    }, rest);
  }

  /** For bookmarks: watchers have been told of everything up to here. */
  #handedOut(): bigint {
    const [waiting] = this.#pending ?? [];
    return waiting ? waiting.revision - 1n : this.#cache.newest();
  }

  /** Hands the same array to every watcher that wants all of it. */
  #handOut(events: CacheEvent[]): void {
    if (this.#watches.size === 0 || events.length === 0) return;
    const began = performance.now();
    const wanted = this.#sort(events);
    let told = 0;
    for (const [watches, own] of wanted) {
      told += watches.size;
      for (const watch of watches) watch.push(own);
    }
    if (told < manyWatchers) return;
    // They write when their promises resolve, which is before the next turn.
    setImmediate(() => {
      const now = performance.now();
      this.#restsUntil = now + Math.min(now - began, longestRestMs);
    });
  }

  /** The events by who wants them. */
  #sort(events: CacheEvent[]): Map<Set<QueuedWatch>, CacheEvent[]> {
    const wanted = new Map<Set<QueuedWatch>, CacheEvent[]>();
    const all = this.#watches.get('');
    if (all) wanted.set(all, events);
    if (this.#watches.size === wanted.size) return wanted;
    for (const event of events) {
      for (const topic of this.#topicsOf(event)) {
        const watches = this.#watches.get(topic);
        if (!watches) continue;
        const own = wanted.get(watches);
        if (!own) wanted.set(watches, [event]);
        else if (own.at(-1) !== event) own.push(event);
      }
    }
    return wanted;
  }

  endWatches(error?: Error): void {
    this.#pending &&= [];
    for (const set of [...this.#watches.values()]) for (const watch of [...set]) watch.end(error);
  }

  retire(): void {
    this.retired = true;
    this.endWatches();
    this.generation += 1;
    this.history = new Deque();
    this.#objects = new SortedObjects(this.resource);
  }

  /** Everything but '' that an event is for; an object that leaves an index value is told to who watched that value. */
  #topicsOf(event: CacheEvent): string[] {
    const state = event.current ?? event.previous;
    if (!state) return [];
    const topics = [`n/${state.namespace}`, `o/${state.namespace}/${state.name}`];
    for (const [name, valuesOf] of Object.entries(this.resource.indexes ?? {})) {
      for (const one of [event.current, event.previous]) {
        if (one) for (const value of valuesOf(one.object)) topics.push(`i/${name}/${value}`);
      }
    }
    return topics;
  }

  #firstAfter(revision: bigint): number {
    let low = 0;
    let high = this.history.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.history.at(middle) as CacheEvent).revision <= revision) low = middle + 1; // below length
      else high = middle;
    }
    return low;
  }

  /** An object that cannot be read is left out, loudly: one bad value must not take the others away. */
  #decode(item: StoredValue): State | undefined {
    try {
      return decodeState(this.resource, item);
    } catch (error) {
      this.unreadable(item, error);
      return undefined;
    }
  }

  unreadable({ key, modRevision }: StoredValue, error: unknown): void {
    this.#cache.log.error('stored object cannot be read', { key, revision: modRevision, error });
  }
}

/** First in, first out without moving what stays. */
class Deque<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }
  push(item: T): void {
    this.#items.push(item);
  }
  prepend(items: readonly T[]): void {
    this.#items = items.concat(this.#items.slice(this.#head));
    this.#head = 0;
  }
  at(index: number): T | undefined {
    return index < 0 ? undefined : this.#items[this.#head + index];
  }
  slice(from: number): T[] {
    return this.#items.slice(this.#head + from);
  }
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined as T; // never read again; lets the item go
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
