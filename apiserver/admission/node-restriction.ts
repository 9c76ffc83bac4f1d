// NodeRestriction: a kubelet writes its own Node, Lease and CSINode, and mirror pods, statuses and tokens of its own pods.
// What the node authorizer cannot see (the body of a write) is checked here. Upstream: plugin/pkg/admission/noderestriction.
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject, Node, Pod } from '#machinery/api/object.ts';
import { notFound } from '#machinery/api/status.ts';
import { mirrorAnnotation, nodeOf } from '../auth/identity.ts';
import { podReferences } from '../auth/pod-references.ts';
import type { Backend } from '../backend.ts';
import type { Authorizer } from '../filters/seams.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const nodeLeases = 'kube-node-lease';
const kubeletLabels = new Set([
  'kubernetes.io/hostname', 'topology.kubernetes.io/zone', 'topology.kubernetes.io/region', 'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region', 'beta.kubernetes.io/instance-type', 'node.kubernetes.io/instance-type',
  'kubernetes.io/os', 'kubernetes.io/arch', 'beta.kubernetes.io/os', 'beta.kubernetes.io/arch',
]);
const kubeletNamespaces = ['kubelet.kubernetes.io', 'node.kubernetes.io'];
const restrictedNamespace = 'node-restriction.kubernetes.io';

type Reader = Pick<Backend, 'lookup'>;

/** `authorizer` may allow nodes further token audiences (verb request-serviceaccounts-token-audience). */
export function createNodeRestriction(backend: Reader, authorizer?: Authorizer): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    handles: (operation) => operation !== 'CONNECT',
    // Upstream does this among the mutating steps too: before anything else spends time on the request.
    admit(attributes) {
      const node = nodeOf(attributes.user);
      if (node === undefined) return;
      if (node === '') throw refuse(attributes, `could not determine node from user ${JSON.stringify(attributes.user.name)}`);
      const { row, subresource } = attributes;
      switch (row.group === '' ? row.resource : `${row.resource}.${row.group}`) {
        case 'pods':
          if (subresource === '') return admitPod(node, attributes, backend);
          if (subresource === 'status') return admitPodStatus(node, attributes);
          if (subresource === 'eviction') return admitEviction(node, attributes, backend);
          throw refuse(attributes, `unexpected pod subresource ${JSON.stringify(subresource)}, only 'status' and 'eviction' are allowed`);
        case 'nodes': return admitNode(node, attributes);
        case 'persistentvolumeclaims':
          if (subresource !== 'status') throw refuse(attributes, 'may only update PVC status');
          return admitClaimStatus(node, attributes);
        case 'serviceaccounts': return admitToken(node, attributes, backend, authorizer);
        case 'leases.coordination.k8s.io': return admitLease(node, attributes);
        case 'csinodes.storage.k8s.io':
          if (nameOf(attributes) !== node) throw refuse(attributes, 'can only access CSINode with the same name as the requesting node');
          return;
        case 'resourceslices.resource.k8s.io': return admitSlice(node, attributes);
        case 'certificatesigningrequests.certificates.k8s.io': return admitSigningRequest(node, attributes);
      }
    },
  };
}

const nameOf = ({ operation, name, object }: AdmissionAttributes): string => (operation === 'CREATE' ? object?.metadata?.name ?? '' : name);
const asPod = (object: Readonly<KubeObject> | undefined): Readonly<Pod> | undefined => object as unknown as Pod | undefined; // asked for pods only

function podFromCache(backend: Reader, namespace: string, name: string): Readonly<Pod> {
  const pod = asPod(backend.lookup('pods', namespace, name));
  if (pod === undefined) throw notFound({ group: '', resource: 'pod' }, name);
  return pod;
}

function admitPod(node: string, attributes: AdmissionAttributes, backend: Reader): void {
  if (attributes.operation === 'CREATE') return admitMirrorPod(node, attributes, backend);
  if (attributes.operation !== 'DELETE') throw refuse(attributes, `unexpected operation ${JSON.stringify(attributes.operation)}, node ${JSON.stringify(node)} can only create and delete mirror pods`);
  const pod = asPod(attributes.oldObject) ?? podFromCache(backend, attributes.namespace, attributes.name);
  if (pod.spec?.nodeName !== node) throw refuse(attributes, `node ${JSON.stringify(node)} can only delete pods with spec.nodeName set to itself`);
}

function admitMirrorPod(node: string, attributes: AdmissionAttributes, backend: Reader): void {
  const pod = asPod(attributes.object);
  const who = `node ${JSON.stringify(node)}`;
  if (pod?.metadata?.annotations?.[mirrorAnnotation] === undefined) throw refuse(attributes, `pod does not have "${mirrorAnnotation}" annotation, ${who} can only create mirror pods`);
  if (pod.spec?.nodeName !== node) throw refuse(attributes, `${who} can only create pods with spec.nodeName set to itself`);
  const owners = pod.metadata.ownerReferences ?? [];
  const [owner] = owners;
  if (owners.length > 1) throw refuse(attributes, `${who} can only create pods with a single owner reference set to itself`);
  if (owner === undefined || owner.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node) throw refuse(attributes, `${who} can only create pods with an owner reference set to itself`);
  if (owner.controller !== true) throw refuse(attributes, `${who} can only create pods with a controller owner reference set to itself`);
  if (owner.blockOwnerDeletion === true) throw refuse(attributes, `${who} must not set blockOwnerDeletion on an owner reference`);
  const stored = backend.lookup('nodes', '', node);
  if (stored === undefined) throw notFound({ group: '', resource: 'node' }, node);
  if (stored.metadata?.uid !== owner.uid) throw refuse(attributes, `node ${node} UID mismatch: expected ${owner.uid} got ${stored.metadata?.uid ?? ''}`);
  const referenced = objectReference(pod);
  if (referenced !== undefined) throw refuse(attributes, `${who} can not create pods that reference ${referenced}`);
}

/** What API object a pod needs to run, if any. */
function objectReference(pod: Readonly<Pod>): string | undefined {
  const { spec } = pod;
  if (spec?.serviceAccountName) return 'serviceaccounts';
  const references = podReferences(structuredClone(pod)); // not from the cache: it may still change
  if (references.secrets.size > 0) return 'secrets';
  if (references.configMaps.size > 0) return 'configmaps';
  if (spec?.resourceClaims?.length) return 'resourceclaims';
  for (const volume of spec?.volumes ?? []) {
    if (volume.csi) return 'csidrivers (via CSI volumes)';
    if (volume.glusterfs) return 'endpoints (via glusterFS volumes)';
    if (volume.persistentVolumeClaim) return 'persistentvolumeclaims';
    if (volume.ephemeral) return 'persistentvolumeclaims (via ephemeral volumes)';
    for (const source of volume.projected?.sources ?? []) {
      if (source.serviceAccountToken) return 'serviceaccounts (via projected volumes)';
      if (source.clusterTrustBundle) return 'clustertrustbundles';
      if (source.podCertificate) return 'podcertificates';
    }
  }
  return undefined;
}

function admitPodStatus(node: string, attributes: AdmissionAttributes): void {
  if (attributes.operation !== 'UPDATE') throw refuse(attributes, `unexpected operation ${JSON.stringify(attributes.operation)}`);
  const before = asPod(attributes.oldObject);
  const after = asPod(attributes.object);
  const who = `node ${JSON.stringify(node)}`;
  if (before?.spec?.nodeName !== node) throw refuse(attributes, `${who} can only update pod status for pods with spec.nodeName set to itself`);
  if (!isDeepStrictEqual({ ...before.metadata.labels }, { ...after?.metadata?.labels })) throw refuse(attributes, `${who} cannot update labels through pod status`);
  if (!isDeepStrictEqual(before.status?.resourceClaimStatuses ?? [], after?.status?.resourceClaimStatuses ?? [])) throw refuse(attributes, `${who} cannot update resource claim statues`);
  if (!isDeepStrictEqual(before.status?.extendedResourceClaimStatus ?? null, after?.status?.extendedResourceClaimStatus ?? null)) throw refuse(attributes, `${who} cannot update extended resource claim status`);
}

function admitEviction(node: string, attributes: AdmissionAttributes, backend: Reader): void {
  if (attributes.operation !== 'CREATE') throw refuse(attributes, `unexpected operation ${attributes.operation}`);
  const name = attributes.name || attributes.object?.metadata?.name || '';
  if (name === '') throw refuse(attributes, 'could not determine pod from request data');
  if (podFromCache(backend, attributes.namespace, name).spec?.nodeName !== node) throw refuse(attributes, `node ${node} can only evict pods with spec.nodeName set to itself`);
}

function admitNode(node: string, attributes: AdmissionAttributes): void {
  const requested = attributes.name || attributes.object?.metadata?.name || '';
  const who = `node ${JSON.stringify(node)}`;
  if (requested !== node) throw refuse(attributes, `${who} is not allowed to modify node ${JSON.stringify(requested)}`);
  const after = attributes.object as unknown as Node | undefined; // asked for nodes only
  const before = attributes.oldObject as unknown as Node | undefined;
  if (attributes.operation === 'CREATE') {
    if (after?.spec?.configSource) throw refuse(attributes, `${who} is not allowed to create pods with a non-nil configSource`);
    const labels = forbiddenLabels(after?.metadata?.labels, undefined);
    if (labels.length > 0) throw refuse(attributes, `${who} is not allowed to set the following labels: ${labels.join(', ')}`);
  }
  if (attributes.operation === 'UPDATE') {
    if (after?.spec?.configSource && !isDeepStrictEqual(after.spec.configSource, before?.spec?.configSource)) throw refuse(attributes, `${who} is not allowed to update configSource to a new non-nil configSource`);
    if (!isDeepStrictEqual(after?.spec?.taints ?? [], before?.spec?.taints ?? [])) throw refuse(attributes, `${who} is not allowed to modify taints`);
    if (!isDeepStrictEqual(after?.metadata?.ownerReferences ?? [], before?.metadata?.ownerReferences ?? [])) throw refuse(attributes, `${who} is not allowed to modify ownerReferences`);
    const labels = forbiddenLabels(after?.metadata?.labels, before?.metadata?.labels);
    if (labels.length > 0) throw refuse(attributes, `is not allowed to modify labels: ${labels.join(', ')}`);
  }
}

/** Changed labels that a node must not decide about: they could draw pods to it. */
function forbiddenLabels(after: Record<string, string> = {}, before: Record<string, string> = {}): string[] {
  const changed = [...new Set([...Object.keys(after), ...Object.keys(before)])].filter((key) => after[key] !== before[key]);
  const isIn = (namespace: string, parent: string): boolean => namespace === parent || namespace.endsWith(`.${parent}`);
  return changed.filter((key) => {
    const slash = key.indexOf('/');
    const namespace = slash < 0 ? '' : key.slice(0, slash);
    if (isIn(namespace, restrictedNamespace)) return true;
    if (!isIn(namespace, 'kubernetes.io') && !isIn(namespace, 'k8s.io')) return false;
    return !kubeletLabels.has(key) && !kubeletNamespaces.some((one) => isIn(namespace, one));
  }).toSorted();
}

function admitClaimStatus(node: string, attributes: AdmissionAttributes): void {
  if (attributes.operation !== 'UPDATE') throw refuse(attributes, `unexpected operation ${JSON.stringify(attributes.operation)}`);
  const rest = (object: Readonly<KubeObject> | undefined): unknown => {
    const { resourceVersion: _version, managedFields: _managed, ...metadata } = object?.metadata ?? {};
    const { capacity: _capacity, conditions: _conditions, allocatedResources: _allocated, allocatedResourceStatuses: _statuses, ...status } = (object?.status ?? {}) as Record<string, unknown>;
    return { ...object, metadata, status };
  };
  if (isDeepStrictEqual(rest(attributes.oldObject), rest(attributes.object))) return;
  throw refuse(attributes, `node ${JSON.stringify(node)} is not allowed to update fields other than status.quantity and status.conditions`);
}

/** Tokens only for pods on this node, only for audiences that the pod's volumes name. */
async function admitToken(node: string, attributes: AdmissionAttributes, backend: Reader, authorizer: Authorizer | undefined): Promise<void> {
  if (attributes.operation !== 'CREATE' || attributes.subresource !== 'token') return;
  const spec = (attributes.object?.spec ?? {}) as { audiences?: string[]; boundObjectRef?: { apiVersion?: string; kind?: string; name?: string; uid?: string } };
  const ref = spec.boundObjectRef;
  if (ref?.apiVersion !== 'v1' || ref.kind !== 'Pod' || !ref.name) throw refuse(attributes, 'node requested token not bound to a pod');
  if (!ref.uid) throw refuse(attributes, 'node requested token with a pod binding without a uid');
  const pod = podFromCache(backend, attributes.namespace, ref.name);
  if (pod.metadata.uid !== ref.uid) {
    throw refuse(attributes, `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`);
  }
  if (pod.spec?.nodeName !== node) throw refuse(attributes, 'node requested token bound to a pod scheduled on a different node');

  const audiences = spec.audiences ?? [];
  if (audiences.length > 1) throw refuse(attributes, 'node may only request 0 or 1 audiences');
  const audience = audiences[0] ?? '';
  const named = pod.spec.volumes?.some((volume) =>
    volume.projected?.sources?.some((source) => source.serviceAccountToken && (source.serviceAccountToken.audience ?? '') === audience)
    || (volume.csi && driverAudiences(backend, volume.csi.driver).includes(audience))
    || driverAudiences(backend, driverOfClaim(backend, attributes.namespace, volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral ? `${ref.name}-${volume.name}` : ''))).includes(audience));
  if (named) return;
  const decision = await authorizer?.authorize(attributes.user, {
    isResourceRequest: true, path: '', verb: 'request-serviceaccounts-token-audience', apiPrefix: 'api', group: '', version: 'v1',
    namespace: attributes.namespace, resource: audience, subresource: '', name: attributes.name, parts: [],
  });
  if (decision?.allowed) return;
  throw refuse(attributes, `audience ${JSON.stringify(audience)} not found in pod spec volume, system:node:${node} is not authorized to request tokens for this audience`);
}

function driverOfClaim(backend: Reader, namespace: string, claim: string): string {
  if (claim === '') return '';
  const volume = (backend.lookup('persistentvolumeclaims', namespace, claim)?.spec as { volumeName?: string } | undefined)?.volumeName ?? '';
  return (backend.lookup('persistentvolumes', '', volume)?.spec as { csi?: { driver?: string } } | undefined)?.csi?.driver ?? '';
}
function driverAudiences(backend: Reader, driver: string): string[] {
  const spec = driver === '' ? undefined : backend.lookup('csidrivers.storage.k8s.io', '', driver)?.spec as { tokenRequests?: { audience?: string }[] } | undefined;
  return (spec?.tokenRequests ?? []).map((request) => request.audience ?? '');
}

function admitLease(node: string, attributes: AdmissionAttributes): void {
  if (attributes.namespace !== nodeLeases) throw refuse(attributes, `can only access leases in the "${nodeLeases}" system namespace`);
  if (nameOf(attributes) !== node) throw refuse(attributes, 'can only access node lease with the same name as the requesting node');
}

function admitSlice(node: string, attributes: AdmissionAttributes): void {
  const { operation } = attributes;
  if (operation !== 'CREATE' && operation !== 'DELETE') return;
  const slice = operation === 'CREATE' ? attributes.object : attributes.oldObject;
  if ((slice?.spec as { nodeName?: string } | undefined)?.nodeName === node) return;
  throw refuse(attributes, `can only ${operation.toLowerCase()} ResourceSlice with the same NodeName as the requesting node`);
}

async function admitSigningRequest(node: string, attributes: AdmissionAttributes): Promise<void> {
  if (attributes.operation !== 'CREATE') return;
  const spec = (attributes.object?.spec ?? {}) as { signerName?: string; request?: string };
  if (spec.signerName !== 'kubernetes.io/kubelet-serving' && spec.signerName !== 'kubernetes.io/kube-apiserver-client-kubelet') return;
  // Rare: the parser is loaded when the first one comes.
  await import('reflect-metadata'); // the library asks for it
  const { Pkcs10CertificateRequest } = await import('@peculiar/x509');
  let commonNames: string[];
  try {
    commonNames = new Pkcs10CertificateRequest(Buffer.from(spec.request ?? '', 'base64').toString()).subjectName.getField('CN');
  } catch (error) {
    throw refuse(attributes, `unable to parse csr: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (commonNames.length !== 1 || commonNames[0] !== `system:node:${node}`) throw refuse(attributes, `can only create a node CSR with CN=system:node:${node}`);
}
