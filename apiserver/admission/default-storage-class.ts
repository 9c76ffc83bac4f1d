// DefaultStorageClass: a claim that asks for no class gets the default one; of several the newest. Upstream:
// plugin/pkg/admission/storage/storageclass/setdefault, pkg/volume/util/storageclass.go.
import { storageClassOf } from '#machinery/api/claims.ts';
import type { PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { defaultClass } from '#machinery/api/volumes.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionPlugin } from './admission.ts';

export function createDefaultStorageClass(backend: Pick<Backend, 'cached'>): AdmissionPlugin {
  return {
    name: 'DefaultStorageClass',
    handles: (operation, { group, resource }, subresource) => operation === 'CREATE' && group === '' && resource === 'persistentvolumeclaims' && subresource === '',
    admit({ object }) {
      const claim = object as unknown as PersistentVolumeClaim; // `handles` lets only claims through
      if (storageClassOf(claim) !== undefined) return;
      const all = backend.cached('storageclasses.storage.k8s.io') as readonly unknown[] as readonly StorageClass[]; // what that cache holds
      const name = defaultClass(all);
      if (name !== undefined) claim.spec = { ...claim.spec, storageClassName: name };
    },
  };
}
