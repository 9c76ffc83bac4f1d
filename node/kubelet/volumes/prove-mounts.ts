// Proof that the engine sees what the kubelet mounts. An engine in a mount namespace of its own would give pods empty folders
// where their volumes are, and nobody would hear of it.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { StartError } from '#machinery/base/start-error.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { mountTmpfs, unmountBelow } from './mounts.ts';

/** Mounts a tmpfs below `rootDir` and has the runtime look for a folder in it. Throws StartError when it is not there. */
export async function proveMounts(runtime: Pick<Runtime, 'seesFolder'>, rootDir: string, signal: AbortSignal): Promise<void> {
  const point = join(rootDir, 'mount-check');
  await unmountBelow(point); // left by a process that was killed here
  await mkdir(point, { recursive: true });
  try {
    await mountTmpfs(point, 65_536);
    const folder = await mkdtemp(join(point, 'seen-'));
    if (await runtime.seesFolder(folder, signal)) return;
  } finally {
    await unmountBelow(point);
    await rm(point, { recursive: true, force: true });
  }
  throw new StartError(`the Docker Engine does not see what is mounted below ${rootDir}, so volumes would be empty: run it in the same mount namespace (no container, no systemd PrivateMounts), or use --runtime hollow`);
}
