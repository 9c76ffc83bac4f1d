import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { createFakeBackend, fakeContext, fakeRow, fakeWrite } from '../auth/fake-backend.ts';
import type { FakeBackend } from '../auth/fake-backend.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { createDefaultStorageClass } from './default-storage-class.ts';
import { createLimitRanger } from './limit-ranger.ts';
import { createPersistentVolumeClaimResize } from './pvc-resize.ts';
import { storageObjectInUseProtection } from './storage-object-in-use-protection.ts';

const pods = fakeRow('', 'pods', 'Pod');
const claims = fakeRow('', 'persistentvolumeclaims', 'PersistentVolumeClaim');
let backend: FakeBackend;

/** `admitted`, `not asked`, or why not. */
async function run(plugin: AdmissionPlugin, about: Partial<AdmissionAttributes>): Promise<string> {
  const asked: AdmissionAttributes = {
    operation: 'CREATE', row: pods, subresource: '', namespace: 'a', name: about.object?.metadata?.name ?? '', object: undefined, oldObject: undefined, options: {},
    dryRun: false, user: { name: 'ann', groups: [] }, context: fakeWrite(backend, fakeContext()), ...about,
  };
  if (!plugin.handles(asked.operation, asked.row, asked.subresource)) return 'not asked';
  try {
    await plugin.admit?.(asked);
    await plugin.validate?.(asked);
    return 'admitted';
  } catch (error) {
    if (error instanceof StatusError) return error.message.replace(/^\w+ "p" is forbidden: /, '');
    throw error;
  }
}

describe('LimitRanger', () => {
  const withLimits = (...limits: object[]): AdmissionPlugin => createLimitRanger((backend = createFakeBackend({ limitranges: [{ metadata: { name: 'l', namespace: 'a' }, spec: { limits } }] })));
  const pod = (resources: object, spec: object = {}): KubeObject => ({ metadata: { name: 'p' }, spec: { containers: [{ name: 'c', resources }], ...spec } });
  const bounds = (type: string, asked: object, limit: object, spec?: object): Promise<string> => run(withLimits({ type, ...limit }), { object: pod(asked, spec) });

  it('says which bound a container breaks', async () => {
    const min = { min: { memory: '1Gi' } };
    expect(await bounds('Container', {}, min)).to.equal('minimum memory usage per Container is 1Gi.  No request is specified');
    expect(await bounds('Container', { requests: { memory: '500Mi' } }, min)).to.equal('minimum memory usage per Container is 1Gi, but request is 500Mi');
    expect(await bounds('Container', { requests: { memory: '2Gi' }, limits: { memory: '1M' } }, min)).to.equal('minimum memory usage per Container is 1Gi, but limit is 1M');
    expect(await bounds('Container', { requests: { memory: '1Gi' } }, min)).to.equal('admitted');
    const max = { max: { cpu: '1' } };
    expect(await bounds('Container', {}, max)).to.equal('maximum cpu usage per Container is 1.  No limit is specified');
    expect(await bounds('Container', { limits: { cpu: '1001m' } }, max)).to.equal('maximum cpu usage per Container is 1, but limit is 1001m');
    expect(await bounds('Container', { limits: { cpu: '1' }, requests: { cpu: '2' } }, max)).to.equal('maximum cpu usage per Container is 1, but request is 2');
    expect(await bounds('Container', { limits: { cpu: '1000m' } }, max)).to.equal('admitted');
    const ratio = { maxLimitRequestRatio: { cpu: '2' } };
    expect(await bounds('Container', { limits: { cpu: '1' } }, ratio)).to.equal('cpu max limit to request ratio per Container is 2, but no request is specified or request is 0');
    expect(await bounds('Container', { requests: { cpu: '1' } }, ratio)).to.equal('cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0');
    expect(await bounds('Container', { requests: { cpu: '100m' }, limits: { cpu: '250m' } }, ratio)).to.equal('cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000');
    expect(await bounds('Container', { requests: { cpu: '100m' }, limits: { cpu: '200m' } }, ratio)).to.equal('admitted');
  });
  it('sums up a pod with its init containers, sidecars and resources of its own', async () => {
    const max = { max: { cpu: '1' } };
    const asked = { limits: { cpu: '600m' } };
    const init = (cpu: string, more: object = {}): object => ({ name: 'i', resources: { limits: { cpu } }, ...more });
    expect(await bounds('Pod', asked, max)).to.equal('admitted');
    expect(await bounds('Pod', asked, max, { initContainers: [init('900m')] })).to.equal('admitted');
    expect(await bounds('Pod', asked, max, { initContainers: [init('1100m')] })).to.equal('maximum cpu usage per Pod is 1, but limit is 1100m');
    expect(await bounds('Pod', asked, max, { initContainers: [init('500m', { restartPolicy: 'Always' })] })).to.equal('maximum cpu usage per Pod is 1, but limit is 1100m');
    expect(await bounds('Pod', asked, max, { resources: { limits: { cpu: '2' } } })).to.equal('maximum cpu usage per Pod is 1, but limit is 2');
    expect(await bounds('Container', asked, max, { initContainers: [init('1100m')] })).to.equal('maximum cpu usage per Container is 1, but limit is 1100m');
  });
  it('fills in only what a container leaves out, and says so', async () => {
    const plugin = withLimits({ type: 'Container', default: { cpu: '1', memory: '1Gi' }, defaultRequest: { cpu: '500m' } }, { type: 'Pod', default: { cpu: '9' } });
    const object = pod({ limits: { cpu: '2' } }, { initContainers: [{ name: 'i' }] });
    expect(await run(plugin, { object })).to.equal('admitted');
    expect(object['spec']).to.deep.equal({
      containers: [{ name: 'c', resources: { limits: { cpu: '2', memory: '1Gi' }, requests: { cpu: '500m' } } }],
      initContainers: [{ name: 'i', resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } } }],
    });
    expect(object.metadata?.annotations).to.deep.equal({ 'kubernetes.io/limit-ranger': 'LimitRanger plugin set: cpu request for container c; memory limit for container c; cpu request for init container i; cpu, memory limit for init container i' });
    const complete = pod({ limits: { cpu: '2', memory: '1' }, requests: { cpu: '1' } });
    expect([await run(plugin, { object: complete }), complete.metadata?.annotations]).to.deep.equal(['admitted', undefined]);
  });
  it('survives a pod that nobody has validated yet', async () => {
    const plugin = withLimits({ type: 'Container', default: { cpu: '1' } });
    for (const spec of [undefined, {}, { containers: null }, { containers: [] }]) expect(await run(plugin, { object: { metadata: { name: 'p' }, ...(spec === undefined ? {} : { spec }) } })).to.equal('admitted');
  });
  it('looks at claims, creations and resizes, and not at what is on its way out', async () => {
    const claim = (storage: string): KubeObject => ({ metadata: { name: 'p' }, spec: { resources: { requests: { storage } } } });
    const plugin = withLimits({ type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } });
    expect(await run(plugin, { row: claims, object: claim('1Mi') })).to.equal('minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi');
    expect(await run(plugin, { row: claims, object: claim('3Gi') })).to.equal('maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi');
    const update = { row: claims, operation: 'UPDATE', object: claim('3Gi') } as const;
    expect(await run(plugin, { ...update, oldObject: claim('1Gi') })).to.match(/^maximum storage/);
    expect(await run(plugin, { ...update, oldObject: { metadata: { deletionTimestamp: 'now' } } })).to.equal('admitted');
    expect(await run(plugin, { operation: 'UPDATE', object: pod({}) })).to.equal('not asked');
    expect(await run(withLimits({ type: 'Container', max: { cpu: '1' } }), { operation: 'UPDATE', subresource: 'resize', object: pod({ limits: { cpu: '2' } }), oldObject: pod({}) })).to.match(/^maximum cpu/);
    expect(await run(plugin, { row: claims, namespace: 'other', object: claim('3Gi') })).to.equal('admitted');
  });
});

describe('admission of storage', () => {
  const storageClass = (name: string, creationTimestamp: string, more: object = {}, isDefault = 'true'): KubeObject =>
    ({ metadata: { name, creationTimestamp, annotations: { 'storageclass.kubernetes.io/is-default-class': isDefault } }, ...more });
  const claim = (spec: object, more: object = {}, annotations?: Record<string, string>): KubeObject => ({ metadata: { name: 'p', ...(annotations ? { annotations } : {}) }, spec, ...more });
  const classOf = async (given: KubeObject): Promise<unknown> => {
    expect(await run(createDefaultStorageClass(backend), { row: claims, object: given })).to.equal('admitted');
    return (given['spec'] as { storageClassName?: string }).storageClassName;
  };

  it('DefaultStorageClass takes the newest default, by name among twins, where none was asked for', async () => {
    backend = createFakeBackend({ 'storageclasses.storage.k8s.io': [
      storageClass('old', '2020-01-01T00:00:00Z'), storageClass('young-b', '2021-01-01T00:00:00Z'), storageClass('young-a', '2021-01-01T00:00:00Z'), storageClass('no', '2022-01-01T00:00:00Z', {}, 'false'),
    ] });
    expect(await classOf(claim({}))).to.equal('young-a');
    expect(await classOf(claim({ storageClassName: 'old' }))).to.equal('old');
    expect(await classOf(claim({ storageClassName: '' }))).to.equal('');
    expect(await classOf(claim({}, {}, { 'volume.beta.kubernetes.io/storage-class': '' }))).to.equal(undefined);
    backend = createFakeBackend();
    expect(await classOf(claim({}))).to.equal(undefined);
    expect(await run(createDefaultStorageClass(backend), { row: claims, operation: 'UPDATE', object: claim({}) })).to.equal('not asked');
  });
  it('StorageObjectInUseProtection adds the finalizer once', async () => {
    for (const [row, finalizer] of [[claims, 'kubernetes.io/pvc-protection'], [fakeRow('', 'persistentvolumes', 'PersistentVolume', false), 'kubernetes.io/pv-protection'],
      [fakeRow('storage.k8s.io', 'volumeattributesclasses', 'VolumeAttributesClass', false), 'kubernetes.io/vac-protection']] as const) {
      const fresh: KubeObject = { metadata: { name: 'p', finalizers: ['x/y'] } };
      for (let times = 0; times < 2; times += 1) await run(storageObjectInUseProtection, { row, object: fresh });
      expect(fresh.metadata?.finalizers).to.deep.equal(['x/y', finalizer]);
      expect(await run(storageObjectInUseProtection, { row, operation: 'UPDATE', object: fresh })).to.equal('not asked');
    }
    expect(await run(storageObjectInUseProtection, { object: {} })).to.equal('not asked');
  });
  it('PersistentVolumeClaimResize lets bound claims grow where their class allows it', async () => {
    backend = createFakeBackend({ 'storageclasses.storage.k8s.io': [storageClass('grows', '', { allowVolumeExpansion: true }), storageClass('stays', '')] });
    const grow = (storageClassName: string, storage: string, phase = 'Bound', before = storageClassName): Promise<string> => run(createPersistentVolumeClaimResize(backend), {
      row: claims, operation: 'UPDATE', object: claim({ storageClassName, resources: { requests: { storage } } }),
      oldObject: claim({ storageClassName: before, resources: { requests: { storage: '1Gi' } } }, { status: { phase } }),
    });
    expect(await grow('grows', '2Gi')).to.equal('admitted');
    expect(await grow('stays', '1024Mi')).to.equal('admitted');
    expect(await grow('grows', '2Gi', 'Pending')).to.equal('Only bound persistent volume claims can be expanded');
    for (const [name, before] of [['stays', 'stays'], ['gone', 'gone'], ['', ''], ['grows', 'stays']] as const) {
      expect(await grow(name, '2Gi', 'Bound', before)).to.equal('only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize');
    }
  });
});
