import { expect } from 'chai';
import { generateKeyPairSync } from 'node:crypto';
import { createFakeBackend, type FakeBackend } from './fake-backend.ts';
import { createSigner, parseToken, readTokenKey, jwks } from '#machinery/pki/jwt.ts';
import { createTokenAuthenticator, TokenError, type TokenAuthenticator } from './service-account-tokens.ts';

const pem = (type: 'rsa' | 'ec'): { publicKey: string; privateKey: string } => {
  const { publicKey, privateKey } = type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(), privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
};

const start = Date.parse('2026-01-01T00:00:00Z');
const seconds = start / 1000;
const audience = 'https://kubernetes.default.svc';
const good = {
  aud: [audience], exp: seconds + 3600, iat: seconds, nbf: seconds, iss: audience, jti: 'id-1', sub: 'system:serviceaccount:a:robot',
  'kubernetes.io': { namespace: 'a', serviceaccount: { name: 'robot', uid: 'u1' }, pod: { name: 'p', uid: 'pu' }, node: { name: 'n', uid: 'nu' } },
};

describe('createTokenAuthenticator()', () => {
  const rsa = pem('rsa');
  const ec = pem('ec');
  const stranger = pem('rsa');
  let now = start;
  let backend: FakeBackend;
  let tokens: TokenAuthenticator;
  beforeEach(() => {
    now = start;
    backend = createFakeBackend({
      serviceaccounts: [{ metadata: { namespace: 'a', name: 'robot', uid: 'u1' } }],
      pods: [{ metadata: { namespace: 'a', name: 'p', uid: 'pu' } }],
    });
    tokens = createTokenAuthenticator(
      { issuer: audience, audiences: [audience], signingKey: rsa.privateKey, publicKeys: [rsa.publicKey, ec.publicKey] }, backend, () => now);
  });
  const sign = (claims: Record<string, unknown>, key = rsa.privateKey): Promise<string> => createSigner(key)(claims);
  const refusal = (token: string, audiences?: string[]): string => {
    try {
      tokens.authenticate(token, audiences);
    } catch (error) {
      if (error instanceof TokenError) return error.message;
      throw error;
    }
    return 'accepted';
  };

  it('tells who it is, of which pod and node', async () => {
    for (const key of [rsa.privateKey, ec.privateKey]) {
      const { user, audiences } = tokens.authenticate(await sign(good, key));
      expect(audiences).to.deep.equal([audience]);
      expect(user).to.deep.equal({
        name: 'system:serviceaccount:a:robot', uid: 'u1', groups: ['system:serviceaccounts', 'system:serviceaccounts:a', 'system:authenticated'],
        extra: {
          'authentication.kubernetes.io/credential-id': ['JTI=id-1'], 'authentication.kubernetes.io/node-name': ['n'], 'authentication.kubernetes.io/node-uid': ['nu'],
          'authentication.kubernetes.io/pod-name': ['p'], 'authentication.kubernetes.io/pod-uid': ['pu'],
        },
      });
    }
  });
  it('gives the same user object for the same token, so that what is cached per user is found', async () => {
    const token = await sign(good);
    expect(tokens.authenticate(token).user).to.equal(tokens.authenticate(token).user);
  });

  const bad: [string, Partial<Record<keyof typeof good, unknown>>, RegExp][] = [
    ['another issuer', { iss: 'https://elsewhere' }, /invalid bearer token/],
    ['another audience', { aud: ['vault'] }, /token audiences \["vault"\] is invalid for the target audiences/],
    ['an expired one', { exp: seconds - 61 }, /has expired/],
    ['one without an end', { exp: undefined }, /could not be validated/],
    ['one from the future', { nbf: seconds + 120 }, /not valid yet/],
    ['one issued in the future', { iat: seconds + 120 }, /issued in the future/],
    ['a subject that is not the account', { sub: 'system:serviceaccount:kube-system:admin' }, /could not be validated/],
    ['no private claims', { 'kubernetes.io': undefined }, /could not be validated/],
    ['an account that is not there', { sub: 'system:serviceaccount:a:ghost', 'kubernetes.io': { namespace: 'a', serviceaccount: { name: 'ghost', uid: 'u' } } }, /not found/],
    ['an account made again', { 'kubernetes.io': { namespace: 'a', serviceaccount: { name: 'robot', uid: 'old' } } }, /service account UID \(u1\) does not match claim \(old\)/],
    ['a pod that is gone', { 'kubernetes.io': { ...good['kubernetes.io'], pod: { name: 'gone', uid: 'pu' } } }, /has been invalidated/],
    ['a pod made again', { 'kubernetes.io': { ...good['kubernetes.io'], pod: { name: 'p', uid: 'old' } } }, /pod UID \(pu\) does not match/],
    ['a node that is gone', { 'kubernetes.io': { namespace: 'a', serviceaccount: { name: 'robot', uid: 'u1' }, node: { name: 'n', uid: 'nu' } } }, /has been invalidated/],
  ];
  for (const [what, change, text] of bad) {
    it(`refuses ${what}`, async () => {
      expect(refusal(await sign({ ...good, ...change }))).to.match(text);
    });
  }
  it('refuses foreign and altered signatures', async () => {
    expect(refusal(await sign(good, stranger.privateKey))).to.equal('invalid signature, no keys found');
    const [head, , tail] = (await sign(good)).split('.');
    const forged = Buffer.from(JSON.stringify({ ...good, sub: 'system:serviceaccount:kube-system:x' })).toString('base64url');
    expect(refusal(`${head}.${forged}.${tail}`)).to.equal('invalid signature');
  });
  it('refuses the algorithm "none" and a symmetric one made with the public key', async () => {
    const { createHmac } = await import('node:crypto');
    const body = Buffer.from(JSON.stringify(good)).toString('base64url');
    for (const alg of ['none', 'HS256']) {
      const head = Buffer.from(JSON.stringify({ alg })).toString('base64url');
      const mac = createHmac('sha256', rsa.publicKey).update(`${head}.${body}`).digest('base64url');
      expect(refusal(`${head}.${body}.${mac}`)).to.equal('invalid signature');
      expect(refusal(`${head}.${body}.`)).to.equal('invalid bearer token');
    }
  });
  it('refuses what is no token', () => {
    for (const text of ['', 'x', 'a.b', 'a.b.c.d', '!.!.!', 'bnVsbA.bnVsbA.AA']) expect(refusal(text), text).to.equal('invalid bearer token');
  });
  it('looks at time and life on every use', async () => {
    const token = await sign(good);
    expect(refusal(token)).to.equal('accepted');
    backend.remove('pods', 'a', 'p');
    expect(refusal(token)).to.match(/invalidated/);
    backend.put('pods', { metadata: { namespace: 'a', name: 'p', uid: 'pu', deletionTimestamp: '2025-12-31T23:59:30Z' } });
    expect(refusal(token), 'deleted, within the leeway').to.equal('accepted');
    now += 60_000;
    expect(refusal(token), 'deleted for long').to.match(/invalidated/);
    backend.put('pods', { metadata: { namespace: 'a', name: 'p', uid: 'pu' } });
    now = start + 3_700_000;
    expect(refusal(token)).to.match(/expired/);
  });
  describe('with tokens that a Secret holds', () => {
    const legacy = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
      iss: 'kubernetes/serviceaccount', sub: 'system:serviceaccount:a:robot', 'kubernetes.io/serviceaccount/namespace': 'a', 'kubernetes.io/serviceaccount/secret.name': 's',
      'kubernetes.io/serviceaccount/service-account.name': 'robot', 'kubernetes.io/serviceaccount/service-account.uid': 'u1', ...more,
    });
    const holding = (token: string, metadata: object = {}): TokenAuthenticator => createTokenAuthenticator(
      { issuer: audience, audiences: [audience], signingKey: rsa.privateKey, publicKeys: [rsa.publicKey] },
      createFakeBackend({ serviceaccounts: [{ metadata: { namespace: 'a', name: 'robot', uid: 'u1' } }], secrets: [{ metadata: { namespace: 'a', name: 's', ...metadata }, data: { token: Buffer.from(token).toString('base64') } }] }), () => now);
    it('takes them without an end, for its own audience', async () => {
      const token = await sign(legacy());
      tokens = holding(token);
      now += 10 * 365 * 86_400_000;
      expect(tokens.authenticate(token)).to.deep.equal({
        audiences: [audience], user: { name: 'system:serviceaccount:a:robot', uid: 'u1', groups: ['system:serviceaccounts', 'system:serviceaccounts:a', 'system:authenticated'] },
      });
    });
    it('refuses them once the Secret is gone, holds another, or is marked', async () => {
      const token = await sign(legacy());
      expect(refusal(token)).to.equal('Token has been invalidated');
      tokens = holding('another');
      expect(refusal(token)).to.equal("Token does not match server's copy");
      tokens = holding(token, { deletionTimestamp: '2026-01-01T00:00:00Z' });
      expect(refusal(token)).to.equal('Token has been invalidated');
      tokens = holding(token, { labels: { 'kubernetes.io/legacy-token-invalid-since': '2025-12-01' } });
      expect(refusal(token)).to.match(/^the token in secret a\/s .* has been marked invalid/);
    });
    for (const [what, more, message] of [
      ['another subject', { sub: 'system:serviceaccount:b:robot' }, 'sub claim is invalid'],
      ['no Secret', { 'kubernetes.io/serviceaccount/secret.name': '' }, 'service account token claims could not be validated'],
      ['an account made anew', { 'kubernetes.io/serviceaccount/service-account.uid': 'u0' }, 'service account UID (u1) does not match claim (u0)'],
    ] as const) {
      it(`refuses ${what}`, async () => {
        const token = await sign(legacy(more));
        tokens = holding(token);
        expect(refusal(token)).to.equal(message);
      });
    }
  });
  it('checks the audience that a reviewer asks about', async () => {
    const token = await sign({ ...good, aud: ['vault', audience] });
    expect(tokens.authenticate(token, ['vault', 'other']).audiences).to.deep.equal(['vault']);
    expect(refusal(token, ['other'])).to.match(/is invalid for the target audiences \["other"\]/);
  });
});

describe('jwks()', () => {
  it('publishes what a stock verifier needs', async () => {
    const { importJWK, compactVerify } = await import('jose');
    for (const type of ['rsa', 'ec'] as const) {
      const key = pem(type);
      const token = await createSigner(key.privateKey)({ a: 1 });
      const [published] = jwks([readTokenKey(key.publicKey)]).keys;
      expect(parseToken(token)?.header.kid).to.equal(published?.kid);
      const { payload } = await compactVerify(token, await importJWK(published ?? {}));
      expect(JSON.parse(Buffer.from(payload).toString())).to.deep.equal({ a: 1 });
    }
  });
  it('readTokenKey() refuses other kinds of keys in one line', () => {
    const { publicKey } = generateKeyPairSync('ed25519', { publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
    expect(() => readTokenKey(publicKey)).to.throw('ed25519 keys are not supported');
  });
});
