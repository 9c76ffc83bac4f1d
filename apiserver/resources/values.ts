// Reading fields of objects whose shape nobody has checked yet, setting defaults in them, and making field errors.
// A value of the wrong type reads as if it were missing, so that no rule can trip over it; decoding refuses it elsewhere.
import type { FieldError } from '#machinery/api/status.ts';

export type Obj = Record<string, unknown>;

export function isObject(value: unknown): value is Obj {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
/** Undefined when it is no object; a null, too, is what was not given. */
export function asObject(value: unknown): Obj | undefined {
  return isObject(value) ? value : undefined;
}
/** A list of objects; entries that are none read as empty objects, which keeps indexes right. */
export function objects(value: unknown): Obj[] {
  return Array.isArray(value) ? value.map((item: unknown) => (isObject(item) ? item : {})) : [];
}
export function items(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
export function strings(value: unknown): string[] {
  return items(value).map(text);
}
export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
export function integer(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
/** `key -> value` with values that are strings. */
export function entries(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}
export function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === 0 || (Array.isArray(value) && value.length === 0);
}
export function at(object: unknown, ...path: string[]): unknown {
  let here = object;
  for (const name of path) {
    if (!isObject(here)) return undefined;
    here = here[name];
  }
  return here;
}
/** The object under a field, made when it is missing. */
export function need(object: Obj, field: string): Obj {
  const there = object[field];
  if (isObject(there)) return there;
  const made: Obj = {};
  object[field] = made;
  return made;
}
/** For pointers upstream: only what is not given at all gets the default. */
export function setMissing(object: Obj, field: string, value: unknown): void {
  if (object[field] === undefined || object[field] === null) object[field] = value;
}
/** For plain values upstream: an empty string or a zero counts as not given. */
export function setEmpty(object: Obj, field: string, value: unknown): void {
  if (isEmpty(object[field])) object[field] = value;
}

/** Deep equality of JSON; a missing field, null and an empty list or map are the same, as upstream's Semantic.DeepEqual has it. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b);
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => same(item, b[index]));
  if (!isObject(a) || !isObject(b)) return false;
  for (const name in a) if (!same(a[name], b[name])) return false;
  for (const name in b) if (!(name in a) && !isNothing(b[name])) return false;
  return true;
}
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== 'object') return false;
  for (const name in value) if (!isNothing((value as Obj)[name])) return false;
  return true;
}

/** Takes out fields that are null, in place: null and missing are the same to the API. Entries of lists stay. */
export function dropNulls(value: unknown): void {
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object') dropNulls(item);
  } else if (typeof value === 'object' && value !== null) {
    const object = value as Obj;
    for (const name in object) {
      const field = object[name];
      if (field === null) delete object[name];
      else if (typeof field === 'object') dropNulls(field);
    }
  }
}

export const required = (field: string, detail?: string): FieldError => ({ type: 'Required', field, ...(detail === undefined ? {} : { detail }) });
export const invalidField = (field: string, value: unknown, detail: string): FieldError => ({ type: 'Invalid', field, value, detail });
/** Where upstream leaves the value out of the text. */
export const invalidWhole = (field: string, detail: string): FieldError => ({ type: 'Invalid', field, detail, omitValue: true });
export const forbiddenField = (field: string, detail: string): FieldError => ({ type: 'Forbidden', field, detail });
export const duplicate = (field: string, value: unknown): FieldError => ({ type: 'Duplicate', field, value });
export const notFoundField = (field: string, value: unknown, detail?: string): FieldError => ({ type: 'NotFound', field, value, ...(detail === undefined ? {} : { detail }) });
export const tooLong = (field: string, bytes: number): FieldError => ({ type: 'TooLong', field, detail: `may not be more than ${bytes} byte${bytes === 1 ? '' : 's'}` });
export const tooMany = (field: string, count: number, most: number): FieldError => ({ type: 'TooMany', field, value: count, detail: `must have at most ${most} item${most === 1 ? '' : 's'}` });
export function notSupported(field: string, value: unknown, values: readonly string[]): FieldError {
  return { type: 'NotSupported', field, value, ...(values.length === 0 ? {} : { detail: `supported values: ${values.map((one) => JSON.stringify(one)).join(', ')}` }) };
}
/** One Invalid error for each text. */
export function invalidAll(field: string, value: unknown, details: readonly string[]): FieldError[] {
  return details.map((detail) => invalidField(field, value, detail));
}
export const immutable = 'field is immutable';
export function unchanged(field: string, value: unknown, old: unknown): FieldError[] {
  return same(value, old) ? [] : [invalidField(field, value, immutable)];
}
/** One line for each field that differs; upstream prints a diff of its internal structs there. */
export function changedFields(now: Readonly<Obj>, old: Readonly<Obj>, path: string): string[] {
  return [...new Set([...Object.keys(now), ...Object.keys(old)])].filter((field) => !same(now[field], old[field])).map((field) => `  changed: ${path}.${field}`);
}
/** `must be greater than or equal to 0` where a number is below. */
export function notNegative(field: string, value: unknown): FieldError[] {
  return typeof value === 'number' && value < 0 ? [invalidField(field, value, 'must be greater than or equal to 0')] : [];
}
export function oneOf(field: string, value: unknown, values: readonly string[]): FieldError[] {
  return values.includes(text(value)) ? [] : [notSupported(field, value ?? '', values)];
}
