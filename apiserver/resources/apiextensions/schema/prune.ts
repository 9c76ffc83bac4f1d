// Takes out of a value what its schema does not know. Upstream: apiserver/schema/pruning.
import { isObject } from '../../values.ts';
import type { Obj } from '../../values.ts';
import { itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

const metaFields: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);

/** The schema of a resource, which has metadata like one that is embedded. */
export function resourceSchema(schema: JsonSchema): JsonSchema {
  return schema['x-kubernetes-embedded-resource'] ? schema : { ...schema, 'x-kubernetes-embedded-resource': true };
}

/**
 * In place; answers the paths of what went, sorted. apiVersion, kind and metadata of a resource stay as they are: give the root
 * through `resourceSchema`.
 */
export function prune(value: unknown, schema: JsonSchema): string[] {
  const gone: string[] = [];
  walk(value, schema, false, '', gone);
  return gone.toSorted();
}

/** `keeps`: an outer schema keeps what it does not know, until one that names members. */
function walk(value: unknown, schema: JsonSchema | undefined, keeps: boolean, path: string, gone: string[]): void {
  const keep = schema?.['x-kubernetes-preserve-unknown-fields'] === true || keeps;
  if (keep && !schema) return;
  if (Array.isArray(value)) {
    const item = schema && itemSchema(schema);
    value.forEach((one, index) => walk(one, item, keep, `${path}[${index}]`, gone));
  } else if (isObject(value)) {
    for (const name of Object.keys(value)) {
      if (schema?.['x-kubernetes-embedded-resource'] && metaFields.has(name)) continue;
      const at = path === '' ? name : `${path}.${name}`;
      const property = schema?.properties?.get(name);
      if (property) walk(value[name], property, false, at, gone);
      else if (schema?.additionalProperties !== undefined) walk(value[name], memberSchema(schema), false, at, gone);
      else if (!keep) drop(value, name, path, at, gone);
    }
  }
}
function drop(value: Obj, name: string, path: string, at: string, gone: string[]): void {
  if (!metaFields.has(name) || path !== '') gone.push(at);
  delete value[name];
}
