// The provisioner of StorageClass local-path: a folder on the node that the scheduler chose. #machinery/api/local-path.ts says who does what.
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim } from '#machinery/api/object.ts';
import { account, controllerName, nodeAnnotation, removalsOf, removeAnnotation, provisioner, type Removal } from '#machinery/api/local-path.ts';
import { compareQuantities } from '#machinery/api/quantity.ts';
import { annotation, capacityOf, classOfClaim, requestOf } from '#machinery/api/volumes.ts';
import { runController } from '#machinery/client/controller.ts';
import { nodes, persistentVolumeClaims, persistentVolumes, storageClasses } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { wantsMore } from '../volume-expand/controller.ts';
import { finalizer, isAsked, isOurs, refusal, removalStep, unfitNode, volumeFor } from './reconcile.ts';

export function createLocalPathProvisioner({ informers, clientFor, recorderFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'local_path' });
  const client = clientFor(account);
  const recorder = recorderFor(provisioner, account);
  const claims = informers.for(persistentVolumeClaims);
  const volumes = informers.for(persistentVolumes);
  const classes = informers.for(storageClasses);
  const allNodes = informers.for(nodes);

  volumes.addIndex('local-path node', (volume) => (isOurs(volume) ? [volume.metadata.annotations?.[nodeAnnotation] ?? ''] : []));
  claims.onChange(({ type, object }) => {
    if (type !== 'deleted' && (isAsked(object) || wantsMore(object))) queue.add(`claim:${keyOf(object)}`);
  });
  volumes.onChange(({ type, object }) => {
    if (!isOurs(object)) return;
    if (type === 'deleted') queue.add(`removal:${object.metadata.annotations?.[nodeAnnotation]}/${object.metadata.name}`);
    else queue.add(`volume:${object.metadata.name}`);
  });
  classes.onChange(({ type, object }) => { // a mistake in it may be mended
    if (type === 'deleted' || object.provisioner !== provisioner) return;
    for (const claim of claims.list()) if (isAsked(claim) && classOfClaim(claim) === object.metadata.name) queue.add(`claim:${keyOf(claim)}`);
  });
  allNodes.onChange((change) => {
    const { name = '' } = change.object.metadata;
    if (change.type === 'deleted') for (const volume of volumes.byIndex('local-path node', name)) queue.add(`volume:${volume.metadata.name}`);
    else for (const volume of removalsOf(change.object.metadata.annotations).keys()) queue.add(`removal:${name}/${volume}`);
  });

  const tell = (kind: 'PersistentVolume' | 'PersistentVolumeClaim', { metadata }: PersistentVolume | PersistentVolumeClaim, type: 'Normal' | 'Warning', reason: string, message: string): void =>
    recorder.event({ apiVersion: 'v1', kind, metadata }, type, reason, message);

  async function provision(claim: PersistentVolumeClaim, signal: AbortSignal): Promise<void> {
    const className = classOfClaim(claim);
    const storageClass = classes.get('', className);
    const failed = (cause: string): void => tell('PersistentVolumeClaim', claim, 'Warning', 'ProvisioningFailed', `failed to provision volume with StorageClass ${JSON.stringify(className)}: ${cause}`);
    if (!storageClass || storageClass.provisioner !== provisioner) return failed(`no StorageClass of that name has provisioner ${provisioner}`);
    const refused = refusal(claim, storageClass);
    if (refused !== undefined) return failed(refused);
    const nodeName = claim.metadata.annotations?.[annotation.selectedNode];
    if (nodeName === undefined) return; // the scheduler has not chosen yet
    const node = allNodes.get('', nodeName);
    const unfit = unfitNode(nodeName, node);
    if (unfit !== undefined || !node) {
      failed(unfit ?? '');
      // Without the annotation the scheduler chooses again.
      const { [annotation.selectedNode]: _rejected, ...annotations } = claim.metadata.annotations ?? {};
      await client.update(persistentVolumeClaims, claim.metadata.namespace ?? '', claim.metadata.name ?? '', { ...claim, metadata: { ...claim.metadata, annotations } }, signal);
      return;
    }
    const volume = volumeFor(claim, storageClass, node);
    if (volumes.get('', volume.metadata.name ?? '')) return;
    tell('PersistentVolumeClaim', claim, 'Normal', 'Provisioning', `External provisioner is provisioning volume for claim ${JSON.stringify(keyOf(claim))}`);
    try {
      await client.create(persistentVolumes, '', volume, signal);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    tell('PersistentVolumeClaim', claim, 'Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${volume.metadata.name}`);
  }

  /** A folder has no size of its own: growing is saying so on both sides, the volume first. */
  async function expand(claim: PersistentVolumeClaim, signal: AbortSignal): Promise<void> {
    const volume = volumes.get('', claim.spec?.volumeName ?? '');
    if (!volume || !isOurs(volume) || volume.spec?.claimRef?.uid !== claim.metadata.uid) return;
    const storage = claim.spec?.resources?.requests?.storage ?? '0';
    if (compareQuantities(capacityOf(volume), requestOf(claim)) < 0) {
      await client.patch(persistentVolumes, '', volume.metadata.name ?? '', 'merge', { metadata: { resourceVersion: volume.metadata.resourceVersion }, spec: { capacity: { storage } } }, signal);
    }
    const patch = { metadata: { uid: claim.metadata.uid }, status: { capacity: { storage } } };
    await client.patch(persistentVolumeClaims, claim.metadata.namespace ?? '', claim.metadata.name ?? '', 'merge', patch, signal, { subresource: 'status' });
    tell('PersistentVolumeClaim', claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded');
  }

  async function syncClaim(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const claim = claims.get(namespace, name);
    if (claim && isAsked(claim)) await provision(claim, signal);
    else if (claim && wantsMore(claim)) await expand(claim, signal);
  }

  const writeRemoval = (node: string, volume: string, value: Removal | null, signal: AbortSignal): Promise<Node> =>
    client.patch(nodes, '', node, 'merge', { metadata: { annotations: { [removeAnnotation(volume)]: value } } }, signal);

  async function remove(volume: PersistentVolume, signal: AbortSignal): Promise<void> {
    const step = removalStep(volume, (node) => allNodes.get('', node));
    const { name = '', uid = '', finalizers = [] } = volume.metadata;
    if (step.kind === 'ask') await writeRemoval(step.node, name, 'wanted', signal);
    if (step.kind === 'failed') tell('PersistentVolume', volume, 'Warning', 'VolumeFailedDelete', step.message);
    if (step.kind !== 'delete') return;
    if (finalizers.includes(finalizer)) {
      await client.update(persistentVolumes, '', name, { ...volume, metadata: { ...volume.metadata, finalizers: finalizers.filter((each) => each !== finalizer) } }, signal);
    }
    if (volume.metadata.deletionTimestamp === undefined) await client.delete(persistentVolumes, '', name, { preconditions: { uid } }, signal);
  }

  /** A node's word about a folder; once the volume's object is gone it is not needed any more. */
  async function syncRemoval(key: string, signal: AbortSignal): Promise<void> {
    const [node = '', name = ''] = key.split('/');
    const volume = volumes.get('', name);
    if (volume) await remove(volume, signal);
    else if (removalsOf(allNodes.get('', node)?.metadata.annotations).get(name) === 'done') await writeRemoval(node, name, null, signal);
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const [kind, rest] = [key.slice(0, key.indexOf(':')), key.slice(key.indexOf(':') + 1)];
    try {
      if (kind === 'claim') await syncClaim(rest, signal);
      else if (kind === 'removal') await syncRemoval(rest, signal);
      else {
        const volume = volumes.get('', rest);
        if (volume) await remove(volume, signal);
      }
    } catch (error) {
      if (!isNotFound(error)) throw error; // what it was about is gone
    }
  }

  return { run: (signal) => runController({ name: controllerName, queue, workers: 2, reconcile, maxRetries: Infinity }, signal) };
}
