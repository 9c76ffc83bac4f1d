// ResourceQuotas: what their scopes select, and what they say of an object. Measuring is evaluators.ts.
import type * as k8s from '@kubernetes/client-node';
import type { KubeObject, ObjectMeta, Wire } from '../object.ts';
import { addQuantities } from '../quantity.ts';
import type { Quantity } from '../quantity.ts';
import { zero } from '../resource-list.ts';
import type { ResourceList } from '../resource-list.ts';
import type { Evaluator } from './evaluators.ts';

export type ResourceQuota = Omit<Wire<k8s.V1ResourceQuota>, 'metadata'> & { metadata: ObjectMeta };
/** `Exists` for a plain scope. */
export interface ScopeSelector { scopeName: string; operator: string; values?: readonly string[] }

export function scopeSelectorsOf({ spec }: Readonly<ResourceQuota>): ScopeSelector[] {
  return [...(spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' })), ...(spec?.scopeSelector?.matchExpressions ?? [])];
}

/** A label selector's rule on the one name that an object has under the scope; undefined when it has none. */
export function matchesName({ operator, values = [] }: ScopeSelector, name: string | undefined): boolean {
  switch (operator) {
    case 'Exists': return name !== undefined;
    case 'DoesNotExist': return name === undefined;
    case 'In': return name !== undefined && values.includes(name);
    case 'NotIn': return name === undefined || !values.includes(name);
    default: throw new Error(`${JSON.stringify(operator)} is not a valid scope selector operator`);
  }
}

export function isInScope(quota: Readonly<ResourceQuota>, evaluator: Evaluator, object: Readonly<KubeObject>): boolean {
  return scopeSelectorsOf(quota).every((selector) => evaluator.matchesScope(selector, object));
}

/** What `objects` use of `names`, which the quota limits and the evaluator measures; names that nothing uses are zero. */
export function usageOf(quota: Readonly<ResourceQuota>, names: readonly string[], evaluator: Evaluator, objects: Iterable<Readonly<KubeObject>>, measure: (object: Readonly<KubeObject>) => ResourceList): Map<string, Quantity> {
  const used = new Map(names.map((name) => [name, zero]));
  for (const object of objects) {
    if (!isInScope(quota, evaluator, object)) continue;
    const own = measure(object);
    for (const [name, sum] of used) {
      const more = own.get(name);
      if (more) used.set(name, addQuantities(sum, more));
    }
  }
  return used;
}
