// Source to tree, by CEL's grammar. What happens at mistakes is in _token-reader.ts.

import type { Entry, Expr, Field } from './ast.ts';
import { tokenize } from './_lexer.ts';
import type { Token, TokenKind } from './_lexer.ts';
import { expandMacro, MacroError } from './_macros.ts';
import type { Reporter } from './_report.ts';
import { Abort, binaryOperators, expected, maxDepth, Mismatch, operandStart, quote, ranks, relations, TokenReader } from './_token-reader.ts';
import { unquote, unquoteBytes, UnquoteError } from './_unquote.ts';
import { codePointsOf, Uint } from './values.ts';

const maxCodePoints = 100_000;

const reserved = new Set(['as', 'break', 'const', 'continue', 'else', 'false', 'for', 'function', 'if', 'import', 'in', 'let', 'loop',
  'package', 'namespace', 'null', 'return', 'true', 'var', 'void', 'while']);

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
  const parser = new Parser(new TokenReader(tokenize(characters, reporter), characters, reporter), reporter, bindings);
  try {
    return parser.start();
  } catch (error) {
    if (!(error instanceof Abort)) throw error;
    if (error.message !== '') reporter.add(undefined, error.message);
    return { kind: 'broken', at: 0 };
  }
}

class Parser {
  readonly #in: TokenReader;
  readonly #reporter: Reporter;
  readonly #bindings: boolean;
  /** How many levels the trees have that count against the second limit. */
  readonly #heights = new Map<Expr, number>();
  #result: Expr | undefined;

  constructor(reader: TokenReader, reporter: Reporter, bindings: boolean) {
    this.#in = reader;
    this.#reporter = reporter;
    this.#bindings = bindings;
  }

  start(): Expr {
    const expr = this.#in.rule('other', ['<EOF>'], broken, () => {
      const result = this.#expr(['<EOF>']);
      this.#result = result;
      this.#in.match('<EOF>');
      return result;
    });
    return expr.kind === 'broken' && this.#result !== undefined ? this.#result : expr;
  }

  // Rules, outermost first.

  #expr(ends: readonly TokenKind[]): Expr {
    const outer = this.#in.ends;
    this.#in.ends = ends;
    try {
      return this.#in.rule('expr', ends, broken, () => {
        const condition = this.#operations(['\'?\'']);
        const operator = this.#in.peek;
        if (operator.kind !== '\'?\'') return condition;
        this.#in.next();
        this.#in.ends = ['\':\''];
        const yes = this.#operations(['\':\'']);
        this.#in.ends = ends;
        this.#in.match('\':\'', operandStart);
        const no = this.#expr(ends);
        return this.#nested(this.#call(operator.at, '_?_:_', [condition, yes, no]), condition, yes, no);
      });
    } finally {
      this.#in.ends = outer;
    }
  }

  /**
   * Operands and what stands between them. All ranks in one loop: a level of nesting would be two dozen calls otherwise, and the
   * stack ends before the limit does.
   */
  #operations(follow: readonly TokenKind[]): Expr {
    this.#in.follow.push(follow, binaryOperators);
    const operands: Expr[] = [];
    const between: Token[] = [];
    // How deep the rules of relations and sums are in the operand that comes: what is right of an operator is a level deeper.
    let [relation, sum, product] = [1, 1, 0];
    for (;;) {
      this.#in.enter('relation', relation);
      this.#in.enter('calc', sum + product);
      operands.push(this.#unary());
      this.#in.depth.relation -= relation;
      this.#in.depth.calc -= sum + product;
      const { kind } = this.#in.peek;
      if (!binaryOperators.includes(kind)) break;
      between.push(this.#in.next());
      if (kind === '\'&&\'' || kind === '\'||\'') [relation, sum, product] = [1, 1, 0];
      else if (relations.includes(kind)) [relation, sum, product] = [2, 1, 0];
      else if (kind === '\'+\'' || kind === '\'-\'') [sum, product] = [2, 0];
      else product = 1;
    }
    this.#in.follow.length -= 2;
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
    return this.#in.rule('other', [], broken, () => {
      this.#in.sync(operandStart);
      const first = this.#in.peek;
      const isNegation = first.kind === '\'-\'' && !this.#isNumber(this.#in.ahead(1));
      if (first.kind !== '\'!\'' && !isNegation) return this.#member([]);
      if (isNegation && !operandStart.includes(this.#in.ahead(1).kind)) {
        const offending = this.#in.ahead(1);
        this.#in.report(offending, `no viable alternative at input '${this.#in.between(first, offending)}'`);
        throw new Mismatch();
      }
      let count = 0;
      while (this.#in.peek.kind === first.kind) {
        this.#in.next();
        count++;
        if (first.kind === '\'!\'' && !operandStart.includes(this.#in.peek.kind)) {
          this.#in.reportUnwanted(operandStart);
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
    const whole = this.#in.rule('member', follow, broken, () => {
      left = this.#primary(['\'.\'', '\'[\'']);
      for (;;) {
        const operator = this.#in.peek;
        if (operator.kind === '\'[\'') left = this.#index(left);
        else if (operator.kind === '\'.\'') left = this.#selection(left, operator);
        else return left;
      }
    });
    return whole === broken ? left : whole;
  }

  #index(operand: Expr): Expr {
    const open = this.#in.next();
    this.#in.sync(optionalOperandStart);
    const optional = this.#in.accept('\'?\'');
    const index = this.#expr(['\']\'']);
    this.#in.match('\']\'');
    return this.#nested(this.#call(open.at, optional ? '_[?_]' : '_[_]', [operand, index]), operand, index);
  }

  #selection(operand: Expr, dot: Token): Expr {
    const second = this.#in.ahead(1);
    const optional = second.kind === '\'?\'';
    const name = optional ? this.#in.ahead(2) : second;
    if (name.kind !== 'IDENTIFIER' && name.kind !== 'ESC_IDENTIFIER') {
      if (optional) return this.#optionalSelection(operand, dot);
      if (['true', 'false', 'null'].includes(name.text) && this.#in.between(dot, name) === `.${name.text}`) {
        this.#in.report(name, `mismatched input '${name.text}' expecting IDENTIFIER`);
      } else {
        this.#in.report(name, `no viable alternative at input '${this.#in.between(dot, name)}'`);
      }
      throw new Mismatch();
    }
    if (optional) return this.#optionalSelection(operand, dot);
    this.#in.next();
    this.#in.next();
    if (name.kind === 'IDENTIFIER' && this.#in.peek.kind === '\'(\'') {
      const open = this.#in.next();
      return this.#withArguments(args => this.#nested(this.#expand(open.at, name.text, operand, args), operand, ...args));
    }
    if (name.kind === 'ESC_IDENTIFIER') this.#reporter.add(name.at, 'unsupported syntax: \'`\'');
    return this.#nested({ kind: 'select', at: dot.at, operand, field: name.text, test: false }, operand);
  }

  #optionalSelection(operand: Expr, dot: Token): Expr {
    this.#in.next();
    this.#in.next();
    try {
      this.#in.sync(['IDENTIFIER', 'ESC_IDENTIFIER']);
    } catch (error) {
      if (error instanceof Mismatch) this.#reporter.add(this.#in.peek.at, 'unsupported ident kind');
      throw error;
    }
    const name = this.#in.next();
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
    this.#in.sync([...operandStart, '\')\'']);
    if (this.#in.peek.kind !== '\')\'') {
      this.#in.rule('other', ['\')\''], broken, () => {
        do args.push(this.#expr(['\',\'', '\')\''])); while (this.#in.accept('\',\''));
        return broken;
      });
    }
    this.#in.match('\')\'');
  }

  #primary(follow: readonly TokenKind[]): Expr {
    return this.#in.rule('other', follow, broken, () => {
      const token = this.#in.peek;
      switch (token.kind) {
        case '\'(\'': {
          this.#in.next();
          const inner = this.#expr(['\')\'']);
          this.#in.match('\')\'');
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
    const leading = this.#in.peek.kind === '\'.\'' ? this.#in.peek : undefined;
    if (leading !== undefined) {
      const offending = this.#in.ahead(1);
      if (offending.kind !== 'IDENTIFIER') {
        this.#in.report(offending, `no viable alternative at input '${this.#in.between(leading, offending)}'`);
        throw new Mismatch();
      }
      this.#in.next();
    }
    const first = this.#in.peek;
    const prefix = leading === undefined ? '' : '.';
    // Names with dots and then a brace build an object.
    let length = 0;
    while (this.#in.ahead(length + 1).kind === '\'.\'' && this.#in.ahead(length + 2).kind === 'IDENTIFIER') length += 2;
    if (this.#in.ahead(length + 1).kind === '\'{\'') {
      let name = prefix;
      while (this.#in.peek.kind !== '\'{\'') name += this.#in.next().text;
      return this.#struct(name);
    }
    this.#in.next();
    if (this.#in.peek.kind === '\'(\'') {
      const open = this.#in.next();
      return this.#withArguments(args => {
        if (reserved.has(first.text)) return this.#fail((leading ?? first).at, `reserved identifier: ${first.text}`);
        return this.#around(this.#expand(open.at, prefix + first.text, undefined, args), ...args);
      });
    }
    if (reserved.has(first.text)) return this.#fail((leading ?? first).at, `reserved identifier: ${first.text}`);
    return { kind: 'ident', at: first.at, name: prefix + first.text };
  }

  #list(): Expr {
    const open = this.#in.next();
    const elements: Expr[] = [];
    const optional = new Set<number>();
    this.#in.sync([...optionalOperandStart, '\']\'', '\',\'']);
    if (optionalOperandStart.includes(this.#in.peek.kind)) {
      for (;;) {
        if (this.#in.accept('\'?\'')) optional.add(elements.length);
        elements.push(this.#expr(['\',\'', '\']\'']));
        if (this.#in.peek.kind !== '\',\'' || !optionalOperandStart.includes(this.#in.ahead(1).kind)) break;
        this.#in.next();
      }
      this.#in.sync(['\']\'', '\',\'']);
    }
    this.#in.accept('\',\'');
    this.#in.match('\']\'');
    return this.#around({ kind: 'list', at: open.at, elements, optional }, ...elements);
  }

  #map(): Expr {
    const open = this.#in.next();
    const entries: Entry[] = [];
    this.#in.sync([...optionalOperandStart, '\'}\'', '\',\'']);
    if (optionalOperandStart.includes(this.#in.peek.kind)) {
      this.#in.rule('other', ['\'}\'', '\',\''], broken, () => {
        for (;;) {
          const isOptional = this.#in.accept('\'?\'');
          const key = this.#expr(['\':\'']);
          const colon = this.#in.match('\':\'', operandStart);
          const value = this.#expr(['\',\'', '\'}\'']);
          entries.push({ at: colon.at, key, value, optional: isOptional });
          if (this.#in.peek.kind !== '\',\'' || !optionalOperandStart.includes(this.#in.ahead(1).kind)) return broken;
          this.#in.next();
        }
      });
      this.#in.sync(['\'}\'', '\',\'']);
    }
    this.#in.accept('\',\'');
    this.#in.match('\'}\'');
    return this.#around({ kind: 'map', at: open.at, entries }, ...entries.flatMap(entry => [entry.key, entry.value]));
  }

  #struct(name: string): Expr {
    const open = this.#in.next();
    const fields: Field[] = [];
    const nameStart: readonly TokenKind[] = ['\'?\'', 'IDENTIFIER', 'ESC_IDENTIFIER'];
    this.#in.sync([...nameStart, '\'}\'', '\',\'']);
    if (nameStart.includes(this.#in.peek.kind)) {
      this.#in.rule('other', ['\'}\'', '\',\''], broken, () => {
        for (;;) {
          const isOptional = this.#in.accept('\'?\'');
          if (isOptional) this.#in.sync(['IDENTIFIER', 'ESC_IDENTIFIER']);
          const field = this.#in.next();
          if (field.kind === 'ESC_IDENTIFIER') this.#reporter.add(field.at, 'unsupported syntax: \'`\'');
          const colon = this.#in.match('\':\'', operandStart);
          fields.push({ at: colon.at, name: field.text, value: this.#expr(['\',\'', '\'}\'']), optional: isOptional });
          if (this.#in.peek.kind !== '\',\'' || !nameStart.includes(this.#in.ahead(1).kind)) return broken;
          this.#in.next();
        }
      });
      this.#in.sync(['\'}\'', '\',\'']);
    }
    this.#in.accept('\',\'');
    this.#in.match('\'}\'');
    return this.#around({ kind: 'struct', at: open.at, name, fields }, ...fields.map(field => field.value));
  }

  #literal(): Expr {
    const sign = this.#in.peek.kind === '\'-\'' ? this.#in.next() : undefined;
    const token = this.#in.next();
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
        this.#in.report(token, `mismatched input ${quote(token)} expecting ${expected(operandStart)}`);
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

  #isNumber(token: Token): boolean { return token.kind === 'NUM_INT' || token.kind === 'NUM_FLOAT'; }
}

const broken: Expr = { kind: 'broken', at: 0 };

/** Long chains of && and || become trees of small depth; the order of evaluation stays. */
function balance(name: string, terms: readonly Expr[], at: readonly number[], low: number, high: number): Expr {
  const middle = Math.floor((low + high + 1) / 2);
  const left = middle === low ? terms[middle]! : balance(name, terms, at, low, middle - 1);
  const right = middle === high ? terms[middle + 1]! : balance(name, terms, at, middle + 1, high);
  return { kind: 'call', at: at[middle]!, name, target: undefined, args: [left, right] };
}
