// nodeSelector and node affinity, required and preferred; of the pod, and of the profile (addedAffinity).
import { normalizeDefault, type Plugin, type Rejection } from '../plugin.ts';
import { defaultArgs, type NodeAffinityArgs } from '../plugin-args.ts';
import type { PodInfo } from '../pod-info.ts';
import { compileNodeTerm, nodeTermMatches, type NodeTerm } from '../selectors.ts';
import type { NodeInfo } from '../snapshot.ts';

const rejection: Rejection = { reasons: ["node(s) didn't match Pod's node affinity/selector"], resolvable: false };
const enforced: Rejection = { reasons: ["node(s) didn't match scheduler-enforced node affinity"], resolvable: false };
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

export function createNodeAffinity({ addedAffinity }: NodeAffinityArgs): Plugin {
  const addedTerms = addedAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms.map((term) => compileNodeTerm(term));
  const addedPreferred = addedAffinity?.preferredDuringSchedulingIgnoredDuringExecution?.map((term) => compileNodeTerm(term.preference, term.weight)) ?? [];
  const weightOf = (terms: readonly NodeTerm[], node: NodeInfo): number => {
    let sum = 0;
    for (const term of terms) if (term.weight !== 0 && nodeTermMatches(term, node.labels, node.name)) sum += term.weight;
    return sum;
  };
  return {
    name: 'NodeAffinity',
    weight: 2,
    wakes: ['NodeAdd', 'NodeLabel', 'OwnUpdate'],
    perNode: true,
    prepareFilter(pod) {
      if (!pod.nodeSelector && !pod.requiredNodeTerms && !addedTerms) return undefined;
      const nodeNames = namedNodes(pod);
      if (nodeNames?.size === 0) return conflict;
      const filter = (node: NodeInfo): Rejection | undefined => {
        if (addedTerms && !addedTerms.some((term) => nodeTermMatches(term, node.labels, node.name))) return enforced;
        return matchesRequired(pod, node) ? undefined : rejection;
      };
      return nodeNames ? { filter, nodeNames } : { filter };
    },
    prepareScore(pod) {
      if (pod.preferredNodeTerms.length === 0 && addedPreferred.length === 0) return undefined;
      return {
        score: (node) => weightOf(pod.preferredNodeTerms, node) + weightOf(addedPreferred, node),
        normalize: (scores) => normalizeDefault(scores, false),
      };
    },
  };
}
export const nodeAffinity = createNodeAffinity(defaultArgs.NodeAffinity);
