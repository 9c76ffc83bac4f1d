import { expect } from 'chai';
import { startTestServer } from '../testing.ts';
import type { Answer, TestServer } from '../testing.ts';
import type { Storage } from '../storage/storage.ts';

const ready = { hard: { pods: '3', 'requests.cpu': '1', services: '2', 'services.nodeports': '1', 'count/replicasets.apps': '1', configmaps: '2', 'requests.storage': '10Gi', 'gold.storageclass.storage.k8s.io/persistentvolumeclaims': '1' } };
interface Quota { metadata: { name: string; resourceVersion: string }; status: { hard: Record<string, string>; used: Record<string, string> } }

describe('ResourceQuota and LimitRanger in a server', () => {
  let server: TestServer;
  let spaces = 0;
  let store: Storage;
  before(async () => {
    server = await startTestServer({}, (storage) => {
      store = storage;
      return storage;
    });
  });
  after(() => server.stop());

  async function must(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await server.call(method, path, { body });
    expect(answer.status, `${method} ${path}: ${answer.text}`).to.be.below(300);
    return answer;
  }
  async function space(): Promise<string> {
    const name = `q-${spaces += 1}`;
    await must('POST', '/api/v1/namespaces', { metadata: { name } });
    await must('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
    return `/api/v1/namespaces/${name}`;
  }
  /** A quota as the controller leaves it: everything counted. */
  async function quota(path: string, name: string, spec: { hard: Record<string, string>; scopes?: string[]; scopeSelector?: unknown }, used: Record<string, string> = {}): Promise<void> {
    const made = (await must('POST', `${path}/resourcequotas`, { metadata: { name }, spec })).body as unknown as Quota;
    const status = { hard: spec.hard, used: { ...Object.fromEntries(Object.keys(spec.hard).map((each) => [each, '0'])), ...used } };
    await must('PUT', `${path}/resourcequotas/${name}/status`, { ...made, status });
  }
  const usedOf = async (path: string, name = 'q'): Promise<Record<string, string>> => ((await must('GET', `${path}/resourcequotas/${name}`)).body as unknown as Quota).status.used;
  const pod = (name: string, cpu?: string, spec: object = {}): object =>
    ({ metadata: { name }, spec: { containers: [{ name: 'c', image: 'i', ...(cpu ? { resources: { requests: { cpu } } } : {}) }], ...spec } });
  const say = ({ status, body }: Answer): string => `${status} ${body['message']}`;
  const post = (path: string, body: object): Promise<Answer> => server.call('POST', path, { body });

  it('charges what a pod asks for, and refuses what does not fit with what is asked, used and allowed', async () => {
    const path = await space();
    await quota(path, 'q', ready);
    await must('POST', `${path}/pods`, pod('a', '600m'));
    expect(await usedOf(path)).to.include({ 'pods': '1', 'requests.cpu': '600m', 'services': '0' });
    expect(say(await post(`${path}/pods`, pod('b', '500m')))).to.equal('403 pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1');
    expect(say(await post(`${path}/pods`, pod('b')))).to.equal('403 pods "b" is forbidden: failed quota: q: must specify requests.cpu for: c');
    await must('POST', `${path}/pods?dryRun=All`, pod('b', '400m'));
    expect(await usedOf(path)).to.include({ 'pods': '1', 'requests.cpu': '600m' });
    await must('POST', `${path}/pods`, pod('b', '400m'));
    expect(say(await server.call('POST', `${path}/pods?dryRun=All`, { body: pod('c', '1m') }))).to.match(/exceeded quota: q, requested: requests.cpu=1m, used: requests.cpu=1, limited: requests.cpu=1$/);
  });
  it('never gives out more than there is to those who come at once', async () => {
    const path = await space();
    await quota(path, 'q', { hard: { pods: '7' } });
    await quota(path, 'cpu', { hard: { 'requests.cpu': '10' } });
    const answers = await Promise.all(Array.from({ length: 30 }, (_, index) => post(`${path}/pods`, pod(`p${index}`, '1'))));
    expect(answers.filter(({ status }) => status === 201).length).to.equal(7);
    expect(new Set(answers.filter(({ status }) => status !== 201).map(({ status, body }) => `${status} ${String(body['message']).replace(/"p\d+"/, '"p"')}`)))
      .to.deep.equal(new Set(['403 pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7']));
    expect(await usedOf(path)).to.deep.equal({ pods: '7' });
    expect(await usedOf(path, 'cpu')).to.deep.equal({ 'requests.cpu': '7' });
  });
  it('never gives out more than there is through two servers on one store', async () => {
    const path = await space();
    // The first server closes the store; its own, which it does not use, the second.
    const other = await startTestServer({}, (own) => new Proxy(store, {
      get(target, name: keyof Storage) {
        const member = name === 'close' ? own.close.bind(own) : target[name];
        return typeof member === 'function' ? member.bind(target) as unknown : member;
      },
    }));
    try {
      await quota(path, 'q', { hard: { configmaps: '10' } });
      const answers = await Promise.all(Array.from({ length: 24 }, (_, index) => (index % 2 ? other : server).call('POST', `${path}/configmaps`, { body: { metadata: { name: `m${index}` } } })));
      const counts = Map.groupBy(answers, ({ status }) => status);
      const { items } = (await must('GET', `${path}/configmaps`)).body as { items: unknown[] };
      expect([counts.get(201)?.length, items.length, await usedOf(path)]).to.deep.equal([10, 10, { configmaps: '10' }]);
      expect(say(counts.get(403)![0]!)).to.match(/exceeded quota: q, requested: configmaps=1, used: configmaps=10, limited: configmaps=10$/);
    } finally {
      await other.stop();
    }
  });
  it('does not refuse what is not counted, nor without quotas; refuses until the quota has been counted', async () => {
    const path = await space();
    await must('POST', `${path}/pods`, pod('free'));
    const made = (await must('POST', `${path}/resourcequotas`, { metadata: { name: 'q' }, spec: { hard: { pods: '5' } } })).body;
    await must('POST', `${path}/pods`, pod('early'));
    await must('PUT', `${path}/resourcequotas/q/status`, { ...made, status: { hard: { pods: '5' } } });
    expect(say(await post(`${path}/pods`, pod('late')))).to.equal('403 pods "late" is forbidden: status unknown for quota: q, resources: pods');
    await must('POST', `${path}/configmaps`, { metadata: { name: 'm' } });
  });
  it('counts services with their ports, claims by class, and any other resource by count/', async () => {
    const path = await space();
    await quota(path, 'q', ready);
    const service = (name: string, spec: object): Promise<Answer> => post(`${path}/services`, { metadata: { name }, spec: { selector: { a: 'b' }, ports: [{ port: 80 }], ...spec } });
    expect((await service('one', { type: 'NodePort' })).status).to.equal(201);
    expect(say(await service('two', { type: 'LoadBalancer' }))).to.match(/exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1$/);
    expect((await service('two', {})).status).to.equal(201);
    expect(say(await service('three', {}))).to.match(/requested: services=1, used: services=2, limited: services=2$/);
    const { body: stored } = await must('GET', `${path}/services/two`);
    (stored['spec'] as { type: string }).type = 'NodePort';
    expect(say(await server.call('PUT', `${path}/services/two`, { body: stored }))).to.match(/requested: services.nodeports=1, used: services.nodeports=1/);
    const claim = (name: string, storage: string, storageClassName = 'gold'): Promise<Answer> =>
      post(`${path}/persistentvolumeclaims`, { metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage } } } });
    expect((await claim('a', '6Gi')).status).to.equal(201);
    expect(say(await claim('b', '1Gi'))).to.match(/requested: gold.storageclass.storage.k8s.io\/persistentvolumeclaims=1, used: gold.storageclass.storage.k8s.io\/persistentvolumeclaims=1,/);
    expect(say(await claim('b', '5Gi', 'lead'))).to.match(/requested: requests.storage=5Gi, used: requests.storage=6Gi, limited: requests.storage=10Gi$/);
    const sets = path.replace('/api/v1/', '/apis/apps/v1/');
    const set = (name: string): Promise<Answer> => post(`${sets}/replicasets`, { metadata: { name }, spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } } } });
    expect((await set('a')).status).to.equal(201);
    expect(say(await set('b'))).to.equal('403 replicasets.apps "b" is forbidden: exceeded quota: q, requested: count/replicasets.apps=1, used: count/replicasets.apps=1, limited: count/replicasets.apps=1');
    expect(await usedOf(path)).to.include({ 'services': '2', 'services.nodeports': '1', 'requests.storage': '6Gi', 'count/replicasets.apps': '1', 'configmaps': '0' });
  });
  it('charges the quotas of its scopes only', async () => {
    const path = await space();
    await quota(path, 'ending', { hard: { pods: '1' }, scopes: ['Terminating'] });
    await quota(path, 'lasting', { hard: { pods: '1' }, scopes: ['NotTerminating', 'BestEffort'] });
    await quota(path, 'cross', { hard: { pods: '0' }, scopeSelector: { matchExpressions: [{ scopeName: 'CrossNamespacePodAffinity', operator: 'Exists' }] } });
    await must('POST', `${path}/pods`, pod('a'));
    expect([await usedOf(path, 'ending'), await usedOf(path, 'lasting')]).to.deep.equal([{ pods: '0' }, { pods: '1' }]);
    expect(say(await post(`${path}/pods`, pod('b')))).to.match(/exceeded quota: lasting/);
    await must('POST', `${path}/pods`, pod('b', '1m'));
    await must('POST', `${path}/pods`, pod('c', undefined, { activeDeadlineSeconds: 5 }));
    expect(say(await post(`${path}/pods`, pod('d', '1m', { activeDeadlineSeconds: 5 })))).to.match(/exceeded quota: ending/);
    // A deadline that comes later brings the pod under the other quota.
    const { body: stored } = await must('GET', `${path}/pods/b`);
    (stored['spec'] as { activeDeadlineSeconds: number }).activeDeadlineSeconds = 9;
    expect(say(await server.call('PUT', `${path}/pods/b`, { body: stored }))).to.match(/exceeded quota: ending/);
    const affinity = { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', namespaces: ['other'], labelSelector: {} }] } };
    expect(say(await post(`${path}/pods`, pod('e', '1m', { affinity })))).to.match(/exceeded quota: cross, requested: pods=1, used: pods=0, limited: pods=0$/);
  });
  it('charges a resize by its difference', async () => {
    const path = await space();
    await quota(path, 'q', ready);
    await must('POST', `${path}/pods`, pod('a', '600m'));
    const resize = (cpu: string): Promise<Answer> => server.call('PATCH', `${path}/pods/a/resize`, { body: { spec: { containers: [{ name: 'c', resources: { requests: { cpu } } }] } }, headers: { 'Content-Type': 'application/strategic-merge-patch+json' } });
    expect(say(await resize('1100m'))).to.match(/exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1$/);
    expect((await resize('900m')).status).to.equal(200);
    expect(await usedOf(path)).to.include({ 'pods': '1', 'requests.cpu': '900m' });
  });
  it('gives containers the namespace\'s defaults, which count against the quota', async () => {
    const path = await space();
    await quota(path, 'q', ready);
    await must('POST', `${path}/limitranges`, { metadata: { name: 'l' }, spec: { limits: [{ type: 'Container', default: { cpu: '300m' }, defaultRequest: { cpu: '200m' }, max: { cpu: '400m' } }] } });
    const { body } = await must('POST', `${path}/pods`, pod('a', undefined, { initContainers: [{ name: 'i', image: 'i', resources: { limits: { cpu: '100m' } } }] }));
    expect((body['metadata'] as { annotations: object }).annotations).to.deep.equal({ 'kubernetes.io/limit-ranger': 'LimitRanger plugin set: cpu request for container c; cpu limit for container c' });
    expect(await usedOf(path)).to.include({ 'requests.cpu': '200m' });
    expect(say(await post(`${path}/pods`, pod('b', '500m')))).to.match(/^422 Pod "b" is invalid: .*must be less than or equal to cpu limit of 300m/);
    expect(say(await post(`${path}/pods`, { metadata: { name: 'b' }, spec: { containers: [{ name: 'c', image: 'i', resources: { limits: { cpu: '500m' } } }] } })))
      .to.equal('403 pods "b" is forbidden: maximum cpu usage per Container is 400m, but limit is 500m');
  });
});
