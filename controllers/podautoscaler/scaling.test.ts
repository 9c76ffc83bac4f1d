import { expect } from 'chai';
import { ScalingHistory, decide } from './scaling.ts';
import type { Limits } from './scaling.ts';

const minute = 60_000;
const plain: Limits = { minReplicas: 1, maxReplicas: 20 };
const told = (history: ScalingHistory, limits: Limits, current: number, wanted: number, now: number): string => {
  const { replicas, able, limited } = decide(history, limits, current, wanted, 5 * minute, now);
  return `${replicas} ${able.reason} ${limited.isLimited} ${limited.reason}`;
};

describe('decide() without behavior', () => {
  it('keeps within limits, and at most doubles', () => {
    expect(told(new ScalingHistory(), plain, 3, 5, 0)).to.equal('5 ReadyForNewScale false DesiredWithinRange');
    expect(told(new ScalingHistory(), plain, 3, 15, 0)).to.equal('6 ReadyForNewScale true ScaleUpLimit');
    expect(told(new ScalingHistory(), plain, 1, 15, 0)).to.equal('4 ReadyForNewScale true ScaleUpLimit');
    expect(told(new ScalingHistory(), plain, 15, 25, 0)).to.equal('20 ReadyForNewScale true TooManyReplicas');
    expect(told(new ScalingHistory(), { ...plain, minReplicas: 2 }, 3, 0, 0)).to.equal('2 ReadyForNewScale true TooFewReplicas');
  });
  it('scales down to the highest recommendation of five minutes', () => {
    const history = new ScalingHistory();
    history.begin(8, 0);
    history.begin(99, 0);
    expect(told(history, plain, 8, 2, minute)).to.equal('8 ScaleDownStabilized false DesiredWithinRange');
    expect(told(history, plain, 8, 5, 2 * minute)).to.equal('8 ScaleDownStabilized false DesiredWithinRange');
    expect(told(history, plain, 8, 2, 6 * minute)).to.equal('5 ScaleDownStabilized false DesiredWithinRange');
    expect(told(history, plain, 5, 2, 8 * minute)).to.equal('2 ReadyForNewScale false DesiredWithinRange');
  });
});

describe('decide() with behavior', () => {
  const rules = (policies: { type: string; value: number; periodSeconds: number }[], more: object = {}): object => ({ stabilizationWindowSeconds: 0, selectPolicy: 'Max', policies, ...more });
  const limits = (up: object, down: object): Limits => ({ ...plain, behavior: { scaleUp: up, scaleDown: down } as NonNullable<Limits['behavior']> });
  const some = [{ type: 'Pods', value: 2, periodSeconds: 60 }, { type: 'Percent', value: 50, periodSeconds: 60 }];

  it('takes the largest change of its policies, the smallest, or none', () => {
    expect(told(new ScalingHistory(), limits(rules(some), rules(some)), 10, 20, 0)).to.equal('15 ReadyForNewScale true ScaleUpLimit');
    expect(told(new ScalingHistory(), limits(rules(some, { selectPolicy: 'Min' }), rules(some)), 10, 20, 0)).to.equal('12 ReadyForNewScale true ScaleUpLimit');
    expect(told(new ScalingHistory(), limits(rules(some, { selectPolicy: 'Disabled' }), rules(some)), 10, 20, 0)).to.equal('10 ReadyForNewScale true ScaleUpLimit');
    expect(told(new ScalingHistory(), limits(rules(some), rules(some)), 10, 1, 0)).to.equal('5 ReadyForNewScale true ScaleDownLimit');
    expect(told(new ScalingHistory(), limits(rules(some), rules(some, { selectPolicy: 'Min' })), 10, 1, 0)).to.equal('8 ReadyForNewScale true ScaleDownLimit');
    expect(told(new ScalingHistory(), limits(rules(some), rules(some, { selectPolicy: 'Disabled' })), 10, 1, 0)).to.equal('10 ReadyForNewScale true ScaleDownLimit');
  });
  it('counts what was changed in the period', () => {
    const history = new ScalingHistory();
    const both = limits(rules([some[0]!]), rules([some[0]!]));
    history.rescaled(10, 12, both.behavior, 0);
    expect(told(history, both, 12, 20, 30_000)).to.equal('12 ReadyForNewScale true ScaleUpLimit');
    expect(told(history, both, 12, 20, 61_000)).to.equal('14 ReadyForNewScale true ScaleUpLimit');
  });
  it('stabilizes both ways', () => {
    const window = { stabilizationWindowSeconds: 120 };
    const both = limits(rules([{ type: 'Percent', value: 900, periodSeconds: 60 }], window), rules([{ type: 'Percent', value: 100, periodSeconds: 60 }], window));
    const history = new ScalingHistory();
    expect(told(history, both, 5, 5, 0)).to.equal('5 ReadyForNewScale false DesiredWithinRange');
    expect(told(history, both, 5, 9, minute)).to.equal('5 ScaleUpStabilized false DesiredWithinRange');
    expect(told(history, both, 5, 8, 2.5 * minute)).to.equal('8 ReadyForNewScale false DesiredWithinRange');
    expect(told(history, both, 8, 3, 2.6 * minute)).to.equal('8 ScaleDownStabilized false DesiredWithinRange');
  });
  it('stays between the limits', () => {
    const wide = limits(rules([{ type: 'Pods', value: 90, periodSeconds: 60 }]), rules([{ type: 'Pods', value: 90, periodSeconds: 60 }]));
    expect(told(new ScalingHistory(), wide, 10, 40, 0)).to.equal('20 ReadyForNewScale true TooManyReplicas');
    expect(told(new ScalingHistory(), { ...wide, minReplicas: 4 }, 10, 1, 0)).to.equal('4 ReadyForNewScale true TooFewReplicas');
  });
});
