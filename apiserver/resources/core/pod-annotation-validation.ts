// Annotations of pods and templates that mean something to the server: mirror pods, tolerations and profiles from before they
// were fields, the cost of deletion. Upstream: ValidatePodSpecificAnnotations in pkg/apis/core/validation/validation.go.
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, forbiddenField, invalidField, objects, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { parseGoJson } from './go-json.ts';
import { containersWithPath } from './pod-containers.ts';
import { validateTolerations } from './pod-scheduling-validation.ts';
import { validateDescendingPath } from './storage-source-validation.ts';

export const mirrorAnnotation = 'kubernetes.io/config.mirror';
export const appArmorPrefix = 'container.apparmor.security.beta.kubernetes.io/';
const tolerationsAnnotation = 'scheduler.alpha.kubernetes.io/tolerations';
const costAnnotation = 'controller.kubernetes.io/pod-deletion-cost';
const seccompPod = 'seccomp.security.alpha.kubernetes.io/pod';
const seccompPrefix = 'container.seccomp.security.alpha.kubernetes.io/';
const localhost = 'localhost/';

type Annotations = Readonly<Record<string, unknown>>;

function validateSeccomp(profile: string, path: string): FieldError[] {
  if (profile === 'runtime/default' || profile === 'docker/default' || profile === 'unconfined') return [];
  return profile.startsWith(localhost) ? validateDescendingPath(profile.slice(localhost.length), path) : [invalidField(path, profile, 'must be a valid seccomp profile')];
}

function validateOldTolerations(value: string, path: string): FieldError[] {
  const parsed = parseGoJson(value);
  return 'error' in parsed ? [invalidField(path, tolerationsAnnotation, parsed.error)] : validateTolerations(objects(parsed.value), `${path}.${tolerationsAnnotation}`);
}

/** `path` leads to the annotations. */
export function validatePodAnnotations(given: unknown, spec: Obj, path: string): FieldError[] {
  const annotations: Annotations = asObject(given) ?? {};
  const errors: FieldError[] = [];
  const mirror = annotations[mirrorAnnotation];
  if (mirror !== undefined && text(spec['nodeName']) === '') errors.push(invalidField(`${path}[${mirrorAnnotation}]`, mirror, 'must set spec.nodeName if mirror pod annotation is set'));
  const tolerations = text(annotations[tolerationsAnnotation]);
  if (tolerations !== '') errors.push(...validateOldTolerations(tolerations, path));
  const cost = annotations[costAnnotation];
  if (cost !== undefined && !isInt32(text(cost))) errors.push(invalidField(`${path}[${costAnnotation}]`, cost, 'must be a 32bit integer'));
  const profile = annotations[seccompPod];
  if (profile !== undefined) errors.push(...validateSeccomp(text(profile), `${path}.${seccompPod}`));
  for (const [key, value] of Object.entries(annotations)) if (key.startsWith(seccompPrefix)) errors.push(...validateSeccomp(text(value), `${path}.${key}`));
  for (const [key, value] of Object.entries(annotations)) {
    if (!key.startsWith(appArmorPrefix)) continue;
    const name = key.slice(appArmorPrefix.length);
    if (!containersWithPath(spec, '').some(([container]) => text(container['name']) === name)) errors.push(invalidField(`${path}[${key}]`, name, 'container not found'));
    const known = value === '' || value === 'runtime/default' || value === 'unconfined' || text(value).startsWith(localhost);
    if (!known) errors.push(invalidField(`${path}[${key}]`, value, `invalid AppArmor profile name: ${JSON.stringify(value)}`));
  }
  return errors;
}
function isInt32(value: string): boolean {
  return /^(-\d+|0|[1-9]\d*)$/.test(value) && Number(value) >= -(2 ** 31) && Number(value) < 2 ** 31;
}

function matchProfile(annotation: unknown, profile: Obj, kind: string, path: string): FieldError[] {
  const value = text(annotation);
  const mismatch = (field: string, what: string): FieldError[] => [forbiddenField(`${path}.${field}`, `${kind} ${what} in annotation and field must match`)];
  switch (profile['type']) {
    case 'Unconfined': return value === 'unconfined' ? [] : mismatch('type', 'type');
    case 'RuntimeDefault': return value === 'runtime/default' || (kind === 'seccomp' && value === 'docker/default') ? [] : mismatch('type', 'type');
    case 'Localhost':
      if (!value.startsWith(localhost)) return mismatch('type', 'type');
      return value.slice(localhost.length) === profile['localhostProfile'] ? [] : mismatch('localhostProfile', 'profile');
    default: return [];
  }
}

/** Where a profile is said twice, both have to agree. `path` leads to the spec. */
export function validateProfilesMatch(given: unknown, spec: Obj, path: string): FieldError[] {
  const annotations: Annotations = asObject(given) ?? {};
  if (Object.keys(annotations).length === 0) return [];
  const errors: FieldError[] = [];
  const ofPod = asObject(at(spec, 'securityContext', 'seccompProfile'));
  if (ofPod && seccompPod in annotations) errors.push(...matchProfile(annotations[seccompPod], ofPod, 'seccomp', `${path}.securityContext.seccompProfile`));
  const containers = containersWithPath(spec, path);
  for (const [container, here] of containers) {
    const key = `${seccompPrefix}${text(container['name'])}`;
    const profile = asObject(at(container, 'securityContext', 'seccompProfile'));
    if (profile && key in annotations) errors.push(...matchProfile(annotations[key], profile, 'seccomp', `${here}.securityContext.seccompProfile`));
  }
  if (at(spec, 'os', 'name') === 'windows') return errors;
  for (const [container, here] of containers) {
    const key = `${appArmorPrefix}${text(container['name'])}`;
    const profile = asObject(at(container, 'securityContext', 'appArmorProfile')) ?? asObject(at(spec, 'securityContext', 'appArmorProfile'));
    if (profile && key in annotations) errors.push(...matchProfile(annotations[key], profile, 'apparmor', `${here}.securityContext.appArmorProfile`));
  }
  return errors;
}
