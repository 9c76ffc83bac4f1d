// CustomResourceDefinitions: which custom resources there are, and what they look like. Upstream: apiextensions-apiserver's
// registry/customresourcedefinition and apis/apiextensions/v1/defaults.go.
import type { KubeObject } from '#machinery/api/object.ts';
import { keepField, kindStrategy } from '../basic.ts';
import { asObject, at, items, need, objects, setEmpty, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { definitionNameErrors, validateDefinitionStatus } from './names-validation.ts';

/** With schemas and the language of rules, which no server needs before somebody writes a definition. */
let rules: typeof import('./definition-validation.ts') | undefined;

export const definitionStrategy = kindStrategy({
  status: true, generation: 'spec', unconditionalUpdate: false,
  initialStatus: (object) => ({ ...emptyStatus(), storedVersions: storageVersion(object) }),
}, {
  default: defaultDefinition,
  load: async () => {
    rules ??= await import('./definition-validation.ts');
  },
  validate(object, _, old) {
    if (!rules) throw new Error('a definition is validated before its rules were loaded');
    return [...(old ? [] : definitionNameErrors(object)), ...rules.validateDefinition(object, old)];
  },
  prepareForUpdate(object, old) {
    keepField(object, old, 'status');
    const status = need(object, 'status');
    status['storedVersions'] = [...new Set([...strings(status['storedVersions']), ...storageVersion(object)])];
  },
  status: { validateUpdate: validateDefinitionStatus },
  warnings: (object, old) => rules?.definitionWarnings(object, old) ?? [],
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
