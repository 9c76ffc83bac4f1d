// The scheduler with an API server that fails at random: errors, conflicts, answers that get lost, watches that break, leaders that
// change. Whatever happens in between, the end is the same: every pod is bound once, and no node holds more than it has.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { KubeObject, Pod, ResourceClaim } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import type { Client, Resource, WatchEvent } from '#machinery/client/types.ts';
import { defaultConfig } from './config.ts';
import { Scheduler } from './scheduler.ts';
import { createFakeServer, makeNode, makePod, type FakeServer } from './testing/fake-cluster.ts';

/** Repeatable: the seed is in the test's name. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Faults { on: boolean; count: number; bindings: Map<string, number> }

function withFaults(fake: FakeServer, random: () => number, faults: Faults): Client {
  const { client } = fake;
  const chance = (share: number): boolean => {
    const hit = faults.on && random() < share;
    if (hit) faults.count += 1;
    return hit;
  };
  const broken = (): Error => new Error('connection broke');
  return {
    ...client,
    async list(...args) {
      if (chance(0.1)) throw broken();
      return client.list(...args);
    },
    async create<T>(...args: Parameters<typeof client.create<T>>) {
      const [, namespace, object, , options] = args;
      if (options?.subresource !== 'binding') {
        if (chance(0.2)) throw broken();
        return client.create<T>(...args);
      }
      if (chance(0.1)) throw new StatusError(500, 'InternalError', 'no');
      if (chance(0.1)) throw new StatusError(409, 'Conflict', 'changed meanwhile');
      const name = options.name ?? '';
      const pod = fake.get<Pod>('pods', namespace, name);
      // As the API server: a pod is bound once.
      if (pod?.spec?.nodeName) throw new StatusError(409, 'Conflict', `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
      const answer = await client.create<T>(...args);
      faults.bindings.set(name, (faults.bindings.get(name) ?? 0) + 1);
      if (chance(0.15)) throw broken(); // done, and nobody hears of it
      return (answer ?? object) as T;
    },
    async patch(...args) {
      if (chance(0.2)) throw new StatusError(409, 'Conflict', 'changed meanwhile');
      return client.patch(...args);
    },
    async get(...args) {
      if (chance(0.2)) throw broken();
      return client.get(...args);
    },
    async update<T>(...args: Parameters<typeof client.update<T>>) {
      const [{ resource }, namespace, name, object] = args;
      if (chance(0.1)) throw broken();
      // As the API server: nobody writes over what he has not seen.
      const before = fake.get<KubeObject>(resource, namespace, name);
      if (before?.metadata?.resourceVersion !== (object as KubeObject).metadata?.resourceVersion) throw new StatusError(409, 'Conflict', 'changed meanwhile');
      const answer = await client.update<T>(...args);
      if (chance(0.15)) throw broken(); // done, and nobody hears of it
      return answer;
    },
    async delete(...args) {
      if (chance(0.2)) throw broken();
      return client.delete(...args);
    },
    async *watch<T>(resource: Resource<T>, namespace: string, options: Parameters<Client['watch']>[2], signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
      for await (const event of client.watch(resource, namespace, options, signal)) {
        // Too old to go on from, so that everything is listed again: the fake keeps no history.
        if (chance(0.004)) throw new StatusError(410, 'Expired', 'too old resource version');
        yield event;
        if (chance(0.1)) yield event; // twice
      }
    },
  };
}

/** Runs a scheduler until `stop`. */
function start(client: Client): { scheduler: Scheduler; stop: () => Promise<void> } {
  const stopping = new AbortController();
  const scheduler = new Scheduler({ ...defaultConfig, client, maxInFlight: 8, initialBackoffMs: 5, maxBackoffMs: 20 });
  const informers = scheduler.cluster.run(stopping.signal);
  const running = scheduler.cluster.waitForSync(stopping.signal).then(() => scheduler.run(stopping.signal), () => undefined); // stopped before it had synced
  return {
    scheduler,
    async stop() {
      stopping.abort();
      await Promise.all([informers, running]);
    },
  };
}

const boundOf = (fake: FakeServer): Pod[] => fake.list<Pod>('pods').filter(({ spec }) => spec?.nodeName);
function expectSound(fake: FakeServer, { bindings }: Faults, nodes: readonly string[], perNode: number): void {
  expect([...bindings].filter(([, times]) => times > 1)).to.deep.equal([]);
  for (const node of nodes) expect(boundOf(fake).filter(({ spec }) => spec?.nodeName === node).length, node).to.be.at.most(perNode);
}

describe('Scheduler with faults', () => {
  const nodes = ['a', 'b', 'c', 'd'];
  for (const seed of [1, 2, 3, 4]) {
    it(`binds every pod once, seed ${seed}`, async () => {
      const fake = createFakeServer();
      const faults: Faults = { on: true, count: 0, bindings: new Map() };
      const client = withFaults(fake, createRandom(seed), faults);
      for (const name of nodes) fake.put('nodes', makeNode(name, { cpu: '10' }));
      const { stop, scheduler } = start(client);
      try {
        for (let i = 0; i < 40; i += 1) {
          fake.put('pods', makePod(`p${i}`, { cpu: '1' }));
          if (i % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
        }
        await eventually(AbortSignal.timeout(15_000), () => boundOf(fake).length === 40, 5);
        faults.on = false;
        await eventually(AbortSignal.timeout(15_000), () => scheduler.queue.size === 0 && nodes.every((name) => scheduler.snapshot.node(name)?.usedCpu === 10_000), 5);
      } finally {
        await stop();
      }
      expect(faults.count).to.be.greaterThan(5);
      expectSound(fake, faults, nodes, 10);
    }).timeout(30_000);
  }

  for (const seed of [21, 22, 23]) {
    it(`gives every device to one claim, also between leaders, seed ${seed}`, async () => {
      const fake = createFakeServer();
      const faults: Faults = { on: true, count: 0, bindings: new Map() };
      fake.put('deviceclasses', { metadata: { name: 'gpu', uid: 'gpu' }, spec: {} });
      for (const name of nodes) {
        fake.put('nodes', makeNode(name));
        fake.put('resourceslices', { metadata: { name, uid: `slice-${name}` }, spec: { driver: 'd', nodeName: name, pool: { name, generation: 1, resourceSliceCount: 1 }, devices: ['0', '1', '2', '3', '4'].map((device) => ({ name: device })) } });
      }
      for (let i = 0; i < 20; i += 1) {
        fake.put('resourceclaims', { metadata: { name: `c${i}`, namespace: 'default', uid: `claim-${i}` }, spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu' } }] } } });
        fake.put('pods', makePod(`p${i}`, { spec: { resourceClaims: [{ name: 'r', resourceClaimName: `c${i}` }] } }));
      }
      const client = withFaults(fake, createRandom(seed), faults);
      let leader = start(client);
      try {
        await eventually(AbortSignal.timeout(15_000), () => boundOf(fake).length >= 8, 1);
        await leader.stop();
        leader = start(client);
        await eventually(AbortSignal.timeout(15_000), () => boundOf(fake).length === 20, 5);
      } finally {
        await leader.stop();
      }
      const given = fake.list<ResourceClaim>('resourceclaims').map(({ status }) => status?.allocation?.devices?.results?.map(({ pool, device }) => `${pool}/${device}`).join());
      expect(new Set(given).size, String(given)).to.equal(20);
      for (const { metadata, spec } of boundOf(fake)) {
        const claim = fake.get<ResourceClaim>('resourceclaims', 'default', `c${metadata.name?.slice(1)}`);
        expect([claim?.status?.allocation?.devices?.results?.[0]?.pool, claim?.status?.reservedFor?.map(({ name }) => name)]).to.deep.equal([spec?.nodeName, [metadata.name]]);
      }
      expect([...faults.bindings].filter(([, times]) => times > 1)).to.deep.equal([]);
      expect(faults.count).to.be.greaterThan(5);
    }).timeout(40_000);
  }

  it('goes on where the last leader stopped, in the middle of bindings', async () => {
    const fake = createFakeServer();
    const faults: Faults = { on: true, count: 0, bindings: new Map() };
    for (const name of nodes) fake.put('nodes', makeNode(name, { cpu: '10' }));
    for (let i = 0; i < 40; i += 1) fake.put('pods', makePod(`p${i}`, { cpu: '1' }));
    for (let leader = 0; boundOf(fake).length < 40; leader += 1) {
      expect(leader).to.be.below(40);
      const { stop } = start(withFaults(fake, createRandom(leader + 10), faults));
      const before = boundOf(fake).length;
      await eventually(AbortSignal.timeout(15_000), () => boundOf(fake).length >= Math.min(40, before + 5), 1);
      await stop();
    }
    expectSound(fake, faults, nodes, 10);
  }).timeout(30_000);

  it('makes room though evictions fail, and for nobody else', async () => {
    const fake = createFakeServer();
    const faults: Faults = { on: true, count: 0, bindings: new Map() };
    for (const name of nodes) {
      fake.put('nodes', makeNode(name, { cpu: '2' }));
      fake.put('pods', makePod(`low-${name}`, { cpu: '2', node: name, priority: 1 }));
    }
    const { stop } = start(withFaults(fake, createRandom(7), faults));
    try {
      for (const i of [0, 1]) fake.put('pods', makePod(`high-${i}`, { cpu: '2', priority: 10 }));
      await eventually(AbortSignal.timeout(15_000), () => fake.list<Pod>('pods').filter(({ metadata, spec }) => metadata.name?.startsWith('high') && spec?.nodeName).length === 2, 5);
    } finally {
      await stop();
    }
    expect(faults.count).to.be.greaterThan(0);
    expect(fake.list<Pod>('pods').filter(({ metadata }) => metadata.name?.startsWith('low'))).to.have.length(2);
    expectSound(fake, faults, nodes, 1);
  }).timeout(30_000);
});
