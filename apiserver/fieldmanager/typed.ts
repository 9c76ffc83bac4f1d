// Walks over values with their atoms: which paths a value has, what differs between two, what merging and removing gives.
// Upstream: structured-merge-diff's typed package.
import { deduce, isMap, memberOf } from './atom.ts';
import type { Atom, JsonMap, ListAtom, MapAtom } from './atom.ts';
import { asMember, isEmpty, isMember, noFields, ordered } from './fields.ts';
import type { Fields, Growing } from './fields.ts';
import { compareText, keyElement, printElement, valueElement } from './path-element.ts';

/** A value that does not fit its atom, or that cannot be tracked. */
export class TypedError extends Error {
  override name = 'TypedError';
}

/** For values that come from JSON or go there (undefined is absent): several times faster than Node's own comparison. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, at) => sameJson(item, b[at]));
  if (Array.isArray(b)) return false;
  const [left, right] = [a as JsonMap, b as JsonMap];
  let count = 0;
  for (const name in left) {
    if (!sameJson(left[name], right[name])) return false;
    if (left[name] !== undefined) count += 1;
  }
  for (const name in right) if (right[name] !== undefined) count -= 1;
  return count === 0;
}

// ---- items of lists

/** The path element of an item. Throws TypedError for items that cannot be told apart. */
export function itemElement(list: ListAtom, item: unknown): string {
  if (list.keys.length === 0) {
    if (isMap(item)) throw new TypedError("associative list without keys has an element that's a map type");
    if (Array.isArray(item)) throw new TypedError('not supported: associative list with lists as elements');
    if (item === null || item === undefined) throw new TypedError("associative list without keys has an element that's an explicit null");
    return valueElement(item);
  }
  if (item === null || item === undefined) throw new TypedError('associative list with keys may not have a null element');
  if (!isMap(item)) throw new TypedError('associative list with keys may not have non-map elements');
  const [only] = list.keys;
  if (list.keys.length === 1 && only !== undefined) {
    const value = item[only] ?? (only in item ? null : list.keyDefaults[only]);
    if (value !== undefined) return keyElement([[only, value]]);
  }
  const values = list.keys.map((key) => [key, key in item ? item[key] : list.keyDefaults[key]] as const).filter(([, value]) => value !== undefined);
  if (values.length === 0) {
    throw new TypedError(`associative list with keys has an element that omits all key fields [${list.keys.map((key) => JSON.stringify(key)).join(' ')}] (and doesn't have default values for any key fields)`);
  }
  return keyElement(values.sort(([a], [b]) => compareText(a, b)));
}

function elementsOf(list: ListAtom, items: readonly unknown[]): string[] {
  return items.map((item, at) => {
    try {
      return itemElement(list, item);
    } catch (error) {
      throw error instanceof TypedError ? new TypedError(`element ${at}: ${error.message}`) : error;
    }
  });
}

/** Items by element; those that are there several times have several. */
function indexed(list: ListAtom, items: readonly unknown[]): Map<string, unknown[]> {
  const index = new Map<string, unknown[]>();
  elementsOf(list, items).forEach((element, at) => {
    const same = index.get(element);
    if (same) same.push(items[at]);
    else index.set(element, [items[at]]);
  });
  return index;
}

const asItems = (value: unknown): readonly unknown[] | undefined => Array.isArray(value) ? value : undefined;
const asMembers = (value: unknown): JsonMap | undefined => isMap(value) ? value : undefined;
const hasMembers = (map: MapAtom, value: JsonMap | undefined): value is JsonMap => {
  if (!value) return false;
  if (map.always.length > 0) return true;
  for (const _name in value) return true;
  return false;
};

// ---- what differs

export interface Difference {
  /** Paths of the new value that are new or have another value. */
  readonly changed: Fields;
  /** Paths that only the old value has. */
  readonly removed: Fields;
}
const nothing: Difference = { changed: noFields, removed: noFields };

/** Paths below and including a value, when the other side has none. */
function allPaths(atom: Atom, value: unknown): Fields {
  const fit = deduce(atom, value);
  if (fit.map) {
    const members = asMembers(value);
    return fit.map.atomic || !hasMembers(fit.map, members) ? noFields : asMember(pathsOfMembers(fit.map, members));
  }
  if (!fit.scalar && fit.list) {
    const items = asItems(value);
    if (fit.list.atomic || !items || items.length === 0) return noFields;
    const made: Growing = {};
    for (const [element, same] of indexed(fit.list, items)) made[element] = same.length > 1 ? noFields : allPaths(fit.list.items, same[0]);
    return asMember(ordered(made));
  }
  return noFields;
}

function pathsOfMembers(map: MapAtom, members: JsonMap): Fields {
  const made: Growing = {};
  for (const name in members) {
    const atom = memberOf(map, name);
    if (atom) made[`f:${name}`] = allPaths(atom, members[name]);
  }
  for (const [name, zero] of map.always) if (members[name] === undefined) made[`f:${name}`] = allPaths(map.field(name) ?? {}, zero);
  return ordered(made);
}

/**
 * What differs between two values of a type, in one pass. Structs that Go would write count as there. Throws TypedError for lists
 * whose items cannot be told apart.
 */
export function compare(atom: Atom, old: unknown, now: unknown): Difference {
  const [before, after] = [deduce(atom, old), deduce(atom, now)];
  const fit = sameAtom(before, after) || old === null ? after : now === null ? before : undefined;
  if (!fit) {
    // Of two natures: what was there went, what is there came.
    const [gone, come] = [differenceAs(before, old, undefined), differenceAs(after, undefined, now)];
    return { changed: isMember(come.changed) ? come.changed : asMember(come.changed), removed: gone.removed };
  }
  return differenceAs(fit, old, now);
}

const sameAtom = (a: Atom, b: Atom): boolean => a.map === b.map && a.list === b.list && a.scalar === b.scalar;

/** Both values are there, or one is and the other is not: a leaf that differs is given as the node itself. */
function differenceAs(atom: Atom, old: unknown, now: unknown): Difference {
  if (atom.map) return compareMaps(atom.map, old, now);
  if (!atom.scalar && atom.list) return compareLists(atom.list, old, now);
  return leaf(old, now);
}

const self: Fields = { '.': noFields };
/** Told by the node itself: `.` in the tree that the caller puts in the value's place. */
function leaf(old: unknown, now: unknown): Difference {
  if (sameJson(old, now)) return nothing;
  return { changed: self, removed: noFields };
}

function compareMaps(map: MapAtom, oldValue: unknown, nowValue: unknown): Difference {
  const [old, now] = [asMembers(oldValue), asMembers(nowValue)];
  if (map.atomic || (!hasMembers(map, old) && !hasMembers(map, now))) return leaf(oldValue, nowValue);
  if (!old || !now) {
    const paths = pathsOfMembers(map, old ?? now ?? {});
    return old ? { changed: noFields, removed: paths } : { changed: paths, removed: noFields };
  }
  let changed: Growing | undefined;
  let removed: Growing | undefined;
  const visit = (name: string, atom: Atom, left: unknown, right: unknown): void => {
    if (left === right) return;
    const element = `f:${name}`;
    if (left === undefined) (changed ??= {})[element] = allPaths(atom, right);
    else if (right === undefined) (removed ??= {})[element] = allPaths(atom, left);
    else {
      const inner = compare(atom, left, right);
      if (inner.changed !== noFields) (changed ??= {})[element] = asNode(inner.changed);
      if (inner.removed !== noFields) (removed ??= {})[element] = asNode(inner.removed);
    }
  };
  for (const name in now) {
    const atom = memberOf(map, name);
    if (atom) visit(name, atom, old[name] ?? zeroIn(map, old, name), now[name]);
  }
  for (const name in old) {
    if (now[name] !== undefined) continue;
    const atom = memberOf(map, name);
    if (atom) visit(name, atom, old[name], zeroIn(map, now, name));
  }
  return found(changed, removed);
}

/** The value that Go would write for a field that the JSON lacks. */
function zeroIn(map: MapAtom, members: JsonMap, name: string): unknown {
  if (name in members) return members[name];
  for (const [field, zero] of map.always) if (field === name) return zero;
  return undefined;
}

/** A difference that is only the node itself has no children. */
const asNode = (fields: Fields): Fields => (fields === self ? noFields : fields);

function found(changed: Growing | undefined, removed: Growing | undefined): Difference {
  if (!changed && !removed) return nothing;
  return { changed: changed ? ordered(changed) : noFields, removed: removed ? ordered(removed) : noFields };
}

function compareLists(list: ListAtom, oldValue: unknown, nowValue: unknown): Difference {
  const [old, now] = [asItems(oldValue) ?? [], asItems(nowValue) ?? []];
  if (list.atomic || (old.length === 0 && now.length === 0)) return leaf(oldValue, nowValue);
  // Most lists are as they were, and telling their items apart costs more than seeing that.
  if (sameJson(old, now)) return nothing;
  const before = indexed(list, old);
  const after = indexed(list, now);
  let changed: Growing | undefined;
  let removed: Growing | undefined;
  for (const element of new Set([...before.keys(), ...after.keys()])) {
    const [left = [], right = []] = [before.get(element), after.get(element)];
    const repeated = left.length > 1 || right.length > 1;
    if (!repeated) {
      if (left.length === 0) (changed ??= {})[element] = allPaths(list.items, right[0]);
      else if (right.length === 0) (removed ??= {})[element] = allPaths(list.items, left[0]);
      else {
        const inner = compare(list.items, left[0], right[0]);
        if (inner.changed !== noFields) (changed ??= {})[element] = asNode(inner.changed);
        if (inner.removed !== noFields) (removed ??= {})[element] = asNode(inner.removed);
      }
    } else if (left.length > 1 && right.length > 1) {
      // Items that are there several times are owned together.
      if (!sameJson(left, right)) (changed ??= {})[element] = noFields;
    } else if (left.length > 1) {
      if (right.length > 0) (changed ??= {})[element] = allPaths(list.items, right[0]);
      (removed ??= {})[element] = noFields;
    } else {
      if (left.length > 0) (removed ??= {})[element] = allPaths(list.items, left[0]);
      (changed ??= {})[element] = noFields;
    }
  }
  return found(changed, removed);
}

// ---- what a configuration names

/** Every leaf and item that a value mentions: what its applier owns. */
export function mentioned(atom: Atom, value: unknown): Fields {
  const node = mentionedIn(atom, value);
  return node === self ? noFields : node;
}

/** `self`: the value itself is a leaf. Empty: nothing to own. */
function mentionedIn(atom: Atom, value: unknown): Fields {
  const fit = deduce(atom, value);
  if (fit.map) {
    if (fit.map.atomic) return self;
    if (!isMap(value)) return noFields;
    const made: Growing = {};
    for (const name in value) {
      const member = value[name];
      const inner = mentionedIn(memberOf(fit.map, name) ?? {}, member);
      const own = inner === self || member === null || (isMap(member) && isEmpty(member as Fields)) || !fit.map.field(name); // only looked at for members
      put(made, `f:${name}`, inner, own);
    }
    return ordered(made);
  }
  if (!fit.scalar && fit.list) {
    if (fit.list.atomic) return self;
    if (!Array.isArray(value)) return noFields;
    const made: Growing = {};
    for (const [element, same] of indexed(fit.list, value)) put(made, element, same.length > 1 ? self : mentionedIn(fit.list.items, same[0]), true);
    return ordered(made);
  }
  return self;
}

function put(into: Growing, element: string, children: Fields, own: boolean): void {
  const inner = children === self ? noFields : children;
  if (own) into[element] = asMember(inner);
  else if (!isEmpty(inner)) into[element] = inner;
}

// ---- merging

/** `now` laid over `old`: nothing goes away, what both have is as in `now`, items stand as in `now` where it says something. */
export function merge(atom: Atom, old: unknown, now: unknown): unknown {
  if (now === undefined) return old;
  if (old === undefined) return now;
  const fit = deduce(atom, now);
  if (fit.map) {
    const [left, right] = [asMembers(old), asMembers(now)];
    if (fit.map.atomic || (isNone(left) && isNone(right))) return now;
    const merged: JsonMap = {};
    for (const name in left) set(merged, name, merge(memberOf(fit.map, name) ?? {}, left[name], right && Object.hasOwn(right, name) ? right[name] : undefined));
    for (const name in right) if (!left || !Object.hasOwn(left, name)) set(merged, name, right[name]);
    return merged;
  }
  if (!fit.scalar && fit.list) {
    const [left, right] = [asItems(old) ?? [], asItems(now) ?? []];
    if (fit.list.atomic || (left.length === 0 && right.length === 0)) return now;
    return mergeItems(fit.list, left, right);
  }
  return now;
}

const isNone = (members: JsonMap | undefined): boolean => !members || isEmpty(members as Fields); // only asked for members

function set(object: JsonMap, name: string, value: unknown): void {
  if (name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  else object[name] = value;
}

/** Order: shared items as the new list has them, items of the old one as near to where they stood as that allows. */
function mergeItems(list: ListAtom, old: readonly unknown[], now: readonly unknown[]): unknown[] {
  const [left, right] = [elementsOf(list, old), elementsOf(list, now)];
  const before = new Map<string, unknown>();
  // What was there several times is not merged with what comes.
  left.forEach((element, at) => before.set(element, before.has(element) ? null : old[at]));
  const after = new Map(right.map((element, at) => [element, now[at]]));
  const shared = right.filter((element) => before.has(element));
  const done = new Set<string>();
  const merged: unknown[] = [];
  let next = shared.shift();
  const take = (element: string): void => {
    done.add(element);
    merged.push(before.has(element) ? merge(list.items, before.get(element), after.get(element)) : after.get(element));
  };
  for (let l = 0, r = 0; l < left.length || r < right.length;) {
    const [mine, theirs] = [left[l], right[r]];
    if (mine !== undefined && theirs !== undefined) {
      if (mine === theirs) {
        take(mine);
        l += 1;
        r += 1;
        next = shared.shift();
        continue;
      }
      if (after.has(mine) && next !== undefined && next !== mine) {
        l += 1; // shared, but not the one whose turn it is
        continue;
      }
    }
    if (mine !== undefined) {
      if (!after.has(mine)) {
        merged.push(old[l]);
        l += 1;
        continue;
      }
      if (done.has(mine)) l += 1;
    }
    if (theirs !== undefined) {
      take(theirs);
      r += 1;
      if (next === theirs) next = shared.shift();
    }
  }
  return merged;
}

// ---- removing

/** The value without the paths of `gone`; containers that become empty stay, as empty ones. */
export function remove(atom: Atom, value: unknown, gone: Fields): unknown {
  const fit = deduce(atom, value);
  if (fit.map) {
    if (!isMap(value) || isNone(value) || fit.map.atomic) return undefined;
    const kept: JsonMap = {};
    for (const name in value) {
      const node = gone[`f:${name}`];
      if (node && isMember(node)) continue;
      set(kept, name, node ? removeInside(memberOf(fit.map, name) ?? {}, value[name], node) : value[name]);
    }
    return isNone(kept) ? undefined : kept;
  }
  if (!fit.scalar && fit.list) {
    if (!Array.isArray(value) || value.length === 0 || fit.list.atomic) return undefined;
    const { list } = fit;
    const kept: unknown[] = [];
    elementsOf(list, value).forEach((element, at) => {
      const node = gone[element];
      if (node && isMember(node)) return;
      kept.push(node ? removeInside(list.items, value[at], node) : value[at]);
    });
    return kept.length > 0 ? kept : undefined;
  }
  return value;
}

function removeInside(atom: Atom, value: unknown, gone: Fields): unknown {
  const kept = remove(atom, value, gone);
  if (kept !== undefined) return kept;
  return Array.isArray(value) ? [] : isMap(value) ? {} : null;
}

/** A set where structs on the way count as members too, as pruning needs it. */
export function withNamedFields(atom: Atom | undefined, fields: Fields): Fields {
  const made: Growing = {};
  for (const element in fields) {
    const node = fields[element] ?? noFields;
    if (element === '.' || isEmpty(node)) {
      made[element] = node;
      continue;
    }
    const field = element.startsWith('f:') ? element.slice(2) : undefined;
    const inner = field !== undefined ? atom?.map && memberOf(atom.map, field) : element.startsWith('k:') ? atom?.list?.items : undefined;
    const children = withNamedFields(inner, node);
    made[element] = field !== undefined && atom?.map?.field(field) ? asMember(children) : children;
  }
  return made;
}

// ---- validation

/** What in a configuration does not fit its type, each with its path. */
export function validate(atom: Atom, value: unknown, path = ''): string[] {
  const fit = deduce(atom, value);
  const at = (message: string): string[] => [path === '' ? message : `${path}: ${message}`];
  if (value === null) return [];
  if (fit.map) {
    if (!isMap(value)) return at(`expected map, got ${describe(value)}`);
    const errors: string[] = [];
    for (const name in value) {
      const member = memberOf(fit.map, name);
      // Upstream looks no further into a map once a member is unknown.
      if (!member) return [...errors, `${path}.${name}: field not declared in schema`];
      errors.push(...validate(member, value[name], `${path}.${name}`));
    }
    return errors;
  }
  if (fit.scalar) {
    switch (fit.scalar) {
      case 'numeric': return typeof value === 'number' ? [] : at(`expected numeric (int or float), got ${goType(value)}`);
      case 'string': return typeof value === 'string' ? [] : at(`expected string, got &value.valueUnstructured{Value:${goSyntax(value)}}`);
      case 'boolean': return typeof value === 'boolean' ? [] : at(`expected boolean, got &{${describe(value)}}`);
      case 'untyped': return typeof value !== 'object' ? [] : at(`expected any scalar, got &{${describe(value)}}`);
      default: return fit.scalar satisfies never;
    }
  }
  if (!fit.list) return [];
  if (!Array.isArray(value)) return at(`expected list, got &{${describe(value)}}`);
  const { list } = fit;
  const errors: string[] = [];
  const seen = new Set<string>();
  for (const [index, item] of (value as unknown[]).entries()) {
    let shown = `[${index}]`;
    if (!list.atomic) {
      try {
        const element = itemElement(list, item);
        shown = printElement(element);
        if (seen.has(element)) errors.push(...at(`duplicate entries for key ${shown}`));
        seen.add(element);
      } catch (error) {
        if (!(error instanceof TypedError)) throw error;
        return [...errors, ...at(`element ${index}: ${error.message}`)];
      }
    }
    errors.push(...validate(list.items, item, path + shown));
  }
  return errors;
}

/** As Go's %v prints a decoded JSON value. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(describe).join(' ')}]`;
  if (isMap(value)) return `map[${Object.entries(value).sort(([a], [b]) => compareText(a, b)).map(([name, one]) => `${name}:${describe(one)}`).join(' ')}]`;
  return value === null ? '<nil>' : String(value);
}

function goType(value: unknown): string {
  switch (typeof value) {
    case 'string': return 'string';
    case 'boolean': return 'bool';
    case 'number': return Number.isInteger(value) ? 'int64' : 'float64';
    default: return Array.isArray(value) ? '[]interface {}' : 'map[string]interface {}';
  }
}

function goSyntax(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSyntax).join(', ')}}`;
  if (isMap(value)) return `map[string]interface {}{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}:${goSyntax(one)}`).join(', ')}}`;
  return value === null ? 'interface {}(nil)' : String(value);
}

