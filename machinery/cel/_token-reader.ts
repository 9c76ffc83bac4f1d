// Takes tokens one by one for the parser. Mistakes are reported in the words of the parser generator that the reference implementation
// uses, and reading goes on after them in its manner: drop one token, assume one, or skip to where something known follows.

import { escapeSpace, tokenNames } from './_lexer.ts';
import type { Token, TokenKind, Tokens } from './_lexer.ts';
import type { Reporter } from './_report.ts';

export const maxDepth = 250;
export const recursionLimitExceeded = `expression recursion limit exceeded: ${maxDepth}`;
const maxRecoveries = 30;

export const relations: readonly TokenKind[] = ['\'==\'', '\'!=\'', '\'in\'', '\'<\'', '\'<=\'', '\'>=\'', '\'>\''];
/** From the loosest to the tightest. */
export const ranks: readonly (readonly TokenKind[])[] = [['\'||\''], ['\'&&\''], relations, ['\'+\'', '\'-\''], ['\'*\'', '\'/\'', '\'%\'']];
export const binaryOperators: readonly TokenKind[] = ranks.flat();
export const operandStart: readonly TokenKind[] = ['\'[\'', '\'{\'', '\'(\'', '\'.\'', '\'-\'', '\'!\'', '\'true\'', '\'false\'', '\'null\'',
  'NUM_FLOAT', 'NUM_INT', 'NUM_UINT', 'STRING', 'BYTES', 'IDENTIFIER'];
const afterOperand: readonly TokenKind[] = ['\'.\'', '\'[\'', '\'*\'', '\'/\'', '\'%\'', '\'+\'', '\'-\'', ...relations, '\'&&\'', '\'||\'', '\'?\''];

/** Ends the whole reading. */
export class Abort extends Error {}
/** Ends the innermost rule, which then recovers. */
export class Mismatch extends Error {}

/** The rules whose nesting is limited, each by itself. */
type Rule = 'expr' | 'member' | 'calc' | 'relation' | 'other';

export class TokenReader {
  /** What may follow the rules that are being read, outermost first. */
  readonly follow: (readonly TokenKind[])[] = [['<EOF>']];
  /** What ends the expression that is being read. */
  ends: readonly TokenKind[] = ['<EOF>'];
  readonly depth: Record<Rule, number> = { expr: 0, member: 0, calc: 0, relation: 0, other: 0 };
  readonly #tokens: Tokens;
  readonly #characters: ArrayLike<string>;
  readonly #reporter: Reporter;
  #at = 0;
  #recovering = false;
  #recoveries = 0;
  #lastRecovery = -1;

  constructor(tokens: Tokens, characters: ArrayLike<string>, reporter: Reporter) {
    this.#tokens = tokens;
    this.#characters = characters;
    this.#reporter = reporter;
  }

  get peek(): Token { return this.#tokens.list[this.#at]!; }
  ahead(count: number): Token { return this.#tokens.list[Math.min(this.#at + count, this.#tokens.list.length - 1)]!; }

  next(): Token {
    const token = this.#tokens.list[this.#at]!;
    if (this.#at < this.#tokens.list.length - 1) this.#at++;
    this.#recovering = false;
    return token;
  }

  accept(kind: TokenKind): boolean {
    if (this.peek.kind !== kind) return false;
    this.next();
    return true;
  }

  between(from: Token, to: Token): string {
    let text = '';
    for (let i = from.at; i < to.end; i++) if (!this.#tokens.skipped.has(i)) text += this.#characters[i]!;
    return escapeSpace(text);
  }

  report(token: Token, message: string): void {
    if (this.#recovering) return;
    this.#recovering = true;
    this.#reporter.add(token.at, `Syntax error: ${message}`);
  }

  reportUnwanted(kinds: readonly TokenKind[]): void {
    this.report(this.peek, `extraneous input ${quote(this.peek)} expecting ${expected(kinds)}`);
  }

  #attempt(): void {
    if (this.#recoveries === maxRecoveries) {
      this.#reporter.add(this.peek.at, `Syntax error: error recovery attempt limit exceeded: ${maxRecoveries}`);
      throw new Abort('');
    }
    this.#recoveries++;
  }

  /** The next token is one of these; one other token before them is dropped with a report. */
  sync(kinds: readonly TokenKind[]): void {
    if (this.#recovering || kinds.includes(this.peek.kind)) return;
    if (kinds.includes(this.ahead(1).kind) && this.peek.kind !== '<EOF>') {
      this.#drop(kinds);
      return;
    }
    this.report(this.peek, `mismatched input ${quote(this.peek)} expecting ${expected(kinds)}`);
    throw new Mismatch();
  }

  #drop(kinds: readonly TokenKind[]): void {
    this.reportUnwanted(kinds);
    if (this.#at < this.#tokens.list.length - 1) this.#at++;
    this.#recovering = false;
  }

  /** Takes a token of that kind, or reports that it is missing. `then`: what would follow it. */
  match(kind: TokenKind, then: readonly TokenKind[] = [...afterOperand, ...this.ends]): Token {
    if (this.peek.kind === kind) return this.next();
    this.#attempt();
    if (this.ahead(1).kind === kind && this.peek.kind !== '<EOF>') {
      this.#drop([kind]);
      return this.next();
    }
    const token = this.peek;
    if (kind !== '<EOF>' && then.includes(token.kind)) {
      this.report(token, `missing ${kind} at ${quote(token)}`);
      return { kind, text: '', at: token.at, end: token.at };
    }
    this.report(token, `mismatched input ${quote(token)} expecting ${expected([kind])}`);
    throw new Mismatch();
  }

  enter(rule: Rule, levels = 1): void {
    this.depth[rule] += levels;
    if (this.depth[rule] > maxDepth) throw new Abort(recursionLimitExceeded);
  }

  /** Reads one rule; after a mistake in it, skips to what may follow and answers `instead`. */
  rule<T>(rule: Rule, follow: readonly TokenKind[], instead: T, body: () => T): T {
    const followed = this.follow.length;
    this.follow.push(follow);
    const counted = rule !== 'other';
    try {
      if (counted) this.enter(rule);
      return body();
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      this.#attempt();
      // Twice at one place: nothing else would end the loop.
      if (this.#lastRecovery === this.#at && this.peek.kind !== '<EOF>') this.#at++;
      this.#lastRecovery = this.#at;
      while (this.peek.kind !== '<EOF>' && !this.follow.some(kinds => kinds.includes(this.peek.kind))) this.#at++;
      return instead;
    } finally {
      if (counted) this.depth[rule]--;
      this.follow.length = followed;
    }
  }
}

export function quote(token: Token): string {
  return `'${escapeSpace(token.text)}'`;
}

export function expected(kinds: readonly TokenKind[]): string {
  const sorted = tokenNames.filter(name => kinds.includes(name));
  return sorted.length === 1 ? sorted[0]! : `{${sorted.join(', ')}}`;
}
