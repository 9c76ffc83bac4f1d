// Watches over a real server: from before a restart, over WebSockets, with bookmarks near their end, read too slowly.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { startTestServer, watchLines } from '../testing.ts';
import type { TestServer } from '../testing.ts';

type Body = Record<string, unknown>;
const merge = { 'Content-Type': 'application/merge-patch+json' };
const versionOf = (body: Body): string => (body['metadata'] as { resourceVersion: string }).resourceVersion;

describe('watches', () => {
  let folder: string;
  let server: TestServer;
  const path = '/api/v1/namespaces/default/configmaps';
  const start = async (): Promise<void> => {
    server = await startTestServer({ storage: { engine: 'sqlite', path: join(folder, 'state.db') } });
  };
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'proa-watch-'));
    await start();
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const make = async (name: string, more: Body = {}): Promise<string> => {
    const answer = await server.call('POST', path, { body: { metadata: { name }, ...more } });
    expect(answer.status, answer.text).to.equal(201);
    return versionOf(answer.body);
  };

  it('resume from versions of before a restart, with a selector, without gap or double', async () => {
    const from = await make('one');
    await make('two', { metadata: { name: 'two', labels: { on: 'yes' } } });
    await server.call('PATCH', `${path}/two`, { headers: merge, body: { metadata: { labels: { on: 'no' } } } });
    await server.call('DELETE', `${path}/one`);
    await server.stop();
    await start();
    const selected = watchLines(await server.open('GET', `${path}?watch=1&labelSelector=on%3Dyes&resourceVersion=${from}`));
    const all = watchLines(await server.open('GET', `${path}?watch=1&resourceVersion=${from}`));
    await make('three', { metadata: { name: 'three', labels: { on: 'yes' } } });
    const texts = async (watch: typeof all, count: number): Promise<string[]> => {
      const seen: string[] = [];
      while (seen.length < count) {
        const { type, object } = await watch.next();
        if (object.metadata['name'] !== 'kube-root-ca.crt') seen.push(`${type} ${String(object.metadata['name'])}`);
      }
      return seen;
    };
    expect(await texts(selected, 3)).to.deep.equal(['ADDED two', 'DELETED two', 'ADDED three']);
    expect(await texts(all, 4)).to.deep.equal(['ADDED two', 'MODIFIED two', 'DELETED one', 'ADDED three']);
    selected.close();
    all.close();
  });

  it('from a version that is nowhere any more get 410 as an event, on a 200', async () => {
    const from = await make('forgotten');
    await server.stop();
    server = await startTestServer({ storage: { engine: 'sqlite', path: join(folder, 'state.db') }, options: { compactionIntervalMs: 100 } });
    for (let n = 0; n < 8; n += 1) {
      await server.call('PATCH', `${path}/forgotten`, { headers: merge, body: { data: { n: String(n) } } });
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    await server.stop();
    await start();
    const answer = await server.open('GET', `${path}?watch=1&resourceVersion=${from}`);
    expect(answer.statusCode).to.equal(200);
    const watch = watchLines(answer);
    const { type, object } = await watch.next();
    expect(type).to.equal('ERROR');
    expect(object).to.deep.include({ kind: 'Status', status: 'Failure', reason: 'Expired', code: 410 });
    expect(object['message']).to.match(new RegExp(`^too old resource version: ${from} \\(\\d+\\)$`));
    await watch.ended();
  });

  for (const [verb, query, code] of [['watch', 'watch=1&', 500], ['get', '', 500], ['list', '', 400]] as const) {
    it(`of a version that is no number: ${verb} answers ${code}`, async () => {
      const answer = await server.call('GET', `${path}${verb === 'get' ? '/kube-root-ca.crt' : ''}?${query}resourceVersion=abc`);
      const why = 'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax';
      expect([answer.status, answer.body['message']]).to.deep.equal([code, verb === 'list' ? `invalid resource version: ${why}` : why]);
    });
  }

  it('get a bookmark two seconds before their time is over', async () => {
    const from = await make('bookmarked');
    const watch = watchLines(await server.open('GET', `${path}?watch=1&allowWatchBookmarks=1&timeoutSeconds=3&resourceVersion=${from}`), 4000);
    const began = Date.now();
    await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'elsewhere' } } });
    const { type, object } = await watch.next();
    expect(type).to.equal('BOOKMARK');
    expect(BigInt(String(object.metadata['resourceVersion'])) > BigInt(from), 'it tells of what happened elsewhere').to.equal(true);
    expect(Date.now() - began).to.be.within(800, 1800);
    await watch.ended();
  });

  it('go over WebSockets: a message a frame, text for JSON, binary for protobuf', async () => {
    const from = await make('socket');
    const open = (query: string, headers: Record<string, string> = {}, protocols: string[] = []): { socket: WebSocket; messages: { data: Buffer; isBinary: boolean }[]; closed: Promise<number> } => {
      const socket = new WebSocket(`${server.url.replace('https', 'wss')}${path}?watch=1&resourceVersion=${from}${query}`, protocols, { ...server.clientOptions(), headers });
      const messages: { data: Buffer; isBinary: boolean }[] = [];
      socket.on('message', (data: Buffer, isBinary) => messages.push({ data, isBinary }));
      return { socket, messages, closed: new Promise((resolve, reject) => socket.once('close', resolve).once('error', reject)) };
    };
    const json = open('&timeoutSeconds=1', {}, ['some.protocol']);
    const binary = open('&timeoutSeconds=1', { Accept: 'application/vnd.kubernetes.protobuf;stream=watch' });
    await Promise.all([json, binary].map(({ socket }) => new Promise((resolve) => socket.once('open', resolve))));
    expect(json.socket.protocol).to.equal('some.protocol');
    await server.call('PATCH', `${path}/socket`, { headers: merge, body: { data: { a: '1' } } });
    await server.call('PATCH', `${path}/socket`, { headers: merge, body: { data: { a: '2' } } });
    expect([await json.closed, await binary.closed], 'timeoutSeconds closes them properly').to.deep.equal([1000, 1000]);
    expect(json.messages.map(({ data, isBinary }) => [isBinary, (JSON.parse(data.toString()) as { type: string; object: { data: Body } }).object.data['a']])).to.deep.equal([[false, '1'], [false, '2']]);
    expect(binary.messages).to.have.length(2);
    // A WatchEvent: its field 1, the type, comes first.
    for (const { data, isBinary } of binary.messages) expect([isBinary, data.subarray(0, 10).toString('latin1')]).to.deep.equal([true, '\n\bMODIFIED']);
  });

  it('over WebSockets are refused as others are', async () => {
    const status = (where: string, as: 'admin' | 'nobody' | 'guest' = 'admin'): Promise<number> => new Promise((resolve, reject) => {
      const socket = new WebSocket(`${server.url.replace('https', 'wss')}${where}`, server.clientOptions(as));
      socket.once('unexpected-response', (_request, response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      socket.once('open', () => reject(new Error('it was let in'))).on('error', reject);
    });
    expect(await status(`${path}?watch=1`, 'nobody')).to.equal(401);
    expect(await status(`${path}?watch=1`, 'guest')).to.equal(403);
    expect(await status(`${path}?watch=1&sendInitialEvents=1`)).to.equal(422);
    expect(await status(`${path}?watch=1&resourceVersion=abc`)).to.equal(500);
    expect(await status('/api/v1/nonsense?watch=1')).to.equal(404);
  });

  it('that nobody reads are closed, and others hear everything', async function () {
    this.timeout(30_000);
    const from = await make('heavy');
    const idle = await server.open('GET', `${path}?watch=1&resourceVersion=${from}`);
    idle.pause();
    const closed = new Promise((resolve) => idle.once('close', resolve).once('error', resolve));
    const reading = watchLines(await server.open('GET', `${path}?watch=1&resourceVersion=${from}`), 10_000);
    // More than the socket's buffers and the queue of 32 MB hold.
    const writes = 48;
    const writing = (async () => {
      for (let n = 0; n < writes; n += 1) await server.call('PATCH', `${path}/heavy`, { headers: merge, body: { data: { a: String(n).padEnd(900_000, 'x') } } });
    })();
    for (let n = 0; n < writes; n += 1) {
      const { a } = (await reading.next()).object['data'] as { a: string };
      expect(Number.parseInt(a, 10)).to.equal(n);
    }
    await writing;
    reading.close();
    let bytes = 0;
    idle.on('data', (chunk: Buffer) => { bytes += chunk.length; });
    idle.resume();
    await closed;
    expect(bytes, 'it got what was under way, not all').to.be.lessThan(writes * 900_000 / 2);
  });
});
