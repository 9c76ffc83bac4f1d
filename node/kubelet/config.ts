// What a kubelet needs to know. Flags bear upstream's names; `cluster/` fills the same type without files.
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { UsageError, parseFlags, type FlagTable } from '#machinery/base/flags.ts';
import type { ClientConfig } from '#machinery/client/types.ts';

export interface KubeletConfig {
  client: ClientConfig;
  nodeName: string;
  nodeIp: string;
  /** Where the API is served; 0 picks a free port. */
  port: number;
  /** Defaults to the node IP. */
  listenAddress?: string;
  /** Where hostPorts answer that name no address; all of the machine's when absent. Nodes that share a machine take their own. */
  hostPortIp?: string;
  /** PEM: certificates signed by it may use the kubelet's API. Without it nobody may. */
  clientCa?: string;
  /** PEM; made at start, signed by itself, when absent. */
  serving?: { cert: string; key: string };
  rootDir: string;
  /** Where volumes of StorageClass local-path live; without it this node has none. */
  localVolumesDir?: string;
  runtime: 'docker' | 'hollow';
  /** unix:///var/run/docker.sock or tcp://…; the engine must be on this machine. */
  dockerHost: string;
  /** Distinguishes what this cluster made on the engine; the uid of namespace kube-system in a cluster. */
  clusterId: string;
  /** Name of the node's bridge. */
  bridgeName: string;
  /** Instead of waiting for spec.podCIDR. */
  podCidr?: string;
  /** Addresses that pods reach without their source being rewritten. */
  clusterCidr: string;
  clusterDns: string[];
  clusterDomain: string;
  resolvConf: string;
  maxPods: number;
  nodeLabels: Record<string, string>;
  registerTaints: { key: string; value?: string; effect: string }[];
  /** What the hollow runtime claims to have; a real node reads its own. */
  capacity?: { cpu: string; memory: string };
  nodeStatusUpdateMs: number;
  leaseDurationSeconds: number;
  version: string;
}

export const kubeletVersion = 'v1.36.0+proa0.1.0';

export const defaults = {
  port: 10250,
  rootDir: '/var/lib/kubelet',
  dockerHost: 'unix:///var/run/docker.sock',
  clusterId: 'default',
  bridgeName: 'cbr0',
  clusterCidr: '10.42.0.0/16',
  clusterDns: [] as string[],
  clusterDomain: 'cluster.local',
  resolvConf: '/etc/resolv.conf',
  maxPods: 110,
  nodeLabels: {},
  registerTaints: [],
  nodeStatusUpdateMs: 10_000,
  leaseDurationSeconds: 40,
  version: kubeletVersion,
} as const;

export const kubeletFlags = {
  'kubeconfig': { kind: 'string', placeholder: 'FILE', help: 'How to reach the API server.' },
  'hostname-override': { kind: 'string', placeholder: 'NAME', help: 'Name of the Node; the host name when absent.' },
  'node-ip': { kind: 'string', placeholder: 'IP', help: "The node's InternalIP." },
  'port': { kind: 'number', default: defaults.port, max: 65535, help: 'Port of the kubelet API; 0 picks a free one.' },
  'address': { kind: 'string', placeholder: 'IP', help: 'Address of the kubelet API; the node IP when absent.' },
  'client-ca-file': { kind: 'string', placeholder: 'FILE', help: 'Clients with a certificate of this CA may use the kubelet API.' },
  'tls-cert-file': { kind: 'string', placeholder: 'FILE', help: 'Serving certificate; self-made when absent.' },
  'tls-private-key-file': { kind: 'string', placeholder: 'FILE', help: 'Key of the serving certificate.' },
  'root-dir': { kind: 'string', default: defaults.rootDir, placeholder: 'DIR', help: "Where pods' files live." },
  'local-volumes-dir': { kind: 'string', placeholder: 'DIR', help: 'Where volumes of StorageClass local-path live; none here when absent.' },
  'runtime': { kind: 'string', default: 'docker', oneOf: ['docker', 'hollow'], help: 'Run containers, or only pretend to.' },
  'docker-host': { kind: 'string', default: defaults.dockerHost, placeholder: 'URL', help: 'The Docker Engine on this machine.' },
  'cluster-id': { kind: 'string', default: defaults.clusterId, placeholder: 'ID', help: 'Tells apart clusters that share an engine.' },
  'bridge': { kind: 'string', default: defaults.bridgeName, placeholder: 'NAME', help: "Name of the node's bridge." },
  'pod-cidr': { kind: 'string', placeholder: 'CIDR', help: 'Pod addresses; spec.podCIDR of the Node when absent.' },
  'cluster-cidr': { kind: 'string', default: defaults.clusterCidr, placeholder: 'CIDR', help: 'Pod addresses of all nodes, reached without NAT.' },
  'cluster-dns': { kind: 'list', default: [], placeholder: 'IP,…', help: 'DNS servers of pods with dnsPolicy ClusterFirst.' },
  'cluster-domain': { kind: 'string', default: defaults.clusterDomain, placeholder: 'DOMAIN', help: 'Domain of the cluster.' },
  'resolv-conf': { kind: 'string', default: defaults.resolvConf, placeholder: 'FILE', help: 'Resolver configuration that pods start from.' },
  'max-pods': { kind: 'number', default: defaults.maxPods, min: 1, help: 'Pods that may run here.' },
  'node-labels': { kind: 'list', default: [], placeholder: 'K=V,…', help: 'Labels that the Node registers with.' },
  'register-with-taints': { kind: 'list', default: [], placeholder: 'K=V:EFFECT,…', help: 'Taints that the Node registers with.' },
} as const satisfies FlagTable;

/** Everything but how to reach the API server, which the kubeconfig says. `read` takes a file's name. */
export function configFromFlags(args: readonly string[], read: (file: string) => string): { kubeconfig: string; config: Omit<KubeletConfig, 'client'> } {
  const flags = parseFlags(kubeletFlags, args);
  if (flags.kubeconfig === undefined) throw new UsageError('--kubeconfig is needed: the file that says how to reach the API server');
  if (flags['node-ip'] === undefined) throw new UsageError("--node-ip is needed: the address by which others reach this node");
  if ((flags['tls-cert-file'] === undefined) !== (flags['tls-private-key-file'] === undefined)) {
    throw new UsageError('--tls-cert-file and --tls-private-key-file belong together');
  }
  const config = {
    nodeName: (flags['hostname-override'] ?? hostname()).toLowerCase(),
    nodeIp: flags['node-ip'],
    port: flags.port,
    ...(flags.address === undefined ? {} : { listenAddress: flags.address }),
    ...(flags['client-ca-file'] === undefined ? {} : { clientCa: read(flags['client-ca-file']) }),
    ...(flags['tls-cert-file'] === undefined || flags['tls-private-key-file'] === undefined ? {}
      : { serving: { cert: read(flags['tls-cert-file']), key: read(flags['tls-private-key-file']) } }),
    rootDir: flags['root-dir'],
    ...(flags['local-volumes-dir'] === undefined ? {} : { localVolumesDir: resolve(flags['local-volumes-dir']) }),
    runtime: flags.runtime === 'hollow' ? 'hollow' as const : 'docker' as const,
    dockerHost: flags['docker-host'],
    clusterId: flags['cluster-id'],
    bridgeName: flags.bridge,
    ...(flags['pod-cidr'] === undefined ? {} : { podCidr: flags['pod-cidr'] }),
    clusterCidr: flags['cluster-cidr'],
    clusterDns: flags['cluster-dns'],
    clusterDomain: flags['cluster-domain'],
    resolvConf: flags['resolv-conf'],
    maxPods: flags['max-pods'],
    nodeLabels: Object.fromEntries(flags['node-labels'].map((label) => {
      const [key = '', value = ''] = label.split('=');
      if (key === '') throw new UsageError(`--node-labels takes KEY=VALUE, not "${label}"`);
      return [key, value];
    })),
    registerTaints: flags['register-with-taints'].map(parseTaint),
    nodeStatusUpdateMs: defaults.nodeStatusUpdateMs,
    leaseDurationSeconds: defaults.leaseDurationSeconds,
    version: defaults.version,
  };
  return { kubeconfig: flags.kubeconfig, config };
}

/** `key=value:Effect` or `key:Effect`. */
export function parseTaint(text: string): { key: string; value?: string; effect: string } {
  const match = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text);
  if (!match?.[1] || !match[3]) throw new UsageError(`a taint is KEY=VALUE:NoSchedule|PreferNoSchedule|NoExecute, not "${text}"`);
  return { key: match[1], ...(match[2] === undefined ? {} : { value: match[2] }), effect: match[3] };
}
