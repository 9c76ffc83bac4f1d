// Services: a union told apart by spec.type, whose fields are cleared and filled as clients change it. Addresses and ports are
// taken by the allocator that is passed in. Upstream: pkg/registry/core/service/strategy.go, validateService.
import {
  cidrErrors, dns1123LabelErrors, dns1123SubdomainErrors, ipErrors, ipFamily, nonSpecialIpErrors, portNameErrors, portNumberErrors, qualifiedNameErrors,
} from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy, keepField } from '../basic.ts';
import { nameIsLabel, validateLabels } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import {
  asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isEmpty, isObject, need, notSupported, objects, oneOf, required, same, setEmpty, setMissing, strings, text,
} from '../values.ts';
import type { Obj } from '../values.ts';
import { protocols } from './endpoints.ts';

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'] as const;
const specOf = (object: Readonly<KubeObject>): Obj => asObject(object['spec']) ?? {};
const typeOf = (spec: Obj): string => text(spec['type']);
const needsNodePort = (spec: Obj): boolean => typeOf(spec) === 'NodePort' || typeOf(spec) === 'LoadBalancer';
const needsHealthCheck = (spec: Obj): boolean => typeOf(spec) === 'LoadBalancer' && spec['externalTrafficPolicy'] === 'Local';
const isExternal = (spec: Obj): boolean => needsNodePort(spec) || (typeOf(spec) === 'ClusterIP' && strings(spec['externalIPs']).length > 0);
function isHeadless(spec: Obj): boolean {
  const ips = strings(spec['clusterIPs']);
  return ips.length === 1 && ips[0] === 'None';
}

function setDefaults(object: KubeObject): void {
  const spec = need(object, 'spec');
  setEmpty(spec, 'sessionAffinity', 'None');
  if (spec['sessionAffinity'] === 'None') delete spec['sessionAffinityConfig'];
  if (spec['sessionAffinity'] === 'ClientIP') setMissing(need(need(spec, 'sessionAffinityConfig'), 'clientIP'), 'timeoutSeconds', 10_800);
  setEmpty(spec, 'type', 'ClusterIP');
  for (const port of objects(spec['ports'])) {
    setEmpty(port, 'protocol', 'TCP');
    setEmpty(port, 'targetPort', port['port'] ?? 0);
  }
  const type = typeOf(spec);
  if (isExternal(spec)) setEmpty(spec, 'externalTrafficPolicy', 'Cluster');
  if (type === 'ClusterIP' || type === 'NodePort' || type === 'LoadBalancer') setMissing(spec, 'internalTrafficPolicy', 'Cluster');
  // Upstream stores one for ExternalName, and never shows it.
  else if (type === 'ExternalName') delete spec['internalTrafficPolicy'];
  if (type === 'LoadBalancer') {
    setMissing(spec, 'allocateLoadBalancerNodePorts', true);
    for (const ingress of objects(at(object, 'status', 'loadBalancer', 'ingress'))) if (text(ingress['ip']) !== '') setMissing(ingress, 'ipMode', 'VIP');
  }
  setMissing(need(object, 'status'), 'loadBalancer', {});
}

/** What the new type has no use for goes, where the client left it as it was; what the client changed is left to validation. */
function dropWhatTypeDoesNotNeed(spec: Obj, old: Obj): void {
  const kept = (...fields: string[]): boolean => fields.every((field) => same(spec[field], old[field]));
  if (typeOf(old) !== 'ExternalName' && typeOf(spec) === 'ExternalName') {
    if (kept('clusterIP', 'clusterIPs')) {
      delete spec['clusterIP'];
      delete spec['clusterIPs'];
    }
    for (const field of ['ipFamilies', 'ipFamilyPolicy']) if (kept(field)) delete spec[field];
  }
  if (needsNodePort(old) && !needsNodePort(spec)) {
    const before = new Set(objects(old['ports']).map((port) => port['nodePort']));
    const ports = objects(spec['ports']);
    if (ports.every((port) => isEmpty(port['nodePort']) || before.has(port['nodePort']))) for (const port of ports) delete port['nodePort'];
  }
  if (needsHealthCheck(old) && !needsHealthCheck(spec) && kept('healthCheckNodePort')) delete spec['healthCheckNodePort'];
  if (typeOf(old) === 'LoadBalancer' && typeOf(spec) !== 'LoadBalancer') {
    for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass']) if (kept(field)) delete spec[field];
  }
  if (isExternal(old) && !isExternal(spec) && kept('externalTrafficPolicy')) delete spec['externalTrafficPolicy'];
}

function validatePort(port: Obj, named: boolean, names: Set<string>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = text(port['name']);
  if (named && name === '') errors.push(required(`${path}.name`));
  else if (name !== '') {
    errors.push(...invalidAll(`${path}.name`, name, dns1123LabelErrors(name)));
    if (names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
  }
  errors.push(...invalidAll(`${path}.port`, port['port'] ?? 0, portNumberErrors(integer(port['port']))));
  errors.push(...oneOf(`${path}.protocol`, port['protocol'], protocols));
  errors.push(...validatePortNumberOrName(port['targetPort'], `${path}.targetPort`));
  if (port['appProtocol'] !== undefined) errors.push(...invalidAll(`${path}.appProtocol`, port['appProtocol'], qualifiedNameErrors(text(port['appProtocol']))));
  return errors;
}
export function validatePortNumberOrName(port: unknown, path: string): FieldError[] {
  return typeof port === 'string' ? invalidAll(path, port, portNameErrors(port)) : invalidAll(path, port ?? 0, portNumberErrors(integer(port)));
}

function validateClusterIps(spec: Obj): FieldError[] {
  if (typeOf(spec) === 'ExternalName') return [];
  const errors: FieldError[] = [];
  const path = 'spec.clusterIPs';
  const ip = text(spec['clusterIP']);
  const ips = strings(spec['clusterIPs']);
  if (ip !== '' && ips.length === 0) errors.push(required(path));
  else if (ip !== '' && ips[0] !== ip) errors.push(invalidField(path, ips, 'first value must match `clusterIP`'));
  else if (ip === '' && ips.length > 0) errors.push(invalidField(path, ips, 'must be empty when `clusterIP` is not specified'));
  const families = strings(spec['ipFamilies']);
  families.forEach((family, index) => {
    errors.push(...oneOf(`spec.ipFamilies[${index}]`, family, ['IPv4', 'IPv6']));
    if (families.indexOf(family) < index) errors.push(duplicate(`spec.ipFamilies[${index}]`, family));
  });
  if (spec['ipFamilyPolicy'] !== undefined) errors.push(...oneOf('spec.ipFamilyPolicy', spec['ipFamilyPolicy'], ['PreferDualStack', 'RequireDualStack', 'SingleStack']));
  let broken = false;
  ips.forEach((one, index) => {
    let wrong: FieldError[] = [];
    if (index === 0 && one === 'None') {
      if (ips.length > 1) wrong = [invalidField(path, ips, "'None' must be the first and only value")];
    } else wrong = invalidAll(`${path}[${index}]`, one, ipErrors(one));
    broken ||= wrong.length > 0;
    errors.push(...wrong);
  });
  if (ips.length > 2) errors.push(invalidField(path, ips, 'may only hold up to 2 values'));
  if (broken) return errors;
  if (ips.length > 1 && new Set(ips.map(ipFamily)).size !== ips.length) errors.push(invalidField(path, ips, 'may specify no more than one IP for each IP family'));
  if (!isHeadless(spec)) {
    ips.forEach((one, index) => {
      const family = families[index];
      if ((family === 'IPv4' || family === 'IPv6') && ipFamily(one) !== family) {
        errors.push(invalidField(`${path}[${index}]`, one, `expected an ${family} value as indicated by \`ipFamilies[${index}]\``));
      }
    });
  }
  return errors;
}

function validateType(spec: Obj): FieldError[] {
  const errors: FieldError[] = [];
  const type = typeOf(spec);
  if (objects(spec['ports']).length === 0 && !isHeadless(spec) && type !== 'ExternalName') errors.push(required('spec.ports'));
  if (isHeadless(spec) && needsNodePort(spec)) errors.push(invalidField('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`));
  if (type !== 'ExternalName') return errors;
  for (const field of ['clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) {
    if (!isEmpty(spec[field])) errors.push(forbiddenField(`spec.${field}`, 'may not be set for ExternalName services'));
  }
  const name = text(spec['externalName']).replace(/\.$/, '');
  errors.push(...(name === '' ? [required('spec.externalName')] : invalidAll('spec.externalName', name, dns1123SubdomainErrors(name))));
  return errors;
}

function validateSourceRanges(object: Readonly<KubeObject>, spec: Obj, old: Readonly<KubeObject> | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const wrongType = (path: string): void => {
    if (typeOf(spec) !== 'LoadBalancer') errors.push(forbiddenField(path, "may only be used when `type` is 'LoadBalancer'"));
  };
  const ranges = strings(spec['loadBalancerSourceRanges']).map((range) => range.trim());
  if (ranges.length > 0) {
    wrongType('spec.LoadBalancerSourceRanges');
    const known = new Set(strings(at(old, 'spec', 'loadBalancerSourceRanges')).map((range) => range.trim()));
    ranges.forEach((range, index) => errors.push(...(known.has(range) ? [] : invalidAll(`spec.LoadBalancerSourceRanges[${index}]`, range, cidrErrors(range)))));
    return errors;
  }
  const key = 'service.beta.kubernetes.io/load-balancer-source-ranges';
  const annotation = object.metadata?.annotations?.[key];
  if (annotation === undefined) return errors;
  wrongType(`metadata.annotations[${key}]`);
  if (annotation.trim() === '' || annotation === old?.metadata?.annotations?.[key]) return errors;
  for (const range of annotation.split(',').map((one) => one.trim())) errors.push(...invalidAll(`metadata.annotations[${key}]`, range, cidrErrors(range)));
  return errors;
}

function validateLoadBalancerClass(spec: Obj): FieldError[] {
  const name = spec['loadBalancerClass'];
  if (name === undefined) return [];
  return typeOf(spec) === 'LoadBalancer' ? invalidAll('spec.loadBalancerClass', name, qualifiedNameErrors(text(name)))
    : [forbiddenField('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'")];
}

function validateTraffic(spec: Obj): FieldError[] {
  const errors: FieldError[] = [];
  const external = text(spec['externalTrafficPolicy']);
  if (isExternal(spec)) errors.push(...oneOf('spec.externalTrafficPolicy', external, ['Cluster', 'Local']));
  else if (external !== '') errors.push(invalidField('spec.externalTrafficPolicy', external, 'may only be set for externally-accessible services'));
  const port = integer(spec['healthCheckNodePort']) ?? 0;
  if (!needsHealthCheck(spec)) {
    if (port !== 0) errors.push(invalidField('spec.healthCheckNodePort', port, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"));
  } else if (port !== 0) errors.push(...invalidAll('spec.healthCheckNodePort', port, portNumberErrors(port)));
  if (spec['internalTrafficPolicy'] !== undefined) errors.push(...oneOf('spec.internalTrafficPolicy', spec['internalTrafficPolicy'], ['Cluster', 'Local']));
  if (spec['trafficDistribution'] !== undefined) {
    errors.push(...oneOf('spec.trafficDistribution', spec['trafficDistribution'], ['PreferClose', 'PreferSameZone', 'PreferSameNode']));
  }
  return errors;
}

function validateAffinity(spec: Obj): FieldError[] {
  const path = 'spec.sessionAffinityConfig';
  const affinity = text(spec['sessionAffinity']);
  if (affinity !== 'ClientIP' && affinity !== 'None') return [notSupported('spec.sessionAffinity', affinity, ['ClientIP', 'None'])];
  if (affinity === 'None') return spec['sessionAffinityConfig'] === undefined ? [] : [forbiddenField(path, 'must not be set when session affinity is None')];
  const why = 'when session affinity type is ClientIP';
  if (!isObject(spec['sessionAffinityConfig'])) return [required(path, why)];
  if (!isObject(at(spec, 'sessionAffinityConfig', 'clientIP'))) return [required(`${path}.clientIP`, why)];
  const timeout = at(spec, 'sessionAffinityConfig', 'clientIP', 'timeoutSeconds');
  if (typeof timeout !== 'number') return [required(`${path}.clientIP.timeoutSeconds`, why)];
  return timeout > 0 && timeout <= 86_400 ? [] : [invalidField(`${path}.clientIP.timeoutSeconds`, timeout, 'must be greater than 0 and less than 86400')];
}

/** `old`: addresses and ranges that were taken before may stay. */
function validateService(object: Readonly<KubeObject>, old?: Readonly<KubeObject>): FieldError[] {
  const spec = specOf(object);
  const type = typeOf(spec);
  const ports = objects(spec['ports']);
  const errors: FieldError[] = [];
  const mode = object.metadata?.annotations?.['service.kubernetes.io/topology-mode'];
  const hints = object.metadata?.annotations?.['service.kubernetes.io/topology-aware-hints'];
  if (mode !== undefined && hints !== undefined && mode !== hints) {
    errors.push(invalidField('metadata.annotations[service.kubernetes.io/topology-mode]', mode, 'must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified'));
  }
  errors.push(...validateType(spec));
  const names = new Set<string>();
  ports.forEach((port, index) => errors.push(...validatePort(port, ports.length > 1, names, `spec.ports[${index}]`)));
  errors.push(...validateLabels(spec['selector'], 'spec.selector'), ...validateAffinity(spec));
  errors.push(...validateClusterIps(spec));
  const knownIps = new Set(strings(at(old, 'spec', 'externalIPs')));
  strings(spec['externalIPs']).forEach((ip, index) => {
    const wrong = knownIps.has(ip) ? [] : ipErrors(ip);
    errors.push(...invalidAll(`spec.externalIPs[${index}]`, ip, wrong.length > 0 ? wrong : nonSpecialIpErrors(ip)));
  });
  if (!types.some((one) => one === type)) errors.push(notSupported('spec.type', type, types));
  const nodePorts = new Set<string>();
  const seen = new Set<string>();
  ports.forEach((port, index) => {
    const number = port['nodePort'];
    if (isEmpty(number)) return;
    if (type === 'ClusterIP') errors.push(forbiddenField(`spec.ports[${index}].nodePort`, "may not be used when `type` is 'ClusterIP'"));
    if (nodePorts.has(`${port['protocol']}/${number}`)) errors.push(duplicate(`spec.ports[${index}].nodePort`, number));
    nodePorts.add(`${port['protocol']}/${number}`);
  });
  ports.forEach((port, index) => {
    const id = `${port['protocol']}/${port['port']}`;
    // The value is upstream's internal struct with only the compared fields set.
    if (seen.has(id)) errors.push(duplicate(`spec.ports[${index}]`, { Name: '', Protocol: port['protocol'], AppProtocol: null, Port: port['port'], TargetPort: 0, NodePort: 0 }));
    seen.add(id);
  });
  errors.push(...validateSourceRanges(object, spec, old));
  if (spec['allocateLoadBalancerNodePorts'] !== undefined && type !== 'LoadBalancer') {
    errors.push(forbiddenField('spec.allocateLoadBalancerNodePorts', "may only be used when `type` is 'LoadBalancer'"));
  }
  errors.push(...validateLoadBalancerClass(spec));
  return [...errors, ...validateTraffic(spec)];
}

/** `list` may grow by a second entry or lose it again, but its first never changes. */
function validateListChange(spec: Obj, old: Obj, field: 'clusterIPs' | 'ipFamilies', one: string): FieldError[] {
  const [now, before] = [strings(spec[field]), strings(old[field])];
  const path = `spec.${field}`;
  const once = 'may not change once set';
  if (now.length === before.length) {
    return before.flatMap((value, index) => (value === now[index] ? [] : [invalidField(`${path}[${field === 'clusterIPs' ? index : 0}]`, now, once)]));
  }
  const errors: FieldError[] = [];
  if (now.length < before.length && strings(spec['clusterIPs']).length === 0) errors.push(invalidField(`${path}[0]`, now, `primary ${one} can not be unset`));
  if (now.length > 0 && before.length > 0 && now[0] !== before[0]) errors.push(invalidField(`${path}[0]`, strings(spec['clusterIPs']), once));
  if (now.length < before.length && now.length === 1 && spec['ipFamilyPolicy'] !== 'SingleStack') {
    errors.push(invalidField('spec.ipFamilyPolicy', spec['ipFamilyPolicy'] ?? null, `must be set to 'SingleStack' when releasing the secondary ${one}`));
  }
  return errors;
}

function validateServiceUpdate(object: Readonly<KubeObject>, old: Readonly<KubeObject>): FieldError[] {
  const [spec, before] = [specOf(object), specOf(old)];
  const errors: FieldError[] = [];
  if (typeOf(spec) !== 'ExternalName' && typeOf(before) !== 'ExternalName') {
    const [headless, wasHeadless] = [isHeadless(spec), isHeadless(before)];
    if (!(headless && wasHeadless)) errors.push(...validateListChange(spec, before, 'clusterIPs', 'clusterIP'));
    if (!headless && !wasHeadless) errors.push(...validateListChange(spec, before, 'ipFamilies', 'ipFamily'));
  }
  if (typeOf(spec) === 'LoadBalancer' && typeOf(before) === 'LoadBalancer' && !same(spec['loadBalancerClass'], before['loadBalancerClass'])) {
    errors.push(invalidField('spec.loadBalancerClass', spec['loadBalancerClass'] ?? null, 'may not change once set'));
  }
  errors.push(...validateLoadBalancerClass(spec));
  if (needsHealthCheck(spec) && needsHealthCheck(before) && !same(spec['healthCheckNodePort'], before['healthCheckNodePort'])) {
    errors.push(forbiddenField('spec.healthCheckNodePort', 'field is immutable'));
  }
  return [...errors, ...validateService(object, old)];
}

function validateStatus(object: Readonly<KubeObject>, old: Readonly<KubeObject>): FieldError[] {
  const path = 'status.loadBalancer.ingress';
  const list = objects(at(object, 'status', 'loadBalancer', 'ingress'));
  if (typeOf(specOf(object)) !== 'LoadBalancer') return list.length === 0 ? [] : [forbiddenField(path, "may only be used when `spec.type` is 'LoadBalancer'")];
  const known = new Set(objects(at(old, 'status', 'loadBalancer', 'ingress')).map((ingress) => text(ingress['ip'])));
  return list.flatMap((ingress, index) => {
    const here = `${path}[${index}]`;
    const [ip, hostname, mode] = [text(ingress['ip']), text(ingress['hostname']), ingress['ipMode']];
    const errors = ip === '' || known.has(ip) ? [] : invalidAll(`${here}.ip`, ip, ipErrors(ip));
    if (ip === '' && mode !== undefined) errors.push(forbiddenField(`${here}.ipMode`, 'may not be specified when `ip` is not set'));
    else if (mode !== undefined) errors.push(...oneOf(`${here}.ipMode`, mode, ['Proxy', 'VIP']));
    if (hostname === '') return errors;
    errors.push(...invalidAll(`${here}.hostname`, hostname, dns1123SubdomainErrors(hostname)));
    return ipFamily(hostname) === undefined ? errors : [...errors, invalidField(`${here}.hostname`, hostname, 'must be a DNS name, not an IP address')];
  });
}

export function serviceStrategy(allocate?: Strategy['allocate']): Strategy {
  const basic = basicStrategy({ status: true, createOnUpdate: true, initialStatus: () => ({ loadBalancer: {} }) });
  return {
    ...basic,
    validateName: nameIsLabel,
    default: setDefaults,
    prepareForCreate(object, context) {
      basic.prepareForCreate?.(object, context);
      const spec = need(object, 'spec');
      if (text(spec['clusterIP']) !== '' && strings(spec['clusterIPs']).length === 0) spec['clusterIPs'] = [spec['clusterIP']];
    },
    prepareForUpdate(object, old) {
      keepField(object, old, 'status');
      const spec = need(object, 'spec');
      dropWhatTypeDoesNotNeed(spec, specOf(old));
      if (typeOf(spec) !== 'LoadBalancer' && isObject(object['status'])) object['status']['loadBalancer'] = {};
    },
    validate: (object, _, old) => (old ? [] : validateService(object)),
    validateUpdate: validateServiceUpdate,
    status: { ...basic.status, validateUpdate: validateStatus },
    ...(allocate ? { allocate } : {}),
    fieldLabels: { 'spec.clusterIP': (object) => text(at(object, 'spec', 'clusterIP')), 'spec.type': (object) => typeOf(specOf(object)) },
    fieldLabelError: (label) => `field label not supported: ${label}`,
  };
}
