// The status of a quota from what was counted. Pure. Upstream: pkg/controller/resourcequota.
import type { ResourceQuota } from '#machinery/api/quota/quota.ts';
import { compareQuantities } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import { addTo, pick, readResourceList, sameResources, sumOf, writeResourceList, zero } from '#machinery/api/resource-list.ts';
import type { ResourceList } from '#machinery/api/resource-list.ts';

/**
 * An API server charges a quota and only then stores the object: for so long a charge may stand for something that nobody can see yet.
 * (Upstream counts without it, and may give out more than there is.)
 */
export const inFlightMs = 500;

export interface NextStatus {
  /** Undefined: it is right as it is. */
  status: { hard: Record<string, string>; used: Record<string, string> } | undefined;
  /** More than was counted is left in it, for what may be on its way: count again. */
  held: boolean;
}

/** `counted` holds the names that could be counted; the rest stays as it was. `recent` is what was charged a moment ago. */
export function nextStatus({ spec, status }: Readonly<ResourceQuota>, counted: ResourceList, recent: ResourceList): NextStatus {
  const hard = readResourceList(spec?.hard);
  const before = readResourceList(status?.used);
  const used = pick(before, (name) => hard.has(name));
  let held = false;
  for (const [name, quantity] of counted) {
    const old = used.get(name);
    const most = sumOf(new Map([[name, quantity]]), pick(recent, (other) => other === name)).get(name) ?? quantity;
    if (old && compareQuantities(quantity, old) < 0 && compareQuantities(most, quantity) > 0) {
      used.set(name, compareQuantities(most, old) < 0 ? most : old);
      held = true;
    } else used.set(name, quantity);
  }
  const isRight = status?.hard !== undefined && status.used !== undefined && sameResources(hard, readResourceList(status.hard)) && sameResources(used, before);
  return { status: isRight ? undefined : { hard: writeResourceList(hard), used: writeResourceList(used) }, held };
}

/** What the API servers charged a moment ago, by quota. */
export class RecentCharges {
  readonly #charges = new Map<string, { at: number; amounts: Map<string, Quantity> }[]>();

  note(key: string, before: ResourceList, after: ResourceList, now: number): void {
    const amounts = new Map<string, Quantity>();
    for (const [name, quantity] of after) {
      const more = quantity.nanos - (before.get(name) ?? zero).nanos;
      if (more > 0n) amounts.set(name, { nanos: more, format: quantity.format });
    }
    if (amounts.size > 0) this.#charges.set(key, [...this.#fresh(key, now), { at: now, amounts }]);
  }
  /** An object that was charged for is there: the oldest charges are no longer on their way. */
  arrived(key: string, usage: () => ResourceList): void {
    const charges = this.#charges.get(key);
    if (!charges) return;
    for (const [name, { nanos }] of usage()) {
      let left = nanos;
      for (const { amounts } of charges) {
        const charged = amounts.get(name);
        if (!charged || left <= 0n) continue;
        const settled = charged.nanos < left ? charged.nanos : left;
        left -= settled;
        amounts.set(name, { nanos: charged.nanos - settled, format: charged.format });
      }
    }
  }
  of(key: string, now: number): ResourceList {
    const sum = new Map<string, Quantity>();
    for (const { amounts } of this.#fresh(key, now)) addTo(sum, amounts);
    return sum;
  }
  forget(key: string): void {
    this.#charges.delete(key);
  }
  #fresh(key: string, now: number): { at: number; amounts: Map<string, Quantity> }[] {
    const fresh = (this.#charges.get(key) ?? []).filter(({ at }) => now - at < inFlightMs);
    if (fresh.length === 0) this.#charges.delete(key);
    else this.#charges.set(key, fresh);
    return fresh;
  }
}
