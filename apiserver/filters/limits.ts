// How many requests are served at a time: 400 that read and 200 that change, further ones wait in a bounded line, then 429.
import { tooManyRequests } from '#machinery/api/status.ts';

export interface Limits {
  /** Resolves with the way to give the place back. Throws 429 when the line is full, the signal's reason when it aborts first. */
  enter(reads: boolean, signal: () => AbortSignal): Promise<() => void> | (() => void);
}

interface Lane { free: number; waiting: { go: () => void }[] }

export function createLimits({ reading = 400, changing = 200, waiting = 4000 } = {}): Limits {
  const lanes = { reads: { free: reading, waiting: [] } as Lane, changes: { free: changing, waiting: [] } as Lane };
  const leave = (lane: Lane) => (): void => {
    const next = lane.waiting.shift();
    if (next) next.go();
    else lane.free += 1;
  };
  return {
    enter(reads, signalOf) {
      const lane = reads ? lanes.reads : lanes.changes;
      if (lane.free > 0) {
        lane.free -= 1;
        return leave(lane);
      }
      if (lane.waiting.length >= waiting) throw tooManyRequests('Too many requests, please try again later.', 1);
      const signal = signalOf();
      return new Promise((resolve, reject) => {
        const place = {
          go(): void {
            signal.removeEventListener('abort', abort);
            resolve(leave(lane));
          },
        };
        const abort = (): void => {
          lane.waiting.splice(lane.waiting.indexOf(place), 1);
          reject(signal.reason instanceof Error ? signal.reason : new Error('the request ended', { cause: signal.reason }));
        };
        signal.addEventListener('abort', abort, { once: true });
        lane.waiting.push(place);
      });
    },
  };
}
