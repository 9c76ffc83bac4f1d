// DNS messages as bytes: reading a query, writing an answer with compressed names, finding the TTLs of a foreign answer.
// RFC 1035, EDNS RFC 6891.
import { isIPv4 } from 'node:net';

export const types = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, HINFO: 13, TXT: 16, AAAA: 28, SRV: 33, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export type Rcode = keyof typeof rcodes;

export type RecordData =
  | { type: 'A' | 'AAAA'; ip: string }
  | { type: 'CNAME' | 'PTR' | 'NS'; target: string }
  | { type: 'SRV'; priority: number; weight: number; port: number; target: string }
  | { type: 'TXT'; text: string }
  | { type: 'SOA'; mname: string; rname: string; serial: number; refresh: number; retry: number; expire: number; minimum: number };
/** Names are absolute, without the last dot. */
export type DnsRecord = { name: string; ttl: number } & RecordData;

export interface Query {
  id: number;
  opcode: number;
  recursionDesired: boolean;
  checkingDisabled: boolean;
  /** As asked, case kept. */
  labels: string[];
  type: number;
  class: number;
  /** The question section's bytes, to be sent back as they came. */
  question: Buffer;
  edns: { udpBytes: number; version: number; dnssec: boolean } | undefined;
}

/** What cannot be read; the id and opcode are there when the header could be. */
export class FormatError extends Error {
  override name = 'FormatError';
}

/** Throws FormatError. `undefined` for what is no query at all (an answer, too short): nothing to reply to. */
export function readQuery(message: Buffer): Query | undefined {
  if (message.length < 12) return undefined;
  const flags = message.readUInt16BE(2);
  if (flags & 0x8000) return undefined;
  const opcode = (flags >> 11) & 15;
  if (message.readUInt16BE(4) !== 1) throw new FormatError('not one question');
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) throw new FormatError('bad name');
    at += 1;
    if (length === 0) break;
    if (at + length > message.length || at - 12 + length > 254) throw new FormatError('bad name');
    labels.push(message.toString('latin1', at, at + length));
    at += length;
  }
  if (at + 4 > message.length) throw new FormatError('no question');
  const [type, questionClass] = [message.readUInt16BE(at), message.readUInt16BE(at + 2)];
  const question = message.subarray(12, at + 4);
  let edns: Query['edns'];
  for (const record of records(message, at + 4)) {
    if (record.type !== types.OPT) continue;
    if (edns || record.section !== 2) throw new FormatError('bad OPT record');
    edns = { udpBytes: Math.max(512, record.class), version: (record.ttl >> 16) & 255, dnssec: (record.ttl & 0x8000) !== 0 };
  }
  return { id: message.readUInt16BE(0), opcode, recursionDesired: (flags & 0x100) !== 0, checkingDisabled: (flags & 0x10) !== 0, labels, type, class: questionClass, question, edns };
}

interface RawRecord { section: number; type: number; class: number; ttl: number; ttlAt: number }
/** The records after the question: 0 answer, 1 authority, 2 additional. Throws FormatError. */
function* records(message: Buffer, from: number): Generator<RawRecord> {
  let at = from;
  for (let section = 0; section < 3; section += 1) {
    for (let left = message.readUInt16BE(6 + 2 * section); left > 0; left -= 1) {
      at = skipName(message, at);
      if (at + 10 > message.length) throw new FormatError('record cut off');
      const length = message.readUInt16BE(at + 8);
      if (at + 10 + length > message.length) throw new FormatError('record cut off');
      yield { section, type: message.readUInt16BE(at), class: message.readUInt16BE(at + 2), ttl: message.readUInt32BE(at + 4), ttlAt: at + 4 };
      at += 10 + length;
    }
  }
}
function skipName(message: Buffer, from: number): number {
  for (let at = from; ;) {
    const length = message[at];
    if (length === undefined) throw new FormatError('name cut off');
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) throw new FormatError('bad label');
    at += 1 + length;
  }
}

/** Every TTL of an answer (not EDNS), where it stands, and whether it belongs to a SOA record. Throws FormatError. */
export function ttlsOf(message: Buffer): { at: number; seconds: number; soa: boolean }[] {
  if (message.length < 12) throw new FormatError('too short');
  let at = 12;
  for (let left = message.readUInt16BE(4); left > 0; left -= 1) at = skipName(message, at) + 4;
  return [...records(message, at)].filter(({ type }) => type !== types.OPT).map(({ ttlAt, ttl, type }) => ({ at: ttlAt, seconds: ttl, soa: type === types.SOA }));
}

export interface Reply {
  rcode: Rcode;
  authoritative: boolean;
  answers: readonly DnsRecord[];
  authorities?: readonly DnsRecord[];
  additionals?: readonly DnsRecord[];
}

/** The reply in at most `maxBytes`: additional records are left out first, then answers, with the truncation bit. */
export function writeReply(query: Query, reply: Reply, maxBytes: number): Buffer {
  const additionals = reply.additionals ?? [];
  const whole = encode(query, reply, reply.answers, additionals, false);
  if (whole.length <= maxBytes) return whole;
  const bare = encode(query, reply, reply.answers, [], false);
  if (bare.length <= maxBytes) return bare;
  // As many answers as fit: halves until it does, then one more at a time would cost more than it gives.
  for (let count = reply.answers.length; count > 0;) {
    count = Math.floor(count * 0.75);
    const cut = encode(query, reply, reply.answers.slice(0, count), [], true);
    if (cut.length <= maxBytes) return cut;
  }
  return encode(query, { ...reply, authorities: [] }, [], [], true);
}

/** A reply that says only what went wrong, to a message that could not be read. */
export function writeError(message: Buffer, rcode: Rcode): Buffer {
  const header = Buffer.alloc(12);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8000 | (message.readUInt16BE(2) & 0x7900) | rcodes[rcode], 2);
  return header;
}

function encode(query: Query, reply: Reply, answers: readonly DnsRecord[], additionals: readonly DnsRecord[], truncated: boolean): Buffer {
  const authorities = reply.authorities ?? [];
  const code = rcodes[reply.rcode];
  const header = Buffer.alloc(12);
  header.writeUInt16BE(query.id, 0);
  header.writeUInt16BE(0x8080 | (query.opcode << 11) | (reply.authoritative ? 0x400 : 0) | (truncated ? 0x200 : 0)
    | (query.recursionDesired ? 0x100 : 0) | (query.checkingDisabled ? 0x10 : 0) | (code & 15), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  header.writeUInt16BE(authorities.length, 8);
  header.writeUInt16BE(additionals.length + (query.edns ? 1 : 0), 10);
  const writer = new Writer(query, header);
  for (const record of [...answers, ...authorities, ...additionals]) writer.record(record);
  if (query.edns) writer.opt(code >> 4, query.edns.dnssec);
  return writer.finish();
}

class Writer {
  readonly #parts: Buffer[];
  #length: number;
  /** Name -> where it stands. */
  readonly #names = new Map<string, number>();

  constructor({ question, labels }: Query, header: Buffer) {
    this.#parts = [header, question];
    this.#length = 12 + question.length;
    let at = 12;
    labels.forEach((label, i) => {
      this.#names.set(labels.slice(i).join('.').toLowerCase(), at);
      at += 1 + label.length;
    });
  }
  #push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
  /** The name's bytes if they come `ahead` bytes after what is written; ends in a pointer where the rest stands already. */
  #name(name: string, ahead: number, compress = true): Buffer {
    const bytes: number[] = [];
    let rest = name;
    while (rest !== '') {
      const known = compress ? this.#names.get(rest.toLowerCase()) : undefined;
      if (known !== undefined) return Buffer.from([...bytes, 0xc0 | (known >> 8), known & 255]);
      const here = this.#length + ahead + bytes.length;
      if (compress && here < 0x4000) this.#names.set(rest.toLowerCase(), here);
      const dot = rest.indexOf('.');
      const label = Buffer.from(dot < 0 ? rest : rest.slice(0, dot), 'latin1').subarray(0, 63);
      bytes.push(label.length, ...label);
      rest = dot < 0 ? '' : rest.slice(dot + 1);
    }
    return Buffer.from([...bytes, 0]);
  }
  record(record: DnsRecord): void {
    this.#push(this.#name(record.name, 0));
    const data = this.#data(record);
    const fixed = Buffer.alloc(10);
    fixed.writeUInt16BE(types[record.type], 0);
    fixed.writeUInt16BE(1, 2);
    fixed.writeUInt32BE(record.ttl, 4);
    fixed.writeUInt16BE(data.length, 8);
    this.#push(fixed);
    this.#push(data);
  }
  #data(record: RecordData): Buffer {
    switch (record.type) {
      case 'A': return Buffer.from(record.ip.split('.').map(Number));
      case 'AAAA': return ipv6Bytes(record.ip);
      case 'CNAME': case 'PTR': case 'NS': return this.#name(record.target, 10);
      case 'SRV': {
        const numbers = Buffer.alloc(6);
        numbers.writeUInt16BE(record.priority, 0);
        numbers.writeUInt16BE(record.weight, 2);
        numbers.writeUInt16BE(record.port, 4);
        return Buffer.concat([numbers, this.#name(record.target, 16, false)]); // RFC 2782 allows no compression
      }
      case 'TXT': {
        const text = Buffer.from(record.text, 'latin1').subarray(0, 255);
        return Buffer.concat([Buffer.from([text.length]), text]);
      }
      case 'SOA': {
        const numbers = Buffer.alloc(20);
        [record.serial, record.refresh, record.retry, record.expire, record.minimum].forEach((value, i) => numbers.writeUInt32BE(value, 4 * i));
        const mname = this.#name(record.mname, 10);
        return Buffer.concat([mname, this.#name(record.rname, 10 + mname.length), numbers]);
      }
    }
  }
  opt(extendedRcode: number, dnssec: boolean): void {
    const opt = Buffer.alloc(11);
    opt.writeUInt16BE(types.OPT, 1);
    opt.writeUInt16BE(4096, 3);
    opt[5] = extendedRcode;
    opt.writeUInt16BE(dnssec ? 0x8000 : 0, 7);
    this.#push(opt);
  }
  finish(): Buffer {
    return Buffer.concat(this.#parts, this.#length);
  }
}

function ipv6Bytes(ip: string): Buffer {
  const bytes = Buffer.alloc(16);
  let text = ip;
  const embedded = text.slice(text.lastIndexOf(':') + 1);
  if (isIPv4(embedded)) {
    const [a = 0, b = 0, c = 0, d = 0] = embedded.split('.').map(Number);
    text = `${text.slice(0, -embedded.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', tail] = text.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  before.forEach((group, i) => bytes.writeUInt16BE(Number.parseInt(group, 16) || 0, 2 * i));
  after.forEach((group, i) => bytes.writeUInt16BE(Number.parseInt(group, 16) || 0, 2 * (8 - after.length + i)));
  return bytes;
}
