// nodeSelector and node affinity, required and preferred.
import { normalizeDefault, type Plugin, type Rejection } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';
import { nodeTermMatches } from '../selectors.ts';
import type { NodeInfo } from '../snapshot.ts';

const rejection: Rejection = { reasons: ["node(s) didn't match Pod's node affinity/selector"], resolvable: false };
const conflict: Rejection = { reasons: ['pod affinity terms conflict'], resolvable: false };

/** Whether the node is one that nodeSelector and the required terms (ORed) allow. */
export function matchesRequired(pod: PodInfo, node: NodeInfo): boolean {
  if (pod.nodeSelector && !pod.nodeSelector.matches(node.labels)) return false;
  const terms = pod.requiredNodeTerms;
  if (!terms) return true;
  for (const term of terms) if (nodeTermMatches(term, node.labels, node.name)) return true;
  return false;
}

/** The only nodes that terms with metadata.name allow; undefined when any term allows others. */
function namedNodes(pod: PodInfo): ReadonlySet<string> | undefined {
  if (!pod.requiredNodeTerms?.length) return undefined;
  const names = new Set<string>();
  for (const term of pod.requiredNodeTerms) {
    if (!term.nodeNames) return undefined;
    for (const name of term.nodeNames) names.add(name);
  }
  return names;
}

export const nodeAffinity: Plugin = {
  name: 'NodeAffinity',
  weight: 2,
  wakes: ['NodeAdd', 'NodeLabel', 'OwnUpdate'],
  perNode: true,
  prepareFilter(pod) {
    if (!pod.nodeSelector && !pod.requiredNodeTerms) return undefined;
    const nodeNames = namedNodes(pod);
    if (nodeNames?.size === 0) return conflict;
    const filter = (node: NodeInfo): Rejection | undefined => (matchesRequired(pod, node) ? undefined : rejection);
    return nodeNames ? { filter, nodeNames } : { filter };
  },
  prepareScore(pod) {
    if (pod.preferredNodeTerms.length === 0) return undefined;
    return {
      score(node) {
        let sum = 0;
        for (const term of pod.preferredNodeTerms) if (term.weight !== 0 && nodeTermMatches(term, node.labels, node.name)) sum += term.weight;
        return sum;
      },
      normalize: (scores) => normalizeDefault(scores, false),
    };
  },
};
