// The rules of the schemas in CustomResourceDefinitions. Upstream: apis/apiextensions/validation/validation.go, from
// validateCustomResourceDefinitionValidation on.
import type { FieldError } from '#machinery/api/status.ts';
import { forbiddenField, invalidField, notSupported, required } from '../../values.ts';
import { validateDefaults } from './default-validation.ts';
import type { RuleCheck } from './default-validation.ts';
import { parseFieldPath } from './field-path.ts';
import { goSchema, isSchemaList, itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema, ValidationRule } from './json-schema.ts';
import { innerScope, rootScope, validateRules } from './rule-validation.ts';
import type { RuleScope } from './rule-validation.ts';
import { ruleBudget, RuleValidator } from './rules.ts';
import { structuralProblem, validateStructural } from './structural.ts';

/** What holds for this write. */
export interface SchemaRules {
  structural: boolean;
  knownTypes: boolean;
  prunedDefaults: boolean;
  /** Items of sets are atomic. */
  atomicSets: boolean;
  /** Keys of lists are there and not null. */
  mapKeys: boolean;
  /** One rule may not cost too much. */
  costs: boolean;
}

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
export const isKnownType = (type: string): boolean => types.includes(type);

/** Members that upstream allows at the root when status is written by itself, under its names for them. */
const rootMembers = ['Description', 'Type', 'Format', 'Title', 'Maximum', 'ExclusiveMaximum', 'Minimum', 'ExclusiveMinimum', 'MaxLength', 'MinLength', 'Pattern', 'MaxItems', 'MinItems',
  'UniqueItems', 'MultipleOf', 'Required', 'Items', 'Properties', 'ExternalDocs', 'Example', 'XPreserveUnknownFields', 'XValidations'];

/** `status`: there is a status subresource. */
export function validateSchema(schema: JsonSchema, path: string, status: boolean, rules: SchemaRules): FieldError[] {
  const errors = status ? validateRootMembers(schema, path) : [];
  if (schema.nullable) errors.push(forbiddenField(`${path}.nullable`, 'nullable cannot be true at the root'));
  const problem = rules.structural ? structuralProblem(schema) : undefined;
  /** Rules of what has no good shape cannot be compiled. */
  let scope: RuleScope | undefined;
  if (rules.structural && problem === undefined) {
    const structural = validateStructural(schema, path);
    const shape = structural.length > 0 ? structural : validateDefaults(schema, path, rules.prunedDefaults, checkDefaultByRules());
    errors.push(...shape);
    if (shape.length === 0) scope = rootScope();
  }
  const found = validateNode(schema, path, { rules, scope, root: true, inMetadata: false, noDefaults: undefined, unfollowed: undefined });
  errors.push(...found.shape, ...found.rules);
  // What is wrong with the shape is told better by the rules above, as a rule.
  if (errors.length === 0 && problem !== undefined) errors.push(invalidField(path, '', problem));
  return [...errors, ...scope?.costs.validate(path) ?? []];
}

/** Rules see a default value as one that was there before, and as a new one. */
function checkDefaultByRules(): RuleCheck {
  const budget = { remaining: ruleBudget };
  return (value, schema, path, resource) => {
    const validator = budget.remaining < 0 ? undefined : RuleValidator.of(schema, resource);
    if (!validator) return [];
    const [known, fresh] = [{ ...budget }, { ...budget }];
    const errors = validator.validate(value, value, path, known);
    if (errors.length === 0) errors.push(...validator.validate(value, undefined, path, fresh));
    budget.remaining = Math.min(known.remaining, fresh.remaining);
    return errors;
  };
}

function validateRootMembers(schema: JsonSchema, path: string): FieldError[] {
  const shown = goSchema(schema) as Record<string, unknown>; // a struct
  for (const [name, value] of Object.entries(shown)) {
    if (value === null || value === '' || value === false) continue;
    if (name === 'Type') {
      if (value !== 'object') return [invalidField(`${path}.type`, value, 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled')];
    } else if (!rootMembers.includes(name)) {
      return [invalidField(path, shown, `only [${rootMembers.join(' ')}] fields are allowed at the root of the schema if the status subresource is enabled`)];
    }
  }
  return [];
}

interface Place {
  readonly rules: SchemaRules;
  readonly root: boolean;
  readonly inMetadata: boolean;
  /** Why there may be no default here: '' for no reason, undefined when there may. */
  readonly noDefaults: string | undefined;
  /** Undefined where there are no rules to compile. */
  readonly scope: RuleScope | undefined;
  /** The outermost schema around whose values cannot be told apart in an old and a new object. */
  readonly unfollowed: string | undefined;
}

/** What is wrong with rules is told after all else, and only where nothing is wrong with the shape. */
interface Found { readonly shape: FieldError[]; readonly rules: FieldError[] }

function validateNode(schema: JsonSchema, path: string, place: Place): Found {
  const errors = validateMembers(schema, path, place);
  const ruleErrors: FieldError[] = [];
  if (schema.uniqueItems) errors.push(forbiddenField(`${path}.uniqueItems`, 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic'));
  const inside: Place = { ...place, root: false, scope: place.scope && innerScope(place.scope, schema) };
  const visit = (one: JsonSchema | undefined, at: string, where = inside): void => {
    if (!one) return;
    const found = validateNode(one, `${path}.${at}`, where);
    errors.push(...found.shape);
    ruleErrors.push(...found.rules);
  };
  const apart: Place = { ...inside, scope: undefined };
  const { additionalProperties, properties } = schema;
  if (additionalProperties !== undefined) {
    if (properties && additionalProperties !== true) errors.push(forbiddenField(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'));
    visit(memberSchema(schema), 'additionalProperties', place.inMetadata ? { ...inside, noDefaults: 'inside additionalProperties applying to object metadata' } : inside);
  }
  for (const [name, property] of properties ?? []) {
    const isMeta = (place.root || schema['x-kubernetes-embedded-resource'] === true) && ['metadata', 'kind', 'apiVersion'].includes(name);
    const at = `properties[${name}]`;
    const known = ['atomic', 'granular', undefined].includes(schema['x-kubernetes-map-type']);
    const member = known ? inside : { ...inside, unfollowed: place.unfollowed ?? path };
    if (!isMeta) visit(property, at, member);
    else visit(property, at, { ...member, inMetadata: true, ...(place.root ? { noDefaults: `in top-level ${name}` } : {}) });
  }
  visit(schema.not, 'not', apart);
  for (const junctor of ['allOf', 'oneOf', 'anyOf'] as const) schema[junctor]?.forEach((one, index) => visit(one, `${junctor}[${index}]`, apart));
  for (const [name, definition] of schema.definitions ?? []) visit(definition, `definitions[${name}]`, apart);
  const items = schema['x-kubernetes-list-type'] === 'map' ? inside : { ...inside, unfollowed: place.unfollowed ?? path };
  if (isSchemaList(schema.items)) schema.items.forEach((one, index) => visit(one, `items[${index}]`, items));
  else visit(schema.items, 'items', items);
  for (const [name, dependency] of schema.dependencies ?? []) if (!Array.isArray(dependency)) visit(dependency as JsonSchema, `dependencies[${name}]`, apart); // a list of names is no schema
  errors.push(...validateExtensions(schema, path, place.rules));
  schema['x-kubernetes-validations']?.forEach((rule, index) => errors.push(...validateRule(rule, schema, `${path}.x-kubernetes-validations[${index}]`)));
  if (errors.length === 0 && place.scope) ruleErrors.push(...validateRules(schema, path, place.scope, place.unfollowed, place.rules.costs));
  return { shape: errors, rules: ruleErrors };
}

function validateMembers(schema: JsonSchema, path: string, { rules, inMetadata, noDefaults }: Place): FieldError[] {
  const errors: FieldError[] = [];
  const { type } = schema;
  if (rules.knownTypes && type !== undefined && !isKnownType(type)) errors.push(notSupported(`${path}.type`, type, types));
  if (schema.default !== undefined && noDefaults !== undefined) errors.push(forbiddenField(`${path}.default`, `must not be set ${noDefaults}`));
  for (const member of ['id', 'additionalItems', 'patternProperties', 'definitions', 'dependencies', '$ref'] as const) {
    if (schema[member] !== undefined) errors.push(forbiddenField(`${path}.${member}`, `${member} is not supported`));
  }
  if (type === 'null') errors.push(forbiddenField(`${path}.type`, 'type cannot be set to null, use nullable as an alternative'));
  if (isSchemaList(schema.items)) errors.push(forbiddenField(`${path}.items`, 'items must be a schema object and not an array'));
  if (inMetadata && schema['x-kubernetes-embedded-resource']) errors.push(forbiddenField(`${path}.x-kubernetes-embedded-resource`, 'must not be used inside of resource meta'));
  return errors;
}

function validateExtensions(schema: JsonSchema, path: string, rules: SchemaRules): FieldError[] {
  const errors: FieldError[] = [];
  const { type = '', 'x-kubernetes-map-type': mapType, 'x-kubernetes-list-type': listType } = schema;
  const mustBe = (expected: string, extension: string): FieldError => {
    const detail = `must be ${expected} if ${extension} is specified`;
    return type === '' ? required(`${path}.type`, detail) : invalidField(`${path}.type`, type, detail);
  };
  if (schema['x-kubernetes-preserve-unknown-fields'] === false) errors.push(invalidField(`${path}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined'));
  if (mapType !== undefined && type !== 'object') errors.push(mustBe('object', 'x-kubernetes-map-type'));
  if (mapType !== undefined && !['atomic', 'granular'].includes(mapType)) errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']));
  if (listType !== undefined && type !== 'array') errors.push(mustBe('array', 'x-kubernetes-list-type'));
  else if (rules.atomicSets) errors.push(...validateSetItems(schema, path));
  if (listType !== undefined && !['atomic', 'set', 'map'].includes(listType)) errors.push(notSupported(`${path}.x-kubernetes-list-type`, listType, ['atomic', 'set', 'map']));
  errors.push(...validateListMap(schema, path));
  if (rules.mapKeys) errors.push(...mapKeyProblems(schema, path));
  return errors;
}

function validateSetItems(schema: JsonSchema, path: string): FieldError[] {
  const item = itemSchema(schema);
  if (schema['x-kubernetes-list-type'] !== 'set' || !item) return [];
  const shown = item['x-kubernetes-list-type'] ?? null; // upstream shows this one for maps too
  const detail = 'must be atomic as item of a list with x-kubernetes-list-type=set';
  if (item.type === 'array' && (shown ?? 'atomic') !== 'atomic') return [invalidField(`${path}.items.x-kubernetes-list-type`, shown, detail)];
  return item.type === 'object' && item['x-kubernetes-map-type'] !== 'atomic' ? [invalidField(`${path}.items.x-kubernetes-map-type`, shown, detail)] : [];
}

function validateListMap(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const listType = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const keysPath = `${path}.x-kubernetes-list-map-keys`;
  if (keys.length > 0 && listType !== 'map') {
    const detail = 'must be map if x-kubernetes-list-map-keys is non-empty';
    errors.push(listType === undefined ? required(`${path}.x-kubernetes-list-type`, detail) : invalidField(`${path}.x-kubernetes-list-type`, listType, detail));
  }
  if (listType !== 'map') return errors;
  if (keys.length === 0) errors.push(required(keysPath, 'must not be empty if x-kubernetes-list-type is map'));
  const item = itemSchema(schema);
  if (schema.items === undefined) errors.push(required(`${path}.items`, 'must have a schema if x-kubernetes-list-type is map'));
  else if (isSchemaList(schema.items)) {
    errors.push(invalidField(`${path}.items`, { Schema: null, JSONSchemas: schema.items.map(goSchema) }, 'must only have a single schema if x-kubernetes-list-type is map'));
  }
  if (item && item.type !== 'object') errors.push(invalidField(`${path}.items.type`, item.type ?? '', "must be object if parent array's x-kubernetes-list-type is map"));
  if (item?.type !== 'object') return errors;
  keys.forEach((key, index) => {
    const property = item.properties?.get(key);
    if (!property) errors.push(invalidField(keysPath, keys, 'entries must all be names of item properties'));
    else if (property.type === 'array' || property.type === 'object') {
      errors.push(invalidField(`${path}.items.properties[${key}].type`, item.type, "must be a scalar type if parent array's x-kubernetes-list-type is map"));
    }
    if (keys.indexOf(key) < index) errors.push(invalidField(keysPath, keys, 'must not contain duplicate entries'));
  });
  return errors;
}

/** Items of sets and maps are never null, their keys are always there. */
export function mapKeyProblems(schema: JsonSchema, path: string): FieldError[] {
  const listType = schema['x-kubernetes-list-type'];
  const item = itemSchema(schema);
  if (!item || (listType !== 'set' && listType !== 'map')) return [];
  const errors: FieldError[] = item.nullable ? [forbiddenField(`${path}.items.nullable`, `cannot be nullable when x-kubernetes-list-type is ${listType}`)] : [];
  if (listType === 'set') return errors;
  for (const key of schema['x-kubernetes-list-map-keys'] ?? []) {
    const property = item.properties?.get(key);
    if (!property) continue;
    const here = `${path}.items.properties[${key}]`;
    if (!item.required?.includes(key) && property.default === undefined) {
      errors.push(required(`${here}.default`, 'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property'));
    }
    if (property.nullable) errors.push(forbiddenField(`${here}.nullable`, 'this property is in x-kubernetes-list-map-keys, so it cannot be nullable'));
  }
  return errors;
}

const reasons = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];
const breaksLine = (text: string): boolean => /[\n\r]/.test(text);

/** All of a rule but its expressions. */
function validateRule(rule: ValidationRule, schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { message = '', messageExpression, reason, fieldPath } = rule;
  if (rule.rule.trim() === '') errors.push(required(`${path}.rule`, 'rule is not specified'));
  else if (message !== '' && message.trim() === '') errors.push(invalidField(`${path}.message`, message, 'must be non-empty if specified'));
  else if (breaksLine(message.trim())) errors.push(invalidField(`${path}.message`, message, 'must not contain line breaks'));
  else if (breaksLine(rule.rule.trim()) && message.trim() === '') errors.push(required(`${path}.message`, 'message must be specified if rule contains line breaks'));
  if (messageExpression?.trim() === '') errors.push(required(`${path}.messageExpression`, 'messageExpression must be non-empty if specified'));
  if (reason !== undefined && !reasons.includes(reason)) errors.push(notSupported(`${path}.reason`, reason, reasons));
  if (fieldPath === undefined) return errors;
  if (fieldPath.trim() === '') errors.push(invalidField(`${path}.fieldPath`, fieldPath, 'must be non-empty if specified'));
  if (breaksLine(fieldPath)) errors.push(invalidField(`${path}.fieldPath`, fieldPath, 'must not contain line breaks'));
  if (structuralProblem(schema) === undefined && 'error' in parseFieldPath(fieldPath, schema)) errors.push(invalidField(`${path}.fieldPath`, fieldPath, 'must be a valid path'));
  return errors;
}
