// Requests must fit into what the node has left. The score: emptier nodes (LeastAllocated), fuller ones (MostAllocated), or a curve over
// the share that is used (RequestedToCapacityRatio), of the resources that count and by their weights.
import type { Plugin, Rejection } from '../plugin.ts';
import { defaultArgs, type FitArgs, type ShapePoint } from '../plugin-args.ts';
import type { PodInfo, Requests } from '../pod-info.ts';
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

export function fits(requests: Requests, node: NodeInfo, ignored?: (resource: string) => boolean): Rejection | undefined {
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
    for (const [name, wanted] of requests.scalars) if (!ignored?.(name)) check(name, wanted, node.scalars?.get(name) ?? 0, node.usedScalars.get(name) ?? 0);
  }
  return reasons.length === 0 ? undefined : rejectionFor(reasons, resolvable);
}

type ScoreOf = (requested: number, capacity: number) => number;
const leastRequested: ScoreOf = (requested, capacity) => (requested > capacity ? 0 : Math.trunc(((capacity - requested) * 100) / capacity));
const mostRequested: ScoreOf = (requested, capacity) => Math.trunc((Math.min(requested, capacity) * 100) / capacity);
/** Straight lines between the points; a point's score is of 10. */
function alongShape(shape: readonly ShapePoint[]): ScoreOf {
  return (requested, capacity) => {
    const used = requested > capacity ? 100 : Math.trunc((requested * 100) / capacity);
    const after = shape.findIndex(({ utilization }) => used <= utilization);
    const right = shape.at(after);
    const left = after > 0 ? shape[after - 1] : undefined;
    if (!left || !right) return (right?.score ?? 0) * 10;
    return left.score * 10 + Math.trunc(((right.score - left.score) * 10 * (used - left.utilization)) / (right.utilization - left.utilization));
  };
}

/** 0 when the resource does not count for this pod. Plain numbers: this runs for every pod on every node that passed. */
function capacityOf(resource: string, pod: PodInfo, node: NodeInfo): number {
  if (resource === 'cpu') return node.cpu;
  if (resource === 'memory') return node.memory;
  if (resource === 'ephemeral-storage') return node.ephemeral;
  return (pod.requests.scalars?.get(resource) ?? 0) === 0 ? 0 : node.scalars?.get(resource) ?? 0;
}
/** What the node's pods and this one ask for. */
function requestedOf(resource: string, pod: PodInfo, node: NodeInfo): number {
  if (resource === 'cpu') return node.scoredCpu + pod.scoredCpu;
  if (resource === 'memory') return node.scoredMemory + pod.scoredMemory;
  if (resource === 'ephemeral-storage') return node.usedEphemeral + pod.requests.ephemeral;
  return (node.usedScalars.get(resource) ?? 0) + (pod.requests.scalars?.get(resource) ?? 0);
}

export function createNodeResourcesFit({ ignoredResources, ignoredResourceGroups, strategy, resources, shape }: FitArgs): Plugin {
  const ignored = ignoredResources.length + ignoredResourceGroups.length === 0 ? undefined
    : (name: string): boolean => ignoredResources.includes(name) || (name.includes('/') && ignoredResourceGroups.includes(name.slice(0, name.indexOf('/'))));
  const byCurve = strategy === 'RequestedToCapacityRatio';
  const scoreOf = byCurve ? alongShape(shape) : strategy === 'MostAllocated' ? mostRequested : leastRequested;
  return {
    name: 'NodeResourcesFit',
    weight: 1,
    wakes: ['NodeAdd', 'NodeAllocatable', 'PodDelete', 'PodUpdate', 'OwnUpdate'],
    perNode: true,
    prepareFilter({ requests }) {
      return { filter: (node) => fits(requests, node, ignored) };
    },
    prepareScore(pod) {
      return {
        score(node) {
          let sum = 0;
          let weights = 0;
          for (const { name, weight } of resources) {
            const capacity = capacityOf(name, pod, node);
            if (capacity === 0) continue;
            const score = scoreOf(requestedOf(name, pod, node), capacity);
            if (byCurve && score <= 0) continue; // upstream leaves such a resource out of the mean
            sum += score * weight;
            weights += weight;
          }
          if (weights === 0) return 0;
          return byCurve ? Math.round(sum / weights) : Math.trunc(sum / weights);
        },
      };
    },
  };
}
export const nodeResourcesFit = createNodeResourcesFit(defaultArgs.NodeResourcesFit);
