// IngressClasses. Upstream: pkg/apis/networking/validation.
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { validateDomainPrefixedPath } from '../formats.ts';
import { asObject, at, forbiddenField, invalidAll, oneOf, required, setMissing, text, tooLong, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateReference } from './ingress.ts';

export const ingressClassStrategy = kindStrategy({ generation: 'spec' }, {
  default(object) {
    setMissing(object, 'spec', {});
    const parameters = asObject(at(object, 'spec', 'parameters'));
    if (parameters) setMissing(parameters, 'scope', 'Cluster');
  },
  validate(object, _, old) {
    const controller = text(at(object, 'spec', 'controller'));
    const parameters = asObject(at(object, 'spec', 'parameters'));
    return [
      ...(old ? unchanged('spec.controller', controller, text(at(old, 'spec', 'controller'))) : []),
      ...(Buffer.byteLength(controller) > 250 ? [tooLong('spec.controller', 250)] : []),
      ...validateDomainPrefixedPath('spec.controller', controller),
      ...(parameters ? validateParameters(parameters, 'spec.parameters') : []),
    ];
  },
});

function validateParameters(parameters: Obj, path: string): FieldError[] {
  const { scope, namespace } = parameters;
  const errors = [...validateReference(parameters, path), ...oneOf(`${path}.scope`, scope, ['Cluster', 'Namespace'])];
  if (scope === 'Namespace') {
    errors.push(...(namespace === undefined ? [required(`${path}.namespace`, "`parameters.scope` is set to 'Namespace'")]
      : invalidAll(`${path}.namespace`, namespace, dns1123LabelErrors(text(namespace)))));
  }
  if (scope === 'Cluster' && namespace !== undefined) errors.push(forbiddenField(`${path}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  return errors;
}
