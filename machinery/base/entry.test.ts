import { expect } from 'chai';
import { runEntry } from './entry.ts';
import { UsageError } from './flags.ts';

async function outcome(run: (args: readonly string[], signal: AbortSignal) => Promise<void>): Promise<{ code: typeof process.exitCode; stderr: string }> {
  const write = process.stderr.write.bind(process.stderr);
  let stderr = '';
  process.stderr.write = (text: string | Uint8Array): boolean => { stderr += String(text); return true; };
  const before = process.exitCode;
  try {
    await runEntry({ name: 'thing', summary: 'A thing.', flags: {}, run }, []);
    return { code: process.exitCode, stderr };
  } finally {
    process.stderr.write = write;
    process.exitCode = before;
  }
}

describe('runEntry()', () => {
  it('a usage error is one line and exit code 2', async () => {
    expect(await outcome(async () => { throw new UsageError('unknown flag --x'); })).to.deep.equal({ code: 2, stderr: 'proa thing: unknown flag --x\n' });
  });
  it('another error is one line and exit code 1', async () => {
    expect(await outcome(async () => { throw new Error('no server'); })).to.deep.equal({ code: 1, stderr: 'proa thing: no server\n' });
  });
  it('a signal stops it without an error, and its listeners are taken back', async () => {
    const listeners = process.listenerCount('SIGTERM');
    const result = await outcome(async (_, signal) => {
      process.emit('SIGTERM');
      signal.throwIfAborted();
    });
    expect(result.stderr).to.equal('');
    expect(process.listenerCount('SIGTERM')).to.equal(listeners);
  });
});
