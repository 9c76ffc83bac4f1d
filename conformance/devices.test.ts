// Claims for devices through a whole control plane on hollow nodes: made from a template, allocated and reserved by the scheduler, let
// go and removed when their pods are gone.
import { assert } from 'chai';
import { startHollow } from './fixtures/hollow.ts';
import { until } from './fixtures/cluster.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface Claim { metadata: { name: string; finalizers?: string[] }; status?: { allocation?: { devices: { results: { device: string }[] } }; reservedFor?: { name: string }[] } }
interface Pod { metadata: { name: string }; spec: { nodeName?: string }; status: { phase: string; conditions?: { type: string; message?: string }[] } }

const group = '/apis/resource.k8s.io/v1';
const claimsPath = `${group}/namespaces/default/resourceclaims`;
const podsPath = '/api/v1/namespaces/default/pods';

describe('claims for devices', () => {
  let cluster: HollowCluster;
  let api: Api;
  let node: string;
  before(async () => {
    cluster = await startHollow('devices', ['--nodes', '2']);
    ({ api } = cluster);
    const { items } = await api.must<{ items: { metadata: { name: string } }[] }>('GET', '/api/v1/nodes');
    node = items.at(-1)?.metadata.name ?? '';
    await api.must('POST', `${group}/deviceclasses`, { metadata: { name: 'gpu' }, spec: { selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }] } });
    await api.must('POST', `${group}/resourceslices`, { metadata: { name: 'slice' }, spec: { driver: 'gpu.example.com', nodeName: node, pool: { name: node, generation: 1, resourceSliceCount: 1 }, devices: [{ name: 'one', attributes: { memory: { int: 8 } } }, { name: 'two', attributes: { memory: { int: 16 } } }] } });
    const selectors = [{ cel: { expression: 'device.attributes["gpu.example.com"].memory >= 10' } }];
    await api.must('POST', `${group}/namespaces/default/resourceclaimtemplates`, { metadata: { name: 'large' }, spec: { spec: { devices: { requests: [{ name: 'gpu', exactly: { deviceClassName: 'gpu', selectors } }] } } } });
  });
  after(() => cluster?.stop());

  const create = (name: string): Promise<unknown> => api.must('POST', podsPath, {
    metadata: { name }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'busybox', resources: { claims: [{ name: 'gpu' }] } }], resourceClaims: [{ name: 'gpu', resourceClaimTemplateName: 'large' }] },
  });
  const pod = (name: string): Promise<Pod> => api.must<Pod>('GET', `${podsPath}/${name}`);
  const claims = async (): Promise<Claim[]> => (await api.must<{ items: Claim[] }>('GET', claimsPath)).items;

  it('a pod gets the device that its template asks for; the next one waits until that is free', async () => {
    await create('first');
    await until('a node', async () => assert.equal((await pod('first')).spec.nodeName, node));
    const [claim] = await claims();
    assert.match(claim?.metadata.name ?? '', /^first-gpu-/);
    assert.deepEqual(claim?.metadata.finalizers, ['resource.kubernetes.io/delete-protection']);
    assert.deepEqual(claim?.status?.allocation?.devices.results.map(({ device }) => device), ['two']);
    assert.deepEqual(claim?.status?.reservedFor?.map(({ name }) => name), ['first']);
    await create('second');
    await until('a reason', async () => assert.match((await pod('second')).status.conditions?.find(({ type }) => type === 'PodScheduled')?.message ?? '', /^0\/2 nodes are available: 2 cannot allocate all claims\. still not schedulable, preemption: /));
    await api.must('DELETE', `${podsPath}/first`);
    await until('the device', async () => assert.equal((await pod('second')).spec.nodeName, node));
    await until('one claim', async () => assert.deepEqual((await claims()).map(({ metadata }) => metadata.name.split('-')[0]), ['second']));
  });

  it('nothing of a claim is left when its pod is gone', async () => {
    await api.must('DELETE', `${podsPath}/second`);
    await until('no claims', async () => assert.deepEqual(await claims(), []));
  });
});
