// An API server in memory for tests of whole controllers: lists and watches, writes with versions, subresources as part of the object.
// Differs from a real one: no validation, defaults, admission, selectors, streaming lists or history; patches merge maps and replace lists.
import type { KubeObject } from '#machinery/api/object.ts';
import { notFound, staleConflict, StatusError } from '#machinery/api/status.ts';
import { createInformers } from '#machinery/client/informers.ts';
import type { Client, Resource, WatchEvent } from '#machinery/client/types.ts';
import { defaultConfig } from '../config.ts';
import type { ControllersConfig } from '../config.ts';
import type { ControllerContext, CreateController } from '../context.ts';
import { ControllersMetrics } from '../metrics.ts';

type Event = WatchEvent<KubeObject>;
const keyOf = (namespace = '', name = ''): string => `${namespace}/${name}`;

export class FakeApi {
  /** Writes in order: `create volumeattachments x`. */
  readonly writes: string[] = [];
  readonly events: string[] = [];
  /** Added to the clock. */
  skewMs = 0;
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #watchers = new Map<string, Set<(event: Event) => void>>();
  #version = 0;

  #of(resource: string): Map<string, KubeObject> {
    const found = this.#objects.get(resource) ?? new Map<string, KubeObject>();
    this.#objects.set(resource, found);
    return found;
  }
  #tell(resource: string, event: Event): void {
    this.#watchers.get(resource)?.forEach((watcher) => watcher(structuredClone(event)));
  }
  /** Stores as it is given, whatever was there. */
  put(resource: string, object: object): KubeObject {
    const { metadata = {}, ...rest } = structuredClone(object) as KubeObject; // tests give objects
    const all = this.#of(resource);
    const key = keyOf(metadata.namespace, metadata.name);
    const before = all.get(key);
    const stored = { ...rest, metadata: { uid: before?.metadata?.uid ?? `uid-${this.#version}`, ...metadata, resourceVersion: String(this.#version += 1) } };
    all.set(key, stored);
    this.#tell(resource, { type: before ? 'MODIFIED' : 'ADDED', object: stored });
    return structuredClone(stored);
  }
  drop(resource: string, namespace: string, name: string): void {
    const object = this.#of(resource).get(keyOf(namespace, name));
    if (!object) throw notFound({ group: '', resource }, name);
    this.#of(resource).delete(keyOf(namespace, name));
    this.#tell(resource, { type: 'DELETED', object: { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version += 1) } } });
  }
  get<T>(resource: string, namespace: string, name: string): T | undefined {
    return structuredClone(this.#of(resource).get(keyOf(namespace, name))) as T | undefined;
  }
  list<T>(resource: string): T[] {
    return structuredClone([...this.#of(resource).values()]) as T[];
  }

  readonly client = {
    server: '',
    get: async ({ resource }: Resource<unknown>, namespace: string, name: string) => this.get(resource, namespace, name) ?? missing(resource, name),
    list: async ({ resource }: Resource<unknown>) => ({ metadata: { resourceVersion: String(this.#version) }, items: this.list(resource) }),
    watch: (resource: Resource<unknown>, _namespace: string, options: { sendInitialEvents?: boolean }, signal: AbortSignal) => this.#watch(resource.resource, options, signal),
    create: async ({ resource }: Resource<unknown>, namespace: string, object: KubeObject) => {
      const { generateName } = object.metadata ?? {};
      const name = object.metadata?.name ?? `${generateName ?? ''}${this.#version}`;
      if (this.#of(resource).has(keyOf(namespace, name))) throw new StatusError(409, 'AlreadyExists', `${resource} "${name}" already exists`);
      this.writes.push(`create ${resource} ${name}`);
      return this.put(resource, { ...object, metadata: { ...object.metadata, name, ...(namespace === '' ? {} : { namespace }) } });
    },
    update: async ({ resource }: Resource<unknown>, namespace: string, name: string, object: KubeObject) => {
      const before = this.get<KubeObject>(resource, namespace, name) ?? missing(resource, name);
      if (before.metadata?.resourceVersion !== object.metadata?.resourceVersion) throw staleConflict({ group: '', resource }, name);
      this.writes.push(`update ${resource} ${name}`);
      return this.put(resource, object);
    },
    patch: async ({ resource }: Resource<unknown>, namespace: string, name: string, _type: string, body: object) => {
      const before = this.get<KubeObject>(resource, namespace, name) ?? missing(resource, name);
      this.writes.push(`patch ${resource} ${name}`);
      return this.put(resource, merge(before, body) as object);
    },
    delete: async ({ resource }: Resource<unknown>, namespace: string, name: string) => {
      this.drop(resource, namespace, name);
      this.writes.push(`delete ${resource} ${name}`);
    },
  } as unknown as Client; // what controllers ask for

  async *#watch(resource: string, { sendInitialEvents }: { sendInitialEvents?: boolean }, signal: AbortSignal): AsyncGenerator<Event> {
    if (sendInitialEvents) throw new StatusError(400, 'BadRequest', 'no streaming lists');
    const events: Event[] = [];
    let wake: () => void = () => undefined;
    const watcher = (event: Event): void => {
      events.push(event);
      wake();
    };
    signal.addEventListener('abort', () => wake(), { once: true });
    const all = this.#watchers.get(resource) ?? new Set();
    this.#watchers.set(resource, all.add(watcher));
    try {
      while (!signal.aborted) {
        const event = events.shift();
        if (event) yield event;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      all.delete(watcher);
    }
  }

  /** Runs a controller until `stop`. */
  async start(create: CreateController, config: Partial<ControllersConfig> = {}): Promise<{ stop: () => Promise<void> }> {
    const stopping = new AbortController();
    const informers = createInformers(this.client);
    const context: ControllerContext = {
      config: { ...defaultConfig, client: { server: '' }, ...config }, informers, metrics: new ControllersMetrics(), clientFor: () => this.client, now: () => Date.now() + this.skewMs,
      recorderFor: () => ({ event: (about, type, reason, message) => void this.events.push(`${about.metadata?.name} ${type} ${reason}: ${message}`) }),
    };
    const controller = create(context);
    const feeding = informers.run(stopping.signal);
    await informers.waitForSync(stopping.signal);
    const running = Promise.all([feeding, controller.run(stopping.signal)]);
    return {
      async stop() {
        stopping.abort();
        await running;
      },
    };
  }
}

function missing(resource: string, name: string): never {
  throw notFound({ group: '', resource }, name);
}
function merge(before: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base: Record<string, unknown> = typeof before === 'object' && before !== null && !Array.isArray(before) ? { ...before } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete base[key];
    else base[key] = merge(base[key], value);
  }
  return base;
}
