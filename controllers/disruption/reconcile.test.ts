import { expect } from 'chai';
import type { Pod, PodDisruptionBudget } from '#machinery/api/object.ts';
import { expectedOf, failedStatus, healthyPods, needsScale, nextStatus, openDisruptions, staleTargetInMs } from './reconcile.ts';

const now = Date.UTC(2026, 0, 1, 12);
const at = (seconds: number): string => new Date(now + seconds * 1000).toISOString();
const budget = (spec: object, status?: object): PodDisruptionBudget =>
  ({ metadata: { name: 'b', namespace: 'n', generation: 3 }, spec, ...(status ? { status } : {}) }) as PodDisruptionBudget; // as it travels
const pod = (name: string, { ready = true, ...metadata }: { ready?: boolean; deletionTimestamp?: string } = {}, condition?: object): Pod => ({
  metadata: { name, ...metadata },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }, ...(condition ? [condition as { type: string; status: string }] : [])] },
});

describe('expectedOf()', () => {
  const cases: [object, boolean, number, number][] = [
    [{ minAvailable: 2 }, false, 3, 2],
    [{ minAvailable: 0 }, false, 3, 0],
    [{ minAvailable: '28%' }, true, 10, 3],
    [{ maxUnavailable: '28%' }, true, 10, 7],
    [{ maxUnavailable: 1 }, true, 10, 9],
    [{ maxUnavailable: 20 }, true, 10, 0],
    [{}, false, 0, 0],
  ];
  for (const [spec, asks, expectedPods, desiredHealthy] of cases) {
    it(`${JSON.stringify(spec)} of 3 pods whose controllers want 10`, () => {
      expect(needsScale(budget(spec))).to.equal(asks);
      expect(expectedOf(budget(spec), 3, 10)).to.deep.equal({ expectedPods, desiredHealthy });
    });
  }
});

describe('openDisruptions()', () => {
  const given = budget({}, { disruptedPods: { a: at(-10), b: at(-60), late: at(-121), going: at(-1), gone: at(-1) } });
  const { disruptedPods, missed, recheckInMs } = openDisruptions(given, [pod('a'), pod('b'), pod('late'), pod('going', { deletionTimestamp: at(-1) }), pod('other')], now);
  it('keeps those that still have to go', () => expect(disruptedPods).to.deep.equal({ a: at(-10), b: at(-60) }));
  it('names those that should have gone', () => expect(missed.map(({ metadata }) => metadata.name)).to.deep.equal(['late']));
  it('looks again when the first is over', () => expect(recheckInMs).to.equal(60_000));
});

it('healthyPods() leaves out pods that are not ready, going, or about to go', () => {
  expect(healthyPods([pod('a'), pod('b', { ready: false }), pod('c', { deletionTimestamp: at(0) }), pod('d')], { d: at(0) })).to.equal(1);
});

describe('nextStatus()', () => {
  const empty = budget({ minAvailable: 1 });
  it('allows what is healthy beyond what is wanted', () => {
    expect(nextStatus(empty, { expectedPods: 3, desiredHealthy: 1 }, 3, {}, now)).to.deep.equal({
      observedGeneration: 3, disruptionsAllowed: 2, currentHealthy: 3, desiredHealthy: 1, expectedPods: 3,
      conditions: [{ type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods', message: '', observedGeneration: 3, lastTransitionTime: '2026-01-01T12:00:00Z' }],
    });
  });
  it('allows nothing while no pods are expected, and never less than nothing', () => {
    expect(nextStatus(empty, { expectedPods: 0, desiredHealthy: 0 }, 2, {}, now)?.disruptionsAllowed).to.equal(0);
    expect(nextStatus(empty, { expectedPods: 3, desiredHealthy: 3 }, 1, {}, now)?.disruptionsAllowed).to.equal(0);
  });
  it('is undefined when the status stands there, also without its empty map', () => {
    const status = nextStatus(empty, { expectedPods: 3, desiredHealthy: 1 }, 3, {}, now);
    expect(nextStatus(budget({}, status), { expectedPods: 3, desiredHealthy: 1 }, 3, {}, now + 5000)).to.equal(undefined);
    expect(nextStatus(budget({}, { ...status, observedGeneration: 2 }), { expectedPods: 3, desiredHealthy: 1 }, 3, {}, now)).not.to.equal(undefined);
  });
  it('keeps the time of a condition whose status did not change, and other conditions', () => {
    const conditions = [{ type: 'Mine', status: 'True' }, { type: 'DisruptionAllowed', status: 'False', reason: 'SyncFailed', message: 'x', lastTransitionTime: at(-5) }];
    const next = nextStatus(budget({}, { conditions }), { expectedPods: 1, desiredHealthy: 1 }, 1, {}, now)?.conditions;
    expect(next).to.deep.equal([conditions[0], { type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods', message: '', observedGeneration: 3, lastTransitionTime: at(-5) }]);
  });
});

it('failedStatus() allows nothing and says why, once', () => {
  const failed = failedStatus(budget({}, { disruptionsAllowed: 2, currentHealthy: 3, observedGeneration: 3 }), 'found no controllers for pod "a"', now);
  expect(failed?.disruptionsAllowed).to.equal(0);
  expect(failed?.currentHealthy).to.equal(3);
  expect(failed?.conditions?.[0]).to.include({ status: 'False', reason: 'SyncFailed', message: 'found no controllers for pod "a"' });
  expect(failedStatus(budget({}, failed), 'found no controllers for pod "a"', now + 9000)).to.equal(undefined);
});

describe('staleTargetInMs()', () => {
  const target = (more: object = {}): object => ({ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', lastTransitionTime: at(-30), ...more });
  it('counts two minutes', () => {
    expect(staleTargetInMs(pod('a', {}, target()), now)).to.equal(90_000);
    expect(staleTargetInMs(pod('a', {}, target({ lastTransitionTime: at(-300) })), now)).to.equal(0);
  });
  it('leaves pods that go, that ended, that the kubelet marked, that nobody marked', () => {
    const ended = pod('a', {}, target());
    expect([
      pod('a', { deletionTimestamp: at(0) }, target()), pod('a', {}, target({ reason: 'TerminationByKubelet' })), pod('a', {}, target({ status: 'False' })), pod('a'),
      { ...ended, status: { ...ended.status, phase: 'Failed' } },
    ].map((each) => staleTargetInMs(each, now))).to.deep.equal(Array(5).fill(undefined));
  });
});
