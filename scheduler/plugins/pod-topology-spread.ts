// Spreads pods over zones, hosts or any node label: DoNotSchedule filters, ScheduleAnyway scores. Pods without constraints
// of their own get the system's soft defaults, or the profile's, when a Service or a controller selects them.
import type { Context, Plugin, Rejection } from '../plugin.ts';
import { defaultArgs, type SpreadArgs, type TopologySpreadConstraint } from '../plugin-args.ts';
import type { PodInfo } from '../pod-info.ts';
import { compileLabelSelector, compileLabels, type Selector } from '../selectors.ts';
import type { NodeInfo } from '../snapshot.ts';
import { matchesRequired } from './node-affinity.ts';
import { toleratesAll } from './taint-toleration.ts';

const mismatch: Rejection = { reasons: ["node(s) didn't match pod topology spread constraints"], resolvable: true };
const missingLabel: Rejection = { reasons: ["node(s) didn't match pod topology spread constraints (missing required label)"], resolvable: false };
const hostname = 'kubernetes.io/hostname';

interface Constraint {
  key: string;
  maxSkew: number;
  minDomains: number;
  selector: Selector;
  honorAffinity: boolean;
  honorTaints: boolean;
}

function ownConstraints(pod: PodInfo, when: string): Constraint[] {
  const found: Constraint[] = [];
  for (const c of pod.pod.spec?.topologySpreadConstraints ?? []) {
    if (c.whenUnsatisfiable !== when) continue;
    const same: Record<string, string> = {};
    for (const key of c.matchLabelKeys ?? []) {
      const value = pod.labels[key];
      if (value !== undefined) same[key] = value;
    }
    found.push(compile(c, compileLabelSelector(c.labelSelector).and(compileLabels(same))));
  }
  return found;
}
function compile(c: TopologySpreadConstraint, selector: Selector): Constraint {
  return {
    key: c.topologyKey, maxSkew: c.maxSkew, minDomains: c.minDomains ?? 1, selector,
    honorAffinity: c.nodeAffinityPolicy !== 'Ignore', honorTaints: c.nodeTaintsPolicy === 'Honor',
  };
}

const systemDefaults: readonly TopologySpreadConstraint[] = [
  { topologyKey: hostname, maxSkew: 3, whenUnsatisfiable: 'ScheduleAnyway' },
  { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5, whenUnsatisfiable: 'ScheduleAnyway' },
];

function hasAllKeys(node: NodeInfo, constraints: readonly Constraint[]): boolean {
  for (const { key } of constraints) if (node.labels[key] === undefined) return false;
  return true;
}
function counts(constraint: Constraint, pod: PodInfo, node: NodeInfo): boolean {
  return (!constraint.honorAffinity || matchesRequired(pod, node)) && (!constraint.honorTaints || toleratesAll(pod.tolerations, node.hardTaints));
}
function countMatching(node: NodeInfo, selector: Selector, namespace: string): number {
  if (selector.empty || node.pods.size === 0) return 0;
  let count = 0;
  for (const pod of node.pods.values()) {
    if (!pod.terminating && pod.namespace === namespace && selector.matches(pod.labels)) count += 1;
  }
  return count;
}

function isDeclared(pod: PodInfo): boolean {
  return (pod.pod.spec?.topologySpreadConstraints?.length ?? 0) > 0;
}

export function createPodTopologySpread({ defaultConstraints }: SpreadArgs): Plugin {
  const defaults = defaultConstraints ?? systemDefaults;
  const constraintsOf = (pod: PodInfo, when: string, { defaultSelector }: Context): Constraint[] => {
    if (isDeclared(pod)) return ownConstraints(pod, when);
    const wanted = defaults.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when);
    const selector = wanted.length > 0 ? defaultSelector(pod) : undefined;
    return selector ? wanted.map((constraint) => compile(constraint, selector)) : [];
  };
  return {
    name: 'PodTopologySpread',
    weight: 2,
    wakes: ['NodeAdd', 'NodeLabel', 'NodeTaint', 'PodAdd', 'PodUpdate', 'PodDelete', 'OwnUpdate'],
    mayHelp(pod, { before, now }, context) {
      if ((now ?? before)?.namespace !== pod.namespace) return false;
      const counted = ({ selector }: Constraint, other: PodInfo | undefined): boolean => other !== undefined && selector.matches(other.labels);
      return constraintsOf(pod, 'DoNotSchedule', context).some((constraint) => counted(constraint, before) !== counted(constraint, now));
    },
    prepareFilter(pod, context) {
      const { snapshot } = context;
      const constraints = constraintsOf(pod, 'DoNotSchedule', context);
      if (constraints.length === 0) return undefined;
      const domains = constraints.map(() => new Map<string, number>());
      const count = (node: NodeInfo, matching: (constraint: Constraint) => number): void => {
        if (!hasAllKeys(node, constraints)) return;
        for (let i = 0; i < constraints.length; i += 1) {
          const constraint = constraints[i];
          const values = domains[i];
          const value = constraint && node.labels[constraint.key];
          if (!constraint || !values || value === undefined || !counts(constraint, pod, node)) continue;
          values.set(value, (values.get(value) ?? 0) + matching(constraint));
        }
      };
      for (const node of snapshot.nodes()) count(node, (constraint) => countMatching(node, constraint.selector, pod.namespace));
      let minima: number[] | undefined;
      const minimum = (i: number, minDomains: number): number => {
        minima ??= domains.map((values) => Math.min(...values.values()));
        return (domains[i]?.size ?? 0) < minDomains ? 0 : minima[i] ?? 0;
      };
      const self = constraints.map((constraint) => (constraint.selector.matches(pod.labels) ? 1 : 0));
      const change = (other: PodInfo, node: NodeInfo, by: number): void => {
        if (other.namespace !== pod.namespace) return;
        minima = undefined;
        count(node, (constraint) => (constraint.selector.matches(other.labels) ? by : 0));
      };
      return {
        filter(node) {
          for (let i = 0; i < constraints.length; i += 1) {
            const constraint = constraints[i];
            if (!constraint) continue;
            const value = node.labels[constraint.key];
            if (value === undefined) return missingLabel;
            const skew = (domains[i]?.get(value) ?? 0) + (self[i] ?? 0) - minimum(i, constraint.minDomains);
            if (skew > constraint.maxSkew) return mismatch;
          }
          return undefined;
        },
        add: (other, node) => change(other, node, 1),
        remove: (other, node) => change(other, node, -1),
      };
    },
    prepareScore(pod, context, nodes) {
      const { snapshot } = context;
      const constraints = constraintsOf(pod, 'ScheduleAnyway', context);
      if (constraints.length === 0) return undefined;
      // With the system's defaults a node without a zone label still takes part in spreading over hosts.
      const allKeys = defaultConstraints !== undefined || isDeclared(pod);
      const ignored = (node: NodeInfo): boolean => allKeys && !hasAllKeys(node, constraints);
      let taking = 0;
      const domains = constraints.map(() => new Map<string, number>());
      for (const node of nodes) {
        if (ignored(node)) continue;
        taking += 1;
        for (let i = 0; i < constraints.length; i += 1) {
          const key = constraints[i]?.key ?? hostname;
          if (key !== hostname) domains[i]?.set(node.labels[key] ?? '', 0);
        }
      }
      const weights = constraints.map(({ key }, i) => Math.log((key === hostname ? taking : domains[i]?.size ?? 0) + 2));
      if (constraints.some(({ key }, i) => key !== hostname && (domains[i]?.size ?? 0) > 0 && !(domains[i]?.size === 1 && domains[i]?.has('')))) {
        for (const node of snapshot.nodes()) {
          if (node.pods.size === 0 || ignored(node)) continue;
          for (let i = 0; i < constraints.length; i += 1) {
            const constraint = constraints[i];
            const values = domains[i];
            if (!constraint || !values || constraint.key === hostname) continue;
            const value = node.labels[constraint.key] ?? '';
            const before = values.get(value);
            if (before !== undefined && counts(constraint, pod, node)) values.set(value, before + countMatching(node, constraint.selector, pod.namespace));
          }
        }
      }
      return {
        score(node) {
          if (ignored(node)) return -1;
          let sum = 0;
          for (let i = 0; i < constraints.length; i += 1) {
            const constraint = constraints[i];
            const value = constraint && node.labels[constraint.key];
            if (!constraint || value === undefined) continue;
            const count = constraint.key === hostname ? countMatching(node, constraint.selector, pod.namespace) : domains[i]?.get(value) ?? 0;
            sum += count * (weights[i] ?? 0) + constraint.maxSkew - 1;
          }
          return Math.round(sum);
        },
        normalize(scores) {
          let min = Infinity;
          let max = 0;
          for (const score of scores) {
            if (score < 0) continue;
            if (score < min) min = score;
            if (score > max) max = score;
          }
          for (let i = 0; i < scores.length; i += 1) {
            const score = scores[i] ?? 0;
            if (score < 0) scores[i] = 0;
            else scores[i] = max === 0 ? 100 : Math.trunc((100 * (max + min - score)) / max);
          }
        },
      };
    },
  };
}
export const podTopologySpread = createPodTopologySpread(defaultArgs.PodTopologySpread);
