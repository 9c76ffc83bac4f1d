// Holds a parsed object to its type in one pass, in place: unknown members go, values get the form in which upstream would send
// them back, and what does not fit is told in the words of Go's JSON decoder, since clients and tests compare them.
import { canonicalQuantity } from '#machinery/api/quantity.ts';
import type { Field, Type } from '#machinery/schema/schema.ts';
import { countMembers, maxDepth, tooDeep } from './depth.ts';
import { canonicalMicroTime, canonicalTime } from './time.ts';

type JsonObject = { [key: string]: unknown };

export interface Findings {
  /** `spec.foo`, `spec.containers[0].foo`; in document order, at most 100 as upstream. */
  unknown: string[];
  /** The first value of a wrong type: the object cannot be used then. */
  error: string | undefined;
  /** Members of all objects in it, to be compared with what the text had. */
  members: number;
}

const limit = 100;

/**
 * Changes `object`: drops what the type does not know, null, and empty values that upstream leaves out; writes quantities and times
 * in canonical form. Anything inside free-form fields stays as it is.
 */
export function conform(object: object, type: Type): Findings {
  const state: State = { unknown: [], error: undefined, members: 0, path: [], root: planOf(type), stopped: false };
  struct(object as JsonObject, state.root, state);
  return state;
}

interface State extends Findings {
  path: (string | number)[];
  root: Plan;
  /** Upstream stops at a value that a parser of its own refuses (times, quantities), so that hides what was wrong before. */
  stopped: boolean;
}

/** A field as the pass needs it; made once a type. */
interface Plan { name: string; isObject: boolean; fields: Map<string, FieldPlan> }
interface FieldPlan {
  kind: Field['kind'];
  shape: Field['shape'];
  field: Field;
  plan: Plan | undefined;
  /** Go's omitempty on a value that is no pointer: empty means absent. */
  dropEmpty: boolean;
}

const plans = new WeakMap<Type, Plan>();
function planOf(type: Type): Plan {
  const known = plans.get(type);
  if (known) return known;
  const plan: Plan = { name: type.shortName, isObject: type.isObject, fields: new Map() };
  plans.set(type, plan); // before the fields: types refer to each other in circles
  for (const [name, field] of type.fields) {
    plan.fields.set(name, {
      kind: field.kind, shape: field.shape, field, dropEmpty: field.omitEmpty && !field.pointer,
      plan: field.type ? planOf(field.type) : holdsSchemas(field) ? plan : undefined,
    });
  }
  return plan;
}

/** Fields of JSON schemas that take a schema, or a boolean, or a list of schemas or names. */
function holdsSchemas({ goType }: Field): boolean {
  return /^v1\.JSONSchema(?:PropsOr|Dependencies)/.test(goType);
}

function struct(object: JsonObject, plan: Plan, state: State): void {
  if (state.path.length > maxDepth) throw tooDeep();
  for (const key in object) {
    state.members += 1;
    const value = object[key];
    const field = plan.fields.get(key);
    if (field === undefined) {
      if (plan.isObject && (key === 'apiVersion' || key === 'kind')) {
        if (typeof value !== 'string' && value !== null) mismatch(state, plan, key, value, 'string');
        continue;
      }
      unknown(object, key, state);
      continue;
    }
    if (value === null) {
      delete object[key];
      continue;
    }
    state.path.push(key);
    switch (field.shape) {
      case 'one': {
        const fit = one(value, field, plan, key, state, undefined);
        if (fit !== value) object[key] = fit;
        if (field.dropEmpty && (fit === '' || fit === false || fit === 0) && field.kind !== 'intOrString') delete object[key];
        break;
      }
      case 'list':
        if (!Array.isArray(value)) mismatch(state, plan, key, value, field.field.goType);
        // No managers at all is what clients say to have them forgotten.
        else if (value.length === 0 && field.dropEmpty && key !== 'managedFields') delete object[key];
        else list(value, field, plan, key, state);
        break;
      case 'map': case 'mapOfLists':
        if (typeof value !== 'object' || Array.isArray(value)) mismatch(state, plan, key, value, field.field.goType);
        else if (map(value as JsonObject, field, plan, key, state) === 0 && field.dropEmpty) delete object[key];
        break;
      default: field.shape satisfies never;
    }
    state.path.pop();
  }
}

function list(items: unknown[], field: FieldPlan, owner: Plan, key: string, state: State): void {
  for (let i = 0; i < items.length; i += 1) {
    const item = items[i];
    if (item === null) {
      items[i] = zeroOf(field);
      continue;
    }
    state.path.push(i);
    const fit = one(item, field, owner, key, state, 'item');
    if (fit !== item) items[i] = fit;
    state.path.pop();
  }
}

function map(members: JsonObject, field: FieldPlan, owner: Plan, key: string, state: State): number {
  let count = 0;
  for (const name in members) {
    count += 1;
    const value = members[name];
    if (value === null) {
      put(members, name, field.shape === 'mapOfLists' ? [] : zeroOf(field));
      continue;
    }
    state.path.push(name);
    if (field.shape === 'mapOfLists') {
      if (Array.isArray(value)) list(value, field, owner, key, state);
      else mismatch(state, owner, key, value, itemType(field.field));
    } else {
      const fit = one(value, field, owner, key, state, 'item');
      if (fit !== value) put(members, name, fit);
    }
    state.path.pop();
  }
  state.members += count;
  return count;
}

/** One value, item or map value; returns it in canonical form. */
function one(value: unknown, field: FieldPlan, owner: Plan, key: string, state: State, place: 'item' | undefined): unknown {
  const wrong = (): unknown => {
    mismatch(state, owner, key, value, place ? itemType(field.field) : field.field.goType);
    return value;
  };
  const refused = (goType: string): unknown => {
    stop(state, mismatchText(state, owner, key, value, goType));
    return value;
  };
  switch (field.kind) {
    case 'string': return typeof value === 'string' ? value : wrong();
    case 'boolean': return typeof value === 'boolean' ? value : wrong();
    case 'int32': return Number.isInteger(value) && (value as number) >= -0x80000000 && (value as number) <= 0x7fffffff ? value : wrong();
    case 'int64': return Number.isInteger(value) && Math.abs(value as number) <= 2 ** 63 ? value : wrong();
    case 'double': return typeof value === 'number' ? value : wrong();
    case 'struct':
      if (typeof value !== 'object' || Array.isArray(value) || !field.plan) return wrong();
      struct(value as JsonObject, field.plan, state);
      return value;
    case 'any': case 'raw':
      if (field.plan) return schemas(value, field.plan, field.field.goType, state);
      state.members += countMembers(value);
      return value;
    case 'bytes': return typeof value === 'string' ? bytes(value, state) : wrong();
    case 'time': case 'microTime': {
      if (typeof value !== 'string') return refused('string');
      const result = field.kind === 'time' ? canonicalTime(value) : canonicalMicroTime(value);
      if ('text' in result) return result.text;
      stop(state, result.error);
      return value;
    }
    case 'duration': return typeof value === 'string' ? value : refused('string');
    case 'intOrString':
      if (typeof value === 'string') return value;
      return Number.isInteger(value) && Math.abs(value as number) <= 0x7fffffff ? value : refused('int32');
    case 'quantity': {
      if (typeof value === 'string' && plainQuantity.test(value)) return value;
      // Anything but a string or a number reaches upstream's parser as its JSON text, and fails there.
      try {
        return canonicalQuantity(typeof value === 'string' || typeof value === 'number' ? value : JSON.stringify(value));
      } catch (error) {
        stop(state, error instanceof Error ? error.message : String(error));
        return value;
      }
    }
    default: return field.kind satisfies never;
  }
}

function schemas(value: unknown, plan: Plan, goType: string, state: State): unknown {
  const orBoolean = goType === 'v1.JSONSchemaPropsOrBool';
  if (Array.isArray(value) && !orBoolean) {
    value.forEach((item: unknown, index) => {
      state.path.push(index);
      schemas(item, plan, goType, state);
      state.path.pop();
    });
    return value;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const told = state.unknown.length;
    struct(value as JsonObject, plan, state);
    state.unknown.length = told; // upstream reads these schemas by a way of their own, and not strictly
    return value;
  }
  if (orBoolean && typeof value !== 'boolean') stop(state, 'boolean or JSON schema expected');
  return orBoolean || typeof value === 'string' ? value : null;
}

/** Canonical already, for sure: small numbers that no larger suffix could take. */
const plainQuantity = /^(?:0|[1-9]\d{0,2}(?:m|k|M|G|Ki|Mi|Gi)?)$/;

function bytes(text: string, state: State): string {
  if (/^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0) return text;
  const plain = text.replaceAll(/[\r\n]/g, '');
  const at = /[^A-Za-z0-9+/]/.exec(plain)?.index;
  const padding = at !== undefined && /^={1,2}$/.test(plain.slice(at));
  if (plain.length % 4 === 0 && (at === undefined || padding)) return plain;
  state.error ??= `illegal base64 data at input byte ${at === undefined ? plain.length - plain.length % 4 : at}`;
  return text;
}

function zeroOf(field: FieldPlan): unknown {
  switch (field.kind) {
    case 'string': case 'bytes': return '';
    case 'boolean': return false;
    case 'int32': case 'int64': case 'double': case 'intOrString': return 0;
    case 'quantity': return '0';
    case 'struct': return {};
    default: return null;
  }
}

function put(object: JsonObject, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

// ---- what does not fit

function unknown(object: JsonObject, key: string, state: State): void {
  state.members += countMembers(object[key]);
  if (state.unknown.length < limit) state.unknown.push(pathText([...state.path, key]));
  delete object[key];
}

function pathText(path: readonly (string | number)[]): string {
  return path.map((step, i) => typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`).join('');
}

/** Go names the struct that holds the field and the fields on the way, without indices and keys of maps. */
function mismatch(state: State, owner: Plan, key: string, value: unknown, goType: string): void {
  state.error ??= mismatchText(state, owner, key, value, goType);
}

function mismatchText(state: State, owner: Plan, key: string, value: unknown, goType: string): string {
  return `json: cannot unmarshal ${goValue(value, goType)} into Go struct field ${owner.name}.${fieldPath(state, key)} of type ${goType}`;
}

/** The fields on the way to the value, with the structs that JSON does not show. */
function fieldPath({ path, root }: State, key: string): string {
  const names: string[] = [];
  let plan: Plan | undefined = root;
  for (let i = 0; i < path.length;) {
    const step = String(path[i]);
    const found: FieldPlan | undefined = plan?.fields.get(step);
    names.push(...found?.field.inlined ?? [], step);
    // An index or a key of a map follows the name of a list or map.
    i += found === undefined || found.shape === 'one' ? 1 : found.shape === 'mapOfLists' ? 3 : 2;
    plan = found?.plan;
  }
  if (names.at(-1) !== key) names.push('TypeMeta', key);
  return names.join('.');
}

function goValue(value: unknown, goType: string): string {
  if (Array.isArray(value)) return 'array';
  switch (typeof value) {
    case 'boolean': return 'bool';
    case 'number': return /^(u?int|float)\d+$/.test(goType) ? `number ${value}` : 'number';
    case 'string': return 'string';
    default: return 'object';
  }
}

function itemType(field: Field): string {
  const { goType } = field;
  if (goType.startsWith('[]')) return goType.slice(2);
  return /^map\[[^\]]*\](.*)$/.exec(goType)?.[1] ?? field.type?.shortName ?? 'string';
}

function stop(state: State, error: string): void {
  if (!state.stopped) state.error = error;
  state.stopped = true;
}
