// Counts what quotas limit: at their start, when something that counts goes away, and all of them now and then. Charges for what comes
// are the API servers' business. Upstream: pkg/controller/resourcequota.
import { sleep } from '#machinery/base/clock.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { isNotFound } from '#machinery/api/status.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { addQuantities } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import { evaluatorOf, resourcesMeasuring } from '#machinery/api/quota/evaluators.ts';
import type { Evaluator } from '#machinery/api/quota/evaluators.ts';
import { usageOf } from '#machinery/api/quota/quota.ts';
import type { ResourceQuota } from '#machinery/api/quota/quota.ts';
import { readResourceList, sameResources } from '#machinery/api/resource-list.ts';
import type { ResourceList } from '#machinery/api/resource-list.ts';
import { runController } from '#machinery/client/controller.ts';
import { resourceQuotas } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { Informer, ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { Monitors } from './monitors.ts';
import { inFlightMs, nextStatus, RecentCharges } from './reconcile.ts';

/** Things go away in swarms. */
const gatherMs = 100;
const syncTimeoutMs = 2000;
/** How often resources that were not there are looked for, and informers that nobody needs are ended. */
const tidyMs = 30_000;
const shortestPeriodMs = 50;
/** What was created while a new quota was first counted was neither charged nor, perhaps, seen. */
const recountMs = 1000;

export function createResourceQuotaController({ config, informers, clientFor, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'resourcequota_primary' });
  const quotas = informers.for(resourceQuotas);
  const account = 'resourcequota-controller';
  const client = clientFor(account);
  const recent = new RecentCharges();
  /** Quotas that name resources which the server does not have. */
  const incomplete = new Set<string>();
  const measured = new WeakMap<Readonly<KubeObject>, ResourceList>();

  quotas.onChange((change) => {
    const { type, object } = change;
    const key = keyOf(object);
    if (type === 'deleted') {
      recent.forget(key);
      incomplete.delete(key);
      queue.forget(key);
      return;
    }
    if (type === 'updated') {
      // Our own writes only ever show more where nothing had been charged.
      recent.note(key, readResourceList(change.old.status?.used), readResourceList(object.status?.used), now());
      if (sameResources(readResourceList(change.old.spec?.hard), readResourceList(object.spec?.hard))) return;
    }
    queue.add(key);
  });

  function onFreed(evaluator: Evaluator, namespace: string): void {
    for (const quota of quotas.list(namespace)) if (namesOf(quota).some((name) => evaluator.measures(name))) queue.addAfter(keyOf(quota), gatherMs);
  }

  function onArrived(evaluator: Evaluator, object: Readonly<KubeObject>): void {
    for (const quota of quotas.list(object.metadata?.namespace ?? '')) recent.arrived(keyOf(quota), () => measure(evaluator, object));
  }

  function measure(evaluator: Evaluator, object: Readonly<KubeObject>): ResourceList {
    if (evaluator.countsOnly || object.metadata?.deletionTimestamp !== undefined) return evaluator.usage(object, now());
    let usage = measured.get(object);
    if (!usage) measured.set(object, usage = evaluator.usage(object, now()));
    return usage;
  }

  async function reconcile(key: string, monitors: Monitors, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const first = quotas.get(namespace, name);
    if (!first) return;
    const ready: { evaluator: Evaluator; informer: Informer<KubeObject> }[] = [];
    let late = false;
    incomplete.delete(key);
    for (const evaluator of evaluatorsOf(first)) {
      const informer = await monitors.informerOf(evaluator, signal);
      if (!informer) incomplete.add(key);
      else if (await isInSync(informer, signal)) ready.push({ evaluator, informer });
      else late = true;
    }

    // From here to the write nothing waits: what is counted is never older than the quota that it is compared with.
    const quota = quotas.get(namespace, name);
    if (!quota) return;
    const counted = new Map<string, Quantity>();
    for (const { evaluator, informer } of ready) {
      const names = namesOf(quota).filter((each) => evaluator.measures(each));
      for (const [each, used] of usageOf(quota, names, evaluator, informer.list(namespace), (object) => measure(evaluator, object))) {
        const sum = counted.get(each);
        counted.set(each, sum ? addQuantities(sum, used) : used);
      }
    }
    const isNew = !sameResources(readResourceList(quota.spec?.hard), readResourceList(quota.status?.hard));
    const { status, held } = nextStatus(quota, counted, recent.of(key, now()));
    if (status) {
      await client.update(resourceQuotas, namespace, name, { ...quota, status }, signal, { subresource: 'status' }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
    if (late) return { backOff: true };
    if (held || isNew) return { requeueAfterMs: held ? inFlightMs : recountMs };
  }

  return {
    async run(signal) {
      const group = createTaskGroup(signal);
      const monitors = new Monitors({ informers, client, now, onFreed, onArrived, start: (name, task) => group.start(name, task) });
      group.start('quotas', (own) => runController({ name: account, queue, workers: config.concurrent.resourceQuota, reconcile: (key, each) => reconcile(key, monitors, each), maxRetries: Infinity }, own));
      group.start('tidy', async (own) => {
        const periodMs = config.resourceQuotaSyncPeriodMs === 0 ? Infinity : Math.max(config.resourceQuotaSyncPeriodMs, shortestPeriodMs);
        for (let next = now() + periodMs; !own.aborted;) {
          await sleep(Math.min(tidyMs, periodMs), own).catch(() => undefined); // the loop's condition sees the abort
          const all = quotas.list();
          monitors.keepOnly(new Set(all.flatMap((quota) => evaluatorsOf(quota).map(({ id }) => id))));
          for (const key of incomplete) queue.add(key);
          if (now() < next) continue;
          next = now() + periodMs;
          for (const quota of all) queue.add(keyOf(quota));
        }
      });
      await group.wait();
    },
  };
}

const namesOf = ({ spec }: Readonly<ResourceQuota>): string[] => Object.keys(spec?.hard ?? {});

function evaluatorsOf(quota: Readonly<ResourceQuota>): Evaluator[] {
  return [...new Set(namesOf(quota).flatMap(resourcesMeasuring))].flatMap((id) => evaluatorOf(id) ?? []);
}

async function isInSync(informer: Informer<KubeObject>, signal: AbortSignal): Promise<boolean> {
  if (informer.hasSynced()) return true;
  await informer.waitForSync(AbortSignal.any([signal, AbortSignal.timeout(syncTimeoutMs)])).catch(() => undefined); // asked next
  signal.throwIfAborted();
  return informer.hasSynced();
}
