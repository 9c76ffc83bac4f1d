// Rolls ReplicaSets so that a Deployment's template runs. The decisions are in reconcile.ts; here they are read, written
// and told. Upstream: pkg/controller/deployment.
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import { controllerOf } from '#machinery/api/object.ts';
import type { Deployment, Pod, ReplicaSet } from '#machinery/api/object.ts';
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { deployments, pods, replicaSets } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { adoptPatch, claim, controllerReference, indexByController, isNamespaceTerminating, isTerminal, releasePatch, sameMap, sameValue } from '../pods.ts';
import {
  calculateStatus, conditionOf, expendable, hasDeadline, hashLabel, isComplete, isRolling, isScaling, newCondition, newSetAnnotations, newSetName, newSetSize,
  nextRevision, progressCheckInMs, proportionalSizes, replicasAnnotations, replicasOf, revisionKey, rolloutStatus, sameTemplate, shrinkOld, splitSets, templateHash,
  wantedReplicas, withCondition,
} from './reconcile.ts';
import { rollback, rollbackTo } from './rollback.ts';

export function createDeploymentController({ informers, clientFor, recorderFor, now, config }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'deployment' });
  const all = informers.for(deployments);
  const sets = informers.for(replicaSets);
  const allPods = informers.for(pods);
  indexByController(sets);
  indexByController(allPods);
  const client = clientFor('deployment-controller');
  const recorder = recorderFor('deployment-controller', 'deployment-controller');

  all.onChange(({ object }) => queue.add(keyOf(object)));
  function ownerOf(set: ReplicaSet): Deployment | undefined {
    const reference = controllerOf(set);
    if (reference?.kind !== 'Deployment') return undefined;
    const owner = all.get(set.metadata.namespace ?? '', reference.name);
    return owner?.metadata.uid === reference.uid ? owner : undefined;
  }
  function enqueueMatching(set: ReplicaSet): void {
    for (const deployment of all.list(set.metadata.namespace)) {
      const selector = labelSelectorFromObject(deployment.spec?.selector);
      if (selector.requirements.length > 0 && selector.matches(set.metadata.labels)) queue.add(keyOf(deployment));
    }
  }
  sets.onChange((change) => {
    const owner = ownerOf(change.object);
    if (owner) queue.add(keyOf(owner));
    if (change.type === 'deleted') return;
    if (change.type === 'updated' && controllerOf(change.old)?.uid !== controllerOf(change.object)?.uid) {
      const previous = ownerOf(change.old);
      if (previous) queue.add(keyOf(previous));
    }
    if (!controllerOf(change.object) && (change.type === 'added' || !sameMap(change.old.metadata.labels, change.object.metadata.labels) || controllerOf(change.old))) enqueueMatching(change.object);
  });
  // A Recreate rollout goes on when the last old pod is gone; the ReplicaSet's status may have told long before.
  allPods.onChange(({ type, object }) => {
    if (type !== 'deleted') return;
    const reference = controllerOf(object);
    if (reference?.kind !== 'ReplicaSet') return;
    const set = sets.get(object.metadata.namespace ?? '', reference.name);
    const owner = set?.metadata.uid === reference.uid ? ownerOf(set) : undefined;
    if (owner && !isRolling(owner)) queue.add(keyOf(owner));
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    try {
      return await sync(key, signal);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error; // nothing will be created there any more
    }
  }
  async function sync(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const cached = all.get(namespace, name);
    if (!cached?.spec) return;
    const { spec } = cached;
    if (Object.keys(spec.selector?.matchLabels ?? {}).length === 0 && (spec.selector?.matchExpressions ?? []).length === 0) {
      recorder.event(cached, 'Warning', 'SelectingAll', 'This deployment is selecting all pods. A non-empty selector is required.');
      return;
    }
    const rollout = new Rollout(cached, signal);
    const owned = await rollout.claimSets();
    if (cached.metadata.deletionTimestamp !== undefined) {
      await rollout.findCurrent(owned, false);
      return rollout.writeStatus(calculateStatus(rollout.deployment, rollout.sets(), rollout.current, now()));
    }
    await rollout.markPaused();
    const revision = rollbackTo(rollout.deployment);
    if (revision !== undefined && !spec.paused) return rollout.rollBack(owned, revision);
    await rollout.findCurrent(owned, false);
    if (spec.paused || isScaling(rollout.deployment, rollout.sets())) {
      const { resizes, force } = proportionalSizes(rollout.deployment, rollout.current, rollout.old);
      for (const { set, replicas } of resizes) await rollout.resize(set, replicas, force);
      if (spec.paused && revision === undefined) await rollout.cleanUp();
      return rollout.writeStatus(calculateStatus(rollout.deployment, rollout.sets(), rollout.current, now()));
    }
    await (isRolling(cached) ? rollout.roll(owned) : rollout.recreate(owned));
    return rollout.writeRolloutStatus();
  }

  /** One pass over one deployment; `deployment`, `current` and `old` follow what it writes. */
  class Rollout {
    deployment: Deployment;
    current: ReplicaSet | undefined;
    old: ReplicaSet[] = [];
    readonly #signal: AbortSignal;

    constructor(deployment: Deployment, signal: AbortSignal) {
      this.deployment = deployment;
      this.#signal = signal;
    }
    get #namespace(): string {
      return this.deployment.metadata.namespace ?? '';
    }
    get #name(): string {
      return this.deployment.metadata.name ?? '';
    }
    sets(): ReplicaSet[] {
      return this.current ? [...this.old, this.current] : this.old;
    }

    claimSets(): Promise<ReplicaSet[]> {
      const { uid = '' } = this.deployment.metadata;
      const reference = controllerReference(this.deployment, deployments);
      return claim<ReplicaSet>({
        owner: this.deployment,
        selector: labelSelectorFromObject(this.deployment.spec?.selector),
        candidates: [...sets.byIndex('controller', uid), ...sets.byIndex('controller', `orphan/${this.#namespace}`)],
        mayAdopt: async () => {
          const fresh = await client.get(deployments, this.#namespace, this.#name, this.#signal);
          return fresh.metadata.uid === uid && fresh.metadata.deletionTimestamp === undefined;
        },
        adopt: async (set) => {
          await client.patch(replicaSets, this.#namespace, set.metadata.name ?? '', 'strategic', adoptPatch(set, reference), this.#signal);
        },
        release: async (set) => {
          await client.patch(replicaSets, this.#namespace, set.metadata.name ?? '', 'strategic', releasePatch(set, uid), this.#signal).catch((error: unknown) => {
            if (!isNotFound(error)) throw error;
          });
        },
      });
    }

    async #update(change: Partial<Deployment>): Promise<void> {
      const changed = { ...this.deployment, ...change };
      this.deployment = await client.update(deployments, this.#namespace, this.#name, changed, this.#signal, { subresource: 'status' });
    }
    async #progress(status: string, reason: string, message: string): Promise<void> {
      await this.#update({ status: { ...this.deployment.status, conditions: withCondition(this.deployment.status?.conditions, newCondition('Progressing', status, reason, message, now())) } });
    }

    /** So that a deployment is not found late for the time it was paused. */
    async markPaused(): Promise<void> {
      const progressing = conditionOf(this.deployment.status, 'Progressing');
      if (!hasDeadline(this.deployment) || progressing?.reason === 'ProgressDeadlineExceeded') return;
      const marked = progressing?.reason === 'DeploymentPaused';
      if (this.deployment.spec?.paused && !marked) await this.#progress('Unknown', 'DeploymentPaused', 'Deployment is paused');
      else if (!this.deployment.spec?.paused && marked) await this.#progress('Unknown', 'DeploymentResumed', 'Deployment is resumed');
    }

    /** Sets `current` and `old`; keeps revision and annotations right; makes the new set when `create` and there is none. */
    async findCurrent(owned: readonly ReplicaSet[], create: boolean): Promise<void> {
      const { current, old } = splitSets(this.deployment, owned);
      this.old = old;
      this.current = current;
      const revision = nextRevision(old);
      if (current) await this.#keepCurrent(current, revision);
      else if (create) await this.#createSet(revision);
    }

    async #keepCurrent(current: ReplicaSet, revision: bigint): Promise<void> {
      const annotations = newSetAnnotations(this.deployment, current, revision);
      const minReadySeconds = this.deployment.spec?.minReadySeconds ?? 0;
      if (!sameMap(annotations, current.metadata.annotations) || minReadySeconds !== (current.spec?.minReadySeconds ?? 0)) {
        const changed = { ...current, metadata: { ...current.metadata, annotations }, spec: { ...current.spec, minReadySeconds } };
        this.current = await client.update(replicaSets, this.#namespace, current.metadata.name ?? '', changed, this.#signal);
        return;
      }
      await this.#recordRevision(annotations[revisionKey] ?? '', conditionOf(this.deployment.status, 'Progressing') ? undefined : ['FoundNewReplicaSet', `Found new replica set "${current.metadata.name}"`]);
    }

    async #recordRevision(revision: string, progress: [reason: string, message: string] | undefined): Promise<void> {
      const told = this.deployment.metadata.annotations?.[revisionKey] === revision;
      const condition = progress && hasDeadline(this.deployment) ? newCondition('Progressing', 'True', progress[0], progress[1], now()) : undefined;
      if (told && !condition) return;
      await this.#update({
        metadata: { ...this.deployment.metadata, annotations: { ...this.deployment.metadata.annotations, [revisionKey]: revision } },
        ...(condition ? { status: { ...this.deployment.status, conditions: withCondition(this.deployment.status?.conditions, condition) } } : {}),
      });
    }

    async #createSet(revision: bigint): Promise<void> {
      const { spec } = this.deployment;
      if (!spec) return;
      const hash = templateHash(spec.template, this.deployment.status?.collisionCount);
      const name = newSetName(this.#name, hash);
      const labels = { ...spec.template?.metadata?.labels, [hashLabel]: hash };
      const replicas = newSetSize(this.deployment, this.old, 0);
      const body = {
        apiVersion: 'apps/v1', kind: 'ReplicaSet',
        metadata: {
          name, namespace: this.#namespace, labels, annotations: newSetAnnotations(this.deployment, undefined, revision),
          ownerReferences: [controllerReference(this.deployment, deployments)],
        },
        spec: {
          replicas, minReadySeconds: spec.minReadySeconds ?? 0,
          selector: { ...spec.selector, matchLabels: { ...spec.selector?.matchLabels, [hashLabel]: hash } },
          template: { ...spec.template, metadata: { ...spec.template?.metadata, labels } },
        },
      };
      try {
        this.current = await client.create(replicaSets, this.#namespace, body, this.#signal);
      } catch (error) {
        if (isAlreadyExists(error)) return this.#takeExisting(name, revision, error);
        if (!isNamespaceTerminating(error) && !this.#signal.aborted) {
          const message = `Failed to create new replica set "${name}": ${error instanceof Error ? error.message : String(error)}`;
          recorder.event(this.deployment, 'Warning', 'ReplicaSetCreateError', message);
          if (hasDeadline(this.deployment)) await this.#progress('False', 'ReplicaSetCreateError', message);
        }
        throw error;
      }
      if (replicas > 0) recorder.event(this.deployment, 'Normal', 'ScalingReplicaSet', `Scaled up replica set ${name} from 0 to ${replicas}`);
      await this.#recordRevision(String(revision), ['NewReplicaSetCreated', `Created new replica set "${name}"`]);
    }

    /** The name is taken: by the set that our cache does not have yet, or by another (then the next hash differs). */
    async #takeExisting(name: string, revision: bigint, cause: unknown): Promise<void> {
      const existing = await client.get(replicaSets, this.#namespace, name, this.#signal);
      if (controllerOf(existing)?.uid === this.deployment.metadata.uid && sameTemplate(existing.spec?.template, this.deployment.spec?.template)) {
        this.current = existing;
        return this.#recordRevision(String(revision), undefined);
      }
      await this.#update({ status: { ...this.deployment.status, collisionCount: (this.deployment.status?.collisionCount ?? 0) + 1 } });
      throw cause;
    }

    /** True when the size changed. `force` also brings the annotations up to date. */
    async resize(set: ReplicaSet, replicas: number, force = false): Promise<boolean> {
      const before = replicasOf(set);
      const annotations = { ...set.metadata.annotations, ...replicasAnnotations(this.deployment) };
      if (before === replicas && (!force || sameMap(annotations, set.metadata.annotations))) return false;
      const changed = { ...set, metadata: { ...set.metadata, annotations }, spec: { ...set.spec, replicas } };
      const written = await client.update(replicaSets, this.#namespace, set.metadata.name ?? '', changed, this.#signal);
      if (set === this.current) this.current = written;
      else this.old = this.old.map((each) => (each === set ? written : each));
      if (before === replicas) return false;
      recorder.event(this.deployment, 'Normal', 'ScalingReplicaSet', `Scaled ${before < replicas ? 'up' : 'down'} replica set ${set.metadata.name} from ${before} to ${replicas}`);
      return true;
    }

    async roll(owned: readonly ReplicaSet[]): Promise<void> {
      if (!this.current) await this.findCurrent(owned, true);
      const { current } = this;
      if (!current) return;
      const wanted = wantedReplicas(this.deployment);
      const size = replicasOf(current);
      const next = size === wanted ? size : size > wanted ? wanted : newSetSize(this.deployment, this.sets(), size);
      if (await this.resize(current, next)) return;
      let shrunk = false;
      for (const { set, replicas } of shrinkOld(this.deployment, current, this.old)) shrunk = (await this.resize(set, replicas)) || shrunk;
      if (!shrunk && isComplete(this.deployment, this.deployment.status)) await this.cleanUp();
    }

    async recreate(owned: readonly ReplicaSet[]): Promise<void> {
      let shrunk = false;
      for (const set of this.old) if (replicasOf(set) > 0) shrunk = (await this.resize(set, 0)) || shrunk;
      if (shrunk || this.#oldPodsRun(owned)) return;
      if (!this.current) await this.findCurrent(owned, true);
      if (this.current) await this.resize(this.current, wantedReplicas(this.deployment));
      if (isComplete(this.deployment, this.deployment.status)) await this.cleanUp();
    }
    #oldPodsRun(owned: readonly ReplicaSet[]): boolean {
      if (this.old.some((set) => (set.status?.replicas ?? 0) > 0)) return true;
      const podsOf = (set: ReplicaSet): Pod[] => allPods.byIndex('controller', set.metadata.uid ?? '');
      return owned.some((set) => set.metadata.uid !== this.current?.metadata.uid && podsOf(set).some((pod) => !isTerminal(pod)));
    }

    /** Writes the older template; what comes of it is another pass. */
    async rollBack(owned: readonly ReplicaSet[], to: bigint): Promise<void> {
      await this.findCurrent(owned, true);
      const { deployment, event } = rollback(this.deployment, this.sets(), to);
      this.deployment = await client.update(deployments, this.#namespace, this.#name, deployment, this.#signal);
      recorder.event(this.deployment, ...event);
    }

    async cleanUp(): Promise<void> {
      for (const set of expendable(this.deployment, this.old)) {
        await client.delete(replicaSets, this.#namespace, set.metadata.name ?? '', {}, this.#signal).catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
      }
    }

    async writeStatus(status: NonNullable<Deployment['status']>): Promise<void> {
      if (!sameValue(status, this.deployment.status)) await this.#update({ status });
    }
    async writeRolloutStatus(): Promise<ReconcileResult | void> {
      const status = rolloutStatus(this.deployment, this.sets(), this.current, now());
      if (!sameValue(status, this.deployment.status)) return this.#update({ status });
      const requeueAfterMs = progressCheckInMs(this.deployment, status, now());
      if (requeueAfterMs !== undefined) return { requeueAfterMs };
    }
  }

  return { run: (stop) => runController({ name: 'deployment-controller', queue, workers: config.concurrent.deployment, reconcile }, stop) };
}
