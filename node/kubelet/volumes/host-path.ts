// What a hostPath says of the path: that it must be there and what it is, or that it may be made.
import { mkdir, stat, writeFile } from 'node:fs/promises';

const hostPathTypes: Record<string, { what: string; fits: (kind: Awaited<ReturnType<typeof stat>>) => boolean }> = {
  Directory: { what: 'a directory', fits: (kind) => kind.isDirectory() },
  File: { what: 'a file', fits: (kind) => kind.isFile() },
  Socket: { what: 'a socket file', fits: (kind) => kind.isSocket() },
  CharDevice: { what: 'a character device', fits: (kind) => kind.isCharacterDevice() },
  BlockDevice: { what: 'a block device', fits: (kind) => kind.isBlockDevice() },
};

export async function checkHostPath(path: string, type: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (type === 'DirectoryOrCreate') {
    if (!found) await mkdir(path, { recursive: true, mode: 0o755 });
    else if (!found.isDirectory()) throw new Error(`hostPath type check failed: ${path} is not a directory`);
    return;
  }
  if (type === 'FileOrCreate') {
    if (!found) await writeFile(path, '', { mode: 0o644 });
    else if (!found.isFile()) throw new Error(`hostPath type check failed: ${path} is not a file`);
    return;
  }
  const rule = hostPathTypes[type];
  if (type !== '' && !rule) throw new Error(`${type} is an invalid volume type`);
  if (rule && !(found && rule.fits(found))) throw new Error(`hostPath type check failed: ${path} is not ${rule.what}`);
}
