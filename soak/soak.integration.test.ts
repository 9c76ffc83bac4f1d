// Short forms of all soak runs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { soaks } from './all.ts';

describe('soak, short forms', () => {
  for (const soak of soaks) {
    const missing = soak.missing?.();
    it(`${soak.name}: ${soak.summary}${missing === undefined ? '' : ` (skipped: ${missing})`}`, async function () {
      if (missing !== undefined) return this.skip();
      this.timeout(180_000); // seconds each on a machine that does nothing else
      const folder = mkdtempSync(join(tmpdir(), `proa-soak-${soak.name}-`));
      const stop = new AbortController();
      try {
        const checked = await soak.run({ short: true, folder, signal: stop.signal, say: () => undefined });
        expect(checked.length, 'lines of what it checked').to.be.greaterThan(0);
      } finally {
        stop.abort(new Error('the test is over'));
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
});
