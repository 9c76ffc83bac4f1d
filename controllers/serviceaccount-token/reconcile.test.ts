import { expect } from 'chai';
import type { Secret } from '#machinery/api/object.ts';
import { filled, isOf, legacyClaims, needs } from './reconcile.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const account = { metadata: { name: 'a', namespace: 'n', uid: 'u' } };
const secret = (annotations: Record<string, string>, data: Record<string, string> = {}): Secret =>
  ({ metadata: { name: 's', namespace: 'n', annotations: Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`kubernetes.io/service-account.${key}`, value])) }, data });

it('isOf() goes by name, and by UID where the Secret names one', () => {
  expect(isOf(secret({ name: 'a' }), account)).to.equal(true);
  expect(isOf(secret({ name: 'a', uid: 'u' }), account)).to.equal(true);
  expect(isOf(secret({ name: 'a', uid: 'other' }), account)).to.equal(false);
  expect(isOf(secret({ name: 'b' }), account)).to.equal(false);
});

it('filled() adds what needs() misses, and keeps what is there', () => {
  const empty = secret({ name: 'a' }, { own: 'x' });
  expect(needs(empty, 'CA')).to.deep.equal({ ca: true, namespace: true, token: true });
  const full = filled(empty, account, 'CA', 'TOKEN');
  expect(full.data).to.deep.equal({ own: 'x', 'ca.crt': base64('CA'), namespace: base64('n'), token: base64('TOKEN') });
  expect(full.metadata.annotations).to.deep.equal({ 'kubernetes.io/service-account.name': 'a', 'kubernetes.io/service-account.uid': 'u' });
  expect(needs(full, 'CA')).to.deep.equal({ ca: false, namespace: false, token: false });
  expect(needs(full, 'NEW')).to.deep.equal({ ca: true, namespace: false, token: false });
  expect(filled(full, account, 'NEW', undefined).data?.['token']).to.equal(base64('TOKEN'));
});

it('legacyClaims() are those of tokens without an end', () => {
  expect(legacyClaims(account, secret({ name: 'a' }))).to.deep.equal({
    iss: 'kubernetes/serviceaccount', sub: 'system:serviceaccount:n:a', 'kubernetes.io/serviceaccount/namespace': 'n', 'kubernetes.io/serviceaccount/secret.name': 's',
    'kubernetes.io/serviceaccount/service-account.name': 'a', 'kubernetes.io/serviceaccount/service-account.uid': 'u',
  });
});
