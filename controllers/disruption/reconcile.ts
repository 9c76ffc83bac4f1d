// What a PodDisruptionBudget's status says of its pods, without I/O. Upstream: pkg/controller/disruption.
import type { Pod, PodDisruptionBudget } from '#machinery/api/object.ts';
import { withCondition } from '../conditions.ts';
import { scaled } from '../deployment/reconcile.ts';
import { isReady, isTerminal, podCondition, sameValue } from '../pods.ts';

type Status = NonNullable<PodDisruptionBudget['status']>;

/** An evicted pod that is not being deleted after this time never will be. */
export const deletionTimeoutMs = 120_000;
/** The same for a pod that somebody marked as a target of disruption. */
export const staleTargetMs = 120_000;

export interface Expected { expectedPods: number; desiredHealthy: number }

/** Shares and maxUnavailable count from the replicas that the pods' controllers want; a plain minAvailable needs no controllers. */
export function needsScale({ spec }: PodDisruptionBudget): boolean {
  return isGiven(spec?.maxUnavailable) || typeof spec?.minAvailable === 'string';
}
/** `scale` counts when needsScale(). */
export function expectedOf({ spec }: PodDisruptionBudget, podCount: number, scale: number): Expected {
  if (isGiven(spec?.maxUnavailable)) return { expectedPods: scale, desiredHealthy: Math.max(0, scale - scaled(spec.maxUnavailable, scale, true)) };
  if (typeof spec?.minAvailable === 'string') return { expectedPods: scale, desiredHealthy: scaled(spec.minAvailable, scale, true) };
  return isGiven(spec?.minAvailable) ? { expectedPods: podCount, desiredHealthy: spec.minAvailable } : { expectedPods: 0, desiredHealthy: 0 };
}
const isGiven = <T>(value: T | null | undefined): value is T => value !== undefined && value !== null;

/** Evictions that the API server granted and that still have to show; `missed` were granted too long ago. */
export function openDisruptions({ status }: PodDisruptionBudget, pods: readonly Pod[], now: number): { disruptedPods: Record<string, string>; missed: Pod[]; recheckInMs: number | undefined } {
  const granted = (status?.disruptedPods ?? {}) as Record<string, string>; // times as they travel
  const disruptedPods: Record<string, string> = {};
  const missed: Pod[] = [];
  let recheckInMs: number | undefined;
  for (const pod of pods) {
    const time = granted[pod.metadata.name ?? ''];
    if (time === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    const left = Date.parse(time) + deletionTimeoutMs - now;
    if (left < 0 || Number.isNaN(left)) {
      missed.push(pod);
      continue;
    }
    recheckInMs = Math.min(left, recheckInMs ?? left);
    disruptedPods[pod.metadata.name ?? ''] = time;
  }
  return { disruptedPods, missed, recheckInMs };
}

export function healthyPods(pods: readonly Pod[], disruptedPods: Record<string, string>): number {
  return pods.filter((pod) => pod.metadata.deletionTimestamp === undefined && disruptedPods[pod.metadata.name ?? ''] === undefined && isReady(pod)).length;
}

/** The status to write; undefined when it stands there already. */
export function nextStatus(budget: PodDisruptionBudget, { expectedPods, desiredHealthy }: Expected, currentHealthy: number, disruptedPods: Record<string, string>, now: number): Status | undefined {
  // A budget that matches no pods yet is in a safe state when the first ones come.
  const disruptionsAllowed = expectedPods <= 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  const observedGeneration = budget.metadata.generation ?? 0;
  const condition = { type: 'DisruptionAllowed', status: disruptionsAllowed > 0 ? 'True' : 'False', reason: disruptionsAllowed > 0 ? 'SufficientPods' : 'InsufficientPods', message: '', observedGeneration };
  const before = budget.status;
  const shown = before?.conditions?.find(({ type }) => type === 'DisruptionAllowed');
  const same = before !== undefined && before.currentHealthy === currentHealthy && before.desiredHealthy === desiredHealthy && before.expectedPods === expectedPods
    && before.disruptionsAllowed === disruptionsAllowed && before.observedGeneration === observedGeneration && sameValue(before.disruptedPods ?? {}, disruptedPods)
    && shown?.status === condition.status && shown.reason === condition.reason;
  if (same) return undefined;
  return {
    observedGeneration, disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods,
    ...(Object.keys(disruptedPods).length > 0 ? { disruptedPods: disruptedPods as unknown as Status['disruptedPods'] } : {}), // times as they travel
    conditions: withCondition(before?.conditions, condition, now),
  } as Status;
}

/** Nothing may be evicted while the controller does not know; undefined when the status says so already. */
export function failedStatus(budget: PodDisruptionBudget, message: string, now: number): Status | undefined {
  const { status } = budget;
  const observedGeneration = status?.observedGeneration ?? 0;
  const conditions = withCondition(status?.conditions, { type: 'DisruptionAllowed', status: 'False', reason: 'SyncFailed', message, observedGeneration }, now);
  const next = { currentHealthy: 0, desiredHealthy: 0, expectedPods: 0, ...status, disruptionsAllowed: 0, conditions } as Status;
  return sameValue(next, status) ? undefined : next;
}

/** Milliseconds until a mark of a disruption that did not come is taken back; undefined: there is none to take back. */
export function staleTargetInMs(pod: Pod, now: number): number | undefined {
  const condition = podCondition(pod, 'DisruptionTarget');
  // What the kubelet marked may take any time to stop.
  if (condition?.status !== 'True' || condition.reason === 'TerminationByKubelet' || pod.metadata.deletionTimestamp !== undefined || isTerminal(pod)) return undefined;
  const since = Date.parse(String(condition.lastTransitionTime ?? '')) || 0;
  return Math.max(0, since + staleTargetMs - now);
}
