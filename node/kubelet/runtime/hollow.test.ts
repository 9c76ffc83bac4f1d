import { expect } from 'chai';
import { createHollowRuntime, hollowScript } from './hollow.ts';
import { runtimeSuite } from './suite.ts';

runtimeSuite('hollow runtime', async () => {
  const stop = new AbortController();
  const runtime = createHollowRuntime();
  const running = runtime.run(() => {}, stop.signal);
  return {
    runtime, image: 'any', podCidr: '10.42.0.0/24',
    async stop() {
      stop.abort();
      await running;
    },
  };
});

describe('hollowScript()', () => {
  it('reads codes for all or for one container', () => {
    expect(hollowScript({ 'hollow.proa/exit-code': '3' }, 'a', false)).to.deep.equal({ exitCode: 3, afterMs: 0 });
    expect(hollowScript({ 'hollow.proa/exit-code': 'b=1,a=2', 'hollow.proa/run-ms': '50' }, 'a', false)).to.deep.equal({ exitCode: 2, afterMs: 50 });
    expect(hollowScript({ 'hollow.proa/exit-code': 'nonsense' }, 'a', false)).to.equal(undefined);
    expect(hollowScript({}, 'a', true)).to.deep.equal({ exitCode: 0, afterMs: 0 });
  });
});
