import { expect } from 'chai';
import { createCa, issueCertificate } from '#machinery/pki/pki.ts';
import type { KeyPair } from '#machinery/pki/pki.ts';
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { KubeObject } from '#machinery/api/object.ts';
import { startTestServer } from '../testing.ts';
import type { TestServer } from '../testing.ts';
import { createFakeBackend } from './fake-backend.ts';
import { bootstrapTokens, readTokenFile, withLookups } from './other-tokens.ts';
import { createRequestHeaderAuthenticator, usualHeaders } from './request-headers.ts';
import { TokenError } from './service-account-tokens.ts';

describe('readTokenFile()', () => {
  const lookup = readTokenFile('abc,ann,u1,"devs,ops"\n"quoted ""token""",bob,u2\n\n,nobody,u3\ntwice,first,1\ntwice,second,2\n');
  it('knows users, uids and groups', () => {
    expect(lookup('abc')).to.deep.equal({ name: 'ann', uid: 'u1', groups: ['devs', 'ops', 'system:authenticated'] });
    expect(lookup('quoted "token"')).to.deep.equal({ name: 'bob', uid: 'u2', groups: ['system:authenticated'] });
    expect(lookup('twice')?.name).to.equal('second');
  });
  it('knows nobody by an empty or another token', () => {
    expect([lookup(''), lookup('ab'), lookup('abc ')]).to.deep.equal([undefined, undefined, undefined]);
  });
  it('refuses a line that says too little', () => expect(() => readTokenFile('a,b,c\nabc,ann\n')).to.throw('line 2 must have at least 3 columns (token, user name, user uid), found 2'));
});

describe('bootstrapTokens()', () => {
  const base64 = (data: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
  const good = { 'token-id': 'abcdef', 'token-secret': '0123456789abcdef', 'usage-bootstrap-authentication': 'true', 'auth-extra-groups': 'system:bootstrappers:b,system:bootstrappers:a', expiration: '2030-01-01T00:00:00Z' };
  const ask = (data: Record<string, string>, token = 'abcdef.0123456789abcdef', more: Partial<KubeObject> = {}) => bootstrapTokens(createFakeBackend({ secrets: [{ metadata: { namespace: 'kube-system', name: 'bootstrap-token-abcdef' }, type: 'bootstrap.kubernetes.io/token', data: base64(data), ...more }] }), () => Date.parse('2029-01-01T00:00:00Z'))(token);

  it('are bootstrappers, in the groups that their Secret names', () => {
    expect(ask(good)).to.deep.equal({ name: 'system:bootstrap:abcdef', groups: ['system:bootstrappers', 'system:bootstrappers:a', 'system:bootstrappers:b', 'system:authenticated'] });
    expect(ask({ ...good, expiration: '', 'auth-extra-groups': '' })?.groups).to.deep.equal(['system:bootstrappers', 'system:authenticated']);
  });
  for (const [title, data, token, more] of [
    ['another secret', good, 'abcdef.0123456789abcdee', {}],
    ['another id', { ...good, 'token-id': 'fedcba' }, undefined, {}],
    ['an expired one', { ...good, expiration: '2028-01-01T00:00:00Z' }, undefined, {}],
    ['an unreadable end', { ...good, expiration: 'soon' }, undefined, {}],
    ['one for other uses', { ...good, 'usage-bootstrap-authentication': 'false' }, undefined, {}],
    ['groups beyond bootstrappers', { ...good, 'auth-extra-groups': 'system:masters' }, undefined, {}],
    ['a Secret of another type', good, undefined, { type: 'Opaque' }],
    ['a token of another form', good, 'ABCDEF.0123456789abcdef', {}],
    ['a token of nobody', good, 'aaaaaa.0123456789abcdef', {}],
  ] as const) {
    it(`refuses ${title}`, () => expect(ask(data, token, more)).to.equal(undefined));
  }
});

describe('withLookups()', () => {
  const tokens = withLookups({ authenticate: (token) => {
    throw new TokenError(`no ${token}`);
  } }, [(token) => (token === 'known' ? { name: 'ann', groups: [] } : undefined)], ['api']);
  it('answers for the own audiences only, and asks the others after', () => {
    expect(tokens.authenticate('known')).to.deep.equal({ user: { name: 'ann', groups: [] }, audiences: ['api'] });
    expect(tokens.authenticate('known', ['x', 'api']).audiences).to.deep.equal(['api']);
    expect(() => tokens.authenticate('known', ['x'])).to.throw(TokenError);
    expect(() => tokens.authenticate('other')).to.throw('no other');
  });
});

describe('createRequestHeaderAuthenticator()', () => {
  let proxy: X509Certificate;
  let stranger: X509Certificate;
  let ca: KeyPair;
  before(async () => {
    ca = await createCa('proxy-ca');
    proxy = new X509Certificate((await issueCertificate(ca, { commonName: 'front-proxy-client', usages: ['client'] })).cert);
    stranger = new X509Certificate((await issueCertificate(await createCa('proxy-ca'), { commonName: 'front-proxy-client', usages: ['client'] })).cert);
  });
  const request = (certificate: X509Certificate | undefined, headers: Record<string, string[]>): IncomingMessage =>
    ({ socket: { getPeerX509Certificate: () => certificate }, headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.join(', ')])), headersDistinct: { ...headers } }) as unknown as IncomingMessage;
  const headers = { 'x-remote-user': ['ann'], 'x-remote-uid': ['u'], 'x-remote-group': ['devs', 'ops, all'], 'x-remote-extra-acme.com%2fproject': ['a', 'b'], 'x-remote-extra-__proto__': ['p'], accept: ['*/*'] };
  const authenticator = (allowedNames: string[] = ['front-proxy-client']) => createRequestHeaderAuthenticator({ ca: ca.cert, allowedNames, ...usualHeaders });

  it('believes a proxy with a certificate of its CA', () => {
    const user = authenticator().authenticate(request(proxy, headers));
    expect({ ...user, extra: Object.entries(user?.extra ?? {}) }).to.deep.equal({ name: 'ann', uid: 'u', groups: ['devs', 'ops, all', 'system:authenticated'], extra: [['acme.com/project', ['a', 'b']], ['__proto__', ['p']]] });
  });
  it('knows nobody without a certificate, and without a name', () => {
    expect(authenticator().authenticate(request(undefined, headers))).to.equal(undefined);
    expect(authenticator().authenticate(request(proxy, { 'x-remote-group': ['system:masters'] }))).to.equal(undefined);
    expect(createRequestHeaderAuthenticator(undefined).authenticate(request(proxy, headers))).to.equal(undefined);
  });
  it('refuses a certificate of another CA of the same name, and other names', () => {
    expect(() => authenticator().authenticate(request(stranger, headers))).to.throw('signed by unknown authority');
    expect(() => authenticator(['aggregator']).authenticate(request(proxy, headers))).to.throw('x509: subject with cn=front-proxy-client is not in the allowed list');
  });
  it('takes the headers away, whoever wrote them', () => {
    for (const one of [authenticator(), createRequestHeaderAuthenticator(undefined)]) {
      const asked = request(proxy, headers);
      one.clear(asked);
      expect([Object.keys(asked.headers), Object.keys(asked.headersDistinct)]).to.deep.equal([['accept'], ['accept']]);
    }
  });
});

describe('an API server behind a front proxy', () => {
  let server: TestServer;
  let proxy: KeyPair;
  before(async () => {
    const ca = await createCa('proxy-ca');
    proxy = await issueCertificate(ca, { commonName: 'front-proxy-client', usages: ['client'] });
    server = await startTestServer({ requestHeader: { ca: ca.cert, allowedNames: ['front-proxy-client'], ...usualHeaders }, tokenFile: 'static,tina,7,"system:masters"\n' });
  });
  after(() => server.stop());
  const whoami = (tls: { cert?: string; key?: string }, headers: Record<string, string>): Promise<{ status: number; name: string | undefined }> => new Promise((resolve, reject) => {
    const body = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}';
    const call = httpsRequest({ host: '127.0.0.1', port: server.port, method: 'POST', path: '/apis/authentication.k8s.io/v1/selfsubjectreviews', ca: server.ca.cert, ...tls, headers: { 'content-type': 'application/json', ...headers } }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, name: (JSON.parse(text) as { status?: { userInfo?: { username?: string } } }).status?.userInfo?.username }));
    });
    call.on('error', reject);
    call.end(body);
  });

  it('takes the proxy\'s word', async () => expect(await whoami(proxy, { 'x-remote-user': 'ann' })).to.deep.equal({ status: 201, name: 'ann' }));
  it('takes nobody else\'s: a client is who its certificate says', async () => {
    const { cert, key } = server.clientOptions('guest');
    expect(await whoami({ ...(cert ? { cert } : {}), ...(key ? { key } : {}) }, { 'x-remote-user': 'system:admin', 'x-remote-group': 'system:masters' })).to.deep.equal({ status: 201, name: 'guest' });
    expect((await whoami({}, { 'x-remote-user': 'system:admin' })).status).to.equal(401);
    expect((await whoami(proxy, {})).status, 'the proxy itself is nobody').to.equal(401);
  });
  it('knows the tokens of its file', async () => {
    expect(await whoami({}, { authorization: 'Bearer static' })).to.deep.equal({ status: 201, name: 'tina' });
    expect((await whoami({}, { authorization: 'Bearer statik' })).status).to.equal(401);
  });
  it('tells extension API servers whom to believe', async () => {
    const { body } = await server.call('GET', '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication');
    const { data } = body as { data?: Record<string, string> };
    expect(data?.['requestheader-client-ca-file']).to.include('BEGIN CERTIFICATE');
    expect(JSON.parse(data?.['requestheader-allowed-names'] ?? '')).to.deep.equal(['front-proxy-client']);
    expect(JSON.parse(data?.['requestheader-username-headers'] ?? '')).to.deep.equal(['X-Remote-User']);
  });
});
