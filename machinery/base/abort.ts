// Small things about abort signals that every waiting function needs.

/** Resolves when the signal aborts; never rejects. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** `work` raced against `ms` and the parent; the timeout's error names what was waited for. */
export async function withTimeout<T>(
  what: string,
  ms: number,
  parent: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(ms);
  const signal = AbortSignal.any([parent, timeout]);
  try {
    return await work(signal);
  } catch (cause) {
    if (timeout.aborted && !parent.aborted) throw new Error(`${what} timed out after ${ms} ms`, { cause });
    throw cause;
  }
}

/** Polls `check` until it returns something other than undefined or false. */
export async function eventually<T>(
  signal: AbortSignal,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  everyMs = 50,
): Promise<T> {
  const { sleep } = await import('./clock.ts');
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== false) return value;
    await sleep(everyMs, signal);
  }
}
