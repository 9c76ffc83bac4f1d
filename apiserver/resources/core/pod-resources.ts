// What the containers of a pod ask for together, as the scheduler counts: containers and sidecars add up, an init container
// needs its own beside the sidecars before it. Upstream: component-helpers/resource/helpers.go.
import { addQuantities, isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import { at, objects } from '../values.ts';
import type { Obj } from '../values.ts';

const plus = (a: Quantity | undefined, b: Quantity | undefined): Quantity | undefined => (a && b ? addQuantities(a, b) : a ?? b);

function aggregate(spec: Obj, list: 'requests' | 'limits', name: string): Quantity | undefined {
  const of = (container: Obj): Quantity | undefined => {
    const value = at(container, 'resources', list, name);
    return isQuantity(value) ? parseQuantity(value) : undefined;
  };
  let sum = objects(spec['containers']).map(of).reduce<Quantity | undefined>(plus, undefined);
  let sidecars: Quantity | undefined;
  let most: Quantity | undefined;
  for (const container of objects(spec['initContainers'])) {
    const needed = plus(sidecars, of(container));
    if (needed && (!most || needed.nanos > most.nanos)) most = needed;
    if (container['restartPolicy'] === 'Always') sidecars = needed;
  }
  sum = plus(sum, sidecars);
  return most && (!sum || most.nanos > sum.nanos) ? most : sum;
}

export const containersRequest = (spec: Obj, name: string): Quantity | undefined => aggregate(spec, 'requests', name);
export const containersLimit = (spec: Obj, name: string): Quantity | undefined => aggregate(spec, 'limits', name);
