// IP addresses and CIDRs, read as strictly as Go's net/netip reads them and with its words for what is wrong.

import type { Implementation, Implementations } from '../registry.ts';
import { Failure, Opaque } from '../values.ts';
import type { Value } from '../values.ts';
import { goQuote } from './_go-quote.ts';

class AddressError extends Error {}

export class Ip extends Opaque {
  readonly typeName = 'net.IP';
  readonly family: 4 | 6;
  readonly bits: bigint;
  constructor(family: 4 | 6, bits: bigint) {
    super();
    this.family = family;
    this.bits = bits;
  }
  /** In bytes. */
  get size(): number { return this.family === 4 ? 4 : 16; }
  get width(): number { return this.family === 4 ? 32 : 128; }
  equals(other: Value): boolean { return other instanceof Ip && other.family === this.family && other.bits === this.bits; }
  override toString(): string { return this.family === 4 ? formatV4(this.bits) : formatV6(this.bits); }
}

export class Cidr extends Opaque {
  readonly typeName = 'net.CIDR';
  readonly ip: Ip;
  readonly length: number;
  constructor(ip: Ip, length: number) {
    super();
    this.ip = ip;
    this.length = length;
  }
  /** The bytes that a prefix of this length touches. */
  get size(): number { return Math.ceil(this.length / 8); }
  equals(other: Value): boolean { return other instanceof Cidr && other.ip.equals(this.ip) && other.length === this.length; }
  masked(): Cidr { return new Cidr(new Ip(this.ip.family, maskBits(this.ip, this.length)), this.length); }
  contains(ip: Ip): boolean { return ip.family === this.ip.family && maskBits(ip, this.length) === maskBits(this.ip, this.length); }
  override toString(): string { return `${this.ip.toString()}/${this.length}`; }
}

function maskBits(ip: Ip, length: number): bigint {
  const rest = BigInt(ip.width - length);
  return (ip.bits >> rest) << rest;
}

function formatV4(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map(shift => (bits >> shift) & 255n).join('.');
}

function formatV6(bits: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bits >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === '0') length++;
    if (length > best.length) best = { at, length };
  }
  if (best.at === -1) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

function parseAddress(text: string): Ip {
  const fail = (message: string, at?: string) =>
    new AddressError(`ParseAddr(${goQuote(text)}): ${message}${at === undefined ? '' : ` (at ${goQuote(at)})`}`);
  const first = /[.:%]/.exec(text)?.[0];
  if (first === '.') return new Ip(4, parseV4(text, fail));
  if (first === ':') return new Ip(6, parseV6(text, fail));
  throw fail(first === '%' ? 'missing IPv6 address' : 'unable to parse IP');
}

type Fail = (message: string, at?: string) => AddressError;

function parseV4(text: string, fail: Fail): bigint {
  let bits = 0n;
  let value = 0;
  let digits = 0;
  let fields = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c >= '0' && c <= '9') {
      if (digits === 1 && value === 0) throw fail('IPv4 field has octet with leading zero');
      value = value * 10 + Number(c);
      digits++;
      if (value > 255) throw fail('IPv4 field has value >255');
    } else if (c === '.') {
      if (i === 0 || i === text.length - 1 || text[i - 1] === '.') throw fail('IPv4 field must have at least one digit', text.slice(i));
      if (fields === 3) throw fail('IPv4 address too long');
      bits = (bits << 8n) | BigInt(value);
      fields++;
      value = 0;
      digits = 0;
    } else {
      throw fail('unexpected character', text.slice(i));
    }
  }
  if (fields < 3) throw fail('IPv4 address too short');
  return (bits << 8n) | BigInt(value);
}

function parseV6(text: string, fail: Fail): bigint {
  const percent = text.indexOf('%');
  if (percent !== -1) {
    if (percent === text.length - 1) throw fail('zone must be a non-empty string');
    parseV6(text.slice(0, percent), fail);
    throw new AddressError(`IP address ${goQuote(text)} with zone value is not allowed`);
  }
  const groups: bigint[] = [];
  let gap = -1;
  let rest = text;
  if (rest.startsWith('::')) {
    gap = 0;
    rest = rest.slice(2);
    if (rest === '') return 0n;
  }
  while (groups.length < 8) {
    const digits = /^[0-9a-fA-F]*/.exec(rest)![0];
    if (digits === '') throw fail('each colon-separated field must have at least one digit', rest);
    if (digits.length > 4) throw fail('each group must have 4 or less digits', rest);
    if (rest[digits.length] === '.') {
      if (gap === -1 && groups.length !== 6) throw fail('embedded IPv4 address must replace the final 2 fields of the address', rest);
      if (groups.length > 6) throw fail('too many hex fields to fit an embedded IPv4 at the end of the address', rest);
      const v4 = parseV4(rest, (message, at) => fail(message, at ?? rest));
      groups.push(v4 >> 16n, v4 & 0xffffn);
      rest = '';
      break;
    }
    groups.push(BigInt(`0x${digits}`));
    rest = rest.slice(digits.length);
    if (rest === '') break;
    if (!rest.startsWith(':')) throw fail('unexpected character, want colon', rest);
    if (rest.length === 1) throw fail('colon must be followed by more characters', rest);
    rest = rest.slice(1);
    if (rest.startsWith(':')) {
      if (gap !== -1) throw fail('multiple :: in address', rest);
      gap = groups.length;
      rest = rest.slice(1);
      if (rest === '') break;
    }
  }
  if (rest !== '') throw fail('trailing garbage after address', rest);
  if (groups.length < 8) {
    if (gap === -1) throw fail('address string too short');
    groups.splice(gap, 0, ...Array.from({ length: 8 - groups.length }, () => 0n));
  } else if (gap !== -1) {
    throw fail('the :: must expand to at least one field of zeros');
  }
  return groups.reduce((bits, group) => (bits << 16n) | group, 0n);
}

function isMapped(ip: Ip): boolean {
  return ip.family === 6 && ip.bits >> 32n === 0xffffn;
}

function parseIp(text: string): Ip {
  let ip: Ip;
  try {
    ip = parseAddress(text);
  } catch (error) {
    if (!(error instanceof AddressError) || error.message.startsWith('IP address ')) throw error;
    throw new AddressError(`IP Address ${goQuote(text)} parse error during conversion from string: ${error.message}`);
  }
  if (isMapped(ip)) throw new AddressError(`IPv4-mapped IPv6 address ${goQuote(text)} is not allowed`);
  return ip;
}

function parseCidr(text: string): Cidr {
  const fail = (message: string) =>
    new AddressError(`network address parse error during conversion from string: netip.ParsePrefix(${goQuote(text)}): ${message}`);
  const slash = text.lastIndexOf('/');
  if (slash === -1) throw fail('no \'/\'');
  let ip: Ip;
  try {
    ip = parseAddress(text.slice(0, slash));
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw fail(error.message.startsWith('IP address ') ? 'IPv6 zones cannot be present in a prefix' : error.message);
  }
  const length = text.slice(slash + 1);
  if (length.length > 1 && !/^[1-9]/.test(length)) throw fail(`bad bits after slash: ${goQuote(length)}`);
  if (!/^\d+$/.test(length)) throw fail(`bad bits after slash: ${goQuote(length)}`);
  if (Number(length) > ip.width) throw fail('prefix length out of range');
  if (isMapped(ip)) throw new AddressError(`IPv4-mapped IPv6 address ${goQuote(text)} is not allowed`);
  return new Cidr(ip, Number(length));
}

function orFailure(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof AddressError) return new Failure(error.message);
    throw error;
  }
}

function toCidr(value: Value): Value {
  return orFailure(() => {
    try {
      return parseCidr(value as string);
    } catch (error) {
      // The prefix stands twice: reading and converting each put it there.
      if (error instanceof AddressError) throw new AddressError(`network address parse error during conversion from string: ${error.message}`);
      throw error;
    }
  });
}

const isParsed = (parse: (text: string) => Value): Implementation => ([text]) => !(orFailure(() => parse(text as string)) instanceof Failure);
const of = (test: (ip: Ip) => boolean): Implementation => ([ip]) => test(ip as Ip);
const top = (ip: Ip, bits: number) => ip.bits >> BigInt(ip.width - bits);

const isUnspecified = (ip: Ip) => ip.bits === 0n;
const isLoopback = (ip: Ip) => ip.family === 4 ? top(ip, 8) === 127n : ip.bits === 1n;
const isMulticast = (ip: Ip) => ip.family === 4 ? top(ip, 4) === 0xen : top(ip, 8) === 0xffn;
const isLinkLocalUnicast = (ip: Ip) => ip.family === 4 ? top(ip, 16) === 0xa9fen : top(ip, 10) === 0x3fan;
const isLinkLocalMulticast = (ip: Ip) => ip.family === 4 ? top(ip, 24) === 0xe00000n : (top(ip, 16) & 0xff0fn) === 0xff02n;
const isBroadcast = (ip: Ip) => ip.family === 4 && ip.bits === 0xffffffffn;

function containsIp(cidr: Value, ip: Value): Value {
  // Upstream loses what was wrong with the address here.
  return ip instanceof Ip ? (cidr as Cidr).contains(ip) : new Failure('no such overload');
}

function containsCidr(a: Value, b: Value): Value {
  if (!(b instanceof Cidr)) return b;
  const outer = a as Cidr;
  return outer.length <= b.length && outer.contains(b.ip);
}

export const ipFunctions: Implementations = {
  string_to_ip: ([text]) => orFailure(() => parseIp(text as string)),
  is_ip: isParsed(parseIp),
  ip_is_canonical: ([text]) => orFailure(() => parseIp(text as string).toString() === text),
  ip_to_string: ([ip]) => String(ip as Ip),
  ip_family: ([ip]) => BigInt((ip as Ip).family),
  ip_is_unspecified: of(isUnspecified),
  ip_is_loopback: of(isLoopback),
  ip_is_link_local_multicast: of(isLinkLocalMulticast),
  ip_is_link_local_unicast: of(isLinkLocalUnicast),
  ip_is_global_unicast: of(ip => !isUnspecified(ip) && !isLoopback(ip) && !isMulticast(ip) && !isLinkLocalUnicast(ip) && !isBroadcast(ip)),
  string_to_cidr: ([text]) => toCidr(text!),
  is_cidr: isParsed(parseCidr),
  cidr_to_string: ([cidr]) => String(cidr as Cidr),
  cidr_ip: ([cidr]) => (cidr as Cidr).ip,
  cidr_masked: ([cidr]) => (cidr as Cidr).masked(),
  cidr_prefix_length: ([cidr]) => BigInt((cidr as Cidr).length),
  cidr_contains_ip_ip: ([cidr, ip]) => containsIp(cidr!, ip!),
  cidr_contains_ip_string: ([cidr, text]) => containsIp(cidr!, orFailure(() => parseIp(text as string))),
  cidr_contains_cidr: ([cidr, other]) => containsCidr(cidr!, other!),
  cidr_contains_cidr_string: ([cidr, text]) => containsCidr(cidr!, toCidr(text!)),
};
