// For tests: tables of cases that change one field of an object, and what the kind's rules say of it.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { create, rowOf, update } from './testing.ts';

type Json = Record<string, unknown>;
/** `path` leads to the field; `value` is put there, or `gone` takes it out; neither: the object as it is. */
export interface RuleCase { on: string; path: (string | number)[]; value?: unknown; gone?: true; errors: string[] }

const errorChars = 150;

function changed(object: Json, { path, gone, ...rest }: RuleCase): Json {
  if (path.length === 0) return 'value' in rest ? rest.value as Json : object; // the whole object
  const made = structuredClone(object);
  let here: Json = made;
  for (const step of path.slice(0, -1)) here = here[step] as Json; // the path leads somewhere
  const last = path.at(-1) ?? '';
  if (gone) delete here[last];
  else here[last] = structuredClone(rest.value);
  return made;
}
function storedForm(id: string, object: Json): KubeObject {
  const { group, version, kind, strategy } = rowOf(id);
  return {
    apiVersion: `${group}/${version}`, kind, ...structuredClone(object),
    metadata: { ...object['metadata'] as Json, uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-02T03:04:05Z', ...(strategy.generation === 'spec' ? { generation: 1 } : {}) },
  };
}
const cut = (text: string): string => (text.length > errorChars ? `${text.slice(0, errorChars - 1)}…` : text);

export function rulesHold(objects: Readonly<Record<string, { id: string; object: Json }>>, data: Readonly<Record<string, RuleCase[]>>): void {
  for (const [name, cases] of Object.entries(data)) it(`${name}: ${cases.length} cases`, () => {
    const { id, object } = objects[name] ?? expect.fail(`no object ${name}`);
    for (const one of cases) {
      const [verb, subresource = ''] = one.on.split('/');
      const { errors } = verb === 'create' ? create(id, changed(object, one)) : update(id, storedForm(id, object), (stored) => {
        const made = changed(stored, one);
        for (const field of Object.keys(stored)) if (!(field in made)) delete stored[field];
        Object.assign(stored, made);
      }, subresource);
      expect(errors.map(cut), `${one.on} ${one.path.join('/')} ${JSON.stringify(one.value)}`).to.deep.equal(one.errors);
    }
  });
}
