// The one place where an error becomes an answer, for routes and for refused upgrades.
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { http } from '#machinery/base/http.ts';
import { createLogger } from '#machinery/base/log.ts';
import { internalError, serviceUnavailable, StatusError, timeoutError } from '#machinery/api/status.ts';
import type { Status } from '#machinery/api/status.ts';
import { namesProtobuf, negotiateOutput, protobufType } from '../handlers/negotiate.ts';
import { loadProtobuf } from '../handlers/protobuf.ts';
import { StorageUnavailableError } from '../storage/storage.ts';

const log = createLogger('apiserver');

/** The request's own time is over. */
export class RequestTimeout extends Error {
  override name = 'RequestTimeout';
}

/** What the client is told. Errors that are not meant for it become a 500 that hides the inside and is logged. */
export function statusOf(error: unknown, keys: Record<string, unknown> = {}): Status {
  if (error instanceof StatusError) {
    if (error.status.code >= 500 && error.cause !== undefined) log.error('request failed', { ...keys, error });
    return error.status;
  }
  if (error instanceof RequestTimeout) return timeoutError('request did not complete within the allotted timeout').status;
  if (error instanceof StorageUnavailableError) {
    log.warn('storage is not available', { ...keys, error });
    return serviceUnavailable(error.message).status;
  }
  log.error('request failed', { ...keys, error });
  return internalError('the server could not complete the request; its log has the reason').status;
}

/** Writes a Status as the answer; when the answer has begun already the connection is cut. */
export async function writeError(response: ServerResponse, error: unknown, keys?: Record<string, unknown>): Promise<void> {
  if (response.destroyed) return;
  const status = statusOf(error, keys);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.statusCode = status.code;
  const { mediaType, body } = namesProtobuf(response.req.headers.accept) ? await inProtobuf(status, response.req.headers.accept) : inJson(status);
  response.setHeader('Content-Type', mediaType);
  response.setHeader('X-Content-Type-Options', 'nosniff');
  if (status.details?.retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(status.details.retryAfterSeconds));
  if (status.code === 401) response.setHeader('WWW-Authenticate', 'Bearer');
  response.setHeader('Content-Length', body.length);
  // A body that was not read to its end cannot be told from the next request.
  if (!response.req.complete && response.req.method !== 'GET' && response.req.method !== 'HEAD') response.setHeader('Connection', 'close');
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

function inJson(status: Status): { mediaType: string; body: Buffer } {
  return { mediaType: 'application/json', body: Buffer.from(`${JSON.stringify(status)}\n`) };
}

/** An error is told in JSON where nothing else can be agreed on. */
async function inProtobuf(status: Status, accept: string | undefined): Promise<{ mediaType: string; body: Buffer }> {
  try {
    if (negotiateOutput(accept, false, true).mediaType !== protobufType) return inJson(status);
  } catch (error) {
    if (error instanceof StatusError) return inJson(status);
    throw error;
  }
  const body = (await loadProtobuf()).encode({ ...status });
  return body ? { mediaType: protobufType, body } : inJson(status);
}

/** The same for an upgrade that is refused before any 101. */
export function refuseUpgrade(socket: Duplex, error: unknown, keys?: Record<string, unknown>): void {
  const status = statusOf(error, keys);
  const body = `${JSON.stringify(status)}\n`;
  socket.end(`HTTP/1.1 ${status.code} ${http.STATUS_CODES[status.code] ?? ''}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n`
    + `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
}

/** For what the parser refused. A connection that never sent a request is closed without a word: its client would take an answer for that of the request it is just sending. */
export function refuseConnection(socket: Duplex, error: NodeJS.ErrnoException): void {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' || !socket.writable) socket.destroy();
  else socket.end('HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request');
}
