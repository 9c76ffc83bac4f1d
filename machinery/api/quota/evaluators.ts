// How much of a quota an object uses, by resource: pods, services, claims, and the number of anything else. Pure: the API server
// asks before a write, the quota controller when it counts again. Upstream: pkg/quota/v1/evaluator/core, apiserver/pkg/quota/v1/generic.
import type { KubeObject } from '../object.ts';
import { quantityOfInteger } from '../quantity.ts';
import type { ResourceList } from '../resource-list.ts';
import { claimEvaluator } from './claims.ts';
import { deviceClaimEvaluator } from './device-claims.ts';
import { podEvaluator } from './pods.ts';
import type { ScopeSelector } from './quota.ts';
import { serviceEvaluator } from './services.ts';

export interface Evaluator {
  /** `pods`, `replicasets.apps`. */
  readonly id: string;
  /** Only the number of objects counts, so their metadata is enough. */
  readonly countsOnly: boolean;
  /** A quota's name for something that this evaluator measures. */
  measures(name: string): boolean;
  usage(object: Readonly<KubeObject>, now: number): ResourceList;
  matchesScope(selector: ScopeSelector, object: Readonly<KubeObject>): boolean;
  /** Operations that can change what is used; the rest is not looked at. */
  handles(operation: string, subresource: string): boolean;
  /** A second look at an update. Default: it may. */
  mayChange?(object: Readonly<KubeObject>, old: Readonly<KubeObject>, subresource: string): boolean;
  /** What an object has to say for a quota on `names`, as a refusal; undefined when it says it all. */
  missing?(names: readonly string[], object: Readonly<KubeObject>): string | undefined;
  /** An update after which the quota should be counted again. Default: never, for counts. */
  frees?(object: Readonly<KubeObject>, old: Readonly<KubeObject>, now: number): boolean;
}

/** Answered but not stored, or never counted. */
const ignored = new Set([
  'bindings', 'componentstatuses', 'events', 'events.events.k8s.io', 'tokenreviews.authentication.k8s.io', 'selfsubjectreviews.authentication.k8s.io',
  ...['subjectaccessreviews', 'selfsubjectaccessreviews', 'localsubjectaccessreviews', 'selfsubjectrulesreviews'].map((name) => `${name}.authorization.k8s.io`),
]);
/** Names from before anything could be counted by count/… */
const aliases = ['configmaps', 'resourcequotas', 'replicationcontrollers', 'secrets'];
const special = new Map([podEvaluator, serviceEvaluator, claimEvaluator, deviceClaimEvaluator, ...aliases.map((id) => countEvaluator(id, id))].map((one) => [one.id, one]));

/** By `resource` or `resource.group`; undefined for what quotas never count. */
export function evaluatorOf(id: string): Evaluator | undefined {
  return ignored.has(id) ? undefined : special.get(id) ?? countEvaluator(id);
}

/** The resources that measure a quota's name. Whether a server has them, only it can tell. */
export function resourcesMeasuring(name: string): string[] {
  const found = [...special.values()].filter((one) => one.measures(name)).map(({ id }) => id);
  if (found.length > 0 || !name.startsWith('count/')) return found;
  const id = name.slice('count/'.length);
  return ignored.has(id) ? [] : [id];
}

function countEvaluator(id: string, alias?: string): Evaluator {
  const names = [`count/${id}`, ...(alias === undefined ? [] : [alias])];
  const one: ResourceList = new Map(names.map((name) => [name, quantityOfInteger(1)]));
  return {
    id, countsOnly: true,
    measures: (name) => names.includes(name),
    usage: () => one,
    matchesScope: () => false,
    handles: (operation, subresource) => operation === 'CREATE' && subresource === '',
  };
}
