// PersistentVolumeClaims: two fields name the data a claim starts from, the older one is kept in step with the newer one.
import type { KubeObject } from '#machinery/api/object.ts';
import { basicStrategy, keepStatus } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, need, setEmpty, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateClaimSpec, validateClaimStatusUpdate, validateClaimUpdate } from './persistentvolumeclaim-validation.ts';
import { defaultClaimSpec, defaultResourceList } from './pod-defaults.ts';

const basic = basicStrategy({ status: true, initialStatus: () => ({ phase: 'Pending' }) });

/** KEP 1495: of the older field only claims and snapshots count, the rest is ignored as ever; data of another namespace needs a gate that is off. */
function dropDataSources(spec: Obj, old: Obj | undefined): void {
  if (text(at(spec, 'dataSourceRef', 'namespace')) !== '' && old?.['dataSourceRef'] === undefined) delete spec['dataSourceRef'];
  if (old?.['dataSource'] !== undefined || old?.['dataSourceRef'] !== undefined || spec['dataSourceRef'] !== undefined) return;
  const { kind, apiGroup } = asObject(spec['dataSource']) ?? {};
  const known = kind === 'PersistentVolumeClaim' ? text(apiGroup) === '' : kind === 'VolumeSnapshot' && apiGroup === 'snapshot.storage.k8s.io';
  if (!known) delete spec['dataSource'];
}
function tieDataSources(spec: Obj): void {
  const [source, reference] = [asObject(spec['dataSource']), asObject(spec['dataSourceRef'])];
  const copy = ({ apiGroup, kind, name }: Obj): Obj => ({ ...(apiGroup === undefined ? {} : { apiGroup }), kind: kind ?? '', name: name ?? '' });
  if (source && !reference) spec['dataSourceRef'] = copy(source);
  else if (reference && !source && text(reference['namespace']) === '') spec['dataSource'] = copy(reference);
}

export const persistentVolumeClaimStrategy: Strategy = {
  ...basic,
  default(object) {
    defaultClaimSpec(need(object, 'spec'));
    setEmpty(need(object, 'status'), 'phase', 'Pending');
    defaultResourceList(at(object, 'status', 'capacity'));
    defaultResourceList(at(object, 'status', 'allocatedResources'));
  },
  prepareForCreate(object, context) {
    basic.prepareForCreate?.(object, context);
    const spec = need(object, 'spec');
    dropDataSources(spec, undefined);
    tieDataSources(spec);
  },
  prepareForUpdate(object, old) {
    keepStatus(object, old);
    const spec = need(object, 'spec');
    dropDataSources(spec, asObject(old['spec']));
    tieDataSources(spec);
  },
  validate: (object, _, old) => (old ? [] : validateClaimSpec(asObject(object['spec']) ?? {}, 'spec')),
  validateUpdate(object, old) {
    const before: KubeObject = { ...old, spec: structuredClone(old['spec']) };
    tieDataSources(need(before, 'spec'));
    return [...validateClaimSpec(asObject(object['spec']) ?? {}, 'spec', asObject(before['spec'])), ...validateClaimUpdate(object, before)];
  },
  status: { ...basic.status, validateUpdate: validateClaimStatusUpdate },
};
