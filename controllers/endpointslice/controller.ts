// Keeps the EndpointSlices of each Service with a selector in step with its pods. Decisions: reconcile.ts.
import { isNotFound } from '#machinery/api/status.ts';
import type { EndpointSlice } from '#machinery/api/object.ts';
import { runController } from '#machinery/client/controller.ts';
import { endpointSlices, nodes, pods, services } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isNamespaceTerminating } from '../pods.ts';
import { createTriggerTimes, isSelecting, podsOf, servicesTouched, triggerKey } from '../service-pods.ts';
import { changesTopology, wantsTopology, zoneShares } from './topology.ts';
import { managedBy, managedByLabel, planSlices, serviceNameLabel } from './reconcile.ts';

/** Longest wait for our own writes to come back through the informer. */
const staleMs = 5_000;

export function createEndpointSliceController({ informers, clientFor, recorderFor, config, metrics, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'endpoint_slice', baseMs: 1000 });
  const known = { services: informers.for(services), pods: informers.for(pods), nodes: informers.for(nodes), slices: informers.for(endpointSlices) };
  const client = clientFor('endpointslice-controller');
  const recorder = recorderFor('endpoint-slice-controller', 'endpointslice-controller');
  const triggers = createTriggerTimes();
  /** Service -> slice UID -> version that we wrote and have not seen yet. Planning on an older view would double endpoints. */
  const unseen = new Map<string, Map<string, { version: string; at: number }>>();
  const serviceOf = (slice: EndpointSlice): string | undefined => {
    const { labels, namespace } = slice.metadata;
    return labels?.[managedByLabel] === managedBy && labels[serviceNameLabel] ? `${namespace}/${labels[serviceNameLabel]}` : undefined;
  };
  /** Services whose endpoints were given to zones. */
  const zoned = new Set<string>();
  known.slices.addIndex('service', (slice) => [serviceOf(slice) ?? '']);

  known.services.onChange(({ object }) => queue.add(keyOf(object)));
  known.pods.onChange((change) => servicesTouched(change, known.services).forEach((key) => queue.add(key)));
  known.nodes.onChange((change) => {
    // Only whether a node exists and its zone matter here; for shares of zones also whether it is ready.
    if (change.type === 'updated' && !changesTopology(change.old, change.object)) return;
    const zone = 'topology.kubernetes.io/zone';
    const concernsAll = change.type !== 'updated' || change.old.metadata.labels?.[zone] !== change.object.metadata.labels?.[zone];
    for (const service of known.services.list()) if (isSelecting(service) && (concernsAll || wantsTopology(service))) queue.add(keyOf(service));
  });
  known.slices.onChange(({ type, object }) => {
    const key = serviceOf(object);
    if (key === undefined) return;
    const open = unseen.get(key);
    const expected = open?.get(object.metadata.uid ?? '');
    if (expected && (type === 'deleted' || expected.version === object.metadata.resourceVersion)) {
      open?.delete(object.metadata.uid ?? '');
      if (open?.size === 0) unseen.delete(key);
    }
    queue.add(key);
  });
  function wrote(key: string, slice: EndpointSlice): void {
    const { namespace = '', name = '', uid = '', resourceVersion = '' } = slice.metadata;
    if (known.slices.get(namespace, name)?.metadata.resourceVersion === resourceVersion) return; // the event was faster than the answer
    const open = unseen.get(key) ?? new Map<string, { version: string; at: number }>();
    open.set(uid, { version: resourceVersion, at: now() });
    unseen.set(key, open);
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const service = known.services.get(namespace, name);
    if (!service) {
      triggers.forget(key);
      unseen.delete(key);
      zoned.delete(key);
      return; // the slices go with their owner
    }
    if (!isSelecting(service)) return;
    const waiting = [...(unseen.get(key)?.values() ?? [])].filter(({ at }) => now() - at < staleMs);
    if (waiting.length > 0) {
      metrics.sliceSyncs.with('stale').add();
      return { requeueAfterMs: 100 };
    }
    unseen.delete(key);

    const selected = podsOf(service, known.pods);
    const trigger = triggers.next(key, service, selected);
    const plan = planSlices({
      service, pods: selected, slices: known.slices.byIndex('service', key).filter(({ metadata }) => metadata.deletionTimestamp === undefined),
      nodeOf: (node) => known.nodes.get('', node), maxEndpoints: config.maxEndpointsPerSlice, shares: () => zoneShares(known.nodes.list()),
    });
    for (const { works, message } of plan.topology) {
      if (!works) recorder.event(service, 'Warning', 'TopologyAwareHintsDisabled', message);
      else if (!zoned.has(key)) recorder.event(service, 'Normal', 'TopologyAwareHintsEnabled', message);
    }
    if (zoned.has(key) && plan.topology.length === 0) recorder.event(service, 'Warning', 'TopologyAwareHintsDisabled', `Topology Aware Hints has been disabled, addressType: ${service.spec?.ipFamilies?.join() || 'IPv4'}`);
    if (plan.topology.some(({ works }) => works)) zoned.add(key);
    else zoned.delete(key);
    const stamped = (slice: (typeof plan.create)[number]): object => {
      const { [triggerKey]: _, ...annotations } = slice.metadata.annotations ?? {};
      return { ...slice, metadata: { ...slice.metadata, annotations: trigger ? { ...annotations, [triggerKey]: trigger } : annotations } };
    };
    try {
      if (service.metadata.deletionTimestamp === undefined) {
        for (const slice of plan.create) {
          wrote(key, await client.create(endpointSlices, namespace, stamped(slice), signal));
          metrics.sliceChanges.with('create').add();
        }
      }
      for (const slice of plan.update) {
        wrote(key, await client.update(endpointSlices, namespace, slice.metadata.name ?? '', stamped(slice), signal));
        metrics.sliceChanges.with('update').add();
      }
      for (const slice of plan.delete) {
        await client.delete(endpointSlices, namespace, slice.metadata.name ?? '', {}, signal).catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
        metrics.sliceChanges.with('delete').add();
      }
      metrics.sliceSyncs.with('success').add();
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      metrics.sliceSyncs.with('error').add();
      if (!signal.aborted) recorder.event(service, 'Warning', 'FailedToUpdateEndpointSlices', `Error updating Endpoint Slices for Service ${namespace}/${name}: ${error instanceof Error ? error.message : String(error)}`);
      throw error;
    }
    // A node that is not known yet brings the service back when it comes; the others are published meanwhile.
  }

  return { run: (stop) => runController({ name: 'endpointslice-controller', queue, workers: config.concurrent.service, reconcile }, stop) };
}
