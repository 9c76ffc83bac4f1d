// Answers as protobuf, seen from the seat of a client that speaks it.
import { expect } from 'chai';
import type { IncomingMessage } from 'node:http';
import { loadProtobuf } from '#machinery/schema/protobuf.ts';
import type { ProtobufCodec } from '#machinery/schema/protobuf.ts';
import { startTestServer } from './testing.ts';
import type { TestServer } from './testing.ts';

const type = 'application/vnd.kubernetes.protobuf';
const maps = '/api/v1/namespaces/proto/configmaps';
interface Decoded { kind: string; metadata: Record<string, unknown>; [field: string]: unknown }

describe('protobuf answers', function () {
  this.timeout(20_000);
  let server: TestServer;
  let codec: ProtobufCodec;
  before(async () => {
    [server, codec] = await Promise.all([startTestServer(), loadProtobuf()]);
    await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'proto' } } });
    for (const name of ['a', 'b']) await server.call('POST', maps, { body: { metadata: { name, labels: { name } }, data: { text: `of ${name}` } } });
  });
  after(() => server.stop());

  async function ask(method: string, path: string, accept: string, extra: { body?: unknown; headers?: Record<string, string> } = {}): Promise<{ status: number; type: string; bytes: Buffer }> {
    const answer = await server.open(method, path, { ...extra, headers: { Accept: accept, ...extra.headers } });
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    return { status: answer.statusCode ?? 0, type: answer.headers['content-type'] ?? '', bytes: Buffer.concat(chunks) };
  }
  async function decoded(...args: Parameters<typeof ask>): Promise<Decoded> {
    const answer = await ask(...args);
    expect(answer.type, answer.bytes.toString()).to.equal(type);
    return codec.decode(answer.bytes) as Decoded;
  }
  const json = async (path: string): Promise<Record<string, unknown>> => (await server.call('GET', path)).body;

  for (const [accept, expected] of [
    [type, type],
    [`${type},application/json`, type],
    [`application/json,${type}`, 'application/json'],
    [`application/json;q=0.5, ${type};q=0.9`, type],
    [`${type};q=0.1,application/json;q=0.2`, 'application/json'],
    ['*/*', 'application/json'],
    ['application/*', 'application/json'],
    [`${type};as=Table;v=v1;g=meta.k8s.io,application/json`, 'application/json'],
  ] as const) {
    it(`GET with Accept: ${accept} is ${expected}`, async () => {
      expect((await ask('GET', `${maps}/a`, accept)).type).to.equal(expected);
    });
  }
  it('are refused with 406 for Tables, in JSON, naming what there is', async () => {
    const answer = await ask('GET', maps, `${type};as=Table;v=v1;g=meta.k8s.io`);
    expect(answer.status).to.equal(406);
    expect(JSON.parse(answer.bytes.toString())).to.deep.include({ reason: 'NotAcceptable', message: `only the following media types are accepted: application/json, application/yaml, ${type}` });
  });

  it('GET, lists and pages hold what JSON holds', async () => {
    expect(await decoded('GET', `${maps}/a`, type)).to.deep.equal(await json(`${maps}/a`));
    for (const query of ['', '?labelSelector=name%3Db', '?limit=1', '?labelSelector=name%3Dnone']) {
      const { items: shown, ...list } = await json(`${maps}${query}`);
      const { items = [], ...rest } = await decoded('GET', `${maps}${query}`, type);
      expect(rest).to.deep.equal(list);
      expect(items).to.deep.equal((shown as Decoded[]).map(({ kind: _kind, apiVersion: _version, ...item }) => item));
    }
  });
  it('are there for kinds of other groups and other versions than the stored one', async () => {
    const path = '/apis/apps/v1/namespaces/proto/deployments';
    const template = { metadata: { labels: { app: 'd' } }, spec: { containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }] }] } };
    await server.call('POST', path, { body: { metadata: { name: 'd' }, spec: { selector: { matchLabels: { app: 'd' } }, template } } });
    const { items } = await decoded('GET', path, type);
    const [deployment] = items as (Decoded & { spec: Record<string, unknown> })[];
    expect(deployment?.spec['strategy']).to.deep.equal({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } });
    expect(await decoded('GET', `${path}/d/scale`, type)).to.deep.include({ kind: 'Scale', apiVersion: 'autoscaling/v1', spec: { replicas: 1 } });
    expect(await decoded('GET', '/apis/events.k8s.io/v1/events', type)).to.deep.include({ kind: 'EventList', apiVersion: 'events.k8s.io/v1' });
  });
  it('POST, PUT, PATCH and DELETE take and give it', async () => {
    const headers = { 'Content-Type': type };
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'written' }, data: { a: '1' } };
    const created = await decoded('POST', maps, `${type},application/json`, { headers, body: codec.encode(object) });
    expect(created).to.deep.equal(await json(`${maps}/written`));
    const updated = await decoded('PUT', `${maps}/written`, type, { headers, body: codec.encode({ ...created, data: { a: '2' } }) });
    expect(updated['data']).to.deep.equal({ a: '2' });
    const patched = await decoded('PATCH', `${maps}/written`, type, { headers: { 'Content-Type': 'application/merge-patch+json' }, body: { data: { b: '3' } } });
    expect(patched['data']).to.deep.equal({ a: '2', b: '3' });
    const options = (uid: string) => codec.encode({ kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0, preconditions: { uid } });
    const refused = await decoded('DELETE', `${maps}/written`, type, { headers, body: options('other') });
    expect(refused).to.deep.include({ kind: 'Status', status: 'Failure', reason: 'Conflict', code: 409 });
    const deleted = await decoded('DELETE', `${maps}/written`, type, { headers, body: options(String(created.metadata['uid'])) });
    expect(deleted).to.deep.include({ kind: 'Status', status: 'Success', details: { name: 'written', kind: 'configmaps', uid: created.metadata['uid'] } });
    expect(await decoded('GET', `${maps}/written`, type)).to.deep.include({ kind: 'Status', reason: 'NotFound', code: 404, message: 'configmaps "written" not found' });
  });
  it('a body that is no protobuf, or another kind, is 400', async () => {
    for (const body of [Buffer.from('{}'), Buffer.from('k8s\0garbage'), codec.encode({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } })]) {
      expect((await ask('POST', maps, type, { headers: { 'Content-Type': type }, body })).status).to.equal(400);
    }
  });

  it('metadata alone comes as PartialObjectMetadata and its list', async () => {
    const as = (kind: string, version = 'v1'): string => `${type};as=${kind};g=meta.k8s.io;v=${version},application/json`;
    const shown = await json(`${maps}/a`);
    expect(await decoded('GET', `${maps}/a`, as('PartialObjectMetadata'))).to.deep.equal({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: shown['metadata'] });
    for (const version of ['v1', 'v1beta1']) {
      const list = await decoded('GET', `${maps}?fieldSelector=metadata.name%3Da`, as('PartialObjectMetadataList', version));
      expect(list).to.deep.include({ kind: 'PartialObjectMetadataList', apiVersion: `meta.k8s.io/${version}`, items: [{ metadata: shown['metadata'] }] });
    }
  });

  /** Frames of a watch: four bytes of length, then the event with its object in an envelope. */
  async function* events(answer: IncomingMessage): AsyncGenerator<{ type: string; object: Decoded }> {
    let pending = Buffer.alloc(0);
    for await (const chunk of answer) {
      pending = Buffer.concat([pending, chunk as Buffer]);
      while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
        const event = pending.subarray(4, 4 + pending.readUInt32BE(0));
        pending = pending.subarray(4 + event.length);
        yield { type: event.subarray(2, 2 + (event[1] ?? 0)).toString(), object: codec.decode(event.subarray(event.indexOf('k8s\0'))) as Decoded };
      }
    }
  }
  async function watched(query: string, accept: string, count: number, act: () => Promise<unknown> = () => Promise.resolve()): Promise<{ type: string; object: Decoded }[]> {
    const answer = await server.open('GET', `${maps}?watch=1&${query}`, { headers: { Accept: accept } });
    expect(answer.headers['content-type']).to.equal(`${type};stream=watch`);
    await act();
    const seen: { type: string; object: Decoded }[] = [];
    for await (const event of events(answer)) if (seen.push(event) === count) break;
    return seen;
  }
  it('a watch sends events, initial ones and bookmarks', async () => {
    const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=name%3Da';
    const seen = await watched(query, `${type};stream=watch,application/json;stream=watch`, 5, async () => {
      await server.call('PATCH', `${maps}/a`, { headers: { 'Content-Type': 'application/merge-patch+json' }, body: { data: { text: 'new' } } });
      await server.call('PATCH', `${maps}/a`, { headers: { 'Content-Type': 'application/merge-patch+json' }, body: { metadata: { labels: { name: 'z' } } } });
      await server.call('PATCH', `${maps}/a`, { headers: { 'Content-Type': 'application/merge-patch+json' }, body: { metadata: { labels: { name: 'a' } } } });
    });
    expect(seen.map((event) => event.type)).to.deep.equal(['ADDED', 'BOOKMARK', 'MODIFIED', 'DELETED', 'ADDED']);
    expect(seen[0]?.object).to.deep.include({ kind: 'ConfigMap', apiVersion: 'v1', data: { text: 'of a' } });
    expect(seen[1]?.object.metadata['annotations']).to.deep.equal({ 'k8s.io/initial-events-end': 'true' });
    expect(seen[2]?.object['data']).to.deep.equal({ text: 'new' });
    expect(seen[4]?.object).to.deep.equal(await json(`${maps}/a`));
  });
  it('a watch of metadata sends PartialObjectMetadata', async () => {
    const [event] = await watched('', `${type};as=PartialObjectMetadata;g=meta.k8s.io;v=v1;stream=watch`, 1);
    expect(event?.object).to.have.all.keys('kind', 'apiVersion', 'metadata');
    expect(event?.object.kind).to.equal('PartialObjectMetadata');
  });
  it('a watch that goes wrong ends with a Status', async () => {
    const [event] = await watched('resourceVersion=99999999&sendInitialEvents=true&resourceVersionMatch=NotOlderThan', type, 1);
    expect(event?.type).to.equal('ERROR');
    expect(event?.object).to.deep.include({ kind: 'Status', reason: 'Timeout', code: 504 });
  });
});
