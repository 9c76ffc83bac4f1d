// What holds for the spec of a Job and for the one in a CronJob's template. Upstream: pkg/apis/batch/validation.
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateCounts } from '../apps/workload.ts';
import { validatePodTemplate } from '../core/pod-validation.ts';
import { validateDomainPrefixedPath } from '../formats.ts';
import { asObject, at, duplicate, integer, invalidAll, invalidField, invalidWhole, items, notNegative, notSupported, objects, oneOf, required, text, tooLong, tooMany } from '../values.ts';
import type { Obj } from '../values.ts';
import { IndexesError, parseIndexes } from './indexes.ts';

/** Keeps the lists of indexes in a status within bounds. */
const mostIndexed = 100_000;
const mostBeyond = 10_000;
const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
const quoted = (values: readonly string[]): string => `valid values: [${values.map((value) => JSON.stringify(value)).join(' ')}]`;

export function validateJobSpec(spec: Obj, path: string): FieldError[] {
  const errors = validateCounts(spec, path, ['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished', 'backoffLimitPerIndex', 'maxFailedIndexes']);
  const perIndex = spec['backoffLimitPerIndex'] !== undefined;
  if (spec['maxFailedIndexes'] !== undefined && !perIndex) errors.push(required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'));
  if (spec['managedBy'] !== undefined) {
    const manager = text(spec['managedBy']);
    errors.push(...validateDomainPrefixedPath(`${path}.managedBy`, manager));
    if (Buffer.byteLength(manager) > 63) errors.push(tooLong(`${path}.managedBy`, 63));
  }
  const mode = spec['completionMode'];
  if (mode !== undefined) errors.push(...oneOf(`${path}.completionMode`, mode, ['NonIndexed', 'Indexed']));
  if (mode === 'Indexed') errors.push(...validateIndexed(spec, path));
  else if (mode === undefined || mode === 'NonIndexed') {
    for (const field of ['backoffLimitPerIndex', 'maxFailedIndexes']) if (spec[field] !== undefined) errors.push(invalidField(`${path}.${field}`, spec[field], 'requires indexed completion mode'));
  }
  const withPolicy = asObject(spec['podFailurePolicy']) !== undefined;
  if (withPolicy) errors.push(...validateFailurePolicy(spec, `${path}.podFailurePolicy.rules`));
  const success = asObject(spec['successPolicy']);
  if (success && mode !== 'Indexed') errors.push(invalidField(`${path}.successPolicy`, { Rules: success['rules'] ?? null }, 'requires indexed completion mode'));
  else if (success) errors.push(...validateSuccessPolicy(spec, success, `${path}.successPolicy.rules`));
  const replacement = spec['podReplacementPolicy'];
  if (replacement !== undefined) errors.push(...oneOf(`${path}.podReplacementPolicy`, replacement, withPolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed']));
  errors.push(...validatePodTemplate(asObject(spec['template']) ?? {}, `${path}.template`));
  const restart = text(at(spec, 'template', 'spec', 'restartPolicy'));
  const restartPath = `${path}.template.spec.restartPolicy`;
  if (restart === '' || restart === 'Always') errors.push(required(restartPath, 'valid values: "OnFailure", "Never"'));
  else if (restart !== 'OnFailure' && restart !== 'Never') errors.push(notSupported(restartPath, restart, ['OnFailure', 'Never']));
  else if (withPolicy && restart !== 'Never') errors.push(invalidField(restartPath, restart, 'only "Never" is supported when podFailurePolicy is specified'));
  return errors;
}

function validateIndexed(spec: Obj, path: string): FieldError[] {
  const completions = integer(spec['completions']);
  const parallelism = integer(spec['parallelism']) ?? 0;
  const failed = integer(spec['maxFailedIndexes']);
  const errors: FieldError[] = [];
  if (completions === undefined) errors.push(required(`${path}.completions`, 'when completion mode is Indexed'));
  if (parallelism > mostIndexed) errors.push(invalidField(`${path}.parallelism`, parallelism, `must be less than or equal to ${mostIndexed} when completion mode is Indexed`));
  if (failed !== undefined && completions !== undefined && failed > completions) errors.push(invalidField(`${path}.maxFailedIndexes`, failed, 'must be less than or equal to completions'));
  if (failed !== undefined && failed > mostIndexed) errors.push(invalidField(`${path}.maxFailedIndexes`, failed, `must be less than or equal to ${mostIndexed}`));
  if (completions === undefined || completions <= mostIndexed || spec['backoffLimitPerIndex'] === undefined) return errors;
  const beyond = `must be less than or equal to ${mostBeyond} when completions are above ${mostIndexed} and used with backoff limit per index`;
  if (failed === undefined) errors.push(required(`${path}.maxFailedIndexes`, `must be specified when completions is above ${mostIndexed}`));
  if (parallelism > mostBeyond) errors.push(invalidField(`${path}.parallelism`, parallelism, beyond));
  if (failed !== undefined && failed > mostBeyond) errors.push(invalidField(`${path}.maxFailedIndexes`, failed, beyond));
  return errors;
}

function validateFailurePolicy(spec: Obj, path: string): FieldError[] {
  const rules = objects(at(spec, 'podFailurePolicy', 'rules'));
  const containers = new Set(['containers', 'initContainers'].flatMap((field) => objects(at(spec, 'template', 'spec', field)).map((container) => text(container['name']))));
  return [
    ...(rules.length > 20 ? [tooMany(path, rules.length, 20)] : []),
    ...rules.flatMap((rule, index) => validateFailureRule(rule, spec['backoffLimitPerIndex'] !== undefined, containers, `${path}[${index}]`)),
  ];
}

function validateFailureRule(rule: Obj, perIndex: boolean, containers: ReadonlySet<string>, path: string): FieldError[] {
  const action = text(rule['action']);
  const errors: FieldError[] = [];
  if (action === '') errors.push(required(`${path}.action`, quoted(actions)));
  else if (action === 'FailIndex' && !perIndex) errors.push(invalidField(`${path}.action`, action, 'requires the backoffLimitPerIndex to be set'));
  else errors.push(...oneOf(`${path}.action`, action, actions));
  const codes = asObject(rule['onExitCodes']);
  const conditions = objects(rule['onPodConditions']);
  if (codes) errors.push(...validateExitCodes(codes, containers, `${path}.onExitCodes`));
  errors.push(...validatePodConditions(conditions, `${path}.onPodConditions`));
  if (codes && conditions.length > 0) errors.push(invalidWhole(path, 'specifying both OnExitCodes and OnPodConditions is not supported'));
  if (!codes && conditions.length === 0) errors.push(invalidWhole(path, 'specifying one of OnExitCodes and OnPodConditions is required'));
  return errors;
}

function validatePodConditions(patterns: readonly Obj[], path: string): FieldError[] {
  const errors: FieldError[] = patterns.length > 20 ? [tooMany(path, patterns.length, 20)] : [];
  patterns.forEach((pattern, index) => {
    const type = text(pattern['type']);
    const status = text(pattern['status']);
    const values = ['False', 'True', 'Unknown'];
    errors.push(...invalidAll(`${path}[${index}].type`, type, qualifiedNameErrors(type)));
    errors.push(...(status === '' ? [required(`${path}[${index}].status`, quoted(values))] : oneOf(`${path}[${index}].status`, status, values)));
  });
  return errors;
}

function validateExitCodes(codes: Obj, containers: ReadonlySet<string>, path: string): FieldError[] {
  const operator = text(codes['operator']);
  const values = items(codes['values']);
  const errors = operator === '' ? [required(`${path}.operator`, quoted(['In', 'NotIn']))] : oneOf(`${path}.operator`, operator, ['In', 'NotIn']);
  const container = codes['containerName'];
  if (container !== undefined && !containers.has(text(container))) errors.push(invalidField(`${path}.containerName`, container, 'must be one of the container or initContainer names in the pod template'));
  if (values.length === 0) errors.push(invalidField(`${path}.values`, codes['values'] ?? null, 'at least one value is required'));
  else if (values.length > 255) errors.push(tooMany(`${path}.values`, values.length, 255));
  let ordered = true;
  values.forEach((value, index) => {
    if (operator === 'In' && value === 0) errors.push(invalidField(`${path}.values[${index}]`, 0, 'must not be 0 for the In operator'));
    if (values.indexOf(value) < index) errors.push(duplicate(`${path}.values[${index}]`, value));
    if (index > 0 && Number(values[index - 1]) > Number(value)) ordered = false;
  });
  if (!ordered) errors.push(invalidField(`${path}.values`, values, 'must be ordered'));
  return errors;
}

function validateSuccessPolicy(spec: Obj, policy: Obj, path: string): FieldError[] {
  const rules = objects(policy['rules']);
  const errors: FieldError[] = [];
  if (rules.length === 0) errors.push(required(path, 'at least one rules must be specified when the successPolicy is specified'));
  if (rules.length > 20) errors.push(tooMany(path, rules.length, 20));
  rules.forEach((rule, index) => errors.push(...validateSuccessRule(rule, integer(spec['completions']), `${path}[${index}]`)));
  return errors;
}

function validateSuccessRule(rule: Obj, completions: number | undefined, path: string): FieldError[] {
  const { succeededIndexes, succeededCount } = rule;
  const errors: FieldError[] = [];
  if (succeededIndexes === undefined && succeededCount === undefined) errors.push(required(path, 'at least one of succeededCount or succeededIndexes must be specified'));
  // Upstream breaks on an indexed job without completions here, and answers 500; that they are missing has been said.
  if (completions === undefined) return errors;
  let total = 0;
  if (typeof succeededIndexes === 'string') {
    if (Buffer.byteLength(succeededIndexes) > 64 * 1024) errors.push(tooLong(`${path}.succeededIndexes`, 64 * 1024));
    try {
      total = parseIndexes(succeededIndexes, completions).total;
    } catch (error) {
      if (!(error instanceof IndexesError)) throw error;
      errors.push(invalidField(`${path}.succeededIndexes`, succeededIndexes, `error parsing succeededIndexes: ${error.message}`));
    }
  }
  if (typeof succeededCount === 'number') {
    const here = `${path}.succeededCount`;
    errors.push(...notNegative(here, succeededCount));
    if (succeededCount > completions) errors.push(invalidField(here, succeededCount, `must be less than or equal to ${completions} (the number of specified completions)`));
    if (succeededIndexes !== undefined && succeededCount > total) errors.push(invalidField(here, succeededCount, `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`));
  }
  return errors;
}
