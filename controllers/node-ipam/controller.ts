// Gives each node its part of --cluster-cidr, once. Upstream: pkg/controller/nodeipam/ipam/range_allocator.go.
import { StatusError } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { nodes } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { nextFree, parseRanges } from './reconcile.ts';

export function createNodeIpamController({ informers, clientFor, recorderFor, config }: ControllerContext): Controller {
  if (!config.allocateNodeCidrs || config.clusterCidr === '') return { run: () => Promise.resolve() };
  const ranges = parseRanges(config.clusterCidr, config.nodeCidrMaskSizes);
  const queue = createWorkQueue({ name: 'cidrallocator_node' });
  const all = informers.for(nodes);
  const client = clientFor('node-controller');
  const recorder = recorderFor('cidrAllocator', 'node-controller');
  /** Node -> parts that we wrote and may not see yet, also when no answer came: tried again they are the same. */
  const given = new Map<string, readonly string[]>();
  const last = ranges.map(() => -1);
  all.onChange(({ type, object }) => {
    const name = object.metadata.name ?? '';
    if (type === 'deleted') {
      given.delete(name);
      for (const node of all.list()) if (!node.spec?.podCIDR) queue.add(node.metadata.name ?? ''); // somebody may have waited for it
    } else if (!object.spec?.podCIDR) queue.add(name);
    else given.delete(name);
  });

  /** A part of each range; undefined when one has none left. */
  function choose(): string[] | undefined {
    const taken = new Set([...[...given.values()].flat(), ...all.list().flatMap(({ spec }) => spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : []))]);
    const free = ranges.map((range, index) => nextFree(range, taken, last[index] ?? -1));
    if (!free.every((each) => each !== undefined)) return undefined;
    free.forEach(({ index }, of) => (last[of] = index));
    return free.map(({ cidr }) => cidr);
  }
  return {
    // One worker: two at a time could choose the same part.
    run: (stop) => runController({
      name: 'node-ipam-controller', queue, maxRetries: Infinity,
      async reconcile(name, signal) {
        const node = all.get('', name);
        if (!node || node.spec?.podCIDR) return;
        const parts = given.get(name) ?? choose();
        if (!parts) {
          recorder.event(node, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`);
          throw new Error(`no free part of ${config.clusterCidr} for node ${name}`);
        }
        given.set(name, parts);
        try {
          await client.patch(nodes, '', name, 'strategic', { spec: { podCIDR: parts[0], podCIDRs: parts } }, signal);
        } catch (error) {
          if (error instanceof StatusError) given.delete(name); // it was refused
          if (signal.aborted) throw error;
          recorder.event(node, 'Normal', 'CIDRAssignmentFailed', `Node ${name} status is now: CIDRAssignmentFailed`);
          throw error;
        }
      },
    }, stop),
  };
}
