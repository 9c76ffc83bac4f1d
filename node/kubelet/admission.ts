// What the node itself refuses although the scheduler chose it. Upstream: lifecycle/predicate.go.
import type { Node, Pod } from '#machinery/api/object.ts';
import { parseQuantity } from '#machinery/api/quantity.ts';
import { initContainers, isSidecar, podUid, regularContainers } from './container-spec.ts';

type Amounts = Map<string, bigint>;
const add = (to: Amounts, requests: Record<string, string> | undefined): void => {
  for (const [name, text] of Object.entries(requests ?? {})) to.set(name, (to.get(name) ?? 0n) + parseQuantity(text).nanos);
};

/** Containers and sidecars together, or the largest init container beside the sidecars before it; and the overhead. */
export function podRequests(pod: Pod): Amounts {
  const total: Amounts = new Map();
  for (const container of regularContainers(pod)) add(total, container.resources?.requests);
  const sidecars: Amounts = new Map();
  const peak: Amounts = new Map();
  for (const container of initContainers(pod)) {
    const now: Amounts = new Map(sidecars);
    add(now, container.resources?.requests);
    if (isSidecar(container)) {
      add(total, container.resources?.requests);
      add(sidecars, container.resources?.requests);
    }
    for (const [name, value] of now) if (value > (peak.get(name) ?? 0n)) peak.set(name, value);
  }
  for (const [name, value] of peak) if (value > (total.get(name) ?? 0n)) total.set(name, value);
  add(total, pod.spec?.overhead);
  return total;
}

const billion = 1_000_000_000n;
/** CPU in thousandths, everything else whole, rounded up, as the texts show them. */
const shown = (resource: string, nanos: bigint): bigint => (resource === 'cpu' ? (nanos + 999_999n) / 1_000_000n : (nanos + billion - 1n) / billion);

/**
 * The pods that a new one has to fit beside: what the API knows and the node still works on. Upstream: filterOutInactivePods. One that was deleted
 * by force is the scheduler's to replace at once; one that was refused never took anything.
 */
export function activePods(known: readonly Pod[], workerOf: (uid: string) => { stage: string; rejected: boolean } | undefined): Pod[] {
  return known.filter((pod) => {
    const worker = workerOf(podUid(pod));
    return worker !== undefined && !worker.rejected && worker.stage !== 'terminated' && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed';
  });
}

/** example.com/gadget: what an administrator or a device plugin wrote into the Node's status. */
export const isExtended = (resource: string): boolean => resource.includes('/') && !/(^|\.)kubernetes\.io\//.test(resource);

/** Undefined when the pod may run beside `others`. What the Node says it has goes before `measured`. */
export function refusal(pod: Pod, others: readonly Pod[], measured: Readonly<Record<string, string>>, node: Node | undefined): { reason: string; message: string } | undefined {
  const allocatable: Readonly<Record<string, string>> = { ...measured, ...node?.status?.allocatable };
  const podLimit = BigInt(allocatable.pods ?? '110');
  if (BigInt(others.length) + 1n > podLimit) {
    return { reason: 'OutOfpods', message: `Node didn't have enough resource: pods, requested: 1, used: ${others.length}, capacity: ${podLimit}` };
  }
  const used: Amounts = new Map();
  for (const other of others) for (const [name, value] of podRequests(other)) used.set(name, (used.get(name) ?? 0n) + value);
  for (const [name, wanted] of podRequests(pod)) {
    if (wanted === 0n || (isExtended(name) && allocatable[name] === undefined)) continue; // the latter is nobody's to hold back here (removeMissingExtendedResources)
    const capacity = parseQuantity(allocatable[name] ?? '0').nanos;
    const taken = used.get(name) ?? 0n;
    if (taken + wanted > capacity) {
      return { reason: `OutOf${name}`, message: `Node didn't have enough resource: ${name}, requested: ${shown(name, wanted)}, used: ${shown(name, taken)}, capacity: ${shown(name, capacity)}` };
    }
  }
  const labels = node?.metadata.labels ?? {};
  if (node && Object.entries(pod.spec?.nodeSelector ?? {}).some(([key, value]) => labels[key] !== value)) {
    return { reason: 'NodeAffinity', message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" };
  }
  const ports = (one: Pod): string[] => regularContainers(one).flatMap((container) => (container.ports ?? []).flatMap((port) => (port.hostPort ? [`${port.protocol ?? 'TCP'} ${port.hostIP && port.hostIP !== '0.0.0.0' ? port.hostIP : '*'} ${port.hostPort}`] : [])));
  const clash = (a: string, b: string): boolean => {
    const [protocol, ip, port] = a.split(' ');
    const [otherProtocol, otherIp, otherPort] = b.split(' ');
    return protocol === otherProtocol && port === otherPort && (ip === otherIp || ip === '*' || otherIp === '*');
  };
  const takenPorts = others.flatMap(ports);
  if (ports(pod).some((port) => takenPorts.some((other) => clash(port, other)))) {
    return { reason: 'NodePorts', message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" };
  }
  return undefined;
}
