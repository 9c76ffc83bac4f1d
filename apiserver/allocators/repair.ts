// Puts allocations back in step with the Services: at the start, whenever Services or addresses change, and every few minutes until the
// signal aborts. A process that
// died between two writes leaves addresses and ports that nobody uses; a store from elsewhere may lack what its Services hold.
import { sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Backend } from '../backend.ts';
import type { CacheEvent } from '../storage/cache.ts';
import { createEventRecorder } from './allocation-events.ts';
import { createNodePortAllocation, type PortRange } from './node-ports.ts';
import { ipAddresses, type Owner } from './cluster-ips.ts';
import { repairChanged, repairClusterIps, serviceOf } from './repair-cluster-ips.ts';
import { createNodePortRepair } from './repair-node-ports.ts';

const log = createLogger('allocators');
/** Upstream's: addresses as they change and a minute after, ports every three minutes. */
const addressesMs = 60_000;
const portsMs = 180_000;
/** What changes together is looked at together, and whoever changes it has time to be done. */
const settleMs = 1000;

/** The first round of both is done when it resolves; `signal` ends the rounds that follow. */
export async function startRepair(backend: Backend, range: PortRange, signal: AbortSignal): Promise<void> {
  const repairPorts = createNodePortRepair(range, createNodePortAllocation(range, backend), backend, createEventRecorder('portallocator-repair-controller', backend, Date.now));
  const record = createEventRecorder('ipallocator-repair-controller', backend, Date.now);
  const repairAddresses = (): Promise<void> => repairClusterIps(backend, record, Date.now(), signal);
  await Promise.all([repairPorts(signal), repairAddresses()]);
  for (const [repair, everyMs] of [[repairPorts, portsMs], [repairAddresses, addressesMs]] as const) {
    keepRepairing(repair, everyMs, signal).catch((error: unknown) => log.error('the repair of allocations ended', { error }));
  }
  const changed = (services: readonly Owner[], addresses: readonly string[]): Promise<void> =>
    repairChanged(backend, record, { services: new Map(services.map(ownerOf)), addresses: new Set(addresses) }, Date.now(), signal);
  const follow = (resource: string, repair: (events: readonly CacheEvent[]) => Promise<void>): void =>
    void followChanges(backend, resource, repair, signal).catch((error: unknown) => log.error('following allocations ended', { resource, error }));
  follow('services', (events) => changed(events.flatMap(({ current }) => (current ? [current] : [])), []));
  follow(ipAddresses, (events) => changed(
    events.flatMap(({ current, previous }) => (current || !previous ? [] : [serviceOf(previous.object)])).filter((owner) => owner !== undefined),
    events.flatMap(({ current }) => (current ? [current.name] : [])),
  ));
}

/** Follows one resource from now on; what it misses is found by the rounds. */
async function followChanges(backend: Backend, resource: string, repair: (events: readonly CacheEvent[]) => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const watch = backend.cache.for(resource)?.watch({ afterRevision: backend.cache.revision() }, signal);
    if (!watch) return;
    try {
      for await (const events of watch) {
        await sleep(settleMs, signal);
        await repair(events);
      }
    } catch (error) {
      if (!signal.aborted) log.warn('repairing a changed allocation failed, the next round looks at it again', { resource, error });
    } finally {
      watch.close();
    }
  }
}
const ownerOf = ({ namespace, name }: { namespace: string; name: string }): [string, Owner] => [`${namespace}/${name}`, { namespace, name }];

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
