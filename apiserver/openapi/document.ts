// Writes operations and definitions as an OpenAPI document of version 2 or 3.
import { createHash } from 'node:crypto';
import type { OpenAPIV2, OpenAPIV3 } from 'openapi-types';
import type { DocTable } from '#machinery/schema/generate.ts';
import type { Schema } from '#machinery/schema/schema.ts';
import type { ResourceRow } from '../resources/resource.ts';
import { createDefinitions, customDefinitionName } from './definitions.ts';
import type { Definitions, JsonSchema, OpenApiVersion } from './definitions.ts';
import { groupVersionPath, pathsOf, tagOf } from './operations.ts';
import type { Body, GroupVersionKind, Operation, OtherDocument, Parameter, PathItem } from './operations.ts';

/** The schema of a custom resource as its definition publishes it: `openAPIV3Schema` of the version, or undefined. */
export type CustomSchema = (row: ResourceRow) => object | undefined;

export interface Sources {
  schema: Schema;
  docs: DocTable;
  /** Served group versions, for the types that are listed in all of them. */
  groupVersions: readonly { group: string; version: string }[];
  customSchema: CustomSchema;
  /** Shown as the document's version. */
  serverVersion: string;
  /** What is served beside resources and belongs into this document. */
  others?: readonly OtherDocument[];
}

const security = { BearerToken: { description: 'Bearer Token authentication', in: 'header', name: 'authorization', type: 'apiKey' } } as const;

/** One document for the given rows. */
export function document(version: 2, rows: readonly ResourceRow[], sources: Sources): OpenAPIV2.Document;
export function document(version: 3, rows: readonly ResourceRow[], sources: Sources): OpenAPIV3.Document;
export function document(version: OpenApiVersion, rows: readonly ResourceRow[], sources: Sources): object {
  const definitions = createDefinitions({ version, ...sources });
  const refer = referrer(definitions, rows, sources, version);
  const paths: Record<string, object> = {};
  const seen = new Set<string>();
  for (const row of rows) {
    const own = pathsOf(row, sources.schema.typeFor(row.group, row.version, row.kind) === undefined);
    const groupVersion = `${row.group}/${row.version}`;
    if (!seen.has(groupVersion)) own.unshift(groupVersionPath(row.group, row.version));
    seen.add(groupVersion);
    for (const item of own) paths[item.path] = pathItem(item, tagOf(row), refer, version);
  }
  for (const { item, tag } of sources.others ?? []) paths[item.path] = pathItem(item, tag, refer, version);
  const info = { title: 'Kubernetes', version: sources.serverVersion };
  const sorted = Object.fromEntries(Object.entries(paths).sort(([a], [b]) => a < b ? -1 : 1));
  if (version === 2) {
    return { swagger: '2.0', info, paths: sorted, definitions: definitions.all(), parameters: shareParameters(sorted), securityDefinitions: security, security: [{ BearerToken: [] }] };
  }
  return { openapi: '3.0.0', info, paths: sorted, components: { schemas: definitions.all(), securitySchemes: security } };
}

type Refer = (body: Body) => JsonSchema;

function referrer(definitions: Definitions, rows: readonly ResourceRow[], { schema, customSchema }: Sources, version: OpenApiVersion): Refer {
  const customRows = new Map(rows.map((row) => [`${row.group}/${row.version}/${row.kind}`, row]));
  const listRows = new Map(rows.map((row) => [`${row.group}/${row.version}/${row.listKind}`, row]));
  const objectMeta = (name: string): JsonSchema => {
    const type = schema.type(`meta/v1/${name}`);
    return type ? definitions.refTo(type) : {};
  };
  return function refer(body: Body): JsonSchema {
    if (body === 'text') return { type: 'string' };
    if (body === 'version') return definitions.add('io.k8s.apimachinery.pkg.version.Info', versionDefinition(version));
    // A patch is any object; the types that a patch may have differ by its content type.
    if (body.kind === 'Patch') return definitions.add('io.k8s.apimachinery.pkg.apis.meta.v1.Patch', { description: 'A patch of the kind that the content type names.', type: 'object' });
    const type = schema.typeFor(body.group, body.version, body.kind);
    if (type) return definitions.refTo(type);
    const name = customDefinitionName(body.group, body.version, body.kind);
    const key = `${body.group}/${body.version}/${body.kind}`;
    const kinds = { 'x-kubernetes-group-version-kind': [{ group: body.group, kind: body.kind, version: body.version }] };
    const typeMeta = { apiVersion: { type: 'string' }, kind: { type: 'string' } };
    const listRow = listRows.get(key);
    if (listRow) {
      const item = refer({ group: listRow.group, version: listRow.version, kind: listRow.kind });
      const items = { description: `List of ${listRow.resource}.`, items: item, type: 'array' };
      const metadata = version === 3 ? { allOf: [objectMeta('ListMeta')] } : objectMeta('ListMeta');
      return definitions.add(name, { description: `${body.kind} is a list of ${listRow.kind}`, properties: { ...typeMeta, items, metadata }, required: ['items'], type: 'object', ...kinds });
    }
    const row = customRows.get(key);
    const published = row && customSchema(row) as JsonSchema | undefined;
    if (!published) return definitions.add(name, { 'type': 'object', 'x-kubernetes-preserve-unknown-fields': true, ...kinds });
    const metadata = version === 3 ? { allOf: [objectMeta('ObjectMeta')] } : objectMeta('ObjectMeta');
    const own = version === 2 ? lowered(published) as JsonSchema : published;
    return definitions.add(name, { ...own, type: 'object', properties: { ...typeMeta, ...own['properties'] as object | undefined, metadata }, ...kinds });
  };
}

const versionMembers: readonly [name: string, text?: string][] = [
  ['buildDate'], ['compiler'], ['emulationMajor', 'Major number of the version that is emulated.'], ['emulationMinor', 'Minor number of the version that is emulated.'],
  ['gitCommit'], ['gitTreeState'], ['gitVersion'], ['goVersion'], ['major', 'Major number of the API level.'],
  ['minCompatibilityMajor', 'Major number of the oldest version that this one gets along with.'], ['minCompatibilityMinor', 'Minor number of the oldest version that this one gets along with.'],
  ['minor', 'Minor number of the API level.'], ['platform'],
];
function versionDefinition(version: OpenApiVersion): JsonSchema {
  const required = ['major', 'minor', 'gitVersion', 'gitCommit', 'gitTreeState', 'buildDate', 'goVersion', 'compiler', 'platform'];
  const property = (name: string, text: string | undefined): JsonSchema => ({ ...(text === undefined ? {} : { description: text }), type: 'string', ...(version === 3 && required.includes(name) ? { default: '' } : {}) });
  return { description: 'Which API level this is, and which program serves it.', type: 'object', properties: Object.fromEntries(versionMembers.map(([name, text]) => [name, property(name, text)])), required };
}

/** What version 2 cannot say is left out, as upstream does, so that older clients do not refuse what newer ones take. */
function lowered(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(lowered);
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(([key]) => !['oneOf', 'anyOf', 'not', 'allOf', 'nullable', 'default'].includes(key));
  const preserves = Object.hasOwn(schema, 'x-kubernetes-preserve-unknown-fields') && (schema as JsonSchema)['x-kubernetes-preserve-unknown-fields'] === true;
  return Object.fromEntries(kept.filter(([key]) => !(preserves && ['properties', 'items', 'type'].includes(key))).map(([key, value]) => [key,
    key === 'properties' && typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, lowered(one)])) : lowered(value)]));
}

function pathItem(item: PathItem, tag: string, refer: Refer, version: OpenApiVersion): object {
  return {
    ...Object.fromEntries(item.operations.map((one) => [one.method, version === 2 ? operation2(one, tag, refer) : operation3(one, tag, refer)])),
    ...(item.parameters.length > 0 ? { parameters: byName(item.parameters.map((one) => parameter(one, version))) } : {}),
  };
}

function common(one: Operation, tag: string): object {
  return {
    description: one.description, operationId: one.id, tags: [tag],
    ...(one.action === '' ? {} : { 'x-kubernetes-action': one.action, 'x-kubernetes-group-version-kind': sortedKind(one.kind) }),
  };
}
function sortedKind({ group, kind, version }: GroupVersionKind): object {
  return { group, kind, version };
}

function operation3(one: Operation, tag: string, refer: Refer): object {
  const content = (types: readonly string[], body: Body): object => Object.fromEntries(types.map((type) => [type, { schema: refer(body) }]));
  return {
    ...common(one, tag),
    ...(one.parameters.length > 0 ? { parameters: byName(one.parameters.map((entry) => parameter(entry, 3))) } : {}),
    ...(one.body ? { requestBody: { content: content(one.body.contentTypes, one.body.of), ...(one.body.required ? { required: true } : {}) } } : {}),
    responses: {
      ...Object.fromEntries(one.responses.map(({ code, description, body }) => [code, { ...(body ? { content: content(one.contentTypes, body) } : {}), description }])),
      401: { description: 'Unauthorized' },
    },
  };
}

function operation2(one: Operation, tag: string, refer: Refer): object {
  const body: Named | undefined = one.body && { in: 'body', name: 'body', ...(one.body.required ? { required: true } : {}), schema: refer(one.body.of) };
  const parameters = byName([...(body ? [body] : []), ...one.parameters.map((entry) => parameter(entry, 2))]);
  const consumes = one.body?.contentTypes ?? one.consumes ?? ['*/*'];
  return {
    ...common(one, tag),
    ...(consumes.length > 0 ? { consumes } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    produces: one.contentTypes,
    responses: {
      ...Object.fromEntries(one.responses.map((response) => [response.code, { description: response.description, ...(response.body ? { schema: refer(response.body) } : {}) }])),
      401: { description: 'Unauthorized' },
    },
    schemes: ['https'],
  };
}

type Named = JsonSchema & { name: string };
function byName<T extends Named>(parameters: T[]): T[] {
  return parameters.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Version 2 says once what many operations have; references take the place of parameters. What kubectl looks for stays where it was. */
function shareParameters(paths: Record<string, object>): Record<string, object> {
  const shared = new Map<string, { name: string; value: object }>();
  const share = (one: Named): object => {
    const own = one.name === 'name' || one.name === 'fieldValidation' || one.name === 'dryRun' || (one['in'] === 'body' && !String((one['schema'] as JsonSchema)['$ref']).startsWith('#/definitions/io.k8s.apimachinery'));
    if (own) return one;
    const text = JSON.stringify(one);
    let known = shared.get(text);
    if (!known) shared.set(text, known = { name: `${one.name}-${createHash('sha1').update(text).digest().subarray(0, 6).toString('base64url')}`, value: one });
    return { $ref: `#/parameters/${known.name}` };
  };
  for (const item of Object.values(paths)) {
    for (const holder of [item, ...Object.values(item)] as { parameters?: Named[] }[]) {
      if (holder.parameters) (holder.parameters as object[]) = holder.parameters.map(share);
    }
  }
  return Object.fromEntries([...shared.values()].map(({ name, value }): [string, object] => [name, value]).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function parameter({ name, in: place, type, description }: Parameter, version: OpenApiVersion): Named {
  const required = place === 'path' ? { required: true } : {};
  return version === 2 ? { description, in: place, name, ...required, type, uniqueItems: true } : { description, in: place, name, ...required, schema: { type, uniqueItems: true } };
}
