// Files that change all at once: a fresh folder is written, then the symlink ..data is renamed onto it. Upstream: volume/util/atomic_writer.go.
import { chmod, chown, lstat, mkdir, mkdtemp, readFile, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface FileContent { data: Buffer; mode: number; uid?: number; gid?: number }
/** Path below the volume -> content. */
export type Payload = ReadonlyMap<string, FileContent>;

const dataLink = '..data';

/** Throws on a path that leaves the volume or hides among the writer's own names. */
export function checkPath(path: string): void {
  if (path === '') throw new Error('invalid path: must not be empty');
  if (path.startsWith('/')) throw new Error(`invalid path: must be relative path: ${path}`);
  if (path.split('/').some((part) => part === '..')) throw new Error(`invalid path: must not contain '..': ${path}`);
  if (path.startsWith('..')) throw new Error(`invalid path: must not start with '..': ${path}`);
}

/** Returns false when the volume already holds just this. */
export async function writeAtomically(target: string, payload: Payload, nowMs: number): Promise<boolean> {
  for (const path of payload.keys()) checkPath(path);
  await mkdir(target, { recursive: true });
  const oldName = await readlink(join(target, dataLink)).catch(() => undefined);
  const before = oldName === undefined ? undefined : await filesBelow(join(target, oldName));
  if (oldName !== undefined && before && (await same(join(target, oldName), before, payload))) return false;

  const stamp = new Date(nowMs).toISOString().slice(0, 19).replace('T', '-').replaceAll(/[-:]/g, '_');
  const fresh = await mkdtemp(join(target, `..${stamp}.`));
  await chmod(fresh, 0o755);
  for (const [path, { data, mode, uid, gid }] of payload) {
    const file = join(fresh, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, data);
    await chmod(file, mode); // past the umask
    if (uid !== undefined || gid !== undefined) await chown(file, uid ?? 0, gid ?? 0);
  }
  const temporary = join(target, `${dataLink}_tmp`);
  await rm(temporary, { force: true });
  await symlink(fresh.slice(target.length + 1), temporary);
  await rename(temporary, join(target, dataLink));
  const tops = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? ''));
  for (const top of tops) {
    const link = join(target, top);
    if ((await lstat(link).catch(() => undefined)) === undefined) await symlink(join(dataLink, top), link);
  }
  for (const path of before ?? []) {
    const top = path.split('/')[0] ?? '';
    if (!tops.has(top)) await rm(join(target, top), { force: true });
  }
  if (oldName !== undefined) await rm(join(target, oldName), { recursive: true, force: true });
  return true;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
async function same(folder: string, files: string[], payload: Payload): Promise<boolean> {
  if (files.length !== payload.size) return false;
  for (const file of files) {
    const wanted = payload.get(file);
    if (!wanted || !(await readFile(join(folder, file))).equals(wanted.data)) return false;
  }
  return true;
}
