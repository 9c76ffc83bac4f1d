// What a write of a pod's status may say, and which ended containers may run again. Upstream: ValidatePodStatusUpdate in
// pkg/apis/core/validation/validation.go.
import { dns1123LabelErrors, dns1123SubdomainErrors, inRangeErrors, ipErrors, ipFamily, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isEmpty, isObject, items, notSupported, objects, required, text, tooLong, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateAnnotationUpdate } from './pod-update.ts';

const statusLists = { containerStatuses: 'containers', initContainerStatuses: 'initContainers', ephemeralContainerStatuses: '' } as const;

/** May a container that ended run again? Its own policy and rules come first, then the pod's. */
function mayRestart(container: Obj, spec: Obj, exitCode: number): boolean {
  for (const rule of objects(container['restartPolicyRules'])) {
    const codes = asObject(rule['exitCodes']);
    if (rule['action'] !== 'Restart' || !codes) continue;
    const listed = Array.isArray(codes['values']) && codes['values'].includes(exitCode);
    if (listed === (codes['operator'] === 'In')) return true;
  }
  switch (text(container['restartPolicy']) || text(spec['restartPolicy'])) {
    case 'Always': return true;
    case 'OnFailure': return exitCode !== 0;
    default: return false;
  }
}

function validateTransitions(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const spec = asObject(old['spec']) ?? {};
  const allMayRestart = [...objects(spec['containers']), ...objects(spec['initContainers'])]
    .some((container) => objects(container['restartPolicyRules']).some((rule) => rule['action'] === 'RestartAllContainers'));
  return Object.entries(statusLists).flatMap(([field, list]) => {
    if (allMayRestart && list !== '') return [];
    const now = objects(at(object, 'status', field));
    return objects(at(old, 'status', field)).flatMap((was, index) => {
      const ended = asObject(at(was, 'state', 'terminated'));
      const again = now.filter((status) => status['name'] === was['name'] && !isObject(at(status, 'state', 'terminated')));
      if (!ended || again.length === 0) return [];
      const container = list === '' ? undefined : objects(spec[list]).find((one) => one['name'] === was['name']);
      if (container && mayRestart(container, spec, integer(ended['exitCode']) ?? 0)) return [];
      // Of ephemeral containers every status is told, of others the first.
      return (list === '' ? again : [again]).map(() => forbiddenField(`status.${field}[${index}].state`, 'may not be transitioned to non-terminated state'));
    });
  });
}

const ownConditions = new Set(['PodScheduled', 'Ready', 'Initialized']);

function validateConditions(conditions: readonly Obj[]): FieldError[] {
  return conditions.flatMap((condition, index) => {
    const path = `status.conditions[${index}]`;
    const type = text(condition['type']);
    return [...nonNegative(condition['observedGeneration'], `${path}.observedGeneration`), ...(ownConditions.has(type) ? [] : invalidAll(`${path}.Type`, type, qualifiedNameErrors(type)))];
  });
}
function nonNegative(value: unknown, field: string): FieldError[] {
  return typeof value === 'number' && value < 0 ? [invalidField(field, value, 'must be a non-negative integer')] : [];
}

function validateAddresses(status: Obj, old: Obj, field: 'podIPs' | 'hostIPs'): FieldError[] {
  const errors: FieldError[] = [];
  const list = objects(status[field]).map((one) => text(one['ip']));
  const known = new Set(objects(old[field]).map((one) => text(one['ip'])));
  if (field === 'hostIPs' && list[0] !== undefined && list[0] !== text(status['hostIP'])) errors.push(invalidField('status.hostIPs[0].ip', list[0], 'must be equal to `hostIP`'));
  list.forEach((ip, index) => {
    if (!known.has(ip)) errors.push(...invalidAll(`status.${field}[${index}]`, ip, ipErrors(ip)));
  });
  if (list.length < 2) return errors;
  const broken = list.findIndex((ip) => ipFamily(ip) === undefined);
  if (broken >= 0) errors.push({ type: 'Internal', field: `status.${field}`, detail: `failed to check for dual stack with error:invalid IP[${broken}]: ${list[broken]}` });
  const families = new Set(list.map(ipFamily));
  if (broken >= 0 || families.size < 2 || list.length > 2) errors.push(invalidField(`status.${field}`, list.map((ip) => ({ IP: ip })), 'may specify no more than one IP for each IP family'));
  return errors;
}

function validateClaimStatuses(status: Obj, spec: Obj): FieldError[] {
  const path = 'status.resourceClaimStatuses';
  const claims = new Set(objects(spec['resourceClaims']).map((claim) => text(claim['name'])));
  const seen = new Set<string>();
  return objects(status['resourceClaimStatuses']).flatMap((claim, index) => {
    const name = text(claim['name']);
    const errors: FieldError[] = claims.has(name) ? [] : [invalidField(`${path}[${index}].name`, name, 'must match the name of an entry in `spec.resourceClaims`')];
    if (seen.has(name)) errors.push(duplicate(`${path}[${index}].name`, name));
    seen.add(name);
    const claimName = claim['resourceClaimName'];
    if (typeof claimName === 'string') errors.push(...invalidAll(`${path}[${index}].resourceClaimName`, claimName, dns1123SubdomainErrors(claimName)));
    return errors;
  });
}

function validateExtendedClaim(status: Obj, spec: Obj): FieldError[] {
  const claim = asObject(status['extendedResourceClaimStatus']);
  if (!claim) return [];
  const path = 'status.extendedResourceClaimStatus';
  const containers = new Map([...objects(spec['initContainers']), ...objects(spec['containers'])].map((container) => [text(container['name']), container]));
  const mappings = objects(claim['requestMappings']);
  const errors: FieldError[] = mappings.length === 0 ? [required(`${path}.requestMappings`, 'at least one request mapping is required')] : [];
  const seen = new Set<string>();
  mappings.forEach((mapping, index) => {
    const here = `${path}.requestMappings[${index}]`;
    const [name, resource, request] = [text(mapping['containerName']), text(mapping['resourceName']), text(mapping['requestName'])];
    const container = containers.get(name);
    if (!container) errors.push(invalidField(`${here}.containerName`, name, 'must match the name of an entry in spec.initContainers.name or spec.containers.name'));
    else if (at(container, 'resources', 'requests', resource) === undefined) {
      errors.push(invalidField(`${here}.resourceName`, resource, 'must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests'));
    }
    errors.push(...invalidAll(`${path}.requestName`, request, dns1123LabelErrors(request)));
    const key = JSON.stringify([name, resource, request]);
    if (seen.has(key)) errors.push(duplicate(`${here}.containerName`, name), duplicate(`${here}.resourceName`, resource), duplicate(`${here}.requestName`, request));
    seen.add(key);
  });
  const claimName = text(claim['resourceClaimName']);
  return [...errors, ...(claimName === '' ? [required(`${path}.resourceClaimName`)] : invalidAll(`${path}.resourceClaimName`, claimName, dns1123SubdomainErrors(claimName)))];
}

function validateUser(status: Obj, os: string, path: string): FieldError[] {
  const user = asObject(at(status, 'user', 'linux'));
  if (!user) return [];
  if (os === 'windows') return [forbiddenField(`${path}.user.linux`, 'cannot be set for a windows pod')];
  const check = (id: unknown, field: string): FieldError[] => invalidAll(`${path}.user.linux.${field}`, id ?? 0, inRangeErrors(integer(id) ?? 0, 0, 2_147_483_647));
  return [...check(user['uid'], 'uid'), ...check(user['gid'], 'gid'), ...items(user['supplementalGroups']).flatMap((id, index) => check(id, `supplementalGroups[${index}]`))];
}

/** Health of devices: of the container's own resources and claims, each device once. */
function validateAllocated(status: Obj, containers: readonly Obj[], path: string): FieldError[] {
  const container = containers.find((one) => one['name'] === status['name']);
  return objects(status['allocatedResourcesStatus']).flatMap((allocated, index) => {
    const here = `${path}.allocatedResourcesStatus[${index}]`;
    const errors: FieldError[] = [];
    const name = text(allocated['name']);
    const claims = objects(at(container, 'resources', 'claims')).map((claim) => `claim:${text(claim['name'])}${isEmpty(claim['request']) ? '' : `/${text(claim['request'])}`}`);
    if (container && name.startsWith('claim:') && !claims.includes(name)) {
      errors.push(invalidField(`${here}.name`, name, "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"));
    } else if (container && !name.startsWith('claim:') && at(container, 'resources', 'requests', name) === undefined) {
      errors.push(invalidField(`${here}.name`, name, "must match one of the container's resource requests"));
    }
    const seen = new Set<string>();
    objects(allocated['resources']).forEach((device, position) => {
      const field = `${here}.resources[${position}]`;
      const [id, health] = [text(device['resourceID']), text(device['health'])];
      if (!['Healthy', 'Unhealthy', 'Unknown'].includes(health)) errors.push(notSupported(`${field}.health`, health, ['Healthy', 'Unhealthy', 'Unknown']));
      if (device['message'] === '') errors.push(required(`${field}.message`, 'must be non-empty if specified'));
      else if (Buffer.byteLength(text(device['message'])) > 1024) errors.push(tooLong(`${field}.message`, 1024));
      if (seen.has(id)) errors.push(duplicate(`${field}.resourceID`, id));
      seen.add(id);
    });
    return errors;
  });
}

export function validatePodStatusUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors = validateAnnotationUpdate(object, old);
  const [status, before] = [asObject(object['status']) ?? {}, asObject(old['status']) ?? {}];
  const spec = asObject(object['spec']) ?? {};
  errors.push(...validateConditions(objects(status['conditions'])));
  const nominated = text(status['nominatedNodeName']);
  if (nominated !== '' && nominated !== text(before['nominatedNodeName'])) {
    errors.push(...invalidAll('status.nominatedNodeName', nominated, dns1123SubdomainErrors(nominated)));
    if (!isEmpty(at(old, 'spec', 'nodeName'))) errors.push(forbiddenField('status.nominatedNodeName', 'may not be set on pods that are already bound to a node'));
  }
  errors.push(...nonNegative(status['observedGeneration'], 'status.observedGeneration'), ...unchanged('status.qosClass', text(status['qosClass']), text(before['qosClass'])));
  errors.push(...validateTransitions(object, old), ...validateClaimStatuses(status, spec), ...validateExtendedClaim(status, spec));
  errors.push(...validateAddresses(status, before, 'podIPs'), ...validateAddresses(status, before, 'hostIPs'));
  const each = (check: (container: Obj, path: string, list: string) => FieldError[]): void => {
    for (const [field, list] of Object.entries(statusLists)) objects(status[field]).forEach((container, index) => errors.push(...check(container, `status.${field}[${index}]`, list)));
  };
  const os = text(at(spec, 'os', 'name')) || 'linux';
  each((container, path) => validateUser(container, os, path));
  each((container, path, list) => {
    if (list !== '') return validateAllocated(container, objects(spec[list]), path);
    return isEmpty(container['allocatedResourcesStatus']) ? [] : [forbiddenField(`${path}.allocatedResourcesStatus`, 'must not be specified in container status')];
  });
  return errors;
}
