// LIST: joins of the cache's ready-made bytes, pages that stay at one revision, Tables and metadata-only lists.
import type { ServerResponse } from 'node:http';
import { systemClock } from '#machinery/base/clock.ts';
import type { Clock } from '#machinery/base/clock.ts';
import { apiVersionOf } from '#machinery/api/object.ts';
import type { ListMeta } from '#machinery/api/object.ts';
import { badRequest, gone, notAcceptable } from '#machinery/api/status.ts';
import type { StatusError } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import type { CachedObject, WatchCache } from '../storage/cache.ts';
import { compareKeys } from '../storage/keys.ts';
import { CompactedError, FutureRevisionError } from '../storage/storage.ts';
import type { Storage } from '../storage/storage.ts';
import { goType } from '../decoding/go-names.ts';
import { parseGoJson } from '../resources/core/go-json.ts';
import { notOlderThan, parseResourceVersion, tooLarge } from './freshness.ts';
import type { OutputForm } from './negotiate.ts';
import { protobufType, wantsPretty } from './negotiate.ts';
import type { ListOptions } from './options.ts';
import { protobufList } from './protobuf.ts';
import { respond, send } from './respond.ts';
import { selected } from './selection.ts';
import type { Selection } from './selection.ts';
import { decodeStored } from './served.ts';
import type { Served } from './served.ts';
import { includeObject, partialJson, tableJson } from './table.ts';

export interface ListDeps { cache: WatchCache; storage: Storage; snapshots: Snapshots }
export interface ListResult { items: CachedObject[]; meta: ListMeta }

/** Objects that are read from the store at a time. */
const storePiece = 500;
const expired = 'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.';

/** What the list holds, in the version that was asked for. Which state that is: upstream's ShouldDelegateList and ValidateListOptions. */
export async function listObjects(deps: ListDeps, served: Served, selection: Selection, options: ListOptions, signal: AbortSignal): Promise<ListResult> {
  const stored = storedOf(served);
  const { cache } = deps;
  const scope = selection.namespace === '' ? stored.prefix : `${stored.prefix}${selection.namespace}/`;
  const token = options.continue === '' ? undefined : decodeContinue(options.continue, scope);
  if (token && options.resourceVersion !== '' && options.resourceVersion !== '0') throw badRequest('specifying resource version is not allowed when using continue');
  const asked = token ? 0n : parseResourceVersion(options.resourceVersion, (why) => badRequest(`invalid resource version: ${why}`));
  // Who takes any version gets the cache as it is, in one piece.
  const limit = options.resourceVersion === '0' || options.limit === 0 ? Infinity : options.limit;
  const after = token?.startKey ?? '';

  const exact = token ? token.revision : options.resourceVersionMatch === 'Exact' || (options.resourceVersionMatch === '' && options.limit > 0) ? asked : 0n;
  let revision: bigint;
  let all: CachedObject[] | undefined;
  if (exact > 0n) {
    await notOlderThan(cache, exact, signal);
    revision = exact;
    all = revision === cache.revision() ? selected(served, selection) : deps.snapshots.get(snapshotKey(stored.prefix, selection, revision));
  } else {
    if (asked > 0n) await notOlderThan(cache, asked, signal);
    else if (token || options.resourceVersion === '') await cache.waitForLatest(signal);
    revision = cache.revision();
    all = selected(served, selection);
  }
  const page = all ? pageOf(all, after, served, selection, limit) : await storedPage(deps.storage, served, selection, { scope, revision, after, limit, isContinued: token !== undefined }, signal);
  const meta: ListMeta = { resourceVersion: String(revision) };
  const last = page.items.at(-1);
  if (page.remaining > 0 && last) {
    meta.continue = encodeContinue(last.key, scope, revision);
    if (!selection.selective) meta.remainingItemCount = page.remaining;
    if (all) deps.snapshots.keep(snapshotKey(stored.prefix, selection, revision), revision, all);
  }
  return { items: page.items.map((cached) => served.view(cached)), meta };
}

function storedOf(served: Served): NonNullable<Served['stored']> {
  if (!served.stored) throw new Error(`${served.id} is not stored`);
  return served.stored;
}

/** `remaining`: how many of the objects after the page's last one there are; with a selector only whether one of them is selected. */
interface Page { items: CachedObject[]; remaining: number }

function pageOf(all: readonly CachedObject[], after: string, served: Served, selection: Selection, limit: number): Page {
  const items: CachedObject[] = [];
  for (let at = after === '' ? 0 : firstAtOrAfter(all, after); at < all.length; at += 1) {
    const cached = all[at];
    if (!cached || !isSelected(cached, served, selection)) continue;
    if (items.length >= limit) return { items, remaining: all.length - at };
    items.push(cached);
  }
  return { items, remaining: 0 };
}

function isSelected(cached: CachedObject, served: Served, selection: Selection): boolean {
  if (selection.all) return true;
  return selection.matches((served.row.convert ? served.view(cached) : cached).object);
}

/** What `all` is a list of: whoever selects by an index keeps a part only. */
function snapshotKey(prefix: string, { namespace, name, index, label }: Selection, revision: bigint): string {
  return JSON.stringify([prefix, namespace, namespace === '' ? null : name ?? null, String(revision), index ?? label ?? null]);
}

/** A page of a past state that nobody kept: from the store, in pieces, so that other requests get their turn. */
async function storedPage(storage: Storage, served: Served, selection: Selection, { scope, revision, after, limit, isContinued }: { scope: string; revision: bigint; after: string; limit: number; isContinued: boolean }, signal: AbortSignal): Promise<Page> {
  const { row } = storedOf(served);
  const apiVersion = apiVersionOf(row.group, row.version);
  const items: CachedObject[] = [];
  let startKey = after;
  try {
    for (;;) {
      signal.throwIfAborted();
      const piece = await storage.range({ prefix: scope, revision, limit: storePiece, ...(startKey === '' ? {} : { startKey }) });
      for (const [at, item] of piece.items.entries()) {
        const object = decodeStored(row, apiVersion, item.value, item.modRevision);
        const cached: CachedObject = { key: item.key, namespace: object.metadata?.namespace ?? '', name: object.metadata?.name ?? '', object, bytes: Buffer.from(JSON.stringify(object)), revision: item.modRevision };
        if (!isSelected(cached, served, selection)) continue;
        if (items.length >= limit) return { items, remaining: piece.count - at };
        items.push(cached);
      }
      const last = piece.items.at(-1);
      if (!piece.more || !last) return { items, remaining: 0 };
      startKey = `${last.key}\0`;
    }
  } catch (error) {
    if (error instanceof CompactedError) throw isContinued ? continueExpired(after, scope) : gone('The resourceVersion for the provided list is too old.');
    if (error instanceof FutureRevisionError) throw tooLarge(revision, error.current);
    throw error;
  }
}

/** The state of the token is gone; the one inside goes on in the newest. */
function continueExpired(after: string, scope: string): StatusError {
  const refusal = gone(expired);
  refusal.status.metadata = { ...refusal.status.metadata, continue: encodeContinue(after, scope, -1n, '') };
  return refusal;
}

function firstAtOrAfter(items: readonly CachedObject[], key: string): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(items[middle]?.key ?? '', key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The format is upstream's; clients must not look inside, other API servers over the same store may. */
export function encodeContinue(lastKey: string, scope: string, revision: bigint, suffix = '\0'): string {
  return Buffer.from(`{"v":"meta.k8s.io/v1","rv":${revision},"start":${JSON.stringify(lastKey.slice(scope.length) + suffix)}}`).toString('base64url');
}

/** Throws 400. A revision below 0 stands for the newest. */
export function decodeContinue(token: string, scope: string): { startKey: string; revision: bigint } {
  const refuse = (why: string): StatusError => badRequest(`invalid continue token: continue key is not valid: ${why}`);
  const illegal = /[^A-Za-z0-9_-]/.exec(token)?.index ?? (token.length % 4 === 1 ? token.length - 1 : undefined);
  if (illegal !== undefined) throw refuse(`illegal base64 data at input byte ${illegal}`);
  const parsed = parseGoJson(Buffer.from(token, 'base64url').toString());
  if ('error' in parsed) throw refuse(parsed.error);
  const decoded = parsed.value;
  if (typeof decoded !== 'object' || Array.isArray(decoded)) throw refuse(`json: cannot unmarshal ${Array.isArray(decoded) ? 'array' : typeof decoded === 'boolean' ? 'bool' : typeof decoded} into Go value of type storage.continueToken`);
  const { v = '', rv = 0, start = '' } = (decoded ?? {}) as Record<string, unknown>; // an object; its members are checked next
  const mistyped = (field: string, value: unknown, type: string): StatusError => refuse(`json: cannot unmarshal ${typeof value === 'number' ? `number ${value}` : typeof value} into Go struct field continueToken.${field} of type ${type}`);
  if (typeof v !== 'string') throw mistyped('v', v, 'string');
  if (typeof rv !== 'number' || !Number.isSafeInteger(rv)) throw mistyped('rv', rv, 'int64');
  if (typeof start !== 'string') throw mistyped('start', start, 'string');
  if (v !== 'meta.k8s.io/v1') throw refuse(`server does not recognize this encoded version ${v}`);
  if (rv === 0) throw refuse('incorrect encoded start resourceVersion (version meta.k8s.io/v1)');
  if (start === '') throw refuse('encoded start key empty (version meta.k8s.io/v1)');
  // Nobody gets out of the folder that was authorized.
  const path = start.startsWith('/') ? start.slice(1) : start;
  if (path.split('/').some((part) => part === '..' || part === '.' || part === '')) throw refuse(start);
  return { startKey: scope + path, revision: BigInt(rv) };
}

/** Lists that pages still come from. Holds references to shared objects, few and not for long: tokens have to expire with what the store forgets. */
export class Snapshots {
  readonly #kept = new Map<string, { revision: bigint; items: CachedObject[]; until: number }>();
  readonly #limit: number;
  readonly #keepMs: number;
  readonly #clock: Pick<Clock, 'now'>;
  constructor({ limit = 16, keepMs = 30_000, clock = systemClock }: { limit?: number; keepMs?: number; clock?: Pick<Clock, 'now'> } = {}) {
    this.#limit = limit;
    this.#keepMs = keepMs;
    this.#clock = clock;
  }
  /** For so long after the first page, however often others are read. */
  keep(key: string, revision: bigint, items: CachedObject[]): void {
    const now = this.#clock.now();
    const until = this.#kept.get(key)?.until ?? now + this.#keepMs;
    this.#kept.delete(key);
    this.#kept.set(key, { revision, items, until });
    for (const [old, { until: end }] of this.#kept) if (end < now || this.#kept.size > this.#limit) this.#kept.delete(old);
  }
  /** What the store has forgotten nobody shall read on. */
  forgetBefore(revision: bigint): void {
    for (const [key, kept] of this.#kept) if (kept.revision < revision) this.#kept.delete(key);
  }
  get(key: string): CachedObject[] | undefined {
    const found = this.#kept.get(key);
    return found && found.until >= this.#clock.now() ? found.items : undefined;
  }
}

const comma = Buffer.from(',');
const firstTyped = Buffer.from('{');
const nextTyped = Buffer.from(',{');
const end = Buffer.from(']}\n');

export async function respondList(context: RequestState, response: ServerResponse, form: OutputForm, served: Served, { items, meta }: ListResult): Promise<void> {
  const { row } = served;
  const { transform } = form;
  if (transform?.kind === 'Table') {
    return respond(context, response, form, 200, tableJson(row, items, transform.version, includeObject(context.query), meta, Date.now()));
  }
  if (transform?.kind === 'PartialObjectMetadata') throw notAcceptable(`you requested PartialObjectMetadata, but the requested object is a list (${goType(row.group, row.listKind)})`);
  if (transform) {
    const partial = items.map((item) => partialJson(item, transform.version)).join(',');
    return respond(context, response, form, 200, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/${transform.version}","metadata":${JSON.stringify(meta)},"items":[${partial}]}`);
  }
  if (context.audit?.wantsResponse) context.audit.responseObject(JSON.stringify({ kind: row.listKind, apiVersion: served.apiVersion, metadata: meta, items: items.map(({ object }) => object) }));
  if (form.mediaType === protobufType) {
    const parts = await protobufList({ kind: row.listKind, apiVersion: served.apiVersion, metadata: meta }, items);
    if (parts) return send(context, response, 200, protobufType, parts);
  }
  const head = Buffer.from(`{"kind":${JSON.stringify(row.listKind)},"apiVersion":${JSON.stringify(served.apiVersion)},"metadata":${JSON.stringify(meta)},"items":[`);
  const parts: Buffer[] = [head];
  const typed = row.itemsNameKind ? Buffer.alloc(0) : Buffer.from(`{"kind":${JSON.stringify(row.kind)},"apiVersion":${JSON.stringify(served.apiVersion)},`);
  items.forEach(({ bytes }, index) => {
    // The list names the kind of built-in objects once; each begins with its own.
    const isTyped = typed.length > 0 && bytes.compare(typed, 0, typed.length, 0, typed.length) === 0;
    if (isTyped) parts.push(index > 0 ? nextTyped : firstTyped, bytes.subarray(typed.length));
    else if (index > 0) parts.push(comma, bytes);
    else parts.push(bytes);
  });
  parts.push(end);
  if (form.mediaType === 'application/json' && !form.pretty && !wantsPretty(context.query, context.request.headers['user-agent'])) {
    return send(context, response, 200, 'application/json', parts);
  }
  return respond(context, response, form, 200, Buffer.concat(parts));
}
