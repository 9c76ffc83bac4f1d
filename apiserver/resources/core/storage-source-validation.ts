// Rules of the storage that volumes of pods and persistent volumes name alike. A source gets its errors in upstream's order:
// pkg/apis/core/validation/validation.go, validate…VolumeSource. Some paths are upstream's slips (`persistentDisk`).
import { dns1123LabelErrors, dns1123SubdomainErrors, inRangeErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { nameIsLabel } from '../meta.ts';
import { asObject, entries, integer, invalidAll, invalidField, isEmpty, isObject, notSupported, required, text, tooLong } from '../values.ts';
import type { Obj } from '../values.ts';

/** Whose source it is; persistent volumes name secrets with their namespace. */
export interface SourceOwner {
  kind: 'volume' | 'persistentVolume';
  name: string;
}
type Rule = (source: Obj, path: string, owner: SourceOwner) => FieldError[];

export function validateNoBacksteps(path: string, field: string): FieldError[] {
  return path.split('/').includes('..') ? [invalidField(field, path, "must not contain '..'")] : [];
}
/** A relative path that stays below where it starts. */
export function validateDescendingPath(path: string, field: string): FieldError[] {
  return [...(path.startsWith('/') ? [invalidField(field, path, 'must be a relative path')] : []), ...validateNoBacksteps(path, field)];
}

const need = (...fields: string[]): Rule => (source, path) => fields.flatMap((field) => (isEmpty(source[field]) ? [required(`${path}.${field}`)] : []));

function validateSecretRef(source: Obj, path: string, { kind }: SourceOwner): FieldError[] {
  const secret = asObject(source['secretRef']);
  return secret ? need('name', ...(kind === 'persistentVolume' ? ['namespace'] : []))(secret, `${path}.secretRef`, { kind, name: '' }) : [];
}

const partition: Rule = ({ partition: number }, path) => {
  const given = integer(number) ?? 0;
  // 0 is "not given", though the text does not say so.
  return given < 0 || given > 255 ? [invalidField(`${path}.partition`, given, 'must be between 1 and 255, inclusive')] : [];
};

const iscsiNames: Readonly<Record<string, RegExp>> = {
  iqn: /iqn\.\d{4}-\d{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$/,
  eui: /^eui.[A-Za-z0-9]{16}$/,
  naa: /^naa.[A-Za-z0-9]{32}$/,
};
function validateIscsiName(name: string, field: string, { kind }: SourceOwner): FieldError[] {
  const shape = iscsiNames[name.slice(0, 3)];
  if (!shape) return [invalidField(field, name, kind === 'volume' ? 'must be valid format starting with iqn, eui, or naa' : 'must be valid format')];
  return shape.test(name) ? [] : [invalidField(field, name, 'must be valid format')];
}
const iscsi: Rule = (source, path, owner) => {
  const [portal, iqn, lun] = [text(source['targetPortal']), text(source['iqn']), integer(source['lun']) ?? 0];
  const initiator = source['initiatorName'];
  const errors = need('targetPortal')(source, path, owner);
  const tooMuch = 'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.';
  const isLong = initiator !== undefined && Buffer.byteLength(`${owner.name}:${portal}`) > 64;
  if (isLong && owner.kind === 'persistentVolume') errors.push(invalidField(`${path}.targetportal`, portal, tooMuch));
  if (iqn === '') errors.push(required(`${path}.iqn`));
  else errors.push(...validateIscsiName(iqn, `${path}.iqn`, owner));
  errors.push(...invalidAll(`${path}.lun`, lun, inRangeErrors(lun, 0, 255)));
  if ((source['chapAuthDiscovery'] === true || source['chapAuthSession'] === true) && !isObject(source['secretRef'])) errors.push(required(`${path}.secretRef`));
  if (owner.kind === 'persistentVolume' && isObject(source['secretRef'])) errors.push(...need('name')(source['secretRef'], `${path}.secretRef`, owner));
  if (initiator !== undefined) errors.push(...validateIscsiName(text(initiator), `${path}.initiatorname`, owner));
  if (isLong && owner.kind === 'volume') errors.push(invalidField(`${path.slice(0, path.lastIndexOf('.'))}.name`, owner.name, tooMuch));
  return errors;
};

const fc: Rule = (source, path) => {
  const [names, ids] = [!isEmpty(source['targetWWNs']), !isEmpty(source['wwids'])];
  const lun = integer(source['lun']);
  const errors: FieldError[] = [];
  if (!names && !ids) errors.push(required(`${path}.targetWWNs`, 'must specify either targetWWNs or wwids, but not both'));
  if (names && ids) errors.push(invalidField(`${path}.targetWWNs`, source['targetWWNs'], 'targetWWNs and wwids can not be specified simultaneously'));
  if (names && lun === undefined) errors.push(required(`${path}.lun`, 'lun is required if targetWWNs is specified'));
  else if (names && lun !== undefined) errors.push(...invalidAll(`${path}.lun`, lun, inRangeErrors(lun, 0, 255)));
  return errors;
};

const quobyte: Rule = (source, path, owner) => {
  const pairs = 'must be a host:port pair or multiple pairs separated by commas';
  const registry = text(source['registry']);
  const errors: FieldError[] = [];
  if (registry === '') errors.push(required(`${path}.registry`, pairs));
  else if (Buffer.byteLength(text(source['tenant'])) >= 65) errors.push(required(`${path}.tenant`, 'must be a UUID and may not exceed a length of 64 characters'));
  else errors.push(...registry.split(',').filter((pair) => !/^(\[[^[\]]*\]|[^:[\]]*):[^:[\]]*$/.test(pair)).map(() => invalidField(`${path}.registry`, registry, pairs)));
  return [...errors, ...need('volume')(source, path, owner)];
};

const glusterfs: Rule = (source, path, owner) => {
  const errors = need('endpoints', 'path')(source, path, owner);
  const namespace = source['endpointsNamespace'];
  if (owner.kind === 'volume' || typeof namespace !== 'string') return errors;
  const field = `${path}.endpointsNamespace`;
  return [...errors, ...(namespace === '' ? [invalidField(field, '', 'if the endpointnamespace is set, it must be a valid namespace name')] : invalidAll(field, namespace, nameIsLabel(namespace, false)))];
};

const flocker: Rule = (source, path) => {
  const [name, uuid] = [text(source['datasetName']), text(source['datasetUUID'])];
  const errors: FieldError[] = [];
  if (name === '' && uuid === '') errors.push(required(path, 'one of datasetName and datasetUUID is required'));
  if (name !== '' && uuid !== '') errors.push(invalidField(path, 'resource', 'datasetName and datasetUUID can not be specified simultaneously'));
  if (name.includes('/')) errors.push(invalidField(`${path}.datasetName`, name, "must not contain '/'"));
  return errors;
};

const flexVolume: Rule = (source, path, owner) => [
  ...need('driver')(source, path, owner),
  ...entries(source['options']).flatMap(([key]) => {
    const namespace = `.${key.split('/', 1)[0] ?? ''}`.toLowerCase();
    const reserved = namespace.endsWith('.kubernetes.io') || namespace.endsWith('.k8s.io');
    return reserved ? [invalidField(`${path}.options[${key}]`, key, 'kubernetes.io and k8s.io namespaces are reserved')] : [];
  }),
];

const azureDisk: Rule = (source, path, owner) => {
  const errors = need('diskName', 'diskURI')(source, path, owner);
  const [caching, kind, uri] = [text(source['cachingMode']), text(source['kind']), text(source['diskURI'])];
  const cachings = ['None', 'ReadOnly', 'ReadWrite'];
  const kinds = ['Dedicated', 'Managed', 'Shared'];
  if (!cachings.includes(caching)) errors.push(notSupported(`${path}.cachingMode`, caching, cachings));
  if (!kinds.includes(kind)) errors.push(notSupported(`${path}.kind`, kind, kinds));
  if (kind === 'Managed' && !uri.startsWith('/subscriptions/')) {
    errors.push(notSupported(`${path}.diskURI`, uri, ['/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}']));
  }
  if (kind !== 'Managed' && !uri.startsWith('https://')) errors.push(notSupported(`${path}.diskURI`, uri, ['https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd']));
  return errors;
};

const azureFile: Rule = (source, path, owner) => [
  ...need('secretName', 'shareName')(source, path, owner),
  ...(owner.kind === 'persistentVolume' && source['secretNamespace'] === '' ? [required(`${path}.secretNamespace`)] : []),
];

const storageos: Rule = (source, path, owner) => {
  const [name, namespace] = [text(source['volumeName']), text(source['volumeNamespace'])];
  return [
    ...(name === '' ? [required(`${path}.volumeName`)] : invalidAll(`${path}.volumeName`, name, dns1123LabelErrors(name))),
    ...(namespace === '' ? [] : invalidAll(`${path}.volumeNamespace`, namespace, dns1123LabelErrors(namespace))),
    ...validateSecretRef(source, path, owner),
  ];
};

const hostPathTypes = ['', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket'];
const hostPath: Rule = (source, path) => {
  const [host, type] = [text(source['path']), text(source['type'])];
  if (host === '') return [required(`${path}.path`)];
  return [...validateNoBacksteps(host, `${path}.path`), ...(hostPathTypes.includes(type) ? [] : [notSupported(`${path}.type`, type, hostPathTypes)])];
};
const local: Rule = (source, path) => {
  const where = text(source['path']);
  return where === '' ? [required(`${path}.path`)] : validateNoBacksteps(where, `${path}.path`);
};

function validateDriver(driver: string, field: string): FieldError[] {
  if (driver === '') return [required(field)];
  return [...(Buffer.byteLength(driver) > 63 ? [tooLong(field, 63)] : []), ...invalidAll(field, driver, dns1123SubdomainErrors(driver.toLowerCase()))];
}
const csiSecrets = ['controllerPublishSecretRef', 'controllerExpandSecretRef', 'nodePublishSecretRef', 'nodeExpandSecretRef'];
const csi: Rule = (source, path, owner) => {
  const errors = validateDriver(text(source['driver']), `${path}.driver`);
  if (owner.kind === 'volume') {
    const secret = asObject(source['nodePublishSecretRef']);
    const name = text(secret?.['name']);
    if (secret) errors.push(...(name === '' ? [required(`${path}.nodePublishSecretRef.name`)] : invalidAll(`${path}.name`, name, dns1123SubdomainErrors(name))));
    return errors;
  }
  errors.push(...need('volumeHandle')(source, path, owner));
  for (const field of csiSecrets) {
    const secret = asObject(source[field]);
    if (!secret) continue;
    const [name, namespace] = [text(secret['name']), text(secret['namespace'])];
    errors.push(...(name === '' ? [required(`${path}.${field}.name`)] : invalidAll(`${path}.${field}.name`, name, dns1123SubdomainErrors(name))));
    errors.push(...(namespace === '' ? [required(`${path}.${field}.namespace`)] : invalidAll(`${path}.${field}.namespace`, namespace, dns1123LabelErrors(namespace))));
  }
  return errors;
};

/** By the field of the source. */
const rules: Readonly<Record<string, Rule>> = {
  hostPath, iscsi, fc, quobyte, glusterfs, flocker, flexVolume, azureDisk, azureFile, storageos, local, csi,
  gcePersistentDisk: (source, path, owner) => [...need('pdName')(source, path, owner), ...partition(source, path, owner)],
  awsElasticBlockStore: (source, path, owner) => [...need('volumeID')(source, path, owner), ...partition(source, path, owner)],
  nfs: (source, path, owner) => [
    ...need('server', 'path')(source, path, owner),
    ...(text(source['path']).startsWith('/') ? [] : [invalidField(`${path}.path`, text(source['path']), 'must be an absolute path')]),
  ],
  rbd: need('monitors', 'image'),
  cephfs: need('monitors'),
  cinder: (source, path, owner) => [...need('volumeID')(source, path, owner), ...validateSecretRef(source, path, owner)],
  vsphereVolume: need('volumePath'),
  photonPersistentDisk: need('pdID'),
  portworxVolume: need('volumeID'),
  scaleIO: need('gateway', 'system', 'volumeName'),
};

/** `path` leads to the source. */
export function validateStorageSource(kind: string, source: Obj, path: string, owner: SourceOwner): FieldError[] {
  const shown = kind === 'gcePersistentDisk' ? path.replace(/gcePersistentDisk$/, 'persistentDisk') : path;
  return rules[kind]?.(source, shown, owner) ?? [];
}

/** The second and further ones of several sources are refused by this name. */
export function secondSource(kind: string): string {
  return kind === 'cephfs' ? 'cephFS' : kind === 'downwardAPI' ? 'downwarAPI' : kind;
}
