// What a Service gets from the cluster: IP families, cluster IPs, node ports, a health check port. Called around the write
// of a Service; what was taken is given back when the write does not happen. Upstream: registry/core/service/storage/alloc.go.
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject, Service } from '#machinery/api/object.ts';
import { internalError, invalid, type FieldError } from '#machinery/api/status.ts';
import { familyOf } from '#machinery/base/address-range.ts';
import type { ServerDeps } from '../backend.ts';
import type { Reservation, Strategy, WriteContext } from '../resources/resource.ts';
import { AllocationError, createClusterIps, RangeFullError, type ClusterIps, type Owner } from './cluster-ips.ts';
import { createNodePortAllocation, createNodePorts, portsOf, type NodePorts } from './node-ports.ts';

const log = createLogger('allocators');

export interface ServiceAllocator {
  /** For Strategy.allocate of Services. Changes the object in place; throws StatusError. */
  allocate: NonNullable<Strategy['allocate']>;
  readonly clusterIps: ClusterIps;
  readonly nodePorts: NodePorts;
}

type Spec = NonNullable<Service['spec']>;

export function createServiceAllocator(deps: Pick<ServerDeps, 'config' | 'backend' | 'signal'>): ServiceAllocator {
  const clusterIps = createClusterIps(deps.config.serviceClusterIpRange, deps.backend);
  const ports = createNodePortAllocation(deps.config.serviceNodePortRange, deps.backend);
  const nodePorts = createNodePorts(deps.config.serviceNodePortRange, ports);

  async function allocate(object: KubeObject | undefined, old: Readonly<KubeObject> | undefined, context: WriteContext): Promise<Reservation | undefined> {
    // Rows of services hold Services.
    const service = object as unknown as Service | undefined;
    const before = old as unknown as Readonly<Service> | undefined;
    if (service === undefined) return before === undefined ? undefined : forDelete(before, clusterIps, nodePorts);
    const spec = (service.spec ??= {});
    const transaction = createTransaction(clusterIps, nodePorts, ownerOf(service), context.dryRun);
    try {
      if (before !== undefined) keepAllocated(spec, before.spec ?? {});
      syncClusterIps(spec, before?.spec);
      initFamilies(service, before?.spec, clusterIps);
      await allocateAddresses(service, before?.spec, transaction);
      await allocatePorts(service, before, transaction);
      await allocateHealthPort(service, before?.spec, transaction);
      if (before !== undefined) {
        const kept = new Set(portsOf(service));
        transaction.releasePortsLater(portsOf(before).filter((port) => !kept.has(port)));
      }
    } catch (error) {
      await transaction.release();
      throw error;
    }
    return transaction;
  }
  return { allocate, clusterIps, nodePorts };
}

interface Transaction extends Reservation {
  takeAddress(address: string): Promise<void>;
  takeAnyAddress(family: 'IPv4' | 'IPv6'): Promise<string>;
  takePort(port: number): Promise<void>;
  takeAnyPort(): Promise<number>;
  /** Given back when the write has happened. */
  releaseLater(address: string): void;
  releasePortsLater(ports: readonly number[]): void;
}

function createTransaction(clusterIps: ClusterIps, nodePorts: NodePorts, owner: Owner, dryRun: boolean): Transaction {
  const addresses: string[] = [];
  const ports: number[] = [];
  const leaving: string[] = [];
  const leavingPorts: number[] = [];
  return {
    async takeAddress(address) {
      if ((await clusterIps.take(address, owner, dryRun)) && !dryRun) addresses.push(address);
    },
    async takeAnyAddress(family) {
      const address = await clusterIps.takeAny(family, owner, dryRun);
      if (!dryRun) addresses.push(address);
      return address;
    },
    async takePort(port) {
      if (dryRun && ports.includes(port)) throw new AllocationError('provided port is already allocated');
      await nodePorts.take(port, dryRun);
      ports.push(port);
    },
    async takeAnyPort() {
      const port = await nodePorts.takeAny(dryRun, dryRun ? ports : []);
      ports.push(port);
      return port;
    },
    releaseLater(address) {
      leaving.push(address);
    },
    releasePortsLater(gone) {
      leavingPorts.push(...gone);
    },
    async commit() {
      if (!dryRun) await settle([nodePorts.release(leavingPorts), ...leaving.map((address) => clusterIps.release(address))], owner);
    },
    async release() {
      if (!dryRun) await settle([nodePorts.release(ports), ...addresses.map((address) => clusterIps.release(address))], owner);
    },
  };
}

function forDelete(service: Readonly<Service>, clusterIps: ClusterIps, nodePorts: NodePorts): Reservation {
  const addresses = service.spec?.type === 'ExternalName' ? [] : (service.spec?.clusterIPs ?? []).filter((address) => address !== 'None' && address !== '');
  return {
    async commit() {
      await settle([nodePorts.release(portsOf(service)), ...addresses.map((address) => clusterIps.release(address))], ownerOf(service));
    },
    async release() {},
  };
}

/** The answer stands whatever happens here; what is left behind is taken back by the repair. */
async function settle(work: readonly Promise<void>[], { namespace, name }: Owner): Promise<void> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') log.error('giving back what a Service had failed', { namespace, name, error: result.reason });
  }
}

const ownerOf = ({ metadata }: Readonly<Service>): Owner => ({ namespace: metadata.namespace ?? '', name: metadata.name ?? '' });
const needsClusterIp = (spec: Readonly<Spec>): boolean => spec.type !== 'ExternalName';
const needsNodePorts = (spec: Readonly<Spec>): boolean =>
  spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);
const mayHaveNodePorts = (spec: Readonly<Spec>): boolean => spec.type === 'NodePort' || spec.type === 'LoadBalancer';
const needsHealthPort = (spec: Readonly<Spec> | undefined): boolean => spec?.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
const sameList = (a: readonly string[] = [], b: readonly string[] = []): boolean => a.length === b.length && a.every((value, index) => value === b[index]);

/** What a client left out of an update stays as it was allocated (patchAllocatedValues). */
function keepAllocated(spec: Spec, old: Readonly<Spec>): void {
  if (needsClusterIp(old) && needsClusterIp(spec)) {
    if (!spec.clusterIP && old.clusterIP) spec.clusterIP = old.clusterIP;
    if (!spec.clusterIPs?.length && old.clusterIPs?.length) spec.clusterIPs = [...old.clusterIPs];
  }
  if (needsNodePorts(old) && needsNodePorts(spec)) {
    const now = new Set((spec.ports ?? []).map((port) => port.nodePort));
    const shared = new Set((old.ports ?? []).flatMap(({ nodePort }) => (nodePort && now.has(nodePort) ? [nodePort] : [])));
    const byName = new Map((old.ports ?? []).map((port) => [port.name ?? '', port.nodePort]));
    for (const port of spec.ports ?? []) {
      const known = byName.get(port.name ?? '');
      if (!port.nodePort && known && !shared.has(known)) port.nodePort = known;
    }
  }
  if (needsHealthPort(old) && needsHealthPort(spec) && !spec.healthCheckNodePort && old.healthCheckNodePort) spec.healthCheckNodePort = old.healthCheckNodePort;
}

/** clusterIP and clusterIPs mean the same; clients may set or clear only one (normalizeClusterIPs). */
function syncClusterIps(spec: Spec, old: Readonly<Spec> | undefined): void {
  if (old === undefined) {
    if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  if (old.clusterIPs?.length && !spec.clusterIPs?.length && old.clusterIP === spec.clusterIP) spec.clusterIPs = [...old.clusterIPs];
  if ((old.clusterIP ?? '') === (spec.clusterIP ?? '') || !sameList(old.clusterIPs, spec.clusterIPs)) return;
  if (!spec.clusterIP) delete spec.clusterIPs;
  else spec.clusterIPs = [spec.clusterIP];
}

/** A cluster that became dual stack changes no Service by itself: somebody has to ask, by another policy or a second family. */
function isUntouchedPreference(spec: Readonly<Spec>, old: Readonly<Spec> | undefined): boolean {
  return old !== undefined && spec.ipFamilyPolicy === 'PreferDualStack' && (old.ipFamilyPolicy ?? 'PreferDualStack') === 'PreferDualStack'
    && old.type === spec.type && sameList(old.clusterIPs, spec.clusterIPs) && sameList(old.ipFamilies, spec.ipFamilies);
}

function initFamilies(service: Service, old: Readonly<Spec> | undefined, { families }: ClusterIps): void {
  const spec = service.spec ?? {};
  if (!needsClusterIp(spec) || isUntouchedPreference(spec, old)) return;
  const headless = spec.clusterIP === 'None';
  const selectorless = Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= old?.ipFamilyPolicy ?? (headless && selectorless ? 'RequireDualStack' : 'SingleStack');
  const errors = relatedFieldErrors(spec);
  if (errors.length > 0) throw refuse(service, errors);

  if (old !== undefined && needsClusterIp(old)) {
    if (spec.ipFamilyPolicy === 'SingleStack') {
      if (sameList(old.clusterIPs, spec.clusterIPs) && (spec.clusterIPs?.length ?? 0) > 1) spec.clusterIPs = spec.clusterIPs?.slice(0, 1);
      if (sameList(old.ipFamilies, spec.ipFamilies) && (spec.ipFamilies?.length ?? 0) > 1) spec.ipFamilies = spec.ipFamilies?.slice(0, 1);
    } else {
      const policy = { type: 'Invalid', field: 'spec.ipFamilyPolicy', value: spec.ipFamilyPolicy } as const;
      if (spec.clusterIPs?.length && spec.clusterIPs.length < (old.clusterIPs?.length ?? 0)) errors.push({ ...policy, detail: "must be 'SingleStack' to release the secondary cluster IP" });
      if (spec.ipFamilies?.length && spec.ipFamilies.length < (old.ipFamilies?.length ?? 0)) errors.push({ ...policy, detail: "must be 'SingleStack' to release the secondary IP family" });
    }
  }
  if (spec.ipFamilyPolicy === 'SingleStack') {
    const policy = { type: 'Invalid', field: 'spec.ipFamilyPolicy', value: spec.ipFamilyPolicy } as const;
    const detail = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
    if (spec.clusterIPs?.length === 2) errors.push({ ...policy, detail: `${detail} cluster IPs are specified` });
    if (spec.ipFamilies?.length === 2) errors.push({ ...policy, detail: `${detail} IP families are specified` });
  }
  const chosen = [...(spec.ipFamilies ?? [])];
  for (const [index, address] of (spec.clusterIPs ?? []).entries()) {
    const family = familyOf(address);
    if (family === undefined || index < chosen.length) continue;
    if (!families.includes(family)) errors.push({ type: 'Invalid', field: `spec.clusterIPs[${index}]`, value: spec.clusterIPs, detail: `${family} is not configured on this cluster` });
    else chosen.push(family);
  }
  if (errors.length > 0) throw refuse(service, errors);
  spec.ipFamilies = chosen;

  const other = (family: string | undefined): string => (family === 'IPv4' ? 'IPv6' : 'IPv4');
  if (headless && selectorless) {
    // Such a Service only names endpoints made by hand; they may be of any family.
    if (chosen.length === 0) chosen.push(families[0] ?? 'IPv4');
    if (chosen.length < 2 && spec.ipFamilyPolicy !== 'SingleStack') chosen.push(other(chosen[0]));
    return;
  }
  if (spec.ipFamilyPolicy === 'RequireDualStack' && families.length < 2) {
    errors.push({ type: 'Invalid', field: 'spec.ipFamilyPolicy', value: spec.ipFamilyPolicy, detail: 'this cluster is not configured for dual-stack services' });
  }
  for (const [index, family] of chosen.entries()) {
    if (!families.some((one) => one === family)) errors.push({ type: 'Invalid', field: `spec.ipFamilies[${index}]`, value: family, detail: 'not configured on this cluster' });
  }
  if (errors.length > 0) throw refuse(service, errors);
  if (chosen.length === 0) chosen.push(families[0] ?? 'IPv4');
  if (spec.ipFamilyPolicy !== 'SingleStack' && chosen.length === 1 && families.length === 2) chosen.push(other(chosen[0]));
}

/** The checks that the steps below rely on; validation says the same again (ValidateServiceClusterIPsRelatedFields). */
function relatedFieldErrors(spec: Readonly<Spec>): FieldError[] {
  const errors: FieldError[] = [];
  const addresses = spec.clusterIPs ?? [];
  if (spec.clusterIP) {
    if (addresses.length === 0) errors.push({ type: 'Required', field: 'spec.clusterIPs' });
    else if (addresses[0] !== spec.clusterIP) errors.push({ type: 'Invalid', field: 'spec.clusterIPs', value: addresses, detail: 'first value must match `clusterIP`' });
  } else if (addresses.length > 0) errors.push({ type: 'Invalid', field: 'spec.clusterIPs', value: addresses, detail: 'must be empty when `clusterIP` is not specified' });
  for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
    if (family !== 'IPv4' && family !== 'IPv6') errors.push({ type: 'NotSupported', field: `spec.ipFamilies[${index}]`, value: family, detail: 'supported values: "IPv4", "IPv6"' });
    else if (spec.ipFamilies?.indexOf(family) !== index) errors.push({ type: 'Duplicate', field: `spec.ipFamilies[${index}]`, value: family });
  }
  if (!['SingleStack', 'PreferDualStack', 'RequireDualStack'].includes(spec.ipFamilyPolicy ?? '')) {
    errors.push({ type: 'NotSupported', field: 'spec.ipFamilyPolicy', value: spec.ipFamilyPolicy, detail: 'supported values: "PreferDualStack", "RequireDualStack", "SingleStack"' });
  }
  let malformed = false;
  for (const [index, address] of addresses.entries()) {
    if (index === 0 && address === 'None') {
      if (addresses.length > 1) errors.push({ type: 'Invalid', field: 'spec.clusterIPs', value: addresses, detail: "'None' must be the first and only value" });
    } else if (familyOf(address) === undefined) {
      malformed = true;
      errors.push({ type: 'Invalid', field: `spec.clusterIPs[${index}]`, value: address, detail: 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)' });
    }
  }
  if (addresses.length > 2) errors.push({ type: 'Invalid', field: 'spec.clusterIPs', value: addresses, detail: 'may only hold up to 2 values' });
  if (malformed) return errors;
  if (addresses.length > 1 && new Set(addresses.map(familyOf)).size < addresses.length) {
    errors.push({ type: 'Invalid', field: 'spec.clusterIPs', value: addresses, detail: 'may specify no more than one IP for each IP family' });
  }
  for (const [index, address] of addresses.entries()) {
    const family = spec.ipFamilies?.[index];
    const actual = familyOf(address);
    if (family === undefined || actual === undefined || family === actual) continue;
    errors.push({ type: 'Invalid', field: `spec.clusterIPs[${index}]`, value: address, detail: `expected an ${family} value as indicated by \`ipFamilies[${index}]\`` });
  }
  return errors;
}

async function allocateAddresses(service: Service, old: Readonly<Spec> | undefined, transaction: Transaction): Promise<void> {
  const spec = service.spec ?? {};
  const held = old === undefined || !needsClusterIp(old) ? [] : old.clusterIPs ?? [];
  if (!needsClusterIp(spec)) {
    for (const address of held) if (address !== 'None') transaction.releaseLater(address);
    return;
  }
  if (held[0] === 'None' || spec.clusterIPs?.[0] === 'None') return;
  const families = spec.ipFamilies ?? [];
  // Later families than wanted now are given up; validation keeps the first address as it is.
  for (const address of held.slice(families.length)) transaction.releaseLater(address);
  const addresses = [...(spec.clusterIPs ?? [])];
  for (const [index, family] of families.entries()) {
    const wanted = addresses[index];
    if (index < held.length) continue;
    try {
      if (wanted) await transaction.takeAddress(wanted);
      else addresses[index] = await transaction.takeAnyAddress(family === 'IPv6' ? 'IPv6' : 'IPv4');
    } catch (error) {
      if (error instanceof RangeFullError) throw internalError(`failed to allocate a serviceIP for Service ${JSON.stringify(service.metadata.name ?? '')}: ${error.message}`);
      if (!(error instanceof AllocationError)) throw error;
      const detail = `failed to allocate IP${wanted ? ` ${wanted}` : ''}: ${error.message}`;
      throw refuse(service, [{ type: 'Invalid', field: 'spec.clusterIPs', value: wanted ? spec.clusterIPs : addresses, detail }]);
    }
  }
  spec.clusterIPs = addresses;
  if (addresses[0] !== undefined) spec.clusterIP = addresses[0];
}

async function allocatePorts(service: Service, before: Readonly<Service> | undefined, transaction: Transaction): Promise<void> {
  const spec = service.spec ?? {};
  if (!mayHaveNodePorts(spec)) return;
  const mine = new Set(before === undefined ? [] : (before.spec?.ports ?? []).flatMap(({ nodePort }) => (nodePort ? [nodePort] : [])));
  const byPort = new Map<number, number>();
  const take = async (port: number, index: number): Promise<void> => {
    if (mine.has(port)) return;
    try {
      await transaction.takePort(port);
    } catch (error) {
      if (!(error instanceof AllocationError)) throw error;
      throw refuse(service, [{ type: 'Invalid', field: `spec.ports[${index}].nodePort`, value: port, detail: error.message }]);
    }
    mine.add(port);
  };
  const ports = spec.ports ?? [];
  for (const [index, port] of ports.entries()) {
    if (!port.nodePort && !needsNodePorts(spec)) continue;
    // On create, one number serves TCP and UDP of the same service port.
    const shared = before === undefined ? byPort.get(port.port) ?? ports.find((one) => one.port === port.port && one.nodePort)?.nodePort : undefined;
    port.nodePort ||= shared ?? 0;
    if (port.nodePort) await take(port.nodePort, index);
    else {
      port.nodePort = await anyPort('failed to allocate a nodePort', transaction);
      mine.add(port.nodePort);
    }
    if (!byPort.has(port.port)) byPort.set(port.port, port.nodePort);
  }
}

async function allocateHealthPort(service: Service, old: Readonly<Spec> | undefined, transaction: Transaction): Promise<void> {
  const spec = service.spec ?? {};
  if (!needsHealthPort(spec) || needsHealthPort(old)) return;
  const wanted = spec.healthCheckNodePort;
  if (!wanted) {
    spec.healthCheckNodePort = await anyPort('failed to allocate a HealthCheck NodePort 0', transaction);
    return;
  }
  try {
    await transaction.takePort(wanted);
  } catch (error) {
    if (!(error instanceof AllocationError)) throw error;
    throw internalError(`failed to allocate requested HealthCheck NodePort ${wanted}: ${error.message}`);
  }
}

async function anyPort(what: string, transaction: Transaction): Promise<number> {
  try {
    return await transaction.takeAnyPort();
  } catch (error) {
    if (!(error instanceof AllocationError)) throw error;
    throw internalError(`${what}: ${error.message}`);
  }
}

function refuse(service: Service, errors: readonly FieldError[]): ReturnType<typeof invalid> {
  return invalid({ group: '', kind: 'Service' }, service.metadata.name ?? '', errors);
}
