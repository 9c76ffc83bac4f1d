// Devices of a ResourceSlice: attributes, capacities with their request policies, taints, counters, places.
// Upstream: pkg/apis/resource/validation.
import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import { addQuantities, compareQuantities, formatQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateNodeSelector } from '../core/pod-scheduling-validation.ts';
import { asObject, duplicate, entries, forbiddenField, invalidAll, invalidField, items, objects, required, same, text, tooLong, tooMany } from '../values.ts';
import type { Obj } from '../values.ts';
import { attributeKeyBytes, validateAttributeName, validateBindingConditions, validateList, validateMap, validateTaint } from './names.ts';

const most = { attributesAndCapacities: 32, taints: 16, consumedSets: 2, counters: 32, options: 10, valueBytes: 64 } as const;

export function validateDevice(device: Obj, old: Obj | undefined, perDevice: boolean, path: string): FieldError[] {
  const name = text(device['name']);
  const errors = invalidAll(`${path}.name`, name, dns1123LabelErrors(name));
  const count = entries(device['attributes']).length + entries(device['capacity']).length;
  if (count > most.attributesAndCapacities) errors.push(invalidField(path, count, `the total number of attributes and capacities must not exceed ${most.attributesAndCapacities}`));
  const shape = { most: Infinity, keyBytes: attributeKeyBytes };
  const validateCapacity = device['allowMultipleAllocations'] === true ? validateSharedCapacity : validateWholeCapacity;
  errors.push(
    ...validateMap(device['attributes'], { ...shape, path: `${path}.attributes` }, validateAttributeName, validateAttribute),
    ...validateMap(device['capacity'], { ...shape, path: `${path}.capacity` }, validateAttributeName, validateCapacity),
  );
  if (!old || !same(old['taints'], device['taints'])) errors.push(...validateList(objects(device['taints']), most.taints, `${path}.taints`, (taint, at) => validateTaint(taint, at)));
  errors.push(...validateList(objects(device['consumesCounters']), most.consumedSets, `${path}.consumesCounters`, (one, at) => validateCounters(one, 'counterSet', at), (one) => text(one['counterSet'])));
  return [...errors, ...validatePlace(device, perDevice, path), ...validateBindingConditions(device, path)];
}

/** A named set of counters; `nameField` is what its name is called. */
export function validateCounters(set: Obj, nameField: 'name' | 'counterSet', path: string): FieldError[] {
  const name = text(set[nameField]);
  const errors = name === '' ? [required(`${path}.${nameField}`)] : invalidAll(`${path}.${nameField}`, name, dns1123LabelErrors(name));
  if (entries(set['counters']).length === 0) return [...errors, required(`${path}.counters`)];
  return [...errors, ...validateMap(set['counters'], { most: most.counters, keyBytes: 63, path: `${path}.counters` }, (key, at) => invalidAll(at, key, dns1123LabelErrors(key)), () => [])];
}

/** Where one device is, when the slice leaves that to its devices. */
function validatePlace(device: Obj, perDevice: boolean, path: string): FieldError[] {
  const { nodeName, allNodes } = device;
  const selector = asObject(device['nodeSelector']);
  if (!perDevice) {
    if (nodeName === undefined && !selector && allNodes === undefined) return [];
    return [invalidField(path, null, '`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec')];
  }
  const ways: string[] = [];
  const errors: FieldError[] = [];
  if (nodeName === '') errors.push(invalidField(`${path}.nodeName`, nodeName, 'must not be empty'));
  else if (nodeName !== undefined) {
    ways.push('`nodeName`');
    errors.push(...invalidAll(`${path}.nodeName`, nodeName, dns1123SubdomainErrors(text(nodeName))));
  }
  if (selector) {
    ways.push('`nodeSelector`');
    errors.push(...validateNodeSelector(selector, `${path}.nodeSelector`));
  }
  if (allNodes === true) ways.push('`allNodes`');
  else if (allNodes !== undefined) errors.push(invalidField(`${path}.allNodes`, allNodes, 'must be either unset or set to true'));
  const one = 'exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec';
  if (ways.length === 0) errors.push(required(path, one));
  if (ways.length > 1) errors.push(invalidField(path, `{${ways.join(', ')}}`, one));
  return errors;
}

/** Semantic versions. */
const semver = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/;

function validateAttribute(value: unknown, path: string): FieldError[] {
  const attribute = asObject(value) ?? {};
  const { string, version } = attribute;
  const errors: FieldError[] = [];
  if (string !== undefined && Buffer.byteLength(text(string)) > most.valueBytes) errors.push(tooLong(`${path}.string`, most.valueBytes));
  if (version !== undefined) {
    if (!semver.test(text(version))) errors.push(invalidField(`${path}.version`, version, 'must be a string compatible with semver.org spec 2.0.0'));
    if (Buffer.byteLength(text(version)) > most.valueBytes) errors.push(tooLong(`${path}.version`, most.valueBytes));
  }
  const set = ['bool', 'int', 'string', 'version'].filter((field) => attribute[field] !== undefined);
  if (set.length !== 1) errors.push(invalidField(path, set.length === 0 ? '' : attribute, 'exactly one value must be specified'));
  return errors;
}

function validateWholeCapacity(value: unknown, path: string): FieldError[] {
  return asObject(value)?.['requestPolicy'] === undefined ? [] : [forbiddenField(`${path}.requestPolicy`, 'allowMultipleAllocations must be true')];
}
function validateSharedCapacity(value: unknown, path: string): FieldError[] {
  const capacity = asObject(value) ?? {};
  const policy = asObject(capacity['requestPolicy']);
  if (!policy) return [];
  const here = `${path}.requestPolicy`;
  const values = items(policy['validValues']).map(read);
  const range = asObject(policy['validRange']);
  if (values.length > 0 && range) return [forbiddenField(here, 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time')];
  if (values.length === 0 && !range) return [];
  const kind = range ? 'validRange' : 'validValues';
  if (policy['default'] === undefined) return [required(`${here}.default`, `required when ${kind} is defined`)];
  const [usual, largest] = [read(policy['default']), read(capacity['value'])];
  return range ? validateRange(usual, largest, range, `${here}.${kind}`) : validateValues(usual, largest, values, `${here}.${kind}`);
}

const read = (value: unknown): Quantity => parseQuantity(typeof value === 'number' ? value : text(value) || '0');

function validateValues(usual: Quantity, largest: Quantity, values: readonly Quantity[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  values.forEach((value, index) => {
    const before = values[index - 1];
    if (before && compareQuantities(before, value) > 0) errors.push(invalidField(`${path}[${index}]`, formatQuantity(value), 'values must be sorted in ascending order'));
  });
  if (values.length > most.options) errors.push(tooMany(path, values.length, most.options));
  else {
    values.forEach((value, index) => {
      if (compareQuantities(value, largest) > 0) errors.push(invalidField(`${path}[${index}]`, formatQuantity(value), `option is larger than capacity value: ${formatQuantity(largest)}`));
    });
    const seen = new Set<bigint>();
    values.forEach((value, index) => {
      const whole = wholes(value);
      if (seen.has(whole)) errors.push(duplicate(`${path}[${index}]`, String(whole)));
      seen.add(whole);
    });
  }
  const found = values.length <= most.options && values.some((value) => compareQuantities(value, usual) === 0);
  return found ? errors : [...errors, invalidField(path, formatQuantity(usual), 'default value is not valid according to the requestPolicy')];
}

/** Rounded up, as upstream's Value(). */
function wholes({ nanos }: Quantity): bigint {
  const unit = 1_000_000_000n;
  const whole = nanos / unit;
  return nanos > 0n && nanos % unit !== 0n ? whole + 1n : nanos < 0n && nanos % unit !== 0n ? whole - 1n : whole;
}

function validateRange(usual: Quantity, largest: Quantity, range: Obj, path: string): FieldError[] {
  if (range['min'] === undefined) return [required(`${path}.min`, 'required when validRange is defined')];
  const min = read(range['min']);
  const max = range['max'] === undefined ? undefined : read(range['max']);
  const errors: FieldError[] = [];
  if (compareQuantities(min, largest) > 0) errors.push(invalidField(`${path}.min`, formatQuantity(min), `min is larger than capacity value: ${formatQuantity(largest)}`));
  if (compareQuantities(usual, min) < 0) errors.push(invalidField(`${path}.min`, formatQuantity(usual), `default is less than min: ${formatQuantity(min)}`));
  if (max) {
    if (compareQuantities(min, max) > 0) errors.push(invalidField(`${path}.max`, formatQuantity(min), `min is larger than max: ${formatQuantity(max)}`));
    if (compareQuantities(max, largest) > 0) errors.push(invalidField(`${path}.max`, formatQuantity(max), `max is larger than capacity value: ${formatQuantity(largest)}`));
    if (compareQuantities(usual, max) > 0) errors.push(invalidField(`${path}.max`, formatQuantity(usual), `default is more than max: ${formatQuantity(max)}`));
  }
  if (range['step'] === undefined) return errors;
  const step = read(range['step']);
  const next = addQuantities(min, step);
  if (compareQuantities(next, largest) > 0) errors.push(invalidField(`${path}.step`, formatQuantity(step), `one step ${formatQuantity(next)} is larger than capacity value: ${formatQuantity(largest)}`));
  for (const value of max ? [usual, max] : [usual]) {
    // No step at all would be a division by zero, which upstream dies of.
    if (wholes(step) !== 0n && (wholes(value) - wholes(min)) % wholes(step) === 0n) continue;
    errors.push(invalidField(`${path}.step`, formatQuantity(value), `value is not a multiple of a given step (${formatQuantity(step)}) from (${formatQuantity(min)})`));
  }
  return errors;
}
