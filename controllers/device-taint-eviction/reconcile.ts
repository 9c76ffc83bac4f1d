// When pods have to leave devices with NoExecute taints, without I/O. Upstream: pkg/controller/devicetainteviction. Taints come from
// ResourceSlices; DeviceTaintRules are not served.
import type { ObjectMeta, Pod } from '#machinery/api/object.ts';

export interface DeviceTaint { key: string; value?: string; effect: string; timeAdded?: string }
export interface DeviceToleration { key?: string; operator?: string; value?: string; effect?: string; tolerationSeconds?: number }
export interface ResourceSlice { metadata: ObjectMeta; spec: { driver: string; pool: { name: string; generation: number }; devices?: { name: string; taints?: DeviceTaint[] }[] } }
export interface ResourceClaim {
  metadata: ObjectMeta;
  status?: {
    allocation?: { devices?: { results?: { driver: string; pool: string; device: string; tolerations?: DeviceToleration[] }[] } };
    reservedFor?: { resource: string; name: string; uid: string }[];
  };
}

export const poolKey = (driver: string, pool: string): string => `${driver}/${pool}`;

/** Taints of a device as the newest slices of its pool have them. */
function taintsOf(device: string, slices: readonly ResourceSlice[]): DeviceTaint[] {
  const newest = Math.max(...slices.map(({ spec }) => spec.pool.generation));
  return slices.filter(({ spec }) => spec.pool.generation === newest).flatMap(({ spec }) => spec.devices?.find(({ name }) => name === device)?.taints ?? []);
}

function tolerates({ key = '', operator = 'Equal', value = '', effect = '' }: DeviceToleration, taint: DeviceTaint): boolean {
  if (effect !== '' && effect !== taint.effect) return false;
  if (key === '' ? operator !== 'Exists' : key !== taint.key) return false;
  return operator === 'Exists' || (operator === 'Equal' && value === (taint.value ?? ''));
}

/** Milliseconds since the epoch when users of the claim have to leave; Infinity: never. */
export function evictionTime({ status }: ResourceClaim, slicesOf: (driver: string, pool: string) => readonly ResourceSlice[], now: number): number {
  let when = Infinity;
  for (const { driver, pool, device, tolerations = [] } of status?.allocation?.devices?.results ?? []) {
    for (const taint of taintsOf(device, slicesOf(driver, pool)).filter(({ effect }) => effect === 'NoExecute')) {
      const matching = tolerations.filter((toleration) => toleration.effect === 'NoExecute' && tolerates(toleration, taint));
      if (matching.some(({ tolerationSeconds }) => tolerationSeconds === undefined)) continue;
      const seconds = matching.length === 0 ? 0 : Math.max(0, Math.min(...matching.map(({ tolerationSeconds = 0 }) => tolerationSeconds)));
      when = Math.min(when, (Date.parse(taint.timeAdded ?? '') || now) + seconds * 1000);
    }
  }
  return when;
}

/** Names of the claims that a pod has: its own, and those made for it. */
export function claimsOf({ spec, status }: Pod): string[] {
  return (spec?.resourceClaims ?? []).flatMap(({ name, resourceClaimName }) => resourceClaimName ?? status?.resourceClaimStatuses?.find((each) => each.name === name)?.resourceClaimName ?? []);
}
export function isReservedFor({ metadata }: Pod, { status }: ResourceClaim): boolean {
  return status?.reservedFor?.some(({ resource, uid }) => resource === 'pods' && uid === metadata.uid) ?? false;
}
