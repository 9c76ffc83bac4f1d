// The decisions of StatefulSets, without I/O: who is who, what may happen next, who owns the claims, what the status says.
// Upstream: pkg/controller/statefulset.
import type { ControllerRevision, OwnerReference, PersistentVolumeClaim, Pod, PodTemplateSpec, StatefulSet } from '#machinery/api/object.ts';
import { revisionLabel } from '../history/revisions.ts';
import { availableInMs, isReady, isTerminal } from '../pods.ts';
import { podFromTemplate } from '../replicaset/reconcile.ts';

export const podNameLabel = 'statefulset.kubernetes.io/pod-name';
export const podIndexLabel = 'apps.kubernetes.io/pod-index';
export type StatefulSetStatus = NonNullable<StatefulSet['status']>;
type PodSpec = NonNullable<PodTemplateSpec['spec']>;

export const replicasOf = (set: StatefulSet): number => set.spec?.replicas ?? 1;
export const startOf = (set: StatefulSet): number => set.spec?.ordinals?.start ?? 0;
export const isParallel = (set: StatefulSet): boolean => set.spec?.podManagementPolicy === 'Parallel';
const isRolling = (set: StatefulSet): boolean => (set.spec?.updateStrategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
export const podName = (set: StatefulSet, ordinal: number): string => `${set.metadata.name ?? ''}-${ordinal}`;

/** The part of a pod's name before its number, and the number; -1 for a name of another form. */
export function parentAndOrdinal(pod: { metadata: { name?: string } }): { parent: string; ordinal: number } {
  const match = /^(.*)-(\d+)$/s.exec(pod.metadata.name ?? '');
  const ordinal = match ? Number(match[2]) : -1;
  return match && ordinal <= 2 ** 31 - 1 ? { parent: match[1] ?? '', ordinal } : { parent: '', ordinal: -1 };
}
export const ordinalOf = (pod: { metadata: { name?: string } }): number => parentAndOrdinal(pod).ordinal;
export const isMember = (set: StatefulSet, pod: Pod): boolean => parentAndOrdinal(pod).parent === set.metadata.name;
export const inRange = (set: StatefulSet, ordinal: number): boolean => ordinal >= startOf(set) && ordinal < startOf(set) + replicasOf(set);

export const isTerminating = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined;
export const isRunningAndReady = (pod: Pod): boolean => pod.status?.phase === 'Running' && isReady(pod);
export const isAvailable = (set: StatefulSet, pod: Pod, now: number): boolean => availableInMs(pod, set.spec?.minReadySeconds ?? 0, now) === 0;
export const revisionOf = (pod: Pod): string | undefined => pod.metadata.labels?.[revisionLabel];

export const claimName = (set: StatefulSet, template: string, ordinal: number): string => `${template}-${podName(set, ordinal)}`;

export const claimTemplates = (set: StatefulSet): string[] => (set.spec?.volumeClaimTemplates ?? []).map(({ metadata }) => metadata?.name ?? '');

/** The claims of one pod, as they are created. */
export function claimsFor(set: StatefulSet, ordinal: number): { name: string; body: object }[] {
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => {
    const name = claimName(set, template.metadata?.name ?? '', ordinal);
    const labels = { ...template.metadata?.labels, ...set.spec?.selector?.matchLabels };
    const { name: _, namespace: __, ...metadata } = template.metadata ?? {};
    const body = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { ...metadata, name, namespace: set.metadata.namespace, labels }, spec: template.spec };
    return { name, body };
  });
}
type Volumes = NonNullable<PodSpec['volumes']>;
/** A claim takes the place of the template's volume of that name. */
function volumesFor(set: StatefulSet, volumes: Volumes, ordinal: number): Volumes {
  const names = claimTemplates(set);
  return [
    ...names.map((name) => ({ name, persistentVolumeClaim: { claimName: claimName(set, name, ordinal) } })),
    ...volumes.filter(({ name }) => !names.includes(name)),
  ];
}

/** Pod number `ordinal` from a revision's template. */
export function podFor(set: StatefulSet, ordinal: number, template: PodTemplateSpec, revision: string, reference: OwnerReference): object {
  const { name = '', namespace = '' } = set.metadata;
  const own = podName(set, ordinal);
  const labels = { ...template.metadata?.labels, [podNameLabel]: own, [podIndexLabel]: String(ordinal), [revisionLabel]: revision };
  const volumes = volumesFor(set, template.spec?.volumes ?? [], ordinal);
  const spec: PodSpec = {
    ...template.spec, containers: template.spec?.containers ?? [], hostname: own,
    ...(set.spec?.serviceName ? { subdomain: set.spec.serviceName } : {}), ...(volumes.length > 0 ? { volumes } : {}),
  };
  const { generateName: _, ...metadata } = (podFromTemplate({ metadata: { ...template.metadata, labels }, spec }, name, namespace, reference) as { metadata: { generateName: string } }).metadata;
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: own }, spec };
}

/** The pod with its identity and volumes as the set wants them; undefined when they are so already. */
export function repaired(set: StatefulSet, pod: Pod): Pod | undefined {
  const ordinal = ordinalOf(pod);
  const own = podName(set, ordinal);
  const identity = pod.metadata.labels?.[podNameLabel] === own;
  const storage = claimTemplates(set).every((name) =>
    pod.spec?.volumes?.some((volume) => volume.name === name && volume.persistentVolumeClaim?.claimName === claimName(set, name, ordinal)));
  if (identity && storage) return undefined;
  return {
    ...pod,
    ...(identity ? {} : { metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, [podNameLabel]: own, [podIndexLabel]: String(ordinal) } } }),
    ...(storage || !pod.spec ? {} : { spec: { ...pod.spec, volumes: volumesFor(set, pod.spec.volumes ?? [], ordinal) } }),
  };
}

export interface Revisions { current: ControllerRevision; update: ControllerRevision }
const nameOf = ({ metadata: { name = '' } }: ControllerRevision): string => name;

/** Pods below the partition (or, without one, as many as still are of the current revision) come back as they were. */
export function revisionFor(set: StatefulSet, ordinal: number, { current, update }: Revisions): ControllerRevision {
  const rolling = set.spec?.updateStrategy?.rollingUpdate;
  if (rolling) return ordinal < startOf(set) + (rolling.partition ?? 0) ? current : update;
  return isRolling(set) && ordinal < startOf(set) + (set.status?.currentReplicas ?? 0) ? current : update;
}

/** What is to be done with one place of the set. `wait`: nothing more in this pass when the set is ordered. */
export type Step = 'replace' | 'create' | 'wait' | 'keep';
export function stepFor(set: StatefulSet, pod: Pod | undefined, now: number): Step {
  if (!pod?.status?.phase) return 'create';
  if (isTerminal(pod)) return 'replace';
  if (!isParallel(set) && (isTerminating(pod) || !isRunningAndReady(pod) || !isAvailable(set, pod, now))) return 'wait';
  return 'keep';
}

/** What one pass looks at and creates at most: a number of replicas that is a slip must not cost all memory. */
const mostEmpty = 500;
export interface Places { places: { ordinal: number; pod: Pod | undefined }[]; condemned: Pod[] }
/** The set's places with their pods, lowest first, and not beyond so many empty ones; and pods out of range, highest first. */
export function arrange(set: StatefulSet, pods: readonly Pod[]): Places {
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod), pod]));
  const places: Places['places'] = [];
  for (let ordinal = startOf(set), empty = 0; inRange(set, ordinal) && empty < mostEmpty; ordinal += 1) {
    const pod = byOrdinal.get(ordinal);
    places.push({ ordinal, pod });
    if (!pod) empty += 1;
  }
  const condemned = pods.filter((pod) => ordinalOf(pod) >= 0 && !inRange(set, ordinalOf(pod))).sort((a, b) => ordinalOf(b) - ordinalOf(a));
  return { places, condemned };
}

/** Pods beyond the wanted number that may go now; an ordered set waits for healthy ones before it takes the next away. */
export function toScaleDown(set: StatefulSet, { places, condemned }: Places, now: number): { remove: Pod[]; blocked: boolean } {
  if (isParallel(set)) {
    const remove = condemned.filter((pod) => !isTerminating(pod));
    return { remove, blocked: remove.length > 0 };
  }
  const pod = condemned[0];
  if (!pod) return { remove: [], blocked: false };
  if (isTerminating(pod)) return { remove: [], blocked: true };
  const bad = (each: Pod | undefined): boolean => !each || isTerminating(each) || !isAvailable(set, each, now);
  const firstBad = places.some((place) => bad(place.pod)) ? undefined : condemned.findLast(bad);
  const mayGo = (isRunningAndReady(pod) && isAvailable(set, pod, now)) || pod === firstBad;
  return { remove: mayGo ? [pod] : [], blocked: true };
}

/** The pod that the rolling update takes away next: the highest of another revision, as long as all above it are up. */
export function toUpdate(set: StatefulSet, places: Places['places'], update: string, now: number): Pod | undefined {
  if (!isRolling(set)) return undefined;
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  for (let index = places.length - 1; index >= partition; index -= 1) {
    const pod = places[index]?.pod;
    if (!pod) return undefined; // just created
    if (revisionOf(pod) !== update && !isTerminating(pod)) return pod;
    if (isTerminating(pod) || !isAvailable(set, pod, now)) return undefined;
  }
  return undefined;
}

/**
 * Counts, and the revision that counts as current once all pods are of the new one. `replaced` was taken away for the update
 * just now: it counts as current no more, or without a partition its place would be filled from the old revision again.
 */
export function calculateStatus(set: StatefulSet, pods: readonly Pod[], { current, update }: Revisions, collisionCount: number, now: number, replaced?: Pod): { status: StatefulSetStatus; nextAvailableMs: number | undefined } {
  let [replicas, ready, available, currentReplicas, updatedReplicas] = [0, 0, 0, 0, 0];
  let nextAvailableMs: number | undefined;
  for (const pod of pods) {
    if (!pod.status?.phase) continue;
    replicas += 1;
    if (isRunningAndReady(pod)) {
      const inMs = availableInMs(pod, set.spec?.minReadySeconds ?? 0, now) ?? 0;
      ready += 1;
      if (inMs === 0) available += 1;
      else nextAvailableMs = Math.min(nextAvailableMs ?? Infinity, inMs);
    }
    if (isTerminating(pod) || pod === replaced) continue;
    if (revisionOf(pod) === nameOf(current)) currentReplicas += 1;
    if (revisionOf(pod) === nameOf(update)) updatedReplicas += 1;
  }
  const wanted = replicasOf(set);
  const complete = isRolling(set) && updatedReplicas === wanted && ready === wanted && replicas === wanted;
  if (complete) currentReplicas = updatedReplicas;
  const { conditions } = set.status ?? {};
  return {
    nextAvailableMs,
    status: {
      replicas, availableReplicas: available,
      ...(ready > 0 ? { readyReplicas: ready } : {}),
      ...(currentReplicas > 0 ? { currentReplicas } : {}),
      ...(updatedReplicas > 0 ? { updatedReplicas } : {}),
      ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
      currentRevision: nameOf(complete ? update : current), updateRevision: nameOf(update), collisionCount,
      ...(conditions && conditions.length > 0 ? { conditions } : {}),
    },
  };
}

/** Revisions beyond the limit that nothing is made from, oldest first. A negative limit keeps all. */
export function expendable(set: StatefulSet, revisions: readonly ControllerRevision[], pods: readonly Pod[], live: Revisions): ControllerRevision[] {
  const used = new Set([nameOf(live.current), nameOf(live.update), ...pods.map(revisionOf)]);
  const unused = revisions.filter((revision) => !used.has(nameOf(revision)));
  const limit = set.spec?.revisionHistoryLimit ?? 10;
  return limit < 0 ? [] : unused.slice(0, Math.max(0, unused.length - limit));
}

const podOwner = { apiVersion: 'v1', kind: 'Pod' };
const setOwner = { apiVersion: 'apps/v1', kind: 'StatefulSet' };
type ClaimOwner = { metadata: { name?: string; uid?: string } };
const names = (reference: OwnerReference, owner: ClaimOwner, kind: { apiVersion: string; kind: string }): boolean =>
  reference.apiVersion === kind.apiVersion && reference.kind === kind.kind && reference.name === owner.metadata.name;

/** The claim belongs to an earlier set or pod of that name; the garbage collector will come for it. */
export function isStale(claim: PersistentVolumeClaim, owner: ClaimOwner, kind: 'Pod' | 'StatefulSet'): boolean {
  const first = claim.metadata.ownerReferences?.find((reference) => names(reference, owner, kind === 'Pod' ? podOwner : setOwner));
  return first !== undefined && first.uid !== owner.metadata.uid;
}

/** What the retention policy asks of a claim: its owners, when they are to change; and whether somebody else controls it. */
export function claimOwners(claim: PersistentVolumeClaim, set: StatefulSet, pod: Pod): { owners: OwnerReference[] | undefined; conflict: boolean } {
  const policy = set.spec?.persistentVolumeClaimRetentionPolicy;
  const deleted = policy?.whenDeleted === 'Delete';
  const scaled = policy?.whenScaled === 'Delete';
  const existing = claim.metadata.ownerReferences ?? [];
  const isSet = (reference: OwnerReference): boolean => names(reference, set, setOwner);
  const isPod = (reference: OwnerReference): boolean => names(reference, pod, podOwner);
  const conflict = (deleted || scaled) && existing.some((reference) =>
    isSet(reference) ? reference.uid !== set.metadata.uid : isPod(reference) ? reference.uid !== pod.metadata.uid : reference.controller === true);
  if (isStale(claim, set, 'StatefulSet') || isStale(claim, pod, 'Pod')) return { owners: undefined, conflict };
  const others = existing.filter((reference) => !isSet(reference) && !isPod(reference));
  const away = !inRange(set, ordinalOf(pod));
  const wanted = conflict ? [] : [
    ...(deleted && !(scaled && away) ? [ownerOf(set, setOwner)] : []),
    ...(scaled && away ? [ownerOf(pod, podOwner)] : []),
  ];
  const has = existing.filter((reference) => isSet(reference) || isPod(reference));
  const same = has.length === wanted.length && wanted.every(({ uid }) => has.some((each) => each.uid === uid && each.controller === true));
  return { owners: same ? undefined : [...others, ...wanted], conflict };
}
function ownerOf({ metadata: { name = '', uid = '' } }: ClaimOwner, kind: { apiVersion: string; kind: string }): OwnerReference {
  return { ...kind, name, uid, controller: true, blockOwnerDeletion: true };
}
