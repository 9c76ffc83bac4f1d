// Chains of selections: what an expression reads of a value, step by step, and what each step costs.

import { CelError } from './cel.ts';
import type { Type } from './types.ts';
import { CelList, CelMap, displayValue, Failure, none, noSuchOverload, ObjectValue, Optional, typeNameOf, Uint } from './values.ts';
import type { Value } from './values.ts';

/** One evaluation. */
export interface State {
  readonly variables: Readonly<Record<string, unknown>>;
  /** Variables of comprehensions. */
  readonly slots: (Value | undefined)[];
  cost: number;
  readonly limit: number;
}

export type Step = (state: State) => Value;

/** A constant part fails: the program cannot be made. */
export class PlanError extends Error {}

const costExceeded = 'operation cancelled: actual cost limit exceeded';

export function spend(state: State, cost: number): void {
  state.cost += cost;
  if (state.cost > state.limit) throw new CelError(costExceeded, 'budget');
}

/** What selections start at, and the selections. */
export interface Chain {
  readonly root: (state: State) => Value;
  readonly branches?: readonly [Step, Chain, Chain];
  readonly selections: Selection[];
}

interface Selection {
  readonly optional: boolean;
  /** Absent when presence was asked for and there is none. */
  apply(state: State, object: Value, ask: 'value' | 'optional' | 'presence'): Value | typeof absent;
}

const absent = Symbol('absent');

export function addSelection(chain: Chain, selection: Selection): void {
  if (chain.branches === undefined) {
    chain.selections.push(selection);
    return;
  }
  addSelection(chain.branches[1], selection);
  addSelection(chain.branches[2], selection);
}

export function resolve(chain: Chain, state: State): Value {
  if (chain.branches !== undefined) {
    const [condition, yes, no] = chain.branches;
    const value = condition(state);
    if (value === true) return resolve(yes, state);
    if (value === false) return resolve(no, state);
    return value instanceof Failure ? value : noSuchOverload;
  }
  let object = chain.root(state);
  if (object instanceof Failure || chain.selections.length === 0) return object;
  let optional = object instanceof Optional;
  if (object instanceof Optional) {
    if (object.value === undefined) return object;
    object = object.value;
  }
  for (const selection of chain.selections) {
    optional ||= selection.optional;
    const value = selection.apply(state, object, optional ? 'optional' : 'value');
    if (value === absent) return none;
    if (value instanceof Failure) return value;
    object = value;
  }
  return optional ? new Optional(object) : object;
}

/** has(): the chain's last selection answers whether it is there. Its own price is taken off again. */
export function presence(value: Value, state: State, chain: Chain): Value {
  if (chain.branches !== undefined) state.cost -= 1;
  return value instanceof Optional ? value.value !== undefined : value;
}

export function keySelection(key: Value, kind: boolean | 'test', type: Type | undefined): Selection {
  if (!isKey(key)) throw new PlanError(`invalid qualifier type: ${goType(key)}`);
  // Fields of a constructed object that were not given are null.
  const ofObject = type?.kind === 'object';
  return {
    optional: kind === true,
    apply(state, object, ask) {
      const mode = kind === 'test' ? 'presence' : ask;
      const value = qualify(object, key, mode, ofObject);
      if (ask !== 'optional' || (value !== absent && !(value instanceof Failure))) spend(state, 1);
      if (kind !== 'test' || value instanceof Failure) return value;
      if (ask === 'optional') return value === absent ? absent : null;
      return value !== absent;
    },
  };
}

export function computedSelection(index: Step, optional: boolean): Selection {
  return {
    optional,
    apply(state, object, ask) {
      const key = index(state);
      const value = key instanceof Failure ? key : isKey(key) ? qualify(object, key, ask, false) : new Failure(`invalid qualifier type: ${goType(key)}`);
      if (ask !== 'optional' || (value !== absent && !(value instanceof Failure))) spend(state, 1);
      return value;
    },
  };
}

function isKey(key: Value): boolean {
  return typeof key === 'string' || typeof key === 'bigint' || typeof key === 'number' || typeof key === 'boolean' || key instanceof Uint;
}

function qualify(object: Value, key: Value, ask: 'value' | 'optional' | 'presence', ofObject: boolean): Value | typeof absent {
  if (object instanceof CelMap) {
    const found = object.find(key);
    if (found !== undefined) return found;
    return ask === 'value' ? noSuchKey(key) : absent;
  }
  if (object instanceof CelList) {
    const index = toIndex(key);
    if (index instanceof Failure) return index;
    if (index >= 0 && index < object.size) return object.get(index);
    return ask === 'value' ? new Failure(`index out of bounds: ${displayValue(key)}`) : absent;
  }
  if (object instanceof ObjectValue && typeof key === 'string') return fieldOf(object, key, ask, ofObject);
  if (object instanceof Failure) return object;
  return ask === 'value' ? noSuchKey(key) : absent;
}

function fieldOf(object: ObjectValue, key: string, ask: 'value' | 'optional' | 'presence', ofObject: boolean): Value | typeof absent {
  const found = object.fields.get(key);
  if (found !== undefined) return found;
  if (ask !== 'value') return absent;
  if (object.typeName === 'JSONPatch' && key !== 'value') return '';
  return ofObject ? null : noSuchKey(key);
}

function noSuchKey(key: Value): Failure {
  return new Failure(`no such key: ${displayValue(key)}`);
}

function toIndex(key: Value): number | Failure {
  if (typeof key === 'bigint') return Number(key);
  if (typeof key === 'number') return Number.isInteger(key) ? key : new Failure(`unsupported index value ${displayValue(key)} in list`);
  if (key instanceof Uint) return Number(key.value);
  return new Failure(`unsupported index type '${typeNameOf(key)}' in list`);
}

/** How messages of the reference implementation name a value's kind. */
export function goType(value: Value): string {
  switch (typeNameOf(value)) {
    case 'int': return 'types.Int';
    case 'uint': return 'types.Uint';
    case 'double': return 'types.Double';
    case 'bool': return 'types.Bool';
    case 'string': return 'types.String';
    case 'bytes': return 'types.Bytes';
    case 'null_type': return 'types.Null';
    case 'google.protobuf.Timestamp': return 'types.Timestamp';
    case 'google.protobuf.Duration': return 'types.Duration';
    case 'optional_type': return '*types.Optional';
    case 'type': return '*types.Type';
    case 'list': return '*types.baseList';
    case 'map': return '*types.baseMap';
    case 'JSONPatch': return '*mutation.JSONPatchVal';
    default: return value instanceof ObjectValue ? '*dynamic.ObjectVal' : typeNameOf(value).replace(/^(kubernetes|net)\./, 'cel.');
  }
}
