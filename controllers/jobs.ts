// What several controllers ask of Jobs. Upstream: pkg/controller/job/util.
import type { Job } from '#machinery/api/object.ts';

export type JobCondition = NonNullable<NonNullable<Job['status']>['conditions']>[number];

/** The condition that says the job has ended, whichever way. */
export function finishedCondition(job: Job): JobCondition | undefined {
  return job.status?.conditions?.find(({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True');
}
