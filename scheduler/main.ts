// The scheduler as a component: one client, leader election, the loop. Reading path: queue.ts -> cycle.ts -> scheduler.ts (bind).
import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import { describeFlags, UsageError } from '#machinery/base/flags.ts';
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
    const scheduler = new Scheduler({ ...config, client });
    const group = createTaskGroup(signal);
    group.start('informers', (own) => scheduler.cluster.run(own));
    group.start('scheduling', async (own) => {
      await scheduler.cluster.waitForSync(own);
      onReady?.();
      if (!config.leaderElect) return scheduler.run(own);
      const { runAsLeader } = await import('#machinery/client/lease.ts');
      const { leaseNamespace: namespace, leaseName: name, leaseDurationMs, renewDeadlineMs, retryPeriodMs } = config;
      const identity = `${hostname()}_${randomUUID()}`;
      await runAsLeader({ client, namespace, name, identity, leaseDurationMs, renewDeadlineMs, retryPeriodMs }, (leading) => scheduler.run(leading), own);
    });
    await group.wait();
  } finally {
    client.close();
  }
}

if (import.meta.main) {
  try {
    const args = process.argv.slice(2);
    if (args.includes('--help')) process.stdout.write(`Usage: proa scheduler FLAGS\n\n${describeFlags(flags)}\n`);
    else {
      const stop = new AbortController();
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
      await run(await readConfig(args), stop.signal, () => log.info('scheduler ready'));
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}
