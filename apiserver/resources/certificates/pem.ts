// Whether what clients send is what they say: a signed request, or certificates. Both come as base64 of PEM text.
import { createPublicKey, verify, X509Certificate } from 'node:crypto';
import { read, readAll } from '#machinery/pki/der.ts';

interface Block { type: string; headers: boolean; der: Buffer }

function* blocks(base64: string): Generator<Block> {
  const pem = Buffer.from(base64, 'base64').toString('latin1');
  for (const [, type = '', body = ''] of pem.matchAll(/^-----BEGIN ([^\n]*?)-----\r?\n([\s\S]*?)^-----END \1-----/gm)) {
    yield { type, headers: body.includes(':'), der: Buffer.from(body.replace(/^[^\n]*:[^\n]*$/gm, ''), 'base64') };
  }
}

/** Undefined when it is a request that was signed by the key in it. */
export function signingRequestProblem(base64: string): string | undefined {
  const [block] = blocks(base64);
  if (block?.type !== 'CERTIFICATE REQUEST') return 'PEM block type must be CERTIFICATE REQUEST';
  try {
    const [info, algorithm, signature] = readAll(read(block.der).content);
    const key = info && readAll(info.content)[2];
    if (!info || !algorithm || !signature || !key) return 'asn1: structure error: not a certificate request';
    const publicKey = createPublicKey({ key: key.whole, format: 'der', type: 'spki' });
    const hash = hashes[readAll(algorithm.content)[0]?.content.toString('hex') ?? ''];
    if (hash === undefined) return 'x509: cannot verify signature: algorithm unimplemented';
    return verify(hash === '' ? null : hash, info.whole, publicKey, signature.content.subarray(1)) ? undefined : 'x509: invalid signature';
  } catch (error) {
    return `asn1: structure error: ${error instanceof Error ? error.message : String(error)}`;
  }
}
/** Of signature algorithms by their identifiers' bytes; '' where the key says it. */
const hashes: Readonly<Record<string, string>> = {
  '2a864886f70d01010b': 'sha256', '2a864886f70d01010c': 'sha384', '2a864886f70d01010d': 'sha512',
  '2a8648ce3d040302': 'sha256', '2a8648ce3d040303': 'sha384', '2a8648ce3d040304': 'sha512', '2b6570': '',
};

/** None at all is no problem. */
export function certificatesProblem(base64: string): string | undefined {
  if (base64 === '') return undefined;
  let count = 0;
  for (const block of blocks(base64)) {
    if (block.type !== 'CERTIFICATE') return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(block.type)}`;
    if (block.headers) return 'no PEM block headers are permitted';
    count += 1;
    try {
      void new X509Certificate(block.der);
    } catch {
      return 'x509: malformed certificate';
    }
  }
  return count === 0 ? 'must contain at least one CERTIFICATE PEM block' : undefined;
}

/** What Go's TLS says of roots it cannot take; blocks that are no certificates are passed over. */
export function trustProblem(base64: string): string | undefined {
  let [any, malformed] = [false, false];
  for (const block of blocks(base64)) {
    any = true;
    if (block.type !== 'CERTIFICATE' || block.headers) continue;
    try {
      if (new X509Certificate(block.der).raw.length > 0) return undefined;
    } catch {
      malformed = true;
    }
  }
  const why = malformed ? 'failed to parse certificate: x509: malformed certificate' : any ? 'no valid certificate authority data seen' : 'unable to parse bytes as PEM block';
  return `unable to load root certificates: ${why}`;
}
