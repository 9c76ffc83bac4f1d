// Subresources: status and the like by the generic store, the rest by handlers of their own.
import { StatusError, badRequest } from '#machinery/api/status.ts';
import { decodeAs, decodeBody, methodNotAllowed, noSuchResource, outputForm, patch, update } from './api.ts';
import type { ApiRequest } from './api.ts';
import { readBody } from './body.ts';
import { negotiateInput } from './negotiate.ts';
import { writeOptions } from './options.ts';
import { respond } from './respond.ts';
import { objectJson } from './table.ts';
import { notFound } from '#machinery/api/status.ts';
import { parseApiVersion } from '#machinery/api/object.ts';

/** Subresources that are the object itself under other rules. */
const views = new Set(['status', 'finalize', 'ephemeralcontainers', 'resize', 'approval']);

export async function serveSubresource(request: ApiRequest): Promise<void> {
  const { context, served, deps } = request;
  const { info } = context;
  const row = served.row.subresources.find((one) => one.name === info.subresource);
  if (!row) throw noSuchResource();
  if (row.connect || info.subresource === 'log') return (await import('./connect.ts')).serveConnect(request);
  if (info.parts.length > 0) throw noSuchResource();
  if (!row.verbs.includes(info.verb)) throw methodNotAllowed();
  const custom = deps.customHandlers.get(`${served.id}/${info.subresource}`);
  if (custom) return serveCustom(request, row, custom);
  if (info.subresource === 'scale') return (await import('./scale.ts')).serveScale(request);
  if (views.has(info.subresource)) {
    switch (info.verb) {
      case 'get': return get(request);
      case 'update': return update(request, info.subresource);
      case 'patch': return patch(request, info.subresource);
      default: throw methodNotAllowed();
    }
  }
  throw new StatusError(501, 'NotImplemented', `${info.resource}/${info.subresource} is not served yet`);
}

async function get(request: ApiRequest): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const form = outputForm(request);
  await deps.cache.waitForLatest(context.signal);
  const cached = served.stored?.cache.get(namespace, context.info.name);
  if (!cached) throw notFound(served.name, context.info.name);
  return respond(context, response, form, 200, objectJson(served.row, served.view(cached), form.transform, context.query, Date.now()));
}

async function serveCustom(request: ApiRequest, sub: { kind?: string; groupVersion?: string }, handler: NonNullable<ReturnType<ApiRequest['deps']['customHandlers']['get']>>): Promise<void> {
  const { context, response, served, namespace } = request;
  const form = outputForm(request);
  const { verb, name } = context.info;
  if (verb === 'get') {
    const object = await handler({ context, row: served.row, namespace, name, body: undefined, dryRun: false });
    return respond(context, response, form, 200, JSON.stringify(object));
  }
  if (verb !== 'create' && verb !== 'update') throw badRequest(`${verb} is not served for ${served.row.resource}/${context.info.subresource}`);
  const format = negotiateInput(context.request.headers['content-type']);
  const raw = await readBody(context.request);
  const options = writeOptions(context.query, verb === 'create' ? 'CreateOptions' : 'UpdateOptions');
  const body = sub.kind === undefined ? await decodeBody(request, raw, format, options.fieldValidation)
    : await decodeAs(request, raw, format, { ...parseApiVersion(sub.groupVersion ?? served.apiVersion), kind: sub.kind }, options.fieldValidation);
  const object = await handler({ context, row: served.row, namespace, name, body, dryRun: options.dryRun });
  return respond(context, response, form, verb === 'create' ? 201 : 200, JSON.stringify(object));
}
