// How many volumes of a CSI driver a node may hold, as its CSINode says. Upstream: plugins/nodevolumelimits/csi.go; volumes that are
// attached for nobody (VolumeAttachments without a pod) are not counted.
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { claimNameOf, classOfClaim } from '#machinery/api/volumes.ts';
import type { Context, Plugin, Rejection } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';

const exceeded: Rejection = { reasons: ['node(s) exceed max volume count'], resolvable: true };
interface CsiNode { spec?: { drivers?: { name: string; allocatable?: { count?: number } }[] } }

/** Volumes of drivers that a pod holds, by a name that is the same for all pods that share one. */
function volumesOf(pod: PodInfo, context: Context): Map<string, string> {
  const result = new Map<string, string>();
  for (const volume of pod.pod.spec?.volumes ?? []) {
    const name = claimNameOf(pod.pod, volume);
    if (name === undefined) continue;
    const claim = context.claim(pod.namespace, name) as PersistentVolumeClaim | undefined; // from the informer of that resource
    if (!claim) continue; // VolumeBinding tells
    const found = claim.spec?.volumeName ? context.volume(claim.spec.volumeName) as PersistentVolume | undefined : undefined; // as above
    const csi = found?.spec?.csi;
    if (csi) result.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
    else if (!found) { // not made yet: it will be one of its class's driver
      const storageClass = context.storageClass(classOfClaim(claim)) as StorageClass | undefined; // as above
      if (storageClass) result.set(`${storageClass.provisioner}/${pod.namespace}/${name}`, storageClass.provisioner);
    }
  }
  return result;
}

export const nodeVolumeLimits: Plugin = {
  name: 'NodeVolumeLimits',
  wakes: ['PodDelete', 'Volume', 'NodeAdd'],
  prepareFilter(pod, context) {
    const wanted = volumesOf(pod, context);
    if (wanted.size === 0) return undefined;
    return {
      filter(node) {
        const limits = new Map<string, number>();
        for (const { name, allocatable } of (context.csiNode(node.name) as CsiNode | undefined)?.spec?.drivers ?? []) { // as above
          if (allocatable?.count !== undefined) limits.set(name, allocatable.count);
        }
        if (limits.size === 0) return undefined;
        const held = new Map<string, string>();
        for (const other of node.pods.values()) for (const [name, driver] of volumesOf(other, context)) held.set(name, driver);
        for (const [driver, limit] of limits) {
          const fresh = [...wanted].filter(([name, of]) => of === driver && !held.has(name)).length;
          const used = [...held.values()].filter((of) => of === driver).length;
          if (fresh > 0 && used + fresh > limit) return exceeded;
        }
        return undefined;
      },
    };
  },
};
