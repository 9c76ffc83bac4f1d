// What makes a schema structural: every value has a type that does not depend on the value, and what is checked under allOf, anyOf,
// oneOf and not is specified outside of them too. Upstream: apiserver/schema/{convert,validation,complete}.go.
import type { FieldError } from '#machinery/api/status.ts';
import { fieldErrorBody } from '#machinery/api/status.ts';
import { forbiddenField, invalidField, required } from '../../values.ts';
import { goRegexp } from './go-regexp.ts';
import { isSchemaList, itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

/** Why a schema cannot even be read as a structural one; undefined when it can. */
export function structuralProblem(schema: JsonSchema): string | undefined {
  const unsupported = unsupportedMember(schema);
  if (unsupported !== undefined) return `OpenAPIV3Schema '${unsupported}' is not supported`;
  for (const one of [schema.not, ...schema.allOf ?? [], ...schema.anyOf ?? [], ...schema.oneOf ?? []]) {
    const problem = one && structuralProblem(one);
    if (problem !== undefined) return problem;
  }
  if (schema['x-kubernetes-preserve-unknown-fields'] === false) return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
  if (isSchemaList(schema.items)) return "OpenAPIV3Schema 'items' must be a schema, but is an array";
  for (const one of [schema.items, ...schema.properties?.values() ?? [], memberSchema(schema)]) {
    const problem = one && structuralProblem(one);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
function unsupportedMember(schema: JsonSchema): string | undefined {
  if (schema.id !== undefined) return 'id';
  if (schema.$schema !== undefined) return 'schema';
  if (schema.$ref !== undefined && schema.$ref !== '') return '$ref';
  if (schema.patternProperties !== undefined) return 'patternProperties';
  if (schema.dependencies !== undefined) return 'dependencies';
  if (schema.additionalItems !== undefined) return 'additionalItems';
  return schema.definitions === undefined ? undefined : 'definitions';
}

/** Of a schema without `structuralProblem`; sorted, as upstream's. */
export function validateStructural(schema: JsonSchema, path: string): FieldError[] {
  const errors = [...invariants(schema, 'root', path), ...completeness(schema, schema, path, path)];
  const keyed = errors.map((error) => [`${error.field}: ${fieldErrorBody(error)}`, error] as const);
  return keyed.toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))).map(([, error]) => error);
}

type Level = 'root' | 'item' | 'field';
const emptyType = {
  root: 'must not be empty at the root', item: 'must not be empty for specified array items', field: 'must not be empty for specified object fields',
} as const;

function invariants(schema: JsonSchema, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { type = '', properties } = schema;
  const item = itemSchema(schema);
  const embedded = schema['x-kubernetes-embedded-resource'] === true;
  const preserves = schema['x-kubernetes-preserve-unknown-fields'] === true;
  const intOrString = schema['x-kubernetes-int-or-string'] === true;
  if (type === 'array' && !item) errors.push(required(`${path}.items`, 'must be specified'));
  if (item) errors.push(...invariants(item, 'item', `${path}.items`));
  for (const [name, property] of properties ?? []) errors.push(...invariants(property, 'field', `${path}.properties[${name}]`));
  if (schema.additionalProperties !== undefined) {
    if (level === 'root') errors.push(forbiddenField(`${path}.additionalProperties`, 'must not be used at the root'));
    const member = memberSchema(schema);
    if (member) errors.push(...invariants(member, 'field', `${path}.additionalProperties`));
  }
  if (intOrString && preserves) errors.push(invalidField(`${path}.x-kubernetes-preserve-unknown-fields`, true, 'must be false if x-kubernetes-int-or-string is true'));
  if (intOrString && embedded) errors.push(invalidField(`${path}.x-kubernetes-embedded-resource`, true, 'must be false if x-kubernetes-int-or-string is true'));
  errors.push(...valueValidation(schema, { anyOf: isIntOrString(schema.anyOf), firstAllOf: isIntOrString(schema.allOf?.[0]?.anyOf) }, path));

  if (embedded && type !== 'object') {
    const detail = 'must be object if x-kubernetes-embedded-resource is true';
    errors.push(type === '' ? required(`${path}.type`, detail) : invalidField(`${path}.type`, type, detail));
  } else if (type === '' && !intOrString && !preserves) {
    errors.push(required(`${path}.type`, emptyType[level]));
  }
  if (embedded && schema.additionalProperties !== undefined) {
    errors.push(forbiddenField(`${path}.additionalProperties`, 'must not be used if x-kubernetes-embedded-resource is set'));
  }
  if (level === 'root' && type !== '' && type !== 'object') errors.push(invalidField(`${path}.type`, type, 'must be object at the root'));
  const isResource = level === 'root' || embedded;
  for (const name of ['kind', 'apiVersion']) {
    const property = properties?.get(name);
    if (isResource && property && property.type !== 'string') errors.push(invalidField(`${path}.properties[${name}].type`, property.type ?? '', 'must be string'));
  }
  const metadata = properties?.get('metadata');
  if (metadata) errors.push(...metadataInvariants(metadata, isResource, level, `${path}.properties[metadata]`));
  if (embedded && !preserves && properties === undefined) {
    errors.push(required(`${path}.properties`, 'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields'));
  }
  return errors;
}

/** Metadata has a schema of its own; only names may be bound further, and only at the root. */
function metadataInvariants(metadata: JsonSchema, isResource: boolean, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isResource && metadata.type !== 'object') errors.push(invalidField(`${path}.type`, metadata.type ?? '', 'must be object'));
  if (level !== 'root') return errors;
  const onlyNames = [...metadata.properties?.keys() ?? []].every((name) => name === 'name' || name === 'generateName');
  const others = Object.keys(metadata).filter((member) => !['type', 'default', 'properties'].includes(member));
  if (!onlyNames || others.length > 0) {
    errors.push(forbiddenField(path, 'must not specify anything other than name and generateName, but metadata is implicitly specified'));
  }
  return errors;
}

/** `anyOf: [{type: integer}, {type: string}]`, the one place where types may depend on the value. */
function isIntOrString(anyOf: readonly JsonSchema[] | undefined): boolean {
  return anyOf?.length === 2 && ['integer', 'string'].every((type, index) => anyOf[index]?.type === type && Object.keys(anyOf[index] ?? {}).length === 1);
}

interface Exempt { anyOf: boolean; firstAllOf: boolean }
const nothing: Exempt = { anyOf: false, firstAllOf: false };

function valueValidation(schema: JsonSchema, exempt: Exempt, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!exempt.anyOf) schema.anyOf?.forEach((one, index) => errors.push(...nested(one, nothing, `${path}.anyOf[${index}]`)));
  schema.allOf?.forEach((one, index) => errors.push(...nested(one, { anyOf: exempt.firstAllOf && index === 0, firstAllOf: false }, `${path}.allOf[${index}]`)));
  schema.oneOf?.forEach((one, index) => errors.push(...nested(one, nothing, `${path}.oneOf[${index}]`)));
  if (schema.not) errors.push(...nested(schema.not, nothing, `${path}.not`));
  if (schema.pattern !== undefined) {
    const compiled = goRegexp(schema.pattern);
    if ('error' in compiled) errors.push(invalidField(`${path}.pattern`, schema.pattern, `must be a valid regular expression, but isn't: ${compiled.error}`));
  }
  return errors;
}

const forbiddenInside = [
  ['default', 'must be undefined to be structural'], ['title', 'must be empty to be structural'], ['description', 'must be empty to be structural'],
  ['nullable', 'must be false to be structural'], ['x-kubernetes-preserve-unknown-fields', 'must be false to be structural'],
  ['x-kubernetes-embedded-resource', 'must be false to be structural'], ['x-kubernetes-int-or-string', 'must be false to be structural'],
  ['x-kubernetes-list-map-keys', 'must be empty to be structural'], ['x-kubernetes-list-type', 'must be undefined to be structural'],
  ['x-kubernetes-map-type', 'must be undefined to be structural'], ['x-kubernetes-validations', 'must be empty to be structural'],
] as const;

function nested(schema: JsonSchema, exempt: Exempt, path: string): FieldError[] {
  const errors = valueValidation(schema, exempt, path);
  const item = itemSchema(schema);
  if (item) errors.push(...nested(item, nothing, `${path}.items`));
  for (const [name, property] of schema.properties ?? []) errors.push(...nested(property, nothing, `${path}.properties[${name}]`));
  if (schema.type !== undefined) errors.push(forbiddenField(`${path}.type`, 'must be empty to be structural'));
  if (schema.additionalProperties !== undefined && schema.additionalProperties !== false) {
    errors.push(forbiddenField(`${path}.additionalProperties`, 'must be undefined to be structural'));
  }
  for (const [member, detail] of forbiddenInside) if (schema[member] !== undefined) errors.push(forbiddenField(`${path}.${member}`, detail));
  if (schema.properties?.has('metadata')) errors.push(forbiddenField(`${path}.properties[metadata]`, 'must not be specified in a nested context'));
  return errors;
}

/** What is checked somewhere is specified in `counterpart`, which stands at `path`. */
function completeness(schema: JsonSchema, counterpart: JsonSchema, path: string, from: string): FieldError[] {
  const errors: FieldError[] = schema.not ? nestedCompleteness(schema.not, counterpart, path, `${from}.not`) : [];
  for (const junctor of ['allOf', 'anyOf', 'oneOf'] as const) {
    schema[junctor]?.forEach((one, index) => errors.push(...nestedCompleteness(one, counterpart, path, `${from}.${junctor}[${index}]`)));
  }
  return errors;
}
function nestedCompleteness(schema: JsonSchema, counterpart: JsonSchema | undefined, path: string, from: string): FieldError[] {
  if (!counterpart) return [required(path, `because it is defined in ${from}`)];
  const errors = completeness(schema, counterpart, path, from);
  const item = itemSchema(schema);
  if (item) errors.push(...nestedCompleteness(item, itemSchema(counterpart), `${path}.items`, `${from}.items`));
  for (const [name, property] of schema.properties ?? []) {
    errors.push(...nestedCompleteness(property, counterpart.properties?.get(name), `${path}.properties[${name}]`, `${from}.properties[${name}]`));
  }
  return errors;
}
