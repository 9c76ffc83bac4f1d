// What a call costs while an expression runs, by upstream's prices: pkg/cel/library/cost.go and the reference implementation's own.

import { CelList, CelMap, lengthOf, Opaque, Optional } from './values.ts';
import type { Value } from './values.ts';

export const listCost = 10;
export const mapCost = 30;
export const structCost = 40;
export const traversalFactor = 0.1;
export const regexFactor = 0.25;
export const authorizationCheckCost = 350_000;

/** Accessors and the like: one unit whatever they work on. */
export const nominal: ReadonlySet<string> = new Set([
  'serviceAccount', 'path', 'group', 'resource', 'subresource', 'namespace', 'name', 'allowed', 'reason', 'error', 'errored',
  'masked', 'prefixLength', 'family', 'isUnspecified', 'isLoopback', 'isLinkLocalMulticast', 'isLinkLocalUnicast', 'isGlobalUnicast',
  'format.named', 'sign', 'asInteger', 'isInteger', 'asApproximateFloat', 'isGreaterThan', 'isLessThan', 'compareTo', 'add', 'sub',
  'major', 'minor', 'patch', 'getScheme', 'getHostname', 'getHost', 'getPort', 'getEscapedPath', 'getQuery',
]);

/** Values that know their size or the size of the pattern they are matched against. */
export interface Sized { readonly size: number }
export interface WithPattern { readonly patternSize: number }

export function callCost(name: string, overload: string, args: readonly Value[], result: Value): number {
  return listLibraryCost(overload, args, result) ?? libraryCost(name, overload, args, result) ?? standardCost(overload, args);
}

export function sizeOf(value: Value | undefined): number {
  if (typeof value === 'string') return lengthOf(value);
  if (value instanceof Uint8Array) return value.length;
  if (value instanceof CelList || value instanceof CelMap) return value.size;
  return value instanceof Opaque && 'size' in value ? (value as Opaque & Sized).size : 1;
}

function innerSizeOf(value: Value | undefined): number {
  return value instanceof Optional && value.value !== undefined ? innerSizeOf(value.value) : sizeOf(value);
}

export function traversal(size: number, times = 1): number {
  // The factor is applied last, as upstream does: the product's rounding decides at multiples of ten.
  return Math.ceil(size * times * traversalFactor);
}

function listLibraryCost(overload: string, args: readonly Value[], result: Value): number | undefined {
  switch (overload) {
    case 'list_slice': case 'lists_range': case 'list_reverse': return sizeOf(result) + 1 + listCost;
    case 'list_flatten': return sizeOf(args[0]) + 1 + listCost;
    case 'list_flatten_int': return Math.trunc(sizeOf(args[0]) * Number(args[1])) + 1 + listCost;
    case 'list_distinct': return selfCompareCost(args[0]!);
    case 'list_sets_contains_list': case 'list_sets_intersects_list': return 1 + sizeOf(args[0]) * sizeOf(args[1]);
    case 'list_sets_equivalent_list': return 1 + sizeOf(args[0]) * sizeOf(args[1]) * 2;
    default:
      if (/^list_.*_sort$/.test(overload)) return selfCompareCost(args[0]!);
      return overload.endsWith('_sortByAssociatedKeys') ? selfCompareCost(args[1]!) : undefined;
  }
}

function selfCompareCost(list: Value): number {
  const size = sizeOf(list);
  const first = list instanceof CelList && size > 0 ? list.get(0) : null;
  const factor = typeof first === 'string' || first instanceof Uint8Array ? 2 + traversalFactor : 2;
  return Math.trunc(size * size * factor) + 1 + listCost;
}

function libraryCost(name: string, overload: string, args: readonly Value[], result: Value): number | undefined {
  if (nominal.has(name)) return 1;
  switch (name) {
    case 'check': return authorizationCheckCost;
    case 'fieldSelector': case 'labelSelector': {
      const length = sizeOf(args[1]);
      return listCost + traversal(length) + Math.ceil(Math.ceil(length * 0.5) * (listCost + structCost));
    }
    case 'isSorted': case 'sum': case 'max': case 'min': case 'indexOf': case 'lastIndexOf': return traversalCost(args[0]!);
    case 'url': case 'lowerAscii': case 'upperAscii': case 'substring': case 'trim': case 'jsonpatch.escapeKey':
    case 'cidr': case 'isIP': case 'isCIDR': case 'quantity': case 'isQuantity': case 'semver': case 'isSemver': return traversal(sizeOf(args[0]));
    case 'replace': case 'split': case 'ip.isCanonical': return traversal(sizeOf(args[0]), 2);
    case 'join': return traversal(sizeOf(result), 2);
    case 'find': case 'findAll': return patternCost(sizeOf(args[0]), sizeOf(args[1]));
    case 'ip': return overload === 'cidr_ip' ? 1 : traversal(sizeOf(args[0]));
    case 'containsIP': {
      const cost = traversal(sizeOf(args[0]) * 2);
      return overload === 'cidr_contains_ip_string' ? cost + traversal(sizeOf(args[1])) : cost;
    }
    case 'containsCIDR': {
      const cost = traversal(sizeOf(args[0]) * 2) + traversal(sizeOf(args[0])) + 1;
      return overload === 'cidr_contains_cidr_string' ? cost + traversal(sizeOf(args[1])) : cost;
    }
    case 'validate': {
      const format = args[0];
      return format instanceof Opaque && 'patternSize' in format ? patternCost(sizeOf(args[1]), (format as Opaque & WithPattern).patternSize) : undefined;
    }
    case '_==_': return args[0] instanceof Opaque ? 1 : undefined;
    default: return undefined;
  }
}

function patternCost(size: number, patternSize: number): number {
  return traversal(1 + size) * Math.ceil(patternSize * regexFactor);
}

function standardCost(overload: string, args: readonly Value[]): number {
  switch (overload) {
    case 'starts_with_string': case 'ends_with_string': case 'string_to_bytes': case 'bytes_to_string': case 'strings_quote': case 'string_format':
      return traversal(innerSizeOf(args[0]));
    case 'in_list': return innerSizeOf(args[1]);
    case 'less_string': case 'greater_string': case 'less_equals_string': case 'greater_equals_string':
    case 'less_bytes': case 'greater_bytes': case 'less_equals_bytes': case 'greater_equals_bytes': case 'equals': case 'not_equals':
      return traversal(Math.min(innerSizeOf(args[0]), innerSizeOf(args[1])));
    case 'add_string': case 'add_bytes': return traversal(innerSizeOf(args[0]) + innerSizeOf(args[1]));
    case 'matches_string': return patternCost(innerSizeOf(args[0]), innerSizeOf(args[1]));
    case 'contains_string': return traversal(innerSizeOf(args[0])) * traversal(innerSizeOf(args[1]));
    default: return 1;
  }
}

/** Of looking at everything in a value once. */
function traversalCost(value: Value): number {
  if (typeof value === 'string') return Math.trunc(Buffer.byteLength(value) * traversalFactor);
  if (value instanceof Uint8Array) return Math.trunc(value.length * traversalFactor);
  if (value instanceof CelList) {
    let cost = 0;
    for (const element of value) cost += traversalCost(element);
    return cost;
  }
  if (value instanceof CelMap) {
    let cost = 0;
    for (const key of value.keys()) cost += traversalCost(key) + traversalCost(value.find(key) ?? null);
    return cost;
  }
  return 1;
}
