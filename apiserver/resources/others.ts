// Kinds whose rules are little more than data: defaults, what a write may change, generation. Their validation checks
// metadata (by the handlers) and nothing else yet. Defaults: upstream's pkg/apis/<group>/<version>/defaults.go.
import { basicStrategy, keepField } from './basic.ts';
import type { Basics } from './basic.ts';
import type { Strategy } from './resource.ts';
import { asObject, at, invalidField, items, need, objects, setEmpty, setMissing, text, unchanged } from './values.ts';
import type { Obj } from './values.ts';

interface Other extends Basics {
  default?: (object: Obj) => void;
  more?: Partial<Strategy>;
}

const replicated = { status: true, generation: 'spec' } as const;
const noPut = { unconditionalUpdate: false } as const;

const others: Readonly<Record<string, Other>> = {
  'apiextensions.k8s.io/customresourcedefinitions': { ...replicated, ...noPut, default: defaultDefinition, initialStatus: (object) => ({ ...emptyDefinitionStatus(), storedVersions: storageVersions(object) }), more: {
    validateName: () => [],
    validate: (object) => {
      const expected = `${text(at(object, 'spec', 'names', 'plural'))}.${text(at(object, 'spec', 'group'))}`;
      return object.metadata?.name === expected ? [] : [invalidField('metadata.name', object.metadata?.name ?? '', `must be spec.names.plural+"."+spec.group`)];
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
  } },
  'resource.k8s.io/deviceclasses': { generation: 'spec' },
  'resource.k8s.io/resourceclaims': { status: true, statusMayChange: [], default: (object) => setMissing(object, 'status', {}),
    more: { validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']) } },
  'resource.k8s.io/resourceclaimtemplates': { more: { validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']) } },
  'resource.k8s.io/resourceslices': { generation: 'spec', more: {
    validateUpdate: (object, old) => [['pool', 'name'], ['driver'], ['nodeName']].flatMap((path) => unchanged(`spec.${path.join('.')}`, at(object, 'spec', ...path), at(old, 'spec', ...path))),
    fieldLabels: { 'spec.driver': (object) => text(at(object, 'spec', 'driver')), 'spec.nodeName': (object) => text(at(object, 'spec', 'nodeName')) },
    fieldLabelError: (label) => `field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: ${label}`,
  } },
};

/** By resource id, and by `id/version` where a version has rules of its own. */
export function otherStrategies(): Record<string, Strategy> {
  const made: Record<string, Strategy> = {};
  for (const [name, { default: defaults, more, ...basics }] of Object.entries(others)) {
    const [group = '', resource = '', version] = name.split('/');
    const id = group === '' ? resource : `${resource}.${group}`;
    const basic = basicStrategy(basics);
    const prepareForCreate = more?.prepareForCreate;
    made[version === undefined ? id : `${id}/${version}`] = {
      ...basic, ...more,
      ...(defaults ? { default: defaults } : {}),
      // A kind's own step comes on top of the common one.
      ...(prepareForCreate ? { prepareForCreate: (object, context) => {
        basic.prepareForCreate?.(object, context);
        prepareForCreate(object, context);
      } } : {}),
    };
  }
  return made;
}

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
