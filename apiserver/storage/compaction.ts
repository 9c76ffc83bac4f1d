// Forgets old revisions on a timer, so that the store does not grow with every write.
import { systemClock, type Clock } from '#machinery/base/clock.ts';
import { createLogger, type Logger } from '#machinery/base/log.ts';
import type { Storage } from './storage.ts';

/** What the watch cache keeps too: clients that come back within this find their revision. */
export const keepHistoryMs = 600_000;

/**
 * Looks at the revision every `everyMs` and compacts to the one that was current ten minutes ago. Several API servers on
 * one etcd may all do this. Ends without an error on the signal; engine trouble is logged and tried again.
 */
export async function runCompaction(storage: Storage, everyMs: number, signal: AbortSignal, clock: Clock = systemClock, log: Logger = createLogger('storage')): Promise<void> {
  let marks: { time: number; revision: bigint }[] = [];
  while (!signal.aborted) {
    try {
      const now = clock.now();
      marks.push({ time: now, revision: await storage.revision() });
      const old = marks.filter(({ time }) => now - time >= keepHistoryMs);
      const newestOld = old.at(-1);
      if (newestOld) {
        if (newestOld.revision > (await storage.compactedRevision())) await storage.compact(newestOld.revision);
        marks = marks.slice(old.length);
      }
    } catch (error) {
      log.warn('compaction failed; trying again later', { error });
    }
    try {
      await clock.sleep(everyMs, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
