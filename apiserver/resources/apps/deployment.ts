// Deployments.
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy, keepAllButStatus, keepStatus } from '../basic.ts';
import { scaleOf } from '../scale.ts';
import type { Strategy } from '../resource.ts';
import { defaultPodTemplate } from '../core/pod-defaults.ts';
import { asObject, at, forbiddenField, integer, invalidField, need, notSupported, same, setEmpty, setMissing, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { collisionErrors, intOrPercentErrors, isZero, notOver100Percent, validateCounts, validateNotAbove, validateSelectorAndTemplate, warnOfName } from './workload.ts';

function validateStrategy(strategy: Obj): FieldError[] {
  const path = 'spec.strategy.rollingUpdate';
  const rolling = asObject(strategy['rollingUpdate']);
  switch (text(strategy['type'])) {
    case 'Recreate': return rolling ? [forbiddenField(path, "may not be specified when strategy `type` is 'Recreate'")] : [];
    case 'RollingUpdate': {
      const { maxUnavailable, maxSurge } = rolling ?? {};
      const errors = [...intOrPercentErrors(maxUnavailable, `${path}.maxUnavailable`), ...intOrPercentErrors(maxSurge, `${path}.maxSurge`)];
      if (isZero(maxUnavailable) && isZero(maxSurge)) errors.push(invalidField(`${path}.maxUnavailable`, maxUnavailable ?? 0, 'may not be 0 when `maxSurge` is 0'));
      return [...errors, ...notOver100Percent(maxUnavailable, `${path}.maxUnavailable`)];
    }
    default: return [notSupported('spec.strategy', { Type: strategy['type'], RollingUpdate: rolling ?? null }, ['Recreate', 'RollingUpdate'])];
  }
}

const counts = ['observedGeneration', 'replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas', 'unavailableReplicas', 'terminatingReplicas', 'collisionCount'];

const basic = basicStrategy({ status: true, generation: 'spec' });

export const deploymentStrategy: Strategy = {
  ...basic,
  default(object) {
    const spec = need(object, 'spec');
    setMissing(spec, 'replicas', 1);
    const strategy = need(spec, 'strategy');
    setEmpty(strategy, 'type', 'RollingUpdate');
    if (strategy['type'] === 'RollingUpdate') {
      const rolling = need(strategy, 'rollingUpdate');
      setMissing(rolling, 'maxUnavailable', '25%');
      setMissing(rolling, 'maxSurge', '25%');
    }
    setMissing(spec, 'revisionHistoryLimit', 10);
    setMissing(spec, 'progressDeadlineSeconds', 600);
    defaultPodTemplate(need(spec, 'template'));
    setMissing(object, 'status', {});
  },
  prepareForUpdate(object, old) {
    keepStatus(object, old);
    // Its annotations count as a change, because the controller copies them to ReplicaSets.
    if (object.metadata && !same(object.metadata.annotations, old.metadata?.annotations)) object.metadata.generation = (old.metadata?.generation ?? 0) + 1;
  },
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const errors = [...validateCounts(spec, 'spec', ['replicas']), ...validateSelectorAndTemplate(spec), ...validateStrategy(asObject(spec['strategy']) ?? {})];
    errors.push(...validateCounts(spec, 'spec', ['minReadySeconds', 'revisionHistoryLimit', 'progressDeadlineSeconds']));
    const [deadline, ready] = [integer(spec['progressDeadlineSeconds']), integer(spec['minReadySeconds']) ?? 0];
    if (deadline !== undefined && deadline <= ready) errors.push(invalidField('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds'));
    return errors;
  },
  validateUpdate: (object, old) => unchanged('spec.selector', at(object, 'spec', 'selector'), at(old, 'spec', 'selector')),
  status: {
    prepareForUpdate: (object, old) => keepAllButStatus(object, old, ['annotations', 'finalizers', 'ownerReferences']),
    validateUpdate(object, old) {
      const status = asObject(object['status']) ?? {};
      return [...validateCounts(status, 'status', counts), ...validateNotAbove(status, ['updatedReplicas', 'readyReplicas', 'availableReplicas']), ...collisionErrors(status, old)];
    },
  },
  warnings: warnOfName,
  scale: scaleOf('spec.selector'),
};
