// Answers by name and type, in the forms of the specification and with CoreDNS's choices.
import { expect } from 'chai';
import type { EndpointSlice, Service } from '#machinery/api/object.ts';
import { answer, canonicalIpv6, clusterIps, type Answer, type RecordSource } from './records.ts';

const service = (name: string, spec: Service['spec'], namespace = 'default'): Service => ({ metadata: { name, namespace }, spec });
const slice = (name: string, endpoints: EndpointSlice['endpoints'], ports: EndpointSlice['ports'], addressType = 'IPv4'): EndpointSlice => ({
  metadata: { name: `${name}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } }, addressType, endpoints, ports,
});
const services = [
  service('web', { clusterIP: '10.43.0.20', clusterIPs: ['10.43.0.20', 'fd00::20'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }, { name: 'dns', port: 53, protocol: 'UDP' }] }),
  service('plain', { clusterIP: '10.43.0.21', ports: [{ port: 80 }] }),
  service('db', { clusterIP: 'None', clusterIPs: ['None'], ports: [{ name: 'sql', port: 5432 }] }),
  service('idle', { clusterIP: 'None', ports: [{ name: 'sql', port: 5432 }] }),
  service('bare', { clusterIP: 'None' }),
  service('six', { clusterIP: 'None' }),
  service('out', { type: 'ExternalName', externalName: 'www.example.com.' }),
  service('outip', { type: 'ExternalName', externalName: '192.0.2.1' }),
  service('kube-dns', { clusterIP: '10.43.0.10', ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }, 'kube-system'),
];
const slices = [
  slice('db', [{ addresses: ['10.42.0.3'], hostname: 'db-0', conditions: { ready: true } }, { addresses: ['10.42.0.4'] }, { addresses: ['10.42.0.5'], conditions: { ready: false } }], [{ name: 'sql', port: 5433, protocol: 'TCP' }]),
  slice('web', [{ addresses: ['10.42.0.9'] }], [{ name: 'http', port: 8080, protocol: 'TCP' }]),
  slice('idle', [{ addresses: ['10.42.0.6'], conditions: { ready: false } }], [{ name: 'sql', port: 5432 }]),
  slice('bare', [{ addresses: ['10.42.0.7'] }], []),
  slice('six', [{ addresses: ['fd00:1::'] }], [], 'IPv6'),
];
const source: RecordSource = {
  hasNamespace: (name) => name === 'default' || name === 'kube-system',
  service: (namespace, name) => services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name),
  slices: (namespace, name) => slices.filter(({ metadata }) => metadata.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === name),
  servicesByIp: (ip) => services.filter((one) => clusterIps(one).map((own) => (own.includes(':') ? canonicalIpv6(own) : own)).includes(ip)),
  slicesByIp: (ip) => slices.filter(({ endpoints }) => endpoints?.some(({ addresses }) => addresses.includes(ip))),
};
const ask = (name: string, type: string): Answer | undefined => answer(source, { zone: 'cluster.local', ttl: 5, serial: 1 }, name.split('.'), type);
/** Data of the answers, shortest form; the rcode, or NODATA, when there are none; `forward` when it is not ours. */
function brief(name: string, type: string): string {
  const found = ask(name, type);
  if (!found) return 'forward';
  if (found.answers.length === 0) return found.rcode === 'NOERROR' ? 'NODATA' : found.rcode;
  return found.answers.map((record) => {
    switch (record.type) {
      case 'A': case 'AAAA': return record.ip;
      case 'SRV': return `${record.priority} ${record.weight} ${record.port} ${record.target}`;
      case 'TXT': return record.text;
      case 'SOA': return record.mname;
      default: return record.target;
    }
  }).join(', ');
}

describe('answer()', () => {
  const cases: [name: string, type: string, expected: string][] = [
    ['web.default.svc.cluster.local', 'A', '10.43.0.20'],
    ['web.default.svc.cluster.local', 'AAAA', 'fd00::20'],
    ['plain.default.svc.cluster.local', 'AAAA', 'NODATA'],
    ['WEB.Default.SVC.cluster.LOCAL', 'A', '10.43.0.20'],
    ['web.default.svc.cluster.local', 'MX', 'NODATA'],
    ['web.nowhere.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['missing.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['missing.default.svc.cluster.local', 'MX', 'NXDOMAIN'],
    ['web.default.cluster.local', 'A', 'NXDOMAIN'],
    ['cluster.local', 'A', 'NODATA'],
    ['cluster.local', 'SOA', 'ns.dns.cluster.local'],
    ['cluster.local', 'NS', 'kube-dns.kube-system.svc.cluster.local'],
    ['svc.cluster.local', 'A', 'NODATA'],
    ['default.svc.cluster.local', 'A', 'NODATA'],
    ['nowhere.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['dns-version.cluster.local', 'TXT', '1.1.0'],
    ['_http._tcp.web.default.svc.cluster.local', 'SRV', '0 100 80 web.default.svc.cluster.local'],
    ['_http._udp.web.default.svc.cluster.local', 'SRV', 'NXDOMAIN'],
    ['_dns._udp.web.default.svc.cluster.local', 'SRV', '0 100 53 web.default.svc.cluster.local'],
    ['web.default.svc.cluster.local', 'SRV', '0 50 80 web.default.svc.cluster.local, 0 50 53 web.default.svc.cluster.local'],
    ['db.default.svc.cluster.local', 'A', '10.42.0.3, 10.42.0.4'],
    ['db-0.db.default.svc.cluster.local', 'A', '10.42.0.3'],
    ['10-42-0-4.db.default.svc.cluster.local', 'A', '10.42.0.4'],
    ['10-42-0-5.db.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['10-42-0-9.web.default.svc.cluster.local', 'A', '10.42.0.9'],
    ['_sql._tcp.db.default.svc.cluster.local', 'SRV', '0 50 5433 db-0.db.default.svc.cluster.local, 0 50 5433 10-42-0-4.db.default.svc.cluster.local'],
    ['idle.default.svc.cluster.local', 'A', 'NODATA'],
    ['_sql._tcp.idle.default.svc.cluster.local', 'SRV', 'NXDOMAIN'],
    ['bare.default.svc.cluster.local', 'A', '10.42.0.7'],
    ['fd00-1--0.six.default.svc.cluster.local', 'AAAA', 'fd00:1::'],
    ['out.default.svc.cluster.local', 'A', 'www.example.com'],
    ['out.default.svc.cluster.local', 'CNAME', 'www.example.com'],
    ['out.default.svc.cluster.local', 'SRV', 'NODATA'],
    ['a.out.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['outip.default.svc.cluster.local', 'A', '192.0.2.1'],
    ['10-42-0-3.default.pod.cluster.local', 'A', '10.42.0.3'],
    ['10-42-0-3.default.pod.cluster.local', 'AAAA', 'NODATA'],
    ['fd00--7.default.pod.cluster.local', 'AAAA', 'fd00::7'],
    ['web.default.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['10-42-0-3.nowhere.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['a.b.c.d.e.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['20.0.43.10.in-addr.arpa', 'PTR', 'web.default.svc.cluster.local'],
    ['20.0.43.10.in-addr.arpa', 'A', 'NODATA'],
    ['3.0.42.10.in-addr.arpa', 'PTR', 'db-0.db.default.svc.cluster.local'],
    ['4.0.42.10.in-addr.arpa', 'PTR', 'forward'],
    ['0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa', 'PTR', 'web.default.svc.cluster.local'],
    ['999.0.43.10.in-addr.arpa', 'PTR', 'forward'],
    ['example.com', 'A', 'forward'],
    ['notcluster.local', 'A', 'forward'],
    ['xcluster.local', 'A', 'forward'],
    ['', 'NS', 'forward'],
  ];
  for (const [name, type, expected] of cases) it(`${name === '' ? '.' : name} ${type} is ${expected}`, () => expect(brief(name, type)).to.equal(expected));

  it('keeps the case of the question and tells who knows of nothing', () => {
    expect(ask('WEB.default.svc.cluster.local', 'A')?.answers[0]?.name).to.equal('WEB.default.svc.cluster.local');
    expect(ask('missing.default.svc.cluster.local', 'A')?.authorities[0]).to.deep.include({ type: 'SOA', name: 'cluster.local', ttl: 5, minimum: 5, refresh: 7200, retry: 1800, expire: 86_400 });
  });
  it('adds the addresses of SRV targets', () => {
    expect(ask('_sql._tcp.db.default.svc.cluster.local', 'SRV')?.additionals.map((record) => record.name)).to.deep.equal(['db-0.db.default.svc.cluster.local', '10-42-0-4.db.default.svc.cluster.local']);
  });
  it('asks for the alias\'s target only where addresses are wanted', () => {
    expect(ask('out.default.svc.cluster.local', 'A')?.alias).to.equal('www.example.com');
    expect(ask('out.default.svc.cluster.local', 'CNAME')?.alias).to.equal(undefined);
  });
});
