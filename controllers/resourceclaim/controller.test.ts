// Claims for devices over their lives: made, reserved, let go, removed.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { Pod, ResourceClaim } from '#machinery/api/object.ts';
import { FakeApi } from '../testing/fake-api.ts';
import { baseName, createResourceClaimController } from './controller.ts';

const finalizer = 'resource.kubernetes.io/delete-protection';
const template = { metadata: { name: 't', namespace: 'n' }, spec: { metadata: { labels: { a: 'b' }, annotations: { c: 'd' } }, spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu' } }] } } } };
const pod = (more: Partial<Pod> = {}): Pod => ({ metadata: { name: 'p', namespace: 'n', uid: 'u-p' }, spec: { containers: [], resourceClaims: [{ name: 'x', resourceClaimTemplateName: 't' }] }, status: { phase: 'Pending' }, ...more });
const user = (name = 'p'): { resource: string; name: string; uid: string } => ({ resource: 'pods', name, uid: `u-${name}` });
const allocated = (users: ReturnType<typeof user>[], more: object = {}): ResourceClaim => ({
  metadata: { name: 'c', namespace: 'n', uid: 'u-c', finalizers: [finalizer, 'other'], ...more }, spec: {}, status: { allocation: { devices: { results: [{ request: 'r', driver: 'd', pool: 'p', device: 'gpu' }] } }, reservedFor: users },
});

describe('baseName()', () => {
  it('is pod and claim, and shares the room when both are long', () => {
    expect(baseName('pod', 'claim')).to.equal('pod-claim-');
    expect(baseName('p'.repeat(63), 'c'.repeat(63))).to.equal(`${'p'.repeat(28)}-${'c'.repeat(28)}`);
  });
});

describe('resourceclaim-controller', () => {
  let api: FakeApi;
  let running: { stop: () => Promise<void> };
  const start = async (): Promise<void> => {
    running = await api.start(createResourceClaimController);
  };
  const until = (check: () => unknown): Promise<unknown> => eventually(AbortSignal.timeout(3000), check, 5);
  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));
  const claims = (): ResourceClaim[] => api.list<ResourceClaim>('resourceclaims');
  const theClaim = (): ResourceClaim | undefined => api.get<ResourceClaim>('resourceclaims', 'n', 'c');
  beforeEach(() => {
    api = new FakeApi();
  });
  afterEach(() => running.stop());

  it('makes one claim from a template, once it is there, and tells the pod its name', async () => {
    api.put('pods', pod());
    await start();
    await until(() => api.events.length > 0);
    expect(api.events[0]).to.equal('p Warning FailedResourceClaimCreation: PodResourceClaim x: resource claim template "t": resourceclaimtemplate.resource.k8s.io "t" not found');
    api.put('resourceclaimtemplates', template);
    await until(() => api.get<Pod>('pods', 'n', 'p')?.status?.resourceClaimStatuses);
    const [made] = claims();
    expect(api.get<Pod>('pods', 'n', 'p')?.status?.resourceClaimStatuses).to.deep.equal([{ name: 'x', resourceClaimName: made?.metadata.name }]);
    expect(made?.metadata).to.deep.include({ generateName: 'p-x-', labels: { a: 'b' }, annotations: { 'c': 'd', 'resource.kubernetes.io/pod-claim-name': 'x' }, ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u-p', controller: true }] });
    expect(made?.spec).to.deep.equal(template.spec.spec);
    api.put('pods', { ...api.get<Pod>('pods', 'n', 'p'), metadata: { name: 'p', namespace: 'n', uid: 'u-p', labels: { changed: 'yes' } } });
    await settled();
    expect(claims()).to.have.length(1);
  });

  it('takes the claim that it made before it could say so', async () => {
    api.put('resourceclaimtemplates', template);
    api.put('resourceclaims', { metadata: { name: 'made', namespace: 'n', annotations: { 'resource.kubernetes.io/pod-claim-name': 'x' }, ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u-p', controller: true }] }, spec: {} });
    api.put('pods', pod());
    await start();
    await until(() => api.get<Pod>('pods', 'n', 'p')?.status?.resourceClaimStatuses);
    expect(api.writes).to.deep.equal(['patch pods p']);
  });

  it('makes a claim again that went too early', async () => {
    api.put('resourceclaimtemplates', template);
    api.put('pods', pod());
    await start();
    await until(() => api.get<Pod>('pods', 'n', 'p')?.status?.resourceClaimStatuses && claims().length === 1);
    await settled();
    const first = claims()[0]?.metadata.name ?? '';
    api.drop('resourceclaims', 'n', first);
    await until(() => claims().length === 1 && claims()[0]?.metadata.name !== first);
  });

  it('leaves pods alone that are done or on their way', async () => {
    api.put('resourceclaimtemplates', template);
    api.put('pods', pod({ status: { phase: 'Succeeded' } }));
    api.put('pods', pod({ metadata: { name: 'q', namespace: 'n', uid: 'u-q', deletionTimestamp: '2026-01-01T00:00:00Z' } }));
    await start();
    await settled();
    expect(api.writes).to.deep.equal([]);
  });

  it('lets devices go when the last pod that uses them is done, and not before', async () => {
    const using = (name: string, phase: string): Pod => pod({ metadata: { name, namespace: 'n', uid: `u-${name}` }, spec: { nodeName: 'a', containers: [], resourceClaims: [{ name: 'x', resourceClaimName: 'c' }] }, status: { phase } });
    api.put('pods', using('p', 'Running'));
    api.put('pods', using('q', 'Running'));
    api.put('resourceclaims', allocated([user('p'), user('q')]));
    await start();
    api.put('pods', using('p', 'Succeeded'));
    await until(() => theClaim()?.status?.reservedFor?.length === 1);
    expect(theClaim()?.status?.allocation).to.not.equal(undefined);
    api.drop('pods', 'n', 'q');
    await until(() => !theClaim()?.metadata.finalizers?.includes(finalizer));
    expect(theClaim()?.status).to.deep.equal({ reservedFor: [] });
    expect(theClaim()?.metadata.finalizers).to.deep.equal(['other']);
  });

  it('keeps a reservation of a pod of the same name only for the very pod, and of others than pods always', async () => {
    api.put('pods', pod({ metadata: { name: 'p', namespace: 'n', uid: 'u-new' } }));
    const other = { apiGroup: 'example.com', resource: 'jobs', name: 'j', uid: 'u-j' };
    api.put('resourceclaims', allocated([user('p'), other]));
    await start();
    await until(() => theClaim()?.status?.reservedFor?.length === 1);
    expect(theClaim()?.status?.reservedFor).to.deep.equal([other]);
    expect(theClaim()?.status?.allocation).to.not.equal(undefined);
  });

  it('frees a claim that is deleted and that nobody uses', async () => {
    api.put('resourceclaims', allocated([], { deletionTimestamp: '2026-01-01T00:00:00Z' }));
    await start();
    await until(() => theClaim()?.metadata.finalizers?.length === 1);
    expect(theClaim()?.status).to.deep.equal({ reservedFor: [] });
  });

  it('removes a claim that was made for a pod that is done', async () => {
    api.put('pods', pod({ status: { phase: 'Failed', resourceClaimStatuses: [{ name: 'x', resourceClaimName: 'c' }] } }));
    api.put('resourceclaims', allocated([user('p')], { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u-p', controller: true }] }));
    await start();
    await until(() => theClaim() === undefined);
  });

  it('reserves for a pod that somebody put on a node', async () => {
    api.put('resourceclaims', allocated([]));
    api.put('pods', pod({ spec: { nodeName: 'a', containers: [], resourceClaims: [{ name: 'x', resourceClaimName: 'c' }] } }));
    await start();
    await until(() => theClaim()?.status?.reservedFor?.length === 1);
    expect(theClaim()?.status?.reservedFor).to.deep.equal([user('p')]);
  });
});
