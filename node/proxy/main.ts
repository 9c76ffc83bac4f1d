// The service proxy as a component: watches Services and EndpointSlices and keeps the kernel's rules equal to them.
import { runEntry } from '#machinery/base/entry.ts';
import type { Entry } from '#machinery/base/entry.ts';
import { sleep } from '#machinery/base/clock.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import { createClient } from '#machinery/client/client.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { createRecorder } from '#machinery/client/recorder.ts';
import { endpointSlices, nodes, services } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import { RuleWriter } from './apply.ts';
import { flags, readConfig, type ProxyConfig } from './config.ts';
import { createHost } from './host.ts';
import { checkedServices, HealthServers, ProxyHealth, serveHealth } from './health.ts';
import { buildRules } from './rules.ts';
import { servicePorts, type ProxyNode, type ServicePort } from './services.ts';

const log = createLogger('proxy');

/** Runs until the signal aborts; `onReady` after the first complete write. The rules stay behind: see `cleanup`. */
export async function run(config: ProxyConfig, signal: AbortSignal, onReady?: () => void): Promise<void> {
  const client = createClient(config.client);
  try {
    await runWith(client, config, signal, onReady);
  } finally {
    client.close();
  }
}

/** `run` over a client that is there already. */
export async function runWith(client: Client, config: Omit<ProxyConfig, 'client'>, signal: AbortSignal, onReady?: () => void): Promise<void> {
  const serviceInformer = createInformer(client, services, { labelSelector: '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name' });
  const sliceInformer = createInformer(client, endpointSlices, { labelSelector: '!service.kubernetes.io/headless,kubernetes.io/service-name' });
  const nodeInformer = createInformer(client, nodes, config.nodes.length === 1 ? { fieldSelector: `metadata.name=${config.nodes[0]?.name ?? ''}` } : {});
  const writer = new RuleWriter('IPv4', config.netns);
  const host = createHost(config.netns);
  let wanted = true;
  let wake: () => void = () => undefined;
  const health = new ProxyHealth(2 * config.syncPeriodMs);
  const changed = (): void => {
    wanted = true;
    health.pending();
    wake();
  };
  serviceInformer.onChange(changed);
  sliceInformer.onChange(changed);
  let proxied: ProxyNode[] = config.nodes.map(({ name, ip }) => ({ name, ip }));
  nodeInformer.onChange(({ object: { metadata, spec } }) => {
    const before = proxied.find(({ name }) => name === metadata.name);
    const zone = metadata.labels?.['topology.kubernetes.io/zone'];
    if (!before || (before.zone === zone && before.podCidr === spec?.podCIDR)) return;
    proxied = proxied.map((node) => (node === before ? { ...node, zone, podCidr: spec?.podCIDR } : node));
    changed();
  });

  const group = createTaskGroup(signal);
  for (const informer of [serviceInformer, sliceInformer, nodeInformer]) group.start(`informer of ${informer.resource.resource}`, (own) => informer.run(own));
  const { host: healthHost, port: healthPort } = config.health;
  const healthAt = config.netns !== undefined || healthPort === 0 ? [] : healthHost === undefined ? config.nodes : [{ name: config.nodes[0]?.name ?? '', ip: healthHost }];
  for (const { name, ip } of healthAt) {
    group.start(`health of ${name}`, (own) => serveHealth({ host: ip, port: healthPort }, health, () => nodeInformer.get('', name), own));
  }
  const recorder = createRecorder({ client, component: 'kube-proxy', api: 'events', host: config.nodes[0]?.name ?? '' }, signal);
  const checks = new HealthServers({
    nodes: config.netns === undefined ? config.nodes : [], health,
    onFailure: ({ namespace, name }, _node, message) => recorder.event({ apiVersion: 'v1', kind: 'Service', metadata: { namespace, name } }, 'Warning', 'FailedToStartServiceHealthcheck', message, { action: 'Listen' }),
  });
  group.start('rules', async (own) => {
    await Promise.all([serviceInformer.waitForSync(own), sliceInformer.waitForSync(own), host.prepare({ ...config, nodeIp: config.nodes[0]?.ip ?? '' }, own)]);
    let applied: ServicePort[] = [];
    let ready = false;
    // Looks soon and then more and more seldom: while a machine starts, others write rules too.
    let checkEveryMs = Math.min(500, config.syncPeriodMs);
    let checkAt = Date.now() + checkEveryMs;
    while (!own.aborted) {
      let pauseMs = config.minSyncMs;
      if (wanted) {
        wanted = false;
        const startedAt = Date.now();
        const ports = servicePorts(serviceInformer.list(), sliceInformer.list(), 'IPv4');
        try {
          const chains = await writer.apply(buildRules({ ...config, nodes: proxied, family: 'IPv4', ports, randomFully: true }), own);
          const tookMs = Date.now() - startedAt;
          if (chains > 0) log.info('rules written', { chains, services: ports.length, tookMs });
          await host.forgetFlows(applied, ports, own);
          applied = ports;
          await checks.sync(checkedServices(ports));
          if (!wanted) health.updated();
          if (!ready) onReady?.();
          ready = true;
          pauseMs = Math.max(pauseMs, 4 * tookMs); // a large cluster must not keep a core busy with this
        } catch (error) {
          if (own.aborted) return;
          log.error('rules not written', { error, retryMs: config.syncPeriodMs });
          wanted = true;
          pauseMs = config.syncPeriodMs;
        }
        await sleep(pauseMs, own).catch(() => undefined); // the loop's condition sees the abort
        continue;
      }
      await idle(Math.max(0, checkAt - Date.now()), own);
      if (!wanted && !own.aborted && Date.now() >= checkAt) {
        if (!(await intact(own))) wanted = true;
        await checks.sync(checkedServices(applied)); // ports that could not be had
        checkEveryMs = Math.min(2 * checkEveryMs, config.syncPeriodMs);
        checkAt = Date.now() + checkEveryMs;
      }
    }
  });
  try {
    await group.wait();
  } finally {
    await checks.close();
  }

  async function intact(own: AbortSignal): Promise<boolean> {
    try {
      return await writer.intact(own);
    } catch (error) {
      if (!own.aborted) log.warn('rules not checked', { error });
      return true;
    }
  }
  /** Until a change comes, the time is over, or the signal aborts. */
  async function idle(ms: number, own: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (wanted) return;
    const timer = sleep(ms, AbortSignal.any([own, stop.signal])).catch(() => undefined); // any of the three ends is looked at by the loop
    await Promise.race([woken, timer]);
    stop.abort();
    await timer;
  }
}

/** Removes every chain, jump and route of ours from the machine. */
export async function cleanup(signal: AbortSignal, netns?: string): Promise<void> {
  await new RuleWriter('IPv4', netns).cleanup(signal);
  await createHost(netns).removeRoutes(signal);
}

/** `proa proxy`. */
export const entry: Entry = {
  name: 'proxy', summary: "Keeps this node's iptables rules equal to Services and EndpointSlices.",
  flags: { ...flags, cleanup: { kind: 'boolean', default: false, help: 'Remove every rule of ours and end.' } },
  async run(args, signal) {
    if (args.includes('--cleanup')) await cleanup(signal);
    else await run(await readConfig(args), signal, () => log.info('proxy ready'));
  },
};

if (import.meta.main) await runEntry(entry, process.argv.slice(2));
