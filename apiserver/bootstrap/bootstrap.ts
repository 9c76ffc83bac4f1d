// What is stored before the server calls itself ready: namespaces, Service kubernetes, priority classes, access rules, flow
// control, the client CA. Steps are named as upstream's post-start hooks. Run them together: their writes then share
// commits (about 170 objects on an empty store); on a filled one they only look into the cache.
import { sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { createClusterIps } from '../allocators/cluster-ips.ts';
import { startRepair } from '../allocators/repair.ts';
import type { Backend, BootstrapStep, ServerDeps } from '../backend.ts';
import type { ApiserverConfig } from '../config.ts';
import { ensure } from './ensure.ts';
import { ensureFlowControl, markDangling } from './flowcontrol.ts';
import { createEndpointReconciler, ensureKubernetesService, type Advertised } from './kubernetes-service.ts';
import { ensureClusterRbac, ensureNamespacedRbac } from './rbac.ts';
import { createDefaultServiceCidr } from './service-cidr.ts';

const log = createLogger('bootstrap');
const namespaces = ['kube-system', 'kube-public', 'kube-node-lease', 'default'] as const;
const reconcileMs = 10_000;
const slowEvery = 6;

/** `port`: the one that the server listens on, when the configuration left it open. */
export function createBootstrap(deps: ServerDeps, port: () => number = () => deps.config.httpsPort): readonly BootstrapStep[] {
  const { backend, config } = deps;
  const advertised = (): Advertised => ({
    clusterIp: createClusterIps(config.serviceClusterIpRange, backend).firstAddress(), address: config.advertiseAddress, port: port(),
  });
  const endpoints = config.endpointReconcilerType === 'none' ? undefined : createEndpointReconciler(backend, advertised);
  const ensureServiceCidr = createDefaultServiceCidr(backend, config.serviceClusterIpRange);
  const keepService = async (): Promise<void> => {
    await Promise.all([ensureKubernetesService(backend, advertised()), endpoints?.reconcile()]);
  };
  let started: Promise<void> | undefined;
  const namespacesThere = (): Promise<void> => (started ??= ensureNamespaces(backend));

  return [
    { name: 'start-system-namespaces-controller', run: namespacesThere },
    {
      name: 'rbac/bootstrap-roles',
      async run() {
        await Promise.all([ensureClusterRbac(backend), namespacesThere().then(() => ensureNamespacedRbac(backend))]);
      },
    },
    { name: 'scheduling/bootstrap-system-priority-classes', run: () => ensurePriorityClasses(backend) },
    { name: 'priority-and-fairness-config-producer', run: () => ensureFlowControl(backend) },
    { name: 'start-kubernetes-service-cidr-controller', run: ensureServiceCidr },
    {
      name: 'start-cluster-authentication-info-controller',
      async run() {
        await namespacesThere();
        await ensureAuthentication(backend, config);
      },
    },
    {
      name: 'bootstrap-controller',
      async run() {
        await namespacesThere();
        await keepService();
        maintain(backend, async () => void await Promise.all([keepService(), ensureServiceCidr()]), deps.signal).catch((error: unknown) => log.error('keeping bootstrap objects current ended', { error }));
      },
      stop: async () => endpoints?.stop(),
    },
    { name: 'start-service-ip-repair-controllers', run: () => startRepair(backend, config.serviceNodePortRange, deps.signal) },
  ];
}

/** Puts back, until the signal aborts, what somebody deleted or changed: what is done `often` every 10 s, the rest every minute. */
async function maintain(backend: Backend, often: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round++) {
    try {
      if (round > 0) await often();
      if (round % slowEvery === 0) {
        if (round > 0) await Promise.all([ensureNamespaces(backend), ensureFlowControl(backend)]);
        await markDangling(backend);
      }
    } catch (error) {
      if (!signal.aborted) log.warn('keeping bootstrap objects current failed, trying again', { error });
    }
    try {
      await sleep(reconcileMs, signal);
    } catch {
      return; // the signal aborted: nothing else ends a sleep early
    }
  }
}

async function ensureNamespaces(backend: Backend): Promise<void> {
  await Promise.all(namespaces.map((name) =>
    ensure(backend, 'namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'kubernetes.io/metadata.name': name } } })));
}

async function ensurePriorityClasses(backend: Backend): Promise<void> {
  const classes = [
    ['system-node-critical', 2_000_001_000, 'Used for system critical pods that must not be moved from their current node.'],
    ['system-cluster-critical', 2_000_000_000, 'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.'],
  ] as const;
  await Promise.all(classes.map(([name, value, description]) => ensure(backend, 'priorityclasses.scheduling.k8s.io', {
    apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name }, value, description, globalDefault: false, preemptionPolicy: 'PreemptLowerPriority',
  })));
}

/** How extension API servers learn whose client certificates count, and which proxies to believe. */
async function ensureAuthentication(backend: Backend, { clientCa, requestHeader }: Pick<ApiserverConfig, 'clientCa' | 'requestHeader'>): Promise<void> {
  const wanted: Record<string, string> = {
    'client-ca-file': clientCa,
    ...(requestHeader ? {
      'requestheader-client-ca-file': requestHeader.ca,
      'requestheader-allowed-names': JSON.stringify(requestHeader.allowedNames),
      'requestheader-username-headers': JSON.stringify(requestHeader.usernameHeaders),
      'requestheader-uid-headers': JSON.stringify(requestHeader.uidHeaders),
      'requestheader-group-headers': JSON.stringify(requestHeader.groupHeaders),
      'requestheader-extra-headers-prefix': JSON.stringify(requestHeader.extraHeaderPrefixes),
    } : {}),
  };
  await ensure(backend, 'configmaps', {
    apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'extension-apiserver-authentication', namespace: 'kube-system' }, data: wanted,
  }, (object) => {
    const data = (object.data ?? {}) as Record<string, string>; // validated when it was stored
    if (Object.entries(wanted).every(([key, value]) => data[key] === value)) return false;
    object.data = { ...data, ...wanted };
    return true;
  });
}
