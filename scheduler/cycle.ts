// One scheduling cycle, start to end without waiting: filter the nodes, score those that pass, pick one; when none passes, say why
// and see whether preemption helps. Upstream: pkg/scheduler/schedule_one.go.
import type { Answers } from './extender-cycle.ts';
import type { Extender } from './extender.ts';
import { preempt, preemptReviewed, type PreemptionInput, type PreemptionResult, type Victims } from './preemption.ts';
import { extenderPlugin, isRejection, type Context, type FilterStep, type Plugin, type Rejection, type Relief, type Reservation, type ScoreStep } from './plugin.ts';
import type { Nominator } from './nominator.ts';
import { defaultArgs, type PreemptionArgs } from './plugin-args.ts';
import type { PodInfo } from './pod-info.ts';
import type { NodeInfo, Snapshot } from './snapshot.ts';

/** No pod is compared on fewer nodes than this, if there are as many. */
const minFeasibleNodes = 100;
const minPercentage = 5;

export interface Filter { readonly plugin: Plugin; readonly step: FilterStep }
export type Verdict = { readonly plugin: Plugin; readonly rejection: Rejection };

export type Outcome =
  | { kind: 'placed'; node: NodeInfo; evaluated: number; reservations: readonly Reservation[] }
  | {
    kind: 'unschedulable';
    message: string;
    rejectors: ReadonlySet<string>;
    /** The node that preemption makes room on; '' withdraws an earlier nomination; undefined leaves it. */
    nominate: string | undefined;
    victims: Victims | undefined;
    relief?: Relief | undefined;
  };

export interface CycleOptions {
  plugins: readonly Plugin[];
  context: Context;
  nominator: Nominator;
  /** undefined: nobody is removed to make room. */
  preemption?: PreemptionArgs | undefined;
  /** 0: by the size of the cluster, as upstream. */
  percentageOfNodesToScore?: number;
  disruptionBudgets: () => Parameters<typeof preempt>[0]['budgets'];
  random?: () => number;
  /** Told how long each step took, under upstream's names of extension points and statuses. */
  onStep?: OnStep;
}
export type OnStep = (point: 'PreFilter' | 'Filter' | 'PostFilter' | 'PreScore' | 'Score' | 'Reserve' | 'PreBind' | 'Bind', status: StepStatus, startedAt: number) => void;
export type StepStatus = 'Success' | 'Unschedulable' | 'UnschedulableAndUnresolvable' | 'Error';

/** What a look at the nodes found. */
interface Search {
  readonly filters: readonly Filter[];
  /** Good until the next search. */
  readonly feasible: readonly NodeInfo[];
  /** Why the others that were looked at are out. */
  readonly verdicts: Map<NodeInfo, Verdict>;
  readonly evaluated: number;
  /** Only the nominated node was looked at. */
  readonly nominated?: boolean;
  /** A plugin's verdict on every node at once. */
  readonly outright?: Verdict;
  /** The plugin that named the only nodes to look at. */
  readonly restrictedBy?: string | undefined;
}
const noNodes: Outcome = { kind: 'unschedulable', message: 'no nodes available to schedule pods', rejectors: new Set(['NodeName']), nominate: '', victims: undefined };
const noPreemption: PreemptionResult = { message: '', nominate: undefined, victims: undefined };

/** How many passing nodes are enough to choose from. */
export function feasibleNodesToFind(percentage: number, nodes: number): number {
  if (nodes < minFeasibleNodes) return nodes;
  const share = percentage > 0 ? percentage : Math.max(minPercentage, 50 - Math.trunc(nodes / 125));
  return Math.max(minFeasibleNodes, Math.trunc((nodes * share) / 100));
}

export class Cycle {
  readonly #options: CycleOptions;
  readonly #snapshot: Snapshot;
  readonly #random: () => number;
  readonly #onStep: OnStep | undefined;
  /** Where the next pod starts to look, so that all nodes are looked at equally often. */
  #start = 0;
  /** Reused from pod to pod. */
  readonly #feasible: NodeInfo[] = [];
  readonly #scoring: [step: ScoreStep, weight: number][] = [];
  #total = new Float64Array(0);
  #scores = new Float64Array(0);

  constructor(options: CycleOptions) {
    this.#options = { preemption: defaultArgs.DefaultPreemption, ...options };
    this.#snapshot = options.context.snapshot;
    this.#random = options.random ?? Math.random;
    this.#onStep = options.onStep;
  }

  schedule(pod: PodInfo): Outcome {
    if (this.#snapshot.size === 0) return noNodes;
    const search = this.#search(pod);
    return search.feasible.length > 0 ? this.#place(pod, search) : this.#fail(search, this.#preempt(pod, search));
  }

  /** The same with extenders asked in between. Rejects when one fails that the pod cannot go without. */
  async scheduleWith(extenders: readonly Extender[], pod: PodInfo, signal: AbortSignal): Promise<Outcome> {
    if (this.#snapshot.size === 0) return noNodes;
    const { askExtenders, reviewCandidates } = await import('./extender-cycle.ts');
    let search = this.#search(pod);
    while (search.feasible.length > 0) {
      const answers = await askExtenders(extenders, pod, [...search.feasible], signal);
      const { nominated } = search;
      search = this.#lookAgain(pod, search, answers);
      if (search.feasible.length > 0) return this.#place(pod, search, answers.scores);
      if (!nominated) break;
      search = this.#search(pod, false);
    }
    const input = this.#preemptionInput(pod, search);
    if (!input) return this.#fail(search, noPreemption);
    const startedAt = performance.now();
    const result = await preemptReviewed(input, (candidates) => reviewCandidates(extenders, pod, candidates, this.#snapshot, signal));
    this.#onStep?.('PostFilter', result.victims ? 'Success' : 'Unschedulable', startedAt);
    return this.#fail(search, result);
  }

  /** The nodes that pass. One that was nominated is enough when it does. */
  #search(pod: PodInfo, tryNominated = true): Search {
    const prepared = this.#prepare(pod);
    const verdicts = new Map<NodeInfo, Verdict>();
    if ('rejection' in prepared) {
      if (prepared.rejection.resolvable) for (const node of this.#snapshot.nodes()) verdicts.set(node, prepared);
      return { filters: [], feasible: [], verdicts, evaluated: 0, outright: prepared };
    }
    const { filters, nodeNames } = prepared;
    const nominated = tryNominated ? pod.pod.status?.nominatedNodeName ?? this.#options.nominator.nodeOf(pod.uid) : undefined;
    const first = nominated ? this.#snapshot.node(nominated) : undefined;
    if (first && !checkNode(filters, pod, first, this.#options.nominator)) return { filters, feasible: [first], verdicts, evaluated: 1, nominated: true };
    const feasible = this.#feasible;
    feasible.length = 0;
    const startedAt = performance.now();
    const evaluated = this.#look(pod, filters, nodeNames, verdicts);
    this.#onStep?.('Filter', 'Success', startedAt);
    return { filters, feasible, verdicts, evaluated, restrictedBy: nodeNames ? 'NodeAffinity' : undefined };
  }

  /** After extenders have answered: the nodes that they let pass and that still do. */
  #lookAgain(pod: PodInfo, { evaluated, verdicts, restrictedBy }: Search, { passed, failed }: Answers): Search {
    const prepared = this.#prepare(pod);
    if ('rejection' in prepared) return { filters: [], feasible: [], verdicts, evaluated, outright: prepared };
    const { filters } = prepared;
    const feasible: NodeInfo[] = [];
    for (const [node, rejection] of failed) verdicts.set(node, { plugin: extenderPlugin, rejection });
    for (const { name } of passed) {
      const node = this.#snapshot.node(name);
      const verdict = node && checkNode(filters, pod, node, this.#options.nominator);
      if (verdict) verdicts.set(node, verdict);
      else if (node) feasible.push(node);
    }
    return { filters, feasible, verdicts, evaluated, restrictedBy };
  }

  #place(pod: PodInfo, { filters, feasible, evaluated }: Search, extra?: ReadonlyMap<string, number>): Outcome {
    const node = feasible.length === 1 ? feasible[0] : this.#best(pod, feasible, filters, extra);
    if (!node) throw new Error('scoring lost every node');
    const startedAt = performance.now();
    const reservations = filters.flatMap(({ step }) => step.reserve?.(node) ?? []);
    this.#onStep?.('Reserve', 'Success', startedAt);
    return { kind: 'placed', node, evaluated, reservations };
  }

  #prepare(pod: PodInfo): { filters: Filter[]; nodeNames: ReadonlySet<string> | undefined } | Verdict {
    const startedAt = performance.now();
    const filters: Filter[] = [];
    let nodeNames: ReadonlySet<string> | undefined;
    for (const plugin of this.#options.plugins) {
      const step = plugin.prepareFilter?.(pod, this.#options.context);
      if (!step) continue;
      if (isRejection(step)) {
        this.#onStep?.('PreFilter', step.resolvable ? 'Unschedulable' : 'UnschedulableAndUnresolvable', startedAt);
        return { plugin, rejection: step };
      }
      if (step.nodeNames) nodeNames = step.nodeNames;
      filters.push({ plugin, step });
    }
    this.#onStep?.('PreFilter', 'Success', startedAt);
    return { filters, nodeNames };
  }

  /** Looks until enough nodes pass; fills #feasible and `verdicts`, returns how many nodes were looked at. */
  #look(pod: PodInfo, filters: readonly Filter[], nodeNames: ReadonlySet<string> | undefined, verdicts: Map<NodeInfo, Verdict>): number {
    const feasible = this.#feasible;
    const look = (node: NodeInfo | undefined): void => {
      const verdict = node && checkNode(filters, pod, node, this.#options.nominator);
      if (verdict) verdicts.set(node, verdict);
      else if (node) feasible.push(node);
    };
    if (nodeNames) {
      for (const name of nodeNames) look(this.#snapshot.node(name));
      return nodeNames.size;
    }
    const nodes = this.#snapshot.nodes();
    const wanted = feasibleNodesToFind(this.#options.percentageOfNodesToScore ?? 0, nodes.length);
    const start = this.#start % nodes.length;
    let looked = 0;
    for (; looked < nodes.length && feasible.length < wanted; looked += 1) look(nodes[(start + looked) % nodes.length]);
    this.#start = (start + looked) % nodes.length;
    return looked;
  }

  #best(pod: PodInfo, nodes: readonly NodeInfo[], filters: readonly Filter[], extra?: ReadonlyMap<string, number>): NodeInfo | undefined {
    if (this.#total.length < nodes.length) {
      this.#total = new Float64Array(nodes.length * 2);
      this.#scores = new Float64Array(nodes.length * 2);
    }
    const total = this.#total.subarray(0, nodes.length).fill(0);
    const scores = this.#scores.subarray(0, nodes.length);
    const startedAt = performance.now();
    const steps = this.#scoring;
    steps.length = 0;
    for (const plugin of this.#options.plugins) {
      const step = plugin.prepareScore?.(pod, this.#options.context, nodes);
      if (step) steps.push([step, plugin.weight ?? 1]);
    }
    this.#onStep?.('PreScore', 'Success', startedAt);
    const scoredFrom = performance.now();
    for (const [step, weight] of steps) {
      for (let i = 0; i < nodes.length; i += 1) {
        const node = nodes[i];
        if (node) scores[i] = step.score(node);
      }
      step.normalize?.(scores, nodes);
      for (let i = 0; i < nodes.length; i += 1) total[i] = (total[i] ?? 0) + weight * (scores[i] ?? 0);
    }
    for (const { step } of filters) {
      if (!step.score) continue;
      for (const [i, node] of nodes.entries()) total[i] = (total[i] ?? 0) + step.score(node);
    }
    this.#onStep?.('Score', 'Success', scoredFrom);
    if (extra) for (const [i, node] of nodes.entries()) total[i] = (total[i] ?? 0) + (extra.get(node.name) ?? 0);
    let best = 0;
    let ties = 1;
    for (let i = 1; i < nodes.length; i += 1) {
      const score = total[i] ?? 0;
      const top = total[best] ?? 0;
      if (score > top) {
        best = i;
        ties = 1;
      } else if (score === top) {
        ties += 1;
        if (this.#random() * ties < 1) best = i;
      }
    }
    return nodes[best];
  }

  #fail({ filters, verdicts, outright, restrictedBy }: Search, { message, nominate, victims }: PreemptionResult): Outcome {
    const nodes = this.#snapshot.size;
    const after = message === '' ? '' : ` ${message}`;
    if (outright) {
      // One plugin rejected the pod whatever the node.
      const { plugin, rejection } = outright;
      return { kind: 'unschedulable', message: `0/${nodes} nodes are available: ${rejection.reasons.join(', ')}.${after}`, rejectors: new Set([plugin.name]), nominate, victims };
    }
    const rejectors = new Set<string>();
    const counts = new Map<string, number>();
    for (const { plugin, rejection } of verdicts.values()) {
      rejectors.add(plugin.name);
      for (const reason of rejection.reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
    if (restrictedBy && verdicts.size < nodes) {
      rejectors.add(restrictedBy);
      counts.set(`node(s) didn't satisfy plugin(s) [${restrictedBy}]`, nodes - verdicts.size);
    }
    if (rejectors.size === 0) rejectors.add(extenderPlugin.name); // left out without a word
    return { kind: 'unschedulable', message: `${fitMessage(nodes, counts)}${after}`, rejectors, nominate, victims, relief: victims ? undefined : reliefOf(filters) };
  }

  #preemptionInput(pod: PodInfo, { filters, verdicts }: Search): PreemptionInput | undefined {
    const { nominator, disruptionBudgets, preemption: args } = this.#options;
    return args && { pod, filters, verdicts, snapshot: this.#snapshot, nominator, budgets: disruptionBudgets(), random: this.#random, args, relief: reliefOf(filters) !== undefined };
  }
  #preempt(pod: PodInfo, search: Search): PreemptionResult {
    const input = this.#preemptionInput(pod, search);
    if (!input) return noPreemption;
    const startedAt = performance.now();
    const result = preempt(input);
    this.#onStep?.('PostFilter', result.victims ? 'Success' : 'Unschedulable', startedAt);
    return result;
  }
}

/** `0/3 nodes are available: 1 a, 2 b.`: entries sorted as text, count first. */
export function fitMessage(nodes: number, counts: ReadonlyMap<string, number>): string {
  const entries = [...counts].map(([reason, count]) => `${count} ${reason}`).sort((a, b) => (a < b ? -1 : 1));
  return `0/${nodes} nodes are available:${entries.length > 0 ? ` ${entries.join(', ')}.` : ''}`;
}

function reliefOf(filters: readonly Filter[]): Relief | undefined {
  for (const { step } of filters) {
    const relief = step.relieve?.();
    if (relief) return relief;
  }
  return undefined;
}

function firstRejection(filters: readonly Filter[], node: NodeInfo): Verdict | undefined {
  for (const { plugin, step } of filters) {
    const rejection = step.filter(node);
    if (rejection) return { plugin, rejection };
  }
  return undefined;
}

/** The first plugin that rejects the node, with room left for pods that were nominated to it and stand before this one. */
export function checkNode(filters: readonly Filter[], pod: PodInfo, node: NodeInfo, nominator: Nominator): Verdict | undefined {
  const ahead = nominator.ahead(pod, node.name).filter((other) => !node.pods.has(other.uid));
  if (ahead.length > 0) {
    for (const other of ahead) addTo(filters, other, node);
    const verdict = firstRejection(filters, node);
    for (const other of ahead) removeFrom(filters, other, node);
    if (verdict) return verdict;
  }
  // Also without them: they may never arrive, and affinity to them must not count.
  return firstRejection(filters, node);
}

export function addTo(filters: readonly Filter[], pod: PodInfo, node: NodeInfo): void {
  node.add(pod);
  for (const { step } of filters) step.add?.(pod, node);
}
export function removeFrom(filters: readonly Filter[], pod: PodInfo, node: NodeInfo): void {
  node.remove(pod.uid);
  for (const { step } of filters) step.remove?.(pod, node);
}
