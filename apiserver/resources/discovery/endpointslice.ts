// EndpointSlices: up to a thousand endpoints of one address family.
import { dns1123LabelErrors, dns1123SubdomainErrors, ipErrors, ipFamily, labelValueErrors, nonSpecialIpErrors, qualifiedNameErrors, strictIpErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import { protocols } from '../core/endpoints.ts';
import type { Strategy } from '../resource.ts';
import { duplicate, invalidAll, invalidField, objects, oneOf, required, same, setMissing, strings, text, tooMany, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';

const addressTypes = ['FQDN', 'IPv4', 'IPv6'] as const;

function validateAddress(addressType: string, address: string, path: string, index: number): FieldError[] {
  const here = `${path}[${index}]`;
  switch (addressType) {
    case 'IPv4': case 'IPv6': {
      const wrong = addressType === 'IPv4' ? ipErrors(address) : strictIpErrors(address);
      if (wrong.length > 0) return invalidAll(here, address, wrong);
      const family = ipFamily(address);
      return [
        ...(family === addressType ? [] : [invalidField(path, address, addressType === 'IPv4' ? 'must be an IPv4 address' : 'must be an IPv6 address')]),
        ...invalidAll(here, address, nonSpecialIpErrors(address)),
      ];
    }
    case 'FQDN': {
      const wrong = dns1123SubdomainErrors(address);
      if (wrong.length > 0) return invalidAll(here, address, wrong);
      const labels = address.split('.');
      if (labels.length < 2) return [invalidField(here, address, 'should be a domain with at least two segments separated by dots')];
      return labels.flatMap((label) => invalidAll(here, label, dns1123LabelErrors(label)));
    }
    default: return [];
  }
}

function validateHints(hints: unknown, path: string, names: (text: string) => string[]): FieldError[] {
  const list = objects(hints);
  if (list.length > 8) return [tooMany(path, list.length, 8)];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  list.forEach((hint, index) => {
    const name = text(hint['name']);
    if (seen.has(name)) errors.push(duplicate(`${path}[${index}].name`, name));
    seen.add(name);
    errors.push(...invalidAll(`${path}[${index}].name`, name, names(name)));
  });
  return errors;
}

function validateEndpoint(endpoint: Obj, addressType: string, path: string): FieldError[] {
  const addresses = strings(endpoint['addresses']);
  const errors: FieldError[] = [];
  if (addresses.length === 0) errors.push(required(`${path}.addresses`, 'must contain at least 1 address'));
  else if (addresses.length > 100) errors.push(tooMany(`${path}.addresses`, addresses.length, 100));
  addresses.forEach((address, index) => errors.push(...validateAddress(addressType, address, `${path}.addresses`, index)));
  if (endpoint['nodeName'] !== undefined) errors.push(...invalidAll(`${path}.nodeName`, endpoint['nodeName'], dns1123SubdomainErrors(text(endpoint['nodeName']))));
  if (endpoint['hostname'] !== undefined) errors.push(...invalidAll(`${path}.hostname`, endpoint['hostname'], dns1123LabelErrors(text(endpoint['hostname']))));
  const hints = endpoint['hints'];
  if (typeof hints === 'object' && hints !== null) {
    const { forZones, forNodes } = hints as Obj;
    errors.push(...validateHints(forZones, `${path}.hints.forZones`, labelValueErrors), ...validateHints(forNodes, `${path}.hints.forNodes`, dns1123SubdomainErrors));
  }
  return errors;
}

function validatePorts(value: unknown): FieldError[] {
  const ports = objects(value);
  const errors: FieldError[] = ports.length > 20_000 ? [tooMany('ports', ports.length, 20_000)] : [];
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const path = `ports[${index}]`;
    const name = text(port['name']);
    if (name !== '') errors.push(...invalidAll(`${path}.name`, name, dns1123LabelErrors(name)));
    if (names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    errors.push(...oneOf(`${path}.protocol`, port['protocol'], protocols));
    if (port['appProtocol'] !== undefined) errors.push(...invalidAll(`${path}.appProtocol`, port['appProtocol'], qualifiedNameErrors(text(port['appProtocol']))));
  });
  return errors;
}

function dropTopology(object: KubeObject): void {
  for (const endpoint of objects(object['endpoints'])) delete endpoint['deprecatedTopology'];
}

const basic = basicStrategy({ generation: 'spec' });

export const endpointSliceStrategy: Strategy = {
  ...basic,
  default(object) {
    for (const port of objects(object['ports'])) {
      setMissing(port, 'name', '');
      setMissing(port, 'protocol', 'TCP');
    }
    // Lists without omitempty upstream.
    for (const endpoint of objects(object['endpoints'])) setMissing(endpoint, 'conditions', {});
    setMissing(object, 'endpoints', []);
    object['ports'] ??= [];
  },
  prepareForCreate(object, context) {
    basic.prepareForCreate?.(object, context);
    dropTopology(object);
  },
  prepareForUpdate(object, old) {
    if (!same(object['endpoints'], old['endpoints'])) dropTopology(object);
    if (object.metadata && !same(object.metadata.labels, old.metadata?.labels)) object.metadata.generation = (old.metadata?.generation ?? 0) + 1;
  },
  validate(object) {
    const addressType = text(object['addressType']);
    const endpoints = objects(object['endpoints']);
    return [
      ...(addressType === '' ? [required('addressType')] : oneOf('addressType', addressType, addressTypes)),
      ...(endpoints.length > 1000 ? [tooMany('endpoints', endpoints.length, 1000)] : endpoints.flatMap((endpoint, index) => validateEndpoint(endpoint, addressType, `endpoints[${index}]`))),
      ...validatePorts(object['ports']),
    ];
  },
  validateUpdate: (object, old) => unchanged('addressType', object['addressType'], old['addressType']),
};
