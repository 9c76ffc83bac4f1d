// What a claim or a volume needs next, without I/O. Upstream: pkg/controller/volume/persistentvolume/pv_controller.go (syncClaim, syncVolume).
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { annotation, classOfClaim, defaultClass, findVolume, isBoundTo, mismatch, modeMatches, noProvisioner, waitsForConsumer } from '#machinery/api/volumes.ts';
import { storageClassOf } from '#machinery/api/claims.ts';

type Claim = Readonly<PersistentVolumeClaim>;
type Volume = Readonly<PersistentVolume>;

export interface Notice { type: 'Normal' | 'Warning'; reason: string; message: string }

export type ClaimStep =
  /** Write both sides; every part that is written already is skipped. */
  | { kind: 'bind'; volume: Volume }
  | { kind: 'lost'; notice: Notice }
  | { kind: 'pending'; notice?: Notice }
  | { kind: 'useClass'; name: string }
  /** Ask the provisioner of that name. */
  | { kind: 'provision'; provisioner: string }
  /** Leave the claim as it is. */
  | { kind: 'tell'; notice: Notice };

export interface ClaimWorld {
  volume(name: string): Volume | undefined;
  /** Those that could match: of the claim's class, or naming the claim. */
  candidates(): Iterable<Volume>;
  storageClass(name: string): Readonly<StorageClass> | undefined;
  storageClasses(): Readonly<StorageClass>[];
  /** Names of pods without a node that use the claim. */
  waitingPods(): string[];
}

export function claimStep(claim: Claim, world: ClaimWorld): ClaimStep {
  const bound = claim.metadata.annotations?.[annotation.bindCompleted] !== undefined;
  const name = claim.spec?.volumeName ?? '';
  if (bound) return boundStep(claim, name, world);
  return name === '' ? searchStep(claim, world) : requestedStep(claim, name, world);
}

/** Once bound: whatever is missing of the binding is written again; a volume that is gone or another's is a loss. */
function boundStep(claim: Claim, name: string, world: ClaimWorld): ClaimStep {
  const lost = (reason: string, message: string): ClaimStep => ({ kind: 'lost', notice: { type: 'Warning', reason, message } });
  if (name === '') return lost('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!');
  const volume = world.volume(name);
  if (!volume) return lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  const ref = volume.spec?.claimRef;
  if (!ref || ref.uid === claim.metadata.uid) return { kind: 'bind', volume };
  return lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly');
}

function searchStep(claim: Claim, world: ClaimWorld): ClaimStep {
  const className = classOfClaim(claim);
  const found = className === '' ? undefined : world.storageClass(className);
  const waits = waitsForConsumer(found);
  const volume = findVolume(claim, world.candidates(), { waits });
  if (volume) return { kind: 'bind', volume };
  if (storageClassOf(claim) === undefined) {
    const fallback = defaultClass(world.storageClasses());
    if (fallback) return { kind: 'useClass', name: fallback };
  }
  if (waits && claim.metadata.annotations?.[annotation.selectedNode] === undefined) return { kind: 'pending', notice: waitingNotice(world.waitingPods()) };
  if (className === '') {
    return { kind: 'pending', notice: { type: 'Normal', reason: 'FailedBinding', message: 'no persistent volumes available for this claim and no storage class is set' } };
  }
  const failed = (message: string): ClaimStep => ({ kind: 'tell', notice: { type: 'Warning', reason: 'ProvisioningFailed', message } });
  if (!found) return failed(`storageclass.storage.k8s.io ${JSON.stringify(className)} not found`);
  // Names below kubernetes.io/ are plugins inside upstream's own process; none is left but the one that means "by hand".
  if (found.provisioner === noProvisioner || found.provisioner.startsWith('kubernetes.io/')) return failed(`no volume plugin matched name: ${found.provisioner}`);
  return { kind: 'provision', provisioner: found.provisioner };
}

function waitingNotice(pods: readonly string[]): Notice {
  if (pods.length === 0) return { type: 'Normal', reason: 'WaitForFirstConsumer', message: 'waiting for first consumer to be created before binding' };
  return { type: 'Normal', reason: 'WaitForPodScheduled', message: `waiting for ${pods.length > 1 ? 'pods' : 'pod'} ${pods.join(',')} to be scheduled` };
}

/** The claim names a volume. */
function requestedStep(claim: Claim, name: string, world: ClaimWorld): ClaimStep {
  const volume = world.volume(name);
  if (!volume) return { kind: 'pending' };
  if (!volume.spec?.claimRef) {
    const cause = mismatch(volume, claim);
    if (cause === undefined) return { kind: 'bind', volume };
    return { kind: 'pending', notice: { type: 'Warning', reason: 'VolumeMismatch', message: `Cannot bind to requested volume ${JSON.stringify(name)}: ${cause}` } };
  }
  if (isBoundTo(volume, claim)) return { kind: 'bind', volume };
  return { kind: 'pending', notice: { type: 'Warning', reason: 'FailedBinding', message: `volume ${JSON.stringify(name)} already bound to a different claim.` } };
}

export type VolumeStep =
  | { kind: 'phase'; phase: 'Available' | 'Bound' }
  /** The claim is gone: Released, then what the reclaim policy says. */
  | { kind: 'reclaim' }
  | { kind: 'unbind' }
  /** The claim's own step goes on with it. */
  | { kind: 'claim' }
  | { kind: 'mismatch'; onVolume: Notice; onClaim: Notice };

/** `claim` is the one that the volume names, with the same uid, or undefined when that is certainly gone. */
export function volumeStep(volume: Volume, claim: Claim | undefined): VolumeStep {
  const ref = volume.spec?.claimRef;
  if (!ref?.uid) return { kind: 'phase', phase: 'Available' };
  if (!claim) return { kind: 'reclaim' };
  const chosen = claim.spec?.volumeName ?? '';
  if (chosen === volume.metadata.name) return { kind: 'phase', phase: 'Bound' };
  if (chosen !== '') {
    const provisioned = volume.metadata.annotations?.[annotation.provisionedBy] !== undefined;
    return { kind: provisioned && volume.spec?.persistentVolumeReclaimPolicy === 'Delete' ? 'reclaim' : 'unbind' };
  }
  if (modeMatches(claim, volume)) return { kind: 'claim' };
  const notice = (message: string): Notice => ({ type: 'Warning', reason: 'VolumeMismatch', message });
  return {
    kind: 'mismatch',
    onVolume: notice(`Cannot bind PersistentVolume to requested PersistentVolumeClaim ${JSON.stringify(claim.metadata.name)} due to incompatible volumeMode.`),
    onClaim: notice(`Cannot bind PersistentVolume ${JSON.stringify(volume.metadata.name)} to requested PersistentVolumeClaim due to incompatible volumeMode.`),
  };
}

/** What becomes of a released volume here; undefined when it stays as it is, for its provisioner or for people. */
export function reclaimFailure(volume: Volume): Notice | undefined {
  const policy = volume.spec?.persistentVolumeReclaimPolicy ?? 'Retain';
  if (policy === 'Retain') return undefined;
  if (policy === 'Recycle') return { type: 'Warning', reason: 'VolumeFailedRecycle', message: 'No recycler plugin found for the volume!' };
  if (policy !== 'Delete') return { type: 'Warning', reason: 'VolumeUnknownReclaimPolicy', message: 'Volume has unrecognized PersistentVolumeReclaimPolicy' };
  const provisioner = volume.metadata.annotations?.[annotation.provisionedBy] ?? '';
  if (provisioner.startsWith('kubernetes.io/')) return { type: 'Warning', reason: 'VolumeFailedDelete', message: `no volume plugin matched name: ${provisioner}` };
  if (provisioner !== '' || volume.spec?.csi) return undefined;
  return { type: 'Warning', reason: 'VolumeFailedDelete', message: `error getting deleter volume plugin for volume ${JSON.stringify(volume.metadata.name)}: no deletable volume plugin matched` };
}
