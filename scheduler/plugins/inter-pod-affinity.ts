// Pods that want to be near or far from other pods, by a topology label of the node; both directions, required and preferred.
import type { Plugin, Rejection } from '../plugin.ts';
import { defaultArgs, type InterPodAffinityArgs } from '../plugin-args.ts';
import { termMatches, type AffinityTerm, type PodInfo } from '../pod-info.ts';
import type { Labels } from '../selectors.ts';
import type { NodeInfo } from '../snapshot.ts';

const affinityRejection: Rejection = { reasons: ["node(s) didn't match pod affinity rules"], resolvable: false };
const antiAffinityRejection: Rejection = { reasons: ["node(s) didn't match pod anti-affinity rules"], resolvable: true };
const existingRejection: Rejection = { reasons: ["node(s) didn't satisfy existing pods anti-affinity rules"], resolvable: true };

/** Numbers by topology key and value. */
class Topology {
  readonly #counts = new Map<string, Map<string, number>>();
  add(node: NodeInfo, key: string, amount: number): void {
    const value = node.labels[key];
    if (value === undefined) return;
    let values = this.#counts.get(key);
    if (!values) this.#counts.set(key, (values = new Map()));
    const sum = (values.get(value) ?? 0) + amount;
    if (sum === 0) values.delete(value);
    else values.set(value, sum);
    if (values.size === 0) this.#counts.delete(key);
  }
  get(node: NodeInfo, key: string): number {
    const value = node.labels[key];
    return value === undefined ? 0 : this.#counts.get(key)?.get(value) ?? 0;
  }
  get empty(): boolean {
    return this.#counts.size === 0;
  }
  /** Sum over all keys of what the node's values hold. */
  sum(node: NodeInfo): number {
    let sum = 0;
    for (const [key, values] of this.#counts) {
      const value = node.labels[key];
      if (value !== undefined) sum += values.get(value) ?? 0;
    }
    return sum;
  }
  anyPositive(node: NodeInfo): boolean {
    for (const key of this.#counts.keys()) if (this.get(node, key) > 0) return true;
    return false;
  }
}

export function createInterPodAffinity({ hardPodAffinityWeight, ignorePreferredTermsOfExistingPods }: InterPodAffinityArgs): Plugin {
  return {
    name: 'InterPodAffinity',
    weight: 2,
    wakes: ['NodeAdd', 'NodeLabel', 'PodAdd', 'PodUpdate', 'PodDelete', 'OwnUpdate', 'Namespace'],
    mayHelp(pod, { before, now }, { namespaceLabels }) {
      const all = (terms: readonly AffinityTerm[], other: PodInfo | undefined): boolean =>
        other !== undefined && terms.length > 0 && terms.every((term) => termMatches(term, other, namespaceLabels(other.namespace)));
      const any = (terms: readonly AffinityTerm[], other: PodInfo | undefined): boolean =>
        other !== undefined && terms.some((term) => termMatches(term, other, namespaceLabels(other.namespace)));
      // Somebody to be near has come, or somebody to keep away from has gone, or who kept us away.
      if (!all(pod.affinity, before) && all(pod.affinity, now)) return true;
      // Without the last of a group the next one is its first, and free to go anywhere.
      if (!now && all(pod.affinity, before) && all(pod.affinity, pod)) return true;
      if (any(pod.antiAffinity, before) && !any(pod.antiAffinity, now)) return true;
      const rejects = (other: PodInfo | undefined): boolean => any(other?.antiAffinity ?? [], pod);
      return rejects(before) && !(now && rejects(now));
    },
    prepareFilter(pod, { snapshot, namespaceLabels }) {
      const ownLabels = namespaceLabels(pod.namespace);
      const existing = new Topology();
      const affinity = new Topology();
      const anti = new Topology();
      const matchesAll = (other: PodInfo, labels: Labels | undefined): boolean =>
        pod.affinity.length > 0 && pod.affinity.every((term) => termMatches(term, other, labels));
      const countExisting = (other: PodInfo, node: NodeInfo, by: number): void => {
        for (const term of other.antiAffinity) if (termMatches(term, pod, ownLabels)) existing.add(node, term.topologyKey, by);
      };
      const countIncoming = (other: PodInfo, node: NodeInfo, by: number): void => {
        const labels = namespaceLabels(other.namespace);
        if (matchesAll(other, labels)) for (const term of pod.affinity) affinity.add(node, term.topologyKey, by);
        for (const term of pod.antiAffinity) if (termMatches(term, other, labels)) anti.add(node, term.topologyKey, by);
      };
      const hasTerms = pod.affinity.length > 0 || pod.antiAffinity.length > 0;
      for (const node of snapshot.nodes()) {
        for (const other of node.podsWithAntiAffinity) countExisting(other, node, 1);
        if (hasTerms) for (const other of node.pods.values()) countIncoming(other, node, 1);
      }
      if (existing.empty && !hasTerms) return undefined;
      const change = (other: PodInfo, node: NodeInfo, by: number): void => {
        countExisting(other, node, by);
        if (hasTerms) countIncoming(other, node, by);
      };
      return {
        filter(node) {
          let near = true;
          for (const term of pod.affinity) {
            if (node.labels[term.topologyKey] === undefined) return affinityRejection;
            if (affinity.get(node, term.topologyKey) <= 0) near = false;
          }
          // The first of a group that wants to be together has nobody to join: its own labels count.
          if (!near && !(affinity.empty && matchesAll(pod, ownLabels))) return affinityRejection;
          for (const term of pod.antiAffinity) if (anti.get(node, term.topologyKey) > 0) return antiAffinityRejection;
          return !existing.empty && existing.anyPositive(node) ? existingRejection : undefined;
        },
        add: (other, node) => change(other, node, 1),
        remove: (other, node) => change(other, node, -1),
      };
    },
    prepareScore(pod, { snapshot, namespaceLabels }) {
      const own = pod.preferredAffinity.length > 0 || pod.preferredAntiAffinity.length > 0;
      const ownLabels = namespaceLabels(pod.namespace);
      if (ignorePreferredTermsOfExistingPods && !own) return undefined;
      const totals = new Topology();
      const pull = (terms: readonly AffinityTerm[], target: PodInfo, labels: Labels | undefined, node: NodeInfo, sign: number): void => {
        for (const term of terms) if (termMatches(term, target, labels)) totals.add(node, term.topologyKey, sign * term.weight);
      };
      for (const node of snapshot.nodes()) {
        for (const other of own ? node.pods.values() : node.podsWithAffinity) {
          if (own) {
            const labels = namespaceLabels(other.namespace);
            pull(pod.preferredAffinity, other, labels, node, 1);
            pull(pod.preferredAntiAffinity, other, labels, node, -1);
          }
          if (!other.hasAffinity) continue;
          for (const term of other.affinity) if (termMatches(term, pod, ownLabels)) totals.add(node, term.topologyKey, hardPodAffinityWeight);
          pull(other.preferredAffinity, pod, ownLabels, node, 1);
          pull(other.preferredAntiAffinity, pod, ownLabels, node, -1);
        }
      }
      if (totals.empty) return undefined;
      return {
        score: (node) => totals.sum(node),
        normalize(scores) {
          const [min, max] = [Math.min(...scores), Math.max(...scores)];
          for (let i = 0; i < scores.length; i += 1) scores[i] = max > min ? Math.trunc((100 * ((scores[i] ?? 0) - min)) / (max - min)) : 0;
        },
      };
    },
  };
}
export const interPodAffinity = createInterPodAffinity(defaultArgs.InterPodAffinity);
