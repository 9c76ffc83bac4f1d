// SPDY/3.1 over any duplex stream, as far as Kubernetes uses it: streams opened by either side, headers, data, half-close.
// The npm framers insist on HTTP pseudo-headers that Kubernetes does not send, so this one is ours. Frame layout: SPDY/3.1 draft.
// Go's peers neither send nor heed window updates, so back-pressure is the transport's: a reader that stops stops the session.
import { Duplex } from 'node:stream';
import { constants, createDeflate, createInflate } from 'node:zlib';
import { spdyDictionary } from './_spdy-dictionary.ts';

export type SpdyHeaders = Record<string, string>;

/** One stream: readable until the peer's half-close, writable until ours; `destroy()` sends RST_STREAM. */
export interface SpdyStream extends Duplex {
  readonly id: number;
  /** Names in lower case; several values are joined by a comma. */
  readonly headers: SpdyHeaders;
  /** Answers the SYN_STREAM; data may be written only afterwards. */
  reply(headers?: SpdyHeaders): Promise<void>;
}

export interface SpdySession {
  /** Streams that the peer opens, in order; ends with the session. Read it to the end or close the session. */
  readonly incoming: AsyncIterable<SpdyStream>;
  open(headers: SpdyHeaders): Promise<SpdyStream>;
  ping(): Promise<void>;
  /** Says GOAWAY and ends the transport. */
  close(): void;
  /** Settles when the transport has ended; every stream has then ended too. */
  readonly closed: Promise<void>;
}

const frame = { synStream: 1, synReply: 2, rstStream: 3, settings: 4, ping: 6, goAway: 7, headers: 8, windowUpdate: 9 } as const;
const flagFin = 1;
const maxFrameBytes = 1 << 24;
const maxHeaderBytes = 1 << 20;
const maxStreams = 1024;
const dataChunk = 32 << 10;

/** `side` decides who numbers streams oddly (the client). `head` is what the upgrade already read. */
export function createSpdySession(transport: Duplex, side: 'client' | 'server', head?: Buffer): SpdySession {
  return new Session(transport, side, head);
}

class Stream extends Duplex implements SpdyStream {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #session: Session;
  localEnded = false;
  remoteEnded = false;
  #resume: (() => void) | undefined;

  constructor(session: Session, id: number, headers: SpdyHeaders) {
    super({ allowHalfOpen: true });
    this.#session = session;
    this.id = id;
    this.headers = headers;
  }
  reply(headers: SpdyHeaders = {}): Promise<void> {
    return this.#session.sendHeaders(frame.synReply, this.id, headers);
  }
  /** Resolves when the reader wants more. */
  async deliver(data: Buffer): Promise<void> {
    if (this.destroyed || this.push(data)) return;
    await new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
  }
  #wake(): void {
    this.#resume?.();
    this.#resume = undefined;
  }
  override _read(): void {
    this.#wake();
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#session.sendData(this.id, chunk, false).then(() => callback(), callback);
  }
  override _final(callback: (error?: Error | null) => void): void {
    this.localEnded = true;
    this.#session.sendData(this.id, Buffer.alloc(0), true).then(() => callback(), () => callback());
    this.#session.forgetIfDone(this);
  }
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#wake();
    if (!this.localEnded || !this.remoteEnded) this.#session.reset(this.id);
    this.#session.forget(this.id);
    callback(error);
  }
}

class Session implements SpdySession {
  readonly #transport: Duplex;
  readonly #inflate = createInflate({ dictionary: spdyDictionary, finishFlush: constants.Z_SYNC_FLUSH });
  readonly #deflate = createDeflate({ dictionary: spdyDictionary });
  readonly #streams = new Map<number, Stream>();
  readonly #pings = new Map<number, () => void>();
  #nextId: number;
  #nextPing: number;
  #sending: Promise<void> = Promise.resolve();
  #queue: SpdyStream[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  readonly closed: Promise<void>;

  constructor(transport: Duplex, side: 'client' | 'server', head: Buffer | undefined) {
    this.#transport = transport;
    this.#nextId = side === 'client' ? 1 : 2;
    this.#nextPing = this.#nextId;
    transport.on('error', () => transport.destroy());
    this.#inflate.on('error', () => transport.destroy());
    this.closed = this.#read(head).catch(() => {}).finally(() => this.#end());
  }

  get incoming(): AsyncIterable<SpdyStream> {
    return this.#incoming();
  }
  async *#incoming(): AsyncGenerator<SpdyStream> {
    for (;;) {
      const next = this.#queue.shift();
      if (next) yield next;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
  }

  async open(headers: SpdyHeaders): Promise<SpdyStream> {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new Stream(this, id, headers);
    this.#streams.set(id, stream);
    await this.sendHeaders(frame.synStream, id, headers);
    return stream;
  }

  async ping(): Promise<void> {
    const id = this.#nextPing;
    this.#nextPing += 2;
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(id);
    const answered = new Promise<void>((resolve) => this.#pings.set(id, resolve));
    await this.#send(control(frame.ping, 0, payload));
    await answered;
  }

  close(): void {
    if (this.#ended || this.#transport.destroyed) return;
    this.#transport.write(control(frame.goAway, 0, Buffer.alloc(8)));
    this.#transport.end();
    setTimeout(() => this.#transport.destroy(), 1000).unref(); // a peer that never closes its half
  }

  sendHeaders(type: typeof frame.synStream | typeof frame.synReply, id: number, headers: SpdyHeaders): Promise<void> {
    // One at a time: the compressor's state must follow the order on the wire.
    return this.#enqueue(async () => {
      const block = await this.#compress(encodeHeaders(headers));
      const fixed = Buffer.alloc(type === frame.synStream ? 10 : 4);
      fixed.writeUInt32BE(id);
      await this.#write(control(type, 0, Buffer.concat([fixed, block])));
    });
  }
  async sendData(id: number, data: Buffer, last: boolean): Promise<void> {
    for (let offset = 0; offset < data.length || (last && offset === 0); offset += dataChunk) {
      const chunk = data.subarray(offset, offset + dataChunk);
      const head = Buffer.alloc(8);
      head.writeUInt32BE(id);
      head.writeUInt32BE(((last && offset + dataChunk >= data.length ? flagFin : 0) << 24) + chunk.length, 4);
      await this.#send(Buffer.concat([head, chunk]));
    }
  }
  reset(id: number): void {
    if (this.#ended) return;
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(id);
    payload.writeUInt32BE(5, 4); // CANCEL
    this.#send(control(frame.rstStream, 0, payload)).catch(() => {}); // the transport is gone: nothing left to reset
  }
  forget(id: number): void {
    this.#streams.delete(id);
  }
  forgetIfDone(stream: Stream): void {
    if (stream.localEnded && stream.remoteEnded) this.#streams.delete(stream.id);
  }

  #send(bytes: Buffer): Promise<void> {
    return this.#enqueue(() => this.#write(bytes));
  }
  #enqueue(work: () => Promise<void>): Promise<void> {
    const result = this.#sending.then(work);
    this.#sending = result.catch(() => {}); // the caller has the error; the next in line tries for itself
    return result;
  }
  #write(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#transport.destroyed || this.#transport.writableEnded) reject(new Error('the connection is closed'));
      else this.#transport.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  #compress(data: Buffer): Promise<Buffer> {
    return squeeze(this.#deflate, data);
  }
  async #headers(block: Buffer): Promise<SpdyHeaders> {
    return decodeHeaders(await squeeze(this.#inflate, block, maxHeaderBytes));
  }

  async #read(head: Buffer | undefined): Promise<void> {
    let buffered = head ?? Buffer.alloc(0);
    const take = async (): Promise<void> => {
      for (;;) {
        if (buffered.length < 8) return;
        const length = buffered.readUInt32BE(4) & 0xffffff;
        if (length > maxFrameBytes) throw new Error('SPDY frame too large');
        if (buffered.length < 8 + length) return;
        const whole = buffered.subarray(0, 8 + length);
        buffered = buffered.subarray(8 + length);
        await this.#handle(whole);
      }
    };
    await take();
    for await (const chunk of this.#transport as AsyncIterable<Buffer>) {
      buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
      await take();
    }
  }

  async #handle(bytes: Buffer): Promise<void> {
    const flags = bytes[4] ?? 0;
    const payload = bytes.subarray(8);
    if (((bytes[0] ?? 0) & 0x80) === 0) {
      const stream = this.#streams.get(bytes.readUInt32BE(0));
      if (!stream) return; // reset a moment ago
      if (payload.length > 0) await stream.deliver(payload);
      if (flags & flagFin) this.#remoteEnd(stream);
      return;
    }
    const type = bytes.readUInt16BE(2);
    const id = payload.length >= 4 ? payload.readUInt32BE(0) & 0x7fffffff : 0;
    switch (type) {
      case frame.synStream: {
        const headers = await this.#headers(payload.subarray(10));
        if (this.#streams.size >= maxStreams) return this.reset(id);
        const stream = new Stream(this, id, headers);
        this.#streams.set(id, stream);
        if (flags & flagFin) this.#remoteEnd(stream);
        this.#queue.push(stream);
        this.#wake?.();
        return;
      }
      case frame.synReply:
      case frame.headers: {
        await this.#headers(payload.subarray(4)); // the decompressor must see every block
        const stream = this.#streams.get(id);
        if (stream && flags & flagFin) this.#remoteEnd(stream);
        return;
      }
      case frame.rstStream: {
        const stream = this.#streams.get(id);
        if (!stream) return;
        stream.localEnded = true;
        stream.remoteEnded = true;
        stream.push(null);
        stream.destroy();
        return;
      }
      case frame.ping: {
        const answered = this.#pings.get(id);
        this.#pings.delete(id);
        if (answered) answered();
        else await this.#send(control(frame.ping, 0, Buffer.from(payload)));
        return;
      }
      case frame.goAway:
      case frame.settings:
      case frame.windowUpdate:
        return;
      default:
        return; // unknown control frames are to be ignored
    }
  }
  #remoteEnd(stream: Stream): void {
    if (stream.remoteEnded) return;
    stream.remoteEnded = true;
    stream.push(null);
    this.forgetIfDone(stream);
  }

  #end(): void {
    this.#ended = true;
    for (const stream of this.#streams.values()) {
      stream.localEnded = true;
      if (!stream.remoteEnded) stream.push(null);
      stream.remoteEnded = true;
      if (stream.readableLength > 0) stream.once('end', () => stream.destroy()); // what arrived can still be read
      else stream.destroy();
    }
    for (const answered of this.#pings.values()) answered();
    this.#streams.clear();
    this.#inflate.close();
    this.#deflate.close();
    this.#transport.destroy();
    this.#wake?.();
  }
}

function control(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8003);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE((flags << 24) + payload.length, 4);
  return Buffer.concat([head, payload]);
}

/** Runs `data` through a zlib stream that keeps its state, and returns what came out up to the flush. */
function squeeze(zlib: ReturnType<typeof createDeflate> | ReturnType<typeof createInflate>, data: Buffer, limit = Infinity): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    const done = (error?: Error): void => {
      zlib.off('data', onData);
      zlib.off('error', done);
      if (error) reject(error);
      else resolve(Buffer.concat(parts));
    };
    const onData = (part: Buffer): void => {
      size += part.length;
      if (size > limit) done(new Error('SPDY headers too large'));
      else parts.push(part);
    };
    zlib.on('data', onData);
    zlib.on('error', done);
    zlib.write(data);
    zlib.flush(constants.Z_SYNC_FLUSH, () => done());
  });
}

function encodeHeaders(headers: SpdyHeaders): Buffer {
  const parts: Buffer[] = [];
  const number = (value: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    parts.push(bytes);
  };
  const entries = Object.entries(headers);
  number(entries.length);
  for (const [name, value] of entries) {
    for (const text of [name.toLowerCase(), value]) {
      const bytes = Buffer.from(text);
      number(bytes.length);
      parts.push(bytes);
    }
  }
  return Buffer.concat(parts);
}
function decodeHeaders(block: Buffer): SpdyHeaders {
  const headers: SpdyHeaders = {};
  let offset = 0;
  const number = (): number => {
    const value = block.readUInt32BE(offset);
    offset += 4;
    return value;
  };
  const text = (): string => {
    const length = number();
    if (offset + length > block.length) throw new Error('SPDY header block is cut short');
    const value = block.toString('utf8', offset, offset + length);
    offset += length;
    return value;
  };
  for (let left = number(); left > 0; left--) {
    const name = text().toLowerCase();
    headers[name] = text().replaceAll('\0', ', ');
  }
  return headers;
}
