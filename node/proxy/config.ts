// What a proxy needs to know. Flags bear upstream's names; in one process the same type is filled without files.
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { parseFlags, UsageError, type FlagTable } from '#machinery/base/flags.ts';
import type { ClientConfig } from '#machinery/client/types.ts';

export interface ProxyConfig {
  client: ClientConfig;
  /** This machine's: one, or several virtual ones that share the network namespace. The first one's address is the machine's own towards Services. */
  nodes: readonly { name: string; ip: string }[];
  /** Pods' addresses; traffic from elsewhere to a cluster IP is masqueraded. */
  clusterCidr: string;
  /** A route is added for it where none covers it. */
  serviceCidr: string;
  masqueradeAll: boolean;
  localhostNodePorts: boolean;
  nodePortIps: string[];
  /** Between two writes. */
  minSyncMs: number;
  /** Between two looks at whether our chains are still there; also the wait after a failure. */
  syncPeriodMs: number;
  /** Where /healthz and /livez answer. No host: on each node's own address. Port 0: nowhere. */
  health: { host?: string; port: number };
  /** A named network namespace to work in instead of this process's (tests); health is not served then. */
  netns?: string;
}

export const defaultConfig: Omit<ProxyConfig, 'client' | 'nodes'> = {
  clusterCidr: '',
  serviceCidr: '',
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortIps: [],
  minSyncMs: 100,
  syncPeriodMs: 30_000,
  health: { port: 10_256 },
};

export const flags = {
  'kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'File that says which API server to speak to, and as whom.' },
  'hostname-override': { kind: 'string', placeholder: 'NAME', help: "Name of this node (default: the machine's)." },
  'node-ip': { kind: 'string', placeholder: 'IP', default: '127.0.0.1', help: 'Address of this node.' },
  'cluster-cidr': { kind: 'string', placeholder: 'CIDR', default: '', help: "Pods' addresses; traffic from elsewhere to a cluster IP is masqueraded." },
  'service-cidr': { kind: 'string', placeholder: 'CIDR', default: '', help: 'Addresses of Services; a route is added where none covers them.' },
  'healthz-bind-address': { kind: 'string', placeholder: 'IP:PORT', help: "Where /healthz and /livez answer (default: the node's address, port 10256); '' for nowhere." },
  'masquerade-all': { kind: 'boolean', default: false, help: 'Masquerade all traffic to cluster IPs.' },
  'iptables-localhost-nodeports': { kind: 'boolean', default: true, help: 'NodePorts answer on 127.0.0.1 too.' },
  'nodeport-addresses': { kind: 'list', placeholder: 'IP,…', default: [], help: 'Addresses on which NodePorts answer (default: all of the node).' },
} as const satisfies FlagTable;

/** Throws UsageError on flags that cannot be taken, Error on a kubeconfig that cannot be read. */
export async function readConfig(args: readonly string[]): Promise<ProxyConfig> {
  const values = parseFlags(flags, args);
  if (!values.kubeconfig) throw new UsageError('--kubeconfig is needed');
  for (const name of ['cluster-cidr', 'service-cidr'] as const) checkCidr(name, values[name]);
  for (const ip of [values['node-ip'], ...values['nodeport-addresses']]) if (isIP(ip) === 0) throw new UsageError(`"${ip}" is not an IP address`);
  const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
  return {
    ...defaultConfig,
    client: { userAgent: 'kube-proxy', ...(await loadKubeconfig(values.kubeconfig)) },
    nodes: [{ name: (values['hostname-override'] ?? hostname()).toLowerCase(), ip: values['node-ip'] }],
    clusterCidr: values['cluster-cidr'],
    serviceCidr: values['service-cidr'],
    health: readAddress(values['healthz-bind-address']),
    masqueradeAll: values['masquerade-all'],
    localhostNodePorts: values['iptables-localhost-nodeports'],
    nodePortIps: values['nodeport-addresses'],
  };
}

function readAddress(text: string | undefined): ProxyConfig['health'] {
  if (text === undefined) return defaultConfig.health;
  if (text === '') return { port: 0 };
  const [, host = '', port = ''] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(text) ?? [];
  if (isIP(host) === 0 || Number(port) > 65_535) throw new UsageError(`--healthz-bind-address takes an address such as 127.0.0.1:10256, not "${text}"`);
  return { host, port: Number(port) };
}

function checkCidr(flag: string, text: string): void {
  if (text === '') return;
  const [network = '', bits = ''] = text.split('/');
  const max = isIP(network) === 6 ? 128 : 32;
  if (isIP(network) === 0 || !/^\d+$/.test(bits) || Number(bits) > max) throw new UsageError(`--${flag} takes a CIDR such as 10.42.0.0/16, not "${text}"`);
}
