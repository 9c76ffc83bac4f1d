import { expect } from 'chai';
import { X509Certificate } from 'node:crypto';
import { createCa, issueCertificate, type KeyPair } from '#machinery/pki/pki.ts';
import { CertificateError, createCertificateAuthenticator } from './certificates.ts';
import { credentialIdKey } from './identity.ts';

describe('createCertificateAuthenticator()', () => {
  let ca: KeyPair;
  let foreign: KeyPair;
  before(async () => {
    [ca, foreign] = await Promise.all([createCa('test-ca'), createCa('test-ca')]);
  });
  const issue = async (by: KeyPair, organizations: string[], usages: ('client' | 'server')[] = ['client'], commonName = 'alice'): Promise<X509Certificate> =>
    new X509Certificate((await issueCertificate(by, { commonName, organizations, usages, days: 1 })).cert);

  it('reads the user and the groups', async () => {
    const certificate = await issue(ca, ['devs', 'ops, with + and = signs']);
    const user = createCertificateAuthenticator(ca.cert).check(certificate);
    expect(user?.name).to.equal('alice');
    expect(user?.groups).to.deep.equal(['devs', 'ops, with + and = signs', 'system:authenticated']);
    expect(user?.extra?.[credentialIdKey]?.[0]).to.match(/^X509SHA256=[0-9a-f]{64}$/);
  });
  it('takes any CA of a bundle', async () => {
    const user = createCertificateAuthenticator(foreign.cert + ca.cert).check(await issue(ca, []));
    expect(user?.name).to.equal('alice');
  });
  it('refuses a CA of the same name with another key', async () => {
    const certificate = await issue(foreign, ['system:masters']);
    expect(() => createCertificateAuthenticator(ca.cert).check(certificate)).to.throw(CertificateError, 'unknown authority');
  });
  it('refuses a serving certificate', async () => {
    const certificate = await issue(ca, [], ['server']);
    expect(() => createCertificateAuthenticator(ca.cert).check(certificate)).to.throw(CertificateError, 'not meant for client');
  });
  it('refuses a certificate out of its time, also on a connection that is still open', async () => {
    const certificate = await issue(ca, []);
    let now = Date.now();
    const authenticator = createCertificateAuthenticator(ca.cert, () => now);
    const request = { socket: { getPeerX509Certificate: () => certificate } } as never;
    expect(authenticator.authenticate(request)?.name).to.equal('alice');
    now += 2 * 86_400_000;
    expect(() => authenticator.authenticate(request)).to.throw(CertificateError, 'expired');
    expect(() => authenticator.check(certificate)).to.throw(CertificateError, 'has expired');
    now -= 10 * 86_400_000;
    expect(() => authenticator.check(certificate)).to.throw(CertificateError, 'not yet valid');
  });
  it('follows no certificate that is not a CA', async () => {
    const middle = await issueCertificate(ca, { commonName: 'middle', usages: ['client'] });
    const leaf = new X509Certificate((await issueCertificate(middle, { commonName: 'admin', organizations: ['system:masters'], usages: ['client'] })).cert);
    expect(() => createCertificateAuthenticator(ca.cert).check(leaf)).to.throw(CertificateError, 'unknown authority');
  });
  it('knows nobody without a certificate or without a common name', async () => {
    expect(createCertificateAuthenticator(ca.cert).authenticate({ socket: {} } as never)).to.equal(undefined);
    expect(createCertificateAuthenticator(ca.cert).check(await issue(ca, ['devs'], ['client'], ''))).to.equal(undefined);
  });
});
