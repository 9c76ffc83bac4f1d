// What work queues count, under upstream's names (component-base/metrics/prometheus/workqueue). As there, a process that serves
// metrics says once where they go; queues with a name that are made afterwards count.
import { exponentialBounds, type Cell, type HistogramCell, type Registry } from '../base/metrics.ts';

/** The cells of one queue. */
export interface QueueMetrics {
  adds: Cell;
  retries: Cell;
  waitedSeconds: HistogramCell;
  workedSeconds: HistogramCell;
}
/** Looked up when somebody scrapes. */
export interface QueueState {
  readonly length: number;
  /** When each key that is worked on was taken, in milliseconds since the epoch. */
  startedAt(): Iterable<number>;
}
type Provider = (name: string, state: QueueState) => QueueMetrics;

let provider: Provider | undefined;

/** The cells of a queue; undefined when this process does not count. The newest queue of a name is the one that is looked at. */
export function metricsOf(name: string, state: QueueState): QueueMetrics | undefined {
  return provider?.(name, state);
}

/** Adds the families to `registry`; `undefined` stops counting for queues that are made from then on. */
export function countQueues(registry: Registry | undefined): void {
  provider = registry && createProvider(registry);
}

function createProvider(registry: Registry): Provider {
  const labels = ['name'];
  const bounds = exponentialBounds(1e-8, 10, 10);
  const states = new Map<string, QueueState>();
  const read = (name: string, help: string, value: (state: QueueState) => number): void =>
    registry.read({ name, help, stability: 'BETA', labels }, 'gauge', () => [...states].map(([queue, state]) => [[queue], value(state)] as const));
  const running = (state: QueueState): number[] => [...state.startedAt()].map((at) => (Date.now() - at) / 1000);
  read('workqueue_depth', 'Current depth of workqueue', (state) => state.length);
  read('workqueue_unfinished_work_seconds', 'Time of the work that is in progress, summed up: it keeps rising when a worker is stuck.', (state) => running(state).reduce((sum, one) => sum + one, 0));
  read('workqueue_longest_running_processor_seconds', 'How long the longest of the running workers has been at its key.', (state) => Math.max(0, ...running(state)));
  const adds = registry.counter({ name: 'workqueue_adds_total', help: 'Keys that were added.', stability: 'BETA', labels });
  const retries = registry.counter({ name: 'workqueue_retries_total', help: 'Keys that were put back for later.', stability: 'BETA', labels });
  const waited = registry.histogram({ name: 'workqueue_queue_duration_seconds', help: 'How long a key waits until a worker takes it.', stability: 'BETA', labels }, bounds);
  const worked = registry.histogram({ name: 'workqueue_work_duration_seconds', help: 'How long the work on a key takes.', stability: 'BETA', labels }, bounds);
  return (name, state) => {
    states.set(name, state);
    return { adds: adds.with(name), retries: retries.with(name), waitedSeconds: waited.with(name), workedSeconds: worked.with(name) };
  };
}
