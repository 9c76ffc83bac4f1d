import { expect } from 'chai';
import type { CronJob, Job } from '#machinery/api/object.ts';
import { parseSchedule } from '#machinery/base/cron.ts';
import { dueTime, isTooLate, jobBody, jobsToForget, nextInMs, timeInZone } from './reconcile.ts';

const at = (time: string): number => Date.parse(`2026-01-01T${time}Z`);
const hourly = parseSchedule('0 * * * *', 'UTC');
function cronJob({ last, deadline, ...more }: { last?: string; deadline?: number; limits?: [number, number]; timeZone?: string } = {}): CronJob {
  const [successfulJobsHistoryLimit, failedJobsHistoryLimit] = more.limits ?? [3, 1];
  return {
    metadata: { name: 'c', namespace: 'n', uid: 'u', creationTimestamp: '2026-01-01T10:30:00Z' },
    spec: {
      schedule: '0 * * * *', successfulJobsHistoryLimit, failedJobsHistoryLimit, jobTemplate: { metadata: { labels: { a: 'b' } }, spec: { template: {} } },
      ...(deadline === undefined ? {} : { startingDeadlineSeconds: deadline }), ...(more.timeZone === undefined ? {} : { timeZone: more.timeZone }),
    },
    status: last === undefined ? {} : { lastScheduleTime: `2026-01-01T${last}Z` },
  };
}

describe('dueTime()', () => {
  const rows: [title: string, of: CronJob, now: string, due: string | undefined][] = [
    ['is nothing before the first time', cronJob(), '10:59:59', undefined],
    ['counts from the creation', cronJob(), '11:00:00', '11:00:00'],
    ['counts from the last schedule', cronJob({ last: '11:00:00' }), '11:59:00', undefined],
    ['is the latest of several missed', cronJob(), '14:10:00', '14:00:00'],
    ['does not look back beyond the deadline', cronJob({ deadline: 60 }), '14:10:00', undefined],
    ['looks back as far as the deadline', cronJob({ deadline: 900 }), '14:10:00', '14:00:00'],
  ];
  for (const [title, of, now, due] of rows) it(title, () => expect(dueTime(of, hourly, at(now))).to.deep.equal({ at: due === undefined ? undefined : at(due), tooManyMissed: false }));
  it('tells when more than a hundred were missed', () => {
    expect(dueTime(cronJob(), parseSchedule('* * * * *', 'UTC'), at('12:10:00'))).to.deep.equal({ at: at('12:10:00'), tooManyMissed: false });
    expect(dueTime(cronJob(), parseSchedule('* * * * *', 'UTC'), at('12:30:00'))).to.deep.equal({ at: at('12:30:00'), tooManyMissed: true });
  });
  it('fails for a schedule that is never due', () => {
    const never = parseSchedule('0 0 31 2 *', 'UTC');
    expect(() => dueTime(cronJob(), never, at('12:00:00'))).to.throw('never due');
    expect(nextInMs(cronJob(), never, at('12:00:00'))).to.equal(undefined);
  });
});

it('nextInMs() is a little after the next time', () => {
  expect(nextInMs(cronJob(), hourly, at('10:40:00'))).to.equal(20 * 60_000 + 100);
  expect(nextInMs(cronJob({ last: '11:00:00' }), hourly, at('11:00:05'))).to.equal(60 * 60_000 - 5000 + 100);
  expect(nextInMs(cronJob(), hourly, at('14:10:00'))).to.equal(50 * 60_000 + 100);
});
it('isTooLate() goes by the starting deadline', () => {
  expect(isTooLate(cronJob({ deadline: 10 }), at('11:00:00'), at('11:00:10'))).to.equal(false);
  expect(isTooLate(cronJob({ deadline: 10 }), at('11:00:00'), at('11:00:11'))).to.equal(true);
  expect(isTooLate(cronJob(), at('11:00:00'), at('23:00:00'))).to.equal(false);
});
it('jobBody() is named by the minute and says for when it is', () => {
  const reference = { apiVersion: 'batch/v1', kind: 'CronJob', name: 'c', uid: 'u', controller: true, blockOwnerDeletion: true };
  expect(jobBody(cronJob({ timeZone: 'Europe/Berlin' }), at('11:00:00'), reference)).to.deep.equal({
    apiVersion: 'batch/v1', kind: 'Job',
    metadata: {
      name: `c-${at('11:00:00') / 60_000}`, namespace: 'n', labels: { a: 'b' }, ownerReferences: [reference],
      annotations: { 'batch.kubernetes.io/cronjob-scheduled-timestamp': '2026-01-01T12:00:00+01:00' },
    },
    spec: { template: {} },
  });
});
it('timeInZone() writes the offset of that moment', () => {
  expect(timeInZone(at('11:00:00'), undefined)).to.equal('2026-01-01T11:00:00Z');
  expect(timeInZone(at('11:00:00'), 'Europe/London')).to.equal('2026-01-01T11:00:00Z');
  expect(timeInZone(at('02:00:00'), 'America/St_Johns')).to.equal('2025-12-31T22:30:00-03:30');
});

describe('jobsToForget()', () => {
  const job = (name: string, type: string | undefined, startTime?: string): Job => ({
    metadata: { name }, status: { ...(startTime === undefined ? {} : { startTime: `2026-01-01T${startTime}Z` }), conditions: type === undefined ? [] : [{ type, status: 'True' }] },
  });
  const all = [job('new', 'Complete', '12:00:00'), job('never-started', 'Failed'), job('old', 'Complete', '11:00:00'), job('runs', undefined, '10:00:00'), job('failed', 'Failed', '11:30:00')];
  const forgotten = (limits: [number, number]): unknown => jobsToForget(cronJob({ limits }), all).map(({ metadata }) => metadata.name);
  it('takes the oldest of each outcome', () => expect(forgotten([1, 1])).to.deep.equal(['old', 'failed']));
  it('takes all that finished with a limit of 0', () => expect(forgotten([0, 0])).to.deep.equal(['old', 'new', 'failed', 'never-started']));
  it('takes none within the limits', () => expect(forgotten([2, 2])).to.deep.equal([]));
});
