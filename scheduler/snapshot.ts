// The cluster as the scheduler sees it: nodes with what runs on them, kept current by single changes. Scheduling cycles are
// synchronous, so this live state is the snapshot; nothing is copied. A pod that was given a node counts there at once
// ("assumed"), before the API server has said so.
import type { Node, Pod, Taint } from '#machinery/api/object.ts';
import { quantityBytes } from '#machinery/api/quantity.ts';
import { createPodInfo, readResources, sameForScheduling, type HostPort, type PodInfo } from './pod-info.ts';
import type { Labels } from './selectors.ts';

const noLabels: Labels = {};
const noTaints: readonly Taint[] = [];

/** A node and the sums over its pods. Numbers are milli-CPU and bytes. */
export class NodeInfo {
  readonly name: string;
  node: Node;
  labels: Labels = noLabels;
  taints: readonly Taint[] = noTaints;
  /** Taints that keep pods away (NoSchedule, NoExecute). */
  hardTaints: readonly Taint[] = noTaints;
  unschedulable = false;
  cpu = 0;
  memory = 0;
  ephemeral = 0;
  maxPods = 0;
  scalars: ReadonlyMap<string, number> | undefined;
  usedCpu = 0;
  usedMemory = 0;
  usedEphemeral = 0;
  scoredCpu = 0;
  scoredMemory = 0;
  readonly usedScalars = new Map<string, number>();
  readonly pods = new Map<string, PodInfo>();
  /** Pods with any inter-pod term, and those with a required anti-affinity term. */
  readonly podsWithAffinity = new Set<PodInfo>();
  readonly podsWithAntiAffinity = new Set<PodInfo>();
  readonly hostPorts: HostPort[] = [];
  readonly images = new Map<string, number>();

  constructor(node: Node) {
    this.name = node.metadata.name ?? '';
    this.node = node;
    this.update(node);
  }

  update(node: Node): void {
    this.node = node;
    this.labels = node.metadata.labels ?? noLabels;
    this.taints = node.spec?.taints ?? noTaints;
    this.hardTaints = this.taints.filter((taint) => taint.effect !== 'PreferNoSchedule');
    this.unschedulable = node.spec?.unschedulable ?? false;
    const { pods = '0', ...resources } = node.status?.allocatable ?? {};
    const allocatable = readResources(resources);
    this.cpu = allocatable.cpu;
    this.memory = allocatable.memory;
    this.ephemeral = allocatable.ephemeral;
    this.scalars = allocatable.scalars;
    this.maxPods = quantityBytes(pods);
    this.images.clear();
    for (const image of node.status?.images ?? []) {
      for (const name of image.names ?? []) this.images.set(name, image.sizeBytes ?? 0);
    }
  }

  add(pod: PodInfo): void {
    this.#count(pod, 1);
    this.pods.set(pod.uid, pod);
    if (pod.hasAffinity) this.podsWithAffinity.add(pod);
    if (pod.antiAffinity.length > 0) this.podsWithAntiAffinity.add(pod);
    for (const port of pod.hostPorts) this.hostPorts.push(port);
  }

  remove(uid: string): PodInfo | undefined {
    const pod = this.pods.get(uid);
    if (!pod) return undefined;
    this.#count(pod, -1);
    this.pods.delete(uid);
    this.podsWithAffinity.delete(pod);
    this.podsWithAntiAffinity.delete(pod);
    for (const port of pod.hostPorts) {
      const at = this.hostPorts.indexOf(port);
      if (at >= 0) this.hostPorts.splice(at, 1);
    }
    return pod;
  }

  #count(pod: PodInfo, sign: 1 | -1): void {
    this.usedCpu += sign * pod.requests.cpu;
    this.usedMemory += sign * pod.requests.memory;
    this.usedEphemeral += sign * pod.requests.ephemeral;
    this.scoredCpu += sign * pod.scoredCpu;
    this.scoredMemory += sign * pod.scoredMemory;
    if (pod.requests.scalars) {
      for (const [name, amount] of pod.requests.scalars) this.usedScalars.set(name, (this.usedScalars.get(name) ?? 0) + sign * amount);
    }
  }
}

/** What changed about a node, in the words of the queue's events. */
export type NodeChange = 'NodeAdd' | 'NodeAllocatable' | 'NodeLabel' | 'NodeTaint' | 'NodeFeature';

export class Snapshot {
  readonly #nodes = new Map<string, NodeInfo>();
  /** Where each known pod counts; `assumed` until the API server confirms. */
  readonly #placed = new Map<string, { node: string; info: PodInfo; assumed: boolean }>();
  /** Pods on nodes that are not (or no longer) there, so that a node that comes back finds them. */
  #order: NodeInfo[] | undefined;
  /** How many nodes have an image, for ImageLocality. */
  readonly #imageNodes = new Map<string, number>();

  get size(): number {
    return this.#nodes.size;
  }
  counts(): { nodes: number; pods: number; assumed_pods: number } {
    let assumed = 0;
    for (const placed of this.#placed.values()) if (placed.assumed) assumed += 1;
    return { nodes: this.#nodes.size, pods: this.#placed.size, assumed_pods: assumed };
  }
  node(name: string): NodeInfo | undefined {
    return this.#nodes.get(name);
  }
  imageNodes(name: string): number {
    return this.#imageNodes.get(name) ?? 0;
  }

  /** Every node, zones taking turns, so that a sample from any start holds all zones (upstream's node tree). */
  nodes(): readonly NodeInfo[] {
    if (this.#order) return this.#order;
    const zones = new Map<string, NodeInfo[]>();
    for (const node of this.#nodes.values()) {
      const zone = `${node.labels['topology.kubernetes.io/region'] ?? ''}/${node.labels['topology.kubernetes.io/zone'] ?? ''}`;
      const list = zones.get(zone);
      if (list) list.push(node);
      else zones.set(zone, [node]);
    }
    const lists = [...zones.values()];
    const order: NodeInfo[] = [];
    for (let i = 0; order.length < this.#nodes.size; i += 1) {
      for (const list of lists) {
        const node = list[i];
        if (node) order.push(node);
      }
    }
    return (this.#order = order);
  }

  /** Adds or updates; says what changed for pods that wait. */
  setNode(node: Node): NodeChange[] {
    const name = node.metadata.name ?? '';
    const known = this.#nodes.get(name);
    if (!known) {
      const info = new NodeInfo(node);
      this.#nodes.set(name, info);
      this.#countImages(info, 1);
      for (const placed of this.#placed.values()) if (placed.node === name) info.add(placed.info);
      this.#order = undefined;
      return ['NodeAdd'];
    }
    const old = known.node;
    if (old.metadata.resourceVersion === node.metadata.resourceVersion && old.metadata.resourceVersion !== undefined) return [];
    this.#countImages(known, -1);
    known.update(node);
    this.#countImages(known, 1);
    const changes: NodeChange[] = [];
    if (!same(old.status?.allocatable, node.status?.allocatable)) changes.push('NodeAllocatable');
    if (!same(old.metadata.labels, node.metadata.labels)) {
      changes.push('NodeLabel');
      this.#order = undefined;
    }
    if (old.spec?.unschedulable !== node.spec?.unschedulable || !same(old.spec?.taints, node.spec?.taints)) changes.push('NodeTaint');
    if (!same(old.status?.declaredFeatures, node.status?.declaredFeatures)) changes.push('NodeFeature');
    return changes;
  }

  deleteNode(name: string): void {
    const node = this.#nodes.get(name);
    if (!node) return;
    this.#countImages(node, -1);
    this.#nodes.delete(name);
    this.#order = undefined;
  }

  #countImages(node: NodeInfo, sign: 1 | -1): void {
    for (const name of node.images.keys()) {
      const count = (this.#imageNodes.get(name) ?? 0) + sign;
      if (count > 0) this.#imageNodes.set(name, count);
      else this.#imageNodes.delete(name);
    }
  }

  /** A pod that has a node according to the API server; confirms an assumed one. How it counted before, and how now. */
  setPod(pod: Pod): { before: PodInfo | undefined; now: PodInfo } {
    const node = pod.spec?.nodeName ?? '';
    const uid = pod.metadata.uid ?? '';
    const placed = this.#placed.get(uid);
    if (placed?.node === node) {
      placed.assumed = false;
      if (sameExceptNode(placed.info.pod, pod)) {
        placed.info.pod = pod;
        return { before: placed.info, now: placed.info };
      }
    }
    if (placed) this.deletePod(uid);
    const now = createPodInfo(pod);
    this.#place(now, node, false);
    return { before: placed?.info, now };
  }
  assume(info: PodInfo, node: string): void {
    this.#place(info, node, true);
  }
  /** Takes an assumed pod back; one that the API server has confirmed stays. */
  forget(uid: string): void {
    if (this.#placed.get(uid)?.assumed) this.deletePod(uid);
  }
  isAssumed(uid: string): boolean {
    return this.#placed.get(uid)?.assumed ?? false;
  }
  deletePod(uid: string): PodInfo | undefined {
    const placed = this.#placed.get(uid);
    if (!placed) return undefined;
    this.#placed.delete(uid);
    this.#nodes.get(placed.node)?.remove(uid);
    return placed.info;
  }
  #place(info: PodInfo, node: string, assumed: boolean): void {
    this.#placed.set(info.uid, { node, info, assumed });
    this.#nodes.get(node)?.add(info);
  }
}

/** The binding sets nodeName (and, in 1.36, no generation); nothing else that matters changes with it. */
function sameExceptNode(before: Pod, now: Pod): boolean {
  if (before.spec?.nodeName === now.spec?.nodeName) return sameForScheduling(before, now);
  return before.spec?.nodeName === undefined
    && sameForScheduling(before, { ...now, spec: now.spec && { ...now.spec, nodeName: undefined } });
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}

/** For the page of the scheduler's own state. */
export function describeNode(node: NodeInfo): { cpu: string; memory: string; pods: string } {
  return { cpu: `${node.usedCpu}m/${node.cpu}m`, memory: `${node.usedMemory}/${node.memory}`, pods: `${node.pods.size}/${node.maxPods}` };
}
