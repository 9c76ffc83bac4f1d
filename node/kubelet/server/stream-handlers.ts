// Joins the kubelet's stream paths to what serves them: exec and attach to processes, port-forward to ports inside the pod.
// What serves them is loaded by the first that is asked for.
import { connectPodPort } from './pod-port.ts';
import { HttpError } from './server.ts';
import type { RemoteCommandOptions } from './remote-command.ts';
import type { StreamTarget, StreamVerb, UpgradeHandler } from './server.ts';

async function optionsOf(url: URL): Promise<RemoteCommandOptions> {
  const { remoteCommandOptions } = await import('./remote-command.ts');
  try {
    return remoteCommandOptions(url.searchParams);
  } catch (error) {
    throw new HttpError(400, error instanceof Error ? error.message : String(error));
  }
}
function containerOf({ containerId }: StreamTarget): string {
  if (containerId === undefined) throw new HttpError(400, 'the path names no container');
  return containerId;
}

/** Sessions end with `signal`. */
export function streamHandlers(signal: AbortSignal): Record<StreamVerb, UpgradeHandler> {
  return {
    async exec({ incoming, socket, head, url, target }) {
      const options = await optionsOf(url);
      const command = url.searchParams.getAll('command');
      if (command.length === 0) throw new HttpError(400, 'you must specify at least one command argument');
      const found = target();
      const id = containerOf(found);
      const { serveRemoteCommand } = await import('./remote-command.ts');
      await serveRemoteCommand(incoming, socket, head, options, (inner) => found.runtime.exec(id, { ...options, command }, inner), signal);
    },
    async attach({ incoming, socket, head, url, target }) {
      const options = await optionsOf(url);
      const found = target();
      const id = containerOf(found);
      const { serveRemoteCommand } = await import('./remote-command.ts');
      await serveRemoteCommand(incoming, socket, head, options, (inner) => found.runtime.attach(id, options, inner), signal);
    },
    async portForward({ incoming, socket, head, url, target }) {
      const { pod, podIp, sandboxPid } = target();
      const name = { name: pod.metadata.name ?? '', uid: pod.metadata.uid ?? '' };
      const { servePortForward } = await import('./port-forward.ts');
      await servePortForward(incoming, socket, head, url.searchParams, name, (port, inner) => connectPodPort({ ip: podIp, pid: sandboxPid }, port, inner), signal);
    },
  };
}
