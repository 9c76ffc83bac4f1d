// What expressions of mutating policies come to, laid over the object: JSON patches, and configurations that are merged as
// server-side apply does, without managers. Upstream: plugin/policy/mutating/patch and cel/mutation/dynamic.
import type { KubeObject } from '#machinery/api/object.ts';
import { apiVersionOf } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { CelList, CelMap, ObjectValue, toJson } from '#machinery/cel/values.ts';
import { loadSchema } from '#machinery/schema/schema.ts';
import { deduce, deducedAtom, memberOf } from '../../fieldmanager/atom.ts';
import type { Atom } from '../../fieldmanager/atom.ts';
import { atomOf } from '../../fieldmanager/builtin.ts';
import { merge, TypedError, validate } from '../../fieldmanager/typed.ts';
import { applyJsonPatch } from '../../patch/json.ts';
import { isObject } from '../../patch/json-value.ts';
import { readObject } from '../matching/read-object.ts';
import type { Form } from '../matching/request.ts';

/** The mutation cannot be made; the policy's failure policy decides what becomes of the write. */
export class MutationError extends Error {
  override name = 'MutationError';
}

/** `value`: what the expression came to, a list of JSONPatch{…}. The result shares nothing with `object`. */
export async function applyPatch(object: Readonly<KubeObject>, value: unknown, form: Form, subresource: string): Promise<KubeObject> {
  const items = value instanceof CelList ? [...value] : [];
  const operations = items.map((item) => {
    if (!(item instanceof ObjectValue)) throw new MutationError('type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch');
    return operationOf(item);
  });
  let patched: object;
  try {
    patched = applyJsonPatch(object, operations);
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    const why = error.cause instanceof Error ? error.cause.message : error.message;
    // A test that fails means that there is nothing to do.
    if (why.endsWith(': test failed')) return structuredClone(object) as KubeObject;
    throw new MutationError(`JSON Patch: ${why}`);
  }
  return readObject(patched, form, subresource, { strict: true });
}

function operationOf({ fields }: ObjectValue): Record<string, unknown> {
  const operation: Record<string, unknown> = {};
  for (const field of ['op', 'path', 'from']) {
    const text = fields.get(field);
    if (typeof text === 'string' && (field !== 'from' || text !== '')) operation[field] = text;
  }
  operation['op'] ??= '';
  operation['path'] ??= '';
  const value = fields.get('value');
  if (value !== undefined) {
    if (value instanceof ObjectValue) checkNames(value);
    operation['value'] = json(value);
  }
  return operation;
}

/** `value`: Object{…}. */
export async function applyConfiguration(object: Readonly<KubeObject>, value: unknown, form: Form, subresource: string): Promise<KubeObject> {
  if (!(value instanceof ObjectValue)) throw new MutationError('unsupported return type from ApplyConfiguration expression');
  checkNames(value);
  const { kind } = form;
  const configuration = { ...json(value) as object, apiVersion: apiVersionOf(kind.group, kind.version), kind: kind.kind };
  const type = (await loadSchema()).typeFor(kind.group, kind.version, kind.kind);
  const atom = type ? atomOf(type) : deducedAtom;
  const failed = (what: string, why: string): MutationError => new MutationError(`error applying patch: ${what}: ${why}`);
  const problems = validate(atom, configuration);
  if (problems.length > 0) throw failed('failed to convert patch object to typed object', problems.length === 1 ? problems[0] ?? '' : `errors:\n${problems.map((one) => `  ${one}`).join('\n')}`);
  const whole = atomicIn(atom, configuration, '');
  if (whole.length > 0) throw failed('invalid ApplyConfiguration', `may not mutate atomic arrays, maps or structs: ${whole.join(', ')}`);
  try {
    return await readObject(structuredClone(merge(atom, object, configuration)) as object, form, subresource);
  } catch (error) {
    if (error instanceof TypedError) throw failed('failed to merge patch', error.message);
    throw error;
  }
}

/** Whoever names a part of such a value would take away the rest without meaning to. */
function atomicIn(atom: Atom, value: unknown, path: string): string[] {
  const fit = deduce(atom, value);
  if (fit.map && isObject(value)) {
    const { map } = fit;
    const inner = Object.entries(value).flatMap(([name, member]) => {
      const one = map.field(name) ?? (map.others === undefined ? undefined : memberOf(map, name));
      return one ? atomicIn(one, member, `${path}.${name}`) : [];
    });
    return map.atomic ? [path, ...inner] : inner;
  }
  if (fit.list && Array.isArray(value)) {
    const { list } = fit;
    const inner = value.flatMap((item: unknown, at) => atomicIn(list.items, item, `${path}[${at}]`));
    return list.atomic ? [path, ...inner] : inner;
  }
  return [];
}

function json(value: unknown): unknown {
  try {
    return toJson(value);
  } catch (error) {
    if (error instanceof RangeError) throw new MutationError(`JSONPath valueExpression evaluated to a type that could not marshal to JSON: ${error.message}`);
    throw error;
  }
}

/** `Object.spec{…}` stands at `spec` and nowhere else; maps and lists on the way have no names. */
function checkNames(value: ObjectValue): void {
  const problems = misnamed(value, value.typeName);
  if (problems.length > 0) throw new MutationError(`type mismatch: ${problems.join('\n')}`);
}
function misnamed(value: unknown, path: string): string[] {
  if (value instanceof ObjectValue) {
    const { typeName } = value;
    const own = typeName === path ? [] : [`unexpected type name ${JSON.stringify(typeName)}, expected ${JSON.stringify(path)}, which matches field name path from root Object type`];
    return [...own, ...[...value.fields].flatMap(([name, field]) => misnamed(field, `${path}.${name}`))];
  }
  if (value instanceof CelList) return [...value].flatMap((item) => misnamed(item, path));
  if (value instanceof CelMap) return [...value.keys()].flatMap((key) => misnamed(value.find(key), path));
  return [];
}
