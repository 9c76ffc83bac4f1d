// StatefulSets. Upstream: pkg/apis/apps/validation and pkg/registry/apps/statefulset.
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy, zeroStatus } from '../basic.ts';
import { validateClaimSpec } from '../core/persistentvolumeclaim-validation.ts';
import { defaultClaimSpec, defaultPodTemplate } from '../core/pod-defaults.ts';
import { nameIsLabel } from '../meta.ts';
import { scaleOf } from '../scale.ts';
import { asObject, at, entries, forbiddenField, integer, invalidAll, invalidField, isEmpty, need, notNegative, objects, oneOf, same, setEmpty, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { collisionErrors, validateAlwaysRestarting, validateCounts, validateNotAbove, validateSelector, validateTemplateLabels } from './workload.ts';

const mayChange = new Set(['replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy', 'minReadySeconds']);
const counts = ['replicas', 'readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas', 'observedGeneration', 'collisionCount'];

export const statefulSetStrategy = kindStrategy({ status: true, generation: 'spec' }, {
  default(object) {
    const spec = need(object, 'spec');
    setEmpty(spec, 'podManagementPolicy', 'OrderedReady');
    const update = need(spec, 'updateStrategy');
    if (isEmpty(update['type'])) {
      update['type'] = 'RollingUpdate';
      setMissing(update, 'rollingUpdate', {});
    }
    const rolling = asObject(update['rollingUpdate']);
    delete rolling?.['maxUnavailable']; // Upstream's gate MaxUnavailableStatefulSet is off: the field is dropped.
    if (rolling && update['type'] === 'RollingUpdate') setMissing(rolling, 'partition', 0);
    const retention = need(spec, 'persistentVolumeClaimRetentionPolicy');
    setEmpty(retention, 'whenDeleted', 'Retain');
    setEmpty(retention, 'whenScaled', 'Retain');
    setMissing(spec, 'serviceName', '');
    setMissing(spec, 'replicas', 1);
    setMissing(spec, 'revisionHistoryLimit', 10);
    defaultPodTemplate(need(spec, 'template'));
    for (const claim of objects(spec['volumeClaimTemplates'])) {
      setEmpty(claim, 'apiVersion', 'v1');
      setEmpty(claim, 'kind', 'PersistentVolumeClaim');
      setMissing(claim, 'metadata', {});
      defaultClaimSpec(need(claim, 'spec'));
      setEmpty(need(claim, 'status'), 'phase', 'Pending');
    }
    zeroStatus(object, ['replicas', 'availableReplicas']);
  },
  validateName: nameIsLabel,
  validate(object, _, old) {
    return validateSpec(asObject(object['spec']) ?? {}, old !== undefined);
  },
  validateUpdate(object, old) {
    const fixed = (spec: unknown): Obj => Object.fromEntries(entries(spec).filter(([name]) => !mayChange.has(name)));
    return same(fixed(object['spec']), fixed(old['spec'])) ? [] : [forbiddenField('spec',
      "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")];
  },
  status: {
    validateUpdate(object, old) {
      const status = asObject(object['status']) ?? {};
      return [
        ...validateCounts(status, 'status', counts),
        ...validateNotAbove(status, ['readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'], 'status.readyReplicas'),
        ...collisionErrors(status, old),
      ];
    },
  },
  warnings: revisionLimitWarning,
  scale: scaleOf('spec.selector'),
});

/** On updates the claims and the service name are left alone: they cannot change, whatever they are. */
function validateSpec(spec: Obj, update: boolean): FieldError[] {
  const management = text(spec['podManagementPolicy']);
  const errors: FieldError[] = [];
  if (management !== 'OrderedReady' && management !== 'Parallel') errors.push(invalidField('spec.podManagementPolicy', management, "must be 'OrderedReady' or 'Parallel'"));
  errors.push(...validateUpdateStrategy(asObject(spec['updateStrategy']) ?? {}));
  const retention = asObject(spec['persistentVolumeClaimRetentionPolicy']) ?? {};
  for (const when of ['whenDeleted', 'whenScaled']) errors.push(...oneOf(`spec.persistentVolumeClaimRetentionPolicy.${when}`, retention[when], ['Retain', 'Delete']));
  const claims = objects(spec['volumeClaimTemplates']);

  if (!update) claims.forEach((claim, index) => errors.push(...validateClaimSpec(asObject(claim['spec']) ?? {}, `spec.volumeClaimTemplates[${index}].spec`)));
  errors.push(...validateCounts(spec, 'spec', ['replicas', 'minReadySeconds']), ...notNegative('spec.ordinals.start', at(spec, 'ordinals', 'start')));
  const serviceName = text(spec['serviceName']);
  if (!update && serviceName !== '') errors.push(...invalidAll('spec.serviceName', serviceName, dns1123LabelErrors(serviceName)));
  errors.push(...validateSelector(spec, 'statefulset'));
  // The controller puts its own names and claims into pods.
  const template = asObject(spec['template']) ?? {};
  const pod = asObject(template['spec']) ?? {};
  const { subdomain: _subdomain, hostname: _hostname, ...rest } = pod;
  const names = new Set(claims.map((claim) => text(at(claim, 'metadata', 'name'))));
  const volumes = claims.length === 0 ? pod['volumes'] : [
    ...[...names].map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
    ...objects(pod['volumes']).filter((volume) => !names.has(text(volume['name']))),
  ];
  const checked = { ...template, spec: { ...rest, ...(volumes === undefined ? {} : { volumes }) } };
  errors.push(...validateTemplateLabels(spec, ''), ...validateAlwaysRestarting(checked, 'StatefulSet'));
  return errors;
}

function validateUpdateStrategy(strategy: Obj): FieldError[] {
  const path = 'spec.updateStrategy';
  const rolling = asObject(strategy['rollingUpdate']);
  switch (text(strategy['type'])) {
    case 'OnDelete': return rolling ? [invalidField(`${path}.rollingUpdate`, { Partition: rolling['partition'] ?? null, MaxUnavailable: rolling['maxUnavailable'] ?? null }, "only allowed for updateStrategy 'RollingUpdate'")] : [];
    case 'RollingUpdate': return rolling ? notNegative(`${path}.rollingUpdate.partition`, rolling['partition']) : [];
    default: return [invalidField(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")];
  }
}

function revisionLimitWarning(object: KubeObject): string[] {
  const limit = integer(at(object, 'spec', 'revisionHistoryLimit'));
  return limit !== undefined && limit < 0 ? ['spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended'] : [];
}
