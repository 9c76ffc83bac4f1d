import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseFlags, UsageError } from '#machinery/base/flags.ts';
import type { Decision } from '../filters/seams.ts';
import { startTestServer } from '../testing.ts';
import { parseAuthorizationConfiguration } from './authorization-config.ts';
import { allowsAll, authorizationFlags, readAuthorizationOptions } from './authorization-options.ts';
import type { AuthorizationOptions } from './authorization-options.ts';
import { createChain } from './authorizers.ts';
import { createWebhookAuthorizer } from './authorizer-webhook.ts';
import type { WebhookAuthorizerOptions } from './authorizer-webhook.ts';
import { fakeInfo } from './fake-backend.ts';

const options = (...flags: string[]): AuthorizationOptions | undefined => readAuthorizationOptions(parseFlags(authorizationFlags, flags));
interface Review { kind: string; apiVersion: string; spec: Record<string, unknown> }

describe('readAuthorizationOptions()', () => {
  it('is nothing without flags, and knows how long answers are believed', () => {
    expect(options()).to.equal(undefined);
    expect(options('--authorization-mode=Node,Webhook', '--authorization-webhook-config-file=/k')).to.deep.equal({ modes: ['Node', 'Webhook'], webhook: { kubeconfig: '/k', authorizedTtlMs: 300_000, unauthorizedTtlMs: 30_000, version: 'v1beta1' } });
    expect([allowsAll(undefined), allowsAll(options('--authorization-mode=AlwaysAllow')), allowsAll(options('--authorization-mode=RBAC'))]).to.deep.equal([false, true, false]);
  });
  for (const flags of [
    ['--authorization-mode=ABAC'], ['--authorization-mode=rbac'], ['--authorization-mode=RBAC,RBAC'], ['--authorization-mode=Webhook'], ['--authorization-webhook-config-file=/k'],
    ['--authorization-mode=RBAC', '--authorization-webhook-config-file=/k'], ['--authorization-config=/c', '--authorization-mode=RBAC'], ['--authorization-config=/c', '--authorization-webhook-version=v1'],
    ['--authorization-mode=Webhook', '--authorization-webhook-config-file=/k', '--authorization-webhook-cache-authorized-ttl=long'],
  ]) it(`refuses ${flags.join(' ')}`, () => expect(() => options(...flags)).to.throw(UsageError));
});

describe('a webhook that authorizes', () => {
  let folder: string;
  let kubeconfig: string;
  let server: Server;
  let asked: Review[];
  let reply: (review: Review) => { code?: number; text?: string; status?: unknown };
  const stop = new AbortController();
  const clock = { at: 0 };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'authorizers-'));
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
        asked.push(review);
        const { code = 200, text, status } = reply(review);
        response.writeHead(code).end(text ?? JSON.stringify({ kind: review.kind, apiVersion: review.apiVersion, status }));
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, JSON.stringify({ clusters: [{ name: 'a', cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ask` } }] }));
  });
  beforeEach(() => {
    asked = [];
  });
  after(async () => {
    stop.abort(new Error('the test is over'));
    server.close().closeAllConnections();
    await rm(folder, { recursive: true });
  });
  const document = (webhook: Record<string, unknown> = {}, more: Record<string, unknown> = {}, first: readonly unknown[] = []): string => JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthorizationConfiguration',
    authorizers: [...first, { type: 'Webhook', name: 'w', webhook: { timeout: '3s', subjectAccessReviewVersion: 'v1', failurePolicy: 'NoOpinion', connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: kubeconfig }, ...webhook }, ...more }],
  });
  const ann = { name: 'ann', groups: ['devs'] };
  const pods = fakeInfo({ isResourceRequest: true, verb: 'get', resource: 'pods', namespace: 'a', version: 'v1', path: '/api/v1/namespaces/a/pods' });
  const made = async (webhook: Record<string, unknown> = {}, change: Partial<WebhookAuthorizerOptions> = {}) => {
    const [config] = await parseAuthorizationConfiguration(document(webhook));
    if (!config?.webhook) throw new Error('the test is wrong');
    const authorizer = await createWebhookAuthorizer({ ...config.webhook, ...change }, stop.signal, { now: () => clock.at, firstWaitMs: 1 });
    return (info = pods, user = ann): Promise<Decision> => Promise.resolve(authorizer.authorize(user, info));
  };

  it('is told who asks for what, and believed as long as it was said', async () => {
    reply = () => ({ status: { allowed: true, reason: 'a friend' } });
    const ask = await made();
    expect(await ask()).to.deep.equal({ allowed: true, reason: 'a friend' });
    expect(asked).to.deep.equal([{ kind: 'SubjectAccessReview', apiVersion: 'authorization.k8s.io/v1', metadata: {}, spec: { resourceAttributes: { namespace: 'a', verb: 'get', version: 'v1', resource: 'pods' }, user: 'ann', groups: ['devs'] } }]);
    clock.at += 299_999;
    await ask();
    expect(asked).to.have.length(1);
    clock.at += 1;
    await ask();
    await ask(fakeInfo({ isResourceRequest: false, verb: 'get', path: '/x' }));
    expect(asked).to.have.length(3);
    expect(asked[2]?.spec).to.deep.equal({ nonResourceAttributes: { path: '/x', verb: 'get' }, user: 'ann', groups: ['devs'] });
  });
  it('is believed less long when it says no, and not at all when that is off or the question is too long', async () => {
    reply = () => ({ status: { allowed: false } });
    const ask = await made();
    expect(await ask()).to.deep.equal({ allowed: false, reason: '' });
    clock.at += 30_000;
    await ask();
    expect(asked).to.have.length(2);
    const fresh = await made({ cacheUnauthorizedRequests: false });
    for (let i = 0; i < 2; i++) await fresh();
    const long = { ...pods, name: 'x'.repeat(10_000) };
    for (let i = 0; i < 2; i++) await ask(long);
    expect(asked).to.have.length(6);
  });
  it('says groups as its version does', async () => {
    reply = () => ({ status: { allowed: true } });
    await (await made({ subjectAccessReviewVersion: 'v1beta1' }))();
    expect(asked[0]).to.deep.include({ apiVersion: 'authorization.k8s.io/v1beta1' });
    expect(asked[0]?.spec['group']).to.deep.equal(['devs']);
  });
  it('is only asked when all conditions hold', async () => {
    reply = () => ({ status: { allowed: true } });
    const ask = await made({ matchConditionSubjectAccessReviewVersion: 'v1', matchConditions: [{ expression: "has(request.resourceAttributes) && request.resourceAttributes.namespace == 'a'" }, { expression: "!('system:nodes' in request.groups)" }] });
    expect((await ask()).allowed).to.equal(true);
    expect((await ask({ ...pods, namespace: 'b' })).allowed).to.equal(false);
    expect((await ask(fakeInfo({ isResourceRequest: false, verb: 'get', path: '/x' }))).allowed).to.equal(false);
    expect((await ask(pods, { name: 'n', groups: ['system:nodes'] })).allowed).to.equal(false);
    expect(asked).to.have.length(1);
  });
  it('a condition that fails counts as the failure policy says, unless another does not hold', async () => {
    reply = () => ({ status: { allowed: true } });
    const failing = { matchConditionSubjectAccessReviewVersion: 'v1', matchConditions: [{ expression: "request.extra['none'][0] == 'x'" }] };
    expect((await (await made(failing))()).denied).to.equal(undefined);
    expect(await (await made({ ...failing, failurePolicy: 'Deny' }))()).to.deep.include({ allowed: false, denied: true });
    expect(await (await made({ ...failing, failurePolicy: 'Deny', matchConditions: [...failing.matchConditions, { expression: "request.user == 'bob'" }] }))()).to.deep.equal({ allowed: false, reason: '' });
    expect(asked).to.have.length(0);
  });
  for (const [title, answer] of [['a 403', { code: 403 }], ['a 500, five times', { code: 500 }], ['no JSON', { text: 'yes' }], ['another kind', { text: '{"kind":"TokenReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}' }], ['a status that is a list', { status: [] }]] as const) {
    it(`decides nothing with ${title}, or refuses where that is the policy`, async () => {
      reply = () => answer;
      expect(await (await made())()).to.deep.equal({ allowed: false, reason: 'webhook authorizer "w" could not decide' });
      expect((await (await made({ failurePolicy: 'Deny' }))()).denied).to.equal(true);
      expect(asked).to.have.length('code' in answer && answer.code === 500 ? 10 : 2);
    });
  }
  it('allows nothing with an answer that is a word, or that says both', async () => {
    reply = () => ({ status: { allowed: 'true' } });
    expect((await (await made())()).allowed).to.equal(false);
    reply = () => ({ status: { allowed: true, denied: true, reason: 'both' } });
    expect(await (await made())()).to.deep.equal({ allowed: false, denied: true, reason: 'both' });
  });
  it('comes in its turn, and its refusal is final', async () => {
    const own = { Node: { authorize: (): Decision => ({ allowed: false, reason: 'no node' }) }, RBAC: { authorize: (): Decision => ({ allowed: true, reason: 'a role' }) } };
    const file = join(folder, 'config.json');
    await writeFile(file, document({}, {}, [{ type: 'Node', name: 'node' }]).replace(/]}$/, ',{"type":"RBAC","name":"rbac"}]}'));
    const chain = await createChain({ configFile: file }, own, stop.signal);
    reply = () => ({ status: { denied: true, reason: 'never' } });
    expect(await chain.authorize(ann, pods)).to.deep.equal({ allowed: false, denied: true, reason: 'never' });
    reply = () => ({ status: {} });
    expect(await chain.authorize(ann, { ...pods, name: 'x' })).to.deep.equal({ allowed: true, reason: 'a role' });
    expect(await chain.authorize({ name: 'root', groups: ['system:masters'] }, pods)).to.deep.equal({ allowed: true, reason: '' });
    expect(asked).to.have.length(2);
  });
  for (const [title, text, wanted] of [
    ['nothing', () => '{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AuthorizationConfiguration"}', 'authorizers: Required value: at least one authorization mode must be defined'],
    ['another kind', () => '{"apiVersion":"v1","kind":"Pod"}', 'no kind "Pod" is registered'],
    ['an unknown type', () => document({}, {}, [{ type: 'Magic', name: 'm' }]), 'authorizers[0].type: Unsupported value: "Magic": supported values: "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"'],
    ['RBAC twice', () => document({}, {}, [{ type: 'RBAC', name: 'a' }, { type: 'RBAC', name: 'b' }]), 'authorizers[1].type: Duplicate value: "RBAC"'],
    ['a name twice', () => document({}, {}, [{ type: 'RBAC', name: 'w' }]), 'authorizers[1].name: Duplicate value: "w"'],
    ['a name that is none', () => document({}, { name: 'W!' }), 'authorizers[0].name: Invalid value: "W!": authorizer name is invalid: '],
    ['a webhook of RBAC', () => document({}, { type: 'RBAC' }), 'authorizers[0].webhook: Invalid value: "non-null": may only be specified when type=Webhook'],
    ['no webhook', () => document({}, { webhook: null }), 'authorizers[0].webhook: Required value: required when type=Webhook'],
    ['no timeout', () => document({ timeout: '' }), 'authorizers[0].timeout: Required value'],
    ['a long timeout', () => document({ timeout: '31s' }), 'authorizers[0].timeout: Invalid value: "31s": must be > 0s and <= 30s'],
    ['no policy', () => document({ failurePolicy: '' }), 'authorizers[0].failurePolicy: Required value'],
    ['another policy', () => document({ failurePolicy: 'Allow' }), 'authorizers[0].failurePolicy: Unsupported value: "Allow": supported values: "NoOpinion", "Deny"'],
    ['a relative path', () => document({ connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: 'k' } }), 'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "k": must be an absolute path'],
    ['a file that is not there', () => document({ connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: '/none/such' } }), 'error loading file'],
    ['conditions without version', () => document({ matchConditions: [{ expression: 'true' }] }), 'authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified'],
    ['a condition that is none', () => document({ matchConditionSubjectAccessReviewVersion: 'v1', matchConditions: [{ expression: 'request.user' }] }), 'must evaluate to bool but got string'],
    ['a condition of what there is not', () => document({ matchConditionSubjectAccessReviewVersion: 'v1', matchConditions: [{ expression: 'request.nope' }] }), "undefined field 'nope'"],
    ['an unknown field', () => document({ retries: 3 }), 'strict decoding error: unknown field "authorizers[0].webhook.retries"'],
  ] as const) {
    it(`refuses a file with ${title}`, async () => expect(await parseAuthorizationConfiguration(text()).then(() => 'taken', String)).to.include(wanted));
  }
  it('decides for a server that names it', async () => {
    reply = ({ spec }) => ({ status: { allowed: spec['user'] === 'guest' && (spec['resourceAttributes'] as { resource?: string } | undefined)?.resource === 'configmaps', reason: 'ask the webhook' } });
    const api = await startTestServer({ options: { authorization: options('--authorization-mode=RBAC,Webhook', `--authorization-webhook-config-file=${kubeconfig}`, '--authorization-webhook-version=v1') } });
    try {
      expect((await api.call('GET', '/api/v1/configmaps', { as: 'guest' })).status).to.equal(200);
      const refused = await api.call('GET', '/api/v1/pods', { as: 'guest' });
      expect([refused.status, refused.body['message']]).to.deep.equal([403, 'pods is forbidden: User "guest" cannot list resource "pods" in API group "" at the cluster scope: ask the webhook']);
    } finally {
      await api.stop();
    }
    const error: unknown = await startTestServer({ options: { authorization: { configFile: '/none/such' } } }).then((started) => started.stop(), (refusal: unknown) => refusal);
    expect(String(error)).to.match(/^StartError: --authorization-config \/none\/such cannot be used: /);
  });
  it('another takes over when the file changes to one that can be used', async () => {
    const file = join(folder, 'changing.json');
    const only = (type: string): string => JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthorizationConfiguration', authorizers: [{ type, name: 'one' }] });
    await writeFile(file, only('AlwaysDeny'));
    const own = { Node: { authorize: (): Decision => ({ allowed: false, reason: '' }) }, RBAC: { authorize: (): Decision => ({ allowed: false, reason: '' }) } };
    const stopping = new AbortController();
    const seen: boolean[] = [];
    const after: string[] = ['no file', only('AlwaysAllow'), only('Magic'), only('RBAC')];
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const chain = await createChain({ configFile: file }, own, stopping.signal, { async sleep() {
      await delay(1); // the chain is made by then
      seen.push((await chain.authorize(ann, pods)).allowed);
      const next = after.shift();
      if (next !== undefined) {
        await writeFile(file, next);
        return;
      }
      end();
      stopping.abort(new Error('enough'));
      stopping.signal.throwIfAborted();
    } });
    await ended;
    expect(seen).to.deep.equal([false, false, true, true, false]);
  });
  it('modes that always say the same do so', async () => {
    const own = { Node: { authorize: (): Decision => ({ allowed: false, reason: '' }) }, RBAC: { authorize: (): Decision => ({ allowed: false, reason: '' }) } };
    expect(await (await createChain({ modes: ['AlwaysAllow'] }, own, stop.signal)).authorize(ann, pods)).to.deep.equal({ allowed: true, reason: '' });
    expect(await (await createChain({ modes: ['RBAC', 'AlwaysDeny'] }, own, stop.signal)).authorize(ann, pods)).to.deep.equal({ allowed: false, reason: 'Everything is forbidden.' });
  });
});
