// PodDisruptionBudgets. Upstream: pkg/apis/policy/validation.
import type { FieldError } from '#machinery/api/status.ts';
import { intOrPercentErrors, notOver100Percent, validateCounts } from '../apps/workload.ts';
import { kindStrategy, zeroStatus } from '../basic.ts';
import { validateConditions } from '../formats.ts';
import { pathSegmentName, validateLabelSelector } from '../meta.ts';
import { asObject, at, invalidField, oneOf } from '../values.ts';

const counts = ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'];

export const disruptionBudgetStrategy = kindStrategy({
  status: true, generation: 'spec', unconditionalUpdate: false,
  initialStatus: () => Object.fromEntries(counts.map((field) => [field, 0])),
}, {
  default: (object) => zeroStatus(object, counts),
  validateName: pathSegmentName,
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const errors: FieldError[] = [];
    if (spec['minAvailable'] !== undefined && spec['maxUnavailable'] !== undefined) {
      // As Go prints the struct.
      const shown = { MinAvailable: spec['minAvailable'], Selector: spec['selector'] ?? null, MaxUnavailable: spec['maxUnavailable'], UnhealthyPodEvictionPolicy: spec['unhealthyPodEvictionPolicy'] ?? null };
      errors.push(invalidField('spec', shown, 'minAvailable and maxUnavailable cannot be both set'));
    }
    for (const field of ['minAvailable', 'maxUnavailable']) {
      const value = spec[field];
      if (value !== undefined) errors.push(...intOrPercentErrors(value, `spec.${field}`), ...notOver100Percent(value, `spec.${field}`));
    }
    if (asObject(spec['selector'])) errors.push(...validateLabelSelector(spec['selector'], 'spec.selector'));
    if (spec['unhealthyPodEvictionPolicy'] !== undefined) errors.push(...oneOf('spec.unhealthyPodEvictionPolicy', spec['unhealthyPodEvictionPolicy'], ['AlwaysAllow', 'IfHealthyBudget']));
    return errors;
  },
  status: {
    validateUpdate: (object) => [...validateConditions(at(object, 'status', 'conditions'), 'status.conditions'), ...validateCounts(asObject(object['status']) ?? {}, 'status', counts)],
  },
});
