// Nodes and pods for tests, and a client over them in memory: lists, watches, bindings, patches, deletes. Unlike a real server
// it applies no defaults, checks nothing, merges patches shallowly (conditions by type) and deletes pods at once.
import type { KubeList, KubeObject, Node, Pod, PodSpec } from '#machinery/api/object.ts';
import { StatusError, notFound } from '#machinery/api/status.ts';
import type { Client, Resource, WatchEvent } from '#machinery/client/types.ts';

export interface NodeOptions { cpu?: string; memory?: string; pods?: string; labels?: Record<string, string>; spec?: Node['spec']; allocatable?: Record<string, string> }
export function makeNode(name: string, { cpu = '4', memory = '8Gi', pods = '110', labels = {}, spec = {}, allocatable = {} }: NodeOptions = {}): Node {
  return {
    apiVersion: 'v1', kind: 'Node',
    metadata: { name, uid: `node-${name}`, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec, status: { allocatable: { cpu, memory, pods, ...allocatable } },
  };
}

let uids = 0;
export interface PodOptions { namespace?: string; cpu?: string; memory?: string; labels?: Record<string, string>; priority?: number; node?: string; spec?: Partial<PodSpec>; metadata?: Pod['metadata'] }
export function makePod(name: string, { namespace = 'default', cpu, memory, labels, priority, node, spec, metadata }: PodOptions = {}): Pod {
  uids += 1;
  const requests = { ...(cpu ? { cpu } : {}), ...(memory ? { memory } : {}) };
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name, namespace, uid: `uid-${uids.toString(16).padStart(4, '0')}`, generation: 1, ...(labels ? { labels } : {}), ...metadata },
    spec: {
      schedulerName: 'default-scheduler', containers: [{ name: 'c', image: 'busybox', resources: { requests } }],
      ...(priority === undefined ? {} : { priority }), ...(node ? { nodeName: node } : {}), ...spec,
    },
    status: { phase: 'Pending' },
  };
}

type AnyObject = KubeObject & { metadata: NonNullable<KubeObject['metadata']> };
export interface FakeServer {
  readonly client: Client;
  put(resource: string, object: unknown): void;
  remove(resource: string, namespace: string, name: string): void;
  get<T>(resource: string, namespace: string, name: string): T | undefined;
  list<T>(resource: string): T[];
  /** When set, asked before each binding; its error is the answer. */
  refuseBinding: ((pod: string) => Error | undefined) | undefined;
  /** Called after each binding. */
  onBound: (() => void) | undefined;
}

export function createFakeServer(): FakeServer {
  const stores = new Map<string, Map<string, AnyObject>>();
  const watchers = new Map<string, Set<(event: WatchEvent<unknown>) => void>>();
  let version = 0;
  const store = (resource: string): Map<string, AnyObject> => {
    let found = stores.get(resource);
    if (!found) stores.set(resource, (found = new Map()));
    return found;
  };
  const keyFor = (namespace: string | undefined, name: string | undefined): string => `${namespace ?? ''}/${name ?? ''}`;
  function put(resource: string, given: unknown): AnyObject {
    const object = structuredClone(given) as AnyObject; // tests hand in whole objects
    object.metadata.resourceVersion = String((version += 1));
    const key = keyFor(object.metadata.namespace, object.metadata.name);
    const type = store(resource).has(key) ? 'MODIFIED' : 'ADDED';
    store(resource).set(key, object);
    for (const notify of watchers.get(resource) ?? []) notify({ type, object });
    return object;
  }
  function need(resource: string, namespace: string, name: string): AnyObject {
    const found = store(resource).get(keyFor(namespace, name));
    if (!found) throw notFound({ group: '', resource }, name);
    return found;
  }
  function remove(resource: string, namespace: string, name: string): void {
    const object = need(resource, namespace, name);
    store(resource).delete(keyFor(namespace, name));
    version += 1;
    for (const notify of watchers.get(resource) ?? []) notify({ type: 'DELETED', object: { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } } });
  }
  const fake: FakeServer = {
    refuseBinding: undefined,
    onBound: undefined,
    put,
    remove,
    get: <T>(resource: string, namespace: string, name: string) => store(resource).get(keyFor(namespace, name)) as T | undefined,
    list: <T>(resource: string) => [...store(resource).values()] as T[],
    client: {
      server: 'fake',
      get: async <T>(resource: Resource<T>, namespace: string, name: string) => need(resource.resource, namespace, name) as T,
      list: async <T>(resource: Resource<T>) => ({ metadata: { resourceVersion: String(version) }, items: [...store(resource.resource).values()] }) as KubeList<T>,
      async create<T>(resource: Resource<T>, namespace: string, object: unknown, _signal: AbortSignal, options?: { subresource?: string; name?: string }) {
        await new Promise((resolve) => setImmediate(resolve));
        if (options?.subresource !== 'binding') return put(resource.resource, object) as T;
        const name = options.name ?? '';
        const refusal = fake.refuseBinding?.(name);
        if (refusal) throw refusal;
        const pod = need('pods', namespace, name) as unknown as Pod;
        const target = (object as { target: { name: string } }).target.name;
        put('pods', { ...pod, spec: { ...pod.spec, nodeName: target } });
        fake.onBound?.();
        return object as T;
      },
      async update<T>(resource: Resource<T>, _namespace: string, _name: string, object: unknown) {
        return put(resource.resource, object) as T;
      },
      async patch<T>(resource: Resource<T>, namespace: string, name: string, _type: string, body: unknown) {
        const object = need(resource.resource, namespace, name);
        const patch = body as { metadata?: { uid?: string; annotations?: Record<string, string> }; status?: { conditions?: { type: string }[]; nominatedNodeName?: string | null } };
        if (patch.metadata?.uid && patch.metadata.uid !== object.metadata.uid) throw new StatusError(409, 'Conflict', 'uid');
        const status = { ...(object.status as Record<string, unknown> | undefined), ...patch.status } as Record<string, unknown>;
        const old = (object.status as { conditions?: { type: string }[] } | undefined)?.conditions ?? [];
        const fresh = patch.status?.conditions ?? [];
        status.conditions = [...old.filter((c) => !fresh.some((f) => f.type === c.type)), ...fresh];
        if (status.nominatedNodeName === null) delete status.nominatedNodeName;
        const annotations = { ...object.metadata.annotations, ...patch.metadata?.annotations };
        return put(resource.resource, { ...object, metadata: { ...object.metadata, annotations }, status }) as T;
      },
      async delete<T>(resource: Resource<T>, namespace: string, name: string) {
        remove(resource.resource, namespace, name);
      },
      async deleteCollection() {
        throw new Error('not faked');
      },
      async *watch<T>(resource: Resource<T>, _namespace: string, options: { sendInitialEvents?: boolean; resourceVersion?: string }, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
        const pending: WatchEvent<unknown>[] = [];
        let wake: () => void = () => undefined;
        const notify = (event: WatchEvent<unknown>): void => {
          pending.push(event);
          wake();
        };
        const set = watchers.get(resource.resource) ?? new Set();
        watchers.set(resource.resource, set.add(notify));
        if (options.sendInitialEvents) {
          for (const object of store(resource.resource).values()) pending.push({ type: 'ADDED', object });
          pending.push({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(version), annotations: { 'k8s.io/initial-events-end': 'true' } } } });
        }
        const stop = (): void => wake();
        signal.addEventListener('abort', stop);
        try {
          while (!signal.aborted) {
            const event = pending.shift();
            if (event) yield event as WatchEvent<T>;
            else await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        } finally {
          signal.removeEventListener('abort', stop);
          set.delete(notify);
        }
      },
      async raw() {
        throw new Error('not faked');
      },
      close: () => undefined,
    },
  };
  return fake;
}
