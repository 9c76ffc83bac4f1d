// SQLite takes the first unreadable frame of a write-ahead log for its end, so damage in the middle would silently undo writes
// that were acknowledged. This finds such damage before SQLite opens the file. Format: sqlite.org/walformat.html.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const headerBytes = 32;
const frameHeaderBytes = 24;
const magic = 0x377f0682;

/**
 * What is wrong with the log of the database at `path`, or undefined. The end of the last transaction may be torn (it was
 * never acknowledged); missing is what a later commit, or the index that the last process left, proves to have been there.
 */
export function walDamage(path: string): string | undefined {
  const wal = readStart(`${path}-wal`, headerBytes);
  if (!wal) return undefined;
  const index = readIndex(`${path}-shm`);
  const { bytes, size } = wal;
  if (size < headerBytes) return index && index.frames > index.checkpointed ? `it ends after ${size} bytes` : undefined;
  const header = readHeader(bytes);
  // A file system may have grown the file without writing it when the power went.
  if (!header) return bytes.every((byte) => byte === 0) && !(index && index.frames > index.checkpointed) ? undefined : 'its header is unreadable';
  const isSame = index !== undefined && index.salt === header.salt;
  if (isSame && index.frames <= index.checkpointed) return undefined;
  const { committed, commitsAfter, readable } = readFrames(`${path}-wal`, header);
  if (isSame && index.frames > committed) return `${index.frames} pages were written, ${committed} can be read`;
  // Each commit is synced before the next begins: the power can tear the last one only.
  if (commitsAfter > 1) return `${commitsAfter} writes follow page ${readable + 1}, which cannot be read`;
  return undefined;
}

interface Header { pageSize: number; littleEndian: boolean; salt: bigint; sums: [number, number] }

function readHeader(bytes: Buffer): Header | undefined {
  const word = bytes.readUInt32BE(0);
  if ((word & ~1) >>> 0 !== magic) return undefined;
  const littleEndian = (word & 1) === 0;
  const sums = checksum(new DataView(bytes.buffer, bytes.byteOffset, 24), littleEndian, [0, 0]);
  if (sums[0] !== bytes.readUInt32BE(24) || sums[1] !== bytes.readUInt32BE(28)) return undefined;
  return { pageSize: bytes.readUInt32BE(8), littleEndian, salt: bytes.readBigUInt64BE(16), sums };
}

/** Frames up to the last readable commit, frames that are readable, and commits of this log past the first unreadable frame. */
function readFrames(path: string, { pageSize, littleEndian, salt, sums }: Header): { committed: number; readable: number; commitsAfter: number } {
  const file = openSync(path, 'r');
  try {
    const frame = Buffer.alloc(frameHeaderBytes + pageSize);
    const head = new DataView(frame.buffer, frame.byteOffset, 8);
    const page = new DataView(frame.buffer, frame.byteOffset + frameHeaderBytes, pageSize);
    let running = sums;
    let [committed, readable, commitsAfter, isBroken] = [0, 0, 0, false];
    for (let number = 1, at = headerBytes; ; number += 1, at += frame.length) {
      const length = readSync(file, frame, 0, isBroken ? frameHeaderBytes : frame.length, at);
      if (length < frameHeaderBytes || (!isBroken && length < frame.length)) return { committed, readable, commitsAfter };
      const isOurs = frame.readBigUInt64BE(8) === salt;
      const isCommit = frame.readUInt32BE(4) !== 0;
      if (!isBroken) {
        running = checksum(page, littleEndian, checksum(head, littleEndian, running));
        isBroken = !isOurs || running[0] !== frame.readUInt32BE(16) || running[1] !== frame.readUInt32BE(20);
        if (!isBroken) {
          readable = number;
          if (isCommit) committed = number;
        }
      }
      if (isBroken && isOurs && isCommit) commitsAfter += 1;
    }
  } finally {
    closeSync(file);
  }
}

function checksum(view: DataView, littleEndian: boolean, [first, second]: [number, number]): [number, number] {
  let a = first;
  let b = second;
  for (let at = 0; at < view.byteLength; at += 8) {
    a = (a + view.getUint32(at, littleEndian) + b) >>> 0;
    b = (b + view.getUint32(at + 4, littleEndian) + a) >>> 0;
  }
  return [a, b];
}

/** The header of the shared index: what the last process knew to be committed. Undefined when there is none that can be trusted. */
function readIndex(path: string): { frames: number; checkpointed: number; salt: bigint } | undefined {
  const bytes = readStart(path, 136)?.bytes;
  // Two copies that differ: it died while writing them.
  if (!bytes || bytes.length < 136 || bytes.compare(bytes, 48, 96, 0, 48) !== 0 || bytes[12] !== 1) return undefined;
  const word = (at: number): number => (isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  return { frames: word(16), checkpointed: word(96), salt: bytes.readBigUInt64BE(32) };
}

const isLittleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function readStart(path: string, length: number): { bytes: Buffer; size: number } | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(length);
    return { bytes: bytes.subarray(0, readSync(file, bytes, 0, length, 0)), size: fstatSync(file).size };
  } finally {
    closeSync(file);
  }
}
