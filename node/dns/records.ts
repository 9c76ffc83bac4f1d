// Services, EndpointSlices and namespaces -> answers. Pure. The records of Kubernetes' DNS specification 1.1.0, with the choices
// of CoreDNS's kubernetes plugin where the specification leaves one.
import { isIPv4, isIPv6 } from 'node:net';
import type { Endpoint, EndpointSlice, Service } from '#machinery/api/object.ts';
import type { DnsRecord, Rcode } from './wire.ts';

/** What answers are made from; informers with two indexes behind it. */
export interface RecordSource {
  hasNamespace(name: string): boolean;
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, service: string): EndpointSlice[];
  servicesByIp(ip: string): Service[];
  slicesByIp(ip: string): EndpointSlice[];
}
export interface ZoneOptions { zone: string; ttl: number; serial: number }

export interface Answer {
  rcode: Extract<Rcode, 'NOERROR' | 'NXDOMAIN'>;
  answers: DnsRecord[];
  authorities: DnsRecord[];
  additionals: DnsRecord[];
  /** The answer is an alias; its target's records belong behind it. */
  alias?: string;
}

const versionTtl = 28_800;
const maxNegativeTtl = 300;

/** undefined: the name is not of the cluster (or a reverse name that nothing here has), somebody else must be asked. */
export function answer(source: RecordSource, options: ZoneOptions, asked: readonly string[], type: string): Answer | undefined {
  const labels = asked.map((label) => label.toLowerCase());
  const name = asked.join('.');
  const reversed = reverseIp(labels);
  if (reversed !== undefined) return answerReverse(source, options, reversed, name, type);
  const zone = options.zone.toLowerCase().split('.');
  if (labels.length < zone.length || zone.some((label, i) => labels[labels.length - zone.length + i] !== label)) return undefined;
  const rest = labels.slice(0, labels.length - zone.length);
  if (rest.some((label) => label.includes('.'))) return nothing(options, 'NXDOMAIN'); // no object has such a name
  if (rest.length === 0) return answerApex(source, options, name, type);
  if (rest.length === 1 && rest[0] === 'dns-version') {
    return type === 'TXT' ? found([{ name, ttl: versionTtl, type: 'TXT', text: '1.1.0' }]) : nothing(options, 'NOERROR');
  }
  const kind = rest.pop();
  const namespace = rest.pop();
  if (kind !== 'svc' && kind !== 'pod') return nothing(options, 'NXDOMAIN');
  if (namespace === undefined) return nothing(options, 'NOERROR');
  if (!source.hasNamespace(namespace)) return nothing(options, 'NXDOMAIN');
  if (rest.length === 0) return nothing(options, 'NOERROR');
  return kind === 'pod' ? answerPod(options, rest, name, type) : answerService(source, options, namespace, rest, name, type);
}

function found(answers: DnsRecord[], additionals: DnsRecord[] = []): Answer {
  return { rcode: 'NOERROR', answers, authorities: [], additionals };
}
function nothing(options: ZoneOptions, rcode: Answer['rcode']): Answer {
  return { rcode, answers: [], authorities: [soa(options)], additionals: [] };
}
function soa({ zone, ttl, serial }: ZoneOptions): DnsRecord {
  return {
    name: zone, ttl: Math.min(ttl, maxNegativeTtl), type: 'SOA', mname: `ns.dns.${zone}`, rname: `hostmaster.${zone}`,
    serial, refresh: 7200, retry: 1800, expire: 86_400, minimum: ttl,
  };
}

function answerApex(source: RecordSource, options: ZoneOptions, name: string, type: string): Answer {
  const { zone, ttl } = options;
  if (type === 'SOA') return found([{ ...soa(options), name }]);
  if (type !== 'NS') return nothing(options, 'NOERROR');
  const service = source.service('kube-system', 'kube-dns');
  const target = service ? `kube-dns.kube-system.svc.${zone}` : `ns.dns.${zone}`;
  return found([{ name, ttl, type: 'NS', target }], clusterIps(service).map((ip) => address(target, ttl, ip)));
}

/** `1-2-3-4.namespace.pod`: the address in the name, whether or not such a pod exists (CoreDNS: pods insecure). */
function answerPod(options: ZoneOptions, rest: readonly string[], name: string, type: string): Answer {
  const [host = ''] = rest;
  const dotted = host.replaceAll('-', '.');
  const colons = host.replaceAll('-', ':');
  const ip = rest.length !== 1 ? undefined : isIPv4(dotted) ? dotted : isIPv6(colons) ? colons : undefined;
  if (ip === undefined) return nothing(options, 'NXDOMAIN');
  const record = address(name, options.ttl, ip);
  return record.type === type ? found([record]) : nothing(options, 'NOERROR');
}

interface Target { ip: string; port: number; host: string }

function answerService(source: RecordSource, options: ZoneOptions, namespace: string, rest: string[], name: string, type: string): Answer {
  const { zone, ttl } = options;
  const serviceName = rest.pop() ?? '';
  const service = source.service(namespace, serviceName);
  if (!service || rest.length > 2) return nothing(options, 'NXDOMAIN');
  const base = `${serviceName}.${namespace}.svc.${zone}`;
  const [first = '', second] = rest;
  const host = rest.length === 1 ? first : undefined;
  const [port, protocol] = second === undefined ? [undefined, undefined] : [first.replace(/^_/, ''), second.replace(/^_/, '')];

  if (service.spec?.type === 'ExternalName') {
    if (rest.length > 0) return nothing(options, 'NXDOMAIN');
    const external = (service.spec.externalName ?? '').replace(/\.$/, '');
    if (isIPv4(external) || isIPv6(external)) {
      const record = address(name, ttl, external);
      return record.type === type ? found([record]) : nothing(options, 'NOERROR');
    }
    if (external === '' || (type !== 'A' && type !== 'AAAA' && type !== 'CNAME')) return nothing(options, 'NOERROR');
    return { ...found([{ name, ttl, type: 'CNAME', target: external }]), ...(type === 'CNAME' ? {} : { alias: external }) };
  }

  const matches = (portName: string | undefined, portProtocol: string | undefined): boolean =>
    port === undefined || ((portName ?? '') === port && (portProtocol ?? 'TCP').toLowerCase() === protocol);
  const headless = clusterIps(service).length === 0;
  const targets: Target[] = [];
  if (headless || host !== undefined) {
    for (const slice of source.slices(namespace, serviceName)) {
      for (const endpoint of slice.endpoints ?? []) {
        if (endpoint.conditions?.ready === false) continue;
        for (const ip of endpoint.addresses) {
          const own = endpointHost(endpoint, ip);
          if (host !== undefined && own !== host) continue;
          for (const entry of slice.ports?.length ? slice.ports : [{ name: undefined, protocol: undefined, port: 0 }]) {
            if (matches(entry.name, entry.protocol)) targets.push({ ip, port: entry.port ?? 0, host: `${own}.${base}` });
          }
        }
      }
    }
    if (targets.length === 0) return nothing(options, headless && rest.length === 0 ? 'NOERROR' : 'NXDOMAIN');
  } else {
    for (const entry of service.spec?.ports ?? []) {
      if (matches(entry.name, entry.protocol)) for (const ip of clusterIps(service)) targets.push({ ip, port: entry.port, host: base });
    }
    if (targets.length === 0) return nothing(options, 'NXDOMAIN');
  }
  if (type === 'A' || type === 'AAAA') {
    const ips = new Set(targets.map(({ ip }) => ip).filter((ip) => isIPv6(ip) === (type === 'AAAA')));
    return ips.size === 0 ? nothing(options, 'NOERROR') : found([...ips].map((ip) => address(name, ttl, ip)));
  }
  if (type === 'SRV') return answerSrv(targets, name, ttl);
  return nothing(options, 'NOERROR');
}

function answerSrv(targets: readonly Target[], name: string, ttl: number): Answer {
  const answers = new Map<string, Extract<DnsRecord, { type: 'SRV' }>>();
  const additionals = new Map<string, DnsRecord>();
  for (const { ip, port, host } of targets) {
    answers.set(`${host}:${port}`, { name, ttl, type: 'SRV', priority: 0, weight: 0, port, target: host });
    additionals.set(`${host} ${ip}`, address(host, ttl, ip));
  }
  const weight = Math.max(1, Math.floor(100 / answers.size));
  return found([...answers.values()].map((record) => ({ ...record, weight })), [...additionals.values()]);
}

function answerReverse(source: RecordSource, options: ZoneOptions, ip: string, name: string, type: string): Answer | undefined {
  const { zone, ttl } = options;
  const targets = source.servicesByIp(ip).map(({ metadata }) => `${metadata.name}.${metadata.namespace}.svc.${zone}`);
  if (targets.length === 0) {
    // Only an endpoint that was given a hostname has one name that is its own.
    for (const { metadata, endpoints } of source.slicesByIp(ip)) {
      const service = metadata.labels?.['kubernetes.io/service-name'];
      for (const endpoint of endpoints ?? []) {
        if (service && endpoint.hostname && endpoint.addresses.includes(ip)) targets.push(`${endpoint.hostname}.${service}.${metadata.namespace}.svc.${zone}`);
      }
    }
  }
  if (targets.length === 0) return undefined;
  return type === 'PTR' ? found([...new Set(targets)].map((target) => ({ name, ttl, type: 'PTR', target }))) : nothing(options, 'NOERROR');
}

function address(name: string, ttl: number, ip: string): DnsRecord {
  return { name, ttl, type: isIPv6(ip) ? 'AAAA' : 'A', ip };
}
/** Without `None`: empty for a headless Service. */
export function clusterIps(service: Service | undefined): string[] {
  const { clusterIPs, clusterIP } = service?.spec ?? {};
  return (clusterIPs?.length ? clusterIPs : [clusterIP ?? '']).filter((ip) => isIPv4(ip) || isIPv6(ip));
}
/** The endpoint's hostname, or one made of its address. */
function endpointHost({ hostname }: Endpoint, ip: string): string {
  if (hostname) return hostname.toLowerCase();
  const made = ip.replaceAll(/[.:]/g, '-');
  return made.endsWith('-') ? `${made}0` : made;
}

/** The address of an in-addr.arpa or ip6.arpa name; undefined for any other name. */
function reverseIp(labels: readonly string[]): string | undefined {
  if (labels.at(-1) !== 'arpa') return undefined;
  const digits = labels.slice(0, -2).reverse();
  if (labels.at(-2) === 'in-addr') return digits.length === 4 && isIPv4(digits.join('.')) ? digits.join('.') : undefined;
  if (labels.at(-2) !== 'ip6' || digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return canonicalIpv6((digits.join('').match(/.{4}/g) ?? []).join(':'));
}
/** One spelling for each IPv6 address, that of URLs. */
export function canonicalIpv6(ip: string): string {
  return new URL(`http://[${ip}]`).hostname.slice(1, -1);
}
