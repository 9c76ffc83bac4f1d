// What the kubelet refuses of a claim, in upstream's words, and what it does to the folder behind one.
import { expect } from 'chai';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { provisioner } from '#machinery/api/local-path.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '#machinery/api/object.ts';
import { annotation } from '#machinery/api/volumes.ts';
import { mountClaim, type ClaimInput } from './claims.ts';
import { removeFolders } from './local-path.ts';
import { giveToGroup } from './ownership.ts';

const name = 'pvc-0b5e9a3c-1f2d-4c6b-8a7e-9d0c1b2a3f4e';
const volumeOf = { name: 'data', persistentVolumeClaim: { claimName: 'c' } };
const pod = (spec: Partial<NonNullable<Pod['spec']>> = {}): Pod => ({
  metadata: { name: 'p', namespace: 'n', uid: 'p' }, spec: { containers: [{ name: 'm', volumeMounts: [{ name: 'data', mountPath: '/data' }] }], volumes: [volumeOf], ...spec },
});
const claim = (more: Partial<PersistentVolumeClaim> = {}): PersistentVolumeClaim => ({ metadata: { name: 'c', namespace: 'n', uid: 'u' }, spec: { volumeName: name }, status: { phase: 'Bound' }, ...more });
const volume = (spec: PersistentVolume['spec'], ours = true): PersistentVolume => ({ metadata: { name, annotations: ours ? { [annotation.provisionedBy]: provisioner } : {} }, spec: { claimRef: { uid: 'u' }, ...spec } });

describe('mountClaim()', () => {
  const root = mkdtempSync(join(tmpdir(), 'proa-claims-'));
  after(() => rmSync(root, { recursive: true, force: true }));
  const local = join(root, 'volumes');
  const input = (of: PersistentVolumeClaim | Error, found: PersistentVolume | Error, labels = {}): ClaimInput => ({
    reader: { claim: () => (of instanceof Error ? Promise.reject(of) : Promise.resolve(of)), volume: () => (found instanceof Error ? Promise.reject(found) : Promise.resolve(found)) },
    node: { name: 'node', object: () => ({ metadata: { name: 'node', labels } }) }, localVolumesDir: local,
  });
  const good = volume({ local: { path: join(local, name) } });
  const processing = 'Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: error processing PVC n/c: ';
  const affinity = { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] }] } };
  const refusals: [title: string, ClaimInput, message: string, reason?: string][] = [
    ['a claim that cannot be read', input(new Error('gone'), good), `${processing}failed to fetch PVC from API server: gone`],
    ['a claim that is not bound', input(claim({ status: { phase: 'Pending' } }), good), `${processing}PVC is not bound`],
    ['a claim that goes away', input(claim({ metadata: { ...claim().metadata, deletionTimestamp: 'now' } }), good), `${processing}PVC is being deleted`],
    ['a claim without a volume', input(claim({ spec: {} }), good), `${processing}PVC has empty pvc.Spec.VolumeName`],
    ['a volume that cannot be read', input(claim(), new Error('gone')), `${processing}failed to fetch PV ${name} from API server: gone`],
    ['a volume without a claim', input(claim(), { ...good, spec: { local: { path: local } } }), `${processing}found PV object ${name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim`],
    ['a volume of another claim', input(claim(), volume({ claimRef: { uid: 'w' } })), `${processing}found PV object ${name} but its pv.Spec.ClaimRef.UID w does not point to claim.UID u`],
    ['a device as files', input(claim(), volume({ volumeMode: 'Block', local: { path: '/dev/sda' } })), 'Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: volume data has volumeMode Block, but is specified in volumeMounts'],
    ['another node', input(claim(), { ...good, spec: { ...good.spec, nodeAffinity: affinity } }), `MountVolume.NodeAffinity check failed for volume "${name}" : no matching NodeSelectorTerms`],
    ['a folder that is not there', input(claim(), volume({ local: { path: '/nowhere/at/all' } }, false)), `MountVolume.SetUp failed for volume "${name}" : path "/nowhere/at/all" does not exist`],
    ['a provisioned folder outside its place', input(claim(), volume({ local: { path: `${local}/../x` } })), `MountVolume.SetUp failed for volume "${name}" : path "${local}/../x" is not in this node's folder for local volumes`],
    ['drivers that are not here', input(claim(), volume({ csi: { driver: 'd', volumeHandle: 'h' } }, false)), `MountVolume.SetUp failed for volume "${name}" : volume type csi is not supported by this node`],
  ];
  for (const [title, given, message] of refusals) {
    it(`refuses ${title}`, async () => {
      const error = await mountClaim(pod(), volumeOf, given).catch((each: unknown) => each);
      expect(error).to.have.property('message', message);
    });
  }
  it('refuses devices with an event of their own', async () => {
    const devices = pod({ containers: [{ name: 'm', volumeDevices: [{ name: 'data', devicePath: '/dev/x' }] }] });
    const error = await mountClaim(devices, volumeOf, input(claim(), volume({ volumeMode: 'Block', local: { path: '/dev/sda' } }))).catch((each: unknown) => each);
    expect(error).to.include({ reason: 'FailedMapVolume', message: `MapVolume.SetUpDevice failed for volume "${name}" : volumeMode Block is not supported by this node` });
  });
  it('refuses an ephemeral claim of somebody else', async () => {
    const error = await mountClaim(pod(), { name: 'data', ephemeral: {} }, input(claim(), good)).catch((each: unknown) => each);
    expect(error).to.have.property('message').that.matches(/was not created for pod n\/p \(pod is not owner\)$/);
  });
  it('makes the folder at the first mount, open to all, and keeps it at the next', async () => {
    expect(await mountClaim(pod(), volumeOf, input(claim(), good))).to.deep.equal({ path: join(local, name), readOnly: false });
    expect(statSync(join(local, name)).mode & 0o7777).to.equal(0o777);
    writeFileSync(join(local, name, 'kept'), '');
    expect(await mountClaim(pod(), { ...volumeOf, persistentVolumeClaim: { claimName: 'c', readOnly: true } }, input(claim(), { ...good, spec: { ...good.spec, nodeAffinity: affinity } }, { zone: 'a' }))).to.include({ readOnly: true });
    expect(existsSync(join(local, name, 'kept'))).to.equal(true);
  });
});

describe('local folders', () => {
  const root = mkdtempSync(join(tmpdir(), 'proa-folders-'));
  after(() => rmSync(root, { recursive: true, force: true }));
  it('removeFolders() removes its own and refuses every other name', async () => {
    mkdirSync(join(root, 'volumes', name, 'deep'), { recursive: true });
    mkdirSync(join(root, 'outside'));
    symlinkSync(join(root, 'outside'), join(root, 'volumes', name, 'link'));
    const results = await removeFolders(join(root, 'volumes'), [name, '../outside', '..', '', `${name}/..`], false);
    expect(results[name]).to.equal('done');
    for (const bad of ['../outside', '..', '', `${name}/..`]) expect(results[bad], bad).to.match(/^failed: .* is no name of a volume/);
    expect([existsSync(join(root, 'volumes', name)), existsSync(join(root, 'outside'))]).to.deep.equal([false, true]);
    expect(await removeFolders(join(root, 'volumes'), [name], false), 'a second time').to.deep.equal({ [name]: 'done' });
  });
  it('giveToGroup() adds the rights of the group and follows no link', async () => {
    const gid = process.getgid?.() ?? 0;
    const [folder, file, outside] = [join(root, 'group'), join(root, 'group', 'file'), join(root, 'secret')];
    mkdirSync(folder);
    chmodSync(folder, 0o700);
    for (const each of [file, outside]) writeFileSync(each, '', { mode: 0o600 });
    symlinkSync(outside, join(folder, 'link'));
    await giveToGroup(folder, gid, true);
    expect([folder, file, outside].map((each) => (statSync(each).mode & 0o7777).toString(8))).to.deep.equal(['2770', '660', '600']);
    chmodSync(file, 0o600);
    await giveToGroup(folder, gid, true);
    expect((statSync(file).mode & 0o777).toString(8), 'the root is right: nothing is looked at').to.equal('600');
    await giveToGroup(folder, gid, false);
    expect((statSync(file).mode & 0o777).toString(8)).to.equal('660');
  });
});
