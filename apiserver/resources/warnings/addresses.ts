// Warnings of addresses that are read, but not the way everybody writes them. Upstream: apimachinery's util/validation/ip.go.
import { isIP } from 'node:net';
import { canonicalIp } from '#machinery/api/names.ts';

export function addressWarnings(path: string, value: unknown): string[] {
  if (typeof value !== 'string' || value === '') return [];
  const sloppy = value.replace(/\d+(?=\.|$)/g, (digits) => digits.replace(/^0+(?=\d)/, ''));
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(sloppy)?.[1];
  if (isIP(mapped ?? sloppy) === 0) return [];
  if (mapped !== undefined || (isIP(value) === 0 && isIP(sloppy) === 4)) return [`${path}: non-standard IP address ${JSON.stringify(value)} is invalid: use ${JSON.stringify(mapped ?? sloppy)}`];
  const canonical = canonicalIp(value);
  return isIP(value) === 6 && canonical !== value ? [`${path}: IPv6 address ${JSON.stringify(value)} should be in RFC 5952 canonical format (${JSON.stringify(canonical)})`] : [];
}
