// One watcher of the cache: a bounded queue of batches that are shared with the other watchers, read by one consumer.
import type { CacheEvent, CacheWatch } from './cache.ts';

/** The watcher was read too slowly; its client has to list again. */
export class SlowWatchError extends Error {
  override name = 'SlowWatchError';
}

export interface QueueBounds {
  events: number;
  bytes: number;
}

export class QueuedWatch implements CacheWatch {
  readonly #bounds: QueueBounds;
  readonly #newest: () => bigint;
  readonly #onClose: (watch: QueuedWatch) => void;
  /** Events up to here are not pushed: the client has them, or the replay. */
  readonly #after: bigint;
  #queue: CacheEvent[][] = [];
  #events = 0;
  #bytes = 0;
  /** The consumer has asked for more after everything up to here. */
  #done: bigint;
  #inHand: bigint;
  #waiting: { resolve(result: IteratorResult<CacheEvent[]>): void; reject(error: Error): void } | undefined;
  #ended = false;
  #error: Error | undefined;

  readonly #onSlow: (() => void) | undefined;

  /** `replayed`: `replay` holds everything up to here. */
  constructor(options: { afterRevision: bigint; replay: CacheEvent[]; replayed: bigint; bounds: QueueBounds; newest: () => bigint; onClose: (watch: QueuedWatch) => void; onSlow?: () => void }) {
    this.#bounds = options.bounds;
    this.#newest = options.newest;
    this.#onClose = options.onClose;
    this.#onSlow = options.onSlow;
    this.#after = options.replayed;
    this.#done = options.afterRevision;
    this.#inHand = options.afterRevision;
    // History is shared memory that the cache bounds, so the replay does not count as queued.
    if (options.replay.length > 0) this.#queue.push(options.replay);
  }

  /** Behind by what the consumer still has in its hands, so that a bookmark never overtakes an event. */
  get revision(): bigint {
    const newest = this.#newest();
    return this.#waiting && newest > this.#done ? newest : this.#done;
  }

  /** `events` is shared and must not be changed. */
  push(events: CacheEvent[]): void {
    if (this.#ended || events.length === 0) return;
    if ((events[0] as CacheEvent).revision <= this.#after) { // not empty
      events = events.filter(({ revision }) => revision > this.#after);
      if (events.length === 0) return;
    }
    if (this.#waiting) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting.resolve({ done: false, value: this.#hand(events) });
      return;
    }
    this.#queue.push(events);
    this.#events += events.length;
    for (const event of events) this.#bytes += bytesOf(event);
    if (this.#events > this.#bounds.events || this.#bytes > this.#bounds.bytes) {
      this.end(new SlowWatchError(`watch is read too slowly: ${this.#events} events are waiting`));
      this.#onSlow?.();
    }
  }

  /** Ends the iteration, with the error when there is one; what is queued is dropped then. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (error) this.#queue = [];
    this.#onClose(this);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!waiting) return;
    if (error) {
      this.#error = undefined;
      waiting.reject(error);
    } else waiting.resolve({ done: true, value: undefined });
  }

  close(): void {
    this.end();
    this.#queue = [];
  }

  [Symbol.asyncIterator](): AsyncIterator<CacheEvent[]> {
    return {
      next: () => this.#next(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<CacheEvent[]>> {
    this.#done = this.#inHand;
    const [first] = this.#queue;
    if (first) {
      const batch = this.#queue.length === 1 ? first : this.#queue.flat();
      this.#queue = [];
      this.#events = 0;
      this.#bytes = 0;
      return Promise.resolve({ done: false, value: this.#hand(batch) });
    }
    if (this.#error) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #hand(events: CacheEvent[]): CacheEvent[] {
    this.#inHand = (events.at(-1) as CacheEvent).revision; // never empty
    return events;
  }
}

/** What an event adds to memory: the state before it was there already. */
export function bytesOf(event: CacheEvent): number {
  return (event.current ?? event.deleted)?.bytes.length ?? 0;
}
