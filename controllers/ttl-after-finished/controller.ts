// Deletes Jobs ttlSecondsAfterFinished after their end, and with them their pods.
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { jobs } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { finishedCondition } from '../jobs.ts';
import { expiresInMs } from './reconcile.ts';

export function createTtlAfterFinishedController({ config, informers, clientFor, metrics, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'ttl_jobs_to_delete' });
  const allJobs = informers.for(jobs);
  const client = clientFor('ttl-after-finished-controller');

  allJobs.onChange(({ type, object }) => {
    if (type !== 'deleted' && object.spec?.ttlSecondsAfterFinished !== undefined && finishedCondition(object)) queue.add(keyOf(object));
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const cached = allJobs.get(namespace, name);
    const wait = cached && expiresInMs(cached, now());
    if (wait === undefined) return;
    if (wait > 0) return { requeueAfterMs: wait };
    try {
      const fresh = await client.get(jobs, namespace, name, signal); // its time may have been extended a moment ago
      const left = expiresInMs(fresh, now());
      if (left === undefined) return;
      if (left > 0) return { requeueAfterMs: left };
      await client.delete(jobs, namespace, name, { propagationPolicy: 'Foreground', preconditions: { uid: fresh.metadata.uid ?? '' } }, signal);
      metrics.expiredJobSeconds.observe(-left / 1000);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  return { run: (stop) => runController({ name: 'ttl-after-finished-controller', queue, workers: config.concurrent.ttlAfterFinished, reconcile, maxRetries: Infinity }, stop) };
}
