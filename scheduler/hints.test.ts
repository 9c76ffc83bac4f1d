// Which changes wake a pod that found no node: those that can help it, and no others, since each waking costs a cycle.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { Pod, PodSpec } from '#machinery/api/object.ts';
import { defaultConfig } from './config.ts';
import { Scheduler } from './scheduler.ts';
import { createFakeServer, makeNode, makePod, type FakeServer } from './testing/fake-cluster.ts';

type Change = (fake: FakeServer) => void;
interface Case { title: string; before: Change; pod: Pod; idle: Change[]; helps: Change }

const put = (name: string, options: Parameters<typeof makePod>[1]): Change => (fake) => fake.put('pods', { ...makePod(name, options), metadata: { ...makePod(name, options).metadata, uid: `uid-${name}` } });
/** The pod x of 2 CPUs asks for another size, and has one as its status says. */
const resized = (asked: string, has: string): Change => (fake) => {
  const { metadata, ...rest } = makePod('x', { node: 'a', cpu: asked });
  const resources = { requests: { cpu: has } };
  fake.put('pods', { ...rest, metadata: { ...metadata, uid: 'uid-x', generation: 2 }, status: { phase: 'Running', containerStatuses: [{ name: 'c', resources, allocatedResources: { cpu: has } }] } });
};
/** A more important pod that cannot be tried yet. */
const nominated = (nominatedNodeName?: string): Change => (fake) => {
  const pod = makePod('high', { cpu: '2', priority: 10, spec: { schedulingGates: [{ name: 'later' }] } });
  fake.put('pods', { ...pod, metadata: { ...pod.metadata, uid: 'uid-high' }, status: { phase: 'Pending', ...(nominatedNodeName ? { nominatedNodeName } : {}) } });
};
const gone = (name: string, namespace = 'default'): Change => (fake) => fake.remove('pods', namespace, name);
const node = (name: string, options: Parameters<typeof makeNode>[1] = {}): Change => (fake) => fake.put('nodes', makeNode(name, options));
/** A node that takes no pods, in no domain. */
const mark = (memory: number): Change => (fake) => {
  const full = makeNode('mark', { memory: String(memory), pods: '0', spec: { unschedulable: true } });
  fake.put('nodes', { ...full, metadata: { name: 'mark', uid: 'mark' } });
};
const all = (...changes: Change[]): Change => (fake) => changes.forEach((change) => change(fake));
const near = (app: string) => [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } }];
const wantsNear = (app: string): Partial<PodSpec> => ({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: near(app) } } });
const wantsAway = (app: string): Partial<PodSpec> => ({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: near(app) } } });
const spread: Partial<PodSpec> = { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'web' } } }] };
const [web, db] = [{ app: 'web' }, { app: 'db' }];
const restartAll: Partial<PodSpec> = { containers: [{ name: 'c', restartPolicyRules: [{ action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [1] } }] }] };

const cases: Case[] = [
  { title: 'affinity: a pod to be near comes', before: node('a'), pod: makePod('p', { spec: wantsNear('db') }), idle: [put('x', { node: 'a', labels: web }), put('y', { node: 'a', labels: db, namespace: 'other' }), gone('x')],
    helps: put('z', { node: 'a', labels: db }) },
  { title: 'affinity: a running pod becomes one to be near', before: all(node('a'), put('x', { node: 'a', labels: web })), pod: makePod('p', { spec: wantsNear('db') }), idle: [put('x', { node: 'a', labels: { app: 'cache' } })],
    helps: put('x', { node: 'a', labels: db }) },
  { title: 'affinity: the last of the group that it belongs to goes', before: all(node('a'), node('full', { pods: '1' }), put('x', { node: 'full', labels: web })), pod: makePod('p', { labels: web, spec: wantsNear('web') }), idle: [put('y', { node: 'a', labels: db })],
    helps: gone('x') },
  { title: 'anti-affinity: a pod to keep away from goes', before: all(node('a'), put('x', { node: 'a', labels: db }), put('y', { node: 'a', labels: web })), pod: makePod('p', { spec: wantsAway('db') }), idle: [gone('y'), put('z', { node: 'a', labels: web })],
    helps: gone('x') },
  { title: 'anti-affinity: a pod that keeps it away goes', before: all(node('a'), put('x', { node: 'a', spec: wantsAway('web') }), put('y', { node: 'a', spec: wantsAway('db') })), pod: makePod('p', { labels: web }), idle: [gone('y')], helps: gone('x') },
  { title: 'spreading: a pod that counts goes', before: all(node('a'), node('b', { pods: '0' }), put('x', { node: 'a', labels: web })), pod: makePod('p', { labels: web, spec: spread }),
    idle: [put('y', { node: 'b', labels: db }), put('z', { node: 'b', labels: web, namespace: 'other' }), gone('y')], helps: gone('x') },
  { title: 'resources: a pod on a node that has what is asked for goes', before: all(node('a', { cpu: '1' }), node('b', { cpu: '2' }), put('x', { node: 'a', cpu: '1' }), put('y', { node: 'b', cpu: '2' })), pod: makePod('p', { cpu: '2' }), idle: [gone('x'), node('a', { cpu: '1', labels: web })],
    helps: gone('y') },
  { title: 'resources: a running pod has become smaller', before: all(node('a', { cpu: '2' }), put('x', { node: 'a', cpu: '2' })), pod: makePod('p', { cpu: '1' }),
    idle: [resized('1', '2')], helps: resized('1', '1') },
  { title: 'resources: a pod that room was kept for does not want it any more', before: all(node('a', { cpu: '2' }), nominated('a')), pod: makePod('p', { cpu: '1' }), idle: [nominated('a')], helps: nominated() },
  { title: 'features: a node declares what the pod needs', before: node('a'), pod: makePod('p', { spec: restartAll }), idle: [node('a', { labels: web }), node('a', { labels: web, cpu: '100' })],
    helps: (fake) => fake.put('nodes', { ...makeNode('a'), status: { ...makeNode('a').status, declaredFeatures: ['RestartAllContainersOnContainerExits'] } }) },
];

describe('Scheduler, waking pods', () => {
  for (const { title, before, pod, idle, helps } of cases) {
    it(title, async () => {
      const fake = createFakeServer();
      before(fake);
      mark(0)(fake);
      const stop = new AbortController();
      const limit = AbortSignal.timeout(4000);
      const scheduler = new Scheduler({ ...defaultConfig, client: fake.client, maxInFlight: 8, initialBackoffMs: 1, maxBackoffMs: 2 });
      const informers = scheduler.cluster.run(stop.signal);
      await scheduler.cluster.waitForSync(stop.signal);
      const running = scheduler.run(stop.signal);
      try {
        fake.put('pods', pod);
        const entry = await eventually(limit, () => [...scheduler.queue.all()].find(({ place, info }) => info.name === 'p' && place === 'waiting'), 1);
        for (const [i, change] of idle.entries()) {
          change(fake);
          // The mark shows that what came before it has been seen; it is a change of its own that helps nobody.
          mark(i + 1)(fake);
          await eventually(limit, () => scheduler.snapshot.node('mark')?.memory === i + 1, 1);
          await new Promise((resolve) => setTimeout(resolve, 5));
          const attempts = entry.attempts;
          expect([entry.place, attempts], `after change ${i}`).to.deep.equal(['waiting', 1]);
        }
        helps(fake);
        await eventually(limit, () => fake.get<Pod>('pods', 'default', 'p')?.spec?.nodeName !== undefined, 1);
      } finally {
        stop.abort();
        await Promise.all([informers, running]);
      }
    });
  }
});
