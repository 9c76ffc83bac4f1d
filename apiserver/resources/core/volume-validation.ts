// Rules of volumes: one source each, and the sources that run here in full; sources of storage systems are checked for
// what upstream requires of them. Paths are upstream's, its slips included.
import { dns1123LabelErrors, dns1123SubdomainErrors, inRangeErrors } from '#machinery/api/names.ts';
import { parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, duplicate, entries, forbiddenField, integer, invalidAll, invalidField, isEmpty, isObject, notSupported, objects, required, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateFieldSelector, validateResourceFieldSelector } from './field-ref-validation.ts';

/** In the order of the type, which decides which of two sources gets the error; some show under another name. */
const sources = [
  'emptyDir', 'hostPath', 'gitRepo', 'gcePersistentDisk', 'awsElasticBlockStore', 'secret', 'nfs', 'iscsi', 'glusterfs', 'persistentVolumeClaim', 'rbd', 'cinder',
  'cephfs', 'flocker', 'downwardAPI', 'fc', 'configMap', 'azureFile', 'flexVolume', 'vsphereVolume', 'quobyte', 'azureDisk', 'photonPersistentDisk',
  'portworxVolume', 'scaleIO', 'storageos', 'projected', 'csi', 'ephemeral', 'image',
];
const shownAs: Readonly<Record<string, string>> = { cephfs: 'cephFS', downwardAPI: 'downwarAPI' };
const pathOf: Readonly<Record<string, string>> = { gcePersistentDisk: 'persistentDisk' };
const neededFields: Readonly<Record<string, readonly string[]>> = {
  rbd: ['monitors', 'image'], cephfs: ['monitors'], cinder: ['volumeID'], glusterfs: ['endpoints', 'path'], flexVolume: ['driver'],
  azureFile: ['secretName', 'shareName'], azureDisk: ['diskName', 'diskURI'], vsphereVolume: ['volumePath'], photonPersistentDisk: ['pdID'],
  portworxVolume: ['volumeID'], scaleIO: ['gateway', 'system', 'volumeName'], storageos: ['volumeName'], gcePersistentDisk: ['pdName'],
  awsElasticBlockStore: ['volumeID'], quobyte: ['registry', 'volume'], gitRepo: ['repository'], iscsi: ['targetPortal', 'iqn'], nfs: ['server', 'path'],
  hostPath: ['path'], secret: ['secretName'], configMap: ['name'], persistentVolumeClaim: ['claimName'],
};

/** A relative path that stays below where it starts. */
export function validateLocalPath(path: string, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (path.startsWith('/')) errors.push(invalidField(field, path, 'must be a relative path'));
  if (path.split('/').includes('..')) errors.push(invalidField(field, path, "must not contain '..'"));
  if (path.startsWith('..') && !path.startsWith('../')) errors.push(invalidField(field, path, "must not start with '..'"));
  return errors;
}

function validateMode(mode: unknown, field: string): FieldError[] {
  return typeof mode === 'number' && (mode < 0 || mode > 0o777) ? [invalidField(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive')] : [];
}
function validateKeyToPath(source: Obj, path: string): FieldError[] {
  return objects(source['items']).flatMap((item, index) => {
    const here = `${path}.items[${index}]`;
    const target = text(item['path']);
    return [
      ...(text(item['key']) === '' ? [required(`${here}.key`)] : []),
      ...(target === '' ? [required(`${here}.path`)] : validateLocalPath(target, `${here}.path`)),
      ...validateMode(item['mode'], `${here}.mode`),
    ];
  });
}
const downwardFields = ['metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid'];
function validateDownwardItem(item: Obj, path: string): FieldError[] {
  const target = text(item['path']);
  const errors: FieldError[] = target === '' ? [required(`${path}.path`)] : validateLocalPath(target, `${path}.path`);
  const [field, resource] = [asObject(item['fieldRef']), asObject(item['resourceFieldRef'])];
  if (field) {
    errors.push(...validateFieldSelector(field, downwardFields, `${path}.fieldRef`));
    if (resource) errors.push(invalidField(path, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
  } else if (resource) errors.push(...validateResourceFieldSelector(resource, `${path}.resourceFieldRef`, true));
  else errors.push(required(path, 'one of fieldRef and resourceFieldRef is required'));
  return [...errors, ...validateMode(item['mode'], `${path}.mode`)];
}

function validateProjected(source: Obj, path: string): FieldError[] {
  const errors: FieldError[] = validateMode(source['defaultMode'], `${path}.defaultMode`);
  const taken = new Set<string>();
  const take = (target: string, shown: string): void => {
    if (target === '') return;
    if (taken.has(target)) errors.push(invalidField(path, shown, 'conflicting duplicate paths'));
    taken.add(target);
  };
  objects(source['sources']).forEach((projection, index) => {
    const here = `${path}.sources[${index}]`;
    const kinds = ['secret', 'configMap', 'downwardAPI', 'serviceAccountToken', 'clusterTrustBundle', 'podCertificate'].filter((kind) => isObject(projection[kind]));
    if (kinds.length > 1) errors.push(forbiddenField(`${here}.${kinds[1]}`, 'may not specify more than 1 volume type per source'));
    for (const kind of ['secret', 'configMap']) {
      const one = asObject(projection[kind]);
      if (!one) continue;
      if (text(one['name']) === '') errors.push(required(`${here}.${kind}.name`));
      errors.push(...validateKeyToPath(one, `${here}.${kind}`));
      for (const item of objects(one['items'])) take(text(item['path']), text(one['name']));
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
      const target = text(token['path']);
      errors.push(...(target === '' ? [required(`${path}.path`)] : validateLocalPath(target, `${path}.path`)));
      take(target, target);
    }
    const bundle = asObject(projection['clusterTrustBundle']);
    if (bundle) {
      const [name, signer] = [bundle['name'] !== undefined, bundle['signerName'] !== undefined];
      if (!name && !signer) errors.push(required(`${here}.clusterTrustBundle`, 'either name or signerName must be specified'));
      if (name && signer) errors.push(invalidField(`${here}.clusterTrustBundle`, bundle, 'only one of name and signerName may be used'));
      const target = text(bundle['path']);
      if (target === '') errors.push(required(`${here}.clusterTrustBundle.path`));
      else errors.push(...validateLocalPath(target, `${here}.clusterTrustBundle.path`));
      take(target, target);
    }
  });
  return errors;
}

const hostPathTypes = ['', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket'];

function validateSource(kind: string, source: Obj, path: string, podName: string, volumeName: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of neededFields[kind] ?? []) {
    if (!isEmpty(source[field])) continue;
    errors.push(kind === 'quobyte' && field === 'registry' ? required(`${path}.registry`, 'must be a host:port pair or multiple pairs separated by commas') : required(`${path}.${field}`));
  }
  switch (kind) {
    case 'emptyDir': {
      const limit = source['sizeLimit'];
      if (typeof limit === 'string' && parseQuantity(limit).nanos < 0n) errors.push(forbiddenField(`${path}.sizeLimit`, 'SizeLimit field must be a valid resource quantity'));
      break;
    }
    case 'hostPath': {
      const host = text(source['path']);
      if (host.split('/').includes('..')) errors.push(invalidField(`${path}.path`, host, "must not contain '..'"));
      const type = text(source['type']);
      if (!hostPathTypes.includes(type)) errors.push(notSupported(`${path}.type`, type, hostPathTypes));
      break;
    }
    case 'secret': case 'configMap':
      errors.push(...validateMode(source['defaultMode'], `${path}.defaultMode`), ...validateKeyToPath(source, path));
      break;
    case 'downwardAPI':
      errors.push(...validateMode(source['defaultMode'], `${path}.defaultMode`), ...objects(source['items']).flatMap((item) => validateDownwardItem(item, path)));
      break;
    case 'projected': errors.push(...validateProjected(source, path)); break;
    case 'nfs':
      if (!text(source['path']).startsWith('/')) errors.push(invalidField(`${path}.path`, text(source['path']), 'must be an absolute path'));
      break;
    case 'csi': {
      const driver = text(source['driver']);
      if (driver === '') errors.push(required(`${path}.driver`));
      else errors.push(...invalidAll(`${path}.driver`, driver, dns1123SubdomainErrors(driver.toLowerCase())));
      if (Buffer.byteLength(driver) > 63) errors.push({ type: 'TooLong', field: `${path}.driver`, detail: 'may not be more than 63 bytes' });
      const secret = asObject(source['nodePublishSecretRef']);
      if (secret && text(secret['name']) === '') errors.push(required(`${path}.nodePublishSecretRef.name`));
      break;
    }
    case 'ephemeral': {
      const template = asObject(source['volumeClaimTemplate']);
      if (!template) errors.push(required(`${path}.volumeClaimTemplate`));
      for (const field of Object.keys(asObject(template?.['metadata']) ?? {})) {
        if (field !== 'labels' && field !== 'annotations') errors.push(forbiddenField(`${path}.volumeClaimTemplate.metadata.${field}`, 'cannot be set'));
      }
      if (podName !== '') {
        const wrong = dns1123SubdomainErrors(`${podName}-${volumeName}`);
        const field = path.slice(0, path.lastIndexOf('.'));
        errors.push(...wrong.map((why) => invalidField(`${field}.name`, volumeName, `PVC name "${podName}-${volumeName}": ${why}`)));
      }
      break;
    }
    case 'image': {
      const policy = text(source['pullPolicy']);
      if (!['Always', 'IfNotPresent', 'Never'].includes(policy)) errors.push(notSupported(`${path}.pullPolicy`, policy, ['Always', 'IfNotPresent', 'Never']));
      break;
    }
    default: errors.push(...validateStorage(kind, source, path, volumeName)); break;
  }
  return errors;
}

/** Sources of storage systems, where more than presence is asked. */
function validateStorage(kind: string, source: Obj, path: string, volumeName: string): FieldError[] {
  const errors: FieldError[] = [];
  const needRange = (field: string, low: number, high: number): void => {
    const number = integer(source[field]) ?? low;
    errors.push(...invalidAll(`${path}.${field}`, number, inRangeErrors(number, low, high)));
  };
  switch (kind) {
    case 'gcePersistentDisk': case 'awsElasticBlockStore':
      // 0 is "not given", though the text does not say so.
      if (!isEmpty(source['partition'])) needRange('partition', 1, 255);
      break;
    case 'iscsi': {
      const iqn = text(source['iqn']);
      const portal = text(source['targetPortal']);
      if (iqn !== '' && !/^(iqn|eui|naa)\./.test(iqn)) errors.push(invalidField(`${path}.iqn`, iqn, 'must be valid format starting with iqn, eui, or naa'));
      else if (iqn !== '' && !iscsiName.test(iqn)) errors.push(invalidField(`${path}.iqn`, iqn, 'must be valid format'));
      needRange('lun', 0, 255);
      if ((source['chapAuthDiscovery'] === true || source['chapAuthSession'] === true) && !isObject(source['secretRef'])) errors.push(required(`${path}.secretRef`));
      if (source['initiatorName'] !== undefined && `${volumeName}:${portal}`.length > 64) {
        errors.push(invalidField(`${path.slice(0, path.lastIndexOf('.'))}.name`, volumeName, 'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.'));
      }
      break;
    }
    case 'fc': {
      const [names, ids] = [!isEmpty(source['targetWWNs']), !isEmpty(source['wwids'])];
      if (!names && !ids) errors.push(required(`${path}.targetWWNs`, 'must specify either targetWWNs or wwids, but not both'));
      if (names && ids) errors.push(invalidField(`${path}.targetWWNs`, source['targetWWNs'], 'targetWWNs and wwids can not be specified simultaneously'));
      if (names && source['lun'] === undefined) errors.push(required(`${path}.lun`, 'lun is required if targetWWNs is specified'));
      else if (names) needRange('lun', 0, 255);
      break;
    }
    case 'flexVolume':
      for (const [key] of entries(source['options'])) {
        if (/(^|\.)(kubernetes|k8s)\.io\//.test(key)) errors.push(invalidField(`${path}.options[${key}]`, key, 'kubernetes.io and k8s.io namespaces are reserved'));
      }
      break;
    case 'flocker': {
      const [name, uuid] = [text(source['datasetName']), text(source['datasetUUID'])];
      if (name === '' && uuid === '') errors.push(required(path, 'one of datasetName and datasetUUID is required'));
      if (name !== '' && uuid !== '') errors.push(invalidField(path, 'resource', 'datasetName and datasetUUID can not be specified simultaneously'));
      if (name.includes('/')) errors.push(invalidField(`${path}.datasetName`, name, "must not contain '/'"));
      break;
    }
    default: break;
  }
  return errors;
}
const iscsiName = /^(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[^,;*&$|\s]+)?|eui\.[0-9A-Fa-f]{16}|naa\.[0-9A-Fa-f]{32}|naa\.[0-9A-Fa-f]{16})$/i;

/** Also returns the volumes that are sound, by name: mounts of others are not found. */
export function validateVolumes(value: unknown, path: string, podName: string): { errors: FieldError[]; volumes: Map<string, Obj> } {
  const errors: FieldError[] = [];
  const volumes = new Map<string, Obj>();
  const names = new Set<string>();
  const claims = new Set(objects(value).flatMap((volume) => (isObject(volume['ephemeral']) ? [`${podName}-${text(volume['name'])}`] : [])));
  objects(value).forEach((volume, index) => {
    const here = `${path}[${index}]`;
    const own: FieldError[] = [];
    const name = text(volume['name']);
    const given = sources.filter((kind) => isObject(volume[kind]));
    given.forEach((kind, position) => {
      if (position > 0) own.push(forbiddenField(`${here}.${shownAs[kind] ?? kind}`, 'may not specify more than 1 volume type'));
      else own.push(...validateSource(kind, asObject(volume[kind]) ?? {}, `${here}.${pathOf[kind] ?? kind}`, podName, name));
    });
    const claim = text(at(volume, 'persistentVolumeClaim', 'claimName'));
    if (podName !== '' && claims.has(claim)) own.push(invalidField(`${here}.persistentVolumeClaim.claimName`, claim, 'must not reference a PVC that gets created for an ephemeral volume'));
    if (given.length === 0) own.push(required(here, 'must specify a volume type'));
    if (name === '') own.push(required(`${here}.name`));
    else {
      own.push(...invalidAll(`${here}.name`, name, dns1123LabelErrors(name)));
      if (names.has(name)) own.push(duplicate(`${here}.name`, name));
    }
    if (own.length === 0) {
      names.add(name);
      volumes.set(name, volume);
    }
    errors.push(...own);
  });
  return { errors, volumes };
}
