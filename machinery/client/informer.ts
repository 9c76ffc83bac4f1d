// A local copy of one resource, kept current: a streaming list (or list and watch where the server refuses one), then
// events, bookmarks and resumption; 410 lists again. Upstream: client-go's reflector and shared informer.
import { createBackoff } from '../base/backoff.ts';
import { sleep } from '../base/clock.ts';
import { createLogger } from '../base/log.ts';
import { apiVersionOf } from '../api/object.ts';
import type { KubeObject, ObjectMeta } from '../api/object.ts';
import { StatusError, isExpired } from '../api/status.ts';
import type { Change, Client, Informer, Resource } from './types.ts';

const log = createLogger('informer');
const pageSize = 500;
const initialEventsEnd = 'k8s.io/initial-events-end';

export interface InformerOptions<T> {
  /** Only this namespace. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** What to keep of an object in memory; managedFields are always dropped. May change the object in place. */
  keep?: (object: T) => T;
}

/** Thrown inside when the server does not know streaming lists. */
class NoStreaming extends Error {
  override name = 'NoStreaming';
}

export function createInformer<T>(client: Client, resource: Resource<T>, options: InformerOptions<T> = {}): Informer<T> {
  return new ListWatchInformer(client, resource, options);
}

class ListWatchInformer<T> implements Informer<T> {
  readonly resource: Resource<T>;
  readonly #client: Client;
  readonly #options: InformerOptions<T>;
  /** Namespace -> name -> object. */
  #store = new Map<string, Map<string, T>>();
  readonly #indexes = new Map<string, { keys: (object: T) => string[]; buckets: Map<string, Set<T>> }>();
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  #synced = false;
  readonly #sync = Promise.withResolvers<void>();
  /** Where the next watch goes on; undefined: list first. */
  #version: string | undefined;
  #streaming = true;

  constructor(client: Client, resource: Resource<T>, options: InformerOptions<T>) {
    this.resource = resource;
    this.#client = client;
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const backoff = createBackoff({ baseMs: 100, maxMs: 30_000, jitter: 0.5 });
    while (!signal.aborted) {
      const startedAt = Date.now();
      try {
        if (this.#version === undefined && !this.#streaming) await this.#list(signal);
        await this.#watch(signal);
        if (Date.now() - startedAt > 1000) {
          backoff.reset();
          continue;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (Date.now() - startedAt > 60_000) backoff.reset();
        if (error instanceof NoStreaming) {
          this.#streaming = false;
          log.debug('no streaming list, listing', { resource: this.resource.resource, error });
          continue;
        }
        if (isExpired(error)) {
          this.#version = undefined;
          log.debug('version expired, listing again', { resource: this.resource.resource });
        } else log.warn('list or watch failed, trying again', { resource: this.resource.resource, error });
      }
      await sleep(backoff.nextMs(), signal).catch(() => undefined); // the loop's condition sees the abort
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { namespace = '', labelSelector, fieldSelector } = this.#options;
    const found = new Map<string, Map<string, T>>();
    let next: string | undefined;
    let version: string | undefined;
    do {
      const page = await this.#client.list(this.resource, namespace, { labelSelector, fieldSelector, limit: pageSize, continue: next }, signal);
      for (const item of page.items) put(found, this.#trim(item));
      version = page.metadata.resourceVersion;
      next = page.metadata.continue || undefined;
    } while (next !== undefined);
    this.#replace(found);
    this.#version = version;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { namespace = '', labelSelector, fieldSelector } = this.#options;
    const streaming = this.#version === undefined;
    const timeoutSeconds = Math.floor(300 * (1 + Math.random())); // as client-go: ends spread out, on servers that restart too
    const watch = this.#client.watch(this.resource, namespace, {
      labelSelector, fieldSelector, allowWatchBookmarks: true, timeoutSeconds,
      ...(streaming ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' } : { resourceVersion: this.#version }),
    }, signal);
    let initial: Map<string, Map<string, T>> | undefined = streaming ? new Map() : undefined;
    try {
      for await (const event of watch) {
        if (event.type === 'BOOKMARK') {
          const meta = event.object.metadata;
          if (initial) {
            if (meta?.annotations?.[initialEventsEnd] !== 'true') throw new NoStreaming('bookmark before the end of the initial events');
            this.#replace(initial);
            initial = undefined;
          }
          this.#version = meta?.resourceVersion;
          continue;
        }
        const object = this.#trim(event.object);
        if (initial) {
          if (event.type === 'DELETED') remove(initial, object);
          else put(initial, object);
          continue;
        }
        this.#version = metaOf(object).resourceVersion;
        if (event.type === 'DELETED') this.#delete(object);
        else this.#set(object);
      }
    } catch (error) {
      // 403 may be a role that forbids watching but not listing, or one that is not there yet: this attempt lists, later ones ask again.
      if (streaming && initial && error instanceof StatusError) {
        if ([400, 405, 422, 501].includes(error.status.code)) throw new NoStreaming('refused', { cause: error });
        if (error.status.code === 403) {
          await this.#list(signal);
          return;
        }
      }
      throw error;
    }
    if (initial) throw new Error('the watch ended before its initial events did');
  }

  /** Takes a complete list in the place of the store and tells the handlers the difference. */
  #replace(found: Map<string, Map<string, T>>): void {
    for (const [namespace, names] of this.#store) {
      for (const [name, object] of names) if (!found.get(namespace)?.has(name)) this.#delete(object);
    }
    for (const names of found.values()) for (const object of names.values()) this.#set(object);
    if (!this.#synced) {
      this.#synced = true;
      this.#sync.resolve();
    }
  }

  #set(object: T): void {
    const { namespace = '', name = '' } = metaOf(object);
    const old = this.#store.get(namespace)?.get(name);
    put(this.#store, object);
    for (const index of this.#indexes.values()) {
      if (old !== undefined) unindex(index, old);
      enter(index, object);
    }
    if (old === undefined) return this.#tell({ type: 'added', object });
    // A list that repeats what is known is no change, but an object made anew under its name is two.
    if (metaOf(old).uid !== metaOf(object).uid) {
      this.#tell({ type: 'deleted', object: old });
      this.#tell({ type: 'added', object });
    } else if (metaOf(old).resourceVersion !== metaOf(object).resourceVersion) this.#tell({ type: 'updated', object, old });
  }

  #delete(object: T): void {
    const { namespace = '', name = '' } = metaOf(object);
    const old = this.#store.get(namespace)?.get(name);
    if (old === undefined) return;
    remove(this.#store, old);
    for (const index of this.#indexes.values()) unindex(index, old);
    this.#tell({ type: 'deleted', object });
  }

  #tell(change: Change<T>): void {
    for (const handler of this.#handlers) this.#call(handler, change);
  }
  #call(handler: (change: Change<T>) => void, change: Change<T>): void {
    try {
      handler(change);
    } catch (error) {
      log.error('a change handler threw', { resource: this.resource.resource, error });
    }
  }

  #trim(object: T): T {
    const whole = object as KubeObject; // every API object is one
    whole.apiVersion ??= apiVersionOf(this.resource.group, this.resource.version);
    whole.kind ??= this.resource.kind;
    // Set, not deleted: deleting turns the object into a slow and large dictionary.
    if (whole.metadata?.managedFields) whole.metadata.managedFields = undefined;
    return this.#options.keep ? this.#options.keep(object) : object;
  }

  hasSynced(): boolean {
    return this.#synced;
  }
  async waitForSync(signal: AbortSignal): Promise<void> {
    if (this.#synced) return;
    signal.throwIfAborted();
    const stop = Promise.withResolvers<never>();
    const onAbort = (): void => stop.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#sync.promise, stop.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  get(namespace: string, name: string): T | undefined {
    return this.#store.get(namespace)?.get(name);
  }
  list(namespace?: string): T[] {
    if (namespace !== undefined) return [...(this.#store.get(namespace)?.values() ?? [])];
    const all: T[] = [];
    for (const names of this.#store.values()) for (const object of names.values()) all.push(object);
    return all;
  }
  addIndex(name: string, keys: (object: T) => string[]): void {
    if (this.#indexes.has(name)) return;
    const index = { keys, buckets: new Map<string, Set<T>>() };
    this.#indexes.set(name, index);
    for (const object of this.list()) enter(index, object);
  }
  byIndex(name: string, key: string): T[] {
    const index = this.#indexes.get(name);
    if (!index) throw new Error(`${this.resource.resource} has no index ${name}`);
    return [...(index.buckets.get(key) ?? [])];
  }
  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
    for (const object of this.list()) this.#call(handler, { type: 'added', object });
  }
}

function metaOf(object: unknown): ObjectMeta {
  return (object as KubeObject).metadata ?? {}; // every API object is one
}
function put<T>(store: Map<string, Map<string, T>>, object: T): void {
  const { namespace = '', name = '' } = metaOf(object);
  let names = store.get(namespace);
  if (!names) store.set(namespace, (names = new Map()));
  names.set(name, object);
}
function remove<T>(store: Map<string, Map<string, T>>, object: T): void {
  const { namespace = '', name = '' } = metaOf(object);
  const names = store.get(namespace);
  names?.delete(name);
  if (names?.size === 0) store.delete(namespace);
}
function enter<T>(index: { keys: (object: T) => string[]; buckets: Map<string, Set<T>> }, object: T): void {
  for (const key of index.keys(object)) {
    let bucket = index.buckets.get(key);
    if (!bucket) index.buckets.set(key, (bucket = new Set()));
    bucket.add(object);
  }
}
function unindex<T>(index: { keys: (object: T) => string[]; buckets: Map<string, Set<T>> }, object: T): void {
  for (const key of index.keys(object)) {
    const bucket = index.buckets.get(key);
    bucket?.delete(object);
    if (bucket?.size === 0) index.buckets.delete(key);
  }
}
