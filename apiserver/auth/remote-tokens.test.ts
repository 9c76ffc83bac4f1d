import { expect } from 'chai';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseFlags, UsageError } from '#machinery/base/flags.ts';
import { createCa, issueCertificate } from '#machinery/pki/pki.ts';
import { startTestServer } from '../testing.ts';
import type { TestServer } from '../testing.ts';
import { AnswerCache } from './answer-cache.ts';
import { authFlags, readAuthOptions } from './options.ts';
import type { AuthOptions } from './options.ts';
import { startRemoteTokens } from './remote-tokens.ts';

const options = (...flags: string[]): AuthOptions | undefined => readAuthOptions(parseFlags(authFlags, flags));

describe('readAuthOptions()', () => {
  it('is nothing without flags', () => expect(options()).to.equal(undefined));
  it('knows the prefixes that nobody names', () => {
    const oidc = (...flags: string[]): string | undefined => options('--oidc-issuer-url=https://i', '--oidc-client-id=c', ...flags)?.oidc?.usernamePrefix;
    expect(oidc()).to.equal('https://i#');
    expect(oidc('--oidc-username-claim=email')).to.equal('');
    expect(oidc('--oidc-username-prefix=-')).to.equal('');
    expect(oidc('--oidc-username-prefix=o:')).to.equal('o:');
  });
  it('splits what is required', () => expect(options('--oidc-issuer-url=https://i', '--oidc-client-id=c', '--oidc-required-claim=a=b=c', '--oidc-required-claim=d=')?.oidc?.requiredClaims)
    .to.deep.equal([{ claim: 'a', value: 'b=c' }, { claim: 'd', value: '' }]));
  for (const [title, flags] of [
    ['an issuer alone', ['--oidc-issuer-url=https://i']], ['a claim alone', ['--oidc-username-claim=x']],
    ['both ways', ['--authentication-config=/x', '--oidc-issuer-url=https://i', '--oidc-client-id=c']],
    ['an algorithm with a shared secret', ['--oidc-issuer-url=https://i', '--oidc-client-id=c', '--oidc-signing-algs=HS256']],
    ['a claim without value', ['--oidc-issuer-url=https://i', '--oidc-client-id=c', '--oidc-required-claim=a']],
  ] as const) it(`refuses ${title}`, () => expect(() => options(...flags)).to.throw(UsageError));
});

describe('AnswerCache', () => {
  it('keeps answers for their time, asks once for many, and forgets the oldest', async () => {
    let at = 0;
    let asked = 0;
    const cache = new AnswerCache<string>(2, (value) => (value === 'short' ? 0 : 100), () => at);
    const ask = (value: string) => () => {
      asked++;
      return Promise.resolve(value);
    };
    expect(await Promise.all([cache.get('a', ask('x')), cache.get('a', ask('y'))])).to.deep.equal(['x', 'x']);
    expect(cache.get('a', ask('z'))).to.equal('x');
    at = 100;
    expect(await cache.get('a', ask('z'))).to.equal('z');
    await cache.get('b', ask('short'));
    expect(await cache.get('b', ask('b'))).to.equal('b');
    await cache.get('c', ask('c'));
    expect(asked).to.equal(5);
    expect(cache.get('a', ask('again'))).to.be.instanceOf(Promise);
  });
  it('keeps no failure', async () => {
    const cache = new AnswerCache<string>(2, () => 100, () => 0);
    expect(await Promise.resolve(cache.get('a', () => Promise.reject(new Error('no')))).then(() => '', String)).to.equal('Error: no');
    expect(await cache.get('a', () => Promise.resolve('yes'))).to.equal('yes');
  });
});

describe('startRemoteTokens()', () => {
  it('takes other issuers when the file names them and they answer, and keeps those it has until then', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'issuers-'));
    const file = join(folder, 'config');
    const naming = (name: string, more: object = {}): string => JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthenticationConfiguration', ...more,
      jwt: [{ issuer: { url: `https://${name}`, audiences: ['me'] }, claimMappings: { username: { claim: 'sub', prefix: '' } } }],
    });
    await writeFile(file, naming('one'));
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const known = async (name: string): Promise<boolean> => {
      const token = `${part({ alg: 'RS256' })}.${part({ iss: `https://${name}`, aud: 'me', exp: 4e9, sub: 'x' })}.AAAA`;
      // One that is known refuses the signature, one that is not says nothing.
      return Promise.resolve(remote.authenticate(token, ['api'])).then(() => false, () => true);
    };
    const stop = new AbortController();
    const seen: string[] = [];
    const after = ['{}', naming('two', { anonymous: { enabled: true } }), naming('two')];
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const connect = () => Promise.resolve((url: string) => Promise.resolve(url.endsWith('/keys') ? { keys: [] } : { issuer: new URL(url).origin, jwks_uri: 'https://any/keys' }));
    const remote = await startRemoteTokens({ configFile: file }, { serviceAccount: { issuer: 'own', audiences: ['api'], signingKey: '', publicKeys: [] }, anonymousAuth: false }, stop.signal, connect, { async sleep() {
      await delay(1); // it is started by then
      seen.push(`${await known('one')} ${await known('two')}`);
      const next = after.shift();
      if (next !== undefined) {
        await writeFile(file, next);
        return;
      }
      end();
      stop.abort(new Error('enough'));
      stop.signal.throwIfAborted();
    } });
    await ended;
    expect(seen).to.deep.equal(['true false', 'true false', 'true false', 'false true']);
    await rm(folder, { recursive: true });
  });
});

describe('tokens of an OpenID Connect issuer', () => {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const forger = generateKeyPairSync('rsa', { modulusLength: 2048 });
  let folder: string;
  let issuer: string;
  let closeIssuer: () => void;
  let server: TestServer;
  const token = (claims: Record<string, unknown> = {}, key = keys.privateKey): string => {
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'RS256', kid: 'k' })}.${part({ iss: issuer, aud: 'me', exp: Math.floor(Date.now() / 1000) + 60, sub: 'ann', roles: ['devs'], ...claims })}`;
    return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
  };
  const bearer = (text: string) => ({ as: 'nobody' as const, headers: { authorization: `Bearer ${text}` } });
  const whoAmI = { body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' } };
  const selfReview = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'oidc-'));
    const ca = await createCa('issuer-ca');
    const pair = await issueCertificate(ca, { commonName: 'issuer', usages: ['server'], dnsNames: ['localhost'], ips: ['127.0.0.1'] });
    const provider = createServer({ cert: pair.cert, key: pair.key }, (request, response) => {
      response.end(JSON.stringify(request.url === '/keys' ? { keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: 'k' }] } : { issuer, jwks_uri: `${issuer}/keys` }));
    });
    await new Promise<void>((done) => provider.listen(0, '127.0.0.1', done));
    closeIssuer = () => provider.close().closeAllConnections();
    issuer = `https://127.0.0.1:${(provider.address() as AddressInfo).port}`;
    await writeFile(join(folder, 'config.yaml'), JSON.stringify({
      apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthenticationConfiguration',
      jwt: [{ issuer: { url: issuer, audiences: ['me'], certificateAuthority: ca.cert }, claimMappings: { username: { claim: 'sub', prefix: 'o:' }, groups: { expression: 'claims.roles' } } }],
      anonymous: { enabled: true, conditions: [{ path: '/livez' }] },
    }));
    const auth = options(`--authentication-config=${join(folder, 'config.yaml')}`);
    server = await startTestServer({ options: { auth } });
    for (let i = 0; i < 50 && (await server.call('POST', selfReview, { ...whoAmI, ...bearer(token()) })).status !== 201; i++) await delay(20);
  });
  after(async () => {
    await server.stop();
    closeIssuer();
    await rm(folder, { recursive: true });
  });

  it('say who sends a request', async () => {
    const { status, body } = await server.call('POST', selfReview, { ...whoAmI, ...bearer(token()) });
    expect([status, body['status']]).to.deep.equal([201, { userInfo: { username: 'o:ann', groups: ['devs', 'system:authenticated'] } }]);
    expect((await server.call('GET', '/api/v1/pods', bearer(token()))).text).to.include('User \\"o:ann\\" cannot list resource');
  });
  it('can be asked about', async () => {
    const review = (text: string, audiences: string[] = []) => server.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: text, audiences } } });
    expect((await review(token())).body['status']).to.deep.equal({ authenticated: true, user: { username: 'o:ann', groups: ['devs', 'system:authenticated'] }, audiences: [server.config.serviceAccount.issuer] });
    expect((await review(token({ aud: 'you' }))).body['status']).to.deep.equal({ authenticated: false, user: {}, error: 'oidc: verify token: oidc: expected audience "me" got ["you"]' });
    expect((await review(token(), ['elsewhere'])).body['status']).to.include({ authenticated: false });
  });
  it('are refused when forged, over, or of an issuer that nobody named', async () => {
    for (const bad of [token({}, forger.privateKey), token({ exp: 1 }), token({ iss: 'https://other' }), token({ iss: `${issuer}/` }), token({ sub: undefined }), `${token()}x`, 'a.b.c']) {
      expect((await server.call('POST', selfReview, { ...whoAmI, ...bearer(bad) })).status).to.equal(401);
    }
  });
  it('nobody without credentials gets beyond the paths that the file names', async () => {
    const status = async (path: string): Promise<number> => (await server.call('GET', path, { as: 'nobody' })).status;
    expect([await status('/livez'), await status('/healthz'), await status('/api')]).to.deep.equal([200, 401, 401]);
  });
  for (const [title, content] of [['that is not there', undefined], ['that is something else', '{}'], ['with an issuer of http', '{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AuthenticationConfiguration","jwt":[{"issuer":{"url":"http://x","audiences":["a"]},"claimMappings":{"username":{"claim":"sub","prefix":""}}}]}']] as const) {
    it(`nothing starts with a file ${title}`, async () => {
      const file = join(folder, 'bad.yaml');
      if (content === undefined) await rm(file, { force: true });
      else await writeFile(file, content);
      const error: unknown = await startTestServer({ options: { auth: options(`--authentication-config=${file}`) } }).then((started) => started.stop(), (refusal: unknown) => refusal);
      expect(String(error)).to.match(/^StartError: --authentication-config .* cannot be used: /);
    });
  }
});
