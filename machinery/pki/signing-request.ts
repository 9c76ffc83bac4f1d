// Certificate signing requests (PKCS #10): what one asks for, and the certificate that answers it.
import { X509Certificate, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { boolean, namedBits, octets, oid, read, readAll, sequence } from './der.ts';
import { authorityKeyIdentifier, signCertificate, subjectOf, type KeyPair } from './pki.ts';

export interface SigningRequest {
  commonName: string;
  organizations: string[];
  dnsNames: string[];
  emails: string[];
  /** As they stand in the request: 4 or 16 bytes each. */
  ips: Buffer[];
  uris: string[];
  /** DER. */
  subject: Buffer;
  /** DER of the names above, in their order. */
  names: Buffer[];
  publicKey: KeyObject;
  /** Whether the key in it signed it. */
  isSigned: boolean;
}

type Element = ReturnType<typeof read>;
const ids = { commonName: '550403', organization: '55040a', extensionRequest: '2a864886f70d01090e', subjectAltName: '551d11' } as const;
/** Of signature algorithms by their identifiers' bytes; '' where the key says it. */
const hashes: Readonly<Record<string, string>> = {
  '2a864886f70d01010b': 'sha256', '2a864886f70d01010c': 'sha384', '2a864886f70d01010d': 'sha512',
  '2a8648ce3d040302': 'sha256', '2a8648ce3d040303': 'sha384', '2a8648ce3d040304': 'sha512', '2b6570': '',
};
const hexOf = (element: Element | undefined): string => element?.content.toString('hex') ?? '';

/** Throws an Error that says what is wrong with the PEM text. */
export function parseSigningRequest(pem: string): SigningRequest {
  const body = /-----BEGIN CERTIFICATE REQUEST-----\r?\n([\s\S]*?)-----END CERTIFICATE REQUEST-----/.exec(pem)?.[1];
  if (body === undefined) throw new Error('PEM block type must be CERTIFICATE REQUEST');
  const [info, algorithm, signature] = readAll(read(Buffer.from(body, 'base64')).content);
  const [, subject, key, attributes] = info ? readAll(info.content) : [];
  if (!info || !algorithm || !signature || !subject || !key) throw new Error('not a certificate request');
  const publicKey = createPublicKey({ key: key.whole, format: 'der', type: 'spki' });
  const hash = hashes[hexOf(readAll(algorithm.content)[0])];
  const values = attributesOf(subject);
  // Names of other kinds (directories, registered ids) are not asked for by anybody here, and not signed.
  const names = attributes ? alternativeNames(attributes).filter(({ tag }) => [0x81, 0x82, 0x86, 0x87].includes(tag)) : [];
  const texts = (tag: number): string[] => names.filter((name) => name.tag === tag).map(({ content }) => content.toString('latin1'));
  return {
    commonName: values.filter(([id]) => id === ids.commonName).at(-1)?.[1] ?? '',
    organizations: values.filter(([id]) => id === ids.organization).map(([, value]) => value),
    emails: texts(0x81), dnsNames: texts(0x82), uris: texts(0x86), ips: names.filter(({ tag }) => tag === 0x87).map(({ content }) => content),
    subject: subject.whole, names: names.map(({ whole }) => whole), publicKey,
    isSigned: hash !== undefined && verify(hash === '' ? null : hash, info.whole, publicKey, signature.content.subarray(1)),
  };
}

function attributesOf(subject: Element): [string, string][] {
  return readAll(subject.content).flatMap((part) => readAll(part.content)).map((attribute): [string, string] => {
    const [id, value] = readAll(attribute.content);
    return [hexOf(id), value?.content.toString(value.tag === 0x14 ? 'latin1' : 'utf8') ?? ''];
  });
}

function alternativeNames(attributes: Element): Element[] {
  for (const attribute of readAll(attributes.content)) {
    const [id, values] = readAll(attribute.content);
    if (hexOf(id) !== ids.extensionRequest || !values) continue;
    for (const extension of readAll(values.content).flatMap((list) => readAll(list.content))) {
      const parts = readAll(extension.content);
      const value = parts.at(-1);
      if (hexOf(parts[0]) === ids.subjectAltName && value) return readAll(read(value.content).content);
    }
  }
  return [];
}

/** Usages by their names in the certificates API. */
const keyUsages: Readonly<Record<string, number>> = {
  'signing': 0, 'digital signature': 0, 'content commitment': 1, 'key encipherment': 2, 'data encipherment': 3, 'key agreement': 4,
  'cert sign': 5, 'crl sign': 6, 'encipher only': 7, 'decipher only': 8,
};
/** In the order in which they are written. */
const extendedKeyUsages: Readonly<Record<string, string>> = {
  'any': '2.5.29.37.0', 'server auth': '1.3.6.1.5.5.7.3.1', 'client auth': '1.3.6.1.5.5.7.3.2', 'code signing': '1.3.6.1.5.5.7.3.3',
  'email protection': '1.3.6.1.5.5.7.3.4', 's/mime': '1.3.6.1.5.5.7.3.4', 'ipsec end system': '1.3.6.1.5.5.7.3.5', 'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7', 'timestamping': '1.3.6.1.5.5.7.3.8', 'ocsp signing': '1.3.6.1.5.5.7.3.9',
  'microsoft sgc': '1.3.6.1.4.1.311.10.3.3', 'netscape sgc': '2.16.840.1.113730.4.1',
};

/** The certificate as PEM. It ends with the CA's at the latest; throws for usages that nobody knows and for a CA that has ended. */
export function signRequest(ca: KeyPair, request: SigningRequest, usages: readonly string[], from: Date, to: Date, now: number): string {
  const unknown = usages.filter((one) => !(one in keyUsages) && !(one in extendedKeyUsages));
  if (unknown.length > 0) throw new Error(`unrecognized usage values: [${unknown.map((one) => JSON.stringify(one)).join(' ')}]`);
  if (!request.isSigned) throw new Error('unable to verify certificate request signature');
  const issuer = new X509Certificate(ca.cert);
  const end = new Date(issuer.validTo);
  if (end.getTime() <= now) throw new Error(`refusing to sign a certificate that expired in the past: NotAfter=${end.toISOString()}`);
  const bits = [...new Set(usages.flatMap((one) => keyUsages[one] ?? []))];
  const purposes = [...new Set(Object.entries(extendedKeyUsages).filter(([name]) => usages.includes(name)).map(([, id]) => id))];
  return signCertificate({
    issuer: subjectOf(issuer), subject: request.subject, publicKey: request.publicKey, from, to: to < end ? to : end,
    extensions: [
      ...(bits.length > 0 ? [sequence(oid('2.5.29.15'), boolean(true), octets(namedBits(...bits)))] : []),
      ...(purposes.length > 0 ? [sequence(oid('2.5.29.37'), octets(sequence(...purposes.map(oid))))] : []),
      sequence(oid('2.5.29.19'), boolean(true), octets(sequence())),
      authorityKeyIdentifier(issuer),
      ...(request.names.length > 0 ? [sequence(oid('2.5.29.17'), ...(read(request.subject).content.length === 0 ? [boolean(true)] : []), octets(sequence(...request.names)))] : []),
    ],
  }, createPrivateKey(ca.key));
}
