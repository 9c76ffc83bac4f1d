// The requests that are being served: ends those whose time is over, and all of them, in order, when the server stops.
import type { ServerResponse } from 'node:http';
import type { RequestState } from './context.ts';
import { RequestTimeout } from './errors.ts';

export interface Running {
  readonly context: RequestState;
  /** Undefined for upgraded connections. */
  readonly response: ServerResponse | undefined;
  readonly longRunning: boolean;
  /** When its time is over, in milliseconds since the epoch. */
  readonly deadline: number;
  /** Answers in place of the handler, which may be stuck in a body that does not come. */
  readonly onTimeout: () => void;
}

const sweepEveryMs = 1000;

export class InFlight {
  readonly #running = new Set<Running>();
  readonly #sweep: NodeJS.Timeout;
  #drained: (() => void)[] = [];
  #draining = false;

  constructor() {
    // One timer for all: a timer for each request costs more than most of them take.
    this.#sweep = setInterval(() => {
      const now = Date.now();
      for (const one of this.#running) if (!one.longRunning && now >= one.deadline) expire(one);
    }, sweepEveryMs);
    this.#sweep.unref();
  }

  /** The result is to be called when the request is done with. */
  add(one: Running): () => void {
    this.#running.add(one);
    // Short limits are asked for by the client and kept to the millisecond.
    const left = one.deadline - Date.now();
    const timer = !one.longRunning && left < 30 * sweepEveryMs ? setTimeout(expire, left, one) : undefined;
    timer?.unref();
    return () => {
      clearTimeout(timer);
      const { response } = one;
      // Who stops closes the connections next: the answer must have left by then.
      if (this.#draining && response && !response.writableFinished && !response.destroyed) {
        response.once('finish', () => this.#remove(one)).once('close', () => this.#remove(one));
      } else this.#remove(one);
    };
  }

  /** Watches and streams end now; the others may finish within `graceMs`, then they are cut off too. Nothing new may be added that takes long. */
  async drain(graceMs: number, longRunningGraceMs: number): Promise<void> {
    this.#draining = true;
    const stopping = new Error('the server is stopping');
    for (const { context, longRunning, response } of this.#running) {
      if (longRunning) context.abort(stopping);
      // Whoever gets his answer now shall not send the next request here.
      else if (response && !response.headersSent) response.setHeader('Connection', 'close');
    }
    await this.#until(() => ![...this.#running].some(({ longRunning }) => !longRunning), graceMs);
    await this.#until(() => this.#running.size === 0, longRunningGraceMs);
    for (const { context } of this.#running) context.abort(stopping);
  }
  close(): void {
    clearInterval(this.#sweep);
  }

  #remove(one: Running): void {
    this.#running.delete(one);
    for (const check of this.#drained) check();
  }

  #until(condition: () => boolean, withinMs: number): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => {
      const check = (): void => {
        if (condition()) end();
      };
      const end = (): void => {
        clearTimeout(timer);
        this.#drained = this.#drained.filter((other) => other !== check);
        resolve();
      };
      const timer = setTimeout(end, withinMs);
      this.#drained.push(check);
    });
  }
}

function expire(one: Running): void {
  if (one.context.ended) return;
  one.context.abort(new RequestTimeout('the time of the request is over'));
  one.onTimeout();
}
