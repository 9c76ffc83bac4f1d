// What a cluster can be asked to be: the flags of `proa server` and the options of startCluster(), checked in one place.
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { parseRange } from '#machinery/base/address-range.ts';
import { UsageError } from '#machinery/base/flags.ts';
import type { FlagTable, FlagValues } from '#machinery/base/flags.ts';
import { optionFlags, readOptions } from '../apiserver/options.ts';
import type { ApiserverOptions } from '../apiserver/options.ts';

/** Components that --disable can leave out. */
export const optionalComponents = ['scheduler', 'controllers', 'kubelet', 'proxy', 'dns', 'local-path'] as const;
export type OptionalComponent = (typeof optionalComponents)[number];

const isRoot = process.getuid?.() === 0;
function defaultDataDir(): string {
  if (isRoot) return '/var/lib/proa';
  return `${process.env.XDG_DATA_HOME ?? `${process.env.HOME ?? '.'}/.local/share`}/proa`;
}

export const serverFlags = {
  'data-dir': { kind: 'string', placeholder: 'DIR', default: defaultDataDir(), help: 'Where everything is kept: database, certificates, volumes of pods.' },
  'https-port': { kind: 'number', placeholder: 'PORT', default: 6443, min: 0, max: 65535, help: 'Port of the API server; 0 picks a free one.' },
  'bind-address': { kind: 'string', placeholder: 'IP', default: '127.0.0.1', help: "Address of the API server; 0.0.0.0 or the machine's own lets other machines in." },
  'datastore': { kind: 'string', default: 'sqlite', oneOf: ['sqlite', 'etcd'], help: 'Embedded sqlite, or etcd with --etcd-servers.' },
  'etcd-servers': { kind: 'list', placeholder: 'URL,…', help: 'External etcd; implies --datastore etcd.' },
  'etcd-prefix': { kind: 'string', placeholder: 'PREFIX', default: '/registry', help: 'Prefix of all keys in etcd.' },
  'nodes': { kind: 'number', placeholder: 'N', default: 1, min: 0, max: 1000, help: 'How many nodes. With Docker they share the machine and its engine: each has its own kubelet, address, pod network. Started with fewer, the Node objects beyond that and their containers are removed.' },
  'runtime': { kind: 'string', default: 'docker', oneOf: ['docker', 'hollow'], help: 'Real containers on Docker Engine, or nodes that only pretend to run them.' },
  'docker-host': { kind: 'string', placeholder: 'unix://PATH', default: process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock', help: 'The Docker Engine; it must be on this machine and run as root.' },
  'cluster-cidr': { kind: 'string', placeholder: 'CIDR', default: '10.42.0.0/16', help: 'Addresses of pods.' },
  'service-cidr': { kind: 'string', placeholder: 'CIDR', default: '10.43.0.0/16', help: 'Addresses of Services; an IPv6 range after a comma gives Services two families.' },
  'node-cidr': { kind: 'string', placeholder: 'CIDR', default: '10.41.0.0/24', help: "Addresses of the API server and the nodes on this machine's loopback device." },
  'cluster-domain': { kind: 'string', placeholder: 'DOMAIN', default: 'cluster.local', help: 'DNS domain of the cluster.' },
  'disable': { kind: 'list', placeholder: 'NAME,…', default: [], help: `Components to leave out: ${optionalComponents.join(', ')}.` },
  'write-kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'Write the administrator kubeconfig here too.' },
  'anonymous-auth': { kind: 'boolean', default: false, help: 'Let anonymous requests through to authorization (answers 403 where it is 401 otherwise).' },
  ...optionFlags,
  'stop-pods': { kind: 'boolean', default: false, help: 'On a clean stop remove all pods, networks and rules; without it pods keep running and are adopted at the next start.' },
} as const satisfies FlagTable;
export type ServerFlags = FlagValues<typeof serverFlags>;

/** Options of startCluster(); everything has a default that suits tests. */
export interface ClusterOptions {
  /** Default: a temporary folder that stop() removes. */
  dataDir?: string;
  /** Default 0: a free port. */
  httpsPort?: number;
  bindAddress?: string;
  etcdServers?: string[];
  etcdPrefix?: string;
  /** Default 1. */
  nodes?: number;
  /** Default 'hollow': no Docker, no root, nothing outside the data folder. */
  runtime?: 'docker' | 'hollow';
  dockerHost?: string;
  clusterCidr?: string;
  serviceCidr?: string;
  nodeCidr?: string;
  clusterDomain?: string;
  disable?: string[];
  anonymousAuth?: boolean;
  /** What else the API server can be told; upstream's defaults for what is left out. */
  apiserver?: Partial<ApiserverOptions>;
  /** Remove pods when the cluster stops. Default: true with a temporary folder. */
  stopPods?: boolean;
}

export interface ClusterConfig {
  dataDir: string;
  temporary: boolean;
  httpsPort: number;
  bindAddress: string;
  storage: { engine: 'sqlite' } | { engine: 'etcd'; servers: string[]; prefix: string };
  nodes: { name: string; address: string }[];
  runtime: 'docker' | 'hollow';
  dockerHost: string;
  clusterCidr: string;
  /** The IPv4 range: of the API server's and the DNS server's Services. */
  serviceCidr: string;
  /** With the IPv6 range, if there is one. */
  serviceRanges: readonly string[];
  nodeCidr: string;
  clusterDomain: string;
  advertiseAddress: string;
  disable: ReadonlySet<OptionalComponent>;
  anonymousAuth: boolean;
  apiserver: Partial<ApiserverOptions>;
  stopPods: boolean;
}

export function optionsFromFlags(flags: ServerFlags): ClusterOptions {
  if (flags.datastore === 'etcd' && !flags['etcd-servers']?.length) throw new UsageError('--datastore etcd needs --etcd-servers http://HOST:2379,…');
  return {
    dataDir: flags['data-dir'],
    httpsPort: flags['https-port'],
    bindAddress: flags['bind-address'],
    ...(flags['etcd-servers'] ? { etcdServers: flags['etcd-servers'] } : {}),
    etcdPrefix: flags['etcd-prefix'],
    nodes: flags.nodes,
    runtime: flags.runtime === 'hollow' ? 'hollow' : 'docker',
    dockerHost: flags['docker-host'],
    clusterCidr: flags['cluster-cidr'],
    serviceCidr: flags['service-cidr'],
    nodeCidr: flags['node-cidr'],
    clusterDomain: flags['cluster-domain'],
    disable: flags.disable,
    anonymousAuth: flags['anonymous-auth'],
    apiserver: readOptions(flags),
    stopPods: flags['stop-pods'],
  };
}

/** Checks options and fills in the rest; throws UsageError with what to write instead. `dataDir` is decided by the caller. */
export function resolveConfig(options: ClusterOptions, dataDir: string, temporary: boolean): ClusterConfig {
  const runtime = options.runtime ?? 'hollow';
  const count = options.nodes ?? 1;
  const clusterCidr = checkCidr('cluster-cidr', options.clusterCidr ?? '10.42.0.0/16', 24);
  const [firstRange = '', ...moreRanges] = (options.serviceCidr ?? '10.43.0.0/16').split(',').map((range) => range.trim());
  const serviceCidr = checkCidr('service-cidr', firstRange, 28);
  const serviceRanges = [serviceCidr, ...moreRanges.map(checkSecondRange)];
  if (serviceRanges.length > 2) throw new UsageError(`--service-cidr takes one IPv4 range and, after a comma, one IPv6 range, not "${options.serviceCidr}"`);
  const nodeCidr = checkCidr('node-cidr', options.nodeCidr ?? '10.41.0.0/24', 30);
  for (const [a, left, b, right] of [
    ['cluster-cidr', clusterCidr, 'service-cidr', serviceCidr], ['cluster-cidr', clusterCidr, 'node-cidr', nodeCidr], ['service-cidr', serviceCidr, 'node-cidr', nodeCidr],
  ] as const) {
    if (overlap(left, right)) throw new UsageError(`--${a} ${left} and --${b} ${right} overlap; choose ranges that do not meet`);
  }
  // Each node takes a /24 of the pods' addresses and, beside the API server's, one of the nodes'.
  if (runtime === 'docker' && count > Math.min(2 ** (24 - prefixLength(clusterCidr)), 2 ** (32 - prefixLength(nodeCidr)) - 3)) {
    throw new UsageError(`--nodes ${count} do not fit into --cluster-cidr ${clusterCidr} (a /24 each) and --node-cidr ${nodeCidr} (an address each); choose larger ranges or fewer nodes`);
  }
  const bindAddress = options.bindAddress ?? '127.0.0.1';
  if (isIP(bindAddress) === 0) throw new UsageError(`--bind-address takes an IP address, not "${bindAddress}"`);
  const domain = options.clusterDomain ?? 'cluster.local';
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(domain)) throw new UsageError(`--cluster-domain takes a DNS name, not "${domain}"`);
  for (const server of options.etcdServers ?? []) {
    if (!/^https?:\/\/[^/\s]+$/.test(server)) throw new UsageError(`--etcd-servers takes URLs like http://127.0.0.1:2379, not "${server}"`);
  }
  const dockerHost = options.dockerHost ?? process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock';
  if (runtime === 'docker' && !dockerHost.startsWith('unix://')) {
    throw new UsageError(`--docker-host ${dockerHost} is not on this machine; the kubelet mounts volumes for containers, so it needs a local engine: unix:///var/run/docker.sock`);
  }
  const host = hostname().toLowerCase().replaceAll(/[^-a-z0-9.]/g, '-').replaceAll(/^[-.]+|[-.]+$/g, '') || 'proa';
  return {
    dataDir,
    temporary,
    httpsPort: options.httpsPort ?? 0,
    bindAddress,
    storage: options.etcdServers?.length ? { engine: 'etcd', servers: options.etcdServers, prefix: options.etcdPrefix ?? '/registry' } : { engine: 'sqlite' },
    nodes: Array.from({ length: count }, (_, index) => ({
      name: index === 0 ? host : `${host}-${index + 1}`,
      // Hollow nodes have no address of their own: their kubelets are told apart by port.
      address: runtime === 'docker' ? nthAddress(nodeCidr, index + 2) : '127.0.0.1',
    })),
    runtime,
    dockerHost,
    clusterCidr,
    serviceCidr,
    serviceRanges,
    nodeCidr,
    clusterDomain: domain,
    advertiseAddress: nthAddress(nodeCidr, 1),
    disable: new Set((options.disable ?? []).map(checkComponent)),
    anonymousAuth: options.anonymousAuth ?? false,
    apiserver: options.apiserver ?? {},
    stopPods: options.stopPods ?? temporary,
  };
}

function checkComponent(name: string): OptionalComponent {
  const known = optionalComponents.find((component) => component === name);
  if (!known) throw new UsageError(`--disable takes ${optionalComponents.join(', ')}, not "${name}"`);
  return known;
}

function parseCidr(text: string): { base: number; bits: number } | undefined {
  const [address = '', length = ''] = text.split('/');
  if (isIP(address) !== 4 || !/^\d{1,2}$/.test(length) || Number(length) > 32) return undefined;
  return { base: toNumber(address), bits: Number(length) };
}
function checkCidr(flag: string, text: string, longest: number): string {
  const cidr = parseCidr(text);
  if (!cidr) throw new UsageError(`--${flag} takes an IPv4 range like 10.42.0.0/16, not "${text}"`);
  if (cidr.bits > longest) throw new UsageError(`--${flag} ${text} is too small; it takes a prefix of at most /${longest}`);
  if (cidr.bits < 8) throw new UsageError(`--${flag} ${text} is too large; it takes a prefix of at least /8`);
  return `${toAddress(network(cidr))}/${cidr.bits}`;
}
function checkSecondRange(text: string): string {
  const range = parseRange(text);
  if (range?.family !== 'IPv6') throw new UsageError(`--service-cidr takes an IPv6 range like fd00:43::/112 after the comma, not "${text}"`);
  if (prefixLength(range.cidr) > 124) throw new UsageError(`--service-cidr ${text} is too small; it takes a prefix of at most /124`);
  return range.cidr;
}
const toNumber = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const toAddress = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
const network = ({ base, bits }: { base: number; bits: number }): number => base - (base % 2 ** (32 - bits));

const prefixLength = (cidr: string): number => Number(cidr.split('/')[1]);

/** The n-th address of a range: nthAddress('10.43.0.0/16', 10) is 10.43.0.10. */
export function nthAddress(cidr: string, n: number): string {
  const parsed = parseCidr(cidr);
  if (!parsed) throw new Error(`not an IPv4 range: ${cidr}`);
  return toAddress(network(parsed) + n);
}
function overlap(a: string, b: string): boolean {
  const left = parseCidr(a);
  const right = parseCidr(b);
  if (!left || !right) return false;
  const bits = Math.min(left.bits, right.bits);
  return network({ base: left.base, bits }) === network({ base: right.base, bits });
}
