// Subsets of an Endpoints object from a Service and its pods, without I/O. Upstream: pkg/controller/endpoint, pkg/api/v1/endpoints.
import { isIPv6 } from 'node:net';
import type { Endpoints, Pod, Service } from '#machinery/api/object.ts';
import { isReady } from '../pods.ts';
import { belongs, hostnameOf, ipsOf, isHeadless, targetPort } from '../service-pods.ts';

export const managedByLabel = 'endpoints.kubernetes.io/managed-by';
export const managedBy = 'endpoint-controller';
export const overCapacityKey = 'endpoints.kubernetes.io/over-capacity';
export const headlessLabel = 'service.kubernetes.io/headless';
const maxAddresses = 1000;

export type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];
type Port = NonNullable<Subset['ports']>[number];

/** One subset per set of ports, addresses and ports sorted: the same pods give the same text. */
export function subsetsOf(service: Service, pods: readonly Pod[]): { subsets: Subset[]; truncated: boolean } {
  const publishAll = service.spec?.publishNotReadyAddresses === true;
  const wantsIPv6 = (service.spec?.ipFamilies?.[0] ?? (isIPv6(service.spec?.clusterIP ?? '') ? 'IPv6' : 'IPv4')) === 'IPv6';
  const groups = new Map<string, { ports: Port[]; ready: Address[]; notReady: Address[] }>();
  for (const pod of pods) {
    if (!belongs(pod, publishAll)) continue;
    const ip = ipsOf(pod).find((each) => isIPv6(each) === wantsIPv6);
    if (ip === undefined) continue;
    const ports = portsOf(service, pod);
    if (!ports) continue;
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, ready: [], notReady: [] };
    groups.set(key, group);
    const { namespace, name, uid } = pod.metadata;
    const hostname = hostnameOf(pod, service);
    const address: Address = { ip, ...(hostname ? { hostname } : {}), ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}), targetRef: { kind: 'Pod', namespace, name, uid } };
    (publishAll || isReady(pod) ? group.ready : group.notReady).push(address);
  }
  const subsets = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { ports, ready, notReady }]): Subset => ({
    ...(ready.length > 0 ? { addresses: ready.sort(byAddress) } : {}),
    ...(notReady.length > 0 ? { notReadyAddresses: notReady.sort(byAddress) } : {}),
    ...(ports.length > 0 ? { ports } : {}),
  }));
  return truncate(subsets);
}

/** undefined: the pod has none of the ports, so it is no endpoint; empty: a headless service without ports. */
function portsOf(service: Service, pod: Pod): Port[] | undefined {
  const declared = service.spec?.ports ?? [];
  if (declared.length === 0) return service.spec?.clusterIP === 'None' ? [] : undefined;
  const ports: Port[] = [];
  for (const port of declared) {
    const number = targetPort(pod, port);
    if (number !== undefined) ports.push({ ...(port.name ? { name: port.name } : {}), port: number, protocol: port.protocol ?? 'TCP', ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}) });
  }
  return ports.length === 0 ? undefined : ports.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
function byAddress(a: Address, b: Address): number {
  return a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : (a.targetRef?.uid ?? '') < (b.targetRef?.uid ?? '') ? -1 : 1;
}

/** At most 1,000 addresses, ready ones first, taken evenly from the subsets' front. */
function truncate(subsets: Subset[]): { subsets: Subset[]; truncated: boolean } {
  const ready = subsets.reduce((total, { addresses }) => total + (addresses?.length ?? 0), 0);
  const total = ready + subsets.reduce((sum, { notReadyAddresses }) => sum + (notReadyAddresses?.length ?? 0), 0);
  if (total <= maxAddresses) return { subsets, truncated: false };
  let readyLeft = Math.min(ready, maxAddresses);
  let otherLeft = maxAddresses - readyLeft;
  const cut = subsets.map(({ ports, addresses = [], notReadyAddresses = [] }): Subset => {
    const kept = addresses.slice(0, readyLeft);
    const others = notReadyAddresses.slice(0, otherLeft);
    readyLeft -= kept.length;
    otherLeft -= others.length;
    return { ...(kept.length > 0 ? { addresses: kept } : {}), ...(others.length > 0 ? { notReadyAddresses: others } : {}), ...(ports ? { ports } : {}) };
  });
  return { subsets: cut.filter((subset) => subset.addresses || subset.notReadyAddresses), truncated: true };
}

export function labelsOf(service: Service): Record<string, string> {
  const { [headlessLabel]: _, ...own } = service.metadata.labels ?? {};
  return { ...own, ...(isHeadless(service) ? { [headlessLabel]: '' } : {}), [managedByLabel]: managedBy };
}
