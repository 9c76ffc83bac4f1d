import { expect } from 'chai';
import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { folderAnnotation, isVolumeName, nodeAnnotation, provisioner, removeAnnotation } from '#machinery/api/local-path.ts';
import { annotation } from '#machinery/api/volumes.ts';
import { finalizer, isAsked, refusal, removalStep, unfitNode, volumeFor } from './reconcile.ts';

const uid = '0b5e9a3c-1f2d-4c6b-8a7e-9d0c1b2a3f4e';
const claim = (spec: PersistentVolumeClaim['spec'] = {}): PersistentVolumeClaim => ({
  metadata: { name: '..', namespace: '../../etc', uid, resourceVersion: '7', annotations: { [annotation.storageProvisioner]: provisioner } },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
});
const storageClass = (more: Partial<StorageClass> = {}): StorageClass => ({ metadata: { name: 'local-path' }, provisioner, volumeBindingMode: 'WaitForFirstConsumer', ...more });
const node = (annotations: Record<string, string> = { [folderAnnotation]: '/data/volumes' }): Node => ({ metadata: { name: 'n', labels: { 'kubernetes.io/hostname': 'host' }, annotations } });

describe('local-path', () => {
  const refusals: [string, PersistentVolumeClaim, StorageClass, RegExp][] = [
    ['parameters', claim(), storageClass({ parameters: { path: '/etc', pathPattern: '..' } }), /unknown parameter "path", "pathPattern"/],
    ['mount options', claim(), storageClass({ mountOptions: ['ro'] }), /mountOptions/],
    ['binding at once', claim(), storageClass({ volumeBindingMode: 'Immediate' }), /WaitForFirstConsumer/],
    ['block devices', claim({ volumeMode: 'Block' }), storageClass(), /Block/],
    ['access from several nodes', claim({ accessModes: ['ReadWriteOnce', 'ReadWriteMany'] }), storageClass(), /ReadWriteMany/],
    ['a selector', claim({ selector: {} }), storageClass(), /Selector/],
    ['a copy', claim({ dataSource: { kind: 'PersistentVolumeClaim', name: 'x' } }), storageClass(), /dataSource/],
    ['attributes', claim({ volumeAttributesClassName: 'gold' }), storageClass(), /volumeAttributesClassName/],
  ];
  for (const [title, wanted, of, message] of refusals) it(`refuses ${title}`, () => expect(refusal(wanted, of)).to.match(message));
  it('takes what a folder can be', () => expect(refusal(claim({ accessModes: ['ReadWriteOncePod'], volumeMode: 'Filesystem' }), storageClass())).to.equal(undefined));

  it('isAsked() leaves claims of others, bound ones and those that go away alone', () => {
    expect([isAsked(claim()), isAsked(claim({ volumeName: 'v' })), isAsked({ ...claim(), metadata: { ...claim().metadata, deletionTimestamp: 'now' } }), isAsked({ metadata: {} })]).to.deep.equal([true, false, false, false]);
  });
  it('unfitNode() refuses nodes that name no folder of their own', () => {
    expect(unfitNode('n', node())).to.equal(undefined);
    expect(unfitNode('n', undefined)).to.match(/not found/);
    expect(unfitNode('n', node({}))).to.match(/no folder/);
    for (const folder of ['volumes', '/data/../etc', '/./x']) expect(unfitNode('n', node({ [folderAnnotation]: folder }))).to.match(/no absolute path/);
  });
  it('volumeFor() puts no name that a user chose into the path', () => {
    const { metadata, spec } = volumeFor(claim(), storageClass({ reclaimPolicy: 'Retain' }), node());
    expect(metadata).to.deep.include({ name: `pvc-${uid}`, finalizers: [finalizer] });
    expect(spec?.local?.path).to.equal(`/data/volumes/pvc-${uid}`);
    expect(spec?.nodeAffinity?.required?.nodeSelectorTerms).to.deep.equal([{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['host'] }] }]);
    expect(spec).to.deep.include({ persistentVolumeReclaimPolicy: 'Retain', accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' } });
    for (const bad of ['', '..', `${uid}/..`, uid.toUpperCase()]) expect(() => volumeFor({ ...claim(), metadata: { uid: bad } }, storageClass(), node()), bad).to.throw(/is none/);
  });
  it('isVolumeName() knows its own', () => expect([`pvc-${uid}`, `pvc-${uid}/`, 'pvc-..', '', `x/pvc-${uid}`].map(isVolumeName)).to.deep.equal([true, false, false, false, false]));

  describe('removalStep()', () => {
    const name = `pvc-${uid}`;
    const released = (more: Partial<PersistentVolume['metadata']> = {}, policy = 'Delete', phase = 'Released'): PersistentVolume => ({
      metadata: { name, finalizers: [finalizer], annotations: { [nodeAnnotation]: 'n' }, ...more }, spec: { persistentVolumeReclaimPolicy: policy, claimRef: {} }, status: { phase },
    });
    const at = (state?: string) => (): Node => node(state === undefined ? {} : { [removeAnnotation(name)]: state });
    const kind = (volume: PersistentVolume, nodeOf: () => Node | undefined = at()): string => removalStep(volume, nodeOf).kind;
    it('asks the node, waits for it, and goes when it is done', () => {
      expect([kind(released()), kind(released(), at('wanted')), kind(released(), at('done'))]).to.deep.equal(['ask', 'wait', 'delete']);
    });
    it('tells what went wrong there', () => expect(removalStep(released(), at('failed: EBUSY'))).to.deep.equal({ kind: 'failed', message: 'EBUSY' }));
    it('goes with a node that is gone', () => expect(kind(released(), () => undefined)).to.equal('delete'));
    it('touches nothing that is bound or retained', () => {
      expect([kind(released({}, 'Delete', 'Bound')), kind(released({}, 'Retain')), kind(released({ deletionTimestamp: 'now' }, 'Delete', 'Bound'))]).to.deep.equal(['nothing', 'nothing', 'nothing']);
    });
    it('lets a retained volume that a person deletes go without its folder', () => expect(kind(released({ deletionTimestamp: 'now' }, 'Retain'))).to.equal('delete'));
    it('goes on after a crash between the last two writes', () => expect(kind(released({ finalizers: [] }), at('done'))).to.equal('delete'));
  });
});
