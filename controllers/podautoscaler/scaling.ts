// From the replicas that metrics ask for to those that an autoscaler's limits, rates and stabilization windows allow. No I/O.
// Upstream: pkg/controller/podautoscaler/horizontal.go.
import type { HorizontalPodAutoscaler } from '#machinery/api/object.ts';

type Behavior = NonNullable<NonNullable<HorizontalPodAutoscaler['spec']>['behavior']>;
type Rules = NonNullable<Behavior['scaleUp']>;
export interface Limits { minReplicas: number; maxReplicas: number; behavior?: Behavior }
export interface Verdict { reason: string; message: string }
export interface Decision {
  replicas: number;
  /** AbleToScale is true for this reason. */
  able: Verdict;
  /** ScalingLimited. */
  limited: Verdict & { isLimited: boolean };
}

const current: Verdict = { reason: 'ReadyForNewScale', message: 'recommended size matches current size' };
const downStabilized: Verdict = { reason: 'ScaleDownStabilized', message: 'recent recommendations were higher than current one, applying the highest recent recommendation' };
const upStabilized: Verdict = { reason: 'ScaleUpStabilized', message: 'recent recommendations were lower than current one, applying the lowest recent recommendation' };
const tooFast: Verdict = { reason: 'ScaleUpLimit', message: 'the desired replica count is increasing faster than the maximum scale rate' };
const tooSlow: Verdict = { reason: 'ScaleDownLimit', message: 'the desired replica count is decreasing faster than the maximum scale rate' };
const tooMany: Verdict = { reason: 'TooManyReplicas', message: 'the desired replica count is more than the maximum replica count' };
const tooFew: Verdict = { reason: 'TooFewReplicas', message: 'the desired replica count is less than the minimum replica count' };
const within: Verdict = { reason: 'DesiredWithinRange', message: 'the desired count is within the acceptable range' };

/** What one autoscaler remembers; entries older than every window that asks for them are dropped. */
export class ScalingHistory {
  #recommendations: { at: number; replicas: number }[] = [];
  #changes: { at: number; change: number }[] = [];

  /** The replicas that were there when the autoscaler was first looked at: they are not taken away at once. */
  begin(replicas: number, now: number): void {
    if (this.#recommendations.length === 0) this.#recommendations.push({ at: now, replicas });
  }
  recommend(replicas: number, keepMs: number, now: number): void {
    this.#recommendations = this.#recommendations.filter(({ at }) => at >= now - keepMs);
    this.#recommendations.push({ at: now, replicas });
  }
  since(windowMs: number, now: number): number[] {
    return this.#recommendations.filter(({ at }) => at > now - windowMs).map(({ replicas }) => replicas);
  }
  rescaled(from: number, to: number, behavior: Behavior | undefined, now: number): void {
    if (!behavior) return; // nobody asks
    const longest = Math.max(0, ...[...(behavior.scaleUp?.policies ?? []), ...(behavior.scaleDown?.policies ?? [])].map(({ periodSeconds }) => periodSeconds * 1000));
    this.#changes = this.#changes.filter(({ at }) => at >= now - longest);
    this.#changes.push({ at: now, change: to - from });
  }
  /** Replicas at the beginning of the period. */
  before(currentReplicas: number, periodMs: number, now: number): number {
    return this.#changes.filter(({ at }) => at > now - periodMs).reduce((replicas, { change }) => replicas - change, currentReplicas);
  }
}

export function decide(history: ScalingHistory, limits: Limits, currentReplicas: number, wanted: number, stabilizationMs: number, now: number): Decision {
  const { behavior } = limits;
  if (!behavior) {
    const stabilized = Math.max(wanted, ...history.since(stabilizationMs, now));
    history.recommend(wanted, stabilizationMs, now);
    const most = Math.max(2 * currentReplicas, 4);
    const decision = clamp(stabilized, limits.minReplicas, limits.maxReplicas > most ? most : limits.maxReplicas, tooFew, limits.maxReplicas > most ? tooFast : tooMany);
    return { ...decision, able: stabilized === wanted ? current : downStabilized };
  }
  const upMs = (behavior.scaleUp?.stabilizationWindowSeconds ?? 0) * 1000;
  const downMs = behavior.scaleDown?.stabilizationWindowSeconds === undefined ? stabilizationMs : behavior.scaleDown.stabilizationWindowSeconds * 1000;
  const lowest = Math.min(wanted, ...history.since(upMs, now));
  const highest = Math.max(wanted, ...history.since(downMs, now));
  history.recommend(wanted, Math.max(upMs, downMs), now);
  const stabilized = Math.min(Math.max(currentReplicas, lowest), highest);
  const able = stabilized === wanted ? current : wanted >= currentReplicas ? upStabilized : downStabilized;
  if (stabilized > currentReplicas) {
    const rate = Math.max(currentReplicas, mostAllowed(behavior.scaleUp, history, currentReplicas, now));
    return { ...clamp(stabilized, -Infinity, Math.min(limits.maxReplicas, rate), tooFew, limits.maxReplicas > rate ? tooFast : tooMany), able };
  }
  if (stabilized < currentReplicas) {
    const rate = Math.min(currentReplicas, leastAllowed(behavior.scaleDown, history, currentReplicas, now));
    return { ...clamp(stabilized, Math.max(limits.minReplicas, rate), Infinity, limits.minReplicas < rate ? tooSlow : tooFew, tooMany), able };
  }
  return { ...clamp(stabilized, -Infinity, Infinity, tooFew, tooMany), able };
}

function clamp(wanted: number, least: number, most: number, below: Verdict, above: Verdict): Omit<Decision, 'able'> {
  if (wanted < least) return { replicas: least, limited: { ...below, isLimited: true } };
  if (wanted > most) return { replicas: most, limited: { ...above, isLimited: true } };
  return { replicas: wanted, limited: { ...within, isLimited: false } };
}

function mostAllowed(rules: Rules | undefined, history: ScalingHistory, currentReplicas: number, now: number): number {
  const proposals = (rules?.policies ?? []).map(({ type, value, periodSeconds }) => {
    const before = history.before(currentReplicas, periodSeconds * 1000, now);
    return type === 'Pods' ? before + value : Math.ceil(before * (1 + value / 100)); // up, or one pod would never become two
  });
  return choose(rules, proposals, currentReplicas, rules?.selectPolicy === 'Min' ? Math.min : Math.max);
}
function leastAllowed(rules: Rules | undefined, history: ScalingHistory, currentReplicas: number, now: number): number {
  const proposals = (rules?.policies ?? []).map(({ type, value, periodSeconds }) => {
    const before = history.before(currentReplicas, periodSeconds * 1000, now);
    return type === 'Pods' ? before - value : Math.trunc(before * (1 - value / 100));
  });
  return choose(rules, proposals, currentReplicas, rules?.selectPolicy === 'Min' ? Math.max : Math.min);
}
function choose(rules: Rules | undefined, proposals: readonly number[], currentReplicas: number, select: (...values: number[]) => number): number {
  return rules?.selectPolicy === 'Disabled' || proposals.length === 0 ? currentReplicas : select(...proposals);
}
