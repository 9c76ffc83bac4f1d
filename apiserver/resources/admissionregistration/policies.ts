// Validating and mutating admission policies, and their bindings.
// Upstream: pkg/apis/admissionregistration/validation.
import { dns1035LabelErrors, dns1123SubdomainErrors, pathSegmentErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { AdmissionCompiler } from '#machinery/cel/admission.ts';
import { kindStrategy } from '../basic.ts';
import { validateConditions } from '../formats.ts';
import { validateLabelSelector } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, duplicate, forbiddenField, invalidAll, invalidField, items, need, objects, oneOf, required, same, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { checkExpression, loadExpressions, newCompiler } from './expressions.ts';
import { defaultMatchResources, validateMatchConditions, validateMatchResources, validateMutatingOperations } from './matching.ts';

const noPut = { unconditionalUpdate: false } as const;
const reinvocation = ['IfNeeded', 'Never'];
const celReserved = new Set(['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'return', 'var', 'void', 'while']);
const isBlank = (value: unknown): boolean => text(value).trim() === '';

function defaultPolicy(object: Obj): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'failurePolicy', 'Fail');
  const match = asObject(spec['matchConstraints']);
  if (match) defaultMatchResources(match);
}

export const validatingPolicyStrategy = kindStrategy({ status: true, generation: 'spec', statusMayChange: [], ...noPut }, {
  load: loadExpressions,
  default(object) {
    defaultPolicy(object);
    setMissing(object, 'status', {});
  },
  validate(object, _, old) {
    const spec = asObject(object['spec']) ?? {};
    const compiler = newCompiler(objects(spec['variables']).length > 0);
    const params = asObject(spec['paramKind']) !== undefined;
    const errors = validateCommon(spec, asObject(old?.['spec']), compiler);
    const [validations, annotations] = [objects(spec['validations']), objects(spec['auditAnnotations'])];
    if (validations.length === 0 && annotations.length === 0) {
      const detail = 'validations or auditAnnotations must contain at least one item';
      return [...errors, required('spec.validations', detail), required('spec.auditAnnotations', detail)];
    }
    validations.forEach((validation, index) => errors.push(...validateValidation(validation, compiler, params, `spec.validations[${index}]`)));
    if (annotations.length > 20) errors.push(invalidField('spec.auditAnnotations', annotations.map(({ key, valueExpression }) => ({ Key: key, ValueExpression: valueExpression })), 'must not have more than 20 auditAnnotations'));
    const keys = annotations.map((annotation) => text(annotation['key']));
    annotations.forEach((annotation, index) => {
      const path = `spec.auditAnnotations[${index}]`;
      errors.push(...validateAnnotation(annotation, object.metadata?.name ?? '', compiler, params, path));
      if (keys.indexOf(keys[index] ?? '') < index) errors.push(duplicate(`${path}.key`, keys[index]));
    });
    return errors;
  },
  status: {
    validateUpdate: (object) => [
      ...objects(at(object, 'status', 'typeChecking', 'expressionWarnings')).flatMap((warning, index) => {
        const path = `status.typeChecking.expressionWarnings[${index}]`;
        return [...(text(warning['warning']) === '' ? [required(`${path}.warning`)] : []), ...(isBlank(warning['fieldRef']) ? [required(`${path}.fieldRef`)] : [])];
      }),
      ...validateConditions(at(object, 'status', 'conditions'), 'status.conditions'),
    ],
  },
});

export const mutatingPolicyStrategy = kindStrategy({ generation: 'spec', ...noPut }, {
  load: loadExpressions,
  default: defaultPolicy,
  validate(object, _, old) {
    const spec = asObject(object['spec']) ?? {};
    const mutations = objects(spec['mutations']);
    const policy = text(spec['reinvocationPolicy']);
    const compiler = newCompiler(true);
    const params = asObject(spec['paramKind']) !== undefined;
    return [
      ...validateCommon(spec, asObject(old?.['spec']), compiler, true),
      ...(mutations.length === 0 ? [required('spec.mutations', 'mutations must contain at least one item')] : mutations.flatMap((mutation, index) => validateMutation(mutation, compiler, params, `spec.mutations[${index}]`))),
      ...(policy === '' ? [required('spec.reinvocationPolicy')] : oneOf('spec.reinvocationPolicy', policy, reinvocation)),
    ];
  },
});

/** Conditions that have not changed are not looked at again. */
function validateCommon(spec: Obj, old: Obj | undefined, compiler: AdmissionCompiler, mutating = false): FieldError[] {
  const errors = oneOf('spec.failurePolicy', spec['failurePolicy'], ['Fail', 'Ignore']);
  const [param, match] = [asObject(spec['paramKind']), asObject(spec['matchConstraints'])];
  if (param) errors.push(...validateParamKind(param, 'spec.paramKind'));
  if (match) {
    errors.push(...validateMatchResources(match, 'spec.matchConstraints'));
    if (items(match['resourceRules']).length === 0) errors.push(required('spec.matchConstraints.resourceRules'));
    if (mutating) errors.push(...validateMutatingOperations(match, 'spec.matchConstraints'));
  } else errors.push(required('spec.matchConstraints'));
  const unchanged = old && same(spec['paramKind'], old['paramKind']) && same(spec['matchConditions'], old['matchConditions']);
  if (!unchanged) errors.push(...validateMatchConditions(spec['matchConditions'], 'spec.matchConditions', { params: param !== undefined }));
  objects(spec['variables']).forEach((variable, index) => {
    const path = `spec.variables[${index}]`;
    const name = text(variable['name']);
    if (isBlank(name)) errors.push(required(`${path}.name`, 'name is not specified'));
    else if (!/^[_a-zA-Z][_a-zA-Z0-9]*$/.test(name) || celReserved.has(name)) errors.push(invalidField(`${path}.name`, name, 'must be a valid CEL identifier'));
    const expression = text(variable['expression']);
    if (isBlank(expression)) errors.push(required(`${path}.expression`, 'expression is not specified'));
    else {
      const { program, problem } = compiler.compileVariable(name, expression, { params: param !== undefined, authorizer: true });
      if (!program) errors.push(invalidField(`${path}.expression`, expression, problem));
    }
  });
  return errors;
}

function validateParamKind(param: Obj, path: string): FieldError[] {
  const [apiVersion, kind] = [text(param['apiVersion']), text(param['kind'])];
  const errors: FieldError[] = [];
  const parts = apiVersion === '/' ? ['', ''] : apiVersion.split('/');
  if (apiVersion === '') errors.push(required(`${path}.apiVersion`));
  else if (parts.length > 2) errors.push(invalidField(`${path}.apiVersion`, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  else {
    const [group, version = ''] = parts.length === 2 ? parts : ['', apiVersion];
    const wrong = group ? dns1123SubdomainErrors(group) : [];
    if (wrong.length > 0) errors.push(invalidField(`${path}.apiVersion`, group, wrong.join(',')));
    const wrongVersion = dns1035LabelErrors(version);
    if (version === '') errors.push(invalidField(`${path}.apiVersion`, apiVersion, 'version must be specified'));
    else if (wrongVersion.length > 0) errors.push(invalidField(`${path}.apiVersion`, version, wrongVersion.join(',')));
  }
  const wrongKind = dns1035LabelErrors(kind.toLowerCase());
  if (kind === '') errors.push(required(`${path}.kind`));
  else if (wrongKind.length > 0) errors.push(invalidField(`${path}.kind`, kind, `may have mixed case, but should otherwise match: ${wrongKind.join(',')}`));
  return errors;
}

function validateValidation(validation: Obj, compiler: AdmissionCompiler, params: boolean, path: string): FieldError[] {
  const condition = text(validation['expression']);
  const errors: FieldError[] = isBlank(condition) ? [required(`${path}.expression`, 'expression is not specified')]
    : checkExpression(compiler, condition, { params, authorizer: true }, 'condition', `${path}.expression`);
  const [message, expression] = [text(validation['message']), text(validation['messageExpression'])];
  if (expression !== '' && isBlank(expression)) errors.push(invalidField(`${path}.messageExpression`, expression, 'must be non-empty if specified'));
  else if (expression !== '') errors.push(...checkExpression(compiler, expression, { params }, 'message', `${path}.messageExpression`));
  if (message !== '' && isBlank(message)) errors.push(invalidField(`${path}.message`, message, 'must be non-empty if specified'));
  else if (/[\n\r]/.test(message.trim())) errors.push(invalidField(`${path}.message`, message, 'must not contain line breaks'));
  if (validation['reason'] !== undefined) errors.push(...oneOf(`${path}.reason`, validation['reason'], ['Forbidden', 'Invalid', 'RequestEntityTooLarge']));
  return errors;
}

function validateAnnotation(annotation: Obj, policy: string, compiler: AdmissionCompiler, params: boolean, path: string): FieldError[] {
  const key = text(annotation['key']);
  const expression = text(annotation['valueExpression']).trim();
  const errors = policy === '' ? [invalidField(`${path}.key`, key, 'requires metadata.name be non-empty')] : invalidAll(`${path}.key`, `${policy}/${key}`, qualifiedNameErrors(`${policy}/${key}`));
  if (expression === '') errors.push(required(`${path}.valueExpression`, 'valueExpression is not specified'));
  else if (Buffer.byteLength(expression) > 5 * 1024) errors.push(required(`${path}.valueExpression`, `must not exceed ${5 * 1024} bytes in length`));
  else errors.push(...checkExpression(compiler, expression, { params, authorizer: true }, 'auditAnnotation', `${path}.valueExpression`, text(annotation['valueExpression'])));
  return errors;
}

const patchFields: Readonly<Record<string, string>> = { JSONPatch: 'jsonPatch', ApplyConfiguration: 'applyConfiguration' };
function validateMutation(mutation: Obj, compiler: AdmissionCompiler, params: boolean, path: string): FieldError[] {
  const type = text(mutation['patchType']);
  if (type === '') return [required(`${path}.patchType`)];
  const field = patchFields[type];
  if (field === undefined) return oneOf(`${path}.patchType`, type, ['ApplyConfiguration', 'JSONPatch']);
  const [patch, other] = [asObject(mutation[field]), field === 'jsonPatch' ? 'applyConfiguration' : 'jsonPatch'];
  const errors: FieldError[] = [];
  if (!patch) errors.push(required(`${path}.${field}`, `must be specified when patchType is ${type}`));
  else if (isBlank(patch['expression'])) errors.push(required(`${path}.${field}.expression`));
  else {
    const sort = field === 'jsonPatch' ? 'jsonPatch' : 'applyConfiguration';
    errors.push(...checkExpression(compiler, text(patch['expression']).trim(), { params, authorizer: true, patches: true }, sort, `${path}.${field}.expression`));
  }
  if (mutation[other] !== undefined) errors.push(invalidField(`${path}.${other}`, `{${other}}`, `must not be specified when patchType is ${type}`));
  return errors;
}

const bindingBase = (mutating: boolean): Strategy => kindStrategy({ generation: 'spec', ...noPut }, {
  default(object) {
    const match = asObject(at(object, 'spec', 'matchResources'));
    if (match) defaultMatchResources(match);
  },
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const name = text(spec['policyName']);
    const [param, match] = [asObject(spec['paramRef']), asObject(spec['matchResources'])];
    return [
      ...(name === '' ? [required('spec.policyName')] : invalidAll('spec.policyName', name, dns1123SubdomainErrors(name))),
      ...(param ? validateParamRef(param, 'spec.paramRef') : []),
      ...(match ? validateMatchResources(match, 'spec.matchResources') : []),
      ...(match && mutating ? validateMutatingOperations(match, 'spec.matchResources') : []),
      ...(mutating ? [] : validateActions(strings(spec['validationActions']), 'spec.validationActions')),
    ];
  },
});
export const validatingPolicyBindingStrategy = bindingBase(false);
export const mutatingPolicyBindingStrategy = bindingBase(true);

function validateParamRef(param: Obj, path: string): FieldError[] {
  const [name, selector] = [text(param['name']), asObject(param['selector'])];
  const errors: FieldError[] = [];
  if (name !== '') errors.push(...invalidAll(`${path}.name`, name, pathSegmentErrors(name)));
  if (name !== '' && selector) errors.push(forbiddenField(`${path}.name`, 'name and selector are mutually exclusive'));
  if (selector) errors.push(...validateLabelSelector(selector, `${path}.selector`));
  if (name !== '' && selector) errors.push(forbiddenField(`${path}.selector`, 'name and selector are mutually exclusive'));
  if (name === '' && !selector) errors.push(required(path, 'one of name or selector must be specified'));
  const action = text(param['parameterNotFoundAction']);
  return [...errors, ...(action === '' ? [required(`${path}.parameterNotFoundAction`)] : oneOf(`${path}.parameterNotFoundAction`, action, ['Deny', 'Allow']))];
}

function validateActions(actions: readonly string[], path: string): FieldError[] {
  const errors = actions.flatMap((action, index) => [
    ...oneOf(`${path}[${index}]`, action, ['Audit', 'Deny', 'Warn']),
    ...(actions.indexOf(action) < index ? [duplicate(`${path}[${index}]`, action)] : []),
  ]);
  if (actions.includes('Deny') && actions.includes('Warn')) {
    errors.push(invalidField(path, actions, 'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)'));
  }
  if (actions.length === 0) errors.push(required(path, 'at least one validation action is required'));
  return errors;
}
