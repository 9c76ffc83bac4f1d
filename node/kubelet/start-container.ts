// One container from its image to running: pull, describe, create, start, postStart. A failure carries the reason a status shows.
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { totalmem } from 'node:os';
import type { Container, Pod, Secret } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { containerEvent, podEvent, type KubeletContext } from './context.ts';
import { ephemeralContainers, isHostNetwork, latest, podUid } from './container-spec.ts';
import { containerConfig } from './container-config.ts';
import { ConfigError, makeEnvironment } from './env.ts';
import { expand } from './expansion.ts';
import { runHook } from './hooks.ts';
import { credentialsFor } from './images/credentials.ts';
import { ImageError } from './images/images.ts';
import { hostsFile } from './pod-files.ts';
import type { Mount } from './runtime/runtime.ts';

export class StartError extends Error {
  override name = 'StartError';
  readonly reason: string;
  readonly retryAtMs: number | undefined;
  constructor(reason: string, message: string, retryAtMs?: number) {
    super(message);
    this.reason = reason;
    this.retryAtMs = retryAtMs;
  }
}
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export interface StartInput { pod: Pod; container: Container; sandboxId: string; podIps: string[]; attempt: number }

/** `kill` ends an instance whose postStart failed. */
export async function startContainer(context: KubeletContext, input: StartInput, kill: (id: string, message: string) => Promise<void>, signal: AbortSignal): Promise<void> {
  const { runtime } = context;
  const { pod, container } = input;
  const event = (type: 'Normal' | 'Warning', reason: string, message: string): void => containerEvent(context, pod, container, type, reason, message);
  const failed = (reason: string, error: unknown): StartError => {
    event('Warning', 'Failed', `Error: ${textOf(error)}`);
    return new StartError(reason, textOf(error));
  };

  let image: { id: string; user: string };
  try {
    image = await context.images.ensure(pod, container, (name) => pullCredentials(context, pod, name), event, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ImageError)) throw error;
    event('Warning', 'Failed', `Error: ${error.reason}`);
    throw new StartError(error.reason, error.message, error.retryAtMs);
  }

  let config: Awaited<ReturnType<typeof containerConfig>>;
  try {
    config = await describe(context, input, image, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw failed('CreateContainerConfigError', error);
  }
  let id: string;
  try {
    ({ id } = await runtime.createContainer(input.sandboxId, config, signal));
  } catch (error) {
    signal.throwIfAborted();
    throw failed('CreateContainerError', error);
  }
  event('Normal', 'Created', 'Container created');
  try {
    await runtime.startContainer(id, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw failed('RunContainerError', error);
  }
  event('Normal', 'Started', 'Container started');
  if (container.lifecycle?.postStart) {
    try {
      await runHook(runtime, id, container, container.lifecycle.postStart, input.podIps[0] ?? '', signal);
    } catch (error) {
      signal.throwIfAborted();
      event('Warning', 'FailedPostStartHook', 'PostStartHook failed');
      await kill(id, 'FailedPostStartHook');
      throw new StartError('PostStartHookError', textOf(error));
    }
  }
}

async function describe(context: KubeletContext, { pod, container, podIps, attempt }: StartInput, image: { id: string; user: string }, _signal: AbortSignal): Promise<Awaited<ReturnType<typeof containerConfig>>> {
  const { config: kubelet, runtime, volumes } = context;
  if (!context.services.hasSynced()) throw new ConfigError('services have not yet been read at least once, cannot construct envvars');
  const addresses = { podIps, hostIp: kubelet.nodeIp, nodeName: kubelet.nodeName };
  const env = runtime.pretends ? new Map<string, string>() : await makeEnvironment({
    pod, container, references: context.references, services: context.services.list(), addresses, allocatable: context.allocatable(),
  });
  const dir = volumes.podDir(podUid(pod));
  const messageFile = join(dir, 'containers', container.name, String(attempt));
  const mounts: Mount[] = [];
  if (!runtime.pretends) {
    mounts.push(...await volumes.mountsOf(pod, container, (text) => expand(text, (name) => env.get(name))));
    await mkdir(join(dir, 'containers', container.name), { recursive: true });
    await writeFile(messageFile, '');
    await chmod(messageFile, 0o666); // whatever user the container runs as
    const taken = new Set(mounts.map(({ target }) => target));
    const own = (source: string, target: string): void => {
      if (!taken.has(target)) mounts.push({ source, target, readOnly: false, propagation: 'rprivate' });
    };
    own(messageFile, container.terminationMessagePath ?? '/dev/termination-log');
    await writeFile(join(dir, 'etc-hosts'), hostsFile(pod, podIps, kubelet.clusterDomain, isHostNetwork(pod) ? await readFile('/etc/hosts', 'utf8').catch(() => '') : ''), { mode: 0o644 });
    own(join(dir, 'etc-hosts'), '/etc/hosts');
    own(join(dir, 'resolv.conf'), '/etc/resolv.conf');
    own(join(dir, 'hostname'), '/etc/hostname');
  }
  const target = ephemeralContainers(pod).find(({ name }) => name === container.name)?.targetContainerName;
  const targetId = target === undefined ? undefined : latest(runtime.podStatus(podUid(pod)), target)?.id;
  if (target !== undefined && targetId === undefined) throw new ConfigError(`unable to find target container ${target}`);
  return containerConfig({
    pod, container, attempt, image, env, mounts, messageFile, nodeMemoryBytes: totalmem(),
    ...(targetId === undefined ? {} : { targetContainerId: targetId }),
    seccompProfile: (path) => readFile(join(kubelet.rootDir, 'seccomp', path), 'utf8'),
  });
}

async function pullCredentials(context: KubeletContext, pod: Pod, image: string): Promise<ReturnType<typeof credentialsFor>> {
  const found: Secret[] = [];
  const missing: string[] = [];
  for (const { name = '' } of pod.spec?.imagePullSecrets ?? []) {
    try {
      found.push(await context.references.secret(pod.metadata.namespace ?? '', name));
    } catch (error) {
      if (!isNotFound(error)) context.log.warn('pull secret not read', { secret: name, error });
      missing.push(name);
    }
  }
  if (missing.length > 0) podEvent(context, pod, 'Warning', 'FailedToRetrieveImagePullSecret', `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`);
  return credentialsFor(image, found);
}
