// The one place where an error becomes an answer, for routes and for refused upgrades.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { http } from '#machinery/base/http.ts';
import { createLogger } from '#machinery/base/log.ts';
import { internalError, serviceUnavailable, StatusError, timeoutError } from '#machinery/api/status.ts';
import type { Status } from '#machinery/api/status.ts';
import { negotiatePlain, wantsPretty } from '../handlers/negotiate.ts';
import { encode } from '../handlers/respond.ts';
import { StorageUnavailableError } from '../storage/storage.ts';

const log = createLogger('apiserver');

/** The request's own time is over. */
export class RequestTimeout extends Error {
  override name = 'RequestTimeout';
}

/** An answer in plain text, where upstream gives no Status. */
export class PlainError extends Error {
  override name = 'PlainError';
  readonly code: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(code: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }
}

/** What the client is told. Errors that are not meant for it become a 500 that hides the inside and is logged. */
export function statusOf(error: unknown, keys: Record<string, unknown> = {}): Status {
  if (error instanceof StatusError) {
    if (error.status.code >= 500 && error.cause !== undefined) log.error('request failed', { ...keys, error });
    return error.status;
  }
  if (error instanceof PlainError) return new StatusError(error.code, '', error.message).status;
  if (error instanceof RequestTimeout) return timeoutError('request did not complete within the allotted timeout').status;
  if (error instanceof StorageUnavailableError) {
    log.warn('storage is not available', { ...keys, error });
    return serviceUnavailable(error.message).status;
  }
  log.error('request failed', { ...keys, error });
  return internalError('the server could not complete the request; its log has the reason').status;
}

/** Writes a Status as the answer, `told` sees it first; when the answer has begun already the connection is cut. */
export async function writeError(response: ServerResponse, error: unknown, keys?: Record<string, unknown>, told?: (status: Status) => void): Promise<void> {
  if (response.destroyed) return;
  const status = statusOf(error, keys);
  told?.(status);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (error instanceof PlainError) {
    writePlain(response, error);
    return;
  }
  response.statusCode = status.code;
  const { mediaType, bytes } = await encoded(status, response.req);
  response.setHeader('Content-Type', mediaType);
  response.setHeader('X-Content-Type-Options', 'nosniff');
  if (status.details?.retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(status.details.retryAfterSeconds));
  if (status.code === 401) response.setHeader('WWW-Authenticate', 'Bearer');
  response.setHeader('Content-Length', bytes.length);
  closeIfUnread(response);
  response.end(response.req.method === 'HEAD' ? undefined : bytes);
}

function writePlain(response: ServerResponse, { code, message, headers }: PlainError): void {
  const body = Buffer.from(`${message}\n`);
  response.statusCode = code;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('Content-Length', body.length);
  closeIfUnread(response);
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** A body that was not read to its end cannot be told from the next request. */
function closeIfUnread(response: ServerResponse): void {
  if (!response.req.complete && response.req.method !== 'GET' && response.req.method !== 'HEAD') response.setHeader('Connection', 'close');
}

/** In the form that was agreed on; in JSON for people where none is. */
async function encoded(status: Status, { headers, url = '' }: IncomingMessage): Promise<{ mediaType: string; bytes: Buffer }> {
  const form = negotiatePlain(headers.accept);
  const query = new URLSearchParams(url.includes('pretty') ? url.slice(url.indexOf('?') + 1) : '');
  if (form?.mediaType === 'application/json' && !form.pretty && !wantsPretty(query, headers['user-agent'])) {
    return { mediaType: 'application/json', bytes: Buffer.from(`${JSON.stringify(status)}\n`) };
  }
  return encode(form?.mediaType ?? 'application/json', status);
}

/** The same for an upgrade that is refused before any 101. */
export function refuseUpgrade(socket: Duplex, error: unknown, keys?: Record<string, unknown>, told?: (status: Status) => void): void {
  const status = statusOf(error, keys);
  told?.(status);
  const body = `${JSON.stringify(status)}\n`;
  socket.end(`HTTP/1.1 ${status.code} ${http.STATUS_CODES[status.code] ?? ''}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n`
    + `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
}

/** For what the parser refused. A connection that never sent a request is closed without a word: its client would take an answer for that of the request it is just sending. */
export function refuseConnection(socket: Duplex, error: NodeJS.ErrnoException): void {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' || !socket.writable) socket.destroy();
  else socket.end('HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request');
}
