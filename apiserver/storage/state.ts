// States of objects as the watch cache keeps them: decoded once, serialised once.
import type { KubeObject } from '#machinery/api/object.ts';
import type { CachedObject, CachedResource, CacheEvent } from './cache.ts';
import { leaveManagersInBytes } from './lazy-managers.ts';
import { splitKey } from './sorted-objects.ts';
import type { StoredValue } from './storage.ts';

/** One state of an object. `object` of a state that has gone cold is parsed from the bytes on each use. */
export class State implements CachedObject {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly bytes: Buffer;
  readonly revision: bigint;
  readonly createRevision: bigint;
  #object: Readonly<KubeObject> | undefined;

  constructor(place: { key: string; namespace: string; name: string }, object: KubeObject, revision: bigint, createRevision: bigint) {
    this.key = place.key;
    this.namespace = place.namespace;
    this.name = place.name;
    this.#object = object;
    this.bytes = exactly(JSON.stringify(object));
    leaveManagersInBytes(object, this.bytes);
    this.revision = revision;
    this.createRevision = createRevision;
  }

  get object(): Readonly<KubeObject> {
    return this.#object ?? (JSON.parse(this.bytes.toString()) as KubeObject); // we wrote them from one
  }

  cool(): void {
    this.#object = undefined;
  }
}

/** Throws when the value cannot be read. */
export function decodeState(resource: CachedResource, { key, value, modRevision, createRevision }: StoredValue): State {
  return new State({ key, ...splitKey(resource.prefix, key) }, resource.decode(value, modRevision), modRevision, createRevision);
}

export interface StateEvent extends CacheEvent {
  current: State | undefined;
  previous: State | undefined;
  deleted?: State;
}

/** The deletion as watchers see it: the last state, with the deletion's revision. */
export function deletionOf(previous: State, revision: bigint): StateEvent {
  const { object } = previous;
  const last: KubeObject = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
  return { type: 'delete', revision, current: undefined, previous, deleted: new State(previous, last, revision, previous.createRevision) };
}

/** Not from Buffer's pool: a slab of 8 kB would live as long as the one state in it. */
function exactly(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}
