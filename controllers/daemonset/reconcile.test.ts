import { expect } from 'chai';
import type { DaemonSet, Node, Pod, Taint } from '#machinery/api/object.ts';
import { FailureBackoff } from './failure-backoff.ts';
import { calculateStatus, fit, nodeOf, plan, planUpdate, podsByNode, templateFor, tolerationsOf } from './reconcile.ts';
import type { View } from './reconcile.ts';

const now = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();
type PodSpec = NonNullable<DaemonSet['spec']>['template']['spec'];
function daemons(template: Partial<NonNullable<PodSpec>> = {}, spec: Partial<NonNullable<DaemonSet['spec']>> = {}): DaemonSet {
  return {
    metadata: { name: 'd', uid: 'd', generation: 2 },
    spec: { selector: { matchLabels: { a: 'd' } }, template: { metadata: { labels: { a: 'd' } }, spec: { containers: [], ...template } }, ...spec },
  };
}
const rolling = (rollingUpdate: object, more: object = {}): DaemonSet => daemons({}, { updateStrategy: { type: 'RollingUpdate', rollingUpdate }, ...more });
const node = (name: string, labels: Record<string, string> = {}, taints: Taint[] = []): Node => ({ metadata: { name, labels }, spec: { taints } });
interface Traits { hash?: string; ready?: number | undefined; phase?: string; deleted?: boolean; bound?: boolean; age?: number }
function pod(name: string, on: string, { hash = 'new', ready = 100, phase = 'Running', deleted = false, bound = true, age = 100 }: Traits = {}): Pod {
  const required = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [on] }] }] };
  return {
    metadata: { name, labels: { 'controller-revision-hash': hash }, creationTimestamp: ago(age), ...(deleted ? { deletionTimestamp: ago(1) } : {}) },
    spec: { containers: [], ...(bound ? { nodeName: on } : { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } } }) },
    status: { phase, conditions: ready < 0 ? [] : [{ type: 'Ready', status: 'True', lastTransitionTime: ago(ready) }] },
  };
}
const view = (set: DaemonSet, nodes: Node[], pods: Pod[]): View =>
  ({ set, hash: 'new', now, pods: podsByNode(pods), fits: new Map(nodes.map((each) => [each.metadata.name ?? '', fit(set, each)])) });
const old = (name: string, on: string, more: Traits = {}): Pod => pod(name, on, { hash: 'old', ...more });
const names = (pods: readonly Pod[]): string[] => pods.map(({ metadata }) => metadata.name ?? '').sort((a, b) => (a < b ? -1 : 1));
const three = [node('n1'), node('n2'), node('n3')];

describe('DaemonSet: fit()', () => {
  const runs = { run: true, keep: true };
  const not = { run: false, keep: false };
  const required = (...terms: object[]): Partial<NonNullable<PodSpec>> => ({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } } });
  const rows: [string, Partial<NonNullable<PodSpec>>, Node, { run: boolean; keep: boolean }][] = [
    ['any node', {}, node('n'), runs],
    ['nodeName', { nodeName: 'n' }, node('n'), runs],
    ['another nodeName', { nodeName: 'm' }, node('n'), not],
    ['nodeSelector', { nodeSelector: { disk: 'ssd' } }, node('n', { disk: 'ssd' }), runs],
    ['nodeSelector that differs', { nodeSelector: { disk: 'ssd' } }, node('n', { disk: 'hdd' }), not],
    ['one of two terms', required({ matchExpressions: [{ key: 'x', operator: 'Exists' }] }, { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n'] }] }), node('n'), runs],
    ['an empty term', required({}), node('n'), not],
    ['an operator nobody knows', required({ matchExpressions: [{ key: 'x', operator: 'Near', values: ['1'] }] }), node('n', { x: '1' }), not],
    ['Gt', required({ matchExpressions: [{ key: 'x', operator: 'Gt', values: ['1'] }] }), node('n', { x: '2' }), runs],
    ['Gt of no number', required({ matchExpressions: [{ key: 'x', operator: 'Gt', values: ['1'] }] }), node('n', { x: 'two' }), not],
    ['a NoSchedule taint', {}, node('n', {}, [{ key: 'a', effect: 'NoSchedule' }]), { run: false, keep: true }],
    ['a NoExecute taint', {}, node('n', {}, [{ key: 'a', effect: 'NoExecute' }]), not],
    ['a PreferNoSchedule taint', {}, node('n', {}, [{ key: 'a', effect: 'PreferNoSchedule' }]), runs],
    ['a tolerated taint', { tolerations: [{ operator: 'Exists' }] }, node('n', {}, [{ key: 'a', effect: 'NoExecute' }]), runs],
    ['a node in trouble', {}, node('n', {}, [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }, { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }]), runs],
    ['a node without network', {}, node('n', {}, [{ key: 'node.kubernetes.io/network-unavailable', effect: 'NoSchedule' }]), { run: false, keep: true }],
    ['the same on the host network', { hostNetwork: true }, node('n', {}, [{ key: 'node.kubernetes.io/network-unavailable', effect: 'NoSchedule' }]), runs],
  ];
  for (const [title, template, each, expected] of rows) it(title, () => expect(fit(daemons(template), each)).to.deep.equal(expected));
});

describe('DaemonSet: the pod', () => {
  it('is bound to its node by name, in place of the node terms of the template', () => {
    const set = daemons({ affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [], requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'x', operator: 'Exists' }] }] } } } });
    const made = templateFor(set, 'n1', 'h');
    expect(made.metadata?.labels).to.deep.equal({ a: 'd', 'controller-revision-hash': 'h' });
    expect(made.spec?.affinity?.nodeAffinity).to.deep.equal({
      preferredDuringSchedulingIgnoredDuringExecution: [],
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }] },
    });
    expect(nodeOf({ metadata: {}, spec: made.spec ?? { containers: [] } })).to.equal('n1');
  });
  it('tolerates without end what the template tolerates for a time', () => {
    const limited = { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 5 };
    const tolerations = tolerationsOf({ containers: [], tolerations: [limited] });
    expect(tolerations).to.have.length(6);
    expect(tolerations[0]).not.to.have.property('tolerationSeconds');
  });
});

describe('DaemonSet: plan()', () => {
  it('creates where there is none, and removes where there must be none', () => {
    const set = daemons({ nodeSelector: { go: 'y' } });
    const { create, remove } = plan(view(set, [node('n1', { go: 'y' }), node('n2')], [pod('p', 'n2'), pod('going', 'n2', { deleted: true })]));
    expect([create, names(remove)]).to.deep.equal([['n1'], ['p']]);
  });
  it('waits for a pod that is going away', () => expect(plan(view(daemons(), [node('n1')], [pod('p', 'n1', { deleted: true })])).create).to.deep.equal([]));
  it('takes a finished pod that is going away for gone', () => expect(plan(view(daemons(), [node('n1')], [pod('p', 'n1', { deleted: true, phase: 'Failed' })])).create).to.deep.equal(['n1']));
  it('keeps the oldest that has a node', () => {
    const pods = [pod('old', 'n1', { bound: false, age: 900 }), pod('bound', 'n1', { age: 50 }), pod('young', 'n1', { age: 10 })];
    expect(names(plan(view(daemons(), [node('n1')], pods)).remove)).to.deep.equal(['old', 'young']);
  });
  it('names finished pods apart', () => {
    const { finished, create } = plan(view(daemons(), [node('n1')], [pod('p', 'n1', { phase: 'Failed' })]));
    expect([finished.map((each) => each.node), create]).to.deep.equal([['n1'], []]);
  });
  it('removes pods that wait for a node that is gone, and leaves those that had it to the pod collector', () => {
    expect(names(plan(view(daemons(), [], [pod('waits', 'n9', { bound: false }), pod('ran', 'n9')])).remove)).to.deep.equal(['waits']);
  });
  it('lets two pods be while surging, until the new one is available', () => {
    const set = rolling({ maxSurge: 1, maxUnavailable: 0 });
    const remove = (fresh: Traits, old: Traits): unknown => names(plan(view(set, [node('n1')], [pod('new', 'n1', fresh), pod('old', 'n1', { hash: 'old', ...old })])).remove);
    expect([remove({ ready: -1 }, {}), remove({}, {}), remove({ ready: -1 }, { ready: -1 })]).to.deep.equal([[], ['old'], ['old']]);
  });
});

describe('DaemonSet: planUpdate()', () => {
  it('takes maxUnavailable away, counting what is down already', () => {
    const all = [old('a', 'n1'), old('b', 'n2'), old('c', 'n3')];
    expect(planUpdate(view(rolling({ maxUnavailable: 1 }), three, all)).remove).to.have.length(1);
    expect(planUpdate(view(rolling({ maxUnavailable: '50%' }), three, all)).remove).to.have.length(2);
    expect(planUpdate(view(rolling({ maxUnavailable: 1 }), three, [pod('a', 'n1', { ready: -1 }), old('b', 'n2'), old('c', 'n3')])).remove).to.deep.equal([]);
    expect(planUpdate(view(rolling({ maxUnavailable: 1 }), three, [old('b', 'n2'), old('c', 'n3')])).remove).to.deep.equal([]);
  });
  it('replaces what is down for free', () => {
    expect(names(planUpdate(view(rolling({ maxUnavailable: 1 }), three, [old('a', 'n1', { ready: -1 }), old('b', 'n2'), old('c', 'n3', { ready: -1 })])).remove)).to.deep.equal(['a', 'c']);
  });
  it('goes on when both limits are 0', () => expect(planUpdate(view(rolling({ maxUnavailable: 0, maxSurge: 0 }), three, [old('a', 'n1'), old('b', 'n2'), old('c', 'n3')])).remove).to.have.length(1));
  it('waits for minReadySeconds', () => {
    const set = rolling({ maxUnavailable: 1 }, { minReadySeconds: 60 });
    expect(planUpdate(view(set, three, [pod('a', 'n1', { ready: 30 }), old('b', 'n2'), old('c', 'n3')])).remove).to.deep.equal([]);
    expect(planUpdate(view(set, three, [pod('a', 'n1', { ready: 60 }), old('b', 'n2'), old('c', 'n3')])).remove).to.have.length(1);
  });
  it('adds maxSurge pods, and removes the old one of a node whose new one is up', () => {
    const set = rolling({ maxSurge: 1, maxUnavailable: 0 });
    expect(planUpdate(view(set, three, [old('a', 'n1'), old('b', 'n2'), old('c', 'n3')]))).to.deep.equal({ create: ['n1'], remove: [] });
    expect(planUpdate(view(set, three, [old('a', 'n1'), pod('x', 'n1', { ready: -1 }), old('b', 'n2'), old('c', 'n3')]))).to.deep.equal({ create: [], remove: [] });
    const up = planUpdate(view(set, three, [old('a', 'n1'), pod('x', 'n1'), old('b', 'n2'), old('c', 'n3')]));
    expect([up.create, names(up.remove)]).to.deep.equal([['n2'], ['a']]);
  });
});

describe('DaemonSet: calculateStatus()', () => {
  it('counts', () => {
    const set = daemons({ nodeSelector: { go: 'y' } }, { minReadySeconds: 60 });
    const nodes = [node('n1', { go: 'y' }), node('n2', { go: 'y' }), node('n3', { go: 'y' }), node('n4')];
    const pods = [pod('a', 'n1'), pod('b', 'n2', { hash: 'old', ready: 50 }), pod('c', 'n4')];
    expect(calculateStatus(view(set, nodes, pods), true)).to.deep.equal({
      nextAvailableMs: 10_000,
      status: {
        desiredNumberScheduled: 3, currentNumberScheduled: 2, numberMisscheduled: 1, numberReady: 2, updatedNumberScheduled: 1, numberAvailable: 1, numberUnavailable: 2,
        observedGeneration: 2,
      },
    });
  });
  it('looks again when a surging pod becomes available, which nothing else tells', () => {
    const set = rolling({ maxSurge: 1, maxUnavailable: 0 }, { minReadySeconds: 60 });
    const counts = (pods: Pod[]): [number | undefined, number | undefined] => {
      const { status, nextAvailableMs } = calculateStatus(view(set, [node('n1')], pods), true);
      return [status.numberAvailable, nextAvailableMs];
    };
    expect(counts([old('a', 'n1'), pod('x', 'n1', { ready: 20 })])).to.deep.equal([1, 40_000]);
    expect(counts([old('a', 'n1'), pod('x', 'n1', { ready: 20, deleted: true })])).to.deep.equal([1, undefined]);
    expect(counts([old('a', 'n1'), pod('x', 'n1', { ready: 60 })])).to.deep.equal([1, undefined]);
  });
  it('does not tell a generation that was not acted on', () => expect(calculateStatus(view(daemons(), [], []), false).status).not.to.have.property('observedGeneration'));
});

it('FailureBackoff lets a failed pod go at once, then later and later, and afresh for a new generation', () => {
  let time = 0;
  const backoff = new FailureBackoff(() => time);
  const waits = [backoff.waitMs(daemons(), 'n'), backoff.waitMs(daemons(), 'n')];
  time = 1000;
  waits.push(backoff.waitMs(daemons(), 'n'), backoff.waitMs(daemons(), 'n'), backoff.waitMs(daemons(), 'm'));
  waits.push(backoff.waitMs({ ...daemons(), status: { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0, observedGeneration: 3 } }, 'n'));
  expect(waits).to.deep.equal([0, 1000, 0, 2000, 0, 0]);
});
