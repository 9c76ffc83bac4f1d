import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { createFakeBackend, type FakeBackend } from '../auth/fake-backend.ts';
import type { PolicyRule } from '../auth/rbac-rules.ts';
import { missingRules } from '../auth/rbac-rules.ts';
import type { ServerDeps } from '../backend.ts';
import { createBootstrap } from './bootstrap.ts';
import { aggregateRules } from './rbac.ts';
import { bootstrapRbac } from './rbac-data.ts';

const group = 'rbac.authorization.k8s.io';
const config = {
  serviceClusterIpRange: '10.43.0.0/16', advertiseAddress: '10.41.0.1', httpsPort: 6443, clientCa: 'CA', serviceNodePortRange: { from: 30000, to: 32767 },
} as ServerDeps['config']; // what bootstrap reads

async function run(backend: FakeBackend, more: Partial<ServerDeps['config']> = {}): Promise<string[]> {
  const stop = new AbortController();
  const from = backend.writes.length;
  await Promise.all(createBootstrap({ config: { ...config, ...more }, backend, signal: stop.signal }).map((step) => step.run(stop.signal)));
  stop.abort();
  return backend.writes.slice(from);
}
const object = (backend: FakeBackend, id: string, name: string, namespace = ''): KubeObject => {
  const found = backend.lookup(id, namespace, name);
  if (found === undefined) throw new Error(`${id} ${namespace}/${name} is missing`);
  return structuredClone(found) as KubeObject;
};

describe('createBootstrap()', () => {
  let backend: FakeBackend;
  beforeEach(async () => {
    backend = createFakeBackend();
    await run(backend);
  });

  it('makes what clients expect to find', () => {
    const names = (id: string): string[] => backend.cached(id).map((one) => one.metadata?.name ?? '').toSorted();
    expect(names('namespaces')).to.deep.equal(['default', 'kube-node-lease', 'kube-public', 'kube-system']);
    expect(names('priorityclasses.scheduling.k8s.io')).to.deep.equal(['system-cluster-critical', 'system-node-critical']);
    expect(names(`clusterroles.${group}`)).to.deep.equal(Object.keys(bootstrapRbac.clusterRoles).toSorted());
    expect(names(`clusterrolebindings.${group}`)).to.have.length(Object.keys(bootstrapRbac.clusterRoleBindings).length);
    expect(backend.cached(`roles.${group}`, 'kube-system').length + backend.cached(`roles.${group}`, 'kube-public').length).to.equal(Object.keys(bootstrapRbac.roles).length);
    expect(names('flowschemas.flowcontrol.apiserver.k8s.io')).to.include('catch-all');
    expect(names('prioritylevelconfigurations.flowcontrol.apiserver.k8s.io')).to.include('exempt');
    expect(object(backend, 'configmaps', 'extension-apiserver-authentication', 'kube-system').data).to.deep.equal({ 'client-ca-file': 'CA' });
    expect(object(backend, 'servicecidrs.networking.k8s.io', 'kubernetes').spec).to.deep.equal({ cidrs: ['10.43.0.0/16'] });
  });
  it('tells where the API server is', () => {
    const { spec } = object(backend, 'services', 'kubernetes', 'default') as { spec?: { clusterIP?: string; ports?: unknown } };
    expect(spec?.clusterIP).to.equal('10.43.0.1');
    expect(spec?.ports).to.deep.equal([{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }]);
    expect(object(backend, 'endpoints', 'kubernetes', 'default').subsets).to.deep.equal([{ addresses: [{ ip: '10.41.0.1' }], ports: [{ name: 'https', port: 6443, protocol: 'TCP' }] }]);
    expect(object(backend, 'endpointslices.discovery.k8s.io', 'kubernetes', 'default').endpoints).to.deep.equal([{ addresses: ['10.41.0.1'], conditions: { ready: true } }]);
  });
  it('writes nothing the second time', async () => {
    await run(backend); // of the first run, flow schemas get their status in the background, and the fake allocates nothing
    expect(await run(backend)).to.deep.equal([]);
  });
  /** Of Endpoints and of the EndpointSlice. */
  const addresses = (): unknown[] => {
    const { subsets } = object(backend, 'endpoints', 'kubernetes', 'default') as { subsets?: { addresses: { ip: string }[] }[] };
    const { endpoints } = object(backend, 'endpointslices.discovery.k8s.io', 'kubernetes', 'default') as { endpoints?: { addresses: string[] }[] };
    return [subsets?.flatMap((subset) => subset.addresses.map(({ ip }) => ip)), endpoints?.flatMap((endpoint) => endpoint.addresses)];
  };
  it('follows a new port and address; the server at the old one is there until its lease ends or it stops', async () => {
    await run(backend); // as above
    expect((await run(backend, { httpsPort: 7443, advertiseAddress: '10.41.0.9' })).filter((write) => !write.includes('flowschemas')).toSorted()).to.deep.equal([
      'update endpoints/default/kubernetes', 'update endpointslices.discovery.k8s.io/default/kubernetes', 'update services/default/kubernetes',
    ]);
    expect(addresses()).to.deep.equal([['10.41.0.1', '10.41.0.9'], ['10.41.0.1', '10.41.0.9']]);
    const old = createBootstrap({ config, backend, signal: new AbortController().signal });
    await Promise.all(old.map(async (step) => step.stop?.()));
    expect(addresses()).to.deep.equal([['10.41.0.9'], ['10.41.0.9']]);
  });
  it('keeps no lease in an embedded store, which no other server can open', async () => {
    const fresh = createFakeBackend();
    const embedded = { ...fresh, storage: { ...fresh.storage, engine: 'sqlite' as const } };
    await run(embedded);
    expect((await fresh.storage.range({ prefix: '/registry/masterleases/' })).items).to.deep.equal([]);
    expect(fresh.lookup('endpoints', 'default', 'kubernetes')?.subsets).to.have.length(1);
  });
  it('leaves the endpoints to somebody else with --endpoint-reconciler-type=none', async () => {
    const fresh = createFakeBackend();
    await run(fresh, { endpointReconcilerType: 'none' });
    expect(fresh.lookup('endpoints', 'default', 'kubernetes')).to.equal(undefined);
    expect(fresh.lookup('services', 'default', 'kubernetes')).to.not.equal(undefined);
  });
  it('does not publish an address that only this machine can use', async () => {
    const fresh = createFakeBackend();
    await run(fresh, { advertiseAddress: '127.0.0.1' });
    expect(fresh.lookup('endpoints', 'default', 'kubernetes')).to.equal(undefined);
  });

  const change = (id: string, name: string, by: (object: KubeObject) => void): void => {
    const copy = object(backend, id, name);
    by(copy);
    backend.put(id, copy);
  };
  it('adds missing rules and subjects, and takes none away', async () => {
    const extra: PolicyRule = { verbs: ['get'], apiGroups: ['x'], resources: ['y'] };
    change(`clusterroles.${group}`, 'system:kube-dns', (role) => {
      role.rules = [extra];
      delete role.metadata?.labels;
    });
    change(`clusterrolebindings.${group}`, 'system:basic-user', (binding) => {
      binding.subjects = [{ kind: 'User', apiGroup: group, name: 'me' }];
    });
    await run(backend);
    const role = object(backend, `clusterroles.${group}`, 'system:kube-dns');
    const rules = role.rules as PolicyRule[];
    expect(rules[0]).to.deep.equal(extra);
    expect(missingRules(rules, bootstrapRbac.clusterRoles['system:kube-dns']?.rules ?? [])).to.deep.equal([]);
    expect(role.metadata?.labels).to.deep.equal({ 'kubernetes.io/bootstrapping': 'rbac-defaults' });
    expect(object(backend, `clusterrolebindings.${group}`, 'system:basic-user').subjects).to.deep.equal([
      { kind: 'User', apiGroup: group, name: 'me' }, { kind: 'Group', apiGroup: group, name: 'system:authenticated' },
    ]);
  });
  it('leaves alone what has opted out', async () => {
    change(`clusterroles.${group}`, 'system:kube-dns', (role) => {
      role.rules = [];
      role.metadata = { ...role.metadata, annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'false' } };
    });
    await run(backend);
    expect(object(backend, `clusterroles.${group}`, 'system:kube-dns').rules).to.deep.equal([]);
  });
  it('makes a binding again whose role was changed', async () => {
    const before = object(backend, `clusterrolebindings.${group}`, 'system:basic-user').metadata?.uid;
    change(`clusterrolebindings.${group}`, 'system:basic-user', (binding) => {
      binding.roleRef = { apiGroup: group, kind: 'ClusterRole', name: 'cluster-admin' };
    });
    await run(backend);
    const binding = object(backend, `clusterrolebindings.${group}`, 'system:basic-user');
    expect(binding.roleRef).to.deep.equal({ apiGroup: group, kind: 'ClusterRole', name: 'system:basic-user' });
    expect(binding.metadata?.uid).to.not.equal(before);
  });
  it('puts mandatory flow control back, suggested only while it is ours', async () => {
    const id = 'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io';
    for (const [name, annotation] of [['catch-all', 'false'], ['system', 'false'], ['workload-low', 'true']] as const) {
      change(id, name, (level) => {
        level.spec = { type: 'Exempt' };
        level.metadata = { ...level.metadata, annotations: { 'apf.kubernetes.io/autoupdate-spec': annotation } };
      });
    }
    backend.put(id, { metadata: { name: 'old', annotations: { 'apf.kubernetes.io/autoupdate-spec': 'true' } }, spec: {} });
    backend.put(id, { metadata: { name: 'mine' }, spec: {} });
    await run(backend);
    const type = (name: string): unknown => (object(backend, id, name).spec as { type?: string }).type;
    expect([type('catch-all'), type('system'), type('workload-low')]).to.deep.equal(['Limited', 'Exempt', 'Limited']);
    expect(backend.lookup(id, '', 'old')).to.equal(undefined);
    expect(backend.lookup(id, '', 'mine')).to.not.equal(undefined);
  });
});

describe('aggregateRules()', () => {
  it('makes admin, edit and view usable at once', () => {
    const rules = aggregateRules();
    expect([...rules.keys()].toSorted()).to.deep.equal(['admin', 'edit', 'view']);
    const [admin = [], edit = [], view = []] = ['admin', 'edit', 'view'].map((name) => rules.get(name));
    expect(missingRules(admin, edit)).to.deep.equal([]);
    expect(missingRules(edit, view)).to.deep.equal([]);
    expect(missingRules(view, [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }])).to.have.length(1);
    expect(missingRules(edit, [{ verbs: ['create'], apiGroups: ['apps'], resources: ['deployments'] }])).to.deep.equal([]);
    expect(missingRules(admin, [{ verbs: ['create'], apiGroups: [group], resources: ['rolebindings'] }])).to.deep.equal([]);
  });
});
