// Lists and sets: the language's extension library and Kubernetes' own.

import { add, compare, equal } from '../operations.ts';
import type { Implementation, Implementations } from '../registry.ts';
import { CelList, Duration, Failure, maxListSize, none, noSuchOverload, Optional, tooLong, typeNameOf, Uint, ValueList } from '../values.ts';
import type { Value } from '../values.ts';

const list = (value: Value | undefined) => value as CelList;

function isSorted([value]: readonly Value[]): Value {
  let previous: Value | undefined;
  for (const element of list(value)) {
    if (previous !== undefined) {
      const order = compare(previous, element);
      if (order === 1) return false;
    }
    previous = element;
  }
  return true;
}

function sum(zero: Value): Implementation {
  return ([value]) => {
    let total = zero;
    for (const element of list(value)) {
      const next = add(total, element) ?? noSuchOverload;
      if (next instanceof Failure) return noSuchOverload;
      total = next;
    }
    return total;
  };
}

/** The element that comes first (-1) or last (1) in order; the first of equals. */
function extreme(name: string, wanted: 1 | -1): Implementation {
  return ([value]) => {
    let best: Value | undefined;
    for (const element of list(value)) {
      if (best === undefined || compare(best, element) === -wanted) best = element;
    }
    return best ?? new Failure(`${name} called on empty list`);
  };
}

function indexOf([value, element]: readonly Value[]): Value {
  const values = [...list(value)];
  return BigInt(values.findIndex(each => equal(each, element!) === true));
}

function lastIndexOf([value, element]: readonly Value[]): Value {
  const values = [...list(value)];
  return BigInt(values.findLastIndex(each => equal(each, element!) === true));
}

function slice([value, from, to]: readonly Value[]): Value {
  const values = list(value);
  const start = from as bigint;
  const end = to as bigint;
  if (start < 0n || end < 0n) return new Failure(`cannot slice(${start}, ${end}), negative indexes not supported`);
  if (start > end) return new Failure(`cannot slice(${start}, ${end}), start index must be less than or equal to end index`);
  if (BigInt(values.size) < end) return new Failure(`cannot slice(${start}, ${end}), list is length ${values.size}`);
  return new ValueList([...values].slice(Number(start), Number(end)));
}

function flatten(value: CelList, depth: bigint): Value {
  const values: Value[] = [];
  const add = (from: CelList, levels: bigint): void => {
    for (const element of from) {
      if (values.length > maxListSize) return;
      if (element instanceof CelList && levels > 0n) add(element, levels - 1n);
      else values.push(element);
    }
  };
  add(value, depth);
  return values.length > maxListSize ? tooLong(values.length) : new ValueList(values);
}

function distinct([value]: readonly Value[]): Value {
  const unique: Value[] = [];
  for (const element of list(value)) {
    if (!unique.some(seen => equal(element, seen) === true)) unique.push(element);
  }
  return new ValueList(unique);
}

function sortBy(values: CelList, keys: CelList): Value {
  if (values.size !== keys.size) {
    return new Failure('@sortByAssociatedKeys() expected a list of the same size as the associated keys list, '
      + `but got ${values.size} and ${keys.size} elements respectively`);
  }
  if (values.size === 0) return values;
  const pairs = [...keys].map((key, i) => ({ key, value: values.get(i) }));
  const type = typeNameOf(pairs[0]!.key);
  if (compare(pairs[0]!.key, pairs[0]!.key) === noSuchOverload) return new Failure('list elements must be comparable');
  if (pairs.some(pair => typeNameOf(pair.key) !== type)) return new Failure('list elements must have the same type');
  pairs.sort((a, b) => {
    const order = compare(a.key, b.key);
    return order instanceof Failure ? 0 : order;
  });
  return new ValueList(pairs.map(pair => pair.value));
}

function holds(value: CelList, element: Value): boolean {
  for (const each of value) if (equal(each, element) === true) return true;
  return false;
}

function containsAll(value: CelList, others: CelList): boolean {
  for (const other of others) if (!holds(value, other)) return false;
  return true;
}

const comparable = ['int', 'uint', 'double', 'bool', 'duration', 'timestamp', 'string', 'bytes'];
const zeros: Readonly<Record<string, Value>> = { int: 0n, uint: new Uint(0n), double: 0, duration: new Duration(0n) };

export const listFunctions: Implementations = {
  ...Object.fromEntries(comparable.map(type => [`list_${type}_is_sorted_bool`, isSorted])),
  ...Object.fromEntries(comparable.map(type => [`list_${type}_min_${type}`, extreme('min', -1)])),
  ...Object.fromEntries(comparable.map(type => [`list_${type}_max_${type}`, extreme('max', 1)])),
  ...Object.fromEntries(Object.entries(zeros).map(([type, zero]) => [`list_${type}_sum_${type}`, sum(zero)])),
  list_a_index_of_int: indexOf,
  list_a_last_index_of_int: lastIndexOf,
  list_first: ([value]) => list(value).size === 0 ? none : new Optional(list(value).get(0)),
  list_last: ([value]) => list(value).size === 0 ? none : new Optional(list(value).get(list(value).size - 1)),
  list_slice: slice,
  list_flatten: ([value]) => flatten(list(value), 1n),
  list_flatten_int: ([value, depth]) =>
    (depth as bigint) < 0n ? new Failure('level must be non-negative') : flatten(list(value), depth as bigint),
  list_reverse: ([value]) => new ValueList([...list(value)].toReversed()),
  list_distinct: distinct,
  lists_range: ([count]) => new ValueList(Array.from({ length: Math.max(0, Number(count)) }, (_, i) => BigInt(i))),
  sort: ([value]) => value instanceof CelList ? sortBy(value, value) : noSuchOverload,
  '@sortByAssociatedKeys': ([value, keys]) => value instanceof CelList && keys instanceof CelList ? sortBy(value, keys) : noSuchOverload,
  list_sets_contains_list: ([a, b]) => containsAll(list(a), list(b)),
  list_sets_equivalent_list: ([a, b]) => containsAll(list(a), list(b)) && containsAll(list(b), list(a)),
  list_sets_intersects_list: ([a, b]) => [...list(b)].some(element => holds(list(a), element)),
};
