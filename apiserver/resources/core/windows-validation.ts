// What pods of the two operating systems may set, and options of Windows containers. Upstream: validateLinux, validateWindows,
// validateWindowsHostProcessPod and validateWindowsSecurityContextOptions in pkg/apis/core/validation/validation.go.
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, forbiddenField, invalidAll, invalidField, isEmpty, isObject, notSupported, required, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { containersWithPath } from './pod-containers.ts';

const maxSpecBytes = 64 * 1024;
const netBiosName = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const dnsName = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;
const hasControl = (name: string): boolean => /\p{Cc}/u.test(name);

/** `DOMAIN\USER`, the domain may be left out. */
function userNameErrors(name: string): string[] {
  if (name === '') return ['runAsUserName cannot be an empty string'];
  if (hasControl(name)) return ['runAsUserName cannot contain control characters'];
  const parts = name.split('\\');
  if (parts.length > 2) return ['runAsUserName cannot contain more than one backslash'];
  const user = parts.at(-1) ?? '';
  const domain = parts.length === 2 ? parts[0] ?? '' : undefined;
  const errors: string[] = [];
  if (domain !== undefined && Buffer.byteLength(domain) >= 256) errors.push("runAsUserName's Domain length must be under 256 characters");
  if (domain !== undefined && !netBiosName.test(domain) && !dnsName.test(domain)) errors.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  if (user === '') errors.push("runAsUserName's User cannot be empty");
  else if (Buffer.byteLength(user) > 104) errors.push("runAsUserName's User length must not be longer than 104 characters");
  if (/^[. ]+$/.test(user)) errors.push("runAsUserName's User cannot contain only periods or spaces");
  if (/["/\\:;|=,+*?<>@[\]]/.test(user)) errors.push('runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]');
  return errors;
}

/** Of pods and containers; `path` leads to the security context. */
export function validateWindowsOptions(context: Obj, path: string): FieldError[] {
  const options = asObject(context['windowsOptions']);
  if (!options) return [];
  const errors: FieldError[] = [];
  const here = `${path}.windowsOptions`;
  const { gmsaCredentialSpecName: specName, gmsaCredentialSpec: spec, runAsUserName: user } = options;
  if (typeof specName === 'string') errors.push(...invalidAll(`${here}.gmsaCredentialSpecName`, specName, dns1123SubdomainErrors(specName)));
  if (spec === '') errors.push(invalidField(`${here}.gmsaCredentialSpec`, spec, 'gmsaCredentialSpec cannot be an empty string'));
  else if (Buffer.byteLength(text(spec)) > maxSpecBytes) errors.push(invalidField(`${here}.gmsaCredentialSpec`, spec, 'gmsaCredentialSpec size must be under 64 KiB'));
  if (typeof user === 'string') errors.push(...invalidAll(`${here}.runAsUserName`, user, userNameErrors(user)));
  return errors;
}

/** Either all containers are processes of the host, or none. */
export function validateHostProcess(spec: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const ofPod = at(spec, 'securityContext', 'windowsOptions', 'hostProcess');
  const containers = containersWithPath(spec, path);
  let count = 0;
  for (const [container, here] of containers) {
    const own = at(container, 'securityContext', 'windowsOptions', 'hostProcess');
    if (typeof ofPod === 'boolean' && typeof own === 'boolean' && ofPod !== own) {
      errors.push(invalidField(`${here}.securityContext.windowsOptions.hostProcess`, own, `pod hostProcess value must be identical if both are specified, was ${ofPod}`));
    }
    if ((own ?? ofPod) === true) count += 1;
  }
  if (count === 0) return errors;
  if (count !== containers.length) errors.push(invalidField(path, '', 'If pod contains any hostProcess containers then all containers must be HostProcess containers'));
  if (spec['hostNetwork'] !== true) errors.push(invalidField(`${path}.hostNetwork`, false, 'hostNetwork must be true if pod contains any hostProcess containers'));
  return errors;
}

/** In upstream's order; those of the pod itself stand beside the security context. */
const notOnWindows = [
  'securityContext.appArmorProfile', 'securityContext.seLinuxOptions', 'hostUsers', 'hostPID', 'hostIPC', 'securityContext.seccompProfile', 'securityContext.fsGroup',
  'securityContext.fsGroupChangePolicy', 'securityContext.sysctls', 'shareProcessNamespace', 'securityContext.runAsUser', 'securityContext.runAsGroup',
  'securityContext.supplementalGroups', 'securityContext.supplementalGroupsPolicy', 'securityContext.seLinuxChangePolicy',
].map((name) => name.split('.'));
const notInWindowsContainers = [
  'appArmorProfile', 'seLinuxOptions', 'seccompProfile', 'capabilities', 'readOnlyRootFilesystem', 'privileged', 'allowPrivilegeEscalation', 'procMount', 'runAsUser', 'runAsGroup',
];
/** Plain fields count as set when they are not zero, pointers whatever they hold. */
const zeroIsUnset = new Set(['hostPID', 'hostIPC', 'sysctls']);

function validateWindowsPod(spec: Obj, path: string): FieldError[] {
  const errors = notOnWindows.filter((names) => {
    const value = at(spec, ...names);
    return zeroIsUnset.has(names.at(-1) ?? '') ? !isEmpty(value) && value !== false : value !== undefined;
  }).map((names) => forbiddenField(`${path}.${names.join('.')}`, 'cannot be set for a windows pod'));
  for (const [container, here] of containersWithPath(spec, path)) {
    const context = asObject(container['securityContext']) ?? {};
    for (const field of notInWindowsContainers) if (context[field] !== undefined) errors.push(forbiddenField(`${here}.securityContext.${field}`, 'cannot be set for a windows pod'));
  }
  return errors;
}
function validateLinuxPod(spec: Obj, path: string): FieldError[] {
  return [[spec, path] as const, ...containersWithPath(spec, path)]
    .filter(([owner]) => isObject(at(owner, 'securityContext', 'windowsOptions')))
    .map(([, here]) => forbiddenField(`${here}.securityContext.windowsOptions`, 'windows options cannot be set for a linux pod'));
}

export function validateOs(spec: Obj, path: string): FieldError[] {
  const os = asObject(spec['os']);
  if (!os) return [];
  const name = text(os['name']);
  switch (name) {
    case '': return [required(`${path}.os.name`)];
    case 'linux': return validateLinuxPod(spec, path);
    case 'windows': return validateWindowsPod(spec, path);
    default: return [notSupported(`${path}.os`, name, ['linux', 'windows'])];
  }
}
