// What expressions compute with. Ints are bigint, doubles are number; the rest of JSON is itself; what JSON has not has a class here.
// Objects and lists from outside stay JSON: they are read through fromJson() element by element, by their type where one is known.

import { formatDuration, formatTimestamp, parseDate, parseOpenApiDuration, parseTimestamp } from './time.ts';
import { isReservedField, unescapeField, escapeField } from './escape.ts';
import { dyn, typeName } from './types.ts';
import type { Type } from './types.ts';

export type Value =
  | null | boolean | bigint | number | string | Uint8Array
  | Uint | Timestamp | Duration | Optional | TypeValue | CelList | CelMap | ObjectValue | Opaque | Failure;

/** An operation failed. A value, because && and || may not need it. */
export class Failure {
  readonly message: string;
  constructor(message: string) { this.message = message; }
}

export const noSuchOverload = new Failure('no such overload');

export class Uint {
  readonly value: bigint;
  constructor(value: bigint) { this.value = value; }
}

/** Nanoseconds since 1970, and how far ahead of UTC it was written. */
export class Timestamp {
  readonly nanos: bigint;
  readonly offsetMinutes: number;
  constructor(nanos: bigint, offsetMinutes = 0) {
    this.nanos = nanos;
    this.offsetMinutes = offsetMinutes;
  }
}

/** Nanoseconds. */
export class Duration {
  readonly nanos: bigint;
  constructor(nanos: bigint) { this.nanos = nanos; }
}

export class Optional {
  readonly value: Value | undefined;
  constructor(value: Value | undefined) { this.value = value; }
}

export const none = new Optional(undefined);

export class TypeValue {
  readonly name: string;
  constructor(name: string) { this.name = name; }
}

/** A value only functions make and read. */
export abstract class Opaque {
  abstract readonly typeName: string;
  /** The other one has the same typeName. */
  abstract equals(other: Value): boolean | Failure;
}

export abstract class CelList implements Iterable<Value> {
  abstract readonly size: number;
  abstract get(index: number): Value;
  * [Symbol.iterator](): Iterator<Value> {
    for (let i = 0; i < this.size; i++) yield this.get(i);
  }
}

export class ValueList extends CelList {
  readonly values: readonly Value[];
  constructor(values: readonly Value[]) {
    super();
    this.values = values;
  }
  get size(): number { return this.values.length; }
  get(index: number): Value { return this.values[index]!; }
}

/** A list being built by a comprehension; nobody else sees it until it is done. */
export class GrowingList extends CelList {
  readonly values: Value[] = [];
  get size(): number { return this.values.length; }
  get(index: number): Value { return this.values[index]!; }
}

/** Two lists in a row, put together when first looked into: adding is cheap however long they are. */
export class ConcatList extends CelList {
  readonly size: number;
  #parts: readonly [CelList, CelList] | undefined;
  #values: readonly Value[] = [];
  constructor(first: CelList, second: CelList) {
    super();
    this.size = first.size + second.size;
    this.#parts = [first, second];
  }
  get(index: number): Value {
    if (this.#parts !== undefined) {
      this.#values = this.#merge();
      this.#parts = undefined;
    }
    return this.#values[index]!;
  }
  #merge(): Value[] {
    const values: Value[] = [];
    // Sums of sums may be deep.
    const pending: CelList[] = [this];
    for (let list = pending.pop(); list !== undefined; list = pending.pop()) {
      if (list instanceof ConcatList && list.#parts !== undefined) pending.push(list.#parts[1], list.#parts[0]);
      else for (const value of list) values.push(value);
    }
    return values;
  }
}

export class JsonList extends CelList {
  readonly json: readonly unknown[];
  readonly type: Extract<Type, { kind: 'list' }> | undefined;
  constructor(json: readonly unknown[], type?: Extract<Type, { kind: 'list' }>) {
    super();
    this.json = json;
    this.type = type;
  }
  get size(): number { return this.json.length; }
  get(index: number): Value { return fromJson(this.json[index], this.type?.element ?? dyn); }
}

export abstract class CelMap {
  abstract readonly size: number;
  /** Undefined when there is none; a Failure when such a key cannot be. */
  abstract find(key: Value): Value | undefined;
  abstract keys(): Iterable<Value>;
}

export class ValueMap extends CelMap {
  readonly #entries = new Map<unknown, readonly [Value, Value]>();
  get size(): number { return this.#entries.size; }
  find(key: Value): Value | undefined {
    return this.#entries.get(keyName(key))?.[1];
  }
  * keys(): Iterable<Value> {
    for (const [key] of this.#entries.values()) yield key;
  }
  set(key: Value, value: Value): void { this.#entries.set(keyName(key), [key, value]); }
  delete(key: Value): void { this.#entries.delete(keyName(key)); }
}

/** A map being built by a comprehension. */
export class GrowingMap extends ValueMap {}

/** Numbers that are equal are one key, whatever their types. What is no plain value is only equal to itself. */
function keyName(key: Value): unknown {
  switch (typeof key) {
    case 'string': return `s${key}`;
    case 'boolean': return `b${key}`;
    case 'bigint': return `n${key}`;
    case 'number': return Number.isInteger(key) ? `n${BigInt(key)}` : `d${key}`;
    default: return key instanceof Uint ? `n${key.value}` : key;
  }
}

export class JsonMap extends CelMap {
  readonly json: Readonly<Record<string, unknown>>;
  readonly type: Extract<Type, { kind: 'map' | 'object' }> | undefined;
  constructor(json: Readonly<Record<string, unknown>>, type?: Extract<Type, { kind: 'map' | 'object' }>) {
    super();
    this.json = json;
    this.type = type;
  }
  get size(): number { return Object.keys(this.json).length; }
  /** Whether expressions can see this member of the JSON. */
  declares(name: string): boolean { return this.type?.kind !== 'object' || fieldType(this.type, name) !== undefined; }
  find(key: Value): Value | undefined {
    if (typeof key !== 'string') return this.type === undefined ? undefined : noSuchOverload;
    if (this.type?.kind !== 'object') {
      return Object.hasOwn(this.json, key) ? fromJson(this.json[key], this.type?.value ?? dyn) : undefined;
    }
    // A field without value is an absent field; undeclared ones are not there.
    const name = unescapeField(key);
    if (name === undefined || !Object.hasOwn(this.json, name) || this.json[name] === null || this.json[name] === undefined) return undefined;
    const type = fieldType(this.type, name);
    return type && fromJson(this.json[name], type);
  }
  * keys(): Iterable<Value> {
    for (const name of Object.keys(this.json)) {
      if (this.type?.kind !== 'object') yield name;
      else if (this.declares(name)) yield escapeField(name) ?? name;
    }
  }
}

function fieldType(type: Extract<Type, { kind: 'object' }>, name: string): Type | undefined {
  const escaped = escapeField(name) ?? name;
  return type.fields(escaped) ?? (isReservedField(name) ? type.fields(name) : undefined);
}

/** Made by `Name{field: value}`. */
export class ObjectValue {
  readonly typeName: string;
  readonly fields: ReadonlyMap<string, Value>;
  constructor(typeName: string, fields: ReadonlyMap<string, Value>) {
    this.typeName = typeName;
    this.fields = fields;
  }
}

export function isValueObject(value: unknown): value is Exclude<Value, null | boolean | bigint | number | string> {
  return value instanceof CelList || value instanceof CelMap || value instanceof Uint || value instanceof Timestamp || value instanceof Duration
    || value instanceof Optional || value instanceof TypeValue || value instanceof ObjectValue || value instanceof Opaque || value instanceof Failure
    || value instanceof Uint8Array;
}

/** JSON, or a value already, as a value of the type. Where nothing is known an integral number is an int. */
export function fromJson(json: unknown, type: Type = dyn): Value {
  switch (typeof json) {
    case 'string': return stringOf(json, type);
    case 'number': return numberOf(json, type);
    case 'boolean': return type.kind === 'bool' || isOpen(type) ? json : badData(type, 'bool');
    case 'bigint': return json;
    case 'undefined': return type.kind === 'optional' ? none : null;
    case 'object': break;
    default: return new Failure(`unsupported conversion to ref.Val: (${typeof json})`);
  }
  if (json === null) return type.kind === 'optional' ? none : null;
  if (isValueObject(json)) return json;
  if (type.kind === 'optional') return new Optional(fromJson(json, type.of));
  if (Array.isArray(json)) {
    if (type.kind === 'list') return new JsonList(json, type);
    return isOpen(type) ? new JsonList(json) : badData(type, '[]interface {}');
  }
  // Not null, no array, no value of ours: an object of JSON.
  const object = json as Readonly<Record<string, unknown>>;
  if (type.kind === 'map' || type.kind === 'object') return new JsonMap(object, type);
  return isOpen(type) ? new JsonMap(object) : badData(type, 'map[string]interface {}');
}

function isOpen(type: Type): boolean {
  return type.kind === 'dyn' || type.kind === 'any' || type.kind === 'param' || type.kind === 'error' || type.kind === 'opaque' || type.kind === 'null';
}

function stringOf(json: string, type: Type): Value {
  switch (type.kind) {
    case 'timestamp': return parseTimestamp(json) ?? parseDate(json) ?? new Failure(`Invalid date-time formatted string ${json}: cannot parse`);
    case 'duration': return parseOpenApiDuration(json) ?? new Failure(`Invalid duration ${json}: time: invalid duration "${json}"`);
    case 'bytes': return Buffer.from(json, 'base64');
    case 'optional': return new Optional(stringOf(json, type.of));
    case 'string': return json;
    default: return isOpen(type) ? json : badData(type, 'string');
  }
}

function numberOf(json: number, type: Type): Value {
  switch (type.kind) {
    case 'double': return json;
    case 'uint': return Number.isInteger(json) && json >= 0 ? new Uint(BigInt(json)) : badData(type, 'float64');
    case 'optional': return new Optional(numberOf(json, type.of));
    case 'int': return isInt(json) ? toInt(json) : badData(type, 'float64');
    default:
      if (!isOpen(type)) return badData(type, Number.isInteger(json) ? 'int64' : 'float64');
      // Beyond 64 bits JSON's numbers are doubles even when nothing follows the point.
      return isInt(json) ? toInt(json) : json;
  }
}

function isInt(json: number): boolean { return Number.isInteger(json) && json >= -(2 ** 63) && json <= 2 ** 63; }

/** The largest int is what JSON.parse() rounds up to the first number that is none. */
function toInt(json: number): bigint { return json === 2 ** 63 ? 2n ** 63n - 1n : BigInt(json); }

function badData(type: Type, got: string): Failure {
  switch (type.kind) {
    case 'object': case 'map': return new Failure('invalid data, expected a map for the provided schema with type=object');
    case 'list': return new Failure('invalid data, expected an array for the provided schema with type=array');
    case 'double': return new Failure(`invalid data, expected float, got ${got}`);
    case 'timestamp': case 'duration': case 'bytes': return new Failure(`invalid data, expected string, got ${got}`);
    default: return new Failure(`invalid data, expected ${type.kind}, got ${got}`);
  }
}

/** What type(value) names. */
export function typeNameOf(value: Value): string {
  switch (typeof value) {
    case 'boolean': return 'bool';
    case 'bigint': return 'int';
    case 'number': return 'double';
    case 'string': return 'string';
    case 'object': break;
  }
  if (value === null) return 'null_type';
  if (value instanceof CelList) return 'list';
  if (value instanceof CelMap) return 'map';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Uint) return 'uint';
  if (value instanceof Timestamp) return typeName({ kind: 'timestamp' });
  if (value instanceof Duration) return typeName({ kind: 'duration' });
  if (value instanceof Optional) return 'optional_type';
  if (value instanceof TypeValue) return 'type';
  if (value instanceof Failure) return 'error';
  return value.typeName;
}

/** The value as JSON: times as strings, bytes in base64, an absent optional as null. Throws RangeError for what JSON cannot say. */
export function toJson(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof JsonList || value instanceof JsonMap) return value.json;
  if (value instanceof CelList) return [...value].map(toJson);
  if (value instanceof CelMap) {
    return Object.fromEntries([...value.keys()].map(key => {
      if (typeof key !== 'string') throw new RangeError(`map key ${displayValue(key)} is of type ${typeNameOf(key)}, not string`);
      return [key, toJson(value.find(key))];
    }));
  }
  if (value instanceof ObjectValue) return Object.fromEntries([...value.fields].map(([name, field]) => [name, toJson(field)]));
  if (value instanceof Uint) return Number(value.value);
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value.nanos);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Optional) return value.value === undefined ? null : toJson(value.value);
  if (value instanceof TypeValue) return value.name;
  throw new RangeError(`a value of type ${isValueObject(value) ? typeNameOf(value) : typeof value} has no form in JSON`);
}

/** As messages of failed operations show values. */
export function displayValue(value: Value): string {
  switch (typeof value) {
    case 'string': return value;
    case 'bigint': case 'boolean': return String(value);
    case 'number': return formatDouble(value);
    case 'object': break;
  }
  if (value === null) return 'NULL_VALUE';
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Uint8Array) return `[${[...value].join(' ')}]`;
  if (value instanceof CelList) return `[${[...value].map(displayValue).join(', ')}]`;
  if (value instanceof CelMap) return `{${[...value.keys()].map(key => `${displayValue(key)}: ${displayValue(value.find(key)!)}`).join(', ')}}`;
  if (value instanceof Optional) return value.value === undefined ? 'optional.none()' : `optional(${displayValue(value.value)})`;
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value.nanos);
  if (value instanceof TypeValue) return value.name;
  if (value instanceof Failure) return value.message;
  return value.typeName;
}

/** The shortest digits that mean this number, as Go's %g prints them: with an exponent below 1e-04 and from 1e+06 on. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [digits, exponent] = value.toExponential().split('e') as [string, string];
  const power = Number(exponent);
  if (power < -4 || power >= 6) return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  return plainDouble(value);
}

/** Without exponent. */
export function plainDouble(value: number): string {
  const text = String(value);
  if (!text.includes('e')) return text;
  if (Math.abs(value) >= 1) return BigInt(value).toString();
  const [digits, exponent] = value.toExponential().split('e') as [string, string];
  const sign = value < 0 ? '-' : '';
  return `${sign}0.${'0'.repeat(-Number(exponent) - 1)}${digits.replace('-', '').replace('.', '')}`;
}

/** Far more than any object of the API holds; what has no price of its own could grow without end otherwise. */
const maxTextLength = 2 ** 25;
export const maxListSize = 2 ** 22;

export function joinTexts(parts: readonly string[], separator = ''): string | Failure {
  const length = parts.reduce((sum, part) => sum + part.length, 0) + separator.length * Math.max(0, parts.length - 1);
  return length > maxTextLength ? new Failure(`a text of ${length} characters is too long`) : parts.join(separator);
}

export function tooLong(size: number): Failure {
  return new Failure(`a list of ${size} elements is too long`);
}

/** Characters as the language counts them: code points. */
export function codePointsOf(text: string): string[] {
  return Array.from(text);
}

/** How many of them there are. */
export function lengthOf(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length - 1; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) {
        count--;
        i++;
      }
    }
  }
  return count;
}
