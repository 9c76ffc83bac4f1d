import { X509Certificate, createPrivateKey } from 'node:crypto';
import { expect } from 'chai';
import { createCa } from './pki.ts';
import { parseSigningRequest, signRequest } from './signing-request.ts';
import { requestOf } from './testing.ts';

const now = Date.now();
const minutes = (count: number): Date => new Date(now + count * 60_000);

describe('certificate signing requests', () => {
  const pem = requestOf('ec', '/O=system:nodes/CN=system:node:a', 'DNS:a.example,IP:10.0.0.1,email:a@b,URI:spiffe://x');
  it('parseSigningRequest() reads subject and names', () => {
    const { commonName, organizations, dnsNames, emails, uris, ips, isSigned } = parseSigningRequest(pem);
    expect({ commonName, organizations, dnsNames, emails, uris, isSigned }).to.deep.equal({
      commonName: 'system:node:a', organizations: ['system:nodes'], dnsNames: ['a.example'], emails: ['a@b'], uris: ['spiffe://x'], isSigned: true,
    });
    expect(ips.map((ip) => [...ip])).to.deep.equal([[10, 0, 0, 1]]);
  });
  it('parseSigningRequest() refuses what is none', () => {
    expect(() => parseSigningRequest('x')).to.throw('PEM block type must be CERTIFICATE REQUEST');
    expect(() => parseSigningRequest('-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n')).to.throw('not a certificate request');
    expect(() => parseSigningRequest('-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n')).to.throw('DER');
  });
  it('signRequest() answers with a certificate that checks', async () => {
    const ca = await createCa('ca');
    for (const one of [pem, requestOf('rsa', '/O=system:nodes/CN=system:node:a')]) {
      const request = parseSigningRequest(one);
      const cert = new X509Certificate(signRequest(ca, request, ['client auth', 'digital signature', 'server auth'], minutes(-5), minutes(55), now));
      expect(cert.verify(new X509Certificate(ca.cert).publicKey)).to.equal(true);
      expect(cert.checkIssued(new X509Certificate(ca.cert))).to.equal(true);
      expect(cert.subject).to.equal('O=system:nodes\nCN=system:node:a');
      expect(cert.publicKey.equals(request.publicKey)).to.equal(true);
      expect(cert.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']); // server before client
      expect(Math.round((Date.parse(cert.validTo) - Date.parse(cert.validFrom)) / 60_000)).to.equal(60);
    }
    expect(new X509Certificate(signRequest(ca, parseSigningRequest(pem), [], minutes(-5), minutes(5), now)).subjectAltName).to.equal('DNS:a.example, IP Address:10.0.0.1, email:a@b, URI:spiffe://x');
  });
  it('signRequest() never outlives its CA', async () => {
    const ca = await createCa('ca');
    const cert = new X509Certificate(signRequest(ca, parseSigningRequest(pem), ['client auth'], minutes(-5), new Date(now + 40 * 365 * 86_400_000), now));
    expect(cert.validTo).to.equal(new X509Certificate(ca.cert).validTo);
    expect(() => signRequest(ca, parseSigningRequest(pem), [], minutes(-5), minutes(5), now + 11 * 365 * 86_400_000)).to.throw('refusing to sign');
  });
  it('signRequest() refuses unknown usages and a request that another key signed', async () => {
    const ca = await createCa('ca');
    expect(createPrivateKey(ca.key).asymmetricKeyType).to.equal('ec');
    expect(() => signRequest(ca, parseSigningRequest(pem), ['nonsense'], minutes(-5), minutes(5), now)).to.throw('unrecognized usage values: ["nonsense"]');
    expect(() => signRequest(ca, { ...parseSigningRequest(pem), isSigned: false }, [], minutes(-5), minutes(5), now)).to.throw('signature');
  });
});
