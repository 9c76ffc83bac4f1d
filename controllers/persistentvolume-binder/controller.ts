// Binds claims to volumes and says what became of both. A binding is four writes (volume, its phase, claim, its status), each
// checked against the version it was decided on; after a crash between any two of them the next look goes on where it stopped.
import { isNotFound } from '#machinery/api/status.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '#machinery/api/object.ts';
import { annotation, capacityOf, claimNameOf, classOfClaim, classOfVolume, withClaim } from '#machinery/api/volumes.ts';
import { compareQuantities, parseQuantity } from '#machinery/api/quantity.ts';
import { runController } from '#machinery/client/controller.ts';
import { persistentVolumeClaims, persistentVolumes, pods, storageClasses } from '#machinery/client/resources.ts';
import { keyOf, splitKey, type ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isTerminal } from '../pods.ts';
import { claimStep, reclaimFailure, volumeStep, type Notice } from './reconcile.ts';

/** A claim that waits is told so again from time to time: events are forgotten after an hour. */
const tellAgainMs = 15 * 60_000;
const workers = 4;

export function createPersistentVolumeBinder({ informers, clientFor, recorderFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'claims' });
  const account = 'persistent-volume-binder';
  const client = clientFor(account);
  const recorder = recorderFor('persistentvolume-controller', account);
  const claims = informers.for(persistentVolumeClaims);
  const volumes = informers.for(persistentVolumes);
  const classes = informers.for(storageClasses);
  const allPods = informers.for(pods);
  const claimKey = (key: string): string => `claim:${key}`;
  const volumeKey = (name: string): string => `volume:${name}`;

  volumes.addIndex('class', (volume) => [classOfVolume(volume)]);
  volumes.addIndex('claim of binder', ({ spec }) => (spec?.claimRef ? [`${spec.claimRef.namespace}/${spec.claimRef.name}`] : []));
  claims.addIndex('class of unbound', (claim) => (claim.metadata.annotations?.[annotation.bindCompleted] === undefined ? [classOfClaim(claim)] : []));
  claims.addIndex('volume', ({ spec }) => (spec?.volumeName ? [spec.volumeName] : []));
  allPods.addIndex('claims of binder', (pod) => (pod.spec?.volumes ?? []).flatMap((volume) => {
    const name = claimNameOf(pod, volume);
    return name === undefined ? [] : [`${pod.metadata.namespace}/${name}`];
  }));

  claims.onChange(({ type, object }) => {
    if (type !== 'deleted') queue.add(claimKey(keyOf(object)));
    else for (const volume of volumes.byIndex('claim of binder', keyOf(object))) queue.add(volumeKey(volume.metadata.name ?? ''));
    if (object.spec?.volumeName) queue.add(volumeKey(object.spec.volumeName));
  });
  volumes.onChange((change) => {
    const { object } = change;
    if (change.type !== 'deleted') queue.add(volumeKey(object.metadata.name ?? ''));
    for (const claim of claims.byIndex('volume', object.metadata.name ?? '')) queue.add(claimKey(keyOf(claim)));
    const ref = object.spec?.claimRef;
    if (ref) queue.add(claimKey(`${ref.namespace}/${ref.name}`));
    // A volume to be had is news for all who look for one of its class.
    else if (change.type !== 'deleted' && object.status?.phase === 'Available') for (const claim of claims.byIndex('class of unbound', classOfVolume(object))) queue.add(claimKey(keyOf(claim)));
  });
  classes.onChange(({ type, object }) => {
    if (type === 'deleted') return;
    for (const name of [object.metadata.name ?? '', '']) for (const claim of claims.byIndex('class of unbound', name)) queue.add(claimKey(keyOf(claim)));
  });

  const tellClaim = (claim: PersistentVolumeClaim, { type, reason, message }: Notice): void =>
    recorder.event({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: claim.metadata }, type, reason, message);
  const tellVolume = (volume: PersistentVolume, { type, reason, message }: Notice): void =>
    recorder.event({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: volume.metadata }, type, reason, message);

  const writeClaim = (claim: PersistentVolumeClaim, signal: AbortSignal, subresource?: string): Promise<PersistentVolumeClaim> =>
    client.update(persistentVolumeClaims, claim.metadata.namespace ?? '', claim.metadata.name ?? '', claim, signal, subresource ? { subresource } : {});
  const writeVolume = (volume: PersistentVolume, signal: AbortSignal, subresource?: string): Promise<PersistentVolume> =>
    client.update(persistentVolumes, '', volume.metadata.name ?? '', volume, signal, subresource ? { subresource } : {});

  async function setPhase(volume: PersistentVolume, phase: string, signal: AbortSignal, message?: string): Promise<PersistentVolume> {
    if (volume.status?.phase === phase) return volume;
    const { message: _old, ...status } = volume.status ?? {};
    return writeVolume({ ...volume, status: { ...status, phase, ...(message ? { message } : {}) } }, signal, 'status');
  }

  /** Without a volume the claim shows none of what one has. */
  async function setClaimStatus(claim: PersistentVolumeClaim, phase: 'Bound' | 'Lost' | 'Pending', volume: PersistentVolume | undefined, signal: AbortSignal): Promise<void> {
    const status = { ...claim.status, phase };
    let dirty = claim.status?.phase !== phase;
    if (!volume) {
      for (const field of ['accessModes', 'capacity', 'currentVolumeAttributesClassName'] as const) {
        if (status[field] !== undefined) dirty = true;
        delete status[field];
      }
    } else {
      const modes = volume.spec?.accessModes ?? [];
      if (JSON.stringify(status.accessModes ?? []) !== JSON.stringify(modes)) dirty = true;
      status.accessModes = modes;
      if (claim.status?.phase !== phase) { // later its size is told by whoever makes it grow
        if (volume.spec?.capacity?.storage === undefined) throw new Error(`PersistentVolume ${JSON.stringify(volume.metadata.name)} is without a storage capacity`);
        if (compareQuantities(capacityOf(volume), parseQuantity(status.capacity?.storage ?? '0')) !== 0) status.capacity = volume.spec.capacity;
        if (volume.spec.volumeAttributesClassName !== undefined) status.currentVolumeAttributesClassName = volume.spec.volumeAttributesClassName;
      }
    }
    if (dirty) await writeClaim({ ...claim, status }, signal, 'status');
  }

  /** The volume first: whoever wins it owns the binding. */
  async function bind(claim: PersistentVolumeClaim, found: PersistentVolume, signal: AbortSignal): Promise<void> {
    const named = withClaim(found, claim);
    const volume = await setPhase(named ? await writeVolume(named, signal) : found, 'Bound', signal);
    const name = volume.metadata.name ?? '';
    const chosenHere = claim.spec?.volumeName !== name;
    const complete = claim.metadata.annotations?.[annotation.bindCompleted] !== undefined;
    let current = claim;
    if (chosenHere || !complete) {
      const annotations = { ...claim.metadata.annotations, ...(chosenHere ? { [annotation.boundByController]: 'yes' } : {}), [annotation.bindCompleted]: 'yes' };
      current = await writeClaim({ ...claim, metadata: { ...claim.metadata, annotations }, spec: { ...claim.spec, volumeName: name } }, signal);
    }
    await setClaimStatus(current, 'Bound', volume, signal);
  }

  async function syncClaim(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const claim = claims.get(namespace, name);
    if (!claim) return;
    const step = claimStep(claim, {
      volume: (wanted) => volumes.get('', wanted),
      candidates: () => new Set([...volumes.byIndex('claim of binder', key), ...volumes.byIndex('class', classOfClaim(claim))]),
      storageClass: (wanted) => classes.get('', wanted),
      storageClasses: () => classes.list(),
      waitingPods: () => allPods.byIndex('claims of binder', key).filter((pod) => !pod.spec?.nodeName && !isTerminal(pod)).map(({ metadata }) => metadata.name ?? ''),
    });
    switch (step.kind) {
      case 'bind':
        await bind(claim, step.volume, signal);
        return;
      case 'lost':
        if (claim.status?.phase === 'Lost') return;
        await setClaimStatus(claim, 'Lost', undefined, signal);
        tellClaim(claim, step.notice);
        return;
      case 'useClass':
        await writeClaim({ ...claim, spec: { ...claim.spec, storageClassName: step.name } }, signal);
        return;
      case 'provision':
        await askProvisioner(claim, step.provisioner, signal);
        return { requeueAfterMs: tellAgainMs };
      case 'pending':
        if (step.notice) tellClaim(claim, step.notice);
        await setClaimStatus(claim, 'Pending', undefined, signal);
        return { requeueAfterMs: tellAgainMs };
      case 'tell':
        tellClaim(claim, step.notice);
        return { requeueAfterMs: tellAgainMs };
    }
  }

  async function askProvisioner(claim: PersistentVolumeClaim, provisioner: string, signal: AbortSignal): Promise<void> {
    if (claim.metadata.annotations?.[annotation.storageProvisioner] !== provisioner) {
      const annotations = { ...claim.metadata.annotations, [annotation.betaStorageProvisioner]: provisioner, [annotation.storageProvisioner]: provisioner };
      await writeClaim({ ...claim, metadata: { ...claim.metadata, annotations } }, signal);
    }
    tellClaim(claim, {
      type: 'Normal', reason: 'ExternalProvisioning',
      message: `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`,
    });
  }

  /** The claim that a volume names; asked of the server before it counts as gone, since a cache may lag. */
  async function claimOf(volume: PersistentVolume, signal: AbortSignal): Promise<PersistentVolumeClaim | undefined> {
    const { namespace = '', name = '', uid } = volume.spec?.claimRef ?? {};
    const cached = claims.get(namespace, name);
    if (cached?.metadata.uid === uid) return cached;
    if (!cached && (volume.status?.phase === 'Released' || volume.status?.phase === 'Failed')) return undefined;
    try {
      const fresh = await client.get(persistentVolumeClaims, namespace, name, signal);
      return fresh.metadata.uid === uid ? fresh : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async function syncVolume(name: string, signal: AbortSignal): Promise<void> {
    const volume = volumes.get('', name);
    if (!volume) return;
    const ref = volume.spec?.claimRef;
    const claim = ref?.uid ? await claimOf(volume, signal) : undefined;
    const step = volumeStep(volume, claim);
    switch (step.kind) {
      case 'phase':
        await setPhase(volume, step.phase, signal);
        return;
      case 'claim':
        queue.add(claimKey(`${ref?.namespace}/${ref?.name}`));
        return;
      case 'mismatch':
        tellVolume(volume, step.onVolume);
        if (claim) tellClaim(claim, step.onClaim);
        return;
      case 'unbind':
        await unbind(volume, signal);
        return;
      case 'reclaim': {
        const failed = volume.status?.phase === 'Failed';
        const released = failed ? volume : await setPhase(volume, 'Released', signal);
        const failure = reclaimFailure(released);
        if (!failure || failed) return;
        tellVolume(await setPhase(released, 'Failed', signal, failure.message), failure);
      }
    }
  }

  /** Takes back what the controller chose; what a person chose keeps its name and waits for the next claim of that name. */
  async function unbind(volume: PersistentVolume, signal: AbortSignal): Promise<void> {
    const { [annotation.boundByController]: chosenHere, ...annotations } = volume.metadata.annotations ?? {};
    const { claimRef, ...spec } = volume.spec ?? {};
    const { uid: _uid, ...reserved } = claimRef ?? {};
    const freed = await writeVolume({ ...volume, metadata: { ...volume.metadata, annotations }, spec: chosenHere === undefined ? { ...spec, claimRef: reserved } : spec }, signal);
    await setPhase(freed, 'Available', signal);
  }

  const reconcile = async (key: string, signal: AbortSignal): Promise<ReconcileResult | void> => {
    const [kind, rest] = [key.slice(0, key.indexOf(':')), key.slice(key.indexOf(':') + 1)];
    return kind === 'claim' ? syncClaim(rest, signal) : syncVolume(rest, signal);
  };
  return { run: (signal) => runController({ name: 'persistentvolume-binder-controller', queue, workers, reconcile, maxRetries: Infinity }, signal) };
}
