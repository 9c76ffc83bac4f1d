import { expect } from 'chai';
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server as TcpServer } from 'node:net';
import { PassThrough, type Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import WebSocket from 'ws';
import { createSpdySession } from '#machinery/stream/spdy.ts';
import type { StreamSession } from '../runtime/runtime.ts';
import { connectPodPort } from './pod-port.ts';
import { servePortForward } from './port-forward.ts';
import { remoteCommandOptions, serveRemoteCommand } from './remote-command.ts';

const never = new AbortController().signal;

/** A process that copies its input to stdout, says "E" on stderr, and ends with `code` when its input does. */
function echo(code: number, sizes: unknown[] = []): StreamSession {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  stdin.pipe(stdout);
  stderr.end('E');
  return {
    stdin, stdout, stderr,
    resize: async (size) => { sizes.push(size); },
    exitCode: new Promise((resolve) => stdout.on('end', () => resolve(code))),
  };
}

describe('kubelet streaming', () => {
  let server: Server;
  let port = 0;
  let start: () => Promise<StreamSession>;
  let tcp: TcpServer;
  let tcpPort = 0;

  before(async () => {
    server = createServer();
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const url = new URL(request.url ?? '/', 'http://x');
      const work = url.pathname === '/exec'
        ? serveRemoteCommand(request, socket, head, remoteCommandOptions(url.searchParams), () => start(), never)
        : servePortForward(request, socket, head, url.searchParams, { name: 'p', uid: 'u' }, (p, signal) => connectPodPort({ ip: '127.0.0.1', pid: 0 }, p, signal), never);
      work.catch((error: unknown) => { throw error; });
    });
    tcp = createTcpServer((socket) => { socket.on('error', () => {}); socket.pipe(socket); });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
    tcpPort = (tcp.address() as AddressInfo).port;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    tcp.close();
  });

  /** Everything that arrives, by channel, until the server closes. */
  async function channels(path: string, protocol: string, send: (socket: WebSocket) => void): Promise<Map<number, string>> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocol);
    const seen = new Map<number, string>();
    socket.on('message', (data: Buffer) => {
      const base64 = protocol.includes('base64');
      const number = base64 ? (data[0] ?? 0) - 0x30 : data[0] ?? 0;
      const body = base64 ? Buffer.from(data.toString('latin1', 1), 'base64').toString() : data.toString('utf8', 1);
      seen.set(number, (seen.get(number) ?? '') + body);
    });
    socket.on('open', () => send(socket));
    await new Promise((resolve, reject) => { socket.on('close', resolve); socket.on('error', reject); });
    return seen;
  }
  async function spdy(path: string, protocols: string): Promise<{ response: IncomingMessage; socket: Duplex; head: Buffer }> {
    const request = httpRequest({ host: '127.0.0.1', port, path, method: 'POST', headers: { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': protocols } });
    request.end();
    return new Promise((resolve, reject) => {
      request.on('upgrade', (response, socket, head) => resolve({ response, socket, head }));
      request.on('response', (response) => resolve({ response, socket: response.socket, head: Buffer.alloc(0) }));
      request.on('error', reject);
    });
  }

  it('v5: input until the close signal, both outputs, exit code on the error channel', async () => {
    start = async () => echo(3);
    const seen = await channels('/exec?stdin=1&stdout=1&stderr=1&command=x', 'v5.channel.k8s.io', (socket) => {
      socket.send(Buffer.from('\0hello'));
      socket.send(Buffer.from([255, 0]));
    });
    expect(seen.get(1)).to.equal('hello');
    expect(seen.get(2)).to.equal('E');
    expect(JSON.parse(seen.get(3) ?? '')).to.deep.include({ status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '3' }] } });
  });

  it('v4 base64: success is a Status; the first message is empty', async () => {
    start = async () => { const session = echo(0); session.stdin.end('out'); return { ...session, stdin: new PassThrough() }; };
    const seen = await channels('/exec?stdout=1&command=x', 'v4.base64.channel.k8s.io', () => {});
    expect(seen.get(1)).to.equal('out');
    expect(seen.has(2)).to.equal(false);
    expect(JSON.parse(seen.get(3) ?? '')).to.deep.equal({ metadata: {}, status: 'Success' });
  });

  it('channel.k8s.io: nothing on the error channel after success', async () => {
    start = async () => { const session = echo(0); session.stdin.end('out'); return { ...session, stdin: new PassThrough() }; };
    const seen = await channels('/exec?stdout=1&command=x', 'channel.k8s.io', () => {});
    expect(seen.get(1)).to.equal('out');
    expect(seen.get(3) ?? '').to.equal('');
  });

  it('a failed start is reported on the error channel', async () => {
    start = async () => { throw new Error('no such file'); };
    const seen = await channels('/exec?stdout=1&command=x', 'v4.channel.k8s.io', () => {});
    expect(JSON.parse(seen.get(3) ?? '').message).to.equal('Internal error occurred: error executing command in container: no such file');
  });

  it('a tty resizes', async () => {
    const sizes: unknown[] = [];
    start = async () => echo(0, sizes);
    await channels('/exec?stdin=1&stdout=1&tty=1&command=x', 'v5.channel.k8s.io', (socket) => {
      socket.send(Buffer.concat([Buffer.from([4]), Buffer.from('{"Width":80,"Height":24}\n')]));
      socket.send(Buffer.from([255, 0]));
    });
    expect(sizes).to.deep.equal([{ width: 80, height: 24 }]);
  });

  it('an unknown sub-protocol is refused before any 101', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/exec?stdout=1`, 'v9.channel.k8s.io');
    const error = await new Promise<Error>((resolve) => socket.on('error', resolve));
    expect(error.message).to.include('403');
  });

  it('remoteCommandOptions() refuses a request for no stream', () => {
    expect(() => remoteCommandOptions(new URLSearchParams('command=x'))).to.throw('you must specify at least 1 of stdin, stdout, stderr');
  });

  it('SPDY v4: streams, exit code', async () => {
    start = async () => echo(7);
    const { response, socket, head } = await spdy('/exec?stdin=1&stdout=1&command=x', 'v4.channel.k8s.io');
    expect(response.statusCode).to.equal(101);
    expect(response.headers['x-stream-protocol-version']).to.equal('v4.channel.k8s.io');
    const session = createSpdySession(socket, 'client', head);
    const [error, stdin, stdout] = await Promise.all(['error', 'stdin', 'stdout'].map((streamType) => session.open({ streamType })));
    stdin?.end('over spdy');
    expect(await text(stdout as Duplex)).to.equal('over spdy');
    expect(JSON.parse(await text(error as Duplex)).details.causes[0].message).to.equal('7');
    await session.closed;
  });

  it('SPDY without a version in common is a 403', async () => {
    const { response } = await spdy('/exec?stdout=1&command=x', 'v9.channel.k8s.io');
    expect(response.statusCode).to.equal(403);
    response.resume();
  });

  it('port-forward over SPDY joins pairs and reports what does not listen', async () => {
    const { socket, head } = await spdy('/portForward', 'portforward.k8s.io');
    const session = createSpdySession(socket, 'client', head);
    const error = await session.open({ streamType: 'error', port: String(tcpPort), requestID: '0' });
    const data = await session.open({ streamType: 'data', port: String(tcpPort), requestID: '0' });
    data.end('ping');
    expect(await text(data)).to.equal('ping');
    expect(await text(error)).to.equal('');
    const closedPort = await freePort();
    const failed = await session.open({ streamType: 'error', port: String(closedPort), requestID: '1' });
    await session.open({ streamType: 'data', port: String(closedPort), requestID: '1' });
    expect(await text(failed)).to.match(/^error forwarding port \d+ to pod p, uid u: .*ECONNREFUSED/);
    session.close();
    await session.closed;
  });

  it('port-forward takes the tunnel protocol, slash and all', async () => {
    const request = httpRequest({
      host: '127.0.0.1', port, path: '/portForward',
      headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Protocol': 'SPDY/3.1+portforward.k8s.io' },
    });
    request.end();
    const [response, socket] = await new Promise<[IncomingMessage, Duplex]>((resolve, reject) => {
      request.on('upgrade', (message, duplex) => resolve([message, duplex]));
      request.on('response', (message) => reject(new Error(`refused with ${message.statusCode}`)));
      request.on('error', reject);
    });
    expect(response.headers['sec-websocket-protocol']).to.equal('SPDY/3.1+portforward.k8s.io');
    // A masked binary frame that holds a SPDY ping comes back as one.
    const ping = Buffer.from('800300060000000400000001', 'hex');
    const mask = Buffer.from([1, 2, 3, 4]);
    socket.write(Buffer.concat([Buffer.from([0x82, 0x80 | ping.length]), mask, ping.map((byte, index) => byte ^ (mask[index % 4] ?? 0))]));
    const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    expect(answer.toString('hex')).to.equal(`820c${ping.toString('hex')}`);
    socket.destroy();
  });

  it('port-forward over channels starts both with the port, little endian', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/portForward?ports=${tcpPort}`, 'v4.channel.k8s.io');
    const messages: Buffer[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (data: Buffer) => {
        messages.push(data);
        if (messages.length === 2) socket.send(Buffer.from('\0hi'));
        if (messages.length === 3) resolve();
      });
    });
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(tcpPort);
    expect(messages.map((message) => message.toString('hex'))).to.deep.equal([`00${bytes.toString('hex')}`, `01${bytes.toString('hex')}`, '006869']);
    socket.terminate();
  });
});

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const probe = connectTcp(port, '127.0.0.1');
  await new Promise((resolve) => probe.once('error', resolve));
  return port;
}
