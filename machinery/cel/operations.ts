// Equality, order and arithmetic of values. Numbers of different types are equal and ordered by what they are worth; everything else
// only among its own.

import { isDeepStrictEqual } from 'node:util';
import { isTimestampInRange, maxDuration } from './time.ts';
import {
  CelList, CelMap, ConcatList, Duration, Failure, GrowingList, JsonList, JsonMap, maxListSize, noSuchOverload, ObjectValue, Opaque, Optional, Timestamp, tooLong,
  TypeValue, Uint,
} from './values.ts';
import type { Value } from './values.ts';

const minInt = -(2n ** 63n);
const maxInt = 2n ** 63n - 1n;
const maxUint = 2n ** 64n - 1n;

export function isInt64(value: bigint): boolean { return value >= minInt && value <= maxInt; }
export function isUint64(value: bigint): boolean { return value >= 0n && value <= maxUint; }

type Numeric = bigint | number | Uint;

function isNumeric(value: Value): value is Numeric {
  return typeof value === 'bigint' || typeof value === 'number' || value instanceof Uint;
}

/** Negative, zero, positive; NaN where one is no number. */
function compareNumbers(a: Numeric, b: Numeric): number {
  if (typeof a === 'number' && typeof b === 'number') return a < b ? -1 : a > b ? 1 : a === b ? 0 : Number.NaN;
  const x = a instanceof Uint ? a.value : a;
  const y = b instanceof Uint ? b.value : b;
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN;
  if (typeof x === 'number') return compareDouble(x, y as bigint, b instanceof Uint);
  if (typeof y === 'number') return -compareDouble(y, x, a instanceof Uint);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** An integer becomes a double first, with what that loses. */
function compareDouble(double: number, integer: bigint, unsigned: boolean): number {
  if (double < (unsigned ? 0 : -(2 ** 63))) return -1;
  if (double > (unsigned ? 2 ** 64 : 2 ** 63)) return 1;
  const other = Number(integer);
  return double < other ? -1 : double > other ? 1 : 0;
}

/** A Failure where types that come from a schema cannot be compared. */
export function equal(a: Value, b: Value): boolean | Failure {
  if (a === b) return typeof a !== 'number' || !Number.isNaN(a);
  if (a === null || b === null) return false;
  if (isNumeric(a)) return isNumeric(b) && compareNumbers(a, b) === 0;
  if (typeof a !== 'object') return false;
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof Timestamp) return b instanceof Timestamp && a.nanos === b.nanos;
  if (a instanceof Duration) return b instanceof Duration && a.nanos === b.nanos;
  if (a instanceof CelList) return equalLists(a, b);
  if (a instanceof CelMap) return equalMaps(a, b);
  if (a instanceof Optional) {
    if (!(b instanceof Optional)) return false;
    return a.value === undefined || b.value === undefined ? a.value === b.value : equal(a.value, b.value);
  }
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof ObjectValue) {
    if (!(b instanceof ObjectValue) || a.typeName !== b.typeName || a.fields.size !== b.fields.size) return false;
    return [...a.fields].every(([name, value]) => b.fields.has(name) && equal(value, b.fields.get(name)!) === true);
  }
  // Values of libraries compare with their own kind only.
  return a instanceof Opaque && b instanceof Opaque && a.typeName === b.typeName ? a.equals(b) : noSuchOverload;
}

function equalLists(a: CelList, b: Value): boolean | Failure {
  const type = a instanceof JsonList ? a.type : undefined;
  if (!(b instanceof CelList)) return type === undefined ? false : noSuchOverload;
  if (a.size !== b.size) return false;
  if (a instanceof JsonList && type?.listType === 'set') return equalSets(a, b);
  if (a instanceof JsonList && type?.listType === 'map') return equalKeyedLists(a, b);
  for (let i = 0; i < a.size; i++) {
    const result = equal(a.get(i), b.get(i));
    if (result === false || (result !== true && type !== undefined)) return result;
  }
  return true;
}

function equalSets(a: JsonList, b: CelList): boolean {
  const members = new Set([...a].map(scalarKey));
  return [...b].every(value => members.has(scalarKey(value)));
}

function equalKeyedLists(a: JsonList, b: CelList): boolean | Failure {
  const byKey = new Map([...a].map(value => [elementKey(a, value), value]));
  for (const value of b) {
    const own = byKey.get(elementKey(a, value));
    if (own === undefined) return false;
    const result = equal(own, value);
    if (result !== true) return result;
  }
  return true;
}

function scalarKey(value: Value): string {
  if (value instanceof Uint) return `n${value.value}`;
  if (typeof value === 'bigint' || typeof value === 'number') return `n${value}`;
  return value === null || typeof value === 'string' || typeof value === 'boolean' ? JSON.stringify(value) : `o${JSON.stringify(jsonOf(value))}`;
}

function jsonOf(value: Value): unknown {
  return value instanceof JsonMap || value instanceof JsonList ? value.json : String(value);
}

/** What tells the elements of a list with keys apart. */
function elementKey(list: JsonList, element: Value): string {
  const keys = list.type?.keys ?? [];
  if (element instanceof JsonMap) return JSON.stringify(keys.map(key => (Object.hasOwn(element.json, key) ? element.json[key] : null) ?? null));
  if (element instanceof CelMap) {
    return JSON.stringify(keys.map(key => {
      const value = element.find(key) ?? null;
      return typeof value === 'bigint' ? Number(value) : value;
    }));
  }
  return 'null';
}

function equalMaps(a: CelMap, b: Value): boolean | Failure {
  const typed = a instanceof JsonMap && a.type !== undefined;
  if (!(b instanceof CelMap)) return typed ? noSuchOverload : false;
  if (a.size !== b.size) return false;
  if (a instanceof JsonMap && a.type?.kind === 'object' && !equalUndeclared(a, b)) return b instanceof JsonMap ? false : noSuchOverload;
  for (const key of a.keys()) {
    const own = a.find(key);
    const other = b.find(key);
    if (own === undefined && other === undefined) continue;
    if (own === undefined || other === undefined) return false;
    const result = equal(own, other);
    if (result === false || (result !== true && typed)) return result;
  }
  return true;
}

/** What no schema describes is compared as JSON. */
function equalUndeclared(a: JsonMap, b: CelMap): boolean {
  return Object.keys(a.json).every(name => {
    if (a.declares(name)) return true;
    return b instanceof JsonMap && (!Object.hasOwn(b.json, name) || isDeepStrictEqual(a.json[name], b.json[name]));
  });
}

/** -1, 0, 1, or why there is no order. */
export function compare(a: Value, b: Value): number | Failure {
  if (isNumeric(a)) {
    if (Number.isNaN(a)) return new Failure('NaN values cannot be ordered');
    if (!isNumeric(b)) return noSuchOverload;
    const result = compareNumbers(a, b);
    return Number.isNaN(result) ? new Failure('NaN values cannot be ordered') : result;
  }
  if (typeof a === 'string') return typeof b === 'string' ? compareStrings(a, b) : noSuchOverload;
  if (typeof a === 'boolean') return typeof b === 'boolean' ? Number(a) - Number(b) : noSuchOverload;
  if (a instanceof Uint8Array) return b instanceof Uint8Array ? Buffer.compare(a, b) : noSuchOverload;
  if (a instanceof Timestamp) return b instanceof Timestamp ? order(a.nanos, b.nanos) : noSuchOverload;
  if (a instanceof Duration) return b instanceof Duration ? order(a.nanos, b.nanos) : noSuchOverload;
  return noSuchOverload;
}

function order(a: bigint, b: bigint): number { return a < b ? -1 : a > b ? 1 : 0; }

/** By code points, which UTF-16 does not order beyond the first 65536. */
export function compareStrings(a: string, b: string): number {
  if (/[\ud800-\udfff]/.test(a) || /[\ud800-\udfff]/.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : a > b ? 1 : 0;
}

const intOverflow = new Failure('integer overflow');
const uintOverflow = new Failure('unsigned integer overflow');
const timestampOverflow = new Failure('timestamp overflow');

function intOrFailure(value: bigint): Value { return isInt64(value) ? value : intOverflow; }
function uintOrFailure(value: bigint): Value { return isUint64(value) ? new Uint(value) : uintOverflow; }

export function durationOrFailure(nanos: bigint): Value {
  return nanos > maxDuration || nanos < -maxDuration - 1n ? intOverflow : new Duration(nanos);
}

export function timestampOrFailure(nanos: bigint, offsetMinutes = 0): Value {
  return isTimestampInRange(nanos) ? new Timestamp(nanos, offsetMinutes) : timestampOverflow;
}

/** Undefined: nothing of the kind exists for the first value's type. */
export function add(a: Value, b: Value): Value | undefined {
  if (typeof a === 'bigint') return typeof b === 'bigint' ? intOrFailure(a + b) : noSuchOverload;
  if (typeof a === 'number') return typeof b === 'number' ? a + b : noSuchOverload;
  if (typeof a === 'string') return typeof b === 'string' ? a + b : noSuchOverload;
  if (a instanceof Uint) return b instanceof Uint ? uintOrFailure(a.value + b.value) : noSuchOverload;
  if (a instanceof Uint8Array) return b instanceof Uint8Array ? Buffer.concat([a, b]) : noSuchOverload;
  if (a instanceof Duration) {
    if (b instanceof Duration) return durationOrFailure(a.nanos + b.nanos);
    return b instanceof Timestamp ? timestampOrFailure(b.nanos + a.nanos, b.offsetMinutes) : noSuchOverload;
  }
  if (a instanceof Timestamp) return b instanceof Duration ? timestampOrFailure(a.nanos + b.nanos, a.offsetMinutes) : noSuchOverload;
  if (a instanceof CelList) return b instanceof CelList ? addLists(a, b) : noSuchOverload;
  return undefined;
}

function addLists(a: CelList, b: CelList): Value {
  if (a instanceof GrowingList) {
    for (const value of b) a.values.push(value);
    return a;
  }
  if (a instanceof JsonList && (a.type?.listType === 'set' || a.type?.listType === 'map')) return addKeyed(a, b);
  if (a.size === 0) return b;
  if (b.size === 0) return a;
  return a.size + b.size > maxListSize ? tooLong(a.size + b.size) : new ConcatList(a, b);
}

/** Sets take what they have not yet; lists with keys replace what has the same key. */
function addKeyed(a: JsonList, b: CelList): Value {
  const result: unknown[] = [...a];
  if (a.type?.listType === 'set') {
    const members = new Set([...a].map(scalarKey));
    for (const value of b) {
      if (members.has(scalarKey(value))) continue;
      members.add(scalarKey(value));
      result.push(value);
    }
  } else {
    const places = new Map([...a].map((value, i) => [elementKey(a, value), i]));
    for (const value of b) {
      const place = places.get(elementKey(a, value));
      if (place === undefined) result.push(value);
      else result[place] = value;
    }
  }
  return new JsonList(result, a.type);
}

export function subtract(a: Value, b: Value): Value | undefined {
  if (typeof a === 'bigint') return typeof b === 'bigint' ? intOrFailure(a - b) : noSuchOverload;
  if (typeof a === 'number') return typeof b === 'number' ? a - b : noSuchOverload;
  if (a instanceof Uint) return b instanceof Uint ? uintOrFailure(a.value - b.value) : noSuchOverload;
  if (a instanceof Duration) return b instanceof Duration ? durationOrFailure(a.nanos - b.nanos) : noSuchOverload;
  if (a instanceof Timestamp) {
    if (b instanceof Duration) return timestampOrFailure(a.nanos - b.nanos, a.offsetMinutes);
    return b instanceof Timestamp ? durationOrFailure(a.nanos - b.nanos) : noSuchOverload;
  }
  return undefined;
}

export function multiply(a: Value, b: Value): Value | undefined {
  if (typeof a === 'bigint') return typeof b === 'bigint' ? intOrFailure(a * b) : noSuchOverload;
  if (typeof a === 'number') return typeof b === 'number' ? a * b : noSuchOverload;
  if (a instanceof Uint) return b instanceof Uint ? uintOrFailure(a.value * b.value) : noSuchOverload;
  return undefined;
}

export function divide(a: Value, b: Value): Value | undefined {
  if (typeof a === 'number') return typeof b === 'number' ? a / b : noSuchOverload;
  return quotient(a, b, 'division by zero', (x, y) => x / y);
}

export function modulo(a: Value, b: Value): Value | undefined {
  return quotient(a, b, 'modulus by zero', (x, y) => x % y);
}

function quotient(a: Value, b: Value, byZero: string, operate: (x: bigint, y: bigint) => bigint): Value | undefined {
  if (typeof a === 'bigint') {
    if (typeof b !== 'bigint') return noSuchOverload;
    if (b === 0n) return new Failure(byZero);
    return a === minInt && b === -1n ? intOverflow : operate(a, b);
  }
  if (!(a instanceof Uint)) return undefined;
  if (!(b instanceof Uint)) return noSuchOverload;
  return b.value === 0n ? new Failure(byZero) : new Uint(operate(a.value, b.value));
}

export function negate(a: Value): Value | undefined {
  if (typeof a === 'bigint') return intOrFailure(-a);
  if (typeof a === 'number') return -a;
  return a instanceof Duration ? durationOrFailure(-a.nanos) : undefined;
}

/** `element in container`. */
export function isIn(element: Value, container: Value): Value {
  if (container instanceof CelMap) {
    const found = container.find(element);
    return found instanceof Failure ? found : found !== undefined;
  }
  if (!(container instanceof CelList)) return noSuchOverload;
  let failure: Failure | undefined;
  const typed = container instanceof JsonList && container.type !== undefined;
  for (const value of container) {
    const result = typed ? equal(value, element) : equal(element, value);
    if (result === true) return true;
    if (result instanceof Failure && typed) failure ??= result;
  }
  return failure ?? false;
}
