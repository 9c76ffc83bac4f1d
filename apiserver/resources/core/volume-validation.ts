// Rules of a pod's volumes; sources that persistent volumes have as well are in storage-source-validation.ts. Upstream:
// ValidateVolumes in pkg/apis/core/validation/validation.go, its slips in paths included.
import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import { isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateAnnotations, validateLabels } from '../meta.ts';
import { asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isEmpty, isObject, objects, oneOf, required, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateFieldSelector, validateResourceFieldSelector } from './field-ref-validation.ts';
import { validateClaimSpec } from './persistentvolumeclaim-validation.ts';
import { secondSource, validateDescendingPath, validateStorageSource } from './storage-source-validation.ts';

/** In the order in which upstream looks at them, which decides which of two sources gets the error. */
const sources = [
  'emptyDir', 'hostPath', 'gitRepo', 'gcePersistentDisk', 'awsElasticBlockStore', 'secret', 'nfs', 'iscsi', 'glusterfs', 'flocker', 'persistentVolumeClaim', 'rbd',
  'cinder', 'cephfs', 'quobyte', 'downwardAPI', 'fc', 'flexVolume', 'configMap', 'azureFile', 'vsphereVolume', 'photonPersistentDisk', 'portworxVolume', 'azureDisk',
  'storageos', 'projected', 'scaleIO', 'csi', 'ephemeral', 'image',
] as const;

/** A relative path that stays below where it starts and does not look like one that climbs. */
function validateLocalPath(path: string, field: string): FieldError[] {
  const hidden = path.startsWith('..') && !path.startsWith('../');
  return [...validateDescendingPath(path, field), ...(hidden ? [invalidField(field, path, "must not start with '..'")] : [])];
}
function validateMode(mode: unknown, field: string): FieldError[] {
  return typeof mode === 'number' && (mode < 0 || mode > 0o777) ? [invalidField(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive')] : [];
}
function validateItemPath(path: string, field: string): FieldError[] {
  return path === '' ? [required(field)] : validateLocalPath(path, field);
}
function validateItems(source: Obj, path: string): FieldError[] {
  return objects(source['items']).flatMap((item, index) => {
    const here = `${path}.items[${index}]`;
    return [...(text(item['key']) === '' ? [required(`${here}.key`)] : []), ...validateItemPath(text(item['path']), `${here}.path`), ...validateMode(item['mode'], `${here}.mode`)];
  });
}

const downwardFields = ['metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid'];
function validateDownwardItem(item: Obj, path: string): FieldError[] {
  const errors = validateItemPath(text(item['path']), `${path}.path`);
  const [field, resource] = [asObject(item['fieldRef']), asObject(item['resourceFieldRef'])];
  if (field) {
    errors.push(...validateFieldSelector(field, downwardFields, `${path}.fieldRef`));
    if (resource) errors.push(invalidField(path, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
  } else if (resource) errors.push(...validateResourceFieldSelector(resource, `${path}.resourceFieldRef`, true));
  else errors.push(required(path, 'one of fieldRef and resourceFieldRef is required'));
  return [...errors, ...validateMode(item['mode'], `${path}.mode`)];
}

function validateProjected(source: Obj, path: string): FieldError[] {
  const errors = validateMode(source['defaultMode'], `${path}.defaultMode`);
  const taken = new Set<string>();
  const take = (target: string, shown: string): void => {
    if (target === '') return;
    if (taken.has(target)) errors.push(invalidField(path, shown, 'conflicting duplicate paths'));
    taken.add(target);
  };
  objects(source['sources']).forEach((projection, index) => {
    const here = `${path}.sources[${index}]`;
    for (const kind of ['secret', 'configMap']) {
      const one = asObject(projection[kind]);
      if (!one) continue;
      if (text(one['name']) === '') errors.push(required(`${here}.${kind}.name`));
      const single = objects(one['items']);
      validateItems(one, `${here}.${kind}`).forEach((error) => errors.push(error));
      for (const item of single) take(text(item['path']), text(one['name']));
    }
    for (const item of objects(at(projection, 'downwardAPI', 'items'))) {
      errors.push(...validateDownwardItem(item, `${here}.downwardAPI`));
      take(text(item['path']), text(item['path']));
    }
    const token = asObject(projection['serviceAccountToken']);
    if (token) {
      const seconds = integer(token['expirationSeconds']) ?? 3600;
      const field = `${here}.serviceAccountToken.expirationSeconds`;
      if (seconds < 600) errors.push(invalidField(field, seconds, 'may not specify a duration less than 10 minutes'));
      if (seconds > 2 ** 32) errors.push(invalidField(field, seconds, 'may not specify a duration larger than 2^32 seconds'));
      errors.push(...validateItemPath(text(token['path']), `${path}.path`));
    }
    const given = ['secret', 'configMap', 'downwardAPI', 'serviceAccountToken'].filter((kind) => isObject(projection[kind]));
    if (given.length > 1) errors.push(forbiddenField(here, 'may not specify more than 1 volume type per source'));
  });
  return errors;
}

function validateEphemeral(source: Obj, path: string, podName: string, volumeName: string): FieldError[] {
  const template = asObject(source['volumeClaimTemplate']);
  const errors: FieldError[] = [];
  if (!template) errors.push(required(`${path}.volumeClaimTemplate`));
  else {
    const [meta, here] = [asObject(template['metadata']) ?? {}, `${path}.volumeClaimTemplate.metadata`];
    errors.push(...validateAnnotations(meta['annotations'], `${here}.annotations`), ...validateLabels(meta['labels'], `${here}.labels`));
    for (const field of forbiddenMeta) if (!isEmpty(meta[field])) errors.push(forbiddenField(`${here}.${field === 'uid' ? 'uID' : field}`, 'cannot be set'));
    errors.push(...validateClaimSpec(asObject(template['spec']) ?? {}, `${path}.volumeClaimTemplate.spec`));
  }
  if (podName !== '' && volumeName !== '') {
    const name = `${podName}-${volumeName}`;
    const field = `${path.slice(0, path.lastIndexOf('.'))}.name`;
    errors.push(...dns1123SubdomainErrors(name).map((why) => invalidField(field, volumeName, `PVC name ${JSON.stringify(name)}: ${why}`)));
  }
  return errors;
}
const forbiddenMeta = ['name', 'generateName', 'namespace', 'selfLink', 'uid', 'resourceVersion', 'generation', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'ownerReferences', 'finalizers', 'managedFields'];

export interface VolumeOwner {
  /** '' in templates. */
  podName: string;
  isPod: boolean;
}

function validateSource(kind: string, source: Obj, path: string, { podName, isPod }: VolumeOwner, name: string): FieldError[] {
  switch (kind) {
    case 'emptyDir': {
      const limit = source['sizeLimit'];
      return isQuantity(limit) && parseQuantity(limit).nanos < 0n ? [forbiddenField(`${path}.sizeLimit`, 'SizeLimit field must be a valid resource quantity')] : [];
    }
    case 'gitRepo': return [...(text(source['repository']) === '' ? [required(`${path}.repository`)] : []), ...validateDescendingPath(text(source['directory']), `${path}.directory`)];
    case 'secret': case 'configMap': {
      const field = kind === 'secret' ? 'secretName' : 'name';
      return [...(text(source[field]) === '' ? [required(`${path}.${field}`)] : []), ...validateMode(source['defaultMode'], `${path}.defaultMode`), ...validateItems(source, path)];
    }
    case 'persistentVolumeClaim': return text(source['claimName']) === '' ? [required(`${path}.claimName`)] : [];
    case 'downwardAPI': return [...validateMode(source['defaultMode'], `${path}.defaultMode`), ...objects(source['items']).flatMap((item) => validateDownwardItem(item, path))];
    case 'projected': return validateProjected(source, path);
    case 'ephemeral': return validateEphemeral(source, path, podName, name);
    case 'image': return [
      ...(isPod && text(source['reference']) === '' ? [required(`${path}.reference`)] : []),
      ...oneOf(`${path}.pullPolicy`, source['pullPolicy'], ['Always', 'IfNotPresent', 'Never']),
    ];
    default: return validateStorageSource(kind, source, path, { kind: 'volume', name });
  }
}

/** Also returns the volumes that are sound, by name: mounts of others are not found. */
export function validateVolumes(value: unknown, path: string, owner: VolumeOwner): { errors: FieldError[]; volumes: Map<string, Obj> } {
  const errors: FieldError[] = [];
  const volumes = new Map<string, Obj>();
  const list = objects(value);
  const claims = new Set(owner.podName === '' ? [] : list.filter((volume) => isObject(volume['ephemeral'])).map((volume) => `${owner.podName}-${text(volume['name'])}`));
  list.forEach((volume, index) => {
    const here = `${path}[${index}]`;
    const own: FieldError[] = [];
    const name = text(volume['name']);
    let found = false;
    for (const kind of sources) {
      const source = asObject(volume[kind]);
      if (!source) continue;
      own.push(...(found ? [forbiddenField(`${here}.${secondSource(kind)}`, 'may not specify more than 1 volume type')] : validateSource(kind, source, `${here}.${kind}`, owner, name)));
      found = true;
    }
    if (!found) own.push(required(here, 'must specify a volume type'));
    if (name === '') own.push(required(`${here}.name`));
    else own.push(...invalidAll(`${here}.name`, name, dns1123LabelErrors(name)));
    if (volumes.has(name)) own.push(duplicate(`${here}.name`, name));
    if (own.length === 0) volumes.set(name, volume);
    else errors.push(...own);
    const claim = text(at(volume, 'persistentVolumeClaim', 'claimName'));
    if (claims.has(claim)) errors.push(invalidField(`${here}.persistentVolumeClaim.claimName`, claim, 'must not reference a PVC that gets created for an ephemeral volume'));
  });
  return { errors, volumes };
}
