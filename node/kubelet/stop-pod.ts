// Ending containers: event, preStop, stop signal, and SIGKILL when the grace period is over; sidecars after the others, in reverse.
import { aborted } from '#machinery/base/abort.ts';
import type { Container, Pod } from '#machinery/api/object.ts';
import { containerEvent, podEvent, type KubeletContext } from './context.ts';
import { allContainers, initContainers, isHostNetwork, isSidecar, podUid } from './container-spec.ts';
import { noteKey } from './container-config.ts';
import { runHook, type Handler } from './hooks.ts';
import type { ContainerState } from './runtime/runtime.ts';

/** A deadline that can only come nearer. */
export interface Grace { deadlineMs(): number; shorten(ms: number): void; readonly over: AbortSignal; end(): void }
export function createGrace(graceMs: number): Grace {
  const controller = new AbortController();
  let deadline = Date.now() + graceMs;
  let timer = setTimeout(() => controller.abort(), graceMs);
  return {
    deadlineMs: () => deadline,
    shorten(ms) {
      if (Date.now() + ms >= deadline) return;
      deadline = Date.now() + ms;
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), ms);
    },
    over: controller.signal,
    end: () => clearTimeout(timer),
  };
}

const minimumStopMs = 2000;

export async function killContainer(context: KubeletContext, pod: Pod, state: ContainerState, message: string, grace: Grace): Promise<void> {
  const container = allContainers(pod).find(({ name }) => name === state.name) ?? orphan(state);
  containerEvent(context, pod, container, 'Normal', 'Killing', message);
  const preStop = container.lifecycle?.preStop;
  let minimum = 0;
  if (preStop && state.state === 'running' && grace.deadlineMs() > Date.now()) {
    const ip = isHostNetwork(pod) ? context.config.nodeIp : context.runtime.podStatus(podUid(pod))?.sandboxes[0]?.ip ?? '';
    // The hook is given up when the grace period ends or the container does.
    const gone = new AbortController();
    const watch = setInterval(() => {
      if (context.runtime.podStatus(podUid(pod))?.containers.find(({ id }) => id === state.id)?.state !== 'running') gone.abort();
    }, 100);
    const signal = AbortSignal.any([grace.over, gone.signal]);
    try {
      await Promise.race([runHook(context.runtime, state.id, container, preStop, ip, signal), aborted(signal)]);
    } catch (error) {
      if (!signal.aborted) {
        context.log.info('preStop failed', { pod: pod.metadata.name, container: container.name, error });
        containerEvent(context, pod, container, 'Warning', 'FailedPreStopHook', 'PreStopHook failed');
      }
    } finally {
      clearInterval(watch);
    }
    minimum = minimumStopMs;
  }
  const leftMs = Math.max(minimum, grace.deadlineMs() - Date.now());
  await context.runtime.stopContainer(state.id, leftMs, minimum > 0 && grace.over.aborted ? new AbortController().signal : grace.over);
}

function orphan(state: ContainerState): Container {
  const hook = state.annotations[noteKey.preStop];
  return { name: state.name, ...(hook === undefined ? {} : { lifecycle: { preStop: JSON.parse(hook) as Handler } }) };
}

/** Ends every container of the pod and removes its sandboxes. Throws when something would not end; it is tried again then. */
export async function killPod(context: KubeletContext, pod: Pod, grace: Grace, signal: AbortSignal): Promise<void> {
  const { runtime } = context;
  const uid = podUid(pod);
  const running = (runtime.podStatus(uid)?.containers ?? []).filter(({ state }) => state === 'running');
  const sidecarNames = initContainers(pod).filter(isSidecar).map(({ name }) => name);
  const first = running.filter(({ name }) => !sidecarNames.includes(name));
  const failures: unknown[] = [];
  const stop = async (state: ContainerState): Promise<void> => {
    try {
      await killContainer(context, pod, state, `Stopping container ${state.name}`, grace);
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all(first.map(stop));
  for (const name of sidecarNames.toReversed()) {
    for (const state of running.filter((one) => one.name === name)) await stop(state);
  }
  if (failures.length > 0) {
    podEvent(context, pod, 'Warning', 'FailedKillPod', `error killing pod: ${failures[0] instanceof Error ? failures[0].message : String(failures[0])}`);
    throw failures[0];
  }
  for (const { id } of runtime.podStatus(uid)?.sandboxes ?? []) await runtime.removeSandbox(id, signal);
}
