// What one metric of any type asks for, and what is told of it. Upstream: the computeStatusFor… of pkg/controller/podautoscaler/horizontal.go.
import { formatLabelSelector, labelSelectorFromObject } from '#machinery/api/labels.ts';
import { parseApiVersion } from '#machinery/api/object.ts';
import type { HorizontalPodAutoscaler, Pod } from '#machinery/api/object.ts';
import { formatQuantity, quantityMilli, quantityOfMilli, quantityToNumber } from '#machinery/api/quantity.ts';
import type { Client } from '#machinery/client/types.ts';
import type { ControllersConfig } from '../config.ts';
import { isReady } from '../pods.ts';
import type { Scales } from '../scale.ts';
import { podMetrics } from './metrics.ts';
import type { MetricsSource } from './metrics.ts';
import { proposeByRatio, proposeReplicas, proposeShares } from './replicas.ts';
import type { Measured, Target, Tolerances } from './replicas.ts';

type Spec = NonNullable<HorizontalPodAutoscaler['spec']>;
type MetricSpec = NonNullable<Spec['metrics']>[number];
type MetricStatus = NonNullable<NonNullable<HorizontalPodAutoscaler['status']>['currentMetrics']>[number];
type LabelSelector = Parameters<typeof labelSelectorFromObject>[0];
type Of<K extends keyof MetricSpec> = NonNullable<MetricSpec[K]>;

export interface Proposed { replicas: number; name: string; status: MetricStatus }
/** `message` for the condition and the event, `told` for the one about all metrics. */
export interface Failure { reason: string; message: string; told: string }
export interface Question {
  client: Client;
  source: MetricsSource;
  scales: Pick<Scales, 'resourceOf'>;
  namespace: string;
  /** Of the target's pods. */
  selector: string;
  pods: readonly Pod[];
  currentReplicas: number;
  /** As the target counts them itself. */
  statusReplicas: number;
  behavior?: NonNullable<Spec['behavior']>;
  settings: ControllersConfig['horizontalPodAutoscaler'];
  now: number;
}

/** Fails like the one above it, but tells more of what was asked where all metrics are spoken of. */
class Attempted extends Error {
  readonly what: string;
  constructor(what: string, cause: unknown) {
    super(messageOf(cause), { cause });
    this.what = what;
  }
}
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
async function attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new Attempted(what, cause);
  }
}

/** Throws an Error that failureOf() reads. */
export async function proposeFor(metric: MetricSpec, question: Question, signal: AbortSignal): Promise<Proposed> {
  if (metric.resource) return resourceProposal({ ...metric.resource, container: '' }, question, signal);
  if (metric.containerResource) return resourceProposal(metric.containerResource, question, signal);
  if (metric.pods) return podsProposal(metric.pods, question, signal);
  if (metric.object) return objectProposal(metric.object, question, signal);
  if (metric.external) return externalProposal(metric.external, question, signal);
  throw new Error(`unknown metric source type "${metric.type}"`);
}

async function resourceProposal({ name: resource, container, target }: Of<'containerResource'>, question: Question, signal: AbortSignal): Promise<Proposed> {
  const goal: Target | undefined = target.averageValue !== undefined ? { averageMilli: quantityMilli(target.averageValue) }
    : target.averageUtilization !== undefined ? { utilization: target.averageUtilization } : undefined;
  if (!goal) throw new Error('invalid resource metric source: neither an average utilization target nor an average value (usage) target was set');
  const isShare = 'utilization' in goal;
  try {
    const metrics = await podMetrics(question.client, question.namespace, question.selector, resource, container, signal).catch((error: unknown) => {
      throw new Error(`unable to get metrics for resource ${resource}: ${messageOf(error)}`, { cause: error });
    });
    const { replicas, milli, utilization } = proposeReplicas(measured(question, metrics, resource, container), goal);
    const averageValue = formatQuantity({ ...quantityOfMilli(milli), format: resource === 'memory' ? 'BinarySI' : 'DecimalSI' });
    const current = { averageValue, ...(utilization === undefined ? {} : { averageUtilization: utilization }) };
    const status: MetricStatus = container === '' ? { type: 'Resource', resource: { name: resource, current } } : { type: 'ContainerResource', containerResource: { name: resource, container, current } };
    return { replicas, status, name: isShare ? `${resource} ${container === '' ? '' : 'container '}resource utilization (percentage of request)` : `${resource} resource` };
  } catch (error) {
    throw new Error(`failed to get ${resource} ${isShare ? 'utilization' : 'usage'}: ${messageOf(error)}`, { cause: error });
  }
}

async function podsProposal({ metric, target }: Of<'pods'>, question: Question, signal: AbortSignal): Promise<Proposed> {
  const metrics = await question.source.ofPods(question.namespace, question.selector, metric.name, textOf(metric.selector), signal).catch((error: unknown) => {
    throw new Error(`unable to get metric ${metric.name}: ${messageOf(error)}`, { cause: error });
  });
  const { replicas, milli } = proposeReplicas(measured(question, metrics, '', ''), { averageMilli: quantityMilli(target.averageValue ?? '0') });
  return { replicas, name: `pods metric ${metric.name}`, status: { type: 'Pods', pods: { metric, current: { averageValue: decimal(milli) } } } };
}

async function objectProposal({ describedObject, metric, target }: Of<'object'>, question: Question, signal: AbortSignal): Promise<Proposed> {
  const { kind, name, apiVersion = '' } = describedObject;
  const group = apiVersion.includes('/') ? parseApiVersion(apiVersion).group : '';
  const ask = async (): Promise<number> => {
    try {
      const resource = kind === 'Namespace' && group === '' ? undefined : await question.scales.resourceOf(group, '', kind, signal);
      const qualified = resource && `${resource.resource}${group === '' ? '' : `.${group}`}`;
      return await question.source.ofObject(question.namespace, qualified, name, metric.name, textOf(metric.selector), signal);
    } catch (error) {
      throw new Error(`unable to get metric ${metric.name}: ${kind} on ${question.namespace} ${name}/${messageOf(error)}`, { cause: error }); // the order is upstream's
    }
  };
  const status = (current: object): MetricStatus => ({ type: 'Object', object: { describedObject, metric, current } });
  if (target.type === 'Value' && target.value !== undefined) {
    const milli = await ask();
    const replicas = proposeByRatio(milli / quantityMilli(target.value), question.currentReplicas, readyPods(question), tolerancesOf(question));
    return { replicas, name: `${kind} metric ${metric.name}`, status: status({ value: decimal(milli) }) };
  }
  if (target.type === 'AverageValue' && target.averageValue !== undefined) {
    const milli = await attempt(`failed to get ${metric.name} object metric`, ask);
    const { replicas, each } = proposeShares(milli, quantityMilli(target.averageValue), question.statusReplicas, tolerancesOf(question));
    return { replicas, name: `external metric ${metric.name}(${goText(metric.selector)})`, status: status({ averageValue: decimal(each) }) };
  }
  throw new Error('invalid object metric source: neither a value target nor an average value target was set');
}

async function externalProposal({ metric, target }: Of<'external'>, question: Question, signal: AbortSignal): Promise<Proposed> {
  const ask = async (): Promise<number> => {
    const values = await question.source.external(question.namespace, metric.name, textOf(metric.selector), signal).catch((error: unknown) => {
      throw new Error(`unable to get external metric ${question.namespace}/${metric.name}/${goText(metric.selector)}: ${messageOf(error)}`, { cause: error });
    });
    return values.reduce((sum, value) => sum + value, 0);
  };
  const name = `external metric ${metric.name}(${goText(metric.selector)})`;
  const status = (current: object): MetricStatus => ({ type: 'External', external: { metric, current } });
  if (target.averageValue !== undefined) {
    const milli = await attempt(`failed to get ${metric.name} external metric`, ask);
    const { replicas, each } = proposeShares(milli, quantityMilli(target.averageValue), question.statusReplicas, tolerancesOf(question));
    return { replicas, name, status: status({ averageValue: decimal(each) }) };
  }
  if (target.value !== undefined) {
    const milli = await attempt(`failed to get external metric ${metric.name}`, ask);
    const replicas = proposeByRatio(milli / quantityMilli(target.value), question.currentReplicas, readyPods(question), tolerancesOf(question));
    return { replicas, name, status: status({ value: decimal(milli) }) };
  }
  throw new Error('invalid external metric source: neither a value target nor an average value target was set');
}

function measured({ pods, currentReplicas, settings, now, ...question }: Question, metrics: Measured['metrics'], resource: string, container: string): Measured {
  const { cpuInitializationPeriodMs: cpuInitializationMs, initialReadinessDelayMs: initialReadinessMs } = settings;
  return { pods, metrics, resource, container, currentReplicas, tolerances: tolerancesOf({ ...question, settings }), cpuInitializationMs, initialReadinessMs, now };
}
function tolerancesOf({ behavior, settings }: Pick<Question, 'behavior' | 'settings'>): Tolerances {
  const tolerance = (given: string | number | undefined): number => (given === undefined ? settings.tolerance : quantityToNumber(given));
  return { up: tolerance(behavior?.scaleUp?.tolerance), down: tolerance(behavior?.scaleDown?.tolerance) };
}
/** Asked only when it matters; throws when there is no pod to count. */
const readyPods = ({ pods }: Question) => (): number => {
  if (pods.length === 0) throw new Error('unable to calculate ready pods: no pods returned by selector while calculating replica count');
  return pods.filter((pod) => pod.status?.phase === 'Running' && isReady(pod)).length;
};
const decimal = (milli: number): string => formatQuantity({ ...quantityOfMilli(milli), format: 'DecimalSI' });
const textOf = (selector: LabelSelector): string => (selector ? formatLabelSelector(labelSelectorFromObject(selector)) : '');

/** A selector as Go prints it, since names of metrics show it. */
function goText(selector: LabelSelector): string {
  if (!selector) return 'nil';
  const labels = Object.entries(selector.matchLabels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}: ${value},`).join('');
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values }) => `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${(values ?? []).join(' ')}],},`).join('');
  return `&LabelSelector{MatchLabels:map[string]string{${labels}},MatchExpressions:[]LabelSelectorRequirement{${expressions}},}`;
}

/** Upstream's reason for a metric that cannot be had, and its words. */
export function failureOf(metric: MetricSpec, error: unknown): Failure {
  const message = messageOf(error);
  const more = error instanceof Attempted ? `${error.what}: ${message}` : message;
  switch (metric.type) {
    case 'Resource': return { reason: 'FailedGetResourceMetric', message, told: `failed to get ${metric.resource?.name} resource metric value: ${more}` };
    case 'ContainerResource': return { reason: 'FailedGetContainerResourceMetric', message, told: `failed to get ${metric.containerResource?.container} container metric value: ${more}` };
    case 'Pods': return { reason: 'FailedGetPodsMetric', message, told: `failed to get pods metric value: ${more}` };
    case 'Object': return { reason: 'FailedGetObjectMetric', message, told: `failed to get object metric value: ${more}` };
    case 'External': return { reason: 'FailedGetExternalMetric', message, told: `failed to get ${metric.external?.metric.name} external metric value: ${more}` };
    default: return { reason: 'InvalidMetricSourceType', message, told: `unknown metric source type "${metric.type}"` };
  }
}
