// ConfigMaps and Secrets that pods name, read one by one (a node may not list them). A value is shared for a moment, so that
// pods that start together ask once.
import type { ConfigMap, Secret } from '#machinery/api/object.ts';
import type { Client, Resource } from '#machinery/client/types.ts';
import { configMaps, secrets } from '#machinery/client/resources.ts';
import { isNotFound } from '#machinery/api/status.ts';
import type { References } from './env.ts';

const shareMs = 500;

export function createReferences(client: Client, signal: AbortSignal): References {
  const recent = new Map<string, { at: number; value: Promise<unknown> }>();
  const get = <T>(resource: Resource<T>, label: string, namespace: string, name: string): Promise<T> => {
    const key = `${resource.resource}/${namespace}/${name}`;
    const now = Date.now();
    const known = recent.get(key);
    if (known && now - known.at < shareMs) return known.value as Promise<T>; // the key names the resource
    if (recent.size > 1000) for (const [old, { at }] of recent) if (now - at >= shareMs) recent.delete(old);
    const value = client.get(resource, namespace, name, signal).catch((error: unknown) => {
      recent.delete(key);
      throw isNotFound(error) ? Object.assign(error, { message: `${label} "${name}" not found` }) : error;
    });
    recent.set(key, { at: now, value });
    return value;
  };
  return {
    configMap: (namespace, name) => get<ConfigMap>(configMaps, 'configmap', namespace, name),
    secret: (namespace, name) => get<Secret>(secrets, 'secret', namespace, name),
  };
}
