// CSIDrivers, CSINodes and CSIStorageCapacities. Upstream: pkg/apis/storage/validation.
import { dns1123SubdomainErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import { canonicalQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { isQuantityNegative, validateDriverName } from '../formats.ts';
import { validateLabelSelector } from '../meta.ts';
import { asObject, at, duplicate, integer, invalidAll, invalidField, items, need, notNegative, objects, oneOf, required, same, setMissing, strings, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';

const noPut = { unconditionalUpdate: false } as const;

const tokenWarning = 'spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes';

export const csiDriverStrategy = kindStrategy(noPut, {
  default(object) {
    const spec = need(object, 'spec');
    setMissing(spec, 'attachRequired', true);
    for (const field of ['podInfoOnMount', 'storageCapacity', 'requiresRepublish', 'seLinuxMount']) setMissing(spec, field, false);
    setMissing(spec, 'fsGroupPolicy', 'ReadWriteOnceWithFSType');
    if (items(spec['volumeLifecycleModes']).length === 0) spec['volumeLifecycleModes'] = ['Persistent'];
  },
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const period = integer(spec['nodeAllocatableUpdatePeriodSeconds']);
    return [
      ...oneOf('spec.fsGroupPolicy', spec['fsGroupPolicy'], ['File', 'None', 'ReadWriteOnceWithFSType']),
      ...validateTokenRequests(objects(spec['tokenRequests'])),
      ...strings(spec['volumeLifecycleModes']).flatMap((mode) => oneOf('spec.volumeLifecycleModes', mode, ['Persistent', 'Ephemeral'])),
      ...(period !== undefined && period < 10 ? [invalidField('spec.nodeAllocatableUpdatePeriodSeconds', period, 'must be greater than or equal to 10 seconds')] : []),
      ...(spec['serviceAccountTokenInSecrets'] !== undefined && items(spec['tokenRequests']).length === 0
        ? [invalidField('spec.serviceAccountTokenInSecrets', spec['serviceAccountTokenInSecrets'], 'serviceAccountTokenInSecrets is set but no tokenRequests are specified')] : []),
    ];
  },
  prepareForUpdate(object, old) {
    // Counted from the first change: a new driver has none.
    if (object.metadata && !same(object['spec'], old['spec'])) object.metadata.generation = (old.metadata?.generation ?? 0) + 1;
  },
  warnings(object, old) {
    const requests = at(object, 'spec', 'tokenRequests');
    const asks = items(requests).length > 0 && at(object, 'spec', 'serviceAccountTokenInSecrets') === undefined;
    return asks && !(old && same(requests, at(old, 'spec', 'tokenRequests'))) ? [tokenWarning] : [];
  },
  validateUpdate: (object, old) => [
    // The path is misspelt upstream.
    ...unchanged('spec.attachedRequired', at(object, 'spec', 'attachRequired'), at(old, 'spec', 'attachRequired')),
    ...unchanged('spec.volumeLifecycleModes', at(object, 'spec', 'volumeLifecycleModes'), at(old, 'spec', 'volumeLifecycleModes')),
  ],
});

function validateTokenRequests(requests: readonly Obj[]): FieldError[] {
  const audiences = new Set<string>();
  return requests.flatMap((request, index) => {
    const path = `spec.tokenRequests[${index}]`;
    const audience = text(request['audience']);
    if (audiences.has(audience)) return [duplicate(`${path}.audience`, audience)];
    audiences.add(audience);
    const seconds = integer(request['expirationSeconds']);
    if (seconds === undefined) return [];
    if (seconds < 600) return [invalidField(`${path}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes')];
    return seconds > 2 ** 32 ? [invalidField(`${path}.expirationSeconds`, seconds, 'may not specify a duration larger than 2^32 seconds')] : [];
  });
}

export const csiNodeStrategy = kindStrategy(noPut, {
  validate(object) {
    const names = new Set<string>();
    return objects(at(object, 'spec', 'drivers')).flatMap((driver, index) => validateNodeDriver(driver, names, `spec.drivers[${index}]`));
  },
  validateUpdate(object, old) {
    const withoutCount = ({ allocatable: _, ...rest }: Obj): Obj => rest;
    return objects(at(old, 'spec', 'drivers')).flatMap((before) => objects(at(object, 'spec', 'drivers'))
      .filter((driver) => driver['name'] === before['name'])
      .flatMap((driver) => unchanged('spec.drivers', withoutCount(driver), withoutCount(before))));
  },
});

function validateNodeDriver(driver: Obj, names: Set<string>, path: string): FieldError[] {
  const [name, id] = [text(driver['name']), text(driver['nodeID'])];
  const errors = validateDriverName(`${path}.name`, name);
  if (id === '') errors.push(required(`${path}.nodeID`));
  if (Buffer.byteLength(id) > 256) errors.push(invalidField(`${path}.nodeID`, id, 'must be 256 characters or less'));
  errors.push(...notNegative(`${path}.allocatable.count`, at(driver, 'allocatable', 'count')));
  if (names.has(name)) errors.push(duplicate(`${path}.name`, name));
  names.add(name);
  const keys = new Set<string>();
  for (const key of strings(driver['topologyKeys'])) {
    if (key === '') errors.push(required(path));
    if (keys.has(key)) errors.push(duplicate(path, key));
    keys.add(key);
    errors.push(...invalidAll(path, key, qualifiedNameErrors(key)));
  }
  return errors;
}

export const csiStorageCapacityStrategy = kindStrategy(noPut, {
  default(object) {
    for (const field of ['capacity', 'maximumVolumeSize']) {
      const value = object[field];
      if (typeof value === 'string' || typeof value === 'number') object[field] = canonicalQuantity(value);
    }
  },
  validate(object) {
    const name = text(object['storageClassName']);
    const errors = asObject(object['nodeTopology']) ? validateLabelSelector(object['nodeTopology'], 'nodeTopology') : [];
    errors.push(...invalidAll('storageClassName', name, dns1123SubdomainErrors(name)));
    for (const field of ['capacity', 'maximumVolumeSize']) {
      if (isQuantityNegative(object[field])) errors.push(invalidField(field, object[field], 'must be greater than or equal to 0'));
    }
    return errors;
  },
  validateUpdate: (object, old) => ['nodeTopology', 'storageClassName'].flatMap((field) => unchanged(field, object[field], old[field])),
});
