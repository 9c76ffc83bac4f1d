// The loop: take a pod, run a cycle, then bind in the background while the next pod's cycle runs; tell the user by event and condition.
import { hostname } from 'node:os';
import { rfc3339 } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { isNotFound } from '#machinery/api/status.ts';
import type { Pod, PodCondition } from '#machinery/api/object.ts';
import { createRecorder } from '#machinery/client/recorder.ts';
import { pods } from '#machinery/client/resources.ts';
import type { Client, EventRecorder } from '#machinery/client/types.ts';
import { Cycle, type OnStep, type Outcome } from './cycle.ts';
import type { Extender } from './extender.ts';
import { SchedulerMetrics, type AttemptResult } from './metrics.ts';
import { Nominator } from './nominator.ts';
import { extenderPlugin, isRejection, type ClusterEvent, type Plugin, type Reservation, type Subject } from './plugin.ts';
import { claimsMissing } from './plugins/dynamic-resources.ts';
import type { PodInfo } from './pod-info.ts';
import type { Victims } from './preemption.ts';
import { createProfile, type Profile, type ProfileConfig } from './profile.ts';
import { isGated, SchedulingQueue, type QueuedPod } from './queue.ts';
import { Snapshot } from './snapshot.ts';
import { schedulerOf, watchCluster, type Cluster } from './watch.ts';

const log = createLogger('scheduler');
/** Recorders write one event after the other; several keep up with a burst of pods. A pod's events stay in order. */
const recorders = 4;
const noteLimit = 1024;

export interface SchedulerOptions {
  client: Client;
  /** Each with a `schedulerName` of its own: pods that name another are not ours. */
  profiles: readonly ProfileConfig[];
  /** Shared by all profiles. */
  extenders: readonly Extender[];
  percentageOfNodesToScore: number;
  maxInFlight: number;
  initialBackoffMs: number;
  maxBackoffMs: number;
  /** A pod that waits for an event gets another try after so long without one. */
  maxUnschedulableMs: number;
}

/** A profile at work. */
interface Framework { profile: Profile; cycle: Cycle; byName: ReadonlyMap<string, Plugin>; onStep: OnStep }

export class Scheduler {
  readonly snapshot = new Snapshot();
  readonly nominator = new Nominator();
  readonly metrics = new SchedulerMetrics();
  readonly queue: SchedulingQueue;
  readonly cluster: Cluster;
  readonly #client: Client;
  readonly #options: SchedulerOptions;
  readonly #frameworks: ReadonlyMap<string, Framework>;
  readonly #extenders: readonly Extender[];
  /** Work in the background: bindings, condition patches, preemptions. */
  readonly #background = new Set<Promise<void>>();
  /** Pods that wait for what their plugins reserved, volumes above all: that may take minutes and holds nobody else up. */
  readonly #waiting = new Set<Promise<void>>();
  /** By profile: its name is the reporting controller. */
  #recorders: ReadonlyMap<string, readonly EventRecorder[]> = new Map();

  constructor(options: SchedulerOptions) {
    this.#client = options.client;
    this.#options = options;
    this.queue = new SchedulingQueue({
      wakes: (name, pod) => this.#frameworkOf(pod).byName.get(name)?.wakes ?? [],
      hint: (pod, event, about) => this.#mayHelp(pod, event, about),
      gated: (info) => this.#keepsOut(info),
      initialBackoffMs: options.initialBackoffMs, maxBackoffMs: options.maxBackoffMs, maxWaitMs: options.maxUnschedulableMs,
      onMove: (queue, event) => this.metrics.incoming.with(queue, event).add(),
    });
    this.#countState();
    this.#extenders = options.extenders;
    const ignored = options.extenders.flatMap(({ config }) => config.managedResources.filter(({ ignoredByScheduler }) => ignoredByScheduler).map(({ name }) => name));
    const profiles = new Map(options.profiles.map((config) => [config.schedulerName, createProfile(config, ignored)]));
    this.cluster = watchCluster(options.client, this.snapshot, (schedulerName) => profiles.has(schedulerName), { wholePods: this.#extenders.length > 0 });
    this.cluster.feed(this.queue, this.nominator);
    this.#frameworks = new Map([...profiles].map(([name, profile]) => [name, this.#frameworkFor(name, profile)]));
  }

  #frameworkFor(name: string, profile: Profile): Framework {
    const onStep: OnStep = (point, status, startedAt) => this.metrics.pointSeconds.with(point, status, name).observe((performance.now() - startedAt) / 1000);
    const { percentageOfNodesToScore } = this.#options;
    return {
      profile, onStep, byName: new Map([...profile.plugins, extenderPlugin].map((plugin) => [plugin.name, plugin])),
      cycle: new Cycle({
        plugins: profile.plugins, preemption: profile.preemption, context: this.cluster.context, nominator: this.nominator,
        percentageOfNodesToScore: profile.percentageOfNodesToScore ?? percentageOfNodesToScore, disruptionBudgets: () => this.cluster.budgets(), onStep,
      }),
    };
  }

  #countState(): void {
    const { registry } = this.metrics;
    registry.read({ name: 'scheduler_pending_pods', stability: 'STABLE', labels: ['queue'], help: 'Pods without a node, by the queue that they wait in.' }, 'gauge',
      () => Object.entries(this.queue.counts()).map(([queue, count]) => [[queue], count] as const));
    registry.read({ name: 'scheduler_unschedulable_pods', stability: 'BETA', labels: ['plugin', 'profile'], help: 'Waiting pods by the plugins that rejected them; one pod may count for several.' }, 'gauge', () => {
      const counts = new Map<string, [labels: readonly string[], count: number]>();
      for (const { place, rejectors, info } of this.queue.all()) {
        if (place !== 'waiting') continue;
        for (const plugin of rejectors) {
          const labels = [plugin, schedulerOf(info.pod)];
          const known = counts.get(labels.join());
          if (known) known[1] += 1;
          else counts.set(labels.join(), [labels, 1]);
        }
      }
      return counts.values();
    });
    registry.read({ name: 'scheduler_cache_size', stability: 'ALPHA', labels: ['type'], help: 'Nodes and pods that are known, and pods whose binding is under way.' }, 'gauge',
      () => Object.entries(this.snapshot.counts()).map(([type, count]) => [[type], count] as const));
    registry.read({ name: 'scheduler_goroutines', stability: 'BETA', labels: ['operation'], help: 'Bindings and reports under way.' }, 'gauge',
      () => [[['binding'], this.#background.size + this.#waiting.size]]);
  }

  #count(entry: QueuedPod, result: AttemptResult): void {
    const profile = schedulerOf(entry.info.pod);
    const { metrics } = this;
    metrics.attempts.with(result, profile).add();
    metrics.attemptSeconds.with(result, profile).observe((performance.now() - entry.startedAt) / 1000);
    if (result !== 'scheduled') return;
    metrics.sliSeconds.with(entry.attempts >= 15 ? '15+' : String(entry.attempts)).observe((Date.now() - entry.addedAt) / 1000);
    metrics.podAttempts.observe(entry.attempts);
    if (entry.flushed) metrics.afterFlush.add();
  }

  #frameworkOf({ pod }: PodInfo): Framework {
    const framework = this.#frameworks.get(schedulerOf(pod));
    if (!framework) throw new Error(`no profile for scheduler name ${schedulerOf(pod)}`); // watchCluster lets only ours in
    return framework;
  }

  /** Schedules until the signal aborts; settles when bindings under way have ended. The informers must have synced. */
  async run(signal: AbortSignal): Promise<void> {
    this.#recorders = new Map([...this.#frameworks.keys()].map((component) => [component, Array.from({ length: recorders }, () =>
      createRecorder({ client: this.#client, component, api: 'events', host: hostname() }, signal))]));
    while (!signal.aborted) {
      const entry = await this.queue.take(signal);
      if (!entry) break;
      await this.#scheduleOne(entry, signal);
      await new Promise((resolve) => setImmediate(resolve)); // answers and watch events come in between
      while (this.#background.size >= this.#options.maxInFlight && !signal.aborted) await Promise.race(this.#background);
    }
    await Promise.allSettled([...this.#background, ...this.#waiting]);
  }

  #keepsOut(info: PodInfo): boolean {
    const { gates, claims } = this.#frameworkOf(info).profile;
    return (gates && isGated(info)) || (claims && (info.pod.spec?.resourceClaims?.length ?? 0) > 0 && claimsMissing(info.pod, this.cluster.context.devices) !== undefined);
  }

  /** A promise only when extenders have a say. */
  #scheduleOne(entry: QueuedPod, signal: AbortSignal): Promise<void> | undefined {
    const { info } = entry;
    const { pod } = info;
    if (pod.metadata.deletionTimestamp) {
      this.#event(info, 'Warning', 'FailedScheduling', `skip schedule deleting pod: ${info.key}`, 'Scheduling');
      this.queue.delete(info.uid); // its deletion is on its way
      return undefined;
    }
    entry.startedAt = performance.now();
    const { cycle } = this.#frameworkOf(info);
    const extenders = this.#extenders.filter((extender) => extender.concerns(info));
    if (extenders.length > 0) {
      this.queue.follow(entry);
      return cycle.scheduleWith(extenders, info, signal)
        .then((outcome) => this.#conclude(entry, outcome, signal), (error: unknown) => this.#cycleFailed(entry, error, signal))
        .finally(() => this.queue.unfollow());
    }
    let outcome;
    try {
      outcome = cycle.schedule(info);
    } catch (error) {
      this.#cycleFailed(entry, error, signal);
      return undefined;
    }
    this.#conclude(entry, outcome, signal);
    return undefined;
  }

  /** A pod that breaks a plugin must not stop the others. */
  #cycleFailed(entry: QueuedPod, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    log.error('scheduling cycle failed', { pod: entry.info.key, error });
    this.#schedulerError(entry, error instanceof Error ? error.message : String(error), signal);
  }

  #conclude(entry: QueuedPod, outcome: Outcome, signal: AbortSignal): void {
    const { info } = entry;
    this.metrics.algorithmSeconds.observe((performance.now() - entry.startedAt) / 1000);
    if (this.queue.get(info.uid) !== entry) return; // deleted, or given a node by somebody else, while extenders were asked
    if (outcome.kind === 'placed') {
      this.snapshot.assume(info, outcome.node.name);
      this.nominator.delete(info.uid);
      const { node: { name: node }, reservations } = outcome;
      if (reservations.length === 0) this.#inBackground('binding', () => this.#bind(entry, node, signal));
      else this.#inBackground('binding', () => this.#prepareAndBind(entry, node, reservations, signal), this.#waiting);
      return;
    }
    const { message, rejectors, nominate, victims, relief } = outcome;
    this.#count(entry, 'unschedulable');
    this.metrics.preemptionAttempts.add();
    if (victims) this.metrics.preemptionVictims.observe(victims.pods.length);
    log.info('no node fits', { pod: info.key, reason: message });
    this.queue.unschedulable(entry, rejectors, message);
    if (victims?.pods.some(isStaying)) this.queue.hold(entry);
    if (nominate) this.nominator.set(info, nominate);
    else if (nominate === '') this.nominator.delete(info.uid);
    this.#event(info, 'Warning', 'FailedScheduling', message, 'Scheduling');
    this.#inBackground('reporting', async () => {
      await this.#report(info, 'Unschedulable', message, nominate, signal);
      if (victims) await this.#evict(entry, victims, signal);
      await relief?.(this.#client, signal);
    });
  }

  async #prepareAndBind(entry: QueuedPod, node: string, reservations: readonly Reservation[], signal: AbortSignal): Promise<void> {
    const { info } = entry;
    const { onStep } = this.#frameworkOf(info);
    const startedAt = performance.now();
    let of = '';
    try {
      for (const reservation of reservations) {
        ({ of } = reservation);
        await reservation.preBind(this.#client, signal);
      }
      onStep('PreBind', 'Success', startedAt);
    } catch (error) {
      onStep('PreBind', 'Error', startedAt);
      for (const reservation of reservations) reservation.undo();
      if (signal.aborted) return;
      this.snapshot.forget(info.uid);
      this.queue.event('PodDelete', { node, before: info }); // its room is free again
      if (this.cluster.pod(info.namespace, info.name)?.metadata.uid !== info.uid) {
        this.queue.delete(info.uid);
        return;
      }
      log.warn('what was reserved is not ready', { pod: info.key, node, plugin: of, error });
      this.#schedulerError(entry, `running PreBind plugin "${of}": ${error instanceof Error ? error.message : String(error)}`, signal);
      return;
    }
    await this.#bind(entry, node, signal);
    for (const reservation of reservations) reservation.undo();
  }

  async #bind(entry: QueuedPod, node: string, signal: AbortSignal): Promise<void> {
    const { info } = entry;
    const { name, namespace, uid } = info;
    const { onStep } = this.#frameworkOf(info);
    const startedAt = performance.now();
    try {
      const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace, uid }, target: { kind: 'Node', name: node } };
      if (!await this.#bindByExtender(info, node, signal)) await this.#client.create(pods, namespace, binding, signal, { subresource: 'binding', name });
      onStep('Bind', 'Success', startedAt);
    } catch (error) {
      onStep('Bind', 'Error', startedAt);
      if (signal.aborted) return;
      const now = this.cluster.pod(namespace, name);
      if (now?.metadata.uid === uid && now.spec?.nodeName) return; // bound after all, the answer was lost
      this.snapshot.forget(uid);
      this.queue.event('PodDelete', { node, before: info }); // its room is free again
      if (isNotFound(error) && now === undefined) {
        this.queue.delete(uid);
        return;
      }
      log.warn('binding failed', { pod: info.key, node, error });
      const why = error instanceof Error ? error.message : String(error);
      this.#schedulerError(entry, `binding rejected: running Bind plugin "DefaultBinder": ${why}`, signal);
      return;
    }
    this.#bound(entry, node);
  }

  #bound(entry: QueuedPod, node: string): void {
    const { info } = entry;
    log.info('pod bound', { pod: info.key, node });
    this.#count(entry, 'scheduled');
    this.queue.delete(info.uid);
    this.#event(info, 'Normal', 'Scheduled', `Successfully assigned ${info.key} to ${node}`, 'Binding');
  }

  /** False when none does. */
  async #bindByExtender(info: PodInfo, node: string, signal: AbortSignal): Promise<boolean> {
    const binder = this.#extenders.find((extender) => extender.config.bindVerb !== '' && extender.concerns(info));
    if (!binder) return false;
    try {
      await binder.bind(info, node, signal);
      return true;
    } catch (error) {
      if (!binder.config.ignorable) throw error;
      log.warn('extender left out of binding', { extender: binder.config.urlPrefix, pod: info.key, error });
      return false;
    }
  }

  #schedulerError(entry: QueuedPod, message: string, signal: AbortSignal): void {
    const newest = this.cluster.pod(entry.info.namespace, entry.info.name);
    if (newest?.metadata.uid === entry.info.uid) entry.info.pod = newest;
    this.#count(entry, 'error');
    this.queue.failed(entry, message);
    this.#event(entry.info, 'Warning', 'FailedScheduling', message, 'Scheduling');
    this.#inBackground('reporting', () => this.#report(entry.info, 'SchedulerError', message, '', signal));
  }

  /** Writes the PodScheduled condition and the nomination, when they differ from what the pod shows. */
  async #report(info: PodInfo, reason: string, message: string, nominate: string | undefined, signal: AbortSignal): Promise<void> {
    const { pod } = info;
    const status: Record<string, unknown> = {};
    const condition = changedCondition(pod, 'PodScheduled', 'False', reason, message);
    if (condition) status.conditions = [condition];
    if (nominate !== undefined && nominate !== (pod.status?.nominatedNodeName ?? '')) status.nominatedNodeName = nominate === '' ? null : nominate;
    if (Object.keys(status).length === 0) return;
    await this.#patchStatus(info, status, signal);
  }

  async #patchStatus(info: PodInfo, status: Record<string, unknown>, signal: AbortSignal): Promise<void> {
    try {
      // With the uid, a pod of the same name that came after is left alone.
      await this.#client.patch(pods, info.namespace, info.name, 'strategic', { metadata: { uid: info.uid }, status }, signal, { subresource: 'status' });
    } catch (error) {
      if (!signal.aborted && !isNotFound(error)) log.warn('pod status not written', { pod: info.key, error });
    }
  }

  /**
   * Removes the victims. Meanwhile the pod is held: their going would have it tried while some are still there, and choose others.
   * It is let go before the last of them, whose end tells that there is room.
   */
  async #evict(preemptor: QueuedPod, victims: Victims, signal: AbortSignal): Promise<void> {
    const { info } = preemptor;
    for (const lower of this.nominator.below(info.priority, victims.node)) {
      this.nominator.delete(lower.uid);
      await this.#patchStatus(lower, { nominatedNodeName: null }, signal);
    }
    const staying = victims.pods.filter(isStaying);
    const last = staying.pop();
    try {
      await Promise.all(staying.map((victim) => this.#evictOne(victim, info, victims.node, signal)));
      this.queue.release(preemptor);
      if (last && !await this.#evictOne(last, info, victims.node, signal)) this.queue.activate(preemptor); // nothing more will tell
    } catch (error) {
      if (signal.aborted) return;
      log.warn('preemption failed', { by: info.key, node: victims.node, error });
      this.queue.release(preemptor);
      this.nominator.delete(info.uid);
      if (preemptor.place === 'waiting') this.queue.failed(preemptor, `preemption on ${victims.node} failed`);
    }
  }

  /** False when the pod was gone already. */
  async #evictOne(victim: PodInfo, preemptor: PodInfo, node: string, signal: AbortSignal): Promise<boolean> {
    const message = `${schedulerOf(preemptor.pod)}: preempting to accommodate a higher priority pod`;
    const condition = changedCondition(victim.pod, 'DisruptionTarget', 'True', 'PreemptionByScheduler', message);
    try {
      if (condition) await this.#client.patch(pods, victim.namespace, victim.name, 'strategic', { metadata: { uid: victim.uid }, status: { conditions: [condition] } }, signal, { subresource: 'status' });
      await this.#client.delete(pods, victim.namespace, victim.name, { preconditions: { uid: victim.uid } }, signal);
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
    log.info('pod preempted', { pod: victim.key, by: preemptor.key, node });
    this.#event(victim, 'Normal', 'Preempted', `Preempted by pod ${preemptor.uid} on node ${node}`, 'Preempting', preemptor);
    return true;
  }

  /** Whether the change can make one of the plugins that rejected the pod think again. */
  #mayHelp({ info, rejectors }: QueuedPod, event: ClusterEvent, about: Subject): boolean {
    const node = about.node === undefined ? undefined : this.snapshot.node(about.node);
    for (const name of rejectors) {
      const plugin = this.#frameworkOf(info).byName.get(name);
      if (!plugin?.wakes.includes(event)) continue;
      if (plugin.mayHelp && (about.before ?? about.now)) {
        if (plugin.mayHelp(info, about, this.cluster.context)) return true;
        continue;
      }
      if (!plugin.perNode || !node) return true;
      const step = plugin.prepareFilter?.(info, this.cluster.context);
      if (!step) return true;
      if (!isRejection(step) && !step.filter(node)) return true;
    }
    return false;
  }

  #event(info: PodInfo, type: 'Normal' | 'Warning', reason: string, message: string, action: string, related?: PodInfo): void {
    const note = message.length > noteLimit ? `${message.slice(0, noteLimit - 4)} ...` : message;
    // A victim's event is told by who pushed it aside.
    const recorder = this.#recorders.get(schedulerOf((related ?? info).pod))?.[(Number.parseInt(info.uid.slice(-2), 16) || 0) % recorders];
    recorder?.event(subject(info.pod), type, reason, note, { action, ...(related ? { related: subject(related.pod) } : {}) });
  }

  #inBackground(what: string, work: () => Promise<void>, set = this.#background): void {
    const promise = work()
      .catch((error: unknown) => log.error(`${what} failed`, { error }))
      .finally(() => set.delete(promise));
    set.add(promise);
  }
}

/** Its deletion has not begun. */
function isStaying({ pod }: PodInfo): boolean {
  return pod.metadata.deletionTimestamp === undefined;
}

function subject(pod: Pod): Pod {
  return pod.kind ? pod : { ...pod, apiVersion: 'v1', kind: 'Pod' };
}

/** The condition to write, or undefined when the pod shows it already; the transition time stays while the status does. */
function changedCondition(pod: Pod, type: string, status: string, reason: string, message: string): PodCondition | undefined {
  const old = pod.status?.conditions?.find((condition) => condition.type === type);
  const generation = pod.metadata.generation;
  if (old?.status === status && old.reason === reason && old.message === message && old.observedGeneration === generation) return undefined;
  const lastTransitionTime = old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : rfc3339(Date.now());
  return { type, status, reason, message, lastTransitionTime, ...(generation === undefined ? {} : { observedGeneration: generation }) };
}
