// How recorded cases are run: their variables' types from text or OpenAPI schemas, results in a form that compares.

import { compile } from './compile.ts';
import { CelError } from './cel.ts';
import type { CelType } from './cel.ts';
import { createAuthorizer } from './functions/authorizer.ts';
import { QuantityValue } from './functions/quantity.ts';
import { escapeField } from './escape.ts';
import { mutationTypes } from './mutation.ts';
import {
  CelList, CelMap, displayValue, Duration, formatDouble, fromJson, ObjectValue, Opaque, Optional, Timestamp, toJson, TypeValue, typeNameOf, Uint,
} from './values.ts';
import type { Value } from './values.ts';
import { formatDuration, formatTimestamp } from './time.ts';

export interface CaseVariable {
  readonly name: string;
  /** `list(string)`, `optional(int)`, `authorizer`; with a schema: `optional` or `root`. */
  readonly type?: string;
  readonly schema?: Schema;
  readonly value?: unknown;
}

export interface Case {
  readonly expr: string;
  readonly vars?: readonly CaseVariable[];
  readonly mutation?: boolean;
}

/** What upstream answered, as recorded. */
export interface Outcome {
  readonly text?: string;
  readonly program?: string;
  readonly type?: string;
  readonly value?: unknown;
  readonly error?: string;
  readonly cost?: number;
  readonly min?: string;
  readonly max?: string;
}

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly maxProperties?: number;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
}

export function runCase(test: Case): Outcome {
  const variables = (test.vars ?? []).map(variable => ({ name: variable.name, type: typeOf(variable) }));
  const compilation = compile(test.expr, test.mutation === true ? { variables, constructible: mutationTypes } : { variables });
  if (compilation.program === undefined) {
    if (compilation.issues[0]?.stage === 'program') return { program: compilation.issues[0].text };
    return { text: compilation.issues.map(issue => issue.text).join('\n') };
  }
  const { program } = compilation;
  const sizes = new Map((test.vars ?? []).flatMap(variable => variable.schema === undefined ? [] : [[variable.name, sizeOfSchema(variable.schema, variable.type === 'root')] as const]));
  const { min, max } = program.estimate(path => sizeAt(sizes.get(path[0]!), path.slice(1)));
  const outcome = { type: showType(program.type), min: showCost(min), max: showCost(max) };
  const budget = { remaining: 10_000_000 };
  const values: Record<string, unknown> = {};
  for (const variable of test.vars ?? []) {
    if (variable.type === 'authorizer') values[variable.name] = createAuthorizer({ name: 'alice' }, check => ({
      allowed: check.verb === 'get',
      reason: [check.user.name, check.verb, check.group, check.resource, check.subresource, check.namespace, check.name, check.path ?? '', check.path === undefined].join('|'),
      ...(check.verb === 'fail' ? { error: 'boom' } : {}),
    }));
    else if ('value' in variable) values[variable.name] = variable.type === 'optional' ? new Optional(fromJson(variable.value, typeOf({ ...variable, type: 'root' }))) : variable.value;
  }
  try {
    const value = program.evaluate(values, budget);
    return { ...outcome, value: show(value as Value), cost: 10_000_000 - budget.remaining };
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    return { ...outcome, error: error.message, cost: 10_000_000 - budget.remaining };
  }
}

function typeOf(variable: CaseVariable): CelType {
  if (variable.schema !== undefined) {
    const type = schemaType(variable.schema, `type_${variable.name}`, variable.type === 'root');
    return variable.type === 'optional' ? { kind: 'optional', of: type } : type;
  }
  return readType(variable.type ?? 'dyn');
}

function readType(text: string): CelType {
  const trimmed = text.trim();
  const inner = /^(list|optional|map)\((.*)\)$/.exec(trimmed);
  if (inner === null) return trimmed === 'authorizer' ? { kind: 'opaque', name: 'kubernetes.authorization.Authorizer' } : { kind: trimmed } as CelType; // Names of kinds.
  if (inner[1] === 'list') return { kind: 'list', element: readType(inner[2]!) };
  if (inner[1] === 'optional') return { kind: 'optional', of: readType(inner[2]!) };
  const comma = inner[2]!.indexOf(',');
  return { kind: 'map', key: readType(inner[2]!.slice(0, comma)), value: readType(inner[2]!.slice(comma + 1)) };
}

function schemaType(schema: Schema, name: string, root = schema['x-kubernetes-embedded-resource'] === true): CelType {
  if (schema['x-kubernetes-int-or-string'] === true) return { kind: 'dyn' };
  switch (schema.type) {
    case 'array': return {
      kind: 'list', element: schemaType(schema.items!, `${name}.@idx`),
      ...(schema['x-kubernetes-list-type'] === undefined ? {} : { listType: schema['x-kubernetes-list-type'] }),
      ...(schema['x-kubernetes-list-map-keys'] === undefined ? {} : { keys: schema['x-kubernetes-list-map-keys'] }),
    };
    case 'object': {
      if (schema.additionalProperties !== undefined) {
        return { kind: 'map', key: { kind: 'string' }, value: schemaType(schema.additionalProperties, `${name}.@elem`) };
      }
      const fields = new Map(Object.entries(root ? { ...resourceProperties, ...schema.properties } : schema.properties ?? {}).flatMap(([field, inner]) => {
        const escaped = escapeField(field) ?? field;
        const type = schemaType(inner, `${name}.${escaped}`);
        // Rules cannot see what has no type.
        return isVisible(inner) ? [[escaped, type] as const] : [];
      }));
      return { kind: 'object', name, fields: field => fields.get(field) };
    }
    case 'string': switch (schema.format) {
      case 'date': case 'date-time': return { kind: 'timestamp' };
      case 'duration': return { kind: 'duration' };
      case 'byte': return { kind: 'bytes' };
      default: return { kind: 'string' };
    }
    case 'integer': return { kind: 'int' };
    case 'number': return { kind: 'double' };
    case 'boolean': return { kind: 'bool' };
    default: return { kind: 'dyn' };
  }
}

/** How large a value of a schema may be, as upstream reckons from what a request may hold. */
interface Size {
  readonly minBytes: number;
  readonly max: number;
  readonly element?: Size | undefined;
  readonly key?: Size | undefined;
  readonly fields?: ReadonlyMap<string, Size>;
}

const maxBytes = 3 * 1024 * 1024 - 2;

function sizeOfSchema(schema: Schema, root = schema['x-kubernetes-embedded-resource'] === true): Size | undefined {
  const length = schema.maxLength;
  if (schema['x-kubernetes-int-or-string'] === true) return { minBytes: 1, max: length === undefined ? maxBytes : length * 4 };
  switch (schema.type) {
    case 'array': {
      const element = sizeOfSchema(schema.items!);
      return element && { minBytes: 2, max: schema.maxItems ?? Math.floor(maxBytes / (element.minBytes + 1)), element };
    }
    case 'object': return sizeOfObject(schema, root);
    case 'string': switch (schema.format) {
      case 'byte': return { minBytes: 2, max: length ?? maxBytes };
      case 'duration': return { minBytes: 3, max: 32 };
      case 'date': return { minBytes: 12, max: 12 };
      case 'date-time': return { minBytes: 21, max: 32 };
      default: return { minBytes: 2, max: length !== undefined ? length * 4 : schema.enum === undefined ? maxBytes : Math.max(...schema.enum.map(value => String(value).length)) };
    }
    case 'boolean': return { minBytes: 4, max: 0 };
    case 'number': case 'integer': return { minBytes: 1, max: 0 };
    default: return undefined;
  }
}

function sizeOfObject(schema: Schema, root: boolean): Size | undefined {
  if (schema.additionalProperties !== undefined) {
    const element = sizeOfSchema(schema.additionalProperties);
    return element && { minBytes: 2, max: schema.maxProperties ?? Math.floor(maxBytes / (element.minBytes + 6)), element, key: { minBytes: 2, max: 0 } };
  }
  const fields = new Map<string, Size>();
  let minBytes = 2;
  for (const [name, property] of Object.entries(root ? { ...resourceProperties, ...schema.properties } : schema.properties ?? {})) {
    const size = sizeOfSchema(property);
    if (size === undefined) continue;
    const escaped = escapeField(name);
    if (escaped !== undefined) fields.set(escaped, size);
    if (schema.required?.includes(name) === true && property.default === undefined) minBytes += name.length + size.minBytes + 4;
  }
  return { minBytes, max: 0, fields };
}

const resourceProperties: Readonly<Record<string, Schema>> = {
  kind: { type: 'string' }, apiVersion: { type: 'string' },
  metadata: { type: 'object', properties: { name: { type: 'string' }, generateName: { type: 'string' } } },
};

function sizeAt(size: Size | undefined, path: readonly string[]): { min: number; max: number } | undefined {
  const [first, ...rest] = path;
  if (size === undefined || first === undefined) return size && { min: 0, max: size.max };
  return sizeAt(first === '@items' || first === '@values' ? size.element : first === '@keys' ? size.key : size.fields?.get(first), rest);
}

function isVisible(schema: Schema): boolean {
  if (schema['x-kubernetes-int-or-string'] === true) return true;
  const inside = schema.type === 'array' ? schema.items : schema.type === 'object' ? schema.additionalProperties : undefined;
  return schema.type !== undefined && (inside === undefined || isVisible(inside));
}

function showCost(cost: number): string {
  return cost >= 2 ** 64 ? 'max' : BigInt(cost).toString();
}

function showType(type: CelType): string {
  switch (type.kind) {
    case 'list': return `list(${showType(type.element)})`;
    case 'map': return `map(${showType(type.key)}, ${showType(type.value)})`;
    case 'optional': return `optional_type(${showType(type.of)})`;
    case 'type': return type.of === undefined ? 'type' : `type(${showType(type.of)})`;
    case 'null': return 'null_type';
    case 'timestamp': return 'google.protobuf.Timestamp';
    case 'duration': return 'google.protobuf.Duration';
    case 'object': case 'opaque': case 'param': return type.name;
    default: return type.kind;
  }
}

function show(value: Value): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return { int: String(value) };
  if (typeof value === 'number') return { double: formatDouble(value) };
  if (value instanceof Uint) return { uint: String(value.value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('base64') };
  if (value instanceof Timestamp) return { 'google.protobuf.Timestamp': formatTimestamp(value) };
  if (value instanceof Duration) return { 'google.protobuf.Duration': formatDuration(value.nanos) };
  if (value instanceof Optional) return value.value === undefined ? { none: true } : { of: show(value.value) };
  if (value instanceof TypeValue) return { type: value.name };
  if (value instanceof CelList) return { list: [...value].map(show) };
  if (value instanceof CelMap) {
    const entries = [...value.keys()].map(key => [show(key), show(value.find(key)!)]);
    return { map: entries.toSorted((a, b) => JSON.stringify(a[0]) < JSON.stringify(b[0]) ? -1 : 1) };
  }
  if (value instanceof ObjectValue) return showObject(value);
  if (value instanceof QuantityValue) return { quantity: value.toString() };
  return value instanceof Opaque ? { opaque: typeNameOf(value) } : displayValue(value);
}

function showObject(value: ObjectValue): unknown {
  if (value.typeName !== 'JSONPatch') return { object: value.typeName, value: toJson(value) };
  const field = (name: string) => value.fields.get(name) ?? '';
  return { jsonpatch: [field('op'), field('path'), field('from'), value.fields.has('value') ? show(value.fields.get('value')!) : { nil: true }] };
}
