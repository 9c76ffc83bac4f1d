// StorageObjectInUseProtection: volumes, claims and volume attributes classes are born with the finalizer that keeps them while they
// are in use; the protection controllers take it away. Upstream: plugin/pkg/admission/storage/storageobjectinuseprotection.
import { resourceId } from '../resources/resource.ts';
import type { AdmissionPlugin } from './admission.ts';

const finalizers: Readonly<Record<string, string>> = {
  'persistentvolumes': 'kubernetes.io/pv-protection',
  'persistentvolumeclaims': 'kubernetes.io/pvc-protection',
  'volumeattributesclasses.storage.k8s.io': 'kubernetes.io/vac-protection',
};

export const storageObjectInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  handles: (operation, row, subresource) => operation === 'CREATE' && subresource === '' && resourceId(row) in finalizers,
  admit({ object, row }) {
    const finalizer = finalizers[resourceId(row)];
    if (object === undefined || finalizer === undefined) return;
    const own = object.metadata?.finalizers ?? [];
    if (!own.includes(finalizer)) object.metadata = { ...object.metadata, finalizers: [...own, finalizer] };
  },
};
