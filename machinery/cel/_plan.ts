// Checked tree to closures. What each step costs is the reference implementation's price list, quirks included: a chain of selections
// is one read, a branch of ?: that is a chain is read for less, constant parts are computed once and are free.

import { accumulatorName } from './ast.ts';
import type { Call, Comprehension, Expr, List, MapLiteral, Struct } from './ast.ts';
import { callCost, listCost, mapCost, structCost } from './_call-cost.ts';
import { addSelection, computedSelection, goType, keySelection, PlanError, presence, resolve, spend } from './_chain.ts';
import type { Chain, State, Step } from './_chain.ts';
import { lookUpFunction } from './registry.ts';
import { compilePattern } from './functions/regex.ts';
import { equal } from './operations.ts';
import { typeName } from './types.ts';
import type { Type } from './types.ts';
import {
  CelList, CelMap, displayValue, Failure, fromJson, GrowingList, GrowingMap, noSuchOverload, ObjectValue, Optional, TypeValue, Uint, ValueList, ValueMap,
} from './values.ts';
import type { Value } from './values.ts';

export interface Plan {
  readonly step: Step;
  readonly slotCount: number;
}

export function plan(expr: Expr, types: ReadonlyMap<string, Type>): Plan {
  const planner = new Planner(types);
  const planned = planner.plan(expr);
  return { step: planned.step, slotCount: planner.slotCount };
}

interface Planned {
  readonly step: Step;
  /** Known before anything runs. */
  readonly constant?: Value;
  /** A chain of selections that more can be added to. */
  readonly chain?: Chain;
}

function constant(value: Value): Planned {
  return { step: () => value, constant: value };
}

class Planner {
  slotCount = 0;
  readonly #types: ReadonlyMap<string, Type>;
  readonly #scopes: Map<string, (state: State) => Value>[] = [];

  constructor(types: ReadonlyMap<string, Type>) {
    this.#types = types;
  }

  plan(expr: Expr): Planned {
    switch (expr.kind) {
      case 'literal': return constant(expr.value);
      case 'ident': return this.#ident(expr);
      case 'select': return this.#select(expr);
      case 'call': return this.#call(expr);
      case 'list': return this.#list(expr);
      case 'map': return this.#map(expr);
      case 'struct': return this.#struct(expr);
      case 'comprehension': return this.#comprehension(expr);
      case 'broken': throw new Error('a broken tree cannot be planned');
    }
  }

  #ident(expr: Extract<Expr, { kind: 'ident' }>): Planned {
    if (expr.isType === true) return constant(new TypeValue(expr.type?.kind === 'type' && expr.type.of !== undefined ? typeName(expr.type.of) : 'type'));
    for (let i = this.#scopes.length - 1; i >= 0; i--) {
      const local = this.#scopes[i]!.get(expr.name);
      if (local !== undefined) return fromChain({ root: local, selections: [] });
    }
    const { name } = expr;
    const type = this.#types.get(name);
    return fromChain({
      root: state => Object.hasOwn(state.variables, name) ? fromJson(state.variables[name], type) : new Failure(`no such attribute(s): ${name}`),
      selections: [],
    });
  }

  #select(expr: Extract<Expr, { kind: 'select' }>): Planned {
    const chain = this.#chainOf(this.plan(expr.operand));
    const selection = keySelection(expr.field, expr.test ? 'test' : false, expr.operand.type);
    addSelection(chain, selection);
    if (!expr.test) return fromChain(chain);
    return { step: state => presence(resolve(chain, state), state, chain), chain };
  }

  #chainOf(operand: Planned): Chain {
    return operand.chain ?? { root: operand.step, selections: [] };
  }

  #index(expr: Call, optional: boolean): Planned {
    const operand = this.plan(expr.args[0]!);
    const index = this.plan(expr.args[1]!);
    const chain = this.#chainOf(operand);
    if (index.constant !== undefined) addSelection(chain, keySelection(index.constant, optional, expr.args[0]!.type));
    else if (index.chain !== undefined) addSelection(chain, computedSelection(state => resolve(index.chain!, state), optional));
    else addSelection(chain, computedSelection(index.step, optional));
    return fromChain(chain);
  }

  #call(expr: Call): Planned {
    switch (expr.name) {
      case '_&&_': return this.#logic(expr, false);
      case '_||_': return this.#logic(expr, true);
      case '_?_:_': return this.#conditional(expr);
      case '_==_': return this.#equality(expr, true);
      case '_!=_': return this.#equality(expr, false);
      case '_[_]': return this.#index(expr, false);
      case '_[?_]': case '_?._': return this.#index(expr, true);
      case 'or': case 'orValue': return this.#optionalOr(expr);
      default: return this.#function(expr);
    }
  }

  #logic(expr: Call, decisive: boolean): Planned {
    const steps = expr.args.map(arg => this.plan(arg).step);
    return {
      step: state => {
        let failure: Value | undefined;
        for (const step of steps) {
          const value = step(state);
          if (value === decisive) return decisive;
          if (value !== !decisive) failure ??= value instanceof Failure ? value : noSuchOverload;
        }
        return failure ?? !decisive;
      },
    };
  }

  #conditional(expr: Call): Planned {
    const [condition, yes, no] = expr.args.map(arg => this.plan(arg));
    return fromChain({ root: () => null, branches: [condition!.step, this.#chainOf(yes!), this.#chainOf(no!)], selections: [] });
  }

  #equality(expr: Call, wanted: boolean): Planned {
    const [left, right] = expr.args.map(arg => this.plan(arg).step);
    const overload = wanted ? 'equals' : 'not_equals';
    return {
      step: state => {
        const a = left!(state);
        const b = right!(state);
        let result: Value;
        if (a instanceof Failure) result = a;
        else if (b instanceof Failure) result = b;
        else {
          const same = equal(a, b);
          result = wanted ? same : same !== true;
        }
        spend(state, callCost(expr.name, overload, [a, b], result));
        return result;
      },
    };
  }

  #optionalOr(expr: Call): Planned {
    const left = this.plan(expr.target!).step;
    const right = this.plan(expr.args[0]!).step;
    const unwrap = expr.name === 'orValue';
    return {
      step: state => {
        const value = left(state);
        if (!(value instanceof Optional)) return value;
        if (value.value === undefined) return right(state);
        return unwrap ? value.value : value;
      },
    };
  }

  #function(expr: Call): Planned {
    const args = (expr.target === undefined ? expr.args : [expr.target, ...expr.args]).map(arg => this.plan(arg));
    const overload = expr.overloads!.length === 1 ? expr.overloads![0]! : '';
    const { name } = expr;
    let { call, nonStrict } = lookUpFunction(name, overload, expr.target !== undefined);
    if (overload === 'in_list') {
      const list = args[1]!.constant;
      if (list instanceof CelList && list.size === 0) return constant(false);
      const set = list instanceof CelList ? membership(list) : undefined;
      if (set !== undefined) return { step: state => memberStep(args[0]!.step(state), set) };
    }
    if (foldable.has(name) && args.length === 1 && args[0]!.constant !== undefined) {
      const value = call([args[0]!.constant]);
      if (value instanceof Failure) throw new PlanError(value.message);
      return constant(value);
    }
    const pattern = patternFunctions.has(name) ? args[1]?.constant : undefined;
    if (typeof pattern === 'string') {
      const compiled = compilePattern(pattern);
      if (compiled instanceof Failure) throw new PlanError(compiled.message);
    }
    const steps = args.map(arg => arg.step);
    // Calls of one or two arguments evaluate them all before they look at failures; longer ones stop at the first.
    const eager = args.length <= 2;
    return {
      step: state => {
        const values: Value[] = [];
        let failure: Failure | undefined;
        for (const step of steps) {
          const value = step(state);
          values.push(value);
          if (value instanceof Failure && !nonStrict) {
            failure ??= value;
            if (!eager) break;
          }
        }
        if (failure !== undefined) {
          if (values.length === steps.length) spend(state, callCost(name, overload, values, failure));
          return failure;
        }
        const ahead = costAhead(name, overload, values);
        if (state.cost + ahead > state.limit) spend(state, ahead);
        const result = call(values);
        spend(state, callCost(name, overload, values, result));
        return result;
      },
    };
  }

  #list(expr: List): Planned {
    const elements = expr.elements.map(element => this.plan(element));
    const build: Step = state => {
      const values: Value[] = [];
      for (const [i, element] of elements.entries()) {
        const value = element.step(state);
        if (value instanceof Failure) return value;
        if (!expr.optional.has(i)) {
          values.push(value);
        } else if (!(value instanceof Optional)) {
          return new Failure(`cannot initialize optional list element from non-optional value ${displayValue(value)}`);
        } else if (value.value !== undefined) {
          values.push(value.value);
        }
      }
      return new ValueList(values);
    };
    return construct(build, elements, listCost);
  }

  #map(expr: MapLiteral): Planned {
    const entries = expr.entries.map(entry => ({ key: this.plan(entry.key), value: this.plan(entry.value), optional: entry.optional }));
    const build: Step = state => {
      const map = new ValueMap();
      for (const entry of entries) {
        const key = entry.key.step(state);
        if (key instanceof Failure) return key;
        let value = entry.value.step(state);
        if (value instanceof Failure) return value;
        if (entry.optional) {
          if (!(value instanceof Optional)) {
            return new Failure(`cannot initialize optional entry '${displayValue(key)}' from non-optional value ${displayValue(value)}`);
          }
          if (value.value === undefined) {
            map.delete(key);
            continue;
          }
          value = value.value;
        }
        map.set(key, value);
      }
      return map;
    };
    return construct(build, entries.flatMap(entry => [entry.key, entry.value]), mapCost);
  }

  #struct(expr: Struct): Planned {
    const fields = expr.fields.map(field => ({ name: field.name, value: this.plan(field.value).step, optional: field.optional }));
    const build: Step = state => {
      const values = new Map<string, Value>();
      for (const field of fields) {
        const value = field.value(state);
        if (value instanceof Failure) return value;
        if (!field.optional) {
          values.set(field.name, value);
        } else if (!(value instanceof Optional)) {
          return new Failure(`cannot initialize optional entry '${field.name}' from non-optional value ${displayValue(value)}`);
        } else if (value.value === undefined) {
          values.delete(field.name);
        } else {
          values.set(field.name, value.value);
        }
      }
      return new ObjectValue(expr.name, values);
    };
    return {
      step: state => {
        const value = build(state);
        spend(state, structCost);
        return value;
      },
    };
  }

  #comprehension(expr: Comprehension): Planned {
    const init = this.plan(expr.init).step;
    const range = this.plan(expr.range).step;
    const [accumulatorSlot, slot, slot2] = [this.slotCount++, this.slotCount++, this.slotCount++];
    // The first value is computed when first asked for: a name that is not used costs nothing.
    const accumulate = (state: State): Value => {
      let value = state.slots[accumulatorSlot];
      if (value === undefined) {
        value = init(state);
        if (expr.accumulator === accumulatorName) value = growing(value);
        state.slots[accumulatorSlot] = value;
      }
      return value;
    };
    const outer = new Map([[expr.accumulator, accumulate]]);
    const inner = new Map([[expr.variable, (state: State) => state.slots[slot]!]]);
    if (expr.variable2 !== '') inner.set(expr.variable2, state => state.slots[slot2]!);
    this.#scopes.push(outer, inner);
    const condition = this.plan(expr.condition).step;
    const step = this.plan(expr.step).step;
    this.#scopes.pop();
    const result = this.plan(expr.result).step;
    this.#scopes.pop();

    const finish = (state: State): Value => {
      const value = result(state);
      if (value instanceof GrowingList) return new ValueList(value.values);
      return value;
    };
    const turn = (state: State, first: Value, second: Value | undefined): boolean => {
      state.slots[slot] = first;
      if (second !== undefined) state.slots[slot2] = second;
      if (condition(state) === false) return false;
      state.slots[accumulatorSlot] = step(state);
      return true;
    };
    const two = expr.variable2 !== '';
    return {
      step: state => {
        state.slots[accumulatorSlot] = undefined;
        const over = range(state);
        if (over instanceof Failure) return over;
        if (over instanceof CelList) {
          for (let i = 0; i < over.size; i++) {
            const value = over.get(i);
            if (!(two ? turn(state, BigInt(i), value) : turn(state, value, undefined))) break;
          }
        } else if (over instanceof CelMap) {
          for (const key of over.keys()) {
            if (!turn(state, key, two ? over.find(key) ?? null : undefined)) break;
          }
        } else {
          return new Failure(two ? `unsupported comprehension range type: ${goType(over)}` : `got '${goType(over)}', expected iterable type`);
        }
        return finish(state);
      },
    };
  }
}

/** Lists and maps that macros fill are filled in place, or their cost would grow with the square of their size. */
function growing(value: Value): Value {
  if (value instanceof CelList && value.size === 0) return new GrowingList();
  return value instanceof CelMap && value.size === 0 ? new GrowingMap() : value;
}

function construct(build: Step, parts: readonly Planned[], cost: number): Planned {
  if (parts.every(part => part.constant !== undefined)) {
    const value = build({ variables: {}, slots: [], cost: 0, limit: Infinity });
    return constant(value);
  }
  return {
    step: state => {
      const value = build(state);
      spend(state, cost);
      return value;
    },
  };
}

/** What may take long by its arguments alone is priced, and refused, before it is done. */
function costAhead(name: string, overload: string, args: readonly Value[]): number {
  if (name === 'lists.range' && typeof args[0] === 'bigint') return Number(args[0]);
  const isQuadratic = name === 'distinct' || name === 'sort' || name === '@sortByAssociatedKeys' || name.startsWith('sets.');
  return isQuadratic && args[0] instanceof CelList ? callCost(name, overload, args, null) : 0;
}

// Conversions of constants are done while planning; patterns are compiled then.
const foldable = new Set(['bool', 'bytes', 'double', 'dyn', 'duration', 'int', 'string', 'timestamp', 'type', 'uint']);
const patternFunctions = new Set(['matches', 'find', 'findAll']);

type Members = ReadonlySet<string>;

/** A constant list of plain values, as a set. */
function membership(list: CelList): Members | undefined {
  const members = new Set<string>();
  for (const value of list) {
    const key = memberKey(value);
    if (key === undefined) return undefined;
    members.add(key);
  }
  return members;
}

function memberKey(value: Value): string | undefined {
  switch (typeof value) {
    case 'string': return `s${value}`;
    case 'boolean': return `b${value}`;
    case 'bigint': return `n${value}`;
    case 'number': return Number.isInteger(value) ? `n${BigInt(value)}` : `d${value}`;
    default: return value instanceof Uint ? `n${value.value}` : undefined;
  }
}

function memberStep(value: Value, members: Members): Value {
  if (value instanceof Failure) return value;
  const key = memberKey(value);
  return key !== undefined && key !== 'dNaN' && members.has(key);
}

function fromChain(chain: Chain): Planned {
  return {
    chain,
    step: state => {
      const value = resolve(chain, state);
      if (chain.branches === undefined) spend(state, 1);
      return value;
    },
  };
}
