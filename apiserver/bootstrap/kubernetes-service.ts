// Service default/kubernetes and its Endpoints and EndpointSlice: how pods find the API servers. Each server of an etcd keeps a lease
// of its own there; the endpoints are those whose lease lives. Upstream: pkg/controlplane/reconcilers/lease.go.
import { isDeepStrictEqual } from 'node:util';
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { familyOf } from '#machinery/base/address-range.ts';
import type { Backend } from '../backend.ts';
import { registryPrefix } from '../storage/keys.ts';
import { ensure } from './ensure.ts';

const log = createLogger('bootstrap');
const namespace = 'default';
const name = 'kubernetes';
const leasePrefix = `${registryPrefix}masterleases/`;
/** Renewed every ten seconds; upstream's. */
const leaseSeconds = 15;

export interface Advertised { clusterIp: string; address: string; port: number }

export async function ensureKubernetesService(backend: Backend, { clusterIp, port }: Advertised): Promise<void> {
  const ports = [{ name: 'https', port: 443, protocol: 'TCP', targetPort: port }];
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  await ensure(backend, 'services', {
    apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, labels },
    spec: {
      type: 'ClusterIP', clusterIP: clusterIp, clusterIPs: [clusterIp], ipFamilies: [familyOf(clusterIp) ?? 'IPv4'], ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None', ports,
    },
  }, (object) => {
    const spec = object.spec as Record<string, unknown>; // Services have one
    if (isDeepStrictEqual(spec.ports, ports) && spec.selector === undefined) return false;
    spec.ports = ports;
    delete spec.selector;
    return true;
  });
}

export interface EndpointReconciler {
  /** Renews this server's lease, then makes the endpoints those of all servers that have one. Call it every ten seconds. */
  reconcile(): Promise<void>;
  /** This server is no endpoint any more; `reconcile` does nothing from now on. */
  stop(): Promise<void>;
}

export function createEndpointReconciler(backend: Backend, advertised: () => Advertised): EndpointReconciler {
  const isAlone = backend.storage.engine === 'sqlite'; // the file is locked: a lease would be a write every ten seconds for nobody
  let last: Promise<void> = Promise.resolve();
  let stopping = false;
  let told = false;
  const oneByOne = (work: () => Promise<void>): Promise<void> => {
    const next = last.then(work);
    last = next.catch(() => undefined); // `next` goes to the caller
    return next;
  };
  function isUseful(address: string): boolean {
    if (!address.startsWith('127.') && !['::1', '0.0.0.0', '::'].includes(address)) return true;
    if (!told) log.info('the advertised address is of no use to pods: Service default/kubernetes gets no endpoint of this server', { address });
    told = true;
    return false;
  }

  return {
    reconcile: () => oneByOne(async () => {
      const { address, port } = advertised();
      if (stopping || !isUseful(address)) return;
      if (isAlone) return writeEndpoints(backend, [address], port);
      await renewLease(backend, address);
      const addresses = await leased(backend);
      // Our own was just renewed: without any, something is wrong with the answer.
      if (addresses.length === 0) throw new Error('the store lists no API server at all; the endpoints of Service default/kubernetes stay as they are');
      await writeEndpoints(backend, addresses, port);
    }),
    async stop() {
      stopping = true;
      await oneByOne(async () => {
        const { address, port } = advertised();
        if (isAlone || !isUseful(address)) return;
        await dropLease(backend, address);
        await writeEndpoints(backend, await leased(backend), port);
      });
    },
  };
}

async function renewLease({ storage }: Backend, address: string): Promise<void> {
  const key = leasePrefix + address;
  for (let { value: current } = await storage.get(key); ;) {
    const generation = current ? generationOf(current.value) + 1 : 1;
    const value = Buffer.from(JSON.stringify({ kind: 'Endpoints', apiVersion: 'v1', metadata: { generation }, subsets: [{ addresses: [{ ip: address }] }] }));
    const result = await storage.put(key, value, { expected: current?.modRevision ?? 0n, ttlSeconds: leaseSeconds });
    if (result.ok) return;
    ({ current } = result);
  }
}

async function dropLease({ storage }: Backend, address: string): Promise<void> {
  const key = leasePrefix + address;
  for (let { value } = await storage.get(key); value;) {
    const result = await storage.delete(key, { expected: value.modRevision });
    if (result.ok) return;
    value = result.current;
  }
}

function generationOf(value: Buffer): number {
  try {
    return (JSON.parse(value.toString()) as KubeObject).metadata?.generation ?? 0;
  } catch {
    return 0; // another kind of server wrote it; only the key and its time count
  }
}

/** Keys bear the address. */
async function leased({ storage }: Backend): Promise<string[]> {
  const { items } = await storage.range({ prefix: leasePrefix });
  return items.map(({ key }) => key.slice(leasePrefix.length)).filter((address) => familyOf(address) !== undefined).sort();
}

async function writeEndpoints(backend: Backend, addresses: readonly string[], port: number): Promise<void> {
  const ports = [{ name: 'https', port, protocol: 'TCP' }];
  const subsets = addresses.length === 0 ? [] : [{ addresses: addresses.map((ip) => ({ ip })), ports }];
  const skipMirror = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
  const endpoints = addresses.map((address) => ({ addresses: [address], conditions: { ready: true } }));
  const addressType = addresses.length > 0 && addresses.every((address) => familyOf(address) === 'IPv6') ? 'IPv6' : 'IPv4';
  const slices = 'endpointslices.discovery.k8s.io';
  const standing = backend.lookup(slices, namespace, name);
  if (standing !== undefined && standing.addressType !== addressType && addresses.length > 0) {
    await backend.store(slices).delete(namespace, name).catch((error: unknown) => { // the type never changes
      if (!isNotFound(error)) throw error;
    });
  }
  await Promise.all([
    ensure(backend, 'endpoints', { apiVersion: 'v1', kind: 'Endpoints', metadata: { name, namespace, labels: skipMirror }, subsets },
      (object) => set(object, { subsets })),
    ensure(backend, slices, {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType, endpoints, ports,
    }, (object) => set(object, { endpoints, ports })),
  ]);
}

/** Sets top-level fields that differ. */
function set(object: KubeObject, wanted: Record<string, unknown>): boolean {
  let changed = false;
  for (const [field, value] of Object.entries(wanted)) {
    if (isDeepStrictEqual(object[field], value)) continue;
    object[field] = structuredClone(value);
    changed = true;
  }
  return changed;
}
