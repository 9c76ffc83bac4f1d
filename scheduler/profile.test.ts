// What arguments and weights of a profile change about where pods go.
import { expect } from 'chai';
import type { Node, Pod } from '#machinery/api/object.ts';
import { eventually } from '#machinery/base/abort.ts';
import { defaultConfig } from './config.ts';
import type { PluginArgs } from './plugin-args.ts';
import { defaultArgs } from './plugin-args.ts';
import { explainPod } from './explain.ts';
import { Scheduler } from './scheduler.ts';
import { createFakeServer, makeNode, makePod } from './testing/fake-cluster.ts';

async function scores(nodes: readonly Node[], running: readonly Pod[], pod: Pod, args: Partial<PluginArgs>, plugin: string): Promise<Record<string, number | string>> {
  const fake = createFakeServer();
  for (const node of nodes) fake.put('nodes', node);
  for (const other of [...running, pod]) fake.put('pods', other);
  const found = await explainPod(fake.client, 'default', 'web', [{ schedulerName: 'default-scheduler', plugins: {}, args }], AbortSignal.timeout(4000));
  return Object.fromEntries(found.nodes.map(({ node, scores: all, rejectedBy }) => [node, rejectedBy[0]?.reasons.join() ?? all[plugin] ?? 0]));
}
const fit = (more: Partial<PluginArgs['NodeResourcesFit']>): Partial<PluginArgs> => ({ NodeResourcesFit: { ...defaultArgs.NodeResourcesFit, ...more } });
const nodes = [makeNode('a', { cpu: '4', memory: '8Gi' }), makeNode('b', { cpu: '4', memory: '8Gi' })];
const running = [makePod('x', { node: 'a', cpu: '2', memory: '4Gi' })];
const gpu = { resources: { requests: { 'example.com/gpu': '1' } } };

describe('NodeResourcesFit', () => {
  const web = makePod('web', { cpu: '1', memory: '2Gi' });
  const gpuNodes = [makeNode('a', { allocatable: { 'example.com/gpu': '4' } }), makeNode('b', { allocatable: { 'example.com/gpu': '1' } })];
  const gpuPod = makePod('web', { spec: { containers: [{ name: 'c', ...gpu }] } });
  const shape = [{ utilization: 0, score: 0 }, { utilization: 50, score: 8 }, { utilization: 100, score: 10 }];
  const cases: [title: string, args: Partial<PluginArgs['NodeResourcesFit']>, expected: Record<string, number>, nodes?: Node[], pod?: Pod][] = [
    ['prefers what is least allocated', {}, { a: 25, b: 75 }],
    ['prefers what is most allocated', { strategy: 'MostAllocated' }, { a: 75, b: 25 }],
    ['follows a shape, straight between its points', { strategy: 'RequestedToCapacityRatio', shape }, { a: 90, b: 40 }],
    ['weighs resources', { strategy: 'MostAllocated', resources: [{ name: 'cpu', weight: 3 }, { name: 'memory', weight: 1 }] }, { a: 93, b: 43 }, nodes, makePod('web', { cpu: '2', memory: '2Gi' })],
    ['counts an extended resource that the pod asks for', { strategy: 'MostAllocated', resources: [{ name: 'example.com/gpu', weight: 1 }] }, { a: 25, b: 100 }, gpuNodes, gpuPod],
    ['leaves one out that the pod does not ask for', { strategy: 'MostAllocated', resources: [{ name: 'example.com/gpu', weight: 1 }] }, { a: 0, b: 0 }, gpuNodes],
  ];
  for (const [title, args, expected, on = nodes, pod = web] of cases) {
    it(title, async () => expect(await scores(on, on === nodes ? running : [], pod, fit(args), 'NodeResourcesFit')).to.deep.equal(expected));
  }
  it('ignores the resources and groups it is told to', async () => {
    expect(await scores([makeNode('a')], [], gpuPod, {}, '')).to.deep.equal({ a: 'Insufficient example.com/gpu' });
    expect(await scores([makeNode('a')], [], gpuPod, fit({ ignoredResources: ['example.com/gpu'] }), '')).to.deep.equal({ a: 0 });
    expect(await scores([makeNode('a')], [], gpuPod, fit({ ignoredResourceGroups: ['example.com'] }), '')).to.deep.equal({ a: 0 });
  });
});

describe('NodeResourcesBalancedAllocation', () => {
  it('takes the deviation of more than two resources', async () => {
    const on = [makeNode('a', { cpu: '4', memory: '4Gi', allocatable: { 'example.com/gpu': '2' } })];
    const pod = makePod('web', { spec: { containers: [{ name: 'c', resources: { requests: { cpu: '1', memory: '1Gi', 'example.com/gpu': '2' } } }] } });
    // Shares 0.25, 0.25 and 1: the deviation is 0.3535, so 64 of 100 after and 100 before.
    expect(await scores(on, [], pod, { NodeResourcesBalancedAllocation: { resources: ['cpu', 'memory', 'example.com/gpu'] } }, 'NodeResourcesBalancedAllocation')).to.deep.equal({ a: 57 });
  });
});

describe('NodeAffinity', () => {
  const term = { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] };
  const on = [makeNode('a', { labels: { disk: 'ssd' } }), makeNode('b')];
  it('holds all pods to the affinity of the profile', async () => {
    const args = { NodeAffinity: { addedAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } } };
    expect(await scores(on, [], makePod('web'), args, '')).to.deep.equal({ a: 0, b: "node(s) didn't match scheduler-enforced node affinity" });
  });
  it('adds its preferences', async () => {
    const args = { NodeAffinity: { addedAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 5, preference: term }] } } };
    expect(await scores(on, [], makePod('web'), args, 'NodeAffinity')).to.deep.equal({ a: 200, b: 0 });
  });
});

describe('PodTopologySpread', () => {
  it('filters by default constraints of the profile when a Service selects the pod', async () => {
    const fake = createFakeServer();
    for (const name of ['a', 'b']) fake.put('nodes', makeNode(name));
    fake.put('services', { apiVersion: 'v1', kind: 'Service', metadata: { name: 's', namespace: 'default', uid: 's' }, spec: { selector: { app: 'web' } } });
    fake.put('pods', makePod('one', { node: 'a', labels: { app: 'web' } }));
    fake.put('pods', makePod('web', { labels: { app: 'web' } }));
    const args = { PodTopologySpread: { defaultConstraints: [{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' }] } };
    const found = await explainPod(fake.client, 'default', 'web', [{ schedulerName: 'default-scheduler', plugins: {}, args }], AbortSignal.timeout(4000));
    expect(found.nodes.map(({ node, rejectedBy }) => [node, rejectedBy[0]?.plugin])).to.deep.equal([['b', undefined], ['a', 'PodTopologySpread']]);
  });
});

describe('InterPodAffinity', () => {
  const towards = { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 10, podAffinityTerm: { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } } }] } };
  const attracting = [makePod('x', { node: 'a', spec: { affinity: towards } })];
  const web = makePod('web', { labels: { app: 'web' } });
  it('heeds what running pods prefer, unless told not to', async () => {
    expect(await scores(nodes, attracting, web, {}, 'InterPodAffinity')).to.deep.equal({ a: 200, b: 0 });
    expect(await scores(nodes, attracting, web, { InterPodAffinity: { hardPodAffinityWeight: 1, ignorePreferredTermsOfExistingPods: true } }, 'InterPodAffinity')).to.deep.equal({ a: 0, b: 0 });
  });
});

describe('Scheduler with several profiles', () => {
  it('places each pod by the profile it names, says so in its name, and leaves the others', async () => {
    const fake = createFakeServer();
    for (const node of nodes) fake.put('nodes', node);
    for (const pod of running) fake.put('pods', pod);
    const stop = new AbortController();
    const profile = (schedulerName: string, args: Partial<PluginArgs>) => ({ schedulerName, plugins: {}, args });
    const scheduler = new Scheduler({ ...defaultConfig, client: fake.client, profiles: [profile('spreader', {}), profile('packer', fit({ strategy: 'MostAllocated' }))] });
    const informers = scheduler.cluster.run(stop.signal);
    await scheduler.cluster.waitForSync(stop.signal);
    const loop = scheduler.run(stop.signal);
    try {
      for (const schedulerName of ['packer', 'spreader', 'default-scheduler']) fake.put('pods', makePod(schedulerName, { cpu: '500m', memory: '1Gi', spec: { schedulerName } }));
      const nodeOf = (name: string) => fake.get<Pod>('pods', 'default', name)?.spec?.nodeName;
      await eventually(AbortSignal.timeout(4000), () => nodeOf('packer') && nodeOf('spreader'), 5);
      expect(['packer', 'spreader', 'default-scheduler'].map(nodeOf)).to.deep.equal(['a', 'b', undefined]);
      const controllers = await eventually(AbortSignal.timeout(4000), () => fake.list<{ reportingController: string }>('events').length === 2 && fake.list<{ reportingController: string }>('events'), 5);
      expect(controllers.map(({ reportingController }) => reportingController)).to.have.members(['packer', 'spreader']);
      const text = await scheduler.metrics.registry.render();
      expect(text).to.contain('scheduler_schedule_attempts_total{result="scheduled",profile="packer"} 1\n')
        .and.contain('scheduler_queue_incoming_pods_total{queue="active",event="UnscheduledPodAdd"} 2\n').and.contain('scheduler_pending_pods{queue="active"} 0\n');
      for (const point of ['PreFilter', 'Filter', 'PreScore', 'Score', 'Reserve', 'Bind']) expect(text).to.contain(`scheduler_framework_extension_point_duration_seconds_count{extension_point="${point}",status="Success",profile="packer"} 1\n`);
    } finally {
      stop.abort();
      await Promise.all([informers, loop]);
    }
  });
});
