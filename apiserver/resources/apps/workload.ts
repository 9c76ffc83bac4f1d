// What Deployments and ReplicaSets share: the selector has to match the template, whose pods always restart.
import { labelSelectorFromObject, SelectorError } from '#machinery/api/labels.ts';
import { percentErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validatePodTemplate } from '../core/pod-validation.ts';
import { validateLabelSelector } from '../meta.ts';
import { asObject, at, forbiddenField, invalidAll, invalidField, items, notNegative, notSupported, required, entries } from '../values.ts';
import type { Obj } from '../values.ts';

export function validateSelectorAndTemplate(spec: Obj): FieldError[] {
  const errors: FieldError[] = [];
  const selector = asObject(spec['selector']);
  if (!selector) errors.push(required('spec.selector'));
  else {
    errors.push(...validateLabelSelector(selector, 'spec.selector'));
    if (entries(selector['matchLabels']).length + items(selector['matchExpressions']).length === 0) {
      errors.push(invalidField('spec.selector', selector, 'empty selector is invalid for deployment'));
    }
  }
  const labels = asObject(at(spec, 'template', 'metadata', 'labels'));
  const matches = selectorMatches(selector, labels);
  if (matches === undefined) errors.push(invalidField('spec.selector', selector, 'invalid label selector'));
  // An empty selector has been refused above, and would match everything.
  else if (!matches) errors.push(invalidField('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'));
  const template = asObject(spec['template']) ?? {};
  errors.push(...validatePodTemplate(template, 'spec.template'));
  const policy = at(template, 'spec', 'restartPolicy');
  if (policy !== 'Always') errors.push(notSupported('spec.template.spec.restartPolicy', policy ?? '', ['Always']));
  if (at(template, 'spec', 'activeDeadlineSeconds') !== undefined) {
    errors.push(forbiddenField('spec.template.spec.activeDeadlineSeconds', 'activeDeadlineSeconds in ReplicaSet is not Supported'));
  }
  return errors;
}

/** Undefined: the selector cannot be read. */
function selectorMatches(selector: Obj | undefined, labels: Obj | undefined): boolean | undefined {
  try {
    // Values that are no strings cannot match, which is all that matters here.
    return labelSelectorFromObject(selector as Parameters<typeof labelSelectorFromObject>[0]).matches((labels ?? {}) as Record<string, string>);
  } catch (error) {
    if (error instanceof SelectorError || error instanceof TypeError) return undefined;
    throw error;
  }
}

export function validateCounts(object: Obj, path: string, fields: readonly string[]): FieldError[] {
  return fields.flatMap((field) => notNegative(`${path}.${field}`, object[field]));
}

/** `parts` must not exceed replicas, nor available ones ready ones. */
export function validateReplicaCounts(status: Obj, parts: readonly string[]): FieldError[] {
  const count = (field: string): number => (typeof status[field] === 'number' ? status[field] : 0);
  const errors = parts.filter((field) => count(field) > count('replicas'))
    .map((field) => invalidField(`status.${field}`, count(field), 'cannot be greater than status.replicas'));
  if (count('availableReplicas') > count('readyReplicas')) errors.push(invalidField('status.availableReplicas', count('availableReplicas'), 'cannot be greater than readyReplicas'));
  return errors;
}

export function validateIntOrPercent(value: unknown, path: string): FieldError[] {
  if (typeof value === 'string') return invalidAll(path, value, percentErrors(value));
  return notNegative(path, value);
}
/** 0 for `0` and `0%`. */
export function isZero(value: unknown): boolean {
  return value === 0 || (typeof value === 'string' && /^0+%$/.test(value)) || value === undefined;
}
export function isOver100Percent(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9]+%$/.test(value) && Number(value.slice(0, -1)) > 100;
}
