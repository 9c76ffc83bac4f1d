// The decisions about nodes and their pods: lifecycle, taint eviction, addresses, pod garbage collection.
import { expect } from 'chai';
import type { Lease, Node, Pod, Taint, Toleration } from '#machinery/api/object.ts';
import { nextFree, parseRanges } from './node-ipam/reconcile.ts';
import { defaultConfig } from './config.ts';
import { agreeingLabels, evictionIntervalMs, executionTaints, observe, schedulingTaints, silentConditions } from './node-lifecycle/reconcile.ts';
import { outOfService, surplus, unscheduledTerminating } from './podgc/reconcile.ts';
import { stayMs } from './taint-eviction/reconcile.ts';

const now = Date.UTC(2026, 0, 1);
const node = (conditions: Record<string, string>, more: Node['spec'] = {}): Node => ({
  metadata: { name: 'n', creationTimestamp: '2025-12-31T23:59:00Z' }, spec: more,
  status: { conditions: Object.entries(conditions).map(([type, status]) => ({ type, status, lastHeartbeatTime: '2025-12-31T23:59:30Z', lastTransitionTime: '2025-12-31T23:59:30Z' })) },
});
const text = (taints: readonly Taint[]): string => taints.map(({ key, effect }) => `${key.replace('node.kubernetes.io/', '')}:${effect}`).join(' ');

describe('schedulingTaints()', () => {
  for (const [title, given, wanted] of [
    ['ready', node({ Ready: 'True' }), ''],
    ['not ready', node({ Ready: 'False' }), 'not-ready:NoSchedule'],
    ['silent and cordoned', node({ Ready: 'Unknown', DiskPressure: 'True' }, { unschedulable: true }), 'unreachable:NoSchedule disk-pressure:NoSchedule unschedulable:NoSchedule'],
    ['ready again', node({ Ready: 'True' }, { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }, { key: 'own', effect: 'NoSchedule' }, { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }] }), 'own:NoSchedule not-ready:NoExecute'],
  ] as [string, Node, string][]) {
    it(title, () => expect(text(schedulingTaints(given))).to.equal(wanted));
  }
});
describe('executionTaints()', () => {
  it('follow readiness, with their time, and go when evicting is off', () => {
    expect(executionTaints(node({ Ready: 'False' }), true, now)).to.deep.equal([{ key: 'node.kubernetes.io/not-ready', effect: 'NoExecute', timeAdded: '2026-01-01T00:00:00Z' }]);
    const tainted = node({ Ready: 'Unknown' }, { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }] });
    expect(text(executionTaints(tainted, true, now))).to.equal('unreachable:NoExecute');
    expect(text(executionTaints(tainted, false, now))).to.equal('');
  });
});
describe('observe()', () => {
  const lease = (renewTime: string): Lease => ({ metadata: {}, spec: { renewTime } });
  it('counts from the first sight, or from the creation of a node that never told', () => {
    expect(observe(undefined, node({ Ready: 'True' }), undefined, now).at).to.equal(now);
    expect(observe(undefined, node({}), undefined, now).at).to.equal(now - 60_000);
  });
  it('takes a renewed lease or a changed status as a sign of life, and nothing else', () => {
    const first = observe(undefined, node({ Ready: 'True' }), lease('1'), now);
    expect(observe(first, node({ Ready: 'True' }), lease('1'), now + 1).at).to.equal(now);
    expect(observe(first, node({ Ready: 'True' }), lease('2'), now + 1).at).to.equal(now + 1);
    expect(observe(first, node({ Ready: 'False' }), lease('1'), now + 1).at).to.equal(now + 1);
    expect(observe(first, node({ Ready: 'True' }), undefined, now + 1).at).to.equal(now);
  });
});
it('silentConditions() says Unknown once', () => {
  const silent = silentConditions(node({ Ready: 'True', DiskPressure: 'False' }), now);
  expect(silent?.map(({ type, status, reason }) => `${type} ${status} ${reason}`)).to.deep.equal([
    'Ready Unknown NodeStatusUnknown', 'DiskPressure Unknown NodeStatusUnknown', 'MemoryPressure Unknown NodeStatusNeverUpdated', 'PIDPressure Unknown NodeStatusNeverUpdated']);
  expect(silentConditions({ ...node({}), status: { conditions: silent } }, now)).to.equal(undefined);
});
it('agreeingLabels() follows the labels of today', () => {
  expect(agreeingLabels({ 'kubernetes.io/os': 'linux', 'beta.kubernetes.io/os': 'linux' })).to.equal(undefined);
  expect(agreeingLabels({ 'kubernetes.io/os': 'linux', 'beta.kubernetes.io/os': 'other', 'kubernetes.io/arch': 'arm64' })).to.deep.equal({ 'beta.kubernetes.io/os': 'linux', 'beta.kubernetes.io/arch': 'arm64' });
  expect(agreeingLabels({ 'beta.kubernetes.io/os': 'linux' })).to.equal(undefined);
});
it('evictionIntervalMs() slows down when most of a zone is down', () => {
  const interval = (ready: number, down: number): number => evictionIntervalMs(ready, down, defaultConfig.nodeEviction);
  expect([interval(9, 1), interval(1, 2), interval(2, 8), interval(20, 40), interval(0, 9)]).to.deep.equal([10_000, 10_000, Infinity, 100_000, 10_000]);
});

describe('stayMs()', () => {
  const taint: Taint = { key: 'k', value: 'v', effect: 'NoExecute' };
  const stay = (tolerations: Toleration[], ...taints: Taint[]): number => stayMs({ metadata: {}, spec: { containers: [], tolerations } }, taints);
  for (const [title, tolerations, wanted] of [
    ['none', [], 0],
    ['the same key and value', [{ key: 'k', value: 'v' }], Infinity],
    ['another value', [{ key: 'k', value: 'w' }], 0],
    ['any value', [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }], Infinity],
    ['everything', [{ operator: 'Exists' }], Infinity],
    ['another effect', [{ key: 'k', operator: 'Exists', effect: 'NoSchedule' }], 0],
    ['for a time', [{ key: 'k', operator: 'Exists', tolerationSeconds: 300 }], 300_000],
    ['the shortest of several', [{ key: 'k', operator: 'Exists', tolerationSeconds: 300 }, { operator: 'Exists', tolerationSeconds: 20 }], 20_000],
    ['for less than no time', [{ operator: 'Exists', tolerationSeconds: -5 }], 0],
  ] as [string, Toleration[], number][]) {
    it(`tolerating ${title}`, () => expect(stay(tolerations, taint)).to.equal(wanted));
  }
  it('goes when one of several taints is not tolerated, stays without NoExecute ones', () => {
    expect(stay([{ key: 'k', operator: 'Exists' }], taint, { key: 'other', effect: 'NoExecute' })).to.equal(0);
    expect(stay([], { key: 'k', effect: 'NoSchedule' })).to.equal(Infinity);
  });
});

describe('nextFree()', () => {
  const only = (cidr: string, size: number): ReturnType<typeof parseRanges>[number] => parseRanges(cidr, { ipv4: size, ipv6: size })[0]!; // one was given
  it('goes round and skips what is taken', () => {
    const range = only('10.42.0.0/22', 24);
    expect(nextFree(range, new Set(['10.42.0.0/24']), -1)).to.deep.equal({ cidr: '10.42.1.0/24', index: 1 });
    expect(nextFree(range, new Set(['10.42.3.0/24']), 2)?.cidr).to.equal('10.42.0.0/24');
    expect(nextFree(range, new Set([0, 1, 2, 3].map((third) => `10.42.${third}.0/24`)), 0)).to.equal(undefined);
  });
  it('gives parts of both families', () => {
    const [six, four] = parseRanges('fd00:1::/56, 10.0.0.0/16', { ipv4: 24, ipv6: 64 });
    expect([six && nextFree(six, new Set(['fd00:1::/64']), -1)?.cidr, four && nextFree(four, new Set(), 4)?.cidr]).to.deep.equal(['fd00:1:0:1::/64', '10.0.5.0/24']);
  });
  it('knows high addresses', () => expect(nextFree(only('192.168.0.0/16', 26), new Set(), -1)?.cidr).to.equal('192.168.0.0/26'));
  for (const [cidr, size] of [['x', 24], ['10.0.0.0', 24], ['10.0.0.0/33', 24], ['10.0.0.0/24', 16], ['10.0.0.0/8', 32], ['fd00::/32', 64], ['10.0.0.0/16,10.1.0.0/16', 24], ['10.0.0.0/16,fd00::/48,fd01::/48', 24]] as const) {
    it(`refuses ${cidr} with ${size}`, () => expect(() => parseRanges(cidr, { ipv4: size, ipv6: size })).to.throw(/--cluster-cidr/));
  }
});

describe('pod garbage', () => {
  const pod = (name: string, phase: string, more: Partial<Pod['metadata']> = {}, nodeName?: string, reason?: string): Pod =>
    ({ metadata: { name, creationTimestamp: '2026', ...more }, spec: { containers: [], nodeName }, status: { phase, reason } });
  const names = (pods: Pod[]): string => pods.map(({ metadata }) => metadata.name).join();
  it('is what exceeds the threshold of finished pods, evicted and older ones first', () => {
    const pods = [pod('c', 'Succeeded', { creationTimestamp: '2027' }), pod('b', 'Failed', { creationTimestamp: '2025' }), pod('e', 'Failed', { creationTimestamp: '2028' }, 'n', 'Evicted'), pod('r', 'Running')];
    expect(names(surplus(pods, 1))).to.equal('e,b');
    expect(names(surplus(pods, 0))).to.equal('');
  });
  it('is what was deleted before it had a node', () => {
    expect(names(unscheduledTerminating([pod('a', 'Pending', { deletionTimestamp: 'x' }), pod('b', 'Pending', { deletionTimestamp: 'x' }, 'n'), pod('c', 'Pending')]))).to.equal('a');
  });
  it('is what terminates on a node that is out of service and not ready', () => {
    const out = { taints: [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }] };
    const pods = [pod('a', 'Running', { deletionTimestamp: 'x' }, 'n'), pod('b', 'Running', {}, 'n')];
    expect(names(outOfService(pods, () => node({ Ready: 'Unknown' }, out)))).to.equal('a');
    expect(names(outOfService(pods, () => node({ Ready: 'True' }, out)))).to.equal('');
  });
});
