// Gives every node of a tree its type and every call its overloads, and reports what cannot be; the rules of unification, joining
// and looking up names are those of the reference implementation.

import { overloadsOf } from './_declarations.ts';
import { children, qualifiedName } from './ast.ts';
import type { Call, Comprehension, Expr, Field, List, MapLiteral, Select, Struct } from './ast.ts';
import type { CelEnvironment } from './cel.ts';
import { isReservedField } from './escape.ts';
import type { Reporter } from './_report.ts';
import {
  assign, bool, dyn, errorType, formatType, int, isDyn, isDynOrError, isSameType, listOf, mapOf, mostGeneral, optionalOf, parameters,
  substitute, typeName,
} from './types.ts';
import type { Bindings, Type } from './types.ts';

const param = (name: string): Type => ({ kind: 'param', name });

/** Names of types, which are values too. */
export const typeNames = new Map<string, Type>([
  ['bool', bool], ['bytes', { kind: 'bytes' }], ['double', { kind: 'double' }], ['google.protobuf.Duration', { kind: 'duration' }], ['int', int],
  ['list', listOf(param('A'))], ['map', mapOf(param('A'), param('B'))], ['null_type', { kind: 'null' }], ['string', { kind: 'string' }],
  ['google.protobuf.Timestamp', { kind: 'timestamp' }], ['type', { kind: 'type' }], ['uint', { kind: 'uint' }],
  ['optional_type', { kind: 'opaque', name: 'optional_type' }],
  ...['kubernetes.URL', 'kubernetes.Quantity', 'kubernetes.NamedFormat', 'kubernetes.Semver', 'net.IP', 'net.CIDR',
    'kubernetes.authorization.Authorizer', 'kubernetes.authorization.PathCheck', 'kubernetes.authorization.GroupCheck',
    'kubernetes.authorization.ResourceCheck', 'kubernetes.authorization.Decision',
  ].map((name): [string, Type] => [name, { kind: 'opaque', name }]),
]);

export interface CheckResult {
  readonly type: Type;
  readonly reads: ReadonlySet<string>;
}

export function check(expr: Expr, environment: CelEnvironment, reporter: Reporter): CheckResult {
  const checker = new Checker(environment, reporter);
  checker.check(expr);
  checker.settle(expr);
  return { type: expr.type!, reads: checker.reads };
}

class Checker {
  readonly reads = new Set<string>();
  readonly #environment: CelEnvironment;
  readonly #reporter: Reporter;
  readonly #declared: ReadonlyMap<string, Type>;
  readonly #scopes: Map<string, Type>[] = [];
  #bindings: Bindings = new Map();
  #freeCount = 0;

  constructor(environment: CelEnvironment, reporter: Reporter) {
    this.#environment = environment;
    this.#reporter = reporter;
    this.#declared = new Map(environment.variables.map(variable => [variable.name, variable.type]));
  }

  check(expr: Expr): void {
    switch (expr.kind) {
      case 'literal': expr.type = literalType(expr.value); break;
      case 'ident': this.#checkIdent(expr); break;
      case 'select': this.#checkSelect(expr); break;
      case 'call': this.#checkCall(expr); break;
      case 'list': this.#checkList(expr); break;
      case 'map': this.#checkMap(expr); break;
      case 'struct': this.#checkStruct(expr); break;
      case 'comprehension': this.#checkComprehension(expr); break;
      case 'broken': expr.type = errorType; break;
    }
  }

  /** Parameters that are still free become dyn. */
  settle(root: Expr): void {
    const pending: Expr[] = [root];
    for (let expr = pending.pop(); expr !== undefined; expr = pending.pop()) {
      expr.type = substitute(this.#bindings, expr.type ?? dyn, true);
      pending.push(...children(expr));
    }
  }

  /** A variable or the name of a type. */
  #lookUp(name: string): { type: Type; name: string; isType: boolean } | undefined {
    const plain = name.startsWith('.') ? name.slice(1) : name;
    for (let i = this.#scopes.length - 1; i >= 0; i--) {
      const type = this.#scopes[i]!.get(plain);
      if (type !== undefined) return { type, name: plain, isType: false };
    }
    const declared = this.#declared.get(plain);
    if (declared !== undefined) {
      this.reads.add(plain);
      return { type: declared, name: plain, isType: false };
    }
    const type = typeNames.get(plain) ?? this.#environment.constructible?.(plain);
    return type && { type: { kind: 'type', of: type }, name: plain, isType: true };
  }

  #undeclared(at: number, name: string): void {
    this.#reporter.add(at, `undeclared reference to '${name}' (in container '')`);
  }

  #checkIdent(expr: Extract<Expr, { kind: 'ident' }>): void {
    const found = this.#lookUp(expr.name);
    if (found === undefined) {
      expr.type = errorType;
      this.#undeclared(expr.at, expr.name);
      return;
    }
    expr.type = found.type;
    expr.name = found.name;
    expr.isType = found.isType;
  }

  #checkSelect(expr: Select): void {
    const name = qualifiedName(expr);
    const found = name === undefined ? undefined : this.#lookUp(name);
    if (found !== undefined) {
      // The whole chain is one name: the node becomes the variable.
      Object.assign(expr, { kind: 'ident', name: found.name, isType: found.isType, type: found.type });
      return;
    }
    const type = this.#fieldType(expr.at, expr.operand, expr.field, false);
    expr.type = expr.test ? bool : substitute(this.#bindings, type, false);
  }

  #fieldType(at: number, operand: Expr, field: string, optional: boolean): Type {
    this.check(operand);
    const operandType = substitute(this.#bindings, operand.type!, false);
    const isOptional = operandType.kind === 'optional';
    const target = isOptional ? operandType.of : operandType;
    let result: Type = errorType;
    switch (target.kind) {
      case 'map': result = target.value; break;
      case 'object': {
        // A keyword is a field's name too where only names of fields can stand.
        const found = target.fields(field) ?? (isReservedField(field) ? target.fields(`__${field}__`) : undefined);
        if (found === undefined) this.#reporter.add(at, `undefined field '${field}'`);
        result = found ?? errorType;
        break;
      }
      case 'param':
        this.#assign(dyn, target);
        result = dyn;
        break;
      default:
        if (target.kind === 'opaque' && !target.name.startsWith('net.')) {
          this.#reporter.add(at, `unexpected failed resolution of '${target.name}'`);
          break;
        }
        if (!isDynOrError(target)) this.#reporter.add(at, `type '${formatType(target)}' does not support field selection`);
        result = dyn;
    }
    return isOptional || optional ? optionalOf(result) : result;
  }

  #checkCall(expr: Call): void {
    if (expr.name === '_?._') {
      const [operand, field] = expr.args as [Expr, Extract<Expr, { kind: 'literal' }>];
      expr.type = substitute(this.#bindings, this.#fieldType(expr.at, operand, field.value as string, true), false);
      expr.overloads = ['select_optional_field'];
      field.type = { kind: 'string' };
      return;
    }
    for (const arg of expr.args) this.check(arg);
    if (expr.target === undefined) {
      const name = expr.name.startsWith('.') ? expr.name.slice(1) : expr.name;
      if (!this.#hasFunction(name)) {
        expr.type = errorType;
        this.#undeclared(expr.at, expr.name);
        return;
      }
      expr.name = name;
      this.#resolve(expr, undefined);
      return;
    }
    const prefix = qualifiedName(expr.target);
    const qualified = prefix === undefined ? undefined : `${prefix.startsWith('.') ? prefix.slice(1) : prefix}.${expr.name}`;
    if (qualified !== undefined && this.#hasFunction(qualified)) {
      expr.name = qualified;
      expr.target = undefined;
      this.#resolve(expr, undefined);
      return;
    }
    this.check(expr.target);
    if (this.#hasFunction(expr.name)) {
      this.#resolve(expr, expr.target);
      return;
    }
    expr.type = errorType;
    this.#undeclared(expr.at, expr.name);
  }

  #hasFunction(name: string): boolean {
    if (name.startsWith('jsonpatch.') && this.#environment.constructible === undefined) return false;
    return overloadsOf(name) !== undefined;
  }

  #resolve(expr: Call, target: Expr | undefined): void {
    const args = target === undefined ? expr.args : [target, ...expr.args];
    const types = args.map(arg => arg.type!);
    if (expr.name === '_&&_' || expr.name === '_||_') {
      this.#resolveLogic(expr, types);
      return;
    }
    const ids: string[] = [];
    let result: Type | undefined;
    for (const overload of overloadsOf(expr.name)!) {
      if (overload.member !== (target !== undefined)) continue;
      const fresh: Bindings = new Map();
      for (const name of paramNames([overload.result, ...overload.args])) fresh.set(name, this.#free());
      if (!this.#assignAll(types, overload.args.map(type => substitute(fresh, type, false)))) continue;
      ids.push(overload.id);
      const type = substitute(this.#bindings, substitute(fresh, overload.result, false), false);
      if (result === undefined) result = type;
      else if (!isDyn(result) && !isSameType(type, result)) result = dyn;
    }
    if (result === undefined) {
      const shown = types.map(type => formatType(substitute(this.#bindings, type, true)));
      const signature = target === undefined ? `(${shown.join(', ')})` : `${shown[0]!}.(${shown.slice(1).join(', ')})`;
      this.#reporter.add(expr.at, `found no matching overload for '${expr.name}' applied to '${signature}'`);
      expr.type = errorType;
      return;
    }
    expr.type = result;
    expr.overloads = ids;
  }

  #resolveLogic(expr: Call, types: readonly Type[]): void {
    expr.type = bool;
    expr.overloads = [expr.name === '_&&_' ? 'logical_and' : 'logical_or'];
    for (const [i, type] of types.entries()) {
      if (this.#assign(type, bool)) continue;
      this.#mismatch(expr.args[i]!.at, bool, type);
      expr.type = errorType;
    }
  }

  #checkList(expr: List): void {
    let element: Type | undefined;
    for (const [i, each] of expr.elements.entries()) {
      this.check(each);
      element = this.#join(element, expr.optional.has(i) ? this.#unwrap(each) : each.type!);
    }
    expr.type = listOf(element ?? this.#free());
  }

  #checkMap(expr: MapLiteral): void {
    let key: Type | undefined;
    let value: Type | undefined;
    for (const entry of expr.entries) {
      this.check(entry.key);
      key = this.#join(key, entry.key.type!);
      this.check(entry.value);
      value = this.#join(value, entry.optional ? this.#unwrap(entry.value) : entry.value.type!);
    }
    expr.type = mapOf(key ?? this.#free(), value ?? this.#free());
  }

  #unwrap(expr: Expr): Type {
    const type = expr.type!;
    if (type.kind === 'optional') return type.of;
    if (!isDyn(type)) this.#mismatch(expr.at, optionalOf(type), type);
    return type;
  }

  #checkStruct(expr: Struct): void {
    const found = this.#lookUp(expr.name);
    if (found === undefined) {
      this.#undeclared(expr.at, expr.name);
      expr.type = errorType;
      return;
    }
    const of = found.type.kind === 'type' ? found.type.of : undefined;
    expr.name = found.name;
    expr.type = of ?? errorType;
    if (found.type.kind !== 'type') this.#reporter.add(expr.at, `'${formatType(found.type)}' is not a type`);
    else if (of === undefined || (of.kind !== 'object' && of.kind !== 'dyn')) {
      this.#reporter.add(expr.at, `'${formatType(of ?? found.type)}' is not a message type`);
      expr.type = errorType;
    }
    for (const field of expr.fields) {
      this.check(field.value);
      const wanted = of?.kind === 'object' ? of.fields(field.name) : undefined;
      if (wanted === undefined && of !== undefined) this.#reporter.add(field.at, missingField(of, field));
      const given = field.optional ? this.#unwrap(field.value) : field.value.type!;
      if (!this.#assign(wanted ?? errorType, given)) {
        this.#reporter.add(field.at,
          `expected type of field '${field.name}' is '${formatType(wanted ?? errorType)}' but provided type is '${formatType(given)}'`);
      }
    }
  }

  #checkComprehension(expr: Comprehension): void {
    this.check(expr.range);
    this.check(expr.init);
    const range = substitute(this.#bindings, expr.range.type!, false);
    const accumulator = expr.init.type!;
    this.#scopes.push(new Map([[expr.accumulator, accumulator]]));
    let first: Type;
    let second: Type;
    switch (range.kind) {
      case 'list':
        first = expr.variable2 === '' ? range.element : int;
        second = range.element;
        break;
      case 'map':
        first = range.key;
        second = range.value;
        break;
      case 'dyn': case 'error': case 'param':
        this.#assign(dyn, range);
        first = second = dyn;
        break;
      default:
        this.#reporter.add(expr.range.at, `expression of type '${formatType(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`);
        first = second = errorType;
    }
    const scope = new Map([[expr.variable, first]]);
    if (expr.variable2 !== '') scope.set(expr.variable2, second);
    this.#scopes.push(scope);
    this.check(expr.condition);
    this.#assert(expr.condition, bool);
    this.check(expr.step);
    this.#assert(expr.step, accumulator);
    this.#scopes.pop();
    this.check(expr.result);
    this.#scopes.pop();
    expr.type = substitute(this.#bindings, expr.result.type!, false);
  }

  #assert(expr: Expr, type: Type): void {
    if (!this.#assign(type, expr.type!)) this.#mismatch(expr.at, type, expr.type!);
  }

  #join(previous: Type | undefined, current: Type): Type {
    if (previous === undefined) return current;
    if (this.#assign(previous, current)) return mostGeneral(previous, current);
    // Mixed literals are refused later, once it is known what they are for.
    return dyn;
  }

  #mismatch(at: number, expected: Type, actual: Type): void {
    this.#reporter.add(at, `expected type '${formatType(expected)}' but found '${formatType(actual)}'`);
  }

  #assign(from: Type, to: Type): boolean { return this.#assignAll([from], [to]); }

  #assignAll(from: readonly Type[], to: readonly Type[]): boolean {
    const bindings = assign(this.#bindings, from, to);
    if (bindings === undefined) return false;
    this.#bindings = bindings;
    return true;
  }

  #free(): Type { return param(`_var${this.#freeCount++}`); }
}

/** Of a patch upstream finds every field, some without a type. */
function missingField(type: Type, field: Field): string {
  if (type.kind !== 'object') return `unexpected failed resolution of '${typeName(type)}'`;
  if (type.name !== 'JSONPatch') return `undefined field '${field.name}'`;
  return `expected type of field '${field.name}' is '' but provided type is '${formatType(field.value.type!)}'`;
}

function paramNames(types: readonly Type[], into = new Set<string>()): Set<string> {
  for (const type of types) {
    if (type.kind === 'param') into.add(type.name);
    paramNames(parameters(type), into);
  }
  return into;
}

function literalType(value: unknown): Type {
  switch (typeof value) {
    case 'boolean': return bool;
    case 'bigint': return int;
    case 'number': return { kind: 'double' };
    case 'string': return { kind: 'string' };
    default: return value === null ? { kind: 'null' } : value instanceof Uint8Array ? { kind: 'bytes' } : { kind: 'uint' };
  }
}
