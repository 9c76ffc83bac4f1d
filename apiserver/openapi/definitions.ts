// Types of the schema as OpenAPI definitions, in the form of version 2 and of version 3, which differ in how they refer and in a few
// scalar types. Rules: k8s.io/kube-openapi.
import type { Field, Schema, Type } from '#machinery/schema/schema.ts';
import type { DocTable } from '#machinery/schema/generate.ts';

export type OpenApiVersion = 2 | 3;
export type JsonSchema = { [key: string]: unknown };
/** A name, and whoever refers to it, makes sure that the definition is in the document. */
export interface Definitions {
  /** `{ $ref }` to a type of the schema or to a definition by its full name. */
  refTo(type: Type): JsonSchema;
  /** Every definition that was referred to so far and what those refer to. */
  all(): Record<string, JsonSchema>;
  /** Adds a definition of one's own (custom resources). */
  add(name: string, definition: JsonSchema): JsonSchema;
}

const resourcePackage = 'io.k8s.apimachinery.pkg.api.resource';
const metaPackage = 'io.k8s.apimachinery.pkg.apis.meta.v1';

/** `io.k8s.api.core.v1.Pod`: where the Go type lives, with the host name turned round. */
export function definitionName(typeName: string): string {
  const [group = '', version = '', name = ''] = typeName.split('/');
  return `${packageOf(group)}.${version}.${name}`;
}

/** Custom resources: `com.example.stable.v1.CronTab`. */
export function customDefinitionName(group: string, version: string, kind: string): string {
  return [...group.split('.').reverse(), version, kind].join('.');
}

function packageOf(group: string): string {
  switch (group) {
    case 'meta': return 'io.k8s.apimachinery.pkg.apis.meta';
    case 'apiextensions.k8s.io': return 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions';
    case 'apiregistration.k8s.io': return 'io.k8s.kube-aggregator.pkg.apis.apiregistration';
    case 'internal.apiserver.k8s.io': return 'io.k8s.api.apiserverinternal';
    default: return `io.k8s.api.${group.split('.')[0]}`;
  }
}

/** `groupVersions`: those that the shared option types (DeleteOptions, WatchEvent) are listed for. */
export function createDefinitions(options: {
  version: OpenApiVersion; schema: Schema; docs: DocTable; groupVersions: readonly { group: string; version: string }[];
}): Definitions {
  const { version, docs } = options;
  const root = version === 2 ? '#/definitions/' : '#/components/schemas/';
  const made = new Map<string, JsonSchema>();

  function refTo(type: Type): JsonSchema {
    const name = definitionName(type.name);
    if (!made.has(name)) {
      made.set(name, {}); // types refer to each other in circles
      made.set(name, definitionOf(type));
    }
    return { $ref: root + name };
  }
  function add(name: string, definition: JsonSchema): JsonSchema {
    if (!made.has(name)) made.set(name, definition);
    return { $ref: root + name };
  }

  function definitionOf(type: Type): JsonSchema {
    const texts = docs[type.name] ?? {};
    const properties: Record<string, JsonSchema> = {};
    if (type.isObject) {
      for (const name of ['apiVersion', 'kind']) properties[name] = { ...describe(texts[name]), type: 'string' };
    }
    for (const field of type.fields.values()) properties[field.name] = propertyOf(type, field, isUndocumented(type, field) ? undefined : texts[field.name] ?? summaryOf(field));
    const required = [...type.fields.values()].filter((field) => field.required).map((field) => field.name);
    const kinds = kindsOf(type);
    return {
      ...describe(texts['']),
      ...(Object.keys(properties).length > 0 ? { properties: Object.fromEntries(Object.entries(properties).sort(([a], [b]) => a < b ? -1 : 1)) } : {}),
      ...(required.length > 0 ? { required } : {}),
      ...(bare.has(type.shortName) && type.fields.size === 0 ? {} : { type: 'object' }),
      ...(kinds.length > 0 ? { 'x-kubernetes-group-version-kind': kinds } : {}),
      ...(type.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
      ...(type.union ? { 'x-kubernetes-unions': [unionOf(type)] } : {}),
    };
  }

  function kindsOf(type: Type): { group: string; kind: string; version: string }[] {
    if (!type.isObject && !alwaysKinds.has(type.shortName)) return [];
    const [group = '', gv = ''] = type.name.split('/');
    if (group !== 'meta') return [{ group: group === 'core' ? '' : group, kind: type.shortName, version: gv }];
    const everywhere = type.shortName === 'DeleteOptions' || type.shortName === 'WatchEvent';
    const others = everywhere ? options.groupVersions.filter((one) => one.group !== '' || one.version !== 'v1') : [];
    return [{ group: '', kind: type.shortName, version: gv }, ...others.map((one) => ({ group: one.group, kind: type.shortName, version: one.version }))];
  }

  function propertyOf(type: Type, field: Field, doc: string | undefined): JsonSchema {
    const description = describe(doc);
    const extensions = extensionsOf(field);
    const fallback = field.default !== undefined ? { default: field.default } : {};
    switch (field.shape) {
      case 'list': return { ...description, ...extensions, items: valueOf(type, field), type: 'array', ...(version === 3 ? fallback : {}) };
      case 'map': return { ...description, ...extensions, additionalProperties: valueOf(type, field), type: 'object', ...(version === 3 ? fallback : {}) };
      case 'mapOfLists': return { ...description, ...extensions, additionalProperties: { items: valueOf(type, field), type: 'array' }, type: 'object' };
      case 'one': {
        const value = valueOf(type, field);
        const zero = version === 3 && field.default === undefined ? zeroOf(field) : {};
        const siblings = { ...description, ...extensions, ...(version === 3 ? fallback : {}), ...zero };
        // A reference admits no siblings in version 3.
        return '$ref' in value && version === 3 && Object.keys(siblings).length > 0 ? { allOf: [value], ...siblings } : { ...value, ...siblings };
      }
    }
  }

  /** The declarations carry no text for a field that refers to another type; that type's first sentence says what is in it. */
  function summaryOf(field: Field): string | undefined {
    return field.type && docs[field.type.name]?.['']?.match(/^.*?\.(?= |$)|^.*$/s)?.[0];
  }

  function valueOf(type: Type, field: Field): JsonSchema {
    if (field.kind === 'struct') return field.type ? refTo(field.type) : {};
    const named = namedScalar(field, type, version);
    if (named) return add(named.name, { ...describe(named.text), ...named.schema });
    return { ...scalarTypes[field.kind], ...(field.enum && field.kind === 'string' ? { enum: [...field.enum].sort() } : {}) };
  }

  return { refTo, add, all: () => Object.fromEntries([...made].sort(([a], [b]) => a < b ? -1 : 1)) };
}

/** Fields without a text of their own upstream. One that only refers to another type has no siblings then. */
const undocumented: ReadonlySet<string> = new Set(['certificates.k8s.io/v1/CertificateSigningRequest.metadata', 'certificates.k8s.io/v1/CertificateSigningRequestList.metadata', 'networking.k8s.io/v1/IngressRule.http']);
function isUndocumented(type: Type, field: Field): boolean {
  if (type.shortName === 'JSONSchemaProps') return field.kind === 'struct' || field.kind === 'any' && field.name !== 'default';
  return undocumented.has(`${type.name}.${field.name}`);
}

/** Kinds that the facts do not list as objects. */
const alwaysKinds: ReadonlySet<string> = new Set(['WatchEvent']);
/** Types that take any JSON: a definition without a type. */
const bare: ReadonlySet<string> = new Set(['JSON', 'JSONSchemaPropsOrArray', 'JSONSchemaPropsOrBool', 'JSONSchemaPropsOrStringArray']);

const scalarTypes: Readonly<Record<string, JsonSchema>> = {
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  bytes: { format: 'byte', type: 'string' },
  int32: { format: 'int32', type: 'integer' },
  int64: { format: 'int64', type: 'integer' },
  double: { format: 'double', type: 'number' },
  any: {},
};

/** Scalars that have a definition of their own. */
function namedScalar(field: Field, owner: Type, version: OpenApiVersion): { name: string; schema: JsonSchema; text: string } | undefined {
  const time = { format: 'date-time', type: 'string' };
  switch (field.kind) {
    case 'time': return { name: `${metaPackage}.Time`, schema: time, text: 'A moment in RFC 3339, whole seconds.' };
    case 'microTime': return { name: `${metaPackage}.MicroTime`, schema: time, text: 'A moment in RFC 3339 with microseconds.' };
    case 'duration': return { name: `${metaPackage}.Duration`, schema: { type: 'string' }, text: 'A length of time such as 1h30m.' };
    case 'raw': return { name: 'io.k8s.apimachinery.pkg.runtime.RawExtension', schema: { type: 'object' }, text: 'An object of any kind, kept as it is.' };
    case 'quantity': return {
      name: `${resourcePackage}.Quantity`, schema: version === 3 ? { oneOf: [{ type: 'string' }, { type: 'number' }] } : { type: 'string' },
      text: 'A number with a suffix: binary (Ki, Mi, Gi, Ti, Pi, Ei), decimal (n, u, m, k, M, G, T, P, E) or an exponent (e3). Written back in its shortest exact form.',
    };
    case 'intOrString': return {
      name: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
      schema: version === 3 ? { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] } : { format: 'int-or-string', type: 'string' },
      text: 'A 32-bit number or a string.',
    };
    case 'any': {
      const goName = field.goType.slice(field.goType.lastIndexOf('.') + 1);
      const shortName = goName === 'JSONSchemaDependencies' ? 'JSONSchemaPropsOrStringArray' : goName; // a map type with a name of its own
      if (shortName === 'FieldsV1') return { name: `${metaPackage}.FieldsV1`, schema: { type: 'object' }, text: 'A set of field paths as nested objects; see structured-merge-diff.' };
      if (!bare.has(shortName)) return undefined;
      return { name: definitionName(`${owner.name.slice(0, owner.name.lastIndexOf('/'))}/${shortName}`), schema: {}, text: 'Any JSON value of the forms that the name says.' };
    }
    default: return undefined;
  }
}


/** Members by the Go names that a discriminator has as values. */
function unionOf(type: Type): JsonSchema {
  const all = [...type.fields.values()];
  const discriminator = all.find((field) => field.discriminator)?.name;
  const members = all.filter((field) => !field.discriminator).map(({ name }) => [name, name.charAt(0).toUpperCase() + name.slice(1)]);
  return { ...(discriminator === undefined ? {} : { discriminator }), 'fields-to-discriminateBy': Object.fromEntries(members) };
}

function extensionsOf(field: Field): JsonSchema {
  return {
    ...(field.listMapKeys ? { 'x-kubernetes-list-map-keys': field.listMapKeys } : {}),
    ...(field.listType ? { 'x-kubernetes-list-type': field.listType } : {}),
    ...(field.mapType ? { 'x-kubernetes-map-type': field.mapType } : {}),
    ...(field.structType ? { 'x-kubernetes-map-type': field.structType } : {}),
    ...(field.patchMergeKey ? { 'x-kubernetes-patch-merge-key': field.patchMergeKey } : {}),
    ...(field.patchStrategy ? { 'x-kubernetes-patch-strategy': field.patchStrategy } : {}),
  };
}

/** Go's zero value as default: of structs that are no pointers, and of scalars that are always written. */
function zeroOf(field: Field): JsonSchema {
  if (field.pointer) return {};
  if (field.kind === 'struct') return { default: {} };
  if (field.omitEmpty) return {};
  switch (field.kind) {
    case 'string': return { default: '' };
    case 'boolean': return { default: false };
    case 'int32': case 'int64': case 'double': return { default: 0 };
    default: return {};
  }
}

function describe(text: string | undefined): JsonSchema {
  return text === undefined || text === '' ? {} : { description: text };
}
