// Claims must exist; bound volumes say which nodes reach them; claims whose class waits for a consumer get a volume that the node
// reaches, or one made there. Upstream: plugins/volumebinding. Without CSIStorageCapacity: no driver here publishes it.
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#machinery/api/object.ts';
import { compareQuantities, quantityToNumber } from '#machinery/api/quantity.ts';
import { annotation, capacityOf, claimNameOf, classOfClaim, classOfVolume, findVolume, foreignClaim, isFullyBound, noProvisioner, requestOf, waitsForConsumer, withClaim } from '#machinery/api/volumes.ts';
import { persistentVolumeClaims, persistentVolumes } from '#machinery/client/resources.ts';
import type { Context, FilterStep, Plugin, Rejection, Reservation } from '../plugin.ts';
import { defaultArgs, type VolumeBindingArgs } from '../plugin-args.ts';
import type { PodInfo } from '../pod-info.ts';
import { compileNodeTerm, nodeTermMatches, type NodeTerm } from '../selectors.ts';
import type { NodeInfo } from '../snapshot.ts';

const unboundImmediate = 'pod has unbound immediate PersistentVolumeClaims';
const wrongNode = "node(s) didn't match PersistentVolume's node affinity";
const noVolume = "node(s) didn't find available persistent volumes to bind";
const lostVolume = 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)';

type Claim = Readonly<PersistentVolumeClaim>;
type Volume = Readonly<PersistentVolume>;
/** What one node offers the unbound claims. */
interface Offer { bindings: { claim: Claim; volume: Volume }[]; provisions: Claim[] }

const unresolvable = (...reasons: string[]): Rejection => ({ reasons, resolvable: false });

/** The pod's claims, or why it cannot have them anywhere. */
function claimsOf(pod: PodInfo, context: Context): Claim[] | Rejection {
  const claims: Claim[] = [];
  for (const volume of pod.pod.spec?.volumes ?? []) {
    const name = claimNameOf(pod.pod, volume);
    if (name === undefined) continue;
    const claim = context.claim(pod.namespace, name) as PersistentVolumeClaim | undefined; // from the informer of that resource
    if (!claim) return unresolvable(volume.ephemeral ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"` : `persistentvolumeclaim "${name}" not found`);
    if (claim.status?.phase === 'Lost') return unresolvable(`persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ''}"`);
    if (claim.metadata.deletionTimestamp) return unresolvable(`persistentvolumeclaim "${name}" is being deleted`);
    const foreign = volume.ephemeral ? foreignClaim(pod.pod, claim) : undefined;
    if (foreign !== undefined) return unresolvable(foreign);
    if (!claims.includes(claim)) claims.push(claim);
  }
  return claims;
}

const reach = new WeakMap<Volume, readonly NodeTerm[]>();
function reachable(volume: Volume, node: NodeInfo): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  if (!required) return true;
  let terms = reach.get(volume);
  if (!terms) reach.set(volume, terms = required.nodeSelectorTerms.map((term) => compileNodeTerm(term)));
  return terms.some((term) => nodeTermMatches(term, node.labels, node.name));
}

/** `allowedTopologies` of a class: one term must hold; without any, all nodes will do. */
function topologyAllows(storageClass: StorageClass, node: NodeInfo): boolean {
  const terms = storageClass.allowedTopologies ?? [];
  return terms.length === 0 || terms.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.length > 0 && matchLabelExpressions.every(({ key, values }) => values.includes(node.labels[key] ?? '')));
}

/** Volumes or a provisioner for each of the claims on this node; undefined when one is left without. */
function offerOf(claims: readonly Claim[], node: NodeInfo, context: Context, candidates: ReadonlyMap<string, readonly Volume[]>): Offer | undefined {
  const offer: Offer = { bindings: [], provisions: [] };
  const toProvision: Claim[] = [];
  const chosen = new Set<string>();
  for (const claim of claims) {
    const selected = claim.metadata.annotations?.[annotation.selectedNode] ?? context.promises.nodeOf(claim.metadata.uid ?? '');
    if (selected !== undefined) {
      if (selected !== node.name) return undefined;
      toProvision.push(claim);
      continue;
    }
    const uid = claim.metadata.uid ?? '';
    const taken = (volume: Volume): boolean => {
      const holder = context.promises.claimOf(volume.metadata.name ?? '');
      return chosen.has(volume.metadata.name ?? '') || (holder !== undefined && holder !== uid);
    };
    const volume = findVolume(claim, candidates.get(classOfClaim(claim)) ?? [], { waits: true, taken, reaches: (each) => reachable(each, node) });
    if (volume) {
      chosen.add(volume.metadata.name ?? '');
      offer.bindings.push({ claim, volume });
    } else toProvision.push(claim);
  }
  for (const claim of toProvision) {
    const storageClass = context.storageClass(classOfClaim(claim)) as StorageClass | undefined; // as above
    if (!storageClass?.provisioner || storageClass.provisioner === noProvisioner || !topologyAllows(storageClass, node)) return undefined;
    offer.provisions.push(claim);
  }
  return offer;
}

/** The fuller the volumes would be, the better they fit: per class, then the mean over classes. */
function scoreOf({ bindings }: Offer): number {
  const classes = new Map<string, { wanted: number; has: number }>();
  for (const { claim, volume } of bindings) {
    const sum = classes.get(classOfVolume(volume)) ?? { wanted: 0, has: 0 };
    classes.set(classOfVolume(volume), { wanted: sum.wanted + quantityToNumber(requestOf(claim)), has: sum.has + quantityToNumber(capacityOf(volume)) });
  }
  if (classes.size === 0) return 0;
  let total = 0;
  for (const { wanted, has } of classes.values()) total += has === 0 || wanted > has ? 100 : Math.trunc((wanted * 100) / has);
  return Math.round(total / classes.size);
}

function reserve(pod: PodInfo, node: NodeInfo, offer: Offer, context: Context, bindTimeoutSeconds: number): Reservation {
  const { promises } = context;
  for (const { claim, volume } of offer.bindings) promises.promiseVolume(pod.uid, volume.metadata.name ?? '', claim.metadata.uid ?? '');
  for (const claim of offer.provisions) promises.promiseNode(pod.uid, claim.metadata.uid ?? '', node.name);
  return {
    of: 'VolumeBinding',
    async preBind(client, signal) {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(bindTimeoutSeconds * 1000)]);
      for (const { claim, volume } of offer.bindings) {
        const named = withClaim(volume, claim);
        if (named) await client.update(persistentVolumes, '', volume.metadata.name ?? '', named, bounded);
      }
      for (const claim of offer.provisions) {
        if (claim.metadata.annotations?.[annotation.selectedNode] === node.name) continue;
        const annotations = { ...claim.metadata.annotations, [annotation.selectedNode]: node.name };
        await client.update(persistentVolumeClaims, pod.namespace, claim.metadata.name ?? '', { ...claim, metadata: { ...claim.metadata, annotations } }, bounded);
      }
      const seen = new Set<Claim>(); // claims whose annotation the informer has shown: before that its absence means nothing
      for (;;) {
        const changed = context.volumesChanged(); // from before the look, so that nothing is missed between the two
        if (offer.bindings.every(({ claim }) => boundNow(claim)) && offer.provisions.every((claim) => provisionedNow(claim, seen))) return;
        await orAborted(changed, bounded).catch((error: unknown) => {
          if (signal.aborted) throw error;
          throw new Error('binding volumes: context deadline exceeded', { cause: error });
        });
      }
    },
    undo: () => promises.release(pod.uid),
  };

  function current(claim: Claim): Claim {
    if (!context.pod(pod.namespace, pod.name)) throw new Error(`binding volumes: pod does not exist any more: pod "${pod.name}" not found`);
    const now = context.claim(pod.namespace, claim.metadata.name ?? '') as PersistentVolumeClaim | undefined; // as above
    if (now?.metadata.uid !== claim.metadata.uid || !now) throw new Error(`binding volumes: persistentvolumeclaim "${claim.metadata.name}" not found`);
    return now;
  }
  function boundNow(claim: Claim): boolean {
    return isFullyBound(current(claim));
  }
  function provisionedNow(claim: Claim, seen: Set<Claim>): boolean {
    const now = current(claim);
    const selected = now.metadata.annotations?.[annotation.selectedNode];
    if (selected === node.name) seen.add(claim);
    // The provisioner takes the annotation off when this node will not do.
    else if (seen.has(claim)) throw new Error(`binding volumes: provisioning failed for PVC "${claim.metadata.name}"`);
    if (!isFullyBound(now)) return false;
    const volume = context.volume(now.spec?.volumeName ?? '') as PersistentVolume | undefined; // as above
    if (!volume) return false;
    const at = context.snapshot.node(node.name);
    if (at && !reachable(volume, at)) throw new Error(`binding volumes: pv "${volume.metadata.name}" node affinity doesn't match node "${node.name}": no matching NodeSelectorTerms`);
    return true;
  }
}

/** Settles with the promise, or rejects when the signal aborts first; leaves no listener behind. */
async function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => stopped.reject(signal.reason as Error);
  signal.addEventListener('abort', stop);
  try {
    await Promise.race([promise, stopped.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

export function createVolumeBinding({ bindTimeoutSeconds }: VolumeBindingArgs): Plugin {
  return {
    name: 'VolumeBinding',
    points: ['reserve', 'preBind'],
    wakes: ['Volume', 'NodeAdd', 'NodeLabel'],
    prepareFilter(pod, context) {
      const claims = claimsOf(pod, context);
      if (!Array.isArray(claims)) return claims as Rejection; // readonly arrays are arrays
      if (claims.length === 0) return undefined;
      const bound: (Volume | undefined)[] = [];
      const waiting: Claim[] = [];
      for (const claim of claims) {
        if (isFullyBound(claim)) bound.push(context.volume(claim.spec?.volumeName ?? '') as PersistentVolume | undefined); // as above
        else if (!claim.spec?.volumeName && waitsForConsumer(context.storageClass(classOfClaim(claim)) as StorageClass | undefined)) waiting.push(claim); // as above
        else return unresolvable(unboundImmediate);
      }
      // Small ones first, so that they leave the large volumes to those who need them.
      waiting.sort((a, b) => compareQuantities(requestOf(a), requestOf(b)));
      const candidates = new Map<string, readonly Volume[]>();
      for (const claim of waiting) {
        const name = classOfClaim(claim);
        if (!candidates.has(name)) candidates.set(name, context.volumesOfClass(name) as readonly unknown[] as readonly Volume[]); // as above
      }
      const offers = new Map<string, Offer>();
      const step: FilterStep = {
        filter(node) {
          const reasons: string[] = [];
          // The first volume that is gone ends the look at the bound ones.
          for (const volume of bound) {
            if (volume && reachable(volume, node)) continue;
            reasons.push(volume ? wrongNode : lostVolume);
            break;
          }
          if (waiting.length > 0) {
            const offer = offerOf(waiting, node, context, candidates);
            if (!offer) reasons.splice(reasons[0] === wrongNode ? 1 : 0, 0, noVolume);
            else if (reasons.length === 0) offers.set(node.name, offer);
          }
          return reasons.length > 0 ? unresolvable(...reasons) : undefined;
        },
        score: (node) => scoreOf(offers.get(node.name) ?? { bindings: [], provisions: [] }),
        reserve(node) {
          const offer = offers.get(node.name);
          return offer && offer.bindings.length + offer.provisions.length > 0 ? reserve(pod, node, offer, context, bindTimeoutSeconds) : undefined;
        },
      };
      return step;
    },
  };
}
export const volumeBinding = createVolumeBinding(defaultArgs.VolumeBinding);
