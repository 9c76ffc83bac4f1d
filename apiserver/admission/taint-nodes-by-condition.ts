// TaintNodesByCondition: a new node takes no pods until a controller has seen it ready.
import type { Node } from '#machinery/api/object.ts';
import type { AdmissionPlugin } from './admission.ts';

const key = 'node.kubernetes.io/not-ready';

export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  handles: (operation, row, subresource) => operation === 'CREATE' && subresource === '' && row.group === '' && row.resource === 'nodes',
  admit({ object }) {
    const node = object as unknown as Node; // `handles` lets only nodes through
    const spec = (node.spec ??= {});
    if (spec.taints?.some((taint) => taint.key === key && taint.effect === 'NoSchedule')) return;
    spec.taints = [...(spec.taints ?? []), { key, effect: 'NoSchedule' }];
  },
};
