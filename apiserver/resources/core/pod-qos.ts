// The quality-of-service class of a pod, set once at creation. Upstream: pkg/apis/core/v1/helper/qos/qos.go.
import { addQuantities, compareQuantities, parseQuantity } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, entries, objects } from '../values.ts';

type Sums = Map<string, Quantity>;

/** Adds what is above zero of cpu and memory; returns their names. */
function add(sums: Sums, list: unknown): Set<string> {
  const found = new Set<string>();
  for (const [name, value] of entries(list)) {
    if ((name !== 'cpu' && name !== 'memory') || (typeof value !== 'string' && typeof value !== 'number')) continue;
    const quantity = parseQuantity(value);
    if (quantity.nanos <= 0n) continue;
    found.add(name);
    const sum = sums.get(name);
    sums.set(name, sum ? addQuantities(sum, quantity) : quantity);
  }
  return found;
}

export function qosClassOf(pod: Readonly<KubeObject>): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const spec = asObject(pod['spec']) ?? {};
  const own = asObject(spec['resources']);
  const all = own ? [own] : [...objects(spec['containers']), ...objects(spec['initContainers'])].map((container) => asObject(container['resources']) ?? {});
  const requests: Sums = new Map();
  const limits: Sums = new Map();
  let guaranteed = true;
  for (const resources of all) {
    add(requests, resources['requests']);
    const limited = add(limits, resources['limits']);
    if (limited.size < 2) guaranteed = false;
  }
  if (requests.size === 0 && limits.size === 0) return 'BestEffort';
  const equal = requests.size === limits.size && [...requests].every(([name, request]) => {
    const limit = limits.get(name);
    return limit !== undefined && compareQuantities(limit, request) === 0;
  });
  return guaranteed && equal ? 'Guaranteed' : 'Burstable';
}
