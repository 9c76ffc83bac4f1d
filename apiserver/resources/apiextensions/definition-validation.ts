// The rules of CustomResourceDefinitions but for their schemas: names, versions, columns, selectable fields, scale, conversion, status.
// Updates spare what was stored before a rule came. Upstream: apis/apiextensions/validation/validation.go.
import { dns1035LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateClientConfig } from '../admissionregistration/webhooks.ts';
import { trustProblem } from '../certificates/pem.ts';
import { asObject, at, duplicate, forbiddenField, invalidAll, invalidField, notSupported, required, same, strings, text, tooMany, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { goVersions, hasCondition, readDefinition, schemaOfVersion, schemasOf, storedVersions } from './definition.ts';
import type { Definition, Version, VersionParts } from './definition.ts';
import { validateDefinitionStatus, validateNames } from './names-validation.ts';
import { hasUnprunedDefaults } from './schema/default-validation.ts';
import { parseFieldPath } from './schema/field-path.ts';
import { isKnownFormat } from './schema/formats.ts';
import { goSchema, itemSchema, someSchema } from './schema/json-schema.ts';
import type { JsonSchema } from './schema/json-schema.ts';
import { isKnownType, mapKeyProblems, validateSchema } from './schema/schema-validation.ts';
import type { SchemaRules } from './schema/schema-validation.ts';
import { structuralProblem, validateStructural } from './schema/structural.ts';

const reviewVersions = ['v1', 'v1beta1'];
const mostSelectableFields = 8;

/** What holds for this write; on updates, rules that the stored definition is against already do not. */
interface Rules extends SchemaRules {
  schemas: boolean;
  knownReviewVersion: boolean;
  fixedNames: boolean;
  caBundle: boolean;
  /** Versions (or '' for all) with more selectable fields than they may have, as they had before. */
  manySelectableFields: ReadonlySet<string>;
  /** Versions whose schema is as it was: what its rules cost was accepted once. */
  sameSchemas: ReadonlySet<string>;
}
const strict: Rules = {
  schemas: true, structural: true, knownTypes: true, prunedDefaults: true, atomicSets: true, mapKeys: true, costs: true,
  knownReviewVersion: true, fixedNames: false, caBundle: false, manySelectableFields: new Set(), sameSchemas: new Set(),
};

export function validateDefinition(object: Readonly<KubeObject>, old: Readonly<KubeObject> | undefined): FieldError[] {
  const definition = readDefinition(object);
  const before = old && readDefinition(old);
  const rules = before && old ? rulesOfUpdate(definition, before, old) : strict;
  return [
    ...validateSpec(definition, rules),
    ...(before ? validateChange(definition, before, rules) : []),
    ...validateDefinitionStatus(object),
    ...validateStoredVersions(object, definition.versions),
    ...validateApproval(definition.group, object, old),
    ...(definition.preserveUnknownFields && !before?.preserveUnknownFields
      ? [invalidField('spec.preserveUnknownFields', true, 'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead')] : []),
  ];
}

function rulesOfUpdate(definition: Definition, before: Definition, old: Readonly<KubeObject>): Rules {
  const schemas = schemasOf(before);
  const none = (predicate: (schema: JsonSchema) => boolean): boolean => !schemas.some((schema) => someSchema(schema, predicate));
  const established = hasCondition(old, 'Established');
  const bundle = text(at(before.conversion, 'webhook', 'clientConfig', 'caBundle'));
  const versions = strings(at(before.conversion, 'webhook', 'conversionReviewVersions'));
  return {
    schemas: before.validation?.schema !== undefined || before.versions.every(({ validation }) => validation?.schema !== undefined),
    structural: schemas.every(isStructural),
    knownTypes: none(({ type }) => type !== undefined && !isKnownType(type)),
    prunedDefaults: schemas.every((schema) => !someSchema(schema, hasDefault) || !isStructural(schema) || !hasUnprunedDefaults(schema)),
    atomicSets: none(isGranularSet),
    mapKeys: none((schema) => mapKeyProblems(schema, '').length > 0),
    costs: true,
    knownReviewVersion: versions.length === 0 || versions.some((version) => reviewVersions.includes(version)),
    fixedNames: established,
    caBundle: established && (bundle === '' || trustProblem(bundle) === undefined),
    manySelectableFields: manyBefore(definition, before),
    sameSchemas: new Set(definition.versions.map(({ name }) => name).filter((name) =>
      before.versions.some((version) => version.name === name) && sameSchema(schemaOfVersion(definition, name), schemaOfVersion(before, name)))),
  };
}
const sameSchema = (a: JsonSchema | undefined, b: JsonSchema | undefined): boolean => JSON.stringify(goSchema(a)) === JSON.stringify(goSchema(b));
const hasDefault = (schema: JsonSchema): boolean => schema.default !== undefined;
function isStructural(schema: JsonSchema): boolean {
  return structuralProblem(schema) === undefined && validateStructural(schema, '').length === 0;
}
function isGranularSet(schema: JsonSchema): boolean {
  const item = itemSchema(schema);
  if (schema['x-kubernetes-list-type'] !== 'set' || !item) return false;
  if (item.type === 'array') return (item['x-kubernetes-list-type'] ?? 'atomic') !== 'atomic';
  return item.type === 'object' && item['x-kubernetes-map-type'] !== 'atomic';
}
function manyBefore(definition: Definition, before: Definition): Set<string> {
  const made = new Set<string>();
  const many = (now: readonly Obj[], then: readonly Obj[]): boolean => then.length > mostSelectableFields && same(now, then);
  if (many(definition.selectableFields, before.selectableFields)) made.add('');
  for (const { name, selectableFields } of definition.versions) {
    if (many(selectableFields, before.versions.find((version) => version.name === name)?.selectableFields ?? [])) made.add(name);
  }
  return made;
}

function validateSpec(definition: Definition, given: Rules): FieldError[] {
  const { group, scope, names, versions, preserveUnknownFields } = definition;
  const schemas = schemasOf(definition);
  const has = (predicate: (schema: JsonSchema) => boolean): boolean => schemas.some((schema) => someSchema(schema, predicate));
  const rules = { ...given, structural: given.structural || !preserveUnknownFields || has(hasDefault) || has(hasExtension) };
  const errors = [...validateGroup(group), ...validateChoice('spec.scope', scope, ['Cluster', 'Namespaced'])];
  if (definition.validation?.schema === undefined) {
    const detail = rules.schemas ? undefined : 'because otherwise all fields are pruned';
    versions.forEach((version, index) => {
      if (version.validation?.schema !== undefined || (!rules.schemas && (preserveUnknownFields || !version.served))) return;
      errors.push(required(`spec.versions[${index}].schema.openAPIV3Schema`, detail));
    });
  }
  if (preserveUnknownFields && has(hasDefault)) errors.push(invalidField('spec.preserveUnknownFields', true, 'must be false in order to use defaults in the schema'));

  const perVersion = versions.some(({ subresources }) => subresources);
  versions.forEach((version, index) => {
    const here = `spec.versions[${index}]`;
    const wrong = dns1035LabelErrors(version.name);
    if (wrong.length > 0) errors.push(invalidField(`${here}.name`, version.name, wrong.join(',')));
    const { subresources } = perVersion ? versions.find(({ name }) => name === version.name) ?? version : definition;
    errors.push(
      ...validateDeprecation(version, `${here}.deprecationWarning`),
      ...validateParts(version, version.name, `${here}`, 'schema', at(subresources, 'status') !== undefined, rules),
    );
  });
  errors.push(...validateVersions(definition), ...validateNames(names));
  const anyStatus = [definition, ...versions].some(({ subresources }) => at(subresources, 'status') !== undefined);
  errors.push(...validateParts(definition, '', 'spec', 'validation', anyStatus, rules, definition.version), ...validateConversion(definition, rules));
  return errors;
}
function hasExtension(schema: JsonSchema): boolean {
  return (['x-kubernetes-embedded-resource', 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-int-or-string', 'x-kubernetes-list-map-keys', 'x-kubernetes-list-type',
    'x-kubernetes-validations'] as const).some((name) => schema[name] !== undefined);
}

function validateGroup(group: string): FieldError[] {
  if (group === '') return [required('spec.group')];
  const wrong = dns1123SubdomainErrors(group);
  if (wrong.length > 0) return [invalidField('spec.group', group, wrong.join(','))];
  return group.includes('.') ? [] : [invalidField('spec.group', group, 'should be a domain with at least one dot')];
}
function validateChoice(path: string, value: string, values: readonly string[]): FieldError[] {
  if (value === '') return [required(path)];
  return values.includes(value) ? [] : [notSupported(path, value, values)];
}

function validateVersions(definition: Definition): FieldError[] {
  const { versions } = definition;
  const errors: FieldError[] = [];
  const shown = (detail: string): FieldError => invalidField('spec.versions', goVersions(definition), detail);
  if (new Set(versions.map(({ name }) => name)).size < versions.length) errors.push(shown('must contain unique version names'));
  if (versions.filter(({ storage }) => storage).length !== 1) errors.push(shown('must have exactly one version marked as storage version'));
  const [first] = versions;
  if (first && first.name !== '') {
    const wrong = dns1035LabelErrors(first.name);
    if (wrong.length > 0) errors.push(invalidField('spec.version', first.name, wrong.join(',')));
  }
  return errors;
}

function validateDeprecation({ deprecated, deprecationWarning }: Version, path: string): FieldError[] {
  if (deprecationWarning === undefined) return [];
  if (!deprecated) return [invalidField(path, deprecationWarning, 'can only be set for deprecated versions')];
  const wrong: string[] = [];
  if (Buffer.byteLength(deprecationWarning) > 256) wrong.push('must be <= 256 characters long');
  if (deprecationWarning === '') wrong.push('must not be an empty string');
  const strange = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.exec(deprecationWarning);
  if (strange) wrong.push(`must only contain printable UTF-8 characters; non-printable character found at index ${Buffer.byteLength(deprecationWarning.slice(0, strange.index))}`);
  return invalidAll(path, deprecationWarning, wrong);
}

/** Schema, subresources, columns and selectable fields, of one version or (without a name) of all, which go by the `first`. */
function validateParts(parts: VersionParts, version: string, path: string, schemaField: string, status: boolean, rules: Rules, first = version): FieldError[] {
  const { validation, subresources, columns, selectableFields } = parts;
  const accepted = rules.sameSchemas.has(version === '' ? first : version);
  const errors: FieldError[] = [];
  if (validation?.schema) errors.push(...validateSchema(validation.schema, `${path}.${schemaField}.openAPIV3Schema`, status, { ...rules, costs: rules.costs && !accepted }));
  if (subresources) errors.push(...validateSubresources(subresources, `${path}.subresources`));
  columns.forEach((column, index) => errors.push(...validateColumn(column, `${path}.additionalPrinterColumns[${index}]`)));
  if (selectableFields.length === 0) return errors;
  const here = `${path}.selectableFields`;
  if (version === '' ? validation === undefined : validation?.schema === undefined) {
    return [...errors, invalidField(here, '', version === '' ? 'may only be set when validations.schema is included' : 'may only be set when `version.schema.openAPIV3Schema` is not included')];
  }
  const problem = validation?.schema && structuralProblem(validation.schema);
  if (problem !== undefined) errors.push(invalidField(`${path}.schema.openAPIV3Schema`, '', problem));
  return [...errors, ...validateSelectableFields(selectableFields, problem === undefined ? validation?.schema : undefined, here, rules.manySelectableFields.has(version))];
}

function validateSubresources(subresources: Obj, path: string): FieldError[] {
  const scale = asObject(subresources['scale']);
  if (!scale) return [];
  const check = (field: string, prefixes: readonly string[], detail: string): FieldError[] => {
    const [here, value] = [`${path}.scale.${field}`, text(scale[field])];
    if (value === '') return field === 'labelSelectorPath' ? [] : [required(here)];
    if (!value.startsWith('.')) return [invalidField(here, value, 'must be a simple json path starting with .')];
    return prefixes.some((prefix) => value.startsWith(prefix)) ? [] : [invalidField(here, value, detail)];
  };
  return [
    ...check('specReplicasPath', ['.spec.'], 'should be a json path under .spec'),
    ...check('statusReplicasPath', ['.status.'], 'should be a json path under .status'),
    ...check('labelSelectorPath', ['.spec.', '.status.'], 'should be a json path under either .spec or .status'),
  ];
}

const columnTypes = ['boolean', 'date', 'integer', 'number', 'string'];
const columnFormats = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

function validateColumn(column: Obj, path: string): FieldError[] {
  const [name, type, format, jsonPath] = ['name', 'type', 'format', 'jsonPath'].map((field) => text(column[field]));
  const errors: FieldError[] = [];
  if (!name) errors.push(required(`${path}.name`));
  const types = `must be one of ${columnTypes.join(',')}`;
  if (!type) errors.push(required(`${path}.type`, types));
  else if (!columnTypes.includes(type)) errors.push(invalidField(`${path}.type`, type, types));
  if (format && !columnFormats.includes(format)) errors.push(invalidField(`${path}.format`, format, `must be one of ${columnFormats.join(',')}`));
  if (!jsonPath) errors.push(required(`${path}.JSONPath`));
  else if (!jsonPath.startsWith('.')) errors.push(invalidField(`${path}.JSONPath`, jsonPath, 'must be a simple json path starting with .'));
  return errors;
}

function validateSelectableFields(fields: readonly Obj[], schema: JsonSchema | undefined, path: string, anyNumber: boolean): FieldError[] {
  const seen = new Set<string>();
  const errors = fields.flatMap((field, index) => {
    const [here, jsonPath] = [`${path}[${index}].jsonPath`, text(field['jsonPath'])];
    if (jsonPath === '') return [required(here)];
    const parsed = parseFieldPath(jsonPath, schema, false);
    if ('error' in parsed) return [invalidField(here, jsonPath, `is an invalid path: ${parsed.error}`)];
    const wrong: FieldError[] = [];
    if (parsed.root === 'metadata') wrong.push(invalidField(here, jsonPath, 'must not point to fields in metadata'));
    if (!['string', 'boolean', 'integer'].includes(parsed.schema?.type ?? '')) {
      wrong.push(invalidField(here, jsonPath, 'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.'));
    }
    if (seen.has(parsed.text)) wrong.push(duplicate(here, jsonPath));
    seen.add(parsed.text);
    return wrong;
  });
  if (seen.size > mostSelectableFields && !anyNumber) errors.push(tooMany(path, seen.size, mostSelectableFields));
  return errors;
}

function validateConversion({ conversion, preserveUnknownFields }: Definition, rules: Rules): FieldError[] {
  if (!conversion) return [];
  const strategy = text(conversion['strategy']);
  const errors: FieldError[] = [];
  if (strategy !== 'None' && preserveUnknownFields) errors.push(invalidField('spec.conversion.strategy', strategy, 'must be None if spec.preserveUnknownFields is true'));
  errors.push(...validateChoice('spec.conversion.strategy', strategy, ['None', 'Webhook']));
  const path = 'spec.conversion.webhookClientConfig';
  const config = asObject(at(conversion, 'webhook', 'clientConfig'));
  const versions = strings(at(conversion, 'webhook', 'conversionReviewVersions'));
  const versionsPath = 'spec.conversion.conversionReviewVersions';
  if (strategy !== 'Webhook') {
    if (config) errors.push(forbiddenField(path, 'should not be set when strategy is not set to Webhook'));
    if (versions.length > 0) errors.push(forbiddenField(versionsPath, 'should not be set when strategy is not set to Webhook'));
    return errors;
  }
  if (!config) errors.push(required(path, 'required when strategy is set to Webhook'));
  else {
    errors.push(...validateClientConfig(config, path));
    const bundle = text(config['caBundle']);
    const problem = bundle !== '' && rules.caBundle ? trustProblem(bundle) : undefined;
    if (problem !== undefined) errors.push(invalidField(`${path}.caBundle`, bundle, problem));
  }
  if (versions.length === 0) return [...errors, required(versionsPath)];
  versions.forEach((version, index) => {
    errors.push(...(versions.indexOf(version) < index ? [invalidField(`${versionsPath}[${index}]`, version, 'duplicate version')]
      : invalidAll(`${versionsPath}[${index}]`, version, dns1035LabelErrors(version))));
  });
  if (rules.knownReviewVersion && !versions.some((version) => reviewVersions.includes(version))) {
    errors.push(invalidField(versionsPath, versions, `must include at least one of ${reviewVersions.join(', ')}`));
  }
  return errors;
}

function validateChange(definition: Definition, before: Definition, { fixedNames }: Rules): FieldError[] {
  return [
    ...(fixedNames ? [...unchanged('spec.scope', definition.scope, before.scope), ...unchanged('spec.names.kind', text(definition.names['kind']), text(before.names['kind']))] : []),
    ...unchanged('spec.group', definition.group, before.group),
    ...unchanged('spec.names.plural', text(definition.names['plural']), text(before.names['plural'])),
  ];
}

function validateStoredVersions(object: Readonly<KubeObject>, versions: readonly Version[]): FieldError[] {
  const path = 'status.storedVersions';
  const stored = storedVersions(object);
  if (stored.length === 0) return [invalidField(path, null, 'must have at least one stored version')];
  const left = new Map(stored.map((version, index) => [version, index]));
  // A version of the name of another counts as missing, too.
  const missing = versions.filter(({ name, storage }) => !left.delete(name) && storage);
  return [
    ...missing.map(({ name }) => invalidField(path, stored, `must have the storage version ${name}`)),
    ...[...left].map(([version, index]) => invalidField(`${path}[${index}]`, version,
      `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`)),
  ];
}

const approvalKey = 'api-approved.kubernetes.io';
const pull = 'see https://github.com/kubernetes/enhancements/pull/1111';

/** Groups of the Kubernetes community are reviewed; an annotation says where. A state that was there before may stay. */
function validateApproval(group: string, object: Readonly<KubeObject>, old: Readonly<KubeObject> | undefined): FieldError[] {
  if (!/(?:^|\.)(?:k8s|kubernetes)\.io$/.test(group)) return [];
  const annotationOf = (one: Readonly<KubeObject>): string => text(one.metadata?.annotations?.[approvalKey]);
  const approval = annotationOf(object);
  const state = approvalState(approval);
  if (old && approvalState(annotationOf(old)) === state) return [];
  const path = `metadata.annotations[${approvalKey}]`;
  if (state === 'missing') return [required(path, `protected groups must have approval annotation "${approvalKey}", ${pull}`)];
  return state === 'invalid' ? [invalidField(path, approval, `protected groups must have approval annotation "${approvalKey}" with either a URL or a reason starting with "unapproved", ${pull}`)] : [];
}
function approvalState(annotation: string): 'missing' | 'bypassed' | 'approved' | 'invalid' {
  if (annotation === '') return 'missing';
  if (annotation.startsWith('unapproved')) return 'bypassed';
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?\s]+(?:[/?]\S*)?$/.test(annotation) && !/%(?![0-9A-Fa-f]{2})/.test(annotation) ? 'approved' : 'invalid';
}

/** Of formats that nobody checks; none that was there before. */
export function definitionWarnings(object: Readonly<KubeObject>, old: Readonly<KubeObject> | undefined): string[] {
  const before = new Set(old ? unknownFormats(old) : []);
  return unknownFormats(object).filter((format) => !before.has(format)).map((format) => `unrecognized format ${JSON.stringify(format)}`);
}
function unknownFormats(object: Readonly<KubeObject>): string[] {
  const found: string[] = [];
  for (const schema of schemasOf(readDefinition(object))) {
    someSchema(schema, ({ format, type = '' }) => {
      if (format !== undefined && !isKnownFormat(format, type)) found.push(format);
      return false;
    });
  }
  return found;
}
