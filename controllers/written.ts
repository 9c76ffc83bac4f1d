// Writes that the cache has not shown yet. A controller whose objects have fixed names would else make or delete them
// twice. Upstream: pkg/controller/util/consistency.
import type { ObjectMeta } from '#machinery/api/object.ts';
import { keyOf } from '#machinery/client/types.ts';

interface Written { metadata: ObjectMeta }
interface Entry { isSeen: () => boolean; at: number }
/** Then the change was overtaken by one that hides it (an object that was deleted at once). */
const giveUpMs = 30_000;

export class WrittenObjects {
  readonly #open = new Map<string, Map<string, Entry>>();
  readonly #now: () => number;
  constructor(now: () => number) {
    this.#now = now;
  }
  /** `object` is what the server answered to a create or update; `cached` looks it up. */
  wrote(owner: string, kind: string, object: Written, cached: () => Written | undefined): void {
    const version = versionOf(object);
    this.#add(owner, `${kind} ${keyOf(object)}`, () => {
      const there = cached();
      return there !== undefined && versionOf(there) >= version;
    });
  }
  deleted(owner: string, kind: string, object: Written, cached: () => Written | undefined): void {
    const { uid } = object.metadata;
    this.#add(owner, `${kind} ${keyOf(object)}`, () => {
      const there = cached();
      return there === undefined || there.metadata.uid !== uid || there.metadata.deletionTimestamp !== undefined;
    });
  }
  #add(owner: string, key: string, isSeen: () => boolean): void {
    let entries = this.#open.get(owner);
    if (!entries) this.#open.set(owner, (entries = new Map()));
    entries.set(key, { isSeen, at: this.#now() });
  }
  /** The cache shows all that was written for the owner. */
  seen(owner: string): boolean {
    const entries = this.#open.get(owner);
    if (!entries) return true;
    for (const [key, { isSeen, at }] of entries) if (isSeen() || this.#now() - at > giveUpMs) entries.delete(key);
    if (entries.size > 0) return false;
    this.#open.delete(owner);
    return true;
  }
  forget(owner: string): void {
    this.#open.delete(owner);
  }
}

/** Versions of one store count up. */
function versionOf({ metadata: { resourceVersion = '0' } }: Written): bigint {
  return BigInt(resourceVersion);
}
