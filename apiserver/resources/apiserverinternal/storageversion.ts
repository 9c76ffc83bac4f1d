// StorageVersions: in which version each API server of a cluster stores a resource. Upstream: pkg/apis/apiserverinternal/validation.
import { dns1035LabelErrors, dns1123SubdomainErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { asObject, duplicate, invalidAll, invalidField, need, objects, required, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';

export const storageVersionStrategy = kindStrategy({ status: true, statusMayChange: [], unconditionalUpdate: false }, {
  default(object) {
    need(object, 'spec');
    need(object, 'status');
  },
  validateName(name) {
    const dot = name.lastIndexOf('.');
    if (dot < 0) return ['name must be in the form of <group>.<resource>'];
    return [...dns1123SubdomainErrors(name.slice(0, dot)).map((error) => `the group segment ${error}`), ...dns1035LabelErrors(name.slice(dot + 1)).map((error) => `the resource segment ${error}`)];
  },
  status: { validateUpdate: (object) => validateStatus(asObject(object['status']) ?? {}) },
});

function validateStatus(status: Obj): FieldError[] {
  const servers = objects(status['storageVersions']);
  const ids = servers.map((server) => text(server['apiServerID']));
  return [
    ...servers.flatMap((server, index) => {
      const path = `status.storageVersions[${index}]`;
      return [...(ids.indexOf(ids[index] ?? '') < index ? [duplicate(`${path}.apiServerID`, ids[index])] : []), ...validateServer(server, path)];
    }),
    ...validateCommon(servers, status['commonEncodingVersion']),
    ...validateConditions(objects(status['conditions'])),
  ];
}

function validateServer(server: Obj, path: string): FieldError[] {
  const [id, encoding] = [text(server['apiServerID']), text(server['encodingVersion'])];
  const [decodable, served] = [strings(server['decodableVersions']), strings(server['servedVersions'])];
  const version = (one: string, here: string): FieldError[] => {
    const problems = apiVersionErrors(one);
    return problems.length === 0 ? [] : [invalidField(here, one, problems.join(','))];
  };
  return [
    ...invalidAll(`${path}.apiServerID`, id, dns1123SubdomainErrors(id)),
    ...version(encoding, `${path}.encodingVersion`),
    ...decodable.flatMap((one, index) => version(one, `${path}.decodableVersions[${index}]`)),
    ...(decodable.includes(encoding) ? [] : [invalidField(`${path}.decodableVersions`, server['decodableVersions'] ?? null, `decodableVersions must include encodingVersion ${encoding}`)]),
    ...served.flatMap((one, index) => {
      const here = `${path}.servedVersions[${index}]`;
      return [...version(one, here), ...(decodable.includes(one) ? [] : [invalidField(here, one, `individual served version : ${one} must be included in decodableVersions : [${decodable.join(' ')}]`)])];
    }),
  ];
}

/** `v1` or `example.com/v1`. */
function apiVersionErrors(given: string): string[] {
  const parts = given.split('/');
  if (parts.length > 2) {
    return ["an apiVersion is a DNS-1035 label, which must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')"];
  }
  const version = parts.at(-1) ?? '';
  const part = (name: string, value: string, problems: readonly string[]): string[] => (value === '' ? [`${name} part: must be non-empty`] : problems.map((problem) => `${name} part: ${problem}`));
  return [...(parts.length === 2 ? part('group', parts[0] ?? '', dns1123SubdomainErrors(parts[0] ?? '')) : []), ...part('version', version, dns1035LabelErrors(version))];
}

function validateCommon(servers: readonly Obj[], said: unknown): FieldError[] {
  const path = 'status.commonEncodingVersion';
  const encodings = new Set(servers.map((server) => text(server['encodingVersion'])));
  const [actual] = encodings.size === 1 ? encodings : [];
  if (actual === undefined) return said === undefined ? [] : [invalidField(path, said, 'should be nil if servers do not agree on the same encoding version, or if there is no server reporting the supported versions yet')];
  if (said === undefined) return [invalidField(path, null, `the common encoding version is ${actual}`)];
  return said === actual ? [] : [invalidField(path, said, `the actual common encoding version is ${actual}`)];
}

/** Paths lack the field's name, as upstream. */
function validateConditions(conditions: readonly Obj[]): FieldError[] {
  const seen = new Map<string, number>();
  return conditions.flatMap((condition, index) => {
    const path = `status[${index}]`;
    const [type, status] = [text(condition['type']), text(condition['status'])];
    const before = seen.get(type);
    seen.set(type, index);
    return [
      ...(before === undefined ? [] : [invalidField(`${path}.type`, type, `the type of the condition is not unique, it also appears in conditions[${before}]`)]),
      ...invalidAll(`${path}.type`, type, qualifiedNameErrors(type)), ...invalidAll(`${path}.status`, status, qualifiedNameErrors(status)),
      ...(text(condition['reason']) === '' ? [required(`${path}.reason`)] : []), ...(text(condition['message']) === '' ? [required(`${path}.message`)] : []),
    ];
  });
}
