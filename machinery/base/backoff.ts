// Exponential back-off with a ceiling, the one way any retry in the project waits.

export interface BackoffOptions {
  baseMs: number;
  maxMs: number;
  /** Default 2. */
  factor?: number;
  /** Adds up to this share of the delay at random; default 0. */
  jitter?: number;
}

export interface Backoff {
  /** The next delay; each call grows it until `maxMs`. */
  nextMs(): number;
  reset(): void;
}

export function createBackoff({ baseMs, maxMs, factor = 2, jitter = 0 }: BackoffOptions): Backoff {
  let step = 0;
  return {
    nextMs() {
      const plainMs = Math.min(maxMs, baseMs * factor ** step);
      if (plainMs < maxMs) step += 1;
      return plainMs * (1 + Math.random() * jitter);
    },
    reset() {
      step = 0;
    },
  };
}
