// Calls that are no functions: has(), the comprehensions, optMap() and their like are replaced by plainer trees while parsing.

import { accumulatorName } from './ast.ts';
import type { Comprehension, Expr } from './ast.ts';

/** A macro was called with arguments of the wrong form. */
export class MacroError extends Error {
  readonly at: number;
  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

/** `at`: where reports about the new nodes point. */
type Expander = (at: number, target: Expr, args: readonly Expr[]) => Expr;

/** By name and number of arguments. All but has() are called on something. */
const receiverMacros: Readonly<Record<string, Expander>> = {
  'all/2': quantifier('all'),
  'exists/2': quantifier('exists'),
  'exists_one/2': quantifier('one'),
  'all/3': quantifier('all'),
  'exists/3': quantifier('exists'),
  'exists_one/3': quantifier('one'),
  'existsOne/3': quantifier('one'),
  'map/2': (at, target, args) => transformList(at, target, oneVariable(args), undefined, args[1]!),
  'map/3': (at, target, args) => transformList(at, target, oneVariable(args), args[1], args[2]!),
  'filter/2': (at, target, args) => transformList(at, target, oneVariable(args), args[1], args[0]!),
  'transformList/3': (at, target, args) => transformList(at, target, twoVariables(args), undefined, args[2]!),
  'transformList/4': (at, target, args) => transformList(at, target, twoVariables(args), args[2], args[3]!),
  'transformMap/3': (at, target, args) => transformMap(at, target, args, undefined, args[2]!, true),
  'transformMap/4': (at, target, args) => transformMap(at, target, args, args[2], args[3]!, true),
  'transformMapEntry/3': (at, target, args) => transformMap(at, target, args, undefined, args[2]!, false),
  'transformMapEntry/4': (at, target, args) => transformMap(at, target, args, args[2], args[3]!, false),
  'optMap/2': (at, target, args) => ifPresent(at, target, 'optMap', args, body => call(at, 'optional.of', body)),
  'optFlatMap/2': (at, target, args) => ifPresent(at, target, 'optFlatMap', args, body => body),
  'sortBy/2': sortBy,
};

/** What the call stands for; undefined when it is an ordinary call. `bindings`: `cel.bind(name, value, body)` is there, too. */
export function expandMacro(at: number, name: string, target: Expr | undefined, args: readonly Expr[], bindings: boolean): Expr | undefined {
  if (target === undefined) {
    if (name !== 'has' || args.length !== 1) return undefined;
    const [arg] = args;
    if (arg!.kind !== 'select') throw new MacroError(arg!.at, 'invalid argument to has() macro');
    return { kind: 'select', at, operand: arg!.operand, field: arg!.field, test: true };
  }
  if (bindings && name === 'bind' && args.length === 3 && target.kind === 'ident' && target.name === 'cel') {
    const [variable, value, body] = args;
    if (variable!.kind !== 'ident') throw new MacroError(variable!.at, 'cel.bind() variable names must be simple identifiers');
    return bind(at, variable!.name, value!, body!);
  }
  const key = `${name}/${args.length}`;
  return Object.hasOwn(receiverMacros, key) ? receiverMacros[key]!(at, target, args) : undefined;
}

function call(at: number, name: string, ...args: Expr[]): Expr { return { kind: 'call', at, name, target: undefined, args }; }
function literal(at: number, value: boolean | bigint): Expr { return { kind: 'literal', at, value }; }
function ident(at: number, name: string): Expr { return { kind: 'ident', at, name }; }
function accumulator(at: number): Expr { return ident(at, accumulatorName); }
function list(at: number, ...elements: Expr[]): Expr { return { kind: 'list', at, elements, optional: new Set() }; }

interface Variables {
  readonly variable: string;
  readonly variable2: string;
}

function fold(at: number, range: Expr, { variable, variable2 }: Variables, parts: Pick<Comprehension, 'init' | 'condition' | 'step' | 'result'>): Comprehension {
  return { kind: 'comprehension', at, range, variable, variable2, accumulator: accumulatorName, ...parts };
}

function oneVariable(args: readonly Expr[], mistake = 'argument is not an identifier'): Variables {
  const [arg] = args;
  if (arg!.kind !== 'ident') throw new MacroError(arg!.at, mistake);
  refuseAccumulator(arg!.at, arg!.name);
  return { variable: arg!.name, variable2: '' };
}

function twoVariables(args: readonly Expr[]): Variables {
  const [first, second] = args.map(arg => {
    if (arg.kind === 'ident') return arg.name;
    return undefined;
  });
  if (first === undefined) throw new MacroError(args[0]!.at, 'argument must be a simple name');
  if (second === undefined) throw new MacroError(args[1]!.at, 'argument must be a simple name');
  if (first === second) throw new MacroError(args[1]!.at, `duplicate variable name: ${first}`);
  refuseAccumulator(args[0]!.at, first);
  refuseAccumulator(args[1]!.at, second);
  return { variable: first, variable2: second };
}

/** The accumulator's name of older expressions is refused too. */
function refuseAccumulator(at: number, name: string): void {
  if (name === '__result__') throw new MacroError(at, 'iteration variable overwrites accumulator variable');
}

function quantifier(kind: 'all' | 'exists' | 'one'): Expander {
  return (at, target, args) => {
    const variables = args.length === 2 ? oneVariable(args, 'argument must be a simple name') : twoVariables(args);
    const predicate = args.at(-1)!;
    switch (kind) {
      case 'all': return fold(at, target, variables, {
        init: literal(at, true),
        condition: call(at, '@not_strictly_false', accumulator(at)),
        step: call(at, '_&&_', accumulator(at), predicate),
        result: accumulator(at),
      });
      case 'exists': return fold(at, target, variables, {
        init: literal(at, false),
        condition: call(at, '@not_strictly_false', call(at, '!_', accumulator(at))),
        step: call(at, '_||_', accumulator(at), predicate),
        result: accumulator(at),
      });
      case 'one': return fold(at, target, variables, {
        init: literal(at, 0n),
        condition: literal(at, true),
        step: call(at, '_?_:_', predicate, call(at, '_+_', accumulator(at), literal(at, 1n)), accumulator(at)),
        result: call(at, '_==_', accumulator(at), literal(at, 1n)),
      });
    }
  };
}

function transformList(at: number, target: Expr, variables: Variables, filter: Expr | undefined, transform: Expr): Expr {
  const step = call(at, '_+_', accumulator(at), list(at, transform));
  return fold(at, target, variables, {
    init: list(at),
    condition: literal(at, true),
    step: filter === undefined ? step : call(at, '_?_:_', filter, step, accumulator(at)),
    result: accumulator(at),
  });
}

function transformMap(at: number, target: Expr, args: readonly Expr[], filter: Expr | undefined, transform: Expr, keepKey: boolean): Expr {
  const variables = twoVariables(args);
  const step = keepKey
    ? call(at, 'cel.@mapInsert', accumulator(at), ident(at, variables.variable), transform)
    : call(at, 'cel.@mapInsert', accumulator(at), transform);
  return fold(at, target, variables, {
    init: { kind: 'map', at, entries: [] },
    condition: literal(at, true),
    step: filter === undefined ? step : call(at, '_?_:_', filter, step, accumulator(at)),
    result: accumulator(at),
  });
}

/** Gives a value a name: a comprehension over nothing, whose accumulator is the value. */
function bind(at: number, name: string, value: Expr, result: Expr): Expr {
  return {
    kind: 'comprehension', at, range: list(at), variable: '#unused', variable2: '', accumulator: name,
    init: value, condition: literal(at, false), step: ident(at, name), result,
  };
}

function ifPresent(at: number, target: Expr, macro: string, args: readonly Expr[], wrap: (body: Expr) => Expr): Expr {
  const [variable, body] = args;
  if (variable!.kind !== 'ident') throw new MacroError(variable!.at, `${macro}() variable name must be a simple identifier`);
  const value: Expr = { kind: 'call', at, name: 'value', target: copy(target), args: [] };
  return call(at, '_?_:_',
    { kind: 'call', at, name: 'hasValue', target, args: [] },
    wrap(bind(at, variable!.name, value, body!)),
    call(at, 'optional.none'));
}

function sortBy(at: number, target: Expr, args: readonly Expr[]): Expr {
  if (target.kind === 'literal' || target.kind === 'map' || target.kind === 'struct') {
    throw new MacroError(target.at, 'sortBy can only be applied to a list, identifier, comprehension, call or select expression');
  }
  const input = '@__sortBy_input__';
  const keys = transformList(at, ident(at, input), oneVariable(args), undefined, args[1]!);
  return bind(at, input, target, { kind: 'call', at, name: '@sortByAssociatedKeys', target: ident(at, input), args: [keys] });
}

function copy(expr: Expr): Expr {
  switch (expr.kind) {
    case 'literal': case 'ident': case 'broken': return { ...expr };
    case 'select': return { ...expr, operand: copy(expr.operand) };
    case 'call': return { ...expr, target: expr.target && copy(expr.target), args: expr.args.map(copy) };
    case 'list': return { ...expr, elements: expr.elements.map(copy) };
    case 'map': return { ...expr, entries: expr.entries.map(entry => ({ ...entry, key: copy(entry.key), value: copy(entry.value) })) };
    case 'struct': return { ...expr, fields: expr.fields.map(field => ({ ...field, value: copy(field.value) })) };
    case 'comprehension': return {
      ...expr, range: copy(expr.range), init: copy(expr.init), condition: copy(expr.condition), step: copy(expr.step), result: copy(expr.result),
    };
  }
}
