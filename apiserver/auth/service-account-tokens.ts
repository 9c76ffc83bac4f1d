// Bearer tokens of service accounts: signature, issuer, audience, times, and whether what they are bound to still lives.
// Upstream: pkg/serviceaccount/{jwt,claims}.go.
import { timingSafeEqual } from 'node:crypto';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { ApiserverConfig } from '../config.ts';
import type { UserInfo } from '../request.ts';
import {
  authenticatedGroup, credentialIdKey, nodeNameKey, nodeUidKey, podNameKey, podUidKey, serviceAccountGroups, serviceAccountUsername,
} from './identity.ts';
import { isSignedBy, parseToken, readTokenKey, type ParsedToken, type TokenKey } from '#machinery/pki/jwt.ts';

/** A token that is ours and not good; the text is safe to show (TokenReview does). */
export class TokenError extends Error {
  override name = 'TokenError';
}

export interface AuthenticatedToken { user: UserInfo; audiences: string[] }
export interface TokenAuthenticator {
  /** `audiences` of the one who asks; default: the API server's own. Throws TokenError. */
  authenticate(token: string, audiences?: readonly string[]): AuthenticatedToken;
}

interface Ref { name: string; uid: string }
interface Claims {
  audiences: string[];
  expiresMs: number;
  notBeforeMs: number;
  issuedMs: number;
  namespace: string;
  account: Ref;
  pod?: Ref;
  secret?: Ref;
  node?: Ref;
  /** Of a token without an end: the Secret that must still hold it. */
  heldBy?: string;
  user: UserInfo;
}

const legacyIssuer = 'kubernetes/serviceaccount';
const leewayMs = 60_000; // go-jose's default
const cacheLimit = 2048;
export const invalidToken = 'invalid bearer token';

export function createTokenAuthenticator(
  config: ApiserverConfig['serviceAccount'],
  backend: Pick<Backend, 'lookup'>,
  now: () => number = Date.now,
): TokenAuthenticator {
  const keys = new Map<string, TokenKey>();
  for (const pem of config.publicKeys) {
    const key = readTokenKey(pem);
    keys.set(key.id, key);
  }
  // Tokens whose signature was found good, oldest out first. Times and liveness are looked at on every use.
  const verified = new Map<string, Claims>();

  function read(token: string): Claims {
    const known = verified.get(token);
    if (known !== undefined) return known;
    const parsed = parseToken(token);
    if (parsed === undefined || (parsed.claims.iss !== config.issuer && parsed.claims.iss !== legacyIssuer)) throw new TokenError(invalidToken);
    const { kid } = parsed.header;
    const candidates = typeof kid === 'string' && kid !== '' ? [keys.get(kid)] : [...keys.values()];
    const usable = candidates.filter((key) => key !== undefined);
    if (usable.length === 0) throw new TokenError('invalid signature, no keys found');
    if (!usable.some((key) => isSignedBy(parsed, key))) throw new TokenError('invalid signature');
    const claims = parsed.claims.iss === legacyIssuer ? readLegacyClaims(parsed) : readClaims(parsed);
    if (verified.size >= cacheLimit) verified.delete(verified.keys().next().value ?? '');
    verified.set(token, claims);
    return claims;
  }

  return {
    authenticate(token, audiences = config.audiences) {
      const claims = read(token);
      const own = claims.audiences.length === 0 ? config.audiences : claims.audiences;
      const shared = own.filter((audience) => audiences.includes(audience));
      if (shared.length === 0) {
        throw new TokenError(`token audiences ${quoteList(own)} is invalid for the target audiences ${quoteList(audiences)}`);
      }
      const nowMs = now();
      if (nowMs > claims.expiresMs + leewayMs) {
        verified.delete(token);
        throw new TokenError('service account token has expired');
      }
      if (nowMs < claims.notBeforeMs - leewayMs) throw new TokenError('service account token is not valid yet');
      if (nowMs < claims.issuedMs - leewayMs) throw new TokenError('service account token is issued in the future');
      if (claims.heldBy !== undefined) checkHeld(claims, claims.heldBy, token, backend);
      checkLiving(claims, backend, nowMs);
      return { user: claims.user, audiences: shared };
    },
  };
}

function checkLiving({ namespace, account, pod, secret, node }: Claims, backend: Pick<Backend, 'lookup'>, nowMs: number): void {
  const current = backend.lookup('serviceaccounts', namespace, account.name);
  if (current === undefined) throw new TokenError(`serviceaccounts "${account.name}" not found`);
  if (current.metadata?.uid !== account.uid) throw new TokenError(`service account UID (${current.metadata?.uid}) does not match claim (${account.uid})`);
  if (isLongDeleted(current, nowMs)) throw new TokenError(`service account ${namespace}/${account.name} has been deleted`);
  if (secret !== undefined) checkBound(backend.lookup('secrets', namespace, secret.name), secret, 'secret UID', 'service account secret ref claim', nowMs);
  if (pod !== undefined) checkBound(backend.lookup('pods', namespace, pod.name), pod, 'pod UID', 'service account pod ref claim', nowMs);
  // Beside a pod the node is only told, not bound.
  else if (node !== undefined) checkBound(backend.lookup('nodes', '', node.name), node, 'node UID', 'service account node ref claim', nowMs);
}

/** Deleting the Secret ends its token at once. */
function checkHeld({ namespace, account }: Claims, name: string, token: string, backend: Pick<Backend, 'lookup'>): void {
  const secret = backend.lookup('secrets', namespace, name);
  if (secret === undefined || secret.metadata?.deletionTimestamp !== undefined) throw new TokenError('Token has been invalidated');
  const held = Buffer.from(text(record(secret['data'])?.['token']), 'base64');
  const given = Buffer.from(token);
  if (held.length !== given.length || !timingSafeEqual(held, given)) throw new TokenError("Token does not match server's copy");
  const invalidSince = secret.metadata?.labels?.['kubernetes.io/legacy-token-invalid-since'];
  if (!invalidSince) return;
  throw new TokenError(`the token in secret ${namespace}/${name} for service account ${namespace}/${account.name} has been marked invalid. `
    + "Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the 'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token");
}

function checkBound(object: Readonly<KubeObject> | undefined, ref: Ref, what: string, claim: string, nowMs: number): void {
  if (object === undefined) throw new TokenError('service account token has been invalidated');
  if (object.metadata?.uid !== ref.uid) throw new TokenError(`${what} (${object.metadata?.uid}) does not match ${claim} (${ref.uid})`);
  if (isLongDeleted(object, nowMs)) throw new TokenError('service account token has been invalidated');
}

function isLongDeleted(object: Readonly<KubeObject>, nowMs: number): boolean {
  const at = object.metadata?.deletionTimestamp;
  return at !== undefined && Date.parse(at) < nowMs - leewayMs;
}

function readLegacyClaims({ claims }: ParsedToken): Claims {
  const of = (key: string): string => text(claims[`kubernetes.io/serviceaccount/${key}`]);
  const [namespace, account, heldBy] = [of('namespace'), { name: of('service-account.name'), uid: of('service-account.uid') }, of('secret.name')];
  const name = serviceAccountUsername(namespace, account.name);
  if (namespace === '' || account.name === '' || account.uid === '' || heldBy === '') throw new TokenError('service account token claims could not be validated');
  if (claims.sub !== name) throw new TokenError('sub claim is invalid');
  return {
    audiences: [], expiresMs: Infinity, notBeforeMs: 0, issuedMs: 0, namespace, account, heldBy,
    user: { name, uid: account.uid, groups: [...serviceAccountGroups(namespace), authenticatedGroup] },
  };
}

function readClaims({ claims }: ParsedToken): Claims {
  const own = record(claims['kubernetes.io']);
  const namespace = text(own?.namespace);
  const account = reference(own?.serviceaccount);
  if (namespace === '' || account === undefined || claims.sub !== serviceAccountUsername(namespace, account.name)) {
    throw new TokenError('service account token claims could not be validated');
  }
  const pod = reference(own?.pod);
  const secret = reference(own?.secret);
  const node = reference(own?.node);
  const audiences = typeof claims.aud === 'string' ? [claims.aud] : Array.isArray(claims.aud) ? claims.aud.filter((a) => typeof a === 'string') : [];
  const expiresMs = dateMs(claims.exp);
  if (expiresMs === undefined) throw new TokenError('service account token claims could not be validated');
  const id = text(claims.jti);
  const extra: Record<string, string[]> = {
    ...(id === '' ? {} : { [credentialIdKey]: [`JTI=${id}`] }),
    ...(node === undefined ? {} : { [nodeNameKey]: [node.name], ...(node.uid === '' ? {} : { [nodeUidKey]: [node.uid] }) }),
    ...(pod === undefined ? {} : { [podNameKey]: [pod.name], [podUidKey]: [pod.uid] }),
  };
  return {
    audiences, expiresMs, notBeforeMs: dateMs(claims.nbf) ?? 0, issuedMs: dateMs(claims.iat) ?? 0, namespace, account,
    ...(pod ? { pod } : {}), ...(secret ? { secret } : {}), ...(node ? { node } : {}),
    user: {
      name: serviceAccountUsername(namespace, account.name),
      uid: account.uid,
      groups: [...serviceAccountGroups(namespace), authenticatedGroup],
      ...(Object.keys(extra).length === 0 ? {} : { extra }),
    },
  };
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined; // checked right here
}
function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
function reference(value: unknown): Ref | undefined {
  const ref = record(value);
  return ref === undefined ? undefined : { name: text(ref.name), uid: text(ref.uid) };
}
function dateMs(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : undefined;
}
function quoteList(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(' ')}]`;
}
