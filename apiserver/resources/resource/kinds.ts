// DeviceClasses, ResourceClaims, ResourceClaimTemplates and ResourceSlices. Not checked: attributes and capacities of devices,
// taints and tolerations, counters. Upstream: pkg/apis/resource/validation.
import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { isExtendedResource } from '../core/resource-names.ts';
import { validateNodeSelector } from '../core/pod-scheduling-validation.ts';
import { validateDriverName } from '../formats.ts';
import { validateTemplateMeta } from '../meta.ts';
import { asObject, at, integer, invalidAll, invalidField, objects, required, setMissing, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateClaimStatus, validatePoolName } from './claim-status.ts';
import { defaultDeviceClaim, validateConfiguration, validateDeviceClaim, validateList, validateSelectors } from './device-claim.ts';

export const deviceClassStrategy = kindStrategy({ generation: 'spec' }, {
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const name = spec['extendedResourceName'];
    return [
      ...validateSelectors(spec['selectors'], 'spec.selectors'),
      ...validateList(objects(spec['config']), 32, 'spec.config', validateConfiguration),
      ...(name === undefined || isExtendedResource(text(name)) ? [] : [invalidField('spec.extendedResourceName', name, 'must be a valid extended resource name')]),
    ];
  },
});

export const resourceClaimStrategy = kindStrategy({ status: true, statusMayChange: [] }, {
  default(object) {
    defaultDeviceClaim(object['spec']);
    setMissing(object, 'status', {});
  },
  validate: (object, _, old) => (old ? [] : validateDeviceClaim(asObject(object['spec']) ?? {}, 'spec')),
  validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']),
  status: { validateUpdate: validateClaimStatus },
});

export const resourceClaimTemplateStrategy = kindStrategy({}, {
  default: (object) => defaultDeviceClaim(at(object, 'spec', 'spec')),
  validate: (object, _, old) => (old ? [] : [
    ...validateTemplateMeta(at(object, 'spec', 'metadata'), 'spec.metadata'),
    ...validateDeviceClaim(asObject(at(object, 'spec', 'spec')) ?? {}, 'spec.spec'),
  ]),
  validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']),
});

export const resourceSliceStrategy = kindStrategy({ generation: 'spec' }, {
  validate(object, _, old) {
    const spec = asObject(object['spec']) ?? {};
    return [
      ...validateDriverName('spec.driver', text(spec['driver'])),
      ...validatePool(asObject(spec['pool']) ?? {}),
      ...(old ? [['pool', 'name'], ['driver'], ['nodeName']].flatMap((path) => unchanged(`spec.${path.join('.')}`, at(spec, ...path), at(old, 'spec', ...path))) : []),
      ...validatePlaces(spec),
      ...(spec['sharedCounters'] !== undefined && spec['devices'] !== undefined ? [invalidField('spec', '', 'only one of `sharedCounters` or `devices` is allowed')] : []),
      ...validateList(objects(spec['devices']), 128, 'spec.devices', validateDevice, (device) => text(device['name'])),
    ];
  },
  fieldLabels: { 'spec.driver': (object) => text(at(object, 'spec', 'driver')), 'spec.nodeName': (object) => text(at(object, 'spec', 'nodeName')) },
  fieldLabelError: (label) => `field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: ${label}`,
});

function validatePool(pool: Obj): FieldError[] {
  const [count, generation] = [integer(pool['resourceSliceCount']) ?? 0, integer(pool['generation']) ?? 0];
  const errors = validatePoolName(text(pool['name']), 'spec.pool.name');
  if (count <= 0) errors.push(invalidField('spec.pool.resourceSliceCount', count, 'must be greater than zero'));
  if (generation < 0) errors.push(invalidField('spec.pool.generation', generation, 'must be greater than or equal to zero'));
  return errors;
}

/** Where the devices are, said in exactly one way. */
function validatePlaces(spec: Obj): FieldError[] {
  const ways: string[] = [];
  const errors: FieldError[] = [];
  const node = spec['nodeName'];
  if (node === '') errors.push(invalidField('spec.nodeName', node, 'must be either unset or set to a non-empty string'));
  else if (node !== undefined) {
    ways.push('`nodeName`');
    errors.push(...invalidAll('spec.nodeName', node, dns1123SubdomainErrors(text(node))));
  }
  const selector = asObject(spec['nodeSelector']);
  if (selector) {
    ways.push('`nodeSelector`');
    errors.push(...validateNodeSelector(selector, 'spec.nodeSelector'));
    if (objects(selector['nodeSelectorTerms']).length !== 1) errors.push(invalidField('spec.nodeSelector.nodeSelectorTerms', selector['nodeSelectorTerms'] ?? null, 'must have exactly one node selector term'));
  }
  for (const field of ['allNodes', 'perDeviceNodeSelection']) {
    if (spec[field] === true) ways.push(`\`${field}\``);
    else if (spec[field] === false) errors.push(invalidField(`spec.${field}`, false, 'must be either unset or set to true'));
  }
  const one = 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required';
  if (ways.length === 0) errors.push(required('spec', one));
  if (ways.length > 1) errors.push(invalidField('spec', `{${ways.join(', ')}}`, `${one}, but multiple fields are set`));
  return errors;
}

function validateDevice(device: Obj, path: string): FieldError[] {
  return invalidAll(`${path}.name`, device['name'] ?? '', dns1123LabelErrors(text(device['name'])));
}
