// What a controller has done but not yet seen in its cache: as long as something is outstanding it must not count and
// create again. Upstream: ControllerExpectations in pkg/controller/controller_utils.go.
const timeoutMs = 5 * 60_000;

export class Expectations {
  readonly #open = new Map<string, { creations: number; deletions: Set<string>; at: number }>();
  readonly #now: () => number;
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }
  expectCreations(key: string, count: number): void {
    this.#open.set(key, { creations: count, deletions: new Set(), at: this.#now() });
  }
  expectDeletions(key: string, objects: Iterable<string>): void {
    this.#open.set(key, { creations: 0, deletions: new Set(objects), at: this.#now() });
  }
  expectBoth(key: string, creations: number, deletions: Iterable<string>): void {
    this.#open.set(key, { creations, deletions: new Set(deletions), at: this.#now() });
  }
  created(key: string, count = 1): void {
    const open = this.#open.get(key);
    if (open) open.creations -= count;
  }
  deleted(key: string, object: string): void {
    this.#open.get(key)?.deletions.delete(object);
  }
  /** Nothing outstanding, or outstanding for so long that the events must have been missed. */
  satisfied(key: string): boolean {
    const open = this.#open.get(key);
    return !open || (open.creations <= 0 && open.deletions.size === 0) || this.#now() - open.at > timeoutMs;
  }
  forget(key: string): void {
    this.#open.delete(key);
  }
}
