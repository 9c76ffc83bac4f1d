// Deletes pods that use devices with NoExecute taints that their claims do not (or no longer) tolerate. Nothing is watched before a pod
// with a claim runs.
import { aborted } from '#machinery/base/abort.ts';
import { rfc3339 } from '#machinery/base/clock.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import type { Pod } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { pods } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult, Resource } from '#machinery/client/types.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isTerminal, sameValue } from '../pods.ts';
import { claimsOf, evictionTime, isReservedFor, poolKey } from './reconcile.ts';
import type { ResourceClaim, ResourceSlice } from './reconcile.ts';

const resourceClaims: Resource<ResourceClaim> = { group: 'resource.k8s.io', version: 'v1', resource: 'resourceclaims', kind: 'ResourceClaim', namespaced: true };
const resourceSlices: Resource<ResourceSlice> = { group: 'resource.k8s.io', version: 'v1', resource: 'resourceslices', kind: 'ResourceSlice', namespaced: false };
const name = 'device-taint-eviction-controller';

export function createDeviceTaintEvictionController({ informers, clientFor, recorderFor, config, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'device_taint_eviction' });
  const allPods = informers.for(pods);
  const claims = createInformer(informers.client, resourceClaims);
  const slices = createInformer(informers.client, resourceSlices);
  const client = clientFor(name);
  const recorder = recorderFor(name, name);
  const needed = Promise.withResolvers<void>();
  /** UIDs of pods that were to leave at some time. */
  const doomed = new Set<string>();

  allPods.addIndex('resource claim', (pod) => claimsOf(pod).map((claim) => `${pod.metadata.namespace}/${claim}`));
  slices.addIndex('pool', ({ spec }) => [poolKey(spec.driver, spec.pool.name)]);
  claims.addIndex('pool', ({ status }) => (status?.allocation?.devices?.results ?? []).map(({ driver, pool }) => poolKey(driver, pool)));
  const lookAtUsers = (claim: ResourceClaim): void => {
    for (const pod of allPods.byIndex('resource claim', keyOf(claim))) queue.add(keyOf(pod));
  };
  allPods.onChange((change) => {
    const { object } = change;
    if (change.type === 'deleted') doomed.delete(object.metadata.uid ?? '');
    else if (object.spec?.nodeName && object.spec.resourceClaims?.length) {
      needed.resolve();
      if (change.type === 'added' || change.old.spec?.nodeName === undefined || !sameValue(change.old.status?.resourceClaimStatuses, object.status?.resourceClaimStatuses)) queue.add(keyOf(object));
    }
  });
  claims.onChange(({ object }) => lookAtUsers(object));
  slices.onChange(({ object: { spec } }) => claims.byIndex('pool', poolKey(spec.driver, spec.pool.name)).forEach(lookAtUsers));

  function timeOf(pod: Pod): number {
    const times = claimsOf(pod).map((each) => {
      const claim = claims.get(pod.metadata.namespace ?? '', each);
      return claim && isReservedFor(pod, claim) ? evictionTime(claim, (driver, pool) => slices.byIndex('pool', poolKey(driver, pool)), now()) : Infinity;
    });
    return Math.min(...times);
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name: podName } = splitKey(key);
    const pod = allPods.get(namespace, podName);
    if (!pod?.spec?.nodeName || pod.metadata.deletionTimestamp !== undefined || isTerminal(pod)) return;
    const { uid = '' } = pod.metadata;
    const about = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
    const when = timeOf(pod);
    if (when === Infinity) {
      if (doomed.delete(uid)) recorder.event(about, 'Normal', 'DeviceTaintManagerEviction', 'Cancelling deletion');
      return;
    }
    if (when > now()) {
      doomed.add(uid);
      return { requeueAfterMs: when - now() };
    }
    recorder.event(about, 'Normal', 'DeviceTaintManagerEviction', 'Marking for deletion');
    const condition = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByDeviceTaintManager', message: 'Device Taint manager: deleting due to NoExecute taint', lastTransitionTime: rfc3339(now()) };
    try {
      await client.patch(pods, namespace, podName, 'strategic', { metadata: { uid }, status: { conditions: [condition] } }, signal, { subresource: 'status' });
      await client.delete(pods, namespace, podName, { preconditions: { uid } }, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    doomed.delete(uid);
  }

  return {
    async run(stop) {
      await Promise.race([needed.promise, aborted(stop)]);
      if (stop.aborted) return;
      const group = createTaskGroup(stop);
      group.start('claims', (signal) => claims.run(signal));
      group.start('slices', (signal) => slices.run(signal));
      group.start(name, async (signal) => {
        await Promise.all([claims.waitForSync(signal), slices.waitForSync(signal)]);
        await runController({ name, queue, workers: config.concurrent.deviceTaintEviction, reconcile, maxRetries: Infinity }, signal);
      });
      await group.wait();
    },
  };
}
