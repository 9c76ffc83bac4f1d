// Just enough of DER (ITU-T X.690) to write certificates, and to find the subject of one. Lengths are definite, values canonical.

const encodeLength = (length: number): Buffer => {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
};

/** One element: tag, length, the parts one after the other. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([tag]), encodeLength(length), ...parts]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => element(0x30, ...parts);
/** A SET OF as the caller ordered it; one member, or members sorted by their bytes. */
export const set = (...parts: readonly Uint8Array[]): Buffer => element(0x31, ...parts);
export const octets = (...parts: readonly Uint8Array[]): Buffer => element(0x04, ...parts);
export const utf8 = (text: string): Buffer => element(0x0c, Buffer.from(text));
export const boolean = (value: boolean): Buffer => element(0x01, Buffer.from([value ? 0xff : 0]));
/** Context-specific: `explicit` wraps an element, `implicit` replaces the tag of a primitive one. */
export const explicit = (number: number, ...parts: readonly Uint8Array[]): Buffer => element(0xa0 | number, ...parts);
export const implicit = (number: number, ...parts: readonly Uint8Array[]): Buffer => element(0x80 | number, ...parts);

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const magnitude = bytes.subarray(from);
  return (magnitude[0] ?? 0) & 0x80 ? element(0x02, Buffer.from([0]), magnitude) : element(0x02, magnitude.length > 0 ? magnitude : Buffer.from([0]));
}

/** Bits counted from the most significant one of the first byte; trailing zero bits of named bit lists are left out by the caller. */
export const bits = (bytes: Uint8Array, unused = 0): Buffer => element(0x03, Buffer.from([unused]), bytes);

/** A named bit list (X.690 11.2.2): trailing zeros dropped. */
export function namedBits(...positions: readonly number[]): Buffer {
  const highest = Math.max(...positions);
  const bytes = Buffer.alloc((highest >> 3) + 1);
  for (const position of positions) bytes[position >> 3] = (bytes[position >> 3] ?? 0) | (0x80 >> (position & 7));
  return bits(bytes, 7 - (highest & 7));
}

/** An object identifier from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift(0x80 | left % 128);
    bytes.push(...groups);
  }
  return element(0x06, Buffer.from(bytes));
}

/** RFC 5280 4.1.2.5: two-digit years through 2049, four digits after that. Seconds are kept, fractions are not. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+/, '').replace(/[-:T]/g, '');
  return date.getUTCFullYear() < 2050 ? element(0x17, Buffer.from(digits.slice(2))) : element(0x18, Buffer.from(digits));
}

/** The element at the start of `bytes`: its tag, content, and all of it. Throws when it does not fit. */
export function read(bytes: Uint8Array): { tag: number; content: Buffer; whole: Buffer } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const [tag, short] = buffer;
  if (tag === undefined || short === undefined) throw new Error('DER ends inside an element');
  let start = 2;
  let length = short;
  if (short & 0x80) {
    const count = short & 0x7f;
    if (count === 0 || count > 4 || buffer.length < 2 + count) throw new Error('DER holds a length that cannot be read');
    length = buffer.readUIntBE(2, count);
    start += count;
  }
  if (start + length > buffer.length) throw new Error('DER ends inside an element');
  return { tag, content: buffer.subarray(start, start + length), whole: buffer.subarray(0, start + length) };
}

/** The elements that `content` holds. */
export function readAll(content: Uint8Array): ReturnType<typeof read>[] {
  const found: ReturnType<typeof read>[] = [];
  for (let rest = content; rest.length > 0;) {
    const next = read(rest);
    found.push(next);
    rest = rest.subarray(next.whole.length);
  }
  return found;
}
