// Warnings of addresses that are read, but not the way everybody writes them. Upstream: apimachinery's util/validation/ip.go.
import { isIP } from 'node:net';
import { addressBits, canonicalIp } from '#machinery/api/names.ts';

export function addressWarnings(path: string, value: unknown): string[] {
  if (typeof value !== 'string' || value === '') return [];
  const sloppy = withoutZeros(value);
  const mapped = mappedAddress(sloppy);
  if (isIP(mapped ?? sloppy) === 0) return [];
  if (mapped !== undefined || (isIP(value) === 0 && isIP(sloppy) === 4)) return [`${path}: non-standard IP address ${JSON.stringify(value)} is invalid: use ${JSON.stringify(mapped ?? sloppy)}`];
  const canonical = canonicalIp(value);
  return isIP(value) === 6 && canonical !== value ? [`${path}: IPv6 address ${JSON.stringify(value)} should be in RFC 5952 canonical format (${JSON.stringify(canonical)})`] : [];
}

/** Of subnets: leading zeros, bits beyond the length, another spelling. */
export function subnetWarnings(path: string, value: unknown): string[] {
  const [, given = '', length = ''] = /^([^/]*)\/(\d+)$/.exec(typeof value === 'string' ? value : '') ?? [];
  const sloppy = withoutZeros(given);
  const mapped = mappedAddress(sloppy);
  const address = mapped ?? sloppy;
  const family = isIP(address);
  const width = family === 4 ? 32 : 128;
  const bits = Number(length) - (mapped === undefined ? 0 : 96);
  if (family === 0 || bits < 0 || bits > width) return [];
  const canonical = canonicalIp(address);
  const own = addressBits(canonical);
  const host = BigInt(width - bits);
  const network = (own >> host) << host;
  const subnet = `${formatAddress(network, family)}/${bits}`;
  const quoted = JSON.stringify(value);
  const warnings = network === own ? [] : [`${path}: CIDR value ${quoted} is ambiguous in this context (should be ${JSON.stringify(subnet)} or ${JSON.stringify(`${canonical}/${mapped === undefined ? width : 128}`)}?)`];
  if (mapped !== undefined || sloppy !== given || /^0\d/.test(length)) warnings.push(`${path}: non-standard CIDR value ${quoted} is invalid: use ${JSON.stringify(subnet)}`);
  if (warnings.length === 0 && family === 6 && `${canonical}/${bits}` !== value) warnings.push(`${path}: IPv6 CIDR value ${quoted} should be in RFC 5952 canonical format (${JSON.stringify(`${canonical}/${bits}`)})`);
  return warnings;
}
function formatAddress(bits: bigint, family: number): string {
  const part = (size: bigint, index: number): bigint => (bits >> (size * BigInt(index))) & ((1n << size) - 1n);
  if (family === 4) return [3, 2, 1, 0].map((index) => part(8n, index)).join('.');
  return canonicalIp([7, 6, 5, 4, 3, 2, 1, 0].map((index) => part(16n, index).toString(16)).join(':'));
}
function withoutZeros(address: string): string {
  return address.includes(':') && !address.includes('.') ? address : address.replace(/\d+(?=\.|$)/g, (digits) => digits.replace(/^0+(?=\d)/, ''));
}
/** The IPv4 address that an IPv6 address stands for. */
function mappedAddress(address: string): string | undefined {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
}
