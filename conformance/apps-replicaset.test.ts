// ReplicaSets and ReplicationControllers under upstream's titles.
import type { V1Pod, V1PodList, V1ReplicaSet } from '@kubernetes/client-node';
import { assert } from 'chai';
import { until } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';
import { useSpace } from './fixtures/space.ts';
import type { Space } from './fixtures/space.ts';
import { checkDeleteCollection, checkScale, checkStatus, podTemplate, replace, serveHostname, workload } from './fixtures/workloads.ts';

const otherImage = 'test.local/busybox:2';

describe('[sig-apps] ReplicaSet and ReplicationController', function () {
  let cluster: Space['cluster'];
  let k: Space['k'];
  let proxy: Space['proxy'];
  useSpace('replicas', (space) => ({ cluster, k, proxy } = space));
  before(() => cluster.host.docker('tag', busyboxImage, otherImage));
  const podsOf = async (app: string): Promise<V1Pod[]> => (await proxy.get<V1PodList>(`/api/v1/namespaces/${k.namespace}/pods?labelSelector=app%3D${app}`)).items.filter(({ metadata }) => !metadata?.deletionTimestamp);
  const ready = (target: string, replicas: number): Promise<string> => k(`wait --for=jsonpath={.status.readyReplicas}=${replicas} ${target} --timeout=60s`);
  const ownerOf = (pod: string): Promise<string> => k(`get pod ${pod} -o`, 'jsonpath={.metadata.ownerReferences[*].kind}/{.metadata.ownerReferences[*].name}/{.metadata.ownerReferences[*].controller}');

  for (const kind of ['ReplicaSet', 'ReplicationController'] as const) {
    it(`[sig-apps] ${kind} should serve a basic image on each replica with a public image [Conformance]`, async () => {
      const name = `serving-${kind.toLowerCase()}`;
      await k.apply(workload(kind, name, { replicas: 2 }, { command: serveHostname }));
      await ready(`${kind}/${name}`, 2);
      const pods = await podsOf(name);
      assert.lengthOf(pods, 2);
      for (const { metadata, status } of pods) {
        await until(`${metadata?.name} answers`, async () => assert.equal(await cluster.host.must('curl', ['-sS', '-m', '2', `http://${status?.podIP}:8080/`]), `${metadata?.name}\n`));
        assert.equal(await k(`get --raw /api/v1/namespaces/${k.namespace}/pods/${metadata?.name}:8080/proxy/`), `${metadata?.name}\n`);
      }
      await k(`delete ${kind} ${name} --wait=false`);
    });
  }

  it('[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]', async () => {
    await k.apply(workload('ReplicaSet', 'scaled', { replicas: 1 }));
    await ready('replicaset/scaled', 1);
    await checkScale(k, 'replicaset', 'scaled');
  });

  it('[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]', async () => {
    await k.apply(workload('ReplicaSet', 'told', { replicas: 1 }));
    await ready('replicaset/told', 1);
    await checkStatus(k, 'replicaset', 'told');
    await k('delete replicaset told --wait=false');
  });

  it('[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]', () =>
    checkDeleteCollection(k, 'replicasets', ['collected-1', 'collected-2'].map((name) => workload('ReplicaSet', name, { replicas: 1 })), workload('ReplicaSet', 'kept', { replicas: 1 })));

  it('[sig-apps] ReplicaSet Replace and Patch tests [Conformance]', async () => {
    const manifest = workload('ReplicaSet', 'changed', { replicas: 1 });
    await k.apply(manifest);
    const first = await k.json<V1ReplicaSet>('get replicaset changed');
    await ready('replicaset/changed', 1);
    const wanted = JSON.parse(manifest) as { metadata: object; spec: object };
    await replace(k, { ...wanted, spec: { ...wanted.spec, replicas: 2 } });
    const stale = await k.attempt('replace -f -', [], { input: JSON.stringify({ ...wanted, metadata: { ...wanted.metadata, resourceVersion: first.metadata?.resourceVersion } }) });
    assert.match(stale.stderr, /Conflict.*the object has been modified/);
    await ready('replicaset/changed', 2);
    await k('patch replicaset changed --type=strategic -p', JSON.stringify({ metadata: { labels: { step: 'patched' } }, spec: { replicas: 3, template: { spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image: otherImage }] } } } }));
    await ready('replicaset/changed', 3);
    const patched = await k.json<V1ReplicaSet>('get replicaset -l step=patched,app=changed');
    assert.nestedPropertyVal(patched, 'items[0].status.availableReplicas', 3);
    assert.nestedPropertyVal(patched, 'items[0].spec.template.spec.containers[0].command[0]', 'sh');
    // What runs stays as it is: only a new pod has the new template.
    assert.sameMembers((await podsOf('changed')).map(({ spec }) => `${spec?.containers[0]?.image} ${spec?.terminationGracePeriodSeconds}`), [`${busyboxImage} 1`, `${busyboxImage} 1`, `${otherImage} 0`]);
    const selector = await k.attempt('patch replicaset changed --type=merge -p', ['{"spec":{"selector":{"matchLabels":{"more":"x"}}}}']);
    assert.match(selector.stderr, /spec\.selector: Invalid value: .*field is immutable/);
    await k('delete replicaset changed --wait=false');
  });

  it('[sig-apps] ReplicationController should adopt matching pods on creation [Conformance]', async () => {
    await k.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...podTemplate('adopting'), metadata: { name: 'orphan', labels: { app: 'adopting' } } }));
    await k.apply(workload('ReplicationController', 'adopting', { replicas: 1 }));
    await until('adopted', async () => assert.equal(await ownerOf('orphan'), 'ReplicationController/adopting/true'));
    await ready('rc/adopting', 1);
    assert.deepEqual((await podsOf('adopting')).map(({ metadata }) => metadata?.name), ['orphan'], 'no second one');
    await k('delete rc adopting');
    await until('it goes with its owner', async () => assert.isEmpty(await podsOf('adopting')));
  });

  it('[sig-apps] ReplicationController should release no longer matching pods [Conformance]', async () => {
    await k.apply(workload('ReplicationController', 'releasing', { replicas: 1 }));
    await ready('rc/releasing', 1);
    const [pod] = await podsOf('releasing');
    const name = pod?.metadata?.name ?? '';
    assert.equal(await ownerOf(name), 'ReplicationController/releasing/true');
    await k(`label pod ${name} --overwrite app=released`);
    await until('released', async () => assert.equal(await ownerOf(name), '//'));
    await until('replaced', async () => assert.lengthOf(await podsOf('releasing'), 1));
    await k('delete rc releasing');
    await until('its own pod is gone', async () => assert.isEmpty(await podsOf('releasing')));
    assert.equal((await podsOf('released'))[0]?.metadata?.uid, pod?.metadata?.uid, 'the released one is not');
    await k('delete pod -l app=released --wait=false');
  });

  for (const [kind, title] of [['ReplicationController', 'should surface a failure condition on a common issue like exceeded quota [Conformance]'], ['ReplicaSet', 'should surface a failure condition on a common issue like exceeded quota']] as const) {
    it(`[sig-apps] ${kind} ${title}`, async () => {
      const full = await cluster.namespace('quota');
      await full('create quota two --hard=pods=2');
      await until('the quota is known', async () => assert.equal(await full('get quota two -o', 'jsonpath={.status.hard.pods}'), '2'));
      await full.apply(workload(kind, 'limited', { replicas: 3 }));
      const failure = async (): Promise<{ status: string; reason?: string; message?: string } | undefined> => (await full.json<V1ReplicaSet>(`get ${kind} limited`)).status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
      await until('the failure', async () => {
        const condition = await failure();
        assert.deepInclude(condition, { status: 'True', reason: 'FailedCreate' });
        assert.match(condition?.message ?? '', /^pods "limited-\w+" is forbidden: exceeded quota: two, requested: pods=1, used: pods=2, limited: pods=2$/);
      });
      assert.match(await full(`events --for ${kind}/limited`), /Warning +FailedCreate .*exceeded quota/);
      assert.equal(await full(`get ${kind} limited -o`, 'jsonpath={.status.replicas}'), '2');
      await full(`scale ${kind} limited --replicas=2`);
      await until('no failure', async () => assert.isUndefined(await failure()));
      await cluster.kubectl(`delete namespace ${full.namespace} --wait=false`);
    });
  }
});
