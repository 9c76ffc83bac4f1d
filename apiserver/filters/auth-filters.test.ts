import { expect } from 'chai';
import { StatusError } from '#machinery/api/status.ts';
import { anonymous } from '../auth/identity.ts';
import { createFakeBackend, fakeContext } from '../auth/fake-backend.ts';
import { createCa } from '#machinery/pki/pki.ts';
import { generateKeyPairSync } from 'node:crypto';
import { createSigner } from '#machinery/pki/jwt.ts';
import type { ServerDeps } from '../backend.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import { authenticateRequest, createAuthenticator } from './authn.ts';
import { authorizeRequest, chainAuthorizers, createAuthorizer } from './authz.ts';
import { impersonate } from './impersonation.ts';
import type { Authenticator, Authorizer } from './seams.ts';

const failure = async (work: () => unknown): Promise<StatusError> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
};
const audience = 'https://kubernetes.default.svc';

describe('createAuthenticator()', () => {
  let authenticator: Authenticator;
  let token: string;
  before(async () => {
    const ca = await createCa('ca');
    const keys = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
    const backend = createFakeBackend({ serviceaccounts: [{ metadata: { namespace: 'a', name: 'robot', uid: 'u' } }] });
    const config = { clientCa: ca.cert, serviceAccount: { issuer: audience, audiences: [audience], signingKey: keys.privateKey, publicKeys: [keys.publicKey] } };
    authenticator = createAuthenticator({ config: config as ServerDeps['config'], backend });
    token = await createSigner(keys.privateKey)({
      aud: [audience], exp: Math.floor(Date.now() / 1000) + 600, iss: audience, sub: 'system:serviceaccount:a:robot',
      'kubernetes.io': { namespace: 'a', serviceaccount: { name: 'robot', uid: 'u' } },
    });
  });
  const nameOf = (headers: Record<string, string>): string | undefined => {
    const user = authenticator.authenticate(fakeContext({ headers }).request);
    if (user instanceof Promise) throw new Error('expected an answer without a promise');
    return user?.name;
  };
  const webSocket = { upgrade: 'websocket', connection: 'keep-alive, Upgrade' };
  const carried = (text: string): string => `base64url.bearer.authorization.k8s.io.${Buffer.from(text).toString('base64url')}`;

  it('takes a bearer token and hides it', () => {
    const context = fakeContext({ headers: { authorization: `bearer ${token}` } });
    expect((authenticator.authenticate(context.request) as UserInfo).name).to.equal('system:serviceaccount:a:robot');
    expect(context.request.headers.authorization).to.equal(undefined);
  });
  it('takes a token from a WebSocket sub-protocol and never shows that one', () => {
    const context = fakeContext({ headers: { ...webSocket, 'sec-websocket-protocol': `v5.channel.k8s.io, ${carried(token)}` } });
    expect((authenticator.authenticate(context.request) as UserInfo).name).to.equal('system:serviceaccount:a:robot');
    expect(context.request.headers['sec-websocket-protocol']).to.equal('v5.channel.k8s.io');
  });
  it('knows nobody without credentials, or with a scheme it does not know', () => {
    expect(nameOf({})).to.equal(undefined);
    expect(nameOf({ authorization: 'Basic eDp5' })).to.equal(undefined);
    expect(nameOf({ authorization: 'Bearer' })).to.equal(undefined);
    expect(nameOf({ 'sec-websocket-protocol': `v5.channel.k8s.io,${carried(token)}` }), 'not an upgrade').to.equal(undefined);
  });
  for (const [what, headers] of [
    ['a bad bearer token', () => ({ authorization: `Bearer ${token.slice(0, -4)}AAAA` })],
    ['a word as a token', () => ({ authorization: 'Bearer secret' })],
    ['a token as the only sub-protocol', () => ({ ...webSocket, 'sec-websocket-protocol': carried(token) })],
    ['two tokens as sub-protocols', () => ({ ...webSocket, 'sec-websocket-protocol': `x, ${carried(token)}, ${carried(token)}` })],
    ['a badly encoded sub-protocol', () => ({ ...webSocket, 'sec-websocket-protocol': 'x, base64url.bearer.authorization.k8s.io.a+b' })],
  ] as const) {
    it(`refuses ${what} with 401`, async () => {
      const { status } = await failure(() => nameOf(headers()));
      expect([status.code, status.reason, status.message]).to.deep.equal([401, 'Unauthorized', 'Unauthorized']);
    });
  }
});

describe('authenticateRequest()', () => {
  const nobody: Authenticator = { authenticate: () => undefined };
  const at = async (path: string, anonymousAuth: boolean): Promise<string | undefined> => {
    const context = fakeContext({ info: { path, isResourceRequest: false } });
    await authenticateRequest(context, nobody, { anonymousAuth });
    return context.user?.name;
  };
  it('lets strangers ask for health and version only', async () => {
    for (const path of ['/healthz', '/livez', '/readyz', '/version']) expect(await at(path, false)).to.equal('system:anonymous');
    for (const path of ['/metrics', '/api', '/readyz/etcd', '/version/../api']) expect((await failure(() => at(path, false))).status.code, path).to.equal(401);
    expect(await at('/api', true)).to.equal('system:anonymous');
  });
});

describe('authorizeRequest()', () => {
  const no: Authorizer = { authorize: () => ({ allowed: false, reason: '' }) };
  const text = async (info: Partial<RequestInfo>, authorizer = no): Promise<string> =>
    (await failure(() => authorizeRequest(fakeContext({ user: { name: 'x', groups: [] }, info }), authorizer))).message;
  it("words refusals as upstream's", async () => {
    expect(await text({ verb: 'list', resource: 'pods', namespace: 'y' })).to.equal('pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y"');
    expect(await text({ verb: 'get', resource: 'nodes', name: 'n' })).to.equal('nodes "n" is forbidden: User "x" cannot get resource "nodes" in API group "" at the cluster scope');
    expect(await text({ verb: 'create', group: 'apps', resource: 'deployments', subresource: 'scale', namespace: 'y', name: 'd' }))
      .to.equal('deployments.apps "d" is forbidden: User "x" cannot create resource "deployments/scale" in API group "apps" in the namespace "y"');
    expect(await text({ isResourceRequest: false, path: '/metrics' })).to.equal('forbidden: User "x" cannot get path "/metrics"');
    expect(await text({ isResourceRequest: false, path: '/<a>&' })).to.equal('forbidden: User "x" cannot get path "/&lt;a&gt;&amp;"');
    expect(await text({ resource: 'pods' }, { authorize: async () => ({ allowed: false, reason: 'RBAC: y' }) })).to.match(/at the cluster scope: RBAC: y$/);
  });
  it('chainAuthorizers() joins reasons, stops at the first yes and never asks about system:masters', async () => {
    const asked: string[] = [];
    const member = (name: string, allowed: boolean): Authorizer => ({
      async authorize() {
        asked.push(name);
        return { allowed, reason: name };
      },
    });
    const user: UserInfo = { name: 'x', groups: [] };
    const info = fakeContext().info;
    expect(await chainAuthorizers([member('a', false), member('b', false)]).authorize(user, info)).to.deep.equal({ allowed: false, reason: 'a\nb' });
    expect(await chainAuthorizers([member('c', true), member('d', false)]).authorize(user, info)).to.deep.equal({ allowed: true, reason: 'c' });
    expect(await chainAuthorizers([member('e', false)]).authorize({ name: 'root', groups: ['system:masters'] }, info)).to.deep.equal({ allowed: true, reason: '' });
    expect(asked).to.deep.equal(['a', 'b', 'c']);
  });
  it('an anonymous user may do nothing on an empty store', async () => {
    const stop = new AbortController();
    const authorizer = createAuthorizer({ backend: createFakeBackend(), signal: stop.signal });
    expect(await authorizer.authorize(anonymous, fakeContext({ info: { resource: 'pods' } }).info)).to.deep.equal({ allowed: false, reason: '' });
    stop.abort();
  });
});

describe('impersonate()', () => {
  const everybody: Authorizer = { authorize: () => ({ allowed: true, reason: '' }) };
  const caller: UserInfo = { name: 'boss', groups: ['system:authenticated'] };
  const become = async (headers: Record<string, string | string[]>, authorizer = everybody): Promise<UserInfo | undefined> => {
    const context = fakeContext({ user: caller, headers });
    await impersonate(context, authorizer);
    if (context.user !== caller) {
      expect(context.impersonator).to.equal(caller);
      expect(Object.keys(context.request.headers).filter((name) => name.startsWith('impersonate'))).to.deep.equal([]);
    }
    return context.user;
  };
  it('does nothing without headers', async () => expect(await become({ accept: '*/*' })).to.equal(caller));
  it('becomes a user, with groups, UID and extra', async () => {
    expect(await become({ 'impersonate-user': 'ann', 'impersonate-group': ['a,b', 'c'], 'impersonate-uid': '7', 'impersonate-extra-example.com%2FScope': ['x', 'y'] }))
      .to.deep.equal({ name: 'ann', groups: ['a,b', 'c', 'system:authenticated'], uid: '7', extra: { 'example.com/scope': ['x', 'y'] } });
  });
  it('gives a service account its groups, and the anonymous user its own', async () => {
    expect((await become({ 'impersonate-user': 'system:serviceaccount:ns:robot' }))?.groups).to.deep.equal(['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated']);
    expect((await become({ 'impersonate-user': 'system:anonymous' }))?.groups).to.deep.equal(['system:unauthenticated']);
  });
  it('asks for each part', async () => {
    const asked: string[] = [];
    const authorizer: Authorizer = {
      authorize(_user, { verb, group, resource, subresource, namespace, name }) {
        asked.push(`${verb} ${group}/${resource}/${subresource} ${namespace}/${name}`);
        return { allowed: true, reason: '' };
      },
    };
    await become({ 'impersonate-user': 'system:serviceaccount:ns:robot', 'impersonate-group': 'g', 'impersonate-uid': '7', 'impersonate-extra-k': 'v' }, authorizer);
    expect(asked).to.deep.equal([
      'impersonate /serviceaccounts/ ns/robot', 'impersonate /groups/ /g', 'impersonate authentication.k8s.io/userextras/k /v', 'impersonate authentication.k8s.io/uids/ /7',
    ]);
  });
  it('refuses what the caller may not become', async () => {
    const { status } = await failure(() => become({ 'impersonate-user': 'ann', 'impersonate-group': 'system:masters' }, { authorize: (_user, { resource }) => ({ allowed: resource === 'users', reason: '' }) }));
    expect(status.code).to.equal(403);
    expect(status.message).to.equal('groups "system:masters" is forbidden: User "boss" cannot impersonate resource "groups" in API group "" at the cluster scope');
  });
  it('refuses groups without a user', async () => {
    expect((await failure(() => become({ 'impersonate-group': 'system:masters' }))).status.code).to.equal(400);
    expect((await failure(() => become({ 'impersonate-extra-k': 'v' }))).status.code).to.equal(400);
  });
});
