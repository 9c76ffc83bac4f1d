import { expect } from 'chai';
import type { Deployment, ReplicaSet } from '#machinery/api/object.ts';
import {
  calculateStatus, conditionOf, desiredKey, expendable, historyKey, isScaling, maxKey, maxSurge, maxUnavailable, newCondition, newSetAnnotations, newSetName, newSetSize, nextRevision,
  progressCheckInMs, proportionalSizes, replicasOf, revisionKey, rolloutStatus, sameTemplate, shrinkOld, splitSets, templateHash, withCondition,
} from './reconcile.ts';

const now = Date.UTC(2026, 0, 1);
interface Rolling { surge?: string | number; unavailable?: string | number; recreate?: boolean; image?: string }
function deployment(replicas: number, { surge = '25%', unavailable = '25%', recreate, image = 'new' }: Rolling = {}, more: Partial<Deployment> = {}): Deployment {
  return {
    metadata: { name: 'd', namespace: 'a', uid: 'd', generation: 1 },
    spec: {
      replicas, selector: { matchLabels: { app: 'd' } }, progressDeadlineSeconds: 600, revisionHistoryLimit: 2,
      strategy: recreate ? { type: 'Recreate' } : { type: 'RollingUpdate', rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable } },
      template: { metadata: { labels: { app: 'd' } }, spec: { containers: [{ name: 'c', image }] } },
    },
    ...more,
  };
}
function set(name: string, replicas: number, available = replicas, more: { max?: number; desired?: number; at?: number; image?: string; revision?: string } = {}): ReplicaSet {
  return {
    metadata: {
      name, namespace: 'a', uid: name, generation: 1, creationTimestamp: `2026-01-01T00:00:0${more.at ?? 0}Z`,
      annotations: {
        ...(more.max === undefined ? {} : { [maxKey]: String(more.max) }), ...(more.desired === undefined ? {} : { [desiredKey]: String(more.desired) }),
        ...(more.revision === undefined ? {} : { [revisionKey]: more.revision }),
      },
    },
    spec: {
      replicas, selector: {},
      template: { metadata: { labels: { 'app': 'd', 'pod-template-hash': name } }, spec: { containers: [{ name: 'c', image: more.image ?? 'old' }] } },
    },
    status: { replicas, readyReplicas: available, availableReplicas: available, observedGeneration: 1, terminatingReplicas: 0 },
  };
}
const sizes = (resizes: { set: ReplicaSet; replicas: number }[]): Record<string, number> => Object.fromEntries(resizes.map(({ set: each, replicas }) => [each.metadata.name, replicas]));

describe('maxSurge() and maxUnavailable()', () => {
  for (const [replicas, surge, unavailable, wantedSurge, wantedUnavailable] of [
    [10, '25%', '25%', 3, 2],
    [1, '25%', '25%', 1, 0],
    [2, 0, '1%', 0, 1], // both round to zero
    [2, '1%', 0, 1, 0],
    [3, 0, 5, 0, 3], // never above replicas
    [0, '50%', '50%', 0, 0],
  ] as const) {
    it(`${replicas} replicas, ${surge} and ${unavailable}`, () => {
      const d = deployment(replicas, { surge, unavailable });
      expect([maxSurge(d), maxUnavailable(d)]).to.deep.equal([wantedSurge, wantedUnavailable]);
    });
  }
  it('are 0 for Recreate', () => {
    const d = deployment(5, { recreate: true });
    expect([maxSurge(d), maxUnavailable(d)]).to.deep.equal([0, 0]);
  });
});

describe('newSetSize()', () => {
  for (const [replicas, surge, old, current, wanted] of [
    [10, '25%', 10, 0, 3],
    [10, '25%', 13, 0, 0], // no room
    [10, 0, 8, 0, 2],
    [10, 5, 0, 4, 10], // not above replicas
    [10, '25%', 5, 5, 8],
  ] as const) {
    it(`of ${replicas} with surge ${surge}: ${old} old and ${current} new become ${wanted}`, () => {
      const all = [set('old', old), set('new', current)];
      expect(newSetSize(deployment(replicas, { surge }), all, current)).to.equal(wanted);
    });
  }
  it('is full size at once for Recreate', () => {
    expect(newSetSize(deployment(5, { recreate: true }), [], 0)).to.equal(5);
  });
});

describe('shrinkOld()', () => {
  const rows: [title: string, replicas: number, rolling: Rolling, current: ReplicaSet, old: ReplicaSet[], wanted: Record<string, number>][] = [
    ['takes what the new set has made available', 10, { unavailable: 2, surge: 3 }, set('new', 3), [set('a', 10)], { a: 5 }],
    ['takes maxUnavailable at once', 10, { unavailable: 2, surge: 0 }, set('new', 0), [set('a', 10)], { a: 8 }],
    ['does nothing while the new pods are not available and the room is used', 10, { unavailable: 2, surge: 3 }, set('new', 5, 0), [set('a', 8)], {}],
    ['takes broken old pods first, of the oldest set first', 10, { unavailable: 2, surge: 3 }, set('new', 5), [set('b', 4, 2, { at: 2 }), set('a', 4, 1, { at: 1 })], { a: 1, b: 2 }],
    ['takes broken ones where nothing may become unavailable, as far as there is room', 4, { unavailable: 0, surge: 1 }, set('new', 1, 1), [set('a', 4, 2)], { a: 3 }],
    ['removes all when the new set is complete', 3, {}, set('new', 3), [set('a', 1), set('b', 1)], { a: 0, b: 0 }],
    ['leaves empty sets alone', 3, {}, set('new', 3), [set('a', 0)], {}],
  ];
  for (const [title, replicas, rolling, current, old, wanted] of rows) {
    it(title, () => expect(sizes(shrinkOld(deployment(replicas, rolling), current, old))).to.deep.equal(wanted));
  }

  it('never leaves less than the minimum available, whatever the start', () => {
    for (let replicas = 0; replicas <= 6; replicas += 1) {
      for (let oldSize = 0; oldSize <= 6; oldSize += 1) {
        for (let available = 0; available <= oldSize; available += 1) {
          for (let newSize = 0; newSize <= replicas; newSize += 1) {
            const d = deployment(replicas);
            const old = set('a', oldSize, available);
            const current = set('new', newSize);
            const left = sizes(shrinkOld(d, current, [old])).a ?? oldSize;
            const minimum = Math.min(available + newSize, replicas - maxUnavailable(d));
            // The pods that go are the broken ones first.
            expect(Math.min(available, left) + newSize, JSON.stringify({ replicas, oldSize, available, newSize, left })).to.be.at.least(minimum);
          }
        }
      }
    }
  });
});

describe('proportionalSizes()', () => {
  it('gives the only active set everything', () => {
    expect(sizes(proportionalSizes(deployment(7), set('new', 3), [set('a', 0)]).resizes)).to.deep.equal({ new: 7 });
  });
  it('takes up the newest set when none is active', () => {
    expect(sizes(proportionalSizes(deployment(7), undefined, [set('a', 0, 0, { at: 1 }), set('b', 0, 0, { at: 2 })]).resizes)).to.deep.equal({ b: 7 });
  });
  it('scales up in proportion, the rest to the largest', () => {
    const plan = proportionalSizes(deployment(12, { surge: 0 }), set('new', 5, 5, { max: 10, at: 2 }), [set('a', 5, 5, { max: 10, at: 1 })]);
    expect(sizes(plan.resizes)).to.deep.equal({ new: 6, a: 6 });
    expect(plan.force).to.equal(true);
  });
  it('scales down in proportion', () => {
    expect(sizes(proportionalSizes(deployment(5, { surge: 0 }), set('new', 5, 4, { max: 10, at: 2 }), [set('a', 5, 5, { max: 10, at: 1 })]).resizes)).to.deep.equal({ new: 3, a: 2 });
  });
  it('scales all to zero', () => {
    expect(sizes(proportionalSizes(deployment(0), set('new', 5, 5, { max: 10 }), [set('a', 5, 5, { max: 10 })]).resizes)).to.deep.equal({ new: 0, a: 0 });
  });
  it('empties old sets beside a saturated new one', () => {
    expect(sizes(proportionalSizes(deployment(5), set('new', 5, 5, { desired: 5 }), [set('a', 2)]).resizes)).to.deep.equal({ a: 0 });
  });
  it('never hands out more or less than there is', () => {
    for (let wanted = 1; wanted <= 20; wanted += 1) {
      const d = deployment(wanted, { surge: '25%' });
      const { resizes } = proportionalSizes(d, set('new', 4, 2, { max: 13, at: 3 }), [set('a', 7, 7, { max: 13, at: 1 }), set('b', 2, 2, { max: 13, at: 2 })]);
      expect(resizes.reduce((sum, { replicas }) => sum + replicas, 0)).to.equal(wanted + maxSurge(d));
    }
  });
});

describe('splitSets()', () => {
  it('finds the oldest set with the same template, whatever its hash', () => {
    const { current, old } = splitSets(deployment(1), [set('later', 1, 1, { image: 'new', at: 3 }), set('other', 1, 1, { at: 2 }), set('first', 1, 1, { image: 'new', at: 1 })]);
    expect(current?.metadata.name).to.equal('first');
    expect(old.map(({ metadata }) => metadata.name)).to.deep.equal(['other', 'later']);
  });
  it('sameTemplate() sees absent, null and empty lists as one, other differences not', () => {
    const template = { spec: { containers: [{ name: 'c', image: 'i' }] } };
    expect(sameTemplate(template, { metadata: { labels: {} }, spec: { containers: [{ name: 'c', image: 'i', env: [] }] } })).to.equal(true);
    expect(sameTemplate(template, { metadata: { annotations: { a: 'b' } }, spec: template.spec })).to.equal(false);
  });
});

describe('revisions', () => {
  it('count on from the highest old one, texts that are no numbers aside', () => {
    expect(nextRevision([set('a', 0, 0, { revision: '4' }), set('b', 0, 0, { revision: 'x' })])).to.equal(5n);
  });
  it('count exactly beyond what a number holds, and do not leave int64', () => {
    const old = [set('a', 0, 0, { revision: '3546343826724305832' }), set('b', 0, 0, { revision: '9223372036854775808' })];
    expect(nextRevision(old)).to.equal(3546343826724305833n);
    expect(newSetAnnotations(deployment(1), undefined, nextRevision(old))).to.include({ [revisionKey]: '3546343826724305833' });
  });
  it('keep the history of a set that is taken up again', () => {
    const once = newSetAnnotations(deployment(1), set('a', 0, 0, { revision: '1' }), 3n);
    expect(once).to.include({ [revisionKey]: '3', [historyKey]: '1' });
    const twice = newSetAnnotations(deployment(1), { ...set('a', 0), metadata: { annotations: once } }, 5n);
    expect(twice).to.include({ [revisionKey]: '5', [historyKey]: '1,3' });
  });
  it('copy the annotations of the deployment but its own bookkeeping', () => {
    const d = deployment(2, {}, { metadata: { annotations: { 'team': 'x', 'kubectl.kubernetes.io/last-applied-configuration': '{}', [revisionKey]: '9' } } });
    expect(newSetAnnotations(d, undefined, 1n)).to.deep.equal({ team: 'x', [revisionKey]: '1', [desiredKey]: '2', [maxKey]: '3' });
  });
});

describe('templateHash()', () => {
  it('depends on the content and the collision count, not on the order of keys', () => {
    const hash = templateHash({ metadata: { labels: { a: '1', b: '2' } } }, undefined);
    expect(templateHash({ metadata: { labels: { b: '2', a: '1' } } }, undefined)).to.equal(hash);
    expect(templateHash({ metadata: { labels: { a: '1' } } }, undefined)).not.to.equal(hash);
    expect(templateHash({ metadata: { labels: { a: '1', b: '2' } } }, 1)).not.to.equal(hash);
    expect(hash).to.match(/^[456789bcdf]{1,10}$/);
  });
  it('leaves room for itself in the name', () => {
    expect(newSetName('d'.repeat(253), 'abcdefgh')).to.have.length(253).and.to.match(/d-abcdefgh$/);
  });
});

describe('isScaling()', () => {
  it('is told by an active set sized for another number', () => {
    expect(isScaling(deployment(3), [set('a', 2, 2, { desired: 2 })])).to.equal(true);
    expect(isScaling(deployment(3), [set('a', 3, 3, { desired: 3 }), set('b', 0, 0, { desired: 2 }), set('c', 1)])).to.equal(false);
  });
});

describe('expendable()', () => {
  it('is what exceeds the limit, the oldest revisions, and only empty sets', () => {
    const old = [set('c', 0, 0, { revision: '3' }), set('a', 0, 0, { revision: '1' }), set('b', 1, 1, { revision: '2' }), set('d', 0, 0, { revision: '4' })];
    expect(expendable(deployment(1), old).map(({ metadata }) => metadata.name)).to.deep.equal(['a']);
  });
});

describe('rolloutStatus()', () => {
  const progressing = (reason: string, at = now, status = 'True') => newCondition('Progressing', status, reason, 'm', at);
  const text = (d: Deployment, sets: ReplicaSet[], current: ReplicaSet | undefined, at = now): string => {
    const condition = conditionOf(rolloutStatus(d, sets, current, at), 'Progressing');
    return condition ? `${condition.status} ${condition.reason}: ${condition.message}` : 'none';
  };
  it('says when it is complete', () => {
    const current = set('new', 3);
    expect(text(deployment(3), [current], current)).to.equal('True NewReplicaSetAvailable: ReplicaSet "new" has successfully progressed.');
  });
  it('says when it moves, and moves the time of the last update only', () => {
    const current = set('new', 1);
    const d = deployment(3, {}, { status: { conditions: [progressing('NewReplicaSetCreated')] } });
    expect(text(d, [current, set('a', 2)], current)).to.equal('True ReplicaSetUpdated: ReplicaSet "new" is progressing.');
    const condition = conditionOf(rolloutStatus(d, [current], current, now + 60_000), 'Progressing');
    expect(condition).to.include({ lastTransitionTime: '2026-01-01T00:00:00Z', lastUpdateTime: '2026-01-01T00:01:00Z' });
  });
  it('times out after the deadline without a step', () => {
    const current = set('new', 1, 0);
    const sets = [current, set('a', 2)];
    const before = rolloutStatus(deployment(3), sets, current, now);
    const stuck = deployment(3, {}, { status: { ...before, conditions: [progressing('ReplicaSetUpdated')] } });
    expect(text(stuck, sets, current, now + 599_000)).to.equal('True ReplicaSetUpdated: m');
    expect(progressCheckInMs(stuck, before, now + 100_000)).to.equal(501_000);
    expect(text(stuck, sets, current, now + 601_000)).to.equal('False ProgressDeadlineExceeded: ReplicaSet "new" has timed out progressing.');
  });
  it('has no Progressing condition without a deadline', () => {
    const d = deployment(1, {}, { status: { conditions: [progressing('x')] } });
    expect(text({ ...d, spec: { ...d.spec!, progressDeadlineSeconds: 2 ** 31 - 1 } }, [], undefined)).to.equal('none');
  });
  it("copies a set's failure and takes it back", () => {
    const failing = set('new', 1);
    failing.status!.conditions = [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'quota', lastTransitionTime: '2026-01-01T00:00:00Z' }];
    const status = rolloutStatus(deployment(1), [failing], failing, now);
    expect(conditionOf(status, 'ReplicaFailure')).to.include({ reason: 'FailedCreate', message: 'quota' });
    const healed = set('new', 1);
    expect(conditionOf(rolloutStatus(deployment(1, {}, { status }), [healed], healed, now), 'ReplicaFailure')).to.equal(undefined);
  });
});

describe('calculateStatus()', () => {
  it('is available from replicas - maxUnavailable on', () => {
    const reason = (available: number): string | undefined => conditionOf(calculateStatus(deployment(4), [set('a', 4, available)], undefined, now), 'Available')?.reason;
    expect([reason(3), reason(2)]).to.deep.equal(['MinimumReplicasAvailable', 'MinimumReplicasUnavailable']);
  });
  it('leaves zero counts out, but terminating ones', () => {
    expect(calculateStatus(deployment(0), [set('a', 0)], undefined, now)).to.deep.include({ observedGeneration: 1, terminatingReplicas: 0 }).and.not.to.have.any.keys('replicas', 'availableReplicas');
  });
});

it('withCondition() keeps a condition of the same status and reason', () => {
  const first = withCondition(undefined, newCondition('Available', 'True', 'r', 'one', now));
  expect(withCondition(first, newCondition('Available', 'True', 'r', 'two', now + 1000))).to.deep.equal(first);
  expect(withCondition(first, newCondition('Available', 'True', 'other', 'two', now + 5000))[0]).to.include({ message: 'two', lastTransitionTime: '2026-01-01T00:00:00Z' });
});
it('replicasOf() of a set that does not say is 1', () => expect(replicasOf({ metadata: {} })).to.equal(1));
