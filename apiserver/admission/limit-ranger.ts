// LimitRanger: containers get the namespace's default requests and limits, and what pods and claims ask for stays within its bounds.
// Upstream: plugin/pkg/admission/limitranger.
import type { Container, PersistentVolumeClaim, Pod } from '#machinery/api/object.ts';
import { podResources } from '#machinery/api/pod-resources.ts';
import { compareQuantities, formatQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import { nothing, readResourceList } from '#machinery/api/resource-list.ts';
import type { ResourceList } from '#machinery/api/resource-list.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const annotation = 'kubernetes.io/limit-ranger';
type List = Record<string, string>;
interface Limit { type?: string; max?: List; min?: List; default?: List; defaultRequest?: List; maxLimitRequestRatio?: List }
interface LimitRange { spec?: { limits?: Limit[] } }
interface Asked { requests: ResourceList; limits: ResourceList }

export function createLimitRanger(backend: Pick<Backend, 'cached'>): AdmissionPlugin {
  /** What is on its way out is let go. */
  function limitRanges({ namespace, oldObject }: AdmissionAttributes): readonly LimitRange[] {
    return oldObject?.metadata?.deletionTimestamp === undefined ? backend.cached('limitranges', namespace) as readonly LimitRange[] : [];
  }
  return {
    name: 'LimitRanger',
    // Containers cannot change but by a resize.
    handles: (operation, { group, resource }, subresource) => group === '' && (
      (resource === 'pods' && ((operation === 'CREATE' && subresource === '') || (operation === 'UPDATE' && subresource === 'resize')))
      || (resource === 'persistentvolumeclaims' && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE'))),
    admit(attributes) {
      if (attributes.row.resource !== 'pods') return;
      for (const range of limitRanges(attributes)) setDefaults(attributes.object as unknown as Pod, range); // `handles` and the check above
    },
    validate(attributes) {
      for (const { spec } of limitRanges(attributes)) {
        const limits = spec?.limits ?? [];
        const errors = attributes.row.resource === 'pods'
          ? limits.flatMap((limit) => podErrors(attributes.object as unknown as Pod, limit)) // as the row says
          : limits.flatMap((limit) => claimErrors(attributes.object as unknown as PersistentVolumeClaim, limit));
        const texts = [...new Set(errors)];
        if (texts.length > 0) throw refuse(attributes, texts.length === 1 ? texts[0] ?? '' : `[${texts.join(', ')}]`);
      }
    },
  };
}

function setDefaults(pod: Pod, { spec }: LimitRange): void {
  const requests: List = {};
  const limits: List = {};
  for (const limit of spec?.limits ?? []) {
    if (limit.type !== 'Container') continue;
    Object.assign(requests, limit.defaultRequest);
    Object.assign(limits, limit.default);
  }
  const set = [
    ...containersOf(pod.spec?.containers).flatMap((container) => fill(container, 'container', requests, limits)),
    ...containersOf(pod.spec?.initContainers).flatMap((container) => fill(container, 'init container', requests, limits)),
  ];
  if (set.length > 0) pod.metadata.annotations = { ...pod.metadata.annotations, [annotation]: `LimitRanger plugin set: ${set.join('; ')}` };
}
function fill(container: Container, what: string, requests: List, limits: List): string[] {
  const told: string[] = [];
  for (const [field, word, defaults] of [['requests', 'request', requests], ['limits', 'limit', limits]] as const) {
    const given: List = container.resources?.[field] ?? {};
    const missing = Object.keys(defaults).filter((name) => given[name] === undefined).sort();
    if (missing.length === 0) continue;
    const list = { ...given };
    for (const name of missing) list[name] = defaults[name] ?? '';
    container.resources = { ...container.resources, [field]: list };
    told.push(`${missing.join(', ')} ${word} for ${what} ${container.name}`);
  }
  return told;
}
/** Nobody has validated the object yet. */
function containersOf(list: Container[] | undefined): Container[] {
  return Array.isArray(list) ? list.filter((one) => typeof one === 'object' && one !== null) : [];
}

function podErrors(pod: Pod, limit: Limit): string[] {
  if (limit.type === 'Container') {
    return [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].flatMap(({ resources }) =>
      boundErrors(limit, { requests: readResourceList(resources?.requests), limits: readResourceList(resources?.limits) }));
  }
  if (limit.type !== 'Pod') return [];
  const isPodLevel = (name: string): boolean => name === 'cpu' || name === 'memory';
  return boundErrors(limit, { requests: podResources(pod, 'requests', { isPodLevel }), limits: podResources(pod, 'limits', { isPodLevel }) });
}
function boundErrors(limit: Limit, asked: Asked): string[] {
  const type = limit.type ?? '';
  return [
    ...each(limit.min, (name, bound) => minError(type, name, bound, asked)),
    ...each(limit.max, (name, bound) => maxError(type, name, bound, asked)),
    ...each(limit.maxLimitRequestRatio, (name, bound) => ratioError(type, name, bound, asked)),
  ];
}
/** Of claims only requests count. */
function claimErrors({ spec }: PersistentVolumeClaim, limit: Limit): string[] {
  if (limit.type !== 'PersistentVolumeClaim') return [];
  const requests = readResourceList(spec?.resources?.requests);
  return [
    ...each(limit.min, (name, bound) => minError('PersistentVolumeClaim', name, bound, { requests, limits: nothing })),
    ...each(limit.max, (name, bound) => {
      const about = `maximum ${name} usage per PersistentVolumeClaim is ${show(bound)}`;
      const request = requests.get(name);
      if (!request) return `${about}.  No request is specified`;
      return compareQuantities(request, parseQuantity(bound)) > 0 ? `${about}, but request is ${formatQuantity(request)}` : undefined;
    }),
  ];
}

function each(list: List | undefined, check: (name: string, bound: string) => string | undefined): string[] {
  return Object.entries(list ?? {}).flatMap(([name, bound]) => check(name, bound) ?? []);
}
const show = (bound: string): string => formatQuantity(parseQuantity(bound));

function minError(type: string, name: string, bound: string, { requests, limits }: Asked): string | undefined {
  const about = `minimum ${name} usage per ${type} is ${show(bound)}`;
  const [request, limit, least] = [requests.get(name), limits.get(name), parseQuantity(bound)];
  if (!request) return `${about}.  No request is specified`;
  if (compareQuantities(request, least) < 0) return `${about}, but request is ${formatQuantity(request)}`;
  return limit && compareQuantities(limit, least) < 0 ? `${about}, but limit is ${formatQuantity(limit)}` : undefined;
}
function maxError(type: string, name: string, bound: string, { requests, limits }: Asked): string | undefined {
  const about = `maximum ${name} usage per ${type} is ${show(bound)}`;
  const [request, limit, most] = [requests.get(name), limits.get(name), parseQuantity(bound)];
  if (!limit) return `${about}.  No limit is specified`;
  if (compareQuantities(limit, most) > 0) return `${about}, but limit is ${formatQuantity(limit)}`;
  return request && compareQuantities(request, most) > 0 ? `${about}, but request is ${formatQuantity(request)}` : undefined;
}
function ratioError(type: string, name: string, bound: string, { requests, limits }: Asked): string | undefined {
  const about = `${name} max limit to request ratio per ${type} is ${show(bound)}`;
  const [request, limit] = [requests.get(name)?.nanos ?? 0n, limits.get(name)?.nanos ?? 0n];
  if (request === 0n) return `${about}, but no request is specified or request is 0`;
  if (limit === 0n) return `${about}, but no limit is specified or limit is 0`;
  // limit / request > bound, without a fraction that would round.
  return limit * 1_000_000_000n > parseQuantity(bound).nanos * request ? `${about}, but provided ratio is ${(Number(limit) / Number(request)).toFixed(6)}` : undefined;
}
