// From the bytes of a request to an object of the kind that is expected: parsing, kind check, unknown and duplicate fields, wrong
// types. Upstream: apimachinery's runtime/serializer/json and the texts of apiserver's create and patch handlers.
import { apiVersionOf, parseApiVersion } from '#machinery/api/object.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { badRequest, invalid } from '#machinery/api/status.ts';
import type { StatusError } from '#machinery/api/status.ts';
import type { Type } from '#machinery/schema/schema.ts';
import { conform } from './conform.ts';
import { countMembers, shallow } from './depth.ts';
import { goPackage } from './go-names.ts';
import { countColons, scanJson } from './scan.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';
export interface ExpectedKind { group: string; version: string; kind: string }

export interface DecodeRequest {
  bytes: Buffer;
  format: 'json' | 'yaml';
  /** Of the query; upstream's default is Warn. */
  fieldValidation: FieldValidation;
  expected: ExpectedKind;
  /** Undefined for custom resources: their fields are checked against their own schema, here only for duplicates. */
  type: Type | undefined;
}
export interface Decoded {
  object: KubeObject;
  /** Texts for Warning headers. */
  warnings: string[];
}

/** Throws 400 in upstream's words. The object is new, holds only what its type knows, and has apiVersion and kind. */
export async function decodeBody({ bytes, format, fieldValidation, expected, type }: DecodeRequest): Promise<Decoded> {
  const parsed = format === 'json' ? parseJson(bytes, expected) : await readYaml(bytes, expected);
  const { object, givenKind, givenVersion } = await expectKind(parsed.value, bytes, expected, type !== undefined);
  const refuse = (why: string): StatusError =>
    badRequest(`${givenKind} in version ${JSON.stringify(givenVersion)} cannot be handled as a ${expected.kind}: ${why}`);
  const findings = shallow(() => type ? conform(object, type) : { unknown: [], error: undefined, members: countMembers(object) });
  if (findings.error !== undefined) throw refuse(findings.error);
  // kind and apiVersion that were filled in are not in the text.
  const problems = [...parsed.problems, ...findings.unknown.map((path) => `unknown field ${JSON.stringify(path)}`)];
  if (format === 'json' && fieldValidation !== 'Ignore' && countColons(bytes) !== findings.members) {
    problems.push(...known(scanJson(bytes.toString()).duplicates, findings.unknown).map((path) => `duplicate field ${JSON.stringify(path)}`));
  }
  setKind(object, expected);
  if (fieldValidation === 'Ignore' || problems.length === 0) return { object, warnings: [] };
  if (fieldValidation === 'Strict') throw refuse(`strict decoding error: ${problems.join(', ')}`);
  return { object, warnings: problems };
}

export interface PatchedRequest {
  /** The outcome of a patch; it is changed in place. */
  object: object;
  type: Type;
  fieldValidation: FieldValidation;
  /** What a refusal shows as the bad value: the patched document as JSON for JSON and merge patches, the patch for strategic ones. */
  shown: () => string;
  /** The bytes of the patch itself, to find members that it has twice. */
  patch?: Buffer;
}

/** Holds a patched object to its type; throws 422 as upstream. */
export function conformPatched({ object, type, fieldValidation, shown, patch }: PatchedRequest): { warnings: string[] } {
  const refuse = (why: string): StatusError => invalid({ group: '', kind: '' }, '', [{ type: 'Invalid', field: 'patch', value: shown(), detail: why }]);
  const findings = shallow(() => conform(object, type));
  if (findings.error !== undefined) throw refuse(findings.error);
  const duplicates = patch && fieldValidation !== 'Ignore' && mayRepeat(patch) ? scanJson(patch.toString()).duplicates : [];
  const isList = patch?.toString('latin1', 0, 64).trimStart().startsWith('[') === true;
  const problems = [
    ...duplicates.map((path) => `${isList ? 'json patch ' : ''}duplicate field ${JSON.stringify(path)}`),
    ...findings.unknown.map((path) => `unknown field ${JSON.stringify(path)}`),
  ];
  if (fieldValidation === 'Strict' && problems.length > 0) throw refuse(`strict decoding error: ${problems.join(', ')}`);
  return { warnings: fieldValidation === 'Warn' ? problems : [] };
}

function mayRepeat(bytes: Buffer): boolean {
  return countColons(bytes) !== countMembers(JSON.parse(bytes.toString()));
}

/** What is in an unknown field, or is one, is reported as unknown only. */
function known(duplicates: readonly string[], unknown: readonly string[]): string[] {
  return duplicates.filter((path) => !unknown.some((one) => path === one || path.startsWith(`${one}.`) || path.startsWith(`${one}[`)));
}

interface Parsed { value: unknown; problems: string[] }

function parseJson(bytes: Buffer, expected: ExpectedKind): Parsed {
  try {
    return { value: JSON.parse(bytes.toString()), problems: [] };
  } catch {
    const why = scanJson(bytes.toString()).error ?? 'invalid JSON';
    throw unrecognized(`couldn't get version/kind; json parse error: ${why}`, bytes, expected);
  }
}

async function readYaml(bytes: Buffer, expected: ExpectedKind): Promise<Parsed> {
  const { parseYaml, YamlError } = await import('./yaml.ts');
  try {
    const { value, duplicates } = await parseYaml(bytes);
    const lines = duplicates.map(({ line, key }) => `  line ${line}: key ${JSON.stringify(key)} already set in map`);
    return { value, problems: lines.length > 0 ? [`yaml: unmarshal errors:\n${lines.join('\n')}`] : [] };
  } catch (error) {
    if (error instanceof YamlError) throw unrecognized(`error converting YAML to JSON: ${error.message}`, bytes, expected);
    throw error;
  }
}

async function expectKind(value: unknown, bytes: Buffer, expected: ExpectedKind, builtin: boolean): Promise<{ object: KubeObject; givenKind: string; givenVersion: string }> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    if (value === null) return { object: {}, givenKind: expected.kind, givenVersion: expected.version };
    const what = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
    throw unrecognized(`couldn't get version/kind; json parse error: json: cannot unmarshal ${what} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`, bytes, expected);
  }
  const object = value as KubeObject; // what is inside is checked by conform()
  for (const field of ['apiVersion', 'kind']) {
    const given: unknown = object[field];
    if (given === undefined || given === null || typeof given === 'string') continue;
    const what = Array.isArray(given) ? 'array' : typeof given === 'boolean' ? 'bool' : typeof given;
    throw unrecognized(`couldn't get version/kind; json parse error: json: cannot unmarshal ${what} into Go struct field .${field} of type string`, bytes, expected);
  }
  const apiVersion = apiVersionOf(expected.group, expected.version);
  const givenKind = object.kind || expected.kind;
  const givenApiVersion = object.apiVersion || apiVersion;
  const givenVersion = givenApiVersion.slice(givenApiVersion.indexOf('/') + 1);
  if (givenKind !== expected.kind || givenApiVersion !== apiVersion) throw await anotherKind({ apiVersion: givenApiVersion, version: givenVersion, kind: givenKind }, expected, builtin);
  return { object, givenKind, givenVersion };
}

/** The built-in kinds are looked up for the words of the refusal only. */
async function anotherKind(given: { apiVersion: string; version: string; kind: string }, expected: ExpectedKind, builtin: boolean): Promise<StatusError> {
  const { loadSchema } = await import('#machinery/schema/schema.ts');
  // Of custom resources any kind is read, as upstream's untyped decoder does.
  const known = !builtin || (await loadSchema()).typeFor(parseApiVersion(given.apiVersion).group, given.version, given.kind) !== undefined;
  if (known && given.kind === expected.kind) {
    return badRequest(`the API version in the data (${given.apiVersion}) does not match the expected API version (${apiVersionOf(expected.group, expected.version)})`);
  }
  const why = known ? `converting (${given.version}.${given.kind}) to (${goPackage(expected.group)}.${expected.kind}): unknown conversion`
    : `no kind ${JSON.stringify(given.kind)} is registered for version ${JSON.stringify(given.apiVersion)} in scheme "pkg/api/legacyscheme/scheme.go:30"`;
  return badRequest(`${given.kind} in version ${JSON.stringify(given.version)} cannot be handled as a ${expected.kind}: ${why}`);
}

function setKind(object: KubeObject, { group, version, kind }: ExpectedKind): void {
  object.kind = kind;
  object.apiVersion = apiVersionOf(group, version);
}

/** Upstream adds the beginning of the body, in hexadecimal unless it looks like an object. */
function unrecognized(why: string, bytes: Buffer, expected: ExpectedKind): StatusError {
  const shown = bytes.toString(bytes[0] === 0x7b ? 'utf8' : 'hex', 0, 30);
  const summary = bytes.length === 0 ? '<empty>' : bytes.length > 30 ? `${shown} ...` : shown;
  return badRequest(`the object provided is unrecognized (must be of type ${expected.kind}): ${why} (${summary})`);
}
