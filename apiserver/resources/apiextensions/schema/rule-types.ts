// What rules (x-kubernetes-validations) see of a schema: a type for each value that has one, with the sizes that costs are estimated
// by. Upstream: apiserver/pkg/cel/common/schemas.go over apiextensions' schema/cel/model.
import type { CelType } from '#machinery/cel/cel.ts';
import { escapeField } from '#machinery/cel/escape.ts';
import { itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

/** Sizes are those of JSON, in bytes. */
export interface RuleType {
  readonly kind: 'dyn' | 'list' | 'map' | 'object' | 'string' | 'bytes' | 'timestamp' | 'duration' | 'bool' | 'double' | 'int';
  readonly schema: JsonSchema;
  readonly minSize: number;
  /** Items, members or bytes, at most. */
  readonly maxElements: number;
  readonly element?: RuleType;
  /** By their names in expressions. */
  readonly fields?: ReadonlyMap<string, RuleType>;
}

const maxRequestBytes = 3 * 1024 * 1024;
const longestString = maxRequestBytes - 2;
const textType: JsonSchema = { type: 'string' };

/** Undefined for what rules cannot see. `resource`: has kind, apiVersion and the names of metadata. */
export function ruleType(schema: JsonSchema, resource: boolean): RuleType | undefined {
  const maxLength = schema.maxLength === undefined ? undefined : Math.max(0, schema.maxLength) * 4;
  const simple = (kind: RuleType['kind'], minSize: number, maxElements = 0): RuleType => ({ kind, schema, minSize, maxElements });
  if (schema['x-kubernetes-int-or-string']) return simple('dyn', 1, maxLength ?? longestString);
  switch (schema.type) {
    case 'array': return listType(schema);
    case 'object': return objectType(resource ? withMetadata(schema) : schema);
    case 'boolean': return simple('bool', 4);
    case 'number': return simple('double', 1);
    case 'integer': return simple('int', 1);
    case 'string': break;
    default: return undefined;
  }
  switch (schema.format) {
    case 'byte': return simple('bytes', 2, schema.maxLength === undefined ? longestString : Math.max(0, schema.maxLength));
    case 'duration': return simple('duration', 3, 32);
    case 'date': return simple('timestamp', 12, 12);
    case 'date-time': return simple('timestamp', 21, 32);
    default: return simple('string', 2, maxLength ?? (schema.enum ? longestOf(schema.enum) : longestString));
  }
}
function longestOf(values: readonly unknown[]): number {
  return Math.max(0, ...values.map((value) => (typeof value === 'string' ? Buffer.byteLength(value) : 0)));
}

function listType(schema: JsonSchema): RuleType | undefined {
  const item = itemSchema(schema);
  const element = item && ruleType(item, item['x-kubernetes-embedded-resource'] === true);
  if (!element) return undefined;
  const maxElements = schema.maxItems === undefined ? Math.floor((maxRequestBytes - 2) / (element.minSize + 1)) : Math.max(0, schema.maxItems);
  return { kind: 'list', schema, minSize: 2, maxElements, element };
}

function objectType(schema: JsonSchema): RuleType | undefined {
  const member = memberSchema(schema);
  if (member) {
    const element = ruleType(member, member['x-kubernetes-embedded-resource'] === true);
    if (!element) return undefined;
    // A key with its quotes, a colon and a comma come with each.
    const maxElements = schema.maxProperties === undefined ? Math.floor((maxRequestBytes - 2) / (element.minSize + 6)) : Math.max(0, schema.maxProperties);
    return { kind: 'map', schema, minSize: 2, maxElements, element };
  }
  const fields = new Map<string, RuleType>();
  let minSize = 2;
  for (const [name, property] of schema.properties ?? []) {
    const type = ruleType(property, property['x-kubernetes-embedded-resource'] === true);
    if (!type) continue;
    const escaped = escapeField(name);
    if (escaped !== undefined) fields.set(escaped, type);
    if (schema.required?.includes(name) && property.default === undefined) minSize += Buffer.byteLength(name) + type.minSize + 4;
  }
  return { kind: 'object', schema, minSize, maxElements: 0, fields };
}
function withMetadata(schema: JsonSchema): JsonSchema {
  const { properties } = schema;
  const metadata = properties?.get('metadata');
  const isText = (property: JsonSchema | undefined): boolean => property?.type === 'string';
  if (isText(properties?.get('kind')) && isText(properties?.get('apiVersion')) && metadata?.type === 'object'
    && isText(metadata.properties?.get('name')) && isText(metadata.properties?.get('generateName'))) return schema;
  return {
    ...schema, properties: new Map<string, JsonSchema>([...properties ?? [], ['kind', textType], ['apiVersion', textType],
      ['metadata', { type: 'object', properties: new Map([['name', textType], ['generateName', textType]]) }]]),
  };
}

/** `name` shows in messages. */
export function celType(type: RuleType, name = 'selfType'): CelType {
  const { kind, element, fields, schema } = type;
  if (kind === 'list' && element) {
    const listType = schema['x-kubernetes-list-type'];
    return {
      kind, element: celType(element, `${name}.@idx`), maxItems: type.maxElements,
      ...(listType === 'set' || listType === 'map' || listType === 'atomic' ? { listType } : {}),
      ...(schema['x-kubernetes-list-map-keys'] ? { keys: schema['x-kubernetes-list-map-keys'] } : {}),
    };
  }
  if (kind === 'map' && element) return { kind, key: { kind: 'string' }, value: celType(element, `${name}.@elem`), maxItems: type.maxElements };
  if (kind === 'object') {
    const known = new Map<string, CelType>();
    return { kind, name, fields: (field) => {
      const there = fields?.get(field);
      if (!there) return undefined;
      const made = known.get(field) ?? celType(there, `${name}.${field}`);
      known.set(field, made);
      return made;
    } };
  }
  return { kind: kind === 'list' || kind === 'map' ? 'dyn' : kind };
}

/** How large the value at a path of names may be, which starts with the variable. */
export function sizeOf(type: RuleType, path: readonly string[]): { min: number; max: number } | undefined {
  let at: RuleType | undefined = type;
  for (const name of path.slice(1)) {
    if (name === '@keys') return at.kind === 'map' ? { min: 0, max: 0 } : undefined;
    at = name === '@items' || name === '@values' ? at.element : at.fields?.get(name);
    if (!at) return undefined;
  }
  return { min: 0, max: at.maxElements };
}

/** How often a value of the type could be in one request, where nothing around it says. */
export function maxCardinality({ minSize }: RuleType): number {
  return Math.floor(maxRequestBytes / (minSize + 1));
}
