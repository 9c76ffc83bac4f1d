// Kinds that two versions or groups serve from one store: events.k8s.io/v1 (stored as core Events) and autoscaling/v1
// HPAs (stored as v2, what v1 cannot say is kept in annotations, as upstream does).
import type { KubeObject } from '#machinery/api/object.ts';
import type { ResourceRow } from './resource.ts';

type Conversion = Required<Pick<ResourceRow, 'storedAs' | 'convert'>>;

/** By `resource id/version`. */
export const conversions: Readonly<Record<string, Conversion>> = {
  'events.events.k8s.io/v1': { storedAs: 'events', convert: { toStored: eventToCore, fromStored: eventFromCore } },
  'horizontalpodautoscalers.autoscaling/v1': { storedAs: 'horizontalpodautoscalers.autoscaling', convert: { toStored: hpaToV2, fromStored: hpaToV1 } },
};

/** events.k8s.io/v1 name -> core name, where they differ. */
const eventFields = [
  ['regarding', 'involvedObject'], ['note', 'message'], ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'], ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'], ['deprecatedCount', 'count'],
] as const;

function eventToCore(object: KubeObject): KubeObject {
  const out: KubeObject = { ...object, apiVersion: 'v1', kind: 'Event' };
  for (const [name, core] of eventFields) rename(out, name, core);
  return out;
}
function eventFromCore(object: KubeObject): KubeObject {
  const out: KubeObject = { ...object, apiVersion: 'events.k8s.io/v1', kind: 'Event' };
  for (const [name, core] of eventFields) rename(out, core, name);
  return out;
}
function rename(object: KubeObject, from: string, to: string): void {
  if (object[from] !== undefined) object[to] = object[from];
  delete object[from];
}

interface Target { type?: string; averageUtilization?: number; averageValue?: string; value?: string }
interface MetricSpec { type?: string; resource?: { name?: string; target?: Target }; [source: string]: unknown }
interface MetricStatus { type?: string; resource?: { name?: string; current?: Target }; [source: string]: unknown }

const kept = {
  metrics: 'autoscaling.alpha.kubernetes.io/metrics',
  current: 'autoscaling.alpha.kubernetes.io/current-metrics',
  conditions: 'autoscaling.alpha.kubernetes.io/conditions',
  behavior: 'autoscaling.alpha.kubernetes.io/behavior',
} as const;

function hpaToV2(object: KubeObject): KubeObject {
  const { targetCPUUtilizationPercentage, ...spec } = record(object['spec']);
  const { currentCPUUtilizationPercentage, ...status } = record(object['status']);
  const annotations = { ...object.metadata?.annotations };
  const metrics = parsed(annotations[kept.metrics]) ?? [];
  if (typeof targetCPUUtilizationPercentage === 'number') {
    metrics.push({ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: targetCPUUtilizationPercentage } } });
  }
  const current = parsed(annotations[kept.current]) ?? [];
  if (typeof currentCPUUtilizationPercentage === 'number') {
    current.push({ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: currentCPUUtilizationPercentage } } });
  }
  const conditions = parsed(annotations[kept.conditions]);
  const behavior = parsedObject(annotations[kept.behavior]);
  for (const name of Object.values(kept)) delete annotations[name];
  return {
    ...object, apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler',
    metadata: withAnnotations(object, annotations),
    spec: { ...spec, ...(metrics.length > 0 ? { metrics } : {}), ...(behavior ? { behavior } : {}) },
    status: { ...status, ...(current.length > 0 ? { currentMetrics: current } : {}), ...(conditions ? { conditions } : {}) },
  };
}

function hpaToV1(object: KubeObject): KubeObject {
  const { metrics, behavior, ...spec } = record(object['spec']);
  const { currentMetrics, conditions, ...status } = record(object['status']);
  const annotations = { ...object.metadata?.annotations };
  let target: number | undefined;
  const others: MetricSpec[] = [];
  for (const metric of (metrics ?? []) as MetricSpec[]) {
    const use = metric.resource?.target?.averageUtilization;
    if (metric.type === 'Resource' && metric.resource?.name === 'cpu' && use !== undefined && target === undefined) target = use;
    else others.push(metric);
  }
  let used: number | undefined;
  const otherCurrent: MetricStatus[] = [];
  for (const metric of (currentMetrics ?? []) as MetricStatus[]) {
    const use = metric.resource?.current?.averageUtilization;
    if (metric.type === 'Resource' && metric.resource?.name === 'cpu' && use !== undefined && used === undefined) used = use;
    else otherCurrent.push(metric);
  }
  if (others.length > 0) annotations[kept.metrics] = JSON.stringify(others);
  if (otherCurrent.length > 0) annotations[kept.current] = JSON.stringify(otherCurrent);
  if (Array.isArray(conditions) && conditions.length > 0) annotations[kept.conditions] = JSON.stringify(conditions);
  if (behavior !== undefined) annotations[kept.behavior] = JSON.stringify(behavior);
  return {
    ...object, apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler',
    metadata: withAnnotations(object, annotations),
    spec: { ...spec, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: { ...status, ...(used === undefined ? {} : { currentCPUUtilizationPercentage: used }) },
  };
}

function withAnnotations(object: KubeObject, annotations: Record<string, string>): NonNullable<KubeObject['metadata']> {
  const { annotations: _, ...metadata } = object.metadata ?? {};
  return Object.keys(annotations).length > 0 ? { ...metadata, annotations } : metadata;
}
function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {};
}
/** What a client wrote into an annotation by hand may be anything; upstream drops what it cannot read. */
function parsed(text: string | undefined): unknown[] | undefined {
  const value = parse(text);
  return Array.isArray(value) ? value as unknown[] : undefined;
}
function parsedObject(text: string | undefined): Record<string, unknown> | undefined {
  const value = parse(text);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined;
}
function parse(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
