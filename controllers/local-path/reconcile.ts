// Which claims a local folder can serve, what their volume looks like, and what has to happen for one to be gone; without I/O.
import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { folderAnnotation, isVolumeName, nodeAnnotation, provisioner, removalsOf, volumeNameFor } from '#machinery/api/local-path.ts';
import { annotation, waitsForConsumer } from '#machinery/api/volumes.ts';

/** Keeps a volume's object until its folder is gone; the name that upstream's library for provisioners uses. */
export const finalizer = 'external-provisioner.volume.kubernetes.io/finalizer';

export function isOurs(volume: PersistentVolume): boolean {
  return volume.metadata.annotations?.[annotation.provisionedBy] === provisioner;
}
/** It waits for a volume of ours. */
export function isAsked(claim: PersistentVolumeClaim): boolean {
  return claim.metadata.annotations?.[annotation.storageProvisioner] === provisioner && !claim.spec?.volumeName && claim.metadata.deletionTimestamp === undefined;
}

/** Why the claim can have no such volume, whatever the node; undefined when it can. */
export function refusal(claim: PersistentVolumeClaim, storageClass: StorageClass): string | undefined {
  const { spec = {} } = claim;
  const unknown = Object.keys(storageClass.parameters ?? {}).sort();
  if (unknown.length > 0) return `unknown parameter ${unknown.map((name) => JSON.stringify(name)).join(', ')}: ${provisioner} takes none`;
  if ((storageClass.mountOptions?.length ?? 0) > 0) return 'mountOptions are not supported: a folder is not mounted';
  if (!waitsForConsumer(storageClass)) return 'volumeBindingMode must be WaitForFirstConsumer: a folder is on one node, and the pod says which';
  if (spec.volumeMode === 'Block') return 'volumeMode Block is not supported: a folder is no device';
  const shared = (spec.accessModes ?? []).filter((mode) => mode !== 'ReadWriteOnce' && mode !== 'ReadWriteOncePod');
  if (shared.length > 0) return `accessModes ${shared.join(', ')} are not supported: a folder can be reached from one node`;
  if (spec.selector) return 'claim Selector is not supported';
  if (spec.dataSource ?? spec.dataSourceRef) return 'dataSource is not supported';
  if (spec.volumeAttributesClassName) return 'volumeAttributesClassName is not supported';
  return undefined;
}

/** Why this node cannot hold a volume, so that another one is to be chosen. */
export function unfitNode(name: string, node: Node | undefined): string | undefined {
  if (!node) return `node ${JSON.stringify(name)} not found`;
  const folder = node.metadata.annotations?.[folderAnnotation];
  if (!folder) return `node ${JSON.stringify(name)} has no folder for local volumes`;
  if (!folder.startsWith('/') || folder.split('/').some((part) => part === '..' || part === '.')) return `node ${JSON.stringify(name)} names ${JSON.stringify(folder)}, which is no absolute path`;
  return undefined;
}

export function volumeFor(claim: PersistentVolumeClaim, storageClass: StorageClass, node: Node): PersistentVolume {
  const { name = '', namespace = '', uid = '', resourceVersion = '' } = claim.metadata;
  const volume = volumeNameFor(uid);
  if (!isVolumeName(volume)) throw new Error(`uid ${JSON.stringify(uid)} of claim ${namespace}/${name} is none`);
  const nodeName = node.metadata.name ?? '';
  return {
    apiVersion: 'v1', kind: 'PersistentVolume',
    metadata: { name: volume, annotations: { [annotation.provisionedBy]: provisioner, [nodeAnnotation]: nodeName }, finalizers: [finalizer] },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.storage ?? '0' },
      accessModes: claim.spec?.accessModes ?? [],
      volumeMode: 'Filesystem',
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
      storageClassName: storageClass.metadata.name ?? '',
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid, resourceVersion },
      local: { path: `${node.metadata.annotations?.[folderAnnotation]?.replace(/\/+$/, '')}/${volume}` },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node.metadata.labels?.['kubernetes.io/hostname'] ?? nodeName] }] }] } },
    },
  };
}

export type RemovalStep =
  | { kind: 'nothing' }
  | { kind: 'ask'; node: string }
  | { kind: 'wait' }
  /** The node tries again by itself. */
  | { kind: 'failed'; message: string }
  /** The folder is gone, or stays on purpose: so goes the object. */
  | { kind: 'delete' };

/** `nodeOf` answers undefined for a node that certainly is not there any more: its disk went with it. */
export function removalStep(volume: PersistentVolume, nodeOf: (name: string) => Node | undefined): RemovalStep {
  const deleting = volume.metadata.deletionTimestamp !== undefined;
  if (volume.spec?.persistentVolumeReclaimPolicy !== 'Delete') return deleting ? { kind: 'delete' } : { kind: 'nothing' };
  // In use, or not yet let go by its claim.
  if (volume.status?.phase !== 'Released' && volume.status?.phase !== 'Failed' && !(deleting && !volume.spec.claimRef)) return { kind: 'nothing' };
  if (!volume.metadata.finalizers?.includes(finalizer)) return deleting ? { kind: 'nothing' } : { kind: 'delete' };
  const node = nodeOf(volume.metadata.annotations?.[nodeAnnotation] ?? '');
  if (!node) return { kind: 'delete' };
  const name = node.metadata.name ?? '';
  const removal = removalsOf(node.metadata.annotations).get(volume.metadata.name ?? '');
  if (removal === undefined) return { kind: 'ask', node: name };
  if (removal === 'done') return { kind: 'delete' };
  return removal.startsWith('failed: ') ? { kind: 'failed', message: removal.slice('failed: '.length) } : { kind: 'wait' };
}
