// The plan of one sync, made from the pod and what exists: which containers to end and which to start. Upstream: computePodActions.
import type { Container, Pod } from '#machinery/api/object.ts';
import { containerHash, ephemeralContainers, initContainers, isHostNetwork, isSidecar, latest, regularContainers, shouldStart } from './container-spec.ts';
import type { RuntimePod } from './runtime/runtime.ts';

export type ProbeResult = 'success' | 'failure' | 'unknown';
export interface ProbeResults {
  /** Undefined while there is no such probe, or it has not run for this instance. */
  get(containerId: string, type: 'liveness' | 'readiness' | 'startup'): ProbeResult | undefined;
}

export interface Plan {
  /** Everything must end, before a new sandbox is made or because nothing is left to run. */
  killPod: boolean;
  createSandbox: boolean;
  /** Of the sandbox to use; '' when one must be made. */
  sandboxId: string;
  attempt: number;
  kill: { id: string; container: Container; message: string; probe: 'liveness' | 'startup' | undefined }[];
  startEphemeral: Container[];
  startInit: Container[];
  start: Container[];
}

const endedWell = (runtimePod: RuntimePod, name: string): boolean => {
  const state = latest(runtimePod, name);
  return state?.state === 'exited' && state.exitCode === 0;
};

/** Attempt and id of the sandbox in use, and whether another one must be made. */
export function sandboxChange(pod: Pod, runtimePod: RuntimePod | undefined): { changed: boolean; attempt: number; sandboxId: string } {
  const [newest] = runtimePod?.sandboxes ?? [];
  if (!newest) return { changed: true, attempt: 0, sandboxId: '' };
  const next = { changed: true, attempt: newest.attempt + 1, sandboxId: newest.id };
  if ((runtimePod?.sandboxes ?? []).filter((sandbox) => sandbox.running).length > 1 || !newest.running) return next;
  if (newest.hostNetwork !== isHostNetwork(pod)) return { ...next, sandboxId: '' };
  if (!newest.hostNetwork && newest.ip === '') return next;
  return { changed: false, attempt: newest.attempt, sandboxId: newest.id };
}

export function planSync(pod: Pod, current: RuntimePod | undefined, probes: ProbeResults): Plan {
  const runtimePod = current ?? { pod: { namespace: '', name: '', uid: '' }, sandboxes: [], containers: [] };
  const { changed, attempt, sandboxId } = sandboxChange(pod, current);
  const plan: Plan = { killPod: changed, createSandbox: changed, sandboxId, attempt, kill: [], startEphemeral: [], startInit: [], start: [] };
  const policy = pod.spec?.restartPolicy ?? 'Always';
  const regular = regularContainers(pod);
  const init = initContainers(pod);

  if (changed) {
    if (policy === 'Never' && attempt !== 0 && runtimePod.containers.length > 0) return { ...plan, createSandbox: false };
    const start = regular.filter((container) => !((container.restartPolicy ?? policy) === 'OnFailure' && endedWell(runtimePod, container.name)));
    const initialised = regular.some((container) => latest(runtimePod, container.name) !== undefined);
    if (start.length === 0 && initialised) return { ...plan, createSandbox: false };
    const [first] = init;
    return first ? { ...plan, startInit: [first] } : { ...plan, start };
  }

  plan.startEphemeral = ephemeralContainers(pod).filter((container) => latest(runtimePod, container.name) === undefined);
  const initialised = planInit(pod, runtimePod, probes, plan);
  if (plan.killPod || !initialised) return plan;

  let keep = 0;
  for (const container of regular) {
    const state = latest(runtimePod, container.name);
    if (state?.state !== 'running') {
      if (shouldStart(pod, container, runtimePod)) plan.start.push(container);
      continue;
    }
    let message: string;
    let probe: 'liveness' | 'startup' | undefined;
    let restart = (container.restartPolicy ?? policy) !== 'Never';
    if (state.annotations['io.kubernetes.container.hash'] !== containerHash(container)) {
      message = `Container ${container.name} definition changed`;
      restart = true;
    } else if (probes.get(state.id, 'liveness') === 'failure') {
      message = `Container ${container.name} failed liveness probe`;
      probe = 'liveness';
    } else if (probes.get(state.id, 'startup') === 'failure') {
      message = `Container ${container.name} failed startup probe`;
      probe = 'startup';
    } else {
      keep += 1;
      continue;
    }
    if (restart) plan.start.push(container);
    plan.kill.push({ id: state.id, container, message: restart ? `${message}, will be restarted` : message, probe });
  }
  if (keep === 0 && plan.start.length === 0) {
    plan.killPod = true;
    plan.startInit = []; // sidecars must not keep the pod alive
  }
  return plan;
}

/** Fills `startInit` and `kill`; true once the regular containers may run. */
function planInit(pod: Pod, runtimePod: RuntimePod, probes: ProbeResults, plan: Plan): boolean {
  const init = initContainers(pod);
  if (init.length === 0) return true;
  // A regular container that was made in this sandbox proves that all init containers have ended once.
  let initialised = regularContainers(pod).some((container) => {
    const state = latest(runtimePod, container.name);
    return state?.state === 'created' || state?.state === 'running';
  });
  let laterOnesDone = initialised;
  const start: Container[] = [];
  // Backwards: completed ones may have been removed, so the last that exists tells how far initialisation came.
  for (let i = init.length - 1; i >= 0; i -= 1) {
    const container = init[i];
    if (!container) continue;
    const state = latest(runtimePod, container.name);
    if (!state) {
      if (laterOnesDone && isSidecar(container)) start.push(container);
      continue;
    }
    if (laterOnesDone && !isSidecar(container)) continue;
    const done = (): void => {
      const following = init[i + 1];
      if (!following) initialised = true;
      else if (!laterOnesDone) start.push(following);
    };
    const restart = (message: string, probe: 'liveness' | 'startup' | undefined): void => {
      plan.kill.push({ id: state.id, container, message, probe });
      start.push(container);
    };
    if (state.state === 'created') start.push(container);
    else if (state.state === 'running') {
      if (isSidecar(container)) {
        const startup = container.startupProbe ? probes.get(state.id, 'startup') ?? 'unknown' : 'success';
        if (startup === 'failure') restart(`Init container ${container.name} failed startup probe`, 'startup');
        else if (startup === 'success') {
          done();
          if (state.annotations['io.kubernetes.container.hash'] !== containerHash(container)) restart(`Init container ${container.name} definition changed`, undefined);
          else if (probes.get(state.id, 'liveness') === 'failure') restart(`Init container ${container.name} failed liveness probe`, 'liveness');
        }
      }
    } else if (isSidecar(container)) start.push(container);
    else if (state.exitCode !== 0) {
      if (!shouldStart(pod, container, runtimePod)) {
        plan.killPod = true;
        plan.startInit = [];
        return false;
      }
      start.push(container);
    } else done();
    laterOnesDone = true;
  }
  const [first] = init;
  if (!laterOnesDone && first) start.push(first);
  plan.startInit = start.reverse();
  return initialised;
}
