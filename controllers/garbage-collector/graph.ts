// The graph of owners and dependents, kept from metadata alone; no I/O. Each change answers which objects to look at.
// Upstream: pkg/controller/garbagecollector/graph_builder.go.
import type { OwnerReference } from '#machinery/api/object.ts';

export interface Identity { apiVersion: string; kind: string; namespace: string; name: string; uid: string }

/** What the graph needs of an object. */
export interface Observed extends Identity {
  owners: readonly OwnerReference[];
  finalizers: readonly string[];
  deleting: boolean;
}

export interface GraphNode {
  identity: Identity;
  owners: readonly OwnerReference[];
  readonly dependents: Set<GraphNode>;
  /** Named by a dependent, never seen itself. */
  virtual: boolean;
  deleting: boolean;
  /** Foreground deletion: waits until its dependents are gone. */
  deletingDependents: boolean;
  orphaning: boolean;
}

/** UIDs to check for deletion, UIDs whose dependents to set free. */
export interface Work { check: string[]; orphan: string[] }

export const foreground = 'foregroundDeletion';
export const orphan = 'orphan';

export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();

  get size(): number {
    return this.#nodes.size;
  }
  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  /** An object was added or changed. */
  observe(object: Observed): Work {
    const work: Work = { check: [], orphan: [] };
    const { apiVersion, kind, namespace, name, uid } = object;
    const identity = { apiVersion, kind, namespace, name, uid };
    let node = this.#nodes.get(uid);
    if (!node) {
      node = { identity, owners: [], dependents: new Set(), virtual: false, deleting: false, deletingDependents: false, orphaning: false };
      this.#nodes.set(uid, node);
    } else if (node.virtual) {
      // Dependents that named it wrongly (another namespace or kind) are checked: their owner does not exist where they say.
      for (const dependent of node.dependents) if (!names(dependent, identity)) work.check.push(dependent.identity.uid);
      node.identity = identity;
      node.virtual = false;
    }
    this.#relink(node, object.owners, work);
    node.deleting = object.deleting;
    const orphaning = object.deleting && object.finalizers.includes(orphan);
    const waiting = object.deleting && object.finalizers.includes(foreground);
    if (orphaning && !node.orphaning) work.orphan.push(uid);
    else if (waiting && !node.deletingDependents) {
      node.deletingDependents = true;
      for (const dependent of node.dependents) work.check.push(dependent.identity.uid);
      work.check.push(uid);
    }
    node.orphaning = orphaning;
    node.deletingDependents = waiting;
    return work;
  }

  /**
   * An object is gone, or is not where its dependents say. While dependents name it, it stays as a virtual node: should it
   * be seen later after all (they may have looked in the wrong namespace), they are still linked to it.
   */
  remove(uid: string): Work {
    const work: Work = { check: [], orphan: [] };
    const node = this.#nodes.get(uid);
    if (!node) return work;
    const { owners } = node;
    node.owners = [];
    for (const { uid: ownerUid } of owners) {
      const owner = this.#nodes.get(ownerUid);
      if (!owner) continue;
      owner.dependents.delete(node);
      if (owner === node) continue;
      if (owner.deletingDependents) work.check.push(ownerUid);
      this.#drop(owner);
    }
    for (const dependent of node.dependents) work.check.push(dependent.identity.uid);
    Object.assign(node, { virtual: true, deleting: false, deletingDependents: false, orphaning: false });
    this.#drop(node);
    return work;
  }

  #relink(node: GraphNode, next: readonly OwnerReference[], work: Work): void {
    const before = node.owners;
    node.owners = next;
    for (const reference of next) {
      const old = before.find(({ uid }) => uid === reference.uid);
      let owner = this.#nodes.get(reference.uid);
      if (!owner) {
        owner = {
          identity: { apiVersion: reference.apiVersion, kind: reference.kind, namespace: node.identity.namespace, name: reference.name, uid: reference.uid },
          owners: [], dependents: new Set(), virtual: true, deleting: false, deletingDependents: false, orphaning: false,
        };
        this.#nodes.set(reference.uid, owner);
        work.check.push(reference.uid); // is it there at all?
      } else if (!owner.virtual && !old && !names(node, owner.identity)) work.check.push(node.identity.uid);
      owner.dependents.add(node);
      // A reference that came or stopped to block changes what a foreground deletion waits for.
      if (owner.deletingDependents && (!old || old.blockOwnerDeletion !== reference.blockOwnerDeletion)) work.check.push(reference.uid, node.identity.uid);
    }
    for (const { uid } of before) {
      if (next.some((reference) => reference.uid === uid)) continue;
      const owner = this.#nodes.get(uid);
      if (!owner) continue;
      owner.dependents.delete(node);
      if (owner.deletingDependents) work.check.push(uid);
      this.#drop(owner);
    }
  }

  #drop(owner: GraphNode): void {
    if (owner.virtual && owner.dependents.size === 0) this.#nodes.delete(owner.identity.uid);
  }

  /** Dependents that a foreground deletion of the node has to wait for. */
  blocking(node: GraphNode): GraphNode[] {
    return [...node.dependents].filter((dependent) => dependent.owners.some(({ uid, blockOwnerDeletion }) => uid === node.identity.uid && blockOwnerDeletion === true));
  }
}

/** Whether the node's reference fits the owner as it really is; a cluster-scoped owner may be named from any namespace. */
function names(dependent: GraphNode, owner: Identity): boolean {
  const reference = dependent.owners.find(({ uid }) => uid === owner.uid);
  if (!reference) return false;
  return reference.kind === owner.kind && reference.name === owner.name && (owner.namespace === '' || owner.namespace === dependent.identity.namespace);
}
