// Jobs: their defaults and selectors, what changes of a suspended one are allowed. Upstream: pkg/registry/batch/job/strategy.go.
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { selectorMatches, warnOfName } from '../apps/workload.ts';
import { kindStrategy } from '../basic.ts';
import { defaultPodTemplate } from '../core/pod-defaults.ts';
import { validateLabelSelector } from '../meta.ts';
import { asObject, at, entries, immutable, integer, invalidField, need, objects, required, same, setEmpty, setMissing, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateJobSpec } from './job-spec.ts';
import { hasCondition, validateJobStatus } from './job-status.ts';

const fixedFields = ['completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'successPolicy'];

export const jobStrategy = kindStrategy({ status: true, generation: 'spec' }, {
  default: defaultJob,
  prepareForCreate: generateSelector,
  validate: validateJob,
  validateUpdate,
  status: { validateUpdate: validateJobStatus },
  warnings: warnOfName,
  fieldLabels: { 'status.successful': (object) => String(at(object, 'status', 'succeeded') ?? 0) },
  fieldLabelError: (label) => `field label "${label}" not supported for Job`,
});

function defaultJob(object: Obj): void {
  const spec = need(object, 'spec');
  if ((spec['completions'] ?? undefined) === undefined && (spec['parallelism'] ?? undefined) === undefined) spec['completions'] = 1;
  setMissing(spec, 'parallelism', 1);
  setMissing(spec, 'backoffLimit', (spec['backoffLimitPerIndex'] ?? undefined) === undefined ? 6 : 2_147_483_647);
  const labels = asObject(at(spec, 'template', 'metadata', 'labels'));
  const metadata = need(object, 'metadata');
  if (labels && Object.keys(labels).length > 0 && entries(metadata['labels']).length === 0) metadata['labels'] = labels; // the very map, so that labels which are generated for pods are put on the job too
  setMissing(spec, 'completionMode', 'NonIndexed');
  setMissing(spec, 'suspend', false);
  setMissing(spec, 'podReplacementPolicy', (spec['podFailurePolicy'] ?? undefined) === undefined ? 'TerminatingOrFailed' : 'Failed');
  setMissing(spec, 'manualSelector', false);
  for (const rule of objects(at(spec, 'podFailurePolicy', 'rules'))) {
    for (const pattern of objects(rule['onPodConditions'])) setEmpty(pattern, 'status', 'True');
  }
  defaultPodTemplate(need(spec, 'template'));
  setMissing(object, 'status', {});
}

/** Labels that were given stay; when they are wrong, validation says so. */
function generateSelector(object: KubeObject): void {
  const spec = need(object, 'spec');
  const { name = '', uid = '' } = object.metadata ?? {};
  if (spec['manualSelector'] === true) return;
  const labels = need(need(need(spec, 'template'), 'metadata'), 'labels');
  for (const [key, value] of Object.entries(generatedLabels(name, uid))) setMissing(labels, key, value);
  setMissing(need(need(spec, 'selector'), 'matchLabels'), 'batch.kubernetes.io/controller-uid', uid);
}
function generatedLabels(name: string, uid: string): Record<string, string> {
  return { 'controller-uid': uid, 'job-name': name, 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': name };
}

function validateJob(object: KubeObject, _context: unknown, old?: Readonly<KubeObject>): FieldError[] {
  const { name = '' } = object.metadata ?? {};
  const spec = asObject(object['spec']) ?? {};
  const errors = [...validateGenerated(object, spec, old), ...validateSpecAndSelector(spec)];
  const completions = integer(spec['completions']);
  if (spec['completionMode'] === 'Indexed' && completions !== undefined && completions > 0 && dns1123LabelErrors(`${name}-${completions - 1}`).length > 0) {
    errors.push(invalidField('metadata.name', name, `will not able to create pod with invalid DNS label: ${name}-${completions - 1}`));
  }
  return errors;
}

/** Jobs from before the prefixed labels need only the old ones. */
function validateGenerated(object: KubeObject, spec: Obj, old?: Readonly<KubeObject>): FieldError[] {
  const { name = '', uid = '' } = object.metadata ?? {};
  const selector = asObject(spec['selector']);
  if (spec['manualSelector'] === true || !selector) return [];
  const before = asObject(at(old, 'spec', 'template', 'metadata', 'labels')) ?? {};
  const prefixed = !old || (before['batch.kubernetes.io/job-name'] !== undefined && before['batch.kubernetes.io/controller-uid'] !== undefined);
  const expected = Object.fromEntries(Object.entries(generatedLabels(name, uid)).filter(([key]) => prefixed || !key.includes('/')));
  const labels = asObject(at(spec, 'template', 'metadata', 'labels'));
  const errors: FieldError[] = [];
  const path = 'spec.template.metadata.labels';
  for (const key of ['controller-uid', 'job-name', 'batch.kubernetes.io/controller-uid', 'batch.kubernetes.io/job-name']) {
    if (expected[key] === undefined) continue;
    if (labels?.[key] === undefined) errors.push(required(`${path}[${key}]`, `must be '${expected[key]}'`));
    else if (labels[key] !== expected[key]) errors.push(invalidField(`${path}[${key}]`, labels, `must be '${expected[key]}'`));
  }
  if (selectorMatches(selector, expected) === false) errors.push(invalidField('spec.selector', selector, '`selector` not auto-generated'));
  return errors;
}

function validateSpecAndSelector(spec: Obj): FieldError[] {
  const errors = validateJobSpec(spec, 'spec');
  const selector = asObject(spec['selector']);
  if (selector) errors.push(...validateLabelSelector(selector, 'spec.selector'));
  else errors.push(required('spec.selector'));
  const labels = asObject(at(spec, 'template', 'metadata', 'labels'));
  // No selector matches nothing.
  if (!selector || selectorMatches(selector, labels) === false) errors.push(invalidField('spec.template.metadata.labels', labels ?? null, '`selector` does not match template `labels`'));
  return errors;
}

/** The spec is checked a second time upstream, and its errors come twice. */
function validateUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const [spec, before] = [asObject(object['spec']) ?? {}, asObject(old['spec']) ?? {}];
  const errors = validateSpecAndSelector(spec);
  if (spec['completionMode'] !== 'Indexed') errors.push(...unchanged('spec.completions', spec['completions'], before['completions']));
  else if (!same(spec['completions'], before['completions']) && spec['completions'] !== undefined && spec['completions'] !== spec['parallelism']) {
    errors.push(invalidField('spec.completions', spec['completions'], 'can only be modified in tandem with spec.parallelism'));
  }
  errors.push(...unchanged('spec.selector', spec['selector'], before['selector']), ...validateTemplateUpdate(spec, old));
  for (const field of fixedFields) errors.push(...unchanged(`spec.${field}`, spec[field], before[field]));
  return errors;
}

/** While a job is suspended and has no pods, where these may run and what they ask for can still change. */
function validateTemplateUpdate(spec: Obj, old: Readonly<KubeObject>): FieldError[] {
  const status = asObject(old['status']) ?? {};
  const suspended = at(old, 'spec', 'suspend') === true;
  const resting = suspended && (status['startTime'] === undefined || hasCondition(status, 'Suspended')) && (integer(status['active']) ?? 0) === 0;
  const template = asObject(spec['template']) ?? {};
  const expected = structuredClone(asObject(at(old, 'spec', 'template')) ?? {});
  if (resting) takeSchedulingFrom(template, expected);
  if (!resting) return same(template, expected) ? [] : [invalidField('spec.template', template, immutable)];
  const [pod, pod0] = [asObject(template['spec']) ?? {}, need(expected, 'spec')];
  for (const field of ['containers', 'initContainers']) takeResourcesFrom(objects(pod[field]), objects(pod0[field]));
  return same(pod, pod0) ? [] : [invalidField('spec.template.spec', pod, immutable)];
}
function takeSchedulingFrom(template: Obj, to: Obj): void {
  const [pod, pod0] = [asObject(template['spec']) ?? {}, need(to, 'spec')];
  const copy = (from: Obj, into: Obj, field: string): void => {
    if (from[field] === undefined) delete into[field];
    else into[field] = from[field];
  };
  const affinity = asObject(pod['affinity']);
  if (affinity) copy(affinity, need(pod0, 'affinity'), 'nodeAffinity');
  else if (asObject(pod0['affinity'])) {
    const { nodeAffinity: _, ...rest } = need(pod0, 'affinity');
    if (Object.keys(rest).length === 0) delete pod0['affinity'];
    else pod0['affinity'] = rest;
  }
  for (const field of ['nodeSelector', 'tolerations', 'schedulingGates']) copy(pod, pod0, field);
  for (const field of ['annotations', 'labels']) copy(asObject(template['metadata']) ?? {}, need(to, 'metadata'), field);
}
function takeResourcesFrom(containers: readonly Obj[], to: readonly Obj[]): void {
  if (containers.length !== to.length) return;
  containers.forEach((container, index) => {
    const other = to[index];
    if (other && text(other['name']) === text(container['name'])) other['resources'] = container['resources'];
  });
}
