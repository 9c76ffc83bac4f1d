// Keeps pods off cordoned nodes, unless they tolerate the cordon's taint.
import type { Plugin, Rejection } from '../plugin.ts';
import { tolerates } from './taint-toleration.ts';

const rejection: Rejection = { reasons: ['node(s) were unschedulable'], resolvable: false };
const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

export const nodeUnschedulable: Plugin = {
  name: 'NodeUnschedulable',
  wakes: ['NodeAdd', 'NodeTaint', 'OwnUpdate'],
  perNode: true,
  prepareFilter(pod) {
    const tolerated = pod.tolerations.some((toleration) => tolerates(toleration, taint));
    return tolerated ? undefined : { filter: (node) => (node.unschedulable ? rejection : undefined) };
  },
};
