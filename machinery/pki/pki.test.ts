import { expect } from 'chai';
import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import { createCa, createTokenKeys, issueCertificate } from './pki.ts';

describe('pki', () => {
  it('issueCertificate() signs names, groups and usages with the CA', async () => {
    const ca = await createCa('proa-ca');
    const pair = await issueCertificate(ca, {
      commonName: 'kube-apiserver', organizations: ['system:masters'], usages: ['server', 'client'], dnsNames: ['localhost'], ips: ['127.0.0.1', '10.43.0.1'],
    });
    const cert = new X509Certificate(pair.cert);
    const root = new X509Certificate(ca.cert);
    expect(root.ca).to.equal(true);
    expect(cert.checkIssued(root)).to.equal(true);
    expect(cert.verify(root.publicKey)).to.equal(true);
    expect(cert.subject).to.include('O=system:masters').and.to.include('CN=kube-apiserver');
    expect(cert.checkHost('localhost')).to.equal('localhost');
    expect(cert.checkIP('10.43.0.1')).to.equal('10.43.0.1');
    expect(cert.checkIP('10.43.0.2')).to.equal(undefined);
    expect(cert.checkPrivateKey(createPrivateKey(pair.key))).to.equal(true);
  });

  it('issueCertificate() refuses a key that is not one', async () => {
    const ca = await createCa('proa-ca');
    let failed: unknown;
    await issueCertificate({ cert: ca.cert, key: 'nonsense' }, { commonName: 'x', usages: ['client'] }).catch((error: unknown) => { failed = error; });
    expect(failed).to.be.instanceOf(Error);
  });

  it('createTokenKeys() makes a pair that node:crypto reads', async () => {
    const keys = await createTokenKeys();
    expect(createPrivateKey(keys.privateKey).asymmetricKeyType).to.equal('rsa');
    expect(createPublicKey(keys.publicKey).asymmetricKeyType).to.equal('rsa');
  });
});
