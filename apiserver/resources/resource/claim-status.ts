// The status of a ResourceClaim: who uses it, which devices it got, and what their drivers say of them.
// Upstream: pkg/apis/resource/validation.
import { dns1123LabelErrors, dns1123SubdomainErrors, ipFamily } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateNodeSelector } from '../core/pod-scheduling-validation.ts';
import { validateConditions, validateDriverName } from '../formats.ts';
import { asObject, at, forbiddenField, invalidAll, invalidField, isObject, objects, required, strings, text, tooLong, tooMany, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { requestNames, validateConfiguration, validateList, validateReference, validateReferences } from './device-claim.ts';

const deviceId = (device: Obj): string => ['driver', 'pool', 'device', 'shareID'].map((field) => text(device[field])).filter((part, index) => index < 3 || part !== '').join('/');

export function validateClaimStatus(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const status = asObject(object['status']) ?? {};
  const allocation = asObject(status['allocation']);
  const before = asObject(at(old, 'status', 'allocation'));
  const names = requestNames(asObject(at(object, 'spec', 'devices')) ?? {});
  const allocated = new Set(objects(at(allocation, 'devices', 'results')).map(deviceId));
  const users = objects(status['reservedFor']);
  const errors = [
    ...validateList(users, 256, 'status.reservedFor', validateUser, (user) => text(user['uid'])),
    ...validateList(objects(status['devices']), Infinity, 'status.devices', (device, path) => validateDeviceStatus(device, allocated, path), deviceId),
  ];
  if (users.length > 0 && !allocation) errors.push(forbiddenField('status.reservedFor', 'may not be specified when `allocated` is not set'));
  else if (users.length > 0 && object.metadata?.deletionTimestamp !== undefined) {
    const known = new Set(objects(at(old, 'status', 'reservedFor')).map((user) => JSON.stringify(user)));
    if (users.some((user) => !known.has(JSON.stringify(user)))) errors.push(forbiddenField('status.reservedFor', 'new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set'));
  }
  if (allocation && before) errors.push(...unchanged('status.allocation', allocation, before));
  else if (allocation) errors.push(...validateAllocation(allocation, names, 'status.allocation'));
  return errors;
}

function validateUser(user: Obj, path: string): FieldError[] {
  return ['resource', 'name', 'uid'].flatMap((field) => (text(user[field]) === '' ? [required(`${path}.${field}`)] : []));
}

function validateAllocation(allocation: Obj, names: ReadonlySet<string>, path: string): FieldError[] {
  const devices = asObject(allocation['devices']) ?? {};
  const selector = asObject(allocation['nodeSelector']);
  return [
    ...validateList(objects(devices['results']), 32, `${path}.devices.results`, (result, here) => [
      ...validateReference(text(result['request']), names, `${here}.request`), ...validatePlace(result, here),
    ]),
    ...validateList(objects(devices['config']), 64, `${path}.devices.config`, (config, here) => [
      ...(['FromClass', 'FromClaim'].includes(text(config['source'])) ? [] : [text(config['source']) === '' ? required(`${here}.source`) : invalidField(`${here}.source`, config['source'], 'must be FromClass or FromClaim')]),
      ...validateReferences(config['requests'], names, `${here}.requests`), ...validateConfiguration(config, here),
    ]),
    ...(selector ? validateNodeSelector(selector, `${path}.nodeSelector`) : []),
  ];
}

function validatePlace(device: Obj, path: string): FieldError[] {
  return [
    ...validateDriverName(`${path}.driver`, text(device['driver'])),
    ...validatePoolName(text(device['pool']), `${path}.pool`),
    ...invalidAll(`${path}.device`, device['device'] ?? '', dns1123LabelErrors(text(device['device']))),
  ];
}
export function validatePoolName(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)];
  return [...(Buffer.byteLength(name) > 253 ? [tooLong(path, 253)] : []), ...name.split('/').flatMap((part) => invalidAll(path, part, dns1123SubdomainErrors(part)))];
}

function validateDeviceStatus(device: Obj, allocated: ReadonlySet<string>, path: string): FieldError[] {
  const { data, conditions } = device;
  const errors = validatePlace(device, path);
  if (!allocated.has(deviceId(device))) errors.push(invalidField(path, deviceId(device), 'must be an allocated device in the claim'));
  if (objects(conditions).length > 8) errors.push(tooMany(`${path}.conditions`, objects(conditions).length, 8));
  errors.push(...validateConditions(conditions, `${path}.conditions`));
  if (data !== undefined && !isObject(data)) errors.push(data === null ? required(`${path}.data`) : invalidField(`${path}.data`, '<value omitted>', 'must be a valid JSON object'));
  const network = asObject(device['networkData']);
  return network ? [...errors, ...validateNetwork(network, `${path}.networkData`)] : errors;
}
function validateNetwork(network: Obj, path: string): FieldError[] {
  return [
    ...(Buffer.byteLength(text(network['interfaceName'])) > 256 ? [tooLong(`${path}.interfaceName`, 256)] : []),
    ...(Buffer.byteLength(text(network['hardwareAddress'])) > 128 ? [tooLong(`${path}.hardwareAddress`, 128)] : []),
    ...validateList(strings(network['ips']), 16, `${path}.ips`, (address, here) => {
      const [ip = '', length, ...more] = address.split('/');
      const good = ipFamily(ip) !== undefined && length !== undefined && more.length === 0 && /^[0-9]{1,3}$/.test(length) && Number(length) <= (ip.includes(':') ? 128 : 32);
      return good ? [] : [invalidField(here, address, 'must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)')];
    }, (address) => address),
  ];
}
