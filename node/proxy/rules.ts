// Services -> iptables chains, and chains -> the text that iptables-restore takes. Pure; upstream's chains, rules and comments
// (pkg/proxy/iptables/proxier.go), so that tools that know those understand ours.
import { BlockList, isIPv6 } from 'node:net';
import { categorize, chainName, isExternal, type Choice, type Family, type ProxyEndpoint, type ProxyNode, type ServicePort } from './services.ts';

export type Table = 'filter' | 'nat';
/** Chain -> its rules without `-A CHAIN`, in order. */
export type Chains = Map<string, string[]>;
export interface RuleSet { filter: Chains; nat: Chains }

export interface RulesInput {
  family: Family;
  ports: readonly ServicePort[];
  /** One, or the virtual nodes of one machine: who is local then depends on where the client is. */
  nodes: readonly ProxyNode[];
  /** Traffic from here is pods' own; anything else that comes for a cluster IP is masqueraded. Empty: nothing is known to be local. */
  clusterCidr: string;
  masqueradeAll: boolean;
  /** NodePorts answer on 127.0.0.1 too. */
  localhostNodePorts: boolean;
  /** NodePorts answer on these addresses only; empty: on all of the node's. */
  nodePortIps?: readonly string[];
  randomFully: boolean;
  tcpBeLiberal?: boolean;
}

export const masqueradeMark = '0x4000';
const mark = `${masqueradeMark}/${masqueradeMark}`;
/** Above this many endpoints the comments of single endpoints are left out. */
const largeCluster = 1000;

export const topChains: Readonly<Record<Table, readonly string[]>> = {
  filter: ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD', 'KUBE-NODEPORTS', 'KUBE-PROXY-FIREWALL'],
  nat: ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'],
};
/** Emptied when somebody flushes the tables: that is how we notice. */
export const canary = 'KUBE-PROXY-CANARY';
export const firewallChain = 'KUBE-FIREWALL';
const perPort = /^KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$/;
export function isServiceChain(chain: string): boolean {
  return perPort.test(chain);
}

export interface Jump { table: Table; from: string; to: string; match: string }
const onNew = '-m conntrack --ctstate NEW';
const say = (text: string): string => `-m comment --comment "${text}"`;
/** Each is put at the top of its chain in this order, so that the last stands first. */
export const jumps: readonly Jump[] = [
  { table: 'filter', from: 'INPUT', to: 'KUBE-EXTERNAL-SERVICES', match: `${onNew} ${say('kubernetes externally-visible service portals')}` },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-EXTERNAL-SERVICES', match: `${onNew} ${say('kubernetes externally-visible service portals')}` },
  { table: 'filter', from: 'INPUT', to: 'KUBE-NODEPORTS', match: say('kubernetes health check service ports') },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-SERVICES', match: `${onNew} ${say('kubernetes service portals')}` },
  { table: 'filter', from: 'OUTPUT', to: 'KUBE-SERVICES', match: `${onNew} ${say('kubernetes service portals')}` },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-FORWARD', match: say('kubernetes forwarding rules') },
  { table: 'filter', from: 'INPUT', to: 'KUBE-PROXY-FIREWALL', match: `${onNew} ${say('kubernetes load balancer firewall')}` },
  { table: 'filter', from: 'OUTPUT', to: 'KUBE-PROXY-FIREWALL', match: `${onNew} ${say('kubernetes load balancer firewall')}` },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-PROXY-FIREWALL', match: `${onNew} ${say('kubernetes load balancer firewall')}` },
  { table: 'nat', from: 'OUTPUT', to: 'KUBE-SERVICES', match: say('kubernetes service portals') },
  { table: 'nat', from: 'PREROUTING', to: 'KUBE-SERVICES', match: say('kubernetes service portals') },
  { table: 'nat', from: 'POSTROUTING', to: 'KUBE-POSTROUTING', match: say('kubernetes postrouting rules') },
  { table: 'filter', from: 'INPUT', to: firewallChain, match: '' },
  { table: 'filter', from: 'OUTPUT', to: firewallChain, match: '' },
];

/** Every chain of ours with its rules. */
export function buildRules(input: RulesInput): RuleSet {
  const filter: Chains = new Map(topChains.filter.map((chain) => [chain, []]));
  const nat: Chains = new Map(topChains.nat.map((chain) => [chain, []]));
  const rules = { filter, nat };
  const guarded = input.family === 'IPv4' && input.localhostNodePorts;

  add(nat, 'KUBE-POSTROUTING', `-m mark ! --mark ${mark} -j RETURN`);
  // Off again, so that a packet that comes by twice is not masqueraded twice.
  add(nat, 'KUBE-POSTROUTING', `-j MARK --xor-mark ${masqueradeMark}`);
  add(nat, 'KUBE-POSTROUTING', `${say('kubernetes service traffic requiring SNAT')} -j MASQUERADE${input.randomFully ? ' --random-fully' : ''}`);
  add(nat, 'KUBE-MARK-MASQ', `-j MARK --or-mark ${masqueradeMark}`);
  // route_localnet lets packets for 127.0.0.0/8 in from outside; this keeps them out. What goes over the loopback device is the
  // node's own, from whichever of its addresses, and Docker's port proxy answers it there without a DNAT (hostPorts of 127.0.0.1).
  filter.set(firewallChain, guarded
    ? ['-i lo -j RETURN', '-o lo -j RETURN', `${say('block incoming localnet connections')} -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`] : []);

  const endpoints = input.ports.reduce((sum, port) => sum + port.endpoints.length, 0);
  for (const port of input.ports) addPort(rules, port, input, endpoints <= largeCluster);

  const last = say('kubernetes service nodeports; NOTE: this must be the last rule in this chain');
  if (input.nodePortIps?.length) {
    for (const ip of input.nodePortIps) add(nat, 'KUBE-SERVICES', `${last} -d ${ip} -j KUBE-NODEPORTS`);
  } else {
    const except = input.family === 'IPv6' ? ' ! -d ::1/128' : input.localhostNodePorts ? '' : ' ! -d 127.0.0.0/8';
    add(nat, 'KUBE-SERVICES', `${last} -m addrtype --dst-type LOCAL${except} -j KUBE-NODEPORTS`);
  }
  if (!input.tcpBeLiberal) add(filter, 'KUBE-FORWARD', '-m conntrack --ctstate INVALID -j DROP');
  add(filter, 'KUBE-FORWARD', `${say('kubernetes forwarding rules')} -m mark --mark ${mark} -j ACCEPT`);
  add(filter, 'KUBE-FORWARD', `${say('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`);
  return rules;
}

function add(chains: Chains, chain: string, rule: string): void {
  const rules = chains.get(chain);
  if (rules) rules.push(rule);
  else chains.set(chain, [rule]);
}

function addPort({ filter, nat }: RuleSet, port: ServicePort, input: RulesInput, withComments: boolean): void {
  const { name, protocol } = port;
  const { cluster, local, reachable, any } = categorize(port, input.nodes);
  const internal = any && (!port.internalLocal || local.shared.length > 0);
  const external = any && (!port.externalLocal || local.shared.length > 0);
  const withoutLocal = local.byNode.filter((choice) => choice.endpoints.length === 0).map(({ node }) => node);
  const refusesAt = (ip: string): boolean => !external || (port.externalLocal && withoutLocal.some((node) => node.ip === ip));
  const internalChain = chainName(port.internalLocal ? 'SVL' : 'SVC', port);
  const clusterChain = chainName('SVC', port);
  const externalChain = chainName('EXT', port);
  const firewalled = any && port.loadBalancerIps.length > 0 && port.sourceRanges.length > 0;
  const proto = `-m ${protocol} -p ${protocol}`;
  const to = (ip: string): string => `${proto} -d ${ip} --dport ${port.port}`;
  const reject = any ? `${say(`${name} has no local endpoints`)} %match -j DROP` : `${say(`${name} has no endpoints`)} %match -j REJECT`;
  const refuse = (chain: string, match: string): void => add(filter, chain, reject.replace('%match', () => match));

  if (internal) add(nat, 'KUBE-SERVICES', `${say(`${name} cluster IP`)} ${to(port.clusterIp)} -j ${internalChain}`);
  else refuse('KUBE-SERVICES', to(port.clusterIp));
  if (internal && port.internalLocal) for (const { podCidr } of withoutLocal) if (podCidr) refuse('KUBE-SERVICES', `-s ${podCidr} ${to(port.clusterIp)}`);
  for (const ip of port.externalIps) {
    if (any) add(nat, 'KUBE-SERVICES', `${say(`${name} external IP`)} ${to(ip)} -j ${externalChain}`);
    if (refusesAt(ip)) refuse('KUBE-EXTERNAL-SERVICES', to(ip));
  }
  for (const ip of port.loadBalancerIps) {
    if (any) add(nat, 'KUBE-SERVICES', `${say(`${name} loadbalancer IP`)} ${to(ip)} -j ${firewalled ? chainName('FW', port) : externalChain}`);
    if (firewalled) add(filter, 'KUBE-PROXY-FIREWALL', `${say(`${name} traffic not accepted by ${chainName('FW', port)}`)} ${to(ip)} -j DROP`);
    if (refusesAt(ip)) refuse('KUBE-EXTERNAL-SERVICES', to(ip));
  }
  if (port.nodePort !== 0) {
    if (any) add(nat, 'KUBE-NODEPORTS', `${say(name)} ${proto} --dport ${port.nodePort} -j ${externalChain}`);
    if (!external) refuse('KUBE-EXTERNAL-SERVICES', `-m addrtype --dst-type LOCAL ${proto} --dport ${port.nodePort}`);
    else for (const { ip } of port.externalLocal ? withoutLocal : []) refuse('KUBE-EXTERNAL-SERVICES', `-d ${ip} ${proto} --dport ${port.nodePort}`);
  }
  if (port.healthCheckNodePort !== 0) {
    add(filter, 'KUBE-NODEPORTS', `${say(`${name} health check node port`)} -m tcp -p tcp --dport ${port.healthCheckNodePort} -j ACCEPT`);
  }

  if (internal) {
    const match = `${say(`${name} cluster IP`)} ${to(port.clusterIp)}`;
    if (input.masqueradeAll) add(nat, internalChain, `${match} -j KUBE-MARK-MASQ`);
    else if (input.clusterCidr) add(nat, internalChain, `${match} ! -s ${input.clusterCidr} -j KUBE-MARK-MASQ`);
  }
  if (any && isExternal(port)) addExternal(nat, port, input, externalChain, clusterChain, external, local);
  if (firewalled) addFirewall(nat, port, input.nodes, externalChain);
  addChoice(nat, 'SVC', port, cluster, withComments);
  addChoice(nat, 'SVL', port, local, withComments);
  for (const endpoint of reachable) {
    const chain = chainName('SEP', port, endpoint.address);
    const comment = withComments ? `${say(name)} ` : '';
    nat.set(chain, []);
    // A pod that reaches itself through its Service must see another source, or it would answer itself directly.
    add(nat, chain, `${comment}-s ${endpoint.ip} -j KUBE-MARK-MASQ`);
    const affinity = port.affinitySeconds > 0 ? `-m recent --name ${chain} --set ` : '';
    add(nat, chain, `${comment}${affinity}${proto} -j DNAT --to-destination ${endpoint.address}`);
  }
}

function addExternal(nat: Chains, port: ServicePort, input: RulesInput, chain: string, clusterChain: string, external: boolean, local: Choice): void {
  const { name } = port;
  nat.set(chain, []);
  if (!port.externalLocal) {
    add(nat, chain, `${say(`masquerade traffic for ${name} external destinations`)} -j KUBE-MARK-MASQ`);
  } else {
    // Pods and the node itself reach the Service wherever its endpoints are, as they would through a load balancer outside.
    if (input.clusterCidr) add(nat, chain, `${say(`pod traffic for ${name} external destinations`)} -s ${input.clusterCidr} -j ${clusterChain}`);
    // Where several nodes are one machine, what it sends to a node's address stands for a client outside: it has no node of its own.
    for (const { node, endpoints } of local.byNode) add(nat, chain, `${say(`traffic for ${name} on node ${node.name}`)} -d ${node.ip} -j ${nodeTarget('SVL', port, node, endpoints)}`);
    add(nat, chain, `${say(`masquerade LOCAL traffic for ${name} external destinations`)} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`);
    add(nat, chain, `${say(`route LOCAL traffic for ${name} external destinations`)} -m addrtype --src-type LOCAL -j ${clusterChain}`);
  }
  if (external) add(nat, chain, `-j ${port.externalLocal ? chainName('SVL', port) : clusterChain}`);
}

function addFirewall(nat: Chains, port: ServicePort, nodes: readonly ProxyNode[], externalChain: string): void {
  const chain = chainName('FW', port);
  const comment = say(`${port.name} loadbalancer IP`);
  nat.set(chain, []);
  for (const range of port.sourceRanges) add(nat, chain, `${comment} -s ${range} -j ${externalChain}`);
  // A node that speaks to a load balancer's address which is its own has that address as the source.
  if (port.sourceRanges.some((range) => nodes.some(({ ip }) => contains(range, ip)))) {
    for (const ip of port.loadBalancerIps) add(nat, chain, `${comment} -s ${ip} -j ${externalChain}`);
  }
  add(nat, chain, say(`other traffic to ${port.name} will be dropped by KUBE-PROXY-FIREWALL`));
}

/** Pods of a node go to what that node uses; all others to what any of the nodes uses. */
function addChoice(nat: Chains, prefix: 'SVC' | 'SVL', port: ServicePort, { shared, byNode }: Choice, withComments: boolean): void {
  if (shared.length === 0) return;
  const chain = chainName(prefix, port);
  for (const { node, endpoints } of byNode) {
    if (node.podCidr) add(nat, chain, `${say(`pods of node ${node.name}`)} -s ${node.podCidr} -j ${nodeTarget(prefix, port, node, endpoints)}`);
    if (endpoints.length > 0) addBalancing(nat, chainName(prefix, port, node.name), port, endpoints, withComments);
  }
  addBalancing(nat, chain, port, shared, withComments);
}

/** Without endpoints the packet keeps its destination and meets the refusal in the filter table. */
function nodeTarget(prefix: 'SVC' | 'SVL', port: ServicePort, node: ProxyNode, endpoints: readonly ProxyEndpoint[]): string {
  return endpoints.length > 0 ? chainName(prefix, port, node.name) : 'RETURN';
}

function addBalancing(nat: Chains, chain: string, port: ServicePort, endpoints: readonly ProxyEndpoint[], withComments: boolean): void {
  const comment = ({ address }: ProxyEndpoint): string => (withComments ? `${say(`${port.name} -> ${address}`)} ` : '');
  if (port.affinitySeconds > 0) {
    for (const endpoint of endpoints) {
      const target = chainName('SEP', port, endpoint.address);
      add(nat, chain, `${comment(endpoint)}-m recent --name ${target} --rcheck --seconds ${port.affinitySeconds} --reap -j ${target}`);
    }
  }
  endpoints.forEach((endpoint, i) => {
    const left = endpoints.length - i;
    const chance = left > 1 ? `-m statistic --mode random --probability ${(1 / left).toFixed(10)} ` : '';
    add(nat, chain, `${comment(endpoint)}${chance}-j ${chainName('SEP', port, endpoint.address)}`);
  });
}

/** Whether the CIDR holds the address; false when either is no address of the same family. */
export function contains(cidr: string, ip: string): boolean {
  const [network = '', bits] = cidr.split('/');
  const family = isIPv6(network) ? 'ipv6' : 'ipv4';
  if (isIPv6(ip) !== isIPv6(network)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  return list.check(ip, family);
}

/** What is in the kernel already, as far as a write must know. */
export interface Existing {
  /** Chains that this process wrote, with their rules; undefined: write everything. */
  written: RuleSet | undefined;
  /** Per-port chains that are there, whoever wrote them. */
  serviceChains?: readonly string[];
  missingJumps?: readonly Jump[];
  /** Jumps that are there, but must come to the top. */
  lateJumps?: readonly Jump[];
}

export interface Restore { text: string; chains: number }

/** The input of `iptables-restore --noflush` that leads from `existing` to `wanted`; only chains that differ are in it. */
export function restoreText(wanted: RuleSet, { written, serviceChains = [], missingJumps = [], lateJumps = [] }: Existing): Restore {
  let text = '';
  let chains = 0;
  for (const table of ['filter', 'nat'] as const) {
    const before = written?.[table];
    const changed = [...wanted[table]].filter(([chain, rules]) => !sameRules(before?.get(chain), rules));
    const old = new Set([...(before?.keys() ?? []), ...(table === 'nat' ? serviceChains : [])]);
    const gone = [...old].filter((chain) => !wanted[table].has(chain));
    const late = lateJumps.filter((jump) => jump.table === table);
    const needed = jumps.filter((jump) => jump.table === table && (missingJumps.includes(jump) || late.includes(jump)));
    const fresh = written ? [] : [canary];
    if (changed.length + gone.length + needed.length + fresh.length === 0) continue;
    chains += changed.length + gone.length;
    const lines = [`*${table}`];
    for (const chain of fresh) lines.push(`:${chain} - [0:0]`);
    for (const [chain] of changed) lines.push(`:${chain} - [0:0]`);
    for (const chain of gone) lines.push(`:${chain} - [0:0]`);
    const rule = ({ from, to, match }: Jump): string => `${from}${match === '' ? '' : ` ${match}`} -j ${to}`;
    for (const jump of late) lines.push(`-D ${rule(jump)}`);
    for (const jump of needed) lines.push(`-I ${rule(jump)}`);
    for (const [chain, rules] of changed) for (const each of rules) lines.push(`-A ${chain} ${each}`);
    for (const chain of gone) lines.push(`-X ${chain}`);
    text += `${lines.join('\n')}\nCOMMIT\n`;
  }
  return { text, chains };
}

function sameRules(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a !== undefined && a.length === b.length && a.every((rule, i) => rule === b[i]);
}
