// The Backend: what parts inside the server use in process, on the very path that requests take.
import type { KubeObject, Stored } from '#machinery/api/object.ts';
import { isConflict } from '#machinery/api/status.ts';
import type { Backend, BackendStore } from '../backend.ts';
import { internalContext } from '../filters/context.ts';
import type { WatchCache } from '../storage/cache.ts';
import type { Storage } from '../storage/storage.ts';
import { deleteOptions } from './options.ts';
import type { Served, ServedResources } from './served.ts';
import type { ObjectStore, Writable, WriteRequest } from './store.ts';
import { copyJson } from '../patch/json-value.ts';

const maxModifyAttempts = 20;

export function createBackend(deps: { resources: ServedResources; cache: WatchCache; storage: Storage; storeOf(served: Served): ObjectStore; signal: AbortSignal }): Backend {
  const { resources, cache, storage } = deps;
  const user = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] };
  const stores = new Map<string, BackendStore>();

  function storeFor(id: string): BackendStore {
    const find = (): ObjectStore => {
      const served = resources.byId(id);
      if (!served?.stored) throw new Error(`no such resource: ${id}`);
      return deps.storeOf(served);
    };
    const request = (namespace: string, name: string, { subresource = '', dryRun = false }: { subresource?: string; dryRun?: boolean } = {}): WriteRequest =>
      ({ context: internalContext(user, deps.signal), namespace, name, subresource, dryRun, options: {} });
    // Everything that was stored has name, uid and resourceVersion.
    const stored = (object: KubeObject): Stored<KubeObject> => object as Stored<KubeObject>;
    const prepared = (store: ObjectStore, object: KubeObject): Writable => {
      const { row, apiVersion } = store.served;
      const { apiVersion: _version, kind: _kind, metadata, ...rest } = copyJson(object);
      const own: Writable = { kind: row.kind, apiVersion, metadata: metadata ?? {}, ...rest };
      row.strategy.default?.(own);
      return own;
    };
    return {
      async get(namespace, name) {
        return stored(copyJson(await find().get(request(namespace, name))));
      },
      async list(namespace = '') {
        await cache.waitForLatest(deps.signal);
        return (find().served.stored?.cache.list(namespace === '' ? {} : { namespace }) ?? []).map(({ object }) => stored(object as KubeObject));
      },
      async create(namespace, object, options) {
        const store = find();
        return stored((await store.create(request(namespace, '', options), prepared(store, object))).object);
      },
      async update(namespace, name, object, options) {
        const store = find();
        return stored((await store.update(request(namespace, name, options), () => prepared(store, object))).object);
      },
      async modify(namespace, name, change, options) {
        const store = find();
        for (let attempt = 1; ; attempt += 1) {
          let unchanged: KubeObject | undefined;
          try {
            const written = await store.update(request(namespace, name, options), (old) => {
              const object = copyJson(old) as Writable;
              if (change(stored(object)) === false) {
                unchanged = old;
                throw new LeaveIt();
              }
              return object;
            });
            return stored(written.object);
          } catch (error) {
            if (error instanceof LeaveIt && unchanged) return stored(unchanged);
            if (!isConflict(error) || attempt >= maxModifyAttempts) throw error;
          }
        }
      },
      async delete(namespace, name, options = {}) {
        const { uid, resourceVersion, gracePeriodSeconds } = options;
        await find().delete(request(namespace, name), deleteOptions(new URLSearchParams(), {
          ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
          preconditions: { ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) },
        }));
      },
    };
  }

  return {
    row: (id) => resources.byId(id)?.row,
    rows: () => resources.rows(),
    store(id) {
      let store = stores.get(id);
      if (!store) stores.set(id, store = storeFor(id));
      return store;
    },
    lookup: (id, namespace, name) => resources.byId(id)?.stored?.cache.get(namespace, name)?.object,
    cached: (id, namespace = '', index) => (resources.byId(id)?.stored?.cache.list({ ...(namespace === '' ? {} : { namespace }), ...(index ? { index } : {}) }) ?? []).map(({ object }) => object),
    refresh: (signal) => cache.waitForLatest(signal),
    cache, storage,
  };
}

class LeaveIt extends Error {}
