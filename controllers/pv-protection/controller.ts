// PersistentVolumes stay while they are bound to a claim.
import { persistentVolumes } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { protect } from '../protection.ts';

export function createPvProtectionController({ informers, clientFor }: ControllerContext): Controller {
  return protect({
    name: 'persistentvolume-protection-controller', finalizer: 'kubernetes.io/pv-protection', queue: createWorkQueue({ name: 'pvprotection' }), workers: 1,
    informer: informers.for(persistentVolumes), client: clientFor('pv-protection-controller'),
    isUsed: ({ status }) => status?.phase === 'Bound',
  });
}
