import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageError, parseFlags } from '#machinery/base/flags.ts';
import { notFound } from '#machinery/api/status.ts';
import type { Client } from '#machinery/client/types.ts';
import { controllers, offByDefault } from './all.ts';
import { aggregatedRules } from './clusterrole-aggregation/controller.ts';
import { configOf, defaultConfig, flags } from './config.ts';
import type { ControllersConfig } from './config.ts';
import { configz } from './configz.ts';
import { createTokenSource } from './context.ts';
import { discover, resourceOfKind } from './discovery.ts';
import { chosen } from './main.ts';
import { estimateSeconds, namespaceConditions } from './namespace/reconcile.ts';
import type { Found } from './namespace/reconcile.ts';

const never = new AbortController().signal;

describe('chosen()', () => {
  it('reads *, names and -names', () => {
    expect(chosen(['*'])).to.deep.equal(Object.keys(controllers).filter((name) => !offByDefault.includes(name)));
    expect(chosen(['*', 'token-cleaner-controller'])).to.include('token-cleaner-controller').and.not.include('bootstrap-signer-controller');
    expect(chosen(['*', '-namespace-controller'])).not.to.include('namespace-controller');
    expect(chosen(['namespace-controller'])).to.deep.equal(['namespace-controller']);
  });
  it('takes the short names of before', () => {
    expect(chosen(['deployment'])).to.deep.equal(['deployment-controller']);
    expect(chosen(['*', '-podgc'])).not.to.include('pod-garbage-collector-controller');
  });
  it('leaves out what is named both ways', () => expect(chosen(['job-controller', '-job-controller'])).to.deep.equal([]));
  it('refuses a name that is not there', () => expect(() => chosen(['*', 'job-controller2'])).to.throw(UsageError, /job-controller2/));
});

it('configOf() needs --kubeconfig', async () => {
  let message = '';
  await configOf(parseFlags(flags, [])).catch((error: Error) => (message = error.message));
  expect(message).to.match(/--kubeconfig is needed/);
});

describe('flags', () => {
  async function read(...args: string[]): Promise<ControllersConfig> {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'controllers-flags-'));
    const path = join(folder.path, 'kubeconfig');
    await writeFile(path, JSON.stringify({ 'apiVersion': 'v1', 'kind': 'Config', 'clusters': [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }], 'users': [{ name: 'u', user: { token: 't' } }], 'contexts': [{ name: 'x', context: { cluster: 'c', user: 'u' } }], 'current-context': 'x' }));
    return await configOf(parseFlags(flags, ['--kubeconfig', path, ...args]));
  }
  it('are upstream defaults when none is given', async () => {
    const { client, serving, ...rest } = await read();
    expect(client.server).to.equal('https://127.0.0.1:1');
    expect(serving).to.deep.include({ address: '127.0.0.1', port: 10_257, certificate: undefined });
    const { serving: _, ...defaults } = defaultConfig;
    expect(rest).to.deep.equal({ ...defaults, allocateNodeCidrs: false }); // a whole cluster does, one component alone is told to
  });
  it('spell durations as upstream', async () => {
    const config = await read('--leader-elect-lease-duration=3s', '--leader-elect-renew-deadline=2s', '--leader-elect-retry-period=500ms', '--node-monitor-grace-period=1m30s', '--horizontal-pod-autoscaler-sync-period=250ms', '--secure-port=0', '--master=https://127.0.0.2:2');
    expect(config).to.deep.include({ leaderElectLeaseDurationMs: 3000, leaderElectRenewDeadlineMs: 2000, leaderElectRetryPeriodMs: 500, nodeMonitorGracePeriodMs: 90_000, serving: undefined });
    expect(config.horizontalPodAutoscaler.syncPeriodMs).to.equal(250);
    expect(config.client.server).to.equal('https://127.0.0.2:2');
  });
  it('take a CA for one signer', async () => {
    const config = await read('--cluster-signing-kubelet-client-cert-file=/dev/null', '--cluster-signing-kubelet-client-key-file=/dev/null');
    expect([config.clusterSigning, config.signerCas]).to.deep.equal([undefined, { 'kubernetes.io/kube-apiserver-client-kubelet': { cert: '', key: '' } }]);
  });
  const refused: [args: string[], message: RegExp][] = [
    [['--node-monitor-period=5'], /--node-monitor-period takes a duration such as 15s, not "5"/],
    [['--leader-elect-lease-duration=5s'], /LeaseDuration must be greater than RenewDeadline/],
    [['--node-eviction-rate=often'], /--node-eviction-rate takes a number/],
    [['--horizontal-pod-autoscaler-tolerance=-1'], /--horizontal-pod-autoscaler-tolerance takes a number of 0 or more/],
    [['--tls-cert-file=/dev/null'], /come together/],
    [['--cluster-signing-kubelet-client-cert-file=/dev/null'], /are given together/],
    [['--cluster-signing-cert-file=/dev/null', '--cluster-signing-key-file=/dev/null', '--cluster-signing-legacy-unknown-cert-file=/dev/null', '--cluster-signing-legacy-unknown-key-file=/dev/null'], /for all signers/],
    [['--cluster-cidr=10.0.0.0/8,fd00::/48', '--node-cidr-mask-size=24'], /is for one network/],
    [['--node-monitor-period-ms=5'], /unknown flag/],
  ];
  for (const [args, message] of refused) {
    it(`refuse ${args.join(' ')}`, async () => {
      let error: unknown;
      await read(...args).catch((cause: unknown) => (error = cause));
      expect(error).to.be.instanceOf(UsageError);
      expect((error as Error).message).to.match(message);
    });
  }
  it('show as upstream does on /configz', async () => {
    const { 'kubecontrollermanager.config.k8s.io': shown } = configz(await read('--concurrent-job-syncs=7')) as Record<string, Record<string, Record<string, unknown>>>;
    expect(shown).to.deep.include({ JobController: { ConcurrentJobSyncs: 7 }, CSRSigningController: { ClusterSigningDuration: '8760h0m0s' }, ResourceQuotaController: { ResourceQuotaSyncPeriod: '5m0s', ConcurrentResourceQuotaSyncs: 5 } });
    expect(shown?.Generic?.LeaderElection).to.include({ leaseDuration: '15s', resourceName: 'kube-controller-manager' });
  });
});

describe('createTokenSource()', () => {
  function source(missing: boolean, now: () => number): { calls: string[]; token: () => Promise<string> } {
    const calls: string[] = [];
    let there = !missing;
    const client = {
      create: async (_resource: unknown, _namespace: string, _body: unknown, _signal: unknown, options?: { name?: string; subresource?: string }) => {
        calls.push(options?.subresource ? 'token' : 'account');
        if (!options?.subresource) {
          there = true;
          return {};
        }
        if (!there) throw notFound({ group: '', resource: 'serviceaccounts' }, options.name ?? '');
        return { status: { token: `t${calls.length}`, expirationTimestamp: new Date(now() + 1000_000).toISOString() } };
      },
    } as unknown as Client; // asked for no more
    const get = createTokenSource(client, 'x-controller', now);
    return { calls, token: () => get(never) };
  }
  it('makes the account when it is missing, once for all who ask', async () => {
    const { calls, token } = source(true, () => 0);
    expect(await Promise.all([token(), token()])).to.deep.equal(['t3', 't3']);
    expect(calls).to.deep.equal(['token', 'account', 'token']);
  });
  it('asks again when a fifth of the time is left', async () => {
    let now = 0;
    const { calls, token } = source(false, () => now);
    await token();
    now = 799_000;
    await token();
    expect(calls).to.have.length(1);
    now = 801_000;
    await token();
    expect(calls).to.have.length(2);
  });
});

it('aggregatedRules() collects by label, in the order of names, each rule once', () => {
  const role = (name: string, label: string | undefined, ...verbs: string[][]) => ({ metadata: { name, ...(label ? { labels: { to: label } } : {}) }, rules: verbs.map((each) => ({ verbs: each })) });
  const admin = { ...role('admin', 'admin', ['own']), aggregationRule: { clusterRoleSelectors: [{ matchLabels: { to: 'admin' } }] } };
  expect(aggregatedRules(admin, [admin, role('z', 'admin', ['get'], ['list']), role('a', 'admin', ['list']), role('b', undefined, ['x'])])).to.deep.equal([{ verbs: ['list'] }, { verbs: ['get'] }]);
});

describe('discover()', () => {
  const answering = (bodies: Record<string, unknown>): Client => ({
    raw: async (_method: string, path: string) => (path in bodies ? { status: 200, body: JSON.stringify(bodies[path]) } : { status: 503, body: '' }),
  }) as unknown as Client; // asked for no more
  it('reads aggregated discovery, the first version of a resource as the preferred one', async () => {
    const resources = (kind: string) => [{ resource: 'things', responseKind: { kind }, scope: 'Namespaced', verbs: ['get'] }];
    const discovery = await discover(answering({
      '/api': { kind: 'APIGroupDiscoveryList', items: [] },
      '/apis': { kind: 'APIGroupDiscoveryList', items: [{ metadata: { name: 'g' }, versions: [{ version: 'v2', resources: resources('Thing') }, { version: 'v1', freshness: 'Stale', resources: resources('Thing') }] }] },
    }), never);
    expect(discovery.resources.map(({ version, preferred }) => `${version} ${preferred}`)).to.deep.equal(['v2 true', 'v1 false']);
    expect([...discovery.failures.keys()]).to.deep.equal(['g/v1']);
    expect(resourceOfKind(discovery, 'g/v1', 'Thing')?.resource).to.equal('things');
    expect(resourceOfKind(discovery, 'g/v3', 'Thing')).to.equal(undefined);
  });
  it('falls back to the older documents and notes groups that do not answer', async () => {
    const discovery = await discover(answering({
      '/api': { versions: ['v1'] }, '/api/v1': { resources: [{ name: 'pods', kind: 'Pod', namespaced: true, verbs: ['get'] }, { name: 'pods/log', kind: 'Pod', namespaced: true, verbs: ['get'] }] },
      '/apis': { groups: [{ name: 'down', versions: [{ version: 'v1' }] }] },
    }), never);
    expect(discovery.resources.map(({ resource }) => resource)).to.deep.equal(['pods']);
    expect([...discovery.failures.keys()]).to.deep.equal(['down/v1']);
  });
});

describe('namespaceConditions()', () => {
  const found = (more: Partial<Found> = {}): Found => ({ discoveryFailures: new Map(), remaining: new Map(), finalizers: new Map(), errors: [], ...more });
  const message = (conditions: readonly { type: string; status: string; message?: string }[], type: string): string => {
    const condition = conditions.find((each) => each.type === type);
    return `${condition?.status} ${condition?.message}`;
  };
  it('tells what is left, sorted', () => {
    const conditions = namespaceConditions(undefined, found({ remaining: new Map([['pods.', 2], ['deployments.apps', 1]]), finalizers: new Map([['a/b', 2]]), errors: ['z', 'a'] }), 0);
    expect(message(conditions, 'NamespaceContentRemaining')).to.equal('True Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances');
    expect(message(conditions, 'NamespaceFinalizersRemaining')).to.equal('True Some content in the namespace has finalizers remaining: a/b in 2 resource instances');
    expect(message(conditions, 'NamespaceDeletionContentFailure')).to.equal('True Failed to delete all resource types, 2 remaining: a, z');
    expect(message(conditions, 'NamespaceDeletionDiscoveryFailure')).to.equal('False All resources successfully discovered');
    expect(conditions).to.have.length(5);
  });
  it('is the same array when nothing changed', () => {
    const first = namespaceConditions(undefined, found(), 0);
    expect(namespaceConditions(first, found(), 5000)).to.equal(first);
  });
  it('estimateSeconds() is the longest grace period', () => {
    expect(estimateSeconds([{ metadata: { deletionGracePeriodSeconds: 30 } }, { metadata: {} }])).to.equal(30);
    expect(estimateSeconds([{ metadata: {} }])).to.equal(15);
  });
});
