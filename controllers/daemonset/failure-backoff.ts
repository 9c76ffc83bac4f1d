// How soon a failed daemon pod may be replaced: a node that refuses a pod would else get a new one at once, for ever.
import type { DaemonSet } from '#machinery/api/object.ts';

const firstMs = 1000;
const maxMs = 15 * 60_000;

export class FailureBackoff {
  readonly #sets = new Map<string, { generation: number; nodes: Map<string, { delayMs: number; at: number }> }>();
  readonly #now: () => number;
  constructor(now: () => number) {
    this.#now = now;
  }
  /** 0: the pod may go now, and the next one on that node waits longer. A new generation of the set starts afresh. */
  waitMs(set: DaemonSet, node: string): number {
    const { uid = '' } = set.metadata;
    const generation = set.status?.observedGeneration ?? 0;
    let entry = this.#sets.get(uid);
    if (entry?.generation !== generation) this.#sets.set(uid, (entry = { generation, nodes: new Map() }));
    const last = entry.nodes.get(node);
    const sinceMs = last ? this.#now() - last.at : Infinity;
    if (last && sinceMs < last.delayMs) return last.delayMs - sinceMs;
    entry.nodes.set(node, { delayMs: last && sinceMs <= 2 * maxMs ? Math.min(maxMs, last.delayMs * 2) : firstMs, at: this.#now() });
    return 0;
  }
  forget(uid: string): void {
    this.#sets.delete(uid);
  }
}
