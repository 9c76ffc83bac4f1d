// A binding is cut off after each of its writes in turn, by a server that checks versions; the next run ends in the same state.
import { expect } from 'chai';
import type { PersistentVolume, PersistentVolumeClaim } from '#machinery/api/object.ts';
import { conflict } from '#machinery/api/status.ts';
import { annotation } from '#machinery/api/volumes.ts';
import type { Client, Informer, Resource } from '#machinery/client/types.ts';
import type { ControllerContext } from '../context.ts';
import { createPersistentVolumeBinder } from './controller.ts';

type Stored = { metadata: { name?: string; namespace?: string; resourceVersion?: string } };
class Store {
  readonly objects = new Map<string, Stored>();
  readonly handlers = new Map<string, ((change: unknown) => void)[]>();
  version = 0;
  writes = 0;
  /** Writes that still succeed. */
  left = Infinity;

  put(resource: string, given: Stored): Stored {
    const object = { ...structuredClone(given), metadata: { ...given.metadata, resourceVersion: String((this.version += 1)) } };
    const key = `${resource}/${given.metadata.namespace ?? ''}/${given.metadata.name}`;
    const old = this.objects.get(key);
    this.objects.set(key, object);
    for (const handler of this.handlers.get(resource) ?? []) handler(old ? { type: 'updated', old, object } : { type: 'added', object });
    return object;
  }
  get<T>(resource: string, namespace: string, name: string): T | undefined {
    return this.objects.get(`${resource}/${namespace}/${name}`) as T | undefined;
  }
  context(): ControllerContext {
    const indexes = new Map<string, (object: unknown) => string[]>();
    this.handlers.clear();
    const informer = (resource: Resource<unknown>): Informer<unknown> => {
      const list = (): Stored[] => [...this.objects].flatMap(([key, object]) => (key.startsWith(`${resource.resource}/`) ? [object] : []));
      return {
        get: (namespace: string, name: string) => this.get(resource.resource, namespace, name), list,
        addIndex: (name: string, keys: (object: unknown) => string[]) => void indexes.set(`${resource.resource} ${name}`, keys),
        byIndex: (name: string, key: string) => list().filter((object) => indexes.get(`${resource.resource} ${name}`)?.(object).includes(key)),
        onChange: (handler: (change: unknown) => void) => {
          this.handlers.set(resource.resource, [...this.handlers.get(resource.resource) ?? [], handler]);
          for (const object of list()) queueMicrotask(() => handler({ type: 'added', object }));
        },
      } as unknown as Informer<unknown>; // asked for no more
    };
    const update = async ({ resource }: Resource<unknown>, _namespace: string, _name: string, object: Stored): Promise<Stored> => {
      await Promise.resolve();
      if (this.left === 0) throw new Error('the process is gone');
      this.left -= 1;
      this.writes += 1;
      const now = this.get<Stored>(resource, object.metadata.namespace ?? '', object.metadata.name ?? '');
      if (now?.metadata.resourceVersion !== object.metadata.resourceVersion) throw conflict({ group: '', resource }, object.metadata.name ?? '', 'the object has been modified');
      return this.put(resource, object);
    };
    return { informers: { for: informer }, clientFor: () => ({ update }) as unknown as Client, recorderFor: () => ({ event: () => undefined }), now: Date.now } as unknown as ControllerContext; // asked for no more
  }
  async run(until: () => boolean): Promise<void> {
    const stop = new AbortController();
    const running = createPersistentVolumeBinder(this.context()).run(stop.signal);
    for (let round = 0; round < 500 && !until(); round += 1) await new Promise((resolve) => setTimeout(resolve, 1));
    stop.abort();
    await running;
  }
}

function filled(): Store {
  const store = new Store();
  const claims = ['a', 'b'].map((name): PersistentVolumeClaim => ({ metadata: { name, namespace: 'n', uid: name }, spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'x', resources: { requests: { storage: '1Gi' } } }, status: { phase: 'Pending' } }));
  const volumes = ['v', 'w'].map((name): PersistentVolume => ({ metadata: { name, uid: name }, spec: { capacity: { storage: '2Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 'x' }, status: { phase: 'Available' } }));
  for (const object of claims) store.put('persistentvolumeclaims', object);
  for (const object of volumes) store.put('persistentvolumes', object);
  return store;
}
function isWhole(store: Store): boolean {
  const pairs = ['a', 'b'].map((name) => {
    const claim = store.get<PersistentVolumeClaim>('persistentvolumeclaims', 'n', name);
    const volume = store.get<PersistentVolume>('persistentvolumes', '', claim?.spec?.volumeName ?? '');
    return { claim, volume };
  });
  return pairs[0]?.volume !== pairs[1]?.volume && pairs.every(({ claim, volume }) => claim?.status?.phase === 'Bound' && claim.status.capacity?.storage === '2Gi'
    && claim.metadata.annotations?.[annotation.bindCompleted] === 'yes' && volume?.spec?.claimRef?.uid === claim.metadata.uid && volume?.status?.phase === 'Bound');
}

describe('persistentvolume binder', () => {
  it('binds each claim to a volume of its own', async () => {
    const store = filled();
    await store.run(() => isWhole(store));
    expect(isWhole(store)).to.equal(true);
  });
  it('goes on where it was cut off, after any write', async () => {
    for (let writes = 0; writes < 8; writes += 1) {
      const store = filled();
      store.left = writes;
      await store.run(() => store.left === 0);
      expect(isWhole(store), `cut off after ${writes} writes`).to.equal(false);
      store.left = Infinity;
      await store.run(() => isWhole(store));
      expect(isWhole(store), `taken up after ${writes} writes`).to.equal(true);
    }
  });
});
