// Which claims for devices a pod has, and who uses a claim. Upstream: k8s.io/dynamic-resource-allocation/resourceclaim.
import type { Pod, ResourceClaim } from './object.ts';
import { controllerOf } from './object.ts';

/** Keeps a claim while its devices are allocated. */
export const claimFinalizer = 'resource.kubernetes.io/delete-protection';
/** So many pods may share a claim. */
const mostUsers = 256;

export interface PodClaim {
  /** In the pod's spec. */
  readonly name: string;
  /** undefined: not made yet; '': the pod needs none after all. */
  readonly claimName: string | undefined;
  /** Made from a template: it has to belong to the pod. */
  readonly generated: boolean;
}

export function claimsOfPod({ spec, status }: Pod): PodClaim[] {
  return (spec?.resourceClaims ?? []).map(({ name, resourceClaimName }) => {
    if (resourceClaimName !== undefined) return { name, claimName: resourceClaimName, generated: false };
    const made = status?.resourceClaimStatuses?.find((entry) => entry.name === name);
    return { name, claimName: made && (made.resourceClaimName ?? ''), generated: true };
  });
}

export function isClaimOf(claim: ResourceClaim, pod: Pod): boolean {
  return claim.metadata.namespace === pod.metadata.namespace && controllerOf(claim)?.uid === pod.metadata.uid;
}
export function isReservedFor(claim: ResourceClaim, pod: Pod): boolean {
  return claim.status?.reservedFor?.some(({ uid }) => uid === pod.metadata.uid) ?? false;
}
export function canBeReserved(claim: ResourceClaim): boolean {
  return (claim.status?.reservedFor?.length ?? 0) < mostUsers;
}
