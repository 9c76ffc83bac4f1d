// ResourceClaims under quotas: their number, and devices by class at their most. Extended resources that a device class stands for are
// not counted. Upstream: pkg/quota/v1/evaluator/core/resource_claims.go.
import type * as k8s from '@kubernetes/client-node';
import type { Wire } from '../object.ts';
import { quantityOfInteger } from '../quantity.ts';
import type { Evaluator } from './evaluators.ts';

const byClass = '.deviceclass.resource.k8s.io/devices';
/** A claim cannot get more. */
const allDevices = 32;

interface DeviceRequest { deviceClassName: string; allocationMode?: string; count?: number }

export const deviceClaimEvaluator: Evaluator = {
  id: 'resourceclaims.resource.k8s.io', countsOnly: false,
  measures: (name) => name === 'count/resourceclaims.resource.k8s.io' || name.endsWith(byClass),
  usage(object) {
    const { spec } = object as unknown as Wire<k8s.ResourceV1ResourceClaim>; // asked about resource claims only
    const devices = new Map<string, number>();
    for (const { exactly, firstAvailable } of spec.devices?.requests ?? []) {
      // Of alternatives one will be taken: the most of each class counts.
      const most = new Map<string, number>();
      for (const request of firstAvailable?.length ? firstAvailable : exactly ? [exactly] : []) {
        most.set(request.deviceClassName, Math.max(most.get(request.deviceClassName) ?? 0, countOf(request)));
      }
      for (const [name, count] of most) devices.set(name, (devices.get(name) ?? 0) + count);
    }
    return new Map([['count/resourceclaims.resource.k8s.io', quantityOfInteger(1)], ...[...devices].map(([name, count]) => [`${name}${byClass}`, quantityOfInteger(count)] as const)]);
  },
  matchesScope: () => false,
  handles: (operation, subresource) => subresource === '' && (operation === 'CREATE' || operation === 'UPDATE'),
};

function countOf({ allocationMode, count }: DeviceRequest): number {
  return allocationMode === 'ExactCount' ? count ?? 0 : allocationMode === 'All' ? allDevices : 0;
}
