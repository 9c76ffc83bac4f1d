// DaemonSets under upstream's titles, on two virtual nodes; taints as kubectl sets them.
import type { V1ControllerRevisionList, V1DaemonSet, V1Pod, V1PodList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { clusterOf, freeHost, needsHost, startServer, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';
import { startProxy } from './fixtures/proxy.ts';
import type { Proxy } from './fixtures/proxy.ts';
import { checkDeleteCollection, checkStatus, podTemplate, workload } from './fixtures/workloads.ts';

const otherImage = 'test.local/busybox:2';
const hashLabel = 'controller-revision-hash';
const color = 'test.local/color';

describe('[sig-apps] Daemon set', function () {
  let cluster: Cluster;
  let k: Kubectl & { namespace: string };
  let proxy: Proxy;
  let first = '';
  let second = '';
  before(needsHost);
  before(async () => {
    const host = await freeHost();
    await host.docker('tag', busyboxImage, otherImage);
    cluster = await clusterOf(host, await startServer(host, ['--nodes', '2', '--stop-pods']));
    k = await cluster.namespace('daemons');
    proxy = await startProxy(cluster);
    await cluster.kubectl('wait --for=condition=Ready nodes --all --timeout=30s');
    [first = '', second = ''] = (await cluster.kubectl('get nodes -o', 'jsonpath={.items[*].metadata.name}')).split(' ');
  });
  after(async () => {
    await proxy?.stop();
    await cluster?.server.stop();
  });
  const daemon = (name: string, spec: object = {}, pods: object = {}): string => workload('DaemonSet', name, spec, pods);
  const get = (name: string): Promise<V1DaemonSet> => proxy.get<V1DaemonSet>(`/apis/apps/v1/namespaces/${k.namespace}/daemonsets/${name}`);
  const rolledOut = (name: string): Promise<string> => k(`rollout status daemonset/${name} --timeout=60s`);
  const podsOf = async (app: string): Promise<V1Pod[]> => {
    const { items } = await proxy.get<V1PodList>(`/api/v1/namespaces/${k.namespace}/pods?labelSelector=app%3D${app}`);
    return items.filter(({ metadata }) => !metadata?.deletionTimestamp).sort((a, b) => ((a.spec?.nodeName ?? '') < (b.spec?.nodeName ?? '') ? -1 : 1));
  };
  const nodesOf = async (app: string): Promise<(string | undefined)[]> => (await podsOf(app)).map(({ spec }) => spec?.nodeName);
  const uid = (pod: V1Pod | undefined): string => pod?.metadata?.uid ?? '';
  const revisions = async (app: string): Promise<{ revision: number; hash: string | undefined }[]> =>
    (await k.json<V1ControllerRevisionList>(`get controllerrevisions -l app=${app} --sort-by=.revision`)).items.map(({ revision, metadata }) => ({ revision, hash: metadata?.labels?.[hashLabel] }));

  it('[sig-apps] Daemon set [Serial] should run and stop simple daemon [Conformance]', async () => {
    await k.apply(daemon('simple'));
    await rolledOut('simple');
    const before = await podsOf('simple');
    assert.deepEqual(before.map(({ spec }) => spec?.nodeName), [first, second]);
    assert.deepInclude((await get('simple')).status, { desiredNumberScheduled: 2, currentNumberScheduled: 2, numberReady: 2, numberAvailable: 2, updatedNumberScheduled: 2, numberMisscheduled: 0 });
    await k(`delete pod ${before[0]?.metadata?.name} --wait=false`);
    await until('another takes its place', async () => {
      const [revived, stayed, ...more] = await podsOf('simple');
      assert.deepEqual([revived?.spec?.nodeName, revived?.status?.phase, uid(stayed), more.length], [first, 'Running', uid(before[1]), 0]);
      assert.notEqual(uid(revived), uid(before[0]));
    });
    await k('delete daemonset simple');
    await until('stopped everywhere', async () => assert.isEmpty(await k('get pods,controllerrevisions -l app=simple -o name')));
  });

  it('[sig-apps] Daemon set [Serial] should run and stop complex daemon [Conformance]', async () => {
    await k.apply(daemon('complex', {}, { spec: { nodeSelector: { [color]: 'blue' } } }));
    await k('wait --for=jsonpath={.status.observedGeneration}=1 daemonset/complex --timeout=30s');
    assert.deepInclude((await get('complex')).status, { desiredNumberScheduled: 0, currentNumberScheduled: 0 });
    assert.isEmpty(await podsOf('complex'));
    await cluster.kubectl(`label node ${second} ${color}=blue`);
    await k('wait --for=jsonpath={.status.numberReady}=1 daemonset/complex --timeout=30s');
    assert.deepEqual(await nodesOf('complex'), [second]);
    await cluster.kubectl(`label node ${second} --overwrite ${color}=green`);
    await until('it leaves', async () => assert.isEmpty(await k('get pods -l app=complex -o name')));
    await k('patch daemonset complex --type=merge -p', JSON.stringify({ spec: { updateStrategy: { type: 'RollingUpdate' }, template: { spec: { nodeSelector: { [color]: 'green' } } } } }));
    await until('it comes back', async () => assert.deepEqual(await nodesOf('complex'), [second]));
    await rolledOut('complex');
    await k('delete daemonset complex --wait=false');
    await cluster.kubectl(`label node ${second} ${color}-`);
  });

  it('[sig-apps] Daemon set [Serial] should retry creating failed daemon pods [Conformance]', async () => {
    await k.apply(daemon('failing'));
    await rolledOut('failing');
    const [failed, other] = await podsOf('failing');
    await k(`patch pod ${failed?.metadata?.name} --subresource=status --type=merge -p`, '{"status":{"phase":"Failed"}}');
    await until('a new pod on that node', async () => {
      const [fresh, stayed, ...more] = await podsOf('failing');
      assert.deepEqual([fresh?.spec?.nodeName, fresh?.status?.phase, uid(stayed), more.length], [first, 'Running', uid(other), 0]);
      assert.notEqual(uid(fresh), uid(failed));
    });
    await k(`wait --for=delete pod/${failed?.metadata?.name} --timeout=30s`);
    assert.match(await k('events --for daemonset/failing'), new RegExp(`Warning +FailedDaemonPod .*Found failed daemon pod ${k.namespace}/${failed?.metadata?.name} on node ${first}, will try to kill it`));
    await k('delete daemonset failing --wait=false');
  });

  it('[sig-apps] Daemon set [Serial] should update pod when spec was updated and update strategy is RollingUpdate [Conformance]', async () => {
    await k.apply(daemon('rolling', { updateStrategy: { type: 'RollingUpdate' } }));
    await rolledOut('rolling');
    const before = await revisions('rolling');
    assert.deepEqual(before.map(({ revision }) => revision), [1]);
    assert.deepEqual((await podsOf('rolling')).map(({ metadata }) => metadata?.labels?.[hashLabel]), [before[0]?.hash, before[0]?.hash]);

    const watch = k.start('get daemonset rolling -w -o', 'jsonpath={.status.numberUnavailable}{"\\n"}');
    await k(`set image daemonset/rolling main=${otherImage}`);
    await rolledOut('rolling');
    await watch.stop();
    assert.notMatch(watch.output(), /[2-9]/, 'one at a time');
    const pods = await podsOf('rolling');
    assert.deepEqual(pods.map(({ spec }) => `${spec?.nodeName} ${spec?.containers[0]?.image}`), [`${first} ${otherImage}`, `${second} ${otherImage}`]);
    const after = await revisions('rolling');
    assert.deepEqual(after.map(({ revision }) => revision), [1, 2]);
    assert.notEqual(after[1]?.hash, before[0]?.hash);
    assert.deepEqual(pods.map(({ metadata }) => metadata?.labels?.[hashLabel]), [after[1]?.hash, after[1]?.hash]);

    assert.match(await k('rollout history daemonset/rolling'), /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>/);
    assert.match(await k('rollout history daemonset/rolling --revision=1'), new RegExp(`Image:\\s+${busyboxImage}`));
    await k('rollout restart daemonset/rolling');
    await rolledOut('rolling');
    assert.isEmpty((await podsOf('rolling')).filter((pod) => pods.some((old) => uid(old) === uid(pod))), 'all are new');
    await k('delete daemonset rolling --wait=false');
  });

  it('[sig-apps] Daemon set [Serial] should rollback without unnecessary restarts [Conformance]', async () => {
    await k.apply(daemon('undone'));
    await rolledOut('undone');
    const before = await podsOf('undone');
    await k('set image daemonset/undone main=test.local/absent:1');
    await until('half-way', async () => assert.sameMembers((await podsOf('undone')).map(({ spec }) => spec?.containers[0]?.image), [busyboxImage, 'test.local/absent:1']));
    const staying = (await podsOf('undone')).find(({ spec }) => spec?.containers[0]?.image === busyboxImage);
    assert.include(before.map(uid), uid(staying));
    assert.equal(await k('rollout undo daemonset/undone'), 'daemonset.apps/undone rolled back\n');
    await rolledOut('undone');
    const after = await podsOf('undone');
    assert.deepEqual(after.map(({ spec }) => `${spec?.nodeName} ${spec?.containers[0]?.image}`), [`${first} ${busyboxImage}`, `${second} ${busyboxImage}`]);
    const stayed = after.find((pod) => uid(pod) === uid(staying));
    assert.deepInclude(stayed?.status?.containerStatuses?.[0], { containerID: staying?.status?.containerStatuses?.[0]?.containerID, restartCount: 0 });
    assert.deepEqual((await revisions('undone')).map(({ revision }) => revision), [2, 3], 'the first revision became the newest');
    await k('delete daemonset undone --wait=false');
  });

  it('[sig-apps] Daemon set [Serial] should list and delete a collection of DaemonSets [Conformance]', () =>
    checkDeleteCollection(k, 'daemonsets', ['collected-1', 'collected-2'].map((name) => daemon(name)), daemon('kept')));

  it('[sig-apps] Daemon set [Serial] should verify changes to a daemon set status [Conformance]', async () => {
    await k.apply(daemon('told'));
    await rolledOut('told');
    await checkStatus(k, 'daemonset', 'told');
    await k('delete daemonset told --wait=false');
  });

  it('[sig-apps] Daemon set [Serial] should not update pod when spec was updated and update strategy is OnDelete', async () => {
    await k.apply(daemon('manual', { updateStrategy: { type: 'OnDelete' } }));
    await until('two pods', async () => assert.equal((await get('manual')).status?.numberReady, 2));
    const before = await podsOf('manual');
    await k(`set image daemonset/manual main=${otherImage}`);
    await until('the second revision', async () => assert.lengthOf(await revisions('manual'), 2));
    await k('wait --for=jsonpath={.status.observedGeneration}=2 daemonset/manual --timeout=30s');
    assert.deepEqual((await podsOf('manual')).map(uid), before.map(uid));
    await k(`delete pod ${before[1]?.metadata?.name}`);
    await until('the deleted one has the new image', async () => assert.deepEqual((await podsOf('manual')).map(({ spec }) => spec?.containers[0]?.image), [busyboxImage, otherImage]));
    await k('delete daemonset manual --wait=false');
  });

  it('[sig-apps] Daemon set [Serial] should surge pods onto nodes when spec was updated and update strategy is RollingUpdate', async () => {
    await k.apply(daemon('surging', { minReadySeconds: 1, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } }));
    await rolledOut('surging');
    const before = await podsOf('surging');
    const watch = k.start('get pods -l app=surging -w --output-watch-events -o', 'jsonpath={.type},{.object.metadata.name},{.object.spec.nodeName},{.object.status.conditions[?(@.type=="Ready")].status},{.object.metadata.deletionTimestamp}{"\\n"}');
    await until('the watch has begun', () => assert.lengthOf(watch.output().match(/ADDED/g) ?? [], 2));
    await k('set env daemonset/surging VERSION=2');
    await rolledOut('surging');
    for (const { metadata } of before) await k(`wait --for=delete pod/${metadata?.name} --timeout=30s`);
    await watch.stop();
    const there = new Map<string, { node: string; ready: boolean }>();
    let most = 0;
    for (const line of watch.output().trim().split('\n')) {
      const [type, name = '', node = '', ready, deleted] = line.split(',');
      if (type === 'DELETED' || deleted) there.delete(name);
      else there.set(name, { node, ready: ready === 'True' });
      most = Math.max(most, there.size);
      if (there.size >= 2) assert.sameMembers([...new Set([...there.values()].filter((pod) => pod.ready).map((pod) => pod.node))], [first, second], `each node is served after: ${line}`);
    }
    assert.equal(most, 3, 'one more than nodes, no less and no more');
    assert.sameMembers([...there.values()].map(({ node }) => node), [first, second]);
    await k('delete daemonset surging --wait=false');
  });

  it('kubectl drain waits for a disruption budget and leaves daemons where they are', async () => {
    await k.apply(daemon('staying'));
    await k.apply(workload('Deployment', 'guarded', {}, { spec: { nodeSelector: { 'kubernetes.io/hostname': second } } }));
    await k('create pdb guarded --selector=app=guarded --min-available=1');
    await rolledOut('staying');
    await k('wait --for=jsonpath={.status.currentHealthy}=1 pdb/guarded --timeout=30s');
    const guarded = uid((await podsOf('guarded'))[0]);
    const drain = ['--pod-selector', 'app in (guarded,staying)'];
    try {
      const refused = await k.attempt(`drain ${second} --ignore-daemonsets --timeout=1s`, drain);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /Cannot evict pod as it would violate the pod's disruption budget/);
      assert.equal(uid((await podsOf('guarded'))[0]), guarded);
      await k('patch pdb guarded --type=merge -p', '{"spec":{"minAvailable":0}}');
      await k('wait --for=jsonpath={.status.disruptionsAllowed}=1 pdb/guarded --timeout=30s');
      assert.match(await k(`drain ${second} --ignore-daemonsets --timeout=60s`, ...drain), new RegExp(`node/${second} drained`));
      assert.deepEqual(await nodesOf('staying'), [first, second]);
      await until('its successor waits', async () => assert.deepEqual((await podsOf('guarded')).map(({ status }) => status?.phase), ['Pending']));
    } finally {
      await cluster.kubectl(`uncordon ${second}`);
    }
    await rolledOut('staying');
    await k('rollout status deployment/guarded --timeout=60s');
    await k('delete deployment,daemonset,pdb guarded staying --ignore-not-found --wait=false');
  });

  it('kubectl taint: NoSchedule keeps pods away, NoExecute sends them off, daemons that tolerate it stay', async () => {
    const taint = (effect: string): Promise<string> => cluster.kubectl(`taint node ${second} test.local/closed=yes:${effect}`);
    const pinned = (name: string, spec: object = {}): string => JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...podTemplate(name, { spec: { nodeSelector: { 'kubernetes.io/hostname': second }, ...spec } }), metadata: { name, labels: { app: name } } });
    const tolerations = [{ key: 'test.local/closed', operator: 'Exists' }];
    for (const manifest of [daemon('leaving'), daemon('tolerant', {}, { spec: { tolerations } }), pinned('leaving-pod')]) await k.apply(manifest);
    await rolledOut('leaving');
    await rolledOut('tolerant');
    await k('wait --for=condition=Ready pod/leaving-pod --timeout=30s');
    try {
      assert.equal(await taint('NoSchedule'), `node/${second} tainted\n`);
      assert.match((await cluster.kubectl.attempt(`taint node ${second} test.local/closed=no:NoSchedule`)).stderr, /already has test\.local\/closed taint\(s\) with same effect\(s\) and --overwrite is false/);
      await k.apply(pinned('waiting'));
      await until('it waits', async () => assert.match(await k('events --for pod/waiting'), /0\/2 nodes are available: .*1 node\(s\) had untolerated taint\(s\)/));
      await until('one node less', async () => assert.deepInclude((await get('leaving')).status, { desiredNumberScheduled: 1, numberMisscheduled: 1 }));
      assert.deepEqual(await nodesOf('leaving'), [first, second], 'what runs stays');
      await taint('NoExecute');
      await k('wait --for=delete pod/leaving-pod --timeout=30s');
      await until('only what tolerates it', async () => assert.deepEqual([await nodesOf('leaving'), await nodesOf('tolerant')], [[first], [first, second]]));
    } finally {
      assert.equal(await cluster.kubectl(`taint node ${second} test.local/closed-`), `node/${second} untainted\n`);
    }
    await k('wait --for=condition=Ready pod/waiting --timeout=30s');
    await until('on both again', async () => assert.deepEqual(await nodesOf('leaving'), [first, second]));
  });
});
