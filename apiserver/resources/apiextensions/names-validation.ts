// The names of CustomResourceDefinitions, which status holds too. Upstream: apis/apiextensions/validation/validation.go.
import { dns1035LabelErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, invalidField, required, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';

/** `plural.group`, told as a second thing that may be wrong with a name. */
export function definitionNameErrors(object: Readonly<KubeObject>): FieldError[] {
  const name = object.metadata?.name ?? '';
  const expected = `${text(at(object, 'spec', 'names', 'plural'))}.${text(at(object, 'spec', 'group'))}`;
  return name === expected ? [] : [invalidField('metadata.name', name, 'must be spec.names.plural+"."+spec.group')];
}

export function validateDefinitionStatus(object: Readonly<KubeObject>): FieldError[] {
  return validateNameFormats(asObject(at(object, 'status', 'acceptedNames')) ?? {}, 'status.acceptedNames');
}

export function validateNames(names: Obj): FieldError[] {
  return [
    ...['plural', 'singular', 'kind', 'listKind'].filter((field) => text(names[field]) === '').map((field) => required(`spec.names.${field}`)),
    ...validateNameFormats(names, 'spec.names'),
  ];
}
function validateNameFormats(names: Obj, path: string): FieldError[] {
  const check = (field: string, value: string, mixed = false): FieldError[] => {
    const wrong = value === '' ? [] : dns1035LabelErrors(mixed ? value.toLowerCase() : value);
    return wrong.length === 0 ? [] : [invalidField(`${path}.${field}`, value, `${mixed ? 'may have mixed case, but should otherwise match: ' : ''}${wrong.join(',')}`)];
  };
  const list = (field: string): FieldError[] => strings(names[field]).flatMap((value, index) => {
    const wrong = dns1035LabelErrors(value);
    return wrong.length === 0 ? [] : [invalidField(`${path}.${field}[${index}]`, value, wrong.join(','))];
  });
  const [kind, listKind] = [text(names['kind']), text(names['listKind'])];
  return [
    ...check('plural', text(names['plural'])), ...check('singular', text(names['singular'])), ...check('kind', kind, true), ...check('listKind', listKind, true),
    ...list('shortNames'),
    ...(kind !== '' && kind === listKind ? [invalidField(`${path}.listKind`, listKind, 'kind and listKind may not be the same')] : []),
    ...list('categories'),
  ];
}
