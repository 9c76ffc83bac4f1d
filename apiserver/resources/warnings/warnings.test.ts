import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { createCa, issueCertificate } from '#machinery/pki/pki.ts';
import { kindWarnings, statusWarnings } from './kinds.ts';
import { secretWarnings } from './secrets.ts';

type Change = Record<string, unknown>;
const container = { name: 'c', image: 'i' };
const pod = (spec: Change, annotations?: Record<string, string>): KubeObject => ({ metadata: { name: 'p', ...(annotations ? { annotations } : {}) }, spec: { containers: [container], ...spec } });
const withContainer = (change: Change): KubeObject => pod({ containers: [{ ...container, ...change }] });
const service = (spec: Change): KubeObject => ({ metadata: { name: 's' }, spec: { type: 'ClusterIP', clusterIP: '10.43.0.9', clusterIPs: ['10.43.0.9'], sessionAffinity: 'None', ...spec } });
const volume = (spec: Change, annotations?: Record<string, string>): KubeObject => ({ metadata: { name: 'v', ...(annotations ? { annotations } : {}) }, spec });

describe('kindWarnings', () => {
  const cases: [title: string, kind: string, object: KubeObject, warnings: string[]][] = [
    ['nothing of an ordinary pod', 'pods', pod({}), []],
    ['an old node label', 'pods', pod({ nodeSelector: { 'beta.kubernetes.io/os': 'linux' } }), ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead']],
    ['an old label in an affinity', 'pods', pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'beta.kubernetes.io/arch', operator: 'Exists' }] }] } } } }),
      ['spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead']],
    ['a spread without a selector', 'pods', pod({ topologySpreadConstraints: [{ topologyKey: 'kubernetes.io/hostname' }] }), ['spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod']],
    ['an anti-affinity without a selector', 'pods', pod({ affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: { topologyKey: 'x' } }] } } }),
      ['spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod']],
    ['an old annotation', 'pods', pod({}, { 'scheduler.alpha.kubernetes.io/critical-pod': '' }), ['metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead']],
    ['a seccomp annotation without its field', 'pods', pod({}, { 'seccomp.security.alpha.kubernetes.io/pod': 'x' }), ['metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead']],
    ['no seccomp annotation beside its field', 'pods', pod({ securityContext: { seccompProfile: { type: 'Unconfined' } } }, { 'seccomp.security.alpha.kubernetes.io/pod': 'x' }), []],
    ['removed volume plugins', 'pods', pod({ volumes: [{ name: 'g', glusterfs: {} }, { name: 'r', gitRepo: {} }] }),
      ['spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+', 'spec.volumes[1].gitRepo: deprecated in v1.11, and disabled by default in v1.33+']],
    ['the same host alias twice', 'pods', pod({ hostAliases: [{ ip: '1.2.3.4' }, { ip: '1.2.3.4' }] }), ['spec.hostAliases[1].ip: duplicate ip "1.2.3.4"']],
    ['pull secrets without a name', 'pods', pod({ imagePullSecrets: [{ name: '' }] }), ['spec.imagePullSecrets[0].name: invalid empty name ""']],
    ['parts of a byte', 'pods', withContainer({ resources: { limits: { memory: '100m', cpu: '100m' } } }), ['spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer']],
    ['a variable that hides another', 'pods', withContainer({ env: [{ name: 'A', value: '1' }, { name: 'A', value: '$(A)2' }, { name: 'A', value: '3' }] }), ['spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply']],
    ['one port twice', 'pods', pod({ containers: [{ ...container, ports: [{ name: 'w', containerPort: 80, protocol: 'TCP' }] }, { ...container, ports: [{ name: 'w', containerPort: 80, protocol: 'TCP' }] }] }), [
      'spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]',
      'spec.containers[1].ports[0]: duplicate port name "w" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]',
    ]],
    ['a negative period', 'pods', pod({ terminationGracePeriodSeconds: -1 }), ['spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1']],
    ['a template with its path', 'deployments.apps', { metadata: {}, spec: { template: pod({ nodeSelector: { 'beta.kubernetes.io/os': 'linux' } }) } }, ['spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead']],
    ['an AppArmor annotation of a template', 'jobs.batch', { metadata: {}, spec: { template: pod({}, { 'container.apparmor.security.beta.kubernetes.io/c': 'runtime/default' }) } },
      ['spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead']],
    ['external addresses', 'services', service({ externalIPs: ['::ffff:1.2.3.4'] }), [
      'spec.externalIPs[0]: non-standard IP address "::ffff:1.2.3.4" is invalid: use "1.2.3.4"', 'spec.externalIPs is deprecated and may no longer be implemented in some clusters']],
    ['what a headless service ignores', 'services', service({ clusterIP: 'None', clusterIPs: ['None'], loadBalancerIP: '1.2.3.4' }), ['spec.loadBalancerIP is ignored for headless services']],
    ['PreferClose', 'services', service({ trafficDistribution: 'PreferClose' }), ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']],
    ['an address that is not canonical', 'services', service({ loadBalancerIP: 'FE80:0::1' }), ['spec.loadBalancerIP: IPv6 address "FE80:0::1" should be in RFC 5952 canonical format ("fe80::1")']],
    ['leading zeros', 'endpoints', { metadata: {}, subsets: [{ addresses: [{ ip: '010.0.0.1' }] }] }, ['subsets[0].addresses[0].ip: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1"']],
    ['files in each others way', 'pods', pod({ volumes: [{ name: 'v', configMap: { name: 'm', items: [{ key: 'a', path: 'x' }, { key: 'b', path: 'x/y/' }, { key: 'c', path: 'xy' }] } }] }),
      ['volume "v" (ConfigMap "m"): overlapping paths: "x/y" with "x"']],
    ['files of several sources', 'pods', pod({ volumes: [{ name: 'v', projected: { sources: [{ configMap: { name: 'm', items: [{ key: 'a', path: 'x' }] } }, { secret: { name: 's', items: [{ key: 'a', path: 'x' }] } }, {}] } }] }),
      ['volume "v" (Projected) has no sources provided', 'volume "v" (Projected): overlapping paths: "x" (Secret "s") with "x" (ConfigMap "m")']],
    ['a subnet with bits of a host', 'nodes', volume({ podCIDRs: ['10.0.0.1/24', 'FE80::/64', '010.0.0.0/24'] }), [
      'spec.podCIDRs[0]: CIDR value "10.0.0.1/24" is ambiguous in this context (should be "10.0.0.0/24" or "10.0.0.1/32"?)', 'spec.podCIDRs[1]: IPv6 CIDR value "FE80::/64" should be in RFC 5952 canonical format ("fe80::/64")',
      'spec.podCIDRs[2]: non-standard CIDR value "010.0.0.0/24" is invalid: use "10.0.0.0/24"']],
    ['subnets of policies', 'networkpolicies.networking.k8s.io', volume({ egress: [{ to: [{ ipBlock: { cidr: '::/0', except: ['FE80::/64'] } }] }] }), ['spec.egress[0].to[0].ipBlock.except[0]: IPv6 CIDR value "FE80::/64" should be in RFC 5952 canonical format ("fe80::/64")']],
    ['names of static configurations', 'validatingadmissionpolicies.admissionregistration.k8s.io', { metadata: { name: 'a.static.k8s.io' } }, ['metadata.name: names ending with ".static.k8s.io" are reserved for static manifest-based configurations and cannot be managed via the API']],
    ['many indexes', 'jobs.batch', volume({ completionMode: 'Indexed', completions: 100_001, parallelism: 10_001 }), ['spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail']],
    ['recycling', 'persistentvolumes', volume({ persistentVolumeReclaimPolicy: 'Recycle' }), ['spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.']],
    ['an old class of a volume', 'persistentvolumes', volume({}, { 'volume.beta.kubernetes.io/storage-class': 'x' }), ['metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead']],
    ['a claim of parts of a byte', 'persistentvolumeclaims', volume({ resources: { requests: { storage: '1500m' } } }), ['spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer']],
    ['FQDN slices', 'endpointslices.discovery.k8s.io', { metadata: {}, addressType: 'FQDN', endpoints: [] }, ['spec.addressType: FQDN endpoints are deprecated']],
    ['the old annotation of service accounts', 'serviceaccounts', { metadata: { annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } } }, ['metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets']],
  ];
  for (const [title, kind, object, warnings] of cases) {
    it(`${kind}: ${title}`, () => expect(kindWarnings[kind]?.(object, undefined)).to.deep.equal(warnings));
  }
  it('pods are warned of when they are created only, templates when something in the spec changed', () => {
    const old = pod({ nodeSelector: { 'beta.kubernetes.io/os': 'linux' } });
    expect(kindWarnings['pods']?.(old, old)).to.deep.equal([]);
    const deployment = (generation: number): KubeObject => ({ metadata: { generation }, spec: { template: old } });
    expect(kindWarnings['deployments.apps']?.(deployment(1), deployment(1))).to.deep.equal([]);
    expect(kindWarnings['deployments.apps']?.(deployment(2), deployment(1))).to.have.length(1);
  });
});

describe('secretWarnings()', () => {
  const tls = (certificate: string, key: string): KubeObject => ({ type: 'kubernetes.io/tls', data: { 'tls.crt': Buffer.from(certificate).toString('base64'), 'tls.key': Buffer.from(key).toString('base64') } });
  const block = (type: string): string => `-----BEGIN ${type}-----\nAAAA\n-----END ${type}-----\n`;
  let own: { cert: string; key: string };
  let other: { cert: string; key: string };
  before(async () => {
    const ca = await createCa('ca');
    [own, other] = await Promise.all(['a', 'b'].map((commonName) => issueCertificate(ca, { commonName, usages: ['server'] }))) as [typeof own, typeof own];
  });
  const cases: [title: string, secret: () => KubeObject, warning: string | undefined][] = [
    ['nothing of a pair', () => tls(own.cert, own.key), undefined],
    ['nothing of other Secrets', () => ({ ...tls('x', 'x'), type: 'Opaque' }), undefined],
    ['a key of another certificate', () => tls(own.cert, other.key), 'tls: private key does not match public key'],
    ['no certificate', () => tls('x', own.key), 'tls: failed to find any PEM data in certificate input'],
    ['both exchanged', () => tls(own.key, own.cert), 'tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched'],
    ['something else', () => tls(block('FOO'), own.key), 'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following types: [FOO]'],
    ['no key', () => tls(own.cert, 'x'), 'tls: failed to find any PEM data in key input'],
    ['two certificates', () => tls(own.cert, own.cert), 'tls: found a certificate rather than a key in the PEM for the private key'],
    ['a broken key', () => tls(own.cert, block('PRIVATE KEY')), 'tls: failed to parse private key'],
    ['a broken certificate', () => tls(block('CERTIFICATE'), own.key), 'x509: malformed certificate'],
  ];
  for (const [title, secret, warning] of cases) it(title, () => expect(secretWarnings(secret())).to.deep.equal(warning === undefined ? [] : [warning]));
});

describe('statusWarnings', () => {
  it('addresses of pods and load balancers', () => {
    expect(statusWarnings['pods']?.({ status: { podIPs: [{ ip: 'FE80::1' }], hostIPs: [{ ip: '10.0.0.1' }] } }, undefined)).to.deep.equal(['status.podIPs[0].ip: IPv6 address "FE80::1" should be in RFC 5952 canonical format ("fe80::1")']);
    expect(statusWarnings['services']?.({ status: { loadBalancer: { ingress: [{ hostname: 'a' }, { ip: '::ffff:1.2.3.4' }] } } }, undefined)).to.deep.equal(['status.loadBalancer.ingress[1]: non-standard IP address "::ffff:1.2.3.4" is invalid: use "1.2.3.4"']);
  });
});
