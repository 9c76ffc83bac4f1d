// Holds values to a schema, and says what is wrong in upstream's words. Upstream: apiserver/validation/{validation,ratcheting}.go
// over kube-openapi's validation/validate, whose way of choosing among the errors of alternatives is kept.
import type { FieldError } from '#machinery/api/status.ts';
import { invalidField, invalidWhole, isObject, notSupported, required, tooLong, tooMany } from '../../values.ts';
import type { Obj } from '../../values.ts';
import { isKnownFormat, isOfFormat } from './formats.ts';
import { goRegexp } from './go-regexp.ts';
import { goOrder, itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

export interface ValueOptions {
  /** Stands before the path of every error. */
  path?: string;
  /** What was there before: errors in parts that did not change are spared. */
  old?: unknown;
  /** As upstream looks at default values: unknown formats count, and so does an empty type of an int-or-string. */
  asDefault?: boolean;
}

export function validateValue(value: unknown, schema: JsonSchema, { path = '', old, asDefault = false }: ValueOptions = {}): FieldError[] {
  const { problems } = check(value, schema, '', { asDefault }, old === undefined ? undefined : { value, old, schema });
  return [...problems.values()].map(({ at, make }) => make(at === undefined ? path || '<nil>' : joinPath(path, at)));
}
function joinPath(path: string, at: string): string {
  const name = at.startsWith('.') ? at.slice(1) : at;
  return name === '' ? path || '<nil>' : path === '' ? name : `${path}.${name}`;
}

/** `at`: where, as upstream spells it; undefined for what is told of the whole. `text` tells repeated ones apart. */
interface Problem { at: string | undefined; text: string; make: (field: string) => FieldError }
/** Problems by their text: each is told once. `matches` counts what was right, for choosing the alternative that was probably meant. */
interface Outcome { readonly problems: Map<string, Problem>; matches: number }
/** What users write may be wrong in a million places; upstream tells them all. */
const mostProblems = 1000;
interface Settings { asDefault: boolean }
/** A value and what it was before, while both can be followed. */
export interface Correlation { value: unknown; old: unknown; schema: JsonSchema }

const outcome = (matches: number): Outcome => ({ problems: new Map(), matches });

function merge(into: Outcome, { problems, matches }: Outcome): void {
  for (const problem of problems.values()) add(into, problem);
  into.matches += matches;
}
function add({ problems }: Outcome, problem: Problem): void {
  if (problems.size < mostProblems && !problems.has(problem.text)) problems.set(problem.text, problem);
}
const about = (at: string, text: string, make: (field: string) => FieldError): Problem => ({ at, text, make });
const wrong = (at: string, value: unknown, text: string): Problem => about(at, text, (field) => invalidField(field, value, text));
const wholly = (text: string): Problem => ({ at: undefined, text, make: (field) => invalidField(field, '', text) });
function wrongType(at: string, expected: string, value: string): Problem {
  const text = `${at} in body must be of type ${expected}: ${JSON.stringify(value)}`;
  return about(at, text, (field) => ({ type: 'TypeInvalid', field, value, detail: text }));
}
const only = (problem: Problem | undefined): Outcome => ({ problems: new Map(problem ? [[problem.text, problem]] : []), matches: 0 });

function check(value: unknown, schema: JsonSchema, at: string, settings: Settings, correlation?: Correlation): Outcome {
  const result = checkAll(value, schema, at, settings, correlation);
  return result.problems.size > 0 && correlation && isUnchanged(correlation) ? outcome(result.matches) : result;
}

function checkAll(value: unknown, schema: JsonSchema, at: string, settings: Settings, correlation: Correlation | undefined): Outcome {
  const result = outcome(0);
  const types = typesOf(schema, settings);
  const format = formatOf(schema, settings);
  if (value === null || value === undefined) {
    merge(result, types.length > 0 && !types.includes('null') && schema.nullable !== true ? only(wrongType(at, types.join(','), 'null')) : outcome(1));
    merge(result, only(checkEnum(value, schema, at)));
    return result;
  }
  const apply = (one: Outcome): void => {
    merge(result, one);
    result.matches += 1;
  };
  if (types.length > 0 || format !== '') apply(checkType(value, types, format, at));
  apply(checkAlternatives(value, schema, at, settings));
  if (typeof value === 'string') {
    apply(only(checkString(value, schema, at)));
    const fits = format === '' ? undefined : isOfFormat(format, value);
    if (fits !== undefined) apply(fits ? only(undefined) : only(stringFormatProblem(at, format, value)));
  }
  if (typeof value === 'number') apply(checkNumber(value, schema, types, format, at));
  if (Array.isArray(value)) apply(checkList(value, schema, at, settings, correlation));
  apply(only(checkEnum(value, schema, at)));
  if (isObject(value)) apply(checkObject(value, schema, at, settings, correlation));
  result.matches += 1;
  return result;
}

function stringFormatProblem(at: string, format: string, value: string): Problem {
  const text = `${at} in body must be of type ${format}: ${JSON.stringify(value)}`;
  return about(at, text, (field) => ({ type: 'TypeInvalid', field, value, detail: text }));
}

function typesOf({ type, 'x-kubernetes-int-or-string': intOrString }: JsonSchema, { asDefault }: Settings): readonly string[] {
  if (intOrString && !asDefault) return ['integer', 'string'];
  return type === undefined ? [] : [type];
}
function formatOf({ format = '', type = '', 'x-kubernetes-int-or-string': intOrString }: JsonSchema, { asDefault }: Settings): string {
  return asDefault || isKnownFormat(format, intOrString ? '' : type) ? format : '';
}

/** What a value is, and in which format Go holds it. */
function natureOf(value: unknown): readonly [type: string, format: string] {
  switch (typeof value) {
    case 'boolean': return ['boolean', ''];
    case 'string': return ['string', ''];
    case 'number': return isInt64(value) ? ['integer', 'int64'] : ['number', 'float64'];
    default: return [Array.isArray(value) ? 'array' : 'object', ''];
  }
}

function checkType(value: unknown, types: readonly string[], format: string, at: string): Outcome {
  const [type, own] = natureOf(value);
  const fits = types.includes(type) || (type === 'integer' && types.includes('number')) || (type === 'number' && types.includes('integer') && isNearlyInteger(value as number));
  const textual = type === 'string' || type === 'array';
  if (!textual && format !== '' && !fits && own !== format) return only(wrongType(at, format, own));
  if (textual && format !== '' && !types.includes('number') && !types.includes('integer')) return outcome(1);
  return fits ? outcome(1) : only(wrongType(at, types.join(','), type));
}

/** Whether Go reads a number of JSON as an integer. */
function isInt64(number: number): boolean {
  return Number.isInteger(number) && number >= -(2 ** 63) && number < 2 ** 63;
}
/** As Go's swag.IsFloat64AJSONInteger. */
function isNearlyInteger(number: number): boolean {
  if (!Number.isFinite(number) || Math.abs(number) > Number.MAX_SAFE_INTEGER) return false;
  const whole = Math.trunc(number);
  if (number === whole) return true;
  return number > 0 && whole !== 0 && (number - whole) / (number + whole) < 1e-9;
}

function checkAlternatives(value: unknown, schema: JsonSchema, at: string, settings: Settings): Outcome {
  const result = outcome(0);
  const where = JSON.stringify(at);
  const trial = (one: JsonSchema): Outcome => check(value, one, at, settings);
  if (schema.anyOf) {
    let best: Outcome | undefined;
    let succeeded = false;
    for (const one of schema.anyOf) {
      const tried = trial(one);
      if (tried.problems.size === 0) {
        best = tried;
        succeeded = true;
        break;
      }
      if (!best || tried.matches > best.matches) best = tried;
    }
    if (!succeeded) add(result, wholly(`${where} must validate at least one schema (anyOf)`));
    if (best) merge(result, best);
  }
  if (schema.oneOf) {
    let best: Outcome | undefined;
    let first: Outcome | undefined;
    let succeeded = 0;
    for (const one of schema.oneOf) {
      const tried = trial(one);
      if (tried.problems.size === 0) {
        succeeded += 1;
        best = undefined;
        first ??= tried;
      } else if (succeeded === 0 && (!best || tried.matches > best.matches)) {
        best = tried;
      }
    }
    if (succeeded === 1 && first) merge(result, first);
    if (succeeded !== 1) {
      add(result, wholly(`${where} must validate one and only one schema (oneOf). ${succeeded === 0 ? 'Found none valid' : `Found ${succeeded} valid alternatives`}`));
      if (best) merge(result, best);
    }
  }
  if (schema.allOf) {
    const outcomes = schema.allOf.map(trial);
    for (const one of outcomes) merge(result, one);
    const valid = outcomes.filter(({ problems }) => problems.size === 0).length;
    if (valid < outcomes.length) add(result, wholly(`${where} must validate all the schemas (allOf)${valid === 0 ? '. None validated' : ''}`));
  }
  if (schema.not && trial(schema.not).problems.size === 0) add(result, wholly(`${where} must not validate the schema (not)`));
  result.matches += 1;
  return result;
}

function checkString(value: string, { maxLength, minLength, pattern }: JsonSchema, at: string): Problem | undefined {
  const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length;
  if (maxLength !== undefined && length > maxLength) return about(at, `${at} in body should be at most ${maxLength} chars long`, (field) => tooLong(field, maxLength));
  if (minLength !== undefined && length < minLength) return wrong(at, value, `${at} in body should be at least ${minLength} chars long`);
  if (pattern === undefined) return undefined;
  const compiled = goRegexp(pattern);
  if ('error' in compiled) return wrong(at, value, `${at} in body should match '${pattern}, but pattern is invalid: ${compiled.error}'`);
  return compiled.matches(value) ? undefined : wrong(at, value, `${at} in body should match '${pattern}'`);
}

function checkNumber(value: number, schema: JsonSchema, types: readonly string[], format: string, at: string): Outcome {
  const result = outcome(1);
  const type = types.length === 1 && (types[0] === 'integer' || types[0] === 'number') ? types[0] : '';
  const numeric = isKnownFormat(format, type) && type !== '' ? format : '';
  const range = (number: number, prefix: string): Problem | undefined => (fitsRange(number, type, numeric) ? undefined
    : wholly(`${prefix} value must be of type ${type} ${numeric === '' ? '(default format)' : `with format ${numeric}`} in ${at}`));
  const addIf = (problem: Problem | undefined): boolean => {
    if (problem) add(result, problem);
    return problem !== undefined;
  };
  addIf(range(value, 'Checked'));
  // A bound that the type cannot hold is compared as it is, others in the type of the value.
  const bound = (limit: number, prefix: string): Bound => {
    const asInt = !addIf(range(limit, prefix)) && isInt64(value);
    return asInt ? { limit: Math.trunc(limit), show: String } : { limit, show: goFloat };
  };
  const { multipleOf, maximum, exclusiveMaximum, minimum, exclusiveMinimum } = schema;
  if (multipleOf !== undefined) addIf(multipleProblem(value, bound(multipleOf, 'MultipleOf'), at));
  const outside = ({ limit, show }: Bound, order: string, exclusive: true | undefined): void => {
    add(result, wrongNumber(at, show(value), `${at} in body should be ${order} than ${exclusive ? '' : 'or equal to '}${show(limit)}`));
  };
  if (minimum !== undefined) {
    const low = bound(minimum, 'Minimum boundary');
    if (exclusiveMinimum ? value <= low.limit : value < low.limit) outside(low, 'greater', exclusiveMinimum);
  }
  if (maximum !== undefined) {
    const high = bound(maximum, 'Maximum boundary');
    if (exclusiveMaximum ? value >= high.limit : value > high.limit) outside(high, 'less', exclusiveMaximum);
  }
  return result;
}
interface Bound { limit: number; show: (number: number) => string }
/** The value as Go prints it, which is not always its JSON. */
function wrongNumber(at: string, shown: string, text: string): Problem {
  return about(at, text, (field) => invalidWhole(field, `${shown}: ${text}`));
}
function multipleProblem(value: number, { limit: factor, show }: Bound, at: string): Problem | undefined {
  if (factor <= 0) return wrongNumber(at, show(factor), `factor MultipleOf declared for ${at} must be positive: ${show(factor)}`);
  const whole = show === String ? value % factor === 0 : isNearlyInteger(factor < 1 ? (1 / factor) * value : value / factor);
  return whole ? undefined : wrongNumber(at, show(value), `${at} in body should be a multiple of ${show(factor)}`);
}
function fitsRange(number: number, type: string, format: string): boolean {
  if (type === 'integer') {
    const most = format === 'int32' ? 2 ** 31 : 2 ** 63;
    return Number.isInteger(number) && number >= -most && number < most;
  }
  return format !== 'float' || Number.isFinite(Math.fround(number));
}
/** As Go prints a float64. */
function goFloat(number: number): string {
  const [digits = '', exponent = '0'] = number.toExponential().split('e');
  const power = Number(exponent);
  if (power >= -4 && power < 6) return String(number);
  return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

function checkEnum(value: unknown, { enum: allowed }: JsonSchema, at: string): Problem | undefined {
  if (!allowed || allowed.some((one) => one !== null && isSame(one, value))) return undefined;
  const shown = allowed.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
  return about(at, `${at} in body should be one of ${JSON.stringify(allowed)}`, (field) => {
    const error = notSupported(field, goOrder(value ?? null), shown);
    return typeof value !== 'number' || isInt64(value) ? error : { ...error, omitValue: true, detail: `${goFloat(value)}: ${error.detail}` };
  });
}
/** Go converts the value to the type of what is allowed first, which cuts a fraction off. */
function isSame(allowed: unknown, value: unknown): boolean {
  if (typeof allowed === 'number' && typeof value === 'number' && Number.isInteger(allowed)) return Math.trunc(value) === allowed;
  return deepEqual(allowed, value);
}

function checkList(list: readonly unknown[], schema: JsonSchema, at: string, settings: Settings, correlation: Correlation | undefined): Outcome {
  const result = outcome(0);
  const item = itemSchema(schema);
  if (item) list.forEach((value, index) => merge(result, check(value, item, `${at}[${index}]`, settings, correlation && itemCorrelation(correlation, index))));
  const { minItems, maxItems } = schema;
  if (minItems !== undefined && list.length < minItems) add(result, wrong(at, list.length, `${at} in body should have at least ${minItems} items`));
  if (maxItems !== undefined && list.length > maxItems) add(result, about(at, `${at} in body should have at most ${maxItems} items`, (field) => tooMany(field, list.length, maxItems)));
  if (schema.uniqueItems && list.some((value, index) => list.slice(0, index).some((other) => deepEqual(value, other)))) {
    add(result, wrong(at, '', `${at} in body shouldn't contain duplicates`));
  }
  result.matches += 1;
  return result;
}

function checkObject(object: Obj, schema: JsonSchema, at: string, settings: Settings, correlation: Correlation | undefined): Outcome {
  const result = outcome(0);
  const names = Object.keys(object);
  const { minProperties, maxProperties, properties } = schema;
  if (minProperties !== undefined && names.length < minProperties) add(result, wrong(at, names.length, `${at} in body should have at least ${minProperties} properties`));
  if (maxProperties !== undefined && names.length > maxProperties) {
    add(result, about(at, `${at} in body should have at most ${maxProperties} properties`, (field) => tooMany(field, names.length, maxProperties)));
  }
  const member = memberSchema(schema);
  for (const name of names) {
    if (properties?.has(name)) continue;
    if (schema.additionalProperties === false) add(result, wrong(at, name, `${at}.${name} in body is a forbidden property`));
    else if (member) merge(result, check(object[name], member, `${at}.${name}`, settings, fieldCorrelation(correlation, name, at)));
  }
  for (const [name, property] of properties ?? []) {
    if (!Object.hasOwn(object, name)) continue;
    merge(result, check(object[name], property, at === '' ? name : `${at}.${name}`, settings, fieldCorrelation(correlation, name, at)));
  }
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(object, name)) add(result, about(`${at}.${name}`, `${at}.${name} in body is required`, (field) => required(field)));
  }
  return result;
}

// ---- what was there before

export function fieldCorrelation(correlation: Correlation | undefined, name: string, at: string): Correlation | undefined {
  if (!correlation || (at === '' && (name === 'kind' || name === 'apiVersion'))) return undefined;
  const { value, old, schema } = correlation;
  if (!isObject(value) || !isObject(old) || !Object.hasOwn(value, name) || !Object.hasOwn(old, name)) return undefined;
  const field = schema.properties?.get(name) ?? memberSchema(schema);
  return field && { value: value[name], old: old[name], schema: field };
}
/** Items are followed by the keys of their list only. */
export function itemCorrelation({ value, old, schema }: Correlation, index: number): Correlation | undefined {
  const item = itemSchema(schema);
  const wanted: unknown = Array.isArray(value) ? value[index] : undefined;
  const found = item && itemOfSameKeys(wanted, old, schema);
  return found && { value: wanted, old: found, schema: item };
}
/** The item of an old list that has the keys of a new one. */
export function itemOfSameKeys(wanted: unknown, old: unknown, schema: JsonSchema): Obj | undefined {
  const keys = schema['x-kubernetes-list-map-keys'];
  if (!keys || schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(old) || !isObject(wanted)) return undefined;
  const identity = identityOf(wanted, keys);
  if (identity === undefined) return undefined;
  let items = itemsByKeys.get(old);
  if (items?.schema !== schema) {
    const byKeys = new Map<string, Obj>();
    for (const one of old) {
      const known = isObject(one) ? identityOf(one, keys) : undefined;
      if (known !== undefined && !byKeys.has(known)) byKeys.set(known, one as Obj);
    }
    items = { schema, byKeys };
    itemsByKeys.set(old, items);
  }
  return items.byKeys.get(identity);
}
/** Undefined when a key is missing, or no scalar. */
function identityOf(item: Obj, keys: readonly string[]): string | undefined {
  const values = keys.map((key) => item[key]);
  return values.some((value) => value === undefined || value === null || typeof value === 'object') ? undefined : JSON.stringify(values);
}
/** Of old lists, which do not change; made once, since each new item asks. */
const itemsByKeys = new WeakMap<readonly unknown[], { schema: JsonSchema; byKeys: ReadonlyMap<string, Obj> }>();

export function isUnchanged(correlation: Correlation): boolean {
  const { value, old } = correlation;
  if (Array.isArray(value) && Array.isArray(old) && correlation.schema['x-kubernetes-list-type'] === 'map') {
    return value.length === old.length && value.every((_, index) => {
      const item = itemCorrelation(correlation, index);
      return item !== undefined && isUnchanged(item);
    });
  }
  if (isObject(value) && isObject(old)) {
    return Object.keys(value).length === Object.keys(old).length && Object.keys(value).every((name) => {
      const field = fieldCorrelation(correlation, name, ' ');
      return field !== undefined && isUnchanged(field);
    });
  }
  return deepEqual(value, old);
}

/** Of JSON; null is not the same as nothing. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => deepEqual(item, b[index]));
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && deepEqual(a[name], b[name]));
}
