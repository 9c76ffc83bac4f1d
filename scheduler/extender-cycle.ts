// What the extenders say to one scheduling cycle: each asked in turn about the nodes that the one before it let pass.
import { createLogger } from '#machinery/base/log.ts';
import type { Extender } from './extender.ts';
import type { Rejection } from './plugin.ts';
import type { PodInfo } from './pod-info.ts';
import type { Victims } from './preemption.ts';
import type { NodeInfo, Snapshot } from './snapshot.ts';

const log = createLogger('scheduler');

export interface Answers {
  readonly passed: readonly NodeInfo[];
  readonly failed: ReadonlyMap<NodeInfo, Rejection>;
  /** To be added to those of the plugins. */
  readonly scores: ReadonlyMap<string, number>;
}

/** Rejects when an extender fails to filter that the pod cannot go without. */
export async function askExtenders(extenders: readonly Extender[], pod: PodInfo, nodes: readonly NodeInfo[], signal: AbortSignal): Promise<Answers> {
  const failed = new Map<NodeInfo, Rejection>();
  let passed = nodes;
  for (const extender of extenders) {
    if (passed.length === 0) break;
    if (extender.config.filterVerb === '') continue;
    try {
      const answer = await extender.filter(pod, passed, signal);
      for (const node of passed) {
        const said = answer.failed.get(node.name);
        if (said) failed.set(node, { reasons: [said.message], resolvable: said.resolvable });
      }
      passed = answer.passed;
    } catch (error) {
      if (!extender.config.ignorable) throw error;
      log.warn('extender left out', { extender: extender.config.urlPrefix, pod: pod.key, error });
    }
  }
  return { passed, failed, scores: passed.length > 1 ? await prioritize(extenders, pod, passed, signal) : new Map() };
}

async function prioritize(extenders: readonly Extender[], pod: PodInfo, nodes: readonly NodeInfo[], signal: AbortSignal): Promise<Map<string, number>> {
  const scores = new Map<string, number>();
  await Promise.all(extenders.map(async (extender) => {
    if (extender.config.prioritizeVerb === '') return;
    try {
      for (const [name, score] of await extender.prioritize(pod, nodes, signal)) scores.set(name, (scores.get(name) ?? 0) + score);
    } catch (error) {
      log.warn('no scores from extender', { extender: extender.config.urlPrefix, pod: pod.key, error }); // the others decide
    }
  }));
  return scores;
}

/** Rejects when an extender fails that cannot be gone without. */
export async function reviewCandidates(extenders: readonly Extender[], pod: PodInfo, candidates: readonly Victims[], snapshot: Snapshot, signal: AbortSignal): Promise<readonly Victims[]> {
  let left = candidates;
  for (const extender of extenders) {
    if (left.length === 0) break;
    if (extender.config.preemptVerb === '') continue;
    try {
      left = await extender.preempt(pod, left, (name) => snapshot.node(name), signal);
    } catch (error) {
      if (!extender.config.ignorable) throw error;
      log.warn('extender left out of preemption', { extender: extender.config.urlPrefix, pod: pod.key, error });
    }
  }
  return left;
}
