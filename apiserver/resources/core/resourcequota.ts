// ResourceQuotas: which resources can be counted, and which of them within a scope. Upstream: ValidateResourceQuota.
import { compareQuantities, isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, entries, immutable, invalidField, objects, required, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { defaultResourceList } from './pod-defaults.ts';
import { isQuotaName, validateQuantityOf, validateQuotaResourceName } from './resource-names.ts';

const podNames = new Set(['pods', 'cpu', 'memory', 'limits.cpu', 'limits.memory', 'requests.cpu', 'requests.memory']);
const scopes: Readonly<Record<string, (resource: string) => boolean>> = {
  Terminating: (resource) => podNames.has(resource),
  NotTerminating: (resource) => podNames.has(resource),
  NotBestEffort: (resource) => podNames.has(resource),
  PriorityClass: (resource) => podNames.has(resource),
  CrossNamespacePodAffinity: (resource) => podNames.has(resource),
  BestEffort: (resource) => resource === 'pods',
  VolumeAttributesClass: (resource) => resource === 'persistentvolumeclaims' || resource === 'requests.storage',
};
const existsOnly = new Set(['BestEffort', 'NotBestEffort', 'Terminating', 'NotTerminating', 'CrossNamespacePodAffinity']);

function validateHard(list: unknown, path: string): FieldError[] {
  return entries(list).flatMap(([name, value]) => [...validateQuotaResourceName(name, `${path}[${name}]`), ...validateQuantityOf(name, value, `${path}[${name}]`)]);
}
const validateStatus = (object: Readonly<Obj>): FieldError[] => ['hard', 'used'].flatMap((field) => validateHard(at(object, 'status', field), `status.${field}`));

/** How many of the counted resources mean nothing within the scope. */
function misfits(spec: Obj, scope: string): number {
  return entries(spec['hard']).filter(([name]) => isQuotaName(name) && scopes[scope]?.(name) === false).length;
}
function validateConflicts(given: readonly string[], spec: Obj, path: string): FieldError[] {
  return [['BestEffort', 'NotBestEffort'], ['Terminating', 'NotTerminating']]
    .filter((pair) => pair.every((scope) => given.includes(scope)))
    .map(() => invalidField(path, spec['scopes'] ?? null, 'conflicting scopes'));
}

function validateScopes(spec: Obj): FieldError[] {
  const path = 'spec.scopes';
  const given = strings(spec['scopes']);
  const errors = given.flatMap((scope): FieldError[] => [
    ...(scope in scopes ? [] : [invalidField(path, given, 'unsupported scope')]),
    ...Array.from({ length: misfits(spec, scope) }, () => invalidField(path, given, 'unsupported scope applied to resource')),
  ]);
  return [...errors, ...validateConflicts(given, spec, path)];
}

function validateSelector(spec: Obj): FieldError[] {
  const selector = asObject(spec['scopeSelector']);
  if (!selector) return [];
  const path = 'spec.scopeSelector.matchExpressions';
  const expressions = objects(selector['matchExpressions']);
  const errors = expressions.flatMap((expression): FieldError[] => {
    const [scope, operator, values] = [text(expression['scopeName']), text(expression['operator']), strings(expression['values'])];
    const own: FieldError[] = scope in scopes ? [] : [invalidField(`${path}.scopeName`, scope, 'unsupported scope')];
    own.push(...Array.from({ length: misfits(spec, scope) }, () => invalidField(path, selector, 'unsupported scope applied to resource')));
    if (existsOnly.has(scope) && operator !== 'Exists') {
      own.push(invalidField(`${path}.operator`, operator,
        "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"));
    }
    switch (operator) {
      case 'In': case 'NotIn':
        return values.length > 0 ? own : [...own, required(`${path}.values`, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")];
      case 'Exists': case 'DoesNotExist':
        return values.length === 0 ? own : [...own, invalidField(`${path}.values`, values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")];
      default: return [...own, invalidField(`${path}.operator`, operator, 'not a valid selector operator')];
    }
  });
  return [...errors, ...validateConflicts(expressions.map((expression) => text(expression['scopeName'])), spec, path)];
}

const basic = basicStrategy({ status: true });

export const resourceQuotaStrategy: Strategy = {
  ...basic,
  default(object) {
    defaultResourceList(at(object, 'spec', 'hard'));
    defaultResourceList(at(object, 'status', 'hard'));
    defaultResourceList(at(object, 'status', 'used'));
    setMissing(object, 'spec', {});
    setMissing(object, 'status', {});
  },
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    return [...validateHard(spec['hard'], 'spec.hard'), ...validateScopes(spec), ...validateSelector(spec)];
  },
  validateUpdate(object, old) {
    const [given, before] = [new Set(strings(at(object, 'spec', 'scopes'))), new Set(strings(at(old, 'spec', 'scopes')))];
    return given.size === before.size && [...given].every((scope) => before.has(scope)) ? [] : [invalidField('spec.scopes', at(object, 'spec', 'scopes') ?? null, immutable)];
  },
  warnings(object, old) {
    const hard = asObject(at(object, 'spec', 'hard')) ?? {};
    return old ? [] : ['cpu', 'memory', 'storage', 'ephemeral-storage'].flatMap((name) => {
      const bare = (name === 'cpu' || name === 'memory') && !(`requests.${name}` in hard);
      const [request, limit] = [bare ? name : `requests.${name}`, `limits.${name}`];
      const [asked, most] = [hard[request], hard[limit]];
      if (!isQuantity(asked) || !isQuantity(most) || compareQuantities(parseQuantity(asked), parseQuantity(most)) <= 0) return [];
      return [`ResourceQuota ${request} (${asked}) should be less than ${limit} (${most})`];
    });
  },
  status: { ...basic.status, validateUpdate: validateStatus },
};
