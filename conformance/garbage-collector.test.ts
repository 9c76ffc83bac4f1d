// What becomes of dependents when their owner is deleted, under the titles of upstream's conformance suite; with pods whose
// containers take their time to end where that matters, and pods that are never placed where it does not.
import { assert } from 'chai';
import type { KubeObject, Pod, ReplicaSet } from '#machinery/api/object.ts';
import { sleep, until } from './fixtures/cluster.ts';
import { itMeanwhile } from './fixtures/meanwhile.ts';
import { useSpace } from './fixtures/space.ts';
import type { Space } from './fixtures/space.ts';
import { nowhere, podTemplate, workload } from './fixtures/workloads.ts';

/** Long enough for a collector that is wrong to show it. */
const holdMs = 2000;
const unplaced = { spec: nowhere };

describe('[sig-api-machinery] Garbage collector', function () {
  let k: Space['k'];
  let proxy: Space['proxy'];
  useSpace('garbage', (space) => ({ k, proxy } = space));

  const list = async <T>(path: string, app: string): Promise<T[]> => (await proxy.get<{ items: T[] }>(`${path}?labelSelector=app%3D${app}`)).items;
  const podsOf = (app: string): Promise<Pod[]> => list(`/api/v1/namespaces/${k.namespace}/pods`, app);
  const setsOf = (app: string): Promise<ReplicaSet[]> => list(`/apis/apps/v1/namespaces/${k.namespace}/replicasets`, app);
  const uids = (objects: readonly { metadata?: { uid?: string } }[]): (string | undefined)[] => objects.map(({ metadata }) => metadata?.uid);
  const missing = async (object: string): Promise<void> => assert.include((await k.attempt(`get ${object}`)).stderr, 'NotFound');
  const controller = (name: string, replicas: number, pods = {}): Promise<string> => k.apply(workload('ReplicationController', name, { replicas }, pods));
  async function running(app: string, count: number): Promise<Pod[]> {
    await until(`${count} running pods of ${app}`, async () => assert.lengthOf((await podsOf(app)).filter(({ status }) => status?.phase === 'Running'), count), 60_000, 300);
    return podsOf(app);
  }
  async function present(app: string, count: number): Promise<Pod[]> {
    await until(`${count} pods of ${app}`, async () => assert.lengthOf(await podsOf(app), count));
    return podsOf(app);
  }
  const setOwners = (pod: string, ownerReferences: readonly object[]): Promise<string> => k(`patch pod ${pod} --type=merge -p`, JSON.stringify({ metadata: { ownerReferences } }));

  itMeanwhile('[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning [Conformance]', async () => {
    await controller('background', 2);
    await running('background', 2);
    await k('delete replicationcontroller background --cascade=background --wait=false');
    await missing('replicationcontroller background'); // it does not wait for its pods
    await until('its pods are gone', async () => assert.isEmpty(await podsOf('background')));
  });

  itMeanwhile('[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so [Serial] [Conformance]', async () => {
    await controller('orphaning', 20, unplaced);
    const before = await present('orphaning', 20);
    await k('delete replicationcontroller orphaning --cascade=orphan');
    await missing('replicationcontroller orphaning');
    await sleep(holdMs);
    const after = await podsOf('orphaning');
    assert.deepEqual(uids(after), uids(before));
    for (const { metadata } of after) {
      assert.isUndefined(metadata.deletionTimestamp);
      assert.isUndefined(metadata.ownerReferences);
    }
  });

  itMeanwhile('[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning [Conformance]', async () => {
    await k.apply(workload('Deployment', 'deployed', { replicas: 2 }));
    await running('deployed', 2);
    assert.lengthOf(await setsOf('deployed'), 1);
    await k('delete deployment deployed --cascade=background --wait=false');
    await until('its ReplicaSet and pods are gone', async () => assert.isEmpty([...await setsOf('deployed'), ...await podsOf('deployed')]));
  });

  itMeanwhile('[sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan [Conformance]', async () => {
    await k.apply(workload('Deployment', 'left', { replicas: 1 }, unplaced));
    const pods = await present('left', 1);
    const [before] = await setsOf('left');
    await k('delete deployment left --cascade=orphan');
    await sleep(holdMs);
    const [after] = await setsOf('left');
    assert.isDefined(after);
    assert.equal(after?.metadata.uid, before?.metadata.uid);
    assert.isUndefined(after?.metadata.ownerReferences);
    assert.isUndefined(after?.metadata.deletionTimestamp);
    const left = await podsOf('left');
    assert.deepEqual(uids(left), uids(pods));
    assert.equal(left[0]?.metadata.ownerReferences?.[0]?.uid, after?.metadata.uid, 'only the first step of the chain was cut');
  });

  itMeanwhile("[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so [Serial] [Conformance]", async () => {
    await controller('foreground', 3);
    const [held] = await running('foreground', 3);
    const name = held?.metadata.name ?? '';
    await k(`patch pod ${name} --type=merge -p`, '{"metadata":{"finalizers":["test.local/hold"]}}'); // keeps one for as long as we like
    await k('delete replicationcontroller foreground --cascade=foreground --wait=false');
    await until('all but one are gone', async () => assert.lengthOf(await podsOf('foreground'), 1));
    await sleep(holdMs);
    const { metadata } = await k.json<KubeObject>('get replicationcontroller foreground');
    assert.include(metadata?.finalizers ?? [], 'foregroundDeletion');
    assert.isDefined(metadata?.deletionTimestamp);
    await k(`patch pod ${name} --type=merge -p`, '{"metadata":{"finalizers":null}}');
    await k('wait --for=delete replicationcontroller/foreground --timeout=30s');
    assert.isEmpty(await podsOf('foreground'));
  });

  itMeanwhile("[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted [Serial] [Conformance]", async () => {
    await controller('ending', 4);
    await controller('staying', 0);
    const shared = (await running('ending', 4)).slice(0, 2);
    const { metadata: { uid, name } = {} } = await k.json<KubeObject>('get replicationcontroller staying');
    const other = { apiVersion: 'v1', kind: 'ReplicationController', name, uid };
    for (const { metadata } of shared) await setOwners(metadata.name ?? '', [...metadata.ownerReferences ?? [], other]);
    await k('delete replicationcontroller ending --cascade=foreground --timeout=60s');
    const left = await podsOf('ending');
    assert.sameMembers(uids(left), uids(shared), 'those with one owner are gone');
    await sleep(holdMs);
    for (const { metadata } of await podsOf('ending')) {
      assert.deepEqual(metadata.ownerReferences, [other as NonNullable<Pod['metadata']['ownerReferences']>[number]]);
      assert.isUndefined(metadata.deletionTimestamp);
    }
    assert.lengthOf(await podsOf('ending'), 2);
  });

  itMeanwhile('[sig-api-machinery] Garbage collector should not be blocked by dependency circle [Conformance]', async () => {
    const names = ['circle-1', 'circle-2', 'circle-3'];
    await k.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: names.map((name) => ({ apiVersion: 'v1', kind: 'Pod', ...podTemplate('circle', unplaced), metadata: { name, labels: { app: 'circle' } } })) }));
    const pods = await present('circle', 3);
    for (const [index, name] of names.entries()) {
      const { name: owner, uid } = pods.at(index - 1)?.metadata ?? {};
      await setOwners(name, [{ apiVersion: 'v1', kind: 'Pod', name: owner, uid, controller: true, blockOwnerDeletion: true }]);
    }
    await k('delete pod circle-1 --cascade=foreground --wait=false');
    await until('all three are gone', async () => assert.isEmpty(await podsOf('circle')));
  });
});
