// Making sure that an object is there: cheap when it is (a look into the cache), one write when it is not.
import type { KubeObject } from '#machinery/api/object.ts';
import { isAlreadyExists } from '#machinery/api/status.ts';
import type { Backend } from '../backend.ts';

/** `repair` changes the object in place and returns whether it did; absent: what exists is left alone. */
export async function ensure(backend: Backend, id: string, wanted: KubeObject, repair?: (object: KubeObject) => boolean): Promise<void> {
  const namespace = wanted.metadata?.namespace ?? '';
  const name = wanted.metadata?.name ?? '';
  const existing = backend.lookup(id, namespace, name);
  if (existing === undefined) {
    try {
      await backend.store(id).create(namespace, wanted);
      return;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error; // another API server was faster, or the cache is behind
    }
  }
  if (repair === undefined || (existing !== undefined && !repair(structuredClone(existing) as KubeObject))) return;
  await backend.store(id).modify(namespace, name, (object) => (repair(object) ? undefined : false));
}

/** Adds what is missing to a map of an object's metadata; what is there wins. Tells whether anything was added. */
export function addMissing(object: KubeObject, field: 'labels' | 'annotations', wanted: Readonly<Record<string, string>>): boolean {
  const metadata = (object.metadata ??= {});
  const missing = Object.entries(wanted).filter(([key]) => metadata[field]?.[key] === undefined);
  if (missing.length > 0) metadata[field] = { ...metadata[field], ...Object.fromEntries(missing) };
  return missing.length > 0;
}
