// What clients do to objects of the core group without running anything: life cycles, patches, status, collections, under the
// titles of upstream's conformance suite.
import { assert } from 'chai';
import { until } from './fixtures/cluster.ts';
import { startHollow } from './fixtures/hollow.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface Item {
  metadata: { name: string; resourceVersion: string; generation?: number; labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: Record<string, unknown>;
  status: Record<string, unknown> & { conditions?: { type: string; status: string }[] };
  data?: Record<string, string>;
  immutable?: boolean;
  [field: string]: unknown;
}
interface List { items: Item[] }
interface Failure { reason: string; message: string; details?: { causes?: { reason: string; field: string; message: string }[] } }

describe('core objects', () => {
  let cluster: HollowCluster;
  let api: Api;
  let spaces = 0;
  before(async () => {
    cluster = await startHollow('core');
    ({ api } = cluster);
  });
  after(() => cluster?.stop());

  /** The path of a resource in a new namespace. */
  async function inNamespace(resource: string): Promise<string> {
    const name = `core-${spaces += 1}`;
    await api.must('POST', '/api/v1/namespaces', { metadata: { name } });
    return `/api/v1/namespaces/${name}/${resource}`;
  }
  const make = (path: string, body: object): Promise<Item> => api.must<Item>('POST', path, body);
  const get = (path: string): Promise<Item> => api.must<Item>('GET', path);
  const names = async (path: string): Promise<string[]> => (await api.must<List>('GET', path)).items.map(({ metadata }) => metadata.name);
  async function refused(method: string, path: string, body: unknown, code = 422): Promise<Failure> {
    const answer = await api.call<Failure>(method, path, body, method === 'PATCH' ? { 'content-type': 'application/merge-patch+json' } : {});
    assert.strictEqual(answer.status, code, JSON.stringify(answer.body));
    return answer.body;
  }
  async function replace(path: string, change: (object: Item) => void): Promise<Item> {
    const object = await get(path);
    change(object);
    return api.must<Item>('PUT', path, object);
  }
  const template = (image: string, labels: Record<string, string> = { app: 'a' }): object => ({ metadata: { labels }, spec: { containers: [{ name: 'c', image }] } });

  it('[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]', async () => {
    const path = await inNamespace('podtemplates');
    const made = await make(path, { metadata: { name: 't', labels: { kind: 'static' } }, template: template('nginx:1') });
    assert.strictEqual(made.metadata.generation, 1);
    assert.sameMembers(await names('/api/v1/podtemplates?labelSelector=kind%3Dstatic'), ['t']);
    const patched = await api.merge<Item>(`${path}/t`, { metadata: { labels: { patched: 'true' } } });
    assert.strictEqual(patched.metadata.labels?.['patched'], 'true');
    await api.must('DELETE', `${path}/t`);
    assert.isEmpty(await names(path));
  });
  it('[sig-node] PodTemplates should replace a pod template [Conformance]', async () => {
    const path = await inNamespace('podtemplates');
    await make(path, { metadata: { name: 't' }, template: template('nginx:1') });
    const replaced = await replace(`${path}/t`, (object) => Object.assign(object, { template: template('nginx:2') }));
    assert.strictEqual(replaced.metadata.generation, 2);
    const wrong = await refused('PUT', `${path}/t`, { ...replaced, template: template('') });
    assert.deepStrictEqual(wrong.details?.causes, [{ reason: 'FieldValueRequired', message: 'Required value', field: 'template.spec.containers[0].image' }]);
  });
  it('[sig-node] PodTemplates should delete a collection of pod templates [Conformance]', async () => {
    const path = await inNamespace('podtemplates');
    for (const name of ['a', 'b', 'c']) await make(path, { metadata: { name, labels: { set: name === 'c' ? 'no' : 'yes' } }, template: template('nginx:1') });
    await api.must('DELETE', `${path}?labelSelector=set%3Dyes`);
    assert.deepStrictEqual(await names(path), ['c']);
  });

  for (const [resource, kind] of [['configmaps', 'ConfigMap'], ['secrets', 'Secret']] as const) {
    it(`[sig-storage] ${kind}${resource === 'secrets' ? 's' : ''} should be immutable if \`immutable\` field is set [Conformance]`, async () => {
      const path = await inNamespace(resource);
      await make(path, { metadata: { name: 'x' }, data: { a: 'AAAA' } });
      await replace(`${path}/x`, (object) => Object.assign(object, { data: { a: 'BBBB' } }));
      await replace(`${path}/x`, (object) => Object.assign(object, { immutable: true }));
      const frozen = await get(`${path}/x`);
      const changed = await refused('PUT', `${path}/x`, { ...frozen, data: { a: 'CCCC' } });
      assert.strictEqual(changed.message, `${kind} "x" is invalid: data: Forbidden: field is immutable when \`immutable\` is set`);
      const thawed = await refused('PUT', `${path}/x`, { ...frozen, immutable: false });
      assert.include(thawed.message, 'immutable: Forbidden: field is immutable when `immutable` is set');
      await replace(`${path}/x`, (object) => Object.assign(object.metadata, { labels: { may: 'change' } }));
      await api.must('DELETE', `${path}/x`);
    });
    it(`[sig-node] ${kind === 'Secret' ? 'Secrets should fail to create secret due to empty secret key' : 'ConfigMap should fail to create ConfigMap with empty key'} [Conformance]`, async () => {
      const path = await inNamespace(resource);
      const failure = await refused('POST', path, { metadata: { name: 'x' }, data: { '': 'AAAA' } });
      assert.strictEqual(failure.details?.causes?.[0]?.field, 'data[]');
    });
  }
  it('[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]', async () => {
    const path = await inNamespace('configmaps');
    await make(path, { metadata: { name: 'x', labels: { static: 'true' } }, data: { a: 'b' } });
    await api.merge(`${path}/x`, { metadata: { labels: { patched: 'yes' } }, data: { a: 'c' } });
    assert.include((await get(`${path}/x`)).data, { a: 'c' });
    assert.deepStrictEqual(await names('/api/v1/configmaps?labelSelector=static%3Dtrue'), ['x']);
    await api.must('DELETE', `${path}?labelSelector=static%3Dtrue`);
    assert.notInclude(await names(path), 'x');
  });
  it('[sig-node] Secrets should patch a secret [Conformance]', async () => {
    const path = await inNamespace('secrets');
    await make(path, { metadata: { name: 's', labels: { testsecret: 'true' } }, stringData: { key: 'value' } });
    const patched = await api.must<Item>('PATCH', `${path}/s`, { metadata: { labels: { testsecret: 'patched' } }, data: { key: 'dmFsdWUx' } }, { 'content-type': 'application/strategic-merge-patch+json' });
    assert.strictEqual(Buffer.from(patched.data?.['key'] ?? '', 'base64').toString(), 'value1');
    assert.deepStrictEqual(await names('/api/v1/secrets?labelSelector=testsecret%3Dpatched'), ['s']);
  });

  it('a LimitRange gets its defaults and is held to its rules', async () => {
    const path = await inNamespace('limitranges');
    const other = await inNamespace('limitranges');
    const limits = { limits: [{ type: 'Container', min: { cpu: '50m' }, max: { cpu: '500m' } }] };
    for (const place of [path, other]) await make(place, { metadata: { name: 'l', labels: { suite: 'limits' } }, spec: limits });
    assert.lengthOf(await names('/api/v1/limitranges?labelSelector=suite%3Dlimits'), 2);
    const { spec } = await get(`${path}/l`);
    assert.deepStrictEqual(spec, { limits: [{ type: 'Container', min: { cpu: '50m' }, max: { cpu: '500m' }, default: { cpu: '500m' }, defaultRequest: { cpu: '500m' } }] });
    await api.must('PATCH', `${path}/l`, { metadata: { labels: { l: 'patched' } } }, { 'content-type': 'application/strategic-merge-patch+json' });
    const failure = await refused('PATCH', `${path}/l`, { spec: { limits: [{ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' } }] } });
    assert.include(failure.message, 'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1');
    await api.must('DELETE', `${path}?labelSelector=l%3Dpatched`);
    assert.isEmpty(await names(path));
    assert.lengthOf(await names(other), 1);
  });
  it('a ResourceQuota tells all that is wrong with it', async () => {
    const path = await inNamespace('resourcequotas');
    await make(path, { metadata: { name: 'q' }, spec: { hard: { cpu: '1', memory: '500Mi' } } });
    const updated = await replace(`${path}/q`, (object) => Object.assign(object, { spec: { hard: { cpu: '2', memory: '1Gi' } } }));
    assert.deepStrictEqual(updated.spec['hard'], { cpu: '2', memory: '1Gi' });
    const failure = await refused('PATCH', `${path}/q`, { spec: { hard: { gpu: '1' }, scopes: ['BestEffort'] } });
    assert.sameMembers((failure.details?.causes ?? []).map(({ field }) => field), ['spec.hard[gpu]', 'spec.hard[gpu]', 'spec.scopes', 'spec.scopes', 'spec.scopes']);
    await api.must('DELETE', `${path}/q`);
    await api.call('GET', `${path}/q`).then(({ status }) => assert.strictEqual(status, 404));
  });

  it('[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]', async () => {
    const path = await inNamespace('endpoints');
    const subset = { addresses: [{ ip: '10.0.0.24' }], ports: [{ name: 'http', port: 80 }] };
    const made = await make(path, { metadata: { name: 'e', labels: { 'test-endpoint-static': 'true' } }, subsets: [subset] });
    assert.nestedPropertyVal(made, 'subsets[0].ports[0].protocol', 'TCP');
    await replace(`${path}/e`, (object) => Object.assign(object.metadata, { labels: { 'test-endpoint-static': 'true', updated: 'yes' } }));
    await api.must('PATCH', `${path}/e`, { subsets: [{ ...subset, addresses: [{ ip: '10.0.0.25' }] }] }, { 'content-type': 'application/strategic-merge-patch+json' });
    assert.nestedPropertyVal(await get(`${path}/e`), 'subsets[0].addresses[0].ip', '10.0.0.25');
    await api.must('DELETE', `${path}?labelSelector=test-endpoint-static%3Dtrue`);
    assert.isEmpty(await names(path));
  });
  it('[sig-network] Services should complete a service status lifecycle [Conformance]', async () => {
    const path = await inNamespace('services');
    await make(path, { metadata: { name: 's' }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } });
    const read = await get(`${path}/s/status`);
    const patched = await api.merge<Item>(`${path}/s/status`, { metadata: { annotations: { patched: 'true' } }, status: { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } } });
    assert.deepStrictEqual(patched.status['loadBalancer'], { ingress: [{ ip: '203.0.113.1', ipMode: 'VIP' }] });
    const condition = { type: 'StatusUpdate', status: 'True', reason: 'E2E', message: 'Set from the test', lastTransitionTime: '2026-01-01T00:00:00Z' };
    const updated = await api.must<Item>('PUT', `${path}/s/status`, { ...read, metadata: { ...read.metadata, resourceVersion: '' }, status: { conditions: [condition] } });
    assert.deepStrictEqual(updated.status.conditions?.map(({ type }) => type), ['StatusUpdate']);
    await refused('PATCH', `${path}/s/status`, { status: { loadBalancer: { ingress: [{ hostname: '10.0.0.1' }] } } });
  });

  const port = { name: 'http', port: 80 };
  const ipOf = ({ spec }: Item): string | undefined => spec['clusterIP'] as string | undefined;
  const nodePortOf = ({ spec }: Item): number | undefined => (spec['ports'] as { nodePort?: number }[] | undefined)?.[0]?.nodePort;
  const retyped = (path: string, spec: object): Promise<Item> => replace(path, (object) => Object.assign(object.spec, spec));
  it('[sig-network] Services should be able to change the type from ExternalName to ClusterIP [Conformance]', async () => {
    const path = await inNamespace('services');
    assert.isUndefined(ipOf(await make(path, { metadata: { name: 's' }, spec: { type: 'ExternalName', externalName: 'foo.example.com' } })));
    const changed = await retyped(`${path}/s`, { type: 'ClusterIP', externalName: '', ports: [port] });
    assert.match(ipOf(changed) ?? '', /^10\./);
    assert.notProperty(changed.spec, 'externalName');
    assert.nestedPropertyVal(changed, 'spec.ports[0].targetPort', 80);
  });
  it('[sig-network] Services should be able to change the type from ExternalName to NodePort [Conformance]', async () => {
    const path = await inNamespace('services');
    await make(path, { metadata: { name: 's' }, spec: { type: 'ExternalName', externalName: 'foo.example.com' } });
    const changed = await retyped(`${path}/s`, { type: 'NodePort', externalName: '', ports: [port] });
    assert.match(ipOf(changed) ?? '', /^10\./);
    assert.isAtLeast(nodePortOf(changed) ?? 0, 30_000);
  });
  it('[sig-network] Services should be able to change the type from ClusterIP to ExternalName [Conformance]', async () => {
    const path = await inNamespace('services');
    const made = await make(path, { metadata: { name: 's' }, spec: { type: 'ClusterIP', ports: [port] } });
    const changed = await retyped(`${path}/s`, { type: 'ExternalName', externalName: 'foo.example.com', clusterIP: '', clusterIPs: [] });
    assert.notProperty(changed.spec, 'clusterIP');
    assert.strictEqual(ipOf(await make(path, { metadata: { name: 'next' }, spec: { clusterIP: ipOf(made), ports: [port] } })), ipOf(made), 'the address is free again');
  });
  it('[sig-network] Services should be able to change the type from NodePort to ExternalName [Conformance]', async () => {
    const path = await inNamespace('services');
    const made = await make(path, { metadata: { name: 's' }, spec: { type: 'NodePort', ports: [port] } });
    const changed = await retyped(`${path}/s`, { type: 'ExternalName', externalName: 'foo.example.com', clusterIP: '', clusterIPs: [], ports: [port] });
    assert.isUndefined(nodePortOf(changed));
    await make(path, { metadata: { name: 'next' }, spec: { type: 'NodePort', clusterIP: ipOf(made), ports: [{ ...port, nodePort: nodePortOf(made) }] } });
  });
  it('[sig-network] Services should delete a collection of services [Conformance]', async () => {
    const path = await inNamespace('services');
    for (const name of ['a', 'b', 'stays']) await make(path, { metadata: { name, labels: { collection: name === 'stays' ? 'no' : 'yes' } }, spec: { ports: [port] } });
    const ip = ipOf(await get(`${path}/a`));
    await api.must('DELETE', `${path}?labelSelector=collection%3Dyes`);
    assert.deepEqual(await names(path), ['stays']);
    await make(path, { metadata: { name: 'next' }, spec: { clusterIP: ip, ports: [port] } });
  });
  it('[sig-network] Services should find a service from listing all namespaces [Conformance]', async () => {
    const { items } = await api.must<List>('GET', '/api/v1/services');
    assert.isTrue(items.some(({ metadata }) => metadata.name === 'kubernetes'));
  });
  it('[sig-network] API Server should provide secure master service [Conformance]', async () => {
    const { spec } = await get('/api/v1/namespaces/default/services/kubernetes');
    assert.deepInclude((spec['ports'] as object[])[0], { name: 'https', port: 443, protocol: 'TCP' });
  });
  it('[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]', async () => {
    const endpoints = await get('/api/v1/namespaces/default/endpoints/kubernetes');
    const slice = await get('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
    const [subset] = endpoints['subsets'] as { addresses: { ip: string }[]; ports: { port: number }[] }[];
    assert.deepEqual((slice['endpoints'] as { addresses: string[] }[]).flatMap(({ addresses }) => addresses), subset?.addresses.map(({ ip }) => ip));
    assert.deepEqual((slice['ports'] as { port: number }[]).map((one) => one.port), subset?.ports.map((one) => one.port));
  });
  it('[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]', async () => {
    const [cidrs, addresses] = ['/apis/networking.k8s.io/v1/servicecidrs', '/apis/networking.k8s.io/v1/ipaddresses'];
    await make(cidrs, { metadata: { name: 'more', labels: { cidr: 'more' } }, spec: { cidrs: ['10.150.0.0/24'] } });
    assert.sameMembers(await names(cidrs), ['kubernetes', 'more']);
    assert.strictEqual((await api.merge<Item>(`${cidrs}/more`, { metadata: { annotations: { patched: 'true' } } })).metadata.annotations?.['patched'], 'true');
    assert.include((await refused('PATCH', `${cidrs}/more`, { spec: { cidrs: ['10.151.0.0/24'] } })).message, 'spec.cidrs[0]: Invalid value');
    await until('the range is ready', async () => (await get(`${cidrs}/more/status`)).status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'));
    const condition = { type: 'Odd', status: 'True', reason: 'E2E', message: 'set by the test', lastTransitionTime: '2026-01-01T00:00:00Z' };
    const ready = (await get(`${cidrs}/more`)).status.conditions ?? [];
    assert.lengthOf((await api.merge<Item>(`${cidrs}/more/status`, { status: { conditions: [...ready, condition] } })).status.conditions ?? [], ready.length + 1);

    const services = await inNamespace('services');
    await until('addresses are given from it', async () => (await api.call('POST', services, { metadata: { name: 's' }, spec: { clusterIP: '10.150.0.9', ports: [port] } })).status === 201);
    assert.deepInclude((await get(`${addresses}/10.150.0.9`)).spec['parentRef'], { resource: 'services', name: 's' });
    await api.must('DELETE', `${services}/s`);
    assert.strictEqual((await api.call('GET', `${addresses}/10.150.0.9`)).status, 404);
    await api.must('DELETE', `${cidrs}?labelSelector=cidr%3Dmore`);
    await until('it is gone', async () => (await api.call('GET', `${cidrs}/more`)).status === 404);
  });
  it('[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]', async () => {
    const path = await inNamespace('serviceaccounts');
    await make(path, { metadata: { name: 's', labels: { 'test-serviceaccount-static': 'true' } } });
    assert.propertyVal(await api.merge(`${path}/s`, { automountServiceAccountToken: false }), 'automountServiceAccountToken', false);
    assert.include(await names('/api/v1/serviceaccounts?labelSelector=test-serviceaccount-static%3Dtrue'), 's');
    await api.must('DELETE', `${path}?labelSelector=test-serviceaccount-static%3Dtrue`);
    assert.notInclude(await names(path), 's');
  });
  it('[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]', async () => {
    const path = await inNamespace('serviceaccounts');
    const namespace = path.split('/')[4] ?? '';
    const spec = { user: `system:serviceaccount:${namespace}:s`, groups: ['system:authenticated'], resourceAttributes: { namespace, verb: 'list', resource: 'configmaps' } };
    const reviews = ['/apis/authorization.k8s.io/v1/subjectaccessreviews', `/apis/authorization.k8s.io/v1/namespaces/${namespace}/localsubjectaccessreviews`];
    for (const review of reviews) assert.strictEqual((await make(review, { metadata: {}, spec })).status['allowed'], false, review);
    const roles = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    await make(`${roles}/roles`, { metadata: { name: 'r' }, rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }] });
    await make(`${roles}/rolebindings`, { metadata: { name: 'b' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' }, subjects: [{ kind: 'ServiceAccount', name: 's', namespace }] });
    for (const review of reviews) await until(review, async () => (await make(review, { metadata: {}, spec })).status['allowed'] === true);
  });

  it('[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]', async () => {
    const path = await inNamespace('replicationcontrollers');
    const made = await make(path, { metadata: { name: 'rc', labels: { static: 'true' } }, spec: { replicas: 0, selector: { app: 'a' }, template: template('nginx:1') } });
    assert.strictEqual(made.metadata.generation, 1);
    const patched = await api.merge<Item>(`${path}/rc`, { spec: { minReadySeconds: 5 } });
    assert.strictEqual(patched.metadata.generation, 2);
    const status = await api.merge<Item>(`${path}/rc/status`, { status: { readyReplicas: 0, availableReplicas: 0 } });
    assert.strictEqual(status.metadata.generation, 2);
    const failure = await refused('PATCH', `${path}/rc`, { spec: { selector: { app: 'b' } } });
    assert.include(failure.message, '`selector` does not match template `labels`');
    await api.must('DELETE', `${path}?labelSelector=static%3Dtrue`);
  });
  it('[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]', async () => {
    const path = await inNamespace('replicationcontrollers');
    await make(path, { metadata: { name: 'rc' }, spec: { replicas: 1, selector: { app: 'a' }, template: template('nginx:1') } });
    const scale = await get(`${path}/rc/scale`);
    assert.include(scale.spec, { replicas: 1 });
    assert.include(scale.status, { selector: 'app=a' });
    await api.must('PUT', `${path}/rc/scale`, { ...scale, metadata: { ...scale.metadata, resourceVersion: '' }, spec: { replicas: 2 } });
    assert.include((await get(`${path}/rc`)).spec, { replicas: 2 });
  });

  it('[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]', async () => {
    const path = await inNamespace('events');
    const namespace = path.split('/')[4];
    await make(path, { metadata: { name: 'e', labels: { constant: 'true' } }, message: 'This is a test event', reason: 'Test', type: 'Normal', count: 1, involvedObject: { namespace }, source: { component: 'test' } });
    await api.must('PATCH', `${path}/e`, { message: 'patched' }, { 'content-type': 'application/strategic-merge-patch+json' });
    assert.propertyVal(await get(`${path}/e`), 'message', 'patched');
    const series = { count: 2, lastObservedTime: '2026-01-01T00:00:00.000000Z' };
    assert.nestedPropertyVal(await replace(`${path}/e`, (object) => Object.assign(object, { series })), 'series.count', 2);
    await api.must('DELETE', `${path}?labelSelector=constant%3Dtrue`);
    assert.isEmpty(await names(`${path}?labelSelector=constant%3Dtrue`));
  });

  it('[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]', async () => {
    const claims = await inNamespace('persistentvolumeclaims');
    const volumes = '/api/v1/persistentvolumes';
    const className = 'nobody-provisions-this';
    const csi = { driver: 'csi.example.com', volumeHandle: 'h' };
    await make(volumes, { metadata: { name: 'core-pv', labels: { suite: 'core' } }, spec: { capacity: { storage: '10Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: className, csi } });
    await make(claims, { metadata: { name: 'c' }, spec: { accessModes: ['ReadWriteOnce'], storageClassName: className, resources: { requests: { storage: '10Gi' } }, selector: { matchLabels: { nothing: 'matches' } } } });
    await api.merge(`${volumes}/core-pv`, { metadata: { labels: { 'core-pv': 'patched' } } });
    await api.merge(`${claims}/c`, { metadata: { labels: { c: 'patched' } } });
    const moved = await refused('PATCH', `${volumes}/core-pv`, { spec: { csi: { ...csi, volumeHandle: 'other' } } });
    assert.include(moved.message, 'spec.persistentvolumesource is immutable after creation');
    const changed = await refused('PATCH', `${claims}/c`, { spec: { accessModes: ['ReadOnlyMany'] } });
    assert.include(changed.message, 'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims');
    await api.must('DELETE', `${claims}?labelSelector=c%3Dpatched`);
    await api.must('DELETE', `${volumes}?labelSelector=core-pv%3Dpatched`);
  });
  it('[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]', async () => {
    const claims = await inNamespace('persistentvolumeclaims');
    const spec = { capacity: { storage: '10Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 'none-such', csi: { driver: 'csi.example.com', volumeHandle: 'h' } };
    await make('/api/v1/persistentvolumes', { metadata: { name: 'core-status' }, spec });
    await make(claims, { metadata: { name: 'c' }, spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'none-such', resources: { requests: { storage: '1Gi' } }, volumeName: 'another' } });
    const volume = await api.merge<Item>('/api/v1/persistentvolumes/core-status/status', { status: { message: 'StatusPatched', reason: 'E2E patchStatus' } });
    assert.include(volume.status, { message: 'StatusPatched', reason: 'E2E patchStatus' });
    const condition = { type: 'StatusPatched', status: 'True', reason: 'E2E', message: 'Set from the test' };
    const claim = await api.merge<Item>(`${claims}/c/status`, { status: { conditions: [condition] } });
    assert.include(claim.status.conditions?.[0], condition);
    await api.must('DELETE', `${claims}/c`);
    await api.must('DELETE', '/api/v1/persistentvolumes/core-status');
  });
});
