// Empties a namespace that is being deleted (pods first, then everything else), then lets it go.
// Upstream: pkg/controller/namespace/deletion/namespaced_resources_deleter.go.
import type { KubeObject, Namespace } from '#machinery/api/object.ts';
import { StatusError, isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { namespaces, pods } from '#machinery/client/resources.ts';
import type { ReconcileResult, Resource } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { discover } from '../discovery.ts';
import type { DiscoveredResource } from '../discovery.ts';
import { countRemaining, estimateSeconds, namespaceConditions } from './reconcile.ts';
import type { Found } from './reconcile.ts';

/** Other API servers hear of the deletion in this time and refuse new content. Upstream waits 5 s; a watch takes milliseconds. */
const settleMs = 1000;
const parallel = 8;

export function createNamespaceController({ informers, clientFor, config, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'namespace', maxMs: 60_000 });
  const all = informers.for(namespaces);
  const allPods = informers.for(pods);
  const client = clientFor('namespace-controller');
  all.onChange(({ type, object }) => {
    if (type !== 'deleted' && object.metadata.deletionTimestamp !== undefined) {
      queue.addAfter(object.metadata.name ?? '', Math.max(0, Date.parse(object.metadata.deletionTimestamp) + settleMs - now()));
    }
  });
  allPods.onChange(({ type, object }) => {
    const namespace = object.metadata.namespace ?? '';
    if (type === 'deleted' && all.get('', namespace)?.metadata.deletionTimestamp !== undefined) queue.add(namespace);
  });

  async function reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    let namespace: Namespace;
    try {
      namespace = await client.get(namespaces, '', name, signal);
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    if (namespace.metadata.deletionTimestamp === undefined || !namespace.spec?.finalizers?.includes('kubernetes')) return;
    const discovery = await discover(client, signal);
    const found: Found = { discoveryFailures: discovery.failures, remaining: new Map(), finalizers: new Map(), errors: [] };
    const resources = discovery.resources.filter(({ namespaced, verbs, preferred }) => namespaced && preferred && verbs.includes('delete') && verbs.includes('list'));
    const isPods = ({ group, resource }: DiscoveredResource): boolean => group === '' && resource === 'pods';

    let waitSeconds = 0;
    const podsLeft = await empty(resources.filter(isPods), name, found, signal);
    if (podsLeft.length > 0) waitSeconds = estimateSeconds(podsLeft);
    else if (found.errors.length === 0) await empty(resources.filter((each) => !isPods(each)), name, found, signal);

    const conditions = namespaceConditions(namespace.status?.conditions, found, now());
    if (conditions !== namespace.status?.conditions) {
      namespace = await client.update(namespaces, '', name, { ...namespace, status: { ...namespace.status, conditions } }, signal, { subresource: 'status' });
    }
    if (found.errors.length > 0 || found.discoveryFailures.size > 0) throw new Error(`namespace ${name} cannot be emptied: ${[...found.errors, ...found.discoveryFailures.values()].join('; ')}`);
    if (waitSeconds > 0) return { requeueAfterMs: (waitSeconds / 2 + 1) * 1000 };
    if (found.remaining.size > 0) return { backOff: true }; // finalizers of others take their time
    const spec = { ...namespace.spec, finalizers: namespace.spec?.finalizers?.filter((finalizer) => finalizer !== 'kubernetes') };
    await client.update(namespaces, '', name, { ...namespace, spec }, signal, { subresource: 'finalize' }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  /** Deletes all objects of the resources and notes what is left. Empty resources cost one list. */
  async function empty(resources: readonly DiscoveredResource[], namespace: string, found: Found, signal: AbortSignal): Promise<KubeObject[]> {
    const left: KubeObject[] = [];
    const waiting = [...resources];
    const worker = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        try {
          const remaining = await emptyOne(next, namespace, signal);
          countRemaining(found, `${next.resource}.${next.group}`, remaining);
          left.push(...remaining);
        } catch (error) {
          signal.throwIfAborted();
          // A resource that went away between discovery and here has no objects.
          if (error instanceof StatusError && (error.status.code === 404 || error.status.code === 405)) continue;
          found.errors.push(error instanceof Error ? error.message : String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    return left;
  }

  async function emptyOne(resource: DiscoveredResource, namespace: string, signal: AbortSignal): Promise<KubeObject[]> {
    const slim: Resource<KubeObject> = { ...resource, metadataOnly: true };
    const before = await listAll(slim, namespace, signal);
    if (before.length === 0) return [];
    if (resource.verbs.includes('deletecollection')) await client.deleteCollection(resource, namespace, { propagationPolicy: 'Background' }, signal);
    else {
      for (const { metadata } of before) {
        await client.delete(resource, namespace, metadata?.name ?? '', { propagationPolicy: 'Background' }, signal).catch((error: unknown) => {
          if (!isNotFound(error) && !isConflict(error)) throw error;
        });
      }
    }
    return listAll(slim, namespace, signal);
  }
  async function listAll(resource: Resource<KubeObject>, namespace: string, signal: AbortSignal): Promise<KubeObject[]> {
    const objects: KubeObject[] = [];
    let next: string | undefined;
    do {
      const page = await client.list(resource, namespace, { limit: 500, ...(next ? { continue: next } : {}) }, signal);
      objects.push(...page.items);
      next = page.metadata.continue || undefined;
    } while (next);
    return objects;
  }

  return { run: (stop) => runController({ name: 'namespace-controller', queue, workers: config.concurrent.namespace, reconcile, maxRetries: Infinity }, stop) };
}
