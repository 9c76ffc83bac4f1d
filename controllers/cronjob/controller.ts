// Starts a Job at each scheduled time and keeps the history of finished ones short.
// Upstream: pkg/controller/cronjob/cronjob_controllerv2.go.
import { apiVersionOf, controllerOf } from '#machinery/api/object.ts';
import type { CronJob, Job } from '#machinery/api/object.ts';
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import { rfc3339 } from '#machinery/base/clock.ts';
import { isTimeZone, parseSchedule } from '#machinery/base/cron.ts';
import type { Schedule } from '#machinery/base/cron.ts';
import { runController } from '#machinery/client/controller.ts';
import { cronJobs, jobs } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { finishedCondition } from '../jobs.ts';
import { controllerReference, isNamespaceTerminating, sameValue } from '../pods.ts';
import { dueTime, isTooLate, jobBody, jobName, jobsToForget, nextInMs } from './reconcile.ts';

const account = 'cronjob-controller';
type CronJobStatus = NonNullable<CronJob['status']>;
type Active = NonNullable<CronJobStatus['active']>;

export function createCronJobController({ config, informers, clientFor, recorderFor, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'cronjob' });
  const allCronJobs = informers.for(cronJobs);
  const allJobs = informers.for(jobs);
  allJobs.addIndex('cronjob', (job) => {
    const reference = controllerOf(job);
    return reference?.kind === cronJobs.kind ? [reference.uid] : [];
  });
  const client = clientFor(account);
  const recorder = recorderFor('cronjob-controller', account);

  allCronJobs.onChange(({ object }) => queue.add(keyOf(object)));
  function enqueueOwner(job: Job): void {
    const reference = controllerOf(job);
    if (reference?.kind === cronJobs.kind) queue.add(keyOf({ metadata: { namespace: job.metadata.namespace ?? '', name: reference.name } }));
  }
  allJobs.onChange((change) => {
    enqueueOwner(change.object);
    if (change.type === 'updated' && controllerOf(change.old)?.uid !== controllerOf(change.object)?.uid) enqueueOwner(change.old);
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const cronJob = allCronJobs.get(namespace, name);
    if (!cronJob?.spec) return;
    const own = allJobs.byIndex('cronjob', cronJob.metadata.uid ?? '');
    const status: CronJobStatus = { ...cronJob.status, active: [...(cronJob.status?.active ?? [])] };
    for (const job of jobsToForget(cronJob, own)) await remove(cronJob, status, job, signal);
    let result: ReconcileResult | void;
    try {
      result = await sync(cronJob, status, own, signal);
    } finally {
      // What was noted stays true whatever failed afterwards.
      if (!sameValue(status, { ...cronJob.status, active: cronJob.status?.active ?? [] })) await writeStatus(cronJob, status, signal);
    }
    return result;
  }

  /** One look: notes what its jobs do, and starts the next when it is due. Changes `status`. */
  async function sync(cronJob: CronJob, status: CronJobStatus, own: readonly Job[], signal: AbortSignal): Promise<ReconcileResult | void> {
    const at = now();
    for (const job of own) await note(cronJob, status, job, signal);
    await dropMissing(cronJob, status, own, signal);
    const { spec } = cronJob;
    if (cronJob.metadata.deletionTimestamp !== undefined || !spec) return;
    if (spec.timeZone !== undefined && !isTimeZone(spec.timeZone)) {
      recorder.event(cronJob, 'Warning', 'UnknownTimeZone', `invalid timeZone: ${JSON.stringify(spec.timeZone)}: unknown time zone ${spec.timeZone}`);
      return;
    }
    if (spec.suspend === true) return;
    const schedule = scheduleOf(cronJob, spec);
    if (!schedule) return;
    const wait = nextInMs({ ...cronJob, status }, schedule, at);
    const later: ReconcileResult = wait === undefined ? {} : { requeueAfterMs: wait };
    let due;
    try {
      due = dueTime({ ...cronJob, status }, schedule, at);
    } catch (error) {
      recorder.event(cronJob, 'Warning', 'InvalidSchedule', `invalid schedule: ${spec.schedule} : ${messageOf(error)}`);
      return;
    }
    if (due.at === undefined) return later;
    if (due.tooManyMissed) {
      recorder.event(cronJob, 'Warning', 'TooManyMissedTimes', 'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew');
    }
    if (isTooLate(cronJob, due.at, at)) {
      recorder.event(cronJob, 'Warning', 'MissSchedule', `Missed scheduled time to start a job: ${rfc1123(due.at)}`);
      return later;
    }
    const active = status.active ?? [];
    const next = jobName(cronJob, due.at);
    if (active.some((job) => job.name === next) || status.lastScheduleTime === rfc3339(due.at)) return later;
    if (spec.concurrencyPolicy === 'Forbid' && active.length > 0) {
      recorder.event(cronJob, 'Normal', 'JobAlreadyActive', 'Not starting job because prior execution is running and concurrency policy is Forbid');
      return later;
    }
    if (spec.concurrencyPolicy === 'Replace') await replaceActive(cronJob, status, active, signal);
    const job = await start(cronJob, due.at, signal);
    if (!job || status.active?.some(({ uid }) => uid === job.metadata.uid)) return later;
    const { namespace = '', name = '', uid = '', resourceVersion = '' } = job.metadata;
    status.active = [...(status.active ?? []), { apiVersion: apiVersionOf(jobs.group, jobs.version), kind: jobs.kind, namespace, name, uid, resourceVersion }];
    status.lastScheduleTime = rfc3339(due.at);
    const following = nextInMs({ ...cronJob, status }, schedule, at);
    return following === undefined ? {} : { requeueAfterMs: following };
  }

  async function note(cronJob: CronJob, status: CronJobStatus, job: Job, signal: AbortSignal): Promise<void> {
    const { name = '', uid = '' } = job.metadata;
    const listed = isActiveIn(status, uid);
    const finished = finishedCondition(job);
    if (!finished) {
      if (listed) return;
      const fresh = await client.get(cronJobs, cronJob.metadata.namespace ?? '', cronJob.metadata.name ?? '', signal);
      if (isActiveIn(fresh.status ?? {}, uid)) return; // the cache is behind the status this controller wrote
      recorder.event(cronJob, 'Warning', 'UnexpectedJob', `Saw a job that the controller did not create or forgot: ${name}`);
      return;
    }
    if (listed) {
      dropActive(status, uid);
      recorder.event(cronJob, 'Normal', 'SawCompletedJob', `Saw completed job: ${name}, condition: ${finished.type}`);
    }
    const completed = job.status?.completionTime;
    if (finished.type === 'Complete' && completed !== undefined && completed > (status.lastSuccessfulTime ?? '')) status.lastSuccessfulTime = completed;
  }

  /** The API server is asked, not the cache: a job just created may not be in it yet. */
  async function dropMissing(cronJob: CronJob, status: CronJobStatus, own: readonly Job[], signal: AbortSignal): Promise<void> {
    const known = new Set(own.map((job) => job.metadata.uid));
    for (const { namespace = '', name = '', uid = '' } of [...(status.active ?? [])]) {
      if (known.has(uid)) continue;
      try {
        await client.get(jobs, namespace, name, signal);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        recorder.event(cronJob, 'Normal', 'MissingJob', `Active job went missing: ${name}`);
        dropActive(status, uid);
      }
    }
  }

  function scheduleOf(cronJob: CronJob, { schedule, timeZone }: NonNullable<CronJob['spec']>): Schedule | undefined {
    if (schedule.includes('TZ')) {
      recorder.event(cronJob, 'Warning', 'UnsupportedSchedule', `CRON_TZ or TZ used in schedule ${JSON.stringify(schedule)} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details`);
    }
    try {
      return parseSchedule(schedule, timeZone);
    } catch (error) {
      recorder.event(cronJob, 'Warning', 'UnparseableSchedule', `unparseable schedule: ${JSON.stringify(schedule)} : ${messageOf(error)}`);
      return undefined;
    }
  }

  async function replaceActive(cronJob: CronJob, status: CronJobStatus, active: Active, signal: AbortSignal): Promise<void> {
    for (const { namespace = '', name = '' } of [...active]) {
      let job;
      try {
        job = await client.get(jobs, namespace, name, signal);
      } catch (error) {
        recorder.event(cronJob, 'Warning', 'FailedGet', `Get job: ${messageOf(error)}`);
        throw error;
      }
      if (!(await remove(cronJob, status, job, signal))) throw new Error(`could not replace job ${namespace}/${name}`);
    }
  }

  /** Deletes a job; answers whether that was possible. */
  async function remove(cronJob: CronJob, status: CronJobStatus, job: Job, signal: AbortSignal): Promise<boolean> {
    const { namespace = '', name = '', uid = '' } = job.metadata;
    try {
      await client.delete(jobs, namespace, name, { propagationPolicy: 'Background' }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      recorder.event(cronJob, 'Warning', 'FailedDelete', `Deleted job: ${messageOf(error)}`);
      return false;
    }
    dropActive(status, uid);
    recorder.event(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`);
    return true;
  }

  /** The job of that time, also when it is there already; undefined when the name belongs to somebody else's job. */
  async function start(cronJob: CronJob, at: number, signal: AbortSignal): Promise<Job | undefined> {
    const { namespace = '' } = cronJob.metadata;
    try {
      const job = await client.create(jobs, namespace, jobBody(cronJob, at, controllerReference(cronJob, cronJobs)), signal);
      recorder.event(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${job.metadata.name}`);
      return job;
    } catch (error) {
      if (isAlreadyExists(error)) {
        const job = await client.get(jobs, namespace, jobName(cronJob, at), signal);
        return controllerOf(job)?.uid === cronJob.metadata.uid ? job : undefined;
      }
      if (!isNamespaceTerminating(error) && !signal.aborted) recorder.event(cronJob, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`);
      throw error;
    }
  }

  async function writeStatus(cronJob: CronJob, status: CronJobStatus, signal: AbortSignal): Promise<void> {
    const { active, ...rest } = status;
    const body = { ...cronJob, status: { ...rest, ...(active && active.length > 0 ? { active } : {}) } };
    await client.update(cronJobs, cronJob.metadata.namespace ?? '', cronJob.metadata.name ?? '', body, signal, { subresource: 'status' });
  }

  return { run: (stop) => runController({ name: 'cronjob-controller', queue, workers: config.concurrent.cronJob, reconcile, maxRetries: Infinity }, stop) };
}

function isActiveIn(status: CronJobStatus, uid: string): boolean {
  return status.active?.some((job) => job.uid === uid) === true;
}
function dropActive(status: CronJobStatus, uid: string): void {
  status.active = (status.active ?? []).filter((job) => job.uid !== uid);
}
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
/** `Mon, 02 Jan 2006 15:04:05 +0000`, as upstream's event says it. */
function rfc1123(at: number): string {
  return new Date(at).toUTCString().replace('GMT', '+0000');
}
