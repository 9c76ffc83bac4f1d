// ControllerRevisions: the states that StatefulSets and DaemonSets can go back to. Upstream: pkg/apis/apps/validation.
import { isDeepStrictEqual } from 'node:util';
import { kindStrategy } from '../basic.ts';
import { immutable, invalidField, isObject, notNegative, required } from '../values.ts';

export const controllerRevisionStrategy = kindStrategy({}, {
  validate(object, _, old) {
    const data = object['data'];
    const errors = notNegative('revision', object['revision']);
    if (old) return errors;
    if (data === undefined || data === null) errors.push(required('data', 'data is mandatory'));
    else if (!isObject(data)) errors.push(required('data', 'data must be a valid JSON object'));
    return errors;
  },
  // Data of any shape: an empty field is not a missing one.
  validateUpdate: (object, old) => (isDeepStrictEqual(object['data'], old['data']) ? [] : [invalidField('data', object['data'] ?? null, immutable)]),
});
