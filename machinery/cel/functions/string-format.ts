// '%s of %d'.format([a, b]): the clauses, what they print while an expression runs, and what the checker says of constant ones.
// The texts and oddities (numbers in groups of three, exponents as powers of ten) are the reference implementation's for en_US.

import { compareStrings } from '../operations.ts';
import { formatDuration, formatTimestamp } from '../time.ts';
import { typeName } from '../types.ts';
import type { Type } from '../types.ts';
import type { Expr } from '../ast.ts';
import { CelList, CelMap, Duration, Failure, formatDouble, joinTexts, Timestamp, typeNameOf, TypeValue, Uint } from '../values.ts';
import type { Value } from '../values.ts';
import { goQuote } from './_go-quote.ts';

const defaultPrecision = 6;

interface Clause {
  readonly letter: string;
  readonly precision: number;
}

class FormatError extends Error {}

const refusals: Readonly<Record<string, string>> = {
  b: 'only integers and bools can be formatted as binary, was given ',
  d: 'decimal clause can only be used on integers, was given ',
  f: 'fixed-point clause can only be used on doubles, was given ',
  e: 'scientific clause can only be used on doubles, was given ',
  x: 'only integers, byte buffers, and strings can be formatted as hex, was given ',
  o: 'octal clause can only be used on integers, was given ',
  s: 'string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given ',
};

function refusal(letter: string, type: string): FormatError {
  return new FormatError(`error during formatting: ${refusals[letter.toLowerCase()]!}${type}`);
}

/** Splits a text into what stays and its clauses. `ask` is called at every clause, before it is read, as soon as its % is. */
function readFormat(text: string, ask: (isLast: boolean) => void): (string | Clause)[] {
  const parts: (string | Clause)[] = [];
  let at = 0;
  while (at < text.length) {
    const percent = text.indexOf('%', at);
    if (percent === -1) {
      parts.push(text.slice(at));
      break;
    }
    if (percent > at) parts.push(text.slice(at, percent));
    if (text[percent + 1] === '%') {
      parts.push('%');
      at = percent + 2;
      continue;
    }
    ask(percent + 1 >= text.length);
    const { clause, end } = readClause(text, percent + 1);
    parts.push(clause);
    at = end;
  }
  return parts;
}

function readClause(text: string, start: number): { clause: Clause; end: number } {
  let at = start;
  let precision = defaultPrecision;
  if (text[at] === '.') {
    const digits = /^\d*/.exec(text.slice(at + 1))![0];
    at += 1 + digits.length;
    const wrong = 'could not parse formatting clause: error while parsing precision: ';
    if (at >= text.length) throw new FormatError(`${wrong}could not find end of precision specifier`);
    if (digits === '') throw new FormatError(`${wrong}error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax`);
    precision = Number(digits);
  }
  const letter = String.fromCodePoint(text.codePointAt(at)!);
  if (!/^[sdfebxXo]$/.test(letter)) throw new FormatError(`could not parse formatting clause: unrecognized formatting clause "${letter}"`);
  return { clause: { letter, precision }, end: at + 1 };
}

export function formatString(text: string, args: CelList): Value {
  let index = 0;
  try {
    const used: Value[] = [];
    const parts = readFormat(text, isLast => {
      if (index >= args.size) throw new FormatError(`index ${index} out of range`);
      if (isLast) throw new FormatError('unexpected end of string');
      used.push(args.get(index++));
    });
    let next = 0;
    return joinTexts(parts.map(part => typeof part === 'string' ? part : print(part, used[next++]!)));
  } catch (error) {
    if (error instanceof FormatError) return new Failure(error.message);
    throw error;
  }
}

function print({ letter, precision }: Clause, value: Value): string {
  switch (letter) {
    case 's': return printText(value);
    case 'd': return printInteger(value, 10, 'd');
    case 'b': return typeof value === 'boolean' ? String(Number(value)) : printInteger(value, 2, 'b');
    case 'o': return printInteger(value, 8, 'o');
    case 'f': return printFixed(toDouble(value, 'f'), precision, true);
    case 'e': return printScientific(toDouble(value, 'e'), precision);
    default: return printHex(value, letter);
  }
}

function printInteger(value: Value, base: number, letter: string): string {
  if (typeof value === 'bigint') return value.toString(base);
  if (value instanceof Uint) return value.value.toString(base);
  throw refusal(letter, typeNameOf(value));
}

function printHex(value: Value, letter: string): string {
  const hex = typeof value === 'string' ? Buffer.from(value).toString('hex') : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : printInteger(value, 16, 'x');
  return letter === 'X' ? hex.toUpperCase() : hex;
}

function toDouble(value: Value, letter: string): number {
  if (typeof value === 'number') return value;
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value);
  throw refusal(letter, typeNameOf(value));
}

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? undefined : value > 0 ? '∞' : '-∞';
}

function printFixed(value: number, precision: number, grouped: boolean): string {
  if (grouped) {
    const name = special(value);
    if (name !== undefined) return name;
  } else if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  }
  const text = Math.abs(value) < 1e21 ? value.toFixed(Math.min(precision, 100)) : `${BigInt(value)}${precision > 0 ? `.${'0'.repeat(precision)}` : ''}`;
  const [whole, fraction] = text.split('.') as [string, string | undefined];
  const shown = grouped ? whole.replace(/\B(?=(\d{3})+$)/g, ',') : whole;
  return fraction === undefined ? shown : `${shown}.${fraction}`;
}

/** The precision is taken as a width, as the reference implementation does. */
function printScientific(value: number, width: number): string {
  const name = special(value);
  if (name !== undefined) return name.padStart(width);
  const [digits, exponent] = value.toExponential(defaultPrecision).split('e') as [string, string];
  const power = Math.abs(Number(exponent)).toString().padStart(2, '0').replace(/\d/g, digit => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)]!);
  return `${digits}×10${Number(exponent) < 0 ? '⁻' : ''}${power}`.padStart(width);
}

function printText(value: Value): string {
  switch (typeof value) {
    case 'string': return value;
    case 'boolean': case 'bigint': return String(value);
    case 'number': return formatDouble(value);
    case 'object': break;
  }
  if (value === null) return 'null';
  if (value instanceof CelList) return printList(value);
  if (value instanceof CelMap) return printMap(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value.nanos);
  if (value instanceof TypeValue) return value.name;
  if (value instanceof Uint8Array) {
    // Bytes that are no text cannot be shown.
    const text = Buffer.from(value).toString();
    if (Buffer.compare(Buffer.from(text), value) !== 0) throw new FormatError('error during formatting: could not convert argument "invalid UTF-8 in bytes, cannot convert to string" to string');
    return text;
  }
  throw refusal('s', typeNameOf(value));
}

/** Inside lists and maps: as a literal of the language. */
function printElement(value: Value): string {
  if (typeof value === 'string') return goQuote(value);
  if (typeof value === 'number') return Number.isFinite(value) ? printFixed(value, defaultPrecision, false) : `"${printFixed(value, 0, false)}"`;
  if (value instanceof Uint8Array) return `b${goQuote(printText(value))}`;
  if (value instanceof Timestamp) return `timestamp(${goQuote(formatTimestamp(value))})`;
  if (value instanceof Duration) return `duration(${goQuote(formatDuration(value.nanos))})`;
  const isKnown = value === null || typeof value !== 'object' || value instanceof CelList || value instanceof CelMap || value instanceof Uint || value instanceof TypeValue;
  if (!isKnown) throw new FormatError(`error during formatting: no formatting function for ${typeNameOf(value)}`);
  return printText(value);
}

function printList(list: CelList): string {
  return `[${[...list].map(printElement).join(', ')}]`;
}

function printMap(map: CelMap): string {
  const entries = [...map.keys()].map(key => {
    const isKey = typeof key === 'string' || typeof key === 'boolean' || typeof key === 'bigint' || key instanceof Uint;
    if (!isKey) throw new FormatError(`error during formatting: no formatting function for map key of type ${typeNameOf(key)}`);
    return { key: printElement(key), value: printElement(map.find(key) ?? null) };
  });
  return `{${entries.toSorted((a, b) => compareStrings(a.key, b.key)).map(entry => `${entry.key}:${entry.value}`).join(', ')}}`;
}

const acceptedTypes: Readonly<Record<string, readonly string[]>> = {
  d: ['int', 'uint'],
  o: ['int', 'uint'],
  b: ['int', 'uint', 'bool'],
  f: ['double', 'string'],
  e: ['double', 'string'],
  x: ['int', 'uint', 'string', 'bytes'],
  s: ['list', 'map', 'int', 'uint', 'double', 'bool', 'string', 'timestamp', 'bytes', 'duration', 'type', 'null'],
};

/** What is wrong with a constant text and a literal list of arguments; `at` undefined means the call itself. */
export function checkFormat(text: string, args: readonly Expr[]): { at: number | undefined; message: string } | undefined {
  let asked = 0;
  let parts: (string | Clause)[] = [];
  let mistake: string | undefined;
  const clauses: Clause[] = [];
  try {
    // Clause by clause, because the first mistake of either kind is the one reported.
    parts = readFormat(text, isLast => {
      asked++;
      if (isLast) throw new FormatError('unexpected end of string');
      if (asked > args.length) throw new FormatError(`index ${asked - 1} out of range`);
    });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    mistake = error.message;
    parts = readable(text, asked - 1);
  }
  for (const part of parts) if (typeof part !== 'string') clauses.push(part);
  for (const [i, clause] of clauses.entries()) {
    const bad = args[i] === undefined ? undefined : badArgument(clause.letter, args[i]);
    if (bad !== undefined) return { at: bad.at, message: refusal(clause.letter, typeName(bad.type ?? ({ kind: 'dyn' } as Type))).message };
  }
  if (mistake !== undefined) return { at: undefined, message: mistake };
  if (args.length > asked) return { at: undefined, message: `too many arguments supplied to string.format (expected ${asked}, got ${args.length})` };
  return undefined;
}

/** The clauses before a mistake. */
function readable(text: string, count: number): Clause[] {
  const clauses: Clause[] = [];
  for (const match of text.matchAll(/%%|%(?:\.(\d+))?([sdfebxXo])/g)) {
    if (match[2] !== undefined && clauses.length < count) clauses.push({ letter: match[2], precision: defaultPrecision });
  }
  return clauses;
}

function badArgument(letter: string, arg: Expr): Expr | undefined {
  const kind = arg.type?.kind ?? 'dyn';
  if (kind !== 'dyn' && !acceptedTypes[letter.toLowerCase()]!.includes(kind)) return arg;
  if (letter !== 's') return undefined;
  const inner = arg.kind === 'list' ? arg.elements : arg.kind === 'map' ? arg.entries.flatMap(entry => [entry.key, entry.value]) : [];
  for (const element of inner) {
    const bad = badArgument('s', element);
    if (bad !== undefined) return bad;
  }
  return undefined;
}
