// fsGroup: files of a volume belong to the pod's group, which may read and write them. Upstream: pkg/volume/volume_linux.go.
import { chmod, lchown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

const groupMayUse = 0o660;
const groupMayEnter = 0o110;
const setGid = 0o2000;

/** With `onlyOnMismatch` nothing below is looked at when the volume's own folder is right already. */
export async function giveToGroup(root: string, gid: number, onlyOnMismatch: boolean): Promise<void> {
  if (onlyOnMismatch) {
    const { gid: has, mode } = await lstat(root);
    const wanted = groupMayUse | groupMayEnter | setGid;
    if (has === gid && (mode & wanted) === wanted) return;
  }
  await give(root, gid);
}

/** The folder itself last, so that a walk that was cut off is seen to be unfinished. */
async function give(path: string, gid: number): Promise<void> {
  const found = await lstat(path);
  if (found.isDirectory()) for (const name of await readdir(path)) await give(join(path, name), gid);
  await lchown(path, found.uid, gid);
  if (found.isSymbolicLink()) return; // its mode means nothing
  await chmod(path, (found.mode & 0o7777) | groupMayUse | (found.isDirectory() ? groupMayEnter | setGid : 0));
}
