// One step of a field path as FieldsV1 writes it: `f:name` a member, `k:{…}` a list item by its keys, `v:…` an item of a set by
// its value, `i:0` by its place. Upstream: structured-merge-diff's fieldpath/element.go and serialize-pe.go.

export type KeyValues = readonly (readonly [name: string, value: unknown])[];

/** A value as Go's encoder writes it. */
export function goJson(value: unknown): string {
  const text = JSON.stringify(value);
  return /[<>&\u2028\u2029]/.test(text) ? text.replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`) : text;
}

/** `keys` sorted by name. */
export function keyElement(keys: KeyValues): string {
  let text = 'k:{';
  for (const [name, value] of keys) text += `${text.length > 3 ? ',' : ''}${JSON.stringify(name)}:${goJson(value)}`;
  return `${text}}`;
}

export function valueElement(value: unknown): string {
  return `v:${goJson(value)}`;
}

/**
 * The one way to write an element that a client wrote; undefined for kinds of elements that we do not know, which are dropped as
 * upstream does. Throws SyntaxError.
 */
export function canonicalElement(element: string): string | undefined {
  if (element.startsWith('f:') || plainKey.test(element)) return element;
  if (element.length < 2) throw new SyntaxError('key must be 2 characters long:');
  if (element.charAt(1) !== ':') throw new SyntaxError(`missing colon: ${element}`);
  const rest = element.slice(2);
  switch (element.charAt(0)) {
    case 'k': return keyElement(keysOf(element));
    case 'v': return valueElement(JSON.parse(rest));
    case 'i':
      if (!/^[+-]?\d+$/.test(rest)) throw new SyntaxError(`strconv.Atoi: parsing ${JSON.stringify(rest)}: invalid syntax`);
      return `i:${Number(rest)}`;
    default: return undefined;
  }
}

/** The common case, where nothing can be written in another way. */
const plainKey = /^k:\{"\w+":"[^"\\<>&\p{Cc}]*"\}$/u;

function keysOf(element: string): KeyValues {
  const parsed: unknown = JSON.parse(element.slice(2));
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new SyntaxError(`expected an object in ${element}`);
  return Object.entries(parsed).sort(([a], [b]) => compareText(a, b));
}

/** Upstream's order: members by name, then items by keys, by value, by place. */
export function compareElements(a: string, b: string): number {
  if (a === b) return 0;
  const kind = a.charCodeAt(0);
  if (kind !== b.charCodeAt(0)) return rank(a) - rank(b);
  if (kind === 0x66) return compareText(a, b); // f
  if (kind === 0x6b) return textualKey.test(a) && textualKey.test(b) ? compareText(a, b) : compareKeys(keysOf(a), keysOf(b)); // k
  if (kind === 0x76) return compareValues(JSON.parse(a.slice(2)), JSON.parse(b.slice(2))); // v
  return Number(a.slice(2)) - Number(b.slice(2));
}

/** One name and characters that come after the closing quote: the order of the texts is that of the values. */
const textualKey = /^k:\{"\w+":"[\w./:-]*"\}$/;

const rank = (element: string): number => '.fkvi'.indexOf(element.charAt(0));

/** As Go compares strings: by bytes, which differs from JavaScript beyond the basic plane. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  for (let i = 0; i < a.length && i < b.length; i += 1) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    const surrogates = (x >= 0xd800 && x < 0xe000) !== (y >= 0xd800 && y < 0xe000);
    return surrogates ? (x >= 0xd800 && x < 0xe000 ? 1 : -1) : x - y;
  }
  return a.length - b.length;
}

function compareKeys(a: KeyValues, b: KeyValues): number {
  for (let i = 0; ; i += 1) {
    const [x, y] = [a[i], b[i]];
    if (!x || !y) return x ? 1 : y ? -1 : 0;
    const order = compareText(x[0], y[0]) || compareValues(x[1], y[1]);
    if (order !== 0) return order;
  }
}

function compareValues(a: unknown, b: unknown): number {
  const [x, y] = [valueRank(a), valueRank(b)];
  if (x !== y) return x - y;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  return compareText(JSON.stringify(a), JSON.stringify(b));
}
function valueRank(value: unknown): number {
  return typeof value === 'number' ? 0 : typeof value === 'string' ? 1 : typeof value === 'boolean' ? 2 : Array.isArray(value) ? 3 : value === null ? 5 : 4;
}

/** As messages show it: `.spec`, `[name="a"]`, `[="a"]`, `[0]`. */
export function printElement(element: string): string {
  const rest = element.slice(2);
  switch (element.charAt(0)) {
    case 'f': return `.${rest}`;
    case 'k': return `[${keysOf(element).map(([name, value]) => `${name}=${printValue(value)}`).join(',')}]`;
    case 'v': return `[=${printValue(JSON.parse(rest))}]`;
    default: return `[${rest}]`;
  }
}

function printValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printValue).join(',')}]`;
  if (typeof value === 'object' && value !== null) return Object.entries(value).map(([name, one]) => `${name}=${printValue(one)}`).join('');
  return JSON.stringify(value);
}
