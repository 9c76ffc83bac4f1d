// Puts answers on the wire: ready-made bytes, pretty or YAML where asked, gzip above 128 kB, lists in slices that respect backpressure.
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { KubeObject } from '#machinery/api/object.ts';
import type { RequestState } from '../filters/context.ts';
import type { OutputForm } from './negotiate.ts';
import { protobufType, wantsPretty } from './negotiate.ts';
import { loadProtobuf } from './protobuf.ts';
import { writeWarnings } from './warnings.ts';

const gzipThresholdBytes = 128 * 1024;
const sliceBytes = 128 * 1024;
const newline = Buffer.from('\n');

/** `body` is JSON. `suffix`: parameters of the content type. */
export async function respond(context: RequestState, response: ServerResponse, form: OutputForm, code: number, body: Buffer | string, suffix = ''): Promise<void> {
  context.audit?.responseObject(body);
  if (form.mediaType === 'application/json' && !isPretty(context, form)) {
    return send(context, response, code, `application/json${suffix}`, [typeof body === 'string' ? Buffer.from(body) : body, newline]);
  }
  const encoded = await encode(form.mediaType, JSON.parse(body.toString()));
  return send(context, response, code, `${encoded.mediaType}${suffix}`, [encoded.bytes]);
}

export function isPretty(context: Pick<RequestState, 'query' | 'request'>, form: OutputForm): boolean {
  return form.pretty || wantsPretty(context.query, context.request.headers['user-agent']);
}

/** JSON made this way is meant for people. What has no message of its own comes as JSON. */
export async function encode(mediaType: OutputForm['mediaType'], value: unknown): Promise<{ mediaType: OutputForm['mediaType']; bytes: Buffer }> {
  if (mediaType === protobufType) {
    const bytes = (await loadProtobuf()).encode(value as KubeObject); // what is answered is an object
    return bytes ? { mediaType, bytes } : { mediaType: 'application/json', bytes: Buffer.from(`${JSON.stringify(value)}\n`) };
  }
  if (mediaType === 'application/yaml') {
    // As upstream writes it; readers go by YAML 1.1, for which "yes" needs quotes.
    const { stringify } = await import('yaml');
    return { mediaType, bytes: Buffer.from(stringify(value, { version: '1.1', sortMapEntries: true, indentSeq: false, lineWidth: 0, aliasDuplicateObjects: false })) };
  }
  return { mediaType, bytes: Buffer.from(JSON.stringify(value, undefined, 2)) };
}

/** Sends the parts as one body. Returns when the answer was handed to the connection or the client has gone. */
export async function send(context: RequestState, response: ServerResponse, code: number, mediaType: string, parts: readonly Buffer[]): Promise<void> {
  if (response.destroyed) return;
  let length = 0;
  for (const part of parts) length += part.length;
  response.statusCode = code;
  context.answerBytes = length;
  response.setHeader('Content-Type', mediaType);
  writeWarnings(response, context.warnings);
  if (length > gzipThresholdBytes && acceptsGzip(context.request.headers['accept-encoding'])) return compressed(response, parts);
  response.setHeader('Content-Length', length);
  if (context.request.method === 'HEAD') {
    response.end();
    return;
  }
  if (length <= sliceBytes) {
    response.end(parts.length === 1 ? parts[0] : Buffer.concat(parts as Buffer[], length)); // concat takes a mutable array type only
    return;
  }
  await inSlices(response, parts);
  if (!response.destroyed) response.end();
}

const spare: Buffer[] = [];
const maxSpare = 8;

/** A long answer goes through one buffer that is used again once the connection has taken its content: allocating all of it costs more than copying it. */
async function inSlices(response: ServerResponse, parts: readonly Buffer[]): Promise<void> {
  response.flushHeaders(); // together with them the first slice would be copied once more
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(sliceBytes);
  let filled = 0;
  const flush = async (): Promise<void> => {
    const slice = buffer.subarray(0, filled);
    filled = 0;
    await new Promise<void>((resolve) => {
      const gone = (): void => resolve();
      response.once('close', gone);
      response.write(slice, () => {
        response.off('close', gone);
        setImmediate(resolve); // other requests get their turn between slices
      });
    });
  };
  for (const part of parts) {
    for (let from = 0; from < part.length;) {
      const copied = part.copy(buffer, filled, from);
      filled += copied;
      from += copied;
      if (filled === sliceBytes) await flush();
      if (response.destroyed) return;
    }
  }
  if (filled > 0) await flush();
  // One that a broken connection may still hold is left to it.
  if (!response.destroyed && spare.length < maxSpare) spare.push(buffer);
}

function* slices(parts: readonly Buffer[]): Generator<Buffer> {
  let pending: Buffer[] = [];
  let size = 0;
  for (const part of parts) {
    pending.push(part);
    size += part.length;
    if (size >= sliceBytes) {
      yield Buffer.concat(pending, size);
      pending = [];
      size = 0;
    }
  }
  if (size > 0) yield Buffer.concat(pending, size);
}

async function compressed(response: ServerResponse, parts: readonly Buffer[]): Promise<void> {
  const { createGzip } = await import('node:zlib');
  response.setHeader('Content-Encoding', 'gzip');
  response.setHeader('Vary', 'Accept-Encoding');
  try {
    await pipeline(Readable.from(slices(parts)), createGzip({ level: 1 }), response);
  } catch (error) {
    if (!response.destroyed) throw error; // otherwise the client has gone, which is its right
  }
}

function acceptsGzip(header: string | string[] | undefined): boolean {
  return header !== undefined && String(header).split(',').some((token) => token.trim() === 'gzip');
}
