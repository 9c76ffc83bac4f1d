// Regular expressions as Go reads them (RE2), run by this engine: the patterns of schemas. Errors in Go's words.
// Upstream: Go's regexp/syntax/parse.go.

export type Compiled = { readonly regexp: RegExp } | { readonly error: string };

const known = new Map<string, Compiled>();
const mostKnown = 1000;

/** The last thousand are remembered. */
export function goRegexp(pattern: string): Compiled {
  const before = known.get(pattern);
  if (before) return before;
  const made = compile(pattern);
  if (known.size >= mostKnown) known.delete(known.keys().next().value ?? '');
  known.set(pattern, made);
  return made;
}

function compile(pattern: string): Compiled {
  try {
    return { regexp: new RegExp(new Parser(pattern).parse(), 'u') };
  } catch (error) {
    if (error instanceof PatternError) return { error: error.message };
    throw error;
  }
}

class PatternError extends Error {
  constructor(problem: string, where: string) {
    super(`error parsing regexp: ${problem}: \`${where}\``);
  }
}

type Ranges = readonly (readonly [number, number])[];
const last = 0x10ffff;
const range = (text: string): Ranges => Array.from({ length: text.length / 2 }, (_, index) => [text.charCodeAt(2 * index), text.charCodeAt(2 * index + 1)]);
const digit = range('09');
const word = range('09AZ__az');
const space = range('\t\n\f\r  ');
const perl: Readonly<Record<string, Ranges>> = { d: digit, w: word, s: space };
const posix: Readonly<Record<string, Ranges>> = {
  alnum: range('09AZaz'), alpha: range('AZaz'), ascii: [[0, 0x7f]], blank: range('\t\t  '), cntrl: [[0, 0x1f], [0x7f, 0x7f]], digit,
  graph: range('!~'), lower: range('az'), print: range(' ~'), punct: range('!/:@[`{~'), space: range('\t\r  '), upper: range('AZ'), word, xdigit: range('09AFaf'),
};
function complement(ranges: Ranges): Ranges {
  const made: [number, number][] = [];
  let next = 0;
  for (const [low, high] of ranges) {
    if (low > next) made.push([next, low - 1]);
    next = high + 1;
  }
  made.push([next, last]);
  return made;
}
const code = (point: number): string => `\\u{${point.toString(16)}}`;
const inClass = (ranges: Ranges): string => ranges.map(([low, high]) => (low === high ? code(low) : `${code(low)}-${code(high)}`)).join('');

interface Flags { readonly fold: boolean; readonly multiline: boolean; readonly dotAll: boolean; readonly lazy: boolean }
/** `repeats`: how often a quantifier inside may ask for it, at most. */
interface Atom { source: string; readonly fold: boolean; repeats: number }
interface Group { readonly alternatives: Atom[][]; readonly open: string; readonly outer: Flags }

class Parser {
  readonly #text: string;
  #at = 0;
  #flags: Flags = { fold: false, multiline: false, dotAll: false, lazy: false };
  readonly #groups: Group[] = [{ alternatives: [[]], open: '', outer: this.#flags }];
  /** Where the quantifier just before began. */
  #repeatedAt: number | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): string {
    while (this.#at < this.#text.length) {
      const start = this.#at;
      this.#repeatedAt = this.#step() ? start : undefined;
    }
    const root = this.#groups.pop();
    if (!root || this.#groups.length > 0) throw new PatternError('missing closing )', this.#text);
    return join(root).source;
  }

  /** Takes one piece; whether it was a quantifier. */
  #step(): boolean {
    const character = this.#text[this.#at] ?? '';
    switch (character) {
      case '(':
        this.#openGroup();
        return false;
      case ')':
        this.#closeGroup();
        return false;
      case '|':
        this.#group().alternatives.push([]);
        this.#at += 1;
        return false;
      case '^': this.#push(1, this.#flags.multiline ? '(?<=^|\\n)' : '^'); return false;
      case '$': this.#push(1, this.#flags.multiline ? '(?=$|\\n)' : '$'); return false;
      case '.': this.#push(1, this.#flags.dotAll ? '[^]' : '[^\\n]'); return false;
      case '[': this.#class(); return false;
      case '\\': this.#escape(); return false;
      case '*': case '+': case '?':
        this.#repeat(1, character, 0);
        return true;
      case '{': {
        const counts = /^\{(0|[1-9]\d*)(?:(,)(0|[1-9]\d*)?)?\}/.exec(this.#text.slice(this.#at, this.#at + 40));
        if (!counts) {
          this.#literal();
          return false;
        }
        const [whole, least = '', comma, most] = counts;
        const max = comma === undefined ? Number(least) : most === undefined ? -1 : Number(most);
        if (Number(least) > 1000 || max > 1000 || (max >= 0 && Number(least) > max)) throw new PatternError('invalid repeat count', whole);
        this.#repeat(whole.length, whole, max < 0 ? Number(least) : max);
        return true;
      }
      default:
        this.#literal();
        return false;
    }
  }

  #group(): Group {
    const group = this.#groups.at(-1);
    if (!group) throw new Error('no group is open'); // the root never closes
    return group;
  }
  #push(length: number, source: string): void {
    this.#at += length;
    this.#group().alternatives.at(-1)?.push({ source, fold: this.#flags.fold, repeats: 1 });
  }
  #literal(): void {
    const point = this.#text.codePointAt(this.#at) ?? 0;
    this.#push(point > 0xffff ? 2 : 1, code(point));
  }

  #repeat(length: number, quantifier: string, most: number): void {
    const start = this.#at;
    this.#at += length;
    let lazy = this.#flags.lazy;
    if (this.#text[this.#at] === '?') {
      this.#at += 1;
      lazy = !lazy;
    }
    if (this.#repeatedAt !== undefined) throw new PatternError('invalid nested repetition operator', this.#text.slice(this.#repeatedAt, this.#at));
    const atom = this.#group().alternatives.at(-1)?.at(-1);
    if (!atom) throw new PatternError('missing argument to repetition operator', this.#text.slice(start, this.#at));
    if (most >= 2) atom.repeats *= most;
    if (atom.repeats > 1000) throw new PatternError('invalid repeat count', this.#text.slice(start, this.#at));
    atom.source = `(?:${atom.source})${quantifier}${lazy ? '?' : ''}`;
  }

  #openGroup(): void {
    if (this.#groups.length > 1000) throw new PatternError('expression nests too deeply', this.#text);
    const rest = this.#text.slice(this.#at);
    const open = (source: string, length: number, flags = this.#flags): void => {
      this.#groups.push({ alternatives: [[]], open: source, outer: this.#flags });
      this.#flags = flags;
      this.#at += length;
    };
    if (!rest.startsWith('(?')) return open('(', 1);
    const named = /^\(\?P?</.exec(rest);
    if (named && rest.length > named[0].length) {
      const end = rest.indexOf('>');
      if (end < 0) throw new PatternError('invalid named capture', rest);
      if (!/^[A-Za-z0-9_]+$/.test(rest.slice(named[0].length, end))) throw new PatternError('invalid named capture', rest.slice(0, end + 1));
      return open('(', end + 1);
    }
    const [whole = '', on = '', off, end] = /^\(\?([imsU]*)(?:-([imsU]+))?([:)])/.exec(rest) ?? [];
    if (whole === '') throw new PatternError('invalid or unsupported Perl syntax', unknownGroup(rest));
    const set = (letter: string, before: boolean): boolean => (off?.includes(letter) ? false : on.includes(letter) || before);
    const { fold, multiline, dotAll, lazy } = this.#flags;
    const flags = { fold: set('i', fold), multiline: set('m', multiline), dotAll: set('s', dotAll), lazy: set('U', lazy) };
    if (end === ':') return open('(?:', whole.length, flags);
    this.#flags = flags;
    this.#at += whole.length;
  }
  #closeGroup(): void {
    const group = this.#groups.pop();
    if (!group || this.#groups.length === 0) throw new PatternError('unexpected )', this.#text);
    this.#flags = group.outer;
    this.#at += 1;
    const { source, repeats } = join(group);
    this.#group().alternatives.at(-1)?.push({ source: `${group.open}${source})`, fold: false, repeats });
  }

  #escape(): void {
    const next = this.#text[this.#at + 1] ?? '';
    switch (next) {
      case 'A': return this.#push(2, '(?<![^])');
      case 'z': return this.#push(2, '(?![^])');
      case 'b': case 'B': return this.#push(2, `\\${next}`);
      case 'C': throw new PatternError('invalid escape sequence', '\\C');
      case 'Q': {
        this.#at += 2;
        const end = this.#text.indexOf('\\E', this.#at);
        const stop = end < 0 ? this.#text.length : end;
        while (this.#at < stop) this.#literal();
        this.#at = end < 0 ? stop : stop + 2;
        return;
      }
      default: {
        const set = this.#classEscape();
        if (set !== undefined) return this.#push(0, `[${set}]`);
        return this.#push(0, code(this.#escapedPoint()));
      }
    }
  }

  /** `\d`, `\pL`, `\p{Greek}`: as members of a class; undefined for a single character. */
  #classEscape(): string | undefined {
    const rest = this.#text.slice(this.#at);
    const letter = rest[1] ?? '';
    const ranges = perl[letter.toLowerCase()];
    if (ranges) {
      this.#at += 2;
      return inClass(letter === letter.toLowerCase() ? ranges : complement(ranges));
    }
    if (letter !== 'p' && letter !== 'P') return undefined;
    if (rest[2] === '{' && !rest.includes('}')) throw new PatternError('invalid character class range', rest);
    const [whole, braced, single] = /^\\[pP](?:\{([^}]*)\}|([^]))/u.exec(rest) ?? [];
    if (whole === undefined) return undefined;
    let name = braced ?? single ?? '';
    let positive = letter === 'p';
    if (name.startsWith('^')) [positive, name] = [!positive, name.slice(1)];
    const property = ['Any', `gc=${name}`, `Script=${name}`].find((one) => (one === 'Any' ? name === 'Any' : isProperty(one)));
    if (property === undefined) throw new PatternError('invalid character class range', whole);
    this.#at += whole.length;
    return `\\${positive ? 'p' : 'P'}{${property}}`;
  }

  /** The character that an escape stands for. */
  #escapedPoint(): number {
    const rest = this.#text.slice(this.#at);
    if (rest === '\\') throw new PatternError('trailing backslash at end of expression', '');
    const octal = /^\\(?:[1-7][0-7]{1,2}|0[0-7]{0,2})/.exec(rest)?.[0];
    const hex = /^\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})/.exec(rest);
    const control = controls[rest[1] ?? ''];
    let point: number | undefined;
    let length = 2;
    if (octal !== undefined) [point, length] = [Number.parseInt(octal.slice(1), 8), octal.length];
    else if (hex) [point, length] = [Number.parseInt(hex[1] ?? hex[2] ?? '', 16), hex[0].length];
    else if (control !== undefined) point = control;
    else if (/^\\[\0-/:-@[-`{-\x7f]/.test(rest)) point = rest.charCodeAt(1);
    if (point === undefined || point > last) {
      const shown = rest[1] === 'x' ? /^\\x\{?[0-9A-Fa-f]*[^]?/u.exec(rest)?.[0] : /^\\[^]/u.exec(rest)?.[0];
      throw new PatternError('invalid escape sequence', rest[1] === 'x' && shown !== undefined ? shown.slice(0, rest[2] === '{' ? undefined : 4) : shown ?? rest);
    }
    this.#at += length;
    return point;
  }

  #class(): void {
    const start = this.#at;
    this.#at += 1;
    const negated = this.#text[this.#at] === '^';
    if (negated) this.#at += 1;
    let members = '';
    for (let first = true; first || this.#text[this.#at] !== ']'; first = false) {
      members += this.#classMember(start);
    }
    this.#push(1, negated ? `[^${members}]` : `[${members}]`);
  }
  #classMember(start: number): string {
    const rest = this.#text.slice(this.#at);
    const named = /^\[:(\^?)([^]*?):\]/.exec(rest);
    if (named) {
      const [whole, not, name = ''] = named;
      const ranges = posix[name];
      if (!ranges || !Object.hasOwn(posix, name)) throw new PatternError('invalid character class range', whole);
      this.#at += whole.length;
      return inClass(not === '' ? ranges : complement(ranges));
    }
    const from = this.#at;
    if (rest.startsWith('\\')) {
      const set = this.#classEscape();
      if (set !== undefined) return set;
    }
    const low = this.#classPoint(start);
    if (this.#text[this.#at] !== '-' || this.#text[this.#at + 1] === undefined || this.#text[this.#at + 1] === ']') return code(low);
    this.#at += 1;
    const high = this.#classPoint(start);
    if (high < low) throw new PatternError('invalid character class range', this.#text.slice(from, this.#at));
    return `${code(low)}-${code(high)}`;
  }
  #classPoint(start: number): number {
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined) throw new PatternError('missing closing ]', this.#text.slice(start));
    if (this.#text[this.#at] === '\\') return this.#escapedPoint();
    this.#at += point > 0xffff ? 2 : 1;
    return point;
  }
}

const controls: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** As far as Go reads before it knows that it cannot. */
function unknownGroup(rest: string): string {
  const read = /^\(\?[imsU]*(?:-[imsU]*)?/.exec(rest)?.[0] ?? '';
  return rest.slice(0, read.length) + (/^[^]/u.exec(rest.slice(read.length))?.[0] ?? '');
}
function isProperty(name: string): boolean {
  try {
    return new RegExp(`\\p{${name}}`, 'u') instanceof RegExp;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}
/** Runs of atoms that ignore case stand in a group that does. */
function join({ alternatives }: Group): { source: string; repeats: number } {
  let repeats = 1;
  const sources = alternatives.map((atoms) => {
    let source = '';
    let fold = false;
    for (const atom of atoms) {
      repeats = Math.max(repeats, atom.repeats);
      if (atom.fold !== fold) source += atom.fold ? '(?i:' : ')';
      fold = atom.fold;
      source += atom.source;
    }
    return fold ? `${source})` : source;
  });
  return { source: sources.join('|'), repeats };
}
