// When a finished Job is to be deleted. Upstream: pkg/controller/ttlafterfinished.
import type { Job } from '#machinery/api/object.ts';
import { finishedCondition } from '../jobs.ts';

/** Milliseconds until the job's time is over (0 or less: it is); undefined when it stays. Throws when its end has no time. */
export function expiresInMs(job: Job, now: number): number | undefined {
  const ttl = job.spec?.ttlSecondsAfterFinished;
  const finished = finishedCondition(job);
  if (ttl === undefined || !finished || job.metadata.deletionTimestamp !== undefined) return undefined;
  const at = Date.parse(finished.lastTransitionTime ?? '');
  if (Number.isNaN(at)) throw new Error(`condition ${finished.type} does not say when the job finished`);
  return at + ttl * 1000 - now;
}
