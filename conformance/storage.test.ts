// Claims and volumes of a running cluster over the API alone: binding both ways, provisioning for a pod, growing, giving back.
import { assert } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { startHollow } from './fixtures/hollow.ts';
import type { Api, HollowCluster } from './fixtures/hollow.ts';

interface Claim { metadata: { name: string; uid: string; annotations?: Record<string, string>; ownerReferences?: { kind: string; name: string }[] }; spec: { volumeName?: string; storageClassName?: string }; status: { phase: string; capacity?: { storage: string } } }
interface Volume { metadata: { name: string; annotations?: Record<string, string> }; spec: { claimRef?: { name: string; uid?: string }; nodeAffinity?: unknown; local?: { path: string }; persistentVolumeReclaimPolicy: string; capacity: { storage: string } }; status: { phase: string } }
interface Pod { spec: { nodeName?: string }; status: { phase: string; conditions?: { type: string; status: string; message?: string }[] } }
interface EventList { items: { involvedObject: { name: string }; reason: string; message: string }[] }

const bindCompleted = 'pv.kubernetes.io/bind-completed';
const boundByController = 'pv.kubernetes.io/bound-by-controller';

/** What `check` found, as soon as it finds something. */
async function until<T>(what: string, check: () => Promise<T | undefined | false>): Promise<T> {
  const signal = AbortSignal.timeout(20_000);
  try {
    return await eventually(signal, check, 50);
  } catch (error) {
    throw signal.aborted ? new Error(`not within 20 s: ${what}`, { cause: error }) : error;
  }
}

describe('claims and volumes', () => {
  let cluster: HollowCluster;
  let api: Api;
  const volumes = '/api/v1/persistentvolumes';
  const claims = '/api/v1/namespaces/default/persistentvolumeclaims';
  const pods = '/api/v1/namespaces/default/pods';
  before(async () => {
    cluster = await startHollow('storage', ['--nodes', '2']);
    ({ api } = cluster);
  });
  after(() => cluster?.stop());

  const find = async <T>(path: string): Promise<T | undefined> => {
    const { status, body } = await api.call<T>('GET', path);
    return status === 404 ? undefined : body;
  };
  const claimIn = (phase: string, name: string): Promise<Claim> => until(`claim ${name} is ${phase}`, async () => {
    const claim = await find<Claim>(`${claims}/${name}`);
    return claim?.status.phase === phase ? claim : undefined;
  });
  const volumeIn = (phase: string, name: string): Promise<Volume> => until(`volume ${name} is ${phase}`, async () => {
    const volume = await find<Volume>(`${volumes}/${name}`);
    return volume?.status.phase === phase ? volume : undefined;
  });
  const told = (name: string, reason: string): Promise<string> => until(`event ${reason} of ${name}`, async () => {
    const { items } = await api.must<EventList>('GET', '/api/v1/namespaces/default/events');
    return items.find((event) => event.involvedObject.name === name && event.reason === reason)?.message;
  });
  const volume = (name: string, spec: Record<string, unknown> = {}) => ({ metadata: { name }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 'by-hand', hostPath: { path: '/nowhere' }, ...spec } });
  const claim = (name: string, spec: Record<string, unknown> = {}) => ({ metadata: { name }, spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'by-hand', resources: { requests: { storage: '1Gi' } }, ...spec } });
  const pod = (name: string, ...sources: Record<string, unknown>[]) => ({
    metadata: { name },
    spec: { containers: [{ name: 'c', image: 'busybox', volumeMounts: sources.map((_, i) => ({ name: `v${i}`, mountPath: `/v${i}` })) }], volumes: sources.map((source, i) => ({ name: `v${i}`, ...source })) },
  });
  const runs = (name: string): Promise<Pod> => until(`pod ${name} runs`, async () => {
    const found = await find<Pod>(`${pods}/${name}`);
    return found?.status.phase === 'Running' ? found : undefined;
  });

  it('a claim gets the smallest volume that fits, and leaves it Released', async () => {
    await api.must('POST', volumes, volume('large', { capacity: { storage: '9Gi' } }));
    await api.must('POST', volumes, volume('fit', { capacity: { storage: '2Gi' } }));
    await volumeIn('Available', 'large');
    await volumeIn('Available', 'fit');
    await api.must('POST', claims, claim('searching'));
    const bound = await claimIn('Bound', 'searching');
    assert.equal(bound.spec.volumeName, 'fit');
    assert.deepInclude(bound.metadata.annotations, { [bindCompleted]: 'yes', [boundByController]: 'yes' });
    assert.equal(bound.status.capacity?.storage, '2Gi');
    const taken = await volumeIn('Bound', 'fit');
    assert.include(taken.spec.claimRef, { name: 'searching', uid: bound.metadata.uid });
    await api.must('DELETE', `${claims}/searching`);
    await volumeIn('Released', 'fit');
    await api.must('POST', claims, claim('next', { resources: { requests: { storage: '2Gi' } } }));
    assert.equal((await claimIn('Bound', 'next')).spec.volumeName, 'large', 'a released volume still holds the data of the one before');
  });

  it('claims and volumes that name each other are bound as they say', async () => {
    await api.must('POST', volumes, volume('kept', { claimRef: { namespace: 'default', name: 'owner' }, capacity: { storage: '5Gi' } }));
    await api.must('POST', claims, claim('owner'));
    assert.equal((await claimIn('Bound', 'owner')).spec.volumeName, 'kept');
    await api.must('POST', claims, claim('chooser', { volumeName: 'kept' }));
    assert.equal(await told('chooser', 'FailedBinding'), 'volume "kept" already bound to a different claim.');
    await api.must('POST', volumes, volume('asked-for', { volumeMode: 'Block' }));
    await api.must('POST', claims, claim('wrong-mode', { volumeName: 'asked-for' }));
    assert.equal(await told('wrong-mode', 'VolumeMismatch'), 'Cannot bind to requested volume "asked-for": incompatible volumeMode');
    await claimIn('Pending', 'wrong-mode');
  });

  it('a volume that cannot be deleted or recycled here fails and says so', async () => {
    for (const [policy, message] of [['Recycle', 'No recycler plugin found for the volume!'], ['Delete', 'no deletable volume plugin matched']] as const) {
      const name = policy.toLowerCase();
      await api.must('POST', volumes, volume(name, { persistentVolumeReclaimPolicy: policy, claimRef: { namespace: 'default', name } }));
      await api.must('POST', claims, claim(name));
      await claimIn('Bound', name);
      await api.must('DELETE', `${claims}/${name}`);
      const failed = await volumeIn('Failed', name) as Volume & { status: { message?: string } };
      assert.include(failed.status.message, message);
    }
  });

  it('the default class makes a volume on the node of the first pod, grows it, and takes it back', async () => {
    await api.must('POST', claims, { ...claim('dynamic'), spec: { ...claim('dynamic').spec, storageClassName: undefined } });
    assert.equal(await told('dynamic', 'WaitForFirstConsumer'), 'waiting for first consumer to be created before binding');
    await api.must('POST', pods, pod('consumer', { persistentVolumeClaim: { claimName: 'dynamic' } }));
    const running = await runs('consumer');
    const bound = await claimIn('Bound', 'dynamic');
    assert.equal(bound.spec.storageClassName, 'local-path');
    assert.equal(bound.metadata.annotations?.['volume.kubernetes.io/selected-node'], running.spec.nodeName);
    const name = bound.spec.volumeName ?? '';
    const made = await volumeIn('Bound', name);
    assert.deepEqual(made.spec.nodeAffinity, { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [running.spec.nodeName] }] }] } });
    assert.match(made.spec.local?.path ?? '', new RegExp(`/volumes/${name}$`));
    await api.merge(`${claims}/dynamic`, { spec: { resources: { requests: { storage: '3Gi' } } } });
    await until('both sides have grown', async () => (await find<Claim>(`${claims}/dynamic`))?.status.capacity?.storage === '3Gi' && (await find<Volume>(`${volumes}/${name}`))?.spec.capacity.storage === '3Gi');
    await api.must('DELETE', `${claims}/dynamic`);
    await api.must('DELETE', `${pods}/consumer?gracePeriodSeconds=0`);
    await until('the volume is gone', async () => (await find<Volume>(`${volumes}/${name}`)) === undefined);
  });

  it('an ephemeral volume comes and goes with its pod', async () => {
    const template = { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } } };
    await api.must('POST', pods, pod('short', { ephemeral: { volumeClaimTemplate: template } }));
    await runs('short');
    const made = await claimIn('Bound', 'short-v0');
    assert.include(made.metadata.ownerReferences?.[0], { kind: 'Pod', name: 'short' });
    await api.must('DELETE', `${pods}/short?gracePeriodSeconds=0`);
    await until('claim and volume are gone', async () => (await find(`${claims}/short-v0`)) === undefined && (await find(`${volumes}/${made.spec.volumeName}`)) === undefined);
  });

  it('a pod without its claim waits and says for what', async () => {
    await api.must('POST', pods, pod('early', { persistentVolumeClaim: { claimName: 'late' } }));
    const waits = await until('its condition', async () => (await find<Pod>(`${pods}/early`))?.status.conditions?.find(({ type, status }) => type === 'PodScheduled' && status === 'False'));
    assert.include(waits.message, 'persistentvolumeclaim "late" not found');
    await api.must('POST', claims, { ...claim('late'), spec: { ...claim('late').spec, storageClassName: 'local-path' } });
    await runs('early');
  });
});
