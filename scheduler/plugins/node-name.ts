// A pod that already names its node may only go there.
import type { Plugin, Rejection } from '../plugin.ts';

const rejection: Rejection = { reasons: ["node(s) didn't match the requested node name"], resolvable: false };

export const nodeName: Plugin = {
  name: 'NodeName',
  wakes: ['NodeAdd'],
  perNode: true,
  prepareFilter(pod) {
    const wanted = pod.pod.spec?.nodeName;
    return wanted ? { filter: (node) => (node.name === wanted ? undefined : rejection) } : undefined;
  },
};
