// Leader election over a coordination.k8s.io Lease, with client-go's rules and timings (tools/leaderelection): a holder
// renews every 2 s; others take over when they saw no renewal for the lease's duration by their own clock.
import { rfc3339Micro, systemClock } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { withTimeout } from '../base/abort.ts';
import { createLogger } from '../base/log.ts';
import type { Counter, Registry } from '../base/metrics.ts';
import type { Lease } from '../api/object.ts';
import { isAlreadyExists, isConflict, isNotFound } from '../api/status.ts';
import { leases } from './resources.ts';
import type { Client } from './types.ts';

const log = createLogger('lease');

export interface ElectionOptions {
  client: Client;
  namespace: string;
  name: string;
  /** Unique among the candidates. One that stays the same over restarts takes its own lease back at once. */
  identity: string;
  /** Default 15 s. */
  leaseDurationMs?: number;
  /** Default 10 s. */
  renewDeadlineMs?: number;
  /** Default 2 s. */
  retryPeriodMs?: number;
  clock?: Clock;
}

/** What is wrong with these times (component-base's ValidateLeaderElectionConfiguration). */
export function leaseProblems({ leaseDurationMs, renewDeadlineMs, retryPeriodMs }: Required<Pick<ElectionOptions, 'leaseDurationMs' | 'renewDeadlineMs' | 'retryPeriodMs'>>): string[] {
  const problems: string[] = [];
  if (leaseDurationMs <= 0) problems.push('leaseDuration must be greater than zero');
  if (renewDeadlineMs <= 0) problems.push('renewDeadline must be greater than zero');
  if (retryPeriodMs <= 0) problems.push('retryPeriod must be greater than zero');
  if (leaseDurationMs <= renewDeadlineMs) problems.push('LeaseDuration must be greater than RenewDeadline');
  if (renewDeadlineMs <= retryPeriodMs) problems.push('RenewDeadline must be greater than RetryPeriod');
  return problems;
}

/** The lease was lost; the process must stop acting as the leader. */
export class LeadershipLost extends Error {
  override name = 'LeadershipLost';
}

/**
 * Waits for the lease, then runs `lead` with a signal that aborts when the lease is lost or `signal` aborts. Settles after
 * `lead` did; gives the lease back when it still holds it. Throws LeadershipLost when renewing failed for too long.
 */
export async function runAsLeader(options: ElectionOptions, lead: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
  const { renewDeadlineMs = 10_000, retryPeriodMs = 2_000, clock = systemClock } = options;
  const election = new Election(options);
  while (!(await election.tryAcquire(renewDeadlineMs, signal))) {
    if (signal.aborted) return;
    await clock.sleep(retryPeriodMs * (1 + Math.random() * 1.2), signal).catch(() => undefined); // seen just above
    if (signal.aborted) return;
  }
  log.info('leading', { lease: `${options.namespace}/${options.name}`, identity: options.identity });

  const own = new AbortController();
  const leading = AbortSignal.any([signal, own.signal]);
  let lost: LeadershipLost | undefined;
  const renewing = (async () => {
    let renewedAt = clock.now();
    while (!leading.aborted) {
      await clock.sleep(retryPeriodMs, leading).catch(() => undefined); // seen just below
      if (leading.aborted) return;
      const leftMs = renewDeadlineMs - (clock.now() - renewedAt);
      if (leftMs > 0 && (await election.tryAcquire(leftMs, leading))) renewedAt = clock.now();
      else if (clock.now() - renewedAt >= renewDeadlineMs && !leading.aborted) {
        lost = new LeadershipLost(`lease ${options.namespace}/${options.name} was not renewed for ${renewDeadlineMs} ms`);
        own.abort(lost);
      }
    }
  })();
  try {
    await lead(leading);
  } catch (error) {
    if (!lost) throw error;
  } finally {
    own.abort();
    await renewing;
    if (!lost) await election.release();
  }
  if (lost) throw lost;
}

/** 1 in the cell of each lease that this process holds. */
export function leadershipGauge(registry: Registry): Counter {
  return registry.gauge({ name: 'leader_election_master_status', stability: 'ALPHA', labels: ['name'], help: 'Whether this process holds the lease: 0 another one does, 1 it does.' });
}

class Election {
  readonly #options: ElectionOptions;
  readonly #clock: Clock;
  readonly #durationMs: number;
  /** The lease as last seen, and when by our own clock: other machines' clocks are not trusted. */
  #seen: Lease | undefined;
  #seenAt = 0;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#durationMs = options.leaseDurationMs ?? 15_000;
  }

  /** True when the lease is ours now. Answers and silence alike count as a failed attempt. */
  async tryAcquire(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    try {
      return await withTimeout('acquiring the lease', timeoutMs, signal, (own) => this.#acquire(own));
    } catch (error) {
      if (signal.aborted) return false;
      const quiet = isConflict(error) || isAlreadyExists(error); // somebody else was faster
      log[quiet ? 'debug' : 'warn']('lease not acquired', { lease: this.#options.name, error });
      if (quiet) this.#seenAt = 0;
      return false;
    }
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity } = this.#options;
    const now = rfc3339Micro(this.#clock.now());
    let lease: Lease;
    try {
      // Our own lease as written last is good enough to renew: a change by another shows as a conflict.
      const mine = this.#seen?.spec?.holderIdentity === identity && this.#seenAt > 0;
      lease = mine && this.#seen ? this.#seen : await client.get(leases, namespace, name, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const spec = { holderIdentity: identity, leaseDurationSeconds: Math.trunc(this.#durationMs / 1000), acquireTime: now, renewTime: now, leaseTransitions: 0 };
      const created = await client.create(leases, namespace, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace, name }, spec }, signal);
      this.#remember(created);
      return true;
    }
    if (lease.metadata.resourceVersion !== this.#seen?.metadata.resourceVersion) this.#remember(lease);
    const held = lease.spec?.holderIdentity;
    const ours = held === identity;
    if (held && !ours && this.#seenAt + (lease.spec?.leaseDurationSeconds ?? 0) * 1000 > this.#clock.now()) return false;
    const spec = {
      ...lease.spec, holderIdentity: identity, leaseDurationSeconds: Math.trunc(this.#durationMs / 1000), renewTime: now,
      acquireTime: ours ? lease.spec?.acquireTime : now,
      leaseTransitions: (lease.spec?.leaseTransitions ?? 0) + (ours ? 0 : 1),
    };
    this.#remember(await client.update(leases, namespace, name, { ...lease, spec }, signal));
    return true;
  }

  #remember(lease: Lease): void {
    this.#seen = lease;
    this.#seenAt = this.#clock.now();
  }

  /** Lets the next candidate in at once. A failure only means that it waits for the lease to run out. */
  async release(): Promise<void> {
    const { client, namespace, name, identity } = this.#options;
    if (this.#seen?.spec?.holderIdentity !== identity) return;
    const now = rfc3339Micro(this.#clock.now());
    const spec = { ...this.#seen.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
    try {
      await client.update(leases, namespace, name, { ...this.#seen, spec }, AbortSignal.timeout(2_000));
    } catch (error) {
      log.info('lease not given back', { lease: name, error });
    }
  }
}
