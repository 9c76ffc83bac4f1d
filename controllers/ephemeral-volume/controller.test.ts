import { expect } from 'chai';
import type { PersistentVolumeClaim, Pod } from '#machinery/api/object.ts';
import { annotation, foreignClaim } from '#machinery/api/volumes.ts';
import { wantsMore } from '../volume-expand/controller.ts';
import { claimFor, ephemeralVolumes } from './controller.ts';

const scratch = { name: 'scratch', ephemeral: { volumeClaimTemplate: { metadata: { labels: { a: 'b' } }, spec: { accessModes: ['ReadWriteOnce'] } } } };
const pod = (metadata: Pod['metadata'] = {}): Pod => ({ metadata: { name: 'p', namespace: 'n', uid: 'u', ...metadata }, spec: { containers: [], volumes: [{ name: 'other', emptyDir: {} }, scratch] } });

describe('claims of ephemeral volumes', () => {
  it('bear the names of pod and volume, and belong to the pod', () => {
    const claim = claimFor(pod(), scratch);
    expect(claim.metadata).to.deep.equal({ name: 'p-scratch', labels: { a: 'b' }, ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true, blockOwnerDeletion: true }] });
    expect(claim.spec).to.deep.equal({ accessModes: ['ReadWriteOnce'] });
    expect(foreignClaim(pod(), claim)).to.equal(undefined);
  });
  it('are not those of a pod of the same name before', () => {
    const claim = { ...claimFor(pod({ uid: 'before' }), scratch) };
    claim.metadata.namespace = 'n';
    expect(foreignClaim(pod(), claim)).to.equal('PVC n/p-scratch was not created for pod n/p (pod is not owner)');
  });
  it('are not made for a pod that goes away', () => {
    expect(ephemeralVolumes(pod()).map(({ name }) => name)).to.deep.equal(['scratch']);
    expect(ephemeralVolumes(pod({ deletionTimestamp: 'now' }))).to.deep.equal([]);
  });
});

it('wantsMore() is for bound claims that ask for more than they have', () => {
  const claim = (has: string, phase = 'Bound', annotations = { [annotation.bindCompleted]: 'yes' }): PersistentVolumeClaim => ({
    metadata: { name: 'c', annotations }, spec: { volumeName: 'v', resources: { requests: { storage: '2Gi' } } }, status: { phase, capacity: { storage: has } },
  });
  expect([claim('1Gi'), claim('2048Mi'), claim('3Gi'), claim('1Gi', 'Lost'), { ...claim('1Gi'), status: { phase: 'Bound' } }].map(wantsMore)).to.deep.equal([true, false, false, false, false]);
});
