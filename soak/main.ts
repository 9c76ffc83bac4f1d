// `npm run soak -- NAME`: long load and fault runs. Each prints what it checked and ends with 1 when an invariant broke.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { soaks } from './all.ts';
import type { Soak } from './soak.ts';

const usage = `Runs load and faults for minutes and checks that nothing was lost.

Usage: npm run soak -- NAME… [--short]

  --short   the form that the tests run, some seconds each

Names, or "all":
${soaks.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join('\n')}
`;

const args = process.argv.slice(2);
const short = args.includes('--short');
const names = args.filter((arg) => arg !== '--short');
if (names.length === 0 || names.includes('--help')) {
  process.stdout.write(usage);
  process.exit(names.length === 0 ? 2 : 0);
}
const chosen = names.includes('all') ? soaks : names.map((name): Soak => {
  const found = soaks.find((soak) => soak.name === name);
  if (found) return found;
  process.stderr.write(`soak: no run is named "${name}"; names: ${soaks.map((soak) => soak.name).join(', ')}\n`);
  process.exit(2);
});

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error('stopped')));
let failed = 0;
for (const soak of chosen) {
  const missing = soak.missing?.();
  if (missing !== undefined) {
    process.stdout.write(`${soak.name}: skipped, ${missing}\n`);
    continue;
  }
  const folder = mkdtempSync(join(tmpdir(), `proa-soak-${soak.name}-`));
  const startedAt = Date.now();
  const seconds = (): number => Math.round((Date.now() - startedAt) / 1000);
  try {
    const checked = await soak.run({ short, folder, signal: stop.signal, say: (line) => process.stdout.write(`${soak.name} ${seconds()} s: ${line}\n`) });
    process.stdout.write(`${soak.name}: passed in ${seconds()} s\n${checked.map((line) => `  ${line}\n`).join('')}`);
  } catch (error) {
    failed += 1;
    process.stdout.write(`${soak.name}: FAILED after ${seconds()} s: ${error instanceof Error ? error.stack : String(error)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (stop.signal.aborted) break;
}
process.exit(failed === 0 && !stop.signal.aborted ? 0 : 1);
