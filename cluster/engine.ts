// Makes sure that a Docker Engine answers before anything starts: a running one is used, an installed one is started.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync } from 'node:fs';
import { sleep } from '#machinery/base/clock.ts';
import { http } from '#machinery/base/http.ts';
import { StartError } from './locks.ts';

/** True when the engine behind `unix://PATH` answers a ping. */
export function pingEngine(dockerHost: string, timeoutMs = 3000): Promise<boolean> {
  return new Promise((resolve) => {
    const call = http.request({ socketPath: dockerHost.slice('unix://'.length), path: '/_ping', timeout: timeoutMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
  });
}

function findOnPath(program: string): string | undefined {
  return [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin', '/usr/local/bin'].map((folder) => `${folder}/${program}`).find((path) => existsSync(path));
}

/**
 * Resolves when the engine answers. The engine that is started here is a daemon of the machine: it outlives the cluster, as
 * its containers do. Throws StartError with what to do when there is none.
 */
export async function ensureEngine(dockerHost: string, say: (line: string) => void, signal: AbortSignal): Promise<void> {
  if (await pingEngine(dockerHost)) return;
  const socket = dockerHost.slice('unix://'.length);
  const advice = `start Docker Engine (dockerd), name another socket with --docker-host, or use --runtime hollow`;
  if (socket !== '/var/run/docker.sock' && socket !== '/run/docker.sock') throw new StartError(`no Docker Engine answers at ${dockerHost}; ${advice}`);
  if (process.getuid?.() !== 0) throw new StartError(`no Docker Engine answers at ${dockerHost}, and starting one needs root; ${advice}`);
  const dockerd = findOnPath('dockerd');
  if (!dockerd) throw new StartError(`no Docker Engine answers at ${dockerHost} and none is installed; apt-get install docker.io (npm start does it on Debian and Ubuntu), or use --runtime hollow`);
  mkdirSync('/var/log', { recursive: true });
  const log = '/var/log/proa-dockerd.log';
  const output = openSync(log, 'a');
  const daemon = spawn(dockerd, [], { detached: true, stdio: ['ignore', output, output] });
  let ended = false;
  daemon.on('error', () => { ended = true; });
  daemon.on('exit', () => { ended = true; });
  daemon.unref();
  say(`started Docker Engine (dockerd, process ${daemon.pid}, log ${log}); it stays up when the cluster stops`);
  for (const end = Date.now() + 60_000; Date.now() < end;) {
    if (await pingEngine(dockerHost)) return;
    if (ended) throw new StartError(`dockerd did not start; see ${log}, or use --runtime hollow`);
    await sleep(50, signal);
  }
  throw new StartError(`dockerd did not answer within 60 s; see ${log}`);
}
