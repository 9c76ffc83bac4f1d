// resolv.conf, hosts and hostname of a pod, as upstream and its runtimes write them. Pure. Upstream: network/dns/dns.go, kubelet_pods.go.
import type { Pod } from '#machinery/api/object.ts';
import { isHostNetwork } from './container-spec.ts';

export interface ResolverConfig { nameservers: string[]; searches: string[]; options: string[] }

export function parseResolvConf(text: string): ResolverConfig {
  const config: ResolverConfig = { nameservers: [], searches: [], options: [] };
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields[0] === 'nameserver' && fields[1]) config.nameservers.push(fields[1]);
    if (fields[0] === 'search') config.searches = fields.slice(1).filter((domain) => domain !== '.').map((domain) => domain.replace(/\.$/, ''));
    if (fields[0] === 'options') config.options = fields.slice(1);
  }
  return config;
}

export function formatResolvConf({ nameservers, searches, options }: ResolverConfig): string {
  return [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}\n`] : []),
    ...nameservers.map((server) => `nameserver ${server}\n`),
    ...(options.length > 0 ? [`options ${options.join(' ')}\n`] : []),
  ].join('');
}

export interface DnsInput { clusterDns: readonly string[]; clusterDomain: string; host: ResolverConfig }
export interface DnsResult { config: ResolverConfig; /** Events to send: reason and message. */ warnings: { reason: string; message: string }[] }

export function podResolver(pod: Pod, { clusterDns, clusterDomain, host }: DnsInput): DnsResult {
  const warnings: DnsResult['warnings'] = [];
  const { namespace = '' } = pod.metadata;
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst';
  let kind: 'cluster' | 'host' | 'none' = policy === 'None' ? 'none' : policy === 'Default' || (policy === 'ClusterFirst' && isHostNetwork(pod)) ? 'host' : 'cluster';
  if (kind === 'cluster' && clusterDns.length === 0) {
    warnings.push({
      reason: 'MissingClusterDNS',
      message: `pod: "${pod.metadata.name}_${namespace}(${pod.metadata.uid})". kubelet does not have ClusterDNS IP configured and cannot create Pod using "${policy}" policy. Falling back to "Default" policy.`,
    });
    kind = 'host';
  }
  const config: ResolverConfig = kind === 'none' ? { nameservers: [], searches: [], options: [] }
    : kind === 'host' ? { nameservers: [...host.nameservers], searches: [...host.searches], options: [...host.options] }
    : {
        nameservers: [...clusterDns],
        searches: clusterDomain === '' ? [...host.searches] : unique([`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain, ...host.searches]),
        options: ['ndots:5'],
      };
  const extra = pod.spec?.dnsConfig;
  if (extra) {
    config.nameservers = unique([...config.nameservers, ...(extra.nameservers ?? [])]);
    config.searches = unique([...config.searches, ...(extra.searches ?? [])]);
    const options = new Map(config.options.map((option) => [option.split(':')[0] ?? '', option]));
    for (const { name = '', value } of extra.options ?? []) options.set(name, value ? `${name}:${value}` : name);
    config.options = [...options.values()];
  }
  if (config.nameservers.length > 3) {
    config.nameservers = config.nameservers.slice(0, 3);
    warnings.push({ reason: 'DNSConfigForming', message: `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${config.nameservers.join(' ')}` });
  }
  const fitting = config.searches.slice(0, 32);
  while (fitting.join(' ').length > 2048) fitting.pop();
  if (fitting.length < config.searches.length) {
    config.searches = fitting;
    warnings.push({ reason: 'DNSConfigForming', message: `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${fitting.join(' ')}` });
  }
  return { config, warnings };
}
const unique = (values: readonly string[]): string[] => [...new Set(values)];

/** Throws when the name cannot be the kernel's host name. */
export function podHostname(pod: Pod, clusterDomain: string): { hostname: string; domain: string; kernel: string } {
  const { spec, metadata } = pod;
  if (spec?.hostnameOverride) return { hostname: spec.hostnameOverride, domain: '', kernel: spec.hostnameOverride };
  const hostname = spec?.hostname || (metadata.name ?? '').slice(0, 63).replace(/[-.]+$/, '');
  const domain = spec?.subdomain ? `${spec.subdomain}.${metadata.namespace}.svc.${clusterDomain}` : '';
  if (!spec?.setHostnameAsFQDN || domain === '') return { hostname, domain, kernel: hostname };
  const kernel = `${hostname}.${domain}`;
  if (kernel.length > 64) throw new Error(`failed to construct FQDN from pod hostname and cluster domain, FQDN ${kernel} is too long (64 characters is the max, ${kernel.length} characters requested)`);
  return { hostname, domain, kernel };
}

export function hostsFile(pod: Pod, podIps: readonly string[], clusterDomain: string, nodeHosts: string): string {
  const { hostname, domain } = podHostname(pod, clusterDomain);
  const lines = isHostNetwork(pod)
    ? ['# Kubernetes-managed hosts file (host network).', nodeHosts.replace(/\n$/, '')]
    : [
        '# Kubernetes-managed hosts file.',
        '127.0.0.1\tlocalhost',
        '::1\tlocalhost ip6-localhost ip6-loopback',
        'fe00::0\tip6-localnet',
        'fe00::0\tip6-mcastprefix',
        'fe00::1\tip6-allnodes',
        'fe00::2\tip6-allrouters',
        ...podIps.map((ip) => (domain === '' ? `${ip}\t${hostname}` : `${ip}\t${hostname}.${domain}\t${hostname}`)),
      ];
  const aliases = pod.spec?.hostAliases ?? [];
  if (aliases.length > 0) lines.push('', '# Entries added by HostAliases.', ...aliases.map(({ ip, hostnames }) => [ip, ...(hostnames ?? [])].join('\t')));
  return `${lines.join('\n')}\n`;
}
