// HorizontalPodAutoscalers: v2 is what is stored, v1 shares its rules. Upstream: pkg/apis/autoscaling.
import { dns1123LabelErrors, pathSegmentErrors } from '#machinery/api/names.ts';
import { canonicalQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateCounts } from '../apps/workload.ts';
import { kindStrategy, zeroStatus } from '../basic.ts';
import { validateContainerResourceName } from '../core/resource-names.ts';
import { isQuantityNegative } from '../formats.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, forbiddenField, integer, invalidAll, invalidField, isEmpty, items, need, notSupported, objects, oneOf, required, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';

const sources = ['Object', 'External', 'Pods', 'Resource', 'ContainerResource'] as const;
const sourceTypes = ['ContainerResource', 'External', 'Object', 'Pods', 'Resource'];
const longestSeconds = { stabilization: 3600, period: 1800 };
const fieldOf = (type: string): string => `${type[0]?.toLowerCase() ?? ''}${type.slice(1)}`;

const rules: Partial<Strategy> = {
  validate: (object, _, old) => validateSpec(asObject(object['spec']) ?? {}, asObject(old?.['spec'])),
  status: { validateUpdate: (object) => validateCounts(asObject(object['status']) ?? {}, 'status', ['currentReplicas', 'desiredReplicas']) },
};
const basics = { status: true, initialStatus: () => ({ currentReplicas: 0, desiredReplicas: 0 }) } as const;

export const autoscalerStrategy = kindStrategy(basics, { ...rules, default: defaultAutoscaler });

function defaultAutoscaler(object: KubeObject): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'minReplicas', 1);
  if (items(spec['metrics']).length === 0) {
    spec['metrics'] = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }];
  }
  for (const metric of [...objects(spec['metrics']), ...objects(at(object, 'status', 'currentMetrics'))]) canonicalMetric(metric);
  const behavior = asObject(spec['behavior']);
  if (behavior) {
    const percent = { type: 'Percent', value: 100, periodSeconds: 15 };
    const up = need(behavior, 'scaleUp');
    setMissing(up, 'stabilizationWindowSeconds', 0);
    setMissing(up, 'selectPolicy', 'Max');
    setMissing(up, 'policies', [{ type: 'Pods', value: 4, periodSeconds: 15 }, percent]);
    const down = need(behavior, 'scaleDown');
    setMissing(down, 'selectPolicy', 'Max');
    setMissing(down, 'policies', [{ ...percent }]);
    for (const rule of [up, down]) canonical(rule, 'tolerance');
  }
  zeroStatus(object, ['desiredReplicas']);
}
function canonicalMetric(metric: Obj): void {
  for (const type of sources) {
    for (const part of ['target', 'current']) {
      const numbers = asObject(at(metric, fieldOf(type), part));
      if (numbers) for (const field of ['value', 'averageValue']) canonical(numbers, field);
    }
  }
}
function canonical(object: Obj, field: string): void {
  const value = object[field];
  if (typeof value === 'string' || typeof value === 'number') object[field] = canonicalQuantity(value);
}

export function defaultAutoscalerV1(object: KubeObject): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'minReplicas', 1);
  // Metrics that v1 cannot say are in this annotation; only without any does the usual one apply.
  if (isEmpty(at(object, 'metadata', 'annotations', 'autoscaling.alpha.kubernetes.io/metrics'))) setMissing(spec, 'targetCPUUtilizationPercentage', 80);
  zeroStatus(object, ['currentReplicas', 'desiredReplicas']);
}

function validateSpec(spec: Obj, old: Obj | undefined): FieldError[] {
  const [least, most] = [integer(spec['minReplicas']), integer(spec['maxReplicas']) ?? 0];
  const errors: FieldError[] = [];
  // Scaling to zero is a feature that is off; who has a zero already keeps it.
  const lowest = old?.['minReplicas'] === 0 ? 0 : 1;
  if (least !== undefined && least < lowest) errors.push(invalidField('spec.minReplicas', least, `must be greater than or equal to ${lowest}`));
  if (most === 0) errors.push(required('spec.maxReplicas', 'must be set and greater than 0'));
  else if (most < 0) errors.push(invalidField('spec.maxReplicas', most, 'must be greater than or equal to 1'));
  if (least !== undefined && most < least) errors.push(invalidField('spec.maxReplicas', most, 'must be greater than or equal to `minReplicas`'));
  errors.push(...validateReference(asObject(spec['scaleTargetRef']) ?? {}, 'spec.scaleTargetRef', old !== undefined && sameKind(spec['scaleTargetRef'], old['scaleTargetRef']), at(spec, 'scaleTargetRef', 'kind') !== 'ReplicationController'));
  const metrics = objects(spec['metrics']);
  const oldInvalid = objects(old?.['metrics']).some((metric) => versionError(at(metric, 'object', 'describedObject'), false) !== undefined);
  metrics.forEach((metric, index) => errors.push(...validateMetric(metric, `spec.metrics[${index}]`, oldInvalid)));
  if (least === 0 && !metrics.some((metric) => metric['type'] === 'Object' || metric['type'] === 'External')) {
    errors.push(forbiddenField('spec.metrics', 'must specify at least one Object or External metric to support scaling to zero replicas'));
  }
  for (const direction of ['scaleUp', 'scaleDown']) {
    const scaling = asObject(at(spec, 'behavior', direction));
    if (scaling) errors.push(...validateScaling(scaling, `spec.behavior.${direction}`));
  }
  return errors;
}

function sameKind(a: unknown, b: unknown): boolean {
  return ['apiVersion', 'kind'].every((field) => text(at(a, field)) === text(at(b, field)));
}
/** What is wrong with the apiVersion of a reference; core kinds have no scale but can be described by metrics. */
function versionError(reference: unknown, needsGroup: boolean): string | undefined {
  const version = text(at(reference, 'apiVersion'));
  if ((version.match(/\//g) ?? []).length > 1) return `unexpected GroupVersion string: ${version}`;
  return needsGroup && (!version.includes('/') || version.startsWith('/')) ? 'apiVersion must specify API group' : undefined;
}
function validateReference(reference: Obj, path: string, spareVersion: boolean, needsGroup: boolean): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ['kind', 'name']) {
    const value = text(reference[field]);
    errors.push(...(value === '' ? [required(`${path}.${field}`)] : invalidAll(`${path}.${field}`, value, pathSegmentErrors(value))));
  }
  const problem = spareVersion ? undefined : versionError(reference, needsGroup);
  if (problem !== undefined) errors.push(invalidField(`${path}.apiVersion`, text(reference['apiVersion']), problem));
  return errors;
}

function validateMetric(metric: Obj, path: string, spareVersion: boolean): FieldError[] {
  const type = text(metric['type']);
  const known = sourceTypes.includes(type);
  const errors: FieldError[] = [];
  if (type === '') errors.push(required(`${path}.type`, 'must specify a metric source type'));
  if (!known) errors.push(notSupported(`${path}.type`, type, sourceTypes));
  const present = sources.filter((source) => asObject(metric[fieldOf(source)]));
  const [first] = present;
  if (first) errors.push(...validateSource(first, asObject(metric[fieldOf(first)]) ?? {}, `${path}.${fieldOf(first)}`, spareVersion));
  if (!known) errors.push(notSupported(`${path}.type`, type, sourceTypes));
  else if (!asObject(metric[fieldOf(type)])) errors.push(required(`${path}.${fieldOf(type)}`, 'must populate information for the given metric source'));
  if (present.length !== 1) {
    for (const source of present) if (source !== type) errors.push(forbiddenField(`${path}.${fieldOf(source)}`, 'must populate the given metric source only'));
  }
  return errors;
}

function validateSource(type: typeof sources[number], source: Obj, path: string, spareVersion: boolean): FieldError[] {
  const target = asObject(source['target']) ?? {};
  const has = (field: string): boolean => target[field] !== undefined;
  const errors: FieldError[] = [];
  if (type === 'Object') errors.push(...validateReference(asObject(source['describedObject']) ?? {}, `${path}.describedObject`, spareVersion, false));
  if (type === 'Object' || type === 'External' || type === 'Pods') {
    const name = text(at(source, 'metric', 'name'));
    errors.push(...(name === '' ? [required(`${path}.metric.name`, 'must specify a metric name')] : invalidAll(`${path}.metric.name`, name, pathSegmentErrors(name))));
  } else if (text(source['name']) === '') errors.push(required(`${path}.name`, 'must specify a resource name'));
  if (type === 'ContainerResource') {
    const resource = text(source['name']);
    if (resource !== '') errors.push(...validateContainerResourceName(resource, `${path}.name`));
    const container = text(source['container']);
    errors.push(...(container === '' ? [required(`${path}.container`, 'must specify a container')] : invalidAll(`${path}.container`, container, dns1123LabelErrors(container))));
  }
  errors.push(...validateTarget(target, `${path}.target`));
  switch (type) {
    case 'Object':
      if (!has('value') && !has('averageValue')) errors.push(required(`${path}.target.averageValue`, 'must set either a target value or averageValue'));
      break;
    case 'External':
      if (!has('value') && !has('averageValue')) errors.push(required(`${path}.target.averageValue`, 'must set either a target value for metric or a per-pod target'));
      if (has('value') && has('averageValue')) errors.push(forbiddenField(`${path}.target.value`, 'may not set both a target value for metric and a per-pod target'));
      break;
    case 'Pods':
      if (!has('averageValue')) errors.push(required(`${path}.target.averageValue`, 'must specify a positive target averageValue'));
      break;
    default:
      if (!has('averageUtilization') && !has('averageValue')) errors.push(required(`${path}.target.averageUtilization`, 'must set either a target raw value or a target utilization'));
      if (has('averageUtilization') && has('averageValue')) errors.push(forbiddenField(`${path}.target.averageValue`, 'may not set both a target raw value and a target utilization'));
  }
  return errors;
}

function validateTarget(target: Obj, path: string): FieldError[] {
  const type = text(target['type']);
  const errors: FieldError[] = [];
  if (type === '') errors.push(required(`${path}.type`, 'must specify a metric target type'));
  if (!['Utilization', 'Value', 'AverageValue'].includes(type)) errors.push(invalidField(`${path}.type`, type, 'must be either Utilization, Value, or AverageValue'));
  for (const field of ['value', 'averageValue']) {
    const value = target[field];
    if ((typeof value === 'string' || typeof value === 'number') && parseQuantity(value).nanos <= 0n) errors.push(invalidField(`${path}.${field}`, value, 'must be positive'));
  }
  const use = integer(target['averageUtilization']);
  if (use !== undefined && use < 1) errors.push(invalidField(`${path}.averageUtilization`, use, 'must be greater than 0'));
  return errors;
}

function validateScaling(scaling: Obj, path: string): FieldError[] {
  const window = integer(scaling['stabilizationWindowSeconds']);
  const errors: FieldError[] = [];
  if (window !== undefined && window < 0) errors.push(invalidField(`${path}.stabilizationWindowSeconds`, window, 'must be greater than or equal to zero'));
  if (window !== undefined && window > longestSeconds.stabilization) errors.push(invalidField(`${path}.stabilizationWindowSeconds`, window, `must be less than or equal to ${longestSeconds.stabilization}`));
  if (scaling['selectPolicy'] !== undefined) errors.push(...oneOf(`${path}.selectPolicy`, scaling['selectPolicy'], ['Disabled', 'Max', 'Min']));
  const policies = objects(scaling['policies']);
  if (policies.length === 0) errors.push(required(`${path}.policies`, 'must specify at least one Policy'));
  policies.forEach((policy, index) => {
    const here = `${path}.policies[${index}]`;
    const [value, period] = [integer(policy['value']) ?? 0, integer(policy['periodSeconds']) ?? 0];
    errors.push(...oneOf(`${here}.type`, policy['type'], ['Percent', 'Pods']));
    if (value <= 0) errors.push(invalidField(`${here}.value`, value, 'must be greater than zero'));
    if (period <= 0) errors.push(invalidField(`${here}.periodSeconds`, period, 'must be greater than zero'));
    if (period > longestSeconds.period) errors.push(invalidField(`${here}.periodSeconds`, period, `must be less than or equal to ${longestSeconds.period}`));
  });
  if (isQuantityNegative(scaling['tolerance'])) errors.push(invalidField(`${path}.tolerance`, scaling['tolerance'], 'must be greater than or equal to 0'));
  return errors;
}
