import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { FakeApi } from '../testing/fake-api.ts';
import { createDeviceTaintEvictionController } from './controller.ts';
import { claimsOf, evictionTime } from './reconcile.ts';
import type { DeviceTaint, DeviceToleration, ResourceClaim, ResourceSlice } from './reconcile.ts';
import type { Pod } from '#machinery/api/object.ts';

const added = '2026-01-01T00:00:00Z';
const start = Date.parse(added);
const slice = (taints: DeviceTaint[], generation = 1): ResourceSlice => ({ metadata: { name: `s${generation}` }, spec: { driver: 'd', pool: { name: 'p', generation }, devices: [{ name: 'gpu', taints }] } });
const claim = (tolerations?: DeviceToleration[], users = ['u-pod']): ResourceClaim => ({
  metadata: { name: 'c', namespace: 'n' },
  status: { allocation: { devices: { results: [{ driver: 'd', pool: 'p', device: 'gpu', ...(tolerations ? { tolerations } : {}) }] } }, reservedFor: users.map((uid) => ({ resource: 'pods', name: 'pod', uid })) },
});
const broken: DeviceTaint = { key: 'broken', effect: 'NoExecute', timeAdded: added };
const pod = (more: object = {}): Pod => ({ metadata: { name: 'pod', namespace: 'n', uid: 'u-pod' }, spec: { nodeName: 'a', containers: [], resourceClaims: [{ name: 'x', resourceClaimName: 'c' }], ...more }, status: { phase: 'Running' } });

describe('evictionTime()', () => {
  const cases: [title: string, claim: ResourceClaim, slices: ResourceSlice[], time: number][] = [
    ['without taints', claim(), [slice([])], Infinity],
    ['without slices', claim(), [], Infinity],
    ['at once', claim(), [slice([broken])], start],
    ['not for another effect', claim(), [slice([{ ...broken, effect: 'NoSchedule' }])], Infinity],
    ['never when tolerated', claim([{ operator: 'Exists', effect: 'NoExecute' }]), [slice([broken])], Infinity],
    ['later when tolerated for a time, the shortest', claim([{ key: 'broken', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 }, { operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 20 }]), [slice([broken])], start + 20_000],
    ['at once when another value is tolerated', claim([{ key: 'broken', value: 'a', effect: 'NoExecute' }]), [slice([{ ...broken, value: 'b' }])], start],
    ['by the newest slices only', claim(), [slice([broken], 1), slice([], 2)], Infinity],
    ['not without an allocation', { metadata: {}, status: {} }, [slice([broken])], Infinity],
  ];
  for (const [title, object, slices, time] of cases) it(title, () => expect(evictionTime(object, () => slices, start)).to.equal(time));
});
it('claimsOf() takes given claims and those that were made for the pod', () => {
  const object: Pod = { metadata: {}, spec: { containers: [], resourceClaims: [{ name: 'x', resourceClaimName: 'c' }, { name: 'y', resourceClaimTemplateName: 't' }, { name: 'z', resourceClaimTemplateName: 't' }] }, status: { resourceClaimStatuses: [{ name: 'y', resourceClaimName: 'made' }] } };
  expect(claimsOf(object)).to.deep.equal(['c', 'made']);
});

describe('device-taint-eviction-controller', () => {
  let api: FakeApi;
  let running: { stop: () => Promise<void> };
  beforeEach(async () => {
    api = new FakeApi();
    running = await api.start(createDeviceTaintEvictionController);
  });
  afterEach(() => running.stop());
  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

  it('deletes a pod whose device gets a taint, and says why', async () => {
    api.put('resourceslices', slice([]));
    api.put('resourceclaims', claim());
    api.put('pods', pod());
    await settled();
    expect(api.writes).to.deep.equal([]);
    api.put('resourceslices', slice([broken]));
    await eventually(AbortSignal.timeout(3000), () => api.get('pods', 'n', 'pod') === undefined, 5);
    expect(api.writes).to.deep.equal(['patch pods pod', 'delete pods pod']);
    expect(api.events).to.deep.equal(['pod Normal DeviceTaintManagerEviction: Marking for deletion']);
  });
  it('leaves pods that the claim is not reserved for, and takes a deletion back', async () => {
    const soon: DeviceTaint = { ...broken, timeAdded: new Date().toISOString() };
    api.put('resourceclaims', claim([{ operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 3600 }]));
    api.put('resourceslices', slice([soon]));
    api.put('pods', { ...pod(), metadata: { name: 'other', namespace: 'n', uid: 'u-other' } });
    api.put('pods', pod());
    await settled();
    api.put('resourceslices', slice([]));
    await eventually(AbortSignal.timeout(3000), () => api.events.length > 0, 5);
    expect([api.events, api.writes]).to.deep.equal([['pod Normal DeviceTaintManagerEviction: Cancelling deletion'], []]);
  });
});
