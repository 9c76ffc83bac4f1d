// Which CSI volumes belong on a node and what its attachments say of them, without I/O.
// Upstream: pkg/controller/volume/attachdetach, pkg/volume/csi/csi_attacher.go.
import { createHash } from 'node:crypto';
import type { Node, PersistentVolume, Pod } from '#machinery/api/object.ts';
import type { ObjectMeta } from '#machinery/api/object.ts';
import { readiness } from '../node-lifecycle/reconcile.ts';

export interface VolumeAttachment {
  metadata: ObjectMeta;
  spec: { attacher: string; nodeName: string; source: { persistentVolumeName?: string } };
  status?: { attached?: boolean; attachError?: { message?: string; time?: string } };
}
export interface CsiDriver { metadata: ObjectMeta; spec?: { attachRequired?: boolean } }

const managedAnnotation = 'volumes.kubernetes.io/controller-managed-attach-detach';
/** How long a node that is not ready may say that a volume is in use. */
const drainMs = 6 * 60_000;

/** The node's kubelet leaves attaching to this controller. */
export function isManaged(node: Node | undefined): boolean {
  return node?.metadata.annotations?.[managedAnnotation] === 'true';
}

/** Its volumes have to be there. */
export function needsVolumes({ metadata, spec, status }: Pod): boolean {
  if (!spec?.nodeName || status?.phase === 'Failed' || status?.phase === 'Succeeded') return false;
  if (metadata.deletionTimestamp === undefined) return true;
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? []), ...(status?.ephemeralContainerStatuses ?? [])];
  return all.some(({ state }) => !state?.terminated && !state?.waiting);
}

/** As kubelets speak of it in volumesInUse. */
export function uniqueName({ spec }: PersistentVolume): string {
  return `kubernetes.io/csi/${spec?.csi?.driver}^${spec?.csi?.volumeHandle}`;
}
/** The same for everybody who attaches the volume to the node: an attachment that is made twice is one. */
export function attachmentName({ spec }: PersistentVolume, node: string): string {
  return `csi-${createHash('sha256').update(`${spec?.csi?.volumeHandle}${spec?.csi?.driver}${node}`).digest('hex')}`;
}
/** Attached by us: others have names of their own. */
export const isOurs = ({ metadata }: VolumeAttachment): boolean => /^csi-[0-9a-f]{64}$/.test(metadata.name ?? '');

export function attachmentOf(volume: PersistentVolume, node: string): object {
  return {
    apiVersion: 'storage.k8s.io/v1', kind: 'VolumeAttachment', metadata: { name: attachmentName(volume, node) },
    spec: { attacher: volume.spec?.csi?.driver, nodeName: node, source: { persistentVolumeName: volume.metadata.name } },
  };
}

/** A volume may be on several nodes when one of its modes says so, or none does. */
export function mayShare({ spec }: PersistentVolume): boolean {
  const modes = spec?.accessModes ?? [];
  return modes.length === 0 || modes.includes('ReadWriteMany') || modes.includes('ReadOnlyMany');
}

/** Why a volume that nobody wants stays on its node for now, in milliseconds to wait; 0: it goes; undefined: until something changes. */
export function detachInMs(name: string | undefined, node: Node | undefined, unwantedMs: number, force: boolean): number | undefined {
  if (node?.spec?.taints?.some(({ key }) => key === 'node.kubernetes.io/out-of-service')) return 0;
  const isInUse = name !== undefined && (node === undefined || (node.status?.volumesInUse ?? []).includes(name));
  if (!isInUse) return 0;
  if ((node && readiness(node) === 'True') || !force) return undefined;
  return Math.max(0, drainMs - unwantedMs);
}

/** What status.volumesAttached should say: attached and not about to go. */
export function volumesAttached(attachments: readonly { attachment: VolumeAttachment; volume: PersistentVolume | undefined }[], leaving: ReadonlySet<string>): { name: string; devicePath: string }[] {
  const names = attachments.flatMap(({ attachment, volume }) =>
    (volume && attachment.status?.attached && attachment.metadata.deletionTimestamp === undefined && !leaving.has(attachment.metadata.name ?? '') ? [uniqueName(volume)] : []));
  return [...new Set(names)].sort().map((name) => ({ name, devicePath: '' }));
}

/** Why a volume has to wait, for those pods that want it. `rivals` are pods that use it elsewhere. */
export function multiAttachMessage(volume: string, pod: Pod, rivals: readonly Pod[]): string {
  const begin = `Multi-Attach error for volume "${volume}" `;
  if (rivals.length === 0) return `${begin}Volume is already exclusively attached to one node and can't be attached to another`;
  const local = rivals.filter(({ metadata }) => metadata.namespace === pod.metadata.namespace).map(({ metadata }) => metadata.name ?? '');
  const others = rivals.length - local.length;
  if (local.length === 0) return `${begin}Volume is already used by ${others} pod(s) in different namespaces`;
  return `${begin}Volume is already used by pod(s) ${local.join(', ')}${others > 0 ? ` and ${others} pod(s) in different namespaces` : ''}`;
}
