// Services and EndpointSlices as the proxy needs them: one entry a Service port, with the endpoints behind it. Pure.
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { EndpointSlice, Service } from '#machinery/api/object.ts';

export type Family = 'IPv4' | 'IPv6';

export interface ProxyEndpoint {
  ip: string;
  port: number;
  /** `ip:port`, `[ip]:port` for IPv6. */
  address: string;
  /** Where it runs; '' when nobody says. */
  nodeName: string;
  ready: boolean;
  serving: boolean;
  terminating: boolean;
  zoneHints: readonly string[];
  nodeHints: readonly string[];
}

export interface ServicePort {
  /** `namespace/name:port`, without `:port` for an unnamed one: what hashes, comments and metrics are made of. */
  name: string;
  namespace: string;
  service: string;
  protocol: 'tcp' | 'udp' | 'sctp';
  clusterIp: string;
  port: number;
  nodePort: number;
  externalIps: readonly string[];
  loadBalancerIps: readonly string[];
  sourceRanges: readonly string[];
  /** Seconds of ClientIP affinity; 0: none. */
  affinitySeconds: number;
  internalLocal: boolean;
  externalLocal: boolean;
  healthCheckNodePort: number;
  endpoints: readonly ProxyEndpoint[];
}

const proxyNameLabel = 'service.kubernetes.io/service-proxy-name';
const headlessLabel = 'service.kubernetes.io/headless';
const serviceNameLabel = 'kubernetes.io/service-name';

function familyOf(ip: string): Family | undefined {
  const version = isIP(ip);
  return version === 4 ? 'IPv4' : version === 6 ? 'IPv6' : undefined;
}

/** Every port that a proxy serves, by name; headless and ExternalName Services and foreign proxies' are left out. */
export function servicePorts(services: readonly Service[], slices: readonly EndpointSlice[], family: Family): ServicePort[] {
  const byService = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const name = slice.metadata.labels?.[serviceNameLabel];
    if (!name || slice.addressType !== family || slice.metadata.labels?.[headlessLabel] !== undefined) continue;
    const key = `${slice.metadata.namespace ?? ''}/${name}`;
    const list = byService.get(key);
    if (list) list.push(slice);
    else byService.set(key, [slice]);
  }
  const ports: ServicePort[] = [];
  for (const { metadata, spec, status } of services) {
    if (!spec || spec.type === 'ExternalName' || metadata.labels?.[proxyNameLabel] !== undefined) continue;
    const clusterIp = [...(spec.clusterIPs ?? []), spec.clusterIP ?? ''].find((ip) => familyOf(ip) === family);
    if (!clusterIp) continue; // headless, not yet allocated, or of the other family only
    const key = `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
    const own = byService.get(key) ?? [];
    const ofFamily = (ips: readonly string[] = []): string[] => ips.filter((ip) => familyOf(ip) === family);
    const external = spec.externalTrafficPolicy === 'Local';
    for (const port of spec.ports ?? []) {
      const protocol = (port.protocol ?? 'TCP').toLowerCase();
      if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') continue;
      ports.push({
        name: port.name ? `${key}:${port.name}` : key,
        namespace: metadata.namespace ?? '',
        service: metadata.name ?? '',
        protocol,
        clusterIp,
        port: port.port,
        nodePort: port.nodePort ?? 0,
        externalIps: ofFamily(spec.externalIPs),
        loadBalancerIps: ofFamily((status?.loadBalancer?.ingress ?? []).filter(({ ipMode }) => (ipMode ?? 'VIP') === 'VIP').map(({ ip }) => ip ?? '')),
        sourceRanges: (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim()).filter((range) => familyOf(range.split('/')[0] ?? '') === family),
        affinitySeconds: spec.sessionAffinity === 'ClientIP' ? spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800 : 0,
        internalLocal: spec.internalTrafficPolicy === 'Local',
        externalLocal: external,
        healthCheckNodePort: external && spec.type === 'LoadBalancer' ? spec.healthCheckNodePort ?? 0 : 0,
        endpoints: endpointsOf(own, port.name ?? '', protocol),
      });
    }
  }
  return ports.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function endpointsOf(slices: readonly EndpointSlice[], portName: string, protocol: string): ProxyEndpoint[] {
  const found = new Map<string, ProxyEndpoint>();
  for (const slice of [...slices].sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))) {
    for (const port of slice.ports ?? []) {
      if ((port.name ?? '') !== portName || (port.protocol ?? 'TCP').toLowerCase() !== protocol || !port.port) continue;
      for (const { addresses, conditions, nodeName = '', hints } of slice.endpoints ?? []) {
        const ip = addresses[0];
        if (!ip) continue;
        const address = slice.addressType === 'IPv6' ? `[${ip}]:${port.port}` : `${ip}:${port.port}`;
        const ready = conditions?.ready ?? true;
        const endpoint: ProxyEndpoint = {
          ip, port: port.port, address,
          nodeName,
          ready,
          serving: conditions?.serving ?? ready,
          terminating: conditions?.terminating ?? false,
          zoneHints: (hints?.forZones ?? []).map(({ name }) => name),
          nodeHints: (hints?.forNodes ?? []).map(({ name }) => name),
        };
        // While a pod moves from slice to slice it stands in both; the one that says ready counts.
        const before = found.get(address);
        if (!before || (endpoint.ready && !before.ready)) found.set(address, endpoint);
      }
    }
  }
  return [...found.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** Whether traffic from outside the cluster can be meant for the port. */
export function isExternal(port: ServicePort): boolean {
  return port.nodePort !== 0 || port.externalIps.length > 0 || port.loadBalancerIps.length > 0;
}

/** A node that shares the proxy's network namespace. */
export interface ProxyNode {
  name: string;
  ip: string;
  /** Sources that are this node's pods; undefined until the Node has it. */
  podCidr?: string;
  zone?: string;
}

/** The endpoints that one traffic policy uses. */
export interface Choice {
  /** For clients of which nobody can say on which of the nodes they are. */
  shared: readonly ProxyEndpoint[];
  /** Each node's own endpoints; empty when they are the same for all nodes. */
  byNode: readonly { node: ProxyNode; endpoints: readonly ProxyEndpoint[] }[];
}

export interface Categories {
  /** What policy Cluster uses. */
  cluster: Choice;
  /** What policy Local uses. */
  local: Choice;
  /** All that any rule leads to. */
  reachable: readonly ProxyEndpoint[];
  /** Some node has a usable endpoint. */
  any: boolean;
}

/** Which endpoints each traffic policy uses: ready ones, else those that still serve while they terminate. */
export function categorize(port: ServicePort, nodes: readonly ProxyNode[]): Categories {
  const { endpoints } = port;
  const usesCluster = !port.internalLocal || isExternal(port);
  const usesLocal = port.internalLocal || (port.externalLocal && isExternal(port));
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const lingering = endpoints.filter((endpoint) => !endpoint.ready && endpoint.serving && endpoint.terminating);
  const localOf = ({ name }: ProxyNode): readonly ProxyEndpoint[] => {
    const localReady = ready.filter(({ nodeName }) => nodeName === name);
    return localReady.length > 0 ? localReady : lingering.filter(({ nodeName }) => nodeName === name);
  };
  const cluster = choose(usesCluster ? nodes : [], (node) => (ready.length > 0 ? nearby(ready, node) : lingering));
  const local = choose(usesLocal ? nodes : [], localOf);
  return { cluster, local, reachable: [...new Set([...cluster.shared, ...local.shared])], any: ready.length > 0 || lingering.length > 0 };
}

function choose(nodes: readonly ProxyNode[], endpointsOn: (node: ProxyNode) => readonly ProxyEndpoint[]): Choice {
  const byNode = nodes.map((node) => ({ node, endpoints: endpointsOn(node) }));
  const all = new Set(byNode.flatMap(({ endpoints }) => endpoints));
  const shared = [...all].sort((a, b) => (a.address < b.address ? -1 : 1));
  return { shared, byNode: byNode.every(({ endpoints }) => endpoints.length === all.size) ? [] : byNode };
}

/** Follows hints when every endpoint has them and one names this node (or else its zone). */
function nearby(ready: readonly ProxyEndpoint[], { name: nodeName, zone }: ProxyNode): readonly ProxyEndpoint[] {
  if (ready.every(({ nodeHints }) => nodeHints.length > 0)) {
    const own = ready.filter(({ nodeHints }) => nodeHints.includes(nodeName));
    if (own.length > 0) return own;
  }
  if (zone !== undefined && ready.every(({ zoneHints }) => zoneHints.length > 0)) {
    const own = ready.filter(({ zoneHints }) => zoneHints.includes(zone));
    if (own.length > 0) return own;
  }
  return ready;
}

const hashes = new Map<string, string>();
/** A chain name as upstream makes it: prefix and 16 characters of a base32 SHA-256. `part`: an endpoint or a node of the port. */
export function chainName(prefix: 'SVC' | 'SVL' | 'EXT' | 'FW' | 'SEP', port: ServicePort, part = ''): string {
  const text = `${port.name}${port.protocol}${part}`;
  let hash = hashes.get(text);
  if (hash === undefined) {
    hash = base32(createHash('sha256').update(text).digest()).slice(0, 16);
    if (hashes.size >= 20_000) hashes.clear();
    hashes.set(text, hash);
  }
  return `KUBE-${prefix}-${hash}`;
}

function base32(bytes: Buffer): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes.subarray(0, 10)) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(value >>> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return text;
}
