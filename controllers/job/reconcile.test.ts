import { expect } from 'chai';
import type { Job, Pod } from '#machinery/api/object.ts';
import {
  backoffInMs, countReleased, deadlineInMs, delayedPods, draftOf, failJobMessage, failedIndexes, finishTime, indexBackoffInMs, indexesToStart, isPodFailed,
  matchFailurePolicy, matchSuccessPolicy, newCondition, newFinished, nextBackoff, pastBackoffLimitOnFailure, podBody, podsForRemoval, setCondition,
  statusOf, succeededIndexes, trackingFinalizer, wantedActive,
} from './reconcile.ts';
import type { JobSpec, View } from './reconcile.ts';

const now = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();
interface Traits { phase?: string; index?: number; code?: number; ended?: number; going?: boolean; free?: boolean; failures?: number; restarts?: number }
function pod(name: string, { phase = 'Running', index, code, ended = 1, going, free, failures, restarts = 0 }: Traits = {}): Pod {
  const annotations: Record<string, string> = {};
  if (index !== undefined) annotations['batch.kubernetes.io/job-completion-index'] = String(index);
  if (failures !== undefined) annotations['batch.kubernetes.io/job-index-failure-count'] = String(failures);
  const state = code === undefined ? {} : { state: { terminated: { exitCode: code, finishedAt: ago(ended) } } };
  return {
    metadata: { name, namespace: 'n', uid: name, annotations, creationTimestamp: ago(100), finalizers: free ? [] : [trackingFinalizer], ...(going ? { deletionTimestamp: ago(0) } : {}) },
    spec: { containers: [] },
    status: { phase, containerStatuses: [{ name: 'c', image: '', imageID: '', ready: false, restartCount: restarts, ...state }] },
  };
}
const spec = (more: Partial<JobSpec> = {}): JobSpec => ({ parallelism: 2, completions: 3, backoffLimit: 6, template: { spec: { containers: [{ name: 'c' }], restartPolicy: 'Never' } }, ...more });
const indexed = (more: Partial<JobSpec> = {}): JobSpec => spec({ completionMode: 'Indexed', ...more });
function view(of: JobSpec, pods: Pod[], more: Partial<View> = {}): View {
  const active = pods.filter(({ status, metadata }) => status?.phase === 'Running' && metadata.deletionTimestamp === undefined);
  return { spec: of, pods, active, uncounted: { succeeded: new Set(), failed: new Set() }, expected: new Set(), ...more };
}
const names = (pods: Iterable<Pod>): (string | undefined)[] => [...pods].map(({ metadata }) => metadata.name);

describe('ends of pods', () => {
  it('count once', () => {
    const pods = [pod('ok', { phase: 'Succeeded' }), pod('bad', { phase: 'Failed' }), pod('counted', { phase: 'Failed', free: true }), pod('on-its-way', { phase: 'Failed' }),
      pod('released', { phase: 'Succeeded' }), pod('going', { going: true }), pod('runs')];
    const found = newFinished(view(spec(), pods, { uncounted: { succeeded: new Set(), failed: new Set(['on-its-way']) }, expected: new Set(['released']) }));
    expect([names(found.succeeded), names(found.failed)]).to.deep.equal([['ok'], ['bad', 'going']]);
  });
  it('need a valid index when the job is Indexed', () => {
    const pods = [pod('a', { phase: 'Succeeded' }), pod('b', { phase: 'Succeeded', index: 3 }), pod('c', { phase: 'Succeeded', index: 2 })];
    expect(names(newFinished(view(indexed(), pods)).succeeded)).to.deep.equal(['c']);
    expect(succeededIndexes(view(indexed(), pods), [[0, 0]])).to.deep.equal([[0, 0], [2, 2]]);
  });
  it('of pods being deleted wait when only failed ones are replaced', () => {
    expect(isPodFailed(spec(), pod('a', { going: true }))).to.equal(true);
    expect(isPodFailed(spec({ podReplacementPolicy: 'Failed' }), pod('a', { going: true }))).to.equal(false);
  });
  it('move from the uncounted into the counters when the finalizer is gone', () => {
    const draft = draftOf({ failed: 1, uncountedTerminatedPods: { succeeded: ['a', 'b'], failed: ['c'] } });
    expect(countReleased(draft, new Set(['b']))).to.equal(true);
    expect(statusOf(draft)).to.deep.equal({ succeeded: 1, failed: 2, uncountedTerminatedPods: { succeeded: ['b'] } });
    expect(countReleased(draft, new Set(['b']))).to.equal(false);
  });
});

describe('matchFailurePolicy()', () => {
  const policy = (...rules: NonNullable<JobSpec['podFailurePolicy']>['rules']): NonNullable<JobSpec['podFailurePolicy']> => ({ rules });
  const failed = pod('p', { phase: 'Failed', code: 3 });
  it('takes the first rule that fits', () => {
    const rules = policy({ action: 'Ignore', onExitCodes: { operator: 'NotIn', values: [3] } }, { action: 'FailJob', onExitCodes: { containerName: 'c', operator: 'In', values: [1, 3] } });
    expect(failJobMessage(spec({ podFailurePolicy: rules }), [failed])).to.equal('Container c for pod n/p failed with exit code 3 matching FailJob rule at index 1');
  });
  it('sees exit code 0 and other containers as no match', () => {
    expect(matchFailurePolicy(policy({ action: 'Ignore', onExitCodes: { operator: 'NotIn', values: [3] } }), pod('p', { phase: 'Failed', code: 0 })).counts).to.equal(true);
    expect(matchFailurePolicy(policy({ action: 'Ignore', onExitCodes: { containerName: 'x', operator: 'In', values: [3] } }), failed).counts).to.equal(true);
  });
  it('looks at conditions', () => {
    const evicted = { ...failed, status: { ...failed.status, conditions: [{ type: 'DisruptionTarget', status: 'True' }] } };
    const rule = { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] };
    expect(matchFailurePolicy(policy(rule), evicted)).to.deep.equal({ action: 'Ignore', counts: false });
    expect(matchFailurePolicy(policy({ ...rule, action: 'FailJob' }), evicted).message).to.equal('Pod n/p has condition DisruptionTarget matching FailJob rule at index 0');
    expect(matchFailurePolicy(policy(rule), failed).counts).to.equal(true);
  });
});

describe('matchSuccessPolicy()', () => {
  const rules = (...all: { succeededIndexes?: string; succeededCount?: number }[]): JobSpec => indexed({ completions: 10, successPolicy: { rules: all } });
  it('wants all listed indexes, or so many of them', () => {
    expect(matchSuccessPolicy(rules({ succeededIndexes: '0,2-3' }), [[0, 0], [2, 2]])).to.equal(undefined);
    expect(matchSuccessPolicy(rules({ succeededIndexes: '0,2-3' }), [[0, 5]])).to.equal('Matched rules at index 0');
    expect(matchSuccessPolicy(rules({ succeededIndexes: '9' }, { succeededIndexes: '0,2-3', succeededCount: 2 }), [[0, 0], [2, 2]])).to.equal('Matched rules at index 1');
  });
  it('or so many of any', () => {
    expect(matchSuccessPolicy(rules({ succeededCount: 2 }), [[4, 4]])).to.equal(undefined);
    expect(matchSuccessPolicy(rules({ succeededCount: 2 }), [[4, 5]])).to.equal('Matched rules at index 0');
  });
  it('is met by nothing without a success', () => expect(matchSuccessPolicy(rules({ succeededCount: 0 }), [])).to.equal(undefined));
});

describe('back-off', () => {
  const failed = (ended: number): Pod => pod(`f${ended}`, { phase: 'Failed', code: 1, ended });
  it('doubles with every failure in a row, up to ten minutes', () => {
    const waits = [0, 1, 2, 7, 30].map((failures) => backoffInMs({ failures, lastFailureAt: now - 4000 }, now));
    expect(waits).to.deep.equal([0, 6000, 16_000, 596_000, 596_000]);
    expect(backoffInMs({ failures: 1, lastFailureAt: now - 11_000 }, now)).to.equal(0);
  });
  it('starts again after a success', () => {
    expect(nextBackoff({ failures: 2, lastFailureAt: 0 }, [], [failed(9), failed(3)])).to.deep.equal({ failures: 4, lastFailureAt: now - 3000 });
    expect(nextBackoff({ failures: 2, lastFailureAt: 0 }, [pod('s', { code: 0, ended: 5 })], [failed(9), failed(3)])).to.deep.equal({ failures: 1, lastFailureAt: now - 3000 });
    expect(nextBackoff({ failures: 2, lastFailureAt: 1 }, [], [])).to.deep.equal({ failures: 2, lastFailureAt: 1 });
  });
  it('goes by index when failures do', () => {
    expect(indexBackoffInMs(undefined, now)).to.equal(0);
    expect(indexBackoffInMs(pod('f', { phase: 'Failed', code: 1, ended: 4, failures: 1 }), now)).to.equal(16_000);
  });
  it('knows when a pod without ended containers ended', () => {
    expect(finishTime(pod('a'))).to.equal(now - 100_000);
    expect(finishTime(pod('a', { going: true }))).to.equal(now);
  });
});

describe('limits', () => {
  it('count restarts in place with OnFailure only', () => {
    const template = { spec: { containers: [], restartPolicy: 'OnFailure' } };
    const pods = [pod('a', { restarts: 2 }), pod('b', { restarts: 5, phase: 'Failed' })];
    expect(pastBackoffLimitOnFailure(spec({ template, backoffLimit: 2 }), pods)).to.equal(true);
    expect(pastBackoffLimitOnFailure(spec({ template, backoffLimit: 3 }), pods)).to.equal(false);
    expect(pastBackoffLimitOnFailure(spec({ template, backoffLimit: 0 }), [pod('a')])).to.equal(false);
    expect(pastBackoffLimitOnFailure(spec({ backoffLimit: 0 }), pods)).to.equal(false);
  });
  it('of time stand still while the job is suspended', () => {
    expect(deadlineInMs(spec({ activeDeadlineSeconds: 10 }), { startTime: ago(4) }, now)).to.equal(6000);
    expect(deadlineInMs(spec({ activeDeadlineSeconds: 10, suspend: true }), { startTime: ago(40) }, now)).to.equal(undefined);
    expect(deadlineInMs(spec({ activeDeadlineSeconds: 10 }), {}, now)).to.equal(undefined);
  });
});

describe('what to start and remove', () => {
  const { completions: _, ...workQueue } = spec();
  it('follows completions, or the first success', () => {
    expect(wantedActive(view(spec(), []), 0)).to.equal(2);
    expect(wantedActive(view(spec(), []), 2)).to.equal(1);
    expect(wantedActive(view(spec(), []), 9)).to.equal(0);
    expect(wantedActive(view(workQueue, [pod('a')]), 0)).to.equal(2);
    expect(wantedActive(view(workQueue, [pod('a')]), 1)).to.equal(1);
  });
  it('starts the lowest free indexes', () => {
    const pods = [pod('a', { index: 1 }), pod('b', { index: 2, going: true })];
    expect(indexesToStart(view(indexed({ completions: 6 }), pods), 2, [[0, 0]], [[3, 3]])).to.deep.equal([2, 4]);
    expect(indexesToStart(view(indexed({ completions: 6, podReplacementPolicy: 'Failed' }), pods), 2, [[0, 0]], [[3, 3]])).to.deep.equal([4, 5]);
  });
  it('removes doubles and pods without a valid index', () => {
    const pods = [pod('a', { index: 0 }), pod('b', { index: 0 }), pod('c'), pod('d', { index: 3 }), pod('e', { index: 1 })];
    const chosen = names(podsForRemoval(view(indexed(), pods), 0, now));
    expect(chosen).to.have.length(3).and.include.members(['c', 'd']).and.not.include('e');
    expect(podsForRemoval(view(indexed(), pods), 5, now)).to.have.length(5);
    expect(podsForRemoval(view(spec(), pods), 0, now)).to.deep.equal([]);
  });
  it('keeps the last failed pod of an index until it is replaced', () => {
    const of = indexed({ backoffLimitPerIndex: 2 });
    const pods = [pod('a', { index: 0, phase: 'Failed', code: 1, ended: 9, failures: 0 }), pod('b', { index: 0, phase: 'Failed', code: 1, ended: 5, failures: 1 }),
      pod('c', { index: 1, phase: 'Failed', code: 1, failures: 0 }), pod('d', { index: 1 }), pod('e', { index: 2, phase: 'Failed', code: 1, failures: 2 })];
    const failed = failedIndexes(view(of, pods), []);
    expect(failed).to.deep.equal([[2, 2]]);
    expect(names(delayedPods(view(of, pods), [], failed).values())).to.deep.equal(['b']);
  });
});

describe('podBody()', () => {
  const reference = { apiVersion: 'batch/v1', kind: 'Job', name: 'j', uid: 'u', controller: true, blockOwnerDeletion: true };
  const job = (of: JobSpec, name = 'j'): Job => ({ metadata: { name, namespace: 'n' }, spec: of });
  it('bears the finalizer', () => {
    expect(podBody(job(spec()), spec(), reference, undefined, undefined)).to.deep.include({ metadata: { generateName: 'j-', namespace: 'n', finalizers: [trackingFinalizer], ownerReferences: [reference] } });
  });
  it('bears its index in annotation, label, name, host name and environment', () => {
    const body = podBody(job(indexed()), indexed(), reference, 7, undefined);
    const key = 'batch.kubernetes.io/job-completion-index';
    expect(body).to.have.nested.property('metadata.generateName', 'j-7-');
    expect(body).to.have.deep.nested.property('metadata.labels', { [key]: '7' });
    expect(body).to.have.deep.nested.property('metadata.annotations', { [key]: '7' });
    expect(body).to.have.nested.property('spec.hostname', 'j-7');
    expect(body).to.have.deep.nested.property('spec.containers[0].env', [{ name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef: { fieldPath: `metadata.labels['${key}']` } } }]);
  });
  it('shortens a long name before the index', () => {
    expect(podBody(job(indexed(), 'x'.repeat(63)), indexed(), reference, 12, undefined)).to.have.nested.property('metadata.generateName', `${'x'.repeat(54)}-12-`);
  });
  it('takes over the count of failures, ignored ones apart', () => {
    const of = indexed({ backoffLimitPerIndex: 3, podFailurePolicy: { rules: [{ action: 'Ignore', onExitCodes: { operator: 'In', values: [9] } }] } });
    const annotations = (code: number): unknown => (podBody(job(of), of, reference, 0, pod('f', { phase: 'Failed', code, failures: 1 })) as { metadata: { annotations: unknown } }).metadata.annotations;
    expect(annotations(1)).to.include({ 'batch.kubernetes.io/job-index-failure-count': '2' });
    expect(annotations(9)).to.include({ 'batch.kubernetes.io/job-index-failure-count': '1', 'batch.kubernetes.io/job-index-ignored-failure-count': '1' });
  });
});

it('setCondition() adds no False, and changes only what differs', () => {
  const list: ReturnType<typeof newCondition>[] = [];
  expect(setCondition(list, newCondition('Suspended', 'JobResumed', 'm', now, 'False'))).to.equal(false);
  expect(setCondition(list, newCondition('Suspended', 'JobSuspended', 'm', now))).to.equal(true);
  expect(setCondition(list, newCondition('Suspended', 'JobSuspended', 'm', now + 5000))).to.equal(false);
  expect(setCondition(list, newCondition('Suspended', 'JobResumed', 'm', now, 'False'))).to.equal(true);
  expect(list).to.deep.equal([newCondition('Suspended', 'JobResumed', 'm', now, 'False')]);
});
