// Cluster IPs. Each address in use is an IPAddress object named after it, as upstream's MultiCIDRServiceAllocator keeps
// them: creating the object takes the address, and the store lets only one succeed, however many API servers there are.
import { randomInt } from 'node:crypto';
import type { KubeObject } from '#machinery/api/object.ts';
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import { addressToNumber, contains, numberToAddress, parseRange, type AddressRange, type Family } from '#machinery/base/address-range.ts';
import type { Backend } from '../backend.ts';

export const ipAddresses = 'ipaddresses.networking.k8s.io';
export const serviceCidrs = 'servicecidrs.networking.k8s.io';
export const defaultServiceCidr = 'kubernetes';
export const managedBy = { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' } as const;
/** A write that was begun this long ago is over: longer than any request lives. */
export const allocationGraceMs = 60_000;

/** An address that cannot be had; texts are upstream's. */
export class AllocationError extends Error {
  override name = 'AllocationError';
}
/** No free address is left. */
export class RangeFullError extends AllocationError {
  override name = 'RangeFullError';
}

export interface Owner { namespace: string; name: string }

export interface ClusterIps {
  /** The families of the configured ranges, the default one first. */
  readonly families: readonly Family[];
  /** Takes this very address. False: it is this owner's already (left behind by a write that was cut off); do not release it. */
  take(address: string, owner: Owner, dryRun: boolean): Promise<boolean>;
  takeAny(family: Family, owner: Owner, dryRun: boolean): Promise<string>;
  /** Idempotent. */
  release(address: string): Promise<void>;
  /** The first usable address of the default range: Service default/kubernetes. */
  firstAddress(): string;
}

/** `cidrs`: comma separated, the default first. Throws on what is not a range, or two of one family. */
export function createClusterIps(cidrs: string, backend: Pick<Backend, 'store' | 'lookup' | 'cached'>): ClusterIps {
  const configured = cidrs.split(',').map((cidr) => {
    const range = parseRange(cidr);
    if (range === undefined) throw new Error(`--service-cluster-ip-range: "${cidr}" is not a CIDR`);
    return range;
  });
  const families = [...new Set(configured.map((range) => range.family))];
  if (configured.length > families.length) throw new Error(`--service-cluster-ip-range takes one range, or one of each IP family, not ${cidrs}`);

  /** Those of the ServiceCIDRs that are ready; until the default one is stored, the configured ones. */
  function ranges(): AddressRange[] {
    const found = new Map<string, AddressRange>();
    if (backend.lookup(serviceCidrs, '', defaultServiceCidr) === undefined) for (const range of configured) found.set(range.cidr, range);
    for (const object of backend.cached(serviceCidrs)) {
      if (!isUsable(object)) continue;
      const { cidrs: more = [] } = (object.spec ?? {}) as { cidrs?: string[] }; // validated when it was stored
      for (const cidr of more) {
        const range = parseRange(cidr);
        if (range !== undefined && !found.has(range.cidr)) found.set(range.cidr, range);
      }
    }
    return [...found.values()];
  }

  async function create(address: string, family: Family, owner: Owner): Promise<boolean> {
    try {
      await backend.store(ipAddresses).create('', ipAddressFor(address, family, owner));
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) return false;
      throw error;
    }
  }
  /**
   * A server that died between the two writes left it, and no other request can be at it any more. Service kubernetes does not
   * wait that long: its creators agree on everything, and none of them gives the address back.
   */
  async function isLeftFor(address: string, owner: Owner): Promise<boolean> {
    try {
      const { metadata, spec } = await backend.store(ipAddresses).get('', address);
      const parent = (spec as { parentRef?: { resource?: string; namespace?: string; name?: string } } | undefined)?.parentRef;
      if (parent?.resource !== 'services' || parent.namespace !== owner.namespace || parent.name !== owner.name) return false;
      return isApiService(owner) || Date.parse(metadata.creationTimestamp ?? '') < Date.now() - allocationGraceMs;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** A free address between the two, looked for from a random one on; undefined when all are in use. */
  async function takeBetween(from: bigint, to: bigint, family: Family, owner: Owner): Promise<string | undefined> {
    const size = to - from + 1n;
    if (size <= 0n) return undefined;
    const start = BigInt(randomInt(Number(size > 281_474_976_710_655n ? 281_474_976_710_655n : size)));
    for (let step = 0n; step < size; step++) {
      const address = numberToAddress(from + ((start + step) % size), family);
      if (backend.lookup(ipAddresses, '', address) !== undefined) continue;
      if (await create(address, family, owner)) return address;
    }
    return undefined;
  }

  return {
    families,
    async take(address, owner, dryRun) {
      const range = ranges().find((one) => contains(one, address));
      if (range === undefined) throw new AllocationError('the provided network does not match the current range');
      const canonical = numberToAddress(addressToNumber(address), range.family);
      if (dryRun) return true; // as upstream: what is free now may be taken by then
      if (await create(canonical, range.family, owner)) return !isApiService(owner);
      if (await isLeftFor(canonical, owner)) return false;
      throw new AllocationError('provided IP is already allocated');
    },
    async takeAny(family, owner, dryRun) {
      const usable = ranges().filter((range) => range.family === family);
      const [first] = usable;
      if (dryRun && first !== undefined) return numberToAddress(first.network, family); // as upstream: looking for a free one would promise nothing
      for (const range of usable) {
        const dynamic = range.first + staticBand(range);
        const address = await takeBetween(dynamic, range.last, family, owner) ?? await takeBetween(range.first, dynamic - 1n < range.last ? dynamic - 1n : range.last, family, owner);
        if (address !== undefined) return address;
      }
      throw new RangeFullError('range is full');
    },
    async release(address) {
      try {
        await backend.store(ipAddresses).delete('', address);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    },
    firstAddress() {
      const [range] = configured;
      return range === undefined ? '' : numberToAddress(range.first, range.family);
    },
  };
}

/** How many of the lowest addresses are left to those who ask by number, until the rest is full. KEP 3070. */
export function staticBand({ network, end }: AddressRange): bigint {
  const size = end - network + 1n;
  if (size <= 16n) return 0n;
  const share = size / 16n;
  return share < 16n ? 16n : share > 256n ? 256n : share;
}

function isApiService({ namespace, name }: Owner): boolean {
  return namespace === 'default' && name === 'kubernetes';
}

/** The default one counts from the start; others once their controller has taken them in. */
function isUsable(object: Readonly<KubeObject>): boolean {
  if (object.metadata?.deletionTimestamp !== undefined) return false;
  const { conditions = [] } = (object.status ?? {}) as { conditions?: { type: string; status: string }[] }; // validated when it was stored
  const ready = conditions.find(({ type }) => type === 'Ready')?.status;
  return ready === 'True' || (ready === undefined && object.metadata?.name === defaultServiceCidr);
}

/** The object that marks an address as taken; `address` is canonical. */
export function ipAddressFor(address: string, family: Family, { namespace, name }: Owner): KubeObject {
  return {
    apiVersion: 'networking.k8s.io/v1', kind: 'IPAddress',
    metadata: { name: address, labels: { 'ipaddress.kubernetes.io/ip-family': family, ...managedBy } },
    spec: { parentRef: { group: '', resource: 'services', namespace, name } },
  };
}
