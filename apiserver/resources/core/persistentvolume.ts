// PersistentVolumes: where they are never changes. Upstream: ValidatePersistentVolumeSpec and its update in
// pkg/apis/core/validation/validation.go.
import { posix } from 'node:path';
import { rfc3339 } from '#machinery/base/clock.ts';
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, changedFields, entries, forbiddenField, immutable, invalidAll, invalidField, isEmpty, isObject, need, notSupported, oneOf, required, same, setEmpty, setMissing, strings, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateAccessModes, validateVolumeMode } from './persistentvolumeclaim-validation.ts';
import { defaultResourceList, defaultVolumeSource } from './pod-defaults.ts';
import { validateNodeSelector } from './pod-scheduling-validation.ts';
import { validateBasicQuantity, validatePositive } from './resource-names.ts';
import { secondSource, validateStorageSource } from './storage-source-validation.ts';

/** In the order in which upstream looks at them. */
const sources = [
  'hostPath', 'gcePersistentDisk', 'awsElasticBlockStore', 'glusterfs', 'flocker', 'nfs', 'rbd', 'quobyte', 'cephfs', 'iscsi', 'cinder', 'fc', 'flexVolume', 'azureFile',
  'vsphereVolume', 'photonPersistentDisk', 'portworxVolume', 'azureDisk', 'scaleIO', 'local', 'storageos', 'csi',
] as const;
/** Which take the annotation with mount options. */
const mountable = new Set<string>(['gcePersistentDisk', 'awsElasticBlockStore', 'glusterfs', 'nfs', 'rbd', 'quobyte', 'iscsi', 'cinder', 'cephfs', 'azureFile', 'vsphereVolume', 'azureDisk', 'photonPersistentDisk']);
const mountOptions = 'volume.beta.kubernetes.io/mount-options';

/** As a whole of its own (`name` is the volume's). */
export function validateVolumeSpec(spec: Obj, name: string, path: string): FieldError[] {
  const errors = validateModes(spec, path);
  const capacity = entries(spec['capacity']);
  if (capacity.length === 0) errors.push(required(`${path}.capacity`));
  if (capacity.length !== 1 || capacity[0]?.[0] !== 'storage') errors.push(notSupported(`${path}.capacity`, spec['capacity'] ?? null, ['storage']));
  for (const [resource, size] of capacity) errors.push(...validateBasicQuantity(size, `${path}.capacity[${resource}]`), ...validatePositive(size, `${path}.capacity[${resource}]`));
  errors.push(...oneOf(`${path}.persistentVolumeReclaimPolicy`, spec['persistentVolumeReclaimPolicy'], ['Delete', 'Recycle', 'Retain']));
  const affinity = asObject(spec['nodeAffinity']);
  if (affinity) {
    const here = `${path}.nodeAffinity.required`;
    errors.push(...(isObject(affinity['required']) ? validateNodeSelector(affinity['required'], here) : [required(here, 'must specify required node constraints')]));
  }
  errors.push(...validateSources(spec, name, path, affinity !== undefined));
  const className = text(spec['storageClassName']);
  if (className !== '') errors.push(...invalidAll(`${path}.storageClassName`, className, dns1123SubdomainErrors(className)));
  errors.push(...validateVolumeMode(spec['volumeMode'], `${path}.volumeMode`));
  const attributes = spec['volumeAttributesClassName'];
  if (typeof attributes === 'string') {
    const field = `${path}.volumeAttributesClassName`;
    errors.push(...(attributes === '' ? [required(field, 'an empty string is disallowed')] : invalidAll(field, attributes, dns1123SubdomainErrors(attributes))));
    if (!isObject(spec['csi'])) errors.push(required(`${path}.csi`, 'has to be specified when using volumeAttributesClassName'));
  }
  return errors;
}

/** Of a volume that stands in a VolumeAttachment, in place of one that a pod names by itself: always CSI's, bound to nothing. */
export function validateInlineVolumeSpec(spec: Obj, path: string): FieldError[] {
  const forbid = (field: string, what = 'may not be specified'): FieldError => forbiddenField(`${path}.${field}`, `${what} in the context of inline volumes`);
  const given = ['claimRef', 'capacity', 'nodeAffinity', 'storageClassName'].filter((field) => !isEmpty(spec[field]) && !(field === 'capacity' && entries(spec[field]).length === 0));
  const errors = given.map((field) => forbid(field));
  if (!isObject(spec['csi'])) errors.push(required(`${path}.csi`, 'has to be specified in the context of inline volumes'));
  if (!['', 'Retain'].includes(text(spec['persistentVolumeReclaimPolicy']))) errors.push(forbid('persistentVolumeReclaimPolicy', 'may only be Retain'));
  if (spec['volumeMode'] !== undefined && spec['volumeMode'] !== 'Filesystem') errors.push(forbid('volumeMode', 'may not specify volumeMode other than Filesystem'));
  return [...errors, ...validateModes(spec, path), ...validateSources(spec, '', path, false)];
}

function validateModes(spec: Obj, path: string): FieldError[] {
  const modes = strings(spec['accessModes']);
  return [...(modes.length === 0 ? [required(`${path}.accessModes`)] : []), ...validateAccessModes(modes, `${path}.accessModes`)];
}

function validateSources(spec: Obj, name: string, path: string, hasAffinity: boolean): FieldError[] {
  const errors: FieldError[] = [];
  let found = false;
  for (const kind of sources) {
    const source = asObject(spec[kind]);
    if (!source) continue;
    // Upstream forgets to count what came before a flexVolume.
    if (found && kind !== 'flexVolume') errors.push(forbiddenField(`${path}.${secondSource(kind)}`, 'may not specify more than 1 volume type'));
    else {
      errors.push(...validateStorageSource(kind, source, `${path}.${kind}`, { kind: 'persistentVolume', name }));
      if (kind === 'local' && !hasAffinity) errors.push(required(`${path}.nodeAffinity`, 'Local volume requires node affinity'));
    }
    found = true;
  }
  if (!found) errors.push(required(path, 'must specify a volume type'));
  const host = at(spec, 'hostPath', 'path');
  if (typeof host === 'string' && /^\/+$/.test(posix.normalize(host)) && spec['persistentVolumeReclaimPolicy'] === 'Recycle') {
    errors.push(forbiddenField(`${path}.persistentVolumeReclaimPolicy`, "may not be 'recycle' for a hostPath mount of '/'"));
  }
  return errors;
}

/** What volumes have by default wherever they stand. */
export function defaultVolumeSpec(spec: Obj): void {
  defaultResourceList(spec['capacity']);
  for (const name in spec) {
    const source = asObject(spec[name]);
    if (source) defaultVolumeSource(name, source);
  }
}

function validateMountOptions(object: Readonly<KubeObject>): FieldError[] {
  const annotated = object.metadata?.annotations?.[mountOptions] !== undefined;
  const takes = entries(object['spec']).some(([kind, source]) => mountable.has(kind) && isObject(source));
  return annotated && !takes ? [forbiddenField(`metadata.annotations.${mountOptions}`, 'may not specify mount options for this volume type')] : [];
}

function sourceOf(spec: Obj): Obj {
  return Object.fromEntries(sources.filter((kind) => spec[kind] !== undefined).map((kind) => [kind, spec[kind]]));
}
const newerLabels: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'kubernetes.io/arch', 'beta.kubernetes.io/os': 'kubernetes.io/os', 'beta.kubernetes.io/instance-type': 'node.kubernetes.io/instance-type',
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
};
/** Beta labels may be replaced by what they are called now. */
function sameAffinity(now: unknown, old: unknown): boolean {
  if (Array.isArray(now) && Array.isArray(old)) return now.length === old.length && now.every((one, index) => sameAffinity(one, old[index]));
  if (isObject(now) && isObject(old) && typeof old['key'] === 'string' && newerLabels[old['key']] === now['key']) return same(now, { ...old, key: now['key'] });
  if (isObject(now) && isObject(old)) return [...new Set([...Object.keys(now), ...Object.keys(old)])].every((name) => sameAffinity(now[name], old[name]));
  return same(now, old);
}

function validateVolumeUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const [spec, before] = [asObject(object['spec']) ?? {}, asObject(old['spec']) ?? {}];
  const errors: FieldError[] = [];
  const [source, oldSource] = [sourceOf(spec), sourceOf(before)];
  if (isObject(source['csi']) && isObject(oldSource['csi']) && oldSource['csi']['controllerExpandSecretRef'] === undefined) {
    const { controllerExpandSecretRef: _, ...rest } = source['csi'];
    source['csi'] = rest;
  }
  const changed = changedFields(source, oldSource, 'spec');
  if (changed.length > 0) errors.push(forbiddenField('spec.persistentvolumesource', `spec.persistentvolumesource is immutable after creation\n${changed.join('\n')}`));
  errors.push(...unchanged('volumeMode', spec['volumeMode'], before['volumeMode']));
  if (isObject(before['nodeAffinity']) && !sameAffinity(spec['nodeAffinity'], before['nodeAffinity'])) {
    errors.push(invalidField('nodeAffinity', spec['nodeAffinity'] ?? null, `${immutable}, except for updating from beta label to GA`));
  }
  if (before['volumeAttributesClassName'] !== undefined && spec['volumeAttributesClassName'] === undefined) {
    errors.push(forbiddenField('spec.volumeAttributesClassName', 'update from non-nil value to nil is forbidden'));
  }
  return errors;
}

const basic = basicStrategy({ status: true, initialStatus: (_, now) => ({ phase: 'Pending', lastPhaseTransitionTime: rfc3339(now) }) });

export const persistentVolumeStrategy: Strategy = {
  ...basic,
  default(object) {
    const spec = need(object, 'spec');
    setEmpty(need(object, 'status'), 'phase', 'Pending');
    setEmpty(spec, 'persistentVolumeReclaimPolicy', 'Retain');
    setMissing(spec, 'volumeMode', 'Filesystem');
    defaultVolumeSpec(spec);
  },
  validate: (object) => [...validateVolumeSpec(asObject(object['spec']) ?? {}, object.metadata?.name ?? '', 'spec'), ...validateMountOptions(object)],
  validateUpdate: validateVolumeUpdate,
  status: {
    prepareForUpdate(object, old, context) {
      basic.status?.prepareForUpdate?.(object, old, context);
      const [status, before] = [need(object, 'status'), asObject(old['status']) ?? {}];
      const [time, oldTime] = [status['lastPhaseTransitionTime'], before['lastPhaseTransitionTime']];
      if (status['phase'] !== before['phase']) {
        if (time === undefined || time === oldTime) status['lastPhaseTransitionTime'] = rfc3339(context.now);
      } else if (time === undefined && oldTime !== undefined) status['lastPhaseTransitionTime'] = oldTime;
    },
  },
};
