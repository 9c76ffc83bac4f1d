// Task group: children run together, the first failure aborts the siblings, and the group waits for all of them.

export interface TaskGroup {
  /** Aborted when the parent is, when a task fails, or by `stop`. Pass it to whatever a task waits for. */
  readonly signal: AbortSignal;
  /** Starts a task. A rejection after the group's signal aborted counts as an ordinary end. */
  start(name: string, task: (signal: AbortSignal) => Promise<void>): void;
  /** Aborts all tasks; `wait` then settles once they have ended. */
  stop(reason?: unknown): void;
  /** Settles when every task has; rejects with the first failure. */
  wait(): Promise<void>;
}

export function createTaskGroup(parent: AbortSignal): TaskGroup {
  const own = new AbortController();
  const signal = AbortSignal.any([parent, own.signal]);
  const running = new Set<Promise<void>>();
  let failure: Error | undefined;
  return {
    signal,
    start(name, task) {
      const run = async (): Promise<void> => {
        try {
          await task(signal);
        } catch (cause) {
          if (signal.aborted) return;
          failure ??= new Error(`${name} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
          own.abort(failure);
        }
      };
      const promise = run().finally(() => running.delete(promise));
      running.add(promise);
    },
    stop(reason) {
      own.abort(reason);
    },
    async wait() {
      while (running.size > 0) await Promise.all(running);
      if (failure) throw failure;
    },
  };
}
