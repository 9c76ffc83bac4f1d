// Bootstrap tokens: which may sign, when they end, and their signatures on what joining nodes read, without I/O.
// Upstream: pkg/controller/bootstrap, cluster-bootstrap.
import { createHmac } from 'node:crypto';
import type { ConfigMap, Secret } from '#machinery/api/object.ts';

export const secretType = 'bootstrap.kubernetes.io/token';
const signaturePrefix = 'jws-kubeconfig-';
const valueOf = ({ data }: Secret, key: string): string => Buffer.from(data?.[key] ?? '', 'base64').toString();

/** Milliseconds until the token ends, 0 or less: it has, as one whose end cannot be read; undefined: never. */
export function endsInMs(secret: Secret, now: number): number | undefined {
  const expiration = valueOf(secret, 'expiration');
  if (expiration === '') return undefined;
  const at = Date.parse(expiration);
  return Number.isNaN(at) || !/^\d{4}-\d\d-\d\dT/.test(expiration) ? 0 : at - now;
}

/** The token that may sign; undefined for one that may not, has ended, or is not well made. */
export function signingToken(secret: Secret, now: number): { id: string; secret: string } | undefined {
  const id = valueOf(secret, 'token-id');
  const text = valueOf(secret, 'token-secret');
  const isGood = secret.type === secretType && /^[a-z0-9]{6}$/.test(id) && secret.metadata.name === `bootstrap-token-${id}` && text !== ''
    && valueOf(secret, 'usage-bootstrap-signing') === 'true' && (endsInMs(secret, now) ?? 1) > 0;
  return isGood ? { id, secret: text } : undefined;
}

/** A compact JWS (RFC 7515) without its middle part: whoever checks it has the content. */
export function detachedSignature(content: string, id: string, secret: string): string {
  const part = (text: string): string => Buffer.from(text).toString('base64url');
  const header = part(`{"alg":"HS256","kid":${JSON.stringify(id)}}`);
  return `${header}..${createHmac('sha256', secret).update(`${header}.${part(content)}`).digest('base64url')}`;
}

/** The map's data with a signature of each token and no others; undefined when it is so already, or there is nothing to sign. */
export function signedData({ data = {} }: ConfigMap, tokens: readonly { id: string; secret: string }[]): Record<string, string> | undefined {
  const content = data['kubeconfig'];
  if (content === undefined) return undefined;
  const next = Object.fromEntries(Object.entries(data).filter(([key]) => !key.startsWith(signaturePrefix)));
  for (const { id, secret } of tokens) next[signaturePrefix + id] = detachedSignature(content, id, secret);
  const same = Object.keys(next).length === Object.keys(data).length && Object.entries(next).every(([key, value]) => data[key] === value);
  return same ? undefined : next;
}
