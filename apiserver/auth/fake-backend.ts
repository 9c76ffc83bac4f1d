// A Backend in memory for unit tests. It differs from the real one: no admission, defaults, validation or allocation; writes
// show in the "cache" at once; the status subresource replaces the whole object; watches never end by themselves; objects are not
// in `storage`, which is for keys of another kind.
import { randomUUID } from 'node:crypto';
import type { KubeObject, Stored } from '#machinery/api/object.ts';
import { alreadyExists, notFound, type ResourceName } from '#machinery/api/status.ts';
import type { Backend, BackendStore } from '../backend.ts';
import type { RequestContext, RequestInfo, UserInfo } from '../request.ts';
import type { ResourceRow, WriteContext } from '../resources/resource.ts';
import { createFakeStorage } from '../storage/fake-storage.ts';
import type { CachedObject, CacheEvent, CacheWatch, ResourceCache } from '../storage/cache.ts';

export interface FakeBackend extends Backend {
  put(id: string, object: KubeObject): Stored<KubeObject>;
  remove(id: string, namespace: string, name: string): void;
  /** `create pods/ns/name` and the like, in order. */
  readonly writes: string[];
}

export function createFakeBackend(objects: Readonly<Record<string, readonly KubeObject[]>> = {}): FakeBackend {
  const all = new Map<string, Map<string, CachedObject>>();
  const watchers = new Map<string, Set<(event: CacheEvent) => void>>();
  const writes: string[] = [];
  let revision = 0n;

  const of = (id: string): Map<string, CachedObject> => {
    let found = all.get(id);
    if (found === undefined) all.set(id, (found = new Map()));
    return found;
  };
  const tell = (id: string, event: CacheEvent): void => watchers.get(id)?.forEach((watcher) => watcher(event));
  const nameOf = (id: string): ResourceName => {
    const dot = id.indexOf('.');
    return dot < 0 ? { group: '', resource: id } : { group: id.slice(dot + 1), resource: id.slice(0, dot) };
  };

  function put(id: string, given: KubeObject): Stored<KubeObject> {
    revision += 1n;
    const { namespace = '', name = '', uid = randomUUID() } = given.metadata ?? {};
    const key = `${namespace}/${name}`;
    const object = { ...structuredClone(given), metadata: { ...structuredClone(given.metadata), name, uid, resourceVersion: String(revision) } };
    const current: CachedObject = { key, namespace, name, object, bytes: Buffer.from(JSON.stringify(object)), revision };
    const previous = of(id).get(key);
    of(id).set(key, current);
    tell(id, { type: 'put', revision, current, previous });
    return object;
  }
  function remove(id: string, namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    const previous = of(id).get(key);
    if (previous === undefined) throw notFound(nameOf(id), name);
    revision += 1n;
    of(id).delete(key);
    tell(id, { type: 'delete', revision, current: undefined, previous });
  }

  function store(id: string): BackendStore {
    const get = (namespace: string, name: string): Stored<KubeObject> => {
      const found = of(id).get(`${namespace}/${name}`);
      if (found === undefined) throw notFound(nameOf(id), name);
      return structuredClone(found.object) as Stored<KubeObject>; // `put` set what makes it one
    };
    return {
      get: async (namespace, name) => get(namespace, name),
      list: async (namespace) => backend.cached(id, namespace) as Stored<KubeObject>[],
      async create(namespace, object) {
        const name = object.metadata?.name ?? '';
        if (of(id).has(`${namespace}/${name}`)) throw alreadyExists(nameOf(id), name);
        writes.push(`create ${id}/${namespace}/${name}`);
        return put(id, { ...object, metadata: { ...object.metadata, ...(namespace === '' ? {} : { namespace }) } });
      },
      async update(namespace, name, object) {
        get(namespace, name);
        writes.push(`update ${id}/${namespace}/${name}`);
        return put(id, object);
      },
      async modify(namespace, name, change) {
        const object = get(namespace, name);
        if (change(object) === false) return object;
        writes.push(`update ${id}/${namespace}/${name}`);
        return put(id, object);
      },
      async delete(namespace, name) {
        remove(id, namespace, name);
        writes.push(`delete ${id}/${namespace}/${name}`);
      },
    };
  }

  function watch(id: string, signal: AbortSignal): CacheWatch {
    const queue: CacheEvent[] = [];
    let wake: () => void = () => undefined;
    let closed = false;
    const watcher = (event: CacheEvent): void => {
      queue.push(event);
      wake();
    };
    const mine = watchers.get(id) ?? new Set();
    watchers.set(id, mine.add(watcher));
    const close = (): void => {
      closed = true;
      mine.delete(watcher);
      wake();
    };
    signal.addEventListener('abort', close, { once: true });
    return {
      get revision() {
        return revision;
      },
      close,
      async *[Symbol.asyncIterator]() {
        while (!closed) {
          if (queue.length > 0) yield queue.splice(0);
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      },
    };
  }

  const backend: FakeBackend = {
    put, remove, writes, store,
    row: () => undefined,
    rows: () => [],
    lookup: (id, namespace, name) => of(id).get(`${namespace}/${name}`)?.object,
    cached: (id, namespace = '', index) => [...of(id).values()]
      .filter((one) => namespace === '' || one.namespace === namespace)
      .filter((one) => index === undefined || (index.name === 'spec.nodeName' && (one.object.spec as { nodeName?: string }).nodeName === index.value))
      .map((one) => one.object),
    refresh: async () => {},
    cache: {
      add: () => Promise.reject(new Error('not faked')),
      remove: () => undefined,
      for: (id) => ({
        resource: { id, prefix: '', decode: () => ({}) }, get: (namespace, name) => of(id).get(`${namespace}/${name}`),
        list: () => [...of(id).values()], reachBack: () => Promise.resolve(), count: () => of(id).size, watch: (_options, signal) => watch(id, signal),
      } satisfies ResourceCache),
      revision: () => revision,
      waitFor: async () => {},
      waitForLatest: async () => {},
      oldestRevision: () => 0n,
      run: async () => {},
    },
    storage: createFakeStorage() as Backend['storage'], // who needs more of it tests with an engine
  };
  for (const [id, list] of Object.entries(objects)) for (const object of list) put(id, object);
  return backend;
}

export function fakeRow(group: string, resource: string, kind: string, namespaced = true): ResourceRow {
  return {
    group, version: 'v1', resource, singular: kind.toLowerCase(), kind, listKind: `${kind}List`, namespaced, verbs: [], shortNames: [], categories: [],
    subresources: [], strategy: {},
  };
}

export function fakeInfo(info: Partial<RequestInfo>): RequestInfo {
  return {
    isResourceRequest: true, path: '', verb: 'get', apiPrefix: 'api', group: '', version: 'v1', namespace: '', resource: '', subresource: '', name: '', parts: [], ...info,
  };
}

/** `headers` are lower case. */
export function fakeContext(about: { user?: UserInfo; info?: Partial<RequestInfo>; headers?: Record<string, string | string[]>; url?: string } = {}): RequestContext {
  const headers = Object.fromEntries(Object.entries(about.headers ?? {}));
  const request = {
    headers, url: about.url ?? '/', socket: {},
    headersDistinct: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value : [value]])),
  };
  return {
    id: 'test', request: request as unknown as RequestContext['request'], url: new URL(about.url ?? '/', 'https://test'), info: fakeInfo(about.info ?? {}), user: about.user,
    signal: new AbortController().signal, warnings: [], receivedAt: 0, annotations: new Map(),
  };
}

export function fakeWrite(backend: Backend, context: RequestContext = fakeContext(), dryRun = false): WriteContext {
  return { request: context, now: 0, dryRun, lookup: (...about) => backend.lookup(...about), list: (id, namespace) => backend.cached(id, namespace) };
}
