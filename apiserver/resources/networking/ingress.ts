// Ingresses. Upstream: pkg/apis/networking/validation.
import { dns1123LabelErrors, dns1123SubdomainErrors, ipErrors, ipFamily, portNameErrors, portNumberErrors, wildcardDns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { validatePathSegment } from '../formats.ts';
import { asObject, at, integer, invalidAll, invalidField, need, notSupported, objects, required, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';

const classAnnotation = 'kubernetes.io/ingress.class';

export const ingressStrategy = kindStrategy({ status: true, generation: 'spec', initialStatus: () => ({ loadBalancer: {} }) }, {
  default(object) {
    setMissing(object, 'spec', {});
    setMissing(need(object, 'status'), 'loadBalancer', {});
  },
  validate(object, _, old) {
    const spec = asObject(object['spec']) ?? {};
    const errors = validateSpec(spec, asObject(old?.['spec']));
    const annotation = object.metadata?.annotations?.[classAnnotation];
    const className = spec['ingressClassName'];
    if (!old && annotation !== undefined && className !== undefined && annotation !== className) {
      errors.push(invalidField(`annotations.${classAnnotation}`, annotation, 'must match `ingressClassName` when both are specified'));
    }
    return errors;
  },
  status: { validateUpdate: validateStatus },
  warnings(object, old) {
    const annotated = (one: Readonly<KubeObject> | undefined): boolean => one?.metadata?.annotations?.[classAnnotation] !== undefined;
    return annotated(object) && !annotated(old) ? [`annotation ${JSON.stringify(classAnnotation)} is deprecated, please use 'spec.ingressClassName' instead`] : [];
  },
});

function validateSpec(spec: Obj, old: Obj | undefined): FieldError[] {
  const rules = objects(spec['rules']);
  const backend = asObject(spec['defaultBackend']);
  const errors: FieldError[] = [];
  if (rules.length === 0 && !backend) errors.push(invalidField('spec', spec['rules'] ?? null, 'either `defaultBackend` or `rules` must be specified'));
  if (backend) errors.push(...validateBackend(backend, 'spec.defaultBackend'));
  // Rules for wildcard hosts were not checked once; who has bad ones keeps them.
  const spareWildcards = objects(old?.['rules']).some((rule) => text(rule['host']).includes('*') && validateRule(rule, '').length > 0);
  rules.forEach((rule, index) => {
    const host = text(rule['host']);
    const path = `spec.rules[${index}]`;
    if (host !== '') errors.push(...validateHost(host, `${path}.host`));
    if (!host.includes('*') || !spareWildcards) errors.push(...validateRule(rule, path));
  });
  const spareSecrets = objects(old?.['tls']).some((tls) => secretErrors(tls).length > 0);
  objects(spec['tls']).forEach((tls, index) => {
    const path = `spec.tls[${index}]`;
    strings(tls['hosts']).forEach((host, at) => errors.push(...invalidAll(`${path}.hosts[${at}]`, host, host.includes('*') ? wildcardDns1123SubdomainErrors(host) : dns1123SubdomainErrors(host))));
    if (!spareSecrets) errors.push(...invalidAll(`${path}.secretName`, tls['secretName'], secretErrors(tls)));
  });
  const className = spec['ingressClassName'];
  if (className !== undefined) errors.push(...invalidAll('spec.ingressClassName', className, dns1123SubdomainErrors(text(className))));
  return errors;
}
function secretErrors(tls: Obj): string[] {
  const name = text(tls['secretName']);
  return name === '' ? [] : dns1123SubdomainErrors(name);
}
function validateHost(host: string, path: string): FieldError[] {
  const errors = isAddress(host) ? [invalidField(path, host, 'must be a DNS name, not an IP address')] : [];
  return [...errors, ...invalidAll(path, host, host.includes('*') ? wildcardDns1123SubdomainErrors(host) : dns1123SubdomainErrors(host))];
}
function isAddress(host: string): boolean {
  return ipFamily(host) !== undefined;
}

function validateRule(rule: Obj, path: string): FieldError[] {
  const http = asObject(rule['http']);
  if (!http) return [];
  const paths = objects(http['paths']);
  if (paths.length === 0) return [required(`${path}.http.paths`)];
  return paths.flatMap((one, index) => validatePath(one, `${path}.http.paths[${index}]`));
}

function validatePath(rule: Obj, path: string): FieldError[] {
  const type = rule['pathType'];
  const value = text(rule['path']);
  if (type === undefined) return [required(`${path}.pathType`, 'pathType must be specified')];
  const errors: FieldError[] = [];
  const here = `${path}.path`;
  switch (type) {
    case 'Exact': case 'Prefix':
      if (!value.startsWith('/')) errors.push(invalidField(here, value, 'must be an absolute path'));
      for (const part of ['//', '/./', '/../', '%2f', '%2F']) if (value.includes(part)) errors.push(invalidField(here, value, `must not contain '${part}'`));
      for (const end of ['/..', '/.']) if (value.endsWith(end)) errors.push(invalidField(here, value, `cannot end with '${end}'`));
      break;
    case 'ImplementationSpecific':
      if (value !== '' && !value.startsWith('/')) errors.push(invalidField(here, value, 'must be an absolute path'));
      break;
    default: errors.push(notSupported(`${path}.pathType`, type, ['Exact', 'ImplementationSpecific', 'Prefix']));
  }
  return [...errors, ...validateBackend(asObject(rule['backend']) ?? {}, `${path}.backend`)];
}

function validateBackend(backend: Obj, path: string): FieldError[] {
  const [resource, service] = [asObject(backend['resource']), asObject(backend['service'])];
  if (resource && service) return [invalidField(path, '', 'cannot set both resource and service backends')];
  if (resource) return validateReference(resource, `${path}.resource`);
  if (!service) return [invalidField(path, '', 'resource or service backend is required')];
  const name = text(service['name']);
  const [portName, port] = [text(at(service, 'port', 'name')), integer(at(service, 'port', 'number')) ?? 0];
  const errors = name === '' ? [required(`${path}.service.name`)] : invalidAll(`${path}.service.name`, name, dns1123LabelErrors(name));
  if (portName !== '' && port !== 0) errors.push(invalidField(path, '', 'cannot set both port name & port number'));
  else if (portName !== '') errors.push(...invalidAll(`${path}.service.port.name`, portName, portNameErrors(portName)));
  else if (port !== 0) errors.push(...invalidAll(`${path}.service.port.number`, port, portNumberErrors(port)));
  else errors.push(required(path, 'port name or number is required'));
  return errors;
}

/** Also for the parameters of classes. */
export function validateReference(reference: Obj, path: string): FieldError[] {
  const group = reference['apiGroup'];
  return [
    ...(group === undefined ? [] : invalidAll(`${path}.apiGroup`, group, dns1123SubdomainErrors(text(group)))),
    ...validatePathSegment(`${path}.kind`, reference['kind']),
    ...validatePathSegment(`${path}.name`, reference['name']),
  ];
}

function validateStatus(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const known = new Set(objects(at(old, 'status', 'loadBalancer', 'ingress')).map((point) => text(point['ip'])));
  return objects(at(object, 'status', 'loadBalancer', 'ingress')).flatMap((point, index) => {
    const path = `status.loadBalancer.ingress[${index}]`;
    const [ip, host] = [text(point['ip']), text(point['hostname'])];
    const errors = ip === '' || known.has(ip) ? [] : invalidAll(`${path}.ip`, ip, ipErrors(ip));
    if (host !== '') {
      errors.push(...invalidAll(`${path}.hostname`, host, dns1123SubdomainErrors(host)));
      if (isAddress(host)) errors.push(invalidField(`${path}.hostname`, host, 'must be a DNS name, not an IP address'));
    }
    return errors;
  });
}
