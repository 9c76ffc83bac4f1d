// Endpoints: addresses of a Service, the old form beside EndpointSlices.
import { dns1123LabelErrors, dns1123SubdomainErrors, ipErrors, nonSpecialIpErrors, portNumberErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { integer, invalidAll, objects, oneOf, required, setEmpty, text } from '../values.ts';
import type { Obj } from '../values.ts';

export const protocols = ['SCTP', 'TCP', 'UDP'] as const;

function validateAddress(address: Obj, path: string): FieldError[] {
  const ip = text(address['ip']);
  const wrong = ipErrors(ip);
  const errors = invalidAll(`${path}.ip`, ip, wrong.length > 0 ? wrong : nonSpecialIpErrors(ip));
  const hostname = text(address['hostname']);
  if (hostname !== '') errors.push(...invalidAll(`${path}.hostname`, hostname, dns1123LabelErrors(hostname)));
  if (address['nodeName'] !== undefined) errors.push(...invalidAll(`${path}.nodeName`, address['nodeName'], dns1123SubdomainErrors(text(address['nodeName']))));
  return errors;
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

export const endpointsStrategy: Strategy = {
  ...basicStrategy({ createOnUpdate: true }),
  default(object) {
    for (const subset of objects(object['subsets'])) for (const port of objects(subset['ports'])) setEmpty(port, 'protocol', 'TCP');
  },
  validate: (object) => objects(object['subsets']).flatMap((subset, index) => {
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
  }),
};
