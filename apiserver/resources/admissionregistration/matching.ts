// What webhooks and policies share: rules about operations and resources, and conditions. Upstream: pkg/apis/admissionregistration/validation.
import { qualifiedNameErrors, pathSegmentErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateLabelSelector } from '../meta.ts';
import { duplicate, invalidAll, invalidField, objects, oneOf, required, setMissing, strings, text, tooMany } from '../values.ts';
import type { Obj } from '../values.ts';
import { checkExpression, newCompiler } from './expressions.ts';

const operations = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const mutatingOperations = operations.filter((operation) => operation !== 'DELETE');

export function defaultMatchResources(match: Obj): void {
  setMissing(match, 'matchPolicy', 'Equivalent');
  setMissing(match, 'namespaceSelector', {});
  setMissing(match, 'objectSelector', {});
  for (const rule of [...objects(match['resourceRules']), ...objects(match['excludeResourceRules'])]) setMissing(rule, 'scope', '*');
}

export function validateMatchResources(match: Obj, path: string): FieldError[] {
  return [
    ...oneOf(`${path}.matchPolicy`, match['matchPolicy'], ['Equivalent', 'Exact']),
    ...validateLabelSelector(match['namespaceSelector'], `${path}.namespaceSelector`),
    ...validateLabelSelector(match['objectSelector'], `${path}.objectSelector`),
    ...['resourceRules', 'excludeResourceRules'].flatMap((field) => objects(match[field]).flatMap((rule, index) => validateNamedRule(rule, `${path}.${field}[${index}]`))),
  ];
}

/** Deletions cannot be mutated. */
export function validateMutatingOperations(match: Obj, path: string): FieldError[] {
  return objects(match['resourceRules']).flatMap((rule) => strings(rule['operations']))
    .flatMap((operation) => oneOf(`${path}.resourceRules.operations`, operation, mutatingOperations));
}

function validateNamedRule(rule: Obj, path: string): FieldError[] {
  const names = strings(rule['resourceNames']);
  return [
    ...names.flatMap((name, index) => [
      ...invalidAll(`${path}.resourceNames[${index}]`, name, pathSegmentErrors(name)),
      ...(names.indexOf(name) < index ? [duplicate(`${path}.resourceNames[${index}]`, name)] : []),
    ]),
    ...validateRule(rule, path),
  ];
}

export function validateRule(rule: Obj, path: string): FieldError[] {
  const list = (field: string): string[] => strings(rule[field]);
  const versions = list('apiVersions');
  return [
    ...validateWildcards(list('operations'), `${path}.operations`, 'operations'),
    ...list('operations').flatMap((operation, index) => oneOf(`${path}.operations[${index}]`, operation, operations)),
    ...validateWildcards(list('apiGroups'), `${path}.apiGroups`, 'API groups'),
    ...validateWildcards(versions, `${path}.apiVersions`, 'API versions'),
    ...versions.flatMap((version, index) => (version === '' ? [required(`${path}.apiVersions[${index}]`)] : [])),
    ...validateResources(list('resources'), `${path}.resources`),
    ...(rule['scope'] === undefined ? [] : oneOf(`${path}.scope`, rule['scope'], ['*', 'Cluster', 'Namespaced'])),
  ];
}
function validateWildcards(values: readonly string[], path: string, what: string): FieldError[] {
  if (values.length === 0) return [required(path)];
  return values.length > 1 && values.includes('*') ? [invalidField(path, values, `if '*' is present, must not specify other ${what}`)] : [];
}

/** `pods`, `pods/log`, `pods/…` with a star on either side: wider ones must not come before narrower ones. */
function validateResources(resources: readonly string[], path: string): FieldError[] {
  if (resources.length === 0) return [required(path)];
  const errors: FieldError[] = [];
  const wholeSubresources = new Set<string>();
  const wholeResources = new Set<string>();
  let plain = false;
  resources.forEach((name, index) => {
    const here = `${path}[${index}]`;
    const slash = name.indexOf('/');
    if (name === '') errors.push(required(here));
    else if (slash < 0) plain = name !== '*';
    else {
      const [resource, subresource] = [name.slice(0, slash), name.slice(slash + 1)];
      if (wholeSubresources.has(resource)) errors.push(invalidField(here, name, `if '${resource}/*' is present, must not specify ${name}`));
      if (wholeResources.has(subresource)) errors.push(invalidField(here, name, `if '*/${subresource}' is present, must not specify ${name}`));
      if (subresource === '*') wholeSubresources.add(resource);
      if (resource === '*') wholeResources.add(subresource);
    }
  });
  if (resources.length > 1 && resources.includes('*/*')) errors.push(invalidField(path, resources, "if '*/*' is present, must not specify other resources"));
  if (resources.includes('*') && plain) errors.push(invalidField(path, resources, "if '*' is present, must not specify other resources without subresources"));
  return errors;
}

/** `params`: the conditions may ask for them. */
export function validateMatchConditions(value: unknown, path: string, { params }: { params: boolean }): FieldError[] {
  const conditions = objects(value);
  const names = conditions.map((condition) => text(condition['name']));
  return [
    ...(conditions.length > 64 ? [tooMany(path, conditions.length, 64)] : []),
    ...conditions.flatMap((condition, index) => {
      const name = names[index] ?? '';
      const expression = text(condition['expression']).trim();
      return [
        ...(expression === '' ? [required(`${path}[${index}].expression`)]
          : checkExpression(newCompiler(false), expression, { params, authorizer: true }, 'condition', `${path}[${index}].expression`)),
        ...(name === '' ? [required(`${path}[${index}].name`)] : invalidAll(`${path}[${index}].name`, name, qualifiedNameErrors(name))),
        ...(name !== '' && names.indexOf(name) < index ? [duplicate(`${path}[${index}].name`, name)] : []),
      ];
    }),
  ];
}
