// Pods under quotas: their number, and what those that have not ended ask for. Upstream: pkg/quota/v1/evaluator/core/pods.go.
import { qualifiedNameErrors } from '../names.ts';
import type { KubeObject, Pod } from '../object.ts';
import { quantityOfInteger } from '../quantity.ts';
import type { Quantity } from '../quantity.ts';
import { hasPodLevelResources, podResources } from '../pod-resources.ts';
import { addTo, readResourceList } from '../resource-list.ts';
import type { ResourceList } from '../resource-list.ts';
import type { Evaluator } from './evaluators.ts';
import { matchesName } from './quota.ts';
import type { ScopeSelector } from './quota.ts';

const basic = ['cpu', 'memory', 'ephemeral-storage'];
const names = new Set(['count/pods', 'pods', ...basic, ...basic.map((name) => `requests.${name}`), ...basic.map((name) => `limits.${name}`)]);
/** Where a quota limits these, every container has to name them. */
const demanded = new Set(['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']);
const deviceClass = 'deviceclass.resource.kubernetes.io/';
const one = quantityOfInteger(1);

const asPod = (object: Readonly<KubeObject>): Readonly<Pod> => object as unknown as Pod; // this evaluator is asked about pods only
const isNative = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/');
function isExtended(name: string): boolean {
  return name.startsWith(deviceClass) || (!isNative(name) && !name.startsWith('requests.') && qualifiedNameErrors(`requests.${name}`).length === 0);
}

export const podEvaluator: Evaluator = {
  id: 'pods', countsOnly: false,
  measures: (name) => names.has(name) || name.startsWith('hugepages-')
    || (name.startsWith('requests.') && (name.startsWith('requests.hugepages-') || !isNative(name) || name.startsWith(`requests.${deviceClass}`))),
  usage: (object, now) => podUsage(asPod(object), now),
  matchesScope: (selector, object) => matchesPodScope(selector, asPod(object)),
  handles: (operation, subresource) => (subresource === '' ? operation === 'CREATE' || operation === 'UPDATE' : subresource === 'resize' && operation === 'UPDATE'),
  mayChange: (object, old, subresource) => subresource === 'resize' || hasDeadline(asPod(object)) !== hasDeadline(asPod(old)),
  missing(limited, object) {
    const pod = asPod(object);
    if (hasPodLevelResources(pod)) return undefined;
    const wanted = limited.filter((name) => demanded.has(name)).toSorted();
    const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
      .map(({ name, resources }) => ({ name, used: computeUsage(readResourceList(resources?.requests), readResourceList(resources?.limits)) }));
    const lines = wanted.flatMap((name) => {
      const without = new Set(containers.filter(({ used }) => !used.has(name)).map((container) => container.name));
      return without.size === 0 ? [] : [`${name} for: ${[...without].sort().join(',')}`];
    });
    return lines.length === 0 ? undefined : `must specify ${lines.join('; ')}`;
  },
  frees(object, old, now) {
    const [pod, before] = [asPod(object), asPod(old)];
    return hasDeadline(pod) !== hasDeadline(before) || (isCharged(before, now) && !isCharged(pod, now)) || shownResources(pod) !== shownResources(before);
  },
};

/** count/pods is all that are stored; the rest counts until the pod has ended, or is lost. */
function podUsage(pod: Readonly<Pod>, now: number): ResourceList {
  const used = new Map([['count/pods', one]]);
  if (!isCharged(pod, now)) return used;
  const how = { withStatus: true, withOverhead: true };
  addTo(used, computeUsage(podResources(pod, 'requests', how), podResources(pod, 'limits', how)));
  return used;
}

function computeUsage(requests: ResourceList, limits: ResourceList): Map<string, Quantity> {
  const used = new Map([['pods', one]]);
  for (const [name, quantity] of requests) {
    if (basic.includes(name) || name.startsWith('hugepages-')) {
      used.set(name, quantity);
      used.set(`requests.${name}`, quantity);
    } else if (isExtended(name)) used.set(`requests.${name}`, quantity);
  }
  for (const name of basic) {
    const limit = limits.get(name);
    if (limit) used.set(`limits.${name}`, limit);
  }
  return used;
}

/** A pod that outlived its grace period is stuck on a node that is gone; its owner may start another. */
function isCharged({ metadata, status }: Readonly<Pod>, now: number): boolean {
  if (status?.phase === 'Failed' || status?.phase === 'Succeeded') return false;
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  return deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined || now <= Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

function shownResources({ status }: Readonly<Pod>): string {
  return JSON.stringify([...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].map(({ name, resources }) => [name, resources]));
}

function matchesPodScope(selector: ScopeSelector, pod: Readonly<Pod>): boolean {
  switch (selector.scopeName) {
    case 'Terminating': return hasDeadline(pod);
    case 'NotTerminating': return !hasDeadline(pod);
    case 'BestEffort': return isBestEffort(pod);
    case 'NotBestEffort': return !isBestEffort(pod);
    case 'PriorityClass': return matchesName(selector, pod.spec?.priorityClassName || undefined);
    case 'CrossNamespacePodAffinity': return looksIntoOtherNamespaces(pod);
    default: return false;
  }
}

function hasDeadline({ spec }: Readonly<Pod>): boolean {
  return (spec?.activeDeadlineSeconds ?? -1) >= 0;
}

function isBestEffort({ spec, status }: Readonly<Pod>): boolean {
  if (status?.qosClass) return status.qosClass === 'BestEffort';
  const all = spec?.resources ? [spec.resources] : [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].map(({ resources }) => resources);
  return !all.some((resources) => [resources?.requests, resources?.limits].some((list) => ['cpu', 'memory'].some((name) => (readResourceList(list).get(name)?.nanos ?? 0n) > 0n)));
}

function looksIntoOtherNamespaces({ spec }: Readonly<Pod>): boolean {
  return [spec?.affinity?.podAffinity, spec?.affinity?.podAntiAffinity].some((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm),
  ].some((term) => (term.namespaces?.length ?? 0) > 0 || (term.namespaceSelector !== undefined && term.namespaceSelector !== null)));
}
