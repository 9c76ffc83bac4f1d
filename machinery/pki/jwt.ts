// Compact JSON Web Signatures with node:crypto: what service-account tokens need (RS256, ES256/384/512), and checking those of other
// issuers. A JOSE library would cost more at start-up than the whole rest of authentication.
import { constants, createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

export interface TokenKey {
  readonly id: string;
  readonly algorithm: 'RS256' | 'ES256' | 'ES384' | 'ES512';
  readonly publicKey: KeyObject;
}

const hashes = { RS256: 'sha256', ES256: 'sha256', ES384: 'sha384', ES512: 'sha512' } as const;
const curves: Record<string, TokenKey['algorithm']> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' };

/** Takes a public key, or the public half of a private one. The id is upstream's: a hash of the SPKI bytes. */
export function readTokenKey(pem: string): TokenKey {
  const publicKey = createPublicKey(pem);
  const algorithm = publicKey.asymmetricKeyType === 'rsa' ? 'RS256' as const : curves[publicKey.asymmetricKeyDetails?.namedCurve ?? ''];
  if (algorithm === undefined) throw new Error(`service-account key: ${publicKey.asymmetricKeyType ?? 'unknown'} keys are not supported; use RSA, P-256, P-384 or P-521`);
  return { id: createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64url'), algorithm, publicKey };
}

export type Signer = (claims: Record<string, unknown>) => Promise<string>;

export function createSigner(privateKeyPem: string): Signer {
  const key = createPrivateKey(privateKeyPem);
  const { id, algorithm } = readTokenKey(privateKeyPem);
  const header = encode({ alg: algorithm, kid: id });
  return (claims) => {
    const signed = `${header}.${encode(claims)}`;
    // With a callback the signature (about a millisecond) is made off the main thread.
    return new Promise((resolve, reject) => {
      sign(hashes[algorithm], Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }, (error, signature) => {
        if (error) reject(error);
        else resolve(`${signed}.${signature.toString('base64url')}`);
      });
    });
  };
}

export interface ParsedToken {
  header: Record<string, unknown>;
  claims: Record<string, unknown>;
  signed: Buffer;
  signature: Buffer;
}

const base64url = /^[A-Za-z0-9_-]*$/;

/** undefined for anything that is not three base64url parts with JSON objects in the first two. Nothing in it can be trusted yet. */
export function parseToken(token: string): ParsedToken | undefined {
  const parts = token.split('.');
  const [head = '', body = '', tail = ''] = parts;
  if (parts.length !== 3 || !parts.every((part) => part !== '' && base64url.test(part))) return undefined;
  const header = decode(head);
  const claims = decode(body);
  if (header === undefined || claims === undefined) return undefined;
  return { header, claims, signed: Buffer.from(`${head}.${body}`), signature: Buffer.from(tail, 'base64url') };
}

/** The key decides the algorithm, never the token's header alone. */
export function isSignedBy(token: ParsedToken, key: TokenKey): boolean {
  if (token.header.alg !== key.algorithm || token.header.crit !== undefined) return false;
  return verify(hashes[key.algorithm], token.signed, { key: key.publicKey, dsaEncoding: 'ieee-p1363' }, token.signature);
}

/** What tokens of other issuers may be signed with; never with a shared secret, never with nothing. */
export const signatureAlgorithms = ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'] as const;
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

const curveOf: Partial<Record<SignatureAlgorithm, string>> = { ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1' };

/** Whether that key made the signature, by the algorithm that the header names; a key of another type or curve made none. */
export function isSignedWith(token: ParsedToken, publicKey: KeyObject): boolean {
  const algorithm = signatureAlgorithms.find((one) => one === token.header.alg);
  if (algorithm === undefined || token.header.crit !== undefined) return false;
  const curve = curveOf[algorithm];
  if (publicKey.asymmetricKeyType !== (curve === undefined ? 'rsa' : 'ec') || publicKey.asymmetricKeyDetails?.namedCurve !== curve) return false;
  const padding = algorithm.startsWith('PS') ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {};
  return verify(`sha${algorithm.slice(2)}`, token.signed, { key: publicKey, dsaEncoding: 'ieee-p1363', ...padding }, token.signature);
}

/** The keys as a JWK set. */
export function jwks(keys: readonly TokenKey[]): { keys: Record<string, unknown>[] } {
  return { keys: keys.map((key) => ({ use: 'sig', kid: key.id, alg: key.algorithm, ...key.publicKey.export({ format: 'jwk' }) })) };
}

function encode(value: Record<string, unknown>): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
function decode(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined; // checked right here
  } catch {
    return undefined; // not JSON is not a token, whatever the parser says of it
  }
}
