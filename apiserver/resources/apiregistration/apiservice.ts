// APIServices: which server answers for a group and version. Upstream: kube-aggregator's pkg/apis/apiregistration.
import { rfc3339 } from '#machinery/base/clock.ts';
import { dns1035LabelErrors, dns1123SubdomainErrors, portNumberErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { pathSegmentName } from '../meta.ts';
import { asObject, at, integer, invalidAll, invalidField, isObject, objects, oneOf, required, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';

export const apiServiceStrategy = kindStrategy({ status: true, statusMayChange: [], unconditionalUpdate: false, initialStatus: apiServiceStatus }, {
  default(object) {
    setMissing(object, 'status', {});
    const service = asObject(at(object, 'spec', 'service'));
    if (service) setMissing(service, 'port', 443);
  },
  validateName: pathSegmentName,
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const [group, version] = [text(spec['group']), text(spec['version'])];
    const expected = `${version}.${group}`;
    const errors: FieldError[] = [];
    const name = object.metadata?.name ?? '';
    if (name !== '' && name !== expected && pathSegmentName(name, false).length === 0) errors.push(invalidField('metadata.name', name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(expected)}`));
    if (group === '' && version !== 'v1') errors.push(required('spec.group', 'only v1 may have an empty group and it better be legacy kube'));
    if (group !== '') errors.push(...invalidAll('spec.group', group, dns1123SubdomainErrors(group)));
    errors.push(...invalidAll('spec.version', version, dns1035LabelErrors(version)));
    return [...errors, ...validatePriorities(spec), ...validateService(spec), ...validateStatus(object)];
  },
  status: { validateUpdate: validateStatus },
});

function validatePriorities(spec: Obj): FieldError[] {
  const [group, version] = [integer(spec['groupPriorityMinimum']) ?? 0, integer(spec['versionPriority']) ?? 0];
  const errors: FieldError[] = [];
  if (group <= 0 || group > 20_000) errors.push(invalidField('spec.groupPriorityMinimum', group, 'must be positive and less than 20000'));
  if (version <= 0 || version > 1000) errors.push(invalidField('spec.versionPriority', version, 'must be positive and less than 1000'));
  return errors;
}

function validateService(spec: Obj): FieldError[] {
  const service = asObject(spec['service']);
  const bundle = text(spec['caBundle']) !== '';
  const insecure = spec['insecureSkipTLSVerify'] === true;
  if (!service) {
    return [
      ...(bundle ? [invalidField('spec.caBundle', `${Buffer.from(text(spec['caBundle']), 'base64').length} bytes`, 'local APIServices may not have a caBundle')] : []),
      ...(insecure ? [invalidField('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify')] : []),
    ];
  }
  const errors: FieldError[] = [];
  for (const field of ['namespace', 'name']) if (text(service[field]) === '') errors.push(required(`spec.service.${field}`));
  const port = integer(service['port']) ?? 0;
  const wrong = portNumberErrors(port);
  if (wrong.length > 0) errors.push(invalidField('spec.service.port', port, `port is not valid: ${wrong.join(', ')}`));
  if (insecure && bundle) errors.push(invalidField('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present'));
  return errors;
}

function validateStatus(object: KubeObject): FieldError[] {
  return objects(at(object, 'status', 'conditions')).flatMap((condition, index) => oneOf(`status.conditions[${index}].status`, condition['status'], ['True', 'False', 'Unknown']));
}

function apiServiceStatus(object: KubeObject, now: number): Obj {
  if (isObject(at(object, 'spec', 'service'))) return {};
  return { conditions: [{ type: 'Available', status: 'True', lastTransitionTime: rfc3339(now), reason: 'Local', message: 'Local APIServices are always available' }] };
}
