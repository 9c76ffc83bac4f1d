// DaemonSets. Upstream: pkg/apis/apps/validation and pkg/registry/apps/daemonset.
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { keepStatus, kindStrategy, zeroStatus } from '../basic.ts';
import { defaultPodTemplate } from '../core/pod-defaults.ts';
import { validateLabelSelector } from '../meta.ts';
import { asObject, at, invalidField, need, notSupported, required, same, setEmpty, setMissing, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { collisionErrors, intOrPercentErrors, isEmptySelector, isZero, notOver100Percent, selectorMatches, validateAlwaysRestarting, validateCounts } from './workload.ts';

const counts = ['currentNumberScheduled', 'numberMisscheduled', 'desiredNumberScheduled', 'numberReady', 'observedGeneration', 'updatedNumberScheduled', 'numberAvailable', 'numberUnavailable', 'collisionCount'];

export const daemonSetStrategy = kindStrategy({ status: true, generation: 'spec' }, {
  default(object) {
    const spec = need(object, 'spec');
    const update = need(spec, 'updateStrategy');
    setEmpty(update, 'type', 'RollingUpdate');
    if (update['type'] === 'RollingUpdate') {
      const rolling = need(update, 'rollingUpdate');
      setMissing(rolling, 'maxUnavailable', 1);
      setMissing(rolling, 'maxSurge', 0);
    }
    setMissing(spec, 'revisionHistoryLimit', 10);
    defaultPodTemplate(need(spec, 'template'));
    zeroStatus(object, ['currentNumberScheduled', 'numberMisscheduled', 'desiredNumberScheduled', 'numberReady']);
  },
  prepareForCreate: (object) => setTemplateGeneration(object, 1),
  prepareForUpdate(object, old) {
    keepStatus(object, old);
    const before = Number(old.metadata?.annotations?.[templateGeneration] ?? 0);
    setTemplateGeneration(object, same(at(object, 'spec', 'template'), at(old, 'spec', 'template')) ? before : before + 1);
  },
  validate: (object, _, old) => [
    ...(old ? unchanged('spec.selector', at(object, 'spec', 'selector'), at(old, 'spec', 'selector')) : []),
    ...validateSpec(asObject(object['spec']) ?? {}),
  ],
  status: {
    validateUpdate(object, old) {
      const status = asObject(object['status']) ?? {};
      return [...validateCounts(status, 'status', counts), ...collisionErrors(status, old)];
    },
  },
});

/** How often the template has changed: a field of old versions, which lives on as an annotation that clients cannot change. */
const templateGeneration = 'deprecated.daemonset.template.generation';
function setTemplateGeneration(object: KubeObject, value: number): void {
  const metadata = object.metadata ??= {};
  metadata.annotations = { ...metadata.annotations, [templateGeneration]: String(value) };
}

function validateSpec(spec: Obj): FieldError[] {
  const selector = asObject(spec['selector']);
  const labels = asObject(at(spec, 'template', 'metadata', 'labels'));
  const errors = selector ? validateLabelSelector(selector, 'spec.selector') : [];
  // Unlike other workloads a missing selector matches nothing, and that is what is said of it.
  if (!selector || selectorMatches(selector, labels) === false) errors.push(invalidField('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'));
  if (selector && isEmptySelector(selector)) errors.push(invalidField('spec.selector', selector, 'empty selector is invalid for daemonset'));
  return [
    ...errors,
    ...validateAlwaysRestarting(asObject(spec['template']) ?? {}, 'DaemonSet'),
    ...validateCounts(spec, 'spec', ['minReadySeconds']),
    ...validateUpdateStrategy(asObject(spec['updateStrategy']) ?? {}, 'spec.updateStrategy'),
    ...validateCounts(spec, 'spec', ['revisionHistoryLimit']),
  ];
}

function validateUpdateStrategy(strategy: Obj, path: string): FieldError[] {
  const rolling = asObject(strategy['rollingUpdate']);
  switch (text(strategy['type'])) {
    case 'OnDelete': return [];
    case 'RollingUpdate': {
      if (!rolling) return [required(`${path}.rollingUpdate`)];
      const here = `${path}.rollingUpdate`;
      const { maxUnavailable, maxSurge } = rolling;
      const errors = [
        ...intOrPercentErrors(maxUnavailable, `${here}.maxUnavailable`), ...intOrPercentErrors(maxSurge, `${here}.maxSurge`),
        ...notOver100Percent(maxUnavailable, `${here}.maxUnavailable`), ...notOver100Percent(maxSurge, `${here}.maxSurge`),
      ];
      const [noneAway, noneMore] = [isZero(maxUnavailable), isZero(maxSurge)];
      if (!noneAway && !noneMore) errors.push(invalidField(`${here}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero'));
      if (noneAway && noneMore) errors.push(required(`${here}.maxUnavailable`, 'cannot be 0 when maxSurge is 0'));
      return errors;
    }
    default: return [notSupported(path, { Type: strategy['type'], RollingUpdate: rolling ?? null }, ['RollingUpdate', 'OnDelete'])];
  }
}
