// A component as a process of its own: --help, signals, exit codes, in one place for all of them.
import { UsageError, describeFlags } from './flags.ts';
import type { FlagTable } from './flags.ts';

export interface Entry {
  /** As in `proa NAME`. */
  name: string;
  /** One or two sentences for --help. */
  summary: string;
  flags: FlagTable;
  /** Reads its flags (UsageError when they cannot be taken) and runs until the signal aborts. */
  readonly run: (args: readonly string[], signal: AbortSignal) => Promise<void>;
}

/** Returns when the component has stopped. Errors are one line on stderr; the exit code becomes 2 for usage, 1 for the rest. */
export async function runEntry({ name, summary, flags, run }: Entry, args: readonly string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${summary}\n\nUsage: proa ${name} [--flags]\n\nFlags:\n${describeFlags(flags)}\n`);
    return;
  }
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error('stopped by a signal'));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, onSignal);
  try {
    await run(args, stop.signal);
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) return;
    process.stderr.write(`proa ${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  } finally {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, onSignal);
  }
}
