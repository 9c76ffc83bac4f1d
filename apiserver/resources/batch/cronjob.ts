// CronJobs. Upstream: pkg/apis/batch/validation and pkg/registry/batch/cronjob.
import type { FieldError } from '#machinery/api/status.ts';
import { isTimeZone, parseSchedule } from '#machinery/base/cron.ts';
import { validateCounts, warnOfName } from '../apps/workload.ts';
import { kindStrategy } from '../basic.ts';
import { defaultPodTemplate } from '../core/pod-defaults.ts';
import { asObject, at, invalidField, need, notSupported, oneOf, required, same, setEmpty, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateJobSpec } from './job-spec.ts';

/** A dash and the minute follow in the names of its jobs. */
const longestName = 63 - 11;

export const cronJobStrategy = kindStrategy({ status: true, generation: 'spec' }, {
  default(object) {
    const spec = need(object, 'spec');
    setEmpty(spec, 'concurrencyPolicy', 'Allow');
    setMissing(spec, 'suspend', false);
    setMissing(spec, 'successfulJobsHistoryLimit', 3);
    setMissing(spec, 'failedJobsHistoryLimit', 1);
    const job = need(spec, 'jobTemplate');
    setMissing(job, 'metadata', {});
    defaultPodTemplate(need(need(job, 'spec'), 'template'));
    setMissing(object, 'status', {});
  },
  validate(object, _, old) {
    const { name = '' } = object.metadata ?? {};
    const errors = validateSpec(asObject(object['spec']) ?? {}, asObject(old?.['spec']));
    // Names that were taken before the rule stay usable.
    if (!old && name.length > longestName) errors.push(invalidField('metadata.name', name, `must be no more than ${longestName} characters`));
    return errors;
  },
  warnings(object, old) {
    const zone = text(at(object, 'spec', 'schedule')).includes('TZ') ? ['spec.schedule: cannot use TZ or CRON_TZ in schedule, use timeZone field instead'] : [];
    return [...warnOfName(object, old), ...(old ? [] : zone)];
  },
});

function validateSpec(spec: Obj, old: Obj | undefined): FieldError[] {
  const policies = ['Allow', 'Forbid', 'Replace'];
  const policy = text(spec['concurrencyPolicy']);
  return [
    ...validateSchedule(spec, text(old?.['schedule']).includes('TZ')),
    ...validateCounts(spec, 'spec', ['startingDeadlineSeconds']),
    ...(old && same(spec['timeZone'], old['timeZone']) ? [] : validateTimeZone(spec['timeZone'])),
    ...(policy === '' ? [required('spec.concurrencyPolicy')] : oneOf('spec.concurrencyPolicy', policy, policies)),
    ...validateTemplate(asObject(at(spec, 'jobTemplate', 'spec')) ?? {}, 'spec.jobTemplate.spec'),
    ...validateCounts(spec, 'spec', ['successfulJobsHistoryLimit', 'failedJobsHistoryLimit']),
  ];
}

function validateTemplate(job: Obj, path: string): FieldError[] {
  const errors = validateJobSpec(job, path);
  if (job['selector'] !== undefined) errors.push(invalidField(`${path}.selector`, job['selector'], '`selector` will be auto-generated'));
  if (job['manualSelector'] === true) errors.push(notSupported(`${path}.manualSelector`, true, ['nil', 'false']));
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
  const odd = name.split('/').some((part) => part === '.' || part === '..' || part.startsWith('-') || !/^[A-Za-z.\-_0-9+]{1,14}$/.test(part));
  if (odd) return [invalidField(path, name, `unknown time zone ${name}`)];
  if (name.toLowerCase() === 'local') {
    const error = invalidField(path, name, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones');
    return name === 'Local' ? [error] : [error, invalidField(path, name, `unknown time zone ${name}`)];
  }
  return isTimeZone(name) ? [] : [invalidField(path, name, `unknown time zone ${name}`)];
}
