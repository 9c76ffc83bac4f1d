// Strategic merge patch: like a merge patch, but lists with a merge key are merged item by item, and directives ($patch,
// $setElementOrder, $deleteFromPrimitiveList, $retainKeys) say what plain JSON cannot. Upstream: apimachinery's util/strategicpatch.
import { badRequest, StatusError } from '#machinery/api/status.ts';
import type { Field, Type } from '#machinery/schema/schema.ts';
import { doesNotFit } from './json.ts';
import { copyJson, isObject, jsonKind, put } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

const directive = '$patch';
const retainKeys = '$retainKeys';
const deletePrefix = '$deleteFromPrimitiveList';
const orderPrefix = '$setElementOrder';

/**
 * The patched object of the given type; neither argument is changed and the result shares nothing with them. Throws StatusError:
 * 400 for malformed directives, 422 for lists of lists, 500 (as upstream) for items without their merge key. Members that the type does
 * not know stay, they are for decoding to report and drop.
 */
export function applyStrategicPatch<T extends object>(original: T, patch: unknown, type: Type): T;
export function applyStrategicPatch(original: object, patch: unknown, type: Type): unknown {
  if (patch === null) return copyJson(original);
  if (!isObject(patch)) throw badRequest(`json: cannot unmarshal ${jsonKind(patch)} into Go value of type map[string]interface {}`);
  return mergeObjects(copyJson(original) as JsonObject, copyJson(patch), { type }); // an API object is a JSON object
}

/** What is known of a value: the fields of an object, or why there are none. */
interface Known {
  type?: Type | undefined;
  /** The member of its owner that holds the value or the list of values. */
  field?: Field | undefined;
}

/** Consumes both arguments. */
function mergeObjects(original: JsonObject, patch: JsonObject, known: Known): JsonObject {
  if (Object.hasOwn(patch, directive)) {
    if (patch[directive] === 'replace') {
      delete patch[directive];
      return patch;
    }
    if (patch[directive] === 'delete') return {};
    throw failure(`unknown patch type: ${goText(patch[directive])} in map: ${goText(patch)}`);
  }
  retain(original, patch);
  mergeOrdered(original, patch, known);
  // Removals come first, so that what a patch both removes and adds is there in the end (upstream leaves it to chance).
  const members = Object.entries(patch);
  for (const [name, value] of members) if (name.startsWith(deletePrefix)) mergeMember(original, name, value, known);
  for (const [name, value] of members) if (!name.startsWith(deletePrefix)) mergeMember(original, name, value, known);
  return original;
}

function mergeMember(original: JsonObject, name: string, value: unknown, known: Known): void {
  const deletes = name.startsWith(deletePrefix);
  const key = deletes ? afterPrefix(name, deletePrefix) : name;
  if (value === null) {
    delete original[key];
    return;
  }
  const current = Object.hasOwn(original, key) ? original[key] : undefined;
  if (current === undefined || jsonKind(current) !== jsonKind(value)) {
    if (!deletes) putNew(original, key, value);
    return;
  }
  if (isObject(current) && isObject(value)) {
    const field = fieldOf(known, key);
    // A field that is replaced whole is taken as it comes.
    put(original, key, strategies(field).includes('replace') ? value : mergeObjects(current, value, { type: field.shape === 'one' ? field.type : undefined, field }));
  } else if (Array.isArray(current) && Array.isArray(value)) {
    const field = fieldOf(known, key);
    put(original, key, deletes || strategies(field).includes('merge') ? mergeLists(current, value, field, deletes) : value);
  } else {
    put(original, key, value);
  }
}

function putNew(original: JsonObject, key: string, value: unknown): void {
  dropNulls(value);
  const kept = withoutDirectives(value);
  if (kept === undefined) delete original[key];
  else put(original, key, kept);
}

// ---- lists

function mergeLists(original: unknown[], patch: unknown[], field: Field, deletes: boolean): unknown[] {
  if (original.length === 0 && patch.length === 0) return original;
  if (itemKind(original, patch) !== 'object') {
    if (deletes) return original.filter((item) => !patch.includes(item));
    const merged = [...new Set([...original, ...patch])];
    return inOrder(merged, patch, original, (item) => item);
  }
  const key = field.patchMergeKey;
  if (key === undefined) throw failure(`cannot merge lists without merge key for ${field.type?.shortName ?? field.kind}`);
  let items = original as JsonObject[]; // itemKind() found nothing but objects
  const plain: JsonObject[] = [];
  let replace = false;
  for (const item of patch as JsonObject[]) {
    if (!Object.hasOwn(item, directive)) plain.push(item);
    else if (item[directive] === 'delete') {
      const value = mergeKeyOf(item, key);
      items = items.filter((one) => !Object.hasOwn(one, key) || one[key] !== value);
    } else if (item[directive] === 'replace') replace = true;
    else if (item[directive] === 'merge') throw failure('merging lists cannot yet be specified in the patch');
    else throw failure(`unknown patch type: ${goText(item[directive])} in map: ${goText(item)}`);
  }
  if (replace) {
    for (const item of plain) mergeKeyOf(item, key);
    return plain;
  }
  const merged = [...items];
  for (const item of plain) {
    const value = mergeKeyOf(item, key);
    const at = merged.findIndex((one) => Object.hasOwn(one, key) && one[key] === value);
    const current = merged[at];
    if (current) merged[at] = mergeObjects(current, item, { type: field.type, field });
    else merged.push(item);
  }
  return inOrder(merged, plain, items, (item) => mergeKeyOf(item, key));
}

/** $setElementOrder: merges the list it names at once and puts it into that order. Takes both members out of the patch. */
function mergeOrdered(original: JsonObject, patch: JsonObject, known: Known): void {
  for (const name of Object.keys(patch)) {
    if (!name.startsWith(orderPrefix)) continue;
    const order = patch[name];
    delete patch[name];
    if (!Array.isArray(order)) throw failure(`expected a []interface {}, but received a ${goTypeOf(order)}`);
    const key = afterPrefix(name, orderPrefix);
    const current = listOrUndefined(original, key);
    const change = listOrUndefined(patch, key);
    const field = fieldOf(known, key);
    const mergeKey = field.patchMergeKey;
    checkOrder(change ?? [], order, mergeKey);
    if (current === undefined && change === undefined) continue;
    const merged = current === undefined ? withoutDirectives(change) as unknown[] // a list stays a list
      : change === undefined ? current
      : strategies(field).includes('merge') ? mergeLists([...current], change, field, false)
      : change;
    itemKind(current ?? [], change ?? []);
    const identity = mergeKey === undefined ? (item: unknown) => item : (item: unknown) => mergeKeyOf(asObject(item), mergeKey);
    put(original, key, inOrder(merged, order, current ?? [], identity));
    delete patch[key];
  }
}

/**
 * The items that `order` names come in its order, the others in the server's; both are interleaved so that an item of the server stays
 * before the first ordered item that it stood before.
 */
function inOrder(items: readonly unknown[], order: readonly unknown[], serverOrder: readonly unknown[], identity: (item: unknown) => unknown): unknown[] {
  const place = new Map<unknown, number>();
  order.forEach((item, i) => place.set(identity(item), place.get(identity(item)) ?? i));
  const serverPlace = new Map<unknown, number>();
  serverOrder.forEach((item, i) => serverPlace.set(identity(item), serverPlace.get(identity(item)) ?? i));
  const by = (places: ReadonlyMap<unknown, number>) => (a: unknown, b: unknown) => (places.get(identity(a)) ?? 0) - (places.get(identity(b)) ?? 0);
  const ordered = items.filter((item) => place.has(identity(item))).sort(by(place));
  const others = items.filter((item) => !place.has(identity(item))).sort(by(serverPlace));
  const result: unknown[] = [];
  let next = 0;
  for (const item of ordered) {
    const limit = serverPlace.get(identity(item));
    while (limit !== undefined && next < others.length && (serverPlace.get(identity(others[next])) ?? Infinity) < limit) result.push(others[next++]);
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}

/** The patch's items must stand in the order list, in the same relative order; deletions need not. */
function checkOrder(change: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): void {
  if (change.length === 0 || order.length === 0) return;
  const identity = mergeKey === undefined ? (item: unknown) => item : (item: unknown) => mergeKeyOf(asObject(item), mergeKey);
  const wanted = change.filter((item) => !(isObject(item) && Object.hasOwn(item, directive)));
  let next = 0;
  for (const item of order) {
    if (next === wanted.length) return;
    if (identity(wanted[next]) === identity(item)) next += 1;
  }
  if (next < wanted.length) throw failure(`The order in patch list:\n${goText(change)}\n doesn't match ${orderPrefix} list:\n${goText(order)}\n`);
}

// ---- directives

/** $retainKeys: members that it does not name are cleared, and the patch may not set others. */
function retain(original: JsonObject, patch: JsonObject): void {
  if (!Object.hasOwn(patch, retainKeys)) return;
  const list = patch[retainKeys];
  delete patch[retainKeys];
  if (!Array.isArray(list)) throw badRequest('invalid patch format of retainKeys');
  const kept = new Set<unknown>(list);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null || name.startsWith(deletePrefix) || name.startsWith(orderPrefix)) continue;
    if (!kept.has(name)) throw badRequest('invalid patch format of retainKeys');
  }
  for (const name of Object.keys(original)) if (!kept.has(name)) delete original[name];
}

function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isObject(value)) return value;
  if (Object.hasOwn(value, directive)) return undefined;
  for (const [name, member] of Object.entries(value)) {
    const kept = withoutDirectives(member);
    if (kept === undefined) delete value[name];
    else put(value, name, kept);
  }
  return value;
}

function dropNulls(value: unknown): void {
  if (Array.isArray(value)) value.forEach(dropNulls);
  else if (isObject(value)) {
    for (const [name, member] of Object.entries(value)) {
      if (member === null) delete value[name];
      else dropNulls(member);
    }
  }
}

function afterPrefix(name: string, prefix: string): string {
  if (!name.startsWith(`${prefix}/`)) throw badRequest(prefix === deletePrefix ? 'invalid patch format of primitive list' : 'invalid patch format of setElementOrder list');
  return name.slice(prefix.length + 1);
}

// ---- lookups

function fieldOf({ type, field }: Known, name: string): Field {
  if (!type) {
    throw failure(field?.shape === 'map' || field?.shape === 'mapOfLists' ? 'merging an object in json but data type is not struct, instead is: map'
      : `unable to find api field in struct ${field?.goType.split('.').pop() ?? ''} for the json field ${JSON.stringify(name)}`);
  }
  const found = type.fields.get(name);
  if (!found) throw failure(`unable to find api field in struct ${type.shortName} for the json field ${JSON.stringify(name)}`);
  return found;
}

function strategies(field: Field): string[] {
  return field.patchStrategy?.split(',') ?? [];
}

function mergeKeyOf(item: unknown, key: string): unknown {
  const object = asObject(item);
  if (!Object.hasOwn(object, key)) throw failure(`map: ${goText(object)} does not contain declared merge key: ${key}`);
  return object[key];
}

function asObject(item: unknown): JsonObject {
  if (!isObject(item)) throw failure(`expected a map[string]interface {}, but received a ${goTypeOf(item)}`);
  return item;
}

function listOrUndefined(object: JsonObject, key: string): unknown[] | undefined {
  const value = Object.hasOwn(object, key) ? object[key] : undefined;
  if (value === undefined || Array.isArray(value)) return value;
  throw failure(`expected a []interface {}, but received a ${goTypeOf(value)}`);
}

function itemKind(...lists: readonly unknown[][]): string {
  const kinds = new Set(lists.flat(1).map(jsonKind));
  if (lists.some((list) => list.some(Array.isArray))) throw doesNotFit('lists of lists are not supported');
  const [kind] = kinds;
  if (kinds.size > 1) throw failure(`list element types are not identical: ${goText(lists)}`);
  if (kind === undefined) throw failure('no elements in any of the given slices');
  return kind;
}

/** What upstream does not foresee is a 500 with the bare text. */
function failure(message: string): StatusError {
  return new StatusError(500, '', message);
}

function goTypeOf(value: unknown): string {
  const types = { null: '%!s(<nil>)', object: 'map[string]interface {}', array: '[]interface {}', string: 'string', number: Number.isInteger(value) ? 'int64' : 'float64', bool: 'bool' };
  return types[jsonKind(value)];
}

/** A value as Go's %v prints it, for error texts. */
export function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  if (isObject(value)) return `map[${Object.keys(value).sort().map((key) => `${key}:${goText(value[key])}`).join(' ')}]`;
  return value === null || value === undefined ? '<nil>' : String(value);
}
