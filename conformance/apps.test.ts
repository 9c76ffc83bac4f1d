// Workloads and what belongs to them: rolling updates, adoption, the end of a namespace.
import type { V1Deployment, V1PodList, V1ReplicaSet, V1ReplicaSetList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { needsHost, sharedCluster, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { podTemplate, workload } from './fixtures/workloads.ts';

const revision = 'deployment.kubernetes.io/revision';
const deployment = (name: string, replicas: number, version = '1', spec: object = {}): string => workload('Deployment', name, { replicas, ...spec }, { version });
const replicaSet = (name: string, replicas: number): string => workload('ReplicaSet', name, { replicas });

describe('[sig-apps] workloads', function () {
  let cluster: Cluster;
  let k: Kubectl & { namespace: string };
  before(needsHost);
  before(async () => {
    cluster = await sharedCluster();
    k = await cluster.namespace('apps');
  });
  const sets = async (app: string): Promise<V1ReplicaSet[]> => (await k.json<V1ReplicaSetList>(`get replicasets -l app=${app}`)).items;

  it('[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]', async () => {
    // A set from before is adopted, and its revision, beyond what a number holds, counts on.
    const labels = { app: 'rolling', own: 'adopted' };
    const adopted = JSON.parse(workload('ReplicaSet', 'adopted', { replicas: 1, selector: { matchLabels: labels } }, { labels })) as { metadata: object };
    await k.apply(JSON.stringify({ ...adopted, metadata: { ...adopted.metadata, annotations: { [revision]: '3546343826724305832' } } }));
    await k('wait --for=jsonpath={.status.readyReplicas}=1 replicaset/adopted --timeout=60s');
    await k.apply(deployment('rolling', 3, '1', { strategy: { rollingUpdate: { maxUnavailable: 1, maxSurge: 1 } } }));
    await k('rollout status deployment/rolling --timeout=60s');
    const watch = k.start('get deployment rolling -w -o', 'jsonpath={.status.replicas} {.status.availableReplicas}{"\\n"}');
    await k.apply(deployment('rolling', 3, '2', { strategy: { rollingUpdate: { maxUnavailable: 1, maxSurge: 1 } } }));
    await k('rollout status deployment/rolling --timeout=60s');
    await watch.stop();
    const counts = watch.output().trim().split('\n').map((line) => line.split(' ').map(Number));
    assert.isAbove(counts.length, 2);
    for (const [total = 0, available = 0] of counts) {
      assert.isAtMost(total, 4, 'never more than maxSurge above');
      assert.isAtLeast(available, 2, 'never more than maxUnavailable below');
    }
    const found = (await sets('rolling')).map(({ metadata, spec, status }) => `${metadata?.annotations?.[revision]}: ${spec?.replicas} ${status?.availableReplicas ?? 0}`);
    assert.sameMembers(found, ['3546343826724305832: 0 0', '3546343826724305833: 0 0', '3546343826724305834: 3 3']);
    assert.equal((await k.json<V1ReplicaSet>('get replicaset adopted')).metadata?.ownerReferences?.[0]?.name, 'rolling');
    const status = (await k.json<V1Deployment>('get deployment rolling')).status;
    assert.deepEqual(status?.conditions?.map(({ type, status: value, reason }) => `${type} ${value} ${reason}`).sort(), ['Available True MinimumReplicasAvailable', 'Progressing True NewReplicaSetAvailable']);
  });

  it('[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]', async () => {
    await k.apply(deployment('recreate', 2, '1', { strategy: { type: 'Recreate' } }));
    await k('rollout status deployment/recreate --timeout=60s');
    const watch = k.start('get pods -l app=recreate -w -o', 'jsonpath={.metadata.labels.pod-template-hash} {.metadata.name} {.status.phase}{"\\n"}');
    const [before] = await sets('recreate');
    await k.apply(deployment('recreate', 2, '2', { strategy: { type: 'Recreate' } }));
    await k('rollout status deployment/recreate --timeout=60s');
    await watch.stop();
    const oldHash = before?.metadata?.labels?.['pod-template-hash'];
    const lines = watch.output().trim().split('\n');
    const firstNew = lines.findIndex((line) => !line.startsWith(`${oldHash} `));
    assert.isAbove(firstNew, 0);
    assert.isTrue(lines.slice(firstNew).every((line) => !line.startsWith(`${oldHash} `) || /(Succeeded|Failed)$/.test(line)), lines.join('\n'));
  });

  it('[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]', async () => {
    await k.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...podTemplate('adopter'), metadata: { name: 'orphan', labels: { app: 'adopter' } } }));
    await k.apply(replicaSet('adopter', 1));
    await until('adopted', async () => assert.equal(await k('get pod orphan -o', 'jsonpath={.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].controller}'), 'ReplicaSet/adopter true'));
    assert.lengthOf((await k.json<V1PodList>('get pods -l app=adopter')).items, 1, 'no second pod');
    await k('label pod orphan --overwrite app=released');
    await until('released and replaced', async () => {
      assert.equal(await k('get pod orphan -o', 'jsonpath={.metadata.ownerReferences}'), '');
      assert.lengthOf((await k.json<V1PodList>('get pods -l app=adopter')).items, 1);
    });
    await k('delete pod orphan --wait=false');
    await k('delete replicaset adopter');
  });

  it('[sig-apps] Deployment: a template that never becomes ready is reported, and undone', async () => {
    await k.apply(deployment('stuck', 1, '1', { progressDeadlineSeconds: 6 }));
    await k('rollout status deployment/stuck --timeout=30s');
    await k('set image deployment/stuck main=test.local/absent:1');
    const status = await k.attempt('rollout status deployment/stuck --timeout=30s');
    assert.equal(status.code, 1);
    assert.match(status.stderr, /exceeded its progress deadline/);
    await until('the reason at the pod', async () => assert.match(await k('get pods -l app=stuck'), /ErrImagePull|ImagePullBackOff/));
    assert.equal(await k('get deployment stuck -o', 'jsonpath={.status.availableReplicas}'), '1', 'the old one still serves');
    await k('rollout undo deployment/stuck');
    await k('rollout status deployment/stuck --timeout=30s');
    await k('delete deployment stuck --wait=false');
  });

  it('[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted [Conformance]', async () => {
    const doomed = await cluster.namespace('doomed');
    await doomed.apply(replicaSet('inside', 2));
    await doomed('create configmap inside');
    await doomed('create secret generic inside --from-literal=a=b');
    await doomed('wait --for=jsonpath={.status.readyReplicas}=2 replicaset/inside --timeout=30s');
    await cluster.kubectl(`delete namespace ${doomed.namespace} --wait=false`);
    const refused = await doomed.attempt('create configmap late');
    assert.match(refused.stderr, /because it is being terminated|not found/);
    await cluster.kubectl(`wait --for=delete namespace/${doomed.namespace} --timeout=60s`);
    await cluster.kubectl(`create namespace ${doomed.namespace}`);
    assert.equal(await doomed('get pods,secrets,replicasets -o name'), '');
    await cluster.kubectl(`delete namespace ${doomed.namespace} --wait=false`);
  });
});
