// Requests for resources, after the filters: from the request info to the handler of the verb.
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { badRequest, conflict, notFound, StatusError } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import { forbiddenFor } from '../filters/forbidden.ts';
import { isTrue } from '../filters/request-info.ts';
import type { Authorizer } from '../filters/seams.ts';
import type { Backend, CustomHandler } from '../backend.ts';
import { checkDepth, shallow } from '../decoding/depth.ts';
import { applyJsonPatch } from '../patch/json.ts';
import { applyMergePatch } from '../patch/merge.ts';
import { applyStrategicPatch } from '../patch/strategic.ts';
import type { WatchCache } from '../storage/cache.ts';
import type { Storage } from '../storage/storage.ts';
import { readBody } from './body.ts';
import { parseApiVersion } from '#machinery/api/object.ts';
import type { Schema, Type } from '#machinery/schema/schema.ts';
import type { TrackedKind } from '../fieldmanager/field-manager.ts';
import { asKind, parseBody, parseJson } from './decode.ts';
import type { ExpectedKind } from './decode.ts';
import { notOlderThan, parseResourceVersion, unexpected } from './freshness.ts';
import { listObjects, respondList } from './list.ts';
import type { Kubelets } from './kubelets.ts';
import type { Snapshots } from './list.ts';
import { namesProtobuf, negotiateInput, negotiateOutput, unsupportedBody } from './negotiate.ts';
import type { BodyFormat, OutputForm } from './negotiate.ts';
import { deleteOptions, listOptions, writeOptions } from './options.ts';
import type { FieldValidation } from './options.ts';
import { loadProtobuf } from './protobuf.ts';
import { respond } from './respond.ts';
import { selectionOf } from './selection.ts';
import type { Served, ServedResources } from './served.ts';
import type { ObjectStore, Writable, WriteRequest } from './store.ts';
import { serveSubresource } from './subresources.ts';
import { objectJson } from './table.ts';
import { serveWatch } from './watch.ts';
import { bodySink, socketSink } from './watch-sink.ts';
import type { OpenSink } from './watch-sink.ts';

export interface ApiDeps {
  readonly resources: ServedResources;
  readonly cache: WatchCache;
  readonly storage: Storage;
  readonly snapshots: Snapshots;
  readonly authorizer: Authorizer;
  readonly customHandlers: ReadonlyMap<string, CustomHandler>;
  readonly kubelets: Kubelets;
  readonly backend: Backend;
  storeOf(served: Served): ObjectStore;
}

export const noSuchResource = (): StatusError => new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
export const methodNotAllowed = (): StatusError => new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

/** One request, from its parts: what every handler works on. */
export interface ApiRequest {
  readonly deps: ApiDeps;
  readonly context: RequestState;
  readonly response: ServerResponse;
  readonly served: Served;
  readonly namespace: string;
  /** The kind can be answered as protobuf, and the client names it. */
  readonly protobuf: boolean;
}

/** Throws 406. */
export function outputForm({ context, protobuf }: Located, stream = false): OutputForm {
  return negotiateOutput(context.request.headers.accept, stream, protobuf);
}

type Located = Omit<ApiRequest, 'response'>;

async function locate(deps: ApiDeps, context: RequestState): Promise<Located> {
  const { info } = context;
  const served = deps.resources.find(info.group, info.version, info.resource);
  if (!served) throw noSuchResource();
  const { row } = served;
  if (row.deprecation !== undefined) context.warnings.push(row.deprecation);
  // `/api/v1/namespaces/x` carries its own name where others have their namespace.
  const namespace = row.namespaced ? info.namespace : '';
  if (!row.namespaced && info.namespace !== '' && served.id !== 'namespaces') throw noSuchResource();
  const protobuf = namesProtobuf(context.request.headers.accept) && (await loadProtobuf()).has(served.apiVersion, row.kind);
  return { deps, context, served, namespace, protobuf };
}

export async function serveResource(deps: ApiDeps, context: RequestState, response: ServerResponse): Promise<void> {
  const request: ApiRequest = { ...await locate(deps, context), response };
  const { info } = context;
  const { served: { row }, namespace } = request;
  const method = context.request.method ?? 'GET';
  if (info.subresource !== '') {
    if (row.namespaced && namespace === '') throw noSuchResource();
    return serveSubresource(request);
  }
  if (info.parts.length > 0) throw noSuchResource();
  const byName = pathName(request) !== '';
  if (row.namespaced && namespace === '' && byName && info.verb !== 'watch') throw noSuchResource();
  if (info.verb === '' || (row.namespaced && namespace === '' && !['list', 'watch'].includes(info.verb))) throw methodNotAllowed();
  if (!row.verbs.includes(info.verb) || (info.verb === 'create' && byName) || ((info.verb === 'update' || info.verb === 'patch') && !byName)) throw methodNotAllowed();
  switch (info.verb) {
    case 'get': return get(request);
    case 'list': return list(request);
    case 'watch': return watch(request, bodySink(response));
    case 'create': return create(request);
    case 'update': return update(request);
    case 'patch': return patch(request);
    case 'delete': return remove(request);
    case 'deletecollection': return removeCollection(request);
    default: throw method === 'HEAD' ? noSuchResource() : methodNotAllowed();
  }
}

/** A watch by WebSocket, from the upgrade event. */
export async function serveWatchSocket(deps: ApiDeps, context: RequestState, socket: Duplex, head: Buffer): Promise<void> {
  const request = await locate(deps, context);
  if (context.info.subresource !== '' || context.info.parts.length > 0) throw noSuchResource();
  if (!request.served.row.verbs.includes('watch')) throw methodNotAllowed();
  return watch(request, socketSink(context, socket, head));
}

/** The name in the path; info.name of a list may come from its field selector. */
function pathName({ context: { info } }: Located): string {
  if (info.verb !== 'list' && info.verb !== 'watch') return info.name;
  return info.path.endsWith(`/${info.resource}/${info.name}`) ? info.name : '';
}

async function get(request: ApiRequest): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const form = outputForm(request);
  const { name } = context.info;
  const { stored } = served;
  if (!stored) {
    const handler = deps.customHandlers.get(served.id);
    if (!handler) throw noSuchResource();
    const object = await handler({ context, row: served.row, namespace, name, body: undefined, dryRun: false });
    return respond(context, response, form, 200, objectJson(served.row, { object }, form.transform, context.query, Date.now()));
  }
  if (isTrue(context.query.get('export'))) throw badRequest('the export parameter, deprecated since v1.14, is no longer supported');
  const version = context.query.get('resourceVersion') ?? '';
  if (version === '') await deps.cache.waitForLatest(context.signal);
  else await notOlderThan(deps.cache, parseResourceVersion(version, unexpected), context.signal);
  const cached = stored.cache.get(namespace, name);
  if (!cached) throw notFound(served.name, name);
  return respond(context, response, form, 200, objectJson(served.row, served.view(cached), form.transform, context.query, Date.now()));
}

async function list(request: ApiRequest): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const form = outputForm(request);
  const options = listOptions(context.query);
  if (!served.stored) {
    const handler = deps.customHandlers.get(served.id);
    if (!handler) throw noSuchResource();
    const body = await handler({ context, row: served.row, namespace, name: '', body: undefined, dryRun: false });
    return respond(context, response, form, 200, JSON.stringify(body));
  }
  const selection = selectionOf(served, namespace, '', options);
  return respondList(context, response, form, served, await listObjects(deps, served, selection, options, context.signal));
}

async function watch(request: Located, open: OpenSink): Promise<void> {
  const { deps, context, served, namespace } = request;
  const form = outputForm(request, true);
  const options = listOptions(context.query);
  return serveWatch(deps.cache, context, form, served, selectionOf(served, namespace, pathName(request), options), options, open);
}

export function writeRequest({ context, namespace }: ApiRequest, name: string, subresource: string, dryRun: boolean, options: Record<string, unknown>): WriteRequest {
  return { context, namespace, name, subresource, dryRun, options };
}

/** The body as an object of the row's kind, with its defaults. Called again for each attempt: writes change what they get. */
export async function decodeBody(request: ApiRequest, raw: Buffer, format: BodyFormat, validation: FieldValidation): Promise<Writable> {
  const { row } = request.served;
  const object = await decodeAs(request, raw, format, row, validation);
  row.strategy.default?.(object);
  request.context.audit?.requestObject(object);
  return object;
}

/** The body as an object of any kind, held to its type; what is unknown or double in it is warned of or refused. */
export async function decodeAs({ context }: ApiRequest, raw: Buffer, format: BodyFormat, expected: ExpectedKind, fieldValidation: FieldValidation): Promise<Writable> {
  // Protobuf knows no fields but its own.
  if (format === 'protobuf') return audited(context, asKind(await parseBody(raw, format), expected));
  const { schema: types, decoding } = await loadTyped();
  const type = types.typeFor(expected.group, expected.version, expected.kind);
  const { object, warnings } = await decoding.decodeBody({ bytes: raw, format, fieldValidation, expected, type });
  for (const warning of warnings) if (!context.warnings.includes(warning)) context.warnings.push(warning);
  return audited(context, asKind(object, expected));
}

function audited(context: RequestState, object: Writable): Writable {
  context.audit?.requestObject(object);
  return object;
}

async function create(request: ApiRequest): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const form = outputForm(request);
  const format = negotiateInput(context.request.headers['content-type']);
  const raw = await readBody(context.request);
  const options = writeOptions(context.query, 'CreateOptions');
  const object = await decodeBody(request, raw, format, options.fieldValidation);
  const handler = served.stored ? undefined : deps.customHandlers.get(served.id);
  if (!served.stored) {
    if (!handler) throw noSuchResource();
    if (form.transform) throw new StatusError(406, 'NotAcceptable', 'the backend does not know Tables or metadata alone: what it answers is stored nowhere');
    // Reviews are admitted like everything else; a Binding is by its handler, under the name of its pod.
    if (served.id !== 'bindings') await deps.storeOf(served).admission('CREATE', writeRequest(request, object.metadata.name ?? '', '', options.dryRun, options.asObject), object);
    const answer = await handler({ context, row: served.row, namespace, name: '', body: object, dryRun: options.dryRun });
    return respond(context, response, form, 201, JSON.stringify(answer));
  }
  const track = await trackerFor(request, options.fieldManager);
  const written = await deps.storeOf(served).create({ ...writeRequest(request, '', '', options.dryRun, options.asObject), track }, object);
  return respond(context, response, form, 201, objectJson(served.row, written, form.transform, context.query, Date.now()));
}

export function checkName(object: Writable, name: string, namespace: string): void {
  const { metadata } = object;
  if (metadata.name !== name) {
    throw badRequest(metadata.name ? `the name of the object (${metadata.name}) does not match the name on the URL (${name})`
      : `the name of the object (${name} based on URL) was undeterminable: name must be provided`);
  }
  if (namespace !== '' && metadata.namespace && metadata.namespace !== namespace) {
    throw badRequest(`the namespace of the object (${metadata.namespace}) does not match the namespace on the request (${namespace})`);
  }
}

export async function update(request: ApiRequest, subresource = ''): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const form = outputForm(request);
  const raw = await readBody(context.request);
  const options = writeOptions(context.query, 'UpdateOptions');
  const format = negotiateInput(context.request.headers['content-type']);
  const { name } = context.info;
  const decode = async (): Promise<Writable> => {
    const object = await decodeBody(request, raw, format, options.fieldValidation);
    checkName(object, name, namespace);
    return object;
  };
  const create = served.row.strategy.createOnUpdate === true && subresource === '';
  const track = await trackerFor(request, options.fieldManager, subresource);
  const written = await deps.storeOf(served).update({ ...writeRequest(request, name, subresource, options.dryRun, options.asObject), track }, decode, create ? {
    createMissing: decode, onCreate: () => authorizeCreate(request),
  } : {});
  return respond(context, response, form, written.created ? 201 : 200, objectJson(served.row, written, form.transform, context.query, Date.now()));
}

/** Who may not create may not create by updating either. */
async function authorizeCreate({ deps, context }: ApiRequest): Promise<void> {
  const info = { ...context.info, verb: 'create' };
  const { user } = context;
  if (!user) throw new Error('an authorized request has a user');
  const decision = await deps.authorizer.authorize(user, info);
  if (!decision.allowed) throw forbiddenFor(user, info, decision.reason);
}

export const patchTypes = ['application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/apply-patch+yaml'] as const;
type PatchType = (typeof patchTypes)[number];

export interface Patch {
  readonly options: ReturnType<typeof writeOptions>;
  /** A configuration to be applied: it creates what is missing, and the outcome names its managers. */
  readonly applies: boolean;
  /** The patched document; only a configuration can do without a current one. */
  readonly apply: (current: Readonly<Writable> | undefined) => Promise<unknown>;
}

/** Reads and checks a patch of the kind that the request is about, in the form that it tracks. */
export async function readPatch(request: ApiRequest, kind: TrackedKind): Promise<Patch> {
  const { context } = request;
  const schemaType = (await loadTypes()).typeFor(...kindNames(kind));
  const contentType = (context.request.headers['content-type'] ?? '').split(';', 1)[0]?.trim() ?? '';
  const accepted: readonly string[] = schemaType ? patchTypes : patchTypes.filter((type) => type !== 'application/strategic-merge-patch+json');
  if (!accepted.includes(contentType)) throw unsupportedBody(accepted);
  const type = contentType as PatchType; // one of the list
  const applies = type === 'application/apply-patch+yaml';
  const raw = await readBody(context.request);
  const options = writeOptions(context.query, 'PatchOptions', applies);
  if (applies) return readConfiguration(kind, schemaType, raw, options, context);
  let body: unknown;
  try {
    body = parseJson(raw.toString());
  } catch (error) {
    throw badRequest(`error decoding patch: ${error instanceof Error ? error.message : String(error)}`);
  }
  context.audit?.requestPatch(body);
  const patched = (current: Readonly<Writable>): object => {
    switch (type) {
      case 'application/json-patch+json': return applyJsonPatch(current, body);
      case 'application/merge-patch+json': return applyMergePatch(current, body);
      case 'application/strategic-merge-patch+json':
        if (!schemaType) throw unsupportedBody(accepted);
        return applyStrategicPatch(current, body, schemaType);
      default: return type satisfies never;
    }
  };
  // The managers are the larger part of some objects; a patch that does not speak of them need not copy them.
  const silent = type !== 'application/json-patch+json' && !raw.includes('managedFields');
  return {
    options, applies,
    async apply(current) {
      if (!current) throw new Error('such a patch is of something that is there');
      const object = shallow(() => patched(silent ? withoutManagers(current) : current)); // copies of copies may be deeper than what they were made of
      if (!schemaType) {
        checkDepth(object);
        return object;
      }
      const { conformPatched } = (await loadTyped()).decoding;
      const shown = (): string => (type === 'application/strategic-merge-patch+json' ? raw.toString() : JSON.stringify(object));
      const { warnings } = conformPatched({ object, type: schemaType, fieldValidation: options.fieldValidation, shown, patch: raw });
      for (const warning of warnings) if (!context.warnings.includes(warning)) context.warnings.push(warning);
      return object;
    },
  };
}

function withoutManagers(object: Readonly<Writable>): Readonly<Writable> {
  const { managedFields: _managers, ...metadata } = object.metadata;
  return { ...object, metadata };
}

async function readConfiguration(kind: TrackedKind, type: Type | undefined, raw: Buffer, options: Patch['options'], context: RequestState): Promise<Patch> {
  const { parseConfiguration } = await import('../patch/apply.ts');
  context.audit?.requestPatch(raw.toString()); // may be YAML, so it is told as text
  const configuration = await parseConfiguration(raw);
  return {
    options, applies: true,
    apply(current) {
      const { object, warnings } = configuration.applyTo(current, { kind, type, manager: options.fieldManager, force: options.force === true, now: Date.now(), fieldValidation: options.fieldValidation });
      for (const warning of warnings) if (!context.warnings.includes(warning)) context.warnings.push(warning);
      return Promise.resolve(object);
    },
  };
}

function kindNames({ apiVersion, kind }: TrackedKind): [group: string, version: string, kind: string] {
  const { group, version } = parseApiVersion(apiVersion);
  return [group, version, kind];
}

/** The kind of a request as its managers see it. */
async function trackedKindOf({ deps, served }: ApiRequest, subresource: string): Promise<TrackedKind> {
  const { tracker, schema } = await loadTyped();
  return tracker.trackedKind(served, subresource, deps.resources, schema);
}

/** Records what a write changes as this client's. */
async function trackerFor(request: ApiRequest, fieldManager: string, subresource = ''): Promise<NonNullable<WriteRequest['track']>> {
  const { tracker, fieldManager: { trackUpdate } } = await loadTyped();
  const kind = await trackedKindOf(request, subresource);
  const manager = tracker.managerOf(fieldManager, request.context.request);
  return (live, object) => trackUpdate(kind, live, object, manager, Date.now());
}

let typed: ReturnType<typeof importTyped> | undefined;

/** What writes need of types: large, and nothing before the first write of a client asks for it. Asking the loader each time costs. */
function loadTyped(): ReturnType<typeof importTyped> {
  return typed ??= importTyped().catch((error: unknown) => {
    typed = undefined;
    throw error;
  });
}
async function importTyped() {
  const [schema, decoding, tracker, fieldManager] = await Promise.all([
    import('#machinery/schema/schema.ts').then(({ loadSchema }) => loadSchema()), import('../decoding/decode.ts'),
    import('../fieldmanager/tracker.ts'), import('../fieldmanager/field-manager.ts'),
  ]);
  return { schema, decoding, tracker, fieldManager };
}

export async function loadTypes(): Promise<Schema> {
  return (await loadTyped()).schema;
}

export async function patch(request: ApiRequest, subresource = ''): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const form = outputForm(request);
  const { options, applies, apply } = await readPatch(request, await trackedKindOf(request, subresource));
  const { name } = context.info;
  const { row } = served;
  const patched = async (old: Readonly<Writable> | undefined): Promise<Writable> => {
    const object = asKind(await apply(old), row);
    row.strategy.default?.(object);
    if (!old && object.metadata.uid) throw conflict(served.name, name, `uid mismatch: the provided object specified uid ${object.metadata.uid}, and no existing object was found`);
    checkName(object, name, namespace);
    return object;
  };
  const write: WriteRequest = {
    ...writeRequest(request, name, subresource, options.dryRun, { ...options.asObject, kind: 'UpdateOptions' }),
    track: applies ? 'done' : await trackerFor(request, options.fieldManager, subresource),
  };
  const written = await deps.storeOf(served).update(write, patched, applies && subresource === '' ? {
    createMissing: () => patched(undefined), onCreate: () => authorizeCreate(request),
  } : {});
  return respond(context, response, form, written.created ? 201 : 200, objectJson(row, written, form.transform, context.query, Date.now()));
}

/** Kinds whose deletion answers with the object; others answer with a Status. */
const returnsDeleted = new Set(['pods', 'services', 'namespaces', 'persistentvolumes', 'persistentvolumeclaims', 'podtemplates', 'resourcequotas', 'serviceaccounts',
  'storageclasses.storage.k8s.io', 'volumeattachments.storage.k8s.io', 'volumeattributesclasses.storage.k8s.io', 'csidrivers.storage.k8s.io', 'csinodes.storage.k8s.io']);

async function readDeleteOptions({ context }: ApiRequest): Promise<ReturnType<typeof deleteOptions>> {
  const raw = await readBody(context.request);
  if (raw.length === 0) return deleteOptions(context.query, undefined);
  const body = await parseBody(raw, negotiateInput(context.request.headers['content-type']));
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw badRequest('decoded object cannot be converted to DeleteOptions');
  const { kind } = body as Record<string, unknown>;
  if (kind !== undefined && kind !== 'DeleteOptions') throw badRequest('decoded object cannot be converted to DeleteOptions');
  context.audit?.requestObject({ kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1', ...body });
  return deleteOptions(context.query, body as Record<string, unknown>); // its members are checked there
}

async function remove(request: ApiRequest): Promise<void> {
  const { deps, context, response, served } = request;
  const form = outputForm(request);
  const options = await readDeleteOptions(request);
  const { name } = context.info;
  const written = await deps.storeOf(served).delete(writeRequest(request, name, '', options.dryRun, options.asObject), options);
  const code = !written.deleted && options.orphanDependents === false ? 202 : 200;
  if (!written.deleted || returnsDeleted.has(served.id) || served.row.group === 'resource.k8s.io') {
    return respond(context, response, form, code, objectJson(served.row, written, form.transform, context.query, Date.now()));
  }
  const { group, resource } = served.row;
  const details = { name, ...(group === '' ? {} : { group }), kind: resource, uid: written.object.metadata.uid };
  return respond(context, response, form, code, JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }));
}

async function removeCollection(request: ApiRequest): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const form = outputForm(request);
  const chosen = listOptions(context.query);
  const options = await readDeleteOptions(request);
  const result = await listObjects(deps, served, selectionOf(served, namespace, '', chosen), chosen, context.signal);
  const store = deps.storeOf(served);
  const queue = [...result.items];
  const work = async (): Promise<void> => {
    for (let item = queue.shift(); item; item = queue.shift()) {
      try {
        await store.delete({ context, namespace: item.namespace, name: item.name, subresource: '', dryRun: options.dryRun, options: options.asObject }, options);
      } catch (error) {
        if (!(error instanceof StatusError && error.status.code === 404)) {
          queue.length = 0;
          throw error;
        }
      }
    }
  };
  // Several at a time share the store's commits.
  await Promise.all(Array.from({ length: Math.min(32, queue.length) }, work));
  return respondList(context, response, form, served, result);
}
