// Keeps as many pods as a ReplicaSet (or a ReplicationController, by the same engine) asks for.
// Upstream: pkg/controller/replicaset/replica_set.go.
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import { controllerOf } from '#machinery/api/object.ts';
import type { LabelSelector, OwnerReference, Pod, ReplicaSet, ReplicationController } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { pods, replicaSets, replicationControllers } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult, Resource } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { Expectations } from '../expectations.ts';
import {
  adoptPatch, claim, controllerReference, indexByController, isActive, isNamespaceTerminating, isTerminal, releasePatch, sameMap, sameValue,
} from '../pods.ts';
import { burst, calculateStatus, podFromTemplate, podsToDelete, slowStart } from './reconcile.ts';
import type { Replicated } from './reconcile.ts';

interface Engine<T> {
  name: string;
  /** Upstream's name of the queue. */
  queue: string;
  resource: Resource<T>;
  account: string;
  component: string;
  workers: number;
  /** Counts pods that are going away (ReplicaSets only). */
  withTerminating: boolean;
  selectorOf: (object: T) => LabelSelector | undefined;
}

export function createReplicaSetController(context: ControllerContext): Controller {
  return createEngine<ReplicaSet>(context, {
    name: 'replicaset-controller', queue: 'replicaset', resource: replicaSets, account: 'replicaset-controller', component: 'replicaset-controller',
    workers: context.config.concurrent.replicaset, withTerminating: true, selectorOf: (set) => set.spec?.selector,
  });
}
export function createReplicationControllerController(context: ControllerContext): Controller {
  return createEngine<ReplicationController>(context, {
    name: 'replicationcontroller-controller', queue: 'replicationmanager', resource: replicationControllers, account: 'replication-controller', component: 'replication-controller',
    workers: context.config.concurrent.replicationController, withTerminating: false,
    selectorOf: (set) => (set.spec?.selector ? { matchLabels: set.spec.selector } : undefined),
  });
}

function createEngine<T extends ReplicaSet | ReplicationController>({ informers, clientFor, recorderFor, now }: ControllerContext, engine: Engine<T>): Controller {
  const { resource, selectorOf } = engine;
  const queue = createWorkQueue({ name: engine.queue });
  const sets = informers.for(resource);
  const allPods = informers.for(pods);
  indexByController(sets);
  indexByController(allPods);
  const client = clientFor(engine.account);
  const recorder = recorderFor(engine.component, engine.account);
  const expectations = new Expectations(now);

  /** A pass looks at every pod of the set: those of a large one change so often that some changes are better looked at together. */
  function settle(set: T): void {
    const ms = Math.min(100, Math.floor((set.spec?.replicas ?? 0) / 10));
    if (ms > 0) queue.addAfter(keyOf(set), ms);
    else queue.add(keyOf(set)); // at once, and not counted as a retry
  }
  sets.onChange((change) => {
    const key = keyOf(change.object);
    if (change.type === 'deleted') expectations.forget(key);
    // A change of its status is our own, most of the time.
    const same = change.type === 'updated' && change.old.metadata.generation === change.object.metadata.generation;
    if (same) settle(change.object);
    else queue.add(key);
  });

  function ownerOf(pod: Pod): T | undefined {
    const reference = controllerOf(pod);
    if (reference?.kind !== resource.kind) return undefined;
    const set = sets.get(pod.metadata.namespace ?? '', reference.name);
    return set?.metadata.uid === reference.uid ? set : undefined;
  }
  function enqueueMatching(pod: Pod): void {
    if (!pod.metadata.labels) return;
    for (const set of sets.list(pod.metadata.namespace)) {
      if (selectorMatches(selectorOf(set), pod)) queue.add(keyOf(set));
    }
  }
  function sawDeletion(pod: Pod): void {
    const owner = ownerOf(pod);
    if (!owner) return;
    expectations.deleted(keyOf(owner), keyOf(pod));
    queue.add(keyOf(owner));
  }
  allPods.onChange((change) => {
    const pod = change.object;
    if (change.type === 'deleted' || pod.metadata.deletionTimestamp !== undefined) {
      sawDeletion(pod);
      return;
    }
    const owner = ownerOf(pod);
    if (change.type === 'added') {
      if (owner) {
        expectations.created(keyOf(owner));
        // Until the last one is seen there is only a status to write.
        if (expectations.satisfied(keyOf(owner))) queue.add(keyOf(owner));
        else settle(owner);
      } else if (!controllerOf(pod)) enqueueMatching(pod);
      return;
    }
    const before = controllerOf(change.old);
    const moved = before?.uid !== controllerOf(pod)?.uid;
    if (moved) {
      const previous = ownerOf(change.old);
      if (previous) queue.add(keyOf(previous));
    }
    if (owner) settle(owner);
    else if (!controllerOf(pod) && (moved || !sameMap(change.old.metadata.labels, pod.metadata.labels))) enqueueMatching(pod);
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const set = sets.get(namespace, name);
    if (!set?.spec) return;
    const needsSync = expectations.satisfied(key);
    const selector = labelSelectorFromObject(selectorOf(set));
    const uid = set.metadata.uid ?? '';
    const reference = controllerReference(set, resource);
    const own = allPods.byIndex('controller', uid);
    const candidates = [...own, ...allPods.byIndex('controller', `orphan/${namespace}`)].filter(isActive);
    const active = await claim<Pod>({
      owner: set, selector, candidates,
      mayAdopt: async () => {
        const fresh = await client.get(resource, namespace, name, signal);
        return fresh.metadata.uid === uid && fresh.metadata.deletionTimestamp === undefined;
      },
      adopt: async (pod) => {
        await client.patch(pods, namespace, pod.metadata.name ?? '', 'strategic', adoptPatch(pod, reference), signal);
      },
      release: async (pod) => {
        await client.patch(pods, namespace, pod.metadata.name ?? '', 'strategic', releasePatch(pod, uid), signal).catch((error: unknown) => {
          if (!isNotFound(error) && !isConflict(error)) throw error; // gone, or made anew under the name: not ours
        });
      },
    });
    const terminating = own.filter((pod) => pod.metadata.deletionTimestamp !== undefined && !isTerminal(pod) && selector.matches(pod.metadata.labels));
    const view: Replicated = {
      metadata: set.metadata,
      spec: { replicas: set.spec.replicas ?? 1, minReadySeconds: minReady(set), template: set.spec.template ?? {} },
      status: set.status ?? {},
    };
    const failure = needsSync && set.metadata.deletionTimestamp === undefined ? await manage(key, set, view, active, reference, signal) : undefined;
    const { status, nextAvailableMs } = calculateStatus(view, { active, terminating, failure, now: now() }, engine.withTerminating);
    if (!sameValue(status, set.status)) await writeStatus(set, status, signal);
    if (failure) throw failure;
    if (nextAvailableMs !== undefined) return { requeueAfterMs: nextAvailableMs };
  }

  async function manage(key: string, set: T, { spec }: Replicated, active: readonly Pod[], reference: OwnerReference, signal: AbortSignal): Promise<Error | undefined> {
    const { namespace = '', name = '' } = set.metadata;
    const difference = active.length - spec.replicas;
    if (difference < 0) {
      const count = Math.min(-difference, burst);
      expectations.expectCreations(key, count);
      const body = podFromTemplate(spec.template, name, namespace, reference);
      const { succeeded, failure } = await slowStart(count, async () => {
        try {
          const pod = await client.create(pods, namespace, body, signal);
          recorder.event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
        } catch (error) {
          if (isNamespaceTerminating(error)) {
            expectations.created(key);
            return;
          }
          if (!signal.aborted) recorder.event(set, 'Warning', 'FailedCreate', `Error creating: ${error instanceof Error ? error.message : String(error)}`);
          throw error;
        }
      });
      expectations.created(key, count - succeeded); // what was not created will not be seen either
      return failure;
    }
    if (difference === 0) return undefined;
    const chosen = podsToDelete(active, relatedPods(set), Math.min(difference, burst), now());
    expectations.expectDeletions(key, chosen.map(keyOf));
    const results = await Promise.allSettled(chosen.map(async (pod) => {
      try {
        await client.delete(pods, namespace, pod.metadata.name ?? '', {}, signal);
        recorder.event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
      } catch (error) {
        expectations.deleted(key, keyOf(pod));
        if (isNotFound(error)) return;
        if (!signal.aborted) recorder.event(set, 'Warning', 'FailedDelete', `Error deleting: ${error instanceof Error ? error.message : String(error)}`);
        throw error;
      }
    }));
    const failed = results.find((result) => result.status === 'rejected');
    return failed && (failed.reason instanceof Error ? failed.reason : new Error(String(failed.reason)));
  }

  /** Pods of all sets that the same owner controls: a rollout spreads over the nodes as a whole. */
  function relatedPods(set: T): Pod[] {
    const owner = controllerOf(set);
    const siblings = owner ? sets.byIndex('controller', owner.uid) : [set];
    return siblings.flatMap((sibling) => allPods.byIndex('controller', sibling.metadata.uid ?? ''));
  }

  async function writeStatus(set: T, status: object, signal: AbortSignal): Promise<void> {
    const { namespace = '', name = '' } = set.metadata;
    try {
      await client.update(resource, namespace, name, { ...set, status }, signal, { subresource: 'status' });
    } catch (error) {
      if (isNotFound(error)) return; // its own deletion comes as an event
      if (!isConflict(error)) throw error;
      const fresh = await client.get(resource, namespace, name, signal);
      await client.update(resource, namespace, name, { ...fresh, status }, signal, { subresource: 'status' });
    }
  }

  return { run: (stop) => runController({ name: engine.name, queue, workers: engine.workers, reconcile, maxRetries: Infinity }, stop) };
}

function minReady(set: ReplicaSet | ReplicationController): number {
  return set.spec?.minReadySeconds ?? 0;
}
function selectorMatches(selector: LabelSelector | undefined, pod: Pod): boolean {
  const parsed = labelSelectorFromObject(selector);
  return parsed.requirements.length > 0 && parsed.matches(pod.metadata.labels);
}
