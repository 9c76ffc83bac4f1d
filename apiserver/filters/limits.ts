// How many requests are served at a time, reading and changing ones apart (upstream: --max-requests-inflight and
// --max-mutating-requests-inflight). Who finds no place waits in a short line of his own; the lines are served in turn.
import { mastersGroup } from '../auth/identity.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import { PlainError } from './errors.ts';

export interface LimitOptions {
  /** 0 means no limit, as upstream. */
  reading: number;
  changing: number;
}

export interface Limits {
  /**
   * Resolves with the way to give the place back, which must be called once. Throws 429 when the line is full or the wait takes
   * longer than `waitMs`; the signal's reason when it aborts first. The signal is only asked for when there is a wait.
   */
  enter(user: UserInfo | undefined, info: RequestInfo, waitMs: () => number, signal: () => AbortSignal): Promise<() => void> | (() => void);
  /** For the gauges. */
  counts(): { reading: number; changing: number; readingWaiting: number; changingWaiting: number };
  /** Called for each request that is turned away. */
  onRefused?: (info: RequestInfo) => void;
}

/** Upstream's priority and fairness gives one flow 6 of 64 queues with 50 places each; a client that bursts gets no more here. */
const maxWaitingOfOne = 300;
const maxWaiting = 3200;
const readingVerbs: ReadonlySet<string> = new Set(['get', 'list', 'watch', 'head']);
const nothing = (): void => undefined;

/** Everything but watches, streams and proxied connections, which are not limited in number and not ended after a time. */
export function isLongRunning({ verb, subresource }: RequestInfo): boolean {
  return verb === 'watch' || verb === 'proxy' || (subresource !== '' && streams.has(subresource));
}
const streams: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward', 'proxy', 'log']);

export function readsOnly({ verb }: RequestInfo): boolean {
  return readingVerbs.has(verb);
}

/** Probes and scrapes have to tell of an overload, not to suffer from it. Also what a stopping server still answers. */
export function isProbe(path: string): boolean {
  return path.startsWith('/readyz') || path.startsWith('/livez') || path.startsWith('/healthz') || path.startsWith('/metrics');
}

interface Place { user: string; go: () => void }

class Lane {
  readonly #limit: number;
  #running = 0;
  #waiting = 0;
  /** By user, in the order of their turns: one who floods waits behind himself only. */
  readonly #lines = new Map<string, Place[]>();

  constructor(limit: number) {
    this.#limit = limit === 0 ? Infinity : limit;
  }
  get running(): number {
    return this.#running;
  }
  get waiting(): number {
    return this.#waiting;
  }

  take(): boolean {
    if (this.#running >= this.#limit) return false;
    this.#running += 1;
    return true;
  }
  readonly leave = (): void => {
    for (const [user, line] of this.#lines) {
      const place = line.shift();
      this.#lines.delete(user);
      if (line.length > 0) this.#lines.set(user, line); // behind all others
      if (!place) continue;
      this.#waiting -= 1;
      place.go(); // the place passes on, the number that run stays
      return;
    }
    this.#running -= 1;
  };
  /** False: there is no room to wait. */
  queue(place: Place): boolean {
    const line = this.#lines.get(place.user) ?? [];
    if (this.#waiting >= maxWaiting || line.length >= maxWaitingOfOne) return false;
    line.push(place);
    this.#lines.set(place.user, line);
    this.#waiting += 1;
    return true;
  }
  giveUp(place: Place): void {
    const line = this.#lines.get(place.user) ?? [];
    const at = line.indexOf(place);
    if (at < 0) return;
    line.splice(at, 1);
    this.#waiting -= 1;
    if (line.length === 0) this.#lines.delete(place.user);
  }
}

/** As upstream's http.Error: not a Status. */
const tooMany = (): PlainError => new PlainError(429, 'Too many requests, please try again later.', { 'Retry-After': '1' });

/**
 * A bounded line and not an immediate 429: clients that start together (a cluster's components do) come with more requests than
 * there are places for some milliseconds, and a second of Retry-After would be what they all wait for.
 */
export function createLimits(options: LimitOptions): Limits {
  const reads = new Lane(options.reading);
  const changes = new Lane(options.changing);
  const limits: Limits = {
    enter(user, info, waitMs, signalOf) {
      const lane = readsOnly(info) ? reads : changes;
      if (isProbe(info.path)) return nothing;
      if (lane.take()) return lane.leave;
      // The administrator gets an answer whatever the load, also to find out where it comes from.
      if (user?.groups.includes(mastersGroup)) return nothing;
      const signal = signalOf();
      return new Promise((resolve, reject) => {
        const place: Place = {
          user: user?.name ?? '',
          go() {
            done();
            resolve(lane.leave);
          },
        };
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', abort);
        };
        const abort = (): void => {
          done();
          lane.giveUp(place);
          reject(signal.reason instanceof Error ? signal.reason : new Error('the request ended', { cause: signal.reason }));
        };
        const refuse = (): void => {
          done();
          lane.giveUp(place);
          limits.onRefused?.(info);
          reject(tooMany());
        };
        const timer = setTimeout(refuse, waitMs());
        signal.addEventListener('abort', abort, { once: true });
        if (!lane.queue(place)) refuse();
        else if (signal.aborted) abort();
      });
    },
    counts: () => ({ reading: reads.running, changing: changes.running, readingWaiting: reads.waiting, changingWaiting: changes.waiting }),
  };
  return limits;
}
