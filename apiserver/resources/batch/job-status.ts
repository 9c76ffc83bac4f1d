// What the controller of a Job, ours or anybody's, may write into its status. A rule counts only when something that it
// speaks of changes, so that a status that went wrong before can still be written. Upstream: pkg/apis/batch/validation.
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateCounts } from '../apps/workload.ts';
import { asObject, at, duplicate, integer, invalidField, invalidWhole, items, objects, required, same, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { IndexesError, overlap, parseIndexes, readableIndexes } from './indexes.ts';

export function hasCondition(status: Obj, type: string, value = 'True'): boolean {
  return objects(status['conditions']).some((condition) => condition['type'] === type && condition['status'] === value);
}

const conditionsPath = 'status.conditions';

export function validateJobStatus(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const [status, before] = [asObject(object['status']) ?? {}, asObject(old['status']) ?? {}];
  return [
    ...validateCounts(status, 'status', ['active', 'succeeded', 'failed', 'ready', 'terminating']),
    ...validateUncounted(status),
    ...validateEnd(spec, status, before),
    ...validateIndexesOf(spec, status, before),
    ...validatePods(status, before),
    ...validateSuccess(spec, status),
    ...validateTransition(spec, status, before),
  ];
}

function validateUncounted(status: Obj): FieldError[] {
  const seen = new Set<string>();
  return ['succeeded', 'failed'].flatMap((field) => strings(at(status, 'uncountedTerminatedPods', field)).flatMap((uid, index): FieldError[] => {
    const path = `status.uncountedTerminatedPods.${field}[${index}]`;
    if (uid === '') return [invalidField(path, uid, 'must not be empty')];
    if (seen.has(uid)) return [duplicate(path, uid)];
    seen.add(uid);
    return [];
  }));
}

const isFinished = (status: Obj): boolean => hasCondition(status, 'Complete') || hasCondition(status, 'Failed');
const time = (value: unknown): number => Date.parse(text(value));

/** The conditions that a job ends by, and the times that go with them. */
function validateEnd(spec: Obj, status: Obj, before: Obj): FieldError[] {
  const has = (type: string): boolean => hasCondition(status, type);
  const turned = (type: string): boolean => has(type) !== hasCondition(before, type);
  const changed = (field: string): boolean => !same(status[field], before[field]);
  const finished = isFinished(status);
  const finishedTurned = finished !== isFinished(before);
  const { startTime, completionTime } = status;
  const ended = turned('Complete') || changed('completionTime');
  const errors: FieldError[] = [];
  const refuse = (detail: string): void => void errors.push(invalidWhole(conditionsPath, detail));
  if ((turned('Complete') || turned('Failed')) && has('Complete') && has('Failed')) refuse('cannot set Complete=True and Failed=true conditions');
  if ((turned('Complete') || turned('FailureTarget')) && has('Complete') && has('FailureTarget')) refuse('cannot set Complete=True and FailureTarget=true conditions');
  if (ended && completionTime !== undefined && !has('Complete')) errors.push(invalidField('status.completionTime', completionTime, 'cannot set completionTime when there is no Complete=True condition'));
  if (ended && completionTime === undefined && has('Complete')) errors.push(required('status.completionTime', 'completionTime is required for Complete jobs'));
  if ((changed('startTime') || changed('completionTime')) && time(completionTime) < time(startTime)) errors.push(invalidField('status.completionTime', completionTime, 'must be equal to or after `startTime`'));
  if ((turned('Failed') || changed('failedIndexes')) && has('Failed') && !has('FailureTarget')) refuse('cannot set Failed=True condition without the FailureTarget=true condition');
  if ((turned('Complete') || turned('SuccessCriteriaMet')) && has('Complete') && !has('SuccessCriteriaMet')) refuse('cannot set Complete=True condition without the SuccessCriteriaMet=true condition');
  if ((finishedTurned || changed('active')) && finished && (integer(status['active']) ?? 0) > 0) errors.push(invalidField('status.active', status['active'], 'active>0 is invalid for finished job'));
  const nothingToDo = spec['suspend'] === true && spec['completions'] === 0;
  if ((finishedTurned || changed('startTime')) && !nothingToDo && finished && startTime === undefined) errors.push(required('status.startTime', 'startTime is required for finished job'));
  const uncounted = asObject(status['uncountedTerminatedPods']);
  if ((finishedTurned || changed('uncountedTerminatedPods')) && finished && uncounted && items(uncounted['failed']).length + items(uncounted['succeeded']).length > 0) {
    errors.push(invalidField('status.uncountedTerminatedPods', { Succeeded: uncounted['succeeded'] ?? null, Failed: uncounted['failed'] ?? null }, 'must be empty for finished job'));
  }
  return errors;
}

function validateIndexesOf(spec: Obj, status: Obj, before: Obj): FieldError[] {
  const completions = integer(spec['completions']);
  const completed = text(status['completedIndexes']);
  const failed = status['failedIndexes'];
  const completedChanged = completed !== text(before['completedIndexes']);
  const failedChanged = !same(failed, before['failedIndexes']);
  const errors: FieldError[] = [];
  const parse = (field: string, value: string): void => {
    try {
      parseIndexes(value, completions ?? 0);
    } catch (error) {
      if (!(error instanceof IndexesError)) throw error;
      errors.push(invalidField(`status.${field}`, value, `error parsing ${field}: ${error.message}`));
    }
  };
  if (completedChanged && completions !== undefined) parse('completedIndexes', completed);
  if (failedChanged && completions !== undefined && spec['backoffLimitPerIndex'] !== undefined && typeof failed === 'string') parse('failedIndexes', failed);
  if (completedChanged && completed !== '' && spec['completionMode'] !== 'Indexed') errors.push(invalidField('status.completedIndexes', completed, 'cannot set non-empty completedIndexes when non-indexed completion mode'));
  if (failedChanged && failed !== undefined && spec['backoffLimitPerIndex'] === undefined) errors.push(invalidField('status.failedIndexes', failed, 'cannot set non-null failedIndexes when backoffLimitPerIndex is null'));
  if ((failedChanged || completedChanged) && completions !== undefined && typeof failed === 'string') {
    const problem = overlapProblem(completed, failed, completions);
    if (problem !== undefined) errors.push(invalidField('status.failedIndexes', failed, problem));
  }
  return errors;
}
/** What cannot be read has been said already, and overlaps with nothing. */
function overlapProblem(completed: string, failed: string, completions: number): string | undefined {
  const index = overlap(readableIndexes(completed, completions), readableIndexes(failed, completions));
  return index === undefined ? undefined : `failedIndexes and completedIndexes overlap at index: ${index}`;
}

function validatePods(status: Obj, before: Obj): FieldError[] {
  const changed = (field: string): boolean => !same(status[field], before[field]);
  const finished = isFinished(status);
  const [ready, active, terminating] = [integer(status['ready']), integer(status['active']) ?? 0, integer(status['terminating']) ?? 0];
  const errors: FieldError[] = [];
  if ((finished !== isFinished(before) || changed('terminating')) && terminating > 0 && finished) errors.push(invalidField('status.terminating', terminating, 'terminating>0 is invalid for finished job'));
  if ((changed('ready') || active !== (integer(before['active']) ?? 0)) && ready !== undefined && ready > active) errors.push(invalidField('status.ready', ready, 'cannot set more ready pods than active'));
  return errors;
}

function validateSuccess(spec: Obj, status: Obj): FieldError[] {
  const met = hasCondition(status, 'SuccessCriteriaMet');
  const errors: FieldError[] = [];
  if (met && hasCondition(status, 'Failed')) errors.push(invalidWhole(conditionsPath, 'cannot set SuccessCriteriaMet=True and Failed=true conditions'));
  if (met && hasCondition(status, 'FailureTarget')) errors.push(invalidWhole(conditionsPath, 'cannot set SuccessCriteriaMet=True and FailureTarget=true conditions'));
  if (spec['successPolicy'] !== undefined && !met && hasCondition(status, 'Complete')) errors.push(invalidWhole(conditionsPath, 'cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True'));
  return errors;
}

/** What has ended stays ended, and what was counted stays counted. */
function validateTransition(spec: Obj, status: Obj, before: Obj): FieldError[] {
  const errors: FieldError[] = [];
  for (const type of ['Failed', 'Complete', 'FailureTarget']) {
    if (hasCondition(before, type) && !hasCondition(status, type)) errors.push(invalidWhole(conditionsPath, `cannot disable the terminal ${type}=True condition`));
  }
  const count = (of: Obj, field: string): number => integer(of[field]) ?? 0;
  if (count(status, 'failed') < count(before, 'failed')) errors.push(invalidField('status.failed', count(status, 'failed'), 'cannot decrease the failed counter'));
  // An indexed job that is scaled down loses what succeeded beyond its end.
  const mayShrink = spec['completionMode'] === 'Indexed' && spec['completions'] === spec['parallelism'];
  if (!mayShrink && count(status, 'succeeded') < count(before, 'succeeded')) errors.push(invalidField('status.succeeded', count(status, 'succeeded'), 'cannot decrease the succeeded counter'));
  const differs = (field: string): boolean => !same(status[field], before[field]);
  if (status['completionTime'] !== undefined && before['completionTime'] !== undefined && differs('completionTime')) errors.push(invalidField('status.completionTime', status['completionTime'], 'field is immutable'));
  const resumes = hasCondition(before, 'Suspended') && hasCondition(status, 'Suspended', 'False');
  if (before['startTime'] !== undefined && differs('startTime') && !resumes && spec['suspend'] !== true) errors.push(invalidField('status.startTime', status['startTime'] ?? null, 'field is immutable for unsuspended job once set'));
  const [met, wasMet] = [hasCondition(status, 'SuccessCriteriaMet'), hasCondition(before, 'SuccessCriteriaMet')];
  if (wasMet && !met) errors.push(invalidWhole(conditionsPath, 'cannot disable the SuccessCriteriaMet=True condition'));
  if (hasCondition(before, 'Complete') && !wasMet && met) errors.push(invalidWhole(conditionsPath, 'cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions'));
  return errors;
}
