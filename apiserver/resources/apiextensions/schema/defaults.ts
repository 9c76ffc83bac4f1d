// Default values of schemas, put into values where they lack. Upstream: apiserver/schema/defaulting/{algorithm,prunenulls}.go.
import { isObject } from '../../values.ts';
import { itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

const copy = (schema: JsonSchema): unknown => structuredClone(schema.default ?? null);
const isLost = (value: unknown, schema: JsonSchema | undefined): schema is JsonSchema => value === null && schema !== undefined && schema.nullable !== true;

/** In place. A null where there may be none counts as missing. */
export function applyDefaults(value: unknown, schema: JsonSchema | undefined): void {
  if (!schema) return;
  if (isObject(value)) {
    for (const [name, property] of schema.properties ?? []) {
      if (property.default === undefined) continue;
      if (!Object.hasOwn(value, name) || isLost(value[name], property)) define(value, name, copy(property));
    }
    const member = memberSchema(schema);
    for (const name of Object.keys(value)) {
      const property = schema.properties?.get(name);
      if (!property && isLost(value[name], member)) define(value, name, copy(member));
      applyDefaults(value[name], property ?? member);
    }
  } else if (Array.isArray(value)) {
    const item = itemSchema(schema);
    value.forEach((one, index) => {
      if (isLost(one, item)) value[index] = copy(item);
      applyDefaults(value[index], item);
    });
  }
}

/** In place: fields that are null where there may be no null, and no default either, go. Runs before `applyDefaults`. */
export function dropForbiddenNulls(value: unknown, schema: JsonSchema | undefined): void {
  if (isObject(value)) {
    const member = schema && memberSchema(schema);
    for (const name of Object.keys(value)) {
      const field = schema?.properties?.get(name) ?? member;
      if (isLost(value[name], field) && field.default === undefined) delete value[name];
      else dropForbiddenNulls(value[name], field);
    }
  } else if (Array.isArray(value)) {
    const item = schema && itemSchema(schema);
    for (const one of value) dropForbiddenNulls(one, item);
  }
}

/** A member may be called `__proto__`. */
function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}
