// Roles and ClusterRoles. That nobody grants more than they have is admission's business. Upstream: pkg/apis/rbac/validation.
import type { FieldError } from '#machinery/api/status.ts';
import { selectorMatches } from '../apps/workload.ts';
import { kindStrategy } from '../basic.ts';
import { pathSegmentName, validateLabelSelector } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import { asObject, invalidField, items, objects, required, setMissing } from '../values.ts';
import type { Obj } from '../values.ts';

const roleBase = (namespaced: boolean): Strategy => kindStrategy({ createOnUpdate: true }, {
  // Upstream prints missing rules as null; an empty list reads the same everywhere.
  default: (object) => setMissing(object, 'rules', []),
  validateName: pathSegmentName,
  validate: (object) => [
    ...objects(object['rules']).flatMap((rule, index) => validateRule(rule, namespaced, `rules[${index}]`)),
    ...(namespaced ? [] : validateAggregation(asObject(object['aggregationRule']))),
  ],
});
export const roleStrategy = roleBase(true);
export const clusterRoleStrategy = roleBase(false);

function validateRule(rule: Obj, namespaced: boolean, path: string): FieldError[] {
  const given = (field: string): boolean => items(rule[field]).length > 0;
  const errors: FieldError[] = given('verbs') ? [] : [required(`${path}.verbs`, 'verbs must contain at least one value')];
  if (given('nonResourceURLs')) {
    const refuse = (detail: string): void => void errors.push(invalidField(`${path}.nonResourceURLs`, rule['nonResourceURLs'], detail));
    if (namespaced) refuse('namespaced rules cannot apply to non-resource URLs');
    if (['apiGroups', 'resources', 'resourceNames'].some(given)) refuse('rules cannot apply to both regular resources and non-resource URLs');
    return errors;
  }
  if (!given('apiGroups')) errors.push(required(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
  if (!given('resources')) errors.push(required(`${path}.resources`, 'resource rules must supply at least one resource'));
  return errors;
}

function validateAggregation(rule: Obj | undefined): FieldError[] {
  if (!rule) return [];
  const path = 'aggregationRule.clusterRoleSelectors';
  const selectors = objects(rule['clusterRoleSelectors']);
  if (selectors.length === 0) return [required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil')];
  return selectors.flatMap((selector, index) => [
    ...validateLabelSelector(selector, `${path}[${index}]`),
    ...(selectorMatches(selector, {}) === undefined ? [invalidField(`${path}[${index}]`, null, 'invalid label selector.')] : []),
  ]);
}
