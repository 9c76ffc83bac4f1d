// A real server over TLS, seen from a client's seat: verbs, errors, lists, watches, discovery, health.
import { expect } from 'chai';
import { connect } from 'node:tls';
import { startTestServer, watchLines } from './testing.ts';
import type { TestServer } from './testing.ts';

const maps = '/api/v1/namespaces/default/configmaps';
type Meta = Record<string, unknown> & { name: string; uid: string; resourceVersion: string; labels?: Record<string, string> };
const meta = (body: Record<string, unknown>): Meta => body['metadata'] as Meta;
const merge = { 'Content-Type': 'application/merge-patch+json' };
const items = (body: Record<string, unknown>) => body['items'] as (Record<string, unknown> & { metadata: Meta })[];

describe('the API server', function () {
  this.timeout(20_000);
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.stop());
  const call: TestServer['call'] = (method, path, options) => server.call(method, path, options);
  async function create(name: string, extra: Record<string, unknown> = {}, labels: Record<string, string> = {}) {
    const answer = await call('POST', maps, { body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, ...extra } });
    expect(answer.status, answer.text).to.equal(201);
    return answer.body;
  }

  describe('writes', () => {
    it('POST stores the object with uid, creationTimestamp and resourceVersion, GET shows the same', async () => {
      const created = await create('first', { data: { a: 'b' } });
      expect(meta(created).uid).to.match(/^[0-9a-f-]{36}$/);
      expect(meta(created)['creationTimestamp']).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      const got = await call('GET', `${maps}/first`);
      expect(got.body).to.deep.equal(created);
    });
    it('POST takes no system metadata from the client', async () => {
      const answer = await call('POST', maps, { body: { metadata: { name: 'wiped', uid: 'mine', creationTimestamp: '2001-01-01T00:00:00Z', deletionTimestamp: '2001-01-01T00:00:00Z' } } });
      expect(answer.status).to.equal(201);
      expect(meta(answer.body).uid).not.to.equal('mine');
      expect(meta(answer.body)).not.to.have.property('deletionTimestamp');
    });
    it('POST generates a name', async () => {
      const answer = await call('POST', maps, { body: { metadata: { generateName: 'made-' } } });
      expect(meta(answer.body).name).to.match(/^made-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    });
    it('POST of a taken name is 409 AlreadyExists', async () => {
      await create('taken');
      const answer = await call('POST', maps, { body: { metadata: { name: 'taken' } } });
      expect(answer.body).to.deep.include({ code: 409, reason: 'AlreadyExists', message: 'configmaps "taken" already exists', details: { name: 'taken', kind: 'configmaps' } });
    });
    it('POST with dryRun=All answers but stores nothing', async () => {
      expect((await call('POST', `${maps}?dryRun=All`, { body: { metadata: { name: 'dry' } } })).status).to.equal(201);
      expect((await call('GET', `${maps}/dry`)).status).to.equal(404);
    });
    for (const [what, body, code, text] of [
      ['garbage', '{"a"', 400, 'the object provided is unrecognized'],
      ['a list', '[]', 400, 'unrecognized'],
      ['another kind', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } }, 400, 'cannot be handled as a ConfigMap'],
      ['another version', { apiVersion: 'v2', kind: 'ConfigMap', metadata: { name: 'x' } }, 400, 'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2" in scheme "pkg/api/legacyscheme/scheme.go:30"'],
      ['another namespace', { metadata: { name: 'x', namespace: 'other' } }, 400, 'the namespace of the provided object does not match the namespace sent on the request'],
      ['no name', { metadata: {} }, 422, 'name or generateName is required'],
      ['a bad name', { metadata: { name: 'No_Good' } }, 422, 'ConfigMap "No_Good" is invalid: metadata.name: Invalid value: "No_Good": a lowercase RFC 1123 subdomain'],
      ['a bad label', { metadata: { name: 'x', labels: { a: 'b c' } } }, 422, 'metadata.labels: Invalid value: "b c"'],
      ['a resourceVersion', { metadata: { name: 'x', resourceVersion: '7' } }, 500, 'resourceVersion should not be set on objects to be created'],
      ['labels that are a list', { metadata: { name: 'x', labels: ['a'] } }, 400, 'cannot be handled as a ConfigMap'],
      ['a number as name', { metadata: { name: 5 } }, 400, 'cannot be handled as a ConfigMap'],
      ['an unqualified finalizer', { metadata: { name: 'x', finalizers: ['mine'] } }, 422, 'name is neither a standard finalizer name nor is it fully qualified'],
    ] as const) {
      it(`POST with ${what} is ${code}`, async () => {
        const answer = await call('POST', maps, { body });
        expect(answer.status, answer.text).to.equal(code);
        expect(answer.body['message']).to.contain(text);
        expect(answer.body['kind']).to.equal('Status');
      });
    }
    it('POST of an unknown field warns, and is 400 with fieldValidation=Strict', async () => {
      const body = { metadata: { name: 'fields' }, date: {} };
      const warned = await call('POST', `${maps}?fieldValidation=Warn`, { body });
      expect(warned.status).to.equal(201);
      expect(warned.headers['warning']).to.equal('299 - "unknown field \\"date\\""');
      expect((await call('POST', `${maps}?fieldValidation=Strict`, { body })).status).to.equal(400);
    });
    it('POST of a body beyond 3 MB is 413, of an unknown media type 415, to a missing namespace 404', async () => {
      expect((await call('POST', maps, { body: Buffer.alloc(3 * 1024 * 1024 + 1, ' ') })).status).to.equal(413);
      const unknown = await call('POST', maps, { body: '{}', headers: { 'Content-Type': 'text/plain' } });
      expect(unknown.body).to.deep.include({ code: 415, reason: 'UnsupportedMediaType' });
      const missing = await call('POST', '/api/v1/namespaces/missing/configmaps', { body: { metadata: { name: 'x' } } });
      expect(missing.body).to.deep.include({ code: 404, message: 'namespaces "missing" not found' });
    });
    it('POST takes YAML', async () => {
      const answer = await call('POST', maps, { body: 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  a: "1"\n', headers: { 'Content-Type': 'application/yaml' } });
      expect(answer.status, answer.text).to.equal(201);
      expect(answer.body['data']).to.deep.equal({ a: '1' });
    });

    it('PUT replaces; a stale resourceVersion is 409, a foreign uid 409, another name 400', async () => {
      const created = await create('put', { data: { a: '1' } });
      const updated = await call('PUT', `${maps}/put`, { body: { ...created, data: { a: '2' } } });
      expect(updated.status).to.equal(200);
      const stale = await call('PUT', `${maps}/put`, { body: { ...created, data: { a: '3' } } });
      expect(stale.body).to.deep.include({ code: 409, reason: 'Conflict', message: 'Operation cannot be fulfilled on configmaps "put": the object has been modified; please apply your changes to the latest version and try again' });
      const foreign = await call('PUT', `${maps}/put`, { body: { metadata: { name: 'put', uid: 'x' } } });
      expect(foreign.body['message']).to.contain('Precondition failed: UID in precondition: x, UID in object meta:');
      expect((await call('PUT', `${maps}/put`, { body: { metadata: { name: 'other' } } })).body['message']).to.equal('the name of the object (other) does not match the name on the URL (put)');
    });
    it('PUT that changes nothing keeps the resourceVersion', async () => {
      const created = await create('same', { data: { a: '1', b: '2' } });
      const again = await call('PUT', `${maps}/same`, { body: { data: { b: '2', a: '1' }, metadata: meta(created) } });
      expect(meta(again.body).resourceVersion).to.equal(meta(created).resourceVersion);
    });
    it('PUT of what is not there is 404', async () => {
      expect((await call('PUT', `${maps}/absent`, { body: { metadata: { name: 'absent' } } })).status).to.equal(404);
    });

    it('PATCH merges, applies JSON patches and strategic patches', async () => {
      await create('patch', { data: { a: '1', b: '2' } });
      const merged = await call('PATCH', `${maps}/patch`, { headers: merge, body: { data: { a: null, c: '3' } } });
      expect(merged.body['data']).to.deep.equal({ b: '2', c: '3' });
      const json = await call('PATCH', `${maps}/patch`, { headers: { 'Content-Type': 'application/json-patch+json' }, body: [{ op: 'replace', path: '/data/b', value: '9' }] });
      expect(json.body['data']).to.deep.equal({ b: '9', c: '3' });
      const strategic = await call('PATCH', `${maps}/patch`, { headers: { 'Content-Type': 'application/strategic-merge-patch+json' }, body: { metadata: { labels: { x: 'y' } } } });
      expect(meta(strategic.body).labels).to.deep.equal({ x: 'y' });
    });
    it('PATCH of an unknown type is 415 and names the types', async () => {
      for (const type of ['application/json', 'application/apply-patch+cbor']) {
        const answer = await call('PATCH', `${maps}/patch`, { headers: { 'Content-Type': type }, body: {} });
        expect(answer.status).to.equal(415);
        expect(answer.body['message']).to.contain('application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml');
      }
    });
    it('PATCH that makes the object invalid is 422, garbage 400, a missing object 404', async () => {
      expect((await call('PATCH', `${maps}/patch`, { headers: merge, body: { metadata: { labels: { a: '-' } } } })).status).to.equal(422);
      expect((await call('PATCH', `${maps}/patch`, { headers: merge, body: 'nope' })).status).to.equal(400);
      expect((await call('PATCH', `${maps}/absent`, { headers: merge, body: {} })).status).to.equal(404);
      expect((await call('PATCH', `${maps}/patch`, { headers: merge, body: { data: { a: 5 } } })).status).to.equal(422);
    });
    it('PATCH by many at once loses nothing', async () => {
      await create('race');
      const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => call('PATCH', `${maps}/race`, { headers: merge, body: { data: { [`k${index}`]: 'v' } } })));
      expect(answers.map(({ status }) => status)).to.deep.equal(Array(20).fill(200));
      expect(Object.keys((await call('GET', `${maps}/race`)).body['data'] as object)).to.have.length(20);
    });

    it('DELETE answers with a Status, then the object is gone', async () => {
      const created = await create('gone');
      const answer = await call('DELETE', `${maps}/gone`);
      expect(answer.body).to.deep.equal({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details: { name: 'gone', kind: 'configmaps', uid: meta(created).uid } });
      expect((await call('GET', `${maps}/gone`)).status).to.equal(404);
      expect((await call('DELETE', `${maps}/gone`)).status).to.equal(404);
    });
    it('DELETE holds to preconditions', async () => {
      await create('guarded');
      const answer = await call('DELETE', `${maps}/guarded`, { body: { preconditions: { uid: 'other' } } });
      expect(answer.status).to.equal(409);
      expect(answer.body['message']).to.contain('the UID in the precondition (other) does not match the UID in record');
    });
    it('DELETE waits for finalizers and ends with the update that takes away the last', async () => {
      await create('final', { metadata: { name: 'final', finalizers: ['example.com/hold'] } });
      const deleted = await call('DELETE', `${maps}/final`);
      expect(deleted.body['kind']).to.equal('ConfigMap');
      expect(meta(deleted.body)).to.include.keys('deletionTimestamp', 'deletionGracePeriodSeconds');
      const added = await call('PATCH', `${maps}/final`, { headers: merge, body: { metadata: { finalizers: ['example.com/hold', 'example.com/more'] } } });
      expect(added.body['message']).to.contain('no new finalizers can be added if the object is being deleted');
      const taken = await call('POST', maps, { body: { metadata: { name: 'final' } } });
      expect(taken.body['message']).to.equal('object is being deleted: configmaps "final" already exists');
      const again = await call('DELETE', `${maps}/final?gracePeriodSeconds=0`);
      expect(meta(again.body), 'asked once more, nothing is written').to.deep.equal(meta(deleted.body));
      expect((await call('PATCH', `${maps}/final`, { headers: merge, body: { metadata: { finalizers: null } } })).status).to.equal(200);
      expect((await call('GET', `${maps}/final`)).status).to.equal(404);
    });
    it('DELETE with propagationPolicy leaves the finalizer for the garbage collector', async () => {
      await create('orphaning');
      const answer = await call('DELETE', `${maps}/orphaning?propagationPolicy=Orphan`);
      expect(meta(answer.body)['finalizers']).to.deep.equal(['orphan']);
      expect((await call('DELETE', `${maps}/orphaning`, { body: { propagationPolicy: 'Sideways' } })).body['message']).to.contain('propagationPolicy: Unsupported value: "Sideways"');
    });
    it('DELETE of a collection takes what the selector matches', async () => {
      await create('c1', {}, { sweep: 'yes' });
      await create('c2', {}, { sweep: 'no' });
      const answer = await call('DELETE', `${maps}?labelSelector=sweep%3Dyes`);
      expect(items(answer.body).map(({ metadata }) => metadata.name)).to.deep.equal(['c1']);
      expect((await call('GET', `${maps}/c1`)).status).to.equal(404);
      expect((await call('GET', `${maps}/c2`)).status).to.equal(200);
    });
  });

  describe('pods', () => {
    const pods = '/api/v1/namespaces/default/pods';
    const pod = (name: string) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { containers: [{ name: 'c', image: 'i' }], automountServiceAccountToken: false } });
    before(async () => {
      const account = await call('POST', '/api/v1/namespaces/default/serviceaccounts', { body: { metadata: { name: 'default' } } });
      expect(account.status, account.text).to.equal(201);
    });
    it('with errors in metadata and spec are told of metadata first; managedFields that nobody can read are no error', async () => {
      const wrong = await call('POST', pods, { body: { metadata: { name: 'No_Good', managedFields: [{ operation: 'Sideways' }] }, spec: { containers: [] } } });
      const fields = (wrong.body['details'] as { causes: { field: string }[] }).causes.map(({ field }) => field);
      expect(fields).to.deep.equal(['metadata.name', 'spec.containers']);
    });
    it('take new resources through resize, and nothing else', async () => {
      const small = pod('resized');
      await call('POST', pods, { body: { ...small, spec: { ...small.spec, containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '500m' } } }] } } });
      const asked = { spec: { nodeName: 'x', containers: [{ name: 'c', image: 'other', resources: { requests: { cpu: '1' } } }] } };
      const answer = await call('PATCH', `${pods}/resized/resize`, { headers: { 'Content-Type': 'application/strategic-merge-patch+json' }, body: asked });
      expect(answer.status, answer.text).to.equal(200);
      const { containers, nodeName } = answer.body['spec'] as { containers: Record<string, unknown>[]; nodeName?: string };
      expect([containers[0]?.['image'], containers[0]?.['resources'], nodeName, meta(answer.body)['generation']]).to.deep.equal(['i', { requests: { cpu: '1' } }, undefined, 2]);
    });
    it('are bound through the binding subresource, once', async () => {
      const created = await call('POST', pods, { body: pod('bound') });
      expect(created.status, created.text).to.equal(201);
      const bind = () => call('POST', `${pods}/bound/binding`, { body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'bound' }, target: { kind: 'Node', name: 'n1' } } });
      const bound = await bind();
      expect(bound.status, bound.text).to.equal(201);
      expect(bound.body).to.deep.include({ kind: 'Status', status: 'Success' });
      const got = await call('GET', `${pods}/bound`);
      expect(got.body['spec']).to.include({ nodeName: 'n1' });
      expect((await bind()).body).to.deep.include({ code: 409, message: 'Operation cannot be fulfilled on pods/binding "bound": pod bound is already assigned to node "n1"' });
      expect((await call('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Dn1')).body['items']).to.have.length(1);
    });
    it('are deleted gracefully once bound', async () => {
      await call('POST', `${pods}/bound/status`, {});
      const first = await call('DELETE', `${pods}/bound`, { body: { gracePeriodSeconds: 30 } });
      expect(first.status).to.equal(200);
      expect(meta(first.body)['deletionGracePeriodSeconds']).to.equal(30);
      const shorter = await call('DELETE', `${pods}/bound?gracePeriodSeconds=5`);
      expect(meta(shorter.body)['deletionGracePeriodSeconds']).to.equal(5);
      const reported = await call('PATCH', `${pods}/bound/status`, { headers: { 'Content-Type': 'application/strategic-merge-patch+json' }, body: { status: { phase: 'Running' } } });
      expect(meta(reported.body), 'after a status write').to.include({ deletionTimestamp: meta(shorter.body)['deletionTimestamp'], deletionGracePeriodSeconds: 5 });
      await call('DELETE', `${pods}/bound?gracePeriodSeconds=0`);
      expect((await call('GET', `${pods}/bound`)).status).to.equal(404);
    });
    it('are evicted unless a budget forbids it', async () => {
      const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
      await call('POST', pods, { body: { ...pod('evict'), metadata: { name: 'evict', labels: { app: 'e' } } } });
      await call('PATCH', `${pods}/evict/status`, { headers: merge, body: { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } } });
      const budget = await call('POST', budgets, { body: { metadata: { name: 'pdb' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'e' } } } } });
      expect(budget.status, budget.text).to.equal(201);
      const evict = () => call('POST', `${pods}/evict/eviction`, { body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'evict' } } });
      const refused = await evict();
      expect(refused.body).to.deep.include({ code: 429, reason: 'TooManyRequests', message: "Cannot evict pod as it would violate the pod's disruption budget." });
      await call('PATCH', `${budgets}/pdb/status`, { headers: merge, body: { status: { observedGeneration: 1, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1 } } });
      const evicted = await evict();
      expect(evicted.status, evicted.text).to.equal(201);
      expect((await call('GET', `${pods}/evict`)).status).to.equal(404);
      const spent = await call('GET', `${budgets}/pdb`);
      expect(spent.body['status']).to.deep.include({ disruptionsAllowed: 0, currentHealthy: 2 });
      expect(Object.keys((spent.body['status'] as { disruptedPods: object }).disruptedPods)).to.deep.equal(['evict']);
      expect((spent.body['status'] as { conditions: object[] }).conditions[0]).to.include({ type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods' });
    });
    describe('whose budget allows no disruption', () => {
      const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
      const evict = (name: string, more: object = {}, query = '') =>
        call('POST', `${pods}/${name}/eviction${query}`, { body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name }, ...more } });
      const causeOf = (answer: { body: Record<string, unknown> }): string =>
        (answer.body['details'] as { causes?: { reason: string; message: string }[] } | undefined)?.causes?.map(({ reason, message }) => `${reason}: ${message}`).join() ?? '';
      const running = async (name: string, ready: boolean, phase = 'Running') => {
        await call('POST', pods, { body: { ...pod(name), metadata: { name, labels: { app: 'guarded' } } } });
        await call('PATCH', `${pods}/${name}/status`, { headers: merge, body: { status: { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] } } });
      };
      const status = (body: object) => call('PATCH', `${budgets}/guard/status`, { headers: merge, body: { status: body } });
      const conditions = (reason: string, message: string): object[] => [{ type: 'DisruptionAllowed', status: 'False', reason, message, lastTransitionTime: '2026-01-01T00:00:00Z' }];
      before(() => call('POST', budgets, { body: { metadata: { name: 'guard' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'guarded' } } } } }));
      after(() => call('DELETE', `${budgets}/guard`));

      it('says why', async () => {
        await running('kept', true);
        const unseen = await evict('kept');
        expect(causeOf(unseen)).to.equal('DisruptionBudget: The disruption budget guard is still being processed by the server.');
        expect(unseen.body['details']).to.include({ retryAfterSeconds: 10 });
        await status({ observedGeneration: 1, disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1 });
        expect(causeOf(await evict('kept'))).to.equal('DisruptionBudget: The disruption budget guard needs 1 healthy pods and has 1 currently');
        await status({ conditions: conditions('SyncFailed', 'found no controllers') });
        expect(causeOf(await evict('kept'))).to.equal('DisruptionBudget: The disruption budget guard does not allow evicting pods currently because it failed sync: found no controllers');
        await status({ currentHealthy: 3, conditions: conditions('Other', 'because') });
        expect(causeOf(await evict('kept'))).to.equal('DisruptionBudget: The disruption budget guard does not allow evicting pods currently (Other): because');
      });
      it('still lets pods go that are pending, ended, or not ready while enough are healthy', async () => {
        await status({ currentHealthy: 1, desiredHealthy: 2, conditions: null });
        await running('pending', false, 'Pending');
        await running('ended', false, 'Failed');
        await running('unready', false);
        expect([(await evict('pending')).status, (await evict('ended')).status, (await evict('unready')).status]).to.deep.equal([201, 201, 429]);
        await status({ currentHealthy: 2 });
        expect((await evict('unready')).status).to.equal(201);
        await status({ currentHealthy: 0 });
        await call('PATCH', `${budgets}/guard`, { headers: merge, body: { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } } });
        await running('unready', false);
        expect((await evict('unready')).status).to.equal(201);
      });
      it('heeds preconditions before anything goes', async () => {
        await running('other', false, 'Failed');
        const refused = await evict('other', { deleteOptions: { preconditions: { uid: 'x' } } });
        expect(refused.body).to.include({ code: 409, reason: 'Conflict' });
        await call('PATCH', `${pods}/other/status`, { headers: merge, body: { status: { phase: 'Running' } } });
        const again = await evict('other', { deleteOptions: { preconditions: { uid: 'x' } } });
        expect(again.body, 'an unready pod that changed: ask again').to.include({ code: 429 });
        expect((await call('GET', `${pods}/other`)).status).to.equal(200);
      });
      it('a dry run spends nothing', async () => {
        await status({ observedGeneration: 9, disruptionsAllowed: 1, currentHealthy: 2 });
        expect((await evict('kept', {}, '?dryRun=All')).status).to.equal(201);
        expect((await evict('kept', { deleteOptions: { dryRun: ['All'] } })).status).to.equal(201);
        expect((await call('GET', `${budgets}/guard`)).body['status']).to.include({ disruptionsAllowed: 1 });
        expect((await call('GET', `${pods}/kept`)).status).to.equal(200);
      });
      it('two budgets for one pod are an error', async () => {
        await call('POST', budgets, { body: { metadata: { name: 'guard-2' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'guarded' } } } } });
        const refused = await evict('kept');
        expect(refused.body).to.include({ code: 500, message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.' });
        await call('DELETE', `${budgets}/guard-2`);
        await call('DELETE', `${pods}/kept?gracePeriodSeconds=0`);
      });
    });
    it('answer logs of a pod without a node with nothing, exec without upgrade with 400', async () => {
      await call('POST', pods, { body: pod('lonely') });
      expect((await call('GET', `${pods}/lonely/log`)).status).to.equal(204);
      expect((await call('GET', `${pods}/lonely/log?container=x`)).body['message']).to.equal('container x is not valid for pod lonely');
      expect((await call('POST', `${pods}/lonely/exec?command=ls`)).body).to.deep.include({ code: 400, message: 'Upgrade request required' });
    });
    it('refuse upgrades with the Status as the body', async () => {
      const raw = (as: 'admin' | 'guest' | 'nobody', path: string) => new Promise<string>((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: server.port, servername: 'localhost', ...server.clientOptions(as) }, () => {
          socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`);
        });
        let text = '';
        socket.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; }).on('end', () => resolve(text)).on('error', reject);
      });
      expect(await raw('nobody', `${pods}/lonely/exec?command=ls`)).to.match(/^HTTP\/1.1 401 [\s\S]*"reason":"Unauthorized"/);
      expect(await raw('guest', `${pods}/lonely/exec?command=ls`)).to.match(/^HTTP\/1.1 403 [\s\S]*cannot get resource \\"pods\/exec\\"/);
      expect(await raw('admin', `${pods}/lonely/exec?command=ls`)).to.match(/^HTTP\/1.1 400 [\s\S]*pod lonely does not have a host assigned/);
      expect(await raw('admin', `${pods}/absent/exec?command=ls`)).to.match(/^HTTP\/1.1 404 /);
      expect(await raw('admin', `${maps}`)).to.match(/^HTTP\/1.1 400 [\s\S]*cannot be upgraded/);
    });
  });

  describe('scale', () => {
    it('reads and writes the replicas of a Deployment', async () => {
      const deployments = '/apis/apps/v1/namespaces/default/deployments';
      const template = { metadata: { labels: { app: 'd' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
      const created = await call('POST', deployments, { body: { metadata: { name: 'd' }, spec: { replicas: 2, selector: { matchLabels: { app: 'd' } }, template } } });
      expect(created.status, created.text).to.equal(201);
      expect(meta(created.body)['generation']).to.equal(1);
      const scale = await call('GET', `${deployments}/d/scale`);
      expect(scale.body).to.deep.include({ kind: 'Scale', spec: { replicas: 2 }, status: { replicas: 0, selector: 'app=d' } });
      const patched = await call('PATCH', `${deployments}/d/scale`, { headers: merge, body: { spec: { replicas: 5 } } });
      expect(patched.body['spec']).to.deep.equal({ replicas: 5 });
      const after = await call('GET', `${deployments}/d`);
      expect((after.body['spec'] as Record<string, unknown>)['replicas']).to.equal(5);
      expect(meta(after.body)['generation']).to.equal(2);
      expect((await call('PUT', `${deployments}/d/scale`, { body: { metadata: { name: 'd' }, spec: { replicas: -1 } } })).status).to.equal(422);
      const table = await call('GET', `${deployments}/d/scale`, { headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } });
      const { columnDefinitions, rows } = table.body as { columnDefinitions: { name: string }[]; rows: { cells: unknown[]; object: { kind: string; metadata: { name: string } } }[] };
      expect(columnDefinitions.map(({ name }) => name)).to.deep.equal(['Name', 'Desired', 'Available', 'Age']);
      expect(rows[0]?.cells.slice(0, 3)).to.deep.equal(['d', 5, 0]);
      expect(rows[0]?.object).to.deep.include({ kind: 'PartialObjectMetadata' });
    });
    it('the status subresource changes status only, the main resource everything but status', async () => {
      const path = '/apis/apps/v1/namespaces/default/deployments/d';
      const status = await call('PATCH', `${path}/status`, { headers: merge, body: { spec: { replicas: 9 }, status: { replicas: 3 } } });
      expect(status.body['status']).to.include({ replicas: 3 });
      expect(status.body['spec']).to.include({ replicas: 5 });
      const main = await call('PATCH', path, { headers: merge, body: { status: { replicas: 7 } } });
      expect(main.body['status']).to.include({ replicas: 3 });
    });
  });

  describe('lists', () => {
    const path = '/api/v1/namespaces/lists/configmaps';
    before(async () => {
      await call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'lists' } } });
      for (let i = 0; i < 10; i += 1) await call('POST', path, { body: { metadata: { name: `m${i}`, labels: { odd: String(i % 2 === 1) } } } });
    });
    it('hold the objects in order, with the kind and version', async () => {
      const { body } = await call('GET', path);
      expect(body).to.deep.include({ kind: 'ConfigMapList', apiVersion: 'v1' });
      expect(items(body).map(({ metadata }) => metadata.name)).to.deep.equal(['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7', 'm8', 'm9']);
    });
    it('select by labels and fields', async () => {
      expect(items((await call('GET', `${path}?labelSelector=odd%3Dtrue`)).body)).to.have.length(5);
      expect(items((await call('GET', `${path}?labelSelector=odd+notin+(true)`)).body)).to.have.length(5);
      expect(items((await call('GET', `${path}?fieldSelector=metadata.name%3Dm3`)).body)).to.have.length(1);
      expect(items((await call('GET', `${path}?fieldSelector=metadata.name!%3Dm3`)).body)).to.have.length(9);
      expect(items((await call('GET', '/api/v1/configmaps?fieldSelector=metadata.namespace%3Dlists')).body)).to.have.length(10);
    });
    for (const [query, code, text] of [
      ['labelSelector=a%20b', 400, 'unable to parse requirement'],
      ['fieldSelector=data.a%3Db', 400, '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'],
      ['fieldSelector=x', 400, "invalid selector: 'x'; can't understand 'x'"],
      ['limit=x', 400, 'strconv.ParseInt: parsing "x": invalid syntax'],
      ['continue=x', 400, 'continue key is not valid'],
      ['resourceVersion=x', 400, 'resourceVersion: Invalid value: "x"'],
      ['resourceVersionMatch=Exact', 422, 'resourceVersionMatch is forbidden unless resourceVersion is provided'],
      ['resourceVersion=1&resourceVersionMatch=Never', 422, 'resourceVersionMatch: Unsupported value: "Never"'],
      ['sendInitialEvents=true', 422, 'sendInitialEvents is forbidden for list'],
    ] as const) {
      it(`refuse ?${query}`, async () => {
        const answer = await call('GET', `${path}?${query}`);
        expect(answer.status, answer.text).to.equal(code);
        expect(answer.body['message']).to.contain(text);
      });
    }
    it('come in pages that stay at one revision', async () => {
      const first = await call('GET', `${path}?limit=4`);
      const listMeta = first.body['metadata'] as Record<string, unknown>;
      expect(listMeta['remainingItemCount']).to.equal(6);
      await call('POST', path, { body: { metadata: { name: 'm55' } } });
      await call('DELETE', `${path}/m9`);
      const second = await call('GET', `${path}?limit=100&continue=${String(listMeta['continue'])}`);
      expect(items(second.body).map(({ metadata }) => metadata.name)).to.deep.equal(['m4', 'm5', 'm6', 'm7', 'm8', 'm9']);
      expect((second.body['metadata'] as Record<string, unknown>)['resourceVersion']).to.equal(listMeta['resourceVersion']);
      expect(second.body['metadata']).not.to.have.property('continue');
      const exact = await call('GET', `${path}?resourceVersion=${String(listMeta['resourceVersion'])}&resourceVersionMatch=Exact`);
      expect(items(exact.body).map(({ metadata }) => metadata.name)).to.include('m9').and.not.include('m55');
    });
    it('that a selector cut short do not cut the pages of others', async () => {
      const pods = '/api/v1/namespaces/lists/pods';
      await call('POST', '/api/v1/namespaces/lists/serviceaccounts', { body: { metadata: { name: 'default' } } });
      for (const [name, nodeName] of [['p0', 'n2'], ['p1', 'n1'], ['p2', 'n1'], ['p3', 'n2']]) {
        const made = await call('POST', pods, { body: { metadata: { name, labels: { node: nodeName } }, spec: { nodeName, containers: [{ name: 'c', image: 'i' }] } } });
        expect(made.status, made.text).to.equal(201);
      }
      const token = String(((await call('GET', `${pods}?limit=1`)).body['metadata'] as Record<string, unknown>)['continue']);
      for (const selector of ['fieldSelector=spec.nodeName%3Dn1', 'labelSelector=node%3Dn1']) {
        const first = await call('GET', `${pods}?limit=1&${selector}`);
        expect(items(first.body).map(({ metadata }) => metadata.name)).to.deep.equal(['p1']);
        const second = await call('GET', `${pods}?limit=9&${selector}&continue=${String((first.body['metadata'] as Record<string, unknown>)['continue'])}`);
        expect(items(second.body).map(({ metadata }) => metadata.name)).to.deep.equal(['p2']);
        expect(items((await call('GET', `${pods}?limit=9&continue=${token}`)).body).map(({ metadata }) => metadata.name)).to.deep.equal(['p1', 'p2', 'p3']);
      }
    });
    it('that are large arrive whole, also when the client reads late', async () => {
      const large = '/api/v1/namespaces/large/configmaps';
      await call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'large' } } });
      const text = (i: number): string => `${i}-`.repeat(90_000);
      await Promise.all(Array.from({ length: 12 }, (_, i) => call('POST', large, { body: { metadata: { name: `l${String(i).padStart(2, '0')}` }, data: { text: text(i) } } })));
      const check = (body: Record<string, unknown>): void => {
        expect(items(body).map((item) => (item['data'] as { text: string }).text === text(Number(item.metadata.name.slice(1))))).to.deep.equal(Array(12).fill(true));
      };
      const late = await server.open('GET', large);
      check((await call('GET', large)).body);
      const chunks: Buffer[] = [];
      for await (const chunk of late) chunks.push(chunk as Buffer);
      check(JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>);
    });
    it('with a continue token that leads outside are 400', async () => {
      const token = Buffer.from('{"v":"meta.k8s.io/v1","rv":1,"start":"../../secrets/x"}').toString('base64url');
      expect((await call('GET', `${path}?limit=4&continue=${token}`)).status).to.equal(400);
    });
    it('from the future are 504 ResourceVersionTooLarge', async () => {
      const answer = await call('GET', `${path}?resourceVersion=99999999`);
      expect(answer.body).to.deep.include({ code: 504, reason: 'Timeout' });
      expect((answer.body['details'] as { causes: unknown[] }).causes).to.deep.equal([{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }]);
    });
    it('come as Tables and as metadata only', async () => {
      const table = await call('GET', path, { headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' } });
      expect(table.body).to.deep.include({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
      const rows = table.body['rows'] as { cells: unknown[]; object: Record<string, unknown> }[];
      expect(rows[0]?.cells[0]).to.equal('m0');
      expect(rows[0]?.object['kind']).to.equal('PartialObjectMetadata');
      const none = await call('GET', `${path}?includeObject=None`, { headers: { Accept: 'application/json;as=Table;v=v1beta1;g=meta.k8s.io' } });
      expect((none.body['rows'] as { object: unknown }[])[0]?.object).to.equal(null);
      const partial = await call('GET', path, { headers: { Accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' } });
      expect(partial.body['kind']).to.equal('PartialObjectMetadataList');
      expect(items(partial.body)[0]).not.to.have.property('data');
      expect((await call('GET', path, { headers: { Accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' } })).status).to.equal(406);
      expect((await call('GET', path, { headers: { Accept: 'text/html' } })).body).to.deep.include({ code: 406, reason: 'NotAcceptable' });
      expect((await call('GET', `${path}/m0`, { headers: { Accept: 'application/yaml' } })).text).to.contain('kind: ConfigMap\n');
    });
    it('are compressed when large and asked for', async () => {
      await call('POST', path, { body: { metadata: { name: 'big' }, data: { a: 'x'.repeat(200_000) } } });
      const answer = await server.open('GET', path, { headers: { 'Accept-Encoding': 'gzip' } });
      expect(answer.headers['content-encoding']).to.equal('gzip');
      answer.resume();
    });
  });

  describe('watches', () => {
    const path = '/api/v1/namespaces/watches/configmaps';
    before(async () => {
      await call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'watches' } } });
      await call('POST', path, { body: { metadata: { name: 'old', labels: { on: 'yes' } } } });
    });
    it('begin with what exists, then follow changes', async () => {
      const watch = watchLines(await server.open('GET', `${path}?watch=true`));
      expect(await watch.next()).to.deep.include({ type: 'ADDED' });
      await call('POST', path, { body: { metadata: { name: 'new' } } });
      const added = await watch.next();
      expect([added.type, added.object.metadata['name']]).to.deep.equal(['ADDED', 'new']);
      const patched = await call('PATCH', `${path}/new`, { headers: merge, body: { data: { a: 'b' } } });
      expect((await watch.next()).object).to.deep.equal(patched.body);
      await call('DELETE', `${path}/new`);
      const deleted = await watch.next();
      expect(deleted.type).to.equal('DELETED');
      expect(Number(deleted.object.metadata['resourceVersion'])).to.be.greaterThan(Number(meta(patched.body).resourceVersion));
      watch.close();
    });
    it('send a bookmark after the initial events of a streaming list', async () => {
      const watch = watchLines(await server.open('GET', `${path}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`));
      expect((await watch.next()).type).to.equal('ADDED');
      const bookmark = await watch.next();
      expect(bookmark.type).to.equal('BOOKMARK');
      expect(bookmark.object).to.deep.include({ kind: 'ConfigMap', apiVersion: 'v1' });
      expect(bookmark.object.metadata['annotations']).to.deep.equal({ 'k8s.io/initial-events-end': 'true' });
      watch.close();
    });
    it('turn entering and leaving a selector into ADDED and DELETED', async () => {
      const list = await call('GET', path);
      const watch = watchLines(await server.open('GET', `${path}?watch=true&labelSelector=on%3Dyes&resourceVersion=${meta(list.body).resourceVersion}`));
      await call('POST', path, { body: { metadata: { name: 'crossing' } } });
      await call('PATCH', `${path}/crossing`, { headers: merge, body: { metadata: { labels: { on: 'yes' } } } });
      const entered = await watch.next();
      expect([entered.type, entered.object.metadata['name']]).to.deep.equal(['ADDED', 'crossing']);
      const left = await call('PATCH', `${path}/crossing`, { headers: merge, body: { metadata: { labels: { on: 'no' } } } });
      const deleted = await watch.next();
      expect(deleted.type).to.equal('DELETED');
      expect(deleted.object.metadata['labels']).to.deep.equal({ on: 'yes' });
      expect(deleted.object.metadata['resourceVersion']).to.equal(meta(left.body).resourceVersion);
      watch.close();
    });
    it('resume from a resourceVersion and end after timeoutSeconds', async () => {
      const list = await call('GET', path);
      await call('POST', path, { body: { metadata: { name: 'later' } } });
      const watch = watchLines(await server.open('GET', `${path}?watch=1&timeoutSeconds=1&resourceVersion=${meta(list.body).resourceVersion}`));
      expect((await watch.next()).object.metadata['name']).to.equal('later');
      await watch.ended();
    });
    it('of Tables repeat the columns in the first event only', async () => {
      const watch = watchLines(await server.open('GET', `${path}?watch=true`, { headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }));
      const first = await watch.next();
      expect(first.object['kind']).to.equal('Table');
      expect(first.object['columnDefinitions']).to.be.an('array');
      expect((await watch.next()).object['columnDefinitions']).to.equal(null);
      watch.close();
    });
    it('are refused with bad options', async () => {
      expect((await call('GET', `${path}?watch=true&sendInitialEvents=true`)).status).to.equal(422);
      expect((await call('GET', `${path}?watch=true`, { headers: { Accept: 'application/yaml' } })).status).to.equal(406);
    });
    it('of one object by the old path', async () => {
      const watch = watchLines(await server.open('GET', '/api/v1/watch/namespaces/watches/configmaps/old'));
      expect((await watch.next()).object.metadata['name']).to.equal('old');
      watch.close();
    });
  });

  describe('namespaces', () => {
    it('go to Terminating, refuse new content, and end with finalize', async () => {
      const path = '/api/v1/namespaces/ending';
      const created = await call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'ending' } } });
      expect(created.body['spec']).to.deep.equal({ finalizers: ['kubernetes'] });
      const deleted = await call('DELETE', path);
      expect(deleted.status).to.equal(200);
      expect(deleted.body['status']).to.deep.include({ phase: 'Terminating' });
      const refused = await call('POST', `${path}/configmaps`, { body: { metadata: { name: 'x' } } });
      expect(refused.status).to.equal(403);
      expect(refused.body['message']).to.contain('unable to create new content in namespace ending because it is being terminated');
      const finalized = await call('PUT', `${path}/finalize`, { body: { ...deleted.body, spec: { finalizers: [] } } });
      expect(finalized.status, finalized.text).to.equal(200);
      expect((await call('GET', path)).status).to.equal(404);
    });
    it('that everything needs cannot be deleted', async () => {
      expect((await call('DELETE', '/api/v1/namespaces/default')).body).to.deep.include({ code: 403, message: 'namespaces "default" is forbidden: this namespace may not be deleted' });
    });
  });

  describe('the outside', () => {
    it('knows anonymous callers only on the health paths and /version', async () => {
      for (const path of ['/livez', '/readyz', '/healthz', '/version']) expect((await call('GET', path, { as: 'nobody' })).status, path).to.equal(200);
      for (const path of ['/api', '/apis', '/metrics', maps, '/readyz/etcd', '/openapi/v2']) {
        const answer = await call('GET', path, { as: 'nobody' });
        expect(answer.body, path).to.deep.include({ code: 401, reason: 'Unauthorized', message: 'Unauthorized' });
      }
    });
    it('is refused what it may not do, in upstream\'s words', async () => {
      expect((await call('GET', '/api/v1/nodes', { as: 'guest' })).body['message']).to.equal('nodes is forbidden: User "guest" cannot list resource "nodes" in API group "" at the cluster scope');
      expect((await call('GET', `${maps}/x`, { as: 'guest' })).body['message']).to.equal('configmaps "x" is forbidden: User "guest" cannot get resource "configmaps" in API group "" in the namespace "default"');
      expect((await call('GET', '/metrics', { as: 'guest' })).body['message']).to.equal('forbidden: User "guest" cannot get path "/metrics"');
      expect((await call('GET', '/api', { as: 'guest' })).status).to.equal(200);
    });
    it('gets no Table of what is stored nowhere', async () => {
      const answer = await call('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { body: { spec: { nonResourceAttributes: { path: '/', verb: 'get' } } }, headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } });
      expect(answer.body).to.deep.include({ kind: 'Status', code: 406, reason: 'NotAcceptable' });
    });
    it('may impersonate when it may', async () => {
      const headers = { 'Impersonate-User': 'guest' };
      expect((await call('GET', maps, { headers })).status).to.equal(403);
      expect((await call('GET', maps, { headers, as: 'guest' })).body['message']).to.contain('cannot impersonate resource "users"');
    });
    for (const [method, path, code, text] of [
      ['GET', '/api/v1/nope', 404, 'the server could not find the requested resource'],
      ['GET', '/api/v1/pods/x', 404, 'the server could not find the requested resource'],
      ['GET', '/api/v1/namespaces/default/nodes', 404, 'the server could not find the requested resource'],
      ['POST', '/api/v1/pods', 405, 'the server does not allow this method on the requested resource'],
      ['PUT', maps, 405, 'the server does not allow this method on the requested resource'],
      ['OPTIONS', maps, 405, 'the server does not allow this method on the requested resource'],
      ['GET', `${maps}/x/nope`, 404, 'the server could not find the requested resource'],
      ['GET', '/api/v1/namespaces/default/configmaps/%zz', 400, 'the path is not properly escaped'],
    ] as const) {
      it(`${method} ${path} is ${code}`, async () => {
        const answer = await call(method, path);
        expect(answer.status, answer.text).to.equal(code);
        expect(answer.body['message']).to.equal(text);
      });
    }
    it('gets a plain 404 beyond the API', async () => {
      for (const path of ['/api/v7/pods', '/apis/nope/v1', '/apis/nope/v1/things', '/nope']) {
        const answer = await call('GET', path);
        expect([answer.status, answer.text], path).to.deep.equal([404, '404 page not found\n']);
      }
    });
  });

  describe('discovery', () => {
    it('lists groups and resources the old way', async () => {
      expect((await call('GET', '/api')).body).to.deep.include({ kind: 'APIVersions', versions: ['v1'] });
      const groups = (await call('GET', '/apis')).body['groups'] as { name: string; preferredVersion: unknown }[];
      expect(groups.find(({ name }) => name === 'apps')?.preferredVersion).to.deep.equal({ groupVersion: 'apps/v1', version: 'v1' });
      const core = (await call('GET', '/api/v1')).body['resources'] as { name: string; group?: string; version?: string; kind: string; shortNames?: string[] }[];
      expect(core.find(({ name }) => name === 'pods')?.shortNames).to.deep.equal(['po']);
      expect(core.find(({ name }) => name === 'pods/eviction')).to.include({ group: 'policy', version: 'v1', kind: 'Eviction' });
      expect((await call('GET', '/apis/apps')).body).to.deep.include({ kind: 'APIGroup', name: 'apps' });
    });
    it('aggregates on request, with the exact content type and an ETag', async () => {
      const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json';
      const answer = await call('GET', '/apis', { headers: { Accept: accept } });
      expect(answer.headers['content-type']).to.equal('application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList');
      expect(answer.headers['vary']).to.equal('Accept');
      expect(answer.body).to.deep.include({ kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2' });
      const again = await call('GET', '/apis', { headers: { Accept: accept, 'If-None-Match': answer.headers['etag'] ?? '' } });
      expect(again.status).to.equal(304);
    });
    it('serves the deprecated list of components', async () => {
      expect(items((await call('GET', '/api/v1/componentstatuses')).body)[0]?.['conditions']).to.deep.equal([{ type: 'Healthy', status: 'True', message: 'ok' }]);
      expect((await call('GET', '/api/v1/componentstatuses/none')).status).to.equal(404);
    });
    it('tells the version and serves OpenAPI, metrics and health', async () => {
      expect((await call('GET', '/version')).body).to.deep.include({ major: '1', minor: '36' });
      expect((await call('GET', '/openapi/v3')).body['paths']).to.include.keys('api/v1', 'apis/apps/v1');
      expect((await call('GET', '/metrics')).text).to.contain('code="201"').and.contain('process_cpu_user_seconds_total');
      expect((await call('GET', '/readyz?verbose')).text).to.contain('[+]etcd ok\n').and.contain('[+]poststarthook/rbac/bootstrap-roles ok\n').and.match(/readyz check passed\n$/);
      expect((await call('GET', '/livez/ping')).text).to.equal('ok');
      expect((await call('GET', '/livez/nope')).status).to.equal(404);
    });
  });
});
