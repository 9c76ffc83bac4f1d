import { expect } from 'chai';
import type { Secret } from '#machinery/api/object.ts';
import { detachedSignature, endsInMs, signedData, signingToken } from './reconcile.ts';

const now = Date.UTC(2026, 0, 1, 12);
const good = { 'token-id': 'abcdef', 'token-secret': '0123456789abcdef', 'usage-bootstrap-signing': 'true' };
const secret = (data: Record<string, string>, name = 'bootstrap-token-abcdef'): Secret =>
  ({ metadata: { name }, type: 'bootstrap.kubernetes.io/token', data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])) });

describe('signingToken()', () => {
  it('takes what is well made, may sign and has not ended', () => {
    expect(signingToken(secret(good), now)).to.deep.equal({ id: 'abcdef', secret: '0123456789abcdef' });
    expect(signingToken(secret({ ...good, expiration: '2026-01-01T12:00:01Z' }), now)).not.to.equal(undefined);
  });
  it('refuses all others', () => {
    const bad = [
      secret(good, 'bootstrap-token-fedcba'), secret(good, 'other'), secret({ ...good, 'token-secret': '' }), secret({ ...good, 'usage-bootstrap-signing': 'false' }),
      secret({ ...good, expiration: '2026-01-01T11:59:59Z' }), secret({ ...good, expiration: 'soon' }), { ...secret(good), type: 'Opaque' },
    ];
    expect(bad.map((each) => signingToken(each, now))).to.deep.equal(bad.map(() => undefined));
  });
});

it('endsInMs() reads zones, and takes what it cannot read for ended', () => {
  expect(endsInMs(secret(good), now)).to.equal(undefined);
  expect(endsInMs(secret({ expiration: '2026-01-01T13:00:05+01:00' }), now)).to.equal(5000);
  expect(endsInMs(secret({ expiration: '2026' }), now)).to.equal(0);
});

describe('signedData()', () => {
  it('signs as RFC 7515 says, without the content', () => {
    // The signature that OpenSSL gives for the same header, content and key.
    const [header, middle, signature] = detachedSignature('content', 'abcdef', '0123456789abcdef').split('.');
    expect(Buffer.from(header ?? '', 'base64url').toString()).to.equal('{"alg":"HS256","kid":"abcdef"}');
    expect(middle).to.equal('');
    expect(signature).to.equal('psz1NayrXM3IaFzKZGsb5n_mBl7MjtlsZ1xE8MRmF_4');
  });
  it('adds, replaces and removes signatures, and leaves the rest', () => {
    const token = { id: 'abcdef', secret: '0123456789abcdef' };
    const data = signedData({ metadata: {}, data: { kubeconfig: 'k', own: 'x', 'jws-kubeconfig-gone': 'y' } }, [token]);
    expect(Object.keys(data ?? {}).sort()).to.deep.equal(['jws-kubeconfig-abcdef', 'kubeconfig', 'own']);
    expect(signedData({ metadata: {}, data: data ?? {} }, [token]), 'nothing to write').to.equal(undefined);
    expect(signedData({ metadata: {}, data: { ...data, kubeconfig: 'new' } }, [token])?.['jws-kubeconfig-abcdef']).not.to.equal(data?.['jws-kubeconfig-abcdef']);
    expect(signedData({ metadata: {}, data: { own: 'x' } }, [token])).to.equal(undefined);
  });
});
