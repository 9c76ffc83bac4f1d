// Controllers whose work shows in the API alone: disruption budgets and evictions, mirrored endpoints, certificates, tokens in
// Secrets, autoscaling's limits. Titles are those of upstream's conformance suite where it has one.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { startHollow } from './fixtures/hollow.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface Meta { name: string; uid: string; generation?: number; labels?: Record<string, string>; annotations?: Record<string, string> }
interface Condition { type: string; status: string; reason: string; message: string }
interface Budget { metadata: Meta; spec: Record<string, unknown>; status: { disruptionsAllowed: number; currentHealthy: number; desiredHealthy: number; expectedPods: number; observedGeneration: number; disruptedPods?: object; conditions: Condition[] } }
interface Failure { code: number; reason: string; message: string; details: { causes: { reason: string; message: string }[] } }

describe('controllers', () => {
  let cluster: HollowCluster;
  let api: Api;
  let spaces = 0;
  before(async () => {
    cluster = await startHollow('controllers');
    ({ api } = cluster);
  });
  after(() => cluster?.stop());

  const namespace = async (): Promise<string> => {
    const name = `controllers-${spaces += 1}`;
    await api.must('POST', '/api/v1/namespaces', { metadata: { name } });
    return name;
  };
  async function until<T>(path: string, what: string, check: (object: T) => boolean): Promise<T> {
    const limit = AbortSignal.timeout(30_000);
    let last: unknown;
    try {
      return await eventually(limit, async () => {
        const answer = await api.call<T>('GET', path);
        last = answer.body;
        return answer.status === 200 && check(answer.body) ? answer.body : undefined;
      });
    } catch (cause) {
      if (!limit.aborted) throw cause;
      throw new Error(`${what} did not come: ${JSON.stringify(last)}`, { cause });
    }
  }

  describe('disruption budgets', () => {
    const labels = { app: 'guarded' };
    const container = { name: 'c', image: 'busybox' };
    const budgetsOf = (space: string): string => `/apis/policy/v1/namespaces/${space}/poddisruptionbudgets`;
    const budget = (space: string, spec: object, name = 'foo', more: object = {}): Promise<Budget> =>
      api.must<Budget>('POST', budgetsOf(space), { metadata: { name, ...more }, spec: { selector: { matchLabels: labels }, ...spec } });
    const replicaSet = (space: string, replicas: number): Promise<unknown> =>
      api.must('POST', `/apis/apps/v1/namespaces/${space}/replicasets`, { metadata: { name: 'rs' }, spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } } });
    const evict = (space: string, name: string): Promise<{ status: number; body: Failure }> =>
      api.call<Failure>('POST', `/api/v1/namespaces/${space}/pods/${name}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } });
    const podsOf = async (space: string): Promise<string[]> =>
      (await api.must<{ items: { metadata: { name: string; deletionTimestamp?: string } }[] }>('GET', `/api/v1/namespaces/${space}/pods`)).items.filter(({ metadata }) => !metadata.deletionTimestamp).map(({ metadata }) => metadata.name);

    it('[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets [Conformance]', async () => {
      const [one, other] = [await namespace(), await namespace()];
      const marked = { labels: { foo: spaces.toString() } };
      await budget(one, { minAvailable: 2 }, 'foo', marked);
      await budget(one, { minAvailable: 2 }, 'foo2', marked);
      await budget(other, { minAvailable: 2 }, 'foo', marked);
      const query = `?labelSelector=foo%3D${spaces}`;
      const names = async (path: string): Promise<number> => (await api.must<{ items: unknown[] }>('GET', path + query)).items.length;
      assert.strictEqual(await names('/apis/policy/v1/poddisruptionbudgets'), 3);
      assert.strictEqual(await names(budgetsOf(one)), 2);
      await api.must('DELETE', budgetsOf(one) + query);
      assert.strictEqual(await names('/apis/policy/v1/poddisruptionbudgets'), 1);
    });
    it('[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]', async () => {
      const space = await namespace();
      await budget(space, { minAvailable: '1%' });
      const path = `${budgetsOf(space)}/foo`;
      const seen = await until<Budget>(path, 'observed', ({ metadata, status }) => status.observedGeneration === metadata.generation);
      await api.must('PUT', path, { ...seen, spec: { ...seen.spec, minAvailable: '2%' } });
      const patched = await api.merge<Budget>(path, { spec: { minAvailable: '3%' } });
      assert.strictEqual(patched.spec['minAvailable'], '3%');
      await until<Budget>(path, 'observed again', ({ metadata, status }) => status.observedGeneration === metadata.generation);
      await api.must('DELETE', path);
      assert.strictEqual((await api.call('GET', path)).status, 404);
    });
    it('[sig-apps] DisruptionController should observe PodDisruptionBudget status updated [Conformance]', async () => {
      const space = await namespace();
      await budget(space, { minAvailable: 1 });
      for (const name of ['a', 'b', 'c']) await api.must('POST', `/api/v1/namespaces/${space}/pods`, { metadata: { name, labels }, spec: { containers: [container] } });
      const { status } = await until<Budget>(`${budgetsOf(space)}/foo`, 'disruptions allowed', (each) => each.status.disruptionsAllowed === 2);
      assert.deepInclude(status, { currentHealthy: 3, desiredHealthy: 1, expectedPods: 3 });
      assert.deepInclude(status.conditions[0], { type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods' });
    });
    it('[sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]', async () => {
      const space = await namespace();
      await budget(space, { minAvailable: 1 });
      const path = `${budgetsOf(space)}/foo`;
      const seen = await until<Budget>(path, 'observed', ({ status }) => status.observedGeneration === 1);
      const updated = await api.must<Budget>('PUT', `${path}/status`, { ...seen, status: { ...seen.status, disruptedPods: { 'old-pod': '2026-01-01T00:00:00Z' } } });
      assert.deepEqual(Object.keys(updated.status.disruptedPods ?? {}), ['old-pod']);
      const patched = await api.merge<Budget>(`${path}/status`, { status: { disruptedPods: { 'old-pod': null } } });
      assert.isEmpty(patched.status.disruptedPods ?? {});
    });
    it('[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]', async () => {
      const space = await namespace();
      await budget(space, { minAvailable: 3 });
      await replicaSet(space, 3);
      const path = `${budgetsOf(space)}/foo`;
      await until<Budget>(path, 'three healthy pods', ({ status }) => status.currentHealthy === 3);
      const [first = '', second = ''] = await podsOf(space);
      const refused = await evict(space, first);
      assert.deepInclude(refused.body, { code: 429, reason: 'TooManyRequests', message: "Cannot evict pod as it would violate the pod's disruption budget." });
      assert.deepEqual(refused.body.details.causes, [{ reason: 'DisruptionBudget', message: 'The disruption budget foo needs 3 healthy pods and has 3 currently' }]);
      await api.merge(path, { spec: { minAvailable: 2 } });
      await until<Budget>(path, 'one disruption allowed', ({ status }) => status.disruptionsAllowed === 1);
      assert.strictEqual((await evict(space, first)).status, 201);
      assert.strictEqual((await evict(space, second)).status, 429, 'the budget is spent');
      await until<Budget>(path, 'another pod took its place', ({ status }) => status.disruptionsAllowed === 1 && status.disruptedPods === undefined);
      await api.must('DELETE', path);
      assert.strictEqual((await evict(space, second)).status, 201);
    });
    for (const [spec, desiredHealthy] of [[{ maxUnavailable: '30%' }, 2], [{ minAvailable: '70%' }, 3], [{ maxUnavailable: 1 }, 2]] as const) {
      it(`counts what the controllers of the pods want: ${JSON.stringify(spec)} of 3`, async () => {
        const space = await namespace();
        await budget(space, spec);
        await replicaSet(space, 3);
        await until<Budget>(`${budgetsOf(space)}/foo`, 'status', ({ status }) => status.expectedPods === 3 && status.desiredHealthy === desiredHealthy && status.currentHealthy === 3);
      });
    }
    it('allows nothing and says why when an owner cannot be asked', async () => {
      const space = await namespace();
      const ownerReferences = [{ apiVersion: 'nobody.test/v1', kind: 'Nobody', name: 'x', uid: 'y', controller: true }];
      await api.must('POST', `/api/v1/namespaces/${space}/pods`, { metadata: { name: 'a', labels, ownerReferences }, spec: { containers: [container] } });
      await budget(space, { maxUnavailable: 1 });
      const { status } = await until<Budget>(`${budgetsOf(space)}/foo`, 'condition', (each) => each.status.conditions?.[0]?.reason === 'SyncFailed');
      assert.strictEqual(status.conditions[0]?.message, 'no matches for kind "Nobody" in version "nobody.test/v1"');
      assert.strictEqual(status.disruptionsAllowed, 0);
    });
  });

  describe('mirrored endpoints', () => {
    interface Slice { metadata: Meta; endpoints: { addresses: string[]; conditions: object }[]; ports: { port: number }[] }
    it('[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete [Conformance]', async () => {
      const space = await namespace();
      const core = `/api/v1/namespaces/${space}`;
      const slices = `/apis/discovery.k8s.io/v1/namespaces/${space}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dcustom`;
      await api.must('POST', `${core}/services`, { metadata: { name: 'custom' }, spec: { ports: [{ name: 'p', port: 80 }] } });
      await api.must('POST', `${core}/endpoints`, { metadata: { name: 'custom', labels: { own: 'x' } }, subsets: [{ addresses: [{ ip: '10.1.2.3' }], ports: [{ name: 'p', port: 80 }] }] });
      const created = await until<{ items: Slice[] }>(slices, 'a slice', ({ items }) => items.length === 1);
      assert.deepInclude(created.items[0]?.metadata.labels, { own: 'x', 'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io' });
      assert.deepEqual(created.items[0]?.endpoints, [{ addresses: ['10.1.2.3'], conditions: { ready: true } }]);
      await api.merge(`${core}/endpoints/custom`, { subsets: [{ addresses: [{ ip: '10.2.3.4' }], ports: [{ name: 'p', port: 81 }] }] });
      await until<{ items: Slice[] }>(slices, 'the same slice, changed', ({ items: [slice, ...more] }) =>
        more.length === 0 && slice?.metadata.uid === created.items[0]?.metadata.uid && slice?.endpoints[0]?.addresses[0] === '10.2.3.4' && slice.ports[0]?.port === 81);
      await api.must('DELETE', `${core}/endpoints/custom`);
      await until<{ items: Slice[] }>(slices, 'no slice', ({ items }) => items.length === 0);
    });
  });

  describe('[sig-auth] Certificates API [Privileged:ClusterAdmin]', () => {
    interface Request { metadata: Meta; status: { certificate?: string; conditions?: Condition[] } }
    const requests = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
    function signingRequest(subject: string): string {
      const folder = mkdtempSync(join(tmpdir(), 'proa-csr-'));
      try {
        execFileSync('openssl', ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(folder, 'key'), '-out', join(folder, 'csr'), '-subj', subject], { stdio: 'ignore' });
        return readFileSync(join(folder, 'csr')).toString('base64');
      } finally {
        rmSync(folder, { recursive: true });
      }
    }
    const ask = (name: string, signer: string, subject: string, usages: string[], more: object = {}): Promise<Request> =>
      api.must<Request>('POST', requests, { metadata: { name }, spec: { signerName: `kubernetes.io/${signer}`, request: signingRequest(subject), usages, ...more } });
    const approve = async (name: string): Promise<void> => {
      const request = await api.must<Request>('GET', `${requests}/${name}`);
      await api.must('PUT', `${requests}/${name}/approval`, { ...request, status: { conditions: [{ type: 'Approved', status: 'True', reason: 'Test', message: 'by a test' }] } });
    };

    it('should support building a client with a CSR', async () => {
      await ask('client', 'kube-apiserver-client', '/O=sailors/CN=jane', ['client auth'], { expirationSeconds: 3600 });
      await approve('client');
      const { status } = await until<Request>(`${requests}/client`, 'a certificate', (each) => each.status.certificate !== undefined);
      const certificate = new X509Certificate(Buffer.from(status.certificate ?? '', 'base64'));
      const { data } = await api.must<{ data: Record<string, string> }>('GET', '/api/v1/namespaces/default/configmaps/kube-root-ca.crt');
      assert.isTrue(certificate.verify(new X509Certificate(data['ca.crt'] ?? '').publicKey), 'signed by the CA of the cluster');
      assert.strictEqual(certificate.subject, 'O=sailors\nCN=jane');
      assert.strictEqual(Math.round((Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / 60_000), 65);
    });
    it('a request that its signer may not sign fails with the reason', async () => {
      await ask('refused', 'kube-apiserver-client', '/CN=jane', ['client auth', 'server auth']);
      await approve('refused');
      const { status } = await until<Request>(`${requests}/refused`, 'a failure', (each) => each.status.conditions?.some(({ type }) => type === 'Failed') === true);
      assert.deepInclude(status.conditions?.find(({ type }) => type === 'Failed'), { reason: 'SignerValidationFailure', message: 'invalid usage for client certificate: server auth' });
    });
    it('a kubelet that may ask gets its certificate without anybody', async () => {
      await ask('kubelet', 'kube-apiserver-client-kubelet', '/O=system:nodes/CN=system:node:new', ['client auth', 'digital signature']);
      const { status } = await until<Request>(`${requests}/kubelet`, 'a certificate', (each) => each.status.certificate !== undefined);
      assert.deepInclude(status.conditions?.[0], { type: 'Approved', reason: 'AutoApproved', message: 'Auto approving kubelet client certificate after SubjectAccessReview.' });
    });
  });

  it('a Secret of type service-account-token holds a token as long as it is there', async () => {
    const space = await namespace();
    const core = `/api/v1/namespaces/${space}`;
    await api.must('POST', `${core}/serviceaccounts`, { metadata: { name: 'robot' } });
    await api.must('POST', `${core}/secrets`, { metadata: { name: 'robot', annotations: { 'kubernetes.io/service-account.name': 'robot' } }, type: 'kubernetes.io/service-account-token' });
    const secret = await until<{ data?: Record<string, string> }>(`${core}/secrets/robot`, 'a token', ({ data }) => data?.['token'] !== undefined);
    assert.hasAllKeys(secret.data, ['token', 'ca.crt', 'namespace']);
    const token = Buffer.from(secret.data?.['token'] ?? '', 'base64').toString();
    const review = async (): Promise<{ authenticated?: boolean; error?: string; user?: { username: string } }> =>
      (await api.must<{ status: { authenticated?: boolean; error?: string; user?: { username: string } } }>('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } })).status;
    assert.strictEqual((await review()).user?.username, `system:serviceaccount:${space}:robot`);
    await api.must('DELETE', `${core}/serviceaccounts/robot`);
    await eventually(AbortSignal.timeout(10_000), async () => (await api.call('GET', `${core}/secrets/robot`)).status === 404);
    assert.notStrictEqual((await review()).authenticated, true);
  });

  it('HorizontalPodAutoscalers keep replicas within their limits, and say what they miss', async () => {
    const space = await namespace();
    const labels = { app: 'scaled' };
    await api.must('POST', `/apis/apps/v1/namespaces/${space}/deployments`, { metadata: { name: 'd' }, spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'busybox' }] } } } });
    const autoscalers = `/apis/autoscaling/v2/namespaces/${space}/horizontalpodautoscalers`;
    await api.must('POST', autoscalers, { metadata: { name: 'd' }, spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, minReplicas: 3, maxReplicas: 4 } });
    await until<{ spec: { replicas: number } }>(`/apis/apps/v1/namespaces/${space}/deployments/d`, 'three replicas', ({ spec }) => spec.replicas === 3);
    await api.merge(`${autoscalers}/d`, { spec: { maxReplicas: 5 } });
    const { status } = await until<{ status: { conditions: Condition[] } }>(`${autoscalers}/d`, 'a condition', (each) => each.status.conditions?.some(({ type, status: is }) => type === 'ScalingActive' && is === 'False') === true);
    assert.strictEqual(status.conditions.find(({ type }) => type === 'ScalingActive')?.reason, 'FailedGetResourceMetric');
  });
});
