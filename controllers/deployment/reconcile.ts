// The decisions of Deployments, without I/O: which ReplicaSet is the new one, how large each may be, what the status says.
// Upstream: pkg/controller/deployment (rolling.go, sync.go, progress.go) and its util/deployment_util.go.
import { rfc3339 } from '#machinery/base/clock.ts';
import type { Deployment, PodTemplateSpec, ReplicaSet } from '#machinery/api/object.ts';
import { canonical, safeEncode } from '../hash.ts';
import { sameMap, sameValue } from '../pods.ts';

export const hashLabel = 'pod-template-hash';
export const revisionKey = 'deployment.kubernetes.io/revision';
export const historyKey = 'deployment.kubernetes.io/revision-history';
export const desiredKey = 'deployment.kubernetes.io/desired-replicas';
export const maxKey = 'deployment.kubernetes.io/max-replicas';
/** Annotations that a Deployment and its ReplicaSets do not share. */
export const notCopied = new Set([
  'kubectl.kubernetes.io/last-applied-configuration', revisionKey, historyKey, desiredKey, maxKey, 'deprecated.deployment.rollback.to',
]);
const historyLimit = 2000;
const noLimit = 2 ** 31 - 1;

type Status = NonNullable<Deployment['status']>;
export type Condition = NonNullable<Status['conditions']>[number];

export const replicasOf = (set: ReplicaSet): number => set.spec?.replicas ?? 1;
export const wantedReplicas = (deployment: Deployment): number => deployment.spec?.replicas ?? 1;
export const isRolling = (deployment: Deployment): boolean => (deployment.spec?.strategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
const sum = (sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number => sets.reduce((total, set) => total + of(set), 0);

/** Absolute or percent of `total`; a text that is neither counts as 0 (validation refused it before). */
export function scaled(value: string | number | undefined, total: number, up: boolean): number {
  if (value === undefined) return 0;
  if (typeof value === 'number') return value;
  const percent = /^(\d+)%$/.exec(value);
  if (!percent) return 0;
  const exact = (Number(percent[1]) * total) / 100;
  return up ? Math.ceil(exact) : Math.floor(exact);
}

export function maxSurge(deployment: Deployment): number {
  return isRolling(deployment) ? scaled(deployment.spec?.strategy?.rollingUpdate?.maxSurge, wantedReplicas(deployment), true) : 0;
}
export function maxUnavailable(deployment: Deployment): number {
  const wanted = wantedReplicas(deployment);
  if (!isRolling(deployment) || wanted === 0) return 0;
  const unavailable = scaled(deployment.spec?.strategy?.rollingUpdate?.maxUnavailable, wanted, false);
  // Both can round to zero; one pod less lets the rollout go on without asking for more room.
  return Math.min(wanted, unavailable === 0 && maxSurge(deployment) === 0 ? 1 : unavailable);
}

const createdAt = (set: ReplicaSet): string => set.metadata.creationTimestamp ?? '';
/** Oldest first, by name among the same second. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  return compare(createdAt(a), createdAt(b)) || compare(a.metadata.name ?? '', b.metadata.name ?? '');
}
function compare<T extends string | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  const withoutHash = (template: PodTemplateSpec | undefined): Record<string, string> => {
    const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
    return labels;
  };
  const rest = (template: PodTemplateSpec | undefined): object => ({ ...template?.metadata, labels: undefined, annotations: undefined });
  return sameMap(withoutHash(a), withoutHash(b)) && sameMap(a?.metadata?.annotations, b?.metadata?.annotations) && sameValue(rest(a), rest(b)) && sameValue(a?.spec, b?.spec);
}

/** The set that runs the deployment's template (the oldest of several) and all others. */
export function splitSets(deployment: Deployment, sets: readonly ReplicaSet[]): { current: ReplicaSet | undefined; old: ReplicaSet[] } {
  const sorted = [...sets].sort(byAge);
  const current = sorted.find((set) => sameTemplate(set.spec?.template, deployment.spec?.template));
  return { current, old: sorted.filter((set) => set !== current) };
}

/**
 * Names a template. Upstream hashes a debug print of Go structs, which JSON cannot give; nothing depends on the value, as
 * sets are found by comparing templates. FNV-32a over the template with sorted keys, then the collision count.
 */
export function templateHash(template: PodTemplateSpec | undefined, collisionCount: number | undefined): string {
  let hash = 0x811c9dc5;
  const feed = (byte: number): void => {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  };
  for (const byte of Buffer.from(canonical(template))) feed(byte);
  if (collisionCount !== undefined) for (let shift = 0; shift < 32; shift += 8) feed((collisionCount >>> shift) & 0xff);
  return safeEncode(hash);
}

export function newSetName(deploymentName: string, hash: string): string {
  return `${deploymentName.slice(0, 253 - 1 - hash.length)}-${hash}`;
}

const maxRevision = 2n ** 63n - 1n;
/** Revisions are int64, beyond what a number holds; undefined for other texts. */
function parseRevision(text: string): bigint | undefined {
  if (!/^\d{1,19}$/.test(text)) return undefined;
  const revision = BigInt(text);
  return revision > maxRevision ? undefined : revision;
}
export const revisionOf = (set: ReplicaSet): bigint => parseRevision(set.metadata.annotations?.[revisionKey] ?? '') ?? 0n;
export function nextRevision(old: readonly ReplicaSet[]): bigint {
  return old.map(revisionOf).reduce((highest, each) => (each > highest ? each : highest), 0n) + 1n;
}

/** Annotations of the new set: the deployment's own, its revision and, when it is taken up again, the older ones it had. */
export function newSetAnnotations(deployment: Deployment, set: ReplicaSet | undefined, revision: bigint): Record<string, string> {
  const result = { ...set?.metadata.annotations };
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) if (!notCopied.has(key)) result[key] = value;
  const before = result[revisionKey];
  const count = before === undefined || before === '' ? 0n : parseRevision(before);
  if (count === undefined) return result; // somebody's own text is left alone
  if (count < revision) {
    result[revisionKey] = String(revision);
    if (before !== undefined) {
      const history = (result[historyKey] ?? '').split(',').filter(Boolean);
      while (history.length > 0 && [...history, before].join(',').length > historyLimit) history.shift();
      result[historyKey] = [...history, before].join(',');
    }
  }
  if (!set) Object.assign(result, replicasAnnotations(deployment));
  return result;
}
export function replicasAnnotations(deployment: Deployment): Record<string, string> {
  return { [desiredKey]: String(wantedReplicas(deployment)), [maxKey]: String(wantedReplicas(deployment) + maxSurge(deployment)) };
}

/** How large the new set may be right now. `all` holds every set, the new one too (or a planned one of size 0). */
export function newSetSize(deployment: Deployment, all: readonly ReplicaSet[], current: number): number {
  const wanted = wantedReplicas(deployment);
  if (!isRolling(deployment)) return wanted;
  const room = wanted + maxSurge(deployment) - sum(all, replicasOf);
  return room <= 0 ? current : current + Math.min(room, wanted - current);
}

/** A set and the size it should get. */
export interface Resize { set: ReplicaSet; replicas: number }

/** What a rolling update may take from the old sets now: first what is broken anyway, then as much as stays available. */
export function shrinkOld(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): Resize[] {
  const active = old.filter((set) => replicasOf(set) > 0).sort(byAge);
  if (active.length === 0) return [];
  const minAvailable = wantedReplicas(deployment) - maxUnavailable(deployment);
  const available = (set: ReplicaSet): number => set.status?.availableReplicas ?? 0;
  const unavailableNew = replicasOf(current) - available(current);
  let room = sum([...old, current], replicasOf) - minAvailable - unavailableNew;
  if (room <= 0) return [];
  const sizes = new Map(active.map((set) => [set, replicasOf(set)]));
  for (const set of active) {
    const broken = Math.min(room, Math.max(0, replicasOf(set) - available(set)));
    sizes.set(set, replicasOf(set) - broken);
    room -= broken;
  }
  let spare = sum([...active, current], available) - minAvailable;
  for (const set of active) {
    const size = sizes.get(set) ?? 0;
    const taken = Math.min(size, Math.max(0, spare));
    sizes.set(set, size - taken);
    spare -= taken;
  }
  return active.map((set) => ({ set, replicas: sizes.get(set) ?? 0 })).filter(({ set, replicas }) => replicas !== replicasOf(set));
}

/** Some active set was last sized for another spec.replicas. */
export function isScaling(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  return sets.some((set) => {
    const desired = set.metadata.annotations?.[desiredKey];
    return replicasOf(set) > 0 && desired !== undefined && /^\d+$/.test(desired) && Number(desired) !== wantedReplicas(deployment);
  });
}

/** Sizes after spec.replicas changed or while paused: one active set gets all, several share in proportion. `force`: annotations too. */
export function proportionalSizes(deployment: Deployment, current: ReplicaSet | undefined, old: readonly ReplicaSet[]): { resizes: Resize[]; force: boolean } {
  const wanted = wantedReplicas(deployment);
  const newestFirst = [...old].sort((a, b) => byAge(b, a));
  const active = [...newestFirst, ...(current ? [current] : [])].filter((set) => replicasOf(set) > 0);
  if (active.length <= 1) {
    const only = active[0] ?? current ?? newestFirst[0];
    return { resizes: only ? [{ set: only, replicas: wanted }] : [], force: false };
  }
  const saturated = current && replicasOf(current) === wanted && Number(current.metadata.annotations?.[desiredKey]) === wanted && (current.status?.availableReplicas ?? 0) === wanted;
  if (saturated) return { resizes: active.filter((set) => set !== current).map((set) => ({ set, replicas: 0 })), force: false };
  if (!isRolling(deployment)) return { resizes: [], force: false };

  const toAdd = (wanted > 0 ? wanted + maxSurge(deployment) : 0) - sum(active, replicasOf);
  const sorted = [...active].sort((a, b) => replicasOf(b) - replicasOf(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)));
  let added = 0;
  const resizes = sorted.map((set) => {
    const share = toAdd === 0 || toAdd === added ? 0 : fraction(deployment, set);
    const part = toAdd > 0 ? Math.min(share, toAdd - added) : toAdd < 0 ? Math.max(share, toAdd - added) : 0;
    added += part;
    return { set, replicas: replicasOf(set) + part };
  });
  if (resizes[0] && toAdd !== 0) resizes[0].replicas = Math.max(0, resizes[0].replicas + toAdd - added);
  return { resizes, force: true };
}
function fraction(deployment: Deployment, set: ReplicaSet): number {
  const wanted = wantedReplicas(deployment);
  if (wanted === 0) return -replicasOf(set);
  const text = set.metadata.annotations?.[maxKey] ?? '';
  const before = (/^\d+$/.test(text) ? Number(text) : 0) || (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  return Math.round((replicasOf(set) * (wanted + maxSurge(deployment))) / before) - replicasOf(set);
}

/** Old sets beyond revisionHistoryLimit that can go, oldest revision first. */
export function expendable(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit;
  if (limit === undefined || limit === noLimit) return [];
  const alive = old.filter((set) => set.metadata.deletionTimestamp === undefined).sort((a, b) => compare(revisionOf(a), revisionOf(b)) || byAge(a, b));
  return alive.slice(0, Math.max(0, alive.length - limit)).filter((set) =>
    (set.status?.replicas ?? 0) === 0 && replicasOf(set) === 0 && (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? 0));
}

export const hasDeadline = (deployment: Deployment): boolean => {
  const seconds = deployment.spec?.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== noLimit;
};
export function conditionOf(status: Status | undefined, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}
export function newCondition(type: string, status: string, reason: string, message: string, now: number): Condition {
  return { type, status, lastUpdateTime: rfc3339(now), lastTransitionTime: rfc3339(now), reason, message };
}
/** Puts a condition in; one with the same status and reason stays as it is. */
export function withCondition(conditions: readonly Condition[] | undefined, next: Condition): Condition[] {
  const before = conditions?.find(({ type }) => type === next.type);
  if (before && before.status === next.status && before.reason === next.reason) return [...(conditions ?? [])];
  const kept = (conditions ?? []).filter(({ type }) => type !== next.type);
  return [...kept, before?.status === next.status ? { ...next, lastTransitionTime: before.lastTransitionTime } : next];
}
export function withoutCondition(conditions: readonly Condition[] | undefined, type: string): Condition[] {
  return (conditions ?? []).filter((condition) => condition.type !== type);
}

/** Counts and the Available condition. */
export function calculateStatus(deployment: Deployment, all: readonly ReplicaSet[], current: ReplicaSet | undefined, now: number): Status {
  const available = sum(all, (set) => set.status?.availableReplicas ?? 0);
  const enough = available >= wantedReplicas(deployment) - maxUnavailable(deployment);
  const count = (name: string, value: number): Record<string, number> => (value === 0 ? {} : { [name]: value });
  const collisionCount = deployment.status?.collisionCount;
  // Unknown as long as a set that was looked at has not told.
  const terminating = all.every((set) => set.status?.terminatingReplicas !== undefined || (set.status?.observedGeneration ?? 0) === 0)
    ? sum(all, (set) => set.status?.terminatingReplicas ?? 0) : undefined;
  return {
    ...count('observedGeneration', deployment.metadata.generation ?? 0),
    ...count('replicas', sum(all, (set) => set.status?.replicas ?? 0)),
    ...count('updatedReplicas', current?.status?.replicas ?? 0),
    ...count('readyReplicas', sum(all, (set) => set.status?.readyReplicas ?? 0)),
    ...count('availableReplicas', available),
    ...count('unavailableReplicas', Math.max(0, sum(all, replicasOf) - available)),
    ...(terminating === undefined ? {} : { terminatingReplicas: terminating }),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: withCondition(deployment.status?.conditions, enough
      ? newCondition('Available', 'True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.', now)
      : newCondition('Available', 'False', 'MinimumReplicasUnavailable', 'Deployment does not have minimum availability.', now)),
  };
}

export function isComplete(deployment: Deployment, status: Status | undefined): boolean {
  const wanted = wantedReplicas(deployment);
  return (status?.updatedReplicas ?? 0) === wanted && (status?.replicas ?? 0) === wanted && (status?.availableReplicas ?? 0) === wanted
    && (status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0);
}
function isProgressing(deployment: Deployment, next: Status): boolean {
  const before = deployment.status ?? {};
  const old = (status: Status): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (next.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) || old(next) < old(before)
    || (next.readyReplicas ?? 0) > (before.readyReplicas ?? 0) || (next.availableReplicas ?? 0) > (before.availableReplicas ?? 0);
}

/** The status during a rollout: counts, Available, Progressing and ReplicaFailure. */
export function rolloutStatus(deployment: Deployment, all: readonly ReplicaSet[], current: ReplicaSet | undefined, now: number): Status {
  const next = calculateStatus(deployment, all, current, now);
  const subject = current ? `ReplicaSet "${current.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
  const before = conditionOf(deployment.status, 'Progressing');
  let { conditions } = next;
  if (!hasDeadline(deployment)) conditions = withoutCondition(conditions, 'Progressing');
  const settled = (next.replicas ?? 0) === (next.updatedReplicas ?? 0) && before?.reason === 'NewReplicaSetAvailable';
  if (hasDeadline(deployment) && !settled) {
    if (isComplete(deployment, next)) {
      conditions = withCondition(conditions, newCondition('Progressing', 'True', 'NewReplicaSetAvailable', `${subject} has successfully progressed.`, now));
    } else if (isProgressing(deployment, next)) {
      const progress = newCondition('Progressing', 'True', 'ReplicaSetUpdated', `${subject} is progressing.`, now);
      if (before?.status === 'True') progress.lastTransitionTime = before.lastTransitionTime;
      conditions = [...withoutCondition(conditions, 'Progressing'), progress]; // lastUpdateTime moves with each step
    } else if (isTimedOut(deployment, before, now)) {
      conditions = withCondition(conditions, newCondition('Progressing', 'False', 'ProgressDeadlineExceeded', `${subject} has timed out progressing.`, now));
    }
  }
  const failure = [...(current ? [current] : []), ...all].flatMap((set) => set.status?.conditions ?? []).find(({ type }) => type === 'ReplicaFailure');
  conditions = failure
    ? withCondition(conditions, { type: 'ReplicaFailure', status: failure.status, reason: failure.reason, message: failure.message, lastTransitionTime: failure.lastTransitionTime, lastUpdateTime: failure.lastTransitionTime })
    : withoutCondition(conditions, 'ReplicaFailure');
  return { ...next, conditions };
}
function isTimedOut(deployment: Deployment, progressing: Condition | undefined, now: number): boolean {
  if (!progressing || progressing.reason === 'NewReplicaSetAvailable') return false;
  if (progressing.reason === 'ProgressDeadlineExceeded') return true;
  return Date.parse(progressing.lastUpdateTime ?? '') + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000 < now;
}

/** When to look again at a rollout that stands still; undefined when there is nothing to wait for. */
export function progressCheckInMs(deployment: Deployment, next: Status, now: number): number | undefined {
  const progressing = conditionOf(deployment.status, 'Progressing');
  if (!hasDeadline(deployment) || !progressing || isComplete(deployment, next) || progressing.reason === 'ProgressDeadlineExceeded') return undefined;
  const dueMs = Date.parse(progressing.lastUpdateTime ?? '') + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000 - now;
  return Math.max(0, dueMs) + 1000;
}
