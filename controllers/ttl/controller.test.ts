import { expect } from 'chai';
import { nextStep, secondsOf } from './controller.ts';

describe('nextStep()', () => {
  const walk = (...counts: number[]): number[] => {
    let step = 0;
    return counts.map((count) => secondsOf(step = nextStep(step, count)));
  };
  it('grows with the cluster', () => expect(walk(1, 100, 101, 501, 1001, 2001, 5000)).to.deep.equal([0, 0, 15, 30, 60, 300, 300]));
  it('goes back later than it came', () => expect(walk(101, 95, 90, 89, 101)).to.deep.equal([15, 15, 15, 0, 15]));
  it('finds its step after a leap', () => expect(walk(3000, 5)).to.deep.equal([300, 0]));
});
