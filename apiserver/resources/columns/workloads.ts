// Tables of workloads: what should run, what does, and with which containers.
import { humanDuration } from '#machinery/api/duration.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { at, integer, objects, text } from '../values.ts';
import { age, containerParts, count, field, mapCell, name, part, selectorCell, since, table, withMore } from './column.ts';
import type { Table } from './column.ts';

const template = containerParts('spec.template.spec');
const integerLook = { type: 'integer' } as const;
const readyOfWanted = (object: Readonly<KubeObject>): string => `${integer(at(object, 'status', 'readyReplicas')) ?? 0}/${integer(at(object, 'spec', 'replicas')) ?? 0}`;
const selector = part('Selector', 'Labels of its pods.', selectorCell('spec.selector'), { wide: true });

function jobStatus(job: Readonly<KubeObject>): string {
  const holds = (type: string): boolean => objects(at(job, 'status', 'conditions')).some((condition) => condition['type'] === type && condition['status'] === 'True');
  if (holds('Complete')) return 'Complete';
  if (holds('Failed')) return 'Failed';
  if (job.metadata?.deletionTimestamp !== undefined) return 'Terminating';
  return ['Suspended', 'FailureTarget', 'SuccessCriteriaMet'].find(holds) ?? 'Running';
}
function jobCompletions(job: Readonly<KubeObject>): string {
  const succeeded = integer(at(job, 'status', 'succeeded')) ?? 0;
  const completions = integer(at(job, 'spec', 'completions'));
  if (completions !== undefined) return `${succeeded}/${completions}`;
  const parallelism = integer(at(job, 'spec', 'parallelism')) ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}
function jobDuration(job: Readonly<KubeObject>, now: number): string {
  const start = Date.parse(text(at(job, 'status', 'startTime')));
  if (Number.isNaN(start)) return '';
  const end = Date.parse(text(at(job, 'status', 'completionTime')));
  return humanDuration((Number.isNaN(end) ? now : end) - start);
}

interface Amounts { averageValue?: unknown; value?: unknown; averageUtilization?: unknown }
/** One metric as `current/target`; what is measured how decides which of the numbers count. */
function metricText(spec: Record<string, unknown>, status: Record<string, unknown> | undefined): string {
  const type = text(spec['type']);
  const key = type === '' ? '' : type[0]?.toLowerCase() + type.slice(1);
  const target = (at(spec, key, 'target') ?? {}) as Amounts;
  const current = at(status, key, 'current') as Amounts | undefined;
  const show = (value: unknown): string => (value === undefined || value === null ? '<unknown>' : String(value));
  const average = target.averageValue !== undefined;
  switch (type) {
    case 'External': case 'Object':
      return average ? `${show(current?.averageValue)}/${show(target.averageValue)} (avg)` : `${show(current?.value)}/${show(target.value)}`;
    case 'Pods': return `${show(current?.averageValue)}/${show(target.averageValue)}`;
    case 'Resource': case 'ContainerResource': {
      const resource = text(at(spec, key, 'name'));
      if (average) return `${resource}: ${show(current?.averageValue)}/${show(target.averageValue)}`;
      const percent = (value: unknown, or: string): string => (typeof value === 'number' ? `${value}%` : or);
      return `${resource}: ${percent(current?.averageUtilization, '<unknown>')}/${percent(target.averageUtilization, '<auto>')}`;
    }
    default: return '<unknown type>';
  }
}
function hpaTargets(hpa: Readonly<KubeObject>): string {
  // v1 has only its one percentage; everything else is in annotations.
  const percent = at(hpa, 'spec', 'targetCPUUtilizationPercentage');
  const used = at(hpa, 'status', 'currentCPUUtilizationPercentage');
  const metrics = [
    ...objects(at(hpa, 'spec', 'metrics')),
    ...(typeof percent === 'number' ? [{ type: 'Resource', resource: { name: 'cpu', target: { averageUtilization: percent } } }] : []),
  ];
  const statuses = [
    ...objects(at(hpa, 'status', 'currentMetrics')),
    ...(typeof used === 'number' ? [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: used } } }] : []),
  ];
  return withMore(metrics.map((metric, index) => metricText(metric, statuses[index])), 2, metrics.length, '<none>', ', ');
}

export const workloadTables: Readonly<Record<string, Table>> = {
  'deployments.apps': table(
    name,
    part('Ready', 'Ready pods of those wanted.', readyOfWanted),
    part('Up-to-date', 'Pods of the newest template.', field('status.updatedReplicas', 0)),
    part('Available', 'Pods that have been ready long enough.', field('status.availableReplicas', 0)),
    age, ...template,
    part('Selector', 'Labels of its pods.', selectorCell('spec.selector', '', '<invalid>'), { wide: true }),
  ),
  'replicasets.apps': table(
    name,
    part('Desired', 'Pods wanted.', field('spec.replicas', 0), integerLook),
    part('Current', 'Pods that exist.', field('status.replicas', 0), integerLook),
    part('Ready', 'Pods that are ready.', field('status.readyReplicas', 0), integerLook),
    age, ...template, selector,
  ),
  'replicationcontrollers': table(
    name,
    part('Desired', 'Pods wanted.', field('spec.replicas', 0), integerLook),
    part('Current', 'Pods that exist.', field('status.replicas', 0), integerLook),
    part('Ready', 'Pods that are ready.', field('status.readyReplicas', 0), integerLook),
    age, ...template,
    part('Selector', 'Labels of its pods.', mapCell('spec.selector'), { wide: true }),
  ),
  'statefulsets.apps': table(name, part('Ready', 'Ready pods of those wanted.', readyOfWanted), age, ...template),
  'daemonsets.apps': table(
    name,
    part('Desired', 'Nodes that should run a pod.', field('status.desiredNumberScheduled', 0), integerLook),
    part('Current', 'Nodes that have one.', field('status.currentNumberScheduled', 0), integerLook),
    part('Ready', 'Nodes whose pod is ready.', field('status.numberReady', 0), integerLook),
    part('Up-to-date', 'Nodes with a pod of the newest template.', field('status.updatedNumberScheduled', 0), integerLook),
    part('Available', 'Nodes whose pod has been ready long enough.', field('status.numberAvailable', 0), integerLook),
    part('Node Selector', 'Labels of the nodes it is for.', mapCell('spec.template.spec.nodeSelector')),
    age, ...template, selector,
  ),
  'controllerrevisions.apps': table(
    name,
    part('Controller', 'What it is a revision of.', (object) => {
      const owner = object.metadata?.ownerReferences?.find((one) => one.controller === true);
      if (!owner) return '<none>';
      const slash = owner.apiVersion.indexOf('/');
      return `${owner.kind.toLowerCase()}${slash < 0 ? '' : `.${owner.apiVersion.slice(0, slash)}`}/${owner.name}`;
    }),
    part('Revision', 'Its number; higher ones are newer.', field('revision', 0)),
    age,
  ),
  'jobs.batch': table(
    name,
    part('Status', 'How far the job is.', jobStatus),
    part('Completions', 'Pods that succeeded of those that have to.', jobCompletions),
    part('Duration', 'Time it took, or has taken so far.', jobDuration),
    age, ...template, selector,
  ),
  'cronjobs.batch': table(
    name,
    part('Schedule', 'When it runs, in cron format.', field('spec.schedule')),
    part('Timezone', 'Time zone of the schedule.', field('spec.timeZone', '<none>')),
    part('Suspend', 'Whether further runs are held back.', (object) => {
      const suspend = at(object, 'spec', 'suspend');
      return suspend === undefined ? '<unset>' : suspend === true ? 'True' : 'False';
    }, { type: 'boolean' }),
    part('Active', 'Jobs that run now.', count('status.active'), integerLook),
    part('Last Schedule', 'Time since the last run.', (object, now) => since(at(object, 'status', 'lastScheduleTime'), now, '<none>')),
    age, ...containerParts('spec.jobTemplate.spec.template.spec'),
    part('Selector', 'Labels of its pods.', selectorCell('spec.jobTemplate.spec.selector'), { wide: true }),
  ),
  'horizontalpodautoscalers.autoscaling': table(
    name,
    part('Reference', 'What is scaled.', (object) => `${text(at(object, 'spec', 'scaleTargetRef', 'kind'))}/${text(at(object, 'spec', 'scaleTargetRef', 'name'))}`),
    part('Targets', 'Measured and wanted value of each metric.', hpaTargets),
    part('MinPods', 'Fewest pods.', (object) => String(at(object, 'spec', 'minReplicas') ?? '<unset>')),
    part('MaxPods', 'Most pods.', field('spec.maxReplicas', 0)),
    part('Replicas', 'Pods at the last look.', field('status.currentReplicas', 0)),
    age,
  ),
  'poddisruptionbudgets.policy': table(
    name,
    part('Min Available', 'Pods that must stay available.', (object) => String(at(object, 'spec', 'minAvailable') ?? 'N/A')),
    part('Max Unavailable', 'Pods that may be away.', (object) => String(at(object, 'spec', 'maxUnavailable') ?? 'N/A')),
    part('Allowed Disruptions', 'Pods that may be evicted now.', field('status.disruptionsAllowed', 0), integerLook),
    age,
  ),
};

/** Of the scale subresource, whatever it is the scale of. */
export const scaleTable: Table = table(
  part('Name', 'The name of what is scaled.', (object) => object.metadata?.name ?? ''),
  part('Desired', 'How many replicas there should be.', field('spec.replicas', 0), { type: 'integer' }),
  part('Available', 'How many replicas there are.', field('status.replicas', 0), { type: 'integer' }),
  age,
);
