// Client certificates: the TLS layer asks for one but lets everybody in; here the chain up to a client CA is checked and
// the subject read (CN is the user, O are the groups). Upstream: authentication/request/x509.
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { UserInfo } from '../request.ts';
import { credentialIdKey, withAuthenticatedGroup } from './identity.ts';

/** A certificate that was shown and is not good; the text is for logs. */
export class CertificateError extends Error {
  override name = 'CertificateError';
}

export interface CertificateAuthenticator {
  /** undefined: none was shown, or it names nobody. Throws CertificateError. */
  authenticate(request: IncomingMessage): UserInfo | undefined;
  /** The same for a certificate in hand. */
  check(certificate: X509Certificate): UserInfo | undefined;
}

const clientAuth = '1.3.6.1.5.5.7.3.2';
const anyUsage = '2.5.29.37.0';
const uidAttribute = '1.3.6.1.4.1.57683.2';
const maxDepth = 5;

type Outcome = { user: UserInfo | undefined; validUntilMs: number } | { error: CertificateError };

export function createCertificateAuthenticator(clientCaPem: string, now: () => number = Date.now): CertificateAuthenticator {
  const roots = readCertificates(clientCaPem);
  // A connection's certificate never changes, so it is looked at once.
  const bySocket = new WeakMap<object, Outcome>();

  function inspect(certificate: X509Certificate | undefined): Outcome {
    if (certificate === undefined) return { user: undefined, validUntilMs: Infinity };
    try {
      const validUntilMs = verifyChain(certificate, roots, now());
      return { user: subjectOf(certificate), validUntilMs };
    } catch (error) {
      if (error instanceof CertificateError) return { error };
      throw error;
    }
  }
  function result(outcome: Outcome): UserInfo | undefined {
    if ('error' in outcome) throw outcome.error;
    if (now() > outcome.validUntilMs) throw new CertificateError('the certificate has expired');
    return outcome.user;
  }
  return {
    authenticate(request) {
      const socket = request.socket as Partial<TLSSocket>; // plain sockets lack the method
      let outcome = bySocket.get(request.socket);
      if (outcome === undefined) {
        outcome = inspect(socket.getPeerX509Certificate?.());
        bySocket.set(request.socket, outcome);
      }
      return result(outcome);
    },
    check: (certificate) => result(inspect(certificate)),
  };
}

/** Every certificate of a PEM bundle. */
export function readCertificates(pem: string): X509Certificate[] {
  return [...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([text]) => new X509Certificate(text));
}

/** Returns until when the chain holds. */
function verifyChain(leaf: X509Certificate, roots: readonly X509Certificate[], nowMs: number): number {
  const usages: readonly string[] | undefined = leaf.keyUsage as string[] | undefined; // Node names the extended usages so; undefined without the extension
  if (usages !== undefined && !usages.includes(clientAuth) && !usages.includes(anyUsage)) {
    throw new CertificateError(`${describe(leaf)}: not meant for client authentication`);
  }
  let validUntilMs = Infinity;
  let current = leaf;
  for (let depth = 0; depth < maxDepth; depth++) {
    const from = Date.parse(current.validFrom);
    const to = Date.parse(current.validTo);
    if (!(nowMs >= from)) throw new CertificateError(`${describe(current)}: not yet valid`);
    if (!(nowMs <= to)) throw new CertificateError(`${describe(current)}: has expired`);
    validUntilMs = Math.min(validUntilMs, to);
    const root = roots.find((candidate) => current.checkIssued(candidate) && current.verify(candidate.publicKey));
    if (root !== undefined) {
      const rootTo = Date.parse(root.validTo);
      if (!(nowMs <= rootTo)) throw new CertificateError(`${describe(root)}: the authority's certificate has expired`);
      return Math.min(validUntilMs, rootTo);
    }
    const issuer = current.issuerCertificate;
    if (issuer === undefined || issuer.fingerprint256 === current.fingerprint256) break;
    if (!issuer.ca || !current.checkIssued(issuer) || !current.verify(issuer.publicKey)) break;
    current = issuer;
  }
  throw new CertificateError(`${describe(leaf)}: signed by unknown authority`);
}

function describe(certificate: X509Certificate): string {
  return `certificate ${certificate.serialNumber} of ${certificate.subject.replaceAll('\n', ', ')}`;
}

function subjectOf(certificate: X509Certificate): UserInfo | undefined {
  // The legacy form holds plain values, a list where an attribute is repeated; `subject` would need unescaping.
  const subject = certificate.toLegacyObject().subject as unknown as Record<string, string | string[] | undefined>;
  const commonName = list(subject.CN).at(-1) ?? '';
  if (commonName === '') return undefined;
  const uids = list(subject[uidAttribute]);
  if (uids.length > 1) throw new CertificateError(`${describe(certificate)}: more than one UID`);
  if (uids[0] === '') throw new CertificateError(`${describe(certificate)}: an empty UID`);
  const id = `X509SHA256=${certificate.fingerprint256.replaceAll(':', '').toLowerCase()}`;
  return withAuthenticatedGroup({
    name: commonName,
    ...(uids[0] === undefined ? {} : { uid: uids[0] }),
    groups: list(subject.O),
    extra: { [credentialIdKey]: [id] },
  });
}

function list(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
