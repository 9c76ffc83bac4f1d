// The rules of FlowSchemas: who asks, and for what. Upstream: pkg/apis/flowcontrol/validation.
import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, forbiddenField, invalidAll, invalidField, notSupported, required, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];
const subjectFields: Readonly<Record<string, string>> = { ServiceAccount: 'serviceAccount', User: 'user', Group: 'group' };

export function validateSubject(subject: Obj, path: string): FieldError[] {
  const kind = text(subject['kind']);
  const field = subjectFields[kind];
  if (field === undefined) return [notSupported(`${path}.kind`, kind, ['Group', 'ServiceAccount', 'User'])];
  const who = asObject(subject[field]);
  const errors = who ? validateWho(kind, who, `${path}.${field}`) : [required(`${path}.${field}`, `${field} is required when subject kind is '${kind}'`)];
  for (const [otherKind, other] of Object.entries(subjectFields)) {
    if (other !== field && subject[other] !== undefined) errors.push(forbiddenField(`${path}.${other}`, `${other} is forbidden when subject kind is not '${otherKind}'`));
  }
  return errors;
}
function validateWho(kind: string, who: Obj, path: string): FieldError[] {
  const [name, namespace] = [text(who['name']), text(who['namespace'])];
  if (kind !== 'ServiceAccount') return name === '' ? [required(`${path}.name`)] : [];
  return [
    ...(name === '' ? [required(`${path}.name`)] : name === '*' ? [] : invalidAll(`${path}.name`, name, dns1123SubdomainErrors(name))),
    ...(namespace === '' ? [required(`${path}.namespace`, 'must specify namespace for service account')] : invalidAll(`${path}.namespace`, namespace, dns1123LabelErrors(namespace))),
  ];
}

function validateVerbs(rule: Obj, path: string): FieldError[] {
  const given = strings(rule['verbs']);
  if (given.length === 0) return [required(path, 'verbs must contain at least one value')];
  if (given.includes('*')) return given.length > 1 ? [invalidField(path, given, "if '*' is present, must not specify other verbs")] : [];
  return given.every((verb) => verbs.includes(verb)) ? [] : [notSupported(path, given, verbs)];
}
function validateList(rule: Obj, field: string, missing: string, others: string, path: string): FieldError[] {
  const given = strings(rule[field]);
  if (given.length === 0) return [required(`${path}.${field}`, missing)];
  return given.length > 1 && given.includes('*') ? [invalidField(`${path}.${field}`, given, `if '*' is present, must not specify other ${others}`)] : [];
}

export function validateResourceRule(rule: Obj, path: string): FieldError[] {
  const namespaces = strings(rule['namespaces']);
  const errors = [
    ...validateVerbs(rule, `${path}.verbs`),
    ...validateList(rule, 'apiGroups', 'resource rules must supply at least one api group', 'api groups', path),
    ...validateList(rule, 'resources', 'resource rules must supply at least one resource', 'resources', path),
  ];
  const here = `${path}.namespaces`;
  if (namespaces.length === 0 && rule['clusterScope'] !== true) errors.push(required(here, 'resource rules that are not cluster scoped must supply at least one namespace'));
  else if (namespaces.includes('*')) {
    if (namespaces.length > 1) errors.push(invalidField(here, namespaces, "if '*' is present, must not specify other namespaces"));
  } else {
    namespaces.forEach((namespace, index) => errors.push(...invalidAll(`${here}[${index}]`, namespace, dns1123LabelErrors(namespace).map((detail) => `each member of this list must be '*' or a DNS-1123 label; ${detail}`))));
  }
  return errors;
}

export function validateNonResourceRule(rule: Obj, path: string): FieldError[] {
  const urls = strings(rule['nonResourceURLs']);
  const errors = [...validateVerbs(rule, `${path}.verbs`), ...validateList(rule, 'nonResourceURLs', 'nonResourceURLs must contain at least one value', 'non-resource URLs', path)];
  if (urls.includes('*')) return errors;
  urls.forEach((url, index) => {
    const problem = urlProblem(url);
    if (problem !== undefined) errors.push(invalidField(`${path}.nonResourceURLs[${index}]`, url, problem));
  });
  return errors;
}
function urlProblem(url: string): string | undefined {
  if (url === '') return 'must not be empty';
  if (url === '/') return undefined;
  if (!url.startsWith('/')) return 'must start with slash';
  if (url.includes(' ')) return 'must not contain white-space';
  if (url.includes('//')) return 'must not contain double slash';
  const stars = url.split('*').length - 1;
  return stars > 1 || (stars === 1 && !url.endsWith('/*')) ? 'wildcard can only do suffix matching' : undefined;
}
