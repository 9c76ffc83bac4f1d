// An object that somebody else made of the one in a write, as if it had been sent so: held to its type, with defaults.
import type { KubeObject } from '#machinery/api/object.ts';
import { apiVersionOf } from '#machinery/api/object.ts';
import { internalError } from '#machinery/api/status.ts';
import { loadSchema } from '#machinery/schema/schema.ts';
import { conform } from '../../decoding/conform.ts';
import { shallow } from '../../decoding/depth.ts';
import type { Form } from './request.ts';

/** `made` is changed and returned. What its type does not know goes silently unless it is `strict`. Throws 500, as it is not the client's mistake. */
export async function readObject(made: object, { kind, row }: Form, subresource: string, { strict = false } = {}): Promise<KubeObject> {
  const object = made as KubeObject; // what is inside is looked at next
  if (Array.isArray(made)) throw internalError('json: cannot unmarshal array into Go value of type v1.TypeMeta');
  const apiVersion = apiVersionOf(kind.group, kind.version);
  if ((object.kind ?? kind.kind) !== kind.kind || (object.apiVersion ?? apiVersion) !== apiVersion) {
    throw internalError(`the object became a ${String(object.kind)} of ${String(object.apiVersion)}, which is no ${kind.kind} of ${apiVersion}`);
  }
  object.kind = kind.kind;
  object.apiVersion = apiVersion;
  const type = (await loadSchema()).typeFor(kind.group, kind.version, kind.kind);
  const { error, unknown = [] } = type ? shallow(() => conform(object, type)) : {};
  if (error !== undefined) throw internalError(error);
  if (strict && unknown.length > 0) throw internalError(`strict decoding error: ${unknown.map((path) => `unknown field ${JSON.stringify(path)}`).join(', ')}`);
  object.metadata ??= {};
  if (subresource === '' || kind.kind === row.kind) row.strategy.default?.(object);
  return object;
}
