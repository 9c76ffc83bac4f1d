// What a scheduling plugin is. Plugins are stateless; what they work out for one pod lives in the step they return.
import type { KubeObject, Pod } from '#machinery/api/object.ts';
import type { Client } from '#machinery/client/types.ts';
import type { Devices } from './devices.ts';
import type { PodInfo } from './pod-info.ts';
import type { Labels, Selector } from './selectors.ts';
import type { NodeInfo, Snapshot } from './snapshot.ts';
import type { VolumePromises } from './volume-promises.ts';

/** Why a node (or, from `prepareFilter`, every node) is out. `resolvable`: removing pods from it could help. */
export interface Rejection { readonly reasons: readonly string[]; readonly resolvable: boolean }

export interface FilterStep {
  filter(node: NodeInfo): Rejection | undefined;
  /** Only these nodes can pass; the others are not looked at. */
  readonly nodeNames?: ReadonlySet<string>;
  /** Keep the step's own sums right while preemption tries pods out. */
  add?(pod: PodInfo, node: NodeInfo): void;
  remove?(pod: PodInfo, node: NodeInfo): void;
  /** Adds what it found out while filtering to the node's score, 0 to 100. */
  score?(node: NodeInfo): number;
  /** No node passed: what can be let go so that another attempt finds more, if anything. */
  relieve?(): Relief | undefined;
  /** The pod goes to this node: holds what it needs there beyond the node itself. undefined: nothing. */
  reserve?(node: NodeInfo): Reservation | undefined;
}

/** Lets go of something that the pod has and cannot use; done once the answer is there. */
export type Relief = (client: Client, signal: AbortSignal) => Promise<void>;

/** What a plugin holds for a pod between the choice of its node and the binding. */
export interface Reservation {
  /** The plugin's name. */
  readonly of: string;
  /** Brings it about before the pod is bound; may wait for others. Throws when the pod cannot go there after all. */
  preBind(client: Client, signal: AbortSignal): Promise<void>;
  /** Lets go: the API server shows it now, or it failed. */
  undo(): void;
}

export interface ScoreStep {
  score(node: NodeInfo): number;
  /** Brings all scores to 0..100 in place; without it `score` does so itself. */
  normalize?(scores: Float64Array, nodes: readonly NodeInfo[]): void;
}

/** What happened in the cluster, as far as it can make a waiting pod schedulable. */
export const clusterEvents = [
  'NodeAdd', 'NodeAllocatable', 'NodeLabel', 'NodeTaint', 'NodeFeature', 'PodAdd', 'PodUpdate', 'PodDelete', 'OwnUpdate', 'Volume', 'Device', 'Namespace',
] as const;
export type ClusterEvent = (typeof clusterEvents)[number];

/** What an event is about, as far as it is one thing: a node by its name, a placed pod as it was and as it is. */
export interface Subject { readonly node?: string; readonly before?: PodInfo; readonly now?: PodInfo }

/** What plugins may look at besides the pod: the nodes and a few informers behind plain functions. */
export interface Context {
  readonly snapshot: Snapshot;
  readonly namespaceLabels: (namespace: string) => Labels | undefined;
  /** Requirements of the Services and owners that select the pod, joined; undefined when there are none. */
  readonly defaultSelector: (pod: PodInfo) => Selector | undefined;
  readonly claim: (namespace: string, name: string) => KubeObject | undefined;
  readonly volume: (name: string) => KubeObject | undefined;
  readonly volumesOfClass: (name: string) => readonly KubeObject[];
  readonly storageClass: (name: string) => KubeObject | undefined;
  readonly csiNode: (name: string) => KubeObject | undefined;
  readonly pod: (namespace: string, name: string) => Pod | undefined;
  readonly devices: Devices;
  readonly promises: VolumePromises;
  /** Settles at the next change of any claim or volume, or when a pod is gone; never rejects. */
  readonly volumesChanged: () => Promise<void>;
}

export interface Plugin {
  readonly name: string;
  /** Of the score. */
  readonly weight?: number;
  /** Extension points beside filter and score at which a profile may name it. */
  readonly points?: readonly ('reserve' | 'preBind')[];
  /** Events after which a pod that this plugin rejected is worth another try. */
  readonly wakes: readonly ClusterEvent[];
  /** Its verdict on a node depends on nothing but the pod and that node, so one changed node can be asked directly. */
  readonly perNode?: boolean;
  /** Whether a placed pod that came, changed or went can matter to `pod`, which this plugin rejected; without it, each can. */
  mayHelp?(pod: PodInfo, change: Subject, context: Context): boolean;
  /** undefined: the plugin has nothing to check for this pod. */
  prepareFilter?(pod: PodInfo, context: Context): FilterStep | Rejection | undefined;
  /** `nodes` are those that passed. undefined: the plugin does not score this pod. */
  prepareScore?(pod: PodInfo, context: Context, nodes: readonly NodeInfo[]): ScoreStep | undefined;
}

/** Stands for all extenders where a plugin is named. What they look at is unknown, so any event may help. */
export const extenderPlugin: Plugin = { name: 'Extender', wakes: clusterEvents };

export function isRejection(step: FilterStep | Rejection): step is Rejection {
  return 'reasons' in step;
}

/** Scales so that the highest becomes 100, or with `reverse` 0 (helper.DefaultNormalizeScore). */
export function normalizeDefault(scores: Float64Array, reverse: boolean): void {
  let max = 0;
  for (const score of scores) if (score > max) max = score;
  for (let i = 0; i < scores.length; i += 1) {
    const share = max === 0 ? 0 : Math.trunc((100 * (scores[i] ?? 0)) / max);
    scores[i] = reverse ? 100 - share : share;
  }
}
