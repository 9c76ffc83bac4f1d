// An endless answer (a watch) as HTTP chunks. Pieces that many watchers get are framed once and handed to their connections as they
// are, the others go through a buffer that is used again: ServerResponse.write would copy each piece for each watcher, and a
// hundred watchers make a gigabyte of that before it is collected.
import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';

const bufferBytes = 128 * 1024;
/** Eight digits and a line's end: leading zeros are allowed in a chunk's size. */
const headBytes = 10;
const tailBytes = 2;
const spare: Buffer[] = [];
const maxSpare = 16;

/** Pieces with their chunk's frame around them, for as long as the piece itself lives. */
const framed = new WeakMap<Buffer, Buffer>();

function chunkOf(piece: Buffer): Buffer {
  let chunk = framed.get(piece);
  if (!chunk) {
    chunk = Buffer.allocUnsafe(headBytes + piece.length + tailBytes);
    piece.copy(chunk, headBytes);
    frame(chunk, piece.length);
    framed.set(piece, chunk);
  }
  return chunk;
}

function frame(chunk: Buffer, length: number): void {
  chunk.write(`${length.toString(16).padStart(8, '0')}\r\n`, 0, 'latin1');
  chunk.write('\r\n', headBytes + length, 'latin1');
}

export class ChunkStream {
  readonly #response: ServerResponse;

  /** Its headers have been flushed; nobody else writes to it, but anybody may end it. */
  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get gone(): boolean {
    return this.#response.destroyed;
  }
  get full(): boolean {
    return (this.#connection ?? this.#response).writableNeedDrain;
  }

  /** A piece that others may get too. Resolves when the next one may come, at once where nothing stands in the way. */
  write(piece: Buffer): Promise<void> | undefined {
    const connection = this.#connection;
    const taken = connection ? connection.write(chunkOf(piece)) : this.#response.write(piece);
    return taken ? undefined : this.#drained(connection ?? this.#response);
  }

  /** Parts that nobody else gets, as many as there are. Other work gets its turn in between. */
  async copy(parts: Iterable<Buffer>): Promise<void> {
    const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
    const end = buffer.length - tailBytes;
    let filled = headBytes;
    const flush = async (): Promise<void> => {
      const length = filled - headBytes;
      filled = headBytes;
      if (length > 0) await this.#flush(buffer, length);
    };
    for (const part of parts) {
      for (let from = 0; from < part.length;) {
        const copied = part.copy(buffer, filled, from, from + Math.min(part.length - from, end - filled));
        filled += copied;
        from += copied;
        if (filled === end) await flush();
        if (this.gone) return; // a broken connection may still hold the buffer
      }
    }
    await flush();
    if (!this.gone && spare.length < maxSpare) spare.push(buffer);
  }

  #flush(buffer: Buffer, length: number): Promise<void> {
    return new Promise((resolve) => {
      const gone = (): void => resolve();
      this.#response.once('close', gone);
      const written = (): void => {
        this.#response.off('close', gone);
        setImmediate(resolve);
      };
      const connection = this.#connection;
      if (connection) {
        frame(buffer, length);
        connection.write(buffer.subarray(0, headBytes + length + tailBytes), written);
      } else this.#response.write(buffer.subarray(headBytes, headBytes + length), written);
    });
  }

  /** Absent where the answer does not go out in chunks (HTTP/1.0), and as long as it waits behind another on its connection. */
  get #connection(): Writable | undefined {
    const { socket, chunkedEncoding } = this.#response;
    return socket && chunkedEncoding ? socket : undefined;
  }

  #drained(target: Writable): Promise<void> | undefined {
    if (target.destroyed || !target.writableNeedDrain) return undefined;
    return new Promise((resolve) => {
      const done = (): void => {
        target.off('drain', done).off('close', done);
        resolve();
      };
      target.on('drain', done).on('close', done);
    });
  }
}
