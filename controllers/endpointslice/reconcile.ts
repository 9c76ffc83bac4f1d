// From a Service, its pods and its existing slices to the fewest writes, without I/O.
// Upstream: staging/src/k8s.io/endpointslice/reconciler.go.
import { isIPv6 } from 'node:net';
import type { Endpoint, EndpointSlice, Node, ObjectMeta, Pod, Service } from '#machinery/api/object.ts';
import { belongs, hostnameOf, ipsOf, isHeadless, targetPort } from '../service-pods.ts';
import { isReady, sameMap, sameValue } from '../pods.ts';
import { hintByTopology, wantsTopology } from './topology.ts';

export const managedBy = 'endpointslice-controller.k8s.io';
export const serviceNameLabel = 'kubernetes.io/service-name';
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
const headlessLabel = 'service.kubernetes.io/headless';
const reserved = new Set([serviceNameLabel, managedByLabel, headlessLabel]);

type Port = NonNullable<EndpointSlice['ports']>[number];
/** A slice as it should be; without a name it is new. */
export type PlannedSlice = Omit<EndpointSlice, 'metadata'> & { metadata: ObjectMeta };
export interface Plan { create: PlannedSlice[]; update: PlannedSlice[]; delete: EndpointSlice[]; missingNodes: string[]; topology: { works: boolean; message: string }[] }

export interface Inputs {
  service: Service;
  pods: readonly Pod[];
  /** Those of this service that this controller manages. */
  slices: readonly EndpointSlice[];
  nodeOf: (name: string) => Node | undefined;
  maxEndpoints: number;
  /** Shares of the zones; asked for only when the service wants hints by topology. */
  shares?: () => ReadonlyMap<string, number> | undefined;
}

export function planSlices(inputs: Inputs): Plan {
  const families = inputs.service.spec?.ipFamilies?.length ? inputs.service.spec.ipFamilies : [isIPv6(inputs.service.spec?.clusterIP ?? '') ? 'IPv6' : 'IPv4'];
  const plan: Plan = { create: [], update: [], delete: inputs.slices.filter(({ addressType }) => !families.includes(addressType)), missingNodes: [], topology: [] };
  for (const family of families) {
    const part = planFamily({ ...inputs, slices: inputs.slices.filter(({ addressType }) => addressType === family) }, family);
    plan.create.push(...part.create);
    plan.update.push(...part.update);
    plan.delete.push(...part.delete);
    plan.missingNodes.push(...part.missingNodes);
    plan.topology.push(...part.topology);
  }
  return plan;
}

function planFamily(inputs: Inputs, addressType: string): Plan {
  const { service, slices } = inputs;
  const existing = new Map<string, EndpointSlice[]>();
  const strangers: EndpointSlice[] = [];
  for (const slice of slices) {
    if (ownedBy(slice, service)) push(existing, portsKey(slice.ports), slice);
    else strangers.push(slice);
  }
  const wanted = new Map<string, { ports: Port[]; endpoints: Map<string, Endpoint> }>();
  const missingNodes: string[] = [];
  for (const pod of inputs.pods) {
    if (!belongs(pod, true)) continue;
    const ports = portsOf(service, pod);
    const key = portsKey(ports);
    const group = wanted.get(key) ?? { ports, endpoints: new Map<string, Endpoint>() };
    wanted.set(key, group);
    const node = inputs.nodeOf(pod.spec?.nodeName ?? '');
    if (!node && !service.spec?.publishNotReadyAddresses) {
      missingNodes.push(pod.spec?.nodeName ?? '');
      continue;
    }
    const endpoint = endpointOf(pod, node, service, addressType);
    if (endpoint.addresses.length > 0) group.endpoints.set(endpointKey(endpoint), endpoint);
  }

  const plan: Plan = { create: [], update: [], delete: strangers, missingNodes, topology: [] };
  for (const [key, { ports, endpoints }] of wanted) fit(inputs, existing.get(key) ?? [], ports, endpoints, addressType, plan);
  for (const [key, group] of existing) if (!wanted.has(key)) plan.delete.push(...group);

  // A service without endpoints keeps one empty slice, so that watchers can tell it from one that is not handled.
  if (plan.create.length === 0 && plan.delete.length === slices.length) {
    const placeholder = newSlice(service, [], addressType);
    const [only] = plan.delete;
    const kept = plan.delete.length === 1 && only && ownedBy(only, service) && !only.endpoints?.length && !only.ports?.length && sameMap(only.metadata.labels, placeholder.metadata.labels);
    if (kept) plan.delete = [];
    else plan.create.push(placeholder);
  }
  // Rewriting a slice is cheaper for watchers than a deletion and a creation.
  while (plan.create.length > 0) {
    const index = plan.delete.findIndex((slice) => ownedBy(slice, service));
    const replaced = plan.delete[index];
    const fresh = plan.create.at(-1);
    if (!replaced || !fresh) break;
    plan.create.pop();
    plan.delete.splice(index, 1);
    plan.update.push({ ...fresh, metadata: { ...replaced.metadata, labels: fresh.metadata.labels, ownerReferences: fresh.metadata.ownerReferences } });
  }
  addHints(inputs, addressType, plan);
  return plan;
}

/** Puts the endpoints of one set of ports into slices: in place first, then into those written anyway, then one more or new ones. */
function fit({ service, maxEndpoints }: Inputs, existing: readonly EndpointSlice[], ports: Port[], wanted: Map<string, Endpoint>, addressType: string, plan: Plan): void {
  const left = new Map(wanted);
  const updates: PlannedSlice[] = [];
  const unchanged: EndpointSlice[] = [];
  for (const slice of existing) {
    const kept: Endpoint[] = [];
    let changed = false;
    for (const endpoint of slice.endpoints ?? []) {
      const key = endpointKey(endpoint);
      const next = left.get(key);
      if (!next) continue;
      left.delete(key);
      kept.push(next);
      // Hints are compared where they are made.
      changed ||= !sameValue({ ...endpoint, hints: undefined }, next);
    }
    const labels = labelsOf(service);
    const removed = kept.length !== (slice.endpoints ?? []).length;
    if (removed && kept.length === 0) plan.delete.push(slice);
    else if (changed || removed || !sameMap(slice.metadata.labels, labels)) updates.push({ ...slice, endpoints: kept, metadata: { ...slice.metadata, labels } });
    else unchanged.push(slice);
  }
  const fill = (slice: PlannedSlice): void => {
    slice.endpoints = [...(slice.endpoints ?? [])];
    for (const [key, endpoint] of left) {
      if (slice.endpoints.length >= maxEndpoints) return;
      slice.endpoints.push(endpoint);
      left.delete(key);
    }
  };
  if (left.size > 0) for (const slice of [...updates].sort((a, b) => (b.endpoints?.length ?? 0) - (a.endpoints?.length ?? 0))) fill(slice);
  while (left.size > 0) {
    const roomy = left.size < maxEndpoints
      ? unchanged.filter(({ endpoints }) => (endpoints?.length ?? 0) + left.size <= maxEndpoints).sort((a, b) => (b.endpoints?.length ?? 0) - (a.endpoints?.length ?? 0))[0]
      : undefined;
    const slice: PlannedSlice = roomy ? { ...roomy } : newSlice(service, ports, addressType);
    fill(slice);
    if (roomy) {
      unchanged.splice(unchanged.indexOf(roomy), 1);
      updates.push(slice);
    } else plan.create.push(slice);
  }
  plan.update.push(...updates);
}

function endpointOf(pod: Pod, node: Node | undefined, service: Service, addressType: string): Endpoint {
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const { namespace, name, uid } = pod.metadata;
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone'];
  const hostname = hostnameOf(pod, service);
  return {
    addresses: ipsOf(pod).filter((ip) => isIPv6(ip) === (addressType === 'IPv6')),
    conditions: { ready: service.spec?.publishNotReadyAddresses === true || (serving && !terminating), serving, terminating },
    ...(hostname ? { hostname } : {}),
    targetRef: { kind: 'Pod', namespace, name, uid },
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(zone ? { zone } : {}),
  };
}

function portsOf(service: Service, pod: Pod): Port[] {
  const ports: Port[] = [];
  for (const port of service.spec?.ports ?? []) {
    const number = targetPort(pod, port);
    if (number === undefined) continue;
    ports.push({ name: port.name ?? '', port: number, protocol: port.protocol ?? 'TCP', ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}) });
  }
  return ports;
}

/** Hints by annotation or, without it, by trafficDistribution: each ready endpoint is for its own zone, and its node when that is preferred. */
function addHints({ service, shares, slices }: Inputs, addressType: string, plan: Plan): void {
  const gone = new Set([...plan.delete, ...plan.update].map(({ metadata }) => metadata.name));
  const kept = slices.filter(({ metadata }) => !gone.has(metadata.name));
  if (wantsTopology(service)) {
    for (const slice of [...plan.create, ...plan.update]) slice.endpoints = (slice.endpoints ?? []).map((endpoint) => ({ ...endpoint }));
    const also = hintByTopology(shares?.(), [...plan.create, ...plan.update], kept);
    plan.topology.push({ works: typeof also !== 'string', message: `${typeof also === 'string' ? also : 'Topology Aware Hints has been enabled'}, addressType: ${addressType}` });
    if (typeof also !== 'string') {
      plan.update.push(...also);
      return;
    }
  }
  const preference = wantsTopology(service) ? undefined : service.spec?.trafficDistribution;
  const byNode = preference === 'PreferSameNode';
  const byZone = byNode || preference === 'PreferClose' || preference === 'PreferSameZone';
  const hinted = ({ hints: _, ...endpoint }: Endpoint): Endpoint => {
    const zones = byZone && endpoint.zone !== undefined ? { forZones: [{ name: endpoint.zone }] } : {};
    const nodes = byNode && endpoint.nodeName !== undefined ? { forNodes: [{ name: endpoint.nodeName }] } : {};
    const hints = { ...zones, ...nodes };
    return endpoint.conditions?.ready && Object.keys(hints).length > 0 ? { ...endpoint, hints } : endpoint;
  };
  for (const slice of [...plan.create, ...plan.update]) slice.endpoints = (slice.endpoints ?? []).map(hinted);
  for (const slice of kept) {
    const endpoints = (slice.endpoints ?? []).map(hinted);
    if (!sameValue(endpoints, slice.endpoints ?? [])) plan.update.push({ ...slice, endpoints });
  }
}

function newSlice(service: Service, ports: Port[], addressType: string): PlannedSlice {
  const { namespace, name = '', uid = '' } = service.metadata;
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: {
      generateName: `${name}-`, namespace, labels: labelsOf(service),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name, uid, controller: true, blockOwnerDeletion: true }],
    },
    addressType: addressType as EndpointSlice['addressType'], // one of the service's families
    endpoints: [], ports,
  };
}
function labelsOf(service: Service): Record<string, string> {
  const own = Object.entries(service.metadata.labels ?? {}).filter(([key]) => !reserved.has(key));
  return { ...Object.fromEntries(own), ...(isHeadless(service) ? { [headlessLabel]: '' } : {}), [serviceNameLabel]: service.metadata.name ?? '', [managedByLabel]: managedBy };
}
function ownedBy(slice: EndpointSlice, service: Service): boolean {
  return slice.metadata.ownerReferences?.some(({ uid, kind }) => uid === service.metadata.uid && kind === 'Service') === true;
}
function endpointKey({ addresses, hostname, targetRef }: Endpoint): string {
  return JSON.stringify([[...addresses].sort(), hostname ?? '', targetRef?.namespace, targetRef?.name, targetRef?.uid]);
}
export function portsKey(ports: readonly Port[] | null | undefined): string {
  return (ports ?? []).map((port) => JSON.stringify([port.name ?? '', port.protocol ?? 'TCP', port.port ?? null, port.appProtocol ?? null])).sort().join();
}
function push<V>(map: Map<string, V[]>, key: string, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
