// `proa server`: flags in, the ready line out, a clean stop on SIGTERM or SIGINT.
import { readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { UsageError, describeFlags, parseFlags } from '#machinery/base/flags.ts';
import { createLogger } from '#machinery/base/log.ts';
import { startCluster } from './cluster.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { optionsFromFlags, serverFlags } from './options.ts';

const log = createLogger('server');

const text = `Starts a whole cluster on this machine: API server, controllers, scheduler, kubelet, service proxy, DNS.

Usage: proa server [--flags]

When the cluster is usable it prints one line that starts with "proa ready" and names the kubeconfig. SIGTERM or Ctrl-C
stops it; pods keep running and are adopted by the next start unless --stop-pods is given.

Flags:
`;

/** Milliseconds since the kernel started this process; 10 ms steps. */
export function millisecondsSinceStart(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]); // field 22, counted after the command's name
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return Math.max(0, Math.round(uptime * 1000 - ticks * 10));
}

const tidyUpAfterMs = 5000;

/**
 * Once the start is over: keeps what was compiled even if the process is killed later, and gives back what only the start
 * needed (30 MB that V8 would hold for long, because an idle server gives it no cause to look).
 */
function tidyUp(): void {
  flushCompileCache();
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort'; execution: 'async' }) => Promise<void>; // what the flag adds
  collect({ type: 'major', flavor: 'last-resort', execution: 'async' }).catch((error: unknown) => log.warn('tidying up after the start failed', { error }));
}

/** Returns when the cluster has stopped. */
export async function server(args: string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${text}${describeFlags(serverFlags)}\n`);
    return;
  }
  const flags = parseFlags(serverFlags, args);
  if (flags['data-dir'] === '') throw new UsageError('--data-dir needs a folder');
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new Error('stopped by a signal'));
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  try {
    const cluster = await startCluster({
      ...optionsFromFlags(flags),
      signal: stop.signal,
      onMessage: (line) => process.stderr.write(`proa: ${line}\n`),
    });
    const kubeconfig = flags['write-kubeconfig'];
    if (kubeconfig) writeKubeconfig(kubeconfig, readFileSync(cluster.kubeconfig, 'utf8'));
    process.stdout.write(`proa ready in ${millisecondsSinceStart()} ms, kubeconfig ${kubeconfig ?? cluster.kubeconfig}\n`);
    setTimeout(tidyUp, tidyUpAfterMs).unref();
    await cluster.stopped;
  } catch (error) {
    if (!stop.signal.aborted || (error instanceof Error && error.name !== 'AbortError' && error !== stop.signal.reason)) throw error;
  }
  process.exit(0);
}
