// Which numbers of a range are taken, as one stored object under compare-and-set: however many API servers give them out, none
// comes twice. The object is upstream's RangeAllocation (registry/core/service/allocator/storage), so that both read the other's.
import { internalError } from '#machinery/api/status.ts';
import { rangeKey } from '../storage/keys.ts';
import type { Storage } from '../storage/storage.ts';

/** Offsets from the range's first number. */
export type Taken = Set<number>;

export interface RangeAllocation {
  /**
   * Runs `work` on what is taken and stores what it changed; again on newer state when another server was faster, so it must
   * remember nothing of a run before, and throw before it changes anything. Calls that come together share a write. Rejects
   * when nothing is stored yet, and with StorageUnavailableError when nobody knows whether the change was stored.
   */
  change<T>(work: (taken: Taken) => T): Promise<T>;
  /** `revision` is for `replace`; `range` as stored, undefined when nothing is: another server may have other flags. */
  read(): Promise<{ range: string | undefined; taken: Taken; revision: bigint }>;
  /** The whole allocation anew. False: it was changed since it was read. */
  replace(taken: ReadonlySet<number>, expected: bigint): Promise<boolean>;
}

interface Stored { range: string; taken: Taken; revision: bigint }
interface Change { work: (taken: Taken) => unknown; resolve: (value: unknown) => void; reject: (error: unknown) => void }
type Answer = { value: unknown } | { error: unknown };

const maxAttempts = 100;
const protobufMark = Buffer.from('k8s\0');

/** `name`: `servicenodeports`; `range`: `30000-32767`. */
export function createRangeAllocation(name: string, range: string, storage: () => Storage): RangeAllocation {
  const key = rangeKey(name);
  let waiting: Change[] = [];
  let running = false;
  let known: Stored | undefined;

  async function load(): Promise<Stored | undefined> {
    const { value } = await storage().get(key);
    return value && { ...await decode(value.value), revision: value.modRevision };
  }

  /** One round: every change that waits, in one write. */
  async function apply(changes: readonly Change[]): Promise<Answer[]> {
    known ??= await load();
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      if (known === undefined) throw internalError(`cannot allocate resources of type ${name} at this time`);
      if (known.range !== range) throw internalError(`${name}: ${range} is configured, ${known.range} is stored; another API server has other flags`);
      const taken: Taken = new Set(known.taken);
      const answers = changes.map(({ work }): Answer => {
        try {
          return { value: work(taken) };
        } catch (error) {
          return { error };
        }
      });
      if (same(taken, known.taken)) {
        // Nothing to write, but what is known may be old, and a refusal has to be true now.
        const now = await load();
        const isCurrent = now?.revision === known.revision;
        known = now;
        if (isCurrent) return answers;
        continue;
      }
      const result = await storage().put(key, encode(range, taken), { expected: known.revision });
      if (result.ok) {
        known = { range, taken, revision: result.revision };
        return answers;
      }
      known = result.current && { ...await decode(result.current.value), revision: result.current.modRevision };
    }
    throw internalError(`${name}: too many servers change the allocation at once; try again`);
  }

  async function work(): Promise<void> {
    running = true;
    await Promise.resolve(); // whoever asks in this turn goes along
    while (waiting.length > 0) {
      const changes = waiting;
      waiting = [];
      try {
        for (const [index, answer] of (await apply(changes)).entries()) {
          if ('error' in answer) changes[index]?.reject(answer.error);
          else changes[index]?.resolve(answer.value);
        }
      } catch (error) {
        known = undefined; // the write may have happened
        for (const change of changes) change.reject(error);
      }
    }
    running = false;
  }

  return {
    change<T>(change: (taken: Taken) => T): Promise<T> {
      return new Promise<T>((resolve, reject) => {
        waiting.push({ work: change, resolve: resolve as (value: unknown) => void, reject }); // the value is that of this very `change`
        if (!running) work().catch(reject);
      });
    },
    async read() {
      const stored = await load();
      return { range: stored?.range, taken: stored?.taken ?? new Set(), revision: stored?.revision ?? 0n };
    },
    replace: async (taken, expected) => (await storage().put(key, encode(range, taken), { expected })).ok,
  };
}

function same(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  return a.size === b.size && [...a].every((offset) => b.has(offset));
}

/** `data`: a bitmap, as a big-endian number without leading zeros. */
export function encode(range: string, taken: ReadonlySet<number>): Buffer {
  const length = taken.size === 0 ? 0 : (Math.max(...taken) >> 3) + 1;
  const data = Buffer.alloc(length);
  for (const offset of taken) {
    const at = length - 1 - (offset >> 3);
    data[at] = (data[at] ?? 0) | (1 << (offset & 7));
  }
  return Buffer.from(JSON.stringify({ kind: 'RangeAllocation', apiVersion: 'v1', metadata: {}, range, data: data.toString('base64') }));
}

/** Also what another server stored as protobuf. */
export async function decode(value: Buffer): Promise<{ range: string; taken: Taken }> {
  const isProtobuf = value.subarray(0, protobufMark.length).equals(protobufMark);
  const object: unknown = isProtobuf ? (await (await import('#machinery/schema/protobuf.ts')).loadProtobuf()).decode(value) : JSON.parse(value.toString());
  const { range, data } = object as { range?: unknown; data?: unknown }; // checked next
  if (typeof range !== 'string' || (typeof data !== 'string' && data !== undefined && data !== null)) throw new Error('a stored RangeAllocation cannot be read');
  const taken: Taken = new Set();
  for (const [index, byte] of Buffer.from(data ?? '', 'base64').reverse().entries()) {
    for (let bit = 0; bit < 8; bit += 1) if (byte & (1 << bit)) taken.add(index * 8 + bit);
  }
  return { range, taken };
}
