// Keeps one pod of a DaemonSet on each node that fits, and rolls them to a new template. The decisions are in reconcile.ts.
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import type { ParsedLabelSelector } from '#machinery/api/labels.ts';
import { controllerOf } from '#machinery/api/object.ts';
import type { ControllerRevision, DaemonSet, Node, Pod } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { daemonSets, nodes, pods } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { templateHash } from '../deployment/reconcile.ts';
import { Expectations } from '../expectations.ts';
import { createHistory, watchRevisions } from '../history/history.ts';
import { dataOf, nextRevision, revisionData, revisionLabel, sameData, sortRevisions } from '../history/revisions.ts';
import {
  adoptPatch, claim, controllerReference, indexByController, isNamespaceTerminating, releasePatch, sameMap, sameValue,
} from '../pods.ts';
import { podFromTemplate, slowStart } from '../replicaset/reconcile.ts';
import { FailureBackoff } from './failure-backoff.ts';
import { burst, calculateStatus, fit, plan, planUpdate, podsByNode, templateFor } from './reconcile.ts';
import type { Plan, View } from './reconcile.ts';

const account = 'daemon-set-controller';

export function createDaemonSetController({ informers, clientFor, recorderFor, now, config }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'daemonset' });
  const all = informers.for(daemonSets);
  const allPods = informers.for(pods);
  const allNodes = informers.for(nodes);
  indexByController(allPods);
  const client = clientFor(account);
  const recorder = recorderFor('daemonset-controller', account);
  const history = createHistory(informers, client, daemonSets);
  const expectations = new Expectations(now);
  const failures = new FailureBackoff(now);

  all.onChange((change) => {
    const key = keyOf(change.object);
    if (change.type === 'deleted') {
      expectations.forget(key);
      failures.forget(change.object.metadata.uid ?? '');
    }
    queue.add(key);
  });
  watchRevisions(informers, queue, daemonSets, (namespace, name, uid) => all.get(namespace, name)?.metadata.uid === uid);

  allNodes.onChange((change) => {
    const node = change.object;
    if (change.type === 'updated' && sameMap(change.old.metadata.labels, node.metadata.labels) && sameValue(change.old.spec?.taints, node.spec?.taints)) return;
    for (const set of all.list()) {
      const after = fit(set, node);
      const before = change.type === 'updated' ? fit(set, change.old) : { run: false, keep: false };
      const changed = change.type === 'deleted' || before.run !== after.run || before.keep !== after.keep;
      if (changed || (set.status?.numberMisscheduled ?? 0) > 0) queue.add(keyOf(set));
    }
  });

  function ownerOf(pod: Pod): DaemonSet | undefined {
    const reference = controllerOf(pod);
    if (reference?.kind !== 'DaemonSet') return undefined;
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
    if (change.type === 'deleted' || pod.metadata.deletionTimestamp !== undefined) {
      if (owner) expectations.deleted(keyOf(owner), keyOf(pod));
      return;
    }
    if (change.type === 'added') {
      if (owner) expectations.created(keyOf(owner));
      else if (!controllerOf(pod)) enqueueMatching(pod);
      return;
    }
    const moved = controllerOf(change.old)?.uid !== controllerOf(pod)?.uid;
    const previous = moved ? ownerOf(change.old) : undefined;
    if (previous) queue.add(keyOf(previous));
    if (!controllerOf(pod) && (moved || !sameMap(change.old.metadata.labels, pod.metadata.labels))) enqueueMatching(pod);
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const set = all.get(namespace, name);
    if (!set?.spec) return;
    const selector = labelSelectorFromObject(set.spec.selector);
    if (selector.requirements.length === 0) {
      recorder.event(set, 'Warning', 'SelectingAll', 'This daemon set is selecting all pods. A non-empty selector is required.');
      return;
    }
    if (set.metadata.deletionTimestamp !== undefined) return; // its revisions may be gone before its pods: nothing reliable to say
    const pass = new Pass(set, selector, signal);
    try {
      await pass.findRevision();
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      throw error;
    }
    const observed = expectations.satisfied(key);
    let failure: unknown;
    let retryMs: number | undefined;
    if (observed) {
      try {
        retryMs = await pass.manage();
        if (expectations.satisfied(key) && set.spec.updateStrategy?.type !== 'OnDelete') await pass.apply(planUpdate(await pass.view()));
        await pass.cleanUp();
      } catch (error) {
        failure = error ?? new Error('unknown failure');
      }
    }
    const { status, nextAvailableMs } = calculateStatus(await pass.view(), observed);
    if (!sameValue(status, set.status)) await writeStatus(set, status, signal);
    if (failure !== undefined) throw failure;
    const requeueAfterMs = Math.min(retryMs ?? Infinity, nextAvailableMs ?? Infinity);
    if (requeueAfterMs !== Infinity) return { requeueAfterMs };
  }

  /** One pass over one set. */
  class Pass {
    #hash = '';
    #old: ControllerRevision[] = [];
    readonly #set: DaemonSet;
    readonly #selector: ParsedLabelSelector;
    readonly #signal: AbortSignal;
    readonly #fits: View['fits'];
    #allowed: Promise<boolean> | undefined;

    constructor(set: DaemonSet, selector: ParsedLabelSelector, signal: AbortSignal) {
      this.#set = set;
      this.#selector = selector;
      this.#signal = signal;
      this.#fits = new Map(allNodes.list().map((node: Node) => [node.metadata.name ?? '', fit(set, node)]));
    }
    get #namespace(): string {
      return this.#set.metadata.namespace ?? '';
    }
    #mayAdopt(): Promise<boolean> {
      const { name = '', uid } = this.#set.metadata;
      const ask = async (): Promise<boolean> => {
        const fresh = await client.get(daemonSets, this.#namespace, name, this.#signal);
        return fresh.metadata.uid === uid && fresh.metadata.deletionTimestamp === undefined;
      };
      return (this.#allowed ??= ask());
    }

    async #pods(): Promise<Pod[]> {
      const { uid = '' } = this.#set.metadata;
      const reference = controllerReference(this.#set, daemonSets);
      return claim<Pod>({
        owner: this.#set, selector: this.#selector, mayAdopt: () => this.#mayAdopt(),
        candidates: [...allPods.byIndex('controller', uid), ...allPods.byIndex('controller', `orphan/${this.#namespace}`)],
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
    /** Pods as the cache has them now. */
    async view(): Promise<View> {
      return { set: this.#set, fits: this.#fits, pods: podsByNode(await this.#pods()), hash: this.#hash, now: now() };
    }

    /** Finds or makes the revision of the set's template, numbered above all others. */
    async findRevision(): Promise<void> {
      const { template } = this.#set.spec ?? {};
      const data = revisionData(template);
      const revisions = sortRevisions(await history.list(this.#set, this.#selector, () => this.#mayAdopt(), this.#signal));
      const same = revisions.filter((revision) => sameData(dataOf(revision), data));
      this.#old = revisions.filter((revision) => !same.includes(revision));
      const number = nextRevision(this.#old);
      let current = same.pop() ?? (await this.#makeRevision(data, number));
      const label = current.metadata.labels?.[revisionLabel];
      if (current.revision < number || label === undefined) {
        current = await history.update(current, { revision: Math.max(number, current.revision), labels: { [revisionLabel]: label ?? current.metadata.name ?? '' } }, this.#signal);
      }
      this.#hash = current.metadata.labels?.[revisionLabel] ?? '';
      await this.#dropDuplicates(same);
    }
    async #dropDuplicates(duplicates: readonly ControllerRevision[]): Promise<void> {
      if (duplicates.length === 0) return;
      for (const pod of await this.#pods()) {
        if (pod.metadata.labels?.[revisionLabel] === this.#hash) continue;
        if (!duplicates.some((each) => each.metadata.labels?.[revisionLabel] === pod.metadata.labels?.[revisionLabel])) continue;
        await client.patch(pods, this.#namespace, pod.metadata.name ?? '', 'merge', { metadata: { labels: { [revisionLabel]: this.#hash } } }, this.#signal);
      }
      for (const each of duplicates) await history.remove(each, this.#signal);
    }
    async #makeRevision(data: object, number: number): Promise<ControllerRevision> {
      const { spec, metadata, status } = this.#set;
      const hash = templateHash(spec?.template, status?.collisionCount);
      const labels = { ...spec?.template.metadata?.labels, [revisionLabel]: hash };
      const made = await history.create(this.#set, { name: `${metadata.name ?? ''}-${hash}`, labels, data, number }, this.#signal);
      if ('revision' in made) return made.revision;
      const fresh = await client.get(daemonSets, this.#namespace, metadata.name ?? '', this.#signal);
      if (fresh.status?.collisionCount === status?.collisionCount) await writeStatus(fresh, { ...fresh.status, collisionCount: (fresh.status?.collisionCount ?? 0) + 1 }, this.#signal);
      throw made.collision; // the next try has the new count
    }

    /** Creates and deletes by node; answers when a failed pod may be replaced. */
    async manage(): Promise<number | undefined> {
      const { create, remove, finished } = plan(await this.view());
      let retryMs: number | undefined;
      for (const { pod, node } of finished) {
        const failed = pod.status?.phase === 'Failed';
        const waitMs = failed ? failures.waitMs(this.#set, node) : 0;
        if (waitMs > 0) {
          retryMs = Math.min(retryMs ?? Infinity, waitMs);
          continue;
        }
        const where = `${this.#namespace}/${pod.metadata.name} on node ${node}`;
        if (failed) recorder.event(this.#set, 'Warning', 'FailedDaemonPod', `Found failed daemon pod ${where}, will try to kill it`);
        else recorder.event(this.#set, 'Normal', 'SucceededDaemonPod', `Found succeeded daemon pod ${where}, will try to delete it`);
        remove.push(pod);
      }
      await this.apply({ create, remove });
      return retryMs;
    }

    async apply({ create, remove }: Plan): Promise<void> {
      const key = keyOf(this.#set);
      const nodesToFill = create.slice(0, burst);
      const chosen = remove.slice(0, burst);
      expectations.expectBoth(key, nodesToFill.length, chosen.map(keyOf));
      const { name = '' } = this.#set.metadata;
      const reference = controllerReference(this.#set, daemonSets);
      let next = 0;
      const { succeeded, failure } = await slowStart(nodesToFill.length, async () => {
        const node = nodesToFill[next++] ?? '';
        try {
          const body = podFromTemplate(templateFor(this.#set, node, this.#hash), name, this.#namespace, reference);
          const pod = await client.create(pods, this.#namespace, body, this.#signal);
          recorder.event(this.#set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
        } catch (error) {
          if (isNamespaceTerminating(error)) {
            expectations.created(key);
            return;
          }
          if (!this.#signal.aborted) recorder.event(this.#set, 'Warning', 'FailedCreate', `Error creating: ${error instanceof Error ? error.message : String(error)}`);
          throw error;
        }
      });
      expectations.created(key, nodesToFill.length - succeeded); // what was not created will not be seen either
      const results = await Promise.allSettled(chosen.map((pod) => this.#delete(key, pod)));
      const failed = results.find((result) => result.status === 'rejected');
      if (failure ?? failed) throw failure ?? failed?.reason;
    }
    async #delete(key: string, pod: Pod): Promise<void> {
      try {
        await client.delete(pods, this.#namespace, pod.metadata.name ?? '', {}, this.#signal);
        recorder.event(this.#set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
      } catch (error) {
        expectations.deleted(key, keyOf(pod));
        if (isNotFound(error)) return;
        if (!this.#signal.aborted) recorder.event(this.#set, 'Warning', 'FailedDelete', `Error deleting: ${error instanceof Error ? error.message : String(error)}`);
        throw error;
      }
    }

    /** Old revisions beyond the limit, those that pods still run from excepted. */
    async cleanUp(): Promise<void> {
      let surplus = this.#old.length - (this.#set.spec?.revisionHistoryLimit ?? 10);
      if (surplus <= 0) return;
      const live = new Set((await this.#pods()).map((pod) => pod.metadata.labels?.[revisionLabel]));
      for (const revision of this.#old) {
        if (surplus <= 0) return;
        if (live.has(revision.metadata.labels?.[revisionLabel])) continue;
        await history.remove(revision, this.#signal);
        surplus -= 1;
      }
    }
  }

  async function writeStatus(set: DaemonSet, status: object, signal: AbortSignal): Promise<void> {
    const { namespace = '', name = '' } = set.metadata;
    try {
      await client.update(daemonSets, namespace, name, { ...set, status }, signal, { subresource: 'status' });
    } catch (error) {
      if (isNotFound(error)) return; // its own deletion comes as an event
      if (!isConflict(error)) throw error;
      const fresh = await client.get(daemonSets, namespace, name, signal);
      await client.update(daemonSets, namespace, name, { ...fresh, status }, signal, { subresource: 'status' });
    }
  }

  return { run: (stop) => runController({ name: 'daemonset-controller', queue, workers: config.concurrent.daemonSet, reconcile, maxRetries: Infinity }, stop) };
}
