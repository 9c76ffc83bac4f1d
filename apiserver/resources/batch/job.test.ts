import { expect } from 'chai';
import { create, update } from '../testing.ts';

type Json = Record<string, unknown>;
const template = { spec: { containers: [{ name: 'c', image: 'i' }], restartPolicy: 'Never' } };
const job = (spec: Json = {}, name = 'j'): Json => ({ metadata: { name, namespace: 'n', uid: 'u1' }, spec: { template, ...spec } });
const cronJob = (spec: Json = {}, name = 'c', jobSpec: Json = {}): Json =>
  ({ metadata: { name, namespace: 'n', uid: 'u1' }, spec: { schedule: '0 * * * *', jobTemplate: { spec: { template, ...jobSpec } }, ...spec } });

describe('jobs', () => {
  const fine: [title: string, spec: Json][] = [
    ['with defaults only', {}],
    ['Indexed, with limits by index', { completionMode: 'Indexed', completions: 3, backoffLimitPerIndex: 1, maxFailedIndexes: 3 }],
    ['with a pod failure policy', { podFailurePolicy: { rules: [{ action: 'Ignore', onExitCodes: { containerName: 'c', operator: 'In', values: [1] } }, { action: 'Count', onPodConditions: [{ type: 'X' }] }] } }],
    ['with a selector of its own', { manualSelector: true, selector: { matchLabels: { a: 'b' } }, template: { ...template, metadata: { labels: { a: 'b' } } } }],
  ];
  for (const [title, spec] of fine) it(`are taken ${title}`, () => expect(create('jobs.batch', job(spec)).errors).to.deep.equal([]));
  const bad: [spec: Json, error: string][] = [
    [{ template: { spec: { containers: [] } } }, 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    [{ parallelism: -1 }, 'spec.parallelism: Invalid value: -1: must be greater than or equal to 0'],
    [{ completionMode: 'Indexed', parallelism: 1 }, 'spec.completions: Required value: when completion mode is Indexed'],
    [{ backoffLimitPerIndex: 1 }, 'spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode'],
    [{ completionMode: 'Indexed', completions: 1, maxFailedIndexes: 1 }, 'spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified'],
    [{ selector: { matchLabels: { a: 'b' } } }, '`selector` not auto-generated'],
    [{ manualSelector: true }, 'spec.selector: Required value'],
    [{ manualSelector: true, selector: { matchLabels: { a: 'b' } } }, '`selector` does not match template `labels`'],
    [{ podReplacementPolicy: 'TerminatingOrFailed', podFailurePolicy: { rules: [] } }, 'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'],
    [{ podFailurePolicy: { rules: [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [1] } }] } }, 'requires the backoffLimitPerIndex to be set'],
    [{ podFailurePolicy: { rules: [{ action: 'Ignore', onExitCodes: { operator: 'In', values: [0], containerName: 'x' } }] } }, 'must not be 0 for the In operator'],
    [{ podFailurePolicy: { rules: [{ action: 'Ignore' }] } }, 'specifying one of OnExitCodes and OnPodConditions is required'],
    [{ completionMode: 'Indexed', completions: 1, successPolicy: {} }, 'spec.successPolicy.rules: Required value'],
  ];
  for (const [spec, error] of bad) it(`are refused: ${error}`, () => expect(create('jobs.batch', job(spec)).errors.join('\n')).to.include(error));
  it('are refused when an index makes the host name too long', () => {
    expect(create('jobs.batch', job({ completionMode: 'Indexed', completions: 11 }, 'x'.repeat(62))).errors.join()).to.include('will not able to create pod with invalid DNS label');
  });
});

describe('cron jobs', () => {
  it('are taken with a time zone and descriptors', () => {
    expect(create('cronjobs.batch', cronJob({ timeZone: 'Europe/Berlin' })).errors).to.deep.equal([]);
    expect(create('cronjobs.batch', cronJob({ schedule: '@every 5m' })).errors).to.deep.equal([]);
  });
  const bad: [given: Json, error: string][] = [
    [cronJob({ schedule: '' }), 'spec.schedule: Required value'],
    [cronJob({ schedule: '61 * * * *' }), 'spec.schedule: Invalid value: "61 * * * *"'],
    [cronJob({ schedule: 'TZ=UTC 1 * * * *' }), 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'],
    [cronJob({ timeZone: 'Mars/Olympus' }), 'unknown time zone Mars/Olympus'],
    [cronJob({ timeZone: '' }), 'timeZone must be nil or non-empty string'],
    [cronJob({ timeZone: 'Local' }), 'timeZone must be an explicit time zone'],
    [cronJob({ concurrencyPolicy: 'Sometimes' }), 'spec.concurrencyPolicy: Unsupported value: "Sometimes"'],
    [cronJob({ failedJobsHistoryLimit: -1 }), 'spec.failedJobsHistoryLimit: Invalid value: -1'],
    [cronJob({}, 'c'.repeat(53)), 'metadata.name: Invalid value'],
    [cronJob({}, 'c', { selector: {} }), '`selector` will be auto-generated'],
    [cronJob({}, 'c', { manualSelector: true }), 'spec.jobTemplate.spec.manualSelector: Unsupported value'],
  ];
  for (const [given, error] of bad) it(`are refused: ${error}`, () => expect(create('cronjobs.batch', given).errors.join('\n')).to.include(error));
  it('keep an old name and a zone that was allowed once', () => {
    const old = create('cronjobs.batch', cronJob({ schedule: 'TZ=UTC 1 * * * *', timeZone: 'Mars/Olympus' }, 'c'.repeat(60))).object;
    const changed = update('cronjobs.batch', old, (object) => {
      (object['spec'] as Json)['suspend'] = true;
    });
    expect(changed.errors.join()).to.equal('spec.schedule: Invalid value: "TZ=UTC 1 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule');
  });
});
