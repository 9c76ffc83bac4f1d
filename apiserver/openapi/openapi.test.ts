import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import protobuf from 'protobufjs/minimal.js';
import { builtinRows } from '../resources/registry.ts';
import type { ResourceRow } from '../resources/resource.ts';
import { createOpenApi } from './openapi.ts';
import { encodeDocument } from './protobuf.ts';

type Json = { [key: string]: Json } & { [key: string]: unknown };

describe('createOpenApi()', () => {
  const rows = builtinRows();
  const crontabs: ResourceRow = {
    group: 'stable.example.com', version: 'v1', resource: 'crontabs', singular: 'crontab', kind: 'CronTab', listKind: 'CronTabList', namespaced: true,
    verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'], shortNames: [], categories: [], subresources: [], strategy: {},
  };
  let custom = false;
  const crontabSchema = { type: 'object', properties: { spec: { type: 'object', properties: { image: { type: 'string', nullable: true } } } } };
  const openApi = createOpenApi(() => custom ? [...rows, crontabs] : rows, { customSchema: (row) => row === crontabs ? crontabSchema : undefined });
  const get = (target: string, headers: Record<string, string> = {}) => openApi.handle(target, headers);
  const getJson = async (target: string): Promise<Json> => JSON.parse((await get(target)).body.toString()) as Json;
  let core: Json;
  let hash: string;
  before(async function () {
    this.timeout(10_000);
    const index = await getJson('/openapi/v3');
    const url = String(index['paths']?.['api/v1']?.['serverRelativeURL']);
    hash = new URL(url, 'https://x').searchParams.get('hash') ?? '';
    core = await getJson(url);
  });
  afterEach(() => {
    custom = false;
  });

  describe('version 3', () => {
    it('lists a document for each group version', async () => {
      const index = await getJson('/openapi/v3');
      expect(Object.keys(index['paths'] as Json)).to.include.members(['api/v1', 'apis/apps/v1', 'apis/rbac.authorization.k8s.io/v1']);
      expect(index['paths']?.['apis/apps/v1']?.['serverRelativeURL']).to.match(/^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]{128}$/);
    });
    it('describes kinds as kubectl explain reads them', () => {
      const schemas = core['components']?.['schemas'] as Json;
      const pod = schemas['io.k8s.api.core.v1.Pod'];
      expect(pod?.['x-kubernetes-group-version-kind']).to.deep.equal([{ group: '', kind: 'Pod', version: 'v1' }]);
      expect(pod?.['properties']?.['spec']).to.deep.include({ allOf: [{ $ref: '#/components/schemas/io.k8s.api.core.v1.PodSpec' }], default: {} });
      const containers = schemas['io.k8s.api.core.v1.PodSpec']?.['properties']?.['containers'];
      expect(containers).to.deep.include({
        'type': 'array', 'items': { $ref: '#/components/schemas/io.k8s.api.core.v1.Container' },
        'x-kubernetes-patch-merge-key': 'name', 'x-kubernetes-patch-strategy': 'merge', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'],
      });
      expect(containers?.['description']).to.match(/^List of containers belonging to the pod/);
      expect(schemas['io.k8s.api.core.v1.ServicePort']).to.deep.include({ required: ['port'] });
      expect(schemas['io.k8s.api.core.v1.ServicePort']?.['properties']?.['protocol']).to.deep.include({ default: 'TCP', enum: ['SCTP', 'TCP', 'UDP'] });
      expect(schemas['io.k8s.apimachinery.pkg.util.intstr.IntOrString']).to.deep.include({ format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] });
    });
    it('describes discovery, the version and the documents for verifiers of tokens, each apart', async () => {
      const index = await getJson('/openapi/v3');
      expect(Object.keys(index['paths'] as Json)).to.include.members(['api', 'apis', 'apis/apps', 'version', 'openid/v1/jwks', '.well-known/openid-configuration']);
      const apps = await getJson('/openapi/v3/apis/apps');
      expect(Object.keys(apps['paths'] as Json)).to.deep.equal(['/apis/apps/']);
      expect(Object.keys(apps['components']?.['schemas'] as Json)).to.include('io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup');
      const version = (await getJson('/openapi/v3/version'))['components']?.['schemas']?.['io.k8s.apimachinery.pkg.version.Info'];
      expect(version?.['required']).to.include('gitVersion').and.not.include('emulationMajor');
    });
    it('lists the types that every group has for the group of the document only', async () => {
      const apps = await getJson('/openapi/v3/apis/apps/v1');
      const options = apps['components']?.['schemas']?.['io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions'];
      expect(options?.['x-kubernetes-group-version-kind']).to.deep.equal([{ group: '', kind: 'DeleteOptions', version: 'v1' }, { group: 'apps', kind: 'DeleteOptions', version: 'v1' }]);
    });
    it('names the members of unions', () => {
      const schemas = core['components']?.['schemas'] as Json;
      expect(schemas['io.k8s.api.core.v1.SeccompProfile']?.['x-kubernetes-unions']).to.deep.equal([{ 'discriminator': 'type', 'fields-to-discriminateBy': { localhostProfile: 'LocalhostProfile' } }]);
      expect(schemas['io.k8s.api.core.v1.Pod']).to.not.have.property('x-kubernetes-unions');
    });
    it('has every definition that it refers to', () => {
      const schemas = core['components']?.['schemas'] as Json;
      const references = [...JSON.stringify(core).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1] ?? '');
      expect(references.length).to.be.greaterThan(1000);
      for (const reference of new Set(references)) expect(schemas).to.have.property(reference);
    });
    it('describes operations with kind, action and the patch types that kubectl chooses from', () => {
      const path = core['paths']?.['/api/v1/namespaces/{namespace}/pods/{name}'];
      expect(Object.keys(path as Json).sort()).to.deep.equal(['delete', 'get', 'parameters', 'patch', 'put']);
      expect(path?.['patch']).to.deep.include({ 'operationId': 'patchCoreV1NamespacedPod', 'x-kubernetes-action': 'patch', 'x-kubernetes-group-version-kind': { group: '', kind: 'Pod', version: 'v1' } });
      expect(Object.keys(path?.['patch']?.['requestBody']?.['content'] as Json)).to.deep.equal([
        'application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/apply-patch+yaml']);
      const parameters = path?.['patch']?.['parameters'] as unknown;
      expect((parameters as { name: string }[]).map((one) => one.name)).to.include.members(['dryRun', 'fieldManager', 'fieldValidation', 'force']);
      expect(core['paths']?.['/api/v1/namespaces/{namespace}/pods/{name}/eviction']?.['post']).to.deep.include({ 'operationId': 'createCoreV1NamespacedPodEviction' });
      expect(core['paths']?.['/api/v1/namespaces/{namespace}/pods/{name}/exec']?.['get']).to.deep.include({ 'operationId': 'connectCoreV1GetNamespacedPodExec', 'x-kubernetes-action': 'connect' });
      expect(core['paths']?.['/api/v1/pods']?.['get']).to.deep.include({ operationId: 'listCoreV1PodForAllNamespaces' });
    });
    it('is immutable under its hash and redirects from another', async () => {
      const fresh = await get(`/openapi/v3/api/v1?hash=${hash}`);
      expect(fresh.headers).to.include({ 'content-type': 'application/json', 'cache-control': 'public, immutable', 'etag': `"${hash}"` });
      expect((await get('/openapi/v3/api/v1')).headers).to.not.have.property('cache-control');
      expect(await get('/openapi/v3/api/v1?hash=OLD')).to.deep.include({ status: 301, headers: { location: `/openapi/v3/api/v1?hash=${hash}` } });
    });
    it('answers 304 to a known ETag, gzip to who takes it, 406 and 404 where they belong', async () => {
      expect(await get('/openapi/v3/api/v1', { 'if-none-match': `"x", W/"${hash}"` })).to.deep.include({ status: 304, body: Buffer.alloc(0) });
      const packed = await get('/openapi/v3/api/v1', { 'accept-encoding': 'br, gzip' });
      expect(packed.headers).to.include({ 'content-encoding': 'gzip' });
      expect(JSON.parse(gunzipSync(packed.body).toString())).to.deep.equal(core);
      expect((await get('/openapi/v3/api/v1', { 'accept-encoding': 'gzip;q=0' })).headers).to.not.have.property('content-encoding');
      expect((await get('/openapi/v3/api/v1', { accept: 'text/html' })).status).to.equal(406);
      expect((await get('/openapi/v3/apis/nothing/v1')).status).to.equal(404);
      expect((await get('/openapi/v4')).status).to.equal(404);
    });
    it('comes as protobuf under either name of the type', async () => {
      for (const accept of ['application/com.github.proto-openapi.spec.v3@v1.0+protobuf', 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf;q=0.8, text/html']) {
        const { status, headers, body } = await get('/openapi/v3/apis/apps/v1', { accept });
        expect([status, headers['content-type']]).to.deep.equal([200, 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf']);
        expect(strings(body).slice(0, 1)).to.deep.equal(['3.0.0']);
      }
    });
    it('follows resources that come and go', async () => {
      expect((await get('/openapi/v3/apis/stable.example.com/v1')).status).to.equal(404);
      custom = true;
      const document = await getJson('/openapi/v3/apis/stable.example.com/v1');
      const schemas = document['components']?.['schemas'] as Json;
      expect(schemas['com.example.stable.v1.CronTab']?.['x-kubernetes-group-version-kind']).to.deep.equal([{ group: 'stable.example.com', kind: 'CronTab', version: 'v1' }]);
      expect(schemas['com.example.stable.v1.CronTab']?.['properties']?.['spec']).to.deep.equal(crontabSchema.properties.spec);
      expect(schemas['com.example.stable.v1.CronTabList']?.['properties']?.['items']).to.deep.include({ items: { $ref: '#/components/schemas/com.example.stable.v1.CronTab' } });
      const patch = document['paths']?.['/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}']?.['patch'];
      expect(Object.keys(patch?.['requestBody']?.['content'] as Json)).to.deep.equal(['application/json-patch+json', 'application/merge-patch+json', 'application/apply-patch+yaml']);
    });
  });

  it('documents of version 3 are whole: every reference leads somewhere, every kind is found by group, version and kind', async () => {
    const rows = builtinRows({ runtimeConfig: { 'api/all': 'true' } }).filter((row) => !row.unserved);
    const everything = createOpenApi(() => rows, { customSchema: () => undefined, serverVersion: 'v1.36.0' });
    for (const [name, own] of Map.groupBy(rows, ({ group, version }) => (group === '' ? `api/${version}` : `apis/${group}/${version}`))) {
      const { body } = await everything.handle(`/openapi/v3/${name}`, {});
      const document = JSON.parse(body.toString()) as Json;
      const schemas = document['components']?.['schemas'] as Json;
      const missing = (body.toString().match(/#\/components\/schemas\/[^"]+/g) ?? []).filter((reference) => !(reference.slice('#/components/schemas/'.length) in schemas));
      expect(missing, name).to.deep.equal([]);
      const kinds = new Set(Object.values(schemas).flatMap((schema) => ((schema as Json)['x-kubernetes-group-version-kind'] ?? []) as unknown as { group: string; version: string; kind: string }[])
        .map(({ group, version, kind }) => `${group}/${version}/${kind}`));
      for (const { group, version, kind } of own) expect(kinds.has(`${group}/${version}/${kind}`), `${name} ${kind}`).to.equal(true);
    }
  });

  describe('version 2', () => {
    it('holds all group versions in one document', async () => {
      const document = await getJson('/openapi/v2');
      expect(document).to.include({ swagger: '2.0' });
      expect(document['paths']).to.include.keys('/api/v1/nodes', '/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale');
      expect(document['paths']?.['/api/v1/nodes/{name}']?.['patch']?.['consumes']).to.include('application/strategic-merge-patch+json');
      expect(document['definitions']?.['io.k8s.api.core.v1.Pod']?.['properties']?.['spec']).to.deep.include({ $ref: '#/definitions/io.k8s.api.core.v1.PodSpec' });
      expect(document['definitions']?.['io.k8s.apimachinery.pkg.api.resource.Quantity']).to.deep.include({ type: 'string' });
    });
    it('says once what many operations have, but not what clients look for in each', async () => {
      const document = await getJson('/openapi/v2');
      const references = JSON.stringify(document['paths']).match(/#\/parameters\/[\w-]+/g) ?? [];
      expect(new Set(references.map((one) => one.slice('#/parameters/'.length)))).to.deep.equal(new Set(Object.keys(document['parameters'] as Json)));
      const post = document['paths']?.['/api/v1/nodes']?.['post']?.['parameters'] as unknown as Json[];
      expect(post.flatMap(({ name }) => (name === undefined ? [] : [name]))).to.deep.equal(['body', 'dryRun', 'fieldValidation']);
    });
    it('says of the documents about the API what they take and give', async () => {
      const paths = (await getJson('/openapi/v2'))['paths'] as Json;
      expect(paths['/apis/apps/v1/']?.['get']?.['consumes']).to.deep.equal(['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']);
      expect(paths['/openid/v1/jwks/']?.['get']).to.deep.include({ produces: ['application/jwk-set+json'] }).and.not.have.property('consumes');
      expect(Object.keys(paths)).to.include.members(['/api/', '/apis/', '/apis/apps/', '/version/']);
    });
    it('leaves out of custom resources what it cannot say', async () => {
      custom = true;
      const document = await getJson('/openapi/v2');
      expect(document['definitions']?.['com.example.stable.v1.CronTab']?.['properties']?.['spec']).to.deep.equal({ type: 'object', properties: { image: { type: 'string' } } });
    });
    it('comes as protobuf under either name of the type', async () => {
      for (const accept of ['application/com.github.proto-openapi.spec.v2@v1.0+protobuf', 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf;q=0.8, text/html']) {
        const { status, headers, body } = await get('/openapi/v2', { accept });
        expect([status, headers['content-type']]).to.deep.equal([200, 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf']);
        expect(strings(body).slice(0, 1)).to.deep.equal(['2.0']);
      }
      expect((await get('/openapi/v2', { accept: 'text/html' })).status).to.equal(406);
    });
  });

  it('encodeDocument() leaves out what is zero, but not defaults', () => {
    const bytes = encodeDocument(3, { openapi: '3.0.0', info: { title: '', version: '' }, paths: {}, components: { schemas: { A: { type: 'boolean', default: false, nullable: false } } } });
    // Document{1 openapi, 2 info{}, 4 paths{}, 5 components{1 schemas{1 [{1 name, 2{1 schema{25 type, 33 default{2 false}}}}]}}}
    expect(bytes.toString('hex')).to.equal('0a05332e302e3012002200' + '2a1a0a180a160a014112110a0fca0107626f6f6c65616e8a02021000');
  });
  it('encodeDocument() writes maps as named entries and extensions as YAML', () => {
    const bytes = encodeDocument(2, {
      swagger: '2.0', info: { title: 'T', version: '1' }, paths: {},
      definitions: { A: { 'type': 'object', 'properties': { b: { $ref: '#/definitions/B' } }, 'x-y': ['z'] } as object },
    });
    // Document{1 swagger, 2 info{1 title, 2 version}, 8 paths{}, 9 definitions{1 [{1 name, 2 schema{22 type{1}, 25 properties{1 [{1, 2{1 $ref}}]}, 31 extension{1, 2{2 yaml}}}}]}}
    expect(bytes.toString('latin1').match(/[\w#/."[\]]{2,}/g)).to.include.members(['2.0', 'object', '#/definitions/B', '["z"]']);
    expect(strings(bytes)).to.deep.equal(['2.0']);
  });
});

/** The length-delimited fields with number 1 of a message. */
function strings(bytes: Buffer): string[] {
  const reader = protobuf.Reader.create(bytes);
  const found: string[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 10) found.push(reader.string());
    else reader.skipType(tag & 7);
  }
  return found;
}
