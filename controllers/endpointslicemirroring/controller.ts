// Mirrors Endpoints of Services without a selector to EndpointSlices: those who read slices see them too. Decisions: reconcile.ts.
import { isNotFound } from '#machinery/api/status.ts';
import type { EndpointSlice } from '#machinery/api/object.ts';
import { runController } from '#machinery/client/controller.ts';
import { endpoints, endpointSlices, services } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { managedByLabel, serviceNameLabel } from '../endpointslice/reconcile.ts';
import { isNamespaceTerminating } from '../pods.ts';
import { WrittenObjects } from '../written.ts';
import { isMirrored, managedBy, planMirror } from './reconcile.ts';

const account = 'endpointslicemirroring-controller';

export function createEndpointSliceMirroringController({ informers, clientFor, recorderFor, config, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'endpoint_slice_mirroring', baseMs: 1000, maxMs: 100_000 });
  const known = { endpoints: informers.for(endpoints), services: informers.for(services), slices: informers.for(endpointSlices) };
  const client = clientFor(account);
  const recorder = recorderFor('endpoint-slice-mirroring-controller', account);
  const written = new WrittenObjects(now);
  const keyOfSlice = ({ metadata: { namespace, labels } }: EndpointSlice): string | undefined =>
    labels?.[managedByLabel] === managedBy && labels[serviceNameLabel] ? `${namespace}/${labels[serviceNameLabel]}` : undefined;
  known.slices.addIndex('mirror', (slice) => [keyOfSlice(slice) ?? '']);

  known.endpoints.onChange((change) => {
    if (isMirrored(change.object) || (change.type === 'updated' && isMirrored(change.old))) queue.add(keyOf(change.object));
  });
  known.services.onChange((change) => {
    const isFree = change.object.spec?.selector === undefined;
    const changed = change.type === 'updated' ? (change.old.spec?.selector === undefined) !== isFree : isFree;
    if (changed) queue.add(keyOf(change.object));
  });
  known.slices.onChange((change) => {
    const keys = [keyOfSlice(change.object), change.type === 'updated' ? keyOfSlice(change.old) : undefined];
    for (const key of new Set(keys)) if (key !== undefined) queue.add(key);
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const source = known.endpoints.get(namespace, name);
    const service = known.services.get(namespace, name);
    const slices = known.slices.byIndex('mirror', key);
    if (!source || !isMirrored(source) || !service || service.spec?.selector !== undefined) {
      written.forget(key);
      for (const slice of slices) await remove(key, slice, signal);
      return;
    }
    if (!written.seen(key)) return { requeueAfterMs: 100 };
    const plan = planMirror(source, slices, config.mirroringMaxEndpointsPerSubset);
    if (plan.invalid > 0) recorder.event(source, 'Warning', 'InvalidIPAddress', `Skipped ${plan.invalid} invalid IP addresses when mirroring to EndpointSlices`);
    if (plan.skipped > plan.invalid) {
      recorder.event(source, 'Warning', 'TooManyAddressesToMirror',
        `A max of ${config.mirroringMaxEndpointsPerSubset} addresses can be mirrored to EndpointSlices per Endpoints subset. ${plan.skipped} addresses were skipped`);
    }
    try {
      if (source.metadata.deletionTimestamp === undefined) {
        for (const slice of plan.create) wrote(key, await client.create(endpointSlices, namespace, slice, signal));
      }
      for (const slice of plan.update) wrote(key, await client.update(endpointSlices, namespace, slice.metadata.name ?? '', slice, signal));
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      throw error;
    }
    for (const slice of plan.delete) await remove(key, slice, signal);
  }
  function wrote(key: string, slice: EndpointSlice): void {
    const { namespace = '', name = '' } = slice.metadata;
    written.wrote(key, 'EndpointSlice', slice, () => known.slices.get(namespace, name));
  }
  async function remove(key: string, slice: EndpointSlice, signal: AbortSignal): Promise<void> {
    const { namespace = '', name = '' } = slice.metadata;
    await client.delete(endpointSlices, namespace, name, {}, signal).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
    written.deleted(key, 'EndpointSlice', slice, () => known.slices.get(namespace, name));
  }

  return { run: (stop) => runController({ name: 'endpointslice-mirroring-controller', queue, workers: config.concurrent.mirroring, reconcile }, stop) };
}
