// When a CronJob starts its next Job and which of its finished ones go, without I/O. Upstream: pkg/controller/cronjob.
import type { CronJob, Job, OwnerReference } from '#machinery/api/object.ts';
import { rfc3339 } from '#machinery/base/clock.ts';
import type { Schedule } from '#machinery/base/cron.ts';
import { finishedCondition } from '../jobs.ts';

const deltaMs = 100; // upstream's margin, so that the clock is surely past the minute
const manyMissed = 100;
const scheduledKey = 'batch.kubernetes.io/cronjob-scheduled-timestamp';

interface MostRecent { earliest: number; at: number | undefined; missed: number }

/** The latest scheduled time that is not after now. Throws when the schedule has no two distinct times ahead. */
function mostRecent(cronJob: CronJob, schedule: Schedule, now: number, withDeadline: boolean): MostRecent {
  const { spec, status, metadata } = cronJob;
  let earliest = Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp ?? '') || 0;
  if (withDeadline && spec?.startingDeadlineSeconds !== undefined) earliest = Math.max(earliest, now - spec.startingDeadlineSeconds * 1000);
  const first = schedule.next(earliest);
  if (first === undefined) throw new Error('the schedule is never due');
  if (now < first) return { earliest, at: undefined, missed: 0 };
  const second = schedule.next(first);
  if (second === undefined) throw new Error('the schedule is never due again');
  if (now < second) return { earliest, at: first, missed: 0 };
  // Of many missed times only the last matters: jump near it instead of walking through all.
  const distance = second - first;
  const missed = Math.floor((now - first) / distance) + 1;
  let at: number | undefined;
  for (let next = schedule.next(first + (missed - 2) * distance); next !== undefined && next <= now; next = schedule.next(next)) at = next;
  return { earliest, at, missed };
}

export interface Due { at: number | undefined; tooManyMissed: boolean }

/** The time a job is due for, if one is. Throws like the schedule. */
export function dueTime(cronJob: CronJob, schedule: Schedule, now: number): Due {
  const { at, missed } = mostRecent(cronJob, schedule, now, true);
  return { at, tooManyMissed: at !== undefined && missed > manyMissed };
}
/** Milliseconds until the schedule must be looked at again; undefined when it is never due. */
export function nextInMs(cronJob: CronJob, schedule: Schedule, now: number): number | undefined {
  let from = now;
  try {
    const { earliest, at, missed } = mostRecent(cronJob, schedule, now, false);
    from = at ?? (missed === 0 ? earliest : now);
  } catch {
    // No two times ahead: one may be left.
  }
  const next = schedule.next(from);
  return next === undefined ? undefined : Math.max(0, next + deltaMs - now);
}

export function isTooLate(cronJob: CronJob, at: number, now: number): boolean {
  const deadline = cronJob.spec?.startingDeadlineSeconds;
  return deadline !== undefined && at + deadline * 1000 < now;
}
export function jobName(cronJob: CronJob, at: number): string {
  return `${cronJob.metadata.name}-${Math.floor(at / 60_000)}`;
}
export function jobBody(cronJob: CronJob, at: number, reference: OwnerReference): object {
  const { metadata, spec } = cronJob.spec?.jobTemplate ?? {};
  return {
    apiVersion: 'batch/v1', kind: 'Job',
    metadata: {
      name: jobName(cronJob, at), namespace: cronJob.metadata.namespace, ownerReferences: [reference],
      ...(metadata?.labels ? { labels: metadata.labels } : {}),
      annotations: { ...metadata?.annotations, [scheduledKey]: timeInZone(at, cronJob.spec?.timeZone) },
    },
    spec,
  };
}
/** RFC 3339 with the zone's offset; UTC without a zone. */
export function timeInZone(at: number, timeZone: string | undefined): string {
  if (timeZone === undefined || timeZone === '' || timeZone === 'UTC') return rfc3339(at);
  const zoned = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' }).formatToParts(at);
  const offset = /([+-])(\d\d):(\d\d)/.exec(zoned.find(({ type }) => type === 'timeZoneName')?.value ?? '');
  if (!offset) return rfc3339(at);
  const minutes = (Number(offset[2]) * 60 + Number(offset[3])) * (offset[1] === '-' ? -1 : 1);
  return rfc3339(at + minutes * 60_000).replace('Z', minutes === 0 ? 'Z' : offset[0]);
}

/** Finished jobs beyond the history limits, the oldest of each outcome. */
export function jobsToForget(cronJob: CronJob, jobs: readonly Job[]): Job[] {
  const { successfulJobsHistoryLimit: successful, failedJobsHistoryLimit: failed } = cronJob.spec ?? {};
  return [...surplus(jobs, 'Complete', successful), ...surplus(jobs, 'Failed', failed)];
}
function surplus(jobs: readonly Job[], outcome: string, limit: number | undefined): Job[] {
  if (limit === undefined) return [];
  const finished = jobs.filter((job) => finishedCondition(job)?.type === outcome).sort(byStart);
  return finished.slice(0, Math.max(0, finished.length - limit));
}
/** Jobs that never started are the youngest. */
function byStart(a: Job, b: Job): number {
  const start = ({ status }: Job): number => (status?.startTime === undefined ? Infinity : Date.parse(status.startTime));
  if (start(a) === start(b)) return (a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1;
  return start(a) < start(b) ? -1 : 1;
}
