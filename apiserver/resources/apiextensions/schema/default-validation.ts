// Default values that a definition may have: they fit their schema and hold nothing that it does not know.
// Upstream: apiserver/schema/defaulting/{validation,prune,surroundingobject}.go.
import { fieldErrorBody } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { invalidField, isObject } from '../../values.ts';
import type { Obj } from '../../values.ts';
import { coerceMetadata, validateEmbeddedMetadata } from './embedded-metadata.ts';
import { goOrder, itemSchema, memberSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';
import { prune, resourceSchema } from './prune.ts';
import { deepEqual, validateValue } from './value-validation.ts';

/** What rules (x-kubernetes-validations) say of a default value that fits otherwise. */
export type RuleCheck = (value: unknown, schema: JsonSchema, path: string, resource: boolean) => FieldError[];

interface Place {
  /** The resource around, and the way from it: names, and 0 for items. */
  readonly root: JsonSchema;
  readonly steps: readonly (string | 0)[];
  /** Inside of apiVersion, kind or metadata. */
  readonly inMetadata: boolean;
}

export function validateDefaults(schema: JsonSchema, path: string, requirePruned: boolean, checkRules: RuleCheck): FieldError[] {
  const root = resourceSchema(schema);
  const walk = (at: JsonSchema, here: string, place: Place): FieldError[] => {
    const now: Place = at['x-kubernetes-embedded-resource'] ? { root: at, steps: [], inMetadata: false } : place;
    const item = itemSchema(at);
    return [
      ...(at.default === undefined ? [] : now.inMetadata ? checkInMetadata(at, `${here}.default`, now, checkRules) : check(at, `${here}.default`, requirePruned, checkRules)),
      ...(item ? walk(item, `${here}.items`, { ...now, steps: [...now.steps, 0] }) : []),
      ...[...at.properties ?? []].flatMap(([name, property]) => walk(property, `${here}.properties[${name}]`, {
        root: now.root, steps: [...now.steps, name],
        inMetadata: now.inMetadata || (at['x-kubernetes-embedded-resource'] === true && ['metadata', 'apiVersion', 'kind'].includes(name)),
      })),
    ];
  };
  return walk(root, path, { root, steps: [], inMetadata: false });
}

function check(schema: JsonSchema, path: string, requirePruned: boolean, checkRules: RuleCheck): FieldError[] {
  const errors: FieldError[] = [];
  const value = structuredClone(schema.default);
  if (requirePruned) {
    const pruned = structuredClone(value);
    prune(pruned, schema);
    if (!deepEqual(pruned, value)) errors.push(invalidField(path, goOrder(value), 'must not have unknown fields'));
  }
  const mistyped = coerceMetadata(value, schema, path, false);
  if (mistyped) return [...errors, mistyped];
  return [...errors, ...firstOf(
    () => validateEmbeddedMetadata(value, schema, path),
    () => validateValue(value, schema, { path, asDefault: true }),
    () => checkRules(value, schema, path, schema['x-kubernetes-embedded-resource'] === true),
  )];
}
function checkInMetadata(schema: JsonSchema, path: string, { root, steps }: Place, checkRules: RuleCheck): FieldError[] {
  const around = surround(structuredClone(schema.default), steps);
  const object: Obj = isObject(around) ? around : {};
  object['kind'] ??= 'Validation';
  object['apiVersion'] ??= 'validation/v1';
  const mistyped = coerceMetadata(object, root, '', false);
  const errors = mistyped ? [mistyped] : validateEmbeddedMetadata(object, root, '');
  if (errors.length > 0) {
    const texts = [...new Set(errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`))];
    return [invalidField(path, goOrder(schema.default), `must result in valid metadata: ${texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`}`)];
  }
  return firstOf(() => validateValue(schema.default, schema, { path, asDefault: true }), () => checkRules(schema.default, schema, path, schema['x-kubernetes-embedded-resource'] === true));
}
function firstOf(...checks: (() => FieldError[])[]): FieldError[] {
  for (const one of checks) {
    const errors = one();
    if (errors.length > 0) return errors;
  }
  return [];
}

/** The value at the end of the way, with what is around it. */
function surround(value: unknown, steps: readonly (string | 0)[]): unknown {
  return steps.reduceRight<unknown>((inside, step) => (step === 0 ? [inside] : Object.fromEntries([[step, inside]])), value);
}
function follow(value: unknown, steps: readonly (string | 0)[]): unknown {
  return steps.reduce<unknown>((at, step) => (step === 0 ? (Array.isArray(at) ? at[0] as unknown : undefined) : isObject(at) ? at[step] : undefined), value);
}

/** Whether a default value of a structural schema holds something that would be pruned. */
export function hasUnprunedDefaults(schema: JsonSchema): boolean {
  const root = resourceSchema(schema);
  let resources = true;
  const changes = (at: JsonSchema, steps: readonly (string | 0)[]): boolean => {
    if (at.default !== undefined) {
      const object = surround(structuredClone(at.default), steps);
      if (!isObject(object)) resources = false; // cannot be told; upstream lets it be, with all others
      coerceMetadata(object, root, '', true);
      prune(object, root);
      if (!deepEqual(follow(object, steps) ?? null, at.default)) return true;
    }
    const [item, member] = [itemSchema(at), memberSchema(at)];
    return (member !== undefined && changes(member, [...steps, '*'])) || (item !== undefined && changes(item, [...steps, 0]))
      || [...at.properties ?? []].some(([name, property]) => changes(property, [...steps, name]));
  };
  return changes(schema, []) && resources;
}
