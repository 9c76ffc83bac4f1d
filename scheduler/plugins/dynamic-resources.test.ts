// Pods with claims for devices: which devices they get, where that lets them go, and what is written.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { DeviceClass, Pod, ResourceClaim, ResourceSlice } from '#machinery/api/object.ts';
import { defaultConfig } from '../config.ts';
import { Scheduler } from '../scheduler.ts';
import { createFakeServer, makeNode, makePod, type FakeServer } from '../testing/fake-cluster.ts';

type Requests = NonNullable<NonNullable<ResourceClaim['spec']['devices']>['requests']>;
type Exact = NonNullable<Requests[number]['exactly']>;
type Devices = NonNullable<ResourceSlice['spec']['devices']>;
const driver = 'gpu.example.com';

const deviceClass = (name = 'gpu', spec: DeviceClass['spec'] = {}): DeviceClass => ({ metadata: { name, uid: `class-${name}` }, spec });
const slice = (node: string, devices: Devices, more: Partial<ResourceSlice['spec']> = {}): ResourceSlice =>
  ({ metadata: { name: `slice-${node}-${more.pool?.generation ?? 1}`, uid: `slice-${node}-${more.pool?.generation ?? 1}` }, spec: { driver, nodeName: node, pool: { name: node, generation: 1, resourceSliceCount: 1 }, devices, ...more } });
const gpus = (...names: string[]): Devices => names.map((name) => ({ name }));
const claimOf = (name: string, requests: Requests, more: object = {}, status?: ResourceClaim['status']): ResourceClaim =>
  ({ apiVersion: 'resource.k8s.io/v1', kind: 'ResourceClaim', metadata: { name, namespace: 'default', uid: `claim-${name}` }, spec: { devices: { requests, ...more } }, ...(status ? { status } : {}) });
const claim = (name: string, exactly: Partial<Exact> = {}, more: object = {}): ResourceClaim => claimOf(name, [{ name: 'one', exactly: { deviceClassName: 'gpu', ...exactly } }], more);
const using = (name: string, ...claims: string[]): Pod => makePod(name, { spec: { resourceClaims: claims.map((resourceClaimName) => ({ name: resourceClaimName, resourceClaimName })) } });
const withText = (expression: string): Exact['selectors'] => [{ cel: { expression } }];

type Kind = 'nodes' | 'pods' | 'resourceclaims' | 'resourceslices' | 'deviceclasses';
async function withCluster(objects: Partial<Record<Kind, unknown[]>>, test: (fake: FakeServer, signal: AbortSignal, scheduler: Scheduler) => Promise<void>): Promise<void> {
  const fake = createFakeServer();
  for (const [resource, all] of Object.entries({ nodes: [makeNode('a'), makeNode('b')], deviceclasses: [deviceClass()], ...objects })) for (const object of all) fake.put(resource, object);
  const stop = new AbortController();
  const scheduler = new Scheduler({ ...defaultConfig, client: fake.client, initialBackoffMs: 5, maxBackoffMs: 20 });
  const informers = scheduler.cluster.run(stop.signal);
  await scheduler.cluster.waitForSync(stop.signal);
  const running = scheduler.run(stop.signal);
  try {
    await test(fake, AbortSignal.timeout(4000), scheduler);
  } finally {
    stop.abort();
    await Promise.all([informers, running]);
  }
}
const nodeOf = (fake: FakeServer, name: string): string | undefined => fake.get<Pod>('pods', 'default', name)?.spec?.nodeName;
const placed = (fake: FakeServer, name: string, signal: AbortSignal): Promise<string> => eventually(signal, () => nodeOf(fake, name), 1);
const refused = (fake: FakeServer, name: string, signal: AbortSignal): Promise<string> =>
  eventually(signal, () => fake.get<Pod>('pods', 'default', name)?.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.message, 1);
const stored = (fake: FakeServer, name: string): ResourceClaim | undefined => fake.get<ResourceClaim>('resourceclaims', 'default', name);
const given = (fake: FakeServer, name: string): string[] | undefined => stored(fake, name)?.status?.allocation?.devices?.results?.map(({ request, device }) => `${request}=${device}`);

describe('DynamicResources', () => {
  it('places a pod where its devices are, and writes what it got before it is bound', () => withCluster({ resourceslices: [slice('b', gpus('x', 'y'))], resourceclaims: [claim('c')], pods: [using('p', 'c')] }, async (fake, signal) => {
    expect(await placed(fake, 'p', signal)).to.equal('b');
    const { metadata, status } = stored(fake, 'c') ?? claim('none');
    expect(metadata.finalizers).to.deep.equal(['resource.kubernetes.io/delete-protection']);
    expect(status?.allocation).to.deep.equal({
      devices: { results: [{ request: 'one', driver, pool: 'b', device: 'x' }] }, nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }] },
    });
    expect(status?.reservedFor).to.deep.equal([{ resource: 'pods', name: 'p', uid: fake.get<Pod>('pods', 'default', 'p')?.metadata.uid }]);
  }));

  it('gives a device to one claim only, and to the next one once it is free', () => withCluster({ resourceslices: [slice('a', gpus('x'))], resourceclaims: [claim('c'), claim('d')] }, async (fake, signal) => {
    fake.put('pods', using('p', 'c'));
    await placed(fake, 'p', signal);
    fake.put('pods', using('q', 'd'));
    expect(await refused(fake, 'q', signal)).to.equal('0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.');
    fake.put('resourceclaims', { ...claim('c'), status: {} });
    await placed(fake, 'q', signal);
    expect(given(fake, 'd')).to.deep.equal(['one=x']);
  }));

  it('gives devices back that keep a pod from every node with room, and finds others', () => withCluster({
    nodes: [makeNode('a', { cpu: '1' }), makeNode('b')], resourceslices: [slice('a', gpus('x')), slice('b', gpus('y'))], pods: [makePod('full', { cpu: '1', node: 'a' })],
    resourceclaims: [claimOf('c', [{ name: 'one', exactly: { deviceClassName: 'gpu' } }], {}, {
      allocation: { devices: { results: [{ request: 'one', driver, pool: 'a', device: 'x' }] }, nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }] } },
    })],
  }, async (fake, signal) => {
    fake.put('pods', makePod('p', { cpu: '1', spec: { resourceClaims: [{ name: 'c', resourceClaimName: 'c' }] } }));
    expect(await placed(fake, 'p', signal)).to.equal('b');
    expect(given(fake, 'c')).to.deep.equal(['one=y']);
  }));

  it('leaves devices with a pod that uses them', () => withCluster({
    nodes: [makeNode('a', { cpu: '1' }), makeNode('b')], resourceslices: [slice('a', gpus('x')), slice('b', gpus('y'))], resourceclaims: [claim('c')], pods: [makePod('first', { cpu: '1', spec: { nodeSelector: { 'kubernetes.io/hostname': 'a' }, resourceClaims: [{ name: 'c', resourceClaimName: 'c' }] } })],
  }, async (fake, signal) => {
    await placed(fake, 'first', signal);
    fake.put('pods', makePod('p', { cpu: '1', spec: { resourceClaims: [{ name: 'c', resourceClaimName: 'c' }] } }));
    expect(await refused(fake, 'p', signal)).to.equal('0/2 nodes are available: 1 Insufficient cpu, 1 resourceclaim not available on the node. still not schedulable, preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.');
    expect(given(fake, 'c')).to.deep.equal(['one=x']);
  }));

  it('lets pods share a claim, on the node that it is on', () => withCluster({ resourceslices: [slice('a', gpus('x'))], resourceclaims: [claim('c')], pods: [using('p', 'c'), using('q', 'c')] }, async (fake, signal) => {
    expect(await Promise.all([placed(fake, 'p', signal), placed(fake, 'q', signal)])).to.deep.equal(['a', 'a']);
    await eventually(signal, () => stored(fake, 'c')?.status?.reservedFor?.length === 2, 1);
  }));

  it('waits for claims and classes that are not there yet, without a word about the claims', () => withCluster({ resourceslices: [slice('a', gpus('x'))], deviceclasses: [], pods: [using('p', 'c')] }, async (fake, signal, scheduler) => {
    await eventually(signal, () => scheduler.cluster.context.devices.tools, 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(scheduler.queue.counts()).to.include({ gated: 1 });
    expect(fake.get<Pod>('pods', 'default', 'p')?.status?.conditions).to.equal(undefined);
    fake.put('resourceclaims', claim('c'));
    expect(await refused(fake, 'p', signal)).to.match(/^0\/2 nodes are available: request one: device class gpu does not exist\./);
    fake.put('deviceclasses', deviceClass());
    await placed(fake, 'p', signal);
  }));

  it('waits for the claim that is made from a template, and takes no other', () => withCluster({ resourceslices: [slice('a', gpus('x'))], pods: [makePod('p', { spec: { resourceClaims: [{ name: 'r', resourceClaimTemplateName: 't' }] } })] }, async (fake, signal, scheduler) => {
    await eventually(signal, () => scheduler.cluster.context.devices.tools, 1);
    const pod = fake.get<Pod>('pods', 'default', 'p') ?? makePod('none');
    fake.put('resourceclaims', claim('made')); // of somebody else
    fake.put('pods', { ...pod, status: { ...pod.status, resourceClaimStatuses: [{ name: 'r', resourceClaimName: 'made' }] } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(nodeOf(fake, 'p')).to.equal(undefined);
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: pod.metadata.uid ?? '', controller: true };
    fake.put('resourceclaims', { ...claim('made'), metadata: { ...claim('made').metadata, ownerReferences: [owner] } });
    await placed(fake, 'p', signal);
  }));

  const attributes = (model: string, numa: number, version = '1.0.0') => ({ [`${driver}/model`]: { string: model }, 'numa.example.org/node': { int: numa }, 'version': { version } });
  const described = [{ name: 'w', attributes: attributes('small', 0) }, { name: 'x', attributes: attributes('large', 0, '2.1.0') }, { name: 'y', attributes: attributes('large', 1), capacity: { memory: { value: '40Gi' } } }, { name: 'z', attributes: attributes('small', 1) }] as Devices;
  const choices: [title: string, claim: ResourceClaim, devices: string[] | RegExp, more?: { slices?: ResourceSlice[]; classes?: DeviceClass[] }][] = [
    ['by an attribute', claim('c', { selectors: withText('device.attributes["gpu.example.com"].model == "large"') }), ['one=x']],
    ['by a capacity', claim('c', { selectors: withText('"memory" in device.capacity["gpu.example.com"] && device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0') }), ['one=y']],
    ['by a version', claim('c', { selectors: withText('device.attributes["gpu.example.com"].version.isGreaterThan(semver("2.0.0"))') }), ['one=x']],
    ['by what nobody defines', claim('c', { selectors: withText('"model" in device.attributes["nobody.example.org"]') }), /cannot allocate all claims/],
    ['by the class too', claim('c', { selectors: withText('device.attributes["numa.example.org"].node == 1') }), ['one=y'], { classes: [deviceClass('gpu', { selectors: [{ cel: { expression: 'device.attributes["gpu.example.com"].model == "large"' } }] })] }],
    ['an expression that fails', claim('c', { selectors: withText('device.attributes["gpu.example.com"].colour == "red"') }), /no such key: colour/],
    ['several', claim('c', { count: 3 }), ['one=w', 'one=x', 'one=y']],
    ['more than there are', claim('c', { count: 5 }), /cannot allocate all claims/],
    ['all of them', claim('c', { allocationMode: 'All', selectors: withText('device.attributes["gpu.example.com"].model == "small"') }), ['one=w', 'one=z']],
    ['of one NUMA node', claimOf('c', [{ name: 'big', exactly: { deviceClassName: 'gpu', selectors: withText('device.attributes["gpu.example.com"].model == "large"') } }, { name: 'small', exactly: { deviceClassName: 'gpu', selectors: withText('device.attributes["gpu.example.com"].version.isLessThan(semver("2.0.0"))') } }],
      { constraints: [{ matchAttribute: 'numa.example.org/node', requests: ['big', 'small'] }] }), ['big=x', 'small=w']],
    ['of two NUMA nodes', claim('c', { count: 2 }, { constraints: [{ distinctAttribute: 'numa.example.org/node' }] }), ['one=w', 'one=y']],
    ['the second best', claimOf('c', [{ name: 'r', firstAvailable: [{ name: 'none', deviceClassName: 'gpu', selectors: withText('device.driver == "other"') }, { name: 'two', deviceClassName: 'gpu', count: 2 }] }]), ['r/two=w', 'r/two=x']],
    ['of the newest slices', claim('c'), ['one=new'], { slices: [slice('a', gpus('old')), slice('a', gpus('new'), { pool: { name: 'a', generation: 2, resourceSliceCount: 1 } })] }],
    ['of a pool that is being written', claim('c'), /cannot allocate all claims/, { slices: [slice('a', gpus('x'), { pool: { name: 'a', generation: 1, resourceSliceCount: 2 } })] }],
    ['a tainted device', claim('c'), ['one=x'], { slices: [slice('a', [{ name: 'bad', taints: [{ key: 'broken', effect: 'NoSchedule' }] }, { name: 'x' }])] }],
    ['a tainted device that is tolerated', claim('c', { tolerations: [{ key: 'broken', operator: 'Exists' }] }), ['one=bad'], { slices: [slice('a', [{ name: 'bad', taints: [{ key: 'broken', effect: 'NoSchedule' }] }, { name: 'x' }])] }],
    ['a device that is made of shared parts', claim('c'), /cannot allocate all claims/, { slices: [slice('a', [{ name: 'part', consumesCounters: [{ counterSet: 's', counters: {} }] }])] }],
  ];
  for (const [title, one, expected, { slices = [slice('a', described)], classes = [deviceClass()] } = {}] of choices) {
    it(`chooses: ${title}`, () => withCluster({ nodes: [makeNode('a')], resourceslices: slices, deviceclasses: classes, resourceclaims: [one], pods: [using('p', 'c')] }, async (fake, signal) => {
      if (expected instanceof RegExp) expect(await refused(fake, 'p', signal)).to.match(expected);
      else {
        await placed(fake, 'p', signal);
        expect(given(fake, 'c')).to.deep.equal(expected);
      }
    }));
  }

  it('gives devices in use to administrators, who keep nobody else from them', () => withCluster({ nodes: [makeNode('a')], resourceslices: [slice('a', gpus('x'))], resourceclaims: [claim('admin', { adminAccess: true }), claim('c')], pods: [using('watcher', 'admin')] }, async (fake, signal) => {
    await placed(fake, 'watcher', signal);
    fake.put('pods', using('p', 'c'));
    await placed(fake, 'p', signal);
    expect([given(fake, 'admin'), given(fake, 'c')]).to.deep.equal([['one=x'], ['one=x']]);
  }));

  it('keeps devices that many nodes reach where those nodes are', () => withCluster({
    nodes: [makeNode('a'), makeNode('b', { labels: { rack: '7' } })],
    resourceslices: [slice('net', gpus('x'), { nodeName: undefined, nodeSelector: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'rack', operator: 'In', values: ['7'] }] }] } })], resourceclaims: [claim('c')], pods: [using('p', 'c')],
  }, async (fake, signal) => {
    expect(await placed(fake, 'p', signal)).to.equal('b');
    expect(stored(fake, 'c')?.status?.allocation?.nodeSelector).to.deep.equal({ nodeSelectorTerms: [{ matchExpressions: [{ key: 'rack', operator: 'In', values: ['7'] }] }] });
  }));

  it('hands on the configuration of class and claim that is for what was chosen', () => {
    const opaque = (value: string) => ({ opaque: { driver, parameters: { value } } });
    return withCluster({ resourceslices: [slice('a', gpus('x'))], deviceclasses: [deviceClass('gpu', { config: [opaque('class')] })], resourceclaims: [claim('c', {}, { config: [{ requests: ['one'], ...opaque('claim') }, { requests: ['other'], ...opaque('none') }] })], pods: [using('p', 'c')] }, async (fake, signal) => {
      await placed(fake, 'p', signal);
      expect(stored(fake, 'c')?.status?.allocation?.devices?.config).to.deep.equal([{ source: 'FromClass', requests: ['one'], ...opaque('class') }, { source: 'FromClaim', requests: ['one'], ...opaque('claim') }]);
    });
  });
});
