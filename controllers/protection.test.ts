import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { ObjectMeta, PersistentVolumeClaim, Pod } from '#machinery/api/object.ts';
import { staleConflict, notFound } from '#machinery/api/status.ts';
import type { Change, Client, Informer } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import { nextStep, protect } from './protection.ts';
import { claimsOf, isDone, usesClaim } from './pvc-protection/reconcile.ts';

const finalizer = 'example.com/keep';
interface Thing { metadata: ObjectMeta }

describe('nextStep()', () => {
  it('adds to what lives, asks about what is to go, and leaves the rest', () => {
    const deletionTimestamp = '2020-01-01T00:00:00Z';
    expect(nextStep({ metadata: {} }, finalizer)).to.equal('add');
    expect(nextStep({ metadata: { finalizers: ['x', finalizer] } }, finalizer)).to.equal('nothing');
    expect(nextStep({ metadata: { finalizers: [finalizer], deletionTimestamp } }, finalizer)).to.equal('ask');
    expect(nextStep({ metadata: { finalizers: ['x'], deletionTimestamp } }, finalizer)).to.equal('nothing');
  });
});

describe('protect()', () => {
  const stop = new AbortController();
  after(() => stop.abort());
  /** One controller over objects in a map; the first updates fail as told. */
  function start(failures: Error[] = []) {
    const objects = new Map<string, Thing>();
    const writes: string[] = [];
    const used = new Set<string>();
    let tell: (change: Change<Thing>) => void = () => undefined;
    const put = (name: string, metadata: ObjectMeta): void => {
      objects.set(name, { metadata: { name, ...metadata } });
      tell({ type: 'added', object: objects.get(name)! });
    };
    const queue = createWorkQueue();
    const informer = { resource: {}, get: (_: string, name: string) => objects.get(name), onChange: (handler: typeof tell) => void (tell = handler) } as unknown as Informer<Thing>; // what protect() asks for
    const client = {
      async update(_: unknown, _namespace: string, name: string, object: Thing) {
        const failure = failures.shift();
        if (failure) throw failure;
        writes.push(`${name}: ${(object.metadata.finalizers ?? []).join()}`);
        put(name, object.metadata);
      },
    } as unknown as Client; // as above
    const done = protect<Thing>({ name: 'test', finalizer, queue, informer, client, workers: 2, isUsed: ({ metadata }) => used.has(metadata.name ?? '') }).run(stop.signal);
    return { put, writes, used, queue, done };
  }
  const deletionTimestamp = '2020-01-01T00:00:00Z';

  it('lets go what nothing uses, keeps what is used until it is looked at again, keeps others\' finalizers', async () => {
    const { put, writes, used, queue } = start();
    used.add('b');
    put('a', { deletionTimestamp, finalizers: [finalizer, 'x'] });
    put('b', { deletionTimestamp, finalizers: [finalizer] });
    put('c', { finalizers: ['y'] });
    await eventually(stop.signal, () => writes.length === 2, 5);
    used.clear();
    queue.add('b');
    queue.add('gone');
    await eventually(stop.signal, () => writes.length === 3, 5);
    expect(writes.sort()).to.deep.equal(['a: x', 'b: ', `c: y,${finalizer}`]);
  });
  it('looks again after a conflict, and lets be what has gone', async () => {
    const about = { group: '', resource: 'things' };
    const { put, writes } = start([staleConflict(about, 'a')]);
    put('a', { deletionTimestamp, finalizers: [finalizer] });
    await eventually(stop.signal, () => writes.length === 1, 5);
    const gone = start([notFound(about, 'a')]);
    gone.put('a', { deletionTimestamp, finalizers: [finalizer] });
    await eventually(stop.signal, () => gone.queue.length === 0, 5);
    expect([gone.writes, gone.queue.retries('a')]).to.deep.equal([[], 0]);
  });
});

describe('claims of pods', () => {
  const pod = (spec: object, metadata: object = {}, status: object = {}): Pod => ({ metadata: { name: 'p', namespace: 'n', uid: 'u', ...metadata }, spec, status }) as Pod;
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'c' } }, { name: 'tmp', ephemeral: {} }, { name: 'e', emptyDir: {} }];
  const claim = (name: string, owner?: string): PersistentVolumeClaim => ({ metadata: { name, namespace: 'n', ...(owner ? { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: owner, controller: true }] } : {}) } });

  it('are those named, and those of ephemeral volumes', () => {
    expect(claimsOf(pod({ volumes }))).to.deep.equal(['n/c', 'n/p-tmp']);
    expect(claimsOf(pod({}))).to.deep.equal([]);
  });
  it('are in use while a pod with a node names them; ephemeral ones by their own pod, until it is shut down', () => {
    const running = pod({ nodeName: 'm', volumes });
    expect([usesClaim(running, claim('c')), usesClaim(running, claim('d')), usesClaim(pod({ volumes }), claim('c'))]).to.deep.equal([true, false, false]);
    expect([usesClaim(running, claim('p-tmp', 'u')), usesClaim(running, claim('p-tmp', 'other')), usesClaim(running, claim('p-tmp'))]).to.deep.equal([true, false, false]);
    const shutDown = pod({ nodeName: 'm', volumes }, { deletionTimestamp: 'now', deletionGracePeriodSeconds: 0 });
    expect([usesClaim(shutDown, claim('p-tmp', 'u')), usesClaim(shutDown, claim('c'))]).to.deep.equal([false, true]);
  });
  it('may be free once the pod has ended, or is going with nothing running', () => {
    const statuses = (state: object): object => ({ containerStatuses: [{ name: 'c', state }] });
    expect([isDone(pod({}, {}, { phase: 'Failed' })), isDone(pod({}, {}, statuses({ terminated: {} }))), isDone(pod({}, { deletionTimestamp: 'now' }, statuses({ terminated: {} }))), isDone(pod({}, { deletionTimestamp: 'now' }, statuses({ running: {} })))])
      .to.deep.equal([true, false, true, false]);
  });
});
