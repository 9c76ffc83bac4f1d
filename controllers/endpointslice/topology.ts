// Hints by annotation: endpoints are given to zones in proportion to the CPUs of their ready nodes, without I/O.
// Upstream: staging/src/k8s.io/endpointslice/topologycache.
import type { EndpointSlice, Node, Service } from '#machinery/api/object.ts';
import { quantityMilli } from '#machinery/api/quantity.ts';
import { readiness } from '../node-lifecycle/reconcile.ts';

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
type Slice = Pick<EndpointSlice, 'endpoints'>;
/** How much more than its share an endpoint may get. */
const overload = 0.2;
const zoneLabel = 'topology.kubernetes.io/zone';
const controlPlane = ['node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master'];

export function wantsTopology({ metadata }: Service): boolean {
  const { annotations = {} } = metadata;
  const mode = annotations['service.kubernetes.io/topology-aware-hints'] ?? annotations['service.kubernetes.io/topology-mode'];
  return mode === 'Auto' || mode === 'auto';
}

/** Whether services with the annotation have to be looked at again. */
export function changesTopology(before: Node, after: Node): boolean {
  return isReady(before) !== isReady(after) || before.metadata.labels?.[zoneLabel] !== after.metadata.labels?.[zoneLabel];
}

/** Share of the CPUs by zone; undefined when a node does not tell or there is one zone only. */
export function zoneShares(nodes: readonly Node[]): Map<string, number> | undefined {
  const byZone = new Map<string, number>();
  let total = 0;
  for (const node of nodes) {
    const labels = node.metadata.labels ?? {};
    if (!isReady(node) || controlPlane.some((label) => label in labels)) continue;
    const zone = labels[zoneLabel];
    const cpu = quantityMilli(node.status?.allocatable?.cpu ?? '0');
    if (!zone || cpu === 0) return undefined;
    total += cpu;
    byZone.set(zone, (byZone.get(zone) ?? 0) + cpu);
  }
  if (byZone.size < 2) return undefined;
  return new Map([...byZone].map(([zone, cpu]) => [zone, cpu / total]));
}

interface Allocation { minimum: number; maximum: number; desired: number }
function allocate(shares: ReadonlyMap<string, number> | undefined, count: number): Map<string, Allocation> | string {
  if (!shares) return 'Insufficient Node information: allocatable CPU or zone not specified on one or more nodes';
  const numbers = `(${count} endpoints, ${shares.size} zones)`;
  if (shares.size > count) return `Insufficient number of endpoints ${numbers}`;
  const found = [...shares].map(([zone, share]) => {
    const minimum = Math.ceil((share * count) / (1 + overload));
    return { zone, minimum, desired: Math.max(share * count, minimum) };
  });
  const spare = count - found.reduce((sum, { minimum }) => sum + minimum, 0);
  if (spare < 0) return `Unable to allocate minimum required endpoints to each zone without exceeding overload threshold ${numbers}`;
  return new Map(found.map(({ zone, minimum, desired }) => [zone, { minimum, desired, maximum: minimum + spare }]));
}

/**
 * Hints for `changing` slices, which are written anyway and hold endpoints of their own, with as few of the `kept` ones
 * touched as the shares allow. A string says why there can be none, otherwise the kept slices that are written too.
 */
export function hintByTopology<S extends Slice>(shares: ReadonlyMap<string, number> | undefined, changing: readonly Slice[], kept: readonly S[]): S[] | string {
  const count = [...changing, ...kept].flatMap(({ endpoints }) => (endpoints ?? []).filter(isServing)).length;
  const allocations = allocate(shares, count);
  if (typeof allocations === 'string') return allocations;
  const given = new Map<string, number>();
  const add = (zone: string, by: number): void => void given.set(zone, (given.get(zone) ?? 0) + by);
  const also: S[] = [];
  for (const slice of kept) {
    const hints = hintsOf(slice, given, allocations);
    if (hints) for (const [zone, number] of hints) add(zone, number);
    else also.push({ ...slice, endpoints: (slice.endpoints ?? []).map((endpoint) => ({ ...endpoint })) });
  }
  const open = [...changing, ...also].flatMap(({ endpoints }) => endpoints ?? []);
  for (const endpoint of open) delete endpoint.hints;
  const serving = open.filter(isServing);
  if (serving.some(({ zone }) => !zone)) return 'One or more endpoints do not have a zone specified';
  const hint = (endpoint: Endpoint, zone: string): void => {
    endpoint.hints = { forZones: [{ name: zone }] };
    add(zone, 1);
  };
  for (const endpoint of serving) hint(endpoint, endpoint.zone ?? '');
  const { giving, receiving } = exchange(allocations, given);
  for (const endpoint of serving) {
    const from = endpoint.zone ?? '';
    const [to] = receiving.keys();
    if (to === undefined || !giving.has(from)) continue;
    hint(endpoint, to);
    add(from, -1);
    take(giving, from);
    take(receiving, to);
  }
  return given.size === 0 ? 'No hints allocated for zones' : also;
}

const isReady = (node: Node): boolean => readiness(node) === 'True';
const isServing = ({ conditions }: Endpoint): boolean => conditions?.ready === true;
function take(counts: Map<string, number>, zone: string): void {
  const left = (counts.get(zone) ?? 0) - 1;
  if (left > 0) counts.set(zone, left);
  else counts.delete(zone);
}

/** Hints of a slice by zone; undefined when it cannot stay as it is. */
function hintsOf({ endpoints }: Slice, given: ReadonlyMap<string, number>, allocations: ReadonlyMap<string, Allocation>): Map<string, number> | undefined {
  const hints = new Map<string, number>();
  for (const endpoint of (endpoints ?? []).filter(isServing)) {
    const zones = endpoint.hints?.forZones ?? [];
    if (zones.length === 0 || zones.some(({ name }) => !allocations.has(name))) return undefined;
    for (const { name } of zones) hints.set(name, (hints.get(name) ?? 0) + 1);
  }
  for (const [zone, number] of hints) if (number + (given.get(zone) ?? 0) > (allocations.get(zone)?.maximum ?? 0)) return undefined;
  return hints;
}

/** How many endpoints which zones give away, and which get them. */
function exchange(allocations: ReadonlyMap<string, Allocation>, given: ReadonlyMap<string, number>): { giving: Map<string, number>; receiving: Map<string, number> } {
  const over = new Map<string, number>();
  const under = new Map<string, number>();
  for (const [zone, { desired }] of allocations) {
    const surplus = (given.get(zone) ?? 0) - desired;
    if (surplus > 0) over.set(zone, surplus);
    else if (surplus < 0) under.set(zone, -surplus);
  }
  const giving = new Map<string, number>();
  const receiving = new Map<string, number>();
  for (;;) {
    const [from, surplus] = most(over);
    const [to, lack] = most(under);
    if (from === '' || to === '' || (surplus < 1 && lack < 1) || surplus < 0.5 || lack < 0.5) return { giving, receiving };
    giving.set(from, (giving.get(from) ?? 0) + 1);
    over.set(from, surplus - 1);
    receiving.set(to, (receiving.get(to) ?? 0) + 1);
    under.set(to, lack - 1);
  }
}
function most(zones: ReadonlyMap<string, number>): readonly [zone: string, number: number] {
  let best: readonly [string, number] = ['', 0];
  for (const entry of zones) if (entry[1] > best[1]) best = entry;
  return best;
}
