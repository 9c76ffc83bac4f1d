// CronJobs under upstream's titles. Four of them wait for the same full minute. A time they missed long ago is written into their
// status before, so that each starts its first Job at once and that minute brings the second.
import type { V1CronJob, V1Job, V1JobList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { sleep, until } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';
import { useSpace } from './fixtures/space.ts';
import type { Space } from './fixtures/space.ts';

const minute = 60_000;
const longMs = 90_000;
const policies = { concurrent: 'Allow', suspended: 'Allow', forbid: 'Forbid', replace: 'Replace' } as const;
type Name = keyof typeof policies;
const cronJob = (name: string, spec: object, command: readonly string[] = ['sleep', '300']): string => JSON.stringify({
  apiVersion: 'batch/v1', kind: 'CronJob', metadata: { name },
  spec: {
    schedule: '*/1 * * * ?', ...spec,
    jobTemplate: { metadata: { labels: { of: name } }, spec: { template: { metadata: { labels: { of: name } }, spec: { restartPolicy: 'OnFailure', terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: busyboxImage, command }] } } } },
  },
});
const scheduledAt = (job: V1Job): number => Date.parse(job.metadata?.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'] ?? '');

describe('[sig-apps] CronJob', function () {
  let k: Space['k'];
  let proxy: Space['proxy'];
  useSpace('cronjob', (space) => ({ k, proxy } = space));
  /** What each had started before the minute. */
  const firsts = new Map<Name, V1Job>();
  const batch = (): string => `/apis/batch/v1/namespaces/${k.namespace}`;
  const get = (name: string): Promise<V1CronJob> => proxy.get<V1CronJob>(`${batch()}/cronjobs/${name}`);
  /** By scheduled time: lists are in the order of names. */
  const jobsOf = async (name: string): Promise<V1Job[]> =>
    (await proxy.get<V1JobList>(`${batch()}/jobs?labelSelector=of%3D${name}`)).items.filter(({ metadata }) => !metadata?.deletionTimestamp);
  const names = (jobs: readonly V1Job[]): (string | undefined)[] => jobs.map(({ metadata }) => metadata?.name);
  const active = async (name: string): Promise<(string | undefined)[]> => ((await get(name)).status?.active ?? []).map((each) => each.name);
  /** As if its last time had been then. */
  const backdate = (name: string, at: number): Promise<string> =>
    k(`patch cronjob ${name} --subresource=status --type=merge -p`, JSON.stringify({ status: { lastScheduleTime: new Date(Math.floor(at / minute) * minute).toISOString().replace('.000Z', 'Z') } }));

  before(async () => {
    // Best when all have their first Job before the minute that brings the second; one that is late waits for another.
    const left = minute - Date.now() % minute;
    if (left < 5000) await sleep(left + 500);
    for (const [name, concurrencyPolicy] of Object.entries(policies)) await k.apply(cronJob(name, { concurrencyPolicy, suspend: name === 'suspended' }));
    await Promise.all(Object.keys(policies).map((name) => backdate(name, Date.now() - 3 * minute)));
    for (const name of ['concurrent', 'forbid', 'replace'] as const) {
      await until(`the first Job of ${name}`, async () => {
        const [job] = await jobsOf(name);
        assert.equal(job?.status?.active, 1);
        assert.include(await active(name), job?.metadata?.name);
        firsts.set(name, job as V1Job);
      });
    }
  });
  it('missed times are made up for by one Job, of the last of them', () => {
    for (const [name, job] of firsts) {
      const at = scheduledAt(job);
      assert.equal(at % minute, 0);
      assert.isBelow(Date.parse(job.metadata?.creationTimestamp?.toString() ?? '') - at, minute);
      assert.equal(job.metadata?.name, `${name}-${at / minute}`);
      assert.deepInclude(job.metadata?.ownerReferences?.[0], { kind: 'CronJob', name, controller: true, blockOwnerDeletion: true });
    }
  });

  it('kubectl create cronjob, create job --from, suspend', async () => {
    assert.equal(await k(`create cronjob by-hand --image=${busyboxImage} --schedule`, '0 0 29 2 *', '--', 'echo', 'done by hand'), 'cronjob.batch/by-hand created\n');
    assert.match(await k('get cronjob by-hand'), /^NAME +SCHEDULE +TIMEZONE +SUSPEND +ACTIVE +LAST SCHEDULE +AGE\nby-hand +0 0 29 2 \* +<none> +False +0 +<none> +\d+s\n$/);
    assert.equal(await k('create job now --from=cronjob/by-hand'), 'job.batch/now created\n');
    await k('wait --for=condition=Complete job/now --timeout=30s');
    assert.equal(await k('logs job/now'), 'done by hand\n');
    assert.equal(await k('get job now -o', 'jsonpath={.metadata.annotations.cronjob\\.kubernetes\\.io/instantiate} {.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}'), 'manual CronJob/by-hand');
    await until('its end is noted', async () => assert.isDefined((await get('by-hand')).status?.lastSuccessfulTime));
    await k('patch cronjob by-hand -p', '{"spec":{"suspend":true}}');
    assert.match(await k('get cronjob by-hand'), / True +0 /);
    await k('delete cronjob by-hand');
    await until('its Job goes with it', async () => assert.equal((await k.attempt('get job now')).code, 1));
    for (const [field, value, message] of [['schedule', 'every minute', /spec\.schedule: Invalid value: "every minute"/], ['timeZone', 'Nowhere/Else', /spec\.timeZone: Invalid value: "Nowhere\/Else": unknown time zone Nowhere\/Else/]] as const) {
      const refused = await k.attempt('create -f -', [], { input: cronJob('bad', { [field]: value }) });
      assert.match(refused.stderr, message);
    }
  });

  it('finished Jobs beyond the history limits go', async () => {
    // Two times of this hour, one after the other: what was due before the last known time is never looked at again.
    const [early, late] = [2, 1].map((ago) => new Date(Date.now() - ago * minute).getUTCMinutes());
    await k.apply(cronJob('history', { schedule: `${early} * * * *`, timeZone: 'Etc/UTC', successfulJobsHistoryLimit: 1 }, ['true']));
    await backdate('history', Date.now() - 4 * minute);
    await until('one done', async () => assert.equal((await jobsOf('history'))[0]?.status?.succeeded, 1));
    const [old] = names(await jobsOf('history'));
    await k('patch cronjob history -p', JSON.stringify({ spec: { schedule: `${late} * * * *` } }));
    await until('only the second', async () => {
      const [job, ...more] = await jobsOf('history');
      assert.equal(job?.status?.succeeded, 1);
      assert.isEmpty(more);
      assert.notEqual(job?.metadata?.name, old);
    });
    const events = await k('events --for cronjob/history');
    for (const pattern of [new RegExp(`Normal +SuccessfulCreate .*Created job ${old}`), new RegExp(`SawCompletedJob .*Saw completed job: ${old}, condition: Complete`), new RegExp(`SuccessfulDelete .*Deleted job ${old}`)]) assert.match(events, pattern);
    assert.isEmpty(await active('history'));
  });

  it('[sig-apps] CronJob should schedule multiple jobs concurrently [Conformance]', async function () {
    this.timeout(120_000);
    await until('a second Job', async () => assert.lengthOf(await active('concurrent'), 2), longMs);
    const jobs = await jobsOf('concurrent');
    assert.deepEqual(jobs.map(({ status }) => status?.active), [1, 1]);
    assert.equal(names(jobs)[0], firsts.get('concurrent')?.metadata?.name);
    const [before = 0, at = 0] = jobs.map(scheduledAt);
    assert.equal(at - before, minute);
    assert.approximately(Date.parse(jobs[1]?.metadata?.creationTimestamp?.toString() ?? ''), at, 5000, 'started when it was due');
    assert.equal(Date.parse((await get('concurrent')).status?.lastScheduleTime?.toString() ?? ''), at);
  });

  it('[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Slow] [Conformance]', async () => {
    await until('it was considered', async () => assert.match(await k('events --for cronjob/forbid'), /Normal +JobAlreadyActive .*Not starting job because prior execution is running and concurrency policy is Forbid/), longMs, 500);
    assert.deepEqual(names(await jobsOf('forbid')), names([firsts.get('forbid') as V1Job]));
    assert.deepEqual(await active('forbid'), names([firsts.get('forbid') as V1Job]));
    // With the way free, the time that was missed is made up for.
    await k(`delete job ${firsts.get('forbid')?.metadata?.name}`);
    await until('the next one', async () => {
      const [job, ...more] = await jobsOf('forbid');
      assert.isEmpty(more);
      assert.isAbove(scheduledAt(job as V1Job), scheduledAt(firsts.get('forbid') as V1Job));
      assert.deepEqual(await active('forbid'), names([job as V1Job]));
    });
    assert.match(await k('events --for cronjob/forbid'), /Normal +MissingJob .*Active job went missing/);
  });

  it('[sig-apps] CronJob should replace jobs when ReplaceConcurrent [Conformance]', async () => {
    const first = firsts.get('replace') as V1Job;
    await until('another in its place', async () => {
      const [job, ...more] = await jobsOf('replace');
      assert.isEmpty(more);
      assert.equal(scheduledAt(job as V1Job) - scheduledAt(first), minute);
      assert.deepEqual(await active('replace'), names([job as V1Job]));
    }, longMs);
    await until('the pods of the first are gone', async () => assert.equal(await k(`get pods -l batch.kubernetes.io/job-name=${first.metadata?.name} -o name`), ''));
    await until('the second runs', async () => assert.equal(await k('get pods -l of=replace -o', 'jsonpath={.items[*].status.phase}'), 'Running'));
  });

  it('[sig-apps] CronJob should not schedule jobs when suspended [Slow] [Conformance]', async () => {
    // The others have had two times meanwhile.
    assert.isEmpty(await jobsOf('suspended'));
    assert.isEmpty(await active('suspended'));
    await k('patch cronjob suspended -p', '{"spec":{"suspend":false}}');
    await until('one starts when it may', async () => assert.lengthOf(await active('suspended'), 1));
    assert.lengthOf(await jobsOf('suspended'), 1);
  });
});
