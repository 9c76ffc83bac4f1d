// DefaultStorageClass: a claim that asks for no class gets the default one; of several the newest. Upstream:
// plugin/pkg/admission/storage/storageclass/setdefault, pkg/volume/util/storageclass.go.
import { storageClassOf } from '#machinery/api/claims.ts';
import type { PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionPlugin } from './admission.ts';

const marks = ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class'];

export function createDefaultStorageClass(backend: Pick<Backend, 'cached'>): AdmissionPlugin {
  function defaultClass(): string | undefined {
    const all = backend.cached('storageclasses.storage.k8s.io') as readonly unknown[] as readonly StorageClass[]; // what that cache holds
    const madeAt = ({ metadata }: StorageClass): number => Date.parse(metadata.creationTimestamp ?? '') || 0;
    const nameOf = ({ metadata }: StorageClass): string => metadata.name ?? '';
    return all.filter(({ metadata }) => marks.some((mark) => metadata.annotations?.[mark] === 'true'))
      .toSorted((a, b) => madeAt(b) - madeAt(a) || (nameOf(a) < nameOf(b) ? -1 : 1))[0]?.metadata.name;
  }
  return {
    name: 'DefaultStorageClass',
    handles: (operation, { group, resource }, subresource) => operation === 'CREATE' && group === '' && resource === 'persistentvolumeclaims' && subresource === '',
    admit({ object }) {
      const claim = object as unknown as PersistentVolumeClaim; // `handles` lets only claims through
      if (storageClassOf(claim) !== undefined) return;
      const name = defaultClass();
      if (name !== undefined) claim.spec = { ...claim.spec, storageClassName: name };
    },
  };
}
