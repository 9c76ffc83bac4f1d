// Deletes objects whose owners are gone; makes foreground deletion wait for dependents and orphaning let them be.
// The graph is built in the background after the start: nothing that has to be ready waits for it.
// Upstream: pkg/controller/garbagecollector/garbagecollector.go.
import { sleep } from '#machinery/base/clock.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import { apiVersionOf } from '#machinery/api/object.ts';
import type { KubeObject, OwnerReference } from '#machinery/api/object.ts';
import { StatusError, isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { createInformer } from '#machinery/client/informer.ts';
import type { Change, Client, DeleteOptions, EventRecorder, Informer, ReconcileResult, Resource } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { discover, resourceOfKind } from '../discovery.ts';
import type { DiscoveredResource, Discovery } from '../discovery.ts';
import { OwnerGraph, foreground, orphan } from './graph.ts';
import type { GraphNode, Identity, Observed, Work } from './graph.ts';

const log = createLogger('garbage-collector');
const rediscoverMs = 30_000;
/** Lets the start-up of everything else go first. */
const startDelayMs = 500;
/** Informers that fill themselves at a time: the rest of the cluster is starting too. */
const parallelStarts = 4;
const absentLimit = 500;

export function createGarbageCollector({ informers, clientFor, recorderFor, config }: ControllerContext): Controller {
  const client = clientFor('generic-garbage-collector');
  return {
    run: (signal) => new Collector(client, informers.client, (resource) => informers.existing(resource), recorderFor('garbage-collector-controller', 'generic-garbage-collector'), config.concurrent.garbageCollector).run(signal),
  };
}

/** An owner of a reference as it is now. `absent`: nothing of that UID is there; `misplaced`: it never can be. */
type Owner = { state: 'present'; object: KubeObject } | { state: 'absent' } | { state: 'misplaced' };

/** A kind that discovery has not told of (yet): a custom resource that is new or gone, or a slip of the pen. */
class UnknownKind extends Error {
  override name = 'UnknownKind';
}

type Place = Pick<Identity, 'kind' | 'namespace' | 'name' | 'uid'>;
function absentKey({ kind, namespace, name, uid }: Place): string {
  return `${kind}/${namespace}/${name}/${uid}`;
}

export class Collector {
  readonly graph = new OwnerGraph();
  readonly #client: Client;
  readonly #watcher: Client;
  readonly #shared: (resource: Resource<KubeObject>) => Informer<KubeObject> | undefined;
  readonly #recorder: EventRecorder;
  readonly #workers: number;
  readonly #checks = createWorkQueue({ name: 'garbage_collector_attempt_to_delete' });
  readonly #orphans = createWorkQueue({ name: 'garbage_collector_attempt_to_orphan' });
  readonly #absent = new Set<string>();
  #discovery: Discovery = { resources: [], failures: new Map() };

  constructor(client: Client, watcher: Client, shared: (resource: Resource<KubeObject>) => Informer<KubeObject> | undefined, recorder: EventRecorder, workers: number) {
    this.#client = client;
    this.#watcher = watcher;
    this.#shared = shared;
    this.#recorder = recorder;
    this.#workers = workers;
  }

  async run(signal: AbortSignal): Promise<void> {
    await sleep(startDelayMs, signal).catch(() => undefined); // the monitor sees the abort
    await this.#monitor(signal);
  }

  /** Watches everything that can be deleted; work starts when all of it has been seen once. */
  async #monitor(signal: AbortSignal): Promise<void> {
    const group = createTaskGroup(signal);
    const running = new Map<string, { stop: AbortController; synced: Promise<void> }>();
    let working = false;
    while (!signal.aborted) {
      try {
        this.#discovery = await discover(this.#client, signal);
        const wanted = new Map(this.#discovery.resources.filter(isCollectable).map((resource) => [`${resource.group}/${resource.resource}`, resource]));
        for (const [key, { stop }] of running) {
          // A group that could not be asked is not gone.
          const failing = [...this.#discovery.failures.keys()].some((each) => each.split('/')[0] === key.split('/')[0]);
          if (wanted.has(key) || failing) continue;
          stop.abort();
          running.delete(key);
        }
        const fresh = [...wanted].filter(([key]) => !running.has(key));
        for (let index = 0; index < fresh.length; index += parallelStarts) {
          const batch = fresh.slice(index, index + parallelStarts).map(([key, resource]) => {
            const stop = new AbortController();
            const synced = this.#start(resource, AbortSignal.any([group.signal, stop.signal]), (task) => group.start(`informer of ${key}`, task));
            running.set(key, { stop, synced });
            // One that cannot sync (no right, broken aggregated API) must not hold up the others.
            return Promise.race([synced, sleep(10_000, signal)]);
          });
          await Promise.all(batch);
        }
        if (!working) {
          working = true;
          log.info('graph built', { resources: running.size, objects: this.graph.size });
          group.start('checks', (own) => runController({ name: 'garbage-collector', queue: this.#checks, workers: this.#workers, reconcile: (uid) => this.#check(uid, own), maxRetries: Infinity }, own));
          group.start('orphans', (own) => runController({ name: 'garbage-collector orphans', queue: this.#orphans, workers: this.#workers, reconcile: (uid) => this.#orphan(uid, own), maxRetries: Infinity }, own));
        }
      } catch (error) {
        if (signal.aborted) break;
        log.warn('discovery failed, trying again', { error });
      }
      await sleep(working ? rediscoverMs : 1000, signal).catch(() => undefined); // the loop's condition sees the abort
    }
    await group.wait();
  }

  #start(resource: DiscoveredResource, signal: AbortSignal, start: (task: (signal: AbortSignal) => Promise<void>) => void): Promise<void> {
    const handle = (change: Change<KubeObject>): void => {
      if (!signal.aborted) this.handle(change, resource);
    };
    const shared = this.#shared(resource);
    if (shared) {
      shared.onChange(handle);
      return shared.waitForSync(signal).catch(() => undefined); // aborted: nobody waits any more
    }
    // Only what the graph asks for stays in memory.
    const informer = createInformer<KubeObject>(this.#watcher, { ...resource, metadataOnly: true }, {
      keep: ({ metadata = {} }) => ({
        metadata: {
          name: metadata.name, namespace: metadata.namespace, uid: metadata.uid, resourceVersion: metadata.resourceVersion, deletionTimestamp: metadata.deletionTimestamp,
          ...(metadata.ownerReferences ? { ownerReferences: metadata.ownerReferences } : {}), ...(metadata.finalizers ? { finalizers: metadata.finalizers } : {}),
        },
      }),
    });
    informer.onChange(handle);
    start(async (own) => informer.run(AbortSignal.any([own, signal])));
    return informer.waitForSync(signal).catch(() => undefined); // as above
  }

  /** Takes a change into the graph and queues what follows from it. */
  handle({ type, object }: Change<KubeObject>, resource: Resource<KubeObject>): void {
    const { name = '', namespace = '', uid = '', ownerReferences = [], finalizers = [], deletionTimestamp } = object.metadata ?? {};
    if (uid === '') return;
    if (type === 'deleted') {
      this.#rememberAbsent({ kind: resource.kind, namespace, name, uid });
      return this.#queue(this.graph.remove(uid));
    }
    const observed: Observed = {
      apiVersion: apiVersionOf(resource.group, resource.version), kind: resource.kind, namespace, name, uid,
      owners: ownerReferences, finalizers, deleting: deletionTimestamp !== undefined,
    };
    this.#queue(this.graph.observe(observed));
  }
  #queue({ check, orphan: orphans }: Work): void {
    for (const uid of check) this.#checks.add(uid);
    for (const uid of orphans) this.#orphans.add(uid);
  }
  /** A UID never comes back, but it may be looked for in the wrong place: so the place is part of what is remembered. */
  #rememberAbsent(place: Place): void {
    this.#absent.add(absentKey(place));
    const [oldest] = this.#absent;
    if (this.#absent.size > absentLimit && oldest !== undefined) this.#absent.delete(oldest);
  }

  #resourceOf({ apiVersion, kind }: { apiVersion: string; kind: string }): DiscoveredResource {
    const resource = resourceOfKind(this.#discovery, apiVersion, kind);
    if (!resource) throw new UnknownKind(`no resource for kind ${kind} of ${apiVersion}`);
    return resource;
  }
  /** The live object, when it still has the UID. */
  async #read(node: GraphNode, signal: AbortSignal): Promise<KubeObject | undefined> {
    const resource = this.#resourceOf(node.identity);
    const namespace = resource.namespaced ? node.identity.namespace : '';
    try {
      const object = await this.#client.get<KubeObject>({ ...resource, metadataOnly: true }, namespace, node.identity.name, signal);
      return object.metadata?.uid === node.identity.uid ? object : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #check(uid: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    try {
      await this.#decide(uid, signal);
    } catch (error) {
      if (!(error instanceof UnknownKind)) throw error;
      log.debug('cannot decide yet', { uid, error });
      return { backOff: true };
    }
  }

  /** Decides about one object from the graph and from how it and its owners are right now. */
  async #decide(uid: string, signal: AbortSignal): Promise<void> {
    const node = this.graph.get(uid);
    if (!node || (node.deleting && !node.deletingDependents)) return;
    // Named by a cluster-scoped object only: nobody can say in which namespace to look.
    if (node.virtual && node.identity.namespace === '' && this.#resourceOf(node.identity).namespaced) return;
    const object = await this.#read(node, signal);
    if (!object) {
      this.#rememberAbsent(node.identity);
      return this.#queue(this.graph.remove(uid));
    }
    if (node.virtual) {
      this.#checks.addAfter(uid, 1000); // it is there, and its informer will tell
      return;
    }
    if (node.deletingDependents) return this.#waitForDependents(node, object, signal);
    const references = object.metadata?.ownerReferences ?? [];
    if (references.length === 0) return;

    const solid: OwnerReference[] = [];
    const dangling: OwnerReference[] = [];
    const waiting: OwnerReference[] = [];
    for (const reference of references) {
      const owner = await this.#ownerOf(node, reference, signal);
      if (owner.state === 'misplaced') return; // will not resolve by trying again
      if (owner.state === 'absent') dangling.push(reference);
      else if (owner.object.metadata?.deletionTimestamp !== undefined && owner.object.metadata.finalizers?.includes(foreground)) waiting.push(reference);
      else solid.push(reference);
    }
    if (solid.length > 0) {
      if (dangling.length + waiting.length > 0) await this.#patch(node, object, { ownerReferences: solid }, signal);
      return;
    }
    if (waiting.length > 0 && node.dependents.size > 0) {
      // A circle of foreground deletions would wait for itself: let this one not block.
      if ([...node.dependents].some((dependent) => dependent.deletingDependents)) {
        await this.#patch(node, object, { ownerReferences: references.map((reference) => ({ ...reference, blockOwnerDeletion: false })) }, signal);
        return this.#delete(node, undefined, 'Foreground', signal);
      }
      return this.#delete(node, object, 'Foreground', signal);
    }
    const finalizers = object.metadata?.finalizers ?? [];
    return this.#delete(node, object, finalizers.includes(orphan) ? 'Orphan' : finalizers.includes(foreground) ? 'Foreground' : 'Background', signal);
  }

  async #waitForDependents(node: GraphNode, object: KubeObject, signal: AbortSignal): Promise<void> {
    const blocking = this.graph.blocking(node);
    if (blocking.length === 0) return this.#removeFinalizer(node, object, foreground, signal);
    for (const dependent of blocking) if (!dependent.deletingDependents) this.#checks.add(dependent.identity.uid);
  }

  async #ownerOf(node: GraphNode, reference: OwnerReference, signal: AbortSignal): Promise<Owner> {
    const resource = this.#resourceOf(reference);
    if (resource.namespaced && node.identity.namespace === '') return { state: 'misplaced' };
    const place: Place = { kind: reference.kind, namespace: resource.namespaced ? node.identity.namespace : '', name: reference.name, uid: reference.uid };
    if (this.#absent.has(absentKey(place))) return { state: 'absent' };
    const known = this.graph.get(reference.uid);
    if (known && !known.virtual && resource.namespaced && known.identity.namespace !== node.identity.namespace) {
      const { identity } = node;
      const text = `[${reference.apiVersion}/${reference.kind}, namespace: ${identity.namespace}, name: ${reference.name}, uid: ${reference.uid}]`;
      this.#recorder.event({ apiVersion: identity.apiVersion, kind: identity.kind, metadata: identity }, 'Warning', 'OwnerRefInvalidNamespace', `ownerRef ${text} does not exist in namespace "${identity.namespace}"`);
    }
    try {
      const owner = await this.#client.get<KubeObject>({ ...resource, metadataOnly: true }, place.namespace, reference.name, signal);
      if (owner.metadata?.uid === reference.uid) return { state: 'present', object: owner };
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    this.#rememberAbsent(place);
    return { state: 'absent' };
  }

  async #delete(node: GraphNode, object: KubeObject | undefined, propagationPolicy: DeleteOptions['propagationPolicy'], signal: AbortSignal): Promise<void> {
    const { namespace, name, uid } = node.identity;
    const resourceVersion = object?.metadata?.resourceVersion;
    try {
      await this.#client.delete(this.#resourceOf(node.identity), namespace, name, { propagationPolicy, preconditions: { uid, ...(resourceVersion ? { resourceVersion } : {}) } }, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#queue(this.graph.remove(uid));
    }
  }

  /** A merge patch of metadata that fails when the object changed meanwhile: the version is part of it. */
  async #patch(node: GraphNode, object: KubeObject, metadata: object, signal: AbortSignal): Promise<void> {
    const { namespace, name, uid } = node.identity;
    const body = { metadata: { uid, resourceVersion: object.metadata?.resourceVersion, ...metadata } };
    await this.#client.patch(this.#resourceOf(node.identity), namespace, name, 'merge', body, signal).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  async #removeFinalizer(node: GraphNode, object: KubeObject, finalizer: string, signal: AbortSignal): Promise<void> {
    const finalizers = object.metadata?.finalizers ?? [];
    if (finalizers.includes(finalizer)) await this.#patch(node, object, { finalizers: finalizers.filter((each) => each !== finalizer) }, signal);
  }

  async #orphan(uid: string, signal: AbortSignal): Promise<void> {
    const node = this.graph.get(uid);
    if (!node) return;
    for (const dependent of [...node.dependents]) {
      const object = await this.#read(dependent, signal);
      const references = object?.metadata?.ownerReferences;
      if (!object || !references?.some((reference) => reference.uid === uid)) continue;
      await this.#patch(dependent, object, { ownerReferences: references.filter((reference) => reference.uid !== uid) }, signal).catch((error: unknown) => {
        if (isConflict(error)) throw error; // again, with the newer version
        if (error instanceof StatusError && error.status.code === 422) throw new Error(`orphaning ${dependent.identity.kind} ${dependent.identity.namespace}/${dependent.identity.name}`, { cause: error });
        throw error;
      });
    }
    const object = await this.#read(node, signal);
    if (object) await this.#removeFinalizer(node, object, orphan, signal);
  }
}

function isCollectable({ group, resource, verbs, preferred }: DiscoveredResource): boolean {
  const isEvent = resource === 'events' && (group === '' || group === 'events.k8s.io');
  return preferred && !isEvent && ['delete', 'list', 'watch'].every((verb) => verbs.includes(verb));
}
