// Reads request bodies within their limit.
import type { IncomingMessage } from 'node:http';
import { badRequest, requestTooLarge } from '#machinery/api/status.ts';

export const maxBodyBytes = 3 * 1024 * 1024;

/** The whole body; throws 413 beyond `limitBytes`, 400 when the client breaks off. */
export function readBody(request: IncomingMessage, limitBytes = maxBodyBytes): Promise<Buffer> {
  const announced = request.headers['content-length'];
  if (announced !== undefined && Number(announced) > limitBytes) return Promise.reject(requestTooLarge(`limit is ${limitBytes}`));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > limitBytes) {
        stop();
        request.pause();
        reject(requestTooLarge(`limit is ${limitBytes}`));
      } else chunks.push(chunk);
    };
    const onEnd = (): void => {
      stop();
      resolve(chunks.length === 1 ? chunks[0] ?? Buffer.alloc(0) : Buffer.concat(chunks, length));
    };
    const onClose = (): void => {
      stop();
      reject(badRequest('the request body ended early'));
    };
    const stop = (): void => {
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
    };
    if (request.destroyed && !request.readableEnded) {
      reject(badRequest('the request body ended early'));
      return;
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}
