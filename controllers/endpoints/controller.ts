// Keeps the Endpoints object of each Service with a selector: the older form of EndpointSlices, which many clients still read.
import { isAlreadyExists, isForbidden, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { endpoints, pods, services } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isNamespaceTerminating, sameMap, sameValue } from '../pods.ts';
import { createTriggerTimes, isSelecting, podsOf, servicesTouched, triggerKey } from '../service-pods.ts';
import { labelsOf, overCapacityKey, subsetsOf } from './reconcile.ts';

const leaderKey = 'control-plane.alpha.kubernetes.io/leader';

export function createEndpointsController({ informers, clientFor, recorderFor, config }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'endpoint' });
  const known = { services: informers.for(services), pods: informers.for(pods), endpoints: informers.for(endpoints) };
  const client = clientFor('endpoint-controller');
  const recorder = recorderFor('endpoint-controller', 'endpoint-controller');
  const triggers = createTriggerTimes();
  known.services.onChange(({ object }) => queue.add(keyOf(object)));
  known.pods.onChange((change) => servicesTouched(change, known.services).forEach((key) => queue.add(key)));
  known.endpoints.onChange(({ type, object }) => {
    if (type === 'deleted') queue.add(keyOf(object));
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const service = known.services.get(namespace, name);
    const current = known.endpoints.get(namespace, name);
    if (!service) {
      triggers.forget(key);
      if (!current || current.metadata.annotations?.[leaderKey] !== undefined) return;
      await client.delete(endpoints, namespace, name, {}, signal).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
      return;
    }
    if (!isSelecting(service)) return;
    const selected = podsOf(service, known.pods);
    const { subsets, truncated } = subsetsOf(service, selected);
    const labels = labelsOf(service);
    const trigger = triggers.next(key, service, selected);
    const marked = current?.metadata.annotations?.[overCapacityKey] === 'truncated';
    if (current && sameValue(subsets, current.subsets) && sameMap(labels, current.metadata.labels) && marked === truncated) return;
    const { [overCapacityKey]: _capacity, [triggerKey]: _trigger, ...others } = current?.metadata.annotations ?? {};
    const annotations = { ...others, ...(trigger ? { [triggerKey]: trigger } : {}), ...(truncated ? { [overCapacityKey]: 'truncated' } : {}) };
    const body = { ...current, apiVersion: 'v1', kind: 'Endpoints', metadata: { ...(current?.metadata ?? { name, namespace }), labels, annotations }, subsets };
    try {
      if (current) await client.update(endpoints, namespace, name, body, signal);
      else await client.create(endpoints, namespace, body, signal);
    } catch (error) {
      if (isNamespaceTerminating(error) || (!current && isAlreadyExists(error))) return; // seen soon, and then compared
      if (!signal.aborted && !isForbidden(error)) {
        const text = error instanceof Error ? error.message : String(error);
        if (current) recorder.event(current, 'Warning', 'FailedToUpdateEndpoint', `Failed to update endpoint ${key}: ${text}`);
        else recorder.event(body, 'Warning', 'FailedToCreateEndpoint', `Failed to create endpoint for service ${key}: ${text}`);
      }
      throw error;
    }
  }

  return {
    run(stop) {
      for (const each of known.endpoints.list()) if (!known.services.get(each.metadata.namespace ?? '', each.metadata.name ?? '')) queue.add(keyOf(each)); // left over from before
      return runController({ name: 'endpoints-controller', queue, workers: config.concurrent.endpoint, reconcile }, stop);
    },
  };
}
