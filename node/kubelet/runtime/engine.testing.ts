// For tests: a Docker Engine of one's own in a temporary folder, with one image `suite:1` that holds busybox.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { eventually } from '#machinery/base/abort.ts';
import { unmountBelow } from '../volumes/mounts.ts';
import { connectDocker } from './docker.ts';
import { tarOf } from './pause.ts';

export interface Engine { dockerHost: string; folder: string; stop(): Promise<void> }

/** `before` is put in front of dockerd's command line, such as `unshare --net`. */
export async function startEngine(before: string[]): Promise<Engine> {
  const folder = mkdtempSync(join(tmpdir(), 'engine-'));
  const dockerHost = `unix://${folder}/docker.sock`;
  const [command, ...args] = [...before, 'sh', '-c', `ip link set lo up && exec dockerd --data-root ${folder}/data --exec-root ${folder}/exec --pidfile ${folder}/pid -H ${dockerHost}`];
  const child = spawn(command, args, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await eventually(AbortSignal.timeout(30_000), () => connectDocker(dockerHost).then(() => true, () => false), 200);
  const docker = await connectDocker(dockerHost);
  // Links would do, but a script that tests for its interpreter by name needs one file only.
  const stream = await docker.importImage(Readable.from([tarOf('bin/busybox', readFileSync('/usr/bin/busybox'))]), { repo: 'busybox', tag: 'bare' });
  await new Promise<void>((resolve, reject) => docker.modem.followProgress(stream, (error: Error | null) => (error ? reject(error) : resolve())));
  const installer = await docker.createContainer({ Image: 'busybox:bare', Cmd: ['/bin/busybox', '--install', '-s', '/bin'], HostConfig: { NetworkMode: 'none' } });
  await installer.start();
  await installer.wait();
  await installer.commit({ repo: 'suite', tag: '1', changes: 'ENV PATH=/bin' });
  await installer.remove();
  return {
    dockerHost, folder,
    async stop() {
      process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 'SIGTERM');
      await ended;
      await unmountBelow(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
