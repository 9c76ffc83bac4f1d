// Endpoints: addresses of a Service, the old form beside EndpointSlices.
import { dns1123LabelErrors, dns1123SubdomainErrors, ipErrors, ipFamily, nonSpecialIpErrors, portNumberErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { integer, invalidAll, objects, oneOf, required, same, setEmpty, text } from '../values.ts';
import type { Obj } from '../values.ts';

export const protocols = ['SCTP', 'TCP', 'UDP'] as const;

function validateAddress(address: Obj, path: string): FieldError[] {
  const ip = text(address['ip']);
  const errors = invalidAll(`${path}.ip`, ip, ipErrors(ip));
  const hostname = text(address['hostname']);
  if (hostname !== '') errors.push(...invalidAll(`${path}.hostname`, hostname, dns1123LabelErrors(hostname)));
  if (address['nodeName'] !== undefined) errors.push(...invalidAll(`${path}.nodeName`, address['nodeName'], dns1123SubdomainErrors(text(address['nodeName']))));
  return [...errors, ...invalidAll(`${path}.ip`, ip, ipFamily(ip) === undefined ? ['must be a valid IP address'] : nonSpecialIpErrors(ip))];
}

function validatePort(port: Obj, named: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = text(port['name']);
  if (named && name === '') errors.push(required(`${path}.name`));
  else if (name !== '') errors.push(...invalidAll(`${path}.name`, name, dns1123LabelErrors(name)));
  errors.push(...invalidAll(`${path}.port`, port['port'] ?? 0, portNumberErrors(integer(port['port']))));
  errors.push(...oneOf(`${path}.protocol`, port['protocol'], protocols));
  if (port['appProtocol'] !== undefined) errors.push(...invalidAll(`${path}.appProtocol`, port['appProtocol'], qualifiedNameErrors(text(port['appProtocol']))));
  return errors;
}

function validateSubsets(object: Readonly<KubeObject>): FieldError[] {
  return objects(object['subsets']).flatMap((subset, index) => {
    const path = `subsets[${index}]`;
    const ready = objects(subset['addresses']);
    const notReady = objects(subset['notReadyAddresses']);
    const ports = objects(subset['ports']);
    return [
      ...(ready.length + notReady.length === 0 ? [required(path, 'must specify `addresses` or `notReadyAddresses`')] : []),
      ...ready.flatMap((address, i) => validateAddress(address, `${path}.addresses[${i}]`)),
      ...notReady.flatMap((address, i) => validateAddress(address, `${path}.notReadyAddresses[${i}]`)),
      ...ports.flatMap((port, i) => validatePort(port, ports.length > 1, `${path}.ports[${i}]`)),
    ];
  });
}

export const endpointsStrategy: Strategy = {
  ...basicStrategy({ createOnUpdate: true }),
  default(object) {
    for (const subset of objects(object['subsets'])) for (const port of objects(subset['ports'])) setEmpty(port, 'protocol', 'TCP');
  },
  // Old objects may hold what is refused now, as long as it stays.
  validate: (object, _, old) => (old ? [] : validateSubsets(object)),
  validateUpdate: (object, old) => (same(object['subsets'], old['subsets']) ? [] : validateSubsets(object)),
};
