// From a function's name and overload to what runs. Arguments that only turn out to be of the wrong type while an expression runs
// are refused here.

import { overloadsOf } from './_declarations.ts';
import type { Overload } from './_declarations.ts';
import { typeName } from './types.ts';
import type { Type } from './types.ts';
import { authorizerFunctions } from './functions/authorizer.ts';
import { formatFunctions } from './functions/named-formats.ts';
import { ipFunctions } from './functions/ip.ts';
import { listFunctions } from './functions/lists.ts';
import { quantityFunctions } from './functions/quantity.ts';
import { regexFunctions } from './functions/regex.ts';
import { semverFunctions } from './functions/semver.ts';
import { standardFunctions } from './functions/standard.ts';
import { stringFunctions } from './functions/strings.ts';
import { timeFunctions } from './functions/time.ts';
import { urlFunctions } from './functions/urls.ts';
import { CelList, CelMap, Failure, noSuchOverload, typeNameOf } from './values.ts';
import type { Value } from './values.ts';

export type Implementation = (args: readonly Value[]) => Value;

/** By overload's id, or by the function's name where one implementation serves all overloads and looks at its arguments itself. */
export type Implementations = Readonly<Record<string, Implementation>>;

const implementations: Implementations = {
  ...standardFunctions, ...timeFunctions, ...stringFunctions, ...listFunctions, ...regexFunctions, ...urlFunctions, ...ipFunctions,
  ...quantityFunctions, ...formatFunctions, ...semverFunctions, ...authorizerFunctions,
};

/** These look at their arguments themselves: all overloads of the name are one. */
const singletons = new Set(['!_', '-_', '_+_', '_-_', '_*_', '_/_', '_%_', '_<_', '_<=_', '_>_', '_>=_', '@in', 'size', 'type', 'dyn', 'matches',
  'sort', '@sortByAssociatedKeys', 'contains', 'startsWith', 'endsWith', '@not_strictly_false']);

/** Their overloads differ in the number of arguments only. */
const unguarded = new Set(['flatten']);

/** `overload` is empty when only the arguments decide which it is. */
export function lookUpFunction(name: string, overload: string, member: boolean): { call: Implementation; nonStrict: boolean } {
  if (singletons.has(name)) return { call: implementationOf(name), nonStrict: name === '@not_strictly_false' };
  const overloads = overloadsOf(name)!.filter(each => overload === '' ? each.member === member : each.id === overload);
  const [only] = overloads;
  const guarded = !unguarded.has(name);
  const call: Implementation = args => {
    const match = overloads.length === 1 ? (accepts(only!, args, guarded) ? only : undefined) : overloads.find(each => accepts(each, args, guarded));
    if (match !== undefined) return implementationOf(match.id)(args);
    return args.length === 0 ? noSuchOverload : new Failure(`no such overload: ${name}(${args.map(typeNameOf).join(', ')})`);
  };
  for (const each of overloads) implementationOf(each.id);
  return { call, nonStrict: false };
}

function implementationOf(id: string): Implementation {
  if (!Object.hasOwn(implementations, id)) throw new Error(`the function ${id} is declared and not implemented`);
  return implementations[id]!;
}

/** For a test: every declared overload has an implementation. */
export function hasImplementation(name: string, id: string): boolean {
  return Object.hasOwn(implementations, singletons.has(name) ? name : id);
}

function accepts(overload: Overload, args: readonly Value[], guarded: boolean): boolean {
  if (overload.args.length !== args.length) return false;
  return !guarded || overload.args.every((type, i) => isOfType(args[i]!, type));
}

/** Lists and maps are judged by their first element. */
function isOfType(value: Value, type: Type): boolean {
  if (type.kind === 'dyn' || type.kind === 'any' || type.kind === 'param') return true;
  if (typeName(type) !== typeNameOf(value)) return false;
  if (type.kind === 'list' && value instanceof CelList) return value.size === 0 || isOfType(value.get(0), type.element);
  if (type.kind === 'map' && value instanceof CelMap) {
    for (const key of value.keys()) return isOfType(key, type.key) && isOfType(value.find(key) ?? null, type.value);
  }
  return true;
}
