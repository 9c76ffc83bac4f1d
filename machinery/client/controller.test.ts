import { expect } from 'chai';
import { eventually } from '../base/abort.ts';
import { createStats, runController } from './controller.ts';
import { TerminalError } from './types.ts';
import type { Reconcile } from './types.ts';
import { createWorkQueue } from './work-queue.ts';

async function drive(keys: string[], reconcile: Reconcile, until: () => boolean, maxRetries?: number): Promise<ReturnType<typeof createStats>> {
  const stop = new AbortController();
  const queue = createWorkQueue({ baseMs: 1 });
  const stats = createStats();
  for (const key of keys) queue.add(key);
  const running = runController({ name: 'test', queue, workers: 3, reconcile, stats, maxRetries }, stop.signal);
  await eventually(AbortSignal.timeout(3000), until, 1);
  stop.abort();
  await running;
  return stats;
}

describe('runController()', () => {
  it('retries what failed, also when it threw something odd', async () => {
    let calls = 0;
    await drive(['a'], () => {
      calls += 1;
      if (calls === 1) throw new Error('at once');
      if (calls === 2) return Promise.reject(new Error('odd'));
      return Promise.resolve();
    }, () => calls === 3);
    expect(calls).to.equal(3);
  });
  it('works on a key once at a time and on several keys together', async () => {
    const now = new Set<string>();
    let most = 0;
    let twice = false;
    let done = 0;
    await drive(['a', 'b', 'c', 'd'], async (key) => {
      twice ||= now.has(key);
      now.add(key);
      most = Math.max(most, now.size);
      await new Promise((resolve) => setImmediate(resolve));
      now.delete(key);
      done += 1;
    }, () => done === 4);
    expect({ most, twice }).to.deep.equal({ most: 3, twice: false });
  });
  it('does not retry a TerminalError', async () => {
    let calls = 0;
    const stats = await drive(['a', 'b'], (key) => {
      calls += 1;
      return key === 'a' ? Promise.reject(new TerminalError('no')) : Promise.resolve();
    }, () => calls >= 2);
    expect(calls).to.equal(2);
    expect(stats.errors.get('a')?.message).to.equal('no');
  });
  it('gives up after maxRetries', async () => {
    let calls = 0;
    const stats = await drive(['a'], () => {
      calls += 1;
      return Promise.reject(new Error('always'));
    }, () => calls === 3, 2);
    expect(stats.failed).to.equal(3);
  });
  it('comes back after requeueAfterMs', async () => {
    let calls = 0;
    await drive(['a'], () => {
      calls += 1;
      return Promise.resolve(calls === 1 ? { requeueAfterMs: 1 } : undefined);
    }, () => calls === 2);
    expect(calls).to.equal(2);
  });
  it('comes back after its back-off when the result asks for it, and counts no failure', async () => {
    let calls = 0;
    const stats = await drive(['a'], () => {
      calls += 1;
      return Promise.resolve(calls < 4 ? { backOff: true } : undefined);
    }, () => calls === 4);
    expect(stats.failed).to.equal(0);
  });
});
