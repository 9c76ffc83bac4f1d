// Two things a machine has once: a data folder, and a network namespace for a cluster with real containers. Both locks are
// the kernel's (a file lock, an abstract socket), so that kill -9 leaves none behind.
import { createServer } from 'node:net';
import { readlinkSync } from 'node:fs';
import { lockFile } from '#machinery/base/file-lock.ts';
import { StartError } from '#machinery/base/start-error.ts';

export { StartError };

/** Locks the folder until `release`; a second process is refused. */
export function lockDataDir(dataDir: string): { release(): void } {
  let lock: { release(): void } | undefined;
  try {
    lock = lockFile(`${dataDir}/lock`);
  } catch (cause) {
    throw new StartError(`cannot write to the data folder ${dataDir}: choose another one with --data-dir or mend its permissions`, { cause });
  }
  if (!lock) throw new StartError(`the data folder ${dataDir} is in use by another proa; stop that one or choose another folder with --data-dir`);
  return lock;
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
