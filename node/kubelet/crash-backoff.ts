// Waiting times of containers that keep ending: the first restart is immediate, then 10 s doubling to 5 min, forgotten after 10 quiet minutes.
const baseMs = 10_000;
const maxMs = 300_000;

export interface CrashBackoff {
  /** Undefined: start now (and count it). Otherwise until when to wait, and the whole wait. */
  check(key: string, finishedAtMs: number, nowMs: number): { untilMs: number; totalMs: number } | undefined;
}

export function createCrashBackoff(): CrashBackoff {
  const entries = new Map<string, { waitMs: number; updatedMs: number }>();
  return {
    check(key, finishedAtMs, nowMs) {
      const entry = entries.get(key);
      const stale = !entry || finishedAtMs - entry.updatedMs > 2 * maxMs;
      if (!stale && nowMs - finishedAtMs < entry.waitMs) return { untilMs: finishedAtMs + entry.waitMs, totalMs: entry.waitMs };
      entries.set(key, { waitMs: stale ? baseMs : Math.min(maxMs, entry.waitMs * 2), updatedMs: nowMs });
      return undefined;
    },
  };
}

/** As Go prints it: 10s, 1m20s, 5m0s. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
