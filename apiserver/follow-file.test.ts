import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { followFile } from './follow-file.ts';

describe('followFile()', () => {
  it('takes what changed, tells of what cannot be used and goes on, until it is stopped', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'follow-'));
    const file = join(folder, 'config');
    await writeFile(file, 'first');
    const stop = new AbortController();
    const taken: string[] = [];
    const steps: (() => Promise<void>)[] = [() => Promise.resolve(), () => writeFile(file, 'second'), () => writeFile(file, 'bad'), () => rm(file), () => writeFile(file, 'second'), () => writeFile(file, 'third'), () => Promise.resolve(stop.abort(new Error('enough')))];
    const sleep = async (): Promise<void> => {
      await steps.shift()?.();
      stop.signal.throwIfAborted();
    };
    await followFile(file, 'first', (text) => {
      if (text === 'bad') return Promise.reject(new Error('of no use'));
      taken.push(text);
      return Promise.resolve();
    }, stop.signal, { sleep });
    expect(taken).to.deep.equal(['second', 'third']);
    await rm(folder, { recursive: true });
  });
});
