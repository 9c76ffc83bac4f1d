// What the controllers count, under upstream's names; queues count by themselves (machinery/client/queue-metrics.ts).
import { exponentialBounds, Registry } from '#machinery/base/metrics.ts';
import { leadershipGauge } from '#machinery/client/lease.ts';

/** Cells are kept, so that counting costs an addition; text is made when somebody scrapes. */
export class ControllersMetrics {
  readonly registry = new Registry();
  readonly #registry = this.registry;
  readonly leading = leadershipGauge(this.#registry);
  readonly autoscaling = this.#registry.counter({
    name: 'horizontal_pod_autoscaler_controller_reconciliations_total', stability: 'BETA', labels: ['action', 'error'], help: "Looks at HorizontalPodAutoscalers by what came of them: 'scale_up', 'scale_down' or 'none', and by what failed.",
  });
  readonly autoscalingSeconds = this.#registry.histogram({
    name: 'horizontal_pod_autoscaler_controller_reconciliation_duration_seconds', stability: 'BETA', labels: ['action', 'error'], help: 'Time of a look at a HorizontalPodAutoscaler.',
  }, exponentialBounds(0.001, 2, 15));
  readonly collectedPods = this.#registry.counter({
    name: 'pod_gc_collector_force_delete_pods_total', stability: 'ALPHA', labels: ['namespace', 'reason'], help: 'Pods removed by the pod garbage collector.',
  });
  readonly uncollectedPods = this.#registry.counter({
    name: 'pod_gc_collector_force_delete_pod_errors_total', stability: 'ALPHA', labels: ['namespace', 'reason'], help: 'Pods that the pod garbage collector failed to remove.',
  });
  readonly taintDeletions = this.#registry.counter({
    name: 'taint_eviction_controller_pod_deletions_total', stability: 'ALPHA', help: "Pods deleted because of their node's taints.",
  }).with();
  readonly taintDeletionSeconds = this.#registry.histogram({
    name: 'taint_eviction_controller_pod_deletion_duration_seconds', stability: 'ALPHA', help: 'From when a pod had to leave until it was deleted.',
  }, [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240]).with();
  readonly nodeEvictions = this.#registry.counter({
    name: 'node_collector_evictions_total', stability: 'STABLE', labels: ['zone'], help: 'Nodes whose pods were made to leave.',
  });
  readonly zoneSize = this.#registry.gauge({ name: 'node_collector_zone_size', stability: 'ALPHA', labels: ['zone'], help: 'Nodes of a zone.' });
  readonly zoneHealth = this.#registry.gauge({ name: 'node_collector_zone_health', stability: 'ALPHA', labels: ['zone'], help: 'Ready nodes of a zone in percent.' });
  readonly zoneDown = this.#registry.gauge({ name: 'node_collector_unhealthy_nodes_in_zone', stability: 'ALPHA', labels: ['zone'], help: 'Nodes of a zone that are not ready.' });
  readonly sliceChanges = this.#registry.counter({
    name: 'endpoint_slice_controller_changes', stability: 'ALPHA', labels: ['operation'], help: 'EndpointSlices written, by operation.',
  });
  readonly sliceSyncs = this.#registry.counter({
    name: 'endpoint_slice_controller_syncs', stability: 'ALPHA', labels: ['result'], help: 'Looks at Services by result.',
  });
  readonly ephemeralCreations = this.#registry.counter({ name: 'ephemeral_volume_controller_create_total', stability: 'ALPHA', help: 'Claims asked for.' }).with();
  readonly ephemeralFailures = this.#registry.counter({ name: 'ephemeral_volume_controller_create_failures_total', stability: 'ALPHA', help: 'Claims asked for in vain.' }).with();
  readonly expiredJobSeconds = this.#registry.histogram({
    name: 'ttl_after_finished_controller_job_deletion_duration_seconds', stability: 'ALPHA', help: 'From when a Job was to be deleted until it was.',
  }, exponentialBounds(0.1, 2, 14)).with();
}
