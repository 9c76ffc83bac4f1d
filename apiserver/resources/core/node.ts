// Nodes. Creation may set status (kubelets register that way), later only the status subresource changes it.
import { cidrErrors, cidrFamily, labelValueErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import { parseQuantity } from '#machinery/api/quantity.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy, keepStatus, setFirstGeneration } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, duplicate, entries, forbiddenField, invalidAll, invalidField, isObject, need, notSupported, objects, required, same, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { defaultResourceList } from './pod-defaults.ts';

const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const;
const nodeInfoFields = ['machineID', 'systemUUID', 'bootID', 'kernelVersion', 'osImage', 'containerRuntimeVersion', 'kubeletVersion', 'kubeProxyVersion', 'operatingSystem', 'architecture'];

/** Resources that are counted in whole pieces; extended ones (`example.com/gpu`) are, too. */
export function isIntegerResource(name: string): boolean {
  return name === 'pods' || name.startsWith('count/') || isExtendedResource(name);
}
export function isExtendedResource(name: string): boolean {
  if (!name.includes('/') || name.startsWith('requests.')) return false;
  return !/(^|\.)kubernetes\.io\//.test(name);
}

function validateTaints(taints: Obj[]): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  taints.forEach((taint, index) => {
    const path = `metadata.taints[${index}]`;
    const [key, value, effect] = [text(taint['key']), text(taint['value']), text(taint['effect'])];
    errors.push(...invalidAll(`${path}.key`, key, qualifiedNameErrors(key)));
    const wrong = labelValueErrors(value);
    if (wrong.length > 0) errors.push(invalidField(`${path}.value`, value, wrong.join(';')));
    if (effect === '') errors.push(required(`${path}.effect`));
    else if (!effects.some((one) => one === effect)) errors.push(notSupported(`${path}.effect`, effect, effects));
    const id = `${effect}\0${key}`;
    if (seen.has(id)) errors.push({ ...duplicate(path, taint), detail: 'taints must be unique by key and effect pair' });
    seen.add(id);
  });
  return errors;
}

function validateCapacity(status: Obj): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ['capacity', 'allocatable']) {
    for (const [name, value] of entries(status[field])) {
      if (typeof value !== 'string') continue;
      const path = `status.${field}.${name}`;
      const { nanos } = parseQuantity(value);
      if (nanos < 0n) errors.push(invalidField(path, value, 'must be greater than or equal to 0'));
      else if (isIntegerResource(name) && nanos % 1_000_000_000n !== 0n) errors.push(invalidField(path, value, 'must be an integer'));
    }
  }
  return errors;
}

function validateUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const [spec, before] = [asObject(object['spec']) ?? {}, asObject(old['spec']) ?? {}];
  if (text(before['podCIDR']) !== '' && !same(spec['podCIDRs'] ?? [spec['podCIDR']], before['podCIDRs'] ?? [before['podCIDR']])) {
    errors.push(forbiddenField('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
  }
  if (text(before['providerID']) !== '' && text(spec['providerID']) !== text(before['providerID'])) {
    errors.push(forbiddenField('spec.providerID', 'node updates may not change providerID except from "" to valid'));
  }
  const seen = new Set<string>();
  objects(at(object, 'status', 'addresses')).forEach((address, index) => {
    const id = `${text(address['type'])}\0${text(address['address'])}`;
    if (seen.has(id)) errors.push(duplicate(`status.addresses[${index}]`, address));
    seen.add(id);
  });
  return errors;
}

function validate(object: KubeObject): FieldError[] {
  const errors = validateTaints(objects(at(object, 'spec', 'taints')));
  const cidrs = strings(at(object, 'spec', 'podCIDRs'));
  cidrs.forEach((cidr, index) => errors.push(...invalidAll(`spec.podCIDRs[${index}]`, cidr, cidrErrors(cidr))));
  if (cidrs.length > 2 || (cidrs.length === 2 && cidrFamily(cidrs[0] ?? '') === cidrFamily(cidrs[1] ?? ''))) {
    errors.push(invalidField('spec.podCIDRs', cidrs, 'may specify no more than one CIDR for each IP family'));
  }
  return [...errors, ...validateCapacity(asObject(object['status']) ?? {})];
}

const basic = basicStrategy({ status: true });

export const nodeStrategy: Strategy = {
  ...basic,
  default(object) {
    const spec = need(object, 'spec');
    // The single and the plural form carry the same first value.
    const cidrs = strings(spec['podCIDRs']);
    if (cidrs[0] !== undefined) spec['podCIDR'] = cidrs[0];
    else if (text(spec['podCIDR']) !== '') spec['podCIDRs'] = [spec['podCIDR']];
    const status = need(object, 'status');
    defaultResourceList(status['capacity']);
    defaultResourceList(status['allocatable']);
    if (isObject(status['capacity'])) setMissing(status, 'allocatable', { ...status['capacity'] });
    setMissing(need(need(status, 'daemonEndpoints'), 'kubeletEndpoint'), 'Port', 0);
    const info = need(status, 'nodeInfo');
    for (const field of nodeInfoFields) setMissing(info, field, '');
  },
  prepareForCreate(object) {
    setFirstGeneration(object, 'none');
    delete need(object, 'spec')['configSource'];
    delete need(object, 'status')['config'];
  },
  prepareForUpdate: keepStatus,
  validate,
  validateUpdate,
  status: { ...basic.status, validateUpdate: (object, old) => [...validate(object), ...validateUpdate(object, old)] },
  fieldLabels: { 'spec.unschedulable': (object) => String(at(object, 'spec', 'unschedulable') === true) },
  fieldLabelError: (label) => `field label not supported: ${label}`,
};
