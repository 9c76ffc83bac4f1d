// Claims for devices: made from templates for the pods that name them, reserved for pods that were given a node by others than the
// scheduler, let go when no pod uses them any more, removed when they were made for a pod that is done. Upstream: pkg/controller/resourceclaim.
import { controllerOf, type Pod, type ResourceClaim } from '#machinery/api/object.ts';
import { canBeReserved, claimFinalizer, claimsOfPod, isClaimOf, isReservedFor } from '#machinery/api/resource-claims.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { pods, resourceClaims, resourceClaimTemplates } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isTerminal } from '../pods.ts';

const annotation = 'resource.kubernetes.io/pod-claim-name';
/** A name leaves room for what the API server adds. */
const longestBase = 57;

/** It will not run (any more). */
function isDone(pod: Pod): boolean {
  return isTerminal(pod) || (pod.metadata.deletionTimestamp !== undefined && !pod.spec?.nodeName);
}

/** Base of the name of a claim that is made for a pod; both parts are cut when they are too long together. */
export function baseName(pod: string, claim: string): string {
  const whole = `${pod}-${claim}-`;
  if (whole.length <= longestBase) return whole;
  const share = (text: string): string => text.slice(0, Math.trunc((text.length * longestBase) / whole.length));
  return `${share(pod)}-${share(claim)}`;
}

export function createResourceClaimController({ informers, clientFor, recorderFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'resource_claim' });
  const account = 'resource-claim-controller';
  const client = clientFor(account);
  const recorder = recorderFor('resource_claim', account);
  const allPods = informers.for(pods);
  const claims = informers.for(resourceClaims);
  const templates = informers.for(resourceClaimTemplates);
  /** Names of claims that were made and are not seen yet, so that none is made twice. */
  const fresh = new Map<string, string>();
  const freshKey = (podUid = '', podClaim = ''): string => `${podUid} ${podClaim}`;

  allPods.addIndex('claim template', (pod) => (pod.spec?.resourceClaims ?? []).flatMap(({ resourceClaimTemplateName: name }) => (name ? [`${pod.metadata.namespace}/${name}`] : [])));
  allPods.addIndex('resource claim of', (pod) => claimsOfPod(pod).flatMap(({ claimName }) => (claimName ? [`${pod.metadata.namespace}/${claimName}`] : [])));
  claims.addIndex('owner', (claim) => [controllerOf(claim)?.uid ?? '']);
  claims.addIndex('user', ({ status }) => (status?.reservedFor ?? []).map(({ uid }) => uid));

  const lookAtClaims = (pod: Pod): void => {
    const uid = pod.metadata.uid ?? '';
    for (const claim of [...claims.byIndex('user', uid), ...claims.byIndex('owner', uid)]) queue.add(`claim:${keyOf(claim)}`);
  };
  allPods.onChange(({ type, object }) => {
    if (!object.spec?.resourceClaims?.length) return;
    if (type === 'deleted') for (const { name } of object.spec.resourceClaims) fresh.delete(freshKey(object.metadata.uid, name));
    if (type === 'deleted' || isDone(object)) lookAtClaims(object);
    else queue.add(`pod:${keyOf(object)}`);
  });
  claims.onChange(({ type, object }) => {
    fresh.delete(freshKey(controllerOf(object)?.uid, object.metadata.annotations?.[annotation]));
    if (type !== 'deleted') queue.add(`claim:${keyOf(object)}`);
    const owner = controllerOf(object);
    if (owner?.kind === 'Pod') queue.add(`pod:${object.metadata.namespace}/${owner.name}`); // makes it again when it went too early
    for (const pod of allPods.byIndex('resource claim of', keyOf(object))) if (pod.spec?.nodeName) queue.add(`pod:${keyOf(pod)}`);
  });
  templates.onChange(({ type, object }) => {
    if (type !== 'deleted') for (const pod of allPods.byIndex('claim template', keyOf(object))) queue.add(`pod:${keyOf(pod)}`);
  });

  /** The name of the pod's claim, which is made when it is not there. */
  async function ensureClaim(pod: Pod, name: string, templateName: string, signal: AbortSignal): Promise<string> {
    const namespace = pod.metadata.namespace ?? '';
    const key = freshKey(pod.metadata.uid, name);
    const known = fresh.get(key) ?? claims.byIndex('owner', pod.metadata.uid ?? '').find((claim) => claim.metadata.annotations?.[annotation] === name && isClaimOf(claim, pod))?.metadata.name;
    if (known !== undefined) return known;
    const template = templates.get(namespace, templateName);
    if (!template) throw new Error(`resource claim template "${templateName}": resourceclaimtemplate.resource.k8s.io "${templateName}" not found`);
    const { metadata, spec } = template.spec;
    const made = await client.create(resourceClaims, namespace, {
      apiVersion: 'resource.k8s.io/v1', kind: 'ResourceClaim',
      metadata: {
        generateName: baseName(pod.metadata.name ?? '', name), annotations: { ...metadata?.annotations, [annotation]: name }, ...(metadata?.labels ? { labels: metadata.labels } : {}),
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name ?? '', uid: pod.metadata.uid ?? '', controller: true }],
      },
      spec,
    }, signal);
    const madeName = made.metadata.name ?? '';
    if (!claims.get(namespace, madeName)) fresh.set(key, madeName);
    return madeName;
  }

  async function lookAtPod(pod: Pod, signal: AbortSignal): Promise<void> {
    if (pod.metadata.deletionTimestamp) return;
    const namespace = pod.metadata.namespace ?? '';
    const names = new Map((pod.status?.resourceClaimStatuses ?? []).map(({ name, resourceClaimName }) => [name, resourceClaimName]));
    let changed = false;
    for (const { name, resourceClaimTemplateName } of pod.spec?.resourceClaims ?? []) {
      const known = names.get(name);
      if (resourceClaimTemplateName === undefined || (names.has(name) && !known)) continue;
      const claim = known === undefined ? undefined : claims.get(namespace, known);
      if (known !== undefined && (fresh.get(freshKey(pod.metadata.uid, name)) === known || (claim && isClaimOf(claim, pod)))) continue;
      try {
        names.set(name, await ensureClaim(pod, name, resourceClaimTemplateName, signal));
        changed = true;
      } catch (error) {
        if (signal.aborted) throw error;
        const message = `PodResourceClaim ${name}: ${error instanceof Error ? error.message : String(error)}`;
        recorder.event({ apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata }, 'Warning', 'FailedResourceClaimCreation', message);
        throw new Error(`pod ${keyOf(pod)}, ${message}`, { cause: error });
      }
    }
    if (changed) {
      const resourceClaimStatuses = [...names].map(([name, resourceClaimName]) => ({ name, ...(resourceClaimName === undefined ? {} : { resourceClaimName }) }));
      await client.patch(pods, namespace, pod.metadata.name ?? '', 'strategic', { metadata: { uid: pod.metadata.uid }, status: { resourceClaimStatuses } }, signal, { subresource: 'status' });
    }
    if (pod.spec?.nodeName) await reserveAll(pod, signal); // else the scheduler does
  }

  async function reserveAll(pod: Pod, signal: AbortSignal): Promise<void> {
    const namespace = pod.metadata.namespace ?? '';
    for (const { claimName, generated } of claimsOfPod(pod)) {
      const claim = claimName ? claims.get(namespace, claimName) : undefined;
      if (!claim?.status?.allocation || (generated && !isClaimOf(claim, pod)) || isReservedFor(claim, pod) || !canBeReserved(claim)) continue;
      const reservedFor = [...claim.status.reservedFor ?? [], { resource: 'pods', name: pod.metadata.name ?? '', uid: pod.metadata.uid ?? '' }];
      await client.update(resourceClaims, namespace, claim.metadata.name ?? '', { ...claim, status: { ...claim.status, reservedFor } }, signal, { subresource: 'status' });
    }
  }

  /** A pod that is not seen may only be news that has not come: the API server is asked. */
  async function uses(namespace: string, name: string, uid: string, signal: AbortSignal): Promise<boolean> {
    const seen = allPods.get(namespace, name);
    if (seen) return seen.metadata.uid === uid && !isDone(seen);
    try {
      return (await client.get(pods, namespace, name, signal)).metadata.uid === uid;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async function lookAtClaim(claim: ResourceClaim, signal: AbortSignal): Promise<void> {
    const { namespace = '', name = '' } = claim.metadata;
    const before = claim.status?.reservedFor ?? [];
    const left: typeof before = [];
    for (const user of before) {
      const isPod = !user.apiGroup && user.resource === 'pods';
      if (!isPod || await uses(namespace, user.name, user.uid, signal)) left.push(user);
    }
    const guarded = claim.metadata.finalizers?.includes(claimFinalizer) ?? false;
    let now = claim;
    const freed = guarded && left.length === 0 && (left.length < before.length || claim.metadata.deletionTimestamp !== undefined);
    if (left.length < before.length || (freed && claim.status?.allocation)) {
      const { allocation, ...rest } = claim.status ?? {};
      const status = { ...rest, ...(freed || !allocation ? {} : { allocation }), reservedFor: left };
      now = await client.update(resourceClaims, namespace, name, { ...claim, status }, signal, { subresource: 'status' });
    }
    if (freed && now.metadata.finalizers?.includes(claimFinalizer) && !now.status?.allocation) {
      await client.update(resourceClaims, namespace, name, { ...now, metadata: { ...now.metadata, finalizers: now.metadata.finalizers.filter((each) => each !== claimFinalizer) } }, signal);
    }
    const owner = controllerOf(claim);
    if (left.length > 0 || owner?.kind !== 'Pod' || claim.metadata.deletionTimestamp) return;
    const pod = allPods.get(namespace, owner.name);
    if (!pod || (pod.metadata.uid === owner.uid && !isDone(pod))) return; // of a pod that is gone the garbage collector takes it
    await client.delete(resourceClaims, namespace, name, { preconditions: { uid: claim.metadata.uid } }, signal).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const colon = key.indexOf(':');
    const { namespace, name } = splitKey(key.slice(colon + 1));
    if (key.startsWith('pod:')) {
      const pod = allPods.get(namespace, name);
      if (pod && !isDone(pod)) await lookAtPod(pod, signal);
    } else {
      const claim = claims.get(namespace, name);
      if (claim) await lookAtClaim(claim, signal);
    }
  }

  return { run: (signal) => runController({ name: 'resourceclaim-controller', queue, workers: 5, reconcile }, signal) };
}
