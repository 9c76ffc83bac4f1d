// The decisions about a Job and its pods, without I/O. Upstream: pkg/controller/job.
import type { Job, OwnerReference, Pod, PodTemplateSpec } from '#machinery/api/object.ts';
import { rfc3339 } from '#machinery/base/clock.ts';
import type { JobCondition } from '../jobs.ts';
import { isTerminal, podCondition } from '../pods.ts';
import { podFromTemplate, podsToDelete } from '../replicaset/reconcile.ts';
import { addIndexes, countCommon, countIndexes, hasIndex, lowestMissing, mergeIndexes, parseIndexes } from './indexes.ts';
import type { Intervals } from './indexes.ts';

export const trackingFinalizer = 'batch.kubernetes.io/job-tracking';
const indexKey = 'batch.kubernetes.io/job-completion-index'; // an annotation and a label
const failureCountKey = 'batch.kubernetes.io/job-index-failure-count';
const ignoredCountKey = 'batch.kubernetes.io/job-index-ignored-failure-count';
const firstBackoffMs = 10_000;
const longestBackoffMs = 600_000;

export type JobSpec = NonNullable<Job['spec']>;
export type JobStatus = NonNullable<Job['status']>;
type FailurePolicy = NonNullable<JobSpec['podFailurePolicy']>;
type FailureRule = FailurePolicy['rules'][number];

export function hasFinalizer(pod: Pod): boolean {
  return pod.metadata.finalizers?.includes(trackingFinalizer) === true;
}
export function isIndexed(spec: JobSpec): boolean {
  return spec.completionMode === 'Indexed';
}
/** The pod's completion index; undefined when it bears none. */
export function completionIndex(pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[indexKey];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
/** The same, but only when the job has that index. */
export function validIndex(spec: JobSpec, pod: Pod): number | undefined {
  const index = completionIndex(pod);
  return index !== undefined && index < (spec.completions ?? 0) ? index : undefined;
}
export function replacesOnlyFailed(spec: JobSpec): boolean {
  return spec.podReplacementPolicy === 'Failed' || spec.podFailurePolicy !== undefined;
}
/** A pod that is being deleted has failed too, unless its replacement waits for its end. */
export function isPodFailed(spec: JobSpec, pod: Pod): boolean {
  if (pod.status?.phase === 'Failed') return true;
  return !replacesOnlyFailed(spec) && pod.metadata.deletionTimestamp !== undefined && pod.status?.phase !== 'Succeeded';
}

export interface FailureMatch { action: string | undefined; counts: boolean; message?: string }

/** The first rule of the policy that matches a failed pod. */
export function matchFailurePolicy(policy: FailurePolicy | undefined, pod: Pod): FailureMatch {
  for (const [index, rule] of (policy?.rules ?? []).entries()) {
    const what = describeMatch(rule, pod);
    if (what === undefined) continue;
    if (rule.action === 'Ignore') return { action: 'Ignore', counts: false };
    if (rule.action === 'FailJob') return { action: 'FailJob', counts: true, message: `${what} matching FailJob rule at index ${index}` };
    if (rule.action === 'FailIndex' || rule.action === 'Count') return { action: rule.action, counts: true };
  }
  return { action: undefined, counts: true };
}
function describeMatch({ onExitCodes, onPodConditions }: FailureRule, pod: Pod): string | undefined {
  const { namespace, name } = pod.metadata;
  if (onExitCodes) {
    for (const { name: container, state } of [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])]) {
      const code = state?.terminated?.exitCode ?? 0;
      if (code === 0 || (onExitCodes.containerName !== undefined && onExitCodes.containerName !== container)) continue;
      const listed = onExitCodes.values.includes(code);
      if (onExitCodes.operator === 'In' ? listed : onExitCodes.operator === 'NotIn' && !listed) {
        return `Container ${container} for pod ${namespace}/${name} failed with exit code ${code}`;
      }
    }
    return undefined;
  }
  const condition = pod.status?.conditions?.find(({ type, status }) => onPodConditions?.some((pattern) => pattern.type === type && pattern.status === status));
  return condition && `Pod ${namespace}/${name} has condition ${condition.type}`;
}
export function failJobMessage(spec: JobSpec, pods: readonly Pod[]): string | undefined {
  if (!spec.podFailurePolicy) return undefined;
  for (const pod of pods) {
    if (!isPodFailed(spec, pod)) continue;
    const { message } = matchFailurePolicy(spec.podFailurePolicy, pod);
    if (message !== undefined) return message;
  }
  return undefined;
}
/** The message for SuccessCriteriaMet when a rule of the success policy is met. */
export function matchSuccessPolicy(spec: JobSpec, succeeded: Intervals): string | undefined {
  if (succeeded.length === 0) return undefined;
  const index = (spec.successPolicy?.rules ?? []).findIndex(({ succeededIndexes, succeededCount }) => {
    if (succeededIndexes === undefined) return succeededCount !== undefined && countIndexes(succeeded) >= succeededCount;
    const required = parseIndexes(succeededIndexes, spec.completions ?? 0);
    if (required.length === 0) return false;
    const common = countCommon(required, succeeded);
    return common === countIndexes(required) || (succeededCount !== undefined && common >= succeededCount);
  });
  return index < 0 ? undefined : `Matched rules at index ${index}`;
}

/** Containers that restart in place count against the limit as well (restartPolicy OnFailure). */
export function pastBackoffLimitOnFailure(spec: JobSpec, pods: readonly Pod[]): boolean {
  if (spec.template.spec?.restartPolicy !== 'OnFailure') return false;
  let restarts = 0;
  for (const { status } of pods) {
    if (status?.phase !== 'Running' && status?.phase !== 'Pending') continue;
    for (const { restartCount } of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) restarts += restartCount;
  }
  const limit = backoffLimit(spec);
  return limit === 0 ? restarts > 0 : restarts >= limit;
}
export function backoffLimit(spec: JobSpec): number {
  return spec.backoffLimit ?? 6;
}
/** Milliseconds until activeDeadlineSeconds is over (0 or less: it is); undefined without a deadline. */
export function deadlineInMs(spec: JobSpec, status: JobStatus, now: number): number | undefined {
  if (spec.activeDeadlineSeconds === undefined || status.startTime === undefined || spec.suspend === true) return undefined;
  return Date.parse(status.startTime) + spec.activeDeadlineSeconds * 1000 - now;
}

/** When the pod ended, as well as can be told: its containers, its not being ready, its deletion, its creation. */
export function finishTime(pod: Pod): number {
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name));
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? []).filter(({ name }) => sidecars.has(name))];
  const ends = statuses.map(({ state }) => Date.parse(String(state?.terminated?.finishedAt ?? '')));
  if (ends.length > 0 && !ends.some(Number.isNaN)) return Math.max(...ends);
  const ready = podCondition(pod, 'Ready');
  const since = ready?.status === 'False' ? Date.parse(String(ready.lastTransitionTime ?? '')) : NaN;
  if (!Number.isNaN(since)) return since;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, creationTimestamp } = pod.metadata;
  if (deletionTimestamp !== undefined) return Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
  return Date.parse(creationTimestamp ?? '') || 0;
}

/** Failures in a row of a job: pods are replaced ever more slowly. */
export interface Backoff { failures: number; lastFailureAt: number }

export function nextBackoff(before: Backoff | undefined, newSucceeded: readonly Pod[], newFailed: readonly Pod[]): Backoff {
  const current = before ?? { failures: 0, lastFailureAt: 0 };
  const failedAt = newFailed.map(finishTime);
  if (newSucceeded.length === 0) {
    return failedAt.length === 0 ? current : { failures: current.failures + failedAt.length, lastFailureAt: Math.max(...failedAt) };
  }
  const lastSuccess = Math.max(...newSucceeded.map(finishTime));
  const since = failedAt.filter((at) => at > lastSuccess);
  return { failures: since.length, lastFailureAt: Math.max(0, ...since) };
}
export function backoffInMs({ failures, lastFailureAt }: Backoff, now: number): number {
  if (failures === 0) return 0;
  return Math.max(0, Math.min(longestBackoffMs, firstBackoffMs * 2 ** (failures - 1)) - (now - lastFailureAt));
}

/** What one look at a job found. */
export interface View {
  spec: JobSpec;
  pods: readonly Pod[];
  active: readonly Pod[];
  /** UIDs in status.uncountedTerminatedPods when the look began. */
  uncounted: { succeeded: ReadonlySet<string>; failed: ReadonlySet<string> };
  /** UIDs whose finalizer was removed, which the cache has not seen yet. */
  expected: ReadonlySet<string>;
}

/** Pods that ended and are neither in the counters nor on their way into them. */
export function newFinished({ spec, pods, uncounted, expected }: View): { succeeded: Pod[]; failed: Pod[] } {
  const fresh = (known: ReadonlySet<string>) => (pod: Pod): boolean =>
    hasFinalizer(pod) && !known.has(uidOf(pod)) && !expected.has(uidOf(pod)) && (!isIndexed(spec) || validIndex(spec, pod) !== undefined);
  return {
    succeeded: pods.filter(fresh(uncounted.succeeded)).filter((pod) => pod.status?.phase === 'Succeeded'),
    failed: pods.filter(fresh(uncounted.failed)).filter((pod) => isPodFailed(spec, pod)),
  };
}
export function succeededIndexes({ spec, pods }: View, before: Intervals): Intervals {
  return addIndexes(before, indexesOf(spec, pods.filter((pod) => pod.status?.phase === 'Succeeded' && hasFinalizer(pod))));
}
export function failedIndexes({ spec, pods }: View, before: Intervals): Intervals {
  return addIndexes(before, indexesOf(spec, pods.filter((pod) => hasFinalizer(pod) && failsIndex(spec, pod))));
}
function failsIndex(spec: JobSpec, pod: Pod): boolean {
  if (!isPodFailed(spec, pod)) return false;
  const { action, counts } = matchFailurePolicy(spec.podFailurePolicy, pod);
  return action === 'FailIndex' || (counts && annotatedCount(pod, failureCountKey) >= (spec.backoffLimitPerIndex ?? 0));
}
function indexesOf(spec: JobSpec, pods: readonly Pod[]): number[] {
  return pods.map((pod) => validIndex(spec, pod)).filter((index) => index !== undefined);
}
function annotatedCount(pod: Pod, key: string): number {
  const text = pod.metadata.annotations?.[key] ?? '0';
  return /^\d+$/.test(text) && Number(text) < 2 ** 31 ? Number(text) : 0;
}
/** Failures of the pod's index including its own. */
function absoluteFailures(pod: Pod): number {
  return annotatedCount(pod, failureCountKey) + annotatedCount(pod, ignoredCountKey);
}

/** Per index without a pod the last failed one: it stays until its replacement has taken over its count of failures. */
export function delayedPods({ spec, pods, active, expected }: View, succeeded: Intervals, failed: Intervals): Map<number, Pod> {
  const running = new Set(indexesOf(spec, active));
  const delayed = new Map<number, Pod>();
  for (const pod of pods) {
    const index = validIndex(spec, pod);
    if (index === undefined || !hasFinalizer(pod) || expected.has(uidOf(pod)) || !isPodFailed(spec, pod)) continue;
    if (running.has(index) || hasIndex(succeeded, index) || hasIndex(failed, index)) continue;
    const other = delayed.get(index);
    if (!other || (absoluteFailures(other) <= absoluteFailures(pod) && finishTime(pod) >= finishTime(other))) delayed.set(index, pod);
  }
  return delayed;
}
/** Milliseconds until the index of a failed pod may be tried again. */
export function indexBackoffInMs(last: Pod | undefined, now: number): number {
  return last ? backoffInMs({ failures: absoluteFailures(last) + 1, lastFailureAt: finishTime(last) }, now) : 0;
}

export function wantedActive({ spec, active }: View, succeeded: number): number {
  const parallelism = spec.parallelism ?? 1;
  if (spec.completions === undefined) return succeeded > 0 ? active.length : parallelism; // the first success decides: nothing new is started
  return Math.max(0, Math.min(parallelism, spec.completions - succeeded));
}
export function indexesToStart({ spec, pods, active }: View, count: number, succeeded: Intervals, failed: Intervals): number[] {
  const busy = replacesOnlyFailed(spec) ? [...active, ...pods.filter(isTerminating)] : active;
  return lowestMissing(mergeIndexes(addIndexes(succeeded, indexesOf(spec, busy)), failed), count, spec.completions ?? 0);
}
export function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined && !isTerminal(pod);
}

/** At least `atLeast` of the active pods; of an Indexed job first those without a valid index and all but one of an index. */
export function podsForRemoval({ spec, active }: View, atLeast: number, now: number): Pod[] {
  const chosen: Pod[] = [];
  let left: Pod[] = [...active];
  if (isIndexed(spec)) {
    left = [];
    const byIndex = Map.groupBy(active, (pod) => validIndex(spec, pod) ?? -1);
    for (const [index, same] of byIndex) {
      const extra = index < 0 ? same : podsToDelete(same, [], same.length - 1, now);
      chosen.push(...extra);
      left.push(...same.filter((pod) => !extra.includes(pod)));
    }
  }
  return chosen.length >= atLeast ? chosen : [...chosen, ...podsToDelete(left, [], atLeast - chosen.length, now)];
}

/** The pod to create; `replaced` is the failed pod of the index whose count of failures goes on. */
export function podBody(job: Job, spec: JobSpec, reference: OwnerReference, index: number | undefined, replaced: Pod | undefined): object {
  const { name = '', namespace = '' } = job.metadata;
  const { metadata, spec: podSpec } = spec.template;
  const finalizers = [...(metadata?.finalizers ?? []).filter((finalizer) => finalizer !== trackingFinalizer), trackingFinalizer];
  if (index === undefined || !podSpec) return podFromTemplate({ ...spec.template, metadata: { ...metadata, finalizers } }, name, namespace, reference);
  const template: PodTemplateSpec = {
    metadata: {
      ...metadata, finalizers,
      labels: { ...metadata?.labels, [indexKey]: String(index) },
      annotations: { ...metadata?.annotations, [indexKey]: String(index), ...(spec.backoffLimitPerIndex === undefined ? {} : failureCounts(spec, replaced)) },
    },
    spec: {
      ...podSpec, hostname: `${name}-${index}`, containers: podSpec.containers.map(withIndexVariable),
      ...(podSpec.initContainers ? { initContainers: podSpec.initContainers.map(withIndexVariable) } : {}),
    },
  };
  const suffix = `-${index}`;
  const longestPrefix = 63 - 5 - 1; // a label, less the generated part and the dash before it
  return podFromTemplate(template, `${name.slice(0, longestPrefix - suffix.length)}${suffix}`, namespace, reference);
}
function failureCounts(spec: JobSpec, replaced: Pod | undefined): Record<string, string> {
  if (!replaced) return { [failureCountKey]: '0' };
  const { counts } = matchFailurePolicy(spec.podFailurePolicy, replaced);
  const ignored = annotatedCount(replaced, ignoredCountKey) + (counts ? 0 : 1);
  return { [failureCountKey]: String(annotatedCount(replaced, failureCountKey) + (counts ? 1 : 0)), ...(ignored > 0 ? { [ignoredCountKey]: String(ignored) } : {}) };
}
type Container = NonNullable<PodTemplateSpec['spec']>['containers'][number];
function withIndexVariable(container: Container): Container {
  const name = 'JOB_COMPLETION_INDEX';
  if (container.env?.some((variable) => variable.name === name)) return container;
  return { ...container, env: [...(container.env ?? []), { name, valueFrom: { fieldRef: { fieldPath: `metadata.labels['${indexKey}']` } } }] };
}

export function newCondition(type: string, reason: string, message: string, now: number, status = 'True'): JobCondition {
  const time = rfc3339(now);
  return { type, status, lastProbeTime: time, lastTransitionTime: time, reason, message };
}
export function trueCondition(conditions: readonly JobCondition[], type: string): JobCondition | undefined {
  return conditions.find((condition) => condition.type === type && condition.status === 'True');
}
/** Sets the condition in place; one that is not there is not added as False. Answers whether the list changed. */
export function setCondition(conditions: JobCondition[], wanted: JobCondition): boolean {
  const at = conditions.findIndex(({ type }) => type === wanted.type);
  const before = conditions[at];
  if (!before) {
    if (wanted.status !== 'False') conditions.push(wanted);
    return wanted.status !== 'False';
  }
  if (before.status === wanted.status && before.reason === wanted.reason && before.message === wanted.message) return false;
  conditions[at] = wanted;
  return true;
}

/** A Job's status while it is being worked on: lists are there, numbers are numbers. */
export interface Draft {
  startTime: string | undefined;
  completionTime: string | undefined;
  conditions: JobCondition[];
  active: number;
  ready: number | undefined;
  terminating: number | undefined;
  succeeded: number;
  failed: number;
  completedIndexes: string;
  failedIndexes: string | undefined;
  uncounted: { succeeded: string[]; failed: string[] };
}
export function draftOf(status: JobStatus): Draft {
  const { uncountedTerminatedPods: uncounted } = status;
  return {
    startTime: status.startTime, completionTime: status.completionTime, conditions: [...(status.conditions ?? [])],
    active: status.active ?? 0, ready: status.ready, terminating: status.terminating, succeeded: status.succeeded ?? 0, failed: status.failed ?? 0,
    completedIndexes: status.completedIndexes ?? '', failedIndexes: status.failedIndexes,
    uncounted: { succeeded: [...(uncounted?.succeeded ?? [])], failed: [...(uncounted?.failed ?? [])] },
  };
}
export function statusOf(draft: Draft): JobStatus {
  const { startTime, completionTime, conditions, active, ready, terminating, succeeded, failed, completedIndexes, uncounted } = draft;
  return {
    ...(conditions.length > 0 ? { conditions } : {}),
    ...(startTime === undefined ? {} : { startTime }),
    ...(completionTime === undefined ? {} : { completionTime }),
    ...(active > 0 ? { active } : {}), ...(succeeded > 0 ? { succeeded } : {}), ...(failed > 0 ? { failed } : {}),
    ...(terminating === undefined ? {} : { terminating }),
    ...(completedIndexes === '' ? {} : { completedIndexes }),
    ...(draft.failedIndexes === undefined ? {} : { failedIndexes: draft.failedIndexes }),
    uncountedTerminatedPods: {
      ...(uncounted.succeeded.length > 0 ? { succeeded: uncounted.succeeded } : {}),
      ...(uncounted.failed.length > 0 ? { failed: uncounted.failed } : {}),
    },
    ...(ready === undefined ? {} : { ready }),
  };
}
/** Moves pods whose finalizer is gone from the uncounted into the counters. Answers whether there were any. */
export function countReleased(draft: Draft, withFinalizer: ReadonlySet<string>): boolean {
  let changed = false;
  for (const outcome of ['succeeded', 'failed'] as const) {
    const left = draft.uncounted[outcome].filter((uid) => withFinalizer.has(uid));
    const released = draft.uncounted[outcome].length - left.length;
    if (released === 0) continue;
    draft[outcome] += released;
    draft.uncounted[outcome] = left;
    changed = true;
  }
  return changed;
}
export function uidOf(pod: Pod): string {
  return pod.metadata.uid ?? '';
}
