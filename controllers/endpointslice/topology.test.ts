import { expect } from 'chai';
import type { EndpointSlice, Node, Service } from '#machinery/api/object.ts';
import { changesTopology, hintByTopology, wantsTopology, zoneShares } from './topology.ts';

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
const node = (zone: string | undefined, cpu: string, status = 'True', labels: Record<string, string> = {}): Node => ({
  metadata: { name: 'n', labels: { ...labels, ...(zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone }) } },
  status: { allocatable: { cpu }, conditions: [{ type: 'Ready', status }] },
});
const endpoint = (zone: string | undefined, hint?: string, ready = true): Endpoint => ({
  addresses: ['10.0.0.1'], conditions: { ready }, ...(zone === undefined ? {} : { zone }), ...(hint === undefined ? {} : { hints: { forZones: [{ name: hint }] } }),
});
const slice = (...endpoints: Endpoint[]): { endpoints: Endpoint[] } => ({ endpoints });
const hintsOf = ({ endpoints }: { endpoints?: Endpoint[] }): string[] => (endpoints ?? []).map(({ hints }) => hints?.forZones?.map(({ name }) => name).join() ?? '');
const even = new Map([['a', 0.5], ['b', 0.5]]);

describe('wantsTopology()', () => {
  const cases: [annotations: Record<string, string>, wants: boolean][] = [
    [{}, false],
    [{ 'service.kubernetes.io/topology-mode': 'Auto' }, true],
    [{ 'service.kubernetes.io/topology-mode': 'auto' }, true],
    [{ 'service.kubernetes.io/topology-mode': 'Disabled' }, false],
    [{ 'service.kubernetes.io/topology-aware-hints': 'auto' }, true],
    [{ 'service.kubernetes.io/topology-aware-hints': 'disabled', 'service.kubernetes.io/topology-mode': 'Auto' }, false],
  ];
  for (const [annotations, wants] of cases) it(`says ${wants} for ${JSON.stringify(annotations)}`, () => expect(wantsTopology({ metadata: { annotations } } as Service)).to.equal(wants));
});

describe('zoneShares()', () => {
  it('shares by the CPUs of ready nodes beside the control plane', () => {
    const nodes = [node('a', '3'), node('b', '1'), node('b', '8', 'False'), node('b', '8', 'True', { 'node-role.kubernetes.io/control-plane': '' })];
    expect([...(zoneShares(nodes) ?? [])]).to.deep.equal([['a', 0.75], ['b', 0.25]]);
  });
  const unknown: [title: string, nodes: Node[]][] = [['one zone only', [node('a', '1')]], ['a node without a zone', [node('a', '1'), node('b', '1'), node(undefined, '1')]], ['a node without CPUs', [node('a', '1'), node('b', '0')]]];
  for (const [title, nodes] of unknown) it(`knows none with ${title}`, () => expect(zoneShares(nodes)).to.equal(undefined));
});

it('changesTopology() looks at zone and readiness', () => {
  expect([changesTopology(node('a', '1'), node('a', '2')), changesTopology(node('a', '1'), node('b', '1')), changesTopology(node('a', '1'), node('a', '1', 'False'))]).to.deep.equal([false, true, true]);
});

describe('hintByTopology()', () => {
  it('keeps endpoints in their zones when the shares allow', () => {
    const changing = slice(endpoint('a'), endpoint('b'), endpoint('b', undefined, false));
    expect(hintByTopology(even, [changing], [])).to.deep.equal([]);
    expect(hintsOf(changing)).to.deep.equal(['a', 'b', '']);
  });
  it('gives from a zone with too many to one with too few', () => {
    const changing = slice(...Array.from({ length: 4 }, () => endpoint('a')));
    hintByTopology(even, [changing], []);
    expect(hintsOf(changing).sort()).to.deep.equal(['a', 'a', 'b', 'b']);
  });
  it('touches a kept slice only when its hints cannot stay', () => {
    const good = slice(endpoint('a', 'a'), endpoint('b', 'b'));
    const bare = slice(endpoint('a'), endpoint('b'));
    expect(hintByTopology(even, [], [good])).to.deep.equal([]);
    const also = hintByTopology(even, [], [good, bare]);
    expect(Array.isArray(also) && also.map(hintsOf)).to.deep.equal([['a', 'b']]);
    expect(hintsOf(bare), 'what came from the cache').to.deep.equal(['', '']);
  });
  it('takes new shares where one zone grew', () => {
    const kept = slice(...Array.from({ length: 5 }, () => endpoint('a', 'a')), endpoint('b', 'b'));
    const also = hintByTopology(new Map([['a', 0.3], ['b', 0.7]]), [], [kept]);
    expect(Array.isArray(also) && hintsOf(also[0] ?? {}).filter((zone) => zone === 'b').length).to.equal(4);
  });
  const refused: [title: string, shares: Map<string, number> | undefined, endpoints: Endpoint[], why: RegExp][] = [
    ['without shares', undefined, [endpoint('a')], /^Insufficient Node information/],
    ['with fewer endpoints than zones', even, [endpoint('a')], /^Insufficient number of endpoints \(1 endpoints, 2 zones\)$/],
    ['with an endpoint without a zone', even, [endpoint('a'), endpoint(undefined)], /do not have a zone specified/],
    ['when a zone would be overloaded', new Map([['a', 0.65], ['b', 0.35]]), [endpoint('a'), endpoint('b')], /without exceeding overload threshold \(2 endpoints, 2 zones\)$/],
  ];
  for (const [title, shares, endpoints, why] of refused) it(`refuses ${title}`, () => expect(hintByTopology(shares, [slice(...endpoints)], [])).to.match(why));
});
