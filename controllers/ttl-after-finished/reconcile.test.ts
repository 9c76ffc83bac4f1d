import { expect } from 'chai';
import type { Job } from '#machinery/api/object.ts';
import { expiresInMs } from './reconcile.ts';

const now = Date.UTC(2026, 0, 1, 12);
const finished = (ttl: number | undefined, more: Partial<NonNullable<NonNullable<Job['status']>['conditions']>[number]> = {}): Job => ({
  metadata: { name: 'j' },
  spec: { template: {}, ...(ttl === undefined ? {} : { ttlSecondsAfterFinished: ttl }) },
  status: { conditions: [{ type: 'Complete', status: 'True', lastTransitionTime: new Date(now - 5000).toISOString(), ...more }] },
});

describe('expiresInMs()', () => {
  it('counts from the end', () => expect([0, 5, 8].map((ttl) => expiresInMs(finished(ttl), now))).to.deep.equal([-5000, 0, 3000]));
  it('counts from a failure too', () => expect(expiresInMs(finished(8, { type: 'Failed' }), now)).to.equal(3000));
  it('leaves jobs without a time, running ones and those going already', () => {
    expect(expiresInMs(finished(undefined), now)).to.equal(undefined);
    expect(expiresInMs(finished(0, { type: 'SuccessCriteriaMet' }), now)).to.equal(undefined);
    expect(expiresInMs({ ...finished(0), metadata: { name: 'j', deletionTimestamp: '2026-01-01T00:00:00Z' } }, now)).to.equal(undefined);
  });
  it('fails when the end has no time', () => expect(() => expiresInMs(finished(0, { lastTransitionTime: '' }), now)).to.throw('Complete'));
});
