// The served resources: rows of the table joined to their caches, found by path. Custom resources come and go at run time.
import type { KubeObject } from '#machinery/api/object.ts';
import { apiVersionOf } from '#machinery/api/object.ts';
import type { ResourceName } from '#machinery/api/status.ts';
import { resourceId } from '../resources/resource.ts';
import type { ResourceRow } from '../resources/resource.ts';
import type { CachedObject, CachedResource, ResourceCache, WatchCache } from '../storage/cache.ts';

export interface Served {
  readonly row: ResourceRow;
  readonly id: string;
  readonly name: ResourceName;
  readonly apiVersion: string;
  /** Where the objects are; undefined for kinds that are only ever answered. */
  readonly stored: { prefix: string; row: ResourceRow; cache: ResourceCache } | undefined;
  /** A stored state as this version shows it. The very same when nothing differs. */
  view(cached: CachedObject): CachedObject;
  /** An object of this version as it is stored. */
  toStored(object: KubeObject): KubeObject;
  fromStored(object: KubeObject): KubeObject;
}

export class ServedResources {
  readonly #byPath = new Map<string, Served>();
  readonly #byId = new Map<string, Served>();
  #versions = new Set<string>();
  readonly #cache: WatchCache;
  #generation = 0;

  constructor(cache: WatchCache) {
    this.#cache = cache;
  }

  find(group: string, version: string, resource: string): Served | undefined {
    return this.#byPath.get(`${group}/${version}/${resource}`);
  }
  hasVersion(group: string, version: string): boolean {
    return this.#versions.has(`${group}/${version}`);
  }
  /** The version whose objects are stored, else the first that was added. */
  byId(id: string): Served | undefined {
    return this.#byId.get(id);
  }
  all(): Served[] {
    return [...this.#byPath.values()];
  }
  rows(): ResourceRow[] {
    return this.all().map((served) => served.row);
  }
  /** Grows with every change; discovery documents are made anew then. */
  get generation(): number {
    return this.#generation;
  }

  /** Resolves when the caches are filled. A row that is stored elsewhere must come with, or after, the row that stores it. */
  async add(rows: readonly ResourceRow[]): Promise<void> {
    const storing = rows.filter((row) => row.storagePrefix !== undefined && row.storedAs === undefined);
    await Promise.all(storing.map((row) => this.#cache.add(cachedResource(row))));
    for (const row of storing) this.#insert(row, row);
    for (const row of rows) {
      if (row.storagePrefix !== undefined && row.storedAs === undefined) continue;
      const storedRow = row.storedAs === undefined ? undefined : this.#byId.get(row.storedAs)?.stored?.row;
      if (row.storedAs !== undefined && !storedRow) throw new Error(`${resourceId(row)} is stored as ${row.storedAs}, which is not there`);
      this.#insert(row, storedRow);
    }
    this.#changed();
  }

  remove(group: string, version: string, resource: string): void {
    const served = this.find(group, version, resource);
    if (!served) return;
    this.#byPath.delete(`${group}/${version}/${resource}`);
    if (this.#byId.get(served.id) === served) {
      this.#byId.delete(served.id);
      const other = this.all().find((one) => one.id === served.id);
      if (other) this.#byId.set(served.id, other);
      else if (served.stored) this.#cache.remove(served.id);
    }
    this.#changed();
  }

  #changed(): void {
    this.#versions = new Set(this.rows().map((row) => `${row.group}/${row.version}`));
    this.#generation += 1;
  }

  #insert(row: ResourceRow, storedRow: ResourceRow | undefined): void {
    const id = resourceId(row);
    const cache = storedRow && this.#cache.for(resourceId(storedRow));
    const stored = storedRow && cache && storedRow.storagePrefix !== undefined ? { prefix: storedRow.storagePrefix, row: storedRow, cache } : undefined;
    const apiVersion = apiVersionOf(row.group, row.version);
    const same = storedRow === undefined || storedRow === row;
    const storedApiVersion = storedRow && apiVersionOf(storedRow.group, storedRow.version);
    const fromStored = (object: KubeObject): KubeObject => {
      if (same) return object;
      const converted = row.convert ? row.convert.fromStored(object) : object;
      return { ...converted, apiVersion, kind: row.kind };
    };
    const views = new WeakMap<CachedObject, CachedObject>();
    const served: Served = {
      row, id, name: { group: row.group, resource: row.resource }, apiVersion, stored,
      fromStored,
      toStored(object) {
        if (same) return object;
        const converted = row.convert ? row.convert.toStored(object) : object;
        return { ...converted, apiVersion: storedApiVersion, kind: storedRow.kind };
      },
      view(cached) {
        if (same) return cached;
        let view = views.get(cached);
        if (!view) {
          // Converters may work in place, the cached object belongs to everybody.
          const object = fromStored(row.convert ? structuredClone(cached.object) as KubeObject : { ...cached.object });
          view = { ...cached, object, bytes: Buffer.from(JSON.stringify(object)) };
          views.set(cached, view);
        }
        return view;
      },
    };
    if (!row.unserved) this.#byPath.set(`${row.group}/${row.version}/${row.resource}`, served);
    if (!this.#byId.has(id) || same) this.#byId.set(id, served);
  }
}

function cachedResource(row: ResourceRow): CachedResource {
  const apiVersion = apiVersionOf(row.group, row.version);
  return {
    id: resourceId(row),
    prefix: row.storagePrefix ?? '',
    decode: (value, revision) => decodeStored(row, apiVersion, value, revision),
    ...(row.strategy.indexes ? { indexes: row.strategy.indexes } : {}),
  };
}

/** Stored bytes as the storage version serves them. */
export function decodeStored(row: ResourceRow, apiVersion: string, value: Buffer, revision: bigint): KubeObject {
  if (value.length > 4 && value.readUInt32BE(0) === 0x6b387300) throw new Error(`a stored ${row.kind} is in protobuf, which cannot be read yet`);
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = JSON.parse(value.toString()) as KubeObject; // we, or another API server, stored it
  const object: KubeObject = { kind: row.kind, apiVersion, metadata: { ...metadata, resourceVersion: String(revision) }, ...rest };
  row.strategy.default?.(object);
  return object;
}
