// The tree that parser and macros build and that the checker annotates. Nodes carry the offset their errors point at.

import type { Type } from './types.ts';
import type { Value } from './values.ts';

interface Node {
  /** In code points from the start of the source; where reports about this node point. */
  readonly at: number;
  /** Set by the checker. */
  type?: Type;
}

export interface Literal extends Node { kind: 'literal'; value: Value }
export interface Ident extends Node { kind: 'ident'; name: string; /** Set by the checker when the name is that of a type. */ isType?: boolean }
export interface Select extends Node { kind: 'select'; operand: Expr; field: string; test: boolean }
export interface Call extends Node { kind: 'call'; name: string; target: Expr | undefined; args: Expr[]; overloads?: string[] }
export interface List extends Node { kind: 'list'; elements: Expr[]; optional: ReadonlySet<number> }
export interface Entry { readonly at: number; key: Expr; value: Expr; optional: boolean }
export interface MapLiteral extends Node { kind: 'map'; entries: Entry[] }
export interface Field { readonly at: number; name: string; value: Expr; optional: boolean }
export interface Struct extends Node { kind: 'struct'; name: string; fields: Field[] }
export interface Comprehension extends Node {
  kind: 'comprehension';
  range: Expr;
  variable: string;
  /** Empty when the comprehension has one variable only. */
  variable2: string;
  accumulator: string;
  init: Expr;
  condition: Expr;
  step: Expr;
  result: Expr;
}
/** What is left of a part that could not be read; the error is in the issues already. */
export interface Broken extends Node { kind: 'broken' }

export type Expr = Literal | Ident | Select | Call | List | MapLiteral | Struct | Comprehension | Broken;

/** The accumulator of the macros; no source can name it. */
export const accumulatorName = '@result';

/** `a.b.c` of plain selections, for names with dots. */
export function qualifiedName(expr: Expr): string | undefined {
  if (expr.kind === 'ident') return expr.name;
  if (expr.kind !== 'select' || expr.test) return undefined;
  const operand = qualifiedName(expr.operand);
  return operand === undefined ? undefined : `${operand}.${expr.field}`;
}

/** Calls `visit` for the node and everything below it, parents first. */
export function walk(expr: Expr, visit: (expr: Expr) => void): void {
  visit(expr);
  for (const child of children(expr)) walk(child, visit);
}

export function children(expr: Expr): Expr[] {
  switch (expr.kind) {
    case 'literal': case 'ident': case 'broken': return [];
    case 'select': return [expr.operand];
    case 'call': return expr.target === undefined ? expr.args : [expr.target, ...expr.args];
    case 'list': return expr.elements;
    case 'map': return expr.entries.flatMap(entry => [entry.key, entry.value]);
    case 'struct': return expr.fields.map(field => field.value);
    case 'comprehension': return [expr.range, expr.init, expr.condition, expr.step, expr.result];
  }
}
