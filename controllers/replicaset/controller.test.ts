import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { Pod, ReplicaSet } from '#machinery/api/object.ts';
import { FakeApi } from '../testing/fake-api.ts';
import { createReplicaSetController } from './controller.ts';

describe('replicaset-controller', () => {
  const running = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }] };
  const statusOf = (api: FakeApi): ReplicaSet['status'] => api.get<ReplicaSet>('replicasets', 'n', 'web')?.status;

  /** A set with its pods there already, none ready yet. */
  async function withPods(count: number, work: (api: FakeApi) => Promise<void>): Promise<void> {
    const api = new FakeApi();
    const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'u', controller: true };
    api.put('replicasets', { metadata: { name: 'web', namespace: 'n', uid: 'u', generation: 1 }, spec: { replicas: count, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [] } } } });
    for (let n = 0; n < count; n += 1) api.put('pods', { metadata: { name: `web-${n}`, namespace: 'n', uid: `u-${n}`, labels: { app: 'web' }, ownerReferences: [owner] }, spec: { containers: [] }, status: { phase: 'Pending' } });
    const controller = await api.start(createReplicaSetController);
    try {
      await eventually(AbortSignal.timeout(3000), () => statusOf(api)?.replicas === count, 5);
      await work(api);
    } finally {
      await controller.stop();
    }
  }
  const ready = (api: FakeApi, n: number): void => void api.put('pods', { ...api.get<Pod>('pods', 'n', `web-${n}`), status: running });

  it('looks at changes of a large set together', () => withPods(600, async (api) => {
    const before = api.writes.length;
    for (let n = 0; n < 600; n += 1) {
      ready(api, n);
      if (n % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(AbortSignal.timeout(3000), () => statusOf(api)?.readyReplicas === 600, 5);
    expect(api.writes.length - before).to.be.below(40);
  }));

  it('tells of a small set at once', () => withPods(3, async (api) => {
    ready(api, 0);
    await eventually(AbortSignal.timeout(1000), () => statusOf(api)?.readyReplicas === 1, 1);
  }));
});
