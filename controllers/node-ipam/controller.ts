// Gives each node its part of --cluster-cidr, once. Upstream: pkg/controller/nodeipam/ipam/range_allocator.go.
import { runController } from '#machinery/client/controller.ts';
import { nodes } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { nextFree, parseRange } from './reconcile.ts';

export function createNodeIpamController({ informers, clientFor, recorderFor, config }: ControllerContext): Controller {
  if (!config.allocateNodeCidrs || config.clusterCidr === '') return { run: () => Promise.resolve() };
  const range = parseRange(config.clusterCidr, config.nodeCidrMaskSize);
  const queue = createWorkQueue({ name: 'cidrallocator_node' });
  const all = informers.for(nodes);
  const client = clientFor('node-controller');
  const recorder = recorderFor('cidrAllocator', 'node-controller');
  /** Node -> part that we wrote and may not see yet. */
  const given = new Map<string, string>();
  let last = -1;
  all.onChange(({ type, object }) => {
    const name = object.metadata.name ?? '';
    if (type === 'deleted') {
      given.delete(name);
      for (const node of all.list()) if (!node.spec?.podCIDR) queue.add(node.metadata.name ?? ''); // somebody may have waited for it
    } else if (!object.spec?.podCIDR) queue.add(name);
    else given.delete(name);
  });
  return {
    // One worker: two at a time could choose the same part.
    run: (stop) => runController({
      name: 'node-ipam-controller', queue, maxRetries: Infinity,
      async reconcile(name, signal) {
        const node = all.get('', name);
        if (!node || node.spec?.podCIDR || given.has(name)) return;
        const taken = new Set([...given.values(), ...all.list().flatMap(({ spec }) => spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : []))]);
        const free = nextFree(range, taken, last);
        if (!free) {
          recorder.event(node, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`);
          throw new Error(`no free part of ${config.clusterCidr} for node ${name}`);
        }
        given.set(name, free.cidr);
        last = free.index;
        try {
          await client.patch(nodes, '', name, 'strategic', { spec: { podCIDR: free.cidr, podCIDRs: [free.cidr] } }, signal);
        } catch (error) {
          given.delete(name);
          recorder.event(node, 'Normal', 'CIDRAssignmentFailed', `Node ${name} status is now: CIDRAssignmentFailed`);
          throw error;
        }
      },
    }, stop),
  };
}
