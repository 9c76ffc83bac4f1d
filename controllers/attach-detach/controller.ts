// Makes and deletes the VolumeAttachments of CSI volumes, node by node, and tells each node what is attached. A driver does the rest.
// Only nodes whose kubelet leaves it to the controller are looked at, and nothing is watched before there is such a volume.
import { createTaskGroup } from '#machinery/base/group.ts';
import { aborted } from '#machinery/base/abort.ts';
import type { PersistentVolume, Pod } from '#machinery/api/object.ts';
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { nodes, persistentVolumeClaims, persistentVolumes, pods } from '#machinery/client/resources.ts';
import type { ReconcileResult, Resource } from '#machinery/client/types.ts';
import { claimNameOf, foreignClaim } from '#machinery/api/volumes.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { sameValue } from '../pods.ts';
import { attachmentName, attachmentOf, detachInMs, isManaged, isOurs, mayShare, multiAttachMessage, needsVolumes, uniqueName, volumesAttached } from './reconcile.ts';
import type { CsiDriver, VolumeAttachment } from './reconcile.ts';

export const volumeAttachments: Resource<VolumeAttachment> = { group: 'storage.k8s.io', version: 'v1', resource: 'volumeattachments', kind: 'VolumeAttachment', namespaced: false };
export const csiDrivers: Resource<CsiDriver> = { group: 'storage.k8s.io', version: 'v1', resource: 'csidrivers', kind: 'CSIDriver', namespaced: false };
const account = 'attachdetach-controller';
/** A rival's volume comes free when its attachment goes, which is seen; this is for what is not. */
const busyMs = 15_000;

export function createAttachDetachController({ informers, clientFor, recorderFor, config, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'attach_detach' });
  const known = { pods: informers.for(pods), nodes: informers.for(nodes), claims: informers.for(persistentVolumeClaims), volumes: informers.for(persistentVolumes) };
  const attachments = createInformer(informers.client, volumeAttachments);
  const drivers = createInformer(informers.client, csiDrivers);
  const client = clientFor(account);
  const recorder = recorderFor('attachdetach-controller', account);
  const needed = Promise.withResolvers<void>();
  /** Attachment -> since when nobody wants it. */
  const unwanted = new Map<string, number>();
  /** Pod UID and volume -> what was told last: the same is told once. */
  const told = new Map<string, string>();

  const claimKeys = (pod: Pod): string[] => (pod.spec?.volumes ?? []).flatMap((volume) => {
    const name = claimNameOf(pod, volume);
    return name === undefined ? [] : [`${pod.metadata.namespace}/${name}`];
  });
  known.pods.addIndex('node', (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
  known.pods.addIndex('claim', claimKeys);
  attachments.addIndex('node', ({ spec }) => [spec.nodeName]);
  attachments.addIndex('volume', ({ spec }) => [spec.source.persistentVolumeName ?? '']);

  const nodesOf = (volume: PersistentVolume): string[] => {
    const { namespace = '', name = '' } = volume.spec?.claimRef ?? {};
    return name === '' ? [] : known.pods.byIndex('claim', `${namespace}/${name}`).flatMap(({ spec }) => spec?.nodeName ?? []);
  };
  /** Every node is looked at when it begins. */
  let isRunning = false;
  const look = (node: string): void => {
    if (isRunning && node !== '' && isManaged(known.nodes.get('', node))) queue.add(node);
  };
  known.pods.onChange((change) => {
    const { object } = change;
    if (!object.spec?.nodeName || claimKeys(object).length === 0) return;
    if (change.type === 'deleted') for (const volume of volumesOf(object)) told.delete(`${object.metadata.uid} ${volume.metadata.name}`);
    if (change.type !== 'updated' || change.old.spec?.nodeName === undefined || needsVolumes(change.old) !== needsVolumes(object)) look(object.spec.nodeName);
  });
  known.nodes.onChange((change) => {
    const before = change.type === 'updated' ? change.old : undefined;
    const { metadata, status, spec } = change.object;
    if (change.type === 'deleted') {
      if (isRunning) queue.add(metadata.name ?? '');
    } else if (!before || isManaged(before) !== isManaged(change.object) || !sameValue([before.status?.volumesInUse, before.status?.volumesAttached, before.spec?.taints], [status?.volumesInUse, status?.volumesAttached, spec?.taints])) look(metadata.name ?? '');
  });
  known.claims.onChange(({ type, object }) => {
    if (type !== 'deleted') for (const pod of known.pods.byIndex('claim', `${object.metadata.namespace}/${object.metadata.name}`)) look(pod.spec?.nodeName ?? '');
  });
  known.volumes.onChange(({ object }) => {
    if (!object.spec?.csi) return;
    needed.resolve();
    nodesOf(object).forEach(look);
  });
  attachments.onChange(({ type, object }) => {
    if (type === 'deleted') unwanted.delete(object.metadata.name ?? '');
    queue.add(object.spec.nodeName);
    const volume = known.volumes.get('', object.spec.source.persistentVolumeName ?? '');
    if (type === 'deleted' && volume) nodesOf(volume).forEach(look); // who waited for it
  });
  drivers.onChange(() => known.nodes.list().forEach(({ metadata }) => look(metadata.name ?? '')));

  /** The CSI volumes that a pod has by claims that are bound to them. */
  function volumesOf(pod: Pod): PersistentVolume[] {
    return (pod.spec?.volumes ?? []).flatMap((each) => {
      const name = claimNameOf(pod, each);
      const claim = name === undefined ? undefined : known.claims.get(pod.metadata.namespace ?? '', name);
      if (!claim || claim.status?.phase !== 'Bound' || (each.ephemeral && foreignClaim(pod, claim) !== undefined)) return [];
      const volume = known.volumes.get('', claim.spec?.volumeName ?? '');
      return volume?.spec?.csi && drivers.get('', volume.spec.csi.driver)?.spec?.attachRequired !== false ? [volume] : [];
    });
  }

  async function reconcile(node: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const object = known.nodes.get('', node);
    if (object && !isManaged(object)) return; // its kubelet attaches by itself
    const wanted = new Map<string, { volume: PersistentVolume; pods: Pod[] }>();
    for (const pod of known.pods.byIndex('node', node)) {
      if (!object || !needsVolumes(pod)) continue;
      for (const volume of volumesOf(pod)) {
        const entry = wanted.get(attachmentName(volume, node)) ?? { volume, pods: [] };
        entry.pods.push(pod);
        wanted.set(attachmentName(volume, node), entry);
      }
    }
    const here = attachments.byIndex('node', node).filter(isOurs).map((attachment) => ({ attachment, volume: known.volumes.get('', attachment.spec.source.persistentVolumeName ?? '') }));
    let waitMs = Infinity;
    const leaving = new Set<string>();
    for (const { attachment, volume } of here) {
      const name = attachment.metadata.name ?? '';
      if (wanted.has(name) || attachment.metadata.deletionTimestamp !== undefined) {
        unwanted.delete(name);
        continue;
      }
      const since = unwanted.get(name) ?? now();
      unwanted.set(name, since);
      const ms = detachInMs(volume && uniqueName(volume), object, now() - since, config.forceDetachOnTimeout);
      if (ms === 0) leaving.add(name);
      else if (ms !== undefined) waitMs = Math.min(waitMs, ms);
    }
    // A node must not mount what is about to go: it is told first.
    const shown = volumesAttached(here, leaving);
    if (object && !sameValue(shown, sorted(object.status?.volumesAttached))) await client.patch(nodes, '', node, 'merge', { status: { volumesAttached: shown.length === 0 ? null : shown } }, signal, { subresource: 'status' });
    for (const name of leaving) {
      await client.delete(volumeAttachments, '', name, {}, signal).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
    for (const [name, { volume, pods: users }] of wanted) {
      const attachment = attachments.get('', name);
      if (attachment) tell(attachment, volume, users);
      else if (!(await attach(volume, node, users, signal))) waitMs = Math.min(waitMs, busyMs);
    }
    if (waitMs !== Infinity) return { requeueAfterMs: waitMs };
  }

  /** False when the volume is somewhere else, where it has to be alone. */
  async function attach(volume: PersistentVolume, node: string, users: readonly Pod[], signal: AbortSignal): Promise<boolean> {
    const elsewhere = attachments.byIndex('volume', volume.metadata.name ?? '').filter(({ spec }) => spec.nodeName !== node);
    if (elsewhere.length > 0 && !mayShare(volume)) {
      const others = elsewhere.flatMap(({ spec }) => known.pods.byIndex('node', spec.nodeName)).filter((pod) => needsVolumes(pod) && volumesOf(pod).includes(volume));
      for (const pod of users) say(pod, volume, 'Warning', 'FailedAttachVolume', multiAttachMessage(volume.metadata.name ?? '', pod, others));
      return false;
    }
    await client.create(volumeAttachments, '', attachmentOf(volume, node), signal).catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error; // not seen yet
    });
    return true;
  }
  function tell({ status }: VolumeAttachment, { metadata }: PersistentVolume, users: readonly Pod[]): void {
    const volume = { metadata } as PersistentVolume; // its name is all that is told
    for (const pod of users) {
      if (status?.attached) say(pod, volume, 'Normal', 'SuccessfulAttachVolume', `AttachVolume.Attach succeeded for volume "${metadata.name}" `);
      else if (status?.attachError) say(pod, volume, 'Warning', 'FailedAttachVolume', `AttachVolume.Attach failed for volume "${metadata.name}" : ${status.attachError.message ?? ''}`);
    }
  }
  function say(pod: Pod, { metadata }: PersistentVolume, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const key = `${pod.metadata.uid} ${metadata.name}`;
    if (told.get(key) === message) return;
    told.set(key, message);
    recorder.event({ apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata }, type, reason, message);
  }

  return {
    async run(stop) {
      // Attachments may be left of volumes that are gone.
      const { items } = await informers.client.list(volumeAttachments, '', { limit: 1 }, stop).catch((error: unknown) => {
        if (stop.aborted) throw error;
        return { items: [{}] }; // not to be known: looked after all the same
      });
      if (items.length === 0) await Promise.race([needed.promise, aborted(stop)]);
      if (stop.aborted) return;
      const group = createTaskGroup(stop);
      group.start('volume attachments', (signal) => attachments.run(signal));
      group.start('CSI drivers', (signal) => drivers.run(signal));
      group.start(account, async (signal) => {
        await Promise.all([attachments.waitForSync(signal), drivers.waitForSync(signal)]);
        isRunning = true;
        for (const { metadata } of known.nodes.list()) look(metadata.name ?? '');
        await runController({ name: 'persistentvolume-attach-detach-controller', queue, workers: 5, reconcile, maxRetries: Infinity }, signal);
      });
      await group.wait();
    },
  };
}

function sorted(volumes: readonly { name: string; devicePath: string }[] | undefined): readonly { name: string; devicePath: string }[] {
  return [...(volumes ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
}
