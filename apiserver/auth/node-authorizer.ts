// The node authorizer: a kubelet may do what role system:node says, narrowed to its own Node and Lease and to what the
// pods on it refer to. Upstream: plugin/pkg/auth/authorizer/node. Where upstream keeps a graph, this asks the watch cache
// for the node's pods: what each refers to is worked out once per version of the pod.
import type { Pod } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { Authorizer, Decision } from '../filters/seams.ts';
import type { RequestInfo } from '../request.ts';
import { mirrorAnnotation, nodeOf } from './identity.ts';
import { podReferences } from './pod-references.ts';
import { ruleAllows, type PolicyRule } from './rbac-rules.ts';

const nodeLeaseNamespace = 'kube-node-lease';
const yes: Decision = { allowed: true, reason: '' };
const no = (reason = ''): Decision => ({ allowed: false, reason });
type Kind = 'secret' | 'configMap' | 'claim' | 'volume' | 'resourceClaim' | 'attachment' | 'serviceAccount' | 'pod' | 'resourceSlice';

/** `rules` are those of the bootstrap role system:node; they do not follow edits of the stored role, as upstream. */
export function createNodeAuthorizer(backend: Pick<Backend, 'cached' | 'lookup'>, rules: readonly PolicyRule[]): Authorizer {
  function podsOn(node: string, namespace: string): readonly Readonly<Pod>[] {
    const pods = backend.cached('pods', namespace, { name: 'spec.nodeName', value: node }) as readonly unknown[] as readonly Readonly<Pod>[]; // the rows of pods
    return pods.filter((pod) => pod.spec?.nodeName === node);
  }
  const isMirror = (pod: Readonly<Pod>): boolean => pod.metadata.annotations?.[mirrorAnnotation] !== undefined;

  function isRelated(node: string, kind: Kind, namespace: string, name: string): boolean {
    const some = (test: (pod: Readonly<Pod>) => boolean): boolean => podsOn(node, namespace).some((pod) => !isMirror(pod) && test(pod));
    switch (kind) {
      case 'pod': return podsOn(node, namespace).some((pod) => pod.metadata.name === name);
      case 'serviceAccount': return some((pod) => pod.spec?.serviceAccountName === name);
      case 'configMap': return some((pod) => podReferences(pod).configMaps.has(name));
      case 'claim': return some((pod) => podReferences(pod).claims.has(name));
      case 'resourceClaim': return some((pod) => podReferences(pod).resourceClaims.has(name));
      case 'secret': return some((pod) => podReferences(pod).secrets.has(name)) || isSecretOfVolume(node, namespace, name);
      case 'volume': return isVolumeOf(node, name);
      case 'attachment': return specOf('volumeattachments.storage.k8s.io', name)?.nodeName === node;
      case 'resourceSlice': return specOf('resourceslices.resource.k8s.io', name)?.nodeName === node;
      default: return kind satisfies never;
    }
  }
  function specOf(id: string, name: string): Record<string, unknown> | undefined {
    return backend.lookup(id, '', name)?.spec as Record<string, unknown> | undefined; // objects of the API have an object there
  }
  interface VolumeSpec { claimRef?: { namespace?: string; name?: string } }
  function isVolumeOf(node: string, name: string): boolean {
    const claim = (specOf('persistentvolumes', name) as VolumeSpec | undefined)?.claimRef;
    return claim?.namespace !== undefined && claim.name !== undefined && isRelated(node, 'claim', claim.namespace, claim.name);
  }
  /** node <- pod <- claim <- volume <- secret. */
  function isSecretOfVolume(node: string, namespace: string, name: string): boolean {
    return backend.cached('persistentvolumes').some((volume) => {
      // A reference without a namespace means the one of the bound claim.
      const home = (volume.spec as VolumeSpec | undefined)?.claimRef?.namespace;
      return secretsOfVolume(volume.spec).some((ref) => ref.name === name && (ref.namespace || home) === namespace)
        && isVolumeOf(node, volume.metadata?.name ?? '');
    });
  }

  function related(node: string, kind: Kind, info: RequestInfo): Decision {
    if (info.name === '') return no('No Object name found');
    return isRelated(node, kind, info.namespace, info.name) ? yes : no(`no relationship found between node '${node}' and this object`);
  }
  function get(node: string, kind: Kind, info: RequestInfo): Decision {
    if (info.verb !== 'get') return no('can only get individual resources of this type');
    if (info.subresource !== '') return no('cannot get subresource');
    return related(node, kind, info);
  }
  function readNamespaced(node: string, kind: Kind, info: RequestInfo): Decision {
    if (!['get', 'list', 'watch'].includes(info.verb)) return no('can only read resources of this type');
    if (info.subresource !== '') return no('cannot read subresource');
    if (info.namespace === '') return no('can only read namespaced object of this type');
    return related(node, kind, info);
  }

  function authorizeResource(node: string, info: RequestInfo): Decision | undefined {
    switch (info.group === '' ? info.resource : `${info.resource}.${info.group}`) {
      case 'secrets': return readNamespaced(node, 'secret', info);
      case 'configmaps': return readNamespaced(node, 'configMap', info);
      case 'persistentvolumeclaims':
        if (info.subresource !== 'status') return get(node, 'claim', info);
        return info.verb === 'update' || info.verb === 'patch' ? related(node, 'claim', info) : no('can only get/update/patch this type');
      case 'persistentvolumes': return get(node, 'volume', info);
      case 'resourceclaims.resource.k8s.io': return get(node, 'resourceClaim', info);
      case 'volumeattachments.storage.k8s.io': return get(node, 'attachment', info);
      case 'serviceaccounts': return serviceAccount(node, info);
      case 'leases.coordination.k8s.io': return lease(node, info);
      case 'csinodes.storage.k8s.io': return csiNode(node, info);
      case 'resourceslices.resource.k8s.io': return resourceSlice(node, info);
      case 'nodes': return ownNode(node, info);
      case 'pods': return pod(node, info);
      case 'podcertificaterequests.certificates.k8s.io': return no();
      default: return undefined;
    }
  }
  function serviceAccount(node: string, info: RequestInfo): Decision {
    if (info.verb === 'get' && info.subresource === '') return readNamespaced(node, 'serviceAccount', info);
    if (info.verb !== 'create' || info.name === '') return no('can only create tokens for individual service accounts');
    if (info.subresource !== 'token') return no('can only create token subresource of serviceaccount');
    return related(node, 'serviceAccount', info);
  }
  function resourceSlice(node: string, info: RequestInfo): Decision {
    if (info.subresource !== '') return no('cannot authorize ResourceSlice subresources');
    switch (info.verb) {
      case 'create': return yes; // admission checks whose slice it is
      case 'get': case 'update': case 'patch': case 'delete': return related(node, 'resourceSlice', info);
      case 'watch': case 'list': case 'deletecollection':
        return selectsNode(info, 'spec.nodeName', node) ? yes : no('can only list/watch/deletecollection resourceslices with nodeName field selector');
      default: return no('only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection');
    }
  }
  function pod(node: string, info: RequestInfo): Decision {
    const { verb, subresource } = info;
    if (subresource === '') {
      if (verb === 'get') return get(node, 'pod', info);
      if (verb === 'list' || verb === 'watch') {
        if (selectsNode(info, 'spec.nodeName', node)) return yes;
        return info.name !== '' ? related(node, 'pod', info) : no('can only list/watch pods with spec.nodeName field selector');
      }
      return verb === 'create' || verb === 'delete' ? yes : no(); // mirror pods; NodeRestriction narrows it
    }
    if (subresource === 'status') return verb === 'update' || verb === 'patch' ? yes : no();
    return subresource === 'eviction' && verb === 'create' ? yes : no();
  }

  return {
    authorize(user, info) {
      const node = nodeOf(user);
      if (node === undefined) return no();
      if (node === '') return no(`unknown node for user ${JSON.stringify(user.name)}`);
      if (info.isResourceRequest) {
        const decision = authorizeResource(node, info);
        if (decision !== undefined) return decision;
      }
      return rules.some((rule) => ruleAllows(rule, info)) ? yes : no();
    },
    rulesFor(user) {
      return nodeOf(user) === undefined ? undefined : { resourceRules: [], nonResourceRules: [], incomplete: true };
    },
  };
}

const ownVerbs = ['get', 'create', 'update', 'patch', 'delete'];
function lease(node: string, { verb, namespace, name }: RequestInfo): Decision {
  if (!ownVerbs.includes(verb)) return no('can only get, create, update, patch, or delete a node lease');
  if (namespace !== nodeLeaseNamespace) return no(`can only access leases in the "${nodeLeaseNamespace}" system namespace`);
  // A create does not tell its name here; admission checks it.
  return verb === 'create' || name === node ? yes : no('can only access node lease with the same name as the requesting node');
}
function csiNode(node: string, { verb, subresource, name }: RequestInfo): Decision {
  if (!ownVerbs.includes(verb)) return no('can only get, create, update, patch, or delete a CSINode');
  if (subresource !== '') return no('cannot authorize CSINode subresources');
  return verb === 'create' || name === node ? yes : no('can only access CSINode with the same name as the requesting node');
}
function ownNode(node: string, { verb, subresource, name }: RequestInfo): Decision {
  if (subresource === 'status') return verb === 'update' || verb === 'patch' ? yes : no();
  if (subresource !== '') return no();
  if (verb === 'create' || verb === 'update' || verb === 'patch') return yes;
  if (verb !== 'get' && verb !== 'list' && verb !== 'watch') return no();
  if (name === node) return yes;
  return no(name === '' ? `node '${node}' cannot read all nodes, only its own Node object` : `node '${node}' cannot read '${name}', only its own Node object`);
}

/** Whether a field selector holds the requirement `field = value`. */
function selectsNode(info: RequestInfo, field: string, value: string): boolean {
  return (info.fieldSelector ?? '').split(',').some((part) => {
    const match = /^([^=!]+)==?([^=]*)$/.exec(part.trim());
    return match !== null && match[1] === field && match[2] === value;
  });
}

interface SecretRef { name?: string; namespace?: string }
/** Secrets that a PersistentVolume's spec shows to kubelets. */
function secretsOfVolume(spec: unknown): SecretRef[] {
  const sources = (spec ?? {}) as Record<string, Record<string, unknown> | undefined>; // each source is an object
  const found: SecretRef[] = [];
  for (const source of ['cephfs', 'cinder', 'flexVolume', 'rbd', 'scaleIO', 'iscsi', 'storageos']) {
    const ref = sources[source]?.secretRef as SecretRef | undefined;
    if (ref) found.push(ref);
  }
  const azure = sources.azureFile as { secretName?: string; secretNamespace?: string } | undefined;
  if (azure?.secretName) found.push({ name: azure.secretName, ...(azure.secretNamespace ? { namespace: azure.secretNamespace } : {}) });
  // The controller's own references of a CSI source are none of the kubelet's business.
  for (const ref of ['nodePublishSecretRef', 'nodeStageSecretRef', 'nodeExpandSecretRef']) {
    const value = sources.csi?.[ref] as SecretRef | undefined;
    if (value) found.push(value);
  }
  return found;
}
