// The scheduler as a component: one client, leader election, the loop. Reading path: queue.ts -> cycle.ts -> scheduler.ts (bind).
import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import { runEntry } from '#machinery/base/entry.ts';
import type { Entry } from '#machinery/base/entry.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import { createClient } from '#machinery/client/client.ts';
import { flags, readConfig, type SchedulerConfig } from './config.ts';
import { Scheduler } from './scheduler.ts';

const log = createLogger('scheduler');

/** Runs until the signal aborts; `onReady` once the informers have synced. Rejects when leadership is lost. */
export async function run(config: SchedulerConfig, signal: AbortSignal, onReady?: () => void): Promise<void> {
  const client = createClient(config.client);
  try {
    const extenders = config.extenders.length > 0 ? (await import('./extender.ts')).createExtenders(config.extenders) : [];
    const scheduler = new Scheduler({ ...config, client, extenders });
    const group = createTaskGroup(signal);
    let synced = false;
    const { serving } = config;
    if (serving) {
      const { serve } = await import('#machinery/serving/serve.ts');
      const pages = { ready: () => [['informer-sync', synced ? undefined : 'informers have not synced'] as const], metrics: () => scheduler.metrics.registry.render() };
      group.start('serving', (own) => serve('kube-scheduler', serving, client, pages, own, (port) => log.info('serving health and metrics', { address: serving.address, port })));
    }
    group.start('informers', (own) => scheduler.cluster.run(own));
    group.start('scheduling', async (own) => {
      await scheduler.cluster.waitForSync(own);
      synced = true;
      onReady?.();
      if (!config.leaderElect) return scheduler.run(own);
      const { runAsLeader } = await import('#machinery/client/lease.ts');
      const { leaseNamespace: namespace, leaseName: name, leaseDurationMs, renewDeadlineMs, retryPeriodMs } = config;
      const identity = `${hostname()}_${randomUUID()}`;
      await runAsLeader({ client, namespace, name, identity, leaseDurationMs, renewDeadlineMs, retryPeriodMs }, async (leading) => {
        const led = scheduler.metrics.leading.with(name);
        led.value = 1;
        await scheduler.run(leading).finally(() => (led.value = 0));
      }, own);
    });
    await group.wait();
  } finally {
    client.close();
  }
}

/** `proa scheduler`. */
export const entry: Entry = {
  name: 'scheduler', summary: 'Gives every pod without a node one. `proa scheduler explain POD -n NS --kubeconfig PATH` says why a pod is pending and how each node scores.', flags,
  run: async (args, signal) => args[0] === 'explain' ? (await import('./explain.ts')).runExplain(args.slice(1), signal) : run(await readConfig(args), signal, () => log.info('scheduler ready')),
};

if (import.meta.main) await runEntry(entry, process.argv.slice(2));
