import { expect } from 'chai';
import { createLogger } from '#machinery/base/log.ts';
import { supervise } from './supervise.ts';

const quiet = createLogger('test', {}, () => {});

describe('supervise()', () => {
  it('starts a component that failed again, and ends with the signal', async () => {
    const stop = new AbortController();
    let runs = 0;
    await supervise('flaky', async (signal) => {
      runs += 1;
      if (runs < 3) throw new Error('boom');
      stop.abort();
      signal.throwIfAborted();
    }, quiet, stop.signal);
    expect(runs).to.equal(3);
  });

  it('starts one that ended by itself again', async () => {
    const stop = new AbortController();
    let runs = 0;
    await supervise('short', async () => {
      runs += 1;
      if (runs === 2) stop.abort();
    }, quiet, stop.signal);
    expect(runs).to.equal(2);
  });
});
