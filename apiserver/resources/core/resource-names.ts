// Names of resources (`cpu`, `hugepages-2Mi`, `example.com/gpu`, `requests.storage`): which mean something, and where. Upstream:
// pkg/apis/core/helper/helpers.go and the name rules in pkg/apis/core/validation.
import { isExtendedResource, isNativeResource, qualifiedNameErrors } from '#machinery/api/names.ts';
import { isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { invalidAll, invalidField } from '../values.ts';

const billion = 1_000_000_000n;
const containerNames = new Set(['cpu', 'memory', 'ephemeral-storage']);
const countedNames = new Set(['pods', 'resourcequotas', 'services', 'replicationcontrollers', 'secrets', 'configmaps', 'persistentvolumeclaims', 'services.nodeports', 'services.loadbalancers']);
const quotaNames = new Set([...containerNames, ...countedNames, 'requests.cpu', 'requests.memory', 'requests.storage', 'requests.ephemeral-storage', 'limits.cpu', 'limits.memory', 'limits.ephemeral-storage']);

export const isHugePages = (name: string): boolean => name.startsWith('hugepages-');
export const isQuotaName = (name: string): boolean => quotaNames.has(name) || isHugePages(name) || name.startsWith('requests.hugepages-');
const isStandardName = (name: string): boolean => name === 'storage' || isQuotaName(name);

export const mayOvercommit = (name: string): boolean => isNativeResource(name) && !isHugePages(name);

export function validateResourceName(name: string, path: string): FieldError[] {
  const errors = invalidAll(path, name, qualifiedNameErrors(name));
  if (errors.length > 0) return errors;
  return name.includes('/') || isStandardName(name) ? [] : [invalidField(path, name, 'must be a standard resource type or fully qualified')];
}
export function validateContainerResourceName(name: string, path: string): FieldError[] {
  const errors = validateResourceName(name, path);
  if (!name.includes('/')) {
    if (!containerNames.has(name) && !isHugePages(name)) errors.push(invalidField(path, name, 'must be a standard resource for containers'));
  } else if (!isNativeResource(name) && !isExtendedResource(name)) errors.push(invalidField(path, name, "doesn't follow extended resource name standard"));
  return errors;
}
export function validateQuotaResourceName(name: string, path: string): FieldError[] {
  const errors = validateResourceName(name, path);
  return name.includes('/') || isQuotaName(name) ? errors : [...errors, invalidField(path, name, 'must be a standard resource for quota')];
}

/** Not below zero, and whole where things are counted. */
export function validateQuantityOf(name: string, value: unknown, path: string): FieldError[] {
  if (!isQuantity(value)) return [];
  const { nanos } = parseQuantity(value);
  const errors: FieldError[] = [];
  if (nanos < 0n) errors.push(invalidField(path, String(value), 'must be greater than or equal to 0'));
  if ((countedNames.has(name) || isExtendedResource(name)) && nanos % billion !== 0n) errors.push(invalidField(path, String(value), 'must be an integer'));
  return errors;
}
/** Quantities of volumes. */
export function validatePositive(value: unknown, path: string): FieldError[] {
  return isQuantity(value) && parseQuantity(value).nanos <= 0n ? [invalidField(path, String(value), 'must be greater than zero')] : [];
}
export function validateBasicQuantity(value: unknown, path: string): FieldError[] {
  if (!isQuantity(value)) return [];
  const { nanos } = parseQuantity(value);
  // Upstream shows the value rounded away from zero.
  return nanos <= -billion || (nanos < 0n && wholeUnits(nanos) < 0n) ? [invalidField(path, Number(wholeUnits(nanos)), 'must be a valid resource quantity')] : [];
}
function wholeUnits(nanos: bigint): bigint {
  const whole = nanos / billion;
  return nanos % billion === 0n ? whole : nanos < 0n ? whole - 1n : whole + 1n;
}

/** The page size that the name of a huge page resource says. */
export function pageSizeOf(name: string): bigint | undefined {
  const size = name.slice('hugepages-'.length);
  return isQuantity(size) ? parseQuantity(size).nanos : undefined;
}
