// The controller loop: workers take keys, reconcile them, and put them back with back-off when that failed.
import { createLogger } from '../base/log.ts';
import { isConflict, isNotFound } from '../api/status.ts';
import { TerminalError } from './types.ts';
import type { Reconcile, WorkQueue } from './types.ts';

const log = createLogger('controller');

export interface ControllerOptions {
  name: string;
  queue: WorkQueue;
  /** Keys worked on at a time; default 1. */
  workers?: number;
  reconcile: Reconcile;
  /** Failures in a row after which a key waits for its next event; default 15 as upstream's controllers, Infinity never gives up. */
  maxRetries?: number;
  stats?: ControllerStats;
}

/** Filled in by a running controller; for a page under /debug/. */
export interface ControllerStats {
  reconciled: number;
  failed: number;
  /** The last errors by key, the newest 50. */
  errors: Map<string, { message: string; at: number; retries: number }>;
}
export function createStats(): ControllerStats {
  return { reconciled: 0, failed: 0, errors: new Map() };
}

/** Settles when the signal aborted and the running reconciles have ended; a reconcile that fails never ends the loop. */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const workers = Array.from({ length: options.workers ?? 1 }, () => work(options, signal));
  await Promise.all(workers);
  options.queue.close();
}

async function work({ name, queue, reconcile, maxRetries = 15, stats }: ControllerOptions, signal: AbortSignal): Promise<void> {
  for (;;) {
    const key = await queue.take(signal);
    if (key === undefined) return;
    try {
      const result = await reconcile(key, signal);
      if (result?.backOff) queue.addRateLimited(key);
      else queue.forget(key);
      if (result?.requeueAfterMs !== undefined) queue.addAfter(key, result.requeueAfterMs);
      if (stats) {
        stats.reconciled += 1;
        stats.errors.delete(key);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (stats) note(stats, key, error, queue.retries(key));
      if (error instanceof TerminalError) {
        log.error('gave up: trying again cannot help', { controller: name, key, error });
        queue.forget(key);
      } else if (queue.retries(key) >= maxRetries) {
        log.error('gave up until the next event', { controller: name, key, error, retries: queue.retries(key) });
        queue.forget(key);
      } else {
        // Conflicts and vanished objects are the everyday life of a cache that is a little behind.
        const level = isConflict(error) || isNotFound(error) ? 'debug' : 'warn';
        log[level]('reconcile failed, trying again', { controller: name, key, error, retries: queue.retries(key) });
        queue.addRateLimited(key);
      }
    } finally {
      queue.done(key);
    }
  }
}

function note(stats: ControllerStats, key: string, error: unknown, retries: number): void {
  stats.failed += 1;
  stats.errors.delete(key);
  stats.errors.set(key, { message: error instanceof Error ? error.message : String(error), at: Date.now(), retries });
  const [oldest] = stats.errors.keys();
  if (stats.errors.size > 50 && oldest !== undefined) stats.errors.delete(oldest);
}
