// PersistentVolumeClaimResize: only a bound claim grows, and only where its StorageClass allows it. Upstream:
// plugin/pkg/admission/storage/persistentvolume/resize.
import { storageClassOf } from '#machinery/api/claims.ts';
import type { PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { readResourceList } from '#machinery/api/resource-list.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const sizeOf = ({ spec }: PersistentVolumeClaim): bigint => readResourceList(spec?.resources?.requests).get('storage')?.nanos ?? 0n;

export function createPersistentVolumeClaimResize(backend: Pick<Backend, 'lookup'>): AdmissionPlugin {
  function mayExpand(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): boolean {
    const name = storageClassOf(claim);
    if (!name || name !== storageClassOf(old)) return false;
    const found = backend.lookup('storageclasses.storage.k8s.io', '', name) as StorageClass | undefined;
    return found?.allowVolumeExpansion ?? false;
  }
  return {
    name: 'PersistentVolumeClaimResize',
    handles: (operation, { group, resource }, subresource) => operation === 'UPDATE' && group === '' && resource === 'persistentvolumeclaims' && subresource === '',
    validate(attributes) {
      const [claim, old] = [attributes.object as unknown as PersistentVolumeClaim, attributes.oldObject as unknown as PersistentVolumeClaim]; // as `handles` says
      if (sizeOf(claim) <= sizeOf(old)) return;
      if (old.status?.phase !== 'Bound') throw refuse(attributes, 'Only bound persistent volume claims can be expanded');
      if (!mayExpand(claim, old)) throw refuse(attributes, 'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize');
    },
  };
}
