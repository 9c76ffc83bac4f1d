// Compaction with a clock of the test's own, over a store that only counts.
import { expect } from 'chai';
import type { Clock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { runCompaction } from './compaction.ts';
import { StorageUnavailableError, type Storage } from './storage.ts';

const second = 1000;

/** Runs compaction for so long over a store that is written to every ten seconds; tells when each revision was made and went. */
async function observe(options: { intervalMs?: number; forMs: number; failing?: (now: number) => boolean; writes?: (now: number) => boolean }): Promise<{ made: Map<bigint, number>; gone: Map<bigint, number>; warnings: number }> {
  let now = 0;
  let revision = 1n;
  let compacted = 1n;
  const made = new Map([[1n, 0]]);
  const gone = new Map<bigint, number>();
  const stop = new AbortController();
  const clock: Clock = {
    now: () => now,
    async sleep(ms) {
      for (const until = now + ms; now < until; now += second) {
        if (now % (10 * second) === 0 && (options.writes?.(now) ?? true)) made.set(++revision, now);
      }
      if (now >= options.forMs) stop.abort();
    },
  };
  const check = (): void => {
    if (options.failing?.(now)) throw new StorageUnavailableError('gone');
  };
  const storage: Pick<Storage, 'revision' | 'compact'> = {
    async revision() {
      check();
      return revision;
    },
    async compact(to) {
      check();
      if (to <= compacted && to > 1n) throw new Error('compacted twice');
      for (; compacted < to; compacted += 1n) gone.set(compacted, now);
    },
  };
  const lines: string[] = [];
  await runCompaction(storage, options.intervalMs ?? 300 * second, stop.signal, clock, createLogger('test', {}, (line) => lines.push(line)));
  return { made, gone, warnings: lines.filter((line) => line.includes('compaction failed')).length };
}

describe('runCompaction()', () => {
  it('keeps what was current within nine minutes, and nothing longer than ten', async () => {
    const { made, gone } = await observe({ forMs: 3600 * second });
    expect(gone.size).to.be.greaterThan(200);
    for (const [revision, at] of gone) {
      // A read at a revision works until the one after it has been compacted to.
      const replaced = made.get(revision + 1n) ?? Infinity;
      expect(at - replaced, `revision ${revision}, current until ${replaced}`).to.be.within(540 * second, 575 * second);
    }
  });

  it('goes by the interval that it is given, and 0 forgets nothing', async () => {
    const { made, gone } = await observe({ intervalMs: 60 * second, forMs: 600 * second });
    expect(gone.size).to.be.greaterThan(40);
    for (const [revision, at] of gone) expect(at - (made.get(revision + 1n) ?? Infinity)).to.be.within(108 * second, 122 * second);
    expect((await observe({ intervalMs: 0, forMs: 0 })).gone.size).to.equal(0);
  });

  it('survives engine trouble and goes on with what was old meanwhile', async () => {
    const trouble = (now: number): boolean => now >= 700 * second && now < 900 * second;
    const { gone, warnings } = await observe({ forMs: 1200 * second, failing: trouble });
    expect(warnings, 'looks from 700 to 890 s').to.equal(20);
    const times = [...gone.values()];
    expect(times.some((at) => trouble(at))).to.equal(false);
    expect(times.some((at) => at >= 900 * second && at < 930 * second)).to.equal(true);
  });

  it('leaves a store alone that nobody writes to', async () => {
    const { gone } = await observe({ forMs: 3600 * second, writes: (now) => now < 60 * second });
    expect(gone.size).to.equal(6); // all but the newest, once: the fake refuses a second time
  });
});
