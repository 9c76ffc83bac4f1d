// Pods: what a write may change, graceful deletion, binding. Defaults are in pod-defaults.ts, rules in pod-validation.ts.
import { rfc3339 } from '#machinery/base/clock.ts';
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { conflict } from '#machinery/api/status.ts';
import { basicStrategy, keepField, keepStatus, setFirstGeneration } from '../basic.ts';
import { nameIsSubdomain } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, integer, isEmpty, isObject, items, need, objects, same, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { appArmorPrefix } from './pod-annotation-validation.ts';
import { containersWithPath } from './pod-containers.ts';
import { defaultPod } from './pod-defaults.ts';
import { qosClassOf } from './pod-qos.ts';
import { resizedSpec, validatePodResize } from './pod-resize.ts';
import { validatePodStatusUpdate } from './pod-status-validation.ts';
import { validatePodUpdate } from './pod-update.ts';
import { validatePod, validateEphemeralContainersUpdate } from './pod-validation.ts';
import { validateAppArmorProfile } from './security-validation.ts';

export interface BindingTarget {
  nodeName: string;
  annotations?: Record<string, string>;
  labels?: Record<string, string>;
}

/** Assigns the pod to a node, in place. Throws 409 when it may not be assigned (any more). */
export function bindPod(pod: KubeObject, target: BindingTarget, now: number): void {
  const metadata = pod.metadata ??= {};
  const name = metadata.name ?? '';
  const refuse = (why: string): never => {
    throw conflict({ group: '', resource: 'pods/binding' }, name, why);
  };
  const spec = need(pod, 'spec');
  if (metadata.deletionTimestamp !== undefined) refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  if (text(spec['nodeName']) !== '') refuse(`pod ${name} is already assigned to node ${JSON.stringify(spec['nodeName'])}`);
  if (items(spec['schedulingGates']).length > 0) refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  spec['nodeName'] = target.nodeName;
  const status = need(pod, 'status');
  delete status['nominatedNodeName'];
  if (target.annotations && Object.keys(target.annotations).length > 0) metadata.annotations = { ...metadata.annotations, ...target.annotations };
  if (target.labels && Object.keys(target.labels).length > 0) metadata.labels = { ...metadata.labels, ...target.labels };
  setPodCondition(status, { type: 'PodScheduled', status: 'True' }, now);
}

/** Puts the condition in the place of the one of its type; the transition time stays when the status does. No observedGeneration: only who looked at the spec tells one. */
export function setPodCondition(status: Obj, condition: { type: string; status: string; reason?: string; message?: string }, now: number): void {
  const conditions = objects(status['conditions']);
  const old = conditions.find(({ type }) => type === condition.type);
  const unchanged = old?.['status'] === condition.status ? old['lastTransitionTime'] : undefined;
  const next = { ...condition, lastProbeTime: null, lastTransitionTime: unchanged ?? rfc3339(now) };
  status['conditions'] = old ? conditions.map((one) => (one === old ? next : one)) : [...conditions, next];
}

function initialStatus(pod: KubeObject, now: number): Obj {
  // A class that the client names is kept, as upstream does.
  const status: Obj = { phase: 'Pending', qosClass: text(at(pod, 'status', 'qosClass')) || qosClassOf(pod) };
  if (items(at(pod, 'spec', 'schedulingGates')).length > 0) {
    status['conditions'] = [{
      type: 'PodScheduled', status: 'False', lastProbeTime: null, lastTransitionTime: rfc3339(now), reason: 'SchedulingGated',
      message: 'Scheduling is blocked due to non-empty scheduling gates',
    }];
  }
  return status;
}

/** matchLabelKeys become expressions on the pod's own label values, so that the scheduler sees plain selectors. */
function mergeLabelKeys(pod: KubeObject): void {
  const labels = pod.metadata?.labels ?? {};
  const add = (term: Obj | undefined, keys: string, operator: 'In' | 'NotIn'): void => {
    const selector = asObject(term?.['labelSelector']);
    if (!term || !selector) return;
    for (const key of strings(term[keys])) {
      const value = labels[key];
      if (value === undefined) continue;
      selector['matchExpressions'] = [...items(selector['matchExpressions']), { key, operator, values: [value] }];
    }
  };
  for (const kind of ['podAffinity', 'podAntiAffinity']) {
    const affinity = at(pod, 'spec', 'affinity', kind);
    const terms = [
      ...objects(at(affinity, 'requiredDuringSchedulingIgnoredDuringExecution')),
      ...objects(at(affinity, 'preferredDuringSchedulingIgnoredDuringExecution')).map((weighted) => asObject(weighted['podAffinityTerm'])),
    ];
    for (const term of terms) {
      add(term, 'matchLabelKeys', 'In');
      add(term, 'mismatchLabelKeys', 'NotIn');
    }
  }
  for (const constraint of objects(at(pod, 'spec', 'topologySpreadConstraints'))) add(constraint, 'matchLabelKeys', 'In');
}

/** Profiles that a container's old annotation names and its field does not. */
function moveAppArmor(pod: KubeObject, warnings: string[]): void {
  const spec = need(pod, 'spec');
  const annotations = pod.metadata?.annotations;
  if (!annotations || at(spec, 'os', 'name') === 'windows') return;
  for (const [container] of containersWithPath(spec, '')) {
    const key = `${appArmorPrefix}${text(container['name'])}`;
    const annotation = annotations[key];
    if (annotation === undefined || isObject(at(container, 'securityContext', 'appArmorProfile'))) continue;
    const profile = profileOf(annotation);
    const isGood = profile !== undefined && validateAppArmorProfile({ appArmorProfile: profile }, '').length === 0;
    if (isGood && same(profile, at(spec, 'securityContext', 'appArmorProfile'))) continue;
    if (isGood) need(container, 'securityContext')['appArmorProfile'] = profile;
    // Here and not with the other warnings, which see the field only.
    warnings.push(`metadata.annotations[${key}]: deprecated since v1.30; use the "appArmorProfile" field instead`);
  }
}
function profileOf(annotation: string): Obj | undefined {
  if (annotation === 'unconfined') return { type: 'Unconfined' };
  if (annotation === 'runtime/default') return { type: 'RuntimeDefault' };
  return annotation.startsWith('localhost/') ? { type: 'Localhost', localhostProfile: annotation.slice('localhost/'.length) } : undefined;
}

/** Old kubelets drop these; what was known stays known. */
function keepObserved(status: Obj, old: Obj): void {
  if (isEmpty(status['qosClass'])) keepField(status, old, 'qosClass');
  if (isEmpty(status['observedGeneration'])) keepField(status, old, 'observedGeneration');
  const before = objects(old['conditions']);
  for (const condition of objects(status['conditions'])) {
    const index = before.findIndex((one) => one['type'] === condition['type']);
    const [found] = index < 0 ? [] : before.splice(index, 1);
    if (isEmpty(condition['observedGeneration']) && !isEmpty(found?.['observedGeneration'])) condition['observedGeneration'] = found?.['observedGeneration'];
  }
}

/** Upstream's gates DRANodeAllocatableResources and ImageVolumeWithDigest are off; what an older version stored stays. */
function dropGated(status: Obj, old: Obj): void {
  if (isEmpty(old['nodeAllocatableResourceClaimStatuses'])) delete status['nodeAllocatableResourceClaimStatuses'];
  for (const list of containerStatusLists) {
    if (objects(old[list]).some((container) => objects(container['volumeMounts']).some((mount) => mount['volumeStatus'] !== undefined))) continue;
    for (const container of objects(status[list])) for (const mount of objects(container['volumeMounts'])) delete mount['volumeStatus'];
  }
}

const containerStatusLists = ['initContainerStatuses', 'containerStatuses', 'ephemeralContainerStatuses'] as const;
/** Times that are no pointers in Go are written as null while they are unset. */
function writeUnsetTimes(status: Obj): void {
  const fill = (object: Obj | undefined, ...fields: string[]): void => {
    for (const field of fields) if (object) object[field] ??= null;
  };
  for (const condition of objects(status['conditions'])) fill(condition, 'lastProbeTime', 'lastTransitionTime');
  for (const list of containerStatusLists) {
    for (const container of objects(status[list])) {
      for (const state of ['state', 'lastState']) {
        fill(asObject(at(container, state, 'running')), 'startedAt');
        fill(asObject(at(container, state, 'terminated')), 'startedAt', 'finishedAt');
      }
    }
  }
}

/** Everything as it was but for the spec that `change` makes of the one that is asked for; the generation rises when it differs. */
function keepAllBut(object: KubeObject, old: Readonly<KubeObject>, change: (asked: Obj, old: Obj) => Obj): void {
  const before = asObject(old['spec']) ?? {};
  const spec = change(asObject(object['spec']) ?? {}, before);
  object['spec'] = spec;
  keepStatus(object, old);
  const metadata = object.metadata ??= {};
  for (const field of ['labels', 'annotations', 'finalizers', 'ownerReferences']) keepField(metadata as Obj, (old.metadata ?? {}) as Obj, field);
  if (!same(spec, before)) metadata.generation = (old.metadata?.generation ?? 0) + 1;
}

function withEphemeralContainers(asked: Obj, old: Obj): Obj {
  const spec: Obj = structuredClone(old);
  keepField(spec, asked, 'ephemeralContainers');
  return spec;
}

const basic = basicStrategy({ status: true, generation: 'spec', statusMayChange: ['labels', 'annotations', 'finalizers'] });

export const podStrategy: Strategy = {
  ...basic,
  validateName: nameIsSubdomain,
  default(object) {
    defaultPod(object);
    const status = asObject(object['status']);
    if (status) writeUnsetTimes(status);
  },
  prepareForCreate(object, context) {
    setFirstGeneration(object, 'spec');
    object['status'] = initialStatus(object, context.now);
    mergeLabelKeys(object);
    moveAppArmor(object, context.request.warnings);
  },
  validate: validatePod,
  validateUpdate: validatePodUpdate,
  warnings(object, old) {
    const name = object.metadata?.name ?? '';
    const errors = old ? [] : dns1123LabelErrors(name);
    return errors.length === 0 ? []
      : [`metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [${errors.join(' ')}]`];
  },
  status: {
    prepareForUpdate(object, old, context) {
      basic.status?.prepareForUpdate?.(object, old, context);
      delete object.metadata?.deletionTimestamp;
      const [status, before] = [need(object, 'status'), asObject(old['status']) ?? {}];
      keepObserved(status, before);
      dropGated(status, before);
    },
    validateUpdate: validatePodStatusUpdate,
  },
  subresources: {
    ephemeralcontainers: {
      prepareForUpdate: (object, old) => keepAllBut(object, old, withEphemeralContainers),
      validateUpdate: validateEphemeralContainersUpdate,
    },
    resize: { prepareForUpdate: (object, old) => keepAllBut(object, old, resizedSpec), validateUpdate: validatePodResize },
  },
  gracePeriodSeconds(object, asked) {
    const spec = asObject(object['spec']) ?? {};
    const phase = at(object, 'status', 'phase');
    if (text(spec['nodeName']) === '' || phase === 'Failed' || phase === 'Succeeded') return undefined;
    const period = asked ?? integer(spec['terminationGracePeriodSeconds']) ?? 0;
    return period === 0 ? undefined : Math.max(period, 1);
  },
  fieldLabels: {
    'spec.nodeName': (object) => text(at(object, 'spec', 'nodeName')),
    'spec.host': (object) => text(at(object, 'spec', 'nodeName')),
    'spec.restartPolicy': (object) => text(at(object, 'spec', 'restartPolicy')),
    'spec.schedulerName': (object) => text(at(object, 'spec', 'schedulerName')),
    'spec.serviceAccountName': (object) => text(at(object, 'spec', 'serviceAccountName')),
    'spec.hostNetwork': (object) => String(at(object, 'spec', 'hostNetwork') === true),
    'status.phase': (object) => text(at(object, 'status', 'phase')),
    'status.podIP': (object) => text(objects(at(object, 'status', 'podIPs'))[0]?.['ip']),
    // Accepted upstream, but never filled in.
    'status.podIPs': () => '',
    'status.nominatedNodeName': (object) => text(at(object, 'status', 'nominatedNodeName')),
  },
  fieldLabelError: (label) => `field label not supported: ${label}`,
  indexes: { 'spec.nodeName': (object) => [text(at(object, 'spec', 'nodeName'))] },
};
