import { expect } from 'chai';
import type { Pod } from '#machinery/api/object.ts';
import { calculateStatus, podFromTemplate, podsToDelete, slowStart } from './reconcile.ts';
import type { Replicated } from './reconcile.ts';

const now = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();
interface Traits { node?: string; phase?: string; ready?: number | undefined; cost?: string; restarts?: number; age?: number; labels?: Record<string, string> }
function pod(name: string, { node = 'n', phase = 'Running', ready = 100, cost, restarts = 0, age = 100, labels = { app: 'x' } }: Traits = {}): Pod {
  return {
    metadata: { name, uid: name, labels, creationTimestamp: ago(age), ...(cost === undefined ? {} : { annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost } }) },
    spec: { containers: [], ...(node === '' ? {} : { nodeName: node }) },
    status: {
      phase, conditions: ready < 0 ? [] : [{ type: 'Ready', status: 'True', lastTransitionTime: ago(ready) }],
      containerStatuses: [{ name: 'c', restartCount: restarts, image: '', imageID: '', ready: true }],
    },
  };
}

describe('podsToDelete()', () => {
  const rows: [title: string, first: Traits, second: Traits][] = [
    ['without a node', { node: '' }, {}],
    ['pending', { phase: 'Pending' }, { phase: 'Unknown' }],
    ['of unknown phase', { phase: 'Unknown' }, {}],
    ['not ready', { ready: -1 }, {}],
    ['of lower deletion cost', { cost: '-5' }, { cost: '0' }],
    ['ready for a shorter time', { ready: 10 }, { ready: 1000 }],
    ['restarted more often', { restarts: 3 }, { restarts: 1 }],
    ['younger', { age: 10 }, { age: 1000 }],
  ];
  for (const [title, first, second] of rows) {
    it(`takes the pod ${title} first`, () => {
      for (const pods of [[pod('z', first), pod('a', second)], [pod('a', second), pod('z', first)]]) {
        expect(podsToDelete(pods, [], 1, now).map(({ metadata }) => metadata.name)).to.deep.equal(['z']);
      }
    });
  }
  it('thins out the fullest node', () => {
    const pods = [pod('a', { node: 'one' }), pod('z', { node: 'two' })];
    expect(podsToDelete(pods, [...pods, pod('other', { node: 'two' })], 1, now)[0]?.metadata.name).to.equal('z');
  });
  it('goes by UID among pods of about the same age', () => {
    expect(podsToDelete([pod('b', { ready: 100 }), pod('a', { ready: 101 })], [], 1, now)[0]?.metadata.name).to.equal('a');
  });
  it('ignores a deletion cost that is no number', () => {
    expect(podsToDelete([pod('b', { cost: '1e3' }), pod('a', { cost: '-1' })], [], 1, now)[0]?.metadata.name).to.equal('a');
  });
  it('takes all when all are asked for', () => expect(podsToDelete([pod('a'), pod('b')], [], 5, now)).to.have.length(2));
});

describe('calculateStatus()', () => {
  const set = (more: Partial<Replicated['spec']> = {}, status: Replicated['status'] = {}): Replicated =>
    ({ metadata: { generation: 2 }, spec: { replicas: 2, minReadySeconds: 0, template: { metadata: { labels: { app: 'x' } } }, ...more }, status });
  const counted = (active: Pod[], failure?: Error) => ({ active, terminating: [], failure, now });
  it('counts', () => {
    const { status } = calculateStatus(set(), counted([pod('a'), pod('b', { ready: -1, labels: {} })]), true);
    expect(status).to.deep.equal({ replicas: 2, fullyLabeledReplicas: 1, readyReplicas: 1, availableReplicas: 1, terminatingReplicas: 0, observedGeneration: 2 });
  });
  it('waits for minReadySeconds', () => {
    const { status, nextAvailableMs } = calculateStatus(set({ minReadySeconds: 60 }), counted([pod('a', { ready: 50 }), pod('b', { ready: 20 }), pod('c', { ready: 60 })]), true);
    expect([status.readyReplicas, status.availableReplicas, nextAvailableMs]).to.deep.equal([3, 1, 10_000]);
  });
  it('tells a failure and takes it back', () => {
    const failed = calculateStatus(set(), counted([pod('a')], new Error('quota')), false).status;
    expect(failed.conditions?.[0]).to.include({ type: 'ReplicaFailure', reason: 'FailedCreate', message: 'quota' });
    expect(calculateStatus(set({}, failed), counted([pod('a'), pod('b')]), false).status).not.to.have.property('conditions');
    expect(calculateStatus(set({ replicas: 0 }), counted([pod('a')], new Error('x')), false).status.conditions?.[0]).to.include({ reason: 'FailedDelete' });
  });
});

describe('slowStart()', () => {
  async function batches(count: number, failAt = Infinity): Promise<{ sizes: number[]; succeeded: number; failure: string | undefined }> {
    const sizes: number[] = [];
    let calls = 0;
    let open = 0;
    const result = await slowStart(count, async () => {
      const call = (calls += 1);
      if (open === 0) sizes.push(0);
      open += 1;
      sizes[sizes.length - 1]! += 1;
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      if (call === failAt) throw new Error(`at ${call}`);
    });
    return { sizes, succeeded: result.succeeded, failure: result.failure?.message };
  }
  it('doubles its batches', async () => expect(await batches(10)).to.deep.equal({ sizes: [1, 2, 4, 3], succeeded: 10, failure: undefined }));
  it('stops after the batch that failed', async () => expect(await batches(10, 3)).to.deep.equal({ sizes: [1, 2], succeeded: 2, failure: 'at 3' }));
  it('does nothing for nothing', async () => expect(await batches(0)).to.deep.equal({ sizes: [], succeeded: 0, failure: undefined }));
});

it('podFromTemplate() takes labels, annotations and finalizers, and leaves the name to the server', () => {
  const reference = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'x', uid: 'u', controller: true, blockOwnerDeletion: true };
  const template = { metadata: { name: 'ignored', labels: { a: 'b' }, finalizers: ['f/f'] }, spec: { containers: [] } };
  expect(podFromTemplate(template, 'x', 'ns', reference)).to.deep.equal({
    apiVersion: 'v1', kind: 'Pod', metadata: { generateName: 'x-', namespace: 'ns', labels: { a: 'b' }, finalizers: ['f/f'], ownerReferences: [reference] }, spec: { containers: [] },
  });
});
