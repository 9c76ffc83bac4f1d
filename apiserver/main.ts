// Puts an API server together: storage, cache, resources, filters, handlers, bootstrap. Components reach it over HTTPS only.
import { aborted } from '#machinery/base/abort.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { notFound } from '#machinery/api/status.ts';
import { runEntry } from '#machinery/base/entry.ts';
import type { Entry } from '#machinery/base/entry.ts';
import { flags, readConfig } from './config.ts';
import type { ApiserverConfig, RunningApiserver } from './config.ts';
import type { Backend, BootstrapStep, CustomHandler, ServerDeps } from './backend.ts';
import type { AdmissionPlugin } from './admission/admission.ts';
import { admissionPlugins } from './admission/all.ts';
import { createServiceAllocator } from './allocators/service.ts';
import { createOpenidDocuments } from './auth/openid.ts';
import { createReviewHandlers } from './auth/reviews.ts';
import { createTokenRequestHandler } from './auth/token-request.ts';
import { createBootstrap } from './bootstrap/bootstrap.ts';
import { createDiscovery } from './discovery/serve.ts';
import { versionInfo } from './discovery/version.ts';
import { allowsAll } from './auth/authorization-options.ts';
import { createAuthenticator } from './filters/authn.ts';
import { createAuthorizer, createConfiguredAuthorizer } from './filters/authz.ts';
import { createBackend } from './handlers/backend.ts';
import { createKubelets } from './handlers/kubelets.ts';
import { Snapshots } from './handlers/list.ts';
import { createPodHandlers } from './handlers/pods.ts';
import { ServedResources } from './handlers/served.ts';
import type { Served } from './handlers/served.ts';
import { ObjectStore } from './handlers/store.ts';
import { Health } from './health.ts';
import { createAccessMetrics } from './metrics/access.ts';
import { createAdmissionMetrics } from './metrics/admission.ts';
import { Registry } from '#machinery/base/metrics.ts';
import { RequestMetrics } from './metrics/requests.ts';
import { addStateMetrics } from './metrics/state.ts';
import { measureStorage } from './metrics/storage.ts';
import type { OpenApi } from './openapi/openapi.ts';
import { defaultOptions } from './options.ts';
import { builtinRows } from './resources/registry.ts';
import { startServer } from './server.ts';
import { runCompaction } from './storage/compaction.ts';
import { openSqlite } from './storage/sqlite.ts';
import type { Storage } from './storage/storage.ts';
import { createWatchCache } from './storage/watch-cache.ts';

const log = createLogger('apiserver');
const undoMs = 3000;

async function openStorage(config: ApiserverConfig): Promise<Storage> {
  const { storage } = config;
  if (storage.engine === 'sqlite') return openSqlite({ path: storage.path });
  const { openEtcd } = await import('./storage/etcd.ts');
  return openEtcd(storage);
}

/** Resolves once it listens; `ready` follows when everything a client expects to find is stored. Stops when the signal aborts. Tests put a slow or broken store in between. */
export async function startApiserver(config: ApiserverConfig, signal: AbortSignal, wrapStorage: (storage: Storage) => Storage = (storage) => storage): Promise<RunningApiserver> {
  signal.throwIfAborted();
  const limits = { ...defaultOptions, ...config.options };
  const audit = limits.audit && await (await import('./audit/auditor.ts')).createAuditor(limits.audit);
  const registry = new Registry();
  let served: ServedResources | undefined;
  const engine = wrapStorage(await openStorage(config));
  const encrypted = limits.encryption ? await (await import('./storage/encryption/encryption.ts')).encrypt(engine, limits.encryption, signal) : engine;
  const storage = measureStorage(encrypted, registry, (key) =>
    served?.all().find(({ stored, row }) => stored?.row === row && key.startsWith(stored.prefix))?.row);
  const stop = new AbortController();
  const inner = stop.signal;
  const cache = createWatchCache(storage, { historyBytes: config.watchCacheBytes });
  const caching = cache.run(inner);
  caching.catch((error: unknown) => {
    if (!inner.aborted) log.error('the watch cache died', { error });
  });
  try {
    const resources = served = new ServedResources(cache);
    const admission: AdmissionPlugin[] = [];
    const stores = new WeakMap<Served, ObjectStore>();
    const storeDeps = {
      storage, admission, admissionMetrics: createAdmissionMetrics(registry), now: Date.now,
      latest: (until: AbortSignal) => cache.waitForLatest(until),
      lookup: (id: string, namespace: string, name: string) => backend.lookup(id, namespace, name),
      list: (id: string, namespace: string) => backend.cached(id, namespace),
    };
    const storeOf = (served: Served): ObjectStore => {
      let store = stores.get(served);
      if (!store) stores.set(served, store = new ObjectStore(served, storeDeps));
      return store;
    };
    const storeOfId = (id: string): ObjectStore => {
      const served = resources.byId(id);
      if (!served) throw new Error(`no such resource: ${id}`);
      return storeOf(served);
    };
    const backend: Backend = createBackend({ resources, cache, storage, storeOf, signal: inner });
    const deps: ServerDeps = { config, backend, signal: inner };

    const { allocate } = createServiceAllocator(deps);
    await resources.add(builtinRows({ allocateService: allocate, eventTtlSeconds: config.eventTtlSeconds, runtimeConfig: config.options?.runtimeConfig ?? {} }));
    const remote = limits.auth && await (await import('./auth/remote-tokens.ts')).startRemoteTokens(limits.auth, config, inner);
    const authenticator = createAuthenticator(deps, Date.now, remote);
    const authorizer = limits.authorization ? await createConfiguredAuthorizer(deps, limits.authorization) : createAuthorizer(deps);
    admission.push(...admissionPlugins(deps, authorizer, registry));
    const customHandlers = new Map<string, CustomHandler>([
      ['componentstatuses', ({ name, context }) => componentStatus(storage, name, context.signal)],
      ...createReviewHandlers(config.serviceAccount, authenticator.tokens, authorizer),
      ['serviceaccounts/token', createTokenRequestHandler(deps, admission)],
      ...createPodHandlers({ pods: () => storeOfId('pods'), budgets: () => (resources.byId('poddisruptionbudgets.policy') ? storeOfId('poddisruptionbudgets.policy') : undefined) }),
    ]);

    const snapshots = new Snapshots();
    const slis = new Registry();
    const health = new Health(slis);
    const metrics = new RequestMetrics(registry);
    addStateMetrics(registry, { resources, cache, storage: config.storage, audit: audit?.counts });
    let port = config.httpsPort;
    const address = (): string => `${config.advertiseAddress}:${port}`;
    const openid = createOpenidDocuments(config, address);
    let openapi: Promise<OpenApi> | undefined;
    const server = await startServer({
      addresses: config.bindAddresses, port, tls: { ...config.serving, clientCa: config.clientCa }, anonymousAuth: remote?.anonymous ?? (config.anonymousAuth && !allowsAll(limits.authorization)),
      authenticator, authorizer, health, metrics, access: createAccessMetrics(registry), slis, limits, audit,
      api: { resources, cache, storage, snapshots, authorizer, customHandlers: customHandlers, storeOf, kubelets: createKubelets(config.kubeletClient), backend },
      discovery: createDiscovery(resources, address),
      async document(path, request) {
        const found = openid(path);
        if (found) return { status: 200, headers: { 'Content-Type': found.contentType, 'Cache-Control': found.cacheControl }, body: found.body };
        if (!path.startsWith('/openapi/')) return undefined;
        openapi ??= import('./openapi/openapi.ts').then(({ createOpenApi }) => createOpenApi(() => resources.rows(), { serverVersion: versionInfo.gitVersion }));
        return (await openapi).handle(request.url ?? path, request.headers);
      },
      debug: () => ({ storage: storage.engine, revision: String(cache.revision()), objects: Object.fromEntries(resources.all().map(({ id, stored }) => [id, stored?.cache.count() ?? 0])) }),
    });
    port = server.port;

    const steps = createBootstrap(deps, () => port);
    addChecks(health, storage, steps, signal);
    const ready = bootstrap(steps, health, inner);
    ready.catch(() => undefined); // reported through `ready` and `stopped`

    const compacting = runCompaction({
      revision: () => storage.revision(),
      async compact(revision) {
        await storage.compact(revision);
        snapshots.forgetBefore(revision);
      },
    }, limits.compactionIntervalMs, inner);
    const stopped = (async () => {
      const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      try {
        await Promise.race([signal.aborted ? Promise.resolve() : ended, server.failed, caching.then(() => {
          if (!signal.aborted) throw new Error('the watch cache ended by itself');
        }), ready.then(() => ended)]);
        // /readyz fails from here on; balancers get the time to notice before anything is refused.
        if (limits.shutdownDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, limits.shutdownDelayMs));
      } finally {
        await undo(steps);
        await server.close();
        await audit?.close();
        stop.abort(signal.reason ?? new Error('the API server stops'));
        await Promise.allSettled([caching, compacting, ready]);
        await storage.close();
      }
    })();
    stopped.catch(() => undefined); // the caller's to await
    const [first = '127.0.0.1'] = config.bindAddresses;
    const host = first === '0.0.0.0' || first === '::' ? '127.0.0.1' : first.includes(':') ? `[${first}]` : first;
    return { port, url: `https://${host}:${port}`, ready, stopped };
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled([caching]);
    await storage.close();
    throw error;
  }
}

/** The deprecated list; what this server can see for itself is its store. */
async function componentStatus(storage: Storage, name: string, signal: AbortSignal): Promise<KubeObject> {
  if (name !== '' && name !== 'etcd-0') throw notFound({ group: '', resource: 'componentstatuses' }, name);
  const condition = await storage.ping(AbortSignal.any([signal, AbortSignal.timeout(2000)])).then(
    () => ({ type: 'Healthy', status: 'True', message: 'ok' }),
    (error: unknown) => ({ type: 'Healthy', status: 'False', message: '', error: error instanceof Error ? error.message : String(error) }),
  );
  const item = { metadata: { name: 'etcd-0', creationTimestamp: null }, conditions: [condition] };
  return name === '' ? { kind: 'ComponentStatusList', apiVersion: 'v1', metadata: {}, items: [item] } : { kind: 'ComponentStatus', apiVersion: 'v1', ...item } as unknown as KubeObject; // the zero time is null on the wire
}

const completed = new WeakMap<Health, Set<string>>();

function addChecks(health: Health, storage: Storage, steps: readonly BootstrapStep[], stopping: AbortSignal): void {
  const all = ['livez', 'readyz', 'healthz'] as const;
  const done = new Set<string>();
  completed.set(health, done);
  health.add({ name: 'ping', on: all, check: () => undefined });
  health.add({ name: 'log', on: all, check: () => undefined });
  health.add({ name: 'etcd', on: all, check: (signal) => storage.ping(AbortSignal.any([signal, AbortSignal.timeout(2000)])) });
  health.add({ name: 'etcd-readiness', on: ['readyz'], check: (signal) => storage.ping(AbortSignal.any([signal, AbortSignal.timeout(2000)])) });
  for (const { name } of steps) {
    health.add({ name: `poststarthook/${name}`, on: all, check() {
      if (!done.has(name)) throw new Error('not finished');
    } });
  }
  health.add({ name: 'shutdown', on: ['readyz'], check() {
    if (stopping.aborted) throw new Error('process is shutting down');
  } });
}

/** All steps at once: their writes share commits. */
async function bootstrap(steps: readonly BootstrapStep[], health: Health, signal: AbortSignal): Promise<void> {
  await Promise.all(steps.map(async (step) => {
    try {
      await step.run(signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw new Error(`${step.name} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    completed.get(health)?.add(step.name);
  }));
}

/** What others must not find any more when this server is gone; bounded, as the store may be what made it stop. */
async function undo(steps: readonly BootstrapStep[]): Promise<void> {
  const undone = Promise.all(steps.map(async (step) => step.stop?.())).then(() => undefined, (error: unknown) => log.warn('leaving the cluster was not complete', { error }));
  await Promise.race([undone, aborted(AbortSignal.timeout(undoMs))]);
}

/** `proa apiserver`. */
export const entry: Entry = {
  name: 'apiserver', summary: 'Serves the Kubernetes API; the one owner of the store.', flags,
  async run(args, signal) {
    const running = await startApiserver(readConfig(args), signal);
    await running.ready;
    log.info('API server ready', { url: running.url });
    await running.stopped;
  },
};

if (import.meta.main) await runEntry(entry, process.argv.slice(2));
