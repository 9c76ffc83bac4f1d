import { expect } from 'chai';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createCa, issueCertificate } from '#machinery/pki/pki.ts';
import { parseToken, type ParsedToken } from '#machinery/pki/jwt.ts';
import { createFetch, IssuerKeys } from './jwks.ts';
import { TokenError } from './service-account-tokens.ts';

const issuer = 'https://issuer.example';
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
function signed(key: KeyObject, header: Record<string, unknown>, options: object = {}): ParsedToken {
  const text = `${part(header)}.${part({ iss: issuer })}`;
  const token = parseToken(`${text}.${sign(`sha${String(header.alg).slice(2)}`, Buffer.from(text), { key, dsaEncoding: 'ieee-p1363', ...options }).toString('base64url')}`);
  if (!token) throw new Error('the test is wrong');
  return token;
}
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = (key: KeyObject, more: object = {}): object => ({ ...key.export({ format: 'jwk' }), ...more });

function source(keys: () => unknown, document: unknown = { issuer, jwks_uri: `${issuer}/keys` }): { made: IssuerKeys; asked: string[]; clock: { at: number }; stop: AbortController } {
  const [asked, clock, stop]: [string[], { at: number }, AbortController] = [[], { at: 1_000_000 }, new AbortController()];
  const fetch = (url: string): Promise<unknown> => {
    asked.push(url);
    return Promise.resolve().then(() => (url.endsWith('/keys') ? keys() : document));
  };
  const sleep = (): Promise<void> => {
    stop.abort(new Error('the test saw enough'));
    return Promise.resolve();
  };
  return { made: new IssuerKeys(issuer, '', fetch, stop.signal, { now: () => clock.at, sleep }), asked, clock, stop };
}
const refusal = async (work: Promise<void>): Promise<string> => work.then(() => 'taken', (error: unknown) => (error instanceof TokenError ? error.message : `another error: ${String(error)}`));
const wrong = 'oidc: verify token: failed to verify signature: failed to verify id token signature';

describe('IssuerKeys', () => {
  it('finds where the keys are, and fetches them once for many tokens', async () => {
    const { made, asked } = source(() => ({ keys: [jwk(ec.publicKey, { kid: 'a', use: 'sig' })] }));
    expect(await refusal(made.verify(signed(ec.privateKey, { alg: 'ES256', kid: 'a' })))).to.equal('oidc: authenticator not initialized');
    await made.discover();
    expect(made.problem).to.equal(undefined);
    const token = signed(ec.privateKey, { alg: 'ES256', kid: 'a' });
    await Promise.all([made.verify(token), made.verify(token)]);
    await made.verify(signed(ec.privateKey, { alg: 'ES256' }));
    expect(asked).to.deep.equal([`${issuer}/.well-known/openid-configuration`, `${issuer}/keys`]);
  });
  it('knows all algorithms of RSA keys', async () => {
    const { made } = source(() => ({ keys: [{ kty: 'oct', k: 'AAAA' }, { kty: 'RSA', n: 7 }, null, jwk(rsa.publicKey)] }));
    await made.discover();
    for (const alg of ['RS256', 'RS384', 'RS512']) await made.verify(signed(rsa.privateKey, { alg }));
    for (const alg of ['PS256', 'PS384', 'PS512']) await made.verify(signed(rsa.privateKey, { alg }, { padding: 6, saltLength: Number(alg.slice(2)) / 8 }));
  });
  it('fetches new keys for a token of a key it does not know, but not at the rate that tokens come', async () => {
    let keys = [jwk(rsa.publicKey, { kid: 'old' })];
    const { made, asked, clock } = source(() => ({ keys }));
    await made.discover();
    await made.verify(signed(rsa.privateKey, { alg: 'RS256', kid: 'old' }));
    const next = signed(ec.privateKey, { alg: 'ES256', kid: 'new' });
    keys = [jwk(ec.publicKey, { kid: 'new' })];
    for (let i = 0; i < 100; i++) expect(await refusal(made.verify(next))).to.equal(wrong);
    expect(asked).to.have.length(2);
    clock.at += 10_000;
    expect(await refusal(made.verify(next))).to.equal('taken');
    expect(await refusal(made.verify(signed(rsa.privateKey, { alg: 'RS256', kid: 'old' }))), 'a key that was given up').to.equal(wrong);
  });
  it('waits longer each time the keys cannot be had, and keeps those it has', async () => {
    let broken = false;
    const { made, asked, clock } = source(() => {
      if (broken) throw new Error('gone');
      return { keys: [jwk(ec.publicKey, { kid: 'a' })] };
    });
    await made.discover();
    await made.verify(signed(ec.privateKey, { alg: 'ES256', kid: 'a' }));
    broken = true;
    const other = signed(ec.privateKey, { alg: 'ES256', kid: 'b' });
    for (let second = 0; second < 60; second++, clock.at += 1000) await refusal(made.verify(other));
    expect(asked.length - 2).to.equal(3); // after 10, 20 and 40 seconds
    expect(await refusal(made.verify(signed(ec.privateKey, { alg: 'ES256', kid: 'a' })))).to.equal('taken');
  });
  for (const [title, keys] of [['no set', 'x'], ['no list', { keys: {} }], ['no keys', { keys: [] }], ['a key for encryption', { keys: [jwk(ec.publicKey, { use: 'enc' })] }], ['nothing', null]] as const) {
    it(`takes no token when the answer is ${title}`, async () => {
      const { made } = source(() => keys);
      await made.discover();
      expect(await refusal(made.verify(signed(ec.privateKey, { alg: 'ES256' })))).to.equal(wrong);
    });
  }
  it('takes no key for another algorithm than its own', async () => {
    const { made } = source(() => ({ keys: [jwk(ec.publicKey), jwk(rsa.publicKey)] }));
    await made.discover();
    const other = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    for (const token of [
      signed(other.privateKey, { alg: 'ES384' }), signed(ec.privateKey, { alg: 'ES384' }), signed(rsa.privateKey, { alg: 'PS256' }),
      signed(ec.privateKey, { alg: 'ES256', crit: ['b64'] }), { ...signed(ec.privateKey, { alg: 'ES256' }), header: { alg: 'none' } },
      { ...signed(ec.privateKey, { alg: 'ES256' }), header: { alg: 'HS256' } }, { ...signed(ec.privateKey, { alg: 'ES256' }), signature: Buffer.alloc(0) },
    ]) expect(await refusal(made.verify(token))).to.equal(wrong);
  });
  for (const [title, document, text] of [
    ['another issuer', { issuer: 'https://other', jwks_uri: 'https://x/keys' }, 'issuer did not match the issuer returned by provider, expected "https://issuer.example" got "https://other"'],
    ['no address of keys', { issuer }, 'provider did not return JWKS URL'],
    ['keys over plain http', { issuer, jwks_uri: 'http://x/keys' }, 'is no https address'],
    ['nothing', null, 'issuer did not match'],
  ] as const) {
    it(`is not ready while discovery says ${title}`, async () => {
      const { made } = source(() => ({ keys: [] }), document);
      await made.discover();
      expect(made.problem).to.include(text);
    });
  }
});

describe('createFetch()', () => {
  let url: string;
  let close: () => void;
  let ca: string;
  before(async () => {
    const authority = await createCa('issuer-ca');
    ca = authority.cert;
    const pair = await issueCertificate(authority, { commonName: 'issuer', usages: ['server'], dnsNames: ['localhost'], ips: ['127.0.0.1'] });
    const server = createServer({ cert: pair.cert, key: pair.key }, (request, response) => {
      const path = request.url ?? '';
      if (path === '/ok') response.end('{"a":1}');
      else if (path === '/moved') response.writeHead(302, { location: '/ok' }).end();
      else if (path === '/plain') response.writeHead(302, { location: 'http://127.0.0.1/ok' }).end();
      else if (path === '/round') response.writeHead(302, { location: '/round' }).end();
      else if (path === '/large') response.end(`"${'x'.repeat(2 << 20)}"`);
      else if (path === '/text') response.end('hello');
      else response.writeHead(404).end();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    close = () => server.close().closeAllConnections();
  });
  after(() => close());
  const get = async (path: string, authority = ca): Promise<unknown> => (await createFetch(authority))(`${url}${path}`, AbortSignal.timeout(5000));
  it('gets JSON, also where it was moved', async () => {
    expect(await get('/ok')).to.deep.equal({ a: 1 });
    expect(await get('/moved')).to.deep.equal({ a: 1 });
  });
  for (const [path, text] of [['/plain', 'which is not taken'], ['/round', 'leads from one place to the next'], ['/large', 'longer than'], ['/text', 'other than JSON'], ['/none', 'answered 404']] as const) {
    it(`refuses ${path.slice(1)}`, async () => expect(await get(path).then(() => '', String)).to.include(text));
  }
  it('refuses a server that no authority vouches for', async () => expect(await get('/ok', '').then(() => '', String)).to.match(/certificate|issuer/));
});
