// URLs as Go's net/url reads them: parts stay as written, nothing is resolved or normalized.

import type { Implementation, Implementations } from '../registry.ts';
import { Failure, Opaque, ValueList, ValueMap } from '../values.ts';
import type { Value } from '../values.ts';
import { goQuote } from './_go-quote.ts';

/** Has Go's text: parse "…": … */
export class UrlError extends Error {}

export class Url extends Opaque {
  readonly typeName = 'kubernetes.URL';
  readonly scheme: string;
  readonly user: string | undefined;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly fragment: string | undefined;
  constructor(parts: { scheme: string; user: string | undefined; host: string; path: string; query: string; fragment: string | undefined }) {
    super();
    this.scheme = parts.scheme;
    this.user = parts.user;
    this.host = parts.host;
    this.path = parts.path;
    this.query = parts.query;
    this.fragment = parts.fragment;
  }
  equals(other: Value): boolean { return other instanceof Url && other.toString() === this.toString(); }
  override toString(): string {
    const scheme = this.scheme === '' ? '' : `${this.scheme}:`;
    const authority = this.scheme !== '' || this.host !== '' || this.user !== undefined ? (this.host !== '' || this.path !== '' || this.user !== undefined
      ? `//${this.user === undefined ? '' : `${this.user}@`}${this.host}` : '') : '';
    return `${scheme}${authority}${this.path}${this.query === '' ? '' : `?${this.query}`}${this.fragment === undefined ? '' : `#${this.fragment}`}`;
  }
}

/** Must be absolute or begin with a slash. A fragment counts as part of what precedes it. */
export function parseRequestUrl(text: string): Url { return parse(text, true, undefined, text); }

function parseUrl(text: string): Url {
  const hash = text.indexOf('#');
  return hash === -1 ? parse(text, false, undefined, text) : parse(text.slice(0, hash), false, text.slice(hash + 1), text);
}

function parse(text: string, request: boolean, fragment: string | undefined, whole: string): Url {
  const fail = (message: string) => new UrlError(`parse ${goQuote(whole)}: ${message}`);
  if (/(?![\u0080-\u009f])\p{Cc}/u.test(text)) throw fail('net/url: invalid control character in URL');
  if (text === '' && request) throw fail('empty url');
  if (text === '*') return new Url({ scheme: '', user: undefined, host: '', path: '*', query: '', fragment });
  const { scheme, rest } = splitScheme(text, fail);
  let remaining = rest;
  let query = '';
  const question = remaining.indexOf('?');
  if (question !== -1) {
    query = remaining.slice(question + 1);
    remaining = remaining.slice(0, question);
  }
  let user: string | undefined;
  let host = '';
  if (!remaining.startsWith('/')) {
    // Something like mailto:x: opaque, and no path.
    if (scheme !== '') return new Url({ scheme, user, host, path: '', query, fragment });
    if (request) throw fail('invalid URI for request');
    if (remaining.split('/')[0]!.includes(':')) throw fail('first path segment in URL cannot contain colon');
  }
  if (remaining.startsWith('//') && (scheme !== '' || (!request && !remaining.startsWith('///')))) {
    const end = remaining.indexOf('/', 2);
    const authority = end === -1 ? remaining.slice(2) : remaining.slice(2, end);
    remaining = end === -1 ? '' : remaining.slice(end);
    const at = authority.lastIndexOf('@');
    if (at !== -1) {
      user = authority.slice(0, at);
      if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user)) throw fail('net/url: invalid userinfo');
      checkEscapes(user, fail);
    }
    host = parseHost(authority.slice(at + 1), fail);
  }
  checkEscapes(remaining, fail);
  return new Url({ scheme, user, host, path: remaining, query, fragment });
}

type Fail = (message: string) => UrlError;

function splitScheme(text: string, fail: Fail): { scheme: string; rest: string } {
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (/[A-Za-z]/.test(c)) continue;
    if (/[0-9+.-]/.test(c)) {
      if (i === 0) return { scheme: '', rest: text };
      continue;
    }
    if (c !== ':') return { scheme: '', rest: text };
    if (i === 0) throw fail('missing protocol scheme');
    return { scheme: text.slice(0, i).toLowerCase(), rest: text.slice(i + 1) };
  }
  return { scheme: '', rest: text };
}

function parseHost(text: string, fail: Fail): string {
  if (text.startsWith('[')) {
    const end = text.lastIndexOf(']');
    if (end === -1) throw fail('missing \']\' in host');
    checkPort(text.slice(end + 1), fail);
    checkHostCharacters(text, fail);
    return text;
  }
  const colon = text.lastIndexOf(':');
  if (colon !== -1) checkPort(text.slice(colon), fail);
  checkHostCharacters(text, fail);
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function checkPort(text: string, fail: Fail): void {
  if (text !== '' && !/^:\d*$/.test(text)) throw fail(`invalid port ${goQuote(text)} after host`);
}

function checkHostCharacters(text: string, fail: Fail): void {
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '%') {
      const escape = text.slice(i, i + 3);
      // Only bytes that are no ASCII may be escaped in a host.
      if (!/^%[0-9a-fA-F]{2}$/.test(escape)) throw fail(`invalid URL escape ${goQuote(escape)}`);
      if (/^%[0-7]/.test(escape) && escape !== '%25') throw fail(`invalid URL escape ${goQuote(escape)}`);
      i += 2;
    } else if (c < '\u0080' && /[ \\^`{|}#@?/]/.test(c)) {
      throw fail(`invalid character ${goQuote(c)} in host name`);
    }
  }
}

function checkEscapes(text: string, fail: Fail): void {
  const bad = /%(?![0-9a-fA-F]{2}).{0,2}/s.exec(text);
  if (bad !== null) throw fail(`invalid URL escape ${goQuote(bad[0])}`);
}

/** The path with whatever cannot stand in one escaped; as written where that is a way to write it. */
function escapedPath(path: string): string {
  if (/^[A-Za-z0-9\-_.~$&+,/:;=@!'()*[\]%]*$/.test(path)) return path;
  return [...Buffer.from(unescape(path, false))].map(byte => {
    const c = String.fromCharCode(byte);
    return /[A-Za-z0-9\-_.~$&+,/:;=@]/.test(c) ? c : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

function unescape(text: string, plusIsSpace: boolean): string {
  const plain = plusIsSpace ? text.replaceAll('+', ' ') : text;
  if (!plain.includes('%')) return plain;
  const bytes: number[] = [];
  for (const part of plain.matchAll(/%([0-9a-fA-F]{2})|([^%]+|%)/g)) {
    if (part[1] !== undefined) bytes.push(Number.parseInt(part[1], 16));
    else bytes.push(...Buffer.from(part[2]!));
  }
  return Buffer.from(bytes).toString();
}

function query(url: Url): Value {
  const values = new Map<string, string[]>();
  for (const pair of url.query.split('&')) {
    // Go drops what has a semicolon or a broken escape.
    if (pair === '' || pair.includes(';') || /%(?![0-9a-fA-F]{2})/.test(pair)) continue;
    const equals = pair.indexOf('=');
    const key = unescape(equals === -1 ? pair : pair.slice(0, equals), true);
    const value = equals === -1 ? '' : unescape(pair.slice(equals + 1), true);
    const known = values.get(key);
    if (known === undefined) values.set(key, [value]);
    else known.push(value);
  }
  const map = new ValueMap();
  for (const [key, list] of values) map.set(key, new ValueList(list));
  return map;
}

function hostname(host: string): string {
  const colon = host.lastIndexOf(':');
  const name = colon !== -1 && /^:\d*$/.test(host.slice(colon)) ? host.slice(0, colon) : host;
  return name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name;
}

function port(host: string): string { return /:(\d*)$/.exec(host)?.[1] ?? ''; }

function orFailure(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof UrlError) return new Failure(`URL parse error during conversion from string: ${error.message}`);
    throw error;
  }
}

function toUrl(text: string): Value {
  return orFailure(() => {
    parseRequestUrl(text);
    return parseUrl(text);
  });
}

const part = (read: (url: Url) => Value): Implementation => ([url]) => read(url as Url);

export const urlFunctions: Implementations = {
  string_to_url: ([text]) => toUrl(text as string),
  is_url_string: ([text]) => !(orFailure(() => parseRequestUrl(text as string)) instanceof Failure),
  url_get_scheme: part(url => url.scheme),
  url_get_host: part(url => url.host),
  url_get_hostname: part(url => hostname(url.host)),
  url_get_port: part(url => port(url.host)),
  url_get_escaped_path: part(url => escapedPath(url.path)),
  url_get_query: part(query),
};
