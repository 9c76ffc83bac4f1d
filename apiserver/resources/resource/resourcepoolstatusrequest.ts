// ResourcePoolStatusRequests: somebody asks once how full the pools of a driver are. Upstream: pkg/registry/resource/resourcepoolstatusrequest;
// its rules are declared on the type.
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { validateConditions } from '../formats.ts';
import { asObject, at, duplicate, integer, invalidAll, invalidField, objects, required, same, setMissing, text, tooLong, tooMany, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { declaredSubdomainErrors } from './names.ts';

export const poolStatusRequestStrategy = kindStrategy({ status: true, statusMayChange: [], unconditionalUpdate: false }, {
  default(object) {
    const spec = asObject(object['spec']);
    if (spec) setMissing(spec, 'limit', 100);
  },
  prepareForCreate: (object) => { delete object['status']; },
  validate: (object, _, old) => (old ? unchanged('spec', object['spec'], old['spec']) : validateSpec(asObject(object['spec']) ?? {})),
  status: {
    validateUpdate(object, old) {
      const status = asObject(object['status']);
      if (old['status'] === undefined) return status ? [...validateConditions(status['conditions'], 'status.conditions'), ...validateStatus(status)] : [];
      if (same(status, old['status'])) return [];
      return [...unchanged('status', status, old['status']), ...(status ? validateStatus(status) : [])];
    },
  },
});

function validateSpec(spec: Obj): FieldError[] {
  return [
    ...validateDeclaredDriver(text(spec['driver']), 'spec.driver'),
    ...(spec['poolName'] === undefined ? [] : validateDeclaredPool(text(spec['poolName']), 'spec.poolName')),
    ...atLeast(spec, 'limit', 1, 'spec'),
    ...((integer(spec['limit']) ?? 0) > 1000 ? [invalidField('spec.limit', spec['limit'], 'must be less than or equal to 1000')] : []),
  ];
}
function validateStatus(status: Obj): FieldError[] {
  const pools = objects(status['pools']);
  const conditions = objects(status['conditions']);
  const types = conditions.map((condition) => text(condition['type']));
  return [
    ...(status['poolCount'] === undefined ? [required('status.poolCount')] : atLeast(status, 'poolCount', 0, 'status')),
    ...(pools.length > 1000 ? [tooMany('status.pools', pools.length, 1000)] : pools.flatMap((pool, index) => validatePool(pool, `status.pools[${index}]`))),
    ...(conditions.length > 10 ? [tooMany('status.conditions', conditions.length, 10)] : types.flatMap((type, index) => (types.indexOf(type) < index ? [duplicate(`status.conditions[${index}]`, { type })] : []))),
  ];
}
function validatePool(pool: Obj, path: string): FieldError[] {
  return [
    ...validateDeclaredDriver(text(pool['driver']), `${path}.driver`),
    ...(text(pool['poolName']) === '' ? [required(`${path}.poolName`)] : validateDeclaredPool(text(pool['poolName']), `${path}.poolName`)),
    ...((integer(pool['generation']) ?? 0) === 0 ? [required(`${path}.generation`)] : atLeast(pool, 'generation', 0, path)), // a zero is not given, as upstream
    ...atLeast(pool, 'resourceSliceCount', 1, path),
    ...['totalDevices', 'allocatedDevices', 'availableDevices', 'unavailableDevices'].flatMap((field) => atLeast(pool, field, 0, path)),
    ...(Buffer.byteLength(text(pool['validationError'])) > 256 ? [tooLong(`${path}.validationError`, 256)] : []),
    ...(pool['nodeName'] === undefined ? [] : invalidAll(`${path}.nodeName`, pool['nodeName'], declaredSubdomainErrors(text(pool['nodeName'])))),
  ];
}
// Rules that are declared have words of their own for the same things.
function validateDeclaredDriver(driver: string, path: string): FieldError[] {
  if (driver === '') return [required(path)];
  const errors = Buffer.byteLength(driver) > 253 ? [invalidField(path, driver, 'must be no more than 253 bytes')] : [];
  return dns1123SubdomainErrors(driver.toLowerCase()).length === errors.length ? errors
    : [...errors, invalidField(path, driver, "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'Example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")];
}
function validateDeclaredPool(pool: string, path: string): FieldError[] {
  return [
    ...(Buffer.byteLength(pool) > 253 ? [tooLong(path, 253)] : []),
    ...pool.split('/').flatMap((part, index) => (part === '' ? [invalidField(path, pool, `segment ${index}: must not be empty`)]
      : invalidAll(path, part, declaredSubdomainErrors(part).map((error) => `segment ${index}: ${error}`)))),
  ];
}
function atLeast(owner: Obj, field: string, least: number, path: string): FieldError[] {
  const value = integer(at(owner, field));
  return value === undefined || value >= least ? [] : [invalidField(`${path}.${field}`, value, `must be greater than or equal to ${least}`)];
}
