// A CustomResourceDefinition as its rules see it: what all versions have in common stands once, above the versions, and errors name
// that place (`spec.validation` instead of `spec.versions[0].schema`). Upstream: apis/apiextensions/v1/conversion.go.
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, at, isEmpty, items, objects, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { goSchema, readSchema } from './schema/json-schema.ts';
import type { JsonSchema } from './schema/json-schema.ts';
import { deepEqual } from './schema/value-validation.ts';

/** What may be told of each version or of all of them. `schema` counts as given also when there is nothing in it. */
export interface VersionParts {
  readonly validation: { readonly schema: JsonSchema | undefined } | undefined;
  readonly subresources: Obj | undefined;
  readonly columns: readonly Obj[];
  readonly selectableFields: readonly Obj[];
}
export interface Version extends VersionParts {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly deprecated: boolean;
  readonly deprecationWarning: string | undefined;
}
export interface Definition extends VersionParts {
  readonly group: string;
  /** The name of the first one. */
  readonly version: string;
  readonly versions: readonly Version[];
  /** Also when there is none in it. */
  readonly hasVersions: boolean;
  readonly scope: string;
  readonly names: Obj;
  readonly conversion: Obj | undefined;
  readonly preserveUnknownFields: boolean;
}

const nothing: VersionParts = { validation: undefined, subresources: undefined, columns: [], selectableFields: [] };

export function readDefinition(object: Readonly<KubeObject>): Definition {
  const spec = asObject(object['spec']) ?? {};
  const given = objects(spec['versions']);
  const [first] = given;
  const isShared = (field: string): boolean => first !== undefined && given.every((version) => deepEqual(version[field], first[field]));
  const shared = first === undefined ? nothing : readParts(first, isShared);
  return {
    ...shared,
    group: text(spec['group']), version: text(first?.['name']), scope: text(spec['scope']), names: asObject(spec['names']) ?? {},
    conversion: asObject(spec['conversion']), preserveUnknownFields: spec['preserveUnknownFields'] === true, hasVersions: Array.isArray(spec['versions']),
    versions: given.map((version) => ({
      ...readParts(version, (field) => !isShared(field)),
      name: text(version['name']), served: version['served'] === true, storage: version['storage'] === true, deprecated: version['deprecated'] === true,
      deprecationWarning: typeof version['deprecationWarning'] === 'string' ? version['deprecationWarning'] : undefined,
    })),
  };
}
function readParts(version: Obj, wanted: (field: string) => boolean): VersionParts {
  const validation = asObject(version['schema']);
  return {
    validation: validation && wanted('schema') ? { schema: readSchema(validation['openAPIV3Schema']) } : undefined,
    subresources: wanted('subresources') ? asObject(version['subresources']) : undefined,
    columns: wanted('additionalPrinterColumns') ? objects(version['additionalPrinterColumns']) : [],
    selectableFields: wanted('selectableFields') ? objects(version['selectableFields']) : [],
  };
}

/** Every schema of a definition. */
export function schemasOf(definition: Definition): JsonSchema[] {
  return [definition, ...definition.versions].flatMap(({ validation }) => validation?.schema ?? []);
}

/** The schema of a version, wherever it stands. */
export function schemaOfVersion(definition: Definition, name: string): JsonSchema | undefined {
  const version = definition.versions.find((one) => one.name === name);
  return version && (version.validation ?? definition.validation)?.schema;
}

export function hasCondition(object: Readonly<KubeObject>, type: string): boolean {
  return objects(at(object, 'status', 'conditions')).some((condition) => condition['type'] === type && condition['status'] === 'True');
}

/** As upstream shows versions in errors. */
export function goVersions({ versions, hasVersions }: Definition): unknown {
  return !hasVersions ? null : versions.map((version) => ({
    Name: version.name, Served: version.served, Storage: version.storage, Deprecated: version.deprecated, DeprecationWarning: version.deprecationWarning ?? null,
    Schema: version.validation ? { OpenAPIV3Schema: goSchema(version.validation.schema) } : null,
    Subresources: version.subresources ? goSubresources(version.subresources) : null,
    AdditionalPrinterColumns: orNull(version.columns.map((column) => ({
      Name: text(column['name']), Type: text(column['type']), Format: text(column['format']), Description: text(column['description']),
      Priority: column['priority'] ?? 0, JSONPath: text(column['jsonPath']),
    }))),
    SelectableFields: orNull(version.selectableFields.map((field) => ({ JSONPath: text(field['jsonPath']) }))),
  }));
}
function goSubresources(subresources: Obj): unknown {
  const scale = asObject(subresources['scale']);
  return {
    Status: asObject(subresources['status']) ? {} : null,
    Scale: scale ? { SpecReplicasPath: text(scale['specReplicasPath']), StatusReplicasPath: text(scale['statusReplicasPath']), LabelSelectorPath: scale['labelSelectorPath'] ?? null } : null,
  };
}
const orNull = (list: readonly unknown[]): unknown => (isEmpty(list) ? null : list);

export function storedVersions(object: Readonly<KubeObject>): string[] {
  return strings(items(at(object, 'status', 'storedVersions')));
}
