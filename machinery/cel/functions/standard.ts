// Operators, conversions, optionals and what else the language itself defines.

import {
  add, compare, divide, isIn, isInt64, isUint64, modulo, multiply, negate, subtract, timestampOrFailure,
} from '../operations.ts';
import { formatDuration, formatTimestamp, parseDuration, parseTimestamp, floorDivide } from '../time.ts';
import type { Implementation, Implementations } from '../registry.ts';
import {
  CelList, CelMap, Duration, Failure, formatDouble, GrowingMap, lengthOf, none, noSuchOverload, Optional, Timestamp, TypeValue, typeNameOf, Uint,
  ValueList, ValueMap, ObjectValue,
} from '../values.ts';
import type { Value } from '../values.ts';

/** Operators of values that do not know them. */
function arithmetic(name: string, operate: (a: Value, b: Value) => Value | undefined): Implementation {
  return ([a, b]) => operate(a!, b!) ?? unknownOperation(name, a!);
}

function unknownOperation(name: string, value: Value): Failure {
  // Values with methods answer for themselves, without the function's name.
  return typeof value === 'string' || value instanceof Timestamp || value instanceof Duration ? noSuchOverload : new Failure(`no such overload: ${name}`);
}

function ordering(name: string, test: (order: number) => boolean): Implementation {
  return ([a, b]) => {
    const isOrdered = typeof a === 'string' || typeof a === 'boolean' || typeof a === 'bigint' || typeof a === 'number' || a instanceof Uint
      || a instanceof Uint8Array || a instanceof Timestamp || a instanceof Duration;
    if (!isOrdered) return unknownOperation(name, a!);
    const order = compare(a, b!);
    return order instanceof Failure ? order : test(order);
  };
}

function onStrings(test: (a: string, b: string) => boolean): Implementation {
  return ([a, b]) => typeof a === 'string' && typeof b === 'string' ? test(a, b) : noSuchOverload;
}

const identity: Implementation = ([value]) => value!;

/** A conversion that answers undefined when the value has no such form. */
function conversion(to: string, convert: (value: Value) => Value | undefined): Implementation {
  return ([value]) => convert(value!) ?? new Failure(`type conversion error from '${typeNameOf(value!)}' to '${to}'`);
}

function parseInteger(text: Value, fits: (value: bigint) => boolean, pattern: RegExp): bigint | undefined {
  if (!pattern.test(text as string)) return undefined;
  const value = BigInt((text as string).replace(/^\+/, ''));
  return fits(value) ? value : undefined;
}

function parseBool(text: Value): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text as string)) return true;
  return ['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text as string) ? false : undefined;
}

function parseDouble(text: Value): number | undefined {
  const plain = (text as string).toLowerCase();
  if (/^[+-]?(inf|infinity)$/.test(plain)) return plain.startsWith('-') ? -Infinity : Infinity;
  if (plain === 'nan') return Number.NaN;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(plain)) return undefined;
  const value = Number(plain);
  return Number.isFinite(value) ? value : undefined;
}

function doubleToInt(value: Value): Value {
  const double = value as number;
  return Number.isFinite(double) && double > -(2 ** 63) && double < 2 ** 63 ? BigInt(Math.trunc(double)) : new Failure('integer overflow');
}

function doubleToUint(value: Value): Value {
  const double = value as number;
  return Number.isFinite(double) && double >= 0 && double < 2 ** 64 ? new Uint(BigInt(Math.trunc(double))) : new Failure('unsigned integer overflow');
}

function bytesToString(value: Value): Value {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value as Uint8Array);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return new Failure('invalid UTF-8 in bytes, cannot convert to string');
  }
}

function size([value]: readonly Value[]): Value {
  if (typeof value === 'string') return BigInt(lengthOf(value));
  if (value instanceof Uint8Array) return BigInt(value.length);
  return value instanceof CelList || value instanceof CelMap ? BigInt(value.size) : unknownOperation('size', value!);
}

export function isZero(value: Value): boolean {
  if (value === null || value === false || value === 0n || value === 0 || value === '') return true;
  if (value instanceof Uint) return value.value === 0n;
  if (value instanceof Uint8Array) return value.length === 0;
  if (value instanceof CelList || value instanceof CelMap) return value.size === 0;
  if (value instanceof Duration) return value.nanos === 0n;
  if (value instanceof Timestamp) return value.nanos === -62_135_596_800n * 1_000_000_000n;
  return value instanceof ObjectValue && value.typeName !== 'JSONPatch' && value.fields.size === 0;
}

function insert(map: Value, entries: readonly (readonly [Value, Value])[]): Value {
  const target = map instanceof ValueMap ? map : new GrowingMap();
  if (target !== map) for (const key of (map as CelMap).keys()) target.set(key, (map as CelMap).find(key)!);
  for (const [key, value] of entries) {
    if (target.find(key) !== undefined) return new Failure(`insert failed: key ${String(key instanceof Uint ? key.value : key)} already exists`);
    target.set(key, value);
  }
  return target;
}

function unwrap([list]: readonly Value[]): Value {
  const values: Value[] = [];
  for (const value of list as CelList) {
    if (!(value instanceof Optional)) return new Failure(`value ${typeNameOf(value)} is not optional`);
    if (value.value !== undefined) values.push(value.value);
  }
  return new ValueList(values);
}

export const standardFunctions: Implementations = {
  '!_': ([value]) => typeof value === 'boolean' ? !value : noSuchOverload,
  '-_': ([value]) => negate(value!) ?? (typeof value === 'boolean' ? noSuchOverload : unknownOperation('-_', value!)),
  '@not_strictly_false': ([value]) => value === false ? false : true,
  '_+_': arithmetic('_+_', add),
  '_-_': arithmetic('_-_', subtract),
  '_*_': arithmetic('_*_', multiply),
  '_/_': arithmetic('_/_', divide),
  '_%_': arithmetic('_%_', modulo),
  '_<_': ordering('_<_', order => order < 0),
  '_<=_': ordering('_<=_', order => order <= 0),
  '_>_': ordering('_>_', order => order > 0),
  '_>=_': ordering('_>=_', order => order >= 0),
  '@in': ([element, container]) => isIn(element!, container!),
  size,
  type: ([value]) => new TypeValue(typeNameOf(value!)),
  dyn: identity,
  contains: onStrings((text, part) => text.includes(part)),
  startsWith: onStrings((text, part) => text.startsWith(part)),
  endsWith: onStrings((text, part) => text.endsWith(part)),

  bool_to_bool: identity,
  string_to_bool: conversion('bool', parseBool),
  bytes_to_bytes: identity,
  string_to_bytes: ([text]) => Buffer.from(text as string),
  double_to_double: identity,
  int64_to_double: ([value]) => Number(value),
  string_to_double: conversion('double', parseDouble),
  uint64_to_double: ([value]) => Number((value as Uint).value),
  duration_to_duration: identity,
  // Declared and never implemented upstream.
  int64_to_duration: conversion('google.protobuf.Duration', () => undefined),
  string_to_duration: conversion('google.protobuf.Duration', text => parseDuration(text as string)),
  int64_to_int64: identity,
  double_to_int64: ([value]) => doubleToInt(value!),
  duration_to_int64: ([value]) => (value as Duration).nanos,
  string_to_int64: conversion('int', text => parseInteger(text, isInt64, /^[+-]?\d+$/)),
  timestamp_to_int64: ([value]) => floorDivide((value as Timestamp).nanos, 1_000_000_000n),
  uint64_to_int64: ([value]) => isInt64((value as Uint).value) ? (value as Uint).value : new Failure('integer overflow'),
  string_to_string: identity,
  bool_to_string: ([value]) => String(value),
  bytes_to_string: ([value]) => bytesToString(value!),
  double_to_string: ([value]) => formatDouble(value as number),
  duration_to_string: ([value]) => formatDuration((value as Duration).nanos),
  int64_to_string: ([value]) => String(value),
  timestamp_to_string: ([value]) => formatTimestamp(value as Timestamp),
  uint64_to_string: ([value]) => String((value as Uint).value),
  timestamp_to_timestamp: identity,
  int64_to_timestamp: ([value]) => timestampOrFailure((value as bigint) * 1_000_000_000n),
  string_to_timestamp: conversion('google.protobuf.Timestamp', text => {
    const time = parseTimestamp(text as string);
    return time && timestampOrFailure(time.nanos, time.offsetMinutes);
  }),
  uint64_to_uint64: identity,
  double_to_uint64: ([value]) => doubleToUint(value!),
  int64_to_uint64: ([value]) => isUint64(value as bigint) ? new Uint(value as bigint) : new Failure('unsigned integer overflow'),
  string_to_uint64: conversion('uint', text => {
    const value = parseInteger(text, isUint64, /^\d+$/);
    return value === undefined ? undefined : new Uint(value);
  }),

  optional_of: ([value]) => new Optional(value!),
  optional_ofNonZeroValue: ([value]) => isZero(value!) ? none : new Optional(value!),
  optional_none: () => none,
  optional_value: ([optional]) => (optional as Optional).value ?? new Failure('optional.none() dereference'),
  optional_hasValue: ([optional]) => (optional as Optional).value !== undefined,
  optional_unwrap: unwrap,
  optional_unwrapOpt: unwrap,

  '@mapInsert_map_key_value': ([map, key, value]) => insert(map!, [[key!, value!]]),
  '@mapInsert_map_map': ([map, other]) => insert(map!, [...(other as CelMap).keys()].map(key => [key, (other as CelMap).find(key)!])),
};
