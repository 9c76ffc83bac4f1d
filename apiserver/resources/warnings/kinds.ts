// Which kinds warn of what, on create and update, beside what their strategies say. Upstream: the strategies' WarningsOn… functions.
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, at, integer, objects, strings, text } from '../values.ts';
import { addressWarnings, subnetWarnings } from './addresses.ts';
import { deprecatedLabel, labelWarnings } from './node-labels.ts';
import { podWarnings } from './pod.ts';
import { secretWarnings } from './secrets.ts';
import { claimSpecWarnings, claimWarnings, volumeWarnings } from './volumes.ts';

/** `old` is missing on create. */
type Warn = (object: Readonly<KubeObject>, old: Readonly<KubeObject> | undefined) => string[];

const changed = (object: Readonly<KubeObject>, old: Readonly<KubeObject> | undefined): boolean => !old || object.metadata?.generation !== old.metadata?.generation;

/** Of the template at a path, when it is new or may have changed. */
const template = (...path: string[]): Warn => (object, old) => {
  const found = asObject(at(object, ...path));
  return found && changed(object, old) ? podWarnings(found, path.join('.')) : [];
};

/** Of the spec of Jobs at a path: many indexes, and its template. */
const jobSpec = (...path: string[]): Warn => (object, old) => {
  const { completionMode, completions, parallelism } = asObject(at(object, ...path)) ?? {};
  const many = changed(object, old) && completionMode === 'Indexed' && (integer(completions) ?? 0) > 100_000 && (integer(parallelism) ?? 0) > 10_000;
  return [
    ...(many ? [`${path.join('.')}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail`] : []),
    ...template(...path, 'template')(object, old),
  ];
};

export const kindWarnings: Readonly<Record<string, Warn>> = {
  // Updates of pods are many, and none by hand.
  'pods': (object, old) => (old ? [] : podWarnings(object)),
  'podtemplates': template('template'),
  'replicationcontrollers': template('spec', 'template'),
  'deployments.apps': template('spec', 'template'),
  'replicasets.apps': template('spec', 'template'),
  'daemonsets.apps': template('spec', 'template'),
  'statefulsets.apps': (object, old) => [
    ...template('spec', 'template')(object, old),
    ...objects(at(object, 'spec', 'volumeClaimTemplates')).flatMap((claim, i) => claimSpecWarnings(claim['spec'], `spec.volumeClaimTemplates[${i}].Spec`)),
  ],
  'jobs.batch': jobSpec('spec'),
  'cronjobs.batch': jobSpec('spec', 'jobTemplate', 'spec'),
  'services': serviceWarnings,
  'secrets': secretWarnings,
  'nodes': (object) => [
    ...(at(object, 'spec', 'configSource') === undefined ? [] : ['spec.configSource: the feature is removed']),
    ...(text(at(object, 'spec', 'externalID')) === '' ? [] : ['spec.externalID: this field is deprecated, and is unused by Kubernetes']),
    ...strings(at(object, 'spec', 'podCIDRs')).flatMap((subnet, i) => subnetWarnings(`spec.podCIDRs[${i}]`, subnet)),
  ],
  'networkpolicies.networking.k8s.io': (object) => ([['ingress', 'from'], ['egress', 'to']] as const).flatMap(([way, peers]) =>
    objects(at(object, 'spec', way)).flatMap((rule, i) => objects(rule[peers]).flatMap((peer, j) => {
      const path = `spec.${way}[${i}].${peers}[${j}].ipBlock`;
      const block = asObject(peer['ipBlock']);
      return block ? [...subnetWarnings(`${path}.cidr`, block['cidr']), ...strings(block['except']).flatMap((except, k) => subnetWarnings(`${path}.except[${k}]`, except))] : [];
    }))),
  ...Object.fromEntries(['validatingwebhookconfigurations', 'mutatingwebhookconfigurations', 'validatingadmissionpolicies', 'validatingadmissionpolicybindings', 'mutatingadmissionpolicies', 'mutatingadmissionpolicybindings']
    .map((resource): [string, Warn] => [`${resource}.admissionregistration.k8s.io`, staticNameWarnings])),
  'persistentvolumes': volumeWarnings,
  'persistentvolumeclaims': claimWarnings,
  'storageclasses.storage.k8s.io': (object) => objects(object['allowedTopologies']).flatMap((topology, i) => objects(topology['matchLabelExpressions']).flatMap((expression, j) => {
    const message = deprecatedLabel(text(expression['key']));
    return message === undefined ? [] : [`allowedTopologies[${i}].matchLabelExpressions[${j}].key: ${message}`];
  })),
  'csistoragecapacities.storage.k8s.io': (object) => [
    ...objects(at(object, 'nodeTopology', 'matchExpressions')).flatMap((expression, i) => {
      const key = text(expression['key']);
      const message = deprecatedLabel(key);
      return message === undefined ? [] : [`nodeTopology.matchExpressions[${i}].key: ${key} is ${message}`];
    }),
    ...labelWarnings(at(object, 'nodeTopology', 'matchLabels'), (key) => `nodeTopology.matchLabels.${key}`),
  ],
  'runtimeclasses.node.k8s.io': (object) => labelWarnings(at(object, 'scheduling', 'nodeSelector'), () => 'scheduling.nodeSelector'),
  'serviceaccounts': (object, old) => {
    const key = 'kubernetes.io/enforce-mountable-secrets';
    return object.metadata?.annotations?.[key] === undefined || old?.metadata?.annotations?.[key] !== undefined ? []
      : [`metadata.annotations[${key}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`];
  },
  'endpoints': (object) => (object.metadata?.labels?.['endpoints.kubernetes.io/managed-by'] === 'endpoint-controller' ? []
    : objects(object['subsets']).flatMap((subset, i) => ['addresses', 'notReadyAddresses'].flatMap((field) =>
      objects(subset[field]).flatMap((address, j) => addressWarnings(`subsets[${i}].${field}[${j}].ip`, address['ip']))))),
  'endpointslices.discovery.k8s.io': (object, old) => [
    ...(!old && object['addressType'] === 'FQDN' ? ['spec.addressType: FQDN endpoints are deprecated'] : []),
    ...(['endpointslice-controller.k8s.io', 'endpointslicemirroring-controller.k8s.io'].includes(object.metadata?.labels?.['endpointslice.kubernetes.io/managed-by'] ?? '') ? []
      : objects(object['endpoints']).flatMap((endpoint, i) => strings(endpoint['addresses']).flatMap((address, j) => addressWarnings(`endpoints[${i}].addresses[${j}]`, address)))),
  ],
};

function serviceWarnings(object: Readonly<KubeObject>): string[] {
  const spec = asObject(object['spec']) ?? {};
  const externalIps = strings(spec['externalIPs']);
  const isExternalName = spec['type'] === 'ExternalName';
  const isHeadless = spec['type'] === 'ClusterIP' && spec['clusterIP'] === 'None';
  const annotation = 'service.kubernetes.io/topology-aware-hints';
  const when = (condition: boolean, message: string): string[] => (condition ? [message] : []);
  return [
    ...when(object.metadata?.annotations?.[annotation] !== undefined, `annotation ${annotation} is deprecated, please use service.kubernetes.io/topology-mode instead`),
    ...(isExternalName || isHeadless ? [] : strings(spec['clusterIPs']).flatMap((address, i) => addressWarnings(`spec.clusterIPs[${i}]`, address))),
    ...when(isHeadless && text(spec['loadBalancerIP']) !== '', 'spec.loadBalancerIP is ignored for headless services'),
    ...when(isHeadless && externalIps.length > 0, 'spec.externalIPs is ignored for headless services'),
    ...when(isHeadless && (spec['sessionAffinity'] ?? 'None') !== 'None', 'spec.SessionAffinity is ignored for headless services'),
    ...externalIps.flatMap((address, i) => addressWarnings(`spec.externalIPs[${i}]`, address)),
    ...when(externalIps.length > 0 && !isHeadless && !isExternalName, 'spec.externalIPs is deprecated and may no longer be implemented in some clusters'),
    ...addressWarnings('spec.loadBalancerIP', spec['loadBalancerIP']),
    ...strings(spec['loadBalancerSourceRanges']).flatMap((subnet, i) => subnetWarnings(`spec.loadBalancerSourceRanges[${i}]`, subnet)),
    ...when(isExternalName && externalIps.length > 0, 'spec.externalIPs is ignored when spec.type is "ExternalName"'),
    ...when(!isExternalName && text(spec['externalName']) !== '', 'spec.externalName is ignored when spec.type is not "ExternalName"'),
    ...when(spec['trafficDistribution'] === 'PreferClose', 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'),
  ];
}

const staticSuffix = '.static.k8s.io';
function staticNameWarnings(object: Readonly<KubeObject>): string[] {
  return object.metadata?.name?.endsWith(staticSuffix) === true
    ? [`metadata.name: names ending with ${JSON.stringify(staticSuffix)} are reserved for static manifest-based configurations and cannot be managed via the API`] : [];
}

const balancerWarnings: Warn = (object) => objects(at(object, 'status', 'loadBalancer', 'ingress')).flatMap((ingress, i) => addressWarnings(`status.loadBalancer.ingress[${i}]`, ingress['ip']));

/** On writes of a status. */
export const statusWarnings: Readonly<Record<string, Warn>> = {
  'pods': (object) => ['podIPs', 'hostIPs'].flatMap((field) => objects(at(object, 'status', field)).flatMap((address, i) => addressWarnings(`status.${field}[${i}].ip`, address['ip']))),
  'services': balancerWarnings,
  'ingresses.networking.k8s.io': balancerWarnings,
};
