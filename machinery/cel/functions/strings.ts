// Functions of strings beyond the language's own. Positions count code points.

import type { Implementation, Implementations } from '../registry.ts';
import { CelList, codePointsOf, displayValue, Failure, joinTexts, ValueList } from '../values.ts';
import type { Value } from '../values.ts';
import { formatString } from './string-format.ts';

const text = (value: Value | undefined) => value as string;
const outOfRange = (index: bigint) => new Failure(`index out of range: ${index}`);

function charAt([value, at]: readonly Value[]): Value {
  const characters = codePointsOf(text(value));
  const index = at as bigint;
  return index < 0n || index > BigInt(characters.length) ? outOfRange(index) : characters[Number(index)] ?? '';
}

function matchesAt(characters: readonly string[], part: readonly string[], at: number): boolean {
  return part.every((character, i) => characters[at + i] === character);
}

function indexOf([value, searched, from = 0n]: readonly Value[]): Value {
  if (searched === '') return from;
  const start = from as bigint;
  if (start < 0n) return outOfRange(start);
  const characters = codePointsOf(text(value));
  const part = codePointsOf(text(searched));
  for (let i = Number(start); i <= characters.length - part.length; i++) if (matchesAt(characters, part, i)) return BigInt(i);
  return -1n;
}

function lastIndexOf([value, searched, from]: readonly Value[]): Value {
  const characters = codePointsOf(text(value));
  if (searched === '') return from ?? BigInt(characters.length);
  const part = codePointsOf(text(searched));
  if (from === undefined && Buffer.byteLength(text(value)) < Buffer.byteLength(text(searched))) return -1n;
  const start = (from ?? BigInt(characters.length - 1)) as bigint;
  if (start < 0n) return outOfRange(start);
  if (start >= BigInt(characters.length)) return -1n;
  for (let i = Math.min(Number(start), characters.length - part.length); i >= 0; i--) if (matchesAt(characters, part, i)) return BigInt(i);
  return -1n;
}

function substring([value, from, to]: readonly Value[]): Value {
  const characters = codePointsOf(text(value));
  const start = from as bigint;
  const length = BigInt(characters.length);
  const end = (to ?? length) as bigint;
  if (to !== undefined && start > end) return new Failure(`invalid substring range. start: ${start}, end: ${end}`);
  if (start < 0n || start > length) return outOfRange(start);
  if (end < 0n || end > length) return outOfRange(end);
  return characters.slice(Number(start), Number(end)).join('');
}

function replace([value, old, replacement, limit = -1n]: readonly Value[]): Value {
  const count = limit as bigint;
  if (count < 0n && old !== '') return joinTexts(text(value).split(text(old)), text(replacement));
  const parts = old === '' ? ['', ...codePointsOf(text(value))] : text(value).split(text(old));
  const joins = count < 0n ? parts.length : Number(count);
  const result: string[] = [];
  for (const [i, part] of parts.entries()) {
    result.push(part);
    // An empty text is found before every character and at the end.
    const isLast = i === parts.length - 1;
    if (!isLast || old === '') result.push(i < joins ? text(replacement) : isLast ? '' : text(old));
  }
  return joinTexts(result);
}

function split([value, separator, limit = -1n]: readonly Value[]): Value {
  const count = Number(limit);
  if (count === 0) return new ValueList([]);
  const parts = separator === '' ? codePointsOf(text(value)) : text(value).split(text(separator));
  if (count < 0 || parts.length <= count) return new ValueList(parts);
  return new ValueList([...parts.slice(0, count - 1), parts.slice(count - 1).join(text(separator))]);
}

function join([list, separator = '']: readonly Value[]): Value {
  const parts: string[] = [];
  for (const element of list as CelList) {
    if (typeof element !== 'string') return new Failure(`join: invalid input: ${displayValue(element)}`);
    parts.push(element);
  }
  return joinTexts(parts, text(separator));
}

const quoted: Readonly<Record<string, string>> = {
  '\u0007': '\\a', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v', '\\': '\\\\', '"': '\\"',
};

function quote([value]: readonly Value[]): Value {
  return `"${text(value).replace(/[\p{Cc}\\"]/gu, character => quoted[character] ?? character)}"`;
}

const asciiCase = (pattern: RegExp, convert: (character: string) => string): Implementation => ([value]) => text(value).replace(pattern, convert);

export const stringFunctions: Implementations = {
  string_char_at_int: charAt,
  string_index_of_string: indexOf,
  string_index_of_string_int: indexOf,
  string_last_index_of_string: lastIndexOf,
  string_last_index_of_string_int: lastIndexOf,
  string_substring_int: substring,
  string_substring_int_int: substring,
  string_replace_string_string: replace,
  string_replace_string_string_int: replace,
  string_split_string: split,
  string_split_string_int: split,
  list_join: join,
  list_join_string: join,
  strings_quote: quote,
  string_lower_ascii: asciiCase(/[A-Z]/g, character => character.toLowerCase()),
  string_upper_ascii: asciiCase(/[a-z]/g, character => character.toUpperCase()),
  // U+FEFF is no space for Go, U+0085 is.
  string_trim: ([value]) => text(value).replace(/^[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g, ''),
  string_format: ([value, args]) => formatString(text(value), args as CelList),
  string_jsonpatch_escapeKey_string: ([value]) => text(value).replaceAll('~', '~0').replaceAll('/', '~1'),
};
