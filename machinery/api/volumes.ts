// How PersistentVolumes and PersistentVolumeClaims find each other: what the binder and the scheduler must agree on, and the
// annotations by which they, provisioners and kubelets speak. Upstream: component-helpers/storage/volume.
import { storageClassOf } from './claims.ts';
import { labelSelectorFromObject } from './labels.ts';
import { nodeSelectorMatches } from './node-selector.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from './object.ts';
import { compareQuantities, parseQuantity, type Quantity } from './quantity.ts';

export const annotation = {
  /** On a claim: the binding is whole; from now on a missing volume means lost data. */
  bindCompleted: 'pv.kubernetes.io/bind-completed',
  /** On either side: the controller chose the other side, so it may take the choice back. */
  boundByController: 'pv.kubernetes.io/bound-by-controller',
  provisionedBy: 'pv.kubernetes.io/provisioned-by',
  storageProvisioner: 'volume.kubernetes.io/storage-provisioner',
  betaStorageProvisioner: 'volume.beta.kubernetes.io/storage-provisioner',
  selectedNode: 'volume.kubernetes.io/selected-node',
  defaultClass: 'storageclass.kubernetes.io/is-default-class',
  betaDefaultClass: 'storageclass.beta.kubernetes.io/is-default-class',
  storageResizer: 'volume.kubernetes.io/storage-resizer',
} as const;
const betaStorageClass = 'volume.beta.kubernetes.io/storage-class';
/** The provisioner of classes whose volumes people make by hand. */
export const noProvisioner = 'kubernetes.io/no-provisioner';

type Claim = Readonly<PersistentVolumeClaim>;
type Volume = Readonly<PersistentVolume>;

export function classOfVolume({ metadata, spec }: Volume): string {
  return metadata.annotations?.[betaStorageClass] ?? spec?.storageClassName ?? '';
}
/** '' for a claim without a class. */
export function classOfClaim(claim: Claim): string {
  return storageClassOf(claim) ?? '';
}
function isDefaultClass({ metadata }: Readonly<StorageClass>): boolean {
  return metadata.annotations?.[annotation.defaultClass] === 'true' || metadata.annotations?.[annotation.betaDefaultClass] === 'true';
}
/** The newest of the default classes, by name among those of one second. */
export function defaultClass(classes: readonly Readonly<StorageClass>[]): string | undefined {
  const madeAt = ({ metadata }: Readonly<StorageClass>): number => Date.parse(metadata.creationTimestamp ?? '') || 0;
  return classes.filter(isDefaultClass).sort((a, b) => madeAt(b) - madeAt(a) || ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))[0]?.metadata.name;
}
/** Bound once a pod shows where it is wanted. */
export function waitsForConsumer(storageClass: Readonly<StorageClass> | undefined): boolean {
  return storageClass?.volumeBindingMode === 'WaitForFirstConsumer';
}

const zero = parseQuantity('0');
export function capacityOf({ spec }: Volume): Quantity {
  return spec?.capacity?.storage === undefined ? zero : parseQuantity(spec.capacity.storage);
}
export function requestOf({ spec }: Claim): Quantity {
  return spec?.resources?.requests?.storage === undefined ? zero : parseQuantity(spec.resources.requests.storage);
}

export function modeMatches(claim: Claim, volume: Volume): boolean {
  return (claim.spec?.volumeMode ?? 'Filesystem') === (volume.spec?.volumeMode ?? 'Filesystem');
}
export function accessModesMatch(claim: Claim, volume: Volume): boolean {
  return (claim.spec?.accessModes ?? []).every((mode) => volume.spec?.accessModes?.includes(mode));
}
function attributesMatch(claim: Claim, volume: Volume): boolean {
  return (claim.spec?.volumeAttributesClassName ?? '') === (volume.spec?.volumeAttributesClassName ?? '');
}

/** The volume names this claim: bound to it, or kept for it by its name alone. */
export function isBoundTo(volume: Volume, claim: Claim): boolean {
  const ref = volume.spec?.claimRef;
  return ref !== undefined && ref.name === claim.metadata.name && ref.namespace === claim.metadata.namespace && (!ref.uid || ref.uid === claim.metadata.uid);
}
/** Both sides and the mark on the claim are there. */
export function isFullyBound(claim: Claim): boolean {
  return !!claim.spec?.volumeName && claim.metadata.annotations?.[annotation.bindCompleted] !== undefined;
}

/** Why a claim that asks for this very volume cannot have it; undefined when it can. */
export function mismatch(volume: Volume, claim: Claim): string | undefined {
  if (volume.metadata.deletionTimestamp) return `the volume is marked for deletion ${JSON.stringify(volume.metadata.name)}`;
  if (compareQuantities(capacityOf(volume), requestOf(claim)) < 0) return 'requested PV is too small';
  if (classOfVolume(volume) !== classOfClaim(claim)) return 'storageClassName does not match';
  if (!attributesMatch(claim, volume)) return 'volumeAttributesClassName does not match';
  if (!modeMatches(claim, volume)) return 'incompatible volumeMode';
  if (!accessModesMatch(claim, volume)) return 'incompatible accessMode';
  return undefined;
}

export function reachableFrom(volume: Volume, node: { name: string; labels: Readonly<Record<string, string>> }): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  return !required || nodeSelectorMatches(required.nodeSelectorTerms, node);
}

export interface MatchOptions {
  /** The claim's class waits for a consumer: without a node only a volume that already names the claim matches. */
  waits: boolean;
  /** Whether the node that the scheduler looks at reaches the volume. */
  reaches?: (volume: Volume) => boolean;
  /** Volumes that are promised to other claims. */
  taken?: (volume: Volume) => boolean;
}

/**
 * The volume that fits the claim best: one that names the claim, else the smallest of those with the fewest access modes
 * beyond the ones asked for.
 */
export function findVolume(claim: Claim, volumes: Iterable<Volume>, { waits, reaches, taken }: MatchOptions): Volume | undefined {
  const wanted = requestOf(claim);
  const wantedClass = classOfClaim(claim);
  const selector = claim.spec?.selector ? labelSelectorFromObject(claim.spec.selector) : undefined;
  let best: { volume: Volume; modes: number; size: Quantity } | undefined;
  for (const volume of volumes) {
    if (taken?.(volume)) continue;
    if (volume.spec?.claimRef && !isBoundTo(volume, claim)) continue;
    const size = capacityOf(volume);
    if (compareQuantities(size, wanted) < 0 || !modeMatches(claim, volume) || !attributesMatch(claim, volume) || !accessModesMatch(claim, volume) || volume.metadata.deletionTimestamp) continue;
    if (isBoundTo(volume, claim)) return !reaches || reaches(volume) ? volume : undefined; // no other one will do
    if (waits && !reaches) continue;
    if (volume.status?.phase !== 'Available' || classOfVolume(volume) !== wantedClass) continue;
    if (selector && !selector.matches(volume.metadata.labels ?? {})) continue;
    if (reaches && !reaches(volume)) continue;
    // With a node in view only the size counts, as upstream.
    const modes = reaches ? 0 : volume.spec?.accessModes?.length ?? 0;
    if (!best || modes < best.modes || (modes === best.modes && compareQuantities(size, best.size) < 0)) best = { volume, modes, size };
  }
  return best?.volume;
}

/** The volume with the claim's name in it, or undefined when it is there already. */
export function withClaim(volume: Volume, claim: Claim): PersistentVolume | undefined {
  const { name, namespace, uid, resourceVersion } = claim.metadata;
  const ref = volume.spec?.claimRef;
  const chosenHere = !isBoundTo(volume, claim);
  if (!chosenHere && ref?.uid === uid) return undefined;
  return {
    ...volume,
    metadata: { ...volume.metadata, ...(chosenHere ? { annotations: { ...volume.metadata.annotations, [annotation.boundByController]: 'yes' } } : {}) },
    spec: { ...volume.spec, claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...(name ? { name } : {}), ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) } },
  };
}

type PodVolume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];

/** The claim behind a volume of a pod; an ephemeral volume's is named after pod and volume. */
export function claimNameOf(pod: Readonly<Pod>, volume: PodVolume): string | undefined {
  if (volume.persistentVolumeClaim) return volume.persistentVolumeClaim.claimName;
  return volume.ephemeral ? `${pod.metadata.name ?? ''}-${volume.name}` : undefined;
}
/** Why the claim of an ephemeral volume is not this pod's; undefined when it is. */
export function foreignClaim(pod: Readonly<Pod>, claim: Claim): string | undefined {
  const owned = claim.metadata.ownerReferences?.some(({ controller, uid }) => controller && uid === pod.metadata.uid);
  const { namespace } = claim.metadata;
  return owned ? undefined : `PVC ${namespace}/${claim.metadata.name} was not created for pod ${pod.metadata.namespace}/${pod.metadata.name} (pod is not owner)`;
}
