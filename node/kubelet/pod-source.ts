// The pods bound to this node, each with its worker: starts workers, hands them changes, ends those whose pod is gone.
import type { Node, Pod } from '#machinery/api/object.ts';
import type { Informer } from '#machinery/client/types.ts';
import { activePods, refusal } from './admission.ts';
import { podEvent, type KubeletContext } from './context.ts';
import { podUid } from './container-spec.ts';
import { createPodWorker, type PodWorker } from './pod-worker.ts';

export interface PodSource {
  workers(): PodWorker[];
  wake(uid: string): void;
  wakeAll(): void;
  /** Begins; the informers have synced and the runtime has been read. Settles when all workers have ended after the signal. */
  run(signal: AbortSignal): Promise<void>;
}

const isFinal = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

export function createPodSource(context: KubeletContext, informer: Informer<Pod>, node: () => Node | undefined): PodSource {
  const { log, runtime, volumes } = context;
  const workers = new Map<string, PodWorker>();
  const refusedPods = new Set<string>();

  function start(pod: Pod, signal: AbortSignal): void {
    const uid = podUid(pod);
    let rejected: { reason: string; message: string } | undefined;
    const seenBefore = runtime.podStatus(uid) !== undefined || pod.status?.startTime !== undefined;
    if (!seenBefore && !isFinal(pod) && pod.metadata.deletionTimestamp === undefined) {
      const others = activePods(informer.list(), (other) => {
        const worker = workers.get(other);
        return worker && { stage: worker.stage, rejected: refusedPods.has(other) };
      });
      const refused = refusal(pod, others, context.allocatable(), node());
      if (refused) {
        podEvent(context, pod, 'Warning', refused.reason, refused.message);
        refusedPods.add(uid);
        rejected = { reason: refused.reason, message: `Pod was rejected: ${refused.message}` };
      }
    }
    const worker = createPodWorker(context, pod, rejected, signal);
    workers.set(uid, worker);
    void ended(worker); // never rejects
  }
  async function ended(worker: PodWorker): Promise<void> {
    try {
      await worker.done;
    } catch (error) {
      log.error('pod worker died', { uid: worker.uid, error });
    }
    workers.delete(worker.uid);
    refusedPods.delete(worker.uid);
  }

  /** What the runtime or the disk still holds of pods that the API no longer knows. */
  async function removeOrphans(signal: AbortSignal): Promise<void> {
    const known = new Set(informer.list().map(podUid));
    for (const { pod } of runtime.listPods()) {
      if (known.has(pod.uid) || workers.has(pod.uid)) continue;
      log.info('ending a pod that the API does not know', { ...pod });
      const stand: Pod = { metadata: { name: pod.name, namespace: pod.namespace, uid: pod.uid }, spec: { containers: [], terminationGracePeriodSeconds: 1 } };
      const worker = createPodWorker(context, stand, undefined, signal);
      workers.set(pod.uid, worker);
      worker.remove();
      void ended(worker); // never rejects
    }
    for (const uid of await volumes.uids()) {
      if (!known.has(uid) && !workers.has(uid)) await volumes.tearDown(uid);
    }
  }

  return {
    workers: () => [...workers.values()],
    wake: (uid) => workers.get(uid)?.wake(),
    wakeAll: () => workers.forEach((worker) => worker.wake()),
    async run(signal) {
      for (const pod of informer.list()) start(pod, signal);
      informer.onChange((change) => {
        if (signal.aborted) return;
        const uid = podUid(change.object);
        const worker = workers.get(uid);
        if (change.type === 'deleted') worker?.remove();
        else if (worker) worker.update(change.object);
        // A pod that is on its way out and of which nothing is left here needs no worker but to be taken away.
        else start(change.object, signal);
        if (change.type === 'updated' && podUid(change.old) !== uid) workers.get(podUid(change.old))?.remove();
      });
      try {
        await removeOrphans(signal);
      } catch (error) {
        log.warn('remains of gone pods not removed', { error });
      }
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.allSettled([...workers.values()].map((worker) => worker.done));
    },
  };
}
