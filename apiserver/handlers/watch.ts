// WATCH: the cache's changes as frames, with bookmarks, initial events (streaming lists) and events that follow from the
// selector: an object that begins or ceases to match is ADDED or DELETED. A frame is made once for all watchers.
import type { ServerResponse } from 'node:http';
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Status } from '#machinery/api/status.ts';
import { notAcceptable } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import { statusOf } from '../filters/errors.ts';
import type { CachedObject, CacheEvent, WatchCache } from '../storage/cache.ts';
import { CompactedError } from '../storage/storage.ts';
import { notOlderThan, tooOld } from './freshness.ts';
import { protobufType } from './negotiate.ts';
import type { OutputForm } from './negotiate.ts';
import type { ListOptions } from './options.ts';
import { bodyOf, loadProtobuf } from './protobuf.ts';
import { drained } from './respond.ts';
import type { Selection } from './selection.ts';
import type { Served } from './served.ts';
import { includeObject, partialJson, tableJson } from './table.ts';

const log = createLogger('watch');
const bookmarkEveryMs = 50_000;
const minTimeoutMs = 1_800_000;
/** Initial events go out in pieces of about this size. */
const pieceBytes = 256 * 1024;

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export async function serveWatch(cache: WatchCache, context: RequestState, response: ServerResponse, form: OutputForm, served: Served, selection: Selection, options: ListOptions): Promise<void> {
  const { stored } = served;
  if (!stored) throw new Error(`${served.id} is not stored`);
  const encode = form.mediaType === protobufType ? await protobufEncoder(form, served) : encoderFor(form, served, context.query);
  const timeoutMs = options.timeoutSeconds ? options.timeoutSeconds * 1000 : minTimeoutMs * (1 + Math.random());

  response.statusCode = 200;
  response.setHeader('Content-Type', form.mediaType === protobufType ? `${protobufType};stream=watch` : 'application/json');
  const ended = new AbortController();
  const signal = AbortSignal.any([context.signal, ended.signal]);
  const timer = setTimeout(() => ended.abort(), Math.min(timeoutMs, 2 ** 31 - 1));
  let bookmarks: NodeJS.Timeout | undefined;
  let watch: ReturnType<typeof stored.cache.watch> | undefined;
  try {
    const asked = options.resourceVersion === '' ? 0n : BigInt(options.resourceVersion);
    if (options.resourceVersion === '') await cache.waitForLatest(signal);
    // Like upstream, everything that goes wrong from here on is an event, not an answer.
    response.flushHeaders();
    if (options.sendInitialEvents && asked > 0n) await notOlderThan(cache, asked, signal);

    const begins = cache.revision();
    const fromNow = asked === 0n || options.sendInitialEvents === true;
    const initial = options.sendInitialEvents ? stored.cache.list({ ...(selection.namespace === '' ? {} : { namespace: selection.namespace }), ...(selection.index ? { index: selection.index } : {}) }) : [];
    watch = stored.cache.watch({
      afterRevision: fromNow || asked > begins ? begins : asked,
      ...(selection.namespace === '' ? {} : { namespace: selection.namespace }),
      ...(selection.name === undefined || selection.namespace === '' && served.row.namespaced ? {} : { name: selection.name }),
    }, signal);

    await sendInitial(response, initial, served, selection, encode, signal);
    if (options.sendInitialEvents && options.allowWatchBookmarks) response.write(encode.bookmark(begins, true));
    const current = watch;
    if (options.allowWatchBookmarks) {
      let sent = begins;
      const send = (): void => {
        if (response.writableNeedDrain || response.destroyed || current.revision <= sent) return;
        sent = current.revision;
        response.write(encode.bookmark(sent, false));
      };
      bookmarks = setInterval(send, bookmarkEveryMs);
    }
    for await (const batch of current) {
      const frames = framesOf(batch, served, selection, encode, fromNow ? 0n : asked);
      if (frames.length === 0) continue;
      if (response.destroyed) break;
      const piece = frames.length === 1 ? frames[0] ?? Buffer.alloc(0) : Buffer.concat(frames);
      if (!response.write(piece)) await drained(response);
    }
  } catch (error) {
    if (!signal.aborted && !response.destroyed) {
      const status = error instanceof CompactedError ? tooOld(options.resourceVersion, error.compacted).status : statusOf(error, { path: context.info.path });
      log.debug('watch ends with an error', { path: context.info.path, status: status.message });
      response.write(encode.error(status));
    }
  } finally {
    clearTimeout(timer);
    clearInterval(bookmarks);
    watch?.close();
    ended.abort();
    if (!response.destroyed) response.end();
  }
}

async function sendInitial(response: ServerResponse, items: readonly CachedObject[], served: Served, selection: Selection, encode: Encoder, signal: AbortSignal): Promise<void> {
  let frames: Buffer[] = [];
  let size = 0;
  for (const item of items) {
    const shown = served.view(item);
    if (!selection.all && !selection.matches(shown.object)) continue;
    const frame = encode.once('ADDED', shown);
    frames.push(frame);
    size += frame.length;
    if (size >= pieceBytes) {
      if (!response.write(Buffer.concat(frames, size))) await drained(response);
      else await new Promise(setImmediate);
      if (response.destroyed || signal.aborted) return;
      frames = [];
      size = 0;
    }
  }
  if (size > 0 && !response.write(Buffer.concat(frames, size))) await drained(response);
}

function framesOf(batch: readonly CacheEvent[], served: Served, selection: Selection, encode: Encoder, after: bigint): Buffer[] {
  const frames: Buffer[] = [];
  for (const event of batch) {
    if (event.revision <= after) continue;
    const now = event.current && served.view(event.current);
    const before = event.previous && served.view(event.previous);
    const matched = before !== undefined && (selection.all || selection.matches(before.object));
    const matches = event.type === 'put' && now !== undefined && (selection.all || selection.matches(now.object));
    if (matches) frames.push(encode.shared(matched ? 'MODIFIED' : 'ADDED', now));
    else if (matched) frames.push(encode.shared('DELETED', event.deleted ? served.view(event.deleted) : atRevision(before, event)));
  }
  return frames;
}

/** The last state that matched, with the version of the change that ended it. */
const departed = new WeakMap<CacheEvent, CachedObject>();
function atRevision(before: CachedObject, event: CacheEvent): CachedObject {
  let last = departed.get(event);
  if (!last) {
    const object = { ...before.object, metadata: { ...before.object.metadata, resourceVersion: String(event.revision) } };
    last = { ...before, object, bytes: Buffer.from(JSON.stringify(object)) };
    departed.set(event, last);
  }
  return last;
}

interface Encoder {
  /** A frame that nobody else is likely to want. */
  once(type: EventType, item: CachedObject): Buffer;
  /** A frame that other watchers get too. */
  shared(type: EventType, item: CachedObject): Buffer;
  bookmark(revision: bigint, initialEventsEnd: boolean): Buffer;
  error(status: Status): Buffer;
}

const heads: Record<EventType, Buffer> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'), MODIFIED: Buffer.from('{"type":"MODIFIED","object":'), DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const tail = Buffer.from('}\n');

function frame(type: EventType, bytes: Buffer): Buffer {
  return Buffer.concat([heads[type], bytes, tail]);
}

/** The newest frames: watchers that are awake at the same time find them here, nobody holds them for long. */
class FrameCache {
  readonly #frames = new Map<CachedObject, Buffer>();
  get(item: CachedObject, make: () => Buffer): Buffer {
    let found = this.#frames.get(item);
    if (!found) {
      found = make();
      this.#frames.set(item, found);
      if (this.#frames.size > 128) for (const oldest of this.#frames.keys()) {
        this.#frames.delete(oldest);
        break;
      }
    }
    return found;
  }
}
const frameCaches = (): Record<EventType, FrameCache> => ({ ADDED: new FrameCache(), MODIFIED: new FrameCache(), DELETED: new FrameCache() });
const jsonFrames = frameCaches();
const protobufFrames = frameCaches();

function encoderFor(form: OutputForm, served: Served, query: URLSearchParams): Encoder {
  const { transform } = form;
  const { row, apiVersion } = served;
  const error = (status: Status): Buffer => Buffer.from(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`);
  if (!transform) {
    return {
      once: (type, item) => frame(type, item.bytes),
      shared: (type, item) => jsonFrames[type].get(item, () => frame(type, item.bytes)),
      error,
      bookmark: (revision, end) => Buffer.from(`{"type":"BOOKMARK","object":${JSON.stringify({ kind: row.kind, apiVersion, metadata: metadataOf(revision, end) })}}\n`),
    };
  }
  if (transform.kind === 'PartialObjectMetadataList') throw notAcceptable(`you requested PartialObjectMetadataList, but the requested object is not a list (${row.kind})`);
  let shape: (item: Pick<CachedObject, 'object' | 'bytes'>) => string;
  if (transform.kind === 'Table') {
    const include = includeObject(query);
    let first = true;
    shape = (item) => {
      const text = tableJson(row, [item], transform.version, include, { ...(item.object.metadata?.resourceVersion ? { resourceVersion: item.object.metadata.resourceVersion } : {}) }, Date.now(), first);
      first = false;
      return text;
    };
  } else shape = (item) => partialJson(item.object, transform.version);
  const make = (type: EventType, item: CachedObject): Buffer => frame(type, Buffer.from(shape(item)));
  return {
    once: make,
    shared: make,
    error,
    bookmark(revision, end) {
      const object = { kind: row.kind, apiVersion, metadata: metadataOf(revision, end) };
      return Buffer.from(`{"type":"BOOKMARK","object":${shape({ object, bytes: Buffer.from(JSON.stringify(object)) })}}\n`);
    },
  };
}

function metadataOf(revision: bigint, end: boolean): { resourceVersion: string; annotations?: Record<string, string> } {
  return { resourceVersion: String(revision), ...(end ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}) };
}

/** Frames with their length in front. Tables do not come this way, and only metadata of kinds without a message: negotiation sees to it. */
async function protobufEncoder({ transform }: OutputForm, { row, apiVersion }: Served): Promise<Encoder> {
  const [codec, { encodeEnvelope, encodeWatchFrame }] = await Promise.all([loadProtobuf(), import('#machinery/schema/protobuf.ts')]);
  const own = { kind: row.kind, apiVersion };
  const encoded = (object: KubeObject): Buffer => {
    const bytes = codec.encode(object);
    if (!bytes) throw new Error(`${object.apiVersion} ${object.kind} has no protobuf message`);
    return bytes;
  };
  const partial = ({ metadata }: Readonly<KubeObject>): KubeObject => ({ kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${transform?.version ?? 'v1'}`, metadata: metadata ?? {} });
  if (transform && transform.kind !== 'PartialObjectMetadata') throw notAcceptable(`you requested ${transform.kind}, but the requested object is not a list (${row.kind})`);
  const whole = (item: Pick<CachedObject, 'object'>): Buffer => {
    const body = bodyOf(codec, item);
    return body ? encodeEnvelope(own, body) : encoded(item.object);
  };
  const frameOf = (type: EventType, item: CachedObject): Buffer => encodeWatchFrame(type, transform ? encoded(partial(item.object)) : whole(item));
  return {
    once: frameOf,
    shared: (type, item) => (transform ? frameOf(type, item) : protobufFrames[type].get(item, () => frameOf(type, item))),
    bookmark(revision, end) {
      const object = { ...own, metadata: metadataOf(revision, end) };
      return encodeWatchFrame('BOOKMARK', encoded(transform ? partial(object) : object));
    },
    error: (status) => encodeWatchFrame('ERROR', encoded({ ...status })),
  };
}
