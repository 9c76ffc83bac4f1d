// Rules of a pod that steer where it runs: tolerations, affinity, topology spread.
import { dns1123LabelErrors, dns1123SubdomainErrors, labelValueErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateLabelSelector } from '../meta.ts';
import { asObject, at, entries, forbiddenField, integer, invalidAll, invalidField, items, notSupported, objects, oneOf, required, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';

const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const;

export function validateTolerations(list: readonly Obj[], path: string): FieldError[] {
  return list.flatMap((toleration, index) => {
    const here = `${path}[${index}]`;
    const errors: FieldError[] = [];
    const [key, operator, value, effect] = [text(toleration['key']), text(toleration['operator']), text(toleration['value']), text(toleration['effect'])];
    if (key !== '') errors.push(...invalidAll(`${here}.key`, key, qualifiedNameErrors(key)));
    else if (operator !== 'Exists') {
      errors.push(invalidField(`${here}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'));
    }
    if (toleration['tolerationSeconds'] !== undefined && effect !== 'NoExecute') {
      errors.push(invalidField(`${here}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    switch (operator) {
      case '': case 'Equal': {
        const wrong = labelValueErrors(value);
        if (wrong.length > 0) errors.push(invalidField(`${here}.operator`, value, wrong.join(';')));
        break;
      }
      case 'Exists':
        if (value !== '') errors.push(invalidField(`${here}.operator`, value, "value must be empty when `operator` is 'Exists'"));
        break;
      // Numbers are compared behind a gate that is off.
      case 'Lt': case 'Gt': errors.push(notSupported(`${here}.operator`, operator, ['Equal', 'Exists', 'Lt', 'Gt'])); break;
      default: errors.push(notSupported(`${here}.operator`, operator, ['Equal', 'Exists']));
    }
    if (effect !== '') errors.push(...oneOf(`${here}.effect`, effect, effects));
    return errors;
  });
}

function validateNodeRequirement(requirement: Obj, path: string, checkValues: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const [operator, key, values] = [text(requirement['operator']), text(requirement['key']), strings(requirement['values'])];
  switch (operator) {
    case 'In': case 'NotIn':
      if (values.length === 0) errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case 'Exists': case 'DoesNotExist':
      if (values.length > 0) errors.push(forbiddenField(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      break;
    case 'Gt': case 'Lt':
      if (values.length !== 1) errors.push(required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default: errors.push(invalidField(`${path}.operator`, operator, 'not a valid selector operator'));
  }
  errors.push(...invalidAll(`${path}.key`, key, qualifiedNameErrors(key)));
  if (checkValues) values.forEach((value, index) => errors.push(...invalidAll(`${path}.values[${index}]`, value, labelValueErrors(value))));
  return errors;
}
function validateNodeField(requirement: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const [operator, key, values] = [text(requirement['operator']), text(requirement['key']), strings(requirement['values'])];
  if (operator !== 'In' && operator !== 'NotIn') errors.push(invalidField(`${path}.operator`, operator, 'not a valid selector operator'));
  else if (values.length !== 1) errors.push(required(`${path}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
  if (key !== 'metadata.name') errors.push(invalidField(`${path}.key`, key, 'not a valid field selector key'));
  else values.forEach((value, index) => errors.push(...invalidAll(`${path}.values[${index}]`, value, dns1123SubdomainErrors(value))));
  return errors;
}
function validateNodeTerm(term: Obj, path: string, checkValues: boolean): FieldError[] {
  return [
    ...objects(term['matchExpressions']).flatMap((one, index) => validateNodeRequirement(one, `${path}.matchExpressions[${index}]`, checkValues)),
    ...objects(term['matchFields']).flatMap((one, index) => validateNodeField(one, `${path}.matchFields[${index}]`)),
  ];
}
/** Also for persistent volumes and topology of others. */
export function validateNodeSelector(selector: Obj, path: string): FieldError[] {
  const terms = objects(selector['nodeSelectorTerms']);
  if (terms.length === 0) return [required(`${path}.nodeSelectorTerms`, 'must have at least one node selector term')];
  return terms.flatMap((term, index) => validateNodeTerm(term, `${path}.nodeSelectorTerms[${index}]`, true));
}

function validateWeight(weighted: Obj, path: string): FieldError[] {
  const weight = integer(weighted['weight']) ?? 0;
  return weight >= 1 && weight <= 100 ? [] : [invalidField(`${path}.weight`, weight, 'must be in the range 1-100')];
}

function validatePodTerm(term: Obj, path: string): FieldError[] {
  const errors = [...validateLabelSelector(term['labelSelector'], `${path}.labelSelector`), ...validateLabelSelector(term['namespaceSelector'], `${path}.namespaceSelector`)];
  for (const namespace of strings(term['namespaces'])) errors.push(...invalidAll(`${path}.namespace`, namespace, dns1123LabelErrors(namespace)));
  errors.push(...validateLabelKeys(term, path));
  const topologyKey = text(term['topologyKey']);
  if (topologyKey === '') errors.push(required(`${path}.topologyKey`, 'can not be empty'));
  errors.push(...invalidAll(`${path}.topologyKey`, topologyKey, qualifiedNameErrors(topologyKey)));
  return errors;
}

/** The server has added each key to the selector once itself; a second time means the client named it as well. */
function validateLabelKeys(term: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const selector = asObject(term['labelSelector']);
  for (const field of ['matchLabelKeys', 'mismatchLabelKeys']) {
    const keys = strings(term[field]);
    if (keys.length > 0 && !selector) errors.push(forbiddenField(`${path}.${field}`, 'must not be specified when labelSelector is not set'));
    else keys.forEach((key, index) => errors.push(...invalidAll(`${path}.${field}[${index}]`, key, qualifiedNameErrors(key))));
  }
  const matched = strings(term['matchLabelKeys']);
  const seen = new Set(entries(selector?.['matchLabels']).map(([key]) => key));
  for (const expression of objects(selector?.['matchExpressions'])) {
    const key = text(expression['key']);
    if (seen.has(key) && matched.includes(key)) errors.push(invalidField(`${path}[${matched.lastIndexOf(key)}]`, key, 'exists in both matchLabelKeys and labelSelector'));
    seen.add(key);
  }
  const mismatched = new Set(strings(term['mismatchLabelKeys']));
  matched.forEach((key, index) => {
    if (mismatched.has(key)) errors.push(invalidField(`${path}.matchLabelKeys[${index}]`, key, 'exists in both matchLabelKeys and mismatchLabelKeys'));
  });
  return errors;
}

const requiredTerms = 'requiredDuringSchedulingIgnoredDuringExecution';
const preferredTerms = 'preferredDuringSchedulingIgnoredDuringExecution';

export function validateAffinity(value: unknown, path: string): FieldError[] {
  const affinity = asObject(value);
  if (!affinity) return [];
  const errors: FieldError[] = [];
  const node = asObject(affinity['nodeAffinity']);
  if (node) {
    const here = `${path}.nodeAffinity`;
    const selector = asObject(node[requiredTerms]);
    if (selector) errors.push(...validateNodeSelector(selector, `${here}.${requiredTerms}`));
    objects(node[preferredTerms]).forEach((weighted, index) => {
      errors.push(...validateWeight(weighted, `${here}.${preferredTerms}[${index}]`));
      errors.push(...validateNodeTerm(asObject(weighted['preference']) ?? {}, `${here}.${preferredTerms}[${index}].preference`, false));
    });
  }
  for (const kind of ['podAffinity', 'podAntiAffinity']) {
    const here = `${path}.${kind}`;
    objects(at(affinity, kind, requiredTerms)).forEach((term, index) => errors.push(...validatePodTerm(term, `${here}.${requiredTerms}[${index}]`)));
    objects(at(affinity, kind, preferredTerms)).forEach((weighted, index) => {
      errors.push(...validateWeight(weighted, `${here}.${preferredTerms}[${index}]`));
      errors.push(...validatePodTerm(asObject(weighted['podAffinityTerm']) ?? {}, `${here}.${preferredTerms}[${index}].podAffinityTerm`));
    });
  }
  return errors;
}

export function validateTopologySpread(value: unknown, path: string): FieldError[] {
  const constraints = objects(value);
  return constraints.flatMap((constraint, index) => {
    const here = `${path}[${index}]`;
    const errors = positive(`${here}.maxSkew`, integer(constraint['maxSkew']) ?? 0);
    const [key, action] = [text(constraint['topologyKey']), text(constraint['whenUnsatisfiable'])];
    if (key === '') errors.push(required(`${here}.topologyKey`, 'can not be empty'));
    errors.push(...oneOf(`${here}.whenUnsatisfiable`, action, ['DoNotSchedule', 'ScheduleAnyway']));
    const again = constraints.slice(index + 1).some((other) => text(other['topologyKey']) === key && text(other['whenUnsatisfiable']) === action);
    if (again) errors.push({ type: 'Duplicate', field: `${here}.{topologyKey, whenUnsatisfiable}`, value: `{${key}, ${action}}` });
    const domains = constraint['minDomains'];
    if (typeof domains === 'number') {
      errors.push(...positive(`${here}.minDomains`, domains));
      if (action !== 'DoNotSchedule') errors.push(invalidField(`${here}.minDomains`, domains, `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${action}`));
    }
    for (const field of ['nodeAffinityPolicy', 'nodeTaintsPolicy']) {
      if (constraint[field] !== undefined) errors.push(...oneOf(`${here}.${field}`, constraint[field], ['Honor', 'Ignore']));
    }
    errors.push(...validateLabelKeys({ matchLabelKeys: constraint['matchLabelKeys'], labelSelector: constraint['labelSelector'] }, here));
    return [...errors, ...validateLabelSelector(constraint['labelSelector'], `${here}.labelSelector`)];
  });
}
function positive(field: string, value: number): FieldError[] {
  return value > 0 ? [] : [invalidField(field, value, 'must be greater than zero')];
}

export function validateSchedulingGates(value: unknown, path: string): FieldError[] {
  const seen = new Set<string>();
  return items(value).flatMap((gate, index) => {
    const name = text(at(gate, 'name'));
    const errors = invalidAll(`${path}[${index}]`, name, qualifiedNameErrors(name));
    if (seen.has(name)) errors.push({ type: 'Duplicate', field: `${path}[${index}]`, value: name });
    seen.add(name);
    return errors;
  });
}
