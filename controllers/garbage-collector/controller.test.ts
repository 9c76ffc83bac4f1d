import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { notFound, staleConflict } from '#machinery/api/status.ts';
import type { Client, Informer, Resource } from '#machinery/client/types.ts';
import { Collector } from './controller.ts';

const kinds = [
  { resource: 'configmaps', kind: 'ConfigMap', scope: 'Namespaced' }, { resource: 'nodes', kind: 'Node', scope: 'Cluster' },
  { resource: 'events', kind: 'Event', scope: 'Namespaced' }, { resource: 'bindings', kind: 'Binding', scope: 'Namespaced', verbs: ['create'] },
];
const id = (resource: string, namespace: string, name: string): string => `${resource}/${namespace}/${name}`;

/** A few objects with deletion, finalizers and versions, told to the collector at once. Differs: no admission, no other verbs. */
class FakeApi {
  readonly objects = new Map<string, KubeObject>();
  readonly calls: string[] = [];
  readonly handlers = new Map<string, (change: { type: 'added' | 'updated' | 'deleted'; object: KubeObject; old: KubeObject }) => void>();
  readonly events: string[] = [];
  #version = 0;

  put(resource: string, object: KubeObject): void {
    const { namespace = '', name = '' } = object.metadata ?? {};
    const key = id(resource, namespace, name);
    const isNew = !this.objects.has(key);
    const stored = { ...object, metadata: { uid: name, ...object.metadata, resourceVersion: String((this.#version += 1)) } };
    this.objects.set(key, stored);
    this.handlers.get(resource)?.({ type: isNew ? 'added' : 'updated', object: stored, old: stored });
  }
  drop(resource: string, namespace: string, name: string): void {
    const key = id(resource, namespace, name);
    const object = this.objects.get(key);
    if (!object) throw notFound({ group: '', resource }, name);
    this.objects.delete(key);
    this.handlers.get(resource)?.({ type: 'deleted', object, old: object });
  }
  #take(resource: Resource<unknown>, namespace: string, name: string): KubeObject {
    const object = this.objects.get(id(resource.resource, namespace, name));
    if (!object) throw notFound({ group: '', resource: resource.resource }, name);
    return object;
  }
  readonly client = {
    raw: async (_method: string, path: string) => ({
      status: 200,
      body: JSON.stringify({
        kind: 'APIGroupDiscoveryList',
        items: path === '/api' ? [{ metadata: {}, versions: [{ version: 'v1', resources: kinds.map(({ resource, kind, scope, verbs = ['get', 'list', 'watch', 'delete', 'patch'] }) => ({ resource, responseKind: { kind }, scope, verbs })) }] }] : [],
      }),
    }),
    get: async (resource: Resource<unknown>, namespace: string, name: string) => this.#take(resource, namespace, name),
    delete: async (resource: Resource<unknown>, namespace: string, name: string, options: { propagationPolicy?: string; preconditions?: { uid?: string; resourceVersion?: string } }) => {
      this.calls.push(`delete ${name} ${options.propagationPolicy}`);
      const { metadata } = this.#take(resource, namespace, name);
      if (options.preconditions?.uid !== metadata?.uid) throw staleConflict({ group: '', resource: resource.resource }, name);
      const finalizers = [...(metadata?.finalizers ?? []), ...(options.propagationPolicy === 'Foreground' ? ['foregroundDeletion'] : [])];
      if (finalizers.length > 0) this.put(resource.resource, { metadata: { ...metadata, finalizers, deletionTimestamp: 'now' } });
      else this.drop(resource.resource, namespace, name);
    },
    patch: async (resource: Resource<unknown>, namespace: string, name: string, _type: string, body: { metadata: KubeObject['metadata'] }) => {
      this.calls.push(`patch ${name}`);
      const { metadata } = this.#take(resource, namespace, name);
      if (body.metadata?.resourceVersion !== metadata?.resourceVersion) throw staleConflict({ group: '', resource: resource.resource }, name);
      const next = { ...metadata, ...body.metadata };
      if (next.deletionTimestamp && next.finalizers?.length === 0) this.drop(resource.resource, namespace, name);
      else this.put(resource.resource, { metadata: next });
    },
  } as unknown as Client; // the collector uses no more
  informer(resource: Resource<KubeObject>): Informer<KubeObject> {
    return {
      onChange: (handler: (change: { type: 'added'; object: KubeObject }) => void) => {
        this.handlers.set(resource.resource, handler as never);
        for (const [key, object] of this.objects) if (key.startsWith(`${resource.resource}/`)) handler({ type: 'added', object });
      },
      waitForSync: () => Promise.resolve(),
    } as unknown as Informer<KubeObject>; // as above
  }
  names(): string[] {
    return [...this.objects.values()].map(({ metadata }) => metadata?.name ?? '').sort();
  }
}
const owned = (by: string, more: object = {}): object => ({ ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: by, uid: by, ...more }] });
const map = (name: string, more: object = {}): KubeObject => ({ metadata: { name, namespace: 'a', ...more } });

async function collect(prepare: (api: FakeApi) => void, act: (api: FakeApi) => void, until: (api: FakeApi) => boolean): Promise<FakeApi> {
  const api = new FakeApi();
  prepare(api);
  const stop = new AbortController();
  const recorder = { event: (_about: unknown, _type: string, reason: string) => void api.events.push(reason) };
  const running = new Collector(api.client, api.client, (resource) => api.informer(resource), recorder, 4).run(stop.signal);
  try {
    await eventually(AbortSignal.timeout(3000), () => api.handlers.size === 2, 5);
    await new Promise((resolve) => setTimeout(resolve, 20)); // the workers start right behind
    act(api);
    await eventually(AbortSignal.timeout(3000), () => until(api), 5);
  } finally {
    stop.abort();
    await running;
  }
  return api;
}

describe('Collector', () => {
  it('deletes in the background what has lost its only owner, down the line', async () => {
    const api = await collect((each) => {
      each.put('configmaps', map('owner'));
      each.put('configmaps', map('child', owned('owner')));
      each.put('configmaps', map('grandchild', owned('child')));
      each.put('configmaps', map('other'));
    }, (each) => each.drop('configmaps', 'a', 'owner'), (each) => each.names().length === 1);
    expect(api.names()).to.deep.equal(['other']);
    expect(api.calls).to.deep.equal(['delete child Background', 'delete grandchild Background']);
  });
  it('deletes at the start what lost its owner while nobody looked, and what names a wrong UID', async () => {
    await collect((each) => {
      each.put('configmaps', map('alive'));
      each.put('configmaps', map('lost', owned('gone')));
      each.put('configmaps', map('liar', { ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'alive', uid: 'another' }] }));
      each.put('configmaps', map('true', owned('alive')));
    }, () => undefined, (each) => each.names().join() === 'alive,true');
  });
  it('only takes the reference away while another owner is there', async () => {
    const api = await collect((each) => {
      each.put('configmaps', map('one'));
      each.put('configmaps', map('two'));
      each.put('configmaps', map('child', { ownerReferences: ['one', 'two'].map((name) => ({ apiVersion: 'v1', kind: 'ConfigMap', name, uid: name })) }));
    }, (each) => each.drop('configmaps', 'a', 'one'), (each) => each.calls.includes('patch child'));
    expect(api.objects.get('configmaps/a/child')?.metadata?.ownerReferences?.map(({ name }) => name)).to.deep.equal(['two']);
  });
  it('keeps a foreground owner until what blocks is gone', async () => {
    const order: string[] = [];
    await collect((each) => {
      each.put('configmaps', map('owner'));
      each.put('configmaps', map('blocks', owned('owner', { blockOwnerDeletion: true })));
      each.put('configmaps', map('deep', owned('blocks', { blockOwnerDeletion: true })));
    }, (each) => {
      each.put('configmaps', map('owner', { finalizers: ['foregroundDeletion'], deletionTimestamp: 'now' }));
      const before = each.drop.bind(each);
      each.drop = (resource, namespace, name) => {
        order.push(name);
        before(resource, namespace, name);
      };
    }, (each) => each.names().length === 0);
    expect(order).to.deep.equal(['deep', 'blocks', 'owner']);
  });
  it('sets dependents free before an orphaning owner goes', async () => {
    const api = await collect((each) => {
      each.put('configmaps', map('owner'));
      each.put('configmaps', map('child', owned('owner')));
    }, (each) => each.put('configmaps', map('owner', { finalizers: ['orphan'], deletionTimestamp: 'now' })), (each) => each.names().join() === 'child');
    expect(api.objects.get('configmaps/a/child')?.metadata?.ownerReferences).to.deep.equal([]);
  });
  it('deletes what names an owner of another namespace, and says so; leaves cluster-scoped objects with a namespaced owner', async () => {
    const api = await collect((each) => {
      each.put('configmaps', map('owner'));
      each.put('configmaps', { metadata: { name: 'abroad', namespace: 'b', ...owned('owner') } });
      each.put('nodes', { metadata: { name: 'node', ...owned('nobody') } });
    }, () => undefined, (each) => !each.names().includes('abroad'));
    expect(api.names()).to.deep.equal(['node', 'owner']);
    expect(api.events).to.include('OwnerRefInvalidNamespace');
  });
  it('lets objects be whose owner is of a kind that the server does not tell of', async () => {
    const api = await collect((each) => {
      each.put('configmaps', map('odd', { ownerReferences: [{ apiVersion: 'example.com/v1', kind: 'Unknown', name: 'x', uid: 'x' }] }));
      each.put('configmaps', map('lost', owned('gone')));
    }, () => undefined, (each) => !each.names().includes('lost'));
    expect(api.names()).to.deep.equal(['odd']);
  });
});
