// Making room by removing pods of lower priority: on which node, and the fewest, least important victims there.
// Upstream: pkg/scheduler/framework/preemption and plugins/defaultpreemption.
import type { PodDisruptionBudget } from '#machinery/api/object.ts';
import { addTo, checkNode, fitMessage, removeFrom, type Filter, type Verdict } from './cycle.ts';
import type { Nominator } from './nominator.ts';
import type { PreemptionArgs } from './plugin-args.ts';
import type { PodInfo } from './pod-info.ts';
import { compileLabelSelector } from './selectors.ts';
import type { NodeInfo, Snapshot } from './snapshot.ts';

export interface Victims { node: string; pods: readonly PodInfo[]; violations: number }
export interface PreemptionResult { message: string; nominate: string | undefined; victims: Victims | undefined }

/** Asks others about the candidates before one is taken. */
export type Review = (candidates: readonly Victims[]) => Promise<readonly Victims[]>;

export interface PreemptionInput {
  pod: PodInfo;
  filters: readonly Filter[];
  /** Why each node that was looked at was rejected. */
  verdicts: ReadonlyMap<NodeInfo, Verdict>;
  snapshot: Snapshot;
  nominator: Nominator;
  budgets: readonly PodDisruptionBudget[];
  random: () => number;
  args: PreemptionArgs;
  /** Whether the pod lets go of something else. */
  relief: boolean;
}

const notHelpful = 'Preemption is not helpful for scheduling';
const noVictims = 'No preemption victims found for incoming pod';
/** What upstream's DynamicResources says before preemption. */
function claimsMessage({ pod: { pod: { spec } }, relief }: PreemptionInput): string {
  if (relief) return 'deallocation of ResourceClaim completed';
  return spec?.resourceClaims?.length ? 'still not schedulable' : 'no new claims to deallocate';
}

/** Tries pods out on the live nodes and puts everything back. */
export function preempt(input: PreemptionInput): PreemptionResult {
  const found = findCandidates(input);
  return Array.isArray(found) ? choose(input, found) : found;
}

/** The same, with others asked about the candidates; when one of them fails, nobody is removed. */
export async function preemptReviewed(input: PreemptionInput, review: Review): Promise<PreemptionResult> {
  const found = findCandidates(input);
  if (!Array.isArray(found)) return found;
  try {
    return choose(input, await review(found));
  } catch (error) {
    return { message: `${claimsMessage(input)}, preemption: ${error instanceof Error ? error.message : String(error)}`, nominate: undefined, victims: undefined };
  }
}

function choose(input: PreemptionInput, candidates: readonly Victims[]): PreemptionResult {
  const best = pickCandidate(candidates);
  if (best) return { message: '', nominate: best.node, victims: best };
  return { message: `${claimsMessage(input)}, preemption: no candidate node for preemption`, nominate: undefined, victims: undefined };
}

/** Where there is room to be made and by whom; never an empty list. */
function findCandidates(input: PreemptionInput): Victims[] | PreemptionResult {
  const { pod, verdicts, snapshot } = input;
  const ineligible = whyIneligible(input);
  if (ineligible) return { message: `${claimsMessage(input)}, preemption: ${ineligible}`, nominate: undefined, victims: undefined };

  const potential = [...verdicts].filter(([, { rejection }]) => rejection.resolvable).map(([node]) => node);
  const enough = Math.min(potential.length, Math.max(input.args.minCandidateNodesAbsolute, Math.trunc((potential.length * input.args.minCandidateNodesPercentage) / 100)));
  const offset = Math.trunc(input.random() * potential.length);
  const candidates: Victims[] = [];
  const counts = new Map<string, number>();
  const count = (reason: string, by = 1): void => void counts.set(reason, (counts.get(reason) ?? 0) + by);
  let sound = false;
  for (let i = 0; i < potential.length && !(sound && candidates.length >= enough); i += 1) {
    const node = potential[(offset + i) % potential.length];
    if (!node) continue;
    const found = selectVictims(input, node);
    if ('pods' in found) {
      candidates.push(found);
      if (found.violations === 0) sound = true;
    } else for (const reason of found.reasons) count(reason);
  }
  if (candidates.length > 0) return candidates;
  if (potential.length < snapshot.size) count(notHelpful, snapshot.size - potential.length);
  return { message: `${claimsMessage(input)}, preemption: ${fitMessage(snapshot.size, counts)}`, nominate: pod.pod.status?.nominatedNodeName ? '' : undefined, victims: undefined };
}

function whyIneligible({ pod, verdicts, snapshot }: PreemptionInput): string | undefined {
  if (pod.pod.spec?.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.';
  const node = snapshot.node(pod.pod.status?.nominatedNodeName ?? '');
  if (!node || verdicts.get(node)?.rejection.resolvable === false) return undefined;
  for (const other of node.pods.values()) {
    if (other.priority < pod.priority && isBeingPreempted(other)) return 'not eligible due to a terminating pod on the nominated node.';
  }
  return undefined;
}

function isBeingPreempted({ terminating, pod }: PodInfo): boolean {
  return terminating && (pod.status?.conditions?.some((c) => c.type === 'DisruptionTarget' && c.status === 'True' && c.reason === 'PreemptionByScheduler') ?? false);
}

/** Takes everything of lower priority away, then gives back what fits beside the pod, the most important first. */
function selectVictims({ pod, filters, nominator, budgets }: PreemptionInput, node: NodeInfo): Victims | { reasons: readonly string[] } {
  const potential = [...node.pods.values()].filter((other) => other.priority < pod.priority);
  if (potential.length === 0) return { reasons: [noVictims] };
  for (const other of potential) removeFrom(filters, other, node);
  const verdict = checkNode(filters, pod, node, nominator);
  if (verdict) {
    for (const other of potential) addTo(filters, other, node);
    return verdict.rejection;
  }
  potential.sort(moreImportantFirst);
  const { violating, others } = splitByBudget(potential, budgets);
  const victims: PodInfo[] = [];
  let violations = 0;
  for (const other of [...violating, ...others]) {
    addTo(filters, other, node);
    if (!checkNode(filters, pod, node, nominator)) continue;
    removeFrom(filters, other, node);
    victims.push(other);
    if (violating.includes(other)) violations += 1;
  }
  for (const other of victims) addTo(filters, other, node);
  if (victims.length === 0) return { reasons: [`expected at least one victim pod on node "${node.name}"`] }; // something else than pods kept it out
  return { node: node.name, pods: victims.sort(moreImportantFirst), violations };
}

function startOf({ pod }: PodInfo): number {
  const start = pod.status?.startTime;
  return start ? Date.parse(start) : Infinity;
}
/** Higher priority, then longer running. */
function moreImportantFirst(a: PodInfo, b: PodInfo): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  const [left, right] = [startOf(a), startOf(b)];
  return left === right ? 0 : left - right;
}

function splitByBudget(pods: readonly PodInfo[], budgets: readonly PodDisruptionBudget[]): { violating: PodInfo[]; others: PodInfo[] } {
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  const left = budgets.map((budget) => ({ budget, selector: compileLabelSelector(budget.spec?.selector), allowed: budget.status?.disruptionsAllowed ?? 0 }));
  for (const pod of pods) {
    let violates = false;
    for (const entry of left) {
      const { budget, selector } = entry;
      if (budget.metadata.namespace !== pod.namespace || selector.empty || !selector.matches(pod.labels)) continue;
      if (budget.status?.disruptedPods?.[pod.name] !== undefined) continue; // already taken off the budget
      entry.allowed -= 1;
      if (entry.allowed < 0) violates = true;
    }
    (violates ? violating : others).push(pod);
  }
  return { violating, others };
}

/** Fewest budget violations, lowest top priority, lowest sum of priorities, fewest pods, latest start; then the first. */
function pickCandidate(candidates: readonly Victims[]): Victims | undefined {
  const criteria: ((candidate: Victims) => number)[] = [
    ({ violations }) => violations,
    ({ pods }) => pods[0]?.priority ?? 0,
    // Shifted to be positive, so that many pods of negative priority do not look better than one.
    ({ pods }) => pods.reduce((sum, { priority }) => sum + priority + 2 ** 31, 0),
    ({ pods }) => pods.length,
    ({ pods }) => -Math.min(...pods.filter(({ priority }) => priority === pods[0]?.priority).map(startOf)),
  ];
  let left = candidates;
  for (const cost of criteria) {
    if (left.length <= 1) break;
    const costs = left.map(cost);
    const least = Math.min(...costs);
    left = left.filter((_, i) => costs[i] === least);
  }
  return left[0];
}
