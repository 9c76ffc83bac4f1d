// Finds nodes that have fallen silent, says so in their conditions and their pods', and taints nodes by their conditions.
import { sleep } from '#machinery/base/clock.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Node, NodeCondition, Taint } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { rfc3339 } from '#machinery/base/clock.ts';
import { runController } from '#machinery/client/controller.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { leases, nodes, pods } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isReady, sameValue } from '../pods.ts';
import { agreeingLabels, evictionIntervalMs, executionTaints, nodeCondition, observe, readiness, schedulingTaints, silentConditions, zoneOf } from './reconcile.ts';
import type { Health } from './reconcile.ts';

const log = createLogger('node-lifecycle');

export function createNodeLifecycleController({ informers, clientFor, recorderFor, config, metrics, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'node_lifecycle_controller' });
  const all = informers.for(nodes);
  const allPods = informers.for(pods);
  allPods.addIndex('node', (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
  const allLeases = createInformer(informers.client, leases, { namespace: 'kube-node-lease' });
  const client = clientFor('node-controller');
  const recorder = recorderFor('node-controller', 'node-controller');
  const health = new Map<string, Health>();
  const lastTainted = new Map<string, number>();
  /** Nodes whose pods have been told since the node stopped being ready. */
  const told = new Set<string>();

  all.onChange((change) => {
    const name = change.object.metadata.name ?? '';
    if (change.type === 'added') recorder.event(change.object, 'Normal', 'RegisteredNode', `Node ${name} event: Registered Node ${name} in Controller`);
    if (change.type === 'deleted') {
      recorder.event(change.object, 'Normal', 'RemovingNode', `Node ${name} event: Removing Node ${name} from Controller`);
      health.delete(name);
      told.delete(name);
    } else queue.add(name);
  });

  async function setTaints(node: Node, taints: readonly Taint[], signal: AbortSignal): Promise<Node> {
    const body = { metadata: { resourceVersion: node.metadata.resourceVersion }, spec: { taints } };
    return client.patch(nodes, '', node.metadata.name ?? '', 'merge', body, signal);
  }

  /** What follows at once from a node's own words: NoSchedule taints, and an end of NoExecute when it is ready. */
  async function reconcile(name: string, signal: AbortSignal): Promise<void> {
    let node = all.get('', name);
    if (!node) return;
    try {
      const labels = agreeingLabels(node.metadata.labels);
      if (labels) node = await client.patch(nodes, '', name, 'merge', { metadata: { labels } }, signal);
      const taints = schedulingTaints(node);
      if (!sameValue(taints, node.spec?.taints)) node = await setTaints(node, taints, signal);
      if (readiness(node) === 'True') {
        told.delete(name);
        const without = executionTaints(node, false, now());
        if (!sameValue(without, node.spec?.taints)) await setTaints(node, without, signal);
      } else if (nodeCondition(node, 'Ready') && !told.has(name)) {
        told.add(name);
        await markPods(node, signal);
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function markPods(node: Node, signal: AbortSignal): Promise<void> {
    const { name = '' } = node.metadata;
    recorder.event(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
    for (const pod of allPods.byIndex('node', name)) {
      if (!isReady(pod)) continue;
      recorder.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready');
      const body = { metadata: { uid: pod.metadata.uid }, status: { conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: rfc3339(now()) }] } };
      await client.patch(pods, pod.metadata.namespace ?? '', pod.metadata.name ?? '', 'strategic', body, signal, { subresource: 'status' }).catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error; // gone, or made anew
      });
    }
  }

  /** One node that cannot be written does not keep us from the others. */
  async function saySilent(name: string, conditions: readonly NodeCondition[], seen: Health, signal: AbortSignal): Promise<void> {
    try {
      const written = await client.patch(nodes, '', name, 'strategic', { status: { conditions } }, signal, { subresource: 'status' });
      health.set(name, { ...observe(undefined, written, allLeases.get('kube-node-lease', name), now()), at: seen.at }); // our own words are no sign of life
    } catch (error) {
      signal.throwIfAborted();
      if (!isNotFound(error)) log.warn('a node that has fallen silent could not be written, trying again', { node: name, error });
    }
  }

  async function monitor(signal: AbortSignal): Promise<void> {
    const zones = new Map<string, { ready: number; down: Node[] }>();
    for (const node of all.list()) {
      const name = node.metadata.name ?? '';
      const seen = observe(health.get(name), node, allLeases.get('kube-node-lease', name), now());
      health.set(name, seen);
      const graceMs = nodeCondition(node, 'Ready') ? config.nodeMonitorGracePeriodMs : config.nodeStartupGracePeriodMs;
      const isSilent = now() - seen.at > graceMs;
      if (isSilent) {
        const conditions = silentConditions(node, now());
        if (conditions) await saySilent(name, conditions, seen, signal);
      }
      const zone = zones.get(zoneOf(node)) ?? { ready: 0, down: [] };
      zones.set(zoneOf(node), zone);
      // A node that has not had its start-up time yet is neither.
      if (readiness(node) === 'True') zone.ready += 1;
      else if (nodeCondition(node, 'Ready')) zone.down.push(node);
    }
    const allDown = [...zones.values()].every(({ ready }) => ready === 0);
    for (const [zone, { ready, down }] of zones) {
      metrics.zoneSize.with(zone).value = ready + down.length;
      metrics.zoneHealth.with(zone).value = ready + down.length === 0 ? 100 : (ready * 100) / (ready + down.length);
      metrics.zoneDown.with(zone).value = down.length;
      for (const node of down) {
        const taints = executionTaints(node, !allDown, now());
        if (sameValue(taints, node.spec?.taints)) continue;
        const isNew = taints.length > (node.spec?.taints ?? []).length;
        if (isNew && now() - (lastTainted.get(zone) ?? -Infinity) < evictionIntervalMs(ready, down.length, config.nodeEviction)) continue;
        if (isNew) {
          lastTainted.set(zone, now());
          metrics.nodeEvictions.with(zone).add();
        }
        await setTaints(node, taints, signal).catch((error: unknown) => {
          signal.throwIfAborted();
          if (!isNotFound(error) && !isConflict(error)) log.warn('a node could not be tainted, trying again', { node: node.metadata.name, error });
        }); // the next round sees the newer node
      }
    }
  }

  return {
    async run(stop) {
      const group = createTaskGroup(stop);
      group.start('node leases', (signal) => allLeases.run(signal));
      group.start('node-lifecycle-controller', (signal) => runController({ name: 'node-lifecycle-controller', queue, workers: 8, reconcile, maxRetries: Infinity }, signal));
      group.start('node monitor', async (signal) => {
        await allLeases.waitForSync(signal);
        while (!signal.aborted) {
          await monitor(signal).catch((error: unknown) => {
            if (!signal.aborted) log.warn('looking at the nodes failed, trying again', { error });
          });
          await sleep(config.nodeMonitorPeriodMs, signal);
        }
      });
      await group.wait();
    },
  };
}
