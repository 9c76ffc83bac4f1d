// Two things a machine has once: a data folder, and a network namespace for a cluster with real containers. Both locks are
// the kernel's (a file lock, an abstract socket), so that kill -9 leaves none behind.
import { createServer } from 'node:net';
import { readlinkSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { StartError } from '#machinery/base/start-error.ts';

export { StartError };

/** Locks the folder until `release`; a second process is refused. sqlite's own file lock does the work. */
export function lockDataDir(dataDir: string): { release(): void } {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(`${dataDir}/lock`);
  } catch (cause) {
    throw new StartError(`cannot write to the data folder ${dataDir}: choose another one with --data-dir or mend its permissions`, { cause });
  }
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    const locked = cause instanceof Error && /locked/.test(cause.message);
    throw new StartError(locked
      ? `the data folder ${dataDir} is in use by another proa; stop that one or choose another folder with --data-dir`
      : `cannot use the data folder ${dataDir} (${cause instanceof Error ? cause.message : String(cause)}); choose another one with --data-dir`, { cause });
  }
  return { release: () => database.close() };
}

/** One cluster with Docker in a network namespace: chains and bridges bear fixed names. Abstract sockets belong to the namespace. */
export async function lockNetworkNamespace(): Promise<{ release(): Promise<void> }> {
  const namespace = readlinkSync('/proc/self/ns/net');
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(new StartError(cause.code === 'EADDRINUSE'
      ? 'another proa cluster with --runtime docker runs in this network namespace; stop it first, or start this one in a namespace of its own (ip netns)'
      : `cannot lock the network namespace ${namespace}: ${cause.message}`, { cause })));
    server.listen(`\0proa-cluster-${namespace}`, resolve);
  });
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}
