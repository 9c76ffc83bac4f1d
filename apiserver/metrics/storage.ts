// Measures a store from outside, whichever engine it is, under the names that dashboards know: etcd_*. Upstream: storage/etcd3/metrics.
import type { Storage } from '../storage/storage.ts';
import { HistogramCell } from '#machinery/base/metrics.ts';
import type { Registry } from '#machinery/base/metrics.ts';

const bounds = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];

/** Group and resource of what is stored under a prefix, for the labels; undefined for what is no resource. */
export type ResourceOf = (key: string) => { group: string; resource: string } | undefined;

interface Operation { name: string; key: string; duration: HistogramCell; errors: number }

export function measureStorage(storage: Storage, registry: Registry, resourceOf: ResourceOf): Storage {
  const operations = new Map<string, Map<string, Operation>>();
  const events = new Map<string, { key: string; count: number }>();
  const labels = ['operation', 'group', 'resource'];

  // Labels are looked up by the scrape: the first reads come before anybody knows what is stored where.
  const merged = (): Iterable<{ values: string[]; duration: HistogramCell; errors: number }> => {
    const found = new Map<string, { values: string[]; duration: HistogramCell; errors: number }>();
    for (const byFolder of operations.values()) {
      for (const { name, key, duration, errors } of byFolder.values()) {
        const { group = '', resource = '' } = resourceOf(key) ?? {};
        const one = found.get(`${name} ${resource}.${group}`) ?? { values: [name, group, resource], duration: new HistogramCell(bounds), errors: 0 };
        found.set(`${name} ${resource}.${group}`, one);
        one.duration.merge(duration);
        one.errors += errors;
      }
    }
    return found.values();
  };
  registry.readHistograms({ name: 'etcd_request_duration_seconds', help: 'Time of a request to the store, by operation and what is stored.', stability: 'ALPHA', labels },
    () => [...merged()].map(({ values, duration }) => [values, duration]));
  registry.read({ name: 'etcd_requests_total', help: 'Requests to the store.', stability: 'ALPHA', labels }, 'counter',
    () => [...merged()].map(({ values, duration }) => [values, duration.count]));
  registry.read({ name: 'etcd_request_errors_total', help: 'Requests to the store that failed.', stability: 'ALPHA', labels }, 'counter',
    () => [...merged()].filter(({ errors }) => errors > 0).map(({ values, errors }) => [values, errors]));
  registry.read({ name: 'apiserver_storage_events_received_total', help: 'Changes that the store told of.', stability: 'BETA', labels: ['group', 'resource'] }, 'counter', () => {
    const found = new Map<string, [string[], number]>();
    for (const { key, count } of events.values()) {
      const { group = '', resource = '' } = resourceOf(key) ?? {};
      found.set(`${resource}.${group}`, [[group, resource], count + (found.get(`${resource}.${group}`)?.[1] ?? 0)]);
    }
    return found.values();
  });

  function operation(name: string, key: string): Operation {
    let byFolder = operations.get(name);
    if (!byFolder) operations.set(name, byFolder = new Map());
    const folder = folderOf(key);
    let found = byFolder.get(folder);
    if (!found) byFolder.set(folder, found = { name, key: folder, duration: new HistogramCell(bounds), errors: 0 });
    return found;
  }
  async function measured<T>(name: string, key: string, work: Promise<T>): Promise<T> {
    const started = performance.now();
    const one = operation(name, key);
    try {
      return await work;
    } catch (error) {
      one.errors += 1;
      throw error;
    } finally {
      one.duration.observe((performance.now() - started) / 1000);
    }
  }
  function count(key: string): void {
    const folder = folderOf(key);
    let found = events.get(folder);
    if (!found) events.set(folder, found = { key: folder, count: 0 });
    found.count += 1;
  }

  return {
    engine: storage.engine,
    get: (key) => measured('get', key, storage.get(key)),
    range: (options) => measured('list', options.prefix, storage.range(options)),
    put: (key, value, options) => measured(options.expected === 0n ? 'create' : 'update', key, storage.put(key, value, options)),
    delete: (key, options) => measured('delete', key, storage.delete(key, options)),
    ...(storage.isStale ? { isStale: (key: string) => measured('get', key, storage.isStale?.(key) ?? Promise.resolve(false)) } : {}),
    revision: () => storage.revision(),
    async *watch(prefix, afterRevision, signal) {
      for await (const batch of storage.watch(prefix, afterRevision, signal)) {
        for (const event of batch.events) count(event.key);
        yield batch;
      }
    },
    compact: (revision) => storage.compact(revision),
    compactedRevision: () => storage.compactedRevision(),
    ping: (signal) => storage.ping(signal),
    close: () => storage.close(),
  };
}

/**
 * What is before the last part but one at most: `/registry/pods/`, `/registry/services/specs/`, `/registry/GROUP/RESOURCE/`. Namespaces
 * are cut off where they can be told, and the number of folders is bounded: a key in a folder too many counts for `/registry/`.
 */
const folders = new Set<string>();
const maxFolders = 1000;
function folderOf(key: string): string {
  const first = key.indexOf('/', 1);
  const second = key.indexOf('/', first + 1);
  const name = key.slice(0, second < 0 ? key.length : second + 1);
  // Two parts name a resource where the first is a group, and for what shares the folder of services.
  const third = second >= 0 && (name.endsWith('/services/') || name.includes('.')) ? key.indexOf('/', second + 1) : -1;
  const folder = third < 0 ? name : key.slice(0, third + 1);
  if (folders.has(folder)) return folder;
  if (folders.size >= maxFolders) return '/registry/';
  folders.add(folder);
  return folder;
}
