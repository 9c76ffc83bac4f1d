// CustomResourceDefinitions: defaults, names and stored versions. Schemas, conversion and printer columns are not checked yet.
// Upstream: apiextensions-apiserver's pkg/apis/apiextensions.
import { keepField, kindStrategy } from '../basic.ts';
import { asObject, at, invalidField, items, need, objects, setEmpty, setMissing, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';

export const definitionStrategy = kindStrategy({
  status: true, generation: 'spec', unconditionalUpdate: false,
  initialStatus: (object) => ({ ...emptyDefinitionStatus(), storedVersions: storageVersions(object) }),
}, {
  default: defaultDefinition,
  validateName: () => [],
  validate(object) {
    const expected = `${text(at(object, 'spec', 'names', 'plural'))}.${text(at(object, 'spec', 'group'))}`;
    return object.metadata?.name === expected ? [] : [invalidField('metadata.name', object.metadata?.name ?? '', 'must be spec.names.plural+"."+spec.group')];
  },
  prepareForUpdate(object, old) {
    keepField(object, old, 'status');
    const status = need(object, 'status');
    status['storedVersions'] = [...new Set([...items(status['storedVersions']), ...storageVersions(object)])];
  },
  validateUpdate: (object, old) => [
    ...unchanged('spec.group', at(object, 'spec', 'group'), at(old, 'spec', 'group')),
    ...unchanged('spec.names.plural', at(object, 'spec', 'names', 'plural'), at(old, 'spec', 'names', 'plural')),
  ],
});

function defaultDefinition(object: Obj): void {
  const spec = need(object, 'spec');
  const names = need(spec, 'names');
  const kind = text(names['kind']);
  setEmpty(names, 'singular', kind.toLowerCase());
  if (kind !== '') setEmpty(names, 'listKind', `${kind}List`);
  setMissing(spec, 'conversion', { strategy: 'None' });
  const service = asObject(at(spec, 'conversion', 'webhook', 'clientConfig', 'service'));
  if (service) setMissing(service, 'port', 443);
  const status = need(object, 'status');
  for (const [name, value] of Object.entries(emptyDefinitionStatus())) setMissing(status, name, value);
  if (items(status['storedVersions']).length === 0) status['storedVersions'] = storageVersions(object);
}
function emptyDefinitionStatus(): Obj {
  return { acceptedNames: { kind: '', plural: '' }, conditions: [] };
}
function storageVersions(object: Obj): string[] {
  return objects(at(object, 'spec', 'versions')).filter((version) => version['storage'] === true).map((version) => text(version['name']));
}
