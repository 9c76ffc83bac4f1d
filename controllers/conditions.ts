// Conditions of the metav1 kind (type, status, reason, message). Upstream: apimachinery's SetStatusCondition.
import { rfc3339 } from '#machinery/base/clock.ts';

export interface Condition { type: string; status: string; reason?: string; message?: string; observedGeneration?: number; lastTransitionTime?: string }

/** A new list in which the condition stands as given; its time is new only when its status is. */
export function withCondition<T extends Condition>(conditions: readonly T[] | undefined, wanted: Omit<T, 'lastTransitionTime'>, now: number): T[] {
  const list = [...(conditions ?? [])];
  const index = list.findIndex(({ type }) => type === wanted.type);
  const before = list[index];
  const lastTransitionTime = before && before.status === wanted.status && before.lastTransitionTime ? before.lastTransitionTime : rfc3339(now);
  const next = { ...wanted, lastTransitionTime } as T; // T without its time, and its time
  if (index < 0) list.push(next);
  else list[index] = next;
  return list;
}
