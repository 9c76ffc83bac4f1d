// Disks that one node may hold at a time, and claims that one pod may use at a time. Upstream: plugins/volumerestrictions.
import type { PersistentVolumeClaim, Pod } from '#machinery/api/object.ts';
import type { Plugin, Rejection } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';

const diskInUse: Rejection = { reasons: ['node(s) had no available disk'], resolvable: true };
const claimInUse: Rejection = { reasons: ['node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod'], resolvable: true };

type PodVolume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];
const isDisk = (volume: PodVolume): boolean => (volume.gcePersistentDisk ?? volume.awsElasticBlockStore ?? volume.iscsi ?? volume.rbd) !== undefined;

export function disksClash(a: PodVolume, b: PodVolume): boolean {
  if (a.gcePersistentDisk && b.gcePersistentDisk) {
    return a.gcePersistentDisk.pdName === b.gcePersistentDisk.pdName && !(a.gcePersistentDisk.readOnly && b.gcePersistentDisk.readOnly);
  }
  if (a.awsElasticBlockStore && b.awsElasticBlockStore) return a.awsElasticBlockStore.volumeID === b.awsElasticBlockStore.volumeID;
  if (a.iscsi && b.iscsi) return a.iscsi.iqn === b.iscsi.iqn && !(a.iscsi.readOnly && b.iscsi.readOnly);
  if (a.rbd && b.rbd) {
    const { monitors, pool = 'rbd', image, readOnly } = b.rbd;
    return a.rbd.monitors.some((each) => monitors.includes(each)) && (a.rbd.pool ?? 'rbd') === pool && a.rbd.image === image && !(a.rbd.readOnly && readOnly);
  }
  return false;
}

const uses = ({ pod }: PodInfo, claims: ReadonlySet<string>): number => (pod.spec?.volumes ?? []).filter(({ persistentVolumeClaim }) => persistentVolumeClaim && claims.has(persistentVolumeClaim.claimName)).length;

export const volumeRestrictions: Plugin = {
  name: 'VolumeRestrictions',
  wakes: ['PodDelete', 'Volume', 'NodeAdd'],
  prepareFilter(pod, context) {
    const volumes = pod.pod.spec?.volumes;
    if (!volumes) return undefined;
    const disks = volumes.filter(isDisk);
    const exclusive = new Set<string>();
    for (const { persistentVolumeClaim } of volumes) {
      if (!persistentVolumeClaim) continue;
      const name = persistentVolumeClaim.claimName;
      const claim = context.claim(pod.namespace, name) as PersistentVolumeClaim | undefined; // from the informer of that resource
      if (!claim) return { reasons: [`persistentvolumeclaim "${name}" not found`], resolvable: false };
      if (claim.spec?.accessModes?.includes('ReadWriteOncePod')) exclusive.add(name);
    }
    // Rare enough to count by looking at every pod of the namespace.
    let conflicts = 0;
    if (exclusive.size > 0) {
      for (const node of context.snapshot.nodes()) for (const other of node.pods.values()) if (other.namespace === pod.namespace && other.uid !== pod.uid) conflicts += uses(other, exclusive);
    }
    if (disks.length === 0 && conflicts === 0) return undefined;
    return {
      filter(node) {
        for (const disk of disks) for (const other of node.pods.values()) if (other.pod.spec?.volumes?.some((each) => disksClash(disk, each))) return diskInUse;
        return conflicts > 0 ? claimInUse : undefined;
      },
      add(other) {
        if (other.namespace === pod.namespace) conflicts += uses(other, exclusive);
      },
      remove(other) {
        if (other.namespace === pod.namespace) conflicts -= uses(other, exclusive);
      },
    };
  },
};
