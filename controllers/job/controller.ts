// Runs the pods of a Job until it is complete or has failed, and counts each of them once: a pod keeps a finalizer until
// its end is written down in the job's status. Upstream: pkg/controller/job/job_controller.go.
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import { controllerOf } from '#machinery/api/object.ts';
import type { Job, OwnerReference, Pod } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { rfc3339 } from '#machinery/base/clock.ts';
import { runController } from '#machinery/client/controller.ts';
import { jobs, pods } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { Expectations } from '../expectations.ts';
import { finishedCondition } from '../jobs.ts';
import type { JobCondition } from '../jobs.ts';
import { adoptPatch, claim, controllerReference, indexByController, isActive, isNamespaceTerminating, isReady, releasePatch, sameMap } from '../pods.ts';
import { slowStart } from '../replicaset/reconcile.ts';
import { addIndexes, countIndexes, formatIndexes, hasIndex, parseIndexes } from './indexes.ts';
import type { Intervals } from './indexes.ts';
import {
  backoffInMs, backoffLimit, countReleased, deadlineInMs, delayedPods, draftOf, failJobMessage, failedIndexes, hasFinalizer, indexBackoffInMs,
  indexesToStart, isIndexed, isPodFailed, isTerminating, matchFailurePolicy, matchSuccessPolicy, newCondition, newFinished, nextBackoff,
  pastBackoffLimitOnFailure, podBody, podsForRemoval, replacesOnlyFailed, setCondition, statusOf, succeededIndexes, trackingFinalizer, trueCondition,
  uidOf, validIndex, wantedActive,
} from './reconcile.ts';
import type { Backoff, Draft, View } from './reconcile.ts';

const account = 'job-controller';
/** Changes of a job's pods within this time are looked at together. */
const batchMs = 200;
const maxUncounted = 500;
const maxPerSync = 500;
const removeFinalizer = { '$deleteFromPrimitiveList/finalizers': [trackingFinalizer] };

/** One look at a job: what was found, and the status that is being made of it. */
interface Sync {
  key: string;
  job: Job;
  reference: OwnerReference;
  view: View;
  draft: Draft;
  backoff: Backoff;
  succeeded: number;
  succeededBefore: Intervals;
  succeededIndexes: Intervals;
  failedIndexes: Intervals | undefined;
  delayed: ReadonlyMap<number, Pod>;
  finished: JobCondition | undefined;
  active: number;
  ready: number;
  terminating: number;
  requeueAfterMs: number | undefined;
  signal: AbortSignal;
}

export function createJobController({ config, informers, clientFor, recorderFor, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'job', baseMs: 1000, maxMs: 60_000 });
  const orphans = createWorkQueue({ name: 'job_orphan_pod', baseMs: 1000, maxMs: 60_000 }); // keys of pods nobody counts any more
  const allJobs = informers.for(jobs);
  const allPods = informers.for(pods);
  indexByController(allPods);
  const client = clientFor(account);
  const recorder = recorderFor('job-controller', account);
  const expectations = new Expectations(now);
  const released = new Map<string, Set<string>>(); // by job: pods without the finalizer that the cache still shows with it
  const backoffs = new Map<string, Backoff>();
  const written = new Map<string, string>(); // by job: resourceVersion of the last status written

  function forget(key: string): void {
    expectations.forget(key);
    for (const memory of [released, backoffs, written]) memory.delete(key);
  }
  function enqueueOrphans(job: Job): void {
    for (const pod of allPods.byIndex('controller', job.metadata.uid ?? '')) if (hasFinalizer(pod)) orphans.add(keyOf(pod));
  }

  allJobs.onChange((change) => {
    const job = change.object;
    const key = keyOf(job);
    if (change.type === 'deleted') {
      forget(key);
      enqueueOrphans(job);
    } else if (change.type === 'updated' && finishedCondition(job)) {
      forget(key);
      enqueueOrphans(job);
    } else if (change.type === 'updated' && change.old.metadata.generation === job.metadata.generation) queue.addAfter(key, batchMs);
    else queue.add(key);
  });

  function jobOf(pod: Pod): Job | undefined {
    const reference = controllerOf(pod);
    if (reference?.kind !== 'Job') return undefined;
    const job = allJobs.get(pod.metadata.namespace ?? '', reference.name);
    return job?.metadata.uid === reference.uid ? job : undefined;
  }
  function enqueueMatching(pod: Pod): void {
    if (!pod.metadata.labels) return;
    for (const job of allJobs.list(pod.metadata.namespace)) {
      const selector = labelSelectorFromObject(job.spec?.selector);
      if (selector.requirements.length > 0 && selector.matches(pod.metadata.labels)) queue.addAfter(keyOf(job), batchMs);
    }
  }
  allPods.onChange((change) => {
    const pod = change.object;
    const job = jobOf(pod);
    const going = change.type === 'deleted' || pod.metadata.deletionTimestamp !== undefined;
    if (hasFinalizer(pod) && change.type !== 'deleted') {
      // With a controller that is unknown here the job may only be late: the worker looks again.
      if (!controllerOf(pod) || (going && (!job || finishedCondition(job)))) orphans.add(keyOf(pod));
    } else if (job) released.get(keyOf(job))?.delete(uidOf(pod));
    if (change.type === 'updated' && controllerOf(change.old)?.uid !== controllerOf(pod)?.uid) {
      const previous = jobOf(change.old);
      if (previous) {
        released.get(keyOf(previous))?.delete(uidOf(pod));
        queue.addAfter(keyOf(previous), batchMs);
      }
    }
    if (job) {
      const key = keyOf(job);
      if (change.type === 'deleted') released.get(key)?.delete(uidOf(pod));
      if (going) expectations.deleted(key, keyOf(pod));
      else if (change.type === 'added') expectations.created(key);
      queue.addAfter(key, batchMs);
    } else if (!going && !controllerOf(pod) && (change.type === 'added' || !sameMap(change.old.metadata.labels, pod.metadata.labels) || controllerOf(change.old))) {
      enqueueMatching(pod);
    }
  });

  async function releaseOrphan(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const pod = allPods.get(namespace, name);
    if (!pod || !hasFinalizer(pod)) return;
    const reference = controllerOf(pod);
    if (reference) {
      if (reference.kind !== jobs.kind || reference.apiVersion !== 'batch/v1') return;
      const job = jobOf(pod);
      if (job && (managedElsewhere(job) || !finishedCondition(job))) return;
    }
    await client.patch(pods, namespace, name, 'strategic', { metadata: { uid: uidOf(pod), ...removeFinalizer } }, signal).catch((error: unknown) => {
      if (!isNotFound(error) && !isConflict(error)) throw error; // gone, or made anew under the name
    });
  }

  async function podsOf(job: Job, reference: OwnerReference, signal: AbortSignal): Promise<Pod[]> {
    const { namespace = '', name = '', uid = '' } = job.metadata;
    const mine = await claim<Pod>({
      owner: job, selector: labelSelectorFromObject(job.spec?.selector),
      candidates: [...allPods.byIndex('controller', uid), ...allPods.byIndex('controller', `orphan/${namespace}`)],
      mayAdopt: async () => {
        const fresh = await client.get(jobs, namespace, name, signal);
        return fresh.metadata.uid === uid && fresh.metadata.deletionTimestamp === undefined;
      },
      adopt: async (pod) => {
        const { metadata } = adoptPatch(pod, reference) as { metadata: object };
        await client.patch(pods, namespace, pod.metadata.name ?? '', 'strategic', { metadata: { ...metadata, finalizers: [trackingFinalizer] } }, signal);
      },
      release: async (pod) => {
        const { metadata } = releasePatch(pod, uid) as { metadata: object };
        await client.patch(pods, namespace, pod.metadata.name ?? '', 'strategic', { metadata: { ...metadata, ...removeFinalizer } }, signal).catch((error: unknown) => {
          if (!isNotFound(error) && !isConflict(error)) throw error;
        });
      },
    });
    return mine.map((pod) => (controllerOf(pod) || hasFinalizer(pod) ? pod // just adopted ones have the finalizer, the cache does not know yet
      : { ...pod, metadata: { ...pod.metadata, finalizers: [...(pod.metadata.finalizers ?? []), trackingFinalizer] } }));
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const job = allJobs.get(namespace, name);
    if (!job?.spec || managedElsewhere(job)) return;
    if (finishedCondition(job)) {
      forget(key);
      return;
    }
    if (isOlder(job.metadata.resourceVersion, written.get(key))) return; // the update that was written comes and asks again
    const { spec } = job;
    if (spec.completionMode !== undefined && spec.completionMode !== 'NonIndexed' && spec.completionMode !== 'Indexed') {
      recorder.event(job, 'Warning', 'UnknownCompletionMode', 'Skipped Job sync because completion mode is unknown');
      return;
    }
    const satisfied = expectations.satisfied(key);
    const reference = controllerReference(job, jobs);
    const own = await podsOf(job, reference, signal);
    const draft = draftOf(job.status ?? {});
    const view: View = {
      spec, pods: own, active: own.filter(isActive), expected: new Set(released.get(key)),
      uncounted: { succeeded: new Set(draft.uncounted.succeeded), failed: new Set(draft.uncounted.failed) },
    };
    const fresh = newFinished(view);
    const failed = draft.failed + view.uncounted.failed.size + fresh.failed.filter((pod) => matchFailurePolicy(spec.podFailurePolicy, pod).counts).length;
    const sync: Sync = {
      key, job, reference, view, draft, signal,
      backoff: nextBackoff(backoffs.get(key), fresh.succeeded, fresh.failed),
      succeeded: draft.succeeded + view.uncounted.succeeded.size + fresh.succeeded.length,
      succeededBefore: [], succeededIndexes: [], failedIndexes: undefined, delayed: new Map(), finished: undefined,
      active: view.active.length, ready: view.active.filter(isReady).length, terminating: own.filter(isTerminating).length, requeueAfterMs: undefined,
    };
    if (spec.suspend !== true) draft.startTime ??= rfc3339(now());
    if (isIndexed(spec)) {
      sync.succeededBefore = parseIndexes(draft.completedIndexes, spec.completions ?? 0);
      sync.succeededIndexes = succeededIndexes(view, sync.succeededBefore);
      sync.succeeded = countIndexes(sync.succeededIndexes);
      if (spec.backoffLimitPerIndex !== undefined) {
        sync.failedIndexes = failedIndexes(view, parseIndexes(draft.failedIndexes, spec.completions ?? 0));
        sync.delayed = delayedPods(view, sync.succeededIndexes, sync.failedIndexes);
      }
    }
    sync.finished = decideEnd(sync, failed);
    let failure: Error | undefined;
    let suspensionChanged = false;
    if (sync.finished) {
      const result = await deletePods(sync, view.active, false);
      if (result.deleted !== view.active.length || !satisfied) sync.finished = undefined; // pods may be left that nobody counted
      failure = result.failure;
    } else {
      const manage = satisfied && job.metadata.deletionTimestamp === undefined;
      if (manage) failure = await managePods(sync);
      const { completions } = spec;
      const complete = sync.active === 0 && (completions === undefined ? sync.succeeded > 0 : sync.succeeded >= completions);
      if (complete) sync.finished = newCondition('SuccessCriteriaMet', 'CompletionsReached', 'Reached expected number of succeeded pods', now());
      else if (manage) suspensionChanged = noteSuspension(sync);
    }
    const changed = suspensionChanged || draft.active !== sync.active || draft.ready !== sync.ready || draft.terminating !== sync.terminating;
    Object.assign(draft, { active: sync.active, ready: sync.ready, terminating: sync.terminating });
    await track(sync, changed);
    if (failure) throw failure;
    const deadline = sync.finished ? undefined : deadlineInMs(spec, draft, now());
    const next = Math.min(sync.requeueAfterMs ?? Infinity, deadline ?? Infinity);
    if (next < Infinity) return { requeueAfterMs: Math.max(next, batchMs) };
  }

  /** Ends decided earlier come first, then failures, then the success policy. */
  function decideEnd({ view, job, draft, succeededIndexes: succeeded, failedIndexes: failedOnes }: Sync, failed: number): JobCondition | undefined {
    const { spec, pods: own } = view;
    const met = trueCondition(draft.conditions, 'SuccessCriteriaMet');
    if (met) return met;
    const target = trueCondition(draft.conditions, 'FailureTarget');
    if (target) return newCondition('Failed', target.reason ?? '', target.message ?? '', now());
    const failing = (reason: string, message: string): JobCondition => newCondition('FailureTarget', reason, message, now());
    const policyMessage = failJobMessage(spec, own);
    if (policyMessage !== undefined) return failing('PodFailurePolicy', policyMessage);
    if (failed > backoffLimit(spec) || pastBackoffLimitOnFailure(spec, own)) return failing('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
    if ((deadlineInMs(spec, job.status ?? {}, now()) ?? 1) <= 0) return failing('DeadlineExceeded', 'Job was active longer than specified deadline');
    if (!isIndexed(spec)) return undefined;
    const failedCount = countIndexes(failedOnes ?? []);
    if (spec.maxFailedIndexes !== undefined && failedCount > spec.maxFailedIndexes) {
      return failing('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes');
    }
    if (failedCount > 0 && failedCount + countIndexes(succeeded) >= (spec.completions ?? 0)) return failing('FailedIndexes', 'Job has failed indexes');
    const policy = matchSuccessPolicy(spec, succeeded);
    return policy === undefined ? undefined : newCondition('SuccessCriteriaMet', 'SuccessPolicy', policy, now());
  }

  function noteSuspension({ job, draft, view: { spec } }: Sync): boolean {
    const suspended = spec.suspend === true;
    const [reason, message] = suspended ? ['JobSuspended', 'Job suspended'] : ['JobResumed', 'Job resumed'];
    if (!setCondition(draft.conditions, newCondition('Suspended', reason!, message!, now(), suspended ? 'True' : 'False'))) return false;
    recorder.event(job, 'Normal', suspended ? 'Suspended' : 'Resumed', message!);
    draft.startTime = suspended ? undefined : rfc3339(now()); // the deadline counts from the last start
    return true;
  }

  /** Starts or removes pods, never both in one look. */
  async function managePods(sync: Sync): Promise<Error | undefined> {
    const { key, job, view, signal } = sync;
    const { spec, active } = view;
    const wanted = spec.suspend === true ? 0 : wantedActive(view, sync.succeeded);
    const surplus = podsForRemoval(view, Math.max(0, active.length - wanted), now()).slice(0, maxPerSync);
    if (surplus.length > 0) {
      expectations.expectDeletions(key, surplus.map(keyOf));
      return (await deletePods(sync, surplus, true)).failure;
    }
    if (spec.suspend === true) return undefined;
    let count = Math.min(wanted - active.length - (replacesOnlyFailed(spec) ? sync.terminating : 0), maxPerSync);
    if (count <= 0) return undefined;
    const perIndex = spec.backoffLimitPerIndex !== undefined;
    const wait = perIndex ? 0 : backoffInMs(sync.backoff, now());
    if (wait > 0) {
      sync.requeueAfterMs = wait;
      return undefined;
    }
    let indexes: number[] = [];
    if (isIndexed(spec)) {
      indexes = indexesToStart(view, count, sync.succeededIndexes, sync.failedIndexes ?? []);
      if (perIndex) {
        const waits = indexes.map((index) => indexBackoffInMs(sync.delayed.get(index), now()));
        const later = waits.filter((ms) => ms > 0);
        if (later.length > 0) sync.requeueAfterMs = Math.min(...later);
        indexes = indexes.filter((_, position) => waits[position] === 0);
      }
      count = indexes.length;
    }
    if (count === 0) return undefined;
    expectations.expectCreations(key, count);
    const { succeeded, failure } = await slowStart(count, async () => {
      const index = indexes.shift();
      const body = podBody(job, spec, sync.reference, index, index === undefined ? undefined : sync.delayed.get(index));
      try {
        const pod = await client.create(pods, job.metadata.namespace ?? '', body, signal);
        recorder.event(job, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
      } catch (error) {
        if (isNamespaceTerminating(error)) {
          expectations.created(key);
          return;
        }
        if (!signal.aborted) recorder.event(job, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`);
        throw error;
      }
    });
    expectations.created(key, count - succeeded); // what was not created will not be seen either
    sync.active += succeeded;
    return failure;
  }

  /** `release` takes the finalizer off first: pods that are not to be counted. Pods that are gone already count as deleted. */
  async function deletePods(sync: Sync, chosen: readonly Pod[], release: boolean): Promise<{ deleted: number; failure: Error | undefined }> {
    const { job, key, signal } = sync;
    const results = await Promise.allSettled(chosen.map(async (pod) => {
      const { namespace = '', name = '' } = pod.metadata;
      try {
        if (release && hasFinalizer(pod)) await client.patch(pods, namespace, name, 'strategic', { metadata: removeFinalizer }, signal);
        await client.delete(pods, namespace, name, {}, signal);
        recorder.event(job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
      } catch (error) {
        expectations.deleted(key, keyOf(pod));
        if (isNotFound(error)) return;
        if (!signal.aborted) recorder.event(job, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(error)}`);
        throw error;
      }
    }));
    const gone = chosen.filter((_, position) => results[position]?.status === 'fulfilled');
    sync.active -= gone.length;
    sync.terminating += gone.length;
    sync.ready -= gone.filter(isReady).length;
    return { deleted: gone.length, failure: firstFailure(results) };
  }

  /**
   * Writes ended pods into the status as uncounted, takes their finalizers off, and moves them into the counters. Whatever
   * step is the last before a crash, no pod is lost and none counted twice.
   */
  async function track(sync: Sync, changed: boolean): Promise<void> {
    const { key, job, view, draft, signal } = sync;
    const { spec } = view;
    const indexed = isIndexed(spec);
    const tracked = view.pods.filter((pod) => hasFinalizer(pod) && !view.expected.has(uidOf(pod)));
    if (indexed) tracked.sort((a, b) => (validIndex(spec, a) ?? -1) - (validIndex(spec, b) ?? -1));
    const withFinalizer = new Set(tracked.map(uidOf));
    let flush = countReleased(draft, withFinalizer) || changed;
    const toRelease: Pod[] = [];
    const newIndexes: number[] = [];
    let full = false;
    for (const pod of tracked) {
      const failed = isPodFailed(spec, pod);
      if (!mayRelease(sync, pod, failed)) continue;
      toRelease.push(pod);
      const index = validIndex(spec, pod);
      if (pod.status?.phase === 'Succeeded' && !view.uncounted.failed.has(uidOf(pod))) {
        if (!indexed && !view.uncounted.succeeded.has(uidOf(pod))) {
          draft.uncounted.succeeded.push(uidOf(pod));
          flush = true;
        } else if (index !== undefined && indexed && !hasIndex(sync.succeededBefore, index)) newIndexes.push(index);
      } else if (failed || (sync.finished && sync.finished.type !== 'SuccessCriteriaMet')) { // an end counts all that still ran as failed
        if (!view.uncounted.failed.has(uidOf(pod)) && (!indexed || index !== undefined) && matchFailurePolicy(spec.podFailurePolicy, pod).counts) {
          draft.uncounted.failed.push(uidOf(pod));
          flush = true;
        }
      }
      full = newIndexes.length + draft.uncounted.succeeded.length + draft.uncounted.failed.length >= maxUncounted;
      if (full) break;
    }
    if (indexed) {
      const all = addIndexes(sync.succeededIndexes, newIndexes);
      const completed = formatIndexes(all);
      const failedOnes = sync.failedIndexes && formatIndexes(sync.failedIndexes);
      flush ||= newIndexes.length > 0 || completed !== draft.completedIndexes || failedOnes !== draft.failedIndexes;
      Object.assign(draft, { succeeded: countIndexes(all), completedIndexes: completed, failedIndexes: failedOnes });
    }
    if (sync.finished?.type === 'FailureTarget' || sync.finished?.type === 'SuccessCriteriaMet') {
      // Written down before finalizers go, so that nobody decides otherwise afterwards.
      if (!trueCondition(draft.conditions, sync.finished.type)) {
        draft.conditions.push(sync.finished);
        flush = true;
      }
      sync.finished = newCondition(sync.finished.type === 'FailureTarget' ? 'Failed' : 'Complete', sync.finished.reason ?? '', sync.finished.message ?? '', now());
    }
    let current = job;
    if (flush) {
      current = await writeStatus(sync, current);
      backoffs.set(key, sync.backoff);
      flush = false;
    }
    const results = await Promise.allSettled(toRelease.map(async (pod) => {
      const { namespace = '', name = '' } = pod.metadata;
      expectRelease(key, uidOf(pod));
      try {
        await client.patch(pods, namespace, name, 'strategic', { metadata: removeFinalizer }, signal);
      } catch (error) {
        released.get(key)?.delete(uidOf(pod));
        if (!isNotFound(error)) throw error;
      }
      withFinalizer.delete(uidOf(pod));
    }));
    flush = countReleased(draft, withFinalizer);
    const failure = firstFailure(results);
    if (failure) {
      if (flush) await writeStatus(sync, current);
      throw failure;
    }
    const uncounted = draft.uncounted.succeeded.length + draft.uncounted.failed.length;
    const { finished } = sync;
    const ended = finished !== undefined && !full && uncounted === 0 && sync.terminating === 0;
    if (ended) {
      setCondition(draft.conditions, finished);
      if (finished.type === 'Complete') draft.completionTime = finished.lastTransitionTime;
    }
    if (flush || ended) await writeStatus(sync, current);
    if (!ended) return;
    if (finished.type !== 'Complete') {
      recorder.event(job, 'Warning', finished.reason ?? '', finished.message ?? '');
      return;
    }
    if (spec.completions !== undefined && draft.succeeded > spec.completions) {
      recorder.event(job, 'Warning', 'TooManySucceededPods', 'Too many succeeded pods running after completion count reached');
    }
    recorder.event(job, 'Normal', 'Completed', 'Job completed');
  }

  function mayRelease({ job, view: { spec }, finished, delayed }: Sync, pod: Pod, failed: boolean): boolean {
    if (job.metadata.deletionTimestamp !== undefined || finished || pod.status?.phase === 'Succeeded') return true;
    if (!failed) return false;
    const index = validIndex(spec, pod);
    return index === undefined || delayed.get(index) !== pod;
  }
  function expectRelease(key: string, uid: string): void {
    const expected = released.get(key) ?? new Set();
    released.set(key, expected.add(uid));
  }
  /** Fails with a conflict when the job has changed meanwhile: then everything is looked at again. */
  async function writeStatus({ key, draft, signal }: Sync, job: Job): Promise<Job> {
    const { namespace = '', name = '' } = job.metadata;
    const next = await client.update(jobs, namespace, name, { ...job, status: statusOf(draft) }, signal, { subresource: 'status' });
    written.set(key, next.metadata.resourceVersion ?? '');
    return next;
  }

  return {
    run: async (stop) => {
      const workers = config.concurrent.job;
      await Promise.all([
        runController({ name: 'job-controller', queue, workers, reconcile, maxRetries: Infinity }, stop),
        runController({ name: 'job-controller (orphan pods)', queue: orphans, workers, reconcile: releaseOrphan, maxRetries: Infinity }, stop),
      ]);
    },
  };
}

function managedElsewhere({ spec }: Job): boolean {
  return spec?.managedBy !== undefined && spec.managedBy !== 'kubernetes.io/job-controller';
}
function isOlder(cached: string | undefined, newest: string | undefined): boolean {
  return cached !== undefined && newest !== undefined && newest !== '' && BigInt(cached) < BigInt(newest);
}
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
function firstFailure(results: readonly PromiseSettledResult<unknown>[]): Error | undefined {
  const failed = results.find((result) => result.status === 'rejected');
  return failed && (failed.reason instanceof Error ? failed.reason : new Error(String(failed.reason)));
}
