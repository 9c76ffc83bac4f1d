// ControllerRevisions: the states that StatefulSets and DaemonSets can go back to. Upstream: pkg/apis/apps/validation.
import { kindStrategy } from '../basic.ts';
import { isObject, notNegative, required, unchanged } from '../values.ts';

export const controllerRevisionStrategy = kindStrategy({}, {
  validate(object, _, old) {
    const data = object['data'];
    const errors = notNegative('revision', object['revision']);
    if (old) return errors;
    if (data === undefined || data === null) errors.push(required('data', 'data is mandatory'));
    else if (!isObject(data)) errors.push(required('data', 'data must be a valid JSON object'));
    return errors;
  },
  validateUpdate: (object, old) => unchanged('data', object['data'], old['data']),
});
