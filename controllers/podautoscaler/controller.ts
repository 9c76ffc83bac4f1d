// Scales what HorizontalPodAutoscalers name by metrics. How many: proposals.ts (one metric), replicas.ts (metrics of pods), scaling.ts (limits,
// rates, windows).
import { rfc3339 } from '#machinery/base/clock.ts';
import { parseLabelSelector } from '#machinery/api/labels.ts';
import type { ParsedLabelSelector } from '#machinery/api/labels.ts';
import { parseApiVersion } from '#machinery/api/object.ts';
import type { HorizontalPodAutoscaler } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { horizontalPodAutoscalers, pods } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { withCondition } from '../conditions.ts';
import type { DiscoveredResource } from '../discovery.ts';
import { sameValue } from '../pods.ts';
import { createScales } from '../scale.ts';
import type { Scale } from '../scale.ts';
import { createMetricsSource } from './metrics.ts';
import { failureOf, proposeFor } from './proposals.ts';
import type { Failure, Proposed, Question } from './proposals.ts';
import { ScalingHistory, decide } from './scaling.ts';

type Spec = NonNullable<HorizontalPodAutoscaler['spec']>;
type Status = NonNullable<HorizontalPodAutoscaler['status']>;

const account = 'horizontal-pod-autoscaler';
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
/** Already told by an event and a condition: the next look comes with the period, not with back-off. */
class Told extends Error {
  /** What to mend: the object, or what it asked of others. */
  readonly blames: 'spec' | 'internal';
  constructor(blames: 'spec' | 'internal' = 'internal') {
    super();
    this.blames = blames;
  }
}

export function createHorizontalPodAutoscaler({ informers, clientFor, recorderFor, config, metrics: counts, now }: ControllerContext): Controller {
  const settings = config.horizontalPodAutoscaler;
  const queue = createWorkQueue({ name: 'horizontalpodautoscaler' });
  const autoscalers = informers.for(horizontalPodAutoscalers);
  const allPods = informers.for(pods);
  const client = clientFor(account);
  const scales = createScales(client, now);
  const source = createMetricsSource(client, now);
  const recorder = recorderFor('horizontal-pod-autoscaler', account);
  const histories = new Map<string, ScalingHistory>();
  const selectors = new Map<string, ParsedLabelSelector>();

  autoscalers.onChange((change) => {
    const key = keyOf(change.object);
    if (change.type === 'deleted') {
      histories.delete(key);
      selectors.delete(key);
    }
    if (change.type !== 'updated' || !sameValue(change.old.spec, change.object.spec)) queue.add(key);
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const autoscaler = autoscalers.get(namespace, name);
    if (!autoscaler?.spec || autoscaler.metadata.deletionTimestamp !== undefined) return;
    const status: Status = { desiredReplicas: 0, ...autoscaler.status, conditions: [...(autoscaler.status?.conditions ?? [])] };
    const startedAt = performance.now();
    let failure: 'none' | 'spec' | 'internal' = 'none';
    try {
      await scale(autoscaler, autoscaler.spec, status, key, signal);
    } catch (error) {
      if (!(error instanceof Told)) throw error;
      failure = error.blames;
    } finally {
      const action = failure !== 'none' || status.desiredReplicas === status.currentReplicas ? 'none' : (status.desiredReplicas ?? 0) > (status.currentReplicas ?? 0) ? 'scale_up' : 'scale_down';
      counts.autoscaling.with(action, failure).add();
      counts.autoscalingSeconds.with(action, failure).observe((performance.now() - startedAt) / 1000);
    }
    if (!sameValue(status, autoscaler.status)) await writeStatus(autoscaler, status, signal);
    return { requeueAfterMs: settings.syncPeriodMs };
  }

  async function writeStatus(autoscaler: HorizontalPodAutoscaler, status: Status, signal: AbortSignal): Promise<void> {
    const { namespace = '', name = '' } = autoscaler.metadata;
    try {
      await client.update(horizontalPodAutoscalers, namespace, name, { ...autoscaler, apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', status }, signal, { subresource: 'status' });
    } catch (error) {
      if (isNotFound(error) || isConflict(error) || signal.aborted) return; // deleted or changed meanwhile: the next look shows it anew
      recorder.event(autoscaler, 'Warning', 'FailedUpdateStatus', messageOf(error));
      throw error;
    }
  }
  function set(status: Status, type: string, value: boolean, reason: string, message: string): void {
    status.conditions = withCondition(status.conditions, { type, status: value ? 'True' : 'False', reason, message }, now()) as Status['conditions'];
  }

  /** Fills `status`. */
  async function scale(autoscaler: HorizontalPodAutoscaler, spec: Spec, status: Status, key: string, signal: AbortSignal): Promise<void> {
    const target = await targetOf(autoscaler, spec, status, signal);
    set(status, 'AbleToScale', true, 'SucceededGetScale', "the HPA controller was able to get the target's current scale");
    const currentReplicas = target.scale.spec?.replicas ?? 0;
    const history = histories.get(key) ?? new ScalingHistory();
    histories.set(key, history);
    history.begin(currentReplicas, now());
    const { maxReplicas } = spec;
    const minReplicas = spec.minReplicas ?? 1;
    status.currentReplicas = currentReplicas;

    let wanted = currentReplicas;
    let reason = '';
    if (currentReplicas === 0 && minReplicas !== 0) {
      wanted = 0;
      delete status.currentMetrics;
      set(status, 'ScalingActive', false, 'ScalingDisabled', 'scaling is disabled since the replica count of the target is zero');
    } else if (currentReplicas > maxReplicas) {
      wanted = maxReplicas;
      delete status.currentMetrics;
      reason = 'Current number of replicas above Spec.MaxReplicas';
    } else if (currentReplicas < minReplicas) {
      wanted = minReplicas;
      delete status.currentMetrics;
      reason = 'Current number of replicas below Spec.MinReplicas';
    } else {
      const proposed = await propose(autoscaler, spec, status, target.scale, key, signal);
      if (proposed.replicas > currentReplicas) reason = `${proposed.name} above target`;
      else if (proposed.replicas < currentReplicas) reason = 'All metrics below target';
      const decision = decide(history, { minReplicas, maxReplicas, ...(spec.behavior ? { behavior: spec.behavior } : {}) }, currentReplicas, proposed.replicas, settings.downscaleStabilizationMs, now());
      set(status, 'AbleToScale', true, decision.able.reason, decision.able.message);
      set(status, 'ScalingLimited', decision.limited.isLimited, decision.limited.reason, decision.limited.message);
      wanted = decision.replicas;
    }
    if (wanted !== currentReplicas) {
      await rescale(autoscaler, status, target, wanted, reason, signal);
      history.rescaled(currentReplicas, wanted, spec.behavior, now());
      status.lastScaleTime = rfc3339(now()) as unknown as NonNullable<Status['lastScaleTime']>; // times as they travel
    }
    status.desiredReplicas = wanted;
  }

  interface ScaleTarget { resource: DiscoveredResource; scale: Scale }
  async function targetOf(autoscaler: HorizontalPodAutoscaler, { scaleTargetRef }: Spec, status: Status, signal: AbortSignal): Promise<ScaleTarget> {
    try {
      const { group } = parseApiVersion(scaleTargetRef.apiVersion ?? '');
      const resource = await scales.resourceOf(scaleTargetRef.apiVersion?.includes('/') ? group : '', '', scaleTargetRef.kind, signal);
      return { resource, scale: await scales.get(resource, autoscaler.metadata.namespace ?? '', scaleTargetRef.name, signal) };
    } catch (error) {
      if (signal.aborted) throw error;
      recorder.event(autoscaler, 'Warning', 'FailedGetScale', messageOf(error));
      set(status, 'AbleToScale', false, 'FailedGetScale', `the HPA controller was unable to get the target's current scale: ${messageOf(error)}`);
      throw new Told();
    }
  }

  async function rescale(autoscaler: HorizontalPodAutoscaler, status: Status, { resource, scale: read }: ScaleTarget, replicas: number, reason: string, signal: AbortSignal): Promise<void> {
    let latest = read;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await scales.update(resource, { ...latest, spec: { ...latest.spec, replicas } }, signal);
        break;
      } catch (error) {
        if (signal.aborted) throw error;
        if (isConflict(error) && attempt < 5) {
          latest = await scales.get(resource, latest.metadata.namespace ?? '', latest.metadata.name ?? '', signal);
          continue;
        }
        recorder.event(autoscaler, 'Warning', 'FailedRescale', `New size: ${replicas}; reason: ${reason}; error: ${messageOf(error)}`);
        set(status, 'AbleToScale', false, 'FailedUpdateScale', `the HPA controller was unable to update the target scale: ${messageOf(error)}`);
        throw new Told();
      }
    }
    set(status, 'AbleToScale', true, 'SucceededRescale', `the HPA controller was able to update the target scale to ${replicas}`);
    recorder.event(autoscaler, 'Normal', 'SuccessfulRescale', `New size: ${replicas}; reason: ${reason}`);
  }

  /** The largest proposal of all metrics. One that fails holds scaling down back, and everything when all fail. */
  async function propose(autoscaler: HorizontalPodAutoscaler, spec: Spec, status: Status, { spec: wanted, status: shown }: Scale, key: string, signal: AbortSignal): Promise<Proposed> {
    const inactive = (eventReason: string, reason: string, event: string, message: string): never => {
      recorder.event(autoscaler, 'Warning', eventReason, event);
      set(status, 'ScalingActive', false, reason, message);
      delete status.currentMetrics;
      recorder.event(autoscaler, 'Warning', 'FailedComputeMetricsReplicas', event);
      throw new Told('spec');
    };
    const text = shown?.selector ?? '';
    if (text === '') return inactive('SelectorRequired', 'InvalidSelector', 'selector is required', "the HPA target's scale is missing a selector");
    let selector: ParsedLabelSelector;
    try {
      selector = parseLabelSelector(text);
    } catch (error) {
      const message = `couldn't convert selector into a corresponding internal selector object: ${messageOf(error)}`;
      return inactive('InvalidSelector', 'InvalidSelector', message, message);
    }
    selectors.set(key, selector);
    const selected = allPods.list(autoscaler.metadata.namespace).filter(({ metadata }) => selector.matches(metadata.labels));
    const rivals = [...selectors].filter(([other, each]) => other.startsWith(`${autoscaler.metadata.namespace}/`) && selected.some(({ metadata }) => each.matches(metadata.labels))).map(([other]) => other);
    if (rivals.length > 1) {
      const message = `pods by selector ${text} are controlled by multiple HPAs: [${rivals.join(' ')}]`;
      return inactive('AmbiguousSelector', 'AmbiguousSelector', message, message);
    }

    const currentReplicas = wanted?.replicas ?? 0;
    const metrics = spec.metrics ?? [];
    const question: Question = {
      client, source, scales, namespace: autoscaler.metadata.namespace ?? '', selector: text, pods: selected, currentReplicas, statusReplicas: shown?.replicas ?? 0,
      ...(spec.behavior ? { behavior: spec.behavior } : {}), settings, now: now(),
    };
    const proposals: Proposed[] = [];
    const failures: Failure[] = [];
    for (const metric of metrics) {
      try {
        proposals.push(await proposeFor(metric, question, signal));
      } catch (error) {
        if (signal.aborted) throw error;
        const failure = failureOf(metric, error);
        recorder.event(autoscaler, 'Warning', failure.reason, failure.message);
        failures.push(failure);
      }
    }
    status.currentMetrics = proposals.map((proposal) => proposal.status);
    const best = proposals.reduce<Proposed | undefined>((most, each) => (!most || each.replicas > most.replicas ? each : most), undefined);
    const [first] = failures;
    if (!best || (first && best.replicas < currentReplicas)) {
      if (first) set(status, 'ScalingActive', false, first.reason, `the HPA was unable to compute the replica count: ${first.message}`);
      recorder.event(autoscaler, 'Warning', 'FailedComputeMetricsReplicas', `invalid metrics (${failures.length} invalid out of ${metrics.length}), first error is: ${first?.told ?? 'no metrics are given'}`);
      throw new Told();
    }
    set(status, 'ScalingActive', true, 'ValidMetricFound', `the HPA was able to successfully calculate a replica count from ${best.name}`);
    return best;
  }

  return { run: (stop) => runController({ name: 'horizontal-pod-autoscaler-controller', queue, workers: config.concurrent.horizontalPodAutoscaler, reconcile }, stop) };
}
