// DeviceClasses, ResourceClaims and ResourceClaimTemplates. Upstream: pkg/registry/resource and pkg/apis/resource/validation.
import { isExtendedResource, maskTrailingDash } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { keepAllButStatus, kindStrategy } from '../basic.ts';
import { validateTemplateMeta } from '../meta.ts';
import type { WriteContext } from '../resource.ts';
import { asObject, at, forbiddenField, invalidField, need, objects, same, setMissing, text, unchanged } from '../values.ts';
import { defaultClaimStatus, dropStatusOfFreedDevices, validateClaimStatus } from './claim-status.ts';
import { defaultDeviceClaim, hasSelectors, validateConfiguration, validateDeviceClaim } from './device-claim.ts';
import { declaredSubdomainErrors, validateList } from './names.ts';
import { loadSelectors, validateSelectors } from './selectors.ts';

const adminLabel = 'resource.kubernetes.io/admin-access';

export const deviceClassStrategy = kindStrategy({ generation: 'spec' }, {
  load: (object) => (objects(at(object, 'spec', 'selectors')).length > 0 ? loadSelectors() : undefined),
  validateName: (name, prefix) => declaredSubdomainErrors(prefix ? maskTrailingDash(name) : name),
  validate(object, _, old) {
    const spec = asObject(object['spec']) ?? {};
    const name = spec['extendedResourceName'];
    return [
      ...validateSelectors(spec['selectors'], 'spec.selectors'),
      ...validateList(objects(spec['config']), 32, 'spec.config', (config, path) => validateConfiguration(config, path, old !== undefined && same(spec['config'], at(old, 'spec', 'config')))),
      ...(name === undefined || isExtendedResource(text(name)) ? [] : [invalidField('spec.extendedResourceName', name, 'must be a valid extended resource name')]),
    ];
  },
});

export const resourceClaimStrategy = kindStrategy({ status: true }, {
  load: (object) => (hasSelectors(object['spec']) ? loadSelectors() : undefined),
  default(object) {
    defaultDeviceClaim(object['spec']);
    setMissing(object, 'status', {});
    defaultClaimStatus(object['status']);
  },
  validate: (object, context, old) => (old ? [] : [
    ...validateAdminAccess(objects(at(object, 'spec', 'devices', 'requests')).map((request) => at(request, 'exactly', 'adminAccess')), 'spec.devices.requests', object.metadata?.namespace, context),
    ...validateDeviceClaim(asObject(object['spec']) ?? {}, 'spec'),
  ]),
  validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']),
  status: {
    prepareForUpdate(object, old) {
      keepAllButStatus(object, old, []);
      dropStatusOfFreedDevices(object, old);
    },
    validateUpdate(object, old, context) {
      const granted = (claim: Readonly<typeof object>): unknown[] => objects(at(claim, 'status', 'allocation', 'devices', 'results')).map((result) => result['adminAccess']);
      return [
        ...(granted(old).includes(true) ? [] : validateAdminAccess(granted(object), 'status.allocation.devices.results', object.metadata?.namespace, context)),
        ...validateClaimStatus(object, old),
      ];
    },
  },
});

export const resourceClaimTemplateStrategy = kindStrategy({}, {
  load: (object) => (hasSelectors(at(object, 'spec', 'spec')) ? loadSelectors() : undefined),
  default(object) {
    setMissing(need(object, 'spec'), 'metadata', {});
    defaultDeviceClaim(at(object, 'spec', 'spec'));
  },
  validate: (object, context, old) => [
    // The path is the claim's own, as upstream.
    ...(old ? [] : validateAdminAccess(objects(at(object, 'spec', 'spec', 'devices', 'requests')).map((request) => at(request, 'exactly', 'adminAccess')), 'spec.devices.requests', object.metadata?.namespace, context)),
    ...validateTemplateMeta(at(object, 'spec', 'metadata'), 'spec.metadata'),
    ...validateDeviceClaim(asObject(at(object, 'spec', 'spec')) ?? {}, 'spec.spec'),
  ],
  validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']),
});

/** Devices that others use already are for namespaces that say so. */
function validateAdminAccess(asked: readonly unknown[], path: string, namespace: string | undefined, context: WriteContext): FieldError[] {
  const index = asked.indexOf(true);
  if (index < 0) return [];
  const labels = context.lookup('namespaces', '', namespace ?? '')?.metadata?.labels;
  return labels?.[adminLabel] === 'true' ? [] : [forbiddenField(`${path}[${index}].adminAccess`, `admin access to devices requires the \`${adminLabel}: true\` label on the containing namespace`)];
}
