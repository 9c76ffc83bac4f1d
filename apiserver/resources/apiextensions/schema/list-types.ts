// Sets have no item twice, maps no key. Upstream: apiserver/schema/listtype/validation.go.
import type { FieldError } from '#machinery/api/status.ts';
import { duplicate, invalidField, isObject } from '../../values.ts';
import type { Obj } from '../../values.ts';
import { goOrder, itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

export function validateListTypes(value: unknown, schema: JsonSchema, path = ''): FieldError[] {
  if (Array.isArray(value)) return validateList(value, schema, path);
  if (!isObject(value)) return [];
  const member = memberSchema(schema);
  return [
    ...(member ? Object.entries(value).flatMap(([name, one]) => validateListTypes(one, member, `${path}[${name}]`)) : []),
    ...Object.entries(value).flatMap(([name, one]) => {
      const property = schema.properties?.get(name);
      return property ? validateListTypes(one, property, path === '' ? name : `${path}.${name}`) : [];
    }),
  ];
}

function validateList(list: readonly unknown[], schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema['x-kubernetes-list-type'] === 'set') errors.push(...secondOnes(list).map((index) => duplicate(`${path}[${index}]`, goOrder(list[index]))));
  if (schema['x-kubernetes-list-type'] === 'map') errors.push(...validateKeys(list, schema['x-kubernetes-list-map-keys'] ?? [], path));
  const item = itemSchema(schema);
  if (item) list.forEach((one, index) => errors.push(...validateListTypes(one, item, `${path}[${index}]`)));
  return errors;
}

function validateKeys(list: readonly unknown[], keyNames: readonly string[], path: string): FieldError[] {
  const stray = list.findIndex((one) => one !== null && !isObject(one));
  if (stray >= 0) return [invalidField(`${path}[${stray}]`, list[stray], 'must be an object for an array of list-type map')];
  const keys = list.map((one): Obj => (isObject(one) ? Object.fromEntries(keyNames.filter((name) => Object.hasOwn(one, name)).map((name) => [name, one[name]])) : {}));
  return secondOnes(keys).map((index) => duplicate(`${path}[${index}]`, goOrder(keys[index])));
}

/** Where something stands for the second time; third times are not told. */
function secondOnes(list: readonly unknown[]): number[] {
  const times = new Map<string, number>();
  return list.flatMap((one, index) => {
    const text = JSON.stringify(goOrder(one));
    const before = times.get(text) ?? 0;
    times.set(text, before + 1);
    return before === 1 ? [index] : [];
  });
}
