// Objects that stay while they are in use: a finalizer from birth, taken away when the object is being deleted and nothing uses it
// any more. Upstream: pkg/controller/volume/{pvc,pv,vac}protection, pkg/controller/volume/protectionutil.
import type { ObjectMeta } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import type { Client, Informer, WorkQueue } from '#machinery/client/types.ts';
import type { Controller } from './context.ts';

interface Protected { metadata: ObjectMeta }
export interface Protection<T extends Protected> {
  name: string;
  finalizer: string;
  queue: WorkQueue;
  informer: Informer<T>;
  client: Client;
  workers: number;
  isUsed: (object: T, signal: AbortSignal) => Promise<boolean> | boolean;
}

/** What the finalizer waits for: 'add' it where admission did not, 'ask' whether it may go. */
export function nextStep({ metadata }: Readonly<Protected>, finalizer: string): 'add' | 'ask' | 'nothing' {
  const has = metadata.finalizers?.includes(finalizer) ?? false;
  if (metadata.deletionTimestamp === undefined) return has ? 'nothing' : 'add';
  return has ? 'ask' : 'nothing';
}

export function protect<T extends Protected>({ name, finalizer, queue, informer, client, workers, isUsed }: Protection<T>): Controller {
  informer.onChange(({ type, object }) => {
    if (type !== 'deleted' && nextStep(object, finalizer) !== 'nothing') queue.add(keyOf(object));
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name: objectName } = splitKey(key);
    const object = informer.get(namespace, objectName);
    const step = object ? nextStep(object, finalizer) : 'nothing';
    if (!object || step === 'nothing' || (step === 'ask' && await isUsed(object, signal))) return;
    const others = (object.metadata.finalizers ?? []).filter((one) => one !== finalizer);
    const finalizers = step === 'add' ? [...others, finalizer] : others;
    // The version that was looked at is part of the update: one that has changed meanwhile is looked at again.
    await client.update(informer.resource, namespace, objectName, { ...object, metadata: { ...object.metadata, finalizers } }, signal).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  return { run: (stop) => runController({ name, queue, workers, reconcile, maxRetries: Infinity }, stop) };
}
