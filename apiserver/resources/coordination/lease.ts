// Leases: heartbeats of nodes and locks of leaders.
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, invalidField, notNegative, setMissing } from '../values.ts';

export const leaseStrategy: Strategy = {
  ...basicStrategy({ createOnUpdate: true, unconditionalUpdate: false }),
  default(object) {
    setMissing(object, 'spec', {});
    const spec = asObject(object['spec']);
    // Coordinated leader election is off upstream, and its fields are dropped then.
    delete spec?.['strategy'];
    delete spec?.['preferredHolder'];
  },
  validate(object) {
    const errors: FieldError[] = [];
    const spec = asObject(object['spec']) ?? {};
    const duration = spec['leaseDurationSeconds'];
    if (typeof duration === 'number' && duration <= 0) errors.push(invalidField('spec.leaseDurationSeconds', duration, 'must be greater than 0'));
    errors.push(...notNegative('spec.leaseTransitions', spec['leaseTransitions']));
    return errors;
  },
};
