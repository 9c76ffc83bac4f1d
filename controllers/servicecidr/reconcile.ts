// Which ServiceCIDRs a change concerns, and whether one may go. Upstream: pkg/controller/servicecidrs.
import type { IPAddress, ServiceCIDR } from '#machinery/api/object.ts';
import { contains, covers, overlap, parseRange, type AddressRange } from '#machinery/base/address-range.ts';

export const finalizer = 'networking.k8s.io/service-cidr-finalizer';
/** API servers may still give out addresses of a ServiceCIDR that began to go away: word of it takes its time. */
export const deletionGraceMs = 10_000;

export interface ReadyCondition { status: 'True' | 'False'; reason: string; message: string }
export const ready: ReadyCondition = { status: 'True', reason: '', message: 'Kubernetes Service CIDR is ready' };
export const blocked: ReadyCondition = {
  status: 'False', reason: 'Terminating',
  message: 'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR',
};

export function rangesOf(cidr: Readonly<ServiceCIDR>): AddressRange[] {
  return (cidr.spec?.cidrs ?? []).flatMap((text) => parseRange(text) ?? []);
}

/** Names of those that share addresses with it: when it comes, they may go. */
export function overlapping(cidr: Readonly<ServiceCIDR>, all: readonly Readonly<ServiceCIDR>[]): string[] {
  const own = rangesOf(cidr);
  return all.filter((other) => rangesOf(other).some((range) => own.some((one) => overlap(one, range)))).map(nameOf);
}

/** Names of those that an address of the API server's allocators belongs to; others' addresses hold nothing back. */
export function containing(address: Readonly<IPAddress>, all: readonly Readonly<ServiceCIDR>[]): string[] {
  if (address.metadata.labels?.['ipaddress.kubernetes.io/managed-by'] !== 'ipallocator.k8s.io') return [];
  return all.filter((cidr) => rangesOf(cidr).some((range) => contains(range, address.metadata.name ?? ''))).map(nameOf);
}

/** Every address in use would still belong to another ServiceCIDR. */
export function mayGo(cidr: Readonly<ServiceCIDR>, all: readonly Readonly<ServiceCIDR>[], addresses: readonly Readonly<IPAddress>[]): boolean {
  const others = all.filter((other) => nameOf(other) !== nameOf(cidr)).flatMap(rangesOf);
  if (rangesOf(cidr).every((range) => others.some((other) => covers(other, range)))) return true;
  return !addresses.some((address) => {
    const owners = containing(address, all);
    return owners.length === 1 && owners[0] === nameOf(cidr);
  });
}

export function isConditionCurrent(cidr: Readonly<ServiceCIDR>, { status, reason, message }: ReadyCondition): boolean {
  const current = cidr.status?.conditions?.find(({ type }) => type === 'Ready');
  return current !== undefined && current.status === status && (current.reason ?? '') === reason && (current.message ?? '') === message;
}

const nameOf = ({ metadata }: Readonly<ServiceCIDR>): string => metadata.name ?? '';
