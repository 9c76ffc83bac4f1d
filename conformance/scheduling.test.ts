// What the scheduler owes users on two nodes with real containers: rules that keep a pod away, and pods that make way for more
// important ones. Titles are those of upstream's conformance suite; its LimitRange and PriorityClass entries are in quota.test.ts and
// api-operations.test.ts.
import type { CoreV1EventList, V1Node, V1NodeList, V1Pod, V1PodList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { clusterOf, freeHost, needsHost, startServer, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import type { Host } from './fixtures/host.ts';
import { busyboxImage } from './fixtures/images.ts';

/** An extended resource that no machine has: nodes get some of it from a test, so that what is left is known exactly. */
const berth = 'proa.example.com/berth';

interface Wish { cpu?: string; berths?: number; priority?: string; on?: string; selector?: Record<string, string>; labels?: Record<string, string>; port?: object; finalizers?: string[] }
/** `cpu` and `berths` are requested; `on` leaves the choice of the node to the scheduler, and it one node. */
function podOf(name: string, { cpu, berths, priority, on, selector, labels, port, finalizers }: Wish = {}): { metadata: object; spec: object } {
  const resources = { requests: { ...(cpu ? { cpu } : {}), ...(berths ? { [berth]: String(berths) } : {}) }, limits: berths ? { [berth]: String(berths) } : {} };
  const required = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [on] }] }] };
  return {
    metadata: { name, labels, finalizers },
    spec: {
      terminationGracePeriodSeconds: 0, priorityClassName: priority, nodeSelector: selector,
      ...(on ? { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } } } : {}),
      containers: [{ name: 'main', image: busyboxImage, command: port ? ['httpd', '-f', '-p', '8080'] : ['sleep', '3600'], resources, ...(port ? { ports: [{ containerPort: 8080, ...port }] } : {}) }],
    },
  };
}
const pod = (name: string, wish?: Wish): string => JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...podOf(name, wish) });
/** kubectl takes a list of objects as one. */
const list = (...objects: string[]): string => `{"apiVersion":"v1","kind":"List","items":[${objects.join()}]}`;

describe('[sig-scheduling]', function () {
  let host: Host;
  let cluster: Cluster;
  let kubectl: Kubectl;
  /** Names and addresses of the two nodes. */
  let first: string;
  let second: string;
  let addresses: Map<string, string>;
  before(needsHost);
  before(async () => {
    host = await freeHost();
    cluster = await clusterOf(host, await startServer(host, ['--nodes', '2', '--stop-pods']));
    ({ kubectl } = cluster);
    await until('two Ready nodes', async () => {
      const { items } = await kubectl.json<V1NodeList>('get nodes');
      assert.deepEqual(items.map(({ status }) => status?.conditions?.find(({ type }) => type === 'Ready')?.status), ['True', 'True']);
      [first = '', second = ''] = items.map(({ metadata }) => metadata?.name);
      addresses = new Map(items.map(({ metadata, status }) => [metadata?.name ?? '', status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '']));
    });
  });
  after(() => cluster?.server.stop());

  type Space = Kubectl & { namespace: string };
  const spaces: Space[] = [];
  const namespace = async (prefix: string): Promise<Space> => {
    const space = await cluster.namespace(prefix);
    spaces.push(space);
    return space;
  };
  afterEach('room for the next one', async () => {
    for (const k of spaces.splice(0)) await k('delete replicasets,pods --all --force --grace-period=0');
  });
  const running = (k: Kubectl, ...names: string[]): Promise<string> => k(`wait --for=condition=Ready --timeout=30s ${names.map((name) => `pod/${name}`).join(' ')}`);
  const read = (k: Kubectl, name: string): Promise<V1Pod> => k.json<V1Pod>(`get pod ${name}`);
  /** Waits until the scheduler has said why it found no node. */
  async function refused(k: Kubectl, name: string, why: RegExp): Promise<V1Pod> {
    let seen: V1Pod | undefined;
    await until(`${name} to be unschedulable`, async () => {
      seen = await read(k, name);
      const condition = seen.status?.conditions?.find(({ type }) => type === 'PodScheduled');
      assert.deepInclude(condition, { status: 'False', reason: 'Unschedulable' });
      assert.match(condition?.message ?? '', why);
    });
    assert.isUndefined(seen?.spec?.nodeName);
    assert.equal(seen?.status?.phase, 'Pending');
    const { items } = await k.json<CoreV1EventList>(`get events --field-selector involvedObject.name=${name},reason=FailedScheduling`);
    assert.isNotEmpty(items);
    assert.match(items.at(-1)?.message ?? '', why);
    return seen as V1Pod; // until() has seen it
  }

  describe('SchedulerPredicates [Serial]', () => {
    it('validates resource limits of pods that are allowed to run [Conformance]', async () => {
      const k = await namespace('limits');
      const milli = (quantity: string): number => (quantity.endsWith('m') ? Number.parseInt(quantity, 10) : Number(quantity) * 1000);
      const { items: others } = await kubectl.json<V1PodList>('get pods -A');
      const left = new Map<string, number>();
      for (const { metadata, status } of (await kubectl.json<V1NodeList>('get nodes')).items) {
        const taken = others.filter(({ spec }) => spec?.nodeName === metadata?.name).flatMap(({ spec }) => spec?.containers ?? []).reduce((sum, { resources }) => sum + milli(resources?.requests?.cpu ?? '0'), 0);
        left.set(metadata?.name ?? '', milli(status?.allocatable?.cpu ?? '0') - taken);
      }
      // Three quarters of what each node has left: a pod that wants half of it fits nowhere, one that wants a fifth does.
      const least = Math.min(...left.values());
      assert.isAbove(least, 100, 'there is CPU to share out');
      await k.apply(list(...[...left].map(([node, cpu], i) => pod(`filler-${i}`, { cpu: `${Math.floor(cpu * 0.75)}m`, on: node }))));
      await running(k, 'filler-0', 'filler-1');
      await k.apply(list(pod('large', { cpu: `${Math.floor(Math.max(...left.values()) * 0.5)}m` }), pod('small', { cpu: `${Math.floor(least * 0.2)}m` })));
      await refused(k, 'large', /^0\/2 nodes are available: 2 Insufficient cpu\. no new claims to deallocate, preemption: 0\/2 nodes are available: 2 No preemption victims found for incoming pod\.$/);
      await running(k, 'small');
      const freed = (await read(k, 'filler-1')).spec?.nodeName;
      await k('delete pod filler-1 small --now');
      await running(k, 'large');
      assert.equal((await read(k, 'large')).spec?.nodeName, freed);
    });

    it('validates that NodeSelector is respected if not matching [Conformance]', async () => {
      const k = await namespace('unmatched');
      await k.apply(pod('choosy', { selector: { harbour: 'none' } }));
      await refused(k, 'choosy', /^0\/2 nodes are available: 2 node\(s\) didn't match Pod's node affinity\/selector\. no new claims to deallocate, preemption: 0\/2 nodes are available: 2 Preemption is not helpful for scheduling\.$/);
      await kubectl(`label node ${first} harbour=other`); // a change that does not help
      await kubectl(`label node ${second} harbour=none`);
      await running(k, 'choosy');
      assert.equal((await read(k, 'choosy')).spec?.nodeName, second);
      await kubectl(`label node ${first} ${second} harbour-`);
    });

    it('validates that NodeSelector is respected if matching [Conformance]', async () => {
      const k = await namespace('matched');
      for (const [node, name] of [[first, 'bow'], [second, 'stern']] as const) await kubectl(`label node ${node} hull=${name}`);
      await k.apply(list(...['bow', 'stern', 'bow', 'stern'].map((hull, i) => pod(`${hull}-${i}`, { selector: { hull, 'kubernetes.io/os': 'linux' } }))));
      await running(k, 'bow-0', 'stern-1', 'bow-2', 'stern-3');
      for (const { metadata, spec } of (await k.json<V1PodList>('get pods')).items) assert.equal(spec?.nodeName, metadata?.name?.startsWith('bow') ? first : second, metadata?.name);
      await kubectl(`label node ${first} ${second} hull-`);
      await k('delete pod bow-0 --now');
      assert.equal((await read(k, 'bow-2')).status?.phase, 'Running', 'a label that goes later does not matter any more');
    });

    it('validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP [Conformance]', async () => {
      const k = await namespace('ports');
      const port = { hostPort: 54_322 };
      const why = /^0\/2 nodes are available: 1 node\(s\) didn't have free ports for the requested pod ports, 1 node\(s\) didn't satisfy plugin\(s\) \[NodeAffinity\]\./;
      await k.apply(list(pod('any', { port, on: first }), pod('one', { port: { ...port, hostIP: addresses.get(second) }, on: second })));
      await running(k, 'any', 'one');
      await k.apply(list(
        pod('one-after-any', { port: { ...port, hostIP: addresses.get(first) }, on: first }), pod('any-after-one', { port: { ...port, hostIP: '0.0.0.0' }, on: second }),
        pod('other-protocol', { port: { ...port, protocol: 'UDP' }, on: first }), pod('other-address', { port: { ...port, hostIP: '127.0.0.1' }, on: second }),
      ));
      await refused(k, 'one-after-any', why);
      await refused(k, 'any-after-one', why);
      await running(k, 'other-protocol', 'other-address');
      assert.equal((await host.run('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', `http://${addresses.get(first)}:54322/`])).stdout, '404', 'what holds the port answers on it');
      await k('delete pod any --now');
      await running(k, 'one-after-any');
    });
  });

  it('a pod whose device has no driver on its node waits there, and does not start without', async () => {
    const k = await namespace('driverless');
    const api = 'resource.k8s.io/v1';
    await k.apply(list(
      JSON.stringify({ apiVersion: api, kind: 'DeviceClass', metadata: { name: 'sail' }, spec: {} }),
      JSON.stringify({ apiVersion: api, kind: 'ResourceSlice', metadata: { name: 'sails' }, spec: { driver: 'sail.proa.example.com', nodeName: second, pool: { name: 'sails', generation: 1, resourceSliceCount: 1 }, devices: [{ name: 'jib' }] } }),
      JSON.stringify({ apiVersion: api, kind: 'ResourceClaim', metadata: { name: 'jib' }, spec: { devices: { requests: [{ name: 'one', exactly: { deviceClassName: 'sail' } }] } } }),
      JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'sailor' }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image: busyboxImage, command: ['sleep', '3600'] }], resourceClaims: [{ name: 'jib', resourceClaimName: 'jib' }] } }),
    ));
    await until('the event', async () => assert.include(await k('get events --field-selector reason=FailedPrepareDynamicResources -o', 'jsonpath={.items[*].message}'), 'no DRA driver is registered'));
    const { spec, status } = await read(k, 'sailor');
    assert.deepEqual([spec?.nodeName, status?.phase, status?.containerStatuses?.[0]?.state?.waiting?.reason], [second, 'Pending', 'ContainerCreating']);
    await k('delete pod sailor --now');
    await until('the device to be free', async () => assert.equal(await k('get resourceclaim jib -o', 'jsonpath={.status.allocation}'), ''));
    await k('delete resourceclaim jib');
    await kubectl('delete resourceslice/sails deviceclass/sail');
  });

  describe('SchedulerPreemption [Serial]', () => {
    before(async () => {
      await kubectl.apply(list(...Object.entries({ low: 1, medium: 100, high: 1000 }).map(([name, value]) =>
        JSON.stringify({ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name }, value }))));
    });
    afterEach(async () => {
      for (const node of [first, second]) await setBerths(node, undefined);
    });
    /** Gives a node so many berths, or takes them all away, and waits for the kubelet to offer them. */
    async function setBerths(node: string, count: number | undefined): Promise<void> {
      const lists = Object.fromEntries(['capacity', 'allocatable'].map((name) => [name, { [berth]: count === undefined ? null : String(count) }]));
      await kubectl(`patch node ${node} --subresource=status --type=merge -p`, JSON.stringify({ status: lists }));
      await until('berths', async () => (await kubectl.json<V1Node>(`get node ${node}`)).status?.allocatable?.[berth] === (count === undefined ? undefined : String(count)));
    }
    /** Five berths a node, four taken by two pods: one of them, on the first node, matters least. */
    async function fill(k: Space): Promise<Map<string, string>> {
      for (const node of [first, second]) await setBerths(node, 5);
      const names = ['humble', 'medium-1', 'medium-2', 'medium-3'];
      await k.apply(list(...names.map((name, i) => pod(name, { berths: 2, priority: i === 0 ? 'low' : 'medium', on: i < 2 ? first : second }))));
      await running(k, ...names);
      return new Map((await k.json<V1PodList>('get pods')).items.map(({ metadata }) => [metadata?.name ?? '', metadata?.uid ?? '']));
    }
    /** Only the humble pod is gone (or going), and the scheduler says so. */
    async function expectHumbleGone(k: Space, was: ReadonlyMap<string, string>, by: V1Pod): Promise<void> {
      const now = new Map((await k.json<V1PodList>('get pods')).items.filter(({ metadata }) => !metadata?.deletionTimestamp).map(({ metadata }) => [metadata?.name, metadata?.uid]));
      for (const [name, uid] of was) assert.equal(now.get(name), name === 'humble' ? undefined : uid, name);
      assert.equal(by.spec?.nodeName, first);
      await until('Preempted', async () => {
        const { items } = await k.json<CoreV1EventList>('get events --field-selector reason=Preempted');
        assert.deepEqual(items.map(({ involvedObject, message }) => [involvedObject.name, message]), [['humble', `Preempted by pod ${by.metadata?.uid} on node ${first}`]]);
      });
    }

    it('validates basic preemption works [Conformance]', async () => {
      const k = await namespace('preempt');
      const was = await fill(k);
      await k.apply(pod('equal', { berths: 2, priority: 'low' })); // no more important than anybody
      await refused(k, 'equal', /^0\/2 nodes are available: 2 Insufficient proa\.example\.com\/berth\. .*No preemption victims found for incoming pod/);
      await k('delete pod equal --now');
      await k.apply(pod('captain', { berths: 2, priority: 'high' }));
      await running(k, 'captain');
      await expectHumbleGone(k, was, await read(k, 'captain'));
    });

    it('validates lower priority pod preemption by critical pod [Conformance]', async () => {
      const k = await namespace('critical');
      const was = await fill(k);
      const system = cluster.kubectl.in('kube-system');
      await system.apply(pod('critical', { berths: 2, priority: 'system-cluster-critical' }));
      try {
        await running(system, 'critical');
        const critical = await read(system, 'critical');
        assert.equal(critical.spec?.priority, 2_000_000_000);
        await expectHumbleGone(k, was, critical);
      } finally {
        await system('delete pod critical --now');
      }
    });

    it('validates pod disruption condition is added to the preempted pod [Conformance]', async () => {
      const k = await namespace('disrupted');
      await setBerths(first, 1);
      await k.apply(pod('victim', { berths: 1, priority: 'low', on: first, finalizers: ['proa.example.com/stay'] }));
      await running(k, 'victim');
      await k.apply(pod('preemptor', { berths: 1, priority: 'high' }));
      await until('the victim to be on its way', async () => assert.isOk((await read(k, 'victim')).metadata?.deletionTimestamp));
      const { conditions } = (await read(k, 'victim')).status ?? {};
      const condition = conditions?.find(({ type }) => type === 'DisruptionTarget');
      assert.deepInclude(condition, { status: 'True', reason: 'PreemptionByScheduler', message: 'default-scheduler: preempting to accommodate a higher priority pod' });
      await k('patch pod victim --type=merge -p', JSON.stringify({ metadata: { finalizers: null } }));
      await running(k, 'preemptor');
    });

    it('PreemptionExecutionPath runs ReplicaSets to verify preemption running path [Conformance]', async () => {
      const k = await namespace('path');
      await setBerths(first, 100);
      const replicaSet = (name: string, berths: number, priority: string): string => {
        const labels = { app: name };
        const { spec } = podOf(name, { berths, priority, on: first });
        return JSON.stringify({ apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: { name }, spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } } });
      };
      await kubectl.apply(list(...[1, 2, 3, 4].map((value) => JSON.stringify({ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: `rank-${value}` }, value }))));
      await k.apply(list(replicaSet('one', 20, 'rank-1'), replicaSet('two', 30, 'rank-2'), replicaSet('three', 45, 'rank-3')));
      const sets = ['one', 'two', 'three'];
      await until('a Ready pod of each', async () => assert.equal(await k('get replicasets -o', 'jsonpath={.items[*].status.readyReplicas}'), '1 1 1'));
      const uidsOf = async (app: string): Promise<string[]> => (await k.json<V1PodList>(`get pods -l app=${app}`)).items.filter(({ metadata }) => !metadata?.deletionTimestamp).map(({ metadata }) => metadata?.uid ?? '');
      const was = await Promise.all(sets.map(uidsOf));
      await k.apply(pod('top', { berths: 50, priority: 'rank-4', on: first }));
      await running(k, 'top');
      // Five were free and 45 had to go: the two of lower rank hold 50 together, and the third alone matters more than both.
      assert.deepEqual(await uidsOf('three'), was[2]);
      await until('replacements that wait', async () => {
        for (const [i, app] of ['one', 'two'].entries()) {
          const now = await uidsOf(app);
          assert.lengthOf(now, 1);
          assert.notDeepEqual(now, was[i]);
        }
      });
      for (const app of ['one', 'two']) {
        const name = (await k(`get pods -l app=${app} --field-selector status.phase=Pending -o`, 'jsonpath={.items[0].metadata.name}')).trim();
        await refused(k, name, /1 Insufficient proa\.example\.com\/berth/);
      }
      const preempted = (await k.json<CoreV1EventList>('get events --field-selector reason=Preempted')).items.map(({ involvedObject }) => involvedObject.name?.split('-')[0]);
      assert.sameMembers(preempted, ['one', 'two'], 'each once, and nobody else');
      await kubectl('delete priorityclass rank-1 rank-2 rank-3 rank-4');
    });
  });
});
