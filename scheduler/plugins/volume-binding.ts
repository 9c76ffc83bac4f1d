// Claims must exist and be bound; bound volumes say which nodes reach them.
import type { NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import type { Plugin, Rejection } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';
import { compileNodeTerm, nodeTermMatches, type NodeTerm } from '../selectors.ts';

const unboundImmediate: Rejection = { reasons: ['pod has unbound immediate PersistentVolumeClaims'], resolvable: false };
const wrongNode: Rejection = { reasons: ["node(s) didn't match PersistentVolume's node affinity"], resolvable: false };
const lostVolume: Rejection = { reasons: ['node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)'], resolvable: false };
const noVolume: Rejection = { reasons: ["node(s) didn't find available persistent volumes to bind"], resolvable: false };

/** Names of the claims a pod mounts; an ephemeral volume's claim is named after pod and volume. */
export function claimNames(pod: PodInfo): string[] {
  const names: string[] = [];
  for (const volume of pod.pod.spec?.volumes ?? []) {
    if (volume.persistentVolumeClaim) names.push(volume.persistentVolumeClaim.claimName);
    else if (volume.ephemeral) names.push(`${pod.name}-${volume.name}`);
  }
  return names;
}
export function isBound(claim: PersistentVolumeClaim): boolean {
  return !!claim.spec?.volumeName && claim.metadata.annotations?.['pv.kubernetes.io/bind-completed'] !== undefined;
}

export const volumeBinding: Plugin = {
  name: 'VolumeBinding',
  wakes: ['Volume', 'NodeAdd', 'NodeLabel'],
  prepareFilter(pod, context) {
    const names = claimNames(pod);
    if (names.length === 0) return undefined;
    const allowed: NodeTerm[][] = [];
    let lost = false;
    let unprovisioned = false;
    let unbound = false;
    for (const name of names) {
      const claim = context.claim(pod.namespace, name) as PersistentVolumeClaim | undefined; // from the informer of that resource
      if (!claim) return { reasons: [`persistentvolumeclaim "${name}" not found`], resolvable: false };
      if (claim.metadata.deletionTimestamp) return { reasons: [`persistentvolumeclaim "${name}" is being deleted`], resolvable: false };
      if (claim.status?.phase === 'Lost') return { reasons: [`persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ''}"`], resolvable: false };
      if (isBound(claim)) {
        const volume = context.volume(claim.spec?.volumeName ?? '') as PersistentVolume | undefined; // as above
        if (!volume) lost = true;
        const terms: NodeSelectorTerm[] | undefined = volume?.spec?.nodeAffinity?.required?.nodeSelectorTerms;
        if (terms) allowed.push(terms.map((term) => compileNodeTerm(term)));
        continue;
      }
      const storageClass = context.storageClass(claim.spec?.storageClassName ?? '') as StorageClass | undefined; // as above
      // Choosing a volume, or asking a provisioner for one on the chosen node, is not done here yet: such a pod waits and says why.
      if (storageClass?.volumeBindingMode === 'WaitForFirstConsumer') unprovisioned = true;
      else unbound = true;
    }
    if (unbound) return unboundImmediate;
    if (!lost && !unprovisioned && allowed.length === 0) return undefined;
    return {
      filter(node) {
        if (lost) return lostVolume;
        for (const terms of allowed) if (!terms.some((term) => nodeTermMatches(term, node.labels, node.name))) return wrongNode;
        return unprovisioned ? noVolume : undefined;
      },
    };
  },
};
