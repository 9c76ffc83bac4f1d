// Services in, iptables text out: golden pairs in testdata (UPDATE_GOLDEN=1 rewrites the outputs), and what a write leaves out.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import type { EndpointSlice, Service } from '#machinery/api/object.ts';
import { buildRules, contains, jumps, restoreText, type RulesInput, type RuleSet } from './rules.ts';
import { chainName, servicePorts, type ServicePort } from './services.ts';

interface Golden { services: Service[]; slices: EndpointSlice[]; zone?: string }
const folder = new URL('testdata/', import.meta.url);
const readGolden = (name: string): Golden => JSON.parse(readFileSync(new URL(`${name}.input.json`, folder), 'utf8')) as Golden; // our own files
function rulesOf({ services, slices, zone }: Golden, more: Partial<RulesInput> = {}): RuleSet {
  const ports = servicePorts(services, slices, 'IPv4');
  return buildRules({
    family: 'IPv4', ports, nodes: [{ name: 'here', ip: '10.41.0.2', zone }], clusterCidr: '10.42.0.0/16', masqueradeAll: false,
    localhostNodePorts: true, randomFully: true, ...more,
  });
}
const port = (name: string, protocol: ServicePort['protocol'] = 'tcp') => ({ name, protocol }) as ServicePort;

describe('buildRules()', () => {
  const names = readdirSync(folder).filter((file) => file.endsWith('.input.json')).map((file) => file.replace('.input.json', ''));
  for (const name of names) {
    it(`writes ${name} as the golden file`, () => {
      const { text } = restoreText(rulesOf(readGolden(name)), { written: undefined, missingJumps: name === 'cluster-ip' ? jumps : [] });
      const file = new URL(`${name}.output.txt`, folder);
      if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, text);
      expect(text).to.equal(readFileSync(file, 'utf8'));
    });
  }
  it('asks where the client is when several nodes are one machine', () => {
    const golden = readGolden('local-policies');
    const nodes = [{ name: 'here', ip: '10.41.0.2', podCidr: '10.42.0.0/24' }, { name: 'elsewhere', ip: '10.41.0.3', podCidr: '10.42.1.0/24' }, { name: 'empty', ip: '10.41.0.4', podCidr: '10.42.2.0/24' }];
    const { text } = restoreText(rulesOf(golden, { nodes }), { written: undefined });
    const file = new URL('local-policies.three-nodes.output.txt', folder);
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, text);
    expect(text).to.equal(readFileSync(file, 'utf8'));
  });
  it('jumps only to chains that it also writes', () => {
    for (const name of names) {
      const { filter, nat } = rulesOf(readGolden(name));
      for (const chains of [filter, nat]) {
        for (const rules of chains.values()) {
          for (const rule of rules) {
            const target = /-j (KUBE-\S+)/.exec(rule)?.[1];
            if (target) expect(chains.has(target), `${name}: ${target}`).to.equal(true);
          }
        }
      }
    }
  });
  it('masquerades everything with masqueradeAll, nothing from a cluster whose addresses are unknown', () => {
    const all = [...rulesOf(readGolden('cluster-ip'), { masqueradeAll: true }).nat.values()].flat();
    expect(all.filter((rule) => rule.includes('-d 10.43.0.20') && rule.endsWith('--dport 80 -j KUBE-MARK-MASQ'))).to.have.length(1);
    const unknown = [...rulesOf(readGolden('cluster-ip'), { clusterCidr: '' }).nat.values()].flat();
    expect(unknown.filter((rule) => rule.includes('-d 10.43.0.20') && rule.includes('KUBE-MARK-MASQ'))).to.have.length(0);
  });
  it('keeps NodePorts off loopback and to given addresses when asked', () => {
    const closed = rulesOf(readGolden('node-port'), { localhostNodePorts: false });
    expect(closed.nat.get('KUBE-SERVICES')?.at(-1)).to.contain('--dst-type LOCAL ! -d 127.0.0.0/8 -j KUBE-NODEPORTS');
    expect(closed.filter.get('KUBE-FIREWALL')).to.deep.equal([]);
    expect(rulesOf(readGolden('node-port'), { nodePortIps: ['10.41.0.2'] }).nat.get('KUBE-SERVICES')?.at(-1)).to.contain('-d 10.41.0.2 -j KUBE-NODEPORTS');
  });
  it('keeps packets for loopback addresses out that come from outside, not what the node sends itself', () => {
    expect(rulesOf(readGolden('node-port')).filter.get('KUBE-FIREWALL')).to.deep.equal([
      '-i lo -j RETURN', '-o lo -j RETURN',
      '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
    ]);
  });
  it('leaves the comments of endpoints out above 1,000 of them', () => {
    const endpoints = Array.from({ length: 1001 }, (_, i) => ({ addresses: [`10.42.${i >> 8}.${i & 255}`], conditions: { ready: true } }));
    const golden = readGolden('cluster-ip');
    const [, web] = golden.slices;
    const rules = rulesOf({ ...golden, slices: web ? [{ ...web, endpoints }] : [] });
    expect([...rules.nat.values()].flat().some((rule) => rule.includes('->'))).to.equal(false);
  });
  it('skips endpoints without a port number and protocols it does not know', () => {
    const golden = readGolden('cluster-ip');
    const slices = golden.slices.map((slice) => ({ ...slice, ports: [{ name: 'http' }] }));
    expect(servicePorts(golden.services, slices, 'IPv4').every(({ endpoints }) => endpoints.length === 0)).to.equal(true);
    const [service] = golden.services;
    const odd = { ...service, spec: { ...service?.spec, ports: [{ port: 1, protocol: 'QUIC' }] } } as Service;
    expect(servicePorts([odd], [], 'IPv4')).to.deep.equal([]);
  });
});

describe('chainName()', () => {
  it('is what upstream makes of well-known ports', () => {
    expect(chainName('SVC', port('default/kubernetes:https'))).to.equal('KUBE-SVC-NPX46M4PTMTKRN6Y');
    expect(chainName('SVC', port('kube-system/kube-dns:dns', 'udp'))).to.equal('KUBE-SVC-TCOU7JCQXEZGVUNU');
  });
});

describe('restoreText()', () => {
  const before = rulesOf(readGolden('cluster-ip'));
  it('is empty when nothing changed', () => expect(restoreText(rulesOf(readGolden('cluster-ip')), { written: before })).to.deep.equal({ text: '', chains: 0 }));
  it('holds only the chains that changed, and removes those that are gone', () => {
    const golden = readGolden('cluster-ip');
    const slices = golden.slices.map((slice) => ({ ...slice, endpoints: slice.endpoints?.filter(({ addresses }) => addresses[0] !== '10.42.1.5') }));
    const { text } = restoreText(rulesOf({ ...golden, slices }), { written: before });
    const web = chainName('SVC', port('default/web:http'));
    const gone = chainName('SEP', port('default/web:http'), '10.42.1.5:8080');
    expect(text.split('\n').filter((line) => line.startsWith(':') || line.startsWith('-X') || line.startsWith('*'))).to.deep.equal(['*nat', `:${web} - [0:0]`, `:${gone} - [0:0]`, `-X ${gone}`]);
  });
  it('removes chains of an earlier process', () => {
    const { text } = restoreText(before, { written: undefined, serviceChains: ['KUBE-SVC-AAAAAAAAAAAAAAAA'] });
    expect(text).to.contain(':KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]').and.to.contain('-X KUBE-SVC-AAAAAAAAAAAAAAAA');
  });
});

describe('contains()', () => {
  const cases: [string, string, boolean][] = [['10.0.0.0/8', '10.1.2.3', true], ['10.0.0.0/8', '11.0.0.1', false], ['10.0.0.0/8', '::1', false], ['fd00::/8', 'fd00::1', true], ['10.0.0.1', '10.0.0.1', true]];
  for (const [cidr, ip, expected] of cases) it(`${ip} in ${cidr}: ${expected}`, () => expect(contains(cidr, ip)).to.equal(expected));
});
