// Pods that preemption made room for: until they are placed, nobody of lower priority may take that room.
import type { PodInfo } from './pod-info.ts';

export class Nominator {
  readonly #byNode = new Map<string, Map<string, PodInfo>>();
  readonly #nodeOf = new Map<string, string>();

  set(info: PodInfo, node: string): void {
    this.delete(info.uid);
    this.#nodeOf.set(info.uid, node);
    const pods = this.#byNode.get(node);
    if (pods) pods.set(info.uid, info);
    else this.#byNode.set(node, new Map([[info.uid, info]]));
  }
  delete(uid: string): void {
    const node = this.#nodeOf.get(uid);
    if (node === undefined) return;
    this.#nodeOf.delete(uid);
    const pods = this.#byNode.get(node);
    pods?.delete(uid);
    if (pods?.size === 0) this.#byNode.delete(node);
  }
  nodeOf(uid: string): string | undefined {
    return this.#nodeOf.get(uid);
  }
  /** Those on the node that `pod` must leave room for. */
  ahead(pod: PodInfo, node: string): PodInfo[] {
    const pods = this.#byNode.get(node);
    if (!pods) return [];
    return [...pods.values()].filter((other) => other.uid !== pod.uid && other.priority >= pod.priority);
  }
  /** Those on the node that a pod of this priority pushes aside. */
  below(priority: number, node: string): PodInfo[] {
    return [...(this.#byNode.get(node)?.values() ?? [])].filter((other) => other.priority < priority);
  }
}
