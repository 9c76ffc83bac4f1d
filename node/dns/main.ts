// Cluster DNS as a component: informers for what has names, and the server over them.
import { aborted } from '#machinery/base/abort.ts';
import { runEntry } from '#machinery/base/entry.ts';
import type { Entry } from '#machinery/base/entry.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import { isIPv6 } from 'node:net';
import { createClient } from '#machinery/client/client.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { endpointSlices, namespaces, services } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import { flags, readConfig, type DnsConfig } from './config.ts';
import { canonicalIpv6, clusterIps, type RecordSource } from './records.ts';
import { startServer } from './server.ts';

const log = createLogger('dns');
const defaultTtlSeconds = 5;

/** Runs until the signal aborts; `onReady` once the server listens and knows all names. */
export async function run(config: DnsConfig, signal: AbortSignal, onReady?: (info: { port: number }) => void): Promise<void> {
  const client = createClient(config.client);
  try {
    const { source, run: runInformers, synced } = watchNames(client);
    const group = createTaskGroup(signal);
    let known: RecordSource | undefined;
    const server = await startServer({
      address: config.address, port: config.port, zone: config.clusterDomain, ttl: config.ttlSeconds ?? defaultTtlSeconds,
      upstream: config.upstream, source: () => known,
    }, group.signal);
    group.start('informers', runInformers);
    group.start('server', async (own) => {
      await synced(own);
      known = source;
      onReady?.({ port: server.port });
      await aborted(own);
    });
    try {
      await group.wait();
    } finally {
      await server.stop();
    }
  } finally {
    client.close();
  }
}

function watchNames(client: Client): { source: RecordSource; run: (signal: AbortSignal) => Promise<void>; synced: (signal: AbortSignal) => Promise<void> } {
  const serviceInformer = createInformer(client, services);
  const sliceInformer = createInformer(client, endpointSlices, { labelSelector: 'kubernetes.io/service-name' });
  const namespaceInformer = createInformer(client, namespaces);
  const canonical = (ip: string): string => (isIPv6(ip) ? canonicalIpv6(ip) : ip);
  serviceInformer.addIndex('ip', (service) => clusterIps(service).map(canonical));
  sliceInformer.addIndex('service', ({ metadata }) => [`${metadata.namespace}/${metadata.labels?.['kubernetes.io/service-name']}`]);
  // Only endpoints with a hostname have reverse names.
  sliceInformer.addIndex('ip', ({ endpoints }) => (endpoints ?? []).filter(({ hostname }) => hostname).flatMap(({ addresses }) => addresses.map(canonical)));
  const informers = [serviceInformer, sliceInformer, namespaceInformer];
  return {
    source: {
      hasNamespace: (name) => namespaceInformer.get('', name) !== undefined,
      service: (namespace, name) => serviceInformer.get(namespace, name),
      slices: (namespace, service) => sliceInformer.byIndex('service', `${namespace}/${service}`),
      servicesByIp: (ip) => serviceInformer.byIndex('ip', ip),
      slicesByIp: (ip) => sliceInformer.byIndex('ip', ip),
    },
    run: async (signal) => void (await Promise.all(informers.map((informer) => informer.run(signal)))),
    synced: async (signal) => void (await Promise.all(informers.map((informer) => informer.waitForSync(signal)))),
  };
}

/** `proa dns`. */
export const entry: Entry = {
  name: 'dns', summary: 'Answers for the names of Services and pods.', flags,
  run: async (args, signal) => run(await readConfig(args), signal, ({ port }) => log.info('dns ready', { port })),
};

if (import.meta.main) await runEntry(entry, process.argv.slice(2));
