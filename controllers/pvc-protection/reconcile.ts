// Which claims a pod names, and which of them it holds on to. Upstream: pkg/controller/volume/pvcprotection.
import { controllerOf } from '#machinery/api/object.ts';
import type { PersistentVolumeClaim, Pod } from '#machinery/api/object.ts';
import { isTerminal } from '../pods.ts';

type Volume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];
/** Claims of ephemeral volumes are named after pod and volume. */
function claimNameOf(pod: Readonly<Pod>, volume: Volume): string | undefined {
  return volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral ? `${pod.metadata.name}-${volume.name}` : undefined);
}

/** `namespace/name` of every claim that the pod names. */
export function claimsOf(pod: Readonly<Pod>): string[] {
  return (pod.spec?.volumes ?? []).flatMap((volume) => {
    const name = claimNameOf(pod, volume);
    return name === undefined ? [] : [`${pod.metadata.namespace}/${name}`];
  });
}

/** Only pods that have a node count: no kubelet starts one whose claim is being deleted. */
export function usesClaim(pod: Readonly<Pod>, claim: Readonly<PersistentVolumeClaim>): boolean {
  if (!pod.spec?.nodeName) return false;
  return (pod.spec.volumes ?? []).some((volume) => {
    if (claimNameOf(pod, volume) !== claim.metadata.name) return false;
    if (volume.persistentVolumeClaim) return true;
    // The kubelet is done with a pod that has no grace left; its claim may go before the pod, which may wait for just that.
    const shutDown = pod.metadata.deletionTimestamp !== undefined && pod.metadata.deletionGracePeriodSeconds === 0;
    return !shutDown && controllerOf(claim)?.uid === pod.metadata.uid;
  });
}

/** Has ended, or is being deleted with no container running. */
export function isDone(pod: Readonly<Pod>): boolean {
  if (isTerminal(pod)) return true;
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {};
  return pod.metadata.deletionTimestamp !== undefined
    && [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses].every(({ state }) => !state?.running);
}
