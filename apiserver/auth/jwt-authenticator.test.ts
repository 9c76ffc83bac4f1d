import { expect } from 'chai';
import { parseToken } from '#machinery/pki/jwt.ts';
import type { UserInfo } from '../request.ts';
import { createJwtAuthenticator } from './jwt-authenticator.ts';
import { parseAuthenticationConfiguration } from './jwt-config.ts';
import { TokenError } from './service-account-tokens.ts';

const nowMs = Date.parse('2030-01-01T00:00:00Z');
const seconds = nowMs / 1000;
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const base = { iss: 'https://issuer.example', aud: 'me', exp: seconds + 60, sub: 'ann' };

async function user(jwt: Record<string, unknown>, claims: Record<string, unknown>, { alg = 'ES256', algorithms = ['ES256'] } = {}): Promise<UserInfo> {
  const { issuers: [issuer] } = await parseAuthenticationConfiguration(JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthenticationConfiguration',
    jwt: [{ issuer: { url: 'https://issuer.example', audiences: ['me'] }, claimMappings: { username: { claim: 'sub', prefix: 'o:' } }, ...jwt }],
  }), []);
  const token = parseToken(`${part({ alg })}.${part(claims)}.AAAA`);
  if (!issuer || !token) throw new Error('the test is wrong');
  return createJwtAuthenticator(issuer, { verify: () => Promise.resolve() }, algorithms, () => nowMs).authenticate(token);
}
const mapping = (more: object): Record<string, unknown> => ({ claimMappings: { username: { claim: 'sub', prefix: '' }, ...more } });

describe('createJwtAuthenticator()', () => {
  it('makes a user of claims', async () => {
    expect(await user(mapping({ groups: { claim: 'roles', prefix: 'r:' }, uid: { claim: 'oid' } }), { ...base, aud: ['x', 'me'], roles: ['a', 'b'], oid: '7', jti: 'j' }))
      .to.deep.equal({ name: 'ann', uid: '7', groups: ['r:a', 'r:b'], extra: { 'authentication.kubernetes.io/credential-id': ['JTI=j'] } });
    expect(await user(mapping({ groups: { claim: 'roles', prefix: '' } }), { ...base, roles: 'admin' })).to.deep.equal({ name: 'ann', groups: ['admin'] });
    expect((await user({}, base)).name).to.equal('o:ann');
  });
  it('makes a user of expressions', async () => {
    const found = await user({
      claimMappings: {
        username: { expression: '"sa:" + claims.kubernetes__dot__io.namespace + ":" + claims["kubernetes.io"].list[0].a__dash__b' },
        groups: { expression: "(claims.roles.split(',') + ['', 'z']).map(r, r)" },
        uid: { expression: 'string(int(claims.number))' },
        extra: [{ key: 'example.org/a', valueExpression: "claims.?none.orValue('')" }, { key: 'example.org/b', valueExpression: '[string(claims.yes)]' }],
      },
      claimValidationRules: [{ expression: 'claims.number + 0.5 == 7.5' }],
      userValidationRules: [{ expression: "user.groups == ['a', 'b', 'z'] && user.extra.example__dot__org__slash__b[0] == 'true' && user.uid == '7' && !('example.org/a' in user.extra)" }],
    }, { ...base, 'kubernetes.io': { namespace: 'ns', list: [{ 'a-b': 'x' }] }, roles: 'a,b', number: 7, yes: true });
    expect(found).to.deep.equal({ name: 'sa:ns:x', uid: '7', groups: ['a', 'b', 'z'], extra: { 'example.org/b': ['true'] } });
  });
  it('forgives a little when a token is not valid yet', async () => expect((await user({}, { ...base, nbf: seconds + 299 })).name).to.equal('o:ann'));

  const bad: [string, Record<string, unknown>, Record<string, unknown>, string][] = [
    ['another audience', {}, { ...base, aud: ['you'] }, 'expected audience "me" got ["you"]'],
    ['no audience', {}, { ...base, aud: undefined }, 'expected audience "me" got []'],
    ['an end that is over', {}, { ...base, exp: seconds - 1 }, 'token is expired (Token Expiry: 2029-12-31T23:59:59.000Z)'],
    ['no end', {}, { ...base, exp: undefined }, 'token is expired'],
    ['an end that is a word', {}, { ...base, exp: 'never' }, 'token is expired'],
    ['a start to come', {}, { ...base, nbf: seconds + 301 }, 'before the nbf (not before) time'],
    ['a start that is a word', {}, { ...base, nbf: 'x' }, 'before the nbf (not before) time'],
    ['no name', {}, { ...base, sub: undefined }, 'oidc: parse username claims "sub": claim not present'],
    ['an empty name', {}, { ...base, sub: '' }, 'oidc: parse username claims "sub": it is empty'],
    ['a name that is a number', {}, { ...base, sub: 7 }, 'oidc: parse username claims "sub": json: cannot unmarshal number into Go value of type string'],
    ['an empty name of an expression', { claimMappings: { username: { expression: "''" } } }, base, 'oidc: empty username via CEL expression is not allowed'],
    ['a name that is a list', { claimMappings: { username: { expression: 'claims.aud' } } }, { ...base, aud: ['me'] }, 'username claim expression must return a string'],
    ['an address that is not verified', { claimMappings: { username: { claim: 'email', prefix: '' } } }, { ...base, email: 'a@b', email_verified: false }, 'oidc: email not verified'],
    ['an address verified by a word', { claimMappings: { username: { claim: 'email', prefix: '' } } }, { ...base, email: 'a@b', email_verified: 'true' }, "oidc: parse 'email_verified' claim"],
    ['groups that are numbers', mapping({ groups: { claim: 'roles', prefix: '' } }), { ...base, roles: [1] }, 'oidc: parse groups claim "roles": json: cannot unmarshal number into Go value of type string'],
    ['groups that are elsewhere', mapping({ groups: { claim: 'roles', prefix: '' } }), { ...base, _claim_names: { roles: 'src' } }, 'could not expand distributed claims'],
    ['groups of an expression that are a map', mapping({ groups: { expression: '{"a": claims.sub}' } }), base, 'expression must return a string or a list of strings'],
    ['a claim that an expression misses', mapping({ groups: { expression: 'claims.a.b' } }), { ...base, a: {} }, "oidc: error evaluating group claim expression: expression 'claims.a.b' resulted in error: no such key: b"],
    ['a member that only the prototype has', mapping({ groups: { expression: 'claims.constructor' } }), base, 'no such key: constructor'],
    ['a claim that was required', { claimValidationRules: [{ claim: 'hd', requiredValue: 'x' }] }, base, 'oidc: required claim hd not present in ID token'],
    ['another value of a required claim', { claimValidationRules: [{ claim: 'hd', requiredValue: 'x' }] }, { ...base, hd: 'y' }, 'oidc: required claim hd value does not match. Got = y, want = x'],
    ['claims against a rule', { claimValidationRules: [{ expression: 'claims.sub == "bob"', message: 'only bob' }] }, base, "validation expression 'claims.sub == \"bob\"' failed: only bob"],
    ['a user against a rule', { userValidationRules: [{ expression: "!user.username.startsWith('o:')", message: 'no o' }] }, base, "oidc: error evaluating user info validation rule: validation expression '!user.username.startsWith('o:')' failed: no o"],
  ];
  for (const [title, jwt, claims, text] of bad) {
    it(`refuses ${title}`, async () => {
      const error: unknown = await user(jwt, claims).catch((refusal: unknown) => refusal);
      expect(error).to.be.instanceOf(TokenError);
      expect((error as TokenError).message).to.include(text);
    });
  }
  for (const alg of ['none', 'HS256', 'RS256', '']) {
    it(`refuses algorithm "${alg}" unless it was named`, async () => {
      const error: unknown = await user({}, base, { alg }).catch((refusal: unknown) => refusal);
      expect((error as TokenError).message).to.include(`expected ["ES256"] got "${alg}"`);
    });
  }
});
