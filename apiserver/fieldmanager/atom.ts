// What merging and ownership have to know of a value: whether it is a scalar, a list or a map, how its items are told apart, what
// counts as one whole. Built-in types give it from the schema (`builtin.ts`), custom resources from their own.
// Upstream: structured-merge-diff's schema/elements.go.

export type ScalarKind = 'numeric' | 'string' | 'boolean' | 'untyped';

/** More than one member: the value decides. Free-form values have all three. */
export interface Atom {
  readonly scalar?: ScalarKind;
  readonly list?: ListAtom;
  readonly map?: MapAtom;
}

export interface ListAtom {
  /** One value as a whole. Otherwise items are told apart by `keys`, and by themselves without keys (a set). */
  readonly atomic: boolean;
  /** In the order of the schema. */
  readonly keys: readonly string[];
  /** What an item without that key counts as having. */
  readonly keyDefaults: Readonly<Record<string, unknown>>;
  readonly items: Atom;
}

export interface MapAtom {
  /** One value as a whole. */
  readonly atomic: boolean;
  /** Fields with a name of their own; looked up late, since types refer to each other in circles. */
  field(name: string): Atom | undefined;
  /** What members without a name of their own are; undefined: there may be none. */
  readonly others: Atom | undefined;
  /** Fields that are there even when the JSON lacks them, with their value: Go writes structs and what has no omitempty. */
  readonly always: readonly (readonly [name: string, zero: unknown])[];
}

export type JsonMap = { [name: string]: unknown };

export function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function memberOf(map: MapAtom, name: string): Atom | undefined {
  return map.field(name) ?? map.others;
}

/** What of an atom applies to the value; all of it when that is open (null, absent, of a type that does not fit). */
export function deduce(atom: Atom, value: unknown): Atom {
  if (value === undefined || value === null) return atom;
  if (Array.isArray(value)) return atom.list && (atom.map || atom.scalar) ? { list: atom.list } : atom;
  if (typeof value === 'object') return atom.map && (atom.list || atom.scalar) ? { map: atom.map } : atom;
  return atom.scalar && (atom.map || atom.list) ? { scalar: atom.scalar } : atom;
}

/** Free-form, as one whole. */
export const untypedAtom: Atom = {
  scalar: 'untyped',
  list: { atomic: true, keys: [], keyDefaults: {}, get items() { return untypedAtom; } },
  map: { atomic: true, field: () => undefined, get others() { return untypedAtom; }, always: [] },
};

/** Free-form, where maps are open and lists are one whole. */
export const deducedAtom: Atom = {
  scalar: 'untyped',
  list: { atomic: true, keys: [], keyDefaults: {}, items: untypedAtom },
  map: { atomic: false, field: () => undefined, get others() { return deducedAtom; }, always: [] },
};
