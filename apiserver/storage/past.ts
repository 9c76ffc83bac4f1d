// Changes that happened before the cache was filled, read from the store: what clients resume from after a restart.
import type { CachedResource } from './cache.ts';
import { decodeState, deletionOf, type State, type StateEvent } from './state.ts';
import { StorageUnavailableError, type Storage, type StoredValue } from './storage.ts';

const page = 500;
const timeoutMs = 10_000;

/**
 * Changes of a resource after `from`, up to and including `to`, as the cache would have told them, each batch a step on the way.
 * Throws CompactedError when the store no longer knows them. `unreadable` hears of values that cannot be decoded; they count as absent.
 */
export async function* readPast(storage: Storage, resource: CachedResource, from: bigint, to: bigint, unreadable: (item: StoredValue, error: unknown) => void, signal: AbortSignal): AsyncIterable<StateEvent[]> {
  // Only what changed is decoded, from how it was at `from`.
  const before = new Map<string, StoredValue>();
  for (let startKey: string | undefined; ;) {
    const { items, more } = await storage.range({ prefix: resource.prefix, revision: from, limit: page, ...(startKey === undefined ? {} : { startKey }) });
    for (const item of items) before.set(item.key, item);
    const last = items.at(-1);
    if (!more || !last) break;
    startKey = `${last.key}\0`;
    await new Promise((resolve) => setImmediate(resolve)); // requests go on meanwhile
  }
  const states = new Map<string, State | undefined>();
  const decoded = (item: StoredValue): State | undefined => {
    try {
      return decodeState(resource, item);
    } catch (error) {
      unreadable(item, error);
      return undefined;
    }
  };
  const take = (key: string): State | undefined => {
    if (states.has(key)) return states.get(key);
    const item = before.get(key);
    before.delete(key);
    return item && decoded(item);
  };
  const until = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  for await (const batch of storage.watch(resource.prefix, from, until)) {
    const events: StateEvent[] = [];
    for (const event of batch.events) {
      if (event.modRevision > to) break;
      const previous = take(event.key);
      const current = event.type === 'put' ? decoded(event) : undefined;
      states.set(event.key, current);
      if (current) events.push({ type: 'put', revision: event.modRevision, current, previous });
      else if (previous) events.push(deletionOf(previous, event.modRevision));
    }
    yield events;
    if (batch.revision >= to) return;
    await new Promise((resolve) => setImmediate(resolve)); // as above
  }
  signal.throwIfAborted();
  throw new StorageUnavailableError('reading past changes from the store takes too long');
}
