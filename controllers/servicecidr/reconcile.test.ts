import { expect } from 'chai';
import type { IPAddress, ServiceCIDR } from '#machinery/api/object.ts';
import { blocked, containing, isConditionCurrent, mayGo, overlapping, ready } from './reconcile.ts';

const cidr = (name: string, ...cidrs: string[]): ServiceCIDR => ({ metadata: { name }, spec: { cidrs } });
const address = (name: string, labels: Record<string, string> = { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' }): IPAddress =>
  ({ metadata: { name, labels }, spec: { parentRef: { group: '', resource: 'services', namespace: 'a', name: 's' } } });

describe('ServiceCIDRs', () => {
  const all = [cidr('wide', '10.0.0.0/16', 'fd00::/64'), cidr('narrow', '10.0.1.0/24'), cidr('apart', '10.9.0.0/24')];

  it('overlapping() names those that contain it or that it contains', () => {
    expect(overlapping(cidr('new', '10.0.1.128/25'), all)).to.deep.equal(['wide', 'narrow']);
    expect(overlapping(cidr('new', 'fd00::/112'), all)).to.deep.equal(['wide']);
    expect(overlapping(cidr('new', '192.0.2.0/24'), all)).to.deep.equal([]);
  });
  it('containing() counts addresses of the allocators that a host can have', () => {
    expect(containing(address('10.0.1.7'), all)).to.deep.equal(['wide', 'narrow']);
    expect(containing(address('10.0.1.255'), all)).to.deep.equal(['wide']);
    expect(containing(address('10.9.0.0'), all)).to.deep.equal([]);
    expect(containing(address('10.0.1.7', {}), all)).to.deep.equal([]);
  });
  it('mayGo() when another one has all its addresses, or none of its own is in use', () => {
    const [wide, narrow, apart] = all as [ServiceCIDR, ServiceCIDR, ServiceCIDR];
    expect(mayGo(narrow, all, [address('10.0.1.7')])).to.equal(true);
    expect(mayGo(wide, all, [address('10.0.1.7')])).to.equal(true);
    expect(mayGo(wide, all, [address('10.0.2.7')])).to.equal(false);
    expect(mayGo(wide, all, [address('fd00::7')])).to.equal(false);
    expect(mayGo(apart, all, [address('10.0.2.7')])).to.equal(true);
    expect(mayGo(apart, all, [address('10.9.0.7')])).to.equal(false);
    expect(mayGo(apart, all, [address('10.9.0.7', {})])).to.equal(true);
    expect(mayGo(apart, [...all, cidr('twin', '10.9.0.0/24')], [address('10.9.0.7')])).to.equal(true);
  });
  it('mayGo() asks for both families', () => {
    const dual = cidr('dual', '10.5.0.0/24', 'fd05::/112');
    expect(mayGo(dual, [dual, cidr('half', '10.5.0.0/16')], [address('10.5.0.7'), address('fd05::7')])).to.equal(false);
    expect(mayGo(dual, [dual, cidr('half', '10.5.0.0/16')], [address('10.5.0.7')])).to.equal(true);
  });
  it('isConditionCurrent() compares status, reason and message', () => {
    const withReady = (condition: object): ServiceCIDR => ({ ...cidr('c', '10.0.0.0/24'), status: { conditions: [{ type: 'Ready', lastTransitionTime: '', ...condition } as never] } });
    expect(isConditionCurrent(cidr('c'), ready)).to.equal(false);
    expect(isConditionCurrent(withReady({ status: 'True', reason: '', message: ready.message }), ready)).to.equal(true);
    expect(isConditionCurrent(withReady({ status: 'True', message: 'Kubernetes default Service CIDR is ready' }), ready)).to.equal(false);
    expect(isConditionCurrent(withReady({ status: 'False', reason: 'Terminating', message: blocked.message }), blocked)).to.equal(true);
  });
});
