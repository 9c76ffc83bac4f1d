// A large fleet of hollow nodes in a thread of its own: a thousand nodes are as busy as the API server that they report to.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { FleetOptions } from './fleet.ts';

/** How long nodes may take to end before their thread is. They write last statuses and hold nothing else. */
const endMs = 10_000;

/** As runFleet(). Rejects when the thread dies. */
export async function runFleetInThread(options: FleetOptions, signal: AbortSignal, onReady?: () => void): Promise<void> {
  if (signal.aborted) return;
  const worker = new Worker(new URL('fleet-worker.ts', import.meta.url), { workerData: options });
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    worker.postMessage('stop');
    timer = setTimeout(() => void worker.terminate(), endMs);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  worker.on('message', () => onReady?.());
  try {
    await once(worker, 'exit'); // rejects with the thread's error
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
  if (!signal.aborted) throw new Error('the thread of the hollow nodes ended by itself');
}
