// The pod status as the API shows it, made from the pod, what exists and what went wrong. Pure. Upstream: kubelet_pods.go, status/generate.go.
import { rfc3339 } from '#machinery/base/clock.ts';
import type { Container, ContainerState as ApiState, ContainerStatus, Pod, PodCondition, PodStatus } from '#machinery/api/object.ts';
import { ephemeralContainers, initContainers, isHostNetwork, isSidecar, latest, regularContainers, restartsAfter, shouldStart } from './container-spec.ts';
import { sandboxChange, type ProbeResults } from './sync-pod.ts';
import type { ContainerState, RuntimePod } from './runtime/runtime.ts';

/** Why a container could not be started at the last try. */
export interface StartFailure { reason: string; message: string }

export interface StatusInput {
  pod: Pod;
  /** What was last reported, or pod.status. */
  old: PodStatus | undefined;
  runtimePod: RuntimePod | undefined;
  failures: ReadonlyMap<string, StartFailure>;
  probes: ProbeResults;
  /** What ended instances left at terminationMessagePath, by container id. */
  messages: ReadonlyMap<string, string>;
  /** Nothing may start any more. */
  terminal: boolean;
  nodeIp: string;
  nowMs: number;
  /** Overrides phase, reason and message (deadline, rejection). */
  failed?: { reason: string; message: string };
}


export function terminationReason(state: ContainerState): string {
  if (state.oomKilled) return 'OOMKilled';
  if (state.error !== '' && state.startedAtMs === state.finishedAtMs) return 'ContainerCannotRun';
  return state.exitCode === 0 ? 'Completed' : 'Error';
}

function stateOf(state: ContainerState, messages: ReadonlyMap<string, string>): ApiState {
  if (state.state === 'running') return { running: { startedAt: rfc3339(state.startedAtMs) } };
  if (state.state === 'created') return { waiting: {} };
  const message = messages.get(state.id) ?? state.error;
  return {
    terminated: {
      exitCode: state.exitCode, reason: terminationReason(state), ...(message === '' ? {} : { message }),
      startedAt: rfc3339(state.startedAtMs), finishedAt: rfc3339(state.finishedAtMs), containerID: `docker://${state.id}`,
    },
  };
}

function containerStatus(input: StatusInput, container: Container, old: ContainerStatus | undefined, isInit: boolean): ContainerStatus {
  const { pod, runtimePod, failures, messages } = input;
  const hasInit = initContainers(pod).length > 0;
  const instances = (runtimePod?.containers ?? []).filter((instance) => instance.name === container.name);
  const [newest, second] = instances;
  const waiting = hasInit ? 'PodInitializing' : 'ContainerCreating';
  const common = {
    image: container.image ?? '', imageID: '', name: container.name, ready: false, restartCount: 0,
    ...(container.volumeMounts && container.volumeMounts.length > 0 ? {
      volumeMounts: container.volumeMounts.map((mount) => ({
        name: mount.name, mountPath: mount.mountPath, ...(mount.readOnly ? { readOnly: true, recursiveReadOnly: 'Disabled' } : {}),
      })),
    } : {}),
  };
  let status: ContainerStatus;
  if (newest) {
    status = {
      ...common, image: newest.image, imageID: newest.imageRef, containerID: `docker://${newest.id}`,
      restartCount: Math.max(newest.attempt, old?.restartCount ?? 0),
      state: stateOf(newest, messages), lastState: second ? stateOf(second, messages) : {},
    };
    if (!second && old?.containerID !== undefined && old.containerID !== status.containerID && old.state?.terminated) status.lastState = { terminated: old.state.terminated };
    else if (!second && old?.lastState?.terminated) status.lastState = { terminated: old.lastState.terminated };
    const resources = container.resources;
    if (resources && (resources.limits || resources.requests)) {
      status.resources = { ...(resources.limits ? { limits: resources.limits } : {}), ...(resources.requests ? { requests: resources.requests } : {}) };
      if (resources.requests) status.allocatedResources = resources.requests;
    } else status.resources = {};
  } else if (old?.state?.terminated) {
    status = { ...old };
  } else {
    status = { ...common, state: { waiting: { reason: waiting } }, lastState: old?.lastState ?? {}, restartCount: old?.restartCount ?? 0 };
    if (old?.state?.running && !status.lastState?.terminated) {
      // It ran and is gone: the pod must not fall back to Pending.
      status.lastState = {
        terminated: {
          exitCode: 137, reason: 'ContainerStatusUnknown', message: 'The container could not be located when the pod was deleted.  The container used to be Running',
          startedAt: null as unknown as string, finishedAt: null as unknown as string, // Go's zero times
        },
      };
      if (pod.metadata.deletionTimestamp === undefined) status.restartCount += 1;
    }
  }
  if (isInit) {
    if (newest?.state === 'exited' && newest.exitCode === 0) return status;
    if (!newest && !isSidecar(container) && status.state?.waiting && regularContainers(pod).some((regular) => latest(runtimePod, regular.name))) {
      status.state = {
        terminated: {
          exitCode: 0, reason: 'Completed', message: 'Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally',
          startedAt: null as unknown as string, finishedAt: null as unknown as string,
        },
      };
      return status;
    }
  }
  const failure = failures.get(container.name);
  if (failure && shouldStart(pod, container, runtimePod)) {
    if (status.state?.terminated) status.lastState = status.state;
    status.state = { waiting: { reason: failure.reason, ...(failure.message === '' ? {} : { message: failure.message }) } };
  }
  return status;
}

/** Fills started and ready. */
function withProbes(input: StatusInput, container: Container, status: ContainerStatus, isInit: boolean): ContainerStatus {
  const id = status.containerID?.replace(/^[a-z]+:\/\//, '') ?? '';
  const running = status.state?.running !== undefined;
  const startup = container.startupProbe && (!isInit || isSidecar(container));
  const started = running && (!startup || input.probes.get(id, 'startup') === 'success');
  if (isInit && !isSidecar(container)) return { ...status, started, ready: status.state?.terminated?.exitCode === 0 };
  const ready = started && (!container.readinessProbe || input.probes.get(id, 'readiness') === 'success');
  return { ...status, started, ready };
}

/** Upstream's getPhase. */
export function podPhase(pod: Pod, statuses: readonly ContainerStatus[], terminal: boolean, initialised: boolean): string {
  const find = (name: string): ContainerStatus | undefined => statuses.find((status) => status.name === name);
  let pendingInit = 0;
  let pendingSidecars = 0;
  let failedForGood = 0;
  let unknown = 0;
  let running = 0;
  let waiting = 0;
  let stopped = 0;
  let stoppedForGood = 0;
  let succeeded = 0;
  for (const container of initContainers(pod)) {
    const status = find(container.name);
    const last = status?.lastState?.terminated;
    if (isSidecar(container)) {
      if (!status) unknown += 1;
      else if (status.state?.running) {
        if (!status.started) pendingSidecars += 1;
        running += 1;
      } else if (status.state?.waiting && !last) {
        pendingSidecars += 1;
        waiting += 1;
      }
      continue;
    }
    const ended = status?.state?.terminated ?? (status?.state?.waiting ? last : undefined);
    if (!ended) pendingInit += 1;
    else if (ended.exitCode !== 0 && !restartsAfter(pod, container, ended.exitCode)) failedForGood += 1;
    // One that failed and will be repeated counts as neither, as upstream does.
  }
  for (const container of regularContainers(pod)) {
    const status = find(container.name);
    const last = status?.lastState?.terminated;
    if (!status) unknown += 1;
    else if (status.state?.running) running += 1;
    else if (status.state?.terminated) {
      stopped += 1;
      if (!restartsAfter(pod, container, status.state.terminated.exitCode)) stoppedForGood += 1;
      if (status.state.terminated.exitCode === 0) succeeded += 1;
    } else if (status.state?.waiting) {
      if (last) {
        stopped += 1;
        if (!restartsAfter(pod, container, last.exitCode)) stoppedForGood += 1;
      } else waiting += 1;
    } else unknown += 1;
  }
  if (failedForGood > 0) return 'Failed';
  if (pendingInit > 0 || (pendingSidecars > 0 && !initialised) || waiting > 0) return 'Pending';
  if (running > 0 && unknown === 0) return 'Running';
  if (running === 0 && stopped > 0 && unknown === 0) {
    if (terminal) return stopped === succeeded ? 'Succeeded' : 'Failed';
    if (stopped !== stoppedForGood) return 'Running';
    return stopped === succeeded ? 'Succeeded' : 'Failed';
  }
  return 'Pending';
}

interface Verdict { status: 'True' | 'False'; reason?: string; message?: string }

export function initializedCondition(pod: Pod, statuses: readonly ContainerStatus[], phase: string): Verdict {
  const unknown: string[] = [];
  const incomplete: string[] = [];
  for (const container of initContainers(pod)) {
    const status = statuses.find(({ name }) => name === container.name);
    if (!status) unknown.push(container.name);
    else if (isSidecar(container) ? !status.started : !status.ready) incomplete.push(container.name);
  }
  if (phase === 'Succeeded' && unknown.length === 0) return { status: 'True', reason: 'PodCompleted' };
  const anyStarted = regularContainers(pod).some(({ name }) => {
    const status = statuses.find((candidate) => candidate.name === name);
    return status?.state?.running !== undefined || status?.state?.terminated !== undefined || status?.lastState?.terminated !== undefined;
  });
  if (anyStarted) return { status: 'True' };
  const message = [
    ...(unknown.length > 0 ? [`containers with unknown status: [${unknown.join(' ')}]`] : []),
    ...(incomplete.length > 0 ? [`containers with incomplete status: [${incomplete.join(' ')}]`] : []),
  ].join(', ');
  return message === '' ? { status: 'True' } : { status: 'False', reason: 'ContainersNotInitialized', message };
}

export function containersReadyCondition(pod: Pod, statuses: readonly ContainerStatus[], phase: string): Verdict {
  const unknown: string[] = [];
  const unready: string[] = [];
  for (const container of [...initContainers(pod).filter(isSidecar), ...regularContainers(pod)]) {
    const status = statuses.find(({ name }) => name === container.name);
    if (!status) unknown.push(container.name);
    else if (!status.ready) unready.push(container.name);
  }
  if (phase === 'Succeeded' && unknown.length === 0) return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  const message = [
    ...(unknown.length > 0 ? [`containers with unknown status: [${unknown.join(' ')}]`] : []),
    ...(unready.length > 0 ? [`containers with unready status: [${unready.join(' ')}]`] : []),
  ].join(', ');
  return message === '' ? { status: 'True' } : { status: 'False', reason: 'ContainersNotReady', message };
}

export function readyCondition(pod: Pod, containersReady: Verdict): Verdict {
  if (containersReady.status !== 'True') return containersReady;
  const messages = (pod.spec?.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (!condition) return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    return condition.status === 'True' ? [] : [`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`];
  });
  return messages.length === 0 ? { status: 'True' } : { status: 'False', reason: 'ReadinessGatesNotReady', message: messages.join(', ') };
}

export function qosClass(pod: Pod): string {
  let any = false;
  let guaranteed = true;
  for (const { resources } of [...initContainers(pod), ...regularContainers(pod)]) {
    for (const resource of ['cpu', 'memory']) {
      const limit = resources?.limits?.[resource];
      const request = resources?.requests?.[resource];
      if (isSet(limit) || isSet(request)) any = true;
      if (!isSet(limit) || (isSet(request) && request !== limit)) guaranteed = false;
    }
  }
  return !any ? 'BestEffort' : guaranteed ? 'Guaranteed' : 'Burstable';
}
const isSet = (quantity: string | undefined): boolean => quantity !== undefined && !/^0+(\.0+)?[a-zA-Z]*$/.test(quantity);

export function makeStatus(input: StatusInput): PodStatus {
  const { pod, runtimePod, old, nowMs } = input;
  const oldOf = (list: readonly ContainerStatus[] | undefined, name: string): ContainerStatus | undefined => list?.find((status) => status.name === name);
  const init = initContainers(pod).map((container) => withProbes(input, container, containerStatus(input, container, oldOf(old?.initContainerStatuses, container.name), true), true));
  const regular = regularContainers(pod)
    .map((container) => withProbes(input, container, containerStatus(input, container, oldOf(old?.containerStatuses, container.name), false), false))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const ephemeral = ephemeralContainers(pod).map((container) => containerStatus(input, container, oldOf(old?.ephemeralContainerStatuses, container.name), false));
  const all = [...init, ...regular];
  const initialisedBefore = regularContainers(pod).some((container) => {
    const state = latest(runtimePod, container.name)?.state;
    return state === 'running' || state === 'created';
  });

  let phase = podPhase(pod, all, input.terminal, initialisedBefore);
  const final = (candidate: string | undefined): candidate is string => candidate === 'Failed' || candidate === 'Succeeded';
  if (final(old?.phase)) ({ phase } = old);
  if (final(pod.status?.phase)) ({ phase } = pod.status);
  let { reason, message } = phase === old?.phase ? { reason: old.reason ?? pod.status?.reason, message: old.message ?? pod.status?.message } : { reason: undefined, message: undefined };
  if (input.failed && !final(pod.status?.phase)) {
    phase = 'Failed';
    ({ reason, message } = input.failed);
  }

  const generation = pod.metadata.generation;
  const condition = (type: string, verdict: Verdict): PodCondition => {
    const before = old?.conditions?.find((candidate) => candidate.type === type);
    return {
      type, status: verdict.status, ...(verdict.reason ? { reason: verdict.reason } : {}), ...(verdict.message ? { message: verdict.message } : {}),
      lastProbeTime: null as unknown as string, // as Go writes a zero time
      lastTransitionTime: before?.status === verdict.status && before.lastTransitionTime ? before.lastTransitionTime : rfc3339(nowMs),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  };
  const containersReady = containersReadyCondition(pod, all, phase);
  const [sandbox] = runtimePod?.sandboxes ?? [];
  const podIp = isHostNetwork(pod) ? input.nodeIp : sandbox?.running ? sandbox.ip : sandbox === undefined || pod.metadata.deletionTimestamp !== undefined || final(phase) ? old?.podIP ?? '' : '';
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    phase,
    ...(reason ? { reason } : {}), ...(message ? { message } : {}),
    conditions: [
      condition('PodReadyToStartContainers', { status: sandboxChange(pod, runtimePod).changed ? 'False' : 'True' }),
      condition('Initialized', initializedCondition(pod, all, phase)),
      condition('Ready', readyCondition(pod, containersReady)),
      condition('ContainersReady', containersReady),
      condition('PodScheduled', { status: 'True' }),
    ],
    hostIP: input.nodeIp, hostIPs: [{ ip: input.nodeIp }],
    ...(podIp === '' ? {} : { podIP: podIp, podIPs: [{ ip: podIp }] }),
    startTime: old?.startTime ?? pod.status?.startTime ?? rfc3339(nowMs),
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
    containerStatuses: regular,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
    qosClass: pod.status?.qosClass ?? qosClass(pod),
  };
}

/** The last word on a pod whose containers have all ended: whatever is not known to have ended counts as 137. */
export function terminalStatus(pod: Pod, status: PodStatus): PodStatus {
  const unknown: ApiState = {
    terminated: {
      exitCode: 137, reason: 'ContainerStatusUnknown', message: 'The container could not be located when the pod was terminated',
      startedAt: null as unknown as string, finishedAt: null as unknown as string,
    },
  };
  const everStarted = (list: readonly ContainerStatus[] | undefined): boolean =>
    (list ?? []).some((one) => one.state?.running !== undefined || one.state?.terminated !== undefined || one.lastState?.terminated !== undefined);
  const initialised = initContainers(pod).length === 0 ? true : everStarted(status.containerStatuses) || (status.initContainerStatuses ?? []).every((one) => one.ready || one.started);
  const end = (one: ContainerStatus): ContainerStatus => (one.state?.terminated ? one : { ...one, state: unknown, ready: false, started: false });
  const lastTouched = (status.initContainerStatuses ?? []).findLastIndex((one) => !one.state?.waiting || one.lastState?.terminated !== undefined);
  const phase = status.phase === 'Succeeded' || status.phase === 'Failed' ? status.phase : 'Failed';
  const reason = phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed';
  return {
    ...status, phase,
    ...(initialised ? { containerStatuses: status.containerStatuses?.map(end) } : {}),
    ...(status.initContainerStatuses ? { initContainerStatuses: status.initContainerStatuses.map((one, index) => (index <= Math.max(0, lastTouched) ? end(one) : one)) } : {}),
    conditions: (status.conditions ?? []).map((condition) => {
      if (condition.type !== 'Ready' && condition.type !== 'ContainersReady') return condition;
      const { message: _message, ...rest } = condition;
      return { ...rest, status: 'False', reason };
    }),
  };
}
