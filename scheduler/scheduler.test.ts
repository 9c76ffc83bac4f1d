// The scheduler over an API server in memory: what ends up bound, what the user is told.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { StatusError } from '#machinery/api/status.ts';
import type { EventsV1Event, Pod, PodCondition } from '#machinery/api/object.ts';
import { defaultConfig } from './config.ts';
import { Scheduler } from './scheduler.ts';
import { createFakeServer, makeNode, makePod, type FakeServer } from './testing/fake-cluster.ts';

async function withScheduler(test: (fake: FakeServer, scheduler: Scheduler, signal: AbortSignal) => Promise<void>, before?: (fake: FakeServer) => void): Promise<void> {
  const fake = createFakeServer();
  before?.(fake);
  const stop = new AbortController();
  const scheduler = new Scheduler({ ...defaultConfig, client: fake.client, maxInFlight: 8 });
  const informers = scheduler.cluster.run(stop.signal);
  await scheduler.cluster.waitForSync(stop.signal);
  const running = scheduler.run(stop.signal);
  try {
    await test(fake, scheduler, AbortSignal.timeout(4000));
  } finally {
    stop.abort();
    await Promise.all([informers, running]);
  }
}
const nodeOf = (fake: FakeServer, name: string): string | undefined => fake.get<Pod>('pods', 'default', name)?.spec?.nodeName;
const condition = (fake: FakeServer, name: string): PodCondition | undefined =>
  fake.get<Pod>('pods', 'default', name)?.status?.conditions?.find((c) => c.type === 'PodScheduled');
const events = (fake: FakeServer, pod: string): EventsV1Event[] => fake.list<EventsV1Event>('events').filter((event) => event.regarding?.name === pod);

describe('Scheduler', () => {
  it('binds a pod and says so', () => withScheduler(async (fake, _scheduler, signal) => {
    fake.put('nodes', makeNode('a'));
    fake.put('pods', makePod('web', { cpu: '1' }));
    await eventually(signal, () => nodeOf(fake, 'web') === 'a', 5);
    const [event] = await eventually(signal, () => events(fake, 'web').length > 0 && events(fake, 'web'), 5);
    expect(event).to.include({ reason: 'Scheduled', type: 'Normal', action: 'Binding', note: 'Successfully assigned default/web to a', reportingController: 'default-scheduler' });
  }));

  it('reports why no node fits, as condition and event, in upstream\'s words', () => withScheduler(async (fake, _scheduler, signal) => {
    fake.put('nodes', makeNode('a', { cpu: '2' }));
    fake.put('pods', makePod('other', { cpu: '1500m', node: 'a' }));
    fake.put('pods', makePod('web', { cpu: '1' }));
    const message = '0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.';
    const shown = await eventually(signal, () => condition(fake, 'web'), 5);
    expect(shown).to.include({ status: 'False', reason: 'Unschedulable', message, observedGeneration: 1 });
    const [event] = await eventually(signal, () => events(fake, 'web').length > 0 && events(fake, 'web'), 5);
    expect(event).to.include({ reason: 'FailedScheduling', type: 'Warning', action: 'Scheduling', note: message });
  }));

  it('says that there are no nodes, and schedules when one comes', () => withScheduler(async (fake, _scheduler, signal) => {
    fake.put('pods', makePod('web'));
    const shown = await eventually(signal, () => condition(fake, 'web'), 5);
    expect(shown.message).to.equal('no nodes available to schedule pods');
    fake.put('nodes', makeNode('a'));
    await eventually(signal, () => nodeOf(fake, 'web') === 'a', 5);
  }));

  it('tries again when a pod that was in the way is gone', () => withScheduler(async (fake, _scheduler, signal) => {
    fake.put('nodes', makeNode('a', { cpu: '2' }));
    fake.put('pods', makePod('other', { cpu: '2', node: 'a' }));
    fake.put('pods', makePod('web', { cpu: '1' }));
    await eventually(signal, () => condition(fake, 'web'), 5);
    fake.remove('pods', 'default', 'other');
    await eventually(signal, () => nodeOf(fake, 'web') === 'a', 5);
  }));

  it('leaves gated pods and those of other schedulers alone', () => withScheduler(async (fake, scheduler, signal) => {
    fake.put('nodes', makeNode('a'));
    fake.put('pods', makePod('gated', { spec: { schedulingGates: [{ name: 'example.com/wait' }] } }));
    fake.put('pods', makePod('foreign', { spec: { schedulerName: 'mine' } }));
    fake.put('pods', makePod('web'));
    await eventually(signal, () => nodeOf(fake, 'web') === 'a', 5);
    expect([nodeOf(fake, 'gated'), nodeOf(fake, 'foreign')]).to.deep.equal([undefined, undefined]);
    expect(scheduler.queue.counts().gated).to.equal(1);
    const gated = fake.get<Pod>('pods', 'default', 'gated');
    fake.put('pods', { ...gated, spec: { ...gated?.spec, schedulingGates: [] } });
    await eventually(signal, () => nodeOf(fake, 'gated') === 'a', 5);
  }));

  it('gives the room back and reports when a binding is refused', () => withScheduler(async (fake, scheduler, signal) => {
    fake.refuseBinding = () => new StatusError(403, 'Forbidden', 'not you');
    fake.put('nodes', makeNode('a', { cpu: '1' }));
    fake.put('pods', makePod('web', { cpu: '1' }));
    const shown = await eventually(signal, () => condition(fake, 'web'), 5);
    expect(shown).to.include({ reason: 'SchedulerError', message: 'binding rejected: running Bind plugin "DefaultBinder": not you' });
    expect(scheduler.snapshot.node('a')?.usedCpu).to.equal(0);
    fake.refuseBinding = undefined;
    await eventually(signal, () => nodeOf(fake, 'web') === 'a', 5);
  }));

  it('never places more than fits while bindings are under way', () => withScheduler(async (fake, _scheduler, signal) => {
    for (const name of ['a', 'b', 'c']) fake.put('nodes', makeNode(name, { cpu: '2' }));
    for (let i = 0; i < 10; i += 1) fake.put('pods', makePod(`p${i}`, { cpu: '1' }));
    await eventually(signal, () => fake.list<Pod>('pods').filter((pod) => pod.spec?.nodeName).length === 6, 5);
    await eventually(signal, () => fake.list<Pod>('pods').filter((pod) => pod.status?.conditions?.length).length === 4, 5);
    for (const name of ['a', 'b', 'c']) expect(fake.list<Pod>('pods').filter((pod) => pod.spec?.nodeName === name)).to.have.length(2);
  }));

  it('preempts pods of lower priority and places the pod on the nominated node', () => withScheduler(async (fake, _scheduler, signal) => {
    for (const name of ['a', 'b']) fake.put('nodes', makeNode(name, { cpu: '2' }));
    fake.put('pods', makePod('low', { cpu: '2', node: 'a', priority: 1 }));
    fake.put('pods', makePod('middle', { cpu: '2', node: 'b', priority: 5 }));
    fake.put('pods', makePod('high', { cpu: '1', priority: 10 }));
    await eventually(signal, () => nodeOf(fake, 'high') === 'a', 5);
    expect(fake.get('pods', 'default', 'low')).to.equal(undefined);
    expect(nodeOf(fake, 'middle')).to.equal('b');
    const high = fake.get<Pod>('pods', 'default', 'high');
    expect(high?.status?.nominatedNodeName).to.equal('a');
    const [preempted] = await eventually(signal, () => events(fake, 'low').length > 0 && events(fake, 'low'), 5);
    expect(preempted).to.include({ reason: 'Preempted', action: 'Preempting', note: `Preempted by pod ${high?.metadata.uid} on node a` });
    expect(preempted?.related?.name).to.equal('high');
  }));

  it('does not try a pod again before the last of its victims goes', () => withScheduler(async (fake, scheduler, signal) => {
    const remove = fake.client.delete.bind(fake.client);
    let under = 0;
    Object.assign(fake.client, { delete: async (...args: Parameters<typeof remove>) => {
      await new Promise((resolve) => setTimeout(resolve, 10 * (under += 1)));
      return remove(...args);
    } });
    fake.put('nodes', makeNode('a', { cpu: '3' }));
    for (const i of [0, 1, 2]) fake.put('pods', makePod(`low-${i}`, { cpu: '1', node: 'a', priority: 1 }));
    const high = makePod('high', { cpu: '3', priority: 10 });
    fake.put('pods', high);
    const entry = await eventually(signal, () => scheduler.queue.get(high.metadata.uid ?? ''), 1);
    await eventually(signal, () => nodeOf(fake, 'high') === 'a', 1);
    expect(entry.attempts).to.equal(2);
  }));

  it('tries a pod again when its only victim was gone before it could be removed', () => withScheduler(async (fake, _scheduler, signal) => {
    const patch = fake.client.patch.bind(fake.client);
    const low = makePod('low', { cpu: '2', node: 'a', priority: 1 });
    Object.assign(fake.client, { patch: async (...args: Parameters<typeof patch>) => {
      if (args[2] === 'low' && fake.get('pods', 'default', 'low')) {
        fake.remove('pods', 'default', 'low');
        await new Promise((resolve) => setTimeout(resolve, 20)); // the news comes before the answer
      }
      return patch(...args);
    } });
    fake.put('nodes', makeNode('a', { cpu: '2' }));
    fake.put('pods', low);
    fake.put('pods', makePod('high', { cpu: '2', priority: 10 }));
    await eventually(signal, () => nodeOf(fake, 'high') === 'a', 1);
  }));

  it('does not preempt with preemptionPolicy Never', () => withScheduler(async (fake, _scheduler, signal) => {
    fake.put('nodes', makeNode('a', { cpu: '2' }));
    fake.put('pods', makePod('low', { cpu: '2', node: 'a', priority: 1 }));
    fake.put('pods', makePod('high', { cpu: '1', priority: 10, spec: { preemptionPolicy: 'Never' } }));
    const shown = await eventually(signal, () => condition(fake, 'high'), 5);
    expect(shown.message).to.equal('0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.');
    expect(fake.get('pods', 'default', 'low')).to.not.equal(undefined);
  }));
});
