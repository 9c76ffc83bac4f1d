// IP ranges and addresses as numbers, both families.
import { isIP, isIPv4 } from 'node:net';

export type Family = 'IPv4' | 'IPv6';
export interface AddressRange {
  /** In canonical form. */
  cidr: string;
  bits: number;
  family: Family;
  /** The network's address itself. */
  network: bigint;
  /** The last one of the network. */
  end: bigint;
  /** First and last that a host can have: not the network's own, and in IPv4 not the broadcast address. */
  first: bigint;
  last: bigint;
}

export function familyOf(address: string): Family | undefined {
  const version = isIP(address);
  return version === 4 ? 'IPv4' : version === 6 ? 'IPv6' : undefined;
}

/** undefined for what is not a CIDR. */
export function parseRange(cidr: string): AddressRange | undefined {
  const [address = '', bitsText = ''] = cidr.trim().split('/');
  const family = familyOf(address);
  const bits = Number(bitsText);
  const width = family === 'IPv4' ? 32 : 128;
  if (family === undefined || !/^\d{1,3}$/.test(bitsText) || bits > width) return undefined;
  const size = 1n << BigInt(width - bits);
  const network = addressToNumber(address) & ~(size - 1n);
  const end = network + size - 1n;
  return { cidr: `${numberToAddress(network, family)}/${bits}`, family, bits, network, end, first: network + 1n, last: family === 'IPv4' ? end - 1n : end };
}

/** Whether a host of the range can have the address. */
export function contains(range: AddressRange, address: string): boolean {
  if (familyOf(address) !== range.family) return false;
  const number = addressToNumber(address);
  return number >= range.first && number <= range.last;
}

export function overlap(a: AddressRange, b: AddressRange): boolean {
  return a.family === b.family && a.network <= b.end && b.network <= a.end;
}

/** Whether all of `inner` is in `outer`; a range is in itself. */
export function covers(outer: AddressRange, inner: AddressRange): boolean {
  return outer.family === inner.family && outer.network <= inner.network && inner.end <= outer.end;
}

export function addressToNumber(address: string): bigint {
  if (isIPv4(address)) return address.split('.').reduce((sum, part) => (sum << 8n) | BigInt(Number(part)), 0n);
  const [plain = ''] = address.split('%');
  const tail = /(\d+\.\d+\.\d+\.\d+)$/.exec(plain)?.[1];
  const number = tail === undefined ? 0n : addressToNumber(tail);
  const text = tail === undefined ? plain : `${plain.slice(0, -tail.length)}${(number >> 16n).toString(16)}:${(number & 0xffffn).toString(16)}`;
  const [head = '', rest] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = rest === undefined || rest === '' ? [] : rest.split(':');
  const zeros = Array<string>(rest === undefined ? 0 : 8 - left.length - right.length).fill('0');
  return [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) | BigInt(Number.parseInt(group, 16)), 0n);
}

/** Canonical text (RFC 5952 for IPv6). */
export function numberToAddress(number: bigint, family: Family): string {
  if (family === 'IPv4') return [24n, 16n, 8n, 0n].map((shift) => ((number >> shift) & 255n).toString()).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((number >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === '0') length += 1;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}
