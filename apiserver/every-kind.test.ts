// Every kind, small and full, through every verb of a real server: created, read as a Table, updated, patched in every way,
// listed, deleted. Then what is at hand beside the project: the full samples of upstream's types, and manifests that
// people have.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { builtinRows } from './resources/registry.ts';
import { resourceId } from './resources/resource.ts';
import type { ResourceRow } from './resources/resource.ts';
import { full, minimal, podTemplate } from './resources/testdata/groups.ts';
import { startTestServer } from './testing.ts';
import type { TestServer } from './testing.ts';

type Json = Record<string, unknown>;
const rows = builtinRows();
const core: Readonly<Record<string, Json>> = {
  configmaps: { metadata: { name: 'x', namespace: 'n' }, data: { a: 'b' } },
  endpoints: { metadata: { name: 'x', namespace: 'n' }, subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] },
  events: { metadata: { name: 'x', namespace: 'n' }, involvedObject: { kind: 'Pod', namespace: 'n', name: 'p' } },
  limitranges: { metadata: { name: 'x', namespace: 'n' }, spec: { limits: [{ type: 'Container', max: { cpu: '1' } }] } },
  nodes: { metadata: { name: 'x' } },
  persistentvolumeclaims: { metadata: { name: 'x', namespace: 'n' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
  persistentvolumes: { metadata: { name: 'x' }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } } },
  podtemplates: { metadata: { name: 'x', namespace: 'n' }, template: podTemplate },
  replicationcontrollers: { metadata: { name: 'x', namespace: 'n' }, spec: { selector: { app: 'a' }, template: podTemplate } },
  resourcequotas: { metadata: { name: 'x', namespace: 'n' }, spec: { hard: { pods: '10' } } },
  secrets: { metadata: { name: 'x', namespace: 'n' }, stringData: { a: 'b' } },
  serviceaccounts: { metadata: { name: 'x', namespace: 'n' } },
  services: { metadata: { name: 'x', namespace: 'n' }, spec: { ports: [{ port: 80 }] } },
};
/** Kinds with a life of their own, which other tests follow: what is deleted stays a while, or what makes them is not here. */
const elsewhere = new Set(['pods', 'namespaces', 'componentstatuses', 'customresourcedefinitions.apiextensions.k8s.io', 'apiservices.apiregistration.k8s.io', 'ipaddresses.networking.k8s.io', 'servicecidrs.networking.k8s.io']);

const collection = (row: ResourceRow, namespace = 'n'): string =>
  `/${row.group === '' ? 'api' : `apis/${row.group}`}/${row.version}/${row.namespaced ? `namespaces/${namespace}/` : ''}${row.resource}`;
const whole = (row: ResourceRow, object: Json): Json => ({ apiVersion: row.group === '' ? row.version : `${row.group}/${row.version}`, kind: row.kind, ...object });

describe('every kind', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'n' } } });
    await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'default' } } });
  });
  after(() => server.stop());

  async function expectStatus(status: number, method: string, path: string, body?: unknown, type?: string): Promise<Json> {
    const answer = await server.call(method, path, { ...(body === undefined ? {} : { body }), ...(type === undefined ? {} : { headers: { 'Content-Type': type } }) });
    expect(answer.status, `${method} ${path}: ${answer.text}`).to.equal(status);
    return answer.body;
  }

  async function live(row: ResourceRow, object: Json): Promise<void> {
    const all = collection(row);
    const { name } = object['metadata'] as { name: string };
    const one = `${all}/${name}`;
    await expectStatus(201, 'POST', all, whole(row, object));

    const table = await server.call('GET', one, { headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } });
    const { columnDefinitions, rows: shown } = table.body as { columnDefinitions: unknown[]; rows: { cells: unknown[] }[] };
    expect(shown[0]?.cells, 'cells').to.have.length(columnDefinitions.length);

    const read = await expectStatus(200, 'GET', one);
    const metadata = read['metadata'] as Json;
    await expectStatus(200, 'PUT', one, { ...read, metadata: { ...metadata, labels: { put: 'yes' } } });
    await expectStatus(200, 'PATCH', one, [{ op: 'add', path: '/metadata/labels/json', value: 'yes' }], 'application/json-patch+json');
    await expectStatus(200, 'PATCH', one, { metadata: { labels: { merge: 'yes' } } }, 'application/merge-patch+json');
    await expectStatus(200, 'PATCH', one, { metadata: { labels: { strategic: 'yes' } } }, 'application/strategic-merge-patch+json');
    await expectStatus(200, 'PATCH', `${one}?fieldManager=tester`, whole(row, { metadata: { name, labels: { apply: 'yes' } } }), 'application/apply-patch+yaml');
    const { items } = await expectStatus(200, 'GET', `${all}?labelSelector=put%3Dyes`) as { items: { metadata: { labels: Json } }[] };
    expect(items[0]?.metadata.labels).to.include({ put: 'yes', json: 'yes', merge: 'yes', strategic: 'yes', apply: 'yes' });
    // What was read is taken back as it is: nothing of it is against the rules.
    await expectStatus(200, 'PUT', one, await expectStatus(200, 'GET', one));

    // Some are protected while they are in use, by a finalizer that a controller would take off.
    await expectStatus(200, 'PATCH', one, { metadata: { finalizers: null } }, 'application/merge-patch+json');
    await expectStatus(200, 'DELETE', `${one}?propagationPolicy=Background`); // Jobs would wait for their orphans otherwise
    await expectStatus(404, 'GET', one);
  }

  const groups = [['small', { ...core, ...minimal }], ['full', full]] as const;
  for (const row of rows.filter((one) => one.verbs.includes('create') && one.verbs.includes('list'))) {
    const id = resourceId(row);
    if (elsewhere.has(id) || (id === 'horizontalpodautoscalers.autoscaling' && row.version === 'v1')) continue;
    for (const [size, objects] of groups) {
      const object = objects[id];
      if (object) it(`${id}/${row.version}, a ${size} one`, () => live(row, object));
      else if (size === 'small') it(`${id}/${row.version}`, () => expect.fail('no object of this kind in the test data'));
    }
  }

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
        if (row.kind === 'Pod') continue; // wants a service account, which a controller makes
        const namespace = (object['metadata'] as { namespace?: string }).namespace ?? 'default';
        const answer = await server.call('POST', `${collection(row, namespace)}?dryRun=All&fieldValidation=Strict`, { body: object });
        expect(answer.status, `${file}: ${answer.text}`).to.equal(201);
      }
    }
  });
});
