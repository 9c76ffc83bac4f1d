// A runtime that only pretends: containers "run" at once, end when an annotation of the pod says so, and cost a few hundred bytes.
// How it differs from docker.ts: no files, no processes, no network; images are always there; logs and attach are empty; exec
// answers with exit code 0 and no output; pod addresses are counted up from the pod CIDR; nothing survives the process.
// Annotations: `hollow.proa/exit-code` (`0`, or `main=1,other=0`) makes containers end with that code after
// `hollow.proa/run-ms` (default 0). Init containers end with 0 unless named there.
import { randomBytes } from 'node:crypto';
import { PassThrough, Writable } from 'node:stream';
import { aborted } from '#machinery/base/abort.ts';
import { createView } from './view.ts';
import { RuntimeNotFound, type ContainerState, type Runtime, type SandboxState, type StreamSession } from './runtime.ts';

interface Script { exitCode: number; afterMs: number }

/** Undefined: runs until it is stopped. */
export function hollowScript(annotations: Readonly<Record<string, string>>, container: string, endsByItself: boolean): Script | undefined {
  const afterMs = Number(annotations['hollow.proa/run-ms'] ?? 0);
  const text = annotations['hollow.proa/exit-code'];
  for (const part of text?.split(',') ?? []) {
    const [left = '', right] = part.split('=');
    if (right === undefined && /^\d+$/.test(left)) return { exitCode: Number(left), afterMs };
    if (left.trim() === container && right !== undefined && /^\d+$/.test(right)) return { exitCode: Number(right), afterMs };
  }
  return endsByItself ? { exitCode: 0, afterMs: 0 } : undefined;
}

export interface HollowOptions {
  /** True for containers of the pod that end by themselves (init containers). */
  endsByItself?: (podUid: string, container: string) => boolean;
}

export function createHollowRuntime(options: HollowOptions = {}): Runtime {
  const view = createView();
  const annotationsOf = new Map<string, Record<string, string>>();
  const timers = new Map<string, NodeJS.Timeout>();
  let base = 0;
  let size = 0;
  let next = 2;
  const used = new Set<string>();
  const id = (): string => randomBytes(32).toString('hex');
  const need = (containerId: string): ContainerState => {
    const state = view.container(containerId);
    if (!state) throw new RuntimeNotFound(`No such container: ${containerId}`);
    return state;
  };
  function address(): string {
    for (let tries = 0; tries < size; tries += 1) {
      next = next >= size - 2 ? 2 : next + 1;
      const number = base + next;
      const ip = [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
      if (!used.has(ip)) {
        used.add(ip);
        return ip;
      }
    }
    throw new Error('no pod address is free');
  }
  function end(containerId: string, exitCode: number): void {
    clearTimeout(timers.get(containerId));
    timers.delete(containerId);
    const state = view.container(containerId);
    if (state?.state === 'running') view.putContainer({ ...state, state: 'exited', exitCode, finishedAtMs: Date.now() });
  }
  const silent = (exitCode: Promise<number>): StreamSession => {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const finish = (): void => {
      stdout.end();
      stderr.end();
    };
    exitCode.then(finish, finish);
    return { stdin: new Writable({ write: (_chunk, _encoding, done) => done() }), stdout, stderr, resize: async () => {}, exitCode };
  };
  return {
    kind: 'hollow',
    pretends: true,
    version: async () => ({ name: 'hollow', version: '1.0.0' }),
    async run(ready, signal) {
      ready();
      await aborted(signal);
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
    isUp: () => true,
    podStatus: (uid) => view.pod(uid),
    listPods: () => view.pods(),
    onChange: (handler) => void view.onChange(handler),
    seesFolder: () => Promise.resolve(true),
    async ensureNetwork({ podCidr }) {
      const [start = '', bits = ''] = podCidr.split('/');
      base = start.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
      size = 2 ** (32 - Number(bits));
    },
    async createSandbox(config) {
      annotationsOf.set(config.pod.uid, config.annotations);
      return view.putSandbox({ id: id(), pod: config.pod, attempt: config.attempt, running: false, hostNetwork: config.hostNetwork, ip: '', createdAtMs: Date.now(), pid: 0 });
    },
    async startSandbox(sandboxId) {
      const state = view.sandbox(sandboxId);
      if (!state) throw new RuntimeNotFound(`No such container: ${sandboxId}`);
      const started: SandboxState = { ...state, running: true, ip: state.hostNetwork ? '' : address() };
      return view.putSandbox(started);
    },
    async removeSandbox(sandboxId) {
      const state = view.sandbox(sandboxId);
      if (state) {
        used.delete(state.ip);
        annotationsOf.delete(state.pod.uid);
      }
      view.remove(sandboxId);
    },
    async createContainer(sandboxId, config) {
      if (!view.sandbox(sandboxId)?.running) throw new RuntimeNotFound(`No such container: ${sandboxId}`);
      return view.putContainer({
        id: id(), pod: config.pod, name: config.name, attempt: config.attempt, image: config.image, imageRef: `docker://${config.imageId}`, state: 'created',
        createdAtMs: Date.now(), startedAtMs: 0, finishedAtMs: 0, exitCode: 0, oomKilled: false, error: '', annotations: config.annotations, tty: config.tty,
      });
    },
    async startContainer(containerId) {
      const state = need(containerId);
      const running = view.putContainer({ ...state, state: 'running', startedAtMs: Date.now() });
      const script = hollowScript(annotationsOf.get(state.pod.uid) ?? {}, state.name, options.endsByItself?.(state.pod.uid, state.name) ?? false);
      if (script) timers.set(containerId, setTimeout(() => end(containerId, script.exitCode), script.afterMs));
      return running;
    },
    async stopContainer(containerId) {
      end(containerId, 0);
    },
    async removeContainer(containerId) {
      end(containerId, 137);
      view.remove(containerId);
    },
    async *logs(containerId) {
      need(containerId);
      yield* [];
    },
    async exec(containerId) {
      if (need(containerId).state !== 'running') throw new Error(`Container ${containerId} is not running`);
      return silent(Promise.resolve(0));
    },
    async attach(containerId, _options, signal) {
      need(containerId);
      return silent(new Promise((resolve, reject) => {
        const look = (): void => {
          const state = view.container(containerId);
          if (state?.state === 'running' && !signal.aborted) return;
          stop();
          if (!state || state.state === 'running') reject(new Error('detached'));
          else resolve(state.exitCode);
        };
        const stop = view.onChange(look);
        signal.addEventListener('abort', look, { once: true });
        look();
      }));
    },
    imageInfo: async (image) => ({ id: `sha256:${Buffer.from(image).toString('hex').padEnd(64, '0').slice(0, 64)}`, ref: image, user: '', sizeBytes: 0, names: [image] }),
    pullImage: async () => {},
    listImages: async () => [],
    async removeAll() {
      for (const containerId of view.ids()) {
        end(containerId, 137);
        view.remove(containerId);
      }
      used.clear();
    },
  };
}
