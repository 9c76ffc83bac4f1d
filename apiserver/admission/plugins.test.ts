import { expect } from 'chai';
import type { KubeObject, Pod } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { createFakeBackend, fakeContext, fakeRow, fakeWrite, type FakeBackend } from '../auth/fake-backend.ts';
import type { UserInfo } from '../request.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { defaultTolerationSeconds } from './default-toleration-seconds.ts';
import { createNamespaceLifecycle } from './namespace-lifecycle.ts';
import { createNodeRestriction } from './node-restriction.ts';
import { createPriorityAdmission } from './priority.ts';
import { createRuntimeClassAdmission } from './runtime-class.ts';
import { createServiceAccountAdmission } from './service-account.ts';
import { taintNodesByCondition } from './taint-nodes-by-condition.ts';

const pods = fakeRow('', 'pods', 'Pod');
const nodes = fakeRow('', 'nodes', 'Node', false);
let backend: FakeBackend;
const attributes = (about: Partial<AdmissionAttributes>): AdmissionAttributes => ({
  operation: 'CREATE', row: pods, subresource: '', namespace: 'a', name: about.object?.metadata?.name ?? '', object: undefined, oldObject: undefined, options: {},
  dryRun: false, user: { name: 'ann', groups: [] }, context: fakeWrite(backend, fakeContext()), ...about,
});
/** What the plugin says, as handlers run it: nothing when it does not handle the operation. */
async function run(plugin: AdmissionPlugin, about: Partial<AdmissionAttributes>): Promise<string> {
  const asked = attributes(about);
  if (!plugin.handles(asked.operation, asked.row, asked.subresource)) return 'not asked';
  try {
    await plugin.admit?.(asked);
    await plugin.validate?.(asked);
    return 'admitted';
  } catch (error) {
    if (error instanceof StatusError) return `${error.status.code} ${error.message}`;
    throw error;
  }
}
const pod = (spec: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}): KubeObject =>
  ({ metadata: { name: 'p', namespace: 'a', ...metadata }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } });
const specOf = (object: KubeObject): NonNullable<Pod['spec']> => (object as unknown as Pod).spec ?? { containers: [] };

describe('NamespaceLifecycle', () => {
  const configMaps = fakeRow('', 'configmaps', 'ConfigMap');
  const namespaces = fakeRow('', 'namespaces', 'Namespace', false);
  let plugin: AdmissionPlugin;
  let now = 0;
  beforeEach(() => {
    now = 0;
    backend = createFakeBackend({ namespaces: [{ metadata: { name: 'a' }, status: { phase: 'Active' } }, { metadata: { name: 'leaving' }, status: { phase: 'Terminating' } }] });
    plugin = createNamespaceLifecycle(backend, () => now);
  });
  const object = { metadata: { name: 'x' } };
  it('lets writes into living namespaces', async () => expect(await run(plugin, { row: configMaps, object })).to.equal('admitted'));
  it('refuses a namespace that does not exist', async () => {
    expect(await run(plugin, { row: configMaps, namespace: 'nope', object })).to.equal('404 namespaces "nope" not found');
  });
  it('refuses new content in a terminating one, with the cause, but not updates and deletions', async () => {
    expect(await run(plugin, { row: configMaps, namespace: 'leaving', object })).to.equal('403 configmaps "x" is forbidden: unable to create new content in namespace leaving because it is being terminated');
    try {
      await plugin.admit?.(attributes({ row: configMaps, namespace: 'leaving', object }));
      expect.fail('admitted');
    } catch (error) {
      expect((error as StatusError).status.details?.causes).to.deep.equal([{ reason: 'NamespaceTerminating', message: 'namespace leaving is being terminated', field: 'metadata.namespace' }]);
    }
    expect(await run(plugin, { row: configMaps, namespace: 'leaving', object, operation: 'UPDATE' })).to.equal('admitted');
    expect(await run(plugin, { row: configMaps, namespace: 'leaving', operation: 'DELETE' })).to.equal('admitted');
  });
  it('some namespaces stay for ever', async () => {
    for (const name of ['default', 'kube-system', 'kube-public']) {
      expect(await run(plugin, { row: namespaces, namespace: name, name, operation: 'DELETE' })).to.equal(`403 namespaces "${name}" is forbidden: this namespace may not be deleted`);
    }
    expect(await run(plugin, { row: namespaces, namespace: 'a', name: 'a', operation: 'DELETE' })).to.equal('admitted');
  });
  it('does not trust its cache about a namespace that was just deleted', async () => {
    const stale = createFakeBackend({ namespaces: [{ metadata: { name: 'a' }, status: { phase: 'Active' } }] });
    const live = createFakeBackend({ namespaces: [{ metadata: { name: 'a' }, status: { phase: 'Terminating' } }] });
    plugin = createNamespaceLifecycle({ lookup: (...about) => stale.lookup(...about), store: (id) => live.store(id) }, () => now);
    expect(await run(plugin, { row: configMaps, object })).to.equal('admitted');
    await run(plugin, { row: namespaces, namespace: 'a', name: 'a', operation: 'DELETE' });
    expect(await run(plugin, { row: configMaps, object })).to.match(/^403/);
    now = 31_000;
    expect(await run(plugin, { row: configMaps, object })).to.equal('admitted');
  });
  it('says nothing about namespaces to access reviews', async () => {
    expect(await run(plugin, { row: fakeRow('authorization.k8s.io', 'localsubjectaccessreviews', 'LocalSubjectAccessReview'), namespace: 'nope', object })).to.equal('admitted');
  });
});

describe('ServiceAccount', () => {
  let plugin: AdmissionPlugin;
  beforeEach(() => {
    backend = createFakeBackend({
      serviceaccounts: [
        { metadata: { namespace: 'a', name: 'default' }, imagePullSecrets: [{ name: 'pull' }] }, { metadata: { namespace: 'a', name: 'quiet' }, automountServiceAccountToken: false },
        { metadata: { namespace: 'a', name: 'strict', annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } }, secrets: [{ name: 'listed' }] },
      ],
    });
    plugin = createServiceAccountAdmission(backend);
  });
  const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
  it('defaults the account and mounts its token in every container', async () => {
    const object = pod({ initContainers: [{ name: 'i', image: 'i' }] });
    expect(await run(plugin, { object })).to.equal('admitted');
    const spec = specOf(object);
    expect([spec.serviceAccountName, spec.serviceAccount]).to.deep.equal(['default', 'default']);
    expect(spec.imagePullSecrets).to.deep.equal([{ name: 'pull' }]);
    const [volume] = spec.volumes ?? [];
    expect(volume?.name).to.match(/^kube-api-access-[a-z0-9]{5}$/);
    expect(volume?.projected).to.deep.equal({
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
    });
    for (const container of [...(spec.initContainers ?? []), ...spec.containers]) expect(container.volumeMounts).to.deep.equal([{ name: volume?.name, readOnly: true, mountPath }]);
  });
  it('mounts nothing where the pod or the account says so, or where something else is mounted', async () => {
    const own = [{ name: 'mine', mountPath }];
    for (const spec of [{ automountServiceAccountToken: false }, { serviceAccountName: 'quiet' }, { containers: [{ name: 'c', image: 'i', volumeMounts: own }] }]) {
      const object = pod(structuredClone(spec));
      expect(await run(plugin, { object })).to.equal('admitted');
      expect(specOf(object).volumes).to.equal(undefined);
    }
    const wins = pod({ serviceAccountName: 'quiet', automountServiceAccountToken: true });
    await run(plugin, { object: wins });
    expect(specOf(wins).volumes).to.have.length(1);
  });
  it('refuses an account that is missing', async () => {
    expect(await run(plugin, { object: pod({ serviceAccountName: 'nope' }) })).to.equal('403 pods "p" is forbidden: error looking up service account a/nope: serviceaccount "nope" not found');
  });
  it('waits a moment for the default account of a new namespace', async () => {
    setTimeout(() => backend.put('serviceaccounts', { metadata: { namespace: 'new', name: 'default' } }), 20);
    expect(await run(plugin, { namespace: 'new', object: pod() })).to.equal('admitted');
  });
  it('refuses secrets that a strict account does not list', async () => {
    const volumes = (secretName: string): unknown[] => [{ name: 'v', secret: { secretName } }];
    expect(await run(plugin, { object: pod({ serviceAccountName: 'strict', volumes: volumes('listed') }) })).to.equal('admitted');
    expect(await run(plugin, { object: pod({ serviceAccountName: 'strict', volumes: volumes('other') }) }))
      .to.equal('403 pods "p" is forbidden: volume with secret.secretName="other" is not allowed because service account strict does not reference that secret');
  });
  it('a mirror pod is left as it is and may refer to nothing', async () => {
    const annotations = { 'kubernetes.io/config.mirror': 'x' };
    const mirror = pod({}, { annotations });
    const before = structuredClone(mirror);
    expect(await run(plugin, { object: mirror })).to.equal('admitted');
    expect(mirror).to.deep.equal(before);
    expect(await run(plugin, { object: pod({ serviceAccountName: 'default' }, { annotations }) })).to.match(/a mirror pod may not reference service accounts$/);
    expect(await run(plugin, { object: pod({ volumes: [{ name: 'v', secret: { secretName: 's' } }] }, { annotations }) })).to.match(/a mirror pod may not reference secrets$/);
  });
});

describe('Priority', () => {
  let plugin: AdmissionPlugin;
  const id = 'priorityclasses.scheduling.k8s.io';
  const classes = fakeRow('scheduling.k8s.io', 'priorityclasses', 'PriorityClass', false);
  beforeEach(() => {
    backend = createFakeBackend({ [id]: [{ metadata: { name: 'high' }, value: 1000, preemptionPolicy: 'Never' }] });
    plugin = createPriorityAdmission(backend);
  });
  it('resolves the class', async () => {
    const object = pod({ priorityClassName: 'high' });
    expect(await run(plugin, { object })).to.equal('admitted');
    expect([specOf(object).priority, specOf(object).preemptionPolicy]).to.deep.equal([1000, 'Never']);
  });
  it('falls back to the default class, else to 0', async () => {
    const first = pod();
    await run(plugin, { object: first });
    expect([specOf(first).priority, specOf(first).preemptionPolicy, specOf(first).priorityClassName]).to.deep.equal([0, 'PreemptLowerPriority', undefined]);
    backend.put(id, { metadata: { name: 'usual' }, value: 7, globalDefault: true, preemptionPolicy: 'PreemptLowerPriority' });
    const second = pod();
    await run(plugin, { object: second });
    expect([specOf(second).priority, specOf(second).priorityClassName]).to.deep.equal([7, 'usual']);
  });
  it('refuses unknown classes and numbers that do not fit', async () => {
    expect(await run(plugin, { object: pod({ priorityClassName: 'nope' }) })).to.equal('403 pods "p" is forbidden: no PriorityClass with name nope was found');
    expect(await run(plugin, { object: pod({ priority: 5 }) }))
      .to.equal('403 pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name');
    expect(await run(plugin, { object: pod({ priorityClassName: 'high', preemptionPolicy: 'PreemptLowerPriority' }) })).to.match(/the string value of PreemptionPolicy \(PreemptLowerPriority\) must not be provided/);
  });
  it('keeps what an update leaves out, and allows one default class', async () => {
    const object = pod();
    await run(plugin, { operation: 'UPDATE', object, oldObject: pod({ priority: 9, preemptionPolicy: 'Never' }) });
    expect([specOf(object).priority, specOf(object).preemptionPolicy]).to.deep.equal([9, 'Never']);
    const wanted = { metadata: { name: 'usual' }, value: 1, globalDefault: true };
    expect(await run(plugin, { row: classes, object: wanted })).to.equal('admitted');
    backend.put(id, wanted);
    expect(await run(plugin, { row: classes, operation: 'UPDATE', object: wanted })).to.equal('admitted');
    expect(await run(plugin, { row: classes, object: { ...wanted, metadata: { name: 'second' } } }))
      .to.equal('403 priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass usual is already marked as default. Only one default can exist');
  });
});

describe('DefaultTolerationSeconds', () => {
  it('adds five minutes for each taint that is not mentioned', async () => {
    backend = createFakeBackend();
    const keys = async (tolerations?: unknown[]): Promise<unknown> => {
      const object = pod({ ...(tolerations ? { tolerations } : {}) });
      await run(defaultTolerationSeconds, { object });
      return (specOf(object).tolerations ?? []).map((one) => `${one.key ?? '*'}:${one.effect ?? '*'}:${one.tolerationSeconds ?? '-'}`);
    };
    const both = ['node.kubernetes.io/not-ready:NoExecute:300', 'node.kubernetes.io/unreachable:NoExecute:300'];
    expect(await keys()).to.deep.equal(both);
    expect(await keys([{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }])).to.deep.equal(['node.kubernetes.io/not-ready:NoSchedule:-', ...both]);
    expect(await keys([{ key: 'node.kubernetes.io/not-ready' }])).to.deep.equal(['node.kubernetes.io/not-ready:*:-', both[1]]);
    expect(await keys([{ operator: 'Exists' }])).to.deep.equal(['*:*:-']);
  });
});

describe('TaintNodesByCondition', () => {
  it('taints new nodes once', async () => {
    backend = createFakeBackend();
    const object: KubeObject = { metadata: { name: 'n' } };
    await run(taintNodesByCondition, { row: nodes, object });
    await run(taintNodesByCondition, { row: nodes, object });
    expect(object.spec).to.deep.equal({ taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] });
    expect(await run(taintNodesByCondition, { row: nodes, object, operation: 'UPDATE' })).to.equal('not asked');
  });
});

describe('RuntimeClass', () => {
  beforeEach(() => {
    backend = createFakeBackend({ 'runtimeclasses.node.k8s.io': [{ metadata: { name: 'heavy' }, handler: 'h', overhead: { podFixed: { cpu: '1' } }, scheduling: { nodeSelector: { kind: 'big' } } }] });
  });
  it('applies overhead and node selector, and refuses what contradicts them', async () => {
    const plugin = createRuntimeClassAdmission(backend);
    const object = pod({ runtimeClassName: 'heavy' });
    expect(await run(plugin, { object })).to.equal('admitted');
    expect([specOf(object).overhead, specOf(object).nodeSelector]).to.deep.equal([{ cpu: '1' }, { kind: 'big' }]);
    expect(await run(plugin, { object: pod() })).to.equal('admitted');
    expect(await run(plugin, { object: pod({ runtimeClassName: 'nope' }) })).to.equal('403 pods "p" is forbidden: pod rejected: RuntimeClass "nope" not found');
    expect(await run(plugin, { object: pod({ runtimeClassName: 'heavy', overhead: { cpu: '2' } }) })).to.match(/Pod's Overhead doesn't match RuntimeClass's defined Overhead$/);
    expect(await run(plugin, { object: pod({ overhead: { cpu: '2' } }) })).to.match(/Pod Overhead set without corresponding RuntimeClass defined Overhead$/);
    expect(await run(plugin, { object: pod({ runtimeClassName: 'heavy', nodeSelector: { kind: 'small' } }) })).to.match(/conflict: runtimeClass.scheduling.nodeSelector\[kind\] = big; pod.spec.nodeSelector\[kind\] = small$/);
  });
});

describe('NodeRestriction', () => {
  const user: UserInfo = { name: 'system:node:n1', groups: ['system:nodes'] };
  const leases = fakeRow('coordination.k8s.io', 'leases', 'Lease');
  const accounts = fakeRow('', 'serviceaccounts', 'ServiceAccount');
  const projected = [{ name: 't', projected: { sources: [{ serviceAccountToken: { path: 'token' } }, { serviceAccountToken: { path: 'v', audience: 'vault' } }] } }];
  let plugin: AdmissionPlugin;
  beforeEach(() => {
    backend = createFakeBackend({
      pods: [pod({ nodeName: 'n1', volumes: projected }, { name: 'mine', uid: '1' }), pod({ nodeName: 'n2', volumes: projected }, { name: 'theirs', uid: '2' })],
      nodes: [{ metadata: { name: 'n1', uid: 'nu' } }],
    });
    plugin = createNodeRestriction(backend);
  });
  const as = (about: Partial<AdmissionAttributes>): Promise<string> => run(plugin, { user, ...about });
  const stored = (name: string): KubeObject => structuredClone(backend.lookup('pods', 'a', name)) as KubeObject;

  it('asks only nodes', async () => {
    expect(await run(plugin, { row: nodes, object: { metadata: { name: 'n2' } } })).to.equal('admitted');
    expect(await run(plugin, { row: nodes, object: { metadata: { name: 'n1' } }, user: { name: 'system:node:', groups: ['system:nodes'] } })).to.match(/could not determine node from user "system:node:"$/);
  });
  it('a node writes its own Node, without taints and labels of others', async () => {
    const node = (metadata: Record<string, unknown>, spec = {}): KubeObject => ({ metadata: { name: 'n1', ...metadata }, spec });
    const labels = { 'kubernetes.io/hostname': 'n1', 'node.kubernetes.io/x': 'y', 'example.com/any': 'z' };
    expect(await as({ row: nodes, object: node({ labels }) })).to.equal('admitted');
    expect(await as({ row: nodes, object: { metadata: { name: 'n2' } } })).to.equal('403 nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"');
    expect(await as({ row: nodes, object: node({ labels: { 'node-role.kubernetes.io/master': '', 'a.node-restriction.kubernetes.io/b': '' } }) }))
      .to.equal('403 nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: a.node-restriction.kubernetes.io/b, node-role.kubernetes.io/master');
    const update = { row: nodes, operation: 'UPDATE', oldObject: node({ labels }) } as const;
    expect(await as({ ...update, object: node({ labels }, { podCIDR: 'x' }) })).to.equal('admitted');
    expect(await as({ ...update, object: node({ labels }, { taints: [{ key: 'k', effect: 'NoSchedule' }] }) })).to.match(/is not allowed to modify taints$/);
    expect(await as({ ...update, object: node({ labels: { ...labels, 'foo.kubernetes.io/x': '' } }) })).to.match(/is not allowed to modify labels: foo.kubernetes.io\/x$/);
    expect(await as({ row: nodes, operation: 'DELETE', name: 'n2' })).to.match(/is not allowed to modify node "n2"$/);
  });
  it('statuses, deletions and evictions of its own pods only', async () => {
    const status = { operation: 'UPDATE', subresource: 'status' } as const;
    expect(await as({ ...status, object: stored('mine'), oldObject: stored('mine') })).to.equal('admitted');
    expect(await as({ ...status, object: stored('theirs'), oldObject: stored('theirs') })).to.equal('403 pods "theirs" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself');
    const relabelled = stored('mine');
    relabelled.metadata = { ...relabelled.metadata, labels: { a: 'b' } };
    expect(await as({ ...status, object: relabelled, oldObject: stored('mine') })).to.match(/cannot update labels through pod status$/);
    expect(await as({ operation: 'DELETE', name: 'mine', oldObject: stored('mine') })).to.equal('admitted');
    expect(await as({ operation: 'DELETE', name: 'theirs', oldObject: stored('theirs') })).to.match(/can only delete pods with spec.nodeName set to itself$/);
    expect(await as({ subresource: 'eviction', name: 'mine', object: {} })).to.equal('admitted');
    expect(await as({ subresource: 'eviction', name: 'theirs', object: {} })).to.match(/can only evict pods with spec.nodeName set to itself$/);
    expect(await as({ operation: 'UPDATE', object: stored('mine'), oldObject: stored('mine') })).to.match(/can only create and delete mirror pods$/);
    expect(await as({ subresource: 'binding', name: 'mine', object: {} })).to.match(/unexpected pod subresource "binding"/);
  });
  it('creates mirror pods of its own and no others', async () => {
    const annotations = { 'kubernetes.io/config.mirror': 'x' };
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'nu', controller: true }];
    const mirror = (metadata: Record<string, unknown>, spec: Record<string, unknown> = { nodeName: 'n1' }): KubeObject => pod(spec, { annotations, ownerReferences, ...metadata });
    expect(await as({ object: mirror({}) })).to.equal('admitted');
    for (const [object, text] of [
      [mirror({ annotations: {} }), /pod does not have "kubernetes.io\/config.mirror" annotation, node "n1" can only create mirror pods$/],
      [mirror({}, { nodeName: 'n2' }), /can only create pods with spec.nodeName set to itself$/],
      [mirror({ ownerReferences: [] }), /with an owner reference set to itself$/],
      [mirror({ ownerReferences: [{ ...ownerReferences[0], controller: false }] }), /with a controller owner reference set to itself$/],
      [mirror({ ownerReferences: [{ ...ownerReferences[0], uid: 'old' }] }), /UID mismatch: expected old got nu$/],
      [mirror({}, { nodeName: 'n1', serviceAccountName: 'x' }), /can not create pods that reference serviceaccounts$/],
      [mirror({}, { nodeName: 'n1', volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] }), /can not create pods that reference persistentvolumeclaims$/],
    ] as const) expect(await as({ object })).to.match(text);
  });
  it('its own lease', async () => {
    const lease = (namespace: string, name: string): Promise<string> => as({ row: leases, namespace, object: { metadata: { name } } });
    expect(await lease('kube-node-lease', 'n1')).to.equal('admitted');
    expect(await lease('kube-node-lease', 'n2')).to.match(/can only access node lease with the same name as the requesting node$/);
    expect(await lease('kube-system', 'n1')).to.match(/can only access leases in the "kube-node-lease" system namespace$/);
  });
  it('tokens bound to its own pods, for audiences that they name', async () => {
    const token = (spec: Record<string, unknown>): Promise<string> => as({ row: accounts, subresource: 'token', name: 'default', object: { spec } });
    const ref = { apiVersion: 'v1', kind: 'Pod', name: 'mine', uid: '1' };
    expect(await token({ boundObjectRef: ref })).to.equal('admitted');
    expect(await token({ boundObjectRef: ref, audiences: ['vault'] })).to.equal('admitted');
    for (const [spec, text] of [
      [{}, /node requested token not bound to a pod$/],
      [{ boundObjectRef: { ...ref, uid: '' } }, /with a pod binding without a uid$/],
      [{ boundObjectRef: { ...ref, uid: 'old' } }, /the UID in the bound object reference \(old\) does not match/],
      [{ boundObjectRef: { ...ref, name: 'theirs', uid: '2' } }, /bound to a pod scheduled on a different node$/],
      [{ boundObjectRef: { ...ref, name: 'gone' } }, /^404 pod "gone" not found$/],
      [{ boundObjectRef: ref, audiences: ['other'] }, /audience "other" not found in pod spec volume, system:node:n1 is not authorized/],
      [{ boundObjectRef: ref, audiences: ['vault', 'other'] }, /node may only request 0 or 1 audiences$/],
    ] as const) expect(await token(spec)).to.match(text);
  });
});
