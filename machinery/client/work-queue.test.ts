import { mock } from 'node:test';
import { expect } from 'chai';
import { Registry } from '../base/metrics.ts';
import { countQueues } from './queue-metrics.ts';
import { createWorkQueue } from './work-queue.ts';

const never = new AbortController().signal;

describe('createWorkQueue()', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'] }));
  afterEach(() => mock.timers.reset());

  it('hands each key once, in order of arrival', async () => {
    const queue = createWorkQueue();
    for (const key of ['a', 'b', 'a']) queue.add(key);
    expect([await queue.take(never), await queue.take(never), queue.length]).to.deep.equal(['a', 'b', 0]);
  });
  it('keeps a key that is added while it is worked on until done', async () => {
    const queue = createWorkQueue();
    queue.add('a');
    await queue.take(never);
    queue.add('a');
    expect(queue.debug()).to.deep.include({ ready: [], running: ['a'] });
    queue.done('a');
    expect(await queue.take(never)).to.equal('a');
  });
  it('delays; the earlier of two delays counts, an add at once ends both', async () => {
    const queue = createWorkQueue();
    queue.addAfter('a', 1000);
    queue.addAfter('a', 100);
    queue.addAfter('a', 5000);
    queue.addAfter('b', 1000);
    queue.add('b');
    expect(queue.debug().ready).to.deep.equal(['b']);
    mock.timers.tick(100);
    expect(queue.debug()).to.deep.include({ ready: ['b', 'a'], delayed: [] });
  });
  it('backs off per key until forgotten', () => {
    const queue = createWorkQueue();
    const delays = [];
    for (let i = 0; i < 4; i += 1) {
      queue.addRateLimited('a');
      delays.push(queue.debug().delayed[0]?.inMs);
      mock.timers.tick(10_000);
      queue.add('b'); // others do not wait
    }
    expect(queue.retries('a')).to.equal(4);
    queue.forget('a');
    expect(queue.retries('a')).to.equal(0);
    expect(delays[0]).to.equal(5);
  });
  it('gives undefined to whoever waits when the signal aborts', async () => {
    const queue = createWorkQueue();
    const stop = new AbortController();
    const waiting = queue.take(stop.signal);
    stop.abort();
    expect(await waiting).to.equal(undefined);
    queue.add('a');
    expect(await queue.take(never)).to.equal('a');
  });
  it('close() drops timers', () => {
    const queue = createWorkQueue();
    queue.addAfter('a', 10);
    queue.close();
    mock.timers.tick(20);
    expect(queue.length).to.equal(0);
  });
  it('counts under its name, and without one not at all', async () => {
    const registry = new Registry();
    countQueues(registry);
    const queue = createWorkQueue({ name: 'deployment' });
    countQueues(undefined);
    createWorkQueue({ name: 'job' }).add('a');
    createWorkQueue().add('a');
    for (const key of ['a', 'b', 'a']) queue.add(key);
    mock.timers.tick(2000);
    await queue.take(never);
    mock.timers.tick(500);
    queue.add('a');
    queue.addRateLimited('c');
    const lines = (await registry.render()).split('\n').filter((line) => line.includes('{') && !line.includes('_bucket'));
    expect(lines).to.deep.equal([
      'workqueue_adds_total{name="deployment"} 3',
      'workqueue_depth{name="deployment"} 2',
      'workqueue_longest_running_processor_seconds{name="deployment"} 0.5',
      'workqueue_queue_duration_seconds_sum{name="deployment"} 2',
      'workqueue_queue_duration_seconds_count{name="deployment"} 1',
      'workqueue_retries_total{name="deployment"} 1',
      'workqueue_unfinished_work_seconds{name="deployment"} 0.5',
    ].concat(['workqueue_work_duration_seconds_sum{name="deployment"} 0', 'workqueue_work_duration_seconds_count{name="deployment"} 0']));
    queue.done('a');
    expect(await registry.render()).to.include('workqueue_work_duration_seconds_sum{name="deployment"} 0.5');
    queue.close();
  });
});
