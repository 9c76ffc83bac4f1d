// What the scheduler counts, under upstream's names and with its bounds (pkg/scheduler/metrics). Cells are kept, so that counting
// costs an addition; text is made when somebody scrapes.
import { exponentialBounds, Registry } from '#machinery/base/metrics.ts';
import { leadershipGauge } from '#machinery/client/lease.ts';

export type AttemptResult = 'scheduled' | 'unschedulable' | 'error';
const attemptBounds = exponentialBounds(0.001, 2, 15);

export class SchedulerMetrics {
  readonly registry = new Registry();
  readonly #registry = this.registry;
  readonly leading = leadershipGauge(this.#registry);
  readonly attempts = this.#registry.counter({
    name: 'scheduler_schedule_attempts_total', stability: 'STABLE', labels: ['result', 'profile'],
    help: "Attempts to schedule pods by result; 'unschedulable': no node was found, 'error': the scheduler itself failed.",
  });
  readonly attemptSeconds = this.#registry.histogram({
    name: 'scheduler_scheduling_attempt_duration_seconds', stability: 'STABLE', labels: ['result', 'profile'], help: 'Time of an attempt, binding included.',
  }, attemptBounds);
  readonly algorithmSeconds = this.#registry.histogram({
    name: 'scheduler_scheduling_algorithm_duration_seconds', stability: 'ALPHA', help: 'Time of the search for a node.',
  }, attemptBounds).with();
  readonly sliSeconds = this.#registry.histogram({
    name: 'scheduler_pod_scheduling_sli_duration_seconds', stability: 'BETA', labels: ['attempts'], help: 'From entering the queue until bound, over all attempts.',
  }, exponentialBounds(0.01, 2, 20));
  readonly pointSeconds = this.#registry.histogram({
    name: 'scheduler_framework_extension_point_duration_seconds', stability: 'STABLE', labels: ['extension_point', 'status', 'profile'], help: 'Time of all plugins of an extension point together.',
  }, exponentialBounds(0.0001, 2, 12));
  readonly podAttempts = this.#registry.histogram({
    name: 'scheduler_pod_scheduling_attempts', stability: 'STABLE', help: 'Attempts until a pod was scheduled.',
  }, exponentialBounds(1, 2, 5)).with();
  readonly preemptionAttempts = this.#registry.counter({
    name: 'scheduler_preemption_attempts_total', stability: 'STABLE', help: 'Searches for pods to remove.',
  }).with();
  readonly preemptionVictims = this.#registry.histogram({
    name: 'scheduler_preemption_victims', stability: 'STABLE', help: 'Pods chosen to be removed, each time.',
  }, exponentialBounds(1, 2, 7)).with();
  readonly incoming = this.#registry.counter({
    name: 'scheduler_queue_incoming_pods_total', stability: 'STABLE', labels: ['queue', 'event'], help: 'Pods that entered a queue, by the event that moved them.',
  });
  readonly afterFlush = this.#registry.counter({
    name: 'scheduler_pod_scheduled_after_flush_total', stability: 'ALPHA', help: 'Pods scheduled after the longest wait ended: an event that would have helped was missed.',
  }).with();
}
