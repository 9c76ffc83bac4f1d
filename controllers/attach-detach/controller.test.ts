import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { FakeApi } from '../testing/fake-api.ts';
import { createAttachDetachController } from './controller.ts';
import { attachmentName, detachInMs, mayShare, multiAttachMessage, needsVolumes } from './reconcile.ts';
import type { VolumeAttachment } from './reconcile.ts';
import type { Node, PersistentVolume, Pod } from '#machinery/api/object.ts';

const node = (name: string, more: { managed?: boolean; inUse?: string[]; ready?: string; taints?: string[] } = {}): Node => ({
  metadata: { name, annotations: more.managed === false ? {} : { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' } },
  spec: { taints: (more.taints ?? []).map((key) => ({ key, effect: 'NoExecute' })) },
  status: { conditions: [{ type: 'Ready', status: more.ready ?? 'True' }], ...(more.inUse ? { volumesInUse: more.inUse } : {}) },
});
const volume = (name: string, modes = ['ReadWriteOnce']): PersistentVolume => ({
  metadata: { name }, spec: { csi: { driver: 'd.example', volumeHandle: `h-${name}` }, accessModes: modes, claimRef: { namespace: 'n', name: `c-${name}` } },
});
const claim = (of: string): object => ({ metadata: { name: `c-${of}`, namespace: 'n' }, spec: { volumeName: of }, status: { phase: 'Bound' } });
const pod = (name: string, on: string, of: string, more: Partial<Pod['metadata']> = {}): Pod => ({
  metadata: { name, namespace: 'n', uid: `u-${name}`, ...more }, spec: { nodeName: on, containers: [], volumes: [{ name: 'v', persistentVolumeClaim: { claimName: `c-${of}` } }] }, status: { phase: 'Running' },
});
const unique = (name: string): string => `kubernetes.io/csi/d.example^h-${name}`;

describe('persistentvolume-attach-detach-controller', () => {
  let api: FakeApi;
  let running: { stop: () => Promise<void> } | undefined;
  beforeEach(() => {
    api = new FakeApi();
    api.put('nodes', node('a'));
    api.put('nodes', node('b'));
    api.put('persistentvolumes', volume('v'));
    api.put('persistentvolumeclaims', claim('v'));
  });
  afterEach(async () => running?.stop());
  const start = async (): Promise<void> => void (running = await api.start(createAttachDetachController));
  const comes = (check: () => boolean): Promise<unknown> => eventually(AbortSignal.timeout(3000), check, 5).catch((cause: unknown) => {
    throw new Error(`writes: ${api.writes.join('; ')}; events: ${api.events.join('; ')}`, { cause });
  });
  const attachments = (): VolumeAttachment[] => api.list('volumeattachments');
  const attached = (on: string): string[] => (api.get<Node>('nodes', '', on)?.status?.volumesAttached ?? []).map(({ name }) => name);
  /** What the driver's attacher does. */
  function answer(status: object = { attached: true }): void {
    for (const attachment of attachments()) api.put('volumeattachments', { ...attachment, status });
  }

  it('attaches what a pod needs, tells the node when it is attached, and detaches in the right order', async () => {
    await start();
    api.put('pods', pod('p', 'a', 'v'));
    await comes(() => attachments().length === 1);
    expect(attachments()[0]).to.deep.include({ spec: { attacher: 'd.example', nodeName: 'a', source: { persistentVolumeName: 'v' } } });
    expect(attachments()[0]?.metadata.name).to.equal(attachmentName(volume('v'), 'a'));
    expect(attached('a'), 'before it is attached').to.deep.equal([]);
    answer();
    await comes(() => attached('a').includes(unique('v')));
    expect(api.events).to.deep.equal(['p Normal SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "v" ']);
    api.put('nodes', { ...api.get<Node>('nodes', '', 'a'), status: { ...api.get<Node>('nodes', '', 'a')?.status, volumesInUse: [unique('v')] } });
    api.drop('pods', 'n', 'p');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(attachments(), 'while it is mounted').to.have.length(1);
    api.put('nodes', { ...api.get<Node>('nodes', '', 'a'), status: { ...api.get<Node>('nodes', '', 'a')?.status, volumesInUse: [] } });
    await comes(() => attachments().length === 0);
    expect(api.writes.slice(-2)).to.deep.equal(['patch nodes a', `delete volumeattachments ${attachmentName(volume('v'), 'a')}`]);
    expect(attached('a')).to.deep.equal([]);
  });
  it('keeps a volume of one node on one node', async () => {
    await start();
    api.put('pods', pod('p', 'a', 'v'));
    await comes(() => attachments().length === 1);
    api.put('pods', pod('q', 'b', 'v'));
    await comes(() => api.events.includes('q Warning FailedAttachVolume: Multi-Attach error for volume "v" Volume is already used by pod(s) p'));
    expect(attachments()).to.have.length(1);
    api.drop('pods', 'n', 'p');
    await comes(() => attachments().length === 1 && attachments()[0]?.spec.nodeName === 'b');
  });
  it('attaches a volume that many may have to many', async () => {
    api.put('persistentvolumes', volume('v', ['ReadWriteMany']));
    await start();
    api.put('pods', pod('p', 'a', 'v'));
    api.put('pods', pod('q', 'b', 'v'));
    await comes(() => attachments().length === 2);
  });
  it('tells why the driver could not attach, once', async () => {
    await start();
    api.put('pods', pod('p', 'a', 'v'));
    await comes(() => attachments().length === 1);
    answer({ attached: false, attachError: { message: 'no such disk' } });
    await comes(() => api.events.length === 1);
    answer({ attached: false, attachError: { message: 'no such disk' } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(api.events).to.deep.equal(['p Warning FailedAttachVolume: AttachVolume.Attach failed for volume "v" : no such disk']);
  });
  it('leaves alone drivers that need no attaching, nodes that attach by themselves, and attachments of others', async () => {
    api.put('nodes', node('b', { managed: false }));
    api.put('csidrivers', { metadata: { name: 'free.example' }, spec: { attachRequired: false } });
    const free = volume('free');
    api.put('persistentvolumes', { ...free, spec: { ...free.spec, csi: { driver: 'free.example', volumeHandle: 'h' } } });
    api.put('persistentvolumeclaims', claim('free'));
    api.put('volumeattachments', { metadata: { name: 'somebody-else' }, spec: { attacher: 'x', nodeName: 'a', source: {} } });
    await start();
    api.put('pods', pod('p', 'a', 'free'));
    api.put('pods', pod('q', 'b', 'v'));
    api.put('pods', pod('done', 'a', 'v', {}));
    api.put('pods', { ...pod('done', 'a', 'v'), status: { phase: 'Succeeded' } });
    await new Promise((resolve) => setTimeout(resolve, 30));
    await comes(() => attachments().filter(({ metadata }) => metadata.name !== 'somebody-else').length === 0);
    expect(api.get('volumeattachments', '', 'somebody-else')).not.to.equal(undefined);
  });
  it('goes on with what another controller left: attached for nobody, and wanted but not attached', async () => {
    const left = attachmentName(volume('v'), 'a');
    api.put('volumeattachments', { metadata: { name: left }, spec: { attacher: 'd.example', nodeName: 'a', source: { persistentVolumeName: 'v' } }, status: { attached: true } });
    api.put('pods', pod('q', 'b', 'v'));
    await start();
    await comes(() => attachments().length === 1 && attachments()[0]?.spec.nodeName === 'b');
  });
  it('starts nothing while no CSI volume is there', async () => {
    api.drop('persistentvolumes', '', 'v');
    await start();
    api.put('pods', pod('p', 'a', 'v'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(api.writes).to.deep.equal([]);
    api.put('persistentvolumes', volume('v'));
    await comes(() => attachments().length === 1);
  });
});

describe('needsVolumes()', () => {
  const deleted = { deletionTimestamp: 'now' };
  const cases: [title: string, pod: Pod, needs: boolean][] = [
    ['a pod without a node', { ...pod('p', '', 'v') }, false],
    ['a pod on a node', pod('p', 'a', 'v'), true],
    ['a finished pod', { ...pod('p', 'a', 'v'), status: { phase: 'Failed' } }, false],
    ['a deleted pod that runs', { ...pod('p', 'a', 'v', deleted), status: { containerStatuses: [{ name: 'c', image: '', imageID: '', ready: true, restartCount: 0, state: { running: {} } }] } }, true],
    ['a deleted pod that has ended', { ...pod('p', 'a', 'v', deleted), status: { containerStatuses: [{ name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode: 0 } } }] } }, false],
  ];
  for (const [title, object, needs] of cases) it(`${title}: ${needs}`, () => expect(needsVolumes(object)).to.equal(needs));
});

describe('detachInMs()', () => {
  const name = unique('v');
  const cases: [title: string, node: Node | undefined, unwantedMs: number, force: boolean, ms: number | undefined][] = [
    ['goes when it is not in use', node('a'), 0, true, 0],
    ['stays while it is in use', node('a', { inUse: [name] }), 1e9, true, undefined],
    ['waits six minutes for a node that is not ready', node('a', { inUse: [name], ready: 'Unknown' }), 60_000, true, 300_000],
    ['goes then', node('a', { inUse: [name], ready: 'Unknown' }), 360_000, true, 0],
    ['stays for ever when told so', node('a', { inUse: [name], ready: 'Unknown' }), 360_000, false, undefined],
    ['goes at once from a node out of service', node('a', { inUse: [name], ready: 'Unknown', taints: ['node.kubernetes.io/out-of-service'] }), 0, true, 0],
    ['waits for a node that is gone', undefined, 0, true, 360_000],
  ];
  for (const [title, object, unwantedMs, force, ms] of cases) it(title, () => expect(detachInMs(name, object, unwantedMs, force)).to.equal(ms));
});

it('mayShare() by access modes', () => {
  expect([[], ['ReadWriteOnce'], ['ReadOnlyMany'], ['ReadWriteOncePod'], ['ReadWriteOnce', 'ReadWriteMany']].map((modes) => mayShare(volume('v', modes)))).to.deep.equal([true, false, true, false, true]);
});
it('multiAttachMessage() names pods of the same namespace only', () => {
  const mine = pod('p', 'a', 'v');
  const foreign = pod('x', 'b', 'v', { namespace: 'other' });
  expect(multiAttachMessage('v', mine, [])).to.equal('Multi-Attach error for volume "v" Volume is already exclusively attached to one node and can\'t be attached to another');
  expect(multiAttachMessage('v', mine, [pod('q', 'b', 'v'), foreign])).to.match(/Volume is already used by pod\(s\) q and 1 pod\(s\) in different namespaces$/);
  expect(multiAttachMessage('v', mine, [foreign])).to.match(/Volume is already used by 1 pod\(s\) in different namespaces$/);
});
