// Checks both ways that every cluster IP has its IPAddress object and every IPAddress of ours its Service.
// Upstream: registry/core/service/ipallocator/controller/repairip.go.
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject, Service } from '#machinery/api/object.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#machinery/api/status.ts';
import { contains, familyOf, parseRange, type AddressRange, type Family } from '#machinery/base/address-range.ts';
import type { Backend } from '../backend.ts';
import type { RecordEvent } from './allocation-events.ts';
import { allocationGraceMs, ipAddresses, ipAddressFor, managedBy, serviceCidrs, type Owner } from './cluster-ips.ts';

const log = createLogger('allocators');
/** A create of a Service that exists takes an address for a moment. */
const undoneGraceMs = 5000;

type Parts = Pick<Backend, 'cached' | 'lookup' | 'refresh' | 'store'>;
interface ParentRef { group?: string; resource?: string; namespace?: string; name?: string }

const parentOf = (object: Readonly<KubeObject>): ParentRef => ((object.spec ?? {}) as { parentRef?: ParentRef }).parentRef ?? {}; // validated when it was stored
const isService = ({ group = '', resource }: ParentRef): boolean => group === '' && resource === 'services';
const addressesOf = ({ spec }: Readonly<Service>): string[] => (spec?.type === 'ExternalName' || spec?.clusterIP === 'None' ? [] : spec?.clusterIPs ?? []);
const asObject = (service: Readonly<Service>): Readonly<KubeObject> => service as unknown as KubeObject; // a Service is one
const asService = (object: Readonly<KubeObject> | undefined): Readonly<Service> | undefined => object as unknown as Service | undefined; // a row of services

export async function repairClusterIps(backend: Parts, record: RecordEvent, now: number, signal: AbortSignal): Promise<void> {
  await backend.refresh(signal);
  const ranges = rangesOf(backend);
  const services = backend.cached('services') as readonly unknown[] as readonly Readonly<Service>[]; // the rows of services
  const addresses = backend.cached(ipAddresses);
  const repaired = new Set<string>();
  for (const service of services) for (const address of await repairService(backend, record, ranges, service)) repaired.add(address);
  for (const object of addresses) if (!repaired.has(object.metadata?.name ?? '')) await repairAddress(backend, record, object, now);
}

/** What has changed: Services by namespace and name, addresses by name. */
export interface ChangedAllocations { services: ReadonlyMap<string, Owner>; addresses: ReadonlySet<string> }

/** The same for what has just changed: an address that somebody deleted comes back at once, not with the next round. */
export async function repairChanged(backend: Parts, record: RecordEvent, changed: ChangedAllocations, now: number, signal: AbortSignal): Promise<void> {
  await backend.refresh(signal);
  const ranges = rangesOf(backend);
  for (const { namespace, name } of changed.services.values()) {
    const service = asService(backend.lookup('services', namespace, name));
    if (service && service.metadata.deletionTimestamp === undefined) await repairService(backend, record, ranges, service);
  }
  for (const name of changed.addresses) {
    const object = backend.lookup(ipAddresses, '', name);
    if (object) await repairAddress(backend, record, object, now);
  }
}

/** Whose address this is; undefined when it is no Service's. */
export function serviceOf(address: Readonly<KubeObject>): Owner | undefined {
  const parent = parentOf(address);
  return isService(parent) ? { namespace: parent.namespace ?? '', name: parent.name ?? '' } : undefined;
}

function rangesOf(backend: Parts): AddressRange[] {
  return backend.cached(serviceCidrs).flatMap((object) =>
    ((object.spec ?? {}) as { cidrs?: string[] }).cidrs?.map(parseRange).filter((range) => range !== undefined) ?? []); // validated when it was stored
}

/** The addresses whose objects it made. */
async function repairService(backend: Parts, record: RecordEvent, ranges: readonly AddressRange[], service: Readonly<Service>): Promise<string[]> {
  const repaired: string[] = [];
  const owner: Owner = { namespace: service.metadata.namespace ?? '', name: service.metadata.name ?? '' };
  const where = `${owner.namespace}/${owner.name}`;
  const tell = (reason: string, note: string): Promise<void> => record({ about: asObject(service), kind: 'Service', reason, action: 'ClusterIPAllocation', note });
  for (const address of addressesOf(service)) {
    const family = familyOf(address);
    if (family === undefined) {
      await record({ about: asObject(service), kind: 'Service', reason: 'ClusterIPNotValid', action: 'ClusterIPValidation', note: `Cluster IP ${address} is not a valid IP; please recreate Service` });
      continue;
    }
    if (ranges.length > 0 && !ranges.some((range) => contains(range, address))) {
      await tell('ClusterIPOutOfRange', `Cluster IP [${family}]: ${address} is not within any configured Service CIDR; please recreate service`);
      continue;
    }
    const object = backend.lookup(ipAddresses, '', address);
    if (object === undefined) {
      await tell('ClusterIPNotAllocated', `Cluster IP [${family}]: ${address} is not allocated; repairing`);
      await createAddress(backend, address, family, owner);
      repaired.push(address);
      continue;
    }
    const parent = parentOf(object);
    const other = isService(parent) ? asService(backend.lookup('services', parent.namespace ?? '', parent.name ?? '')) : undefined;
    const isOurs = isService(parent) && parent.namespace === owner.namespace && parent.name === owner.name;
    if (!isOurs && other === undefined) {
      await tell('ClusterIPNotAllocated', `the ClusterIP [${family}]: ${address} for Service ${where} has a wrong reference; repairing`);
      await recreateAddress(backend, object, family, owner);
      repaired.push(address);
    } else if (!isOurs) {
      if (other !== undefined && addressesOf(other).includes(address)) {
        await tell('ClusterIPAlreadyAllocated', `Cluster IP [${family}]:${address} was assigned to multiple services; please recreate service`);
      }
    } else if (!hasLabels(object, family)) {
      await recreateAddress(backend, object, family, owner);
      repaired.push(address);
    }
  }
  return repaired;
}

async function repairAddress(backend: Parts, record: RecordEvent, object: Readonly<KubeObject>, now: number): Promise<void> {
  const { name = '', labels, creationTimestamp } = object.metadata ?? {};
  if (!Object.entries(managedBy).every(([label, value]) => labels?.[label] === value)) return;
  const tell = (reason: string, note: string): Promise<void> => record({ about: object, kind: 'IPAddress', reason, action: 'IPAddressAllocation', note });
  const parent = parentOf(object);
  const age = now - Date.parse(creationTimestamp ?? '');
  if (!isService(parent)) {
    await tell('IPAddressNotAllocated', `IPAddress ${name} appears to have been modified, not referencing a Service ${JSON.stringify(parent)}: cleaning up`);
    return removeAddress(backend, object);
  }
  const where = `${parent.namespace}/${parent.name}`;
  const service = asService(backend.lookup('services', parent.namespace ?? '', parent.name ?? ''));
  if (service === undefined) {
    if (age <= allocationGraceMs) return;
    await tell('IPAddressNotAllocated', `IPAddress: ${name} for Service ${where} appears to have leaked: cleaning up`);
    return removeAddress(backend, object);
  }
  if (service.spec?.clusterIPs?.includes(name)) return;
  // It was taken for a write that is not done yet: the end of an external name, or a create that will find the name taken.
  if (service.spec?.type === 'ExternalName' && age < allocationGraceMs) return;
  if (age < undoneGraceMs) return;
  await tell('IPAddressWrongReference', `IPAddress: ${name} for Service ${where} has a wrong reference; cleaning up`);
  return removeAddress(backend, object);
}

function hasLabels({ metadata }: Readonly<KubeObject>, family: Family): boolean {
  return Object.entries(ipAddressFor('', family, { namespace: '', name: '' }).metadata?.labels ?? {}).every(([label, value]) => metadata?.labels?.[label] === value);
}

async function createAddress(backend: Parts, address: string, family: Family, owner: Owner): Promise<void> {
  log.info('a cluster IP has no IPAddress, making it', { address, ...owner });
  try {
    await backend.store(ipAddresses).create('', ipAddressFor(address, family, owner));
  } catch (error) {
    if (!isAlreadyExists(error)) throw error; // another server repairs too
  }
}

async function removeAddress(backend: Parts, { metadata: { name = '', uid } = {} }: Readonly<KubeObject>): Promise<void> {
  log.info('an IPAddress belongs to no Service, removing it', { address: name });
  try {
    await backend.store(ipAddresses).delete('', name, uid === undefined ? {} : { uid });
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error; // another server repairs too
  }
}

async function recreateAddress(backend: Parts, object: Readonly<KubeObject>, family: Family, owner: Owner): Promise<void> {
  await removeAddress(backend, object);
  await createAddress(backend, object.metadata?.name ?? '', family, owner);
}
