// Filters and scores by pod and nodes: verdicts in upstream's words, and which node wins.
import { expect } from 'chai';
import type { Node, Pod, PodSpec } from '#machinery/api/object.ts';
import { Cycle, feasibleNodesToFind, type Outcome } from './cycle.ts';
import { Devices } from './devices.ts';
import { Nominator } from './nominator.ts';
import type { Context } from './plugin.ts';
import { plugins } from './plugins/all.ts';
import { createPodInfo } from './pod-info.ts';
import { compileLabels } from './selectors.ts';
import { Snapshot } from './snapshot.ts';
import { createFakeServer, makeNode, makePod } from './testing/fake-cluster.ts';
import { VolumePromises } from './volume-promises.ts';

function schedule(nodes: Node[], running: Pod[], pod: Pod, more: Partial<Context> = {}): Outcome {
  const snapshot = new Snapshot();
  for (const node of nodes) snapshot.setNode(node);
  for (const other of running) snapshot.setPod(other);
  const context: Context = {
    snapshot, namespaceLabels: (name) => ({ 'kubernetes.io/metadata.name': name }), defaultSelector: () => undefined,
    claim: () => undefined, volume: () => undefined, volumesOfClass: () => [], storageClass: () => undefined, csiNode: () => undefined, pod: () => pod,
    devices: new Devices(createFakeServer().client), promises: new VolumePromises(), volumesChanged: () => Promise.resolve(), ...more,
  };
  const cycle = new Cycle({ plugins, context, nominator: new Nominator(), disruptionBudgets: () => [], random: () => 0.5 });
  return cycle.schedule(createPodInfo(pod));
}
function placed(...args: Parameters<typeof schedule>): string {
  const outcome = schedule(...args);
  return outcome.kind === 'placed' ? outcome.node.name : outcome.message;
}
const tail = (nodes: number, entries: string): string => ` no new claims to deallocate, preemption: 0/${nodes} nodes are available: ${entries}.`;
const pod = (spec: Partial<PodSpec>, options: Parameters<typeof makePod>[1] = {}): Pod => makePod('web', { ...options, spec });
const zone = (name: string): Record<string, string> => ({ 'topology.kubernetes.io/zone': name });

describe('Cycle.schedule()', () => {
  const notHelpful = tail(1, '1 Preemption is not helpful for scheduling');
  const noVictims = tail(1, '1 No preemption victims found for incoming pod');
  const cases: [title: string, node: Node, pod: Pod, message: string, running?: Pod[]][] = [
    ['cordoned node', makeNode('a', { spec: { unschedulable: true } }), pod({}), `1 node(s) were unschedulable.${notHelpful}`],
    ['untolerated taint', makeNode('a', { spec: { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] } }), pod({ tolerations: [{ key: 'k', value: 'other', effect: 'NoSchedule' }] }), `1 node(s) had untolerated taint(s).${notHelpful}`],
    ['node selector', makeNode('a'), pod({ nodeSelector: { disk: 'ssd' } }), `1 node(s) didn't match Pod's node affinity/selector.${notHelpful}`],
    ['host port', makeNode('a'), pod({ containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 80 }] }] }), `1 node(s) didn't have free ports for the requested pod ports.${noVictims}`,
      [makePod('other', { node: 'a', spec: { containers: [{ name: 'c', ports: [{ containerPort: 8080, hostPort: 80, hostIP: '127.0.0.1' }] }] } })]],
    ['more than the node has at all', makeNode('a', { cpu: '1' }), makePod('web', { cpu: '2', memory: '1Gi' }), `1 Insufficient cpu.${notHelpful}`],
    ['several resources, each counted', makeNode('a', { cpu: '1', memory: '1Gi' }), makePod('web', { cpu: '2', memory: '2Gi' }), `1 Insufficient cpu, 1 Insufficient memory.${notHelpful}`],
    ['pod count', makeNode('a', { pods: '1' }), pod({}), `1 Too many pods.${noVictims}`, [makePod('other', { node: 'a' })]],
    ['extended resource', makeNode('a', { allocatable: { 'example.com/gpu': '1' } }), pod({ containers: [{ name: 'c', resources: { requests: { 'example.com/gpu': '2' } } }] }), `1 Insufficient example.com/gpu.${notHelpful}`],
    ['unbalanced spread', makeNode('a'), pod({ topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: {} }] }), `1 node(s) didn't match pod topology spread constraints (missing required label).${notHelpful}`],
    ['affinity to nobody', makeNode('a'), pod({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } }] } } }), `1 node(s) didn't match pod affinity rules.${notHelpful}`],
    ['anti-affinity of the pod', makeNode('a'), pod({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } }] } } }), `1 node(s) didn't match pod anti-affinity rules.${noVictims}`,
      [makePod('db', { node: 'a', labels: { app: 'db' } })]],
    ['anti-affinity of a running pod', makeNode('a'), makePod('web', { labels: { app: 'web' } }), `1 node(s) didn't satisfy existing pods anti-affinity rules.${noVictims}`,
      [makePod('db', { node: 'a', spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } }] } } } })]],
    ['a missing claim', makeNode('a'), pod({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }] }), `persistentvolumeclaim "data" not found.${notHelpful}`],
    ['names that contradict each other', makeNode('a'), pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }, { key: 'metadata.name', operator: 'In', values: ['b'] }] }] } } } }), `pod affinity terms conflict.${notHelpful}`],
  ];
  for (const [title, node, one, message, running = []] of cases) {
    it(`rejects: ${title}`, () => expect(placed([node], running, one)).to.equal(`0/1 nodes are available: ${message}`));
  }

  it('rejects a pod with an unbound immediate claim', () => {
    const claim = () => ({ metadata: { name: 'data' }, spec: {} });
    expect(placed([makeNode('a')], [], pod({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }] }), { claim }))
      .to.equal(`0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.${notHelpful}`);
  });
  it('sorts reasons as text and counts the nodes that were not looked at', () => {
    const nodes = [makeNode('a', { cpu: '1' }), makeNode('b', { cpu: '1' }), makeNode('c', { spec: { unschedulable: true } })];
    expect(placed(nodes, [], makePod('web', { cpu: '2' })))
      .to.equal(`0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.${tail(3, '3 Preemption is not helpful for scheduling')}`);
    const named = pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['c'] }] }] } } } });
    expect(placed(nodes, [], named))
      .to.equal(`0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].${tail(3, '3 Preemption is not helpful for scheduling')}`);
  });
  it('lets a cordon be tolerated', () => {
    expect(placed([makeNode('a', { spec: { unschedulable: true } })], [], pod({ tolerations: [{ operator: 'Exists' }] }))).to.equal('a');
  });
  it('compares labels as numbers with Gt, and fails on what is no number', () => {
    const wants = (value: string): Pod => pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'gen', operator: 'Gt', values: [value] }] }] } } } });
    const nodes = [makeNode('a', { labels: { gen: '7' } }), makeNode('b', { labels: { gen: 'x' } })];
    expect(placed(nodes, [], wants('6'))).to.equal('a');
    expect(placed(nodes, [], wants('7'))).to.contain("2 node(s) didn't match Pod's node affinity/selector");
  });

  it('prefers the emptier node', () => {
    expect(placed([makeNode('a'), makeNode('b')], [makePod('x', { node: 'a', cpu: '2' })], makePod('web', { cpu: '1' }))).to.equal('b');
  });
  it('counts containers without requests when it spreads, not when it fills', () => {
    const running = Array.from({ length: 3 }, (_, i) => makePod(`x${i}`, { node: 'a' }));
    expect(placed([makeNode('a'), makeNode('b')], running, makePod('web'))).to.equal('b');
  });
  it('avoids soft taints', () => {
    expect(placed([makeNode('a', { spec: { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] } }), makeNode('b')], [], pod({}))).to.equal('b');
  });
  it('follows preferred node affinity', () => {
    const prefers = pod({ affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] } }] } } });
    expect(placed([makeNode('a'), makeNode('b', { labels: { disk: 'ssd' } }), makeNode('c')], [], prefers)).to.equal('b');
  });
  it('puts a pod beside those it prefers, and away from those it prefers not', () => {
    const term = [{ weight: 50, podAffinityTerm: { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } } }];
    const running = [makePod('db', { node: 'b', labels: { app: 'db' } })];
    const nodes = [makeNode('a'), makeNode('b')];
    expect(placed(nodes, running, pod({ affinity: { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: term } } }))).to.equal('b');
    expect(placed(nodes, running, pod({ affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: term } } }))).to.equal('a');
  });
  it('lets the first pod of a group that wants to be together in', () => {
    const group = pod({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } }] } } }, { labels: { app: 'web' } });
    expect(placed([makeNode('a')], [], group)).to.equal('a');
  });
  it('keeps the skew between zones, and counts a zone without pods', () => {
    const constraint = { maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'web' } } };
    const web = pod({ topologySpreadConstraints: [constraint] }, { labels: { app: 'web' } });
    const nodes = [makeNode('a', { labels: zone('1') }), makeNode('b', { labels: zone('2') })];
    const running = [makePod('w1', { node: 'a', labels: { app: 'web' } }), makePod('other', { node: 'b', cpu: '3' })];
    expect(placed(nodes, running, web)).to.equal('b');
    const cordoned = [nodes[0] as Node, makeNode('b', { labels: zone('2'), spec: { unschedulable: true } })];
    expect(placed(cordoned, running, web)).to.contain("1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable.");
  });
  it('spreads pods of a Service over zones and hosts without being asked', () => {
    const nodes = [makeNode('a', { labels: zone('1') }), makeNode('b', { labels: zone('1') }), makeNode('c', { labels: zone('2') })];
    const running = [makePod('w1', { node: 'a', labels: { app: 'web' } })];
    const defaultSelector = () => compileLabels({ app: 'web' });
    expect(placed(nodes, running, makePod('web', { labels: { app: 'web' } }), { defaultSelector })).to.equal('c');
  });
  it('prefers the node that holds a large image', () => {
    const images = [{ names: ['example.com/big:1'], sizeBytes: 3e9 }];
    const nodes = ['a', 'b', 'c'].map((name) => makeNode(name));
    const [, second] = nodes;
    if (second) second.status = { ...second.status, images };
    expect(placed(nodes, [], pod({ containers: [{ name: 'c', image: 'example.com/big:1' }] }))).to.equal('b');
  });
});

describe('feasibleNodesToFind()', () => {
  const cases: [percentage: number, nodes: number, wanted: number][] = [[0, 50, 50], [0, 100, 100], [0, 1000, 420], [0, 5000, 500], [0, 10_000, 500], [30, 1000, 300], [5, 1000, 100]];
  for (const [percentage, nodes, wanted] of cases) {
    it(`${percentage}% of ${nodes} nodes is ${wanted}`, () => expect(feasibleNodesToFind(percentage, nodes)).to.equal(wanted));
  }
});

describe('createPodInfo()', () => {
  it('takes the larger of init containers and containers, sidecars in both', () => {
    const requests = (cpu: string) => ({ resources: { requests: { cpu } } });
    const info = createPodInfo(pod({
      initContainers: [{ name: 's', restartPolicy: 'Always', ...requests('100m') }, { name: 'i', ...requests('900m') }],
      containers: [{ name: 'a', ...requests('300m') }, { name: 'b', ...requests('200m') }],
      overhead: { cpu: '50m' },
    }));
    expect(info.requests.cpu).to.equal(1050);
  });
  const resized: [title: string, wanted: string, reason: string | undefined, expected: number][] = [
    ['holds the larger of what is asked for, promised and had', '100m', undefined, 700],
    ['asks for more at once', '900m', 'Deferred', 900],
    ['asks for more in vain', '900m', 'Infeasible', 700],
  ];
  for (const [title, wanted, reason, expected] of resized) {
    it(`of a pod that is resized: ${title}`, () => {
      const resizing = pod({ nodeName: 'a', containers: [{ name: 'a', resources: { requests: { cpu: wanted } } }] }, { metadata: { name: 'web', uid: 'u', generation: 2 } });
      const conditions = reason === undefined ? [] : [{ type: 'PodResizePending', status: 'True', reason }];
      const status = { name: 'a', image: '', imageID: '', ready: true, restartCount: 0, allocatedResources: { cpu: '500m' }, resources: { requests: { cpu: '700m' } } };
      expect(createPodInfo({ ...resizing, status: { conditions, containerStatuses: [status] } }).requests.cpu).to.equal(expected);
    });
  }
  it('counts the pod-level requests of a pod that is resized the same way', () => {
    const resizing = pod({ nodeName: 'a', resources: { requests: { cpu: '1' } }, containers: [{ name: 'a' }] }, { metadata: { name: 'web', uid: 'u', generation: 2 } });
    expect(createPodInfo({ ...resizing, status: { resources: { requests: { cpu: '2' } }, allocatedResources: { cpu: '1500m' } } }).requests.cpu).to.equal(2000);
  });
  it('lets pod-level requests replace the sum', () => {
    expect(createPodInfo(pod({ resources: { requests: { cpu: '2' } }, containers: [{ name: 'a', resources: { requests: { cpu: '1' } } }] })).requests.cpu).to.equal(2000);
  });
});
