// Reads JSON text for what JSON.parse does not tell: members that are there twice, and why text is no JSON, in the words of
// Go's decoder. Only used when counting showed that a member got lost, or when parsing failed.

export interface Scan {
  /** Paths such as `spec.containers[0].name`, each once. */
  duplicates: string[];
  /** Why the text is no JSON. */
  error: string | undefined;
}

/** Members of all objects in JSON text that is known to be well-formed: the colons outside of strings. */
export function countColons(bytes: Uint8Array): number {
  let count = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i];
    if (byte === 0x22) inString = !inString;
    else if (inString) {
      if (byte === 0x5c) i += 1;
    } else if (byte === 0x3a) count += 1;
  }
  return count;
}

const maxDepth = 10_000;

export function scanJson(text: string): Scan {
  const duplicates = new Set<string>();
  const path: (string | number)[] = [];
  let at = 0;

  class Malformed extends Error {}
  const stop = (why: string): never => {
    throw new Malformed(at >= text.length ? 'unexpected end of JSON input' : `invalid character ${goChar(text.charAt(at))} ${why}`);
  };
  /** Where a space could not stand either, Go tells the end of the text as one. */
  const stopTight = (why: string): never => {
    throw new Malformed(`invalid character ${goChar(at >= text.length ? ' ' : text.charAt(at))} ${why}`);
  };
  const space = (): void => {
    while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at += 1;
  };

  function value(depth: number): void {
    if (depth > maxDepth) throw new Malformed('exceeded max depth');
    space();
    switch (text.charAt(at)) {
      case '{': return object(depth);
      case '[': return array(depth);
      case '"': string(); return;
      case 't': return literal('true');
      case 'f': return literal('false');
      case 'n': return literal('null');
      default: return number();
    }
  }
  function object(depth: number): void {
    at += 1;
    const seen = new Set<string>();
    for (let first = true; ; first = false) {
      space();
      if (first && text.charAt(at) === '}') break;
      if (text.charAt(at) !== '"') stop('looking for beginning of object key string');
      const key = string();
      path.push(key);
      if (seen.has(key) && duplicates.size < 100) duplicates.add(pathText(path));
      seen.add(key);
      space();
      if (text.charAt(at) !== ':') stop('after object key');
      at += 1;
      value(depth + 1);
      path.pop();
      space();
      if (text.charAt(at) === '}') break;
      if (text.charAt(at) !== ',') stop('after object key:value pair');
      at += 1;
    }
    at += 1;
  }
  function array(depth: number): void {
    at += 1;
    space();
    if (text.charAt(at) === ']') {
      at += 1;
      return;
    }
    for (let i = 0; ; i += 1) {
      path.push(i);
      value(depth + 1);
      path.pop();
      space();
      if (text.charAt(at) === ']') break;
      if (text.charAt(at) !== ',') stop('after array element');
      at += 1;
    }
    at += 1;
  }
  function string(): string {
    const start = at;
    at += 1;
    while (text.charAt(at) !== '"') {
      const char = text.charAt(at);
      if (char === '' || char < ' ') stop('in string literal');
      at += 1;
      if (char !== '\\') continue;
      if (!'"\\/bfnrtu'.includes(text.charAt(at)) || at >= text.length) stopTight('in string escape code');
      if (text.charAt(at) === 'u') {
        for (let i = 0; i < 4; i += 1) {
          at += 1;
          if (!/[0-9a-fA-F]/.test(text.charAt(at))) stopTight('in \\u hexadecimal character escape');
        }
      }
      at += 1;
    }
    at += 1;
    return JSON.parse(text.slice(start, at)) as string; // the loop went over exactly one string
  }
  function literal(word: string): void {
    for (let i = 0; i < word.length; i += 1, at += 1) {
      if (text.charAt(at) !== word.charAt(i)) stopTight(`in literal ${word} (expecting ${goChar(word.charAt(i))})`);
    }
  }
  function number(): void {
    const [match] = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(text.slice(at, at + 400)) ?? [];
    if (match === undefined) {
      if (text.charAt(at) !== '-') stop('looking for beginning of value');
      at += 1;
      stopTight('in numeric literal');
      return;
    }
    at += match.length;
  }

  try {
    value(1);
    space();
    if (at < text.length) stop('after top-level value');
    return { duplicates: [...duplicates], error: undefined };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { duplicates: [...duplicates], error: error.message };
  }
}

function pathText(path: readonly (string | number)[]): string {
  return path.map((step, i) => typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`).join('');
}

function goChar(char: string): string {
  if (char === "'") return `'\\''`;
  if (char === '"') return `'"'`;
  return `'${JSON.stringify(char).slice(1, -1)}'`;
}
