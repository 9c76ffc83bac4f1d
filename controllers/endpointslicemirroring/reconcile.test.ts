import { expect } from 'chai';
import type { Endpoints, EndpointSlice } from '#machinery/api/object.ts';
import { isMirrored, planMirror } from './reconcile.ts';

type Subsets = NonNullable<Endpoints['subsets']>;
const endpoints = (subsets: Subsets, metadata: object = {}): Endpoints => ({ metadata: { name: 'e', namespace: 'n', uid: 'u', ...metadata }, subsets });
const ip = (...addresses: string[]): { ip: string }[] => addresses.map((each) => ({ ip: each }));
/** What the API server would answer to a creation. */
const stored = (slice: { metadata: object }, name: string): EndpointSlice => ({ ...slice, metadata: { ...slice.metadata, name, generateName: undefined } }) as unknown as EndpointSlice;
const web = [{ name: 'web', port: 80 }];

describe('isMirrored()', () => {
  it('is for all but those that say no and old leader locks', () => {
    expect(isMirrored(endpoints([]))).to.equal(true);
    expect(isMirrored(endpoints([], { labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } }))).to.equal(false);
    expect(isMirrored(endpoints([], { labels: { 'endpointslice.kubernetes.io/skip-mirror': 'yes' } }))).to.equal(true);
    expect(isMirrored(endpoints([], { annotations: { 'control-plane.alpha.kubernetes.io/leader': '{}' } }))).to.equal(false);
  });
});

describe('planMirror()', () => {
  it('makes a slice for each family, with the labels and annotations of the Endpoints', () => {
    const source = endpoints([{ addresses: [{ ip: '10.0.0.1', hostname: 'h', nodeName: 'm' }, { ip: '2001:db8::1' }], notReadyAddresses: ip('10.0.0.2'), ports: web }], {
      labels: { own: 'x' }, annotations: { own: 'y', 'kubectl.kubernetes.io/last-applied-configuration': 'z', 'endpoints.kubernetes.io/last-change-trigger-time': 't' },
    });
    const { create, ...rest } = planMirror(source, [], 1000);
    expect(rest).to.deep.equal({ update: [], delete: [], invalid: 0, skipped: 0 });
    expect(create.map(({ addressType }) => addressType)).to.deep.equal(['IPv4', 'IPv6']);
    expect(create[0]).to.deep.equal({
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
      metadata: {
        generateName: 'e-', namespace: 'n', annotations: { own: 'y' },
        labels: { own: 'x', 'kubernetes.io/service-name': 'e', 'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Endpoints', name: 'e', uid: 'u', controller: true, blockOwnerDeletion: true }],
      },
      addressType: 'IPv4', ports: [{ name: 'web', port: 80, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true }, hostname: 'h', nodeName: 'm' }, { addresses: ['10.0.0.2'], conditions: { ready: false } }],
    });
  });
  it('writes nothing when all is as it should be', () => {
    const source = endpoints([{ addresses: ip('10.0.0.2', '10.0.0.1'), ports: web }]);
    const there = stored(planMirror(source, [], 1000).create[0]!, 'e-1');
    expect(planMirror(source, [there], 1000)).to.deep.equal({ create: [], update: [], delete: [], invalid: 0, skipped: 0 });
  });
  it('updates in place for an address, a label, an annotation or Endpoints made anew', () => {
    const before = endpoints([{ addresses: ip('10.0.0.1'), ports: web }]);
    const there = stored(planMirror(before, [], 1000).create[0]!, 'e-1');
    for (const after of [
      endpoints([{ addresses: ip('10.0.0.1', '10.0.0.3'), ports: web }]), endpoints(before.subsets ?? [], { labels: { a: 'b' } }),
      endpoints(before.subsets ?? [], { annotations: { a: 'b' } }), endpoints(before.subsets ?? [], { uid: 'other' }),
    ]) {
      const plan = planMirror(after, [there], 1000);
      expect([plan.create.length, plan.delete.length, plan.update.map(({ metadata }) => metadata.name)]).to.deep.equal([0, 0, ['e-1']]);
    }
  });
  it('uses the slice of ports that are gone for those that came', () => {
    const there = stored(planMirror(endpoints([{ addresses: ip('10.0.0.1'), ports: web }]), [], 1000).create[0]!, 'e-1');
    const plan = planMirror(endpoints([{ addresses: ip('10.0.0.1'), ports: [{ port: 81 }] }]), [there], 1000);
    expect([plan.create, plan.delete]).to.deep.equal([[], []]);
    expect(plan.update[0]?.metadata).to.include({ name: 'e-1' }).and.not.to.have.property('generateName');
    expect(plan.update[0]?.ports).to.deep.equal([{ name: '', port: 81, protocol: 'TCP' }]);
  });
  it('removes what nothing stands behind, and doubles', () => {
    const there = stored(planMirror(endpoints([{ addresses: ip('10.0.0.1'), ports: web }]), [], 1000).create[0]!, 'e-1');
    expect(planMirror(endpoints([]), [there], 1000).delete).to.deep.equal([there]);
    const double = stored(there, 'e-2');
    expect(planMirror(endpoints([{ addresses: ip('10.0.0.1'), ports: web }]), [there, double], 1000).delete).to.deep.equal([double]);
  });
  it('repacks subsets: ports with the same addresses share a slice, an address is not ready when one place says so', () => {
    const { create } = planMirror(endpoints([
      { addresses: ip('10.0.0.1'), ports: [{ name: 'a', port: 1 }] }, { addresses: ip('10.0.0.1'), ports: [{ name: 'b', port: 2 }] },
      { notReadyAddresses: ip('10.0.0.9'), ports: [{ name: 'c', port: 3 }] }, { addresses: ip('10.0.0.9'), ports: [{ name: 'c', port: 3 }] },
    ]), [], 1000);
    expect(create.map(({ ports, endpoints: list }) => [ports?.map(({ name }) => name), list?.map(({ conditions }) => conditions?.ready)])).to.deep.equal([[['a', 'b'], [true]], [['c'], [false]]]);
  });
  it('mirrors addresses without ports', () => expect(planMirror(endpoints([{ addresses: ip('10.0.0.1') }]), [], 1000).create[0]?.ports).to.deep.equal([]));
  it('leaves out what is no address and what is too much, ready ones first', () => {
    const plan = planMirror(endpoints([{ addresses: ip('10.0.0.1', '(nonsense)', '010.000.0.2'), notReadyAddresses: ip('10.0.0.3'), ports: web }]), [], 2);
    expect([plan.invalid, plan.skipped]).to.deep.equal([1, 2]);
    expect(plan.create[0]?.endpoints?.flatMap(({ addresses }) => addresses).sort()).to.deep.equal(['10.0.0.1', '10.0.0.2']);
  });
});
