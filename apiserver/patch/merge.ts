// RFC 7386: members of the patch replace those of the document, null removes them.
import { badRequest } from '#machinery/api/status.ts';
import { copyJson, isObject, jsonKind, put } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

/** The patched document; neither argument is changed and the result shares nothing with them. A patch that is no object is 400. */
export function applyMergePatch<T extends object>(document: T, patch: unknown): T;
export function applyMergePatch(document: object, patch: unknown): unknown {
  if (!isObject(patch)) {
    throw badRequest(patch === null ? 'Invalid JSON Patch'
      : `error decoding patch: json: cannot unmarshal ${jsonKind(patch)} into Go value of type map[string]interface {}`);
  }
  return merged(document, patch);
}

function merged(current: unknown, patch: JsonObject): JsonObject {
  const result: JsonObject = {};
  if (isObject(current)) {
    for (const [key, value] of Object.entries(current)) {
      if (!Object.hasOwn(patch, key)) put(result, key, copyJson(value));
      else if (patch[key] !== null) put(result, key, replaced(value, patch[key]));
    }
  }
  for (const [key, value] of Object.entries(patch)) {
    if (value !== null && !(isObject(current) && Object.hasOwn(current, key))) put(result, key, replaced(undefined, value));
  }
  return result;
}

function replaced(current: unknown, patch: unknown): unknown {
  if (isObject(patch)) return merged(current, patch);
  return isObject(current) ? copyJson(patch) : withoutNulls(patch);
}

/** Lists are replaced whole; upstream drops null members of the objects in them, unless an object stood there before. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  return isObject(value) ? merged(undefined, value) : value;
}
