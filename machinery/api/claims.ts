// What PersistentVolumeClaims say of their classes, in the fields of today and of the past.
import type { PersistentVolumeClaim } from './object.ts';

const betaStorageClass = 'volume.beta.kubernetes.io/storage-class';

/** The class that was asked for; '' for none on purpose, undefined where the default class may step in. */
export function storageClassOf({ metadata, spec }: Readonly<Pick<PersistentVolumeClaim, 'metadata' | 'spec'>>): string | undefined {
  return metadata.annotations?.[betaStorageClass] ?? spec?.storageClassName ?? undefined;
}

/** Asked for, in use, and on the way to. */
export function volumeAttributesClassesOf({ spec, status }: Readonly<PersistentVolumeClaim>): string[] {
  const all = [spec?.volumeAttributesClassName, status?.currentVolumeAttributesClassName, status?.modifyVolumeStatus?.targetVolumeAttributesClassName];
  return [...new Set(all.filter((name) => name !== undefined && name !== null && name !== ''))] as string[]; // the filter leaves strings
}
