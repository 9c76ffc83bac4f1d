// Events about objects, folded as client-go folds them: repeats become a count (or a series), many similar ones become
// one, and a source that floods is cut off. Upstream: client-go tools/record/events_cache.go, tools/events.
import { createBackoff } from '../base/backoff.ts';
import { rfc3339, rfc3339Micro, sleep } from '../base/clock.ts';
import { createLogger } from '../base/log.ts';
import type { CoreEvent, EventsV1Event } from '../api/object.ts';
import { StatusError, isNotFound } from '../api/status.ts';
import { events, eventsV1 } from './resources.ts';
import type { Client, EventDetails, EventRecorder, EventSubject } from './types.ts';

const log = createLogger('events');

export interface RecorderOptions {
  client: Client;
  /** `deployment-controller`, `kubelet`, `default-scheduler`. */
  component: string;
  /** The node, for the kubelet. */
  host?: string;
  /** `core` (default) writes core/v1; `events` writes events.k8s.io/v1 with action, note and series. */
  api?: 'core' | 'events';
  /** reportingInstance of events.k8s.io (default `{component}-{host}`). */
  instance?: string;
  now?: () => number;
}

const cacheSize = 4096;
const similarMax = 10;
const similarWindowMs = 600_000;
const burst = 25;
const refillMs = 300_000;
const maxQueued = 1000;
const writeTries = 12;
const seriesQuietMs = 6 * 60_000;
const seriesRefreshMs = 30 * 60_000;

/** A map that forgets what was used longest ago. */
class Recent<V> {
  readonly #map = new Map<string, V>();
  get(key: string): V | undefined {
    const value = this.#map.get(key);
    if (value !== undefined) {
      this.#map.delete(key);
      this.#map.set(key, value);
    }
    return value;
  }
  set(key: string, value: V): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    const [oldest] = this.#map.keys();
    if (this.#map.size > cacheSize && oldest !== undefined) this.#map.delete(oldest);
  }
  delete(key: string): void {
    this.#map.delete(key);
  }
  entries(): [string, V][] {
    return [...this.#map];
  }
}

/** Events are written one after the other in the background until the signal aborts; a full queue drops the newest. */
export function createRecorder(options: RecorderOptions, signal: AbortSignal): EventRecorder {
  return options.api === 'events' ? createSeriesRecorder(options, signal) : createCountRecorder(options, signal);
}

/** The writer both share: a bounded queue and retries. */
function createWriter(signal: AbortSignal): (write: () => Promise<void>) => void {
  const queue: (() => Promise<void>)[] = [];
  let draining = false;
  let dropped = 0;
  async function drain(): Promise<void> {
    draining = true;
    for (let write = queue.shift(); write && !signal.aborted; write = queue.shift()) await attempt(write);
    draining = false;
    if (dropped > 0) log.warn('events were dropped, too many waited to be written', { dropped });
    dropped = 0;
  }
  async function attempt(write: () => Promise<void>): Promise<void> {
    const backoff = createBackoff({ baseMs: 1000, maxMs: 10_000 });
    for (let left = writeTries; left > 0; left -= 1) {
      try {
        return await write();
      } catch (error) {
        if (signal.aborted) return;
        // An answer is final (a namespace that is going away, a missing right); silence is not.
        if (error instanceof StatusError && error.status.code < 500 && error.status.code !== 429) {
          log.info('event refused', { error });
          return;
        }
        if (left === 1) log.error('event not written', { error, tries: writeTries });
        else await sleep(backoff.nextMs(), signal).catch(() => undefined); // an abort ends the loop above
      }
    }
  }
  return (write) => {
    if (signal.aborted) return;
    if (queue.length >= maxQueued) {
      dropped += 1; // told once it is over, in one line
      return;
    }
    queue.push(write);
    if (!draining) drain().catch((error: unknown) => log.error('writing events failed', { error }));
  };
}

function referenceTo(about: EventSubject, fieldPath?: string): CoreEvent['involvedObject'] {
  const meta = about.metadata ?? {};
  return {
    kind: about.kind, apiVersion: about.apiVersion, name: meta.name,
    ...(meta.namespace ? { namespace: meta.namespace } : {}), ...(meta.uid ? { uid: meta.uid } : {}),
    ...(meta.resourceVersion ? { resourceVersion: meta.resourceVersion } : {}), ...(fieldPath ? { fieldPath } : {}),
  };
}

let lastTick = 0n;
/** `{object}.{hex of nanoseconds}`, never the same twice in a process. */
function eventName(object: string, nowMs: number): string {
  const tick = BigInt(nowMs) * 1_000_000n;
  lastTick = tick > lastTick ? tick : lastTick + 1n;
  return `${object}.${lastTick.toString(16)}`;
}

interface Counted { count: number; firstTimestamp: string; name: string; namespace: string; message: string }

function createCountRecorder({ client, component, host, now = Date.now }: RecorderOptions, signal: AbortSignal): EventRecorder {
  const enqueue = createWriter(signal);
  const buckets = new Recent<{ tokens: number; at: number }>();
  const similar = new Recent<{ messages: Set<string>; at: number }>();
  const counted = new Recent<Counted>();

  function allowed(key: string, at: number): boolean {
    const bucket = buckets.get(key) ?? { tokens: burst, at };
    const tokens = Math.min(burst, bucket.tokens + (at - bucket.at) / refillMs);
    buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at });
    return tokens >= 1;
  }
  /** The key to count under and the message to show. */
  function aggregate(base: string, message: string, at: number): { key: string; message: string } {
    let group = similar.get(base);
    if (!group || at - group.at > similarWindowMs) group = { messages: new Set(), at };
    group.at = at;
    group.messages.add(message);
    similar.set(base, group);
    if (group.messages.size < similarMax) return { key: `${base}\0${message}`, message };
    const [oldest] = group.messages; // the set only has to stay full
    if (group.messages.size > similarMax && oldest !== undefined) group.messages.delete(oldest);
    return { key: base, message: `(combined from similar events): ${message}` };
  }

  return {
    event(about, type, reason, message, more = {}) {
      const at = now();
      const involvedObject = referenceTo(about, more.fieldPath);
      const { kind, apiVersion, namespace = '', name = '', uid = '', fieldPath = '' } = involvedObject;
      const source = `${component}\0${host ?? ''}`;
      const subject = [kind, namespace, name, uid, apiVersion].join('\0');
      if (!allowed(`${source}\0${subject}`, at)) {
        log.debug('event dropped: its source floods', { component, kind, namespace, name, reason });
        return;
      }
      const short = message.length > 1024 ? `${message.slice(0, 1021)}...` : message;
      const folded = aggregate([source, subject, fieldPath, type, reason].join('\0'), short, at);
      const time = rfc3339(at);
      enqueue(() => write(folded, { involvedObject, type, reason, time, at, more }));
    },
  };

  async function write(folded: { key: string; message: string }, event: { involvedObject: CoreEvent['involvedObject']; type: string; reason: string; time: string; at: number; more: EventDetails }): Promise<void> {
    const { involvedObject, type, reason, time, at, more } = event;
    const before = counted.get(folded.key);
    if (before) {
      const count = before.count + 1;
      try {
        await client.patch(events, before.namespace, before.name, 'strategic',
          { count, lastTimestamp: time, ...(folded.message === before.message ? {} : { message: folded.message }) }, signal);
        counted.set(folded.key, { ...before, count, message: folded.message });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
        counted.delete(folded.key); // it outlived its hour: begin anew
      }
    }
    const namespace = involvedObject.namespace || 'default';
    const name = eventName(involvedObject.name ?? '', at);
    const source = { component, ...(host ? { host } : {}) };
    await client.create(events, namespace, {
      apiVersion: 'v1', kind: 'Event',
      metadata: { name, namespace, ...(more.annotations ? { annotations: more.annotations } : {}) },
      involvedObject, reason, message: folded.message, type, count: 1, firstTimestamp: time, lastTimestamp: time,
      source, reportingComponent: component, reportingInstance: host ?? '', eventTime: null,
    }, signal);
    counted.set(folded.key, { count: 1, firstTimestamp: time, name, namespace, message: folded.message });
  }
}

interface Series { name: string; namespace: string; count: number; lastAt: number; writtenAt: number; writtenCount: number }

function createSeriesRecorder({ client, component, host = '', instance, now = Date.now }: RecorderOptions, signal: AbortSignal): EventRecorder {
  const enqueue = createWriter(signal);
  const all = new Recent<Series>();
  const reportingInstance = instance ?? `${component}-${host}`;

  function patch(key: string, series: Series): void {
    series.writtenAt = now();
    series.writtenCount = series.count;
    const body = { series: { count: series.count, lastObservedTime: rfc3339Micro(series.lastAt) } };
    enqueue(async () => {
      try {
        await client.patch(eventsV1, series.namespace, series.name, 'strategic', body, signal);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        all.delete(key); // expired on the server: the next one begins anew
      }
    });
  }
  /** Ends the series that fell quiet and refreshes the long ones; looked at every six minutes while there are any. */
  function sweep(): void {
    const at = now();
    for (const [key, series] of all.entries()) {
      const over = at - series.lastAt > seriesQuietMs;
      if (series.count > 1 && series.count !== series.writtenCount && (over || at - series.writtenAt > seriesRefreshMs)) patch(key, series);
      if (over) all.delete(key);
    }
    if (all.entries().length === 0) stop();
  }
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    clearInterval(timer);
    timer = undefined;
  };
  signal.addEventListener('abort', stop, { once: true });

  return {
    event(about, type, reason, message, more = {}) {
      if (signal.aborted) return;
      const at = now();
      const regarding = referenceTo(about, more.fieldPath);
      const related = more.related ? referenceTo(more.related) : undefined;
      const action = more.action ?? reason;
      const key = JSON.stringify([type, action, reason, { ...regarding, resourceVersion: undefined }, related?.uid ?? related?.name]);
      const known = all.get(key);
      if (known && at - known.lastAt <= seriesQuietMs) {
        known.count += 1;
        known.lastAt = at;
        if (known.count === 2) patch(key, known);
        return;
      }
      const namespace = regarding.namespace || 'default';
      const name = eventName(regarding.name ?? '', at);
      all.set(key, { name, namespace, count: 1, lastAt: at, writtenAt: at, writtenCount: 1 });
      timer ??= setInterval(sweep, seriesQuietMs).unref();
      const event: Partial<EventsV1Event> = {
        apiVersion: 'events.k8s.io/v1', kind: 'Event',
        metadata: { name, namespace, ...(more.annotations ? { annotations: more.annotations } : {}) },
        eventTime: rfc3339Micro(at), reportingController: component, reportingInstance, action, reason, regarding,
        ...(related ? { related } : {}), note: message.length > 1024 ? `${message.slice(0, 1021)}...` : message, type,
      };
      enqueue(async () => {
        await client.create(eventsV1, namespace, event, signal);
      });
    },
  };
}
