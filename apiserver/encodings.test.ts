// Encodings, warnings and limits of a real server, from a client's seat; what the answer's body is by format.
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { parse } from 'yaml';
import { loadProtobuf } from '#machinery/schema/protobuf.ts';
import { startTestServer } from './testing.ts';
import type { Call, TestServer } from './testing.ts';

const protobuf = 'application/vnd.kubernetes.protobuf';
const maps = '/api/v1/namespaces/default/configmaps';

describe('encodings', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await call('POST', maps, { body: { metadata: { name: 'one' }, data: { yes: 'no', number: '0644', day: '2026-01-02' } } });
  });
  after(() => server.stop());
  const call = (method: string, path: string, more?: Call) => server.call(method, path, more);
  const bytes = async (path: string, headers: Record<string, string>): Promise<{ headers: Record<string, unknown>; status: number; body: Buffer }> => {
    const answer = await server.open('GET', path, { headers });
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    return { headers: answer.headers, status: answer.statusCode ?? 0, body: Buffer.concat(chunks) };
  };

  it('YAML keeps text that YAML 1.1 readers would take for something else', async () => {
    const { headers, text } = await call('GET', `${maps}/one`, { headers: { Accept: 'application/yaml' } });
    expect(headers['content-type']).to.equal('application/yaml');
    expect((parse(text, { version: '1.1' }) as { data: unknown }).data).to.deep.equal({ yes: 'no', number: '0644', day: '2026-01-02' });
    expect(text).to.match(/^apiVersion: v1\ndata:\n/);
  });
  it('pretty answers end without a newline, plain ones with one', async () => {
    expect((await call('GET', `${maps}/one?pretty=true`)).text).to.match(/^\{\n {2}"kind": "ConfigMap",[\s\S]*\}$/);
    expect((await call('GET', `${maps}/one`, { headers: { 'User-Agent': 'curl/8.0' } })).text).to.match(/^\{\n/);
    expect((await call('GET', `${maps}/one?pretty=false`, { headers: { 'User-Agent': 'curl/8.0' } })).text).to.match(/^\{"kind":"ConfigMap",.*\}\n$/);
  });
  it('errors come in the form that was asked for', async () => {
    const missing = `${maps}/missing`;
    expect((parse((await call('GET', missing, { headers: { Accept: 'application/yaml' } })).text) as { reason: unknown }).reason).to.equal('NotFound');
    expect((await call('GET', missing, { headers: { 'User-Agent': 'curl/8.0' } })).text).to.match(/^\{\n {2}"kind": "Status"/);
    const encoded = await bytes(missing, { Accept: protobuf });
    expect([encoded.status, encoded.headers['content-type'], (await loadProtobuf()).decode(encoded.body)['reason']]).to.deep.equal([404, protobuf, 'NotFound']);
    const unacceptable = await call('GET', missing, { headers: { Accept: 'application/cbor' } });
    expect([unacceptable.status, unacceptable.headers['content-type'], unacceptable.body['reason']]).to.deep.equal([406, 'application/json', 'NotAcceptable']);
  });
  it('answers are compressed above 128 kB for who takes it', async () => {
    await call('POST', maps, { body: { metadata: { name: 'large' }, data: { a: 'x'.repeat(140_000) } } });
    const packed = await bytes(`${maps}/large`, { 'Accept-Encoding': 'br, gzip' });
    expect(packed.headers).to.include({ 'content-encoding': 'gzip', 'vary': 'Accept-Encoding' });
    expect((JSON.parse(gunzipSync(packed.body).toString()) as { metadata: { name: string } }).metadata.name).to.equal('large');
    for (const accept of ['br', 'identity', 'gzip;q=0']) expect((await bytes(`${maps}/large`, { 'Accept-Encoding': accept })).headers, accept).to.not.have.property('content-encoding');
    expect((await bytes(`${maps}/one`, { 'Accept-Encoding': 'gzip' })).headers).to.not.have.property('content-encoding');
  });

  describe('discovery', () => {
    const documents: [string, string][] = [['/api', 'APIVersions'], ['/apis', 'APIGroupList'], ['/apis/apps', 'APIGroup'], ['/api/v1', 'APIResourceList'], ['/apis/apps/v1', 'APIResourceList']];
    for (const [path, kind] of documents) {
      it(`${path} comes as JSON, YAML and protobuf`, async () => {
        const json = (await call('GET', path)).body;
        expect(json['kind']).to.equal(kind);
        expect(parse((await call('GET', path, { headers: { Accept: 'application/yaml' } })).text)).to.deep.equal(json);
        const encoded = await bytes(path, { Accept: `${protobuf},application/json` });
        expect(encoded.headers['content-type']).to.equal(protobuf);
        const decoded = (await loadProtobuf()).decode(encoded.body);
        expect(decoded['kind']).to.equal(kind);
        for (const field of ['versions', 'groups', 'resources', 'name', 'groupVersion']) expect(JSON.stringify(decoded[field])?.length ?? 0, field).to.be.at.least(field in json ? 4 : 0);
        expect((await call('GET', path, { headers: { Accept: 'text/html' } })).status).to.equal(406);
      });
    }
    const aggregated = ';g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    it('the aggregated form has the same ETag in each encoding, and wins over the plain one', async () => {
      const json = await call('GET', '/apis', { headers: { Accept: `application/json,application/json${aggregated}` } });
      expect(json.headers['content-type']).to.equal(`application/json${aggregated}`);
      const encoded = await bytes('/apis', { Accept: `${protobuf}${aggregated}` });
      expect(encoded.headers).to.include({ 'content-type': `${protobuf}${aggregated}`, 'etag': json.headers['etag'], 'vary': 'Accept', 'cache-control': 'public' });
      const decoded = (await loadProtobuf()).decode(encoded.body) as { items?: { metadata?: { name?: string } }[] };
      expect(decoded.items?.map(({ metadata }) => metadata?.name)).to.include.members(['apps', 'batch']);
      const apps = (json.body['items'] as { metadata: { name: string }; versions: { resources: { resource: string; responseKind: unknown; subresources?: { subresource: string; responseKind: unknown }[] }[] }[] }[]).find(({ metadata }) => metadata.name === 'apps');
      const deployments = apps?.versions[0]?.resources.find(({ resource }) => resource === 'deployments');
      expect(deployments?.responseKind).to.deep.equal({ group: '', version: '', kind: 'Deployment' });
      expect(deployments?.subresources?.[0]?.responseKind).to.deep.equal({ group: 'autoscaling', version: 'v1', kind: 'Scale' });
    });
    it('a version that was removed gives the plain form, or nothing', async () => {
      const beta = `application/json${aggregated.replace('v=v2', 'v=v2beta1')}`;
      expect((await call('GET', '/apis', { headers: { Accept: `${beta},application/json` } })).body['kind']).to.equal('APIGroupList');
      expect((await call('GET', '/apis', { headers: { Accept: beta } })).status).to.equal(406);
    });
  });

  it('an object beyond 1.5 MB is refused as etcd does it, a body beyond 3 MB before it is read', async () => {
    const large = (length: number) => ({ metadata: { name: 'huge' }, revision: 1, data: { a: 'x'.repeat(length) } });
    const path = '/apis/apps/v1/namespaces/default/controllerrevisions';
    const object = await call('POST', path, { body: large(1_600_000) });
    expect([object.status, object.body['message']]).to.deep.equal([500, 'etcdserver: request is too large']);
    const body = await call('POST', path, { body: large(3_200_000) });
    expect([body.status, body.body['reason'], body.body['message']]).to.deep.equal([413, 'RequestEntityTooLarge', 'Request entity is too large: limit is 3145728']);
  });

  describe('warnings', () => {
    const warningsOf = async (method: string, path: string, body?: unknown): Promise<unknown> => (await call(method, path, body === undefined ? {} : { body })).headers['warning'];
    it('tell of deprecated kinds on every request', async () => {
      expect(await warningsOf('GET', '/api/v1/namespaces/default/endpoints')).to.equal('299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"');
      expect(await warningsOf('GET', '/api/v1/componentstatuses')).to.equal('299 - "v1 ComponentStatus is deprecated in v1.19+"');
      expect(await warningsOf('GET', maps)).to.equal(undefined);
    });
    it('tell of deprecated fields and of unknown ones, on a dry run too', async () => {
      const body = { metadata: { name: 's' }, nothing: 1, spec: { ports: [{ port: 80 }], externalIPs: ['1.2.3.4'] } };
      expect(await warningsOf('POST', '/api/v1/namespaces/default/services?dryRun=All', body)).to.equal('299 - "unknown field \\"nothing\\"", 299 - "spec.externalIPs is deprecated and may no longer be implemented in some clusters"');
    });
  });
});
