// What is looked for once a tree has its types: literals that cannot be converted, lists and maps of mixed types, wrong formats.

import { walk } from './ast.ts';
import type { Call, Expr, List, MapLiteral } from './ast.ts';
import { lookUpFunction } from './registry.ts';
import type { Reporter } from './_report.ts';
import { formatType, isSameType } from './types.ts';
import type { Type } from './types.ts';
import { checkFormat } from './functions/string-format.ts';
import { compilePattern } from './functions/regex.ts';
import { Failure } from './values.ts';

export function validate(root: Expr, reporter: Reporter): void {
  // Arguments of format() may be of any types.
  const exempt = new Set<Expr>();
  walk(root, expr => {
    if (expr.kind !== 'call') return;
    if (expr.name === 'format') for (const arg of expr.args) walk(arg, inner => { exempt.add(inner); });
    if (expr.name === 'format' && expr.target !== undefined) walk(expr.target, inner => { exempt.add(inner); });
    checkLiteral(expr, reporter);
  });
  walk(root, expr => {
    if (exempt.has(expr)) return;
    if (expr.kind === 'list') checkList(expr, reporter);
    if (expr.kind === 'map') checkMap(expr, reporter);
  });
  walk(root, expr => {
    if (expr.kind !== 'call' || expr.name !== 'format' || expr.target?.kind !== 'literal' || typeof expr.target.value !== 'string') return;
    const [args] = expr.args;
    if (args?.kind !== 'list') return;
    const mistake = checkFormat(expr.target.value, args.elements);
    if (mistake !== undefined) reporter.add(mistake.at ?? expr.at, mistake.message);
  });
}

function checkLiteral(expr: Call, reporter: Reporter): void {
  const [arg] = expr.args;
  if (arg?.kind !== 'literal') return;
  if (expr.name === 'duration' || expr.name === 'timestamp') {
    if (lookUpFunction(expr.name, '', false).call([arg.value]) instanceof Failure) reporter.add(arg.at, `invalid ${expr.name} argument`);
  } else if (expr.name === 'matches' && typeof arg.value === 'string') {
    if (compilePattern(arg.value) instanceof Failure) reporter.add(arg.at, 'invalid matches argument');
  }
}

function mismatch(at: number, expected: Type, actual: Type, reporter: Reporter): void {
  reporter.add(at, `expected type '${formatType(expected)}' but found '${formatType(actual)}'`);
}

function unwrapped(type: Type, optional: boolean): Type {
  return optional && type.kind === 'optional' ? type.of : type;
}

function checkList(expr: List, reporter: Reporter): void {
  let expected: Type | undefined;
  for (const [i, element] of expr.elements.entries()) {
    const type = unwrapped(element.type!, expr.optional.has(i));
    expected ??= type;
    if (isSameType(expected, type, false)) continue;
    mismatch(element.at, expected, type, reporter);
    return;
  }
}

function checkMap(expr: MapLiteral, reporter: Reporter): void {
  const [first] = expr.entries;
  if (first === undefined) return;
  const key = first.key.type!;
  const value = unwrapped(first.value.type!, first.optional);
  for (const entry of expr.entries) {
    const type = unwrapped(entry.value.type!, entry.optional);
    if (!isSameType(key, entry.key.type!, false)) mismatch(entry.key.at, key, entry.key.type!, reporter);
    if (!isSameType(value, type, false)) mismatch(entry.value.at, value, type, reporter);
  }
}
