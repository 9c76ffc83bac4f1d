import { expect } from 'chai';
import { parseAuthenticationConfiguration } from './jwt-config.ts';
import type { JwtConfig } from './jwt-config.ts';

const own = 'https://kubernetes.default.svc';
const parse = (jwt: unknown, more: Record<string, unknown> = {}): Promise<JwtConfig> =>
  parseAuthenticationConfiguration(JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthenticationConfiguration', jwt, ...more }), [own]);
const problem = async (work: Promise<JwtConfig>): Promise<string> => work.then(() => 'it was taken', (error: unknown) => (error as Error).message);
const issuer = { url: 'https://issuer.example', audiences: ['me'] };
const username = { claim: 'sub', prefix: '' };

describe('parseAuthenticationConfiguration()', () => {
  it('reads issuers, their mappings and rules', async () => {
    const { issuers: [one, two], anonymous } = await parse([
      { issuer: { ...issuer, audiences: ['a', 'b'], audienceMatchPolicy: 'MatchAny', discoveryURL: 'https://issuer.example/discover' },
        claimValidationRules: [{ claim: 'hd', requiredValue: 'example.com' }, { expression: 'claims.exp - claims.nbf <= 86400', message: 'a day at most' }],
        claimMappings: { username: { expression: "claims.name + ':x'" }, groups: { claim: 'roles', prefix: 'r:' }, uid: { claim: 'oid' }, extra: [{ key: 'example.org/team', valueExpression: 'claims.team' }] },
        userValidationRules: [{ expression: "!user.username.startsWith('system:')", message: 'reserved' }] },
      { issuer: { ...issuer, url: 'https://other.example' }, claimMappings: { username } },
    ], { anonymous: { enabled: true, conditions: [{ path: '/livez' }] } });
    expect(one).to.include({ url: 'https://issuer.example', discoveryUrl: 'https://issuer.example/discover' });
    expect(one?.requiredClaims).to.deep.equal([{ claim: 'hd', value: 'example.com' }]);
    expect(one?.claimRules.map(({ message }) => message)).to.deep.equal(['a day at most']);
    expect(one?.groups).to.deep.equal({ claim: 'roles', prefix: 'r:', expression: undefined });
    expect(two?.username.claim).to.equal('sub');
    expect(anonymous).to.deep.equal({ enabled: true, paths: ['/livez'] });
  });
  it('takes no issuer at all', async () => expect((await parse([])).issuers).to.deep.equal([]));
  it('wants a verified address where names come from addresses', async () => {
    const mapped = (expression: string, more: object = {}): unknown => [{ issuer, claimMappings: { username: { expression }, ...more } }];
    const wanted = 'claims.email_verified must be used';
    expect(await problem(parse(mapped('claims.email')))).to.include(wanted);
    expect(await problem(parse(mapped("claims.?email.orValue('')")))).to.include(wanted);
    expect(await problem(parse(mapped("claims.?email_verified.orValue(true) ? claims.email : claims.sub")))).to.equal('it was taken');
    expect(await problem(parse(mapped('claims.email', { extra: [{ key: 'example.org/v', valueExpression: 'string(claims.email_verified)' }] })))).to.equal('it was taken');
  });

  const bad: [string, unknown, string][] = [
    ['no issuer', [{ claimMappings: { username } }], '[jwt[0].issuer.url: Required value, jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required]'],
    ['no mapping', [{ issuer }], 'jwt[0].claimMappings.username: Required value: claim or expression is required'],
    ['plain http', [{ issuer: { ...issuer, url: 'http://issuer.example' }, claimMappings: { username } }], 'jwt[0].issuer.url: Invalid value: "http://issuer.example": URL scheme must be https'],
    ['no URL', [{ issuer: { ...issuer, url: 'issuer' }, claimMappings: { username } }], 'jwt[0].issuer.url: Invalid value: "issuer": URL scheme must be https'],
    ['a password in the URL', [{ issuer: { ...issuer, url: 'https://a:b@issuer.example' }, claimMappings: { username } }], 'jwt[0].issuer.url: Invalid value: "https://a:b@issuer.example": URL must not contain a username or password'],
    ['a query in the URL', [{ issuer: { ...issuer, url: 'https://issuer.example?a=b' }, claimMappings: { username } }], 'jwt[0].issuer.url: Invalid value: "https://issuer.example?a=b": URL must not contain a query'],
    ['our own issuer', [{ issuer: { ...issuer, url: own }, claimMappings: { username } }], `jwt[0].issuer.url: Invalid value: "${own}": URL must not overlap with disallowed issuers: [${own}]`],
    ['discovery where the issuer is', [{ issuer: { ...issuer, discoveryURL: 'https://issuer.example/' }, claimMappings: { username } }], 'jwt[0].issuer.discoveryURL: Invalid value: "https://issuer.example/": discoveryURL must be different from URL'],
    ['an issuer twice', [{ issuer, claimMappings: { username } }, { issuer, claimMappings: { username } }], 'jwt[1].issuer.url: Duplicate value: "https://issuer.example"'],
    ['two audiences without a policy', [{ issuer: { ...issuer, audiences: ['a', 'b'] }, claimMappings: { username } }], 'jwt[0].issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be MatchAny for multiple audiences'],
    ['an audience twice', [{ issuer: { ...issuer, audiences: ['a', 'a'], audienceMatchPolicy: 'MatchAny' }, claimMappings: { username } }], 'jwt[0].issuer.audiences[1]: Duplicate value: "a"'],
    ['an authority that is none', [{ issuer: { ...issuer, certificateAuthority: 'x' }, claimMappings: { username } }], 'jwt[0].issuer.certificateAuthority: Invalid value: "<omitted>": it holds no certificate'],
    ['a claim without prefix', [{ issuer, claimMappings: { username: { claim: 'sub' } } }], 'jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing'],
    ['claim and expression', [{ issuer, claimMappings: { username: { claim: 'sub', prefix: '', expression: 'claims.sub' } } }], 'jwt[0].claimMappings.username: Invalid value: "": claim and expression can\'t both be set'],
    ['a prefix of an expression', [{ issuer, claimMappings: { username: { prefix: 'x', expression: 'claims.sub' } } }], 'jwt[0].claimMappings.username.prefix: Invalid value: "x": may not be specified when expression is set'],
    ['a rule with nothing', [{ issuer, claimMappings: { username }, claimValidationRules: [{}] }], 'jwt[0].claimValidationRules[0]: Required value: claim or expression is required'],
    ['a rule that is no condition', [{ issuer, claimMappings: { username }, claimValidationRules: [{ expression: 'claims.ok' }] }], 'jwt[0].claimValidationRules[0].expression: Invalid value: "claims.ok": must evaluate to bool'],
    ['a rule twice', [{ issuer, claimMappings: { username }, userValidationRules: [{ expression: 'true' }, { expression: 'true' }] }], 'jwt[0].userValidationRules[1].expression: Duplicate value: "true"'],
    ['a key without domain', [{ issuer, claimMappings: { username, extra: [{ key: 'team', valueExpression: 'claims.team' }] } }], 'jwt[0].claimMappings.extra[0].key: Invalid value: "team": must be a domain-prefixed path (such as "acme.io/foo")'],
    ['a key of Kubernetes', [{ issuer, claimMappings: { username, extra: [{ key: 'x.k8s.io/a', valueExpression: 'claims.a' }] } }], 'jwt[0].claimMappings.extra[0].key: Invalid value: "x.k8s.io/a": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use'],
  ];
  for (const [title, jwt, text] of bad) it(`refuses ${title}`, async () => expect(await problem(parse(jwt))).to.equal(`invalid authentication configuration: ${text}`));
  it('refuses expressions that name what there is not', async () => {
    expect(await problem(parse([{ issuer, claimMappings: { username: { expression: 'user.username' } } }]))).to.include('compilation failed: ERROR: <input>:1:1: undeclared reference to \'user\'');
    expect(await problem(parse([{ issuer, claimMappings: { username }, userValidationRules: [{ expression: 'user.nope == 1' }] }]))).to.include("undefined field 'nope'");
  });
  it('refuses conditions of what is off, fields it does not know and files that are something else', async () => {
    expect(await problem(parse([], { anonymous: { enabled: false, conditions: [{ path: '/a' }] } }))).to.include('enabled should be set to true when conditions are defined');
    expect(await problem(parse([{ issuer: { ...issuer, audience: 'x' }, claimMappings: { username } }]))).to.equal('strict decoding error: unknown field "jwt[0].issuer.audience"');
    expect(await problem(parse('x'))).to.include('cannot unmarshal string');
    expect(await problem(parseAuthenticationConfiguration(' ', []))).to.equal('empty config data');
    expect(await problem(parseAuthenticationConfiguration('kind: Pod\napiVersion: v1', []))).to.include('no kind "Pod" is registered');
    expect(await problem(parseAuthenticationConfiguration('{', []))).to.include('failed decoding');
    expect(await problem(parse(Array.from({ length: 65 }, () => ({}))))).to.include('jwt: Too many: 65: must have at most 64 items');
  });
});
