// A built-in type as expressions see it. Upstream: apiserver/pkg/cel/common/schemas.go over the OpenAPI schema of the type.
import type { CelType } from '#machinery/cel/cel.ts';
import { unescapeField } from '#machinery/cel/escape.ts';
import type { Field, Type } from '#machinery/schema/schema.ts';

const known = new WeakMap<Type, CelType>();

export function celTypeOf(type: Type): CelType {
  let made = known.get(type);
  if (!made) {
    const text: CelType = { kind: 'string' };
    made = {
      kind: 'object', name: type.shortName,
      fields(escaped) {
        const name = unescapeField(escaped);
        if (name === undefined) return undefined;
        if (type.isObject && (name === 'apiVersion' || name === 'kind')) return text;
        const field = type.fields.get(name);
        return field && fieldType(field);
      },
    };
    known.set(type, made);
  }
  return made;
}

function fieldType(field: Field): CelType | undefined {
  const value = valueType(field);
  if (!value) return undefined;
  switch (field.shape) {
    case 'one': return value;
    case 'list': return { kind: 'list', element: value };
    case 'map': return { kind: 'map', key: { kind: 'string' }, value };
    case 'mapOfLists': return { kind: 'map', key: { kind: 'string' }, value: { kind: 'list', element: value } };
    default: return field.shape satisfies never;
  }
}

function valueType({ kind, type }: Field): CelType | undefined {
  switch (kind) {
    case 'struct': return type && celTypeOf(type);
    case 'string': case 'quantity': return { kind: 'string' };
    case 'boolean': return { kind: 'bool' };
    case 'int32': case 'int64': return { kind: 'int' };
    case 'double': return { kind: 'double' };
    case 'bytes': return { kind: 'bytes' };
    case 'time': case 'microTime': return { kind: 'timestamp' };
    case 'duration': return { kind: 'string' };
    case 'intOrString': return { kind: 'dyn' };
    // An object without declared fields.
    case 'raw': return { kind: 'object', name: 'object', fields: () => undefined };
    // Of no type in the schema: expressions cannot name it.
    case 'any': return undefined;
    default: return kind satisfies never;
  }
}
