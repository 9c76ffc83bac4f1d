// Probes of all running containers: one loop for each probe of each instance, results by container id.
import { sleep } from '#machinery/base/clock.ts';
import type { Container, Pod, Probe } from '#machinery/api/object.ts';
import type { EventRecorder } from '#machinery/client/types.ts';
import { containerEvent } from '../context.ts';
import { allContainers, initContainers, isHostNetwork, isSidecar, podUid } from '../container-spec.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { ProbeResult, ProbeResults } from '../sync-pod.ts';
import { look } from './prober.ts';

export type ProbeType = 'liveness' | 'readiness' | 'startup';
export interface Probes extends ProbeResults {
  /** Starts the loops of what runs now; loops end with their container. */
  update(pod: Pod): void;
  forget(uid: string): void;
}

const title = { liveness: 'Liveness', readiness: 'Readiness', startup: 'Startup' } as const;
const types: readonly ProbeType[] = ['startup', 'liveness', 'readiness'];

export function createProbes(options: { runtime: Runtime; recorder: EventRecorder; nodeIp: string; changed: (uid: string) => void }, signal: AbortSignal): Probes {
  const { runtime, changed } = options;
  const startedAtMs = Date.now();
  const results = new Map<string, ProbeResult>();
  const pods = new Map<string, { pod: Pod; loops: Map<string, AbortController> }>();
  const key = (id: string, type: ProbeType): string => `${type} ${id}`;
  const probeOf = (container: Container, type: ProbeType): Probe | undefined => container[`${type}Probe`];

  function set(uid: string, id: string, type: ProbeType, result: ProbeResult): void {
    if (results.get(key(id, type)) === result) return;
    results.set(key(id, type), result);
    changed(uid);
  }

  async function loop(uid: string, name: string, id: string, type: ProbeType, probe: Probe, stop: AbortSignal): Promise<void> {
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const wanted = { success: probe.successThreshold ?? 1, failure: probe.failureThreshold ?? 3 };
    let last: 'success' | 'failure' | undefined;
    let row = 0;
    const state = (): ReturnType<typeof find> => find();
    const find = () => runtime.podStatus(uid)?.containers.find((container) => container.id === id);
    const begun = state()?.startedAtMs ?? Date.now();
    // After a restart of the kubelet not everything is probed in the same moment.
    if (Date.now() - startedAtMs < periodMs && begun < startedAtMs) await sleep(Math.random() * periodMs, stop);
    const delayMs = begun + (probe.initialDelaySeconds ?? 0) * 1000 - Date.now();
    if (probe.initialDelaySeconds && delayMs > 0) await sleep(delayMs, stop);
    while (!stop.aborted) {
      const current = pods.get(uid)?.pod;
      const container = current && allContainers(current).find((candidate) => candidate.name === name);
      if (!current || !container || state()?.state !== 'running') return;
      const deleting = current.metadata.deletionTimestamp !== undefined;
      if (deleting && type !== 'readiness') return;
      const started = !container.startupProbe || results.get(key(id, 'startup')) === 'success';
      if (type !== 'startup' && !started) {
        await sleep(Math.min(periodMs, 100), stop);
        continue;
      }
      const podIp = isHostNetwork(current) ? options.nodeIp : runtime.podStatus(uid)?.sandboxes[0]?.ip ?? '';
      let seen = runtime.pretends ? { result: 'success' as const, output: '' } : await look(runtime, id, container, probe, podIp, stop);
      for (let again = 0; again < 2 && seen.result === 'error' && !stop.aborted; again += 1) seen = await look(runtime, id, container, probe, podIp, stop);
      if (stop.aborted || state()?.state !== 'running') return;
      if (seen.result === 'warning') containerEvent(options, current, container, 'Warning', 'ProbeWarning', `${title[type]} probe warning: ${seen.output}`);
      if (seen.result === 'failure') containerEvent(options, current, container, 'Warning', 'Unhealthy', `${title[type]} probe failed: ${seen.output}`);
      if (seen.result === 'error') containerEvent(options, current, container, 'Warning', 'Unhealthy', `${title[type]} probe errored and resulted in unknown state: ${seen.output}`);
      else {
        const result = seen.result === 'failure' ? 'failure' : 'success';
        row = result === last ? row + 1 : 1;
        last = result;
        if (row >= wanted[result]) {
          set(uid, id, type, result);
          // The instance is about to be replaced, or has started for good.
          if ((type === 'liveness' && result === 'failure') || type === 'startup') return;
        }
      }
      await sleep(periodMs, stop);
    }
  }

  return {
    get: (id, type) => results.get(key(id, type)),
    update(pod) {
      const uid = podUid(pod);
      let entry = pods.get(uid);
      if (!entry) pods.set(uid, (entry = { pod, loops: new Map() }));
      entry.pod = pod;
      const running = new Set<string>();
      for (const instance of runtime.podStatus(uid)?.containers ?? []) {
        if (instance.state !== 'running') continue;
        const container = allContainers(pod).find(({ name }) => name === instance.name);
        if (!container || (initContainers(pod).includes(container) && !isSidecar(container))) continue;
        for (const type of types) {
          const probe = probeOf(container, type);
          if (!probe) continue;
          const loopKey = key(instance.id, type);
          running.add(loopKey);
          if (entry.loops.has(loopKey)) continue;
          // An instance that an earlier kubelet saw ready stays so until a probe says otherwise.
          const known = [...pod.status?.containerStatuses ?? [], ...pod.status?.initContainerStatuses ?? []].find((status) => status.containerID === `docker://${instance.id}`);
          if (type === 'startup' && known?.started && !results.has(loopKey)) results.set(loopKey, 'success');
          if (type === 'readiness' && known?.ready && !results.has(loopKey)) results.set(loopKey, 'success');
          const controller = new AbortController();
          entry.loops.set(loopKey, controller);
          if (type === 'startup' && results.get(loopKey) === 'success') continue;
          const stop = AbortSignal.any([signal, controller.signal]);
          loop(uid, container.name, instance.id, type, probe, stop).catch((error: unknown) => {
            if (!stop.aborted) throw error;
          });
        }
      }
      for (const [loopKey, controller] of entry.loops) {
        if (running.has(loopKey)) continue;
        controller.abort();
        entry.loops.delete(loopKey);
        results.delete(loopKey);
      }
    },
    forget(uid) {
      const entry = pods.get(uid);
      pods.delete(uid);
      for (const [loopKey, controller] of entry?.loops ?? []) {
        controller.abort();
        results.delete(loopKey);
      }
    },
  };
}
