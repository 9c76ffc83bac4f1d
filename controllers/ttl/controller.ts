// Tells each node how long its kubelet may keep Secrets and ConfigMaps: longer in larger clusters. Upstream: pkg/controller/ttl.
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { nodes } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';

export const ttlKey = 'node.alpha.kubernetes.io/ttl';
/** Steps overlap, so that one node more or less does not change all others back and forth. */
const steps = [{ from: 0, to: 100, seconds: 0 }, { from: 90, to: 500, seconds: 15 }, { from: 450, to: 1000, seconds: 30 }, { from: 900, to: 2000, seconds: 60 }, { from: 1800, to: Infinity, seconds: 300 }] as const;

/** The step of a cluster that was in step `step` and has `count` nodes now. */
export function nextStep(step: number, count: number): number {
  while (step > 0 && count < steps[step]!.from) step -= 1;
  while (count > steps[step]!.to) step += 1;
  return step;
}
export const secondsOf = (step: number): number => steps[step]?.seconds ?? 0;

export function createTtlController({ informers, clientFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'ttlcontroller' });
  const allNodes = informers.for(nodes);
  const client = clientFor('ttl-controller');
  let count = 0;
  let step = 0;
  allNodes.onChange(({ type, object }) => {
    if (type === 'added') count += 1;
    else if (type === 'deleted') count -= 1;
    step = nextStep(step, count);
    // The others follow when they report next: every node does within seconds.
    if (type !== 'deleted' && object.metadata.annotations?.[ttlKey] !== String(secondsOf(step))) queue.add(object.metadata.name ?? '');
  });
  async function reconcile(name: string, signal: AbortSignal): Promise<void> {
    const node = allNodes.get('', name);
    const wanted = String(secondsOf(step));
    if (!node || node.metadata.annotations?.[ttlKey] === wanted) return;
    await client.patch(nodes, '', name, 'strategic', { metadata: { annotations: { [ttlKey]: wanted } } }, signal).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  return { run: (stop) => runController({ name: 'ttl-controller', queue, workers: 5, reconcile, maxRetries: Infinity }, stop) };
}
