// Puts allocations back in step with the Services: at the start, then every few minutes until the signal aborts. A process that
// died between two writes leaves addresses and ports that nobody uses; a store from elsewhere may lack what its Services hold.
import { sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Backend } from '../backend.ts';
import { createEventRecorder } from './allocation-events.ts';
import { createNodePortAllocation, type PortRange } from './node-ports.ts';
import { repairClusterIps } from './repair-cluster-ips.ts';
import { createNodePortRepair } from './repair-node-ports.ts';

const log = createLogger('allocators');
/** Upstream's: addresses as they change and a minute after, ports every three minutes. */
const addressesMs = 60_000;
const portsMs = 180_000;

/** The first round of both is done when it resolves; `signal` ends the rounds that follow. */
export async function startRepair(backend: Backend, range: PortRange, signal: AbortSignal): Promise<void> {
  const repairPorts = createNodePortRepair(range, createNodePortAllocation(range, backend), backend, createEventRecorder('portallocator-repair-controller', backend, Date.now));
  const record = createEventRecorder('ipallocator-repair-controller', backend, Date.now);
  const repairAddresses = (): Promise<void> => repairClusterIps(backend, record, Date.now(), signal);
  await Promise.all([repairPorts(signal), repairAddresses()]);
  for (const [repair, everyMs] of [[repairPorts, portsMs], [repairAddresses, addressesMs]] as const) {
    keepRepairing(repair, everyMs, signal).catch((error: unknown) => log.error('the repair of allocations ended', { error }));
  }
}

async function keepRepairing(repair: (signal: AbortSignal) => Promise<void>, everyMs: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    await sleep(everyMs, signal).catch(() => undefined); // only the signal ends a sleep early
    if (signal.aborted) return;
    try {
      await repair(signal);
    } catch (error) {
      if (!signal.aborted) log.warn('repairing allocations failed, trying again', { error });
    }
  }
}
