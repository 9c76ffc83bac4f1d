// Prefers nodes whose resources (CPU and memory, unless a profile names others) are used to about the same share, compared before
// and after the pod.
import type { Plugin } from '../plugin.ts';
import { defaultArgs, type BalancedArgs } from '../plugin-args.ts';
import type { PodInfo } from '../pod-info.ts';
import type { NodeInfo } from '../snapshot.ts';

function wantedOf(resource: string, { requests }: PodInfo): number {
  switch (resource) {
    case 'cpu': return requests.cpu;
    case 'memory': return requests.memory;
    case 'ephemeral-storage': return requests.ephemeral;
    default: return requests.scalars?.get(resource) ?? 0;
  }
}
function capacityOf(resource: string, node: NodeInfo): number {
  switch (resource) {
    case 'cpu': return node.cpu;
    case 'memory': return node.memory;
    case 'ephemeral-storage': return node.ephemeral;
    default: return node.scalars?.get(resource) ?? 0;
  }
}
function usedOf(resource: string, node: NodeInfo): number {
  switch (resource) {
    case 'cpu': return node.usedCpu;
    case 'memory': return node.usedMemory;
    case 'ephemeral-storage': return node.usedEphemeral;
    default: return node.usedScalars.get(resource) ?? 0;
  }
}

/** 0..100 (two resources: 50..100): 100 less the standard deviation of the shares. */
function balance(shares: readonly number[]): number {
  if (shares.length < 2) return 100;
  if (shares.length === 2) return Math.trunc((1 - Math.abs(((shares[0] ?? 0) - (shares[1] ?? 0)) / 2)) * 100);
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  return Math.trunc((1 - Math.sqrt(shares.reduce((sum, share) => sum + (share - mean) ** 2, 0) / shares.length)) * 100);
}

export function createNodeResourcesBalancedAllocation({ resources }: BalancedArgs): Plugin {
  return {
    name: 'NodeResourcesBalancedAllocation',
    weight: 1,
    wakes: [],
    prepareScore(pod) {
      const wanted = resources.map((resource) => wantedOf(resource, pod));
      if (wanted.every((amount) => amount === 0)) return undefined; // best-effort pods would pile up on one node
      const before: number[] = [];
      const after: number[] = [];
      return {
        score(node) {
          let count = 0;
          for (let i = 0; i < resources.length; i += 1) {
            const resource = resources[i] ?? '';
            const amount = wanted[i] ?? 0;
            if (amount === 0 && resource !== 'cpu' && resource !== 'memory' && resource !== 'ephemeral-storage') continue;
            const capacity = capacityOf(resource, node);
            if (capacity === 0) continue;
            const used = usedOf(resource, node);
            before[count] = Math.min(1, used / capacity);
            after[count] = Math.min(1, (used + amount) / capacity);
            count += 1;
          }
          if (before.length !== count) before.length = after.length = count;
          return 50 + Math.trunc((50 + balance(after) - balance(before)) / 2);
        },
      };
    },
  };
}
export const nodeResourcesBalancedAllocation = createNodeResourcesBalancedAllocation(defaultArgs.NodeResourcesBalancedAllocation);
