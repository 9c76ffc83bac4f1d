// Which state a read must show: what resourceVersion and resourceVersionMatch demand of the cache.
import { gone, StatusError, timeoutError } from '#machinery/api/status.ts';
import type { WatchCache } from '../storage/cache.ts';

const futureWaitMs = 3000;

/** Waits until the cache holds `revision`; 504 with cause ResourceVersionTooLarge when it does not come within 3 s. */
export async function notOlderThan(cache: WatchCache, revision: bigint, signal: AbortSignal): Promise<void> {
  if (cache.revision() >= revision) return;
  const timeout = AbortSignal.timeout(futureWaitMs);
  try {
    await cache.waitFor(revision, AbortSignal.any([signal, timeout]));
  } catch (error) {
    if (signal.aborted || !timeout.aborted) throw error;
    throw tooLarge(revision, cache.revision());
  }
}

export function tooLarge(asked: bigint, current: bigint): StatusError {
  const { status } = timeoutError(`Too large resource version: ${asked}, current: ${current}`, 1);
  return new StatusError(status.code, status.reason ?? '', status.message ?? '', { ...status.details, causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] });
}

export function tooOld(asked: bigint | string, oldest: bigint): StatusError {
  return gone(`too old resource version: ${asked} (${oldest})`);
}
