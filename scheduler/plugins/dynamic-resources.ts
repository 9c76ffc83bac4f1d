// Claims for devices: a pod goes where those that its claims ask for are free, or where they are already; the claims are written before
// it is bound. Upstream: plugins/dynamicresources with structured parameters.
import type { Pod, ResourceClaim } from '#machinery/api/object.ts';
import { canBeReserved, claimFinalizer, claimsOfPod, isClaimOf, isReservedFor } from '#machinery/api/resource-claims.ts';
import { isConflict, StatusError } from '#machinery/api/status.ts';
import { sleep } from '#machinery/base/clock.ts';
import { resourceClaims } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import type { Allocation, Devices } from '../devices.ts';
import type { Plugin, Rejection, Relief, Reservation } from '../plugin.ts';
import type { NodeInfo } from '../snapshot.ts';

const reject = (reason: string): Rejection => ({ reasons: [reason], resolvable: false });
const noneFree = reject('cannot allocate all claims');
const elsewhere = reject('resourceclaim not available on the node');
const attempts = 4;
const askAgainMs = 500;

/** Why a pod cannot be tried yet, whatever the node; undefined: it can. Upstream asks before a pod enters the queue. */
export function claimsMissing(pod: Pod, devices: Devices): string | undefined {
  const found = claimsFor(pod, devices);
  return typeof found === 'string' ? found : undefined;
}

function claimsFor(pod: Pod, devices: Devices): ResourceClaim[] | string {
  if (!devices.tools) return 'resource claims are not known yet';
  const claims: ResourceClaim[] = [];
  for (const { claimName, generated } of claimsOfPod(pod)) {
    if (claimName === '') continue; // needs none after all
    const name = pod.metadata.name ?? '';
    if (claimName === undefined) return `pod "${pod.metadata.namespace ?? ''}/${name}": ResourceClaim not created yet`;
    const claim = devices.claim(pod.metadata.namespace ?? '', claimName);
    if (!claim) return `resourceclaim "${claimName}" not found`;
    if (claim.metadata.deletionTimestamp) return `resourceclaim "${claimName}" is being deleted`;
    if (generated && !isClaimOf(claim, pod)) return `ResourceClaim ${claim.metadata.namespace ?? ''}/${claimName} was not created for pod ${pod.metadata.namespace ?? ''}/${name} (pod is not owner)`;
    claims.push(claim);
  }
  return claims;
}

/** A class that is not there keeps a pod waiting, whatever the nodes have. */
function missingClass({ spec }: ResourceClaim, devices: Devices): string | undefined {
  for (const { name, exactly, firstAvailable } of spec.devices?.requests ?? []) {
    for (const [request, deviceClass] of exactly ? [[name, exactly.deviceClassName] as const] : (firstAvailable ?? []).map((sub) => [`${name}/${sub.name}`, sub.deviceClassName] as const)) {
      if (!devices.classOf(deviceClass)) return `request ${request}: device class ${deviceClass} does not exist`;
    }
  }
  return undefined;
}

export const dynamicResources: Plugin = {
  name: 'DynamicResources',
  points: ['reserve', 'preBind'],
  wakes: ['NodeAdd', 'NodeLabel', 'NodeAllocatable', 'Device', 'OwnUpdate'],
  prepareFilter({ pod }, { devices }) {
    if (!pod.spec?.resourceClaims?.length) return undefined;
    const claims = claimsFor(pod, devices);
    const { tools } = devices;
    if (typeof claims === 'string' || !tools) return reject(String(claims));
    if (claims.length === 0) return undefined;
    const open: ResourceClaim[] = [];
    for (const claim of claims) {
      const { namespace = '', name = '', uid = '' } = claim.metadata;
      if (claim.status?.allocation) {
        if (!canBeReserved(claim) && !isReservedFor(claim, pod)) return reject('resourceclaim in use');
        continue;
      }
      if (devices.isPromised(uid)) return reject(`resource claim ${namespace}/${name} is in the process of being allocated`);
      const missing = missingClass(claim, devices);
      if (missing) return reject(missing);
      open.push(claim);
    }
    const inUse = devices.inUse();
    const byNode = new Map<string, Allocation[]>();
    let inTheWay: ResourceClaim | undefined;
    return {
      filter(node: NodeInfo) {
        const far = claims.find(({ status }) => status?.allocation?.nodeSelector && !tools.matchesNode(status.allocation.nodeSelector, node));
        if (far) {
          if (far.status?.reservedFor?.every(({ uid }) => uid === pod.metadata.uid) ?? true) inTheWay = far;
          return elsewhere;
        }
        if (open.length === 0) return undefined;
        try {
          const allocations = tools.allocateDevices({ claims: open, node, slices: devices.slices(), classOf: (name) => devices.classOf(name), inUse });
          if (!allocations) return noneFree;
          byNode.set(node.name, allocations);
          return undefined;
        } catch (error) {
          return reject(error instanceof Error ? error.message : String(error));
        }
      },
      // Devices on a node that has no room for the pod keep it from all others, and nobody else uses them.
      relieve: () => inTheWay && deallocation(inTheWay),
      reserve: ({ name }) => hold(pod, claims, new Map(open.map((claim, i) => [claim.metadata.uid ?? '', byNode.get(name)?.[i]])), devices),
    };
  },
};

function hold(pod: Pod, claims: readonly ResourceClaim[], allocations: ReadonlyMap<string, Allocation | undefined>, devices: Devices): Reservation {
  for (const [uid, allocation] of allocations) if (allocation) devices.promise(uid, allocation);
  return {
    of: 'DynamicResources',
    async preBind(client, signal) {
      for (const claim of claims) {
        const { uid = '' } = claim.metadata;
        try {
          await writeClaim(client, claim, allocations.get(uid), pod, signal);
        } catch (error) {
          // Without an answer the devices may be taken: nobody else gets them before that is known.
          if (!(error instanceof StatusError) && await isAllocated(client, claim, signal)) devices.written(uid);
          throw error;
        }
        devices.written(uid);
      }
    },
    undo() {
      for (const uid of allocations.keys()) devices.takeBack(uid);
    },
  };
}

function deallocation(claim: ResourceClaim): Relief {
  return async (client, signal) => {
    const { allocation: _, reservedFor: __, ...status } = claim.status ?? {};
    await client.update(resourceClaims, claim.metadata.namespace ?? '', claim.metadata.name ?? '', { ...claim, status }, signal, { subresource: 'status' });
  };
}

/** What the API server has of it, as soon as it says. */
async function isAllocated(client: Client, { metadata: { namespace = '', name = '', uid } }: ResourceClaim, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    try {
      const now = await client.get(resourceClaims, namespace, name, signal);
      return now.metadata.uid === uid && now.status?.allocation !== undefined;
    } catch (error) {
      if (error instanceof StatusError || signal.aborted) return false;
      await sleep(askAgainMs, signal).catch(() => undefined); // seen in the next round
    }
  }
}

/** Allocation and reservation; what others changed meanwhile is read again. */
async function writeClaim(client: Client, claim: ResourceClaim, allocation: Allocation | undefined, pod: Pod, signal: AbortSignal): Promise<void> {
  const { namespace = '', name = '' } = claim.metadata;
  let now = claim;
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (now.metadata.deletionTimestamp || now.metadata.uid !== claim.metadata.uid) throw new Error(`claim ${namespace}/${name} got deleted in the meantime`);
      if (allocation && now.status?.allocation) throw new Error(`claim ${namespace}/${name} got allocated elsewhere in the meantime`);
      if (!allocation && !now.status?.allocation) throw new Error(`claim ${namespace}/${name} got deallocated elsewhere in the meantime`);
      if (isReservedFor(now, pod)) return;
      if (allocation && !now.metadata.finalizers?.includes(claimFinalizer)) {
        now = await client.update(resourceClaims, namespace, name, { ...now, metadata: { ...now.metadata, finalizers: [...now.metadata.finalizers ?? [], claimFinalizer] } }, signal);
      }
      const reservedFor = [...now.status?.reservedFor ?? [], { resource: 'pods', name: pod.metadata.name, uid: pod.metadata.uid }];
      await client.update(resourceClaims, namespace, name, { ...now, status: { ...now.status, ...(allocation ? { allocation } : {}), reservedFor } }, signal, { subresource: 'status' });
      return;
    } catch (error) {
      if (!isConflict(error) || attempt === attempts) throw error;
      now = await client.get(resourceClaims, namespace, name, signal);
    }
  }
}
