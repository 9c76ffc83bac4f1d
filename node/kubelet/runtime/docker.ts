// Containers on a Docker Engine of this machine. Whatever a restarted kubelet must know is in labels, named as dockershim named them.
import { Readable, Writable } from 'node:stream';
import type Docker from 'dockerode';
import { createBackoff } from '#machinery/base/backoff.ts';
import { sleep } from '#machinery/base/clock.ts';
import type { Logger } from '#machinery/base/log.ts';
import { loadDockerode } from './dockerode.ts';
import { frames, split } from './demux.ts';
import { pauseElf, pauseImage, tarOf } from './pause.ts';
import { createBridge, type Bridge } from './bridge.ts';
import { createView } from './view.ts';
import { missingCapabilities } from './capabilities.ts';
import {
  RuntimeNotFound, type ContainerConfig, type ContainerState, type ImageInfo, type PodIdentity, type Runtime, type SandboxConfig,
  type SandboxState, type StreamSession,
} from './runtime.ts';

const pauseImages = new Map<string, Promise<void>>();

export interface DockerOptions { dockerHost: string; clusterId: string; nodeName: string; bridgeName: string; clusterCidr: string; log: Logger }

const label = {
  type: 'io.kubernetes.docker.type',
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  container: 'io.kubernetes.container.name',
  attempt: 'io.kubernetes.container.restartCount',
  image: 'io.kubernetes.container.image',
  sandbox: 'io.kubernetes.sandbox.id',
  cluster: 'proa.cluster',
  node: 'proa.node',
} as const;
const annotationPrefix = 'annotation.';

/** The engine's own words, without what the library adds. */
function translate(what: string, error: unknown): Error {
  const { statusCode, json, reason } = error as { statusCode?: number; json?: { message?: string }; reason?: string };
  const whole = error instanceof Error ? error.message : String(error);
  const message = json?.message ?? (reason === undefined ? whole : whole.replace(/^\(HTTP code \d+\) /, '').replace(`${reason} - `, '').trim());
  if (statusCode === 404) return new RuntimeNotFound(message, { cause: error });
  return statusCode === undefined ? new Error(`${what}: ${message}`, { cause: error }) : new Error(message, { cause: error });
}
async function ask<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw translate(what, error);
  }
}
const statusOf = (error: unknown): number | undefined => (error as { statusCode?: number }).statusCode;
const timeOf = (text: string | undefined): number => {
  const ms = text === undefined ? NaN : Date.parse(text);
  return Number.isNaN(ms) || ms < 0 ? 0 : ms; // the engine writes year 1 for "never"
};

export async function connectDocker(dockerHost: string): Promise<Docker> {
  const Dockerode = await loadDockerode();
  const where = dockerHost.startsWith('unix://') ? { socketPath: dockerHost.slice('unix://'.length) }
    : dockerHost.startsWith('/') ? { socketPath: dockerHost }
    : (() => {
        const url = new URL(dockerHost.replace(/^tcp:/, 'http:'));
        return { host: url.hostname, port: Number(url.port || 2375), protocol: 'http' as const };
      })();
  const docker = new Dockerode(where);
  const version = await ask(`Docker Engine at ${dockerHost} does not answer`, docker.version());
  // The engine's newest API up to the one this was written against: older engines lack it, newer ones may change it.
  const newest = compareVersions(version.ApiVersion, '1.45') > 0 ? '1.45' : version.ApiVersion;
  const wanted = compareVersions(version.MinAPIVersion ?? '1.0', newest) > 0 ? version.MinAPIVersion : newest;
  if (wanted !== undefined && compareVersions(wanted, '1.40') < 0) throw new Error(`Docker Engine ${version.Version} is too old: API 1.40 (release 19.03) or newer is needed`);
  return new Dockerode({ ...where, version: `v${wanted}` });
}
function compareVersions(a: string, b: string): number {
  const [aMajor = 0, aMinor = 0] = a.split('.').map(Number);
  const [bMajor = 0, bMinor = 0] = b.split('.').map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}

export async function createDockerRuntime(options: DockerOptions): Promise<Runtime> {
  const { log } = options;
  const docker = await connectDocker(options.dockerHost);
  const view = createView();
  const dropped = missingCapabilities();
  const oomFloor = dropped.includes('SYS_RESOURCE') ? 0 : -1000;
  const networkName = `proa-${options.clusterId}-${options.nodeName}`;
  const own = { [label.cluster]: options.clusterId, [label.node]: options.nodeName };
  const ownFilter = Object.entries(own).map(([key, value]) => `${key}=${value}`);
  const stopSignals = new Map<string, string>();
  const imageRefs = new Map<string, Promise<string>>();
  let bridge: Bridge | undefined;
  let up = true;

  async function inspectImage(name: string): Promise<ImageInfo | undefined> {
    try {
      const image = await docker.getImage(name).inspect();
      const digest = image.RepoDigests?.[0];
      return {
        id: image.Id, ref: digest ? `docker-pullable://${digest}` : `docker://${image.Id}`,
        user: image.Config?.User ?? '', sizeBytes: image.Size, names: [...(image.RepoDigests ?? []), ...(image.RepoTags ?? [])],
      };
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw translate(`inspect image ${name}`, error);
    }
  }
  /** A container's image may have lost its name or be gone; its id is a fair answer then. */
  function imageRefOf(id: string): Promise<string> {
    let ref = imageRefs.get(id);
    if (!ref) {
      if (imageRefs.size > 500) imageRefs.clear();
      ref = inspectImage(id).then((image) => image?.ref ?? `docker://${id}`, () => `docker://${id}`);
      imageRefs.set(id, ref);
    }
    return ref;
  }

  const podOf = (labels: Record<string, string>): PodIdentity => ({
    namespace: labels[label.podNamespace] ?? '', name: labels[label.podName] ?? '', uid: labels[label.podUid] ?? '',
  });

  /** Reads one container from the engine into the view. */
  async function refresh(id: string): Promise<SandboxState | ContainerState | undefined> {
    let info: Docker.ContainerInspectInfo;
    try {
      info = await docker.getContainer(id).inspect();
    } catch (error) {
      if (statusOf(error) !== 404) throw translate(`inspect container ${id}`, error);
      view.remove(id);
      return undefined;
    }
    const labels = info.Config.Labels ?? {};
    const pod = podOf(labels);
    const createdAtMs = timeOf(info.Created);
    if (labels[label.type] === 'podsandbox') {
      const hostNetwork = info.HostConfig.NetworkMode === 'host';
      return view.putSandbox({
        id: info.Id, pod, attempt: Number(labels[label.attempt] ?? 0), running: info.State.Running, hostNetwork, createdAtMs,
        ip: hostNetwork || !info.State.Running ? '' : Object.values(info.NetworkSettings.Networks)[0]?.IPAddress ?? '',
        pid: info.State.Running ? info.State.Pid : 0,
      });
    }
    stopSignals.set(info.Id, (info.Config as { StopSignal?: string }).StopSignal || 'SIGTERM');
    const { State: state } = info;
    const neverStarted = state.Status === 'created' && state.ExitCode !== 0; // the engine tried and failed
    const annotations = Object.fromEntries(Object.entries(labels).flatMap(([key, value]) => (key.startsWith(annotationPrefix) ? [[key.slice(annotationPrefix.length), value]] : [])));
    return view.putContainer({
      id: info.Id, pod, name: labels[label.container] ?? '', attempt: Number(labels[label.attempt] ?? 0),
      image: labels[label.image] ?? info.Config.Image, imageRef: await imageRefOf(info.Image),
      state: state.Running || state.Paused || state.Restarting ? 'running' : state.Status === 'created' && !neverStarted ? 'created' : 'exited',
      createdAtMs, startedAtMs: neverStarted ? createdAtMs : timeOf(state.StartedAt),
      finishedAtMs: neverStarted ? createdAtMs : timeOf(state.FinishedAt),
      exitCode: state.ExitCode, oomKilled: state.OOMKilled, error: state.Error ?? '', annotations, tty: info.Config.Tty,
    });
  }

  async function readAll(): Promise<void> {
    const all = await ask('list containers', docker.listContainers({ all: true, filters: { label: ownFilter } }));
    const ids = new Set(all.map((container) => container.Id));
    for (const id of view.ids()) if (!ids.has(id)) view.remove(id);
    const queue = [...ids];
    await Promise.all(Array.from({ length: Math.min(8, queue.length) }, async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) await refresh(id);
    }));
  }

  async function follow(ready: () => void, signal: AbortSignal): Promise<void> {
    // The list comes after the subscription, so nothing falls between the two.
    const stream = await ask('listen to events', docker.getEvents({ filters: { type: ['container'], event: ['die', 'destroy', 'oom'], label: ownFilter } })) as Readable;
    const stop = (): void => void stream.destroy();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await readAll();
      if (bridge) await bridge.ensure(signal); // a restarted engine has put its chains in order again
      up = true;
      ready();
      let rest = '';
      for await (const chunk of stream) {
        const lines = (rest + String(chunk)).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (line.trim() === '') continue;
          const event = JSON.parse(line) as { Action?: string; id?: string; Actor?: { ID?: string } };
          const id = event.Actor?.ID ?? event.id ?? '';
          if (event.Action === 'destroy') {
            stopSignals.delete(id);
            view.remove(id);
          } else {
            refresh(id).catch((error: unknown) => log.warn('container not read after an event', { id, error }));
          }
        }
      }
    } finally {
      signal.removeEventListener('abort', stop);
      stream.destroy();
    }
  }

  async function makePause(): Promise<void> {
    if (await inspectImage(pauseImage)) return;
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    const [repo, tag] = pauseImage.split(':');
    const stream = await ask('make the pause image', docker.importImage(Readable.from([tarOf('pause', pauseElf(arch))]), { repo, tag, changes: 'ENTRYPOINT ["/pause"]' }));
    await new Promise<void>((resolve, reject) => docker.modem.followProgress(stream, (error: Error | null) => (error ? reject(error) : resolve())));
  }
  /** Several nodes on one engine make the image once: a second one of the same name would take it from the first. */
  function ensurePause(): Promise<void> {
    const making = pauseImages.get(options.dockerHost) ?? makePause().finally(() => pauseImages.delete(options.dockerHost));
    pauseImages.set(options.dockerHost, making);
    return making;
  }
  let pauseReady: Promise<void> | undefined;
  const pauseIsThere = (): Promise<void> => (pauseReady ??= ensurePause().catch((error: unknown) => {
    pauseReady = undefined;
    throw error;
  }));

  async function waitForExit(id: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const ended = (): boolean => {
      const container = view.container(id);
      return container === undefined || container.state === 'exited';
    };
    if (ended()) return true;
    return new Promise((resolve, reject) => {
      const finish = (result: boolean): void => {
        stopListening();
        clearTimeout(timer);
        clearInterval(poll);
        signal.removeEventListener('abort', onAbort);
        resolve(result);
      };
      const stopListening = view.onChange(() => ended() && finish(true));
      const timer = setTimeout(() => finish(false), timeoutMs);
      // Events can be lost with the connection to the engine.
      const poll = setInterval(() => refresh(id).catch(reject), 2000);
      const onAbort = (): void => finish(false);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) finish(false);
    });
  }
  async function kill(id: string, signalName: string): Promise<void> {
    try {
      await docker.getContainer(id).kill({ signal: signalName });
    } catch (error) {
      if (statusOf(error) === 409 || statusOf(error) === 404) await refresh(id); // already ended, or gone
      else throw translate(`send ${signalName}`, error);
    }
  }
  async function remove(id: string): Promise<void> {
    try {
      await docker.getContainer(id).remove({ force: true, v: true });
    } catch (error) {
      if (statusOf(error) === 409) { // its removal is under way
        await waitForRemoval(id);
      } else if (statusOf(error) !== 404) throw translate(`remove container ${id}`, error);
    }
    stopSignals.delete(id);
    view.remove(id);
  }
  async function waitForRemoval(id: string): Promise<void> {
    for (let round = 0; round < 100; round += 1) {
      if ((await refresh(id)) === undefined) return;
      await sleep(100, new AbortController().signal);
    }
    throw new Error(`container ${id} is being removed for 10 s`);
  }

  /** Of a network of ours, this cluster's or an earlier one's. */
  async function removeRulesOf({ Name: owner, IPAM, Options }: Docker.NetworkInspectInfo, signal: AbortSignal): Promise<void> {
    const podCidr = IPAM?.Config?.[0]?.Subnet;
    const name = Options?.['com.docker.network.bridge.name'] ?? options.bridgeName;
    if (podCidr) await createBridge({ name, podCidr, clusterCidr: options.clusterCidr, owner, log }).removeRules(signal);
  }

  function session(stream: Readable & Writable, tty: boolean, wantsStdin: boolean, resize: StreamSession['resize'], exitCode: () => Promise<number>): StreamSession {
    const outputs = split(stream, tty);
    const stdin = wantsStdin ? new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (!stream.writable) return done(); // the process has closed its input
        stream.write(chunk, () => done());
      },
      final: (done) => { stream.end(); done(); },
    }) : new Writable({ write: (_chunk, _encoding, done) => done() });
    stream.on('error', () => stdin.destroy());
    const code = outputs.ended.catch(() => undefined).then(exitCode);
    code.catch(() => undefined); // whoever asks for it gets the error
    return { stdin, stdout: outputs.stdout, stderr: outputs.stderr, resize, exitCode: code };
  }

  return {
    kind: 'docker',
    pretends: false,
    async version() {
      const version = await ask('ask for the version', docker.version());
      return { name: 'docker', version: version.Version };
    },
    async run(ready, signal) {
      const backoff = createBackoff({ baseMs: 200, maxMs: 5000 });
      const repeat = async (): Promise<void> => {
        while (!signal.aborted) {
          await sleep(60_000, signal).catch(() => undefined);
          if (!signal.aborted && up) await readAll().catch((error: unknown) => log.warn('containers not read', { error }));
        }
      };
      const repeating = repeat();
      while (!signal.aborted) {
        try {
          await follow(() => {
            backoff.reset();
            ready();
          }, signal);
        } catch (error) {
          if (!signal.aborted) log.warn('lost the engine', { error });
        }
        if (signal.aborted) break;
        up = false;
        await sleep(backoff.nextMs(), signal).catch(() => undefined);
      }
      await repeating;
    },
    isUp: () => up,
    podStatus: (uid) => view.pod(uid),
    listPods: () => view.pods(),
    onChange: (handler) => void view.onChange(handler),

    async seesFolder(path) {
      // The engine looks at the sources of mounts before it looks for the image, which does not exist.
      try {
        const made = await docker.createContainer({ Image: 'proa.invalid/none:none', HostConfig: { Mounts: [{ Type: 'bind', Source: path, Target: '/seen' }] } });
        await made.remove();
        return true;
      } catch (error) {
        if (statusOf(error) === 404) return true;
        if (statusOf(error) === 400 && /bind source path does not exist/.test(translate('', error).message)) return false;
        throw translate('look for a folder', error);
      }
    },
    async ensureNetwork({ podCidr }, signal) {
      const pause = pauseIsThere();
      pause.catch(() => undefined); // awaited at the end
      bridge = createBridge({ name: options.bridgeName, podCidr, clusterCidr: options.clusterCidr, owner: networkName, log });
      const networks = await ask('list networks', docker.listNetworks({ filters: { label: [label.cluster] } }));
      const existing = networks.find((network) => network.Name === networkName);
      // A cluster whose data folder was thrown away leaves its network behind; it holds our bridge's name or addresses.
      for (const left of networks) {
        const ours = left.Options?.['com.docker.network.bridge.name'] === options.bridgeName || left.IPAM?.Config?.[0]?.Subnet === podCidr;
        const cluster = left.Labels?.[label.cluster] ?? '';
        if (!ours || cluster === options.clusterId) continue;
        await ask(`remove network ${left.Name} of another cluster, whose containers are to go first (docker rm -f $(docker ps -aq --filter label=${label.cluster}=${cluster}))`, docker.getNetwork(left.Id).remove());
        await removeRulesOf(left, signal);
        log.info('removed the network that another cluster left behind', { network: left.Name });
      }
      if (existing && existing.IPAM?.Config?.[0]?.Subnet !== podCidr) {
        await ask(`remove network ${networkName}, made for another pod CIDR`, docker.getNetwork(existing.Id).remove());
      }
      if (!existing || existing.IPAM?.Config?.[0]?.Subnet !== podCidr) {
        await ask(`make network ${networkName}`, docker.createNetwork({
          Name: networkName, Driver: 'bridge', CheckDuplicate: true, Labels: own,
          IPAM: { Driver: 'default', Config: [{ Subnet: podCidr, Gateway: bridge.gateway }] },
          Options: {
            'com.docker.network.bridge.name': options.bridgeName,
            'com.docker.network.bridge.enable_icc': 'true',
            'com.docker.network.bridge.enable_ip_masquerade': 'false', // pods see each other's own addresses; bridge.ts masks the rest
          },
        }));
      }
      await bridge.ensure(signal);
      await pause;
    },

    async createSandbox(config) {
      await pauseIsThere();
      const created = await ask('create sandbox', docker.createContainer(sandboxOptions(config, networkName, own, oomFloor)));
      return view.putSandbox({ id: created.id, pod: config.pod, attempt: config.attempt, running: false, hostNetwork: config.hostNetwork, ip: '', createdAtMs: Date.now(), pid: 0 });
    },
    async startSandbox(id) {
      await ask('start sandbox', docker.getContainer(id).start());
      const state = await refresh(id);
      if (state === undefined || !('running' in state)) throw new RuntimeNotFound(`sandbox ${id} is gone`);
      if (!state.hostNetwork && bridge) await bridge.hairpin();
      return state;
    },
    removeSandbox: (id) => remove(id),

    async createContainer(sandboxId, config) {
      const name = `k8s_${config.name}_${config.pod.name}_${config.pod.namespace}_${config.pod.uid}_${config.attempt}`;
      const wanted = containerOptions(name, sandboxId, config, own, dropped, oomFloor);
      let created: Docker.Container;
      try {
        created = await docker.createContainer(wanted);
      } catch (error) {
        if (statusOf(error) !== 409 || !/already in use/.test(translate('', error).message)) throw translate('create container', error);
        await remove(name); // left by an attempt that did not get to the start
        created = await ask('create container', docker.createContainer(wanted));
      }
      return view.putContainer({
        id: created.id, pod: config.pod, name: config.name, attempt: config.attempt, image: config.image, imageRef: await imageRefOf(config.imageId), state: 'created',
        createdAtMs: Date.now(), startedAtMs: 0, finishedAtMs: 0, exitCode: 0, oomKilled: false, error: '', annotations: config.annotations, tty: config.tty,
      });
    },
    async startContainer(id) {
      try {
        await docker.getContainer(id).start();
      } catch (error) {
        await refresh(id);
        throw translate('start container', error);
      }
      const state = await refresh(id);
      if (state === undefined || !('exitCode' in state)) throw new RuntimeNotFound(`container ${id} is gone`);
      return state;
    },
    async stopContainer(id, graceMs, hurry) {
      if (view.container(id)?.state !== 'running') return;
      if (graceMs > 0 && !hurry.aborted) {
        await kill(id, stopSignals.get(id) ?? 'SIGTERM');
        if (await waitForExit(id, graceMs, hurry)) return;
      }
      await kill(id, 'SIGKILL');
      if (!(await waitForExit(id, 30_000, new AbortController().signal))) throw new Error(`container ${id} still runs 30 s after SIGKILL`);
    },
    removeContainer: (id) => remove(id),

    async *logs(id, log, signal) {
      const query = {
        stdout: log.stdout, stderr: log.stderr, follow: log.follow, timestamps: log.timestamps,
        ...(log.tailLines === undefined ? {} : { tail: log.tailLines }), ...(log.sinceMs === undefined ? {} : { since: (log.sinceMs / 1000).toFixed(9) }),
      };
      const tty = view.container(id)?.tty ?? false;
      // The library would read a log that is not followed into memory as a whole.
      const stream = await ask('read logs', new Promise<Readable>((resolve, reject) => docker.modem.dial(
        { path: `/containers/${id}/logs?`, options: query, method: 'GET', isStream: true, statusCodes: { 200: true, 404: 'no such container', 500: 'server error' } },
        (error: unknown, data: unknown) => (error ? reject(error as Error) : resolve(data as Readable)))));
      const stop = (): void => void stream.destroy();
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      try {
        for await (const frame of frames(stream, tty)) yield frame.data;
      } catch (error) {
        if (!signal.aborted) throw translate('read logs', error);
      } finally {
        signal.removeEventListener('abort', stop);
        stream.destroy();
      }
    },
    async exec(id, wanted, signal) {
      const exec = await ask('make exec', docker.getContainer(id).exec({
        Cmd: wanted.command, AttachStdin: wanted.stdin, AttachStdout: wanted.stdout || wanted.tty, AttachStderr: wanted.stderr && !wanted.tty, Tty: wanted.tty,
      }));
      const stream = await ask('start exec', exec.start({ hijack: true, stdin: true, Tty: wanted.tty })) as Readable & Writable;
      destroyOn(signal, stream);
      return session(stream, wanted.tty, wanted.stdin, async ({ width, height }) => {
        await ask('resize', exec.resize({ w: width, h: height }));
      }, async () => {
        for (let round = 0; ; round += 1) {
          const info = await ask('inspect exec', exec.inspect());
          if (!info.Running && info.ExitCode !== null) return info.ExitCode;
          if (round > 50 || signal.aborted) throw new Error('the command closed its output but still runs');
          await sleep(Math.min(500, 10 * (round + 1)), signal);
        }
      });
    },
    async attach(id, wanted, signal) {
      const container = docker.getContainer(id);
      const stream = await ask('attach', container.attach({ stream: true, hijack: true, stdin: wanted.stdin, stdout: wanted.stdout, stderr: wanted.stderr })) as unknown as Readable & Writable;
      destroyOn(signal, stream);
      return session(stream, wanted.tty, wanted.stdin, async ({ width, height }) => {
        await ask('resize', container.resize({ w: width, h: height }));
      }, async () => {
        const ended = await waitForExit(id, 10_000, signal);
        const state = view.container(id);
        if (!ended || !state) throw new Error('detached from a container that still runs');
        return state.exitCode;
      });
    },

    imageInfo: (image) => inspectImage(image),
    async pullImage(image, credentials, signal) {
      const stream = await ask(`pull ${image}`, docker.pull(image, credentials ? { authconfig: { username: credentials.username, password: credentials.password, serveraddress: credentials.serverAddress } } : {})) as Readable;
      destroyOn(signal, stream);
      await new Promise<void>((resolve, reject) => {
        docker.modem.followProgress(stream, (error: Error | null, output: { error?: string }[]) => {
          const failed = error?.message ?? output?.find((line) => line.error)?.error;
          if (failed !== undefined) reject(new Error(failed));
          else resolve();
        });
        stream.once('close', () => signal.aborted && reject(signal.reason as Error));
      });
    },
    async listImages() {
      const images = await ask('list images', docker.listImages());
      return images.map((image) => ({ id: image.Id, ref: image.RepoDigests?.[0] ?? image.Id, user: '', sizeBytes: image.Size, names: [...(image.RepoDigests ?? []), ...(image.RepoTags ?? [])].filter((name) => !name.startsWith('<none>')) }));
    },
    async removeAll(signal) {
      const all = await ask('list containers', docker.listContainers({ all: true, filters: { label: ownFilter } }));
      for (const type of ['container', 'podsandbox']) {
        const queue = all.filter((container) => (container.Labels[label.type] === 'podsandbox') === (type === 'podsandbox'));
        await Promise.all(Array.from({ length: 4 }, async () => {
          for (let next = queue.pop(); next !== undefined; next = queue.pop()) await remove(next.Id);
        }));
      }
      const networks = await ask('list networks', docker.listNetworks({ filters: { label: ownFilter } }));
      for (const network of networks) {
        await ask(`remove network ${network.Name}`, docker.getNetwork(network.Id).remove());
        await removeRulesOf(network, signal);
      }
    },
  };
}

function destroyOn(signal: AbortSignal, stream: Readable): void {
  const stop = (): void => void stream.destroy();
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', stop));
}

const identityLabels = (pod: PodIdentity): Record<string, string> => ({ [label.podName]: pod.name, [label.podNamespace]: pod.namespace, [label.podUid]: pod.uid });
const logConfig = { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '5' } };

function sandboxOptions(config: SandboxConfig, networkName: string, own: Record<string, string>, oomFloor: number): Docker.ContainerCreateOptions {
  const { pod } = config;
  const exposed: Record<string, Record<string, never>> = {};
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const port of config.ports) {
    const key = `${port.containerPort}/${port.protocol.toLowerCase()}`;
    exposed[key] = {};
    (bindings[key] ??= []).push({ HostIp: port.hostIp, HostPort: String(port.hostPort) });
  }
  return {
    name: `k8s_POD_${pod.name}_${pod.namespace}_${pod.uid}_${config.attempt}`,
    Image: pauseImage,
    ...(config.hostNetwork ? {} : { Hostname: config.hostname }),
    Labels: {
      ...config.labels,
      ...Object.fromEntries(Object.entries(config.annotations).map(([key, value]) => [annotationPrefix + key, value])),
      ...identityLabels(pod), ...own, [label.type]: 'podsandbox', [label.container]: 'POD', [label.attempt]: String(config.attempt),
    },
    ExposedPorts: exposed,
    HostConfig: {
      NetworkMode: config.hostNetwork ? 'host' : networkName,
      IpcMode: config.hostIpc ? 'host' : 'shareable',
      ...(config.hostPid ? { PidMode: 'host' } : {}),
      PortBindings: bindings,
      Sysctls: config.sysctls,
      OomScoreAdj: Math.max(oomFloor, -998),
      LogConfig: { Type: 'none', Config: {} },
      CpuShares: 2,
      ReadonlyRootfs: true,
    },
  };
}

function containerOptions(name: string, sandboxId: string, config: ContainerConfig, own: Record<string, string>, dropped: string[], oomFloor: number): Docker.ContainerCreateOptions {
  const fromSandbox = `container:${sandboxId}`;
  // Where a capability is missing, runc refuses a privileged container whatever is dropped from it; this is what it gets instead:
  // everything that can be given, all devices, nothing masked. /sys stays read-only.
  const privileged = config.privileged && dropped.length === 0;
  const almost = config.privileged && !privileged;
  const wantsAll = config.privileged || config.capabilities.add.some((capability) => /^(CAP_)?ALL$/i.test(capability));
  const bare = (capability: string): string => capability.replace(/^CAP_/i, '').toUpperCase();
  const security = config.privileged ? ['seccomp=unconfined', 'label=disable']
    : [...(config.seccomp === 'runtime/default' ? [] : [`seccomp=${config.seccomp}`]), ...(config.noNewPrivileges ? ['no-new-privileges'] : [])];
  return {
    name,
    Image: config.imageId,
    ...(config.command ? { Entrypoint: config.command } : {}),
    ...(config.args ? { Cmd: config.args } : {}),
    ...(config.workingDir ? { WorkingDir: config.workingDir } : {}),
    ...(config.user === undefined ? {} : { User: config.user }),
    Env: config.env,
    Labels: {
      ...Object.fromEntries(Object.entries(config.annotations).map(([key, value]) => [annotationPrefix + key, value])),
      ...identityLabels(config.pod), ...own, [label.type]: 'container', [label.container]: config.name, [label.attempt]: String(config.attempt),
      [label.image]: config.image, [label.sandbox]: sandboxId,
    },
    OpenStdin: config.stdin, StdinOnce: config.stdinOnce, Tty: config.tty,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: fromSandbox,
      IpcMode: config.hostIpc ? 'host' : fromSandbox,
      ...(config.targetContainerId ? { PidMode: `container:${config.targetContainerId}` } : config.hostPid ? { PidMode: 'host' } : config.sharePid ? { PidMode: fromSandbox } : {}),
      Mounts: config.mounts.map((mount) => ({
        Type: 'bind' as const, Source: mount.source, Target: mount.target, ReadOnly: mount.readOnly, BindOptions: { Propagation: mount.propagation },
      })),
      GroupAdd: config.groups,
      Privileged: privileged,
      ...(almost ? { Devices: [{ PathOnHost: '/dev', PathInContainer: '/dev', CgroupPermissions: 'rwm' }] } : {}),
      CapAdd: [...config.capabilities.add, ...(almost ? ['ALL'] : [])].map(bare).filter((capability) => !dropped.includes(capability)),
      CapDrop: [...config.capabilities.drop.map(bare), ...(wantsAll ? dropped : [])],
      ReadonlyRootfs: config.readOnlyRootFilesystem,
      SecurityOpt: security,
      ...(config.unmaskedProc || almost ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
      CpuShares: config.cpuShares,
      ...(config.cpuQuota > 0 ? { CpuQuota: config.cpuQuota, CpuPeriod: 100_000 } : {}),
      ...(config.memoryBytes > 0 ? { Memory: config.memoryBytes, MemorySwap: config.memoryBytes } : {}),
      OomScoreAdj: Math.max(oomFloor, config.oomScoreAdj),
      LogConfig: logConfig,
    },
  };
}

