// Small questions about a pod's containers that the plan, the status and the start all ask.
import type { Container, Pod } from '#machinery/api/object.ts';
import type { ContainerState, RuntimePod } from './runtime/runtime.ts';

export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always';
export const initContainers = (pod: Pod): Container[] => pod.spec?.initContainers ?? [];
export const regularContainers = (pod: Pod): Container[] => pod.spec?.containers ?? [];
export const ephemeralContainers = (pod: Pod): (Container & { targetContainerName?: string })[] => pod.spec?.ephemeralContainers ?? [];
export const allContainers = (pod: Pod): Container[] => [...initContainers(pod), ...regularContainers(pod), ...ephemeralContainers(pod)];
export const isHostNetwork = (pod: Pod): boolean => pod.spec?.hostNetwork === true;
export const podUid = (pod: Pod): string => pod.metadata.uid ?? '';
/** As events and messages name a pod: `name_namespace(uid)`. */
export const podFullName = (pod: Pod): string => `${pod.metadata.name}_${pod.metadata.namespace}(${podUid(pod)})`;

/** The newest instance. */
export function latest(runtimePod: RuntimePod | undefined, name: string): ContainerState | undefined {
  return runtimePod?.containers.find((container) => container.name === name);
}

/** FNV-32a over what identifies the container's program; a change of it restarts the container. */
export function containerHash(container: Container): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(`${container.name}\0${container.image ?? ''}`)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16);
}

/** By container restart rules, then the container's own policy, then the pod's. */
export function restartsAfter(pod: Pod, container: Container, exitCode: number): boolean {
  for (const rule of container.restartPolicyRules ?? []) {
    const codes = rule.exitCodes;
    if (rule.action !== 'Restart' || !codes) continue;
    const listed = (codes.values ?? []).includes(exitCode);
    if (codes.operator === 'In' ? listed : codes.operator === 'NotIn' && !listed) return true;
  }
  const policy = container.restartPolicy ?? pod.spec?.restartPolicy ?? 'Always';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

export function shouldStart(pod: Pod, container: Container, runtimePod: RuntimePod | undefined): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  const state = latest(runtimePod, container.name);
  if (!state || state.state === 'created') return true;
  return state.state === 'exited' && restartsAfter(pod, container, state.exitCode);
}
