// LIST: joins of the cache's ready-made bytes, pages that stay at one revision, Tables and metadata-only lists.
import type { ServerResponse } from 'node:http';
import type { ListMeta } from '#machinery/api/object.ts';
import { badRequest, gone, notAcceptable } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import type { CachedObject, WatchCache } from '../storage/cache.ts';
import { CompactedError, FutureRevisionError } from '../storage/storage.ts';
import type { Storage } from '../storage/storage.ts';
import { notOlderThan, tooLarge } from './freshness.ts';
import type { OutputForm } from './negotiate.ts';
import { protobufType, wantsPretty } from './negotiate.ts';
import type { ListOptions } from './options.ts';
import { protobufList } from './protobuf.ts';
import { respond, send } from './respond.ts';
import type { Selection } from './selection.ts';
import { decodeStored } from './served.ts';
import type { Served } from './served.ts';
import { includeObject, partialJson, tableJson } from './table.ts';

export interface ListDeps { cache: WatchCache; storage: Storage; snapshots: Snapshots }
export interface ListResult { items: CachedObject[]; meta: ListMeta }

const expired = 'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.';

/** What the list holds, in the version that was asked for. */
export async function listObjects(deps: ListDeps, served: Served, selection: Selection, options: ListOptions, signal: AbortSignal): Promise<ListResult> {
  const { stored } = served;
  if (!stored) throw new Error(`${served.id} is not stored`);
  const scope = selection.namespace === '' ? stored.prefix : `${stored.prefix}${selection.namespace}/`;
  const token = options.continue === '' ? undefined : decodeContinue(options.continue, scope);
  if (token && options.resourceVersion !== '' && options.resourceVersion !== '0') throw badRequest('specifying resource version is not allowed when using continue');

  const asked = options.resourceVersion === '' ? undefined : BigInt(options.resourceVersion);
  const exact = options.resourceVersionMatch === 'Exact' || (options.resourceVersionMatch === '' && options.limit > 0 && asked !== undefined && asked > 0n) ? asked : undefined;
  const { cache } = deps;
  let revision: bigint;
  let all: CachedObject[];
  let after = token?.startKey ?? '';
  if (token && token.revision > 0n) ({ all, revision } = await atRevision(deps, served, selection, scope, token.revision, after));
  else if (exact !== undefined) ({ all, revision } = await atRevision(deps, served, selection, scope, exact, ''));
  else {
    if (asked === undefined) await cache.waitForLatest(signal);
    else if (asked > 0n) await notOlderThan(cache, asked, signal);
    revision = cache.revision();
    all = current(stored.cache, selection);
  }

  let start = after === '' ? 0 : firstAtOrAfter(all, after);
  const page: CachedObject[] = [];
  let next = all.length;
  let more = false;
  const byView = served.row.convert !== undefined;
  for (let at = start; at < all.length; at += 1) {
    const cached = all[at];
    if (!cached) continue;
    const shown = byView && !selection.all ? served.view(cached) : cached;
    if (!selection.all && !selection.matches(shown.object)) continue;
    if (options.limit > 0 && page.length === options.limit) {
      more = true;
      next = at;
      break;
    }
    page.push(cached);
  }
  const meta: ListMeta = { resourceVersion: String(revision) };
  if (more) {
    const last = page.at(-1);
    if (last) meta.continue = encodeContinue(last.key, scope, revision);
    if (!selection.selective) meta.remainingItemCount = all.length - next;
    deps.snapshots.keep(snapshotKey(stored.prefix, selection, revision), all);
  }
  return { items: page.map((cached) => served.view(cached)), meta };
}

function current(cache: NonNullable<Served['stored']>['cache'], selection: Selection): CachedObject[] {
  if (selection.name !== undefined && (selection.namespace !== '' || cache.resource.prefix === '' )) {
    const one = cache.get(selection.namespace, selection.name);
    return one ? [one] : [];
  }
  return cache.list({
    ...(selection.namespace === '' ? {} : { namespace: selection.namespace }),
    ...(selection.index ? { index: selection.index } : {}),
    ...(selection.label ? { label: selection.label } : {}),
  });
}

/** What `all` is a list of: whoever selects by an index keeps a part only. */
function snapshotKey(prefix: string, { namespace, index, label }: Selection, revision: bigint): string {
  return JSON.stringify([prefix, namespace, String(revision), index ?? label ?? null]);
}

/** The state at a past revision: what a page before left behind, else read from the store. */
async function atRevision({ cache, storage, snapshots }: ListDeps, served: Served, selection: Selection, scope: string, revision: bigint, startKey: string): Promise<{ all: CachedObject[]; revision: bigint }> {
  const { stored } = served;
  if (!stored) throw new Error(`${served.id} is not stored`);
  const kept = snapshots.get(snapshotKey(stored.prefix, selection, revision));
  if (kept) return { all: kept, revision };
  if (revision === cache.revision()) return { all: current(stored.cache, selection), revision };
  try {
    const result = await storage.range({ prefix: scope, revision, ...(startKey === '' ? {} : { startKey }) });
    const { row } = stored;
    const apiVersion = row.group === '' ? row.version : `${row.group}/${row.version}`;
    const all = result.items.map((item): CachedObject => {
      const object = decodeStored(row, apiVersion, item.value, item.modRevision);
      return { key: item.key, namespace: object.metadata?.namespace ?? '', name: object.metadata?.name ?? '', object, bytes: Buffer.from(JSON.stringify(object)), revision: item.modRevision };
    });
    return { all, revision };
  } catch (error) {
    if (error instanceof CompactedError) {
      if (startKey === '') throw gone('The resourceVersion for the provided list is too old.');
      const { status } = gone(expired);
      const refusal = gone(expired);
      refusal.status.metadata = { ...status.metadata, continue: encodeContinue(startKey, scope, -1n, '') };
      throw refusal;
    }
    if (error instanceof FutureRevisionError) throw tooLarge(revision, error.current);
    throw error;
  }
}

function firstAtOrAfter(items: readonly CachedObject[], key: string): number {
  let low = 0;
  let high = items.length;
  const wanted = Buffer.from(key);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Buffer.compare(Buffer.from(items[middle]?.key ?? ''), wanted) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The format is upstream's; clients must not look inside, other API servers over the same store may. */
export function encodeContinue(lastKey: string, scope: string, revision: bigint, suffix = '\0'): string {
  return Buffer.from(`{"v":"meta.k8s.io/v1","rv":${revision},"start":${JSON.stringify(lastKey.slice(scope.length) + suffix)}}`).toString('base64url');
}

export function decodeContinue(token: string, scope: string): { startKey: string; revision: bigint } {
  const refuse = (why: string): never => {
    throw badRequest(`continue key is not valid${why}`);
  };
  let decoded: unknown;
  try {
    decoded = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch (error) {
    return refuse(`: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof decoded !== 'object' || decoded === null) return refuse('');
  const { v, rv, start } = decoded as Record<string, unknown>;
  if (v !== 'meta.k8s.io/v1') return refuse(`: server does not recognize this encoded version ${String(v)}`);
  if (typeof rv !== 'number' || !Number.isSafeInteger(rv) || rv === 0) return refuse(': incorrect encoded start resourceVersion (version meta.k8s.io/v1)');
  if (typeof start !== 'string' || start === '') return refuse(': encoded start key empty (version meta.k8s.io/v1)');
  // Nobody gets out of the folder that was authorized.
  if (start.startsWith('/') || start.split('/').some((part) => part === '..' || part === '.' || part === '')) return refuse(`: ${start}`);
  return { startKey: scope + start, revision: BigInt(rv) };
}

/** Lists that pages still come from. Holds references to shared objects, few and not for long. */
export class Snapshots {
  readonly #kept = new Map<string, { items: CachedObject[]; until: number }>();
  readonly #limit: number;
  readonly #keepMs: number;
  constructor(limit = 16, keepMs = 30_000) {
    this.#limit = limit;
    this.#keepMs = keepMs;
  }
  keep(key: string, items: CachedObject[]): void {
    const now = Date.now();
    this.#kept.delete(key);
    this.#kept.set(key, { items, until: now + this.#keepMs });
    for (const [old, { until }] of this.#kept) if (until < now || this.#kept.size > this.#limit) this.#kept.delete(old);
  }
  get(key: string): CachedObject[] | undefined {
    const found = this.#kept.get(key);
    return found && found.until >= Date.now() ? found.items : undefined;
  }
}

const comma = Buffer.from(',');
const end = Buffer.from(']}\n');

export async function respondList(context: RequestState, response: ServerResponse, form: OutputForm, served: Served, { items, meta }: ListResult): Promise<void> {
  const { row } = served;
  const { transform } = form;
  if (transform?.kind === 'Table') {
    return respond(context, response, form, 200, tableJson(row, items, transform.version, includeObject(context.query), meta, Date.now()));
  }
  if (transform?.kind === 'PartialObjectMetadata') throw notAcceptable(`you requested PartialObjectMetadata, but the requested object is a list (${row.listKind})`);
  if (transform) {
    const partial = items.map(({ object }) => partialJson(object, transform.version)).join(',');
    return respond(context, response, form, 200, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/${transform.version}","metadata":${JSON.stringify(meta)},"items":[${partial}]}`);
  }
  if (form.mediaType === protobufType) {
    const parts = await protobufList({ kind: row.listKind, apiVersion: served.apiVersion, metadata: meta }, items);
    if (parts) return send(context, response, 200, protobufType, parts);
  }
  const head = Buffer.from(`{"kind":${JSON.stringify(row.listKind)},"apiVersion":${JSON.stringify(served.apiVersion)},"metadata":${JSON.stringify(meta)},"items":[`);
  const parts: Buffer[] = [head];
  items.forEach((item, index) => {
    if (index > 0) parts.push(comma);
    parts.push(item.bytes);
  });
  parts.push(end);
  if (form.mediaType === 'application/json' && !form.pretty && !wantsPretty(context.query, context.request.headers['user-agent'])) {
    return send(context, response, 200, 'application/json', parts);
  }
  return respond(context, response, form, 200, Buffer.concat(parts));
}
