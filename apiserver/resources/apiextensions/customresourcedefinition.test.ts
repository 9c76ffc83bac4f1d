// What upstream says of definitions, good and bad: testdata/definitions.json changes a small one, a thing at a time, and
// testdata/definition-expressions.json its rules. Errors there are sorted, since upstream walks maps in any order, and cut at 200 characters.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import type { KubeObject } from '#machinery/api/object.ts';
import { create, rowOf, update } from '../testing.ts';
import type { Outcome } from '../testing.ts';

interface Change {
  spec?: object;
  /** Of the first version; null takes it away. */
  schema?: object;
  version?: object;
  status?: object;
  name?: string;
  annotations?: Record<string, string>;
}
interface Case extends Change { about: string; on: string; old?: Change; errors: string[]; warnings?: string[] }

const id = 'customresourcedefinitions.apiextensions.k8s.io';
const established = { conditions: [{ type: 'Established', status: 'True' }], acceptedNames: { plural: 'foos', kind: 'Foo' }, storedVersions: ['v1'] };
const unserved = { acceptedNames: { plural: '', kind: '' }, storedVersions: ['v1'] };

function definition({ spec, schema = { type: 'object' }, version, status, name = 'foos.example.com', annotations }: Change = {}): KubeObject {
  const made: Record<string, unknown> = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema }, ...version };
  if (made['schema'] === null) delete made['schema'];
  return structuredClone({
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name, ...(annotations ? { annotations } : {}) },
    spec: { group: 'example.com', scope: 'Namespaced', names: { plural: 'foos', kind: 'Foo' }, versions: [made], ...spec }, ...(status ? { status } : {}),
  });
}
function write(one: Case): Outcome {
  if (one.on === 'create') return create(id, definition(one));
  const old = definition(one.old);
  old.metadata = { ...old.metadata, uid: 'u', resourceVersion: '1', generation: 1 };
  if (one.on === 'update/status') old['status'] = established;
  old['status'] ??= unserved;
  const now = definition(one);
  return update(id, old, (object) => Object.assign(object, { spec: now['spec'], status: now['status'] ?? object['status'], metadata: { ...now.metadata, ...old.metadata, annotations: now.metadata?.annotations ?? {} } }),
    one.on.split('/')[1] ?? '');
}

describe('CustomResourceDefinition', () => {
  before(() => rowOf(id).strategy.load?.({}));
  // Read as text: the compiler would look for one type of hundreds of schemas.
  const read = (name: string): Case[] => JSON.parse(readFileSync(new URL(`../testdata/${name}.json`, import.meta.url), 'utf8')) as Case[];
  const check = (one: Case, cut: number): void => {
    const { object, errors } = write(one);
    const shown = [...new Set(errors)].toSorted().map((error) => (error.length > cut ? `${error.slice(0, cut - 1)}…` : error));
    expect(shown, JSON.stringify(one)).to.deep.equal(one.errors);
    if (one.on === 'create' && errors.length === 0) expect(rowOf(id).strategy.warnings?.(object, undefined)).to.deep.equal(one.warnings ?? []);
  };
  for (const [about, rows] of Object.entries(Object.groupBy(read('definitions'), (one) => one.about))) {
    it(`${about}: ${rows?.length} cases`, () => rows?.forEach((one) => check(one, 200)));
  }
  // Texts there are cut at 320 characters: they quote the expressions.
  for (const [about, rows] of Object.entries(Object.groupBy(read('definition-expressions'), (one) => one.about))) {
    it(`${about}: ${rows?.length} expressions`, () => rows?.forEach((one) => check(one, 320)));
  }

  it('gets names, a strategy of conversion and its stored version by default', () => {
    const { object } = create(id, definition());
    expect(object['spec']).to.deep.include({ names: { plural: 'foos', singular: 'foo', kind: 'Foo', listKind: 'FooList' }, conversion: { strategy: 'None' } });
    expect(object['status']).to.deep.equal({ acceptedNames: { plural: '', kind: '' }, conditions: null, storedVersions: ['v1'] });
    expect(object.metadata?.generation).to.equal(1);
  });
  it('has no status of the one who creates it', () => {
    expect(create(id, definition({ status: established })).object['status']).to.deep.equal({ acceptedNames: { plural: '', kind: '' }, conditions: null, storedVersions: ['v1'] });
  });
  it('remembers every version that was stored', () => {
    const { object } = update(id, definition({ status: established }), (one) => {
      const versions = (one['spec'] as { versions: object[] }).versions;
      Object.assign(one['spec'] as object, { versions: [...versions.map((version) => ({ ...version, storage: false })), { ...versions[0], name: 'v2' }] });
    });
    expect(object['status']).to.deep.include({ storedVersions: ['v1', 'v2'] });
  });
  it('warns of formats that nobody checks, of those it had before no more', () => {
    const old = create(id, definition({ schema: { type: 'object', properties: { a: { type: 'string', format: 'magic' } } } })).object;
    const warnings = (object: KubeObject, before?: KubeObject): string[] | undefined => rowOf(id).strategy.warnings?.(object, before);
    expect(warnings(old)).to.deep.equal(['unrecognized format "magic"']);
    expect(warnings(old, old)).to.deep.equal([]);
  });
  it('answers whatever a schema holds', () => {
    const members = ['type', 'properties', 'items', 'additionalProperties', 'default', 'enum', 'required', 'pattern', 'format', 'maximum', 'anyOf', 'not', 'dependencies', 'x-kubernetes-validations', 'rule', 'fieldPath',
      'x-kubernetes-list-type', 'x-kubernetes-list-map-keys', 'x-kubernetes-embedded-resource', 'x-kubernetes-int-or-string', 'x-kubernetes-preserve-unknown-fields', 'metadata', '__proto__'];
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof({ depthSize: 'medium' }, fc.constantFrom<unknown>('object', 'array', 'string', 'set', 'map', '.a', 'self', '[', '', 0, 1.5, true, false, null), fc.array(tie('value'), { maxLength: 3 }),
        fc.array(fc.tuple(fc.constantFrom(...members), tie('value')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries))),
    }));
    fc.assert(fc.property(value, value, (before, after) => {
      const old = create(id, definition({ schema: before as object })).object; // of any type, as clients send it
      update(id, old, (object) => Object.assign(object, { spec: definition({ schema: after as object })['spec'] }));
    }), { numRuns: 300 });
  });
});
