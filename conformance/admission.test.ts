// Admission that a cluster's owner configures, seen from outside: webhooks and policies, under upstream's titles. The webhook is part
// of this process, as there is no image of it: it stands behind a Service whose EndpointSlice is made by hand and names an address
// of this machine (by URL where it has none but loopback, which no EndpointSlice may name). Not here: specs about custom resources;
// the policies' API operations are in api-operations.test.ts.
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { assert } from 'chai';
import { createCa, issueCertificate } from '#machinery/pki/pki.ts';
import { sleep } from './fixtures/cluster.ts';
import { startHollow } from './fixtures/hollow.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface Meta { name: string; labels?: Record<string, string>; annotations?: Record<string, string>; resourceVersion?: string }
interface ConfigMap { metadata: Meta; data?: Record<string, string> }
interface Status { code?: number; message?: string }
interface Request { uid: string; object?: { metadata?: Meta; data?: Record<string, string>; spec?: Record<string, unknown> } | null; name?: string }
type Reply = Record<string, unknown>;

const group = '/apis/admissionregistration.k8s.io/v1';
const namespace = 'admission';
const configMaps = `/api/v1/namespaces/${namespace}/configmaps`;
const pods = `/api/v1/namespaces/${namespace}/pods`;
const deployments = `/apis/apps/v1/namespaces/${namespace}/deployments`;
const serviceName = 'e2e-test-webhook';
const patch = (...operations: unknown[]): Reply => ({ allowed: true, patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64') });
const deny = (message: string): Reply => ({ allowed: false, status: { message } });

/** What upstream's own webhook answers at these paths. */
const replies: Record<string, (request: Request) => Reply | Promise<Reply>> = {
  '/pods': ({ object }) => (object?.metadata?.name === 'disallowed-pod' || object?.metadata?.labels?.['webhook-e2e-test'] === 'webhook-disallow' ? deny('the pod contains unwanted label; the pod response') : { allowed: true }),
  '/configmaps': ({ object }) => (object?.data?.['webhook-e2e-test'] === 'webhook-disallow' ? deny('the configmap contains unwanted key and value') : { allowed: true }),
  '/pods/attach': ({ name }) => (name === 'to-be-attached-pod' ? deny("attaching to pod 'to-be-attached-pod' is not allowed") : { allowed: true }),
  '/mutating-configmaps': ({ object }) => {
    if (object?.data?.['mutation-start'] === 'yes') return patch({ op: 'add', path: '/data/mutation-stage-1', value: 'yes' });
    return { allowed: true };
  },
  '/mutating-configmaps-2': ({ object }) => (object?.data?.['mutation-stage-1'] === 'yes' ? patch({ op: 'add', path: '/data/mutation-stage-2', value: 'yes' }) : { allowed: true }),
  '/mutating-pods': () => patch({ op: 'add', path: '/spec/initContainers', value: [{ image: 'webhook-added-image', name: 'webhook-added-init-container', resources: {} }] }),
  '/always-deny': () => deny('this webhook denies all requests'),
  '/add-label': () => patch({ op: 'add', path: '/metadata/labels', value: { 'added-label': 'yes' } }),
  '/always-allow-delay-5s': async () => {
    await sleep(5000);
    return { allowed: true };
  },
};

interface Webhook { port: number; caBundle: string; close(): Promise<void> }

async function startWebhook(address: string): Promise<Webhook> {
  const ca = await createCa('e2e-webhook-ca');
  const serving = await issueCertificate(ca, { commonName: serviceName, usages: ['server'], dnsNames: [`${serviceName}.${namespace}.svc`], ips: [address] });
  const server: Server = createServer({ cert: serving.cert, key: serving.key }, (incoming, response) => {
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const { request } = JSON.parse(Buffer.concat(parts).toString()) as { request: Request };
      const reply = replies[(incoming.url ?? '').split('?')[0] ?? ''];
      void Promise.resolve(reply?.(request) ?? deny('no such path')).then((answer) => response.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: { uid: request.uid, ...answer } })));
    });
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, address, resolve));
  return {
    port: (server.address() as AddressInfo).port, caBundle: Buffer.from(ca.cert).toString('base64'),
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    }),
  };
}

describe('admission', function () {
  this.timeout(120_000);
  let cluster: HollowCluster;
  let api: Api;
  let webhook: Webhook;
  const made: string[] = [];
  let count = 0;
  let clientConfig = (path: string): Record<string, unknown> => ({ service: { namespace, name: serviceName, path, port: 8443 } });
  before(async () => {
    cluster = await startHollow('admission');
    api = cluster.api;
    await api.must('POST', '/api/v1/namespaces', { metadata: { name: namespace, labels: { [namespace]: 'true' } } });
    const own = Object.values(networkInterfaces()).flat().find((one) => one?.family === 'IPv4' && !one.internal)?.address;
    webhook = await startWebhook(own ?? '127.0.0.1');
    if (own === undefined) {
      clientConfig = (path) => ({ url: `https://127.0.0.1:${webhook.port}${path}` });
      return;
    }
    await api.must('POST', `/api/v1/namespaces/${namespace}/services`, { metadata: { name: serviceName }, spec: { ports: [{ port: 8443, targetPort: webhook.port }] } });
    await api.must('POST', `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
      metadata: { name: serviceName, labels: { 'kubernetes.io/service-name': serviceName } }, addressType: 'IPv4', ports: [{ name: '', port: webhook.port }], endpoints: [{ addresses: [own] }],
    });
  });
  after(async () => {
    await cluster?.stop();
    await webhook?.close();
  });
  afterEach(async () => {
    for (const path of made.splice(0).reverse()) assert.include([200, 404], (await api.call('DELETE', path)).status);
  });

  const rule = { operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'], scope: '*' };
  function hook(path: string, change: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      name: `${path.slice(1).replaceAll('/', '-')}.k8s.io`, clientConfig: { ...clientConfig(path), caBundle: webhook.caBundle }, rules: [rule],
      sideEffects: 'None', admissionReviewVersions: ['v1', 'v1beta1'], namespaceSelector: { matchLabels: { [namespace]: 'true' } }, ...change,
    };
  }
  async function add<T = unknown>(path: string, object: { metadata: Partial<Meta> } & Record<string, unknown>): Promise<T> {
    const answer = await api.must<T & { metadata: Meta }>('POST', path, object);
    made.push(`${path}/${answer.metadata.name}`);
    return answer;
  }
  async function configure(type: 'mutating' | 'validating', ...webhooks: Record<string, unknown>[]): Promise<string> {
    const name = `e2e-test-webhook-${count += 1}`;
    await add(`${group}/${type}webhookconfigurations`, { metadata: { name, labels: { 'e2e-list-test-uuid': 'yes' } }, webhooks });
    return `${group}/${type}webhookconfigurations/${name}`;
  }
  const configMap = (data: Record<string, string> = {}, name = `cm-${count += 1}`) => ({ metadata: { name }, data });
  async function isDenied(method: string, path: string, body: unknown, text: string, headers?: Record<string, string>): Promise<void> {
    const answer = await api.call<Status>(method, path, body, headers);
    assert.isAbove(answer.status, 399, `${method} ${path} was allowed`);
    assert.include(answer.body.message ?? '', text);
  }
  const mergePatch = { 'content-type': 'application/merge-patch+json' };
  const pod = (name: string, labels: Record<string, string> = {}) => ({ metadata: { name, labels }, spec: { containers: [{ name: 'c', image: 'i' }] } });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in discovery documents [Conformance]', async () => {
    const { groups } = await api.must<{ groups: { name: string; versions: { groupVersion: string }[] }[] }>('GET', '/apis');
    assert.isTrue(groups.some(({ name, versions }) => name === 'admissionregistration.k8s.io' && versions.some(({ groupVersion }) => groupVersion === 'admissionregistration.k8s.io/v1')));
    const { resources } = await api.must<{ resources: { name: string }[] }>('GET', group);
    assert.includeMembers(resources.map(({ name }) => name), ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']);
  });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny pod and configmap creation [Conformance]', async () => {
    await configure('validating', hook('/pods', { rules: [{ ...rule, operations: ['CREATE'], resources: ['pods'] }] }), hook('/configmaps'),
      hook('/always-allow-delay-5s', { timeoutSeconds: 1, rules: [{ ...rule, resources: ['secrets'] }] }));
    await isDenied('POST', pods, pod('disallowed-pod', { 'webhook-e2e-test': 'webhook-disallow' }), 'admission webhook "pods.k8s.io" denied the request: the pod contains unwanted label');
    await isDenied('POST', `/api/v1/namespaces/${namespace}/secrets`, { metadata: { name: 'hanging' } }, 'deadline');
    await isDenied('POST', configMaps, configMap({ 'webhook-e2e-test': 'webhook-disallow' }), 'the configmap contains unwanted key and value');
    await add(configMaps, configMap({ admit: 'this' }, 'to-be-updated'));
    await isDenied('PATCH', `${configMaps}/to-be-updated`, { data: { 'webhook-e2e-test': 'webhook-disallow' } }, 'the configmap contains unwanted key and value', mergePatch);
    // Namespaces without the label are none of the webhook's business.
    await add('/api/v1/namespaces', { metadata: { name: 'exempted' } });
    await api.must('POST', '/api/v1/namespaces/exempted/configmaps', configMap({ 'webhook-e2e-test': 'webhook-disallow' }));
  });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to deny attaching pod [Conformance]', async () => {
    await configure('validating', hook('/pods/attach', { rules: [{ ...rule, operations: ['CONNECT'], resources: ['pods/attach'] }] }));
    await add(pods, pod('to-be-attached-pod'));
    await isDenied('POST', `${pods}/to-be-attached-pod/attach?stdin=true`, undefined, "attaching to pod 'to-be-attached-pod' is not allowed");
  });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should unconditionally reject operations on fail closed webhook [Conformance]', async () => {
    await configure('validating', hook('/configmaps', { name: 'fail-closed.k8s.io', clientConfig: clientConfig('/configmaps'), failurePolicy: 'Fail' }));
    await isDenied('POST', configMaps, configMap(), 'failed calling webhook "fail-closed.k8s.io"');
    assert.strictEqual((await api.call('POST', configMaps, configMap())).status, 500);
  });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate configmap [Conformance]', async () => {
    await configure('mutating', hook('/mutating-configmaps'), hook('/mutating-configmaps-2'));
    const { data } = await add<ConfigMap>(configMaps, configMap({ 'mutation-start': 'yes' }));
    assert.deepEqual(data, { 'mutation-start': 'yes', 'mutation-stage-1': 'yes', 'mutation-stage-2': 'yes' });
  });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate pod and apply defaults after mutation [Conformance]', async () => {
    await configure('mutating', hook('/mutating-pods', { rules: [{ ...rule, operations: ['CREATE'], resources: ['pods'] }] }));
    const { spec } = await add<{ spec: { initContainers: Record<string, unknown>[] } }>(pods, pod('webhook-to-be-mutated'));
    assert.deepInclude(spec.initContainers[0], { name: 'webhook-added-init-container', terminationMessagePolicy: 'File', imagePullPolicy: 'Always' });
  });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should not be able to mutate or prevent deletion of webhook configuration objects [Conformance]', async () => {
    const all = { namespaceSelector: {}, rules: [{ ...rule, operations: ['*'], apiGroups: ['admissionregistration.k8s.io'], apiVersions: ['*'], resources: ['*'] }] };
    await configure('validating', hook('/always-deny', all));
    await configure('mutating', hook('/add-label', all));
    for (const type of ['validating', 'mutating'] as const) {
      const path = await configure(type, hook('/configmaps', { rules: [{ ...rule, resources: ['invalid'] }] }));
      assert.notProperty((await api.must<ConfigMap>('GET', path)).metadata.labels, 'added-label');
      await api.must('DELETE', path);
    }
  });

  it("[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate everything except 'skip-me' configmaps [Conformance]", async () => {
    await configure('mutating', hook('/mutating-configmaps', { matchConditions: [{ name: 'skip-me', expression: "object.metadata.name != 'skip-me'" }] }));
    assert.property((await add<ConfigMap>(configMaps, configMap({ 'mutation-start': 'yes' }))).data, 'mutation-stage-1');
    assert.deepEqual((await add<ConfigMap>(configMaps, configMap({ 'mutation-start': 'yes' }, 'skip-me'))).data, { 'mutation-start': 'yes' });
  });

  it('[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should honor timeout [Conformance]', async () => {
    const slow = async (change: Record<string, unknown>): Promise<{ status: number; body: Status }> => {
      const path = await configure('validating', hook('/always-allow-delay-5s', change));
      const answer = await api.call<Status>('POST', configMaps, configMap());
      await api.must('DELETE', path);
      return answer;
    };
    const failed = await slow({ timeoutSeconds: 1, failurePolicy: 'Fail' });
    assert.match(failed.body.message ?? '', /\/always-allow-delay-5s\?timeout=1s": context deadline exceeded/);
    assert.strictEqual((await slow({ timeoutSeconds: 1, failurePolicy: 'Ignore' })).status, 201);
    assert.strictEqual((await slow({ timeoutSeconds: 10, failurePolicy: 'Fail' })).status, 201);
    assert.strictEqual((await slow({ failurePolicy: 'Fail' })).status, 201);
  });

  const marker = { validating: '/configmaps', mutating: '/mutating-configmaps' } as const;
  const data = { 'webhook-e2e-test': 'webhook-disallow', 'mutation-start': 'yes' };
  /** Whether a webhook of the type had its say. */
  async function isCalled(type: 'validating' | 'mutating'): Promise<boolean> {
    const { status, body } = await api.call<ConfigMap>('POST', configMaps, configMap(data));
    return type === 'validating' ? status === 400 : body.data?.['mutation-stage-1'] === 'yes';
  }
  for (const type of ['validating', 'mutating'] as const) {
    it(`[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] patching/updating a ${type} webhook should work [Conformance]`, async () => {
      const path = await configure(type, hook(marker[type]));
      assert.isTrue(await isCalled(type));
      const current = await api.must<{ webhooks: { rules: { operations: string[] }[] }[] }>('GET', path);
      current.webhooks[0]!.rules[0]!.operations = ['UPDATE'];
      await api.must('PUT', path, current);
      assert.isFalse(await isCalled(type));
      await api.must('PATCH', path, [{ op: 'replace', path: '/webhooks/0/rules/0/operations', value: ['CREATE'] }], { 'content-type': 'application/json-patch+json' });
      assert.isTrue(await isCalled(type));
    });
    it(`[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] listing ${type} webhooks should work [Conformance]`, async () => {
      for (let index = 0; index < 3; index += 1) await configure(type, hook(marker[type]));
      const list = `${group}/${type}webhookconfigurations?labelSelector=e2e-list-test-uuid%3Dyes`;
      assert.lengthOf((await api.must<{ items: unknown[] }>('GET', list)).items, 3);
      assert.isTrue(await isCalled(type));
      await api.must('DELETE', list);
      assert.isFalse(await isCalled(type));
    });
    it(`[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update ${type} webhook configurations with match conditions [Conformance]`, async () => {
      const conditions = [{ name: 'expression-1', expression: "object.metadata.namespace == 'production'" }];
      const path = await configure(type, hook(marker[type], { matchConditions: conditions }));
      assert.deepEqual((await api.must<{ webhooks: { matchConditions: unknown }[] }>('GET', path)).webhooks[0]?.matchConditions, conditions);
      assert.isFalse(await isCalled(type));
      await api.must('PATCH', path, [{ op: 'replace', path: '/webhooks/0/matchConditions', value: [{ name: 'expression-2', expression: `object.metadata.namespace == '${namespace}'` }] }], { 'content-type': 'application/json-patch+json' });
      assert.isTrue(await isCalled(type));
    });
    it(`[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject ${type} webhook configurations with invalid match conditions [Conformance]`, async () => {
      const webhooks = [hook(marker[type], { matchConditions: [{ name: 'invalid-expression-1', expression: '... [] bad expression' }] })];
      const { status, body } = await api.call<Status>('POST', `${group}/${type}webhookconfigurations`, { metadata: { name: 'refused' }, webhooks });
      assert.strictEqual(status, 422);
      assert.include(body.message ?? '', 'compilation failed');
    });
  }

  const matchConstraints = { namespaceSelector: { matchLabels: { [namespace]: 'true' } }, resourceRules: [{ operations: ['CREATE'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments'] }] };
  async function policy(type: 'validating' | 'mutating', spec: Record<string, unknown>): Promise<void> {
    const name = `policy-${count += 1}.example.com`;
    const [own, bound] = type === 'mutating' ? [{ reinvocationPolicy: 'Never' }, {}] : [{}, { validationActions: ['Deny'] }];
    await add(`${group}/${type}admissionpolicies`, { metadata: { name }, spec: { matchConstraints, ...own, ...spec } });
    await add(`${group}/${type}admissionpolicybindings`, { metadata: { name }, spec: { policyName: name, matchResources: { namespaceSelector: matchConstraints.namespaceSelector }, ...bound } });
  }
  const workload = (replicas: number) => ({
    metadata: { name: `marker-${count += 1}`, labels: { test: 'validating-admission-policy' } },
    spec: { replicas, selector: { matchLabels: { test: 'x' } }, template: { metadata: { labels: { test: 'x' } }, spec: { containers: [{ name: 'agnhost', image: 'agnhost' }] } } },
  });

  it('[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should validate against a Deployment [Conformance]', async () => {
    await policy('validating', { validations: [
      { expression: 'object.spec.replicas > 1', messageExpression: "'wants replicas > 1, got ' + object.spec.replicas" },
      { expression: `namespaceObject.metadata.name == '${namespace}'`, message: 'Internal error! Other namespace should not be allowed.' },
    ] });
    // The message cannot be made of a text and a number, so the expression stands for it; upstream's spec has it so too.
    await isDenied('POST', deployments, workload(1), 'failed expression: object.spec.replicas > 1');
    await add(deployments, workload(2));
    await add(`/apis/apps/v1/namespaces/${namespace}/replicasets`, workload(1));
  });

  it('[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should allow expressions to refer variables. [Conformance]', async () => {
    await policy('validating', {
      variables: [{ name: 'replicas', expression: 'object.spec.replicas' }, { name: 'oddReplicas', expression: 'variables.replicas % 2 == 1' }],
      validations: [{ expression: 'variables.replicas > 1' }, { expression: 'variables.oddReplicas' }],
    });
    await isDenied('POST', deployments, workload(1), 'failed expression: variables.replicas > 1');
    await isDenied('POST', deployments, workload(2), 'failed expression: variables.oddReplicas');
    await add(deployments, workload(3));
    await add(`/apis/apps/v1/namespaces/${namespace}/replicasets`, workload(1));
  });

  it('ValidatingAdmissionPolicy: expressions are held to the types they are about', async () => {
    const warningsOf = async (expression: string): Promise<{ fieldRef: string; warning: string }[]> => {
      const name = `typed-${count += 1}.example.com`;
      await add(`${group}/validatingadmissionpolicies`, { metadata: { name }, spec: { matchConstraints, validations: [{ expression, messageExpression: "'got ' + string(object.spec.replicas)" }] } });
      for (;;) {
        const { status } = await api.must<{ status?: { observedGeneration?: number; typeChecking?: { expressionWarnings?: { fieldRef: string; warning: string }[] } } }>('GET', `${group}/validatingadmissionpolicies/${name}`);
        if (status?.observedGeneration === 1) return status.typeChecking?.expressionWarnings ?? [];
        await sleep(50);
      }
    };
    assert.deepEqual(await warningsOf('object.spec.replicas > 1'), []);
    const [warning, ...others] = await warningsOf("object.spec.replicas > '1'");
    assert.deepEqual([warning?.fieldRef, others], ['spec.validations[0].expression', []]);
    assert.include(warning?.warning ?? '', "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'");
    assert.include((await warningsOf('object.spec.nothing == 1'))[0]?.warning ?? '', "undefined field 'nothing'");
  });

  it('[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment with annotations [Conformance]', async () => {
    await policy('mutating', { mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{metadata: Object.metadata{annotations: {"mutated-by": "admission-policy"}}}' } }] });
    assert.strictEqual((await add<ConfigMap>(deployments, workload(1))).metadata.annotations?.['mutated-by'], 'admission-policy');
  });

  it('[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment [Conformance]', async () => {
    await policy('mutating', { mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{spec: Object.spec{replicas: 5}}' } }] });
    assert.strictEqual((await add<{ spec: { replicas: number } }>(deployments, workload(1))).spec.replicas, 5);
  });
});
