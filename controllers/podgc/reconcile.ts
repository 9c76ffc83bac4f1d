// Which pods nobody else will remove, without I/O. Upstream: pkg/controller/podgc/gc_controller.go.
import type { Node, Pod } from '#machinery/api/object.ts';
import { isTerminal } from '../pods.ts';
import { readiness } from '../node-lifecycle/reconcile.ts';

/** Terminated pods above the threshold, evicted ones first, then the oldest. */
export function surplus(pods: readonly Pod[], threshold: number): Pod[] {
  if (threshold <= 0) return [];
  const finished = pods.filter((pod) => pod.status?.phase !== undefined && !['Pending', 'Running', 'Unknown'].includes(pod.status.phase) && pod.metadata.deletionTimestamp === undefined);
  const isEvicted = (pod: Pod): number => (pod.status?.reason === 'Evicted' ? 0 : 1);
  return finished.sort((a, b) => isEvicted(a) - isEvicted(b) || compare(a.metadata.creationTimestamp, b.metadata.creationTimestamp) || compare(a.metadata.name, b.metadata.name))
    .slice(0, Math.max(0, finished.length - threshold));
}
/** Deleted before they had a node: no kubelet will confirm. */
export function unscheduledTerminating(pods: readonly Pod[]): Pod[] {
  return pods.filter((pod) => pod.metadata.deletionTimestamp !== undefined && !pod.spec?.nodeName);
}
/** Terminating on a node that somebody declared out of service. */
export function outOfService(pods: readonly Pod[], nodeOf: (name: string) => Node | undefined): Pod[] {
  return pods.filter((pod) => {
    if (pod.metadata.deletionTimestamp === undefined) return false;
    const node = nodeOf(pod.spec?.nodeName ?? '');
    return node !== undefined && readiness(node) !== 'True' && node.spec?.taints?.some(({ key }) => key === 'node.kubernetes.io/out-of-service') === true;
  });
}
export const needsFailing = (pod: Pod): boolean => !isTerminal(pod);
function compare(a = '', b = ''): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
