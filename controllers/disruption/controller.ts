// Keeps the status of PodDisruptionBudgets: what the eviction subresource spends. Decisions: reconcile.ts.
import { rfc3339 } from '#machinery/base/clock.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import { controllerOf, parseApiVersion } from '#machinery/api/object.ts';
import type { OwnerReference, Pod, PodDisruptionBudget } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { deployments, podDisruptionBudgets, pods, replicaSets, replicationControllers, statefulSets } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { createScales, scaleOrGone } from '../scale.ts';
import { expectedOf, failedStatus, healthyPods, needsScale, nextStatus, openDisruptions, staleTargetInMs } from './reconcile.ts';

const account = 'disruption-controller';

export function createDisruptionController({ informers, clientFor, recorderFor, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'disruption' });
  const staleTargets = createWorkQueue({ name: 'stale_pod_disruption' });
  const budgets = informers.for(podDisruptionBudgets);
  const allPods = informers.for(pods);
  const owners = {
    ReplicationController: informers.for(replicationControllers), ReplicaSet: informers.for(replicaSets),
    Deployment: informers.for(deployments), StatefulSet: informers.for(statefulSets),
  };
  const client = clientFor(account);
  const scales = createScales(client, now);
  const recorder = recorderFor('controllermanager', account);

  budgets.onChange(({ object }) => queue.add(keyOf(object)));
  allPods.onChange(({ type, object }) => {
    // Without labels it can still match: an empty selector selects every pod.
    const matching = budgets.list(object.metadata.namespace).filter((budget) => selects(budget, object));
    const [first] = matching;
    if (matching.length > 1) {
      recorder.event(object, 'Warning', 'MultiplePodDisruptionBudgets',
        `Pod "${object.metadata.namespace}"/"${object.metadata.name}" matches multiple PodDisruptionBudgets.  Chose "${first?.metadata.name}" arbitrarily.`);
    }
    for (const budget of matching) queue.add(keyOf(budget));
    const left = type === 'deleted' ? undefined : staleTargetInMs(object, now());
    if (left !== undefined) staleTargets.addAfter(keyOf(object), left);
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const budget = budgets.get(namespace, name);
    if (!budget) return;
    try {
      return await sync(budget, signal);
    } catch (error) {
      if (isConflict(error) || signal.aborted) throw error;
      await writeStatus(budget, failedStatus(budget, error instanceof Error ? error.message : String(error), now()), signal);
    }
  }

  async function sync(budget: PodDisruptionBudget, signal: AbortSignal): Promise<ReconcileResult | void> {
    const selector = labelSelectorFromObject(budget.spec?.selector);
    const matching = allPods.list(budget.metadata.namespace).filter((pod) => selector.matches(pod.metadata.labels));
    if (matching.length === 0) recorder.event(budget, 'Normal', 'NoPods', 'No matching pods found');
    let scale = 0;
    if (needsScale(budget)) {
      try {
        const found = await scaleOf(matching, signal);
        scale = found.scale;
        if (found.unmanaged > 0) {
          recorder.event(budget, 'Warning', 'UnmanagedPods', `Pods selected by this PodDisruptionBudget (selector: ${JSON.stringify(budget.spec?.selector)}) were found to be unmanaged. `
            + 'As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. '
            + 'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.');
        }
      } catch (error) {
        if (!signal.aborted) recorder.event(budget, 'Warning', 'CalculateExpectedPodCountFailed', `Failed to calculate the number of expected pods: ${error instanceof Error ? error.message : String(error)}`);
        throw error;
      }
    }
    const { disruptedPods, missed, recheckInMs } = openDisruptions(budget, matching, now());
    for (const pod of missed) recorder.event(pod, 'Warning', 'NotDeleted', `Pod was expected by PDB ${budget.metadata.namespace}/${budget.metadata.name} to be deleted but it wasn't`);
    const status = nextStatus(budget, expectedOf(budget, matching.length, scale), healthyPods(matching, disruptedPods), disruptedPods, now());
    await writeStatus(budget, status, signal);
    if (recheckInMs !== undefined) return { requeueAfterMs: recheckInMs + 1 };
  }

  /** The version goes along: the API server takes from the same status while it evicts. */
  async function writeStatus(budget: PodDisruptionBudget, status: PodDisruptionBudget['status'], signal: AbortSignal): Promise<void> {
    if (!status) return;
    const { namespace = '', name = '' } = budget.metadata;
    await client.update(podDisruptionBudgets, namespace, name, { ...budget, apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', status }, signal, { subresource: 'status' }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error; // deleted meanwhile
    });
  }

  /** Replicas that the controllers of the pods want together. */
  async function scaleOf(matching: readonly Pod[], signal: AbortSignal): Promise<{ scale: number; unmanaged: number }> {
    const wanted = new Map<string, number>();
    const known = new Set<string>();
    let unmanaged = 0;
    for (const pod of matching) {
      const owner = controllerOf(pod);
      if (!owner) unmanaged += 1;
      else if (!known.has(owner.uid)) {
        known.add(owner.uid);
        const found = await scaleOfOwner(owner, pod.metadata.namespace ?? '', signal);
        if (!found) throw new Error(`found no controllers for pod "${pod.metadata.name}"`);
        wanted.set(found.uid, found.replicas);
      }
    }
    return { scale: [...wanted.values()].reduce((sum, replicas) => sum + replicas, 0), unmanaged };
  }

  /** A ReplicaSet of a Deployment counts as its Deployment: a rollout has pods of two sets. */
  async function scaleOfOwner(owner: OwnerReference, namespace: string, signal: AbortSignal): Promise<{ uid: string; replicas: number } | undefined> {
    const { group, version } = parseApiVersion(owner.apiVersion);
    const cached = builtIn(owner, namespace);
    const above = cached && owner.kind === 'ReplicaSet' ? controllerOf(cached) : undefined;
    const deployment = above?.kind === 'Deployment' ? builtIn(above, namespace) : undefined;
    if (deployment) return { uid: deployment.metadata.uid ?? '', replicas: deployment.spec?.replicas ?? 1 };
    if (cached && above?.kind !== 'Deployment') return { uid: owner.uid, replicas: cached.spec?.replicas ?? 1 };
    const scale = await scaleOrGone(scales, await scales.resourceOf(group, version, owner.kind, signal), namespace, owner.name, signal);
    return scale?.metadata.uid === owner.uid ? { uid: owner.uid, replicas: scale.spec?.replicas ?? 0 } : undefined;
  }
  function builtIn({ apiVersion, kind, name, uid }: OwnerReference, namespace: string): { metadata: Pod['metadata']; spec?: { replicas?: number } } | undefined {
    const { group } = parseApiVersion(apiVersion);
    if (!(kind in owners) || group !== (kind === 'ReplicationController' ? '' : 'apps')) return undefined;
    const found = owners[kind as keyof typeof owners].get(namespace, name); // one of its keys, as checked
    return found?.metadata.uid === uid ? found : undefined;
  }

  async function takeBack(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const pod = allPods.get(namespace, name);
    const left = pod && staleTargetInMs(pod, now());
    if (!pod || left === undefined) return;
    if (left > 0) return { requeueAfterMs: left };
    const condition = { type: 'DisruptionTarget', status: 'False', reason: null, message: null, lastTransitionTime: rfc3339(now()) };
    await client.patch(pods, namespace, name, 'strategic', { metadata: { uid: pod.metadata.uid, resourceVersion: pod.metadata.resourceVersion }, status: { conditions: [condition] } }, signal, { subresource: 'status' })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }

  return {
    async run(stop) {
      const group = createTaskGroup(stop);
      group.start('disruption-controller', (signal) => runController({ name: 'disruption-controller', queue, reconcile, maxRetries: Infinity }, signal));
      group.start('stale disruption targets', (signal) => runController({ name: 'disruption-controller', queue: staleTargets, reconcile: takeBack, maxRetries: Infinity }, signal));
      await group.wait();
    },
  };
}

/** A selector that cannot be read matches no pod. */
function selects(budget: PodDisruptionBudget, pod: Pod): boolean {
  try {
    return labelSelectorFromObject(budget.spec?.selector).matches(pod.metadata.labels);
  } catch {
    return false; // the budget's own sync tells it
  }
}
