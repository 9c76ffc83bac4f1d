// What the scheduler needs of a pod, worked out once: requests as numbers, compiled selectors, host ports.
import type { Container, Pod, Toleration } from '#machinery/api/object.ts';
import { quantityBytes, quantityMilli } from '#machinery/api/quantity.ts';
import { compileLabelSelector, compileLabels, compileNodeTerm, type Labels, type NodeTerm, type Selector } from './selectors.ts';

export interface AffinityTerm {
  namespaces: ReadonlySet<string>;
  namespaceSelector: Selector;
  selector: Selector;
  topologyKey: string;
  weight: number;
}
export interface HostPort { protocol: string; ip: string; port: number }

/** Milli-CPU, bytes; whatever else a pod asks for is in `scalars`. */
export interface Requests { cpu: number; memory: number; ephemeral: number; scalars: ReadonlyMap<string, number> | undefined }

export interface PodInfo {
  /** The newest object seen; shared with the informer. */
  pod: Pod;
  readonly uid: string;
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly priority: number;
  readonly terminating: boolean;
  readonly requests: Requests;
  /** Requests as scoring sees them: containers that ask for nothing count as 100m and 200 MiB. */
  readonly scoredCpu: number;
  readonly scoredMemory: number;
  readonly hostPorts: readonly HostPort[];
  readonly tolerations: readonly Toleration[];
  readonly nodeSelector: Selector | undefined;
  readonly requiredNodeTerms: readonly NodeTerm[] | undefined;
  readonly preferredNodeTerms: readonly NodeTerm[];
  readonly affinity: readonly AffinityTerm[];
  readonly antiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly AffinityTerm[];
  readonly preferredAntiAffinity: readonly AffinityTerm[];
  /** Has any inter-pod term at all. */
  readonly hasAffinity: boolean;
}

const none: readonly never[] = [];
const noLabels: Labels = {};
const defaultCpu = 100;
const defaultMemory = 200 * 1024 * 1024;

export function createPodInfo(pod: Pod): PodInfo {
  const { metadata, spec } = pod;
  const namespace = metadata.namespace ?? '';
  const name = metadata.name ?? '';
  const affinity = spec?.affinity;
  const nodeAffinity = affinity?.nodeAffinity;
  const required = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const terms = (list: readonly RawTerm[] | undefined) => list?.map((term) => compileTerm(term, namespace, 0)) ?? none;
  const weighted = (list: readonly { weight: number; podAffinityTerm: RawTerm }[] | undefined) =>
    list?.map((entry) => compileTerm(entry.podAffinityTerm, namespace, entry.weight)) ?? none;
  const info = {
    pod,
    uid: metadata.uid ?? '',
    key: `${namespace}/${name}`,
    namespace,
    name,
    labels: metadata.labels ?? noLabels,
    priority: spec?.priority ?? 0,
    terminating: metadata.deletionTimestamp !== undefined,
    ...podRequests(pod),
    hostPorts: hostPorts(pod),
    tolerations: spec?.tolerations ?? none,
    nodeSelector: spec?.nodeSelector && Object.keys(spec.nodeSelector).length > 0 ? compileLabels(spec.nodeSelector) : undefined,
    requiredNodeTerms: required?.map((term) => compileNodeTerm(term)),
    preferredNodeTerms: nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution?.map((t) => compileNodeTerm(t.preference, t.weight)) ?? none,
    affinity: terms(affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    antiAffinity: terms(affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    preferredAffinity: weighted(affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
    preferredAntiAffinity: weighted(affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
  };
  const count = info.affinity.length + info.antiAffinity.length + info.preferredAffinity.length + info.preferredAntiAffinity.length;
  return { ...info, hasAffinity: count > 0 };
}

/** True when `now` asks for the same as `before` in everything a PodInfo is made of, so that the old one can be kept. */
export function sameForScheduling(before: Pod, now: Pod): boolean {
  return before.metadata.uid === now.metadata.uid
    && before.metadata.generation === now.metadata.generation
    && (now.metadata.generation ?? 1) <= 1 // a resized pod's requests depend on its status too
    && before.metadata.deletionTimestamp === now.metadata.deletionTimestamp
    && before.spec?.nodeName === now.spec?.nodeName
    && sameLabels(before.metadata.labels, now.metadata.labels);
}
export function sameLabels(a: Labels = noLabels, b: Labels = noLabels): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

type RawTerm = NonNullable<NonNullable<NonNullable<NonNullable<Pod['spec']>['affinity']>['podAffinity']>['requiredDuringSchedulingIgnoredDuringExecution']>[number];

function compileTerm(term: RawTerm, namespace: string, weight: number): AffinityTerm {
  const own = !term.namespaces?.length && !term.namespaceSelector;
  return {
    namespaces: new Set(own ? [namespace] : term.namespaces ?? []),
    namespaceSelector: compileLabelSelector(term.namespaceSelector),
    selector: compileLabelSelector(term.labelSelector),
    topologyKey: term.topologyKey,
    weight,
  };
}

/** `namespaceLabels` are those of the pod's namespace. */
export function termMatches(term: AffinityTerm, pod: PodInfo, namespaceLabels: Labels | undefined): boolean {
  return (term.namespaces.has(pod.namespace) || term.namespaceSelector.matches(namespaceLabels ?? noLabels)) && term.selector.matches(pod.labels);
}

function hostPorts(pod: Pod): readonly HostPort[] {
  let ports: HostPort[] | undefined;
  const sidecars = pod.spec?.initContainers?.filter((c) => c.restartPolicy === 'Always') ?? none;
  for (const container of [...sidecars, ...(pod.spec?.containers ?? none)]) {
    for (const port of container.ports ?? none) {
      if (port.hostPort) (ports ??= []).push({ protocol: port.protocol ?? 'TCP', ip: port.hostIP || '0.0.0.0', port: port.hostPort });
    }
  }
  return ports ?? none;
}

class Sum {
  cpu = 0;
  memory = 0;
  ephemeral = 0;
  scalars: Map<string, number> | undefined;
  add(other: Requests): void {
    this.cpu += other.cpu;
    this.memory += other.memory;
    this.ephemeral += other.ephemeral;
    for (const [name, amount] of other.scalars ?? none) this.set(name, (this.scalars?.get(name) ?? 0) + amount);
  }
  atLeast(other: Requests): void {
    this.cpu = Math.max(this.cpu, other.cpu);
    this.memory = Math.max(this.memory, other.memory);
    this.ephemeral = Math.max(this.ephemeral, other.ephemeral);
    for (const [name, amount] of other.scalars ?? none) this.set(name, Math.max(this.scalars?.get(name) ?? 0, amount));
  }
  set(name: string, amount: number): void {
    (this.scalars ??= new Map()).set(name, amount);
  }
}

/** A resource list as numbers; `defaults` stand in for CPU and memory that are not there. */
export function readResources(list: Record<string, string> | undefined, defaults?: { cpu: number; memory: number }): Requests {
  const sum = new Sum();
  if (defaults) {
    sum.cpu = defaults.cpu;
    sum.memory = defaults.memory;
  }
  for (const name in list) {
    const text = list[name] ?? '0';
    if (name === 'cpu') sum.cpu = quantityMilli(text);
    else if (name === 'memory') sum.memory = quantityBytes(text);
    else if (name === 'ephemeral-storage') sum.ephemeral = quantityBytes(text);
    else sum.set(name, quantityBytes(text));
  }
  return sum;
}

function podRequests(pod: Pod): { requests: Requests; scoredCpu: number; scoredMemory: number } {
  const requests = sumRequests(pod);
  const scored = sumRequests(pod, { cpu: defaultCpu, memory: defaultMemory });
  return { requests, scoredCpu: scored.cpu, scoredMemory: scored.memory };
}

/** What a pod needs at its worst moment: containers and sidecars together, or an init container beside the sidecars before it (component-helpers' PodRequests). */
function sumRequests(pod: Pod, defaults?: { cpu: number; memory: number }): Requests {
  const spec = pod.spec;
  const total = new Sum();
  for (const container of spec?.containers ?? none) total.add(containerRequests(pod, container, defaults));
  if (spec?.initContainers?.length) {
    const sidecars = new Sum();
    const peak = new Sum();
    for (const container of spec.initContainers) {
      const own = containerRequests(pod, container, defaults);
      if (container.restartPolicy === 'Always') {
        sidecars.add(own);
        total.add(own);
        peak.atLeast(sidecars);
      } else {
        const moment = new Sum();
        moment.add(sidecars);
        moment.add(own);
        peak.atLeast(moment);
      }
    }
    total.atLeast(peak);
  }
  const podLevel = spec?.resources?.requests;
  if (podLevel) {
    // Pod-level requests replace the sum for the resources they name.
    const { status } = pod;
    const lists = status?.resources ? [isResizeInfeasible(pod) ? undefined : podLevel, status.resources.requests, status.allocatedResources] : [podLevel];
    const level = new Sum();
    for (const list of lists) level.atLeast(readResources(list));
    if (podLevel.cpu !== undefined) total.cpu = level.cpu;
    if (podLevel.memory !== undefined) total.memory = level.memory;
    for (const [name, amount] of level.scalars ?? none) total.set(name, amount);
  }
  if (spec?.overhead) total.add(readResources(spec.overhead));
  return total;
}

/**
 * A bound pod that is being resized holds the larger of what it asks for, what it was promised and what it has; what it asks for in
 * vain does not count (KEP-1287, determineEffectiveRequests). `defaults` stand in for CPU and memory that nobody names.
 */
function containerRequests(pod: Pod, container: Container, defaults?: { cpu: number; memory: number }): Requests {
  const spec = container.resources?.requests;
  const init = pod.spec?.initContainers?.includes(container) ?? false;
  if (!pod.spec?.nodeName || (pod.metadata.generation ?? 1) <= 1 || (init && container.restartPolicy !== 'Always')) return readResources(spec, defaults);
  const status = (init ? pod.status?.initContainerStatuses : pod.status?.containerStatuses)?.find((s) => s.name === container.name);
  if (!status?.resources) return readResources(spec, defaults);
  const lists = [isResizeInfeasible(pod) ? undefined : spec, status.allocatedResources, status.resources.requests];
  const named = (name: string): boolean => lists.some((list) => list?.[name] !== undefined);
  const held = new Sum();
  if (defaults && !named('cpu')) held.cpu = defaults.cpu;
  if (defaults && !named('memory')) held.memory = defaults.memory;
  for (const list of lists) held.atLeast(readResources(list));
  return held;
}

function isResizeInfeasible(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, reason }) => type === 'PodResizePending' && reason === 'Infeasible') ?? false;
}
