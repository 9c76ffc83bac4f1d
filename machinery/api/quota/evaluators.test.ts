import { expect } from 'chai';
import type { KubeObject } from '../object.ts';
import { writeResourceList } from '../resource-list.ts';
import { evaluatorOf, resourcesMeasuring } from './evaluators.ts';
import type { Evaluator } from './evaluators.ts';
import type { ScopeSelector } from './quota.ts';

const of = (id: string): Evaluator => {
  const found = evaluatorOf(id);
  if (!found) throw new Error(`${id} is not counted`);
  return found;
};
const usage = (id: string, object: object, now = 0): Record<string, string> => writeResourceList(of(id).usage(object as KubeObject, now));
const inScope = (id: string, object: object, scopeName: string, operator = 'Exists', values: string[] = []): boolean => of(id).matchesScope({ scopeName, operator, values } satisfies ScopeSelector, object as KubeObject);
const container = (requests: object, limits: object = {}, more: object = {}): object => ({ name: 'c', resources: { requests, limits }, ...more });
const pod = (spec: object, more: object = {}): object => ({ metadata: { name: 'p' }, spec, ...more });

describe('evaluatorOf()', () => {
  it('counts anything but what is not stored, and events', () => {
    expect(usage('widgets.example.com', {})).to.deep.equal({ 'count/widgets.example.com': '1' });
    expect(usage('secrets', {})).to.deep.equal({ 'count/secrets': '1', 'secrets': '1' });
    for (const id of ['events', 'events.events.k8s.io', 'bindings', 'localsubjectaccessreviews.authorization.k8s.io']) expect(evaluatorOf(id), id).to.equal(undefined);
    expect(of('secrets').handles('UPDATE', '')).to.equal(false);
    expect(of('secrets').handles('CREATE', 'x')).to.equal(false);
  });
});

describe('resourcesMeasuring()', () => {
  it('knows whose a name is', () => {
    for (const [name, ids] of [
      ['pods', ['pods']], ['requests.example.com/gpu', ['pods']], ['hugepages-2Mi', ['pods']], ['requests.storage', ['persistentvolumeclaims']], ['services.nodeports', ['services']],
      ['gold.storageclass.storage.k8s.io/requests.storage', ['persistentvolumeclaims']], ['count/widgets.example.com', ['widgets.example.com']], ['count/secrets', ['secrets']],
      ['gpu.deviceclass.resource.k8s.io/devices', ['resourceclaims.resource.k8s.io']], ['count/events', []], ['example.com/gpu', []], ['storage', []], ['toString', []],
    ] as const) expect(resourcesMeasuring(name), name).to.deep.equal(ids);
  });
});

describe('usage of pods', () => {
  it('sums up requests and limits of all containers, with overhead', () => {
    const spec = {
      containers: [container({ 'cpu': '100m', 'memory': '1Gi', 'example.com/gpu': '1' }, { cpu: '200m' }), container({ 'cpu': '1', 'ephemeral-storage': '1G', 'hugepages-2Mi': '4Mi' })],
      initContainers: [container({ cpu: '50m' }, {}, { restartPolicy: 'Always' }), container({ memory: '3Gi' })], overhead: { cpu: '10m', memory: '1Mi' },
    };
    expect(usage('pods', pod(spec))).to.deep.equal({
      'count/pods': '1', 'pods': '1', 'cpu': '1160m', 'requests.cpu': '1160m', 'limits.cpu': '210m', 'memory': '3073Mi', 'requests.memory': '3073Mi',
      'ephemeral-storage': '1G', 'requests.ephemeral-storage': '1G', 'hugepages-2Mi': '4Mi', 'requests.hugepages-2Mi': '4Mi', 'requests.example.com/gpu': '1',
    });
  });
  it('takes the pod\'s own word for the sum', () => {
    expect(usage('pods', pod({ containers: [container({ cpu: '100m', memory: '1Gi' })], resources: { requests: { cpu: '2' } } }))).to.include({ cpu: '2', memory: '1Gi' });
  });
  it('counts no more than the object once the pod has ended, or should long be gone', () => {
    const spec = { containers: [container({ cpu: '1' })] };
    for (const phase of ['Failed', 'Succeeded']) expect(usage('pods', pod(spec, { status: { phase } }))).to.deep.equal({ 'count/pods': '1' });
    const leaving = { metadata: { deletionTimestamp: '2020-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 }, spec };
    const at = Date.parse('2020-01-01T00:00:30Z');
    expect(usage('pods', leaving, at)).to.include({ pods: '1' });
    expect(usage('pods', leaving, at + 1)).to.deep.equal({ 'count/pods': '1' });
  });
  it('counts the larger of wanted and given while a resize is under way, and no resize that cannot be', () => {
    const resizing = (conditions: object[]): object => pod({ containers: [container({ cpu: '3' })] }, { status: { conditions, containerStatuses: [{ name: 'c', allocatedResources: { cpu: '2' }, resources: { requests: { cpu: '1' } } }] } });
    expect(usage('pods', resizing([]))).to.include({ cpu: '3' });
    expect(usage('pods', resizing([{ type: 'PodResizePending', reason: 'Infeasible' }]))).to.include({ cpu: '2' });
  });
  it('reads bad quantities as none', () => {
    expect(usage('pods', pod({ containers: [container({ cpu: 'x', memory: {} })] }))).to.deep.equal({ 'count/pods': '1', 'pods': '1' });
    expect(usage('pods', {  metadata: {} })).to.deep.equal({ 'count/pods': '1', 'pods': '1' });
  });
});

describe('scopes of pods', () => {
  const bare = pod({ containers: [container({})] });
  it('by deadline, quality of service, priority class and affinity', () => {
    const ending = pod({ activeDeadlineSeconds: 0, containers: [] });
    expect([inScope('pods', ending, 'Terminating'), inScope('pods', ending, 'NotTerminating'), inScope('pods', bare, 'Terminating')]).to.deep.equal([true, false, false]);
    expect([inScope('pods', bare, 'BestEffort'), inScope('pods', pod({ containers: [container({ cpu: '0' })] }), 'BestEffort'), inScope('pods', pod({ containers: [container({}, { memory: '1' })] }), 'NotBestEffort')]).to.deep.equal([true, true, true]);
    const high = pod({ priorityClassName: 'high', containers: [] });
    for (const [operator, values, of1, of2] of [['In', ['high'], true, false], ['In', ['low'], false, false], ['NotIn', ['high'], false, true], ['Exists', [], true, false], ['DoesNotExist', [], false, true]] as const) {
      expect([inScope('pods', high, 'PriorityClass', operator, [...values]), inScope('pods', bare, 'PriorityClass', operator, [...values])], `${operator} ${values}`).to.deep.equal([of1, of2]);
    }
    expect(() => inScope('pods', high, 'PriorityClass', 'Like', ['h'])).to.throw('"Like" is not a valid scope selector operator');
    const near = (term: object): object => pod({ containers: [], affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: { topologyKey: 'k', ...term } }] } } });
    expect([{ namespaces: ['x'] }, { namespaceSelector: {} }, {}].map((term) => inScope('pods', near(term), 'CrossNamespacePodAffinity'))).to.deep.equal([true, true, false]);
    expect(inScope('pods', bare, 'Nonsense')).to.equal(false);
  });
  it('what must be named, by container; not where the pod speaks for itself', () => {
    const missing = (names: string[], object: object): string | undefined => of('pods').missing?.(names, object as KubeObject);
    const two = { containers: [container({ cpu: '1' }), { name: 'b' }], initContainers: [{ name: 'a' }] };
    expect(missing(['requests.cpu', 'limits.memory', 'pods', 'requests.ephemeral-storage'], pod(two))).to.equal('must specify limits.memory for: a,b,c; requests.cpu for: a,b');
    expect(missing(['pods', 'ephemeral-storage'], pod(two))).to.equal(undefined);
    expect(missing(['cpu'], pod({ ...two, resources: { limits: { memory: '1Gi' } } }))).to.equal(undefined);
  });
});

describe('usage of services and claims', () => {
  it('node ports and load balancers as asked for', () => {
    const ports = [{ port: 1 }, { port: 2, nodePort: 30001 }];
    const used = (spec: object): string => { const { services, 'services.nodeports': nodePorts, 'services.loadbalancers': balancers } = usage('services', { spec: { ports, ...spec } }); return `${services} ${nodePorts} ${balancers}`; };
    expect([used({ type: 'ClusterIP' }), used({ type: 'NodePort' }), used({ type: 'LoadBalancer' }), used({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false })]).to.deep.equal(['1 0 0', '1 2 0', '1 2 1', '1 1 1']);
  });
  it('storage in whole bytes, by class, and what an expansion has taken', () => {
    const claim = { metadata: {}, spec: { storageClassName: 'gold', resources: { requests: { storage: '1500m' } } } };
    expect(usage('persistentvolumeclaims', claim)).to.deep.equal({
      'count/persistentvolumeclaims': '1', 'persistentvolumeclaims': '1', 'requests.storage': '2',
      'gold.storageclass.storage.k8s.io/persistentvolumeclaims': '1', 'gold.storageclass.storage.k8s.io/requests.storage': '2',
    });
    expect(usage('persistentvolumeclaims', { ...claim, status: { allocatedResources: { storage: '5Gi' } } })).to.include({ 'requests.storage': '5Gi' });
    const scoped = { ...claim, status: { currentVolumeAttributesClassName: 'fast' } };
    expect([inScope('persistentvolumeclaims', scoped, 'VolumeAttributesClass', 'In', ['fast']), inScope('persistentvolumeclaims', claim, 'VolumeAttributesClass'), inScope('persistentvolumeclaims', claim, 'VolumeAttributesClass', 'NotIn', ['fast'])]).to.deep.equal([true, false, true]);
  });
  it('devices by class, the most of alternatives', () => {
    const requests = [
      { name: 'a', exactly: { deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 2 } }, { name: 'b', exactly: { deviceClassName: 'nic', allocationMode: 'All' } },
      { name: 'c', firstAvailable: [{ deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 3 }, { deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 1 }] }, { name: 'd' },
    ];
    expect(usage('resourceclaims.resource.k8s.io', { spec: { devices: { requests } } })).to.deep.equal({ 'count/resourceclaims.resource.k8s.io': '1', 'gpu.deviceclass.resource.k8s.io/devices': '5', 'nic.deviceclass.resource.k8s.io/devices': '32' });
  });
});
