// Health of nodes and the taints that follow from it, without I/O. Upstream: pkg/controller/nodelifecycle.
import { rfc3339 } from '#machinery/base/clock.ts';
import type { Lease, Node, NodeCondition, Taint } from '#machinery/api/object.ts';
import type { ControllersConfig } from '../config.ts';
import { sameValue } from '../pods.ts';

export const notReady = 'node.kubernetes.io/not-ready';
export const unreachable = 'node.kubernetes.io/unreachable';
/** Condition and status -> key of the NoSchedule taint. */
const byCondition: readonly (readonly [type: string, status: string, key: string])[] = [
  ['Ready', 'False', notReady],
  ['Ready', 'Unknown', unreachable],
  ['MemoryPressure', 'True', 'node.kubernetes.io/memory-pressure'],
  ['DiskPressure', 'True', 'node.kubernetes.io/disk-pressure'],
  ['PIDPressure', 'True', 'node.kubernetes.io/pid-pressure'],
  ['NetworkUnavailable', 'True', 'node.kubernetes.io/network-unavailable'],
];
const unschedulable = 'node.kubernetes.io/unschedulable';

export function nodeCondition(node: Node, type: string): NodeCondition | undefined {
  return node.status?.conditions?.find((condition) => condition.type === type);
}
/** True, False or Unknown; a node that never told is Unknown. */
export function readiness(node: Node): string {
  return nodeCondition(node, 'Ready')?.status ?? 'Unknown';
}

/** The NoSchedule taints as they should be; other taints stay. The very same array when nothing changes. */
export function schedulingTaints(node: Node): readonly Taint[] {
  const wanted = byCondition.filter(([type, status]) => nodeCondition(node, type)?.status === status).map(([, , key]) => key);
  if (node.spec?.unschedulable) wanted.push(unschedulable);
  return replaceTaints(node.spec?.taints ?? [], 'NoSchedule', new Set([...byCondition.map(([, , key]) => key), unschedulable]), wanted);
}
/** The NoExecute taints by readiness, as they should be. `evict` false: none, whatever the node says. */
export function executionTaints(node: Node, evict: boolean, now: number): readonly Taint[] {
  const state = readiness(node);
  const wanted = !evict || state === 'True' ? [] : [state === 'False' ? notReady : unreachable];
  return replaceTaints(node.spec?.taints ?? [], 'NoExecute', new Set([notReady, unreachable]), wanted, rfc3339(now));
}
function replaceTaints(taints: readonly Taint[], effect: string, owned: ReadonlySet<string>, wanted: readonly string[], timeAdded?: string): readonly Taint[] {
  const kept = taints.filter((taint) => taint.effect !== effect || !owned.has(taint.key) || wanted.includes(taint.key));
  const missing = wanted.filter((key) => !taints.some((taint) => taint.effect === effect && taint.key === key));
  if (missing.length === 0 && kept.length === taints.length) return taints;
  return [...kept, ...missing.map((key): Taint => ({ key, effect, ...(timeAdded ? { timeAdded } : {}) }))];
}

/** What was last seen of a node and when, by our own clock. */
export interface Health { at: number; heartbeat: string; renewTime: string | undefined }

/** Any sign of life moves the time on: a renewed lease or a changed status. */
export function observe(before: Health | undefined, node: Node, lease: Lease | undefined, now: number): Health {
  const heartbeat = JSON.stringify((node.status?.conditions ?? []).map(({ type, status, lastHeartbeatTime }) => [type, status, lastHeartbeatTime]));
  const renewTime = lease?.spec?.renewTime as string | undefined; // a time is text on the wire
  // The first sight of a node that has never told counts from its creation: it is given the start-up time once, not at each of our starts.
  if (!before) return { at: nodeCondition(node, 'Ready') ? now : Date.parse(node.metadata.creationTimestamp ?? '') || now, heartbeat, renewTime };
  const alive = before.heartbeat !== heartbeat || (renewTime !== undefined && renewTime !== before.renewTime);
  return alive ? { at: now, heartbeat, renewTime } : before;
}

/** The conditions of a node that has fallen silent; undefined when they say so already. */
export function silentConditions(node: Node, now: number): NodeCondition[] | undefined {
  const time = rfc3339(now);
  const conditions = [...(node.status?.conditions ?? [])];
  for (const type of ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']) {
    const index = conditions.findIndex((condition) => condition.type === type);
    const old = conditions[index];
    if (!old) {
      conditions.push({
        type, status: 'Unknown', reason: 'NodeStatusNeverUpdated', message: 'Kubelet never posted node status.',
        lastHeartbeatTime: node.metadata.creationTimestamp, lastTransitionTime: time,
      });
    } else if (old.status !== 'Unknown') {
      conditions[index] = { ...old, status: 'Unknown', reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.', lastTransitionTime: time };
    }
  }
  return sameValue(conditions, node.status?.conditions) ? undefined : conditions;
}

/** Labels of before that have to say what today's do; undefined when they do. */
export function agreeingLabels(labels: Readonly<Record<string, string>> = {}): Record<string, string> | undefined {
  const missing = ['os', 'arch'].flatMap((part) => {
    const today = labels[`kubernetes.io/${part}`];
    return today === undefined || labels[`beta.kubernetes.io/${part}`] === today ? [] : [[`beta.kubernetes.io/${part}`, today] as const];
  });
  return missing.length === 0 ? undefined : Object.fromEntries(missing);
}

export function zoneOf(node: Node): string {
  const labels = node.metadata.labels ?? {};
  const { 'topology.kubernetes.io/region': region = '', 'topology.kubernetes.io/zone': zone = '' } = labels;
  return region === '' && zone === '' ? '' : `${region}:\u0000:${zone}`;
}

/**
 * Milliseconds between two nodes of a zone that get a NoExecute taint; Infinity: none. Where very many are down at once, the
 * fault is likelier between them and us.
 */
export function evictionIntervalMs(ready: number, down: number, { rate, secondaryRate, largeClusterSize, unhealthyZoneShare }: ControllersConfig['nodeEviction']): number {
  const isPartial = down > 2 && down / (ready + down) >= unhealthyZoneShare && ready > 0;
  if (!isPartial) return 1000 / rate;
  return ready + down > largeClusterSize ? 1000 / secondaryRate : Infinity;
}
