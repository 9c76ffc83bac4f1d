// Objects that make the cluster usable beyond what the API server itself stores: the DNS Service and the rights of what serves it,
// the default StorageClass and the rights of its provisioner.
import { account, provisioner, storageClassName } from '#machinery/api/local-path.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { isAlreadyExists } from '#machinery/api/status.ts';
import type { Client, Resource } from '#machinery/client/types.ts';

const resource = (group: string, version: string, name: string, kind: string, namespaced: boolean): Resource<KubeObject> => ({ group, version, resource: name, kind, namespaced });
const services = resource('', 'v1', 'services', 'Service', true);
const serviceAccounts = resource('', 'v1', 'serviceaccounts', 'ServiceAccount', true);
const endpointSlices = resource('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice', true);
const clusterRoles = resource('rbac.authorization.k8s.io', 'v1', 'clusterroles', 'ClusterRole', false);
const clusterRoleBindings = resource('rbac.authorization.k8s.io', 'v1', 'clusterrolebindings', 'ClusterRoleBinding', false);

const storageClasses = resource('storage.k8s.io', 'v1', 'storageclasses', 'StorageClass', false);

const labels = { 'k8s-app': 'kube-dns', 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' };
const sliceName = 'kube-dns-proa';

async function createOnce(client: Client, kind: Resource<KubeObject>, namespace: string, object: KubeObject, signal: AbortSignal): Promise<void> {
  try {
    await client.create(kind, namespace, object, signal);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** Points the Service at the DNS server: call it whenever that has found its place. */
export async function publishDns(client: Client, dns: { address: string; port: number }, signal: AbortSignal): Promise<void> {
  const slice: KubeObject = {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: { name: sliceName, namespace: 'kube-system', labels: { ...labels, 'kubernetes.io/service-name': 'kube-dns', 'endpointslice.kubernetes.io/managed-by': 'proa' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [dns.address], conditions: { ready: true, serving: true, terminating: false } }],
    ports: [{ name: 'dns', port: dns.port, protocol: 'UDP' }, { name: 'dns-tcp', port: dns.port, protocol: 'TCP' }],
  };
  await createOnce(client, endpointSlices, 'kube-system', slice, signal);
  await client.patch(endpointSlices, 'kube-system', sliceName, 'merge', { endpoints: slice.endpoints, ports: slice.ports }, signal);
}

/** The DNS server's ServiceAccount, its rights and the Service. Idempotent: what a person changed stays. */
export async function ensureDnsObjects(client: Client, clusterIp: string, signal: AbortSignal): Promise<void> {
  const create = (kind: Resource<KubeObject>, namespace: string, object: KubeObject): Promise<void> => createOnce(client, kind, namespace, object, signal);
  await Promise.all([
    create(serviceAccounts, 'kube-system', { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'coredns', namespace: 'kube-system' } }),
    create(clusterRoles, '', {
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'system:coredns' },
      rules: [
        { apiGroups: [''], resources: ['endpoints', 'services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      ],
    }),
    create(clusterRoleBindings, '', {
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', metadata: { name: 'system:coredns' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:coredns' },
      subjects: [{ kind: 'ServiceAccount', name: 'coredns', namespace: 'kube-system' }],
    }),
    create(services, 'kube-system', {
      apiVersion: 'v1', kind: 'Service', metadata: { name: 'kube-dns', namespace: 'kube-system', labels },
      spec: {
        clusterIP: clusterIp,
        ports: [{ name: 'dns', port: 53, protocol: 'UDP' }, { name: 'dns-tcp', port: 53, protocol: 'TCP' }, { name: 'metrics', port: 9153, protocol: 'TCP' }],
      },
    }),
  ]);
}

/** StorageClass local-path, the default one, and the rights of its provisioner. Idempotent: what a person changed stays. */
export async function ensureLocalPath(client: Client, signal: AbortSignal): Promise<void> {
  const role = `system:controller:${account}`;
  await Promise.all([
    createOnce(client, storageClasses, '', {
      apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass',
      metadata: { name: storageClassName, annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
      provisioner, reclaimPolicy: 'Delete', volumeBindingMode: 'WaitForFirstConsumer', allowVolumeExpansion: true,
    }, signal),
    createOnce(client, clusterRoles, '', {
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: role },
      rules: [
        { apiGroups: [''], resources: ['persistentvolumes'], verbs: ['create', 'update', 'patch', 'delete'] },
        { apiGroups: [''], resources: ['persistentvolumeclaims'], verbs: ['update'] },
        { apiGroups: [''], resources: ['persistentvolumeclaims/status'], verbs: ['patch'] },
        { apiGroups: [''], resources: ['nodes'], verbs: ['patch'] },
        { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch', 'update'] },
      ],
    }, signal),
    createOnce(client, clusterRoleBindings, '', {
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', metadata: { name: role },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: 'kube-system' }],
    }, signal),
  ]);
}
