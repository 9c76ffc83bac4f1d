// The ready endpoints of a Service's port, for what the server itself connects to.
import type { EndpointSlice } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';

export interface ServiceEndpoint { host: string; port: number; family: string }

/** `portName` as the Service has it, '' for the only one without a name. */
export function readyEndpoints(backend: Pick<Backend, 'cached'>, namespace: string, service: string, portName: string): ServiceEndpoint[] {
  const slices = (backend.cached('endpointslices.discovery.k8s.io', namespace) as unknown as readonly EndpointSlice[]) // the cache of slices holds slices
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === service);
  return slices.flatMap((slice) => (slice.ports ?? [])
    .filter((one) => one.port !== undefined && (one.name ?? '') === portName)
    .flatMap((one) => (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false)
      .flatMap(({ addresses }) => addresses.map((host) => ({ host, port: one.port ?? 0, family: slice.addressType as string })))));
}
