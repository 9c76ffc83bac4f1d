// CustomResourceDefinitions: which custom resources there are, and what they look like. Upstream: apiextensions-apiserver's
// registry/customresourcedefinition and apis/apiextensions/v1/defaults.go.
import type { KubeObject } from '#machinery/api/object.ts';
import { keepField, kindStrategy } from '../basic.ts';
import { asObject, at, items, need, objects, setEmpty, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { readDefinition, schemasOf, storedVersions } from './definition.ts';
import { definitionNameErrors, validateDefinition, validateDefinitionStatus } from './definition-validation.ts';
import { isKnownFormat } from './schema/formats.ts';
import { someSchema } from './schema/json-schema.ts';

export const definitionStrategy = kindStrategy({
  status: true, generation: 'spec', unconditionalUpdate: false,
  initialStatus: (object) => ({ ...emptyStatus(), storedVersions: storageVersion(object) }),
}, {
  default: defaultDefinition,
  validate: (object, _, old) => [...(old ? [] : definitionNameErrors(object)), ...validateDefinition(object, old)],
  prepareForUpdate(object, old) {
    keepField(object, old, 'status');
    const status = need(object, 'status');
    status['storedVersions'] = [...new Set([...storedVersions(object), ...storageVersion(object)])];
  },
  status: { validateUpdate: validateDefinitionStatus },
  warnings(object, old) {
    const before = new Set(old ? unknownFormats(old) : []);
    return unknownFormats(object).filter((format) => !before.has(format)).map((format) => `unrecognized format ${JSON.stringify(format)}`);
  },
});

function defaultDefinition(object: KubeObject): void {
  const spec = need(object, 'spec');
  const names = need(spec, 'names');
  const kind = text(names['kind']);
  if (kind !== '') {
    setEmpty(names, 'singular', kind.toLowerCase());
    setEmpty(names, 'listKind', `${kind}List`);
  }
  for (const version of objects(spec['versions'])) for (const field of ['served', 'storage']) setMissing(version, field, false);
  setMissing(spec, 'conversion', { strategy: 'None' });
  const service = asObject(at(spec, 'conversion', 'webhook', 'clientConfig', 'service'));
  if (service) setMissing(service, 'port', 443);
  const status = need(object, 'status');
  for (const [name, value] of Object.entries(emptyStatus())) setMissing(status, name, value);
  if (items(status['storedVersions']).length === 0) status['storedVersions'] = storageVersion(object);
}
function emptyStatus(): Obj {
  return { acceptedNames: { kind: '', plural: '' }, conditions: null };
}
function storageVersion(object: Readonly<KubeObject>): string[] {
  const version = objects(at(object, 'spec', 'versions')).find((one) => one['storage'] === true);
  return version ? [text(version['name'])] : [];
}

function unknownFormats(object: Readonly<KubeObject>): string[] {
  const found: string[] = [];
  for (const schema of schemasOf(readDefinition(object))) {
    someSchema(schema, ({ format, type = '' }) => {
      if (format !== undefined && !isKnownFormat(format, type)) found.push(format);
      return false;
    });
  }
  return found;
}
