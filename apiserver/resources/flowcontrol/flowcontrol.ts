// FlowSchemas and PriorityLevelConfigurations. Upstream: pkg/apis/flowcontrol/validation.
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import data from '../../bootstrap/flowcontrol.json' with { type: 'json' };
import { kindStrategy } from '../basic.ts';
import { asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isObject, need, notSupported, objects, oneOf, required, same, setEmpty, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateNonResourceRule, validateResourceRule, validateSubject } from './rules.ts';

interface Fixed { class: string; spec: Obj }
const mandatory = (entries: unknown): Readonly<Record<string, Obj>> => Object.fromEntries(
  Object.entries(entries as Record<string, Fixed>).filter(([, entry]) => entry.class === 'mandatory').map(([name, entry]) => [name, entry.spec])); // the shape of our own data
const fixedSchemas = mandatory(data.flowSchemas);
const fixedLevels = mandatory(data.priorityLevelConfigurations);

function validateStatus(object: Obj): FieldError[] {
  const types = objects(at(object, 'status', 'conditions')).map((condition) => text(condition['type']));
  return types.flatMap((type, index) => [
    ...(types.indexOf(type) < index ? [duplicate(`status.conditions[${index}].type`, type)] : []),
    ...(type === '' ? [required(`status.conditions[${index}].type`)] : []),
  ]);
}

function defaultSchema(object: Obj): void {
  setEmpty(need(object, 'spec'), 'matchingPrecedence', 1000);
  setMissing(object, 'status', {});
}

export const flowSchemaStrategy = kindStrategy({ status: true, generation: 'spec', statusMayChange: [] }, {
  default: defaultSchema,
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const precedence = integer(spec['matchingPrecedence']) ?? 0;
    const { name = '' } = object.metadata ?? {};
    const path = 'spec.matchingPrecedence';
    const errors: FieldError[] = [];
    if (precedence <= 0) errors.push(invalidField(path, precedence, 'must be a positive value'));
    if (precedence > 10_000) errors.push(invalidField(path, precedence, 'must not be greater than 10000'));
    if (precedence === 1 && name !== 'exempt') errors.push(invalidField(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"));
    const method = asObject(spec['distinguisherMethod']);
    if (method && !['ByNamespace', 'ByUser'].includes(text(method['type']))) errors.push(notSupported('spec.distinguisherMethod.type', { Type: text(method['type']) }, ['ByNamespace', 'ByUser']));
    const level = text(at(spec, 'priorityLevelConfiguration', 'name'));
    errors.push(...(level === '' ? [required('spec.priorityLevelConfiguration.name', 'must reference a priority level')] : invalidAll('spec.priorityLevelConfiguration.name', level, dns1123SubdomainErrors(level))));
    objects(spec['rules']).forEach((rule, index) => errors.push(...validateSchemaRule(rule, `spec.rules[${index}]`)));
    const fixed = fixedSchemas[name];
    if (fixed && !sameSchema(spec, fixed)) errors.push(invalidField('spec', spec, `spec of '${name}' must equal the fixed value`));
    return [...errors, ...validateStatus(object)];
  },
  status: { validateUpdate: validateStatus },
});
function sameSchema(spec: Obj, fixed: Obj): boolean {
  const object = { spec: structuredClone(fixed) };
  defaultSchema(object);
  return same(withoutFalse(spec), withoutFalse(object.spec));
}
/** A cluster scope of false is the same as none. */
function withoutFalse(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutFalse);
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, field]) => field !== false).map(([name, field]) => [name, withoutFalse(field)])) : value;
}

function validateSchemaRule(rule: Obj, path: string): FieldError[] {
  const subjects = objects(rule['subjects']);
  const [resources, others] = [objects(rule['resourceRules']), objects(rule['nonResourceRules'])];
  return [
    ...(subjects.length === 0 ? [required(`${path}.subjects`, 'subjects must contain at least one value')] : subjects.flatMap((subject, index) => validateSubject(subject, `${path}.subjects[${index}]`))),
    ...(resources.length === 0 && others.length === 0 ? [required(path, 'at least one of resourceRules and nonResourceRules has to be non-empty')] : []),
    ...resources.flatMap((one, index) => validateResourceRule(one, `${path}.resourceRules[${index}]`)),
    ...others.flatMap((one, index) => validateNonResourceRule(one, `${path}.nonResourceRules[${index}]`)),
  ];
}

function defaultLevel(object: Obj): void {
  const spec = need(object, 'spec');
  // The exempt level has its numbers even when nobody gave any.
  if (spec['type'] === 'Exempt') need(spec, 'exempt');
  for (const [kind, shares] of [['exempt', 0], ['limited', 30]] as const) {
    const numbers = asObject(spec[kind]);
    if (!numbers) continue;
    setMissing(numbers, 'nominalConcurrencyShares', shares);
    setMissing(numbers, 'lendablePercent', 0);
  }
  const queuing = asObject(at(spec, 'limited', 'limitResponse', 'queuing'));
  if (queuing) {
    setEmpty(queuing, 'handSize', 8);
    setEmpty(queuing, 'queues', 64);
    setEmpty(queuing, 'queueLengthLimit', 50);
  }
  setMissing(object, 'status', {});
}

export const priorityLevelStrategy = kindStrategy({ status: true, generation: 'spec', statusMayChange: [] }, {
  default: defaultLevel,
  validate(object) {
    const { name = '', annotations } = object.metadata ?? {};
    const spec = asObject(object['spec']) ?? {};
    const zeroes = 'flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares';
    const errors: FieldError[] = annotations?.[zeroes] === undefined ? [] : [forbiddenField('metadata.annotations', `annotation '${zeroes}' is forbidden`)];
    errors.push(...validateLevel(spec, name));
    const fixed = fixedLevels[name];
    if (fixed) {
      const expected = { spec: structuredClone(fixed) };
      defaultLevel(expected);
      if (name === 'exempt') expected.spec['exempt'] = spec['exempt'];
      if (!same(spec, expected.spec)) errors.push(invalidField('spec', spec, `spec of '${name}' ${name === 'exempt' ? "except the 'spec.exempt' field " : ''}must equal the fixed value`));
    }
    return [...errors, ...validateStatus(object)];
  },
  status: { validateUpdate: validateStatus },
});

function validateLevel(spec: Obj, name: string): FieldError[] {
  const type = text(spec['type']);
  const [limited, exempt] = [asObject(spec['limited']), asObject(spec['exempt'])];
  const errors: FieldError[] = (name === 'exempt') === (type === 'Exempt') ? [] : [invalidField('spec.type', type, "must be 'Exempt' if and only if `name` is 'exempt'")];
  switch (type) {
    case 'Exempt':
      if (limited) errors.push(forbiddenField('spec.limited', 'must be nil if the type is not Limited'));
      if (exempt) errors.push(...validateShares(exempt, 'spec.exempt'), ...validateLendable(exempt, 'spec.exempt'));
      break;
    case 'Limited':
      if (exempt) errors.push(forbiddenField('spec.exempt', 'must be nil if the type is Limited'));
      errors.push(...(limited ? validateLimited(limited, 'spec.limited') : [required('spec.limited', 'must not be empty when type is Limited')]));
      break;
    default: errors.push(notSupported('spec.type', type, ['Exempt', 'Limited']));
  }
  return errors;
}
function validateShares(numbers: Obj, path: string): FieldError[] {
  const shares = integer(numbers['nominalConcurrencyShares']) ?? 0;
  return shares < 0 ? [invalidField(`${path}.nominalConcurrencyShares`, shares, 'must be a non-negative integer')] : [];
}
function validateLendable(numbers: Obj, path: string): FieldError[] {
  const percent = integer(numbers['lendablePercent']) ?? 0;
  return percent < 0 || percent > 100 ? [invalidField(`${path}.lendablePercent`, percent, 'must be between 0 and 100, inclusive')] : [];
}

function validateLimited(limited: Obj, path: string): FieldError[] {
  const borrowing = integer(limited['borrowingLimitPercent']) ?? 0;
  return [
    ...validateShares(limited, path),
    ...validateResponse(asObject(limited['limitResponse']) ?? {}, `${path}.limitResponse`),
    ...validateLendable(limited, path),
    ...(borrowing < 0 ? [invalidField(`${path}.borrowingLimitPercent`, borrowing, 'if specified, must be a non-negative integer')] : []),
  ];
}
function validateResponse(response: Obj, path: string): FieldError[] {
  const queuing = asObject(response['queuing']);
  switch (text(response['type'])) {
    case 'Reject': return queuing ? [forbiddenField(`${path}.queuing`, 'must be nil if limited.limitResponse.type is not Limited')] : [];
    case 'Queue': return queuing ? validateQueuing(queuing, `${path}.queuing`) : [required(`${path}.queuing`, 'must not be empty if limited.limitResponse.type is Limited')];
    default: return oneOf(`${path}.type`, text(response['type']), ['Queue', 'Reject']);
  }
}
function validateQueuing(queuing: Obj, path: string): FieldError[] {
  const [length, queues, hand] = ['queueLengthLimit', 'queues', 'handSize'].map((field) => integer(queuing[field]) ?? 0) as [number, number, number]; // three of three
  const errors: FieldError[] = length <= 0 ? [invalidField(`${path}.queueLengthLimit`, length, 'must be positive')] : [];
  if (queues <= 0) errors.push(invalidField(`${path}.queues`, queues, 'must be positive'));
  else if (queues > 10_000_000) errors.push(invalidField(`${path}.queues`, queues, 'must not be greater than 10000000'));
  if (hand <= 0) errors.push(invalidField(`${path}.handSize`, hand, 'must be positive'));
  else if (hand > queues) errors.push(invalidField(`${path}.handSize`, hand, `should not be greater than queues (${queues})`));
  // A hand is dealt from a hash of 60 bits.
  else if (Math.ceil(Math.log2(queues) * hand) > 60) errors.push(invalidField(`${path}.handSize`, hand, `required entropy bits of deckSize ${queues} and handSize ${hand} should not be greater than 60`));
  return errors;
}
