// Where each resource lives in the store: the same keys as upstream, so that either server can read the other's store.
// Upstream: pkg/kubeapiserver/default_storage_factory_builder.go (the special ones); each is its resource's name otherwise.

/** Everything of ours is under this. */
export const registryPrefix = '/registry/';

/** Resource ids whose folder is not just the resource's name. */
const special: Readonly<Record<string, string>> = {
  'replicationcontrollers': 'controllers',
  'endpoints': 'services/endpoints',
  'nodes': 'minions',
  'services': 'services/specs',
  'ingresses.networking.k8s.io': 'ingress',
};

/** Groups of built-in types that are stored under the bare resource name; any other group with a dot is named in the key. */
const builtIn: ReadonlySet<string> = new Set([
  '',
  'admissionregistration.k8s.io',
  'apps',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'coordination.k8s.io',
  'discovery.k8s.io',
  'events.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'internal.apiserver.k8s.io',
  'networking.k8s.io',
  'node.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'resource.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
  'storagemigration.k8s.io',
]);

/**
 * `/registry/pods/`, `/registry/minions/`, and for API services, CRDs and custom resources `/registry/GROUP/RESOURCE/`.
 * Two groups that share a store (events) share the prefix.
 */
export function storagePrefix(group: string, resource: string): string {
  if (!builtIn.has(group)) return `${registryPrefix}${group}/${resource}/`;
  return `${registryPrefix}${special[group === '' ? resource : `${resource}.${group}`] ?? resource}/`;
}

/** The key of one object; cluster-scoped ones have no namespace. */
export function objectKey(prefix: string, namespace: string, name: string): string {
  return namespace === '' ? prefix + name : `${prefix}${namespace}/${name}`;
}

/** `cluster ip` allocations live beside the objects: `/registry/ranges/serviceips`, `/registry/ranges/servicenodeports`. */
export function rangeKey(name: string): string {
  return `${registryPrefix}ranges/${name}`;
}

/** Byte order of keys, which both engines use; differs from `<` past the basic plane of Unicode. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // A surrogate stands for a code point above every lone unit.
    const highX = x >= 0xd800 && x <= 0xdfff;
    const highY = y >= 0xd800 && y <= 0xdfff;
    if (highX !== highY) return highX ? 1 : -1;
    return x < y ? -1 : 1;
  }
  return a.length < b.length ? -1 : 1;
}
