// Health checks, metrics and the audit log of a whole `proa server`, as an administrator sees them with kubectl.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { cli, nodeBinary, readyLineOf, removeFolder } from './fixtures/cluster.ts';
import { findKubectl } from './fixtures/kubectl.ts';
import { run, stop } from './fixtures/process.ts';
import type { Result } from './fixtures/process.ts';

interface Event { stage: string; verb: string; requestURI: string; level: string; user: { username?: string }; impersonatedUser?: { username: string }; objectRef?: { name?: string; subresource?: string }; responseStatus?: { code: number }; annotations?: Record<string, string> }

const policy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- { level: None, users: [system:apiserver, system:kube-controller-manager, system:kube-scheduler] }
- { level: None, userGroups: [system:nodes] }
- { level: Metadata, resources: [{ group: "", resources: [secrets] }] }
- { level: RequestResponse, resources: [{ group: "", resources: [configmaps] }] }
- { level: Metadata, nonResourceURLs: ["/metrics*"] }
`;

describe('health, metrics and audit of proa server', function () {
  this.timeout(60_000);
  let folder: string;
  let child: ChildProcess;
  let kubectl: string;
  const flags = (): string[] => ['server', '--runtime', 'hollow', '--https-port', '0', '--data-dir', join(folder, 'data'), '--audit-policy-file', join(folder, 'policy.yaml'), '--audit-log-path', join(folder, 'audit.log')];
  const k = (...args: string[]): Promise<Result> => run(kubectl, ['--kubeconfig', join(folder, 'data/admin.kubeconfig'), ...args]);
  const raw = async (path: string): Promise<string> => {
    const { code, stdout, stderr } = await k('get', '--raw', path);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const audited = (part: string): Event[] => readFileSync(join(folder, 'audit.log'), 'utf8').trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Event).filter(({ requestURI }) => requestURI.includes(part));

  before(async () => {
    kubectl = await findKubectl();
    folder = mkdtempSync(join(tmpdir(), 'proa-audit-'));
    writeFileSync(join(folder, 'policy.yaml'), policy);
    child = spawn(nodeBinary, [cli, ...flags()], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await readyLineOf(child, () => output);
  });
  after(async () => {
    await stop(child);
    removeFolder(folder);
  });

  it('health checks answer whole and one by one', async () => {
    assert.equal(await raw('/livez'), 'ok');
    assert.equal(await raw('/readyz/etcd'), 'ok');
    assert.match(await raw('/readyz?verbose&exclude=etcd'), /^\[\+\]ping ok\n[^]*\[\+\]etcd excluded: ok\n[^]*\[\+\]shutdown ok\nreadyz check passed\n$/);
    assert.match(await raw('/healthz?verbose&exclude=nothing'), /warn: some health checks cannot be excluded: no matches for "nothing"\nhealthz check passed\n$/);
    assert.notEqual((await k('get', '--raw', '/livez/nothing')).code, 0);
  });
  it('metrics count what kubectl did', async () => {
    await k('get', 'configmaps');
    const text = await raw('/metrics');
    assert.match(text, /^apiserver_request_total\{verb="LIST",dry_run="",group="",version="v1",resource="configmaps",subresource="",scope="namespace",component="apiserver",code="200",system_client=""\} \d+$/m);
    assert.match(text, /^apiserver_storage_objects\{resource="nodes"\} 1$/m);
    assert.match(await raw('/metrics/slis'), /^kubernetes_healthcheck\{name="ping",type="readyz"\} 1$/m);
  });
  it('the audit log tells who did what, and no secrets', async () => {
    assert.equal((await k('create', 'configmap', 'told', '--from-literal=a=visible-word')).code, 0);
    assert.equal((await k('create', 'secret', 'generic', 'kept', '--from-literal=a=hidden-word')).code, 0);
    assert.notEqual((await k('get', 'secret', 'kept', '--as', 'jane')).code, 0);
    const text = readFileSync(join(folder, 'audit.log'), 'utf8');
    assert.include(text, 'visible-word');
    assert.notInclude(text, 'hidden-word');
    assert.notInclude(text, Buffer.from('hidden-word').toString('base64'));
    const created = audited('/configmaps?').find(({ verb }) => verb === 'create');
    assert.deepInclude(created, { level: 'RequestResponse', stage: 'ResponseComplete', user: created?.user });
    assert.equal(created?.responseStatus?.code, 201);
    const refused = audited('/secrets/kept').at(-1);
    assert.equal(refused?.impersonatedUser?.username, 'jane');
    assert.equal(refused?.responseStatus?.code, 403);
    assert.equal(refused?.annotations?.['authorization.k8s.io/decision'], 'forbid');
    assert.isNotEmpty(audited('/metrics'));
    assert.isEmpty(audited('/livez'));
  });
  it('a policy that cannot be taken is refused at the start, in one line', async () => {
    writeFileSync(join(folder, 'policy.yaml'), policy.replace('level: Metadata', 'level: Some'));
    const { code, stderr } = await run(nodeBinary, [cli, ...flags().map((flag) => flag.replace(/data$/, 'other'))]);
    assert.equal(code, 2);
    assert.match(stderr.trim().split('\n').at(-1) ?? '', /loading audit policy file: rules\[2\]\.level: Unsupported value: "Some": supported values: "Metadata", "None", "Request", "RequestResponse": from file /);
  });
});
