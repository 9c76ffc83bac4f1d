// The scheduler with extenders: web servers of the test's own that filter, score, preempt and bind, or fail to.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { Node, Pod } from '#machinery/api/object.ts';
import { defaultConfig } from './config.ts';
import { readConfiguration } from './config-file.ts';
import { createExtenders } from './extender.ts';
import { Scheduler } from './scheduler.ts';
import { createFakeServer, makeNode, makePod, type FakeServer } from './testing/fake-cluster.ts';

interface Message { Pod: Pod; Nodes: { items: Node[] } | null; NodeNames: string[] | null; NodeNameToVictims: Record<string, { Pods: Pod[] }> | null; NodeNameToMetaVictims: Record<string, { Pods: { UID: string }[] }> | null; PodName: string; PodUID: string; Node: string }
/** By verb; what it returns is the answer, a number is a status. */
type Say = Readonly<Record<string, (message: Message) => unknown>>;

/** Starts an extender and a scheduler that asks it, with the nodes a, b and c. */
async function withExtender(say: Say, more: Record<string, unknown>, test: (fake: FakeServer, scheduler: Scheduler, signal: AbortSignal, asked: [verb: string, message: Message][]) => Promise<void>): Promise<void> {
  const asked: [verb: string, message: Message][] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const verb = request.url?.split('/').at(-1) ?? '';
      const message = JSON.parse(Buffer.concat(chunks).toString()) as Message;
      asked.push([verb, message]);
      const answer = say[verb]?.(message);
      if (answer === undefined) return; // never answers
      response.statusCode = typeof answer === 'number' ? answer : 200;
      response.end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const { extenders } = readConfiguration({
    apiVersion: 'kubescheduler.config.k8s.io/v1', kind: 'KubeSchedulerConfiguration',
    extenders: [{ urlPrefix: `http://127.0.0.1:${port}/v1/`, httpTimeout: '500ms', ...Object.fromEntries(Object.keys(say).map((verb) => [`${verb}Verb`, verb])), ...more }],
  });
  const fake = createFakeServer();
  for (const name of ['a', 'b', 'c']) fake.put('nodes', makeNode(name, { cpu: '2' }));
  const stop = new AbortController();
  const scheduler = new Scheduler({ ...defaultConfig, client: fake.client, extenders: createExtenders(extenders), initialBackoffMs: 5, maxBackoffMs: 20 });
  const informers = scheduler.cluster.run(stop.signal);
  await scheduler.cluster.waitForSync(stop.signal);
  const running = scheduler.run(stop.signal);
  try {
    await test(fake, scheduler, AbortSignal.timeout(4000), asked);
  } finally {
    stop.abort();
    await Promise.all([informers, running]);
    server.closeAllConnections();
    await new Promise((resolve) => void server.close(resolve));
  }
}
const placedOn = (fake: FakeServer, name: string, signal: AbortSignal): Promise<string> =>
  eventually(signal, () => fake.get<Pod>('pods', 'default', name)?.spec?.nodeName, 1);
const reason = (fake: FakeServer, name: string, signal: AbortSignal): Promise<string> =>
  eventually(signal, () => fake.get<Pod>('pods', 'default', name)?.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.message, 1);
const low = (node: string): Pod => makePod(`low-${node}`, { cpu: '2', node, priority: 1 });

describe('Scheduler with extenders', () => {
  it('places a pod where its extender lets it, and hands it whole objects', () => withExtender({ filter: ({ Nodes }) => ({ Nodes: { items: Nodes?.items.filter(({ metadata }) => metadata.name === 'b') } }) }, {}, async (fake, _scheduler, signal, asked) => {
    fake.put('pods', makePod('web', { metadata: { name: 'web', namespace: 'default', uid: 'web', annotations: { note: 'kept' } } }));
    expect(await placedOn(fake, 'web', signal)).to.equal('b');
    const [verb, { Pod: pod, Nodes, NodeNames }] = asked[0] ?? ['', {} as Message];
    expect([verb, pod.metadata.annotations, NodeNames, Nodes?.items.map(({ metadata }) => metadata.name).sort()]).to.deep.equal(['filter', { note: 'kept' }, null, ['a', 'b', 'c']]);
  }));

  it('says in the extender\'s words why no node fits, and tries again after any change', () => {
    const full = new Set(['a', 'b', 'c']);
    const filter = ({ NodeNames }: Message) => ({ nodenames: NodeNames?.filter((name) => !full.has(name)), failedNodes: { a: 'no licence', b: 'no licence' }, failedAndUnresolvableNodes: { c: 'never' } });
    return withExtender({ filter }, { nodeCacheCapable: true }, async (fake, _scheduler, signal) => {
      fake.put('pods', makePod('web'));
      expect(await reason(fake, 'web', signal)).to.equal('0/3 nodes are available: 1 never, 2 no licence. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.');
      full.delete('b');
      fake.put('nodes', makeNode('a', { cpu: '2', labels: { changed: 'yes' } }));
      expect(await placedOn(fake, 'web', signal)).to.equal('b');
    });
  });

  it('adds the extender\'s scores, weighed', () => withExtender({ prioritize: ({ NodeNames }) => NodeNames?.map((Host) => ({ Host, Score: Host === 'c' ? 10 : 0 })) }, { nodeCacheCapable: true, weight: 5 }, async (fake, _scheduler, signal) => {
    fake.put('pods', makePod('other', { node: 'c', cpu: '1' })); // by itself the fullest
    fake.put('pods', makePod('web', { cpu: '1' }));
    expect(await placedOn(fake, 'web', signal)).to.equal('c');
  }));

  it('binds through the extender that binds', () => withExtender({ bind: () => ({}) }, {}, async (fake, _scheduler, signal, asked) => {
    const web = makePod('web');
    fake.put('pods', web);
    const [, message] = await eventually(signal, () => asked[0], 1);
    expect([message.PodName, message.PodUID]).to.deep.equal(['web', web.metadata.uid]);
    await eventually(signal, () => fake.list<{ reason: string }>('events').some((event) => event.reason === 'Scheduled'), 1);
    expect(fake.get<Pod>('pods', 'default', 'web')?.spec?.nodeName, 'the binding is the extender\'s to make').to.equal(undefined);
  }));

  it('preempts only where the extender agrees', () => {
    const preempt = ({ NodeNameToMetaVictims }: Message) => ({ NodeNameToMetaVictims: Object.fromEntries(Object.entries(NodeNameToMetaVictims ?? {}).filter(([name]) => name === 'b')) });
    return withExtender({ preempt }, { nodeCacheCapable: true }, async (fake, _scheduler, signal) => {
      for (const name of ['a', 'b', 'c']) fake.put('pods', low(name));
      fake.put('pods', makePod('high', { cpu: '2', priority: 10 }));
      expect(await placedOn(fake, 'high', signal)).to.equal('b');
      expect(fake.list<Pod>('pods').map(({ metadata }) => metadata.name)).to.have.members(['low-a', 'low-c', 'high']);
    });
  });

  it('removes nobody when the extender names pods that are not there', () => withExtender({ preempt: () => ({ NodeNameToMetaVictims: { b: { Pods: [{ UID: 'x' }] } } }) }, { nodeCacheCapable: true }, async (fake, _scheduler, signal) => {
    for (const name of ['a', 'b', 'c']) fake.put('pods', low(name));
    fake.put('pods', makePod('high', { cpu: '2', priority: 10 }));
    expect(await reason(fake, 'high', signal)).to.match(/preemption: extender: http:\/\/127\.0\.0\.1:\d+\/v1\/ claims to preempt pod \(UID: x\) on node: b, but the pod is not found on that node$/);
    expect(fake.list('pods')).to.have.length(4);
  }));

  it('asks only about pods that want what the extender manages, and leaves that to it', () => withExtender({ filter: ({ NodeNames }) => ({ NodeNames: NodeNames?.slice(0, 1) }) }, { nodeCacheCapable: true, managedResources: [{ name: 'example.com/gpu', ignoredByScheduler: true }] }, async (fake, _scheduler, signal, asked) => {
    fake.put('pods', makePod('plain'));
    await placedOn(fake, 'plain', signal);
    fake.put('pods', makePod('gpu', { spec: { containers: [{ name: 'c', resources: { requests: { 'example.com/gpu': '1' } } }] } })); // no node says that it has one
    await placedOn(fake, 'gpu', signal);
    expect(asked.map(([, { Pod: pod }]) => pod.metadata.name)).to.deep.equal(['gpu']);
  }));

  const failures: [title: string, filter: Say[string], message: RegExp][] = [
    ['answers with an error', () => ({ Error: 'out of order' }), /^out of order$/],
    ['answers with a bad status', () => 503, /^failed filter with extender at URL http:\/\/127\.0\.0\.1:\d+\/v1\/filter, code 503$/],
    ['does not answer in time', () => undefined, /^Post "http:\/\/127\.0\.0\.1:\d+\/v1\/filter": no answer in time$/],
    ['names a node that it was not asked about', () => ({ NodeNames: ['z'] }), /claims a filtered node "z" which is not found in the input node list$/],
  ];
  for (const [title, filter, message] of failures) {
    it(`keeps a pod that needs an extender that ${title}`, () => withExtender({ filter }, { nodeCacheCapable: true }, async (fake, scheduler, signal) => {
      const web = makePod('web');
      fake.put('pods', web);
      expect(await reason(fake, 'web', signal)).to.match(message);
      await eventually(signal, () => (scheduler.queue.get(web.metadata.uid ?? '')?.attempts ?? 0) > 1, 1);
    }));
    it(`goes without an ignorable extender that ${title}`, () => withExtender({ filter }, { nodeCacheCapable: true, ignorable: true }, async (fake, _scheduler, signal) => {
      fake.put('pods', makePod('web'));
      await placedOn(fake, 'web', signal);
    }));
  }

  it('does not lose what happens while an extender thinks', async () => {
    let answer: (() => void) | undefined;
    const thinking = new Promise<void>((resolve) => { answer = resolve; });
    let fake: FakeServer | undefined;
    // It says no at first, and while it does, the change comes that makes it say yes.
    let yes = false;
    const filter = ({ NodeNames }: Message) => {
      if (yes) return { NodeNames };
      yes = true;
      fake?.put('nodes', makeNode('a', { cpu: '2', labels: { licence: 'yes' } }));
      answer?.();
      return { NodeNames: [] };
    };
    await withExtender({ filter }, { nodeCacheCapable: true }, async (given, scheduler, signal) => {
      fake = given;
      given.put('pods', makePod('web'));
      await thinking;
      await eventually(signal, () => scheduler.snapshot.node('a')?.labels.licence === 'yes', 1);
      await placedOn(given, 'web', signal);
    });
  });
});
