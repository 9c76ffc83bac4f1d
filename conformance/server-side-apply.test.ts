// Server-side apply over HTTP, under the titles of upstream's e2e suite (test/e2e/apimachinery/apply.go), and what clients rely on besides.
import { assert } from 'chai';
import { startHollow } from './fixtures/hollow.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface Entry { manager: string; operation: string; subresource?: string; time?: string; fieldsV1: object }
interface Item { metadata: { resourceVersion: string; labels?: Record<string, string>; managedFields?: Entry[] }; spec?: Record<string, unknown>; status?: Record<string, unknown>; data?: Record<string, string> }
interface Failure { code: number; reason: string; message: string; details?: { causes?: { reason: string; field: string; message: string }[] } }

const namespaced = '/api/v1/namespaces/default';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const yaml = { 'content-type': 'application/apply-patch+yaml' };

function deployment(name: string, { replicas, image = 'nginx:latest', labels }: { replicas?: number; image?: string; labels?: Record<string, string> } = {}): object {
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, ...(labels ? { labels } : {}) },
    spec: {
      ...(replicas === undefined ? {} : { replicas }), selector: { matchLabels: { app: 'nginx' } },
      template: { metadata: { labels: { app: 'nginx' } }, spec: { containers: [{ name: 'nginx', image }] } },
    },
  };
}

describe('server-side apply', () => {
  let cluster: HollowCluster;
  let api: Api;
  before(async function () {
    this.timeout(30_000);
    // Nobody but the test writes what it looks at.
    cluster = await startHollow('apply', ['--nodes', '0', '--disable', 'controllers,scheduler']);
    ({ api } = cluster);
    await api.call('POST', `${namespaced}/serviceaccounts`, { metadata: { name: 'default' } });
  });
  after(() => cluster.stop());

  const apply = (path: string, config: object, query = 'fieldManager=apply_test') => api.call<Item & Failure>('PATCH', `${path}?${query}`, config, yaml);
  const managers = ({ metadata }: Item): string[] => (metadata.managedFields ?? []).map(({ manager, operation, subresource }) => [manager, operation, subresource].filter(Boolean).join(' '));

  it('[sig-api-machinery] ServerSideApply should create an applied object if it does not already exist', async () => {
    for (const [path, config] of [
      [`${namespaced}/pods/test-pod`, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'test-pod' }, spec: { containers: [{ name: 'test-container', image: 'test-image' }] } }],
      [`${namespaced}/services/test-svc`, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'test-svc' }, spec: { ports: [{ port: 8080, protocol: 'UDP' }] } }],
    ] as const) {
      assert.equal((await apply(path, config)).status, 201);
      assert.equal((await api.call('GET', path)).status, 200);
      assert.equal((await apply(path, config)).status, 200);
    }
  });
  it('[sig-api-machinery] ServerSideApply should work for subresources', async () => {
    const path = `${namespaced}/pods/test-pod`;
    const status = { apiVersion: 'v1', kind: 'Pod', status: { conditions: [{ type: 'MyStatus', status: 'True' }] } };
    assert.equal((await apply(`${path}/status`, { ...status, metadata: { name: 'test-pod' } }, 'fieldManager=apply_status')).status, 200);
    const pod = await api.must<Item>('GET', path);
    assert.sameMembers(managers(pod), ['apply_test Apply', 'apply_status Apply status']);
    assert.deepEqual(pod.metadata.managedFields?.find(({ subresource }) => subresource === 'status')?.fieldsV1, { 'f:status': { 'f:conditions': { 'k:{"type":"MyStatus"}': { '.': {}, 'f:status': {}, 'f:type': {} } } } });
    assert.equal((await apply(`${namespaced}/pods/absent/status`, { ...status, metadata: { name: 'absent' } })).status, 404);
  });
  it('[sig-api-machinery] ServerSideApply should remove a field if it is owned but removed in the apply request', async () => {
    const path = `${deployments}/owned`;
    await apply(path, deployment('owned', { replicas: 2, labels: { app: 'nginx' } }));
    const { body } = await apply(path, deployment('owned'));
    assert.equal(body.spec?.['replicas'], 1, 'the default');
    assert.isUndefined(body.metadata.labels);
  });
  it('[sig-api-machinery] ServerSideApply should not remove a field if an owner unsets the field but other managers still have ownership of the field', async () => {
    const path = `${deployments}/shared`;
    await apply(path, deployment('shared', { replicas: 3 }));
    await apply(path, deployment('shared', { replicas: 3 }), 'fieldManager=apply_test_2');
    const { body } = await apply(path, deployment('shared'));
    assert.equal(body.spec?.['replicas'], 3);
  });
  it('[sig-api-machinery] ServerSideApply should ignore conflict errors if force apply is used', async () => {
    const path = `${deployments}/forced`;
    await apply(path, deployment('forced', { replicas: 3, image: 'a' }));
    const refused = await apply(path, deployment('forced', { replicas: 5, image: 'b' }), 'fieldManager=apply_test_2');
    assert.equal(refused.status, 409);
    assert.equal(refused.body.message, 'Apply failed with 2 conflicts: conflicts with "apply_test":\n- .spec.replicas\n- .spec.template.spec.containers[name="nginx"].image');
    assert.deepEqual(refused.body.details?.causes?.[0], { reason: 'FieldManagerConflict', message: 'conflict with "apply_test"', field: '.spec.replicas' });
    const forced = await apply(path, deployment('forced', { replicas: 5, image: 'b' }), 'fieldManager=apply_test_2&force=true');
    assert.equal(forced.status, 200);
    assert.equal(forced.body.spec?.['replicas'], 5);
  });

  it('again changes nothing, not even the version; a dry run changes nothing either', async () => {
    const path = `${deployments}/same`;
    const first = await apply(path, deployment('same', { replicas: 1 }));
    const again = await apply(path, deployment('same', { replicas: 1 }));
    assert.equal(again.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
    const dry = await apply(path, deployment('same', { replicas: 2 }), 'fieldManager=apply_test&dryRun=All');
    assert.equal(dry.body.spec?.['replicas'], 2);
    assert.equal((await api.must<Item>('GET', path)).spec?.['replicas'], 1);
    assert.equal((await apply(`${deployments}/dry`, deployment('dry'), 'fieldManager=x&dryRun=All')).status, 201);
    assert.equal((await api.call('GET', `${deployments}/dry`)).status, 404);
  });
  it('of the scale hands the replicas over, and the parent knows', async () => {
    const path = `${deployments}/scaled`;
    await apply(path, deployment('scaled', { replicas: 1 }));
    await api.must('PUT', `${path}/scale?fieldManager=scaler`, { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'scaled' }, spec: { replicas: 4 } });
    const after = await api.must<Item>('GET', path);
    assert.sameMembers(managers(after), ['apply_test Apply', 'scaler Update scale']);
    assert.equal((await apply(path, deployment('scaled', { replicas: 1 }))).body.message, 'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas');
    const scale = { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'scaled' }, spec: { replicas: 2 } };
    assert.equal((await apply(`${path}/scale`, scale, 'fieldManager=appliedscale&force=true')).status, 200);
    assert.include(managers(await api.must<Item>('GET', path)), 'appliedscale Apply scale');
  });
  it('crosses versions of a kind', async () => {
    const of = (version: string): string => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers/h`;
    const config = (version: string, max: number): object => ({ apiVersion: `autoscaling/${version}`, kind: 'HorizontalPodAutoscaler', metadata: { name: 'h' }, spec: { maxReplicas: max, scaleTargetRef: { kind: 'Deployment', name: 'd', apiVersion: 'apps/v1' } } });
    assert.equal((await apply(of('v2'), config('v2', 3))).status, 201);
    assert.equal((await apply(of('v1'), config('v1', 4), 'fieldManager=other')).body.message, 'Apply failed with 1 conflict: conflict with "apply_test": .spec.maxReplicas');
    const moved = await apply(of('v1'), { ...config('v1', 4), metadata: { name: 'h' } });
    assert.equal(moved.status, 200, JSON.stringify(moved.body));
    assert.deepEqual(managers(moved.body), ['apply_test Apply']);
  });
  const refusals: [string, string, object | string, string, Record<string, string> | undefined, number, string][] = [
    ['without a manager', `${deployments}/r`, deployment('r'), '', undefined, 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'],
    ['as JSON patches with force', `${deployments}/same`, {}, 'force=true', { 'content-type': 'application/merge-patch+json' }, 422, 'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'],
    ['of another kind', `${deployments}/r`, { ...deployment('r'), kind: 'ReplicaSet' }, 'fieldManager=x', undefined, 400, 'invalid object type: apps/v1, Kind=ReplicaSet'],
    ['of an unknown field', `${deployments}/r`, { ...deployment('r'), nope: 1 }, 'fieldManager=x', undefined, 500, 'failed to create typed patch object (/r; apps/v1, Kind=Deployment): .nope: field not declared in schema'],
    ['of another name', `${deployments}/r`, deployment('other'), 'fieldManager=x', undefined, 400, 'the name of the object (other) does not match the name on the URL (r)'],
    ['of an object with a uid that is not there', `${deployments}/r`, { ...deployment('r'), metadata: { name: 'r', uid: 'u' } }, 'fieldManager=x', undefined, 409, 'Operation cannot be fulfilled on deployments.apps "r": uid mismatch: the provided object specified uid u, and no existing object was found'],
    ['of CBOR', `${deployments}/r`, {}, 'fieldManager=x', { 'content-type': 'application/apply-patch+cbor' }, 415, 'the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml'],
  ];
  for (const [title, path, body, query, headers, code, message] of refusals) {
    it(`${title} is refused`, async () => {
      const answer = await api.call<Failure>('PATCH', `${path}?${query}`, body, headers ?? yaml);
      assert.deepEqual([answer.status, answer.body.message], [code, message]);
    });
  }
});

describe('managedFields', () => {
  let cluster: HollowCluster;
  let api: Api;
  before(async function () {
    this.timeout(30_000);
    cluster = await startHollow('managers', ['--nodes', '0', '--disable', 'controllers,scheduler']);
    ({ api } = cluster);
  });
  after(() => cluster.stop());
  const path = `${namespaced}/configmaps`;
  const entries = (item: Item): Entry[] => item.metadata.managedFields ?? [];

  it('name the parameter, else the program, else nobody known', async () => {
    const agents: [string, string, string][] = [['?fieldManager=me', 'kubectl/v1.36', 'me'], ['', 'kubectl/v1.36 (linux)', 'kubectl'], ['', `${'x'.repeat(200)}`, 'x'.repeat(128)], ['', '/1', 'unknown']];
    for (const [index, [query, agent, manager]] of agents.entries()) {
      const made = await api.must<Item>('POST', `${path}${query}`, { metadata: { name: `named-${index}` }, data: { a: 'b' } }, { 'user-agent': agent });
      assert.equal(entries(made)[0]?.manager, manager);
    }
    const long = await api.call<Failure>('POST', `${path}?fieldManager=${'x'.repeat(129)}`, { metadata: { name: 'long' } });
    assert.deepEqual([long.status, long.body.details?.causes?.[0]?.field], [422, 'fieldManager']);
  });
  it('come with Tables and metadata alone, go by an empty list, and stay gone', async () => {
    const made = await api.must<Item>('POST', `${path}?fieldManager=me`, { metadata: { name: 'reset' }, data: { a: 'b' } });
    const meta = await api.must<Item>('GET', `${path}/reset`, undefined, { accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' });
    assert.deepEqual(entries(meta), entries(made));
    const reset = await api.merge<Item>(`${path}/reset`, { metadata: { managedFields: [] } });
    assert.isUndefined(reset.metadata.managedFields);
    assert.isUndefined((await api.merge<Item>(`${path}/reset`, { data: { c: 'd' } })).metadata.managedFields);
  });
  it('keep their times while nothing changes', async () => {
    await api.must('POST', `${path}?fieldManager=me`, { metadata: { name: 'still' }, data: { a: 'b' } });
    const before = await api.must<Item>('GET', `${path}/still`);
    const same = await api.must<Item>('PUT', `${path}/still?fieldManager=you`, before);
    assert.deepEqual([same.metadata.resourceVersion, entries(same)], [before.metadata.resourceVersion, entries(before)]);
  });
});
