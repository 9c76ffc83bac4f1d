// Prefers nodes whose CPU and memory are used to about the same share, compared before and after the pod.
import type { Plugin } from '../plugin.ts';

/** 50..100: how close the two shares are. */
function balance(cpu: number, cpuCapacity: number, memory: number, memoryCapacity: number): number {
  if (cpuCapacity === 0 || memoryCapacity === 0) return 100;
  const cpuShare = Math.min(1, cpu / cpuCapacity);
  const memoryShare = Math.min(1, memory / memoryCapacity);
  return Math.trunc((1 - Math.abs(cpuShare - memoryShare) / 2) * 100);
}

export const nodeResourcesBalancedAllocation: Plugin = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  wakes: [],
  prepareScore({ requests: { cpu, memory } }) {
    if (cpu === 0 && memory === 0) return undefined; // best-effort pods would pile up on one node
    return {
      score(node) {
        const after = balance(node.usedCpu + cpu, node.cpu, node.usedMemory + memory, node.memory);
        const before = balance(node.usedCpu, node.cpu, node.usedMemory, node.memory);
        return 50 + Math.trunc((50 + after - before) / 2);
      },
    };
  },
};
