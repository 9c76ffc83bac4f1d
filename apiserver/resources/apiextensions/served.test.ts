// Definitions as clients write them: through a real server.
import { expect } from 'chai';
import { startTestServer } from '../../testing.ts';
import type { Answer, TestServer } from '../../testing.ts';

const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

describe('definitions, written by clients', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.stop());

  const definition = (plural: string, schema: object): Record<string, unknown> => ({
    metadata: { name: `${plural}.example.com` },
    spec: { group: 'example.com', scope: 'Namespaced', names: { plural, kind: 'Foo' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }] },
  });
  const post = (plural: string, schema: object): Promise<Answer> => server.call('POST', path, { body: definition(plural, schema) });

  it('are stored without what is empty, and warn of unknown formats', async () => {
    const { status, body, headers } = await post('foos', { type: 'object', properties: { a: { type: 'array', nullable: false, items: { type: 'string', format: 'magic', enum: [] } } } });
    expect(status).to.equal(201);
    expect(headers['warning']).to.include('unrecognized format \\"magic\\"');
    expect(body).to.have.nested.property('spec.versions[0].schema.openAPIV3Schema').that.deep.equals({ type: 'object', properties: { a: { type: 'array', items: { type: 'string', format: 'magic' } } } });
    expect(body).to.have.nested.property('status.storedVersions').that.deep.equals(['v1']);
  });
  it('are refused with every thing that is wrong', async () => {
    const { status, body } = await post('bars', { type: 'object', properties: { a: { type: 'string', pattern: '[a' }, b: { type: 'array' } } });
    expect(status).to.equal(422);
    expect((body['details'] as { causes: { field: string }[] }).causes.map(({ field }) => field)).to.deep.equal([
      'spec.validation.openAPIV3Schema.properties[a].pattern', 'spec.validation.openAPIV3Schema.properties[b].items']);
  });
  it('are refused for a rule that does not compile', async () => {
    const { status, body } = await post('bars', { 'type': 'object', 'x-kubernetes-validations': [{ rule: 'self.spec == 1' }] });
    expect(status).to.equal(422);
    expect(body['message']).to.include("undefined field 'spec'");
  });
  it('may be patched, and applied by the server', async () => {
    const made = definition('bazs', { type: 'object' });
    expect((await server.call('POST', path, { body: made })).status).to.equal(201);
    const patched = await server.call('PATCH', `${path}/bazs.example.com`, { body: { spec: { names: { shortNames: ['B'] } } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(patched.body['message']).to.include('spec.names.shortNames[0]: Invalid value: "B"');
    const applied = await server.call('PATCH', `${path}/bazs.example.com?fieldManager=me&force=true`, {
      body: JSON.stringify({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', ...made }), headers: { 'content-type': 'application/apply-patch+yaml' },
    });
    expect(applied.status).to.equal(200);
  });
  it('take a status whose names are right', async () => {
    await post('quxs', { type: 'object' });
    const write = (plural: string): Promise<Answer> =>
      server.call('PATCH', `${path}/quxs.example.com/status`, { body: { status: { acceptedNames: { plural, kind: 'Foo' } } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect((await write('quxs')).status).to.equal(200);
    expect((await write('Quxs')).body['message']).to.include('status.acceptedNames.plural: Invalid value: "Quxs"');
  });
});
