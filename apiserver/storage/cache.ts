// What the handlers see of the watch cache (watch-cache.ts makes it): current objects with ready-made bytes, a bounded
// event history, watches. One storage-wide watch of /registry/ feeds all resources, so the revision is one for all.
import type { KubeObject } from '#machinery/api/object.ts';

/** Tells the cache how a resource's values become objects. Given once per resource, by its row. */
export interface CachedResource {
  /** `pods`, `deployments.apps`: unique. */
  id: string;
  /** `/registry/pods/`: with the trailing slash. */
  prefix: string;
  /** Stored bytes to the object as served in the storage version: apiVersion, kind, defaults and resourceVersion set. */
  decode(value: Buffer, modRevision: bigint): KubeObject;
  /** Secondary indexes: name -> values of an object (`spec.nodeName` for pods). Optional. */
  indexes?: Record<string, (object: KubeObject) => string[]>;
}

/** One current or past state of an object. Shared by everybody: never change it. */
export interface CachedObject {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: Readonly<KubeObject>;
  /** The object as JSON; made once, sent to everybody. */
  readonly bytes: Buffer;
  readonly revision: bigint;
}

export interface CacheEvent {
  type: 'put' | 'delete';
  revision: bigint;
  /** Storage's create revision tells an ADDED from a MODIFIED. */
  current: CachedObject | undefined;
  /** The state before; for a delete `previous.object` carries the last state and watchers see it with the deletion's revision. */
  previous: CachedObject | undefined;
  /** For a delete: the last state with resourceVersion set to the deletion's revision. */
  deleted?: CachedObject;
}

export interface CacheWatch extends AsyncIterable<CacheEvent[]> {
  /**
   * For bookmarks: the consumer has dealt with everything for it up to here (it asked for the next batch). Moves on with
   * the store while the consumer waits, so read it when a bookmark is due.
   */
  readonly revision: bigint;
  close(): void;
}

export interface WatchOptions {
  afterRevision: bigint;
  namespace?: string;
  name?: string;
  /** Only events whose object has, or had just before, this value in a secondary index; the namespace is then not looked at. */
  index?: { name: string; value: string };
  /** Called when the watch is ended because it is read too slowly; its consumer may be waiting for a client. */
  onSlow?: () => void;
}

export interface ResourceCache {
  readonly resource: CachedResource;
  /** Current state at `revision()`. */
  get(namespace: string, name: string): CachedObject | undefined;
  /** In key order. `namespace` '' is all. `after` is an exclusive key to go on from. `label`: only objects that carry it; not together with `index`. */
  list(options?: { namespace?: string; after?: string; limit?: number; index?: { name: string; value: string }; label?: { key: string; value: string } }): CachedObject[];
  count(namespace?: string): number;
  /**
   * Makes the history reach back to `revision` where the store still knows it (after a start it begins with the start), so that a
   * watch from there finds it. Throws CompactedError when it does not.
   */
  reachBack(revision: bigint, signal: AbortSignal): Promise<void>;
  /**
   * Changes after `afterRevision`; batches as they come. Throws CompactedError at once when the history no longer
   * reaches back. A watch that is read too slowly is ended with an error after its bounded queue is full.
   */
  watch(options: WatchOptions, signal: AbortSignal): CacheWatch;
}

export interface WatchCache {
  /** Registers a resource and resolves when it is filled. Known ones return at once; used for CRDs at run time too. */
  add(resource: CachedResource): Promise<ResourceCache>;
  /** Forgets a resource (a CRD went away); its watches end. */
  remove(id: string): void;
  for(id: string): ResourceCache | undefined;
  /** Newest revision that the cache reflects. */
  revision(): bigint;
  /** Resolves when the cache reflects at least `revision`; rejects on the signal. */
  waitFor(revision: bigint, signal: AbortSignal): Promise<void>;
  /** Resolves when the cache reflects everything that was committed before the call (a consistent read). */
  waitForLatest(signal: AbortSignal): Promise<void>;
  /** Reads at an exact past revision straight from storage are the handler's business; this only tells what history is kept. */
  oldestRevision(id: string): bigint;
  /** Runs until the signal aborts; keeps itself alive through engine restarts. */
  run(signal: AbortSignal): Promise<void>;
}
