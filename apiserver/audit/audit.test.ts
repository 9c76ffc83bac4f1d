// Auditing seen from outside: what a server writes for the requests it gets.
import { expect } from 'chai';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '#machinery/base/abort.ts';
import { parseFlags } from '#machinery/base/flags.ts';
import { optionFlags, readOptions } from '../options.ts';
import { startTestServer } from '../testing.ts';
import type { TestServer } from '../testing.ts';
import { createBuffer } from './buffer.ts';
import type { AuditEvent } from './event.ts';
import { legacyLine, microTime } from './event.ts';
import { openLog } from './log.ts';
import { createWebhook } from './webhook.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const header = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy' };

describe('auditing', function () {
  this.timeout(20_000);
  let folder: string;
  let server: TestServer | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'audit-'));
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
    await rm(folder, { recursive: true });
  });
  const flags = async (policy: unknown, ...more: string[]) => {
    await writeFile(join(folder, 'policy.yaml'), JSON.stringify(policy));
    return readOptions(parseFlags(optionFlags, [`--audit-policy-file=${join(folder, 'policy.yaml')}`, `--audit-log-path=${join(folder, 'audit.log')}`, ...more]));
  };
  const start = async (rules: unknown[], top: Record<string, unknown> = {}, ...more: string[]): Promise<TestServer> => {
    server = await startTestServer({ options: await flags({ ...header, ...top, rules }, ...more) });
    return server;
  };
  const events = async (of: string): Promise<AuditEvent[]> => (await readFile(join(folder, 'audit.log'), 'utf8')).trim().split('\n')
    .filter((line) => line !== '').map((line) => JSON.parse(line) as AuditEvent).filter((event) => event.requestURI.includes(of));

  it('tells of a write in two stages, in the shape of upstream', async () => {
    const running = await start([{ level: 'RequestResponse', resources: [{ resources: ['configmaps'] }] }]);
    const answer = await running.call('POST', `${maps}?fieldValidation=Strict`, { body: { metadata: { name: 'one' }, data: { a: 'b' } }, headers: { 'Audit-ID': 'mine', 'User-Agent': 'test/1', 'X-Forwarded-For': '192.0.2.7, junk' } });
    expect(answer.headers['audit-id']).to.equal('mine');
    const [received, complete, ...rest] = await events(maps);
    expect(rest).to.deep.equal([]);
    expect(received).to.include({ kind: 'Event', apiVersion: 'audit.k8s.io/v1', level: 'RequestResponse', auditID: 'mine', stage: 'RequestReceived', requestURI: `${maps}?fieldValidation=Strict`, verb: 'create', userAgent: 'test/1' });
    expect(received?.user).to.deep.include({ username: 'admin', groups: ['system:masters', 'system:authenticated'] });
    expect(received?.sourceIPs).to.deep.equal(['192.0.2.7', '127.0.0.1']);
    expect(received?.objectRef).to.deep.equal({ resource: 'configmaps', namespace: 'default', apiVersion: 'v1' });
    expect(received).not.to.have.any.keys('responseStatus', 'requestObject', 'annotations', 'impersonatedUser');
    expect(received?.requestReceivedTimestamp).to.match(time).and.to.equal(received?.stageTimestamp);
    expect(complete).to.include({ stage: 'ResponseComplete', auditID: 'mine' });
    expect(complete?.objectRef).to.deep.equal({ resource: 'configmaps', namespace: 'default', apiVersion: 'v1', name: 'one' });
    expect(complete?.responseStatus).to.deep.equal({ metadata: {}, code: 201 });
    expect(complete?.requestObject).to.deep.include({ kind: 'ConfigMap', apiVersion: 'v1', data: { a: 'b' } });
    expect(complete?.responseObject).to.deep.equal(answer.body);
    expect(complete?.annotations).to.deep.equal({ 'authorization.k8s.io/decision': 'allow', 'authorization.k8s.io/reason': '' });
    expect(complete && complete.stageTimestamp >= complete.requestReceivedTimestamp).to.equal(true);
    expect((await stat(join(folder, 'audit.log'))).mode & 0o777).to.equal(0o600);
  });
  it('says no more than the level allows, and nothing for None', async () => {
    const running = await start([
      { level: 'None', verbs: ['get'] }, { level: 'Metadata', resources: [{ resources: ['secrets'] }] }, { level: 'Request' },
    ], { omitStages: ['RequestReceived'] });
    const secret = await running.call('POST', '/api/v1/namespaces/default/secrets', { body: { metadata: { name: 's' }, stringData: { a: 'hidden-word' } } });
    expect(secret.status).to.equal(201);
    await running.call('GET', '/api/v1/namespaces/default/secrets/s');
    await running.call('PATCH', `/api/v1/namespaces/default/serviceaccounts/none`, { body: { metadata: { labels: { x: 'y' } } }, headers: { 'Content-Type': 'application/merge-patch+json' } });
    await running.call('DELETE', '/api/v1/namespaces/default/secrets/s');
    expect(await readFile(join(folder, 'audit.log'), 'utf8')).not.to.contain('hidden-word');
    const [created, deleted, ...more] = await events('/secrets');
    expect(more).to.deep.equal([]);
    expect(created).to.include({ level: 'Metadata', stage: 'ResponseComplete', verb: 'create' }).and.not.to.have.any.keys('requestObject', 'responseObject');
    expect(deleted?.responseStatus).to.deep.include({ metadata: {}, status: 'Success', code: 200 });
    const [patched] = await events('/serviceaccounts/none');
    expect(patched?.requestObject).to.deep.equal({ metadata: { labels: { x: 'y' } } });
    expect(patched?.responseStatus).to.deep.include({ status: 'Failure', reason: 'NotFound', code: 404 });
    expect(patched).not.to.have.property('responseObject');
  });
  it('tells of refusals: unknown callers, forbidden ones, bad timeouts', async () => {
    const running = await start([{ level: 'Metadata' }]);
    expect((await running.call('GET', `${maps}/a`, { as: 'nobody' })).status).to.equal(401);
    expect((await running.call('GET', `${maps}/b`, { as: 'guest' })).status).to.equal(403);
    expect((await running.call('GET', `${maps}/c?timeout=x`)).status).to.equal(400);
    const unknown = await events('/configmaps/a');
    expect(unknown).to.have.length(1);
    expect(unknown[0]).to.deep.include({ stage: 'ResponseStarted', user: {}, responseStatus: { metadata: {}, status: 'Failure', message: 'Unauthorized', reason: 'Unauthorized', code: 401 } });
    const [received, forbidden] = await events('/configmaps/b');
    expect(received?.stage).to.equal('RequestReceived');
    expect(forbidden?.responseStatus).to.deep.include({ reason: 'Forbidden', code: 403 });
    expect(forbidden?.annotations).to.include({ 'authorization.k8s.io/decision': 'forbid' });
    expect((await events('/configmaps/c')).map(({ stage, responseStatus }) => [stage, responseStatus?.code])).to.deep.equal([['ResponseStarted', 400]]);
  });
  it('tells when watches begin and when they end, and of upgrades', async () => {
    const running = await start([{ level: 'Metadata' }]);
    const watch = await running.open('GET', `${maps}?watch=1&timeoutSeconds=1`);
    expect((await events('watch=1')).map(({ stage, responseStatus }) => [stage, responseStatus?.code])).to.deep.equal([['RequestReceived', undefined], ['ResponseStarted', 200]]);
    for await (const chunk of watch) expect(chunk).to.be.an.instanceOf(Buffer);
    await eventually(AbortSignal.timeout(3000), async () => (await events('watch=1')).at(-1)?.stage === 'ResponseComplete');
    const refused = await running.call('GET', '/api/v1/namespaces/default/pods/none/exec?command=x', { headers: { Connection: 'Upgrade', Upgrade: 'SPDY/3.1' } });
    expect(refused.status).to.equal(404);
    const told = await events('/exec');
    expect(told.map(({ stage }) => stage)).to.deep.equal(['RequestReceived', 'ResponseStarted', 'ResponseComplete']);
    expect(told.at(-1)?.responseStatus).to.deep.include({ code: 404, reason: 'NotFound' });
    expect(told.at(-1)?.objectRef).to.deep.include({ resource: 'pods', subresource: 'exec', name: 'none' });
  });
  it('tells who acts as whom', async () => {
    const running = await start([{ level: 'Metadata', users: ['admin'] }]);
    await running.call('GET', `${maps}/a`, { headers: { 'Impersonate-User': 'jane', 'Impersonate-Group': 'staff', 'Impersonate-Extra-Scopes': 'x' } });
    const [, complete] = await events('/configmaps/a');
    expect(complete?.user.username).to.equal('admin');
    expect(complete?.impersonatedUser).to.deep.equal({ username: 'jane', groups: ['staff', 'system:authenticated'], extra: { scopes: ['x'] } });
  });
  it('omitManagedFields drops them from objects and lists, unless the rule wants them', async () => {
    const running = await start([{ level: 'RequestResponse', verbs: ['update'], omitManagedFields: false }, { level: 'RequestResponse' }], { omitManagedFields: true, omitStages: ['RequestReceived'] });
    const body = { metadata: { name: 'm', managedFields: [{ manager: 'x', operation: 'Update', apiVersion: 'v1', time: '2026-01-01T00:00:00Z', fieldsType: 'FieldsV1', fieldsV1: {} }] } };
    await running.call('POST', maps, { body });
    await running.call('GET', maps);
    await running.call('PUT', `${maps}/m`, { body });
    const [created, listed, updated] = await events(maps);
    expect(JSON.stringify(created?.requestObject)).not.to.contain('managedFields');
    expect(listed?.responseObject).to.have.property('items').that.is.an('array');
    expect(JSON.stringify(listed?.responseObject)).not.to.contain('managedFields');
    expect(JSON.stringify(updated?.requestObject)).to.contain('managedFields');
  });
  it('--audit-log-mode=batch has written everything when the server has stopped', async () => {
    const running = await start([{ level: 'Metadata', verbs: ['get'], resources: [{ resources: ['configmaps'] }] }], { omitStages: ['RequestReceived'] }, '--audit-log-mode=batch');
    await Promise.all(Array.from({ length: 50 }, (_, index) => running.call('GET', `${maps}/n${index}`)));
    await running.stop();
    server = undefined;
    expect(await events('/configmaps/n')).to.have.length(50);
  });
  for (const [mode, status] of [['blocking', 200], ['blocking-strict', 500]] as const) {
    it(`--audit-log-mode=${mode} answers ${status} when the disk is full, and counts what was lost`, async () => {
      const running = await start([{ level: 'Metadata', nonResourceURLs: ['/api'] }], {}, `--audit-log-mode=${mode}`, '--audit-log-path=/dev/full');
      const answer = await running.call('GET', '/api');
      expect(answer.status).to.equal(status);
      if (status === 500) expect(answer.body).to.include({ reason: 'InternalError', message: 'Internal error occurred: failed to store audit event' });
      const metrics = (await running.call('GET', '/metrics')).text;
      expect(metrics).to.match(/^apiserver_audit_error_total\{plugin="log"\} [12]$/m);
      expect(metrics).to.contain(`apiserver_audit_requests_rejected_total ${status === 500 ? 1 : 0}\n`);
    });
  }
  it('the policy is refused at the start in one line', async () => {
    let message = '';
    await startTestServer({ options: await flags({ ...header, rules: [{ level: 'Most' }] }) }).catch((error: unknown) => {
      message = String(error);
    });
    expect(message).to.match(/^UsageError: loading audit policy file: rules\[0\]\.level: Unsupported value: "Most": .*: from file .*policy\.yaml$/);
  });

  describe('openLog()', () => {
    const event = { stage: 'ResponseComplete', auditID: 'x', level: 'Metadata' } as AuditEvent;
    const options = (over: object) => ({ path: join(folder, 'a.log'), format: 'json' as const, maxAgeDays: 0, maxBackups: 0, maxSizeBytes: 100, compress: false, ...over });
    it('rotates by size and keeps as many old files as asked', async () => {
      const log = openLog(options({ maxBackups: 2 }));
      for (let i = 0; i < 8; i += 1) {
        log.write([event]);
        await new Promise((resolve) => setTimeout(resolve, 3)); // names tell milliseconds
      }
      await log.close();
      const files = (await readdir(folder)).filter((name) => name.startsWith('a'));
      expect(files).to.have.length(3);
      expect(files.filter((name) => /^a-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/.test(name))).to.have.length(2);
    });
    it('compresses and ages old files', async () => {
      await writeFile(join(folder, 'a-2020-01-01T00-00-00.000.log'), 'old');
      await writeFile(join(folder, 'a-other.log'), 'not ours');
      const log = openLog(options({ compress: true, maxAgeDays: 1 }));
      log.write([event]);
      log.write([event]);
      await log.close();
      const files = await readdir(folder);
      expect(files).to.include('a-other.log').and.not.to.include('a-2020-01-01T00-00-00.000.log');
      expect(files.filter((name) => name.endsWith('.log.gz'))).to.have.length(1);
    });
    it('legacy is one line of text', () => {
      const line = legacyLine({ ...event, user: { username: 'ann', groups: ['a', 'b'] }, verb: 'get', requestURI: '/x', kind: 'Event', apiVersion: 'audit.k8s.io/v1', requestReceivedTimestamp: microTime(0), stageTimestamp: microTime(0), responseStatus: { metadata: {}, code: 200 } });
      expect(line).to.equal('1970-01-01T00:00:00Z AUDIT: id="x" stage="ResponseComplete" ip="<unknown>" method="get" user="ann" groups="\\"a\\",\\"b\\"" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="/x" response="200"');
    });
  });

  describe('createBuffer()', () => {
    const event = (id: number) => ({ auditID: String(id) }) as AuditEvent;
    it('makes batches by size and by time, drops what does not fit, and sends the rest at the end', async () => {
      const sent: number[] = [];
      let dropped = 0;
      const buffer = createBuffer({ bufferSize: 10, maxBatchSize: 4, maxBatchWaitMs: 30, throttle: undefined }, async (batch) => {
        sent.push(batch.length);
      }, () => {
        dropped += 1;
      });
      for (let i = 0; i < 12; i += 1) buffer.add(event(i));
      await eventually(AbortSignal.timeout(2000), () => sent.length === 3, 5);
      expect([sent, dropped]).to.deep.equal([[4, 4, 2], 2]);
      buffer.add(event(1));
      await buffer.close();
      expect(sent).to.deep.equal([4, 4, 2, 1]);
      buffer.add(event(2));
      expect(dropped).to.equal(3);
    });
  });

  describe('createWebhook()', () => {
    it('sends EventLists, again after a 503, and gives up on a 400', async () => {
      const answers = [503, 200, 400];
      const got: { auth: string | undefined; items: { auditID: string }[]; kind: string }[] = [];
      const http = createServer((request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
          got.push({ auth: request.headers.authorization, ...JSON.parse(Buffer.concat(chunks).toString()) as { kind: string; items: { auditID: string }[] } });
          response.writeHead(answers.shift() ?? 500).end();
        });
      });
      await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
      const file = join(folder, 'webhook.yaml');
      await writeFile(file, JSON.stringify({ clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${(http.address() as AddressInfo).port}/audit` } }], users: [{ name: 'u', user: { token: 't' } }], contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }], 'current-context': 'x' }));
      const webhook = await createWebhook(file, 10);
      await webhook.send([{ auditID: 'one' } as AuditEvent]);
      expect(got).to.have.length(2);
      expect(got[1]).to.deep.include({ kind: 'EventList', auth: 'Bearer t', items: [{ auditID: 'one' }] });
      let failed = '';
      await webhook.send([{ auditID: 'two' } as AuditEvent]).catch((error: unknown) => {
        failed = String(error);
      });
      expect(failed).to.contain('the webhook answered 400');
      expect(got).to.have.length(3);
      webhook.close();
      http.close();
    });
    it('a file that is no kubeconfig is refused', async () => {
      await writeFile(join(folder, 'w'), 'clusters: []');
      let failed = '';
      await createWebhook(join(folder, 'w'), 10).catch((error: unknown) => {
        failed = String(error);
      });
      expect(failed).to.match(/^UsageError: initializing audit webhook: .*: no cluster with a server$/);
    });
  });
});
