// How many replicas a metric asks for, without I/O. Upstream: pkg/controller/podautoscaler/replica_calculator.go.
import { hasPodLevelResources, podResources } from '#machinery/api/pod-resources.ts';
import { quantityMilli } from '#machinery/api/quantity.ts';
import type { Pod } from '#machinery/api/object.ts';
import { podCondition } from '../pods.ts';
import type { PodMetric } from './metrics.ts';

export interface Tolerances { up: number; down: number }
export interface Measured {
  pods: readonly Pod[];
  metrics: ReadonlyMap<string, PodMetric>;
  resource: string;
  container: string;
  currentReplicas: number;
  tolerances: Tolerances;
  cpuInitializationMs: number;
  initialReadinessMs: number;
  now: number;
}
export type Target = { utilization: number } | { averageMilli: number };
/** `milli` of one pod on average; `utilization` in percent when the target is one. */
export interface Proposal { replicas: number; milli: number; utilization?: number }

/** Throws with a text for people when the pods cannot be judged. */
export function proposeReplicas(measured: Measured, target: Target): Proposal {
  const { pods, currentReplicas, tolerances } = measured;
  if (pods.length === 0) throw new Error('no pods returned by selector while calculating replica count');
  const { ready, unready, missing, metrics } = grouped(measured);
  if (metrics.size === 0) throw new Error('did not receive metrics for targeted pods (pods might be unready)');
  const requests = 'utilization' in target ? new Map(pods.map((pod) => [pod.metadata.name ?? '', requestMilli(pod, measured.container, measured.resource)])) : undefined;
  const ratioNow = (): { ratio: number; milli: number; utilization?: number } => ('utilization' in target ? utilizationOf(metrics, requests ?? new Map(), target.utilization) : usageOf(metrics, target.averageMilli));

  const { ratio, ...shown } = ratioNow();
  const withUnready = unready.length > 0 && ratio > 1;
  if (!withUnready && missing.length === 0) return { replicas: isWithin(tolerances, ratio) ? currentReplicas : Math.ceil(ratio * ready), ...shown };

  // Pods that tell nothing are taken to hold the decision back: idle when more pods are wanted, busy when fewer are.
  for (const name of missing) {
    if (ratio < 1) metrics.set(name, 'utilization' in target ? Math.trunc(((requests?.get(name) ?? 0) * Math.max(100, target.utilization)) / 100) : target.averageMilli);
    else if (ratio > 1) metrics.set(name, 0);
  }
  if (withUnready) for (const name of unready) metrics.set(name, 0);
  const corrected = ratioNow().ratio;
  const replicas = Math.ceil(corrected * metrics.size);
  const turned = (ratio < 1 && corrected > 1) || (ratio > 1 && corrected < 1) || (corrected < 1 && replicas > currentReplicas) || (corrected > 1 && replicas < currentReplicas);
  return { replicas: isWithin(tolerances, corrected) || turned ? currentReplicas : replicas, ...shown };
}

const maxReplicas = 2 ** 31 - 1;
function isWithin({ up, down }: Tolerances, ratio: number): boolean {
  return 1 - down <= ratio && ratio <= 1 + up;
}

/** Of a number that is not one of the pods': as many times the ready pods as it is its target. From nothing it is the ratio itself. */
export function proposeByRatio(ratio: number, currentReplicas: number, ready: () => number, tolerances: Tolerances): number {
  if (currentReplicas === 0) return Math.ceil(ratio);
  return isWithin(tolerances, ratio) ? currentReplicas : Math.min(maxReplicas, Math.ceil(ratio * ready()));
}
/** Of a number that the pods share: as many as have their target each. `each` is what one has now. */
export function proposeShares(milli: number, targetMilli: number, replicas: number, tolerances: Tolerances): { replicas: number; each: number } {
  const ratio = milli / (targetMilli * replicas);
  return { replicas: isWithin(tolerances, ratio) ? replicas : Math.min(maxReplicas, Math.ceil(milli / targetMilli)), each: replicas === 0 ? 0 : Math.ceil(milli / replicas) };
}

/** `metrics` are those that count. Pods that end are nobody's. */
function grouped({ pods, metrics, resource, cpuInitializationMs, initialReadinessMs, now }: Measured): { ready: number; unready: string[]; missing: string[]; metrics: Map<string, number> } {
  const counted = new Map([...metrics].map(([name, { milli }]) => [name, milli]));
  const unready: string[] = [];
  const missing: string[] = [];
  let ready = 0;
  for (const pod of pods) {
    const name = pod.metadata.name ?? '';
    const metric = metrics.get(name);
    if (pod.metadata.deletionTimestamp !== undefined || pod.status?.phase === 'Failed') counted.delete(name);
    else if (pod.status?.phase === 'Pending') unready.push(name);
    else if (!metric) missing.push(name);
    else if (resource === 'cpu' && isWarmingUp(pod, metric, cpuInitializationMs, initialReadinessMs, now)) unready.push(name);
    else ready += 1;
  }
  for (const name of unready) counted.delete(name);
  return { ready, unready, missing, metrics: counted };
}

/** What a pod computes while it starts says nothing of its load. */
function isWarmingUp(pod: Pod, metric: PodMetric, cpuInitializationMs: number, initialReadinessMs: number, now: number): boolean {
  const condition = podCondition(pod, 'Ready');
  const started = Date.parse(String(pod.status?.startTime ?? ''));
  if (!condition || Number.isNaN(started)) return true;
  const changed = Date.parse(String(condition.lastTransitionTime ?? '')) || 0;
  const isUnready = condition.status === 'False';
  if (started + cpuInitializationMs > now) return isUnready || metric.at < changed + metric.windowMs;
  return isUnready && started + initialReadinessMs > changed;
}

function utilizationOf(metrics: ReadonlyMap<string, number>, requests: ReadonlyMap<string, number>, target: number): { ratio: number; milli: number; utilization: number } {
  const known = [...metrics].filter(([name]) => requests.has(name));
  const total = known.reduce((sum, [, milli]) => sum + milli, 0);
  const requested = known.reduce((sum, [name]) => sum + (requests.get(name) ?? 0), 0);
  if (requested === 0) throw new Error('no metrics returned matched known pods');
  const utilization = Math.trunc((total * 100) / requested);
  return { ratio: utilization / target, milli: Math.trunc(total / known.length), utilization };
}
function usageOf(metrics: ReadonlyMap<string, number>, target: number): { ratio: number; milli: number } {
  const milli = Math.trunc([...metrics.values()].reduce((sum, each) => sum + each, 0) / metrics.size);
  return { ratio: milli / target, milli };
}

function requestMilli(pod: Pod, container: string, resource: string): number {
  const { name } = pod.metadata;
  if (container === '' && hasPodLevelResources(pod)) {
    const request = podResources(pod, 'requests').get(resource);
    if (!request) throw new Error(`missing pod-level request for ${resource} in Pod ${name}`);
    return quantityMilli(request);
  }
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const containers = [...(pod.spec?.containers ?? []), ...sidecars].filter((each) => container === '' || each.name === container);
  if (container !== '' && containers.length === 0) throw new Error(`container ${container} not found in Pod ${name}`);
  return containers.reduce((sum, each) => {
    const request = each.resources?.requests?.[resource];
    if (request === undefined) throw new Error(`missing request for ${resource} in container ${each.name} of Pod ${name}`);
    return sum + quantityMilli(request);
  }, 0);
}
