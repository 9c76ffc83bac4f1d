// Port-forward: pairs of data and error streams (SPDY, SPDY tunnelled in a WebSocket, or WebSocket channels with ?ports=) joined to
// connections into the pod. Protocol: upstream's streaming/portforward package; tunnelling: KEP-4006.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createLogger } from '#machinery/base/log.ts';
import { acceptSpdy, chooseStreamProtocol, isSpdy, refuseUpgrade } from '#machinery/stream/spdy-upgrade.ts';
import { createSpdySession } from '#machinery/stream/spdy.ts';
import type { SpdySession, SpdyStream } from '#machinery/stream/spdy.ts';
import { acceptWebSocket, chooseProtocol, createChannels, isWebSocket } from '#machinery/stream/web-socket.ts';

/** Opens a connection to a port inside the pod; rejects with a reason that the client may see. */
export type ConnectPort = (port: number, signal: AbortSignal) => Promise<Duplex>;

const log = createLogger('kubelet');
const spdyProtocol = 'portforward.k8s.io';
const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
const channelProtocols = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io', ''];
const pairTimeoutMs = 30_000;
const maxPairs = 512;

/** Answers the upgrade and serves it to its end. `pod` names the pod in errors. Never rejects. */
export async function servePortForward(
  request: IncomingMessage, socket: Duplex, head: Buffer, query: URLSearchParams, pod: { name: string; uid: string }, connect: ConnectPort, signal: AbortSignal,
): Promise<void> {
  try {
    if (isWebSocket(request)) {
      if (chooseProtocol(request, [tunnelProtocol]) === tunnelProtocol) await serveTunnel(request, socket, head, pod, connect, signal);
      else await serveChannels(request, socket, head, query, pod, connect, signal);
    } else if (isSpdy(request)) {
      const protocol = chooseStreamProtocol(request, [spdyProtocol]);
      if (protocol === undefined) refuseUpgrade(socket, 403, `unable to upgrade: unable to negotiate protocol: server accepts ${spdyProtocol}`);
      else await serveSession(acceptSpdy(socket, head, protocol === '' ? spdyProtocol : protocol), pod, connect, signal);
    } else refuseUpgrade(socket, 400, 'Upgrade request required');
  } catch (error) {
    log.warn('port-forward failed', { pod: pod.name, error });
    socket.destroy();
  }
}

async function serveTunnel(request: IncomingMessage, socket: Duplex, head: Buffer, pod: { name: string; uid: string }, connect: ConnectPort, signal: AbortSignal): Promise<void> {
  const { createWebSocketStream } = await import('ws');
  const webSocket = await acceptWebSocket(request, socket, head, tunnelProtocol);
  const transport = createWebSocketStream(webSocket);
  await serveSession(createSpdySession(transport, 'server'), pod, connect, signal);
}

/** One session: streams that carry the same request id make a pair. */
async function serveSession(session: SpdySession, pod: { name: string; uid: string }, connect: ConnectPort, signal: AbortSignal): Promise<void> {
  const close = (): void => session.close();
  signal.addEventListener('abort', close, { once: true });
  const pairs = new Map<string, { data?: SpdyStream; error?: SpdyStream; timer: NodeJS.Timeout }>();
  try {
    for await (const stream of session.incoming) {
      stream.on('error', () => {}); // whoever reads or writes the stream sees it
      const { port: portText = '', streamtype = '' } = stream.headers;
      const port = Number(portText);
      const type = streamtype === 'data' || streamtype === 'error' ? streamtype : undefined;
      if (!/^\d+$/.test(portText) || port < 1 || port > 65535 || !type || pairs.size >= maxPairs) {
        stream.destroy();
        continue;
      }
      await stream.reply();
      // Old clients send no request id: the error stream comes first, the data stream's id is its successor.
      const id = stream.headers.requestid ?? String(type === 'data' ? stream.id - 2 : stream.id);
      let pair = pairs.get(id);
      if (!pair) {
        const timer = setTimeout(() => {
          const late = pairs.get(id);
          pairs.delete(id);
          late?.error?.end(`timed out waiting for streams of request ${id}`);
          late?.data?.destroy();
        }, pairTimeoutMs);
        pair = { timer };
        pairs.set(id, pair);
      }
      pair[type] = stream;
      if (pair.data && pair.error) {
        clearTimeout(pair.timer);
        pairs.delete(id);
        pair.error.resume();
        forward(port, pair.data, pair.error, pod, connect, signal).catch((error: unknown) => log.warn('port-forward failed', { pod: pod.name, error }));
      }
    }
  } finally {
    signal.removeEventListener('abort', close);
    for (const { timer } of pairs.values()) clearTimeout(timer);
    session.close();
  }
}

async function serveChannels(
  request: IncomingMessage, socket: Duplex, head: Buffer, query: URLSearchParams, pod: { name: string; uid: string }, connect: ConnectPort, signal: AbortSignal,
): Promise<void> {
  const ports = [...query.getAll('port'), ...query.getAll('ports')].flatMap((text) => text.split(','));
  if (ports.length === 0) return refuseUpgrade(socket, 400, 'query parameter "port" is required');
  for (const text of ports) {
    if (text === '') return refuseUpgrade(socket, 400, 'query parameter "port" cannot be empty');
    if (!/^\d+$/.test(text) || Number(text) > 65535) return refuseUpgrade(socket, 400, `unable to parse "${text}" as a port`);
    if (Number(text) < 1) return refuseUpgrade(socket, 400, `port "${text}" must be > 0`);
  }
  if (ports.length > 127) return refuseUpgrade(socket, 400, 'too many ports');
  const protocol = chooseProtocol(request, channelProtocols);
  if (protocol === undefined) return refuseUpgrade(socket, 403, 'Forbidden');
  const channels = createChannels(await acceptWebSocket(request, socket, head, protocol), protocol, ports.length * 2);
  signal.addEventListener('abort', channels.close, { once: true });
  try {
    await Promise.all(ports.map((text, index) => {
      const data = channels.channel(index * 2);
      const error = channels.channel(index * 2 + 1);
      error.resume();
      const bytes = Buffer.alloc(2);
      bytes.writeUInt16LE(Number(text));
      data.write(bytes);
      error.write(Buffer.from(bytes));
      return forward(Number(text), data, error, pod, connect, signal);
    }));
  } finally {
    signal.removeEventListener('abort', channels.close);
    channels.close();
  }
}

/** Joins one pair to a connection; a failure goes to the error stream in upstream's words. */
async function forward(port: number, data: Duplex, error: Duplex, pod: { name: string; uid: string }, connect: ConnectPort, signal: AbortSignal): Promise<void> {
  let connection: Duplex;
  try {
    connection = await connect(port, signal);
  } catch (cause) {
    error.end(`error forwarding port ${port} to pod ${pod.name}, uid ${pod.uid}: ${cause instanceof Error ? cause.message : String(cause)}`);
    data.end();
    data.resume();
    return;
  }
  // Each direction ends by itself; an error on either side ends both.
  await Promise.all([pipeline(data, connection), pipeline(connection, data)]).catch((cause: unknown) => {
    log.debug('forwarded connection broke off', { pod: pod.name, port, cause });
    connection.destroy();
    data.destroy();
  });
  error.end();
}
