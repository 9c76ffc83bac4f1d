// Nodes. Creation may set status (kubelets register that way), later only the status subresource changes it.
import { cidrErrors, cidrFamily, labelValueErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy, keepStatus, setFirstGeneration } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, duplicate, entries, forbiddenField, invalidAll, invalidField, isObject, need, notSupported, objects, required, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { parseGoJson } from './go-json.ts';
import { defaultResourceList } from './pod-defaults.ts';
import { validateQuantityOf } from './resource-names.ts';

const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const;
const nodeInfoFields = ['machineID', 'systemUUID', 'bootID', 'kernelVersion', 'osImage', 'containerRuntimeVersion', 'kubeletVersion', 'kubeProxyVersion', 'operatingSystem', 'architecture'];

function validateTaints(taints: readonly Obj[], list: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  taints.forEach((taint, index) => {
    const path = `${list}[${index}]`;
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

const taintsAnnotation = 'scheduler.alpha.kubernetes.io/taints';
const avoidAnnotation = 'scheduler.alpha.kubernetes.io/preferAvoidPods';

/** What nodes said in annotations before there were fields. */
function validateAnnotations(object: Readonly<KubeObject>): FieldError[] {
  const path = 'metadata.annotations';
  const errors: FieldError[] = [];
  const read = (key: string, field: string): unknown => {
    const value = object.metadata?.annotations?.[key] ?? '';
    if (value === '') return undefined;
    const parsed = parseGoJson(value);
    if ('value' in parsed) return parsed.value;
    errors.push(invalidField(field, key, parsed.error));
    return undefined;
  };
  errors.push(...validateTaints(objects(read(taintsAnnotation, path)), `${path}.${taintsAnnotation}`));
  objects(at(read(avoidAnnotation, `${path}.AvoidPods`), 'preferAvoidPods')).forEach((entry, index) => {
    const here = `${path}.${avoidAnnotation}[${index}].PodSignature`;
    const controller = at(entry, 'podSignature', 'podController');
    if (!isObject(controller)) errors.push(required(here));
    else if (controller['controller'] !== true) errors.push(invalidField(`${here}.PodController.Controller`, false, 'must point to a controller'));
  });
  return errors;
}

function validateCapacity(object: Readonly<KubeObject>): FieldError[] {
  return ['capacity', 'allocatable'].flatMap((field) => entries(at(object, 'status', field)).flatMap(([name, value]) => validateQuantityOf(name, value, `status.${field}.${name}`)));
}

const featureName = /^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z][a-zA-Z0-9]*)*$/;
function validateFeatures(object: Readonly<KubeObject>): FieldError[] {
  const path = 'status.declaredFeatures';
  return strings(at(object, 'status', 'declaredFeatures')).flatMap((feature, index, list) => {
    const errors: FieldError[] = [];
    const quoted = `invalid feature name ${JSON.stringify(feature)}`;
    if (feature.length > 253) errors.push(invalidField(`${path}[${index}]`, feature, `${quoted}: must be no more than 253 characters`));
    else if (!featureName.test(feature)) {
      errors.push(invalidField(`${path}[${index}]`, feature,
        `${quoted}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes`));
    }
    const next = list[index + 1];
    if (next === feature) errors.push(duplicate(`${path}[${index + 1}]`, next));
    else if (next !== undefined && next < feature) errors.push(invalidField(`${path}[${index + 1}]`, next, 'list must be sorted alphabetically'));
    return errors;
  });
}

function validateUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors = [...validateAnnotations(object), ...validateCapacity(object), ...validateFeatures(object)];
  const [spec, before] = [asObject(object['spec']) ?? {}, asObject(old['spec']) ?? {}];
  const seen = new Set<string>();
  objects(at(object, 'status', 'addresses')).forEach((address, index) => {
    const id = `${text(address['type'])}\0${text(address['address'])}`;
    if (seen.has(id)) errors.push(duplicate(`status.addresses[${index}]`, address));
    seen.add(id);
  });
  const [cidrs, oldCidrs] = [strings(spec['podCIDRs']), strings(before['podCIDRs'])];
  const moved = cidrs.length === oldCidrs.length ? oldCidrs.filter((cidr, index) => cidr !== cidrs[index]).length : Math.min(1, oldCidrs.length);
  errors.push(...Array.from({ length: moved }, () => forbiddenField('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid')));
  if (text(before['providerID']) !== '' && text(spec['providerID']) !== text(before['providerID'])) {
    errors.push(forbiddenField('spec.providerID', 'node updates may not change providerID except from "" to valid'));
  }
  errors.push(...validateTaints(objects(spec['taints']), 'metadata.taints'));
  if (text(spec['externalID']) !== text(before['externalID'])) errors.push(forbiddenField('spec.externalID', 'may not be updated'));
  return errors;
}

function validate(object: Readonly<KubeObject>): FieldError[] {
  const errors = [...validateAnnotations(object), ...validateTaints(objects(at(object, 'spec', 'taints')), 'metadata.taints'), ...validateCapacity(object)];
  const swap = at(object, 'status', 'nodeInfo', 'swap', 'capacity');
  if (typeof swap === 'number' && swap <= 0) errors.push(invalidField('metadata.nodeSwapStatus.capacity', swap, 'must be greater than zero'));
  errors.push(...validateFeatures(object));
  const cidrs = strings(at(object, 'spec', 'podCIDRs'));
  cidrs.forEach((cidr, index) => errors.push(...invalidAll(`spec.podCIDRs[${index}]`, cidr, cidrErrors(cidr))));
  if (cidrs.length < 2) return errors;
  const broken = cidrs.findIndex((cidr) => cidrFamily(cidr) === undefined);
  if (broken >= 0) {
    errors.push({ type: 'Internal', field: 'spec.podCIDRs', detail: `invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[${broken}]: <nil> (invalid CIDR address: ${cidrs[broken]})` });
  }
  const families = new Set(cidrs.map(cidrFamily));
  return broken >= 0 || families.size < 2 || cidrs.length > 2 ? [...errors, invalidField('spec.podCIDRs', cidrs, 'may specify no more than one CIDR for each IP family')] : errors;
}

const basic = basicStrategy({ status: true });

export const nodeStrategy: Strategy = {
  ...basic,
  default(object) {
    const spec = need(object, 'spec');
    // The single and the plural form carry the same first value; the single one wins, for the sake of old clients.
    const cidrs = strings(spec['podCIDRs']);
    if (text(spec['podCIDR']) === '') {
      if (cidrs[0] !== undefined) spec['podCIDR'] = cidrs[0];
    } else if (spec['podCIDR'] !== cidrs[0]) spec['podCIDRs'] = [spec['podCIDR']];
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
  prepareForUpdate(object, old) {
    keepStatus(object, old);
    if (at(old, 'spec', 'configSource') === undefined) delete need(object, 'spec')['configSource'];
  },
  validate,
  validateUpdate,
  status: {
    prepareForUpdate(object, old, context) {
      basic.status?.prepareForUpdate?.(object, old, context);
      // Of a feature that is gone: it can stay, but nobody gets it any more.
      if (at(old, 'status', 'config') === undefined) delete need(object, 'status')['config'];
    },
    validateUpdate: (object, old) => [...validate(object), ...validateUpdate(object, old)],
  },
  fieldLabels: { 'spec.unschedulable': (object) => String(at(object, 'spec', 'unschedulable') === true) },
  fieldLabelError: (label) => `field label not supported: ${label}`,
};
