// What a write cannot set, so that its manager does not come to own it: the strategies of upstream's kinds put these fields back
// (GetResetFields and GetResetFieldsFilter below pkg/registry).
import { fieldsOf, matching, recursiveDifference } from './fields.ts';
import type { Fields } from './fields.ts';

/** Takes away what a write does not own. */
export type FieldsFilter = (fields: Fields) => Fields;

const without = (...paths: string[][]): FieldsFilter => {
  const reset = fieldsOf(...paths.map((path) => path.map((name) => `f:${name}`)));
  return (fields) => recursiveDifference(fields, reset);
};
const only = (...patterns: string[][]): FieldsFilter => (fields) => matching(fields, patterns.map((path) => path.map((name) => (name === '*' ? name : `f:${name}`))));

const status = without(['status']);
const spec = without(['spec']);
const specAndMetadata = without(['spec'], ['metadata']);

/** Kinds whose status is a subresource that leaves the spec alone. */
const specKept = ['pods', 'nodes', 'namespaces', 'services', 'replicationcontrollers', 'resourcequotas', 'persistentvolumes', 'persistentvolumeclaims',
  'daemonsets.apps', 'statefulsets.apps', 'deployments.apps', 'replicasets.apps', 'jobs.batch', 'cronjobs.batch', 'horizontalpodautoscalers.autoscaling',
  'ingresses.networking.k8s.io', 'poddisruptionbudgets.policy', 'customresourcedefinitions.apiextensions.k8s.io'];
/** Kinds whose status subresource leaves metadata alone, too. */
const metadataKept = ['volumeattachments.storage.k8s.io', 'flowschemas.flowcontrol.apiserver.k8s.io', 'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io',
  'validatingadmissionpolicies.admissionregistration.k8s.io', 'apiservices.apiregistration.k8s.io', 'servicecidrs.networking.k8s.io', 'resourceclaims.resource.k8s.io',
  'devicetaintrules.resource.k8s.io', 'storageversions.internal.apiserver.k8s.io', 'storageversionmigrations.storagemigration.k8s.io', 'podgroups.scheduling.k8s.io'];

const filters = new Map<string, FieldsFilter>([
  ...[...specKept, ...metadataKept].map((id) => [id, status] as const),
  ...specKept.map((id) => [`${id}/status`, spec] as const),
  ...metadataKept.map((id) => [`${id}/status`, specAndMetadata] as const),
  ['pods/status', without(['spec'], ['metadata', 'deletionTimestamp'], ['metadata', 'ownerReferences'])],
  ['pods/ephemeralcontainers', only(['spec', 'ephemeralContainers'])],
  ['pods/resize', only(...['containers', 'initContainers'].flatMap((list) => [['spec', list, '*', 'resources'], ['spec', list, '*', 'resizePolicy']]))],
  ['deployments.apps/status', without(['spec'], ['metadata', 'labels'])],
  ['namespaces/finalize', status],
  ['certificatesigningrequests.certificates.k8s.io', without(['spec'], ['status'])],
  ['certificatesigningrequests.certificates.k8s.io/status', without(['spec'], ['status', 'conditions'])],
  ['certificatesigningrequests.certificates.k8s.io/approval', without(['spec'], ['status', 'certificate'])],
  ['podcertificaterequests.certificates.k8s.io/status', spec],
]);

/** Of a resource id, with the subresource if any; undefined: everything is owned. Custom resources have rules by their own definition. */
export function resetFilter(id: string, subresource: string): FieldsFilter | undefined {
  return filters.get(subresource === '' ? id : `${id}/${subresource}`);
}
