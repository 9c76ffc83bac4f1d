// Forgets history that nobody may resume from any more: every 5 minutes, what is older than 10.
import { sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Storage } from './storage/storage.ts';

const log = createLogger('compaction');
const everyMs = 300_000;

/** Runs until the signal aborts. */
export async function runCompaction(storage: Storage, signal: AbortSignal): Promise<void> {
  let before: bigint | undefined;
  let last: bigint | undefined;
  while (!signal.aborted) {
    try {
      await sleep(everyMs, signal);
      const now = await storage.revision();
      if (before !== undefined) await storage.compact(before);
      before = last;
      last = now;
    } catch (error) {
      if (signal.aborted) return;
      log.warn('compaction failed; tried again in five minutes', { error });
    }
  }
}
