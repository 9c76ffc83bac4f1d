import { expect } from 'chai';
import type { ControllerRevision, OwnerReference, PersistentVolumeClaim, Pod, StatefulSet } from '#machinery/api/object.ts';
import {
  arrange, calculateStatus, claimOwners, claimsFor, expendable, isStale, parentAndOrdinal, podFor, repaired, revisionFor, stepFor, toScaleDown, toUpdate,
} from './reconcile.ts';

const now = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();
type Spec = NonNullable<StatefulSet['spec']>;
const claimTemplate = { metadata: { name: 'data', labels: { own: 'y' } }, spec: { accessModes: ['ReadWriteOnce'] } };
function set(spec: Partial<Spec> = {}, status: Partial<NonNullable<StatefulSet['status']>> = {}): StatefulSet {
  return {
    metadata: { name: 'web', namespace: 'ns', uid: 'set', generation: 2 },
    spec: { replicas: 3, serviceName: 'svc', selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [] } }, ...spec },
    status: { replicas: 0, ...status },
  };
}
interface Traits { revision?: string; ready?: number | undefined; phase?: string; deleted?: boolean }
function pod(ordinal: number, { revision = 'new', ready = 100, phase = 'Running', deleted = false }: Traits = {}): Pod {
  return {
    metadata: { name: `web-${ordinal}`, uid: `pod-${ordinal}`, labels: { 'controller-revision-hash': revision }, ...(deleted ? { deletionTimestamp: ago(1) } : {}) },
    spec: { containers: [] },
    status: { phase, conditions: ready < 0 ? [] : [{ type: 'Ready', status: 'True', lastTransitionTime: ago(ready) }] },
  };
}
const revision = (name: string): ControllerRevision => ({ metadata: { name }, revision: 1 });
const live = { current: revision('old'), update: revision('new') };
const nameOf = (each: Pod | undefined): string | undefined => each?.metadata.name;
const ordered = set();
const parallel = set({ podManagementPolicy: 'Parallel' });

describe('StatefulSet: identity', () => {
  it('reads names', () => {
    const read = (name: string): unknown[] => Object.values(parentAndOrdinal({ metadata: { name } }));
    expect(['web-0', 'a-b-12', 'web', 'web-x', 'web-99999999999'].map(read)).to.deep.equal([['web', 0], ['a-b', 12], ['', -1], ['', -1], ['', -1]]);
  });
  it('makes the pod', () => {
    const reference: OwnerReference = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', uid: 'set', controller: true, blockOwnerDeletion: true };
    const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [], volumes: [{ name: 'data', emptyDir: {} }, { name: 'other', emptyDir: {} }] } };
    expect(podFor(set({ volumeClaimTemplates: [claimTemplate] }), 2, template, 'web-h', reference)).to.deep.equal({
      apiVersion: 'v1', kind: 'Pod',
      metadata: {
        name: 'web-2', namespace: 'ns', ownerReferences: [reference],
        labels: { 'app': 'web', 'statefulset.kubernetes.io/pod-name': 'web-2', 'apps.kubernetes.io/pod-index': '2', 'controller-revision-hash': 'web-h' },
      },
      spec: { containers: [], hostname: 'web-2', subdomain: 'svc', volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-web-2' } }, { name: 'other', emptyDir: {} }] },
    });
  });
  it('makes the claims with the labels of the selector', () => {
    expect(claimsFor(set({ volumeClaimTemplates: [claimTemplate] }), 1)).to.deep.equal([{
      name: 'data-web-1',
      body: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'data-web-1', namespace: 'ns', labels: { own: 'y', app: 'web' } }, spec: claimTemplate.spec },
    }]);
  });
  it('gives a pod its labels back', () => {
    const better = repaired(ordered, pod(1));
    expect(better?.metadata.labels).to.include({ 'statefulset.kubernetes.io/pod-name': 'web-1', 'apps.kubernetes.io/pod-index': '1' });
    expect(better && repaired(ordered, better)).to.equal(undefined);
  });
  it('makes pods below the partition from the current revision', () => {
    const of = (each: StatefulSet): (string | undefined)[] => [0, 1, 2].map((ordinal) => revisionFor(each, ordinal, live).metadata.name);
    expect(of(set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } }))).to.deep.equal(['old', 'old', 'new']);
    expect(of(set({}, { currentReplicas: 1 }))).to.deep.equal(['old', 'new', 'new']);
    expect(of(set({ updateStrategy: { type: 'OnDelete' } }, { currentReplicas: 3 }))).to.deep.equal(['new', 'new', 'new']);
    expect(revisionFor(set({ ordinals: { start: 5 }, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } } }), 5, live)).to.equal(live.current);
  });
});

describe('StatefulSet: turns', () => {
  it('says what a place needs', () => {
    const rows: [Pod | undefined, string, string][] = [
      [undefined, 'create', 'create'], [pod(0, { phase: 'Failed' }), 'replace', 'replace'], [pod(0, { phase: 'Succeeded' }), 'replace', 'replace'],
      [pod(0, { phase: 'Pending', ready: -1 }), 'wait', 'keep'], [pod(0, { ready: -1 }), 'wait', 'keep'], [pod(0, { deleted: true }), 'wait', 'keep'], [pod(0), 'keep', 'keep'],
    ];
    for (const [each, inOrder, atOnce] of rows) expect([stepFor(ordered, each, now), stepFor(parallel, each, now)]).to.deep.equal([inOrder, atOnce]);
    expect(stepFor(set({ minReadySeconds: 101 }), pod(0), now)).to.equal('wait');
  });
  it('puts pods on their places from the first ordinal on', () => {
    const { places, condemned } = arrange(set({ replicas: 2, ordinals: { start: 1 } }), [pod(4), pod(0), pod(2), pod(11)]);
    expect([places.map((place) => [place.ordinal, nameOf(place.pod)]), condemned.map(nameOf)]).to.deep.equal([[[1, undefined], [2, 'web-2']], ['web-11', 'web-4', 'web-0']]);
  });
  it('looks at no more empty places than it would fill at once, however many replicas are asked for', () => {
    const { places } = arrange(set({ replicas: 2 ** 31 - 1 }), [pod(0), pod(1), pod(1_000_000)]);
    expect([places.length, places.at(-1)]).to.deep.equal([502, { ordinal: 501, pod: undefined }]);
  });
  const scaleDown = (each: StatefulSet, pods: Pod[]): unknown => {
    const { remove, blocked } = toScaleDown(each, arrange(each, pods), now);
    return [remove.map(nameOf), blocked];
  };
  const one = set({ replicas: 1 });
  it('scales down from the top, one at a time', () => {
    expect(scaleDown(one, [pod(0), pod(1), pod(2)])).to.deep.equal([['web-2'], true]);
    expect(scaleDown(one, [pod(0), pod(1), pod(2, { deleted: true })])).to.deep.equal([[], true]);
    expect(scaleDown(one, [pod(0)])).to.deep.equal([[], false]);
  });
  it('takes an unhealthy pod only when all below it are well', () => {
    expect(scaleDown(one, [pod(0), pod(1), pod(2, { ready: -1 })])).to.deep.equal([['web-2'], true]);
    expect(scaleDown(one, [pod(0), pod(1, { ready: -1 }), pod(2, { ready: -1 })])).to.deep.equal([[], true]);
  });
  it('scales down at once when parallel', () => {
    expect(scaleDown({ ...parallel, spec: { ...one.spec, podManagementPolicy: 'Parallel' } as Spec }, [pod(0), pod(1, { ready: -1 }), pod(2), pod(3, { deleted: true })])).to.deep.equal([['web-2', 'web-1'], true]);
  });
  const update = (each: StatefulSet, pods: Pod[]): string | undefined => nameOf(toUpdate(each, arrange(each, pods).places, 'new', now));
  const old: Traits = { revision: 'old' };
  it('updates from the top down to the partition', () => {
    expect(update(ordered, [pod(0, old), pod(1, old), pod(2, old)])).to.equal('web-2');
    expect(update(ordered, [pod(0, old), pod(1, old), pod(2)])).to.equal('web-1');
    expect(update(ordered, [pod(0), pod(1), pod(2)])).to.equal(undefined);
    expect(update(set({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } }), [pod(0, old), pod(1, old), pod(2)])).to.equal(undefined);
    expect(update(set({ updateStrategy: { type: 'OnDelete' } }), [pod(0, old), pod(1, old), pod(2, old)])).to.equal(undefined);
  });
  it('waits for the one before', () => {
    for (const top of [pod(2, { ready: -1 }), pod(2, { deleted: true }), pod(2, { ...old, deleted: true })]) expect(update(ordered, [pod(0, old), pod(1, old), top])).to.equal(undefined);
    expect(update(ordered, [pod(0, old), pod(1, old)])).to.equal(undefined);
    expect(update(set({ minReadySeconds: 60 }), [pod(0, old), pod(1, old), pod(2, { ready: 30 })])).to.equal(undefined);
  });
});

describe('StatefulSet: status and history', () => {
  it('counts', () => {
    const pods = [pod(0, { revision: 'old' }), pod(1, { revision: 'old', deleted: true }), pod(2, { ready: 20 }), pod(3, { phase: '' })];
    expect(calculateStatus(set({ minReadySeconds: 30 }), pods, live, 1, now)).to.deep.equal({
      nextAvailableMs: 10_000,
      status: { replicas: 3, readyReplicas: 3, availableReplicas: 2, currentReplicas: 1, updatedReplicas: 1, currentRevision: 'old', updateRevision: 'new', collisionCount: 1, observedGeneration: 2 },
    });
  });
  it('no longer counts as current what the update has just taken away, so that its place is filled from the new revision', () => {
    const each = set({ updateStrategy: { type: 'RollingUpdate' } });
    const pods = [0, 1, 2].map((ordinal) => pod(ordinal, { revision: 'old' }));
    const { status } = calculateStatus(each, pods, live, 0, now, pods[2]);
    expect(status).to.include({ replicas: 3, readyReplicas: 3, currentReplicas: 2 });
    expect([1, 2].map((ordinal) => revisionFor({ ...each, status }, ordinal, live).metadata.name)).to.deep.equal(['old', 'new']);
  });
  it('makes the new revision the current one at the end of a rolling update only', () => {
    const currentOf = (each: StatefulSet, pods: Pod[]): unknown => calculateStatus(each, pods, live, 0, now).status.currentRevision;
    expect([currentOf(ordered, [pod(0), pod(1), pod(2)]), currentOf(ordered, [pod(0), pod(1), pod(2, { ready: -1 })]), currentOf(set({ updateStrategy: { type: 'OnDelete' } }), [pod(0), pod(1), pod(2)])])
      .to.deep.equal(['new', 'old', 'old']);
  });
  it('keeps revisions in use and as many others as asked for', () => {
    const all = ['r1', 'r2', 'r3', 'old', 'new'].map(revision);
    expect(expendable(set({ revisionHistoryLimit: 1 }), all, [pod(0, { revision: 'r1' })], live).map(({ metadata }) => metadata.name)).to.deep.equal(['r2']);
    for (const each of [set(), set({ revisionHistoryLimit: -1 })]) expect(expendable(each, all, [], live)).to.deep.equal([]);
  });
});

describe('StatefulSet: owners of claims', () => {
  const ofSet: OwnerReference = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', uid: 'set', controller: true, blockOwnerDeletion: true };
  const ofPod = (ordinal: number): OwnerReference => ({ apiVersion: 'v1', kind: 'Pod', name: `web-${ordinal}`, uid: `pod-${ordinal}`, controller: true, blockOwnerDeletion: true });
  const stranger: OwnerReference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'x' };
  const owned = (...ownerReferences: OwnerReference[]): PersistentVolumeClaim => ({ metadata: { name: 'c', ownerReferences } });
  const policy = (whenDeleted: string, whenScaled: string): StatefulSet => set({ persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled } });
  const rows: [string, StatefulSet, number, OwnerReference[], OwnerReference[] | undefined][] = [
    ['none by default', ordered, 0, [], undefined],
    ['none any more', ordered, 0, [stranger, ofSet], [stranger]],
    ['the set', policy('Delete', 'Retain'), 0, [], [ofSet]],
    ['the set, once', policy('Delete', 'Retain'), 0, [ofSet], undefined],
    ['the set, as controller', policy('Delete', 'Retain'), 0, [{ ...ofSet, controller: false }], [ofSet]],
    ['the pod only when it is scaled away', policy('Retain', 'Delete'), 0, [], undefined],
    ['the pod that is scaled away', policy('Retain', 'Delete'), 7, [], [ofPod(7)]],
    ['the pod in place of the set', policy('Delete', 'Delete'), 7, [ofSet], [ofPod(7)]],
    ['the set in place of the pod', policy('Delete', 'Delete'), 0, [ofPod(0)], [ofSet]],
    ['nothing for a claim of an earlier set', policy('Delete', 'Retain'), 0, [{ ...ofSet, uid: 'earlier' }], undefined],
  ];
  for (const [title, each, ordinal, before, after] of rows) {
    it(title, () => expect(claimOwners(owned(...before), each, pod(ordinal))).to.deep.equal({ owners: after, conflict: before.some(({ uid }) => uid === 'earlier') }));
  }
  it('gives way to another controller', () => {
    const other = { ...stranger, controller: true };
    expect(claimOwners(owned(other, ofSet), policy('Delete', 'Retain'), pod(0))).to.deep.equal({ owners: [other], conflict: true });
    expect(claimOwners(owned(other), policy('Delete', 'Retain'), pod(0))).to.deep.equal({ owners: undefined, conflict: true });
  });
  it('knows a claim of an earlier pod', () => {
    expect([isStale(owned(ofPod(1)), { metadata: { name: 'web-1' } }, 'Pod'), isStale(owned(ofPod(1)), pod(1), 'Pod'), isStale(owned(), pod(1), 'Pod')]).to.deep.equal([true, false, false]);
  });
});
