// Keys waiting for work, as client-go's rate-limiting queue: a key that is added while a worker has it comes again when
// the worker is done, never to two workers at once.
import type { QueueDebug, WorkQueue } from './types.ts';

export interface WorkQueueOptions {
  /** Back-off of a failing key; default 5 ms doubling to 1000 s. */
  baseMs?: number;
  maxMs?: number;
}

/** An empty queue. Its size is bounded by the number of distinct keys. */
export function createWorkQueue({ baseMs = 5, maxMs = 1_000_000 }: WorkQueueOptions = {}): WorkQueue {
  const ready = new Set<string>(); // in order of arrival
  const running = new Set<string>();
  const again = new Set<string>(); // added while running
  const delayed = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  const failures = new Map<string, number>();
  const waiters: ((key: string | undefined) => void)[] = [];

  function add(key: string): void {
    const timer = delayed.get(key);
    if (timer) {
      clearTimeout(timer.timer);
      delayed.delete(key);
    }
    if (running.has(key)) again.add(key);
    else if (!ready.has(key)) {
      ready.add(key);
      hand();
    }
  }
  function hand(): void {
    while (waiters.length > 0) {
      const [key] = ready;
      if (key === undefined) return;
      ready.delete(key);
      running.add(key);
      waiters.shift()!(key);
    }
  }
  function addAfter(key: string, delayMs: number): void {
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
      running.delete(key);
      if (again.delete(key)) add(key);
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
        ready: [...ready],
        running: [...running],
        delayed: [...delayed].map(([key, { at }]) => ({ key, inMs: at - now })),
        failing: [...failures].map(([key, retries]) => ({ key, retries })),
      };
    },
  };
}
