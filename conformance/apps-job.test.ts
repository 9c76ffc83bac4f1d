// Jobs with real containers, under the titles of upstream's conformance suite. All that need nothing from their test are
// created at once: they run beside each other, and each test looks at how its own ended.
import { assert } from 'chai';
import type { Job, Pod } from '#machinery/api/object.ts';
import { until } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';
import { useSpace } from './fixtures/space.ts';
import type { Space } from './fixtures/space.ts';
import { replace } from './fixtures/workloads.ts';

type JobStatus = NonNullable<Job['status']>;
type JobCondition = NonNullable<JobStatus['conditions']>[number];

const sleeping = 'sleep 3600';
const trackingFinalizer = 'batch.kubernetes.io/job-tracking';
const indexKey = 'batch.kubernetes.io/job-completion-index';

function job(name: string, script: string, spec: object = {}, { labels, pod, container }: { labels?: object; pod?: object; container?: object } = {}): object {
  return {
    apiVersion: 'batch/v1', kind: 'Job', metadata: { name, labels },
    spec: {
      ...spec,
      template: { spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: busyboxImage, command: ['sh', '-c', script], ...container }], ...pod } },
    },
  };
}
const indexed = (completions: number, more: object): object => ({ completionMode: 'Indexed', completions, parallelism: completions, ...more });
const onExitCode = (action: string, code: number): object => ({ action, onExitCodes: { operator: 'In', values: [code] } });

const started = [
  // Sleeps until its pod is taken away; the next one finds the ConfigMap, which exists by then.
  job('evicted', `[ "$MODE" = finish ] || ${sleeping}`, { backoffLimit: 0, podFailurePolicy: { rules: [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }] } },
    { container: { env: [{ name: 'MODE', valueFrom: { configMapKeyRef: { name: 'mode', key: 'mode', optional: true } } }] } }),
  job('exit-code', 'exit 42', { backoffLimit: 6, podFailurePolicy: { rules: [onExitCode('Ignore', 41), onExitCode('FailJob', 42)] } }),
  job('indexed', 'echo "$(hostname) $JOB_COMPLETION_INDEX"', indexed(4, { parallelism: 2 })),
  job('all-succeed', 'true', indexed(3, { successPolicy: { rules: [{ succeededIndexes: '0-2' }] } })),
  job('leader-succeeds', `[ $JOB_COMPLETION_INDEX = 0 ] || ${sleeping}`, indexed(3, { successPolicy: { rules: [{ succeededIndexes: '0' }] } })),
  job('one-succeeds', `[ $JOB_COMPLETION_INDEX = 0 ] || ${sleeping}`, indexed(3, { successPolicy: { rules: [{ succeededIndexes: '1-2', succeededCount: 1 }, { succeededCount: 1 }] } })),
  job('odd-succeed', '[ $((JOB_COMPLETION_INDEX % 2)) = 1 ]', indexed(4, { backoffLimitPerIndex: 1 })),
  job('too-many-fail', 'false', indexed(8, { parallelism: 2, backoffLimitPerIndex: 0, maxFailedIndexes: 1 })),
  job('fails-index', '[ $JOB_COMPLETION_INDEX = 1 ] || exit 42', indexed(2, { backoffLimitPerIndex: 3, podFailurePolicy: { rules: [onExitCode('FailIndex', 42)] } })),
  job('restarts', '[ -e /memory/once ] || { touch /memory/once; exit 1; }', { completions: 3, parallelism: 2 }, {
    pod: { restartPolicy: 'OnFailure', volumes: [{ name: 'memory', emptyDir: {} }] }, container: { volumeMounts: [{ name: 'memory', mountPath: '/memory' }] },
  }),
  job('doomed', sleeping, { parallelism: 2, completions: 4 }),
  job('adopter', sleeping, { parallelism: 2, completions: 4 }),
  job('status', sleeping, { parallelism: 1, completions: 4 }),
];

describe('[sig-apps] Job', function () {
  let cluster: Space['cluster'];
  let k: Space['k'];
  let proxy: Space['proxy'];
  useSpace('jobs', (space) => ({ cluster, k, proxy } = space));
  before(() => k.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: started })));

  const get = (name: string): Promise<Job> => proxy.get(`/apis/batch/v1/namespaces/${k.namespace}/jobs/${name}`);
  const podsOf = async (name: string): Promise<Pod[]> => (await proxy.get<{ items: Pod[] }>(`/api/v1/namespaces/${k.namespace}/pods?labelSelector=batch.kubernetes.io/job-name%3D${name}`)).items;
  const condition = ({ conditions = [] }: JobStatus, type: string): JobCondition | undefined => conditions.find((each) => each.type === type && each.status === 'True');
  async function ended(name: string, type: 'Complete' | 'Failed'): Promise<JobStatus> {
    await until(`${name} is ${type}`, async () => {
      const { status = {} } = await get(name);
      assert.isDefined(condition(status, type), JSON.stringify(status));
    }, 60_000, 300);
    return (await get(name)).status ?? {};
  }
  async function running(name: string, count: number): Promise<Pod[]> {
    await until(`${count} running pods of ${name}`, async () => assert.lengthOf((await podsOf(name)).filter(({ status }) => status?.phase === 'Running'), count), 60_000);
    return podsOf(name);
  }
  const indexOf = ({ metadata }: Pod): string => metadata.annotations?.[indexKey] ?? 'none';

  it('[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition [Conformance]', async () => {
    const [victim] = await running('evicted', 1);
    const name = victim?.metadata.name ?? '';
    await k('create configmap mode --from-literal=mode=finish');
    const eviction = JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: k.namespace } });
    const evicted = await k.attempt(`create --raw /api/v1/namespaces/${k.namespace}/pods/${name}/eviction -f -`, [], { input: eviction });
    assert.equal(evicted.code, 0, evicted.stderr);
    const status = await ended('evicted', 'Complete');
    assert.equal(status.succeeded, 1);
    assert.equal(status.failed ?? 0, 0, 'the back-off limit is 0: one counted failure would have ended the job');
    assert.notInclude((await podsOf('evicted')).filter(({ status: { phase } = {} }) => phase === 'Succeeded').map(({ metadata }) => metadata.name), name);
  });

  it('[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early [Conformance]', async () => {
    const status = await ended('exit-code', 'Failed');
    const [pod, ...more] = await podsOf('exit-code');
    assert.isEmpty(more, 'no second try, though the back-off limit allows six');
    assert.equal(status.failed, 1);
    for (const type of ['FailureTarget', 'Failed']) {
      assert.include(condition(status, type), { reason: 'PodFailurePolicy', message: `Container main for pod ${k.namespace}/${pod?.metadata.name} failed with exit code 42 matching FailJob rule at index 1` });
    }
  });

  it('[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname [Conformance]', async () => {
    const status = await ended('indexed', 'Complete');
    assert.equal(status.completedIndexes, '0-3');
    const pods = await podsOf('indexed');
    assert.deepEqual(pods.map(indexOf).toSorted(), ['0', '1', '2', '3']);
    for (const pod of pods) {
      const index = indexOf(pod);
      assert.equal(pod.metadata.labels?.[indexKey], index);
      assert.equal(pod.spec?.hostname, `indexed-${index}`);
      assert.match(pod.metadata.name ?? '', new RegExp(`^indexed-${index}-[a-z0-9]{5}$`));
    }
    const said = (await k('logs -l batch.kubernetes.io/job-name=indexed')).trim().split('\n').sort();
    assert.deepEqual(said, ['indexed-0 0', 'indexed-1 1', 'indexed-2 2', 'indexed-3 3']);
  });

  const bySuccessPolicy = (status: JobStatus, rule: number): void => {
    for (const type of ['SuccessCriteriaMet', 'Complete']) assert.include(condition(status, type), { reason: 'SuccessPolicy', message: `Matched rules at index ${rule}` });
  };
  it('[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]', async () => {
    const status = await ended('all-succeed', 'Complete');
    bySuccessPolicy(status, 0);
    assert.include(status, { completedIndexes: '0-2', succeeded: 3 });
  });
  it('[sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending [Conformance]', async () => {
    const status = await ended('leader-succeeds', 'Complete');
    bySuccessPolicy(status, 0);
    assert.include(status, { completedIndexes: '0', succeeded: 1, terminating: 0 });
    assert.equal(status.active ?? 0, 0);
    assert.deepEqual((await podsOf('leader-succeeds')).filter(({ status: { phase } = {} }) => phase === 'Running'), [], 'those that still worked are stopped');
  });
  it('[sig-apps] Job with successPolicy succeededCount rule should succeeded even when some indexes remain pending [Conformance]', async () => {
    const status = await ended('one-succeeds', 'Complete');
    bySuccessPolicy(status, 1);
    assert.include(status, { completedIndexes: '0', succeeded: 1, terminating: 0 });
  });

  it('[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]', async () => {
    const status = await ended('odd-succeed', 'Failed');
    assert.equal(condition(status, 'Failed')?.reason, 'FailedIndexes');
    assert.include(status, { completedIndexes: '1,3', failedIndexes: '0,2', succeeded: 2, failed: 4 }, 'each failing index was tried twice');
  });

  it('[sig-apps] Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes [Conformance]', async () => {
    const status = await ended('too-many-fail', 'Failed');
    assert.equal(condition(status, 'Failed')?.reason, 'MaxFailedIndexesExceeded');
    assert.notInclude((await podsOf('too-many-fail')).map(indexOf), '7', 'the last index was never started');
  });

  it('[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy [Conformance]', async () => {
    const status = await ended('fails-index', 'Failed');
    assert.equal(condition(status, 'Failed')?.reason, 'FailedIndexes');
    assert.include(status, { completedIndexes: '1', failedIndexes: '0', succeeded: 1, failed: 1 }, 'not tried again, though its limit allows three');
  });

  it('[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]', async () => {
    const status = await ended('restarts', 'Complete');
    assert.equal(status.succeeded, 3);
    assert.equal(status.failed ?? 0, 0);
    assert.equal(condition(status, 'Complete')?.reason, 'CompletionsReached');
    assert.deepEqual((await podsOf('restarts')).map((pod) => pod.status?.containerStatuses?.[0]?.restartCount), [1, 1, 1]);
  });

  it('[sig-apps] Job should delete a job [Conformance]', async () => {
    await running('doomed', 2);
    await k('delete job doomed');
    assert.include((await k.attempt('get job doomed')).stderr, 'NotFound');
    await until('its pods are gone', async () => assert.isEmpty(await podsOf('doomed')));
  });

  it('[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]', async () => {
    const { uid = '' } = (await get('adopter')).metadata;
    const name = (await running('adopter', 2))[0]?.metadata.name ?? '';
    const pod = (): Promise<Pod> => proxy.get(`/api/v1/namespaces/${k.namespace}/pods/${name}`);
    await k(`patch pod ${name} --type=json -p`, '[{"op":"remove","path":"/metadata/ownerReferences"}]');
    await until('adopted again', async () => {
      assert.deepEqual((await pod()).metadata.ownerReferences, [{ apiVersion: 'batch/v1', kind: 'Job', name: 'adopter', uid, controller: true, blockOwnerDeletion: true }]);
    });
    await k(`patch pod ${name} --type=json -p`, '[{"op":"remove","path":"/metadata/labels"}]');
    await until('released', async () => {
      const { ownerReferences, finalizers } = (await pod()).metadata;
      assert.isUndefined(ownerReferences);
      assert.notInclude(finalizers ?? [], trackingFinalizer, 'nobody counts it any more');
    });
    await until('another one in its place', async () => assert.lengthOf(await podsOf('adopter'), 2));
    await k(`delete pod ${name} --wait=false`);
  });

  it('[sig-apps] Job should apply changes to a job status [Conformance]', async () => {
    await until('one active pod', async () => assert.equal((await get('status')).status?.active, 1));
    const custom = (lastTransitionTime: string): object => ({ type: 'Reviewed', status: 'True', lastTransitionTime });
    const seen = (status: JobStatus = {}): unknown => condition(status, 'Reviewed')?.lastTransitionTime;

    await k('patch job status --subresource=status --type=merge -p', JSON.stringify({ metadata: { annotations: { reviewed: 'yes' } }, status: { conditions: [custom('2026-01-02T03:04:05Z')] } }));
    const patched = await k.json<Job>('get job status --subresource=status');
    assert.equal(seen(patched.status), '2026-01-02T03:04:05Z');
    assert.equal(patched.metadata.annotations?.['reviewed'], 'yes');

    await until('written without a conflict', async () => {
      const current = await get('status');
      const wanted = { ...current, spec: { ...current.spec, parallelism: 3 }, status: { ...current.status, conditions: [custom('2026-01-02T03:04:06Z')] } };
      await replace(k, wanted, '--subresource=status');
    });
    const replaced = await get('status');
    assert.equal(seen(replaced.status), '2026-01-02T03:04:06Z');
    assert.equal(replaced.spec?.parallelism, 1, 'a write of the status leaves the spec alone');
    // The controller's next write keeps what others wrote.
    await k('patch job status --type=merge -p', '{"spec":{"parallelism":2}}');
    await until('two active pods', async () => assert.equal((await get('status')).status?.active, 2));
    assert.equal(seen((await get('status')).status), '2026-01-02T03:04:06Z');
  });

  it('[sig-apps] Job should manage the lifecycle of a job [Conformance]', async () => {
    const selector = `owner=${k.namespace}`;
    const watch = k.start(`get jobs -l ${selector} -w --output-watch-events -o`, 'jsonpath={.type} {.object.metadata.labels.step} {.object.metadata.annotations.step} {.object.spec.suspend}{"\\n"}');
    try {
      await k.apply(JSON.stringify(job('lifecycle', 'true', { suspend: true, parallelism: 2, completions: 2 }, { labels: { owner: k.namespace } })));
      await until('noted as suspended', async () => assert.isDefined(condition((await get('lifecycle')).status ?? {}, 'Suspended')));
      assert.isEmpty(await podsOf('lifecycle'), 'nothing runs while it is suspended');
      await k('patch job lifecycle -p', '{"metadata":{"labels":{"step":"patched"}}}');
      await until('updated without a conflict', async () => {
        const current = await get('lifecycle');
        const wanted = { ...current, metadata: { ...current.metadata, annotations: { step: 'updated' } }, spec: { ...current.spec, suspend: false } };
        await replace(k, wanted);
      });
      const everywhere = await cluster.kubectl.json<{ items: Job[] }>(`get jobs -A -l ${selector}`);
      assert.deepEqual(everywhere.items.map(({ metadata }) => metadata.name), ['lifecycle']);
      const status = await ended('lifecycle', 'Complete');
      assert.equal(status.succeeded, 2);
      assert.deepInclude(status.conditions?.find(({ type }) => type === 'Suspended'), { status: 'False', reason: 'JobResumed' });

      await k(`delete --raw /apis/batch/v1/namespaces/${k.namespace}/jobs?labelSelector=${selector}&propagationPolicy=Background`);
      await until('the collection is empty', async () => assert.isEmpty((await cluster.kubectl.json<{ items: Job[] }>(`get jobs -A -l ${selector}`)).items));
      await until('its pods are gone', async () => assert.isEmpty(await podsOf('lifecycle')));
      await until('the watch told of it all', () => {
        const lines = watch.output().split('\n');
        const at = [/^ADDED {3}true$/, /^MODIFIED patched {2}true$/, /^MODIFIED patched updated false$/, /^DELETED patched updated false$/].map((line) => lines.findIndex((each) => line.test(each)));
        assert.isTrue(at.every((index, position) => index >= 0 && index >= (at[position - 1] ?? 0)), `${at.join()}\n${watch.output()}`);
      });
    } finally {
      await watch.stop();
    }
  });
});
