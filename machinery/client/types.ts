// The client's surface, as the components use it: typed resources, requests, informers, queues, controllers, events,
// leases. client.ts, informer.ts, work-queue.ts, controller.ts, recorder.ts and lease.ts make them.
import type { KubeList, KubeObject } from '../api/object.ts';

/** A resource and the type of its objects; constants for the built-in ones are in resources.ts (`pods`, `nodes`, …). */
export interface Resource<T> {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Reads ask for PartialObjectMetadata: names, labels and owners without spec and status. */
  readonly metadataOnly?: boolean;
  /** Never set; carries T. */
  readonly type?: T;
}

export interface ListOptions {
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
  resourceVersionMatch?: string;
}
export interface WriteOptions {
  subresource?: string;
  fieldManager?: string;
  dryRun?: boolean;
  force?: boolean;
}
export interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  preconditions?: { uid?: string; resourceVersion?: string };
}
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';
export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; object: KubeObject };

/**
 * Requests to one API server. Every call throws StatusError for an answer that is a Status, and a plain Error
 * (with `cause`) when there was no answer. `namespace` is '' for cluster-scoped resources and for all namespaces.
 */
export interface Client {
  readonly server: string;
  get<T>(resource: Resource<T>, namespace: string, name: string, signal: AbortSignal): Promise<T>;
  /** One page. */
  list<T>(resource: Resource<T>, namespace: string, options: ListOptions, signal: AbortSignal): Promise<KubeList<T>>;
  create<T>(resource: Resource<T>, namespace: string, object: unknown, signal: AbortSignal, options?: WriteOptions & { name?: string }): Promise<T>;
  update<T>(resource: Resource<T>, namespace: string, name: string, object: unknown, signal: AbortSignal, options?: WriteOptions): Promise<T>;
  patch<T>(resource: Resource<T>, namespace: string, name: string, type: PatchType, body: unknown, signal: AbortSignal, options?: WriteOptions): Promise<T>;
  delete<T>(resource: Resource<T>, namespace: string, name: string, options: DeleteOptions, signal: AbortSignal): Promise<void>;
  deleteCollection<T>(resource: Resource<T>, namespace: string, options: ListOptions & DeleteOptions, signal: AbortSignal): Promise<void>;
  /** Ends when the server ends it; throws StatusError on an ERROR event or a refused start. */
  watch<T>(resource: Resource<T>, namespace: string, options: ListOptions & { allowWatchBookmarks?: boolean; sendInitialEvents?: boolean; timeoutSeconds?: number }, signal: AbortSignal): AsyncIterable<WatchEvent<T>>;
  /** Any path, for discovery, metrics, logs; the body as text. */
  raw(method: string, path: string, signal: AbortSignal, body?: unknown, headers?: Record<string, string>): Promise<{ status: number; body: string }>;
  /** Drops idle connections. */
  close(): void;
}

export interface ClientConfig {
  server: string;
  /** PEM. */
  ca?: string;
  cert?: string;
  key?: string;
  token?: string;
  /** Re-read for each request when given (projected tokens rotate). */
  tokenFile?: string;
  userAgent?: string;
  insecureSkipTlsVerify?: boolean;
  /** Asked before each request when given, in place of token and tokenFile (tokens that the process itself requests). */
  getToken?: (signal: AbortSignal) => Promise<string>;
  /** Acts as somebody else, whom the credentials may impersonate. */
  impersonate?: { user: string; groups: readonly string[] };
}

export type Change<T> =
  | { type: 'added'; object: T }
  | { type: 'updated'; object: T; old: T }
  | { type: 'deleted'; object: T };

/** A local copy of a resource, kept current by list+watch. Objects are shared: copy before you change one. */
export interface Informer<T> {
  readonly resource: Resource<T>;
  /** Settles when the signal aborts; lists again with back-off whatever happens. */
  run(signal: AbortSignal): Promise<void>;
  /** True after the first complete list. */
  hasSynced(): boolean;
  waitForSync(signal: AbortSignal): Promise<void>;
  get(namespace: string, name: string): T | undefined;
  list(namespace?: string): T[];
  /** Adds an index; before or after start. */
  addIndex(name: string, keys: (object: T) => string[]): void;
  byIndex(name: string, key: string): T[];
  /** Called synchronously for every change, also for those of the first list; handlers must not throw or wait. */
  onChange(handler: (change: Change<T>) => void): void;
}

/** One informer per resource, shared by the controllers of a process. */
export interface Informers {
  readonly client: Client;
  /** Same resource, same informer. Created lazily; started by `run`, or at once when already running. */
  for<T>(resource: Resource<T>): Informer<T>;
  /** The informer of a resource when somebody already asked for it. */
  existing<T>(resource: Resource<T>): Informer<T> | undefined;
  run(signal: AbortSignal): Promise<void>;
  waitForSync(signal: AbortSignal): Promise<void>;
}

/** Keys waiting for work: deduplicated, one worker per key at a time, delays and per-key back-off inside. */
export interface WorkQueue {
  add(key: string): void;
  /** Later, unless an add() comes before and takes its place: what has to happen at a time is for reconcile to ask for, with requeueAfterMs. */
  addAfter(key: string, delayMs: number): void;
  /** Puts the key back after its back-off (5 ms doubling to 1000 s, as client-go's default). */
  addRateLimited(key: string): void;
  forget(key: string): void;
  /** The next key; undefined when the signal aborted. Call done(key) afterwards. */
  take(signal: AbortSignal): Promise<string | undefined>;
  done(key: string): void;
  readonly length: number;
  /** Failures in a row of a key. */
  retries(key: string): number;
  /** Drops every key that waits and its timers. */
  close(): void;
  /** For a page under /debug/. */
  debug(): QueueDebug;
}
export interface QueueDebug { ready: string[]; running: string[]; delayed: { key: string; inMs: number }[]; failing: { key: string; retries: number }[] }

export interface ReconcileResult {
  requeueAfterMs?: number;
  /** Not done yet, for a reason that is no failure: again after the key's back-off, without a word in the log. */
  backOff?: boolean;
}
/** Reads state, makes one step towards the wanted one; may run twice, be skipped, or see an old cache. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult | void>;
/** Thrown by a reconciler when trying again cannot help. */
export class TerminalError extends Error {
  override name = 'TerminalError';
}

export interface EventRecorder {
  /** Queues a core/v1 Event (never throws, never blocks; same events are folded into a count as client-go does). */
  event(about: EventSubject, type: 'Normal' | 'Warning', reason: string, message: string, more?: EventDetails): void;
}
/** What an event is about: any object with kind, apiVersion and metadata. */
export interface EventSubject {
  apiVersion?: string;
  kind?: string;
  metadata?: { namespace?: string; name?: string; uid?: string; resourceVersion?: string };
}
export interface EventDetails {
  /** `spec.containers{name}`: the part of the object. */
  fieldPath?: string;
  /** What was tried; events.k8s.io asks for it (default: the reason). */
  action?: string;
  related?: EventSubject;
  annotations?: Record<string, string>;
}

/** Key of a namespaced object in queues: `namespace/name`, or `name`. */
export function keyOf(object: { metadata?: { namespace?: string; name?: string } }): string {
  const { namespace, name = '' } = object.metadata ?? {};
  return namespace ? `${namespace}/${name}` : name;
}
export function splitKey(key: string): { namespace: string; name: string } {
  const slash = key.indexOf('/');
  return slash < 0 ? { namespace: '', name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
