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
import { controllers, offByDefault } from './all.ts';
import { configOf, flags } from './config.ts';
import type { ControllersConfig } from './config.ts';
import { createContext } from './context.ts';

const log = createLogger('controllers');

/**
 * Runs until the signal aborts or, with leader election, the lease is lost (then it throws). `onReady` is called when the
 * informers have synced and all controllers run; a candidate that waits for the lease is not ready.
 */
export async function run(config: ControllersConfig, signal: AbortSignal, onReady?: () => void): Promise<void> {
  const names = chosen(config.controllers);
  const client = createClient({ userAgent: 'kube-controller-manager', ...config.client });
  try {
    if (!config.leaderElect) return await lead(config, client, names, signal, onReady);
    const { runAsLeader } = await import('#machinery/client/lease.ts');
    await runAsLeader({
      client, namespace: 'kube-system', name: 'kube-controller-manager', identity: config.leaderElectIdentity ?? `${hostname()}_${randomUUID()}`,
      leaseDurationMs: config.leaderElectLeaseDurationMs, renewDeadlineMs: config.leaderElectRenewDeadlineMs, retryPeriodMs: config.leaderElectRetryPeriodMs,
    }, (leading) => lead(config, client, names, leading, onReady), signal);
  } finally {
    client.close();
  }
}

async function lead(config: ControllersConfig, client: Client, names: readonly string[], signal: AbortSignal, onReady?: () => void): Promise<void> {
  const group = createTaskGroup(signal);
  const informers = createInformers(client);
  const context = createContext(config, client, informers, group.signal);
  try {
    const created = names.map((name) => ({ name, controller: controllers[name]!(context) })); // chosen() lets only known names through
    group.start('informers', (own) => informers.run(own));
    group.start('controllers', async (own) => {
      await informers.waitForSync(own);
      for (const { name, controller } of created) group.start(name, (each) => controller.run(each));
      log.info('controllers run', { controllers: names });
      onReady?.();
    });
    await group.wait();
  } finally {
    context.close();
  }
}

/** The names that upstream's notation selects. Throws UsageError for a name that is not there. */
export function chosen(wanted: readonly string[]): string[] {
  const known = Object.keys(controllers);
  for (const entry of wanted) {
    const name = entry.replace(/^-/, '');
    if (name !== '*' && !known.includes(name)) throw new UsageError(`no controller is named "${name}"; there are ${known.join(', ')}`);
  }
  return known.filter((name) => wanted.includes(name) || (wanted.includes('*') && !offByDefault.includes(name) && !wanted.includes(`-${name}`)));
}

/** `proa controllers`. */
export const entry: Entry = {
  name: 'controllers', summary: 'Runs the controllers: each brings the cluster nearer to what its objects ask for.', flags,
  run: async (args, signal) => run(await configOf(parseFlags(flags, args)), signal, () => log.info('controllers ready')),
};

if (import.meta.main) await runEntry(entry, process.argv.slice(2));
