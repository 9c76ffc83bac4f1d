// Pods that wait for a node: ready ones by priority, those backing off after a failure, and those that nothing can be done
// for until something changes in the cluster. Upstream: pkg/scheduler/backend/queue.
import { systemClock, type Clock } from '#machinery/base/clock.ts';
import type { ClusterEvent, Subject } from './plugin.ts';
import type { PodInfo } from './pod-info.ts';

/** How often pods are looked for that have waited too long. */
const flushPeriodMs = 30_000;
/** Back-offs end on whole seconds, as upstream's. */
const longestMomentMs = 1000;

export type Place = 'active' | 'backoff' | 'error' | 'waiting' | 'gated' | 'cycle' | 'gone';

export interface QueuedPod {
  info: PodInfo;
  place: Place;
  attempts: number;
  /** When it came the first time, for how long it took in all. */
  readonly addedAt: number;
  /** When the last attempt began, by the monotonic clock. */
  startedAt: number;
  /** Tried again only because it had waited too long. */
  flushed: boolean;
  /** Attempts that found no node. */
  rejections: number;
  /** Attempts in a row that failed for other reasons; only these count for the back-off then. */
  errors: number;
  /** When it came to where it is. */
  since: number;
  backoffUntil: number;
  /** Names of the plugins that rejected it last. */
  rejectors: ReadonlySet<string>;
  message: string;
  /** Not tried while its preemption is under way: what it would choose next is being decided. */
  held: boolean;
  /** Changes with every move, so that a heap entry that was left behind is recognised. */
  ticket: number;
}

/** Whether a waiting pod is worth a try after `event`. */
export type Hint = (pod: QueuedPod, event: ClusterEvent, about: Subject) => boolean;

export interface QueueOptions {
  /** Events that wake pods rejected by a plugin. */
  wakes: (plugin: string, pod: PodInfo) => readonly ClusterEvent[];
  hint?: Hint;
  /** Pods that are not tried until a change of their own. */
  gated?: (pod: PodInfo) => boolean;
  /** Of the first failure; doubled with each up to the longest. */
  initialBackoffMs?: number;
  maxBackoffMs?: number;
  /** Nothing waits longer than this without another try, in case an event was not recognised as helpful. */
  maxWaitMs?: number;
  clock?: Clock;
  /** Told of every pod that enters a queue, and why. */
  onMove?: (queue: 'active' | 'backoff' | 'unschedulable' | 'gated', event: string) => void;
}

/** Upstream's labels of what moves pods. */
const labels: Readonly<Record<ClusterEvent | 'PodNew', string>> = {
  PodNew: 'UnscheduledPodAdd', OwnUpdate: 'UnscheduledPodUpdate', NodeAdd: 'NodeAdd', NodeAllocatable: 'NodeUpdateNodeAllocatable',
  NodeLabel: 'NodeUpdateNodeLabel', NodeTaint: 'NodeUpdateNodeTaint', NodeFeature: 'NodeUpdateNodeDeclaredFeature', PodAdd: 'AssignedPodAdd', PodUpdate: 'AssignedPodUpdate',
  PodDelete: 'AssignedPodDelete', Volume: 'PersistentVolumeClaimUpdate', Device: 'ResourceClaimUpdate', Namespace: 'NamespaceUpdate',
};

const noSubject: Subject = {};
/** So many events during one cycle are as good as any. */
const followLimit = 1000;

export function isGated(info: PodInfo): boolean {
  return (info.pod.spec?.schedulingGates?.length ?? 0) > 0;
}

export class SchedulingQueue {
  readonly #pods = new Map<string, QueuedPod>();
  readonly #active = new Heap((a, b) => b.info.priority - a.info.priority || a.since - b.since);
  readonly #backoff = new Heap((a, b) => a.backoffUntil - b.backoffUntil || b.info.priority - a.info.priority);
  /** After errors (a refused binding, say): these wait their time even when nothing else is to do. */
  readonly #errors = new Heap((a, b) => a.backoffUntil - b.backoffUntil || b.info.priority - a.info.priority);
  readonly #waiting = new Map<ClusterEvent, Set<QueuedPod>>();
  readonly #gated = new Set<QueuedPod>();
  readonly #options: Required<Omit<QueueOptions, 'hint' | 'clock' | 'onMove'>> & Pick<QueueOptions, 'hint' | 'onMove'>;
  readonly #clock: Clock;
  #flushedAt: number;
  #tickets = 0;
  #wake: (() => void) | undefined;
  /** A cycle that others are asked in, and what happened since it began. */
  #followed: { entry: QueuedPod; events: [event: ClusterEvent, about: Subject][] } | undefined;

  constructor(options: QueueOptions) {
    this.#options = { gated: isGated, initialBackoffMs: 1_000, maxBackoffMs: 10_000, maxWaitMs: 5 * 60_000, ...options };
    this.#clock = options.clock ?? systemClock;
    this.#flushedAt = this.#clock.now();
  }

  get size(): number {
    return this.#pods.size;
  }
  get(uid: string): QueuedPod | undefined {
    return this.#pods.get(uid);
  }
  all(): IterableIterator<QueuedPod> {
    return this.#pods.values();
  }
  counts(): Record<'active' | 'backoff' | 'unschedulable' | 'gated', number> {
    const counts = { active: 0, backoff: 0, unschedulable: 0, gated: 0 };
    for (const { place } of this.#pods.values()) {
      if (place === 'active') counts.active += 1;
      else if (place === 'backoff' || place === 'error') counts.backoff += 1;
      else if (place === 'waiting') counts.unschedulable += 1;
      else if (place === 'gated') counts.gated += 1;
    }
    return counts;
  }

  /** A pod without a node, new or changed. */
  set(info: PodInfo, changed = true): void {
    const known = this.#pods.get(info.uid);
    if (!known) {
      const entry: QueuedPod = {
        info, place: 'gone', attempts: 0, addedAt: this.#clock.now(), startedAt: 0, flushed: false, rejections: 0, errors: 0, since: 0, backoffUntil: 0, rejectors: new Set(), message: '', held: false, ticket: 0,
      };
      this.#pods.set(info.uid, entry);
      this.#move(entry, this.#options.gated(info) ? 'gated' : 'active', labels.PodNew);
      return;
    }
    const reordered = known.place === 'active' && known.info.priority !== info.priority;
    known.info = info;
    if (reordered) this.#move(known, 'active');
    else if (known.place === 'gated' && !this.#options.gated(info)) this.#move(known, 'active', labels.OwnUpdate);
    else if (known.place === 'waiting' && changed) this.#try(known, 'OwnUpdate', noSubject);
    else if (known === this.#followed?.entry && changed) this.#remember('OwnUpdate', noSubject);
  }

  delete(uid: string): void {
    const entry = this.#pods.get(uid);
    if (!entry) return;
    this.#move(entry, 'gone');
    this.#pods.delete(uid);
  }

  /** The next pod to schedule. When no pod is ready, one that backs off after an event may go early. */
  pop(): QueuedPod | undefined {
    const now = this.#clock.now();
    for (const heap of [this.#backoff, this.#errors]) {
      for (let first = heap.peek(); first && first.backoffUntil <= now; first = heap.peek()) this.#move(first, 'active', 'BackoffComplete');
    }
    if (now - this.#flushedAt >= flushPeriodMs) this.#flushOld(now);
    const entry = this.#active.pop() ?? this.#backoff.pop();
    if (!entry) return undefined;
    if (entry.place === 'backoff') this.#options.onMove?.('active', 'PopFromBackoffQ');
    this.#move(entry, 'cycle');
    entry.attempts += 1;
    return entry;
  }

  /** `pop`, waiting for a pod; undefined when the signal aborted. */
  async take(signal: AbortSignal): Promise<QueuedPod | undefined> {
    while (!signal.aborted) {
      const entry = this.pop();
      if (entry) return entry;
      const next = this.#errors.peek();
      const untilMs = next ? Math.max(1, next.backoffUntil - this.#clock.now()) : flushPeriodMs;
      const stop = new AbortController();
      const wakened = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const timer = this.#clock.sleep(untilMs, AbortSignal.any([signal, stop.signal])).catch(() => undefined); // woken or stopped: both are seen by the loop
      await Promise.race([wakened, timer]);
      this.#wake = undefined;
      stop.abort();
      await timer;
    }
    return undefined;
  }

  /** After a cycle that found no node. */
  unschedulable(entry: QueuedPod, rejectors: ReadonlySet<string>, message: string): void {
    if (this.#pods.get(entry.info.uid) !== entry) return;
    entry.rejectors = rejectors;
    entry.message = message;
    entry.rejections += 1;
    entry.errors = 0;
    this.#backOff(entry, entry.rejections);
    this.#move(entry, this.#options.gated(entry.info) ? 'gated' : 'waiting', 'ScheduleAttemptFailure');
    const missed = this.#followed?.entry === entry ? this.#followed.events : [];
    if (missed.length >= followLimit) this.activate(entry);
    for (const [event, about] of missed) if (this.#waiting.get(event)?.has(entry) || event === 'OwnUpdate') this.#try(entry, event, about);
  }

  /** The pod's cycle takes a while: what happens until `unfollow` counts as if it came after the cycle found no node. */
  follow(entry: QueuedPod): void {
    this.#followed = { entry, events: [] };
  }
  unfollow(): void {
    this.#followed = undefined;
  }
  #remember(event: ClusterEvent, about: Subject): void {
    const events = this.#followed?.events;
    if (events && events.length < followLimit) events.push([event, about]);
  }

  /** After an error that has nothing to do with the cluster's state: tried again when its back-off is over. */
  failed(entry: QueuedPod, message: string): void {
    if (this.#pods.get(entry.info.uid) !== entry) return;
    entry.rejectors = new Set();
    entry.message = message;
    entry.errors += 1;
    this.#backOff(entry, entry.errors);
    this.#move(entry, 'error', 'ScheduleAttemptFailure');
  }

  /** Keeps a pod that found no node out of reach of events until `release`. */
  hold(entry: QueuedPod): void {
    entry.held = true;
  }
  /** Events count again. */
  release(entry: QueuedPod): void {
    entry.held = false;
  }
  /** A pod that waits is tried now. */
  activate(entry: QueuedPod): void {
    if (entry.place === 'waiting') this.#move(entry, 'active', 'ForceActivate');
  }

  /** Something happened that may help pods whose rejectors listen to it. */
  event(event: ClusterEvent, about: Subject = noSubject): void {
    this.#remember(event, about);
    const candidates = this.#waiting.get(event);
    if (!candidates?.size) return;
    for (const entry of [...candidates]) this.#try(entry, event, about);
  }

  /** What keeps pods out may have changed. */
  regate(): void {
    for (const entry of [...this.#gated]) if (!this.#options.gated(entry.info)) this.#move(entry, 'active', labels.Device);
  }

  /** Ends every waiting `take` early. */
  wake(): void {
    this.#wake?.();
  }

  #try(entry: QueuedPod, event: ClusterEvent, about: Subject): void {
    if (entry.place !== 'waiting' || entry.held || this.#options.hint?.(entry, event, about) === false) return;
    entry.flushed = false;
    this.#move(entry, entry.backoffUntil > this.#clock.now() ? 'backoff' : 'active', labels[event]);
  }

  #backOff(entry: QueuedPod, times: number): void {
    const { initialBackoffMs, maxBackoffMs } = this.#options;
    const until = this.#clock.now() + Math.min(maxBackoffMs, initialBackoffMs * 2 ** (times - 1));
    // Those whose time ends within the same moment go by priority.
    const momentMs = Math.min(initialBackoffMs, longestMomentMs);
    entry.backoffUntil = until - (until % momentMs);
  }

  #flushOld(now: number): void {
    this.#flushedAt = now;
    const limit = now - this.#options.maxWaitMs;
    for (const entry of this.#pods.values()) {
      if (entry.place !== 'waiting' || entry.held || entry.since >= limit) continue;
      entry.flushed = true;
      this.#move(entry, 'active', 'UnschedulableTimeout');
    }
  }

  /** `event` is for the metrics; without it the pod only changes its place inside a queue. */
  #move(entry: QueuedPod, place: Place, event?: string): void {
    if (event) this.#options.onMove?.(place === 'active' || place === 'gated' ? place : place === 'waiting' ? 'unschedulable' : 'backoff', event);
    this.#gated.delete(entry);
    if (entry.place === 'waiting') for (const set of this.#waiting.values()) set.delete(entry);
    entry.place = place;
    entry.ticket = this.#tickets += 1;
    entry.since = this.#clock.now();
    if (place === 'active') this.#active.push(entry);
    else if (place === 'backoff') this.#backoff.push(entry);
    else if (place === 'error') this.#errors.push(entry);
    else if (place === 'gated') this.#gated.add(entry);
    else if (place === 'waiting') {
      const events = new Set<ClusterEvent>();
      for (const rejector of entry.rejectors) for (const event of this.#options.wakes(rejector, entry.info)) events.add(event);
      for (const event of events) {
        const set = this.#waiting.get(event);
        if (set) set.add(entry);
        else this.#waiting.set(event, new Set([entry]));
      }
    }
    if (place === 'active' || place === 'backoff' || place === 'error') this.#wake?.();
  }
}

/** A binary heap whose entries go stale when their pod's ticket changes; stale ones are dropped when they come up. */
class Heap {
  readonly #items: { entry: QueuedPod; ticket: number }[] = [];
  readonly #compare: (a: QueuedPod, b: QueuedPod) => number;
  constructor(compare: (a: QueuedPod, b: QueuedPod) => number) {
    this.#compare = compare;
  }
  #before(a: { entry: QueuedPod; ticket: number }, b: { entry: QueuedPod; ticket: number }): boolean {
    const order = this.#compare(a.entry, b.entry);
    return order < 0 || (order === 0 && a.ticket < b.ticket);
  }
  push(entry: QueuedPod): void {
    const items = this.#items;
    const item = { entry, ticket: entry.ticket };
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent];
      if (!above || !this.#before(item, above)) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }
  peek(): QueuedPod | undefined {
    for (;;) {
      const first = this.#items[0];
      if (!first) return undefined;
      if (first.ticket === first.entry.ticket) return first.entry;
      this.#shift();
    }
  }
  pop(): QueuedPod | undefined {
    const first = this.peek();
    if (first) this.#shift();
    return first;
  }
  #shift(): void {
    const items = this.#items;
    const last = items.pop();
    if (!last || items.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      let best = items[child];
      if (!best) break;
      const right = items[child + 1];
      if (right && this.#before(right, best)) {
        best = right;
        child += 1;
      }
      if (!this.#before(best, last)) break;
      items[at] = best;
      at = child;
    }
    items[at] = last;
  }
}
