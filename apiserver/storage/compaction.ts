// Forgets old revisions on a timer, so that the store does not grow with every write.
import { systemClock, type Clock } from '#machinery/base/clock.ts';
import { createLogger, type Logger } from '#machinery/base/log.ts';
import type { Storage } from './storage.ts';

/**
 * Looks at the revision thirty times an interval and compacts to the one that was current 1.8 intervals ago: what is older
 * than two intervals is surely gone (clients wait that long for a continue token to expire), and with the default clients that
 * come back after nine minutes still find their revision. Several API servers on one etcd may all do this. An interval of
 * 0 forgets nothing. Ends without an error on the signal; engine trouble is logged and tried again.
 */
export async function runCompaction(storage: Pick<Storage, 'revision' | 'compact'>, intervalMs: number, signal: AbortSignal, clock: Clock = systemClock, log: Logger = createLogger('storage')): Promise<void> {
  if (intervalMs === 0) return;
  let marks: { time: number; revision: bigint }[] = [];
  let compacted = 0n;
  while (!signal.aborted) {
    try {
      const now = clock.now();
      marks.push({ time: now, revision: await storage.revision() });
      const old = marks.filter(({ time }) => now - time >= intervalMs * 1.8);
      marks = marks.slice(old.length);
      const revision = old.at(-1)?.revision ?? 0n;
      if (revision > compacted) {
        await storage.compact(revision);
        compacted = revision;
      }
    } catch (error) {
      log.warn('compaction failed; trying again later', { error });
    }
    try {
      await clock.sleep(intervalMs / 30, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
