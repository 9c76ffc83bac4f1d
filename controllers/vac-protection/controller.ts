// VolumeAttributesClasses stay while a claim or a volume names them.
import { volumeAttributesClassesOf } from '#machinery/api/claims.ts';
import type { PersistentVolume } from '#machinery/api/object.ts';
import { persistentVolumeClaims, persistentVolumes, volumeAttributesClasses } from '#machinery/client/resources.ts';
import type { Informer } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { protect } from '../protection.ts';

const ofVolume = ({ spec }: Readonly<PersistentVolume>): string[] => (spec?.volumeAttributesClassName ? [spec.volumeAttributesClassName] : []);

export function createVacProtectionController({ informers, clientFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'vacprotection' });
  const claims = informers.for(persistentVolumeClaims);
  const volumes = informers.for(persistentVolumes);
  /** Looks again at the classes that an object no longer names. */
  function follow<T>(informer: Informer<T>, classesOf: (object: T) => string[]): void {
    informer.addIndex('attributes-class', classesOf);
    informer.onChange((change) => {
      if (change.type === 'added') return;
      const before = classesOf(change.type === 'updated' ? change.old : change.object);
      const after = change.type === 'updated' ? classesOf(change.object) : [];
      for (const name of before) if (!after.includes(name)) queue.add(name);
    });
  }
  follow(claims, volumeAttributesClassesOf);
  follow(volumes, ofVolume);
  return protect({
    name: 'volumeattributesclass-protection-controller', finalizer: 'kubernetes.io/vac-protection', queue, workers: 1,
    informer: informers.for(volumeAttributesClasses), client: clientFor('volumeattributesclass-protection-controller'),
    isUsed: ({ metadata: { name = '' } }) => [volumes, claims].some((informer) => informer.byIndex('attributes-class', name).length > 0),
  });
}
