// What exists by pod, as last read; both runtimes keep one.
import type { ContainerState, RuntimePod, SandboxState } from './runtime.ts';

export interface View {
  pod(uid: string): RuntimePod | undefined;
  pods(): RuntimePod[];
  ids(): string[];
  container(id: string): ContainerState | undefined;
  sandbox(id: string): SandboxState | undefined;
  putSandbox(state: SandboxState): SandboxState;
  putContainer(state: ContainerState): ContainerState;
  remove(id: string): void;
  /** Returns how to stop listening. */
  onChange(handler: (uid: string) => void): () => void;
}

export function createView(): View {
  const sandboxes = new Map<string, SandboxState>();
  const containers = new Map<string, ContainerState>();
  const pods = new Map<string, Set<string>>();
  const handlers = new Set<(uid: string) => void>();
  const changed = (uid: string): void => {
    for (const handler of handlers) handler(uid);
  };
  const index = (uid: string, id: string): void => {
    let ids = pods.get(uid);
    if (!ids) pods.set(uid, (ids = new Set()));
    ids.add(id);
  };
  const newestFirst = (a: { createdAtMs: number; attempt: number }, b: { createdAtMs: number; attempt: number }): number => b.createdAtMs - a.createdAtMs || b.attempt - a.attempt;
  const pod = (uid: string): RuntimePod | undefined => {
    const ids = pods.get(uid);
    if (!ids) return undefined;
    const own = [...ids];
    const ownSandboxes = own.flatMap((id) => sandboxes.get(id) ?? []).sort(newestFirst);
    const ownContainers = own.flatMap((id) => containers.get(id) ?? []).sort(newestFirst);
    const identity = (ownSandboxes[0] ?? ownContainers[0])?.pod;
    return identity && { pod: identity, sandboxes: ownSandboxes, containers: ownContainers };
  };
  return {
    pod,
    pods: () => [...pods.keys()].flatMap((uid) => pod(uid) ?? []),
    ids: () => [...sandboxes.keys(), ...containers.keys()],
    container: (id) => containers.get(id),
    sandbox: (id) => sandboxes.get(id),
    putSandbox(state) {
      const old = sandboxes.get(state.id);
      sandboxes.set(state.id, state);
      index(state.pod.uid, state.id);
      if (old?.running !== state.running) changed(state.pod.uid);
      return state;
    },
    putContainer(state) {
      const old = containers.get(state.id);
      // Two reads may overtake each other; an instance that ended never runs again.
      if (old?.state === 'exited' && state.state !== 'exited') return old;
      containers.set(state.id, state);
      index(state.pod.uid, state.id);
      if (old?.state !== state.state) changed(state.pod.uid);
      return state;
    },
    remove(id) {
      const uid = (sandboxes.get(id) ?? containers.get(id))?.pod.uid;
      if (uid === undefined) return;
      sandboxes.delete(id);
      containers.delete(id);
      const ids = pods.get(uid);
      ids?.delete(id);
      if (ids?.size === 0) pods.delete(uid);
      changed(uid);
    },
    onChange(handler) {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
  };
}
