// The decisions of ReplicaSets and ReplicationControllers, without I/O. Upstream: pkg/controller/replicaset,
// ActivePodsWithRanks in pkg/controller/controller_utils.go.
import type { OwnerReference, Pod, PodTemplateSpec } from '#machinery/api/object.ts';
import { rfc3339 } from '#machinery/base/clock.ts';
import { availableInMs, isActive, isReady, podCondition } from '../pods.ts';

export const burst = 500;

/** What both kinds have in common; a controller's selector is brought into object form. */
export interface Replicated {
  metadata: { name?: string; namespace?: string; uid?: string; generation?: number; deletionTimestamp?: string };
  spec: { replicas: number; minReadySeconds: number; template: PodTemplateSpec };
  status: ReplicatedStatus;
}
export interface ReplicatedStatus {
  replicas?: number;
  fullyLabeledReplicas?: number;
  readyReplicas?: number;
  availableReplicas?: number;
  terminatingReplicas?: number;
  observedGeneration?: number;
  conditions?: { type: string; status: string; reason?: string; message?: string; lastTransitionTime?: string }[];
}

/** A pod from an owner's template. The name is the API server's to complete. */
export function podFromTemplate(template: PodTemplateSpec, ownerName: string, namespace: string, reference: OwnerReference): object {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      generateName: `${ownerName}-`, namespace,
      ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}), ...(finalizers ? { finalizers } : {}),
      ownerReferences: [reference],
    },
    spec: template.spec,
  };
}

/** `count` of `pods`, those first whose loss hurts least. `related` are all pods of the owner's owner, for spreading. */
export function podsToDelete(pods: readonly Pod[], related: readonly Pod[], count: number, now: number): Pod[] {
  if (count >= pods.length) return [...pods];
  const onNode = new Map<string, number>();
  for (const pod of related) if (isActive(pod)) onNode.set(pod.spec?.nodeName ?? '', (onNode.get(pod.spec?.nodeName ?? '') ?? 0) + 1);
  return [...pods].sort((a, b) => compareForDeletion(a, b, onNode, now)).slice(0, count);
}

const phaseRank: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };

function compareForDeletion(a: Pod, b: Pod, onNode: ReadonlyMap<string, number>, now: number): number {
  const [nodeA, nodeB] = [a.spec?.nodeName ?? '', b.spec?.nodeName ?? ''];
  if (nodeA !== nodeB && (nodeA === '' || nodeB === '')) return nodeA === '' ? -1 : 1;
  const [phaseA, phaseB] = [phaseRank[a.status?.phase ?? ''] ?? 0, phaseRank[b.status?.phase ?? ''] ?? 0];
  if (phaseA !== phaseB) return phaseA - phaseB;
  const [readyA, readyB] = [isReady(a), isReady(b)];
  if (readyA !== readyB) return readyA ? 1 : -1;
  const cost = deletionCost(a) - deletionCost(b);
  if (cost !== 0) return cost;
  const crowd = (onNode.get(nodeB) ?? 0) - (onNode.get(nodeA) ?? 0);
  if (crowd !== 0) return crowd;
  if (readyA && readyB) {
    const byReady = compareAges(readyTime(a), readyTime(b), a, b, now);
    if (byReady !== 0) return byReady;
  }
  const restarts = mostRestarts(b) - mostRestarts(a);
  if (restarts !== 0) return restarts;
  return compareAges(time(a.metadata.creationTimestamp), time(b.metadata.creationTimestamp), a, b, now);
}
function time(text: unknown): number {
  return typeof text === 'string' ? Date.parse(text) || 0 : 0;
}
function readyTime(pod: Pod): number {
  return time(podCondition(pod, 'Ready')?.lastTransitionTime);
}
function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? '0';
  return /^(0|-?[1-9]\d*)$/.test(text) && Math.abs(Number(text)) <= 2 ** 31 ? Number(text) : 0;
}
function mostRestarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
}
/** Younger first, but ages of the same magnitude count as equal and fall to the UID: else the youngest always went. */
function compareAges(a: number, b: number, podA: Pod, podB: Pod, now: number): number {
  if (a === b) return 0;
  if (a === 0 || b === 0) return a === 0 ? -1 : 1;
  const magnitude = (at: number): number => (now > at ? Math.floor(Math.log2((now - at) * 1e6)) : -1);
  const difference = magnitude(a) - magnitude(b);
  return difference !== 0 ? difference : (podA.metadata.uid ?? '') < (podB.metadata.uid ?? '') ? -1 : 1;
}

export interface Counted { active: readonly Pod[]; terminating: readonly Pod[]; failure: Error | undefined; now: number }

/** The status to write, and when the next pod becomes available by waiting. `withTerminating`: ReplicaSets only. */
export function calculateStatus(set: Replicated, { active, terminating, failure, now }: Counted, withTerminating: boolean): { status: ReplicatedStatus; nextAvailableMs: number | undefined } {
  const labels = Object.entries(set.spec.template.metadata?.labels ?? {});
  let fullyLabeled = 0;
  let ready = 0;
  let available = 0;
  let nextAvailableMs: number | undefined;
  for (const pod of active) {
    if (labels.every(([key, value]) => pod.metadata.labels?.[key] === value)) fullyLabeled += 1;
    const inMs = availableInMs(pod, set.spec.minReadySeconds, now);
    if (inMs === undefined) continue;
    ready += 1;
    if (inMs === 0) available += 1;
    else nextAvailableMs = Math.min(nextAvailableMs ?? Infinity, inMs);
  }
  const others = (set.status.conditions ?? []).filter(({ type }) => type !== 'ReplicaFailure');
  const before = set.status.conditions?.find(({ type }) => type === 'ReplicaFailure');
  let conditions = set.status.conditions;
  if (failure && !before) {
    const reason = active.length < set.spec.replicas ? 'FailedCreate' : 'FailedDelete';
    conditions = [...others, { type: 'ReplicaFailure', status: 'True', reason, message: failure.message, lastTransitionTime: rfc3339(now) }];
  } else if (!failure && before) conditions = others;
  return {
    nextAvailableMs,
    status: {
      replicas: active.length,
      ...(fullyLabeled > 0 ? { fullyLabeledReplicas: fullyLabeled } : {}),
      ...(ready > 0 ? { readyReplicas: ready } : {}),
      ...(available > 0 ? { availableReplicas: available } : {}),
      ...(withTerminating ? { terminatingReplicas: terminating.length } : {}),
      ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
      ...(conditions && conditions.length > 0 ? { conditions } : {}),
    },
  };
}

/** Calls `work` `count` times in batches of 1, 2, 4, …; after a batch with a failure the rest is left out. */
export async function slowStart(count: number, work: () => Promise<void>): Promise<{ succeeded: number; failure: Error | undefined }> {
  let succeeded = 0;
  for (let size = Math.min(1, count), left = count; size > 0; left -= size, size = Math.min(2 * size, left)) {
    const results = await Promise.allSettled(Array.from({ length: size }, work));
    const failed = results.find((result) => result.status === 'rejected');
    succeeded += results.filter((result) => result.status === 'fulfilled').length;
    if (failed) return { succeeded, failure: failed.reason instanceof Error ? failed.reason : new Error(String(failed.reason)) };
  }
  return { succeeded, failure: undefined };
}
