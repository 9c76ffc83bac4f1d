// One resource's current objects in key order: a sorted array per namespace, and secondary indexes over all of them.
import { compareKeys } from './keys.ts';
import type { CachedObject, CachedResource } from './cache.ts';

interface Bucket<T> {
  namespace: string;
  /** By name, which is key order inside a namespace. */
  sorted: T[];
  byName: Map<string, T>;
}

export interface ListOptions {
  namespace?: string;
  after?: string;
  limit?: number;
  index?: { name: string; value: string };
  label?: { key: string; value: string };
}

/** Label keys that were selected by get an index of their own, while they are asked for; below this many objects a look at each is as fast. */
const labelIndexes = { fromObjects: 500, most: 4 };
type Index<T> = Map<string, Map<string, T>>;

/** `/registry/pods/a/b` under `/registry/pods/` is namespace a, name b; without a second part the namespace is ''. */
export function splitKey(prefix: string, key: string): { namespace: string; name: string } {
  const slash = key.indexOf('/', prefix.length);
  if (slash < 0) return { namespace: '', name: key.slice(prefix.length) };
  return { namespace: key.slice(prefix.length, slash), name: key.slice(slash + 1) };
}

export class SortedObjects<T extends CachedObject> {
  readonly #resource: CachedResource;
  /** In the order of `namespace/`, so that buckets one after the other are in key order. */
  #buckets: Bucket<T>[] = [];
  readonly #byNamespace = new Map<string, Bucket<T>>();
  readonly #indexes = new Map<string, Index<T>>();
  /** By label key, the one that was asked for last at the end. */
  readonly #labels = new Map<string, Index<T>>();
  #count = 0;

  constructor(resource: CachedResource) {
    this.#resource = resource;
    for (const name of Object.keys(resource.indexes ?? {})) this.#indexes.set(name, new Map());
  }

  get(namespace: string, name: string): T | undefined {
    return this.#byNamespace.get(namespace)?.byName.get(name);
  }

  count(namespace?: string): number {
    return namespace ? (this.#byNamespace.get(namespace)?.sorted.length ?? 0) : this.#count;
  }

  /** Puts the object in, returns the one it replaced. */
  set(object: T): T | undefined {
    const bucket = this.#byNamespace.get(object.namespace) ?? this.#addBucket(object.namespace);
    const previous = bucket.byName.get(object.name);
    bucket.byName.set(object.name, object);
    const { sorted } = bucket;
    const last = sorted.at(-1);
    if (!last || (!previous && compareKeys(last.name, object.name) < 0)) sorted.push(object);
    else sorted.splice(lowerBound(sorted, object.name), previous ? 1 : 0, object);
    if (previous) this.#unindex(previous);
    else this.#count += 1;
    this.#index(object);
    return previous;
  }

  delete(namespace: string, name: string): T | undefined {
    const bucket = this.#byNamespace.get(namespace);
    const previous = bucket?.byName.get(name);
    if (!bucket || !previous) return undefined;
    bucket.byName.delete(name);
    bucket.sorted.splice(lowerBound(bucket.sorted, name), 1);
    if (bucket.sorted.length === 0) {
      this.#byNamespace.delete(namespace);
      this.#buckets = this.#buckets.filter((other) => other !== bucket);
    }
    this.#unindex(previous);
    this.#count -= 1;
    return previous;
  }

  list({ namespace = '', after, limit = Infinity, index, label }: ListOptions = {}): T[] {
    const bound = limit > 0 ? limit : Infinity;
    if (index) {
      const values = this.#indexes.get(index.name);
      if (!values) throw new Error(`${this.#resource.id} has no index ${index.name}`);
      return listed(values.get(index.value), namespace, after, bound);
    }
    if (label) {
      const values = this.#labelIndex(label.key);
      if (values) return listed(values.get(label.value), namespace, after, bound);
      const carrying = this.list({ namespace, ...(after === undefined ? {} : { after }) }).filter((object) => labelOf(object, label.key) === label.value);
      return carrying.length > bound ? carrying.slice(0, bound) : carrying;
    }
    const result: T[] = [];
    const from = after === undefined ? undefined : splitKey(this.#resource.prefix, after);
    for (const bucket of this.#bucketsFrom(namespace, from?.namespace)) {
      const start = from && from.namespace === bucket.namespace ? upperBound(bucket.sorted, from.name) : 0;
      const end = Math.min(bucket.sorted.length, start + bound - result.length);
      if (start === 0 && end === bucket.sorted.length && result.length === 0 && this.#byNamespace.size === 1) return bucket.sorted.slice();
      for (let i = start; i < end; i += 1) result.push(bucket.sorted[i] as T); // below length
      if (result.length >= bound) break;
    }
    return result;
  }

  #bucketsFrom(namespace: string, fromNamespace: string | undefined): Bucket<T>[] {
    if (namespace !== '') {
      const bucket = this.#byNamespace.get(namespace);
      if (!bucket || (fromNamespace !== undefined && compareNamespaces(fromNamespace, namespace) > 0)) return [];
      return [bucket];
    }
    if (fromNamespace === undefined) return this.#buckets;
    return this.#buckets.filter((bucket) => compareNamespaces(bucket.namespace, fromNamespace) >= 0);
  }

  #labelIndex(key: string): Index<T> | undefined {
    let values = this.#labels.get(key);
    if (!values) {
      if (this.#count < labelIndexes.fromObjects) return undefined;
      values = new Map();
      for (const { sorted } of this.#buckets) for (const object of sorted) enter(values, labelOf(object, key), object);
    }
    this.#labels.delete(key);
    this.#labels.set(key, values);
    if (this.#labels.size > labelIndexes.most) for (const longest of this.#labels.keys()) {
      this.#labels.delete(longest);
      break;
    }
    return values;
  }

  #addBucket(namespace: string): Bucket<T> {
    const bucket: Bucket<T> = { namespace, sorted: [], byName: new Map() };
    this.#byNamespace.set(namespace, bucket);
    const at = this.#buckets.findIndex((other) => compareNamespaces(other.namespace, namespace) > 0);
    if (at < 0) this.#buckets.push(bucket);
    else this.#buckets.splice(at, 0, bucket);
    return bucket;
  }

  #index(object: T): void {
    for (const [name, values] of this.#indexes) {
      for (const value of this.#valuesOf(name, object)) enter(values, value, object);
    }
    for (const [key, values] of this.#labels) enter(values, labelOf(object, key), object);
  }

  #unindex(object: T): void {
    for (const [name, values] of this.#indexes) {
      for (const value of this.#valuesOf(name, object)) leave(values, value, object);
    }
    for (const [key, values] of this.#labels) leave(values, labelOf(object, key), object);
  }

  #valuesOf(name: string, object: T): string[] {
    // Objects are shared and never changed, so the values now are the values at indexing.
    return this.#resource.indexes?.[name]?.(object.object) ?? [];
  }
}

function labelOf({ object }: CachedObject, key: string): string | undefined {
  const labels = object.metadata?.labels;
  return labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function enter<T extends CachedObject>(values: Index<T>, value: string | undefined, object: T): void {
  if (value === undefined) return;
  let entries = values.get(value);
  if (!entries) values.set(value, (entries = new Map()));
  entries.set(object.key, object);
}
function leave<T extends CachedObject>(values: Index<T>, value: string | undefined, object: T): void {
  if (value === undefined) return;
  const entries = values.get(value);
  entries?.delete(object.key);
  if (entries?.size === 0) values.delete(value);
}
function listed<T extends CachedObject>(entries: Map<string, T> | undefined, namespace: string, after: string | undefined, limit: number): T[] {
  const result: T[] = [];
  for (const object of entries?.values() ?? []) {
    if (namespace !== '' && object.namespace !== namespace) continue;
    if (after !== undefined && compareKeys(object.key, after) <= 0) continue;
    result.push(object);
  }
  result.sort((a, b) => compareKeys(a.key, b.key));
  return result.length > limit ? result.slice(0, limit) : result;
}

function compareNamespaces(a: string, b: string): number {
  return a === b ? 0 : compareKeys(`${a}/`, `${b}/`);
}

/** First position whose name is not below `name`. */
function lowerBound(sorted: readonly { name: string }[], name: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys((sorted[middle] as { name: string }).name, name) < 0) low = middle + 1; // between the bounds
    else high = middle;
  }
  return low;
}

function upperBound(sorted: readonly { name: string }[], name: string): number {
  const at = lowerBound(sorted, name);
  return sorted[at]?.name === name ? at + 1 : at;
}
