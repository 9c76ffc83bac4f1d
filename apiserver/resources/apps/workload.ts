// What workloads share: the selector has to match the template, whose pods always restart; counts of a status.
import { labelSelectorFromObject, SelectorError } from '#machinery/api/labels.ts';
import { dns1123LabelErrors, percentErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validatePodTemplate } from '../core/pod-validation.ts';
import { validateLabelSelector } from '../meta.ts';
import { asObject, at, entries, forbiddenField, integer, invalidAll, invalidField, items, notNegative, notSupported, required } from '../values.ts';
import type { Obj } from '../values.ts';

/** `kind` is the word that upstream uses for it in the text about empty selectors. */
export function validateSelector(spec: Obj, kind: string): FieldError[] {
  const selector = asObject(spec['selector']);
  if (!selector) return [required('spec.selector')];
  const errors = validateLabelSelector(selector, 'spec.selector');
  if (isEmptySelector(selector)) errors.push(invalidField('spec.selector', selector, `empty selector is invalid for ${kind}`));
  return errors;
}
export function isEmptySelector(selector: Obj): boolean {
  return entries(selector['matchLabels']).length + items(selector['matchExpressions']).length === 0;
}

/** A selector that cannot be read is `unreadable`; one that is missing selects nothing. */
export function validateTemplateLabels(spec: Obj, unreadable: string): FieldError[] {
  const labels = asObject(at(spec, 'template', 'metadata', 'labels'));
  const matches = selectorMatches(asObject(spec['selector']), labels);
  if (matches === undefined) return [invalidField('spec.selector', spec['selector'], unreadable)];
  return matches ? [] : [invalidField('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`')];
}

export function validateAlwaysRestarting(template: Obj, kind: string, path = 'spec.template'): FieldError[] {
  const errors = validatePodTemplate(template, path);
  const policy = at(template, 'spec', 'restartPolicy');
  if (policy !== 'Always') errors.push(notSupported(`${path}.spec.restartPolicy`, policy ?? '', ['Always']));
  if (at(template, 'spec', 'activeDeadlineSeconds') !== undefined) {
    errors.push(forbiddenField(`${path}.spec.activeDeadlineSeconds`, `activeDeadlineSeconds in ${kind} is not Supported`));
  }
  return errors;
}

/** For Deployments and ReplicaSets, whose texts name each other. */
export function validateSelectorAndTemplate(spec: Obj): FieldError[] {
  return [...validateSelector(spec, 'deployment'), ...validateTemplateLabels(spec, 'invalid label selector'), ...validateAlwaysRestarting(asObject(spec['template']) ?? {}, 'ReplicaSet')];
}

/** Undefined: the selector cannot be read. No selector at all matches everything here: that it is missing has been said. */
export function selectorMatches(selector: Obj | undefined, labels: Obj | undefined): boolean | undefined {
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

/** `parts` must not exceed replicas, nor available ones ready ones; `ready` is how upstream's text names these. */
export function validateNotAbove(status: Obj, parts: readonly string[], ready = 'readyReplicas'): FieldError[] {
  const count = (field: string): number => integer(status[field]) ?? 0;
  const errors = parts.filter((field) => count(field) > count('replicas'))
    .map((field) => invalidField(`status.${field}`, count(field), 'cannot be greater than status.replicas'));
  if (count('availableReplicas') > count('readyReplicas')) errors.push(invalidField('status.availableReplicas', count('availableReplicas'), `cannot be greater than ${ready}`));
  return errors;
}

export function collisionErrors(status: Obj, old: Readonly<KubeObject>): FieldError[] {
  const [count, before] = [integer(status['collisionCount']), integer(at(old, 'status', 'collisionCount'))];
  return before !== undefined && (count ?? -1) < before ? [invalidField('status.collisionCount', count ?? 0, 'cannot be decremented')] : [];
}

export function intOrPercentErrors(value: unknown, path: string): FieldError[] {
  if (typeof value === 'string') return invalidAll(path, value, percentErrors(value));
  return notNegative(path, value);
}
export function notOver100Percent(value: unknown, path: string): FieldError[] {
  return typeof value === 'string' && percentErrors(value).length === 0 && Number(value.slice(0, -1)) > 100 ? [invalidField(path, value, 'must not be greater than 100%')] : [];
}
/** Also for text that is no percentage: it counts as 0, or as the number it holds. */
export function isZero(value: unknown): boolean {
  if (typeof value !== 'string') return (value ?? 0) === 0;
  const text = value.endsWith('%') ? value.slice(0, -1) : value;
  return !/^-?[0-9]+$/.test(text) || Number(text) === 0;
}

/** Names of controllers end up in names of pods, which are host names. */
export function warnOfName(object: KubeObject, old: Readonly<KubeObject> | undefined): string[] {
  const errors = old ? [] : dns1123LabelErrors(object.metadata?.name ?? '');
  return errors.length === 0 ? [] : [`metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [${errors.join(' ')}]`];
}
