// The controllers as one component: leader election, shared informers, then every controller that is switched on.
import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import { createTaskGroup } from '#machinery/base/group.ts';
import { runEntry } from '#machinery/base/entry.ts';
import type { Entry } from '#machinery/base/entry.ts';
import { UsageError, parseFlags } from '#machinery/base/flags.ts';
import { createLogger } from '#machinery/base/log.ts';
import { createClient } from '#machinery/client/client.ts';
import { createInformers } from '#machinery/client/informers.ts';
import type { Client } from '#machinery/client/types.ts';
import { aliases, controllers, offByDefault } from './all.ts';
import { configOf, flags } from './config.ts';
import type { ControllersConfig } from './config.ts';
import { createContext } from './context.ts';
import { ControllersMetrics } from './metrics.ts';

const log = createLogger('controllers');
const component = 'kube-controller-manager';

/**
 * Runs until the signal aborts or, with leader election, the lease is lost (then it throws). `onReady` is called when the
 * informers have synced and all controllers run; a candidate that waits for the lease is not ready.
 */
export async function run(config: ControllersConfig, signal: AbortSignal, onReady?: () => void): Promise<void> {
  const names = chosen(config.controllers);
  const client = createClient({ userAgent: component, ...config.client });
  const metrics = new ControllersMetrics();
  const group = createTaskGroup(signal);
  const { serving } = config;
  /** undefined: the lease is another's, who is ready for all. */
  let synced: boolean | undefined = config.leaderElect ? undefined : false;
  try {
    if (serving) {
      const { serve } = await import('#machinery/serving/serve.ts');
      const { countQueues } = await import('#machinery/client/queue-metrics.ts');
      const { configz } = await import('./configz.ts');
      countQueues(metrics.registry);
      const pages = {
        ready: () => [['informer-sync', synced === false ? 'informers have not synced' : undefined] as const], metrics: () => metrics.registry.render(),
        documents: { '/configz': () => configz(config) },
      };
      group.start('serving', (own) => serve(component, serving, client, pages, own, (port) => log.info('serving health and metrics', { address: serving.address, port })));
    }
    const led = metrics.leading.with(config.leaseName);
    const work = async (leading: AbortSignal): Promise<void> => {
      led.value = 1;
      synced = false;
      try {
        await lead(config, client, names, metrics, leading, () => {
          synced = true;
          onReady?.();
        });
      } finally {
        led.value = 0;
      }
    };
    group.start('controllers', async (own) => {
      if (!config.leaderElect) return work(own);
      const { runAsLeader } = await import('#machinery/client/lease.ts');
      await runAsLeader({
        client, namespace: config.leaseNamespace, name: config.leaseName, identity: config.leaderElectIdentity ?? `${hostname()}_${randomUUID()}`,
        leaseDurationMs: config.leaderElectLeaseDurationMs, renewDeadlineMs: config.leaderElectRenewDeadlineMs, retryPeriodMs: config.leaderElectRetryPeriodMs,
      }, work, own);
    });
    await group.wait();
  } finally {
    client.close();
  }
}

async function lead(config: ControllersConfig, client: Client, names: readonly string[], metrics: ControllersMetrics, signal: AbortSignal, onReady: () => void): Promise<void> {
  const group = createTaskGroup(signal);
  const informers = createInformers(client);
  const context = createContext(config, client, informers, metrics, group.signal);
  try {
    const created = names.map((name) => ({ name, controller: controllers[name]!(context) })); // chosen() lets only known names through
    group.start('informers', (own) => informers.run(own));
    group.start('controllers', async (own) => {
      await informers.waitForSync(own);
      for (const { name, controller } of created) group.start(name, (each) => controller.run(each));
      log.info('controllers run', { controllers: names });
      onReady();
    });
    await group.wait();
  } finally {
    context.close();
  }
}

/** The names that upstream's notation selects. Throws UsageError for a name that is not there. */
export function chosen(asked: readonly string[]): string[] {
  const known = Object.keys(controllers);
  const wanted = asked.map((entry) => {
    const name = entry.replace(/^-/, '');
    return `${entry.startsWith('-') ? '-' : ''}${aliases[name] ?? name}`;
  });
  for (const entry of wanted) {
    const name = entry.replace(/^-/, '');
    if (name !== '*' && !known.includes(name)) throw new UsageError(`no controller is named "${name}"; there are ${known.join(', ')}`);
  }
  return known.filter((name) => !wanted.includes(`-${name}`) && (wanted.includes(name) || (wanted.includes('*') && !offByDefault.includes(name))));
}

/** `proa controllers`. */
export const entry: Entry = {
  name: 'controllers', summary: 'Runs the controllers: each brings the cluster nearer to what its objects ask for.', flags,
  run: async (args, signal) => run(await configOf(parseFlags(flags, args)), signal, () => log.info('controllers ready')),
};

if (import.meta.main) await runEntry(entry, process.argv.slice(2));
