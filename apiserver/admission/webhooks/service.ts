// Where a Service is reached: one of its ready endpoints, as upstream with --enable-aggregator-routing. Unlike the cluster IP that
// works without a service proxy on this machine, as with hollow nodes. Upstream: apiserver/pkg/util/proxy.
import type { Service } from '#machinery/api/object.ts';
import { notFound, serviceUnavailable } from '#machinery/api/status.ts';
import type { Backend } from '../../backend.ts';
import { readyEndpoints } from '../../handlers/service-endpoints.ts';

export interface Address { host: string; port: number }

/** Throws with upstream's texts. */
export function resolveService(backend: Pick<Backend, 'lookup' | 'cached'>, namespace: string, name: string, port: number): Address {
  const service = backend.lookup('services', namespace, name) as unknown as Service | undefined; // the cache of services holds Services
  if (!service) throw notFound({ group: '', resource: 'service' }, name);
  const { type = 'ClusterIP', ports = [], ipFamilies = [] } = service.spec ?? {};
  if (type === 'ExternalName') throw new Error(`unsupported service type ${JSON.stringify(type)}`);
  const found = ports.find((one) => one.port === port);
  if (!found) throw serviceUnavailable(`no service port ${port} found for service ${JSON.stringify(name)}`);
  const addresses = readyEndpoints(backend, namespace, name, found.name ?? '');
  const first = addresses.filter(({ family }) => family === (ipFamilies[0] ?? family));
  const candidates = first.length > 0 ? first : addresses;
  const chosen = candidates[Math.floor(Math.random() * candidates.length)];
  if (!chosen) throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  return { host: chosen.host, port: chosen.port };
}
