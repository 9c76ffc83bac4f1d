import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bits, element, integer, namedBits, oid, read, readAll, time } from './der.ts';
import { createCa, createTokenKeys, issueCertificate } from './pki.ts';
import type { CertificateRequest, KeyPair } from './pki.ts';

const everything: CertificateRequest = {
  commonName: 'kube-apiserver', organizations: ['system:masters', 'second é'], usages: ['server', 'client'],
  dnsNames: ['localhost', 'kubernetes.default.svc'], ips: ['127.0.0.1', '10.43.0.1', '::1', 'fd00:1:2::a', '::ffff:1.2.3.4'],
};

describe('pki', () => {
  let ca: KeyPair;
  before(async () => {
    ca = await createCa('proa-ca');
  });
  const rejection = async (promise: Promise<unknown>): Promise<unknown> => promise.then(() => undefined, (error: unknown) => error);

  it('issueCertificate() signs names, groups and usages with the CA', async () => {
    const pair = await issueCertificate(ca, everything);
    const cert = new X509Certificate(pair.cert);
    const root = new X509Certificate(ca.cert);
    expect(root.ca).to.equal(true);
    expect(root.verify(root.publicKey)).to.equal(true);
    expect(cert.ca).to.equal(false);
    expect(cert.checkIssued(root)).to.equal(true);
    expect(cert.verify(root.publicKey)).to.equal(true);
    expect(cert.subject).to.equal('O=system:masters\nO=second é\nCN=kube-apiserver');
    expect(cert.issuer).to.equal('CN=proa-ca');
    expect(cert.subjectAltName).to.equal('DNS:localhost, DNS:kubernetes.default.svc, IP Address:127.0.0.1, IP Address:10.43.0.1, '
      + 'IP Address:0:0:0:0:0:0:0:1, IP Address:FD00:1:2:0:0:0:0:A, IP Address:0:0:0:0:0:FFFF:102:304');
    expect(cert.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(cert.checkHost('localhost')).to.equal('localhost');
    expect(cert.checkIP('10.43.0.1')).to.equal('10.43.0.1');
    expect(cert.checkIP('10.43.0.2')).to.equal(undefined);
    expect(cert.checkPrivateKey(createPrivateKey(pair.key))).to.equal(true);
    expect(cert.serialNumber).to.match(/^01[0-9A-F]{30}$/);
    expect(Date.parse(cert.validTo) - Date.now()).to.be.within(364.9 * 86_400_000, 365 * 86_400_000);
    expect(Date.now() - Date.parse(cert.validFrom)).to.be.within(59_000, 70_000);
  });

  it('issueCertificate() makes what openssl verifies for its purposes, and only for these', async function openssl() {
    try {
      execFileSync('openssl', ['version'], { stdio: 'ignore' });
    } catch {
      if (this.test) this.test.title += ' (skipped: openssl is not installed)';
      this.skip();
    }
    const folder = mkdtempSync(join(tmpdir(), 'proa-pki-'));
    try {
      const client = await issueCertificate(ca, { commonName: 'a', organizations: ['g'], usages: ['client'] });
      writeFileSync(join(folder, 'ca.crt'), ca.cert);
      writeFileSync(join(folder, 'client.crt'), client.cert);
      writeFileSync(join(folder, 'server.crt'), (await issueCertificate(ca, everything)).cert);
      const verify = (purpose: string, file: string): string =>
        execFileSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', join(folder, 'ca.crt'), join(folder, file)], { encoding: 'utf8', stdio: 'pipe' });
      expect(verify('sslclient', 'client.crt')).to.contain(': OK');
      expect(verify('sslserver', 'server.crt')).to.contain(': OK');
      expect(() => verify('sslserver', 'client.crt')).to.throw(/purpose/);
      const text = execFileSync('openssl', ['x509', '-in', join(folder, 'server.crt'), '-noout', '-text'], { encoding: 'utf8' });
      expect(text).to.contain('Version: 3').and.to.contain('ecdsa-with-SHA256').and.to.contain('Digital Signature, Key Encipherment').and.to.contain('CA:FALSE');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('issueCertificate() refuses a CA or a name that cannot be used', async () => {
    const request: CertificateRequest = { commonName: 'x', usages: ['client'] };
    expect(await rejection(issueCertificate({ cert: ca.cert, key: 'nonsense' }, request))).to.be.instanceOf(Error);
    expect(await rejection(issueCertificate({ cert: 'nonsense', key: ca.key }, request))).to.be.instanceOf(Error);
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(await rejection(issueCertificate({ cert: ca.cert, key: rsa }, request))).to.match(/P-256/);
    expect(await rejection(issueCertificate(ca, { ...request, ips: ['10.0.0.256'] }))).to.match(/not an IP address: 10\.0\.0\.256/);
  });

  it('createTokenKeys() makes a P-256 pair that node:crypto reads', async () => {
    const keys = await createTokenKeys();
    expect(createPrivateKey(keys.privateKey).asymmetricKeyDetails?.namedCurve).to.equal('prime256v1');
    expect(createPublicKey(keys.publicKey).equals(createPublicKey(keys.privateKey))).to.equal(true);
  });
});

describe('der', () => {
  const hex = (buffer: Buffer): string => buffer.toString('hex');
  it('writes the examples of X.690 and RFC 5280', () => {
    expect(hex(oid('2.5.4.3'))).to.equal('0603550403');
    expect(hex(oid('1.2.840.10045.4.3.2'))).to.equal('06082a8648ce3d040302');
    expect(hex(integer(Buffer.from([0, 0, 0x80])))).to.equal('02020080');
    expect(hex(integer(Buffer.from([0])))).to.equal('020100');
    expect(hex(integer(Buffer.from([0, 0x7f])))).to.equal('02017f');
    expect(hex(namedBits(0, 2))).to.equal('030205a0');
    expect(hex(namedBits(0, 2, 5))).to.equal('030202a4');
    expect(hex(bits(Buffer.from([1])))).to.equal('03020001');
    expect(hex(time(new Date('2049-12-31T23:59:59.9Z')))).to.equal(`170d${Buffer.from('491231235959Z').toString('hex')}`);
    expect(hex(time(new Date('2050-01-01T00:00:00Z')))).to.equal(`180f${Buffer.from('20500101000000Z').toString('hex')}`);
  });
  it('writes and reads lengths of every size', () => {
    for (const [length, head] of [[0, '0400'], [127, '047f'], [128, '048180'], [255, '0481ff'], [256, '04820100'], [70_000, '0483011170']] as const) {
      const written = element(0x04, Buffer.alloc(length, 1));
      expect(hex(written).slice(0, head.length)).to.equal(head);
      expect(read(written).content).to.have.length(length);
    }
  });
  it('reads nothing that is cut off', () => {
    const whole = element(0x30, element(0x04, Buffer.alloc(200)));
    for (const length of [0, 1, 2, 100, whole.length - 1]) expect(() => read(whole.subarray(0, length))).to.throw(/DER/);
    expect(() => readAll(Buffer.from('04810', 'hex'))).to.throw(/DER/);
    expect(() => read(Buffer.from('3080', 'hex'))).to.throw(/length/);
  });
});
