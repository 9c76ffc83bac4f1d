// `npm test`: every suite in its own mocha, one after the other, and the sum as the last line. Exit code 0 only when all passed.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const suites: { name: string; args: string[]; timeoutMinutes: number }[] = [
  { name: 'unit', args: ['run', '-s', 'test:unit', '--'], timeoutMinutes: 5 },
  { name: 'integration', args: ['run', '-s', 'test:integration', '--'], timeoutMinutes: 8 },
  { name: 'conformance', args: ['run', '-s', 'conformance', '--'], timeoutMinutes: 15 },
];

const folder = mkdtempSync(join(tmpdir(), 'proa-test-'));
const total = { passed: 0, failed: 0, skipped: 0 };
try {
  for (const suite of suites) {
    process.stdout.write(`\n=== ${suite.name}\n`);
    const counts = join(folder, `${suite.name}.json`);
    const startedAt = Date.now();
    const code = await runSuite(suite.args, counts, suite.timeoutMinutes * 60_000);
    process.stdout.write(`=== ${suite.name}: ${Math.round((Date.now() - startedAt) / 1000)} s\n`);
    let seen: typeof total | undefined;
    try {
      seen = JSON.parse(readFileSync(counts, 'utf8')) as typeof total;
    } catch {
      process.stdout.write(`${suite.name} ended with ${code} before it could count\n`);
    }
    total.passed += seen?.passed ?? 0;
    total.skipped += seen?.skipped ?? 0;
    // A suite that died, or failed outside its tests, counts as a failure.
    total.failed += seen ? Math.max(seen.failed, code === 0 ? 0 : 1) : 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed === 0 ? 0 : 1);

function runSuite(args: string[], counts: string, timeoutMs: number): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn('npm', [...args, '--reporter', './conformance/reporter.ts', '--exit'], {
      cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, PROA_COUNTS: counts }, detached: true,
    });
    const timer = setTimeout(() => {
      process.stdout.write(`not finished after ${timeoutMs / 60_000} minutes: stopped\n`);
      if (child.pid) process.kill(-child.pid, 'SIGKILL');
    }, timeoutMs);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve(code ?? 1);
    });
  });
}
