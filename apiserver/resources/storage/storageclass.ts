// StorageClasses and VolumeAttributesClasses. Upstream: pkg/apis/storage/validation.
import { isDeepStrictEqual } from 'node:util';
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { asObject, duplicate, entries, forbiddenField, invalidAll, invalidField, objects, oneOf, required, same, setMissing, strings, text, tooLong, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';

const mostParameters = 512;
const parameterBytes = 256 * 1024;
const fixed = ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'];

export const storageClassStrategy = kindStrategy({}, {
  default(object) {
    setMissing(object, 'reclaimPolicy', 'Delete');
    setMissing(object, 'volumeBindingMode', 'Immediate');
  },
  validate(object) {
    return [
      ...validateProvisioner('provisioner', text(object['provisioner'])),
      ...validateParameters(object['parameters'], true),
      ...(text(object['reclaimPolicy']) === '' ? [] : oneOf('reclaimPolicy', object['reclaimPolicy'], ['Delete', 'Retain'])),
      ...oneOf('volumeBindingMode', object['volumeBindingMode'], ['Immediate', 'WaitForFirstConsumer']),
      ...validateTopologies(objects(object['allowedTopologies'])),
    ];
  },
  validateUpdate: (object, old) => fixed.flatMap((field) => unchanged(field, object[field], old[field])),
});

export const volumeAttributesClassStrategy = kindStrategy({}, {
  validate: (object, _, old) => [
    ...['driverName', 'parameters'].flatMap((field) => (!old || same(object[field], old[field]) ? [] : [forbiddenField(field, `updates to ${field} are forbidden.`)])),
    ...validateProvisioner('driverName', text(object['driverName'])),
    ...validateParameters(object['parameters'], false),
  ],
});

function validateProvisioner(path: string, name: string): FieldError[] {
  const lower = name.toLowerCase();
  return name === '' ? [required(path)] : invalidAll(path, lower, qualifiedNameErrors(lower));
}

function validateParameters(parameters: unknown, mayBeEmpty: boolean): FieldError[] {
  const pairs = entries(parameters);
  if (pairs.length > mostParameters) return [tooLong('parameters', mostParameters)];
  const errors: FieldError[] = pairs.filter(([key]) => key === '').map(([key]) => invalidField('parameters', key, 'field can not be empty.'));
  const bytes = pairs.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(text(value)), 0);
  if (bytes > parameterBytes) errors.push(tooLong('parameters', parameterBytes));
  if (!mayBeEmpty && pairs.length === 0) errors.push(required('parameters', 'must contain at least one key/value pair'));
  return errors;
}

function validateTopologies(terms: readonly Obj[]): FieldError[] {
  // Upstream compares with one empty term for each there is, so that a term without expressions is always a duplicate.
  const seen: Obj[] = terms.map(() => ({}));
  return terms.flatMap((term, index) => {
    const path = `allowedTopologies[${index}].matchLabelExpressions`;
    const { errors, values } = validateTerm(objects(term['matchLabelExpressions']), path);
    for (const other of seen) if (isDeepStrictEqual(other, values)) errors.push(duplicate(path, ''));
    seen.push(values);
    return errors;
  });
}
/** `values` are the sorted values by key. */
function validateTerm(expressions: readonly Obj[], path: string): { errors: FieldError[]; values: Obj } {
  const values: Obj = {};
  const errors = expressions.flatMap((expression, index) => {
    const here = `${path}[${index}]`;
    const key = text(expression['key']);
    const list = strings(expression['values']);
    const found: FieldError[] = list.length === 0 ? [required(`${here}.values`)] : [];
    list.forEach((value, at) => {
      if (list.indexOf(value) < at) found.push(duplicate(`${here}.values[${at}]`, value));
    });
    found.push(...invalidAll(`${here}.key`, key, qualifiedNameErrors(key)));
    if (asObject(values)?.[key] !== undefined) found.push(duplicate(`${here}.key`, key));
    values[key] = [...new Set(list)].sort();
    return found;
  });
  return { errors, values };
}
