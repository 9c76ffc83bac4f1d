// startCluster(): the one place that knows every component. `proa server` (server.ts) is this function behind flags.
// Order: locks and credentials, API server, then everything else at once, each with its own credentials over loopback TLS.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { aborted, eventually, withTimeout } from '#machinery/base/abort.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { createClient } from '#machinery/client/client.ts';
import { configMaps, nodes, pods, serviceAccounts } from '#machinery/client/resources.ts';
import type { Client, ClientConfig } from '#machinery/client/types.ts';
import type { KeyPair } from '#machinery/pki/pki.ts';
import { controllerName as localPathController } from '#machinery/api/local-path.ts';
import { addAddresses, removeAddresses } from './addresses.ts';
import { ensureDnsObjects, ensureLocalPath, publishDns } from './addons.ts';
import { ensureCredentials, forgetNode, formerNodes, rememberFleet } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { ensureEngine } from './engine.ts';
import { formatKubeconfig, writeKubeconfig } from './kubeconfig.ts';
import { StartError, lockDataDir, lockNetworkNamespace } from './locks.ts';
import { nthAddress, resolveConfig } from './options.ts';
import type { ClusterConfig, ClusterOptions } from './options.ts';
import { supervise } from './supervise.ts';

export type { ClusterOptions } from './options.ts';

export interface Cluster extends AsyncDisposable {
  /** `https://127.0.0.1:6443` */
  readonly server: string;
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly dataDir: string;
  /** The administrator's credentials, for a client in this process. */
  readonly client: ClientConfig;
  /** Stops everything and waits for it. Idempotent. */
  stop(): Promise<void>;
  /** Settles when the cluster has stopped for whatever reason; rejects when it died by itself. */
  readonly stopped: Promise<void>;
}

const log = createLogger('cluster');
const readyTimeoutMs = 60_000;

/**
 * Starts a cluster in this process and resolves when it is usable: bootstrap objects stored, controllers and scheduler
 * synced, the first Node registered. Throws UsageError or StartError (one line that says what to do) with nothing left behind.
 */
export async function startCluster(
  options: ClusterOptions & { signal?: AbortSignal; onMessage?: (line: string) => void } = {},
): Promise<Cluster> {
  const temporary = options.dataDir === undefined;
  const config = resolveConfig(options, resolve(options.dataDir ?? join(tmpdir(), 'proa-unmade')), temporary);
  config.dataDir = temporary ? mkdtempSync(join(tmpdir(), 'proa-')) : config.dataDir;
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanUp = async (): Promise<void> => {
    for (const cleanup of cleanups.splice(0).reverse()) {
      try {
        await cleanup();
      } catch (error) {
        log.error('cleaning up failed', { error });
      }
    }
  };
  if (temporary) cleanups.push(() => rmSync(config.dataDir, { recursive: true, force: true }));
  const stopping = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal;
  try {
    const started = await start(config, cleanups, options.onMessage ?? (() => {}), signal);
    const stopped = started.stopped.finally(cleanUp);
    stopped.catch(() => {}); // whoever cares awaits `stopped` or `stop()`; nobody caring is no unhandled rejection
    const stop = async (): Promise<void> => {
      stopping.abort(new Error('the cluster was stopped'));
      await stopped;
    };
    return { ...started.cluster, stop, stopped, [Symbol.asyncDispose]: stop };
  } catch (error) {
    stopping.abort(error);
    await cleanUp();
    throw error;
  }
}

type Started = { cluster: Pick<Cluster, 'server' | 'kubeconfig' | 'dataDir' | 'client'>; stopped: Promise<void> };

async function start(config: ClusterConfig, cleanups: (() => Promise<void> | void)[], say: (line: string) => void, signal: AbortSignal): Promise<Started> {
  const docker = config.runtime === 'docker' && config.nodes.length > 0 && !config.disable.has('kubelet');
  if (docker && process.getuid?.() !== 0) throw new StartError('real containers need root (addresses, iptables, mounts); run as root, or use --runtime hollow');
  try {
    mkdirSync(config.dataDir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new StartError(`cannot make the data folder ${config.dataDir}: choose another one with --data-dir`, { cause });
  }
  const dataLock = lockDataDir(config.dataDir);
  cleanups.push(() => dataLock.release());
  if (docker) {
    const lock = await lockNetworkNamespace();
    cleanups.push(() => lock.release());
  }

  const ownAddresses = docker ? [config.advertiseAddress, ...config.nodes.map((node) => node.address)] : [];
  const loopback = '127.0.0.1';
  const bindAddresses = [...new Set([loopback, ...(docker ? [config.advertiseAddress] : []), config.bindAddress])];
  const serviceIp = nthAddress(config.serviceCidr, 1);
  const dnsIp = nthAddress(config.serviceCidr, 10);
  const adding = docker ? addAddresses(ownAddresses, config.nodeCidr, config.clusterCidr) : undefined;
  if (adding) {
    cleanups.push(async () => {
      await adding.catch(() => undefined); // told below; what it did add must go all the same
      await removeAddresses(ownAddresses, config.nodeCidr, config.clusterCidr);
    });
  }
  const [credentials] = await Promise.all([
    ensureCredentials(config.dataDir, {
      servingNames: {
        dnsNames: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', `kubernetes.default.svc.${config.clusterDomain}`],
        ips: [...new Set([loopback, config.advertiseAddress, serviceIp, ...(config.bindAddress === '0.0.0.0' ? [] : [config.bindAddress])])],
      },
      nodes: isFleet(config) ? config.nodes.slice(0, 1) : config.nodes,
    }),
    docker ? ensureEngine(config.dockerHost, say, signal) : undefined,
    adding,
  ]);

  // The API server ends last: whoever still writes a status on the way out finds it there.
  const apiserverStop = new AbortController();
  const group = createTaskGroup(signal);
  group.start('the stop', aborted); // with every component disabled there is still something to wait for
  const { startApiserver } = await import('../apiserver/main.ts');
  const apiserver = await startApiserver(apiserverConfig(config, credentials, bindAddresses), apiserverStop.signal);
  const abortApiserver = async (): Promise<void> => {
    apiserverStop.abort(new Error('the cluster stops'));
    await apiserver.stopped;
  };
  try {
    const adminConfig = clientConfig(apiserver.url, credentials.ca.cert, credentials.admin, 'proa');
    const admin = createClient(adminConfig);
    const kubeconfig = join(config.dataDir, 'admin.kubeconfig');
    const host = config.bindAddress === '0.0.0.0' ? loopback : config.bindAddress;
    writeKubeconfig(kubeconfig, formatKubeconfig({ server: `https://${host}:${apiserver.port}`, ca: credentials.ca.cert, cert: credentials.admin.cert, key: credentials.admin.key }));
    const components = startComponents(config, credentials, apiserver, admin, dnsIp, group.start.bind(group));
    await withTimeout('the start of the cluster', readyTimeoutMs, signal, (bounded) => Promise.race([
      Promise.all([components.ready(bounded), usable(config, admin, bounded)]),
      apiserver.stopped.then(() => { throw new Error('the API server stopped while the cluster started'); }),
      group.wait().then(() => { throw new Error('a component stopped while the cluster started'); }),
    ]));
    components.startRest();
    const stopped = (async (): Promise<void> => {
      const died = apiserver.stopped.then(() => {
        if (!apiserverStop.signal.aborted) group.stop(new Error('the API server stopped'));
      }, (error: unknown) => {
        group.stop(error);
        throw error;
      });
      await group.wait();
      if (docker && config.stopPods) await removePods(config, adminConfig, readClusterId(config.dataDir));
      admin.close();
      await abortApiserver();
      await died;
    })();
    return { cluster: { server: apiserver.url, kubeconfig, dataDir: config.dataDir, client: adminConfig }, stopped };
  } catch (error) {
    group.stop(error);
    await group.wait().catch((also: unknown) => also !== error && log.error('a component failed while the start was taken back', { error: also }));
    await abortApiserver();
    throw error instanceof Error && error.cause instanceof StartError ? error.cause : error;
  }
}

function apiserverConfig(config: ClusterConfig, credentials: Credentials, bindAddresses: string[]): import('../apiserver/config.ts').ApiserverConfig {
  const issuer = `https://kubernetes.default.svc.${config.clusterDomain}`;
  return {
    bindAddresses,
    httpsPort: config.httpsPort,
    advertiseAddress: config.advertiseAddress,
    storage: config.storage.engine === 'etcd' ? config.storage : { engine: 'sqlite', path: join(config.dataDir, 'state.db') },
    serving: credentials.serving,
    clientCa: credentials.ca.cert,
    serviceAccount: { issuer, audiences: [issuer], signingKey: credentials.tokens.privateKey, publicKeys: [credentials.tokens.publicKey] },
    kubeletClient: { ...credentials.kubeletClient, ca: credentials.ca.cert },
    requestHeader: { ca: credentials.frontProxy.ca, allowedNames: ['front-proxy-client'], usernameHeaders: ['X-Remote-User'], uidHeaders: ['X-Remote-Uid'], groupHeaders: ['X-Remote-Group'], extraHeaderPrefixes: ['X-Remote-Extra-'] },
    bootstrapTokenAuth: true,
    serviceClusterIpRange: config.serviceRanges.join(','),
    serviceNodePortRange: { from: 30000, to: 32767 },
    anonymousAuth: config.anonymousAuth,
    eventTtlSeconds: 3600,
    watchCacheBytes: 64 << 20,
    options: config.apiserver,
  };
}

function clientConfig(server: string, ca: string, pair: KeyPair, userAgent: string): ClientConfig {
  return { server, ca, cert: pair.cert, key: pair.key, userAgent };
}

/**
 * Starts everything beside the API server. `ready` resolves when each component said that it is; proxy and DNS are not among
 * them, and begin with `startRest`: a pod takes longer to start than they do, and the cluster is usable that much sooner.
 */
function startComponents(
  config: ClusterConfig, credentials: Credentials, apiserver: { url: string; port: number; ready: Promise<void> }, admin: Client, dnsIp: string,
  startTask: (name: string, task: (signal: AbortSignal) => Promise<void>) => void,
): { ready(signal: AbortSignal): Promise<void>; startRest(): void } {
  const { url } = apiserver;
  const ca = credentials.ca.cert;
  const readiness: Promise<void>[] = [];
  const rest = Promise.withResolvers<void>();
  const component = (name: string, needed: boolean, run: (signal: AbortSignal, onReady: () => void) => Promise<void>): void => {
    if (!needed) return;
    const { promise, resolve: onReady } = Promise.withResolvers<void>();
    readiness.push(promise);
    startTask(name, async (signal) => {
      await apiserver.ready;
      await supervise(name, (inner) => run(inner, onReady), log, signal);
    });
  };
  const later = (name: string, needed: boolean, run: (signal: AbortSignal) => Promise<void>): void => {
    if (!needed) return;
    startTask(name, async (signal) => {
      await Promise.race([rest.promise, aborted(signal)]);
      await supervise(name, run, log, signal);
    });
  };
  const on = (name: Parameters<typeof config.disable.has>[0]): boolean => !config.disable.has(name);
  const docker = config.runtime === 'docker';

  component('controllers', on('controllers'), async (signal, onReady) => {
    const { run } = await import('../controllers/main.ts');
    const { defaultConfig } = await import('../controllers/config.ts');
    const controllers = on('local-path') ? ['*'] : ['*', `-${localPathController}`];
    await run({ ...defaultConfig, controllers, client: clientConfig(url, ca, credentials.controllers, 'kube-controller-manager'), rootCa: ca, clusterSigning: credentials.ca,
      serviceAccountPrivateKey: credentials.tokens.privateKey, clusterCidr: config.clusterCidr, leaderElect: false }, signal, onReady);
  });
  // A claim that comes before its default class gets it afterwards, from the binder.
  later('local-path', on('local-path') && on('controllers'), async (signal) => {
    await ensureLocalPath(admin, signal);
    await aborted(signal); // done; a task that ends would be started again
  });
  component('scheduler', on('scheduler'), async (signal, onReady) => {
    const { run } = await import('../scheduler/main.ts');
    const { defaultConfig } = await import('../scheduler/config.ts');
    await run({ ...defaultConfig, client: clientConfig(url, ca, credentials.scheduler, 'kube-scheduler'), leaderElect: false }, signal, onReady);
  });
  const gone = on('kubelet') && config.nodes.length > 0 ? formerNodes(config.dataDir, config.nodes.map(({ name }) => name)) : [];
  for (const name of gone) {
    later(`removal of node ${name}`, true, async (signal) => {
      const { removeAllPods } = await import('../node/kubelet/main.ts');
      await removeAllPods(await kubeletConfig(config, name, '', 0, clientConfig(url, ca, credentials.admin, 'proa'), '', { cert: '', key: '' }, ''), signal);
      const unlessGone = (error: unknown): void => {
        if (!isNotFound(error)) throw error;
      };
      // Their containers are gone; the pod garbage collector would look at them for 40 s before it deletes them.
      const { items } = await admin.list(pods, '', { fieldSelector: `spec.nodeName=${name}` }, signal);
      await Promise.all(items.map(({ metadata }) => admin.delete(pods, metadata.namespace ?? '', metadata.name ?? '', { gracePeriodSeconds: 0 }, signal).catch(unlessGone)));
      await admin.delete(nodes, '', name, {}, signal).catch(unlessGone);
      forgetNode(config.dataDir, name);
      log.info('removed a node that is no longer asked for', { node: name });
      await aborted(signal); // done; a task that ends would be started again
    });
  }
  component('hollow nodes', on('kubelet') && isFleet(config), async (signal, onReady) => {
    const run = config.nodes.length < threadFrom ? (await import('../node/kubelet/fleet.ts')).runFleet : (await import('../node/kubelet/fleet-thread.ts')).runFleetInThread;
    rememberFleet(config.dataDir, config.nodes.map(({ name }) => name));
    const client = clientConfig(url, ca, credentials.admin, 'kubelet');
    const serving = credentialsOf(credentials, config.nodes[0]?.name ?? '').serving;
    const members = await Promise.all(config.nodes.map(({ name, address }, index) => kubeletConfig(config, name, address, index, client, ca, serving, dnsIp)));
    await run({ client, nodes: members, serving, clientCa: ca }, signal, onReady);
  });
  if (!isFleet(config)) config.nodes.forEach(({ name, address }, index) => {
    const pairs = credentialsOf(credentials, name);
    component(`kubelet ${name}`, on('kubelet'), async (signal, onReady) => {
      const { run } = await import('../node/kubelet/main.ts');
      await run(await kubeletConfig(config, name, address, index, clientConfig(url, ca, pairs.client, 'kubelet'), ca, pairs.serving, dnsIp), signal, onReady);
    });
  });
  later('proxy', on('proxy') && docker && config.nodes.length > 0, async (signal) => {
    const { run } = await import('../node/proxy/main.ts');
    const { defaultConfig } = await import('../node/proxy/config.ts');
    await run({
      ...defaultConfig, client: clientConfig(url, ca, credentials.proxy, 'kube-proxy'), nodes: config.nodes.map(({ name, address }) => ({ name, ip: address })),
      clusterCidr: config.clusterCidr, serviceCidr: config.serviceCidr,
    }, signal);
  });
  later('dns', on('dns') && docker && config.nodes.length > 0, async (signal) => {
    const { run } = await import('../node/dns/main.ts');
    const address = config.nodes[0]?.address ?? config.advertiseAddress;
    await ensureDnsObjects(admin, dnsIp, signal);
    const serving = createTaskGroup(signal);
    serving.start('server', (inner) => run({ client: clientConfig(url, ca, credentials.dns, 'coredns'), address, port: 0, clusterDomain: config.clusterDomain, upstream: [] }, inner, ({ port }) => {
      serving.start('endpoints', (bounded) => publishDns(admin, { address, port }, bounded));
    }));
    await serving.wait();
  });
  return {
    async ready(signal) {
      await apiserver.ready;
      await Promise.race([Promise.all(readiness), new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))]);
    },
    startRest: rest.resolve,
  };
}

/** So many hollow nodes are worth the 30 MB of a thread of their own. */
const threadFrom = 10;

/** Several hollow nodes run as one; see node/kubelet/fleet.ts. */
const isFleet = ({ runtime, nodes: members }: ClusterConfig): boolean => runtime === 'hollow' && members.length > 1;

function credentialsOf(credentials: Credentials, name: string): { client: KeyPair; serving: KeyPair } {
  const pairs = credentials.nodes.get(name);
  if (!pairs) throw new Error(`no credentials for node ${name}`);
  return pairs;
}

async function kubeletConfig(config: ClusterConfig, name: string, address: string, index: number, client: ClientConfig, clientCa: string, serving: KeyPair, dnsIp: string): Promise<import('../node/kubelet/config.ts').KubeletConfig> {
  const { defaults } = await import('../node/kubelet/config.ts');
  return {
    ...defaults,
    clusterDns: [dnsIp],
    registerTaints: [],
    client,
    nodeName: name,
    nodeIp: address,
    port: config.runtime === 'docker' ? 10250 : 0,
    clientCa,
    serving,
    rootDir: join(config.dataDir, 'kubelet', name),
    ...(config.disable.has('local-path') ? {} : { localVolumesDir: join(resolve(config.dataDir), 'volumes') }),
    runtime: config.runtime,
    dockerHost: config.dockerHost,
    clusterId: readClusterId(config.dataDir),
    bridgeName: `cbr${index}`, // kubenet's name
    ...(config.nodes.length > 1 ? { hostPortIp: address } : {}),
    clusterCidr: config.clusterCidr,
    clusterDomain: config.clusterDomain,
  };
}

/** Tells apart what several clusters made on one engine; made once per data folder. */
function readClusterId(dataDir: string): string {
  const file = join(dataDir, 'cluster-id');
  if (!existsSync(file)) writeFileSync(file, randomUUID());
  return readFileSync(file, 'utf8');
}

/** What design.md calls usable, beyond each component's own word: default has its ServiceAccount and root-CA ConfigMap, a Node is there. */
async function usable(config: ClusterConfig, admin: Client, signal: AbortSignal): Promise<void> {
  const exists = async (get: () => Promise<unknown>): Promise<boolean> => {
    try {
      await get();
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  };
  const checks: (() => Promise<unknown>)[] = [];
  if (!config.disable.has('controllers')) {
    checks.push(() => admin.get(serviceAccounts, 'default', 'default', signal), () => admin.get(configMaps, 'default', 'kube-root-ca.crt', signal));
  }
  const [first] = config.nodes;
  if (first && !config.disable.has('kubelet')) checks.push(() => admin.get(nodes, '', first.name, signal));
  await Promise.all(checks.map((check) => eventually(signal, () => exists(check), 10)));
}

async function removePods(config: ClusterConfig, client: ClientConfig, clusterId: string): Promise<void> {
  const bounded = AbortSignal.timeout(120_000);
  const { removeAllPods } = await import('../node/kubelet/main.ts');
  const { cleanup } = await import('../node/proxy/main.ts');
  await Promise.all(config.nodes.map(async ({ name, address }, index) => {
    const kubelet = await kubeletConfig(config, name, address, index, client, '', { cert: '', key: '' }, '');
    await removeAllPods({ ...kubelet, clusterId }, bounded);
  }));
  await cleanup(bounded);
}
