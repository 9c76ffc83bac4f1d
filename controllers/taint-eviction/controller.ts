// Deletes pods that do not (or no longer) tolerate their node's NoExecute taints.
import { rfc3339 } from '#machinery/base/clock.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { nodes, pods } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isTerminal, sameValue } from '../pods.ts';
import { stayMs } from './reconcile.ts';

export function createTaintEvictionController({ informers, clientFor, recorderFor, metrics, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'noexec_taint_pod' });
  const allNodes = informers.for(nodes);
  const allPods = informers.for(pods);
  allPods.addIndex('node', (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
  const client = clientFor('node-controller');
  const recorder = recorderFor('taint-eviction-controller', 'node-controller');
  /** Pod UID -> since when it stands before a taint. A pod made anew under the name starts anew. */
  const since = new Map<string, number>();

  allPods.onChange((change) => {
    if (change.type === 'deleted') since.delete(change.object.metadata.uid ?? '');
    else if (change.object.spec?.nodeName && (change.type === 'added' || change.old.spec?.nodeName === undefined || !sameValue(change.old.spec?.tolerations, change.object.spec.tolerations))) queue.add(keyOf(change.object));
  });
  allNodes.onChange((change) => {
    if (change.type === 'deleted' || (change.type === 'updated' && sameValue(change.old.spec?.taints, change.object.spec?.taints))) return;
    for (const pod of allPods.byIndex('node', change.object.metadata.name ?? '')) queue.add(keyOf(pod));
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const pod = allPods.get(namespace, name);
    if (!pod?.spec?.nodeName || pod.metadata.deletionTimestamp !== undefined || isTerminal(pod)) return;
    const uid = pod.metadata.uid ?? '';
    const ms = stayMs(pod, allNodes.get('', pod.spec.nodeName)?.spec?.taints ?? []);
    if (ms === Infinity) {
      if (since.delete(uid)) recorder.event(pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${key}`);
      return;
    }
    const start = since.get(uid) ?? now();
    if (start + ms > now()) {
      since.set(uid, start);
      return { requeueAfterMs: start + ms - now() };
    }
    recorder.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${key}`);
    const condition = { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message: 'Taint manager: deleting due to NoExecute taint', lastTransitionTime: rfc3339(now()) };
    try {
      await client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status: { conditions: [condition] } }, signal, { subresource: 'status' });
      await client.delete(pods, namespace, name, { preconditions: { uid } }, signal);
      metrics.taintDeletions.add();
      metrics.taintDeletionSeconds.observe(Math.max(0, now() - start - ms) / 1000);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    since.delete(uid);
  }

  return { run: (stop) => runController({ name: 'taint-eviction-controller', queue, workers: 8, reconcile }, stop) };
}
