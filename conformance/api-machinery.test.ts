// Watches, chunked lists, Tables, namespaces and the server's version over HTTP, under the titles of upstream's conformance suite.
import type { V1ConfigMap, V1Namespace, V1NamespaceStatus } from '@kubernetes/client-node';
import { assert } from 'chai';
import type { Client, WatchEvent } from '#machinery/client/types.ts';
import { until } from './fixtures/cluster.ts';
import { Api, startHollow } from './fixtures/hollow.ts';
import type { HollowCluster } from './fixtures/hollow.ts';

interface Meta { name: string; resourceVersion: string; labels?: Record<string, string>; annotations?: Record<string, string>; finalizers?: string[]; deletionTimestamp?: string }
interface Item { kind?: string; metadata: Meta; data?: Record<string, string> }
interface Page { kind: string; metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number }; items: Item[] }
interface Failure { reason: string; code: number; message: string; metadata: { continue?: string } }
interface Event { type: string; object: Item }

/** Requests to a hollow cluster, and watches of it. */
class WatchingApi extends Api {
  watch(namespace: string, options: Parameters<Client['watch']>[2]): Watch {
    return new Watch(this.client, namespace, options);
  }
}

/** A watch of ConfigMaps, its events taken one at a time. */
class Watch {
  readonly #stop = new AbortController();
  readonly #events: AsyncIterator<WatchEvent<V1ConfigMap>>;
  #next: Promise<IteratorResult<WatchEvent<V1ConfigMap>>> | undefined;
  constructor(client: Client, namespace: string, options: Parameters<Client['watch']>[2]) {
    const configMaps = { group: '', version: 'v1', resource: 'configmaps', kind: 'ConfigMap', namespaced: true } as const;
    this.#events = client.watch<V1ConfigMap>(configMaps, namespace, options, this.#stop.signal)[Symbol.asyncIterator]();
  }
  /** `ADDED name`, with what the data's `mutation` says. */
  async next(): Promise<Event & { text: string }> {
    const got = await this.#within(3000);
    if (got === undefined) throw new Error('no event came');
    const event = got as unknown as Event; // a ConfigMap as the wire shows it
    return { ...event, text: `${event.type} ${event.object.metadata.name} ${event.object.data?.['mutation'] ?? '-'}` };
  }
  async nothing(): Promise<void> {
    assert.isUndefined(await this.#within(300));
  }
  async #within(ms: number): Promise<WatchEvent<V1ConfigMap> | undefined> {
    this.#next ??= this.#events.next();
    const result = await Promise.race([this.#next, new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), ms))]);
    if (result === undefined) return undefined;
    this.#next = undefined;
    if (result.done) throw new Error('the watch has ended');
    return result.value;
  }
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.resolve(this.#next).catch(() => undefined); // ended by us
  }
}

describe('[sig-api-machinery]', () => {
  let api: WatchingApi;
  let cluster: HollowCluster;
  let namespaces = 0;
  // Of this file's own: compaction has to come soon.
  before(async () => {
    cluster = await startHollow('machinery', ['--etcd-compaction-interval', '4s']);
    api = new WatchingApi(cluster.api.client);
  });
  after(() => cluster?.stop());
  async function namespace(): Promise<string> {
    const name = `machinery-${namespaces += 1}`;
    await api.must('POST', '/api/v1/namespaces', { metadata: { name, labels: { 'made-by': 'machinery' } } });
    return name;
  }
  async function configMaps(): Promise<{ space: string; path: string; make: (name: string, label: string) => Promise<Item>; mutate: (name: string, mutation: number, label?: string) => Promise<Item>; remove: (name: string) => Promise<unknown> }> {
    const space = await namespace();
    const path = `/api/v1/namespaces/${space}/configmaps`;
    return {
      space, path,
      make: (name, label) => api.must('POST', path, { metadata: { name, labels: { watch: label } } }),
      mutate: (name, mutation, label) => api.merge(`${path}/${name}`, { data: { mutation: String(mutation) }, ...(label ? { metadata: { labels: { watch: label } } } : {}) }),
      remove: (name) => api.must('DELETE', `${path}/${name}`),
    };
  }

  describe('Watchers', () => {
    it('should observe add, update, and delete watch notifications on configmaps [Conformance]', async () => {
      const { space, make, mutate, remove } = await configMaps();
      const [a, b, either] = ['watch=a', 'watch=b', 'watch in (a,b)'].map((labelSelector) => api.watch(space, { labelSelector, resourceVersion: '0' })) as [Watch, Watch, Watch];
      const both = async (one: Watch, text: string): Promise<void> => {
        assert.equal((await one.next()).text, text);
        assert.equal((await either.next()).text, text);
      };
      await make('first', 'a');
      await both(a, 'ADDED first -');
      await mutate('first', 1);
      await both(a, 'MODIFIED first 1');
      await mutate('first', 2);
      await both(a, 'MODIFIED first 2');
      await remove('first');
      await both(a, 'DELETED first 2');
      await make('second', 'b');
      await both(b, 'ADDED second -');
      await remove('second');
      await both(b, 'DELETED second -');
      await Promise.all([a.nothing(), b.nothing(), either.nothing()]);
      await Promise.all([a.close(), b.close(), either.close()]);
    });

    it('should be able to start watching from a specific resource version [Conformance]', async () => {
      const { space, make, mutate, remove } = await configMaps();
      await make('x', 'a');
      const { metadata: { resourceVersion } } = await mutate('x', 1);
      await mutate('x', 2);
      await remove('x');
      const watch = api.watch(space, { resourceVersion });
      assert.equal((await watch.next()).text, 'MODIFIED x 2');
      assert.equal((await watch.next()).text, 'DELETED x 2');
      await watch.close();
    });

    it('should be able to restart watching from the last resource version observed by the previous watch [Conformance]', async () => {
      const { space, make, mutate, remove } = await configMaps();
      const first = api.watch(space, { labelSelector: 'watch=a', resourceVersion: '0' });
      await make('x', 'a');
      assert.equal((await first.next()).text, 'ADDED x -');
      await mutate('x', 1);
      const last = await first.next();
      assert.equal(last.text, 'MODIFIED x 1');
      await first.close();
      await mutate('x', 2);
      const second = api.watch(space, { labelSelector: 'watch=a', resourceVersion: last.object.metadata.resourceVersion });
      await remove('x');
      assert.equal((await second.next()).text, 'MODIFIED x 2');
      assert.equal((await second.next()).text, 'DELETED x 2');
      await second.close();
    });

    it('should observe an object deletion if it stops meeting the requirements of the selector [Conformance]', async () => {
      const { space, make, mutate, remove } = await configMaps();
      const watch = api.watch(space, { labelSelector: 'watch=a', resourceVersion: '0' });
      await make('x', 'a');
      assert.equal((await watch.next()).text, 'ADDED x -');
      await mutate('x', 1);
      assert.equal((await watch.next()).text, 'MODIFIED x 1');
      const left = await mutate('x', 2, 'b');
      const gone = await watch.next();
      // As it was when it still matched, with the version of the change that took it away.
      assert.equal(gone.text, 'DELETED x 1');
      assert.equal(gone.object.metadata.resourceVersion, left.metadata.resourceVersion);
      assert.deepEqual(gone.object.metadata.labels, { watch: 'a' });
      await mutate('x', 3);
      await watch.nothing();
      await mutate('x', 4, 'a');
      assert.equal((await watch.next()).text, 'ADDED x 4');
      await mutate('x', 5);
      assert.equal((await watch.next()).text, 'MODIFIED x 5');
      await remove('x');
      assert.equal((await watch.next()).text, 'DELETED x 5');
      await watch.close();
    });

    it('should receive events on concurrent watches in same order [Conformance]', async () => {
      const { space, path } = await configMaps();
      const list = await api.must<Page>('GET', path);
      const versions: string[] = [];
      let stopped = false;
      const writer = async (n: number): Promise<void> => {
        for (let step = 0; !stopped; step += 1) {
          const name = `x-${n}-${step % 5}`;
          await api.call('POST', path, { metadata: { name } });
          await api.call('PATCH', `${path}/${name}`, { data: { mutation: String(step) } }, { 'content-type': 'application/merge-patch+json' });
          if (step % 3 === 0) await api.call('DELETE', `${path}/${name}`);
        }
      };
      const writing = Promise.all([1, 2, 3].map(writer));
      try {
        const first = api.watch(space, { resourceVersion: list.metadata.resourceVersion });
        for (let n = 0; n < 60; n += 1) versions.push((await first.next()).object.metadata.resourceVersion);
        await first.close();
        // Each begins at another of the versions and sees what followed it.
        await Promise.all(versions.slice(0, 30).map(async (resourceVersion, at) => {
          const watch = api.watch(space, { resourceVersion });
          for (const expected of versions.slice(at + 1)) assert.equal((await watch.next()).object.metadata.resourceVersion, expected);
          await watch.close();
        }));
      } finally {
        stopped = true;
        await writing;
      }
    });
  });

  describe('Servers with support for API chunking', () => {
    const total = 400;
    const templates = (space: string): string => `/api/v1/namespaces/${space}/podtemplates`;
    async function fill(): Promise<string> {
      const space = await namespace();
      await Promise.all(Array.from({ length: total }, (_, n) => api.must('POST', templates(space), {
        metadata: { name: `template-${String(n).padStart(4, '0')}` }, template: { spec: { containers: [{ name: 'test', image: 'test2' }] } },
      })));
      return space;
    }

    it('should return chunks of results for list calls [Conformance]', async () => {
      const space = await fill();
      for (const limit of [1 + Math.floor(Math.random() * 40) + 20, total - 1, total]) {
        let found = 0;
        let token = '';
        let version: string | undefined;
        do {
          const page: Page = await api.must<Page>('GET', `${templates(space)}?limit=${limit}${token ? `&continue=${token}` : ''}`);
          version ??= page.metadata.resourceVersion;
          assert.equal(page.metadata.resourceVersion, version);
          assert.isAtMost(page.items.length, limit);
          for (const { metadata: { name } } of page.items) assert.equal(name, `template-${String(found++).padStart(4, '0')}`);
          token = page.metadata.continue ?? '';
          assert.equal(page.metadata.remainingItemCount, token === '' ? undefined : total - found);
          // What is written meanwhile belongs to another version.
          if (token !== '' && found < limit * 2) await api.must('POST', `/api/v1/namespaces/${space}/configmaps`, { metadata: { generateName: 'meanwhile-' } });
        } while (token !== '');
        assert.equal(found, total);
      }
      assert.lengthOf((await api.must<Page>('GET', `${templates(space)}?limit=${total + 1}`)).items, total);
    });

    it('should support continue listing from the last key if the original version has been compacted away, though the list is inconsistent [Slow] [Conformance]', async function () {
      this.timeout(60_000);
      const space = await fill();
      const limit = total / 10;
      const first = await api.must<Page>('GET', `${templates(space)}?limit=${limit}`);
      assert.equal(first.metadata.remainingItemCount, total - limit);
      // A change to what is listed, so that the old version is another one than the newest.
      await api.must('DELETE', `${templates(space)}/template-0000`);
      let failure: Failure | undefined;
      await until('the token expires', async () => {
        // Compaction follows the writes of others; asking again and again must not keep the token alive.
        await api.must('POST', `/api/v1/namespaces/${space}/configmaps`, { metadata: { generateName: 'meanwhile-' } });
        const answer = await api.call<Failure>('GET', `${templates(space)}?limit=${limit}&continue=${first.metadata.continue}`);
        if (answer.status === 410) failure = answer.body;
        else assert.equal(answer.status, 200, answer.body.message);
        return failure !== undefined;
      }, 50_000, 500);
      assert.equal(failure?.reason, 'Expired');
      assert.isNotEmpty(failure?.metadata.continue);
      let found = limit;
      let version: string | undefined;
      for (let token = failure?.metadata.continue; token; ) {
        const page: Page = await api.must<Page>('GET', `${templates(space)}?limit=${limit}&continue=${token}`);
        version ??= page.metadata.resourceVersion;
        assert.equal(page.metadata.resourceVersion, version);
        for (const { metadata: { name } } of page.items) assert.equal(name, `template-${String(found++).padStart(4, '0')}`);
        token = page.metadata.continue;
        assert.equal(page.metadata.remainingItemCount, token ? total - found : undefined);
      }
      assert.notEqual(version, first.metadata.resourceVersion);
      assert.equal(found, total);
    });
  });

  describe('Servers with support for Table transformation', () => {
    it('should return a 406 for a backend which does not implement metadata [Conformance]', async () => {
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { nonResourceAttributes: { verb: 'get', path: '/' } } };
      const answer = await api.call<Failure>('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
      assert.equal(answer.status, 406);
      assert.equal(answer.body.reason, 'NotAcceptable');
    });
  });

  describe('server version', () => {
    it('should find the server version [Conformance]', async () => {
      const version = await api.must<{ major: string; minor: string; gitVersion: string }>('GET', '/version');
      assert.match(version.major, /^\d+$/);
      assert.match(version.minor, /^\d+$/);
      assert.match(version.gitVersion, /^v\d+\.\d+\.\d+/);
    });
  });

  describe('Namespaces [Serial]', () => {
    type Namespace = V1Namespace & { metadata: Meta; status: V1NamespaceStatus };
    async function goes(name: string): Promise<void> {
      await api.must('DELETE', `/api/v1/namespaces/${name}`);
      await until(`namespace ${name} is gone`, async () => (await api.call('GET', `/api/v1/namespaces/${name}`)).status === 404, 30_000);
    }
    async function comesBackEmpty(name: string, resource: string): Promise<void> {
      await goes(name);
      await api.must('POST', '/api/v1/namespaces', { metadata: { name } });
      assert.lengthOf((await api.must<Page>('GET', `/api/v1/namespaces/${name}/${resource}`)).items, 0);
    }

    it('should ensure that all pods are removed when a namespace is deleted [Conformance]', async function () {
      this.timeout(60_000);
      const name = await namespace();
      await until('the default ServiceAccount', async () => (await api.call('GET', `/api/v1/namespaces/${name}/serviceaccounts/default`)).status === 200);
      await api.must('POST', `/api/v1/namespaces/${name}/pods`, { metadata: { name: 'test-pod' }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'nginx', image: 'pause' }] } });
      await until('the pod runs', async () => (await api.must<{ status?: { phase?: string } }>('GET', `/api/v1/namespaces/${name}/pods/test-pod`)).status?.phase === 'Running');
      await comesBackEmpty(name, 'pods');
    });

    it('should ensure that all services are removed when a namespace is deleted [Conformance]', async function () {
      this.timeout(60_000);
      const name = await namespace();
      await api.must('POST', `/api/v1/namespaces/${name}/services`, { metadata: { name: 'test-service' }, spec: { selector: { foo: 'bar' }, ports: [{ port: 80, targetPort: 80 }] } });
      await comesBackEmpty(name, 'services');
    });

    it('should patch a Namespace [Conformance]', async () => {
      const name = await namespace();
      await api.must('PATCH', `/api/v1/namespaces/${name}`, { metadata: { labels: { testLabel: 'testValue' } } }, { 'content-type': 'application/strategic-merge-patch+json' });
      const { metadata: { labels } } = await api.must<Namespace>('GET', `/api/v1/namespaces/${name}`);
      assert.deepInclude(labels, { testLabel: 'testValue', 'made-by': 'machinery', 'kubernetes.io/metadata.name': name });
    });

    it('should apply changes to a namespace status [Conformance]', async () => {
      const name = await namespace();
      const status = `/api/v1/namespaces/${name}/status`;
      assert.equal((await api.must<Namespace>('GET', status)).status.phase, 'Active');
      const condition = (type: string): object => ({ type, status: 'True', reason: 'E2E', message: 'Set from a test' });
      const patched = await api.merge<Namespace>(status, { metadata: { annotations: { patched: 'yes' } }, status: { conditions: [condition('StatusPatch')] } });
      assert.equal(patched.metadata.annotations?.['patched'], 'yes');
      assert.deepInclude(patched.status.conditions?.[0], { type: 'StatusPatch', message: 'Set from a test' });
      patched.status.conditions = [condition('StatusUpdate') as NonNullable<V1NamespaceStatus['conditions']>[0]]; // the API server is not asked for a time
      const updated = await api.must<Namespace>('PUT', status, patched);
      assert.deepEqual(updated.status.conditions?.map(({ type }) => type), ['StatusUpdate']);
      assert.deepEqual(updated.spec?.finalizers, ['kubernetes']);
    });

    it('should apply an update to a Namespace [Conformance]', async () => {
      const name = await namespace();
      const path = `/api/v1/namespaces/${name}`;
      const object = await api.must<Namespace>('GET', path);
      object.metadata.labels = { ...object.metadata.labels, [name]: 'updated' };
      await api.must('PUT', path, object);
      assert.equal((await api.must<Namespace>('GET', path)).metadata.labels?.[name], 'updated');
    });

    it('should apply a finalizer to a Namespace [Conformance]', async function () {
      this.timeout(60_000);
      const name = await namespace();
      const path = `/api/v1/namespaces/${name}`;
      const object = await api.must<Namespace>('GET', path);
      object.spec = { finalizers: [...object.spec?.finalizers ?? [], 'e2e.example.com/fakeFinalizer'] };
      const held = await api.must<Namespace>('PUT', `${path}/finalize`, object);
      assert.deepEqual(held.spec?.finalizers, ['kubernetes', 'e2e.example.com/fakeFinalizer']);
      await api.must('DELETE', path);
      await until('only the finalizer of others is left', async () => (await api.must<Namespace>('GET', path)).spec?.finalizers?.join() === 'e2e.example.com/fakeFinalizer', 30_000);
      const waiting = await api.must<Namespace>('GET', path);
      assert.equal(waiting.status.phase, 'Terminating');
      waiting.spec = { finalizers: [] };
      await api.must('PUT', `${path}/finalize`, waiting);
      await until('it is gone', async () => (await api.call('GET', path)).status === 404);
    });
  });

  describe('OrderedNamespaceDeletion', () => {
    it('namespace deletion should delete pod first [Conformance]', async function () {
      this.timeout(60_000);
      const name = await namespace();
      const path = `/api/v1/namespaces/${name}`;
      const finalizers = ['e2e.example.com/finalizer'];
      await until('the default ServiceAccount', async () => (await api.call('GET', `${path}/serviceaccounts/default`)).status === 200);
      await api.must<Item>('POST', `${path}/pods`, { metadata: { name: 'held', finalizers }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'nginx', image: 'pause' }] } });
      await api.must<Item>('POST', `${path}/configmaps`, { metadata: { name: 'later', finalizers } });
      await api.must<Item>('DELETE', path);
      await until('the pod is being deleted', async () => (await api.must<Item>('GET', `${path}/pods/held`)).metadata.deletionTimestamp !== undefined);
      await until('the namespace says what it waits for', async () => (await api.must<Namespaces>('GET', path)).status.conditions?.some(({ type, status }) => type === 'NamespaceContentRemaining' && status === 'True') === true);
      assert.isUndefined((await api.must<Item>('GET', `${path}/configmaps/later`)).metadata.deletionTimestamp, 'others wait for the pods');
      await api.merge<Item>(`${path}/pods/held`, { metadata: { finalizers: null } });
      await until('then the others are deleted', async () => (await api.must<Item>('GET', `${path}/configmaps/later`)).metadata.deletionTimestamp !== undefined);
      await api.merge<Item>(`${path}/configmaps/later`, { metadata: { finalizers: null } });
      await until('it is gone', async () => (await api.call('GET', path)).status === 404);
    });
    interface Namespaces { status: V1NamespaceStatus }
  });
});
