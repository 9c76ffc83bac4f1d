// One owner at a time for something on disk. The lock is the kernel's, taken by sqlite on a file made for it: kill -9 leaves
// none behind, and the file itself may stay.
import { DatabaseSync } from 'node:sqlite';

/** Locks until `release`; undefined when another owner, in this process or another, keeps it (some only look for a moment). Throws when the file cannot be made. */
export function lockFile(path: string, patienceMs = 200): { release(): void } | undefined {
  const database = new DatabaseSync(path, { timeout: patienceMs });
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (error instanceof Error && /locked/.test(error.message)) return undefined;
    throw error;
  }
  return { release: () => database.close() };
}
