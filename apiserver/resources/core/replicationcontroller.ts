// ReplicationControllers. Upstream: ValidateReplicationController in pkg/apis/core/validation/validation.go.
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy, zeroStatus } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { scaleOf } from '../scale.ts';
import { asObject, at, entries, forbiddenField, integer, invalidField, isObject, need, notNegative, notSupported, required, setMissing } from '../values.ts';
import type { Obj } from '../values.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';

const basic = basicStrategy({ status: true, generation: 'spec' });

function validateTemplate(spec: Obj): FieldError[] {
  const template = asObject(spec['template']);
  const path = 'spec.template';
  if (!template) return [required(path)];
  const errors: FieldError[] = [];
  const labels = at(template, 'metadata', 'labels');
  if (entries(spec['selector']).some(([key, value]) => at(labels, key) !== value)) errors.push(invalidField(`${path}.metadata.labels`, labels ?? null, '`selector` does not match template `labels`'));
  errors.push(...validatePodTemplate(template, path));
  const policy = at(template, 'spec', 'restartPolicy');
  if (policy !== 'Always') errors.push(notSupported(`${path}.spec.restartPolicy`, policy, ['Always']));
  if (at(template, 'spec', 'activeDeadlineSeconds') !== undefined) {
    errors.push(forbiddenField(`${path}.spec.activeDeadlineSeconds`, 'activeDeadlineSeconds in ReplicationController is not Supported'));
  }
  return errors;
}

function validateStatus(object: Readonly<Obj>): FieldError[] {
  const status = asObject(object['status']) ?? {};
  const of = (field: string): number => integer(status[field]) ?? 0;
  const errors = ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration'].flatMap((field) => notNegative(`status.${field}`, status[field]));
  for (const field of ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas']) {
    if (of(field) > of('replicas')) errors.push(invalidField(`status.${field}`, of(field), 'cannot be greater than status.replicas'));
  }
  if (of('availableReplicas') > of('readyReplicas')) errors.push(invalidField('status.availableReplicas', of('availableReplicas'), 'cannot be greater than readyReplicas'));
  return errors;
}

export const replicationControllerStrategy: Strategy = {
  ...basic,
  default(object) {
    const spec = need(object, 'spec');
    const labels = at(spec, 'template', 'metadata', 'labels');
    if (isObject(labels) && Object.keys(labels).length > 0) {
      if (entries(spec['selector']).length === 0) spec['selector'] = { ...labels };
      const metadata = object.metadata ??= {};
      if (entries(metadata.labels).length === 0) metadata.labels = { ...labels } as Record<string, string>; // decoding has checked the types
    }
    setMissing(spec, 'replicas', 1);
    if (isObject(spec['template'])) defaultPodTemplate(spec['template']);
    zeroStatus(object, ['replicas']);
  },
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    return [
      ...(entries(spec['selector']).length === 0 ? [required('spec.selector')] : []),
      ...validateTemplate(spec),
      ...notNegative('spec.replicas', spec['replicas']), ...notNegative('spec.minReadySeconds', spec['minReadySeconds']),
    ];
  },
  warnings(object, old) {
    const errors = old ? [] : dns1123LabelErrors(object.metadata?.name ?? '');
    return errors.length === 0 ? [] : [`metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [${errors.join(' ')}]`];
  },
  status: { ...basic.status, validateUpdate: validateStatus },
  scale: scaleOf('spec.selector'),
  fieldLabels: { 'status.replicas': (object) => String(at(object, 'status', 'replicas') ?? 0) },
  fieldLabelError: (label) => `field label not supported: ${label}`,
};
