// A server of the benchmark's own, in a process of its own: the load generator must not share its event loop.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface OwnServer {
  child: ChildProcess;
  pid: number;
  kubeconfig: string;
  /** As its ready line says. */
  readyMs: number;
  stop(): Promise<void>;
}

/** As start.sh runs Node. */
export const ownNodeFlags = ['--max-semi-space-size=8'] as const;
/** What leaves an API server alone. */
export const apiserverOnly = ['--runtime', 'hollow', '--nodes', '0', '--disable', 'controllers,scheduler'] as const;

/** `proa server` as start.sh runs it, with these flags on a free port, in a temporary folder unless one is named. */
export async function startServer(flags: readonly string[], { folder, nodeFlags = [] }: { folder?: string; nodeFlags?: readonly string[] } = {}): Promise<OwnServer> {
  const dataDir = folder ?? mkdtempSync(join(tmpdir(), 'proa-bench-'));
  const child = spawn(process.execPath, [...ownNodeFlags, ...nodeFlags, join(import.meta.dirname, '../cluster/proa.js'), 'server', '--data-dir', dataDir, '--https-port', '0', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    if (folder === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    const line = await readyLine(child);
    return { child, pid: child.pid ?? 0, kubeconfig: join(dataDir, 'admin.kubeconfig'), readyMs: Number(/in (\d+) ms/.exec(line)?.[1] ?? Number.NaN), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function readyLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no ready line within 60 s')), 60_000);
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const line = /^proa ready.*$/m.exec(text)?.[0];
      if (line === undefined) return;
      clearTimeout(timer);
      resolve(line);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the server ended with ${code}`));
    });
  });
}
