// Rebuilds the bitmap of node ports from the Services. A port that no Service has is given free only when it was seen so several
// times: its Service may be about to be written. Upstream: registry/core/service/portallocator/controller/repair.go.
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject, Service } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { AllocationEvent, RecordEvent } from './allocation-events.ts';
import { rangeText, type PortRange } from './node-ports.ts';
import type { RangeAllocation } from './range-allocation.ts';

const log = createLogger('allocators');
/** Rounds that a port nobody has is kept. */
const roundsKept = 2;
const maxAttempts = 10;

/** One round of repair; keep the function, it counts. */
export function createNodePortRepair(
  range: PortRange, allocation: Pick<RangeAllocation, 'read' | 'replace'>, backend: Pick<Backend, 'cached' | 'refresh'>, record: RecordEvent,
): (signal: AbortSignal) => Promise<void> {
  const leaks = new Map<number, number>();
  return async (signal) => {
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      // In this order: a port that is taken after the reading moves the revision, and the round begins anew.
      const stored = await allocation.read();
      await backend.refresh(signal);
      const services = backend.cached('services') as readonly unknown[] as readonly Readonly<Service>[]; // the rows of services
      const { taken, events } = rebuild(services, range, stored.range === undefined ? undefined : stored.taken);
      const leaving = new Map<number, number>();
      for (const offset of stored.range === rangeText(range) ? stored.taken : []) {
        if (taken.has(offset)) continue;
        const left = leaks.get(offset) ?? roundsKept;
        leaving.set(offset, left - 1);
        if (left > 0) taken.add(offset);
        else log.warn('a node port belongs to no Service, giving it free', { port: range.from + offset });
      }
      const isSame = stored.range === rangeText(range) && taken.size === stored.taken.size && [...taken].every((offset) => stored.taken.has(offset));
      if (!isSame && !(await allocation.replace(taken, stored.revision))) continue;
      leaks.clear();
      for (const [offset, left] of leaving) if (left >= 0) leaks.set(offset, left);
      for (const event of events) await record(event);
      return;
    }
    throw new Error('the allocation of node ports changes too often to be repaired now');
  };
}

/** What the Services say is taken, and what is wrong with that. */
function rebuild(services: readonly Readonly<Service>[], range: PortRange, known: ReadonlySet<number> | undefined): { taken: Set<number>; events: AllocationEvent[] } {
  const taken = new Set<number>();
  const events: AllocationEvent[] = [];
  for (const service of services) {
    const tell = (reason: string, note: string): void => {
      events.push({ about: service as unknown as KubeObject, kind: 'Service', reason, action: 'PortAllocation', note }); // a Service is one
    };
    for (const port of claimedPorts(service)) {
      const offset = port - range.from;
      if (port < range.from || port > range.to) tell('PortOutOfRange', `Port ${port} is not within the port range ${rangeText(range)}; please recreate service`);
      else if (taken.has(offset)) tell('PortAlreadyAllocated', `Port ${port} was assigned to multiple services; please recreate service`);
      else {
        taken.add(offset);
        if (known !== undefined && !known.has(offset)) tell('PortNotAllocated', `Port ${port} is not allocated; repairing`);
      }
    }
  }
  return { taken, events };
}

/** A number for TCP and for UDP counts once; twice for one protocol, twice. */
function claimedPorts({ spec }: Readonly<Service>): number[] {
  const claims = (spec?.ports ?? []).map(({ nodePort, protocol }) => ({ number: nodePort ?? 0, protocol: protocol ?? 'TCP' }));
  claims.push({ number: spec?.healthCheckNodePort ?? 0, protocol: 'TCP' });
  const protocols = new Map<number, Set<string>>();
  const found: number[] = [];
  for (const { number, protocol } of claims) {
    if (number === 0) continue;
    const seen = protocols.get(number) ?? new Set();
    protocols.set(number, seen);
    if (seen.size === 0 || seen.has(protocol)) found.push(number);
    seen.add(protocol);
  }
  return found;
}
