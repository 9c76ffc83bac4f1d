// A bounded buffer in front of a backend: requests never wait for it, and what does not fit is dropped and counted.
import type { AuditEvent } from './event.ts';

export interface BatchOptions {
  /** Events that may wait. */
  bufferSize: number;
  /** At most this many in a batch. */
  maxBatchSize: number;
  /** A batch that is not full goes after this. */
  maxBatchWaitMs: number;
  /** Batches a second, and how many may go at once after a quiet time; undefined: no limit. */
  throttle: { qps: number; burst: number } | undefined;
}

export interface Buffer {
  add(event: AuditEvent): void;
  /** Resolves when everything that was added has been sent or given up. */
  close(): Promise<void>;
}

/** `send` never rejects; batches go in order, one at a time. */
export function createBuffer(options: BatchOptions, send: (events: AuditEvent[]) => Promise<void>, onDropped: (event: AuditEvent) => void): Buffer {
  const waiting: AuditEvent[] = [];
  let closing = false;
  let wake: (() => void) | undefined;
  let tokens = options.throttle?.burst ?? 0;
  let refilled = Date.now();

  async function throttled(): Promise<void> {
    const { throttle } = options;
    if (!throttle) return;
    const now = Date.now();
    tokens = Math.min(throttle.burst, tokens + (now - refilled) / 1000 * throttle.qps);
    refilled = now;
    tokens -= 1;
    if (tokens < 0) await new Promise((resolve) => setTimeout(resolve, -tokens / throttle.qps * 1000));
  }
  const full = (): boolean => closing || waiting.length >= options.maxBatchSize;
  async function collected(): Promise<void> {
    if (waiting.length === 0 && !closing) await new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (full()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, options.maxBatchWaitMs);
      wake = () => {
        if (!full()) return;
        clearTimeout(timer);
        resolve();
      };
    });
    wake = undefined;
  }
  const running = (async () => {
    while (!closing || waiting.length > 0) {
      await collected();
      const batch = waiting.splice(0, options.maxBatchSize);
      if (batch.length === 0) continue;
      await throttled();
      await send(batch);
    }
  })();

  return {
    add(event) {
      if (closing || waiting.length >= options.bufferSize) {
        onDropped(event);
        return;
      }
      waiting.push(event);
      wake?.();
    },
    close() {
      closing = true;
      wake?.();
      return running;
    },
  };
}
