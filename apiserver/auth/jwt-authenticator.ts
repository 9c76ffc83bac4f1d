// The tokens of one issuer: who signed it, for whom and how long, and which user its claims make.
// Upstream: plugin/pkg/authenticator/token/oidc.
import { signatureAlgorithms } from '#machinery/pki/jwt.ts';
import type { ParsedToken } from '#machinery/pki/jwt.ts';
import { CelError } from '#machinery/cel/cel.ts';
import { unescapeField } from '#machinery/cel/escape.ts';
import { CelList, CelMap, ValueList } from '#machinery/cel/values.ts';
import type { Value } from '#machinery/cel/values.ts';
import type { UserInfo } from '../request.ts';
import { credentialIdKey } from './identity.ts';
import type { Expression, JwtIssuer, Rule } from './jwt-config.ts';
import type { KeySource } from './jwks.ts';
import { TokenError } from './service-account-tokens.ts';

const notBeforeLeewayMs = 300_000; // go-oidc's
const expressionBudget = 10_000_000;

export interface JwtAuthenticator {
  /** Of a token whose `iss` is this issuer's; nothing in it is trusted yet. Rejects with TokenError. */
  authenticate(token: ParsedToken): Promise<UserInfo>;
}

export function createJwtAuthenticator(issuer: JwtIssuer, keys: KeySource, algorithms: readonly string[] = signatureAlgorithms, now: () => number = Date.now): JwtAuthenticator {
  return {
    async authenticate(token) {
      checkClaims(token, issuer, now());
      const algorithm = token.header.alg;
      if (typeof algorithm !== 'string' || !algorithms.includes(algorithm)) {
        throw new TokenError(`oidc: verify token: oidc: id token signed with unsupported algorithm, expected ${quoted(algorithms)} got ${JSON.stringify(algorithm ?? '')}`);
      }
      await keys.verify(token);
      try {
        return userOf(token.claims, issuer);
      } catch (error) {
        // Claims nested too deeply to be walked through.
        if (error instanceof RangeError) throw new TokenError('oidc: parse claims: they are nested too deeply', { cause: error });
        throw error;
      }
    },
  };
}

function checkClaims({ claims }: ParsedToken, issuer: JwtIssuer, nowMs: number): void {
  const fail = (text: string): never => {
    throw new TokenError(`oidc: verify token: oidc: ${text}`);
  };
  const audiences = typeof claims.aud === 'string' ? [claims.aud] : Array.isArray(claims.aud) ? claims.aud.filter((one) => typeof one === 'string') : [];
  if (!issuer.audiences.some((one) => audiences.includes(one))) {
    fail(issuer.audiences.length === 1 ? `expected audience ${quoted(issuer.audiences, '')} got ${quoted(audiences)}` : `expected audience in ${quoted([...issuer.audiences].sort())} got ${quoted(audiences)}`);
  }
  const expires = typeof claims.exp === 'number' ? claims.exp * 1000 : 0;
  if (!(expires >= nowMs)) fail(`token is expired (Token Expiry: ${shownTime(expires)})`);
  if (claims.nbf === undefined || claims.nbf === null) return;
  const from = typeof claims.nbf === 'number' ? claims.nbf * 1000 : Number.NaN;
  if (!(nowMs + notBeforeLeewayMs >= from)) fail(`current time ${shownTime(nowMs)} before the nbf (not before) time: ${shownTime(from)}`);
}

const shownTime = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : 'unreadable');
const quoted = (values: readonly string[], brackets = '[]'): string => `${brackets.slice(0, 1)}${values.map((value) => JSON.stringify(value)).join(' ')}${brackets.slice(1)}`;

function userOf(claims: Record<string, unknown>, issuer: JwtIssuer): UserInfo {
  if (issuer.groups.claim !== '' && !Object.hasOwn(claims, issuer.groups.claim) && Object.hasOwn(claims, '_claim_names')) {
    throw new TokenError('oidc: could not expand distributed claims: they are not supported');
  }
  const values = new ClaimMap(claims);
  const evaluate = ({ source, program }: Expression, variable: 'claims' | 'user', value: Value, what: string): unknown => {
    try {
      return program.evaluate({ [variable]: value }, { remaining: expressionBudget });
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      throw new TokenError(`oidc: error evaluating ${what}: expression '${source}' resulted in error: ${error.message}`, { cause: error });
    }
  };
  const list = (expression: Expression, what: string): string[] => {
    const texts = textsOf(evaluate(expression, 'claims', values, what));
    if (!texts) throw new TokenError(`oidc: error evaluating ${what}: expression must return a string or a list of strings`);
    return texts;
  };
  const text = (expression: Expression, what: string): string => {
    const value = evaluate(expression, 'claims', values, `${what} claim expression`);
    if (typeof value !== 'string') throw new TokenError(`oidc: error evaluating ${what} claim expression: ${what} claim expression must return a string`);
    return value;
  };
  const { username, groups, uid } = issuer;
  const name = username.expression ? text(username.expression, 'username') : usernameOf(claims, username.claim, username.prefix);
  if (name === '') throw new TokenError('oidc: empty username via CEL expression is not allowed');
  const userGroups = groups.expression ? list(groups.expression, 'group claim expression') : groups.claim === '' ? [] : groupsOf(claims, groups.claim, groups.prefix);
  const userUid = uid.expression ? text(uid.expression, 'uid') : uid.claim === '' ? '' : textClaim(claims, uid.claim, `parse uid claim "${uid.claim}"`);
  const extra: Record<string, string[]> = {};
  if (typeof claims.jti === 'string' && claims.jti !== '') extra[credentialIdKey] = [`JTI=${claims.jti}`];
  for (const one of issuer.extra) {
    const given = list(one, 'extra claim expression');
    if (given.length > 0) extra[one.key] = given;
  }
  const user: UserInfo = { name, ...(userUid === '' ? {} : { uid: userUid }), groups: userGroups, ...(Object.keys(extra).length === 0 ? {} : { extra }) };

  for (const { claim, value } of issuer.requiredClaims) {
    if (!Object.hasOwn(claims, claim)) throw new TokenError(`oidc: required claim ${claim} not present in ID token`);
    const found = textClaim(claims, claim, `parse claim ${claim}`);
    if (found !== value) throw new TokenError(`oidc: required claim ${claim} value does not match. Got = ${found}, want = ${value}`);
  }
  const demand = (rules: readonly Rule[], variable: 'claims' | 'user', value: Value, what: string): void => {
    for (const rule of rules) {
      if (evaluate(rule, variable, value, what) !== true) throw new TokenError(`oidc: error evaluating ${what}: validation expression '${rule.source}' failed: ${rule.message}`);
    }
  };
  demand(issuer.claimRules, 'claims', values, 'claim validation expression');
  if (issuer.userRules.length > 0) demand(issuer.userRules, 'user', new ClaimMap({ username: name, uid: userUid, groups: userGroups, extra }), 'user info validation rule');
  return user;
}

function usernameOf(claims: Record<string, unknown>, claim: string, prefix: string): string {
  const name = textClaim(claims, claim, `parse username claims "${claim}"`);
  if (name === '') throw new TokenError(`oidc: parse username claims "${claim}": it is empty`);
  if (claim === 'email' && Object.hasOwn(claims, 'email_verified')) {
    const verified = claims.email_verified;
    if (typeof verified !== 'boolean') throw new TokenError(`oidc: parse 'email_verified' claim: json: cannot unmarshal ${jsonType(verified)} into Go value of type bool`);
    if (!verified) throw new TokenError('oidc: email not verified');
  }
  return `${prefix}${name}`;
}

function groupsOf(claims: Record<string, unknown>, claim: string, prefix: string): string[] {
  const value = Object.hasOwn(claims, claim) ? claims[claim] : [];
  const groups: unknown[] = Array.isArray(value) ? value : [value];
  return groups.map((group) => {
    if (typeof group !== 'string') throw new TokenError(`oidc: parse groups claim "${claim}": json: cannot unmarshal ${jsonType(group)} into Go value of type string`);
    return `${prefix}${group}`;
  });
}

function textClaim(claims: Record<string, unknown>, claim: string, what: string): string {
  if (!Object.hasOwn(claims, claim)) throw new TokenError(`oidc: ${what}: claim not present`);
  const value = claims[claim];
  if (typeof value !== 'string') throw new TokenError(`oidc: ${what}: json: cannot unmarshal ${jsonType(value)} into Go value of type string`);
  return value;
}

function jsonType(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
}

/** Empty texts count as absent. undefined: neither a text nor texts. */
function textsOf(value: unknown): string[] | undefined {
  if (value === null || value === '') return [];
  if (typeof value === 'string') return [value];
  if (!(value instanceof CelList)) return undefined;
  const texts = [...value];
  return texts.every((one) => typeof one === 'string') ? texts.filter((one) => one !== '') : undefined;
}

/** An object of claims: names may be written escaped (`kubernetes__dot__io`) or as they are. Its numbers are all doubles, as Go reads JSON. */
class ClaimMap extends CelMap {
  readonly #members: Readonly<Record<string, unknown>>;
  constructor(members: Readonly<Record<string, unknown>>) {
    super();
    this.#members = members;
  }
  get size(): number { return Object.keys(this.#members).length; }
  find(key: Value): Value | undefined {
    if (typeof key !== 'string') return undefined;
    const name = unescapeField(key) ?? key;
    return Object.hasOwn(this.#members, name) ? claimValue(this.#members[name]) : undefined;
  }
  keys(): Iterable<Value> { return Object.keys(this.#members); }
}

function claimValue(json: unknown): Value {
  if (Array.isArray(json)) return new ValueList(json.map(claimValue));
  if (typeof json === 'object' && json !== null) return new ClaimMap(json as Record<string, unknown>); // neither null nor an array
  return json as null | boolean | number | string; // what else JSON has
}
