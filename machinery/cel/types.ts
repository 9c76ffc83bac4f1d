// Static types inside the checker: those of the package and parameters that stand for any type until they are bound.

import type { CelType } from './cel.ts';

export type Type = CelType;

export const dyn: Type = { kind: 'dyn' };
export const errorType: Type = { kind: 'error' };
export const bool: Type = { kind: 'bool' };
export const int: Type = { kind: 'int' };
export const string: Type = { kind: 'string' };

export function listOf(element: Type): Type { return { kind: 'list', element }; }
export function mapOf(key: Type, value: Type): Type { return { kind: 'map', key, value }; }
export function optionalOf(of: Type): Type { return { kind: 'optional', of }; }

/** Names of what values are at run time: type(x), and messages of failed calls. */
export function typeName(type: Type): string {
  switch (type.kind) {
    case 'any': return 'google.protobuf.Any';
    case 'null': return 'null_type';
    case 'timestamp': return 'google.protobuf.Timestamp';
    case 'duration': return 'google.protobuf.Duration';
    case 'optional': return 'optional_type';
    case 'object': case 'opaque': case 'param': return type.name;
    default: return type.kind;
  }
}

/** As messages of the checker name types. */
export function formatType(type: Type): string {
  switch (type.kind) {
    case 'error': return '!error!';
    case 'null': return 'null';
    case 'any': case 'timestamp': case 'duration': return type.kind;
    default: {
      const inner = parameters(type);
      return inner.length === 0 ? typeName(type) : `${typeName(type)}(${inner.map(formatType).join(', ')})`;
    }
  }
}

export function parameters(type: Type): readonly Type[] {
  switch (type.kind) {
    case 'list': return [type.element];
    case 'map': return [type.key, type.value];
    case 'optional': return [type.of];
    case 'type': return type.of === undefined ? [] : [type.of];
    default: return [];
  }
}

/** The same type with other parameters. */
export function withParameters(type: Type, inner: readonly Type[]): Type {
  switch (type.kind) {
    case 'list': return { ...type, element: inner[0]! };
    case 'map': return { ...type, key: inner[0]!, value: inner[1]! };
    case 'optional': return { kind: 'optional', of: inner[0]! };
    case 'type': return inner.length === 0 ? type : { kind: 'type', of: inner[0]! };
    default: return type;
  }
}

export function isSameType(a: Type, b: Type, namesMatter = true): boolean {
  if (a === b) return true;
  if (a.kind !== b.kind) return false;
  if ((namesMatter || a.kind !== 'param') && typeName(a) !== typeName(b)) return false;
  const inner = parameters(b);
  return parameters(a).length === inner.length && parameters(a).every((type, i) => isSameType(type, inner[i]!, namesMatter));
}

export function isDyn(type: Type): boolean { return type.kind === 'dyn' || type.kind === 'any'; }
export function isDynOrError(type: Type): boolean { return isDyn(type) || type.kind === 'error'; }

/** What the parameters are bound to. */
export type Bindings = Map<string, Type>;

export function substitute(bindings: Bindings, type: Type, freeToDyn: boolean): Type {
  if (type.kind === 'param') {
    const bound = bindings.get(type.name);
    if (bound !== undefined) return substitute(bindings, bound, freeToDyn);
    return freeToDyn ? dyn : type;
  }
  const inner = parameters(type);
  return inner.length === 0 ? type : withParameters(type, inner.map(each => substitute(bindings, each, freeToDyn)));
}

/** Binds parameters as needed; undefined and nothing bound when a value of `from` does not fit where `to` is wanted. */
export function assign(bindings: Bindings, from: readonly Type[], to: readonly Type[]): Bindings | undefined {
  const copy = new Map(bindings);
  return areAssignable(copy, from, to) ? copy : undefined;
}

function areAssignable(bindings: Bindings, from: readonly Type[], to: readonly Type[]): boolean {
  return from.length === to.length && from.every((type, i) => isAssignable(bindings, type, to[i]!));
}

function isAssignable(bindings: Bindings, a: Type, b: Type): boolean {
  if (b.kind === 'param') {
    const { valid, bound } = bind(bindings, a, b);
    if (valid) return true;
    if (bound) return false;
  }
  if (a.kind === 'param') return bind(bindings, b, a).valid;
  if (isDynOrError(a) || isDynOrError(b)) return true;
  if (a.kind === 'null') return isNullable(b);
  if (b.kind === 'null') return isNullable(a);
  if (a.kind === 'type') return b.kind === 'type';
  return a.kind === b.kind && typeName(a) === typeName(b) && areAssignable(bindings, parameters(a), parameters(b));
}

function isNullable(type: Type): boolean {
  return ['null', 'opaque', 'optional', 'object', 'duration', 'timestamp'].includes(type.kind);
}

function bind(bindings: Bindings, type: Type, param: Extract<Type, { kind: 'param' }>): { valid: boolean; bound: boolean } {
  if (type.kind === 'param' && type.name === param.name) return { valid: true, bound: true };
  const current = bindings.get(param.name);
  if (current !== undefined) {
    if (isSameType(type, current)) return { valid: true, bound: true };
    if (!isAssignable(bindings, type, current)) return { valid: false, bound: true };
    const general = mostGeneral(type, current);
    if (!occurs(bindings, param, general)) bindings.set(param.name, general);
    return { valid: true, bound: true };
  }
  if (occurs(bindings, param, type)) return { valid: false, bound: false };
  bindings.set(param.name, type);
  return { valid: true, bound: false };
}

function occurs(bindings: Bindings, param: Extract<Type, { kind: 'param' }>, within: Type): boolean {
  if (within.kind !== 'param') return parameters(within).some(type => occurs(bindings, param, type));
  if (within.name === param.name) return true;
  const bound = bindings.get(within.name);
  return bound !== undefined && occurs(bindings, param, bound);
}

export function mostGeneral(a: Type, b: Type): Type {
  return isEqualOrLessSpecific(a, b) ? a : b;
}

function isEqualOrLessSpecific(a: Type, b: Type): boolean {
  if (isDyn(a) || a.kind === 'param') return true;
  if (isDyn(b) || b.kind === 'param' || a.kind !== b.kind) return false;
  if (a.kind === 'type') return true;
  const inner = parameters(b);
  return typeName(a) === typeName(b) && parameters(a).every((type, i) => isEqualOrLessSpecific(type, inner[i]!));
}
