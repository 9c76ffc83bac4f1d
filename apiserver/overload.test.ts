// A server under load, with slow clients, with a slow store, and on its way out.
import { expect } from 'chai';
import { once } from 'node:events';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { eventually } from '#machinery/base/abort.ts';
import type { ApiserverConfig } from './config.ts';
import type { Storage } from './storage/storage.ts';
import { startTestServer, watchLines } from './testing.ts';
import type { TestServer } from './testing.ts';

const maps = '/api/v1/namespaces/default/configmaps';

/** Writes of keys with `slow` in them wait for `release`. */
function slowStorage(): { wrap: (storage: Storage) => Storage; release: () => void; waiting: () => number } {
  let open: (() => void) | undefined;
  let waiting = 0;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  return {
    wrap: (storage) => new Proxy(storage, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name !== 'put') return value.bind(target) as unknown;
        return async (...args: Parameters<Storage['put']>) => {
          if (args[0].includes('slow')) {
            waiting += 1;
            await gate;
            waiting -= 1;
          }
          return target.put(...args);
        };
      },
    }),
    release: () => open?.(),
    waiting: () => waiting,
  };
}

const map = (name: string) => ({ body: { metadata: { name } } });

describe('an API server with little room', function () {
  this.timeout(20_000);
  let server: TestServer | undefined;
  const slow = { current: slowStorage() };
  async function start(options: NonNullable<ApiserverConfig['options']>): Promise<TestServer> {
    slow.current = slowStorage();
    server = await startTestServer({ options }, slow.current.wrap);
    const binding = { metadata: { name: 'guest' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' }, subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'guest' }] };
    expect((await server.call('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', { body: binding })).status).to.equal(201);
    return server;
  }
  const held = (count: number) => eventually(AbortSignal.timeout(5000), () => slow.current.waiting() === count);
  afterEach(async () => {
    slow.current.release();
    await server?.stop();
    server = undefined;
  });

  it('answers 429 as upstream when the wait takes a quarter of the time, keeps answering readers, probes and the administrator, and counts watches apart', async () => {
    const running = await start({ maxMutatingRequestsInflight: 1, maxRequestsInflight: 1, requestTimeoutMs: 60_000 });
    const watches = await Promise.all([1, 2, 3].map(() => running.open('GET', `${maps}?watch=1`, { as: 'guest' })));
    const first = running.call('POST', maps, { ...map('slow'), as: 'guest' });
    await held(1);
    const refused = await running.call('POST', `${maps}?timeout=400ms`, { ...map('other'), as: 'guest' });
    expect(refused.status).to.equal(429);
    expect(refused.text).to.equal('Too many requests, please try again later.\n');
    expect(refused.headers).to.include({ 'retry-after': '1', 'content-type': 'text/plain; charset=utf-8' });
    expect((await running.call('GET', maps, { as: 'guest' })).status).to.equal(200);
    expect((await running.call('GET', '/readyz', { as: 'nobody' })).status).to.equal(200);
    expect((await running.call('POST', maps, map('admins'))).status).to.equal(201);
    const waiting = running.call('POST', maps, { ...map('patient'), as: 'guest' });
    slow.current.release();
    expect((await first).status).to.equal(201);
    expect((await waiting).status).to.equal(201);
    for (const watch of watches) watch.destroy();
  });

  it('ends requests whose time is over with 504, also the client’s own ?timeout=', async () => {
    const running = await start({ requestTimeoutMs: 60_000 });
    const answer = await running.call('POST', `${maps}?timeout=100ms`, map('slow'));
    expect(answer.status).to.equal(504);
    expect(answer.body).to.include({ kind: 'Status', status: 'Failure', reason: 'Timeout', message: 'Timeout: request did not complete within the allotted timeout', code: 504 });
    expect((await running.call('GET', `${maps}?timeout=0s`)).status).to.equal(200);
    expect((await running.call('GET', `${maps}?timeout=9h`)).status).to.equal(200);
  });
  for (const [text, message] of [
    ['abc', 'invalid timeout specified in the request URL - time: invalid duration "abc"'], ['5', 'invalid timeout specified in the request URL - time: missing unit in duration "5"'],
  ] as const) {
    it(`refuses ?timeout=${text} with 400, but not on a watch`, async () => {
      const running = await start({});
      const answer = await running.call('GET', `${maps}?timeout=${text}`);
      expect(answer.body).to.include({ code: 400, reason: 'BadRequest', message });
      const watch = await running.open('GET', `${maps}?watch=1&timeout=${text}`);
      expect(watch.statusCode).to.equal(200);
      watch.destroy();
    });
  }

  async function raw(running: TestServer, head: string): Promise<{ socket: TLSSocket; text: () => string }> {
    const socket = connect({ host: '127.0.0.1', port: running.port, ...running.clientOptions() });
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.write(head);
    return { socket, text: () => text };
  }
  it('answers 504 to who never sends the rest of the body, and closes the connection', async () => {
    const running = await start({ requestTimeoutMs: 300 });
    const { socket, text } = await raw(running, `POST ${maps} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"meta`);
    const drip = setInterval(() => socket.write(' '), 50);
    await once(socket, 'close');
    clearInterval(drip);
    expect(text()).to.match(/^HTTP\/1\.1 504 /).and.to.match(/\r\nConnection: close\r\n/i).and.to.contain('allotted timeout');
  });
  it('does not end watches with the time of requests', async () => {
    const running = await start({ requestTimeoutMs: 200 });
    const lines = watchLines(await running.open('GET', `${maps}?watch=1`));
    await new Promise((resolve) => setTimeout(resolve, 1300));
    await running.call('POST', maps, map('late'));
    expect((await lines.next()).type).to.equal('ADDED');
    lines.close();
  });
});

describe('an API server that stops', function () {
  this.timeout(20_000);

  it('fails /readyz first, then ends watches cleanly, refuses connections and lets the write in flight finish', async () => {
    const slow = slowStorage();
    const server = await startTestServer({ options: { shutdownDelayMs: 300 } }, slow.wrap);
    const watch = await server.open('GET', `${maps}?watch=1`);
    watch.resume();
    const write = server.call('POST', maps, map('slow'));
    await eventually(AbortSignal.timeout(5000), () => slow.waiting() === 1);
    const stopped = server.stop({ keepConnections: true });
    const unready = await server.call('GET', '/readyz');
    expect(unready.status).to.equal(500);
    expect(unready.text).to.contain('[-]shutdown failed: reason withheld\n').and.to.contain('readyz check failed');
    expect((await server.call('GET', '/livez')).status).to.equal(200);
    expect((await server.call('GET', maps)).status).to.equal(200);
    await once(watch, 'end');
    expect(watch.complete).to.equal(true); // the last chunk came
    const fresh = connect({ host: '127.0.0.1', port: server.port, ...server.clientOptions() });
    const [error] = await once(fresh, 'error') as [NodeJS.ErrnoException];
    expect(error.code).to.equal('ECONNREFUSED');
    slow.release();
    const answer = await write;
    expect(answer.status).to.equal(201);
    expect(answer.headers.connection).to.equal('close');
    await stopped;
  });
  it('--shutdown-send-retry-after: still listens while requests finish, and answers 429', async () => {
    const slow = slowStorage();
    const server = await startTestServer({ options: { shutdownSendRetryAfter: true } }, slow.wrap);
    const write = server.call('POST', maps, map('slow'));
    await eventually(AbortSignal.timeout(5000), () => slow.waiting() === 1);
    const stopped = server.stop({ keepConnections: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const refused = await server.call('GET', maps);
    expect(refused.status).to.equal(429);
    expect(refused.text).to.equal('The apiserver is shutting down, please try again later.\n');
    expect(refused.headers).to.include({ 'retry-after': '5', connection: 'close' });
    slow.release();
    expect((await write).status).to.equal(201);
    await stopped;
  });
  it('cuts off what does not end within the time of a request', async () => {
    const slow = slowStorage();
    const server = await startTestServer({ options: { requestTimeoutMs: 200 } }, slow.wrap);
    const write = server.call('POST', maps, map('slow')).then(({ status }) => status, () => 'cut');
    await eventually(AbortSignal.timeout(5000), () => slow.waiting() === 1);
    const stopped = server.stop({ keepConnections: true });
    expect(await write).to.be.oneOf([504, 'cut']);
    slow.release();
    await stopped;
  });
});
