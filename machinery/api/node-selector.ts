// Node selectors as PersistentVolumes and pods' required node affinity carry them. Upstream: component-helpers/scheduling/corev1/nodeaffinity.
// The scheduler has its own compiled form (scheduler/selectors.ts): it asks thousands of nodes.
import type { NodeSelectorTerm } from './object.ts';

export interface LabelRequirement { key: string; operator: string; values?: readonly string[] }

/** NaN for what is no integer, so that every comparison with it fails. */
function integer(text: string | undefined): number {
  return text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
}

/** Label selectors and node selectors share their operators; an operator that this version does not know can only fail. */
export function holds({ key, operator, values = [] }: LabelRequirement, labels: Readonly<Record<string, string>> | undefined): boolean {
  const value = labels?.[key];
  switch (operator) {
    case 'In': return value !== undefined && values.includes(value);
    case 'NotIn': return value === undefined || !values.includes(value);
    case 'Exists': return value !== undefined;
    case 'DoesNotExist': return value === undefined;
    case 'Gt': return value !== undefined && integer(value) > integer(values[0]);
    case 'Lt': return value !== undefined && integer(value) < integer(values[0]);
    default: return false;
  }
}

/** Whether one of the terms matches; an empty term matches no node. */
export function nodeSelectorMatches(terms: readonly NodeSelectorTerm[], node: { name: string; labels: Readonly<Record<string, string>> }): boolean {
  return terms.some(({ matchExpressions, matchFields }) => {
    const [expressions, fields] = [matchExpressions ?? [], matchFields ?? []];
    return expressions.length + fields.length > 0 && expressions.every((each) => holds(each, node.labels)) && fields.every((each) => holds(each, { 'metadata.name': node.name }));
  });
}
