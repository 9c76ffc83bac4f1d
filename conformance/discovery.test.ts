// Discovery, aggregated discovery and field validation of built-in types, under the titles of upstream's conformance suite.
import { assert } from 'chai';
import { startHollow } from './fixtures/hollow.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface GroupVersion { groupVersion: string; version: string }
interface Group { name: string; versions: GroupVersion[]; preferredVersion: GroupVersion }
interface Resource { name: string; kind: string; verbs: string[] }
interface AggregatedGroup { metadata: { name?: string }; versions: { version: string; freshness: string; resources: { resource: string; responseKind: { kind: string } }[] }[] }
interface Aggregated { kind: string; apiVersion: string; items: AggregatedGroup[] }
interface Status { reason: string; message: string }

const aggregated = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

describe('[sig-api-machinery]', () => {
  let cluster: HollowCluster;
  let api: Api;
  before(async () => {
    cluster = await startHollow('discovery');
    api = cluster.api;
  });
  after(() => cluster?.stop());

  describe('Discovery', () => {
    it('should validate PreferredVersion for each APIGroup [Conformance]', async () => {
      const { groups } = await api.must<{ groups: Group[] }>('GET', '/apis');
      assert.isAbove(groups.length, 15);
      for (const { name, preferredVersion, versions } of groups) {
        const group = await api.must<Group>('GET', `/apis/${name}`);
        assert.deepEqual(group.preferredVersion, preferredVersion, name);
        assert.isTrue(versions.some(({ groupVersion }) => groupVersion === preferredVersion.groupVersion), name);
        assert.equal(preferredVersion.groupVersion, `${name}/${preferredVersion.version}`);
      }
    });
    it('should locate the groupVersion and a resource within each APIGroup [Conformance]', async () => {
      const wanted: [string, string, string][] = [
        ['admissionregistration.k8s.io', 'v1', 'validatingwebhookconfigurations'], ['apiextensions.k8s.io', 'v1', 'customresourcedefinitions'], ['apiregistration.k8s.io', 'v1', 'apiservices'],
        ['apps', 'v1', 'deployments'], ['authentication.k8s.io', 'v1', 'tokenreviews'], ['authorization.k8s.io', 'v1', 'selfsubjectaccessreviews'], ['autoscaling', 'v1', 'horizontalpodautoscalers'],
        ['autoscaling', 'v2', 'horizontalpodautoscalers'], ['batch', 'v1', 'jobs'], ['certificates.k8s.io', 'v1', 'certificatesigningrequests'], ['coordination.k8s.io', 'v1', 'leases'],
        ['discovery.k8s.io', 'v1', 'endpointslices'], ['events.k8s.io', 'v1', 'events'], ['networking.k8s.io', 'v1', 'ingresses'], ['node.k8s.io', 'v1', 'runtimeclasses'],
        ['policy', 'v1', 'poddisruptionbudgets'], ['rbac.authorization.k8s.io', 'v1', 'roles'], ['scheduling.k8s.io', 'v1', 'priorityclasses'], ['storage.k8s.io', 'v1', 'csinodes'],
      ];
      for (const [group, version, resource] of wanted) {
        const { versions } = await api.must<Group>('GET', `/apis/${group}`);
        assert.isTrue(versions.some((one) => one.version === version), `${group}/${version}`);
        const { resources } = await api.must<{ resources: Resource[] }>('GET', `/apis/${group}/${version}`);
        assert.isTrue(resources.some(({ name }) => name === resource), `${group}/${version} ${resource}`);
      }
    });
  });

  describe('AggregatedDiscovery', () => {
    it('should support raw aggregated discovery endpoint Accept headers [Conformance]', async () => {
      for (const path of ['/api', '/apis']) {
        const { kind, apiVersion, items } = await api.must<Aggregated>('GET', path, undefined, { accept: aggregated });
        assert.deepEqual([kind, apiVersion], ['APIGroupDiscoveryList', 'apidiscovery.k8s.io/v2']);
        assert.isNotEmpty(items, path);
      }
    });
    it('should support aggregated discovery interface [Conformance]', async () => {
      const all = (await Promise.all(['/api', '/apis'].map((path) => api.must<Aggregated>('GET', path, undefined, { accept: `${aggregated},application/json` })))).flatMap(({ items }) => items);
      for (const [group, version, resource] of [['', 'v1', 'pods'], ['apps', 'v1', 'deployments'], ['apiextensions.k8s.io', 'v1', 'customresourcedefinitions']] as const) {
        const found = all.find(({ metadata }) => (metadata.name ?? '') === group)?.versions.find((one) => one.version === version);
        assert.equal(found?.freshness, 'Current', `${group}/${version}`);
        assert.isTrue(found?.resources.some((one) => one.resource === resource), `${group}/${version} ${resource}`);
      }
      // Both forms tell of the same resources.
      for (const { metadata: { name = '' }, versions } of all) {
        for (const { version, resources } of versions) {
          const legacy = await api.must<{ resources: Resource[] }>('GET', name === '' ? `/api/${version}` : `/apis/${name}/${version}`);
          assert.sameMembers(resources.map((one) => one.resource), legacy.resources.map((one) => one.name).filter((one) => !one.includes('/')), `${name}/${version}`);
        }
      }
    });
  });

  describe('FieldValidation', () => {
    const deployment = (metadata: string, spec: string): string => `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"fields","labels":{"app":"nginx"}${metadata}},`
      + `"spec":{"selector":{"matchLabels":{"app":"nginx"}}${spec},"template":{"metadata":{"labels":{"app":"nginx"}},"spec":{"containers":[{"name":"nginx","image":"nginx:latest"}]}}}}`;
    const path = '/apis/apps/v1/namespaces/default/deployments';
    const strict = async (body: string): Promise<string> => {
      const { status, body: answer } = await api.call<Status>('POST', `${path}?fieldValidation=Strict`, body, { 'content-type': 'application/json' });
      assert.deepEqual([status, answer.reason], [400, 'BadRequest'], answer.message);
      return answer.message;
    };
    it('should detect unknown and duplicate fields of a typed object [Conformance]', async () => {
      assert.equal(await strict(deployment('', ',"unknownField":"foo","replicas":1,"replicas":2')),
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"');
    });
    it('should detect unknown metadata fields of a typed object [Conformance]', async () => {
      assert.equal(await strict(deployment(',"unknownMeta":"foo"', '')),
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "metadata.unknownMeta"');
    });
    it('takes what is unknown away when it is not strict', async () => {
      for (const mode of ['Warn', 'Ignore']) {
        const { status, body } = await api.call<{ spec: Record<string, unknown> }>('POST', `${path}?dryRun=All&fieldValidation=${mode}`, deployment('', ',"unknownField":"foo","replicas":1,"replicas":2'), { 'content-type': 'application/json' });
        assert.equal(status, 201);
        assert.deepEqual([body.spec['unknownField'], body.spec['replicas']], [undefined, 2]);
      }
    });
  });
});
