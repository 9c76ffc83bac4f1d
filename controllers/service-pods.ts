// Which pods stand behind a Service, and on which ports: shared by Endpoints and EndpointSlices.
// Upstream: staging/src/k8s.io/endpointslice/util.
import type { Pod, Service, ServicePort } from '#machinery/api/object.ts';
import type { Change, Informer } from '#machinery/client/types.ts';
import { keyOf } from '#machinery/client/types.ts';
import { isReady, isTerminal, sameMap, sameValue } from './pods.ts';

/** Services of type ExternalName and those without a selector are somebody else's. */
export function isSelecting(service: Service): boolean {
  return service.spec?.type !== 'ExternalName' && service.spec?.selector !== undefined && service.spec.selector !== null;
}
/** As upstream's selector of a map: an empty one matches every pod. */
export function selects(service: Service, labels: Record<string, string> | undefined): boolean {
  return isSelecting(service) && Object.entries(service.spec?.selector ?? {}).every(([key, value]) => labels?.[key] === value);
}
export function podsOf(service: Service, pods: Informer<Pod>): Pod[] {
  return pods.list(service.metadata.namespace).filter((pod) => selects(service, pod.metadata.labels));
}
export function ipsOf(pod: Pod): string[] {
  const ips = (pod.status?.podIPs ?? []).map(({ ip }) => ip).filter(Boolean);
  return ips.length > 0 ? ips : pod.status?.podIP ? [pod.status.podIP] : [];
}
export function belongs(pod: Pod, withTerminating: boolean): boolean {
  return !isTerminal(pod) && ipsOf(pod).length > 0 && (withTerminating || pod.metadata.deletionTimestamp === undefined);
}
export function isHeadless(service: Service): boolean {
  return !service.spec?.clusterIP || service.spec.clusterIP === 'None';
}
/** The pod's own name in DNS, when it asks for one below this service. */
export function hostnameOf(pod: Pod, service: Service): string | undefined {
  return pod.spec?.hostname && pod.spec.subdomain === service.metadata.name && pod.metadata.namespace === service.metadata.namespace ? pod.spec.hostname : undefined;
}

/** The number behind targetPort: itself, or the container port of that name and protocol; undefined when there is none. */
export function targetPort(pod: Pod, port: ServicePort): number | undefined {
  const wanted = port.targetPort ?? port.port;
  if (typeof wanted === 'number') return wanted === 0 ? port.port : wanted;
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const { ports } of [...(pod.spec?.containers ?? []), ...sidecars]) {
    for (const each of ports ?? []) if (each.name === wanted && (each.protocol ?? 'TCP') === (port.protocol ?? 'TCP')) return each.containerPort;
  }
  return undefined;
}

/** Keys of the services that a change of a pod can concern: none for a change that no endpoint shows. */
export function servicesTouched(change: Change<Pod>, services: Informer<Service>): string[] {
  const { object } = change;
  const old = change.type === 'updated' ? change.old : undefined;
  if (old && !shows(old, object)) return [];
  return services.list(object.metadata.namespace)
    .filter((service) => selects(service, object.metadata.labels) || (old && selects(service, old.metadata.labels)))
    .map(keyOf);
}
function shows(a: Pod, b: Pod): boolean {
  return !sameMap(a.metadata.labels, b.metadata.labels) || a.metadata.deletionTimestamp !== b.metadata.deletionTimestamp
    || isReady(a) !== isReady(b) || isTerminal(a) !== isTerminal(b) || !sameValue(ipsOf(a), ipsOf(b))
    || a.spec?.nodeName !== b.spec?.nodeName || a.spec?.hostname !== b.spec?.hostname || a.spec?.subdomain !== b.spec?.subdomain;
}

/** Remembers per service what was last the cause of a change, and tells a newer one: the annotation last-change-trigger-time. */
export function createTriggerTimes(): { next(key: string, service: Service, pods: readonly Pod[]): string | undefined; forget(key: string): void } {
  const last = new Map<string, number>();
  return {
    next(key, service, pods) {
      const times = pods.map((pod) => Date.parse(String(pod.status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime ?? '')));
      const newest = Math.max(0, Date.parse(service.metadata.creationTimestamp ?? '') || 0, ...times.filter((time) => !Number.isNaN(time)));
      const before = last.get(key) ?? 0;
      if (newest <= before) return undefined;
      last.set(key, newest);
      return new Date(newest).toISOString().replace(/\.000Z$/, 'Z');
    },
    forget: (key) => void last.delete(key),
  };
}
export const triggerKey = 'endpoints.kubernetes.io/last-change-trigger-time';
