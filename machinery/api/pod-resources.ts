// What a pod asks for as a whole: containers and sidecars add up, an init container needs its own beside the sidecars before it.
// Upstream: component-helpers/resource/helpers.go.
import type { Container, ContainerStatus, Pod } from './object.ts';
import type { Quantity } from './quantity.ts';
import { addTo, nothing, raiseTo, readResourceList } from './resource-list.ts';
import type { ResourceList } from './resource-list.ts';

export type ResourceKind = 'requests' | 'limits';
export interface PodResourcesOptions {
  /** While a resize is under way the larger of what is asked for and what the node gives counts. */
  withStatus?: boolean;
  withOverhead?: boolean;
  /** Which of the pod's own resources (spec.resources) stand in for the sum of its containers. */
  isPodLevel?: (name: string) => boolean;
}

export const isPodLevelResource = (name: string): boolean => name === 'cpu' || name === 'memory' || name.startsWith('hugepages-');

/** The pod as a whole says what it needs, so its containers need not. */
export function hasPodLevelResources({ spec }: Readonly<Pod>): boolean {
  return [spec?.resources?.requests, spec?.resources?.limits].some((list) => Object.keys(list ?? {}).some(isPodLevelResource));
}

export function podResources(pod: Readonly<Pod>, kind: ResourceKind, options: PodResourcesOptions = {}): Map<string, Quantity> {
  const { spec, status } = pod;
  const infeasible = options.withStatus === true && (status?.conditions?.some(({ type, reason }) => type === 'PodResizePending' && reason === 'Infeasible') ?? false);
  const of = (container: Container, statuses: readonly ContainerStatus[] | undefined): ResourceList => {
    const asked = readResourceList(container.resources?.[kind]);
    const own = options.withStatus ? statuses?.find(({ name }) => name === container.name) : undefined;
    if (!own?.resources) return asked;
    return effective(asked, readResourceList(own.resources[kind]), kind === 'requests' ? readResourceList(own.allocatedResources) : nothing, infeasible);
  };

  const sum = new Map<string, Quantity>();
  for (const container of spec?.containers ?? []) addTo(sum, of(container, status?.containerStatuses));
  const sidecars = new Map<string, Quantity>();
  const peak = new Map<string, Quantity>();
  for (const container of spec?.initContainers ?? []) {
    const sidecar = container.restartPolicy === 'Always';
    const own = of(container, sidecar ? status?.initContainerStatuses : undefined);
    if (sidecar) {
      addTo(sum, own);
      addTo(sidecars, own);
      raiseTo(peak, sidecars);
    } else {
      const moment = new Map(own);
      addTo(moment, sidecars);
      raiseTo(peak, moment);
    }
  }
  raiseTo(sum, peak);

  const asked = readResourceList(spec?.resources?.[kind]);
  let podLevel: ResourceList = asked;
  const given = status?.resources?.[kind];
  if (options.withStatus && status?.resources) podLevel = effective(asked, readResourceList(given), kind === 'requests' ? readResourceList(status.allocatedResources) : nothing, infeasible);
  for (const name of asked.keys()) {
    const quantity = podLevel.get(name);
    if (quantity && (options.isPodLevel ?? isPodLevelResource)(name)) sum.set(name, quantity);
  }
  if (options.withOverhead && spec?.overhead) addOverhead(sum, readResourceList(spec.overhead), kind);
  return sum;
}

/** What a resize that cannot be done asks for does not count. */
function effective(asked: ResourceList, actuated: ResourceList, allocated: ResourceList, infeasible: boolean): Map<string, Quantity> {
  const most = new Map(actuated);
  raiseTo(most, allocated);
  if (!infeasible) raiseTo(most, asked);
  return most;
}

function addOverhead(sum: Map<string, Quantity>, overhead: ResourceList, kind: ResourceKind): void {
  // What is not limited stays without a limit.
  addTo(sum, kind === 'requests' ? overhead : new Map([...overhead].filter(([name]) => (sum.get(name)?.nanos ?? 0n) !== 0n)));
}
