// Deployments under upstream's titles, and what kubectl does with them beyond kubectl.test.ts.
import type { V1Deployment, V1ReplicaSet, V1ReplicaSetList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { until } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';
import { useSpace } from './fixtures/space.ts';
import type { Space } from './fixtures/space.ts';
import { checkScale, checkStatus, nowhere, replace, rest, workload } from './fixtures/workloads.ts';

const otherImage = 'test.local/busybox:2';
const revisionOf = ({ metadata }: V1ReplicaSet | V1Deployment): number => Number(metadata?.annotations?.['deployment.kubernetes.io/revision'] ?? 0);

describe('[sig-apps] Deployment', function () {
  let cluster: Space['cluster'];
  let k: Space['k'];
  let proxy: Space['proxy'];
  useSpace('deployment', (space) => ({ cluster, k, proxy } = space));
  before(() => cluster.host.docker('tag', busyboxImage, otherImage));
  const apps = (): string => `/apis/apps/v1/namespaces/${k.namespace}`;
  const get = (name: string): Promise<V1Deployment> => proxy.get<V1Deployment>(`${apps()}/deployments/${name}`);
  const rolledOut = (name: string): Promise<string> => k(`rollout status deployment/${name} --timeout=60s`);
  /** By revision. */
  const sets = async (app: string): Promise<V1ReplicaSet[]> => (await proxy.get<V1ReplicaSetList>(`${apps()}/replicasets?labelSelector=app%3D${app}`)).items.sort((a, b) => revisionOf(a) - revisionOf(b));
  const wanted = async (app: string): Promise<(number | undefined)[]> => (await sets(app)).map(({ spec }) => spec?.replicas);
  const actual = async (app: string): Promise<(number | undefined)[]> => (await sets(app)).map(({ status }) => status?.replicas);

  it('[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]', async () => {
    await k.apply(workload('Deployment', 'scaled'));
    await rolledOut('scaled');
    await checkScale(k, 'deployment', 'scaled');
  });

  it('[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]', async () => {
    await k.apply(workload('Deployment', 'told'));
    await rolledOut('told');
    await checkStatus(k, 'deployment', 'told');
    await k('delete deployment told --wait=false');
  });

  it('[sig-apps] Deployment deployment should delete old replica sets [Conformance]', async () => {
    // One that was there before is the Deployment's oldest from then on.
    await k.apply(workload('ReplicaSet', 'cleanup-first', { replicas: 1, selector: { matchLabels: { app: 'cleanup', own: 'first' } } }, { labels: { app: 'cleanup', own: 'first' } }));
    await k('wait --for=jsonpath={.status.readyReplicas}=1 replicaset/cleanup-first --timeout=60s');
    const watch = k.start('get pods -l app=cleanup -w --watch-only -o name');
    await k.apply(workload('Deployment', 'cleanup', { revisionHistoryLimit: 0 }));
    await rolledOut('cleanup');
    await until('only the newest ReplicaSet', async () => assert.deepEqual((await sets('cleanup')).map(({ spec }) => spec?.selector.matchLabels?.['own']), [undefined]));
    await k('patch deployment cleanup --type=merge -p', '{"spec":{"revisionHistoryLimit":1}}');
    for (const version of ['2', '3']) {
      await k(`set env deployment/cleanup VERSION=${version}`);
      await rolledOut('cleanup');
    }
    await until('one old ReplicaSet', async () => assert.deepEqual((await sets('cleanup')).map(revisionOf), [2, 3]));
    await watch.stop();
    assert.equal(new Set(watch.output().trim().split('\n')).size, 4, 'the first pod, and one for each of three templates');
    await k('delete deployment cleanup --wait=false');
  });

  it('[sig-apps] Deployment deployment should support proportional scaling [Conformance]', async () => {
    await k.apply(workload('Deployment', 'proportional', { replicas: 5, strategy: { rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } }));
    await rolledOut('proportional');
    // A template that cannot run stops the rollout half-way: three of the old must stay, and there may be eight in all.
    await k('patch deployment proportional --type=merge -p', JSON.stringify({ spec: { template: { spec: nowhere } } }));
    await until('half-way', async () => assert.deepEqual([await wanted('proportional'), await actual('proportional')], [[3, 5], [3, 5]]));
    await k('scale deployment proportional --replicas=11');
    // 14 are allowed now: 3 * 14 / 8 and 5 * 14 / 8, rounded.
    await until('both have grown', async () => assert.deepEqual(await wanted('proportional'), [5, 9]));
    await until('the old are ready', async () => assert.equal((await get('proportional')).status?.availableReplicas, 5));
    assert.deepEqual(await wanted('proportional'), [5, 9], 'and stay so');
    await k('delete deployment proportional --wait=false');
  });

  it('[sig-apps] Deployment deployment should support rollover [Conformance]', async () => {
    await k.apply(workload('ReplicaSet', 'rollover-first', { replicas: 2, selector: { matchLabels: { app: 'rollover', own: 'first' } } }, { labels: { app: 'rollover', own: 'first' } }));
    await k('wait --for=jsonpath={.status.readyReplicas}=2 replicaset/rollover-first --timeout=60s');
    const watch = k.start('get deployment -l app=rollover -w -o', 'jsonpath={.status.observedGeneration} {.status.replicas} {.status.availableReplicas}{"\\n"}');
    await k.apply(workload('Deployment', 'rollover', { replicas: 2, minReadySeconds: 1, strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } }, { spec: nowhere }));
    await until('stuck', async () => assert.deepEqual([await wanted('rollover'), await actual('rollover')], [[2, 1], [2, 1]]));
    assert.equal((await sets('rollover'))[0]?.metadata?.ownerReferences?.[0]?.name, 'rollover', 'the first one is adopted');
    await k('patch deployment rollover --type=merge -p', '{"spec":{"template":{"spec":{"nodeSelector":null}}}}');
    await rolledOut('rollover');
    await watch.stop();
    assert.deepEqual([await wanted('rollover'), await actual('rollover')], [[0, 0, 2], [0, 0, 2]]);
    const counts = watch.output().trim().split('\n').map((line) => line.split(' ').map(Number)).filter(([generation]) => generation);
    assert.isAbove(counts.length, 3);
    for (const [, total = 0, available = 0] of counts) {
      assert.isAtMost(total, 3);
      assert.isAtLeast(available, 2, 'the first two serve until the last two do');
    }
    await k('delete deployment rollover --wait=false');
  });

  it('[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]', async () => {
    const marked = `lifecycle=${k.namespace}`;
    const watch = k.start(`get deployments -l ${marked} -w --output-watch-events -o`, 'jsonpath={.type} {.object.metadata.labels.step} {.object.status.readyReplicas}{"\\n"}');
    const seen = (line: RegExp): Promise<void> => until(line.source, () => assert.match(watch.output(), line), 60_000);
    const manifest = JSON.parse(workload('Deployment', 'lifecycle', { replicas: 2 })) as { metadata: { labels: object }; spec: object };
    const body = (step: string): object => ({ ...manifest, metadata: { ...manifest.metadata, labels: { lifecycle: k.namespace, step } } });
    await k.apply(JSON.stringify(body('created')));
    await seen(/^ADDED created $/m);
    await seen(/^MODIFIED created 2$/m);

    await k('patch deployment lifecycle --type=strategic -p', JSON.stringify({ metadata: { labels: { step: 'patched' } }, spec: { replicas: 1, template: { spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image: otherImage }] } } } }));
    await rolledOut('lifecycle');
    await seen(/^MODIFIED patched 1$/m);
    const patched = await get('lifecycle');
    assert.deepInclude(patched.spec?.template.spec?.containers[0], { image: otherImage, command: rest }, 'a strategic patch keeps what it does not name');
    assert.deepInclude(patched.status, { replicas: 1, readyReplicas: 1, updatedReplicas: 1, availableReplicas: 1 });
    assert.equal((await k(`get deployments -A -l ${marked} -o name`)).trim(), 'deployment.apps/lifecycle');

    await replace(k, body('replaced'));
    await rolledOut('lifecycle');
    await seen(/^MODIFIED replaced 2$/m);
    assert.equal((await get('lifecycle')).spec?.template.spec?.containers[0]?.image, busyboxImage);

    // A status that is not true does not last.
    const lie = await k('patch deployment lifecycle --subresource=status --type=merge -o', 'jsonpath={.status.replicas} {.status.readyReplicas}', '-p', '{"status":{"replicas":7,"readyReplicas":7,"availableReplicas":7}}');
    assert.equal(lie, '7 7');
    await seen(/^MODIFIED replaced 7$/m);
    await until('the truth again', async () => assert.deepInclude((await get('lifecycle')).status, { readyReplicas: 2, availableReplicas: 2 }));

    await k(`delete --raw /apis/apps/v1/namespaces/${k.namespace}/deployments?labelSelector=lifecycle%3D${k.namespace}`);
    await seen(/^DELETED replaced 2$/m);
    await watch.stop();
    await until('nothing left', async () => assert.equal(await k('get replicasets,pods -l app=lifecycle -o name'), ''));
  });

  it('kubectl wait, rollout history with causes, undo to a revision, autoscale', async () => {
    await k.apply(workload('Deployment', 'commands'));
    assert.match(await k('wait --for=condition=Available deployment/commands --timeout=60s'), /condition met/);
    const versionNow = (): Promise<string> => k('get deployment commands -o', 'jsonpath={.spec.template.spec.containers[0].env[0].value}');

    await k('annotate deployment commands kubernetes.io/change-cause=first');
    await k('set env deployment/commands VERSION=2');
    await k('annotate deployment commands --overwrite kubernetes.io/change-cause=second');
    await rolledOut('commands');
    await until('the causes', async () => assert.match(await k('rollout history deployment/commands'), /\n1 +first\n2 +second\n/));
    assert.equal(await k('rollout undo deployment/commands --to-revision=1'), 'deployment.apps/commands rolled back\n');
    await rolledOut('commands');
    assert.equal(await versionNow(), '1');
    // The old way, for which the controller looks the template up.
    await k('annotate deployment commands deprecated.deployment.rollback.to=0');
    await until('back to the second revision', async () => assert.match(await k('events --for deployment/commands'), /Normal +DeploymentRollback .*Rolled back deployment "commands" to revision 2/));
    assert.equal(await versionNow(), '2');
    await rolledOut('commands');

    assert.equal(await k('autoscale deployment commands --min=2 --max=4 --cpu-percent=80'), 'horizontalpodautoscaler.autoscaling/commands autoscaled\n');
    await k('wait --for=jsonpath={.status.availableReplicas}=2 deployment/commands --timeout=60s');
    assert.match(await k('get hpa commands'), /^NAME +REFERENCE +TARGETS +MINPODS +MAXPODS +REPLICAS +AGE\ncommands +Deployment\/commands +cpu: \S+\/80% +2 +4 +\d /);
    await k('delete deployment,hpa commands --wait=false');
  });
});
