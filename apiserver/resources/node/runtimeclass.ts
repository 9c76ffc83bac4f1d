// RuntimeClasses. Upstream: pkg/apis/node/validation.
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { defaultResourceList } from '../core/pod-defaults.ts';
import { validateTolerations } from '../core/pod-scheduling-validation.ts';
import { validateResources } from '../core/resources-validation.ts';
import { validateLabels } from '../meta.ts';
import { asObject, at, duplicate, invalidAll, objects, required, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';

export const runtimeClassStrategy = kindStrategy({ createOnUpdate: true, unconditionalUpdate: false }, {
  default: (object) => defaultResourceList(at(object, 'overhead', 'podFixed')),
  validate(object) {
    const handler = text(object['handler']);
    const errors = handler === '' ? [required('handler')] : invalidAll('handler', handler, dns1123LabelErrors(handler));
    const [overhead, scheduling] = [asObject(object['overhead']), asObject(object['scheduling'])];
    if (overhead) errors.push(...validateResources({ limits: overhead['podFixed'] }, 'overhead', new Set()));
    if (scheduling) errors.push(...validateScheduling(scheduling));
    return errors;
  },
  validateUpdate: (object, old) => unchanged('handler', object['handler'], old['handler']),
});

function validateScheduling(scheduling: Obj): FieldError[] {
  const tolerations = objects(scheduling['tolerations']);
  const path = 'scheduling.tolerations';
  const errors = [...validateLabels(scheduling['nodeSelector'], 'scheduling.nodeSelector'), ...validateTolerations(tolerations, path)];
  const seen = new Set<string>();
  tolerations.forEach((toleration, index) => {
    const key = JSON.stringify(['key', 'operator', 'value', 'effect'].map((field) => text(toleration[field])));
    if (seen.has(key)) errors.push(duplicate(`${path}[${index}]`, toleration));
    seen.add(key);
  });
  return errors;
}
