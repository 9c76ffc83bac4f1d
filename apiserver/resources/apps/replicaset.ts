// ReplicaSets.
import { basicStrategy, zeroStatus } from '../basic.ts';
import { defaultPodTemplate } from '../core/pod-defaults.ts';
import type { Strategy } from '../resource.ts';
import { scaleOf } from '../scale.ts';
import { asObject, at, need, setMissing, unchanged } from '../values.ts';
import { validateCounts, validateNotAbove, validateSelectorAndTemplate, warnOfName } from './workload.ts';

const basic = basicStrategy({ status: true, generation: 'spec', initialStatus: () => ({ replicas: 0 }) });

export const replicaSetStrategy: Strategy = {
  ...basic,
  default(object) {
    const spec = need(object, 'spec');
    setMissing(spec, 'replicas', 1);
    defaultPodTemplate(need(spec, 'template'));
    zeroStatus(object, ['replicas']);
  },
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    return [...validateCounts(spec, 'spec', ['replicas', 'minReadySeconds']), ...validateSelectorAndTemplate(spec)];
  },
  validateUpdate: (object, old) => unchanged('spec.selector', at(object, 'spec', 'selector'), at(old, 'spec', 'selector')),
  status: {
    ...basic.status,
    validateUpdate(object) {
      const status = asObject(object['status']) ?? {};
      return [
        ...validateCounts(status, 'status', ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration', 'terminatingReplicas']),
        ...validateNotAbove(status, ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas']),
      ];
    },
  },
  warnings: warnOfName,
  scale: scaleOf('spec.selector'),
};
