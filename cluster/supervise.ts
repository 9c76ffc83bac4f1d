// Keeps a component running: one that fails is started again with back-off, and its neighbours do not notice.
import { createBackoff } from '#machinery/base/backoff.ts';
import { sleep } from '#machinery/base/clock.ts';
import { StartError } from '#machinery/base/start-error.ts';
import type { Logger } from '#machinery/base/log.ts';

/**
 * Settles when the signal aborts and the component has stopped. A run of over a minute resets the back-off. Rejects when the
 * first run ends with a StartError, which trying again cannot mend.
 */
export async function supervise(name: string, run: (signal: AbortSignal) => Promise<void>, log: Logger, signal: AbortSignal): Promise<void> {
  const backoff = createBackoff({ baseMs: 100, maxMs: 30_000 });
  for (let first = true; !signal.aborted; first = false) {
    const startedAt = Date.now();
    try {
      await run(signal);
      if (signal.aborted) return;
      log.error('component ended by itself', { component: name });
    } catch (error) {
      if (signal.aborted) return;
      if (first && error instanceof StartError) throw error;
      log.error('component failed', { component: name, error });
    }
    if (Date.now() - startedAt > 60_000) backoff.reset();
    try {
      await sleep(backoff.nextMs(), signal);
    } catch {
      return; // only the signal ends that sleep
    }
  }
}
