import { expect } from 'chai';
import type { EndpointSlice, Node, Pod, Service } from '#machinery/api/object.ts';
import { planSlices } from './reconcile.ts';
import type { Plan, PlannedSlice } from './reconcile.ts';

const service = (more: Partial<Service['spec']> = {}, labels: Record<string, string> = {}): Service =>
  ({ metadata: { name: 's', namespace: 'a', uid: 's-uid', labels }, spec: { clusterIP: '10.43.0.5', ipFamilies: ['IPv4'], selector: { app: 'x' }, ports: [{ name: 'w', port: 80, targetPort: 'http', protocol: 'TCP' }], ...more } });
interface Traits { ready?: boolean; deleted?: boolean; port?: number; ips?: string[]; node?: string; phase?: string; hostname?: string; subdomain?: string }
function pod(index: number, { ready = true, deleted, port = 8080, ips = [`10.42.0.${index}`], node = 'n', phase = 'Running', hostname, subdomain }: Traits = {}): Pod {
  return {
    metadata: { name: `p${index}`, namespace: 'a', uid: `u${index}`, labels: { app: 'x' }, ...(deleted ? { deletionTimestamp: 'now' } : {}) },
    spec: { nodeName: node, containers: [{ name: 'c', ports: [{ name: 'http', containerPort: port, protocol: 'TCP' }] }], ...(hostname ? { hostname } : {}), ...(subdomain ? { subdomain } : {}) },
    status: { phase, podIPs: ips.map((ip) => ({ ip })), conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}
const nodes: Record<string, Node> = { n: { metadata: { name: 'n', labels: { 'topology.kubernetes.io/zone': 'z' } } } };
const plan = (s: Service, pods: Pod[], slices: EndpointSlice[] = [], maxEndpoints = 3): Plan => planSlices({ service: s, pods, slices, nodeOf: (name) => nodes[name], maxEndpoints });
let made = 0;
/** What the API server would hold after the plan. */
function apply(slices: EndpointSlice[], { create, update, delete: gone }: Plan): EndpointSlice[] {
  const stored = (slice: PlannedSlice): EndpointSlice => JSON.parse(JSON.stringify(slice)) as EndpointSlice;
  const kept = slices.filter(({ metadata }) => !gone.some((each) => each.metadata.name === metadata.name)).map((slice) => {
    const next = update.find((each) => each.metadata.name === slice.metadata.name);
    return next ? stored(next) : slice;
  });
  return [...kept, ...create.map((slice) => stored({ ...slice, metadata: { ...slice.metadata, name: `s-${(made += 1)}` } }))];
}
const counts = ({ create, update, delete: gone }: Plan): number[] => [create.length, update.length, gone.length];
const many = (from: number, to: number): Pod[] => Array.from({ length: to - from + 1 }, (_, index) => pod(from + index));

describe('planSlices()', () => {
  it('makes a slice as upstream does', () => {
    const [slice] = plan(service({}, { team: 't' }), [pod(1)]).create;
    expect(slice).to.deep.equal({
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4',
      metadata: {
        generateName: 's-', namespace: 'a',
        labels: { 'team': 't', 'kubernetes.io/service-name': 's', 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: 's', uid: 's-uid', controller: true, blockOwnerDeletion: true }],
      },
      endpoints: [{ addresses: ['10.42.0.1'], conditions: { ready: true, serving: true, terminating: false }, targetRef: { kind: 'Pod', namespace: 'a', name: 'p1', uid: 'u1' }, nodeName: 'n', zone: 'z' }],
      ports: [{ name: 'w', port: 8080, protocol: 'TCP' }],
    });
  });
  for (const [title, traits, publish, wanted] of [
    ['ready', {}, false, [true, true, false]],
    ['not ready', { ready: false }, false, [false, false, false]],
    ['terminating but serving', { deleted: true }, false, [false, true, true]],
    ['not ready, published anyway', { ready: false }, true, [true, false, false]],
  ] as [string, Traits, boolean, boolean[]][]) {
    it(`conditions of a pod that is ${title}`, () => {
      const conditions = plan(service({ publishNotReadyAddresses: publish }), [pod(1, traits)]).create[0]?.endpoints?.[0]?.conditions;
      expect([conditions?.ready, conditions?.serving, conditions?.terminating]).to.deep.equal(wanted);
    });
  }
  it('leaves out finished pods, pods without an address, of another family, and of unknown nodes', () => {
    const result = plan(service(), [pod(1, { phase: 'Succeeded' }), pod(2, { ips: [] }), pod(3, { ips: ['fd00::3'] }), pod(4, { node: 'gone' })]);
    expect(result.create.flatMap(({ endpoints }) => endpoints)).to.deep.equal([]);
    expect(result.missingNodes).to.deep.equal(['gone']);
  });
  it('keeps one empty slice without ports when there is nothing', () => {
    const first = plan(service(), []);
    expect(first.create[0]).to.deep.include({ endpoints: [], ports: [] });
    const stored = apply([], first).map((slice) => ({ ...slice, endpoints: null, ports: null }) as unknown as EndpointSlice); // as Go clients see it
    expect(counts(plan(service(), [], stored))).to.deep.equal([0, 0, 0]);
    expect(counts(plan(service(), [pod(1)], stored))).to.deep.equal([0, 1, 0]); // rewritten, not replaced
  });
  it('groups by resolved ports', () => {
    expect(plan(service(), [pod(1), pod(2, { port: 9090 }), pod(3)]).create.map(({ endpoints, ports }) => [endpoints?.length, ports?.[0]?.port])).to.deep.equal([[2, 8080], [1, 9090]]);
  });
  it('cuts at the limit', () => expect(plan(service(), many(1, 7)).create.map(({ endpoints }) => endpoints?.length ?? 0)).to.deep.equal([3, 3, 1]));
  it('does nothing when nothing changed', () => {
    const stored = apply([], plan(service(), many(1, 7)));
    expect(counts(plan(service(), many(1, 7), stored))).to.deep.equal([0, 0, 0]);
  });
  it('changes one slice when one pod changes', () => {
    const stored = apply([], plan(service(), many(1, 6)));
    expect(counts(plan(service(), [...many(1, 5), pod(6, { ready: false })], stored))).to.deep.equal([0, 1, 0]);
  });
  it('puts a new pod into the fullest slice with room', () => {
    const stored = apply([], plan(service(), many(1, 5)));
    const result = plan(service(), many(1, 6), stored);
    expect(counts(result)).to.deep.equal([0, 1, 0]);
    expect(result.update[0]?.endpoints).to.have.length(3);
  });
  it('fills a slice that is written anyway', () => {
    const stored = apply([], plan(service(), many(1, 6)));
    expect(counts(plan(service(), [...many(2, 6), pod(7)], stored))).to.deep.equal([0, 1, 0]);
  });
  it('deletes slices that empty, and gives all up but one at the end', () => {
    const stored = apply([], plan(service(), many(1, 7)));
    expect(counts(plan(service(), many(1, 6), stored))).to.deep.equal([0, 0, 1]);
    const emptied = apply(stored, plan(service(), [], stored));
    expect(emptied.map(({ endpoints }) => endpoints?.length ?? 0)).to.deep.equal([0]);
  });
  it('follows the labels of the service, and never takes the reserved ones from it', () => {
    const stored = apply([], plan(service(), [pod(1)]));
    const result = plan(service({}, { 'team': 'u', 'kubernetes.io/service-name': 'liar' }), [pod(1)], stored);
    expect(result.update[0]?.metadata.labels).to.include({ 'team': 'u', 'kubernetes.io/service-name': 's' });
  });
  it('marks headless services; they may have no ports', () => {
    const [slice] = plan(service({ clusterIP: 'None', ports: [] }), [pod(1, { hostname: 'h', subdomain: 's' })]).create;
    expect(slice?.metadata.labels).to.have.property('service.kubernetes.io/headless', '');
    expect(slice?.ports).to.deep.equal([]);
    expect(slice?.endpoints?.[0]?.hostname).to.equal('h');
  });
  it('gives up slices of an earlier service of the name', () => {
    const stored = apply([], plan(service(), [pod(1)])).map((slice) => ({ ...slice, metadata: { ...slice.metadata, ownerReferences: [] } }));
    expect(counts(plan(service(), [pod(1)], stored))).to.deep.equal([1, 0, 1]);
  });
  it('writes hints for PreferSameZone and takes them back', () => {
    const stored = apply([], plan(service({ trafficDistribution: 'PreferSameZone' }), [pod(1)]));
    expect(stored[0]?.endpoints?.[0]?.hints).to.deep.equal({ forZones: [{ name: 'z' }] });
    expect(counts(plan(service({ trafficDistribution: 'PreferSameZone' }), [pod(1)], stored))).to.deep.equal([0, 0, 0]);
    expect(plan(service(), [pod(1)], stored).update[0]?.endpoints?.[0]).not.to.have.property('hints');
  });
  it('writes hints for PreferSameNode, each endpoint by what is known of it', () => {
    nodes.bare = { metadata: { name: 'bare' } };
    const [slice] = plan(service({ trafficDistribution: 'PreferSameNode' }), [pod(1), pod(2, { node: 'bare' }), pod(3, { ready: false })]).create;
    expect(slice?.endpoints?.map(({ hints }) => hints)).to.deep.equal([{ forZones: [{ name: 'z' }], forNodes: [{ name: 'n' }] }, { forNodes: [{ name: 'bare' }] }, undefined]);
  });
  it('goes by the annotation before trafficDistribution, and says what came of it', () => {
    nodes.other = { metadata: { name: 'other', labels: { 'topology.kubernetes.io/zone': 'y' } } };
    const s = service({ trafficDistribution: 'PreferSameNode' });
    s.metadata.annotations = { 'service.kubernetes.io/topology-mode': 'Auto' };
    const shared = (zones: [string, number][] | undefined): Plan => planSlices({ service: s, pods: [pod(1), pod(2, { node: 'other' })], slices: [], nodeOf: (name) => nodes[name], maxEndpoints: 3, shares: () => zones && new Map(zones) });
    const works = shared([['z', 0.5], ['y', 0.5]]);
    expect(works.create[0]?.endpoints?.map(({ hints }) => hints)).to.deep.equal([{ forZones: [{ name: 'z' }] }, { forZones: [{ name: 'y' }] }]);
    expect(works.topology).to.deep.equal([{ works: true, message: 'Topology Aware Hints has been enabled, addressType: IPv4' }]);
    const fails = shared(undefined);
    expect(fails.create[0]?.endpoints?.map(({ hints }) => hints)).to.deep.equal([undefined, undefined]);
    expect(fails.topology[0]).to.deep.include({ works: false });
  });
  it('holds every wanted endpoint exactly once, whatever the history', () => {
    let slices: EndpointSlice[] = [];
    let seed = 7;
    for (let round = 0; round < 60; round += 1) {
      const pods = many(1, 25).filter(() => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % 3 > 0);
      slices = apply(slices, plan(service(), pods, slices));
      const held = slices.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses));
      expect(held).to.have.members(pods.map(({ status }) => status?.podIPs?.[0]?.ip)).and.to.have.length(pods.length);
      expect(Math.max(0, ...slices.map(({ endpoints }) => endpoints?.length ?? 0))).to.be.at.most(3);
    }
  });
});
