import { expect } from 'chai';
import type { CertificateSigningRequest } from '#machinery/api/object.ts';
import { approvals, forgottenInMs, signingProblem, validity } from './rules.ts';

const now = Date.UTC(2026, 0, 1, 12);
const hours = (count: number): string => new Date(now + count * 3600_000).toISOString();
const node = { commonName: 'system:node:a', organizations: ['system:nodes'], dnsNames: [] as string[], ips: [] as Buffer[], emails: [] as string[], uris: [] as string[] };
const client = ['client auth', 'digital signature'];
const kubelet = 'kubernetes.io/kube-apiserver-client-kubelet';
const request = (spec: object, status: object = {}, age = 0): CertificateSigningRequest =>
  ({ metadata: { name: 'r', creationTimestamp: hours(-age) }, spec: { request: '', ...spec }, status }) as unknown as CertificateSigningRequest;

describe('approvals()', () => {
  it('asks for a node itself first, then for whoever may ask for nodes', () => {
    const ask = (username: string): string[] => approvals(request({ signerName: kubelet, usages: client, username }), node).map(({ subresource }) => subresource);
    expect(ask('system:node:a')).to.deep.equal(['selfnodeclient', 'nodeclient']);
    expect(ask('system:bootstrap:x')).to.deep.equal(['nodeclient']);
  });
  it('asks for nothing else', () => {
    expect(approvals(request({ signerName: 'kubernetes.io/kube-apiserver-client', usages: client }), node)).to.deep.equal([]);
    expect(approvals(request({ signerName: kubelet, usages: ['server auth'] }), node)).to.deep.equal([]);
    expect(approvals(request({ signerName: kubelet, usages: client }), { ...node, commonName: 'a' })).to.deep.equal([]);
  });
});

describe('signingProblem()', () => {
  const apiClient = 'kubernetes.io/kube-apiserver-client';
  const serving = 'kubernetes.io/kubelet-serving';
  const server = ['digital signature', 'key encipherment', 'server auth'];
  const cases: [string, object, string[], string | undefined][] = [
    [kubelet, {}, client, undefined],
    [kubelet, {}, [...client, 'key encipherment'], undefined],
    [kubelet, {}, ['client auth'], 'usages did not match [client auth digital signature key encipherment]'],
    [kubelet, { organizations: ['system:masters'] }, client, 'subject organization is not system:nodes'],
    [kubelet, { organizations: ['system:nodes', 'system:masters'] }, client, 'subject organization is not system:nodes'],
    [kubelet, { commonName: 'a' }, client, 'subject common name does not begin with system:node:'],
    [kubelet, { dnsNames: ['a'] }, client, 'DNS subjectAltNames are not allowed'],
    [kubelet, { ips: [Buffer.alloc(4)] }, client, 'IP subjectAltNames are not allowed'],
    [serving, {}, server, 'DNS or IP subjectAltName is required'],
    [serving, { dnsNames: ['a'] }, server, undefined],
    [serving, { dnsNames: ['a'], uris: ['b'] }, server, 'URI subjectAltNames are not allowed'],
    [serving, { dnsNames: ['a'] }, client, 'usages did not match [digital signature key encipherment server auth]'],
    [apiClient, { organizations: [] }, client, undefined],
    [apiClient, {}, ['digital signature'], 'missing required usage for client certificate: client auth'],
    [apiClient, {}, ['client auth', 'server auth'], 'invalid usage for client certificate: server auth'],
    ['kubernetes.io/legacy-unknown', {}, ['any'], undefined],
  ];
  for (const [signer, more, usages, problem] of cases) {
    it(`${signer} ${JSON.stringify(more)} ${usages.join()}: ${problem ?? 'signs'}`, () => expect(signingProblem(signer, { ...node, ...more }, usages)).to.equal(problem));
  }
});

describe('validity()', () => {
  const day = 86_400_000;
  const minutes = (seconds: number | undefined): number[] => {
    const { from, to } = validity(seconds, 365 * day, now);
    return [from, to].map((date) => (date.getTime() - now) / 60_000);
  };
  it('is the longest that is allowed, less what it began too early', () => expect(minutes(undefined)).to.deep.equal([-5, 365 * 24 * 60 - 5]));
  it('is what is asked for, ten minutes at least', () => {
    expect(minutes(3600)).to.deep.equal([-5, 60]);
    expect(minutes(60)).to.deep.equal([-5, 10]);
    expect(minutes(500 * 86_400)).to.deep.equal(minutes(undefined));
  });
});

describe('forgottenInMs()', () => {
  const condition = (type: string, age: number): object => ({ type, status: 'True', lastUpdateTime: hours(-age) });
  const left = (status: object, age = 30, end?: number): number | undefined => {
    const ms = forgottenInMs(request({}, status, age), end, now);
    return ms === undefined ? undefined : ms / 3600_000;
  };
  it('is a day after a request that nobody looked at', () => expect([left({}, 1), left({}, 25)]).to.deep.equal([23, -1]));
  it('is an hour after a denial, a failure, a certificate', () => {
    expect(left({ conditions: [condition('Denied', 0.5)] })).to.equal(0.5);
    expect(left({ conditions: [condition('Approved', 20), condition('Failed', 2)] })).to.equal(-1);
    expect(left({ conditions: [condition('Approved', 0.5)], certificate: 'x' })).to.equal(0.5);
  });
  it('is a day after an approval that brought no certificate', () => expect(left({ conditions: [condition('Approved', 4)] })).to.equal(20));
  it('is the end of the certificate when that is sooner', () => expect(left({ conditions: [condition('Approved', 0)], certificate: 'x' }, 1, now + 600_000)).to.equal(1 / 6));
});
