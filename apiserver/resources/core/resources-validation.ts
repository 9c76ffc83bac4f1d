// Rules of resource requests and limits, of containers and of pods as a whole. Upstream: validateResourceRequirements and
// validatePodResources in pkg/apis/core/validation/validation.go.
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import { compareQuantities, formatQuantity, isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, duplicate, entries, forbiddenField, invalidAll, invalidField, notFoundField, notSupported, objects, required, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { containersLimit, containersRequest } from './pod-resources.ts';
import { isHugePages, mayOvercommit, pageSizeOf, validateContainerResourceName, validateQuantityOf, validateResourceName } from './resource-names.ts';

const billion = 1_000_000_000n;
type NameRule = (name: string, path: string) => FieldError[];

function validatePages(name: string, quantity: unknown, path: string): FieldError[] {
  if (!isQuantity(quantity)) return [];
  const size = pageSizeOf(name);
  const fits = size !== undefined && size > 0n && size % billion === 0n && parseQuantity(quantity).nanos % size === 0n;
  return fits ? [] : [invalidField(path, String(quantity), `${quantity} is not positive integer multiple of ${name}`)];
}

export function validateResources(value: unknown, path: string, podClaims: ReadonlySet<string>, nameRule: NameRule = validateContainerResourceName): FieldError[] {
  const resources = asObject(value);
  if (!resources) return [];
  const limits = asObject(resources['limits']) ?? {};
  const requests = asObject(resources['requests']) ?? {};
  const errors: FieldError[] = [];
  const check = (name: string, quantity: unknown, field: string): void => {
    errors.push(...nameRule(name, field), ...validateQuantityOf(name, quantity, field));
  };
  for (const [name, limit] of Object.entries(limits)) {
    const field = `${path}.limits[${name}]`;
    check(name, limit, field);
    if (isHugePages(name)) errors.push(...validatePages(name, limit, field));
  }
  for (const [name, request] of Object.entries(requests)) {
    const field = `${path}.requests[${name}]`;
    check(name, request, field);
    const limit = limits[name];
    if (limit === undefined) {
      if (!mayOvercommit(name)) errors.push(required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
    } else if (isQuantity(limit) && isQuantity(request)) {
      const order = compareQuantities(parseQuantity(request), parseQuantity(limit));
      if (order !== 0 && !mayOvercommit(name)) errors.push(invalidField(`${path}.requests`, String(request), `must be equal to ${name} limit of ${limit}`));
      else if (order > 0) errors.push(invalidField(`${path}.requests`, String(request), `must be less than or equal to ${name} limit of ${limit}`));
    }
    if (isHugePages(name)) errors.push(...validatePages(name, request, field));
  }
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  if (names.some(isHugePages) && !names.includes('cpu') && !names.includes('memory')) errors.push(forbiddenField(path, 'HugePages require cpu or memory'));
  return [...errors, ...validateClaims(resources['claims'], `${path}.claims`, podClaims)];
}

function validateClaims(claims: unknown, path: string, podClaims: ReadonlySet<string>): FieldError[] {
  const seen = new Set<string>();
  return objects(claims).flatMap((claim, index) => {
    const here = `${path}[${index}]`;
    const [name, request] = [text(claim['name']), text(claim['request'])];
    if (name === '') return [required(here)];
    const errors: FieldError[] = [];
    if (seen.has(name)) errors.push(duplicate(here, name));
    else {
      const key = request === '' ? name : `${name}/${request}`;
      if (request !== '') errors.push(...invalidAll(`${here}.request`, request, dns1123LabelErrors(request)));
      if (seen.has(key)) errors.push(duplicate(here, key));
      // The whole claim overlaps with each of its requests that came before.
      else if (request === '') errors.push(...[...seen].filter((one) => one.startsWith(`${name}/`)).map(() => duplicate(here, name)));
      seen.add(key);
    }
    if (!podClaims.has(name)) {
      errors.push(notFoundField(here, name, podClaims.size === 0 ? 'must be one of the names in pod.spec.resourceClaims which is empty'
        : `must be one of the names in pod.spec.resourceClaims: ${[...podClaims].sort().join(', ')}`));
    }
    return errors;
  });
}

const podResourceName: NameRule = (name, path) => {
  const errors = validateResourceName(name, path);
  return errors.length > 0 || name === 'cpu' || name === 'memory' || isHugePages(name) ? errors : [notSupported(path, name, ['cpu', 'hugepages-', 'memory'])];
};

/** Resources of the pod as a whole: no claims, cpu, memory and huge pages only, and containers have to fit. */
export function validatePodLevelResources(spec: Obj, podClaims: ReadonlySet<string>, path: string): FieldError[] {
  const resources = asObject(spec['resources']);
  if (!resources) return [];
  if (at(spec, 'os', 'name') === 'windows') return [forbiddenField(path, 'may not be set for a windows pod')];
  const errors: FieldError[] = resources['claims'] === undefined ? [] : [forbiddenField(`${path}.claims`, 'claims may not be set for Resources at pod-level')];
  errors.push(...validateResources(resources, path, podClaims, podResourceName));
  for (const [name, request] of entries(resources['requests'])) {
    const needed = containersRequest(spec, name);
    if (needed && isQuantity(request) && compareQuantities(parseQuantity(request), needed) < 0) {
      errors.push(invalidField(`${path}.requests[${name}]`, String(request), `must be greater than or equal to aggregate container requests of ${formatQuantity(needed)}`));
    }
  }
  const limits = asObject(resources['limits']) ?? {};
  for (const [name, limit] of Object.entries(limits)) {
    const needed = isHugePages(name) ? containersLimit(spec, name) : undefined;
    if (needed && isQuantity(limit) && compareQuantities(parseQuantity(limit), needed) < 0) {
      errors.push(invalidField(`${path}.limits[${name}]`, String(limit), `must be greater than or equal to aggregate container limits of ${formatQuantity(needed)}`));
    }
  }
  objects(spec['containers']).forEach((container, index) => {
    for (const [name, limit] of entries(at(container, 'resources', 'limits'))) {
      const most = limits[name];
      if (isQuantity(most) && isQuantity(limit) && compareQuantities(parseQuantity(limit), parseQuantity(most)) > 0) {
        errors.push(invalidField(`${path}.containers[${index}][${name}].limits`, String(limit), `must be less than or equal to pod limits of ${most}`));
      }
    }
  });
  return errors;
}
