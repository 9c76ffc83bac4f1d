// RFC 6902, with the leniencies and answers of upstream's patch library (evanphx/json-patch v4): a malformed patch is 400, one
// that does not fit the object 422.
import { badRequest, requestTooLarge, StatusError } from '#machinery/api/status.ts';
import { checkDepth, shallow } from '../decoding/depth.ts';
import { copyJson, equalJson, isObject, jsonKind, put } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

const maxOperations = 10_000;
/** What all copy operations of a patch may add together (upstream's JSONPatchMaxCopyBytes). */
const maxCopiedBytes = 3 * 1024 * 1024;

/**
 * The patched document; neither argument is changed and the result shares nothing with them. Throws StatusError. As upstream:
 * `replace` of a missing member adds it, indices may be negative, `test` of a missing member equals null.
 */
export function applyJsonPatch<T extends object>(document: T, patch: unknown): T;
export function applyJsonPatch(document: object, patch: unknown): unknown {
  const operations = readOperations(patch);
  const root: Root = { value: copyJson(document) as Container, copiedBytes: 0 }; // an object of JSON is one or the other
  for (const operation of operations) {
    try {
      shallow(() => step(root, operation)); // copies of copies get deeper than what they were made of
    } catch (error) {
      if (error instanceof PatchFailure) throw doesNotFit(error.message);
      throw error;
    }
  }
  checkDepth(root.value);
  return root.value;
}

/** 422 as upstream answers it: the message says no more than this, the reason stays inside. */
export function doesNotFit(why: string): StatusError {
  const error = new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request', {});
  error.cause = new Error(why);
  return error;
}

type Container = JsonObject | unknown[];
interface Root { value: Container; copiedBytes: number }
class PatchFailure extends Error {}

function readOperations(patch: unknown): JsonObject[] {
  if (patch === null) return [];
  if (!Array.isArray(patch)) throw badRequest(`json: cannot unmarshal ${jsonKind(patch)} into Go value of type jsonpatch.Patch`);
  const operations = patch.map((operation: unknown) => {
    if (operation === null) return {};
    if (!isObject(operation)) throw badRequest(`json: cannot unmarshal ${jsonKind(operation)} into Go value of type jsonpatch.Operation`);
    return operation;
  });
  if (operations.length > maxOperations) {
    throw requestTooLarge(`The allowed maximum operations in a JSON patch is ${maxOperations}, got ${operations.length}`);
  }
  return operations;
}

function step(root: Root, operation: JsonObject): void {
  switch (operation['op']) {
    case 'add': return add(at(root, pointer(operation, 'path')), copyJson(operation['value'] ?? null));
    case 'remove': return remove(at(root, pointer(operation, 'path')));
    case 'replace': return replace(root, operation);
    case 'move': {
      const from = at(root, pointer(operation, 'from'));
      const value = get(from);
      remove(from);
      return add(at(root, pointer(operation, 'path')), value ?? null);
    }
    case 'copy': {
      const value = get(at(root, pointer(operation, 'from'))) ?? null;
      const target = at(root, pointer(operation, 'path'));
      const text = JSON.stringify(value);
      root.copiedBytes += Buffer.byteLength(text);
      if (root.copiedBytes > maxCopiedBytes) {
        throw new PatchFailure(`Unable to complete the copy, the accumulated size increase of copy is ${root.copiedBytes}, exceeding the limit ${maxCopiedBytes}`);
      }
      return add(target, JSON.parse(text));
    }
    case 'test': {
      const path = pointer(operation, 'path');
      const found = path === '' ? root.value : get(at(root, path));
      if (!equalJson(found ?? null, operation['value'] ?? null)) throw new PatchFailure(`testing value ${path} failed: test failed`);
      return;
    }
    default: throw new PatchFailure(`Unexpected kind: ${typeof operation['op'] === 'string' ? operation['op'] : 'unknown'}`);
  }
}

function replace(root: Root, operation: JsonObject): void {
  const path = pointer(operation, 'path');
  const value = copyJson(operation['value'] ?? null);
  if (path === '') {
    if (!Array.isArray(value) && !isObject(value)) throw new PatchFailure('replace operation value must be object or array');
    root.value = value;
    return;
  }
  const place = at(root, path);
  if (Array.isArray(place.container)) place.container[index(place.key, place.container.length - 1, place.container.length)] = value;
  else put(place.container, place.key, value);
}

interface Place { container: Container; key: string; path: string }

function pointer(operation: JsonObject, member: 'path' | 'from'): string {
  const path = operation[member];
  if (typeof path !== 'string') throw new PatchFailure(`${operation['op']} operation failed to decode ${member}: missing value`);
  return path;
}

/** The container that holds the last segment. What stands before the first slash is not looked at, as upstream. */
function at(root: Root, path: string): Place {
  const segments = path.split('/').slice(1).map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
  const key = segments.pop();
  if (key === undefined) throw new PatchFailure(`doc is missing path: "${path}"`);
  let container = root.value;
  for (const segment of segments) {
    const next = get({ container, key: segment, path });
    if (!Array.isArray(next) && !isObject(next)) throw new PatchFailure(`doc is missing path: "${path}"`);
    container = next;
  }
  return { container, key, path };
}

function get({ container, key }: Place): unknown {
  if (Array.isArray(container)) return container[index(key, container.length - 1, container.length)];
  return Object.hasOwn(container, key) ? container[key] : undefined;
}

function add({ container, key }: Place, value: unknown): void {
  if (!Array.isArray(container)) put(container, key, value);
  else if (key === '-') container.push(value);
  else container.splice(index(key, container.length, container.length + 1), 0, value);
}

function remove({ container, key }: Place): void {
  if (Array.isArray(container)) container.splice(index(key, container.length - 1, container.length), 1);
  else if (Object.hasOwn(container, key)) delete container[key];
  else throw new PatchFailure(`Unable to remove nonexistent key: ${key}: missing value`);
}

/** An index up to `last`; negative ones count from `from`. */
function index(key: string, last: number, from: number): number {
  if (!/^[+-]?\d+$/.test(key)) throw new PatchFailure(`value was not a proper array index: '${key}'`);
  const number = Number(key);
  const position = number < 0 ? number + from : number;
  if (position > last || position < 0) throw new PatchFailure(`Unable to access invalid index: ${key}: invalid index referenced`);
  return position;
}
