// apiVersion, kind and metadata of resources and of those embedded in them: their types, and their rules.
// Upstream: apiserver/schema/objectmeta.
import { dns1035LabelErrors } from '#machinery/api/names.ts';
import type { ObjectMeta } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { pathSegmentName, validateObjectMeta } from '../../meta.ts';
import { invalidField, isEmpty, isObject, required } from '../../values.ts';
import type { Obj } from '../../values.ts';
import { goOrder, itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

const child = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);

/**
 * In place: metadata loses what it does not know. What has a wrong type goes too with `drops`; otherwise the first is the answer.
 * The root counts as a resource when it comes through `resourceSchema`.
 */
export function coerceMetadata(value: unknown, schema: JsonSchema | undefined, path: string, drops: boolean): FieldError | undefined {
  if (!schema) return undefined;
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) {
      const error = coerceMetadata(one, itemSchema(schema), `${path}[${index}]`, drops);
      if (error) return error;
    }
    return undefined;
  }
  if (!isObject(value)) return undefined;
  for (const name of Object.keys(value)) {
    const error = schema['x-kubernetes-embedded-resource'] ? coerceMember(value, name, path, drops) : undefined;
    if (error) return error;
    const property = schema.properties?.get(name);
    const inside = property ? coerceMetadata(value[name], property, child(path, name), drops)
      : coerceMetadata(value[name], memberSchema(schema), `${path}[${name}]`, drops);
    if (inside) return inside;
  }
  return undefined;
}
function coerceMember(value: Obj, name: string, path: string, drops: boolean): FieldError | undefined {
  const given = value[name];
  if (name === 'metadata') {
    const read = readMetadata(given, drops);
    if ('error' in read) return drops ? undefined : invalidField(child(path, name), goOrder(given), read.error);
    value[name] = read.metadata;
  } else if ((name === 'apiVersion' || name === 'kind') && typeof given !== 'string') {
    if (!drops) return invalidField(child(path, name), given, 'must be a string');
    delete value[name];
  }
  return undefined;
}

type Shape = 'string' | 'int64' | 'bool' | 'time' | 'any' | { readonly map: 'string' } | { readonly list: Shape } | { readonly name: string; readonly fields: Readonly<Record<string, Shape>> };
const ownerReference: Shape = { name: 'OwnerReference', fields: { apiVersion: 'string', kind: 'string', name: 'string', uid: 'string', controller: 'bool', blockOwnerDeletion: 'bool' } };
const managedFields: Shape = {
  name: 'ManagedFieldsEntry',
  fields: { manager: 'string', operation: 'string', apiVersion: 'string', time: 'time', fieldsType: 'string', fieldsV1: 'any', subresource: 'string' },
};
const objectMeta: Readonly<Record<string, Shape>> = {
  name: 'string', generateName: 'string', namespace: 'string', selfLink: 'string', uid: 'string', resourceVersion: 'string', generation: 'int64',
  creationTimestamp: 'time', deletionTimestamp: 'time', deletionGracePeriodSeconds: 'int64', labels: { map: 'string' }, annotations: { map: 'string' },
  ownerReferences: { list: ownerReference }, finalizers: { list: 'string' }, managedFields: { list: managedFields },
};

/** Metadata as it is written back: known members that are not empty. */
function readMetadata(value: unknown, drops: boolean): { metadata: Obj } | { error: string } {
  if (!isObject(value)) return { error: drops ? `invalid metadata: expected object, got ${goType(value)}` : `json: cannot unmarshal ${jsonType(value)} into Go value of type v1.ObjectMeta` };
  const metadata: Obj = {};
  for (const [name, given] of Object.entries(value)) {
    const shape = Object.hasOwn(objectMeta, name) ? objectMeta[name] : undefined;
    if (shape === undefined || given === null) continue;
    const problem = misfit(given, shape, `ObjectMeta.${name}`);
    if (problem !== undefined) {
      if (drops) continue;
      return { error: problem };
    }
    if (!isEmpty(given) && !(isObject(given) && Object.keys(given).length === 0)) metadata[name] = given;
  }
  return { metadata };
}
function misfit(value: unknown, shape: Shape, where: string): string | undefined {
  if (value === null || shape === 'any') return undefined;
  const wrong = (type: string): string => `json: cannot unmarshal ${jsonType(value)} into Go struct field ${where} of type ${type}`;
  if (shape === 'string') return typeof value === 'string' ? undefined : wrong('string');
  if (shape === 'bool') return typeof value === 'boolean' ? undefined : wrong('bool');
  if (shape === 'int64') return Number.isInteger(value) ? undefined : wrong('int64');
  if (shape === 'time') {
    if (typeof value !== 'string') return `json: cannot unmarshal ${jsonType(value)} into Go value of type string`;
    return Number.isNaN(Date.parse(value)) ? `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(value)} as "2006"` : undefined;
  }
  if ('map' in shape) {
    if (!isObject(value)) return wrong('map[string]string');
    return Object.values(value).map((one) => misfit(one, shape.map, where)).find((problem) => problem !== undefined);
  }
  if ('list' in shape) {
    if (!Array.isArray(value)) return wrong(`[]${typeof shape.list === 'object' && 'name' in shape.list ? `v1.${shape.list.name}` : 'string'}`);
    return value.map((one) => misfit(one, shape.list, where)).find((problem) => problem !== undefined);
  }
  if (!isObject(value)) return wrong(`v1.${shape.name}`);
  const path = where.slice(where.indexOf('.') + 1);
  return Object.entries(value).map(([name, one]) => {
    const field = Object.hasOwn(shape.fields, name) ? shape.fields[name] : undefined;
    return field && misfit(one, field, `${shape.name}.${path}.${name}`);
  }).find((problem) => problem !== undefined);
}
function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}
function goType(value: unknown): string {
  if (Array.isArray(value)) return '[]interface {}';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int64' : 'float64';
  return value === null ? '<nil>' : typeof value === 'boolean' ? 'bool' : typeof value;
}

/** Rules of resources anywhere in a value. */
export function validateEmbeddedMetadata(value: unknown, schema: JsonSchema | undefined, path: string): FieldError[] {
  if (!schema) return [];
  if (Array.isArray(value)) return value.flatMap((one, index) => validateEmbeddedMetadata(one, itemSchema(schema), `${path}[${index}]`));
  if (!isObject(value)) return [];
  return [
    ...(schema['x-kubernetes-embedded-resource'] ? validateResource(value, path) : []),
    ...Object.entries(value).flatMap(([name, one]) => {
      const property = schema.properties?.get(name);
      return property ? validateEmbeddedMetadata(one, property, child(path, name)) : validateEmbeddedMetadata(one, memberSchema(schema), `${path}[${name}]`);
    }),
  ];
}
function validateResource(value: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['apiVersion', 'kind']) if (!Object.hasOwn(value, name)) errors.push(required(child(path, name)));
  for (const [name, given] of Object.entries(value)) {
    const here = child(path, name);
    if (name === 'metadata') {
      const read = readMetadata(given, false);
      if ('error' in read) {
        errors.push(invalidField(here, goOrder(given), read.error));
        continue;
      }
      const metadata: ObjectMeta = { ...read.metadata };
      metadata.name ||= 'fakename'; // what is embedded needs none
      errors.push(...validateObjectMeta(metadata, { namespaced: (metadata.namespace ?? '') !== '', nameFn: pathSegmentName, customResource: true }, here));
    } else if (name === 'apiVersion' || name === 'kind') {
      const problem = nameProblem(name, given);
      if (problem !== undefined) errors.push(invalidField(here, given, problem));
    }
  }
  return errors;
}
function nameProblem(name: 'apiVersion' | 'kind', given: unknown): string | undefined {
  if (typeof given !== 'string') return 'must be a string';
  if (given === '') return 'must not be empty';
  if (name === 'apiVersion') return given.split('/').length > 2 ? `unexpected GroupVersion string: ${given}` : undefined;
  const texts = dns1035LabelErrors(given.toLowerCase());
  return texts.length === 0 ? undefined : `may have mixed case, but should otherwise match: ${texts.join(',')}`;
}
