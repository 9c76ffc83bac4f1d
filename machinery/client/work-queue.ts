// Keys waiting for work, as client-go's rate-limiting queue: a key that is added while a worker has it comes again when
// the worker is done, never to two workers at once.
import { metricsOf } from './queue-metrics.ts';
import type { QueueDebug, WorkQueue } from './types.ts';

export interface WorkQueueOptions {
  /** Upstream's name of the queue: it is counted under it where metrics are served. */
  name?: string;
  /** Back-off of a failing key; default 5 ms doubling to 1000 s. */
  baseMs?: number;
  maxMs?: number;
}

/** An empty queue. Its size is bounded by the number of distinct keys. */
export function createWorkQueue({ name, baseMs = 5, maxMs = 1_000_000 }: WorkQueueOptions = {}): WorkQueue {
  const ready = new Map<string, number>(); // in order of arrival, and when that was
  const running = new Map<string, number>(); // since when
  const again = new Set<string>(); // added while running
  const delayed = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  const failures = new Map<string, number>();
  const waiters: ((key: string | undefined) => void)[] = [];
  const metrics = name === undefined ? undefined : metricsOf(name, { get length() { return ready.size + again.size; }, startedAt: () => running.values() });

  function add(key: string): void {
    const timer = delayed.get(key);
    if (timer) {
      clearTimeout(timer.timer);
      delayed.delete(key);
    }
    if (ready.has(key) || again.has(key)) return;
    metrics?.adds.add();
    if (running.has(key)) again.add(key);
    else enqueue(key);
  }
  function enqueue(key: string): void {
    ready.set(key, Date.now());
    hand();
  }
  function hand(): void {
    while (waiters.length > 0) {
      const [next] = ready;
      if (next === undefined) return;
      const [key, since] = next;
      const now = Date.now();
      ready.delete(key);
      running.set(key, now);
      metrics?.waitedSeconds.observe((now - since) / 1000);
      waiters.shift()!(key);
    }
  }
  function addAfter(key: string, delayMs: number): void {
    metrics?.retries.add();
    if (delayMs <= 0) return add(key);
    if (ready.has(key)) return;
    const at = Date.now() + delayMs;
    const before = delayed.get(key);
    if (before) {
      if (before.at <= at) return;
      clearTimeout(before.timer);
    }
    const longestMs = 2 ** 31 - 1; // what a timer can wait
    const timer = setTimeout(() => {
      delayed.delete(key);
      add(key);
    }, Math.min(delayMs, longestMs));
    delayed.set(key, { at, timer });
  }

  return {
    add,
    addAfter,
    addRateLimited(key) {
      const count = failures.get(key) ?? 0;
      failures.set(key, count + 1);
      addAfter(key, Math.min(maxMs, baseMs * 2 ** count));
    },
    forget(key) {
      failures.delete(key);
    },
    retries: (key) => failures.get(key) ?? 0,
    take(signal) {
      if (signal.aborted) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        const waiter = (key: string | undefined): void => {
          signal.removeEventListener('abort', leave);
          resolve(key);
        };
        const leave = (): void => {
          waiters.splice(waiters.indexOf(waiter), 1);
          resolve(undefined);
        };
        signal.addEventListener('abort', leave, { once: true });
        waiters.push(waiter);
        hand();
      });
    },
    done(key) {
      const since = running.get(key);
      running.delete(key);
      if (since !== undefined) metrics?.workedSeconds.observe((Date.now() - since) / 1000);
      if (again.delete(key)) enqueue(key);
    },
    get length() {
      return ready.size + again.size;
    },
    close() {
      for (const { timer } of delayed.values()) clearTimeout(timer);
      delayed.clear();
      ready.clear();
      again.clear();
      failures.clear();
    },
    debug(): QueueDebug {
      const now = Date.now();
      return {
        ready: [...ready.keys()],
        running: [...running.keys()],
        delayed: [...delayed].map(([key, { at }]) => ({ key, inMs: at - now })),
        failing: [...failures].map(([key, retries]) => ({ key, retries })),
      };
    },
  };
}
