// The status of a ResourceClaim: who uses it, which devices it got, and what their drivers say of them.
// Upstream: pkg/apis/resource/validation.
import { dns1123LabelErrors, ipFamily } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateNodeSelector } from '../core/pod-scheduling-validation.ts';
import { validateConditions, validateDriverName } from '../formats.ts';
import { asObject, at, forbiddenField, invalidAll, invalidField, objects, oneOf, required, strings, text, tooLong, tooMany, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { defaultTolerations, requestNames, validateConfiguration, validateRaw, validateReference, validateReferences } from './device-claim.ts';
import { duplicates, validateBindingConditions, validateList, validatePoolName } from './names.ts';

const deviceId = (device: Obj): string => ['driver', 'pool', 'device', 'shareID'].map((field) => text(device[field])).filter((part, index) => index < 3 || part !== '').join('/');

/** As upstream prints one. */
const shownId = (device: Obj): Obj => ({ Driver: text(device['driver']), Pool: text(device['pool']), Device: text(device['device']), ShareID: text(device['shareID']) });

export function defaultClaimStatus(status: unknown): void {
  for (const result of objects(at(status, 'allocation', 'devices', 'results'))) defaultTolerations(result);
}

/** What drivers say of devices that this very write gives back goes with them. */
export function dropStatusOfFreedDevices(object: KubeObject, old: Readonly<KubeObject>): void {
  const status = asObject(object['status']);
  if (!status || status['devices'] === undefined) return;
  const allocatedOf = (claim: Readonly<KubeObject>): string[] => objects(at(claim, 'status', 'allocation', 'devices', 'results')).map(deviceId);
  const still = new Set(allocatedOf(object));
  const freed = new Set(allocatedOf(old).filter((id) => !still.has(id)));
  const devices = objects(status['devices']).filter((device) => !freed.has(deviceId(device)));
  if (devices.length > 0) status['devices'] = devices;
  else delete status['devices'];
}

export function validateClaimStatus(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const status = asObject(object['status']) ?? {};
  const allocation = asObject(status['allocation']);
  const before = asObject(at(old, 'status', 'allocation'));
  const names = requestNames(asObject(at(object, 'spec', 'devices')) ?? {});
  const allocated = new Set(objects(at(allocation, 'devices', 'results')).map(deviceId));
  const [users, devices] = [objects(status['reservedFor']), objects(status['devices'])];
  const errors = [
    ...validateList(users, 256, 'status.reservedFor', validateUser, (user) => text(user['uid'])),
    ...validateList(devices, Infinity, 'status.devices', (device, path) => validateDeviceStatus(device, allocated, path)),
    ...duplicates(devices.map(deviceId), 'status.devices', devices.map(shownId)),
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
      ...validateBindingConditions(result, here), ...validateShare(result, here),
    ]),
    ...validateList(objects(devices['config']), 64, `${path}.devices.config`, (config, here) => [
      ...(text(config['source']) === '' ? [required(`${here}.source`)] : oneOf(`${here}.source`, config['source'], ['FromClaim', 'FromClass'])),
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

/** A share of a device that several claims use: a UUID as Go's parser takes it, then in its normal form. */
function validateShare(device: Obj, path: string): FieldError[] {
  const id = device['shareID'];
  if (id === undefined) return [];
  const here = `${path}.shareID`;
  const problem = uuidProblem(text(id));
  if (problem !== undefined) return [invalidField(here, id, `error validating uid: ${problem}`)];
  if (Buffer.byteLength(text(id)) === 36 && text(id) === text(id).toLowerCase()) return [];
  return [invalidField(here, id, 'uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters')];
}
function uuidProblem(id: string): string | undefined {
  const bytes = Buffer.byteLength(id);
  if (![32, 36, 38, 45].includes(bytes)) return `invalid UUID length: ${bytes}`;
  if (bytes === 45 && id.slice(0, 9).toLowerCase() !== 'urn:uuid:') return `invalid urn prefix: ${JSON.stringify(id.slice(0, 9))}`;
  if (bytes === 38 && !(id.startsWith('{') && id.endsWith('}'))) return 'invalid bracketed UUID format';
  const rest = bytes === 45 ? id.slice(9) : bytes === 38 ? id.slice(1, -1) : id;
  const shape = bytes === 32 ? /^[0-9a-fA-F]{32}$/ : /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;
  return shape.test(rest) ? undefined : 'invalid UUID format';
}

function validateDeviceStatus(device: Obj, allocated: ReadonlySet<string>, path: string): FieldError[] {
  const { data, conditions } = device;
  const errors = [...validatePlace(device, path), ...validateShare(device, path)];
  if (!allocated.has(deviceId(device))) errors.push(invalidField(path, shownId(device), 'must be an allocated device in the claim'));
  if (objects(conditions).length > 8) errors.push(tooMany(`${path}.conditions`, objects(conditions).length, 8));
  errors.push(...validateConditions(conditions, `${path}.conditions`));
  if (data !== undefined) errors.push(...validateRaw(data, `${path}.data`));
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
