// PriorityClasses. Upstream: pkg/apis/scheduling/validation.
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy, setFirstGeneration } from '../basic.ts';
import { forbiddenField, integer, oneOf, required, setMissing, text, unchanged } from '../values.ts';

const system: Readonly<Record<string, number>> = { 'system-node-critical': 2_000_001_000, 'system-cluster-critical': 2_000_000_000 };
const highest = 1_000_000_000;

export const priorityClassStrategy = kindStrategy({}, {
  default(object) {
    setMissing(object, 'value', 0);
    setMissing(object, 'preemptionPolicy', 'PreemptLowerPriority');
  },
  // One for ever: no change raises it.
  prepareForCreate: (object) => setFirstGeneration(object, 'spec'),
  validate(object, _, old) {
    if (old) return [];
    const name = object.metadata?.name ?? '';
    const value = integer(object['value']) ?? 0;
    const errors: FieldError[] = [];
    if (name.startsWith('system-')) {
      const problem = systemProblem(name, value, object['globalDefault'] === true);
      if (problem !== undefined) errors.push(forbiddenField('metadata.name', `priority class names with 'system-' prefix are reserved for system use only. error: ${problem}`));
    } else if (value > highest) errors.push(forbiddenField('value', `maximum allowed value of a user defined priority is ${highest}`));
    const policy = object['preemptionPolicy'];
    if (policy !== undefined) errors.push(...(text(policy) === '' ? [required('preemptionPolicy')] : oneOf('preemptionPolicy', policy, ['PreemptLowerPriority', 'Never'])));
    return errors;
  },
  validateUpdate: (object, old) => [
    ...(object['value'] === old['value'] ? [] : [forbiddenField('value', 'may not be changed in an update.')]),
    ...unchanged('preemptionPolicy', object['preemptionPolicy'], old['preemptionPolicy']),
  ],
});

/** The two that the API server makes may be written as they are. */
function systemProblem(name: string, value: number, globalDefault: boolean): string | undefined {
  const expected = system[name];
  if (expected === undefined) return `${name} is not a known system priority class`;
  if (value !== expected) return `value of ${name} PriorityClass must be ${expected}`;
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}
