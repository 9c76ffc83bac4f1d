// Rules of security contexts: seccomp and AppArmor profiles, ids, sysctls.
import { inRangeErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, duplicate, invalidAll, invalidField, items, objects, oneOf, required, text, tooLong } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateDescendingPath } from './storage-source-validation.ts';
import { validateWindowsOptions } from './windows-validation.ts';

const maxId = 2_147_483_647;
const profileTypes = ['Localhost', 'RuntimeDefault', 'Unconfined'] as const;

/** Of pods and containers alike. */
export function validateSeccompProfile(context: Obj, path: string): FieldError[] {
  const profile = asObject(context['seccompProfile']);
  if (!profile) return [];
  const here = `${path}.seccompProfile`;
  const type = text(profile['type']);
  const local = profile['localhostProfile'];
  const errors = type === '' ? [required(`${here}.type`, 'type is required when seccompProfile is set')] : oneOf(`${here}.type`, type, profileTypes);
  const field = `${here}.localhostProfile`;
  if (type === 'Localhost') errors.push(...(local === undefined ? [required(field, 'must be set when seccomp type is Localhost')] : validateDescendingPath(text(local), field)));
  else if (local !== undefined) errors.push(invalidField(field, { Type: type, LocalhostProfile: local }, 'can only be set when seccomp type is Localhost'));
  return errors;
}

export function validateAppArmorProfile(context: Obj, path: string): FieldError[] {
  const profile = asObject(context['appArmorProfile']);
  if (!profile) return [];
  const here = `${path}.appArmorProfile`;
  const field = `${here}.localhostProfile`;
  const local = profile['localhostProfile'];
  switch (profile['type']) {
    case 'Localhost': {
      const name = text(local);
      const errors: FieldError[] = [];
      if (name !== name.trim()) errors.push(invalidField(field, name, 'must not be padded with whitespace'));
      else if (name === '') errors.push(required(field, 'must be set when AppArmor type is Localhost'));
      return Buffer.byteLength(name) > 4095 ? [...errors, tooLong(field, 4095)] : errors;
    }
    case 'RuntimeDefault': case 'Unconfined': return local === undefined ? [] : [invalidField(field, local, 'can only be set when AppArmor type is Localhost')];
    case undefined: case '': return [required(`${here}.type`, 'type is required when appArmorProfile is set')];
    default: return oneOf(`${here}.type`, profile['type'], profileTypes);
  }
}

const sysctlName = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

const ipcSysctls = new Set(['kernel.sem', 'kernel.shmall', 'kernel.shmmax', 'kernel.shmmni', 'kernel.shm_rmid_forced', 'kernel.shm', 'kernel.msgmax', 'kernel.msgmnb', 'kernel.msgmni', 'kernel.msg']);
/** The first separator tells which of the two spellings it is; the other character stands for itself. */
function withDots(name: string): string {
  return /^[^./]*\//.test(name) ? name.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.')) : name;
}

function validateSysctls(context: Obj, spec: Obj, path: string): FieldError[] {
  const seen = new Set<string>();
  return objects(context['sysctls']).flatMap((sysctl, index) => {
    const here = `${path}[${index}].name`;
    const name = text(sysctl['name']);
    const errors: FieldError[] = [];
    if (name === '') errors.push(required(here));
    else if (name.length > 253 || !sysctlName.test(name)) {
      errors.push(invalidField(here, name, 'must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$'));
    } else if (seen.has(name)) errors.push(duplicate(here, name));
    seen.add(name);
    const dotted = withDots(name);
    if (spec['hostNetwork'] === true && dotted.startsWith('net.')) errors.push(invalidField(here, name, "may not be specified when 'hostNetwork' is true"));
    else if (spec['hostIPC'] === true && (ipcSysctls.has(dotted) || dotted.startsWith('fs.mqueue.'))) errors.push(invalidField(here, name, "may not be specified when 'hostIPC' is true"));
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
  const choose = (field: string, values: readonly string[]): void => {
    if (context[field] !== undefined) errors.push(...oneOf(`${path}.${field}`, context[field], values));
  };
  choose('fsGroupChangePolicy', ['Always', 'OnRootMismatch']);
  errors.push(...validateSeccompProfile(context, path), ...validateWindowsOptions(context, path), ...validateAppArmorProfile(context, path));
  choose('supplementalGroupsPolicy', ['Merge', 'Strict']);
  choose('seLinuxChangePolicy', ['Recursive']);
  return errors;
}
