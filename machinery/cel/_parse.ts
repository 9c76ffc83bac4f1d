// Source to tree, by CEL's grammar. Mistakes are reported in the words of the parser generator that the reference implementation
// uses, and reading goes on after them in its manner (drop one token, assume one, or skip to where something known follows).

import type { Entry, Expr, Field } from './ast.ts';
import { escapeSpace, tokenize, tokenNames } from './_lexer.ts';
import type { Token, TokenKind, Tokens } from './_lexer.ts';
import { expandMacro, MacroError } from './_macros.ts';
import type { Reporter } from './_report.ts';
import { unquote, unquoteBytes, UnquoteError } from './_unquote.ts';
import { codePointsOf, Uint } from './values.ts';

const maxCodePoints = 100_000;
const maxDepth = 250;
export const recursionLimitExceeded = `expression recursion limit exceeded: ${maxDepth}`;
const maxRecoveries = 30;

const reserved = new Set(['as', 'break', 'const', 'continue', 'else', 'false', 'for', 'function', 'if', 'import', 'in', 'let', 'loop',
  'package', 'namespace', 'null', 'return', 'true', 'var', 'void', 'while']);

const relations: readonly TokenKind[] = ['\'==\'', '\'!=\'', '\'in\'', '\'<\'', '\'<=\'', '\'>=\'', '\'>\''];
/** From the loosest to the tightest. */
const ranks: readonly (readonly TokenKind[])[] = [['\'||\''], ['\'&&\''], relations, ['\'+\'', '\'-\''], ['\'*\'', '\'/\'', '\'%\'']];
const binaryOperators: readonly TokenKind[] = ranks.flat();
const operandStart: readonly TokenKind[] = ['\'[\'', '\'{\'', '\'(\'', '\'.\'', '\'-\'', '\'!\'', '\'true\'', '\'false\'', '\'null\'',
  'NUM_FLOAT', 'NUM_INT', 'NUM_UINT', 'STRING', 'BYTES', 'IDENTIFIER'];
const afterOperand: readonly TokenKind[] = ['\'.\'', '\'[\'', '\'*\'', '\'/\'', '\'%\'', '\'+\'', '\'-\'', ...relations, '\'&&\'', '\'||\'', '\'?\''];
const optionalOperandStart: readonly TokenKind[] = [...operandStart, '\'?\''];

const operators: Readonly<Record<string, string>> = {
  '+': '_+_', '-': '_-_', '*': '_*_', '/': '_/_', '%': '_%_',
  '==': '_==_', '!=': '_!=_', '<': '_<_', '<=': '_<=_', '>': '_>_', '>=': '_>=_', 'in': '@in',
};

/** Answers the tree, broken where the reporter says so. `bindings`: with `cel.bind()`. */
export function parse(source: string, reporter: Reporter, bindings = false): Expr {
  const characters = /[\ud800-\udfff]/u.test(source) || /[\u{10000}-\u{10ffff}]/u.test(source) ? codePointsOf(source) : source;
  if (characters.length > maxCodePoints) {
    reporter.add(undefined, `expression code point size exceeds limit: size: ${characters.length}, limit ${maxCodePoints}`);
    return { kind: 'broken', at: 0 };
  }
  const parser = new Parser(tokenize(characters, reporter), characters, reporter, bindings);
  try {
    return parser.start();
  } catch (error) {
    if (!(error instanceof Abort)) throw error;
    if (error.message !== '') reporter.add(undefined, error.message);
    return { kind: 'broken', at: 0 };
  }
}

/** Ends the whole reading. */
class Abort extends Error {}
/** Ends the innermost rule, which then recovers. */
class Mismatch extends Error {}

type Rule = 'expr' | 'member' | 'calc' | 'relation' | 'other';

class Parser {
  readonly #tokens: Tokens;
  readonly #characters: ArrayLike<string>;
  readonly #reporter: Reporter;
  readonly #bindings: boolean;
  /** What may follow the rules that are being read, outermost first. */
  readonly #follow: (readonly TokenKind[])[] = [['<EOF>']];
  /** What ends the expression that is being read. */
  #ends: readonly TokenKind[] = ['<EOF>'];
  readonly #depth: Record<Rule, number> = { expr: 0, member: 0, calc: 0, relation: 0, other: 0 };
  readonly #heights = new Map<Expr, number>();
  #at = 0;
  #recovering = false;
  #recoveries = 0;
  #lastRecovery = -1;

  constructor(tokens: Tokens, characters: ArrayLike<string>, reporter: Reporter, bindings: boolean) {
    this.#tokens = tokens;
    this.#characters = characters;
    this.#reporter = reporter;
    this.#bindings = bindings;
  }

  start(): Expr {
    const expr = this.#rule('other', ['<EOF>'], () => {
      const result = this.#expr(['<EOF>']);
      this.#result = result;
      this.#match('<EOF>');
      return result;
    });
    return expr.kind === 'broken' && this.#result !== undefined ? this.#result : expr;
  }

  #result: Expr | undefined;

  // Rules, outermost first.

  #expr(ends: readonly TokenKind[]): Expr {
    const outer = this.#ends;
    this.#ends = ends;
    try {
      return this.#rule('expr', ends, () => {
        const condition = this.#operations(['\'?\'']);
        const operator = this.#peek;
        if (operator.kind !== '\'?\'') return condition;
        this.#next();
        this.#ends = ['\':\''];
        const yes = this.#operations(['\':\'']);
        this.#ends = ends;
        this.#match('\':\'', operandStart);
        const no = this.#expr(ends);
        return this.#nested(this.#call(operator.at, '_?_:_', [condition, yes, no]), condition, yes, no);
      });
    } finally {
      this.#ends = outer;
    }
  }

  /**
   * Operands and what stands between them. All ranks in one loop: a level of nesting would be two dozen calls otherwise, and the
   * stack ends before the limit does.
   */
  #operations(follow: readonly TokenKind[]): Expr {
    this.#follow.push(follow, binaryOperators);
    const operands: Expr[] = [];
    const between: Token[] = [];
    // How deep the rules of relations and sums are in the operand that comes: what is right of an operator is a level deeper.
    let [relation, sum, product] = [1, 1, 0];
    for (;;) {
      this.#enter('relation', relation);
      this.#enter('calc', sum + product);
      operands.push(this.#unary());
      this.#depth.relation -= relation;
      this.#depth.calc -= sum + product;
      const { kind } = this.#peek;
      if (!binaryOperators.includes(kind)) break;
      between.push(this.#next());
      if (kind === '\'&&\'' || kind === '\'||\'') [relation, sum, product] = [1, 1, 0];
      else if (relations.includes(kind)) [relation, sum, product] = [2, 1, 0];
      else if (kind === '\'+\'' || kind === '\'-\'') [sum, product] = [2, 0];
      else product = 1;
    }
    this.#follow.length -= 2;
    return this.#combine(0, operands, between, 0, operands.length);
  }

  /** The operands from `from` up to `to`, by operators of this rank and those that bind tighter. */
  #combine(rank: number, operands: readonly Expr[], between: readonly Token[], from: number, to: number): Expr {
    if (to - from === 1) return operands[from]!;
    const terms: Expr[] = [];
    const at: Token[] = [];
    let start = from;
    for (let i = from; i < to; i++) {
      if (i < to - 1 && !ranks[rank]!.includes(between[i]!.kind)) continue;
      terms.push(this.#combine(rank + 1, operands, between, start, i + 1));
      if (i < to - 1) at.push(between[i]!);
      start = i + 1;
    }
    if (at.length === 0) return terms[0]!;
    if (rank < 2) return this.#around(balance(rank === 0 ? '_||_' : '_&&_', terms, at.map(token => token.at), 0, at.length - 1), ...terms);
    return terms.reduce((left, right, i) => {
      const operator = at[i - 1]!;
      return this.#nested(this.#call(operator.at, operators[operator.text]!, [left, right]), left, right);
    });
  }

  #unary(): Expr {
    return this.#rule('other', [], () => {
      this.#sync(operandStart);
      const first = this.#peek;
      const isNegation = first.kind === '\'-\'' && !this.#isNumber(this.#ahead(1));
      if (first.kind !== '\'!\'' && !isNegation) return this.#member([]);
      if (isNegation && !operandStart.includes(this.#ahead(1).kind)) {
        const offending = this.#ahead(1);
        this.#report(offending, `no viable alternative at input '${this.#between(first, offending)}'`);
        throw new Mismatch();
      }
      let count = 0;
      while (this.#peek.kind === first.kind) {
        this.#next();
        count++;
        if (first.kind === '\'!\'' && !operandStart.includes(this.#peek.kind)) {
          this.#reportUnwanted(operandStart);
          throw new Mismatch();
        }
      }
      const operand = this.#member([]);
      return count % 2 === 0 ? operand : this.#around(this.#call(first.at, first.kind === '\'!\'' ? '!_' : '-_', [operand]), operand);
    });
  }

  #member(follow: readonly TokenKind[]): Expr {
    // What was read before a mistake is what stands there.
    let left: Expr = broken;
    const whole = this.#rule('member', follow, () => {
      left = this.#primary(['\'.\'', '\'[\'']);
      for (;;) {
        const operator = this.#peek;
        if (operator.kind === '\'[\'') left = this.#index(left);
        else if (operator.kind === '\'.\'') left = this.#selection(left, operator);
        else return left;
      }
    });
    return whole === broken ? left : whole;
  }

  #index(operand: Expr): Expr {
    const open = this.#next();
    this.#sync(optionalOperandStart);
    const optional = this.#accept('\'?\'');
    const index = this.#expr(['\']\'']);
    this.#match('\']\'');
    return this.#nested(this.#call(open.at, optional ? '_[?_]' : '_[_]', [operand, index]), operand, index);
  }

  #selection(operand: Expr, dot: Token): Expr {
    const second = this.#ahead(1);
    const optional = second.kind === '\'?\'';
    const name = optional ? this.#ahead(2) : second;
    if (name.kind !== 'IDENTIFIER' && name.kind !== 'ESC_IDENTIFIER') {
      if (optional) return this.#optionalSelection(operand, dot);
      if (['true', 'false', 'null'].includes(name.text) && this.#between(dot, name) === `.${name.text}`) {
        this.#report(name, `mismatched input '${name.text}' expecting IDENTIFIER`);
      } else {
        this.#report(name, `no viable alternative at input '${this.#between(dot, name)}'`);
      }
      throw new Mismatch();
    }
    if (optional) return this.#optionalSelection(operand, dot);
    this.#next();
    this.#next();
    if (name.kind === 'IDENTIFIER' && this.#peek.kind === '\'(\'') {
      const open = this.#next();
      return this.#withArguments(args => this.#nested(this.#expand(open.at, name.text, operand, args), operand, ...args));
    }
    if (name.kind === 'ESC_IDENTIFIER') this.#reporter.add(name.at, 'unsupported syntax: \'`\'');
    return this.#nested({ kind: 'select', at: dot.at, operand, field: name.text, test: false }, operand);
  }

  #optionalSelection(operand: Expr, dot: Token): Expr {
    this.#next();
    this.#next();
    try {
      this.#sync(['IDENTIFIER', 'ESC_IDENTIFIER']);
    } catch (error) {
      if (error instanceof Mismatch) this.#reporter.add(this.#peek.at, 'unsupported ident kind');
      throw error;
    }
    const name = this.#next();
    if (name.kind === 'ESC_IDENTIFIER') this.#reporter.add(name.at, 'unsupported syntax: \'`\'');
    return this.#nested(this.#call(dot.at, '_?._', [operand, { kind: 'literal', at: name.at, value: name.text }]), operand);
  }

  /** After the opening parenthesis; takes the closing one. Where that is missing the call is built all the same, for its own mistakes. */
  #withArguments(build: (args: Expr[]) => Expr): Expr {
    const args: Expr[] = [];
    try {
      this.#readArguments(args);
    } catch (error) {
      if (error instanceof Mismatch) build(args);
      throw error;
    }
    return build(args);
  }

  #readArguments(args: Expr[]): void {
    this.#sync([...operandStart, '\')\'']);
    if (this.#peek.kind !== '\')\'') {
      this.#rule('other', ['\')\''], () => {
        do args.push(this.#expr(['\',\'', '\')\''])); while (this.#accept('\',\''));
        return broken;
      });
    }
    this.#match('\')\'');
  }

  #primary(follow: readonly TokenKind[]): Expr {
    return this.#rule('other', follow, () => {
      const token = this.#peek;
      switch (token.kind) {
        case '\'(\'': {
          this.#next();
          const inner = this.#expr(['\')\'']);
          this.#match('\')\'');
          return inner;
        }
        case '\'[\'': return this.#list();
        case '\'{\'': return this.#map();
        case '\'.\'': case 'IDENTIFIER': return this.#name();
        default: return this.#literal();
      }
    });
  }

  #name(): Expr {
    const leading = this.#peek.kind === '\'.\'' ? this.#peek : undefined;
    if (leading !== undefined) {
      const offending = this.#ahead(1);
      if (offending.kind !== 'IDENTIFIER') {
        this.#report(offending, `no viable alternative at input '${this.#between(leading, offending)}'`);
        throw new Mismatch();
      }
      this.#next();
    }
    const first = this.#peek;
    const prefix = leading === undefined ? '' : '.';
    // Names with dots and then a brace build an object.
    let end = this.#at;
    while (this.#tokens.list[end + 1]?.kind === '\'.\'' && this.#tokens.list[end + 2]?.kind === 'IDENTIFIER') end += 2;
    if (this.#tokens.list[end + 1]?.kind === '\'{\'') {
      let name = prefix;
      while (this.#peek.kind !== '\'{\'') name += this.#next().text;
      return this.#struct(name);
    }
    this.#next();
    if (this.#peek.kind === '\'(\'') {
      const open = this.#next();
      return this.#withArguments(args => {
        if (reserved.has(first.text)) return this.#fail((leading ?? first).at, `reserved identifier: ${first.text}`);
        return this.#around(this.#expand(open.at, prefix + first.text, undefined, args), ...args);
      });
    }
    if (reserved.has(first.text)) return this.#fail((leading ?? first).at, `reserved identifier: ${first.text}`);
    return { kind: 'ident', at: first.at, name: prefix + first.text };
  }

  #list(): Expr {
    const open = this.#next();
    const elements: Expr[] = [];
    const optional = new Set<number>();
    this.#sync([...optionalOperandStart, '\']\'', '\',\'']);
    if (optionalOperandStart.includes(this.#peek.kind)) {
      for (;;) {
        if (this.#accept('\'?\'')) optional.add(elements.length);
        elements.push(this.#expr(['\',\'', '\']\'']));
        if (this.#peek.kind !== '\',\'' || !optionalOperandStart.includes(this.#ahead(1).kind)) break;
        this.#next();
      }
      this.#sync(['\']\'', '\',\'']);
    }
    this.#accept('\',\'');
    this.#match('\']\'');
    return this.#around({ kind: 'list', at: open.at, elements, optional }, ...elements);
  }

  #map(): Expr {
    const open = this.#next();
    const entries: Entry[] = [];
    this.#sync([...optionalOperandStart, '\'}\'', '\',\'']);
    if (optionalOperandStart.includes(this.#peek.kind)) {
      this.#rule('other', ['\'}\'', '\',\''], () => {
        for (;;) {
          const isOptional = this.#accept('\'?\'');
          const key = this.#expr(['\':\'']);
          const colon = this.#match('\':\'', operandStart);
          const value = this.#expr(['\',\'', '\'}\'']);
          entries.push({ at: colon.at, key, value, optional: isOptional });
          if (this.#peek.kind !== '\',\'' || !optionalOperandStart.includes(this.#ahead(1).kind)) return broken;
          this.#next();
        }
      });
      this.#sync(['\'}\'', '\',\'']);
    }
    this.#accept('\',\'');
    this.#match('\'}\'');
    return this.#around({ kind: 'map', at: open.at, entries }, ...entries.flatMap(entry => [entry.key, entry.value]));
  }

  #struct(name: string): Expr {
    const open = this.#next();
    const fields: Field[] = [];
    const nameStart: readonly TokenKind[] = ['\'?\'', 'IDENTIFIER', 'ESC_IDENTIFIER'];
    this.#sync([...nameStart, '\'}\'', '\',\'']);
    if (nameStart.includes(this.#peek.kind)) {
      this.#rule('other', ['\'}\'', '\',\''], () => {
        for (;;) {
          const isOptional = this.#accept('\'?\'');
          if (isOptional) this.#sync(['IDENTIFIER', 'ESC_IDENTIFIER']);
          const field = this.#next();
          if (field.kind === 'ESC_IDENTIFIER') this.#reporter.add(field.at, 'unsupported syntax: \'`\'');
          const colon = this.#match('\':\'', operandStart);
          fields.push({ at: colon.at, name: field.text, value: this.#expr(['\',\'', '\'}\'']), optional: isOptional });
          if (this.#peek.kind !== '\',\'' || !nameStart.includes(this.#ahead(1).kind)) return broken;
          this.#next();
        }
      });
      this.#sync(['\'}\'', '\',\'']);
    }
    this.#accept('\',\'');
    this.#match('\'}\'');
    return this.#around({ kind: 'struct', at: open.at, name, fields }, ...fields.map(field => field.value));
  }

  #literal(): Expr {
    const sign = this.#peek.kind === '\'-\'' ? this.#next() : undefined;
    const token = this.#next();
    const at = (sign ?? token).at;
    const text = (sign === undefined ? '' : '-') + token.text;
    switch (token.kind) {
      case '\'true\'': return { kind: 'literal', at, value: true };
      case '\'false\'': return { kind: 'literal', at, value: false };
      case '\'null\'': return { kind: 'literal', at, value: null };
      case 'NUM_INT': {
        const value = sign === undefined ? BigInt(token.text) : -BigInt(token.text);
        return BigInt.asIntN(64, value) === value ? { kind: 'literal', at, value } : this.#fail(at, 'invalid int literal');
      }
      case 'NUM_UINT': {
        const value = BigInt(token.text.slice(0, -1));
        return BigInt.asUintN(64, value) === value ? { kind: 'literal', at, value: new Uint(value) } : this.#fail(at, 'invalid uint literal');
      }
      case 'NUM_FLOAT': {
        const value = Number(text);
        return Number.isFinite(value) ? { kind: 'literal', at, value } : this.#fail(at, 'invalid double literal');
      }
      case 'STRING': case 'BYTES':
        try {
          return { kind: 'literal', at, value: token.kind === 'STRING' ? unquote(token.text) : unquoteBytes(token.text.slice(1)) };
        } catch (error) {
          if (error instanceof UnquoteError) return this.#fail(at, error.message);
          throw error;
        }
      default:
        this.#report(token, `mismatched input ${quote(token)} expecting ${expected(operandStart)}`);
        throw new Mismatch();
    }
  }

  // Building.

  /** One level more than what it is made of. The reference implementation counts these levels apart from those of its rules. */
  #nested(expr: Expr, ...parts: Expr[]): Expr {
    const height = this.#heightOf(parts) + 1;
    if (height > maxDepth) throw new Abort('max recursion depth exceeded');
    this.#heights.set(expr, height);
    return expr;
  }

  #around(expr: Expr, ...parts: Expr[]): Expr {
    this.#heights.set(expr, this.#heightOf(parts));
    return expr;
  }

  #heightOf(parts: readonly Expr[]): number {
    return parts.reduce((most, part) => Math.max(most, this.#heights.get(part) ?? 0), 0);
  }

  #call(at: number, name: string, args: Expr[]): Expr {
    return { kind: 'call', at, name, target: undefined, args };
  }

  #expand(at: number, name: string, target: Expr | undefined, args: Expr[]): Expr {
    try {
      return expandMacro(at, name, target, args, this.#bindings) ?? { kind: 'call', at, name, target, args };
    } catch (error) {
      if (error instanceof MacroError) return this.#fail(error.at, error.message);
      throw error;
    }
  }

  #fail(at: number, message: string): Expr {
    this.#reporter.add(at, message);
    return { kind: 'broken', at };
  }

  // Tokens and errors.

  get #peek(): Token { return this.#tokens.list[this.#at]!; }
  #ahead(count: number): Token { return this.#tokens.list[Math.min(this.#at + count, this.#tokens.list.length - 1)]!; }

  #next(): Token {
    const token = this.#tokens.list[this.#at]!;
    if (this.#at < this.#tokens.list.length - 1) this.#at++;
    this.#recovering = false;
    return token;
  }

  #accept(kind: TokenKind): boolean {
    if (this.#peek.kind !== kind) return false;
    this.#next();
    return true;
  }

  #isNumber(token: Token): boolean { return token.kind === 'NUM_INT' || token.kind === 'NUM_FLOAT'; }

  #between(from: Token, to: Token): string {
    let text = '';
    for (let i = from.at; i < to.end; i++) if (!this.#tokens.skipped.has(i)) text += this.#characters[i]!;
    return escapeSpace(text);
  }

  #report(token: Token, message: string): void {
    if (this.#recovering) return;
    this.#recovering = true;
    this.#reporter.add(token.at, `Syntax error: ${message}`);
  }

  #reportUnwanted(kinds: readonly TokenKind[]): void {
    this.#report(this.#peek, `extraneous input ${quote(this.#peek)} expecting ${expected(kinds)}`);
  }

  #attempt(): void {
    if (this.#recoveries === maxRecoveries) {
      this.#reporter.add(this.#peek.at, `Syntax error: error recovery attempt limit exceeded: ${maxRecoveries}`);
      throw new Abort('');
    }
    this.#recoveries++;
  }

  /** The next token is one of these; one other token before them is dropped with a report. */
  #sync(kinds: readonly TokenKind[]): void {
    if (this.#recovering || kinds.includes(this.#peek.kind)) return;
    if (kinds.includes(this.#ahead(1).kind) && this.#peek.kind !== '<EOF>') {
      this.#drop(kinds);
      return;
    }
    this.#report(this.#peek, `mismatched input ${quote(this.#peek)} expecting ${expected(kinds)}`);
    throw new Mismatch();
  }

  #drop(kinds: readonly TokenKind[]): void {
    this.#reportUnwanted(kinds);
    if (this.#at < this.#tokens.list.length - 1) this.#at++;
    this.#recovering = false;
  }

  /** Takes a token of that kind, or reports that it is missing. `then`: what would follow it. */
  #match(kind: TokenKind, then: readonly TokenKind[] = [...afterOperand, ...this.#ends]): Token {
    if (this.#peek.kind === kind) return this.#next();
    this.#attempt();
    if (this.#ahead(1).kind === kind && this.#peek.kind !== '<EOF>') {
      this.#drop([kind]);
      return this.#next();
    }
    const token = this.#peek;
    if (kind !== '<EOF>' && then.includes(token.kind)) {
      this.#report(token, `missing ${kind} at ${quote(token)}`);
      return { kind, text: '', at: token.at, end: token.at };
    }
    this.#report(token, `mismatched input ${quote(token)} expecting ${expected([kind])}`);
    throw new Mismatch();
  }

  #enter(rule: Rule, levels = 1): void {
    this.#depth[rule] += levels;
    if (this.#depth[rule] > maxDepth) throw new Abort(recursionLimitExceeded);
  }

  /** Reads one rule; after a mistake in it, skips to what may follow. */
  #rule(rule: Rule, follow: readonly TokenKind[], body: () => Expr): Expr {
    const followed = this.#follow.length;
    this.#follow.push(follow);
    const counted = rule !== 'other';
    try {
      if (counted) this.#enter(rule);
      return body();
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      this.#attempt();
      // Twice at one place: nothing else would end the loop.
      if (this.#lastRecovery === this.#at && this.#peek.kind !== '<EOF>') this.#at++;
      this.#lastRecovery = this.#at;
      while (this.#peek.kind !== '<EOF>' && !this.#follow.some(kinds => kinds.includes(this.#peek.kind))) this.#at++;
      return broken;
    } finally {
      if (counted) this.#depth[rule]--;
      this.#follow.length = followed;
    }
  }
}

const broken: Expr = { kind: 'broken', at: 0 };

/** Long chains of && and || become trees of small depth; the order of evaluation stays. */
function balance(name: string, terms: readonly Expr[], at: readonly number[], low: number, high: number): Expr {
  const middle = Math.floor((low + high + 1) / 2);
  const left = middle === low ? terms[middle]! : balance(name, terms, at, low, middle - 1);
  const right = middle === high ? terms[middle + 1]! : balance(name, terms, at, middle + 1, high);
  return { kind: 'call', at: at[middle]!, name, target: undefined, args: [left, right] };
}

function quote(token: Token): string {
  return `'${escapeSpace(token.text)}'`;
}

function expected(kinds: readonly TokenKind[]): string {
  const sorted = tokenNames.filter(name => kinds.includes(name));
  return sorted.length === 1 ? sorted[0]! : `{${sorted.join(', ')}}`;
}
