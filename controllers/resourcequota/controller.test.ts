import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { ResourceQuota } from '#machinery/api/quota/quota.ts';
import { isConflict, staleConflict, StatusError } from '#machinery/api/status.ts';
import { createInformers } from '#machinery/client/informers.ts';
import type { Client, Resource, WatchEvent } from '#machinery/client/types.ts';
import { defaultConfig } from '../config.ts';
import type { ControllerContext } from '../context.ts';
import { createResourceQuotaController } from './controller.ts';
import { inFlightMs } from './reconcile.ts';

type Event = WatchEvent<KubeObject>;
const verbs = ['create', 'list', 'watch', 'delete'];

/** Objects by resource with versions, lists and watches. Differs from a server: no namespaces in requests, no streaming lists, no history. */
class FakeApi {
  readonly served = [
    { resource: 'resourcequotas', kind: 'ResourceQuota' }, { resource: 'pods', kind: 'Pod' }, { resource: 'secrets', kind: 'Secret' }, { resource: 'silent', kind: 'Silent', verbs: ['create', 'list'] },
  ].map((one) => ({ responseKind: { kind: one.kind }, scope: 'Namespaced', verbs, ...one }));
  readonly asked: string[] = [];
  readonly watchers = new Map<string, Set<(event: Event) => void>>();
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  #version = 0;

  #of(resource: string): Map<string, KubeObject> {
    let found = this.#objects.get(resource);
    if (!found) this.#objects.set(resource, found = new Map());
    return found;
  }
  put(resource: string, name: string, more: object = {}): void {
    const all = this.#of(resource);
    const type = all.has(name) ? 'MODIFIED' : 'ADDED';
    const object = { ...structuredClone(more), metadata: { name, namespace: 'n', uid: name, resourceVersion: String(this.#version += 1) } };
    all.set(name, object);
    this.#tell(resource, { type, object });
  }
  drop(resource: string, name: string): void {
    const object = this.#of(resource).get(name);
    this.#of(resource).delete(name);
    if (object) this.#tell(resource, { type: 'DELETED', object: { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version += 1) } } });
  }
  #tell(resource: string, event: Event): void {
    this.watchers.get(resource)?.forEach((watcher) => watcher(structuredClone(event)));
  }
  quota(name = 'q'): ResourceQuota {
    return this.#of('resourcequotas').get(name) as unknown as ResourceQuota; // only quotas are put there
  }
  used(name = 'q'): Record<string, string> | undefined {
    return this.quota(name).status?.used;
  }

  readonly client = {
    raw: async (_method: string, path: string) => ({ status: 200, body: JSON.stringify({ kind: 'APIGroupDiscoveryList', items: path === '/api' ? [{ metadata: {}, versions: [{ version: 'v1', resources: this.served }] }] : [] }) }),
    list: async ({ resource, metadataOnly }: Resource<unknown>) => {
      this.asked.push(`${resource}${metadataOnly ? ' (names)' : ''}`);
      return { metadata: { resourceVersion: String(this.#version) }, items: structuredClone([...this.#of(resource).values()]) };
    },
    watch: (resource: Resource<unknown>, _namespace: string, options: { sendInitialEvents?: boolean }, signal: AbortSignal) => this.#watch(resource.resource, options, signal),
    update: async ({ resource }: Resource<unknown>, _namespace: string, name: string, object: KubeObject, _signal: AbortSignal, { subresource }: { subresource: string }) => {
      const current = this.#of(resource).get(name);
      if (current?.metadata?.resourceVersion !== object.metadata?.resourceVersion) throw staleConflict({ group: '', resource }, name);
      this.put(resource, name, { ...current, [subresource]: object[subresource] });
    },
  } as unknown as Client; // what informers and the controller ask for

  async *#watch(resource: string, { sendInitialEvents }: { sendInitialEvents?: boolean }, signal: AbortSignal): AsyncGenerator<Event> {
    if (sendInitialEvents) throw new StatusError(400, 'BadRequest', 'no streaming lists');
    const events: Event[] = [];
    let wake: () => void = () => undefined;
    const watcher = (event: Event): void => {
      events.push(event);
      wake();
    };
    signal.addEventListener('abort', () => wake(), { once: true });
    const all = this.watchers.get(resource) ?? new Set();
    this.watchers.set(resource, all.add(watcher));
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
}

describe('resourcequota controller', () => {
  let api: FakeApi;
  let stop: AbortController;
  let running: Promise<unknown>;
  let skewMs = 0;

  async function start(periodMs = 60_000): Promise<void> {
    stop = new AbortController();
    skewMs = 0;
    const informers = createInformers(api.client);
    const context = { config: { ...defaultConfig, resourceQuotaSyncPeriodMs: periodMs }, informers, clientFor: () => api.client, now: () => Date.now() + skewMs } as unknown as ControllerContext; // what this controller asks for
    const controller = createResourceQuotaController(context);
    const feeding = informers.run(stop.signal);
    await informers.waitForSync(stop.signal);
    running = Promise.all([feeding, controller.run(stop.signal)]);
  }
  const becomes = (expected: object, name = 'q'): Promise<unknown> => eventually(AbortSignal.timeout(3000), () => {
    expect(Object.keys(expected).length).to.be.above(0);
    return JSON.stringify(api.used(name)) === JSON.stringify(expected);
  }, 10).catch((cause: unknown) => {
    throw new Error(`used is ${JSON.stringify(api.used(name))}, not ${JSON.stringify(expected)}`, { cause });
  });
  beforeEach(() => { api = new FakeApi(); });
  afterEach(async () => {
    stop.abort();
    await running;
  });
  const pod = (cpu: string, phase = 'Running'): object => ({ spec: { containers: [{ name: 'c', resources: { requests: { cpu } } }] }, status: { phase } });

  it('counts a new quota, and gives back what went away or ended', async () => {
    api.put('pods', 'a', pod('1'));
    api.put('pods', 'b', pod('500m'));
    api.put('resourcequotas', 'q', { spec: { hard: { 'pods': '5', 'requests.cpu': '2' } } });
    await start();
    await becomes({ 'pods': '2', 'requests.cpu': '1500m' });
    expect(api.quota().status?.hard).to.deep.equal({ 'pods': '5', 'requests.cpu': '2' });
    skewMs = inFlightMs; // its own first count looks like a charge
    api.drop('pods', 'a');
    await becomes({ 'pods': '1', 'requests.cpu': '500m' });
    api.put('pods', 'b', pod('500m', 'Succeeded'));
    await becomes({ 'pods': '0', 'requests.cpu': '0' });
  });
  it('follows a changed limit, and names that are not limited any more', async () => {
    api.put('secrets', 's');
    api.put('resourcequotas', 'q', { spec: { hard: { 'pods': '5', 'count/secrets': '1' } } });
    await start();
    await becomes({ 'count/secrets': '1', 'pods': '0' });
    api.put('resourcequotas', 'q', { ...api.quota(), spec: { hard: { pods: '7' } } });
    await becomes({ pods: '0' });
    expect(api.quota().status?.hard).to.deep.equal({ pods: '7' });
  });
  it('keeps only names of what is merely counted, and watches nothing that no quota asks for', async () => {
    await start();
    expect(api.asked).to.deep.equal(['resourcequotas']);
    api.put('resourcequotas', 'q', { spec: { hard: { secrets: '3' } } });
    await becomes({ secrets: '0' });
    expect(api.asked).to.deep.equal(['resourcequotas', 'secrets (names)']);
  });
  it('ends the watch of a resource that no quota counts any more', async () => {
    api.put('resourcequotas', 'q', { spec: { hard: { secrets: '3' } } });
    await start(50);
    await becomes({ secrets: '0' });
    await eventually(AbortSignal.timeout(3000), () => api.watchers.get('secrets')?.size === 1, 10);
    api.drop('resourcequotas', 'q');
    await eventually(AbortSignal.timeout(3000), () => api.watchers.get('secrets')?.size === 0, 10);
  });
  it('leaves out what the server does not have or cannot list, until it does', async () => {
    api.put('resourcequotas', 'q', { spec: { hard: { 'count/silent': '1', 'count/widgets': '1', 'pods': '1' } } });
    await start(50);
    await becomes({ pods: '0' });
    api.served.push({ resource: 'widgets', kind: 'Widget', responseKind: { kind: 'Widget' }, scope: 'Namespaced', verbs });
    api.put('widgets', 'w');
    skewMs = 31_000;
    await becomes({ 'count/widgets': '1', 'pods': '0' });
  });
  it('does not take back a charge whose object is still on its way', async () => {
    api.put('secrets', 'old');
    api.put('resourcequotas', 'q', { spec: { hard: { secrets: '9' } } });
    await start();
    await becomes({ secrets: '1' });
    // An API server charges for `new`; before it is stored, `old` goes.
    api.put('resourcequotas', 'q', { ...api.quota(), status: { hard: { secrets: '9' }, used: { secrets: '2' } } });
    api.drop('secrets', 'old');
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(api.used()).to.deep.equal({ secrets: '2' });
    skewMs = -60_000; // time alone will not do
    api.put('secrets', 'new');
    api.put('secrets', 'free');
    api.drop('secrets', 'free');
    await becomes({ secrets: '1' });
  });
  it('counts again when another one wrote in between, and now and then anyway', async () => {
    api.put('resourcequotas', 'q', { spec: { hard: { secrets: '9' } } });
    const update = api.client.update.bind(api.client);
    let conflicts = 0;
    api.client.update = async (...given) => {
      if (conflicts === 0) api.put('resourcequotas', 'q', { ...api.quota(), metadata: {} });
      return update(...given).catch((error: unknown) => {
        if (isConflict(error)) conflicts += 1;
        throw error;
      });
    };
    await start(50);
    await becomes({ secrets: '0' });
    expect(conflicts).to.be.above(0);
    api.put('secrets', 's'); // came by a way that charges nothing
    await becomes({ secrets: '1' });
  });
});
