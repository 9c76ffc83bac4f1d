// HorizontalPodAutoscalers between v2, as they are stored, and v1, which knows a CPU percentage only: other metrics, what was
// measured, conditions and behaviour are in annotations there, metrics in the shape of v1's types, the behaviour with Go's
// names of fields. Upstream: pkg/apis/autoscaling/v1/conversion.go.
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, at, integer, isObject, objects, text } from '../values.ts';
import type { Obj } from '../values.ts';

const kept = {
  metrics: 'autoscaling.alpha.kubernetes.io/metrics',
  current: 'autoscaling.alpha.kubernetes.io/current-metrics',
  conditions: 'autoscaling.alpha.kubernetes.io/conditions',
  behavior: 'autoscaling.alpha.kubernetes.io/behavior',
} as const;

/** Fields without a value are left out. */
function given(fields: Obj): Obj {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
const isCpuShare = (metric: Obj): boolean => metric['type'] === 'Resource' && at(metric, 'resource', 'name') === 'cpu' && at(metric, 'resource', 'target', 'averageUtilization') !== undefined;

export function toV1(object: KubeObject): KubeObject {
  const { metrics, behavior, ...spec } = asObject(object['spec']) ?? {};
  const { currentMetrics, conditions, ...status } = asObject(object['status']) ?? {};
  const annotations = withoutKept(object.metadata?.annotations);
  const share = objects(metrics).find(isCpuShare);
  const others = objects(metrics).filter((metric) => !isCpuShare(metric)).map((metric) => reshape(metric, sourcesToV1));
  const measured = objects(currentMetrics);
  const used = measured.filter((metric) => metric['type'] === 'Resource' && at(metric, 'resource', 'name') === 'cpu')
    .map((metric) => at(metric, 'resource', 'current', 'averageUtilization')).findLast((value) => value !== undefined);
  if (others.length > 0) annotations[kept.metrics] = JSON.stringify(others);
  if (measured.length > 0) annotations[kept.current] = JSON.stringify(measured.map((metric) => reshape(metric, statusesToV1)));
  if (asObject(behavior)) annotations[kept.behavior] = JSON.stringify(behaviorToGo(behavior as Obj));
  if (objects(conditions).length > 0) annotations[kept.conditions] = JSON.stringify(conditions);
  return {
    ...object, apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler', metadata: withAnnotations(object, annotations),
    spec: { ...spec, ...given({ targetCPUUtilizationPercentage: at(share, 'resource', 'target', 'averageUtilization') }) },
    status: { ...status, ...given({ currentCPUUtilizationPercentage: used }) },
  };
}

/** What somebody wrote into an annotation by hand may be anything; what cannot be read is dropped, as upstream. */
export function toV2(object: KubeObject): KubeObject {
  const { targetCPUUtilizationPercentage, ...spec } = asObject(object['spec']) ?? {};
  const { currentCPUUtilizationPercentage, ...status } = asObject(object['status']) ?? {};
  const annotations = object.metadata?.annotations ?? {};
  const share = typeof targetCPUUtilizationPercentage === 'number' ? [cpuMetric(targetCPUUtilizationPercentage)] : [];
  const metrics = [...parsedList(annotations[kept.metrics]).map((metric) => reshape(metric, sourcesToV2)), ...share];
  const recorded = parsedList(annotations[kept.current]).map((metric) => reshape(metric, statusesToV2));
  const used = typeof currentCPUUtilizationPercentage === 'number' ? [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: currentCPUUtilizationPercentage } } }] : [];
  const current = annotations[kept.current] === undefined ? used : recorded;
  const conditions = parsedList(annotations[kept.conditions]);
  const behavior = behaviorFromGo(parse(annotations[kept.behavior]));
  return {
    ...object, apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: withAnnotations(object, withoutKept(annotations)),
    spec: { ...spec, metrics: metrics.length > 0 ? metrics : [cpuMetric(80)], ...(behavior ? { behavior } : {}) },
    status: { ...status, ...(current.length > 0 ? { currentMetrics: current } : {}), ...(conditions.length > 0 ? { conditions } : {}) },
  };
}
function cpuMetric(averageUtilization: number): Obj {
  return { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } } };
}

type Shapes = Readonly<Record<string, (source: Obj) => Obj>>;
function reshape(metric: Obj, shapes: Shapes): Obj {
  return Object.fromEntries(Object.entries(metric).map(([name, value]) => [name, isObject(value) ? shapes[name]?.(value) ?? value : value]));
}

const identifier = (source: Obj): Obj => ({ name: text(at(source, 'metric', 'name')), selector: at(source, 'metric', 'selector') });
/** Not a pointer in v1: it is there without a value, too. */
const amount = (value: unknown): unknown => value ?? '0';
const described = (source: Obj): Obj => given({ apiVersion: at(source, 'describedObject', 'apiVersion'), kind: text(at(source, 'describedObject', 'kind')), name: text(at(source, 'describedObject', 'name')) });
const targetOf = (source: Obj): Obj => asObject(source['target']) ?? {};
const currentOf = (source: Obj): Obj => asObject(source['current']) ?? {};

const resourceSource = (source: Obj): Obj => given({ name: source['name'], targetAverageUtilization: targetOf(source)['averageUtilization'], targetAverageValue: targetOf(source)['averageValue'] });
const resourceStatus = (source: Obj): Obj => given({ name: source['name'], currentAverageUtilization: currentOf(source)['averageUtilization'], currentAverageValue: amount(currentOf(source)['averageValue']) });
const sourcesToV1: Shapes = {
  object(source) {
    const { name, selector } = identifier(source);
    return given({ target: described(source), metricName: name, targetValue: amount(targetOf(source)['value']), selector, averageValue: targetOf(source)['averageValue'] });
  },
  pods(source) {
    const { name, selector } = identifier(source);
    return given({ metricName: name, targetAverageValue: amount(targetOf(source)['averageValue']), selector });
  },
  resource: resourceSource,
  containerResource: (source) => ({ ...resourceSource(source), container: source['container'] }),
  external(source) {
    const { name, selector } = identifier(source);
    return given({ metricName: name, metricSelector: selector, targetValue: targetOf(source)['value'], targetAverageValue: targetOf(source)['averageValue'] });
  },
};
const statusesToV1: Shapes = {
  object(source) {
    const { name, selector } = identifier(source);
    return given({ target: described(source), metricName: name, currentValue: amount(currentOf(source)['value']), selector, averageValue: currentOf(source)['averageValue'] });
  },
  pods(source) {
    const { name, selector } = identifier(source);
    return given({ metricName: name, currentAverageValue: amount(currentOf(source)['averageValue']), selector });
  },
  resource: resourceStatus,
  containerResource: (source) => ({ ...resourceStatus(source), container: source['container'] }),
  external(source) {
    const { name, selector } = identifier(source);
    return given({ metricName: name, metricSelector: selector, currentValue: amount(currentOf(source)['value']), currentAverageValue: currentOf(source)['averageValue'] });
  },
};

const metricOf = (source: Obj, selector: unknown): Obj => given({ name: text(source['metricName']), selector });
const resourceTarget = (source: Obj): Obj => ({
  name: source['name'],
  target: given({ type: source['targetAverageUtilization'] === undefined ? 'AverageValue' : 'Utilization', averageUtilization: source['targetAverageUtilization'], averageValue: source['targetAverageValue'] }),
});
const resourceCurrent = (source: Obj): Obj => ({ name: source['name'], current: given({ averageUtilization: source['currentAverageUtilization'], averageValue: amount(source['currentAverageValue']) }) });
const isNone = (value: unknown): boolean => value === undefined || value === '0' || value === 0 || value === '';
const sourcesToV2: Shapes = {
  object: (source) => ({
    describedObject: source['target'], metric: metricOf(source, source['selector']),
    target: source['averageValue'] === undefined ? { type: 'Value', value: amount(source['targetValue']) }
      : given({ type: 'AverageValue', value: isNone(source['targetValue']) ? undefined : source['targetValue'], averageValue: source['averageValue'] }),
  }),
  pods: (source) => ({ metric: metricOf(source, source['selector']), target: { type: 'AverageValue', averageValue: amount(source['targetAverageValue']) } }),
  resource: resourceTarget,
  containerResource: (source) => ({ ...resourceTarget(source), container: source['container'] }),
  external: (source) => ({
    metric: metricOf(source, source['metricSelector']),
    target: given({ type: source['targetValue'] === undefined ? 'AverageValue' : 'Value', value: source['targetValue'], averageValue: source['targetAverageValue'] }),
  }),
};
const statusesToV2: Shapes = {
  object: (source) => ({ describedObject: source['target'], metric: metricOf(source, source['selector']), current: given({ value: amount(source['currentValue']), averageValue: source['averageValue'] }) }),
  pods: (source) => ({ metric: metricOf(source, source['selector']), current: { averageValue: amount(source['currentAverageValue']) } }),
  resource: resourceCurrent,
  containerResource: (source) => ({ ...resourceCurrent(source), container: source['container'] }),
  external: (source) => ({ metric: metricOf(source, source['metricSelector']), current: given({ value: amount(source['currentValue']), averageValue: source['currentAverageValue'] }) }),
};

/** Go's encoding of a struct without names for JSON: every field, null for those without a value. */
function behaviorToGo(behavior: Obj): Obj {
  const rules = (value: unknown): Obj | null => (isObject(value) ? {
    StabilizationWindowSeconds: value['stabilizationWindowSeconds'] ?? null,
    SelectPolicy: value['selectPolicy'] ?? null,
    Policies: value['policies'] === undefined ? null : objects(value['policies']).map((policy) => ({ Type: text(policy['type']), Value: integer(policy['value']) ?? 0, PeriodSeconds: integer(policy['periodSeconds']) ?? 0 })),
    Tolerance: value['tolerance'] ?? null,
  } : null);
  return { ScaleUp: rules(behavior['scaleUp']), ScaleDown: rules(behavior['scaleDown']) };
}
/** Go reads names of fields in any case. */
function behaviorFromGo(value: unknown): Obj | undefined {
  const read = (of: unknown, name: string): unknown => (isObject(of) ? Object.entries(of).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1] ?? undefined : undefined);
  const rules = (of: unknown): Obj | undefined => (isObject(of) ? given({
    stabilizationWindowSeconds: read(of, 'stabilizationWindowSeconds'),
    selectPolicy: read(of, 'selectPolicy'),
    policies: Array.isArray(read(of, 'policies')) ? objects(read(of, 'policies')).map((policy) => given({ type: read(policy, 'type'), value: read(policy, 'value'), periodSeconds: read(policy, 'periodSeconds') })) : undefined,
    tolerance: read(of, 'tolerance'),
  }) : undefined);
  const behavior = given({ scaleUp: rules(read(value, 'scaleUp')), scaleDown: rules(read(value, 'scaleDown')) });
  return Object.keys(behavior).length > 0 ? behavior : undefined;
}

function withoutKept(annotations: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const names = new Set<string>(Object.values(kept));
  return Object.fromEntries(Object.entries(annotations ?? {}).filter(([name]) => !names.has(name)));
}
function withAnnotations(object: KubeObject, annotations: Record<string, string>): NonNullable<KubeObject['metadata']> {
  const { annotations: _, ...metadata } = object.metadata ?? {};
  return Object.keys(annotations).length > 0 ? { ...metadata, annotations } : metadata;
}
function parsedList(annotation: string | undefined): Obj[] {
  return objects(parse(annotation));
}
function parse(annotation: string | undefined): unknown {
  if (annotation === undefined) return undefined;
  try {
    return JSON.parse(annotation);
  } catch {
    return undefined;
  }
}
