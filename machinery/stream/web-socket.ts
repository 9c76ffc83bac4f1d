// The server's side of WebSockets as Kubernetes uses them: sub-protocol choice, numbered channels (v5 … v1, base64 variants), and
// a plain duplex for tunnels. Channel rules: apiserver's wsstream and remotecommand packages; v5's close signal: KEP-4006.
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';

export function isWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** The first of `supported` that the client offers ('' when it offers none and `supported` has ''), or undefined. */
export function chooseProtocol(request: IncomingMessage, supported: readonly string[]): string | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((part) => part.trim()).filter(Boolean);
  if (offered.length === 0) return supported.includes('') ? '' : undefined;
  return offered.find((protocol) => supported.includes(protocol));
}

/** Completes the handshake with `protocol` ('' names none). Rejects when the request is no proper WebSocket handshake. */
export async function acceptWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer, protocol: string): Promise<WebSocket> {
  const { WebSocketServer } = await import('ws');
  const server = new WebSocketServer({ noServer: true, maxPayload: 32 << 20, perMessageDeflate: false });
  // The library refuses names with a slash (SPDY/3.1+portforward.k8s.io), so the choice is made past it.
  delete request.headers['sec-websocket-protocol'];
  if (protocol !== '') server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`));
  return new Promise((resolve, reject) => {
    server.once('wsClientError', (error) => reject(error));
    server.handleUpgrade(request, socket, head, resolve);
  });
}

export interface Channels {
  /** Duplex of one channel. Reading ends with the client's close signal (v5) or the connection; ours is never sent: clients do not know it. */
  channel(number: number): Duplex;
  /** Closes the WebSocket after what was written has gone out. */
  readonly close: () => void;
  readonly closed: Promise<void>;
}

const closeSignal = 255;

/** Splits a WebSocket into `count` channels. Unread data of one channel holds the connection back, not memory. */
export function createChannels(socket: WebSocket, protocol: string, count: number): Channels {
  const base64 = protocol.includes('base64');
  const closes = protocol.startsWith('v5.');
  const channels = Array.from({ length: count }, (_, number) => new Channel(socket, number, base64));
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.on('message', (data: RawData) => {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
    if (bytes.length === 0) return;
    const number = base64 ? (bytes[0] ?? 0) - 0x30 : bytes[0] ?? 0;
    if (closes && number === closeSignal) {
      channels[bytes[1] ?? closeSignal]?.peerEnded();
      return;
    }
    channels[number]?.deliver(base64 ? Buffer.from(bytes.toString('latin1', 1), 'base64') : bytes.subarray(1));
  });
  const end = (): void => {
    for (const channel of channels) {
      channel.peerEnded();
      channel.destroy();
    }
    resolve();
  };
  socket.on('close', end);
  socket.on('error', () => socket.terminate());
  return {
    channel: (number) => {
      const channel = channels[number];
      if (!channel) throw new RangeError(`no channel ${number}`);
      return channel;
    },
    close: () => {
      socket.close(1000);
      setTimeout(() => socket.terminate(), 1000).unref(); // a peer that does not answer the close
    },
    closed,
  };
}

class Channel extends Duplex {
  readonly #socket: WebSocket;
  readonly #number: number;
  readonly #base64: boolean;
  #ended = false;
  constructor(socket: WebSocket, number: number, base64: boolean) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#number = number;
    this.#base64 = base64;
    this.on('error', () => {}); // a write after the peer left; whoever writes gets the error too
  }
  deliver(data: Buffer): void {
    if (this.#ended || this.destroyed) return;
    if (!this.push(data)) this.#socket.pause();
  }
  peerEnded(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.push(null);
  }
  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#base64) this.#socket.send(`${this.#number}${chunk.toString('base64')}`, { binary: false }, callback);
    else this.#socket.send(Buffer.concat([Buffer.from([this.#number]), chunk]), { binary: true }, callback);
  }
}
