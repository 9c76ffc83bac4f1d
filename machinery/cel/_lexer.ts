// Source to tokens, by CEL's lexical grammar. What is no token is reported and skipped.

import type { Reporter } from './_report.ts';

/** In the order in which the reference grammar numbers its tokens: sets of expected tokens are printed in this order. */
export const tokenNames = [
  '\'==\'', '\'!=\'', '\'in\'', '\'<\'', '\'<=\'', '\'>=\'', '\'>\'', '\'&&\'', '\'||\'', '\'[\'', '\']\'', '\'{\'', '\'}\'', '\'(\'', '\')\'', '\'.\'', '\',\'', '\'-\'',
  '\'!\'', '\'?\'', '\':\'', '\'+\'', '\'*\'', '\'/\'', '\'%\'', '\'true\'', '\'false\'', '\'null\'', 'NUM_FLOAT', 'NUM_INT', 'NUM_UINT', 'STRING', 'BYTES',
  'IDENTIFIER', 'ESC_IDENTIFIER', '<EOF>',
] as const;

export type TokenKind = (typeof tokenNames)[number];

/** What a source consists of. */
export interface Tokens {
  readonly list: readonly Token[];
  /** Where the characters are that belong to no token. */
  readonly skipped: ReadonlySet<number>;
}

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** In code points. */
  readonly at: number;
  readonly end: number;
}

const words = new Map<string, TokenKind>([['in', '\'in\''], ['true', '\'true\''], ['false', '\'false\''], ['null', '\'null\'']]);
const punctuation = ['==', '!=', '<=', '>=', '&&', '||', '<', '>', '[', ']', '{', '}', '(', ')', '.', ',', '-', '!', '?', ':', '+', '*', '/', '%'];

/** `characters` are the source's code points, as a string where each is one unit. */
export function tokenize(characters: ArrayLike<string>, reporter: Reporter): Tokens {
  const tokens: Token[] = [];
  const skipped = new Set<number>();
  const length = characters.length;
  let at = 0;
  const slice = (from: number, to: number) => {
    let text = '';
    for (let i = from; i < to; i++) text += characters[i]!;
    return text;
  };
  const push = (kind: TokenKind, end: number) => {
    tokens.push({ kind, text: slice(at, end), at, end });
    at = end;
  };
  while (at < length) {
    const c = characters[at]!;
    if (c === ' ' || c === '\t' || c === '\n' || c === '\r' || c === '\f') {
      at++;
      continue;
    }
    if (c === '/' && characters[at + 1] === '/') {
      while (at < length && characters[at] !== '\n') at++;
      continue;
    }
    const literal = stringEnd(characters, at);
    if (literal !== undefined && literal.end !== undefined) {
      push(literal.bytes ? 'BYTES' : 'STRING', literal.end);
      continue;
    }
    if (isDigit(c) || (c === '.' && isDigit(characters[at + 1]))) {
      const number = numberEnd(characters, at);
      push(number.kind, number.end);
      continue;
    }
    if (isLetter(c)) {
      let end = at + 1;
      while (isLetter(characters[end]) || isDigit(characters[end])) end++;
      // A prefix of a literal that never ends is an ordinary name: the quote after it is the error.
      push(words.get(slice(at, end)) ?? 'IDENTIFIER', end);
      continue;
    }
    if (c === '`') {
      let end = at + 1;
      while (end < length && (isLetter(characters[end]) || isDigit(characters[end]) || '.-/ '.includes(characters[end]!))) end++;
      if (characters[end] === '`' && end > at + 1) {
        push('ESC_IDENTIFIER', end + 1);
        continue;
      }
    }
    const sign = punctuation.find(text => text === slice(at, at + text.length));
    if (sign !== undefined) {
      push(`'${sign}'` as TokenKind, at + sign.length);
      continue;
    }
    const end = badEnd(characters, at, literal?.stop);
    reporter.add(at, `Syntax error: token recognition error at: '${slice(at, end)}'`);
    for (; at < end; at++) skipped.add(at);
  }
  tokens.push({ kind: '<EOF>', text: '<EOF>', at: length, end: length });
  return { list: tokens, skipped };
}

export function escapeSpace(text: string): string {
  return text.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
}

/** Skipped with a bad character: as far as some token could still have come of it, and the character that ruled that out. */
function badEnd(characters: ArrayLike<string>, at: number, stop: number | undefined): number {
  const c = characters[at]!;
  if (stop !== undefined) return Math.min(stop + 1, characters.length);
  if (c === '&' || c === '|' || c === '=') return Math.min(at + 2, characters.length);
  if (c === '`') {
    let end = at + 1;
    while (end < characters.length && (isLetter(characters[end]) || isDigit(characters[end]) || '.-/ '.includes(characters[end]!))) end++;
    return Math.min(end + 1, characters.length);
  }
  return at + 1;
}

interface StringScan {
  readonly bytes: boolean;
  /** After the closing quote; undefined when the literal does not end. */
  readonly end: number | undefined;
  /** The character that made it no literal. */
  readonly stop: number;
}

/** Reads a literal that begins with a quote or a prefix and a quote; undefined when none begins here. */
function stringEnd(characters: ArrayLike<string>, start: number): StringScan | undefined {
  let at = start;
  let bytes = false;
  let raw = false;
  if (characters[at] === 'b' || characters[at] === 'B') { bytes = true; at++; }
  if (characters[at] === 'r' || characters[at] === 'R') { raw = true; at++; }
  const quote = characters[at];
  if (quote !== '"' && quote !== '\'') return undefined;
  const triple = characters[at + 1] === quote && characters[at + 2] === quote;
  if (triple) {
    const scan = scanString(characters, at + 3, quote, raw, true);
    if (scan.end !== undefined) return { bytes, ...scan };
    // '' and then a new literal: what the lexer falls back to when the long form does not end.
    return { bytes, end: at + 2, stop: at };
  }
  return { bytes, ...scanString(characters, at + 1, quote, raw, false) };
}

function scanString(characters: ArrayLike<string>, from: number, quote: string, raw: boolean, triple: boolean): { end: number | undefined; stop: number } {
  let at = from;
  while (at < characters.length) {
    const c = characters[at]!;
    if (c === quote && (!triple || (characters[at + 1] === quote && characters[at + 2] === quote))) {
      const end = at + (triple ? 3 : 1);
      return { end, stop: end };
    }
    if (!triple && (c === '\n' || c === '\r')) return { end: undefined, stop: at };
    if (c === '\\' && !raw) {
      const length = escapeLength(characters, at);
      if (length < 0) return { end: undefined, stop: at - length };
      at += length;
    } else {
      at++;
    }
  }
  return { end: undefined, stop: at };
}

/** The length of an escape sequence; negative, how far its reading went, when it is none. */
function escapeLength(characters: ArrayLike<string>, at: number): number {
  const c = characters[at + 1];
  if (c === undefined) return -1;
  if ('abfnrtv"\'\\?`'.includes(c)) return 2;
  if (c >= '0' && c <= '3') {
    for (let i = 2; i < 4; i++) if (!(characters[at + i]! >= '0' && characters[at + i]! <= '7')) return -i;
    return 4;
  }
  const digits = c === 'x' || c === 'X' ? 2 : c === 'u' ? 4 : c === 'U' ? 8 : 0;
  if (digits === 0) return -1;
  for (let i = 2; i < 2 + digits; i++) if (!isHex(characters[at + i])) return -i;
  return 2 + digits;
}

function numberEnd(characters: ArrayLike<string>, start: number): { kind: TokenKind; end: number } {
  let at = start;
  if (characters[at] === '0' && characters[at + 1] === 'x' && isHex(characters[at + 2])) {
    at += 2;
    while (isHex(characters[at])) at++;
    return isUnsigned(characters[at]) ? { kind: 'NUM_UINT', end: at + 1 } : { kind: 'NUM_INT', end: at };
  }
  while (isDigit(characters[at])) at++;
  let isFloat = false;
  if (characters[at] === '.' && isDigit(characters[at + 1])) {
    isFloat = true;
    at++;
    while (isDigit(characters[at])) at++;
  }
  if (characters[at] === 'e' || characters[at] === 'E') {
    let end = at + 1;
    if (characters[end] === '+' || characters[end] === '-') end++;
    if (isDigit(characters[end])) {
      isFloat = true;
      at = end;
      while (isDigit(characters[at])) at++;
    }
  }
  if (isFloat) return { kind: 'NUM_FLOAT', end: at };
  return isUnsigned(characters[at]) ? { kind: 'NUM_UINT', end: at + 1 } : { kind: 'NUM_INT', end: at };
}

function isDigit(c: string | undefined): boolean { return c !== undefined && c >= '0' && c <= '9'; }
function isHex(c: string | undefined): boolean { return c !== undefined && /^[0-9a-fA-F]$/.test(c); }
function isUnsigned(c: string | undefined): boolean { return c === 'u' || c === 'U'; }
function isLetter(c: string | undefined): boolean { return c !== undefined && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c === '_'); }
