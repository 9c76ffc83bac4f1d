// Where pods with claims may go, in upstream's words, and what is held for them until they are bound.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '#machinery/api/object.ts';
import { annotation } from '#machinery/api/volumes.ts';
import { defaultConfig } from '../config.ts';
import { Scheduler } from '../scheduler.ts';
import { createFakeServer, makeNode, makePod, type FakeServer } from '../testing/fake-cluster.ts';
import { disksClash } from './volume-restrictions.ts';

const never = '. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.';
type Spec<T extends { spec?: unknown }> = NonNullable<T['spec']>;
const claim = (name: string, spec: Spec<PersistentVolumeClaim> = {}, annotations: Record<string, string> = {}): PersistentVolumeClaim => ({
  apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name, namespace: 'default', uid: `claim-${name}`, annotations },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec }, status: { phase: 'Pending' },
});
const bound = (name: string, volume: string, spec: Spec<PersistentVolumeClaim> = {}): PersistentVolumeClaim =>
  ({ ...claim(name, { volumeName: volume, ...spec }, { [annotation.bindCompleted]: 'yes' }), status: { phase: 'Bound' } });
const onNode = (node: string): Spec<PersistentVolume>['nodeAffinity'] => ({ required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }] } });
const volume = (name: string, spec: Spec<PersistentVolume> = {}, labels: Record<string, string> = {}): PersistentVolume => ({
  apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name, uid: `volume-${name}`, labels },
  spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 'local', ...spec }, status: { phase: 'Available' },
});
const local = (more: Partial<StorageClass> = {}): StorageClass => ({
  apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name: 'local', uid: 'class' }, provisioner: 'kubernetes.io/no-provisioner', volumeBindingMode: 'WaitForFirstConsumer', ...more,
});
const using = (name: string, ...claims: string[]): Pod => makePod(name, { spec: { volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })) } });

type Kind = 'nodes' | 'persistentvolumeclaims' | 'persistentvolumes' | 'storageclasses' | 'csinodes' | 'pods';
async function withCluster(objects: Partial<Record<Kind, unknown[]>>, test: (fake: FakeServer, signal: AbortSignal) => Promise<void>): Promise<void> {
  const fake = createFakeServer();
  for (const [resource, all] of Object.entries(objects)) for (const object of all) fake.put(resource, object);
  const stop = new AbortController();
  const scheduler = new Scheduler({ ...defaultConfig, client: fake.client, maxInFlight: 1 });
  const informers = scheduler.cluster.run(stop.signal);
  await scheduler.cluster.waitForSync(stop.signal);
  const running = scheduler.run(stop.signal);
  try {
    await test(fake, AbortSignal.timeout(4000));
  } finally {
    stop.abort();
    await Promise.all([informers, running]);
  }
}
const nodeOf = (fake: FakeServer, name: string): string | undefined => fake.get<Pod>('pods', 'default', name)?.spec?.nodeName;
const messageOf = (fake: FakeServer, name: string): string | undefined => fake.get<Pod>('pods', 'default', name)?.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.message;
const get = (fake: FakeServer, name: string): PersistentVolumeClaim | undefined => fake.get('persistentvolumeclaims', 'default', name);

const inUse = using('other', 'a');
const cases: [title: string, pod: Pod, message: string, objects: Partial<Record<Kind, unknown[]>>][] = [
  ['no such claim', using('web', 'gone'), `persistentvolumeclaim "gone" not found${never}`, {}],
  ['a claim that is going away', using('web', 'a'), `persistentvolumeclaim "a" is being deleted${never}`, { persistentvolumeclaims: [{ ...claim('a'), metadata: { ...claim('a').metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }] }],
  ['a claim that lost its volume', using('web', 'a'), `persistentvolumeclaim "a" bound to non-existent persistentvolume "v"${never}`, { persistentvolumeclaims: [{ ...bound('a', 'v'), status: { phase: 'Lost' } }] }],
  ['an unbound claim', using('web', 'a'), `pod has unbound immediate PersistentVolumeClaims${never}`, { persistentvolumeclaims: [claim('a')] }],
  ['a volume that is gone', using('web', 'a'), `persistentvolume "v" not found${never}`, { persistentvolumeclaims: [bound('a', 'v')] }],
  ['a volume of another node', using('web', 'a'), `1 node(s) didn't match PersistentVolume's node affinity${never}`, { persistentvolumeclaims: [bound('a', 'v')], persistentvolumes: [volume('v', { nodeAffinity: onNode('x') })] }],
  ['no volume, and none can be made', using('web', 'a'), `1 node(s) didn't find available persistent volumes to bind${never}`, { persistentvolumeclaims: [claim('a', { storageClassName: 'local' })], storageclasses: [local()] }],
  ['one volume for two claims', using('web', 'a', 'b'), `1 node(s) didn't find available persistent volumes to bind${never}`, { persistentvolumeclaims: [claim('a', { storageClassName: 'local' }), claim('b', { storageClassName: 'local' })], storageclasses: [local()], persistentvolumes: [volume('v')] }],
  ['a topology that the class does not allow', using('web', 'a'), `1 node(s) didn't find available persistent volumes to bind${never}`,
    { persistentvolumeclaims: [claim('a', { storageClassName: 'local' })], storageclasses: [local({ provisioner: 'example.com/p', allowedTopologies: [{ matchLabelExpressions: [{ key: 'zone', values: ['z'] }] }] })] }],
  ['an ephemeral claim that is not made yet', makePod('web', { spec: { volumes: [{ name: 'v', ephemeral: { volumeClaimTemplate: { spec: {} } } }] } }), `waiting for ephemeral volume controller to create the persistentvolumeclaim "web-v"${never}`, {}],
  ['an ephemeral claim of somebody else', makePod('web', { spec: { volumes: [{ name: 'v', ephemeral: { volumeClaimTemplate: { spec: {} } } }] } }), `PVC default/web-v was not created for pod default/web (pod is not owner)${never}`, { persistentvolumeclaims: [claim('web-v')] }],
  ['a volume of another zone', using('web', 'a'), `1 node(s) had no available volume zone${never}`,
    { nodes: [makeNode('n', { labels: { 'topology.kubernetes.io/zone': 'one' } })], persistentvolumeclaims: [bound('a', 'v')], persistentvolumes: [volume('v', {}, { 'failure-domain.beta.kubernetes.io/zone': 'two__three' })] }],
  ['a claim for one pod in use', using('web', 'a'), '1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.',
    { persistentvolumeclaims: [bound('a', 'v', { accessModes: ['ReadWriteOncePod'] })], persistentvolumes: [volume('v')], pods: [{ ...inUse, spec: { ...inUse.spec, nodeName: 'n' } }] }],
  ['as many volumes as the node holds', using('web', 'a', 'b'), '1 node(s) exceed max volume count. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.', {
    persistentvolumeclaims: [bound('a', 'v'), bound('b', 'w')], csinodes: [{ metadata: { name: 'n' }, spec: { drivers: [{ name: 'd', nodeID: 'n', allocatable: { count: 1 } }] } }],
    persistentvolumes: [volume('v', { csi: { driver: 'd', volumeHandle: '1' } }), volume('w', { csi: { driver: 'd', volumeHandle: '2' } })],
  }],
];

describe('pods with claims', () => {
  for (const [title, pod, message, objects] of cases) {
    it(`wait for ${title}`, () => withCluster({ nodes: [makeNode('n')], ...objects }, async (fake, signal) => {
      fake.put('pods', pod);
      expect(await eventually(signal, () => messageOf(fake, 'web'), 5)).to.equal(`0/1 nodes are available: ${message}`);
    }));
  }

  it('go where a volume is, which is theirs before they are bound', () => withCluster({
    nodes: [makeNode('x'), makeNode('n')], persistentvolumeclaims: [claim('a', { storageClassName: 'local' })], storageclasses: [local()],
    persistentvolumes: [volume('large', { nodeAffinity: onNode('n'), capacity: { storage: '5Gi' } }), volume('small', { nodeAffinity: onNode('n') })],
  }, async (fake, signal) => {
    fake.put('pods', using('web', 'a'));
    const chosen = await eventually(signal, () => fake.list<PersistentVolume>('persistentvolumes').find(({ spec }) => spec?.claimRef), 5);
    expect(chosen.metadata).to.deep.include({ name: 'small', annotations: { [annotation.boundByController]: 'yes' } });
    expect(chosen.spec?.claimRef).to.include({ kind: 'PersistentVolumeClaim', name: 'a', namespace: 'default', uid: 'claim-a' });
    expect(nodeOf(fake, 'web')).to.equal(undefined);
    fake.put('persistentvolumeclaims', bound('a', 'small', { storageClassName: 'local' }));
    await eventually(signal, () => nodeOf(fake, 'web') === 'n', 5);
  }));

  it('that wait for their volumes hold nobody up, and another pod of the claim follows to the same node', () => withCluster({
    nodes: [makeNode('x'), makeNode('n')], persistentvolumeclaims: [claim('a', { storageClassName: 'local' })], storageclasses: [local({ provisioner: 'example.com/p' })],
  }, async (fake, signal) => {
    fake.put('pods', using('web', 'a'));
    const selected = await eventually(signal, () => get(fake, 'a')?.metadata.annotations?.[annotation.selectedNode], 5);
    fake.put('pods', makePod('plain'));
    await eventually(signal, () => nodeOf(fake, 'plain'), 5);
    fake.put('pods', using('second', 'a'));
    fake.put('persistentvolumes', volume('v', { nodeAffinity: onNode(selected) }));
    const done = bound('a', 'v', { storageClassName: 'local' });
    fake.put('persistentvolumeclaims', { ...done, metadata: { ...done.metadata, annotations: { ...done.metadata.annotations, [annotation.selectedNode]: selected } } });
    await eventually(signal, () => nodeOf(fake, 'web') === selected && nodeOf(fake, 'second') === selected, 5);
  }));

  it('are tried again when the provisioner gives the node back', () => withCluster({
    nodes: [makeNode('n')], persistentvolumeclaims: [claim('a', { storageClassName: 'local' })], storageclasses: [local({ provisioner: 'example.com/p' })],
  }, async (fake, signal) => {
    fake.put('pods', using('web', 'a'));
    await eventually(signal, () => get(fake, 'a')?.metadata.annotations?.[annotation.selectedNode] === 'n', 5);
    await new Promise((resolve) => setTimeout(resolve, 20)); // the informer has seen it
    fake.put('persistentvolumeclaims', claim('a', { storageClassName: 'local' }));
    expect(await eventually(signal, () => messageOf(fake, 'web'), 5)).to.equal('running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "a"');
    await eventually(signal, () => get(fake, 'a')?.metadata.annotations?.[annotation.selectedNode] === 'n', 5);
  }));
});

describe('disksClash()', () => {
  const rbd = (monitors: string[], more = {}) => ({ name: 'v', rbd: { monitors, image: 'i', ...more } });
  it('lets two readers share a disk', () => {
    const disk = (readOnly: boolean) => ({ name: 'v', gcePersistentDisk: { pdName: 'd', readOnly } });
    expect([disksClash(disk(true), disk(true)), disksClash(disk(true), disk(false))]).to.deep.equal([false, true]);
  });
  it('compares images by any monitor and by pool', () => {
    expect([disksClash(rbd(['a', 'b']), rbd(['b'])), disksClash(rbd(['a']), rbd(['b'])), disksClash(rbd(['a']), rbd(['a'], { pool: 'p' }))]).to.deep.equal([true, false, false]);
  });
});
