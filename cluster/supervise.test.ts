import { expect } from 'chai';
import { StartError } from '#machinery/base/start-error.ts';
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

  it('gives up on a StartError of the first run only', async () => {
    const stop = new AbortController();
    const refused = await supervise('misplaced', async () => { throw new StartError('mend it'); }, quiet, stop.signal).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(StartError);
    let runs = 0;
    await supervise('later', async () => {
      runs += 1;
      if (runs === 1) throw new Error('boom');
      if (runs === 2) throw new StartError('mend it');
      stop.abort();
    }, quiet, stop.signal);
    expect(runs).to.equal(3);
  });
});
