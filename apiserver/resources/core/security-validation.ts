// Rules of security contexts: seccomp and AppArmor profiles, ids, sysctls.
import { inRangeErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, duplicate, invalidAll, invalidField, items, objects, oneOf, required, text, tooLong } from '../values.ts';
import type { Obj } from '../values.ts';

const maxId = 2_147_483_647;
const profileTypes = ['Localhost', 'RuntimeDefault', 'Unconfined'] as const;

/** Of pods and containers alike. */
export function validateProfiles(context: Obj, path: string): FieldError[] {
  return [...validateSeccomp(context, `${path}.seccompProfile`), ...validateAppArmor(context, `${path}.appArmorProfile`)];
}

function validateSeccomp(context: Obj, path: string): FieldError[] {
  const profile = asObject(context['seccompProfile']);
  if (!profile) return [];
  const type = text(profile['type']);
  const local = profile['localhostProfile'];
  if (type === '') return [required(`${path}.type`, 'type is required when seccompProfile is set')];
  const errors = oneOf(`${path}.type`, type, profileTypes);
  const field = `${path}.localhostProfile`;
  if (type === 'Localhost') {
    if (local === undefined) errors.push(required(field, 'must be set when seccomp type is Localhost'));
    else {
      if (text(local).startsWith('/')) errors.push(invalidField(field, local, 'must be a relative path'));
      if (text(local).split('/').includes('..')) errors.push(invalidField(field, local, "must not contain '..'"));
    }
  } else if (local !== undefined) errors.push(invalidField(field, profile, 'can only be set when seccomp type is Localhost'));
  return errors;
}

function validateAppArmor(context: Obj, path: string): FieldError[] {
  const profile = asObject(context['appArmorProfile']);
  if (!profile) return [];
  const type = text(profile['type']);
  const local = profile['localhostProfile'];
  if (type === '') return [required(`${path}.type`, 'type is required when appArmorProfile is set')];
  const errors = oneOf(`${path}.type`, type, profileTypes);
  const field = `${path}.localhostProfile`;
  if (type === 'Localhost') {
    const name = text(local);
    if (name.trim() === '') errors.push(required(field, 'must be set when AppArmor type is Localhost'));
    else if (name !== name.trim()) errors.push(invalidField(field, name, 'must not be padded with whitespace'));
    if (Buffer.byteLength(name) > 4095) errors.push(tooLong(field, 4095));
  } else if (local !== undefined) errors.push(invalidField(field, local, 'can only be set when AppArmor type is Localhost'));
  return errors;
}

const sysctlName = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

function validateSysctls(context: Obj, spec: Obj, path: string): FieldError[] {
  const seen = new Set<string>();
  return objects(context['sysctls']).flatMap((sysctl, index) => {
    const here = `${path}[${index}].name`;
    const name = text(sysctl['name']);
    if (name === '') return [required(here)];
    const errors: FieldError[] = [];
    if (name.length > 253 || !sysctlName.test(name)) {
      errors.push(invalidField(here, name, 'must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$'));
    } else if (seen.has(name)) errors.push(duplicate(here, name));
    seen.add(name);
    const dotted = name.replaceAll('/', '.');
    if (spec['hostNetwork'] === true && dotted.startsWith('net.')) errors.push(invalidField(here, name, "may not be specified when 'hostNetwork' is true"));
    if (spec['hostIPC'] === true && /^(kernel\.shm|kernel\.msg|kernel\.sem$|fs\.mqueue\.)/.test(dotted)) errors.push(invalidField(here, name, "may not be specified when 'hostIPC' is true"));
    return errors;
  });
}

export function validatePodSecurityContext(spec: Obj, path: string): FieldError[] {
  const context = asObject(spec['securityContext']) ?? {};
  const errors: FieldError[] = [];
  const checkId = (id: unknown, field: string): void => {
    if (typeof id === 'number') errors.push(...invalidAll(field, id, inRangeErrors(id, 0, maxId)));
  };
  for (const field of ['fsGroup', 'runAsUser', 'runAsGroup']) checkId(context[field], `${path}.${field}`);
  items(context['supplementalGroups']).forEach((id, index) => checkId(id, `${path}.supplementalGroups[${index}]`));
  if (spec['shareProcessNamespace'] === true && spec['hostPID'] === true) {
    errors.push(invalidField(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'));
  }
  errors.push(...validateSysctls(context, spec, `${path}.sysctls`));
  const choices = { fsGroupChangePolicy: ['Always', 'OnRootMismatch'], supplementalGroupsPolicy: ['Merge', 'Strict'], seLinuxChangePolicy: ['MountOption', 'Recursive'] };
  for (const [field, values] of Object.entries(choices)) if (context[field] !== undefined) errors.push(...oneOf(`${path}.${field}`, context[field], values));
  return [...errors, ...validateProfiles(context, path)];
}
