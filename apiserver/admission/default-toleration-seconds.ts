// DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or cannot be reached, unless they say otherwise.
import type { Pod } from '#machinery/api/object.ts';
import type { AdmissionPlugin } from './admission.ts';

const seconds = 300;
const taints = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'] as const;

export const defaultTolerationSeconds: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  handles: (operation, row, subresource) => subresource === '' && row.group === '' && row.resource === 'pods' && (operation === 'CREATE' || operation === 'UPDATE'),
  admit({ object }) {
    const spec = (object as unknown as Pod).spec; // `handles` lets only pods through
    if (spec === undefined) return;
    const given = spec.tolerations ?? [];
    const missing = taints.filter((key) => !given.some((one) => (!one.key || one.key === key) && (!one.effect || one.effect === 'NoExecute')));
    if (missing.length === 0) return;
    spec.tolerations = [...given, ...missing.map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: seconds }))];
  },
};
