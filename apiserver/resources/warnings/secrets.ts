// A TLS Secret whose certificate and key do not belong together is stored, with a warning in the words of Go's crypto/tls (X509KeyPair).
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KubeObject } from '#machinery/api/object.ts';
import { at, text } from '../values.ts';

export function secretWarnings(object: Readonly<KubeObject>): string[] {
  if (object['type'] !== 'kubernetes.io/tls') return [];
  const problem = pairProblem(pemBlocks(at(object, 'data', 'tls.crt')), pemBlocks(at(object, 'data', 'tls.key')));
  return problem === undefined ? [] : [problem];
}

interface Block { type: string; whole: string }
function pemBlocks(base64: unknown): Block[] {
  const pem = Buffer.from(text(base64), 'base64').toString('latin1');
  return [...pem.matchAll(/^-----BEGIN ([^\n]*?)-----\r?\n[\s\S]*?^-----END \1-----/gm)].map(([whole, type = '']) => ({ type, whole }));
}

function pairProblem(certificates: readonly Block[], keys: readonly Block[]): string | undefined {
  const certificate = certificates.find(({ type }) => type === 'CERTIFICATE');
  const [first, ...more] = certificates.map(({ type }) => type);
  if (!certificate) {
    if (first === undefined) return 'tls: failed to find any PEM data in certificate input';
    if (more.length === 0 && first.endsWith('PRIVATE KEY')) return 'tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched';
    return `tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following types: [${[first, ...more].join(' ')}]`;
  }
  const index = keys.findIndex(({ type }) => type === 'PRIVATE KEY' || type.endsWith(' PRIVATE KEY'));
  const skipped = keys.map(({ type }) => type);
  const key = keys[index];
  if (!key) {
    if (skipped.length === 0) return 'tls: failed to find any PEM data in key input';
    if (skipped.length === 1 && skipped[0] === 'CERTIFICATE') return 'tls: found a certificate rather than a key in the PEM for the private key';
    return `tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the following types: [${skipped.join(' ')}]`;
  }
  const leaf = attempt(() => new X509Certificate(certificate.whole));
  if (!leaf) return 'x509: malformed certificate';
  const secret = attempt(() => createPrivateKey(key.whole));
  if (!secret) return 'tls: failed to parse private key';
  if (leaf.publicKey.asymmetricKeyType !== secret.asymmetricKeyType) return 'tls: private key type does not match public key type';
  return leaf.checkPrivateKey(secret) ? undefined : 'tls: private key does not match public key';
}
/** What cannot be read is the caller's answer. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
