// Resource quantities (`500m`, `1.5Gi`, `2e3`): parsing, canonical text, arithmetic. Values are exact: a bigint of
// billionths. Rules: apimachinery's api/resource/quantity.go; the fast paths serve the scheduler and the kubelet.

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';
export interface Quantity {
  /** In billionths (nano). */
  readonly nanos: bigint;
  readonly format: QuantityFormat;
  /** The text as given where upstream would send it back unchanged instead of in canonical form. */
  readonly text?: string;
}

export class QuantityError extends Error {
  override name = 'QuantityError';
}
const wrongForm = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const wrongNumber = 'unable to parse numeric part of quantity';
const wrongSuffix = "unable to parse quantity's suffix";

const giga = 1_000_000_000n;
const largest = 2n ** 63n - 1n;
/** Far beyond any real quantity; keeps a hostile `1e999999999` from filling memory. */
const largestExponent = 400;

const decimalExponents = new Map<string, number>([
  ['n', -9], ['u', -6], ['m', -3], ['', 0], ['k', 3], ['M', 6], ['G', 9], ['T', 12], ['P', 15], ['E', 18],
]);
const binaryExponents = new Map<string, number>([['Ki', 10], ['Mi', 20], ['Gi', 30], ['Ti', 40], ['Pi', 50], ['Ei', 60]]);
const decimalSuffixes = new Map([...decimalExponents].map(([suffix, exponent]) => [exponent, suffix]));
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

const shape = /^([+-]?)0*([0-9]*)(\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;

/** Numbers are taken as JSON would print them. Throws QuantityError with upstream's text. */
export function parseQuantity(value: string | number): Quantity {
  const text = typeof value === 'number' ? String(value) : value;
  const match = text === '' ? null : shape.exec(text);
  if (!match) throw new QuantityError(wrongForm);
  const negative = match[1] === '-';
  const whole = match[2] ?? '';
  const fraction = match[4] ?? '';
  const { base, exponent, format } = readSuffix(match[5] ?? '');
  const digits = BigInt(`${whole}${fraction}` || '0');

  // |value| = digits * base^exponent / 10^fraction.length, rounded up to whole billionths.
  let top = digits;
  let shift = 9 - fraction.length;
  if (base === 2) top <<= BigInt(exponent);
  else shift += exponent;
  let nanos: bigint;
  if (shift >= 0) nanos = top * 10n ** BigInt(shift);
  else nanos = -shift > 9 + largestExponent + fraction.length ? (top === 0n ? 0n : 1n) : divideUp(top, 10n ** BigInt(-shift));
  if (format === 'BinarySI' && nanos > largest * giga) nanos = largest * giga;
  const binaryBelowOne = format === 'BinarySI' && (fraction !== '' || nanos === 0n) && nanos < giga && nanos > 0n;
  return {
    nanos: negative ? -nanos : nanos,
    format: binaryBelowOne ? 'DecimalSI' : format,
    ...(sentBack(whole, fraction, base, exponent, digits) ? { text } : {}),
  };
}

/** Upstream keeps the given text when a quick look tells it that it is canonical already (which lets `1.500` and `1.` pass). */
function sentBack(whole: string, fraction: string, base: 2 | 10, exponent: number, digits: bigint): boolean {
  if (base === 2) {
    return fraction === '' && 15 - whole.length - Math.trunc(exponent * 3 / 10) - 1 >= 0 && (digits & 7n) !== 0n;
  }
  const all = `${whole || '0'}${fraction}`;
  const scale = exponent - fraction.length;
  return all.length <= 18 && scale >= -9 && scale % 3 === 0 && !all.endsWith('000') && !all.startsWith('0');
}

function readSuffix(suffix: string): { base: 2 | 10; exponent: number; format: QuantityFormat } {
  const decimal = decimalExponents.get(suffix);
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: 'DecimalSI' };
  const binary = binaryExponents.get(suffix);
  if (binary !== undefined) return { base: 2, exponent: binary, format: 'BinarySI' };
  if (!/^[eE][+-]?[0-9]+$/.test(suffix)) throw new QuantityError(wrongSuffix);
  const exponent = Number(suffix.slice(1));
  if (Math.abs(exponent) > largestExponent) throw new QuantityError(wrongNumber);
  return { base: 10, exponent, format: 'DecimalExponent' };
}

/** Canonical text: no fraction, the largest suffix that loses nothing. */
export function formatQuantity(quantity: Quantity): string {
  const { nanos } = quantity;
  if (quantity.text !== undefined) return quantity.text;
  if (nanos === 0n) return '0';
  if (quantity.format === 'BinarySI' && nanos % giga === 0n) {
    let amount = nanos / giga;
    if (amount <= -1024n || amount >= 1024n) {
      let power = 0;
      while (power < binarySuffixes.length - 1 && amount % 1024n === 0n) {
        amount /= 1024n;
        power += 1;
      }
      return `${amount}${binarySuffixes[power]}`;
    }
  }
  let amount = nanos;
  let exponent = -9;
  const highest = quantity.format === 'DecimalExponent' ? Infinity : 18;
  while (exponent < highest && amount % 1000n === 0n) {
    amount /= 1000n;
    exponent += 3;
  }
  if (quantity.format === 'DecimalExponent') return exponent === 0 ? `${amount}` : `${amount}e${exponent}`;
  return `${amount}${decimalSuffixes.get(exponent)}`;
}

/** The text as upstream would send it back: canonical, but for what it recognises as such by itself. */
export function canonicalQuantity(value: string | number): string {
  if (typeof value === 'string' && plainText.test(value)) return value;
  return formatQuantity(parseQuantity(value));
}
/** Certainly canonical: short, and no trailing zeros or multiples of 1024 that a larger suffix could take. */
const plainText = /^(?:0|[1-9][0-9]{0,2}(?:m|Ki|Mi|Gi|Ti|k|M|G|T)?)$/;

/** `milli` rounds up, as resource lists are stored. */
export function roundUpToMilli(quantity: Quantity): Quantity {
  if (quantity.nanos % 1_000_000n === 0n) return quantity;
  return { nanos: ceilTo(quantity.nanos, 1_000_000n) * 1_000_000n, format: quantity.format };
}

/** The sum has the first one's format, as upstream; a zero takes over the other's. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.nanos === 0n ? b.format : a.format };
}
/** Negative, 0 or positive. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
}

export function quantityOfBytes(bytes: number | bigint): Quantity {
  return { nanos: BigInt(bytes) * giga, format: 'BinarySI' };
}
export function quantityOfMilli(milli: number | bigint): Quantity {
  return { nanos: BigInt(milli) * 1_000_000n, format: 'DecimalSI' };
}
export function quantityOfInteger(value: number | bigint): Quantity {
  return { nanos: BigInt(value) * giga, format: 'DecimalSI' };
}

/** Approximate where a double cannot hold it. */
export function quantityToNumber(value: string | number | Quantity): number {
  if (typeof value === 'number') return value;
  const { nanos } = typeof value === 'string' ? parseQuantity(value) : value;
  const whole = nanos / giga;
  return Number(whole) + Number(nanos - whole * giga) / 1e9;
}

const fast = /^([0-9]{1,7})(m|Ki|Mi|Gi|k|M|G)?$/;
const factors: Readonly<Record<string, number>> = { Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3, k: 1e3, M: 1e6, G: 1e9 };

/** Thousandths, rounded up (`MilliValue`): what CPU is counted in. */
export function quantityMilli(value: string | number | Quantity): number {
  if (typeof value === 'string') {
    const match = fast.exec(value);
    if (match?.[2] === 'm') return Number(match[1]);
    if (match) return Number(match[1]) * 1000 * (match[2] === undefined ? 1 : factors[match[2]] ?? 1);
  }
  return Number(ceilTo(asQuantity(value).nanos, 1_000_000n));
}

/** Whole units, rounded up (`Value`): what bytes and counts are counted in. */
export function quantityBytes(value: string | number | Quantity): number {
  if (typeof value === 'string') {
    const match = fast.exec(value);
    if (match && match[2] !== 'm') return Number(match[1]) * (match[2] === undefined ? 1 : factors[match[2]] ?? 1);
  }
  return Number(ceilTo(asQuantity(value).nanos, giga));
}

export function isQuantity(value: unknown): value is string | number {
  if (typeof value !== 'string' && typeof value !== 'number') return false;
  try {
    parseQuantity(value);
    return true;
  } catch (error) {
    if (error instanceof QuantityError) return false;
    throw error;
  }
}

function asQuantity(value: string | number | Quantity): Quantity {
  return typeof value === 'object' ? value : parseQuantity(value);
}
/** Upstream rounds away from zero, negative numbers too. */
function ceilTo(nanos: bigint, unit: bigint): bigint {
  return nanos >= 0n ? divideUp(nanos, unit) : -divideUp(-nanos, unit);
}
function divideUp(top: bigint, bottom: bigint): bigint {
  return (top + bottom - 1n) / bottom;
}
