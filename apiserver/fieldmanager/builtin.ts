// The atoms of built-in types, from the schema; made once a type, when something first asks. Upstream derives them from its
// OpenAPI document (kube-openapi's schemaconv).
import type { Field, Type } from '#machinery/schema/schema.ts';
import { deducedAtom, untypedAtom } from './atom.ts';
import type { Atom, ListAtom, MapAtom, ScalarKind } from './atom.ts';

const known = new WeakMap<Type, Map<boolean, Atom>>();

/** `whole`: the type as one value wherever it stands. */
export function atomOf(type: Type, whole = type.atomic): Atom {
  let both = known.get(type);
  if (!both) known.set(type, both = new Map());
  let atom = both.get(whole);
  if (!atom) {
    atom = { map: structAtom(type, whole) };
    both.set(whole, atom);
  }
  return atom;
}

const text: Atom = { scalar: 'string' };

function structAtom(type: Type, atomic: boolean): MapAtom {
  const fields = new Map<string, Atom>(type.isObject ? [['apiVersion', text], ['kind', text]] : []);
  let always: MapAtom['always'] | undefined;
  return {
    atomic,
    field(name) {
      const made = fields.get(name);
      if (made) return made;
      const field = type.fields.get(name);
      if (!field) return undefined;
      const atom = fieldAtom(field);
      fields.set(name, atom);
      return atom;
    },
    others: undefined,
    get always() {
      return always ??= [...type.fields.values()].filter((field) => isAlwaysWritten(field, type)).map((field) => [field.name, zeroOf(field)] as const);
    },
  };
}

/** Go leaves out what is empty with omitempty, where structs and times are never empty. */
function isAlwaysWritten(field: Field, owner: Type): boolean {
  if (field.name === 'creationTimestamp' && owner.name === 'meta/v1/ObjectMeta') return false; // omitzero
  if (!field.omitEmpty) return true;
  return !field.pointer && field.shape === 'one' && ['struct', 'raw', 'time', 'microTime', 'intOrString', 'quantity'].includes(field.kind);
}

function zeroOf({ shape, kind, pointer }: Field): unknown {
  if (shape !== 'one' || pointer) return null;
  switch (kind) {
    case 'struct': return emptyStruct;
    case 'string': return '';
    case 'boolean': return false;
    case 'int32': case 'int64': case 'double': case 'intOrString': return 0;
    case 'quantity': return '0';
    case 'duration': return '0s';
    case 'time': case 'microTime': case 'bytes': case 'any': case 'raw': return null;
    default: return kind satisfies never;
  }
}
const emptyStruct = Object.freeze({});

function fieldAtom(field: Field): Atom {
  // What the field says goes before what its type says.
  const relation = field.mapType ?? field.structType;
  const whole = relation === 'atomic';
  switch (field.shape) {
    case 'one': return valueAtom(field, relation === undefined ? undefined : whole);
    case 'list': return { list: listAtom(field) };
    case 'map': return { map: openMap(valueAtom(field), whole) };
    case 'mapOfLists': return { map: openMap({ list: { atomic: true, keys: [], keyDefaults: {}, items: valueAtom(field) } }, whole) };
    default: return field.shape satisfies never;
  }
}

const openMap = (others: Atom, atomic: boolean): MapAtom => ({ atomic, field: () => undefined, others, always: [] });

function listAtom(field: Field): ListAtom {
  const items = valueAtom(field);
  const { listType, listMapKeys, patchStrategy, patchMergeKey } = field;
  // Without a list type, the patch strategy of old says how items are told apart.
  const merged = listType === undefined && (patchStrategy === 'merge' || patchStrategy === 'merge,retainKeys');
  const keys = listType === 'map' ? listMapKeys ?? [] : merged && patchMergeKey !== undefined ? [patchMergeKey] : [];
  return { atomic: !(merged || listType === 'map' || listType === 'set'), keys, keyDefaults: keyDefaultsOf(field, keys), items };
}

function keyDefaultsOf(field: Field, keys: readonly string[]): Record<string, unknown> {
  const defaults: Record<string, unknown> = {};
  for (const key of keys) {
    const one = field.type?.fields.get(key);
    if (!one) continue;
    if (one.default !== undefined) defaults[key] = one.default;
    else if (!one.pointer && !one.omitEmpty) defaults[key] = zeroOf(one);
  }
  return defaults;
}

const scalars: Partial<Record<Field['kind'], ScalarKind>> = {
  string: 'string', boolean: 'boolean', bytes: 'string', int32: 'numeric', int64: 'numeric', double: 'numeric', duration: 'string',
  // Formats that upstream's conversion does not look into.
  time: 'untyped', microTime: 'untyped', quantity: 'untyped', intOrString: 'untyped',
};

function valueAtom({ kind, type }: Field, whole?: boolean): Atom {
  if (kind === 'struct') return type ? atomOf(type, whole ?? type.atomic) : deducedAtom;
  if (kind === 'raw') return untypedAtom;
  if (kind === 'any') return deducedAtom;
  return { scalar: scalars[kind] ?? 'untyped' };
}
