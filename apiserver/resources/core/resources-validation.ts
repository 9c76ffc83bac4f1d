// Rules of resource requests and limits. Upstream: validateContainerResourceName, ValidateResourceRequirements.
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import { compareQuantities, formatQuantity, isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, duplicate, entries, forbiddenField, invalidAll, invalidField, notFoundField, notSupported, objects, required, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { isExtendedResource } from './node.ts';
import { containersRequest } from './pod-defaults.ts';

const containerResources = new Set(['cpu', 'memory', 'ephemeral-storage']);
/** Plain names that mean something somewhere, but that containers cannot ask for. */
const otherResources = new Set(['storage', 'requests.storage', 'pods', 'services', 'replicationcontrollers', 'resourcequotas', 'secrets', 'configmaps',
  'persistentvolumeclaims', 'services.nodeports', 'services.loadbalancers', 'requests.cpu', 'requests.memory', 'requests.ephemeral-storage', 'limits.cpu', 'limits.memory', 'limits.ephemeral-storage']);
const isHugePages = (name: string): boolean => name.startsWith('hugepages-');

function nameErrors(name: string): string[] {
  const errors = qualifiedNameErrors(name);
  if (errors.length > 0) return errors;
  if (!name.includes('/')) {
    const known = containerResources.has(name) || isHugePages(name);
    if (!known && !otherResources.has(name)) errors.push('must be a standard resource type or fully qualified');
    if (!known) errors.push('must be a standard resource for containers');
  } else if (!/(^|\.)kubernetes\.io\//.test(name) && (name.startsWith('requests.') || qualifiedNameErrors(`requests.${name}`).length > 0)) {
    errors.push("doesn't follow extended resource name standard");
  }
  return errors;
}

function validateValue(name: string, value: unknown, path: string): FieldError[] {
  if (!isQuantity(value)) return [];
  const { nanos } = parseQuantity(value);
  if (nanos < 0n) return [invalidField(path, String(value), 'must be greater than or equal to 0')];
  const whole = isExtendedResource(name) || name === 'pods';
  return whole && nanos % 1_000_000_000n !== 0n ? [invalidField(path, String(value), 'must be an integer')] : [];
}

const pageSizes = (name: string): bigint | undefined => {
  const size = name.slice('hugepages-'.length);
  return isQuantity(size) ? parseQuantity(size).nanos : undefined;
};

/** `overhead` and other plain resource lists. */
export function validateResourceList(list: unknown, path: string): FieldError[] {
  return entries(list).flatMap(([name, value]) => [...invalidAll(`${path}[${name}]`, name, nameErrors(name)), ...validateValue(name, value, `${path}[${name}]`)]);
}

export function validateResources(value: unknown, path: string, podClaims: ReadonlySet<string>): FieldError[] {
  const resources = asObject(value);
  if (!resources) return [];
  const limits = asObject(resources['limits']) ?? {};
  const requests = asObject(resources['requests']) ?? {};
  const errors: FieldError[] = [];
  let plain = false;
  let huge = false;
  for (const [field, list] of [['limits', limits], ['requests', requests]] as const) {
    for (const [name, quantity] of Object.entries(list)) {
      const here = `${path}.${field}[${name}]`;
      errors.push(...invalidAll(here, name, nameErrors(name)), ...validateValue(name, quantity, here));
      if (isHugePages(name)) {
        huge = true;
        const size = pageSizes(name);
        if (field === 'limits' && size !== undefined && size > 0n && isQuantity(quantity) && parseQuantity(quantity).nanos % size !== 0n) {
          errors.push(invalidField(here, quantity, `${quantity} is not positive integer multiple of ${name}`));
        }
      }
      if (name === 'cpu' || name === 'memory') plain = true;
    }
  }
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    const overcommits = !isHugePages(name) && !isExtendedResource(name);
    if (limit === undefined) {
      if (!overcommits) errors.push(required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
      continue;
    }
    if (!isQuantity(limit) || !isQuantity(request)) continue;
    const order = compareQuantities(parseQuantity(request), parseQuantity(limit));
    if (!overcommits && order !== 0) errors.push(invalidField(`${path}.requests`, request, `must be equal to ${name} limit of ${limit}`));
    else if (overcommits && order > 0) errors.push(invalidField(`${path}.requests`, request, `must be less than or equal to ${name} limit of ${limit}`));
  }
  if (huge && !plain) errors.push(forbiddenField(path, 'HugePages require cpu or memory'));
  return [...errors, ...validateClaims(resources['claims'], `${path}.claims`, podClaims)];
}

function validateClaims(claims: unknown, path: string, podClaims: ReadonlySet<string>): FieldError[] {
  const seen = new Set<string>();
  return objects(claims).flatMap((claim, index) => {
    const here = `${path}[${index}]`;
    const name = text(claim['name']);
    if (name === '') return [required(here)];
    const key = `${name}/${text(claim['request'])}`;
    const errors: FieldError[] = seen.has(key) ? [duplicate(here, claim)] : [];
    seen.add(key);
    if (!podClaims.has(name)) {
      errors.push(notFoundField(here, name, podClaims.size === 0 ? 'must be one of the names in pod.spec.resourceClaims which is empty'
        : `must be one of the names in pod.spec.resourceClaims: ${[...podClaims].sort().join(', ')}`));
    }
    return errors;
  });
}

/** Resources of the pod as a whole: no claims, cpu, memory and huge pages only, and containers have to fit. */
export function validatePodLevelResources(spec: Obj, path: string): FieldError[] {
  const resources = asObject(spec['resources']);
  if (!resources) return [];
  const errors: FieldError[] = [];
  if (resources['claims'] !== undefined) errors.push(forbiddenField(`${path}.claims`, 'claims may not be set for Resources at pod-level'));
  for (const field of ['requests', 'limits']) {
    for (const [name] of entries(resources[field])) {
      if (name !== 'cpu' && name !== 'memory' && !isHugePages(name)) errors.push(notSupported(`${path}.${field}[${name}]`, name, ['cpu', 'hugepages-', 'memory']));
    }
  }
  errors.push(...validateResources({ limits: resources['limits'], requests: resources['requests'] }, path, new Set()));
  for (const [name, request] of entries(resources['requests'])) {
    const needed = containersRequest(spec, name);
    if (needed && isQuantity(request) && compareQuantities(parseQuantity(request), needed) < 0) {
      errors.push(invalidField(`${path}.requests[${name}]`, request, `must be greater than or equal to aggregate container requests of ${formatQuantity(needed)}`));
    }
  }
  const limits = asObject(resources['limits']) ?? {};
  objects(spec['containers']).forEach((container, index) => {
    for (const [name, limit] of entries(asObject(container['resources'])?.['limits'])) {
      const most = limits[name];
      if (isQuantity(most) && isQuantity(limit) && compareQuantities(parseQuantity(limit), parseQuantity(most)) > 0) {
        errors.push(invalidField(`${path}.containers[${index}][${name}].limits`, limit, `must be less than or equal to pod limits of ${most}`));
      }
    }
  });
  return errors;
}
