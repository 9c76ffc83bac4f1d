// What may change in a pod that exists. Upstream: ValidatePodUpdate and ValidatePodStatusUpdate in pkg/apis/core/validation.
import { dns1123SubdomainErrors, ipErrors, ipFamily, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, entries, forbiddenField, integer, invalidAll, invalidField, isEmpty, isObject, objects, same, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateTolerations } from './pod-scheduling-validation.ts';

const maxInt32 = 2_147_483_647;
const updatable = '`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),'
  + '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

const mirror = 'kubernetes.io/config.mirror';
const appArmor = 'container.apparmor.security.beta.kubernetes.io/';

function validateAnnotationUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const now: Record<string, unknown> = object.metadata?.annotations ?? {};
  const before: Record<string, unknown> = old.metadata?.annotations ?? {};
  const kindOf = (key: string): string | undefined => (key === mirror ? 'mirror pod annotation' : key.startsWith(appArmor) ? 'AppArmor annotations' : undefined);
  for (const [key, value] of Object.entries(before)) {
    const what = kindOf(key);
    // A container's AppArmor annotation may go when its field has taken over; it may not change.
    if (what && now[key] !== value && !(key !== mirror && now[key] === undefined)) errors.push(forbiddenField(`metadata.annotations[${key}]`, `may not remove or update ${what}`));
  }
  for (const key of Object.keys(now)) {
    const what = kindOf(key);
    if (what && !(key in before)) errors.push(forbiddenField(`metadata.annotations[${key}]`, `may not add ${what}`));
  }
  return errors;
}

export function validatePodUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors = validateAnnotationUpdate(object, old);
  const spec = asObject(object['spec']) ?? {};
  const before = asObject(old['spec']) ?? {};
  for (const list of ['containers', 'initContainers']) {
    const [now, was] = [objects(spec[list]), objects(before[list])];
    if (now.length !== was.length) return [...errors, forbiddenField(`spec.${list}`, 'pod updates may not add or remove containers')];
    now.forEach((container, index) => {
      if (text(container['image']) === '') errors.push({ type: 'Required', field: `spec.${list}[${index}].image` });
    });
  }
  const deadline = integer(spec['activeDeadlineSeconds']);
  const previous = integer(before['activeDeadlineSeconds']);
  if (deadline !== undefined) {
    if (deadline < 0 || deadline > maxInt32) return [...errors, invalidField('spec.activeDeadlineSeconds', deadline, `must be between 0 and ${maxInt32}, inclusive`)];
    if (previous !== undefined && previous < deadline) return [...errors, invalidField('spec.activeDeadlineSeconds', deadline, 'must be less than or equal to previous value')];
  } else if (previous !== undefined) errors.push(invalidField('spec.activeDeadlineSeconds', null, 'must not update from a positive integer to nil value'));

  errors.push(...validateAddedTolerations(spec, before), ...validateDeletedGates(spec, before));
  const gated = objects(before['schedulingGates']).length > 0;
  if (gated) errors.push(...validateGatedChanges(spec, before));
  const changed = changedFields(spec, before, gated);
  if (changed.length > 0) errors.push(forbiddenField('spec', `pod updates may not change fields other than ${updatable}\n${changed.map((field) => `  changed: ${field}`).join('\n')}`));
  return errors;
}

/** What differs beside the fields that may. */
function changedFields(spec: Obj, before: Obj, gated: boolean): string[] {
  const mayChange = new Set(['activeDeadlineSeconds', 'tolerations', 'schedulingGates', ...(gated ? ['nodeSelector'] : [])]);
  const withoutImages = (list: unknown): Obj[] => objects(list).map(({ image: _, ...rest }) => rest);
  const withoutNodeAffinity = (affinity: unknown): Obj => {
    const { nodeAffinity: _, ...rest } = asObject(affinity) ?? {};
    return rest;
  };
  return [...new Set([...Object.keys(spec), ...Object.keys(before)])].filter((field) => {
    if (mayChange.has(field)) return false;
    const [now, was] = [spec[field], before[field]];
    if (field === 'containers' || field === 'initContainers') return !same(withoutImages(now), withoutImages(was));
    if (field === 'affinity' && gated) return !same(withoutNodeAffinity(now), withoutNodeAffinity(was));
    if (field === 'terminationGracePeriodSeconds' && now === 1 && typeof was === 'number' && was < 0) return false;
    return !same(now, was);
  }).map((field) => `spec.${field}`);
}

function validateAddedTolerations(spec: Obj, before: Obj): FieldError[] {
  const path = 'spec.tolerations';
  const rest = ({ tolerationSeconds: _, ...others }: Obj): Obj => others;
  const now = objects(spec['tolerations']);
  const kept = objects(before['tolerations']).every((old) => now.some((one) => same(rest(one), rest(old))));
  return kept ? validateTolerations(now, path) : [forbiddenField(path, 'existing toleration can not be modified except its tolerationSeconds')];
}

function validateDeletedGates(spec: Obj, before: Obj): FieldError[] {
  const old = new Set(objects(before['schedulingGates']).map((gate) => text(gate['name'])));
  return objects(spec['schedulingGates']).flatMap((gate, index) => {
    const name = text(gate['name']);
    return old.has(name) ? [] : [forbiddenField(`spec.schedulingGates[${index}].name`, `only deletion is allowed, but found new scheduling gate '${name}'`)];
  });
}

/** Pods that wait at a gate may become pickier about nodes. */
function validateGatedChanges(spec: Obj, before: Obj): FieldError[] {
  const errors: FieldError[] = [];
  const selector = asObject(spec['nodeSelector']) ?? {};
  if (entries(before['nodeSelector']).some(([key, value]) => selector[key] !== value)) {
    errors.push(invalidField('spec.nodeSelector', selector, 'only additions to spec.nodeSelector are allowed (no mutations or deletions)'));
  }
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  const path = `spec.affinity.nodeAffinity.${required}.nodeSelectorTerms`;
  const terms = objects(at(spec, 'affinity', 'nodeAffinity', required, 'nodeSelectorTerms'));
  const was = objects(at(before, 'affinity', 'nodeAffinity', required, 'nodeSelectorTerms'));
  if (was.length === 0) return errors;
  if (terms.length !== was.length) return [...errors, invalidField(path, terms, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed')];
  was.forEach((old, index) => {
    const term = terms[index] ?? {};
    const grown = ['matchExpressions', 'matchFields'].every((list) => {
      const now = objects(term[list]);
      return objects(old[list]).every((one, position) => same(now[position], one));
    });
    const wasEmpty = objects(old['matchExpressions']).length + objects(old['matchFields']).length === 0;
    const isNowEmpty = objects(term['matchExpressions']).length + objects(term['matchFields']).length === 0;
    if (!grown || (wasEmpty && !isNowEmpty)) errors.push(invalidField(`${path}[${index}]`, term, 'only additions are allowed (no mutations or deletions)'));
  });
  return errors;
}

/** May a container that ended run again? Its own policy and rules come first, then the pod's. */
function mayRestart(container: Obj, spec: Obj, exitCode: number): boolean {
  for (const rule of objects(container['restartPolicyRules'])) {
    const codes = asObject(rule['exitCodes']);
    if (!codes) continue;
    const listed = Array.isArray(codes['values']) && codes['values'].includes(exitCode);
    if (listed === (codes['operator'] === 'In')) return true;
  }
  switch (text(container['restartPolicy']) || text(spec['restartPolicy'])) {
    case 'Always': return true;
    case 'OnFailure': return exitCode !== 0;
    default: return false;
  }
}

function validateTransitions(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const spec = asObject(old['spec']) ?? {};
  const lists = [['containerStatuses', 'containers'], ['initContainerStatuses', 'initContainers'], ['ephemeralContainerStatuses', '']] as const;
  const anyRestartsAll = [...objects(spec['containers']), ...objects(spec['initContainers'])]
    .some((container) => objects(container['restartPolicyRules']).some((rule) => rule['action'] === 'RestartAllContainers'));
  if (anyRestartsAll) return errors;
  for (const [field, list] of lists) {
    const now = objects(at(object, 'status', field));
    objects(at(old, 'status', field)).forEach((was, index) => {
      const ended = asObject(at(was, 'state', 'terminated'));
      const current = now.find((status) => status['name'] === was['name']);
      if (!ended || !current || isObject(at(current, 'state', 'terminated'))) return;
      const container = list === '' ? undefined : objects(spec[list]).find((one) => one['name'] === was['name']);
      if (!container || !mayRestart(container, spec, integer(ended['exitCode']) ?? 0)) {
        errors.push(forbiddenField(`status.${field}[${index}].state`, 'may not be transitioned to non-terminated state'));
      }
    });
  }
  return errors;
}

const ownConditions = new Set(['PodScheduled', 'Ready', 'Initialized']);

function validateAddresses(status: Obj): FieldError[] {
  const errors: FieldError[] = [];
  const hostIPs = objects(status['hostIPs']);
  if (hostIPs[0] && text(hostIPs[0]['ip']) !== text(status['hostIP'])) errors.push(invalidField('status.hostIPs[0].ip', hostIPs[0]['ip'], 'must be equal to `hostIP`'));
  for (const field of ['podIPs', 'hostIPs']) {
    const list = objects(status[field]).map((one) => text(one['ip']));
    list.forEach((ip, index) => errors.push(...invalidAll(`status.${field}[${index}]`, ip, ipErrors(ip))));
    if (list.length > 1 && new Set(list.map(ipFamily)).size !== list.length) {
      errors.push(invalidField(`status.${field}`, status[field], 'may specify no more than one IP for each IP family'));
    }
  }
  return errors;
}

export function validatePodStatusUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors = validateAnnotationUpdate(object, old);
  const status = asObject(object['status']) ?? {};
  const before = asObject(old['status']) ?? {};
  objects(status['conditions']).forEach((condition, index) => {
    const path = `status.conditions[${index}]`;
    const type = text(condition['type']);
    if ((integer(condition['observedGeneration']) ?? 0) < 0) errors.push(invalidField(`${path}.observedGeneration`, condition['observedGeneration'], 'must be a non-negative integer'));
    if (!ownConditions.has(type)) errors.push(...invalidAll(`${path}.Type`, type, qualifiedNameErrors(type)));
  });
  const nominated = text(status['nominatedNodeName']);
  if (nominated !== '' && nominated !== text(before['nominatedNodeName'])) {
    errors.push(...invalidAll('status.nominatedNodeName', nominated, dns1123SubdomainErrors(nominated)));
    if (!isEmpty(at(old, 'spec', 'nodeName'))) errors.push(forbiddenField('status.nominatedNodeName', 'may not be set on pods that are already bound to a node'));
  }
  if ((integer(status['observedGeneration']) ?? 0) < 0) errors.push(invalidField('status.observedGeneration', status['observedGeneration'], 'must be a non-negative integer'));
  errors.push(...unchanged('status.qosClass', status['qosClass'], before['qosClass']));
  return [...errors, ...validateTransitions(object, old), ...validateAddresses(status)];
}
