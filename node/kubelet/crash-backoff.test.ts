import { expect } from 'chai';
import { createCrashBackoff, duration } from './crash-backoff.ts';

describe('createCrashBackoff()', () => {
  it('restarts at once, then waits 10 s, 20 s and so on up to 5 min', () => {
    const backoff = createCrashBackoff();
    let now = 1_000_000;
    const waits: number[] = [];
    for (let round = 0; round < 8; round += 1) {
      const answer = backoff.check('a', now, now);
      waits.push(answer?.totalMs ?? 0);
      if (answer) {
        now = answer.untilMs;
        expect(backoff.check('a', now - answer.totalMs, now)).to.equal(undefined);
      }
      now += 1000;
    }
    expect(waits).to.deep.equal([0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  });
  it('forgets after ten quiet minutes', () => {
    const backoff = createCrashBackoff();
    backoff.check('a', 0, 0);
    expect(backoff.check('a', 1, 2)?.totalMs).to.equal(10_000);
    expect(backoff.check('a', 700_000, 700_001)).to.equal(undefined);
    expect(backoff.check('a', 700_002, 700_003)?.totalMs).to.equal(10_000);
  });
  it('keeps keys apart', () => {
    const backoff = createCrashBackoff();
    backoff.check('a', 0, 0);
    expect(backoff.check('b', 0, 0)).to.equal(undefined);
  });
});
describe('duration()', () => {
  it('prints as Go does', () => expect([10_000, 80_000, 300_000].map(duration)).to.deep.equal(['10s', '1m20s', '5m0s']));
});
