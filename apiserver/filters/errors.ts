// The one place where an error becomes an answer, for routes and for refused upgrades.
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { http } from '#machinery/base/http.ts';
import { createLogger } from '#machinery/base/log.ts';
import { internalError, serviceUnavailable, StatusError, timeoutError } from '#machinery/api/status.ts';
import type { Status } from '#machinery/api/status.ts';
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
export function writeError(response: ServerResponse, error: unknown, keys?: Record<string, unknown>): void {
  if (response.destroyed) return;
  const status = statusOf(error, keys);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = Buffer.from(`${JSON.stringify(status)}\n`);
  response.statusCode = status.code;
  response.setHeader('Content-Type', 'application/json');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  if (status.details?.retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(status.details.retryAfterSeconds));
  if (status.code === 401) response.setHeader('WWW-Authenticate', 'Bearer');
  response.setHeader('Content-Length', body.length);
  // A body that was not read to its end cannot be told from the next request.
  if (!response.req.complete && response.req.method !== 'GET' && response.req.method !== 'HEAD') response.setHeader('Connection', 'close');
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** The same for an upgrade that is refused before any 101. */
export function refuseUpgrade(socket: Duplex, error: unknown, keys?: Record<string, unknown>): void {
  const status = statusOf(error, keys);
  const body = `${JSON.stringify(status)}\n`;
  socket.end(`HTTP/1.1 ${status.code} ${http.STATUS_CODES[status.code] ?? ''}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n`
    + `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
}
