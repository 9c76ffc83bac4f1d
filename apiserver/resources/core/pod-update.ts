// What may change in the spec of a pod that exists. Upstream: ValidatePodUpdate in pkg/apis/core/validation/validation.go.
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, entries, forbiddenField, integer, invalidField, objects, same, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { validatePadding } from './container-validation.ts';
import { appArmorPrefix, mirrorAnnotation, validatePodAnnotations } from './pod-annotation-validation.ts';
import { validateTolerations } from './pod-scheduling-validation.ts';

const maxInt32 = 2_147_483_647;
const updatable = '`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),'
  + '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

export function validateAnnotationUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const now: Record<string, unknown> = object.metadata?.annotations ?? {};
  const before: Record<string, unknown> = old.metadata?.annotations ?? {};
  const kindOf = (key: string): string | undefined => (key === mirrorAnnotation ? 'mirror pod annotation' : key.startsWith(appArmorPrefix) ? 'AppArmor annotations' : undefined);
  for (const [key, value] of Object.entries(before)) {
    const what = kindOf(key);
    if (what && now[key] !== value) errors.push(forbiddenField(`metadata.annotations[${key}]`, `may not remove or update ${what}`));
  }
  for (const key of Object.keys(now)) {
    const what = kindOf(key);
    if (what && !(key in before)) errors.push(forbiddenField(`metadata.annotations[${key}]`, `may not add ${what}`));
  }
  return [...errors, ...validatePodAnnotations(now, asObject(object['spec']) ?? {}, 'metadata.annotations')];
}

export function validatePodUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors = validateAnnotationUpdate(object, old);
  const spec = asObject(object['spec']) ?? {};
  const before = asObject(old['spec']) ?? {};
  for (const list of ['containers', 'initContainers']) {
    const [now, was] = [objects(spec[list]), objects(before[list])];
    if (now.length !== was.length) return [...errors, forbiddenField(`spec.${list}`, 'pod updates may not add or remove containers')];
    now.forEach((container, index) => {
      if (text(container['image']) === '') errors.push({ type: 'Required', field: `spec.${list}[${index}].image` });
      errors.push(...validatePadding(container, `spec.${list}[${index}]`));
    });
  }
  const deadline = integer(spec['activeDeadlineSeconds']);
  const previous = integer(before['activeDeadlineSeconds']);
  if (deadline !== undefined) {
    if (deadline < 0 || deadline > maxInt32) return [...errors, invalidField('spec.activeDeadlineSeconds', deadline, `must be between 0 and ${maxInt32}, inclusive`)];
    if (previous !== undefined && previous < deadline) return [...errors, invalidField('spec.activeDeadlineSeconds', deadline, 'must be less than or equal to previous value')];
  } else if (previous !== undefined) errors.push(invalidField('spec.activeDeadlineSeconds', null, 'must not update from a positive integer to nil value'));

  errors.push(...validateAddedTolerations(spec, before), ...validateDeletedGates(spec, before));
  const gated = objects(before['schedulingGates']).length > 0;
  if (gated) errors.push(...validateGatedChanges(spec, before));
  const changed = changedFields(spec, before, gated);
  if (changed.length > 0) errors.push(forbiddenField('spec', `pod updates may not change fields other than ${updatable}\n${changed.map((field) => `  changed: ${field}`).join('\n')}`));
  return errors;
}

/** What differs beside the fields that may. */
function changedFields(spec: Obj, before: Obj, gated: boolean): string[] {
  const mayChange = new Set(['activeDeadlineSeconds', 'tolerations', 'schedulingGates', ...(gated ? ['nodeSelector'] : [])]);
  const withoutImages = (list: unknown): Obj[] => objects(list).map(({ image: _, ...rest }) => rest);
  const withoutNodeAffinity = (affinity: unknown): Obj => {
    const { nodeAffinity: _, ...rest } = asObject(affinity) ?? {};
    return rest;
  };
  return [...new Set([...Object.keys(spec), ...Object.keys(before)])].filter((field) => {
    if (mayChange.has(field)) return false;
    const [now, was] = [spec[field], before[field]];
    if (field === 'containers' || field === 'initContainers') return !same(withoutImages(now), withoutImages(was));
    if (field === 'affinity' && gated) return !same(withoutNodeAffinity(now), withoutNodeAffinity(was));
    if (field === 'terminationGracePeriodSeconds' && now === 1 && typeof was === 'number' && was < 0) return false;
    return !same(now, was);
  }).map((field) => `spec.${field}`);
}

function validateAddedTolerations(spec: Obj, before: Obj): FieldError[] {
  const path = 'spec.tolerations';
  const rest = ({ tolerationSeconds: _, ...others }: Obj): Obj => others;
  const now = objects(spec['tolerations']);
  const kept = objects(before['tolerations']).every((old) => now.some((one) => same(rest(one), rest(old))));
  return kept ? validateTolerations(now, path) : [forbiddenField(path, 'existing toleration can not be modified except its tolerationSeconds')];
}

function validateDeletedGates(spec: Obj, before: Obj): FieldError[] {
  const old = new Set(objects(before['schedulingGates']).map((gate) => text(gate['name'])));
  // A name that is there twice counts once, where it comes last.
  const added = new Map(objects(spec['schedulingGates']).map((gate, index) => [text(gate['name']), index]));
  return [...added].filter(([name]) => !old.has(name)).map(([name, index]) =>
    forbiddenField(`spec.schedulingGates[${index}].name`, `only deletion is allowed, but found new scheduling gate '${name}'`));
}

/** Pods that wait at a gate may become pickier about nodes. */
function validateGatedChanges(spec: Obj, before: Obj): FieldError[] {
  const errors: FieldError[] = [];
  const selector = asObject(spec['nodeSelector']) ?? {};
  if (entries(before['nodeSelector']).some(([key, value]) => selector[key] !== value)) {
    errors.push(invalidField('spec.nodeSelector', spec['nodeSelector'] ?? null, 'only additions to spec.nodeSelector are allowed (no mutations or deletions)'));
  }
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  const path = `spec.affinity.nodeAffinity.${required}.nodeSelectorTerms`;
  const terms = objects(at(spec, 'affinity', 'nodeAffinity', required, 'nodeSelectorTerms'));
  const was = objects(at(before, 'affinity', 'nodeAffinity', required, 'nodeSelectorTerms'));
  if (was.length === 0) return errors;
  if (terms.length !== was.length) return [...errors, invalidField(path, terms, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed')];
  was.forEach((old, index) => {
    const term = terms[index] ?? {};
    const grown = ['matchExpressions', 'matchFields'].every((list) => {
      const now = objects(term[list]);
      return objects(old[list]).every((one, position) => same(now[position], one));
    });
    const wasEmpty = objects(old['matchExpressions']).length + objects(old['matchFields']).length === 0;
    const isNowEmpty = objects(term['matchExpressions']).length + objects(term['matchFields']).length === 0;
    if (!grown || (wasEmpty && !isNowEmpty)) errors.push(invalidField(`${path}[${index}]`, term, 'only additions are allowed (no mutations or deletions)'));
  });
  return errors;
}
