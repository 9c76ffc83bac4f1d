// Every 20 s: removes pods of nodes that are gone, of nodes out of service, deleted ones that never had a node, and too many finished ones.
import { rfc3339, sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Pod } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { nodes, pods } from '#machinery/client/resources.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { needsFailing, outOfService, surplus, unscheduledTerminating } from './reconcile.ts';

const log = createLogger('podgc');
const periodMs = 20_000;
/** A node must be gone this long: its pods may be listed before it is. */
const quarantineMs = 40_000;

export function createPodGarbageCollector({ informers, clientFor, config, metrics, now }: ControllerContext): Controller {
  const allPods = informers.for(pods);
  const allNodes = informers.for(nodes);
  const client = clientFor('pod-garbage-collector');
  const missing = new Map<string, number>();

  async function remove(pod: Pod, reason: 'terminated' | 'out-of-service' | 'orphaned' | 'unscheduled', signal: AbortSignal, condition?: object): Promise<void> {
    const { namespace = '', name = '', uid } = pod.metadata;
    metrics.collectedPods.with(namespace, reason).add();
    try {
      if (needsFailing(pod)) await client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status: { phase: 'Failed', ...(condition ? { conditions: [condition] } : {}) } }, signal, { subresource: 'status' });
      await client.delete(pods, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } }, signal);
    } catch (error) {
      if (isNotFound(error)) return;
      signal.throwIfAborted();
      metrics.uncollectedPods.with(namespace, reason).add();
      log.warn('a pod could not be removed, trying again', { pod: `${namespace}/${name}`, reason, error }); // the others go all the same
    }
  }

  async function collect(signal: AbortSignal): Promise<void> {
    const list = allPods.list();
    for (const pod of surplus(list, config.terminatedPodGcThreshold)) await remove(pod, 'terminated', signal);
    for (const pod of outOfService(list, (name) => allNodes.get('', name))) await remove(pod, 'out-of-service', signal);
    const named = new Set(list.map((pod) => pod.spec?.nodeName ?? '').filter(Boolean));
    for (const name of missing.keys()) if (!named.has(name) || allNodes.get('', name)) missing.delete(name);
    for (const name of named) {
      if (allNodes.get('', name)) continue;
      const since = missing.get(name) ?? now();
      missing.set(name, since);
      if (now() - since < quarantineMs || (await exists(name, signal))) continue;
      const condition = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByPodGC', message: 'PodGC: node no longer exists', lastTransitionTime: rfc3339(now()) };
      for (const pod of list) if (pod.spec?.nodeName === name) await remove(pod, 'orphaned', signal, condition);
    }
    for (const pod of unscheduledTerminating(list)) await remove(pod, 'unscheduled', signal);
  }
  async function exists(name: string, signal: AbortSignal): Promise<boolean> {
    try {
      await client.get(nodes, '', name, signal);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  return {
    async run(signal) {
      while (!signal.aborted) {
        await sleep(periodMs, signal).catch(() => undefined); // the condition below sees the abort
        if (signal.aborted) return;
        await collect(signal).catch((error: unknown) => {
          if (!signal.aborted) log.warn('collecting pods failed, trying again', { error });
        });
      }
    },
  };
}
