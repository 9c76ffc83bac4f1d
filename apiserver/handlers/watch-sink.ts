// Where the frames of a watch go: the body of an answer, or messages of a WebSocket.
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { badRequest } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import { ChunkStream } from './stream.ts';

export interface WatchSink {
  /** The client has left. */
  readonly gone: boolean;
  /** The connection has not taken everything yet. */
  readonly isBehind: boolean;
  /** Each frame travels by itself, so they are not to be joined. */
  readonly isFramed: boolean;
  /** One frame may be shared with other watchers; several are this one's own. When the client falls behind, a promise for the time when it has caught up or left; it never rejects. */
  write(frames: readonly Buffer[]): Promise<void> | undefined;
  /** A proper end. Nothing when the client has left. */
  end(): void;
  /** At once: of a client that does not read. */
  destroy(): void;
}

/** `isText`: frames are JSON. What it throws is answered as a Status. */
export type OpenSink = (contentType: string, isText: boolean) => WatchSink | Promise<WatchSink>;

export function bodySink(response: ServerResponse): OpenSink {
  return (contentType) => {
    response.statusCode = 200;
    response.setHeader('Content-Type', contentType);
    response.flushHeaders();
    const stream = new ChunkStream(response);
    let copying = false;
    return {
      get gone() {
        return stream.gone;
      },
      get isBehind() {
        // Between the chunks of a copy there may be half a frame.
        return copying || stream.full;
      },
      isFramed: false,
      write(frames) {
        const [first] = frames;
        if (!first || stream.gone) return undefined;
        if (frames.length === 1) return stream.write(first);
        copying = true;
        return stream.copy(frames).finally(() => {
          copying = false;
        });
      },
      end() {
        if (!response.destroyed) response.end();
      },
      destroy: () => response.destroy(),
    };
  };
}

const highWaterBytes = 1 << 20;
/** Frames of protobuf begin with their length, which messages have already. */
const lengthBytes = 4;

/** One message a frame: text for JSON, otherwise binary. Upstream: WatchServer.HandleWS. */
export function socketSink({ request }: RequestState, socket: Duplex, head: Buffer): OpenSink {
  return async (_contentType, isText) => {
    const { acceptWebSocket, isWebSocket } = await import('#machinery/stream/web-socket.ts');
    if (!isWebSocket(request)) throw badRequest(`a watch cannot be upgraded to ${request.headers.upgrade}`);
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    const messages = await acceptWebSocket(request, socket, head, offered.find((name) => name !== '' && !name.startsWith('base64url.bearer.')) ?? '');
    messages.on('error', () => messages.terminate());
    return {
      get gone() {
        return messages.readyState !== messages.OPEN;
      },
      get isBehind() {
        return messages.bufferedAmount > highWaterBytes;
      },
      isFramed: true,
      write(frames) {
        let sent: Promise<void> | undefined;
        frames.forEach((frame, at) => {
          const last = at === frames.length - 1 && messages.bufferedAmount > highWaterBytes;
          const message = isText ? frame : frame.subarray(lengthBytes);
          if (last) sent = new Promise((resolve) => messages.send(message, { binary: !isText }, () => resolve()));
          else messages.send(message, { binary: !isText }, () => undefined); // a client that left is seen by `gone`
        });
        return sent;
      },
      end: () => messages.close(1000),
      destroy: () => messages.terminate(),
    };
  };
}
