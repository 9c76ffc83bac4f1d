// Warnings of volumes and claims: plugins that are gone, storage in parts of a byte. Upstream: pkg/api/persistentvolume(claim)/util.go.
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, at, objects, text } from '../values.ts';
import { termWarnings } from './node-labels.ts';

/** Plugins by the field that names them, for volumes of pods and persistent ones alike. */
export const removedPlugins: Readonly<Record<string, string>> = {
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+',
  storageOS: 'deprecated in v1.22, non-functional in v1.25+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  quobyte: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
};
const shownAs: Readonly<Record<string, string>> = { storageos: 'storageOS' };

export function pluginWarnings(source: Readonly<Record<string, unknown>>, path: string, plugins: readonly string[]): string[] {
  return plugins.filter((name) => asObject(source[name])).map((name) => `${path}.${shownAs[name] ?? name}: ${removedPlugins[name] ?? ''}`);
}

/** A canonical quantity with parts of one. */
export function fractionWarnings(amounts: unknown, path: string, resources: readonly string[]): string[] {
  return resources.flatMap((resource) => {
    const amount = asObject(amounts)?.[resource];
    return typeof amount === 'string' && /[num]$/.test(amount) ? [`${path}[${resource}]: fractional byte value ${JSON.stringify(amount)} is invalid, must be an integer`] : [];
  });
}

export function claimSpecWarnings(spec: unknown, path: string): string[] {
  const resources = asObject(asObject(spec)?.['resources']);
  return [...fractionWarnings(resources?.['requests'], `${path}.resources.requests`, ['storage']), ...fractionWarnings(resources?.['limits'], `${path}.resources.limits`, ['storage'])];
}

export function claimWarnings(object: Readonly<KubeObject>): string[] {
  const annotation = 'volume.beta.kubernetes.io/storage-class';
  return [
    ...(object.metadata?.annotations?.[annotation] === undefined ? [] : [`metadata.annotations[${annotation}]: deprecated since v1.8; use "storageClassName" attribute instead`]),
    ...claimSpecWarnings(object['spec'], 'spec'),
  ];
}

export function volumeWarnings(object: Readonly<KubeObject>): string[] {
  const annotations = object.metadata?.annotations ?? {};
  const spec = asObject(object['spec']) ?? {};
  return [
    ...[['storage-class', 'deprecated since v1.8; use "storageClassName" attribute instead'], ['mount-options', 'deprecated since v1.31; use "mountOptions" attribute instead']] .flatMap(([name, message]) =>
      annotations[`volume.beta.kubernetes.io/${name}`] === undefined ? [] : [`metadata.annotations[volume.beta.kubernetes.io/${name}]: ${message}`]),
    ...(text(spec['persistentVolumeReclaimPolicy']) === 'Recycle' ? ['spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.'] : []),
    ...objects(at(spec, 'nodeAffinity', 'required', 'nodeSelectorTerms')).flatMap((term, i) => termWarnings(term, `spec.nodeAffinity.required.nodeSelectorTerms[${i}]`)),
    ...pluginWarnings(spec, 'spec', ['cephfs', 'photonPersistentDisk', 'scaleIO', 'storageos', 'glusterfs', 'rbd']),
  ];
}
