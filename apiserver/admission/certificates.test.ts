import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { requestOf } from '#machinery/pki/testing.ts';
import { StatusError } from '#machinery/api/status.ts';
import { createFakeBackend, fakeContext, fakeRow, fakeWrite } from '../auth/fake-backend.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { certificatePlugins } from './certificates.ts';
import { createDefaultIngressClass } from './default-ingress-class.ts';
import { createPodTopologyLabels } from './pod-topology-labels.ts';

const backend = createFakeBackend({
  'nodes': [{ metadata: { name: 'n', labels: { 'topology.kubernetes.io/zone': 'z', 'topology.kubernetes.io/region': 'r', other: 'o' } } }, { metadata: { name: 'bare' } }],
  'ingressclasses.networking.k8s.io': [
    { metadata: { name: 'plain', creationTimestamp: '2030-01-01T00:00:00Z' } },
    ...[['old', '2020'], ['newest-b', '2025'], ['newest-a', '2025']].map(([name, year]) => ({ metadata: { name, creationTimestamp: `${year}-01-01T00:00:00Z`, annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } } })),
  ],
});
async function run(plugin: AdmissionPlugin, about: Partial<AdmissionAttributes>): Promise<string> {
  const attributes: AdmissionAttributes = { operation: 'CREATE', row: fakeRow('', 'pods', 'Pod'), subresource: '', namespace: '', name: 'x', object: undefined, oldObject: undefined, options: {}, dryRun: false, user: { name: 'ann', groups: [] }, context: fakeWrite(backend, fakeContext()), ...about };
  if (!plugin.handles(attributes.operation, attributes.row, attributes.subresource)) return 'not asked';
  try {
    await plugin.admit?.(attributes);
    await plugin.validate?.(attributes);
    return 'admitted';
  } catch (error) {
    if (error instanceof StatusError) return `${error.status.code} ${error.message}`;
    throw error;
  }
}

describe('certificate plugins', () => {
  const row = fakeRow('certificates.k8s.io', 'certificatesigningrequests', 'CertificateSigningRequest', false);
  const request = (status: object = {}): KubeObject => ({ metadata: { name: 'x' }, spec: { signerName: 'example.com/mine', request: '' }, status });
  /** Allows one verb on one name of signers. */
  const plugin = (name: string, allowed = ''): AdmissionPlugin => {
    const found = certificatePlugins({ authorize: (_user, info) => ({ allowed: `${info.verb} ${info.resource}.${info.group}/${info.name}` === allowed, reason: '' }) }).find((one) => one.name === name);
    if (!found) throw new Error(name);
    return found;
  };
  const asked = (subresource: string, status?: object): Partial<AdmissionAttributes> => ({ operation: 'UPDATE', row, subresource, object: request(status), oldObject: request() });

  it('approval needs the right to approve for the signer, or for its domain', async () => {
    const refusal = '403 certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted to approve requests with signerName "example.com/mine"';
    expect(await run(plugin('CertificateApproval'), asked('approval'))).to.equal(refusal);
    expect(await run(plugin('CertificateApproval', 'sign signers.certificates.k8s.io/example.com/mine'), asked('approval'))).to.equal(refusal);
    expect(await run(plugin('CertificateApproval', 'approve signers.certificates.k8s.io/example.com/mine'), asked('approval'))).to.equal('admitted');
    expect(await run(plugin('CertificateApproval', 'approve signers.certificates.k8s.io/example.com/*'), asked('approval'))).to.equal('admitted');
    expect(await run(plugin('CertificateApproval'), asked('status'))).to.equal('not asked');
  });
  it('signing needs the right to sign, where certificate or conditions change', async () => {
    expect(await run(plugin('CertificateSigning'), asked('status', { certificate: 'x' }))).to.equal('403 certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted to sign requests with signerName "example.com/mine"');
    expect(await run(plugin('CertificateSigning'), asked('status', { conditions: [{ type: 'Failed' }] }))).to.match(/^403/);
    expect(await run(plugin('CertificateSigning'), asked('status'))).to.equal('admitted');
    expect(await run(plugin('CertificateSigning', 'sign signers.certificates.k8s.io/example.com/*'), asked('status', { certificate: 'x' }))).to.equal('admitted');
  });
  it('nobody asks the client signer for system:masters', async () => {
    const ask = async (signerName: string, organizations: string[]): Promise<string> => run(plugin('CertificateSubjectRestriction'), {
      row, object: { metadata: { name: 'x' }, spec: { signerName, request: Buffer.from(requestOf('ec', `${organizations.map((one) => `/O=${one}`).join('')}/CN=a`)).toString('base64') } },
    });
    expect(await ask('kubernetes.io/kube-apiserver-client', ['devs', 'system:masters'])).to.equal('403 certificatesigningrequests.certificates.k8s.io "x" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed');
    expect(await ask('kubernetes.io/kube-apiserver-client', ['devs'])).to.equal('admitted');
    expect(await ask('example.com/mine', ['system:masters'])).to.equal('admitted');
  });
  it('a trust bundle of a signer needs the right to attest for it; what collects garbage does not', async () => {
    const bundles = fakeRow('certificates.k8s.io', 'clustertrustbundles', 'ClusterTrustBundle', false);
    const bundle = (trustBundle: string, more: object = {}): KubeObject => ({ metadata: { name: 'x', ...more }, spec: { signerName: 'example.com/mine', trustBundle } });
    expect(await run(plugin('ClusterTrustBundleAttest'), { row: bundles, object: bundle('a') })).to.equal('403 clustertrustbundles.certificates.k8s.io "x" is forbidden: user not permitted to attest for signerName "example.com/mine"');
    expect(await run(plugin('ClusterTrustBundleAttest', 'attest signers.certificates.k8s.io/example.com/*'), { row: bundles, object: bundle('a') })).to.equal('admitted');
    expect(await run(plugin('ClusterTrustBundleAttest'), { row: bundles, operation: 'UPDATE', object: bundle('a', { finalizers: [] }), oldObject: bundle('a', { finalizers: ['f'] }) })).to.equal('admitted');
    expect(await run(plugin('ClusterTrustBundleAttest'), { row: bundles, operation: 'UPDATE', object: bundle('b'), oldObject: bundle('a') })).to.match(/^403/);
    expect(await run(plugin('ClusterTrustBundleAttest'), { row: bundles, object: { metadata: { name: 'x' }, spec: { trustBundle: 'a' } } })).to.equal('admitted');
  });
});

describe('DefaultIngressClass', () => {
  const row = fakeRow('networking.k8s.io', 'ingresses', 'Ingress');
  const classOf = async (object: KubeObject): Promise<unknown> => {
    expect(await run(createDefaultIngressClass(backend), { row, object })).to.equal('admitted');
    return (object.spec as { ingressClassName?: string } | undefined)?.ingressClassName;
  };
  it('gives the newest default class, by name among those of one time', async () => expect(await classOf({ metadata: { name: 'x' }, spec: { rules: [] } })).to.equal('newest-a'));
  it('leaves what is asked for, by field or by annotation', async () => {
    expect(await classOf({ metadata: { name: 'x' }, spec: { ingressClassName: 'mine' } })).to.equal('mine');
    expect(await classOf({ metadata: { name: 'x', annotations: { 'kubernetes.io/ingress.class': 'mine' } }, spec: {} })).to.equal(undefined);
  });
});

describe('PodTopologyLabels', () => {
  const plugin = createPodTopologyLabels(backend);
  const labels = { 'topology.kubernetes.io/zone': 'z', 'topology.kubernetes.io/region': 'r' };
  it('go with a binding, and over what it says itself', async () => {
    const object: KubeObject = { metadata: { name: 'x', labels: { 'topology.kubernetes.io/zone': 'mine', kept: 'k' } }, target: { kind: 'Node', name: 'n' } };
    await run(plugin, { subresource: 'binding', object });
    expect(object.metadata?.labels).to.deep.equal({ ...labels, kept: 'k' });
  });
  it('go with a pod that is made on its node', async () => {
    const object: KubeObject = { metadata: { name: 'x' }, spec: { nodeName: 'n' } };
    await run(plugin, { object });
    expect(object.metadata?.labels).to.deep.equal(labels);
  });
  it('leave pods alone that have no node, or one that nobody knows or that says nothing', async () => {
    for (const nodeName of ['', 'nope', 'bare']) {
      const object: KubeObject = { metadata: { name: 'x' }, spec: { nodeName } };
      await run(plugin, { object });
      expect(object.metadata).to.deep.equal({ name: 'x' });
    }
  });
});
