// Which state a read must show: what resourceVersion and resourceVersionMatch demand of the cache.
import { gone, StatusError, timeoutError } from '#machinery/api/status.ts';
import type { WatchCache } from '../storage/cache.ts';

const futureWaitMs = 3000;
const maxUint64 = 2n ** 64n - 1n;

/** '' and "0", which ask for no version, are 0n. `refuse` makes the error from the text of Go's parser: its code depends on the verb. */
export function parseResourceVersion(text: string, refuse: (why: string) => StatusError): bigint {
  if (text === '' || text === '0') return 0n;
  const isNumber = /^\d+$/.test(text);
  const revision = isNumber ? BigInt(text) : 0n;
  if (isNumber && revision <= maxUint64) return revision;
  const quoted = JSON.stringify(text);
  throw refuse(`resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: ${isNumber ? 'value out of range' : 'invalid syntax'}`);
}

/** GET and WATCH do not expect the parser's error upstream: it comes as 500, without a reason. */
export function unexpected(why: string): StatusError {
  return new StatusError(500, '', why);
}

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
