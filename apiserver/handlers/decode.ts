// From a request's body to an object of the kind that the path names.
import { apiVersionOf } from '#machinery/api/object.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { badRequest } from '#machinery/api/status.ts';
import { checkDepth } from '../decoding/depth.ts';
import { goPackage } from '../decoding/go-names.ts';
import type { BodyFormat } from './negotiate.ts';
import type { Writable } from './store.ts';

/** A body to a value; throws 400. */
export async function parseBody(body: Buffer, format: BodyFormat): Promise<unknown> {
  const value = format === 'protobuf' ? await parseProtobuf(body) : format === 'json' ? parseJson(body.toString()) : await readYaml(body);
  checkDepth(value);
  return value;
}

async function readYaml(body: Buffer): Promise<unknown> {
  const { parseYaml, YamlError } = await import('../decoding/yaml.ts');
  try {
    return (await parseYaml(body)).value;
  } catch (error) {
    if (error instanceof YamlError) throw badRequest(`error converting YAML to JSON: ${error.message}`);
    throw error;
  }
}

async function parseProtobuf(body: Buffer): Promise<unknown> {
  const { ProtobufError, loadProtobuf } = await import('#machinery/schema/protobuf.ts');
  try {
    return (await loadProtobuf()).decode(body);
  } catch (error) {
    if (error instanceof ProtobufError) throw badRequest(error.message);
    throw error;
  }
}

/** Throws 400, also for what is nested too deep. */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badRequest(`couldn't get version/kind; json parse error: ${error instanceof Error ? error.message : String(error)}`);
  }
  checkDepth(value);
  return value;
}

export interface ExpectedKind { group: string; version: string; kind: string }

/** The value as an object of that kind: a missing apiVersion or kind is filled in, a different one is 400. Metadata is there afterwards. */
export function asKind(value: unknown, expected: ExpectedKind): Writable {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badRequest(`couldn't get version/kind; json parse error: json: cannot unmarshal ${Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`);
  }
  const object = value as KubeObject; // what is inside is checked here for metadata, by the schema for the rest
  for (const field of ['apiVersion', 'kind']) {
    if (object[field] !== undefined && object[field] !== null && typeof object[field] !== 'string') {
      throw badRequest(`couldn't get version/kind; json parse error: json: cannot unmarshal ${typeof object[field]} into Go struct field .${field} of type string`);
    }
  }
  const apiVersion = apiVersionOf(expected.group, expected.version);
  const givenKind = object.kind || expected.kind;
  const givenVersion = object.apiVersion || apiVersion;
  if (givenKind !== expected.kind) {
const version = givenVersion.slice(givenVersion.indexOf('/') + 1);
    throw badRequest(`${givenKind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: converting (${version}.${givenKind}) to (${goPackage(expected.group)}.${expected.kind}): unknown conversion`);
  }
  if (givenVersion !== apiVersion) throw badRequest(`the API version in the data (${givenVersion}) does not match the expected API version (${apiVersion})`);
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = object;
  checkMetadata(metadata, expected.kind);
  return { kind: expected.kind, apiVersion, metadata: metadata ?? {}, ...rest };
}

const strings = ['name', 'generateName', 'namespace', 'uid', 'resourceVersion', 'creationTimestamp', 'deletionTimestamp', 'selfLink'];

/** The members that every handler relies on; null counts as absent. */
function checkMetadata(metadata: unknown, kind: string): void {
  const refuse = (what: string, field: string, type: string): never => {
    throw badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: json: cannot unmarshal ${what} into Go struct field ${kind}.metadata${field} of type ${type}`);
  };
  if (metadata === undefined || metadata === null) return;
  if (typeof metadata !== 'object' || Array.isArray(metadata)) return refuse(Array.isArray(metadata) ? 'array' : typeof metadata, '', 'v1.ObjectMeta');
  const members = metadata as Record<string, unknown>;
  for (const [name, value] of Object.entries(members)) if (value === null) delete members[name];
  for (const name of strings) if (name in members && typeof members[name] !== 'string') refuse(typeof members[name], `.${name}`, 'string');
  for (const name of ['creationTimestamp', 'deletionTimestamp']) {
    if (name in members && Number.isNaN(Date.parse(String(members[name])))) refuse('string', `.${name}`, 'v1.Time');
  }
  for (const name of ['labels', 'annotations']) {
    const map = members[name];
    if (map === undefined) continue;
    if (typeof map !== 'object' || map === null || Array.isArray(map)) return refuse(Array.isArray(map) ? 'array' : typeof map, `.${name}`, 'map[string]string');
    for (const [key, value] of Object.entries(map)) {
      if (value === null) (map as Record<string, unknown>)[key] = '';
      else if (typeof value !== 'string') refuse(typeof value, `.${name}`, 'string');
    }
  }
  for (const name of ['finalizers', 'ownerReferences', 'managedFields']) {
    const list: unknown = members[name];
    if (list === undefined) continue;
    if (!Array.isArray(list)) return refuse(typeof list, `.${name}`, 'slice');
    const wanted = name === 'finalizers' ? 'string' : 'object';
    for (const item of list as unknown[]) if (typeof item !== wanted || item === null) refuse(item === null ? 'null' : typeof item, `.${name}`, wanted);
  }
  for (const name of ['generation', 'deletionGracePeriodSeconds']) if (name in members && !Number.isSafeInteger(members[name])) refuse(typeof members[name], `.${name}`, 'int64');
}
