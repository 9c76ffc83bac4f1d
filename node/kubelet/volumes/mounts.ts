// Mounting with the system's own tools, and what is mounted below a folder.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Mount points at or below `folder`, deepest first. */
export async function mountsBelow(folder: string): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table.split('\n').flatMap((line) => {
    const point = line.split(' ')[4]?.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    return point !== undefined && (point === folder || point.startsWith(`${folder}/`)) ? [point] : [];
  }).sort((a, b) => b.length - a.length);
}
export async function mountTmpfs(target: string, sizeBytes?: number): Promise<void> {
  await run('mount', ['-t', 'tmpfs', ...(sizeBytes === undefined ? [] : ['-o', `size=${sizeBytes}`]), 'tmpfs', target]);
}
/** A bind of the folder onto itself that passes mounts on in both directions. */
export async function mountShared(folder: string): Promise<void> {
  await run('mount', ['--bind', folder, folder]);
  await run('mount', ['--make-rshared', folder]);
}
export async function bind(source: string, target: string): Promise<void> {
  await run('mount', ['--bind', source, target]);
}
export async function unmount(target: string): Promise<void> {
  try {
    await run('umount', [target]);
  } catch (error) {
    if ((await mountsBelow(target)).includes(target)) await run('umount', ['-l', target]).catch((cause: unknown) => { throw new Error(`unmount ${target}`, { cause }); });
    else void error; // it was not mounted any more
  }
}
export async function unmountBelow(folder: string): Promise<void> {
  for (const point of await mountsBelow(folder)) await unmount(point);
}
