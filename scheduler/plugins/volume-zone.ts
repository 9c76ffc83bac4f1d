// Volumes labelled with a zone or region are reached only from there. Upstream: plugins/volumezone.
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { classOfClaim, waitsForConsumer } from '#machinery/api/volumes.ts';
import type { Plugin, Rejection } from '../plugin.ts';

const conflict: Rejection = { reasons: ['node(s) had no available volume zone'], resolvable: false };
const today: Readonly<Record<string, string>> = {
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
};
const labels = Object.entries(today).flat();
const unresolvable = (reason: string): Rejection => ({ reasons: [reason], resolvable: false });

export const volumeZone: Plugin = {
  name: 'VolumeZone',
  wakes: ['Volume', 'NodeAdd', 'NodeLabel'],
  prepareFilter(pod, context) {
    const wanted: { key: string; values: ReadonlySet<string> }[] = [];
    for (const { persistentVolumeClaim } of pod.pod.spec?.volumes ?? []) {
      if (!persistentVolumeClaim) continue;
      const name = persistentVolumeClaim.claimName;
      const claim = context.claim(pod.namespace, name) as PersistentVolumeClaim | undefined; // from the informer of that resource
      if (!claim) return unresolvable(`persistentvolumeclaim "${name}" not found`);
      const volumeName = claim.spec?.volumeName;
      if (!volumeName) {
        const className = classOfClaim(claim);
        if (className === '') return unresolvable('PersistentVolumeClaim had no pv name and storageClass name');
        const storageClass = context.storageClass(className) as StorageClass | undefined; // as above
        if (!storageClass) return unresolvable(`storageclass.storage.k8s.io "${className}" not found`);
        if (waitsForConsumer(storageClass)) continue;
        return unresolvable('PersistentVolume had no name');
      }
      const volume = context.volume(volumeName) as PersistentVolume | undefined; // as above
      if (!volume) return unresolvable(`persistentvolume "${volumeName}" not found`);
      for (const key of labels) {
        const value = volume.metadata.labels?.[key];
        if (value !== undefined) wanted.push({ key, values: new Set(value.split('__').map((each) => each.trim())) });
      }
    }
    if (wanted.length === 0) return undefined;
    return {
      filter(node) {
        if (!labels.some((key) => node.labels[key] !== undefined)) return undefined; // it says nothing of where it is
        const fits = wanted.every(({ key, values }) => values.has(node.labels[key] ?? node.labels[today[key] ?? key] ?? ''));
        return fits ? undefined : conflict;
      },
    };
  },
};
