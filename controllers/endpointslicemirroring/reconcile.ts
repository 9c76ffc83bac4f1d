// From Endpoints that somebody wrote to the EndpointSlices that mirror them, without I/O. Upstream: pkg/controller/endpointslicemirroring.
import { isIP, isIPv6 } from 'node:net';
import type { Endpoint, Endpoints, EndpointSlice, ObjectMeta } from '#machinery/api/object.ts';
import { canonicalIp } from '#machinery/api/names.ts';
import { managedByLabel, portsKey, serviceNameLabel } from '../endpointslice/reconcile.ts';
import { sameMap, sameValue } from '../pods.ts';
import { triggerKey } from '../service-pods.ts';

export const managedBy = 'endpointslicemirroring-controller.k8s.io';
const leaderKey = 'control-plane.alpha.kubernetes.io/leader';
const appliedKey = 'kubectl.kubernetes.io/last-applied-configuration';

type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];
type Port = NonNullable<EndpointSlice['ports']>[number];
/** A slice as it should be; without a name it is new. */
export type MirroredSlice = Omit<EndpointSlice, 'metadata'> & { metadata: ObjectMeta };
export interface Plan { create: MirroredSlice[]; update: MirroredSlice[]; delete: EndpointSlice[]; invalid: number; skipped: number }

/** Whether Endpoints are mirrored, apart from what their Service says. */
export function isMirrored({ metadata }: Endpoints): boolean {
  return metadata.labels?.['endpointslice.kubernetes.io/skip-mirror'] !== 'true' && metadata.annotations?.[leaderKey] === undefined;
}

/** `slices`: those that mirror these Endpoints now. One slice for each set of ports and address family, `max` addresses in each at most. */
export function planMirror(endpoints: Endpoints, slices: readonly EndpointSlice[], max: number): Plan {
  const plan: Plan = { create: [], update: [], delete: [], invalid: 0, skipped: 0 };
  const existing = Map.groupBy(slices, ({ ports, addressType }) => `${addressType} ${portsKey(ports)}`);
  const wanted = new Set<string>();
  for (const subset of repacked(endpoints.subsets ?? [])) {
    const byFamily: Record<'IPv4' | 'IPv6', Map<string, Endpoint>> = { IPv4: new Map(), IPv6: new Map() };
    let added = 0;
    for (const { address, ready } of subset.addresses) {
      if (added >= max) break;
      const ip = ipOf(address.ip);
      if (ip === undefined) {
        plan.invalid += 1;
        continue;
      }
      added += 1;
      const endpoint = endpointOf(address, ip, ready);
      byFamily[isIPv6(ip) ? 'IPv6' : 'IPv4'].set(endpointKey(endpoint), endpoint);
    }
    plan.skipped += subset.addresses.length - added;
    for (const [family, mirrored] of Object.entries(byFamily)) {
      if (mirrored.size === 0) continue;
      const key = `${family} ${portsKey(subset.ports)}`;
      wanted.add(key);
      const [first, ...others] = existing.get(key) ?? [];
      plan.delete.push(...others);
      const fresh = sliceOf(endpoints, subset.ports, family, [...mirrored.values()], first);
      if (!first) plan.create.push(fresh);
      else if (!isCurrent(first, fresh)) plan.update.push(fresh);
    }
  }
  for (const [key, group] of existing) if (!wanted.has(key)) plan.delete.push(...group);
  // Rewriting a slice is cheaper for watchers than a deletion and a creation.
  for (const fresh of [...plan.create]) {
    const replaced = plan.delete.find(({ addressType }) => addressType === fresh.addressType);
    if (!replaced) continue;
    plan.create.splice(plan.create.indexOf(fresh), 1);
    plan.delete.splice(plan.delete.indexOf(replaced), 1);
    plan.update.push({ ...fresh, metadata: named(fresh.metadata, replaced) });
  }
  return plan;
}

interface Repacked { ports: Port[]; addresses: { address: Address; ready: boolean }[] }
/** Every port with all its addresses once, then every set of addresses with all its ports; an address that is anywhere not ready is not. */
function repacked(subsets: readonly Subset[]): Repacked[] {
  const byPort = new Map<string, { port: Port | undefined; addresses: Map<string, { address: Address; ready: boolean }> }>();
  for (const { ports, addresses, notReadyAddresses } of subsets) {
    for (const port of ports?.length ? ports : [undefined]) {
      const mirrored: Port | undefined = port && { name: port.name ?? '', port: port.port, protocol: port.protocol ?? 'TCP', ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}) };
      const portKey = JSON.stringify(mirrored ?? '');
      const entry = byPort.get(portKey) ?? { port: mirrored, addresses: new Map() };
      byPort.set(portKey, entry);
      for (const [list, ready] of [[addresses, true], [notReadyAddresses, false]] as const) {
        for (const address of list ?? []) {
          const key = JSON.stringify([address.ip, address.targetRef?.uid ?? '']);
          const known = entry.addresses.get(key);
          entry.addresses.set(key, { address: known?.address ?? address, ready: ready && (known?.ready ?? true) });
        }
      }
    }
  }
  const byAddresses = new Map<string, Repacked>();
  for (const { port, addresses } of byPort.values()) {
    if (addresses.size === 0) continue;
    const sorted = [...addresses].sort(([a], [b]) => (a < b ? -1 : 1));
    const key = JSON.stringify(sorted.map(([each, { ready }]) => [each, ready]));
    const entry = byAddresses.get(key) ?? { ports: [], addresses: sorted.map(([, each]) => each).sort((a, b) => Number(b.ready) - Number(a.ready)) };
    byAddresses.set(key, entry);
    if (port) entry.ports.push(port);
  }
  return [...byAddresses.values()];
}

/** In canonical form; undefined for what is no address. Old objects may have leading zeros in IPv4 addresses. */
function ipOf(text: string): string | undefined {
  const plain = text.replace(/(^|\.)0+(?=\d)/g, '$1');
  const ip = isIP(plain) === 0 ? undefined : canonicalIp(plain);
  return ip?.replace(/^::ffff:(?=\d+\.)/, '');
}
function endpointOf({ hostname, nodeName, targetRef }: Address, ip: string, ready: boolean): Endpoint {
  return { addresses: [ip], conditions: { ready }, ...(hostname ? { hostname } : {}), ...(targetRef ? { targetRef } : {}), ...(nodeName ? { nodeName } : {}) };
}
const endpointKey = ({ addresses, hostname, targetRef }: Endpoint): string => JSON.stringify([addresses, hostname ?? '', targetRef?.namespace, targetRef?.name, targetRef?.uid]);

function sliceOf(endpoints: Endpoints, ports: Port[], addressType: string, mirrored: Endpoint[], existing: EndpointSlice | undefined): MirroredSlice {
  const { namespace, name = '', uid = '', labels, annotations } = endpoints.metadata;
  const { [triggerKey]: _, [appliedKey]: __, ...kept } = annotations ?? {};
  const metadata: ObjectMeta = {
    namespace, labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: managedBy }, annotations: kept,
    ownerReferences: [{ apiVersion: 'v1', kind: 'Endpoints', name, uid, controller: true, blockOwnerDeletion: true }],
  };
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: existing ? named(metadata, existing) : { ...metadata, generateName: name.length < 253 ? `${name}-` : name },
    addressType: addressType as EndpointSlice['addressType'], // one of two
    endpoints: mirrored, ports,
  };
}
/** The version is not sent: these slices are this controller's alone. */
function named({ generateName: _, ...metadata }: ObjectMeta, { metadata: { name } }: EndpointSlice): ObjectMeta {
  return { ...metadata, name };
}

function isCurrent(slice: EndpointSlice, wanted: MirroredSlice): boolean {
  const byKey = (list: readonly Endpoint[] | undefined): Endpoint[] => [...(list ?? [])].sort((a, b) => (endpointKey(a) < endpointKey(b) ? -1 : 1));
  return sameMap(slice.metadata.labels, wanted.metadata.labels) && sameMap(slice.metadata.annotations, wanted.metadata.annotations)
    && slice.metadata.ownerReferences?.some(({ uid }) => uid === wanted.metadata.ownerReferences?.[0]?.uid) === true
    && sameValue(byKey(slice.endpoints), byKey(wanted.endpoints));
}
