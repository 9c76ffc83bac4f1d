// Binding from the first look to the last write: what is chosen, what is said, and that a crash between any two writes does no harm.
import { expect } from 'chai';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { annotation, defaultClass, findVolume, isBoundTo, mismatch, withClaim } from '#machinery/api/volumes.ts';
import { claimStep, reclaimFailure, volumeStep, type ClaimStep, type ClaimWorld } from './reconcile.ts';

type Spec<T extends { spec?: unknown }> = NonNullable<T['spec']>;
const claim = (spec: Spec<PersistentVolumeClaim> = {}, annotations: Record<string, string> = {}): PersistentVolumeClaim => ({
  metadata: { name: 'c', namespace: 'n', uid: 'u', annotations }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName: 'x', ...spec }, status: { phase: 'Pending' },
});
const volume = (name: string, spec: Spec<PersistentVolume> = {}, more: Partial<PersistentVolume['metadata']> = {}): PersistentVolume => ({
  metadata: { name, ...more }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 'x', ...spec }, status: { phase: 'Available' },
});
const storageClass = (name: string, more: Partial<StorageClass> = {}): StorageClass => ({ metadata: { name }, provisioner: 'example.com/p', volumeBindingMode: 'Immediate', ...more });
const ref = (name: string, uid?: string) => ({ name, namespace: 'n', ...(uid ? { uid } : {}) });

describe('findVolume()', () => {
  const names = (wanted: PersistentVolumeClaim, volumes: PersistentVolume[], waits = false): string | undefined => findVolume(wanted, volumes, { waits })?.metadata.name;
  it('takes the smallest that is large enough', () => expect(names(claim(), [volume('small', { capacity: { storage: '1023Mi' } }), volume('large', { capacity: { storage: '3Gi' } }), volume('fit', { capacity: { storage: '2Gi' } })])).to.equal('fit'));
  it('prefers the fewest access modes over size', () => {
    const both = volume('both', { accessModes: ['ReadWriteOnce', 'ReadWriteMany'] });
    expect(names(claim(), [both, volume('one', { capacity: { storage: '9Gi' } })])).to.equal('one');
    expect(names(claim({ accessModes: ['ReadWriteMany'] }), [both, volume('one')])).to.equal('both');
  });
  it('takes the one that names the claim, whatever its size', () => expect(names(claim(), [volume('a'), volume('kept', { capacity: { storage: '9Gi' }, claimRef: ref('c') })])).to.equal('kept'));
  const unfit: [string, PersistentVolume][] = [
    ['another class', volume('v', { storageClassName: 'y' })], ['another mode', volume('v', { volumeMode: 'Block' })], ['an access mode less', volume('v', { accessModes: ['ReadOnlyMany'] })],
    ['an attributes class', volume('v', { volumeAttributesClassName: 'gold' })], ["another's name", volume('v', { claimRef: ref('d') })], ['the uid of one before', volume('v', { claimRef: ref('c', 'old') })],
    ['an end', volume('v', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' })], ['no capacity', volume('v', { capacity: {} })], ['been released', { ...volume('v'), status: { phase: 'Released' } }],
  ];
  for (const [title, candidate] of unfit) it(`passes by a volume that has ${title}`, () => expect(names(claim(), [candidate])).to.equal(undefined));
  it('asks the selector', () => expect(names(claim({ selector: { matchLabels: { tier: 'a' } } }), [volume('v', {}, { labels: { tier: 'b' } }), volume('w', { capacity: { storage: '5Gi' } }, { labels: { tier: 'a' } })])).to.equal('w'));
  it('waits for a node with a class that does, but not with a volume that names the claim', () => {
    expect(names(claim(), [volume('v')], true)).to.equal(undefined);
    expect(names(claim(), [volume('v', { claimRef: ref('c', 'u') })], true)).to.equal('v');
  });
});

it('mismatch() names the first cause', () => {
  const of = (spec: Spec<PersistentVolume>): string | undefined => mismatch(volume('v', spec), claim());
  expect([of({}), of({ capacity: { storage: '1Mi' } }), of({ storageClassName: '' }), of({ volumeMode: 'Block' }), of({ accessModes: [] }), of({ volumeAttributesClassName: 'g' })])
    .to.deep.equal([undefined, 'requested PV is too small', 'storageClassName does not match', 'incompatible volumeMode', 'incompatible accessMode', 'volumeAttributesClassName does not match']);
});

it('withClaim() marks what was chosen here, and leaves a whole binding alone', () => {
  expect(withClaim(volume('v'), claim())?.metadata.annotations).to.deep.equal({ [annotation.boundByController]: 'yes' });
  expect(withClaim(volume('v', { claimRef: ref('c') }), claim())?.metadata.annotations).to.equal(undefined);
  expect(withClaim(volume('v', { claimRef: ref('c', 'u') }), claim())).to.equal(undefined);
  expect(isBoundTo(volume('v', { claimRef: ref('c', 'other') }), claim())).to.equal(false);
});

describe('claimStep()', () => {
  const step = (of: PersistentVolumeClaim, { volumes = [], classes = [], pods = [] }: { volumes?: PersistentVolume[]; classes?: StorageClass[]; pods?: string[] } = {}): ClaimStep => {
    const world: ClaimWorld = {
      volume: (name) => volumes.find(({ metadata }) => metadata.name === name), candidates: () => volumes,
      storageClass: (name) => classes.find(({ metadata }) => metadata.name === name), storageClasses: () => classes, waitingPods: () => pods,
    };
    return claimStep(of, world);
  };
  const text = (result: ClaimStep): string => `${result.kind}${'notice' in result && result.notice ? ` ${result.notice.reason}: ${result.notice.message}` : ''}`;
  const done = { [annotation.bindCompleted]: 'yes' };
  const later = storageClass('x', { volumeBindingMode: 'WaitForFirstConsumer' });
  const none = claim();
  delete none.spec?.storageClassName;
  const marked = (name: string, creationTimestamp: string): StorageClass => storageClass(name, { metadata: { name, creationTimestamp, annotations: { [annotation.defaultClass]: 'true' } } });
  const cases: [title: string, ClaimStep, expected: string][] = [
    ['no class at all', step(claim({ storageClassName: '' })), 'pending FailedBinding: no persistent volumes available for this claim and no storage class is set'],
    ['an unknown class', step(claim()), 'tell ProvisioningFailed: storageclass.storage.k8s.io "x" not found'],
    ['volumes made by hand', step(claim(), { classes: [storageClass('x', { provisioner: 'kubernetes.io/no-provisioner' })] }), 'tell ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner'],
    ['no pod yet', step(claim(), { classes: [later] }), 'pending WaitForFirstConsumer: waiting for first consumer to be created before binding'],
    ['a pod', step(claim(), { classes: [later], pods: ['p'] }), 'pending WaitForPodScheduled: waiting for pod p to be scheduled'],
    ['pods', step(claim(), { classes: [later], pods: ['p', 'q'] }), 'pending WaitForPodScheduled: waiting for pods p,q to be scheduled'],
    ['a chosen node', step(claim({}, { [annotation.selectedNode]: 'm' }), { classes: [later] }), 'provision'],
    ['a volume that is not there', step(claim({ volumeName: 'v' })), 'pending'],
    ['a volume of somebody else', step(claim({ volumeName: 'v' }), { volumes: [volume('v', { claimRef: ref('d') })] }), 'pending FailedBinding: volume "v" already bound to a different claim.'],
    ['a volume that is too small', step(claim({ volumeName: 'v' }), { volumes: [volume('v', { capacity: { storage: '1' } })] }), 'pending VolumeMismatch: Cannot bind to requested volume "v": requested PV is too small'],
    ['a volume that is gone', step(claim({ volumeName: 'v' }, done)), 'lost ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!'],
    ['its volume forgotten', step(claim({}, done)), 'lost ClaimLost: Bound claim has lost reference to PersistentVolume. Data on the volume is lost!'],
    ['a volume that another won', step(claim({ volumeName: 'v' }, done), { volumes: [volume('v', { claimRef: ref('d', 'w') })] }), 'lost ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly'],
    ['a volume that was set free', step(claim({ volumeName: 'v' }, done), { volumes: [volume('v')] }), 'bind'],
    ['no class, but there is a default one', step(none, { classes: [marked('old', '2026-01-01T00:00:00Z'), marked('new', '2026-02-01T00:00:00Z')] }), 'useClass'],
  ];
  for (const [title, result, expected] of cases) it(`of a claim with ${title}`, () => expect(text(result)).to.equal(expected));
  it('prefers the newest default class, then the first name', () => {
    expect(defaultClass([marked('b', '2026-02-01T00:00:00Z'), marked('c', '2026-01-01T00:00:00Z'), marked('a', '2026-02-01T00:00:00Z')])).to.equal('a');
    expect(defaultClass([storageClass('x')])).to.equal(undefined);
  });
});

describe('volumeStep()', () => {
  const kind = (spec: Spec<PersistentVolume>, of?: PersistentVolumeClaim, annotations = {}): string => {
    const step = volumeStep(volume('v', spec, { annotations }), of);
    return step.kind === 'phase' ? step.phase : step.kind;
  };
  it('is by who names whom', () => {
    expect(kind({})).to.equal('Available');
    expect(kind({ claimRef: ref('c') })).to.equal('Available');
    expect(kind({ claimRef: ref('c', 'u') })).to.equal('reclaim');
    expect(kind({ claimRef: ref('c', 'u') }, claim())).to.equal('claim');
    expect(kind({ claimRef: ref('c', 'u') }, claim({ volumeName: 'v' }))).to.equal('Bound');
    expect(kind({ claimRef: ref('c', 'u') }, claim({ volumeName: 'w' }))).to.equal('unbind');
    expect(kind({ claimRef: ref('c', 'u'), persistentVolumeReclaimPolicy: 'Delete' }, claim({ volumeName: 'w' }), { [annotation.provisionedBy]: 'p' })).to.equal('reclaim');
    expect(kind({ claimRef: ref('c', 'u'), volumeMode: 'Block' }, claim())).to.equal('mismatch');
  });
  it('reclaimFailure() tells what cannot be done here and leaves the rest to provisioners', () => {
    const of = (policy: string, spec: Spec<PersistentVolume> = {}, annotations = {}): string | undefined => reclaimFailure(volume('v', { persistentVolumeReclaimPolicy: policy, ...spec }, { annotations }))?.message;
    expect([of('Retain'), of('Delete', { csi: { driver: 'd', volumeHandle: 'h' } }), of('Delete', {}, { [annotation.provisionedBy]: 'example.com/p' })]).to.deep.equal([undefined, undefined, undefined]);
    expect(of('Recycle')).to.equal('No recycler plugin found for the volume!');
    expect(of('Delete', { hostPath: { path: '/x' } })).to.equal('error getting deleter volume plugin for volume "v": no deletable volume plugin matched');
    expect(of('Burn')).to.equal('Volume has unrecognized PersistentVolumeReclaimPolicy');
  });
});
