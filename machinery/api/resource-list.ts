// Resource lists (`{ cpu: '500m', memory: '1Gi' }`) as quantities that can be added and compared. Upstream: apiserver/pkg/quota/v1/resources.go.
import { addQuantities, compareQuantities, formatQuantity, isQuantity, parseQuantity, subtractQuantities } from './quantity.ts';
import type { Quantity } from './quantity.ts';

export type ResourceList = ReadonlyMap<string, Quantity>;
/** The list as it travels. */
export type WireResourceList = Readonly<Record<string, string>>;

export const zero: Quantity = { nanos: 0n, format: 'DecimalSI' };
export const nothing: ResourceList = new Map();

/** What is no list reads as an empty one; values that are no quantities are left out (validation refuses them elsewhere). */
export function readResourceList(list: unknown): Map<string, Quantity> {
  const read = new Map<string, Quantity>();
  if (typeof list !== 'object' || list === null) return read;
  for (const [name, value] of Object.entries(list as Record<string, unknown>)) if (isQuantity(value)) read.set(name, parseQuantity(value));
  return read;
}

/** In the order of names. */
export function writeResourceList(list: ResourceList): Record<string, string> {
  return Object.fromEntries([...list].sort(byName).map(([name, quantity]) => [name, formatQuantity(quantity)]));
}
/** `cpu=1,memory=2Gi`, in the order of names. */
export function describeResourceList(list: ResourceList): string {
  return [...list].sort(byName).map(([name, quantity]) => `${name}=${formatQuantity(quantity)}`).join(',');
}
const byName = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : a > b ? 1 : 0);

/** Adds in place. */
export function addTo(sum: Map<string, Quantity>, list: ResourceList): void {
  for (const [name, quantity] of list) {
    const there = sum.get(name);
    sum.set(name, there ? addQuantities(there, quantity) : quantity);
  }
}
/** Raises in place to what the other list has more of. */
export function raiseTo(most: Map<string, Quantity>, list: ResourceList): void {
  for (const [name, quantity] of list) {
    const there = most.get(name);
    if (!there || compareQuantities(quantity, there) > 0) most.set(name, quantity);
  }
}

export function sumOf(a: ResourceList, b: ResourceList): Map<string, Quantity> {
  const sum = new Map(a);
  addTo(sum, b);
  return sum;
}
/** a - b where that is above zero, and zero for every other name of the two. */
export function excessOf(a: ResourceList, b: ResourceList): Map<string, Quantity> {
  const excess = new Map<string, Quantity>();
  for (const [name, quantity] of a) {
    const left = subtractQuantities(quantity, b.get(name) ?? zero);
    excess.set(name, left.nanos > 0n ? left : zero);
  }
  for (const name of b.keys()) if (!excess.has(name)) excess.set(name, zero);
  return excess;
}
export function pick(list: ResourceList, wanted: (name: string, quantity: Quantity) => boolean): Map<string, Quantity> {
  return new Map([...list].filter(([name, quantity]) => wanted(name, quantity)));
}
/** Same names, same numbers; how they are written does not matter. */
export function sameResources(a: ResourceList, b: ResourceList): boolean {
  if (a.size !== b.size) return false;
  for (const [name, quantity] of a) if (b.get(name)?.nanos !== quantity.nanos) return false;
  return true;
}
