import { expect } from 'chai';
import { generateKeyPairSync } from 'node:crypto';
import type { KubeObject } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import type { AdmissionPlugin } from '../admission/admission.ts';
import type { CustomHandler, CustomRequest } from '../backend.ts';
import { createAuthorizer } from '../filters/authz.ts';
import type { UserInfo } from '../request.ts';
import { createEscalationCheck } from './escalation.ts';
import { createFakeBackend, fakeContext, fakeRow, fakeWrite, type FakeBackend } from './fake-backend.ts';
import { createOpenidDocuments } from './openid.ts';
import { createReviewHandlers } from './reviews.ts';
import { createTokenAuthenticator } from './service-account-tokens.ts';
import { createTokenRequestHandler } from './token-request.ts';

const rbac = 'rbac.authorization.k8s.io';
const audience = 'https://kubernetes.default.svc';
const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const serviceAccount = {
  issuer: audience, audiences: [audience],
  signingKey: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), publicKeys: [pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
};
const ann: UserInfo = { name: 'ann', uid: '7', groups: ['devs', 'system:authenticated'], extra: { k: ['v'] } };
const start = Date.parse('2026-01-01T00:00:00Z');

let backend: FakeBackend;
let stop: AbortController;
let authorizer: ReturnType<typeof createAuthorizer>;
beforeEach(() => {
  stop = new AbortController();
  backend = createFakeBackend({
    [`clusterroles.${rbac}`]: [
      { metadata: { name: 'reader' }, rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }, { verbs: ['get'], nonResourceURLs: ['/metrics'] }] },
      { metadata: { name: 'granter' }, rules: [{ verbs: ['bind'], apiGroups: [rbac], resources: ['clusterroles'], resourceNames: ['strong'] }] },
      { metadata: { name: 'strong' }, rules: [{ verbs: ['*'], apiGroups: [''], resources: ['secrets'] }] },
    ],
    [`clusterrolebindings.${rbac}`]: [
      { metadata: { name: 'devs' }, roleRef: { kind: 'ClusterRole', name: 'reader' }, subjects: [{ kind: 'Group', name: 'devs' }] },
      { metadata: { name: 'granters' }, roleRef: { kind: 'ClusterRole', name: 'granter' }, subjects: [{ kind: 'Group', name: 'granters' }] },
    ],
    serviceaccounts: [{ metadata: { namespace: 'a', name: 'robot', uid: 'u1' } }],
    pods: [{ metadata: { namespace: 'a', name: 'p', uid: 'pu' }, spec: { serviceAccountName: 'robot', nodeName: 'n' } }],
    nodes: [{ metadata: { name: 'n', uid: 'nu' } }],
    secrets: [{ metadata: { namespace: 'a', name: 's', uid: 'su' } }],
  });
  authorizer = createAuthorizer({ backend, signal: stop.signal });
});
afterEach(() => stop.abort());

const request = (body: KubeObject, about: Partial<CustomRequest> = {}, user: UserInfo | undefined = ann): CustomRequest =>
  ({ context: fakeContext({ ...(user ? { user } : {}) }), row: fakeRow('', 'x', 'X'), namespace: '', name: '', body, dryRun: false, ...about });
async function outcome(work: Promise<KubeObject> | undefined): Promise<unknown> {
  try {
    return (await work)?.status;
  } catch (error) {
    if (error instanceof StatusError) return `${error.status.code} ${error.message}`;
    throw error;
  }
}

describe('createReviewHandlers()', () => {
  let handlers: Map<string, CustomHandler>;
  beforeEach(() => {
    handlers = createReviewHandlers(serviceAccount, createTokenAuthenticator(serviceAccount, backend, () => start), authorizer, () => start);
  });
  const ask = (kind: string, spec: unknown, about: Partial<CustomRequest> = {}, metadata = {}): Promise<unknown> =>
    outcome(handlers.get(kind)?.(request({ metadata, spec }, about)));
  const sar = 'subjectaccessreviews.authorization.k8s.io';
  const pods = { verb: 'get', resource: 'pods', namespace: 'a' };

  it('SubjectAccessReview answers for anybody, by user or group', async () => {
    expect(await ask(sar, { user: 'x', groups: ['devs'], resourceAttributes: pods })).to.deep.equal({ allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "devs" of ClusterRole "reader" to Group "devs"' });
    expect(await ask(sar, { groups: ['devs'], nonResourceAttributes: { path: '/metrics', verb: 'get' } })).to.include({ allowed: true });
    expect(await ask(sar, { user: 'x', resourceAttributes: pods })).to.deep.equal({ allowed: false });
  });
  it('SubjectAccessReview refuses what it cannot mean', async () => {
    for (const [spec, text] of [
      [{ user: 'x' }, /422 SubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified/],
      [{ user: 'x', resourceAttributes: pods, nonResourceAttributes: {} }, /cannot be specified in combination with resourceAttributes/],
      [{ resourceAttributes: pods }, /spec.user: Invalid value: "": at least one of user or group must be specified/],
      [{ user: 'x', resourceAttributes: { ...pods, fieldSelector: {} } }, /spec.resourceAttributes.fieldSelector.requirements: Required value/],
    ] as const) expect(await ask(sar, spec)).to.match(text);
    expect(await ask(sar, { user: 'x', resourceAttributes: pods }, {}, { name: 'n' })).to.match(/metadata: Invalid value: .*must be empty$/);
  });
  it('selectors of a review reach the node authorizer', async () => {
    const spec = (fieldSelector: unknown): unknown => ({ user: 'system:node:n', groups: ['system:nodes'], resourceAttributes: { verb: 'list', resource: 'pods', fieldSelector } });
    expect(await ask(sar, spec({ requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['n'] }] }))).to.deep.equal({ allowed: true });
    expect(await ask(sar, spec({ rawSelector: 'spec.nodeName=n' }))).to.deep.equal({ allowed: true });
    expect(await ask(sar, spec({ requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['n', 'm'] }] })))
      .to.deep.equal({ allowed: false, reason: 'can only list/watch pods with spec.nodeName field selector', evaluationError: 'fieldSelectors do not yet support multiple values' });
  });
  it('LocalSubjectAccessReview stays in its namespace', async () => {
    const local = 'localsubjectaccessreviews.authorization.k8s.io';
    const spec = { user: 'x', groups: ['devs'], resourceAttributes: pods };
    expect(await ask(local, spec, { namespace: 'a' }, { namespace: 'a' })).to.include({ allowed: true });
    expect(await ask(local, spec, { namespace: 'b' }, { namespace: 'b' })).to.match(/spec.resourceAttributes.namespace: Invalid value: "a": must match metadata.namespace/);
    expect(await ask(local, { user: 'x', nonResourceAttributes: {} }, { namespace: 'a' })).to.match(/disallowed on this kind of request/);
  });
  it('the self reviews answer for the caller', async () => {
    expect(await ask('selfsubjectaccessreviews.authorization.k8s.io', { resourceAttributes: { ...pods, verb: 'delete' } })).to.deep.equal({ allowed: false });
    expect(await ask('selfsubjectaccessreviews.authorization.k8s.io', { resourceAttributes: pods })).to.include({ allowed: true });
    expect(await ask('selfsubjectreviews.authentication.k8s.io', undefined)).to.deep.equal({ userInfo: { username: 'ann', uid: '7', groups: ann.groups, extra: { k: ['v'] } } });
    expect(await ask('selfsubjectrulesreviews.authorization.k8s.io', { namespace: 'a' })).to.deep.equal({
      resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }], nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/metrics'] }], incomplete: false,
    });
    expect(await ask('selfsubjectrulesreviews.authorization.k8s.io', {})).to.equal('400 no namespace on request');
  });
  it('TokenReview tells who a token is, or why it is nobody', async () => {
    const review = 'tokenreviews.authentication.k8s.io';
    const issue = createTokenRequestHandler({ config: { serviceAccount } as never, backend }, [], () => start);
    const { token = '' } = (await issue(request({ spec: { audiences: ['vault'] } }, { namespace: 'a', name: 'robot' }))).status as { token?: string };
    expect(await ask(review, { token, audiences: ['vault'] })).to.deep.include({ authenticated: true, audiences: ['vault'] });
    expect(await ask(review, { token })).to.deep.equal({ authenticated: false, user: {}, error: `token audiences ["vault"] is invalid for the target audiences ["${audience}"]` });
    expect(await ask(review, { token: 'x' })).to.deep.equal({ authenticated: false, user: {}, error: 'invalid bearer token' });
    expect(await ask(review, {})).to.equal('400 token is required for TokenReview in authentication');
  });
});

describe('createTokenRequestHandler()', () => {
  let now = start;
  beforeEach(() => {
    now = start;
  });
  const issue = (spec: unknown, about: Partial<CustomRequest> = {}, metadata = {}, admission: readonly AdmissionPlugin[] = []): Promise<KubeObject> =>
    createTokenRequestHandler({ config: { serviceAccount } as never, backend }, admission, () => now)(request({ metadata, spec }, { namespace: 'a', name: 'robot', ...about }));
  const claimsOf = async (spec: unknown): Promise<Record<string, unknown>> => {
    const { token = '' } = (await issue(spec)).status as { token?: string };
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
  };

  it('issues an hour for the API server by default', async () => {
    const answer = await issue({});
    expect(answer.spec).to.deep.equal({ audiences: [audience], expirationSeconds: 3600, boundObjectRef: null });
    expect((answer.status as { expirationTimestamp?: string }).expirationTimestamp).to.equal('2026-01-01T01:00:00Z');
    expect(answer.metadata).to.include({ name: 'robot', namespace: 'a', uid: 'u1' });
  });
  it('binds to a pod and tells its node; the projected lifetime is extended with a warning', async () => {
    const claims = await claimsOf({ expirationSeconds: 3607, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'pu' } });
    const seconds = start / 1000;
    expect(claims['kubernetes.io']).to.deep.equal({
      namespace: 'a', node: { name: 'n', uid: 'nu' }, pod: { name: 'p', uid: 'pu' }, serviceaccount: { name: 'robot', uid: 'u1' }, warnafter: seconds + 3607,
    });
    expect(claims).to.include({ exp: seconds + 31_536_000, iat: seconds, nbf: seconds, iss: audience, sub: 'system:serviceaccount:a:robot' });
    expect((await claimsOf({ expirationSeconds: 3607, audiences: ['vault'], boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p' } })).exp).to.equal(seconds + 3607);
  });
  it('binds to secrets and nodes', async () => {
    expect((await claimsOf({ boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: 's' } }))['kubernetes.io']).to.deep.include({ secret: { name: 's', uid: 'su' } });
    expect((await claimsOf({ boundObjectRef: { apiVersion: 'v1', kind: 'Node', name: 'n' } }))['kubernetes.io']).to.deep.include({ node: { name: 'n', uid: 'nu' } });
  });
  it('is good until the pod goes', async () => {
    const { token = '' } = (await issue({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p' } })).status as { token?: string };
    const tokens = createTokenAuthenticator(serviceAccount, backend, () => now);
    expect(tokens.authenticate(token).user.extra?.['authentication.kubernetes.io/pod-name']).to.deep.equal(['p']);
    backend.remove('pods', 'a', 'p');
    expect(() => tokens.authenticate(token)).to.throw('has been invalidated');
  });
  it('issues nothing in a dry run', async () => expect(((await issue({}, { dryRun: true })).status as { token?: string }).token).to.equal(''));
  for (const [what, spec, text] of [
    ['nine minutes', { expirationSeconds: 540 }, /^422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 540: may not specify a duration less than 10 minutes$/],
    ['for ever', { expirationSeconds: 2 ** 33 }, /may not specify a duration larger than 2\^32 seconds$/],
    ['a pod that is not there', { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'x' } }, /^404 pods "x" not found$/],
    ['a pod that was made again', { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'old' } }, /^409 .*the UID in the bound object reference \(old\) does not match the UID in record/],
    ['a kind it cannot bind to', { boundObjectRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' } }, /^400 cannot bind token to object of type apps\/v1, Kind=Deployment$/],
  ] as const) it(`refuses ${what}`, async () => expect(await outcome(issue(spec))).to.match(text));
  it('refuses a pod of another account, another name, another UID, and an account that is not there', async () => {
    backend.put('serviceaccounts', { metadata: { namespace: 'a', name: 'other', uid: 'u2' } });
    expect(await outcome(issue({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p' } }, { name: 'other' }))).to.equal('400 cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.');
    expect(await outcome(issue({}, {}, { name: 'x' }))).to.match(/metadata.name: Invalid value: "x": must match the service account name if specified$/);
    expect(await outcome(issue({}, {}, { uid: 'x' }))).to.match(/^409 .*the UID in the token request \(x\) does not match the UID of the service account \(u1\)$/);
    expect(await outcome(issue({}, { name: 'ghost' }))).to.equal('404 serviceaccounts "ghost" not found');
  });
  it('asks admission', async () => {
    const seen: string[] = [];
    const plugin: AdmissionPlugin = { name: 'Seen', handles: (operation, _row, subresource) => operation === 'CREATE' && subresource === 'token', admit: ({ namespace, name }) => void seen.push(`${namespace}/${name}`) };
    await issue({}, {}, {}, [plugin]);
    expect(seen).to.deep.equal(['a/robot']);
  });
});

describe('createEscalationCheck()', () => {
  const write = async (resource: string, object: KubeObject, user: UserInfo, oldObject?: KubeObject): Promise<unknown> => {
    const plugin = createEscalationCheck(authorizer, authorizer.rbac);
    const row = fakeRow(rbac, resource, 'X', !resource.startsWith('cluster'));
    return outcome((async () => {
      await plugin.validate?.({
        operation: oldObject ? 'UPDATE' : 'CREATE', row, subresource: '', namespace: row.namespaced ? 'a' : '', name: object.metadata?.name ?? '', object, oldObject, options: {}, dryRun: false, user, context: fakeWrite(backend),
      });
      return { status: 'admitted' };
    })());
  };
  const role = (rules: unknown[]): KubeObject => ({ metadata: { name: 'r' }, rules });
  const binding = (kind: string, name: string): KubeObject => ({ metadata: { name: 'b' }, roleRef: { apiGroup: rbac, kind, name }, subjects: [] });
  const weak = role([{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }]);
  const wide = role([{ verbs: ['get', 'delete'], apiGroups: [''], resources: ['pods'] }]);
  const text = '403 roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}';

  it('lets one grant what one holds, and no more', async () => {
    expect(await write('roles', weak, ann)).to.equal('admitted');
    expect(await write('roles', wide, ann)).to.equal(text);
    expect(await write('roles', wide, { name: 'root', groups: ['system:masters'] })).to.equal('admitted');
  });
  it('does not look at what garbage collection changes', async () => {
    expect(await write('roles', { ...wide, metadata: { name: 'r', finalizers: [] } }, ann, wide)).to.equal('admitted');
    expect(await write('roles', { ...wide, metadata: { name: 'r', labels: { a: 'b' } } }, ann, wide)).to.equal(text);
  });
  it('binding needs the rights of the role, or the verb bind', async () => {
    expect(await write('rolebindings', binding('ClusterRole', 'reader'), ann)).to.equal('admitted');
    expect(await write('clusterrolebindings', binding('ClusterRole', 'strong'), ann)).to.match(/^403 clusterrolebindings.rbac.authorization.k8s.io "b" is forbidden: user "ann"/);
    expect(await write('clusterrolebindings', binding('ClusterRole', 'strong'), { name: 'x', groups: ['granters'] })).to.equal('admitted');
    expect(await write('rolebindings', binding('Role', 'nope'), ann)).to.equal('404 roles.rbac.authorization.k8s.io "nope" not found');
  });
  it('aggregation needs everything', async () => {
    expect(await write('clusterroles', { ...weak, aggregationRule: { clusterRoleSelectors: [{}] } }, ann)).to.match(/must have cluster-admin privileges to use the aggregationRule$/);
  });
});

describe('createOpenidDocuments()', () => {
  it('serves discovery and keys, and nothing else', () => {
    const documents = createOpenidDocuments({ serviceAccount } as never, () => '10.41.0.1:6443');
    const discovery = documents('/.well-known/openid-configuration');
    expect(JSON.parse(discovery?.body.toString() ?? '')).to.deep.equal({
      issuer: audience, jwks_uri: 'https://10.41.0.1:6443/openid/v1/jwks', response_types_supported: ['id_token'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['RS256'],
    });
    const keys = documents('/openid/v1/jwks');
    expect(keys?.contentType).to.equal('application/jwk-set+json');
    expect((JSON.parse(keys?.body.toString() ?? '') as { keys: Record<string, string>[] }).keys[0]).to.include({ kty: 'RSA', alg: 'RS256', use: 'sig' });
    expect(documents('/openid/v1/jwks/x')).to.equal(undefined);
  });
});
