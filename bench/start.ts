// Rows of starting and of doing nothing: the whole control plane on an empty and on a known folder, `startCluster()` inside a
// program, and the memory of everything a minute after it was ready.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpuMs, memoryMb } from './load.ts';
import { startServer } from './server.ts';
import type { Table } from './table.ts';

const wholeCluster = ['--runtime', 'hollow'] as const;

export async function measureStart(table: Table, { idleSeconds = 60, column = 0, flags = [] as readonly string[] } = {}): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'proa-bench-'));
  try {
    await (await startServer([...wholeCluster, ...flags], { folder: join(folder, 'warm') })).stop(); // fills the compile cache, as any second start finds it
    const empty = await startServer([...wholeCluster, ...flags], { folder: join(folder, 'data') });
    table.set('start to ready, empty folder', '600 ms', column, { measured: `${empty.readyMs} ms` });
    await empty.stop();
    const again = await startServer([...wholeCluster, ...flags], { folder: join(folder, 'data') });
    try {
      table.set('start to ready, known folder', '600 ms', column, { measured: `${again.readyMs} ms` });
      await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1000));
      const before = cpuMs(again.pid);
      table.set(`memory, all components, ${idleSeconds} s after ready`, '150 MB', column, { measured: `${memoryMb(again.pid).toFixed(0)} MB` });
      await new Promise((resolve) => setTimeout(resolve, 5000));
      table.set('idle CPU of all components', '', column, { measured: `${((cpuMs(again.pid) - before) / 50).toFixed(2)} % of a core` });
    } finally {
      await again.stop();
    }
    table.set('startCluster() in a program', '500 ms', column, { measured: `${inProgram()} ms` });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The median of three programs of their own, import included. */
function inProgram(): number {
  const script = `
    const startedAt = performance.now();
    const { startCluster } = await import(${JSON.stringify(join(import.meta.dirname, '../cluster/cluster.ts'))});
    const cluster = await startCluster({ runtime: 'hollow', httpsPort: 0 });
    console.log('ms', Math.round(performance.now() - startedAt));
    await cluster.stop();
    process.exit(0);`;
  const times = [0, 1, 2].map(() => {
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', `import module from 'node:module'; module.enableCompileCache(); ${script}`], { encoding: 'utf8', timeout: 60_000 });
    const ms = /^ms (\d+)$/m.exec(stdout)?.[1];
    if (ms === undefined) throw new Error(`startCluster() in a program failed: ${stderr}`);
    return Number(ms);
  });
  return times.sort((a, b) => a - b)[1] ?? Number.NaN;
}
