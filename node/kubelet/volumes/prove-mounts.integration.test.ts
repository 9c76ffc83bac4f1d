// On engines of its own: one that shares our mounts, one in a mount namespace of its own.
import { expect } from 'chai';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartError } from '#machinery/base/start-error.ts';
import { createLogger } from '#machinery/base/log.ts';
import { createDockerRuntime } from '../runtime/docker.ts';
import { startEngine, type Engine } from '../runtime/engine.testing.ts';
import { mountShared, mountTmpfs, mountsBelow, unmountBelow } from './mounts.ts';
import { proveMounts } from './prove-mounts.ts';

const needed = ['/usr/sbin/dockerd', '/usr/bin/busybox'].filter((file) => !existsSync(file));
const why = needed.length > 0 ? `needs ${needed.join(', ')}` : process.getuid?.() === 0 ? '' : 'needs root';

describe('proveMounts()', function () {
  this.timeout(60_000);
  if (why !== '') {
    it(`is tried (skipped: ${why})`, function () { this.skip(); });
    return;
  }
  for (const { title, before: command, sees } of [
    { title: 'accepts an engine that sees our mounts', before: ['unshare', '--net'], sees: true },
    { title: 'refuses one in a mount namespace of its own, in one line', before: ['unshare', '--net', '--mount'], sees: false },
  ]) {
    it(title, async () => {
      const engine: Engine = await startEngine(command);
      const rootDir = mkdtempSync(join(tmpdir(), 'prove-'));
      try {
        await mountShared(rootDir);
        const runtime = await createDockerRuntime({ dockerHost: engine.dockerHost, clusterId: 'prove', nodeName: 'n1', bridgeName: 'prove0', clusterCidr: '10.42.0.0/16', log: createLogger('prove') });
        const refusal = await proveMounts(runtime, rootDir, AbortSignal.timeout(20_000)).catch((error: unknown) => error);
        if (sees) expect(refusal).to.equal(undefined);
        else {
          expect(refusal).to.be.instanceOf(StartError);
          expect((refusal as Error).message).to.match(/^the Docker Engine does not see [^\n]+$/);
        }
        expect(await mountsBelow(join(rootDir, 'mount-check')), 'mounts left').to.deep.equal([]);
        expect(existsSync(join(rootDir, 'mount-check'))).to.equal(false);
      } finally {
        await unmountBelow(rootDir);
        rmSync(rootDir, { recursive: true, force: true });
        await engine.stop();
      }
    });
  }

  it('cleans up what a killed process left of it', async () => {
    const rootDir = mkdtempSync(join(tmpdir(), 'prove-'));
    try {
      const point = join(rootDir, 'mount-check');
      const seen = { seesFolder: (path: string) => Promise.resolve(existsSync(path)) };
      mkdirSync(point);
      await mountTmpfs(point);
      await mountTmpfs(point);
      await proveMounts(seen, rootDir, AbortSignal.timeout(20_000));
      expect(await mountsBelow(rootDir)).to.deep.equal([]);
    } finally {
      await unmountBelow(rootDir);
      rmSync(rootDir, { recursive: true, force: true });
    }
  });
});
