// StatefulSets with real containers, under the titles of upstream's conformance suite. Each test has a set of its own, and
// as most of their time is waiting they all go on at once: a test reports how its own went.
import { assert } from 'chai';
import type { Pod, StatefulSet } from '#machinery/api/object.ts';
import { sleep, until } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';
import { itMeanwhile } from './fixtures/meanwhile.ts';
import { useSpace } from './fixtures/space.ts';
import type { Space } from './fixtures/space.ts';
import { checkDeleteCollection, checkScale, checkStatus, workload } from './fixtures/workloads.ts';

const revisionLabel = 'controller-revision-hash';
/** Long enough for a controller that would not wait: its next step follows within milliseconds. */
const holdMs = 2000;
// Ready while a file is there, and gone at once when asked to go.
const probed = {
  command: ['sh', '-c', 'trap "exit 0" TERM; mkdir /www; touch /www/ready; httpd -p 8080 -h /www; sleep 3600 & wait'],
  container: { readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1, failureThreshold: 1 } },
};

describe('[sig-apps] StatefulSet', function () {
  let cluster: Space['cluster'];
  let k: Space['k'];
  let proxy: Space['proxy'];
  useSpace('stateful', (space) => ({ cluster, k, proxy } = space));

  const itBasic = (title: string, flow: () => Promise<unknown>): void => itMeanwhile(`[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] ${title} [Conformance]`, flow);

  const get = (name: string): Promise<StatefulSet> => proxy.get(`/apis/apps/v1/namespaces/${k.namespace}/statefulsets/${name}`);
  const podsOf = async (app: string): Promise<Pod[]> => (await proxy.get<{ items: Pod[] }>(`/api/v1/namespaces/${k.namespace}/pods?labelSelector=app%3D${app}`)).items;
  const ready = (name: string, count: number): Promise<void> => until(`${count} ready pods of ${name}`, async () => assert.equal((await get(name)).status?.readyReplicas ?? 0, count), 90_000, 400);
  const rollout = (name: string): Promise<string> => k(`rollout status statefulset/${name} --timeout=90s`);
  const change = (name: string, version: string): Promise<string> => k(`set env statefulset/${name} VERSION=${version}`);
  const patch = (name: string, spec: object): Promise<string> => k(`patch statefulset ${name} --type=merge -p`, JSON.stringify({ spec }));
  const heal = (...pods: string[]): Promise<unknown> => Promise.all(pods.map((pod) => k(`exec ${pod} -- touch /www/ready`)));
  async function hurt(...pods: string[]): Promise<void> {
    await Promise.all(pods.map((pod) => k(`exec ${pod} -- rm /www/ready`)));
    await k(`wait --for=condition=Ready=False --timeout=30s ${pods.map((pod) => `pod/${pod}`).join(' ')}`);
  }
  /** Of every pod its revision and the version its container was given. */
  async function versions(name: string): Promise<Record<string, string>> {
    return Object.fromEntries((await podsOf(name)).map(({ metadata, spec }) => [metadata.name ?? '', `${metadata.labels?.[revisionLabel]} ${spec?.containers[0]?.env?.[0]?.value}`]));
  }

  interface Seen { type: string; name: string; uid: string; ready: boolean; terminating: boolean }
  /** What happened to the pods of a set from now on; `stop` answers it in order. */
  async function watchPods(app: string): Promise<{ stop(): Promise<Seen[]> }> {
    const fields = ['{.type}', '{.object.metadata.name}', '{.object.metadata.uid}', '{.object.status.conditions[?(@.type=="Ready")].status}', '{.object.metadata.deletionTimestamp}'];
    const present = (await podsOf(app)).length;
    const watch = k.start(`get pods -l app=${app} -w --output-watch-events -o`, `jsonpath=${fields.join('|')}{"\\n"}`);
    const read = (): Seen[] => watch.output().split('\n').filter((line) => line.includes('|')).map((line) => {
      const [type = '', name = '', uid = '', isReady, deletionTimestamp = ''] = line.split('|');
      return { type, name, uid, ready: isReady === 'True', terminating: deletionTimestamp !== '' };
    });
    await until(`the watch of ${app} has begun`, () => read().length >= present);
    return {
      async stop() {
        await sleep(300); // the last event is on its way
        await watch.stop();
        return read();
      },
    };
  }
  /** Goes through what was seen; `check` is told the state before each event. */
  function replay(events: readonly Seen[], check: (event: Seen, before: ReadonlyMap<string, Seen>) => void): void {
    const state = new Map<string, Seen>();
    for (const event of events) {
      check(event, state);
      if (event.type === 'DELETED') state.delete(event.name);
      else state.set(event.name, event);
    }
  }
  const namesOf = (events: readonly Seen[], type: string): string[] => events.filter((event) => event.type === type).map(({ name }) => name);
  const healthy = ({ ready: isReady, terminating }: Seen): boolean => isReady && !terminating;

  itBasic('should perform rolling updates and roll backs of template modifications', async () => {
    const downwards = ['rolled-2', 'rolled-1', 'rolled-0'];
    await k.apply(workload('StatefulSet', 'rolled', { replicas: 3 }, probed));
    await rollout('rolled');
    const first = (await get('rolled')).status;
    assert.equal(first?.currentRevision, first?.updateRevision);
    const old = first?.currentRevision ?? '';
    assert.deepEqual(await versions('rolled'), { 'rolled-0': `${old} 1`, 'rolled-1': `${old} 1`, 'rolled-2': `${old} 1` });

    const expectOrder = (events: Seen[]): void => {
      assert.deepEqual(namesOf(events, 'DELETED'), downwards);
      let complete = false;
      replay(events, (event, before) => {
        complete ||= before.size === 3;
        if (complete) assert.isAtLeast([...before.values()].filter(healthy).length, 2, `one at a time, before ${JSON.stringify(event)}`);
      });
    };
    let watch = await watchPods('rolled');
    await change('rolled', '2');
    await until('a new revision', async () => assert.notEqual((await get('rolled')).status?.updateRevision, old));
    await rollout('rolled');
    await until('it is the current one', async () => assert.notEqual((await get('rolled')).status?.currentRevision, old));
    expectOrder(await watch.stop());
    const fresh = (await get('rolled')).status?.currentRevision ?? '';
    assert.deepEqual(await versions('rolled'), { 'rolled-0': `${fresh} 2`, 'rolled-1': `${fresh} 2`, 'rolled-2': `${fresh} 2` });

    watch = await watchPods('rolled');
    await k('rollout undo statefulset/rolled');
    await until('back at the old revision', async () => assert.equal((await get('rolled')).status?.currentRevision, old), 90_000, 400);
    expectOrder(await watch.stop());
    assert.deepEqual(await versions('rolled'), { 'rolled-0': `${old} 1`, 'rolled-1': `${old} 1`, 'rolled-2': `${old} 1` });
    assert.equal(await k(`get controllerrevision ${old} -o`, 'jsonpath={.revision}'), '3', 'the old revision under a new number');
    await k('delete statefulset rolled');
  });

  itBasic('should perform canary updates and phased rolling updates of template modifications', async () => {
    const partition = (number: number): object => ({ updateStrategy: { rollingUpdate: { partition: number } } });
    await k.apply(workload('StatefulSet', 'canary', { replicas: 3, ...partition(3) }));
    await rollout('canary');
    const old = (await get('canary')).status?.currentRevision ?? '';
    const uids = async (): Promise<(string | undefined)[]> => (await podsOf('canary')).filter(({ metadata }) => !metadata.deletionTimestamp).map(({ metadata }) => metadata.uid);
    const before = await uids();
    await change('canary', '2');
    await until('a new revision', async () => assert.notEqual((await get('canary')).status?.updateRevision, old));
    await sleep(holdMs);
    assert.deepEqual(await uids(), before, 'the partition is above every pod');
    const fresh = (await get('canary')).status?.updateRevision ?? '';
    const expected = (...newer: number[]): Record<string, string> => Object.fromEntries([0, 1, 2].map((ordinal) => [`canary-${ordinal}`, newer.includes(ordinal) ? `${fresh} 2` : `${old} 1`]));
    const settled = async (...newer: number[]): Promise<void> => {
      await until(`of the new revision: ${newer.join()}`, async () => {
        assert.deepEqual(await versions('canary'), expected(...newer));
        assert.include((await get('canary')).status, { readyReplicas: 3, updatedReplicas: newer.length });
      }, 60_000, 400);
    };

    await patch('canary', partition(2));
    await settled(2);
    assert.deepEqual((await uids()).slice(0, 2), before.slice(0, 2), 'those below stay as they are');
    assert.include((await get('canary')).status, { currentRevision: old, updateRevision: fresh, currentReplicas: 2 });
    await k('delete pod canary-0 canary-2');
    await settled(2);
    assert.notInclude(before, (await uids())[0], 'canary-0 came back, and as it was');
    await patch('canary', partition(1));
    await settled(1, 2);
    await patch('canary', partition(0));
    await settled(0, 1, 2);
    await until('the new revision is the current one', async () => assert.equal((await get('canary')).status?.currentRevision, fresh));
    await k('delete statefulset canary');
  });

  itBasic('Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Slow]', async () => {
    await k.apply(workload('StatefulSet', 'ordered', { replicas: 1 }, probed));
    await ready('ordered', 1);
    await hurt('ordered-0');
    await ready('ordered', 0);
    const up = await watchPods('ordered');
    await k('scale statefulset ordered --replicas=3');
    await until('seen by the controller', async () => assert.equal((await get('ordered')).status?.observedGeneration, 2));
    await sleep(holdMs);
    assert.lengthOf(await podsOf('ordered'), 1, 'no second one while the first is not ready');
    await heal('ordered-0');
    await ready('ordered', 3);
    const started = await up.stop();
    assert.deepEqual(namesOf(started, 'ADDED'), ['ordered-0', 'ordered-1', 'ordered-2']);
    replay(started, ({ type, name }, before) => {
      if (type === 'ADDED') assert.isTrue([...before.values()].every(healthy), `all before ${name} were ready`);
    });

    await hurt('ordered-0', 'ordered-2');
    await ready('ordered', 1);
    const down = await watchPods('ordered');
    await k('scale statefulset ordered --replicas=0');
    await until('seen by the controller', async () => assert.equal((await get('ordered')).status?.observedGeneration, 3));
    await sleep(holdMs);
    assert.isEmpty((await podsOf('ordered')).filter(({ metadata }) => metadata.deletionTimestamp), 'none goes while the first is not ready');
    await heal('ordered-0', 'ordered-2');
    await until('all gone', async () => assert.isEmpty(await podsOf('ordered')), 60_000);
    const ended = await down.stop();
    assert.deepEqual(namesOf(ended, 'DELETED'), ['ordered-2', 'ordered-1', 'ordered-0']);
    replay(ended, ({ name, terminating }, before) => {
      if (terminating) assert.isTrue([...before.values()].every((pod) => pod.name === name || !pod.terminating), `${name} goes alone`);
    });
  });

  itBasic('Burst scaling should run to completion even with unhealthy pods [Slow]', async () => {
    await k.apply(workload('StatefulSet', 'burst', { replicas: 1, podManagementPolicy: 'Parallel' }, probed));
    await ready('burst', 1);
    await hurt('burst-0');
    await ready('burst', 0);
    await k('scale statefulset burst --replicas=3');
    await ready('burst', 2);
    assert.lengthOf(await podsOf('burst'), 3, 'the unhealthy one held nobody up');
    await hurt('burst-1', 'burst-2');
    await ready('burst', 0);
    await k('scale statefulset burst --replicas=0');
    await until('all gone', async () => assert.isEmpty(await podsOf('burst')), 60_000);
    await until('none counted', async () => assert.equal((await get('burst')).status?.replicas, 0));
  });

  itBasic('Should recreate evicted statefulset', async () => {
    const nodeName = await cluster.kubectl('get nodes -o', 'jsonpath={.items[0].metadata.name}');
    const ports = [{ containerPort: 21_017, hostPort: 21_017 }];
    await k.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'first-come' }, spec: { nodeName, terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image: busyboxImage, command: ['sleep', '3600'], ports }] } }));
    await k('wait --for=condition=Ready pod/first-come --timeout=60s');
    const watch = await watchPods('evicted');
    await k.apply(workload('StatefulSet', 'evicted', { replicas: 1 }, { container: { ports }, spec: { nodeName } }));
    await until('the node refuses the pod', async () => {
      const { phase, reason } = (await podsOf('evicted'))[0]?.status ?? {};
      assert.deepEqual([phase, reason], ['Failed', 'NodePorts']);
    }, 60_000, 50);
    await k('delete pod first-come');
    await k('wait --for=jsonpath={.status.readyReplicas}=1 statefulset/evicted --timeout=60s');
    const events = await watch.stop();
    assert.isAbove(new Set(events.map(({ uid }) => uid)).size, 1, 'another pod under the same name');
    assert.deepEqual([...new Set(events.map(({ name }) => name))], ['evicted-0']);
    await k('delete statefulset evicted');
  });

  itBasic('should have a working scale subresource', async () => {
    await k.apply(workload('StatefulSet', 'scaled', { replicas: 1 }));
    await ready('scaled', 1);
    await checkScale(k, 'statefulset', 'scaled');
  });

  itBasic('should list, patch and delete a collection of StatefulSets', async () => {
    await k.apply(workload('StatefulSet', 'patched', { replicas: 1 }));
    await rollout('patched');
    await k('patch statefulset patched -p', JSON.stringify({ metadata: { labels: { patched: 'yes' } }, spec: { replicas: 2, template: { spec: { containers: [{ name: 'main', env: [{ name: 'VERSION', value: '2' }] }] } } } }));
    await until('two pods of the new template', async () => {
      assert.deepEqual(Object.values(await versions('patched')).map((each) => each.split(' ')[1]), ['2', '2']);
      assert.equal((await get('patched')).status?.readyReplicas, 2);
    }, 60_000, 400);
    assert.deepEqual((await cluster.kubectl.json<{ items: StatefulSet[] }>('get statefulsets -A -l patched=yes')).items.map(({ metadata }) => metadata.name), ['patched']);
    await k('delete statefulset patched --wait=false');
    await checkDeleteCollection(k, 'statefulsets', ['collected-1', 'collected-2'].map((name) => workload('StatefulSet', name, { replicas: 1 })), workload('StatefulSet', 'kept', { replicas: 1 }));
  });

  itBasic('should validate Statefulset Status endpoints', async () => {
    await k.apply(workload('StatefulSet', 'told', { replicas: 1 }));
    await rollout('told');
    await checkStatus(k, 'statefulset', 'told');
    await k('delete statefulset told --wait=false');
  });

  itMeanwhile('[sig-apps] StatefulSet: a rolling update without a partition ends, also where pods are gone the moment they are deleted', async () => {
    await k.apply(workload('StatefulSet', 'sudden', { replicas: 2, updateStrategy: { type: 'RollingUpdate' } }, { spec: { terminationGracePeriodSeconds: 0 } }));
    await rollout('sudden');
    const watch = await watchPods('sudden');
    await change('sudden', '2');
    await rollout('sudden');
    assert.deepEqual(namesOf(await watch.stop(), 'DELETED'), ['sudden-1', 'sudden-0'], 'each replaced once');
    await k('delete statefulset sudden --wait=false');
  });
});
