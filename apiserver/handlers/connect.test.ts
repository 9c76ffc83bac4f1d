// Logs, exec and the proxies against a kubelet that is a plain TLS server here.
import { expect } from 'chai';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { WebSocket } from 'ws';
import { startTestServer } from '../testing.ts';
import type { TestServer } from '../testing.ts';

describe('connections to kubelets', function () {
  this.timeout(20_000);
  let server: TestServer;
  let kubelet: Server;
  const seen: string[] = [];
  const pods = '/api/v1/namespaces/default/pods';

  before(async () => {
    server = await startTestServer();
    const { serving } = server.config;
    kubelet = createServer({ ...serving, ca: server.ca.cert, requestCert: true, rejectUnauthorized: true, allowHalfOpen: true }, (request, response) => {
      seen.push(`${request.method} ${request.url} by ${(request.socket as TLSSocket).getPeerCertificate().subject.CN ?? ''} ${request.headers.authorization ?? ''}`);
      if (request.url?.includes('previous=true')) response.writeHead(400).end('previous terminated container "c" in pod "p" not found');
      else if (request.url?.startsWith('/containerLogs/')) response.end('line 1\nline 2\n');
      else if (request.url === '/page') response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Access-Control-Allow-Origin': '*' }).end(`<a href="/x">${request.headers['x-forwarded-uri']}</a>`);
      else if (request.url === '/zipped') response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Encoding': 'gzip' }).end(gzipSync('<a href="/x">x</a>'));
      else if (request.url === '/moved') response.writeHead(302, { Location: `https://${request.headers.host}/a?b=c` }).end();
      else if (request.url === '/inside') response.writeHead(307, { Location: '/a/' }).end();
      else request.pipe(response);
    });
    kubelet.on('upgrade', (request, socket, head) => {
      seen.push(`${request.method} ${request.url} upgrade ${request.headers.upgrade ?? ''}`);
      if (request.url?.includes('refuse')) {
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nnot me');
        return;
      }
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello ');
      socket.write(head);
      socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
      socket.on('end', () => socket.end('bye'));
    });
    await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', () => resolve()));
    const { port } = kubelet.address() as AddressInfo;
    const call = async (method: string, path: string, body: unknown): Promise<void> => {
      const answer = await server.call(method, path, { body });
      expect(answer.status, answer.text).to.be.lessThan(300);
    };
    await call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
    await call('POST', '/api/v1/nodes', { metadata: { name: 'n' }, status: { addresses: [{ type: 'Hostname', address: 'n' }, { type: 'InternalIP', address: '127.0.0.1' }], daemonEndpoints: { kubeletEndpoint: { Port: port } } } });
    await call('POST', pods, { metadata: { name: 'p' }, spec: { nodeName: 'n', containers: [{ name: 'c', image: 'i' }, { name: 'd', image: 'i' }], tolerations: [{ operator: 'Exists' }] } });
  });
  after(async () => {
    kubelet.closeAllConnections();
    await new Promise((resolve) => kubelet.close(resolve));
    await server.stop();
  });

  it('logs are streamed from the node with the API server\'s certificate', async () => {
    const answer = await server.call('GET', `${pods}/p/log?container=d&tailLines=5&follow=false`, { headers: { Authorization: 'Basic nope' } });
    expect([answer.status, answer.text, answer.headers['content-type']]).to.deep.equal([200, 'line 1\nline 2\n', 'text/plain']);
    expect(seen.at(-1)).to.equal('GET /containerLogs/default/p/d?tailLines=5&stream=All by admin ');
  });
  it('logs need a container that is there, and sensible numbers', async () => {
    expect((await server.call('GET', `${pods}/p/log`)).body['message']).to.equal('a container name must be specified for pod p, choose one of: [c d]');
    expect((await server.call('GET', `${pods}/p/log?container=c&tailLines=-1`)).status).to.equal(422);
    const both = await server.call('GET', `${pods}/p/log?container=c&sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z`);
    expect(both.body['message']).to.equal('PodLogOptions "p" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified');
    expect((await server.call('GET', `${pods}/p/log?container=c&limitBytes=x`)).status).to.equal(400);
    const refused = await server.call('GET', `${pods}/p/log?container=c&previous=true`);
    expect(refused.body).to.deep.include({ code: 400, reason: 'BadRequest', message: 'previous terminated container "c" in pod "p" not found' });
  });
  it('node proxies pass requests and bodies on', async () => {
    const answer = await server.call('POST', '/api/v1/nodes/n/proxy/echo/a%20b?x=1', { body: 'ping', headers: { 'Content-Type': 'text/plain' } });
    expect([answer.status, answer.text]).to.deep.equal([200, 'ping']);
    expect(seen.at(-1)).to.equal('POST /echo/a%20b?x=1 by admin ');
  });
  const proxy = '/api/v1/nodes/n/proxy';
  it('a proxy without the slash sends readers to the one with it, and writers on', async () => {
    for (const method of ['GET', 'HEAD']) {
      const count = seen.length;
      const answer = await server.call(method, `${proxy}?method=x`);
      expect([answer.status, answer.headers['location'], seen.length]).to.deep.equal([301, `${proxy}/?method=x`, count]);
    }
    expect((await server.call('GET', '/api/v1/nodes/absent/proxy')).status).to.equal(404);
    expect((await server.call('GET', `${proxy}/`)).status).to.equal(200);
    expect((await server.call('GET', `${proxy}/a`)).status).to.equal(200);
    const answer = await server.call('POST', proxy, { body: 'ping', headers: { 'Content-Type': 'text/plain' } });
    expect([answer.status, answer.text, seen.at(-1)]).to.deep.equal([200, 'ping', 'POST / by admin ']);
  });
  it('links of proxied pages and Location headers lead through the proxy', async () => {
    const page = await server.call('GET', `${proxy}/page`);
    expect([page.status, page.text, page.headers['access-control-allow-origin']]).to.deep.equal([200, `<a href="${proxy}/x">${proxy}/page</a>`, undefined]);
    const zipped = await server.call('GET', `${proxy}/zipped`);
    expect(zipped.headers['content-encoding']).to.equal('gzip');
    const inside = await server.call('GET', `${proxy}/inside`);
    expect([inside.status, inside.headers['location']]).to.deep.equal([307, `${proxy}/a/`]);
    const moved = await server.call('GET', `${proxy}/moved`);
    expect(moved.headers['location']).to.match(new RegExp(`^https://[^/]+:${server.port}${proxy}/a\\?b=c$`));
    const head = await server.call('HEAD', `${proxy}/page`);
    expect([head.status, head.headers['content-length']]).to.deep.equal([200, undefined]);
  });
  it('proxies reach neither the machine itself nor what is not there', async () => {
    await server.call('PATCH', `${pods}/p/status`, { headers: { 'Content-Type': 'application/merge-patch+json' }, body: { status: { podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] } } });
    expect((await server.call('GET', `${pods}/p:80/proxy/`)).body).to.deep.include({ code: 400, message: 'address not allowed' });
    expect((await server.call('GET', '/api/v1/namespaces/default/services/kubernetes:x/proxy/')).status).to.equal(503);
    expect((await server.call('GET', '/api/v1/nodes/absent/proxy/')).status).to.equal(404);
  });

  const upgrade = (path: string, after: (socket: TLSSocket) => void) => new Promise<string>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, servername: 'localhost', ...server.clientOptions() }, () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`);
      after(socket);
    });
    socket.allowHalfOpen = true;
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    }).on('end', () => {
      socket.end();
      resolve(text);
    }).on('error', reject);
  });
  it('exec is spliced both ways; when one side ends the other still gets what is left', async () => {
    const text = await upgrade(`${pods}/p/exec?container=c&command=sh&command=-c&stdin=true&tty=true`, (socket) => {
      setTimeout(() => socket.end('input'), 100);
    });
    expect(text).to.match(/^HTTP\/1.1 101 Switching Protocols\r\n/);
    expect(text.split('\r\n\r\n')[1]).to.equal('hello INPUTbye');
    expect(seen.at(-1)).to.equal('GET /exec/default/p/c?input=1&output=1&error=1&tty=1&command=sh&command=-c upgrade websocket');
  });
  it('logs come as messages over a WebSocket, an empty one first', async () => {
    const logs = (query: string, protocol: string): Promise<string[]> => new Promise((resolve, reject) => {
      const messages: string[] = [];
      const socket = new WebSocket(`wss://localhost:${server.port}${pods}/p/log?container=c${query}`, protocol, server.clientOptions());
      socket.on('message', (data: Buffer, isBinary) => messages.push(`${isBinary ? 'binary' : 'text'} ${data.toString()}`));
      socket.on('close', () => resolve([socket.protocol, ...messages]));
      socket.on('error', reject);
    });
    expect(await logs('', 'binary.k8s.io')).to.deep.equal(['binary.k8s.io', 'binary ', 'binary line 1\nline 2\n']);
    expect(await logs('', 'base64.binary.k8s.io')).to.deep.equal(['base64.binary.k8s.io', 'text ', `text ${Buffer.from('line 1\nline 2\n').toString('base64')}`]);
    for (const [query, protocol] of [['&previous=true', 'binary.k8s.io'], ['', 'other.k8s.io'], ['x', 'binary.k8s.io']]) {
      const error = await logs(query ?? '', protocol ?? '').then(() => undefined, (reason: unknown) => reason);
      expect(error).to.be.an('error').with.property('message', 'Unexpected server response: 400');
    }
  });
  it('a kubelet that refuses is heard', async () => {
    const text = await upgrade(`${pods}/p/exec?container=c&command=refuse`, () => undefined);
    expect(text).to.match(/^HTTP\/1.1 403 Forbidden\r\n[\s\S]*not me$/);
  });
  it('a kubelet that is away is a 500 with upstream\'s words', async () => {
    await server.call('PATCH', '/api/v1/nodes/n/status', { headers: { 'Content-Type': 'application/merge-patch+json' }, body: { status: { daemonEndpoints: { kubeletEndpoint: { Port: 1 } } } } });
    const text = await upgrade(`${pods}/p/attach?container=c`, () => undefined);
    expect(text).to.match(/^HTTP\/1.1 500 [\s\S]*error dialing backend/);
    expect((await server.call('GET', `${pods}/p/log?container=c`)).body['message']).to.contain('error dialing backend');
  });
});
