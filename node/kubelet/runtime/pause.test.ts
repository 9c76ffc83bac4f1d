import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { pauseElf, tarOf } from './pause.ts';

describe('pauseElf()', () => {
  it('waits, and ends with 0 on SIGTERM', async function () {
    const arch = process.arch;
    if (arch !== 'x64' && arch !== 'arm64') {
      if (this.test) this.test.title += ` (skipped: no program for ${arch})`;
      return this.skip();
    }
    const dir = mkdtempSync(join(tmpdir(), 'pause-'));
    try {
      writeFileSync(join(dir, 'pause'), pauseElf(arch), { mode: 0o755 });
      const child = spawn(join(dir, 'pause'));
      const ended = new Promise<number | null>((resolve, reject) => {
        child.on('exit', resolve);
        child.on('error', reject);
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(child.exitCode).to.equal(null);
      child.kill('SIGTERM');
      expect(await ended).to.equal(0);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('tarOf()', () => {
  it('makes what tar can list', () => {
    const listed = spawnSync('tar', ['-tvf', '-'], { input: tarOf('pause', Buffer.from('abc')) });
    expect(listed.stdout.toString()).to.match(/^-rwxr-xr-x 0\/0\s+3 .* pause\n$/);
  });
});
