// Keeps the pods of a StatefulSet: each with its name, its claims and its turn. The decisions are in reconcile.ts.
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import type { ParsedLabelSelector } from '#machinery/api/labels.ts';
import { controllerOf } from '#machinery/api/object.ts';
import type { PersistentVolumeClaim, Pod, StatefulSet } from '#machinery/api/object.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { persistentVolumeClaims, pods, statefulSets } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { createHistory, watchRevisions } from '../history/history.ts';
import { dataOf, hashLabel, nextRevision, revisionData, revisionHash, revisionName, sameData, sortRevisions, templateOf } from '../history/revisions.ts';
import {
  adoptPatch, claim, controllerReference, indexByController, isNamespaceTerminating, releasePatch, sameMap, sameValue,
} from '../pods.ts';
import { slowStart } from '../replicaset/reconcile.ts';
import { WrittenObjects } from '../written.ts';
import {
  arrange, calculateStatus, claimName, claimOwners, claimTemplates, claimsFor, expendable, isMember, isParallel, isStale, ordinalOf, parentAndOrdinal, podFor, podName, repaired,
  revisionFor, stepFor, toScaleDown, toUpdate,
} from './reconcile.ts';
import type { Places, Revisions } from './reconcile.ts';

const account = 'statefulset-controller';

export function createStatefulSetController({ informers, clientFor, recorderFor, now, config }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'statefulset' });
  const all = informers.for(statefulSets);
  const allPods = informers.for(pods);
  const claims = informers.for(persistentVolumeClaims);
  indexByController(allPods);
  const client = clientFor(account);
  const recorder = recorderFor('statefulset-controller', account);
  const history = createHistory(informers, client, statefulSets);
  const written = new WrittenObjects(now);

  all.onChange((change) => {
    if (change.type === 'deleted') written.forget(keyOf(change.object));
    queue.add(keyOf(change.object));
  });
  watchRevisions(informers, queue, statefulSets, (namespace, name, uid) => all.get(namespace, name)?.metadata.uid === uid);

  // A pod that must not take a claim of its predecessor waits for the claim to be gone.
  claims.onChange(({ type, object }) => {
    if (type !== 'deleted') return;
    for (const { kind, name } of object.metadata.ownerReferences ?? []) {
      const set = kind === 'StatefulSet' ? name : kind === 'Pod' ? parentAndOrdinal({ metadata: { name } }).parent : '';
      const { namespace = '' } = object.metadata;
      if (all.get(namespace, set)) queue.add(keyOf({ metadata: { namespace, name: set } }));
    }
  });

  function ownerOf(pod: Pod): StatefulSet | undefined {
    const reference = controllerOf(pod);
    if (reference?.kind !== 'StatefulSet') return undefined;
    const set = all.get(pod.metadata.namespace ?? '', reference.name);
    return set?.metadata.uid === reference.uid ? set : undefined;
  }
  function enqueueMatching(pod: Pod): void {
    for (const set of all.list(pod.metadata.namespace)) {
      const selector = labelSelectorFromObject(set.spec?.selector);
      if (selector.requirements.length > 0 && selector.matches(pod.metadata.labels)) queue.add(keyOf(set));
    }
  }
  allPods.onChange((change) => {
    const pod = change.object;
    const owner = ownerOf(pod);
    if (owner) queue.add(keyOf(owner));
    if (change.type === 'deleted') return;
    if (change.type === 'added') {
      if (!controllerOf(pod)) enqueueMatching(pod);
      return;
    }
    const moved = controllerOf(change.old)?.uid !== controllerOf(pod)?.uid;
    const previous = moved ? ownerOf(change.old) : undefined;
    if (previous) queue.add(keyOf(previous));
    if (!controllerOf(pod) && (moved || !sameMap(change.old.metadata.labels, pod.metadata.labels))) enqueueMatching(pod);
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    if (!written.seen(key)) return { backOff: true };
    const { namespace, name } = splitKey(key);
    const set = all.get(namespace, name);
    if (!set?.spec) return;
    const selector = labelSelectorFromObject(set.spec.selector);
    if (selector.requirements.length === 0) return; // refused by validation; it would take every pod
    try {
      return await new Pass(set, selector, signal).run();
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error; // nothing will be created there any more
    }
  }

  /** One pass over one set. */
  class Pass {
    readonly #set: StatefulSet;
    readonly #key: string;
    readonly #namespace: string;
    readonly #selector: ParsedLabelSelector;
    readonly #signal: AbortSignal;
    readonly #now = now();
    #allowed: Promise<boolean> | undefined;
    /** Pods made in this pass. */
    readonly #made: Pod[] = [];

    constructor(set: StatefulSet, selector: ParsedLabelSelector, signal: AbortSignal) {
      this.#set = set;
      this.#key = keyOf(set);
      this.#namespace = set.metadata.namespace ?? '';
      this.#selector = selector;
      this.#signal = signal;
    }

    async run(): Promise<ReconcileResult | void> {
      const revisions = sortRevisions(await history.list(this.#set, this.#selector, () => this.#mayAdopt(), this.#signal));
      const own = await this.#claimPods();
      const found = await this.#findRevisions(revisions);
      if (!found) return;
      const { live, collisionCount } = found;
      let failure: unknown;
      let replaced: Pod | undefined;
      if (this.#set.metadata.deletionTimestamp === undefined) {
        try {
          replaced = await this.#step(arrange(this.#set, own), live);
        } catch (error) {
          failure = error ?? new Error('unknown failure');
        }
      }
      const { status, nextAvailableMs } = calculateStatus(this.#set, [...own, ...this.#made], live, collisionCount, this.#now, replaced);
      if (!sameValue(status, this.#set.status)) await this.#writeStatus(status);
      for (const revision of expendable(this.#set, revisions, own, live)) await history.remove(revision, this.#signal);
      if (failure !== undefined) throw failure;
      if (nextAvailableMs !== undefined) return { requeueAfterMs: nextAvailableMs };
    }

    #mayAdopt(): Promise<boolean> {
      const { name = '', uid } = this.#set.metadata;
      const ask = async (): Promise<boolean> => {
        const fresh = await client.get(statefulSets, this.#namespace, name, this.#signal);
        return fresh.metadata.uid === uid && fresh.metadata.deletionTimestamp === undefined;
      };
      return (this.#allowed ??= ask());
    }
    async #claimPods(): Promise<Pod[]> {
      const { uid = '' } = this.#set.metadata;
      const reference = controllerReference(this.#set, statefulSets);
      const candidates = [...allPods.byIndex('controller', uid), ...allPods.byIndex('controller', `orphan/${this.#namespace}`).filter((pod) => isMember(this.#set, pod))];
      return claim<Pod>({
        owner: this.#set, selector: this.#selector, candidates, mayAdopt: () => this.#mayAdopt(),
        adopt: async (pod) => {
          await client.patch(pods, this.#namespace, pod.metadata.name ?? '', 'strategic', adoptPatch(pod, reference), this.#signal);
        },
        release: async (pod) => {
          await client.patch(pods, this.#namespace, pod.metadata.name ?? '', 'strategic', releasePatch(pod, uid), this.#signal).catch((error: unknown) => {
            if (!isNotFound(error) && !isConflict(error)) throw error; // gone, or made anew under the name: not ours
          });
        },
      });
    }

    /**
     * The revision of the set's template, found, renumbered or made; and the one its older pods are of. For a set that is
     * going away none is made: the garbage collector deletes or orphans them, and would meet new ones again and again.
     */
    async #findRevisions(revisions: Awaited<ReturnType<typeof history.list>>): Promise<{ live: Revisions; collisionCount: number } | undefined> {
      const { spec, status, metadata } = this.#set;
      const data = revisionData(spec?.template);
      const number = nextRevision(revisions);
      let collisionCount = status?.collisionCount ?? 0;
      const same = revisions.findLast((revision) => sameData(dataOf(revision), data));
      const newest = revisions.at(-1);
      let update = same && newest && sameData(dataOf(newest), data) ? newest : same && (await history.update(same, { revision: number }, this.#signal));
      if (!update && metadata.deletionTimestamp !== undefined) return undefined;
      while (!update) {
        const hash = revisionHash(data, collisionCount);
        const labels = { ...spec?.template.metadata?.labels, [hashLabel]: hash };
        const made = await history.create(this.#set, { name: revisionName(metadata.name ?? '', hash), labels, data, number }, this.#signal);
        if ('revision' in made) update = made.revision;
        else collisionCount += 1;
      }
      const current = revisions.find((revision) => revision.metadata.name === status?.currentRevision) ?? update;
      return { live: { current, update }, collisionCount };
    }

    /** First every place, then pods beyond, then the update; an ordered set does one thing at a time. Answers the pod that the update took away. */
    async #step(all: Places, live: Revisions): Promise<Pod | undefined> {
      if (await this.#each(all.places, (place) => this.#place(place, live))) return undefined;
      for (const pod of all.condemned) await this.#keepClaimOwners(pod);
      const { remove, blocked } = toScaleDown(this.#set, all, this.#now);
      await this.#each(remove, async (pod) => {
        await this.#delete(pod);
        return false;
      });
      if (blocked || this.#set.spec?.updateStrategy?.type === 'OnDelete') return undefined;
      const next = toUpdate(this.#set, all.places, live.update.metadata.name ?? '', this.#now);
      if (next) await this.#delete(next);
      return next;
    }
    /** True when an ordered set has to stop here. A parallel set never stops but by a failure. */
    async #each<T>(items: readonly T[], work: (item: T) => Promise<boolean>): Promise<boolean> {
      if (!isParallel(this.#set)) {
        for (const item of items) if (await work(item)) return true;
        return false;
      }
      let next = 0;
      const { failure } = await slowStart(items.length, async () => {
        const item = items[next++];
        if (item !== undefined) await work(item);
      });
      if (failure) throw failure;
      return false;
    }

    async #place({ ordinal, pod }: Places['places'][number], live: Revisions): Promise<boolean> {
      const step = stepFor(this.#set, pod, this.#now);
      if (step === 'create' || !pod) {
        await this.#create(ordinal, live);
        return true;
      }
      if (step === 'replace') {
        if (pod.metadata.deletionTimestamp === undefined) await this.#delete(pod);
        return true;
      }
      if (pod.status?.phase === 'Pending') {
        await this.#createClaims(pod, ordinal);
        await this.#keepClaimOwners(pod);
      }
      if (step === 'wait') return true;
      const better = repaired(this.#set, pod);
      if (better) await this.#repair(pod, better);
      await this.#keepClaimOwners(pod);
      return false;
    }

    #tell(verb: string, pod: string, error?: unknown): void {
      if (this.#signal.aborted) return;
      const what = `${verb} Pod ${pod} in StatefulSet ${this.#set.metadata.name}`;
      if (error === undefined) recorder.event(this.#set, 'Normal', `Successful${verb}`, `${what} successful`);
      else recorder.event(this.#set, 'Warning', `Failed${verb}`, `${what} failed error: ${messageOf(error)}`);
    }

    async #create(ordinal: number, live: Revisions): Promise<void> {
      const name = podName(this.#set, ordinal);
      if (this.#claimsAreStale(name, ordinal)) return; // their deletion is under way, and the pod must not get them
      const revision = revisionFor(this.#set, ordinal, live);
      const template = templateOf(revision);
      if (!template) throw new Error(`revision ${revision.metadata.name} of StatefulSet ${this.#key} holds no template`);
      const body = podFor(this.#set, ordinal, template, revision.metadata.name ?? '', controllerReference(this.#set, statefulSets));
      try {
        await this.#createClaims({ metadata: { name } }, ordinal);
        const pod = await client.create(pods, this.#namespace, body, this.#signal);
        written.wrote(this.#key, 'pod', pod, () => allPods.get(this.#namespace, name));
        this.#made.push(pod);
        this.#tell('Create', name);
        await this.#keepClaimOwners(pod);
      } catch (error) {
        if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) this.#tell('Create', name, error);
        throw error;
      }
    }
    async #delete(pod: Pod): Promise<void> {
      const { name = '' } = pod.metadata;
      try {
        await client.delete(pods, this.#namespace, name, {}, this.#signal);
      } catch (error) {
        if (!isNotFound(error)) {
          this.#tell('Delete', name, error);
          throw error;
        }
      }
      written.deleted(this.#key, 'pod', pod, () => allPods.get(this.#namespace, name));
      this.#tell('Delete', name);
    }
    async #repair(pod: Pod, better: Pod): Promise<void> {
      const { name = '' } = pod.metadata;
      try {
        await this.#createClaims(pod, ordinalOf(pod));
        const updated = await client.update(pods, this.#namespace, name, better, this.#signal);
        written.wrote(this.#key, 'pod', updated, () => allPods.get(this.#namespace, name));
        this.#tell('Update', name);
      } catch (error) {
        this.#tell('Update', name, error);
        throw error;
      }
    }

    #claimsAreStale(pod: string, ordinal: number): boolean {
      if (this.#set.spec?.persistentVolumeClaimRetentionPolicy?.whenScaled !== 'Delete') return false;
      return claimTemplates(this.#set).some((template) => {
        const existing = claims.get(this.#namespace, claimName(this.#set, template, ordinal));
        return existing !== undefined && isStale(existing, { metadata: { name: pod } }, 'Pod');
      });
    }
    async #createClaims(pod: { metadata: { name?: string } }, ordinal: number): Promise<void> {
      for (const { name, body } of claimsFor(this.#set, ordinal)) {
        const existing = claims.get(this.#namespace, name);
        if (existing?.metadata.deletionTimestamp !== undefined) throw new Error(`pvc ${name} is being deleted`);
        if (existing) continue;
        try {
          const made = await client.create(persistentVolumeClaims, this.#namespace, body, this.#signal);
          written.wrote(this.#key, 'claim', made, () => claims.get(this.#namespace, name));
          recorder.event(this.#set, 'Normal', 'SuccessfulCreate', `Create Claim ${name} Pod ${pod.metadata.name} in StatefulSet ${this.#set.metadata.name} success`);
        } catch (error) {
          if (isNamespaceTerminating(error)) throw error;
          if (!isAlreadyExists(error)) recorder.event(this.#set, 'Warning', 'FailedCreate', `Create Claim ${name} for Pod ${pod.metadata.name} in StatefulSet ${this.#set.metadata.name} failed error: ${messageOf(error)}`);
          throw new Error(`failed to create PVC ${name}: ${messageOf(error)}`, { cause: error });
        }
      }
    }
    /** Claims that the cache does not have yet get their owners in a later pass. */
    async #keepClaimOwners(pod: Pod): Promise<void> {
      for (const template of claimTemplates(this.#set)) {
        const name = claimName(this.#set, template, ordinalOf(pod));
        const existing = claims.get(this.#namespace, name);
        if (!existing) continue;
        const { owners, conflict } = claimOwners(existing, this.#set, pod);
        if (!owners) continue;
        if (conflict) recorder.event(this.#set, 'Warning', 'ConflictingController', `PersistentVolumeClaim ${name} has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim`);
        const changed: PersistentVolumeClaim = { ...existing, metadata: { ...existing.metadata, ownerReferences: owners } };
        const updated = await client.update(persistentVolumeClaims, this.#namespace, name, changed, this.#signal);
        written.wrote(this.#key, 'claim', updated, () => claims.get(this.#namespace, name));
      }
    }

    async #writeStatus(status: object): Promise<void> {
      const { name = '', uid } = this.#set.metadata;
      const write = (set: StatefulSet): Promise<StatefulSet> =>
        client.update(statefulSets, this.#namespace, name, { ...set, status }, this.#signal, { subresource: 'status' });
      try {
        let updated: StatefulSet;
        try {
          updated = await write(this.#set);
        } catch (error) {
          if (!isConflict(error)) throw error;
          const fresh = await client.get(statefulSets, this.#namespace, name, this.#signal);
          if (fresh.metadata.uid !== uid) return;
          updated = await write(fresh);
        }
        written.wrote(this.#key, 'set', updated, () => all.get(this.#namespace, name));
      } catch (error) {
        if (!isNotFound(error)) throw error; // its own deletion comes as an event
      }
    }
  }

  return { run: (stop) => runController({ name: 'statefulset-controller', queue, workers: config.concurrent.statefulSet, reconcile, maxRetries: Infinity }, stop) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
