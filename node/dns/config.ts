// What the cluster DNS needs to know.
import { isIP } from 'node:net';
import { parseFlags, UsageError, type FlagTable } from '#machinery/base/flags.ts';
import type { ClientConfig } from '#machinery/client/types.ts';

export interface DnsConfig {
  client: ClientConfig;
  address: string;
  /** 0: any free one; `onReady` says which. */
  port: number;
  clusterDomain: string;
  /** `ip` or `ip:port` of resolvers for other names; empty: those of the machine. */
  upstream: string[];
  /** Of records of the cluster; default 5, as CoreDNS. */
  ttlSeconds?: number;
}

export const flags = {
  'kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'File that says which API server to speak to, and as whom.' },
  'address': { kind: 'string', placeholder: 'IP', default: '127.0.0.1', help: 'Address to listen on.' },
  'port': { kind: 'number', default: 53, max: 65_535, help: 'Port to listen on, UDP and TCP.' },
  'cluster-domain': { kind: 'string', placeholder: 'DOMAIN', default: 'cluster.local', help: 'DNS domain of the cluster.' },
  'upstream': { kind: 'list', placeholder: 'IP[:PORT],…', default: [], help: "Resolvers for other names (default: the machine's)." },
  'ttl': { kind: 'number', default: 5, max: 3600, help: 'Seconds that records of the cluster may be kept.' },
} as const satisfies FlagTable;

/** Throws UsageError on flags that cannot be taken, Error on a kubeconfig that cannot be read. */
export async function readConfig(args: readonly string[]): Promise<DnsConfig> {
  const values = parseFlags(flags, args);
  if (!values.kubeconfig) throw new UsageError('--kubeconfig is needed');
  if (isIP(values.address) === 0) throw new UsageError(`--address takes an IP address, not "${values.address}"`);
  const { parseUpstream } = await import('./forward.ts');
  for (const text of values.upstream) if (!parseUpstream(text)) throw new UsageError(`--upstream takes addresses such as 192.0.2.53 or 192.0.2.53:5353, not "${text}"`);
  const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
  return {
    client: { userAgent: 'proa-dns', ...(await loadKubeconfig(values.kubeconfig)) },
    address: values.address, port: values.port, clusterDomain: values['cluster-domain'], upstream: values.upstream, ttlSeconds: values.ttl,
  };
}
