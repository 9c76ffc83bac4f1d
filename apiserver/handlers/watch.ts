// WATCH: the cache's changes as frames, with bookmarks, initial events (streaming lists) and events that follow from the
// selector: an object that begins or ceases to match is ADDED or DELETED. watch-frames.ts makes the frames, watch-sink.ts sends them.
import { createLogger } from '#machinery/base/log.ts';
import type { RequestState, Watching } from '../filters/context.ts';
import { statusOf } from '../filters/errors.ts';
import type { CachedObject, CacheEvent, WatchCache } from '../storage/cache.ts';
import { CompactedError } from '../storage/storage.ts';
import { notOlderThan, parseResourceVersion, tooOld, unexpected } from './freshness.ts';
import { protobufType } from './negotiate.ts';
import type { OutputForm } from './negotiate.ts';
import type { ListOptions } from './options.ts';
import { selected } from './selection.ts';
import type { Selection } from './selection.ts';
import type { Served } from './served.ts';
import { createEncoder } from './watch-frames.ts';
import type { Encoder, EventType } from './watch-frames.ts';
import type { OpenSink, WatchSink } from './watch-sink.ts';

const log = createLogger('watch');
const bookmarkEveryMs = 60_000;
/** The last bookmark goes out so long before the watch's time is over, so that its client resumes from nearly now. */
const lastBookmarkMs = 2000;
const minTimeoutMs = 1_800_000;
/** What happens now goes to many watchers alike and is joined once; more than this at a time is one watcher's catching up. */
const sharedEvents = 64;
/** Initial events go out in pieces of about this size. */
const pieceBytes = 256 * 1024;

/** Throws what is to be answered as a Status; what goes wrong after the sink was opened becomes an event. */
export async function serveWatch(cache: WatchCache, context: RequestState, form: OutputForm, served: Served, selection: Selection, options: ListOptions, open: OpenSink): Promise<void> {
  const { stored } = served;
  if (!stored) throw new Error(`${served.id} is not stored`);
  const asked = parseResourceVersion(options.resourceVersion, unexpected);
  const encode = await createEncoder(form, served, context.query);
  // Streams of JSON bear no parameter upstream, others do.
  const sink = await open(form.mediaType === protobufType ? `${protobufType};stream=watch` : form.mediaType, form.mediaType !== protobufType);
  const timeoutMs = options.timeoutSeconds ? options.timeoutSeconds * 1000 : minTimeoutMs * (1 + Math.random());
  const deadline = Date.now() + timeoutMs;
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), Math.min(timeoutMs, 2 ** 31 - 1));
  const signal = AbortSignal.any([context.signal, over.signal]);
  let stopBookmarks: (() => void) | undefined;
  let watch: ReturnType<typeof stored.cache.watch> | undefined;
  try {
    const { sendInitialEvents } = options;
    if (sendInitialEvents !== undefined && options.resourceVersion === '') await cache.waitForLatest(signal);
    if (sendInitialEvents) await notOlderThan(cache, asked, signal);
    // Old clients that name no version expect what exists too.
    const wantsInitial = sendInitialEvents ?? asked === 0n;
    if (!wantsInitial && asked > 0n) await stored.cache.reachBack(asked, signal);

    // From here to the watch nothing waits: what exists and what changes then join without a gap.
    const begins = wantsInitial || asked === 0n ? cache.revision() : asked;
    const initial = wantsInitial ? selected(served, selection) : [];
    watch = stored.cache.watch({ afterRevision: begins, ...topicOf(served, selection), onSlow: () => {
      context.watching?.tooSlow();
      sink.destroy();
    } }, signal);
    await sendInitial(sink, initial, served, selection, encode, signal, context.watching);
    if (sendInitialEvents && options.allowWatchBookmarks) {
      const bookmark = encode.bookmark(begins, true);
      context.watching?.sent(1, bookmark.length);
      await sink.write([bookmark]);
    }
    if (sendInitialEvents) context.watching?.listed();
    if (options.allowWatchBookmarks) stopBookmarks = keepBookmarks(sink, watch, begins, encode, deadline);
    for await (const batch of watch) {
      const frames = framesOf(batch, served, selection, encode, sink, context.watching);
      if (frames.length > 0) await sink.write(frames);
      if (sink.gone) break;
    }
  } catch (error) {
    if (!signal.aborted && !sink.gone) {
      const status = error instanceof CompactedError ? tooOld(asked, error.compacted).status : statusOf(error, { path: context.info.path });
      log.debug('watch ends with an error', { path: context.info.path, status: status.message });
      await sink.write([encode.error(status)]);
    }
  } finally {
    clearTimeout(timer);
    stopBookmarks?.();
    watch?.close();
    over.abort();
    sink.end();
  }
}

/** Which changes the cache need not tell at all. */
function topicOf(served: Served, { namespace, name, index }: Selection): { namespace?: string; name?: string; index?: { name: string; value: string } } {
  if (name !== undefined && (namespace !== '' || !served.row.namespaced)) return { namespace, name };
  if (namespace !== '') return { namespace };
  return index ? { index } : {};
}

/** Every minute, and shortly before the end. */
function keepBookmarks(sink: WatchSink, watch: { readonly revision: bigint }, begins: bigint, encode: Encoder, deadline: number): () => void {
  let timer: NodeJS.Timeout | undefined;
  const send = (): void => {
    // Who is behind gets what is on the way first, and a bookmark the next time.
    if (!sink.gone && !sink.isBehind && watch.revision > begins) sink.write([encode.bookmark(watch.revision, false)])?.catch(() => undefined); // never rejects
    schedule();
  };
  const schedule = (): void => {
    const now = Date.now();
    const at = Math.min(now + bookmarkEveryMs, deadline - lastBookmarkMs);
    if (at > now) timer = setTimeout(send, at - now);
  };
  schedule();
  return () => clearTimeout(timer);
}

async function sendInitial(sink: WatchSink, items: readonly CachedObject[], served: Served, selection: Selection, encode: Encoder, signal: AbortSignal, watching: Watching | undefined): Promise<void> {
  let frames: Buffer[] = [];
  let size = 0;
  for (const item of items) {
    const shown = served.view(item);
    if (!selection.all && !selection.matches(shown.object)) continue;
    const parts = encode.once('ADDED', shown);
    if (sink.isFramed) frames.push(Buffer.concat(parts));
    else frames.push(...parts);
    let length = 0;
    for (const part of parts) length += part.length;
    size += length;
    watching?.sent(1, length);
    if (size < pieceBytes) continue;
    await (sink.write(frames) ?? new Promise(setImmediate));
    if (sink.gone || signal.aborted) return;
    frames = [];
    size = 0;
  }
  if (frames.length > 0) await sink.write(frames);
}

function framesOf(batch: readonly CacheEvent[], served: Served, selection: Selection, encode: Encoder, sink: WatchSink, watching: Watching | undefined): Buffer[] {
  const shared = selection.all && !sink.isFramed && batch.length <= sharedEvents ? encode.batches : undefined;
  const known = shared?.get(batch);
  if (known) {
    watching?.sent(batch.length, known.length); // of all events there is one frame each
    return [known];
  }
  const frames: Buffer[] = [];
  const isOwn = batch.length > sharedEvents && !sink.isFramed;
  let events = 0;
  const add = (type: EventType, item: CachedObject): void => {
    events += 1;
    if (isOwn) frames.push(...encode.once(type, item));
    else frames.push(encode.shared(type, item));
  };
  for (const event of batch) {
    const now = event.current && served.view(event.current);
    const before = event.previous && served.view(event.previous);
    const matched = before !== undefined && (selection.all || selection.matches(before.object));
    const matches = event.type === 'put' && now !== undefined && (selection.all || selection.matches(now.object));
    if (matches) add(matched ? 'MODIFIED' : 'ADDED', now);
    else if (matched) add('DELETED', event.deleted ? served.view(event.deleted) : atRevision(before, event));
  }
  if (watching && events > 0) watching.sent(events, frames.reduce((sum, { length }) => sum + length, 0));
  if (!shared || frames.length === 0) return frames;
  const whole = Buffer.concat(frames);
  shared.set(batch, whole);
  return [whole];
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
