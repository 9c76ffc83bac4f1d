// PersistentVolumeClaims stay while a pod on a node uses them.
import { persistentVolumeClaims, pods } from '#machinery/client/resources.ts';
import type { PersistentVolumeClaim, Pod } from '#machinery/api/object.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { protect } from '../protection.ts';
import { claimsOf, isDone, usesClaim } from './reconcile.ts';

const pageSize = 500;

export function createPvcProtectionController({ informers, clientFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'pvcprotection' });
  const allPods = informers.for(pods);
  const client = clientFor('pvc-protection-controller');
  allPods.addIndex('claim', claimsOf);
  allPods.onChange((change) => {
    const { type, object } = change;
    // A pod that has a node and runs cannot free anything.
    if (type !== 'deleted' && !isDone(object) && object.spec?.nodeName) return;
    for (const key of claimsOf(object)) queue.add(key);
  });

  /** The cache may not know the newest pod yet; nothing is given up on its word alone. */
  async function isUsed(claim: PersistentVolumeClaim, signal: AbortSignal): Promise<boolean> {
    const { namespace = '', name = '' } = claim.metadata;
    const uses = (pod: Pod): boolean => usesClaim(pod, claim);
    if (allPods.byIndex('claim', `${namespace}/${name}`).some(uses)) return true;
    let next: string | undefined;
    do {
      const page = await client.list(pods, namespace, { limit: pageSize, ...(next === undefined ? {} : { continue: next }) }, signal);
      if (page.items.some(uses)) return true;
      next = page.metadata.continue || undefined;
    } while (next !== undefined);
    return false;
  }

  return protect({
    name: 'persistentvolumeclaim-protection-controller', finalizer: 'kubernetes.io/pvc-protection', queue, workers: 1,
    informer: informers.for(persistentVolumeClaims), client, isUsed,
  });
}
