// A bit of everything that controllers look after, in stages, and what has come of it in the end without what differs from run to run.
import type { Deployment, EndpointSlice, Job, KubeObject, ObjectMeta, PersistentVolumeClaim, Pod, ReplicaSet } from '#machinery/api/object.ts';
import * as resources from '#machinery/client/resources.ts';
import type { Client, DeleteOptions, Resource } from '#machinery/client/types.ts';

const namespace = 'work';
const doomed = 'doomed';
const any = <T>(resource: Resource<T>): Resource<KubeObject> => resource as Resource<unknown> as Resource<KubeObject>; // every API object is one

interface TemplateParts { image?: string; annotations?: Record<string, string>; [field: string]: unknown }
const labelled = (app: string, more: TemplateParts = {}): object => ({ selector: { matchLabels: { app } }, template: template(app, more) });
function template(app: string, { image = 'v1', annotations = {}, ...spec }: TemplateParts = {}): object {
  return {
    metadata: { labels: { app }, annotations },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image, resources: { requests: { cpu: '10m' } } }], ...spec },
  };
}
const ends = (code: number): Record<string, string> => ({ 'hollow.proa/exit-code': String(code), 'hollow.proa/run-ms': '200' });
const job = (name: string, spec: object, code: number): [Resource<KubeObject>, object] =>
  [any(resources.jobs), { metadata: { name }, spec: { ...spec, template: template(name, { restartPolicy: 'Never', annotations: ends(code) }) } }];
const configMap = (name: string, ownerReferences?: object[]): [Resource<KubeObject>, object] => [any(resources.configMaps), { metadata: { name, ...(ownerReferences ? { ownerReferences } : {}) } }];

/** Creates `objects` in `space`; those that are there already stay as they are. */
async function create(client: Client, objects: readonly (readonly [Resource<KubeObject>, object])[], space: string, signal: AbortSignal): Promise<KubeObject[]> {
  const made: KubeObject[] = [];
  for (const [resource, object] of objects) {
    const body = { apiVersion: resource.group === '' ? resource.version : `${resource.group}/${resource.version}`, kind: resource.kind, ...object };
    made.push(await client.create(resource, resource.namespaced ? space : '', body, signal));
  }
  return made;
}

const volume = (name: string, label: string): [Resource<KubeObject>, object] => [any(resources.persistentVolumes), {
  metadata: { name, labels: { for: label } },
  spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], persistentVolumeReclaimPolicy: 'Retain', storageClassName: 'manual', hostPath: { path: '/nowhere' } },
}];
const claim = { accessModes: ['ReadWriteOnce'], storageClassName: 'manual', resources: { requests: { storage: '1Gi' } } };

/** What there is to do from the beginning. */
export async function begin(client: Client, signal: AbortSignal): Promise<void> {
  const put = (objects: readonly (readonly [Resource<KubeObject>, object])[], space = namespace): Promise<KubeObject[]> => create(client, objects, space, signal);
  await put([[any(resources.namespaces), { metadata: { name: namespace } }], [any(resources.namespaces), { metadata: { name: doomed } }]]);
  await put(Array.from({ length: 5 }, (_, index) => volume(`pv-${index}`, 'any')));
  const started = await put([
    [any(resources.deployments), { metadata: { name: 'web' }, spec: { replicas: 3, ...labelled('web') } }],
    [any(resources.services), { metadata: { name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] } }],
    [any(resources.podDisruptionBudgets), { metadata: { name: 'web' }, spec: { minAvailable: 2, selector: { matchLabels: { app: 'web' } } } }],
    [any(resources.deployments), { metadata: { name: 'shrinks' }, spec: { replicas: 5, ...labelled('shrinks') } }],
    [any(resources.deployments), { metadata: { name: 'scaled' }, spec: { replicas: 1, ...labelled('scaled') } }],
    [any(resources.horizontalPodAutoscalers), { metadata: { name: 'scaled' }, spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'scaled' }, minReplicas: 1, maxReplicas: 3,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
        { type: 'External', external: { metric: { name: 'queue', selector: { matchLabels: { of: 'scaled' } } }, target: { type: 'AverageValue', averageValue: '10' } } },
      ],
    } }],
    [any(resources.replicationControllers), { metadata: { name: 'old' }, spec: { replicas: 3, selector: { app: 'old' }, template: template('old') } }],
    [any(resources.services), { metadata: { name: 'outside' }, spec: { ports: [{ port: 80 }] } }],
    [any(resources.endpoints), { metadata: { name: 'outside' }, subsets: [{ addresses: [{ ip: '192.0.2.1' }, { ip: '192.0.2.2' }], ports: [{ port: 80 }] }] }],
    [any(resources.deployments), { metadata: { name: 'left' }, spec: { replicas: 2, ...labelled('left') } }],
    [any(resources.services), { metadata: { name: 'db' }, spec: { clusterIP: 'None', selector: { app: 'db' }, ports: [{ port: 5432 }] } }],
    [any(resources.statefulSets), { metadata: { name: 'db' }, spec: {
      serviceName: 'db', replicas: 3, ...labelled('db'), volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: claim }],
    } }],
    [any(resources.persistentVolumeClaims), { metadata: { name: 'alone' }, spec: claim }],
    [any(resources.daemonSets), { metadata: { name: 'agent' }, spec: labelled('agent') }],
    job('work', { completions: 6, parallelism: 3 }, 0),
    job('indexed', { completions: 4, parallelism: 2, completionMode: 'Indexed' }, 0),
    job('fails', { backoffLimit: 0 }, 3),
    job('forgotten', { ttlSecondsAfterFinished: 1 }, 0),
    [any(resources.resourceQuotas), { metadata: { name: 'counts' }, spec: { hard: { 'count/deployments.apps': '10', 'persistentvolumeclaims': '10' } } }],
    // Its only time since the last one was on New Year's Day: there is one Job to start, whenever this runs.
    [any(resources.cronJobs), { metadata: { name: 'yearly' }, spec: { schedule: '0 0 1 1 *', timeZone: 'Etc/UTC', jobTemplate: { spec: { template: template('yearly', { restartPolicy: 'Never', annotations: ends(0) }) } } } }],
    configMap('parent'), configMap('orphaner'),
  ]);
  const yearly = started.find(({ kind, metadata }) => kind === 'CronJob' && metadata?.name === 'yearly');
  if (yearly) await client.patch(any(resources.cronJobs), namespace, 'yearly', 'merge', { status: { lastScheduleTime: `${new Date().getUTCFullYear() - 1}-06-01T00:00:00Z` } }, signal, { subresource: 'status' });
  const owner = (name: string): object[] => {
    const uid = started.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata?.name === name)?.metadata?.uid;
    return [{ apiVersion: 'v1', kind: 'ConfigMap', name, uid, blockOwnerDeletion: true }];
  };
  await put([configMap('child-a', owner('parent')), configMap('child-b', owner('parent')), configMap('orphan', owner('orphaner'))]);
  await put([
    [any(resources.deployments), { metadata: { name: 'gone' }, spec: { replicas: 2, ...labelled('gone') } }],
    job('gone', { completions: 20, parallelism: 2 }, 0), configMap('gone'),
  ], doomed);
}

/** What changes once the first part has come about (see `hasBegun`). */
export async function change(client: Client, signal: AbortSignal): Promise<void> {
  const patch = (resource: Resource<unknown>, name: string, body: object): Promise<unknown> => client.patch(resource, namespace, name, 'strategic', body, signal);
  const image = { template: { spec: { containers: [{ name: 'main', image: 'v2' }] } } };
  const remove = (resource: Resource<unknown>, space: string, name: string, options: DeleteOptions): Promise<void> => client.delete(resource, space, name, options, signal);
  await patch(resources.deployments, 'web', { spec: { replicas: 4, ...image } });
  await patch(resources.deployments, 'shrinks', { spec: { replicas: 2 } });
  await patch(resources.replicationControllers, 'old', { spec: { replicas: 1 } });
  await client.patch(resources.endpoints, namespace, 'outside', 'merge', { subsets: [{ addresses: [{ ip: '192.0.2.2' }], ports: [{ port: 80 }] }] }, signal);
  await patch(resources.statefulSets, 'db', { spec: image });
  await patch(resources.daemonSets, 'agent', { spec: image });
  await remove(resources.configMaps, namespace, 'parent', { propagationPolicy: 'Foreground' });
  await remove(resources.configMaps, namespace, 'orphaner', { propagationPolicy: 'Orphan' });
  await remove(resources.deployments, namespace, 'left', { propagationPolicy: 'Orphan' });
  await remove(resources.namespaces, '', doomed, {});
}

/** The state in which the changes are made: each workload is up once. */
export async function hasBegun(client: Client, signal: AbortSignal): Promise<boolean> {
  const { items } = await client.list(resources.deployments, namespace, {}, signal);
  const { items: sets } = await client.list(resources.statefulSets, namespace, {}, signal);
  const { items: daemons } = await client.list(resources.daemonSets, namespace, {}, signal);
  return items.length === 4 && items.every(({ spec, status }) => (status?.availableReplicas ?? 0) >= (spec?.replicas ?? 1)) &&
    sets.every(({ status }) => status?.availableReplicas === 3) && daemons.every(({ status }) => status?.numberAvailable === 2);
}

/** Nothing is under way any more that takes its time; the rest follows at once. */
export async function hasEnded(client: Client, signal: AbortSignal): Promise<boolean> {
  const { items: spaces } = await client.list(resources.namespaces, '', {}, signal);
  const { items: deployed } = await client.list(resources.deployments, namespace, {}, signal);
  const { items: sets } = await client.list(resources.statefulSets, namespace, {}, signal);
  const { items: daemons } = await client.list(resources.daemonSets, namespace, {}, signal);
  const { items: jobs } = await client.list(resources.jobs, namespace, {}, signal);
  return spaces.every(({ metadata }) => metadata.name !== doomed) && jobs.every(({ status }) => status?.conditions?.some(({ type }) => type === 'Complete' || type === 'Failed')) &&
    deployed.every(({ spec, status }) => status?.replicas === spec?.replicas && status?.updatedReplicas === spec?.replicas && status?.availableReplicas === spec?.replicas && !status?.terminatingReplicas) &&
    sets.every(({ status }) => status?.updatedReplicas === 3 && status.availableReplicas === 3) && daemons.every(({ status }) => status?.updatedNumberScheduled === 2 && status.numberAvailable === 2);
}

const controllerOf = ({ ownerReferences }: ObjectMeta): string => {
  const owner = ownerReferences?.find(({ controller }) => controller);
  return owner ? `${owner.kind}/${owner.name}` : '';
};
const conditionsOf = (conditions: readonly { type: string; status: string; reason?: string }[] | undefined): string[] => (conditions ?? []).map(({ type, status, reason = '' }) => `${type}=${status} ${reason}`).sort();
const byName = <T extends { metadata: ObjectMeta }>(items: readonly T[], show: (item: T) => unknown): Record<string, unknown> =>
  Object.fromEntries(items.map((item) => [item.metadata.name ?? '', show(item)] as const).sort(([a], [b]) => (a < b ? -1 : 1)));

/** The same for two runs that came to the same end. Names with random parts are told by who owns them. */
export async function outcome(client: Client, signal: AbortSignal): Promise<unknown> {
  const list = async <T>(resource: Resource<T>): Promise<T[]> => (await client.list(resource, resource.namespaced ? namespace : '', {}, signal)).items;
  const [deployments, controllers, sets, pods, stateful, daemons, jobs, crons, slices, ends, claims, volumes, quotas, maps, scalers, budgets, spaces, revisions] = await Promise.all([
    list(resources.deployments), list(resources.replicationControllers), list(resources.replicaSets), list(resources.pods), list(resources.statefulSets), list(resources.daemonSets), list(resources.jobs), list(resources.cronJobs),
    list(resources.endpointSlices), list(resources.endpoints), list(resources.persistentVolumeClaims), list(resources.persistentVolumes), list(resources.resourceQuotas), list(resources.configMaps),
    list(resources.horizontalPodAutoscalers), list(resources.podDisruptionBudgets), list(resources.namespaces), list(resources.controllerRevisions),
  ]);
  const hashOf = new Map(sets.map((set) => [set.metadata.name, controllerOf(set.metadata)]));
  const groupOf = ({ metadata }: Pod): string => {
    const owner = controllerOf(metadata);
    return hashOf.get(owner.replace('ReplicaSet/', '')) || owner.replace(/^ReplicaSet\/(.*)-[^-]*$/, 'ReplicaSet/$1');
  };
  const ranks = ranked([...sets.map(({ metadata }) => ({ metadata, revision: Number(metadata.annotations?.['deployment.kubernetes.io/revision']) })), ...revisions]);
  const shownPods = pods.map((pod) => [
    groupOf(pod), pod.spec?.containers[0]?.image, pod.status?.phase, conditionsOf(pod.status?.conditions).includes('Ready=True ') ? 'ready' : '', pod.metadata.deletionTimestamp ? 'deleted' : '',
    pod.metadata.finalizers?.join() ?? '', groupOf(pod).startsWith('StatefulSet/') ? pod.metadata.name : '', pod.metadata.annotations?.['batch.kubernetes.io/job-completion-index'] ?? '',
  ].join(' ')).sort();
  return {
    deployments: byName(deployments, deploymentState),
    controllers: byName(controllers, ({ status }) => ({ ...status, observedGeneration: undefined })),
    replicaSets: sets.map((set: ReplicaSet) => [controllerOf(set.metadata) || `without owner: ${set.spec?.template?.metadata?.labels?.app}`, set.spec?.template?.spec?.containers[0]?.image, set.spec?.replicas, set.status?.readyReplicas ?? 0, ranks.get(set.metadata.uid ?? '')].join(' ')).sort(),
    pods: shownPods,
    stateful: byName(stateful, ({ metadata, spec, status }) => ({ ...status, conditions: undefined, currentRevision: status?.currentRevision === status?.updateRevision, updateRevision: undefined, observedGeneration: status?.observedGeneration === metadata.generation, collisionCount: undefined, wanted: spec?.replicas })),
    daemons: byName(daemons, ({ metadata, status }) => ({ ...status, observedGeneration: status?.observedGeneration === metadata.generation })),
    revisions: revisions.map(({ metadata }) => `${controllerOf(metadata)} ${ranks.get(metadata.uid ?? '')}`).sort(),
    jobs: byName(jobs, jobState),
    crons: byName(crons, ({ status }) => ({ active: status?.active?.length ?? 0, last: status?.lastScheduleTime })),
    slices: slices.map((slice: EndpointSlice) => ({ service: slice.metadata.labels?.['kubernetes.io/service-name'], ports: slice.ports, ready: (slice.endpoints ?? []).map(({ conditions, targetRef, addresses }) => conditions?.ready !== false && (addresses[0]?.startsWith('192.0.2.') || isPodAt(pods, targetRef?.name, addresses[0])) ? 'ready' : 'not ready').sort() }))
      .sort((a, b) => ((a.service ?? '') < (b.service ?? '') ? -1 : 1)),
    endpoints: byName(ends, ({ subsets }) => (subsets ?? []).map(({ addresses, notReadyAddresses, ports }) => ({ ready: addresses?.length ?? 0, notReady: notReadyAddresses?.length ?? 0, ports }))),
    claims: byName(claims, ({ status, spec }: PersistentVolumeClaim) => `${status?.phase} ${spec?.volumeName === undefined ? 'no volume' : boundOnce(claims, spec.volumeName)}`),
    volumes: volumes.map(({ status }) => status?.phase ?? '').sort(),
    quotas: byName(quotas, ({ status }) => status?.used),
    configMaps: byName(maps.filter(({ metadata }) => metadata.name !== 'kube-root-ca.crt'), ({ metadata }) => ({ owners: metadata.ownerReferences?.length ?? 0, finalizers: metadata.finalizers ?? [] })),
    scalers: byName(scalers, ({ status }) => ({ metrics: (status?.currentMetrics ?? []).map(({ type }) => type).join(), current: status?.currentReplicas, desired: status?.desiredReplicas, conditions: conditionsOf(status?.conditions) })),
    budgets: byName(budgets, ({ status }) => ({ ...status, conditions: conditionsOf(status?.conditions as Parameters<typeof conditionsOf>[0]), observedGeneration: undefined })),
    namespaces: spaces.map(({ metadata, status }) => `${metadata.name} ${status?.phase}`).sort(),
  };
}

const isPodAt = (pods: readonly Pod[], name: string | undefined, address: string | undefined): boolean => pods.some(({ metadata, status }) => metadata.name === name && status?.podIP === address);
const boundOnce = (claims: readonly PersistentVolumeClaim[], volumeName: string): string => (claims.filter(({ spec }) => spec?.volumeName === volumeName).length === 1 ? 'a volume of its own' : 'a volume of others too');
function deploymentState({ metadata, status }: Deployment): unknown {
  return { ...status, observedGeneration: status?.observedGeneration === metadata.generation, conditions: conditionsOf(status?.conditions), collisionCount: undefined };
}
function jobState({ status }: Job): unknown {
  return { ...status, conditions: conditionsOf(status?.conditions), startTime: undefined, completionTime: undefined, uncountedTerminatedPods: Object.values(status?.uncountedTerminatedPods ?? {}).flat().length };
}


/** Without what two controllers at once cannot help, here as upstream: each starts its own pods for a Job before it sees the other's. */
export function asSeenTwice(state: unknown): unknown {
  const { pods, jobs, ...rest } = state as { pods: string[]; jobs: Record<string, { succeeded?: number; failed?: number }> }; // an outcome
  const most = { 'work': 6, 'yearly-': 1, 'fails': 1 };
  const capped = Object.entries(jobs).map(([name, job]) => {
    const [, pods = Infinity] = Object.entries(most).find(([start]) => name.startsWith(start)) ?? [];
    const cap = (count: number | undefined): number | undefined => (count === undefined ? undefined : Math.min(count, pods));
    return [name, { ...job, succeeded: cap(job.succeeded), failed: cap(job.failed) }] as const;
  });
  return { ...rest, jobs: Object.fromEntries(capped), pods: pods.filter((pod, index) => !pod.startsWith('Job/') || pods.indexOf(pod) === index) };
}

/** Revisions by age among those of the same owner: two controllers that see different things at once may number one twice. */
function ranked(revisions: readonly { metadata: ObjectMeta; revision: number }[]): Map<string, number> {
  const owners = Map.groupBy(revisions, ({ metadata }) => controllerOf(metadata));
  return new Map([...owners.values()].flatMap((group) => group.sort((a, b) => a.revision - b.revision).map(({ metadata }, index) => [metadata.uid ?? '', index + 1] as const)));
}

/** Answers of a small metrics server: every pod of the autoscaled Deployment uses twice what it asked for, and two wait outside. */
export function metricsOf(path: string, pods: readonly Pod[]): unknown {
  if (path === '/apis/external.metrics.k8s.io/v1beta1/namespaces/work/queue') return { kind: 'ExternalMetricValueList', items: [{ metricName: 'queue', metricLabels: { of: 'scaled' }, timestamp: new Date().toISOString(), value: '20' }] };
  if (!path.startsWith('/apis/metrics.k8s.io/')) return undefined;
  return {
    kind: 'PodMetricsList', apiVersion: 'metrics.k8s.io/v1beta1', metadata: {},
    items: pods.filter(({ metadata }) => metadata.labels?.app === 'scaled').map(({ metadata }) => ({
      metadata: { name: metadata.name, namespace: metadata.namespace }, timestamp: new Date().toISOString(), window: '30s', containers: [{ name: 'main', usage: { cpu: '20m', memory: '1Mi' } }],
    })),
  };
}
