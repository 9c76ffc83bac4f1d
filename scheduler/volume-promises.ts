// Volumes and nodes that claims were promised by pods on their way to a node, before the API server shows it: pods that are looked at
// meanwhile must not take the same volume, nor the same claim to another node. Upstream: volumebinding's assume caches.

export class VolumePromises {
  /** Volume to the uid of its claim. */
  readonly #volumes = new Map<string, { claim: string; pods: Set<string> }>();
  /** Uid of a claim to the node that its volume is to be made on. */
  readonly #nodes = new Map<string, { node: string; pods: Set<string> }>();

  claimOf(volume: string): string | undefined {
    return this.#volumes.get(volume)?.claim;
  }
  nodeOf(claim: string): string | undefined {
    return this.#nodes.get(claim)?.node;
  }
  promiseVolume(pod: string, volume: string, claim: string): void {
    const known = this.#volumes.get(volume);
    if (known?.claim === claim) known.pods.add(pod);
    else this.#volumes.set(volume, { claim, pods: new Set([pod]) });
  }
  promiseNode(pod: string, claim: string, node: string): void {
    const known = this.#nodes.get(claim);
    if (known?.node === node) known.pods.add(pod);
    else this.#nodes.set(claim, { node, pods: new Set([pod]) });
  }
  /** What only this pod held is free again; called once the API server shows it, or nothing came of it. */
  release(pod: string): void {
    for (const map of [this.#volumes, this.#nodes]) {
      for (const [key, { pods }] of map) if (pods.delete(pod) && pods.size === 0) map.delete(key);
    }
  }
}
