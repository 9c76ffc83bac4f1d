// RoleBindings and ClusterRoleBindings. Upstream: pkg/apis/rbac/validation.
import { dns1123SubdomainErrors, pathSegmentErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { pathSegmentName } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import { asObject, invalidAll, invalidField, need, notSupported, objects, oneOf, required, same, setEmpty, text } from '../values.ts';
import type { Obj } from '../values.ts';

const group = 'rbac.authorization.k8s.io';

const bindingBase = (namespaced: boolean): Strategy => kindStrategy({ createOnUpdate: true }, {
  default(object) {
    setEmpty(need(object, 'roleRef'), 'apiGroup', group);
    for (const subject of objects(object['subjects'])) {
      if (subject['kind'] === 'User' || subject['kind'] === 'Group') setEmpty(subject, 'apiGroup', group);
    }
  },
  validateName: pathSegmentName,
  validate(object) {
    const role = asObject(object['roleRef']) ?? {};
    const name = text(role['name']);
    return [
      ...oneOf('roleRef.apiGroup', role['apiGroup'], [group]),
      ...oneOf('roleRef.kind', role['kind'], namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole']),
      ...(name === '' ? [required('roleRef.name')] : invalidAll('roleRef.name', name, pathSegmentErrors(name))),
      ...objects(object['subjects']).flatMap((subject, index) => validateSubject(subject, namespaced, `subjects[${index}]`)),
    ];
  },
  validateUpdate: (object, old) => (same(object['roleRef'], old['roleRef']) ? [] : [invalidField('roleRef', goNames(asObject(object['roleRef']) ?? {}), 'cannot change roleRef')]),
});
export const roleBindingStrategy = bindingBase(true);
export const clusterRoleBindingStrategy = bindingBase(false);

function goNames({ apiGroup, kind, name }: Obj): Obj {
  return { APIGroup: apiGroup, Kind: kind, Name: name };
}

function validateSubject(subject: Obj, namespaced: boolean, path: string): FieldError[] {
  const [kind, name, apiGroup] = [text(subject['kind']), text(subject['name']), text(subject['apiGroup'])];
  const errors: FieldError[] = name === '' ? [required(`${path}.name`)] : [];
  switch (kind) {
    case 'ServiceAccount':
      if (name !== '') errors.push(...invalidAll(`${path}.name`, name, dns1123SubdomainErrors(name)));
      if (apiGroup !== '') errors.push(notSupported(`${path}.apiGroup`, apiGroup, ['']));
      if (!namespaced && text(subject['namespace']) === '') errors.push(required(`${path}.namespace`));
      break;
    case 'User': case 'Group':
      errors.push(...oneOf(`${path}.apiGroup`, apiGroup, [group]));
      break;
    default: errors.push(notSupported(`${path}.kind`, kind, ['ServiceAccount', 'User', 'Group']));
  }
  return errors;
}
