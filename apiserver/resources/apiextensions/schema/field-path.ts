// Paths to fields of a schema: `.spec.replicas`, `.labels['a.b']`. Upstream: ValidFieldPath in apiserver/schema/cel/validation.go.
import { memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

export type FieldPath = {
  /** As errors spell it: `spec.replicas`, `labels[a.b]`. */
  readonly text: string;
  readonly root: string;
  /** Undefined for what is known to be there without a schema. */
  readonly schema: JsonSchema | undefined;
} | { readonly error: string };

const invalid = 'does not refer to a valid field';
const ended = 'unexpected end of JSON path';

export function parseFieldPath(path: string, schema: JsonSchema | undefined, brackets = true): FieldPath {
  const tokens = tokenize(path);
  let at = schema;
  let text = '';
  let root = '';
  for (let i = 0; i < tokens.length; i += 2) {
    const bracketed = tokens[i] === '[';
    if (bracketed && !brackets) return { error: 'array notation is not allowed' };
    if (!bracketed && tokens[i] !== '.') return { error: `expected [ or . but got: ${tokens[i]}` };
    const token = tokens[i + 1];
    if (token === undefined) return { error: ended };
    let name = token;
    if (bracketed) {
      if (!/^'.*'$/s.test(token) || token.length < 2) return { error: `expected single quoted string but got ${token}` };
      const stray = /\\[^abfnrtv'\\]/s.exec(token)?.[0];
      if (stray !== undefined) return { error: `invalid string literal: invalid escape char ${stray}` };
      name = token.slice(1, -1).replaceAll(/\\([abfnrtv'\\])/g, (_, letter: string) => escapes[letter] ?? letter);
    }
    if (at?.properties) {
      const property = at.properties.get(name);
      if (!property) return { error: invalid };
      text = text === '' ? name : `${text}.${name}`;
      root ||= name;
      at = property;
    } else if (at?.additionalProperties !== undefined) {
      text += `[${name}]`;
      root ||= name;
      at = memberSchema(at);
    } else {
      return { error: invalid };
    }
    if (!bracketed) continue;
    const close = tokens[i + 2];
    if (close === undefined) return { error: ended };
    if (close !== ']') return { error: `expected ] but got ${close}` };
    i += 1;
  }
  return { text, root, schema: at };
}

const escapes: Readonly<Record<string, string>> = { a: '\u0007', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Delimiters, quoted strings, and what is between them; a quote that does not end takes the rest. */
function tokenize(path: string): string[] {
  return [...path.matchAll(/[.[\]]|'.*?(?<!\\)'|'.*$|[^.[\]]+/gs)].map(([token]) => token);
}
