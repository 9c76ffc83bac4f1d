import { expect } from 'chai';
import { StatusError, isNotFound } from '../api/status.ts';
import { event, json, pod, startTestServer } from './_test-server.ts';
import { createClient, linesOf } from './client.ts';
import { pods } from './resources.ts';
import type { Client } from './types.ts';

const never = new AbortController().signal;
async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error; // everything thrown here is one
  }
  throw new Error('it did not throw');
}
async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of stream) found.push(one);
  return found;
}
async function* chunks(...texts: (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text as string);
}

describe('createClient()', () => {
  it('acts as somebody else when told to', async () => {
    await using server = await startTestServer((heard, response) => json(response, 200, pod(String(heard.headers['impersonate-user']), String(heard.headers['impersonate-group']))));
    const client = createClient({ server: server.url, impersonate: { user: 'system:node:a', groups: ['system:nodes'] } });
    const { metadata } = await client.get(pods, 'a', 'x', never);
    client.close();
    expect([metadata.name, metadata.resourceVersion]).to.deep.equal(['system:node:a', 'system:nodes']);
  });

  it('sends verbs, paths, bodies and content types', async () => {
    await using server = await startTestServer((_, response) => json(response, 200, pod('x', '1')));
    const client = createClient({ server: server.url, token: 'secret', userAgent: 'me' });
    await client.get(pods, 'a', 'x', never);
    await client.create(pods, 'a', { kind: 'Binding' }, never, { name: 'x', subresource: 'binding' });
    await client.update(pods, 'a', 'x', {}, never, { subresource: 'status', dryRun: true });
    await client.patch(pods, 'a', 'x', 'apply', {}, never, { fieldManager: 'm', force: true });
    await client.delete(pods, 'a', 'x', { gracePeriodSeconds: 0, preconditions: { uid: 'u' } }, never);
    await client.deleteCollection(pods, 'a', { labelSelector: 'a=b', propagationPolicy: 'Orphan' }, never);
    client.close();
    expect(server.heard.map(({ method, url }) => `${method} ${url.pathname}${url.search}`)).to.deep.equal([
      'GET /api/v1/namespaces/a/pods/x',
      'POST /api/v1/namespaces/a/pods/x/binding',
      'PUT /api/v1/namespaces/a/pods/x/status?dryRun=All',
      'PATCH /api/v1/namespaces/a/pods/x?fieldManager=m&force=true',
      'DELETE /api/v1/namespaces/a/pods/x',
      'DELETE /api/v1/namespaces/a/pods?labelSelector=a%3Db',
    ]);
    expect(server.heard[0]?.headers).to.include({ 'authorization': 'Bearer secret', 'user-agent': 'me' });
    expect(server.heard[3]?.headers['content-type']).to.equal('application/apply-patch+yaml');
    expect(JSON.parse(server.heard[4]?.body ?? '')).to.deep.equal({ kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0, preconditions: { uid: 'u' } });
  });

  it('throws the Status of a refusal', async () => {
    await using server = await startTestServer((_, response) => json(response, 404, { kind: 'Status', reason: 'NotFound', message: 'pods "x" not found', code: 404 }));
    const error = await failure(createClient({ server: server.url }).get(pods, 'a', 'x', never));
    expect(isNotFound(error)).to.equal(true);
    expect(error.message).to.equal('pods "x" not found');
  });

  it('throws the code of a refusal that is no Status', async () => {
    await using server = await startTestServer((_, response) => response.writeHead(502).end('<html>'));
    const error = await failure(createClient({ server: server.url }).get(pods, 'a', 'x', never));
    expect(error).to.be.instanceOf(StatusError).and.to.have.nested.property('status.code', 502);
  });

  it('throws a plain Error with its cause when nobody answers', async () => {
    const server = await startTestServer(() => undefined);
    await server[Symbol.asyncDispose]();
    const error = await failure(createClient({ server: server.url }).get(pods, 'a', 'x', never));
    expect(error).not.to.be.instanceOf(StatusError);
    expect(error.cause).to.have.property('code', 'ECONNREFUSED');
  });

  it('refuses a request for one object without a name', async () => {
    const error = await failure(createClient({ server: 'http://127.0.0.1:1' }).delete(pods, 'a', '', {}, never));
    expect(error.message).to.match(/needs a name/);
  });

  it('tries again after 429 with Retry-After', async () => {
    let tries = 0;
    await using server = await startTestServer((_, response) => {
      tries += 1;
      if (tries < 3) json(response, 429, { kind: 'Status', code: 429 }, { 'retry-after': '0' });
      else json(response, 200, pod('x', '1'));
    });
    await createClient({ server: server.url }).get(pods, 'a', 'x', never);
    expect(tries).to.equal(3);
  });

  it('does not try again after 429 without Retry-After', async () => {
    await using server = await startTestServer((_, response) => json(response, 429, { kind: 'Status', code: 429, reason: 'TooManyRequests' }));
    await failure(createClient({ server: server.url }).get(pods, 'a', 'x', never));
    expect(server.heard).to.have.length(1);
  });

  it("rejects with the signal's reason when it aborts", async () => {
    const stop = new AbortController();
    await using server = await startTestServer(() => stop.abort(new Error('enough')));
    const error = await failure(createClient({ server: server.url }).get(pods, 'a', 'x', stop.signal));
    expect(error.message).to.equal('enough');
  });

  it('refuses a server address that is not http', () => {
    expect(() => createClient({ server: 'ftp://x' })).to.throw(/neither https nor http/);
  });

  it('asks getToken for each request', async () => {
    await using server = await startTestServer((_, response) => json(response, 200, pod('x', '1')));
    let count = 0;
    const client = createClient({ server: server.url, getToken: () => Promise.resolve(`t${(count += 1)}`) });
    await client.get(pods, 'a', 'x', never);
    await client.get(pods, 'a', 'x', never);
    expect(server.heard.map(({ headers }) => headers.authorization)).to.deep.equal(['Bearer t1', 'Bearer t2']);
  });

  describe('watch()', () => {
    const watch = (client: Client): Promise<unknown[]> => all(client.watch(pods, '', { resourceVersion: '5', allowWatchBookmarks: true }, never));

    it('yields events and ends with the server', async () => {
      await using server = await startTestServer((_, response) => response.end(event('ADDED', pod('x', '6')) + event('DELETED', pod('x', '7'))));
      expect(await watch(createClient({ server: server.url }))).to.have.length(2);
      expect(server.heard[0]?.url.search).to.equal('?watch=true&resourceVersion=5&allowWatchBookmarks=true');
    });

    it('throws an ERROR event as its Status', async () => {
      await using server = await startTestServer((_, response) => response.end(event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })));
      expect(await failure(watch(createClient({ server: server.url })))).to.have.nested.property('status.reason', 'Expired');
    });

    it('throws when the connection breaks', async () => {
      await using server = await startTestServer((_, response) => {
        response.write(event('ADDED', pod('x', '6')));
        setImmediate(() => response.destroy());
      });
      expect((await failure(watch(createClient({ server: server.url })))).message).to.match(/broke off/);
    });
  });
});

describe('linesOf()', () => {
  it('joins a line from pieces, also inside a character', async () => {
    const bytes = Buffer.from('añb\ncd\n');
    expect(await all(linesOf(chunks(...[...bytes].map((byte) => Buffer.from([byte])))))).to.deep.equal(['añb', 'cd']);
  });
  it('skips empty lines', async () => {
    expect(await all(linesOf(chunks('a\n\nb\n')))).to.deep.equal(['a', 'b']);
  });
  it('throws when the end comes inside a line', async () => {
    expect((await failure(all(linesOf(chunks('a\nb'))))).message).to.match(/inside a line/);
  });
});
