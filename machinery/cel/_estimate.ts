// What an expression may cost at most and at least, before it runs: the estimate that decides which rules a custom resource
// definition may have. A change here changes which definitions are valid. Rules: the reference implementation's checker/cost.go and
// upstream's pkg/cel/library/cost.go.

import { accumulatorName } from './ast.ts';
import type { Call, Comprehension, Expr } from './ast.ts';
import { authorizationCheckCost, listCost, mapCost, nominal, regexFactor, structCost, traversalFactor } from './_call-cost.ts';
import type { CelCost } from './cel.ts';
import { dyn } from './types.ts';
import type { Type } from './types.ts';
import { lengthOf } from './values.ts';

/** Of a cost or of a size; `most` is unbounded. */
interface Range {
  readonly min: number;
  readonly max: number;
}

type SizeOf = (path: readonly string[]) => Range | undefined;

const most = 2 ** 64;
const unknown: Range = { min: 0, max: most };
const fixed = (value: number): Range => ({ min: value, max: value });
const cap = (value: number): number => Math.min(value, most);
const add = (a: Range, b: Range): Range => ({ min: cap(a.min + b.min), max: cap(a.max + b.max) });
const multiply = (a: Range, b: Range): Range => ({ min: cap(a.min * b.min), max: cap(a.max * b.max) });
const scale = (a: Range, factor: number): Range => ({ min: cap(Math.ceil(a.min * factor)), max: cap(Math.ceil(a.max * factor)) });
const union = (a: Range, b: Range): Range => ({ min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) });
const sum = (ranges: readonly Range[]): Range => ranges.reduce(add, fixed(0));

interface Entries {
  readonly container: 'list' | 'map';
  readonly key: Range;
  readonly value: Range;
}

interface Local {
  readonly path: readonly string[];
  readonly size: Range | undefined;
  readonly entries: Entries | undefined;
}

/** Something whose size can be asked for. */
interface Sized {
  readonly expr: Expr | undefined;
  readonly type: Type;
  readonly path: readonly string[];
  readonly size: Range | undefined;
}

interface CallEstimate {
  readonly cost: Range;
  readonly size?: Range;
}

export function estimateCost(expr: Expr, sizeOf: SizeOf | undefined): CelCost {
  return new Estimator(sizeOf ?? (() => undefined)).cost(expr);
}

class Estimator {
  readonly #sizeOf: SizeOf;
  readonly #paths = new Map<Expr, readonly string[]>();
  readonly #sizes = new Map<Expr, Range>();
  readonly #entries = new Map<Expr, Entries>();
  readonly #locals = new Map<string, Local[]>();

  constructor(sizeOf: SizeOf) {
    this.#sizeOf = sizeOf;
  }

  cost(expr: Expr): Range {
    switch (expr.kind) {
      case 'literal': case 'broken': return fixed(0);
      case 'ident':
        this.#paths.set(expr, this.#local(expr.name)?.path ?? [expr.name]);
        return fixed(1);
      case 'select': return this.#select(expr);
      case 'call': return this.#call(expr);
      case 'list': {
        const cost = sum(expr.elements.map(element => this.cost(element)));
        this.#entries.set(expr, { container: 'list', key: fixed(1), value: this.#unionOf(expr.elements) });
        return add(cost, fixed(listCost));
      }
      case 'map': {
        const cost = sum(expr.entries.map(entry => add(this.cost(entry.key), this.cost(entry.value))));
        this.#entries.set(expr, {
          container: 'map', key: this.#unionOf(expr.entries.map(entry => entry.key)), value: this.#unionOf(expr.entries.map(entry => entry.value)),
        });
        return add(cost, fixed(mapCost));
      }
      case 'struct': return add(sum(expr.fields.map(field => this.cost(field.value))), fixed(structCost));
      case 'comprehension': return isBinding(expr) ? this.#binding(expr) : this.#comprehension(expr);
    }
  }

  #unionOf(parts: readonly Expr[]): Range {
    return parts.length === 0 ? fixed(0) : parts.map(part => this.#size(part) ?? unknown).reduce(union);
  }

  #select(expr: Extract<Expr, { kind: 'select' }>): Range {
    const operand = this.cost(expr.operand);
    if (expr.test) return operand;
    this.#paths.set(expr, [...this.#path(expr.operand), expr.field]);
    // Reading a field of what is dynamic is part of reading it.
    return this.#isStruct(expr.operand.type ?? dyn) ? add(operand, fixed(1)) : operand;
  }

  #isStruct(type: Type): boolean {
    return type.kind === 'map' || type.kind === 'object' || type.kind === 'param' || (type.kind === 'opaque' && !type.name.startsWith('net.'));
  }

  #call(expr: Call): Range {
    if (expr.name === 'dyn') {
      const cost = add(this.cost(expr.args[0]!), fixed(1));
      this.#copySizes(expr, expr.args[0]!);
      return cost;
    }
    const argCosts = expr.args.map(arg => this.cost(arg));
    const args = expr.args.map(arg => this.#sized(arg));
    const targetCost = expr.target === undefined ? fixed(0) : this.cost(expr.target);
    const target = expr.target && this.#sized(expr.target);
    let cost: Range = { min: most, max: 0 };
    let size: Range | undefined;
    for (const overload of expr.overloads ?? []) {
      const estimate = this.#overload(expr, overload, target, args, argCosts);
      cost = union(cost, estimate.cost);
      if (estimate.size !== undefined) size = size === undefined ? estimate.size : union(size, estimate.size);
      if ((overload === 'index_list' || overload === 'index_map') && expr.args[0] !== undefined) {
        size = this.#entriesOf(expr.args[0])?.value;
        this.#paths.set(expr, [...this.#path(expr.args[0]), overload === 'index_list' ? '@items' : '@values']);
      }
      size ??= this.#size(expr);
    }
    if (size !== undefined) this.#sizes.set(expr, size);
    return add(targetCost, cost);
  }

  #overload(expr: Call, overload: string, target: Sized | undefined, args: readonly Sized[], argCosts: readonly Range[]): CallEstimate {
    const known = this.#listLibrary(overload, target, args) ?? this.#library(expr.name, overload, target, args);
    const others = sum(argCosts);
    if (known !== undefined) return { ...known, cost: add(known.cost, others) };
    const standard = this.#standard(expr, overload, target, args, argCosts);
    if (standard !== undefined) return standard;
    return { cost: add(fixed(1), others) };
  }

  #standard(expr: Call, overload: string, target: Sized | undefined, args: readonly Sized[], argCosts: readonly Range[]): CallEstimate | undefined {
    const others = sum(argCosts);
    const size = (of: Sized | undefined): Range => of?.size ?? unknown;
    switch (overload) {
      case 'string_format': return { cost: add(scale(size(target), traversalFactor), others) };
      case 'string_to_bytes': {
        const bytes = size(args[0]);
        return { cost: add(scale(bytes, traversalFactor), others), size: { min: bytes.min, max: cap(bytes.max * 4) } };
      }
      case 'bytes_to_string': {
        const text = size(args[0]);
        return { cost: add(scale(text, traversalFactor), others), size: { min: Math.floor(text.min / 4), max: text.max } };
      }
      case 'strings_quote': {
        const text = size(args[0]);
        return { cost: add(scale(text, traversalFactor), others), size: { min: text.min + 2, max: cap(text.max * 2 + 2) } };
      }
      case 'starts_with_string': case 'ends_with_string': return { cost: add(scale(size(args[0]), traversalFactor), others) };
      case 'in_list': return { cost: add(size(args[1]), others) };
      case 'matches_string': return { cost: add(patternCost(size(target), size(args[0])), others) };
      case 'contains_string':
        return { cost: add(multiply(scale(size(target), traversalFactor), scale(size(args[0]), traversalFactor)), others) };
      case 'logical_or': case 'logical_and': return { cost: { min: argCosts[0]!.min, max: add(argCosts[0]!, argCosts[1]!).max } };
      case 'conditional': {
        const [yes, no] = [expr.args[1]!, expr.args[2]!];
        this.#setEntries(expr, unionEntries(this.#entriesOf(yes), this.#entriesOf(no)));
        return { cost: add(argCosts[0]!, union(argCosts[1]!, argCosts[2]!)), size: union(size(args[1]), size(args[2])) };
      }
      case 'add_string': case 'add_bytes': case 'add_list': {
        const total = add(size(args[0]), size(args[1]));
        this.#setEntries(expr, unionEntries(this.#entriesOf(expr.args[0]!), this.#entriesOf(expr.args[1]!)));
        return { cost: add(overload === 'add_list' ? fixed(1) : scale(total, traversalFactor), others), size: total };
      }
      case 'less_string': case 'greater_string': case 'less_equals_string': case 'greater_equals_string':
      case 'less_bytes': case 'greater_bytes': case 'less_equals_bytes': case 'greater_equals_bytes': case 'equals': case 'not_equals': {
        const max = Math.min(size(args[0]).max, size(args[1]).max);
        return { cost: add(scale({ min: max > 0 ? 1 : 0, max }, traversalFactor), others) };
      }
      default: return undefined;
    }
  }

  #listLibrary(overload: string, target: Sized | undefined, args: readonly Sized[]): CallEstimate | undefined {
    // This library asks for sizes in its own way: what is computed, what is declared, or anything.
    const allocating = (factor: number, size: Range): CallEstimate => ({ cost: add(add(scale(size, factor), fixed(1)), fixed(listCost)), size });
    const quadratic = (of: Sized, factor: number) => allocating(factor, multiply(this.#declaredSize(of), this.#declaredSize(of)));
    const product = (factor: number): CallEstimate =>
      ({ cost: add(scale(multiply(this.#declaredSize(args[0]!), this.#declaredSize(args[1]!)), factor), fixed(1)) });
    switch (overload) {
      case 'list_sets_contains_list': case 'list_sets_intersects_list': return product(1);
      case 'list_sets_equivalent_list': return product(2);
      case 'list_slice': {
        const size = this.#declaredSize(target!);
        const length = constantInt(args[1]!, size.max) - constantInt(args[0]!, 0);
        // What would be negative is upstream's largest number.
        return allocating(1, fixed(length < 0 ? cap(most + length) : length));
      }
      case 'lists_range': return allocating(1, fixed(constantInt(args[0]!, most)));
      case 'list_reverse': return allocating(1, this.#declaredSize(target!));
      case 'list_flatten': return allocating(1, this.#declaredSize(target!));
      case 'list_flatten_int': return allocating(constantInt(args[0]!, most), this.#declaredSize(target!));
      case 'list_distinct': return quadratic(target!, 2);
      default: {
        const sort = /^list_(.+)_(sort|sortByAssociatedKeys)$/.exec(overload);
        if (sort === null) return undefined;
        const factor = sort[1] === 'string' || sort[1] === 'bytes' ? 2 + traversalFactor : 2;
        return quadratic(sort[2] === 'sort' ? target! : args[0]!, factor);
      }
    }
  }

  #library(name: string, overload: string, target: Sized | undefined, args: readonly Sized[]): CallEstimate | undefined {
    if (nominal.has(name)) return { cost: fixed(1) };
    const size = (of: Sized) => this.#declaredSize(of);
    const [first, second] = args;
    switch (name) {
      case 'check': return { cost: fixed(authorizationCheckCost) };
      case 'fieldSelector': case 'labelSelector': {
        const length = size(first!);
        return { cost: add(add(fixed(listCost), scale(length, traversalFactor)), scale(scale(length, 0.5), listCost + structCost)) };
      }
      case 'isSorted': case 'sum': case 'max': case 'min': case 'indexOf': case 'lastIndexOf': return this.#search(target);
      case 'url': case 'jsonpatch.escapeKey': return { cost: scale(size(first!), traversalFactor), size: size(first!) };
      case 'lowerAscii': case 'upperAscii': case 'substring': case 'trim':
        return { cost: scale(size(target!), traversalFactor), size: size(target!) };
      case 'replace': return { cost: scale(size(target!), 2 * traversalFactor), size: replacedSize(size(target!), size(first!), size(second!)) };
      case 'split': {
        const length = size(target!);
        const limit = second?.expr?.kind === 'literal' && typeof second.expr.value === 'bigint' ? second.expr.value : undefined;
        // A negative limit is none; upstream reads it as a very large number.
        const max = limit === undefined ? length.max : limit < 0n ? cap(2 ** 64 + Number(limit)) : Number(limit);
        return { cost: scale(length, 2 * traversalFactor), size: { min: 0, max } };
      }
      case 'join': return this.#join(target!, first);
      case 'find': case 'findAll': return { cost: patternCost(size(target!), size(first!)), size: { min: 0, max: size(target!).max } };
      case 'cidr': case 'isIP': case 'isCIDR': case 'quantity': case 'isQuantity': case 'semver': case 'isSemver':
        return { cost: scale(size(first!), traversalFactor) };
      case 'ip': return { cost: overload === 'cidr_ip' ? fixed(1) : scale(size(first!), traversalFactor) };
      case 'ip.isCanonical': return { cost: scale(size(first!), 2 * traversalFactor) };
      case 'containsIP': {
        const cost = scale({ min: 8, max: 32 }, traversalFactor);
        return { cost: overload === 'cidr_contains_ip_string' ? add(cost, scale(size(first!), traversalFactor)) : cost };
      }
      case 'containsCIDR': {
        const cost = add(add(scale({ min: 8, max: 32 }, traversalFactor), scale({ min: 4, max: 16 }, traversalFactor)), fixed(1));
        return { cost: overload === 'cidr_contains_cidr_string' ? add(cost, scale(size(first!), traversalFactor)) : cost };
      }
      case 'validate': return { cost: scale(scale(size(first!), traversalFactor), 128 * regexFactor) };
      case '_==_': return this.#equality(first!, second!);
      default: return undefined;
    }
  }

  #search(target: Sized | undefined): CallEstimate | undefined {
    if (target === undefined) return undefined;
    const element = this.#elementOf(target);
    if (element === undefined) return { cost: scale(this.#declaredSize(target), traversalFactor) };
    const isText = element.type.kind === 'string' || element.type.kind === 'bytes';
    const each = isText ? add(fixed(1), scale(this.#declaredSize(element), traversalFactor)) : fixed(1);
    return { cost: multiply(this.#declaredSize(target), each) };
  }

  #join(target: Sized, separator: Sized | undefined): CallEstimate {
    const length = this.#declaredSize(target);
    const element = this.#elementOf(target);
    let size = element === undefined ? fixed(0) : multiply(length, this.#declaredSize(element));
    if (separator !== undefined) {
      const count: Range = { min: Math.max(0, length.min - 1), max: length.max === most ? most : Math.max(0, length.max - 1) };
      size = add(size, multiply(this.#declaredSize(separator), count));
    }
    return { cost: scale(size, traversalFactor), size };
  }

  #equality(a: Sized, b: Sized): CallEstimate | undefined {
    if (a.type.kind !== 'opaque' || b.type.kind !== 'opaque' || a.type.name !== b.type.name) return undefined;
    switch (a.type.name) {
      case 'kubernetes.NamedFormat': return { cost: scale({ min: 1, max: 64 }, traversalFactor) };
      case 'kubernetes.URL': return { cost: scale({ min: 1, max: b.size?.max ?? 1 }, traversalFactor) };
      default: return { cost: fixed(1) };
    }
  }

  /** The elements of a list as something whose size can be asked for. */
  #elementOf(list: Sized): Sized | undefined {
    const { type } = list;
    const element = type.kind === 'list' ? type.element : type.kind === 'map' ? type.key : undefined;
    return element && { expr: undefined, type: element, path: list.path.length === 0 ? [] : [...list.path, '@items'], size: undefined };
  }

  #declaredSize(of: Sized): Range {
    return of.size ?? this.#askSize(of.path) ?? unknown;
  }

  #askSize(path: readonly string[]): Range | undefined {
    if (path.length === 0) return undefined;
    const size = this.#sizeOf(path);
    return size && { min: size.min, max: cap(size.max) };
  }

  #binding(expr: Comprehension): Range {
    const cost = add(this.cost(expr.range), this.cost(expr.init));
    this.#push(expr.accumulator, { path: this.#path(expr.init), size: this.#size(expr.init), entries: this.#entriesOf(expr.init) });
    const result = this.cost(expr.result);
    this.#pop(expr.accumulator);
    this.#copySizes(expr, expr.result);
    return add(cost, result);
  }

  #comprehension(expr: Comprehension): Range {
    const outside = add(this.cost(expr.range), this.cost(expr.init));
    this.#push(expr.accumulator, { path: this.#path(expr.init), size: this.#size(expr.init), entries: this.#entriesOf(expr.init) });
    this.#pushVariables(expr);
    const turn = add(this.cost(expr.condition), this.cost(expr.step));
    this.#pop(expr.variable);
    if (expr.variable2 !== '') this.#pop(expr.variable2);
    const result = this.cost(expr.result);
    this.#pop(expr.accumulator);
    const count = this.#size(expr.range) ?? unknown;
    if (expr.init.kind === 'literal') {
      this.#setSize(expr, this.#size(expr.init));
    } else if (expr.init.kind === 'list' || expr.init.kind === 'map') {
      this.#setSize(expr, count);
      this.#setEntries(expr, this.#entriesOf(expr.step));
    }
    return add(add(outside, result), multiply(count, turn));
  }

  #pushVariables(expr: Comprehension): void {
    const entries = this.#entriesOf(expr.range);
    const container = entries?.container ?? expr.range.type?.kind;
    const path = this.#path(expr.range);
    const item = { path: [...path, container === 'list' ? '@items' : '@values'], size: entries?.value, entries: undefined };
    const key = { path: [...path, container === 'list' ? '@indices' : '@keys'], size: entries?.key, entries: undefined };
    if (expr.variable2 === '') {
      this.#push(expr.variable, container === 'list' ? item : key);
    } else {
      this.#push(expr.variable, key);
      this.#push(expr.variable2, item);
    }
  }

  #push(name: string, local: Local): void {
    const known = this.#locals.get(name);
    if (known === undefined) this.#locals.set(name, [local]);
    else known.push(local);
  }

  #pop(name: string): void { this.#locals.get(name)!.pop(); }

  #local(name: string): Local | undefined { return this.#locals.get(name)?.at(-1); }

  #path(expr: Expr): readonly string[] {
    if (expr.kind === 'ident') {
      const local = this.#local(expr.name);
      if (local !== undefined) return local.path;
    }
    return this.#paths.get(expr) ?? [];
  }

  #sized(expr: Expr): Sized {
    const path = this.#path(expr);
    return { expr, type: expr.type ?? dyn, path: path[0] === accumulatorName ? [] : path, size: this.#size(expr) };
  }

  #size(expr: Expr): Range | undefined {
    const known = this.#sizes.get(expr) ?? literalSize(expr);
    if (known !== undefined) return known;
    const declared = this.#askSize(this.#path(expr));
    if (declared !== undefined) {
      this.#sizes.set(expr, declared);
      return declared;
    }
    if (isScalar(expr.type ?? dyn)) return fixed(1);
    return expr.kind === 'ident' ? this.#local(expr.name)?.size : undefined;
  }

  #setSize(expr: Expr, size: Range | undefined): void { if (size !== undefined) this.#sizes.set(expr, size); }

  #entriesOf(expr: Expr): Entries | undefined {
    return this.#entries.get(expr) ?? (expr.kind === 'ident' ? this.#local(expr.name)?.entries : undefined);
  }

  #setEntries(expr: Expr, entries: Entries | undefined): void { if (entries !== undefined) this.#entries.set(expr, entries); }

  #copySizes(to: Expr, from: Expr): void {
    this.#setSize(to, this.#size(from));
    this.#setEntries(to, this.#entriesOf(from));
  }
}

/** A comprehension over nothing that only gives its accumulator a name. */
function isBinding(expr: Comprehension): boolean {
  return expr.range.kind === 'list' && expr.range.elements.length === 0 && expr.condition.kind === 'literal' && expr.condition.value === false;
}

function unionEntries(a: Entries | undefined, b: Entries | undefined): Entries | undefined {
  return a && b && { container: a.container, key: union(a.key, b.key), value: union(a.value, b.value) };
}

function patternCost(text: Range, pattern: Range): Range {
  return multiply(scale(add(text, fixed(1)), traversalFactor), scale(pattern, regexFactor));
}

function constantInt(of: Sized, otherwise: number): number {
  return of.expr?.kind === 'literal' && typeof of.expr.value === 'bigint' ? Math.max(0, Number(of.expr.value)) : otherwise;
}

/** How long a text may be once parts of it are replaced. */
function replacedSize(text: Range, old: Range, replacement: Range): Range {
  let maxCount = 0;
  let minCount = 0;
  let maxKept = 0;
  let minKept = 0;
  if (old.min === 0) {
    maxCount = cap(text.max + 1);
    maxKept = text.max;
  } else if (replacement.max <= old.min) {
    maxKept = text.max;
  } else {
    maxCount = Math.ceil(text.max / old.min);
  }
  if (old.max === 0) {
    minCount = cap(text.min + 1);
    minKept = text.min;
  } else if (old.max <= replacement.min) {
    minKept = text.min;
  } else {
    minCount = Math.ceil(text.min / old.max);
  }
  return add(multiply({ min: minCount, max: maxCount }, replacement), { min: minKept, max: maxKept });
}

function literalSize(expr: Expr): Range | undefined {
  if (expr.kind === 'list') return fixed(expr.elements.length);
  if (expr.kind === 'map') return fixed(expr.entries.length);
  if (expr.kind !== 'literal') return undefined;
  if (typeof expr.value === 'string') return fixed(lengthOf(expr.value));
  return fixed(expr.value instanceof Uint8Array ? expr.value.length : 1);
}

function isScalar(type: Type): boolean {
  return ['bool', 'double', 'duration', 'int', 'timestamp', 'uint'].includes(type.kind) || (type.kind === 'optional' && isScalar(type.of));
}
