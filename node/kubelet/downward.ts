// What a pod can be told about itself: fields for variables and files, and resources of its containers.
import type { Container, Pod } from '#machinery/api/object.ts';
import { parseQuantity } from '#machinery/api/quantity.ts';
import { allContainers } from './container-spec.ts';

export interface Addresses { podIps: string[]; hostIp: string; nodeName: string }

/** Lines key="value" sorted by key, quoted as Go does. */
export function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([key, value]) => `${key}=${goQuote(value)}`).join('\n');
}
function goQuote(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return `"${text.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n').replace(/\t/g, '\\t').replace(/\r/g, '\\r').replace(/[\u0000-\u001f\u007f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`;
}

/** Undefined for a field that cannot be asked for. */
export function fieldValue(pod: Pod, path: string, addresses: Addresses): string | undefined {
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (subscript) return pod.metadata[subscript[1] as 'labels' | 'annotations']?.[subscript[2] ?? ''] ?? ''; // the pattern admits only these two
  switch (path) {
    case 'metadata.name': return pod.metadata.name ?? '';
    case 'metadata.namespace': return pod.metadata.namespace ?? '';
    case 'metadata.uid': return pod.metadata.uid ?? '';
    case 'metadata.labels': return formatMap(pod.metadata.labels);
    case 'metadata.annotations': return formatMap(pod.metadata.annotations);
    case 'spec.nodeName': return addresses.nodeName;
    case 'spec.serviceAccountName': return pod.spec?.serviceAccountName ?? '';
    case 'status.hostIP': case 'status.hostIPs': return addresses.hostIp;
    case 'status.podIP': return addresses.podIps[0] ?? '';
    case 'status.podIPs': return addresses.podIps.join(',');
    default: return undefined;
  }
}

/** Limits that are not set fall back to what the node can give. */
export function resourceValue(pod: Pod, container: Container | undefined, reference: { resource: string; divisor?: string; containerName?: string }, allocatable: Readonly<Record<string, string>>): string {
  const target = reference.containerName ? allContainers(pod).find(({ name }) => name === reference.containerName) : container;
  if (!target) throw new Error(`container ${reference.containerName ?? ''} not found`);
  const match = /^(limits|requests)\.(.+)$/.exec(reference.resource);
  const [, kind, resource = ''] = match ?? [];
  if (!kind || !/^(cpu|memory|ephemeral-storage|hugepages-.+)$/.test(resource)) throw new Error(`unsupported container resource : ${reference.resource}`);
  const text = kind === 'limits' ? target.resources?.limits?.[resource] ?? (resource.startsWith('hugepages-') ? '0' : allocatable[resource] ?? '0') : target.resources?.requests?.[resource] ?? '0';
  const divisor = reference.divisor && !/^0+$/.test(reference.divisor) ? reference.divisor : '1';
  const value = parseQuantity(text).nanos;
  const by = parseQuantity(divisor).nanos;
  return String((value + by - 1n) / by); // rounded up
}
