// Makes the claims of pods' generic ephemeral volumes; they belong to the pod and go with it. Upstream: pkg/controller/volume/ephemeral.
import type { Pod, PersistentVolumeClaim } from '#machinery/api/object.ts';
import { claimNameOf, foreignClaim } from '#machinery/api/volumes.ts';
import { isAlreadyExists } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { persistentVolumeClaims, pods } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';

type PodVolume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];

export function ephemeralVolumes(pod: Pod): PodVolume[] {
  return pod.metadata.deletionTimestamp === undefined ? (pod.spec?.volumes ?? []).filter(({ ephemeral }) => ephemeral) : [];
}

export function claimFor(pod: Pod, volume: PodVolume): PersistentVolumeClaim {
  const { metadata, spec } = volume.ephemeral?.volumeClaimTemplate ?? { spec: {} };
  return {
    apiVersion: 'v1', kind: 'PersistentVolumeClaim',
    metadata: {
      name: claimNameOf(pod, volume) ?? '', ...(metadata?.labels ? { labels: metadata.labels } : {}), ...(metadata?.annotations ? { annotations: metadata.annotations } : {}),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name ?? '', uid: pod.metadata.uid ?? '', controller: true, blockOwnerDeletion: true }],
    },
    spec,
  };
}

export function createEphemeralVolumeController({ informers, clientFor, recorderFor, config, metrics }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'ephemeral_volume' });
  const account = 'ephemeral-volume-controller';
  const client = clientFor(account);
  const recorder = recorderFor('ephemeral_volume', account);
  const claims = informers.for(persistentVolumeClaims);
  const allPods = informers.for(pods);

  allPods.onChange(({ type, object }) => {
    if (type !== 'deleted' && ephemeralVolumes(object).length > 0) queue.add(keyOf(object));
  });
  claims.onChange(({ type, object }) => { // one that was taken away too early is made again
    if (type !== 'deleted') return;
    const owner = object.metadata.ownerReferences?.find(({ controller, kind }) => controller && kind === 'Pod');
    if (owner) queue.add(`${object.metadata.namespace}/${owner.name}`);
  });

  async function ensureClaim(pod: Pod, volume: PodVolume, signal: AbortSignal): Promise<void> {
    const namespace = pod.metadata.namespace ?? '';
    const wanted = claimFor(pod, volume);
    const name = wanted.metadata.name ?? '';
    let found = claims.get(namespace, name);
    if (!found) {
      metrics.ephemeralCreations.add();
      try {
        await client.create(persistentVolumeClaims, namespace, wanted, signal);
        return;
      } catch (error) {
        metrics.ephemeralFailures.add();
        if (!isAlreadyExists(error)) throw new Error(`create PVC ${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
        found = await client.get(persistentVolumeClaims, namespace, name, signal);
      }
    }
    const foreign = foreignClaim(pod, found);
    if (foreign !== undefined) throw new Error(foreign);
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const pod = allPods.get(namespace, name);
    if (!pod) return;
    for (const volume of ephemeralVolumes(pod)) {
      try {
        await ensureClaim(pod, volume, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        const message = error instanceof Error ? error.message : String(error);
        recorder.event({ apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata }, 'Warning', 'FailedBinding', `ephemeral volume ${volume.name}: ${message}`);
        throw new Error(`pod ${key}, ephemeral volume ${volume.name}: ${message}`, { cause: error });
      }
    }
  }

  return { run: (signal) => runController({ name: 'ephemeral-volume-controller', queue, workers: config.concurrent.ephemeralVolume, reconcile }, signal) };
}
