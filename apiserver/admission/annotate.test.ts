// What webhooks and policies leave in the audit log, and what they cannot.
import { expect } from 'chai';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseFlags } from '#machinery/base/flags.ts';
import { fakeContext } from '../auth/fake-backend.ts';
import type { AuditTrail } from '../audit/trail.ts';
import { optionFlags, readOptions } from '../options.ts';
import { startTestServer } from '../testing.ts';
import type { TestServer } from '../testing.ts';
import { annotate } from './annotate.ts';
import { patchOf, startTestWebhook } from './webhooks/testing.ts';
import type { TestWebhook } from './webhooks/testing.ts';

describe('annotate()', () => {
  const trail = {} as AuditTrail; // only looked at for being there
  it('keeps the first value of a key', () => {
    const context = { ...fakeContext(), audit: trail };
    annotate(context, 'a.example.com/k', '1');
    annotate(context, 'a.example.com/k', '2');
    expect([...context.annotations]).to.deep.equal([['a.example.com/k', '1']]);
  });
  it('refuses keys that are no qualified names', () => {
    const context = { ...fakeContext(), audit: trail };
    for (const key of ['plain', 'a/b/c', 'a.example.com/', 'a.example.com/sp ace', 'UPPER/x']) annotate(context, key, 'x');
    expect(context.annotations.size).to.equal(0);
  });
  it('gathers nothing for nobody', () => {
    const context = fakeContext();
    annotate(context, 'a.example.com/k', '1');
    expect(context.annotations.size).to.equal(0);
  });
});

describe('audit annotations of admission', function () {
  this.timeout(20_000);
  const group = '/apis/admissionregistration.k8s.io/v1';
  let folder: string;
  let server: TestServer;
  let webhook: TestWebhook;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'annotations-'));
    await writeFile(join(folder, 'policy.yaml'), JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules: [
      { level: 'Metadata', resources: [{ resources: ['secrets'] }] }, { level: 'Request', resources: [{ resources: ['configmaps'] }] }, { level: 'None' },
    ] }));
    const options = readOptions(parseFlags(optionFlags, [`--audit-policy-file=${join(folder, 'policy.yaml')}`, `--audit-log-path=${join(folder, 'audit.log')}`]));
    [server, webhook] = await Promise.all([startTestServer({ options }), startTestWebhook()]);
    const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps', 'secrets'] }];
    const hook = (path: string, change: Record<string, unknown> = {}) => ({ name: `${path.slice(1)}.example.com`, clientConfig: { url: webhook.url(path), caBundle: webhook.caBundle }, rules, sideEffects: 'None', admissionReviewVersions: ['v1'], ...change });
    const broken = { clientConfig: { url: 'https://127.0.0.1:1/' }, failurePolicy: 'Ignore' };
    webhook.answers = {
      '/patches': () => ({ ...patchOf({ op: 'add', path: '/metadata/labels', value: { a: 'b' } }), auditAnnotations: { note: 'patched', 'not/ok': 'x' } }),
      '/looks': () => ({ allowed: true, auditAnnotations: { note: 'seen' } }),
    };
    for (const [resource, object] of [
      ['mutatingwebhookconfigurations', { metadata: { name: 'm' }, webhooks: [hook('/patches'), hook('/gone', broken)] }],
      ['validatingwebhookconfigurations', { metadata: { name: 'v' }, webhooks: [hook('/looks'), hook('/gone', broken)] }],
      ['validatingadmissionpolicies', { metadata: { name: 'policy' }, spec: { matchConstraints: { resourceRules: rules }, validations: [{ expression: 'false', message: 'no' }], auditAnnotations: [{ key: 'name', valueExpression: 'object.metadata.name == "x" ? "x!" : ""' }, { key: 'never', valueExpression: 'null' }] } }],
      ['validatingadmissionpolicybindings', { metadata: { name: 'binding' }, spec: { policyName: 'policy', validationActions: ['Audit'] } }],
    ] as const) {
      const answer = await server.call('POST', `${group}/${resource}`, { body: object });
      expect(answer.status, answer.text).to.equal(201);
    }
  });
  after(async () => {
    await server.stop();
    await webhook.stop();
    await rm(folder, { recursive: true });
  });
  async function annotationsOf(resource: string): Promise<Record<string, string>> {
    expect((await server.call('POST', `/api/v1/namespaces/default/${resource}`, { body: { metadata: { name: 'x' } } })).status).to.equal(201);
    const lines = (await readFile(join(folder, 'audit.log'), 'utf8')).trim().split('\n');
    const event = JSON.parse(lines.at(-1) ?? '') as { requestURI: string; annotations: Record<string, string> };
    expect(event.requestURI).to.contain(resource);
    return Object.fromEntries(Object.entries(event.annotations).filter(([key]) => !key.startsWith('authorization.k8s.io/')));
  }
  const common = {
    'patches.example.com/note': 'patched', 'looks.example.com/note': 'seen', 'policy/name': 'x!',
    'mutation.webhook.admission.k8s.io/round_0_index_0': '{"configuration":"m","webhook":"patches.example.com","mutated":true}',
    'mutation.webhook.admission.k8s.io/round_0_index_1': '{"configuration":"m","webhook":"gone.example.com","mutated":false}',
    'failed-open.mutation.webhook.admission.k8s.io/round_0_index_1': 'gone.example.com',
    'failed-open.validating.webhook.admission.k8s.io/round_0_index_1': 'gone.example.com',
    'validation.policy.admission.k8s.io/validation_failure': '[{"message":"no","policy":"policy","binding":"binding","expressionIndex":0,"validationActions":["Audit"]}]',
  };
  it('say what was called, what changed and what failed', async () => expect(await annotationsOf('secrets')).to.deep.equal(common));
  it('hold patches only where the log has the object too', async () => expect(await annotationsOf('configmaps')).to.deep.equal({
    ...common,
    'patch.webhook.admission.k8s.io/round_0_index_0': '{"configuration":"m","webhook":"patches.example.com","patch":[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}],"patchType":"JSONPatch"}',
  }));
});
