// ResourceSlices: the devices of a pool, or the counters that they share. Upstream: pkg/registry/resource/resourceslice and
// pkg/apis/resource/validation.
import { rfc3339 } from '#machinery/base/clock.ts';
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import { canonicalQuantity } from '#machinery/api/quantity.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { validateNodeSelector } from '../core/pod-scheduling-validation.ts';
import { validateDriverName } from '../formats.ts';
import { asObject, at, entries, integer, invalidAll, invalidField, isObject, objects, required, setMissing, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateCounters, validateDevice } from './devices.ts';
import { validateList, validatePoolName } from './names.ts';

const most = { devices: 128, devicesWithMore: 64, counterSets: 8 } as const;

export const resourceSliceStrategy = kindStrategy({ generation: 'spec' }, {
  default(object) {
    defaultSlice(object['spec'], (device) => device);
  },
  prepareForCreate: dropDisabled,
  prepareForUpdate: dropDisabled,
  validate(object, _, old) {
    const spec = asObject(object['spec']) ?? {};
    const devices = objects(spec['devices']);
    const before = new Map(objects(at(old, 'spec', 'devices')).map((device) => [device['name'], device]));
    const more = devices.some((device) => objects(device['taints']).length > 0 || objects(device['consumesCounters']).length > 0);
    return [
      ...validateDriverName('spec.driver', text(spec['driver'])),
      ...validatePool(asObject(spec['pool']) ?? {}),
      ...(old ? [['pool', 'name'], ['driver'], ['nodeName']].flatMap((path) => unchanged(`spec.${path.join('.')}`, at(spec, ...path), at(old, 'spec', ...path))) : []),
      ...validatePlace(spec),
      ...(spec['sharedCounters'] !== undefined && spec['devices'] !== undefined ? [invalidField('spec', '', 'only one of `sharedCounters` or `devices` is allowed')] : []),
      ...validateList(devices, more ? most.devicesWithMore : most.devices, 'spec.devices',
        (device, path) => validateDevice(device, before.get(device['name']), spec['perDeviceNodeSelection'] === true, path), (device) => text(device['name'])),
      ...validateList(objects(spec['sharedCounters']), most.counterSets, 'spec.sharedCounters', (set, path) => validateCounters(set, 'name', path), (set) => text(set['name'])),
    ];
  },
  warnings(object) {
    const driver = text(at(object, 'spec', 'driver'));
    return driver === driver.toLowerCase() ? [] : [`spec.driver: driver names should be lowercase; ${JSON.stringify(driver)} contains uppercase characters`];
  },
  fieldLabels: { 'spec.driver': (object) => text(at(object, 'spec', 'driver')), 'spec.nodeName': (object) => text(at(object, 'spec', 'nodeName')) },
  fieldLabelError: (label) => `field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: ${label}`,
});

/** `fieldsOf`: where a device holds its fields. */
export function defaultSlice(spec: unknown, fieldsOf: (device: Obj) => Obj | undefined): void {
  for (const set of objects(at(spec, 'sharedCounters'))) canonicalValues(set['counters']);
  for (const device of objects(at(spec, 'devices'))) {
    const fields = fieldsOf(device);
    if (fields) defaultDevice(fields);
  }
}
function defaultDevice(device: Obj): void {
  for (const taint of objects(device['taints'])) setMissing(taint, 'timeAdded', rfc3339(Date.now()));
  for (const consumed of objects(device['consumesCounters'])) canonicalValues(consumed['counters']);
  for (const [, capacity] of entries(device['capacity'])) {
    canonicalValue(capacity);
    const policy = at(capacity, 'requestPolicy');
    canonical(policy, 'default');
    for (const field of ['min', 'max', 'step']) canonical(at(policy, 'validRange'), field);
    const values = at(policy, 'validValues');
    if (Array.isArray(values)) values.forEach((value: unknown, index) => { values[index] = typeof value === 'string' || typeof value === 'number' ? canonicalQuantity(value) : value; });
  }
}
function canonicalValues(counters: unknown): void {
  for (const [, counter] of entries(counters)) canonicalValue(counter);
}
/** A quantity that is always written. */
function canonicalValue(owner: unknown): void {
  if (isObject(owner)) setMissing(owner, 'value', '0');
  canonical(owner, 'value');
}
function canonical(owner: unknown, field: string): void {
  if (!isObject(owner)) return;
  const value = owner[field];
  if (typeof value === 'string' || typeof value === 'number') owner[field] = canonicalQuantity(value);
}

/** Lists as attributes and shares of a node's resources are features that are off (DRAListTypeAttributes, DRANodeAllocatableResources). */
function dropDisabled(object: KubeObject): void {
  for (const device of objects(at(object, 'spec', 'devices'))) {
    delete device['nodeAllocatableResourceMappings'];
    for (const [, attribute] of entries(device['attributes'])) {
      if (isObject(attribute)) for (const field of ['bools', 'ints', 'strings', 'versions']) delete attribute[field];
    }
  }
}

function validatePool(pool: Obj): FieldError[] {
  const [count, generation] = [integer(pool['resourceSliceCount']) ?? 0, integer(pool['generation']) ?? 0];
  const errors = validatePoolName(text(pool['name']), 'spec.pool.name');
  if (count <= 0) errors.push(invalidField('spec.pool.resourceSliceCount', count, 'must be greater than zero'));
  if (generation < 0) errors.push(invalidField('spec.pool.generation', generation, 'must be greater than or equal to zero'));
  return errors;
}

/** Where the devices are, said in exactly one way. */
function validatePlace(spec: Obj): FieldError[] {
  const ways: string[] = [];
  const errors: FieldError[] = [];
  const node = spec['nodeName'];
  if (node === '') errors.push(invalidField('spec.nodeName', node, 'must be either unset or set to a non-empty string'));
  else if (node !== undefined) {
    ways.push('`nodeName`');
    errors.push(...invalidAll('spec.nodeName', node, dns1123SubdomainErrors(text(node))));
  }
  const selector = asObject(spec['nodeSelector']);
  if (selector) {
    ways.push('`nodeSelector`');
    errors.push(...validateNodeSelector(selector, 'spec.nodeSelector'));
    if (objects(selector['nodeSelectorTerms']).length !== 1) errors.push(invalidField('spec.nodeSelector.nodeSelectorTerms', selector['nodeSelectorTerms'] ?? null, 'must have exactly one node selector term'));
  }
  for (const field of ['allNodes', 'perDeviceNodeSelection']) {
    if (spec[field] === true) ways.push(`\`${field}\``);
    else if (spec[field] === false) errors.push(invalidField(`spec.${field}`, false, 'must be either unset or set to true'));
  }
  const one = 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required';
  if (ways.length === 0) errors.push(required('spec', one));
  if (ways.length > 1) errors.push(invalidField('spec', `{${ways.join(', ')}}`, `${one}, but multiple fields are set`));
  return errors;
}
