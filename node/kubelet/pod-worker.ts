// One serial loop for one pod: brings it up and keeps it so, then ends it, then takes its object away. Upstream: pod_workers.go, kubelet.go SyncPod.
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, Pod, PodStatus } from '#machinery/api/object.ts';
import { claimsOfPod } from '#machinery/api/resource-claims.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { pods } from '#machinery/client/resources.ts';
import { podEvent, type KubeletContext } from './context.ts';
import { initContainers, isHostNetwork, isSidecar, latest, podFullName, podUid } from './container-spec.ts';
import { noteKey } from './container-config.ts';
import { createCrashBackoff, duration } from './crash-backoff.ts';
import { formatResolvConf, podHostname, podResolver } from './pod-files.ts';
import type { ContainerState, RuntimePod, SandboxState } from './runtime/runtime.ts';
import { StartError, startContainer } from './start-container.ts';
import { makeStatus, terminalStatus, type StartFailure } from './status.ts';
import { createGrace, killContainer, killPod, type Grace } from './stop-pod.ts';
import { planSync, type Plan } from './sync-pod.ts';
import { VolumeError } from './volumes/volumes.ts';

export interface PodWorker {
  readonly uid: string;
  readonly pod: Pod;
  /** The phase of the worker's own life. */
  readonly stage: 'sync' | 'terminating' | 'terminated';
  lastError(): string;
  update(pod: Pod): void;
  /** The object is gone from the API. */
  remove(): void;
  wake(): void;
  /** Settles when nothing of the pod is left, or the kubelet stops. */
  readonly done: Promise<void>;
}

/** A whole look at a pod every minute or so, even when nothing happened; volumes that can change more often. */
const syncEveryMs = 60_000;
const refreshVolumesMs = 15_000;
const messageLimit = 4096;

export function createPodWorker(context: KubeletContext, first: Pod, rejected: { reason: string; message: string } | undefined, signal: AbortSignal): PodWorker {
  const { runtime, statuses, volumes, log } = context;
  const uid = podUid(first);
  let pod = first;
  let gone = false;
  /** A deletion is never taken back, whatever a later version of the object says. */
  let deleting = first.metadata.deletionTimestamp !== undefined;
  let stage: PodWorker['stage'] = 'sync';
  let failed = rejected;
  let dirty = true;
  let notify: (() => void) | undefined;
  let grace: Grace | undefined;
  let lastError = '';
  let errorRow = 0;
  let volumesAtMs = 0;
  let volumesFor = '';
  const ending = new AbortController();
  const syncSignal = AbortSignal.any([signal, ending.signal]);
  const failures = new Map<string, StartFailure>();
  const messages = new Map<string, string>();
  const backoff = createCrashBackoff();

  const wake = (): void => {
    dirty = true;
    notify?.();
  };
  const mustEnd = (): boolean => gone || failed !== undefined || deleting;
  const currentStatus = (terminal: boolean): PodStatus => makeStatus({
    pod, old: statuses.get(uid) ?? pod.status, runtimePod: runtime.podStatus(uid), failures, probes: context.probes, messages, terminal,
    nodeIp: context.config.nodeIp, nowMs: Date.now(), ...(failed ? { failed } : {}),
  });

  /** What ended instances left as their last words; read once. */
  async function readMessages(runtimePod: RuntimePod | undefined): Promise<void> {
    for (const state of runtimePod?.containers ?? []) {
      if (state.state !== 'exited' || messages.has(state.id) || runtime.pretends) continue;
      messages.set(state.id, await terminationMessage(state));
    }
    if (messages.size > 50) {
      const known = new Set(runtimePod?.containers.map(({ id }) => id));
      for (const id of messages.keys()) if (!known.has(id)) messages.delete(id);
    }
  }
  async function terminationMessage(state: ContainerState): Promise<string> {
    const file = state.annotations[noteKey.messageFile];
    let text = '';
    if (file) {
      try {
        const handle = await open(file);
        try {
          const { buffer, bytesRead } = await handle.read(Buffer.alloc(messageLimit), 0, messageLimit, 0);
          text = buffer.subarray(0, bytesRead).toString();
        } finally {
          await handle.close();
        }
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOENT') log.warn('termination message not read', { file, error });
      }
    }
    if (text === '' && state.error === '' && state.exitCode !== 0 && state.annotations[noteKey.messagePolicy] === 'FallbackToLogsOnError') {
      const parts: Buffer[] = [];
      for await (const chunk of runtime.logs(state.id, { follow: false, tailLines: 80, timestamps: false, stdout: true, stderr: true }, signal)) parts.push(chunk);
      text = Buffer.concat(parts).subarray(-2048).toString();
    }
    return text === '' ? state.error : text;
  }

  async function sync(): Promise<number> {
    const runtimePod = runtime.podStatus(uid);
    await readMessages(runtimePod);
    const deadlineSeconds = pod.spec?.activeDeadlineSeconds;
    let nextMs = Date.now() + syncEveryMs * (1 + Math.random() / 2);
    let status = currentStatus(false);
    if (deadlineSeconds !== undefined && status.startTime && status.phase !== 'Succeeded' && status.phase !== 'Failed') {
      const endMs = Date.parse(status.startTime) + deadlineSeconds * 1000;
      if (Date.now() >= endMs) {
        failed = { reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' };
        podEvent(context, pod, 'Normal', failed.reason, failed.message);
        return 0;
      }
      nextMs = Math.min(nextMs, endMs);
    }
    if (status.phase === 'Succeeded' || status.phase === 'Failed') {
      stage = 'terminating';
      return 0;
    }
    statuses.set(pod, status);
    const problem = context.networkProblem();
    if (problem !== '' && !isHostNetwork(pod)) {
      podEvent(context, pod, 'Warning', 'NetworkNotReady', `network is not ready: ${problem}`);
      return Date.now() + 500;
    }
    if (!runtime.pretends && claimsOfPod(pod).some(({ claimName }) => claimName !== '')) {
      // Drivers prepare devices; there is no way for one to register here, and a container without its devices must not start.
      podEvent(context, pod, 'Warning', 'FailedPrepareDynamicResources', 'Failed to prepare dynamic resources: prepare dynamic resources: no DRA driver is registered');
      errorRow += 1;
      return Date.now() + 500 * 2 ** Math.min(errorRow, 6);
    }
    if (!runtime.pretends && !(await setUpVolumes())) return Date.now() + 500 * 2 ** Math.min(errorRow, 6);
    if (volumes.canChange(pod) && !runtime.pretends) nextMs = Math.min(nextMs, volumesAtMs + refreshVolumesMs * (1 + Math.random() / 2));

    const plan = planSync(pod, runtimePod, context.probes);
    const retryMs = await carryOut(plan, runtimePod);
    context.probes.update(pod);
    await readMessages(runtime.podStatus(uid));
    status = currentStatus(false);
    if (status.phase === 'Succeeded' || status.phase === 'Failed') stage = 'terminating';
    else statuses.set(pod, status);
    return Math.min(nextMs, retryMs);
  }

  async function setUpVolumes(): Promise<boolean> {
    const version = JSON.stringify([pod.metadata.labels, pod.metadata.annotations]);
    if (volumesFor === version && Date.now() - volumesAtMs < refreshVolumesMs) return true;
    try {
      await volumes.setUp(pod, {
        references: context.references, allocatable: context.allocatable(),
        addresses: { podIps: podIps(), hostIp: context.config.nodeIp, nodeName: context.config.nodeName },
        token: (request) => context.tokens.get(pod, request),
      });
      volumesFor = version;
      volumesAtMs = Date.now();
      return true;
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      podEvent(context, pod, 'Warning', error.event.reason, error.event.message);
      lastError = error.message;
      errorRow += 1;
      if (volumesAtMs !== 0) { // it runs already: the old files stay
        volumesAtMs = Date.now();
        return true;
      }
      return false;
    }
  }
  function podIps(): string[] {
    if (isHostNetwork(pod)) return [context.config.nodeIp];
    const ip = runtime.podStatus(uid)?.sandboxes.find(({ running }) => running)?.ip ?? '';
    return ip === '' ? [] : [ip];
  }

  /** Returns when the next try makes sense. */
  async function carryOut(plan: Plan, runtimePod: RuntimePod | undefined): Promise<number> {
    if (plan.killPod) {
      if (plan.createSandbox && plan.sandboxId !== '') podEvent(context, pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
      if (runtimePod) {
        const stopGrace = createGrace((pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000);
        try {
          await killPod(context, pod, stopGrace, signal);
        } finally {
          stopGrace.end();
        }
      }
      if (!plan.createSandbox) return 0;
      for (const state of runtimePod?.containers ?? []) if (initContainers(pod).some(({ name }) => name === state.name)) await runtime.removeContainer(state.id, signal);
    } else {
      for (const { id, container, message, probe } of plan.kill) {
        const state = runtimePod?.containers.find((candidate) => candidate.id === id);
        const seconds = (probe === undefined ? undefined : container[`${probe}Probe`]?.terminationGracePeriodSeconds) ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
        if (state) await kill(state, message, seconds);
      }
    }
    let { sandboxId } = plan;
    if (plan.createSandbox) {
      try {
        const sandbox = await makeSandbox(plan.attempt);
        sandboxId = sandbox.id;
      } catch (error) {
        syncSignal.throwIfAborted();
        podEvent(context, pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${error instanceof Error ? error.message : String(error)}`);
        throw error;
      }
      statuses.set(pod, currentStatus(false));
    }
    let retryMs = Infinity;
    for (const container of plan.startEphemeral) retryMs = Math.min(retryMs, await start(container, sandboxId));
    for (const container of plan.startInit) {
      const at = await start(container, sandboxId);
      retryMs = Math.min(retryMs, at);
      if (at !== Infinity && !isSidecar(container)) return retryMs;
    }
    for (const container of plan.start) retryMs = Math.min(retryMs, await start(container, sandboxId));
    // Sidecars without a startup probe let the next one start at once.
    if (plan.startInit.length > 0 && retryMs === Infinity) wake();
    return retryMs;
  }
  async function kill(state: ContainerState, message: string, seconds: number): Promise<void> {
    const stopGrace = createGrace(seconds * 1000);
    try {
      await killContainer(context, pod, state, message, stopGrace);
    } finally {
      stopGrace.end();
    }
  }

  const hostPortIp = (wanted: string | undefined): string => (wanted && wanted !== '0.0.0.0' ? wanted : context.config.hostPortIp ?? wanted ?? '');
  async function makeSandbox(attempt: number): Promise<SandboxState> {
    const { kernel } = podHostname(pod, context.config.clusterDomain);
    if (!runtime.pretends) await writePodFiles(kernel);
    const { name = '', namespace = '', labels = {}, annotations = {} } = pod.metadata;
    const created = await runtime.createSandbox({
      pod: { name, namespace, uid }, attempt, hostname: kernel, hostNetwork: isHostNetwork(pod), hostPid: pod.spec?.hostPID === true, hostIpc: pod.spec?.hostIPC === true,
      ports: isHostNetwork(pod) ? [] : [...pod.spec?.containers ?? [], ...initContainers(pod).filter(isSidecar)].flatMap((container) => (container.ports ?? []).flatMap((port) => (port.hostPort
        ? [{ protocol: (port.protocol ?? 'TCP') as 'TCP', hostPort: port.hostPort, containerPort: port.containerPort, hostIp: hostPortIp(port.hostIP) }] : []))),
      sysctls: Object.fromEntries((pod.spec?.securityContext?.sysctls ?? []).map((sysctl) => [sysctl.name.replaceAll('/', '.'), sysctl.value])),
      labels, annotations,
    }, syncSignal);
    try {
      return await runtime.startSandbox(created.id, syncSignal);
    } catch (error) {
      await runtime.removeSandbox(created.id, signal).catch((cause: unknown) => log.warn('sandbox not removed', { id: created.id, error: cause }));
      throw error;
    }
  }
  async function writePodFiles(kernelName: string): Promise<void> {
    const dir = volumes.podDir(uid);
    await mkdir(dir, { recursive: true });
    const { config, warnings } = podResolver(pod, { clusterDns: context.config.clusterDns, clusterDomain: context.config.clusterDomain, host: context.hostResolver });
    for (const { reason, message } of warnings) podEvent(context, pod, 'Warning', reason, message);
    await writeFile(join(dir, 'resolv.conf'), formatResolvConf(config), { mode: 0o644 });
    await writeFile(join(dir, 'hostname'), `${isHostNetwork(pod) ? (await import('node:os')).hostname() : kernelName}\n`, { mode: 0o644 });
  }

  /** Infinity when it started; else when to try again. */
  async function start(container: Container, sandboxId: string): Promise<number> {
    const runtimePod = runtime.podStatus(uid);
    const last = latest(runtimePod, container.name);
    if (last?.state === 'exited') {
      const waitMs = backoff.check(backoffKey(container), last.finishedAtMs, Date.now());
      if (waitMs !== undefined) {
        const message = `back-off ${duration(waitMs.totalMs)} restarting failed container=${container.name} pod=${podFullName(pod)}`;
        failures.set(container.name, { reason: 'CrashLoopBackOff', message });
        context.recorder.event({ ...pod, apiVersion: 'v1', kind: 'Pod' }, 'Warning', 'BackOff', `Back-off restarting failed container ${container.name} in pod ${podFullName(pod)}`, { fieldPath: fieldPathOf(container) });
        return waitMs.untilMs;
      }
    }
    // One dead instance stays, for `logs --previous`.
    for (const old of (runtimePod?.containers ?? []).filter(({ name }) => name === container.name).slice(1)) await runtime.removeContainer(old.id, signal);
    if (last?.state === 'created') await runtime.removeContainer(last.id, signal);
    const before = [...statuses.get(uid)?.containerStatuses ?? [], ...statuses.get(uid)?.initContainerStatuses ?? []].find(({ name }) => name === container.name);
    const attempt = last && last.state !== 'created' ? last.attempt + 1 : last?.attempt ?? (before?.containerID === undefined && !before?.lastState?.terminated ? 0 : before.restartCount + (before.state?.waiting ? 0 : 1));
    try {
      await startContainer(context, { pod, container, sandboxId, podIps: podIps(), attempt }, async (id, message) => {
        const state = runtime.podStatus(uid)?.containers.find((candidate) => candidate.id === id);
        if (state) await kill(state, message, pod.spec?.terminationGracePeriodSeconds ?? 30);
      }, syncSignal);
      failures.delete(container.name);
      return Infinity;
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      failures.set(container.name, { reason: error.reason, message: error.message });
      lastError = error.message;
      return error.retryAtMs ?? Date.now() + 10_000 * (1 + Math.random() / 2);
    }
  }
  const backoffKey = (container: Container): string => `${container.name} ${container.image ?? ''} ${JSON.stringify(container.resources ?? {})}`;
  const fieldPathOf = (container: Container): string => `spec.${initContainers(pod).includes(container) ? 'initContainers' : 'containers'}{${container.name}}`;

  function graceMs(): number {
    const seconds = pod.metadata.deletionTimestamp !== undefined ? pod.metadata.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30
      : pod.spec?.terminationGracePeriodSeconds ?? 30;
    return Math.max(1, seconds) * 1000;
  }

  async function terminate(): Promise<void> {
    if (runtime.podStatus(uid)) {
      grace ??= createGrace(gone && pod.metadata.deletionTimestamp === undefined ? 1000 : graceMs());
      if (!gone) statuses.set(pod, keepPhase(currentStatus(false)));
      context.probes.update(pod);
      await killPod(context, pod, grace, signal);
    }
    grace?.end();
    await readMessages(runtime.podStatus(uid));
    context.probes.forget(uid);
    if (rejected && !gone) {
      const { observedGeneration, phase, reason, message, startTime, qosClass } = currentStatus(true);
      statuses.set(pod, { ...(observedGeneration === undefined ? {} : { observedGeneration }), phase, reason, message, startTime, qosClass });
    } else if (!gone) statuses.set(pod, terminalStatus(pod, currentStatus(true)));
    context.tokens.forget(uid);
    if (!runtime.pretends) await volumes.tearDown(uid);
    stage = 'terminated';
  }
  /** While containers still run the phase must not look final. */
  function keepPhase(status: PodStatus): PodStatus {
    if (status.phase !== 'Failed' && status.phase !== 'Succeeded') return status;
    const before = statuses.get(uid) ?? pod.status;
    if (before?.phase === 'Failed' || before?.phase === 'Succeeded') return status;
    const { reason: _reason, message: _message, ...rest } = status;
    return { ...rest, phase: before?.phase ?? 'Pending' };
  }

  /** True when nothing is left to do for this pod. */
  async function finish(): Promise<boolean> {
    if (!gone && !deleting) return false; // it stays for people to look at
    await statuses.flushed(uid);
    if (!gone) {
      const { name = '', namespace = '', finalizers = [] } = pod.metadata;
      try {
        await context.client.delete(pods, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } }, signal);
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
      if (finalizers.length > 0) return false; // gone when the last one is taken off
    }
    const left = runtime.podStatus(uid);
    for (const { id } of left?.containers ?? []) await runtime.removeContainer(id, signal);
    for (const { id } of left?.sandboxes ?? []) await runtime.removeSandbox(id, signal);
    statuses.forget(uid);
    return true;
  }

  async function sleepUntil(untilMs: number): Promise<void> {
    if (dirty || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        notify = undefined;
        resolve();
      };
      const timer = setTimeout(end, Math.min(Math.max(0, untilMs - Date.now()), 2 ** 30));
      signal.addEventListener('abort', end, { once: true });
      notify = end;
    });
  }

  async function loop(): Promise<void> {
    while (!signal.aborted) {
      dirty = false;
      let nextMs = Date.now() + syncEveryMs;
      try {
        if (stage === 'sync' && mustEnd()) stage = 'terminating';
        if (stage === 'sync') nextMs = await sync();
        // sync() may have moved on
        if ((stage as PodWorker['stage']) === 'terminating') await terminate();
        if ((stage as PodWorker['stage']) === 'terminated' && (await finish())) return;
        if ((stage as PodWorker['stage']) !== 'sync') nextMs = Infinity;
        else if (failures.size === 0 && volumesAtMs !== 0) errorRow = 0;
        if (nextMs === 0 && stage === 'sync' && !mustEnd()) nextMs = Date.now() + 1000;
      } catch (error) {
        if (signal.aborted) return;
        if (!ending.signal.aborted || stage !== 'sync') {
          lastError = error instanceof Error ? error.message : String(error);
          log.warn('pod not in order', { pod: podFullName(pod), stage, error });
          errorRow += 1;
        }
        nextMs = ending.signal.aborted && stage === 'sync' ? 0 : Date.now() + Math.min(10_000, 500 * 2 ** errorRow) * (1 + Math.random() / 2);
      }
      await sleepUntil(nextMs);
    }
  }

  const done = loop().finally(() => {
    grace?.end();
    context.probes.forget(uid);
  });
  return {
    uid,
    get pod() { return pod; },
    get stage() { return stage; },
    lastError: () => lastError,
    update(newer) {
      pod = newer;
      deleting ||= newer.metadata.deletionTimestamp !== undefined;
      if (mustEnd()) {
        ending.abort();
        grace?.shorten(graceMs());
      }
      wake();
    },
    remove() {
      gone = true;
      ending.abort();
      grace?.shorten(Math.min(graceMs(), 2000));
      wake();
    },
    wake,
    done,
  };
}
