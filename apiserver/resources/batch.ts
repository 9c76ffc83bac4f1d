// What the API server refuses of Jobs and CronJobs, beside their metadata. Not checked yet: the pod template, and the
// lengths and formats inside podFailurePolicy and successPolicy. Upstream: pkg/apis/batch/validation.
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { KubeObject, LabelSelector } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { isTimeZone, parseSchedule } from '#machinery/base/cron.ts';
import { asObject, at, integer, invalidField, items, notNegative, notSupported, objects, oneOf, required, same, text } from './values.ts';
import type { Obj } from './values.ts';

const mostIndexed = 100_000;
const longestCronJobName = 63 - 11; // a dash and the minute follow in the names of its jobs

export function validateJob(object: KubeObject): FieldError[] {
  const { name = '', uid = '' } = object.metadata ?? {};
  const spec = asObject(object['spec']) ?? {};
  const errors = validateJobSpec(spec, 'spec');
  const completions = integer(spec['completions']);
  if (spec['completionMode'] === 'Indexed' && completions !== undefined && completions > 0) {
    const [error] = dns1123LabelErrors(`${name}-${completions - 1}`);
    if (error !== undefined) errors.push(invalidField('metadata.name', name, `will not able to create pod with invalid DNS label: ${name}-${completions - 1}`));
  }
  const selector = spec['selector'];
  if (spec['manualSelector'] !== true) {
    if (!same(selector, { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } })) errors.push(invalidField('spec.selector', selector, '`selector` not auto-generated'));
  } else if (selector === undefined) errors.push(required('spec.selector'));
  const labels = asObject(at(spec, 'template', 'metadata', 'labels'));
  if (asObject(selector) && !matches(selector as LabelSelector, labels)) {
    errors.push(invalidField('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'));
  }
  return errors;
}
function matches(selector: LabelSelector, labels: Obj | undefined): boolean {
  return labelSelectorFromObject(selector).matches(Object.fromEntries(Object.entries(labels ?? {}).map(([key, value]) => [key, text(value)])));
}

function validateJobSpec(spec: Obj, path: string): FieldError[] {
  const numbers = ['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished', 'backoffLimitPerIndex', 'maxFailedIndexes'];
  const errors = numbers.flatMap((field) => notNegative(`${path}.${field}`, spec[field]));
  const perIndex = spec['backoffLimitPerIndex'] !== undefined;
  if (spec['maxFailedIndexes'] !== undefined && !perIndex) errors.push(required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'));
  if (spec['completionMode'] !== undefined) errors.push(...oneOf(`${path}.completionMode`, spec['completionMode'], ['NonIndexed', 'Indexed']));
  if (spec['completionMode'] === 'Indexed') {
    const completions = integer(spec['completions']);
    const parallelism = integer(spec['parallelism']) ?? 0;
    const failed = integer(spec['maxFailedIndexes']);
    if (completions === undefined) errors.push(required(`${path}.completions`, 'when completion mode is Indexed'));
    if (parallelism > mostIndexed) errors.push(invalidField(`${path}.parallelism`, parallelism, `must be less than or equal to ${mostIndexed} when completion mode is Indexed`));
    if (failed !== undefined && completions !== undefined && failed > completions) errors.push(invalidField(`${path}.maxFailedIndexes`, failed, 'must be less than or equal to completions'));
    if (failed !== undefined && failed > mostIndexed) errors.push(invalidField(`${path}.maxFailedIndexes`, failed, `must be less than or equal to ${mostIndexed}`));
  } else {
    for (const field of ['backoffLimitPerIndex', 'maxFailedIndexes', 'successPolicy']) {
      if (spec[field] !== undefined) errors.push(invalidField(`${path}.${field}`, spec[field], 'requires indexed completion mode'));
    }
  }
  const withPolicy = spec['podFailurePolicy'] !== undefined;
  const replacement = spec['podReplacementPolicy'];
  if (replacement !== undefined) errors.push(...oneOf(`${path}.podReplacementPolicy`, replacement, withPolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed']));
  const restart = text(at(spec, 'template', 'spec', 'restartPolicy'));
  const restartPath = `${path}.template.spec.restartPolicy`;
  if (restart === '' || restart === 'Always') errors.push(required(restartPath, 'valid values: "OnFailure", "Never"'));
  else if (restart !== 'OnFailure' && restart !== 'Never') errors.push(notSupported(restartPath, restart, ['OnFailure', 'Never']));
  else if (withPolicy && restart !== 'Never') errors.push(invalidField(restartPath, restart, 'only "Never" is supported when podFailurePolicy is specified'));
  if (withPolicy) errors.push(...validateFailurePolicy(spec, `${path}.podFailurePolicy.rules`));
  if (spec['successPolicy'] !== undefined && items(at(spec, 'successPolicy', 'rules')).length === 0) {
    errors.push(required(`${path}.successPolicy.rules`, 'at least one rules must be specified when the successPolicy is specified'));
  }
  for (const [index, rule] of objects(at(spec, 'successPolicy', 'rules')).entries()) {
    if (rule['succeededCount'] === undefined && rule['succeededIndexes'] === undefined) {
      errors.push(required(`${path}.successPolicy.rules[${index}]`, 'at least one of succeededCount or succeededIndexes must be specified'));
    }
  }
  return errors;
}
function validateFailurePolicy(spec: Obj, path: string): FieldError[] {
  const containers = ['containers', 'initContainers'].flatMap((field) => objects(at(spec, 'template', 'spec', field)).map((container) => text(container['name'])));
  return objects(at(spec, 'podFailurePolicy', 'rules')).flatMap((rule, index) => {
    const here = `${path}[${index}]`;
    const action = text(rule['action']);
    const errors: FieldError[] = [];
    if (action === '') errors.push(required(`${here}.action`, 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'));
    else errors.push(...oneOf(`${here}.action`, action, ['Count', 'FailIndex', 'FailJob', 'Ignore']));
    if (action === 'FailIndex' && spec['backoffLimitPerIndex'] === undefined) errors.push(invalidField(`${here}.action`, action, 'requires the backoffLimitPerIndex to be set'));
    const codes = asObject(rule['onExitCodes']);
    const byCondition = items(rule['onPodConditions']).length > 0;
    if (codes && byCondition) errors.push(invalidField(here, undefined, 'specifying both OnExitCodes and OnPodConditions is not supported'));
    if (!codes && !byCondition) errors.push(invalidField(here, undefined, 'specifying one of OnExitCodes and OnPodConditions is required'));
    if (!codes) return errors;
    const values = items(codes['values']);
    const operator = text(codes['operator']);
    if (operator === '') errors.push(required(`${here}.onExitCodes.operator`, 'valid values: ["In" "NotIn"]'));
    else errors.push(...oneOf(`${here}.onExitCodes.operator`, operator, ['In', 'NotIn']));
    if (codes['containerName'] !== undefined && !containers.includes(text(codes['containerName']))) {
      errors.push(invalidField(`${here}.onExitCodes.containerName`, codes['containerName'], 'must be one of the container or initContainer names in the pod template'));
    }
    if (values.length === 0) errors.push(invalidField(`${here}.onExitCodes.values`, values, 'at least one value is required'));
    if (operator === 'In' && values.includes(0)) errors.push(invalidField(`${here}.onExitCodes.values[${values.indexOf(0)}]`, 0, 'must not be 0 for the In operator'));
    return errors;
  });
}

/** `old` on updates: what was allowed once may stay. */
export function validateCronJob(object: KubeObject, old?: Readonly<KubeObject>): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const { name = '' } = object.metadata ?? {};
  const errors: FieldError[] = [];
  if (!old && name.length > longestCronJobName) errors.push(invalidField('metadata.name', name, `must be no more than ${longestCronJobName} characters`));
  errors.push(...validateSchedule(spec, text(at(old, 'spec', 'schedule')).includes('TZ')));
  if (!old || !same(spec['timeZone'], at(old, 'spec', 'timeZone'))) errors.push(...validateTimeZone(spec['timeZone']));
  for (const field of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit']) errors.push(...notNegative(`spec.${field}`, spec[field]));
  errors.push(...oneOf('spec.concurrencyPolicy', spec['concurrencyPolicy'], ['Allow', 'Forbid', 'Replace']));
  const job = asObject(at(spec, 'jobTemplate', 'spec')) ?? {};
  errors.push(...validateJobSpec(job, 'spec.jobTemplate.spec'));
  if (job['selector'] !== undefined) errors.push(invalidField('spec.jobTemplate.spec.selector', job['selector'], '`selector` will be auto-generated'));
  if (job['manualSelector'] === true) errors.push(notSupported('spec.jobTemplate.spec.manualSelector', true, ['nil', 'false']));
  return errors;
}
function validateSchedule(spec: Obj, zoneAllowed: boolean): FieldError[] {
  const schedule = text(spec['schedule']);
  const path = 'spec.schedule';
  if (schedule === '') return [required(path)];
  const errors: FieldError[] = [];
  try {
    parseSchedule(schedule);
  } catch (error) {
    errors.push(invalidField(path, schedule, error instanceof Error ? error.message : String(error)));
  }
  if (!schedule.includes('TZ')) return errors;
  if (!zoneAllowed) errors.push(invalidField(path, schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'));
  else if (spec['timeZone'] !== undefined) errors.push(invalidField(path, schedule, 'cannot use both timeZone field and TZ or CRON_TZ in schedule'));
  return errors;
}
function validateTimeZone(zone: unknown): FieldError[] {
  if (zone === undefined) return [];
  const path = 'spec.timeZone';
  const name = text(zone);
  if (name === '') return [invalidField(path, name, 'timeZone must be nil or non-empty string')];
  if (name.toLowerCase() === 'local') return [invalidField(path, name, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones')];
  return isTimeZone(name) ? [] : [invalidField(path, name, `unknown time zone ${name}`)];
}
