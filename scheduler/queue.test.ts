// The queue alone, on a clock of its own.
import { expect } from 'chai';
import type { Clock } from '#machinery/base/clock.ts';
import type { Pod } from '#machinery/api/object.ts';
import { createPodInfo } from './pod-info.ts';
import { SchedulingQueue } from './queue.ts';
import { makePod } from './testing/fake-cluster.ts';

function setUp(): { queue: SchedulingQueue; advance: (ms: number) => void; add: (name: string, priority?: number) => Pod; popName: () => string | undefined } {
  let now = 1_000_000;
  const clock: Clock = { now: () => now, sleep: () => new Promise(() => undefined) };
  const queue = new SchedulingQueue({ wakes: (plugin) => (plugin === 'NodeResourcesFit' ? ['PodDelete'] : ['NodeAdd']), clock });
  return {
    queue,
    advance(ms) {
      now += ms;
    },
    add(name, priority = 0) {
      const pod = makePod(name, { priority });
      queue.set(createPodInfo(pod));
      return pod;
    },
    popName: () => queue.pop()?.info.name,
  };
}

describe('SchedulingQueue', () => {
  it('gives out by priority, then by age', () => {
    const { add, advance, popName } = setUp();
    for (const [name, priority] of [['a', 0], ['b', 5], ['c', 0], ['d', 5]] as const) {
      add(name, priority);
      advance(1);
    }
    expect([popName(), popName(), popName(), popName(), popName()]).to.deep.equal(['b', 'd', 'a', 'c', undefined]);
  });

  it('wakes a pod only by events that its rejectors listen to', () => {
    const { queue, add, popName } = setUp();
    add('a');
    const entry = queue.pop();
    if (!entry) throw new Error('nothing queued');
    queue.unschedulable(entry, new Set(['NodeResourcesFit']), 'full');
    queue.event('NodeAdd');
    expect(popName()).to.equal(undefined);
    queue.event('PodDelete');
    expect(popName()).to.equal('a');
  });

  it('doubles the wait after errors from 1 s up to 10 s, even when idle', () => {
    const { queue, add, advance } = setUp();
    add('a');
    const waits: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      const entry = queue.pop();
      if (!entry) throw new Error('nothing queued');
      queue.failed(entry, 'refused');
      let waited = 0;
      while (queue.get(entry.info.uid)?.place === 'error' && waited < 20_000) {
        advance(100);
        waited += 100;
        const next = queue.pop();
        if (next) {
          queue.set(next.info);
          queue.delete(next.info.uid);
          queue.set(next.info);
          const again = queue.get(next.info.uid);
          if (again) again.errors = next.errors;
        }
      }
      waits.push(waited);
    }
    expect(waits).to.deep.equal([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  it('counts errors in a row apart from attempts that found no node', () => {
    const { queue, add, advance, popName } = setUp();
    const uid = add('a').metadata.uid ?? '';
    const wait = (): number => (queue.get(uid)?.backoffUntil ?? 0) - 1_000_000;
    const attempt = (end: (entry: NonNullable<ReturnType<typeof queue.pop>>) => void): number => {
      const entry = queue.pop();
      if (!entry) throw new Error('nothing queued');
      end(entry);
      return wait();
    };
    const rejected = (): number => {
      const until = attempt((entry) => queue.unschedulable(entry, new Set(['NodeAffinity']), 'nowhere'));
      queue.event('NodeAdd');
      return until;
    };
    expect([rejected(), rejected(), rejected()]).to.deep.equal([1000, 2000, 4000]);
    expect(attempt((entry) => queue.failed(entry, 'refused'))).to.equal(1000);
    advance(1000);
    expect(rejected() - 1000).to.equal(8000);
    expect(popName()).to.equal('a');
  });

  it('lets those whose back-off ends within the same second go by priority', () => {
    const { queue, add, advance, popName } = setUp();
    for (const [name, priority] of [['low', 1], ['high', 2]] as const) {
      add(name, priority);
      const entry = queue.pop();
      if (entry) queue.unschedulable(entry, new Set(['NodeAffinity']), 'nowhere');
      advance(300);
    }
    queue.event('NodeAdd');
    expect([popName(), popName()]).to.deep.equal(['high', 'low']);
  });

  it('keeps a pod that failed behind pods that did not, until it is its turn', () => {
    const { queue, add, popName } = setUp();
    add('a', 100);
    const entry = queue.pop();
    if (!entry) throw new Error('nothing queued');
    queue.unschedulable(entry, new Set(['NodeAffinity']), 'nowhere');
    queue.event('NodeAdd');
    add('b');
    expect([popName(), popName()]).to.deep.equal(['b', 'a']);
  });

  it('forgets a pod wherever it waits', () => {
    const { queue, add, popName } = setUp();
    const pod = add('a');
    queue.delete(pod.metadata.uid ?? '');
    expect([popName(), queue.size]).to.deep.equal([undefined, 0]);
    queue.delete('unknown');
  });

  it('ignores a result that comes after the pod was deleted', () => {
    const { queue, add } = setUp();
    const pod = add('a');
    const entry = queue.pop();
    queue.delete(pod.metadata.uid ?? '');
    if (entry) queue.unschedulable(entry, new Set(['NodeAffinity']), 'nowhere');
    expect(queue.size).to.equal(0);
  });

  it('take() ends when the signal aborts', async () => {
    const stop = new AbortController();
    const queue = new SchedulingQueue({ wakes: () => [] });
    const taking = queue.take(stop.signal);
    stop.abort();
    expect(await taking).to.equal(undefined);
  });
});
