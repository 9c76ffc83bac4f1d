// Quotas and limits on a cluster of hollow nodes, under the titles of upstream's conformance suite.
import type { V1LimitRange, V1LimitRangeList, V1Pod, V1ResourceQuota } from '@kubernetes/client-node';
import { assert } from 'chai';
import { until } from './fixtures/cluster.ts';
import { startHollow } from './fixtures/hollow.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface Refusal { message: string }
type List = Record<string, string>;

let api: Api;
let spaces = 0;

/** For the suite that calls it. */
function useCluster(): void {
  let cluster: HollowCluster | undefined;
  before(async () => {
    cluster = await startHollow('quota');
    ({ api } = cluster);
  });
  after(() => cluster?.stop());
}

/** A namespace of the test's own: its path, and what tests do in it. */
async function openSpace() {
  const name = `quota-${spaces += 1}`;
  await api.must('POST', '/api/v1/namespaces', { metadata: { name } });
  const core = `/api/v1/namespaces/${name}`;
  await until('the default account', async () => (await api.call('GET', `${core}/serviceaccounts/default`)).status === 200);
  const quotaPath = (quota: string): string => `${core}/resourcequotas/${quota}`;
  const used = async (quota: string): Promise<List> => (await api.must<V1ResourceQuota>('GET', quotaPath(quota))).status?.used ?? {};
  return {
    name, core, quotaPath,
    quota: (quota: string, hard: List, more: object = {}) => api.must<V1ResourceQuota>('POST', `${core}/resourcequotas`, { metadata: { name: quota }, spec: { hard, ...more } }),
    uses: (quota: string, expected: List) => until(`${quota} uses ${JSON.stringify(expected)}`, async () => assert.include(await used(quota), expected)),
    async refused(path: string, body: unknown, why: RegExp, method = 'POST') {
      const { status, body: answer } = await api.call<Refusal>(method, path, body, method === 'PATCH' ? { 'content-type': 'application/merge-patch+json' } : {});
      assert.equal(status, 403, JSON.stringify(answer));
      assert.match(answer.message, why);
    },
    pod: (podName: string, resources: object = {}, more: object = {}) => ({ metadata: { name: podName }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'pause', image: 'pause', resources }], ...more } }),
    remove: (path: string) => api.must('DELETE', `${core}/${path}`),
  };
}
type Space = Awaited<ReturnType<typeof openSpace>>;

/** Nothing, one, refusal of a second, nothing again. */
async function lives(space: Space, resource: string, countedAs: string, path: string, object: (name: string) => unknown): Promise<void> {
  const before = Number((await api.must<{ items: unknown[] }>('GET', path)).items.length);
  await space.quota('q', { [countedAs]: String(before + 1) });
  await space.uses('q', { [countedAs]: String(before) });
  await api.must('POST', path, object('one'));
  await space.uses('q', { [countedAs]: String(before + 1) });
  await space.refused(path, object('two'), new RegExp(`^${resource} "two" is forbidden: exceeded quota: q, requested: ${countedAs}=1, used: ${countedAs}=${before + 1}, limited: ${countedAs}=${before + 1}$`));
  await api.must('DELETE', `${path}/one`);
  await space.uses('q', { [countedAs]: String(before) });
}

describe('[sig-api-machinery] ResourceQuota', () => {
  useCluster();

  it('should create a ResourceQuota and ensure its status is promptly calculated. [Conformance]', async () => {
    const space = await openSpace();
    await space.quota('q', { resourcequotas: '1', services: '10', 'count/replicasets.apps': '5', 'requests.storage': '10Gi' });
    await space.uses('q', { 'resourcequotas': '1', 'services': '0', 'count/replicasets.apps': '0', 'requests.storage': '0' });
    await space.refused(`${space.core}/resourcequotas`, { metadata: { name: 'r' }, spec: {} }, /exceeded quota: q, requested: resourcequotas=1/);
  });

  it('should create a ResourceQuota and capture the life of a service. [Conformance]', async () => {
    const space = await openSpace();
    const service = (name: string, type: string): unknown => ({ metadata: { name }, spec: { type, ports: [{ port: 80 }] } });
    await space.quota('q', { services: '2', 'services.nodeports': '1', 'services.loadbalancers': '0' });
    await space.uses('q', { services: '0', 'services.nodeports': '0' });
    await api.must('POST', `${space.core}/services`, service('a', 'ClusterIP'));
    await api.must('POST', `${space.core}/services`, service('b', 'NodePort'));
    await space.uses('q', { services: '2', 'services.nodeports': '1' });
    await space.refused(`${space.core}/services`, service('c', 'LoadBalancer'), /exceeded quota: q, requested: services=1,services.loadbalancers=1,services.nodeports=1, used: services=2,services.loadbalancers=0,services.nodeports=1, limited: services=2,services.loadbalancers=0,services.nodeports=1$/);
    await api.merge(`${space.core}/services/b`, { spec: { type: 'ClusterIP', ports: [{ port: 80, nodePort: null }] } });
    await space.uses('q', { services: '2', 'services.nodeports': '0' });
    await space.remove('services/a');
    await space.remove('services/b');
    await space.uses('q', { services: '0', 'services.nodeports': '0' });
  });

  it('should create a ResourceQuota and capture the life of a secret. [Conformance]', async () => {
    const space = await openSpace();
    await lives(space, 'secrets', 'secrets', `${space.core}/secrets`, (name) => ({ metadata: { name } }));
  });
  it('should create a ResourceQuota and capture the life of a configMap. [Conformance]', async () => {
    const space = await openSpace();
    await until('the root CA', async () => (await api.call('GET', `${space.core}/configmaps/kube-root-ca.crt`)).status === 200);
    await lives(space, 'configmaps', 'configmaps', `${space.core}/configmaps`, (name) => ({ metadata: { name } }));
  });
  it('should create a ResourceQuota and capture the life of a replication controller. [Conformance]', async () => {
    const space = await openSpace();
    await lives(space, 'replicationcontrollers', 'replicationcontrollers', `${space.core}/replicationcontrollers`,
      (name) => ({ metadata: { name }, spec: { replicas: 0, selector: { a: name }, template: { metadata: { labels: { a: name } }, spec: { containers: [{ name: 'c', image: 'pause' }] } } } }));
  });
  it('should create a ResourceQuota and capture the life of a replica set. [Conformance]', async () => {
    const space = await openSpace();
    await lives(space, 'replicasets.apps', 'count/replicasets.apps', space.core.replace('/api/v1', '/apis/apps/v1').concat('/replicasets'),
      (name) => ({ metadata: { name }, spec: { replicas: 0, selector: { matchLabels: { a: name } }, template: { metadata: { labels: { a: name } }, spec: { containers: [{ name: 'c', image: 'pause' }] } } } }));
  });

  it('should create a ResourceQuota and capture the life of a pod. [Conformance]', async () => {
    const space = await openSpace();
    const pods = `${space.core}/pods`;
    const asks = { requests: { 'cpu': '500m', 'memory': '252Mi', 'ephemeral-storage': '30Gi', 'example.com/dongle': '2' }, limits: { 'example.com/dongle': '2' } };
    await space.quota('q', { 'pods': '5', 'cpu': '1', 'memory': '500Mi', 'requests.ephemeral-storage': '50Gi', 'requests.example.com/dongle': '3' });
    await space.uses('q', { pods: '0', cpu: '0', memory: '0' });
    await api.must('POST', pods, space.pod('one', asks, { nodeName: 'nowhere' }));
    const all = { 'pods': '1', 'cpu': '500m', 'memory': '252Mi', 'requests.ephemeral-storage': '30Gi', 'requests.example.com/dongle': '2' };
    await space.uses('q', all);
    await space.refused(pods, space.pod('two', { ...asks, requests: { cpu: '600m', memory: '100Mi' }, limits: {} }), /exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1$/);
    await space.refused(pods, space.pod('two', { requests: { 'cpu': '100m', 'memory': '10Mi', 'example.com/dongle': '2' }, limits: { 'example.com/dongle': '2' } }), /requested: requests.example.com\/dongle=2, used: requests.example.com\/dongle=2, limited: requests.example.com\/dongle=3$/);
    await space.refused(pods, space.pod('two'), /failed quota: q: must specify cpu for: pause; memory for: pause$/);
    await api.merge(`${pods}/one`, { metadata: { labels: { a: 'b' } } });
    await space.uses('q', all);
    await api.must('DELETE', `${pods}/one?gracePeriodSeconds=0`);
    await space.uses('q', { 'pods': '0', 'cpu': '0', 'memory': '0', 'requests.ephemeral-storage': '0', 'requests.example.com/dongle': '0' });
  });

  async function scoped(first: object, second: object, podOf: (space: Space, which: 'first' | 'second') => unknown): Promise<void> {
    const space = await openSpace();
    await space.quota('first', { pods: '1' }, first);
    await space.quota('second', { pods: '1' }, second);
    await space.uses('first', { pods: '0' });
    await space.uses('second', { pods: '0' });
    for (const [own, other] of [['first', 'second'], ['second', 'first']] as const) {
      const { metadata } = await api.must<V1Pod>('POST', `${space.core}/pods`, podOf(space, own));
      await space.uses(own, { pods: '1' });
      await space.uses(other, { pods: '0' });
      await space.refused(`${space.core}/pods`, { ...podOf(space, own) as object, metadata: { name: 'more' } }, new RegExp(`exceeded quota: ${own}, requested: pods=1, used: pods=1, limited: pods=1$`));
      await api.must('DELETE', `${space.core}/pods/${metadata?.name}?gracePeriodSeconds=0`);
      await space.uses(own, { pods: '0' });
    }
  }
  it('should verify ResourceQuota with terminating scopes. [Conformance]', () =>
    scoped({ scopes: ['Terminating'] }, { scopes: ['NotTerminating'] }, (space, which) => space.pod(which, {}, which === 'first' ? { activeDeadlineSeconds: 3600 } : {})));
  it('should verify ResourceQuota with best effort scope. [Conformance]', () =>
    scoped({ scopes: ['BestEffort'] }, { scopes: ['NotBestEffort'] }, (space, which) => space.pod(which, which === 'second' ? { requests: { cpu: '1m' } } : {})));

  it('should be able to update and delete ResourceQuota. [Conformance]', async () => {
    const space = await openSpace();
    await space.quota('q', { cpu: '1', memory: '500Mi' });
    await api.merge(space.quotaPath('q'), { spec: { hard: { cpu: '2', memory: '1Gi', pods: '3' } } });
    const { spec } = await api.must<V1ResourceQuota>('GET', space.quotaPath('q'));
    assert.deepEqual(spec?.hard, { cpu: '2', memory: '1Gi', pods: '3' });
    await until('status.hard follows', async () => assert.deepEqual((await api.must<V1ResourceQuota>('GET', space.quotaPath('q'))).status, { hard: { cpu: '2', memory: '1Gi', pods: '3' }, used: { cpu: '0', memory: '0', pods: '0' } }));
    await api.must('DELETE', space.quotaPath('q'));
    assert.equal((await api.call('GET', space.quotaPath('q'))).status, 404);
    await api.must('POST', `${space.core}/pods`, space.pod('free'));
  });

  it('should manage the lifecycle of a ResourceQuota [Conformance]', async () => {
    const space = await openSpace();
    await api.must('POST', `${space.core}/resourcequotas`, { metadata: { name: 'q', labels: { life: 'long' } }, spec: { hard: { cpu: '1', memory: '500Mi' } } });
    const { items } = await api.must<{ items: V1ResourceQuota[] }>('GET', '/api/v1/resourcequotas?labelSelector=life%3Dlong');
    assert.deepEqual(items.map(({ metadata }) => metadata?.name), ['q']);
    const patched = await api.must<V1ResourceQuota>('PATCH', space.quotaPath('q'), { metadata: { labels: { is: 'patched' } }, spec: { hard: { memory: '750Mi' } } }, { 'content-type': 'application/strategic-merge-patch+json' });
    assert.deepEqual([patched.metadata?.labels, patched.spec?.hard], [{ life: 'long', is: 'patched' }, { cpu: '1', memory: '750Mi' }]);
    await api.must('DELETE', `${space.core}/resourcequotas?labelSelector=life%3Dlong`);
    assert.equal((await api.call('GET', space.quotaPath('q'))).status, 404);
  });

  it('should apply changes to a resourcequota status [Conformance]', async () => {
    const space = await openSpace();
    await space.quota('q', { cpu: '500m', memory: '500Mi' });
    await space.uses('q', { cpu: '0', memory: '0' });
    const status = `${space.quotaPath('q')}/status`;
    const patched = await api.merge<V1ResourceQuota>(status, { spec: { hard: { cpu: '9' } }, status: { hard: { cpu: '750m' } } });
    assert.deepEqual([patched.spec?.hard?.['cpu'], patched.status?.hard?.['cpu']], ['500m', '750m']);
    assert.equal((await api.must<V1ResourceQuota>('GET', status)).status?.hard?.['cpu'], '750m');
    await api.merge(space.quotaPath('q'), { spec: { hard: { cpu: '1' } } });
    await until('the status says what the spec does', async () => assert.deepEqual((await api.must<V1ResourceQuota>('GET', status)).status?.hard, { cpu: '1', memory: '500Mi' }));
    const { body } = await api.call<Refusal>('PATCH', status, { status: { used: { cpu: '-1' } } }, { 'content-type': 'application/merge-patch+json' });
    assert.match(body.message, /status.used\[cpu\]: Invalid value: "-1": must be greater than or equal to 0/);
  });

  it('gives out what there is and no more when many come and go at once', async () => {
    const space = await openSpace();
    await space.quota('q', { configmaps: '11' });
    await until('the root CA is counted', async () => assert.equal((await api.must<V1ResourceQuota>('GET', space.quotaPath('q'))).status?.used?.['configmaps'], '1'));
    let most = 0;
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(Array.from({ length: 20 }, (_, index) => api.call('POST', `${space.core}/configmaps`, { metadata: { name: `m-${round}-${index}` } })));
      const { items } = await api.must<{ items: { metadata: { name: string } }[] }>('GET', `${space.core}/configmaps`);
      most = Math.max(most, items.length);
      await Promise.all(items.filter(({ metadata }) => metadata.name.startsWith('m-')).slice(0, 7).map(({ metadata }) => space.remove(`configmaps/${metadata.name}`)));
    }
    assert.equal(most, 11);
    await until('the count is right in the end', async () => {
      const { items } = await api.must<{ items: unknown[] }>('GET', `${space.core}/configmaps`);
      await space.uses('q', { configmaps: String(items.length) });
    });
  });
});

describe('[sig-scheduling] LimitRange', () => {
  useCluster();
  const limits = [{
    type: 'Container', min: { 'cpu': '50m', 'memory': '100Mi', 'ephemeral-storage': '100Gi' }, max: { 'cpu': '500m', 'memory': '500Mi', 'ephemeral-storage': '500Gi' },
    default: { 'cpu': '500m', 'memory': '500Mi', 'ephemeral-storage': '500Gi' }, defaultRequest: { 'cpu': '100m', 'memory': '200Mi', 'ephemeral-storage': '200Gi' },
  }];
  it('should create a LimitRange with defaults and ensure pod has those defaults applied. [Conformance]', async () => {
    const space = await openSpace();
    const pods = `${space.core}/pods`;
    await api.must('POST', `${space.core}/limitranges`, { metadata: { name: 'l' }, spec: { limits } });
    assert.deepEqual((await api.must<V1LimitRange>('GET', `${space.core}/limitranges/l`)).spec?.limits as unknown, limits);
    const bare = await api.must<V1Pod>('POST', pods, space.pod('bare'));
    assert.deepEqual(bare.spec?.containers[0]?.resources, { limits: limits[0]?.default, requests: limits[0]?.defaultRequest });
    assert.equal(bare.metadata?.annotations?.['kubernetes.io/limit-ranger'], 'LimitRanger plugin set: cpu, ephemeral-storage, memory request for container pause; cpu, ephemeral-storage, memory limit for container pause');
    const partly = await api.must<V1Pod>('POST', pods, space.pod('partly', { limits: { memory: '400Mi' }, requests: { cpu: '300m' } }));
    assert.deepEqual(partly.spec?.containers[0]?.resources, { limits: { 'cpu': '500m', 'memory': '400Mi', 'ephemeral-storage': '500Gi' }, requests: { 'cpu': '300m', 'memory': '400Mi', 'ephemeral-storage': '200Gi' } });
    await space.refused(pods, space.pod('small', { requests: { cpu: '10m' } }), /^pods "small" is forbidden: minimum cpu usage per Container is 50m, but request is 10m$/);
    await space.refused(pods, space.pod('large', { limits: { cpu: '600m', memory: '600Mi' }, requests: { memory: '50Mi' } }),
      /: \[minimum memory usage per Container is 100Mi, but request is 50Mi, maximum cpu usage per Container is 500m, but limit is 600m, maximum memory usage per Container is 500Mi, but limit is 600Mi\]$/);
    await api.merge(`${space.core}/limitranges/l`, { spec: { limits: [{ ...limits[0], min: { cpu: '9m' } }] } });
    await api.must('POST', pods, space.pod('small', { requests: { cpu: '10m' } }));
    await space.remove('limitranges/l');
    const free = await api.must<V1Pod>('POST', pods, space.pod('large', { limits: { cpu: '600m' } }));
    assert.deepEqual(free.spec?.containers[0]?.resources, { limits: { cpu: '600m' }, requests: { cpu: '600m' } });
  });
  it('should list, patch and delete a LimitRange by collection [Conformance]', async () => {
    const [one, other] = [await openSpace(), await openSpace()];
    for (const { core } of [one, other]) await api.must('POST', `${core}/limitranges`, { metadata: { name: 'l', labels: { by: 'collection' } }, spec: { limits } });
    const list = async (path: string): Promise<number> => (await api.must<V1LimitRangeList>('GET', `${path}/limitranges?labelSelector=by%3Dcollection`)).items.length;
    assert.equal(await list('/api/v1'), 2);
    const patched = await api.must<V1LimitRange>('PATCH', `${one.core}/limitranges/l`, { metadata: { labels: { is: 'patched' } }, spec: { limits: [{ type: 'Container', min: { cpu: '30m' } }] } }, { 'content-type': 'application/strategic-merge-patch+json' });
    assert.deepEqual([patched.metadata?.labels?.['is'], patched.spec?.limits[0]?.min], ['patched', { cpu: '30m' }]);
    await api.must('DELETE', `${one.core}/limitranges?labelSelector=is%3Dpatched`);
    assert.deepEqual([await list(one.core), await list('/api/v1')], [0, 1]);
  });
});
