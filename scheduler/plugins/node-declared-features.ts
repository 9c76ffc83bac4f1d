// A pod that needs something of its kubelet that not every version does may only go to nodes that declare it (KEP-5328). Of the
// features that nodes declare one is told by a new pod's spec; the others matter to changes of running pods.
import type { Container } from '#machinery/api/object.ts';
import type { Plugin, Rejection } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';

const rejection: Rejection = { reasons: ["node(s) didn't match Pod's required features"], resolvable: false };
const restartsAll = 'RestartAllContainersOnContainerExits';

function needsRestartAll({ pod: { spec } }: PodInfo): boolean {
  const asks = ({ restartPolicyRules }: Container): boolean => restartPolicyRules?.some(({ action }) => action === 'RestartAllContainers') ?? false;
  return (spec?.containers.some(asks) ?? false) || (spec?.initContainers?.some(asks) ?? false);
}

export const nodeDeclaredFeatures: Plugin = {
  name: 'NodeDeclaredFeatures',
  wakes: ['NodeAdd', 'NodeFeature'],
  perNode: true,
  prepareFilter(pod) {
    if (!needsRestartAll(pod)) return undefined;
    return { filter: ({ node }) => (node.status?.declaredFeatures?.includes(restartsAll) ? undefined : rejection) };
  },
};
