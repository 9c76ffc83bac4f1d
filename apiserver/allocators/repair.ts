// Puts Services and IPAddress objects back in step: a process that died between the two writes leaves an address that
// nobody uses, and a store from elsewhere may hold Services without addresses. Upstream: ipallocator/controller/repairip.go.
import { createLogger } from '#machinery/base/log.ts';
import type { Service } from '#machinery/api/object.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#machinery/api/status.ts';
import type { Backend } from '../backend.ts';
import { familyOf } from './address-range.ts';
import { ipAddresses, ipAddressFor } from './cluster-ips.ts';

const log = createLogger('allocators');
/** A Service whose write is under way has its address before it is there. */
const graceMs = 60_000;

export async function repairClusterIps(backend: Pick<Backend, 'cached' | 'lookup' | 'refresh' | 'store'>, now: number, signal: AbortSignal): Promise<void> {
  await backend.refresh(signal);
  const services = backend.cached('services') as readonly unknown[] as readonly Readonly<Service>[]; // the rows of services
  const wanted = new Map<string, Readonly<Service>>();
  for (const service of services) {
    if (service.spec?.type === 'ExternalName') continue;
    for (const address of service.spec?.clusterIPs ?? []) if (familyOf(address) !== undefined) wanted.set(address, service);
  }
  for (const object of backend.cached(ipAddresses)) {
    const { name = '', uid, creationTimestamp, labels } = object.metadata ?? {};
    if (labels?.['ipaddress.kubernetes.io/managed-by'] !== 'ipallocator.k8s.io' || Date.parse(creationTimestamp ?? '') > now - graceMs) continue;
    const { parentRef } = (object.spec ?? {}) as { parentRef?: { namespace?: string; name?: string } }; // validated when it was stored
    const service = wanted.get(name);
    if (service !== undefined && service.metadata.namespace === parentRef?.namespace && service.metadata.name === parentRef?.name) continue;
    log.info('an IPAddress belongs to no Service, removing it', { address: name });
    try {
      await backend.store(ipAddresses).delete('', name, uid === undefined ? {} : { uid });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
  for (const [address, { metadata }] of wanted) {
    const family = familyOf(address);
    if (family === undefined || backend.lookup(ipAddresses, '', address) !== undefined) continue;
    log.info('a cluster IP has no IPAddress, making it', { address, service: metadata.name });
    try {
      await backend.store(ipAddresses).create('', ipAddressFor(address, family, { namespace: metadata.namespace ?? '', name: metadata.name ?? '' }));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}
