// Service default/kubernetes and its Endpoints and EndpointSlice: how pods find this API server. The endpoints are those of
// this server alone; several servers in front of one etcd need leases, as upstream's lease reconciler.
import { isDeepStrictEqual } from 'node:util';
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import { familyOf } from '../allocators/address-range.ts';
import { ensure } from './ensure.ts';

const log = createLogger('bootstrap');
const namespace = 'default';
const name = 'kubernetes';

export interface Advertised { clusterIp: string; address: string; port: number }

export async function ensureKubernetesService(backend: Backend, { clusterIp, port }: Advertised): Promise<void> {
  const ports = [{ name: 'https', port: 443, protocol: 'TCP', targetPort: port }];
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  await ensure(backend, 'services', {
    apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, labels },
    spec: {
      type: 'ClusterIP', clusterIP: clusterIp, clusterIPs: [clusterIp], ipFamilies: [familyOf(clusterIp) ?? 'IPv4'], ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None', ports,
    },
  }, (object) => {
    const spec = object.spec as Record<string, unknown>; // Services have one
    if (isDeepStrictEqual(spec.ports, ports) && spec.selector === undefined) return false;
    spec.ports = ports;
    delete spec.selector;
    return true;
  });
}

export async function ensureEndpoints(backend: Backend, { address, port }: Advertised): Promise<void> {
  if (address.startsWith('127.') || address === '::1' || address === '0.0.0.0' || address === '::') {
    log.info('the advertised address is of no use to pods: Service default/kubernetes gets no endpoints', { address });
    return;
  }
  const ports = [{ name: 'https', port, protocol: 'TCP' }];
  const subsets = [{ addresses: [{ ip: address }], ports }];
  const skipMirror = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
  const endpoints = [{ addresses: [address], conditions: { ready: true } }];
  const addressType = familyOf(address) ?? 'IPv4';
  await Promise.all([
    ensure(backend, 'endpoints', { apiVersion: 'v1', kind: 'Endpoints', metadata: { name, namespace, labels: skipMirror }, subsets },
      (object) => set(object, { subsets })),
    ensure(backend, 'endpointslices.discovery.k8s.io', {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType, endpoints, ports,
    }, (object) => set(object, { endpoints, ports })),
  ]);
}

/** Sets top-level fields that differ. */
function set(object: KubeObject, wanted: Record<string, unknown>): boolean {
  let changed = false;
  for (const [field, value] of Object.entries(wanted)) {
    if (isDeepStrictEqual(object[field], value)) continue;
    object[field] = structuredClone(value);
    changed = true;
  }
  return changed;
}
