// Requests must fit into what the node has left; emptier nodes score higher (LeastAllocated).
import type { Plugin, Rejection } from '../plugin.ts';
import type { Requests } from '../pod-info.ts';
import type { NodeInfo } from '../snapshot.ts';

/** Rejections by their reasons: a handful of texts repeated for every node and pod. */
const known = new Map<string, Rejection>();
function rejectionFor(reasons: readonly string[], resolvable: boolean): Rejection {
  const key = `${resolvable ? 'r' : 'u'}${reasons.join()}`;
  let rejection = known.get(key);
  if (!rejection) {
    rejection = { reasons: [...reasons], resolvable };
    if (known.size < 256) known.set(key, rejection);
  }
  return rejection;
}

export function fits(requests: Requests, node: NodeInfo): Rejection | undefined {
  const full = node.pods.size + 1 > node.maxPods;
  if (!full && requests.cpu <= node.cpu - node.usedCpu && requests.memory <= node.memory - node.usedMemory
    && requests.ephemeral <= node.ephemeral - node.usedEphemeral && !requests.scalars) return undefined;
  const reasons: string[] = [];
  let resolvable = true;
  if (full) reasons.push('Too many pods');
  const check = (name: string, wanted: number, capacity: number, used: number): void => {
    if (wanted <= 0 || wanted <= capacity - used) return;
    reasons.push(`Insufficient ${name}`);
    if (wanted > capacity) resolvable = false; // no pod that goes can make room
  };
  check('cpu', requests.cpu, node.cpu, node.usedCpu);
  check('memory', requests.memory, node.memory, node.usedMemory);
  check('ephemeral-storage', requests.ephemeral, node.ephemeral, node.usedEphemeral);
  if (requests.scalars) {
    for (const [name, wanted] of requests.scalars) check(name, wanted, node.scalars?.get(name) ?? 0, node.usedScalars.get(name) ?? 0);
  }
  return reasons.length === 0 ? undefined : rejectionFor(reasons, resolvable);
}

function leastRequested(requested: number, capacity: number): number {
  return requested > capacity ? 0 : Math.trunc(((capacity - requested) * 100) / capacity);
}

export const nodeResourcesFit: Plugin = {
  name: 'NodeResourcesFit',
  weight: 1,
  wakes: ['NodeAdd', 'NodeAllocatable', 'PodDelete', 'PodUpdate', 'OwnUpdate'],
  perNode: true,
  prepareFilter({ requests }) {
    return { filter: (node) => fits(requests, node) };
  },
  prepareScore({ scoredCpu, scoredMemory }) {
    return {
      score(node) {
        let sum = 0;
        let count = 0;
        if (node.cpu > 0) {
          sum += leastRequested(node.scoredCpu + scoredCpu, node.cpu);
          count += 1;
        }
        if (node.memory > 0) {
          sum += leastRequested(node.scoredMemory + scoredMemory, node.memory);
          count += 1;
        }
        return count === 0 ? 0 : Math.trunc(sum / count);
      },
    };
  },
};
