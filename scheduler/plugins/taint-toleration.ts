// Taints keep pods away that do not tolerate them; PreferNoSchedule taints only cost score.
import type { Taint, Toleration } from '#machinery/api/object.ts';
import { normalizeDefault, type Plugin, type Rejection } from '../plugin.ts';
import type { NodeInfo } from '../snapshot.ts';

const rejection: Rejection = { reasons: ['node(s) had untolerated taint(s)'], resolvable: false };

/** Whether one toleration covers one taint (component-helpers' ToleratesTaint; Lt and Gt are behind a gate that is off). */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  switch (toleration.operator || 'Equal') {
    case 'Equal': return (toleration.value ?? '') === (taint.value ?? '');
    case 'Exists': return true;
    default: return false;
  }
}
export function toleratesAll(tolerations: readonly Toleration[], taints: readonly Taint[]): boolean {
  for (const taint of taints) {
    let covered = false;
    for (const toleration of tolerations) {
      if (tolerates(toleration, taint)) {
        covered = true;
        break;
      }
    }
    if (!covered) return false;
  }
  return true;
}

export const taintToleration: Plugin = {
  name: 'TaintToleration',
  weight: 3,
  wakes: ['NodeAdd', 'NodeTaint', 'OwnUpdate'],
  perNode: true,
  prepareFilter(pod) {
    return { filter: (node: NodeInfo) => (node.hardTaints.length === 0 || toleratesAll(pod.tolerations, node.hardTaints) ? undefined : rejection) };
  },
  prepareScore(pod) {
    const soft = pod.tolerations.filter((toleration) => !toleration.effect || toleration.effect === 'PreferNoSchedule');
    return {
      score(node) {
        if (node.taints.length === node.hardTaints.length) return 0;
        let count = 0;
        for (const taint of node.taints) if (taint.effect === 'PreferNoSchedule' && !toleratesAll(soft, [taint])) count += 1;
        return count;
      },
      normalize: (scores) => normalizeDefault(scores, true),
    };
  },
};
