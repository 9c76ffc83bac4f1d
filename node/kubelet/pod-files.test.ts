import { expect } from 'chai';
import type { Pod } from '#machinery/api/object.ts';
import { formatResolvConf, hostsFile, parseResolvConf, podHostname, podResolver } from './pod-files.ts';

const podOf = (spec: Partial<NonNullable<Pod['spec']>> = {}): Pod => ({ metadata: { name: 'web', namespace: 'shop', uid: 'u' }, spec: { containers: [], ...spec } });
const host = parseResolvConf('# x\nsearch lan.example.\nnameserver 192.0.2.1\noptions timeout:2\n');
const dns = { clusterDns: ['10.43.0.10'], clusterDomain: 'cluster.local', host };
const textOf = (pod: Pod, input = dns): string => formatResolvConf(podResolver(pod, input).config);

describe('podResolver()', () => {
  it('points ClusterFirst at the cluster and keeps the search list of the host', () => {
    expect(textOf(podOf())).to.equal('search shop.svc.cluster.local svc.cluster.local cluster.local lan.example\nnameserver 10.43.0.10\noptions ndots:5\n');
  });
  it('gives Default, and ClusterFirst on the host network, what the host has', () => {
    const expected = 'search lan.example\nnameserver 192.0.2.1\noptions timeout:2\n';
    expect(textOf(podOf({ dnsPolicy: 'Default' }))).to.equal(expected);
    expect(textOf(podOf({ hostNetwork: true }))).to.equal(expected);
    expect(textOf(podOf({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }))).to.contain('10.43.0.10');
  });
  it('adds dnsConfig without repeating, the options by name', () => {
    const dnsConfig = { nameservers: ['1.1.1.1', '10.43.0.10'], searches: ['a.b', 'svc.cluster.local'], options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }] };
    expect(textOf(podOf({ dnsConfig }))).to.equal('search shop.svc.cluster.local svc.cluster.local cluster.local lan.example a.b\nnameserver 10.43.0.10\nnameserver 1.1.1.1\noptions ndots:2 edns0\n');
    expect(textOf(podOf({ dnsPolicy: 'None', dnsConfig: { nameservers: ['1.1.1.1'] } }))).to.equal('nameserver 1.1.1.1\n');
  });
  it('cuts what no resolver reads, and says so', () => {
    const { config, warnings } = podResolver(podOf({ dnsPolicy: 'None', dnsConfig: { nameservers: ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4'] } }), dns);
    expect(config.nameservers).to.have.length(3);
    expect(warnings[0]).to.deep.equal({ reason: 'DNSConfigForming', message: 'Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 1.1.1.2 1.1.1.3' });
  });
  it('falls back to the host without a cluster DNS', () => {
    const { config, warnings } = podResolver(podOf(), { ...dns, clusterDns: [] });
    expect(config.nameservers).to.deep.equal(['192.0.2.1']);
    expect(warnings[0]?.reason).to.equal('MissingClusterDNS');
  });
});

describe('podHostname()', () => {
  it('cuts a long name and refuses a long FQDN', () => {
    const long = podOf();
    long.metadata.name = `${'a'.repeat(62)}-bc`;
    expect(podHostname(long, 'cluster.local').kernel).to.equal('a'.repeat(62));
    expect(podHostname(podOf({ subdomain: 's', setHostnameAsFQDN: true }), 'c.l').kernel).to.equal('web.s.shop.svc.c.l');
    expect(() => podHostname(podOf({ hostname: 'h'.repeat(50), subdomain: 's', setHostnameAsFQDN: true }), 'cluster.local')).to.throw(/too long/);
  });
});

describe('hostsFile()', () => {
  it('names the pod and its aliases', () => {
    const text = hostsFile(podOf({ subdomain: 's', hostAliases: [{ ip: '1.2.3.4', hostnames: ['x', 'y'] }] }), ['10.0.0.9'], 'cluster.local', '');
    expect(text).to.contain('\n10.0.0.9\tweb.s.shop.svc.cluster.local\tweb\n\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n');
    expect(text.startsWith('# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n')).to.equal(true);
  });
  it("starts from the node's file on the host network", () => {
    expect(hostsFile(podOf({ hostNetwork: true }), [], 'cluster.local', '127.0.0.1 me\n')).to.equal('# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n');
  });
});
