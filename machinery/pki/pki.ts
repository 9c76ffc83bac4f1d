// Certificates: an own CA and what it signs (ECDSA P-256, as upstream's kubeadm with EC keys). Written with node:crypto and a
// few lines of DER: the usual library takes 0.16 s to load, a quarter of what a whole cluster may take to its first start.
import { X509Certificate, createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { bits, boolean, element, explicit, implicit, integer, namedBits, octets, oid, read, readAll, sequence, set, time, utf8 } from './der.ts';

/** PEM texts. */
export interface KeyPair { cert: string; key: string }

export interface CertificateRequest {
  commonName: string;
  /** Groups of a client certificate. */
  organizations?: readonly string[];
  usages: readonly ('server' | 'client')[];
  dnsNames?: readonly string[];
  ips?: readonly string[];
  /** Default 365. */
  days?: number;
}

const dayMs = 86_400_000;
const ids = {
  commonName: '2.5.4.3', organization: '2.5.4.10', ecdsaWithSha256: '1.2.840.10045.4.3.2', sha256WithRsa: '1.2.840.113549.1.1.11',
  subjectKeyIdentifier: '2.5.29.14', keyUsage: '2.5.29.15', subjectAltName: '2.5.29.17', basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35', extendedKeyUsage: '2.5.29.37', server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2',
} as const;
const usage = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5 } as const;

interface Unsigned { issuer: Buffer; subject: Buffer; publicKey: KeyObject; from: Date; to: Date; extensions: Buffer[] }
/** Clocks differ by a minute easily. */
const validFor = (days: number): { from: Date; to: Date } => ({ from: new Date(Date.now() - 60_000), to: new Date(Date.now() + days * dayMs) });

/** A self-signed CA, good for ten years. */
export async function createCa(commonName: string): Promise<KeyPair> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = distinguishedName([], commonName);
  const cert = signCertificate({
    issuer: name, subject: name, publicKey, ...validFor(3650),
    extensions: [
      extension(ids.basicConstraints, true, sequence(boolean(true))),
      extension(ids.keyUsage, true, namedBits(usage.digitalSignature, usage.keyEncipherment, usage.keyCertSign)),
      extension(ids.subjectKeyIdentifier, false, octets(keyIdentifier(publicKey))),
    ],
  }, privateKey);
  return { cert, key: exportKey(privateKey) };
}

/** A certificate signed by `ca`, with a fresh key. */
export async function issueCertificate(ca: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = new X509Certificate(ca.cert);
  const issuerKey = createPrivateKey(ca.key);
  if (issuerKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('the key of the CA must be ECDSA P-256');
  const names = [
    ...(request.dnsNames ?? []).map((name) => implicit(2, Buffer.from(name, 'ascii'))),
    ...(request.ips ?? []).map((ip) => implicit(7, addressBytes(ip))),
  ];
  const cert = signCertificate({
    issuer: subjectOf(issuer), subject: distinguishedName(request.organizations ?? [], request.commonName), publicKey, ...validFor(request.days ?? 365),
    extensions: [
      extension(ids.keyUsage, true, namedBits(usage.digitalSignature, usage.keyEncipherment)),
      extension(ids.extendedKeyUsage, false, sequence(...request.usages.map((one) => oid(ids[one])))),
      extension(ids.basicConstraints, true, sequence()),
      authorityKeyIdentifier(issuer),
      ...(names.length > 0 ? [extension(ids.subjectAltName, false, sequence(...names))] : []),
    ],
  }, issuerKey);
  return { cert, key: exportKey(privateKey) };
}

/** A key pair for signing service-account tokens: PKCS#8 and SPKI, PEM. ES256, which every OpenID client knows; RSA takes 0.1 s and more to make. */
export async function createTokenKeys(): Promise<{ privateKey: string; publicKey: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey: exportKey(privateKey), publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString() };
}

/** With an EC key or an RSA key. */
export function signCertificate({ issuer, subject, publicKey, from, to, extensions }: Unsigned, key: KeyObject): string {
  const algorithm = key.asymmetricKeyType === 'rsa' ? sequence(oid(ids.sha256WithRsa), element(0x05)) : sequence(oid(ids.ecdsaWithSha256));
  const content = sequence(
    explicit(0, integer(Buffer.from([2]))), // version 3
    integer(randomBytes(16).fill(0x01, 0, 1)),
    algorithm, issuer,
    sequence(time(from), time(to)),
    subject, publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...extensions)),
  );
  const der = sequence(content, algorithm, bits(sign('sha256', content, key)));
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
}

function exportKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

/** Organizations first, the common name last, each in a set of its own. */
function distinguishedName(organizations: readonly string[], commonName: string): Buffer {
  const attributes = [...organizations.map((value) => [ids.organization, value] as const), [ids.commonName, commonName] as const];
  return sequence(...attributes.map(([id, value]) => set(sequence(oid(id), utf8(value)))));
}

/** RFC 5280 4.2.1.2, method 1: SHA-1 over the bits of the public key. */
function keyIdentifier(key: KeyObject): Buffer {
  const [, bitString] = readAll(read(key.export({ type: 'spki', format: 'der' })).content);
  if (!bitString) throw new Error('a public key without its bits');
  return createHash('sha1').update(bitString.content.subarray(1)).digest();
}

/** The identifier that the CA's certificate gives its key; a checker looks for the issuer by it. */
export function authorityKeyIdentifier(issuer: X509Certificate): Buffer {
  const list = fieldsOf(issuer).find(({ tag }) => tag === 0xa3);
  const extensions = list ? readAll(read(list.content).content).map(({ content }) => readAll(content)) : [];
  const own = extensions.find(([id]) => id?.whole.equals(oid(ids.subjectKeyIdentifier)))?.at(-1);
  const identifier = own ? read(own.content).content : keyIdentifier(issuer.publicKey);
  return extension(ids.authorityKeyIdentifier, false, sequence(implicit(0, identifier)));
}

/** The bytes of the subject, so that what is issued repeats them exactly. */
export function subjectOf(certificate: X509Certificate): Buffer {
  const subject = fieldsOf(certificate)[4]; // serial number, algorithm, issuer, validity, subject
  if (!subject) throw new Error('a certificate without a subject');
  return subject.whole;
}
/** Without the version: it alone may be missing. */
function fieldsOf(certificate: X509Certificate): ReturnType<typeof readAll> {
  const [content] = readAll(read(certificate.raw).content);
  return readAll(content?.content ?? Buffer.alloc(0)).filter(({ tag }) => tag !== 0xa0);
}

function addressBytes(ip: string): Buffer {
  const family = isIP(ip);
  if (family === 4) return Buffer.from(ip.split('.').map(Number));
  if (family === 0) throw new Error(`not an IP address: ${ip}`);
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(ip);
  const text = dotted ? `${dotted[1]}${(Number(dotted[2]) << 8 | Number(dotted[3])).toString(16)}:${(Number(dotted[4]) << 8 | Number(dotted[5])).toString(16)}` : ip;
  const [head = '', tail] = text.replace(/%.*$/, '').split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after].map((group) => Number.parseInt(group, 16));
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
