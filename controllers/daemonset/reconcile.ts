// The decisions of DaemonSets, without I/O: which nodes need a pod, which pods go, what the status says.
// Upstream: pkg/controller/daemon.
import { nodeSelectorMatches } from '#machinery/api/node-selector.ts';
import type { DaemonSet, Node, Pod, PodTemplateSpec, Taint, Toleration } from '#machinery/api/object.ts';
import { scaled } from '../deployment/reconcile.ts';
import { revisionLabel } from '../history/revisions.ts';
import { availableInMs, isReady, isTerminal } from '../pods.ts';
import { tolerates } from '../taint-eviction/reconcile.ts';

export const burst = 250;
const generationAnnotation = 'deprecated.daemonset.template.generation';
const generationLabel = 'pod-template-generation';

type PodSpec = NonNullable<PodTemplateSpec['spec']>;
export type DaemonSetStatus = NonNullable<DaemonSet['status']>;

const added: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];
const addedOnHostNetwork: Toleration = { key: 'node.kubernetes.io/network-unavailable', operator: 'Exists', effect: 'NoSchedule' };

/** Daemons stay and start on nodes in trouble. One that the template has for a limited time becomes unlimited. */
export function tolerationsOf(spec: PodSpec): Toleration[] {
  const result = [...(spec.tolerations ?? [])];
  for (const toleration of spec.hostNetwork ? [...added, addedOnHostNetwork] : added) {
    const at = result.findIndex((each) => each.key === toleration.key && each.effect === toleration.effect && each.operator === toleration.operator && !each.value);
    if (at < 0) result.push(toleration);
    else result[at] = toleration;
  }
  return result;
}

/** Only that node: `metadata.name` takes the place of the template's own node terms, which the node fits already. */
function affinityFor(affinity: PodSpec['affinity'], node: string): PodSpec['affinity'] {
  const required = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }] };
  return { ...affinity, nodeAffinity: { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: required } };
}

/** The set's template for one node and one revision. */
export function templateFor(set: DaemonSet, node: string, hash: string): PodTemplateSpec {
  const { template } = set.spec ?? {};
  const spec: PodSpec = template?.spec ?? { containers: [] };
  const generation = templateGeneration(set);
  const labels = { ...template?.metadata?.labels, ...(generation === undefined ? {} : { [generationLabel]: generation }), [revisionLabel]: hash };
  const affinity = affinityFor(spec.affinity, node);
  return { metadata: { ...template?.metadata, labels }, spec: { ...spec, tolerations: tolerationsOf(spec), ...(affinity ? { affinity } : {}) } };
}
function templateGeneration(set: DaemonSet): string | undefined {
  const text = set.metadata.annotations?.[generationAnnotation];
  return text !== undefined && /^[+-]?\d+$/.test(text) ? String(BigInt(text)) : undefined;
}

/** The node that a pod is on, or is meant for. */
export function nodeOf(pod: Pod): string | undefined {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  for (const term of pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []) {
    for (const { key, operator, values } of term.matchFields ?? []) {
      if (key === 'metadata.name' && operator === 'In') return values?.length === 1 ? values[0] : undefined;
    }
  }
  return undefined;
}

function fitsNode(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (Object.entries(spec.nodeSelector ?? {}).some(([key, value]) => labels[key] !== value)) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || nodeSelectorMatches(required.nodeSelectorTerms, { name: node.metadata.name ?? '', labels });
}

/** `run`: a node without a pod gets one; `keep`: a pod that is there stays. */
export interface Fit { run: boolean; keep: boolean }
export function fit(set: DaemonSet, node: Node): Fit {
  const spec: PodSpec = set.spec?.template?.spec ?? { containers: [] };
  if ((spec.nodeName && spec.nodeName !== node.metadata.name) || !fitsNode(spec, node)) return { run: false, keep: false };
  const tolerations = tolerationsOf(spec);
  const bad = (node.spec?.taints ?? []).filter((taint: Taint) => taint.effect !== 'PreferNoSchedule' && !tolerations.some((each) => tolerates(each, taint)));
  return { run: bad.length === 0, keep: bad.every(({ effect }) => effect !== 'NoExecute') };
}

/** Pods by node; those that are finished and going away need nobody any more. */
export function podsByNode(pods: readonly Pod[]): Map<string, Pod[]> {
  const result = new Map<string, Pod[]>();
  for (const pod of pods) {
    const node = nodeOf(pod);
    if (node === undefined || (isTerminal(pod) && isDeleted(pod))) continue;
    const there = result.get(node);
    if (there) there.push(pod);
    else result.set(node, [pod]);
  }
  return result;
}

const isDeleted = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined;
/** Those with a node first, then the oldest. */
function byPlaceAndAge(a: Pod, b: Pod): number {
  const place = Number(!a.spec?.nodeName) - Number(!b.spec?.nodeName);
  const age = (Date.parse(a.metadata.creationTimestamp ?? '') || 0) - (Date.parse(b.metadata.creationTimestamp ?? '') || 0);
  return place || age || ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1);
}
export function isUpdated(set: DaemonSet, pod: Pod, hash: string): boolean {
  const generation = templateGeneration(set);
  return pod.metadata.labels?.[revisionLabel] === hash || (generation !== undefined && pod.metadata.labels?.[generationLabel] === generation);
}

const isRolling = (set: DaemonSet): boolean => (set.spec?.updateStrategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
function surge(set: DaemonSet, total: number): number {
  return isRolling(set) ? scaled(set.spec?.updateStrategy?.rollingUpdate?.maxSurge, total, true) : 0;
}
function unavailable(set: DaemonSet, total: number): number {
  return isRolling(set) ? scaled(set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, total, true) : 0;
}

export interface View {
  set: DaemonSet;
  fits: ReadonlyMap<string, Fit>;
  pods: ReadonlyMap<string, readonly Pod[]>;
  hash: string;
  now: number;
}
export interface Plan { create: string[]; remove: Pod[] }
const isAvailable = ({ set, now }: View, pod: Pod): boolean => availableInMs(pod, set.spec?.minReadySeconds ?? 0, now) === 0;

/** Brings each node to the pod it needs. `finished` are Failed and Succeeded pods: the caller says which of them may go now. */
export function plan(view: View): Plan & { finished: { pod: Pod; node: string }[] } {
  const result: ReturnType<typeof plan> = { create: [], remove: [], finished: [] };
  for (const [node, { run, keep }] of view.fits) {
    const there = view.pods.get(node);
    if (run && !there) result.create.push(node);
    else if (keep) planKept(view, node, run, there ?? [], result);
    else if (there) result.remove.push(...there.filter((pod) => !isDeleted(pod)));
  }
  // Nobody else removes a pod that waits for a node that is gone.
  for (const [node, there] of view.pods) if (!view.fits.has(node)) result.remove.push(...there.filter((pod) => !pod.spec?.nodeName && !isDeleted(pod)));
  return result;
}
function planKept(view: View, node: string, run: boolean, there: readonly Pod[], result: ReturnType<typeof plan>): void {
  const live = there.filter((pod) => !isDeleted(pod));
  result.finished.push(...live.filter(isTerminal).map((pod) => ({ pod, node })));
  const running = live.filter((pod) => !isTerminal(pod)).sort(byPlaceAndAge);
  if (surge(view.set, 1) === 0) {
    result.remove.push(...running.slice(1));
    return;
  }
  if (running.length <= 1) {
    if (running.length === 0 && run) result.create.push(node);
    return;
  }
  const isNew = (pod: Pod): boolean => pod.metadata.labels?.[revisionLabel] === view.hash;
  const newest = running.find(isNew);
  const old = running.find((pod) => !isNew(pod));
  result.remove.push(...running.filter((pod) => pod !== newest && pod !== old));
  if (newest && old && (!isReady(old) || isAvailable(view, newest))) result.remove.push(old);
}

/** At most one new and one old pod of a node; undefined when there are more (plan() thins them out first). */
function newAndOld({ set, hash }: View, there: readonly Pod[]): { fresh: Pod | undefined; old: Pod | undefined } | undefined {
  const live = there.filter((pod) => !isDeleted(pod));
  const fresh = live.filter((pod) => isUpdated(set, pod, hash));
  return fresh.length > 1 || live.length - fresh.length > 1 ? undefined : { fresh: fresh[0], old: live.find((pod) => !fresh.includes(pod)) };
}

/** The next step of a rolling update: old pods that may go, and nodes that get a second pod (maxSurge). */
export function planUpdate(view: View): Plan {
  const wanted = [...view.fits].filter(([, { run }]) => run).map(([node]) => node);
  const pods = new Map(view.pods);
  for (const node of wanted) if (!pods.has(node)) pods.set(node, []);
  const maxSurge = surge(view.set, wanted.length);
  const maxUnavailable = unavailable(view.set, wanted.length);
  if (maxSurge === 0) return replaceInPlace(view, pods, maxUnavailable === 0 && wanted.length > 0 ? 1 : maxUnavailable);
  return replaceBySurge(view, pods, maxSurge, wanted.length);
}

function replaceInPlace(view: View, pods: ReadonlyMap<string, readonly Pod[]>, maxUnavailable: number): Plan {
  let down = 0;
  const broken: Pod[] = [];
  const candidates: Pod[] = [];
  for (const there of pods.values()) {
    const found = newAndOld(view, there);
    if (!found || !found.fresh === !found.old) down += 1; // neither or both: plan() creates or deletes there
    else if (found.fresh) down += isAvailable(view, found.fresh) ? 0 : 1;
    else if (found.old) {
      if (isAvailable(view, found.old)) candidates.push(found.old);
      else {
        broken.push(found.old); // costs nothing
        down += 1;
      }
    }
  }
  return { create: [], remove: [...broken, ...candidates.slice(0, Math.max(0, maxUnavailable - down))] };
}

function replaceBySurge(view: View, pods: ReadonlyMap<string, readonly Pod[]>, maxSurge: number, wanted: number): Plan {
  let surging = 0;
  let up = 0;
  const remove: Pod[] = [];
  const misplaced: Pod[] = [];
  const free: string[] = [];
  const candidates: string[] = [];
  for (const [node, there] of pods) {
    const found = newAndOld(view, there);
    if (!found) {
      surging += 1;
      continue;
    }
    const { fresh, old } = found;
    const counted = old ?? fresh;
    if (counted && isAvailable(view, counted)) up += 1;
    if (!old) continue;
    const run = view.fits.get(node)?.run ?? false;
    const oldIsUp = isAvailable(view, old);
    if (fresh) {
      if (isAvailable(view, fresh)) remove.push(old);
      else surging += 1;
    } else if (!run) (oldIsUp ? misplaced : remove).push(old);
    else (oldIsUp ? candidates : free).push(node);
  }
  // Where the set should no longer run, a pod serves until enough others do.
  remove.push(...misplaced.slice(0, Math.max(0, up - wanted)));
  return { create: [...free, ...candidates.slice(0, Math.max(0, maxSurge - surging))], remove };
}

/** `observed`: the set's generation was acted on, so it may be told. */
export function calculateStatus(view: View, observed: boolean): { status: DaemonSetStatus; nextAvailableMs: number | undefined } {
  const { set, hash, now } = view;
  let [desired, current, misscheduled, ready, updated, available] = [0, 0, 0, 0, 0, 0];
  for (const [node, { run }] of view.fits) {
    const pod = [...(view.pods.get(node) ?? [])].sort(byPlaceAndAge)[0];
    if (run) desired += 1;
    else if (pod) misscheduled += 1;
    if (!run || !pod) continue;
    current += 1;
    if (isUpdated(set, pod, hash)) updated += 1;
    const inMs = availableInMs(pod, set.spec?.minReadySeconds ?? 0, now);
    if (inMs === undefined) continue;
    ready += 1;
    if (inMs === 0) available += 1;
  }
  const generation = observed ? set.metadata.generation : set.status?.observedGeneration;
  const { collisionCount, conditions } = set.status ?? {};
  return {
    nextAvailableMs: nextAvailableInMs(view),
    status: {
      currentNumberScheduled: current, numberMisscheduled: misscheduled, desiredNumberScheduled: desired, numberReady: ready,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...(updated > 0 ? { updatedNumberScheduled: updated } : {}),
      ...(available > 0 ? { numberAvailable: available } : {}),
      ...(desired > available ? { numberUnavailable: desired - available } : {}),
      ...(collisionCount === undefined ? {} : { collisionCount }),
      ...(conditions && conditions.length > 0 ? { conditions } : {}),
    },
  };
}
/** Also of pods that are not counted: a surging one lets the old one go then. */
function nextAvailableInMs({ set, pods, now }: View): number | undefined {
  const waits = [...pods.values()].flat().map((pod) => (isDeleted(pod) ? 0 : availableInMs(pod, set.spec?.minReadySeconds ?? 0, now) ?? 0)).filter((inMs) => inMs > 0);
  return waits.length > 0 ? Math.min(...waits) : undefined;
}
