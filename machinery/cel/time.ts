// Reading and printing timestamps and durations as Go does: RFC 3339 with up to nine decimals, and "1h2m3.5s".

import { Duration, Timestamp } from './values.ts';

const minSeconds = -62_135_596_800n;
const maxSeconds = 253_402_300_799n;
const billion = 1_000_000_000n;

export const maxDuration = 2n ** 63n - 1n;

export function isTimestampInRange(nanos: bigint): boolean {
  return nanos >= minSeconds * billion && nanos < (maxSeconds + 1n) * billion;
}

/** Undefined when it is none. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [number, number, number, number, number, number];
  const offset = match[8] === undefined ? 0 : (match[8] === '-' ? -1 : 1) * (Number(match[9]) * 60 + Number(match[10]));
  if (hour > 23 || minute > 59 || second > 59 || Number(match[9] ?? 0) > 24 || Number(match[10] ?? 0) > 60) return undefined;
  const days = daysSinceEpoch(year, month, day);
  if (days === undefined) return undefined;
  const seconds = BigInt(days) * 86_400n + BigInt(hour * 3600 + minute * 60 + second - offset * 60);
  return new Timestamp(seconds * billion + BigInt((match[7] ?? '').padEnd(9, '0').slice(0, 9)), offset);
}

export function parseDate(text: string): Timestamp | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  const days = match === null ? undefined : daysSinceEpoch(Number(match[1]), Number(match[2]), Number(match[3]));
  return days === undefined ? undefined : new Timestamp(BigInt(days) * 86_400n * billion);
}

function daysSinceEpoch(year: number, month: number, day: number): number | undefined {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? Math.round(date.getTime() / 86_400_000) : undefined;
}

/** The parts of a time of day and date, as far from UTC as asked. */
export function toDate(time: Timestamp, offsetMinutes: number): { date: Date; nanos: number } {
  const seconds = floorDivide(time.nanos, billion);
  return { date: new Date(Number(seconds) * 1000 + offsetMinutes * 60_000), nanos: Number(time.nanos - seconds * billion) };
}

export function formatTimestamp(time: Timestamp): string {
  const { date, nanos } = toDate(time, time.offsetMinutes);
  const year = String(date.getUTCFullYear()).padStart(4, '0');
  const rest = date.toISOString().replace(/^[+-]?\d+-/, '').slice(0, 14);
  const fraction = nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
  if (time.offsetMinutes === 0) return `${year}-${rest}${fraction}Z`;
  const minutes = Math.abs(time.offsetMinutes);
  const zone = `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
  return `${year}-${rest}${fraction}${time.offsetMinutes < 0 ? '-' : '+'}${zone}`;
}

function pad(value: number): string { return String(value).padStart(2, '0'); }

export function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}

const units = new Map([['ns', 1n], ['us', 1000n], ['µs', 1000n], ['μs', 1000n], ['ms', 1_000_000n], ['s', billion], ['m', 60n * billion], ['h', 3600n * billion]]);

/** `1h2m3.5s`; undefined when it is none or too long. */
export function parseDuration(text: string): Duration | undefined {
  const match = /^([+-]?)(.+)$/s.exec(text);
  if (match === null) return undefined;
  if (match[2] === '0') return new Duration(0n);
  let nanos = 0n;
  let at = 0;
  for (const part of match[2]!.matchAll(/(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/gy)) {
    const [whole, integer, fraction, unit] = part;
    if (integer === '' && (fraction ?? '') === '') return undefined;
    const size = units.get(unit!)!;
    nanos += BigInt(integer === '' ? 0 : integer!) * size;
    if (fraction !== undefined && fraction !== '') nanos += BigInt(fraction) * size / 10n ** BigInt(fraction.length);
    if (nanos > maxDuration + 1n) return undefined;
    at += whole.length;
  }
  if (at !== match[2]!.length) return undefined;
  if (match[1] === '-') return new Duration(-nanos);
  return nanos > maxDuration ? undefined : new Duration(nanos);
}

/** Of OpenAPI's format "duration": Go's form, or a number and a word for its unit. */
export function parseOpenApiDuration(text: string): Duration | undefined {
  const plain = parseDuration(text);
  if (plain !== undefined) return plain;
  const match = /^\s*(\d+)\s*(nanoseconds?|nanos?|microseconds?|micros?|milliseconds?|millis?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|d|weeks?|wks?|w)\s*$/i.exec(text);
  if (match === null) return undefined;
  const unit = match[2]!.toLowerCase();
  const size = unit.startsWith('n') ? 1n : unit.startsWith('mic') ? 1000n : unit.startsWith('mil') ? 1_000_000n : unit.startsWith('s') ? billion
    : unit.startsWith('m') ? 60n * billion : unit.startsWith('h') ? 3600n * billion : unit.startsWith('d') ? 86_400n * billion : 7n * 86_400n * billion;
  const nanos = BigInt(match[1]!) * size;
  return nanos > maxDuration ? undefined : new Duration(nanos);
}

/** In seconds, as the language prints durations. Goes through a double, as the reference implementation does. */
export function formatDuration(nanos: bigint): string {
  const seconds = Number(nanos / billion) + Number(nanos % billion) / 1e9;
  const text = String(seconds);
  if (!text.includes('e')) return `${text}s`;
  return `${seconds.toFixed(20).replace(/0+$/, '').replace(/\.$/, '')}s`;
}

/** Minutes ahead of UTC at that time in a zone: an IANA name or `+hh:mm`. Throws Error with Go's text. */
export function zoneOffset(zone: string, time: Timestamp): number {
  const colon = zone.indexOf(':');
  if (colon === -1) return namedOffset(zone, time);
  const hours = atoi(zone.slice(0, colon));
  const minutes = atoi(zone.slice(colon + 1));
  return zone.startsWith('-') ? hours * 60 - minutes : hours * 60 + minutes;
}

function atoi(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`strconv.Atoi: parsing "${text}": invalid syntax`);
  return Number(text);
}

function namedOffset(zone: string, time: Timestamp): number {
  if (zone === '' || zone === 'UTC') return 0;
  const { date } = toDate(time, 0);
  let parts: Intl.DateTimeFormatPart[];
  try {
    // The names are the same data in Node and Go; Node also takes other spellings, which Go does not know.
    if (!/^[A-Za-z0-9_+/-]+$/.test(zone) || /^[+-]/.test(zone)) throw new RangeError(zone);
    parts = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric', era: 'short',
    }).formatToParts(date);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Error(`unknown time zone ${zone}`, { cause: error });
  }
  const get = (type: string) => Number(parts.find(part => part.type === type)!.value);
  const isBefore = parts.find(part => part.type === 'era')!.value.startsWith('B');
  const local = new Date(0);
  local.setUTCFullYear(isBefore ? 1 - get('year') : get('year'), get('month') - 1, get('day'));
  local.setUTCHours(get('hour'), get('minute'), get('second'));
  return (local.getTime() - Math.floor(date.getTime() / 1000) * 1000) / 60_000;
}
