// What may change in a request for a certificate, and through which of its subresources.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { createCa } from '#machinery/pki/pki.ts';
import { create, update } from '../testing.ts';
import { minimal } from '../testdata/groups.ts';

type Json = Record<string, unknown>;
const id = 'certificatesigningrequests.certificates.k8s.io';
const condition = (type: string): Json => ({ type, status: 'True', reason: 'R', message: 'm', lastUpdateTime: '2026-01-01T00:00:00Z', lastTransitionTime: '2026-01-01T00:00:00Z' });

describe('CertificateSigningRequest', () => {
  let certificate: string;
  before(async () => {
    certificate = Buffer.from((await createCa('test')).cert).toString('base64');
  });
  const stored = (status: Json): KubeObject => ({ ...create(id, minimal[id]).object, status });
  const write = (subresource: string, old: Json, now: Json): { errors: string[]; status: unknown } => {
    const { object, errors } = update(id, stored(old), (request) => Object.assign(request, { status: now }), subresource);
    return { errors, status: object['status'] };
  };

  it('is approved through approval, and stays so', () => {
    const approved = { conditions: [condition('Approved')] };
    expect(write('approval', {}, approved).errors).to.deep.equal([]);
    expect(write('approval', approved, { conditions: [] }).errors).to.deep.equal(['status.conditions: Forbidden: updates may not remove a condition of type "Approved"']);
  });
  it('is not both approved and denied', () => {
    expect(write('approval', {}, { conditions: [condition('Approved'), condition('Denied')] }).errors).to.have.length(1);
  });
  it('gets its certificate through status, once', () => {
    const signed = { conditions: [condition('Approved')], certificate };
    const other = Buffer.from(`${Buffer.from(certificate, 'base64').toString()}\n`).toString('base64');
    expect(write('status', { conditions: signed.conditions }, signed).errors).to.deep.equal([]);
    for (const now of [other, undefined]) expect(write('status', signed, { ...signed, certificate: now }).errors).to.deep.equal(['status.certificate: Forbidden: updates may not modify existing certificate content']);
  });
  it('approval leaves the certificate, status the verdict', () => {
    expect(write('approval', {}, { certificate }).status).to.not.have.property('certificate');
    expect(write('status', {}, { conditions: [condition('Approved')] }).errors).to.deep.equal(['status.conditions: Forbidden: updates may not add a condition of type "Approved"']);
  });
  it('takes nothing but certificates', () => {
    expect(write('status', {}, { certificate: Buffer.from('no PEM').toString('base64') }).errors).to.have.length(1);
  });
});
