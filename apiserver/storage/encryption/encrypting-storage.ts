// A store whose values are encrypted on their way in and decrypted on their way out, by rules that may change while it is open.
import { createLogger } from '#machinery/base/log.ts';
import type { Storage, StorageBatch, StoredValue } from '../storage.ts';
import { ruleFor } from './configuration.ts';
import type { EncryptionRule } from './configuration.ts';
import { encryptedPrefix, identity } from './transformers.ts';

const log = createLogger('encryption');
const sealed = Buffer.from(encryptedPrefix);
const isSealed = (value: Buffer): boolean => value.subarray(0, sealed.length).equals(sealed);
const longestName = 512;

/** `rules` is asked for each value. What cannot be opened is handed on as it is stored, and told: whoever reads it fails on that object alone. */
export function encryptingStorage(storage: Storage, rules: () => readonly EncryptionRule[]): Storage {
  function seal(key: string, value: Buffer): Buffer {
    const [first = identity] = ruleFor(rules(), key)?.transformers ?? [];
    return first.prefix === '' ? value : Buffer.concat([Buffer.from(first.prefix), first.seal(value, key)]);
  }
  function open(key: string, value: Buffer): Buffer {
    if (!isSealed(value)) return value;
    const head = value.toString('latin1', 0, longestName);
    const transformer = ruleFor(rules(), key)?.transformers.find(({ prefix }) => prefix !== '' && head.startsWith(Buffer.from(prefix).toString('latin1')));
    try {
      if (!transformer) throw new Error('no matching prefix found');
      return transformer.open(value.subarray(Buffer.byteLength(transformer.prefix)), key);
    } catch (error) {
      log.error('unable to transform a stored value', { key, error });
      return value;
    }
  }
  const opened = (stored: StoredValue): StoredValue => ({ ...stored, value: open(stored.key, stored.value) });
  return {
    engine: storage.engine,
    async get(key) {
      const { value, revision } = await storage.get(key);
      return { value: value && opened(value), revision };
    },
    async range(options) {
      const found = await storage.range(options);
      return { ...found, items: found.items.map(opened) };
    },
    async put(key, value, options) {
      const result = await storage.put(key, seal(key, value), options);
      return result.ok || !result.current ? result : { ok: false, current: opened(result.current) };
    },
    async delete(key, options) {
      const result = await storage.delete(key, options);
      return result.ok || !result.current ? result : { ok: false, current: opened(result.current) };
    },
    async isStale(key) {
      const { value } = await storage.get(key);
      const prefix = ruleFor(rules(), key)?.transformers[0]?.prefix ?? '';
      return value !== undefined && (prefix === '' ? isSealed(value.value) : !value.value.subarray(0, Buffer.byteLength(prefix)).equals(Buffer.from(prefix)));
    },
    async *watch(prefix, afterRevision, signal) {
      for await (const batch of storage.watch(prefix, afterRevision, signal)) {
        yield { ...batch, events: batch.events.map((event): StorageBatch['events'][number] => (event.type === 'put' ? { ...event, value: open(event.key, event.value) } : event)) };
      }
    },
    revision: () => storage.revision(),
    compact: (revision) => storage.compact(revision),
    compactedRevision: () => storage.compactedRevision(),
    ping: (signal) => storage.ping(signal),
    close: () => storage.close(),
  };
}
