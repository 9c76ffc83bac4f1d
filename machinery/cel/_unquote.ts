// What string and bytes literals mean: quotes off, escape sequences replaced.

export class UnquoteError extends Error {}

const simple: Readonly<Record<string, number>> = {
  a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '\\': 92, '\'': 39, '"': 34, '`': 96, '?': 63,
};

export function unquote(literal: string): string {
  const { body, raw } = strip(literal);
  if (raw || !body.includes('\\')) return body;
  let text = '';
  for (const part of parts(body)) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    if (part.code > 0x10ffff || (part.code >= 0xd800 && part.code <= 0xdfff)) throw new UnquoteError('invalid unicode code point');
    text += String.fromCodePoint(part.code);
  }
  return text;
}

export function unquoteBytes(literal: string): Uint8Array {
  const { body, raw } = strip(literal);
  if (raw || !body.includes('\\')) return Buffer.from(body);
  const chunks: Uint8Array[] = [];
  for (const part of parts(body)) {
    if (typeof part === 'string') chunks.push(Buffer.from(part));
    // Code points have no meaning in bytes; a byte has.
    else if (part.unicode) throw new UnquoteError('unable to unescape string');
    else chunks.push(Buffer.of(part.code));
  }
  return Buffer.concat(chunks);
}

function strip(literal: string): { body: string; raw: boolean } {
  let text = literal.replaceAll('\r\n', '\n').replaceAll('\r', '\n');
  const raw = text.startsWith('r') || text.startsWith('R');
  if (raw) text = text.slice(1);
  const triple = text.length >= 6 && (text.startsWith('\'\'\'') || text.startsWith('"""'));
  return { body: triple ? text.slice(3, -3) : text.slice(1, -1), raw };
}

function* parts(body: string): Generator<string | { code: number; unicode: boolean }> {
  let at = 0;
  while (at < body.length) {
    const next = body.indexOf('\\', at);
    if (next === -1) {
      yield body.slice(at);
      return;
    }
    if (next > at) yield body.slice(at, next);
    const c = body[next + 1]!;
    const code = simple[c];
    if (code !== undefined) {
      yield { code, unicode: false };
      at = next + 2;
    } else if (c >= '0' && c <= '3') {
      yield { code: Number.parseInt(body.slice(next + 1, next + 4), 8), unicode: false };
      at = next + 4;
    } else {
      const digits = c === 'u' ? 4 : c === 'U' ? 8 : 2;
      yield { code: Number.parseInt(body.slice(next + 2, next + 2 + digits), 16), unicode: digits > 2 };
      at = next + 2 + digits;
    }
  }
}
