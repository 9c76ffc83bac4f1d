// A store in memory for unit tests of those who keep keys of their own in it. It differs from the engines: no history, watches,
// pages or times to live. Engines are tested with suite.ts, never with this.
import type { Storage, StoredValue, WriteOptions, WriteResult } from './storage.ts';

export type FakeStorage = Pick<Storage, 'engine' | 'get' | 'range' | 'put' | 'delete' | 'revision'>;

export function createFakeStorage(): FakeStorage {
  const values = new Map<string, StoredValue>();
  let revision = 1n;

  function write(key: string, { expected }: Pick<WriteOptions, 'expected'>, value: Buffer | undefined): WriteResult {
    const current = values.get(key);
    if ((current?.modRevision ?? 0n) !== expected) return { ok: false, current };
    revision += 1n;
    if (value === undefined) values.delete(key);
    else values.set(key, { key, value, createRevision: current?.createRevision ?? revision, modRevision: revision });
    return { ok: true, revision };
  }

  return {
    engine: 'etcd',
    get: async (key) => ({ value: values.get(key), revision }),
    async range({ prefix }) {
      const items = [...values.values()].filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1));
      return { items, revision, more: false, count: items.length };
    },
    put: async (key, value, options) => write(key, options, value),
    delete: async (key, options) => write(key, options, undefined),
    revision: async () => revision,
  };
}
