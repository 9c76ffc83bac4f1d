// Namespaces: the finalizer `kubernetes` keeps one until its content is gone; the label with its name is always right.
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy, keepField, keepStatus } from '../basic.ts';
import { nameIsLabel, standardFinalizers } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import { at, invalidAll, invalidField, need, setEmpty, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';

const nameLabel = 'kubernetes.io/metadata.name';

function nameTheLabel(object: KubeObject): void {
  const name = object.metadata?.name;
  if (name) need(need(object, 'metadata'), 'labels')[nameLabel] = name;
}

function validateFinalizers(object: KubeObject, path: (index: number) => string): FieldError[] {
  return strings(at(object, 'spec', 'finalizers')).flatMap((finalizer, index) => {
    const isKnown = finalizer.includes('/') || standardFinalizers.has(finalizer);
    return [...invalidAll(path(index), finalizer, qualifiedNameErrors(finalizer)), ...(isKnown ? [] : [invalidField(path(index), finalizer, 'name is neither a standard finalizer name nor is it fully qualified')])];
  });
}

const basic = basicStrategy({ status: true });

export const namespaceStrategy: Strategy = {
  ...basic,
  validateName: nameIsLabel,
  default(object) {
    nameTheLabel(object);
    setMissing(object, 'spec', {});
    setEmpty(need(object, 'status'), 'phase', 'Active');
  },
  prepareForCreate(object, context) {
    basic.prepareForCreate?.(object, context);
    object['status'] = { phase: 'Active' };
    const spec = need(object, 'spec');
    const finalizers = strings(spec['finalizers']);
    spec['finalizers'] = finalizers.includes('kubernetes') ? finalizers : [...finalizers, 'kubernetes'];
    nameTheLabel(object);
  },
  prepareForUpdate(object, old) {
    keepField(object, old, 'status');
    const spec: Obj = need(object, 'spec');
    const before = at(old, 'spec', 'finalizers');
    if (before === undefined) delete spec['finalizers'];
    else spec['finalizers'] = structuredClone(before);
    nameTheLabel(object);
  },
  validate: (object) => validateFinalizers(object, () => 'spec.finalizers'),
  status: {
    ...basic.status,
    validateUpdate(object) {
      const phase = text(at(object, 'status', 'phase'));
      if (object.metadata?.deletionTimestamp === undefined) {
        return phase === 'Active' ? [] : [invalidField('status.Phase', phase, "may only be 'Active' if `deletionTimestamp` is empty")];
      }
      return phase === 'Terminating' ? [] : [invalidField('status.Phase', phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")];
    },
  },
  subresources: { finalize: {
    prepareForUpdate: keepStatus,
    validateUpdate: (object) => validateFinalizers(object, (index) => `spec.finalizers[${index}]`),
  } },
  fieldLabels: { 'status.phase': (object) => text(at(object, 'status', 'phase')) },
  fieldLabelError: (label) => `field label not supported: ${label}`,
};
