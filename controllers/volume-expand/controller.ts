// Says of claims that ask for more than they have who is to make them grow; the growing itself is the provisioner's (for local
// folders ../local-path). Upstream: pkg/controller/volume/expand, whose in-tree plugins are all gone.
import type { PersistentVolumeClaim } from '#machinery/api/object.ts';
import { compareQuantities, parseQuantity } from '#machinery/api/quantity.ts';
import { annotation, isFullyBound, requestOf } from '#machinery/api/volumes.ts';
import { runController } from '#machinery/client/controller.ts';
import { persistentVolumeClaims, persistentVolumes } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';

/** It is bound and asks for more than it has. */
export function wantsMore(claim: PersistentVolumeClaim): boolean {
  const has = claim.status?.capacity?.storage;
  return isFullyBound(claim) && claim.status?.phase === 'Bound' && has !== undefined && compareQuantities(requestOf(claim), parseQuantity(has)) > 0;
}

export function createVolumeExpander({ informers, recorderFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'volume_expand' });
  const recorder = recorderFor('volume_expand', 'expand-controller');
  const claims = informers.for(persistentVolumeClaims);
  const volumes = informers.for(persistentVolumes);
  claims.onChange((change) => {
    if (change.type === 'deleted' || !wantsMore(change.object)) return;
    // Told once for each request, not for every word that the one who expands it writes.
    if (change.type === 'updated' && wantsMore(change.old) && compareQuantities(requestOf(change.old), requestOf(change.object)) === 0) return;
    queue.add(keyOf(change.object));
  });

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = splitKey(key);
    const claim = claims.get(namespace, name);
    if (!claim || !wantsMore(claim)) return;
    const volume = volumes.get('', claim.spec?.volumeName ?? '');
    if (!volume?.spec || volume.spec.claimRef?.uid !== claim.metadata.uid) throw new Error(`persistent Volume is not bound to PVC being updated : ${key}`);
    const external = volume.spec.csi !== undefined || volume.metadata.annotations?.[annotation.provisionedBy] !== undefined;
    recorder.event({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: claim.metadata }, external ? 'Normal' : 'Warning', 'ExternalExpanding', 'waiting for an external controller to expand this PVC');
  }

  return { run: (signal) => runController({ name: 'persistentvolume-expander-controller', queue, reconcile }, signal) };
}
