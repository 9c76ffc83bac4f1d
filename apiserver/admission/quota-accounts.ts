// What one write means for the quotas of its namespace: which count it, by how much, and whether that still fits. Pure. Upstream:
// CheckRequest in apiserver/pkg/admission/plugin/resourcequota/controller.go.
import type { Evaluator } from '#machinery/api/quota/evaluators.ts';
import { isInScope } from '#machinery/api/quota/quota.ts';
import type { ResourceQuota } from '#machinery/api/quota/quota.ts';
import { compareQuantities } from '#machinery/api/quantity.ts';
import { describeResourceList, excessOf, pick, readResourceList, sumOf } from '#machinery/api/resource-list.ts';
import type { ResourceList } from '#machinery/api/resource-list.ts';
import type { AdmissionAttributes } from './admission.ts';
import { refuse } from './refuse.ts';

/** A quota with the use that it will show once everything charged so far is written. */
export interface Account { readonly quota: Readonly<ResourceQuota>; readonly hard: ResourceList; readonly used: ResourceList }

export function openAccounts(quotas: readonly Readonly<ResourceQuota>[]): Account[] {
  return quotas.map((quota) => ({ quota, hard: readResourceList(quota.status?.hard), used: readResourceList(quota.status?.used) }));
}

/** New uses by index; undefined when the write changes none. Throws the refusal. */
export function charge(accounts: readonly Account[], attributes: AdmissionAttributes, evaluator: Evaluator): Map<number, ResourceList> | undefined {
  const { object, oldObject, subresource, context: { now } } = attributes;
  if (object === undefined) return undefined;
  const counting = accounts.map((account, index) => ({ account, index })).filter(({ account: { quota, hard } }) => [...hard.keys()].some((name) => evaluator.measures(name)) && isInScope(quota, evaluator, object));
  for (const { account: { quota, hard, used } } of counting) {
    const names = [...hard.keys()].filter((name) => evaluator.measures(name));
    const missing = evaluator.missing?.(names, object);
    if (missing !== undefined) throw refuse(attributes, `failed quota: ${quota.metadata.name}: ${missing}`);
    if (names.some((name) => !used.has(name))) throw refuse(attributes, `status unknown for quota: ${quota.metadata.name}, resources: ${names.sort().join(',')}`);
  }
  if (counting.length === 0) return undefined;

  const usage = evaluator.usage(object, now);
  const negative = [...pick(usage, (_, { nanos }) => nanos < 0n).keys()].sort();
  if (negative.length > 0) throw refuse(attributes, `quota usage is negative for resource(s): ${negative.join(',')}`);
  const growth = oldObject === undefined ? usage : excessOf(usage, evaluator.usage(oldObject, now));

  const charged = new Map<number, ResourceList>();
  for (const { account: { quota, hard, used }, index } of counting) {
    // An object that comes into the scope only now is new to this quota.
    const delta = oldObject === undefined || isInScope(quota, evaluator, oldObject) ? growth : usage;
    const requested = pick(delta, (name, { nanos }) => nanos !== 0n && hard.has(name));
    if (requested.size === 0) continue;
    const next = sumOf(used, requested);
    const exceeded = pick(hard, (name, limit) => requested.has(name) && compareQuantities(next.get(name) ?? limit, limit) > 0);
    if (exceeded.size > 0 && subresource !== 'status') {
      const those = (list: ResourceList): string => describeResourceList(pick(list, (name) => exceeded.has(name)));
      throw refuse(attributes, `exceeded quota: ${quota.metadata.name}, requested: ${those(requested)}, used: ${those(used)}, limited: ${those(hard)}`);
    }
    charged.set(index, next);
  }
  return charged.size === 0 ? undefined : charged;
}
