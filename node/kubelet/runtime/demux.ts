// Docker's multiplexed output: frames of an 8-byte header (stream 1 or 2, length) and data. Plain when the process has a tty.
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { once } from 'node:events';

export interface Frame { stream: 'stdout' | 'stderr'; data: Buffer }

/** Yields every frame's data as it arrives; long frames come in pieces. */
export async function* frames(source: AsyncIterable<Buffer>, tty: boolean): AsyncGenerator<Frame> {
  if (tty) {
    for await (const data of source) yield { stream: 'stdout', data };
    return;
  }
  let header = Buffer.alloc(0);
  let left = 0;
  let stream: Frame['stream'] = 'stdout';
  for await (const chunk of source) {
    let at = 0;
    while (at < chunk.length) {
      if (left === 0) {
        const wanted = 8 - header.length;
        header = Buffer.concat([header, chunk.subarray(at, at + wanted)]);
        at += wanted;
        if (header.length < 8) break;
        stream = header[0] === 2 ? 'stderr' : 'stdout';
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const data = chunk.subarray(at, at + left);
      at += data.length;
      left -= data.length;
      yield { stream, data };
    }
  }
}

/** Splits a multiplexed connection into two streams that honour backpressure; `ended` settles when both have ended. */
export function split(source: Readable, tty: boolean): { stdout: Readable; stderr: Readable; ended: Promise<void> } {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const pump = async (): Promise<void> => {
    try {
      for await (const frame of frames(source, tty)) {
        const target: Writable = frame.stream === 'stderr' ? stderr : stdout;
        if (target.destroyed) continue; // its reader has gone; the other output still matters
        if (!target.write(frame.data)) await Promise.race([once(target, 'drain'), once(target, 'close')]);
      }
    } finally {
      stdout.end();
      stderr.end();
    }
  };
  return { stdout, stderr, ended: pump() };
}
