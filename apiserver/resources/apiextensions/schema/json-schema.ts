// JSON schemas as they stand in CustomResourceDefinitions: read once, so that everything behind can trust their shape. What is
// empty and left out by upstream (`nullable: false`, `required: []`) is absent. Upstream: apiextensions/types_jsonschema.go.
import { entries, isObject, items, objects, strings } from '../../values.ts';

export interface ValidationRule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

/** Members under the names of the wire; `undefined` where there are none. Maps keep the order of the text. */
export interface JsonSchema {
  readonly id?: string | undefined;
  readonly $schema?: string | undefined;
  readonly $ref?: string | undefined;
  readonly description?: string | undefined;
  readonly type?: string | undefined;
  readonly nullable?: true | undefined;
  readonly format?: string | undefined;
  readonly title?: string | undefined;
  readonly default?: unknown;
  readonly maximum?: number | undefined;
  readonly exclusiveMaximum?: true | undefined;
  readonly minimum?: number | undefined;
  readonly exclusiveMinimum?: true | undefined;
  readonly maxLength?: number | undefined;
  readonly minLength?: number | undefined;
  readonly pattern?: string | undefined;
  readonly maxItems?: number | undefined;
  readonly minItems?: number | undefined;
  readonly uniqueItems?: true | undefined;
  readonly multipleOf?: number | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly maxProperties?: number | undefined;
  readonly minProperties?: number | undefined;
  readonly required?: readonly string[] | undefined;
  readonly items?: JsonSchema | readonly JsonSchema[] | undefined;
  readonly allOf?: readonly JsonSchema[] | undefined;
  readonly oneOf?: readonly JsonSchema[] | undefined;
  readonly anyOf?: readonly JsonSchema[] | undefined;
  readonly not?: JsonSchema | undefined;
  readonly properties?: ReadonlyMap<string, JsonSchema> | undefined;
  readonly additionalProperties?: JsonSchema | boolean | undefined;
  readonly patternProperties?: ReadonlyMap<string, JsonSchema> | undefined;
  readonly dependencies?: ReadonlyMap<string, JsonSchema | readonly string[]> | undefined;
  readonly additionalItems?: JsonSchema | boolean | undefined;
  readonly definitions?: ReadonlyMap<string, JsonSchema> | undefined;
  readonly externalDocs?: { readonly description?: string; readonly url?: string } | undefined;
  readonly example?: unknown;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean | undefined;
  readonly 'x-kubernetes-embedded-resource'?: true | undefined;
  readonly 'x-kubernetes-int-or-string'?: true | undefined;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[] | undefined;
  readonly 'x-kubernetes-list-type'?: string | undefined;
  readonly 'x-kubernetes-map-type'?: string | undefined;
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[] | undefined;
}

type Reader = (value: unknown) => unknown;

const textMember: Reader = (value) => (typeof value === 'string' && value !== '' ? value : undefined);
const textPointer: Reader = (value) => (typeof value === 'string' ? value : undefined);
const flag: Reader = (value) => (value === true ? true : undefined);
const flagPointer: Reader = (value) => (typeof value === 'boolean' ? value : undefined);
const number: Reader = (value) => (typeof value === 'number' ? value : undefined);
const json: Reader = (value) => (value === null ? undefined : value);
const unlessEmpty = <T>(list: readonly T[]): readonly T[] | undefined => (list.length === 0 ? undefined : list);
const texts: Reader = (value) => unlessEmpty(strings(value));
const values: Reader = (value) => unlessEmpty(items(value));
const schemas: Reader = (value) => unlessEmpty(objects(value).map(read));
const schema: Reader = (value) => readSchema(value);
const schemaOrBool: Reader = (value) => (typeof value === 'boolean' ? value : readSchema(value));
const schemaOrSchemas: Reader = (value) => (Array.isArray(value) ? schemas(value) : readSchema(value));
const mapOf = (reader: Reader): Reader => (value) => {
  const members = entries(value);
  return members.length === 0 ? undefined : new Map(members.map(([name, member]) => [name, reader(member)]));
};
const schemaMap = mapOf((value) => readSchema(value) ?? {});
const rules: Reader = (value) => unlessEmpty(objects(value).map((rule): ValidationRule => ({ rule: '', ...readMembers<Partial<ValidationRule>>(rule, ruleMembers) })));

type Member = readonly [name: string, reader: Reader, goName: string, zero: unknown];
const ruleMembers: readonly Member[] = [
  ['rule', textPointer, 'Rule', ''], ['message', textMember, 'Message', ''], ['messageExpression', textMember, 'MessageExpression', ''],
  ['reason', textPointer, 'Reason', null], ['fieldPath', textMember, 'FieldPath', ''], ['optionalOldSelf', flagPointer, 'OptionalOldSelf', null],
];
/** In the order of upstream's internal struct, which shows in some errors. */
const schemaMembers: readonly Member[] = [
  ['id', textMember, 'ID', ''], ['$schema', textMember, 'Schema', ''], ['$ref', textPointer, 'Ref', null], ['description', textMember, 'Description', ''],
  ['type', textMember, 'Type', ''], ['nullable', flag, 'Nullable', false], ['format', textMember, 'Format', ''], ['title', textMember, 'Title', ''],
  ['default', json, 'Default', null], ['maximum', number, 'Maximum', null], ['exclusiveMaximum', flag, 'ExclusiveMaximum', false],
  ['minimum', number, 'Minimum', null], ['exclusiveMinimum', flag, 'ExclusiveMinimum', false], ['maxLength', number, 'MaxLength', null],
  ['minLength', number, 'MinLength', null], ['pattern', textMember, 'Pattern', ''], ['maxItems', number, 'MaxItems', null], ['minItems', number, 'MinItems', null],
  ['uniqueItems', flag, 'UniqueItems', false], ['multipleOf', number, 'MultipleOf', null], ['enum', values, 'Enum', null],
  ['maxProperties', number, 'MaxProperties', null], ['minProperties', number, 'MinProperties', null], ['required', texts, 'Required', null],
  ['items', schemaOrSchemas, 'Items', null], ['allOf', schemas, 'AllOf', null], ['oneOf', schemas, 'OneOf', null], ['anyOf', schemas, 'AnyOf', null],
  ['not', schema, 'Not', null], ['properties', schemaMap, 'Properties', null], ['additionalProperties', schemaOrBool, 'AdditionalProperties', null],
  ['patternProperties', schemaMap, 'PatternProperties', null],
  ['dependencies', mapOf((value) => (Array.isArray(value) ? strings(value) : readSchema(value) ?? [])), 'Dependencies', null],
  ['additionalItems', schemaOrBool, 'AdditionalItems', null], ['definitions', schemaMap, 'Definitions', null],
  ['externalDocs', (value) => (isObject(value) ? value : undefined), 'ExternalDocs', null], ['example', json, 'Example', null],
  ['x-kubernetes-preserve-unknown-fields', flagPointer, 'XPreserveUnknownFields', null], ['x-kubernetes-embedded-resource', flag, 'XEmbeddedResource', false],
  ['x-kubernetes-int-or-string', flag, 'XIntOrString', false], ['x-kubernetes-list-map-keys', texts, 'XListMapKeys', null],
  ['x-kubernetes-list-type', textPointer, 'XListType', null], ['x-kubernetes-map-type', textPointer, 'XMapType', null],
  ['x-kubernetes-validations', rules, 'XValidations', null],
];

/** Undefined for what is no object. */
export function readSchema(value: unknown): JsonSchema | undefined {
  return isObject(value) ? read(value) : undefined;
}
function read(value: Record<string, unknown>): JsonSchema {
  return readMembers(value, schemaMembers);
}
function readMembers<T>(value: Record<string, unknown>, members: readonly Member[]): T {
  const made: Record<string, unknown> = {};
  for (const [name, reader] of members) {
    const given = value[name];
    if (given === undefined || !Object.hasOwn(value, name)) continue;
    const member = reader(given);
    if (member !== undefined) made[name] = member;
  }
  return made as T; // each reader answers the type of its member
}

/** The one schema of all items; undefined also where there is one for each. */
export function itemSchema({ items }: JsonSchema): JsonSchema | undefined {
  return items !== undefined && !isSchemaList(items) ? items : undefined;
}
export function isSchemaList(items: JsonSchema | readonly JsonSchema[] | undefined): items is readonly JsonSchema[] {
  return Array.isArray(items);
}
/** The schema of members without a name of their own. */
export function memberSchema({ additionalProperties }: JsonSchema): JsonSchema | undefined {
  return typeof additionalProperties === 'object' ? additionalProperties : undefined;
}

/** Whether a schema or any inside it is one of those asked for. */
export function someSchema(schema: JsonSchema | undefined, predicate: (schema: JsonSchema) => boolean): boolean {
  if (schema === undefined) return false;
  const some = (one: JsonSchema | undefined): boolean => someSchema(one, predicate);
  const { items, additionalItems } = schema;
  return predicate(schema)
    || (isSchemaList(items) ? items.some(some) : some(items))
    || [...schema.allOf ?? [], ...schema.anyOf ?? [], ...schema.oneOf ?? []].some(some)
    || some(schema.not)
    || [schema.properties, schema.patternProperties, schema.definitions].some((map) => [...map?.values() ?? []].some(some))
    || some(memberSchema(schema)) || (typeof additionalItems === 'object' && some(additionalItems))
    || [...schema.dependencies?.values() ?? []].some((one) => !Array.isArray(one) && some(one as JsonSchema)); // a list of names is no schema
}

/** As upstream shows a schema in an error: its internal struct with every member. */
export function goSchema(schema: JsonSchema | undefined): unknown {
  return schema === undefined ? null : goStruct(schema, schemaMembers, (name, value) => {
    switch (name) {
      case 'items': return { Schema: isSchemaList(schema.items) ? null : goSchema(schema.items), JSONSchemas: isSchemaList(schema.items) ? schema.items.map(goSchema) : null };
      case 'not': return goSchema(schema.not);
      case 'allOf': case 'oneOf': case 'anyOf': return schema[name]?.map(goSchema);
      case 'properties': case 'patternProperties': case 'definitions': return goMap(schema[name], goSchema);
      case 'dependencies': return goMap(schema.dependencies, (one) => (Array.isArray(one) ? { Schema: null, Property: one } : { Schema: goSchema(one as JsonSchema), Property: null }));
      case 'additionalProperties': case 'additionalItems': {
        const given = schema[name];
        return { Allows: given !== false, Schema: typeof given === 'object' ? goSchema(given) : null };
      }
      case 'externalDocs': return { Description: schema.externalDocs?.description ?? '', URL: schema.externalDocs?.url ?? '' };
      case 'x-kubernetes-validations': return schema[name]?.map(goRule);
      default: return value;
    }
  });
}
export function goRule(rule: ValidationRule): unknown {
  return goStruct(rule, ruleMembers, (_, value) => value);
}
function goStruct(value: object, members: readonly Member[], show: (name: string, value: unknown) => unknown): unknown {
  const given = value as Record<string, unknown>;
  return Object.fromEntries(members.map(([name, , goName, zero]) => [goName, given[name] === undefined ? zero : show(name, given[name])]));
}
/** Go prints maps in the order of their keys. */
function goMap<T>(map: ReadonlyMap<string, T> | undefined, show: (value: T) => unknown): unknown {
  return Object.fromEntries([...map ?? []].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [name, show(value)]));
}
/** A value with its members in the order in which Go prints them. */
export function goOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(goOrder);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, goOrder(one)]));
}
