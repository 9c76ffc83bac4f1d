// The HTTP side of SPDY/3.1: recognising the upgrade, choosing X-Stream-Protocol-Version, answering 101 or a refusal.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { http } from '../base/http.ts';
import { createSpdySession } from './spdy.ts';
import type { SpdySession } from './spdy.ts';

export function isSpdy(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'spdy/3.1' && (request.headers.connection ?? '').toLowerCase().includes('upgrade');
}

const protocolHeader = 'x-stream-protocol-version';

/** The first of the client's versions that is supported; '' when it names none; undefined when none fits. */
export function chooseStreamProtocol(request: IncomingMessage, supported: readonly string[]): string | undefined {
  const header = request.headers[protocolHeader];
  const offered = (Array.isArray(header) ? header.join(',') : header ?? '').split(',').map((part) => part.trim()).filter(Boolean);
  if (offered.length === 0) return '';
  return offered.find((protocol) => supported.includes(protocol));
}

export function acceptSpdy(socket: Duplex, head: Buffer, protocol: string): SpdySession {
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${protocol === '' ? '' : `X-Stream-Protocol-Version: ${protocol}\r\n`}\r\n`);
  return createSpdySession(socket, 'server', head);
}

/** A whole HTTP answer in place of an upgrade; the connection ends with it. */
export function refuseUpgrade(socket: Duplex, code: number, body: string, headers: Record<string, string> = {}): void {
  const bytes = Buffer.from(body);
  const lines = Object.entries({ 'Content-Type': 'text/plain; charset=utf-8', ...headers, 'Content-Length': String(bytes.length), Connection: 'close' });
  socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 ${code} ${http.STATUS_CODES[code] ?? ''}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`), bytes]));
}
