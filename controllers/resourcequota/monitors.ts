// An informer for each resource that some quota counts, and only while one does: shared where the process has it anyway, else one of
// our own that keeps no more than names where numbers are all that is asked.
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Evaluator } from '#machinery/api/quota/evaluators.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { persistentVolumeClaims, pods, resourceQuotas, services } from '#machinery/client/resources.ts';
import type { Change, Client, Informer, Informers, Resource } from '#machinery/client/types.ts';
import { discover } from '../discovery.ts';

const log = createLogger('resourcequota');
const rediscoverMs = 30_000;
/** Others watch these whole, whether there are quotas or not. */
const sharedResources: Readonly<Record<string, Resource<KubeObject>>> = { pods, services, persistentvolumeclaims: persistentVolumeClaims, resourcequotas: resourceQuotas } as unknown as Record<string, Resource<KubeObject>>; // each holds objects

export interface MonitorDeps {
  informers: Informers;
  /** Asks for discovery. */
  client: Client;
  /** Runs an informer until its signal aborts. */
  start(name: string, run: (signal: AbortSignal) => Promise<void>): void;
  /** A change after which quotas on the resource have to be counted again. */
  onFreed(evaluator: Evaluator, namespace: string): void;
  onArrived(evaluator: Evaluator, object: Readonly<KubeObject>): void;
  now(): number;
}

export class Monitors {
  readonly #deps: MonitorDeps;
  readonly #own = new Map<string, { informer: Informer<KubeObject>; stop: AbortController }>();
  readonly #followed = new Map<string, Informer<KubeObject>>();
  #known: { resources: ReadonlyMap<string, Resource<KubeObject>>; at: number } | undefined;
  #asking: Promise<void> | undefined;

  constructor(deps: MonitorDeps) {
    this.#deps = deps;
  }

  /** The informer of what the evaluator measures, in sync or not; undefined when the server has no such resource that can be counted. */
  async informerOf(evaluator: Evaluator, signal: AbortSignal): Promise<Informer<KubeObject> | undefined> {
    const { id } = evaluator;
    const running = this.#followed.get(id) ?? this.#own.get(id)?.informer;
    if (running) return running;
    const shared = sharedResources[id];
    const resource = shared ?? await this.#find(id, signal);
    const meanwhile = this.#followed.get(id) ?? this.#own.get(id)?.informer;
    if (!resource || meanwhile) return meanwhile;
    const handle = (change: Change<KubeObject>): void => this.#handle(evaluator, change);
    const existing = shared ? this.#deps.informers.for(shared) : this.#deps.informers.existing(resource);
    if (existing) {
      this.#followed.set(id, existing);
      existing.onChange(handle);
      return existing;
    }
    const informer = createInformer(this.#deps.informers.client, evaluator.countsOnly ? { ...resource, metadataOnly: true } : resource, evaluator.countsOnly ? { keep: onlyNames } : {});
    const stop = new AbortController();
    this.#own.set(id, { informer, stop });
    informer.onChange(handle);
    this.#deps.start(`informer of ${id}`, (own) => informer.run(AbortSignal.any([own, stop.signal])));
    return informer;
  }

  /** Ends the informers of resources that no quota counts any more. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const [id, { stop }] of this.#own) {
      if (ids.has(id)) continue;
      stop.abort();
      this.#own.delete(id);
    }
  }

  #handle(evaluator: Evaluator, change: Change<KubeObject>): void {
    const { type, object } = change;
    if (type === 'added') this.#deps.onArrived(evaluator, object);
    if (type === 'deleted' || (type === 'updated' && evaluator.frees?.(object, change.old, this.#deps.now()))) this.#deps.onFreed(evaluator, object.metadata?.namespace ?? '');
  }

  async #find(id: string, signal: AbortSignal): Promise<Resource<KubeObject> | undefined> {
    const found = this.#known?.resources.get(id);
    if (found || (this.#known && this.#deps.now() - this.#known.at < rediscoverMs)) return found;
    await (this.#asking ??= this.#discover(signal).finally(() => (this.#asking = undefined)));
    return this.#known?.resources.get(id);
  }
  async #discover(signal: AbortSignal): Promise<void> {
    const { resources, failures } = await discover(this.#deps.client, signal);
    const quotable = resources.filter(({ namespaced, preferred, verbs }) => namespaced && preferred && ['create', 'list', 'watch', 'delete'].every((verb) => verbs.includes(verb)));
    if (failures.size > 0) log.debug('some groups could not be asked', { failures: [...failures.keys()] });
    this.#known = { at: this.#deps.now(), resources: new Map(quotable.map((one) => [one.group === '' ? one.resource : `${one.resource}.${one.group}`, one])) };
  }
}

function onlyNames({ metadata = {} }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion } = metadata;
  return { metadata: { name, namespace, uid, resourceVersion } as KubeObject['metadata'] };
}
