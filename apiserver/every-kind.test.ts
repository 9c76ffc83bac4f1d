// Every kind in every version, small and full, through every verb of a real server: created, read as a Table, updated (also in
// protobuf), patched and applied, listed, deleted. Then what is at hand beside the project: the full samples of upstream's types, and manifests that
// people have.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { builtinRows } from './resources/registry.ts';
import { resourceId } from './resources/resource.ts';
import type { ResourceRow } from './resources/resource.ts';
import { full, minimal, podTemplate } from './resources/testdata/groups.ts';
import { loadProtobuf } from '#machinery/schema/protobuf.ts';
import { defaultOptions } from './options.ts';
import { objects as serverObjects } from './resources/apiserverinternal/testdata/objects.ts';
import { objects as leaseObjects } from './resources/coordination/testdata/objects.ts';
import { objects as deviceObjects } from './resources/resource/testdata/objects.ts';
import coreBases from './resources/testdata/core-bases.json' with { type: 'json' };
import { startTestServer } from './testing.ts';
import type { TestServer } from './testing.ts';

type Json = Record<string, unknown>;
const everything = { 'api/all': 'true' };
const rows = builtinRows({ runtimeConfig: everything });
const definition = (spec: Json, ...versions: Json[]): Json => ({ metadata: { name: 'widgets.example.com' }, spec: {
  group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget' }, ...spec,
  versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { 'type': 'object', 'x-kubernetes-preserve-unknown-fields': true } } }, ...versions],
} });
const fullDefinition = definition({ names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList', shortNames: ['wd'], categories: ['all'] }, conversion: { strategy: 'None' } }, {
  name: 'v2', served: true, storage: false, deprecated: true, deprecationWarning: 'old',
  additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }], selectableFields: [{ jsonPath: '.spec.color' }],
  subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size', labelSelectorPath: '.status.selector' } },
  schema: { openAPIV3Schema: { type: 'object', properties: {
    spec: { type: 'object', properties: { size: { type: 'integer', minimum: 0, default: 1 }, color: { type: 'string', enum: ['red', 'blue'] } } },
    status: { type: 'object', properties: { size: { type: 'integer' }, selector: { type: 'string' } } },
  } } },
});
const small: Readonly<Record<string, Json>> = {
  configmaps: { metadata: { name: 'x' }, data: { a: 'b' } },
  endpoints: { metadata: { name: 'x' }, subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] },
  events: { metadata: { name: 'x' }, involvedObject: { kind: 'Pod', namespace: 'n', name: 'p' } },
  limitranges: { metadata: { name: 'x' }, spec: { limits: [{ type: 'Container', max: { cpu: '1' } }] } },
  nodes: { metadata: { name: 'x' } },
  persistentvolumeclaims: { metadata: { name: 'x' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
  persistentvolumes: { metadata: { name: 'x' }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } } },
  pods: { metadata: { name: 'x' }, spec: podTemplate.spec },
  podtemplates: { metadata: { name: 'x' }, template: podTemplate },
  replicationcontrollers: { metadata: { name: 'x' }, spec: { selector: { app: 'a' }, template: podTemplate } },
  resourcequotas: { metadata: { name: 'x' }, spec: { hard: { pods: '10' } } },
  secrets: { metadata: { name: 'x' }, stringData: { a: 'b' } },
  serviceaccounts: { metadata: { name: 'x' } },
  services: { metadata: { name: 'x' }, spec: { ports: [{ port: 80 }] } },
  namespaces: { metadata: { name: 'x' } },
  'customresourcedefinitions.apiextensions.k8s.io': definition({}),
  'apiservices.apiregistration.k8s.io': { metadata: { name: 'v1.example.com' }, spec: { group: 'example.com', version: 'v1', groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: { namespace: 'n', name: 's' } } },
  'devicetaintrules.resource.k8s.io': { metadata: { name: 'x' }, spec: { taint: { key: 'k', effect: 'None' } } },
  'resourcepoolstatusrequests.resource.k8s.io': { metadata: { name: 'x' }, spec: { driver: 'gpu.example.com' } },
  'leasecandidates.coordination.k8s.io': { metadata: { name: 'x' }, spec: { leaseName: 'l', binaryVersion: '1.36.0', strategy: 'example.com/any' } },
  'storageversions.internal.apiserver.k8s.io': { metadata: { name: 'apps.deployments' }, spec: {} },
  ...minimal,
};
/** What there is of a kind, by size. */
function objectsOf(id: string): [size: string, object: Json][] {
  const made: [string, Json][] = small[id] ? [['small', small[id]]] : [];
  if (full[id]) made.push(['full', full[id]]);
  if (id === 'customresourcedefinitions.apiextensions.k8s.io') made.push(['full', fullDefinition]);
  for (const [index, object] of ((coreBases as Record<string, Json[]>)[id] ?? []).entries()) made.push([`full (${index + 1})`, object]);
  for (const [name, one] of Object.entries({ ...deviceObjects, ...leaseObjects, ...serverObjects })) if (one.id === id) made.push([`full (${name})`, one.object]);
  return made;
}

/** The server of this test has one family of addresses. */
const needsTwoFamilies = (object: Json): boolean => (object['spec'] as Json | undefined)?.['ipFamilyPolicy'] === 'RequireDualStack';

const collection = (row: ResourceRow, namespace = 'n'): string =>
  `/${row.group === '' ? 'api' : `apis/${row.group}`}/${row.version}/${row.namespaced ? `namespaces/${namespace}/` : ''}${row.resource}`;
const apiVersionOf = (row: ResourceRow): string => (row.group === '' ? row.version : `${row.group}/${row.version}`);
const whole = (row: ResourceRow, object: Json): Json => ({ apiVersion: apiVersionOf(row), kind: row.kind, ...object });
/** Test data is in the form that is stored. */
function inVersion(row: ResourceRow, object: Json): Json {
  const own = structuredClone(object);
  const { clusterIP } = (own['spec'] ?? {}) as Json;
  if (clusterIP !== undefined && clusterIP !== 'None') own['spec'] = { ...own['spec'] as Json, clusterIP: undefined, clusterIPs: undefined }; // of another cluster
  if (row.resource === 'namespaces') own['metadata'] = { ...own['metadata'] as Json, name: 'x' }; // n is where all others live
  if (row.namespaced) own['metadata'] = { ...own['metadata'] as Json, namespace: 'n' };
  return whole(row, resourceId(row) === 'events.events.k8s.io' || !row.convert ? own : { ...row.convert.fromStored(own), apiVersion: apiVersionOf(row) });
}

describe('every kind', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ options: { ...defaultOptions, runtimeConfig: everything } });
    for (const name of ['n', 'default']) {
      await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name } } });
      await server.call('POST', `/api/v1/namespaces/${name}/serviceaccounts`, { body: { metadata: { name: 'default' } } });
    }
  });
  after(() => server.stop());

  async function expectStatus(status: number, method: string, path: string, body?: unknown, type?: string): Promise<Json> {
    const answer = await server.call(method, path, { ...(body === undefined ? {} : { body }), ...(type === undefined ? {} : { headers: { 'Content-Type': type } }) });
    expect(answer.status, `${method} ${path}: ${answer.text}`).to.equal(status);
    return answer.body;
  }
  /** An update that is sent and answered in protobuf, where the kind has a message. */
  async function putAsProtobuf(row: ResourceRow, one: string): Promise<void> {
    const codec = await loadProtobuf();
    if (!codec.has(apiVersionOf(row), row.kind)) return;
    const read = await expectStatus(200, 'GET', one);
    (read['metadata'] as { labels: Json }).labels['protobuf'] = 'yes';
    const type = 'application/vnd.kubernetes.protobuf';
    const answer = await server.open('PUT', one, { body: codec.encode(read) ?? expect.fail('no message'), headers: { 'Content-Type': type, 'Accept': type } });
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    expect(answer.statusCode, Buffer.concat(chunks).toString()).to.equal(200);
    expect(codec.decode(Buffer.concat(chunks)).metadata?.labels).to.include({ protobuf: 'yes' });
  }

  async function live(row: ResourceRow, object: Json): Promise<void> {
    const all = collection(row);
    const { name } = object['metadata'] as { name: string };
    const one = `${all}/${encodeURIComponent(name)}`;
    await expectStatus(201, 'POST', all, object);

    for (const path of [one, all]) {
      const table = await server.call('GET', path, { headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } });
      const { columnDefinitions, rows: shown } = table.body as { columnDefinitions: unknown[]; rows: { cells: unknown[] }[] };
      expect(shown[0]?.cells, 'cells').to.have.length(columnDefinitions.length);
    }

    const read = await expectStatus(200, 'GET', one);
    expect(read).to.include({ apiVersion: apiVersionOf(row), kind: row.kind });
    await expectStatus(200, 'PUT', one, { ...read, metadata: { ...read['metadata'] as Json, labels: { put: 'yes' } } });
    await putAsProtobuf(row, one);
    await expectStatus(200, 'PATCH', one, [{ op: 'add', path: '/metadata/labels/json', value: 'yes' }], 'application/json-patch+json');
    await expectStatus(200, 'PATCH', one, { metadata: { labels: { merge: 'yes' } } }, 'application/merge-patch+json');
    await expectStatus(200, 'PATCH', one, { metadata: { labels: { strategic: 'yes' } } }, 'application/strategic-merge-patch+json');
    await expectStatus(200, 'PATCH', `${one}?fieldManager=tester`, `apiVersion: ${apiVersionOf(row)}\nkind: ${row.kind}\nmetadata:\n  labels:\n    apply: "yes"\n`, 'application/apply-patch+yaml');
    const { items } = await expectStatus(200, 'GET', `${all}?labelSelector=put%3Dyes`) as { items: { metadata: { labels: Json } }[] };
    expect(items[0]?.metadata.labels).to.include({ put: 'yes', json: 'yes', merge: 'yes', strategic: 'yes', apply: 'yes' });
    // What was read is taken back as it is: nothing of it is against the rules. Applied, it belongs to somebody else, too.
    const now = await expectStatus(200, 'GET', one);
    const again = await expectStatus(200, 'PUT', one, now);
    expect(again, 'nothing was changed').to.deep.equal(now);
    const { managedFields: _, ...metadata } = now['metadata'] as Json;
    const applied = await expectStatus(200, 'PATCH', `${one}?fieldManager=whole&force=true`, JSON.stringify({ ...now, metadata }), 'application/apply-patch+yaml');
    const content = ({ metadata: __, ...rest }: Json): Json => rest;
    expect(content(applied)).to.deep.equal(content(now));

    // Some are protected while they are in use, by a finalizer that a controller would take off.
    await expectStatus(200, 'PATCH', one, { metadata: { finalizers: null } }, 'application/merge-patch+json');
    await expectStatus(200, 'DELETE', `${one}?propagationPolicy=Background&gracePeriodSeconds=0`); // Jobs would wait for their orphans otherwise
    // Namespaces stay until whoever empties them says that they are empty.
    if (row.resource === 'namespaces') await expectStatus(200, 'PUT', `${one}/finalize`, { ...await expectStatus(200, 'GET', one), spec: {} });
    await expectStatus(404, 'GET', one);
  }

  for (const row of rows.filter((one) => !one.unserved && one.verbs.includes('create') && one.verbs.includes('list'))) {
    const id = resourceId(row);
    const objects = objectsOf(id);
    if (!objects.some(([size]) => size === 'small') || (objects.length < 2 && id !== 'apiservices.apiregistration.k8s.io')) it(`${id}/${row.version}`, () => expect.fail('a small or a full object of this kind is missing in the test data'));
    for (const [size, object] of objects) if (!needsTwoFamilies(object)) it(`${id}/${row.version}, a ${size} one`, () => live(row, inVersion(row, object)));
  }

  it('apply patches are YAML: in protobuf there are none', async () => {
    const answer = await server.call('PATCH', '/api/v1/namespaces/n', { body: 'x', headers: { 'Content-Type': 'application/apply-patch+protobuf' } });
    expect(answer.status).to.equal(415);
    expect(answer.body['message']).to.match(/application\/apply-patch\+yaml/);
  });

  const wire = new URL('../../shared/wire/', import.meta.url);
  const samples = 'full samples of upstream’s types are answered, never with a failure of the server';
  if (!existsSync(wire)) it.skip(`${samples} (skipped: no samples beside the project)`);
  else it(samples, async () => {
    let sent = 0;
    for (const file of readdirSync(wire).filter((name) => name.endsWith('.json'))) {
      const object = JSON.parse(readFileSync(new URL(file, wire), 'utf8')) as Json & { metadata?: Json };
      const row = rows.find((one) => whole(one, {})['apiVersion'] === object['apiVersion'] && one.kind === object['kind'] && one.verbs.includes('create') && one.verbs.includes('list'));
      if (!row) continue;
      const { metadata } = object;
      delete metadata?.['resourceVersion'];
      delete metadata?.['generateName'];
      if (metadata && row.namespaced) metadata['namespace'] = 'n';
      const answer = await server.call('POST', `${collection(row)}?dryRun=All`, { body: object });
      expect(answer.status, `${file}: ${answer.text}`).to.be.oneOf([201, 400, 403, 422]);
      sent += 1;
    }
    expect(sent).to.be.greaterThan(40);
  });

  const manifests = new URL('../../shared/manifests/', import.meta.url);
  const people = 'manifests that people have are taken';
  if (!existsSync(manifests)) it.skip(`${people} (skipped: no manifests beside the project)`);
  else it(people, async () => {
    const { parseAllDocuments } = await import('yaml');
    for (const file of readdirSync(manifests).filter((name) => /\.(yaml|json)$/.test(name))) {
      for (const document of parseAllDocuments(readFileSync(new URL(file, manifests), 'utf8'))) {
        const object = document.toJS() as Json | null; // a mapping, or nothing between two separators
        if (!object) continue;
        const row = rows.find((one) => whole(one, {})['apiVersion'] === object['apiVersion'] && one.kind === object['kind']);
        if (!row) throw new Error(`${file}: no such kind`);
        const namespace = (object['metadata'] as { namespace?: string }).namespace ?? 'default';
        const answer = await server.call('POST', `${collection(row, namespace)}?dryRun=All&fieldValidation=Strict`, { body: object });
        expect(answer.status, `${file}: ${answer.text}`).to.equal(201);
      }
    }
  });
});
